//! One device.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId};

use super::energy::{Account, Early, Heard, Note};
use super::lane::LineOf;
use super::out::Ctx;
use super::points::{MOST_POINTS, Points};
use super::presence::{Facts as PresenceFacts, Reach};
use super::saved::{self, Saved};
use super::wake::Wake;
use super::{Effect, Known, Moment, NoWay, route};
use crate::model::{DeviceView, EnergyView, Line, LineState, LineView, Origin, Outcome, Presence, Seq, What};

/// Heard again and again without any change, it is saved this often.
const SAVE: Duration = Duration::from_mins(10);
/// Reports may be told for so much later than the clock says, so that no two are of one millisecond.
const AHEAD_MS: u64 = 1_000;
/// No device is asked to measure more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: Arc<DeviceId>,
    pub(super) known: Known,
    /// The gateway that holds its lines, by its id as it is now, and its id there.
    pub(super) gateway: Option<(DeviceId, Cid)>,
    lan: LineOf,
    cloud: LineOf,
    reach: Reach,
    /// Its gateway says that it can't reach it.
    cut_off: bool,
    points: Points,
    told_dropped: bool,
    energy: Option<Account>,
    early: Early,
    heard_ms: Option<u64>,
    /// The time that the last changes or presses were told for.
    told_ms: u64,
    /// Commands under way.
    pub(super) busy: usize,
    refresh_at: Option<Duration>,
    energy_at: Option<Duration>,
    saved_at: Option<Duration>,
    /// What it is put down for in [`Wake`].
    pub(super) wake_at: Option<Duration>,
    seq: Seq,
    view: Option<Arc<DeviceView>>,
    dirty: bool,
    save: bool,
    /// Room for notes, so that none is made for each report.
    notes: Vec<Note>,
}

/// A report of points.
pub(super) struct Report {
    pub(super) line: Line,
    pub(super) origin: Origin,
    pub(super) dps: Arc<Dps>,
    pub(super) device_ms: Option<u64>,
}

impl Device {
    pub(super) fn new(known: Known, now: Moment, ctx: &Ctx<'_>) -> Self {
        let mut device = Self {
            id: Arc::new(known.facts.id.clone()),
            known,
            gateway: None,
            lan: LineOf::default(),
            cloud: LineOf::default(),
            reach: Reach::new(now),
            cut_off: false,
            points: Points::default(),
            told_dropped: false,
            energy: None,
            early: Early::default(),
            heard_ms: None,
            told_ms: 0,
            busy: 0,
            refresh_at: None,
            energy_at: None,
            saved_at: None,
            wake_at: None,
            seq: Seq::default(),
            view: None,
            dirty: true,
            save: false,
            notes: Vec::new(),
        };
        device.define(ctx);
        device
    }

    /// Takes over what it is and what its points mean.
    pub(super) fn redefine(&mut self, known: Known, ctx: &Ctx<'_>) {
        if *self.id != known.facts.id {
            self.id = Arc::new(known.facts.id.clone());
        }
        self.known = known;
        self.define(ctx);
        self.dirty = true;
    }

    fn define(&mut self, ctx: &Ctx<'_>) {
        self.points.define(&self.known.definition);
        if let (Some(metering), None) = (&self.known.definition.metering, &self.energy) {
            let account = self.energy.insert(Account::new(ctx.calendar));
            let notes = &mut self.notes;
            self.early.replay(ctx.now, |heard| {
                account.hear(metering, heard, ctx.calendar, ctx.settings, notes);
            });
        }
        self.refresh_at = None;
    }

    pub(super) fn tell(&mut self, ctx: &mut Ctx<'_>, what: What) {
        self.tell_at(ctx.now, ctx, what);
    }

    fn tell_at(&mut self, at: Moment, ctx: &mut Ctx<'_>, what: What) {
        self.seq = ctx.out.change(at, Some(Arc::clone(&self.id)), what);
        self.dirty = true;
    }

    /// The time of a report: now, but a millisecond after the last one at least, because history is keyed by point and
    /// millisecond and would keep but one of two. Far from the clock (it was set back, or a thousand reports came at once)
    /// it is now in any case, and history counts what it has to replace. A device's own time plays no part: clocks of
    /// devices are wrong, and several messages carry the same second.
    fn time_of_report(&self, now: Moment) -> Moment {
        let next = self.told_ms.saturating_add(1);
        let near = next.checked_sub(now.unix_ms).is_some_and(|ahead| ahead <= AHEAD_MS);
        Moment { unix_ms: if near { next } else { now.unix_ms }, ..now }
    }

    pub(super) fn view(&self) -> Option<&Arc<DeviceView>> {
        self.view.as_ref()
    }

    pub(super) fn has_energy(&self) -> bool {
        self.energy.is_some()
    }

    /// Where commands for it go: the device that holds the line, and its id there if that is its gateway.
    pub(super) fn holder(&self) -> (DeviceId, Option<Cid>) {
        match &self.gateway {
            Some((gateway, cid)) => (gateway.clone(), Some(cid.clone())),
            None => (DeviceId::clone(&self.id), None),
        }
    }

    pub(super) fn lane(&self, line: Line) -> &LineOf {
        match line {
            Line::Lan => &self.lan,
            Line::Cloud => &self.cloud,
        }
    }

    fn lane_mut(&mut self, line: Line) -> &mut LineOf {
        match line {
            Line::Lan => &mut self.lan,
            Line::Cloud => &mut self.cloud,
        }
    }

    /// The line that a command takes.
    pub(super) fn route(&self, only: Option<Line>) -> Result<Line, NoWay> {
        route(self.lan.choice(), self.cloud.choice(), only, self.known.facts.sleeper)
    }

    /// Why it can't be had, in words.
    pub(super) fn cause(&self) -> String {
        if self.cut_off {
            return "its gateway says that it is offline".to_owned();
        }
        let said = |line: Line| {
            let lane = self.lane(line);
            let name = if line == Line::Lan { "LAN" } else { "cloud" };
            match (lane.state(), lane.why()) {
                (LineState::Unused, None) => None,
                (_, Some(why)) => Some(format!("{name}: {why}")),
                (LineState::Up, None) => None,
                (LineState::Opening, None) => Some(format!("{name}: not connected yet")),
                (LineState::Down, None) => Some(format!("{name}: the connection is lost")),
            }
        };
        let causes: Vec<String> = [Line::Lan, Line::Cloud].into_iter().filter_map(said).collect();
        let causes = if causes.is_empty() { "no line to it is known".to_owned() } else { causes.join("; ") };
        if self.known.facts.parent.is_some() {
            format!("its gateway can't be reached ({causes})")
        } else {
            causes
        }
    }

    fn presence_facts(&self, grace: Duration) -> PresenceFacts {
        let used = |lane: &LineOf| lane.state() != LineState::Unused;
        PresenceFacts {
            up: (self.lan.is_up() || self.cloud.is_up()) && !self.cut_off,
            possible: used(&self.lan) || used(&self.cloud),
            sleeper: self.known.facts.sleeper,
            denied: self.cut_off && self.heard_ms.is_none(),
            grace,
        }
    }

    /// A line changed.
    pub(super) fn line(
        &mut self,
        line: Line,
        state: LineState,
        why: Option<String>,
        address: Option<SocketAddr>,
        ctx: &mut Ctx<'_>,
    ) {
        let was_possible = self.presence_facts(ctx.settings.grace).possible;
        if !self.lane_mut(line).set(state, why, address, ctx.now) {
            return;
        }
        self.dirty = true;
        if !was_possible {
            self.reach.possible(ctx.now);
        }
        if let Some(view) = self.lane_mut(line).news() {
            self.tell(ctx, What::Line { line, view });
        }
        self.settle_energy(ctx);
    }

    /// What the energy account makes of which lines are up.
    fn settle_energy(&mut self, ctx: &mut Ctx<'_>) {
        let up = [self.lan.is_up(), self.cloud.is_up()];
        if let (Some(account), Some(metering)) = (&mut self.energy, &self.known.definition.metering) {
            account.settle(up, metering, ctx.calendar, ctx.settings, &mut self.notes);
            self.tell_notes(ctx);
        }
    }

    fn tell_notes(&mut self, ctx: &mut Ctx<'_>) {
        let mut notes = std::mem::take(&mut self.notes);
        for (code, text) in notes.drain(..) {
            self.save = true;
            self.tell(ctx, What::EnergyNote { code, text });
        }
        self.notes = notes;
    }

    /// The gateway's lines, which are this sub-device's.
    pub(super) fn follow(&mut self, lan: &Arc<LineView>, cloud: &Arc<LineView>, ctx: &mut Ctx<'_>) {
        let was_possible = self.presence_facts(ctx.settings.grace).possible;
        self.dirty |= self.lan.follow(lan);
        self.dirty |= self.cloud.follow(cloud);
        if !was_possible {
            self.reach.possible(ctx.now);
        }
        self.settle_energy(ctx);
    }

    /// What the gateway says of it.
    pub(super) fn told_online(&mut self, online: bool) {
        self.dirty |= self.cut_off == online;
        self.cut_off = !online;
    }

    /// A sign of life.
    pub(super) fn alive(&mut self, ctx: &mut Ctx<'_>) {
        self.heard_ms = Some(ctx.now.unix_ms);
        self.dirty = true;
        let up = self.lan.is_up() || self.cloud.is_up();
        self.cut_off = false;
        if self.reach.alive(up, ctx.now) {
            self.tell(ctx, What::Presence(self.reach.presence.clone()));
        }
    }

    /// Points were reported.
    pub(super) fn hear(&mut self, mut report: Report, ctx: &mut Ctx<'_>) {
        self.alive(ctx);
        let definition = Arc::clone(&self.known.definition);
        if !definition.schema.0.is_empty() {
            definition.schema.refine(Arc::make_mut(&mut report.dps));
        }
        let Report { line, origin, dps, device_ms } = report;
        let at = self.time_of_report(ctx.now);
        let merge = self.points.merge(&dps, line, origin, &definition, at);
        if !merge.changed.is_empty() || !merge.events.is_empty() {
            self.told_ms = at.unix_ms;
            self.save = true;
        }
        if !merge.changed.is_empty() {
            let what =
                What::Points { line, origin, dps: Arc::clone(&dps), changed: merge.changed, device_ms };
            self.tell_at(at, ctx, what);
        }
        if !merge.events.is_empty() {
            self.tell_at(at, ctx, What::Event { line, dps: Arc::new(merge.events) });
        }
        if merge.fresh {
            self.tell(ctx, What::Stale { stale: self.points.stale() });
        }
        if merge.dropped > 0 && !std::mem::replace(&mut self.told_dropped, true) {
            let text = format!(
                "{} ({}) reports more than {MOST_POINTS} points; the others are not kept",
                self.known.facts.name, self.id
            );
            self.tell(ctx, What::Hub { code: "points.too_many", text });
        }
        let up = [self.lan.is_up(), self.cloud.is_up()];
        let heard = Heard { line, origin, dps: &dps, device_ms, up, now: ctx.now };
        match (&mut self.energy, &definition.metering) {
            (Some(account), Some(metering)) => {
                account.hear(metering, heard, ctx.calendar, ctx.settings, &mut self.notes);
            }
            (None, None) if !definition.knows(&dps) => self.early.keep(heard, &dps),
            _ => {}
        }
        self.tell_notes(ctx);
    }

    /// A command over this line ended so.
    pub(super) fn learn(&mut self, line: Line, outcome: &Outcome, now: Duration) {
        self.dirty |= self.lane_mut(line).learn(outcome, now);
    }

    /// Takes over what an earlier run saved; `late`: what was counted since the start comes on top of it.
    pub(super) fn restore(&mut self, saved: Saved, late: bool, ctx: &Ctx<'_>) {
        let heard_ms = saved.heard_ms();
        self.heard_ms = self.heard_ms.max(heard_ms);
        self.told_ms = self.told_ms.max(saved.told_ms());
        if self.known.facts.sleeper
            && let Some(since_ms) = heard_ms
        {
            self.reach.slept(since_ms);
        }
        let (points, energy) = saved.parts();
        self.points.restore(points);
        self.points.define(&self.known.definition);
        if let Some(saved) = energy {
            let account = self.energy.get_or_insert_with(|| Account::new(ctx.calendar));
            if late {
                account.recall(saved);
            } else {
                account.restore(saved);
            }
            // How it stood is no change; that it is known again is one.
            if !late
                && let Some(view) = self.energy_view(ctx)
                && let Some(account) = &mut self.energy
            {
                account.known(view);
            }
        }
        self.dirty = true;
        self.save |= late;
    }

    /// Takes over the state of a former id that was kept as a device of its own.
    pub(super) fn adopt(&mut self, former: Self) {
        self.points.restore(former.points.views().iter().map(|(id, p)| (*id, p.clone())));
        self.points.define(&self.known.definition);
        if let Some(account) = former.energy {
            match &mut self.energy {
                Some(mine) => mine.restore(account.saved()),
                none => *none = Some(account),
            }
        }
        self.heard_ms = self.heard_ms.max(former.heard_ms);
        self.told_ms = self.told_ms.max(former.told_ms);
        self.dirty = true;
        self.save = true;
    }

    /// It has another id now, under which it is to be saved.
    pub(super) fn keep_under_new_id(&mut self) {
        self.save = true;
        self.wake_at = None;
    }

    /// JSON for a restart.
    pub(super) fn saved(&self) -> Result<String, serde_json::Error> {
        saved::write(self.heard_ms, self.told_ms, self.points.views(), self.energy.as_ref())
    }

    fn energy_view(&self, ctx: &Ctx<'_>) -> Option<EnergyView> {
        let metering = self.known.definition.metering.as_ref();
        let account = self.energy.as_ref().filter(|a| metering.is_some() || a.is_used())?;
        let points = (self.reach.presence == Presence::Online).then(|| self.points.views());
        Some(account.view(metering, points, ctx.calendar, ctx.settings))
    }

    /// Draws the conclusions of whatever happened, and of the time: presence, stale readings, energy, measuring. Gives out
    /// the view, the changes and what is to be saved.
    pub(super) fn settle(&mut self, ctx: &mut Ctx<'_>, wake: &mut Wake, effects: &mut Vec<Effect>) {
        let now = ctx.now;
        let facts = self.presence_facts(ctx.settings.grace);
        let mut reach = std::mem::replace(&mut self.reach, Reach::new(now));
        let moved = reach.judge(facts, now, || self.cause());
        self.reach = reach;
        let online = self.reach.presence == Presence::Online;
        if moved {
            self.tell(ctx, What::Presence(self.reach.presence.clone()));
            if !online && let Some(account) = &mut self.energy {
                account.pause();
            }
        }
        if online && self.points.sweep(now.mono, self.reach.online) {
            self.tell(ctx, What::Stale { stale: self.points.stale() });
        }
        self.dirty |= self.lan.forgive(now.mono) | self.cloud.forgive(now.mono);
        self.measure(ctx);
        let energy = self.energy_view(ctx);
        self.tell_energy(energy, ctx);
        if self.view.as_ref().is_some_and(|view| view.energy != energy) {
            self.dirty = true;
        }
        if self.dirty {
            self.dirty = false;
            let view = Arc::new(self.look(energy));
            self.view = Some(Arc::clone(&view));
            effects.push(Effect::View { device: DeviceId::clone(&self.id), view: Some(view) });
        }
        ctx.out.tell(effects);
        self.keep(ctx, effects);
        let due = self.due(&facts);
        wake.by(&self.id, &mut self.wake_at, due);
    }

    fn tell_energy(&mut self, energy: Option<EnergyView>, ctx: &mut Ctx<'_>) {
        self.energy_at = None;
        let (Some(view), Some(account)) = (energy, &mut self.energy) else { return };
        match account.news(self.known.definition.metering.as_ref(), view, ctx.now.mono) {
            Ok(Some(view)) => {
                self.save = true;
                self.tell(ctx, What::Energy(view));
            }
            Ok(None) => {}
            Err(at) => self.energy_at = Some(at),
        }
    }

    /// Has it measure, when its recipe says so and a line is up.
    fn measure(&mut self, ctx: &mut Ctx<'_>) {
        let now = ctx.now.mono;
        let line = self.route(None).ok().filter(|line| self.lane(*line).is_up() && !self.cut_off);
        let (Some(line), Some(recipe)) = (line, &self.known.definition.refresh) else {
            self.refresh_at = None;
            return;
        };
        let every = recipe.every.max(SHORTEST);
        // Five hundred devices that came back together don't measure together.
        let at = *self.refresh_at.get_or_insert_with(|| now + jitter(&self.id, every));
        if at > now {
            return;
        }
        self.refresh_at = Some((at + every).max(now + every / 2));
        let (device, cid) = self.holder();
        ctx.out.act(Effect::Refresh { device, cid, line, points: recipe.points.clone() });
    }

    fn keep(&mut self, ctx: &mut Ctx<'_>, effects: &mut Vec<Effect>) {
        let now = ctx.now.mono;
        let due = self.heard_ms.is_some() && self.saved_at.is_none_or(|at| at + SAVE <= now);
        if !(self.save || due && self.view.as_ref().is_some_and(|v| v.heard_ms == Some(ctx.now.unix_ms))) {
            return;
        }
        self.save = false;
        self.saved_at = Some(now);
        match self.saved() {
            Ok(text) => effects.push(Effect::Save { device: Arc::clone(&self.id), text }),
            Err(e) => {
                let text = format!("what is known of {} can't be saved: {e}", self.id);
                ctx.out.change(ctx.now, Some(Arc::clone(&self.id)), What::Hub { code: "save.failed", text });
            }
        }
    }

    fn due(&self, facts: &PresenceFacts) -> Option<Duration> {
        let online = self.reach.presence == Presence::Online;
        let stale = if online { self.points.due(self.reach.online) } else { None };
        [self.reach.due(facts), stale, self.refresh_at, self.energy_at, self.lan.due(), self.cloud.due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn look(&self, energy: Option<EnergyView>) -> DeviceView {
        DeviceView {
            facts: Arc::clone(&self.known.facts),
            definition: Arc::clone(&self.known.definition),
            presence: self.reach.presence.clone(),
            lan: Arc::clone(self.lan.view()),
            cloud: Arc::clone(self.cloud.view()),
            route: self.route(None).ok(),
            points: self.points.views().clone(),
            energy,
            heard_ms: self.heard_ms,
            seq: self.seq,
        }
    }
}

/// Some part of `every`, always the same for a device.
fn jitter(id: &DeviceId, every: Duration) -> Duration {
    // FNV-1a: the standard library's hash may be another in the next release.
    let hash = id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis((hash ^ (hash >> 32)) % millis)
}
