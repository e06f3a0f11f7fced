//! The demo's stand-in cloud: on free ports of this machine, in a directory that goes with it. The devices of the home that
//! have a cloud side report there as well as on the LAN, and three that nobody has paired yet are paired there.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use landfall_book::people::Hardware;
use landfall_book::{BookStore as _, Device, FileStore};
use landfall_cloud::backend::Backend;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::config::{Config, Listeners};
use landfall_cloud::control::{Owner as _, Window};
use landfall_cloud::handshake::Step;
use landfall_cloud::{Cloud, Event};
use landfall_sim::cloud::{Dial, Names, Sockets};
use landfall_sim::server::Addresses;
use landfall_sim::{Home, Options, Simulation};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::context::Context;
use crate::failure::Failure;
use crate::render::count;

/// Devices fresh from the shop, a generation each. An app has told them the Wi-Fi and a token.
const NEWCOMERS: &str = r#"
name = "newcomers"
[[device]]
name = "New plug"
kind = "plug"
version = "3.3"
address = "127.0.0.1:0"
cloud = { generation = "A", region = "EU", token = "demo0001" }
[[device]]
name = "New boiler"
kind = "plug"
version = "3.3"
address = "127.0.0.1:0"
cloud = { generation = "B", region = "EU", token = "demo0002" }
[[device]]
name = "New heater"
kind = "plug"
version = "3.4"
address = "127.0.0.1:0"
cloud = { generation = "C", region = "EU", token = "demo0003" }
"#;
/// How long new devices may be paired, in seconds.
const WINDOW: u64 = 600;

/// A running cloud with its newcomers.
pub(super) struct DemoCloud {
    cloud: Cloud,
    events: Receiver<Event>,
    newcomers: Simulation,
    expected: usize,
    dial: Arc<dyn Dial>,
    // Removed last.
    _dir: tempfile::TempDir,
}

impl DemoCloud {
    /// Starts it for the devices of this home.
    pub(super) async fn start(home: &Home) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("landfall-demo-cloud-").tempdir()?;
        let store = FileStore::new(dir.path());
        // As if their keys had been imported: they were paired elsewhere.
        store.update(&mut |book| {
            for (spec, side) in home.devices.iter().filter_map(|d| Some((&d.spec, d.spec.cloud.as_ref()?))) {
                let mut device = Device::new(spec.id.clone(), spec.name.clone());
                device.key = Some(spec.key.clone());
                device.uuid = Some(side.uuid.clone());
                device.cloud.auth_key = Some(side.auth_key.clone());
                device.cloud.psk_key.clone_from(&side.psk_key);
                device.cloud.sec_key.clone_from(&side.sec_key);
                book.add(device)?;
            }
            Ok(())
        })?;
        let clock = Clock::system();
        let owner = BookBackend::open(store, clock)?;
        let mut config = Config::new(dir.path());
        config.listeners = Listeners::free();
        let cloud = Cloud::start(config, clock, Arc::clone(&owner) as Arc<dyn Backend>).await?;
        owner.open_window(Window { who: None, until: clock.unix().saturating_add(WINDOW) });
        let events = cloud.shared().events();
        let bound = cloud.bound();
        let ports: Vec<(u16, u16)> = [
            (80, bound.http),
            (443, bound.https),
            (1883, bound.mqtt),
            (8883, bound.mqtts),
            (8886, bound.mqtt_psk),
        ]
        .into_iter()
        .filter_map(|(port, at)| Some((port, at?.port())))
        .collect();
        let names = Names::new().with("*", IpAddr::V4(Ipv4Addr::LOCALHOST), &ports);
        let dial: Arc<dyn Dial> = Arc::new(Sockets::mapped(names));
        let home = Home::parse(NEWCOMERS, "newcomers.toml")?;
        let expected = home.devices.len();
        for (spec, side) in home.devices.iter().filter_map(|d| Some((&d.spec, d.spec.cloud.as_ref()?))) {
            let (auth_key, psk_key) = (Some(side.auth_key.clone()), side.psk_key.clone());
            let name = Some(spec.name.clone());
            owner.add_hardware(Hardware { uuid: side.uuid.clone(), name, auth_key, psk_key }).await?;
        }
        let options = Options { addresses: Addresses::Ports, discovery: None, ..Options::default() };
        let newcomers = Simulation::start(home, options.with_cloud(Arc::clone(&dial))).await?;
        Ok(Self { cloud, events, newcomers, expected, dial, _dir: dir })
    }

    /// The devices' way to it.
    pub(super) fn dial(&self) -> Arc<dyn Dial> {
        Arc::clone(&self.dial)
    }

    /// How many devices have reported, and how many of them were paired here.
    fn living(&self) -> (usize, usize) {
        let records = self.cloud.shared().handshakes.devices();
        let reported = records.values().filter(|r| r.at(Step::Reported).is_some());
        let paired = reported.clone().filter(|r| r.at(Step::Activated).is_some()).count();
        (reported.count(), paired)
    }

    /// Waits until all newcomers are paired and have reported; says whether they have by then.
    pub(super) async fn settled(&mut self, deadline: Instant) -> bool {
        while self.living().1 < self.expected {
            match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Ok(Err(RecvError::Closed)) | Err(_) => return false,
            }
        }
        true
    }

    /// How many live there, in words.
    pub(super) fn summary(&self) -> String {
        let (reported, paired) = self.living();
        format!(
            "{} to a stand-in cloud on this machine as well, {paired} of them paired there just now \
             (firmware of the generations A, B and C)",
            if reported == 1 {
                "1 device reports".to_owned()
            } else {
                format!("{} report", count(reported, "device"))
            }
        )
    }

    /// Tells who reads that there is a cloud.
    pub(super) fn greet(&self, context: &Context) {
        if let Some(at) = self.cloud.bound().http {
            context.say(&format!(
                "some devices live in a stand-in cloud as well, at {at}; new ones are paired there"
            ));
        }
    }

    /// Ends it.
    pub(super) async fn shutdown(self) {
        self.newcomers.shutdown().await;
        self.cloud.shutdown().await;
    }
}
