//! What happens in the cloud, for those who watch: the command's `--json` lines, the hub.

use std::net::SocketAddr;
use std::sync::Arc;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId};
use serde::Serialize;

use crate::backend::{FirstUse, Generation};
use crate::listen::Over;

/// Something that happened. No secret is ever part of it.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// The device, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The owner's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A device logged in on MQTT.
    Connect {
        /// Over what.
        over: Over,
    },
    /// Its MQTT connection ended.
    Disconnect {
        /// Why, in words.
        why: String,
    },
    /// Keys were handed out.
    Activation {
        /// Generation of its firmware.
        generation: Generation,
        /// Over what.
        over: Over,
    },
    /// New keys were used for the first time and replace the old ones.
    KeysUsed,
    /// A device came with keys that it was told shortly before the program was ended, and is taken in by them. Nothing else
    /// is known of it.
    TakenIn,
    /// The first password of an adopted device was pinned.
    PasswordPinned,
    /// Points were reported, in an envelope that verified.
    Report {
        /// The sub-device, of a gateway.
        #[serde(skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        /// The points.
        #[serde(serialize_with = "points_map")]
        dps: Arc<Dps>,
        /// Device time of single points, seconds since 1970, where it gave any.
        #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "times_map")]
        times: Vec<(landfall_proto::dp::DpId, u64)>,
        /// It answers a question of ours, or is the state that a device sends after its login: it repeats what was
        /// reported, and no button was pressed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        asked: bool,
    },
    /// A call of the gateway, over HTTP or MQTT.
    Question {
        /// The action.
        action: String,
        /// Its version.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// Whether we know this action.
        known: bool,
    },
    /// A question about firmware, counted by the firmware guard.
    FirmwareQuestion {
        /// Whether an image was offered.
        offered: bool,
    },
    /// Progress of a firmware download, in percent.
    Progress {
        /// Percent.
        percent: u8,
    },
    /// An answer to a question other than for points (protocol 23).
    Answer {
        /// The question: `sigQry` for the Wi-Fi signal.
        question: String,
        /// The Wi-Fi signal in dBm, if that was the question.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// A command with an `ackId` arrived (protocol 26).
    Acknowledged {
        /// The command's.
        ack_id: String,
    },
    /// A log was uploaded (protocol 45).
    LogUploaded,
    /// A device says how installing firmware goes.
    FirmwareStatus {
        /// 1 ready, 2 started, 3 done, 4 failed; 10 to 12 and 40 to 49 say more of a failure (cloud.md 5.1).
        status: u32,
    },
    /// A device says that it was reset by hand, or unbinds.
    Reset,
    /// Something was refused.
    Refusal {
        /// Stable dotted code: `activation.no_window`, `mqtt.password`, `gateway.signature`...
        code: &'static str,
        /// In words, with the next step.
        why: String,
    },
    /// A window for activations was opened, or prolonged, by whatever way.
    WindowOpened {
        /// For a uuid or an id; everybody otherwise.
        #[serde(skip_serializing_if = "Option::is_none")]
        who: Option<String>,
        /// Seconds since 1970; a time that is over closes this one.
        until: u64,
    },
    /// All windows were closed before their time.
    WindowsClosed,
    /// Reports are missing: numbers of a device's messages that never came, or were lost when the server was killed.
    Lost {
        /// How many.
        reports: u64,
    },
}

impl From<FirstUse> for What {
    fn from(first: FirstUse) -> Self {
        match first {
            FirstUse::Expected => Self::KeysUsed,
            FirstUse::Unentered => Self::TakenIn,
        }
    }
}

fn points_map<S: serde::Serializer>(dps: &Arc<Dps>, s: S) -> Result<S::Ok, S::Error> {
    dps.serialize(s)
}

fn times_map<S: serde::Serializer>(
    times: &[(landfall_proto::dp::DpId, u64)],
    s: S,
) -> Result<S::Ok, S::Error> {
    s.collect_map(times.iter().map(|(dp, at)| (dp.0, at)))
}
