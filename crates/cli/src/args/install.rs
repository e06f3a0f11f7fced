//! What is asked before and around an installation: `check-install`, `health`, `completions`, `man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Json;
use super::run::Source;

#[derive(Debug, Args)]
pub(crate) struct CheckInstall {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Don't ask the system's resolver where the vendor's names lead
    #[arg(long)]
    pub(crate) no_names: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Whether all its work is done as well: not so while history can't be written, which a restart does not mend
    #[arg(long)]
    pub(crate) ready: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write landfall.1 and a page for each command into this directory; it has to exist
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
}
