//! A device that does what it is told and says nothing: the acknowledgement and the report are lost.

use std::time::Duration;

use landfall_link::DeviceConfig;
use landfall_link::line::{Command, Completion, Line, Output};
use landfall_link::outcome::{Outcome, SetOptions, Unconfirmed};
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{
    DeviceConfig as PeerConfig, DeviceError, DeviceEvent, DeviceOutput, DeviceSession,
};
use landfall_proto::{Entropy, Now};

use crate::world::{ADDRESS, dps, v};

struct Dice(u8);

impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(7);
            *b = self.0;
        }
    }
}

/// Runs a set of point 1 against a device that applies it only if `obeys`; returns the outcome and when it came.
fn set_without_an_answer(version: Version, obeys: bool) -> (Outcome, Duration, Dps) {
    let id = DeviceId::new("bf0123456789abcdefvx01").unwrap();
    let key = LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap();
    let mut config = DeviceConfig::new(id.clone(), key.clone());
    (config.address, config.version) = (ADDRESS.parse().ok(), Some(version));
    let mut dice = Dice(3);
    let mut now = Now::new(Duration::from_secs(1), 1_700_000_000);
    let mut line = Line::new(&config, now);
    let mut device = DeviceSession::new(PeerConfig::new(id, key, version), now, &mut dice);
    let mut state = dps(&[(1, v(false))]);
    let mut submitted = None;
    loop {
        let mut due = match line.poll_output(now, &mut dice) {
            Output::Connect(_) => {
                line.connected(now, &mut dice);
                continue;
            }
            Output::Transmit(bytes) => {
                device.handle_input(&bytes, now);
                now.mono
            }
            Output::Done { completion: Completion::Set(outcome), .. } => {
                return (outcome, now.mono - submitted.unwrap(), state);
            }
            Output::Wait(due) => due,
            _ => continue,
        };
        loop {
            match device.poll_output(now, &mut dice) {
                DeviceOutput::Transmit(bytes) => {
                    line.handle_input(&bytes, now);
                    due = now.mono;
                }
                DeviceOutput::Event(DeviceEvent::Query { ticket, .. }) => {
                    device.reply_points(ticket, None, &state);
                }
                DeviceOutput::Event(DeviceEvent::Set { dps, .. }) => {
                    if obeys {
                        state.merge(&dps);
                    }
                }
                DeviceOutput::Event(DeviceEvent::Other { ticket, .. }) => {
                    device.reply_error(ticket, DeviceError::Parse);
                }
                DeviceOutput::Event(DeviceEvent::Closed(why)) => panic!("{why}"),
                DeviceOutput::Event(_) => {}
                DeviceOutput::Wait(_) => break,
            }
        }
        if due > now.mono {
            if submitted.is_none() && line.points(None).value(DpId(1)).is_some() {
                let dps = dps(&[(1, v(true))]);
                line.submit(Command::Set { cid: None, dps, options: SetOptions::default() }, now).unwrap();
                submitted = Some(now.mono);
                continue;
            }
            now.mono = due;
            line.handle_timeout(now);
        }
    }
}

#[test]
fn a_set_that_nobody_answers_is_looked_for_after_two_seconds() {
    for version in [Version::V3_1, Version::V3_3, Version::V3_4, Version::V3_5] {
        let (outcome, took, state) = set_without_an_answer(version, true);
        assert_eq!((outcome, took), (Outcome::Confirmed, Duration::from_secs(2)), "{version}");
        assert_eq!(state.value(DpId(1)), Some(&v(true)));
        let (outcome, took, _) = set_without_an_answer(version, false);
        assert!(matches!(outcome, Outcome::Unconfirmed(Unconfirmed::NoAck { .. })), "{version}: {outcome}");
        assert_eq!(took, Duration::from_secs(5));
    }
}
