//! A house in memory: virtual devices, the stand-in cloud, and pipes between them; no sockets, and time as fast as the
//! machine. The cloud can be stopped, killed and started again on the same data directory.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_book::FileStore;
use landfall_cloud::backend::Backend;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::config::Config;
use landfall_cloud::control::{Owner as _, Window};
use landfall_cloud::event::Event;
use landfall_cloud::journal::{Journal, JournalError};
use landfall_cloud::listen::{DeviceKeys, Link, secure};
use landfall_cloud::people::People;
use landfall_cloud::server::certificate_names;
use landfall_cloud::shared::{Bound, Shared};
use landfall_link::tls::{Acceptor, Authority};
use landfall_proto::id::DeviceId;
use landfall_proto::psk;
use landfall_sim::cloud::dial::Dialled;
use landfall_sim::cloud::{Dial, Stream};
use landfall_sim::journal::Life;
use landfall_sim::{Home, Options, Simulation};
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

/// Where the cloud is in the house's network.
const CLOUD: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
/// Where the devices are; all behind one address, as behind a relay.
const DEVICES: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 77);
/// Bytes that a pipe holds.
const PIPE: usize = 64 * 1024;

/// A running cloud.
struct Running {
    shared: Arc<Shared>,
    acceptor: Arc<Acceptor>,
    connections: JoinSet<()>,
}

/// What the devices' side and the tests share.
#[derive(Default)]
struct Wires {
    cloud: Mutex<Option<Running>>,
    ports: AtomicU16,
    /// Names that were asked for, for tests of where devices look.
    asked: Mutex<Vec<(String, u16)>>,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wires")
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

impl Dial for WiresDial {
    fn dial(&self, host: &str, port: u16, _from: Option<Ipv4Addr>) -> Dialled {
        let opened = self.0.open(host, port);
        Box::pin(async move { opened })
    }
}

/// The devices' way to the cloud, whatever name they ask for.
#[derive(Debug)]
pub(crate) struct WiresDial(Arc<Wires>);

impl Wires {
    fn open(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        held(&self.asked).push((host.to_owned(), port));
        let mut cloud = held(&self.cloud);
        let running = cloud.as_mut().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let peer = SocketAddr::from((DEVICES, 49_152 + self.ports.fetch_add(1, Ordering::Relaxed) % 16_000));
        let link = Link::plain(peer, SocketAddr::from((CLOUD, port)));
        let (shared, acceptor) = (Arc::clone(&running.shared), Arc::clone(&running.acceptor));
        // Ended connections would pile up over a day.
        while running.connections.try_join_next().is_some() {}
        match port {
            80 => running.connections.spawn(landfall_cloud::gateway::serve(shared, ours, link)),
            1883 => running.connections.spawn(landfall_cloud::mqtt::serve(shared, ours, link)),
            443 => running.connections.spawn(async move {
                if let Some((stream, link)) = secure(&shared, &acceptor, ours, link).await {
                    landfall_cloud::gateway::serve(shared, stream, link).await;
                }
            }),
            8883 | 8886 => running.connections.spawn(async move {
                if let Some((stream, link)) = secure(&shared, &acceptor, ours, link).await {
                    landfall_cloud::mqtt::serve(shared, stream, link).await;
                }
            }),
            _ => return Err(io::ErrorKind::ConnectionRefused.into()),
        };
        Ok(Box::new(theirs))
    }
}

/// The journal; the writer of the one before may have to finish first, which is real time, and little of it.
fn reopened(dir: &Path) -> Journal {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        match Journal::open(dir) {
            Err(JournalError::InUse { .. }) if std::time::Instant::now() < end => std::thread::yield_now(),
            other => return other.expect("a journal"),
        }
    }
}

/// The house.
pub(crate) struct House {
    directory: TempDir,
    clock: Clock,
    wires: Arc<Wires>,
    backend: Option<Arc<BookBackend>>,
    pub(crate) devices: Simulation,
}

impl House {
    /// The clock shows this and follows tokio's; the devices have power, the cloud has not.
    pub(crate) async fn new(unix: u64, home: &str) -> Self {
        let wires = Arc::<Wires>::default();
        let dial: Arc<dyn Dial> = Arc::new(WiresDial(Arc::clone(&wires)));
        let home = Home::parse(home, "the house").expect("a home");
        let options = Options { addresses: landfall_sim::server::Addresses::Nowhere, ..Options::quiet() }
            .with_cloud(dial);
        let devices = Simulation::start(home, options).await.expect("devices");
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, clock: Clock::starting_at(unix), wires, backend: None, devices }
    }

    /// Starts the cloud, on what an earlier one left.
    pub(crate) fn start(&mut self) -> broadcast::Receiver<Event> {
        let dir = self.directory.path();
        let mut config = Config::new(dir);
        config.time_zone = Some("Europe/Berlin".to_owned());
        let backend = BookBackend::open(FileStore::new(dir), self.clock).expect("the book opens");
        let keys: Arc<dyn Backend> = Arc::clone(&backend) as Arc<dyn Backend>;
        let names = certificate_names(&config.advertise).expect("names");
        let authority = Authority::open_or_create(dir.join("ca"), &names).expect("an authority");
        let psk = Arc::new(DeviceKeys(Arc::clone(&keys)));
        let acceptor = Acceptor::new(Some(psk), Some(authority.server().clone()), psk::HINT).expect("TLS");
        let journal = reopened(dir);
        let der = authority.der().to_vec();
        let shared = Shared::new(config, self.clock, keys, People::none(), journal, der);
        let at = |port| Some(SocketAddr::from((CLOUD, port)));
        let bound = Bound {
            http: at(80),
            https: at(443),
            mqtt: at(1883),
            mqtts: at(8883),
            mqtt_psk: at(8886),
            dns: None,
        };
        shared.bound.set(bound).expect("bound once");
        let events = shared.events();
        let running = Running { shared, acceptor: Arc::new(acceptor), connections: JoinSet::new() };
        *held(&self.wires.cloud) = Some(running);
        self.backend = Some(backend);
        events
    }

    /// The cloud is gone from one moment to the next: no word to anybody, nothing written any more.
    pub(crate) async fn kill(&mut self) {
        let running = held(&self.wires.cloud).take();
        if let Some(mut running) = running {
            // Dropping the tasks closes the pipes, as the kernel closes the sockets of a killed process.
            running.connections.shutdown().await;
        }
        self.backend = None;
    }

    /// What is on disk at the moment of the first event that is wanted, and that event. In a task of its own: those have
    /// their turn before whoever is woken by what the cloud does next.
    pub(crate) fn left_at(
        &self,
        mut events: broadcast::Receiver<Event>,
        wanted: impl Fn(&Event) -> bool + Send + 'static,
    ) -> JoinHandle<(TempDir, Event)> {
        let from = self.directory.path().to_owned();
        tokio::spawn(async move {
            loop {
                let event = events.recv().await.expect("no event is lost");
                if wanted(&event) {
                    let left = tempfile::tempdir().expect("a directory");
                    copy(&from, left.path()).expect("what is on disk");
                    return (left, event);
                }
            }
        })
    }

    /// The power of the cloud's machine has gone, and this is all that is left.
    pub(crate) async fn power_cut(&mut self, left: TempDir) {
        self.kill().await;
        self.directory = left;
    }

    /// Cuts all connections of devices; the cloud goes on.
    pub(crate) fn cut(&self) {
        if let Some(running) = held(&self.wires.cloud).as_mut() {
            running.connections.abort_all();
        }
    }

    /// What the servers share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&held(&self.wires.cloud).as_ref().expect("the cloud runs").shared)
    }

    /// The book behind it.
    pub(crate) fn backend(&self) -> Arc<BookBackend> {
        Arc::clone(self.backend.as_ref().expect("the cloud runs"))
    }

    /// Opens a window for activations, for everybody or for one id or uuid.
    pub(crate) fn open_window(&self, time: Duration, who: Option<String>) {
        self.backend().open_window(Window { until: self.clock.unix() + time.as_secs(), who });
    }

    /// Which hosts and ports devices asked for since the last look.
    pub(crate) fn asked(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut held(&self.wires.asked))
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// So much time passes.
    pub(crate) async fn pass(&self, time: Duration) {
        // Under the paused clock this is how time passes: every task that is due before acts first.
        tokio::time::sleep(time).await;
    }

    /// Time passes until the wall clock shows this.
    pub(crate) async fn pass_until(&self, unix: u64) {
        self.pass(Duration::from_secs(unix.saturating_sub(self.clock.unix()))).await;
    }

    /// Waits until something holds, at most this long. Whatever happens to a device may have brought it about.
    pub(crate) async fn until(
        &self,
        what: &str,
        within: Duration,
        mut holds: impl AsyncFnMut(&Self) -> bool,
    ) {
        let mut events = self.devices.events();
        let wait = async {
            while !holds(self).await {
                match events.recv().await {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => panic!("{what}: the devices have stopped"),
                }
            }
        };
        if tokio::time::timeout(within, wait).await.is_err() {
            panic!("{what}: not within {within:?}");
        }
    }

    /// Whether a device's MQTT is up.
    pub(crate) async fn is_online(&self, name: &str) -> bool {
        self.devices.cloud(name).await.expect("it runs").online
    }

    /// Waits until a device's MQTT is up.
    pub(crate) async fn online(&self, name: &str, within: Duration) {
        self.until(&format!("{name} is online"), within, async |house| house.is_online(name).await).await;
    }

    /// Waits until all devices are online, and the cloud knows it.
    pub(crate) async fn all_online(&self, within: Duration) {
        self.until("all are online", within, async |house| {
            for device in house.devices.devices() {
                if !house.is_online(&device.name).await || !house.shared().devices.is_connected(&device.id) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// The id of a device's registration.
    pub(crate) fn id_of(&self, name: &str) -> DeviceId {
        let turns = self.devices.journal(name).expect("a device").turns();
        let activated = |life: &Life| match life {
            Life::Activated { id } => Some(id.clone()),
            _ => None,
        };
        turns.iter().rev().find_map(|(_, life)| activated(life)).expect("it was activated")
    }

    /// The id of a device as it was before any activation.
    pub(crate) fn factory_id(&self, name: &str) -> DeviceId {
        let device = self.devices.devices().into_iter().find(|d| d.name == name);
        device.expect("a device").id
    }
}
