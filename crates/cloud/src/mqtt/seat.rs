//! The place of a device that is logged in: what its session shares with those who send to it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::Cid;
use landfall_proto::mqtt::Stamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::outbox::{Order, Ticket};
use super::replay::Memory;
use super::set::{ANSWERING, Expectation};

/// Orders that wait for a device that does not read; more are refused.
const QUEUE: usize = 32;
/// Sets that wait for their proof at a time.
const EXPECTATIONS: usize = 64;

/// What is remembered of a device beyond its connection.
#[derive(Debug, Default)]
pub(super) struct Track {
    sequence: AtomicU32,
    pub(super) memory: Mutex<Memory>,
}

impl Track {
    /// Nothing is known but the number of the device's last message, as the journal kept it.
    pub(super) fn new(last: Option<Stamp>) -> Self {
        Self { memory: Mutex::new(Memory::since(last)), ..Self::default() }
    }

    /// The number of the next message to the device: rising, and seeded with the seconds since 1970 so that a restart
    /// does not go back (cloud.md 4.5).
    pub(super) fn next_sequence(&self, unix: u64) -> u32 {
        let floor = u32::try_from(unix).unwrap_or(u32::MAX);
        let mut next = 0;
        // The closure always says what comes next, so that the update cannot fail.
        let _always = self.sequence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            next = floor.max(last.saturating_add(1));
            Some(next)
        });
        next
    }
}

/// A seat.
#[derive(Debug)]
pub(super) struct Seat {
    /// Where the device is.
    pub(super) ip: IpAddr,
    /// What outlives the seat.
    pub(super) track: Arc<Track>,
    /// Wakes the session.
    pub(super) wake: Notify,
    /// Wakes those who want to know whether the device is alive.
    pub(super) heard: Notify,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    /// What waits to be sent.
    pub(super) queue: VecDeque<Order>,
    /// Packets received.
    pub(super) packets: u64,
    /// When the last one came.
    pub(super) heard_at: Instant,
    /// After so long a silence the device counts as gone.
    pub(super) silence: Duration,
    /// Whether it listens to commands, and acknowledges them (QoS 1).
    pub(super) commands: Option<bool>,
    /// Whoever took the seat ends the session by this.
    pub(super) taken_over: bool,
    /// The session is over.
    pub(super) over: bool,
    /// Sets that wait for their proof.
    pub(super) expectations: Vec<Expectation>,
    /// When points were asked for last: a report soon after may be the answer.
    pub(super) asked_at: Option<Instant>,
    /// The question that was not answered yet.
    pub(super) question: Option<Question>,
}

/// A question for points.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) since: Instant,
    /// All when missing.
    pub(super) points: Option<Vec<DpId>>,
}

impl Question {
    /// Whether a report is its answer, by all that can be known: nothing on the wire tells. A report of a single point
    /// out of many was made because that point changed.
    fn answered_by(&self, dps: &Dps, now: Instant) -> bool {
        let fits = match &self.points {
            None => dps.len() > 1,
            Some(asked) => (dps.len() > 1 || asked.len() == 1) && dps.ids().all(|id| asked.contains(&id)),
        };
        fits && now < self.since + ANSWERING
    }
}

/// No room in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Seat {
    pub(super) fn new(ip: IpAddr, track: Arc<Track>, silence: Duration, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            ip,
            track,
            wake: Notify::new(),
            heard: Notify::new(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                packets: 0,
                heard_at: now,
                silence,
                commands: None,
                taken_over: false,
                over: false,
                expectations: Vec::new(),
                asked_at: None,
                // After its login a device tells its state unasked (cloud.md 4.8).
                question: Some(Question { since: now, points: None }),
            }),
        })
    }

    /// Nothing waits while this is held.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an order into the queue.
    pub(super) fn order(&self, order: Order, expectation: Option<Expectation>) -> Result<(), Full> {
        let mut state = self.state();
        if state.queue.len() >= QUEUE || state.expectations.len() >= EXPECTATIONS {
            return Err(Full);
        }
        state.queue.push_back(order);
        state.expectations.extend(expectation);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Packets came in.
    pub(super) fn hear(&self, packets: u64, now: Instant) {
        let mut state = self.state();
        state.packets += packets;
        state.heard_at = now;
        drop(state);
        self.heard.notify_waiters();
    }

    /// A report came in: whether it answers a question.
    pub(super) fn answered(&self, cid: Option<&Cid>, dps: &Dps, now: Instant) -> bool {
        let mut state = self.state();
        let asked = state.question.as_ref().is_some_and(|q| q.answered_by(dps, now));
        if asked && cid.is_none() {
            state.question = None;
        }
        asked
    }

    /// A report came in: whoever waits for its values hears of it.
    pub(super) fn report(&self, cid: Option<&Cid>, dps: &Dps, now: Instant) {
        let mut state = self.state();
        let acknowledges = state.commands == Some(true);
        for expectation in &mut state.expectations {
            expectation.see(cid, dps, acknowledges, now);
        }
    }

    /// A message was sent (`sent`) or acknowledged.
    pub(super) fn progress(&self, ticket: Ticket, sent: bool, now: Instant) {
        let mut state = self.state();
        let asked_at = state.asked_at;
        if let Some(expectation) = state.expectations.iter_mut().find(|e| e.ticket == ticket) {
            if sent { expectation.sent(now, asked_at) } else { expectation.acknowledged(now) }
        }
    }

    /// Ends the session, for a newer connection.
    pub(super) fn take_over(&self) {
        self.state().taken_over = true;
        self.wake.notify_one();
    }

    /// The session is over: nobody waits any longer.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.over = true;
        state.queue = VecDeque::new();
        for expectation in &state.expectations {
            expectation.changed.notify_one();
        }
        drop(state);
        self.heard.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::dp::DpValue;

    use super::*;

    fn dps(points: &[u16]) -> Dps {
        points.iter().map(|id| (DpId(*id), DpValue::Value(1))).collect()
    }

    fn seat(now: Instant) -> Arc<Seat> {
        Seat::new(IpAddr::from([127, 0, 0, 1]), Arc::new(Track::default()), Duration::from_secs(90), now)
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_after_the_login_is_an_answer_once() {
        let now = Instant::now();
        let seat = seat(now);
        // A button that dials to tell that it was pressed tells one point.
        assert!(!seat.answered(None, &dps(&[1]), now));
        assert!(seat.answered(None, &dps(&[1, 17, 18]), now));
        assert!(!seat.answered(None, &dps(&[1, 17, 18]), now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_of_the_points_that_were_asked_for_is_an_answer_and_others_are_not() {
        let now = Instant::now();
        let seat = seat(now);
        let ask = |points: &[u16]| {
            let points = Some(points.iter().map(|p| DpId(*p)).collect());
            seat.state().question = Some(Question { since: now, points });
        };
        ask(&[18, 19, 20]);
        assert!(!seat.answered(None, &dps(&[17]), now));
        assert!(!seat.answered(None, &dps(&[17, 18]), now));
        assert!(!seat.answered(None, &dps(&[18]), now));
        assert!(seat.answered(None, &dps(&[18, 19]), now));
        assert!(!seat.answered(None, &dps(&[18, 19]), now));
        ask(&[4]);
        assert!(seat.answered(None, &dps(&[4]), now));
        ask(&[4]);
        assert!(!seat.answered(None, &dps(&[4]), now + ANSWERING));
    }
}
