//! A line and a virtual device on a virtual clock, with a network in between that follows a seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_link::line::{Command, CommandId, Completion, Event, Line, Output};
use landfall_link::outcome::{Outcome, SetOptions};
use landfall_link::{CommandError, ConnectFailure, DeviceConfig, State};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::{self, Datagram};
use landfall_proto::{Entropy, Now};
use landfall_sim::device::{Admission, ConnectionId, Ending, Output as DeviceOutput, VirtualDevice};
use landfall_sim::dice::Dice;
use landfall_sim::kind::Kind;
use landfall_sim::spec::DeviceSpec;

pub(crate) const ID: &str = "bf0123456789abcdefvx01";
pub(crate) const KEY: &str = "Kx7$v9Qm2#Lp4&Rz";
pub(crate) const ADDRESS: &str = "192.168.7.20:6668";

pub(crate) struct Seeded(pub(crate) Dice);

impl Entropy for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bits = self.0.bits().to_be_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

/// How the network is. Bytes of one direction of one connection never overtake each other.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// One way, evenly between these.
    pub(crate) delay: (Duration, Duration),
    /// Chance per chunk that the connection breaks: what is under way is lost, the client sees a reset.
    pub(crate) reset: f64,
    /// Chance per chunk that the connection goes dead without a word to anybody.
    pub(crate) dead: f64,
    /// What a client sent before it gave a connection up still arrives, and the device learns of the end later.
    pub(crate) late: bool,
}

impl Default for Net {
    fn default() -> Self {
        let ms = Duration::from_millis(1);
        Self { delay: (ms, ms), reset: 0.0, dead: 0.0, late: false }
    }
}

#[derive(Debug)]
enum Ev {
    Opened(usize),
    Failed(usize, ConnectFailure),
    ToDevice(usize, Vec<u8>),
    ToClient(usize, Vec<u8>),
    CloseDevice(usize),
    CloseClient(usize),
}

#[derive(Debug, Default)]
struct Pipe {
    device: Option<ConnectionId>,
    last_up: Duration,
    last_down: Duration,
    dead: bool,
    /// The client dropped it.
    dropped: bool,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) line: Line,
    pub(crate) device: VirtualDevice,
    pub(crate) net: Net,
    pub(crate) dice: Dice,
    entropy: Seeded,
    events: BTreeMap<(Duration, u64), Ev>,
    count: u64,
    pipes: Vec<Pipe>,
    current: Option<usize>,
    line_wait: Duration,
    device_wait: Duration,
    /// Steps without the clock moving: a machine that asks to be called again and again is broken.
    idle_steps: u32,
    pub(crate) done: BTreeMap<CommandId, (Duration, Completion)>,
    pub(crate) states: Vec<(Duration, State)>,
    pub(crate) reports: u64,
    /// When each connection attempt was made.
    pub(crate) attempts: Vec<Duration>,
    pub(crate) detections: Vec<Duration>,
    pub(crate) versions: Vec<Version>,
    pub(crate) breaks: u64,
    /// The line hears the device's announcements.
    pub(crate) beacons: bool,
}

pub(crate) fn spec(version: Version, kind: Kind) -> DeviceSpec {
    DeviceSpec::new(DeviceId::new(ID).unwrap(), LocalKey::new(KEY).unwrap(), version, kind)
}

pub(crate) fn config(spec: &DeviceSpec) -> DeviceConfig {
    let mut config = DeviceConfig::new(spec.id.clone(), spec.key.clone());
    config.address = Some(ADDRESS.parse().unwrap());
    config.version = Some(spec.version);
    config.schema = Arc::new(spec.product().schema().clone());
    config.device22_points = spec.product().schema().0.keys().copied().collect();
    config
}

impl World {
    pub(crate) fn new(spec: DeviceSpec, config: &DeviceConfig, net: Net, seed: u64) -> Self {
        let start = Now::new(Duration::ZERO, 1_700_000_000);
        let device = VirtualDevice::new(spec, seed, start);
        let mut world = Self {
            now: Duration::ZERO,
            line: Line::new(config, start),
            device,
            net,
            dice: Dice::labelled(seed, "network"),
            entropy: Seeded(Dice::labelled(seed, "client")),
            events: BTreeMap::new(),
            count: 0,
            pipes: Vec::new(),
            current: None,
            line_wait: Duration::ZERO,
            device_wait: Duration::ZERO,
            idle_steps: 0,
            done: BTreeMap::new(),
            states: Vec::new(),
            reports: 0,
            attempts: Vec::new(),
            detections: Vec::new(),
            versions: Vec::new(),
            breaks: 0,
            beacons: false,
        };
        world.pump();
        world
    }

    /// A friendly network and a device with usual habits.
    pub(crate) fn plain(version: Version, kind: Kind) -> Self {
        let spec = spec(version, kind);
        let config = config(&spec);
        Self::new(spec, &config, Net::default(), 1)
    }

    pub(crate) fn clock(&self) -> Now {
        Now::new(self.now, 1_700_000_000 + self.now.as_secs())
    }

    fn at(&mut self, time: Duration, event: Ev) {
        self.count += 1;
        self.events.insert((time, self.count), event);
    }

    fn delay(&mut self) -> Duration {
        let (from, to) = self.net.delay;
        from + (to - from).mul_f64(self.dice.unit())
    }

    fn up(&mut self, pipe: usize, event: Ev) {
        let time = (self.now + self.delay()).max(self.pipes[pipe].last_up);
        self.pipes[pipe].last_up = time;
        self.at(time, event);
    }

    fn down(&mut self, pipe: usize, event: Ev) {
        let time = (self.now + self.delay()).max(self.pipes[pipe].last_down);
        self.pipes[pipe].last_down = time;
        self.at(time, event);
    }

    /// The network decides about a chunk; false when it is lost.
    fn passes(&mut self, pipe: usize) -> bool {
        if self.pipes[pipe].dead {
            return false;
        }
        if self.dice.chance(self.net.dead) {
            self.breaks += 1;
            self.pipes[pipe].dead = true;
            return false;
        }
        if self.dice.chance(self.net.reset) {
            self.breaks += 1;
            self.pipes[pipe].dead = true;
            self.at(self.now, Ev::CloseClient(pipe));
            self.at(self.now, Ev::CloseDevice(pipe));
            return false;
        }
        true
    }

    /// Breaks the client's connection now: what is under way is lost.
    pub(crate) fn cut(&mut self) {
        if let Some(pipe) = self.current {
            self.pipes[pipe].dead = true;
            self.at(self.now, Ev::CloseClient(pipe));
            self.at(self.now, Ev::CloseDevice(pipe));
        }
    }

    fn drop_client_end(&mut self) {
        let Some(pipe) = self.current.take() else { return };
        self.pipes[pipe].dropped = true;
        if self.net.late {
            self.up(pipe, Ev::CloseDevice(pipe));
        } else {
            self.pipes[pipe].dead = true;
            self.at(self.now, Ev::CloseDevice(pipe));
        }
    }

    fn open(&mut self, _address: SocketAddr) {
        self.drop_client_end();
        self.attempts.push(self.now);
        self.pipes.push(Pipe::default());
        let pipe = self.pipes.len() - 1;
        self.current = Some(pipe);
        let time = self.now + self.delay();
        match self.device.handle_connect(self.clock()) {
            Admission::Accepted(id) => {
                self.pipes[pipe].device = Some(id);
                self.at(time, Ev::Opened(pipe));
            }
            Admission::TurnedAway => {
                self.at(time, Ev::Opened(pipe));
                self.at(time, Ev::CloseClient(pipe));
            }
            Admission::Refused => self.at(time, Ev::Failed(pipe, ConnectFailure::Refused)),
        }
        self.pipes[pipe].last_down = time;
    }

    /// Lets both machines do what they want now.
    pub(crate) fn pump(&mut self) {
        self.pump_device();
        self.pump_line();
        self.pump_device();
    }

    fn pump_line(&mut self) {
        loop {
            match self.line.poll_output(self.clock(), &mut self.entropy) {
                Output::Wait(until) => {
                    self.line_wait = until;
                    break;
                }
                output => self.line_does(output),
            }
        }
    }

    fn pump_device(&mut self) {
        loop {
            match self.device.poll_output(self.clock()) {
                DeviceOutput::Wait(until) => {
                    self.device_wait = until;
                    break;
                }
                output => self.device_does(output),
            }
        }
    }

    fn line_does(&mut self, output: Output) {
        match output {
            Output::Connect(address) => self.open(address),
            Output::Detect(_) => self.detections.push(self.now),
            Output::Disconnect => self.drop_client_end(),
            Output::Transmit(bytes) => {
                if let Some(pipe) = self.current
                    && self.passes(pipe)
                {
                    self.up(pipe, Ev::ToDevice(pipe, bytes));
                }
            }
            Output::Event(Event::State(state)) => self.states.push((self.now, state)),
            Output::Event(Event::Report { .. }) => self.reports += 1,
            Output::Event(Event::Version(version)) => self.versions.push(version),
            Output::Event(_) => {}
            Output::Done { id, completion } => {
                let before = self.done.insert(id, (self.now, completion));
                assert!(before.is_none(), "{id:?} ended twice");
            }
            Output::Wait(_) => unreachable!("handled by the caller"),
        }
    }

    fn device_does(&mut self, output: DeviceOutput) {
        let pipe_of = |pipes: &[Pipe], id| pipes.iter().rposition(|p| p.device == Some(id));
        match output {
            DeviceOutput::Transmit { connection, frame } => {
                if let Some(pipe) = pipe_of(&self.pipes, connection)
                    && self.passes(pipe)
                {
                    self.down(pipe, Ev::ToClient(pipe, frame));
                }
            }
            DeviceOutput::End { connection, ending } => {
                if let Some(pipe) = pipe_of(&self.pipes, connection) {
                    self.pipes[pipe].device = None;
                    match ending {
                        Ending::Close => self.down(pipe, Ev::CloseClient(pipe)),
                        Ending::Reset => {
                            self.pipes[pipe].dead = true;
                            self.at(self.now, Ev::CloseClient(pipe));
                        }
                        Ending::Silence => self.pipes[pipe].dead = true,
                    }
                }
            }
            // Heard by whoever listens, most of the time: it is a broadcast over radio.
            DeviceOutput::Announce(datagram) if self.beacons => {
                let heard = discovery::parse(&datagram).expect("a device announces itself");
                if let Datagram::Beacon(beacon) = heard
                    && self.dice.chance(0.8)
                {
                    let now = self.clock();
                    self.line.heard(ADDRESS.parse().unwrap(), beacon.version, now);
                }
            }
            _ => {}
        }
    }

    fn happen(&mut self, event: Ev) {
        let now = self.clock();
        let mine = |w: &Self, pipe: usize| w.current == Some(pipe);
        match event {
            Ev::Opened(pipe) if mine(self, pipe) => self.line.connected(now, &mut self.entropy),
            Ev::Failed(pipe, failure) if mine(self, pipe) => {
                self.current = None;
                self.line.connect_failed(failure, now, &mut self.entropy);
            }
            Ev::ToDevice(pipe, bytes) if !self.pipes[pipe].dead => {
                if let Some(id) = self.pipes[pipe].device {
                    self.device.handle_input(id, &bytes, now);
                }
            }
            Ev::ToClient(pipe, bytes) if mine(self, pipe) && !self.pipes[pipe].dead => {
                self.line.handle_input(&bytes, now);
            }
            Ev::CloseDevice(pipe) => {
                if let Some(id) = self.pipes[pipe].device.take() {
                    self.device.handle_close(id, now);
                }
            }
            Ev::CloseClient(pipe) if mine(self, pipe) => self.line.handle_close(now),
            _ => {}
        }
    }

    /// Lets time pass until then.
    pub(crate) fn run_until(&mut self, end: Duration) {
        loop {
            self.pump();
            let next = self.events.keys().next().map_or(Duration::MAX, |(t, _)| *t);
            let next = next.min(self.line_wait).min(self.device_wait);
            if next > end {
                self.now = end;
                self.idle_steps = 0;
                return;
            }
            if next > self.now {
                self.idle_steps = 0;
                self.now = next;
            } else {
                self.idle_steps += 1;
                assert!(
                    self.idle_steps < 10_000,
                    "the clock stands at {:?}: line waits for {:?}, device for {:?}, state {:?}",
                    self.now,
                    self.line_wait,
                    self.device_wait,
                    self.line.state(),
                );
            }
            while let Some(entry) = self.events.first_entry()
                && entry.key().0 <= self.now
            {
                let event = entry.remove();
                self.happen(event);
                self.pump();
            }
            let now = self.clock();
            if self.line_wait <= self.now {
                self.line.handle_timeout(now);
            }
            if self.device_wait <= self.now {
                self.device.handle_timeout(now);
            }
        }
    }

    pub(crate) fn run(&mut self, for_how_long: Duration) {
        self.run_until(self.now + for_how_long);
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// Connects; panics when that takes more than a second.
    pub(crate) fn ready(mut self) -> Self {
        self.run_ms(1000);
        assert_eq!(self.line.state(), State::Ready);
        self
    }

    pub(crate) fn submit(&mut self, command: Command) -> Result<CommandId, CommandError> {
        let now = self.clock();
        let id = self.line.submit(command, now);
        self.pump();
        id
    }

    pub(crate) fn set_with(&mut self, points: &[(u16, DpValue)], options: SetOptions) -> CommandId {
        self.submit(Command::Set { cid: None, dps: dps(points), options }).unwrap()
    }

    pub(crate) fn set(&mut self, dp: u16, value: impl Into<V>) -> CommandId {
        self.set_with(&[(dp, value.into().0)], SetOptions::default())
    }

    /// The outcome of a set, if it ended.
    pub(crate) fn outcome(&self, id: CommandId) -> Option<&Outcome> {
        match self.done.get(&id) {
            Some((_, Completion::Set(outcome))) => Some(outcome),
            Some((_, other)) => panic!("{other:?} is no outcome of a set"),
            None => None,
        }
    }

    /// When it ended.
    pub(crate) fn ended(&self, id: CommandId) -> Option<Duration> {
        self.done.get(&id).map(|(at, _)| *at)
    }

    /// What the device applied to a point, in order.
    pub(crate) fn applied(&self, dp: u16) -> Vec<String> {
        let writes = self.device.journal().writes();
        writes.iter().filter(|w| w.dp == DpId(dp)).map(|w| w.value.to_string()).collect()
    }
}

/// Short spelling of values.
pub(crate) struct V(pub(crate) DpValue);

impl From<bool> for V {
    fn from(b: bool) -> Self {
        Self(DpValue::Bool(b))
    }
}
impl From<i32> for V {
    fn from(n: i32) -> Self {
        Self(DpValue::Value(n.into()))
    }
}
impl From<&str> for V {
    fn from(t: &str) -> Self {
        Self(DpValue::text(t))
    }
}

pub(crate) fn dps(points: &[(u16, DpValue)]) -> Dps {
    points.iter().map(|(id, v)| (DpId(*id), v.clone())).collect()
}

pub(crate) fn v(value: impl Into<V>) -> DpValue {
    value.into().0
}
