//! What holds for any sequence of actions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::DpId;
use proptest::prelude::*;

use super::fixture::*;
use crate::core::{Action, Core, Effect, Known, Settings};
use crate::model::{By, CommandId, CommandOptions, Line, LineState, Origin, Outcome, Seq, What};
use crate::profile::{Definition, Metering};
use Line::{Cloud, Lan};

const METERED: [&str; 3] = ["bf_delta", "bf_meter", "bf_watts"];

fn list() -> Vec<Known> {
    let metering = [
        plug().metering.unwrap(),
        Metering { meter: Some((DpId(9), 10_000)), power: Some((DpId(19), 100)), ..Metering::default() },
        Metering { power: Some((DpId(19), 100)), ..Metering::default() },
    ];
    let device = |(name, metering): (&&str, Metering)| {
        known(facts(name), Definition { metering: Some(metering), ..plug() })
    };
    METERED.iter().zip(metering).map(device).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Line(usize, Line, LineState),
    Heard(usize, Line, Origin, Vec<(u16, i64)>, Option<u64>),
    Pass(u64),
    SetClock(u64),
    Command(usize, Option<Line>, u64),
    Done(usize, u8),
    /// Without some devices for a moment.
    Remove(usize),
    /// The process is killed and starts again with what was saved.
    Restart,
}

fn line() -> impl Strategy<Value = Line> + Clone {
    prop_oneof![Just(Lan), Just(Cloud)]
}

fn step() -> impl Strategy<Value = Step> {
    use LineState::{Down, Opening, Unused, Up};
    let state = prop_oneof![4 => Just(Up), 1 => Just(Down), 1 => Just(Opening), 1 => Just(Unused)];
    let origin = prop_oneof![Just(Origin::Pushed), Just(Origin::Polled)];
    let value = prop_oneof![8 => 0..5_000_i64, 1 => any::<i64>(), 1 => Just(0)];
    let points =
        prop::collection::vec((prop::sample::select(vec![1_u16, 9, 17, 18, 19, 20, 77]), value), 0..5);
    prop_oneof![
        3 => (0..3_usize, line(), state).prop_map(|(d, l, s)| Step::Line(d, l, s)),
        10 => (0..3_usize, line(), origin, points, prop::option::of(0..5_u64))
            .prop_map(|(d, l, o, p, t)| Step::Heard(d, l, o, p, t)),
        6 => prop_oneof![0..60_u64, 0..100_000_u64].prop_map(Step::Pass),
        1 => prop_oneof![Just(0_u64), Just(u64::MAX), 0..4_000_000_000_000_u64].prop_map(Step::SetClock),
        4 => (0..3_usize, prop::option::of(line()), 0..100_u64).prop_map(|(d, l, t)| Step::Command(d, l, t)),
        4 => (0..40_usize, 0..5_u8).prop_map(|(n, o)| Step::Done(n, o)),
        1 => (0..3_usize).prop_map(Step::Remove),
        1 => Just(Step::Restart),
    ]
}

fn outcome(n: u8) -> Outcome {
    match n {
        0 => Outcome::Confirmed,
        1 => Outcome::Accepted,
        2 => Outcome::Refused { why: "no".to_owned() },
        n => Outcome::Unconfirmed { why: "?".to_owned(), unsent: n == 3 },
    }
}

/// Looks at all that comes out.
#[derive(Default)]
struct Witness {
    saved: BTreeMap<String, String>,
    /// Highest total that was told, and seen in this run.
    told: BTreeMap<String, i64>,
    seen: BTreeMap<String, i64>,
    /// When reports were told last.
    times: BTreeMap<String, u64>,
    asked: u64,
    ends: BTreeMap<u64, usize>,
    last: u64,
}

impl Witness {
    fn look(&mut self, home: &Home) {
        let mut last = BTreeMap::new();
        for effect in &home.effects {
            match effect {
                Effect::Save { device, text } => {
                    self.saved.insert(device.to_string(), text.clone());
                }
                Effect::Publish(change) => {
                    self.last = change.seq.0;
                    if let (What::Points { .. } | What::Event { .. }, Some(device)) =
                        (&change.what, &change.device)
                    {
                        let last = self.times.insert(device.to_string(), change.at_ms);
                        let (at, far) = (change.at_ms, home.now.unix_ms.saturating_add(1_000));
                        assert!(last.is_none_or(|last| last < at || last >= far), "{last:?}, then {at}");
                    }
                    if let (What::Energy(view), Some(device)) = (&change.what, &change.device) {
                        let told = self.told.entry(device.to_string()).or_default();
                        assert!(view.total.0 >= *told, "kWh of {device} fell from {told} to {view:?}");
                        *told = view.total.0;
                    }
                }
                Effect::Ended(ended) => *self.ends.entry(ended.id.0).or_default() += 1,
                Effect::Rejected { id, .. } => *self.ends.entry(id.0).or_default() += 1,
                Effect::View { device, view: Some(view) } => {
                    last.insert(device.clone(), Arc::clone(view));
                    if let Some(energy) = &view.energy {
                        let seen = self.seen.entry(device.to_string()).or_default();
                        assert!(energy.total.0 >= *seen, "kWh of {device} fell from {seen} to {energy:?}");
                        assert!(energy.today.0 >= 0 && energy.month.0 >= 0 && energy.integrated.0 >= 0);
                        *seen = energy.total.0;
                    }
                }
                _ => {}
            }
        }
        for (device, view) in last {
            let shown = home.core.view(&device);
            assert!(shown.is_none_or(|shown| Arc::ptr_eq(&shown, &view)), "the last view is the one shown");
        }
    }

    fn act(&mut self, home: &mut Home, action: Action) {
        home.act(action);
        self.look(home);
    }

    fn pass(&mut self, home: &mut Home, time: Duration) {
        let end = home.now.mono + time;
        let mut ticks = 0;
        while let Some(at) = home.core.next_wake().filter(|at| *at <= end) {
            ticks += 1;
            assert!(ticks < 10_000, "the core wants ticks for ever at {at:?}");
            home.skip(at.saturating_sub(home.now.mono));
            self.act(home, Action::Tick);
        }
        home.skip(end - home.now.mono);
    }

    fn step(&mut self, home: &mut Home, step: Step) {
        let device = |n: usize| id(METERED[n]);
        match step {
            Step::Line(n, line, state) => {
                self.act(home, Action::Line { device: device(n), line, state, why: None, address: None });
            }
            Step::Heard(n, line, origin, points, device_ms) => {
                let dps = Arc::new(dps(&points));
                self.act(home, Action::Heard { device: device(n), cid: None, line, origin, dps, device_ms });
            }
            Step::Pass(seconds) => self.pass(home, S(seconds)),
            Step::SetClock(unix_ms) => home.now.unix_ms = unix_ms,
            Step::Command(n, line, timeout) => {
                self.asked += 1;
                let options = CommandOptions { timeout: S(timeout), line, ..CommandOptions::of(By::Api) };
                let id = CommandId(self.asked);
                self.act(home, Action::Command { id, device: device(n), dps: switch(true), options });
            }
            Step::Done(back, how) => {
                let id = CommandId(self.asked.saturating_sub(back as u64));
                self.act(home, Action::Done { id, outcome: outcome(how) });
            }
            Step::Remove(n) => {
                let mut some = list();
                some.remove(n);
                self.act(home, Action::Devices(some));
                // It starts anew, as after a restart, with what was saved.
                self.seen.remove(METERED[n]);
                self.act(home, Action::Devices(list()));
                self.restore(home, METERED[n]);
            }
            Step::Restart => {
                self.settle(home);
                self.seen.clear();
                let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
                let last = Seq(self.last.max(100));
                home.core = Core::new(Settings { grace: GRACE, zone, price_milli: Some(250), last });
                home.now.mono = S(5);
                self.act(home, Action::Devices(list()));
                for name in METERED {
                    self.restore(home, name);
                }
            }
        }
    }

    fn restore(&mut self, home: &mut Home, name: &str) {
        if let Some(text) = self.saved.get(name).cloned() {
            self.act(home, Action::Restore { device: id(name), text });
            let refused = home.changes().iter().any(|w| matches!(w, What::Hub { code: "saved.refused", .. }));
            assert!(!refused, "we read what we write: {:?}", home.changes());
            assert!(home.view_of(name).energy.unwrap().total.0 >= self.told.get(name).copied().unwrap_or(0));
        }
    }

    /// Every command ends, and ends once.
    fn settle(&mut self, home: &mut Home) {
        self.pass(home, S(100));
        for n in 1..=self.asked {
            assert_eq!(self.ends.get(&n), Some(&1), "command {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// kWh never fall, numbers have no holes, times of reports never repeat, every command ends once, and the core never
    /// wants ticks for ever.
    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let mut home = Home::new(list());
        let mut witness = Witness::default();
        for step in steps {
            witness.step(&mut home, step);
        }
        witness.settle(&mut home);
    }
}

/// A connection as it really is, beside what the hub knows of it.
#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    alive: bool,
    /// The hub believes that it is up, until then at most.
    believed: bool,
    found_dead: Option<u64>,
}

#[derive(Clone, Debug)]
struct Beat {
    /// Seconds before the device reports.
    wait: u64,
    /// Energy since the last report.
    value: i64,
    /// How late it comes over each line.
    late: [u64; 2],
    /// What happens to a line meanwhile: which, whether it connects, how long its death goes unseen.
    event: Option<(usize, bool, u64)>,
}

fn beat() -> impl Strategy<Value = Beat> {
    let event = prop::option::of((0..2_usize, any::<bool>(), 0..50_u64));
    (15..120_u64, 1..4_i64, [0..4_u64, 0..4_u64], event).prop_map(|(wait, value, late, event)| Beat {
        wait,
        value,
        late,
        event,
    })
}

const LINES: [Line; 2] = [Lan, Cloud];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// A device reports deltas over the lines that really are alive; the hub hears of a death later. The account holds every
    /// delta that came over any line exactly once, as soon as both lines are quiet.
    #[test]
    fn every_delta_is_added_exactly_once(beats in prop::collection::vec(beat(), 1..40)) {
        let mut home = Home::plug();
        let mut wires = [Wire::default(); 2];
        let mut second = 0;
        let mut delivered = 0;
        // What is to happen: second, then in this order.
        let mut to_come: BTreeMap<(u64, usize), (usize, i64)> = BTreeMap::new();
        let mut order = 0;
        let run = |home: &mut Home, wires: &mut [Wire; 2], second: &mut u64, until: u64,
                   to_come: &mut BTreeMap<(u64, usize), (usize, i64)>| {
            while *second < until {
                *second += 1;
                home.skip(S(1));
                for (n, wire) in wires.iter_mut().enumerate() {
                    if wire.believed && wire.found_dead.is_some_and(|at| at <= *second) {
                        wire.believed = false;
                        home.line(LINES[n], LineState::Down);
                    }
                }
                while let Some(((at, _), _)) = to_come.first_key_value() {
                    if *at > *second {
                        break;
                    }
                    let (_, (n, value)) = to_come.pop_first().unwrap();
                    home.push(LINES[n], &[(17, value)]);
                }
            }
        };
        for beat in beats {
            let until = second + beat.wait;
            run(&mut home, &mut wires, &mut second, until, &mut to_come);
            if let Some((n, connect, unseen)) = beat.event {
                if connect && !wires[n].believed {
                    wires[n] = Wire { alive: true, believed: true, found_dead: None };
                    home.line(LINES[n], LineState::Up);
                } else if !connect && wires[n].alive {
                    wires[n].alive = false;
                    wires[n].found_dead = Some(second + unseen);
                }
            }
            let mut came = false;
            for (n, wire) in wires.iter().enumerate() {
                if wire.alive {
                    came = true;
                    order += 1;
                    to_come.insert((second + 1 + beat.late[n], order), (n, beat.value));
                }
            }
            if came {
                delivered += beat.value;
            }
        }
        // The last copies; the death of dead lines is found.
        let end = second + 60;
        run(&mut home, &mut wires, &mut second, end, &mut to_come);
        let total = home.view().energy.unwrap().total.0;
        prop_assert_eq!(total, delivered * 1_000);
    }
}
