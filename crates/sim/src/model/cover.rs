//! A cover motor that takes its time (lan.md 8.4, type 1).

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};

use super::{DeviceModel, Points};

const CONTROL: DpId = DpId(1);
const TARGET: DpId = DpId(2);
const POSITION: DpId = DpId(3);
const WORK: DpId = DpId(7);
/// The position is reported this often on the way.
const REPORT: Duration = Duration::from_secs(1);

/// A cover; positions are percent open.
#[derive(Debug)]
pub(super) struct Cover {
    points: Points,
    travel: Duration,
    journey: Option<Journey>,
}

#[derive(Clone, Copy, Debug)]
struct Journey {
    from: f64,
    to: f64,
    start: Duration,
    end: Duration,
    next: Duration,
}

impl Journey {
    fn position(&self, now: Duration) -> f64 {
        let whole = self.end.saturating_sub(self.start).as_secs_f64();
        if now >= self.end || whole <= 0.0 {
            return self.to;
        }
        self.from + (self.to - self.from) * now.saturating_sub(self.start).as_secs_f64() / whole
    }
}

impl Cover {
    pub(super) fn new(points: Points, travel: Duration) -> Self {
        Self { points, travel: travel.max(Duration::from_millis(1)), journey: None }
    }

    #[allow(clippy::cast_precision_loss)]
    fn position(&self, now: Duration) -> f64 {
        self.journey.map_or_else(|| self.points.number(POSITION) as f64, |j| j.position(now))
    }

    fn go(&mut self, to: f64, now: Duration) {
        let from = self.position(now);
        if (to - from).abs() < 0.5 {
            self.stop(now);
            return;
        }
        let end = now + self.travel.mul_f64((to - from).abs() / 100.0);
        self.journey = Some(Journey { from, to, start: now, end, next: end.min(now + REPORT) });
        let word = if to > from { "opening" } else { "closing" };
        self.points.set(WORK, DpValue::Enum(word.into()));
    }

    fn stop(&mut self, now: Duration) {
        if self.journey.is_some() {
            self.show(now);
            self.journey = None;
        }
        self.points.set(WORK, DpValue::Enum("standby".into()));
    }

    fn show(&mut self, now: Duration) {
        #[allow(clippy::cast_possible_truncation)]
        let percent = self.position(now).round() as i64;
        self.points.set(POSITION, DpValue::Value(percent));
    }
}

impl DeviceModel for Cover {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        self.points.set(dp, value.clone());
        match (dp, value) {
            (CONTROL, DpValue::Enum(word)) => match &*word {
                "open" => self.go(100.0, now),
                "close" => self.go(0.0, now),
                _ => self.stop(now),
            },
            #[allow(clippy::cast_precision_loss)]
            (TARGET, DpValue::Value(percent)) => {
                let word = if (percent as f64) > self.position(now) { "open" } else { "close" };
                self.points.set(CONTROL, DpValue::Enum(word.into()));
                self.go(percent as f64, now);
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Duration) {
        let Some(journey) = &mut self.journey else { return };
        if now >= journey.end {
            self.stop(now);
        } else if now >= journey.next {
            journey.next = journey.end.min(now + REPORT);
            self.show(now);
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.journey.map(|j| j.next)
    }

    fn press(&mut self, n: u8, now: Duration) -> bool {
        // Up, stop, down, as on a wall remote.
        let Some(word) = usize::from(n).checked_sub(1).and_then(|i| ["open", "stop", "close"].get(i)) else {
            return false;
        };
        self.write(CONTROL, DpValue::Enum((*word).into()), now);
        true
    }

    fn power_up(&mut self, now: Duration) {
        self.stop(now);
        self.points.set(CONTROL, DpValue::Enum("stop".into()));
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
    fn travels_reports_and_arrives() {
        let mut cover = model(Kind::Cover, Load::None);
        apply(&mut *cover, &dps(r#"{"1":"open"}"#), secs(100));
        assert_eq!(changes(&mut *cover), r#"{"1":"open","7":"opening"}"#);
        cover.tick(secs(105));
        assert_eq!(changes(&mut *cover), r#"{"3":25}"#);
        assert_eq!(cover.next_tick(), Some(secs(106)));
        cover.tick(secs(120));
        assert_eq!(changes(&mut *cover), r#"{"3":100,"7":"standby"}"#);
        assert_eq!(cover.next_tick(), None);
    }

    #[test]
    fn stops_on_the_way_and_turns_back() {
        let mut cover = model(Kind::Cover, Load::None);
        apply(&mut *cover, &dps(r#"{"1":"open"}"#), secs(0));
        apply(&mut *cover, &dps(r#"{"1":"stop"}"#), secs(10));
        assert_eq!(changes(&mut *cover), r#"{"1":"stop","7":"standby","3":50}"#);
        apply(&mut *cover, &dps(r#"{"2":20}"#), secs(20));
        assert_eq!(changes(&mut *cover), r#"{"2":20,"1":"close","7":"closing"}"#);
        cover.tick(secs(26));
        assert_eq!(changes(&mut *cover), r#"{"3":20,"7":"standby"}"#);
    }

    #[test]
    fn the_same_word_acts_again() {
        let mut cover = model(Kind::Cover, Load::None);
        apply(&mut *cover, &dps(r#"{"1":"open"}"#), secs(0));
        cover.tick(secs(20));
        cover.points_mut().set(POSITION, DpValue::Value(40));
        changes(&mut *cover);
        apply(&mut *cover, &dps(r#"{"1":"open"}"#), secs(30));
        assert_eq!(changes(&mut *cover), r#"{"7":"opening"}"#);
        assert!(cover.press(2, secs(31)));
        assert!(!cover.press(4, secs(31)));
    }
}
