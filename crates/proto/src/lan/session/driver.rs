//! The state machine of a client's connection.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::super::body::{Body, Report, SUBDEVICES_REPORT};
use super::super::codec::{Codec, Form, Incoming, OpenError, Outgoing, SourceHeader, takes_header};
use super::super::command::Command;
use super::super::frame::{FrameReader, FramingError, Item, MAX_LENGTH_CLIENT, RawFrame};
use super::super::negotiation::{self, NONCE_LEN, RespError};
use super::super::version::{Framing, Version};
use super::flight::{self, Awaits, Flight};
use super::tap::{Frame, Going, Tap, Told};
use super::{Answer, CloseReason, Config, Event, Origin, Output, Request, RequestError, RequestId};
use crate::{Entropy, Now, Role};

/// Requests that may wait in one session. A device serves a handful a second.
const MAX_WAITING: usize = 64;
/// Broken frames after which a stream is given up (lan.md 1.5).
const MAX_RESYNCS: u8 = 3;
/// Answers under another key after which the key is called wrong (lan.md 5.2).
const MAX_KEY_SUSPICIONS: u8 = 3;
/// Heartbeats without any frame after which the device is called silent.
const MAX_MISSES: u8 = 2;
/// How long the acknowledgement of a set is expected whose effect was seen first. Mistaking it for that of the next set
/// would claim something that may not be; expecting it in vain costs that set a read-back.
const LATE_ACK: Duration = Duration::from_secs(5);
/// So many may be late.
const MAX_LATE_ACKS: usize = 8;

/// The client's end of one connection.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    reader: FrameReader,
    inner: Inner,
}

/// All but the reader, so that a frame in its buffer can be handled while it is borrowed.
#[derive(Debug)]
struct Inner {
    codec: Codec,
    stage: Stage,
    sequence: u32,
    waiting: VecDeque<(RequestId, Request)>,
    flights: Vec<Flight>,
    events: VecDeque<Event>,
    next_id: u64,
    late_acks: Vec<LateAck>,
    last_sent: Duration,
    last_heard: Duration,
    /// Last push or refresh: a heartbeat keeps its distance.
    last_busy: Option<Duration>,
    /// A heartbeat is out since, answered by any frame.
    beat: Option<Duration>,
    misses: u8,
    resyncs: u8,
    key_suspicions: u8,
    heard: bool,
    proven: bool,
    partial_since: Option<Duration>,
    tap: Option<Arc<dyn Tap>>,
}

#[derive(Debug)]
enum Stage {
    /// START has to go out.
    Start([u8; NONCE_LEN]),
    /// RESP is awaited.
    Negotiating {
        nonce: [u8; NONCE_LEN],
        deadline: Duration,
    },
    /// FINISH has to go out, then the session key rules.
    Finish(Box<Finish>),
    Ready,
    Closed,
}

#[derive(Debug)]
struct Finish {
    proof: [u8; 32],
    session: Codec,
}

#[derive(Debug)]
struct LateAck {
    id: RequestId,
    command: Command,
    sequence: u32,
    until: Duration,
}

impl Session {
    /// Starts a session on a connection that has just opened.
    pub fn new(config: Arc<Config>, now: Now, entropy: &mut dyn Entropy) -> Self {
        let dialect = config.version.dialect();
        let mut events = VecDeque::new();
        let stage = if dialect.negotiates {
            let mut nonce = [0; NONCE_LEN];
            entropy.fill(&mut nonce);
            Stage::Start(nonce)
        } else {
            events.push_back(Event::Ready);
            Stage::Ready
        };
        let inner = Inner {
            codec: Codec::new(config.version, config.key.expose()),
            stage,
            sequence: 0,
            waiting: VecDeque::new(),
            flights: Vec::new(),
            events,
            next_id: 0,
            late_acks: Vec::new(),
            last_sent: now.mono,
            last_heard: now.mono,
            last_busy: None,
            beat: None,
            misses: 0,
            resyncs: 0,
            key_suspicions: 0,
            heard: false,
            proven: false,
            partial_since: None,
            tap: None,
        };
        Self { reader: FrameReader::new(dialect.framing, MAX_LENGTH_CLIENT), config, inner }
    }

    /// From now on this is told of each frame, decoded, while it wants to be.
    pub fn set_tap(&mut self, tap: Arc<dyn Tap>) {
        self.inner.tap = Some(tap);
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Takes bytes from the connection, any number of frames or parts of frames.
    pub fn handle_input(&mut self, bytes: &[u8], now: Now) {
        if matches!(self.inner.stage, Stage::Closed) {
            return;
        }
        self.reader.push(bytes);
        let mut moved = false;
        while let Some(item) = self.reader.next_item() {
            moved = true;
            match item {
                Item::Frame(frame) => self.inner.on_frame(&self.config, frame, now),
                Item::Error(e) => self.inner.on_disturbance(&self.config, e),
            }
            if matches!(self.inner.stage, Stage::Closed) {
                return;
            }
        }
        self.inner.partial_since = match self.inner.partial_since {
            _ if self.reader.buffered() == 0 => None,
            Some(since) if !moved => Some(since),
            _ => Some(now.mono),
        };
    }

    /// The peer closed the connection (EOF or reset).
    pub fn handle_close(&mut self, _now: Now) {
        let established = match self.inner.stage {
            Stage::Ready => self.inner.heard,
            _ => false,
        };
        self.inner.end(if established { CloseReason::Remote } else { CloseReason::ClosedEarly });
    }

    /// Lets due deadlines act.
    pub fn handle_timeout(&mut self, now: Now) {
        self.inner.on_time(&self.config, now.mono);
    }

    /// Queues a request. Requests go out in order; one per (command, cid) is outstanding at a time.
    pub fn request(&mut self, request: Request, _now: Now) -> RequestId {
        let inner = &mut self.inner;
        let id = RequestId(inner.next_id);
        inner.next_id += 1;
        let refusal = if matches!(inner.stage, Stage::Closed) {
            let command = flight::lane(&self.config, &request).0;
            Some(RequestError::Closed { command, sent: false })
        } else if inner.waiting.len() >= MAX_WAITING {
            Some(RequestError::TooMany(inner.waiting.len()))
        } else {
            None
        };
        match refusal {
            Some(e) => inner.events.push_back(Event::Done { id, result: Err(e) }),
            None => inner.waiting.push_back((id, request)),
        }
        id
    }

    /// Ends the session; outstanding requests end with [`RequestError::Closed`].
    pub fn close(&mut self) {
        self.inner.end(CloseReason::Local);
    }

    /// The next thing to do. Call until it returns [`Output::Wait`].
    pub fn poll_output(&mut self, now: Now, entropy: &mut dyn Entropy) -> Output {
        self.inner.close_requests(&self.config);
        if let Some(bytes) = self.inner.next_transmission(&self.config, now, entropy) {
            return Output::Transmit(bytes);
        }
        match self.inner.events.pop_front() {
            Some(event) => Output::Event(event),
            None => {
                if self.inner.events.capacity() > 16 {
                    self.inner.events = VecDeque::new();
                }
                Output::Wait(self.inner.deadline(&self.config))
            }
        }
    }
}

impl Inner {
    fn end(&mut self, reason: CloseReason) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        self.stage = Stage::Closed;
        for flight in self.flights.drain(..) {
            let result = Err(RequestError::Closed { command: flight.command, sent: true });
            self.events.push_back(Event::Done { id: flight.id, result });
        }
        self.events.push_back(Event::Closed(reason));
    }

    /// Requests that never went out end before the closing event, which must be the last.
    fn close_requests(&mut self, config: &Config) {
        if !matches!(self.stage, Stage::Closed) || self.waiting.is_empty() {
            return;
        }
        let last = self.events.pop_back();
        for (id, request) in self.waiting.drain(..) {
            let command = flight::lane(config, &request).0;
            let result = Err(RequestError::Closed { command, sent: false });
            self.events.push_back(Event::Done { id, result });
        }
        self.events.extend(last);
    }

    fn on_disturbance(&mut self, config: &Config, error: FramingError) {
        self.events.push_back(Event::Disturbed(error));
        match error {
            FramingError::Garbage(_) | FramingError::CrcMismatch => {}
            FramingError::UnexpectedFraming => {
                let evidence = if config.version.dialect().framing == Framing::Gcm {
                    "sends frames of 3.4 or older"
                } else {
                    "sends frames of 3.5"
                };
                self.end(CloseReason::WrongVersion { configured: config.version, evidence });
            }
            _ => {
                self.resyncs += 1;
                if self.resyncs >= MAX_RESYNCS {
                    self.end(CloseReason::Protocol("three broken frames"));
                }
            }
        }
    }

    fn on_frame(&mut self, config: &Config, frame: RawFrame<'_>, now: Now) {
        let negotiates = config.version.dialect().negotiates;
        // Between FINISH and the first answer a report under the local key may still be under way (lan.md 4.2).
        let spare = (negotiates && !self.proven && matches!(self.stage, Stage::Ready))
            .then(|| (frame.framing, frame.bytes.to_vec()));
        match self.codec.open(Role::Device, frame) {
            Ok(message) => {
                self.show(Frame::new(
                    Going::In,
                    message.command,
                    message.sequence,
                    message.retcode,
                    message.body,
                ));
                self.heard = true;
                self.beat = None;
                self.misses = 0;
                self.last_heard = now.mono;
                let proves = negotiates || message.form == Form::Cipher;
                if proves {
                    self.key_suspicions = 0;
                }
                if !matches!(self.stage, Stage::Ready) {
                    self.on_negotiation(config, &message);
                    return;
                }
                if proves && !self.proven {
                    self.proven = true;
                    self.events.push_back(Event::Proven);
                }
                self.on_message(config, &message, now);
            }
            Err(OpenError::Integrity(FramingError::CrcMismatch)) => {
                self.events.push_back(Event::Disturbed(FramingError::CrcMismatch));
            }
            Err(OpenError::Integrity(e)) => self.on_integrity(config, e, spare),
            Err(OpenError::Undecryptable { command, sequence, .. }) => {
                let frame = Frame::new(Going::In, command, sequence, None, &[]);
                self.show(Frame { told: Told::Unreadable, ..frame });
                self.heard = true;
                self.beat = None;
                self.misses = 0;
                self.last_heard = now.mono;
                self.on_foreign_key(config, command, sequence);
            }
        }
    }

    fn show(&self, frame: Frame<'_>) {
        if let Some(tap) = self.tap.as_ref().filter(|tap| tap.wanted()) {
            tap.frame(&frame);
        }
    }

    fn on_integrity(&mut self, config: &Config, e: FramingError, spare: Option<(Framing, Vec<u8>)>) {
        match &self.stage {
            Stage::Ready => {
                if let Some((framing, mut bytes)) = spare {
                    let local = Codec::new(config.version, config.key.expose());
                    if local.open(Role::Device, RawFrame { framing, bytes: &mut bytes }).is_ok() {
                        return;
                    }
                }
                self.end(CloseReason::Integrity(e));
            }
            // Only a peer with another key answers a START that it could not check; real devices close.
            _ => self.end(CloseReason::WrongKey),
        }
    }

    fn on_foreign_key(&mut self, config: &Config, command: Command, sequence: u32) {
        self.events.push_back(Event::KeySuspect);
        self.key_suspicions = self.key_suspicions.saturating_add(1);
        if let Some(at) = self.flight_for(config, command, sequence, None) {
            self.done(at, Err(RequestError::WrongKey { command }));
        }
        if self.key_suspicions >= MAX_KEY_SUSPICIONS {
            self.end(CloseReason::WrongKey);
        }
    }

    fn on_negotiation(&mut self, config: &Config, message: &Incoming<'_>) {
        // Reports may come before RESP (lan.md 4.2); they are repeated when asked.
        let (Stage::Negotiating { nonce, .. }, Command::SESS_KEY_NEG_RESP) = (&self.stage, message.command)
        else {
            return;
        };
        let device = match negotiation::check_resp(&config.key, nonce, message.body) {
            Ok(device) => device,
            Err(RespError::Short) => return self.end(CloseReason::Negotiation("session_resp_short")),
            Err(RespError::Proof) => return self.end(CloseReason::Negotiation("session_hmac_mismatch")),
        };
        let key = negotiation::session_key(config.version, &config.key, nonce, &device);
        if negotiation::is_zero_trap(&key) {
            return self.end(CloseReason::ZeroKey);
        }
        self.stage = Stage::Finish(Box::new(Finish {
            proof: negotiation::proof(&config.key, &device),
            session: Codec::new(config.version, key.expose()),
        }));
    }

    fn on_message(&mut self, config: &Config, m: &Incoming<'_>, now: Now) {
        if config.version == Version::V3_1 && m.form == Form::Clear && !is_text(m.body) {
            // 3.1 answers in clear; a newer device answers the clear question under its own key (lan.md 5.7).
            let evidence = "answers in the cipher of 3.2 or 3.3";
            return self.end(CloseReason::WrongVersion { configured: config.version, evidence });
        }
        match m.command {
            Command::HEART_BEAT => {}
            Command::STATUS => match Body::parse(m.body) {
                Ok(body) => match body.into_report() {
                    Some(report) => self.on_status(report, now),
                    None => self.unasked(m),
                },
                Err(_) => self.unasked(m),
            },
            Command::LAN_EXT_STREAM => self.on_extension(config, m),
            _ => self.on_reply(config, m),
        }
    }

    fn unasked(&mut self, m: &Incoming<'_>) {
        self.events.push_back(Event::Unasked { command: m.command, body: m.body.to_vec() });
    }

    fn on_status(&mut self, report: Report, now: Now) {
        self.last_busy = Some(now.mono);
        let found =
            self.flights.iter().enumerate().find_map(|(i, f)| Some((i, f.answered_by_status(&report)?)));
        let origin = match found {
            Some((_, true)) => Origin::Polled,
            _ => Origin::Pushed,
        };
        if let Some((at, _)) = found {
            let flight = &self.flights[at];
            if matches!(flight.awaits, Awaits::Ack(_) | Awaits::Refresh(_)) {
                let (id, command, sequence) = (flight.id, flight.command, flight.sequence);
                self.late_acks.retain(|l| l.until > now.mono);
                if self.late_acks.len() < MAX_LATE_ACKS {
                    self.late_acks.push(LateAck {
                        id,
                        command,
                        sequence,
                        until: now.mono.saturating_add(LATE_ACK),
                    });
                }
            }
            self.events.push_back(Event::Report { report: report.clone(), origin });
            self.done(at, Ok(Answer::Report(report)));
        } else {
            self.events.push_back(Event::Report { report, origin });
        }
    }

    fn on_extension(&mut self, config: &Config, m: &Incoming<'_>) {
        if m.body.is_empty() {
            // The report follows in a frame of its own (lan.md 3.9).
            return;
        }
        match Body::parse(m.body) {
            Ok(body) if body.req_type.as_deref() == Some(SUBDEVICES_REPORT) => {
                self.events.push_back(Event::Subdevices(body.subdevices.clone()));
                if let Some(at) = self.flight_for(config, m.command, m.sequence, None) {
                    self.done(at, Ok(Answer::Subdevices(body.subdevices)));
                }
            }
            _ => self.on_reply(config, m),
        }
    }

    fn on_reply(&mut self, config: &Config, m: &Incoming<'_>) {
        let parsed = if m.body.first() == Some(&b'{') { Body::parse(m.body).ok() } else { None };
        let cid = parsed.as_ref().and_then(|b| b.cid.clone());
        if m.body.is_empty() && self.is_late_ack(config, m) {
            return;
        }
        let Some(at) = self.flight_for(config, m.command, m.sequence, cid.as_ref()) else {
            if let Some(report) = parsed.and_then(Body::into_report) {
                // Points are points, asked for or not.
                self.events.push_back(Event::Report { report, origin: Origin::Pushed });
            } else if !m.body.is_empty() {
                self.unasked(m);
            }
            return;
        };
        let is_raw = self.flights[at].awaits == Awaits::Any;
        if is_raw {
            return self.done(at, Ok(Answer::Body(m.body.to_vec())));
        }
        if m.body.is_empty() {
            return self.on_ack(config, at, m.retcode);
        }
        let Some(body) = parsed else {
            let text: String = String::from_utf8_lossy(m.body).chars().take(200).collect();
            return self.done(at, Err(RequestError::Refused { command: m.command, text }));
        };
        match body.into_report() {
            Some(mut report) => {
                if report.cid.is_none() {
                    report.cid.clone_from(&self.flights[at].cid);
                }
                self.events.push_back(Event::Report { report: report.clone(), origin: Origin::Polled });
                self.done(at, Ok(Answer::Report(report)));
            }
            None => match self.flights[at].awaits {
                Awaits::Points { .. } => {
                    let cid = self.flights[at].cid.clone();
                    self.done(at, Ok(Answer::Report(Report { cid, ..Report::default() })));
                }
                _ => self.done(at, Ok(Answer::Body(m.body.to_vec()))),
            },
        }
    }

    fn on_ack(&mut self, config: &Config, at: usize, retcode: Option<u32>) {
        let flight = &mut self.flights[at];
        // The vendor's 3.5 code acknowledges every control with retcode 1 (lan.md 1.3).
        let refused = retcode.is_some_and(|r| r != 0) && config.version != Version::V3_5;
        match &mut flight.awaits {
            _ if refused => {
                let command = flight.command;
                self.done(at, Err(RequestError::Refused { command, text: String::new() }));
            }
            Awaits::Points { empty_reply } => *empty_reply = true,
            Awaits::AnyOf(_) | Awaits::Subdevices => {}
            Awaits::Ack(_) | Awaits::Refresh(_) | Awaits::Any => self.done(at, Ok(Answer::Ack)),
        }
    }

    /// Whether this empty reply belongs to a set that was completed by the report of its effect.
    fn is_late_ack(&mut self, config: &Config, m: &Incoming<'_>) -> bool {
        // Up to 3.3 replies echo the sequence, which settles it: unless it is that of no request at all, which means
        // that this device counts by itself.
        let echoes = !config.version.dialect().negotiates && m.sequence != 0;
        if echoes && self.flights.iter().any(|f| f.command == m.command && f.sequence == m.sequence) {
            return false;
        }
        let now = self.last_heard;
        let belongs = |l: &LateAck| l.until > now && l.command == m.command;
        let exact = || self.late_acks.iter().position(|l| belongs(l) && l.sequence == m.sequence);
        let first = || self.late_acks.iter().position(belongs);
        let Some(at) = (if echoes { exact().or_else(first) } else { first() }) else { return false };
        let late = self.late_acks.remove(at);
        self.events.push_back(Event::LateAck(late.id));
        if self.late_acks.is_empty() {
            self.late_acks = Vec::new();
        }
        true
    }

    /// The flight that a reply belongs to: same command; same cid if the reply has one; up to 3.3 the echoed sequence
    /// decides between several.
    fn flight_for(
        &self,
        config: &Config,
        command: Command,
        sequence: u32,
        cid: Option<&crate::id::Cid>,
    ) -> Option<usize> {
        let fits = |f: &Flight| f.command == command && (cid.is_none() || f.cid.as_ref() == cid);
        let echoes = !config.version.dialect().negotiates && sequence != 0;
        let exact = || self.flights.iter().position(|f| fits(f) && f.sequence == sequence);
        let first = || self.flights.iter().position(fits);
        if echoes { exact().or_else(first) } else { first() }
    }

    fn done(&mut self, at: usize, result: Result<Answer, RequestError>) {
        let flight = self.flights.remove(at);
        self.events.push_back(Event::Done { id: flight.id, result });
    }

    fn next_transmission(&mut self, config: &Config, now: Now, entropy: &mut dyn Entropy) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Start(nonce) => {
                let deadline = now.mono.saturating_add(config.timing.negotiation);
                self.stage = Stage::Negotiating { nonce, deadline };
                Some(self.seal(config, Command::SESS_KEY_NEG_START, &nonce, now, entropy))
            }
            Stage::Finish(finish) => {
                self.stage = Stage::Ready;
                let bytes = self.seal(config, Command::SESS_KEY_NEG_FINISH, &finish.proof, now, entropy);
                self.codec = finish.session;
                self.events.push_back(Event::Ready);
                Some(bytes)
            }
            Stage::Ready => {
                self.stage = Stage::Ready;
                self.next_request(config, now, entropy).or_else(|| self.next_beat(config, now, entropy))
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn next_request(&mut self, config: &Config, now: Now, entropy: &mut dyn Entropy) -> Option<Vec<u8>> {
        let (command, cid) = flight::lane(config, &self.waiting.front()?.1);
        if self.flights.iter().any(|f| f.command == command && f.cid.as_ref() == cid) {
            return None;
        }
        let (id, request) = self.waiting.pop_front()?;
        let wire = flight::wire(config, request, now.unix);
        let bytes = self.seal(config, wire.command, &wire.body, now, entropy);
        if wire.command == Command::UPDATEDPS {
            self.last_busy = Some(now.mono);
        }
        self.flights.push(Flight {
            id,
            command: wire.command,
            sequence: self.sequence,
            cid: wire.cid,
            awaits: wire.awaits,
            deadline: now.mono.saturating_add(config.timing.request),
        });
        Some(bytes)
    }

    fn next_beat(&mut self, config: &Config, now: Now, entropy: &mut dyn Entropy) -> Option<Vec<u8>> {
        if self.beat.is_some() || now.mono < self.beat_due(config) {
            return None;
        }
        self.beat = Some(now.mono);
        let body = super::super::body::heartbeat(&config.device_id);
        Some(self.seal(config, Command::HEART_BEAT, &body, now, entropy))
    }

    /// When the next heartbeat is due: after a pause in sending or in hearing, and at a distance from pushes and
    /// refreshes. After a miss at once.
    fn beat_due(&self, config: &Config) -> Duration {
        let quiet = self.last_busy.map_or(Duration::ZERO, |t| t.saturating_add(config.timing.quiet));
        // Sending alone is no sign of life: on a dead connection a busy client would never notice.
        let idle_since = self.last_sent.min(self.last_heard);
        let pause = if self.misses > 0 { Duration::ZERO } else { config.timing.heartbeat };
        let due = idle_since.saturating_add(pause);
        due.max(quiet)
    }

    fn seal(
        &mut self,
        config: &Config,
        command: Command,
        body: &[u8],
        now: Now,
        entropy: &mut dyn Entropy,
    ) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        self.last_sent = now.mono;
        self.show(Frame::new(Going::Out, command, self.sequence, None, body));
        let dialect = config.version.dialect();
        let message = Outgoing {
            sequence: self.sequence,
            command,
            retcode: None,
            header: takes_header(dialect, command).then(|| SourceHeader::client(config.version)),
            form: self.codec.form(Role::Client, command, body),
            body,
        };
        let mut out = Vec::new();
        self.codec.seal(&message, entropy, &mut out);
        out
    }

    fn on_time(&mut self, config: &Config, now: Duration) {
        if let Stage::Negotiating { deadline, .. } = self.stage
            && now >= deadline
        {
            return self.end(CloseReason::NegotiationSilent);
        }
        if self.partial_since.is_some_and(|t| now >= t.saturating_add(config.timing.incomplete_frame)) {
            return self.end(CloseReason::Protocol("a frame was left unfinished"));
        }
        while let Some(at) = self.flights.iter().position(|f| now >= f.deadline) {
            let flight = &self.flights[at];
            let result = if flight.may_stay_silent() {
                Ok(Answer::Silent)
            } else {
                Err(RequestError::Timeout { command: flight.command, after: config.timing.request })
            };
            self.done(at, result);
        }
        if self.beat.is_some_and(|t| now >= t.saturating_add(config.timing.heartbeat_reply)) {
            self.beat = None;
            self.misses += 1;
            if self.misses >= MAX_MISSES {
                self.end(CloseReason::Silent);
            }
        }
    }

    fn deadline(&self, config: &Config) -> Duration {
        let mut at = match self.stage {
            Stage::Closed | Stage::Start(_) | Stage::Finish(_) => return Duration::MAX,
            Stage::Negotiating { deadline, .. } => deadline,
            Stage::Ready => match self.beat {
                Some(t) => t.saturating_add(config.timing.heartbeat_reply),
                None => self.beat_due(config),
            },
        };
        if let Some(t) = self.partial_since {
            at = at.min(t.saturating_add(config.timing.incomplete_frame));
        }
        self.flights.iter().fold(at, |at, f| at.min(f.deadline))
    }
}

/// JSON (whose texts may hold broken UTF-8), or a text without control characters.
fn is_text(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{')
        || std::str::from_utf8(bytes)
            .is_ok_and(|t| !t.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()))
}
