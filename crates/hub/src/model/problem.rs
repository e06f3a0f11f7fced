//! What went wrong, for every door of the hub alike.

/// Something was not done. API, MQTT and command line show the same code and words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Whose fault it is, for HTTP's status.
    pub kind: ProblemKind,
    /// Stable dotted code: `device.unknown`, `device.offline`, `dp.out_of_range`, `key.rejected`...
    pub code: &'static str,
    /// In words: value and cause. No secrets.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
}

/// Whose fault a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// What was asked makes no sense (422).
    Asked,
    /// It doesn't exist (404).
    Unknown,
    /// It stands against what is there (409).
    Conflict,
    /// The device did not do it, or is not there (409: 5xx is always our own fault).
    Device,
    /// Too much at once (429).
    Busy,
    /// Our own (500): disk, bug.
    Ours,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(kind: ProblemKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), hint: None }
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
