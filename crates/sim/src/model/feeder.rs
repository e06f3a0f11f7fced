//! A pet feeder: a point that acts on each write. A command sent twice feeds twice.

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::{DeviceModel, Points};

const FEED: DpId = DpId(3);
const STATE: DpId = DpId(4);
const REPORT: DpId = DpId(15);
/// One portion takes this long to drop.
const PORTION: Duration = Duration::from_secs(2);

/// A feeder.
#[derive(Debug)]
pub(super) struct Feeder {
    points: Points,
    /// When the hopper is done, and the portions of this meal.
    meal: Option<(Duration, i64)>,
}

impl Feeder {
    pub(super) fn new(points: Points) -> Self {
        Self { points, meal: None }
    }
}

impl DeviceModel for Feeder {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        let (FEED, DpValue::Value(portions)) = (dp, &value) else {
            self.points.set(dp, value);
            return;
        };
        let (from, before) = self.meal.unwrap_or((now, 0));
        let time = PORTION * u32::try_from(*portions).unwrap_or(0);
        self.meal = Some((from.max(now) + time, before + portions));
        self.points.set(STATE, DpValue::Enum("feeding".into()));
    }

    fn tick(&mut self, now: Duration) {
        if let Some((_, portions)) = self.meal.take_if(|(end, _)| now >= *end) {
            self.points.set(STATE, DpValue::Enum("done".into()));
            // Two meals of the same size are two meals.
            self.points.report(REPORT, DpValue::Value(portions.min(12)));
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.meal.map(|(end, _)| end)
    }

    fn press(&mut self, n: u8, now: Duration) -> bool {
        if n == 1 {
            self.write(FEED, DpValue::Value(1), now);
        }
        n == 1
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
    fn each_write_feeds() {
        let mut it = model(Kind::Feeder, Load::None);
        for at in [0, 10] {
            let outcome = apply(&mut *it, &dps(r#"{"3":2}"#), secs(at));
            assert_eq!(outcome[0].2, Applied::Done { changed: true });
            assert_eq!(changes(&mut *it), r#"{"4":"feeding"}"#);
            it.tick(secs(at + 4));
            assert_eq!(changes(&mut *it), r#"{"4":"done","15":2}"#);
        }
        assert_eq!(it.points().value(FEED), None);
        apply(&mut *it, &dps(r#"{"3":13}"#), secs(30));
        assert_eq!(it.next_tick(), None);
    }

    #[test]
    fn two_quick_writes_are_one_long_meal() {
        let mut it = model(Kind::Feeder, Load::None);
        apply(&mut *it, &dps(r#"{"3":1}"#), secs(0));
        apply(&mut *it, &dps(r#"{"3":1}"#), secs(1));
        it.tick(secs(3));
        assert_eq!(it.next_tick(), Some(secs(4)));
        it.tick(secs(4));
        assert!(changes(&mut *it).contains(r#""15":2"#));
    }
}
