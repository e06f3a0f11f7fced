//! Writing to stdout and stderr.

use std::io::{self, Write};

use crate::failure::{Failure, Outcome};

/// Data, to stdout, at once.
///
/// # Errors
/// [`Failure::ReaderGone`] when the reader closed its end, which is no fault; or the output can't be written.
pub(crate) fn data(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(e) => Err(Failure::Request {
            error: anyhow::Error::new(e).context("can't write to standard output"),
            hint: None,
        }),
    }
}

/// A line of data.
///
/// # Errors
/// As [`data`].
pub(crate) fn line(text: &str) -> Outcome {
    data(&format!("{text}\n"))
}

/// A value as a line of JSON.
///
/// # Errors
/// As [`data`].
pub(crate) fn json_line(value: &impl serde::Serialize) -> Outcome {
    line(&serde_json::to_string(value)?)
}

/// A value as JSON for people.
///
/// # Errors
/// As [`data`].
pub(crate) fn json(value: &impl serde::Serialize) -> Outcome {
    line(&serde_json::to_string_pretty(value)?)
}

/// Talk, to stderr. If nobody listens there is nobody to tell.
pub(crate) fn talk(text: &str) {
    let mut stderr = io::stderr().lock();
    let _: io::Result<()> = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
