//! Accounts of energy in scenarios.

use landfall_proto::dp::DpId;
use landfall_proto::schema::{Access, DpKind};

use super::fixture::*;
use crate::core::{Action, Known};
use crate::model::{Cost, EnergyView, Line, LineState, MilliWattHours, What};
use crate::profile::Metering;
use Line::{Cloud, Lan};
use LineState::{Down, Up};

const HOUR: u64 = 3_600;

fn told(changes: &[What]) -> Vec<EnergyView> {
    let view = |w: &What| match w {
        What::Energy(view) => Some(*view),
        _ => None,
    };
    changes.iter().filter_map(view).collect()
}

/// A plug that knows watts alone, and a meter that counts hundredths of a kWh for ever.
fn with(metering: Metering) -> Home {
    let mut home = Home::new(vec![known(
        facts(PLUG),
        crate::profile::Definition { metering: Some(metering), ..plug() },
    )]);
    home.line(Lan, Up).line(Cloud, Up);
    home
}

#[test]
fn pushed_deltas_are_added_and_polled_ones_never() {
    let mut home = Home::plug();
    home.line(Lan, Up).line(Cloud, Up).push(Lan, &[(17, 7)]);
    let [view] = told(&home.changes())[..] else { panic!("{:?}", home.changes()) };
    assert_eq!(
        (view.total, view.today, view.month),
        (MilliWattHours(7_000), MilliWattHours(7_000), MilliWattHours(7_000))
    );
    assert_eq!(home.saves().len(), 1);
    home.skip(S(1)).push(Cloud, &[(17, 7)]);
    assert!(told(&home.changes()).is_empty());
    assert_eq!((home.energy().total.0, home.energy().copies), (7_000, 1));
    home.skip(S(30)).poll(Lan, &[(17, 7)]).poll(Cloud, &[(17, 7)]);
    assert_eq!((home.energy().total.0, home.energy().copies), (7_000, 1));
    home.skip(S(30)).push(Lan, &[(17, 7)]);
    assert_eq!(home.energy().total.0, 14_000, "an equal delta is another one");
}

/// A plug whose product nobody knows, before its points are understood.
fn unknown() -> Known {
    known(facts(PLUG), definition(&[(1, DpKind::Bool, Access::Rw)]))
}

#[test]
fn increments_told_before_points_are_understood_count_once() {
    let mut home = Home::new(vec![unknown()]);
    home.line(Lan, Up).line(Cloud, Up).push(Lan, &[(17, 7)]).poll(Lan, &[(17, 7)]);
    home.skip(S(30)).push(Lan, &[(17, 5)]).push(Cloud, &[(17, 5)]);
    home.skip(S(9)).act(Action::Devices(vec![known(facts(PLUG), plug())]));
    // Those of half a minute ago are too old; of the last two one is a copy, and what was asked for is none.
    assert_eq!((home.energy().total.0, home.energy().copies), (5_000, 1));
    home.push(Lan, &[(17, 2)]);
    assert_eq!(home.energy().total.0, 7_000);
    // Known no more and known again: what was counted is not counted anew.
    home.act(Action::Devices(vec![unknown()])).push(Lan, &[(17, 3)]);
    home.act(Action::Devices(vec![known(facts(PLUG), plug())]));
    assert_eq!(home.energy().total.0, 7_000);
}

#[test]
fn reports_of_understood_points_are_not_kept_for_later() {
    let quiet = crate::profile::Definition { metering: None, ..plug() };
    let mut home = Home::new(vec![known(facts(PLUG), quiet)]);
    home.line(Lan, Up).push(Lan, &[(17, 7)]).act(Action::Devices(vec![known(facts(PLUG), plug())]));
    assert_eq!(home.energy().total.0, 0, "its owner says so from now on");
}

#[test]
fn a_hand_over_is_noted_with_what_the_dead_line_missed() {
    let mut home = Home::plug();
    home.line(Lan, Up).line(Cloud, Up).push(Lan, &[(17, 1)]).push(Cloud, &[(17, 1)]);
    // The LAN connection is dead, but that takes a while to be seen.
    home.skip(S(40)).push(Cloud, &[(17, 2)]);
    assert_eq!(home.energy().total.0, 1_000);
    home.skip(S(5)).line(Lan, Down);
    let changes = home.changes();
    assert_eq!((notes(&changes), told(&changes).len()), (vec!["handover"], 1));
    assert!(changes.iter().any(|w| matches!(w, What::EnergyNote { text, .. } if text.contains("cloud line") && text.contains("1 reports"))));
    assert_eq!(home.energy().total.0, 3_000);
    home.line(Lan, Up).skip(S(40)).push(Cloud, &[(17, 4)]).push(Lan, &[(17, 4)]);
    assert_eq!((home.energy().total.0, home.energy().copies), (7_000, 2));
}

#[test]
fn nonsense_in_the_delta_point_is_noted_and_not_added() {
    let mut home = Home::plug();
    for n in [-1, i64::MAX, i64::MIN, 1_000_001] {
        home.push(Lan, &[(17, n)]);
        assert_eq!(notes(&home.changes()), ["implausible"]);
    }
    assert_eq!(home.energy().total.0, 0);
}

#[test]
fn a_meter_is_differenced_over_both_lines_and_resets_are_noted() {
    let mut home = with(Metering { meter: Some((DpId(9), 10_000)), ..Metering::default() });
    home.poll(Lan, &[(9, 500)]);
    home.skip(S(600)).push(Cloud, &[(9, 502)]);
    home.skip(S(2)).push(Lan, &[(9, 502)]);
    assert_eq!(home.energy().total.0, 20_000);
    home.skip(S(600)).push(Lan, &[(9, 1)]);
    assert_eq!(notes(&home.changes()), ["meter_reset"]);
    home.skip(S(600)).push(Lan, &[(9, 3)]);
    assert_eq!(home.energy().total.0, 40_000);
    home.skip(S(600)).push(Lan, &[(9, 80_000)]);
    assert_eq!(notes(&home.changes()), ["implausible"]);
    assert_eq!(home.energy().total.0, 40_000);
}

#[test]
fn watts_alone_are_the_account_and_are_told_every_ten_seconds_at_most() {
    let mut home = with(Metering { power: Some((DpId(19), 100)), ..Metering::default() });
    let mut told_at = Vec::new();
    // 3,600 W are a Wh a second.
    for n in 0..=60 {
        home.push(Lan, &[(19, 36_000)]);
        told_at.extend(told(&home.changes()).iter().map(|_| n));
        told_at.extend(told(&home.pass(S(1))).iter().map(|_| n + 1));
    }
    assert_eq!(home.energy().total.0, 60_000);
    assert!(told_at.windows(2).all(|w| w[1] - w[0] >= 10) && told_at.len() >= 5, "{told_at:?}");
    // What was not told yet is told when the ten seconds are over, without another report.
    home.pass(S(60));
    home.push(Lan, &[(19, 0)]);
    home.pass(S(2));
    home.push(Lan, &[(19, 36_000)]).pass(S(1));
    home.push(Lan, &[(19, 0)]);
    assert_eq!(told(&home.changes()).len(), 0);
    let later = told(&home.pass(S(10)));
    assert_eq!(later.last().map(|v| v.total), Some(home.energy().total));
}

#[test]
fn watts_beside_deltas_are_a_cross_check() {
    let mut home = Home::plug();
    home.line(Lan, Up).push(Lan, &[(19, 36_000)]);
    home.skip(S(100)).push(Lan, &[(19, 0), (17, 98)]);
    assert_eq!((home.energy().total.0, home.energy().integrated.0), (98_000, 100_000));
}

#[test]
fn a_silence_is_noted_and_a_device_that_is_gone_uses_nothing() {
    let mut home = Home::plug();
    home.line(Lan, Up).push(Lan, &[(19, 1_000)]);
    home.skip(S(901)).push(Lan, &[(19, 1_000)]);
    assert_eq!(notes(&home.changes()), ["gap"]);
    home.skip(S(901)).push(Lan, &[(19, 1_000)]);
    assert!(notes(&home.changes()).is_empty(), "not again within the hour");
    home.line(Lan, Down);
    home.pass(S(300));
    home.line(Lan, Up).push(Lan, &[(19, 1_000)]);
    assert_eq!(home.energy().integrated.0, 0);
}

#[test]
fn volts_times_amperes_are_not_watts() {
    let mut home = Home::plug();
    home.line(Lan, Up).poll(Lan, &[(18, 500), (19, 690), (20, 2_300)]);
    let view = home.energy();
    assert_eq!((view.apparent_mva, view.power_factor_milli), (Some(115_000), Some(600)));
    let state = home.view().state();
    assert_eq!((state["apparent_power"].as_f64(), state["power_factor"].as_f64()), (Some(115.0), Some(0.6)));
    // A little more than one is rounding; much more is a wrong scale, and nothing follows from it.
    home.poll(Lan, &[(19, 1_200)]);
    assert_eq!(home.energy().power_factor_milli, Some(1_000));
    home.poll(Lan, &[(19, 1_300)]);
    assert_eq!((home.energy().apparent_mva, home.energy().power_factor_milli), (Some(115_000), None));
    home.poll(Lan, &[(18, 0), (19, 0)]);
    assert_eq!((home.energy().apparent_mva, home.energy().power_factor_milli), (Some(0), None));
    // From fresh readings only.
    home.poll(Lan, &[(18, 500), (19, 690)]);
    home.pass(S(200));
    home.poll(Lan, &[(18, 500), (19, 690)]);
    home.pass(S(150));
    assert_eq!(home.energy().apparent_mva, None, "the volts are stale");
    home.poll(Lan, &[(18, 500), (19, 690), (20, 2_300)]);
    home.line(Lan, Down);
    home.pass(GRACE);
    assert_eq!(home.energy().apparent_mva, None, "it is offline");
}

/// A Wh at each full hour by the wall clock for some days, from local midnight.
fn hourly(start: &str, hours: u64) -> Vec<(i64, EnergyView)> {
    let mut home = Home::at(start, Some(300), vec![known(facts(PLUG), plug())]);
    home.line(Lan, Up);
    let mut days = Vec::new();
    for _ in 0..hours {
        home.pass(S(HOUR / 2));
        home.push(Lan, &[(17, 1)]);
        let before = home.energy();
        for view in told(&home.pass(S(HOUR / 2))) {
            // At midnight today becomes yesterday, by a tick alone.
            if view.today.0 == 0 {
                assert_eq!(view.yesterday, before.today);
                days.push((view.yesterday.0 / 1_000, view));
            }
        }
    }
    days
}

#[test]
fn days_of_23_24_and_25_hours() {
    let hours = |days: Vec<(i64, EnergyView)>| days.into_iter().map(|(h, _)| h).collect::<Vec<_>>();
    // Berlin: clocks go forward on 2026-03-29, back on 2026-10-25.
    assert_eq!(hours(hourly("2026-03-27T23:00:00Z", 24 + 23 + 24)), [24, 23, 24]);
    assert_eq!(hours(hourly("2026-10-23T22:00:00Z", 24 + 25 + 24)), [24, 25, 24]);
}

#[test]
fn a_month_ends_at_local_midnight_and_costs_what_it_cost() {
    let days = hourly("2026-10-29T23:00:00Z", 72);
    let (_, last_of_october) = days[1];
    assert_eq!((last_of_october.month.0, last_of_october.total.0), (0, 48_000));
    let (_, first_of_november) = days[2];
    assert_eq!((first_of_november.month.0, first_of_november.total.0), (24_000, 72_000));
    // 0.024 kWh at 0.300 a kWh are 0.0072.
    assert_eq!(first_of_november.cost, Some(Cost { today_milli: 0, month_milli: 7 }));
}

#[test]
fn a_clock_that_is_set_is_noted_and_takes_nothing_away() {
    let mut home = Home::plug();
    home.line(Lan, Up).push(Lan, &[(17, 5), (19, 36_000)]);
    let was = home.now.unix_ms;
    home.now.unix_ms = 1_000;
    home.now.mono += S(10);
    home.push(Lan, &[(17, 3), (19, 36_000)]);
    let changes = home.changes();
    assert!(changes.iter().any(|w| matches!(w, What::Hub { code: "clock.jumped", .. })), "{changes:?}");
    assert_eq!(notes(&changes), ["clock_jump"]);
    let view = home.energy();
    assert_eq!((view.total.0, view.today.0, view.integrated.0), (8_000, 3_000, 10_000));
    home.now.unix_ms = was;
    home.act(Action::Tick);
    assert_eq!(
        (home.energy().total.0, home.energy().today.0),
        (8_000, 5_000),
        "the right day is still there"
    );
    home.push(Lan, &[(17, 1)]);
    assert_eq!(notes(&home.changes()), ["clock_jump"]);
    home.push(Lan, &[(17, 1)]);
    assert!(notes(&home.changes()).is_empty());
    assert_eq!((home.energy().total.0, home.energy().today.0), (10_000, 7_000));
}
