//! The device's own record of what it did: the truth that a checker holds a client's claims against.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::{Cid, DeviceId};

/// One write that the device carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Rises by one for every write of the device, starts at 1; a gap means that writes were dropped from the journal.
    pub ordinal: u64,
    /// The device's monotonic clock.
    pub at: Duration,
    /// The device; of a sub-device its gateway.
    pub device: DeviceId,
    /// The sub-device.
    pub cid: Option<Cid>,
    /// The point.
    pub dp: DpId,
    /// The value, in the point's type.
    pub value: DpValue,
    /// Whether the point had another value before. Write-only points always count as changed.
    pub changed: bool,
}

/// A bounded record of the writes of one device, oldest first. Clones share it, so that a checker can hold one end
/// while the device runs.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    writes: VecDeque<Write>,
    capacity: usize,
    last: u64,
    dropped: u64,
}

impl Journal {
    /// Holds the last `capacity` writes.
    pub fn new(capacity: usize) -> Self {
        let inner = Inner { writes: VecDeque::new(), capacity: capacity.max(1), last: 0, dropped: 0 };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A poisoned lock means that a thread died between two pushes; the record itself is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(
        &self,
        at: Duration,
        device: &DeviceId,
        cid: Option<&Cid>,
        dp: DpId,
        value: DpValue,
        changed: bool,
    ) {
        let mut inner = self.lock();
        inner.last += 1;
        if inner.writes.len() == inner.capacity {
            inner.writes.pop_front();
            inner.dropped += 1;
        }
        let ordinal = inner.last;
        let (device, cid) = (device.clone(), cid.cloned());
        inner.writes.push_back(Write { ordinal, at, device, cid, dp, value, changed });
    }

    /// A copy of what is there.
    pub fn writes(&self) -> Vec<Write> {
        self.lock().writes.iter().cloned().collect()
    }

    /// Takes out what is there.
    pub fn drain(&self) -> Vec<Write> {
        self.lock().writes.drain(..).collect()
    }

    /// How many writes the device ever carried out.
    pub fn total(&self) -> u64 {
        self.lock().last
    }

    /// How many writes had to make room. A checker that finds this above 0 has not seen everything.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Changes how many writes are held.
    pub fn hold(&self, capacity: usize) {
        let mut inner = self.lock();
        inner.capacity = capacity.max(1);
        while inner.writes.len() > inner.capacity {
            inner.writes.pop_front();
            inner.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(journal: &Journal, n: i64) {
        let device = DeviceId::new("bf0123456789abcdefvx01").unwrap();
        journal.record(Duration::ZERO, &device, None, DpId(1), DpValue::Value(n), true);
    }

    #[test]
    fn is_bounded_and_says_what_it_dropped() {
        let journal = Journal::new(2);
        let other_end = journal.clone();
        for n in 1..=3 {
            write(&journal, n);
        }
        let ordinals: Vec<_> = other_end.writes().iter().map(|w| w.ordinal).collect();
        assert_eq!((ordinals, journal.dropped(), journal.total()), (vec![2, 3], 1, 3));
        assert_eq!(other_end.drain().len(), 2);
        assert!(journal.writes().is_empty());
        journal.hold(5);
        for n in 0..5 {
            write(&journal, n);
        }
        assert_eq!((journal.writes().len(), journal.dropped()), (5, 1));
        journal.hold(1);
        assert_eq!((journal.writes()[0].ordinal, journal.dropped()), (8, 5));
    }
}
