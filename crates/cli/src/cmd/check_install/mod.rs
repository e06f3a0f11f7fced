//! `landfall check-install`: is this machine ready for the home server?
//!
//! `look` looks and changes nothing, `judge` decides and is pure: the same things seen are always said in the same words.

mod clock;
mod files;
mod finding;
mod holders;
mod judge;
mod look;
mod ports;
mod seen;
#[cfg(test)]
mod tests;

use serde_json::json;

use crate::args::CheckInstall;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Style, clean, count};
use finding::{Finding, Level};

/// Looks, and says what to do. Exit code 0 when there is no problem.
pub(crate) async fn run(context: &Context, a: &CheckInstall) -> Outcome {
    let seen = look::at(context, a).await?;
    let findings = judge::judge(&seen);
    let problems = findings.iter().filter(|f| f.level == Level::Problem).count();
    if a.json.json {
        out::json(&json!({"ready": problems == 0, "problems": problems, "findings": findings}))?;
    } else {
        out::data(&text(&findings, context.data_style()))?;
    }
    if problems == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn text(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for f in findings {
        let word = format!("{:<8}", f.level.word());
        let word = match f.level {
            Level::Ok => style.green(&word),
            Level::Note => style.yellow(&word),
            Level::Problem => style.red(&word),
        };
        text.push_str(&format!("{word} {}\n", clean(&f.sentence)));
        for line in &f.evidence {
            text.push_str(&format!("           - {}\n", clean(line)));
        }
        if !f.next_step.is_empty() {
            text.push_str(&format!("         {} {}\n", style.bold("->"), clean(&f.next_step)));
        }
    }
    let of = |level| findings.iter().filter(|f| f.level == level).count();
    let (problems, notes) = (of(Level::Problem), of(Level::Note));
    let verdict = if problems == 0 { "ready" } else { "not ready" };
    text.push_str(&format!(
        "\n{}: {}, {}, {} as it should be\n",
        style.bold(verdict),
        count(problems, "problem"),
        count(notes, "note"),
        of(Level::Ok)
    ));
    text
}
