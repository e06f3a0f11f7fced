//! How a command fails, and how that is told: `error:`, `caused by:`, `hint:`.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::context::Context;
use crate::hint;
use crate::out;

/// The end of a command.
pub(crate) type Outcome = Result<(), Failure>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request failed: exit code 1.
    Request {
        /// What went wrong, with its causes.
        error: anyhow::Error,
        /// What to do next, where the error itself has no better hint.
        hint: Option<String>,
    },
    /// The command line makes no sense: exit code 2.
    Misuse {
        /// What is wrong with it.
        error: anyhow::Error,
        /// What to do instead.
        hint: Option<String>,
    },
    /// All is said already; exit code 1.
    Told,
    /// The reader of our output went away (`landfall watch | head`): nothing more to do.
    ReaderGone,
}

impl Failure {
    /// The request failed, with a next step.
    pub(crate) fn with_hint(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self::Request { error: error.into(), hint: Some(hint.into()) }
    }

    /// The command line makes no sense.
    pub(crate) fn misuse(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self::Misuse { error: error.into(), hint: Some(hint.into()) }
    }
}

impl<E: Into<anyhow::Error> + std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Request { error: error.into(), hint: None }
    }
}

/// Tells the owner and chooses the exit code.
pub(crate) fn report(failure: &Failure, context: &Context) -> ExitCode {
    let (error, hint, code) = match failure {
        Failure::Request { error, hint } => (error, hint, 1),
        Failure::Misuse { error, hint } => (error, hint, 2),
        Failure::Told => return ExitCode::from(1),
        Failure::ReaderGone => return ExitCode::SUCCESS,
    };
    let style = context.talk_style();
    let mut text = format!("{} {error}\n", style.red("error:"));
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // A transparent wrapper repeats its cause.
        if cause != last {
            text.push_str(&format!("{} {cause}\n", style.yellow("caused by:")));
        }
        last = cause;
    }
    if let Some(hint) = hint.clone().or_else(|| hint::of(error)) {
        text.push_str(&format!("{} {hint}\n", style.green("hint:")));
    }
    out::talk(&text);
    ExitCode::from(code)
}

/// Reports what clap found; a key in the arguments gets its own answer, and is not repeated.
pub(crate) fn report_usage(error: &clap::Error) -> ExitCode {
    let key_argument = error.kind() == ErrorKind::UnknownArgument
        && matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(arg))
            if ["--key", "--local-key", "--localkey", "-k"].contains(&arg.split('=').next().unwrap_or(arg)));
    if key_argument {
        out::talk(
            "error: a local key is never taken from the command line\n\
             caused by: arguments are seen by every user of this machine and end up in the shell's history\n\
             hint: use --key-file FILE, --key-stdin or the variable LANDFALL_LOCAL_KEY; \
             the key that was typed now stands in your shell's history: remove it there\n",
        );
        return ExitCode::from(2);
    }
    // Help and version go to stdout with code 0, the rest to stderr with code 2.
    match error.print() {
        Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
        Err(_) => ExitCode::SUCCESS, // nobody listens
    }
}
