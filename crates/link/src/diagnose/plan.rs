//! Which connection of an examination comes next. Pure: few connections, each for a reason.

use landfall_proto::lan::Version;

use super::evidence::Evidence;
use crate::detect::{Asked, Next, Seen, Step, next};
use crate::state::ConnectFailure;

/// Most connections of one examination.
pub(super) const MOST: usize = 8;
/// Closes after START that make a key suspicious (lan.md 4.5).
pub(super) const TRIES: usize = 3;
/// Connections without a word that show whether the device closes by itself.
const QUIET_TRIES: usize = 2;

/// What to do on the next connection; `None` when the evidence is complete.
pub(super) fn next_question(e: &Evidence) -> Option<Asked> {
    if e.address.is_none() || e.steps.len() >= MOST || is_settled(e) {
        return None;
    }
    let Some(last) = e.steps.last() else { return Some(first(e)) };
    if let Seen::NoConnection(failure) = last.seen {
        // Wi-Fi loses packets: a device that was just heard gets a second chance, once.
        let again = failure == ConnectFailure::TimedOut && e.heard().is_some() && e.steps.len() == 1;
        return again.then_some(last.asked);
    }
    if e.patient.key.is_none() {
        return unanswered(e).then(|| quiet(e)).flatten();
    }
    // Its own word about its version, before anything is guessed.
    if let Some(own) = e.announced().map(spoken).map(Asked::Session)
        && e.count(own) == 0
    {
        return Some(own);
    }
    if e.count(Asked::Nothing) == 0 && unanswered(e) {
        return Some(Asked::Nothing);
    }
    if e.seen(Asked::Nothing).any(|s| matches!(s, Seen::Closed { .. })) {
        return quiet(e);
    }
    match e.announced().map(spoken) {
        // The version is sure: what is left is the key, or a device that serves nobody.
        Some(version) if unanswered(e) => {
            let again = if version >= Version::V3_4 { Asked::Session(version) } else { Asked::Clear };
            let most = if version >= Version::V3_4 { TRIES } else { 1 };
            (e.count(again) < most).then_some(again)
        }
        _ => other_versions(e),
    }
}

/// The first connection does what the book says; without a version or a key it asks in clear.
fn first(e: &Evidence) -> Asked {
    let version = e.patient.version.or(e.announced());
    match (&e.patient.key, version) {
        (Some(_), Some(version)) => Asked::Session(spoken(version)),
        _ => Asked::Clear,
    }
}

/// 3.2 is asked as 3.3: its refusal proves the key as well, and its own query is a null write (lan.md 5.5).
pub(super) fn spoken(version: Version) -> Version {
    if version == Version::V3_2 { Version::V3_3 } else { version }
}

/// Nothing that a further connection could say would change the verdict.
fn is_settled(e: &Evidence) -> bool {
    e.steps.iter().any(|s| match (&s.asked, &s.seen) {
        (_, Seen::Answered { .. } | Seen::CutOff | Seen::Established | Seen::WrongKey | Seen::Foreign) => {
            true
        }
        (Asked::Session(_), refused @ Seen::Refused(_)) => !refused.is_unreadable_to_device(),
        (Asked::Clear, Seen::Json { .. } | Seen::Cipher { opens: Some(false) }) => true,
        _ => false,
    })
}

/// Every connection so far opened and stayed without an answer.
fn unanswered(e: &Evidence) -> bool {
    e.steps.iter().all(|s| matches!(s.seen, Seen::Closed { .. } | Seen::Silent | Seen::Broken(_)))
}

fn quiet(e: &Evidence) -> Option<Asked> {
    let closes = e.seen(Asked::Nothing).all(|s| matches!(s, Seen::Closed { .. }));
    (closes && e.count(Asked::Nothing) < QUIET_TRIES).then_some(Asked::Nothing)
}

/// Goes on as a version detection does, without repeating anything.
fn other_versions(e: &Evidence) -> Option<Asked> {
    let mut steps: Vec<Step> = Vec::new();
    for step in &e.steps {
        if step.asked != Asked::Nothing && steps.iter().all(|s| s.asked != step.asked) {
            steps.push(step.clone());
        }
    }
    match next(None, &steps) {
        Next::Ask(asked) if e.count(asked) == 0 => Some(asked),
        _ => None,
    }
}
