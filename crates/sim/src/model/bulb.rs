//! RGB+CCT bulbs, both families (lan.md 8.3).

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::countdown::Countdown;
use super::{DeviceModel, Points};

/// The numbers that differ between the families.
#[derive(Debug)]
struct Family {
    switch: DpId,
    mode: DpId,
    brightness: DpId,
    temperature: DpId,
    colour: DpId,
    /// Hex digits of a colour.
    digits: usize,
    /// Write-only point that shows a colour at once, for music and dragging fingers.
    direct: Option<DpId>,
}

static FAMILY_A: Family = Family {
    switch: DpId(1),
    mode: DpId(2),
    brightness: DpId(3),
    temperature: DpId(4),
    colour: DpId(5),
    digits: 14,
    direct: None,
};

static FAMILY_B: Family = Family {
    switch: DpId(20),
    mode: DpId(21),
    brightness: DpId(22),
    temperature: DpId(23),
    colour: DpId(24),
    digits: 12,
    direct: Some(DpId(28)),
};

/// A bulb.
#[derive(Debug)]
pub(super) struct Bulb {
    points: Points,
    family: &'static Family,
    countdown: Option<Countdown>,
}

impl Bulb {
    pub(super) fn family_a(points: Points) -> Self {
        Self { points, family: &FAMILY_A, countdown: None }
    }

    pub(super) fn family_b(points: Points) -> Self {
        Self { points, family: &FAMILY_B, countdown: Some(Countdown::new(DpId(26), FAMILY_B.switch)) }
    }

    /// One digit (0 jump, 1 fade), 12 digits colour, 4 brightness, 4 temperature. Nothing of it is reported: the
    /// app asks afterwards by an ordinary write.
    fn direct(&mut self, text: &str) {
        if text.len() != 21 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return;
        }
        let part =
            |from: usize, to: usize| i64::from_str_radix(text.get(from..to).unwrap_or("0"), 16).unwrap_or(0);
        let (brightness, temperature) = (part(13, 17), part(17, 21));
        let colour = text.get(1..13).unwrap_or("");
        // A colour with a value shows colour, else white with brightness and temperature.
        let pending = self.points.take_changes();
        if part(9, 13) > 0 {
            self.points.set(self.family.colour, DpValue::text(colour));
        } else if (10..=1_000).contains(&brightness) {
            self.points.set(self.family.brightness, DpValue::Value(brightness));
            self.points.set(self.family.temperature, DpValue::Value(temperature.clamp(0, 1_000)));
        }
        self.points.take_changes();
        for (dp, value) in pending {
            self.points.report(dp, value);
        }
    }
}

impl DeviceModel for Bulb {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        match value {
            DpValue::String(text) if Some(dp) == self.family.direct => self.direct(&text),
            DpValue::String(text) if dp == self.family.colour => {
                // What is no colour changes nothing.
                if text.len() == self.family.digits && text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    self.points.set(dp, DpValue::String(text));
                }
            }
            DpValue::Value(seconds) if self.countdown.as_ref().is_some_and(|c| c.dp() == dp) => {
                if let Some(countdown) = &mut self.countdown {
                    countdown.start(&mut self.points, seconds, now);
                }
            }
            value => {
                if dp == self.family.switch
                    && self.points.value(dp) != Some(&value)
                    && let Some(countdown) = &mut self.countdown
                {
                    countdown.cancel(&mut self.points);
                }
                self.points.set(dp, value);
            }
        }
    }

    fn tick(&mut self, now: Duration) {
        if let Some(countdown) = &mut self.countdown {
            countdown.tick(&mut self.points, now);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.countdown.as_ref().and_then(Countdown::next_tick)
    }

    fn power_up(&mut self, now: Duration) {
        // Somebody used the wall switch: a bulb comes back lit and white.
        self.write(self.family.switch, DpValue::Bool(true), now);
        self.points.set(self.family.mode, DpValue::Enum("white".into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::load::Load;
    use crate::model::testing::{changes, dps, model, secs};
    use crate::model::{Applied, apply};

    #[test]
    fn both_families_take_their_own_colours() {
        for (kind, good, bad) in [
            (Kind::BulbOld, r#"{"5":"00ff0000780064ff"}"#, r#"{"5":"007803e803e8"}"#),
            (Kind::Bulb, r#"{"24":"007803e803e8"}"#, r#"{"24":"00ff00007864"}"#),
        ] {
            let mut bulb = model(kind, Load::None);
            apply(&mut *bulb, &dps(bad), secs(1));
            let first = changes(&mut *bulb);
            if kind == Kind::BulbOld {
                assert_eq!(first, "{}", "twelve digits are no colour of family A");
                // Sixteen digits are too long for the point.
                apply(&mut *bulb, &dps(good), secs(1));
                assert_eq!(changes(&mut *bulb), "{}");
                apply(&mut *bulb, &dps(r#"{"5":"00ff00007864ff"}"#), secs(1));
                assert_eq!(changes(&mut *bulb), r#"{"5":"00ff00007864ff"}"#);
            } else {
                apply(&mut *bulb, &dps(good), secs(1));
                assert_eq!(changes(&mut *bulb), good);
                apply(&mut *bulb, &dps(r#"{"24":"not a colour"}"#), secs(1));
                assert_eq!(changes(&mut *bulb), "{}");
            }
        }
    }

    #[test]
    fn ranges_are_those_of_the_family() {
        let mut old = model(Kind::BulbOld, Load::None);
        apply(&mut *old, &dps(r#"{"3":24,"4":255}"#), secs(1));
        assert_eq!(changes(&mut *old), r#"{"4":255}"#);
        let mut new = model(Kind::Bulb, Load::None);
        apply(&mut *new, &dps(r#"{"22":9,"23":1000}"#), secs(1));
        assert_eq!(changes(&mut *new), r#"{"23":1000}"#);
    }

    #[test]
    fn direct_control_acts_without_a_report() {
        let mut bulb = model(Kind::Bulb, Load::None);
        let outcome = apply(&mut *bulb, &dps(r#"{"28":"0000000000000001f400fa"}"#), secs(1));
        assert_eq!(outcome[0].2, Applied::Done { changed: true });
        assert_eq!(changes(&mut *bulb), "{}", "22 digits are one too many");
        assert_eq!(bulb.points().number(DpId(22)), 1_000);
        apply(&mut *bulb, &dps(r#"{"28":"000000000000001f400fa"}"#), secs(1));
        assert_eq!(changes(&mut *bulb), "{}");
        assert_eq!((bulb.points().number(DpId(22)), bulb.points().number(DpId(23))), (500, 250));
        assert_eq!(bulb.points().value(DpId(28)), None);
    }

    #[test]
    fn the_countdown_turns_it_off() {
        let mut bulb = model(Kind::Bulb, Load::None);
        apply(&mut *bulb, &dps(r#"{"26":5}"#), secs(0));
        assert_eq!(bulb.next_tick(), Some(secs(5)));
        bulb.tick(secs(5));
        assert_eq!(changes(&mut *bulb), r#"{"26":0,"20":false}"#);
        bulb.power_up(secs(9));
        assert!(bulb.points().bool(DpId(20)));
    }
}
