//! What a scan finds.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use landfall_proto::id::{DeviceId, ProductId, Uuid};
use landfall_proto::lan::Version;

use crate::state::ConnectFailure;

/// What made us see a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// A clear beacon on port 6666.
    Beacon6666,
    /// An encrypted beacon on port 6667.
    Beacon6667,
    /// An answer to our question on port 7000.
    Answer7000,
    /// It accepted a TCP connection on its port 6668 (or the port that the caller named).
    Tcp,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Beacon6666 => "beacon 6666",
            Self::Beacon6667 => "beacon 6667",
            Self::Answer7000 => "answer on 7000",
            Self::Tcp => "tcp probe",
        })
    }
}

/// What we lack to talk to a device, after the book and the scan are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Missing {
    /// Its id: only a TCP probe saw it and no key of the book opens it.
    Id,
    /// Its local key is not in the book.
    Key,
    /// Neither the book nor any probe knows where it is.
    Address,
    /// Neither the book nor any probe knows its version.
    Version,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Id => "id",
            Self::Key => "key",
            Self::Address => "address",
            Self::Version => "version",
        })
    }
}

/// What a TCP probe learnt about the protocol of a device (lan.md 5.7, 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Answers a clear query in clear: 3.1.
    Clear,
    /// Answers a clear query with an encrypted or clear refusal: old framing, 3.1 to 3.3.
    Old,
    /// Accepts and stays silent, or closes: new framing (3.4, 3.5), or busy with another client.
    New,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clear => "3.1",
            Self::Old => "old framing (3.1 to 3.3)",
            Self::New => "new framing (3.4, 3.5) or busy",
        })
    }
}

/// Something odd about a finding that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The beacon claims another address than it came from; the source is believed (lan.md 6.2).
    ClaimsOtherAddress {
        /// The address in the beacon.
        claimed: Ipv4Addr,
        /// Where it came from.
        source: IpAddr,
    },
    /// The same id was heard from two addresses: moved, or two devices (or programs) claim to be it.
    SeveralAddresses {
        /// The address before.
        first: SocketAddr,
        /// The address now.
        then: SocketAddr,
    },
    /// The same id announced two versions. The newer one is kept: a forged beacon must not lower a version (lan.md 7.2).
    SeveralVersions {
        /// The version kept.
        kept: Version,
        /// The other one.
        other: Version,
    },
    /// The device announces another version than the book says; see lan.md 7.2 before believing a lower one.
    BookVersion {
        /// The book's.
        book: Version,
        /// The announced one.
        announced: Version,
    },
    /// The book has another address.
    BookAddress {
        /// The book's.
        book: SocketAddr,
        /// The one seen.
        seen: SocketAddr,
    },
    /// Another device speaks from the same address.
    SharedAddress {
        /// The other device.
        other: DeviceId,
    },
    /// It announces a version that Landfall does not know.
    UnknownVersion(String),
    /// It is in pairing mode, not paired.
    NotPaired,
    /// The device tried with the book's keys: this many do not open it.
    KeysTried(usize),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClaimsOtherAddress { claimed, source } => {
                write!(f, "claims to be at {claimed} but speaks from {source}")
            }
            Self::SeveralAddresses { first, then } => {
                write!(f, "heard from {} first, then from {}", first.ip(), then.ip())
            }
            Self::SeveralVersions { kept, other } => {
                write!(f, "announces both {kept} and {other}; {kept} is kept")
            }
            Self::BookVersion { book, announced } => {
                write!(f, "announces {announced}, the book says {book}")
            }
            Self::BookAddress { book, seen } => write!(f, "is at {seen}, the book says {book}"),
            Self::SharedAddress { other } => write!(f, "shares its address with {other}"),
            Self::UnknownVersion(text) => write!(f, "announces the unknown version {text:?}"),
            Self::NotPaired => f.write_str("is not paired (pairing mode)"),
            Self::KeysTried(n) => write!(f, "{n} of the book's keys do not open it"),
        }
    }
}

/// A device seen, or a device of the book that was not seen (then `seen_by` is empty).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Its id; `None` when only a TCP probe saw it.
    pub id: Option<DeviceId>,
    /// Its name in the book.
    pub name: Option<String>,
    /// Whether the book knows it.
    pub known: bool,
    /// Where it is: the source of its datagrams with port 6668, or the address probed; the book's if it was not seen.
    pub address: Option<SocketAddr>,
    /// Its version: announced, or found by the probe, or the book's.
    pub version: Option<Version>,
    /// What the TCP probe saw.
    pub kind: Option<Kind>,
    /// Product.
    pub product_id: Option<ProductId>,
    /// Hardware id, newer firmware only.
    pub uuid: Option<Uuid>,
    /// 0 not paired, 1 pairing, 2 paired (lan.md 6.3).
    pub active: Option<u32>,
    /// How many LAN clients it says are connected, newer firmware only.
    pub clients: Option<u32>,
    /// What saw it, in the order of [`Probe`]; empty for a device of the book that nothing saw.
    pub seen_by: Vec<Probe>,
    /// What is missing to talk to it.
    pub missing: Vec<Missing>,
    /// What is odd about it.
    pub notes: Vec<Note>,
}

/// What a scan tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanEvent {
    /// A port is open: what arrives here counts as this probe.
    Listening {
        /// Beacons or answers.
        probe: Probe,
        /// The address bound.
        address: SocketAddr,
    },
    /// Seen for the first time.
    Found(Finding),
    /// Something new about it: another probe, another address, an id.
    Changed(Finding),
    /// Heard again, nothing new. A waiting reconnect wakes on it.
    Heard {
        /// Which.
        id: DeviceId,
        /// Where it is.
        address: SocketAddr,
    },
}

/// Something a scan could not do. It goes on with the rest.
#[derive(Debug, thiserror::Error)]
pub enum ScanProblem {
    /// The port is held by a program that does not share it, or may not be opened.
    #[error("cannot listen on udp {address}: {cause}")]
    Listen {
        /// What could not be bound.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The question could not be sent on an interface.
    #[error("cannot ask on {interface}: {cause}")]
    Ask {
        /// The interface's name.
        interface: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The interfaces of this machine could not be listed.
    #[error("cannot list the network interfaces: {0}")]
    Interfaces(#[source] io::Error),
    /// There is no interface to ask on.
    #[error("no network interface has a local IPv4 address")]
    NoInterface,
    /// Reading a socket failed again and again; it is not read any more.
    #[error("cannot read udp {address}: {cause}")]
    Receive {
        /// The socket.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A connection could not be tried for a reason on this machine.
    #[error("cannot probe {address}: {cause}")]
    Probe {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: ConnectFailure,
    },
    /// A target is no address of a local network.
    #[error("{0} is not an address of a local network; it was not probed")]
    NotLocal(SocketAddr),
}

impl ScanProblem {
    /// What the owner can do about it.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Listen { cause, .. } if cause.kind() == io::ErrorKind::AddrInUse => {
                "another program holds this port without sharing it: stop it (tinytuya, tuyapi, Home Assistant), or \
                 give addresses to probe"
            }
            Self::Listen { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                "this user may not open the port: check the sandbox, container or firewall, or give addresses to probe"
            }
            Self::Listen { .. } | Self::Receive { .. } => "give addresses to probe instead",
            Self::Ask { .. } => {
                "check that the interface is up and that broadcasts are not blocked by a firewall"
            }
            Self::Interfaces(_) | Self::NoInterface => "connect this machine to the devices' network",
            Self::Probe { .. } => "probe fewer addresses at a time, or raise the limit of open files",
            Self::NotLocal(_) => "probe private, link-local or loopback addresses",
        }
    }
}

/// The end of a scan.
#[derive(Debug, Default)]
pub struct Summary {
    /// Everything seen, in the order of first sight, then the devices of the book that nothing saw.
    pub findings: Vec<Finding>,
    /// What could not be done, each kind once; the scan went on with the rest.
    pub problems: Vec<ScanProblem>,
    /// Datagrams that were not understood, by cause.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Datagrams ignored because their source is no address of a local network.
    pub foreign: u64,
    /// Questions of other clients (and our own) that were ignored.
    pub asks_ignored: u64,
    /// Sightings of further devices beyond `max_findings`.
    pub left_out: u64,
    /// Questions sent.
    pub asks_sent: u64,
    /// Addresses probed by TCP.
    pub probed: u64,
    /// Of these: not reached (refused, timed out, unreachable).
    pub probed_without_answer: u64,
    /// Addresses that answered with something other than Tuya's protocol.
    pub not_tuya: Vec<SocketAddr>,
    /// Keys that could not be tried because a device is tried once a minute only; scan longer, or again later.
    pub key_tries_left: u64,
}
