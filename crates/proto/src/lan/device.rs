//! A connection seen by the device: what stock firmware does with the bytes of one client.
//!
//! Protocol only. What the device *is* (points, limits, faults) is the caller's affair.

use core::time::Duration;

use super::command::Command;
use super::version::{ReplySequence, Version};
use crate::dp::{DpId, Dps};
use crate::id::{Cid, DeviceId, LocalKey};

mod session;

pub use session::DeviceSession;

/// Habits of a device's protocol layer.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Device id.
    pub device_id: DeviceId,
    /// Local key.
    pub key: LocalKey,
    /// Version it speaks.
    pub version: Version,
    /// How it numbers replies.
    pub reply_sequence: ReplySequence,
    /// Close when a client's sequence does not grow, as the vendor's 3.5 code does (lan.md 1.4). Off by default: tuyapi.
    pub enforce_sequence: bool,
    /// Acknowledge control with little-endian retcode 1, as the vendor's 3.5 code does (lan.md 1.3).
    pub vendor_ack: bool,
    /// Use session keys that begin with a zero byte, and then treat them as none (lan.md 4.4), instead of avoiding them.
    pub zero_key_trap: bool,
    /// A client silent for this long is dropped (lan.md 5.1: 30 s).
    pub idle: Duration,
    /// Error texts of 3.2 and 3.3 in clear instead of encrypted; real firmware does both (lan.md 3.4).
    pub clear_errors: bool,
    /// First value of the source header's counter `s` (lan.md 3.1).
    pub first_s: u32,
}

impl DeviceConfig {
    /// Usual habits: echoed sequences, encrypted errors, 30 s.
    pub fn new(device_id: DeviceId, key: LocalKey, version: Version) -> Self {
        Self {
            device_id,
            key,
            version,
            reply_sequence: ReplySequence::Echo,
            enforce_sequence: false,
            vendor_ack: false,
            zero_key_trap: false,
            idle: Duration::from_secs(30),
            clear_errors: false,
            first_s: 1,
        }
    }
}

/// A question of the client that the device's owner answers with one of the `reply_*` calls.
/// Carries what the reply needs: command and sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The client's command.
    pub command: Command,
    /// The client's sequence number.
    pub sequence: u32,
}

/// What the client wants.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceEvent {
    /// The session is established (3.4, 3.5: FINISH verified; earlier versions: at once).
    Ready,
    /// DP_QUERY or DP_QUERY_NEW.
    Query {
        /// To answer with.
        ticket: Ticket,
        /// Sub-device asked.
        cid: Option<Cid>,
    },
    /// CONTROL or CONTROL_NEW with values (and, in `dps.asked()`, points with null: a device22 query if there are only those).
    Set {
        /// To answer with.
        ticket: Ticket,
        /// Sub-device addressed.
        cid: Option<Cid>,
        /// The values.
        dps: Dps,
    },
    /// UPDATEDPS.
    Refresh {
        /// To answer with.
        ticket: Ticket,
        /// Sub-devices addressed (a list on the wire; lan.md 3.9).
        cids: Vec<Cid>,
        /// The points.
        points: Vec<DpId>,
    },
    /// LAN_EXT_STREAM.
    Extension {
        /// To answer with.
        ticket: Ticket,
        /// `reqType`
        req_type: String,
        /// The whole body.
        body: Vec<u8>,
    },
    /// Another command. Stock firmware's answer: [`DeviceSession::reply_unknown`].
    Other {
        /// To answer with.
        ticket: Ticket,
        /// Its body.
        body: Vec<u8>,
    },
    /// The connection must be closed. Nothing follows.
    Closed(DeviceClose),
}

/// Why the device ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceClose {
    /// Integrity check failed: wrong key or another version.
    #[error("integrity failure")]
    Integrity,
    /// The proof inside FINISH is wrong.
    #[error("wrong proof in FINISH")]
    Proof,
    /// Negotiation out of order.
    #[error("negotiation out of order")]
    Order,
    /// A sequence number did not grow.
    #[error("sequence not increasing")]
    Sequence,
    /// Oversize or endless garbage.
    #[error("not the protocol")]
    Garbage,
    /// No valid frame for too long.
    #[error("client silent")]
    Idle,
    /// The client closed.
    #[error("client closed")]
    Remote,
}

/// Error texts of devices (lan.md 3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// `json obj data unvalid`
    DataUnvalid,
    /// `data format error`
    DataFormat,
    /// `parse data error`
    Parse,
    /// `devid not found`
    DevIdNotFound,
}

impl DeviceError {
    /// The text on the wire.
    pub const fn text(self) -> &'static str {
        match self {
            Self::DataUnvalid => "json obj data unvalid",
            Self::DataFormat => "data format error",
            Self::Parse => "parse data error",
            Self::DevIdNotFound => "devid not found",
        }
    }
}

/// What a device session wants done.
#[derive(Debug, PartialEq)]
pub enum DeviceOutput {
    /// Write these bytes, in one call: one frame.
    Transmit(Vec<u8>),
    /// News.
    Event(DeviceEvent),
    /// Nothing now; call `handle_timeout` at this time at the latest.
    Wait(Duration),
}
