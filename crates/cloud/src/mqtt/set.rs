//! Setting points over the cloud, and what proves that it happened.
//!
//! The device's PUBACK says that it has the command, and nothing of what it did. What proves a set is a report with the
//! values, made after the device had it: one that was under way when we wrote and repeats what was known proves
//! nothing. A device that stays silent because nothing changed is asked for its points (31). What acts on each write (a
//! feeder) is sent once, is never asked about, and is proven by a report of the device's own accord alone.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::mqtt::Content;
use landfall_proto::mqtt::content::{PointQuery, SetPoints};
use landfall_proto::schema::{Access, Schema};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::devices::{Devices, SendError};
use super::outbox::{Load, Order, Ticket};
use super::seat::Seat;
use crate::shared::Shared;

/// From the PUBACK to the first question for the points.
const READ_BACK: Duration = Duration::from_millis(1_500);
/// Questions get rarer up to this.
const READ_BACK_MAX: Duration = Duration::from_secs(12);
/// For so long a report may be the answer to a question.
pub(super) const ANSWERING: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A report showed all values.
    Confirmed,
    /// The device has the command. It never reports write-only points; all others were shown.
    Accepted,
    /// No report showed them in time; the points that were seen, with other values or not at all.
    Unconfirmed {
        /// What was reported of them since.
        seen: Dps,
    },
    /// It was not sent, or the connection ended before it was confirmed.
    Failed(SendError),
}

/// A set that waits for its proof.
#[derive(Debug)]
pub(super) struct Expectation {
    pub(super) ticket: Ticket,
    /// Wakes who waits.
    pub(super) changed: Arc<Notify>,
    cid: Option<Cid>,
    /// The points that reports can show.
    wanted: Dps,
    /// What they showed since the device had it.
    seen: Dps,
    shown: Vec<DpId>,
    /// It acts on each write.
    once: bool,
    sent_at: Option<Instant>,
    acknowledged_at: Option<Instant>,
    deaf_until: Option<Instant>,
}

impl Expectation {
    fn new(ticket: Ticket, cid: Option<&Cid>, dps: &Dps, schema: &Schema) -> Self {
        let shows = |id: DpId| schema.spec(id).is_none_or(|spec| spec.access != Access::Wr);
        Self {
            ticket,
            changed: Arc::new(Notify::new()),
            cid: cid.cloned(),
            wanted: dps.iter().filter(|(id, _)| shows(*id)).map(|(id, v)| (id, v.clone())).collect(),
            seen: Dps::new(),
            shown: Vec::new(),
            once: schema.acts_on_write(dps),
            sent_at: None,
            acknowledged_at: None,
            deaf_until: None,
        }
    }

    /// Whether points shall not be asked for while it waits.
    pub(super) const fn acts(&self) -> bool {
        self.once
    }

    /// It was sent; points were asked for last at that time.
    pub(super) fn sent(&mut self, now: Instant, asked_at: Option<Instant>) {
        self.sent_at = Some(now);
        if self.once {
            self.deaf_until = asked_at.map(|asked| asked + ANSWERING).filter(|until| *until > now);
        }
        self.changed.notify_one();
    }

    /// The device has it.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        self.acknowledged_at = Some(now);
        self.changed.notify_one();
    }

    /// A report came.
    pub(super) fn see(&mut self, cid: Option<&Cid>, dps: &Dps, acknowledges: bool, now: Instant) {
        // Where commands go at QoS 0 nothing says when the device had it.
        let arrived = if acknowledges { self.acknowledged_at } else { self.sent_at };
        if arrived.is_none() || self.cid.as_ref() != cid || self.deaf_until.is_some_and(|until| now < until) {
            return;
        }
        for (id, wanted) in self.wanted.iter() {
            let Some(have) = dps.value(id) else { continue };
            self.seen.insert(id, have.clone());
            if have.same_on_wire(wanted) && !self.shown.contains(&id) {
                self.shown.push(id);
            }
        }
        if self.shown.len() == self.wanted.len() {
            self.changed.notify_one();
        }
    }

    /// Whether all is proven that can be.
    fn proven(&self, acknowledges: bool, all: usize) -> Option<Outcome> {
        if self.shown.len() < self.wanted.len() {
            return None;
        }
        if self.wanted.len() == all {
            return Some(Outcome::Confirmed);
        }
        let has_it = if acknowledges { self.acknowledged_at } else { self.sent_at };
        has_it.map(|_| Outcome::Accepted)
    }
}

/// Takes the expectation back when whoever waits goes away, and the command too if it was not sent yet.
struct Waiting<'a> {
    seat: &'a Seat,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.seat.state();
        state.expectations.retain(|e| e.ticket != self.ticket);
        state.queue.retain(|o| o.ticket != Some(self.ticket));
    }
}

impl Devices {
    /// Sets points and waits until a report shows them, at most this long.
    pub async fn set(
        &self,
        shared: &Shared,
        id: &DeviceId,
        cid: Option<&Cid>,
        dps: Dps,
        patience: Duration,
    ) -> Outcome {
        match self.try_set(shared, id, cid, dps, patience).await {
            Ok(outcome) => outcome,
            Err(e) => Outcome::Failed(e),
        }
    }

    async fn try_set(
        &self,
        shared: &Shared,
        id: &DeviceId,
        cid: Option<&Cid>,
        dps: Dps,
        patience: Duration,
    ) -> Result<Outcome, SendError> {
        let device = shared.backend.by_id(id).ok_or_else(|| SendError::Offline(id.clone()))?;
        if device.keys.is_none() && device.pending.is_none() {
            return Err(SendError::NoKey(id.clone()));
        }
        let mut checked = Dps::new();
        for (dp, value) in dps {
            checked.insert(dp, device.schema.check_write(dp, value)?);
        }
        let seat = self.seat(&device.id).ok_or_else(|| SendError::Offline(id.clone()))?;
        let deadline = Instant::now() + patience;
        let ticket = self.ticket();
        let all = checked.len();
        let expectation = Expectation::new(ticket, cid, &checked, &device.schema);
        let (changed, once) = (Arc::clone(&expectation.changed), expectation.once);
        let ids = checked.ids().collect();
        let content = Content::Set(SetPoints {
            dev_id: Some(device.id.clone()),
            cid: cid.cloned(),
            dps: checked,
            ..SetPoints::default()
        });
        // Absolute values may come twice, what acts on each write may not.
        let order = Order { load: Load::Message(content), repeat: !once, ticket: Some(ticket) };
        seat.order(order, Some(expectation)).map_err(|_| SendError::Congested(id.clone()))?;
        let _waiting = Waiting { seat: &seat, ticket };
        let mut gap = READ_BACK;
        let mut ask_at = None;
        loop {
            {
                let state = seat.state();
                let acknowledges = state.commands == Some(true);
                let Some(expectation) = state.expectations.iter().find(|e| e.ticket == ticket) else {
                    return Err(SendError::Offline(id.clone()));
                };
                if let Some(outcome) = expectation.proven(acknowledges, all) {
                    return Ok(outcome);
                }
                if state.over {
                    return Err(SendError::Offline(id.clone()));
                }
                if Instant::now() >= deadline {
                    return Ok(Outcome::Unconfirmed { seen: expectation.seen.clone() });
                }
                let arrived = if acknowledges { expectation.acknowledged_at } else { expectation.sent_at };
                if !once && ask_at.is_none() {
                    ask_at = arrived.map(|at| at + gap);
                }
            }
            let until = ask_at.map_or(deadline, |at| deadline.min(at));
            if tokio::time::timeout_at(until, changed.notified()).await.is_err()
                && ask_at.is_some_and(|at| Instant::now() >= at)
            {
                let content = Content::Query(PointQuery { points: Some(Vec::clone(&ids)) });
                let order = Order { load: Load::Message(content), repeat: false, ticket: None };
                // A full queue: the next round asks.
                let _full = seat.order(order, None);
                gap = (gap * 2).min(READ_BACK_MAX);
                ask_at = Some(Instant::now() + gap);
            }
        }
    }
}
