//! What was seen of a machine: plain data, so that what to make of it is decided, and tested, without a machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Everything that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) settings: SettingsSeen,
    pub(super) hub: HubSeen,
    pub(super) rights: Rights,
    pub(super) ports: Vec<PortSeen>,
    pub(super) data: DataSeen,
    pub(super) files: Vec<FileSeen>,
    pub(super) names: NamesSeen,
    pub(super) clock: ClockSeen,
}

/// The settings.
#[derive(Debug, Clone)]
pub(super) enum SettingsSeen {
    /// There is no file; the defaults are in force.
    Default,
    /// They were read from this file.
    Read { file: PathBuf, mode: Option<u32> },
    /// They can't be used. Ports and files that they name were not looked at.
    Wrong { error: String, hint: Option<String> },
}

/// Whether a hub runs in the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HubSeen {
    Absent,
    Runs,
    /// A socket is there that we can't talk to.
    Unreachable(String),
}

/// Who looks, and what they may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    /// Our effective user, where the system tells.
    pub(super) uid: Option<u32>,
    /// Ports below this one need the capability.
    pub(super) low_below: u16,
    /// Whether we have CAP_NET_BIND_SERVICE, where the system tells.
    pub(super) may_bind_low: Option<bool>,
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// A port that the settings name.
#[derive(Debug, Clone)]
pub(super) struct PortSeen {
    /// The setting: `cloud.http`.
    pub(super) key: &'static str,
    /// Who is served there, for people.
    pub(super) what: &'static str,
    pub(super) transport: Transport,
    pub(super) at: SocketAddr,
    pub(super) bind: Bind,
}

/// What became of the attempt to bind it.
#[derive(Debug, Clone)]
pub(super) enum Bind {
    Free,
    /// Somebody has it; those who could be found out.
    Busy(Vec<Holder>),
    /// We lack the right; those who have it already, if any.
    Forbidden(Vec<Holder>),
    /// The address is none of this machine.
    NotOurs,
    Failed(String),
}

/// A process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The user it runs as, by name where there is one.
    pub(super) user: String,
    /// Process id and name, where we may see them.
    pub(super) process: Option<(u32, String)>,
}

/// The data directory.
#[derive(Debug, Clone)]
pub(super) struct DataSeen {
    pub(super) path: PathBuf,
    pub(super) state: DirState,
}

/// What is at the data directory's path.
#[derive(Debug, Clone)]
pub(super) enum DirState {
    /// Nothing yet; the nearest directory above it that exists, and whether we may write there.
    Missing {
        above: PathBuf,
        writable: bool,
    },
    /// Something else.
    NoDirectory,
    /// We may not look.
    Unreadable(String),
    Found(DirFound),
}

/// A data directory that exists.
#[derive(Debug, Clone)]
pub(super) struct DirFound {
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    /// Its owner's name, or the number.
    pub(super) owner: String,
    pub(super) writable: bool,
    /// Bytes that may still be written, where the system tells.
    pub(super) free: Option<u64>,
    /// Files with secrets in it that others than their owner may read, with their modes.
    pub(super) loose: Vec<(PathBuf, u32)>,
}

/// A file that the settings name.
#[derive(Debug, Clone)]
pub(super) struct FileSeen {
    /// The setting: `mqtt.password_file`.
    pub(super) key: &'static str,
    pub(super) path: PathBuf,
    /// Whether it holds a secret.
    pub(super) secret: bool,
    pub(super) state: FileState,
}

/// What became of the attempt to open it.
#[derive(Debug, Clone)]
pub(super) enum FileState {
    Missing,
    Unreadable(String),
    Readable {
        /// Permission bits.
        mode: u32,
    },
}

/// Where the vendor's names lead.
#[derive(Debug, Clone)]
pub(super) enum NamesSeen {
    /// Not to be asked.
    NotAsked,
    /// The hub is no cloud of devices, or of this machine alone: nobody depends on the names.
    NoMatter(&'static str),
    Asked {
        answers: Vec<(String, Answer)>,
        /// The addresses of this machine, and the one that devices are told.
        ours: Vec<IpAddr>,
        /// Whether devices can ask the hub's own DNS.
        own_dns: Option<SocketAddr>,
    },
}

/// What the system's resolver said.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Leads(Vec<IpAddr>),
    /// No such name, or the resolver is not there.
    Nothing(String),
    /// Nothing within the time that was given.
    Late,
}

/// The clock.
#[derive(Debug, Clone)]
pub(super) struct ClockSeen {
    /// Seconds since 1970-01-01 UTC.
    pub(super) now: i64,
    /// Whether it is set by the network, where the system tells, and by what that is known.
    pub(super) synchronised: Option<(bool, &'static str)>,
    /// The time zone that rules days, where one is known.
    pub(super) zone: Option<String>,
    /// Whether the settings name it.
    pub(super) zone_is_set: bool,
    /// When the newest file of the data directory was written.
    pub(super) newest_file: Option<(PathBuf, i64)>,
}
