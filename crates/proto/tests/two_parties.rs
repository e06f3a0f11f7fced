//! Our client and our device on a virtual clock, over a good network and over bad ones: what works. What goes wrong stands
//! in `two_parties_faults.rs`.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::wire::{Model, Network, Wire, config, device_config};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;
use landfall_proto::lan::device::{DeviceClose, DeviceError, DeviceEvent};
use landfall_proto::lan::session::{Answer, CloseReason, Event, Origin, Request, RequestError};
use landfall_proto::lan::version::ReplySequence;
use landfall_proto::lan::{Command, Version};

const HEART_BEAT: u32 = 9;

fn one(dp: u16, value: DpValue) -> Dps {
    [(DpId(dp), value)].into_iter().collect()
}

/// Both ways of numbering replies, with and without the push before the acknowledgement.
fn habits() -> impl Iterator<Item = (Version, ReplySequence, bool)> {
    Version::ALL.into_iter().flat_map(|v| {
        [ReplySequence::Echo, ReplySequence::Counter]
            .into_iter()
            .flat_map(move |r| [false, true].map(move |push_first| (v, r, push_first)))
    })
}

fn everyday(version: Version, replies: ReplySequence, push_first: bool, network: Network) {
    let what = format!("{version} {replies:?} push first: {push_first} {network:?}");
    let mut device = device_config(version);
    device.reply_sequence = replies;
    // Our client counts up from 1 and never back, so the strictest device takes it.
    device.enforce_sequence = true;
    let model = Model { push_first, ..Model::default() };
    let truth = model.points.clone();
    let mut wire = Wire::with(config(version), device, model, network);

    let query = wire.query();
    wire.run_s(3);
    let Some(Ok(Answer::Report(report))) = wire.result(query) else {
        panic!("{what}: {:?}", wire.result(query))
    };
    assert!(report.dps.iter().all(|(id, v)| truth.value(id) == Some(v)), "{what}");
    let all = if version == Version::V3_2 { 2 } else { truth.len() };
    assert_eq!(report.dps.len(), all, "{what}");
    assert_eq!(wire.reports(Origin::Polled).len(), 1, "{what}");

    let set = wire.set(1, DpValue::Bool(false));
    let second = wire.set(38, DpValue::text("on \u{fc}nic\u{f6}de"));
    wire.run_s(5);
    for id in [set, second] {
        assert!(matches!(wire.result(id), Some(Ok(Answer::Ack | Answer::Report(_)))), "{what}");
    }
    assert_eq!(wire.model.journal.len(), 2, "{what}");
    assert_eq!(wire.model.journal[0], (None, one(1, DpValue::Bool(false))), "{what}");
    assert_eq!(wire.reports(Origin::Pushed).len(), 2, "{what}");
    assert_eq!(wire.reports(Origin::Pushed)[1].dps, wire.model.journal[1].1, "{what}");

    wire.push(None, &one(18, DpValue::Value(555)));
    wire.model.points.insert(DpId(18), DpValue::Value(555));
    wire.run_s(1);
    assert_eq!(wire.reports(Origin::Pushed)[2].dps, one(18, DpValue::Value(555)), "{what}");

    let points = vec![DpId(18), DpId(19), DpId(77)];
    let refresh = wire.request(Request::Refresh { cid: None, points });
    wire.run_s(3);
    assert!(matches!(wire.result(refresh), Some(Ok(Answer::Ack | Answer::Report(_)))), "{what}");
    assert_eq!(wire.reports(Origin::Pushed)[3].dps.len(), 2, "{what}");

    // Minutes of nothing: heartbeats keep it up.
    let before = wire.from_client.len();
    wire.run_s(300);
    let beats = wire.from_client.len() - before;
    assert!((26..=31).contains(&beats), "{what}: {beats} heartbeats in 300 s");
    assert!(Wire::sequences(&wire.from_client[before..]).iter().all(|(cmd, _)| *cmd == HEART_BEAT));
    assert_eq!(wire.closed(), None, "{what}");
    assert_eq!((wire.count(&Event::Ready), wire.count(&Event::Proven)), (1, 1), "{what}");

    check_sequences(&wire, version, replies, &what);
    wire.client.close();
    wire.run_s(1);
    assert_eq!(wire.closed(), Some(&CloseReason::Local), "{what}");
    assert_eq!(wire.device_events.last(), Some(&DeviceEvent::Closed(DeviceClose::Remote)), "{what}");
}

fn check_sequences(wire: &Wire, version: Version, replies: ReplySequence, what: &str) {
    let asked = Wire::sequences(&wire.from_client);
    let numbers: Vec<u32> = asked.iter().map(|(_, n)| *n).collect();
    assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<u32>>(), "{what}: from 1, each one more");
    let answered = Wire::sequences(&wire.from_device);
    match replies {
        ReplySequence::Counter => {
            let first = answered[0].1;
            assert!((2..=0xffff).contains(&first), "{what}: {first}");
            let numbers: Vec<u32> = answered.iter().map(|(_, n)| *n).collect();
            assert_eq!(numbers, (first..).take(numbers.len()).collect::<Vec<u32>>(), "{what}");
        }
        ReplySequence::Echo => {
            for (cmd, n) in answered {
                match cmd {
                    8 | 9 => assert_eq!(n, 0, "{what}: pushes and heartbeat replies"),
                    // RESP answers START.
                    4 => assert_eq!(n, 1, "{what}"),
                    _ => assert!(asked.contains(&(cmd, n)), "{what}: {cmd} {n}"),
                }
            }
        }
    }
    assert!(version.dialect().negotiates || asked[0].0 != 3, "{what}");
}

#[test]
fn everyday_life_on_a_good_network() {
    for (version, replies, push_first) in habits() {
        everyday(version, replies, push_first, Network::GOOD);
    }
}

#[test]
fn everyday_life_on_bad_networks() {
    for (version, replies, push_first) in habits() {
        for seed in 1..8 {
            everyday(version, replies, push_first, Network::bad(seed));
        }
    }
}

#[test]
fn sub_devices_behind_a_gateway() {
    let child = Cid::new("a4c138fffe012345").unwrap();
    for version in [Version::V3_3, Version::V3_4, Version::V3_5] {
        for network in [Network::GOOD, Network::bad(3)] {
            let mut model = Model::default();
            model.children.push((child.clone(), one(1, DpValue::Bool(false))));
            let mut wire = Wire::with(config(version), device_config(version), model, network);
            let own = wire.query();
            let ask = wire.request(Request::Query { cid: Some(child.clone()) });
            let set =
                wire.request(Request::Set { cid: Some(child.clone()), dps: one(1, DpValue::Bool(true)) });
            let nobody = Cid::new("b00000").unwrap();
            let unknown = wire.request(Request::Query { cid: Some(nobody) });
            let refresh = wire.request(Request::Refresh { cid: Some(child.clone()), points: vec![DpId(1)] });
            let list = wire.request(Request::Subdevices);
            wire.run_s(6);

            let Some(Ok(Answer::Report(report))) = wire.result(own) else { panic!("{version}") };
            assert_eq!((&report.cid, report.dps.len()), (&None, 6), "{version}");
            let Some(Ok(Answer::Report(report))) = wire.result(ask) else { panic!("{version}") };
            assert_eq!(report.cid, Some(child.clone()), "{version}");
            assert_eq!(report.dps, one(1, DpValue::Bool(false)), "{version}");
            assert!(wire.result(set).unwrap().is_ok(), "{version}");
            let refused = RequestError::Refused {
                command: version.dialect().query,
                text: "devid not found".to_owned(),
            };
            assert_eq!(wire.result(unknown), Some(&Err(refused)), "{version}");
            assert!(wire.result(refresh).unwrap().is_ok(), "{version}");
            let Some(Ok(Answer::Subdevices(states))) = wire.result(list) else { panic!("{version}") };
            assert_eq!(states.online, std::slice::from_ref(&child), "{version}");
            assert_eq!(wire.model.journal, [(Some(child.clone()), one(1, DpValue::Bool(true)))]);
            wire.push(Some(&child), &one(1, DpValue::Bool(false)));
            wire.run_s(1);
            let last = (*wire.reports(Origin::Pushed).last().unwrap()).clone();
            assert_eq!((last.cid, last.dps), (Some(child.clone()), one(1, DpValue::Bool(false))));
        }
    }
}

#[test]
fn silence_to_optional_questions_is_no_failure() {
    for version in Version::ALL {
        let model = Model { ignores_refresh: true, ..Model::default() };
        let mut wire = Wire::with(config(version), device_config(version), model, Network::GOOD);
        let refresh = wire.request(Request::Refresh { cid: None, points: vec![DpId(18)] });
        let list = wire.request(Request::Subdevices);
        wire.run_s(4);
        assert_eq!((wire.result(refresh), wire.result(list)), (None, None), "{version}");
        wire.run_s(2);
        assert_eq!(wire.result(refresh), Some(&Ok(Answer::Silent)), "{version}");
        assert_eq!(wire.result(list), Some(&Ok(Answer::Silent)), "{version}");
        assert_eq!(wire.closed(), None, "{version}");
    }
}

#[test]
fn device22_asks_with_nulls_and_writes_nothing() {
    for version in [Version::V3_2, Version::V3_3, Version::V3_4] {
        let mut client = config(version);
        client.device22 = true;
        let mut wire = Wire::with(client, device_config(version), Model::default(), Network::GOOD);
        let before = wire.model.points.clone();
        let query = wire.query();
        wire.run_s(2);
        let Some(Ok(Answer::Report(report))) = wire.result(query) else { panic!("{version}") };
        assert_eq!(report.dps.ids().collect::<Vec<_>>(), [DpId(1), DpId(18)], "{version}");
        assert_eq!(wire.reports(Origin::Polled).len(), 1, "{version}: asked for, so polled");
        assert!(wire.reports(Origin::Pushed).is_empty(), "{version}");
        assert!(wire.model.journal.is_empty() && wire.model.points == before, "{version}");
    }
    // A 3.2 device refuses the ordinary query; the client never sends one.
    let mut wire = Wire::new(Version::V3_2);
    let raw = wire.request(Request::Raw { command: Command::DP_QUERY, body: b"{}".to_vec() });
    wire.run_s(1);
    assert_eq!(wire.result(raw), Some(&Ok(Answer::Body(b"json obj data unvalid".to_vec()))));
}

#[test]
fn an_empty_reply_to_a_query_means_wait_on() {
    for version in Version::ALL.into_iter().filter(|v| *v != Version::V3_2) {
        for network in [Network::GOOD, Network::bad(9)] {
            let model = Model { query_by_status: true, ..Model::default() };
            let mut wire = Wire::with(config(version), device_config(version), model, network);
            let query = wire.query();
            wire.run_s(3);
            let Some(Ok(Answer::Report(report))) = wire.result(query) else { panic!("{version}") };
            assert_eq!(report.dps, wire.model.points, "{version}");
            assert_eq!(wire.reports(Origin::Polled).len(), 1, "{version}");
        }
    }
}

#[test]
fn refusals_carry_the_device_s_words() {
    for version in Version::ALL {
        for clear in [false, true] {
            for error in [DeviceError::DataFormat, DeviceError::Parse, DeviceError::DataUnvalid] {
                let mut device = device_config(version);
                device.clear_errors = clear;
                let model = Model { refuses: Some(error), ..Model::default() };
                let mut wire = Wire::with(config(version), device, model, Network::GOOD);
                let set = wire.set(1, DpValue::Bool(false));
                wire.run_s(1);
                let command = version.dialect().set;
                let refused = RequestError::Refused { command, text: error.text().to_owned() };
                assert_eq!(wire.result(set), Some(&Err(refused)), "{version} {clear}");
                assert_eq!(wire.closed(), None, "{version}");
                assert_eq!(wire.count(&Event::KeySuspect), 0, "{version} {clear} {error:?}");
            }
        }
    }
}

#[test]
fn the_vendor_s_acknowledgement_is_one() {
    let mut device = device_config(Version::V3_5);
    device.vendor_ack = true;
    device.enforce_sequence = true;
    device.reply_sequence = ReplySequence::Counter;
    for mute in [true, false] {
        let model = Model { push_first: true, ignores_refresh: true, mute, ..Model::default() };
        let mut wire = Wire::with(config(Version::V3_5), device.clone(), model, Network::GOOD);
        let set = wire.set(1, DpValue::Bool(false));
        let again = wire.set(1, DpValue::Bool(false));
        wire.run_s(3);
        for id in [set, again] {
            assert!(matches!(wire.result(id), Some(Ok(Answer::Ack | Answer::Report(_)))), "{mute}");
        }
        assert_eq!(wire.model.journal.len(), 2);
        assert_eq!(wire.reports(Origin::Pushed).len(), if mute { 0 } else { 2 });
    }
}

#[test]
fn pushes_before_and_within_the_negotiation_are_survived() {
    for version in [Version::V3_4, Version::V3_5] {
        for network in [Network::GOOD, Network::bad(5), Network::bad(6)] {
            // Before START arrives.
            let mut wire = Wire::with(config(version), device_config(version), Model::default(), network);
            wire.push(None, &one(18, DpValue::Value(1)));
            wire.push(None, &one(18, DpValue::Value(2)));
            let query = wire.query();
            wire.run_s(3);
            assert!(wire.result(query).unwrap().is_ok(), "{version} {network:?}");
            assert_eq!(wire.closed(), None, "{version}");

            // Between RESP and the arrival of FINISH: under the local key, while the client expects the session key.
            let mut wire = Wire::with(config(version), device_config(version), Model::default(), network);
            for _ in 0..2000 {
                if !wire.from_device.is_empty() {
                    break;
                }
                wire.run(Duration::from_millis(1));
            }
            assert!(!wire.device.is_ready(), "{version}: RESP is out, FINISH is not in");
            wire.push(None, &one(18, DpValue::Value(3)));
            let query = wire.query();
            wire.run_s(3);
            assert!(wire.result(query).unwrap().is_ok(), "{version} {network:?}");
            assert_eq!(wire.closed(), None, "{version}");
        }
    }
}

#[test]
fn a_heartbeat_keeps_its_distance_from_a_push() {
    for version in Version::ALL {
        let mut wire = Wire::new(version);
        wire.query();
        wire.run_s(2);
        let last = wire.from_client.last().unwrap().0;
        // The push arrives 20 ms before the heartbeat is due.
        wire.run(last + Duration::from_millis(9979) - wire.now);
        wire.push(None, &one(18, DpValue::Value(7)));
        wire.run_s(2);
        let beat = wire.from_client.last().unwrap();
        assert_eq!(Wire::sequences(std::slice::from_ref(beat))[0].0, HEART_BEAT, "{version}");
        let pushed = last + Duration::from_millis(9980);
        assert!(beat.0 >= pushed + Duration::from_millis(100), "{version}: {:?}", beat.0 - pushed);
        assert!(beat.0 <= pushed + Duration::from_millis(200), "{version}: {:?}", beat.0 - pushed);
    }
}

/// Replies of 3.4 and 3.5 carry the device's own numbers: the cid alone tells whose they are.
#[test]
fn replies_for_several_sub_devices_may_come_in_any_order() {
    for version in [Version::V3_3, Version::V3_4, Version::V3_5] {
        for network in [Network::GOOD, Network::bad(4)] {
            let mut model = Model { answers_backwards: true, ..Model::default() };
            let cids = ["a4c1", "b4c2"].map(|t| Cid::new(t).unwrap());
            for (n, cid) in (1..).zip(&cids) {
                model.children.push((cid.clone(), one(1, DpValue::Value(n))));
            }
            let mut device = device_config(version);
            device.reply_sequence = version.dialect().reply_sequence;
            let mut wire = Wire::with(config(version), device, model, network);
            let asked = cids.clone().map(|cid| wire.request(Request::Query { cid: Some(cid) }));
            wire.run_s(3);
            for (n, (id, cid)) in (1..).zip(asked.into_iter().zip(cids)) {
                let Some(Ok(Answer::Report(report))) = wire.result(id) else {
                    panic!("{version}: {:?}", wire.result(id))
                };
                assert_eq!((&report.cid, &report.dps), (&Some(cid), &one(1, DpValue::Value(n))), "{version}");
            }
        }
    }
}

/// A set was completed by the report of its effect. Its acknowledgement, which comes later, must not pass for that of
/// the next set.
#[test]
fn a_late_acknowledgement_confirms_nothing_else() {
    for version in Version::ALL {
        for replies in [ReplySequence::Echo, ReplySequence::Counter] {
            let mut device = device_config(version);
            device.reply_sequence = replies;
            let model = Model { keeps_ack: true, ..Model::default() };
            let mut wire = Wire::with(config(version), device, model, Network::GOOD);
            let first = wire.set(1, DpValue::Bool(false));
            let second = wire.set(9, DpValue::Value(5));
            wire.run(Duration::from_millis(200));
            let what = format!("{version} {replies:?}");
            assert!(matches!(wire.result(first), Some(Ok(Answer::Report(_)))), "{what}");
            assert_eq!(wire.result(second), None, "{what}");
            wire.release();
            wire.run_s(3);
            assert_eq!(wire.result(second), None, "{what}: the late acknowledgement was the first one's");
            wire.run_s(3);
            assert!(matches!(wire.result(second), Some(Err(RequestError::Timeout { .. }))), "{what}");
        }
    }
}
