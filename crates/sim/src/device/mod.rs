//! A virtual device without sockets, threads and clock: a model, and a protocol session per connection.
//!
//! Doors in: [`VirtualDevice::handle_connect`], [`handle_input`](VirtualDevice::handle_input),
//! [`handle_close`](VirtualDevice::handle_close), [`handle_timeout`](VirtualDevice::handle_timeout),
//! [`handle_ask`](VirtualDevice::handle_ask), [`press`](VirtualDevice::press) and [`fault`](VirtualDevice::fault).
//! Door out: [`poll_output`](VirtualDevice::poll_output), to be called after each of them until it says
//! [`Output::Wait`]. The tokio server is a thin driver of this type, and so is a scenario test on a virtual clock:
//!
//! ```
//! use core::time::Duration;
//! use landfall_proto::{Now, id::{DeviceId, LocalKey}, lan::Version};
//! use landfall_sim::device::{Admission, Output, VirtualDevice};
//! use landfall_sim::{kind::Kind, spec::DeviceSpec};
//!
//! let id = DeviceId::new("bf0123456789abcdefvx01")?;
//! let key = LocalKey::new("Kx7$v9Qm2#Lp4&Rz")?;
//! let now = Now::new(Duration::ZERO, 1_700_000_000);
//! let mut device = VirtualDevice::new(DeviceSpec::new(id, key, Version::V3_3, Kind::Plug), 7, now);
//! let Admission::Accepted(connection) = device.handle_connect(now) else { panic!("a fresh device is free") };
//! device.handle_input(connection, b"bytes of the client", now);
//! loop {
//!     match device.poll_output(now) {
//!         Output::Transmit { connection: _, frame: _ } => { /* to the client, in one piece */ }
//!         Output::Wait(_deadline) => break, // call handle_timeout then, or earlier
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cloud_side;
mod connection;
mod reports;
mod requests;
mod traffic;
mod voice;

use core::time::Duration;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

use landfall_proto::Now;
use landfall_proto::dp::Dps;
use landfall_proto::id::Cid;
use landfall_proto::lan::device::{DeviceConfig, DeviceEvent, DeviceSession};
use serde::Serialize;

use crate::cloud::{CloudClient, CloudOutput};
use crate::dice::Dice;
use crate::faults::{Fate, Fault, FaultDice};
use crate::journal::Journal;
use crate::model::{self, Cause, DeviceModel, Physical, PhysicalError, Surroundings};
use crate::news::News;
use crate::spec::DeviceSpec;
use connection::Connection;
use voice::Voice;

/// Names a connection of one device, never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

/// What becomes of a client that connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is served.
    Accepted(ConnectionId),
    /// The connection is accepted and closed at once: no place left, or the firmware is wedged (lan.md 4.5, 5.1).
    TurnedAway,
    /// Nobody listens: connection refused.
    Refused,
}

/// How the device's end of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly close (FIN).
    Close,
    /// RST.
    Reset,
    /// Nothing at all: the client finds out by itself. The driver keeps the socket and does not read from it.
    Silence,
}

/// What a device wants done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Write this frame to the connection, in one piece (lan.md 1.5).
    Transmit {
        /// The connection.
        connection: ConnectionId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// The connection is over; nothing that arrives on it reaches the device any more.
    End {
        /// The connection.
        connection: ConnectionId,
        /// How.
        ending: Ending,
    },
    /// From now on somebody listens (true) or connections are refused (false). A new device listens.
    Listen(bool),
    /// The device has another address from now on. A driver tells it by [`VirtualDevice::set_address`].
    Move,
    /// A datagram to broadcast, on [`port_of`](landfall_proto::lan::discovery::port_of) the device's version.
    Announce(Vec<u8>),
    /// A datagram to this address, port 7000.
    Answer {
        /// The asker's own word where it is.
        to: Ipv4Addr,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// The cloud side wants this done: [`CloudOutput::Open`], [`CloudOutput::Write`] or [`CloudOutput::Close`], no other.
    Cloud(CloudOutput),
    /// Something to tell those who watch.
    News(News),
    /// Nothing now. Call [`VirtualDevice::handle_timeout`] at this monotonic time at the latest.
    Wait(Duration),
}

/// The device itself, or a sub-device.
#[derive(Debug)]
struct Unit {
    cid: Option<Cid>,
    online: bool,
    model: Box<dyn DeviceModel>,
}

/// A device that was found wanting (wrong key, wrong order) closes after this long (sdk-observed 2, lan.md 4.5).
const FAULTED_SESSION: Duration = Duration::from_secs(1);
/// Requests of clients that left are remembered up to this number.
const MAX_ORPHANS: usize = 64;
/// How long a device takes to boot after a power cycle.
const BOOT: Duration = Duration::from_secs(2);

/// A virtual device.
#[derive(Debug)]
pub struct VirtualDevice {
    spec: DeviceSpec,
    config: DeviceConfig,
    units: Vec<Unit>,
    connections: Vec<Connection>,
    /// Slots still held by connections that ended in silence, until then.
    ghosts: Vec<Duration>,
    /// Requests of clients that left before they were served: what a device has taken in, it carries out.
    orphans: VecDeque<(Duration, ConnectionId, DeviceEvent)>,
    journal: Journal,
    dice: FaultDice,
    entropy: Dice,
    voice: Voice,
    last_connection: u64,
    ticked: Duration,
    down_until: Option<Duration>,
    wedged: bool,
    /// Whether somebody listens on the LAN.
    listening: bool,
    cloud: Option<Box<CloudClient>>,
    /// When the cloud side wants to be called.
    cloud_wait: Duration,
    /// Whether the cloud answered since power-on.
    answered: bool,
    ready: VecDeque<Output>,
}

impl VirtualDevice {
    /// A device that just started. Nonces and counters follow from `entropy_seed`; what it measures and which faults
    /// strike follow from the seed in `spec`, so that a demo can repeat its days without repeating its nonces.
    pub fn new(spec: DeviceSpec, entropy_seed: u64, now: Now) -> Self {
        let mut entropy = Dice::labelled(entropy_seed, spec.id.as_str());
        let config = DeviceConfig {
            reply_sequence: spec.reply_sequence,
            enforce_sequence: spec.habits.enforce_sequence,
            vendor_ack: spec.habits.vendor_ack,
            zero_key_trap: spec.habits.zero_key_trap,
            idle: spec.idle,
            clear_errors: spec.habits.clear_errors,
            first_s: u32::try_from(entropy.below(0xffff)).unwrap_or(0) + 1,
            ..DeviceConfig::new(spec.id.clone(), spec.key.clone(), spec.version)
        };
        let around = |label: &str, load, travel| Surroundings {
            seed: Dice::labelled(spec.seed, label).bits(),
            mains: spec.mains,
            load,
            travel,
        };
        let own = model::build(spec.kind, around(spec.id.as_str(), spec.load, spec.travel), now.mono);
        let mut units = vec![Unit { cid: None, online: true, model: own }];
        for child in &spec.children {
            let model =
                model::build(child.kind, around(child.cid.as_str(), child.load, child.travel), now.mono);
            units.push(Unit { cid: Some(child.cid.clone()), online: child.online, model });
        }
        let mut device = Self {
            config,
            units,
            connections: Vec::new(),
            ghosts: Vec::new(),
            orphans: VecDeque::new(),
            journal: Journal::new(spec.journal),
            dice: FaultDice::new(
                spec.faults.clone(),
                Dice::labelled(spec.seed, spec.id.as_str()).bits(),
                now.mono,
            ),
            voice: Voice::new(&mut entropy, now.mono),
            entropy,
            last_connection: 0,
            ticked: now.mono,
            down_until: None,
            wedged: false,
            listening: true,
            cloud: None,
            cloud_wait: Duration::MAX,
            answered: false,
            ready: VecDeque::new(),
            spec,
        };
        device.relisten();
        device
    }

    /// How it was set up.
    pub fn spec(&self) -> &DeviceSpec {
        &self.spec
    }

    /// The record of applied writes. Clones share it.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The points of the device or of a sub-device, hidden ones too; [`Self::queried`] leaves those out.
    pub fn points(&self, cid: Option<&Cid>) -> Option<&Dps> {
        self.units.iter().find(|u| u.cid.as_ref() == cid).map(|u| u.model.points().values())
    }

    /// What flowed through the device or a sub-device since it was made, in watt-hours, up to when it was last let
    /// [run](Self::catch_up): the truth to judge kWh by that others make of its reports. `None`: it measures none.
    pub fn flowed(&self, cid: Option<&Cid>) -> Option<f64> {
        self.units.iter().find(|u| u.cid.as_ref() == cid)?.model.flowed()
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.connections.len()
    }

    /// Whether it has power and has booted.
    pub fn is_up(&self) -> bool {
        self.down_until.is_none()
    }

    /// Whether somebody listens on the LAN.
    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// Whether every connection is closed at once until power is cycled.
    pub fn is_wedged(&self) -> bool {
        self.wedged
    }

    /// Tells the device its own address, for its announcements.
    pub fn set_address(&mut self, ip: Ipv4Addr) {
        self.voice.set_address(ip);
    }

    /// A client connects.
    pub fn handle_connect(&mut self, now: Now) -> Admission {
        if !self.listening {
            return Admission::Refused;
        }
        self.ghosts.retain(|until| *until > now.mono);
        if !self.wedged && self.dice.wedges(now.mono) {
            self.wedge();
        }
        let full = self.connections.len() + self.ghosts.len() >= self.spec.clients;
        if self.wedged || full {
            self.tell(News::TurnedAway { why: if self.wedged { "wedged" } else { "full" } });
            return Admission::TurnedAway;
        }
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
        self.catch_up(now);
        let session = DeviceSession::new(self.config.clone(), now, &mut self.entropy);
        self.connections.push(Connection::new(id, session, now.mono));
        self.tell(News::Connected { connection: id });
        Admission::Accepted(id)
    }

    /// Bytes from a client. A connection that is over takes none.
    pub fn handle_input(&mut self, connection: ConnectionId, bytes: &[u8], now: Now) {
        if let Some(c) = self.connections.iter_mut().find(|c| c.id == connection && !c.is_closing()) {
            c.session.handle_input(bytes, now);
            self.pump(now);
        }
    }

    /// The client closed its end, or the network did.
    pub fn handle_close(&mut self, connection: ConnectionId, now: Now) {
        let Some(c) = self.connections.iter_mut().find(|c| c.id == connection) else { return };
        if c.is_closing() {
            // It was told already why this connection is over.
            return self.end(connection, Ending::Close, None, now);
        }
        c.session.handle_close();
        self.pump(now);
    }

    /// Lets everything act that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(until) = self.down_until {
            if now.mono < until {
                return;
            }
            self.boot(now);
        }
        while let Some(fault) = self.dice.scheduled(now.mono) {
            self.fault(fault, now);
            if !self.is_up() {
                return;
            }
        }
        self.ghosts.retain(|until| *until > now.mono);
        for c in &mut self.connections {
            c.session.handle_timeout(now);
        }
        if self.next_tick().is_some_and(|at| now.mono >= at) {
            self.catch_up(now);
        }
        self.announce(now);
        self.with_cloud(now, |cloud| cloud.handle_timeout(now.mono));
        self.pump(now);
    }

    /// The next thing to do. Call until it returns [`Output::Wait`].
    pub fn poll_output(&mut self, now: Now) -> Output {
        if self.ready.is_empty() {
            self.pump(now);
            self.with_cloud(now, |_| ());
        }
        self.ready.pop_front().unwrap_or_else(|| Output::Wait(self.deadline()))
    }

    /// Something happens to the device, or to a sub-device, in the room where it is.
    ///
    /// # Errors
    /// No such sub-device, button or point, or a value that does not fit.
    pub fn press(&mut self, cid: Option<&Cid>, what: &Physical, now: Now) -> Result<(), PhysicalError> {
        if *what == Physical::PowerCycle {
            self.wedged = false;
            self.fault(Fault::Reboot(BOOT), now);
            return Ok(());
        }
        if *what == Physical::Reset {
            return self.press_reset(now);
        }
        self.catch_up(now);
        let Some(at) = self.unit_at(cid) else {
            return Err(PhysicalError::NoSubDevice(cid.map(ToString::to_string).unwrap_or_default()));
        };
        what.act(&mut *self.units[at].model, now.mono)?;
        self.report(at, Cause::Physical, now);
        self.pump(now);
        Ok(())
    }

    /// Triggers a fault.
    pub fn fault(&mut self, fault: Fault, now: Now) {
        match fault {
            Fault::Drop => self.dice.force(Fate::Drop),
            Fault::Delay(by) => self.dice.force(Fate::Delay(by)),
            Fault::Reset => {
                self.tell(News::Fault { fault: "reset", connection: None });
                self.end_all(Ending::Reset, "reset by the device", now);
            }
            Fault::HalfOpen => {
                self.tell(News::Fault { fault: "half-open", connection: None });
                self.end_all(Ending::Silence, "half open", now);
            }
            Fault::Reboot(down) => {
                self.tell(News::Fault { fault: "reboot", connection: None });
                self.catch_up(now);
                self.end_all(Ending::Reset, "reboot", now);
                self.ghosts.clear();
                self.orphans.clear();
                self.down_until = Some(now.mono + down);
                self.answered = false;
                self.with_cloud(now, |cloud| cloud.power_off(now.mono));
                self.relisten();
                self.tell(News::Down);
            }
            Fault::Move => {
                self.tell(News::Fault { fault: "move", connection: None });
                self.end_all(Ending::Silence, "moved to another address", now);
                self.ready.push_back(Output::Move);
                self.with_cloud(now, |cloud| cloud.change_address(now.mono));
                self.voice.speak_soon(now.mono);
            }
            Fault::Wedge => self.wedge(),
        }
        if self.is_up() {
            self.pump(now);
        }
    }

    fn wedge(&mut self) {
        self.wedged = true;
        self.tell(News::Fault { fault: "wedge", connection: None });
    }

    fn boot(&mut self, now: Now) {
        self.down_until = None;
        self.ticked = now.mono;
        for unit in &mut self.units {
            unit.model.power_up(now.mono);
            unit.model.points_mut().take_changes();
        }
        self.relisten();
        self.tell(News::Up { address: None });
        self.voice.speak_soon(now.mono);
        self.with_cloud(now, |cloud| cloud.power_on(now.mono));
    }

    fn tell(&mut self, news: News) {
        self.ready.push_back(Output::News(news));
    }

    fn unit_at(&self, cid: Option<&Cid>) -> Option<usize> {
        self.units.iter().position(|u| u.cid.as_ref() == cid)
    }
}
