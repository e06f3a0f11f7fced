//! What a scan is told.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::{TCP_PORT, Version, discovery};

use super::memory::ProbeMemory;
use super::target::Target;

/// The ports a scan listens on and sends to. The defaults are those of real devices (lan.md 6.1); tests use others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Clear beacons of 3.1 devices: 6666. `None`: not listened to. 0: any free port.
    pub clear: Option<u16>,
    /// Beacons of 3.2 to 3.5 devices: 6667. `None`: not listened to. 0: any free port.
    pub encrypted: Option<u16>,
    /// Answers to our question arrive here: 7000. `None`: nothing is asked. Devices answer to port 7000 whatever we bind.
    pub answer: Option<u16>,
    /// The question goes to this port: 7000.
    pub ask: u16,
    /// The TCP port of devices: 6668.
    pub tcp: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            clear: Some(discovery::PORT_CLEAR),
            encrypted: Some(discovery::PORT_ENCRYPTED),
            answer: Some(discovery::PORT_ASK),
            ask: discovery::PORT_ASK,
            tcp: TCP_PORT,
        }
    }
}

/// A network interface of ours from which the question is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, for messages (`eth0`).
    pub name: String,
    /// Our address on it: written into the question, because answers go there (lan.md 6.4).
    pub address: Ipv4Addr,
    /// The broadcast address of its subnet, if it has one. Asked beside 255.255.255.255.
    pub broadcast: Option<Ipv4Addr>,
}

/// A device that the owner's book knows.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id.
    pub id: DeviceId,
    /// Its name, repeated in the finding.
    pub name: Option<String>,
    /// Its local key. Keys are tried on devices that TCP probes find and nobody names.
    pub key: Option<LocalKey>,
    /// Its version, as set by the owner or learnt earlier.
    pub version: Option<Version>,
    /// Where it was last.
    pub address: Option<SocketAddr>,
}

/// What a scan does. `ScanOptions::default()` listens and asks for ten seconds and probes nothing.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// How long; `None` goes on until the caller's stop. A scan with TCP probes ends when both the time is over and
    /// every target has been tried once.
    pub duration: Option<Duration>,
    /// Ports.
    pub ports: Ports,
    /// The address the three datagram sockets are bound to. 0.0.0.0 except in tests, since beacons are broadcasts.
    pub listen: Ipv4Addr,
    /// Interfaces to ask from; `None`: every IPv4 interface of this machine, loopback included, looked up anew
    /// before each question.
    pub interfaces: Option<Vec<Interface>>,
    /// Time between two questions (lan.md 6.4: 6 s).
    pub ask_every: Duration,
    /// Addresses to try by TCP. Private, link-local and loopback addresses only; others are left out and noted.
    pub probe: Vec<Target>,
    /// Time for a connection to open (lan.md 6.5: 0.4 to 1 s). An answer may take longer: [`ScanOptions::answer_timeout`].
    pub probe_timeout: Duration,
    /// Time for an answer on an open connection.
    pub answer_timeout: Duration,
    /// Pause before each further connection to the same device: many serve one client only and are slow to notice
    /// that it is gone.
    pub pause: Duration,
    /// Most probes at a time (lan.md 6.5: 50).
    pub probe_parallel: usize,
    /// Devices of the book.
    pub known: Vec<Known>,
    /// Try the book's keys on devices that only a TCP probe found: one try per device per minute, while the scan lasts.
    pub try_keys: bool,
    /// Which addresses were probed and tried when. Share one between scans of a process so that devices are not
    /// tried too often.
    pub memory: ProbeMemory,
    /// Most distinct findings kept; the number left out stands in the summary.
    pub max_findings: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            duration: Some(Duration::from_secs(10)),
            ports: Ports::default(),
            listen: Ipv4Addr::UNSPECIFIED,
            interfaces: None,
            ask_every: Duration::from_secs(6),
            probe: Vec::new(),
            probe_timeout: Duration::from_millis(700),
            answer_timeout: Duration::from_secs(2),
            pause: Duration::from_secs(1),
            probe_parallel: 50,
            known: Vec::new(),
            try_keys: true,
            memory: ProbeMemory::default(),
            max_findings: 4096,
        }
    }
}
