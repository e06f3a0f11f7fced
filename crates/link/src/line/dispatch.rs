//! What goes to the session, and when.

use std::time::Duration;

use landfall_proto::dp::DpId;
use landfall_proto::lan::session::Request;
use landfall_proto::schema::Access;
use landfall_proto::{Entropy, Now};

use super::command::{Ask, Output};
use super::queue::{AskJob, Job};
use super::set::{SetJob, Stage, UNANSWERED};
use super::{Line, Open, Phase};
use crate::outcome::{Outcome, Unconfirmed};

/// Sets that must not be sent twice wait this long for a proof of the session after a connect; on a session that turns
/// out bad they would be lost.
const PROOF: Duration = Duration::from_secs(1);

impl Line {
    /// The next thing to do. Call until it returns [`Output::Wait`].
    pub fn poll_output(&mut self, now: Now, entropy: &mut dyn Entropy) -> Output {
        loop {
            if let Some(output) = self.out.pop_front() {
                if self.out.is_empty() {
                    // Thousands of idle lines keep nothing.
                    self.out = std::collections::VecDeque::new();
                }
                return output;
            }
            self.dispatch(now);
            let Phase::Open(open) = &mut self.phase else {
                if self.out.is_empty() {
                    return Output::Wait(self.next_due(now.mono));
                }
                continue;
            };
            match open.session.poll_output(now, entropy) {
                landfall_proto::lan::session::Output::Transmit(bytes) => return Output::Transmit(bytes),
                landfall_proto::lan::session::Output::Event(event) => self.hear(event, now, entropy),
                landfall_proto::lan::session::Output::Wait(until) => {
                    open.wait = until;
                    if self.out.is_empty() {
                        return Output::Wait(until.min(self.next_due(now.mono)));
                    }
                }
            }
        }
    }

    fn dispatch(&mut self, now: Now) {
        let Phase::Open(Open { ready: Some(ready), proven, .. }) = &self.phase else { return };
        let safe = *proven || now.mono >= *ready + PROOF;
        if !self.running.is_empty() {
            self.dispatch_next_part(now);
            self.dispatch_read_back(now);
        }
        while let Some(job) = self.queue.front() {
            if self.must_wait(job, safe) {
                break;
            }
            match self.queue.pop_front() {
                Some(Job::Set(set)) => self.start_set(set, now),
                Some(Job::Ask(ask)) => self.start_ask(ask, now),
                None => break,
            }
        }
        if let Phase::Open(Open { first_query: Some(at), .. }) = &self.phase
            && now.mono >= *at
        {
            let ask = Ask::Query { cid: None };
            self.start_ask(Box::new(AskJob { caller: None, ask, request: None, order: 0 }), now);
        }
        if let Some(timer) = &mut self.refresh
            && now.mono >= timer.next
        {
            timer.next = now.mono + timer.what.every;
            let ask = Ask::Refresh { cid: None, points: timer.what.points.clone() };
            if !self.asks.iter().any(|a| a.ask == ask) {
                self.start_ask(Box::new(AskJob { caller: None, ask, request: None, order: 0 }), now);
            }
        }
    }

    /// Times at which a ready line does something by itself.
    pub(super) fn next_dispatch(&self, now: Duration) -> Duration {
        let mut due = self.refresh.as_ref().map_or(Duration::MAX, |t| t.next);
        if let Phase::Open(Open { first_query: Some(at), .. }) = &self.phase {
            due = due.min(*at);
        }
        // What waits for an answer is looked at again when that comes.
        let querying = self.is_querying() || (self.shares_command() && self.is_setting());
        for job in &self.running {
            match job.stage {
                Stage::Gap(at) if self.set_request.is_none() => due = due.min(at),
                Stage::Confirming if !querying && job.wants_read() => due = due.min(job.next_read),
                Stage::Sent(_) if !querying && job.wants_look() => due = due.min(job.look_at),
                _ => {}
            }
        }
        if let (Some(Job::Set(set)), Phase::Open(Open { ready: Some(ready), proven: false, .. })) =
            (self.queue.front(), &self.phase)
            && set.once
            && now < *ready + PROOF
        {
            due = due.min(*ready + PROOF);
        }
        due
    }

    fn is_querying(&self) -> bool {
        self.asks.iter().any(|a| matches!(a.ask, Ask::Query { .. }))
    }

    fn is_setting(&self) -> bool {
        self.set_request.is_some() || self.running.iter().any(|j| matches!(j.stage, Stage::Gap(_)))
    }

    fn must_wait(&self, job: &Job, safe: bool) -> bool {
        let raw = self.asks.iter().any(|a| matches!(a.ask, Ask::Raw { .. }));
        if raw {
            return true;
        }
        match job {
            Job::Set(set) => {
                self.is_setting() || (set.once && !safe) || (self.shares_command() && self.is_querying())
            }
            Job::Ask(ask) => match ask.ask {
                Ask::Query { .. } => self.is_querying() || (self.shares_command() && self.is_setting()),
                Ask::Refresh { .. } | Ask::Subdevices => false,
                Ask::Raw { .. } => self.set_request.is_some() || !self.asks.is_empty(),
            },
        }
    }

    fn dispatch_next_part(&mut self, now: Now) {
        if self.set_request.is_some() {
            return;
        }
        let due = |j: &SetJob| matches!(j.stage, Stage::Gap(at) if now.mono >= at);
        if let Some(at) = self.running.iter().position(|j| due(j)) {
            let job = self.running.remove(at);
            self.start_set(job, now);
        }
    }

    fn dispatch_read_back(&mut self, now: Now) {
        if self.is_querying() || (self.shares_command() && self.is_setting()) {
            return;
        }
        let due = |j: &SetJob| {
            (j.wants_read() && now.mono >= j.next_read) || (j.wants_look() && now.mono >= j.look_at)
        };
        if let Some(job) = self.running.iter_mut().find(|j| due(j)) {
            job.look_at = Duration::MAX;
            let ask = Ask::Query { cid: job.cid.clone() };
            self.start_ask(Box::new(AskJob { caller: None, ask, request: None, order: 0 }), now);
        }
    }

    fn start_set(&mut self, mut job: Box<SetJob>, now: Now) {
        let Phase::Open(open) = &mut self.phase else {
            return self.queue.push_front(Job::Set(job));
        };
        let schema = &self.schema;
        let write_only = |id: DpId| schema.spec(id).is_some_and(|s| s.access == Access::Wr);
        let dps = job.send_next(self.single_points, &self.points, self.connection, write_only);
        let request = open.session.request(Request::Set { cid: job.cid.clone(), dps }, now);
        self.order += 1;
        self.set_request = Some(request);
        job.stage = Stage::Sent(request);
        job.look_at = now.mono + UNANSWERED;
        job.request = Some(request);
        let mut at = 0;
        while at < self.running.len() {
            job.doubt_what_others_write(&self.running[at]);
            if self.running[at].overtaken_by(&job) {
                let older = self.running.remove(at);
                let outcome = if older.once && older.acked {
                    Outcome::Accepted
                } else {
                    Outcome::Unconfirmed(Unconfirmed::Superseded)
                };
                self.finish(*older, outcome);
            } else {
                at += 1;
            }
        }
        self.running.push(job);
    }

    pub(super) fn start_ask(&mut self, mut job: Box<AskJob>, now: Now) {
        let Phase::Open(open) = &mut self.phase else { return };
        if matches!(job.ask, Ask::Query { cid: None }) {
            open.first_query = None;
        }
        let request = match &job.ask {
            Ask::Query { cid } => Request::Query { cid: cid.clone() },
            Ask::Refresh { cid, points } => Request::Refresh { cid: cid.clone(), points: points.clone() },
            Ask::Subdevices => Request::Subdevices,
            Ask::Raw { command, body } => Request::Raw { command: *command, body: body.clone() },
        };
        job.request = Some(open.session.request(request, now));
        self.order += 1;
        job.order = self.order;
        self.asks.push(job);
    }
}
