//! A device and its clients on a virtual clock.

use landfall_proto::Now;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::session::{
    Config, Event, Output as ClientOutput, Request, RequestId, Session, Timing,
};
use landfall_proto::lan::{Command, Version};
use landfall_sim::device::{Admission, ConnectionId, Ending, Output, VirtualDevice};
use landfall_sim::dice::Dice;
use landfall_sim::kind::Kind;
use landfall_sim::spec::DeviceSpec;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const MS: fn(u64) -> Duration = Duration::from_millis;
pub(crate) const S: fn(u64) -> Duration = Duration::from_secs;

pub(crate) fn at(mono: Duration) -> Now {
    Now::new(mono, 1_700_000_000 + mono.as_secs())
}

pub(crate) fn spec(version: Version, kind: Kind) -> DeviceSpec {
    let id = DeviceId::new("bf0123456789abcdefvx01").unwrap();
    DeviceSpec::new(id, LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap(), version, kind)
}

pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) ended: Option<Ending>,
    pub(crate) events: Vec<Event>,
    /// Commands of the frames that arrived, from their heads.
    pub(crate) commands: Vec<Command>,
}

/// A device and its clients; frames arrive at once.
pub(crate) struct World {
    pub(crate) device: VirtualDevice,
    pub(crate) clients: Vec<Client>,
    pub(crate) dice: Dice,
    pub(crate) now: Duration,
    pub(crate) outputs: Vec<Output>,
}

impl World {
    pub(crate) fn new(spec: DeviceSpec) -> Self {
        let device = VirtualDevice::new(spec, 3, at(Duration::ZERO));
        Self { device, clients: Vec::new(), dice: Dice::new(5), now: Duration::ZERO, outputs: Vec::new() }
    }

    pub(crate) fn connect(&mut self) -> usize {
        let now = at(self.now);
        let spec = self.device.spec();
        let config = Config {
            device_id: spec.id.clone(),
            key: spec.key.clone(),
            version: spec.version,
            device22: false,
            device22_points: vec![DpId(1), DpId(9)],
            timing: Timing::default(),
        };
        let session = Session::new(Arc::new(config), now, &mut self.dice);
        let connection = match self.device.handle_connect(now) {
            Admission::Accepted(id) => Some(id),
            Admission::TurnedAway | Admission::Refused => None,
        };
        let client = Client { session, connection, ended: None, events: Vec::new(), commands: Vec::new() };
        self.clients.push(client);
        self.settle();
        self.clients.len() - 1
    }

    /// Lets everything act that can act now.
    pub(crate) fn settle(&mut self) {
        let now = at(self.now);
        let mut moving = true;
        while moving {
            moving = false;
            for client in &mut self.clients {
                loop {
                    match client.session.poll_output(now, &mut self.dice) {
                        ClientOutput::Transmit(bytes) => {
                            moving = true;
                            if let Some(connection) = client.connection {
                                self.device.handle_input(connection, &bytes, now);
                            }
                        }
                        ClientOutput::Event(event) => client.events.push(event),
                        ClientOutput::Wait(_) => break,
                    }
                }
            }
            loop {
                let output = self.device.poll_output(now);
                match &output {
                    Output::Wait(_) => break,
                    Output::Transmit { connection, frame } => {
                        moving = true;
                        if let Some(c) = self.clients.iter_mut().find(|c| c.connection == Some(*connection)) {
                            let offset = if frame.starts_with(&[0, 0, 0x66, 0x99]) { 10 } else { 8 };
                            let command = frame[offset..offset + 4].try_into().unwrap();
                            c.commands.push(Command(u32::from_be_bytes(command)));
                            c.session.handle_input(frame, now);
                        }
                    }
                    Output::End { connection, ending } => {
                        moving = true;
                        if let Some(c) = self.clients.iter_mut().find(|c| c.connection == Some(*connection)) {
                            c.connection = None;
                            c.ended = Some(*ending);
                            if *ending != Ending::Silence {
                                c.session.handle_close(now);
                            }
                        }
                    }
                    _ => {}
                }
                self.outputs.push(output);
            }
        }
    }

    /// When the device wants to be called next.
    pub(crate) fn deadline(&mut self) -> Duration {
        self.settle();
        match self.device.poll_output(at(self.now)) {
            Output::Wait(deadline) => deadline,
            other => panic!("not settled: {other:?}"),
        }
    }

    /// Runs the clock to `until`, stopping at each of the device's deadlines and each half second (for the clients).
    /// Returns how often the device was called.
    pub(crate) fn run(&mut self, until: Duration) -> usize {
        let mut calls = 0;
        loop {
            self.settle();
            if self.now >= until {
                return calls;
            }
            let deadline = self.deadline();
            self.now = deadline.max(self.now).min(self.now + MS(500)).min(until);
            if self.now >= deadline {
                calls += 1;
                self.device.handle_timeout(at(self.now));
            }
            for client in &mut self.clients {
                client.session.handle_timeout(at(self.now));
            }
        }
    }

    pub(crate) fn request(&mut self, client: usize, request: Request) -> RequestId {
        let id = self.clients[client].session.request(request, at(self.now));
        self.settle();
        id
    }

    pub(crate) fn set(&mut self, client: usize, dps: &str) -> RequestId {
        self.request(client, Request::Set { cid: None, dps: serde_json::from_str(dps).unwrap() })
    }

    /// How a request ended: `Some(true)` well, `Some(false)` badly, `None` not yet.
    pub(crate) fn ended_well(&self, client: usize, id: RequestId) -> Option<bool> {
        self.clients[client].events.iter().find_map(|e| match e {
            Event::Done { id: done, result } if *done == id => Some(result.is_ok()),
            _ => None,
        })
    }

    pub(crate) fn reports(&self, client: usize) -> Vec<String> {
        let shown = |dps: &Dps| serde_json::to_string(dps).unwrap();
        self.clients[client]
            .events
            .iter()
            .filter_map(|e| match e {
                Event::Report { report, .. } => Some(shown(&report.dps)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn announcements(&self) -> usize {
        self.outputs.iter().filter(|o| matches!(o, Output::Announce(_))).count()
    }

    pub(crate) fn close(&mut self, client: usize) {
        if let Some(connection) = self.clients[client].connection.take() {
            self.device.handle_close(connection, at(self.now));
            self.clients[client].session.handle_close(at(self.now));
        }
        self.settle();
    }
}
