//! The book in memory, found by whatever a device shows of itself. Looking up never waits for a disk.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use landfall_book::cloud_side::TimerList;
use landfall_book::{Amendment, Book, Device, Digest, Hardware, Shared};
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

/// Puts a slot where it is found, unless it is to stand back (`first`: who was first stays). Returns whether there was another.
fn put<K: std::hash::Hash + Eq + Clone>(
    map: &mut HashMap<K, usize>,
    key: &K,
    slot: usize,
    first: bool,
) -> bool {
    match map.entry(key.clone()) {
        Entry::Occupied(mut there) => {
            // A device may be found by one text in two ways.
            let other = *there.get() != slot;
            if !first {
                there.insert(slot);
            }
            other
        }
        Entry::Vacant(free) => {
            free.insert(slot);
            false
        }
    }
}

/// Where a slot stands in the list of devices: by name, hardware without a registration behind them.
type Place = (bool, String, usize);

/// What a device is found by, and its place in the list.
#[derive(Debug, Default)]
struct Found {
    slots: Vec<usize>,
    ids: Vec<DeviceId>,
    uuids: Vec<Uuid>,
    hashes: Vec<DeviceHash>,
    place: Option<Place>,
}

/// Everything, as of one version of the book.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_id: HashMap<DeviceId, usize>,
    by_uuid: HashMap<Uuid, usize>,
    by_hash: HashMap<DeviceHash, usize>,
    listed: BTreeMap<Place, usize>,
    /// By the place of a device in the book.
    devices: Vec<Found>,
    /// By the place of hardware in the book.
    hardware: Vec<Found>,
    /// Two were to be found by the same; taking one of them out might hide the other.
    crowded: bool,
    pub(super) people: HashMap<String, Digest>,
    /// For what is asked now and then only.
    pub(super) book: Book,
}

impl Index {
    /// Reads the book. Approved images that are not in memory yet are read from disk.
    pub(super) fn of(book: Book, profiles: &Profiles, files: &Files) -> Self {
        let mut index = Self::default();
        for (at, device) in book.devices().iter().enumerate() {
            let found = index.add(at, device, profiles, files);
            index.devices.push(found);
        }
        for (at, hardware) in book.hardware().iter().enumerate() {
            let found = index.add_hardware(at, hardware);
            index.hardware.push(found);
        }
        index.people = book.people().iter().map(|p| (p.name.clone(), p.password.clone())).collect();
        index.book = book;
        index
    }

    /// What makes this the index of another version of the book, if it is little.
    pub(super) fn amendment_to(&self, book: &Book) -> Option<Amendment> {
        Amendment::between(&self.book, book).filter(|_| !self.crowded)
    }

    /// Takes the next version of the book. The devices that did not change keep their slots.
    pub(super) fn amend(&mut self, book: Book, amendment: &Amendment, profiles: &Profiles, files: &Files) {
        // All that goes goes first: what one device had, another may have now.
        for at in amendment.hardware_gone().iter().rev() {
            let found = self.hardware.remove(*at);
            self.forget(found);
        }
        for at in amendment.devices() {
            if let Some(found) = self.devices.get_mut(at).map(std::mem::take) {
                self.forget(found);
            }
        }
        for at in amendment.devices() {
            let found = self.add(at, &book.devices()[at], profiles, files);
            match self.devices.get_mut(at) {
                Some(slot) => *slot = found,
                None => self.devices.push(found),
            }
        }
        self.book = book;
    }

    fn forget(&mut self, found: Found) {
        let Found { slots, ids, uuids, hashes, place } = found;
        for id in ids {
            self.by_id.remove(&id);
        }
        for uuid in uuids {
            self.by_uuid.remove(&uuid);
        }
        for hash in hashes {
            self.by_hash.remove(&hash);
        }
        if let Some(place) = place {
            self.listed.remove(&place);
        }
        for at in slots {
            self.slots[at] = None;
            self.free.push(at);
        }
    }

    /// `first`: of two that are found by the same, this one is not taken for the other.
    fn found_by_id(&mut self, found: &mut Found, id: &DeviceId, slot: usize, first: bool) {
        self.crowded |= put(&mut self.by_id, id, slot, first);
        found.ids.push(id.clone());
    }

    fn found_by_uuid(&mut self, found: &mut Found, uuid: &Uuid, slot: usize, first: bool) {
        self.crowded |= put(&mut self.by_uuid, uuid, slot, first);
        found.uuids.push(uuid.clone());
        for psk in [PskType::One, PskType::Two] {
            self.found_by_hash(found, DeviceHash::of(psk, uuid.as_str()), slot, first);
        }
    }

    fn found_by_hash(&mut self, found: &mut Found, hash: DeviceHash, slot: usize, first: bool) {
        self.crowded |= put(&mut self.by_hash, &hash, slot, first);
        found.hashes.push(hash);
    }

    fn list(&mut self, found: &mut Found, place: Place, slot: usize) {
        self.crowded |= self.listed.insert(place.clone(), slot).is_some();
        found.place = Some(place);
    }

    fn add(&mut self, place: usize, device: &Shared<Device>, profiles: &Profiles, files: &Files) -> Found {
        let mut found = Found::default();
        if device.is_sub_device() {
            return found;
        }
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
        let at = self.push(
            &mut found,
            Slot {
                registration: RwLock::new(Arc::new(registration)),
                software: RwLock::new(side.software.clone()),
                pinned: side.pinned.clone(),
                timers: side.timers.clone(),
                images: side.images.iter().filter_map(image).collect(),
                names: names.clone(),
            },
        );
        self.list(&mut found, (false, device.name.to_lowercase(), place), at);
        if let Some(uuid) = uuid {
            self.found_by_uuid(&mut found, uuid, at, false);
        }
        for id in device.ids() {
            self.found_by_id(&mut found, id, at, false);
            // On ESP8266 the identity is made of the device id.
            self.found_by_hash(&mut found, DeviceHash::of(PskType::One, id.as_str()), at, false);
        }
        if let Some(second) = second {
            let id = second.id.clone();
            let at = self.push(
                &mut found,
                Slot {
                    registration: RwLock::new(Arc::new(second)),
                    software: RwLock::default(),
                    pinned: None,
                    timers: side.timers.clone(),
                    images: Vec::new(),
                    names,
                },
            );
            self.found_by_hash(&mut found, DeviceHash::of(PskType::One, id.as_str()), at, true);
            self.found_by_id(&mut found, &id, at, false);
        }
        found
    }

    fn add_hardware(&mut self, place: usize, hardware: &Hardware) -> Found {
        let mut found = Found::default();
        let uuid = &hardware.uuid;
        // A uuid and a device id are made of the same characters.
        let Ok(id) = DeviceId::new(uuid.as_str()) else { return found };
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
        let at = self.push(
            &mut found,
            Slot {
                registration: RwLock::new(Arc::new(registration)),
                software: RwLock::default(),
                pinned: None,
                timers: None,
                images: Vec::new(),
                names: vec![uuid.to_string()],
            },
        );
        self.list(&mut found, (true, String::new(), place), at);
        self.found_by_uuid(&mut found, uuid, at, true);
        found
    }

    fn push(&mut self, found: &mut Found, slot: Slot) -> usize {
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        };
        found.slots.push(at);
        at
    }

    pub(super) fn by_id(&self, id: &DeviceId) -> Option<&Slot> {
        self.slots.get(*self.by_id.get(id)?)?.as_ref()
    }

    pub(super) fn by_uuid(&self, uuid: &Uuid) -> Option<&Slot> {
        self.slots.get(*self.by_uuid.get(uuid)?)?.as_ref()
    }

    pub(super) fn by_hash(&self, hash: &DeviceHash) -> Option<&Slot> {
        self.slots.get(*self.by_hash.get(hash)?)?.as_ref()
    }

    /// All devices by name, each once, then hardware that was never activated.
    pub(super) fn devices(&self) -> Vec<Arc<Registration>> {
        let slots = self.listed.values().filter_map(|at| self.slots.get(*at)?.as_ref());
        slots.map(Slot::registration).collect()
    }

    /// All images.
    pub(super) fn images(&self) -> impl Iterator<Item = &Arc<ApprovedImage>> {
        self.slots.iter().flatten().flat_map(|s| &s.images)
    }
}
