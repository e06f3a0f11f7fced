//! From power-on to the steady state (cloud.md 1.3 to 1.7, 2).

use landfall_proto::gateway::KeyKind;
use landfall_proto::psk::{Identity, PREFIX_ESP8266, PskType};
use landfall_sim::cloud::{Generation, Place, PskMode, Transport};
use landfall_sim::model::Physical;
use serde_json::json;

use crate::broker::Sent;
use crate::replies::{config, endpoints, places, secure_endpoints};
use crate::stand::{Answer, NEW_ID};
use crate::world::{FACTORY_ID, HOUR, S, World, activated, at, pairing, spec};

fn paired(generation: Generation) -> World {
    let mut spec = spec(generation);
    spec.cloud.as_mut().unwrap().pairing = Some(pairing());
    World::new(spec)
}

#[test]
fn generation_a_boots_in_the_order_that_was_seen() {
    let mut world = paired(Generation::A);
    world.run(S(5));
    assert!(world.device.is_online());
    let actions = world.stand.actions();
    assert_eq!(
        actions,
        [
            "s.gw.token.get",
            "s.gw.dev.pk.active",
            "s.gw.update",
            "s.gw.dev.update",
            "atop.online.debug.log",
            "tuya.device.upgrade.silent.get",
            "s.gw.dev.timer.count",
        ]
    );
    let versions: Vec<_> =
        world.stand.asked.iter().map(|a| a.request.as_ref().unwrap().version.clone()).collect();
    let v = |text: &str| Some(text.to_owned());
    assert_eq!(versions, [v("3.0"), v("3.0"), v("2.0"), v("2.0"), None, v("4.1"), None]);
    for asked in &world.stand.asked {
        let request = asked.request.as_ref().unwrap();
        assert!(asked.target.starts_with("/gw.json?a=") && !asked.target.contains("et="), "{}", asked.target);
        assert_eq!((asked.method.as_str(), request.gw_id.as_ref().unwrap().as_str()), ("POST", FACTORY_ID));
        assert_eq!(asked.fields("Ty-Ua"), ["HW"]);
        assert_eq!(asked.place.transport, Transport::Plain);
    }
    // The first host is the vendor's, then the one that was told.
    let hosts: Vec<_> = world.stand.asked.iter().map(|a| (a.place.host.as_str(), a.place.port)).collect();
    assert_eq!((hosts[0], hosts[1]), (("a.gw.tuyaeu.com", 80), ("10.9.8.7", 80)));
    // Braces and quotes stand in the request line as they are.
    assert!(
        world.stand.asked[0].target.contains(r#"&other={"token":"AbCdEfGh","region":"EU","tlinkStat":{"#)
    );
    assert!(world.stand.asked[1].target.contains(r#"&other={"token":"AbCdEfGh"}&"#));
    let connected = &world.stand.connected[0];
    assert_eq!((connected.place.host.as_str(), connected.place.port), ("10.9.8.7", 1883));
    let Sent::Connect { name, level, client_id, user_name, .. } = &connected.packet else { panic!() };
    assert_eq!((name.as_str(), *level), ("MQIsdp", 3));
    assert_eq!((client_id.as_str(), user_name.as_str()), (FACTORY_ID, FACTORY_ID));
    assert_eq!(world.stand.topic(), format!("smart/device/in/{FACTORY_ID}"));
    assert_eq!(world.life(), [format!("activated as {FACTORY_ID}")]);
}

#[test]
fn mqtt_comes_between_the_activation_and_the_rest() {
    for (generation, before) in [
        (Generation::A, &["s.gw.token.get", "s.gw.dev.pk.active"][..]),
        (Generation::B, &["s.gw.token.get", "s.gw.dev.pk.active"]),
        (
            Generation::C,
            &[
                "url_config",
                "tuya.device.active",
                "tuya.device.dynamic.config.get",
                "tuya.device.dynamic.config.ack",
                "tuya.device.uuid.pskkey.get",
            ],
        ),
    ] {
        let mut world = paired(generation);
        world.stand.deaf.push("mqtt".into());
        world = World::with(world.device.spec().clone(), |stand| stand.deaf.push("mqtt".into()));
        world.run(S(3));
        assert_eq!(world.stand.actions(), before, "{generation}: nothing more without MQTT");
        assert!(!world.device.is_online());
        world.stand.deaf.clear();
        world.until(30, |w| w.device.is_online());
        world.run_for(1);
        assert!(world.stand.asked.len() > before.len(), "{generation}");
    }
}

#[test]
fn generation_b_asks_by_get_over_psk() {
    let mut world = paired(Generation::B);
    world.run(S(5));
    assert_eq!(
        world.stand.actions(),
        [
            "s.gw.token.get",
            "s.gw.dev.pk.active",
            "tuya.device.dynamic.config.get",
            "tuya.device.dynamic.config.ack",
            "s.gw.update",
            "s.gw.dev.update",
            "atop.online.debug.log",
            "tuya.device.upgrade.silent.get",
            "s.gw.dev.timer.count",
        ]
    );
    let first = &world.stand.asked[0];
    assert_eq!((first.method.as_str(), first.fields("Content-Length").len()), ("GET", 0));
    assert_eq!((first.place.host.as_str(), first.place.port), ("a3.tuyaeu.com", 443));
    assert_eq!(first.fields("User-Agent"), ["ESP8266SDK"]);
    assert!(world.stand.asked.iter().all(|a| a.target.contains("&et=1&")));
    let connected = &world.stand.connected[0].place;
    assert_eq!((connected.host.as_str(), connected.port), ("10.9.8.7", 8886));
    for place in [&first.place, connected] {
        let Transport::Psk(login) = &place.transport else { panic!("{place:?}") };
        // ESP8266 hashes its device id.
        let want = Identity::type_1(PREFIX_ESP8266, FACTORY_ID, &world.stand.auth_key);
        assert_eq!(login.identity, want);
        assert!(login.key(None).is_none(), "without a hint it stops");
        assert!(login.key(Some(landfall_proto::psk::HINT.as_bytes())).is_some());
    }
}

#[test]
fn generation_b_falls_back_to_clear_mqtt() {
    let mut world = World::with(spec(Generation::B), |stand| {
        stand.answer("s.gw.token.get", &[Answer::Result(places())]);
        stand.deaf.push("mqtt".into());
    });
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run(S(60));
    let ports: Vec<u16> =
        world.stand.opened.iter().map(|(_, p)| p.port).filter(|p| [1883, 8886].contains(p)).collect();
    assert_eq!(ports[..4], [8886, 8886, 8886, 1883]);
}

#[test]
fn generation_c_boots_in_the_order_that_was_seen() {
    let mut world = paired(Generation::C);
    world.run(S(5));
    assert_eq!(
        world.stand.story,
        [
            "url_config",
            "tuya.device.active",
            "tuya.device.dynamic.config.get",
            "tuya.device.dynamic.config.ack",
            "tuya.device.uuid.pskkey.get",
            "MQTT",
            "tuya.device.upgrade.silent.get",
            "tuya.device.timer.count",
            "atop.online.debug.log",
            "tuya.device.versions.update",
            "tuya.device.schema.newest.get",
        ]
    );
    let first = &world.stand.asked[0];
    assert_eq!((first.place.host.as_str(), first.place.port), ("h3.iot-dns.com", 443));
    assert!(matches!(first.place.transport, Transport::Psk(_)));
    assert_eq!(first.body["region"], "EU");
    let keys: Vec<_> = first.body["config"].as_array().unwrap().iter().map(|c| c["key"].clone()).collect();
    assert_eq!(keys, ["httpUrl", "mqttUrl", "httpsPSKUrl", "mqttsPSKUrl"]);
    // Told clear addresses only, it goes on in clear.
    assert!(world.stand.opened[1..].iter().all(|(_, p)| p.transport == Transport::Plain));
    let active = &world.stand.asked[1];
    let request = active.request.as_ref().unwrap();
    assert!(active.target.starts_with("/d.json?a=tuya.device.active&et=1&t="));
    assert_eq!((request.key_kind(), request.version.as_deref()), (KeyKind::Auth, Some("4.4")));
    assert!(request.uuid.is_some() && request.dev_id.is_none());
    assert_eq!((&active.body["token"], &active.body["protocolVer"]), (&json!("AbCdEfGh"), &json!("2.2")));
    assert_eq!(active.fields("User-Agent").len(), 2, "the User-Agent comes twice");
    let later = world.stand.last("tuya.device.timer.count").request.as_ref().unwrap();
    assert_eq!(later.dev_id.as_ref().unwrap().as_str(), NEW_ID);
    assert!(world.stand.asked[1..].iter().all(|a| a.body["t"] == a.t()), "every body carries the time");
    assert_eq!(world.stand.last("tuya.device.dynamic.config.ack").body["ackList"][0]["ackId"], "0-0");
    assert_eq!(world.device.spec().id.as_str(), NEW_ID);
    assert_eq!(world.stand.topic(), format!("smart/device/in/{NEW_ID}"));
    let Sent::Connect { name, level, .. } = &world.stand.connected[0].packet else { panic!() };
    assert_eq!((name.as_str(), *level), ("MQTT", 4));
}

#[test]
fn generation_c_stays_with_psk_where_it_is_told_so_and_cannot_without() {
    let mut world = World::with(activated(Generation::C), |stand| {
        stand.answer("url_config", &[Answer::Result(secure_endpoints())]);
    });
    world.run(S(3));
    let places: Vec<_> = world.stand.opened.iter().map(|(_, p)| (p.port, p.transport.clone())).collect();
    assert!(places.iter().all(|(port, t)| [443, 8886].contains(port) && matches!(t, Transport::Psk(_))));
    assert!(world.device.is_online());

    let mut plain = activated(Generation::C);
    plain.cloud.as_mut().unwrap().psk = PskMode::Off;
    let mut world = World::with(plain, |stand| {
        stand.answer("url_config", &[Answer::Result(secure_endpoints())]);
    });
    world.run(S(30));
    assert!(world.stand.actions().iter().all(|a| *a == "url_config"), "no address that it can use");
    assert!(world.stand.count("url_config") > 2);
    let clear = Place { host: "h3.iot-dns.com".into(), port: 443, transport: Transport::Plain };
    assert_eq!(world.stand.asked[0].place, clear);
}

#[test]
fn a_psk_key_moves_the_device_to_type_2_for_good() {
    let mut world = World::with(activated(Generation::C), |stand| {
        stand.answer("url_config", &[Answer::Result(secure_endpoints())]);
        let key = json!({"pskKey": "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr"});
        stand.answer("tuya.device.uuid.pskkey.get", &[Answer::Result(key)]);
    });
    let kind = |place: &Place| match &place.transport {
        Transport::Psk(login) => login.identity.kind(),
        Transport::Plain => panic!("{place:?}"),
    };
    world.run(S(3));
    assert_eq!(kind(&world.stand.asked[0].place), PskType::One);
    assert_eq!(kind(&world.stand.connected[0].place), PskType::Two);
    world.device.press(None, &Physical::PowerCycle, at(world.now)).unwrap();
    let before = world.stand.asked.len();
    world.run(S(10));
    assert_eq!(kind(&world.stand.asked[before].place), PskType::Two);
    assert_eq!(world.stand.count("tuya.device.uuid.pskkey.get"), 1, "it has a key now");
}

#[test]
fn an_activated_device_skips_what_leads_to_its_keys() {
    for (generation, first) in [
        (Generation::A, "s.gw.update"),
        (Generation::B, "tuya.device.dynamic.config.get"),
        (Generation::C, "url_config"),
    ] {
        let world = World::online(generation);
        let actions = world.stand.actions();
        assert_eq!(actions[0], first, "{generation}");
        assert!(!actions.iter().any(|a| a.contains("active") || a.contains("token")), "{actions:?}");
        assert_eq!(world.device.spec().id.as_str(), FACTORY_ID);
    }
    let a = World::online(Generation::A);
    let hosts: Vec<_> = a.stand.opened.iter().map(|(_, p)| p.host.as_str()).collect();
    assert_eq!(hosts, ["mq.gw.tuyaus.com", "a.tuyaus.com"], "the names of the seed");
}

#[test]
fn nothing_is_asked_before_the_pairing_and_pairing_takes_once() {
    let mut world = World::new(spec(Generation::C));
    world.run(S(HOUR));
    assert!(world.stand.opened.is_empty() && !world.device.is_listening());
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run_for(5);
    assert!(world.device.is_online() && world.device.is_listening());
    let error = world.device.pair(pairing(), at(world.now)).unwrap_err();
    assert_eq!(error.to_string(), "the device is activated already; reset it first");
}

#[test]
fn generation_c_never_opens_mqtt_without_a_configuration() {
    let mut world = World::with(activated(Generation::C), |stand| {
        stand.answer("tuya.device.dynamic.config.get", &[Answer::Done]);
    });
    world.run(S(600));
    assert!(world.stand.count("tuya.device.dynamic.config.get") > 100, "again and again");
    assert!(world.stand.connected.is_empty());
    world.stand.answer("tuya.device.dynamic.config.get", &[Answer::Result(config(1_800))]);
    world.run_for(10);
    assert!(world.device.is_online());

    let mut b = World::with(activated(Generation::B), |stand| {
        stand.answer("tuya.device.dynamic.config.get", &[Answer::Done]);
    });
    b.run(S(60));
    assert_eq!(b.stand.count("tuya.device.dynamic.config.get"), 1, "B goes on without");
}

#[test]
fn calls_come_round_again() {
    let mut world = World::online(Generation::C);
    world.run(S(26 * HOUR));
    let counts = world.stand.count("tuya.device.timer.count");
    assert!((60..=64).contains(&counts), "every 25 minutes: {counts}");
    assert_eq!(world.stand.count("tuya.device.upgrade.silent.get"), 2, "daily");
    assert_eq!(world.stand.count("url_config"), 1);
    assert_eq!(world.stand.connected.len(), 1, "and MQTT stays up");
}

#[test]
fn generation_a_asks_for_its_timers_for_ever_when_it_gets_no_count() {
    let mut world = World::with(activated(Generation::A), |stand| {
        stand.answer("s.gw.dev.timer.count", &[Answer::Done]);
    });
    world.run(S(600));
    assert!(world.stand.count("s.gw.dev.timer.count") >= 18);
}

#[test]
fn after_long_failures_the_name_service_is_asked_again() {
    let mut world = World::online(Generation::C);
    world.stand.deaf.push("mqtt".into());
    let mut other = endpoints();
    other["mqttUrl"]["addr"] = "10.9.8.6:1883".into();
    world.stand.answer("url_config", &[Answer::Result(other)]);
    world.hang_up_mqtt();
    world.run_for(120);
    assert!(world.stand.count("url_config") >= 2);
    world.stand.deaf.clear();
    world.until(60, |w| w.device.is_online());
    assert_eq!(world.stand.connected.last().unwrap().place.host, "10.9.8.6");
}

#[test]
fn connections_are_kept_for_the_next_call_and_for_a_while_only() {
    let mut world = World::online(Generation::C);
    let calls = world.stand.asked.len();
    let lines = world.stand.opened.iter().filter(|(_, p)| p.port != 1883).count();
    assert_eq!((lines, calls), (2, 9), "one to the name service, one to the gateway");
    world.run_for(30 * 60);
    let lines = world.stand.opened.iter().filter(|(_, p)| p.port != 1883).count();
    assert_eq!((lines, world.stand.asked.len()), (3, 10), "25 minutes later it opens a new one");
}

#[test]
fn flash_survives_a_power_cycle() {
    let mut world = paired(Generation::C);
    world.run(S(5));
    let (asked, id) = (world.stand.asked.len(), world.device.spec().id.clone());
    world.device.press(None, &Physical::PowerCycle, at(world.now)).unwrap();
    world.settle();
    assert!(!world.device.is_online());
    world.run_for(10);
    assert!(world.device.is_online());
    let again: Vec<_> = world.stand.actions()[asked..].to_vec();
    assert_eq!(again[0], "url_config");
    assert!(!again.contains(&"tuya.device.active") && !again.contains(&"tuya.device.versions.update"));
    assert_eq!((world.device.spec().id.clone(), world.device.journal().disasters()), (id, 0));
}
