//! The place of a device that is logged in: what its session shares with those who send to it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::Cid;
use landfall_proto::mqtt::Stamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::outbox::{Order, Ticket};
use super::replay::Memory;
use super::set::Expectation;

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
