//! A battery thermometer and hygrometer. Alone it sleeps; behind a gateway it reports now and then.

use core::time::Duration;
use std::f64::consts::TAU;

use landfall_proto::dp::{DpId, DpValue};

use super::{DeviceModel, Points};
use crate::dice::hashed_unit;

const TEMPERATURE: DpId = DpId(1);
const HUMIDITY: DpId = DpId(2);
/// It wakes this often to look.
const SAMPLE: Duration = Duration::from_secs(300);

/// A sensor.
#[derive(Debug)]
pub(super) struct Sensor {
    points: Points,
    seed: u64,
    at: Duration,
}

impl Sensor {
    pub(super) fn new(points: Points, seed: u64, now: Duration) -> Self {
        let mut it = Self { points, seed, at: now };
        it.look(now);
        it.points.take_changes();
        it
    }

    fn look(&mut self, now: Duration) {
        let hours = now.as_secs_f64() / 3_600.0;
        let day = (TAU * (hours / 24.0 + hashed_unit(self.seed, 1))).sin();
        let shiver = (TAU * (hours * 1.7 + hashed_unit(self.seed, 2))).sin();
        #[allow(clippy::cast_possible_truncation)]
        let set = |points: &mut Points, dp, x: f64| points.set(dp, DpValue::Value(x.round() as i64));
        set(&mut self.points, TEMPERATURE, 208.0 + 12.0 * day + 3.0 * shiver);
        set(&mut self.points, HUMIDITY, 48.0 - 6.0 * day + 1.5 * shiver);
    }
}

impl DeviceModel for Sensor {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn tick(&mut self, now: Duration) {
        if now >= self.at + SAMPLE {
            self.at = now;
            self.look(now);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        Some(self.at + SAMPLE)
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::load::Load;
    use crate::model::apply;
    use crate::model::testing::{changes, dps, model, secs};

    #[test]
    fn drifts_with_the_day_and_takes_no_orders() {
        let mut it = model(Kind::BatterySensor, Load::None);
        let mut reports = 0;
        for minute in 1..=1_440 {
            it.tick(secs(60 * minute));
            reports += usize::from(changes(&mut *it) != "{}");
        }
        assert!((20..=288).contains(&reports), "{reports}");
        apply(&mut *it, &dps(r#"{"1":300,"4":1}"#), secs(86_401));
        assert_eq!(changes(&mut *it), "{}");
    }
}
