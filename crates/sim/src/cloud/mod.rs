//! The cloud side of a virtual device: what stock firmware of generations A, B and C does with the cloud that it finds
//! (cloud.md), as a state machine without sockets, clock and runtime.
//!
//! | module | does |
//! |---|---|
//! | [`spec`] | what a device has from the factory, and what an app tells it |
//! | [`profile`] | the generations, as data |
//! | [`flash`], [`told`], [`timers`], [`zone`] | what survives a power cut |
//! | `boot` | the steps from power-on to the steady state |
//! | [`calls`], `exchange`, `answers`, `http` | calls of the gateway and the name service |
//! | `session`, `inbound`, [`mqtt_codec`] | MQTT |
//! | `ticking` | timers at their minute |
//! | `upgrade` | firmware updates |
//! | [`place`] | where it looks for its cloud, and how it speaks there |
//! | [`dial`], [`driver`], `tls` | the same on real connections |
//!
//! Doors in: [`CloudClient::handle_opened`], [`handle_failed`](CloudClient::handle_failed),
//! [`handle_input`](CloudClient::handle_input), [`handle_closed`](CloudClient::handle_closed),
//! [`handle_timeout`](CloudClient::handle_timeout), [`pair`](CloudClient::pair),
//! [`press_reset`](CloudClient::press_reset), [`power_off`](CloudClient::power_off),
//! [`power_on`](CloudClient::power_on), [`report`](CloudClient::report). Door out:
//! [`poll_output`](CloudClient::poll_output), to be called after each of them until it says [`CloudOutput::Wait`].
//!
//! A client knows what time it is from answers alone; until then it counts from power-on (cloud.md 2.6).

mod answers;
mod boot;
pub mod calls;
pub mod dial;
pub mod driver;
mod exchange;
pub mod flash;
mod http;
mod inbound;
pub mod mqtt_codec;
mod news;
mod output;
pub mod place;
pub mod profile;
mod run;
mod session;
pub mod spec;
mod ticking;
pub mod timers;
mod tls;
pub mod told;
mod upgrade;
pub mod zone;

use core::time::Duration;
use std::collections::VecDeque;

use landfall_proto::Entropy as _;
use landfall_proto::id::DeviceId;
use landfall_proto::psk::{Identity, PREFIX_ESP8266, Psk};

pub use dial::{Dial, Dialled, Names, Sockets, Stream};
pub use news::CloudNews;
pub use output::{CloudOutput, Effect, LineId, Who};
pub use place::{Place, PskLogin, Transport};
pub use profile::{Generation, Profile};
pub use spec::{CloudSpec, PairError, Pairing, PskMode};

use crate::dice::Dice;
use crate::journal::{Journal, Life, Line};
use flash::{Flash, Registration};
use run::Run;

/// Whether the client runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Off,
    On,
    /// A sleeper, until then.
    Asleep(Duration),
}

/// The cloud side of one device.
#[derive(Debug)]
pub struct CloudClient {
    spec: CloudSpec,
    who: Who,
    profile: &'static Profile,
    journal: Journal,
    flash: Flash,
    /// The 16 bytes at the start of its PSK identities.
    prefix: [u8; 16],
    dice: Dice,
    power: Power,
    run: Run,
    last_line: u64,
    ready: VecDeque<CloudOutput>,
}

impl CloudClient {
    /// A device whose power is switched on now. Chance (back-off, PSK prefixes) follows from `seed`.
    pub fn new(spec: CloudSpec, who: Who, journal: Journal, seed: u64, now: Duration) -> Self {
        let mut dice = Dice::labelled(seed, "cloud");
        let registration = spec.sec_key.clone().map(|sec_key| Registration {
            id: who.id.clone(),
            sec_key,
            local_key: who.key.clone(),
            told: None,
            schema_id: String::new(),
        });
        let flash = Flash {
            freshly_reset: registration.is_none(),
            registration,
            former_id: None,
            psk_key: spec.psk_key.clone().filter(|_| spec.psk == PskMode::Type2),
            pairing: spec.pairing.clone(),
            region: spec.pairing.as_ref().map_or_else(|| "AZ".to_owned(), |p| p.region.clone()),
            endpoints: flash::Endpoints::default(),
            zone: zone::Zone::default(),
            timers: timers::Timers::default(),
            software: spec.software.clone(),
            told_software: None,
        };
        let mut prefix = *PREFIX_ESP8266;
        let profile = Profile::of(spec.generation);
        if !profile.hashes_device_id {
            dice.fill(&mut prefix);
        }
        let mut client = Self {
            spec,
            who,
            profile,
            journal,
            flash,
            prefix,
            dice,
            power: Power::On,
            run: Run::new(now),
            last_line: 0,
            ready: VecDeque::new(),
        };
        client.power_on(now);
        client
    }

    /// How it was set up.
    pub fn spec(&self) -> &CloudSpec {
        &self.spec
    }

    /// What survives a power cut.
    pub fn flash(&self) -> &Flash {
        &self.flash
    }

    /// Whether it has an owner.
    pub fn is_activated(&self) -> bool {
        self.flash.registration.is_some()
    }

    /// Whether MQTT is up.
    pub fn is_online(&self) -> bool {
        self.run.session.is_up()
    }

    /// Whether it sleeps, or its power is off.
    pub fn is_awake(&self) -> bool {
        self.power == Power::On
    }

    /// Its id: that of its activation, else the factory's.
    pub fn id(&self) -> &DeviceId {
        self.flash.registration.as_ref().map_or(&self.who.id, |r| &r.id)
    }

    /// The schema that it was told at its activation, if it was told one.
    pub fn told(&self) -> Option<&told::Told> {
        self.flash.registration.as_ref().and_then(|r| r.told.as_ref())
    }

    /// An app pairs the device: it knows the network, a region and a token from now on.
    ///
    /// # Errors
    /// It has an owner already.
    pub fn pair(&mut self, pairing: Pairing, now: Duration) -> Result<(), PairError> {
        if self.is_activated() {
            return Err(PairError::Activated);
        }
        self.flash.region.clone_from(&pairing.region);
        self.flash.pairing = Some(pairing);
        self.run.boot = boot::Boot::default();
        if self.power != Power::Off {
            self.wake(now);
        }
        self.pump(now);
        Ok(())
    }

    /// Somebody holds the button until the device forgets its owner. It tells the cloud, if it can reach it.
    pub fn press_reset(&mut self, now: Duration) {
        if !self.is_activated() {
            self.flash.pairing = None;
            return self.run.boot = boot::Boot::default();
        }
        if self.power == Power::On {
            self.ask_first(calls::Ask::Reset);
            self.pump(now);
        } else {
            self.forget(false, Life::Reset { by: Line::Room, wipe: false }, now);
        }
    }

    /// Power is cut. Connections end without a word: the other side finds out by itself.
    pub fn power_off(&mut self, now: Duration) {
        self.ready.retain(|output| !matches!(output, CloudOutput::Write { .. }));
        self.hang_up_all();
        if self.run.session.is_up() {
            self.ready.push_back(CloudOutput::Effect(Effect::Online(false)));
        }
        self.power = Power::Off;
        self.run = Run::new(now);
    }

    /// Power is back; what is in flash is still there.
    pub fn power_on(&mut self, now: Duration) {
        self.run = Run::new(now);
        self.power = Power::On;
        self.start_lingering(now);
        self.pump(now);
    }

    /// A connection that was to be opened stands, with TLS where that was wanted.
    pub fn handle_opened(&mut self, line: LineId, now: Duration) {
        if self.run.session.line() == Some(line) {
            self.log_in(now);
        } else {
            self.send_request(line, now);
        }
        self.pump(now);
    }

    /// A connection could not be opened.
    pub fn handle_failed(&mut self, line: LineId, why: &str, now: Duration) {
        if self.run.session.line() == Some(line) {
            self.lose_mqtt(why, now);
        } else {
            self.fail_exchange(line, &exchange::CallError::Connection(why.to_owned()), now);
        }
        self.pump(now);
    }

    /// Bytes from the other side.
    pub fn handle_input(&mut self, line: LineId, bytes: &[u8], now: Duration) {
        if self.run.session.line() == Some(line) {
            self.hear_mqtt(bytes, now);
        } else {
            self.hear_http(line, bytes, now);
        }
        self.pump(now);
    }

    /// The other side closed the connection, or it broke.
    pub fn handle_closed(&mut self, line: LineId, now: Duration) {
        if self.run.session.line() == Some(line) {
            self.lose_mqtt("the broker closed the connection", now);
        } else {
            self.end_http(line, now);
        }
        self.pump(now);
    }

    /// Lets everything act that is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.power {
            Power::Off => return,
            Power::Asleep(until) if now < until => return,
            Power::Asleep(_) => self.wake(now),
            Power::On => {}
        }
        self.expire_exchange(now);
        self.expire_session(now);
        self.run_periodic(now);
        self.run_timers(now);
        self.doze(now);
        self.pump(now);
    }

    /// The next thing to do. Call until it returns [`CloudOutput::Wait`].
    pub fn poll_output(&mut self, now: Duration) -> CloudOutput {
        if self.ready.is_empty() {
            self.pump(now);
        }
        self.ready.pop_front().unwrap_or_else(|| CloudOutput::Wait(self.deadline()))
    }

    /// Moves calls and steps along.
    fn pump(&mut self, now: Duration) {
        if self.power == Power::On {
            self.step(now);
            self.start_exchange(now);
        }
    }

    fn deadline(&self) -> Duration {
        match self.power {
            Power::Off => return Duration::MAX,
            Power::Asleep(until) => return until,
            Power::On => {}
        }
        [
            self.run.http.deadline(),
            self.run.session.deadline(),
            self.run.boot.deadline(),
            self.run.next_count,
            self.run.next_silent,
            self.next_timer(),
            self.run.linger,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Duration::MAX)
    }

    fn tell(&mut self, news: CloudNews) {
        self.ready.push_back(CloudOutput::News(news));
    }

    fn effect(&mut self, effect: Effect) {
        self.ready.push_back(CloudOutput::Effect(effect));
    }

    fn open(&mut self, place: Place) -> LineId {
        self.last_line += 1;
        let line = LineId(self.last_line);
        self.ready.push_back(CloudOutput::Open { line, place });
        line
    }

    fn write(&mut self, line: LineId, bytes: Vec<u8>) {
        self.ready.push_back(CloudOutput::Write { line, bytes });
    }

    fn hang_up(&mut self, line: LineId) {
        self.ready.push_back(CloudOutput::Close { line });
    }

    fn hang_up_all(&mut self) {
        let lines: Vec<LineId> = self.run.http.lines().chain(self.run.session.line()).collect();
        lines.into_iter().for_each(|line| self.hang_up(line));
    }

    /// How it protects connections that are not to go in clear (cloud.md 3.1).
    fn transport(&self) -> Transport {
        if self.spec.psk == PskMode::Off {
            return Transport::Plain;
        }
        let uuid = self.spec.uuid.as_str();
        Transport::Psk(match &self.flash.psk_key {
            Some(key) => {
                let identity = Identity::type_2(&self.prefix, uuid);
                PskLogin { identity, key: Some(Psk::of_key(key)) }
            }
            None => {
                let name = if self.profile.hashes_device_id { self.who.id.as_str() } else { uuid };
                let identity = Identity::type_1(&self.prefix, name, &self.spec.auth_key);
                PskLogin { identity, key: None }
            }
        })
    }

    /// Forgets the owner, and waits to be paired.
    fn forget(&mut self, wipe: bool, why: Life, now: Duration) {
        self.hang_up_all();
        if self.run.session.is_up() {
            self.effect(Effect::Online(false));
        }
        let clock = self.run.clock;
        self.run = Run { clock, ..Run::new(now) };
        self.flash.freshly_reset = matches!(why, Life::Reset { by: Line::Room, .. });
        self.flash.forget(wipe, self.spec.psk_key.clone().filter(|_| self.spec.psk == PskMode::Type2));
        self.tell(CloudNews::Forgot { why: why.to_string() });
        self.journal.life(now, why);
        self.effect(Effect::Forgot);
        if self.who.sleeps && self.power == Power::On {
            self.sleep(now);
        }
    }
}
