//! `landfall completions SHELL`

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::failure::Outcome;
use crate::out;

/// Prints the script.
pub(crate) fn run(args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "landfall", &mut script);
    out::data(&String::from_utf8_lossy(&script))
}
