//! What reports bring: changes, events, presence, staleness.

use landfall_proto::dp::{DpId, DpValue};

use super::fixture::*;
use crate::core::{Action, Effect};
use crate::model::{Line, LineState, Origin, Presence, What};
use Line::{Cloud, Lan};
use LineState::{Down, Opening, Up};
use Origin::{Polled, Pushed};

fn points(changes: &[What]) -> Vec<Vec<u16>> {
    let ids = |w: &What| match w {
        What::Points { changed, .. } => Some(changed.iter().map(|id| id.0).collect()),
        _ => None,
    };
    changes.iter().filter_map(ids).collect()
}

#[test]
fn the_first_list_publishes_views_alone() {
    let home = Home::plug();
    assert!(home.changes().is_empty());
    assert!(matches!(&home.effects[..], [Effect::View { view: Some(_), .. }]));
    assert_eq!(home.view().presence, Presence::Unknown);
    assert_eq!(home.core.views().len(), 1);
}

#[test]
fn a_change_is_told_and_a_repeat_is_not() {
    let mut home = Home::plug();
    home.line(Lan, Up);
    assert!(matches!(&home.changes()[..], [What::Line { .. }, What::Presence(Presence::Online)]));
    home.hear(Lan, Polled, switch(true));
    assert_eq!(points(&home.changes()), [[1]]);
    assert_eq!(home.saves().len(), 1, "what changed is saved along with the change");
    home.skip(S(1)).hear(Lan, Polled, switch(true));
    assert!(home.changes().is_empty());
    assert_eq!(home.view().points[&DpId(1)].at_ms, home.now.unix_ms, "but the view knows");
    home.skip(S(1)).hear(Cloud, Pushed, switch(true));
    assert!(home.changes().is_empty(), "a switch is no button");
    home.hear(Cloud, Pushed, switch(false));
    assert_eq!(points(&home.changes()), [[1]]);
    let view = home.view();
    let point = &view.points[&DpId(1)];
    assert_eq!(
        (&point.value, point.line, point.changed_ms),
        (&DpValue::Bool(false), Cloud, home.now.unix_ms)
    );
}

/// When the reports of the last action were told.
fn times(home: &Home) -> Vec<u64> {
    let at = |e: &Effect| match e {
        Effect::Publish(change) => {
            matches!(change.what, What::Points { .. } | What::Event { .. }).then_some(change.at_ms)
        }
        _ => None,
    };
    home.effects.iter().filter_map(at).collect()
}

#[test]
fn reports_of_one_millisecond_are_told_a_millisecond_apart() {
    let mut home = Home::new(vec![known(facts(PLUG), button())]);
    let now = home.now.unix_ms;
    let press = |word: &str| [(DpId(1), DpValue::text(word))].into_iter().collect();
    // What the device says of its own time plays no part.
    let sent = |home: &mut Home, word: &str| {
        let (dps, device_ms) = (std::sync::Arc::new(press(word)), Some(1_764_000_000_000));
        let (device, line, origin) = (id(PLUG), Lan, Pushed);
        home.act(Action::Heard { device, cid: None, line, origin, dps, device_ms });
        times(home)
    };
    assert_eq!(sent(&mut home, "single"), [now]);
    assert_eq!(sent(&mut home, "double"), [now + 1]);
    assert_eq!(sent(&mut home, "double"), [now + 2], "a press is one too");
    let point = home.view().points[&DpId(1)].clone();
    assert_eq!((point.changed_ms, point.at_ms), (now + 1, now + 2));
    home.hear(Lan, Polled, press("double"));
    assert_eq!(times(&home), [0; 0], "and a polled repeat is nothing");
    // A restart within the same millisecond.
    let text = home.core.saved().pop().unwrap().1;
    let mut home = Home::new(vec![known(facts(PLUG), button())]);
    home.act(Action::Restore { device: id(PLUG), text });
    assert_eq!(sent(&mut home, "single"), [now + 3]);
    home.skip(std::time::Duration::from_millis(50));
    assert_eq!(sent(&mut home, "double"), [now + 50], "the clock has caught up");
}

#[test]
fn reports_are_told_a_second_ahead_at_most_and_a_clock_that_was_set_back_counts() {
    let mut home = Home::plug();
    let now = home.now.unix_ms;
    for n in 0..=1_000_u16 {
        home.push(Lan, &[(18, n.into())]);
        assert_eq!(times(&home), [now + u64::from(n)]);
    }
    home.push(Lan, &[(18, 5_000)]);
    assert_eq!(times(&home), [now], "who tells a thousand at once tells some of them twice");
    home.now.unix_ms -= 3_600_000;
    let back = home.now.unix_ms;
    home.push(Lan, &[(18, 1)]);
    assert_eq!(times(&home), [back]);
    home.push(Lan, &[(18, 2)]);
    assert_eq!(times(&home), [back + 1]);
}

#[test]
fn only_what_differs_is_named_and_values_get_their_types() {
    let mut home = Home::plug();
    let mut all = dps(&[(9, 0), (18, 5)]);
    all.insert(DpId(38), DpValue::text("on"));
    home.hear(Lan, Polled, all.clone());
    all.insert(DpId(18), DpValue::Value(6));
    home.hear(Lan, Polled, all);
    assert_eq!(points(&home.changes()), [[18]]);
    assert_eq!(home.view().points[&DpId(38)].value, DpValue::Enum("on".into()));
}

#[test]
fn a_button_pressed_again_is_an_event_once_for_both_lines() {
    let mut home = Home::new(vec![known(facts(PLUG), button())]);
    let press = || [(DpId(1), DpValue::text("single"))].into_iter().collect();
    let events = |home: &Home| home.changes().iter().filter(|w| matches!(w, What::Event { .. })).count();
    home.hear(Cloud, Pushed, press());
    assert_eq!((points(&home.changes()).len(), events(&home)), (1, 0));
    home.skip(S(1)).hear(Lan, Pushed, press());
    assert_eq!(events(&home), 0, "the same press over the other line");
    home.skip(S(1)).hear(Lan, Polled, press());
    assert_eq!(events(&home), 0, "a polled repeat is nothing");
    home.skip(S(1)).hear(Lan, Pushed, press());
    assert_eq!(events(&home), 1);
    home.skip(S(1)).hear(Cloud, Pushed, press());
    assert_eq!(events(&home), 0);
    home.skip(S(1)).hear(Cloud, Pushed, press());
    assert_eq!(events(&home), 1);
}

#[test]
fn offline_only_after_the_grace_time_and_since_the_line_fell() {
    let mut home = Home::plug();
    home.line(Lan, Up).line(Cloud, Up);
    home.line(Lan, Down);
    assert!(home.pass(S(600)).is_empty(), "the cloud line is up");
    let fell = home.now.unix_ms;
    home.line_of(PLUG, Cloud, Down, Some("it hung up"));
    assert_eq!(home.pass(GRACE - S(1)), []);
    let changes = home.pass(S(1));
    let [What::Presence(Presence::Offline { since_ms, why })] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(*since_ms, fell);
    assert_eq!(why, "LAN: the connection is lost; cloud: it hung up");
    home.line(Lan, Up);
    assert!(home.changes().contains(&What::Presence(Presence::Online)));
}

#[test]
fn flapping_within_the_grace_time_changes_no_presence_and_retries_are_told_once() {
    let mut home = Home::plug();
    home.line(Lan, Up);
    for _ in 0..20 {
        home.line(Lan, Down);
        home.line(Lan, Opening);
        assert_eq!(home.pass(S(20)), []);
        home.line(Lan, Up);
        assert!(!home.changes().iter().any(|w| matches!(w, What::Presence(_))));
    }
    let mut told = 0;
    for _ in 0..20 {
        for state in [Down, Opening] {
            home.line_of(PLUG, Lan, state, (state == Down).then_some("no route to host"));
            told += home.changes().len();
        }
    }
    assert_eq!(told, 1);
    assert_eq!(home.view().lan.state, Opening, "but the view knows");
}

#[test]
fn a_device_that_never_came_is_offline_after_the_grace_time_and_one_without_lines_is_unknown() {
    let mut home = Home::plug();
    assert_eq!(home.pass(S(3_600)), []);
    home.line_of(PLUG, Lan, Opening, Some("waiting for a beacon"));
    let changes = home.pass(S(120));
    assert!(
        matches!(&changes[..], [What::Presence(Presence::Offline { why, .. })] if why == "LAN: waiting for a beacon"),
        "{changes:?}"
    );
}

#[test]
fn a_sleeper_is_asleep_and_never_offline() {
    let mut home = Home::new(vec![known(crate::model::Facts { sleeper: true, ..facts(PLUG) }, plug())]);
    home.line(Cloud, Up);
    home.hear(Cloud, Pushed, dps(&[(9, 3)]));
    let fell = home.now.unix_ms;
    home.line(Cloud, Down);
    let asleep = Presence::Asleep { since_ms: fell };
    assert_eq!(home.pass(S(100_000)), [What::Presence(asleep.clone())]);
    assert!(home.view().presence.available());
    home.hear(Cloud, Pushed, dps(&[(9, 4)]));
    assert_eq!(home.changes()[0], What::Presence(Presence::Online));
    let heard = home.now.unix_ms;
    assert_eq!(home.pass(S(100_000)), [What::Presence(Presence::Asleep { since_ms: heard })]);
}

#[test]
fn readings_that_stopped_are_stale_and_fresh_with_the_next_report() {
    let mut home = Home::plug();
    home.line(Lan, Up).push(Lan, &[(18, 100), (19, 200), (20, 2_300), (9, 0)]);
    let stale = |mut changes: Vec<What>| {
        // Apparent power goes with the readings.
        changes.retain(|w| !matches!(w, What::Energy(_)));
        changes
    };
    home.pass(S(200));
    home.poll(Lan, &[(20, 2_300)]);
    assert_eq!(stale(home.pass(S(100))), [What::Stale { stale: vec![DpId(18), DpId(19)] }]);
    assert!(home.view().points[&DpId(19)].stale && !home.view().points[&DpId(20)].stale);
    home.poll(Lan, &[(19, 200)]);
    assert_eq!(stale(home.changes()), [What::Stale { stale: vec![DpId(18)] }]);
    // Nothing goes stale while the device is away; and it gets its time when it is back.
    home.line(Lan, Down);
    home.pass(S(3_600));
    assert!(!home.view().points[&DpId(20)].stale);
    home.line(Lan, Up);
    assert_eq!(stale(home.pass(S(299))), []);
    assert_eq!(stale(home.pass(S(1))), [What::Stale { stale: vec![DpId(18), DpId(19), DpId(20)] }]);
}

#[test]
fn five_hundred_devices_are_asked_to_measure_one_after_another() {
    let list = (0..500).map(|n| known(facts(&format!("bf{n:020}")), asked_plug(S(60)))).collect();
    let mut home = Home::new(list);
    for n in 0..500 {
        home.line_of(&format!("bf{n:020}"), Cloud, Up, None);
    }
    let mut asked = std::collections::BTreeMap::<_, usize>::new();
    let mut seconds = vec![0_usize; 181];
    let start = home.now.mono;
    while let Some(at) = home.core.next_wake().filter(|at| *at < start + S(180)) {
        home.now.mono = at.max(home.now.mono);
        home.act(Action::Tick);
        for effect in &home.effects {
            if let Effect::Refresh { device, line, points, .. } = effect {
                assert_eq!((*line, points.len()), (Cloud, 3));
                *asked.entry(device.clone()).or_default() += 1;
                seconds[usize::try_from((at - start).as_secs()).unwrap()] += 1;
            }
        }
    }
    assert_eq!(asked.len(), 500);
    assert!(asked.values().all(|n| *n == 3), "each once a minute");
    assert!(seconds.iter().all(|n| *n < 40), "500 in 60 s are 8 a second: {seconds:?}");
}
