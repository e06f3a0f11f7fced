//! Virtual devices on real sockets: a thin tokio driver of [`VirtualDevice`].
//!
//! Each device is one task that owns its listener, its connections and its state; nothing is shared but the clock,
//! the journal and the stream of events.

mod asks;
mod driver;
mod files;
mod options;
mod sockets;
mod standing;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use landfall_proto::Now;
use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cloud::{CloudSpec, Dial, PairError, Pairing};
use crate::device::VirtualDevice;
use crate::faults::Fault;
use crate::home::{Home, HomeDevice};
use crate::journal::Journal;
use crate::kind::Kind;
use crate::model::{Physical, PhysicalError};
use crate::news::News;
use crate::product::Product;

pub use files::FileError;
pub use options::{Addresses, Discovery, Options};
pub use standing::CloudState;
pub(crate) use standing::Identity;

/// Events that a slow watcher may fall behind by before it loses some (and is told so).
const EVENT_BACKLOG: usize = 4_096;
/// Commands that wait for one device.
const COMMAND_BACKLOG: usize = 32;

/// Why a simulation did not start, or could not do something.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Something else listens there.
    #[error("the address {address} of {device:?} is in use")]
    AddressBusy {
        /// The address.
        address: SocketAddrV4,
        /// The device's name.
        device: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// The address can't be listened on.
    #[error("can't listen on {address} for {device:?}")]
    Listen {
        /// The address.
        address: SocketAddrV4,
        /// The device's name.
        device: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// No device or sub-device has this id or name.
    #[error("no virtual device is called {0:?}")]
    UnknownDevice(String),
    /// The device's task has ended.
    #[error("the virtual device {0} has stopped")]
    Stopped(DeviceId),
    /// A physical action was not possible.
    #[error(transparent)]
    Physical(#[from] PhysicalError),
    /// It can't be paired.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// `devices.json` was not written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A device as it is now.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// Device id.
    pub id: DeviceId,
    /// Name for people.
    pub name: String,
    /// Version that it speaks; of a sub-device its gateway's.
    pub version: Version,
    /// What it is.
    pub kind: Kind,
    /// Where it listens. `None` for sleepers and sub-devices.
    pub address: Option<SocketAddrV4>,
    /// Its local key; of a sub-device its gateway's.
    pub key: LocalKey,
    /// Of a sub-device: its gateway and its cid.
    pub parent: Option<(DeviceId, Cid)>,
    /// Its cloud side as it was set up, whether it is on or not: what it has from the factory, and the sec key of an
    /// activation before the simulation began.
    pub cloud: Option<CloudSpec>,
}

impl DeviceInfo {
    /// The facts about its product.
    pub fn product(&self) -> &'static Product {
        Product::of(self.kind)
    }
}

/// Something that happened to a device, when and to which.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// Device id.
    pub device: DeviceId,
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: Arc<str>,
    /// What.
    #[serde(flatten)]
    pub news: News,
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(text)
}

/// The clocks of all devices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_unix_ms: u64,
}

impl Clock {
    fn start() -> Self {
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) }
    }

    pub(crate) fn now(self) -> Now {
        Now::new(self.start.elapsed(), self.unix_ms() / 1_000)
    }

    pub(crate) fn unix_ms(self) -> u64 {
        self.start_unix_ms.saturating_add(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(self, mono: core::time::Duration) -> Option<Instant> {
        self.start.checked_add(mono)
    }
}

/// What a device's task is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Press(Option<Cid>, Physical, oneshot::Sender<Result<(), PhysicalError>>),
    Fault(Fault, oneshot::Sender<()>),
    Points(Option<Cid>, oneshot::Sender<Dps>),
    Flowed(Option<Cid>, oneshot::Sender<Option<f64>>),
    Ask(Ipv4Addr),
    Pair(Pairing, oneshot::Sender<Result<(), PairError>>),
    Look(oneshot::Sender<CloudState>),
}

/// What all devices share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) discovery: Option<Discovery>,
    pub(crate) addresses: Addresses,
    pub(crate) dial: Option<Arc<dyn Dial>>,
    /// The next free loopback address, for devices that move.
    pub(crate) next_address: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Running {
    device: HomeDevice,
    journal: Journal,
    commands: mpsc::Sender<Command>,
    address: watch::Receiver<Option<SocketAddrV4>>,
    identity: watch::Receiver<Identity>,
}

/// Virtual devices that are running. Dropping it stops them; [`shutdown`](Self::shutdown) also waits for that.
#[derive(Debug)]
pub struct Simulation {
    running: Vec<Running>,
    events: broadcast::Sender<Event>,
    tasks: JoinSet<()>,
    warnings: Vec<String>,
}

impl Simulation {
    /// Starts a home. On return every device listens.
    ///
    /// # Errors
    /// An address that is in use or not ours; the error names it and the device. Discovery ports that can't be used
    /// are no error, see [`warnings`](Self::warnings).
    pub async fn start(home: Home, options: Options) -> Result<Self, SimError> {
        let clock = Clock::start();
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let mut pool = sockets::AddressPool::new(home.network);
        let mut bound = Vec::with_capacity(home.devices.len());
        for device in home.devices {
            let listener = sockets::first_listener(&device, options.addresses, &mut pool)?;
            bound.push((device, listener));
        }
        let shared = Shared {
            clock,
            events: events.clone(),
            discovery: options.discovery,
            addresses: options.addresses,
            dial: options.cloud,
            next_address: Arc::new(AtomicU32::new(pool.next_bits())),
        };
        let seed = options.entropy_seed.unwrap_or_else(|| clock.unix_ms());
        let mut simulation =
            Self { running: Vec::new(), events, tasks: JoinSet::new(), warnings: Vec::new() };
        let mut askable = Vec::new();
        for (device, listener) in bound {
            let (commands, inbox) = mpsc::channel(COMMAND_BACKLOG);
            let at = listener.as_ref().map(|(_, at)| *at);
            let (address_out, address) = watch::channel(at);
            let mut virtual_device = VirtualDevice::new(device.spec.clone(), seed, clock.now());
            if shared.dial.is_some() {
                virtual_device.join_cloud(seed, clock.now());
            }
            let first = Identity { id: device.spec.id.clone(), key: device.spec.key.clone() };
            let (identity_out, identity) = watch::channel(first);
            let journal = virtual_device.journal().clone();
            if device.spec.listens() && device.spec.version == Version::V3_5 {
                askable.push((commands.downgrade(), address.clone()));
            }
            let out = (address_out, identity_out);
            let driver = driver::Driver::new(virtual_device, listener, shared.clone(), inbox, out);
            simulation.tasks.spawn(driver.run());
            simulation.running.push(Running { device, journal, commands, address, identity });
        }
        if let Some(discovery) = options.discovery.filter(|_| !askable.is_empty()) {
            let at = askable.iter().filter_map(|(_, address)| *address.borrow()).map(|at| *at.ip());
            let heard = asks::listen(discovery.ask, at);
            simulation.warnings.extend(heard.warnings);
            for socket in heard.sockets {
                simulation.tasks.spawn(asks::serve(socket, askable.clone()));
            }
        }
        Ok(simulation)
    }

    /// What does not work as it should: discovery ports that could not be opened.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// All devices and sub-devices as they are now, each gateway followed by its children.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        let mut all = Vec::with_capacity(self.running.len());
        for r in &self.running {
            let spec = &r.device.spec;
            let Identity { id, key } = r.identity.borrow().clone();
            all.push(DeviceInfo {
                id: id.clone(),
                name: spec.name.clone(),
                version: spec.version,
                kind: spec.kind,
                address: *r.address.borrow(),
                key: key.clone(),
                parent: None,
                cloud: spec.cloud.clone(),
            });
            all.extend(spec.children.iter().map(|child| DeviceInfo {
                id: child.id.clone(),
                name: child.name.clone(),
                version: spec.version,
                kind: child.kind,
                address: None,
                key: key.clone(),
                parent: Some((id.clone(), child.cid.clone())),
                cloud: None,
            }));
        }
        all
    }

    /// The home in the form of tinytuya's `devices.json`. It holds the keys.
    pub fn devices_json(&self) -> serde_json::Value {
        files::devices_json(&self.devices())
    }

    /// Writes [`devices_json`](Self::devices_json) to a file, readable by its owner only, by rename: a reader sees
    /// the old file or the whole new one.
    ///
    /// # Errors
    /// The directory can't be written to.
    pub fn write_devices_json(&self, file: impl AsRef<Path>) -> Result<(), SimError> {
        Ok(files::write(file.as_ref(), &self.devices_json())?)
    }

    /// What happens from now on. A watcher that falls more than 4,096 events behind is told how many it lost.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The journal of a device; a sub-device's writes stand in its gateway's.
    ///
    /// # Errors
    /// No such device.
    pub fn journal(&self, device: &str) -> Result<Journal, SimError> {
        self.find(device).map(|(r, _)| r.journal.clone())
    }

    /// The points of a device or sub-device (id or name) as a query would show them.
    ///
    /// # Errors
    /// No such device, or it stopped.
    pub async fn points(&self, device: &str) -> Result<Dps, SimError> {
        let (r, cid) = self.find(device)?;
        self.ask(r, |reply| Command::Points(cid, reply)).await
    }

    /// What flowed through a device or sub-device (id or name) since it was made, in watt-hours: the truth, whatever its
    /// reports say. `None`: it measures none.
    ///
    /// # Errors
    /// No such device, or it stopped.
    pub async fn flowed(&self, device: &str) -> Result<Option<f64>, SimError> {
        let (r, cid) = self.find(device)?;
        self.ask(r, |reply| Command::Flowed(cid, reply)).await
    }

    /// Something happens to a device or sub-device (id or name) in the room where it is.
    ///
    /// # Errors
    /// No such device, or nothing that could happen to it.
    pub async fn press(&self, device: &str, what: Physical) -> Result<(), SimError> {
        let (r, cid) = self.find(device)?;
        Ok(self.ask(r, |reply| Command::Press(cid, what, reply)).await??)
    }

    /// An app pairs a device that has no owner: it is told a region (two capital letters) and a token.
    ///
    /// # Errors
    /// No such device, no cloud side that is on, an owner already, or texts that can't be.
    pub async fn pair(&self, device: &str, region: &str, token: &str) -> Result<(), SimError> {
        let pairing = Pairing::new(region, token)?;
        let (r, _) = self.find(device)?;
        Ok(self.ask(r, |reply| Command::Pair(pairing, reply)).await??)
    }

    /// How a device stands with its cloud.
    ///
    /// # Errors
    /// No such device, or it stopped.
    pub async fn cloud(&self, device: &str) -> Result<CloudState, SimError> {
        let (r, _) = self.find(device)?;
        self.ask(r, Command::Look).await
    }

    /// Triggers a fault.
    ///
    /// # Errors
    /// No such device, or it stopped.
    pub async fn fault(&self, device: &str, fault: Fault) -> Result<(), SimError> {
        let (r, _) = self.find(device)?;
        self.ask(r, |reply| Command::Fault(fault, reply)).await
    }

    /// Stops all devices and waits until every socket is closed.
    pub async fn shutdown(mut self) {
        self.running.clear();
        // Those that answer on port 7000 end with the devices they speak for.
        while self.tasks.join_next().await.is_some() {}
    }

    fn find(&self, device: &str) -> Result<(&Running, Option<Cid>), SimError> {
        let is = |id: &DeviceId, name: &str| id.as_str() == device || name == device;
        for r in &self.running {
            let spec = &r.device.spec;
            // The id of its last activation, or the one from the factory.
            if is(&spec.id, &spec.name) || r.identity.borrow().id.as_str() == device {
                return Ok((r, None));
            }
            if let Some(child) = spec.children.iter().find(|c| is(&c.id, &c.name)) {
                return Ok((r, Some(child.cid.clone())));
            }
        }
        Err(SimError::UnknownDevice(device.chars().take(100).collect()))
    }

    async fn ask<T>(
        &self,
        r: &Running,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, SimError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || SimError::Stopped(r.device.spec.id.clone());
        r.commands.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

impl Shared {
    /// The next loopback address to try, for a device that moves.
    pub(crate) fn another_address(&self) -> Ipv4Addr {
        let bits = self.next_address.fetch_add(1, Ordering::Relaxed);
        sockets::loopback(bits)
    }
}
