//! One set on its way: what was asked, what was sent, what proves it.

use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;
use landfall_proto::lan::body::Report;
use landfall_proto::lan::session::{Origin, RequestId};

use super::command::CommandId;
use super::points::Points;
use crate::outcome::{Outcome, Refusal, Unconfirmed};

/// From the acknowledgement to the first read-back (lan.md 5.3: 1 to 2 s).
pub(super) const READ_BACK: Duration = Duration::from_millis(1500);
/// A set that is neither acknowledged nor shown by then is read back: the acknowledgement may have been lost.
pub(super) const UNANSWERED: Duration = Duration::from_secs(2);
/// Between messages with one point each (lan.md 5.3).
pub(super) const PART_GAP: Duration = Duration::from_secs(1);
/// Read-backs of a set with a long deadline get rarer up to this.
const READ_BACK_MAX: Duration = Duration::from_secs(12);

/// Somebody who waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) id: CommandId,
    pub(super) deadline: Duration,
    pub(super) timeout: Duration,
}

/// Where a set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In the queue: nothing of it, or no part that is still unanswered, is with the session.
    Pending,
    /// The session has it.
    Sent(RequestId),
    /// One point per message: the next one goes at this time.
    Gap(Duration),
    /// Received by the device as far as we know; the value has to be shown.
    Confirming,
}

/// What is known of one of the points.
#[derive(Clone, Copy, Debug, Default)]
struct Proof {
    /// A report showed the value after it was sent.
    shown: bool,
    /// The device had reported this very value before it was sent, or nothing is known: seeing it again is no proof
    /// that something acted.
    same_before: bool,
    /// A read-back showed the value, but that proves nothing (see `same_before`).
    repeated: bool,
    /// A newer set of the point was sent with another value.
    overtaken: bool,
    /// Reported never: the acknowledgement is all there is.
    write_only: bool,
}

/// A set of one or several callers.
#[derive(Debug)]
pub(super) struct SetJob {
    pub(super) callers: Vec<Caller>,
    pub(super) cid: Option<Cid>,
    pub(super) dps: Dps,
    pub(super) once: bool,
    pub(super) confirm: bool,
    /// A pending newer set took some of its points away.
    pub(super) superseded: bool,
    pub(super) stage: Stage,
    /// The request that it last became.
    pub(super) request: Option<RequestId>,
    /// How often something of it was handed to a connection.
    pub(super) sends: u16,
    /// How many of the points were sent (all at once, unless one point per message).
    pub(super) parts_sent: usize,
    /// The device acknowledged all that was sent.
    pub(super) acked: bool,
    /// The count of requests when it was acknowledged: only later queries read back.
    pub(super) acked_order: u64,
    pub(super) next_read: Duration,
    /// When to look, once, whether something came of a set that nobody answers.
    pub(super) look_at: Duration,
    read_gap: Duration,
    reads: u8,
    kept: Option<(DpId, DpValue)>,
    proofs: Vec<Proof>,
}

impl SetJob {
    pub(super) fn new(caller: Caller, cid: Option<Cid>, dps: Dps, once: bool, confirm: bool) -> Self {
        Self {
            callers: vec![caller],
            cid,
            dps,
            once,
            confirm,
            superseded: false,
            stage: Stage::Pending,
            request: None,
            sends: 0,
            parts_sent: 0,
            acked: false,
            acked_order: u64::MAX,
            next_read: Duration::MAX,
            look_at: Duration::MAX,
            read_gap: READ_BACK,
            reads: 0,
            kept: None,
            proofs: Vec::new(),
        }
    }

    /// The points of the next message; notes that they go out now.
    pub(super) fn send_next(
        &mut self,
        single: bool,
        points: &Points,
        connection: u16,
        write_only: impl Fn(DpId) -> bool,
    ) -> Dps {
        let from = if single { self.parts_sent } else { 0 };
        let part: Dps = self
            .dps
            .iter()
            .skip(from)
            .take(if single { 1 } else { usize::MAX })
            .map(|(id, v)| (id, v.clone()))
            .collect();
        self.proofs.truncate(from);
        for (id, value) in part.iter() {
            let same_before =
                points.heard(self.cid.as_ref(), id, connection).is_none_or(|known| known.same_on_wire(value));
            self.proofs.push(Proof { same_before, write_only: write_only(id), ..Proof::default() });
        }
        self.parts_sent = from + part.len();
        self.sends = self.sends.saturating_add(1);
        self.acked = false;
        part
    }

    /// An older set that still waits for its proof writes the same value: seeing it proves nothing of this one.
    pub(super) fn doubt_what_others_write(&mut self, older: &SetJob) {
        if self.cid != older.cid {
            return;
        }
        for ((id, wanted), proof) in self.dps.iter().zip(&mut self.proofs) {
            if older.dps.value(id).is_some_and(|v| v.same_on_wire(wanted)) {
                proof.same_before = true;
            }
        }
    }

    /// All points were sent.
    pub(super) fn complete(&self) -> bool {
        self.parts_sent >= self.dps.len()
    }

    /// Everything sent was received: from now on reports prove.
    pub(super) fn start_confirming(&mut self, acked: bool, order: u64, next_read: Duration) {
        self.stage = Stage::Confirming;
        self.acked = acked;
        self.acked_order = order;
        self.read_gap = READ_BACK;
        self.next_read = next_read;
    }

    /// A report came: what it shows counts when it was made after the device had our set, that is, after the
    /// acknowledgement, or when it reports a change to the value (some firmware pushes before it acknowledges). A report
    /// before the acknowledgement that repeats what was known may have been under way when we wrote and proves nothing.
    pub(super) fn see(&mut self, report: &Report, origin: Origin, points: &Points, connection: u16) {
        if self.stage == Stage::Pending || self.cid != report.cid {
            return;
        }
        for ((id, wanted), proof) in self.dps.iter().zip(&mut self.proofs) {
            let Some(have) = report.dps.value(id) else { continue };
            if proof.shown || !have.same_on_wire(wanted) {
                continue;
            }
            let known = points.heard(report.cid.as_ref(), id, connection);
            let changed = known.is_some_and(|known| !known.same_on_wire(wanted));
            proof.shown = if self.once {
                // What acts on each write is shown by a push alone: the device says that it happened. Without an
                // acknowledgement it must be a value that nothing else of ours can have brought about.
                let pushed = origin == Origin::Pushed && !report.unchanged;
                pushed && (self.acked || (changed && !proof.same_before))
            } else {
                self.acked || changed
            };
        }
    }

    /// The reply to a query that was sent after the set was received.
    pub(super) fn read_back(&mut self, read: &Dps, now: Duration) {
        self.reads = self.reads.saturating_add(1);
        let mut differs = None;
        for ((id, wanted), proof) in self.dps.iter().zip(&mut self.proofs) {
            let Some(have) = read.value(id) else { continue };
            if have.same_on_wire(wanted) {
                if self.once && proof.same_before {
                    proof.repeated = true;
                } else {
                    proof.shown = true;
                }
            } else if !proof.shown && !proof.overtaken && differs.is_none() {
                differs = Some((id, have.clone()));
            }
        }
        if let Some((id, have)) = differs {
            let same = self.kept.as_ref().is_some_and(|(i, v)| *i == id && v.same_on_wire(&have));
            if !same {
                // Another value than last time: it is on its way (a cover), not kept.
                self.reads = 1;
                self.kept = Some((id, have));
            }
        } else {
            self.kept = None;
        }
        self.read_again(now);
    }

    /// Plans the next read-back.
    pub(super) fn read_again(&mut self, now: Duration) {
        self.next_read = now + self.read_gap;
        if self.reads >= 2 {
            self.read_gap = (self.read_gap * 2).min(READ_BACK_MAX);
        }
    }

    /// True while a read-back can still tell something.
    pub(super) fn wants_read(&self) -> bool {
        self.stage == Stage::Confirming
            && self.proofs.iter().any(|p| !p.shown && !p.write_only && !p.overtaken && !p.repeated)
    }

    /// True while nothing answered the set and a look at the device can prove it all the same: a report of a change to
    /// the value does (see [`Self::see`]).
    pub(super) fn wants_look(&self) -> bool {
        matches!(self.stage, Stage::Sent(_))
            && self.look_at != Duration::MAX
            && !self.once
            && self.proofs.iter().any(|p| !p.shown && !p.write_only && !p.overtaken)
    }

    /// The outcome, once evidence suffices.
    pub(super) fn verdict(&self) -> Option<Outcome> {
        if !self.complete() || !matches!(self.stage, Stage::Sent(_) | Stage::Confirming) {
            return None;
        }
        let confirming = self.stage == Stage::Confirming;
        let readable_shown = self.proofs.iter().all(|p| p.shown || p.write_only || p.repeated);
        let all_shown = self.proofs.iter().all(|p| p.shown);
        if !self.confirm {
            return ((self.acked && confirming) || all_shown)
                .then(|| self.unless_superseded(Outcome::Accepted));
        }
        if all_shown {
            return Some(self.unless_superseded(Outcome::Confirmed));
        }
        // What a report can't show is known by the acknowledgement alone: that one of several points has its value may
        // be the work of another set.
        (readable_shown && self.acked && confirming).then(|| self.unless_superseded(Outcome::Accepted))
    }

    fn unless_superseded(&self, outcome: Outcome) -> Outcome {
        if self.superseded { Outcome::Unconfirmed(Unconfirmed::Superseded) } else { outcome }
    }

    /// The outcome when a caller's time is up and anything of it was sent.
    pub(super) fn late(&self, after: Duration) -> Outcome {
        if self.superseded || self.proofs.iter().any(|p| p.overtaken && !p.shown) {
            return Outcome::Unconfirmed(Unconfirmed::Superseded);
        }
        if !self.acked {
            return Outcome::Unconfirmed(Unconfirmed::NoAck { after });
        }
        match &self.kept {
            Some((dp, kept)) if self.reads >= 2 && !self.once => {
                let wanted = self.dps.value(*dp).unwrap_or(kept).clone();
                Outcome::Refused(Refusal::Kept { dp: *dp, wanted, kept: kept.clone() })
            }
            _ => Outcome::Unconfirmed(Unconfirmed::NotShown { after }),
        }
    }

    /// A newer set goes out now. Returns true when this one can't be told from it any more: the newer one writes a
    /// value that this one wrote before something else was written in between (on, off, on).
    pub(super) fn overtaken_by(&mut self, newer: &SetJob) -> bool {
        if self.cid != newer.cid {
            return false;
        }
        let mut lost = false;
        for ((id, wanted), proof) in self.dps.iter().zip(&mut self.proofs) {
            let Some(value) = newer.dps.value(id) else { continue };
            if proof.shown {
                continue;
            }
            if !value.same_on_wire(wanted) {
                proof.overtaken = true;
            } else if proof.overtaken || self.once || newer.once {
                // For what acts on each write, one report can't speak for two writes.
                lost = true;
            }
        }
        lost
    }

    /// True when a newer set of one of its overtaken points has been shown: its own value will not come any more.
    pub(super) fn buried_by(&self, newer: &SetJob) -> bool {
        self.cid == newer.cid
            && self
                .dps
                .ids()
                .zip(&self.proofs)
                .any(|(id, p)| p.overtaken && !p.shown && newer.dps.value(id).is_some())
    }

    /// The connection is gone. What was proven stays proven; the rest is asked again after the next connect.
    pub(super) fn connection_lost(&mut self) {
        if self.stage == Stage::Confirming {
            self.next_read = Duration::ZERO;
        }
    }

    /// Back to the queue, to be sent again (absolute values may be).
    pub(super) fn rewind(&mut self, single: bool) {
        let unanswered = usize::from(matches!(self.stage, Stage::Sent(_)));
        self.parts_sent = if single { self.parts_sent.saturating_sub(unanswered) } else { 0 };
        self.stage = Stage::Pending;
        self.acked = false;
        self.proofs.truncate(self.parts_sent);
        self.kept = None;
        self.reads = 0;
    }

    /// Takes a point out of a pending set.
    pub(super) fn drop_point(&mut self, id: DpId) {
        let at = self.dps.ids().position(|i| i == id);
        if let Some(at) = at {
            self.dps.remove(id);
            if at < self.proofs.len() {
                self.proofs.remove(at);
            }
            self.parts_sent = self.parts_sent.min(self.proofs.len());
        }
    }

    /// The earliest deadline of its callers.
    pub(super) fn deadline(&self) -> Duration {
        self.callers.iter().map(|c| c.deadline).min().unwrap_or(Duration::MAX)
    }
}
