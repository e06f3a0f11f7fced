//! The state machine of one device above its sessions: wanted connection, command queue, reconnect policy.
//!
//! Pure: no socket, clock or dice. In: what happened ([`Line::connected`], [`Line::handle_input`], [`Line::submit`]...).
//! Out: [`Line::poll_output`], to be called after every input until it returns [`Output::Wait`].
//!
//! Commands go out in the order in which they came. A session has at most one set and one query of ours at a time, so
//! that it never reorders them; refreshes and sub-device lists, which devices need not answer, hold nobody up.

mod command;
mod dispatch;
mod hear;
mod points;
mod queue;
mod reconnect;
mod set;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::session::{CloseReason, Config, RequestId, Session, Tap};
use landfall_proto::schema::Schema;
use landfall_proto::{Entropy, Now};

pub use command::{Ask, Command, CommandId, Completion, Event, Output};

use crate::config::{DeviceConfig, Refresh};
use crate::detect::Subject;
use crate::outcome::{CommandError, Outcome, Unconfirmed};
use crate::state::{ConnectFailure, Failure, State};
use points::Points;
use queue::{AskJob, Job};
use reconnect::{DETECTION_GAP, Reconnect, STOPPED, Verdict};
use set::SetJob;

/// Commands that may wait for one device.
pub const MAX_WAITING: usize = 64;

#[derive(Debug)]
struct Open {
    session: Box<Session>,
    since: Duration,
    ready: Option<Duration>,
    proven: bool,
    /// When the first query goes out, if none was asked for until then.
    first_query: Option<Duration>,
    /// When the session wants to be called again.
    wait: Duration,
    /// An acknowledgement did not come in time over this connection. The next one may be that late one: replies carry
    /// no mark of their request on 3.4 and 3.5 (lan.md 1.4).
    late_acks: bool,
}

#[derive(Debug)]
enum Phase {
    NoAddress,
    Detecting,
    Connecting,
    Open(Open),
    Waiting { until: Duration, delay: Duration, busy: bool, failure: Box<Failure> },
    Stopped { until: Duration, failure: Box<Failure> },
    Closed,
}

#[derive(Debug)]
struct RefreshTimer {
    what: Refresh,
    next: Duration,
}

/// One device: what is wanted of it and how far that is.
// Jobs are boxed because they move between `queue`, where kinds share a slot, and these lists.
#[allow(clippy::vec_box)]
#[derive(Debug)]
pub struct Line {
    session_config: Arc<Config>,
    schema: Arc<Schema>,
    address: Option<SocketAddr>,
    version: Option<Version>,
    /// What the last beacon claimed, if that is not the version in use.
    beacon_version: Option<Version>,
    query_on_connect: bool,
    single_points: bool,
    timeout: Duration,
    refresh: Option<Box<RefreshTimer>>,

    phase: Phase,
    reconnect: Reconnect,
    last_detection: Option<Duration>,
    /// Counts connections, wrapped: tells which of them reported a point.
    connection: u16,

    queue: VecDeque<Job>,
    running: Vec<Box<SetJob>>,
    asks: Vec<Box<AskJob>>,
    /// The set that the session has not answered yet; its job may have run out of time.
    set_request: Option<RequestId>,
    /// Counts requests handed to sessions.
    order: u64,
    next_id: u64,
    waiting: usize,
    points: Points,
    out: VecDeque<Output>,
    tap: Option<Arc<dyn Tap>>,
}

impl Line {
    /// A line; starts connecting at the first [`Line::poll_output`] if an address is known.
    pub fn new(config: &DeviceConfig, now: Now) -> Self {
        let session_config = Arc::new(Config {
            device_id: config.id.clone(),
            key: config.key.clone(),
            // Replaced before the first session when it is unknown.
            version: config.version.unwrap_or(Version::V3_5),
            device22: config.device22,
            device22_points: config.device22_points.clone(),
            timing: config.timing,
        });
        let refresh = config.refresh.clone().filter(|r| !r.points.is_empty() && !r.every.is_zero());
        let mut line = Self {
            session_config,
            schema: Arc::clone(&config.schema),
            address: config.address,
            version: config.version,
            beacon_version: None,
            query_on_connect: config.query_on_connect,
            single_points: config.single_points,
            timeout: config.timeout,
            refresh: refresh.map(|what| Box::new(RefreshTimer { what, next: Duration::MAX })),
            phase: Phase::NoAddress,
            reconnect: Reconnect::default(),
            last_detection: None,
            connection: 0,
            queue: VecDeque::new(),
            running: Vec::new(),
            asks: Vec::new(),
            set_request: None,
            order: 0,
            next_id: 0,
            waiting: 0,
            points: Points::default(),
            out: VecDeque::new(),
            tap: None,
        };
        line.connect(now);
        line
    }

    /// From the next connection on this is told of its frames, decoded, while it wants to be.
    pub fn set_tap(&mut self, tap: Arc<dyn Tap>) {
        self.tap = Some(tap);
    }

    /// The version in use, once known.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The address of the next connection.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What a detection of the version must know.
    pub(crate) fn subject(&self, address: SocketAddr) -> Subject {
        Subject {
            id: self.session_config.device_id.clone(),
            address,
            key: self.session_config.key.clone(),
            chosen: self.version,
            beacon: self.beacon_version,
            proven: self.proven_version(),
        }
    }

    /// Whether a version ever worked in a session, and which.
    pub fn proven_version(&self) -> Option<Version> {
        self.version.filter(|_| self.reconnect.was_proven())
    }

    /// The points last reported; empty when nothing was heard.
    pub fn points(&self, cid: Option<&Cid>) -> Dps {
        self.points.all(cid)
    }

    /// The sub-devices that reported anything.
    pub fn cids(&self) -> Vec<Cid> {
        self.points.cids().cloned().collect()
    }

    /// How the connection stands.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::NoAddress => State::NoAddress,
            Phase::Detecting => State::Detecting,
            Phase::Connecting => match self.address {
                Some(address) => State::Connecting { address },
                None => State::NoAddress,
            },
            Phase::Open(Open { ready: None, .. }) => State::Negotiating,
            Phase::Open(_) => State::Ready,
            Phase::Waiting { delay, failure, .. } => {
                State::Waiting { failure: (**failure).clone(), retry_in: *delay }
            }
            Phase::Stopped { failure, .. } => {
                State::Stopped { failure: (**failure).clone(), retry_in: STOPPED }
            }
            Phase::Closed => State::Closed,
        }
    }

    /// True when commands go out at once.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Open(Open { ready: Some(_), .. }))
    }

    /// True after [`Line::close`].
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let state = self.state();
        self.out.push_back(Output::Event(Event::State(state)));
    }

    fn connect(&mut self, now: Now) {
        let Some(address) = self.address else {
            return self.enter(Phase::NoAddress);
        };
        if self.version.is_some() {
            self.enter(Phase::Connecting);
            self.out.push_back(Output::Connect(address));
            return;
        }
        match self.last_detection.map(|last| last + DETECTION_GAP) {
            Some(until) if until > now.mono => {
                let failure = Box::new(Failure::Detection("one attempt a minute is made".into()));
                self.enter(Phase::Waiting { until, delay: until - now.mono, busy: true, failure });
            }
            _ => {
                self.last_detection = Some(now.mono);
                self.enter(Phase::Detecting);
                self.out.push_back(Output::Detect(address));
            }
        }
    }

    /// The connection asked for by [`Output::Connect`] is open.
    pub fn connected(&mut self, now: Now, entropy: &mut dyn Entropy) {
        if !matches!(self.phase, Phase::Connecting) {
            self.out.push_back(Output::Disconnect);
            return;
        }
        self.connection = self.connection.wrapping_add(1);
        let mut session = Box::new(Session::new(Arc::clone(&self.session_config), now, entropy));
        if let Some(tap) = &self.tap {
            session.set_tap(Arc::clone(tap));
        }
        let open = Open {
            session,
            since: now.mono,
            ready: None,
            proven: false,
            first_query: None,
            wait: now.mono,
            late_acks: false,
        };
        if self.session_config.version.dialect().negotiates {
            self.enter(Phase::Open(open));
        } else {
            // The session says at once that it is ready; one piece of news is enough.
            self.phase = Phase::Open(open);
        }
    }

    /// The connection asked for by [`Output::Connect`] did not open.
    pub fn connect_failed(&mut self, failure: ConnectFailure, now: Now, entropy: &mut dyn Entropy) {
        if matches!(self.phase, Phase::Connecting) {
            let verdict = self.reconnect.failed(Failure::Connect(failure), entropy);
            self.follow(verdict, now);
        }
    }

    /// The detection asked for by [`Output::Detect`] ended: the version, or why it was not found.
    pub fn detected(&mut self, result: Result<Version, Box<str>>, now: Now, entropy: &mut dyn Entropy) {
        if !matches!(self.phase, Phase::Detecting) {
            return;
        }
        match result {
            Ok(version) => {
                self.adopt(version);
                self.connect(now);
            }
            Err(text) => {
                // Never sooner than the next detection may be.
                let failure = Failure::Detection(text);
                let verdict = match self.reconnect.failed(failure, entropy) {
                    Verdict::After { delay, failure, .. } => {
                        Verdict::After { delay: delay + DETECTION_GAP, failure, busy: true }
                    }
                    other => other,
                };
                self.follow(verdict, now);
            }
        }
    }

    fn adopt(&mut self, version: Version) {
        self.version = Some(version);
        self.beacon_version = None;
        Arc::make_mut(&mut self.session_config).version = version;
        self.out.push_back(Output::Event(Event::Version(version)));
    }

    fn follow(&mut self, verdict: Verdict, now: Now) {
        match verdict {
            Verdict::AtOnce => self.connect(now),
            Verdict::After { delay, failure, busy } => {
                let failure = Box::new(failure);
                self.enter(Phase::Waiting { until: now.mono + delay, delay, busy, failure });
            }
            Verdict::Stop(failure) => {
                self.enter(Phase::Stopped { until: now.mono + STOPPED, failure: Box::new(failure) });
            }
        }
    }

    /// The session is over; decides what comes next.
    fn session_ended(&mut self, reason: CloseReason, now: Now, entropy: &mut dyn Entropy) {
        let Phase::Open(open) = &self.phase else { return };
        let lived = now.mono.saturating_sub(open.since);
        let ready = open.ready.map(|since| now.mono.saturating_sub(since));
        let proven = open.proven;
        self.abandon_requests();
        self.out.push_back(Output::Disconnect);
        // A device that was updated announces its new version; taking a newer one is no downgrade.
        if let Some(newer) = self.beacon_version.filter(|v| !proven && Some(*v) > self.version) {
            self.adopt(newer);
            self.reconnect.forget();
        }
        let verdict = self.reconnect.ended(reason, lived, ready, entropy);
        self.follow(verdict, now);
    }

    /// Bytes from the connection.
    pub fn handle_input(&mut self, bytes: &[u8], now: Now) {
        if let Phase::Open(open) = &mut self.phase {
            open.session.handle_input(bytes, now);
        }
    }

    /// The connection was closed by the other end, or broke.
    pub fn handle_close(&mut self, now: Now) {
        if let Phase::Open(open) = &mut self.phase {
            open.session.handle_close(now);
        }
    }

    /// Lets due deadlines act.
    pub fn handle_timeout(&mut self, now: Now) {
        match &mut self.phase {
            Phase::Open(open) if now.mono >= open.wait => open.session.handle_timeout(now),
            Phase::Waiting { until, .. } | Phase::Stopped { until, .. } if now.mono >= *until => {
                self.connect(now);
            }
            _ => {}
        }
        self.expire(now.mono);
    }

    /// A beacon of this device came, with the address it came from and the version it claims. It is not authentic
    /// (lan.md 7.2): it may wake a waiting line, fill in an unknown version and move the next connection, but never ends
    /// a working session and never lowers a version.
    pub fn heard(&mut self, address: SocketAddr, version: Option<Version>, now: Now) {
        let mut changed = self.address != Some(address);
        self.address = Some(address);
        match (version, self.version) {
            (Some(v), None) => {
                self.adopt(v);
                changed = true;
            }
            (Some(v), Some(have)) if v != have && self.beacon_version != Some(v) => {
                self.beacon_version = Some(v);
                changed |= v > have;
            }
            _ => {}
        }
        let wake = match &self.phase {
            Phase::NoAddress => true,
            // The slot of a busy device does not become free by its saying that it is there.
            Phase::Waiting { busy, .. } => changed || !busy,
            Phase::Stopped { .. } => changed,
            _ => false,
        };
        if wake && self.reconnect.beacon(now.mono) {
            self.connect(now);
        }
    }

    /// The owner knows another address.
    pub fn set_address(&mut self, address: SocketAddr, now: Now) {
        if self.address != Some(address) {
            self.address = Some(address);
            self.restart(now);
        }
    }

    /// The owner knows another key.
    pub fn set_key(&mut self, key: LocalKey, now: Now) {
        if self.session_config.key != key {
            Arc::make_mut(&mut self.session_config).key = key;
            self.restart(now);
        }
    }

    /// The owner chose a version.
    pub fn set_version(&mut self, version: Version, now: Now) {
        if self.version != Some(version) {
            self.adopt(version);
            self.restart(now);
        }
    }

    fn restart(&mut self, now: Now) {
        self.reconnect.forget();
        match &mut self.phase {
            Phase::Closed => return,
            Phase::Open(_) => {
                self.abandon_requests();
                self.out.push_back(Output::Disconnect);
            }
            Phase::Connecting | Phase::Detecting => self.out.push_back(Output::Disconnect),
            _ => {}
        }
        self.connect(now);
    }

    /// Ends the line: closes the connection and ends all commands.
    pub fn close(&mut self) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        for job in std::mem::take(&mut self.running) {
            self.finish(*job, Outcome::Unconfirmed(Unconfirmed::Closed));
        }
        for ask in std::mem::take(&mut self.asks) {
            self.answer(ask.caller, Err(CommandError::Closed));
        }
        for job in std::mem::take(&mut self.queue) {
            match job {
                Job::Set(set) => self.finish(*set, Outcome::Unconfirmed(Unconfirmed::Closed)),
                Job::Ask(ask) => self.answer(ask.caller, Err(CommandError::Closed)),
            }
        }
        self.set_request = None;
        self.out.push_back(Output::Disconnect);
        self.enter(Phase::Closed);
    }
}
