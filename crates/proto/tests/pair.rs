//! The two ends of a connection understand each other in every version.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceConfig, DeviceEvent, DeviceOutput, DeviceSession};
use landfall_proto::lan::session::{Answer, Config, Event, Output, Request, Session, Timing};
use landfall_proto::{Entropy, Now};

struct Lcg(u64);
impl Entropy for Lcg {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *b = (self.0 >> 33) as u8;
        }
    }
}

#[test]
fn query_and_set_in_every_version() {
    for version in Version::ALL {
        let now = Now::new(Duration::from_secs(1), 1_700_000_000);
        let mut dice = Lcg(9);
        let id = DeviceId::new("bf0123456789abcdefvx01").unwrap();
        let key = LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap();
        let config = Config {
            device_id: id.clone(),
            key: key.clone(),
            version,
            device22: false,
            device22_points: vec![],
            timing: Timing::default(),
        };
        let mut client = Session::new(Arc::new(config), now, &mut dice);
        let mut device = DeviceSession::new(DeviceConfig::new(id, key, version), now, &mut dice);
        let wanted: Dps = [(DpId(1), DpValue::Bool(true))].into_iter().collect();
        client.request(Request::Query { cid: None }, now);
        client.request(Request::Set { cid: None, dps: wanted.clone() }, now);
        let mut state: Dps = [(DpId(1), DpValue::Bool(false))].into_iter().collect();
        let mut done = Vec::new();
        loop {
            let mut idle = true;
            match client.poll_output(now, &mut dice) {
                Output::Transmit(bytes) => {
                    idle = false;
                    device.handle_input(&bytes, now);
                }
                Output::Event(Event::Done { result, .. }) => {
                    idle = false;
                    done.push(result.unwrap());
                }
                Output::Event(Event::Closed(why)) => panic!("{version}: {why}"),
                Output::Event(_) => idle = false,
                Output::Wait(_) => {}
            }
            match device.poll_output(now, &mut dice) {
                DeviceOutput::Transmit(bytes) => {
                    idle = false;
                    client.handle_input(&bytes, now);
                }
                DeviceOutput::Event(DeviceEvent::Query { ticket, .. }) => {
                    idle = false;
                    device.reply_points(ticket, None, &state);
                }
                DeviceOutput::Event(DeviceEvent::Set { dps, .. }) if dps.is_empty() => {
                    idle = false;
                    device.push(None, &state, now);
                }
                DeviceOutput::Event(DeviceEvent::Set { ticket, dps, .. }) => {
                    idle = false;
                    state.merge(&dps);
                    device.ack(ticket);
                    device.push(None, &dps, now);
                }
                DeviceOutput::Event(DeviceEvent::Closed(why)) => panic!("{version}: {why}"),
                DeviceOutput::Event(_) => idle = false,
                DeviceOutput::Wait(_) => {}
            }
            if idle {
                break;
            }
        }
        assert_eq!(done.len(), 2, "{version}");
        let Answer::Report(report) = &done[0] else { panic!("{:?}", done[0]) };
        assert_eq!(report.dps.value(DpId(1)), Some(&DpValue::Bool(false)));
        assert_eq!(done[1], Answer::Ack, "{version}");
        assert_eq!(state, wanted);
    }
}
