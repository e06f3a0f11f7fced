//! Addresses to probe: `ADDR`, `ADDR:PORT`, `ADDR/PREFIX`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

/// The widest network that is probed without being forced: /16, 65534 addresses.
pub const WIDEST: u8 = 16;

/// What to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One address on the ordinary port.
    Address(Ipv4Addr),
    /// One address and port.
    Socket(SocketAddrV4),
    /// Every host of a network.
    Network {
        /// The network's first address.
        network: Ipv4Addr,
        /// Its prefix length, 0 to 32.
        prefix: u8,
    },
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither of the forms.
    #[error("{0:?} is no address, ADDR:PORT or network such as 192.168.1.0/24")]
    Form(String),
    /// A prefix that is no number from 0 to 32.
    #[error("{text:?}: the prefix length {prefix:?} is no number from 0 to 32")]
    Prefix {
        /// The whole text.
        text: String,
        /// The part behind the slash.
        prefix: String,
    },
    /// Too many addresses.
    #[error("{text:?} has {hosts} addresses; networks wider than /{WIDEST} are not probed unless forced")]
    TooWide {
        /// The whole text.
        text: String,
        /// How many addresses it has.
        hosts: u64,
    },
    /// Outside private, link-local and loopback ranges.
    #[error("{0:?} is not part of a local network")]
    NotLocal(String),
}

impl Target {
    /// Reads a target; a network wider than /16 is taken when `force` is set.
    ///
    /// # Errors
    /// Not one of the forms, too wide, or not part of a private, link-local or loopback network.
    pub fn parse(text: &str, force: bool) -> Result<Self, TargetError> {
        let _ = (text, force);
        todo!()
    }
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text, false)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(a) => write!(f, "{a}"),
            Self::Socket(s) => write!(f, "{s}"),
            Self::Network { network, prefix } => write!(f, "{network}/{prefix}"),
        }
    }
}
