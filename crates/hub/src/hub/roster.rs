//! The book as the brain and the lines want it, followed while it changes, whoever changes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_book::{Book, Device};
use landfall_cloud::book_backend::BookBackend;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::DeviceId;
use serde_json::Value;
use tokio::sync::Notify;

use super::inbox::Inbox;
use super::lan::{Lan, Plan};
use super::start::Refreshing;
use super::views::Views;
use crate::core::{Action, Known};
use crate::model::Facts;
use crate::profile::{Definitions, KnownSchemas};
use crate::store::{Store, Writer};

/// Where the owner's word for the room stands in a device's entry.
pub(super) const ROOM: &str = "room";
/// Where the owner's own definition stands in a device's entry.
pub(super) const DEFINITION: &str = "definition";
/// Points that no definition knows are looked at this often at most: a device may show them one by one.
const LEARNING: Duration = Duration::from_millis(250);

/// Follows the book.
#[derive(Debug)]
pub(super) struct Roster {
    book: Arc<BookBackend>,
    inbox: Inbox,
    lan: Arc<Lan>,
    views: Arc<Views>,
    store: Arc<dyn Store>,
    writer: Writer,
    definitions: Definitions,
    refreshing: Refreshing,
    /// One reload at a time, so that an older book never follows a newer one.
    turn: tokio::sync::Mutex<()>,
    told: Mutex<Told>,
}

/// A device as it was told last.
#[derive(Clone, Debug)]
struct Entry {
    device: Device,
    known: Known,
    /// The points that it had shown by then.
    shown: Vec<DpId>,
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    devices: Vec<Entry>,
    /// Ids and former ids, and the id now.
    ids: HashMap<DeviceId, DeviceId>,
}

fn text<'a>(device: &'a Device, key: &str) -> Option<&'a str> {
    device.extra.get(key).and_then(Value::as_str)
}

/// The owner's own definition of a device.
pub(super) fn own_definition(device: &Device) -> Option<&str> {
    text(device, DEFINITION)
}

/// What the brain is told of a device.
fn facts(device: &Device, book: &Book) -> Facts {
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
        room: text(device, ROOM).map(ToOwned::to_owned),
    }
}

/// What a roster works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) book: Arc<BookBackend>,
    pub(super) inbox: Inbox,
    pub(super) lan: Arc<Lan>,
    pub(super) views: Arc<Views>,
    pub(super) store: Arc<dyn Store>,
    pub(super) writer: Writer,
    pub(super) definitions: Definitions,
    pub(super) refreshing: Refreshing,
}

impl Roster {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { book, inbox, lan, views, store, writer, definitions, refreshing } = parts;
        let (turn, told) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { book, inbox, lan, views, store, writer, definitions, refreshing, turn, told }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices of the book, and what is known of them; what did not change is the same as before.
    fn read(&self, old: &[Entry]) -> Vec<Entry> {
        let before: HashMap<&DeviceId, &Entry> = old.iter().map(|e| (&e.device.id, e)).collect();
        let entry = |device: &Device, book: &Book| {
            let facts = facts(device, book);
            let heard = self.views.by_id(&device.id).map(|view| view.dps()).unwrap_or_default();
            let shown: Vec<DpId> = heard.ids().collect();
            if let Some(was) = before.get(&device.id)
                && was.device == *device
                && *was.known.facts == facts
                && (was.shown == shown || was.known.definition.knows(&heard))
            {
                return Entry::clone(was);
            }
            let known = self.define(device, facts, &heard);
            Entry { device: device.clone(), known, shown }
        };
        self.book.read(|book| book.devices().iter().map(|device| entry(device, book)).collect())
    }

    fn define(&self, device: &Device, facts: Facts, heard: &Dps) -> Known {
        let schemas = KnownSchemas::of(device, own_definition(device).map(ToOwned::to_owned));
        let definition = self.refreshing.apply(self.definitions.of(&facts, &schemas, heard));
        Known { facts: Arc::new(facts), definition }
    }

    /// Takes the book in before anything runs.
    pub(super) fn first(&self) -> Action {
        let devices = self.read(&[]);
        let action = Action::Devices(devices.iter().map(|d| d.known.clone()).collect());
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
        let same = |(new, old): (&Entry, &Entry)| {
            new.device == old.device && Arc::ptr_eq(&new.known.facts, &old.known.facts)
        };
        if devices.len() == old.len() && devices.iter().zip(&old).all(same) {
            return;
        }
        let known = devices.iter().map(|d| d.known.clone()).collect();
        let plans = plans(&devices);
        let renamed = renamed(&old, &devices);
        *self.told() = Told { ids: ids(&devices), devices };
        // The brain first: it knows the device before its line says anything.
        if self.inbox.act(Action::Devices(known)).await {
            self.lan.follow(plans).await;
        }
        for (from, to) in renamed {
            self.move_history(&from, &to).await;
        }
    }

    /// A device was activated anew: its history goes on under the new id.
    async fn move_history(&self, from: &DeviceId, to: &DeviceId) {
        // What was told under the old id first; a store that fails keeps it waiting, and says so itself.
        self.inbox.settle().await;
        let stored = self.writer.flush().await;
        if let Err(error) = self.store.rename(from, to).await {
            tracing::error!(%from, %to, %error, "the history was not moved to the device's new id");
        } else if !stored {
            tracing::warn!(%from, %to, "the last changes under the device's old id stay under it");
        }
    }

    /// Follows the book until it is not kept any more, and learns from points that nobody knew.
    pub(super) async fn follow(self: Arc<Self>, unknown: Arc<Notify>) {
        let mut versions = self.book.versions();
        loop {
            tokio::select! {
                changed = versions.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.reload().await;
                }
                () = unknown.notified() => {
                    self.reload().await;
                    tokio::time::sleep(LEARNING).await;
                }
            }
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
        let own = told.devices.iter().filter(|e| !e.device.is_sub_device());
        own.map(|e| e.device.id.clone()).collect()
    }
}

fn ids(devices: &[Entry]) -> HashMap<DeviceId, DeviceId> {
    let all = |d: &Device| d.ids().map(|id| (id.clone(), d.id.clone())).collect::<Vec<_>>();
    devices.iter().flat_map(|e| all(&e.device)).collect()
}

/// Devices that have another id than before.
fn renamed(old: &[Entry], new: &[Entry]) -> Vec<(DeviceId, DeviceId)> {
    let now = ids(new);
    let moved = |e: &Entry| {
        let to = now.get(&e.device.id)?;
        (*to != e.device.id).then(|| (e.device.id.clone(), to.clone()))
    };
    old.iter().filter_map(moved).collect()
}

/// What the LAN must know.
fn plans(devices: &[Entry]) -> Vec<Plan> {
    let mut children: HashMap<&DeviceId, Vec<_>> = HashMap::new();
    for Entry { known, .. } in devices {
        if let (Some(parent), Some(cid)) = (&known.facts.parent, &known.facts.cid) {
            children.entry(parent).or_default().push(cid.clone());
        }
    }
    let plan = |device: &Device| Plan {
        id: device.id.clone(),
        key: device.key.clone(),
        address: device.socket_address(),
        version: device.version,
        // The brain knows more, and types what is heard; this does not change with what a device shows.
        schema: Arc::new(device.schema()),
        device22: device.device22,
        sleeper: device.sleeper,
        children: children.get(&device.id).cloned().unwrap_or_default(),
    };
    devices.iter().filter(|e| !e.device.is_sub_device()).map(|e| plan(&e.device)).collect()
}
