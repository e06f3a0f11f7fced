//! MQTT connections: acknowledgements, pings, refusals, losing and finding the broker (cloud.md 4.1, 1.7).

use landfall_sim::cloud::Generation;

use crate::broker::{self, Sent};
use crate::world::{S, World, activated};

fn sessions(world: &World) -> usize {
    world.stand.connected.len()
}

#[test]
fn three_missing_acknowledgements_close_the_link() {
    let mut world = World::online(Generation::C);
    world.run_for(20);
    world.stand.acknowledges = false;
    for value in ["false", "true"] {
        world.set(&format!(r#"{{"1":{value}}}"#));
        world.run_for(9);
    }
    assert_eq!((sessions(&world), world.device.is_online()), (1, true), "two are borne");
    world.set(r#"{"1":false}"#);
    world.run_for(9);
    assert!(world.stand.mqtt_line().is_none() || sessions(&world) > 1);
    let news = format!("{:?}", world.cloud_news());
    assert!(news.contains("three acknowledgements are missing"), "{news}");
    world.stand.acknowledges = true;
    world.until(30, |w| w.device.is_online());
}

#[test]
fn an_acknowledgement_makes_up_for_missing_ones() {
    let mut world = World::online(Generation::C);
    world.run_for(20);
    for round in 0..4 {
        world.stand.acknowledges = false;
        world.set(&format!(r#"{{"1":{}}}"#, round % 2 == 0));
        world.run_for(9);
        world.stand.acknowledges = true;
        world.set(&format!(r#"{{"2":{}}}"#, 100 + round));
        world.run_for(1);
    }
    assert_eq!(sessions(&world), 1);
}

#[test]
fn code_5_is_a_disaster_and_other_codes_are_not() {
    for code in 1..=4 {
        let mut world = World::with(activated(Generation::B), |stand| stand.connack = code);
        world.run(S(60));
        assert!(world.client().is_activated() && sessions(&world) > 3, "code {code}");
        assert_eq!(world.device.journal().disasters(), 0);
        world.stand.connack = 0;
        world.until(30, |w| w.device.is_online());
    }
    for generation in Generation::ALL {
        let mut world = World::with(activated(generation), |stand| stand.connack = 5);
        world.run(S(60));
        assert!(!world.client().is_activated() && !world.device.is_listening(), "{generation}");
        assert_eq!((sessions(&world), world.device.journal().disasters()), (1, 1));
    }
}

#[test]
fn a_broker_that_closes_without_a_word_does_no_harm() {
    let mut world = World::online(Generation::C);
    for _ in 0..5 {
        world.hang_up_mqtt();
        assert!(!world.device.is_online());
        world.until(30, |w| w.device.is_online());
    }
    assert_eq!((sessions(&world), world.device.journal().disasters()), (6, 0));
}

#[test]
fn the_broker_is_tried_later_and_later_but_soon_enough() {
    let mut world = World::online(Generation::A);
    world.stand.deaf.push("mqtt".into());
    let from = world.stand.opened.len();
    world.hang_up_mqtt();
    world.run_for(300);
    let tries: Vec<u64> = world.stand.opened[from..]
        .iter()
        .filter(|(_, p)| p.port == 1883)
        .map(|(at, _)| at.as_secs())
        .collect();
    let gaps: Vec<u64> = tries.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.iter().all(|g| (1..=13).contains(g)), "{gaps:?}");
    assert!((24..=60).contains(&tries.len()), "{tries:?}");
}

#[test]
fn it_pings_when_it_has_nothing_to_say_and_minds_the_answer() {
    let mut world = World::with(activated(Generation::C), |stand| stand.schema = "[]".into());
    world.run(S(1));
    let keep_alive = match &world.stand.connected[0].packet {
        Sent::Connect { keep_alive, .. } => u64::from(*keep_alive),
        other => panic!("{other:?}"),
    };
    // Without energy readings a plug says nothing by itself.
    let quiet = |world: &World, from: usize| {
        world.stand.packets[from..].iter().filter(|(_, p)| matches!(p, Sent::Ping)).count()
    };
    let mut silent = World::with(silent_device(), |_| ());
    silent.run(S(1));
    let from = silent.stand.packets.len();
    silent.run_for(3 * keep_alive + 1);
    assert_eq!((quiet(&silent, from), sessions(&silent)), (3, 1));
    silent.stand.pongs = false;
    silent.run_for(keep_alive + 15);
    assert!(format!("{:?}", silent.cloud_news()).contains("no answer to a ping"));
}

/// A switch measures nothing.
fn silent_device() -> landfall_sim::spec::DeviceSpec {
    let plug = activated(Generation::C);
    let mut spec = landfall_sim::spec::DeviceSpec::new(
        plug.id.clone(),
        plug.key.clone(),
        plug.version,
        landfall_sim::kind::Kind::Switch22,
    );
    spec.cloud = plug.cloud;
    spec
}

#[test]
fn an_answer_that_never_comes_is_not_waited_for() {
    // The login is answered with nothing that is an answer.
    let mut world = World::with(activated(Generation::B), |stand| stand.deaf.push("mqtt".into()));
    world.run(S(2));
    assert!(format!("{:?}", world.cloud_news()).contains("connection refused"));
    world.stand.deaf.clear();
    world.until(30, |w| w.device.is_online());
    world.send_bytes(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert!(!world.device.is_online(), "a malformed packet ends the link");
    world.until(30, |w| w.device.is_online());
    let topic = world.stand.topic().to_owned();
    world.send_bytes(&broker::publish(&topic, 2, b"2.2"));
    assert!(format!("{:?}", world.cloud_news()).contains("quality of service 2"));
}

#[test]
fn messages_with_quality_1_are_acknowledged() {
    let mut world = World::online(Generation::C);
    let before = world.stand.packets.len();
    world.set(r#"{"1":false}"#);
    let acks = world.stand.packets[before..].iter().filter(|(_, p)| *p == Sent::PubAck { id: 77 }).count();
    assert_eq!(acks, 1);
}
