//! What one version of a book has that the version before had not, as far as it is small.

use serde::{Deserialize, Serialize};

use crate::book::Book;
use crate::device::Device;
use crate::reserve::KeySet;
use crate::shared::Shared;

/// Devices that changed or came, hardware that became a device, and what went into and out of the reserve. Whatever else happens to a book is no amendment: then
/// all of it is written. Applied to the version before, it makes the version after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    /// Where in the book, and what stands there now; one behind the last is added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    devices: Vec<(usize, Shared<Device>)>,
    /// Where in the list of hardware stood what is gone, in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hardware_gone: Vec<usize>,
    /// Where in the reserve stood what is gone, in rising order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reserve_gone: Vec<usize>,
    /// Keys that came into the reserve, behind what is left of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reserve_new: Vec<Shared<KeySet>>,
}

/// An amendment of another book than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change that doesn't fit the book")]
pub struct Misfit;

impl Amendment {
    /// What `after` has that `before` had not; none where an amendment can't say it.
    pub fn between(before: &Book, after: &Book) -> Option<Self> {
        if before.people != after.people || after.devices.len() < before.devices.len() {
            return None;
        }
        let same = |at: usize, now: &Shared<Device>| {
            before.devices.get(at).is_some_and(|was| was.is(now) || **was == **now)
        };
        let mut devices = Vec::new();
        if !before.devices.is(&after.devices) {
            let new = after.devices.iter().enumerate().filter(|(at, now)| !same(*at, now));
            devices.extend(new.map(|(at, now)| (at, now.clone())));
        }
        let (hardware_gone, new) = moved(&before.hardware, &after.hardware);
        if !new.is_empty() {
            return None;
        }
        let (reserve_gone, reserve_new) = moved(&before.reserve, &after.reserve);
        Some(Self { devices, hardware_gone, reserve_gone, reserve_new: reserve_new.to_vec() })
    }

    /// Nothing changed.
    pub const fn is_empty(&self) -> bool {
        let Self { devices, hardware_gone, reserve_gone, reserve_new } = self;
        devices.is_empty() && hardware_gone.is_empty() && reserve_gone.is_empty() && reserve_new.is_empty()
    }

    /// Where in the book the devices are that changed or came.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = usize> {
        self.devices.iter().map(|(at, _)| *at)
    }

    /// Where in the list of hardware stood what is gone.
    pub fn hardware_gone(&self) -> &[usize] {
        &self.hardware_gone
    }

    /// Makes the version after of the version before.
    ///
    /// # Errors
    /// It was made for another book.
    pub(crate) fn apply(self, book: &mut Book) -> Result<(), Misfit> {
        for (at, device) in self.devices {
            let devices = book.devices.own();
            let end = devices.len();
            match devices.get_mut(at) {
                Some(there) => *there = device,
                None if at == end => devices.push(device),
                None => return Err(Misfit),
            }
        }
        take_out(&mut book.hardware, self.hardware_gone)?;
        take_out(&mut book.reserve, self.reserve_gone)?;
        if !self.reserve_new.is_empty() {
            book.reserve.own().extend(self.reserve_new);
        }
        Ok(())
    }
}

type List<T> = Shared<Vec<Shared<T>>>;

/// Takes out what stands at these places, which rise.
fn take_out<T>(list: &mut List<T>, places: Vec<usize>) -> Result<(), Misfit> {
    if places.is_empty() {
        return Ok(());
    }
    let mut gone = places.into_iter().peekable();
    let mut at = 0;
    list.own().retain(|_| {
        let goes = gone.next_if_eq(&at).is_some();
        at += 1;
        !goes
    });
    if gone.peek().is_some() { Err(Misfit) } else { Ok(()) }
}

/// Where in `before` stands what `after` lacks, and what `after` has behind the rest.
fn moved<'a, T: PartialEq>(before: &List<T>, after: &'a List<T>) -> (Vec<usize>, &'a [Shared<T>]) {
    if before.is(after) {
        return (Vec::new(), &[]);
    }
    let mut left = &after[..];
    let mut gone = Vec::new();
    for (at, was) in before.iter().enumerate() {
        match left.split_first() {
            Some((now, rest)) if now.is(was) || **now == **was => left = rest,
            _ => gone.push(at),
        }
    }
    (gone, left)
}

#[cfg(test)]
mod tests {
    use landfall_proto::id::{DeviceId, LocalKey, SecKey, Uuid};

    use super::*;
    use crate::people::Hardware;

    fn device(id: &str) -> Device {
        Device::new(DeviceId::new(id).unwrap(), format!("Plug {id}"))
    }

    fn hardware(uuid: &str) -> Hardware {
        Hardware { uuid: Uuid::new(uuid).unwrap(), name: None, auth_key: None, psk_key: None }
    }

    fn home() -> Book {
        let mut book = Book::new();
        for id in ["bf01", "bf02", "bf03"] {
            book.add(device(id)).unwrap();
        }
        for uuid in ["u1", "u2", "u3"] {
            book.add_hardware(hardware(uuid)).unwrap();
        }
        book.put_aside((0..3).map(set));
        book
    }

    fn set(n: usize) -> KeySet {
        let text = format!("{n:016}");
        KeySet {
            id: DeviceId::new(format!("bf{n:020}")).unwrap(),
            local: LocalKey::new(&text).unwrap(),
            sec: SecKey::new(&text).unwrap(),
        }
    }

    /// Changes a copy, and says whether the amendment brings the original there, by way of its text.
    fn amended(change: impl FnOnce(&mut Book)) -> Option<usize> {
        let before = home();
        let mut after = before.clone();
        change(&mut after);
        let found = Amendment::between(&before, &after)?;
        let read: Amendment = serde_json::from_slice(&serde_json::to_vec(&found).unwrap()).unwrap();
        let mut made = before.clone();
        read.apply(&mut made).unwrap();
        assert_eq!(made, after);
        assert_eq!(before, home(), "the version before is what it was");
        let reserve = found.reserve_gone.len() + found.reserve_new.len();
        Some(found.devices.len() + found.hardware_gone.len() + reserve)
    }

    #[test]
    fn it_makes_the_version_after_of_the_version_before() {
        let id = |text: &str| DeviceId::new(text).unwrap();
        assert_eq!(amended(|_| ()), Some(0));
        assert_eq!(amended(|b| b.by_id_mut(&id("bf02")).unwrap().sleeper = true), Some(1));
        let look = |b: &mut Book| assert!(b.by_id_mut(&id("bf02")).is_some());
        assert_eq!(amended(look), Some(0), "looked at, and left as it was");
        assert_eq!(amended(|b| drop(b.add(device("bf04")))), Some(1));
        assert_eq!(amended(|b| b.hardware.own().retain(|h| h.uuid.as_str() == "u2")), Some(2));
        assert_eq!(amended(|b| b.re_register(&id("bf01"), &id("bf09"))), Some(1));
        assert_eq!(amended(|b| b.put_aside([set(3), set(4)])), Some(2));
        assert_eq!(amended(|b| assert!(b.strike(&set(1).id))), Some(1));
        assert_eq!(amended(|b| b.reserve.own().swap(0, 2)), Some(4), "two go, and come behind the third");
        let mixed = |b: &mut Book| {
            assert!(b.take_in(&set(0).id, 5).unwrap() && b.strike(&set(2).id));
            b.put_aside([set(5)]);
        };
        assert_eq!(amended(mixed), Some(4));
    }

    #[test]
    fn what_it_cannot_say_it_does_not_say() {
        assert_eq!(amended(|b| drop(b.remove("bf03"))), None);
        assert_eq!(amended(|b| b.add_hardware(hardware("u4")).unwrap()), None);
        assert_eq!(amended(|b| b.hardware.own().swap(0, 1)), None);
    }

    #[test]
    fn an_amendment_of_another_book_is_noticed() {
        let mut empty = Book::new();
        let late = Amendment { devices: vec![(1, Shared::new(device("bf01")))], ..Amendment::default() };
        assert_eq!(late.apply(&mut empty), Err(Misfit));
        let gone = Amendment { hardware_gone: vec![0], ..Amendment::default() };
        assert_eq!(gone.apply(&mut empty), Err(Misfit));
        let twice = Amendment { hardware_gone: vec![1, 1], ..Amendment::default() };
        assert_eq!(twice.apply(&mut home()), Err(Misfit));
        let used = Amendment { reserve_gone: vec![3], ..Amendment::default() };
        assert_eq!(used.apply(&mut home()), Err(Misfit));
    }
}
