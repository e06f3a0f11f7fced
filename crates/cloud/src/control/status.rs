//! How everything stands: what `landfall cloud status` shows.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use landfall_proto::id::{DeviceId, ProductId, Uuid};
use serde::{Deserialize, Serialize};

use super::{ImageInfo, Owner, Window};
use crate::backend::{Backend, Generation, Registration};
use crate::handshake::{Doors, Handshakes, Lack, Mark, Record, Step, lacks};
use crate::journal::Health;
use crate::listen::Over;
use crate::shared::{Bound, Shared};

/// Names of one device that are shown; the rest is counted by the DNS server.
const NAMES: usize = 8;

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The running cloud; missing when none runs.
    pub running: Option<Running>,
    /// The owner's devices, by name.
    pub devices: Vec<DeviceStatus>,
    /// Others who came, who was heard last first.
    pub strangers: Vec<Stranger>,
}

/// A running cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub bound: Bound,
    /// What devices are told as its address.
    pub advertise: String,
    /// Now, by its clock, in seconds since 1970-01-01 UTC.
    pub now: u64,
    /// Windows for activations that are open.
    pub windows: Vec<Window>,
    /// The journal of reports.
    pub journal: Health,
    /// Devices that are logged in.
    pub connected: usize,
}

/// A step that a device took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Which: the name of a [`Step`], or the code of a refusal.
    pub step: String,
    /// When last, seconds since 1970-01-01 UTC.
    pub at: u64,
    /// How often.
    pub count: u64,
    /// Over what.
    pub over: Over,
    /// From where.
    pub peer: Option<IpAddr>,
}

impl StepStatus {
    fn new(step: impl Into<String>, m: &Mark) -> Self {
        Self { step: step.into(), at: m.at, count: m.count, over: m.over, peer: m.peer }
    }
}

/// A device of the owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Device id.
    pub id: DeviceId,
    /// The owner's name for it.
    pub name: String,
    /// The hardware.
    pub uuid: Option<Uuid>,
    /// Product.
    pub product_id: Option<ProductId>,
    /// Generation of its firmware, once seen.
    pub generation: Option<Generation>,
    /// Whether it is logged in.
    pub connected: bool,
    /// Over what it logged in last.
    pub over: Option<Over>,
    /// What we know of its keys.
    pub keys: KeysKnown,
    /// Where it was heard last.
    pub peer: Option<IpAddr>,
    /// When it was heard last, seconds since 1970-01-01 UTC.
    pub last: Option<u64>,
    /// Reports that verified.
    pub reports: u64,
    /// Reports known to be missing.
    pub lost: u64,
    /// Questions about firmware: each was answered by "no update", unless an image is approved.
    pub firmware_questions: u64,
    /// Images that are approved for it.
    pub images: Vec<ImageInfo>,
    /// Whether its first password is pinned, because its sec key is unknown.
    pub pinned: bool,
    /// Steps, in their order.
    pub steps: Vec<StepStatus>,
    /// Refusals, by code.
    pub refusals: Vec<StepStatus>,
    /// Calls by action.
    pub questions: BTreeMap<String, u64>,
    /// Names that its address asked our DNS for and that look like the vendor's or lead elsewhere.
    pub elsewhere: Vec<String>,
    /// What it still lacks.
    pub lacks: Option<Lack>,
}

/// What we know of a device's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeysKnown {
    /// Both.
    Both,
    /// The local key alone: it was paired elsewhere.
    LocalOnly,
    /// Keys were handed out and not used yet.
    Pending,
    /// None.
    None,
}

/// Somebody who is not in the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// What it calls itself, or its address.
    pub who: String,
    /// Steps, in their order.
    pub steps: Vec<StepStatus>,
    /// Refusals, by code.
    pub refusals: Vec<StepStatus>,
}

/// Collects the status. `shared`: of a running cloud.
pub fn status(
    backend: &dyn Backend,
    owner: &dyn Owner,
    handshakes: &Handshakes,
    shared: Option<&Shared>,
) -> Status {
    let doors = Doors { bound: shared.map(Shared::bound) };
    let images = owner.images();
    let mut records = handshakes.devices();
    let devices: Vec<DeviceStatus> = backend
        .devices()
        .into_iter()
        .map(|d| {
            let record = records.remove(&d.id).unwrap_or_default();
            let images = images.iter().filter(|i| i.device == d.id).cloned().collect();
            device(&d, record, images, handshakes, shared, doors)
        })
        .collect();
    let running = shared.map(|shared| Running {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        bound: shared.bound(),
        advertise: shared.config.advertise.to_string(),
        now: shared.clock.unix(),
        windows: owner.windows(),
        journal: shared.journal.health(),
        connected: devices.iter().filter(|d| d.connected).count(),
    });
    Status { running, strangers: strangers(handshakes, &devices), devices }
}

fn device(
    d: &Registration,
    mut record: Record,
    images: Vec<ImageInfo>,
    handshakes: &Handshakes,
    shared: Option<&Shared>,
    doors: Doors,
) -> DeviceStatus {
    record.connected = shared.is_some_and(|s| s.devices.is_connected(&d.id));
    let peer = record.peer();
    let address = peer.and_then(|ip| handshakes.address(ip));
    let lacks = lacks(d, &record, address.as_ref(), doors);
    let elsewhere = match (shared, peer) {
        (Some(shared), Some(ip)) => {
            let client = shared.asked.client(ip);
            client.map(|c| c.elsewhere().take(NAMES).map(|a| a.name.clone()).collect()).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    DeviceStatus {
        id: d.id.clone(),
        name: d.name.clone(),
        uuid: d.uuid.clone(),
        product_id: d.product_id.clone(),
        generation: record.generation.or(d.generation),
        connected: record.connected,
        over: record.steps.get(&Step::Mqtt).map(|m| m.over),
        keys: match (&d.keys, &d.pending) {
            (_, Some(_)) => KeysKnown::Pending,
            (Some(k), None) if k.sec.is_some() => KeysKnown::Both,
            (Some(_), None) => KeysKnown::LocalOnly,
            (None, None) => KeysKnown::None,
        },
        peer,
        last: record.last(),
        reports: record.reports,
        lost: record.lost,
        firmware_questions: record.steps.get(&Step::Firmware).map_or(0, |m| m.count),
        images,
        pinned: d.pinned,
        steps: steps(&record),
        refusals: refusals(&record),
        questions: record.questions,
        elsewhere,
        lacks,
    }
}

fn steps(record: &Record) -> Vec<StepStatus> {
    record.steps.iter().map(|(step, m)| StepStatus::new(step.name(), m)).collect()
}

fn refusals(record: &Record) -> Vec<StepStatus> {
    record.refusals.iter().map(|(code, m)| StepStatus::new(code.as_str(), m)).collect()
}

/// Who calls himself something we don't know, and addresses that asked for the vendor's names and are none of a known
/// device.
fn strangers(handshakes: &Handshakes, devices: &[DeviceStatus]) -> Vec<Stranger> {
    let known: HashMap<IpAddr, ()> = devices.iter().filter_map(|d| Some((d.peer?, ()))).collect();
    let named = handshakes.strangers();
    let theirs: Vec<Option<IpAddr>> = named.iter().map(|(_, r)| r.peer()).collect();
    let addresses = handshakes
        .addresses()
        .into_iter()
        .filter(|(ip, _)| !known.contains_key(ip) && !theirs.contains(&Some(*ip)))
        .map(|(ip, r)| (ip.to_string(), r));
    let mut all: Vec<(String, Record)> = named.into_iter().chain(addresses).collect();
    all.sort_by(|a, b| b.1.last().cmp(&a.1.last()).then_with(|| a.0.cmp(&b.0)));
    all.into_iter().map(|(who, r)| Stranger { who, steps: steps(&r), refusals: refusals(&r) }).collect()
}

/// The bound addresses that are open to the network, with the names of their options.
impl Bound {
    /// All servers with their options, in the order of the options.
    pub fn all(&self) -> [(&'static str, &'static str, Option<SocketAddr>); 6] {
        [
            ("HTTP", "--http", self.http),
            ("HTTPS", "--https", self.https),
            ("MQTT", "--mqtt", self.mqtt),
            ("MQTT over TLS", "--mqtts", self.mqtts),
            ("MQTT over TLS-PSK", "--mqtt-psk", self.mqtt_psk),
            ("DNS", "--dns", self.dns),
        ]
    }
}
