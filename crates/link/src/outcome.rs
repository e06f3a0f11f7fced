//! How a command ended (house words: confirmed, accepted, refused, unconfirmed).

use std::fmt;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::lan::Command;

use crate::state::State;

/// How a set is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOptions {
    /// When to give up; `None`: the device's usual deadline.
    pub timeout: Option<Duration>,
    /// Wait until the device shows the value. Without, the acknowledgement is enough and the outcome
    /// [`Outcome::Accepted`], unless another caller of the same set waits for the value.
    pub confirm: bool,
    /// Send at most once, whatever the schema says: never retried, never merged.
    pub once: bool,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self { timeout: None, confirm: true, once: false }
    }
}

/// How a set ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A push, a reply or a read-back shows the value.
    Confirmed,
    /// The device acknowledged it; nothing more can be known (a write-only point) or was asked for.
    Accepted,
    /// The device did not do it.
    Refused(Refusal),
    /// Nobody knows, or not to the end.
    Unconfirmed(Unconfirmed),
}

impl Outcome {
    /// Confirmed or accepted.
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Confirmed | Self::Accepted)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmed => f.write_str("confirmed"),
            Self::Accepted => f.write_str("accepted"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Unconfirmed(why) => write!(f, "unconfirmed: {why}"),
        }
    }
}

/// How a device refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// With words.
    #[error("the device answered {0:?}")]
    Text(String),
    /// It answered under another key: ours is wrong, and it could not read the set.
    #[error("the device's answer is not under this local key")]
    WrongKey,
    /// It acknowledged, but read-backs until the deadline showed that it kept another value.
    #[error("the device acknowledged, but {dp:?} stayed {kept} instead of {wanted}")]
    Kept {
        /// The first point that differs.
        dp: DpId,
        /// The value asked for.
        wanted: DpValue,
        /// The value read.
        kept: DpValue,
    },
}

/// Why nobody knows whether a set was done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unconfirmed {
    /// It was never sent, so it was not done: the deadline came first.
    #[error("never sent within {} ms; the connection {state}", .after.as_millis())]
    NotSent {
        /// The deadline.
        after: Duration,
        /// How the connection stood.
        state: State,
    },
    /// Sent, but not acknowledged before the deadline.
    #[error("sent, but not acknowledged within {} ms", .after.as_millis())]
    NoAck {
        /// The deadline.
        after: Duration,
    },
    /// Acknowledged, but nothing showed the value before the deadline.
    #[error("acknowledged, but no report showed the value within {} ms", .after.as_millis())]
    NotShown {
        /// The deadline.
        after: Duration,
    },
    /// A newer set of the same point took its place.
    #[error("superseded by a newer set of the same point")]
    Superseded,
    /// The connection was lost after sending something that must not be sent twice.
    #[error("the connection was lost after sending; not sent again because each write acts")]
    ConnectionLost,
    /// The handle was closed.
    #[error("the device handle was closed")]
    Closed,
}

/// Why a command has no outcome or answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// Nothing to set, or nothing to refresh.
    #[error("no data points given")]
    Empty,
    /// More commands wait than the queue holds.
    #[error("{0} commands are waiting for this device already")]
    Busy(usize),
    /// No connection before the deadline; nothing was sent.
    #[error("no connection within {} ms: it {state}", .after.as_millis())]
    NotConnected {
        /// The deadline.
        after: Duration,
        /// How the connection stood.
        state: State,
    },
    /// Sent, but not answered before the deadline.
    #[error("no answer to {command} within {} ms", .after.as_millis())]
    Timeout {
        /// What was sent.
        command: Command,
        /// The deadline.
        after: Duration,
    },
    /// The device answered with an error.
    #[error("the device refused {command}: {text:?}")]
    Refused {
        /// What was sent.
        command: Command,
        /// Its words.
        text: String,
    },
    /// The device answered under another key: ours is wrong.
    #[error("the answer to {command} is not under this local key")]
    WrongKey {
        /// What was sent.
        command: Command,
    },
    /// The connection ended before the answer.
    #[error("the connection was lost before the answer to {command}")]
    ConnectionLost {
        /// What was sent.
        command: Command,
    },
    /// The handle was closed.
    #[error("the device handle was closed")]
    Closed,
}
