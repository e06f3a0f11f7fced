//! Our client and our device on a virtual clock: wrong keys and versions, ends and silences, damage.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::wire::{self, ID, Model, Network, OTHER_KEY, Wire, config, device_config};
use common::{Script, vectors};
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::LocalKey;
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceClose, DeviceEvent};
use landfall_proto::lan::session::{CloseReason, Event, RequestError};

#[test]
fn a_wrong_key_is_found_out() {
    for version in Version::ALL {
        let mut client = config(version);
        client.key = LocalKey::new(OTHER_KEY).unwrap();
        let mut wire = Wire::with(client, device_config(version), Model::default(), Network::GOOD);
        let requests: Vec<_> = (0..4).map(|_| wire.set(1, DpValue::Bool(false))).collect();
        wire.run_s(3);
        assert!(wire.model.journal.is_empty(), "{version}: nothing was written");
        assert_eq!(wire.count(&Event::Proven), 0, "{version}");
        for id in requests {
            assert!(wire.result(id).unwrap().is_err(), "{version}");
        }
        match version {
            // Queries and errors of 3.1 stand in clear: the device refuses what it can't check.
            Version::V3_1 => assert_eq!(wire.closed(), None),
            Version::V3_2 | Version::V3_3 => {
                assert_eq!(wire.closed(), Some(&CloseReason::WrongKey), "{version}");
                assert!(wire.count(&Event::KeySuspect) >= 3, "{version}");
            }
            // Nothing but a close: could be a wrong version as well.
            Version::V3_4 | Version::V3_5 => {
                assert_eq!(wire.closed(), Some(&CloseReason::ClosedEarly), "{version}");
                assert_eq!(wire.device_events, [DeviceEvent::Closed(DeviceClose::Integrity)]);
            }
        }
    }
}

/// Clients and devices of different families never agree on anything by mistake: nothing is written, nothing proven.
#[test]
fn a_wrong_version_never_works_by_accident() {
    for ours in Version::ALL {
        for theirs in Version::ALL {
            let family = |v: Version| (v.dialect().framing, v.dialect().header);
            if family(ours) == family(theirs) {
                continue;
            }
            let mut wire = Wire::with(config(ours), device_config(theirs), Model::default(), Network::GOOD);
            let set = wire.set(1, DpValue::Bool(false));
            let query = wire.query();
            wire.run_s(60);
            let what = format!("client {ours}, device {theirs}");
            assert!(wire.model.journal.is_empty(), "{what}");
            assert!(wire.result(set).unwrap().is_err(), "{what}: {:?}", wire.result(set));
            assert!(wire.result(query).is_some(), "{what}");
            assert_eq!(wire.count(&Event::Proven), 0, "{what}");
            match (ours, theirs) {
                // Each takes the other for somebody with another key.
                (Version::V3_2 | Version::V3_3, Version::V3_1) => {
                    let Some(Err(RequestError::Refused { text, .. })) = wire.result(set) else {
                        panic!("{what}: {:?}", wire.result(set))
                    };
                    assert_eq!(text, "parse data error", "{what}");
                }
                (Version::V3_1, Version::V3_2 | Version::V3_3) => {
                    let Some(CloseReason::WrongVersion { evidence, .. }) = wire.closed() else {
                        panic!("{what}: {:?}", wire.closed())
                    };
                    assert!(evidence.contains("3.3"), "{what}: {evidence}");
                }
                _ => assert!(wire.closed().is_some(), "{what}"),
            }
        }
    }
}

#[test]
fn a_session_key_with_a_zero_byte() {
    for case in vectors().crypto.session_keys.iter().filter(|c| c.session_key_hex[0] == 0) {
        // The device's nonce is hex text of what its dice say; only such nonces can be thrown.
        let Some(half) = common::unhex(&String::from_utf8_lossy(&case.device_nonce_hex)) else { continue };
        for trap in [true, false] {
            let mut device = device_config(case.version);
            device.zero_key_trap = trap;
            let dice =
                (Script::new(&case.client_nonce_hex), Script::new(&[&[0, 0, 0x20, 0][..], &half].concat()));
            let mut wire =
                Wire::with_dice(config(case.version), device, Model::default(), Network::GOOD, dice);
            let query = wire.query();
            wire.run_s(2);
            if trap {
                // The client sees it coming and starts anew (lan.md 4.4).
                assert_eq!(wire.closed(), Some(&CloseReason::ZeroKey), "{}", case.note);
            } else {
                assert_eq!(wire.closed(), None, "{}", case.note);
                assert!(wire.result(query).unwrap().is_ok(), "{}: another nonce was drawn", case.note);
            }
        }
    }
}

#[test]
fn a_device_that_answers_nothing_but_heartbeats() {
    for version in Version::ALL {
        let model = Model { dead: true, ..Model::default() };
        let mut wire = Wire::with(config(version), device_config(version), model, Network::GOOD);
        wire.run_s(1);
        let asked = wire.now;
        let query = wire.query();
        let set = wire.set(1, DpValue::Bool(false));
        wire.run_s(60);
        for id in [query, set] {
            assert!(matches!(wire.result(id), Some(Err(RequestError::Timeout { .. }))), "{version}");
            let waited = wire.done_at(id).unwrap() - asked;
            assert!((5..=11).contains(&waited.as_secs()), "{version}: {waited:?}");
        }
        assert_eq!(wire.closed(), None, "{version}: its heartbeats are answered");
    }
}

#[test]
fn a_device_that_is_gone_without_a_word() {
    for version in Version::ALL {
        let mut wire = Wire::new(version);
        let query = wire.query();
        wire.run_s(1);
        assert!(wire.result(query).unwrap().is_ok());
        wire.hole = true;
        let gone = wire.now;
        let lost = wire.set(1, DpValue::Bool(false));
        wire.run_s(60);
        assert_eq!(wire.closed(), Some(&CloseReason::Silent), "{version}");
        assert!(matches!(wire.result(lost), Some(Err(RequestError::Timeout { .. }))), "{version}");
        let (at, _) = wire.events.iter().find(|(_, e)| matches!(e, Event::Closed(_))).unwrap();
        let took = *at - gone;
        assert!((15..=21).contains(&took.as_secs()), "{version}: {took:?}");
        assert_eq!(wire.device_events.last(), Some(&DeviceEvent::Closed(DeviceClose::Idle)), "{version}");
    }
}

#[test]
fn an_unfinished_frame_ends_the_session_after_five_seconds() {
    for version in Version::ALL {
        let mut wire = Wire::new(version);
        wire.query();
        wire.run_s(1);
        let frame = wire.from_device.last().unwrap().1.clone();
        wire.inject_to_client(&frame[..frame.len() - 1]);
        wire.run_s(4);
        assert_eq!(wire.closed(), None, "{version}");
        wire.run_s(2);
        assert!(matches!(wire.closed(), Some(CloseReason::Protocol(_))), "{version}: {:?}", wire.closed());
    }
}

#[test]
fn both_ends_answer_the_other_framing_by_closing() {
    for version in Version::ALL {
        let other = if version == Version::V3_5 { Version::V3_3 } else { Version::V3_5 };
        let frame = |cmd| vectors().frames.iter().find(|f| f.version == other && f.cmd == cmd).unwrap();
        let mut wire = Wire::new(version);
        wire.query();
        wire.run_s(1);
        wire.inject_to_client(&frame(8).frame_hex);
        wire.run_s(1);
        let Some(CloseReason::WrongVersion { configured, evidence }) = wire.closed() else {
            panic!("{version}: {:?}", wire.closed())
        };
        assert_eq!(*configured, version);
        assert!(evidence.contains("3.5") == (version != Version::V3_5), "{evidence}");

        let mut wire = Wire::new(version);
        wire.run_s(1);
        wire.inject_to_device(&frame(9).frame_hex);
        wire.run_s(1);
        assert!(matches!(wire.device_events.last(), Some(DeviceEvent::Closed(_))), "{version}");
    }
}

/// Whenever the connection ends: every request ends exactly once, and the end is told once.
#[test]
fn a_connection_cut_at_any_moment_leaves_no_request_open() {
    for version in Version::ALL {
        for ms in (0..400).step_by(7) {
            let network = Network { seed: ms + 1, latency: (5, 60), pieces: Some(30) };
            let mut wire = Wire::with(config(version), device_config(version), Model::default(), network);
            let mut requests = vec![wire.query(), wire.set(1, DpValue::Bool(false))];
            wire.run(Duration::from_millis(ms));
            requests.push(wire.set(9, DpValue::Value(5)));
            wire.cut();
            wire.run_s(1);
            requests.push(wire.set(9, DpValue::Value(6)));
            wire.run_s(60);
            let what = format!("{version} cut at {ms} ms");
            let ends = wire.events.iter().filter(|(_, e)| matches!(e, Event::Closed(_))).count();
            assert_eq!(ends, 1, "{what}");
            assert!(
                matches!(wire.closed(), Some(CloseReason::Remote | CloseReason::ClosedEarly)),
                "{what}: {:?}",
                wire.closed()
            );
            for id in &requests {
                let result = wire.result(*id).unwrap_or_else(|| panic!("{what}: {id:?} is open"));
                if let Err(e) = result {
                    assert!(matches!(e, RequestError::Closed { .. }), "{what}: {e}");
                }
            }
            let last = wire.result(requests[3]).unwrap();
            assert!(matches!(last, Err(RequestError::Closed { sent: false, .. })), "{what}: {last:?}");
            // What the client was told to be unsent was not applied.
            let unsent = |i: usize| {
                matches!(wire.result(requests[i]), Some(Err(RequestError::Closed { sent: false, .. })))
            };
            let applied = |dp: u16| wire.model.journal.iter().any(|(_, d)| d.value(DpId(dp)).is_some());
            assert!(!(unsent(1) && applied(1)), "{what}");
            assert!(!(unsent(2) && applied(9)), "{what}");
        }
    }
}

/// One flipped bit anywhere: no wrong value is ever believed, no request stays open.
#[test]
fn a_damaged_bit_is_never_believed() {
    let values = [DpValue::Value(111), DpValue::Value(222), DpValue::Value(333)];
    for version in Version::ALL {
        for seed in 0..120 {
            let network = Network { seed: seed + 1, latency: (1, 30), pieces: None };
            let mut wire = Wire::with(config(version), device_config(version), Model::default(), network);
            wire.damage = Some(usize::try_from(seed % 12).unwrap());
            let truth = wire.model.points.clone();
            let mut requests = vec![wire.query()];
            for v in &values {
                wire.run(Duration::from_millis(200));
                requests.push(wire.set(9, v.clone()));
            }
            wire.run_s(40);
            let what = format!("{version} seed {seed}");
            for (_, event) in &wire.events {
                let Event::Report { report, .. } = event else { continue };
                for (id, v) in report.dps.iter() {
                    let sound = truth.value(id) == Some(v) || (id == DpId(9) && values.contains(v));
                    assert!(sound, "{what}: {id:?} {v:?}");
                }
            }
            for (_, dps) in &wire.model.journal {
                assert!(dps.iter().all(|(id, v)| id == DpId(9) && values.contains(v)), "{what}: {dps:?}");
            }
            for id in requests {
                assert!(wire.result(id).is_some(), "{what}: {id:?} is open, {:?}", wire.closed());
            }
        }
    }
}

#[test]
fn more_requests_than_a_device_can_serve_are_refused() {
    let model = Model { dead: true, ..Model::default() };
    let mut wire = Wire::with(config(Version::V3_3), device_config(Version::V3_3), model, Network::GOOD);
    let ids: Vec<_> = (0..200).map(|_| wire.query()).collect();
    wire.run_s(1);
    let refused = ids.iter().filter(|id| matches!(wire.result(**id), Some(Err(RequestError::TooMany(_)))));
    let refused = refused.count();
    assert!((100..200).contains(&refused), "{refused}");
    wire.client.close();
    wire.run_s(1);
    assert!(ids.iter().all(|id| wire.result(*id).is_some()));
}

/// A limit of "never" must not overflow the clock.
#[test]
fn endless_times_do_not_overflow() {
    for version in Version::ALL {
        let mut client = config(version);
        let never = Duration::MAX;
        client.timing.negotiation = never;
        client.timing.heartbeat = never;
        client.timing.heartbeat_reply = never;
        client.timing.request = never;
        client.timing.incomplete_frame = never;
        client.timing.quiet = never;
        let mut device = device_config(version);
        device.idle = never;
        let mut wire = Wire::with(client, device, Model::default(), Network::GOOD);
        let set = wire.set(1, DpValue::Bool(false));
        wire.inject_to_client(&[0, 0]);
        wire.run_s(3600);
        wire.device.handle_timeout(wire::now(wire.now));
        wire.client.handle_timeout(wire::now(wire.now));
        wire.run_s(1);
        assert!(wire.result(set).unwrap().is_ok(), "{version}");
        assert_eq!(wire.closed(), None, "{version}");
        assert_eq!(wire.client.config().device_id.as_str(), ID);
    }
}
