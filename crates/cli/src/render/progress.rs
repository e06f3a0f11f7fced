//! A spinner on stderr, on a terminal only.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Context;

/// Something is going on. Nothing is shown unless stderr is a terminal, or for things done in an instant.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts to spin.
    pub(crate) fn start(context: &Context, what: &str) -> Self {
        if context.is_quiet() || !context.talk_style().colour || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Says what is going on now.
    pub(crate) fn now(&self, what: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }

    /// Prints a line above the spinner, or nothing when there is none.
    pub(crate) fn note(&self, line: &str) {
        if let Some(bar) = &self.0 {
            bar.println(line);
        }
    }

    /// Stops and leaves no trace.
    pub(crate) fn end(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
