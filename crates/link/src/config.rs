//! What a link and a device handle must know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::DpId;
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::session::Timing;
use landfall_proto::schema::Schema;

/// What all devices of a process share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// How many connections may be opening or negotiating at the same time; the rest wait in order.
    pub handshakes: usize,
    /// How long opening a TCP connection may take (lan.md 5.1: 5 s).
    pub connect_timeout: Duration,
    /// How many news items the link-wide subscription keeps for a slow listener before it tells it that it lags.
    pub news_capacity: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self { handshakes: 64, connect_timeout: Duration::from_secs(5), news_capacity: 1024 }
    }
}

/// Points that a device measures only when told so (UPDATEDPS, lan.md 5.3): 4, 5, 6 or 18, 19, 20 on metering plugs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The points.
    pub points: Vec<DpId>,
    /// How often, while connected.
    pub every: Duration,
}

/// What a device handle must know of its device.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Device id (of a sub-device: its gateway's).
    pub id: DeviceId,
    /// Local key.
    pub key: LocalKey,
    /// Where it listens; `None` until a beacon or [`Device::set_address`](crate::Device::set_address) tells.
    pub address: Option<SocketAddr>,
    /// LAN protocol version; `None`: taken from a beacon, else found out by asking.
    pub version: Option<Version>,
    /// The product's points. Decides which writes must reach the device at most once, and refines what is heard.
    /// An empty one knows nothing.
    pub schema: Arc<Schema>,
    /// Ask in the device22 form (always so on 3.2). Some devices execute null writes: only when the owner chose it (lan.md 5.5).
    pub device22: bool,
    /// Points that a device22 query lists.
    pub device22_points: Vec<DpId>,
    /// Query the device as soon as it is connected (lan.md 5.3: what changed before was not pushed).
    pub query_on_connect: bool,
    /// Points to have measured again and again.
    pub refresh: Option<Refresh>,
    /// Send one point per message, 1 s apart, for bulbs that time out on more (lan.md 5.3).
    pub single_points: bool,
    /// Deadline of commands that name none.
    pub timeout: Duration,
    /// Times of a session.
    pub timing: Timing,
}

impl DeviceConfig {
    /// A device without address and version, otherwise the usual: 5 s deadlines, queried when connected.
    pub fn new(id: DeviceId, key: LocalKey) -> Self {
        Self {
            id,
            key,
            address: None,
            version: None,
            schema: Arc::default(),
            device22: false,
            device22_points: Vec::new(),
            query_on_connect: true,
            refresh: None,
            single_points: false,
            timeout: Duration::from_secs(5),
            timing: Timing::default(),
        }
    }
}
