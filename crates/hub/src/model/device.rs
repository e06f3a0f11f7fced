//! What is known of a device, as everybody but the core sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{Cid, DeviceId, ProductId, Uuid};
use landfall_proto::lan::Version;

use super::{EnergyView, Seq};
use crate::profile::Definition;

/// A way to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// The connection that we hold to its port 6668.
    Lan,
    /// The connection that it holds to our cloud.
    Cloud,
}

impl Line {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Cloud => "cloud",
        }
    }
}

/// How a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineState {
    /// Nothing is known to be possible: no key, no address, never seen at our cloud.
    #[default]
    Unused,
    /// Being opened, or waiting for the next try.
    Opening,
    /// Commands go out at once.
    Up,
    /// It failed.
    Down,
}

/// How a line is, with reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineView {
    /// How it is.
    pub state: LineState,
    /// In words, where there is something to say: why it failed, what it waits for. No secrets.
    pub why: Option<String>,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// The device's address on this line, once known.
    pub address: Option<SocketAddr>,
}

/// Whether a device can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Nothing was heard since the hub started.
    #[default]
    Unknown,
    /// A line is up, or was until a moment ago.
    Online,
    /// No line for longer than the grace time.
    Offline {
        /// Since when, milliseconds since 1970.
        since_ms: u64,
        /// Why, in words.
        why: String,
    },
    /// A sleeper that has gone to sleep: its last values hold.
    Asleep {
        /// Since when, milliseconds since 1970.
        since_ms: u64,
    },
}

impl Presence {
    /// Its word: `unknown`, `online`, `offline`, `asleep`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline { .. } => "offline",
            Self::Asleep { .. } => "asleep",
        }
    }

    /// Whether bridges shall call it available: a sleeper is.
    pub const fn available(&self) -> bool {
        matches!(self, Self::Online | Self::Asleep { .. })
    }
}

/// What the book says of a device, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Device id. Sub-devices have one of their own.
    pub id: DeviceId,
    /// Former ids.
    pub aliases: Vec<DeviceId>,
    /// The owner's name for it.
    pub name: String,
    /// Hardware.
    pub uuid: Option<Uuid>,
    /// Product.
    pub product_id: Option<ProductId>,
    /// The vendor's name of the product.
    pub product_name: Option<String>,
    /// The vendor's category code (`cz`, `dj`...).
    pub category: Option<String>,
    /// Protocol version on the LAN.
    pub version: Option<Version>,
    /// Firmware version, as the device said.
    pub software: Option<String>,
    /// The gateway, of a sub-device.
    pub parent: Option<DeviceId>,
    /// Its id under the gateway.
    pub cid: Option<Cid>,
    /// MAC address, a hint.
    pub mac: Option<String>,
    /// It sleeps most of the time.
    pub sleeper: bool,
    /// Whether its local key is known.
    pub has_key: bool,
    /// The room, where the owner said.
    pub room: Option<String>,
}

impl Facts {
    /// A device of which the book knows no more than id and name: awake most of the time, without a key.
    pub const fn new(id: DeviceId, name: String) -> Self {
        Self {
            id,
            aliases: Vec::new(),
            name,
            uuid: None,
            product_id: None,
            product_name: None,
            category: None,
            version: None,
            software: None,
            parent: None,
            cid: None,
            mac: None,
            sleeper: false,
            has_key: false,
            room: None,
        }
    }
}

/// A point as last reported.
#[derive(Clone, Debug, PartialEq)]
pub struct PointView {
    /// Its value.
    pub value: DpValue,
    /// When it was last reported, milliseconds since 1970.
    pub at_ms: u64,
    /// When it last changed, milliseconds since 1970.
    pub changed_ms: u64,
    /// The line it came over.
    pub line: Line,
    /// It should have been reported again by now.
    pub stale: bool,
}

/// A device as everybody but the core sees it. Made anew with each change; hold it as long as you like.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// What the book says.
    pub facts: Arc<Facts>,
    /// What its points mean.
    pub definition: Arc<Definition>,
    /// Whether it can be had.
    pub presence: Presence,
    /// The LAN line. A sub-device shows its gateway's.
    pub lan: Arc<LineView>,
    /// The cloud line.
    pub cloud: Arc<LineView>,
    /// The line that the next command takes.
    pub route: Option<Line>,
    /// Points as last reported.
    pub points: BTreeMap<DpId, PointView>,
    /// The energy account, of devices that measure.
    pub energy: Option<EnergyView>,
    /// When anything was last heard of it, milliseconds since 1970.
    pub heard_ms: Option<u64>,
    /// The last change of it.
    pub seq: Seq,
}

impl DeviceView {
    /// Its id.
    pub fn id(&self) -> &DeviceId {
        &self.facts.id
    }

    /// The values alone.
    pub fn dps(&self) -> Dps {
        self.points.iter().map(|(id, p)| (*id, p.value.clone())).collect()
    }

    /// Its state as people read it: attributes by their names, scaled; `energy` in kWh where it is counted.
    pub fn state(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut state = self.definition.read(&self.dps());
        if let Some(energy) = &self.energy {
            energy.write_into(&mut state);
        }
        state
    }
}
