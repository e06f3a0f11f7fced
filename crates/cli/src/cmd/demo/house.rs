//! The virtual home of the demo: devices on the LAN, some of which live in the stand-in cloud as well, and three fresh
//! from the shop.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use landfall_book::people::Hardware;
use landfall_book::{Book, BookStore as _, FileStore, import, merge};
use landfall_cloud::shared::Bound;
use landfall_sim::cloud::{Dial, Dialled, Names, Sockets};
use landfall_sim::server::Addresses;
use landfall_sim::{Home, Options, SimError, Simulation};
use tokio::sync::watch;

use crate::context::Context;
use crate::failure::Failure;

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
/// Loopback networks tried before ports of 127.0.0.1: as many demos at a time have addresses like real devices.
const NETWORKS: u8 = 32;

/// The way to a cloud that starts after its devices: dials wait until it is there.
#[derive(Clone, Debug)]
struct Late(watch::Receiver<Option<Arc<Sockets>>>);

impl Dial for Late {
    fn dial(&self, host: &str, port: u16, from: Option<Ipv4Addr>) -> Dialled {
        let (mut there, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            let gone = |_| io::Error::new(io::ErrorKind::NotConnected, "the demo is ending");
            let sockets = there.wait_for(Option::is_some).await.map_err(gone)?.clone();
            match sockets {
                Some(sockets) => sockets.dial(&host, port, from).await,
                None => Err(io::ErrorKind::NotConnected.into()),
            }
        })
    }
}

/// The running home.
pub(super) struct House {
    /// What it is made of.
    pub(super) home: Home,
    devices: Simulation,
    newcomers: Option<Simulation>,
    cloud: watch::Sender<Option<Arc<Sockets>>>,
}

impl House {
    /// Starts the devices on addresses that nobody uses, another demo for instance.
    pub(super) async fn start() -> Result<Self, SimError> {
        let (cloud, there) = watch::channel(None);
        let dial: Arc<dyn Dial> = Arc::new(Late(there));
        let options = |addresses| {
            Options { addresses, discovery: None, ..Options::default() }.with_cloud(Arc::clone(&dial))
        };
        let mut devices = None;
        if Addresses::default() == Addresses::Loopback {
            for n in 0..NETWORKS {
                let mut home = Home::demo();
                let [a, b, _, d] = home.network.octets();
                home.network = [a, b, n, d].into();
                match Simulation::start(home, options(Addresses::Loopback)).await {
                    Ok(simulation) => {
                        devices = Some(simulation);
                        break;
                    }
                    Err(SimError::AddressBusy { .. }) => {}
                    Err(e) => {
                        tracing::info!("{e}; using ports of 127.0.0.1");
                        break;
                    }
                }
            }
        }
        let devices = match devices {
            Some(devices) => devices,
            None => Simulation::start(Home::demo(), options(Addresses::Ports)).await?,
        };
        Ok(Self { home: Home::demo(), devices, newcomers: None, cloud })
    }

    /// How many devices of this book are no demo's.
    pub(super) fn real(book: &Book) -> Result<usize, Failure> {
        let (home, newcomers) = (Home::demo(), newcomers()?);
        let ids: HashSet<String> = home
            .devices
            .iter()
            .chain(&newcomers.devices)
            .flat_map(|d| d.spec.children.iter().map(|c| &c.id).chain([&d.spec.id]))
            .map(ToString::to_string)
            .collect();
        // Older firmware keeps its id, newer firmware is given another and told by its hardware.
        let uuids: HashSet<String> =
            newcomers.devices.iter().filter_map(|d| Some(d.spec.cloud.as_ref()?.uuid.to_string())).collect();
        let ours = |d: &landfall_book::Device| {
            ids.contains(d.id.as_str()) || d.uuid.as_ref().is_some_and(|u| uuids.contains(u.as_str()))
        };
        Ok(book.devices().iter().filter(|d| !ours(d)).count())
    }

    /// Puts the home into the book, as if its keys had been imported; the newcomers are known by what is printed on them.
    pub(super) fn move_in(&self, dir: &Path) -> Result<Book, Failure> {
        let store = FileStore::new(dir);
        let file = dir.join("devices.json");
        // The book's lock makes the directory, if need be.
        store.update(&mut |_| Ok(()))?;
        self.devices.write_devices_json(&file)?;
        let entries = import::read(&file)?;
        let listed = self.devices.devices();
        let sleepers: Vec<_> =
            listed.into_iter().filter(|d| d.address.is_none() && d.parent.is_none()).map(|d| d.id).collect();
        let newcomers = newcomers()?;
        Ok(store.update(&mut |book| {
            merge::merge(book, &entries, Context::now());
            for id in &sleepers {
                if let Some(d) = book.by_id_mut(id) {
                    d.sleeper = true;
                }
            }
            for (spec, side) in
                self.home.devices.iter().filter_map(|d| Some((&d.spec, d.spec.cloud.as_ref()?)))
            {
                if let Some(device) = book.by_id_mut(&spec.id) {
                    device.uuid = Some(side.uuid.clone());
                    device.cloud.auth_key = Some(side.auth_key.clone());
                    device.cloud.psk_key.clone_from(&side.psk_key);
                    device.cloud.sec_key.clone_from(&side.sec_key);
                }
            }
            for (spec, side) in
                newcomers.devices.iter().filter_map(|d| Some((&d.spec, d.spec.cloud.as_ref()?)))
            {
                if book.by_uuid(&side.uuid).is_none() {
                    book.add_hardware(Hardware {
                        uuid: side.uuid.clone(),
                        name: Some(spec.name.clone()),
                        auth_key: Some(side.auth_key.clone()),
                        psk_key: side.psk_key.clone(),
                    })?;
                }
            }
            Ok(())
        })?)
    }

    /// Shows the devices their cloud, and lets the newcomers come.
    pub(super) async fn meet(&mut self, bound: Bound) -> Result<(), Failure> {
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
        let sockets = Arc::new(Sockets::mapped(names));
        self.cloud.send_replace(Some(Arc::clone(&sockets)));
        let options = Options { addresses: Addresses::Ports, discovery: None, ..Options::default() };
        self.newcomers = Some(Simulation::start(newcomers()?, options.with_cloud(sockets)).await?);
        Ok(())
    }

    /// How many newcomers there are.
    pub(super) fn newcomers(&self) -> usize {
        self.newcomers.as_ref().map_or(0, |n| n.devices().len())
    }

    /// Ends it.
    pub(super) async fn shutdown(self) {
        if let Some(newcomers) = self.newcomers {
            newcomers.shutdown().await;
        }
        self.devices.shutdown().await;
    }
}

fn newcomers() -> Result<Home, landfall_sim::home::HomeError> {
    Home::parse(NEWCOMERS, "newcomers.toml")
}
