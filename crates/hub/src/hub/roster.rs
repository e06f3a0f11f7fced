//! The book as the brain and the lines want it, followed while it changes, whoever changes it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_book::{Book, Device};
use landfall_cloud::book_backend::BookBackend;
use landfall_proto::id::DeviceId;
use serde_json::Value;

use super::inbox::Inbox;
use super::lan::{Lan, Plan};
use super::start::Refreshing;
use crate::core::{Action, Known};
use crate::model::{Facts, Problem, ProblemKind};
use crate::profile::Definition;

/// Where the owner's word for the room stands in a device's entry.
pub(super) const ROOM: &str = "room";
/// Where the owner's own definition stands in a device's entry, as TOML.
pub(super) const DEFINITION: &str = "definition";

/// Follows the book.
#[derive(Debug)]
pub(super) struct Roster {
    book: Arc<BookBackend>,
    inbox: Inbox,
    lan: Arc<Lan>,
    refreshing: Refreshing,
    /// One reload at a time, so that an older book never follows a newer one.
    turn: tokio::sync::Mutex<()>,
    told: Mutex<Told>,
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    devices: Vec<(Device, Known)>,
    /// Ids and former ids, and the id now.
    ids: HashMap<DeviceId, DeviceId>,
}

/// What the brain is told of a device.
fn facts(device: &Device, book: &Book) -> Facts {
    let room = device.extra.get(ROOM).and_then(|v| v.as_str()).map(ToOwned::to_owned);
    let line = device.parent.as_ref().filter(|_| device.is_sub_device()).and_then(|p| book.by_id(p));
    Facts {
        id: device.id.clone(),
        aliases: device.aliases.clone(),
        name: device.name.clone(),
        uuid: device.uuid.clone(),
        product_id: device.product_id.clone(),
        product_name: device.product_name.clone(),
        category: device.category.clone(),
        version: line.unwrap_or(device).version,
        software: device.cloud.software.clone(),
        // Its id now: the book's entry may name a former one.
        parent: line.map(|gateway| gateway.id.clone()).or_else(|| device.parent.clone()),
        cid: device.cid.clone(),
        mac: device.mac.clone(),
        sleeper: device.sleeper,
        has_key: line.unwrap_or(device).key.is_some(),
        room,
    }
}

impl Roster {
    pub(super) fn new(book: Arc<BookBackend>, inbox: Inbox, lan: Arc<Lan>, refreshing: Refreshing) -> Self {
        let (turn, told) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { book, inbox, lan, refreshing, turn, told }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices of the book, and what is known of them; what did not change is the same as before.
    fn read(&self, old: &[(Device, Known)]) -> Vec<(Device, Known)> {
        let before: HashMap<&DeviceId, &(Device, Known)> = old.iter().map(|d| (&d.0.id, d)).collect();
        self.book.read(|book| {
            let known = |device: &Device| {
                let facts = facts(device, book);
                if let Some((was, known)) = before.get(&device.id)
                    && was == device
                    && *known.facts == facts
                {
                    return (device.clone(), known.clone());
                }
                let definition = self.refreshing.apply(definition(device, &facts));
                (device.clone(), Known { facts: Arc::new(facts), definition })
            };
            book.devices().iter().map(known).collect()
        })
    }

    /// Takes the book in before anything runs.
    pub(super) fn first(&self) -> Action {
        let devices = self.read(&[]);
        let action = Action::Devices(devices.iter().map(|d| d.1.clone()).collect());
        *self.told() = Told { ids: ids(&devices), devices };
        action
    }

    /// Opens the lines of what [`first`](Self::first) took in.
    pub(super) async fn open_lines(&self) {
        let _turn = self.turn.lock().await;
        let plans = plans(&self.told().devices);
        self.lan.follow(plans).await;
    }

    /// Takes the book in anew, if anything that matters is different.
    pub(super) async fn reload(&self) {
        let _turn = self.turn.lock().await;
        let old = self.told().devices.clone();
        let devices = self.read(&old);
        let same = |(new, old): (&(Device, Known), &(Device, Known))| {
            new.0 == old.0 && Arc::ptr_eq(&new.1.facts, &old.1.facts)
        };
        if devices.len() == old.len() && devices.iter().zip(&old).all(same) {
            return;
        }
        let known = devices.iter().map(|d| d.1.clone()).collect();
        let plans = plans(&devices);
        *self.told() = Told { ids: ids(&devices), devices };
        // The brain first: it knows the device before its line says anything.
        if self.inbox.act(Action::Devices(known)).await {
            self.lan.follow(plans).await;
        }
    }

    /// Follows the book until it is not kept any more.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut versions = self.book.versions();
        while versions.changed().await.is_ok() {
            self.reload().await;
        }
    }

    /// The id that a device has now, by it or a former one. Reads the book anew for one that is not known yet.
    pub(super) async fn current(&self, id: &DeviceId) -> Option<DeviceId> {
        if let Some(id) = self.told().ids.get(id) {
            return Some(id.clone());
        }
        // An id that was handed out and is in use for the first time; or somebody whom the book has for a moment.
        let known = self.book.read(|book| book.by_any_id(id).map(|d| d.id.clone()))?;
        self.reload().await;
        self.told().ids.get(&known).cloned()
    }

    /// Devices with lines of their own.
    pub(super) fn own_ids(&self) -> Vec<DeviceId> {
        let told = self.told();
        told.devices.iter().filter(|(d, _)| !d.is_sub_device()).map(|(d, _)| d.id.clone()).collect()
    }

    /// What is known of a device by its id now.
    pub(super) fn known(&self, id: &DeviceId) -> Option<Known> {
        self.told().devices.iter().find(|(d, _)| d.id == *id).map(|(_, known)| known.clone())
    }
}

fn ids(devices: &[(Device, Known)]) -> HashMap<DeviceId, DeviceId> {
    let all = |d: &Device| d.ids().map(|id| (id.clone(), d.id.clone())).collect::<Vec<_>>();
    devices.iter().flat_map(|(d, _)| all(d)).collect()
}

/// What the LAN must know.
fn plans(devices: &[(Device, Known)]) -> Vec<Plan> {
    let mut children: HashMap<&DeviceId, Vec<_>> = HashMap::new();
    for (_, known) in devices {
        if let (Some(parent), Some(cid)) = (&known.facts.parent, &known.facts.cid) {
            children.entry(parent).or_default().push(cid.clone());
        }
    }
    let own: HashSet<&DeviceId> =
        devices.iter().filter(|(d, _)| !d.is_sub_device()).map(|(d, _)| &d.id).collect();
    let plan = |(device, known): &(Device, Known)| Plan {
        id: device.id.clone(),
        key: device.key.clone(),
        address: device.socket_address(),
        version: device.version,
        schema: Arc::clone(&known.definition.schema),
        device22: device.device22,
        sleeper: device.sleeper,
        children: children.get(&device.id).cloned().unwrap_or_default(),
    };
    devices.iter().filter(|(d, _)| own.contains(&d.id)).map(plan).collect()
}

/// What the points of a device mean.
fn definition(device: &Device, facts: &Facts) -> Arc<Definition> {
    let _ = facts;
    let schema = Arc::new(device.schema());
    Arc::new(Definition { schema, ..Definition::default() })
}

/// The owner's own definition of a device, checked; `None` for an empty text, which takes it away.
///
/// # Errors
/// It can't be read; the words say where.
pub(super) fn owned(text: &str) -> Result<Option<Value>, Problem> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    match toml::from_str::<toml::Table>(text) {
        Ok(_) => Ok(Some(Value::from(text))),
        Err(e) => Err(Problem::new(ProblemKind::Asked, "definition.invalid", e.to_string())),
    }
}
