//! Firmware updates (cloud.md 5).

use landfall_proto::gateway::firmware::{Digests, Offer};
use landfall_sim::cloud::Generation;
use serde_json::{Value, json};

use crate::stand::Answer;
use crate::world::{S, World};

fn image() -> Vec<u8> {
    (0..20_000_u32).map(|n| (n % 251) as u8).collect()
}

fn offer(world: &World, version: &str) -> Value {
    let digests = Digests::of(&world.stand.image, &world.stand.sec_key);
    let url = "http://10.9.8.7/firmware/abc";
    serde_json::to_value(Offer::new(0, version, digests, url, "https://10.9.8.7/firmware/abc").unwrap())
        .unwrap()
}

fn ready(generation: Generation) -> World {
    let mut world = World::online(generation);
    world.stand.image = image();
    let offer = offer(&world, "1.0.10");
    world.stand.answer("tuya.device.upgrade.get", &[Answer::Result(offer)]);
    world
}

fn statuses(world: &World) -> Vec<u64> {
    let asked = world.stand.asked.iter();
    asked.filter_map(|a| a.body["upgradeStatus"].as_u64()).collect()
}

fn check(world: &mut World) {
    world.send(15, &json!({"gwId": world.device.spec().id, "firmwareType": 0}));
}

#[test]
fn each_generation_installs_what_it_is_offered() {
    for generation in Generation::ALL {
        let mut world = ready(generation);
        check(&mut world);
        world.run_for(10);
        assert_eq!(world.life(), ["firmware 1.0.0 became 1.0.10"], "{generation}");
        assert_eq!(statuses(&world), [2, 3]);
        let status = world.stand.asked.iter().find(|a| a.body["upgradeStatus"] == 2).unwrap();
        let ranges: Vec<_> = world
            .stand
            .asked
            .iter()
            .filter(|a| a.action == "firmware")
            .map(|a| a.fields("Range")[0])
            .collect();
        match generation {
            Generation::A => {
                assert_eq!(status.action, "s.gw.upgrade.updatestatus");
                assert_eq!(ranges[..3], ["bytes=0-50", "bytes=51-4146", "bytes=4147-8242"]);
                assert_eq!(ranges.last(), Some(&"bytes=16435-19999"));
            }
            Generation::B => {
                assert_eq!(status.action, "tuya.device.upgrade.status.update");
                assert_eq!(ranges, ["bytes=0-63", "bytes=64-8255", "bytes=8256-16447", "bytes=16448-19999"]);
            }
            Generation::C => assert_eq!(ranges, ["bytes=0-19999/20000"]),
        }
        let progress: Vec<_> = world.stand.heard.iter().filter(|h| h.protocol() == 16).collect();
        let percent =
            |h: &&crate::stand::Heard| h.json["data"]["progress"].as_str().unwrap().parse::<u8>().unwrap();
        let percents: Vec<u8> = progress.iter().map(percent).collect();
        assert!(percents.is_sorted() && percents.last() == Some(&100), "{percents:?}");
        let esp = generation != Generation::C;
        assert_eq!(progress[0].json.get("t").is_some(), esp, "BK sends no time: {}", progress[0].text);
        assert_eq!(progress[0].json["data"].get("gwId").is_some(), esp);
        // It restarted, and says which version it has now.
        assert!(world.device.is_online() && world.stand.connected.len() == 2);
        let told = if esp { "s.gw.update" } else { "tuya.device.versions.update" };
        assert!(world.stand.last(told).body.to_string().contains("1.0.10"));
        assert_eq!(world.client().flash().software, "1.0.10");
        assert!(statuses(&world).len() == 2 && world.stand.count("tuya.device.upgrade.get") == 1);
    }
}

#[test]
fn another_file_than_the_one_offered_is_refused() {
    for (generation, field) in [(Generation::A, "md5"), (Generation::B, "hmac"), (Generation::C, "hmac")] {
        let mut world = ready(generation);
        world.stand.image[777] ^= 1;
        check(&mut world);
        world.run_for(10);
        assert_eq!(statuses(&world), [2, 4], "{generation}");
        assert_eq!(world.client().flash().software, "1.0.0");
        assert!(world.life()[0].contains("not the one that was offered"));
        // Stock compares texts: the other case of the letters is another digest.
        let mut world = ready(generation);
        let mut offer = offer(&world, "2.0.0");
        let digest = offer[field].as_str().unwrap().to_owned();
        let other = if field == "md5" { digest.to_ascii_uppercase() } else { digest.to_ascii_lowercase() };
        offer[field] = other.into();
        world.stand.answer("tuya.device.upgrade.get", &[Answer::Result(offer)]);
        check(&mut world);
        world.run_for(10);
        assert_eq!(statuses(&world), [2, 4], "{generation}");
    }
}

#[test]
fn without_a_result_there_is_no_update() {
    for generation in Generation::ALL {
        let mut world = World::online(generation);
        check(&mut world);
        world.run_for(10);
        assert_eq!(world.stand.count("tuya.device.upgrade.get"), 1);
        assert!(statuses(&world).is_empty() && world.life().is_empty(), "{generation}");
    }
}

#[test]
fn generation_c_wants_to_know_which_firmware() {
    let mut world = ready(Generation::C);
    world.send(15, &json!({"gwId": world.device.spec().id}));
    world.run_for(5);
    assert_eq!(world.stand.count("tuya.device.upgrade.get"), 0);
    let mut a = ready(Generation::A);
    a.send(15, &json!({"gwId": a.device.spec().id}));
    a.run_for(5);
    assert_eq!(a.stand.count("tuya.device.upgrade.get"), 1, "ESP8266 does without");
}

#[test]
fn only_higher_versions_are_installed() {
    for version in ["1.0.0", "0.9.9", "latest"] {
        let mut world = ready(Generation::C);
        let same = offer(&world, version);
        world.stand.answer("tuya.device.upgrade.get", &[Answer::Result(same)]);
        check(&mut world);
        world.run_for(10);
        assert!(statuses(&world).is_empty() && world.life().is_empty(), "{version}");
    }
}

#[test]
fn poor_offers_end_with_status_4() {
    for (generation, field) in [
        (Generation::A, "url"),
        (Generation::A, "md5"),
        (Generation::B, "pskUrl"),
        (Generation::B, "hmac"),
        (Generation::C, "url"),
        (Generation::C, "size"),
    ] {
        let mut world = ready(generation);
        let mut offer = offer(&world, "1.0.1");
        offer.as_object_mut().unwrap().remove(field);
        world.stand.answer("tuya.device.upgrade.get", &[Answer::Result(offer)]);
        check(&mut world);
        world.run_for(10);
        assert_eq!(statuses(&world), [4], "{generation} without {field}");
    }
    let mut world = ready(Generation::C);
    let mut offer = offer(&world, "1.0.1");
    offer["size"] = 20_000.into();
    world.stand.answer("tuya.device.upgrade.get", &[Answer::Result(offer)]);
    check(&mut world);
    world.run_for(10);
    assert_eq!(statuses(&world), [4], "the size is a text");
}

#[test]
fn a_server_without_ranges_gives_the_whole_file() {
    for generation in [Generation::A, Generation::C] {
        let mut world = ready(generation);
        world.stand.ranges = false;
        check(&mut world);
        world.run_for(10);
        assert_eq!(statuses(&world), [2, 3], "{generation}");
        assert_eq!(world.stand.count("firmware"), 1);
    }
}

#[test]
fn a_download_that_fails_is_tried_again_and_then_given_up() {
    let mut world = ready(Generation::B);
    world.stand.answer("firmware", &[Answer::Status(500), Answer::Silence]);
    check(&mut world);
    world.run_for(60);
    assert_eq!((statuses(&world), world.stand.count("firmware")), (vec![2, 4], 3));
    assert!(world.device.is_online(), "and no harm is done");
}

#[test]
fn a_silent_update_installs_itself_and_a_second_question_starts_nothing() {
    let mut world = World::online(Generation::C);
    world.stand.image = image();
    let offer = offer(&world, "1.1.0");
    world.stand.answer("tuya.device.upgrade.silent.get", &[Answer::Result(offer.clone()), Answer::Done]);
    world.stand.answer("tuya.device.upgrade.get", &[Answer::Result(offer)]);
    world.stand.answer("firmware", &[Answer::Silence]);
    world.run(S(24 * 3_600 + 6));
    check(&mut world);
    check(&mut world);
    world.stand.answers.remove("firmware");
    world.run_for(60);
    assert_eq!(world.life(), ["firmware 1.0.0 became 1.1.0"]);
    assert_eq!(statuses(&world), [2, 3]);
}
