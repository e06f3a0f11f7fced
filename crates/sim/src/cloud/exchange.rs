//! Requests and their answers on connections: one at a time, kept alive for a while.

use core::time::Duration;
use std::collections::VecDeque;

use landfall_proto::gateway::{Encryption, ErrorCode, Key, Outcome, Reader, Reply, ReplyError};
use landfall_proto::json::Raw;

use super::calls::{Ask, Prepared};
use super::http::{self, HttpError, Reading, Response};
use super::place::Place;
use super::{CloudClient, CloudNews, CloudOutput, LineId, upgrade};

/// How long a device waits for a connection and an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it keeps a connection for the next call.
const KEEP: Duration = Duration::from_secs(15);
/// More calls than this do not wait: a device has no room for them.
const MAX_QUEUE: usize = 32;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Connection(String),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the answer has the status {0}")]
    Status(u16),
    #[error("{0}")]
    Reply(#[from] ReplyError),
    #[error("the answer's t, {0}, is no time in seconds")]
    Time(u64),
    #[error("the cloud says {0}")]
    Refused(ErrorCode),
    #[error("the answer lacks {0}")]
    Poor(&'static str),
    #[error("the device does not know where to ask, or has no key for it")]
    Unprepared,
}

/// A call that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) ask: Ask,
    /// The boot waits for it.
    pub(super) boot: bool,
}

#[derive(Debug)]
struct Exchange {
    job: Job,
    line: LineId,
    place: Place,
    bytes: Vec<u8>,
    sealed: Option<(Encryption, Key)>,
    reused: bool,
    by: Duration,
    reading: Reading,
}

#[derive(Debug)]
struct Kept {
    line: LineId,
    place: Place,
    until: Duration,
}

/// The HTTP side of a device.
#[derive(Debug, Default)]
pub(super) struct Http {
    queue: VecDeque<Job>,
    current: Option<Exchange>,
    kept: Option<Kept>,
}

impl Http {
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none()
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = LineId> {
        let current = self.current.as_ref().map(|c| c.line);
        current.into_iter().chain(self.kept.as_ref().map(|k| k.line))
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let current = self.current.as_ref().map(|c| c.by);
        current.into_iter().chain(self.kept.as_ref().map(|k| k.until)).min()
    }

    fn push(&mut self, job: Job) {
        let there = self.queue.contains(&job) || self.current.as_ref().is_some_and(|c| c.job == job);
        if !there && self.queue.len() < MAX_QUEUE {
            self.queue.push_back(job);
        }
    }
}

impl CloudClient {
    pub(super) fn ask(&mut self, ask: Ask) {
        self.run.http.push(Job { ask, boot: false });
    }

    pub(super) fn ask_in_boot(&mut self, ask: Ask) {
        self.run.http.push(Job { ask, boot: true });
    }

    /// Before all that waits.
    pub(super) fn ask_first(&mut self, ask: Ask) {
        self.run.http.queue.push_front(Job { ask, boot: false });
    }

    /// Starts the next call if none is under way.
    pub(super) fn start_exchange(&mut self, now: Duration) {
        while self.run.http.current.is_none() {
            let Some(job) = self.run.http.queue.pop_front() else { return };
            match self.prepare(job.ask, now) {
                Some(prepared) => self.begin(job, prepared, now),
                None => self.answered(job, Err(CallError::Unprepared), now),
            }
        }
    }

    fn begin(&mut self, job: Job, prepared: Prepared, now: Duration) {
        let Prepared { place, bytes, sealed } = prepared;
        let kept = self.run.http.kept.take();
        let reused = kept.as_ref().is_some_and(|k| k.place == place && now < k.until);
        let line = match kept {
            Some(kept) if reused => kept.line,
            kept => {
                if let Some(kept) = kept {
                    self.hang_up(kept.line);
                }
                self.open(place.clone())
            }
        };
        let max = if job.ask == Ask::Fetch { upgrade::MAX_IMAGE } else { http::MAX_BODY };
        let by = now + PATIENCE;
        if reused {
            self.write(line, bytes.clone());
        }
        let reading = Reading::new(max);
        self.run.http.current = Some(Exchange { job, line, place, bytes, sealed, reused, by, reading });
    }

    /// The connection stands: out with the request.
    pub(super) fn send_request(&mut self, line: LineId, _now: Duration) {
        if let Some(current) = self.run.http.current.as_ref().filter(|c| c.line == line) {
            let bytes = current.bytes.clone();
            self.write(line, bytes);
        }
    }

    pub(super) fn hear_http(&mut self, line: LineId, bytes: &[u8], now: Duration) {
        if self.run.http.kept.as_ref().is_some_and(|k| k.line == line) {
            // Nobody asked.
            self.run.http.kept = None;
            return self.hang_up(line);
        }
        let Some(current) = self.run.http.current.as_mut().filter(|c| c.line == line) else { return };
        match current.reading.push(bytes) {
            Ok(None) => {
                if current.job.ask == Ask::Fetch {
                    // A long download is alive as long as bytes come.
                    current.by = now + PATIENCE;
                }
            }
            Ok(Some(response)) => self.complete(response, now),
            Err(error) => self.fail_exchange(line, &error.into(), now),
        }
    }

    /// The other side closed.
    pub(super) fn end_http(&mut self, line: LineId, now: Duration) {
        if self.run.http.kept.as_ref().is_some_and(|k| k.line == line) {
            self.run.http.kept = None;
            return self.hang_up(line);
        }
        let Some(current) = self.run.http.current.as_mut().filter(|c| c.line == line) else { return };
        if current.reused && current.reading.is_empty() {
            // The server closed a kept connection just when it was used again: once more on a new one.
            if let Some(current) = self.run.http.current.take() {
                self.hang_up(line);
                self.run.http.queue.push_front(current.job);
            }
            return;
        }
        match current.reading.end() {
            Ok(response) => self.complete(response, now),
            Err(error) => self.fail_exchange(line, &error.into(), now),
        }
    }

    pub(super) fn expire_exchange(&mut self, now: Duration) {
        if let Some(current) = self.run.http.current.as_ref().filter(|c| now >= c.by) {
            let line = current.line;
            self.fail_exchange(line, &CallError::Silent, now);
        }
        if let Some(kept) = self.run.http.kept.take_if(|k| now >= k.until) {
            self.hang_up(kept.line);
        }
    }

    pub(super) fn fail_exchange(&mut self, line: LineId, error: &CallError, now: Duration) {
        let Some(current) = self.run.http.current.take_if(|c| c.line == line) else { return };
        self.hang_up(line);
        self.answered(current.job, Err(error.clone()), now);
    }

    fn complete(&mut self, response: Response, now: Duration) {
        let Some(Exchange { job, line, place, sealed, .. }) = self.run.http.current.take() else { return };
        if response.closes {
            self.hang_up(line);
        } else {
            self.run.http.kept = Some(Kept { line, place, until: now + KEEP });
        }
        match (job.ask, sealed) {
            (Ask::Fetch, _) => self.fetched(response, now),
            (_, None) => self.located(job, &response, now),
            (_, Some((encryption, key))) => {
                let result = self.opened(job.ask, &response, encryption, &key, now);
                self.answered(job, result, now);
            }
        }
    }

    /// Reads an answer of the gateway by stock firmware's rules, and sets the clock by it.
    fn opened(
        &mut self,
        ask: Ask,
        response: &Response,
        encryption: Encryption,
        key: &Key,
        now: Duration,
    ) -> Result<Option<Raw>, CallError> {
        if response.status != 200 {
            return Err(CallError::Status(response.status));
        }
        let reply = Reply::parse(&response.body, encryption, key, Reader::Stock)?;
        // After the answer to its token a device still counted from power-on (cloud.md 2.6).
        if ask != Ask::Token && !self.run.clock.set(reply.t, now) {
            return Err(CallError::Time(reply.t));
        }
        if self.run.minute.is_none() {
            self.skip_this_minute(now);
        }
        self.was_answered();
        match reply.outcome() {
            Outcome::Success(result) => Ok(result.clone()),
            Outcome::Failure { code, .. } => Err(CallError::Refused(code.clone())),
        }
    }

    /// The first sound answer since power-on.
    pub(super) fn was_answered(&mut self) {
        if !self.run.answered {
            self.run.answered = true;
            self.ready.push_back(CloudOutput::Effect(super::Effect::Answered));
        }
    }

    pub(super) fn tell_call(&mut self, ask: Ask, error: Option<&CallError>) {
        let action = ask.name(self.profile);
        self.tell(match error {
            None => CloudNews::Answered { action },
            Some(error) => CloudNews::CallFailed { action, why: error.to_string() },
        });
    }
}
