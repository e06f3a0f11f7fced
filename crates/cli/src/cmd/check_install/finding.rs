//! What is said of a machine.

use serde::Serialize;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; the hub works all the same.
    Note,
    /// The hub, or a part of it, will not work, or a secret lies open.
    Problem,
}

impl Level {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// One sentence with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Stable, for programs: `port.busy`.
    pub(super) code: &'static str,
    pub(super) level: Level,
    pub(super) sentence: String,
    /// What was seen, a line each.
    pub(super) evidence: Vec<String>,
    /// What the owner can do; empty where nothing is to be done.
    pub(super) next_step: String,
}

impl Finding {
    pub(super) fn ok(code: &'static str, sentence: impl Into<String>) -> Self {
        let (evidence, next_step) = (Vec::new(), String::new());
        Self { code, level: Level::Ok, sentence: sentence.into(), evidence, next_step }
    }

    pub(super) fn note(code: &'static str, sentence: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Note, next_step: next.into(), ..Self::ok(code, sentence) }
    }

    pub(super) fn problem(code: &'static str, sentence: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Problem, next_step: next.into(), ..Self::ok(code, sentence) }
    }

    /// With this as evidence.
    pub(super) fn seen(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }
}
