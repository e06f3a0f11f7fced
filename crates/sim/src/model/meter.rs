//! The metering chip of a plug: what it measures, and when the firmware finds that worth a report.

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::{Points, Surroundings};
use crate::load::Draw;

/// The chip is read this often.
const SAMPLE: Duration = Duration::from_secs(3);
/// A steady reading is reported again after this long.
const STALE: Duration = Duration::from_secs(60);
/// Energy is integrated in steps of at most this length...
const INTEGRATION_STEP: f64 = 10.0;
/// ...and a clock that jumped is bridged in at most so many.
const INTEGRATION_STEPS: f64 = 10_000.0;

/// The numbers of the metering points.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeterPoints {
    pub(super) current: DpId,
    pub(super) power: DpId,
    pub(super) voltage: DpId,
}

/// Reads the load and decides about reports.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    dps: MeterPoints,
    around: Surroundings,
    sampled: Duration,
    reported: Option<Duration>,
    /// Watt-hours since they were last taken.
    energy: f64,
    /// Watt-hours since the device was made: what nobody but the simulator knows.
    flowed: f64,
}

/// One sample in the units of the points: mA, 0.1 W, 0.1 V.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    current: i64,
    power: i64,
    voltage: i64,
}

impl Meter {
    pub(super) fn new(dps: MeterPoints, around: Surroundings, now: Duration) -> Self {
        Self { dps, around, sampled: now, reported: None, energy: 0.0, flowed: 0.0 }
    }

    pub(super) fn next_tick(&self) -> Duration {
        self.sampled + SAMPLE
    }

    /// Lets time pass: counts energy and reports readings that moved.
    pub(super) fn tick(&mut self, points: &mut Points, on: bool, now: Duration) {
        if now < self.next_tick() {
            return;
        }
        self.count(on, now);
        let reading = self.read(on, now);
        let shown = Reading {
            current: points.number(self.dps.current),
            power: points.number(self.dps.power),
            voltage: points.number(self.dps.voltage),
        };
        let stale = self.reported.is_none_or(|at| now >= at + STALE);
        let power_step = (shown.power / 50).max(10);
        let moved = (reading.power - shown.power).abs() >= power_step
            || (reading.voltage - shown.voltage).abs() >= 15
            || (reading.power == 0) != (shown.power == 0);
        if stale || moved {
            self.show(points, reading, now);
        }
    }

    /// Measures at once, as UPDATEDPS demands, and after switching.
    pub(super) fn measure(&mut self, points: &mut Points, on: bool, now: Duration) {
        self.count(on, now);
        let reading = self.read(on, now);
        self.show(points, reading, now);
    }

    /// Counts what flowed in the state `on` up to `now`; to be called before the relay changes.
    pub(super) fn count(&mut self, on: bool, now: Duration) {
        let gap = now.saturating_sub(self.sampled).as_secs_f64();
        if on && gap > 0.0 {
            let steps = (gap / INTEGRATION_STEP).ceil().clamp(1.0, INTEGRATION_STEPS);
            let step = gap / steps;
            let mut at = self.sampled.as_secs_f64() + step / 2.0;
            let end = now.as_secs_f64();
            while at < end {
                let watt_hours = self.draw(Duration::from_secs_f64(at)).watts * step / 3_600.0;
                self.energy += watt_hours;
                self.flowed += watt_hours;
                at += step;
            }
        }
        self.sampled = self.sampled.max(now);
    }

    /// Counts what flowed beside the load.
    pub(super) fn add(&mut self, watt_hours: f64) {
        self.energy += watt_hours;
        self.flowed += watt_hours;
    }

    /// Takes the energy counted so far if it is at least `least` watt-hours, as whole watt-hours; the rest stays.
    pub(super) fn take_energy(&mut self, least: f64) -> Option<i64> {
        if self.energy < least {
            return None;
        }
        let whole = self.energy.floor();
        self.energy -= whole;
        Some(rounded(whole))
    }

    /// What flowed since the device was made, in watt-hours.
    pub(super) fn flowed(&self) -> f64 {
        self.flowed
    }

    fn draw(&self, at: Duration) -> Draw {
        self.around.load.draw(self.around.seed, at, self.around.mains.heating_watts())
    }

    fn read(&self, on: bool, now: Duration) -> Reading {
        let volts = self.around.mains.volts(now);
        let draw = if on { self.draw(now) } else { Draw::NOTHING };
        Reading {
            current: rounded(draw.amperes(volts) * 1_000.0),
            power: rounded(draw.watts * 10.0),
            voltage: rounded(volts * 10.0),
        }
    }

    fn show(&mut self, points: &mut Points, reading: Reading, now: Duration) {
        points.set(self.dps.current, DpValue::Value(reading.current));
        points.set(self.dps.power, DpValue::Value(reading.power));
        points.set(self.dps.voltage, DpValue::Value(reading.voltage));
        self.reported = Some(now);
    }
}

#[allow(clippy::cast_possible_truncation)]
fn rounded(x: f64) -> i64 {
    x.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::load::{Load, Mains};
    use crate::model::testing::secs;
    use crate::product::Product;

    const DPS: MeterPoints = MeterPoints { current: DpId(18), power: DpId(19), voltage: DpId(20) };

    fn meter(load: Load) -> (Meter, Points) {
        let around = Surroundings {
            seed: 2,
            mains: Mains { nominal: 230, seed: 2 },
            load,
            travel: Duration::from_secs(20),
        };
        (Meter::new(DPS, around, Duration::ZERO), Points::new(Product::of(Kind::Plug)))
    }

    #[test]
    fn volts_times_milliamperes_is_not_watts() {
        let (mut meter, mut points) = meter(Load::Fridge);
        meter.measure(&mut points, true, secs(10));
        let volts = points.number(DpId(20)) as f64 / 10.0;
        let amperes = points.number(DpId(18)) as f64 / 1_000.0;
        let watts = points.number(DpId(19)) as f64 / 10.0;
        assert!(
            volts > 218.0 && watts > 0.5 && volts * amperes > 1.2 * watts,
            "{volts} V {amperes} A {watts} W"
        );
    }

    #[test]
    fn an_open_relay_has_voltage_only() {
        let (mut meter, mut points) = meter(Load::Lamp);
        meter.measure(&mut points, true, secs(1));
        assert!(points.number(DpId(19)) > 0);
        meter.measure(&mut points, false, secs(2));
        assert_eq!((points.number(DpId(18)), points.number(DpId(19))), (0, 0));
        assert!(points.number(DpId(20)) > 2_180);
    }

    #[test]
    fn a_steady_reading_is_not_reported_at_each_sample() {
        let (mut meter, mut points) = meter(Load::Lamp);
        let mut reports = 0;
        for t in 0..600 {
            meter.tick(&mut points, true, secs(t));
            reports += usize::from(!points.take_changes().is_empty());
        }
        assert!((5..40).contains(&reports), "{reports} reports in ten minutes");
    }

    #[test]
    fn energy_is_counted_while_on_and_in_one_leap_alike() {
        let (mut slow, mut points) = meter(Load::Lamp);
        for t in 0..=3_600 {
            slow.tick(&mut points, true, secs(t));
        }
        let (mut fast, _) = meter(Load::Lamp);
        fast.count(true, secs(3_600));
        assert!((slow.energy - fast.energy).abs() < 0.1, "{} {}", slow.energy, fast.energy);
        assert!((9.0..9.5).contains(&slow.energy));
        fast.count(false, secs(7_200));
        let flowed = fast.flowed();
        assert_eq!(fast.take_energy(5.0), Some(9));
        assert!((9.0..9.5).contains(&flowed) && fast.flowed() == flowed, "what was told did flow");
        assert_eq!(fast.take_energy(5.0), None);
    }
}
