//! The book in memory, found by whatever a device shows of itself. Looking up never waits for a disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use landfall_book::cloud_side::TimerList;
use landfall_book::{Book, Device, Digest, Hardware};
use landfall_proto::id::{DeviceId, Uuid};
use landfall_proto::mqtt::Envelope;
use landfall_proto::psk::{DeviceHash, PskType};

use super::firmware::Files;
use super::profiles::Profiles;
use super::schemas;
use crate::backend::{Announcement, ApprovedImage, Generation, Keys, Registration};

/// A registration, with what else is asked of it while it is in use.
#[derive(Debug)]
pub(super) struct Slot {
    registration: RwLock<Arc<Registration>>,
    software: RwLock<Option<String>>,
    /// The first password of an adopted device.
    pub(super) pinned: Option<Digest>,
    pub(super) timers: Option<TimerList>,
    pub(super) images: Vec<Arc<ApprovedImage>>,
    /// Uuid, ids, former ids: what a window may be opened for.
    pub(super) names: Vec<String>,
    /// The second registration of a device, which it does not use yet.
    waiting: bool,
}

impl Slot {
    pub(super) fn registration(&self) -> Arc<Registration> {
        Arc::clone(&self.registration.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what a device said of itself. Returns whether any of it was new.
    pub(super) fn heard(&self, what: &Announcement) -> bool {
        let mut new = false;
        let mut registration = self.registration.write().unwrap_or_else(PoisonError::into_inner);
        let envelope: Option<Envelope> = what.envelope.filter(|e| registration.envelope != Some(*e));
        let generation: Option<Generation> = what.generation.filter(|g| registration.generation != Some(*g));
        if envelope.is_some() || generation.is_some() {
            let changed = Arc::make_mut(&mut registration);
            changed.envelope = envelope.or(changed.envelope);
            changed.generation = generation.or(changed.generation);
            new = true;
        }
        drop(registration);
        let mut software = self.software.write().unwrap_or_else(PoisonError::into_inner);
        if what.software.is_some() && *software != what.software {
            software.clone_from(&what.software);
            new = true;
        }
        new
    }
}

/// Uuid, id, former ids, and the id that it was given and does not use yet.
pub(super) fn names(device: &Device) -> Vec<String> {
    let waiting = device.cloud.pending.as_ref().map(|p| &p.id);
    let ids = device.ids().chain(waiting).map(ToString::to_string);
    ids.chain(device.uuid.as_ref().map(ToString::to_string)).collect()
}

/// Everything, as of one version of the book.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Slot>,
    by_id: HashMap<DeviceId, usize>,
    by_uuid: HashMap<Uuid, usize>,
    by_hash: HashMap<DeviceHash, usize>,
    pub(super) people: HashMap<String, Digest>,
    /// For what is asked now and then only.
    pub(super) book: Book,
}

impl Index {
    /// Reads the book. Approved images that are not in memory yet are read from disk.
    pub(super) fn of(book: Book, profiles: &Profiles, files: &Files) -> Self {
        let mut index = Self::default();
        let mut devices: Vec<&Device> = book.devices().iter().filter(|d| !d.is_sub_device()).collect();
        devices.sort_by_key(|d| d.name.to_lowercase());
        for device in devices {
            index.add(device, profiles, files);
        }
        for hardware in book.hardware() {
            index.add_hardware(hardware);
        }
        index.people = book.people().iter().map(|p| (p.name.clone(), p.password.clone())).collect();
        index.book = book;
        index
    }

    fn add(&mut self, device: &Device, profiles: &Profiles, files: &Files) {
        let side = &device.cloud;
        let pending = side.pending.as_ref();
        let keys = device.key.clone().map(|local| Keys { local, sec: side.sec_key.clone() });
        let waiting = pending.map(|p| Keys { local: p.local.clone(), sec: Some(p.sec.clone()) });
        let same = pending.is_some_and(|p| p.id == device.id);
        let registration = Registration {
            id: device.id.clone(),
            name: device.name.clone(),
            uuid: device.uuid.clone(),
            auth_key: side.auth_key.clone(),
            psk_key: side.psk_key.clone(),
            keys,
            pending: waiting.clone().filter(|_| same),
            pinned: side.pinned.is_some(),
            product_id: device.product_id.clone(),
            schema: Arc::new(schemas::known(profiles, device)),
            envelope: side.envelope.or_else(|| pending.filter(|_| same)?.envelope),
            generation: side.generation.or_else(|| Some(pending.filter(|_| same)?.generation)),
        };
        let uuid = device.uuid.as_ref();
        let names = names(device);
        let image = |image: &landfall_book::cloud_side::Image| {
            let bytes = files.load(image)?;
            let (version, token) = (image.version.clone(), image.token.clone());
            Some(Arc::new(ApprovedImage { kind: image.kind, version, bytes, token }))
        };
        let second = pending.filter(|_| !same).map(|p| Registration {
            id: p.id.clone(),
            keys: None,
            pending: waiting,
            pinned: false,
            envelope: p.envelope,
            generation: Some(p.generation),
            ..registration.clone()
        });
        let at = self.push(Slot {
            registration: RwLock::new(Arc::new(registration)),
            software: RwLock::new(side.software.clone()),
            pinned: side.pinned.clone(),
            timers: side.timers.clone(),
            images: side.images.iter().filter_map(image).collect(),
            names: names.clone(),
            waiting: false,
        });
        if let Some(uuid) = uuid {
            self.by_uuid.insert(uuid.clone(), at);
            self.by_hash.insert(DeviceHash::of(PskType::One, uuid.as_str()), at);
            self.by_hash.insert(DeviceHash::of(PskType::Two, uuid.as_str()), at);
        }
        for id in device.ids() {
            self.by_id.insert(id.clone(), at);
            // On ESP8266 the identity is made of the device id.
            self.by_hash.insert(DeviceHash::of(PskType::One, id.as_str()), at);
        }
        if let Some(second) = second {
            let id = second.id.clone();
            let at = self.push(Slot {
                registration: RwLock::new(Arc::new(second)),
                software: RwLock::default(),
                pinned: None,
                timers: side.timers.clone(),
                images: Vec::new(),
                names,
                waiting: true,
            });
            self.by_hash.entry(DeviceHash::of(PskType::One, id.as_str())).or_insert(at);
            self.by_id.insert(id, at);
        }
    }

    fn add_hardware(&mut self, hardware: &Hardware) {
        let uuid = &hardware.uuid;
        // A uuid and a device id are made of the same characters.
        let Ok(id) = DeviceId::new(uuid.as_str()) else { return };
        let registration = Registration {
            id,
            name: hardware.name.clone().unwrap_or_else(|| uuid.to_string()),
            uuid: Some(uuid.clone()),
            auth_key: hardware.auth_key.clone(),
            psk_key: hardware.psk_key.clone(),
            keys: None,
            pending: None,
            pinned: false,
            product_id: None,
            schema: Arc::default(),
            envelope: None,
            generation: None,
        };
        let at = self.push(Slot {
            registration: RwLock::new(Arc::new(registration)),
            software: RwLock::default(),
            pinned: None,
            timers: None,
            images: Vec::new(),
            names: vec![uuid.to_string()],
            waiting: false,
        });
        self.by_uuid.entry(uuid.clone()).or_insert(at);
        self.by_hash.entry(DeviceHash::of(PskType::One, uuid.as_str())).or_insert(at);
        self.by_hash.entry(DeviceHash::of(PskType::Two, uuid.as_str())).or_insert(at);
    }

    fn push(&mut self, slot: Slot) -> usize {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    pub(super) fn by_id(&self, id: &DeviceId) -> Option<&Slot> {
        self.slots.get(*self.by_id.get(id)?)
    }

    pub(super) fn by_uuid(&self, uuid: &Uuid) -> Option<&Slot> {
        self.slots.get(*self.by_uuid.get(uuid)?)
    }

    pub(super) fn by_hash(&self, hash: &DeviceHash) -> Option<&Slot> {
        self.slots.get(*self.by_hash.get(hash)?)
    }

    /// All devices by name, each once, then hardware that was never activated.
    pub(super) fn devices(&self) -> Vec<Arc<Registration>> {
        self.slots.iter().filter(|s| !s.waiting).map(Slot::registration).collect()
    }

    /// All images.
    pub(super) fn images(&self) -> impl Iterator<Item = &Arc<ApprovedImage>> {
        self.slots.iter().flat_map(|s| &s.images)
    }
}
