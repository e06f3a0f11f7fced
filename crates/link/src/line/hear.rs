//! What a session tells its line.

use std::time::Duration;

use landfall_proto::lan::session::{Answer, Event as Heard, RequestError, RequestId};
use landfall_proto::{Entropy, Now};

use super::command::{Ask, Event, Output};
use super::queue::AskJob;
use super::set::{PART_GAP, READ_BACK, SetJob, Stage};
use super::{Line, Phase};
use crate::outcome::{CommandError, Outcome, Refusal, Unconfirmed};

/// The first query of a session without negotiation waits this long: a house that comes back after a power cut first
/// connects all its devices and then asks them.
const SETTLE: Duration = Duration::from_millis(300);

impl Line {
    pub(super) fn hear(&mut self, event: Heard, now: Now, entropy: &mut dyn Entropy) {
        match event {
            Heard::Ready => self.became_ready(now),
            Heard::Proven => {
                self.reconnect.proven();
                if let Phase::Open(open) = &mut self.phase {
                    open.proven = true;
                }
            }
            Heard::Report { mut report, origin } => {
                self.schema.refine(&mut report.dps);
                for job in &mut self.running {
                    job.see(&report, origin, &self.points, self.connection);
                }
                self.points.learn(report.cid.as_ref(), &report.dps, self.connection);
                self.out.push_back(Output::Event(Event::Report { report, origin }));
                self.settle();
            }
            Heard::Subdevices(online) => self.out.push_back(Output::Event(Event::Subdevices(online))),
            Heard::Done { id, result } => {
                if self.set_request == Some(id) {
                    self.set_request = None;
                    self.set_done(id, result, now);
                } else if let Some(at) = self.asks.iter().position(|a| a.request == Some(id)) {
                    let job = self.asks.remove(at);
                    self.ask_done(job, result, now);
                }
            }
            Heard::LateAck(id) => {
                let doubtful = matches!(&self.phase, Phase::Open(open) if open.late_acks);
                let of_this = |j: &&mut Box<SetJob>| j.request == Some(id) && j.stage == Stage::Confirming;
                if let Some(job) = self.running.iter_mut().find(of_this).filter(|_| !doubtful) {
                    job.acked = true;
                    self.settle();
                }
            }
            Heard::Unasked { command, body } => {
                self.out.push_back(Output::Event(Event::Unasked { command, body }));
            }
            // The session goes on, counts these and ends itself when they are too many.
            Heard::Disturbed(_) | Heard::KeySuspect => {}
            Heard::Closed(reason) => self.session_ended(reason, now, entropy),
        }
    }

    fn became_ready(&mut self, now: Now) {
        if let Phase::Open(open) = &mut self.phase {
            open.ready = Some(now.mono);
        }
        let state = self.state();
        self.out.push_back(Output::Event(Event::State(state)));
        if self.query_on_connect
            && let Phase::Open(open) = &mut self.phase
        {
            // FINISH is confirmed by the first answer only, so there the query goes out at once (lan.md 4.2).
            let negotiated = self.session_config.version.dialect().negotiates;
            open.first_query = Some(if negotiated { now.mono } else { now.mono + SETTLE });
        }
        if let Some(timer) = &mut self.refresh {
            timer.next = now.mono + timer.what.every;
        }
    }

    fn set_done(&mut self, id: RequestId, result: Result<Answer, RequestError>, now: Now) {
        if let (Err(RequestError::Timeout { .. }), Phase::Open(open)) = (&result, &mut self.phase) {
            open.late_acks = true;
        }
        let Some(at) = self.running.iter().position(|j| j.stage == Stage::Sent(id)) else {
            // Its callers stopped waiting.
            return;
        };
        match result {
            Ok(answer) => {
                let doubtful = matches!(&self.phase, Phase::Open(open) if open.late_acks);
                let acked = !doubtful && !matches!(answer, Answer::Report(_));
                let job = &mut self.running[at];
                if job.complete() {
                    job.start_confirming(acked, self.order, now.mono + READ_BACK);
                } else {
                    job.acked = acked;
                    job.stage = Stage::Gap(now.mono + PART_GAP);
                }
                self.settle();
            }
            Err(RequestError::Refused { text, .. }) => {
                let job = self.running.remove(at);
                self.finish(*job, Outcome::Refused(Refusal::Text(text)));
            }
            Err(RequestError::WrongKey { .. }) => {
                let job = self.running.remove(at);
                self.finish(*job, Outcome::Refused(Refusal::WrongKey));
            }
            Err(RequestError::Timeout { .. }) => {
                // The device may have done it without saying so. Only reading tells.
                self.running[at].start_confirming(false, self.order, now.mono);
            }
            Err(RequestError::Closed { sent, .. }) => {
                let mut job = self.running.remove(at);
                if !sent {
                    job.sends = job.sends.saturating_sub(1);
                }
                if job.once && job.sends > 0 {
                    self.finish(*job, Outcome::Unconfirmed(Unconfirmed::ConnectionLost));
                } else {
                    job.rewind(self.single_points);
                    self.requeue_set(job);
                }
            }
            Err(RequestError::TooMany(_)) => {
                // Can't be: a session has one set of ours at a time. If it is, nothing was sent.
                let mut job = self.running.remove(at);
                job.sends = job.sends.saturating_sub(1);
                job.rewind(self.single_points);
                let after = job.callers.first().map_or(self.timeout, |c| c.timeout);
                let state = self.state();
                self.finish(*job, Outcome::Unconfirmed(Unconfirmed::NotSent { after, state }));
            }
        }
    }

    fn ask_done(&mut self, job: Box<AskJob>, result: Result<Answer, RequestError>, now: Now) {
        let query = matches!(job.ask, Ask::Query { .. });
        let command = self.wire_command(&job.ask);
        let result = match result {
            Ok(answer) => {
                if let (Ask::Query { cid }, Answer::Report(report)) = (&job.ask, &answer) {
                    let running = self.running.iter_mut().filter(|j| j.stage == Stage::Confirming);
                    for set in running.filter(|j| j.cid == *cid && j.acked_order < job.order) {
                        set.read_back(&report.dps, now.mono);
                    }
                }
                Ok(answer)
            }
            Err(RequestError::Closed { sent, .. }) => {
                if job.caller.is_none() {
                    return;
                }
                if sent && matches!(job.ask, Ask::Raw { .. }) {
                    Err(CommandError::ConnectionLost { command })
                } else {
                    // Questions change nothing: they are asked again until their deadline.
                    return self.requeue_ask(job);
                }
            }
            Err(RequestError::Refused { command, text }) => Err(CommandError::Refused { command, text }),
            Err(RequestError::Timeout { command, after }) => Err(CommandError::Timeout { command, after }),
            Err(RequestError::WrongKey { command }) => Err(CommandError::WrongKey { command }),
            Err(RequestError::TooMany(n)) => Err(CommandError::Busy(n)),
        };
        if query {
            // A read-back that told nothing is made again later.
            let order = job.order;
            for set in &mut self.running {
                if set.acked_order < order && set.next_read <= now.mono {
                    set.read_again(now.mono);
                }
            }
        }
        self.answer(job.caller, result);
        self.settle();
    }

    /// Ends the sets whose outcome is known.
    fn settle(&mut self) {
        let mut at = 0;
        while at < self.running.len() {
            let Some(outcome) = self.running[at].verdict() else {
                at += 1;
                continue;
            };
            let job = self.running.remove(at);
            if outcome == Outcome::Confirmed {
                // The device shows the newer value: an older one that it has not shown will not come any more.
                let mut older = 0;
                while older < at {
                    if self.running[older].buried_by(&job) {
                        let buried = self.running.remove(older);
                        at -= 1;
                        self.finish(*buried, Outcome::Unconfirmed(Unconfirmed::Superseded));
                    } else {
                        older += 1;
                    }
                }
            }
            self.finish(*job, outcome);
        }
    }

    /// The connection is gone or given up without the session's word: everything it had is put back or ended.
    pub(super) fn abandon_requests(&mut self) {
        for set in &mut self.running {
            set.connection_lost();
            // Ids begin anew with each session.
            set.request = None;
        }
        if let Some(id) = self.set_request.take()
            && let Some(at) = self.running.iter().position(|j| j.stage == Stage::Sent(id))
        {
            let mut job = self.running.remove(at);
            if job.once {
                self.finish(*job, Outcome::Unconfirmed(Unconfirmed::ConnectionLost));
            } else {
                job.rewind(self.single_points);
                self.requeue_set(job);
            }
        }
        for job in std::mem::take(&mut self.asks) {
            if job.caller.is_none() {
                continue;
            }
            if matches!(job.ask, Ask::Raw { .. }) {
                let command = self.wire_command(&job.ask);
                self.answer(job.caller, Err(CommandError::ConnectionLost { command }));
            } else {
                self.requeue_ask(job);
            }
        }
        // Between two parts: the rest follows on the next connection.
        let mut at = 0;
        while at < self.running.len() {
            if matches!(self.running[at].stage, Stage::Gap(_)) {
                let mut job = self.running.remove(at);
                if job.once {
                    self.finish(*job, Outcome::Unconfirmed(Unconfirmed::ConnectionLost));
                } else {
                    job.rewind(self.single_points);
                    self.requeue_set(job);
                }
            } else {
                at += 1;
            }
        }
    }
}
