//! Which devices there are, and sub-devices.

use landfall_proto::id::Cid;

use super::fixture::*;
use crate::core::{Action, Effect, Known};
use crate::model::{By, CommandId, CommandOptions, Facts, Line, LineState, Origin, Outcome, Presence, What};
use Line::Lan;
use LineState::{Down, Up};
use Origin::Pushed;

const BULB: &str = "bf000000000000000bulb";
const LAMP: &str = "bf000000000000000lamp";

fn gateway() -> Known {
    known(facts(GATEWAY), crate::profile::Definition::default())
}

fn child(name: &str, cid: &str) -> Known {
    let facts = Facts { parent: Some(id(GATEWAY)), cid: Some(Cid::new(cid).unwrap()), ..facts(name) };
    known(facts, plug())
}

#[test]
fn differences_are_told() {
    let mut home = Home::plug();
    home.act(Action::Devices(vec![known(facts(PLUG), plug()), gateway()]));
    assert_eq!(home.changes(), [What::Added]);
    home.act(Action::Devices(vec![known(facts(PLUG), plug()), gateway()]));
    assert!(home.effects.is_empty(), "the same list is nothing: {:?}", home.effects);
    let renamed = Facts { name: "Kettle".to_owned(), ..facts(PLUG) };
    home.act(Action::Devices(vec![known(renamed.clone(), plug()), gateway()]));
    assert_eq!(home.changes(), [What::Renamed { from: format!("name of {PLUG}"), to: "Kettle".to_owned() }]);
    assert_eq!(home.view().facts.name, "Kettle");
    let moved = Facts { room: Some("Kitchen".to_owned()), ..renamed };
    home.act(Action::Devices(vec![known(moved, plug())]));
    let changes = home.changes();
    assert_eq!(changes, [What::Removed { name: format!("name of {GATEWAY}") }, What::Edited]);
    assert!(
        home.effects
            .iter()
            .any(|e| matches!(e, Effect::View { device, view: None } if *device == id(GATEWAY)))
    );
    assert!(home.core.view(&id(GATEWAY)).is_none());
}

#[test]
fn a_device_that_was_activated_anew_keeps_its_state_and_its_commands() {
    let mut home = Home::plug();
    home.line(Lan, Up).push(Lan, &[(17, 5), (9, 3)]).command(1, switch(true));
    let anew = Facts { aliases: vec![id(PLUG)], ..facts("bf_new") };
    home.act(Action::Devices(vec![known(anew, plug())]));
    let changes = home.changes();
    assert!(!changes.contains(&What::Added) && changes.contains(&What::Edited), "{changes:?}");
    assert_eq!(home.saves().len(), 1, "under its new id");
    let view = home.core.view(&id(PLUG)).unwrap();
    assert_eq!((view.id(), view.points.len(), view.energy.unwrap().total.0), (&id("bf_new"), 2, 5_000));
    // Reports under the former id are its own, and so is the end of its command.
    home.push(Lan, &[(17, 2)]);
    assert_eq!(home.view().energy.unwrap().total.0, 7_000);
    home.done(1, Outcome::Confirmed);
    assert_eq!(home.ended().unwrap().device, id("bf_new"));
}

#[test]
fn two_entries_of_one_device_become_one() {
    let mut home = Home::new(vec![known(facts(PLUG), plug()), known(facts("bf_new"), plug())]);
    home.line(Lan, Up).push(Lan, &[(17, 5), (9, 3)]);
    let anew = Facts { aliases: vec![id(PLUG)], ..facts("bf_new") };
    home.act(Action::Devices(vec![known(anew, plug())]));
    assert_eq!(home.core.views().len(), 1);
    assert_eq!((home.view().points.len(), home.energy().total.0), (2, 5_000));
}

#[test]
fn sub_devices_hear_speak_and_fall_through_their_gateway() {
    let mut home = Home::new(vec![gateway(), child(BULB, "c1"), child(LAMP, "c2")]);
    home.line_of(GATEWAY, Lan, Up, None);
    assert_eq!(home.view_of(BULB).presence, Presence::Online);
    home.hear_of(GATEWAY, Some("c1"), Lan, Pushed, dps(&[(9, 3)]));
    assert_eq!((home.view_of(BULB).points.len(), home.view_of(LAMP).points.len()), (1, 0));
    assert_eq!(home.view_of(GATEWAY).heard_ms, Some(home.now.unix_ms), "it lives too");
    let options = CommandOptions::of(By::Api);
    home.act(Action::Command { id: CommandId(1), device: id(LAMP), dps: switch(true), options });
    let sent = home.effects.iter().find_map(|e| match e {
        Effect::Send { device, cid, .. } => Some((device.clone(), cid.clone())),
        _ => None,
    });
    assert_eq!(sent, Some((id(GATEWAY), Some(Cid::new("c2").unwrap()))));

    // The gateway says that one is gone: offline after the grace time, the other stays.
    let cid = |c| vec![Cid::new(c).unwrap()];
    home.act(Action::SubDevices { gateway: id(GATEWAY), online: cid("c1"), offline: cid("c2") });
    home.pass(GRACE);
    let Presence::Offline { why, .. } = &home.view_of(LAMP).presence else { panic!() };
    assert_eq!(why, "its gateway says that it is offline");
    assert_eq!(home.view_of(BULB).presence, Presence::Online);
    home.hear_of(GATEWAY, Some("c2"), Lan, Pushed, dps(&[(9, 3)]));
    assert_eq!(home.view_of(LAMP).presence, Presence::Online, "it was heard after all");

    home.line_of(GATEWAY, Lan, Down, Some("it hung up"));
    let lines = home.pass(GRACE).iter().filter(|w| matches!(w, What::Presence(_))).count();
    assert_eq!(lines, 3);
    let Presence::Offline { why, .. } = &home.view_of(BULB).presence else { panic!() };
    assert_eq!(why, "its gateway can't be reached (LAN: it hung up)");
}

#[test]
fn a_sub_device_that_was_never_heard_is_offline_as_soon_as_its_gateway_says_so() {
    let mut home = Home::new(vec![gateway(), child(BULB, "c1"), child(LAMP, "c2")]);
    home.line_of(GATEWAY, Lan, Up, None);
    home.hear_of(GATEWAY, Some("c1"), Lan, Pushed, dps(&[(9, 3)]));
    let cid = |c| Cid::new(c).unwrap();
    home.act(Action::SubDevices {
        gateway: id(GATEWAY),
        online: vec![],
        offline: vec![cid("c1"), cid("c2")],
    });
    let Presence::Offline { why, .. } = &home.view_of(LAMP).presence else { panic!() };
    assert_eq!(why, "its gateway says that it is offline");
    assert_eq!(home.view_of(BULB).presence, Presence::Online, "it may be back before the grace time is over");
}

#[test]
fn a_stranger_behind_a_gateway_is_told_once_until_it_is_known() {
    let mut home = Home::new(vec![gateway()]);
    let told = |home: &Home| {
        home.changes().iter().filter(|w| matches!(w, What::Hub { code: "subdevice.unknown", .. })).count()
    };
    home.hear_of(GATEWAY, Some("c1"), Lan, Pushed, dps(&[(9, 3)]));
    assert_eq!((told(&home), home.core.unknown_subdevices().count()), (1, 1));
    home.hear_of(GATEWAY, Some("c1"), Lan, Pushed, dps(&[(9, 4)]));
    assert_eq!(told(&home), 0);
    assert_eq!(home.core.unheard(), 2);
    for n in 0..2_000 {
        home.hear_of(GATEWAY, Some(&format!("x{n}")), Lan, Pushed, dps(&[(9, 4)]));
    }
    assert_eq!(home.core.unknown_subdevices().count(), 1_024, "strangers fill no memory");
    home.act(Action::Devices(vec![gateway(), child(BULB, "c1")]));
    assert_eq!(home.core.unknown_subdevices().count(), 1_023);
    home.hear_of(GATEWAY, Some("c1"), Lan, Pushed, dps(&[(9, 5)]));
    assert_eq!(home.view_of(BULB).points.len(), 1);
    home.hear_of("bf_nobody", None, Lan, Pushed, dps(&[(9, 5)]));
    assert!(home.effects.is_empty());
}

#[test]
fn a_new_sub_device_has_the_lines_that_its_gateway_has() {
    let mut home = Home::new(vec![gateway()]);
    home.line_of(GATEWAY, Lan, Up, None);
    home.act(Action::Devices(vec![gateway(), child(BULB, "c1")]));
    assert_eq!(home.view_of(BULB).route, Some(Lan));
    // The gateway was activated anew; the book still names its former id.
    let anew = Facts { aliases: vec![id(GATEWAY)], ..facts("bf_gateway_2") };
    home.act(Action::Devices(vec![known(anew, crate::profile::Definition::default()), child(BULB, "c1")]));
    let options = CommandOptions::of(By::Api);
    home.act(Action::Command { id: CommandId(1), device: id(BULB), dps: switch(true), options });
    let holder = home.effects.iter().find_map(|e| match e {
        Effect::Send { device, .. } => Some(device.clone()),
        _ => None,
    });
    assert_eq!(holder, Some(id("bf_gateway_2")));
}

#[test]
fn points_beyond_what_a_device_can_have_are_not_kept() {
    let mut home = Home::new(vec![known(facts(PLUG), crate::profile::Definition::default())]);
    for n in 0..60_u16 {
        let many: Vec<_> = (0..10).map(|i| (n * 10 + i, 1)).collect();
        home.push(Lan, &many);
    }
    assert_eq!(home.view().points.len(), 512);
    home.push(Lan, &[(5_000, 1)]);
    assert!(home.changes().is_empty(), "told once, not again");
}
