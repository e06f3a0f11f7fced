//! Settings of a simulation.

use std::net::Ipv4Addr;
use std::sync::Arc;

use landfall_proto::lan::discovery;

use crate::cloud::Dial;

/// How devices without an address of their own get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// An own loopback address each, from the home's `network` on, all on port 6668. Foreign clients expect that port.
    Loopback,
    /// 127.0.0.1 and a free port each. For systems that know no other loopback address (macOS), and for tests.
    Ports,
    /// Nowhere: no sockets at all but those to the cloud. For tests on a paused clock.
    Nowhere,
}

impl Default for Addresses {
    fn default() -> Self {
        if cfg!(target_os = "linux") { Self::Loopback } else { Self::Ports }
    }
}

/// How devices make themselves known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Where announcements go. `None`: 127.255.255.255 from loopback addresses, 255.255.255.255 from others.
    pub target: Option<Ipv4Addr>,
    /// Port of 3.1 announcements: 6666.
    pub clear: u16,
    /// Port of the others: 6667.
    pub encrypted: u16,
    /// Port on which clients ask and are answered: 7000.
    pub ask: u16,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            target: None,
            clear: discovery::PORT_CLEAR,
            encrypted: discovery::PORT_ENCRYPTED,
            ask: discovery::PORT_ASK,
        }
    }
}

/// Settings of a simulation.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses.
    pub addresses: Addresses,
    /// Announcements and answers; `None` for a home that can't be found by looking.
    pub discovery: Option<Discovery>,
    /// What nonces and counters follow from. `None`: the time of the start, so that no two runs share them.
    pub entropy_seed: Option<u64>,
    /// How devices reach their cloud: [`Sockets::mapped`](crate::cloud::Sockets::mapped) for a cloud on this machine,
    /// [`Sockets::system`](crate::cloud::Sockets::system) in a network whose DNS leads to it. `None`: the cloud sides
    /// of all devices are off.
    pub cloud: Option<Arc<dyn Dial>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            discovery: Some(Discovery::default()),
            entropy_seed: None,
            cloud: None,
        }
    }
}

impl Options {
    /// Free ports on 127.0.0.1 and no discovery: what tests want.
    pub const fn quiet() -> Self {
        Self { addresses: Addresses::Ports, discovery: None, entropy_seed: Some(1), cloud: None }
    }

    /// The same with a cloud.
    #[must_use]
    pub fn with_cloud(mut self, dial: Arc<dyn Dial>) -> Self {
        self.cloud = Some(dial);
        self
    }
}
