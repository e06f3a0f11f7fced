//! The energy account of one device.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde::{Deserialize, Serialize};

use super::days::{Buckets, Calendar};
use super::integrate::Integral;
use super::ledger::{Delta, Entry, Ledger};
use super::meter::{Meter, Reading};
use super::{MOST_MILLIWATTS, Note};
use crate::core::{Moment, Settings};
use crate::model::{Cost, EnergyView, Line, MilliWattHours, Origin, PointView};
use crate::profile::Metering;

/// A single delta above this is nonsense: 1,000 kWh.
const MOST_DELTA: i64 = 1_000_000_000;
/// Silences are noted no more often than this: a fridge that reports only changes has many.
const GAP_NOTES: Duration = Duration::from_hours(1);
/// Volt-amperes below this are noise, and their power factor too. Thousandths.
const LEAST_MVA: i64 = 1_000;
/// Rounded readings may show a power factor of a little more than one.
const MOST_FACTOR: i64 = 1_050;
/// Accounts fed by watts alone are told at most so often.
pub(in crate::core) const BEAT: Duration = Duration::from_secs(10);

/// A report, as far as energy goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::core) struct Heard<'a> {
    pub(in crate::core) line: Line,
    pub(in crate::core) origin: Origin,
    pub(in crate::core) dps: &'a Dps,
    pub(in crate::core) device_ms: Option<u64>,
    /// Whether LAN and cloud are up.
    pub(in crate::core) up: [bool; 2],
    pub(in crate::core) now: Moment,
}

/// The energy account of one device. Its total never falls.
#[derive(Debug, Default)]
pub(in crate::core) struct Account {
    total: i64,
    integrated: i64,
    days: Buckets,
    months: Buckets,
    integral: Integral,
    ledger: Ledger,
    meter: Meter,
    noted_gap: Option<Duration>,
    jumps: u64,
    told: Option<EnergyView>,
    told_at: Option<Duration>,
}

fn whole(dps: &Dps, point: Option<(DpId, i64)>) -> Option<(i64, i64)> {
    let (id, scale) = point?;
    match dps.value(id)? {
        DpValue::Value(n) => Some((*n, scale)),
        _ => None,
    }
}

fn fresh(points: &BTreeMap<DpId, PointView>, point: Option<(DpId, i64)>) -> Option<i64> {
    let (id, scale) = point?;
    let point = points.get(&id).filter(|p| !p.stale)?;
    match point.value {
        DpValue::Value(n) => n.checked_mul(scale),
        _ => None,
    }
}

impl Account {
    /// An account that starts now: clocks set before don't concern it.
    pub(in crate::core) fn new(calendar: &Calendar) -> Self {
        Self { jumps: calendar.jumps(), ..Self::default() }
    }

    /// Whether anything was ever counted.
    pub(in crate::core) fn is_used(&self) -> bool {
        self.total > 0
    }

    /// Only watts are known.
    fn is_integral(metering: &Metering) -> bool {
        metering.delta.is_none() && metering.meter.is_none()
    }

    /// Takes a report. What is to be known is added to `notes`.
    pub(in crate::core) fn hear(
        &mut self,
        metering: &Metering,
        heard: Heard<'_>,
        calendar: &Calendar,
        settings: &Settings,
        notes: &mut Vec<Note>,
    ) {
        let mono = heard.now.mono;
        self.ledger.alive(heard.line, mono);
        let mut used = 0_i64;
        if let Some((n, scale)) = whole(heard.dps, metering.power) {
            let slice = self.integral.sample(mono, n.saturating_mul(scale));
            self.integrated = self.integrated.saturating_add(slice.used);
            if Self::is_integral(metering) {
                used = slice.used;
            }
            if let Some(gap) = slice.gap {
                self.note_gap(gap, mono, notes);
            }
        }
        // A meter that counts for ever can't miss anything; a delta beside it is not needed.
        if let Some((n, scale)) = whole(heard.dps, metering.meter) {
            used = used.saturating_add(self.read_meter(n, scale, &heard, notes));
        } else if metering.meter.is_none()
            && heard.origin == Origin::Pushed
            && let Some((n, scale)) = whole(heard.dps, metering.delta)
        {
            used = used.saturating_add(self.enter_delta(n, scale, &heard, notes));
        }
        if used > 0 {
            self.book(used, calendar, settings, notes);
        }
    }

    fn note_gap(&mut self, gap: Duration, mono: Duration, notes: &mut Vec<Note>) {
        if self.noted_gap.is_none_or(|at| at + GAP_NOTES <= mono) {
            self.noted_gap = Some(mono);
            let minutes = gap.as_secs() / 60;
            notes.push((
                "gap",
                format!("power was not reported for {minutes} min while it was on; not integrated"),
            ));
        }
    }

    fn read_meter(&mut self, n: i64, scale: i64, heard: &Heard<'_>, notes: &mut Vec<Note>) -> i64 {
        match self.meter.read(n, scale, heard.line, heard.now.mono, heard.now.unix_ms) {
            Reading::First | Reading::Late => 0,
            Reading::More(used) => used,
            Reading::Reset { from } => {
                notes.push((
                    "meter_reset",
                    format!("the meter fell from {from} to {n}; counting goes on from there"),
                ));
                0
            }
            Reading::Implausible { from, gap } => {
                let limit = MOST_MILLIWATTS / 1_000_000;
                notes.push((
                    "implausible",
                    format!(
                        "the meter went from {from} to {n} in {} s, more than {limit} kW; not added",
                        gap.as_secs()
                    ),
                ));
                0
            }
        }
    }

    fn enter_delta(&mut self, n: i64, scale: i64, heard: &Heard<'_>, notes: &mut Vec<Note>) -> i64 {
        let used = n.checked_mul(scale).filter(|used| (0..=MOST_DELTA).contains(used));
        if used.is_none() {
            notes.push(("implausible", format!("a delta of {n} counts of {scale} mWh; not added")));
            return 0;
        }
        let delta = Delta {
            line: heard.line,
            value: n,
            device_ms: heard.device_ms,
            now: heard.now.mono,
            up: heard.up,
        };
        let entry = self.ledger.enter(delta);
        Self::sum(entry, heard.line, scale, notes)
    }

    /// What an entry of the delta point adds.
    fn sum(entry: Entry, to: Line, scale: i64, notes: &mut Vec<Note>) -> i64 {
        match entry {
            Entry::Add(n) => n.saturating_mul(scale),
            Entry::Copy | Entry::Replay => 0,
            Entry::HandOver { add, missed } => {
                let also = match missed {
                    0 => String::new(),
                    n => format!("; {n} reports that only it had brought were added"),
                };
                notes.push(("handover", format!("energy is taken from the {} line now{also}", to.word())));
                add.saturating_mul(scale)
            }
        }
    }

    /// Which lines are up may have changed: LAN and cloud.
    pub(in crate::core) fn settle(
        &mut self,
        up: [bool; 2],
        metering: &Metering,
        calendar: &Calendar,
        settings: &Settings,
        notes: &mut Vec<Note>,
    ) {
        let Some((_, scale)) = metering.delta else { return };
        let Some(entry) = self.ledger.settle(up) else { return };
        let Some(to) = self.ledger.owner else { return };
        let used = Self::sum(entry, to, scale, notes);
        if used > 0 {
            self.book(used, calendar, settings, notes);
        }
    }

    fn book(&mut self, used: i64, calendar: &Calendar, settings: &Settings, notes: &mut Vec<Note>) {
        if self.jumps != calendar.jumps() {
            self.jumps = calendar.jumps();
            notes.push((
                "clock_jump",
                "the hub's clock was set; what follows is booked by the new time".to_owned(),
            ));
        }
        let day = calendar.day();
        let cost = settings.price_milli.map_or(0, |price| used.saturating_mul(price));
        self.total = self.total.saturating_add(used);
        self.days.add(day.today, used, cost);
        self.months.add(day.month, used, cost);
    }

    /// The device is gone: its power is not known any more.
    pub(in crate::core) fn pause(&mut self) {
        self.integral.pause();
    }

    /// How it looks. `points` only while the device can be had.
    pub(in crate::core) fn view(
        &self,
        metering: Option<&Metering>,
        points: Option<&BTreeMap<DpId, PointView>>,
        calendar: &Calendar,
        settings: &Settings,
    ) -> EnergyView {
        let day = calendar.day();
        let (today, month) = (self.days.of(day.today), self.months.of(day.month));
        let (apparent_mva, power_factor_milli) = match (metering, points) {
            (Some(metering), Some(points)) => power(metering, points),
            _ => (None, None),
        };
        EnergyView {
            total: MilliWattHours(self.total),
            today: MilliWattHours(today.used),
            yesterday: MilliWattHours(self.days.of(day.yesterday).used),
            month: MilliWattHours(month.used),
            integrated: MilliWattHours(self.integrated),
            copies: self.ledger.copies(),
            apparent_mva,
            power_factor_milli,
            cost: settings
                .price_milli
                .map(|_| Cost { today_milli: today.cost / 1_000_000, month_milli: month.cost / 1_000_000 }),
        }
    }

    /// What is to be told of it now, if anything; `Err` with the time when it is to be.
    pub(in crate::core) fn news(
        &mut self,
        metering: Option<&Metering>,
        view: EnergyView,
        now: Duration,
    ) -> Result<Option<EnergyView>, Duration> {
        let visible = |v: &EnergyView| EnergyView { integrated: MilliWattHours(0), copies: 0, ..*v };
        if self.told.as_ref().map(visible) == Some(visible(&view)) {
            return Ok(None);
        }
        if metering.is_some_and(Self::is_integral)
            && let Some(at) = self.told_at
            && at + BEAT > now
        {
            return Err(at + BEAT);
        }
        let first = self.told.replace(view).is_none();
        // How it stood at the start is in the view; it is no change.
        if first && view.total == MilliWattHours(0) && view.apparent_mva.is_none() {
            return Ok(None);
        }
        self.told_at = Some(now);
        Ok(Some(view))
    }

    /// How it looks now is known already.
    pub(in crate::core) fn known(&mut self, view: EnergyView) {
        self.told = Some(view);
    }

    pub(in crate::core) fn saved(&self) -> SavedAccount {
        SavedAccount {
            total: self.total,
            integrated: self.integrated,
            owner: self.ledger.owner.map(SavedLine::from),
            copies: self.ledger.copies(),
            times: self.ledger.times().clone(),
            meter: self.meter.last.map(|n| (n, self.meter.at_ms)),
            days: self.days.clone(),
            months: self.months.clone(),
        }
    }

    /// Puts what was counted since the start on top of what an earlier run saved, of which this account did not know.
    pub(in crate::core) fn recall(&mut self, saved: SavedAccount) {
        self.total = self.total.saturating_add(saved.total);
        self.integrated = self.integrated.saturating_add(saved.integrated);
        self.days.follow(&saved.days);
        self.months.follow(&saved.months);
        self.resume(saved);
    }

    /// Takes over what an earlier run saved. What was counted since the start stays.
    pub(in crate::core) fn restore(&mut self, saved: SavedAccount) {
        self.total = self.total.max(saved.total);
        self.integrated = self.integrated.max(saved.integrated);
        self.days.raise(&saved.days);
        self.months.raise(&saved.months);
        self.resume(saved);
    }

    /// Goes on with what is not known better since the start.
    fn resume(&mut self, saved: SavedAccount) {
        if self.ledger.owner.is_none() {
            self.ledger.owner = saved.owner.map(Line::from);
            self.ledger.remember(saved.times);
            self.ledger.copies = self.ledger.copies.max(saved.copies);
        }
        if self.meter.last.is_none()
            && let Some((n, at_ms)) = saved.meter
        {
            self.meter = Meter::restored(n, at_ms);
        }
    }
}

/// Apparent power (thousandths of a VA) and power factor (thousandths). Volts times amperes are not watts: current that is
/// out of step with the voltage carries nothing, but flows.
fn power(metering: &Metering, points: &BTreeMap<DpId, PointView>) -> (Option<i64>, Option<i64>) {
    let volts = fresh(points, metering.voltage).filter(|mv| *mv >= 0);
    let amperes = fresh(points, metering.current).filter(|ua| *ua >= 0);
    // Millivolts times microamperes are billionths of a volt-ampere.
    let Some(mva) = volts.zip(amperes).and_then(|(mv, ua)| mv.checked_mul(ua)).map(|n| n / 1_000_000) else {
        return (None, None);
    };
    let factor = fresh(points, metering.power)
        .filter(|mw| *mw >= 0 && mva >= LEAST_MVA)
        .and_then(|mw| mw.checked_mul(1_000))
        .map(|n| n / mva)
        .filter(|factor| *factor <= MOST_FACTOR)
        .map(|factor| factor.min(1_000));
    (Some(mva), factor)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::core) enum SavedLine {
    Lan,
    Cloud,
}

impl From<Line> for SavedLine {
    fn from(line: Line) -> Self {
        match line {
            Line::Lan => Self::Lan,
            Line::Cloud => Self::Cloud,
        }
    }
}

impl From<SavedLine> for Line {
    fn from(line: SavedLine) -> Self {
        match line {
            SavedLine::Lan => Self::Lan,
            SavedLine::Cloud => Self::Cloud,
        }
    }
}

/// An account over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) struct SavedAccount {
    total: i64,
    integrated: i64,
    owner: Option<SavedLine>,
    copies: u64,
    times: VecDeque<(u64, i64)>,
    meter: Option<(i64, u64)>,
    days: Buckets,
    months: Buckets,
}

impl SavedAccount {
    /// Whether it can be what we wrote.
    pub(in crate::core) fn is_sound(&self) -> bool {
        self.total >= 0 && self.integrated >= 0 && self.days.is_sound() && self.months.is_sound()
    }
}
