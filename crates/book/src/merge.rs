//! What a file said, into the book.

use std::fmt;

use landfall_proto::id::{DeviceId, LocalKey};

use crate::book::Book;
use crate::device::{Device, PastKey};
use crate::import::Entry;

/// What an import did to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The device's id now.
    pub id: DeviceId,
    /// Its name in the book.
    pub name: String,
    /// What happened.
    pub kind: OutcomeKind,
}

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutcomeKind {
    /// New in the book. `instead_of` is the file's name for it, when another device has that name.
    Added {
        /// The name that was taken.
        instead_of: Option<String>,
    },
    /// Something was new.
    Updated(Vec<Change>),
    /// The file said nothing new.
    Unchanged,
    /// The file holds a former registration of this device; nothing was taken from it but a key for the history.
    Former,
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub field: &'static str,
    /// What it was; `None` when it was not known, or is not shown.
    pub from: Option<String>,
    /// What it is; `None` when it is not shown.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{} {from} -> {to}", self.field),
            (None, Some(to)) => write!(f, "{} {to}", self.field),
            _ => write!(f, "{}", self.field),
        }
    }
}

/// Merges entries into the book. What a file doesn't say stays as it is; a changed key goes to the key history.
/// Doing it twice changes nothing the second time. `now`: seconds since 1970-01-01 UTC.
pub fn merge(book: &mut Book, entries: &[Entry], now: u64) -> Vec<Outcome> {
    let outcomes = entries.iter().map(|e| merge_one(book, e, now)).collect();
    book.settle_hardware();
    outcomes
}

fn merge_one(book: &mut Book, entry: &Entry, now: u64) -> Outcome {
    let said = &entry.device;
    // The same hardware under a new registration?
    let by_uuid = said.uuid.as_ref().and_then(|u| book.by_uuid(u)).map(|d| d.id.clone());
    let mut changes = Vec::new();
    if book.by_id(&said.id).is_none()
        && let Some(old) = by_uuid
    {
        book.re_register(&old, &said.id);
        changes.push(changed("id", Some(old.to_string()), said.id.to_string()));
    }
    let Some(known) = book.by_id(&said.id) else { return added(book, entry) };
    let id = known.id.clone();
    if id != said.id {
        return former(book, &id, said.key.clone(), now);
    }
    let name = new_name(book, known, entry);
    let Some(d) = book.by_id_mut(&id) else { return added(book, entry) };
    if let Some((name, imported)) = name {
        if d.name != name {
            changes.push(changed("name", Some(d.name.clone()), name.clone()));
            d.name = name;
        }
        d.imported_name = imported;
    }
    update(d, entry, now, &mut changes);
    let kind = if changes.is_empty() { OutcomeKind::Unchanged } else { OutcomeKind::Updated(changes) };
    Outcome { id, name: d.name.clone(), kind }
}

fn changed(field: &'static str, from: Option<String>, to: String) -> Change {
    Change { field, from, to: Some(to) }
}

fn added(book: &mut Book, entry: &Entry) -> Outcome {
    let mut device = entry.device.clone();
    let wanted = device.name.clone();
    device.name = book.free_name(&wanted, Some(&device.id));
    // Former ids that another device of the book has now are that device's.
    device.aliases.retain(|a| book.by_id(a).is_none());
    let instead_of = (device.name != wanted).then(|| wanted.clone());
    device.imported_name.clone_from(&instead_of);
    let (id, name) = (device.id.clone(), device.name.clone());
    // Can't fail: the id is unknown and the name is free. If it does, the device is simply not there.
    let kind = match book.add(device) {
        Ok(_) => OutcomeKind::Added { instead_of },
        Err(_) => OutcomeKind::Unchanged,
    };
    Outcome { id, name, kind }
}

/// A file from before the last pairing: its key may be of use, the rest is stale.
fn former(book: &mut Book, id: &DeviceId, key: Option<LocalKey>, now: u64) -> Outcome {
    let mut name = String::new();
    if let Some(d) = book.by_id_mut(id) {
        if let Some(key) = key
            && d.key.as_ref() != Some(&key)
            && d.key_history.iter().all(|p| p.key != key)
        {
            d.key_history.insert(0, PastKey { key, sec: None, replaced: now });
        }
        name.clone_from(&d.name);
    }
    Outcome { id: id.clone(), name, kind: OutcomeKind::Former }
}

/// The name after an import, with the file's name where it is another; `None` when nothing changes.
fn new_name(book: &Book, known: &Device, entry: &Entry) -> Option<(String, Option<String>)> {
    let said = &entry.device.name;
    let last = known.imported_name.as_ref().unwrap_or(&known.name);
    // The owner's own renaming outlives an import that says what it said before.
    if !entry.named || said == last || *said == known.name {
        return None;
    }
    let name = book.free_name(said, Some(&known.id));
    let imported = (name != *said).then(|| said.clone());
    Some((name, imported))
}

fn update(d: &mut Device, entry: &Entry, now: u64, changes: &mut Vec<Change>) {
    let said = &entry.device;
    for past in &said.key_history {
        let known = d.key.as_ref() == Some(&past.key) || d.key_history.iter().any(|p| p.key == past.key);
        if !known && said.key.as_ref() != Some(&past.key) {
            d.key_history.push(past.clone());
            changes.push(Change { field: "key history", from: None, to: None });
        }
    }
    if let Some(key) = &said.key {
        let had = d.key.is_some();
        let same = d.key.as_ref() == Some(key);
        if d.change_keys(key.clone(), said.cloud.sec_key.clone(), now) {
            let field = if same {
                "sec key"
            } else if had {
                "key changed (the old one is in the key history)"
            } else {
                "key"
            };
            changes.push(Change { field, from: None, to: None });
        }
    }
    replace_secret("auth key", &mut d.cloud.auth_key, said.cloud.auth_key.as_ref(), changes);
    replace_secret("psk key", &mut d.cloud.psk_key, said.cloud.psk_key.as_ref(), changes);
    replace("address", &mut d.address, said.address.as_ref(), changes);
    // A file that gives an address without a port means the usual port.
    if said.address.is_some() && said.port.is_none() && d.port.is_some() {
        let from = d.port.take().map(|p| p.to_string());
        changes.push(changed("port", from, landfall_proto::lan::TCP_PORT.to_string()));
    }
    replace("port", &mut d.port, said.port.as_ref(), changes);
    replace("version", &mut d.version, said.version.as_ref(), changes);
    replace("uuid", &mut d.uuid, said.uuid.as_ref(), changes);
    replace("product id", &mut d.product_id, said.product_id.as_ref(), changes);
    replace("product", &mut d.product_name, said.product_name.as_ref(), changes);
    replace("category", &mut d.category, said.category.as_ref(), changes);
    replace("mac", &mut d.mac, said.mac.as_ref(), changes);
    replace("gateway", &mut d.parent, said.parent.as_ref(), changes);
    replace("cid", &mut d.cid, said.cid.as_ref(), changes);
    if said.mapping.is_some() && d.mapping != said.mapping {
        d.mapping.clone_from(&said.mapping);
        changes.push(Change { field: "data points", from: None, to: None });
    }
    for (field, slot, said) in
        [("sleeper", &mut d.sleeper, entry.sleeper), ("device22", &mut d.device22, entry.device22)]
    {
        if let Some(said) = said
            && *slot != said
        {
            changes.push(changed(field, Some(slot.to_string()), said.to_string()));
            *slot = said;
        }
    }
    for alias in &said.aliases {
        if *alias != d.id && !d.aliases.contains(alias) {
            d.aliases.push(alias.clone());
            changes.push(changed("former id", None, alias.to_string()));
        }
    }
    let mut others = 0_usize;
    for (k, v) in &said.extra {
        if d.extra.get(k) != Some(v) {
            d.extra.insert(k.clone(), v.clone());
            others += 1;
        }
    }
    if others > 0 {
        changes.push(changed("other fields", None, format!("({others})")));
    }
}

fn replace_secret<T: Clone + PartialEq>(
    field: &'static str,
    slot: &mut Option<T>,
    said: Option<&T>,
    changes: &mut Vec<Change>,
) {
    if said.is_some() && slot.as_ref() != said {
        *slot = said.cloned();
        changes.push(Change { field, from: None, to: None });
    }
}

fn replace<T: Clone + PartialEq + ToString>(
    field: &'static str,
    slot: &mut Option<T>,
    said: Option<&T>,
    changes: &mut Vec<Change>,
) {
    if let Some(said) = said
        && slot.as_ref() != Some(said)
    {
        changes.push(changed(field, slot.as_ref().map(ToString::to_string), said.to_string()));
        *slot = Some(said.clone());
    }
}
