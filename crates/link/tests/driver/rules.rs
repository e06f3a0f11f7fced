//! The rules of a line, one by one, on a virtual clock.

use std::time::Duration;

use landfall_link::line::{Ask, Command, Completion, MAX_WAITING};
use landfall_link::outcome::{Outcome, Refusal, SetOptions, Unconfirmed};
use landfall_link::{CommandError, Failure, State};
use landfall_proto::id::LocalKey;
use landfall_proto::lan::Version;
use landfall_proto::lan::session::Answer;
use landfall_sim::faults::Fault;
use landfall_sim::kind::Kind;
use landfall_sim::model::Physical;
use landfall_sim::spec::Habits;

use crate::world::{ADDRESS, Net, World, config, spec, v};

const ONCE: SetOptions = SetOptions { timeout: None, confirm: true, once: true };

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn superseded() -> Outcome {
    Outcome::Unconfirmed(Unconfirmed::Superseded)
}

#[test]
fn a_set_is_confirmed_by_the_push_on_every_version() {
    for (version, kind, dp) in [
        (Version::V3_1, Kind::PlugOld, 1),
        (Version::V3_2, Kind::Switch22, 1),
        (Version::V3_3, Kind::Plug, 1),
        (Version::V3_4, Kind::Plug, 1),
        (Version::V3_5, Kind::Plug, 1),
    ] {
        let mut w = World::plain(version, kind).ready();
        let on = w.device.points(None).unwrap().value(landfall_proto::dp::DpId(dp)) == Some(&v(true));
        let set = w.set(dp, !on);
        w.run_ms(10);
        assert_eq!(w.outcome(set), Some(&Outcome::Confirmed), "{version}");
        assert_eq!(w.applied(dp), [(!on).to_string()]);
    }
}

#[test]
fn an_unchanged_value_is_read_back_after_a_second_and_a_half() {
    for version in [Version::V3_3, Version::V3_4, Version::V3_5] {
        let mut w = World::plain(version, Kind::Plug).ready();
        let from = w.now;
        let set = w.set(1, true);
        w.run(secs(5));
        assert_eq!(w.outcome(set), Some(&Outcome::Confirmed), "{version}");
        let took = w.ended(set).unwrap() - from;
        assert!((secs(1)..=secs(2)).contains(&took), "{version}: {took:?}");
        assert_eq!(w.applied(1).len(), 1);
    }
}

#[test]
fn without_confirmation_the_acknowledgement_is_enough() {
    let mut w = World::plain(Version::V3_4, Kind::Plug).ready();
    let set = w.set_with(&[(1, v(true))], SetOptions { confirm: false, ..SetOptions::default() });
    w.run_ms(10);
    assert_eq!(w.outcome(set), Some(&Outcome::Accepted));
}

#[test]
fn a_write_only_point_is_accepted() {
    let mut w = World::plain(Version::V3_3, Kind::Feeder).ready();
    let set = w.set(3, 2);
    w.run_ms(10);
    assert_eq!(w.outcome(set), Some(&Outcome::Accepted));
    // Beside a readable point it waits for that one to be shown.
    let both = w.set_with(&[(19, v(true)), (3, v(1))], SetOptions::default());
    w.run_ms(10);
    assert_eq!(w.outcome(both), Some(&Outcome::Accepted));
    assert_eq!(w.applied(3), ["2", "1"]);
}

#[test]
fn a_kept_value_is_a_refusal_that_names_it() {
    // A read-only point: stock firmware acknowledges and ignores (lan.md 5.3).
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    let set = w.set(22, 7);
    w.run(secs(6));
    let Some(Outcome::Refused(Refusal::Kept { dp, wanted, kept })) = w.outcome(set) else {
        panic!("{:?}", w.outcome(set))
    };
    assert_eq!((dp.0, wanted, kept), (22, &v(7), &v(638)));
    assert_eq!(w.applied(22), [""; 0]);
}

#[test]
fn a_value_that_is_on_its_way_is_not_called_kept() {
    // The wanted state is a position that the motor never reports exactly as long as it travels.
    let mut w = World::plain(Version::V3_3, Kind::Cover).ready();
    let go = w.set(2, 100);
    w.run_ms(100);
    assert_eq!(w.outcome(go), Some(&Outcome::Confirmed));
    let position = w.set(3, 100);
    w.run(secs(6));
    assert!(
        matches!(w.outcome(position), Some(Outcome::Unconfirmed(Unconfirmed::NotShown { .. }))),
        "{:?}",
        w.outcome(position)
    );
}

#[test]
fn an_error_text_is_a_refusal() {
    // A gateway is told to set a point of its own.
    let mut w = World::plain(Version::V3_4, Kind::Gateway).ready();
    let set = w.set(1, true);
    w.run_ms(10);
    assert_eq!(w.outcome(set), Some(&Outcome::Refused(Refusal::Text("devid not found".into()))));
}

#[test]
fn pending_sets_of_a_point_merge_and_the_newest_wins() {
    let mut w = World::plain(Version::V3_3, Kind::Plug);
    let older = w.set(42, "a");
    let same = w.set(42, "a");
    let other = w.set(43, "x");
    let newer = w.set(42, "b");
    let twin = w.set(42, "b");
    w.run(secs(2));
    assert_eq!(w.outcome(older), Some(&superseded()));
    assert_eq!(w.outcome(same), Some(&superseded()));
    for id in [other, newer, twin] {
        assert_eq!(w.outcome(id), Some(&Outcome::Confirmed));
    }
    assert_eq!((w.applied(42), w.applied(43)), (vec!["b".to_owned()], vec!["x".to_owned()]));
}

#[test]
fn a_set_that_lost_a_point_to_a_newer_one_still_sends_the_rest() {
    let mut w = World::plain(Version::V3_3, Kind::Plug);
    let wide = w.set_with(&[(42, v("a")), (43, v("x"))], SetOptions::default());
    let newer = w.set(42, "b");
    w.run(secs(2));
    assert_eq!((w.outcome(wide), w.outcome(newer)), (Some(&superseded()), Some(&Outcome::Confirmed)));
    assert_eq!((w.applied(42), w.applied(43)), (vec!["b".to_owned()], vec!["x".to_owned()]));
}

#[test]
fn actions_never_merge_and_are_sent_in_order() {
    let mut w = World::plain(Version::V3_4, Kind::Feeder);
    let meals: Vec<_> = [1, 1, 2].into_iter().map(|n| w.set(3, n)).collect();
    let light = [w.set_with(&[(19, v(true))], ONCE), w.set_with(&[(19, v(true))], ONCE)];
    w.run(secs(6));
    for id in meals {
        assert_eq!(w.outcome(id), Some(&Outcome::Accepted));
    }
    assert_eq!(w.applied(3), ["1", "1", "2"]);
    assert_eq!(w.applied(19), ["true", "true"]);
    let light = light.map(|id| w.outcome(id).cloned().unwrap());
    assert!(light.iter().all(Outcome::is_good), "{light:?}");
}

#[test]
fn a_repeated_value_of_an_action_is_accepted_not_confirmed() {
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    let again = w.set_with(&[(1, v(true))], ONCE);
    w.run(secs(4));
    assert_eq!(
        w.outcome(again),
        Some(&Outcome::Accepted),
        "the point was on before, so seeing it on proves nothing"
    );
    let off = w.set_with(&[(1, v(false))], ONCE);
    w.run(secs(4));
    assert_eq!(w.outcome(off), Some(&Outcome::Confirmed));
}

#[test]
fn an_action_on_a_lost_connection_is_not_sent_again() {
    let mut w = World::plain(Version::V3_3, Kind::Feeder).ready();
    w.device.fault(Fault::Drop, w.clock());
    let meal = w.set(3, 2);
    w.run_ms(100);
    assert_eq!(w.outcome(meal), None);
    w.cut();
    w.run(secs(10));
    assert_eq!(w.outcome(meal), Some(&Outcome::Unconfirmed(Unconfirmed::ConnectionLost)));
    assert_eq!(w.line.state(), State::Ready, "it reconnected");
    assert_eq!(w.applied(3), [""; 0]);
}

#[test]
fn a_state_on_a_lost_connection_is_sent_again() {
    let mut w = World::plain(Version::V3_5, Kind::Plug).ready();
    w.device.fault(Fault::Drop, w.clock());
    let set = w.set(42, "a");
    w.run_ms(100);
    w.cut();
    w.run(secs(5));
    assert_eq!(w.outcome(set), Some(&Outcome::Confirmed));
    assert_eq!(w.applied(42), ["a"]);
}

#[test]
fn what_is_sent_again_gives_way_to_a_newer_set() {
    let mut w = World::plain(Version::V3_4, Kind::Plug).ready();
    w.device.fault(Fault::Drop, w.clock());
    let older = w.set(42, "a");
    let newer = w.set(42, "b");
    w.run_ms(50);
    w.cut();
    w.run(secs(5));
    assert_eq!((w.outcome(older), w.outcome(newer)), (Some(&superseded()), Some(&Outcome::Confirmed)));
    assert_eq!(w.applied(42), ["b"]);
}

#[test]
fn on_off_on_is_told_apart() {
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    w.set(1, false);
    w.run(secs(2));
    // Three quick ones: each is acknowledged before the next goes out, so nothing merges.
    let ids: Vec<_> = [true, false, true]
        .into_iter()
        .map(|on| {
            let id = w.set(1, on);
            w.run_ms(3);
            id
        })
        .collect();
    w.run(secs(5));
    for id in ids {
        assert!(matches!(
            w.outcome(id),
            Some(Outcome::Confirmed | Outcome::Unconfirmed(Unconfirmed::Superseded))
        ));
    }
    assert_eq!(w.applied(1).last().map(String::as_str), Some("true"));
}

#[test]
fn a_report_from_before_the_write_proves_nothing() {
    // The plug is on. Somebody presses the button twice (off, on) while our "on" is swallowed: the report "on" that comes
    // in was made before the device had our set.
    let net = Net { delay: (Duration::from_millis(20), Duration::from_millis(20)), ..Net::default() };
    let spec = spec(Version::V3_4, Kind::Plug);
    let mut w = World::new(spec.clone(), &config(&spec), net, 5).ready();
    let now = w.clock();
    w.device.press(None, &Physical::Value(landfall_proto::dp::DpId(42), v("a")), now).unwrap();
    w.run_ms(30);
    let now = w.clock();
    w.device.press(None, &Physical::Value(landfall_proto::dp::DpId(43), v("b")), now).unwrap();
    w.pump();
    w.device.fault(Fault::Drop, w.clock());
    let patient = SetOptions { timeout: Some(secs(8)), ..SetOptions::default() };
    let set = w.set_with(&[(42, v("a"))], patient);
    w.run_ms(100);
    assert_eq!(w.outcome(set), None);
    w.run(secs(8));
    // Nothing acknowledged it, and the read-back shows the value: the point has it.
    assert_eq!(w.outcome(set), Some(&Outcome::Confirmed));
}

#[test]
fn deadlines_say_how_far_it_came() {
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    w.device.fault(Fault::Reboot(secs(600)), w.clock());
    w.run_ms(100);
    let unsent = w.set(1, false);
    let query = w.submit(Command::Ask(Ask::Query { cid: None })).unwrap();
    w.run(secs(5));
    assert!(matches!(
        w.outcome(unsent),
        Some(Outcome::Unconfirmed(Unconfirmed::NotSent { state: State::Waiting { .. }, .. }))
    ));
    assert!(matches!(w.done[&query].1, Completion::Ask(Err(CommandError::NotConnected { .. }))));

    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    w.device.fault(Fault::HalfOpen, w.clock());
    let sent = w.set(1, false);
    w.run(secs(5));
    assert!(
        matches!(w.outcome(sent), Some(Outcome::Unconfirmed(Unconfirmed::NoAck { .. }))),
        "{:?}",
        w.outcome(sent)
    );
}

#[test]
fn the_queue_is_bounded_and_says_so() {
    let mut spec = spec(Version::V3_3, Kind::Plug);
    spec.clients = 0;
    let mut w = World::new(spec.clone(), &config(&spec), Net::default(), 1);
    for _ in 0..MAX_WAITING {
        w.submit(Command::Ask(Ask::Query { cid: None })).unwrap();
    }
    let full = w.submit(Command::Ask(Ask::Query { cid: None }));
    assert_eq!(full, Err(CommandError::Busy(MAX_WAITING)));
    w.run(secs(6));
    assert_eq!(w.done.len(), MAX_WAITING);
    assert!(w.submit(Command::Ask(Ask::Query { cid: None })).is_ok());
}

#[test]
fn nothing_to_set_is_an_error() {
    let mut w = World::plain(Version::V3_3, Kind::Plug);
    let empty = Command::Set { cid: None, dps: crate::world::dps(&[]), options: SetOptions::default() };
    assert_eq!(w.submit(empty), Err(CommandError::Empty));
}

#[test]
fn questions_are_answered_and_asked_again_after_a_loss() {
    let mut w = World::plain(Version::V3_4, Kind::Plug).ready();
    w.device.fault(Fault::Drop, w.clock());
    let query = w.submit(Command::Ask(Ask::Query { cid: None })).unwrap();
    w.run_ms(50);
    w.cut();
    w.run(secs(4));
    let Completion::Ask(Ok(Answer::Report(report))) = &w.done[&query].1 else {
        panic!("{:?}", w.done[&query])
    };
    assert!(report.dps.len() > 5);
    let silent = w.submit(Command::Ask(Ask::Subdevices)).unwrap();
    let quick = w.set(1, false);
    w.run_ms(20);
    assert_eq!(w.outcome(quick), Some(&Outcome::Confirmed), "an unanswered list holds nobody up");
    w.run(secs(6));
    assert_eq!(w.done[&silent].1, Completion::Ask(Ok(Answer::Silent)));
}

#[test]
fn closing_ends_everything() {
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    w.device.fault(Fault::HalfOpen, w.clock());
    let sent = w.set(1, false);
    let pending = w.set(1, true);
    w.line.close();
    w.pump();
    for id in [sent, pending] {
        assert_eq!(w.outcome(id), Some(&Outcome::Unconfirmed(Unconfirmed::Closed)));
    }
    assert_eq!(w.line.state(), State::Closed);
    assert_eq!(w.submit(Command::Ask(Ask::Subdevices)), Err(CommandError::Closed));
    w.run(secs(600));
    assert_eq!(w.attempts.len(), 1, "it stays closed");
}

#[test]
fn one_point_per_message_for_bulbs_that_need_it() {
    let spec = spec(Version::V3_3, Kind::Bulb);
    let mut config = config(&spec);
    config.single_points = true;
    let mut w = World::new(spec, &config, Net::default(), 1).ready();
    let from = w.now;
    let set = w.set_with(&[(21, v("white")), (22, v(500)), (23, v(100))], SetOptions::default());
    let next = w.set(20, false);
    w.run(secs(9));
    assert_eq!((w.outcome(set), w.outcome(next)), (Some(&Outcome::Confirmed), Some(&Outcome::Confirmed)));
    let times: Vec<_> =
        w.device.journal().writes().iter().map(|x| (x.dp.0, (x.at - from).as_secs())).collect();
    assert_eq!(
        times,
        [(21, 0), (22, 1), (23, 2), (20, 2)],
        "in order, a second apart, and nothing in between"
    );
}

#[test]
fn reconnecting_backs_off_with_jitter_up_to_a_minute() {
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    w.device.fault(Fault::Reboot(secs(3600)), w.clock());
    w.attempts.clear();
    w.run(secs(3600));
    let gaps: Vec<_> = w.attempts.windows(2).map(|p| p[1] - p[0]).collect();
    assert!((90..220).contains(&gaps.len()), "{} tries in an hour", gaps.len());
    for (n, gap) in gaps.iter().take(6).enumerate() {
        assert!(*gap <= secs(1 << (n + 1)) + Duration::from_millis(5), "gap {n} is {gap:?}");
    }
    assert!(gaps.iter().all(|g| *g <= secs(61)));
    assert!(gaps.iter().any(|g| *g < secs(10)) && gaps.iter().any(|g| *g > secs(45)), "jitter");
}

#[test]
fn a_beacon_wakes_at_most_every_five_seconds() {
    let mut w = World::plain(Version::V3_3, Kind::Plug).ready();
    w.device.fault(Fault::Reboot(secs(3600)), w.clock());
    w.run(secs(300));
    let before = w.attempts.len();
    for _ in 0..20 {
        let now = w.clock();
        w.line.heard(ADDRESS.parse().unwrap(), Some(Version::V3_3), now);
        w.run_ms(500);
    }
    let tries = w.attempts.len() - before;
    assert!((2..=4).contains(&tries), "{tries} tries in ten seconds of beacons");
}

#[test]
fn a_busy_device_is_left_alone_for_half_a_minute() {
    let mut spec = spec(Version::V3_3, Kind::PlugOld);
    spec.clients = 0;
    let mut w = World::new(spec.clone(), &config(&spec), Net::default(), 1);
    w.run(secs(200));
    let gaps: Vec<_> = w.attempts.windows(2).map(|p| p[1] - p[0]).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|g| *g >= secs(30)), "{gaps:?}");
    assert!(matches!(&w.states[2].1, State::Waiting { failure: Failure::Busy, .. }), "{:?}", w.states);
}

#[test]
fn three_tries_under_a_wrong_key_then_a_quarter_of_an_hour() {
    for version in [Version::V3_3, Version::V3_4, Version::V3_5] {
        let spec = spec(version, Kind::Plug);
        let mut config = config(&spec);
        config.key = LocalKey::new("another key 1234").unwrap();
        let mut w = World::new(spec, &config, Net::default(), 1);
        w.run(secs(14 * 60));
        assert!(
            matches!(w.line.state(), State::Stopped { failure: Failure::KeySuspected { tries: 3, .. }, .. }),
            "{version}: {:?}",
            w.line.state()
        );
        assert_eq!(w.attempts.len(), 3, "{version}");
        // The same beacon changes nothing; another address does, for one try.
        let now = w.clock();
        w.line.heard(ADDRESS.parse().unwrap(), Some(version), now);
        w.run_ms(100);
        assert_eq!(w.attempts.len(), 3);
        let now = w.clock();
        w.line.heard("192.168.7.99:6668".parse().unwrap(), Some(version), now);
        w.run(secs(40));
        assert_eq!(w.attempts.len(), 4);
        assert!(matches!(w.line.state(), State::Stopped { .. }));
        // The right key ends it.
        let now = w.clock();
        w.line.set_key(LocalKey::new(crate::world::KEY).unwrap(), now);
        w.run(secs(1));
        assert_eq!(w.line.state(), State::Ready, "{version}");
    }
}

#[test]
fn a_zero_session_key_is_answered_by_connecting_again() {
    let mut hits = 0;
    for seed in 0..800 {
        let mut spec = spec(Version::V3_5, Kind::Plug);
        spec.habits = Habits { zero_key_trap: true, ..spec.habits };
        let mut w = World::new(spec.clone(), &config(&spec), Net::default(), seed);
        w.run_ms(200);
        assert_eq!(w.line.state(), State::Ready, "seed {seed}");
        hits += usize::from(w.attempts.len() > 1);
    }
    assert!(hits > 0, "one in 256");
}

#[test]
fn an_unknown_version_is_asked_for_at_most_once_a_minute() {
    let spec = spec(Version::V3_4, Kind::Plug);
    let mut config = config(&spec);
    config.version = None;
    let mut w = World::new(spec.clone(), &config, Net::default(), 1);
    w.run_ms(10);
    assert_eq!((w.detections.len(), w.attempts.len()), (1, 0));
    let mut entropy = crate::world::Seeded(landfall_sim::dice::Dice::labelled(1, "x"));
    for _ in 0..100 {
        let now = w.clock();
        w.line.detected(Err("silent".into()), now, &mut entropy);
        w.run(secs(6));
        let now = w.clock();
        w.line.heard(ADDRESS.parse().unwrap(), None, now);
    }
    let gaps: Vec<_> = w.detections.windows(2).map(|p| p[1] - p[0]).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|g| *g >= secs(60)), "{gaps:?}");
    // A beacon's word is enough.
    let now = w.clock();
    w.line.heard(ADDRESS.parse().unwrap(), Some(Version::V3_4), now);
    w.run(secs(6));
    assert_eq!((w.line.state(), w.versions.as_slice()), (State::Ready, &[Version::V3_4][..]));
}

#[test]
fn a_beacon_never_lowers_a_version() {
    let mut w = World::plain(Version::V3_4, Kind::Plug).ready();
    let now = w.clock();
    w.line.heard(ADDRESS.parse().unwrap(), Some(Version::V3_1), now);
    w.cut();
    w.run(secs(5));
    assert_eq!((w.line.version(), w.line.state()), (Some(Version::V3_4), State::Ready));
    // A newer one that fits is taken when ours does not work.
    let spec = spec(Version::V3_5, Kind::Plug);
    let mut config = config(&spec);
    config.version = Some(Version::V3_3);
    let mut w = World::new(spec, &config, Net::default(), 1);
    let now = w.clock();
    w.line.heard(ADDRESS.parse().unwrap(), Some(Version::V3_5), now);
    w.run(secs(60));
    assert_eq!((w.line.version(), w.line.state()), (Some(Version::V3_5), State::Ready));
}

#[test]
fn a_dead_connection_is_noticed_though_commands_keep_going_out() {
    let mut w = World::plain(Version::V3_4, Kind::Plug).ready();
    w.device.fault(Fault::HalfOpen, w.clock());
    for n in 0..30 {
        w.set(42, format!("t{n}").as_str());
        w.run(secs(1));
    }
    assert!(w.attempts.len() >= 2, "it never reconnected");
    assert_eq!(w.line.state(), State::Ready);
}

#[test]
fn metering_points_are_refreshed_again_and_again() {
    let reports = |refresh: bool| {
        let spec = spec(Version::V3_4, Kind::Plug);
        let mut config = config(&spec);
        let points = [18, 19, 20].map(landfall_proto::dp::DpId).to_vec();
        config.refresh = refresh.then_some(landfall_link::Refresh { points, every: secs(5) });
        let mut w = World::new(spec, &config, Net::default(), 1).ready();
        w.run(secs(600));
        w.reports
    };
    let (with, without) = (reports(true), reports(false));
    assert!(with > without + 30, "{with} reports with, {without} without");
}

#[test]
fn an_idle_line_sleeps() {
    let mut w = World::plain(Version::V3_3, Kind::Switch22).ready();
    let before = w.attempts.len();
    w.run(secs(3600));
    assert_eq!((w.attempts.len(), w.line.state()), (before, State::Ready));
}

#[test]
fn lines_are_small() {
    let size = std::mem::size_of::<landfall_link::line::Line>();
    assert!(size <= 640, "{size} bytes");
    assert!(std::mem::size_of::<landfall_link::line::Output>() <= 128);
}
