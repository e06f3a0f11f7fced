//! A connection seen by the client: one TCP connection from its opening to its end.
//!
//! Two doors: [`Session::handle_input`] and [`Session::handle_timeout`] in, [`Session::poll_output`] out. A session
//! is single-use; reconnecting lives outside.

use core::time::Duration;

use super::body::{Report, SubdevicesOnline};
use super::command::Command;
use super::frame::FramingError;
use super::version::Version;
use crate::dp::{DpId, Dps};
use crate::id::{Cid, DeviceId, LocalKey};

mod driver;
mod flight;
mod tap;

pub use driver::Session;
pub use tap::{Frame, Going, Tap, Told};

/// Times of a session (lan.md 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From SESS_KEY_NEG_START to SESS_KEY_NEG_RESP.
    pub negotiation: Duration,
    /// A heartbeat goes out after this long without sending.
    pub heartbeat: Duration,
    /// Some frame must follow a heartbeat within this time; two misses end the session.
    pub heartbeat_reply: Duration,
    /// A request without an answer fails after this long.
    pub request: Duration,
    /// An unfinished frame older than this ends the session.
    pub incomplete_frame: Duration,
    /// Distance of a heartbeat from a push or a refresh; some devices reset the connection otherwise.
    pub quiet: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            negotiation: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            heartbeat_reply: Duration::from_secs(5),
            request: Duration::from_secs(5),
            incomplete_frame: Duration::from_secs(5),
            quiet: Duration::from_millis(100),
        }
    }
}

/// What a session must know of its device. Shared by all sessions of the device, one after another.
#[derive(Clone, Debug)]
pub struct Config {
    /// The device (of a sub-device: its gateway).
    pub device_id: DeviceId,
    /// Its local key.
    pub key: LocalKey,
    /// Its protocol version.
    pub version: Version,
    /// Ask in the device22 form (always so on 3.2). Null writes are executed by some devices: only when the owner
    /// chose it (lan.md 5.5).
    pub device22: bool,
    /// Points that a device22 query lists; point 1 when empty.
    pub device22_points: Vec<DpId>,
    /// Times.
    pub timing: Timing,
}

/// Names a request until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What can be asked of a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Report points. Done by a query reply with points. A STATUS completes it only after an empty reply.
    Query {
        /// Sub-device, or the device itself.
        cid: Option<Cid>,
    },
    /// Set points. Done by the acknowledgement (or a refusal); a STATUS that shows all the points completes it too.
    /// It says that the device received it, not that it did it: see lan.md 5.3.
    Set {
        /// Sub-device, or the device itself.
        cid: Option<Cid>,
        /// The values.
        dps: Dps,
    },
    /// Measure and report points (UPDATEDPS). Silence is not a failure: done with [`Answer::Silent`].
    Refresh {
        /// Sub-device, or the device itself.
        cid: Option<Cid>,
        /// The points.
        points: Vec<DpId>,
    },
    /// Which sub-devices are online (LAN_EXT_STREAM). Plain devices stay silent: done with [`Answer::Silent`].
    Subdevices,
    /// Any command with a body as it is, for tools. Done by the next frame of the same command.
    Raw {
        /// The command.
        command: Command,
        /// The body before protection.
        body: Vec<u8>,
    },
}

/// How a request ended well.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An acknowledgement without content.
    Ack,
    /// Points; they were reported by [`Event::Report`] too.
    Report(Report),
    /// Sub-devices; reported by [`Event::Subdevices`] too.
    Subdevices(SubdevicesOnline),
    /// No answer to something that devices need not answer.
    Silent,
    /// The body of another reply.
    Body(Vec<u8>),
}

/// How a request failed while the session lives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The device answered with an error text.
    #[error("the device refused {command}: {text:?}")]
    Refused {
        /// The command refused.
        command: Command,
        /// The device's words (lan.md 3.8), empty if it gave none.
        text: String,
    },
    /// No answer in time.
    #[error("no answer to {command} within {} ms", .after.as_millis())]
    Timeout {
        /// The command.
        command: Command,
        /// The time waited.
        after: Duration,
    },
    /// The answer came but is not under our key: the local key is wrong (lan.md 3.4).
    #[error("the answer to {command} is not under this local key")]
    WrongKey {
        /// The command.
        command: Command,
    },
    /// The session ended first.
    #[error("the connection ended before the answer to {command}")]
    Closed {
        /// The command.
        command: Command,
        /// True when the request had been handed to the connection, so that it may have reached the device.
        sent: bool,
    },
    /// More requests wait than a device can ever serve.
    #[error("{0} requests are waiting already")]
    TooMany(usize),
}

/// Why points were reported: a pushed repeat is an event (a button), a polled repeat is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The device spoke by itself.
    Pushed,
    /// It answered a query.
    Polled,
}

/// What a session tells its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Requests can be sent. For 3.4 and 3.5: FINISH was sent (there is no confirmation; lan.md 4.2).
    Ready,
    /// The first frame of the device was verified under the key: key and version are proven right.
    Proven,
    /// Points were reported.
    Report {
        /// The points.
        report: Report,
        /// Why.
        origin: Origin,
    },
    /// Online states of sub-devices.
    Subdevices(SubdevicesOnline),
    /// A request ended.
    Done {
        /// Which.
        id: RequestId,
        /// How.
        result: Result<Answer, RequestError>,
    },
    /// A frame nobody asked for, kept as it is.
    Unasked {
        /// Its command.
        command: Command,
        /// Its body.
        body: Vec<u8>,
    },
    /// The acknowledgement of a request that a report had completed already: some firmware pushes first.
    LateAck(RequestId),
    /// An answer was not under our key (3.1 to 3.3). Three in a row end the session.
    KeySuspect,
    /// The stream was disturbed but goes on.
    Disturbed(FramingError),
    /// The session is over: close the socket. Nothing follows but the ends of requests that come after it.
    Closed(CloseReason),
}

/// Why a session ended, as far as this end can know (lan.md 4.5, 7.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// We ended it.
    #[error("closed by us")]
    Local,
    /// The peer closed before anything was proven: busy, wrong key or wrong version.
    #[error("the device closed the connection before the session was established")]
    ClosedEarly,
    /// The peer closed an established session.
    #[error("the device closed the connection")]
    Remote,
    /// The peer accepts and stays silent to the negotiation.
    #[error("the device did not answer the session negotiation")]
    NegotiationSilent,
    /// The device answered under another key.
    #[error("the local key is wrong")]
    WrongKey,
    /// The device speaks another version.
    #[error("the device does not speak {configured}; it {evidence}")]
    WrongVersion {
        /// What we spoke.
        configured: Version,
        /// What was seen.
        evidence: &'static str,
    },
    /// The session key begins with a zero byte and the device takes it for none (lan.md 4.4): connect again.
    #[error("the negotiated key begins with a zero byte; connect again")]
    ZeroKey,
    /// RESP was too short or its proof wrong.
    #[error("the session negotiation failed: {0}")]
    Negotiation(&'static str),
    /// Integrity failure on an established session.
    #[error("integrity failure: {0}")]
    Integrity(FramingError),
    /// The stream could not be followed any more.
    #[error("the device broke the protocol: {0}")]
    Protocol(&'static str),
    /// Two heartbeats without any frame.
    #[error("the device fell silent")]
    Silent,
}

/// What a session wants done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Write these bytes, in one call.
    Transmit(Vec<u8>),
    /// News.
    Event(Event),
    /// Nothing now; call [`Session::handle_timeout`] at this time (on [`crate::Now::mono`]) at the latest, or when bytes come.
    /// `Duration::MAX` when there is no deadline.
    Wait(Duration),
}
