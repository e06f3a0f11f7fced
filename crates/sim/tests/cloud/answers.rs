//! Answers of the gateway: the clock by them, their signatures, failures (cloud.md 2.5 to 2.7).

use landfall_sim::cloud::Generation;
use landfall_sim::model::Physical;
use serde_json::json;

use crate::replies::config;
use crate::stand::{Answer, EPOCH};
use crate::world::{S, World, activated, at, pairing, spec};

#[test]
fn the_clock_counts_from_power_on_until_an_answer_tells_the_time() {
    let mut spec = spec(Generation::A);
    spec.cloud.as_mut().unwrap().pairing = Some(pairing());
    let mut world = World::with(spec, |stand| stand.deaf.push("http".into()));
    world.run(S(40));
    world.stand.deaf.clear();
    world.until(120, |w| w.device.is_online());
    let t: Vec<u64> = world.stand.asked.iter().take(3).map(|a| a.t()).collect();
    let uptime = world.stand.asked[0].at.as_secs();
    assert!(uptime >= 40);
    assert_eq!(t[0], uptime);
    assert_eq!(t[1], uptime, "the answer to its token tells a device no time");
    assert_eq!(t[2], EPOCH + world.stand.asked[2].at.as_secs());

    world.device.press(None, &Physical::PowerCycle, at(world.now)).unwrap();
    world.stand.deaf.push("http".into());
    world.run_for(30);
    let last = world.stand.heard.last().unwrap();
    assert!(last.json["t"].as_u64().unwrap() < 60, "after a power cut it does not know: {}", last.text);
}

#[test]
fn a_time_in_milliseconds_is_none() {
    let mut world = World::with(activated(Generation::B), |stand| {
        stand.answer("tuya.device.dynamic.config.get", &[Answer::At(EPOCH * 1_000), Answer::Done]);
    });
    world.run(S(30));
    let why = format!("{:?}", world.cloud_news());
    assert!(why.contains("is no time in seconds"), "{why}");
    assert_eq!(world.stand.count("tuya.device.dynamic.config.get"), 2, "the call counts as failed");
}

#[test]
fn answers_must_be_signed_or_say_that_they_are_in_clear() {
    for generation in [Generation::B, Generation::C] {
        let mut spec = spec(generation);
        spec.cloud.as_mut().unwrap().pairing = Some(pairing());
        let active = if generation == Generation::B { "s.gw.dev.pk.active" } else { "tuya.device.active" };
        let mut world = World::with(spec, |stand| {
            let keys = stand.activation();
            stand.answer(active, &[Answer::Forged(keys.clone()), Answer::Clear(keys)]);
        });
        world.run(S(1));
        assert!(!world.client().is_activated(), "a forged answer is none");
        world.run(S(20));
        assert!(world.device.is_online(), "an answer in clear that says so is taken");
        assert_eq!(world.stand.count(active), 2);
    }
}

#[test]
fn failures_are_tried_again_later_and_later() {
    let mut spec = spec(Generation::A);
    spec.cloud.as_mut().unwrap().pairing = Some(pairing());
    let mut world = World::with(spec, |stand| stand.answer("s.gw.token.get", &[Answer::Status(500)]));
    world.run(S(20));
    let soon = world.stand.asked.len();
    world.run(S(600));
    let gaps: Vec<u64> = world.stand.asked.windows(2).map(|w| (w[1].at - w[0].at).as_secs()).collect();
    assert!(gaps[0] <= 2 && gaps.iter().all(|g| *g <= 91), "{gaps:?}");
    assert!((3..=6).contains(&soon) && world.stand.asked.len() < 30, "{gaps:?}");
}

#[test]
fn a_silent_or_closing_gateway_is_tried_again() {
    for answer in [Answer::Silence, Answer::Close, Answer::Status(502)] {
        let mut world = World::with(activated(Generation::C), |stand| {
            let right = Answer::Result(config(1_800));
            stand.answer("tuya.device.dynamic.config.get", &[answer.clone(), right]);
        });
        world.until(30, |w| w.device.is_online());
        assert_eq!(world.stand.count("tuya.device.dynamic.config.get"), 2, "{answer:?}");
    }
}

#[test]
fn poor_activations_are_refused() {
    let poor = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut spec = spec(Generation::C);
        spec.cloud.as_mut().unwrap().pairing = Some(pairing());
        let mut world = World::with(spec, |stand| {
            let mut keys = stand.activation();
            change(&mut keys);
            stand.answer("tuya.device.active", &[Answer::Result(keys)]);
        });
        world.run(S(2));
        world.client().is_activated()
    };
    assert!(poor(&|_| ()));
    assert!(!poor(&|keys| keys["secKey"] = "short".into()));
    assert!(!poor(&|keys| keys["localKey"] = json!(null)));
    assert!(!poor(&|keys| keys["schema"] = "no schema".into()));
    assert!(!poor(&|keys| keys["schemaId"] = "".into()));
    assert!(!poor(&|keys| keys["schemaId"] = "0123456789abcdefg".into()));
    assert!(!poor(&|keys| drop(keys.as_object_mut().unwrap().remove("devId"))));
}

#[test]
fn an_expired_token_ends_the_pairing() {
    let mut spec = spec(Generation::C);
    spec.cloud.as_mut().unwrap().pairing = Some(pairing());
    let mut world = World::with(spec, |stand| {
        stand.answer("tuya.device.active", &[Answer::Failure("EXPIRE"), Answer::Close])
    });
    world.run(S(600));
    assert_eq!(world.stand.count("tuya.device.active"), 1);
    world.stand.answers.clear();
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run_for(5);
    assert!(world.device.is_online());
}
