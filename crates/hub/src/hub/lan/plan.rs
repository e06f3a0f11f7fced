//! What the book says of a device, as far as its LAN line goes.

use std::net::SocketAddr;
use std::sync::Arc;

use landfall_link::DeviceConfig;
use landfall_proto::dp::DpId;
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::schema::Schema;

/// Points that a device22 query lists when nothing is known of the device: the standard ones (lan.md 5.6).
const USUAL_POINTS: [u16; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// What the book says of a device, as far as its LAN line goes.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::hub) struct Plan {
    pub(in crate::hub) id: DeviceId,
    pub(in crate::hub) key: Option<LocalKey>,
    pub(in crate::hub) address: Option<SocketAddr>,
    pub(in crate::hub) version: Option<Version>,
    pub(in crate::hub) schema: Arc<Schema>,
    pub(in crate::hub) device22: bool,
    pub(in crate::hub) sleeper: bool,
    /// Its sub-devices.
    pub(in crate::hub) children: Vec<Cid>,
}

impl Plan {
    /// Why no connection is kept to it, if none is.
    pub(super) fn idle(&self) -> Option<&'static str> {
        if self.sleeper {
            return Some("it sleeps, and reports to the cloud by itself");
        }
        self.key.is_none().then_some("its local key is not known")
    }

    pub(super) fn config(&self, key: LocalKey) -> DeviceConfig {
        let mut config = DeviceConfig::new(self.id.clone(), key);
        config.address = self.address;
        config.version = self.version;
        config.schema = Arc::clone(&self.schema);
        config.device22 = self.device22;
        config.device22_points = match self.schema.0.is_empty() {
            true => USUAL_POINTS.map(DpId).to_vec(),
            false => self.schema.0.keys().copied().collect(),
        };
        // Measuring again and again is the brain's business: it knows both lines.
        config.refresh = None;
        config
    }
}
