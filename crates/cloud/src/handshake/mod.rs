//! How far each device has come: which step, over what, when, and what it still lacks.
//!
//! Records are kept in memory and in `<data>/cloud/handshakes.json`. Devices of the owner are kept for good. Strangers,
//! who can call themselves anything, and addresses that only asked DNS have a bounded number of places; who was heard
//! longest ago goes first.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use landfall_proto::id::DeviceId;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::backend::Generation;
use crate::shared::Shared;

mod lacks;
mod record;

#[cfg(test)]
mod tests;

pub use lacks::{Doors, Lack, lacks};
pub use record::{Mark, Record, Step};

/// Most strangers that are remembered.
const STRANGERS: usize = 256;
/// Most addresses that are remembered.
const ADDRESSES: usize = 1_024;
/// Longest name of anybody; device ids and uuids are shorter.
const WHO: usize = 64;
/// Most devices read from the file; a house has fewer.
const DEVICES: usize = 100_000;
/// Larger files are none of ours.
const FILE_BYTES: u64 = 256 << 20;
/// Time between two writes of the file.
pub const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Finds the owner's device that calls itself so: by id, former id or uuid.
type Whose = Box<dyn Fn(&str) -> Option<DeviceId> + Send + Sync>;

/// All records, kept in `<data>/cloud/handshakes.json` and written there every few seconds when something changed.
pub struct Handshakes {
    path: PathBuf,
    records: Mutex<Records>,
    changed: AtomicBool,
    whose: OnceLock<Whose>,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Records {
    /// The owner's, by device id.
    devices: HashMap<String, Record>,
    /// Others, by what they call themselves.
    strangers: HashMap<String, Record>,
    /// Those of whom only the address is known.
    addresses: HashMap<IpAddr, Record>,
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Makes room for one more when a map is full: the one heard longest ago goes.
fn make_room<K: Clone + Eq + std::hash::Hash>(map: &mut HashMap<K, Record>, most: usize) {
    while map.len() >= most {
        let Some(oldest) = map.iter().min_by_key(|(_, r)| r.last()).map(|(k, _)| k.clone()) else { return };
        map.remove(&oldest);
    }
}

impl Handshakes {
    /// The records of this data directory; damaged or missing ones start anew (they are no secrets and come back).
    pub fn open(data_dir: &Path) -> Self {
        let path = data_dir.join("cloud/handshakes.json");
        let records = match read(&path) {
            Ok(records) => records,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Records::default(),
            Err(e) => {
                tracing::warn!("{} can't be read ({e}); it starts anew", path.display());
                Records::default()
            }
        };
        Self { path, records: Mutex::new(records), changed: AtomicBool::new(false), whose: OnceLock::new() }
    }

    /// From now on names are looked up by this: the owner's devices are told from strangers, and a device's uuid and
    /// former ids from its id. Only the first call counts.
    pub fn ask_whose(&self, whose: impl Fn(&str) -> Option<DeviceId> + Send + Sync + 'static) {
        let _set_already = self.whose.set(Box::new(whose));
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner's device that calls itself so.
    fn owned(&self, who: &str) -> Option<DeviceId> {
        self.whose.get().and_then(|w| w(who))
    }

    /// Changes the record of somebody, making it if need be.
    fn change(&self, who: &str, change: impl FnOnce(&mut Record)) {
        self.changed.store(true, Ordering::Release);
        let mut records = self.lock();
        if let Some(record) = records.devices.get_mut(who) {
            return change(record);
        }
        if let Ok(ip) = who.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            if !records.addresses.contains_key(&ip) {
                make_room(&mut records.addresses, ADDRESSES);
            }
            return change(records.addresses.entry(ip).or_default());
        }
        if let Some(id) = self.owned(who) {
            // What it did before it had this id, or before we knew it, is its own all the same.
            let before = records.strangers.remove(who);
            let record = records.devices.entry(id.as_str().to_owned()).or_default();
            before.into_iter().for_each(|b| record.merge(b));
            return change(record);
        }
        if who.is_empty() || who.len() > WHO {
            return;
        }
        if !records.strangers.contains_key(who) {
            make_room(&mut records.strangers, STRANGERS);
        }
        change(records.strangers.entry(who.to_owned()).or_default());
    }

    /// A step was taken. `who` is the device id, the uuid of hardware that has no id yet, or the address of somebody
    /// who has not said more of himself. A report is counted with its step.
    pub fn step(&self, who: &str, step: Step, mark: Mark) {
        self.change(who, |r| r.step(step, mark));
    }

    /// Something was refused.
    pub fn refused(&self, who: &str, code: &'static str, mark: Mark) {
        self.change(who, |r| r.refused(code, mark));
    }

    /// A call of the gateway, over HTTP or MQTT.
    pub fn question(&self, who: &str, action: &str) {
        self.change(who, |r| r.question(action));
    }

    /// A generation was seen; D and E are newer than what a path alone says, so the newest one counts.
    pub fn generation(&self, who: &str, generation: Generation) {
        self.change(who, |r| r.generation = r.generation.max(Some(generation)));
    }

    /// It logged in, or its connection ended.
    pub fn connected(&self, who: &str, connected: bool) {
        self.change(who, |r| r.connected = connected);
    }

    /// Reports of it are missing.
    pub fn lost(&self, who: &str, reports: u64) {
        self.change(who, |r| r.lost = r.lost.saturating_add(reports));
    }

    /// The records of the owner's devices, each with what it did before it had its id.
    pub fn devices(&self) -> HashMap<DeviceId, Record> {
        let records = self.lock();
        let mut all: HashMap<DeviceId, Record> = HashMap::new();
        for (who, record) in records.devices.iter().chain(&records.strangers) {
            if let Some(id) = self.owned(who) {
                all.entry(id).or_default().merge(record.clone());
            }
        }
        all
    }

    /// What an address asked, of which no more is known.
    pub fn address(&self, ip: IpAddr) -> Option<Record> {
        self.lock().addresses.get(&ip.to_canonical()).cloned()
    }

    /// Everybody who is not the owner's, by what they call themselves, who was heard last first.
    pub fn strangers(&self) -> Vec<(String, Record)> {
        let records = self.lock();
        let mut list: Vec<_> = records
            .strangers
            .iter()
            .filter(|(who, _)| self.owned(who).is_none())
            .map(|(who, r)| (who.clone(), r.clone()))
            .collect();
        list.sort_by(|a, b| b.1.last().cmp(&a.1.last()).then_with(|| a.0.cmp(&b.0)));
        list
    }

    /// All addresses that asked our DNS, in order.
    pub fn addresses(&self) -> Vec<(IpAddr, Record)> {
        let mut list: Vec<_> = self.lock().addresses.iter().map(|(ip, r)| (*ip, r.clone())).collect();
        list.sort_by_key(|(ip, _)| *ip);
        list
    }

    /// Writes the file if something changed since it was written last.
    ///
    /// # Errors
    /// The directory can't be written; it is tried again the next time.
    pub fn save(&self) -> io::Result<()> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        // The copy is made under the lock, the disk is waited for without.
        let text = serde_json::to_vec(&*self.lock());
        let written = text.map_err(io::Error::from).and_then(|text| write(&self.path, &text));
        if written.is_err() {
            self.changed.store(true, Ordering::Release);
        }
        written
    }
}

/// Writes the file of a running cloud every few seconds when something changed; until it is dropped. A failure is told
/// once.
pub async fn keep_saving(shared: Arc<Shared>) {
    let mut told = false;
    let mut ticks = tokio::time::interval(SAVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let of = Arc::clone(&shared);
        match tokio::task::spawn_blocking(move || of.handshakes.save()).await {
            Ok(Ok(())) => told = false,
            Ok(Err(e)) if !told => {
                told = true;
                tracing::warn!("{} is not written: {e}", shared.handshakes.path.display());
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

fn read(path: &Path) -> io::Result<Records> {
    if std::fs::metadata(path)?.len() > FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut records: Records = serde_json::from_slice(&std::fs::read(path)?)?;
    if records.devices.len() > DEVICES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    make_room(&mut records.strangers, STRANGERS + 1);
    make_room(&mut records.addresses, ADDRESSES + 1);
    Ok(records)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    landfall_book::store::replace_file(path, text).map_err(|e| match e {
        landfall_book::StoreError::Io { source, .. } => source,
        other => io::Error::other(other.to_string()),
    })
}
