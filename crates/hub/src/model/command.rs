//! Commands and how they end.

use std::fmt;
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::DeviceId;

use super::Line;

/// Number of a command, given by the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// REST, WebSocket, the page.
    Api,
    /// MQTT.
    Mqtt,
    /// The command line.
    Cli,
    /// The hub itself.
    Hub,
}

/// How a command is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandOptions {
    /// When to give up; default 5 s, at most 60 s.
    pub timeout: Duration,
    /// Wait until the device shows the value.
    pub confirm: bool,
    /// Over this line only; `None`: the better one.
    pub line: Option<Line>,
    /// Who asked.
    pub by: By,
}

impl CommandOptions {
    /// The usual, for this asker.
    pub const fn of(by: By) -> Self {
        Self { timeout: Duration::from_secs(5), confirm: true, line: None, by }
    }
}

/// How a command ended (house words).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A push, a reply or a read-back shows the value.
    Confirmed,
    /// Taken; nothing more can be known (a write-only point) or was asked for.
    Accepted,
    /// The device did not do it.
    Refused {
        /// Why.
        why: String,
    },
    /// Nobody knows, or it was never sent.
    Unconfirmed {
        /// Why.
        why: String,
        /// True when it surely never reached the device.
        unsent: bool,
    },
}

impl Outcome {
    /// Confirmed or accepted.
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Confirmed | Self::Accepted)
    }

    /// The house's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Accepted => "accepted",
            Self::Refused { .. } => "refused",
            Self::Unconfirmed { .. } => "unconfirmed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::Refused { why } | Self::Unconfirmed { why, .. } => write!(f, ": {why}"),
            _ => Ok(()),
        }
    }
}

/// A command that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its number.
    pub id: CommandId,
    /// The device.
    pub device: DeviceId,
    /// What was to be set.
    pub dps: Dps,
    /// The line it went over last; `None` when none was open.
    pub line: Option<Line>,
    /// Who asked.
    pub by: By,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}
