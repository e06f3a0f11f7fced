//! Watts over time.

use std::time::Duration;

use super::MOST_MILLIWATTS;

/// A reading holds for so long at most; nobody knows what was used in a longer silence.
const LONGEST: Duration = Duration::from_mins(15);

/// Milliwatt milliseconds in a milliwatt hour.
const MWH: i128 = 3_600_000;

/// Power added up over the monotonic clock.
///
/// A reading holds until the next one: devices report power when it changes, so the old value is the truth until then. The
/// line between both, as a trapezoid has it, would give half of a kettle to the hour before it was switched on.
#[derive(Clone, Debug, Default)]
pub(super) struct Integral {
    /// What is less than a milliwatt hour yet, in milliwatt milliseconds.
    rest: i128,
    last: Option<(Duration, i64)>,
}

/// What a reading brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slice {
    /// Milliwatt hours since the reading before.
    pub(super) used: i64,
    /// Power was on before a silence of so long, which was not added.
    pub(super) gap: Option<Duration>,
}

impl Integral {
    /// A reading of so many milliwatts. What flows back (less than nothing) is not counted.
    pub(super) fn sample(&mut self, now: Duration, milliwatts: i64) -> Slice {
        if milliwatts > MOST_MILLIWATTS {
            // No reading at all: neither it nor what it ends is known.
            self.last = None;
            return Slice::default();
        }
        let Some((from, held)) = self.last.replace((now, milliwatts.max(0))) else {
            return Slice::default();
        };
        let time = now.saturating_sub(from);
        if time > LONGEST {
            return Slice { used: 0, gap: (held > 0).then_some(time) };
        }
        let millis = i128::try_from(time.as_millis()).unwrap_or(0);
        self.rest += i128::from(held) * millis;
        let used = self.rest / MWH;
        self.rest %= MWH;
        Slice { used: i64::try_from(used).unwrap_or(0), gap: None }
    }

    /// The device is gone: its last reading holds no longer.
    pub(super) fn pause(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_reading_holds_until_the_next() {
        let mut integral = Integral::default();
        assert_eq!(integral.sample(S(0), 2_000_000), Slice::default());
        assert_eq!(integral.sample(S(180), 0).used, 100_000, "2 kW for three minutes are 100 Wh");
        assert_eq!(integral.sample(S(600), 2_000_000).used, 0);
    }

    #[test]
    fn fractions_are_kept() {
        let mut integral = Integral::default();
        let mut used = 0;
        // 5 mW for 7 s: 0.0097 mWh each.
        for n in 0..=7_200 {
            used += integral.sample(S(n * 7), 5).used;
        }
        assert_eq!(used, 5 * 7 * 7_200 / 3_600);
    }

    #[test]
    fn a_silence_is_not_filled() {
        let mut integral = Integral::default();
        integral.sample(S(0), 60_000);
        assert_eq!(integral.sample(S(901), 60_000), Slice { used: 0, gap: Some(S(901)) });
        assert_eq!(integral.sample(S(961), 0).used, 1_000);
        assert_eq!(integral.sample(S(9_000), 60_000).gap, None, "nothing was on");
        integral.pause();
        assert_eq!(integral.sample(S(9_060), 60_000), Slice::default());
        assert_eq!(integral.sample(S(9_120), -5_000).used, 1_000);
        assert_eq!(integral.sample(S(9_180), 0).used, 0, "what flows back is not counted");
        assert_eq!(integral.sample(S(9_181), i64::MAX).used, 0);
        assert_eq!(integral.sample(S(9_182), 1).used, 0, "nonsense doesn't hold");
    }
}
