//! What makes one virtual device different from another.

use core::time::Duration;

use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::version::ReplySequence;

use crate::cloud::CloudSpec;
use crate::faults::FaultPlan;
use crate::kind::Kind;
use crate::load::{Load, Mains};
use crate::product::Product;

/// One device, as it is set up once and for all.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    /// Name for people.
    pub name: String,
    /// Device id.
    pub id: DeviceId,
    /// Local key.
    pub key: LocalKey,
    /// LAN protocol version.
    pub version: Version,
    /// What it is.
    pub kind: Kind,
    /// What all its randomness follows from.
    pub seed: u64,
    /// The mains that it is connected to.
    pub mains: Mains,
    /// What is plugged into a metering plug.
    pub load: Load,
    /// How long a cover takes from shut to open.
    pub travel: Duration,
    /// How it numbers replies (lan.md 1.4, 5.4).
    pub reply_sequence: ReplySequence,
    /// Simultaneous clients; one more is accepted and closed at once (lan.md 5.1).
    pub clients: usize,
    /// A client silent for this long is dropped (lan.md 5.1).
    pub idle: Duration,
    /// Habits of its firmware.
    pub habits: Habits,
    /// Faults that happen by themselves.
    pub faults: FaultPlan,
    /// Sub-devices, of a gateway.
    pub children: Vec<ChildSpec>,
    /// How many writes its journal holds.
    pub journal: usize,
    /// Its cloud side. It does nothing before [`VirtualDevice::join_cloud`](crate::device::VirtualDevice::join_cloud).
    pub cloud: Option<CloudSpec>,
}

/// A sub-device behind a gateway.
#[derive(Clone, Debug)]
pub struct ChildSpec {
    /// Name for people.
    pub name: String,
    /// Its own device id, which only the cloud and files use.
    pub id: DeviceId,
    /// The node id that names it on the LAN.
    pub cid: Cid,
    /// What it is; anything but a gateway.
    pub kind: Kind,
    /// What is plugged into a metering plug.
    pub load: Load,
    /// How long a cover takes from shut to open.
    pub travel: Duration,
    /// Whether the gateway reaches it; if not, it is reported offline, and nothing it is told has an effect.
    pub online: bool,
}

/// When a device stops announcing itself (lan.md 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Quiet {
    /// While any client is connected (older firmware).
    #[default]
    Any,
    /// While no further client would be served (newer firmware).
    Full,
    /// Never.
    Never,
}

/// Habits of a firmware. The default is a well-behaved device of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)] // Each is a habit seen on some firmware, and they come in every combination.
pub struct Habits {
    /// Never announces itself and only answers when asked, as the vendor's 3.5 code (lan.md 6.4).
    pub silent: bool,
    /// When announcements stop.
    pub quiet: Quiet,
    /// Acknowledges control with retcode 1 in little endian, as the vendor's 3.5 code (lan.md 1.3).
    pub vendor_ack: bool,
    /// Closes when a client's sequence does not grow (lan.md 1.4).
    pub enforce_sequence: bool,
    /// Falls into the zero-byte trap instead of avoiding it (lan.md 4.4).
    pub zero_key_trap: bool,
    /// Error texts in clear on 3.2 and 3.3 (lan.md 3.4).
    pub clear_errors: bool,
    /// Does not answer UPDATEDPS, as the vendor's 3.5 code (lan.md 2).
    pub silent_refresh: bool,
    /// Pushes before it acknowledges (lan.md 5.3).
    pub push_first: bool,
    /// Reports a value that was set already, marked as unchanged, instead of nothing (lan.md 5.3).
    pub repeat_unchanged: bool,
    /// Listens on the LAN only after its cloud answered, once per power-on (localtuya issue 501). Only where the cloud
    /// side is on.
    pub lan_after_cloud: bool,
    /// Current, power and voltage are there only while MQTT is up, as on the plug of cloud.md 6.2. Only where the cloud
    /// side is on.
    pub energy_needs_mqtt: bool,
}

impl Habits {
    /// What most firmware of this version does.
    pub fn usual(version: Version) -> Self {
        let newer = version >= Version::V3_4;
        Self {
            silent: version == Version::V3_5,
            quiet: if newer { Quiet::Full } else { Quiet::Any },
            ..Self::default()
        }
    }

    /// Everything that the vendor's published 3.5 code does (sdk-observed 2).
    pub fn vendor() -> Self {
        Self {
            silent: true,
            quiet: Quiet::Full,
            vendor_ack: true,
            enforce_sequence: true,
            zero_key_trap: true,
            silent_refresh: true,
            push_first: true,
            ..Self::default()
        }
    }
}

impl DeviceSpec {
    /// A device with the usual habits of its kind and version, nothing plugged in, no faults.
    pub fn new(id: DeviceId, key: LocalKey, version: Version, kind: Kind) -> Self {
        Self {
            name: kind.as_str().to_owned(),
            id,
            key,
            version,
            kind,
            seed: 1,
            mains: Mains { nominal: 230, seed: 1 },
            load: Load::None,
            travel: Duration::from_secs(20),
            reply_sequence: ReplySequence::Echo,
            clients: Product::of(kind).clients,
            idle: Duration::from_secs(30),
            habits: Habits::usual(version),
            faults: FaultPlan::default(),
            children: Vec::new(),
            journal: 4_096,
            cloud: None,
        }
    }

    /// The facts about its product.
    pub fn product(&self) -> &'static Product {
        Product::of(self.kind)
    }

    /// Whether anything listens on the network: a battery sensor by itself sleeps.
    pub fn listens(&self) -> bool {
        !self.kind.sleeps()
    }
}
