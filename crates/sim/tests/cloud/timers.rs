//! Timers (cloud.md 2.8, 6.3).

use landfall_proto::dp::{DpId, DpValue};
use landfall_sim::cloud::Generation;
use landfall_sim::journal::Line;
use serde_json::{Value, json};

use crate::stand::{Answer, EPOCH};
use crate::world::{HOUR, S, World};

fn names(generation: Generation) -> (&'static str, &'static str) {
    match generation {
        Generation::A => ("s.gw.dev.timer.count", "s.gw.dev.timer.get"),
        Generation::B => ("s.gw.dev.timer.count", "tuya.device.timer.get"),
        Generation::C => ("tuya.device.timer.count", "tuya.device.timer.get"),
    }
}

fn count(n: u32, last_fetch: u64) -> Answer {
    Answer::Result(json!({"devId": "x", "count": n, "lastFetchTime": last_fetch}))
}

fn timer(id: u32, date: &str, time: &str, loops: u8, dps: &Value) -> Value {
    json!({"id": id.to_string(), "date": date, "time": time, "loops": loops, "dps": dps})
}

fn page(timers: &[Value]) -> Answer {
    Answer::Result(json!({"devId": "x", "timers": timers}))
}

/// The device with these timers, told of them by protocol 13.
fn with_timers(generation: Generation, timers: &[Value]) -> World {
    let mut world = World::online(generation);
    let (counts, gets) = names(generation);
    world.stand.answer(counts, &[count(u32::try_from(timers.len()).unwrap(), 7)]);
    world.stand.answer(gets, &[page(timers)]);
    world.send(13, &json!({}));
    world.run_for(1);
    assert_eq!(world.client().flash().timers.list.len(), timers.len());
    world
}

/// 2026-03-20 10:46:40 in the device's zone, a Friday.
const START: u64 = EPOCH + 3_600;

#[test]
fn the_world_begins_on_a_friday_morning() {
    assert_eq!(START % 86_400, 10 * 3_600 + 46 * 60 + 40);
    assert_eq!((START / 86_400 + 4) % 7, 5);
}

#[test]
fn protocol_13_makes_it_count_and_fetch_page_by_page() {
    for generation in Generation::ALL {
        let mut world = World::online(generation);
        let (counts, gets) = names(generation);
        let all: Vec<Value> =
            (0..7).map(|n| timer(n, "00000000", "18:02", 62, &json!({"1": true}))).collect();
        world.stand.answer(counts, &[count(7, 99)]);
        world.stand.answer(gets, &[page(&all[..5]), page(&all[5..])]);
        world.send(13, &json!({"gwId": world.device.spec().id}));
        world.run_for(1);
        let flash = world.client().flash();
        assert_eq!((flash.timers.list.len(), flash.timers.last_fetch), (7, 99), "{generation}");
        let offsets: Vec<_> = world
            .stand
            .asked
            .iter()
            .filter(|a| a.action == gets)
            .map(|a| a.body["offset"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(offsets, ["0", "5"]);
        if generation == Generation::C {
            world.stand.answer(counts, &[count(7, 99)]);
            world.send(13, &json!({}));
            assert_eq!(world.stand.last(counts).body["lastFetchTime"], "99", "as text");
        }
    }
}

#[test]
fn an_equal_time_keeps_the_timers_and_an_empty_count_with_another_erases_them() {
    let mut world = with_timers(Generation::C, &[timer(1, "00000000", "18:02", 62, &json!({"1": false}))]);
    let fetched = world.stand.count("tuya.device.timer.get");
    for n in [0, 1, 5] {
        world.stand.answer("tuya.device.timer.count", &[count(n, 7)]);
        world.send(13, &json!({}));
        world.run_for(1);
        assert_eq!(world.client().flash().timers.list.len(), 1, "count {n}, the same time: kept");
    }
    assert_eq!(world.stand.count("tuya.device.timer.get"), fetched, "and not fetched");
    world.stand.answer("tuya.device.timer.count", &[count(0, 8)]);
    world.send(13, &json!({}));
    world.run_for(1);
    assert!(world.client().flash().timers.list.is_empty());
}

#[test]
fn timers_outlive_a_power_cut_and_a_poor_answer() {
    let mut world = with_timers(Generation::C, &[timer(1, "00000000", "18:02", 62, &json!({"1": false}))]);
    world.stand.answer("tuya.device.timer.count", &[count(2, 9)]);
    world.stand.answer("tuya.device.timer.get", &[Answer::Done]);
    world.send(13, &json!({}));
    world.run_for(1);
    assert_eq!(world.client().flash().timers.last_fetch, 7, "no timers came, so the old ones stay");
    let now = crate::world::at(world.now);
    world.device.press(None, &landfall_sim::model::Physical::PowerCycle, now).unwrap();
    world.stand.answer("tuya.device.timer.count", &[count(1, 7)]);
    world.run_for(20);
    assert_eq!(world.client().flash().timers.list.len(), 1);
}

#[test]
fn they_run_at_their_minute_on_their_days() {
    // Monday to Friday, Saturday, and once.
    let timers = [
        timer(1, "00000000", "11:00", 62, &json!({"1": false})),
        timer(2, "00000000", "12:00", 64, &json!({"2": 60})),
        timer(3, "20260320", "13:30", 0, &json!({"1": true})),
    ];
    let mut world = with_timers(Generation::C, &timers);
    let minute_of = |t: std::time::Duration| (START + t.as_secs()) % 86_400 / 60;
    world.run(S(5 * 24 * HOUR));
    let ran: Vec<_> = world
        .device
        .journal()
        .turns()
        .into_iter()
        .map(|(at, life)| (((START + at.as_secs()) / 86_400 + 4) % 7, minute_of(at), life.to_string()))
        .collect();
    let want =
        |day: u64, hour: u64, minute: u64, id: u32| (day, hour * 60 + minute, format!("timer {id} ran"));
    assert_eq!(
        ran,
        [
            want(5, 11, 0, 1),
            want(5, 13, 30, 3),
            want(6, 12, 0, 2),
            want(1, 11, 0, 1),
            want(2, 11, 0, 1),
            want(3, 11, 0, 1)
        ][..ran.len()]
    );
    assert!(ran.len() >= 5, "{ran:?}");
    assert_eq!(world.client().flash().timers.list.len(), 2, "the single one is gone");
    let writes = world.device.journal().writes();
    assert!(writes.iter().all(|w| w.line == Line::Timer));
    assert_eq!((writes[0].dp, writes[0].value.clone()), (DpId(1), DpValue::Bool(false)));
    assert!(world.reports(0).contains(&r#"{"1":false}"#.to_owned()), "the cloud sees what they did");
    assert_eq!(world.stand.count("tuya.device.timer.log.upload"), ran.len());
}

#[test]
fn daylight_saving_moves_them() {
    let mut world = with_timers(Generation::C, &[timer(1, "00000000", "12:00", 127, &json!({"2": 60}))]);
    let summer = [EPOCH, EPOCH + 90 * 86_400];
    world.send(41, &json!({"dstIntervals": [summer]}));
    // Noon in summer is an hour earlier.
    world.run(S(13 * 60 + 30));
    assert_eq!(world.life(), ["timer 1 ran"]);
}

#[test]
fn without_a_clock_nothing_runs() {
    let mut world = with_timers(Generation::A, &[timer(1, "00000000", "10:50", 127, &json!({"1": false}))]);
    let now = crate::world::at(world.now);
    world.stand.deaf.extend(["http".to_owned(), "mqtt".to_owned()]);
    world.device.press(None, &landfall_sim::model::Physical::PowerCycle, now).unwrap();
    world.run(S(48 * HOUR));
    assert!(world.life().is_empty(), "it does not know what time it is");
    world.stand.deaf.clear();
    world.run_for(25 * HOUR);
    assert_eq!(world.life(), ["timer 1 ran"]);
}

#[test]
fn a_clock_that_is_set_back_by_a_moment_runs_nothing_twice() {
    let mut world = with_timers(Generation::B, &[timer(1, "00000000", "10:50", 127, &json!({"2": 60}))]);
    let minute = S(200 - 1);
    world.run(minute);
    world.run_for(2);
    assert_eq!(world.life(), ["timer 1 ran"]);
    world.stand.answer("tuya.device.dynamic.config.get", &[Answer::At(world.unix() - 30)]);
    world.send(27, &json!({}));
    world.run_for(120);
    assert_eq!(world.life(), ["timer 1 ran"]);
}
