//! Days and months of the home's clock, and what was used in them.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use crate::core::Moment;

/// A day of the home's calendar by which energy is booked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::core) struct Day {
    /// `20261122`.
    pub(in crate::core) today: u32,
    /// The day before.
    pub(in crate::core) yesterday: u32,
    /// `202611`.
    pub(in crate::core) month: u32,
}

/// Which day it is.
#[derive(Debug)]
pub(in crate::core) struct Calendar {
    zone: TimeZone,
    day: Day,
    from_ms: u64,
    /// Exclusive. A day has 23, 24 or 25 hours.
    to_ms: u64,
    /// Wall clock minus monotonic clock, milliseconds.
    offset: Option<i64>,
    jumps: u64,
}

/// A wall clock that moves by more than this against the monotonic one was set.
const JUMP_MS: u64 = 5_000;

fn key(date: jiff::civil::Date) -> u32 {
    let year = u32::try_from(date.year()).unwrap_or(0);
    year * 10_000 + u32::from(date.month().unsigned_abs()) * 100 + u32::from(date.day().unsigned_abs())
}

fn millis(at: &Zoned) -> u64 {
    u64::try_from(at.timestamp().as_millisecond()).unwrap_or(0)
}

impl Calendar {
    pub(in crate::core) fn new(zone: TimeZone) -> Self {
        Self { zone, day: Day::default(), from_ms: 0, to_ms: 0, offset: None, jumps: 0 }
    }

    pub(in crate::core) fn day(&self) -> Day {
        self.day
    }

    /// How often the wall clock was set.
    pub(in crate::core) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Looks at the clock. True when another day has come (or an earlier one is back).
    pub(in crate::core) fn see(&mut self, unix_ms: u64) -> bool {
        if (self.from_ms..self.to_ms).contains(&unix_ms) {
            return false;
        }
        let before = self.day;
        // A clock beyond the year 9999 is wrong in any case; the last day of time will do.
        let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let now = at.unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone());
        let date = now.date();
        let today = key(date);
        let yesterday = date.yesterday().map_or(0, key);
        self.day = Day { today, yesterday, month: today / 100 };
        let start = now.start_of_day();
        let end = date.tomorrow().and_then(|next| next.to_zoned(self.zone.clone()));
        // A day that starts before 1970 or ends after time: the clock itself bounds it.
        self.from_ms = start.as_ref().map_or(unix_ms, millis).min(unix_ms);
        self.to_ms = end.as_ref().map_or(u64::MAX, millis).max(unix_ms.saturating_add(1));
        before != self.day
    }

    /// By how many milliseconds the wall clock was set since it was last looked at, if it was.
    pub(in crate::core) fn jumped(&mut self, now: Moment) -> Option<i64> {
        let mono = i64::try_from(now.mono.as_millis()).unwrap_or(i64::MAX);
        let offset = i64::try_from(now.unix_ms).unwrap_or(i64::MAX).saturating_sub(mono);
        let before = self.offset.replace(offset)?;
        let by = offset.saturating_sub(before);
        if by.unsigned_abs() <= JUMP_MS {
            return None;
        }
        self.jumps += 1;
        Some(by)
    }

    /// When the next day comes, by the monotonic clock.
    pub(in crate::core) fn midnight(&self, now: Moment) -> Option<Duration> {
        // At the end of time no other day comes.
        if self.to_ms <= now.unix_ms {
            return None;
        }
        now.mono.checked_add(Duration::from_millis(self.to_ms.saturating_sub(now.unix_ms)))
    }
}

/// What was used in a day or a month, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, i64, i64)", into = "(u32, i64, i64)")]
pub(super) struct Bucket {
    key: u32,
    /// Milliwatt hours.
    pub(super) used: i64,
    /// Billionths of the currency: mWh times thousandths per kWh, so that sums are exact whatever the price was when.
    pub(super) cost: i64,
}

impl From<(u32, i64, i64)> for Bucket {
    fn from((key, used, cost): (u32, i64, i64)) -> Self {
        Self { key, used, cost }
    }
}

impl From<Bucket> for (u32, i64, i64) {
    fn from(b: Bucket) -> Self {
        (b.key, b.used, b.cost)
    }
}

/// Buckets kept of a kind. More than two, so that a clock that is wrong for a while costs nothing.
const KEPT: usize = 6;

/// The last days, or the last months.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Buckets(Vec<Bucket>);

impl Buckets {
    pub(super) fn of(&self, key: u32) -> Bucket {
        self.0.iter().find(|b| b.key == key).copied().unwrap_or(Bucket { key, used: 0, cost: 0 })
    }

    pub(super) fn add(&mut self, key: u32, used: i64, cost: i64) {
        if let Some(bucket) = self.0.iter_mut().find(|b| b.key == key) {
            bucket.used = bucket.used.saturating_add(used);
            bucket.cost = bucket.cost.saturating_add(cost);
            return;
        }
        if self.0.len() >= KEPT {
            // The furthest from now: a stray day of 1970 goes before yesterday does.
            let far = self.0.iter().enumerate().max_by_key(|(_, b)| b.key.abs_diff(key)).map(|(i, _)| i);
            if let Some(far) = far {
                self.0.swap_remove(far);
            }
        }
        self.0.push(Bucket { key, used, cost });
    }

    /// Whether it can be what we wrote.
    pub(super) fn is_sound(&self) -> bool {
        self.0.len() <= KEPT && self.0.iter().all(|b| b.used >= 0)
    }

    /// Puts these on top of earlier ones.
    pub(super) fn follow(&mut self, earlier: &Self) {
        for b in std::mem::replace(&mut self.0, earlier.0.clone()) {
            self.add(b.key, b.used, b.cost);
        }
    }

    /// For each key the larger one of both: what is shown never falls.
    pub(super) fn raise(&mut self, other: &Self) {
        for b in &other.0 {
            let have = self.of(b.key);
            self.add(
                b.key,
                (b.used - have.used).max(0),
                if b.used > have.used { b.cost - have.cost } else { 0 },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
    }

    fn berlin() -> Calendar {
        Calendar::new(TimeZone::get("Europe/Berlin").unwrap())
    }

    #[test]
    fn days_have_23_24_or_25_hours() {
        for (noon, day, hours) in [
            ("2026-03-28T11:00:00Z", 20_260_328, 24),
            ("2026-03-29T10:00:00Z", 20_260_329, 23),
            ("2026-10-25T11:00:00Z", 20_261_025, 25),
            ("2026-10-26T11:00:00Z", 20_261_026, 24),
        ] {
            let mut calendar = berlin();
            assert!(calendar.see(at(noon)), "the first day is news");
            assert_eq!(calendar.day().today, day);
            assert_eq!(calendar.day().yesterday, day - 1);
            assert_eq!(calendar.to_ms - calendar.from_ms, hours * 3_600_000, "{day}");
        }
    }

    #[test]
    fn midnight_is_local_and_told_in_monotonic_time() {
        let mut calendar = berlin();
        calendar.see(at("2026-10-25T22:59:59.500Z"));
        assert_eq!(calendar.day().today, 20_261_025, "summer time ended this morning");
        let now = Moment { mono: Duration::from_secs(100), unix_ms: at("2026-10-25T22:59:59.500Z") };
        assert_eq!(calendar.midnight(now), Some(Duration::from_millis(100_500)));
        assert!(!calendar.see(at("2026-10-25T22:59:59.999Z")));
        assert!(calendar.see(at("2026-10-25T23:00:00Z")));
        assert_eq!(calendar.day(), Day { today: 20_261_026, yesterday: 20_261_025, month: 202_610 });
        assert!(calendar.see(at("2026-10-31T23:00:00Z")));
        assert_eq!(calendar.day(), Day { today: 20_261_101, yesterday: 20_261_031, month: 202_611 });
    }

    #[test]
    fn the_ends_of_time_are_days_too() {
        let mut calendar = berlin();
        assert!(calendar.see(0));
        assert_eq!(calendar.day().today, 19_700_101);
        assert!(calendar.see(u64::MAX));
        assert_eq!(calendar.day().today / 10_000, 9999);
        assert!(!calendar.see(u64::MAX - 1));
        let now = Moment { mono: Duration::from_secs(1), unix_ms: u64::MAX };
        assert_eq!(calendar.midnight(now), None, "no tick is wanted for ever");
    }

    #[test]
    fn a_clock_that_is_set_is_seen_and_one_that_drifts_is_not() {
        let mut calendar = berlin();
        let moment = |s, ms| Moment { mono: Duration::from_secs(s), unix_ms: ms };
        assert_eq!(calendar.jumped(moment(0, 1_000_000)), None);
        assert_eq!(calendar.jumped(moment(10, 1_011_000)), None);
        assert_eq!(calendar.jumped(moment(20, 1_082_000)), Some(61_000));
        assert_eq!(calendar.jumped(moment(30, 1_092_000)), None);
        assert_eq!(calendar.jumped(moment(31, 0)), Some(-1_093_000));
        assert_eq!(calendar.jumps(), 2);
    }

    #[test]
    fn buckets_far_from_now_go_first() {
        let mut days = Buckets::default();
        for key in [19_700_101, 20_261_120, 20_261_121, 20_261_122, 20_261_123, 20_261_124, 20_261_125] {
            days.add(key, 5, 7);
        }
        days.add(20_261_125, 1, 1);
        assert_eq!(days.of(20_261_125), Bucket { key: 20_261_125, used: 6, cost: 8 });
        assert_eq!(days.of(20_261_120).used, 5);
        assert_eq!(days.of(19_700_101).used, 0);
    }
}
