//! Commands that wait: taken in, merged, run out of time.

use std::time::Duration;

use landfall_proto::Now;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::Cid;
use landfall_proto::lan;
use landfall_proto::lan::session::{Answer, RequestId};

use super::command::{Ask, Command, CommandId, Completion, Output};
use super::set::{Caller, PART_GAP, SetJob, Stage};
use super::{Line, MAX_WAITING, Phase};
use crate::outcome::{CommandError, Outcome, SetOptions, Unconfirmed};

/// A question on its way.
#[derive(Debug)]
pub(super) struct AskJob {
    /// Who asked; `None` for the line itself, or when time ran out.
    pub(super) caller: Option<Caller>,
    pub(super) ask: Ask,
    pub(super) request: Option<RequestId>,
    /// Its place among all requests handed to sessions.
    pub(super) order: u64,
}

#[derive(Debug)]
pub(super) enum Job {
    Set(Box<SetJob>),
    Ask(Box<AskJob>),
}

impl Job {
    fn deadline(&self) -> Duration {
        match self {
            Self::Set(set) => set.deadline(),
            Self::Ask(ask) => ask.caller.map_or(Duration::MAX, |c| c.deadline),
        }
    }

    /// Commands of this kind must not be jumped over by merging.
    fn is_barrier(&self, cid: Option<&Cid>) -> bool {
        match self {
            Self::Set(set) => set.once && set.cid.as_ref() == cid,
            Self::Ask(ask) => matches!(ask.ask, Ask::Raw { .. }),
        }
    }
}

impl Line {
    /// Takes a command.
    ///
    /// # Errors
    /// Nothing in it, too many waiting, or the line was closed.
    pub fn submit(&mut self, command: Command, now: Now) -> Result<CommandId, CommandError> {
        if matches!(self.phase, Phase::Closed) {
            return Err(CommandError::Closed);
        }
        let empty = match &command {
            Command::Set { dps, .. } => dps.is_empty(),
            Command::Ask(Ask::Refresh { points, .. }) => points.is_empty(),
            Command::Ask(_) => false,
        };
        if empty {
            return Err(CommandError::Empty);
        }
        if self.waiting >= MAX_WAITING {
            return Err(CommandError::Busy(self.waiting));
        }
        self.waiting += 1;
        self.next_id += 1;
        let id = CommandId(self.next_id);
        match command {
            Command::Set { cid, dps, options } => self.submit_set(id, cid, dps, options, now),
            Command::Ask(ask) => {
                let caller = Caller { id, deadline: now.mono + self.timeout, timeout: self.timeout };
                let job = AskJob { caller: Some(caller), ask, request: None, order: 0 };
                self.queue.push_back(Job::Ask(Box::new(job)));
            }
        }
        Ok(id)
    }

    fn submit_set(&mut self, id: CommandId, cid: Option<Cid>, dps: Dps, options: SetOptions, now: Now) {
        let timeout = options.timeout.unwrap_or_else(|| {
            let gaps = if self.single_points { dps.len() - 1 } else { 0 };
            self.timeout + PART_GAP * u32::try_from(gaps).unwrap_or(u32::MAX)
        });
        let caller = Caller { id, deadline: now.mono.saturating_add(timeout), timeout };
        let once = options.once || self.schema.acts_on_write(&dps);
        let mut job = Box::new(SetJob::new(caller, cid, dps, once, options.confirm));
        if once {
            self.queue.push_back(Job::Set(job));
            return;
        }
        // Somebody wants the same already: share. Exactly the same, for the time of either may run out alone.
        for waiting in self.queue.iter_mut().rev() {
            if waiting.is_barrier(job.cid.as_ref()) {
                break;
            }
            if let Job::Set(older) = waiting
                && older.cid == job.cid
                && older.dps.shows(&job.dps)
                && job.dps.shows(&older.dps)
                && !older.superseded
            {
                older.confirm |= job.confirm;
                older.callers.append(&mut job.callers);
                return;
            }
        }
        let mut superseded = Vec::new();
        for at in (0..self.queue.len()).rev() {
            if self.queue[at].is_barrier(job.cid.as_ref()) {
                break;
            }
            let Job::Set(older) = &mut self.queue[at] else { continue };
            match give_way(older, &mut job) {
                Fate::Stays => {}
                Fate::Joined => drop(self.queue.remove(at)),
                Fate::Superseded => superseded.extend(self.queue.remove(at)),
            }
        }
        self.queue.push_back(Job::Set(job));
        for older in superseded {
            if let Job::Set(older) = older {
                self.finish(*older, Outcome::Unconfirmed(Unconfirmed::Superseded));
            }
        }
    }

    /// Puts a set that was sent on a lost connection back to the head of the queue, less what newer pending sets take
    /// over. It was the last set sent, so it overtakes nothing.
    pub(super) fn requeue_set(&mut self, mut job: Box<SetJob>) {
        for newer in &mut self.queue {
            if newer.is_barrier(job.cid.as_ref()) {
                break;
            }
            let Job::Set(newer) = newer else { continue };
            match give_way(&mut job, newer) {
                Fate::Stays => {}
                Fate::Joined => return,
                Fate::Superseded => {
                    self.finish(*job, Outcome::Unconfirmed(Unconfirmed::Superseded));
                    return;
                }
            }
        }
        self.queue.push_front(Job::Set(job));
    }

    /// Puts a question back in its place.
    pub(super) fn requeue_ask(&mut self, job: Box<AskJob>) {
        let id = job.caller.map(|c| c.id);
        let older = |j: &Job| match j {
            Job::Ask(ask) => ask.caller.map(|c| c.id) < id,
            Job::Set(set) => set.callers.first().map(|c| c.id) < id,
        };
        let at = self.queue.iter().position(|j| !older(j)).unwrap_or(self.queue.len());
        self.queue.insert(at, Job::Ask(job));
    }

    /// Ends a set for all who wait for it.
    pub(super) fn finish(&mut self, job: SetJob, outcome: Outcome) {
        let mut outcome = Some(outcome);
        let last = job.callers.len().saturating_sub(1);
        for (i, caller) in job.callers.iter().enumerate() {
            let outcome = if i == last { outcome.take() } else { outcome.clone() };
            if let Some(outcome) = outcome {
                self.done(caller.id, Completion::Set(outcome));
            }
        }
    }

    /// Ends a question.
    pub(super) fn answer(&mut self, caller: Option<Caller>, result: Result<Answer, CommandError>) {
        if let Some(caller) = caller {
            self.done(caller.id, Completion::Ask(result));
        }
    }

    fn done(&mut self, id: CommandId, completion: Completion) {
        self.waiting = self.waiting.saturating_sub(1);
        self.out.push_back(Output::Done { id, completion });
    }

    /// The command on the wire that a question becomes.
    pub(super) fn wire_command(&self, ask: &Ask) -> lan::Command {
        let dialect = self.session_config.version.dialect();
        match ask {
            Ask::Query { .. } if self.shares_command() => lan::Command::CONTROL_NEW,
            Ask::Query { .. } => dialect.query,
            Ask::Refresh { .. } => lan::Command::UPDATEDPS,
            Ask::Subdevices => lan::Command::LAN_EXT_STREAM,
            Ask::Raw { command, .. } => *command,
        }
    }

    /// Whether queries go out as sets of nulls, so that a session has one or the other outstanding (lan.md 5.5).
    pub(super) fn shares_command(&self) -> bool {
        self.session_config.device22 || self.session_config.version.dialect().device22
    }

    /// The next time at which something here is due.
    pub(super) fn next_due(&self, now: Duration) -> Duration {
        let mut due = match &self.phase {
            Phase::Waiting { until, .. } | Phase::Stopped { until, .. } => *until,
            _ => Duration::MAX,
        };
        for job in &self.queue {
            due = due.min(job.deadline());
        }
        for job in &self.running {
            due = due.min(job.deadline());
        }
        for ask in &self.asks {
            due = due.min(ask.caller.map_or(Duration::MAX, |c| c.deadline));
        }
        if self.is_ready() { due.min(self.next_dispatch(now)) } else { due }
    }

    /// Ends commands whose time is up.
    pub(super) fn expire(&mut self, now: Duration) {
        if self.waiting == 0 {
            return;
        }
        let state = self.state();
        let ready = self.is_ready();
        let mut done = Vec::new();
        let mut expired = |callers: &mut Vec<Caller>, outcome: &dyn Fn(Duration) -> Outcome| {
            callers.retain(|caller| {
                let late = caller.deadline <= now;
                if late {
                    done.push((caller.id, Completion::Set(outcome(caller.timeout))));
                }
                !late
            });
            !callers.is_empty()
        };
        self.running.retain_mut(|job| {
            let mut callers = std::mem::take(&mut job.callers);
            let stays = expired(&mut callers, &|after| job.late(after));
            job.callers = callers;
            stays
        });
        let mut queue = std::mem::take(&mut self.queue);
        queue.retain_mut(|job| match job {
            Job::Set(set) => {
                let (sends, superseded) = (set.sends, set.superseded);
                expired(&mut set.callers, &|after| {
                    Outcome::Unconfirmed(match (sends, superseded) {
                        (_, true) => Unconfirmed::Superseded,
                        (0, _) => Unconfirmed::NotSent { after, state: state.clone() },
                        _ => Unconfirmed::NoAck { after },
                    })
                })
            }
            Job::Ask(_) => true,
        });
        for (id, completion) in done {
            self.done(id, completion);
        }
        queue.retain_mut(|job| match job {
            Job::Ask(ask) => match ask.caller {
                Some(caller) if caller.deadline <= now => {
                    let after = caller.timeout;
                    let error = if ready {
                        CommandError::Timeout { command: self.wire_command(&ask.ask), after }
                    } else {
                        CommandError::NotConnected { after, state: state.clone() }
                    };
                    self.done(caller.id, Completion::Ask(Err(error)));
                    false
                }
                _ => true,
            },
            Job::Set(_) => true,
        });
        self.queue = queue;
        for at in 0..self.asks.len() {
            if let Some(caller) = self.asks[at].caller
                && caller.deadline <= now
            {
                self.asks[at].caller = None;
                let ask = &self.asks[at].ask;
                let result = match ask {
                    // Devices need not answer these; silence is an answer.
                    Ask::Refresh { .. } | Ask::Subdevices => Ok(Answer::Silent),
                    Ask::Query { .. } | Ask::Raw { .. } => {
                        Err(CommandError::Timeout { command: self.wire_command(ask), after: caller.timeout })
                    }
                };
                self.done(caller.id, Completion::Ask(result));
            }
        }
    }
}

enum Fate {
    Stays,
    Joined,
    Superseded,
}

/// What becomes of a set that was not sent yet (or may be sent again) when a newer one waits behind it.
fn give_way(older: &mut SetJob, newer: &mut SetJob) -> Fate {
    if older.once || newer.once || older.cid != newer.cid || newer.stage != Stage::Pending {
        return Fate::Stays;
    }
    // Exactly the same: the time of either may run out alone.
    if !older.superseded && newer.dps.shows(&older.dps) && older.dps.shows(&newer.dps) {
        newer.confirm |= older.confirm;
        // If it ends by its deadline, the older caller must not hear that nothing was sent.
        newer.sends = newer.sends.max(older.sends);
        newer.callers.append(&mut older.callers);
        return Fate::Joined;
    }
    let taken: Vec<DpId> = older
        .dps
        .iter()
        .filter(|(id, value)| newer.dps.value(*id).is_some_and(|v| !v.same_on_wire(value)))
        .map(|(id, _)| id)
        .collect();
    for id in taken {
        older.drop_point(id);
        older.superseded = true;
    }
    if older.dps.is_empty() { Fate::Superseded } else { Fate::Stays }
}
