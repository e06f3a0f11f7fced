//! Metering plugs of three generations.

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::countdown::Countdown;
use super::meter::{Meter, MeterPoints};
use super::{DeviceModel, Points, Surroundings};
use crate::kind::Kind;

const SWITCH: DpId = DpId(1);
const ENERGY: DpId = DpId(17);
const AFTER_POWER_LOSS: DpId = DpId(38);
const CHILD_LOCK: DpId = DpId(41);
/// An increment goes out once it is worth this many watt-hours...
const ENERGY_STEP: f64 = 10.0;
/// ...or after half an hour, if it is worth anything.
const ENERGY_PAUSE: Duration = Duration::from_secs(1_800);

/// A metering plug.
#[derive(Debug)]
pub(super) struct Plug {
    points: Points,
    meter: Meter,
    countdowns: Vec<Countdown>,
    energy_reported: Duration,
}

impl Plug {
    pub(super) fn new(points: Points, around: Surroundings, now: Duration) -> Self {
        let (dps, countdowns) = match points.product().kind {
            Kind::Plug => ((18, 19, 20), vec![Countdown::new(DpId(9), SWITCH)]),
            Kind::PlugOldUsb => {
                ((4, 5, 6), vec![Countdown::new(DpId(2), SWITCH), Countdown::new(DpId(11), DpId(7))])
            }
            _ => ((4, 5, 6), vec![Countdown::new(DpId(2), SWITCH)]),
        };
        let dps = MeterPoints { current: DpId(dps.0), power: DpId(dps.1), voltage: DpId(dps.2) };
        let mut plug = Self { points, meter: Meter::new(dps, around, now), countdowns, energy_reported: now };
        let on = plug.points.bool(SWITCH);
        plug.meter.measure(&mut plug.points, on, now);
        // A device that starts has nothing to report: nobody listens yet.
        plug.points.take_changes();
        plug
    }

    fn turn(&mut self, switch: DpId, on: bool, now: Duration) {
        self.meter.count(self.points.bool(SWITCH), now);
        if self.points.bool(switch) != on {
            for countdown in self.countdowns.iter_mut().filter(|c| c.switch() == switch) {
                countdown.cancel(&mut self.points);
            }
        }
        self.points.set(switch, DpValue::Bool(on));
    }

    /// Point 17 is an increment: each report carries what flowed since the last one, and the count starts again.
    fn report_energy(&mut self, now: Duration) {
        if self.points.value(ENERGY).is_none() {
            return;
        }
        let least = if now >= self.energy_reported + ENERGY_PAUSE { 1.0 } else { ENERGY_STEP };
        if let Some(watt_hours) = self.meter.take_energy(least) {
            self.points.report(ENERGY, DpValue::Value(watt_hours.min(50_000)));
            self.energy_reported = now;
        }
    }
}

impl DeviceModel for Plug {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        let is_switch = self.countdowns.iter().any(|c| c.switch() == dp);
        match value {
            DpValue::Bool(on) if is_switch => self.turn(dp, on, now),
            DpValue::Value(seconds) if self.countdowns.iter().any(|c| c.dp() == dp) => {
                for countdown in self.countdowns.iter_mut().filter(|c| c.dp() == dp) {
                    countdown.start(&mut self.points, seconds, now);
                }
            }
            value => self.points.set(dp, value),
        }
    }

    fn tick(&mut self, now: Duration) {
        let on = self.points.bool(SWITCH);
        for countdown in &mut self.countdowns {
            if countdown.next_tick().is_some_and(|next| now >= next) {
                self.meter.count(on, now);
                countdown.tick(&mut self.points, now);
            }
        }
        let on = self.points.bool(SWITCH);
        self.meter.tick(&mut self.points, on, now);
        self.report_energy(now);
    }

    fn next_tick(&self) -> Option<Duration> {
        let countdown = self.countdowns.iter().filter_map(Countdown::next_tick).min();
        Some(countdown.map_or(self.meter.next_tick(), |at| at.min(self.meter.next_tick())))
    }

    fn measure(&mut self, _dps: &[DpId], now: Duration) {
        let on = self.points.bool(SWITCH);
        self.meter.measure(&mut self.points, on, now);
    }

    fn flowed(&self) -> Option<f64> {
        Some(self.meter.flowed())
    }

    fn use_energy(&mut self, watt_hours: u32, now: Duration) -> bool {
        self.meter.add(f64::from(watt_hours));
        self.report_energy(now);
        true
    }

    fn press(&mut self, n: u8, now: Duration) -> bool {
        let Some(switch) =
            usize::from(n).checked_sub(1).and_then(|i| self.countdowns.get(i)).map(Countdown::switch)
        else {
            return false;
        };
        if !self.points.bool(CHILD_LOCK) {
            let on = self.points.bool(switch);
            self.turn(switch, !on, now);
        }
        true
    }

    fn power_up(&mut self, now: Duration) {
        // Nothing flowed while the power was away.
        self.meter.count(false, now);
        for countdown in &mut self.countdowns {
            countdown.cancel(&mut self.points);
        }
        match self.points.word(AFTER_POWER_LOSS) {
            "power_off" => self.points.set(SWITCH, DpValue::Bool(false)),
            "power_on" => self.points.set(SWITCH, DpValue::Bool(true)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;
    use crate::model::testing::{changes, dps, model, secs};
    use crate::model::{Physical, apply};

    #[test]
    fn the_old_plug_counts_down_in_fives_and_turns_off() {
        let mut plug = model(Kind::PlugOld, Load::None);
        apply(&mut *plug, &dps(r#"{"2":15}"#), secs(10));
        assert_eq!(changes(&mut *plug), r#"{"2":15}"#);
        let mut seen = vec![];
        for t in 11..=25 {
            plug.tick(secs(t));
            let mut report = plug.points_mut().take_changes();
            for meter in [4, 5, 6] {
                report.remove(DpId(meter));
            }
            if !report.is_empty() {
                seen.push((t, serde_json::to_string(&report).unwrap()));
            }
        }
        let texts: Vec<_> = seen.iter().map(|(t, s)| (*t, s.as_str())).collect();
        assert_eq!(texts, [(15, r#"{"2":10}"#), (20, r#"{"2":5}"#), (25, r#"{"2":0,"1":false}"#)]);
    }

    #[test]
    fn turning_the_switch_by_hand_ends_the_countdown() {
        let mut plug = model(Kind::Plug, Load::None);
        apply(&mut *plug, &dps(r#"{"9":60}"#), secs(1));
        changes(&mut *plug);
        Physical::Button(1).act(&mut *plug, secs(2)).unwrap();
        assert_eq!(changes(&mut *plug), r#"{"9":0,"1":false}"#);
    }

    #[test]
    fn a_child_lock_holds_the_button_not_the_network() {
        let mut plug = model(Kind::Plug, Load::None);
        apply(&mut *plug, &dps(r#"{"41":true}"#), secs(1));
        changes(&mut *plug);
        Physical::Button(1).act(&mut *plug, secs(2)).unwrap();
        assert_eq!(changes(&mut *plug), "{}");
        apply(&mut *plug, &dps(r#"{"1":false}"#), secs(2));
        assert_eq!(changes(&mut *plug), r#"{"1":false}"#);
    }

    #[test]
    fn point_17_carries_increments_that_add_up() {
        let mut plug = model(Kind::Plug, Load::Lamp);
        let (mut sum, mut reports) = (0, 0);
        for t in 0..=6 * 3_600 {
            plug.tick(secs(t));
            if let Some(DpValue::Value(n)) = plug.points_mut().take_changes().value(ENERGY) {
                sum += n;
                reports += 1;
            }
        }
        // 9.2 W for six hours; each increment starts from zero again, so no single one comes near the sum.
        assert!((50..=56).contains(&sum), "{sum} Wh");
        assert!(reports >= 5, "{reports}");
        assert!(plug.points().number(ENERGY) <= 10);
    }

    #[test]
    fn what_flows_at_once_is_told_once_it_is_worth_it() {
        let mut plug = model(Kind::Plug, Load::None);
        let mut told = vec![];
        for watt_hours in [12, 4, 5, 1, 10, 10] {
            Physical::Energy(watt_hours).act(&mut *plug, secs(1)).unwrap();
            told.push(changes(&mut *plug));
        }
        let (none, ten) = ("{}", r#"{"17":10}"#);
        assert_eq!(told, [r#"{"17":12}"#, none, none, ten, ten, ten]);
        assert_eq!(plug.flowed(), Some(42.0));
        let error = Physical::Energy(1).act(&mut *model(Kind::Bulb, Load::None), secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "a bulb measures no energy");
    }

    #[test]
    fn equal_increments_are_reported_each_time() {
        let mut points = Points::new(crate::product::Product::of(Kind::Plug));
        points.report(ENERGY, DpValue::Value(10));
        points.take_changes();
        points.report(ENERGY, DpValue::Value(10));
        assert!(points.has_changes());
    }

    #[test]
    fn after_a_power_cut_point_38_decides() {
        for (word, on) in [("power_off", false), ("power_on", true), ("last", false)] {
            let mut plug = model(Kind::Plug, Load::None);
            apply(&mut *plug, &dps(&format!(r#"{{"38":"{word}","1":false,"9":100}}"#)), secs(1));
            plug.power_up(secs(20));
            assert_eq!(plug.points().bool(SWITCH), on, "{word}");
            assert_eq!(plug.points().number(DpId(9)), 0);
        }
    }

    #[test]
    fn the_sibling_switches_its_usb_socket_apart() {
        let mut plug = model(Kind::PlugOldUsb, Load::None);
        apply(&mut *plug, &dps(r#"{"7":false,"101":3}"#), secs(1));
        assert_eq!(changes(&mut *plug), r#"{"7":false,"101":3}"#);
        assert!(plug.points().bool(SWITCH));
        Physical::Button(2).act(&mut *plug, secs(1)).unwrap();
        assert_eq!(changes(&mut *plug), r#"{"7":true}"#);
    }

    #[test]
    fn a_refresh_measures_at_once() {
        let mut plug = model(Kind::Plug, Load::WashingMachine);
        let before = plug.points().number(DpId(19));
        plug.measure(&[DpId(19)], secs(5_000));
        assert!(changes(&mut *plug).contains("\"19\""));
        assert_ne!(plug.points().number(DpId(19)), before);
    }
}
