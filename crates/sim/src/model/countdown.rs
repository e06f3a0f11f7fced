//! A countdown that switches when it reaches zero. It was seen to fall in steps of five seconds (lan.md 8.2).

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::Points;

const STEP: Duration = Duration::from_secs(5);

/// One countdown point and the switch that it turns over.
#[derive(Clone, Debug)]
pub(super) struct Countdown {
    dp: DpId,
    switch: DpId,
    /// When it reaches zero, and when it falls next.
    running: Option<(Duration, Duration)>,
}

impl Countdown {
    pub(super) const fn new(dp: DpId, switch: DpId) -> Self {
        Self { dp, switch, running: None }
    }

    pub(super) fn dp(&self) -> DpId {
        self.dp
    }

    pub(super) fn switch(&self) -> DpId {
        self.switch
    }

    /// The client writes a number of seconds; 0 cancels.
    pub(super) fn start(&mut self, points: &mut Points, seconds: i64, now: Duration) {
        let length = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let end = now + length;
        self.running = (!length.is_zero()).then(|| (end, end.min(now + STEP)));
        points.set(self.dp, DpValue::Value(seconds));
    }

    /// The switch was turned by somebody else: the countdown has no object any more.
    pub(super) fn cancel(&mut self, points: &mut Points) {
        self.running = None;
        points.set(self.dp, DpValue::Value(0));
    }

    /// Lets it fall; turns the switch over at zero. True if it did.
    pub(super) fn tick(&mut self, points: &mut Points, now: Duration) -> bool {
        let Some((end, next)) = self.running else { return false };
        if now >= end {
            self.running = None;
            points.set(self.dp, DpValue::Value(0));
            let on = points.bool(self.switch);
            points.set(self.switch, DpValue::Bool(!on));
            return true;
        }
        if now >= next {
            // After a jump of the clock the missed steps are passed over.
            let missed = (now - next).as_secs() / STEP.as_secs();
            let next = next + STEP * u32::try_from(missed + 1).unwrap_or(u32::MAX);
            let shown = end.saturating_sub(next.saturating_sub(STEP)).as_secs();
            points.set(self.dp, DpValue::Value(i64::try_from(shown).unwrap_or(i64::MAX)));
            self.running = Some((end, next.min(end)));
        }
        false
    }

    pub(super) fn next_tick(&self) -> Option<Duration> {
        self.running.map(|(_, next)| next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::model::testing::secs;
    use crate::product::Product;

    fn shown(points: &Points) -> i64 {
        points.number(DpId(2))
    }

    #[test]
    fn falls_in_steps_of_five_and_switches_at_zero() {
        let mut points = Points::new(Product::of(Kind::PlugOld));
        let mut countdown = Countdown::new(DpId(2), DpId(1));
        countdown.start(&mut points, 12, secs(100));
        let mut seen = vec![shown(&points)];
        for t in 100..=112 {
            countdown.tick(&mut points, secs(t));
            if seen.last() != Some(&shown(&points)) {
                seen.push(shown(&points));
            }
            assert_eq!(points.bool(DpId(1)), t < 112, "at {t}");
        }
        assert_eq!(seen, [12, 7, 2, 0]);
        assert_eq!(countdown.next_tick(), None);
    }

    #[test]
    fn jumps_and_cancels() {
        let mut points = Points::new(Product::of(Kind::PlugOld));
        let mut countdown = Countdown::new(DpId(2), DpId(1));
        countdown.start(&mut points, 60, secs(0));
        countdown.tick(&mut points, secs(33));
        assert_eq!(shown(&points), 30);
        assert_eq!(countdown.next_tick(), Some(secs(35)));
        countdown.cancel(&mut points);
        assert_eq!((shown(&points), countdown.next_tick()), (0, None));
        countdown.start(&mut points, 10, secs(40));
        countdown.tick(&mut points, secs(4_000));
        assert_eq!((shown(&points), points.bool(DpId(1))), (0, false));
    }
}
