//! An infrared blaster: it takes commands as JSON text, and while it learns it tells the code of the first key that it sees
//! (lan.md 8.6).

use core::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use serde_json::Value;

use super::{DeviceModel, Points};

const LEARNT: DpId = DpId(202);
/// So long after it began to learn, somebody presses a key of a remote control in front of it.
const FINDING_THE_REMOTE: Duration = Duration::from_secs(2);

/// An infrared blaster.
#[derive(Debug)]
pub(super) struct Infrared {
    points: Points,
    /// When it sees a key.
    learning: Option<Duration>,
    /// Keys that it saw.
    seen: u32,
}

impl Infrared {
    pub(super) fn new(points: Points) -> Self {
        Self { points, learning: None, seen: 0 }
    }

    /// Tells the code of the next key, in base64; no two keys are alike.
    fn learn(&mut self) {
        self.learning = None;
        self.seen += 1;
        self.points
            .report(LEARNT, DpValue::text(format!("JgAYABISEhISNhI2EhISEhI2EhL{:05}", self.seen % 100_000)));
    }
}

impl DeviceModel for Infrared {
    fn points(&self) -> &Points {
        &self.points
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.points
    }

    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        let command = serde_json::from_str::<Value>(&value.to_string()).unwrap_or_default();
        // Pressing a key twice sends it twice.
        self.points.report(dp, value);
        match command["control"].as_str() {
            Some("study") => self.learning = Some(now + FINDING_THE_REMOTE),
            Some("study_exit") => self.learning = None,
            _ => {}
        }
    }

    fn tick(&mut self, now: Duration) {
        if self.learning.is_some_and(|at| now >= at) {
            self.learn();
        }
    }

    fn next_tick(&self) -> Option<Duration> {
        self.learning
    }

    /// A key of a remote control: seen while it learns, and at no other time.
    fn press(&mut self, n: u8, _now: Duration) -> bool {
        if n == 1 && self.learning.is_some() {
            self.learn();
        }
        n == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::load::Load;
    use crate::model::apply;
    use crate::model::testing::{changes, dps, model, secs};

    const STUDY: &str = r#"{"201":"{\"control\":\"study\"}"}"#;

    #[test]
    fn it_learns_a_key_once_and_another_one_the_next_time() {
        let mut it = model(Kind::Infrared, Load::None);
        let mut learnt = Vec::new();
        for at in [0, 10] {
            apply(&mut *it, &dps(STUDY), secs(at));
            assert_eq!(changes(&mut *it), STUDY);
            assert_eq!(it.next_tick(), Some(secs(at + 2)));
            it.tick(secs(at + 2));
            learnt.push(it.points().word(LEARNT).to_owned());
            assert!(changes(&mut *it).contains(&learnt[learnt.len() - 1]));
            it.tick(secs(at + 5));
            assert_eq!(changes(&mut *it), "{}");
        }
        assert_ne!(learnt[0], learnt[1]);
        assert!(learnt.iter().all(|code| code.len() % 4 == 0), "base64");
    }

    #[test]
    fn it_stops_learning_and_tells_each_command() {
        let mut it = model(Kind::Infrared, Load::None);
        apply(&mut *it, &dps(STUDY), secs(0));
        apply(&mut *it, &dps(r#"{"201":"{\"control\":\"study_exit\"}"}"#), secs(1));
        assert_eq!(it.next_tick(), None);
        changes(&mut *it);
        assert!(it.press(1, secs(2)));
        assert_eq!(changes(&mut *it), "{}", "it does not look");
        let send = r#"{"201":"{\"control\":\"send_ir\",\"key1\":\"1AAAA\"}"}"#;
        for at in [3, 4] {
            apply(&mut *it, &dps(send), secs(at));
            assert_eq!(changes(&mut *it), send, "the same key again is sent again");
        }
    }
}
