//! What the tests of the cloud share: a backend in memory, and a cloud around it without sockets.
//!
//! Every test crate compiles this module for itself and uses a part of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use landfall_cloud::backend::{
    ActivationAsk, ActivationRefusal, Announcement, ApprovedImage, Backend, BackendError, FirstUse, Identity,
    Keys, PinOutcome, Registration, Timers,
};
use landfall_cloud::clock::Clock;
use landfall_cloud::config::Config;
use landfall_cloud::journal::Journal;
use landfall_cloud::listen::{Link, Over};
use landfall_cloud::people::People;
use landfall_cloud::shared::{Bound, Shared};
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, ProductId, SecKey, Uuid};
use landfall_proto::psk::{DeviceHash, PskType};
use landfall_proto::schema::Schema;

/// 2024-07-01 12:00 UTC, when the clocks of the tests start.
pub(crate) const NOON: u64 = 1_719_835_200;
/// The secret that the first activation hands out; the second ends in 2, and so on.
pub(crate) const NEW_SEC: &str = "newsec0000000001";
/// The same for the local key.
pub(crate) const NEW_LOCAL: &str = "newlocal00000001";
/// The schema that everybody gets.
pub(crate) const SCHEMA: &str = r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"}]"#;

/// Everything that changed, in order, as text.
pub(crate) type Changes = Vec<String>;

#[derive(Default)]
struct Kept {
    devices: BTreeMap<DeviceId, Arc<Registration>>,
    windows: BTreeMap<String, u64>,
    timers: BTreeMap<DeviceId, Timers>,
    images: BTreeMap<(DeviceId, u32), Arc<ApprovedImage>>,
    pins: BTreeMap<DeviceId, Vec<u8>>,
    people: BTreeSet<(String, Vec<u8>)>,
    changes: Changes,
    activations: u32,
}

/// Devices in memory.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Kept>);

impl Memory {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or replaces a device.
    pub(crate) fn add(&self, device: Registration) -> Arc<Registration> {
        let device = Arc::new(device);
        self.kept().devices.insert(device.id.clone(), Arc::clone(&device));
        device
    }

    /// Opens a window for one identity.
    pub(crate) fn open(&self, who: &str, until: u64) {
        self.kept().windows.insert(who.to_owned(), until);
    }

    pub(crate) fn keep_timers(&self, id: &str, timers: Timers) {
        self.kept().timers.insert(device_id(id), timers);
    }

    pub(crate) fn approve(&self, id: &str, image: ApprovedImage) {
        self.kept().images.insert((device_id(id), image.kind), Arc::new(image));
    }

    pub(crate) fn add_person(&self, user: &str, password: &str) {
        self.kept().people.insert((user.to_owned(), password.as_bytes().to_vec()));
    }

    /// What was changed so far.
    pub(crate) fn changes(&self) -> Changes {
        self.kept().changes.clone()
    }

    fn change(&self, text: String) {
        self.kept().changes.push(text);
    }

    fn replace(&self, id: &DeviceId, change: impl FnOnce(&mut Registration)) -> Result<(), BackendError> {
        let mut kept = self.kept();
        let Some(device) = kept.devices.get(id) else {
            return Err(BackendError { what: format!("no device {id}") });
        };
        let mut device = Registration::clone(device);
        change(&mut device);
        kept.devices.insert(id.clone(), Arc::new(device));
        Ok(())
    }
}

#[async_trait]
impl Backend for Memory {
    fn by_id(&self, id: &DeviceId) -> Option<Arc<Registration>> {
        self.kept().devices.get(id).cloned()
    }

    fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<Registration>> {
        self.kept().devices.values().find(|d| d.uuid.as_ref() == Some(uuid)).cloned()
    }

    fn by_hash(&self, hash: &DeviceHash) -> Option<Arc<Registration>> {
        let fits = |id: &str| [PskType::One, PskType::Two].iter().any(|t| DeviceHash::of(*t, id) == *hash);
        let kept = self.kept();
        let mut devices = kept.devices.values();
        devices.find(|d| fits(d.id.as_str()) || d.uuid.as_ref().is_some_and(|u| fits(u.as_str()))).cloned()
    }

    fn devices(&self) -> Vec<Arc<Registration>> {
        self.kept().devices.values().cloned().collect()
    }

    fn window(&self, who: &Identity) -> Option<u64> {
        self.kept().windows.get(who.as_str()).copied()
    }

    async fn activate(
        &self,
        ask: ActivationAsk,
    ) -> Result<(Arc<Registration>, Activation), ActivationRefusal> {
        let mut kept = self.kept();
        if !kept.windows.contains_key(ask.who.as_str()) {
            return Err(ActivationRefusal::NoWindow);
        }
        let known = match &ask.who {
            Identity::Device(id) => kept.devices.get(id).cloned(),
            Identity::Uuid(uuid) => kept.devices.values().find(|d| d.uuid.as_ref() == Some(uuid)).cloned(),
        };
        let id = match (&known, &ask.who) {
            (Some(device), _) => device.id.clone(),
            (None, Identity::Device(id)) => id.clone(),
            (None, Identity::Uuid(uuid)) => device_id(&format!("bf{uuid}")),
        };
        let mut device = known.map_or_else(|| registration(id.as_str()), |d| Registration::clone(&d));
        if let Identity::Uuid(uuid) = &ask.who {
            device.uuid = Some(uuid.clone());
        }
        let keys = match device.pending.clone() {
            Some(keys) => keys,
            None => {
                kept.activations += 1;
                let n = kept.activations;
                Keys {
                    local: local_key(&format!("newlocal{n:08}")),
                    sec: Some(sec_key(&format!("newsec{n:010}"))),
                }
            }
        };
        device.pending = Some(keys.clone());
        device.product_id = ask.product_id.or(device.product_id);
        device.envelope = ask.envelope.or(device.envelope);
        device.generation = Some(ask.generation);
        let device = Arc::new(device);
        kept.devices.insert(id.clone(), Arc::clone(&device));
        kept.changes.push(format!("activate {} signed={} {:?}", ask.who, ask.signed, ask.generation));
        let activation = Activation {
            dev_id: Some(id),
            sec_key: keys.sec.ok_or(ActivationRefusal::NoWindow)?,
            local_key: keys.local,
            schema: SCHEMA.to_owned(),
            schema_id: "000004test".to_owned(),
            std_time_zone: None,
            time_zone: None,
            dst_intervals: Vec::new(),
        };
        Ok((device, activation))
    }

    async fn keys_used(&self, id: &DeviceId) -> Result<FirstUse, BackendError> {
        self.change(format!("keys_used {id}"));
        self.replace(id, |device| {
            if let Some(keys) = device.pending.take() {
                device.keys = Some(keys);
            }
        })?;
        Ok(FirstUse::Expected)
    }

    async fn pin(&self, id: &DeviceId, password: &[u8]) -> Result<PinOutcome, BackendError> {
        let mut kept = self.kept();
        match kept.pins.get(id) {
            Some(pinned) if pinned == password => Ok(PinOutcome::Fits),
            Some(_) => Ok(PinOutcome::Differs),
            None => {
                kept.pins.insert(id.clone(), password.to_vec());
                kept.changes.push(format!("pin {id}"));
                Ok(PinOutcome::Pinned)
            }
        }
    }

    fn announce(&self, id: &DeviceId, what: Announcement) {
        self.change(format!("announce {id} {:?} {:?} {:?}", what.envelope, what.generation, what.software));
        // An unknown device announces nothing.
        let _unknown = self.replace(id, |device| {
            device.envelope = what.envelope.or(device.envelope);
            device.generation = what.generation.or(device.generation);
        });
    }

    fn timers(&self, id: &DeviceId) -> Timers {
        self.kept().timers.get(id).cloned().unwrap_or(Timers::Kept)
    }

    fn image(&self, id: &DeviceId, kind: u32) -> Option<Arc<ApprovedImage>> {
        self.kept().images.get(&(id.clone(), kind)).cloned()
    }

    fn image_by_token(&self, token: &str) -> Option<Arc<ApprovedImage>> {
        self.kept().images.values().find(|i| i.token == token).cloned()
    }

    fn schema_of(&self, _product: Option<&ProductId>, _device: Option<&DeviceId>) -> (String, String) {
        (SCHEMA.to_owned(), "000004test".to_owned())
    }

    fn person(&self, user: &str, password: &[u8]) -> bool {
        self.kept().people.contains(&(user.to_owned(), password.to_vec()))
    }
}

/// A device of which nothing is known but its id.
pub(crate) fn registration(id: &str) -> Registration {
    Registration {
        id: device_id(id),
        name: format!("the {id}"),
        uuid: None,
        auth_key: None,
        psk_key: None,
        keys: None,
        pending: None,
        pinned: false,
        product_id: None,
        schema: Arc::new(Schema::default()),
        envelope: None,
        generation: None,
    }
}

/// Keys of these texts.
pub(crate) fn keys(local: &str, sec: &str) -> Keys {
    Keys { local: local_key(local), sec: Some(sec_key(sec)) }
}

pub(crate) fn device_id(text: &str) -> DeviceId {
    DeviceId::new(text).expect("a device id")
}

pub(crate) fn uuid(text: &str) -> Uuid {
    Uuid::new(text).expect("a uuid")
}

pub(crate) fn sec_key(text: &str) -> SecKey {
    SecKey::new(text).expect("a sec key")
}

pub(crate) fn auth_key(text: &str) -> AuthKey {
    AuthKey::new(text).expect("an auth key")
}

pub(crate) fn local_key(text: &str) -> LocalKey {
    LocalKey::new(text).expect("a local key")
}

/// What all servers share, around this backend, with the addresses of a house that has the standard ports. The directory
/// goes when the guard is dropped.
pub(crate) struct World {
    pub(crate) shared: Arc<Shared>,
    pub(crate) backend: Arc<Memory>,
    _directory: tempfile::TempDir,
}

impl World {
    /// The clock shows [`NOON`] and follows tokio's; the owner lives in Berlin.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with other settings.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config::new(directory.path());
        config.time_zone = Some("Europe/Berlin".to_owned());
        change(&mut config);
        let backend = Memory::new();
        let journal = Journal::open(directory.path()).expect("a journal");
        let shared = Shared::new(
            config,
            Clock::starting_at(NOON),
            Arc::clone(&backend) as Arc<dyn Backend>,
            People::none(),
            journal,
            b"not really a certificate".to_vec(),
        );
        Self { shared, backend, _directory: directory }
    }

    /// All servers listen on the standard ports of all addresses.
    pub(crate) fn bound(self) -> Self {
        let at = |port| Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        let bound = Bound {
            http: at(80),
            https: at(443),
            mqtt: at(1883),
            mqtts: at(8883),
            mqtt_psk: at(8886),
            dns: at(53),
        };
        self.shared.bound.set(bound).expect("bound once");
        self
    }
}

/// A connection of a device at home.
pub(crate) fn link(over: Over) -> Link {
    let peer = SocketAddr::from(([192, 168, 1, 77], 49_152));
    let local = SocketAddr::from(([192, 168, 1, 2], 80));
    Link { over, ..Link::plain(peer, local) }
}
