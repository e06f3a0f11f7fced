//! Commands: checked, routed, ended once.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue, Dps};

use super::fixture::*;
use crate::core::{Action, Effect};
use crate::model::{By, CommandOptions, Line, LineState, Origin, Outcome, ProblemKind, What};
use Line::{Cloud, Lan};
use LineState::{Down, Opening, Up};

fn unsent() -> Outcome {
    Outcome::Unconfirmed { why: "it is not connected".to_owned(), unsent: true }
}

fn lost() -> Outcome {
    Outcome::Unconfirmed { why: "no answer".to_owned(), unsent: false }
}

#[test]
fn a_command_takes_the_better_line_and_its_end_is_told() {
    let mut home = Home::plug();
    home.line(Cloud, Up).command(1, switch(true));
    assert_eq!(home.sent(), [(1, Cloud, S(5))]);
    home.line(Lan, Up).command(2, switch(false));
    assert_eq!(home.sent(), [(2, Lan, S(5))]);
    assert_eq!(home.view().route, Some(Lan));
    home.skip(Duration::from_millis(120)).done(2, Outcome::Confirmed);
    let ended = home.ended().unwrap();
    assert_eq!((ended.id.0, ended.line, ended.took_ms), (2, Some(Lan), 120));
    assert_eq!(ended.outcome, Outcome::Confirmed);
    assert_eq!(home.changes(), [What::Command(ended)]);
    // A late second answer is nothing.
    home.done(2, lost());
    assert!(home.effects.is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_with_a_code_and_a_next_step() {
    let mut home = Home::plug();
    home.line(Lan, Up);
    let one = |id: u16, v: DpValue| -> Dps { [(DpId(id), v)].into_iter().collect() };
    for (dps, code, says) in [
        (one(77, DpValue::Bool(true)), "dp.unknown", "dp 77 is not a point"),
        (one(17, DpValue::Value(1)), "dp.read_only", "dp 17 (code_17) is read-only"),
        (one(1, DpValue::Value(1)), "dp.wrong_type", "takes a bool"),
        (one(9, DpValue::Value(86_401)), "dp.out_of_range", "0 to 86400, not 86401"),
        (Dps::new(), "command.empty", "no points"),
    ] {
        home.command(1, dps);
        let problem = home.rejected().unwrap();
        assert_eq!((problem.code, problem.kind), (code, ProblemKind::Asked));
        assert!(problem.message.contains(says), "{}", problem.message);
        assert!(problem.hint.is_some());
        assert!(home.sent().is_empty() && home.changes().is_empty());
    }
    home.act(Action::Command {
        id: crate::model::CommandId(9),
        device: id("bf_nobody"),
        dps: switch(true),
        options: CommandOptions::of(By::Cli),
    });
    assert_eq!(home.rejected().unwrap().code, "device.unknown");
    // What is not known can't be checked: any value passes.
    let mut home = Home::new(vec![known(facts(PLUG), crate::profile::Definition::default())]);
    home.line(Lan, Up).command(1, one(77, DpValue::Value(3)));
    assert_eq!(home.sent().len(), 1);
}

#[test]
fn without_a_line_it_is_refused_with_the_reason_but_a_lan_that_is_opened_is_waited_for() {
    let mut home = Home::plug();
    home.line_of(PLUG, Lan, Down, Some("the local key is wrong")).command(1, switch(true));
    let problem = home.rejected().unwrap();
    assert_eq!((problem.code, problem.kind), ("device.offline", ProblemKind::Device));
    assert!(problem.message.contains("the local key is wrong"), "{}", problem.message);
    home.line(Lan, Opening).command(2, switch(true));
    assert_eq!(home.sent(), [(2, Lan, S(5))]);
    let only = CommandOptions { line: Some(Cloud), ..CommandOptions::of(By::Api) };
    home.command_with(3, switch(true), only);
    assert!(home.rejected().unwrap().message.contains("cloud line"));
}

#[test]
fn a_sleeper_that_sleeps_is_not_asked() {
    let mut home = Home::new(vec![known(crate::model::Facts { sleeper: true, ..facts(PLUG) }, plug())]);
    home.command(1, switch(true));
    assert_eq!(home.rejected().unwrap().code, "device.asleep");
    home.line(Cloud, Up).command(2, switch(true));
    assert_eq!(home.sent().len(), 1);
}

#[test]
fn unsent_goes_the_other_way_once_and_anything_else_does_not() {
    let mut home = Home::plug();
    home.line(Lan, Up).line(Cloud, Up).command(1, switch(true));
    home.skip(S(2)).done(1, unsent());
    assert_eq!(home.sent(), [(1, Cloud, S(3))], "with the time that is left");
    assert!(home.ended().is_none());
    home.done(1, unsent());
    assert!(home.sent().is_empty(), "not back again");
    assert_eq!(home.ended().unwrap().line, Some(Cloud));

    home.command(2, switch(true)).done(2, lost());
    assert!(home.sent().is_empty(), "it may have reached the device");
    assert_eq!(home.ended().unwrap().outcome, lost());

    let only = CommandOptions { line: Some(Cloud), ..CommandOptions::of(By::Api) };
    home.command_with(3, switch(true), only).done(3, unsent());
    assert!(home.sent().is_empty() && home.ended().is_some(), "the asker wanted this line");

    home.command(4, switch(true));
    home.skip(S(5)).done(4, unsent());
    assert!(home.sent().is_empty() && home.ended().is_some(), "no time is left");

    home.line(Lan, Down).command(5, switch(true)).done(5, unsent());
    assert!(home.sent().is_empty() && home.ended().is_some(), "the other line is not up");
}

#[test]
fn a_lan_that_failed_lately_is_avoided_for_a_minute() {
    let mut home = Home::plug();
    home.line(Lan, Up).line(Cloud, Up);
    home.command(1, switch(true)).done(1, lost());
    assert_eq!(home.view().route, Some(Lan), "one lost command is weather");
    home.command(2, switch(true)).done(2, lost());
    assert_eq!(home.view().route, Some(Cloud));
    home.command(3, switch(true));
    assert_eq!(home.sent()[0].1, Cloud);
    home.done(3, Outcome::Confirmed);
    home.pass(S(60));
    assert_eq!(home.view().route, Some(Lan));
    home.command(4, switch(true)).done(4, Outcome::Refused { why: "no".to_owned() });
    home.command(5, switch(true)).done(5, lost());
    assert_eq!(home.view().route, Some(Lan), "a refusal is an answer too");
}

#[test]
fn a_line_that_never_answers_is_given_up_after_its_time() {
    let mut home = Home::plug();
    home.line(Lan, Up).command(1, switch(true));
    home.hear(Lan, Origin::Polled, switch(false));
    assert_eq!(home.pass(Duration::from_millis(6_999)), []);
    let changes = home.pass(Duration::from_millis(1));
    let [What::Command(ended)] = &changes[..] else { panic!("{changes:?}") };
    assert!(
        matches!(&ended.outcome, Outcome::Unconfirmed { unsent: false, why } if why.contains("lan line"))
    );
    assert_eq!(ended.took_ms, 7_000);
    // No command takes longer than a minute.
    let long = CommandOptions { timeout: S(3_600), ..CommandOptions::of(By::Mqtt) };
    home.command_with(2, switch(true), long);
    assert_eq!(home.sent(), [(2, Lan, S(60))]);
}

#[test]
fn so_many_and_no_more_are_under_way() {
    let mut home = Home::plug();
    home.line(Lan, Up);
    for n in 0..32 {
        home.command(n, switch(true));
        assert!(home.rejected().is_none());
    }
    home.command(32, switch(true));
    let problem = home.rejected().unwrap();
    assert_eq!((problem.code, problem.kind), ("device.busy", ProblemKind::Busy));
    home.done(7, Outcome::Confirmed).command(33, switch(true));
    assert!(home.rejected().is_none());
    home.command(33, switch(true));
    assert_eq!(home.rejected().unwrap().code, "command.duplicate");
}

#[test]
fn a_point_that_acts_on_each_write_is_sent_at_most_once() {
    let mut feeder = plug();
    let mut schema = (*feeder.schema).clone();
    schema.0.get_mut(&DpId(9)).unwrap().action = true;
    feeder.schema = Arc::new(schema);
    let mut home = Home::new(vec![known(facts(PLUG), feeder)]);
    home.line(Lan, Up);
    let once = |home: &Home| {
        home.effects.iter().find_map(|e| match e {
            Effect::Send { once, .. } => Some(*once),
            _ => None,
        })
    };
    home.command(1, dps(&[(9, 3)]));
    assert_eq!(once(&home), Some(true));
    home.command(2, switch(true));
    assert_eq!(once(&home), Some(false));
}

#[test]
fn a_device_that_is_removed_ends_its_commands() {
    let mut home = Home::plug();
    home.line(Lan, Up).command(1, switch(true));
    home.act(Action::Devices(Vec::new()));
    assert!(matches!(home.ended().unwrap().outcome, Outcome::Unconfirmed { unsent: false, .. }));
    let changes = home.changes();
    assert!(matches!(&changes[..], [What::Command(_), What::Removed { .. }]), "{changes:?}");
    home.done(1, Outcome::Confirmed);
    assert!(home.effects.is_empty());
}
