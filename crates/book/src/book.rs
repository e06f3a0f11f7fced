//! All devices of an owner.

use std::fmt::Write as _;

use landfall_proto::id::{DeviceId, Uuid};
use serde::{Deserialize, Serialize};

use crate::device::{Device, NameError, checked_name};
use crate::people::{Hardware, Person, PersonError};
use crate::reserve::KeySet;
use crate::shared::Shared;

/// Why the book can't be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The name won't do.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No such device.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The id is there already, as an id or a former id.
    #[error("{id} is in the book already, as {name:?}")]
    Exists {
        /// The id.
        id: DeviceId,
        /// The name it has.
        name: String,
    },
    /// A gateway with sub-devices in the book.
    #[error("{name:?} is the gateway of {}", listed(.children))]
    HasChildren {
        /// The gateway.
        name: String,
        /// The names of its sub-devices.
        children: Vec<String>,
    },
    /// The user name won't do.
    #[error(transparent)]
    Person(#[from] PersonError),
    /// A list that is as long as lists may be.
    #[error("{0} entries are enough")]
    Full(usize),
    /// Too many devices were given keys and never used them.
    #[error("{0} devices were given keys and never used them")]
    Unused(usize),
    /// Two entries that can't stand beside each other; only a file changed by hand holds such.
    #[error("two devices share {0}")]
    Clash(String),
}

/// Why no device was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nothing of that name or id.
    #[error("no device is called {asked:?}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// Names that look like it, the nearest first, at most three.
        near: Vec<String>,
        /// How many devices there are.
        known: usize,
    },
    /// More than one.
    #[error("{asked:?} is the name of {} devices: {}", .ids.len(), ids_listed(.ids))]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// Their ids.
        ids: Vec<DeviceId>,
    },
}

fn listed(names: &[String]) -> String {
    let mut out = String::new();
    for (i, n) in names.iter().enumerate() {
        let _ = write!(out, "{}{n:?}", if i == 0 { "" } else { ", " });
    }
    out
}

fn ids_listed(ids: &[DeviceId]) -> String {
    ids.iter().map(DeviceId::as_str).collect::<Vec<_>>().join(", ")
}

/// The devices, in the order in which they came; beside them hardware without a registration, people, and a reserve of
/// keys. A copy is cheap: it shares what neither of the two changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    pub(crate) devices: Shared<Vec<Shared<Device>>>,
    #[serde(default, skip_serializing_if = "none_listed")]
    pub(crate) hardware: Shared<Vec<Shared<Hardware>>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) people: Vec<Person>,
    /// Keys made ahead; what is told of them is entered as a device soon after.
    #[serde(default, skip_serializing_if = "none_listed")]
    pub(crate) reserve: Shared<Vec<Shared<KeySet>>>,
}

fn none_listed<T>(list: &[Shared<T>]) -> bool {
    list.is_empty()
}

/// Names are the same whatever the case of their letters.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// Whether `fold(name) == folded`, mostly without a copy.
pub(crate) fn folds_to(name: &str, folded: &str) -> bool {
    if name.is_ascii() {
        folded.is_ascii() && name.eq_ignore_ascii_case(folded)
    } else {
        fold(name) == folded
    }
}

/// What a device is called by: its name, its id, its former ids.
fn called(device: &Device) -> impl Iterator<Item = &str> {
    std::iter::once(device.name.as_str()).chain(device.ids().map(DeviceId::as_str))
}

/// The number of a name that is `folded`, a space and a number as we write it.
fn numbered(name: &str, folded: &str) -> Option<u32> {
    let (start, number) = name.rsplit_once(' ')?;
    let n: u32 = number.parse().ok()?;
    (folds_to(start, folded) && n.to_string() == number).then_some(n)
}

impl Book {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Devices that are shown as a file has them, twice the same name included. For reading only: such a book is
    /// never stored.
    pub(crate) fn as_read(devices: Vec<Device>) -> Self {
        let devices = Shared::new(devices.into_iter().map(Shared::new).collect());
        Self { devices, ..Self::new() }
    }

    /// The devices.
    pub fn devices(&self) -> &[Shared<Device>] {
        &self.devices
    }

    /// Whether it holds what a program that knows no stand-in cloud would lose.
    pub(crate) fn has_cloud_side(&self) -> bool {
        let of_cloud =
            |d: &Shared<Device>| !d.cloud.is_empty() || d.key_history.iter().any(|p| p.sec.is_some());
        !self.hardware.is_empty() || !self.people.is_empty() || self.devices.iter().any(of_cloud)
    }

    /// No devices.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// The device with this id or former id.
    pub fn by_id(&self, id: &DeviceId) -> Option<&Device> {
        self.position(id).map(|i| &*self.devices[i])
    }

    /// The device with this id or former id, to change. Its name is changed by [`Self::rename`] only.
    pub fn by_id_mut(&mut self, id: &DeviceId) -> Option<&mut Device> {
        self.position(id).map(|i| self.devices.own()[i].own())
    }

    fn position(&self, id: &DeviceId) -> Option<usize> {
        let devices = &self.devices;
        devices
            .iter()
            .position(|d| d.id == *id)
            .or_else(|| devices.iter().position(|d| d.aliases.contains(id)))
    }

    fn claims<'a>(&'a self, uuid: &Uuid) -> impl Iterator<Item = &'a Device> {
        self.devices.iter().map(|d| &**d).filter(move |d| d.uuid.as_ref() == Some(uuid))
    }

    /// The hardware with this uuid, if exactly one device claims it.
    pub fn by_uuid(&self, uuid: &Uuid) -> Option<&Device> {
        let mut claims = self.claims(uuid);
        claims.next().filter(|_| claims.next().is_none())
    }

    /// The hardware with this uuid; none when no device claims it.
    pub(crate) fn only_by_uuid(&self, uuid: &Uuid) -> Result<Option<&Device>, BookError> {
        let mut claims = self.claims(uuid);
        match (claims.next(), claims.next()) {
            (_, Some(_)) => Err(BookError::Clash(format!("the uuid {uuid}"))),
            (one, None) => Ok(one),
        }
    }

    /// The same, to change.
    pub(crate) fn only_by_uuid_mut(&mut self, uuid: &Uuid) -> Result<Option<&mut Device>, BookError> {
        let id = self.only_by_uuid(uuid)?.map(|d| d.id.clone());
        Ok(id.and_then(|id| self.by_id_mut(&id)))
    }

    /// The sub-devices of a gateway.
    pub fn children<'a>(&'a self, gateway: &'a DeviceId) -> impl Iterator<Item = &'a Device> {
        self.devices.iter().map(|d| &**d).filter(move |d| d.parent.as_ref() == Some(gateway))
    }

    /// Finds a device by what a person typed: its id, a former id, or its name in any case of letters. Nothing is
    /// guessed from a part: a command must not reach a device by likeness.
    ///
    /// # Errors
    /// No such device (with names that look like it), or several.
    pub fn find(&self, asked: &str) -> Result<&Device, LookupError> {
        let asked = asked.trim();
        let by_id = |d: &&Shared<Device>| d.id.as_str() == asked;
        let by_alias = |d: &&Shared<Device>| d.aliases.iter().any(|a| a.as_str() == asked);
        let all = &self.devices;
        if let Some(d) = all.iter().find(by_id).or_else(|| all.iter().find(by_alias)) {
            return Ok(d);
        }
        let folded = fold(asked);
        let named: Vec<&Device> = all.iter().map(|d| &**d).filter(|d| folds_to(&d.name, &folded)).collect();
        match named[..] {
            [one] => Ok(one),
            [] => Err(LookupError::Unknown {
                asked: asked.to_owned(),
                near: self.near(&folded),
                known: all.len(),
            }),
            _ => {
                // Two that differ in case only can still be told apart by exact spelling.
                let mut exact = named.iter().filter(|d| d.name == asked);
                match (exact.next(), exact.next()) {
                    (Some(one), None) => Ok(one),
                    _ => Err(LookupError::Ambiguous {
                        asked: asked.to_owned(),
                        ids: named.iter().map(|d| d.id.clone()).collect(),
                    }),
                }
            }
        }
    }

    /// Names and ids that look like `folded`.
    fn near(&self, folded: &str) -> Vec<String> {
        let score = |text: &str| {
            let text = fold(text);
            let whole = strsim::jaro_winkler(folded, &text);
            // A word of the name, or a part of the id, is a good hint whatever the rest.
            let part = folded.chars().count() >= 3 && text.contains(folded);
            if part { whole.max(0.9) } else { whole }
        };
        let mut near: Vec<(f64, &str)> = Vec::new();
        for d in self.devices() {
            let (name, id) = (score(&d.name), score(d.id.as_str()));
            let best = if id > name && id > 0.95 { (id, d.id.as_str()) } else { (name, d.name.as_str()) };
            if best.0 >= 0.75 {
                near.push(best);
            }
        }
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.into_iter().take(3).map(|(_, n)| n.to_owned()).collect()
    }

    /// Devices other than `except`.
    fn others(&self, except: Option<&DeviceId>) -> impl Iterator<Item = &Device> {
        self.devices.iter().map(|d| &**d).filter(move |d| Some(&d.id) != except)
    }

    /// Whether a device other than `except` could be meant by this name.
    fn owner_of(&self, name: &str, except: Option<&DeviceId>) -> Option<&Device> {
        let folded = fold(name);
        self.others(except).find(|d| called(d).any(|text| folds_to(text, &folded)))
    }

    /// Checks a name for a device that is (`of`) or is not yet in the book.
    ///
    /// # Errors
    /// Not a name, or another device has it.
    pub fn check_name(&self, name: &str, of: Option<&DeviceId>) -> Result<String, NameError> {
        let name = checked_name(name)?;
        match self.owner_of(&name, of) {
            Some(d) => Err(NameError::Taken { owner: d.id.clone(), name }),
            None => Ok(name),
        }
    }

    /// `wanted`, or `wanted 2`, `wanted 3`... when another device has it.
    pub(crate) fn free_name(&self, wanted: &str, of: Option<&DeviceId>) -> String {
        let folded = fold(wanted);
        // Looked through once: a fleet of one kind has as many names to avoid as it has devices.
        let mut taken = std::collections::HashSet::new();
        for text in self.others(of).flat_map(called) {
            if folds_to(text, &folded) {
                taken.insert(1);
            } else if let Some(n) = numbered(text, &folded) {
                taken.insert(n);
            }
        }
        if !taken.contains(&1) {
            return wanted.to_owned();
        }
        let n = (2_u32..).find(|n| !taken.contains(n)).unwrap_or(u32::MAX);
        format!("{wanted} {n}")
    }

    /// Adds a device.
    ///
    /// # Errors
    /// The id is known, or the name won't do.
    pub fn add(&mut self, mut device: Device) -> Result<&mut Device, BookError> {
        if let Some(there) = self.by_id(&device.id) {
            return Err(BookError::Exists { id: device.id, name: there.name.clone() });
        }
        device.name = self.check_name(&device.name, None)?;
        let devices = self.devices.own();
        devices.push(Shared::new(device));
        let last = devices.len() - 1;
        Ok(devices[last].own())
    }

    /// Gives a device another name. Returns the name it had.
    ///
    /// # Errors
    /// No such device, or the name won't do.
    pub fn rename(&mut self, asked: &str, name: &str) -> Result<String, BookError> {
        let id = self.find(asked)?.id.clone();
        let name = self.check_name(name, Some(&id))?;
        let Some(device) = self.by_id_mut(&id) else {
            return Err(BookError::Clash(format!("the id {id}")));
        };
        // The next import shall not bring the old name back.
        if device.imported_name.is_none() {
            device.imported_name = Some(device.name.clone());
        }
        if device.imported_name.as_deref() == Some(&name) {
            device.imported_name = None;
        }
        Ok(std::mem::replace(&mut device.name, name))
    }

    /// Takes a device out.
    ///
    /// # Errors
    /// No such device, or it is the gateway of others.
    pub fn remove(&mut self, asked: &str) -> Result<Device, BookError> {
        let found = self.find(asked)?;
        let children: Vec<String> = self.children(&found.id).map(|d| d.name.clone()).collect();
        if !children.is_empty() {
            return Err(BookError::HasChildren { name: found.name.clone(), children });
        }
        let id = found.id.clone();
        match self.position(&id) {
            Some(at) => Ok(self.devices.own().remove(at).take()),
            None => Err(BookError::Clash(format!("the id {id}"))),
        }
    }

    /// A known device has a new registration: the old id becomes an alias, and its sub-devices follow.
    pub(crate) fn re_register(&mut self, old: &DeviceId, new: &DeviceId) {
        for d in self.devices.own() {
            if d.parent.as_ref() == Some(old) {
                d.own().parent = Some(new.clone());
            }
            if d.id == *old {
                let d = d.own();
                d.aliases.retain(|a| a != new);
                d.aliases.push(std::mem::replace(&mut d.id, new.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(s: &str) -> DeviceId {
        DeviceId::new(s).unwrap()
    }

    fn home() -> Book {
        let mut b = Book::new();
        for (i, n) in [("bf01", "Kitchen plug"), ("bf02", "Hall / lamp"), ("bf03", "Kühlschrank")] {
            b.add(Device::new(id(i), n)).unwrap();
        }
        b
    }

    #[test]
    fn finds_by_name_in_any_case_and_by_id() {
        let b = home();
        assert_eq!(b.find("KITCHEN PLUG").unwrap().id, id("bf01"));
        assert_eq!(b.find("hall / lamp").unwrap().id, id("bf02"));
        assert_eq!(b.find("KÜHLSCHRANK").unwrap().id, id("bf03"));
        assert_eq!(b.find("bf02").unwrap().name, "Hall / lamp");
    }

    #[test]
    fn near_misses_are_named_and_never_taken() {
        let near = |asked: &str| match home().find(asked).unwrap_err() {
            LookupError::Unknown { near, .. } => near,
            other => panic!("{other}"),
        };
        assert_eq!(near("kichen plug"), ["Kitchen plug"]);
        assert_eq!(near("lamp"), ["Hall / lamp"]);
        assert!(near("zzzz").is_empty());
    }

    #[test]
    fn names_are_unique_whatever_the_case() {
        let mut b = home();
        let taken = b.add(Device::new(id("bf09"), "kitchen PLUG")).unwrap_err();
        assert_eq!(taken.to_string(), "the name \"kitchen PLUG\" belongs to bf01 already");
        assert!(matches!(b.rename("bf02", "BF01"), Err(BookError::Name(NameError::Taken { .. }))));
        assert!(matches!(b.add(Device::new(id("bf01"), "x")), Err(BookError::Exists { .. })));
        assert_eq!(b.rename("bf01", "KITCHEN plug").unwrap(), "Kitchen plug");
        b.check().unwrap();
    }

    #[test]
    fn twice_the_same_name_is_explained() {
        let b = Book::as_read(vec![
            Device::new(id("bf01"), "Plug"),
            Device::new(id("bf02"), "Plug"),
            Device::new(id("bf03"), "plug"),
        ]);
        assert_eq!(
            b.find("Plug").unwrap_err().to_string(),
            "\"Plug\" is the name of 3 devices: bf01, bf02, bf03"
        );
        assert_eq!(b.find("plug").unwrap().id, id("bf03"));
        assert_eq!(b.check().unwrap_err().to_string(), "two devices share the name \"Plug\"");
    }

    #[test]
    fn a_gateway_stays_while_it_has_children() {
        let mut b = home();
        b.by_id_mut(&id("bf02")).unwrap().parent = Some(id("bf01"));
        assert_eq!(
            b.remove("bf01").unwrap_err().to_string(),
            "\"Kitchen plug\" is the gateway of \"Hall / lamp\""
        );
        b.remove("bf02").unwrap();
        b.remove("bf01").unwrap();
        assert_eq!(b.devices().len(), 1);
    }

    #[test]
    fn a_new_registration_keeps_the_old_id_as_an_alias() {
        let mut b = home();
        b.by_id_mut(&id("bf02")).unwrap().parent = Some(id("bf01"));
        b.re_register(&id("bf01"), &id("bf77"));
        assert_eq!(b.find("bf01").unwrap().id, id("bf77"));
        assert_eq!(b.find("bf77").unwrap().aliases, [id("bf01")]);
        assert_eq!(b.children(&id("bf77")).count(), 1);
    }
}
