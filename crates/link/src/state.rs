//! How the connection to a device stands, and why it failed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::lan::session::CloseReason;

/// How the connection to a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No address is known; a beacon or the owner must tell.
    NoAddress,
    /// The version is unknown and being found out.
    Detecting,
    /// TCP connection opening (or waiting for its turn among the simultaneous handshakes).
    Connecting {
        /// Where to.
        address: SocketAddr,
    },
    /// TCP connection open, session key being negotiated.
    Negotiating,
    /// Commands go out at once.
    Ready,
    /// Failed; the next try comes by itself.
    Waiting {
        /// Why.
        failure: Failure,
        /// Time to the next try, counted from when the state was entered.
        retry_in: Duration,
    },
    /// Trying is pointless (key, version); goes on after new data in a beacon, a change by the owner, or this long.
    Stopped {
        /// Why.
        failure: Failure,
        /// Time to the next try, counted from when the state was entered.
        retry_in: Duration,
    },
    /// The handle was closed.
    Closed,
}

impl fmt::Display for State {
    /// Completes the sentence "the connection ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("has no address yet"),
            Self::Detecting => f.write_str("waits for the device's version to be found out"),
            Self::Connecting { address } => write!(f, "is opening to {address}"),
            Self::Negotiating => f.write_str("is negotiating"),
            Self::Ready => f.write_str("is ready"),
            Self::Waiting { failure, retry_in } => {
                write!(f, "failed ({failure}), next try after {} ms", retry_in.as_millis())
            }
            Self::Stopped { failure, retry_in } => {
                write!(f, "is stopped ({failure}), next try after {} s", retry_in.as_secs())
            }
            Self::Closed => f.write_str("was closed"),
        }
    }
}

/// Why a TCP connection did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnectFailure {
    /// RST: nothing listens there.
    #[error("connection refused")]
    Refused,
    /// Nothing came back.
    #[error("no answer to the connection attempt")]
    TimedOut,
    /// No route, or the network says that the host is not there.
    #[error("host unreachable")]
    Unreachable,
    /// Anything else, as the operating system names it.
    #[error("cannot connect: {0}")]
    Other(io::ErrorKind),
}

impl From<&io::Error> for ConnectFailure {
    fn from(e: &io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            other => Self::Other(other),
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// TCP did not open.
    #[error("{0}")]
    Connect(ConnectFailure),
    /// A session ended.
    #[error("{0}")]
    Session(CloseReason),
    /// Accepted and closed at once: usually another program or the app holds the device's connection.
    #[error("the device accepted the connection and closed it at once; another client may hold it")]
    Busy,
    /// So many tries in a row ended as they do under a wrong local key.
    #[error("{tries} tries ended as under a wrong local key: {last}")]
    KeySuspected {
        /// How many.
        tries: u8,
        /// How the last one ended.
        last: CloseReason,
    },
    /// The version could not be found out.
    #[error("the protocol version could not be found out: {0}")]
    Detection(Box<str>),
}
