//! A home in memory: a few devices, a clock that goes when it is told to, and what came out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};

use crate::core::{Action, Core, Effect, Known, Moment, Settings};
use crate::model::{
    By, CommandId, CommandOptions, DeviceView, Ended, EnergyView, Facts, Line, LineState, Origin, Outcome,
    Problem, Seq, What,
};
use crate::profile::{Class, Definition, Metering, Point, Recipe, Source};

pub(super) const S: fn(u64) -> Duration = Duration::from_secs;
pub(super) const PLUG: &str = "bf0000000000000000plug";
pub(super) const GATEWAY: &str = "bf000000000000000gatew";
pub(super) const GRACE: Duration = Duration::from_secs(60);

pub(super) fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

pub(super) fn unix(text: &str) -> u64 {
    u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
}

pub(super) fn facts(text: &str) -> Facts {
    Facts { has_key: true, ..Facts::new(id(text), format!("name of {text}")) }
}

/// A definition with a schema of these points.
pub(super) fn definition(points: &[(u16, DpKind, Access)]) -> Definition {
    let mut definition = Definition { class: Class::Plug, ..Definition::default() };
    let mut schema = Schema::default();
    for (n, kind, access) in points {
        let spec = DpSpec::new(format!("code_{n}"), kind.clone(), *access);
        let name = format!("dp_{n}");
        schema.0.insert(DpId(*n), spec.clone());
        let point = Point { event: false, history: true, ..Point::new(name, spec, Source::Owner) };
        definition.points.insert(DpId(*n), point);
    }
    definition.schema = Arc::new(schema);
    definition
}

pub(super) fn value(min: i64, max: i64) -> DpKind {
    DpKind::Value { min, max, step: 1, scale: 0, unit: "".into() }
}

/// A metering plug of the new kind: 17 in Wh, 18 mA, 19 0.1 W, 20 0.1 V.
pub(super) fn plug() -> Definition {
    let mut plug = definition(&[
        (1, DpKind::Bool, Access::Rw),
        (9, value(0, 86_400), Access::Rw),
        (17, value(0, 50_000), Access::Ro),
        (18, value(0, 30_000), Access::Ro),
        (19, value(0, 80_000), Access::Ro),
        (20, value(0, 5_000), Access::Ro),
        (38, DpKind::Enum(["off".into(), "on".into()].into()), Access::Rw),
    ]);
    plug.metering = Some(Metering {
        delta: Some((DpId(17), 1_000)),
        meter: None,
        power: Some((DpId(19), 100)),
        voltage: Some((DpId(20), 100)),
        current: Some((DpId(18), 1_000)),
    });
    plug.stale_after = Some(S(300));
    plug
}

/// The same, asked to measure every so often.
pub(super) fn asked_plug(every: Duration) -> Definition {
    let points = vec![DpId(18), DpId(19), DpId(20)];
    Definition { refresh: Some(Recipe { points, every }), ..plug() }
}

/// A button: point 1 says which kind of press.
pub(super) fn button() -> Definition {
    let mut button = definition(&[(1, DpKind::Enum(["single".into(), "double".into()].into()), Access::Ro)]);
    button.points.get_mut(&DpId(1)).unwrap().event = true;
    button
}

pub(super) fn known(facts: Facts, definition: Definition) -> Known {
    Known { facts: Arc::new(facts), definition: Arc::new(definition) }
}

pub(super) fn dps(points: &[(u16, i64)]) -> Dps {
    points.iter().map(|(n, v)| (DpId(*n), DpValue::Value(*v))).collect()
}

pub(super) fn switch(on: bool) -> Dps {
    [(DpId(1), DpValue::Bool(on))].into_iter().collect()
}

/// A home, its clock, and the effects of the last action.
pub(super) struct Home {
    pub(super) core: Core,
    pub(super) now: Moment,
    pub(super) effects: Vec<Effect>,
    seq: u64,
}

impl Home {
    pub(super) fn new(list: Vec<Known>) -> Self {
        Self::at("2026-11-22T11:00:00Z", None, list)
    }

    /// A home in Berlin at a time, with a price.
    pub(super) fn at(time: &str, price_milli: Option<i64>, list: Vec<Known>) -> Self {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let settings = Settings { grace: GRACE, zone, price_milli, last: Seq(100) };
        let now = Moment { mono: S(1_000), unix_ms: unix(time) };
        let mut home = Self { core: Core::new(settings), now, effects: Vec::new(), seq: 100 };
        home.act(Action::Devices(list));
        home
    }

    pub(super) fn plug() -> Self {
        Self::new(vec![known(facts(PLUG), plug())])
    }

    /// Applies an action and checks what holds for every one: numbers follow one another, a view comes before the changes
    /// that tell of it, and is the one that the core shows.
    pub(super) fn act(&mut self, action: Action) -> &mut Self {
        self.effects.clear();
        self.core.apply(action, self.now, &mut self.effects);
        for effect in &self.effects {
            match effect {
                Effect::Publish(change) => {
                    self.seq += 1;
                    assert_eq!(change.seq, Seq(self.seq), "{change:?}");
                    // Reports are told for times that never repeat, so maybe a little later.
                    let report = matches!(change.what, What::Points { .. } | What::Event { .. });
                    let ahead = change.at_ms.checked_sub(self.now.unix_ms).unwrap();
                    assert!(ahead == 0 || report && ahead <= 1_000, "{change:?} at {}", self.now.unix_ms);
                }
                Effect::View { device, view: Some(view) } => assert_eq!(view.id(), device),
                _ => {}
            }
        }
        self
    }

    /// Lets time pass, with a tick whenever the core wants one.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<What> {
        let end = self.now.mono + time;
        let mut changes = Vec::new();
        let mut ticks = 0;
        while let Some(at) = self.core.next_wake().filter(|at| *at <= end) {
            ticks += 1;
            assert!(ticks < 100_000, "the core wants ticks for ever at {at:?}");
            self.go_to(at.max(self.now.mono));
            self.act(Action::Tick);
            changes.extend(self.changes());
        }
        self.go_to(end);
        changes
    }

    fn go_to(&mut self, mono: Duration) {
        let millis = u64::try_from((mono - self.now.mono).as_millis()).unwrap();
        self.now.unix_ms = self.now.unix_ms.saturating_add(millis);
        self.now.mono = mono;
    }

    /// Time passes, but nobody ticks.
    pub(super) fn skip(&mut self, time: Duration) -> &mut Self {
        self.go_to(self.now.mono + time);
        self
    }

    pub(super) fn line(&mut self, line: Line, state: LineState) -> &mut Self {
        self.line_of(PLUG, line, state, None)
    }

    pub(super) fn line_of(
        &mut self,
        device: &str,
        line: Line,
        state: LineState,
        why: Option<&str>,
    ) -> &mut Self {
        let why = why.map(str::to_owned);
        self.act(Action::Line { device: id(device), line, state, why, address: None })
    }

    pub(super) fn hear(&mut self, line: Line, origin: Origin, dps: Dps) -> &mut Self {
        self.hear_of(PLUG, None, line, origin, dps)
    }

    pub(super) fn hear_of(
        &mut self,
        device: &str,
        cid: Option<&str>,
        line: Line,
        origin: Origin,
        dps: Dps,
    ) -> &mut Self {
        let cid = cid.map(|c| Cid::new(c).unwrap());
        let dps = Arc::new(dps);
        self.act(Action::Heard { device: id(device), cid, line, origin, dps, device_ms: None })
    }

    pub(super) fn push(&mut self, line: Line, points: &[(u16, i64)]) -> &mut Self {
        self.hear(line, Origin::Pushed, dps(points))
    }

    pub(super) fn poll(&mut self, line: Line, points: &[(u16, i64)]) -> &mut Self {
        self.hear(line, Origin::Polled, dps(points))
    }

    pub(super) fn command(&mut self, n: u64, dps: Dps) -> &mut Self {
        self.command_with(n, dps, CommandOptions::of(By::Api))
    }

    pub(super) fn command_with(&mut self, n: u64, dps: Dps, options: CommandOptions) -> &mut Self {
        self.act(Action::Command { id: CommandId(n), device: id(PLUG), dps, options })
    }

    pub(super) fn done(&mut self, n: u64, outcome: Outcome) -> &mut Self {
        self.act(Action::Done { id: CommandId(n), outcome })
    }

    /// What the last action published.
    pub(super) fn changes(&self) -> Vec<What> {
        let what = |e: &Effect| match e {
            Effect::Publish(change) => Some(change.what.clone()),
            _ => None,
        };
        self.effects.iter().filter_map(what).collect()
    }

    /// Where the last action sent commands: number, line, time.
    pub(super) fn sent(&self) -> Vec<(u64, Line, Duration)> {
        let sent = |e: &Effect| match e {
            Effect::Send { id, line, timeout, .. } => Some((id.0, *line, *timeout)),
            _ => None,
        };
        self.effects.iter().filter_map(sent).collect()
    }

    pub(super) fn rejected(&self) -> Option<Problem> {
        self.effects.iter().find_map(|e| match e {
            Effect::Rejected { problem, .. } => Some(problem.clone()),
            _ => None,
        })
    }

    pub(super) fn ended(&self) -> Option<Arc<Ended>> {
        self.effects.iter().find_map(|e| match e {
            Effect::Ended(ended) => Some(Arc::clone(ended)),
            _ => None,
        })
    }

    pub(super) fn view_of(&self, device: &str) -> Arc<DeviceView> {
        self.core.view(&id(device)).unwrap()
    }

    pub(super) fn view(&self) -> Arc<DeviceView> {
        self.view_of(PLUG)
    }

    pub(super) fn energy(&self) -> EnergyView {
        self.view().energy.unwrap()
    }

    pub(super) fn saves(&self) -> Vec<String> {
        let save = |e: &Effect| match e {
            Effect::Save { text, .. } => Some(text.clone()),
            _ => None,
        };
        self.effects.iter().filter_map(save).collect()
    }
}

/// Words of the notes among changes.
pub(super) fn notes(changes: &[What]) -> Vec<&'static str> {
    let note = |w: &What| match w {
        What::EnergyNote { code, .. } => Some(*code),
        _ => None,
    };
    changes.iter().filter_map(note).collect()
}
