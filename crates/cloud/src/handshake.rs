//! How far each device has come: which step, over what, when, and what it still lacks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::backend::Generation;
use crate::listen::Over;

/// The steps of a device's life in the cloud, in the order in which they are usually taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It asked our DNS for a name of the vendor.
    Dns,
    /// It asked the name service.
    NameService,
    /// A TLS handshake was finished.
    Tls,
    /// It asked for the addresses of the servers (A, B).
    Token,
    /// It asked to be activated.
    ActivationAsked,
    /// It was given keys.
    Activated,
    /// It asked for its configuration: clock, time zone.
    Configured,
    /// It logged in on MQTT.
    Mqtt,
    /// It subscribed to its commands.
    Subscribed,
    /// It reported points in an envelope that verified.
    Reported,
    /// It asked about timers.
    Timers,
    /// It asked about firmware.
    Firmware,
}

/// When a step was taken last, how often, over what and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Seconds since 1970-01-01 UTC.
    pub at: u64,
    /// How often so far.
    pub count: u64,
    /// Over what.
    pub over: Over,
    /// From where.
    pub peer: Option<IpAddr>,
}

/// The record of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Steps taken.
    pub steps: BTreeMap<Step, Mark>,
    /// Refusals by code: `mqtt.password`, `gateway.signature`, `envelope.key`...
    pub refusals: BTreeMap<String, Mark>,
    /// Calls by action.
    pub questions: BTreeMap<String, u64>,
    /// Generation seen.
    pub generation: Option<Generation>,
    /// Whether it is logged in now.
    #[serde(skip)]
    pub connected: bool,
    /// Reports that verified.
    pub reports: u64,
    /// Reports known to be missing.
    pub lost: u64,
}

/// All records, kept in `<data>/cloud/handshakes.json` and written there every few seconds when something changed.
#[derive(Debug)]
pub struct Handshakes {
    // filled in with the module
    _path: std::path::PathBuf,
}

/// Who a mark is about: a device by its id, unknown hardware by what it calls itself, an address that only asked DNS.
pub use landfall_proto::id::DeviceId;

impl Handshakes {
    /// The records of this data directory; damaged or missing ones start anew (they are no secrets and come back).
    pub fn open(data_dir: &std::path::Path) -> Self {
        Self { _path: data_dir.join("cloud/handshakes.json") }
    }

    /// A step was taken. `who` is the device id, or the uuid of hardware that has no id yet.
    pub fn step(&self, _who: &str, _step: Step, _mark: Mark) {}

    /// Something was refused.
    pub fn refused(&self, _who: &str, _code: &'static str, _mark: Mark) {}
}
