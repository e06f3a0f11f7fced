//! A home: virtual devices on loopback, a book that knows them, and a hub.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use landfall_book::{Book, BookError, Device, FileStore};
use landfall_cloud::Cloud;
use landfall_cloud::backend::Backend;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::config::{Config, Listeners};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::DeviceId;
use landfall_sim::cloud::{Dial, Names, Sockets};
use landfall_sim::server::DeviceInfo;
use landfall_sim::{Home as SimHome, Options, Simulation};

use crate::Hub;
use crate::hub::HubConfig;
use crate::model::{By, Change, CommandOptions, DeviceView, Home as _, LineState, Presence};
use crate::store::{Memory, Retention, SqlStore, Store, Writer};

/// Everything comes within this time, or not at all.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The home. The directory goes with it.
pub(super) struct World {
    pub(super) book: Arc<BookBackend>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) cloud: Option<Cloud>,
    dir: tempfile::TempDir,
}

/// Quick to call a device offline, and not looking for any.
pub(super) fn config() -> HubConfig {
    HubConfig { discovery: None, grace: Duration::from_millis(300), ..HubConfig::new(TimeZone::UTC) }
}

impl World {
    /// An empty book and no cloud.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let book = BookBackend::open(FileStore::new(dir.path()), clock).unwrap();
        Self { book, store: Arc::new(Memory::new()), clock, cloud: None, dir }
    }

    /// Opens the history in the home's directory, in place of the one that is in use.
    pub(super) fn keep_history_on_disk(&mut self) {
        let file = self.dir.path().join("history.db");
        self.store = Arc::new(SqlStore::sqlite(&file, Retention::default()));
    }

    pub(super) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Starts a cloud on free ports; returns the devices' way to it.
    pub(super) async fn start_cloud(&mut self) -> Arc<dyn Dial> {
        let mut config = Config::new(self.dir.path());
        config.listeners = Listeners::free();
        let backend = Arc::clone(&self.book) as Arc<dyn Backend>;
        let cloud = Cloud::start(config, self.clock, backend).await.unwrap();
        let bound = cloud.bound();
        let all = [
            (80, bound.http),
            (443, bound.https),
            (1883, bound.mqtt),
            (8883, bound.mqtts),
            (8886, bound.mqtt_psk),
        ];
        let ports: Vec<(u16, u16)> = all.iter().map(|(port, at)| (*port, at.unwrap().port())).collect();
        self.cloud = Some(cloud);
        let names = Names::new().with("*", IpAddr::V4(Ipv4Addr::LOCALHOST), &ports);
        Arc::new(Sockets::mapped(names))
    }

    /// Changes the book.
    pub(super) async fn write(
        &self,
        change: impl FnOnce(&mut Book) -> Result<(), BookError> + Send + 'static,
    ) {
        self.book.change(change).await.unwrap();
    }

    /// Puts virtual devices into the book, as if their keys had been imported.
    pub(super) async fn adopt(&self, devices: Vec<DeviceInfo>) {
        self.write(move |book| devices.iter().try_for_each(|d| book.add(entry(d)).map(|_| ()))).await;
    }

    /// A hub in this home.
    pub(super) async fn hub(&self, config: HubConfig) -> Arc<Hub> {
        let writer = Writer::start(Arc::clone(&self.store), self.clock);
        let cloud = self.cloud.as_ref().map(|c| Arc::clone(c.shared()));
        let (store, book) = (Arc::clone(&self.store), Arc::clone(&self.book));
        Hub::start(config, self.clock, store, writer, book, cloud).await.unwrap()
    }

    pub(super) async fn end(self, hub: &Hub, sim: Simulation) {
        hub.shutdown().await;
        sim.shutdown().await;
        if let Some(cloud) = self.cloud {
            cloud.shutdown().await;
        }
    }
}

/// A virtual device as the book has it.
pub(super) fn entry(info: &DeviceInfo) -> Device {
    let mut device = Device::new(info.id.clone(), info.name.clone());
    device.key = Some(info.key.clone());
    if let Some(at) = info.address {
        device.address = Some(IpAddr::V4(*at.ip()));
        device.port = Some(at.port());
    }
    device.version = Some(info.version);
    if let Some((gateway, cid)) = &info.parent {
        device.parent = Some(gateway.clone());
        device.cid = Some(cid.clone());
    }
    device.sleeper = info.parent.is_none() && info.kind.sleeps();
    if let Some(side) = &info.cloud {
        device.uuid = Some(side.uuid.clone());
        device.cloud.auth_key = Some(side.auth_key.clone());
        device.cloud.psk_key.clone_from(&side.psk_key);
        device.cloud.sec_key.clone_from(&side.sec_key);
    }
    device
}

/// Virtual devices on free ports.
pub(super) async fn devices(text: &str) -> Simulation {
    Simulation::start(SimHome::parse(text, "test.toml").unwrap(), Options::quiet()).await.unwrap()
}

/// The same, with a cloud.
pub(super) async fn devices_with_cloud(text: &str, dial: Arc<dyn Dial>) -> Simulation {
    let options = Options::quiet().with_cloud(dial);
    Simulation::start(SimHome::parse(text, "test.toml").unwrap(), options).await.unwrap()
}

/// The id that a device of the simulation has now.
pub(super) fn id_of(sim: &Simulation, name: &str) -> DeviceId {
    sim.devices().into_iter().find(|d| d.name == name).expect("a device").id
}

/// Waits until `look` finds something; whatever is told may have brought it about.
pub(super) async fn until<T>(hub: &Hub, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut changes = hub.bus().read(None);
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        if tokio::time::Instant::now() > end {
            let views: Vec<_> = hub.devices().iter().map(|d| describe(d)).collect();
            panic!("{what}: not within {PATIENCE:?}\n{}", views.join("\n"));
        }
        // A view may change without a word; then it is looked at again soon.
        let _whatever = tokio::time::timeout(Duration::from_millis(100), changes.next()).await;
    }
}

fn describe(view: &DeviceView) -> String {
    format!(
        "{}: {:?}, lan {:?}, cloud {:?}, {:?}",
        view.facts.name,
        view.presence,
        view.lan,
        view.cloud,
        view.dps()
    )
}

/// Waits until a view is so.
pub(super) async fn view(hub: &Hub, name: &str, is: impl Fn(&DeviceView) -> bool) -> Arc<DeviceView> {
    until(hub, name, || hub.device(name).ok().filter(|v| is(v))).await
}

/// Waits until a device is online and has told its points.
pub(super) async fn online(hub: &Hub, name: &str) -> Arc<DeviceView> {
    view(hub, name, |v| v.presence == Presence::Online && !v.points.is_empty()).await
}

/// Waits for a change.
pub(super) async fn change<T>(
    reader: &mut crate::bus::Reader,
    what: &str,
    mut is: impl FnMut(&Change) -> Option<T>,
) -> T {
    let wait = async {
        loop {
            let changes = reader.next().await.expect("the bus lives").expect("nothing is missed");
            if let Some(found) = changes.iter().find_map(|c| is(c)) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: never told"))
}

pub(super) fn dps(points: &[(u16, DpValue)]) -> Dps {
    points.iter().map(|(id, v)| (DpId(*id), v.clone())).collect()
}

pub(super) fn switch(on: bool) -> Dps {
    dps(&[(1, DpValue::Bool(on))])
}

pub(super) fn options() -> CommandOptions {
    CommandOptions { timeout: Duration::from_secs(20), ..CommandOptions::of(By::Api) }
}

pub(super) fn is_on(view: &DeviceView) -> Option<bool> {
    match view.points.get(&DpId(1)).map(|p| &p.value) {
        Some(DpValue::Bool(on)) => Some(*on),
        _ => None,
    }
}

pub(super) fn down_with(view: &DeviceView, words: &str) -> bool {
    view.lan.state == LineState::Down && view.lan.why.as_deref().is_some_and(|w| w.starts_with(words))
}
