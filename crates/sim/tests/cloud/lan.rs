//! A client on the LAN beside the cloud.

use std::sync::Arc;

use landfall_proto::Now;
use landfall_proto::lan::session::{Answer, Config, Event, Output as ClientOutput, Request, Session, Timing};
use landfall_sim::cloud::CloudOutput;
use landfall_sim::device::{Admission, ConnectionId, Output};
use landfall_sim::dice::Dice;

use crate::world::{World, at};

pub(crate) struct LanClient {
    session: Session,
    connection: ConnectionId,
    events: Vec<Event>,
    dice: Dice,
}

impl LanClient {
    pub(crate) fn connect(world: &mut World) -> Self {
        let spec = world.device.spec();
        let config = Config {
            device_id: spec.id.clone(),
            key: spec.key.clone(),
            version: spec.version,
            device22: false,
            device22_points: Vec::new(),
            timing: Timing::default(),
        };
        let mut dice = Dice::new(9);
        let session = Session::new(Arc::new(config), at(world.now), &mut dice);
        let Admission::Accepted(connection) = world.device.handle_connect(at(world.now)) else {
            panic!("nobody listens");
        };
        let mut client = Self { session, connection, events: Vec::new(), dice };
        client.settle(world);
        client
    }

    /// Leaves and comes back, keeping what was heard.
    pub(crate) fn reconnect(old: Self, world: &mut World) -> Self {
        world.device.handle_close(old.connection, at(world.now));
        let mut new = Self::connect(world);
        new.events.splice(0..0, old.events);
        new
    }

    /// Carries frames to and fro until both are silent. What the world took off the device meanwhile comes first.
    pub(crate) fn settle(&mut self, world: &mut World) {
        let now = at(world.now);
        let mut moving = true;
        while moving {
            moving = self.send(world, now);
            loop {
                match world.device.poll_output(now) {
                    Output::Wait(_) => break,
                    Output::Transmit { frame, .. } => {
                        moving = true;
                        self.session.handle_input(&frame, now);
                    }
                    Output::Cloud(output @ CloudOutput::Write { .. }) => world.carry(output, now),
                    _ => {}
                }
            }
            for frame in std::mem::take(&mut world.frames) {
                moving = true;
                self.session.handle_input(&frame, now);
            }
        }
    }

    fn send(&mut self, world: &mut World, now: Now) -> bool {
        let mut sent = false;
        loop {
            match self.session.poll_output(now, &mut self.dice) {
                ClientOutput::Transmit(bytes) => {
                    sent = true;
                    world.device.handle_input(self.connection, &bytes, now);
                }
                ClientOutput::Event(event) => self.events.push(event),
                ClientOutput::Wait(_) => return sent,
            }
        }
    }

    pub(crate) fn set(&mut self, world: &mut World, dps: &str) {
        self.session
            .request(Request::Set { cid: None, dps: serde_json::from_str(dps).unwrap() }, at(world.now));
        self.settle(world);
    }

    /// The points that a query shows.
    pub(crate) fn points(&mut self, world: &mut World) -> Vec<String> {
        let id = self.session.request(Request::Query { cid: None }, at(world.now));
        self.settle(world);
        let answer = self.events.iter().rev().find_map(|e| match e {
            Event::Done { id: done, result: Ok(Answer::Report(report)) } if *done == id => {
                Some(report.dps.clone())
            }
            _ => None,
        });
        answer.expect("a query is answered").ids().map(|id| id.to_string()).collect()
    }

    pub(crate) fn reports(&self) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|e| match e {
                Event::Report { report, .. } => Some(serde_json::to_string(&report.dps).unwrap()),
                _ => None,
            })
            .collect()
    }
}
