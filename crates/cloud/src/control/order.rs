//! What the command asks of a running cloud, and what it is told.

use std::path::PathBuf;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId, Uuid};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::Timer;

/// What the cloud shall do or tell. Never printed whole: some hold secrets.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Tell how everything stands: [`Status`](super::Status).
    Status,
    /// Answer activations for a while.
    Allow(Window),
    /// Answer no more activations.
    Close,
    /// Set points of a device: [`SetOutcome`].
    Set {
        /// Device.
        device: DeviceId,
        /// Sub-device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        /// The points.
        dps: Dps,
        /// How long to wait for a report that shows them, in milliseconds.
        patience_ms: u64,
    },
    /// Have a device report points (protocol 31), and wait for a report: `{"dps":{...}}`, or `{"dps":null}` when none
    /// came.
    Refresh {
        /// Device.
        device: DeviceId,
        /// Numbers of the points; all when missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        points: Option<Vec<u16>>,
        /// How long to wait, in milliseconds.
        patience_ms: u64,
    },
    /// Have a device forget us (protocol 11).
    Reset {
        /// Device.
        device: DeviceId,
        /// Wipe everything it knows.
        wipe: bool,
    },
    /// Give a device these timers, or leave it its own: `{"told":bool}`, whether it was told at once.
    Timers {
        /// Device.
        device: DeviceId,
        /// The timers; `None` leaves the device its own.
        timers: Option<Vec<Timer>>,
    },
    /// Approve an image: `{"image":` [`ImageInfo`](super::ImageInfo)`,"told":bool}`.
    Approve {
        /// Device.
        device: DeviceId,
        /// Channel; 0 is the main firmware.
        kind: u32,
        /// Version told.
        version: String,
        /// The file, by its absolute path.
        file: PathBuf,
    },
    /// Take an approval back: `{"withdrawn":bool}`.
    Withdraw {
        /// Device.
        device: DeviceId,
        /// Channel.
        kind: u32,
    },
    /// Add a person: `{"password":"..."}`, told this once.
    AddPerson {
        /// MQTT user name.
        name: String,
    },
    /// Remove a person: `{"removed":bool}`.
    RemovePerson {
        /// MQTT user name.
        name: String,
    },
    /// Send an activation token to hardware that waits for one on MQTT.
    Token {
        /// Hardware.
        uuid: Uuid,
        /// The token.
        token: String,
        /// Region, two characters.
        region: String,
    },
    /// Forget the pinned password of an adopted device: `{"unpinned":bool}`.
    Unpin {
        /// Device.
        device: DeviceId,
    },
    /// The book was changed by somebody else: read it again.
    Reload,
    /// Tell everything that happens from now on.
    Events,
}

impl Order {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Allow(_) => "allow",
            Self::Close => "close",
            Self::Set { .. } => "set",
            Self::Refresh { .. } => "refresh",
            Self::Reset { .. } => "reset",
            Self::Timers { .. } => "timers",
            Self::Approve { .. } => "approve",
            Self::Withdraw { .. } => "withdraw",
            Self::AddPerson { .. } => "add_person",
            Self::RemovePerson { .. } => "remove_person",
            Self::Token { .. } => "token",
            Self::Unpin { .. } => "unpin",
            Self::Reload => "reload",
            Self::Events => "events",
        }
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Order").field(&self.name()).finish()
    }
}

/// A window in which activations are answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// For this hardware or device only (uuid or device id); for anybody when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Until when, seconds since 1970-01-01 UTC.
    pub until: u64,
}

/// How a set ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum SetOutcome {
    /// A report showed all values.
    Confirmed,
    /// The device has the command, and never reports these points.
    Accepted,
    /// No report showed them in time.
    Unconfirmed {
        /// What was reported of these points since.
        seen: Dps,
    },
    /// It was not sent, or the connection ended first.
    Failed {
        /// Why.
        why: String,
        /// Whether the device is not connected.
        offline: bool,
    },
}

/// What the cloud answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done, with what the order's documentation says; an empty object where it says nothing.
    Ok(Value),
    /// Not done.
    Error(Refusal),
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable dotted code: `device.unknown`, `device.offline`, `order.malformed`...
    pub code: String,
    /// In words; no secrets.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}
