//! `landfall run` and `landfall config ...`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Json;

/// Where the settings come from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The file of settings [default: the variable LANDFALL_CONFIG, landfall.toml in CONFIGURATION_DIRECTORY,
    /// $XDG_CONFIG_HOME/landfall or ~/.config/landfall, where there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Change a setting: page.listen=127.0.0.1:9000; may be repeated. `landfall config default` shows all
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// The home server: joins both lines of every device, remembers, and serves programs. Runs until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Print the addresses as a line of JSON, then a line for each change
    #[arg(long)]
    pub(crate) json: bool,
}

/// The devices of the running hub, live, until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print the table once and end
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say whether the settings are sound
    Check(Source),
    /// Print the settings in force, as TOML
    Show(ConfigShow),
    /// Print the file that says what is so without one
    Default,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShow {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) json: Json,
}
