//! `landfall token ...`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::Json;

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// List the tokens of the running hub, without what proves them
    List(Json),
    /// Make a token, and show it once
    Add(TokenAdd),
    /// Take a token away: programs and browsers that use it are shut out at once
    Revoke(TokenRevoke),
}

/// What a token allows; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// See everything but keys
    Read,
    /// Command devices
    Control,
    /// Change the home: devices, tokens, back-ups; see local keys
    Admin,
}

impl Scope {
    /// The API's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Control => "control",
            Self::Admin => "admin",
        }
    }

    /// After "may".
    pub(crate) const fn may(self) -> &'static str {
        match self {
            Self::Read => "see everything but keys",
            Self::Control => "see everything but keys, and command devices",
            Self::Admin => "do everything",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenAdd {
    /// What it is for: "kitchen tablet"
    pub(crate) name: String,
    /// What it allows
    #[arg(long, value_enum, default_value = "read")]
    pub(crate) scope: Scope,
    /// Worth something for so many days only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(crate) days: Option<u64>,
    /// Write it to this file, readable by you alone, instead of showing it; - is standard output, whatever that is
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRevoke {
    /// Its id, or its name
    pub(crate) token: String,
}
