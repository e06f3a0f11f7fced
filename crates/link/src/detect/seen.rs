//! What was asked on a fresh connection, and what came back: the evidence of detection and diagnosis.

use std::fmt;

use landfall_proto::id::DeviceId;
use landfall_proto::lan::Version;

use crate::state::ConnectFailure;

/// What was done on one fresh connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Nothing was sent: a device without a free session closes by itself, a healthy one waits.
    Nothing,
    /// A query in clear text in a 55AA frame (lan.md 5.7).
    Clear,
    /// A session of this version and a query. For 3.4 and 3.5 the negotiation comes first.
    Session(Version),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("a connection on which nothing was sent"),
            Self::Clear => f.write_str("a query in clear text"),
            Self::Session(version) => write!(f, "a {version} session"),
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// There was no connection.
    NoConnection(ConnectFailure),
    /// The device closed the connection before any frame.
    Closed {
        /// Within a second.
        at_once: bool,
    },
    /// The connection stayed open and nothing came.
    Silent,
    /// Something that is not Tuya's protocol.
    Foreign,
    /// To a clear query: JSON in clear, or a message signed in the way of 3.1.
    Json {
        /// The device id in it.
        id: Option<DeviceId>,
    },
    /// To a clear query: an error text in clear. 3.1, or 3.2 and 3.3 firmware that doesn't encrypt errors.
    Text(String),
    /// To a clear query: an encrypted body, which only 3.2 and 3.3 send in such frames.
    Cipher {
        /// Whether it opens under the key. `None`: there was no key to try.
        opens: Option<bool>,
    },
    /// To a clear query: an empty reply of the old framing.
    Empty,
    /// A 55AA frame without a valid CRC, as those of 3.4 look.
    Frame34,
    /// A 6699 frame: 3.5.
    Frame35,
    /// The session was negotiated (key and version are right) but the query was not answered.
    Established,
    /// The query was answered.
    Answered {
        /// How many points the answer had.
        points: usize,
    },
    /// The gateway answered for the sub-device, and says that it is offline.
    CutOff,
    /// The query was refused in these words.
    Refused(String),
    /// The device answered under another key.
    WrongKey,
    /// The device showed that it speaks another version.
    WrongVersion(&'static str),
    /// The session broke otherwise.
    Broken(String),
}

impl Seen {
    /// The device refused because it could not read the question, as opposed to not liking it (lan.md 3.8).
    pub(crate) fn is_unreadable_to_device(&self) -> bool {
        matches!(self, Self::Refused(t) | Self::Text(t)
            if t.contains("parse data error") || t.contains("data format error"))
    }

    /// The words that call for the device22 form (lan.md 5.5).
    pub(crate) fn is_data_unvalid(&self) -> bool {
        matches!(self, Self::Refused(t) | Self::Text(t) if t.contains("data unvalid"))
    }
}

impl fmt::Display for Seen {
    /// Completes the sentence "a ... session: ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(e) => write!(f, "{e}"),
            Self::Closed { at_once: true } => f.write_str("accepted, then closed at once"),
            Self::Closed { at_once: false } => f.write_str("accepted, then closed without an answer"),
            Self::Silent => f.write_str("accepted, no answer"),
            Self::Foreign => f.write_str("answered with something that is not Tuya's protocol"),
            Self::Json { id: Some(id) } => write!(f, "answered in clear as {id}: 3.1"),
            Self::Json { id: None } => f.write_str("answered in clear: 3.1"),
            Self::Text(text) => write!(f, "answered {text:?} in clear"),
            Self::Cipher { opens: None } => f.write_str("answered encrypted: 3.2 or 3.3"),
            Self::Cipher { opens: Some(true) } => f.write_str("answered encrypted under our key: 3.2 or 3.3"),
            Self::Cipher { opens: Some(false) } => {
                f.write_str("answered encrypted under another key: 3.2 or 3.3")
            }
            Self::Empty => f.write_str("answered with an empty frame: 3.1 to 3.3"),
            Self::Frame34 => f.write_str("sent a frame as 3.4 does"),
            Self::Frame35 => f.write_str("sent a frame of 3.5"),
            Self::Established => f.write_str("key and version were accepted, the query got no answer"),
            Self::Answered { points } => write!(f, "answered with {points} data points"),
            Self::CutOff => {
                f.write_str("the gateway answered with what it remembers: the sub-device is offline")
            }
            Self::Refused(text) => write!(f, "refused: {text:?}"),
            Self::WrongKey => f.write_str("answered under another local key"),
            Self::WrongVersion(evidence) => write!(f, "another version: it {evidence}"),
            Self::Broken(how) => write!(f, "broke off: {how}"),
        }
    }
}

/// One connection and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub asked: Asked,
    /// What came back.
    pub seen: Seen,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.seen)
    }
}
