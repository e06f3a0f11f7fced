//! Messages: what is done with them and which are dropped (cloud.md 4.3 to 4.8, 1.7).

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::mqtt::{Envelope, Stamp};
use landfall_sim::cloud::Generation;
use landfall_sim::journal::Line;
use landfall_sim::model::Physical;
use serde_json::json;

use crate::replies::{config, secure_endpoints};
use crate::stand::Answer;
use crate::world::{FACTORY_ID, S, World, activated, at, pairing, spec};

fn is_on(world: &World) -> bool {
    world.points().value(DpId(1)) == Some(&DpValue::Bool(true))
}

/// The plug of generation C with a schema that the test wrote.
fn told(schema: &serde_json::Value) -> World {
    let mut spec = spec(Generation::C);
    spec.cloud.as_mut().unwrap().pairing = Some(pairing());
    let mut world = World::with(spec, |stand| stand.schema = schema.to_string());
    world.run(S(5));
    assert!(world.device.is_online());
    world
}

#[test]
fn reports_have_the_envelope_and_the_order_of_their_generation() {
    for generation in Generation::ALL {
        let mut world = World::online(generation);
        let from = world.stand.heard.len();
        world.set(r#"{"1":false,"2":60}"#);
        let heard = &world.stand.heard[from..];
        assert!(heard.iter().all(|h| h.quality == 1 && h.topic == format!("smart/device/out/{FACTORY_ID}")));
        let t = world.unix();
        match generation {
            Generation::A => {
                // One point a message, counted by `s` at the end.
                assert_eq!(heard.len(), 2);
                let s = heard[0].json["s"].as_i64().unwrap();
                let want = format!(
                    r#"{{"protocol":4,"t":{t},"data":{{"devId":"{FACTORY_ID}","dps":{{"1":false}}}},"s":{s}}}"#
                );
                assert_eq!((heard[0].envelope, heard[0].text.as_str()), (Envelope::V2_1, want.as_str()));
                assert_eq!(heard[1].json["s"].as_i64(), Some(s + 1));
            }
            Generation::B | Generation::C => {
                let id = if generation == Generation::B { "\"devId\":\"02200194dc4f22135606\"," } else { "" };
                let want = format!(r#"{{"protocol":4,"t":{t},"data":{{{id}"dps":{{"1":false,"2":60}}}}}}"#);
                assert_eq!(heard.len(), 1);
                assert_eq!((heard[0].envelope, heard[0].text.as_str()), (Envelope::V2_2, want.as_str()));
                let before = world.stand.heard[from - 1].stamp.unwrap();
                let stamp = heard[0].stamp.unwrap();
                assert_eq!((stamp.source, stamp.sequence), (Stamp::DEVICE, before.sequence + 1));
            }
        }
    }
}

#[test]
fn the_state_is_reported_after_every_connect() {
    let mut world = World::online(Generation::C);
    assert_eq!(world.reports(0).len(), 1);
    let state: serde_json::Value = serde_json::from_str(&world.reports(0)[0]).unwrap();
    let points: Vec<&String> = state.as_object().unwrap().keys().collect();
    assert_eq!(points, ["1", "2", "4", "5", "6"]);
    let from = world.stand.heard.len();
    world.hang_up_mqtt();
    world.device.press(None, &Physical::Button(1), at(world.now)).unwrap();
    world.until(30, |w| w.device.is_online());
    let state: serde_json::Value = serde_json::from_str(&world.reports(from)[0]).unwrap();
    assert_eq!(state["1"], json!(is_on(&world)), "what happened meanwhile is part of it");
}

#[test]
fn sets_are_carried_out_written_down_and_reported() {
    let mut world = World::online(Generation::B);
    let from = world.stand.heard.len();
    world.set(r#"{"1":false}"#);
    assert!(!is_on(&world));
    assert_eq!(world.reports(from), [r#"{"1":false}"#]);
    let writes = world.device.journal().writes();
    assert_eq!((writes.len(), writes[0].dp, writes[0].line), (1, DpId(1), Line::Cloud));
}

#[test]
fn misfits_are_skipped_and_the_rest_acts() {
    let mut world = World::online(Generation::C);
    for (dps, why) in [
        (r#"{"1":"false"}"#, "takes a bool"),
        (r#"{"2":86401}"#, "takes 0 to 86400"),
        (r#"{"4":5}"#, "is read-only"),
        (r#"{"99":true}"#, "is not a point"),
    ] {
        world.set(dps);
        let news = format!("{:?}", world.cloud_news().last().unwrap());
        assert!(news.contains("Skipped") && news.contains(why), "{dps}: {news}");
    }
    assert_eq!(world.device.journal().total(), 0);
    world.set(r#"{"4":5,"1":false}"#);
    assert_eq!((world.device.journal().total(), is_on(&world)), (1, false));
}

#[test]
fn only_points_of_the_told_schema_are_handled() {
    let mut world = told(&json!([{"mode": "ro", "type": "obj", "id": 1, "property": {"type": "bool"}},
        {"mode": "rw", "type": "obj", "id": 2, "property": {"type": "value", "min": 0, "max": 100}}]));
    assert_eq!(world.reports(0).len(), 1);
    assert!(world.reports(0)[0].starts_with(r#"{"1":"#) && !world.reports(0)[0].contains(r#""6""#));
    world.set(r#"{"1":false}"#);
    assert!(is_on(&world), "told to be read-only");
    world.set(r#"{"2":101}"#);
    world.run_for(120);
    assert_eq!(world.device.journal().total(), 0, "told to end at 100");
    world.set(r#"{"2":100}"#);
    assert_eq!(world.device.journal().total(), 1);
    assert!(world.reports(0).iter().all(|r| !r.contains(r#""6""#) && !r.contains(r#""4""#)));
}

#[test]
fn passive_points_are_reported_only_when_asked_for() {
    let reading = |id: u16| {
        json!({"mode": "ro", "type": "obj", "id": id, "passive": true,
               "property": {"type": "value", "min": 0, "max": 50000, "scale": 0, "step": 1}})
    };
    let mut world = told(&json!([{"mode": "rw", "type": "obj", "id": 1, "property": {"type": "bool"}},
        reading(4), reading(5), reading(6)]));
    world.run_for(600);
    assert!(world.reports(0).iter().all(|r| r.starts_with(r#"{"1":"#)), "{:?}", world.reports(0));
    let from = world.stand.heard.len();
    world.send(31, &json!({"dpId": [6, 5]}));
    let report: serde_json::Value = serde_json::from_str(&world.reports(from)[0]).unwrap();
    assert_eq!(report.as_object().unwrap().keys().collect::<Vec<_>>(), ["5", "6"]);
    let from = world.stand.heard.len();
    world.send(31, &json!({}));
    let report: serde_json::Value = serde_json::from_str(&world.reports(from)[0]).unwrap();
    assert_eq!(report.as_object().unwrap().len(), 4, "all of them");
}

#[test]
fn old_sequences_of_a_source_are_dropped_but_source_zero_is_not_checked() {
    let mut world = World::online(Generation::C);
    let set = |on: bool| json!({"protocol": 5, "t": crate::stand::EPOCH + 5, "data": {"devId": FACTORY_ID, "dps": {"1": on}}});
    for (source, sequence, on, carried_out) in [
        (7, 10, false, true),
        (7, 10, true, false),
        (7, 9, true, false),
        (7, 11, true, true),
        (8, 1, false, true),
        (0, 5, true, true),
        (0, 5, false, true),
        (9, 1, false, true),
        (10, 1, false, true),
        (11, 1, false, true),
        (12, 1, false, true),
        // Source 7 is the sixth back: forgotten.
        (7, 3, true, true),
    ] {
        let before = world.device.journal().total();
        world.send_as(&set(on), Stamp { sequence, source });
        let done = world.device.journal().total() > before;
        assert_eq!(done, carried_out, "source {source}, sequence {sequence}");
    }
    assert!(world.dropped().unwrap().contains("is not new"));
}

#[test]
fn in_clear_old_and_early_messages_are_dropped_and_over_tls_they_are_not() {
    let old = |world: &World, seconds: i64| {
        let t = i64::try_from(world.unix()).unwrap() + seconds;
        json!({"protocol": 5, "t": t, "data": {"devId": FACTORY_ID, "dps": {"2": seconds.unsigned_abs()}}})
    };
    let mut world = World::online(Generation::C);
    for (seconds, carried_out) in [(-1_800, true), (-1_801, false), (1_801, false), (1_799, true)] {
        let before = world.device.journal().total();
        let json = old(&world, seconds);
        world.send_json(&json);
        assert_eq!(world.device.journal().total() > before, carried_out, "{seconds} s");
    }
    assert!(world.dropped().unwrap().contains("s away from ours, more than 1800"));

    let mut tight = World::with(activated(Generation::C), |stand| {
        stand.answer("tuya.device.dynamic.config.get", &[Answer::Result(config(60))]);
    });
    tight.run(S(5));
    let json = old(&tight, -61);
    tight.send_json(&json);
    assert_eq!(tight.device.journal().total(), 0, "validTime is the limit");

    let mut secure = World::with(activated(Generation::C), |stand| {
        stand.answer("url_config", &[Answer::Result(secure_endpoints())]);
    });
    secure.run(S(5));
    let json = old(&secure, -80_000);
    secure.send_json(&json);
    assert_eq!(secure.device.journal().total(), 1, "over TLS the check is off");

    let mut a = World::online(Generation::A);
    let json = old(&a, -80_000);
    a.send_json(&json);
    assert_eq!(a.device.journal().total(), 1, "without a limit there is nothing to check by");
}

#[test]
fn damaged_foreign_and_misdirected_messages_are_dropped() {
    let mut world = World::online(Generation::C);
    let good = json!({"protocol": 5, "t": world.unix(), "data": {"devId": FACTORY_ID, "dps": {"1": false}}});
    let mut damaged = world.stand.message(&good);
    *damaged.last_mut().unwrap() ^= 1;
    world.send_bytes(&damaged);
    assert!(world.dropped().unwrap().contains("checksum"), "stock checks the CRC");

    let mut other = World::online(Generation::A);
    let bytes = other.stand.message(&good);
    let topic = format!("smart/device/in/{FACTORY_ID}");
    assert_eq!(world.stand.topic(), topic);
    world.send_bytes(&bytes);
    assert_eq!(world.dropped(), Some("an envelope 2.1, not 2.2"));

    world.send(5, &json!({"dps": {"1": false}}));
    assert_eq!(world.dropped(), Some("it has no devId"));
    world.send(5, &json!({"devId": "somebodyelse", "dps": {"1": false}}));
    assert_eq!(world.dropped(), Some("its devId is somebodyelse"));
    world.send(5, &json!({"devId": FACTORY_ID, "cid": "a1", "dps": {"1": false}}));
    assert_eq!(world.dropped(), Some("there is no sub-device a1"));
    world.send(302, &json!({"dps": {"1": false}}));
    assert_eq!(world.dropped(), Some("nothing is done with protocol 302"));
    let elsewhere = crate::broker::publish("smart/device/in/other", 1, b"2.2");
    world.send_bytes(&elsewhere);
    assert_eq!(world.dropped(), Some("it came on the topic smart/device/in/other"));
    assert_eq!((world.device.journal().total(), is_on(&world)), (0, true));
}

#[test]
fn questions_are_answered() {
    let mut world = World::online(Generation::A);
    world.send(22, &json!({"reqType": "sigQry"}));
    let heard = world.stand.heard.last().unwrap();
    assert_eq!(heard.protocol(), 23);
    assert!(heard.json["data"]["data"]["signal"].as_i64().unwrap() < 0);
    let json = json!({"protocol": 5, "t": world.unix(), "data": {"devId": FACTORY_ID, "dps": {"1": false}, "ackId": "k7"}});
    world.send_json(&json);
    let acked = world.stand.heard.iter().rev().find(|h| h.protocol() == 26).unwrap();
    assert_eq!(acked.json["data"], json!({"ackId": "k7"}));

    let mut c = World::online(Generation::C);
    let configs = c.stand.count("tuya.device.dynamic.config.get");
    c.send(27, &json!({}));
    assert_eq!(c.stand.count("tuya.device.dynamic.config.get"), configs + 1);
}

#[test]
fn a_reset_by_the_cloud_unbinds_and_the_device_waits_for_its_next_pairing() {
    let mut world = World::online(Generation::C);
    for data in [json!({}), json!({"gwId": "somebodyelse"})] {
        world.send(11, &data);
        assert!(world.client().is_activated(), "{data}");
    }
    world.send(11, &json!({"gwId": FACTORY_ID}));
    assert!(!world.client().is_activated() && !world.device.is_listening() && !world.device.is_online());
    assert_eq!(world.life(), ["reset by the cloud"]);
    assert!(matches!(world.stand.packets.last().unwrap().1, crate::broker::Sent::Disconnect));
    let asked = world.stand.asked.len();
    world.run_for(600);
    assert_eq!(world.stand.asked.len(), asked);
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run_for(5);
    assert!(world.device.is_online());
    assert_eq!(world.stand.last("tuya.device.active").body["devId"], FACTORY_ID, "it mentions its old id");

    world.send_json(&json!({"protocol": 11, "t": world.unix(), "type": "reset_factory",
                            "data": {"gwId": world.device.spec().id}}));
    assert_eq!(world.life().last().unwrap(), "wiped by the cloud");
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run_for(5);
    assert!(world.stand.last("tuya.device.active").body.get("devId").is_none(), "wiped");
    assert_eq!(world.device.journal().disasters(), 0);
}

#[test]
fn a_reset_by_hand_tells_the_cloud_first() {
    for (generation, action) in [(Generation::A, "s.gw.reset"), (Generation::C, "tuya.device.reset")] {
        let mut world = World::online(generation);
        world.device.press(None, &Physical::Reset, at(world.now)).unwrap();
        world.settle();
        let asked = world.stand.last(action);
        let version = asked.request.as_ref().unwrap().version.clone();
        assert_eq!(version.is_none(), generation == Generation::A);
        assert!(!world.client().is_activated());
        assert_eq!(world.life(), ["reset by somebody in the room"]);
        // Without a cloud it is forgotten all the same.
        let mut alone = World::online(generation);
        alone.stand.deaf.push("http".into());
        alone.run_for(20);
        alone.device.press(None, &Physical::Reset, at(alone.now)).unwrap();
        alone.run_for(20);
        assert!(!alone.client().is_activated());
    }
}

#[test]
fn the_three_mistakes_of_a_cloud_that_cost_a_device_are_disasters() {
    for code in ["GATEWAY_NOT_EXISTS", "DEVICE_REMOVED", "DEVICE_HAS_RESET_FACTORY", "DEV_ID_ILLEGAL"] {
        let mut world = World::with(activated(Generation::A), |stand| {
            stand.answer("s.gw.update", &[Answer::Failure(code)]);
        });
        world.run(S(10));
        assert_eq!((world.client().is_activated(), world.device.journal().disasters()), (false, 1), "{code}");
    }
    let mut harmless = World::with(activated(Generation::A), |stand| {
        stand.answer("s.gw.update", &[Answer::Failure("ILLEGAL_PARAM")]);
    });
    harmless.run(S(10));
    assert_eq!((harmless.client().is_activated(), harmless.device.journal().disasters()), (true, 0));

    // resetFactory wipes a device that was not reset by hand just before.
    let mut world = World::online(Generation::C);
    world.send(11, &json!({"gwId": FACTORY_ID}));
    let mut keys = world.stand.activation();
    keys["resetFactory"] = true.into();
    world.stand.answer("tuya.device.active", &[Answer::Result(keys)]);
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run_for(5);
    assert_eq!((world.client().is_activated(), world.device.journal().disasters()), (false, 1));
}
