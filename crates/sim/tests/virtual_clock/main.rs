//! A virtual device and a client session on a virtual clock: nothing here touches a socket or waits.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic.

mod world;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::lan::discovery::{self, Datagram};
use landfall_proto::lan::session::{Answer, Event, Request};
use landfall_proto::lan::{Command, Version};
use landfall_sim::device::{Admission, Ending, Output, VirtualDevice};
use landfall_sim::faults::{DelayPlan, Fault, FaultPlan, RebootPlan};
use landfall_sim::kind::Kind;
use landfall_sim::load::Load;
use landfall_sim::model::Physical;
use landfall_sim::news::News;
use landfall_sim::spec::{Habits, Quiet};
use proptest::prelude::*;

use world::{MS, S, World, at, spec};

#[test]
fn announcements_come_every_five_seconds_and_stop_while_clients_are_served() {
    for (version, quiet, clients, want) in [
        (Version::V3_1, Quiet::Any, 0, 12),
        (Version::V3_3, Quiet::Any, 1, 0),
        (Version::V3_4, Quiet::Full, 1, 12),
        (Version::V3_4, Quiet::Full, 3, 0),
        (Version::V3_4, Quiet::Never, 3, 12),
    ] {
        let mut spec = spec(version, Kind::Plug);
        spec.habits.quiet = quiet;
        let mut world = World::new(spec);
        for _ in 0..clients {
            world.connect();
        }
        world.run(S(60));
        assert_eq!(world.announcements(), want, "{version} {quiet:?} {clients}");
        for client in 0..clients {
            world.close(client);
        }
        let before = world.announcements();
        world.run(S(70));
        assert!(world.announcements() > before, "{version} speaks again");
    }
}

#[test]
fn announcements_say_who_it_is() {
    for version in [Version::V3_1, Version::V3_2, Version::V3_3, Version::V3_4, Version::V3_5] {
        let mut spec = spec(version, Kind::Plug);
        spec.habits.silent = false;
        let mut world = World::new(spec);
        world.device.set_address(Ipv4Addr::new(127, 66, 0, 9));
        world.run(S(2));
        let datagram = world.outputs.iter().find_map(|o| match o {
            Output::Announce(datagram) => Some(datagram),
            _ => None,
        });
        let Ok(Datagram::Beacon(beacon)) = discovery::parse(datagram.unwrap()) else { panic!("{version}") };
        assert_eq!(beacon.id, world.device.spec().id);
        assert_eq!(beacon.version, Some(version));
        assert_eq!(beacon.ip, Some(Ipv4Addr::new(127, 66, 0, 9)));
        assert_eq!(beacon.product_id.unwrap().as_str(), world.device.spec().product().id);
    }
}

#[test]
fn a_silent_device_answers_when_asked_once_a_second() {
    let answers = |world: &World| world.outputs.iter().filter(|o| matches!(o, Output::Answer { .. })).count();
    let asker = Ipv4Addr::LOCALHOST;
    let mut world = World::new(spec(Version::V3_5, Kind::Plug));
    world.run(S(20));
    assert_eq!(world.announcements(), 0);
    for (ms, want) in [(0, 1), (400, 1), (999, 1), (1_000, 2)] {
        world.now = S(20) + MS(ms);
        world.device.handle_ask(asker, at(world.now));
        world.settle();
        assert_eq!(answers(&world), want, "after {ms} ms");
    }
    let mut other = World::new(spec(Version::V3_4, Kind::Plug));
    other.device.handle_ask(asker, at(S(1)));
    other.settle();
    assert_eq!(answers(&other), 0, "only 3.5 answers");
}

#[test]
fn a_dropped_request_has_no_effect_and_a_delayed_one_a_late_one() {
    let mut world = World::new(spec(Version::V3_4, Kind::Plug));
    let client = world.connect();
    world.run(S(1));
    world.device.fault(Fault::Drop, at(world.now));
    let lost = world.set(client, r#"{"1":false}"#);
    world.run(S(7));
    assert_eq!((world.ended_well(client, lost), world.device.journal().total()), (Some(false), 0));

    world.device.fault(Fault::Delay(S(8)), at(world.now));
    let late = world.set(client, r#"{"1":false}"#);
    world.run(S(14));
    assert_eq!((world.ended_well(client, late), world.device.journal().total()), (Some(false), 0));
    world.run(S(16));
    let writes = world.device.journal().writes();
    assert_eq!((writes.len(), writes[0].at), (1, S(15)), "carried out after the client gave up");
    assert!(world.reports(client).contains(&r#"{"1":false}"#.to_owned()));
}

#[test]
fn what_was_taken_in_is_carried_out_though_the_client_left() {
    let mut world = World::new(spec(Version::V3_3, Kind::Feeder));
    let client = world.connect();
    world.device.fault(Fault::Delay(S(3)), at(world.now));
    world.set(client, r#"{"3":2}"#);
    world.close(client);
    assert_eq!((world.device.journal().total(), world.device.clients()), (0, 0));
    world.run(S(4));
    assert_eq!(world.device.journal().total(), 1);
    world.run(S(8));
    world.device.catch_up(at(world.now));
    assert_eq!(world.device.points(None).unwrap().value(DpId(15)), Some(&DpValue::Value(2)));
}

#[test]
fn a_reset_may_come_after_the_deed() {
    let mut plan = spec(Version::V3_3, Kind::Plug);
    plan.faults = FaultPlan { reset: 1.0, ..FaultPlan::default() };
    let (mut done, mut undone) = (0, 0);
    for seed in 0..40 {
        plan.seed = seed;
        let mut world = World::new(plan.clone());
        let client = world.connect();
        let id = world.set(client, r#"{"1":false}"#);
        assert_eq!(world.clients[client].ended, Some(Ending::Reset));
        assert_eq!(world.ended_well(client, id), Some(false));
        match world.device.journal().total() {
            0 => undone += 1,
            1 => done += 1,
            n => panic!("{n} writes from one request"),
        }
    }
    assert!(done > 5 && undone > 5, "{done} done, {undone} undone");
}

#[test]
fn a_half_open_connection_holds_its_place() {
    let mut one = spec(Version::V3_3, Kind::Plug);
    one.clients = 1;
    let mut world = World::new(one);
    let first = world.connect();
    world.run(S(5));
    world.device.fault(Fault::HalfOpen, at(world.now));
    world.settle();
    assert_eq!(world.clients[first].ended, Some(Ending::Silence));
    let second = world.connect();
    assert!(world.clients[second].connection.is_none());
    world.run(S(36));
    let third = world.connect();
    assert!(world.clients[third].connection.is_some(), "free again after the idle time");
}

#[test]
fn a_reboot_closes_refuses_and_forgets() {
    let mut planned = spec(Version::V3_5, Kind::Plug);
    planned.faults.reboot = Some(RebootPlan { every: S(60), down: S(8) });
    let mut world = World::new(planned);
    let client = world.connect();
    world.run(S(1));
    world.set(client, r#"{"38":"power_off","9":300}"#);
    while world.device.is_up() {
        let step = world.now + S(1);
        world.run(step);
        assert!(step < S(700), "it never rebooted");
    }
    assert!(matches!(world.clients[client].ended, Some(Ending::Reset | Ending::Close)));
    assert_eq!(world.device.handle_connect(at(world.now)), Admission::Refused);
    let down = world.now;
    world.run(down + S(9));
    assert!(world.device.is_up());
    let listens: Vec<bool> = world
        .outputs
        .iter()
        .filter_map(|o| match o {
            Output::Listen(yes) => Some(*yes),
            _ => None,
        })
        .collect();
    assert_eq!(listens, [false, true]);
    let points = world.device.points(None).unwrap();
    assert!(points.shows(&serde_json::from_str(r#"{"1":false,"9":0,"38":"power_off"}"#).unwrap()));
}

#[test]
fn a_wedged_device_turns_everybody_away_until_power_is_cycled() {
    let mut world = World::new(spec(Version::V3_4, Kind::Plug));
    world.device.fault(Fault::Wedge, at(world.now));
    assert_eq!(world.device.handle_connect(at(world.now)), Admission::TurnedAway);
    world.device.fault(Fault::Reboot(S(1)), at(world.now));
    world.run(S(2));
    assert_eq!(
        world.device.handle_connect(at(world.now)),
        Admission::TurnedAway,
        "a warm restart does not help"
    );
    world.device.press(None, &Physical::PowerCycle, at(world.now)).unwrap();
    world.run(S(10));
    assert!(matches!(world.device.handle_connect(at(world.now)), Admission::Accepted(_)));
}

#[test]
fn the_vendors_habits() {
    let mut vendor = spec(Version::V3_5, Kind::Plug);
    vendor.habits = Habits { zero_key_trap: false, ..Habits::vendor() };
    let mut world = World::new(vendor);
    let client = world.connect();
    world.run(S(1));
    world.clients[client].commands.clear();
    let set = world.set(client, r#"{"1":false}"#);
    assert_eq!(world.ended_well(client, set), Some(true));
    assert_eq!(
        world.clients[client].commands,
        [Command::STATUS, Command::CONTROL_NEW],
        "the push comes first"
    );
    // Nothing happens, and nothing is said but the acknowledgement.
    world.clients[client].commands.clear();
    world.set(client, r#"{"1":false,"99":1,"9":"x"}"#);
    assert_eq!(world.clients[client].commands, [Command::CONTROL_NEW]);
    world.clients[client].commands.clear();
    world.request(client, Request::Refresh { cid: None, points: vec![DpId(19)] });
    assert_eq!(world.clients[client].commands, [], "UPDATEDPS is not handled");
    let raw = Request::Raw {
        command: Command::CONTROL_NEW,
        body: br#"{"protocol":5,"t":1,"data":{"dps":{"1":null}}}"#.to_vec(),
    };
    world.request(client, raw);
    assert!(world.clients[client].commands.iter().all(|c| *c == Command::CONTROL_NEW), "nulls are skipped");
}

#[test]
fn one_in_256_negotiations_falls_into_the_trap_if_the_device_has_it() {
    for (trap, want) in [(true, 1..30), (false, 0..1)] {
        let mut spec = spec(Version::V3_5, Kind::Plug);
        spec.habits.zero_key_trap = trap;
        let mut world = World::new(spec);
        let mut trapped = 0;
        for _ in 0..1_500 {
            let client = world.connect();
            let id = world.request(client, Request::Query { cid: None });
            trapped += i32::from(world.ended_well(client, id) != Some(true));
            world.close(client);
            // A session that fell into the trap holds its place until the device closes it.
            world.now += S(2);
            world.device.handle_timeout(at(world.now));
            world.settle();
            world.clients.clear();
            world.outputs.clear();
        }
        assert!(want.contains(&trapped), "trap {trap}: {trapped} of 1500");
    }
}

#[test]
fn device22_queries_show_what_was_asked() {
    let mut world = World::new(spec(Version::V3_2, Kind::Switch22));
    let client = world.connect();
    let id = world.request(client, Request::Query { cid: None });
    assert_eq!(world.ended_well(client, id), Some(true));
    assert_eq!(world.reports(client), [r#"{"1":false,"9":0}"#]);
    let raw = |body: &str| Request::Raw { command: Command::CONTROL_NEW, body: body.as_bytes().to_vec() };
    let unknown = world.request(client, raw(r#"{"devId":"x","uid":"x","t":"1","dps":{"77":null}}"#));
    let refusal = world.clients[client].events.iter().any(|e| match e {
        Event::Done { id, result: Ok(Answer::Body(body)) } => {
            *id == unknown && body == b"json obj data unvalid"
        }
        _ => false,
    });
    assert!(refusal, "no known point: {:?}", world.clients[client].events);
    assert_eq!(world.device.journal().total(), 0, "a question is no write");
}

#[test]
fn a_repeat_is_marked_where_the_firmware_does_so() {
    let mut repeating = spec(Version::V3_3, Kind::Bulb);
    repeating.habits.repeat_unchanged = true;
    let mut world = World::new(repeating);
    let client = world.connect();
    world.set(client, r#"{"20":true}"#);
    let marked = world.clients[client]
        .events
        .iter()
        .any(|e| matches!(e, Event::Report { report, .. } if report.unchanged));
    assert!(marked, "{:?}", world.clients[client].events);
}

#[test]
fn physical_changes_reach_every_client_and_the_news() {
    let mut world = World::new(spec(Version::V3_3, Kind::Plug));
    let (a, b) = (world.connect(), world.connect());
    world.device.press(None, &Physical::Button(1), at(world.now)).unwrap();
    world.settle();
    assert_eq!(
        (world.reports(a), world.reports(b)),
        (vec![r#"{"1":false}"#.into()], vec![r#"{"1":false}"#.into()])
    );
    assert!(world.outputs.iter().any(|o| matches!(o, Output::News(News::Changed { .. }))));
    assert_eq!(world.device.journal().total(), 0);
}

#[test]
fn the_push_counter_never_restarts() {
    let mut world = World::new(spec(Version::V3_1, Kind::PlugOld));
    let mut seen = VecDeque::new();
    for round in 0..4 {
        let client = world.connect();
        world.set(client, if round % 2 == 0 { r#"{"1":false}"# } else { r#"{"1":true}"# });
        seen.extend(world.outputs.drain(..).filter_map(|o| match o {
            // The body of a 3.1 push is longer than any acknowledgement; its last field is the counter.
            Output::Transmit { frame, .. } if frame[11] == 8 => Some(frame),
            _ => None,
        }));
        world.close(client);
    }
    assert_eq!(seen.len(), 4);
    let distinct: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), 4, "the same value pushed in the same second differs by its counter");
}

#[test]
fn a_day_with_a_client_is_no_busy_loop() {
    let mut plug = spec(Version::V3_4, Kind::Plug);
    plug.load = Load::Fridge;
    let mut world = World::new(plug);
    world.connect();
    let calls = world.run(S(3_600));
    // A sample every three seconds, an announcement every five, and the client's heartbeats move the idle deadline.
    assert!((1_000..4_000).contains(&calls), "{calls} calls in an hour");
    let energy: i64 = world
        .reports(0)
        .iter()
        .filter_map(|r| serde_json::from_str::<serde_json::Value>(r).unwrap()["17"].as_i64())
        .sum();
    assert!((10..120).contains(&energy), "a fridge takes some 30 Wh an hour, not {energy}");
}

#[test]
fn the_same_seeds_give_the_same_frames() {
    let story = |entropy: u64| {
        let mut rough = spec(Version::V3_5, Kind::Plug);
        rough.faults = FaultPlan {
            drop: 0.1,
            delay: Some(DelayPlan { chance: 0.2, from: MS(50), to: MS(900) }),
            ..FaultPlan::default()
        };
        let mut world = World::new(rough.clone());
        world.device = VirtualDevice::new(rough, entropy, at(Duration::ZERO));
        let client = world.connect();
        for i in 0..30 {
            world.set(client, &format!(r#"{{"9":{}}}"#, i * 10 + 10));
            let next = world.now + S(1);
            world.run(next);
        }
        world.outputs.into_iter().filter(|o| !matches!(o, Output::Wait(_))).collect::<Vec<_>>()
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_harm_a_device(version in 0..5_usize, chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..12)) {
        let mut world = World::new(spec(Version::ALL[version], Kind::Plug));
        let now = at(S(1));
        let Admission::Accepted(connection) = world.device.handle_connect(now) else { panic!() };
        for mut chunk in chunks {
            // Half of them begin like a frame.
            if chunk.len() % 2 == 0 && chunk.len() > 16 {
                let prefix = if chunk[4] % 2 == 0 { [0, 0, 0x55, 0xaa] } else { [0, 0, 0x66, 0x99] };
                chunk[..4].copy_from_slice(&prefix);
                chunk[12..15].fill(0);
            }
            world.device.handle_input(connection, &chunk, now);
            world.settle();
        }
        prop_assert_eq!(world.device.journal().total(), 0);
        world.run(S(60));
        prop_assert_eq!(world.device.clients(), 0, "garbage is no sign of life");
    }
}
