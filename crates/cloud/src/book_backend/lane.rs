//! The quick way of an activation: keys that lie in the book's reserve already are told at once, and entered as the
//! device's soon after, several devices in one write. See `docs/adr/0011-keys-made-ahead.md`.

use std::collections::VecDeque;
use std::sync::TryLockError;

use landfall_book::cloud_side::Pending;
use landfall_book::registration::HandOut;
use landfall_book::{Book, BookError, KeySet};
use landfall_proto::id::DeviceId;

use super::activation::{has_auth_key, offer, refused};
use super::{Inner, fresh, locked};
use crate::backend::{ActivationAsk, ActivationRefusal, BackendError, Identity, Keys, Registration};

/// Sets of keys that are made ahead while a window is open.
pub(super) const RESERVE: usize = 32;
/// With so many left, more are made.
const REFILL: usize = RESERVE / 2;

/// What was told and is not entered yet, and what can be told. Whoever holds this sees no other activation half done: it is
/// taken before the index, never while the index is held.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// On disk in the reserve, and told to nobody. Only sets that this process made: of others nobody knows.
    ready: VecDeque<KeySet>,
    /// Told, shown in the index, and not entered in the file yet; in the order in which they were told. There are never more
    /// than sets in the reserve: more of those come with a write only, which enters these.
    waiting: VecDeque<HandOut>,
    /// So many of these are in the book that is being written now.
    settled: usize,
    /// Never told and never to be, and still on disk.
    retired: Vec<DeviceId>,
    /// The last write failed: nobody is told anything before it is written.
    failing: bool,
    /// The program ends: no more is made ahead, unless a window is opened.
    ending: bool,
}

/// What the next write does to the reserve.
#[derive(Debug, Default)]
pub(super) struct Refill {
    made: Vec<KeySet>,
    struck: Vec<DeviceId>,
}

impl Refill {
    /// Does it.
    pub(super) fn apply(&self, book: &mut Book) {
        book.put_aside(self.made.iter().cloned());
        for id in &self.struck {
            book.strike(id);
        }
    }
}

impl Lane {
    /// Enters what the book that is being written lacks still.
    pub(super) fn settle(&mut self, book: &mut Book) {
        enter(book, self.waiting.iter().skip(self.settled));
        self.settled = self.waiting.len();
    }

    /// Enters all that waits in a book that is shown.
    pub(super) fn show_in(&mut self, book: &mut Book) {
        // Whoever replaced the book may have replaced the reserve.
        self.ready.retain(|set| book.reserved(&set.id).is_some());
        enter(book, self.waiting.iter());
    }

    /// The book with what was entered is on disk.
    pub(super) fn written(&mut self, refill: Refill) {
        self.waiting.drain(..self.settled);
        self.settled = 0;
        self.retired.retain(|id| !refill.struck.contains(id));
        self.ready.extend(refill.made);
        if std::mem::take(&mut self.failing) {
            tracing::info!("the book is being written again");
        }
    }

    /// It is not.
    pub(super) fn not_written(&mut self, why: &BackendError) {
        self.settled = 0;
        if !std::mem::replace(&mut self.failing, true) {
            let waiting = self.waiting.len();
            tracing::error!(
                waiting,
                "the book can't be written, which is tried again; until then every activation waits for it: {why}"
            );
        }
    }

    /// The book can't be read: what it holds is not to be built upon.
    pub(super) const fn suspect(&mut self) {
        self.failing = true;
    }

    /// What was told is not entered yet.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// There is something to enter, or to strike out.
    pub(super) fn kept(&self) -> bool {
        self.waits() || !self.retired.is_empty()
    }

    /// How many sets can be told.
    #[cfg(test)]
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether the last write failed.
    #[cfg(test)]
    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Nothing is made ahead any more, before a window is opened.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.retire();
    }

    /// A window was opened.
    pub(super) const fn opened(&mut self) {
        self.ending = false;
    }

    fn retire(&mut self) {
        self.retired.extend(self.ready.drain(..).map(|set| set.id));
    }
}

fn enter<'a>(book: &mut Book, told: impl Iterator<Item = &'a HandOut>) {
    for told in told {
        if let Err(e) = book.settle(told) {
            // The set stays in the reserve, by which the device is taken in when it comes.
            tracing::error!(device = %told.fresh.id, "its keys could not be entered in the book: {e}");
        }
    }
}

/// What a device is shown as whose keys were told shortly before an end without a goodbye.
pub(super) fn unentered(set: &KeySet) -> Registration {
    Registration {
        id: set.id.clone(),
        name: set.id.to_string(),
        uuid: None,
        auth_key: None,
        psk_key: None,
        keys: None,
        pending: Some(Keys { local: set.local.clone(), sec: Some(set.sec.clone()) }),
        pinned: false,
        product_id: None,
        schema: std::sync::Arc::default(),
        envelope: None,
        generation: None,
    }
}

impl Inner {
    fn window_open(&self) -> bool {
        self.windows.any(self.clock.now().mono)
    }

    /// Whether a write is due for the reserve: more sets are to be made, or those that nobody needs any more struck out.
    /// `again`: also what failed before.
    pub(super) fn reserve_due(&self, again: bool) -> bool {
        let window = self.window_open();
        let lane = locked(&self.lane);
        let open = window && !lane.ending;
        let kept = !lane.ready.is_empty() || !lane.retired.is_empty();
        let refill = if open { lane.ready.len() <= REFILL } else { kept };
        (refill && (again || !lane.failing)) || (again && lane.waits())
    }

    /// What the next write does to the reserve.
    pub(super) fn refill(&self) -> Result<Refill, BackendError> {
        let window = self.window_open();
        let mut lane = locked(&self.lane);
        let open = window && !lane.ending;
        if !open {
            lane.retire();
        }
        let missing = if open && lane.ready.len() <= REFILL { RESERVE - lane.ready.len() } else { 0 };
        let struck = lane.retired.clone();
        drop(lane);
        let mut entropy = locked(&self.entropy);
        let made = (0..missing).map(|_| fresh::set(&mut entropy)).collect::<Result<_, _>>()?;
        Ok(Refill { made, struck })
    }

    /// Gives keys of the reserve to hardware that is new here; they are in the index then, and wait to be entered. None where
    /// it has to wait for a write: nothing was done then.
    pub(super) fn quick(&self, ask: &ActivationAsk) -> Result<Option<Pending>, ActivationRefusal> {
        let Identity::Uuid(_) = ask.who else { return Ok(None) };
        // While a write shows what it wrote, there is nothing to be quick about.
        let mut lane = match self.lane.try_lock() {
            Ok(lane) => lane,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        if lane.failing {
            return Ok(None);
        }
        let Some(set) = lane.ready.front().cloned() else { return Ok(None) };
        let mut book = self.index().book.clone();
        let now = self.clock.now();
        let handed = offer(self, ask, set, now.unix);
        let new = matches!(book.applicant(&handed.applicant, handed.had.as_ref()), Ok(None));
        if !new || (!ask.signed && has_auth_key(&book, None, &ask.who)) {
            return Ok(None);
        }
        let names = vec![ask.who.as_str().to_owned()];
        match self.windows.ask_first(&ask.who, names, ask.signed, ask.peer, now.mono) {
            None => return Ok(None),
            Some(asked) => asked?,
        }
        let entered = book.hand_out(handed.clone()).map(|_| book.strike(&handed.fresh.id));
        let amendment = entered.map(|_| self.index().amendment_to(&book));
        let amendment = match amendment {
            Ok(Some(amendment)) => amendment,
            other => {
                self.windows.not_handed(&ask.who);
                return match other {
                    Err(e @ BookError::Unused(_)) => Err(refused(e)),
                    _ => Ok(None),
                };
            }
        };
        lane.ready.pop_front();
        self.index_mut().amend(book, &amendment, self.profiles, &self.files);
        let pending = handed.fresh.clone();
        lane.waiting.push_back(handed);
        drop(lane);
        self.version.send_modify(|version| *version += 1);
        self.woken.notify_one();
        Ok(Some(pending))
    }
}
