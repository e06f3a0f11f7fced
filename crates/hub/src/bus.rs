//! Changes on their way from the core to everybody who reads them.
//!
//! The last [`KEPT`] changes stay in memory, so that a reader that was away for a moment goes on where it was. One that
//! was away longer is told from where on it can read, and starts from the views.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::model::{Change, Seq};

/// Changes kept for readers that are behind.
pub const KEPT: usize = 16_384;

/// Where changes are read.
#[derive(Debug)]
pub struct Bus {
    kept: Mutex<VecDeque<Arc<Change>>>,
    last: watch::Sender<Seq>,
    capacity: usize,
}

/// Changes were dropped before this reader came to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes {} to {} are no longer kept", .from.0, .to.0)]
pub struct Gap {
    /// The first that is missing.
    pub from: Seq,
    /// The last that is missing.
    pub to: Seq,
}

impl Bus {
    /// An empty bus that goes on after `last`, the highest number of an earlier run.
    pub fn new(last: Seq) -> Self {
        Self::with_capacity(last, KEPT)
    }

    /// The same, keeping so many changes.
    pub fn with_capacity(last: Seq, capacity: usize) -> Self {
        Self { kept: Mutex::new(VecDeque::new()), last: watch::Sender::new(last), capacity: capacity.max(1) }
    }

    /// Adds changes, numbered one after another from [`last`](Self::last) on. Only the hub's task calls it.
    pub fn publish(&self, changes: impl IntoIterator<Item = Arc<Change>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for change in changes {
            last = Some(change.seq);
            if kept.len() == self.capacity {
                kept.pop_front();
            }
            kept.push_back(change);
        }
        drop(kept);
        if let Some(last) = last {
            self.last.send_replace(last);
        }
    }

    /// The number of the last change.
    pub fn last(&self) -> Seq {
        *self.last.borrow()
    }

    /// A reader of what comes after `after`; after the last change when `None`.
    pub fn read(self: &Arc<Self>, after: Option<Seq>) -> Reader {
        let last = self.last.subscribe();
        let after = after.unwrap_or_else(|| self.last()).min(self.last());
        Reader { bus: Arc::clone(self), last, after }
    }

    /// At most `most` kept changes after `after`.
    fn after(&self, after: Seq, most: usize) -> Result<Vec<Arc<Change>>, Gap> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = kept.back().map_or(after, |c| c.seq);
        if last <= after {
            return Ok(Vec::new());
        }
        let first = kept.front().map_or(last, |c| c.seq);
        if first.0 > after.0 + 1 {
            return Err(Gap { from: Seq(after.0 + 1), to: Seq(first.0 - 1) });
        }
        // Numbers follow one another without holes, so the place is known.
        let skip = usize::try_from(after.0 + 1 - first.0).unwrap_or(usize::MAX);
        Ok(kept.iter().skip(skip).take(most).cloned().collect())
    }
}

/// Reads a bus from some change on.
#[derive(Debug)]
pub struct Reader {
    bus: Arc<Bus>,
    last: watch::Receiver<Seq>,
    after: Seq,
}

/// Changes given at a time.
const PORTION: usize = 256;

impl Reader {
    /// The next changes, at least one; waits for them. `None` when the bus is gone. Cancel safe.
    ///
    /// # Errors
    /// Some were dropped before they were read; reading goes on after them.
    pub async fn next(&mut self) -> Option<Result<Vec<Arc<Change>>, Gap>> {
        loop {
            match self.bus.after(self.after, PORTION) {
                Ok(changes) => {
                    if let Some(change) = changes.last() {
                        self.after = change.seq;
                        return Some(Ok(changes));
                    }
                }
                Err(gap) => {
                    self.after = gap.to;
                    return Some(Err(gap));
                }
            }
            let after = self.after;
            if self.last.wait_for(|last| *last > after).await.is_err() {
                return None;
            }
        }
    }

    /// The number of the last change that was given.
    pub fn position(&self) -> Seq {
        self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::What;

    fn change(n: u64) -> Arc<Change> {
        Arc::new(Change { seq: Seq(n), at_ms: n, device: None, what: What::Added })
    }

    fn numbers(changes: &[Arc<Change>]) -> Vec<u64> {
        changes.iter().map(|c| c.seq.0).collect()
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_it_was() {
        let bus = Arc::new(Bus::new(Seq(40)));
        bus.publish([change(41), change(42)]);
        let mut reader = bus.read(Some(Seq(41)));
        assert_eq!(numbers(&reader.next().await.unwrap().unwrap()), [42]);
        let waiting = tokio::spawn(async move { reader.next().await });
        bus.publish([change(43)]);
        assert_eq!(numbers(&waiting.await.unwrap().unwrap().unwrap()), [43]);
        assert_eq!(bus.read(None).position(), Seq(43));
    }

    #[tokio::test]
    async fn what_was_dropped_is_told_and_reading_goes_on() {
        let bus = Arc::new(Bus::with_capacity(Seq(0), 3));
        let mut reader = bus.read(None);
        bus.publish((1..=10).map(change));
        assert_eq!(reader.next().await.unwrap().unwrap_err(), Gap { from: Seq(1), to: Seq(7) });
        assert_eq!(numbers(&reader.next().await.unwrap().unwrap()), [8, 9, 10]);
    }

    #[tokio::test]
    async fn a_number_of_the_future_is_no_gap() {
        let bus = Arc::new(Bus::new(Seq(5)));
        let mut reader = bus.read(Some(Seq(900)));
        bus.publish([change(6)]);
        assert_eq!(numbers(&reader.next().await.unwrap().unwrap()), [6]);
    }
}
