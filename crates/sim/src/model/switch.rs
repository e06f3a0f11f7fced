//! A two-gang wall switch.

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::countdown::Countdown;
use super::{DeviceModel, Points};

/// A wall switch with a countdown per gang.
#[derive(Debug)]
pub(super) struct Switch {
    points: Points,
    gangs: [Countdown; 2],
}

impl Switch {
    pub(super) fn new(points: Points) -> Self {
        Self { points, gangs: [Countdown::new(DpId(9), DpId(1)), Countdown::new(DpId(10), DpId(2))] }
    }
}

impl DeviceModel for Switch {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        for gang in &mut self.gangs {
            if gang.dp() == dp {
                if let DpValue::Value(seconds) = value {
                    gang.start(&mut self.points, seconds, now);
                }
                return;
            }
            if gang.switch() == dp && self.points.value(dp) != Some(&value) {
                gang.cancel(&mut self.points);
            }
        }
        self.points.set(dp, value);
    }

    fn tick(&mut self, now: Duration) {
        for gang in &mut self.gangs {
            gang.tick(&mut self.points, now);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.gangs.iter().filter_map(Countdown::next_tick).min()
    }

    fn press(&mut self, n: u8, now: Duration) -> bool {
        let Some(dp) = usize::from(n).checked_sub(1).and_then(|i| self.gangs.get(i)).map(Countdown::switch)
        else {
            return false;
        };
        let on = self.points.bool(dp);
        self.write(dp, DpValue::Bool(!on), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::load::Load;
    use crate::model::apply;
    use crate::model::testing::{changes, dps, model, secs};

    #[test]
    fn gangs_are_independent() {
        let mut switch = model(Kind::Switch22, Load::None);
        apply(&mut *switch, &dps(r#"{"2":true,"10":10}"#), secs(0));
        assert_eq!(changes(&mut *switch), r#"{"2":true,"10":10}"#);
        assert!(switch.press(1, secs(1)));
        assert_eq!(changes(&mut *switch), r#"{"1":true}"#);
        assert!(!switch.press(3, secs(1)));
        switch.tick(secs(10));
        assert_eq!(changes(&mut *switch), r#"{"10":0,"2":false}"#);
        assert_eq!(switch.next_tick(), None);
    }
}
