//! A connection seen by the device: what stock firmware does with the bytes of one client.
//!
//! Protocol only. What the device *is* (points, limits, faults) is the caller's affair.

use core::time::Duration;

use super::command::Command;
use super::version::{ReplySequence, Version};
use crate::dp::{DpId, Dps};
use crate::id::{Cid, DeviceId, LocalKey};
use crate::{Entropy, Now};

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
    /// Another command.
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

/// The device's end of one connection. Answers heartbeats, negotiations and malformed requests by itself.
#[derive(Debug)]
pub struct DeviceSession {
    config: DeviceConfig,
}

impl DeviceSession {
    /// Starts on a connection that was just accepted.
    pub fn new(config: DeviceConfig, now: Now, entropy: &mut dyn Entropy) -> Self {
        let _ = (now, entropy);
        Self { config }
    }
    /// The configuration.
    pub fn config(&self) -> &DeviceConfig {
        &self.config
    }
    /// Takes bytes from the client.
    pub fn handle_input(&mut self, bytes: &[u8], now: Now) {
        let _ = (bytes, now);
        todo!()
    }
    /// The client closed the connection.
    pub fn handle_close(&mut self) {
        todo!()
    }
    /// Lets due deadlines act (idle client).
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
        todo!()
    }
    /// True once commands are accepted.
    pub fn is_ready(&self) -> bool {
        todo!()
    }
    /// Empty acknowledgement of a control, refresh or extension.
    pub fn ack(&mut self, ticket: Ticket) {
        let _ = ticket;
        todo!()
    }
    /// Points as the answer to a query.
    pub fn reply_points(&mut self, ticket: Ticket, cid: Option<&Cid>, dps: &Dps) {
        let _ = (ticket, cid, dps);
        todo!()
    }
    /// An error text with retcode 1.
    pub fn reply_error(&mut self, ticket: Ticket, error: DeviceError) {
        let _ = (ticket, error);
        todo!()
    }
    /// Any body as the answer.
    pub fn reply_body(&mut self, ticket: Ticket, retcode: u32, body: &[u8]) {
        let _ = (ticket, retcode, body);
        todo!()
    }
    /// A STATUS report. Before a session key exists it goes out under the local key, as stock firmware does (lan.md 4.2).
    pub fn push(&mut self, cid: Option<&Cid>, dps: &Dps, now: Now) {
        let _ = (cid, dps, now);
        todo!()
    }
    /// A STATUS report marked `type:"query"`: no change (lan.md 5.3).
    pub fn push_unchanged(&mut self, cid: Option<&Cid>, dps: &Dps, now: Now) {
        let _ = (cid, dps, now);
        todo!()
    }
    /// A LAN_EXT_STREAM frame by itself (sub-device online report).
    pub fn push_extension(&mut self, body: &[u8]) {
        let _ = body;
        todo!()
    }
    /// The next thing to do. Call until it returns [`DeviceOutput::Wait`].
    pub fn poll_output(&mut self, now: Now, entropy: &mut dyn Entropy) -> DeviceOutput {
        let _ = (now, entropy);
        todo!()
    }
}
