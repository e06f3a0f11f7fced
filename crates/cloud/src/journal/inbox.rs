//! What waits for the writer: reports, which may wait until their batch is due, and orders, which may not.
//!
//! Waking a thread costs more than all else that is done for a report. So the writer sleeps until the first report of a
//! batch has waited long enough, and is woken by the others only when they become many.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{Entry, lock};

/// Reports that may wait. At 500 reports a second this is half a minute of a disk that does not answer.
pub(super) const QUEUE: usize = 16_384;
/// So many that wait wake the writer before they are due: there must be room for those that come meanwhile.
pub(super) const MANY: usize = QUEUE / 2;
/// Room that is kept from batch to batch; what a burst took is given back.
const ROOM: usize = 256;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    /// When the first of them came.
    since: Option<Instant>,
    /// Number of the last order. One carries out all before it, so that no order needs a place of its own.
    asked: u64,
    /// Number of the last order that the writer took.
    taken: u64,
    /// Nothing more comes after this.
    closing: bool,
    /// There is no writer any more.
    gone: bool,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits for the writer.
    Waits,
    /// There was no room.
    Full,
    /// There is no writer any more.
    Gone,
}

/// What the writer was woken for, beside a batch that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Number of the last order, if one came: everything is to be written, whether it is due or not.
    pub(super) order: Option<u64>,
    /// It is the last one.
    pub(super) close: bool,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a report. Never waits.
    pub(super) fn put(&self, entry: Entry) -> Put {
        let mut state = self.state();
        if state.gone {
            return Put::Gone;
        }
        let waiting = state.entries.len();
        if waiting >= QUEUE {
            return Put::Full;
        }
        if waiting == 0 {
            state.since = Some(Instant::now());
        }
        state.entries.push(entry);
        drop(state);
        if waiting == 0 || waiting + 1 == MANY {
            self.changed.notify_one();
        }
        Put::Waits
    }

    /// Has everything written that came so far, and nothing after that if `close`. The number of the order; `None` when
    /// there is no writer any more.
    pub(super) fn ask(&self, close: bool) -> Option<u64> {
        let mut state = self.state();
        if state.gone || state.closing {
            return None;
        }
        state.asked += 1;
        state.closing = close;
        let number = state.asked;
        drop(state);
        self.changed.notify_one();
        Some(number)
    }

    /// Waits until there is something to do, and moves what came to `batch`, which is empty. `due` says until when to
    /// wait; where nothing is due yet, it is set for the first report that came, `every` after that.
    pub(super) fn wait(&self, due: &mut Option<Instant>, every: Duration, batch: &mut Vec<Entry>) -> Call {
        batch.shrink_to(ROOM);
        let mut state = self.state();
        while state.asked == state.taken && !state.closing && state.entries.len() < MANY {
            *due = due.or_else(|| state.since.map(|since| since + every));
            state = match due {
                None => self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        *due = due.or_else(|| state.since.map(|since| since + every));
        std::mem::swap(&mut state.entries, batch);
        state.since = None;
        let order = (state.asked > state.taken).then_some(state.asked);
        state.taken = state.asked;
        Call { order, close: state.closing }
    }

    /// The writer has ended: takes nothing more, and says how many reports it left behind.
    pub(super) fn leave(&self) -> usize {
        let mut state = self.state();
        state.gone = true;
        std::mem::take(&mut state.entries).len()
    }

    /// Nobody is left who could record anything.
    pub(super) fn forsake(&self) {
        self.state().closing = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use landfall_proto::id::DeviceId;

    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);
    const NO_CALL: Call = Call { order: None, close: false };

    fn entry(n: u64) -> Entry {
        let device = DeviceId::new("bf01").unwrap();
        Entry { at_ms: n, device, cid: None, stamp: None, dps: Arc::default() }
    }

    #[test]
    fn a_batch_waits_until_its_first_report_is_due() {
        let inbox = Inbox::default();
        let (mut due, mut batch) = (None, Vec::new());
        let before = Instant::now();
        inbox.put(entry(0));
        let after = Instant::now();
        inbox.put(entry(1));
        let every = Duration::from_millis(30);
        assert_eq!(inbox.wait(&mut due, every, &mut batch), NO_CALL);
        assert_eq!(batch.len(), 2);
        let due = due.unwrap();
        assert!(before + every <= due && due <= after + every);
        assert!(Instant::now() >= due, "it came too soon");
    }

    #[test]
    fn orders_and_many_reports_are_not_made_to_wait() {
        let inbox = Inbox::default();
        let (mut due, mut batch) = (None, Vec::new());
        for n in 0..MANY {
            assert_eq!(inbox.put(entry(n as u64)), Put::Waits);
        }
        assert_eq!(inbox.wait(&mut due, NEVER, &mut batch), NO_CALL);
        assert_eq!(batch.len(), MANY);
        assert!(due.is_some_and(|d| d > Instant::now()), "not to be written yet");
        batch.clear();
        inbox.put(entry(0));
        assert_eq!((inbox.ask(false), inbox.ask(false)), (Some(1), Some(2)));
        assert_eq!(inbox.wait(&mut due, NEVER, &mut batch), Call { order: Some(2), close: false });
        assert_eq!(batch.len(), 1);
        batch.clear();
        assert_eq!(inbox.ask(true), Some(3));
        assert_eq!(inbox.ask(false), None, "nothing comes after the end");
        assert_eq!(inbox.wait(&mut due, NEVER, &mut batch), Call { order: Some(3), close: true });
    }

    #[test]
    fn it_is_bounded_and_says_what_was_left_behind() {
        let inbox = Inbox::default();
        for n in 0..QUEUE {
            assert_eq!(inbox.put(entry(n as u64)), Put::Waits);
        }
        assert_eq!(inbox.put(entry(0)), Put::Full);
        assert_eq!(inbox.leave(), QUEUE);
        assert_eq!(inbox.put(entry(0)), Put::Gone);
        assert_eq!(inbox.ask(false), None);
    }
}
