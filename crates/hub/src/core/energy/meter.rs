//! A meter that counts up for ever: differences are added.

use std::time::Duration;

use super::MOST_MILLIWATTS;
use crate::model::Line;

/// A lower reading over the other line so soon after the last one was under way for longer.
const LATE: Duration = Duration::from_secs(30);
/// Allowed on top of the gap: a reading is rounded, and reported late.
const SLACK: Duration = Duration::from_mins(2);
/// A gap that no clock tells: a restart, and a wall clock that went back.
const UNKNOWN: Duration = Duration::from_hours(24);

/// The last reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// Counts.
    pub(super) last: Option<i64>,
    /// When, by the wall clock, for the gap over a restart.
    pub(super) at_ms: u64,
    mono: Option<Duration>,
    line: Option<Line>,
}

/// What a reading means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The first: counting starts here.
    First,
    /// So many milliwatt hours more.
    More(i64),
    /// An older reading that came late over the other line.
    Late,
    /// It fell: the meter was set back, and counting starts anew here.
    Reset {
        /// From.
        from: i64,
    },
    /// More than any house can use in this time; counting starts anew here.
    Implausible {
        /// From.
        from: i64,
        /// In so much time.
        gap: Duration,
    },
}

impl Meter {
    /// As an earlier run left it.
    pub(super) fn restored(counts: i64, at_ms: u64) -> Self {
        Self { last: Some(counts), at_ms, ..Self::default() }
    }

    /// A reading in counts of so many milliwatt hours.
    pub(super) fn read(
        &mut self,
        counts: i64,
        per_count: i64,
        line: Line,
        mono: Duration,
        at_ms: u64,
    ) -> Reading {
        let Some(from) = self.last else {
            self.note(counts, line, mono, at_ms);
            return Reading::First;
        };
        let gap = match self.mono {
            Some(at) => mono.saturating_sub(at),
            None => at_ms.checked_sub(self.at_ms).map_or(UNKNOWN, Duration::from_millis),
        };
        let late = self.line.is_some_and(|last| last != line) && gap <= LATE;
        if counts < from && late {
            return Reading::Late;
        }
        self.note(counts, line, mono, at_ms);
        if counts < from {
            return Reading::Reset { from };
        }
        let used = (i128::from(counts) - i128::from(from)) * i128::from(per_count);
        let seconds = i128::from((gap + SLACK).as_secs());
        let most = i128::from(MOST_MILLIWATTS) * seconds / 3_600 + i128::from(per_count);
        match i64::try_from(used) {
            Ok(used) if (0..=most).contains(&i128::from(used)) => Reading::More(used),
            _ => Reading::Implausible { from, gap },
        }
    }

    fn note(&mut self, counts: i64, line: Line, mono: Duration, at_ms: u64) {
        *self = Self { last: Some(counts), at_ms, mono: Some(mono), line: Some(line) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Line::{Cloud, Lan};

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn differences_are_added() {
        let mut meter = Meter::default();
        assert_eq!(meter.read(1_000, 10_000, Lan, S(0), 0), Reading::First);
        assert_eq!(meter.read(1_002, 10_000, Cloud, S(60), 60_000), Reading::More(20_000));
        assert_eq!(meter.read(1_001, 10_000, Lan, S(61), 61_000), Reading::Late);
        assert_eq!(meter.read(1_002, 10_000, Lan, S(62), 62_000), Reading::More(0));
        assert_eq!(meter.read(3, 10_000, Lan, S(120), 120_000), Reading::Reset { from: 1_002 });
        assert_eq!(meter.read(4, 10_000, Lan, S(180), 180_000), Reading::More(10_000));
    }

    #[test]
    fn a_jump_that_no_house_can_use_is_not_added() {
        let mut meter = Meter::default();
        meter.read(0, 10_000, Lan, S(0), 0);
        // 50 kW for an hour and two minutes are 51.67 kWh, 5,166 counts.
        assert_eq!(meter.read(5_166, 10_000, Lan, S(3_600), 0), Reading::More(51_660_000));
        let much = Reading::Implausible { from: 5_166, gap: S(3_600) };
        assert_eq!(meter.read(5_166 + 5_169, 10_000, Lan, S(7_200), 0), much);
        assert!(matches!(meter.read(i64::MAX, 10_000, Lan, S(7_260), 0), Reading::Implausible { .. }));
        assert_eq!(meter.read(i64::MIN, 10_000, Lan, S(7_320), 0), Reading::Reset { from: i64::MAX });
        assert!(matches!(meter.read(i64::MAX, 10_000, Lan, S(7_380), 0), Reading::Implausible { .. }));
    }

    #[test]
    fn over_a_restart_the_wall_clock_tells_the_gap_unless_it_went_back() {
        let restored = || Meter::restored(100, 3_600_000);
        assert_eq!(restored().read(5_000, 10_000, Lan, S(1), 7_200_000), Reading::More(49_000_000));
        assert!(matches!(restored().read(9_000, 10_000, Lan, S(1), 7_200_000), Reading::Implausible { .. }));
        // A board without a clock of its own starts in 1970.
        assert_eq!(restored().read(9_000, 10_000, Lan, S(1), 1_000), Reading::More(89_000_000));
    }
}
