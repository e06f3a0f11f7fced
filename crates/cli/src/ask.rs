//! Questions to the owner before something that can't be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::anyhow;

use crate::failure::{Failure, Outcome};
use crate::out;

/// Goes on only when the owner says yes.
///
/// # Errors
/// They don't, or nobody is there to be asked: a script says so by the option.
pub(crate) fn agreed(question: &str, option: &str) -> Outcome {
    if !io::stdin().is_terminal() {
        return Err(Failure::misuse(
            anyhow!("this wants an answer, and nobody can be asked here"),
            format!("add {option} if you mean it"),
        ));
    }
    out::talk(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().lock().take(64).read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::Request { error: anyhow!("nothing was done"), hint: None })
}
