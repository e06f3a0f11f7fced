//! What all servers of one cloud share.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use landfall_proto::id::{DeviceId, Uuid};
use tokio::sync::broadcast;

use crate::backend::{Backend, Registration};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Event, What};
use crate::feed::{Feed, Feeder};
use crate::handshake::Handshakes;
use crate::journal::Journal;
use crate::mqtt::Devices;
use crate::people::People;
use crate::tap::{Tap, Tapped};

/// Events that a slow watcher may fall behind by before it loses some, and is told so.
const EVENT_BACKLOG: usize = 4_096;

/// The addresses that are really listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bound {
    /// HTTP.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// MQTT.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over TLS by PSK.
    pub mqtt_psk: Option<SocketAddr>,
    /// DNS.
    pub dns: Option<SocketAddr>,
}

/// What all servers of one cloud share.
pub struct Shared {
    /// Settings.
    pub config: Config,
    /// Clocks.
    pub clock: Clock,
    /// Who keeps the devices.
    pub backend: Arc<dyn Backend>,
    /// How far each device has come.
    pub handshakes: Handshakes,
    /// Which address asked our DNS for what.
    pub asked: crate::dns::Seen,
    /// Devices that are logged in.
    pub devices: Devices,
    /// The broker for people's clients.
    pub people: People,
    /// Reports on disk.
    pub journal: Journal,
    /// The certificate that devices shall trust, DER, for the name service's `caArr`.
    pub ca_der: Vec<u8>,
    /// Where we listen; set once all sockets are bound.
    pub bound: OnceLock<Bound>,
    /// What the HTTP gateway remembers of all its connections.
    pub gateway: crate::gateway::Memory,
    events: broadcast::Sender<Event>,
    feeder: Feeder,
    tap: OnceLock<Arc<dyn Tap>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Puts the parts together. Nothing runs yet.
    pub fn new(
        config: Config,
        clock: Clock,
        backend: Arc<dyn Backend>,
        people: People,
        journal: Journal,
        ca_der: Vec<u8>,
    ) -> Arc<Self> {
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let handshakes = Handshakes::open(&config.data_dir);
        handshakes.ask_whose({
            let backend = Arc::clone(&backend);
            move |who| whose(&*backend, who)
        });
        Arc::new(Self {
            handshakes,
            asked: crate::dns::Seen::new(),
            devices: Devices::new(),
            config,
            clock,
            backend,
            people,
            journal,
            ca_der,
            bound: OnceLock::new(),
            gateway: crate::gateway::Memory::default(),
            events,
            feeder: Feeder::default(),
            tap: OnceLock::new(),
        })
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// What devices do from now on, for one reader who is told what it missed: the hub. It takes the place of the reader
    /// before it. At most `capacity` events wait.
    pub fn feed(&self, capacity: usize) -> Feed {
        self.feeder.open(capacity)
    }

    /// From now on this is told what devices and cloud say to each other. Only the first call counts.
    pub fn set_tap(&self, tap: Arc<dyn Tap>) {
        let _set_already = self.tap.set(tap);
    }

    /// Whether anybody looks at what is said.
    pub(crate) fn is_tapped(&self) -> bool {
        self.tap.get().is_some_and(|tap| tap.wanted())
    }

    /// Shows something that was said to whoever looks.
    pub(crate) fn tapped(&self, make: impl FnOnce() -> Tapped) {
        if let Some(tap) = self.tap.get().filter(|tap| tap.wanted()) {
            tap.said(make());
        }
    }

    /// Where we listen; nowhere before the sockets are bound.
    pub fn bound(&self) -> Bound {
        self.bound.get().copied().unwrap_or_default()
    }

    /// Tells those who watch.
    pub fn tell(&self, device: Option<&Registration>, peer: Option<SocketAddr>, what: What) {
        self.tell_of(device.map(|d| (&d.id, d.name.as_str())), peer, what);
    }

    /// The same with id and name apart.
    pub fn tell_of(&self, device: Option<(&DeviceId, &str)>, peer: Option<SocketAddr>, what: What) {
        if self.events.receiver_count() == 0 && !self.feeder.is_open() {
            return;
        }
        let event = Event {
            at_ms: self.clock.unix_ms(),
            device: device.map(|(id, _)| id.clone()),
            name: device.map(|(_, name)| name.to_owned()),
            peer,
            what,
        };
        self.feeder.give(&event);
        // The last watcher may have left in between.
        let _nobody = self.events.send(event);
    }
}

/// The owner's device that calls itself so: by id, former id or uuid.
pub fn whose(backend: &dyn Backend, who: &str) -> Option<DeviceId> {
    let by_id = DeviceId::new(who).ok().and_then(|id| backend.by_id(&id));
    let found = by_id.or_else(|| Uuid::new(who).ok().and_then(|uuid| backend.by_uuid(&uuid)));
    found.map(|r| r.id.clone())
}
