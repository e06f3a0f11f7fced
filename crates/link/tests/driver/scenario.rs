//! Long runs under faults, judged from the device's journal.

use std::time::Duration;

use landfall_link::line::{Ask, Command, CommandId, Completion};
use landfall_link::outcome::{Outcome, SetOptions, Unconfirmed};
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::lan::Version;
use landfall_sim::dice::Dice;
use landfall_sim::faults::{DelayPlan, FaultPlan, RebootPlan};
use landfall_sim::kind::Kind;
use landfall_sim::spec::Habits;

use crate::checker::{Claim, Findings, Verdict, check};
use crate::world::{Net, World, config, dps, spec};

/// How a run is set up.
struct Plan {
    version: Version,
    kind: Kind,
    vendor: bool,
    push_first: bool,
    echo: bool,
    late: bool,
    sets: usize,
    seed: u64,
}

/// Points of a kind: text (each set its own value), bool, write-only text. None that change by themselves.
fn points(kind: Kind) -> (&'static [u16], &'static [u16], &'static [u16]) {
    match kind {
        Kind::BulbOld => (&[6, 7, 8], &[], &[]),
        Kind::Bulb => (&[25], &[34], &[27]),
        Kind::Plug => (&[42, 43, 44], &[39, 41], &[]),
        Kind::Feeder => (&[1], &[19], &[]),
        _ => (&[], &[1, 2], &[]),
    }
}

struct Given {
    id: CommandId,
    from: Duration,
    timeout: Duration,
    points: Vec<(u16, DpValue, bool)>,
    once: bool,
}

fn run(plan: &Plan) -> (Findings, World) {
    let mut spec = spec(plan.version, plan.kind);
    spec.seed = plan.seed;
    spec.clients = 6;
    spec.journal = usize::MAX;
    if plan.vendor {
        spec.habits = Habits { zero_key_trap: false, ..Habits::vendor() };
    }
    spec.habits.push_first |= plan.push_first;
    if !plan.echo {
        spec.reply_sequence = plan.version.dialect().reply_sequence;
    }
    spec.faults = FaultPlan {
        drop: 0.01,
        delay: Some(DelayPlan {
            chance: 0.05,
            from: Duration::from_millis(20),
            to: Duration::from_millis(3000),
        }),
        reset: 0.01,
        half_open: 0.002,
        reboot: Some(RebootPlan { every: Duration::from_secs(120), down: Duration::from_secs(3) }),
        moves: None,
        wedge: 0.0,
        storm: None,
    };
    let mut config = config(&spec);
    config.device22 = plan.version == Version::V3_2;
    let ms = Duration::from_millis;
    let net = Net { delay: (ms(1), ms(40)), reset: 0.004, dead: 0.001, late: plan.late };
    let first: Vec<_> = spec.product().first_values().into_iter().collect();
    let mut world = World::new(spec, &config, net, plan.seed);
    world.beacons = true;
    let mut dice = Dice::labelled(plan.seed, "owner");
    let (texts, bools, writes) = points(plan.kind);
    let mut given: Vec<Given> = Vec::with_capacity(plan.sets);
    let mut refused = 0;
    let pick = |dice: &mut Dice, from: &[u16]| from[usize::try_from(dice.below(from.len() as u64)).unwrap()];
    while given.len() < plan.sets {
        // Bursts and pauses.
        let pause = if dice.chance(0.3) { dice.below(20) } else { dice.below(4000) };
        world.run_ms(pause);
        if dice.chance(0.03) {
            // A query of somebody else in between; too many waiting is an answer too.
            let _ = world.submit(Command::Ask(Ask::Query { cid: None }));
        }
        let n = given.len();
        let mut points = Vec::new();
        let mut once = false;
        let roll = dice.unit();
        if roll < 0.2 && !writes.is_empty() {
            points.push((pick(&mut dice, writes), DpValue::text(format!("w{n}")), true));
            once = true;
        } else if roll < 0.75 && !texts.is_empty() {
            points.push((pick(&mut dice, texts), DpValue::text(format!("t{n}")), true));
            once = dice.chance(0.15);
            if dice.chance(0.2) && !bools.is_empty() {
                points.push((pick(&mut dice, bools), DpValue::Bool(dice.chance(0.5)), false));
            }
        } else if bools.is_empty() {
            continue;
        } else {
            points.push((pick(&mut dice, bools), DpValue::Bool(dice.chance(0.5)), false));
        }
        let timeout = ms(1000 + dice.below(9000));
        let options = SetOptions {
            timeout: Some(timeout),
            confirm: dice.chance(0.9),
            once: once && dice.chance(0.999) && plan.kind != Kind::Bulb || (once && writes.is_empty()),
        };
        // A write-only point needs no option: the schema says it.
        let list: Vec<_> = points.iter().map(|(id, v, _)| (*id, v.clone())).collect();
        let write_only = list.iter().any(|(id, _)| writes.contains(id));
        let once = options.once || write_only;
        let from = world.now;
        match world.submit(Command::Set { cid: None, dps: dps(&list), options }) {
            Ok(id) => given.push(Given { id, from, timeout, points, once }),
            Err(_) => {
                refused += 1;
                world.run_ms(1000);
            }
        }
    }
    world.run(Duration::from_secs(60));
    assert!(refused < plan.sets, "the queue refused {refused} of {} sets", plan.sets);
    let mut claims = Vec::new();
    for set in &given {
        let told = world.done.get(&set.id).map(|(at, completion)| {
            let verdict = match completion {
                Completion::Set(Outcome::Confirmed) => Verdict::Done,
                Completion::Set(Outcome::Accepted) => Verdict::Taken,
                Completion::Set(Outcome::Refused(_)) => Verdict::NotDone,
                Completion::Set(Outcome::Unconfirmed(Unconfirmed::NotSent { .. })) => Verdict::NeverSent,
                _ => Verdict::Unknown,
            };
            (*at, verdict)
        });
        for (point, value, unique) in &set.points {
            claims.push(Claim {
                point: DpId(*point),
                value: value.clone(),
                unique: *unique,
                once: set.once,
                from: set.from,
                deadline: set.from + set.timeout,
                told,
            });
        }
    }
    let journal = world.device.journal().writes();
    (check(&claims, &journal, &first, !plan.late), world)
}

fn judge(name: &str, plan: Plan) {
    let (found, world) = run(&plan);
    let sum = found.done + found.taken + found.not_done + found.never_sent + found.unknown;
    println!(
        "{name}: {} sets, {} connects, {} breaks in the net: {} confirmed, {} accepted, {} refused, {} never sent, \
         {} unknown ({} of them applied), {} resent",
        plan.sets,
        world.attempts.len(),
        world.breaks,
        found.done,
        found.taken,
        found.not_done,
        found.never_sent,
        found.unknown,
        found.unknown_applied,
        found.repeated,
    );
    assert!(
        found.wrong.is_empty(),
        "{} wrong claims, the first: {:#?}",
        found.wrong.len(),
        &found.wrong[..found.wrong.len().min(5)]
    );
    assert!(sum >= plan.sets);
    // The run is worth something only if faults struck and most sets still ended well.
    assert!(world.attempts.len() > plan.sets / 200, "{} connects", world.attempts.len());
    let good = found.done + found.taken;
    assert!(
        good * 3 > sum && found.done > sum / 4,
        "{} confirmed and {} accepted of {sum}",
        found.done,
        found.taken
    );
    assert!(found.unknown > 0 && found.never_sent > 0);
}

/// `LANDFALL_SEED` moves all seeds, to search for trouble in other runs.
fn plan(version: Version, kind: Kind, sets: usize, seed: u64) -> Plan {
    let moved = std::env::var("LANDFALL_SEED").ok().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    let seed = seed + 1000 * moved;
    Plan { version, kind, vendor: false, push_first: false, echo: false, late: false, sets, seed }
}

#[test]
fn sets_under_faults_3_1() {
    judge("3.1", plan(Version::V3_1, Kind::BulbOld, 10_000, 31));
    judge(
        "3.1 late",
        Plan { late: true, push_first: true, ..plan(Version::V3_1, Kind::BulbOld, 5_000, 131) },
    );
}

#[test]
fn sets_under_faults_3_2() {
    judge("3.2", plan(Version::V3_2, Kind::Switch22, 10_000, 32));
}

#[test]
fn sets_under_faults_3_3() {
    judge("3.3", plan(Version::V3_3, Kind::Bulb, 15_000, 33));
    judge("3.3 late", Plan { late: true, echo: true, ..plan(Version::V3_3, Kind::Plug, 10_000, 133) });
}

#[test]
fn sets_under_faults_3_4() {
    judge("3.4", plan(Version::V3_4, Kind::Bulb, 15_000, 34));
    judge("3.4 late", Plan { late: true, push_first: true, ..plan(Version::V3_4, Kind::Plug, 10_000, 134) });
}

#[test]
fn sets_under_faults_3_5() {
    judge("3.5 vendor", Plan { vendor: true, ..plan(Version::V3_5, Kind::Bulb, 15_000, 35) });
    judge("3.5 late", Plan { late: true, ..plan(Version::V3_5, Kind::Bulb, 10_000, 135) });
}
