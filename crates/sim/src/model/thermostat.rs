//! A room thermostat with a room (lan.md 8.5).

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::{DeviceModel, Points};
use crate::dice::hashed_unit;

const SWITCH: DpId = DpId(1);
const TARGET: DpId = DpId(2);
const CURRENT: DpId = DpId(3);
const VALVE: DpId = DpId(36);
/// The sensor is read this often.
const SAMPLE: Duration = Duration::from_secs(30);
/// How fast a room loses and gains warmth.
const LOSS_PER_HOUR: f64 = 0.12;
const HEAT_PER_HOUR: f64 = 3.0;
/// Tenths of a degree between opening and closing the valve.
const HYSTERESIS: i64 = 3;

/// A thermostat.
#[derive(Debug)]
pub(super) struct Thermostat {
    points: Points,
    /// Degrees.
    room: f64,
    outside: f64,
    at: Duration,
}

impl Thermostat {
    pub(super) fn new(points: Points, seed: u64, now: Duration) -> Self {
        let mut it = Self {
            points,
            room: 18.5 + 2.0 * hashed_unit(seed, 1),
            outside: 4.0 + 6.0 * hashed_unit(seed, 2),
            at: now,
        };
        it.show();
        it.points.take_changes();
        it
    }

    fn show(&mut self) {
        #[allow(clippy::cast_possible_truncation)]
        let tenths = (self.room * 10.0).round() as i64;
        self.points.set(CURRENT, DpValue::Value(tenths.clamp(0, 990)));
        let (current, target) = (self.points.number(CURRENT), self.points.number(TARGET));
        let word = match () {
            () if !self.points.bool(SWITCH) || current >= target => "close",
            () if current <= target - HYSTERESIS => "open",
            () => return,
        };
        self.points.set(VALVE, DpValue::Enum(word.into()));
    }
}

impl DeviceModel for Thermostat {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, _now: Duration) {
        self.points.set(dp, value);
        self.show();
    }

    fn tick(&mut self, now: Duration) {
        // After a jump of the clock a day is enough to reach what the room would settle at.
        let steps = (now.saturating_sub(self.at).as_secs() / SAMPLE.as_secs()).min(2_880);
        for _ in 0..steps {
            let hours = SAMPLE.as_secs_f64() / 3_600.0;
            let heat = if self.points.word(VALVE) == "open" { HEAT_PER_HOUR } else { 0.0 };
            self.room += hours * (heat - LOSS_PER_HOUR * (self.room - self.outside));
            self.show();
        }
        if steps > 0 {
            self.at += SAMPLE
                * u32::try_from(now.saturating_sub(self.at).as_secs() / SAMPLE.as_secs()).unwrap_or(u32::MAX);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        Some(self.at + SAMPLE)
    }

    fn press(&mut self, n: u8, now: Duration) -> bool {
        match n {
            1 => {
                let on = self.points.bool(SWITCH);
                self.write(SWITCH, DpValue::Bool(!on), now);
            }
            2 | 3 => {
                let step = if n == 2 { 5 } else { -5 };
                let target = (self.points.number(TARGET) + step).clamp(50, 350);
                self.write(TARGET, DpValue::Value(target), now);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::load::Load;
    use crate::model::apply;
    use crate::model::testing::{changes, dps, model, secs};

    #[test]
    fn heats_to_the_target_and_stays_about_it() {
        let mut it = model(Kind::Thermostat, Load::None);
        apply(&mut *it, &dps(r#"{"2":50}"#), secs(1));
        changes(&mut *it);
        apply(&mut *it, &dps(r#"{"2":230}"#), secs(1));
        assert_eq!(changes(&mut *it), r#"{"2":230,"36":"open"}"#);
        let before = it.points().number(CURRENT);
        for t in 1..=6 * 3_600 {
            it.tick(secs(t));
        }
        let now = it.points().number(CURRENT);
        assert!(now > before && (225..=232).contains(&now), "{before} then {now}");
        apply(&mut *it, &dps(r#"{"1":false}"#), secs(22_000));
        assert_eq!(it.points().word(VALVE), "close");
        it.tick(secs(50_000));
        assert!(it.points().number(CURRENT) < now);
    }

    #[test]
    fn buttons_move_the_target() {
        let mut it = model(Kind::Thermostat, Load::None);
        assert!(it.press(2, secs(1)));
        assert_eq!(it.points().number(TARGET), 215);
        assert!(it.press(3, secs(1)) && !it.press(4, secs(1)));
        assert_eq!(it.points().number(TARGET), 210);
    }
}
