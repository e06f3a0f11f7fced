//! Numbers over time: changes and roll-ups folded into steps.
//!
//! A point keeps its value until it changes, so a mean is weighted by time, and the value that a step begins with counts
//! for its minimum, mean and maximum. Steps without a change are not listed: the value is the last one's `last`.

use landfall_proto::dp::DpValue;

use super::Sample;

/// Widths of the roll-ups that are kept, in milliseconds: a minute, a quarter of an hour, an hour, a day (of UTC). Each
/// is a multiple of the one before.
pub(super) const WIDTHS: [u64; 4] = [60_000, 900_000, 3_600_000, 86_400_000];

/// A value as a number, where it is one. A switch is 0 or 1, so that its mean is the share of time that it was on.
#[allow(clippy::cast_precision_loss)] // 2^53 is beyond any reading
pub(super) fn number(value: &DpValue) -> Option<f64> {
    match value {
        DpValue::Bool(on) => Some(f64::from(u8::from(*on))),
        DpValue::Value(n) => Some(*n as f64),
        DpValue::Bitmap(bits) => Some(f64::from(*bits)),
        DpValue::Json(text) => text.parse().ok().filter(|n: &f64| n.is_finite()),
        DpValue::Enum(_) | DpValue::String(_) | DpValue::Raw(_) => None,
    }
}

/// What a point was within a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Its start.
    pub(super) at_ms: u64,
    pub(super) min: f64,
    /// Over the time that the value was known.
    pub(super) mean: f64,
    pub(super) max: f64,
    pub(super) last: f64,
    /// Changes.
    pub(super) count: u64,
    /// How long the value was known: less than the width where the first value ever came in the midst of it.
    pub(super) known_ms: u64,
}

impl From<Bucket> for Sample {
    fn from(b: Bucket) -> Self {
        Self::Step { at_ms: b.at_ms, min: b.min, mean: b.mean, max: b.max, last: b.last, count: b.count }
    }
}

/// Folds changes and buckets, given in the order of time, into steps.
#[derive(Debug)]
pub(super) struct Fold {
    step: u64,
    /// The value before the next input, once known.
    carry: Option<f64>,
    open: Option<Open>,
    done: Vec<Bucket>,
}

#[derive(Debug)]
struct Open {
    bucket: Bucket,
    /// Value times milliseconds.
    integral: f64,
    /// Integrated up to here.
    until: u64,
}

#[allow(clippy::cast_precision_loss)] // milliseconds of a step
impl Fold {
    /// Steps of this width, beginning at its multiples. `carry` is the value before the first input.
    pub(super) fn new(step: u64, carry: Option<f64>) -> Self {
        Self { step: step.max(1), carry, open: None, done: Vec::new() }
    }

    /// Steps that are complete.
    pub(super) fn len(&self) -> usize {
        self.done.len()
    }

    /// The point changed.
    pub(super) fn value(&mut self, at_ms: u64, value: f64) {
        let open = self.reach(at_ms, value);
        open.bucket.min = open.bucket.min.min(value);
        open.bucket.max = open.bucket.max.max(value);
        open.bucket.last = value;
        open.bucket.count += 1;
        self.carry = Some(value);
    }

    /// A roll-up of a width that divides the step.
    pub(super) fn bucket(&mut self, bucket: &Bucket, width: u64) {
        let open = self.reach(bucket.at_ms, bucket.min);
        open.bucket.min = open.bucket.min.min(bucket.min);
        open.bucket.max = open.bucket.max.max(bucket.max);
        open.bucket.last = bucket.last;
        open.bucket.count += bucket.count;
        open.bucket.known_ms += bucket.known_ms;
        open.integral += bucket.mean * bucket.known_ms as f64;
        open.until = bucket.at_ms + width;
        self.carry = Some(bucket.last);
    }

    /// The step of this time, integrated up to it. `first` stands for its minimum and maximum where nothing was known.
    fn reach(&mut self, at_ms: u64, first: f64) -> &mut Open {
        let start = at_ms - at_ms % self.step;
        if self.open.as_ref().is_some_and(|open| open.bucket.at_ms != start) {
            self.shut(start);
        }
        let carry = self.carry;
        let open = self.open.get_or_insert_with(|| {
            let known = carry.filter(|_| at_ms > start).unwrap_or(first);
            let bucket = Bucket {
                at_ms: start,
                min: known,
                mean: known,
                max: known,
                last: known,
                count: 0,
                known_ms: 0,
            };
            Open { bucket, integral: 0.0, until: start }
        });
        open.integrate(at_ms, carry);
        open
    }

    /// Ends the open step, at its end or before.
    fn shut(&mut self, before: u64) {
        if let Some(mut open) = self.open.take() {
            open.integrate((open.bucket.at_ms + self.step).min(before), self.carry);
            let known = open.bucket.known_ms;
            open.bucket.mean = if known == 0 { open.bucket.last } else { open.integral / known as f64 };
            // Rounding shall not put a mean beside its own extremes.
            open.bucket.mean = open.bucket.mean.clamp(open.bucket.min, open.bucket.max);
            self.done.push(open.bucket);
        }
    }

    /// All steps; the last one is counted up to `to_ms` if that is within it.
    pub(super) fn finish(mut self, to_ms: u64) -> Vec<Bucket> {
        self.shut(to_ms);
        self.done
    }
}

impl Open {
    #[allow(clippy::cast_precision_loss)] // milliseconds of a step
    fn integrate(&mut self, to_ms: u64, carry: Option<f64>) {
        let Some(ms) = to_ms.checked_sub(self.until) else { return };
        if let Some(value) = carry {
            self.integral += value * ms as f64;
            self.bucket.known_ms += ms;
        }
        self.until = to_ms;
    }
}

/// Which roll-up serves a step, by its place in [`WIDTHS`]; the step, widened to a multiple of that width. `finest` is
/// the finest roll-up that reaches back far enough; 0 also stands for the changes themselves.
pub(super) fn plan(step_ms: u64, finest: Option<usize>) -> (Option<usize>, u64) {
    // No step of centuries: sums shall not overflow.
    let step = step_ms.clamp(1, 1 << 50).max(finest.map_or(0, |f| WIDTHS[f]));
    // A step that is no multiple is widened, by less than half of itself.
    let serves = |w: u64| step >= w && (step.is_multiple_of(w) || step >= 2 * w);
    let widest = WIDTHS.iter().rposition(|w| serves(*w));
    let level = widest.max(finest);
    (level, level.map_or(step, |l| step.next_multiple_of(WIDTHS[l])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(at_ms: u64, min: f64, mean: f64, max: f64, last: f64, count: u64, known_ms: u64) -> Bucket {
        Bucket { at_ms, min, mean, max, last, count, known_ms }
    }

    #[test]
    fn a_mean_is_weighted_by_time_and_counts_what_was_before() {
        let mut fold = Fold::new(100, Some(10.0));
        fold.value(125, 50.0);
        fold.value(150, 0.0);
        fold.value(400, 8.0);
        assert_eq!(
            fold.finish(450),
            [bucket(100, 0.0, 15.0, 50.0, 0.0, 2, 100), bucket(400, 8.0, 8.0, 8.0, 8.0, 1, 50)]
        );
    }

    #[test]
    fn nothing_is_known_before_the_first_value() {
        let mut fold = Fold::new(100, None);
        fold.value(180, 6.0);
        fold.value(190, 8.0);
        assert_eq!(fold.finish(1_000), [bucket(100, 6.0, 7.0, 8.0, 8.0, 2, 20)]);
    }

    #[test]
    fn folding_roll_ups_is_folding_the_changes() {
        let changes: Vec<(u64, f64)> = (0..500_u64)
            .map(|n| (n * n * 7 % 90_000 + n, f64::from(u32::try_from(n * 31 % 97).unwrap())))
            .collect();
        let mut changes = changes;
        changes.sort_by_key(|c| c.0);
        let at_once = |step| {
            let mut fold = Fold::new(step, Some(5.0));
            changes.iter().for_each(|(at, v)| fold.value(*at, *v));
            fold.finish(120_000)
        };
        let mut fold = Fold::new(6_000, Some(5.0));
        at_once(1_000).iter().for_each(|b| fold.bucket(b, 1_000));
        let (twice, once) = (fold.finish(120_000), at_once(6_000));
        assert_eq!(twice.len(), once.len());
        for (a, b) in twice.iter().zip(&once) {
            assert!((a.mean - b.mean).abs() < 1e-9, "{a:?} {b:?}");
            assert_eq!(bucket(a.at_ms, a.min, b.mean, a.max, a.last, a.count, a.known_ms), *b);
        }
    }

    #[test]
    fn the_widest_roll_up_that_fits_is_taken() {
        let (minute, quarter, hour, day) = (60_000, 900_000, 3_600_000, 86_400_000);
        assert_eq!(plan(10_000, None), (None, 10_000));
        assert_eq!(plan(90_000, None), (None, 90_000));
        assert_eq!(plan(130_000, None), (Some(0), 3 * minute));
        assert_eq!(plan(43 * minute, None), (Some(1), 45 * minute));
        assert_eq!(plan(90 * minute, None), (Some(1), 6 * quarter));
        assert_eq!(plan(6 * hour, None), (Some(2), 6 * hour));
        assert_eq!(plan(30 * day, None), (Some(3), 30 * day));
        // Only hours are left: minutes can't be had.
        assert_eq!(plan(minute, Some(2)), (Some(2), hour));
        assert_eq!(plan(90 * minute, Some(2)), (Some(2), 2 * hour));
    }
}
