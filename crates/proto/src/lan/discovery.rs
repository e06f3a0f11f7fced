//! Discovery datagrams in all their forms (lan.md 6).

use std::net::Ipv4Addr;

use super::version::Version;
use crate::Entropy;
use crate::id::{DeviceId, ProductId, Uuid};

/// Where 3.1 devices announce themselves, in clear.
pub const PORT_CLEAR: u16 = 6666;
/// Where 3.2 to 3.5 devices announce themselves.
pub const PORT_ENCRYPTED: u16 = 6667;
/// Where clients ask and devices answer.
pub const PORT_ASK: u16 = 7000;

/// A device's word about itself. Nothing in it is authentic: the key of these datagrams is public (lan.md 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Device id; the uuid while it is not paired.
    pub id: DeviceId,
    /// The address it claims.
    pub ip: Option<Ipv4Addr>,
    /// Hardware id, newer firmware only.
    pub uuid: Option<Uuid>,
    /// Product.
    pub product_id: Option<ProductId>,
    /// Version; `None` when missing or unknown.
    pub version: Option<Version>,
    /// The version text as sent.
    pub version_text: Option<String>,
    /// 0 not paired, 1 pairing, 2 paired.
    pub active: Option<u32>,
    /// Whether the LAN channel is encrypted.
    pub encrypt: Option<bool>,
    /// Number of connected LAN clients, newer firmware only.
    pub clients: Option<u32>,
    /// Announced by a device in access-point pairing mode.
    pub access_point: bool,
}

/// A datagram understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A device.
    Beacon(Beacon),
    /// Another client asking; answer to this address, port 7000.
    Ask {
        /// Where the asker wants the answer.
        ip: Ipv4Addr,
    },
}

/// Why a datagram was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Not the discovery protocol, or damaged.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Reads a datagram of ports 6666, 6667 or 7000.
///
/// # Errors
/// Truncated, damaged, or not the discovery protocol.
pub fn parse(datagram: &[u8]) -> Result<Datagram, DatagramError> {
    let _ = datagram;
    todo!()
}

/// A beacon in the form of its version: 3.1 clear, 3.2 and 3.3 ECB 0x13, 3.4 ECB 0x23, 3.5 GCM 0x13. Port: [`port_of`].
pub fn announce(beacon: &Beacon, version: Version, entropy: &mut dyn Entropy) -> Vec<u8> {
    let _ = (beacon, version, entropy);
    todo!()
}

/// The port on which a device of this version announces itself.
pub const fn port_of(version: Version) -> u16 {
    match version {
        Version::V3_1 => PORT_CLEAR,
        _ => PORT_ENCRYPTED,
    }
}

/// The client's question who is there, to be broadcast to port 7000. `ip` is the sender's own address: answers go there.
pub fn ask(ip: Ipv4Addr, entropy: &mut dyn Entropy) -> Vec<u8> {
    let _ = (ip, entropy);
    todo!()
}
