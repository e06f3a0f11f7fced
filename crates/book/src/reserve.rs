//! Keys made ahead, so that a device can be told keys that are on disk already.
//!
//! A set is told at once and entered as a device's keys soon after. When the power goes in between, the set lies here still:
//! the device that comes with it proves by its password that it was told it, and is taken in then. A set that was entered is
//! struck out in the same change, so that a device which its owner removed does not come back by this door.

use std::fmt;

use landfall_proto::id::{DeviceId, LocalKey, SecKey};
use serde::{Deserialize, Serialize};

use crate::book::{Book, BookError};
use crate::device::Device;
use crate::registration::{Applicant, HandOut};
use crate::secret_text;
use crate::shared::Shared;

/// Sets that a book keeps at most. Each end without a goodbye leaves some; the oldest make room.
pub const MAX_RESERVE: usize = 256;

/// An id and the keys that go with it, made ahead. `Debug` shows no key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct KeySet {
    /// Device id.
    pub id: DeviceId,
    /// Local key.
    #[serde(with = "secret_text")]
    pub local: LocalKey,
    /// Sec key.
    #[serde(with = "secret_text")]
    pub sec: SecKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySet(..)")
    }
}

impl Book {
    /// The keys of the reserve that go with this id.
    pub fn reserved(&self, id: &DeviceId) -> Option<&KeySet> {
        self.reserve.iter().map(|set| &**set).find(|set| set.id == *id)
    }

    /// How many sets lie in the reserve.
    pub fn reserve_len(&self) -> usize {
        self.reserve.len()
    }

    /// Puts sets into the reserve. Of more than [`MAX_RESERVE`] the oldest go.
    pub fn put_aside(&mut self, sets: impl IntoIterator<Item = KeySet>) {
        let reserve = self.reserve.own();
        reserve.extend(sets.into_iter().map(Shared::new));
        reserve.drain(..reserve.len().saturating_sub(MAX_RESERVE));
    }

    /// Takes a set out of the reserve. Returns whether it was there.
    pub fn strike(&mut self, id: &DeviceId) -> bool {
        let at = self.reserve.iter().position(|set| set.id == *id);
        at.map(|at| self.reserve.own().remove(at)).is_some()
    }

    /// Enters keys of the reserve that a device was told already: they wait for their first use, and the set is struck out.
    /// The id is what was told, whatever became of the book meanwhile.
    ///
    /// # Errors
    /// It can't be entered; the set stays where it is.
    pub fn settle(&mut self, told: &HandOut) -> Result<(), BookError> {
        let HandOut { applicant, had, product_id, name, fresh, again: _ } = told;
        let known = match self.by_any_id(&fresh.id) {
            Some(known) => Some(known.id.clone()),
            // Who claims a uuid twice can't be told from the other, and whoever was told keys needs them.
            None => self.applicant(applicant, had.as_ref()).ok().flatten().map(|d| d.id.clone()),
        };
        let at = match known {
            Some(at) => at,
            // The owner's name for the hardware may be none for a device.
            None => self
                .newcomer(applicant, &fresh.id, name)
                .or_else(|_| self.newcomer(applicant, &fresh.id, fresh.id.as_str()))?,
        };
        let claimed = |uuid| matches!(self.only_by_uuid(uuid), Ok(None));
        let uuid = match applicant {
            Applicant::Hardware(uuid) => Some(uuid).filter(|uuid| claimed(uuid)).cloned(),
            Applicant::Id(_) => None,
        };
        if let Some(device) = self.by_id_mut(&at) {
            device.uuid = device.uuid.take().or(uuid);
            device.product_id = device.product_id.take().or_else(|| product_id.clone());
            // A device may have used them before they are entered, when two programs wrote one book.
            let used = device.key.iter().chain(device.key_history.iter().map(|past| &past.key));
            if !used.into_iter().any(|key| *key == fresh.local) {
                device.cloud.pending = Some(fresh.clone());
            }
        }
        if let Applicant::Hardware(uuid) = applicant
            && self.hardware.iter().any(|h| h.uuid == *uuid)
        {
            self.settle_hardware();
        }
        self.strike(&fresh.id);
        Ok(())
    }

    /// A device came with keys of the reserve that nobody entered: it is taken in, named by its id, and the set is struck
    /// out. Returns whether there was such a set. `now`: seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// A device of the book is called so.
    pub fn take_in(&mut self, id: &DeviceId, now: u64) -> Result<bool, BookError> {
        let Some(set) = self.reserved(id).cloned() else { return Ok(false) };
        let mut device = Device::new(set.id, self.free_name(id.as_str(), None));
        device.change_keys(set.local, Some(set.sec), now);
        self.add(device)?;
        Ok(self.strike(id))
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::gateway::Generation;
    use landfall_proto::id::{AuthKey, Uuid};

    use super::*;
    use crate::cloud_side::{Pending, ToldSchema};
    use crate::people::Hardware;

    fn id(text: &str) -> DeviceId {
        DeviceId::new(text).unwrap()
    }

    fn uuid(text: &str) -> Uuid {
        Uuid::new(text).unwrap()
    }

    fn set(n: usize) -> KeySet {
        let text = format!("{n:016}");
        KeySet {
            id: id(&format!("bf{n:020}")),
            local: LocalKey::new(&text).unwrap(),
            sec: SecKey::new(&text).unwrap(),
        }
    }

    fn told(n: usize, who: &str) -> HandOut {
        let KeySet { id, local, sec } = set(n);
        let told = ToldSchema { id: "s".into(), text: "[]".into(), guess: true };
        HandOut {
            applicant: Applicant::Hardware(uuid(who)),
            had: None,
            product_id: None,
            name: "Plug".into(),
            fresh: Pending { id, local, sec, since: 1, told, envelope: None, generation: Generation::C },
            again: false,
        }
    }

    fn home() -> Book {
        let mut book = Book::new();
        book.put_aside((0..3).map(set));
        book
    }

    #[test]
    fn the_reserve_is_bounded_and_shows_no_key() {
        let mut book = Book::new();
        book.put_aside((0..MAX_RESERVE + 2).map(set));
        assert_eq!(book.reserve_len(), MAX_RESERVE);
        assert!(book.reserved(&set(1).id).is_none() && book.reserved(&set(2).id).is_some());
        assert!(!format!("{book:?}").contains(set(2).local.expose_str()));
        assert!(book.is_empty() && book.devices().is_empty(), "a set is no device");
    }

    #[test]
    fn what_was_told_becomes_a_device_that_waits_and_leaves_the_reserve() {
        let mut book = home();
        let auth_key = AuthKey::new("a".repeat(32)).ok();
        book.add_hardware(Hardware { uuid: uuid("u1"), name: Some("Lamp".into()), auth_key, psk_key: None })
            .unwrap();
        book.settle(&told(1, "u1")).unwrap();
        let lamp = book.by_id(&set(1).id).unwrap();
        assert_eq!((lamp.name.as_str(), lamp.uuid.as_ref(), &lamp.key), ("Lamp", Some(&uuid("u1")), &None));
        assert!(lamp.cloud.auth_key.is_some() && lamp.cloud.pending.as_ref().unwrap().local == set(1).local);
        assert!(book.hardware().is_empty() && book.reserved(&set(1).id).is_none());
        assert_eq!(book.take_in(&set(1).id, 5), Ok(false));
        book.remove("Lamp").unwrap();
        assert_eq!(book.take_in(&set(1).id, 5), Ok(false), "who was removed has no door");
        assert_eq!(book.reserve_len(), 2);
    }

    #[test]
    fn what_was_told_counts_whatever_became_of_the_book() {
        // The owner entered a device with this uuid meanwhile.
        let mut book = home();
        let mut plug = Device::new(id("bf01"), "Plug");
        plug.uuid = Some(uuid("u1"));
        plug.key = Some(set(9).local);
        book.add(plug.clone()).unwrap();
        book.settle(&told(1, "u1")).unwrap();
        assert_eq!(book.devices().len(), 1);
        assert!(book.keys_used(&set(1).id, 5));
        assert_eq!(book.devices()[0].aliases, [id("bf01")]);
        // Two claim it.
        let mut book = home();
        book.add(plug.clone()).unwrap();
        book.add(Device { id: id("bf02"), name: "Other".into(), ..plug }).unwrap();
        book.settle(&told(1, "u1")).unwrap();
        assert!(book.keys_used(&set(1).id, 5));
        assert_eq!(book.by_id(&set(1).id).unwrap().uuid, None);
        // It was taken in by the reserve already.
        let mut book = home();
        assert_eq!(book.take_in(&set(1).id, 5), Ok(true));
        book.settle(&told(1, "u1")).unwrap();
        let device = &book.devices()[0];
        assert_eq!((&device.uuid, &device.cloud.pending), (&Some(uuid("u1")), &None));
        assert_eq!(device.key, Some(set(1).local));
        book.check().unwrap();
    }

    #[test]
    fn a_device_that_nobody_entered_is_taken_in_with_its_keys() {
        let mut book = home();
        assert_eq!(book.take_in(&id("bf77"), 5), Ok(false));
        assert_eq!(book.take_in(&set(2).id, 5), Ok(true));
        let device = book.by_id(&set(2).id).unwrap();
        assert_eq!(device.name, set(2).id.as_str());
        assert_eq!((&device.key, &device.cloud.sec_key), (&Some(set(2).local), &Some(set(2).sec)));
        assert_eq!((book.take_in(&set(2).id, 5), book.reserve_len()), (Ok(false), 2));
    }
}
