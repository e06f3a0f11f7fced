//! What is kept over a restart.

use landfall_proto::dp::{DpId, DpValue};

use super::fixture::*;
use crate::core::Action;
use crate::model::{Facts, Line, LineState, Origin, Presence, What};
use Line::{Cloud, Lan};
use LineState::Up;

fn restored(sleeper: bool, text: &str) -> Home {
    let mut home =
        Home::at("2026-11-22T15:00:00Z", None, vec![known(Facts { sleeper, ..facts(PLUG) }, plug())]);
    home.act(Action::Restore { device: id(PLUG), text: text.to_owned() });
    home
}

fn some_state() -> (Home, String) {
    let mut home = Home::plug();
    home.line(Lan, Up).line(Cloud, Up);
    home.hear(Lan, Origin::Polled, [(DpId(38), DpValue::text("on"))].into_iter().collect());
    home.skip(S(60)).push(Lan, &[(17, 5), (9, 3)]);
    let text = home.saves().pop().unwrap();
    (home, text)
}

#[test]
fn state_is_shown_as_it_was_and_stale_until_it_is_heard() {
    let (before, text) = some_state();
    let mut home = restored(false, &text);
    assert!(home.changes().is_empty(), "how it stood is no change");
    let (old, new) = (before.view(), home.view());
    assert_eq!(new.points.len(), 3);
    for (dp, point) in &new.points {
        let was = &old.points[dp];
        assert_eq!(
            (&point.value, point.at_ms, point.changed_ms, point.line, point.stale),
            (&was.value, was.at_ms, was.changed_ms, was.line, true)
        );
    }
    assert_eq!((new.heard_ms, &new.presence), (old.heard_ms, &Presence::Unknown));
    assert_eq!(new.energy.unwrap().total.0, 5_000);
    assert_eq!(new.energy.unwrap().today.0, 5_000);
    home.line(Lan, Up).poll(Lan, &[(9, 3)]);
    assert_eq!(home.changes(), [What::Stale { stale: vec![DpId(17), DpId(38)] }]);
}

#[test]
fn a_sleeper_sleeps_since_it_was_heard() {
    let (before, text) = some_state();
    let mut home = restored(true, &text);
    let since_ms = before.view().heard_ms.unwrap();
    assert_eq!(home.view().presence, Presence::Asleep { since_ms });
    home.pass(S(100_000));
    assert_eq!(home.view().presence, Presence::Asleep { since_ms });
}

#[test]
fn the_owner_of_the_delta_point_and_its_last_messages_are_kept() {
    let mut home = Home::plug();
    home.line(Cloud, Up);
    let sent = |home: &mut Home| {
        let dps = std::sync::Arc::new(dps(&[(17, 4)]));
        let device_ms = Some(1_764_000_000_000);
        home.act(Action::Heard {
            device: id(PLUG),
            cid: None,
            line: Cloud,
            origin: Origin::Pushed,
            dps,
            device_ms,
        });
    };
    sent(&mut home);
    let text = home.saves().pop().unwrap();
    let mut home = restored(false, &text);
    home.line(Cloud, Up).line(Lan, Up);
    sent(&mut home);
    assert_eq!(home.energy().total.0, 4_000, "a message that is sent again after the restart");
    home.push(Lan, &[(17, 9)]);
    assert_eq!(home.energy().total.0, 4_000, "the cloud line owns it");
    home.push(Cloud, &[(17, 9)]);
    assert_eq!(home.energy().total.0, 13_000);
}

#[test]
fn nonsense_is_refused_in_words_and_nothing_is_taken_of_it() {
    for (text, says) in [
        ("", "EOF"),
        ("[]", "invalid"),
        ("{\"v\":2,\"anything\":true}", "version 2"),
        ("{\"v\":1,\"points\":7}", "invalid type"),
        ("{\"v\":1,\"heard_ms\":1,\"points\":[[1,true,1,1,\"radio\"]],\"energy\":null}", "radio"),
        (
            "{\"v\":1,\"heard_ms\":1,\"points\":[],\"energy\":{\"total\":-1,\"integrated\":0,\"owner\":null,\"copies\":0,\
             \"times\":[],\"meter\":null,\"days\":[],\"months\":[]}}",
            "account",
        ),
    ] {
        let home = restored(false, text);
        let changes = home.changes();
        let [What::Hub { code: "saved.refused", text }] = &changes[..] else { panic!("{changes:?}") };
        assert!(text.contains(says), "{text}");
        assert!(home.view().points.is_empty() && home.energy().total.0 == 0);
    }
}

#[test]
fn what_was_heard_before_it_was_restored_is_newer() {
    let (_, text) = some_state();
    let mut home = Home::plug();
    home.line(Lan, Up).push(Lan, &[(9, 7), (17, 1)]);
    home.act(Action::Restore { device: id(PLUG), text });
    assert_eq!(home.view().points[&DpId(9)].value, DpValue::Value(7));
    assert!(!home.view().points[&DpId(9)].stale);
    assert_eq!(home.energy().total.0, 5_000, "never less than either");
}

#[test]
fn what_is_restored_before_the_devices_are_known_waits_for_them() {
    let (_, text) = some_state();
    let mut home = Home::plug();
    home.core = crate::core::Core::new(crate::core::Settings {
        grace: GRACE,
        zone: jiff::tz::TimeZone::UTC,
        price_milli: None,
        last: crate::model::Seq(100),
    });
    home.act(Action::Restore { device: id(PLUG), text });
    assert!(home.effects.is_empty());
    home.act(Action::Devices(vec![known(facts(PLUG), plug())]));
    assert_eq!(home.energy().total.0, 5_000);
}

#[test]
fn a_graceful_stop_saves_everything_that_was_heard() {
    let (mut home, _) = some_state();
    home.skip(S(60)).poll(Lan, &[(9, 3)]);
    let all = home.core.saved();
    assert_eq!(all.len(), 1);
    assert_eq!(restored(false, &all[0].1).view().heard_ms, Some(home.now.unix_ms));
}
