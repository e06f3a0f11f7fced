//! What can be asked of a line, and what it says back.

use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::Cid;
use landfall_proto::lan::body::{Report, SubdevicesOnline};
use landfall_proto::lan::session::{Answer, Origin};
use landfall_proto::lan::{self, Version};

use crate::outcome::{CommandError, Outcome, SetOptions};
use crate::state::State;

/// Names a command until it is done. Grows with every command of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// A question, which changes nothing on the device (except [`Ask::Raw`], of which we do not know).
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Report points.
    Query {
        /// Sub-device, or the device itself.
        cid: Option<Cid>,
    },
    /// Measure and report points.
    Refresh {
        /// Sub-device, or the device itself.
        cid: Option<Cid>,
        /// The points.
        points: Vec<DpId>,
    },
    /// Which sub-devices are online.
    Subdevices,
    /// Any command; sent at most once, with nothing else outstanding.
    Raw {
        /// The command.
        command: lan::Command,
        /// The body before protection.
        body: Vec<u8>,
    },
}

/// What callers want.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Set points.
    Set {
        /// Sub-device, or the device itself.
        cid: Option<Cid>,
        /// The values.
        dps: Dps,
        /// How.
        options: SetOptions,
    },
    /// Ask something.
    Ask(Ask),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// A set.
    Set(Outcome),
    /// A question.
    Ask(Result<Answer, CommandError>),
}

/// News.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// [`Line::state`](super::Line::state) changed.
    State(State),
    /// Points were reported.
    Report {
        /// The points, refined by the schema.
        report: Report,
        /// Pushed or polled.
        origin: Origin,
    },
    /// Online states of sub-devices.
    Subdevices(SubdevicesOnline),
    /// The version became known or changed.
    Version(Version),
    /// A frame nobody asked for.
    Unasked {
        /// Its command.
        command: lan::Command,
        /// Its body.
        body: Vec<u8>,
    },
}

/// What a line wants done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Open a connection; an opening or open one is given up. Answer with [`Line::connected`](super::Line::connected)
    /// or [`Line::connect_failed`](super::Line::connect_failed).
    Connect(SocketAddr),
    /// Find out the version of the device there. Answer with [`Line::detected`](super::Line::detected).
    Detect(SocketAddr),
    /// Write these bytes, in one call.
    Transmit(Vec<u8>),
    /// Close the connection, or stop opening it.
    Disconnect,
    /// News.
    Event(Event),
    /// A command ended.
    Done {
        /// Which.
        id: CommandId,
        /// How.
        completion: Completion,
    },
    /// Nothing now; call [`Line::handle_timeout`](super::Line::handle_timeout) at this time at the latest.
    /// `Duration::MAX` when there is no deadline.
    Wait(Duration),
}
