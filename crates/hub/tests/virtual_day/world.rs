//! Virtual devices, their lines and the brain on one virtual clock.
//!
//! Nothing here adds up energy: the devices do, each for itself, and the brain does from what they say.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use landfall_hub::core::{Action, Core, Effect, Known, Moment, Settings};
use landfall_hub::model::{EnergyView, Facts, Line, LineState, Origin, Seq, What};
use landfall_hub::profile::{Definitions, KnownSchemas};
use landfall_hub::store::{Batch, EnergyRow};
use landfall_proto::Now;
use landfall_proto::dp::Dps;
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::lan::session::{self, Config, Event, Session, Timing};
use landfall_proto::mqtt::content::Report;
use landfall_proto::mqtt::envelope::Sealed;
use landfall_proto::mqtt::{Codec, Content, Envelope, Message, Stamp};
use landfall_sim::device::{Admission, ConnectionId, Output, VirtualDevice};
use landfall_sim::dice::Dice;
use landfall_sim::model::Physical;
use landfall_sim::news::News;
use landfall_sim::spec::DeviceSpec;

/// How long a message is on its way over the cloud, at most.
pub(crate) const CLOUD_MS: u64 = 2_000;

/// A plug that somebody listens to measures this often.
const SAMPLE: Duration = Duration::from_secs(3);

/// What happens to a device's lines, and to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// A line comes up.
    Up(Line),
    /// A line is dead from now on, and nobody knows.
    Die(Line),
    /// It is found to be down.
    Found(Line),
    /// Somebody presses the button: the relay turns.
    Press,
}

/// What the clock calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    /// The device wants to act.
    Device,
    /// A message of the cloud line arrives: its place among those under way.
    Message(u64),
    /// The script goes on.
    Turn(Turn),
}

/// One device with its lines.
pub(crate) struct Unit {
    pub(crate) device: VirtualDevice,
    pub(crate) id: DeviceId,
    codec: Codec,
    envelope: Envelope,
    lan: Option<(Session, ConnectionId)>,
    /// The connection is dead and nobody knows yet.
    lan_dead: bool,
    cloud: bool,
    cloud_dead: bool,
    /// When it was last made to measure for its cloud line, of which the simulator does not know.
    measured: Duration,
    /// A line is dead that the hub believes to be up: what had been measured when it died.
    pub(crate) unseen: Option<i64>,
    sent: u32,
    /// Messages on their way over the cloud.
    under_way: Vec<(u64, Vec<u8>)>,
    due: Duration,
}

impl Unit {
    /// When it is to measure because it has a cloud line and no other. The simulator lets a device that nobody listens to
    /// measure in leaps of half a minute, and of this line it does not know.
    fn measures_for_cloud(&self) -> Option<Duration> {
        (self.cloud && self.lan.is_none()).then_some(self.measured + SAMPLE)
    }

    /// What flowed through it until it measured last, in milliwatt hours.
    #[allow(clippy::cast_possible_truncation)] // far below
    fn flowed(&self) -> i64 {
        (self.device.flowed(None).unwrap() * 1_000.0).round() as i64
    }
}

/// The home.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) units: Vec<Unit>,
    pub(crate) now: Duration,
    start_ms: u64,
    calls: BinaryHeap<Reverse<(Duration, usize, Call)>>,
    dice: Dice,
    effects: Vec<Effect>,
    /// What the brain told of energy, for the store.
    pub(crate) told: Batch,
    /// Messages and frames that were opened.
    pub(crate) reports: [u64; 2],
    pub(crate) handovers: u64,
    next_message: u64,
}

fn facts(spec: &DeviceSpec, id: &DeviceId) -> Facts {
    let product = landfall_sim::product::Product::of(spec.kind);
    Facts {
        product_id: Some(ProductId::new(product.id).unwrap()),
        category: Some(product.category.to_owned()),
        version: Some(spec.version),
        has_key: true,
        ..Facts::new(id.clone(), spec.name.clone())
    }
}

impl World {
    /// A home of these devices that begins at a time, none of its lines up.
    pub(crate) fn new(zone: &TimeZone, start_ms: u64, specs: Vec<DeviceSpec>) -> Self {
        let settings =
            Settings { grace: Duration::from_secs(20), zone: zone.clone(), price_milli: None, last: Seq(0) };
        // The brain's clock need not begin where the devices' does.
        let mut world = Self {
            core: Core::new(settings),
            units: Vec::new(),
            now: Duration::ZERO,
            start_ms,
            calls: BinaryHeap::new(),
            dice: Dice::new(11),
            effects: Vec::new(),
            told: Batch::default(),
            reports: [0; 2],
            handovers: 0,
            next_message: 0,
        };
        let definitions = Definitions::built_in();
        let mut known = Vec::new();
        for (n, mut spec) in specs.into_iter().enumerate() {
            // Heartbeats of a day would prove nothing here.
            spec.idle = Duration::from_hours(100);
            let now = world.clock();
            let device = VirtualDevice::new(spec.clone(), n as u64, now);
            let heard = device.points(None).unwrap().clone();
            let facts = facts(&spec, &spec.id);
            let schema = landfall_sim::product::Product::of(spec.kind).schema();
            let schemas = KnownSchemas { mapping: Some(schema.clone()), ..KnownSchemas::default() };
            let definition = definitions.of(&facts, &schemas, &heard);
            assert!(definition.metering.is_some(), "{} is no meter by {definition:?}", spec.kind);
            known.push(Known { facts: Arc::new(facts), definition });
            world.units.push(Unit {
                id: spec.id.clone(),
                codec: Codec::new(spec.key.expose()),
                envelope: [Envelope::V2_1, Envelope::V2_2, Envelope::V2_3][n % 3],
                device,
                lan: None,
                lan_dead: false,
                cloud: false,
                cloud_dead: false,
                measured: Duration::ZERO,
                unseen: None,
                sent: 0,
                under_way: Vec::new(),
                due: Duration::MAX,
            });
        }
        world.act(Action::Devices(known));
        for n in 0..world.units.len() {
            world.settle(n);
        }
        world
    }

    /// Puts something into the script.
    pub(crate) fn plan(&mut self, at: Duration, unit: usize, turn: Turn) {
        self.calls.push(Reverse((at, unit, Call::Turn(turn))));
    }

    fn clock(&self) -> Now {
        Now::new(self.now, self.unix_ms() / 1_000)
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        self.start_ms + u64::try_from(self.now.as_millis()).unwrap()
    }

    fn act(&mut self, action: Action) {
        // The brain's own monotonic clock began earlier.
        let moment = Moment { mono: self.now + Duration::from_secs(5_000), unix_ms: self.unix_ms() };
        self.core.apply(action, moment, &mut self.effects);
        for effect in self.effects.drain(..) {
            let Effect::Publish(change) = effect else { continue };
            match (&change.what, &change.device) {
                (What::Energy(view), Some(device)) => {
                    let (device, at_ms, total) = (Arc::clone(device), change.at_ms, view.total);
                    self.told.energy.push(EnergyRow { device, at_ms, total });
                    self.told.last = change.seq;
                }
                (What::EnergyNote { code, text }, device) => match *code {
                    "handover" => self.handovers += 1,
                    // While no line is up, watts of a device that has nothing else are unknown.
                    "gap" => {}
                    other => panic!("{device:?}: {other}: {text}"),
                },
                _ => {}
            }
        }
    }

    fn line(&mut self, unit: usize, line: Line, state: LineState) {
        let device = self.units[unit].id.clone();
        self.act(Action::Line { device, line, state, why: None, address: None });
    }

    /// Lets everything happen up to a time.
    pub(crate) fn run(&mut self, until: Duration) {
        let brain = Duration::from_secs(5_000);
        loop {
            let tick = self.core.next_wake().map(|at| at.saturating_sub(brain).max(self.now));
            let call = self.calls.peek().map(|Reverse((at, ..))| *at);
            let Some(next) = tick.into_iter().chain(call).min().filter(|at| *at <= until) else { break };
            self.now = next;
            if call == Some(next) {
                if let Some(Reverse((at, unit, call))) = self.calls.pop() {
                    self.call(at, unit, call);
                }
            } else {
                self.act(Action::Tick);
            }
        }
        self.now = until;
    }

    /// Lets all devices measure up to now: what flowed is known to the moment.
    pub(crate) fn catch_up(&mut self) {
        let now = self.clock();
        for n in 0..self.units.len() {
            self.units[n].device.catch_up(now);
            self.settle(n);
        }
    }

    fn call(&mut self, at: Duration, n: usize, call: Call) {
        let now = self.clock();
        match call {
            // It was called earlier meanwhile, and wants another time.
            Call::Device if self.units[n].due != at => return,
            Call::Device => {
                let unit = &mut self.units[n];
                unit.device.handle_timeout(now);
                if unit.measures_for_cloud().is_some_and(|at| at <= self.now) {
                    unit.measured = self.now;
                    unit.device.catch_up(now);
                }
            }
            Call::Message(number) => {
                let unit = &mut self.units[n];
                let place = unit.under_way.iter().position(|(m, _)| *m == number).unwrap();
                let (_, payload) = unit.under_way.remove(place);
                self.take_message(n, &payload);
            }
            Call::Turn(Turn::Up(Line::Lan)) => {
                self.units[n].device.catch_up(now);
                self.settle(n);
                self.connect(n, now);
            }
            Call::Turn(Turn::Up(Line::Cloud)) => {
                (self.units[n].cloud, self.units[n].cloud_dead) = (true, false);
                self.line(n, Line::Cloud, LineState::Up);
            }
            Call::Turn(Turn::Die(line)) => {
                let unit = &mut self.units[n];
                unit.unseen = Some(unit.flowed());
                match line {
                    Line::Lan => unit.lan_dead = true,
                    Line::Cloud => unit.cloud_dead = true,
                }
            }
            Call::Turn(Turn::Found(Line::Lan)) => {
                self.units[n].unseen = None;
                if let Some((_, connection)) = self.units[n].lan.take() {
                    self.units[n].device.handle_close(connection, now);
                }
                self.line(n, Line::Lan, LineState::Down);
            }
            Call::Turn(Turn::Found(Line::Cloud)) => {
                (self.units[n].cloud, self.units[n].unseen) = (false, None);
                self.line(n, Line::Cloud, LineState::Down);
            }
            Call::Turn(Turn::Press) => self.units[n].device.press(None, &Physical::Button(1), now).unwrap(),
        }
        self.settle(n);
    }

    fn connect(&mut self, n: usize, now: Now) {
        let unit = &mut self.units[n];
        let spec = unit.device.spec();
        let config = Config {
            device_id: spec.id.clone(),
            key: spec.key.clone(),
            version: spec.version,
            device22: false,
            device22_points: Vec::new(),
            timing: Timing { heartbeat: Duration::from_hours(100), ..Timing::default() },
        };
        let session = Session::new(Arc::new(config), now, &mut self.dice);
        let Admission::Accepted(connection) = unit.device.handle_connect(now) else {
            panic!("{} takes no connection", unit.id);
        };
        (unit.lan, unit.lan_dead) = (Some((session, connection)), false);
        self.line(n, Line::Lan, LineState::Up);
    }

    /// Carries bytes between a device and whoever listens until both are still.
    fn settle(&mut self, n: usize) {
        let now = self.clock();
        loop {
            let mut moving = false;
            let mut heard = Vec::new();
            let unit = &mut self.units[n];
            if let Some((session, connection)) = unit.lan.as_mut().filter(|_| !unit.lan_dead) {
                loop {
                    match session.poll_output(now, &mut self.dice) {
                        session::Output::Transmit(bytes) => {
                            moving = true;
                            unit.device.handle_input(*connection, &bytes, now);
                        }
                        session::Output::Event(Event::Report { report, origin }) => {
                            heard.push((report.dps, origin));
                        }
                        session::Output::Event(Event::Closed(why)) => panic!("{}: {why}", unit.id),
                        session::Output::Event(_) => {}
                        session::Output::Wait(_) => break,
                    }
                }
            }
            for (dps, origin) in heard {
                self.reports[0] += 1;
                self.hear(n, Line::Lan, origin, dps);
            }
            let due = loop {
                match self.units[n].device.poll_output(now) {
                    Output::Wait(due) => break due,
                    Output::Transmit { connection, frame } => {
                        let unit = &mut self.units[n];
                        if let Some((session, ours)) = unit.lan.as_mut().filter(|_| !unit.lan_dead)
                            && *ours == connection
                        {
                            moving = true;
                            session.handle_input(&frame, now);
                        }
                    }
                    Output::News(News::Changed { dps, .. }) => self.publish(n, dps),
                    _ => {}
                }
            };
            if !moving {
                let due = self.units[n].measures_for_cloud().map_or(due, |at| at.min(due));
                if due != self.units[n].due {
                    self.units[n].due = due;
                    self.calls.push(Reverse((due.max(self.now), n, Call::Device)));
                    self.units[n].due = due.max(self.now);
                }
                return;
            }
        }
    }

    /// The device seals what changed and sends it to its cloud.
    fn publish(&mut self, n: usize, dps: Dps) {
        let t = self.unix_ms() / 1_000;
        let unit = &mut self.units[n];
        if !unit.cloud || unit.cloud_dead {
            return;
        }
        unit.sent += 1;
        let report = Report { dev_id: Some(unit.id.clone()), dps, ..Report::default() };
        let message = Message { s: Some(unit.sent.into()), ..Message::new(t, Content::Report(report)) };
        let (json, mut payload) = (message.to_json().unwrap(), Vec::new());
        unit.codec
            .seal(unit.envelope, Stamp::device(unit.sent), &json, &mut self.dice, &mut payload)
            .unwrap();
        self.next_message += 1;
        unit.under_way.push((self.next_message, payload));
        let arrives = self.now + Duration::from_millis(self.dice.below(CLOUD_MS));
        self.calls.push(Reverse((arrives, n, Call::Message(self.next_message))));
    }

    fn take_message(&mut self, n: usize, payload: &[u8]) {
        let mut scratch = Vec::new();
        let sealed = Sealed::parse(payload, &mut scratch).unwrap();
        let opened = self.units[n].codec.open(sealed).unwrap();
        let Content::Report(report) = Message::parse(opened.json).unwrap().content else {
            panic!("a device reports nothing else")
        };
        self.reports[1] += 1;
        self.hear(n, Line::Cloud, Origin::Pushed, report.dps);
    }

    fn hear(&mut self, n: usize, line: Line, origin: Origin, dps: Dps) {
        let device = self.units[n].id.clone();
        self.act(Action::Heard { device, cid: None, line, origin, dps: Arc::new(dps), device_ms: None });
    }

    /// What flowed through each device until it measured last, in milliwatt hours.
    pub(crate) fn flowed(&self) -> Vec<i64> {
        self.units.iter().map(Unit::flowed).collect()
    }

    pub(crate) fn energy(&self, n: usize) -> EnergyView {
        self.core.view(&self.units[n].id).unwrap().energy.unwrap()
    }
}
