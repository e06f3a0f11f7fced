//! The device's own record of what it did: the truth that a checker holds a client's claims against.

use core::time::Duration;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::{Cid, DeviceId};

/// By which line something came to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Line {
    /// A client in the local network.
    Lan,
    /// Its cloud.
    Cloud,
    /// A timer of its own.
    Timer,
    /// Somebody in the room.
    Room,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lan => "the local network",
            Self::Cloud => "the cloud",
            Self::Timer => "a timer",
            Self::Room => "somebody in the room",
        })
    }
}

/// Something that happened once in the life of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// It got an owner.
    Activated {
        /// Its id.
        id: DeviceId,
    },
    /// It was made to forget its owner.
    Reset {
        /// By whom: the cloud, or somebody in the room.
        by: Line,
        /// Whether all of it was wiped.
        wipe: bool,
    },
    /// It forgot its owner because the cloud made a mistake (cloud.md 1.7). That must never happen.
    Disaster {
        /// In words.
        why: String,
    },
    /// A timer ran.
    TimerRan {
        /// The cloud's number for it.
        id: String,
    },
    /// New firmware was installed.
    Upgraded {
        /// Version before.
        from: String,
        /// Version now.
        to: String,
    },
    /// New firmware was not installed.
    UpgradeFailed {
        /// In words.
        why: String,
    },
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activated { id } => write!(f, "activated as {id}"),
            Self::Reset { by, wipe: false } => write!(f, "reset by {by}"),
            Self::Reset { by, wipe: true } => write!(f, "wiped by {by}"),
            Self::Disaster { why } => write!(f, "owner forgotten: {why}"),
            Self::TimerRan { id } => write!(f, "timer {id} ran"),
            Self::Upgraded { from, to } => write!(f, "firmware {from} became {to}"),
            Self::UpgradeFailed { why } => write!(f, "firmware not installed: {why}"),
        }
    }
}

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
    /// By which line it came.
    pub line: Line,
}

/// Turns of life that are kept; a device has few.
const MAX_LIFE: usize = 4_096;

/// A bounded record of the writes of one device and of the turns of its life, oldest first. Clones share it, so that a checker can hold one end
/// while the device runs.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    writes: VecDeque<Write>,
    life: VecDeque<(Duration, Life)>,
    capacity: usize,
    last: u64,
    dropped: u64,
}

impl Journal {
    /// Holds the last `capacity` writes.
    pub fn new(capacity: usize) -> Self {
        let (writes, life) = (VecDeque::new(), VecDeque::new());
        let inner = Inner { writes, life, capacity: capacity.max(1), last: 0, dropped: 0 };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A poisoned lock means that a thread died between two pushes; the record itself is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ordinal in `write` is filled in here.
    pub(crate) fn record(&self, write: Write) {
        let mut inner = self.lock();
        inner.last += 1;
        if inner.writes.len() == inner.capacity {
            inner.writes.pop_front();
            inner.dropped += 1;
        }
        let ordinal = inner.last;
        inner.writes.push_back(Write { ordinal, ..write });
    }

    pub(crate) fn life(&self, at: Duration, what: Life) {
        let mut inner = self.lock();
        if inner.life.len() == MAX_LIFE {
            inner.life.pop_front();
        }
        inner.life.push_back((at, what));
    }

    /// The turns of its life, with the device's monotonic clock.
    pub fn turns(&self) -> Vec<(Duration, Life)> {
        self.lock().life.iter().cloned().collect()
    }

    /// How often it forgot its owner through a mistake of the cloud's: 0, if all is well.
    pub fn disasters(&self) -> usize {
        self.lock().life.iter().filter(|(_, life)| matches!(life, Life::Disaster { .. })).count()
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
        let value = DpValue::Value(n);
        let at = Duration::ZERO;
        journal.record(Write {
            ordinal: 0,
            at,
            device,
            cid: None,
            dp: DpId(1),
            value,
            changed: true,
            line: Line::Lan,
        });
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

    #[test]
    fn turns_of_life_are_kept_apart() {
        let journal = Journal::new(1);
        journal.life(Duration::ZERO, Life::Reset { by: Line::Cloud, wipe: false });
        assert_eq!((journal.turns().len(), journal.disasters(), journal.total()), (1, 0, 0));
        journal.life(Duration::ZERO, Life::Disaster { why: "x".into() });
        assert_eq!(journal.disasters(), 1);
    }
}
