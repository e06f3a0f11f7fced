//! Time as a device has it: seconds since power-on until an answer tells it more, and the zone that it was told.

use core::time::Duration;

use landfall_proto::json;
use serde::Deserialize;

/// Clock of one boot (cloud.md 2.6).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    booted: Duration,
    set: Option<(Duration, u64)>,
}

impl Clock {
    pub(super) const fn new(booted: Duration) -> Self {
        Self { booted, set: None }
    }

    /// Seconds since 1970 if it was ever told, else since power-on: what goes into `t`.
    pub(super) fn t(&self, now: Duration) -> u64 {
        self.unix(now).unwrap_or_else(|| now.saturating_sub(self.booted).as_secs())
    }

    /// Seconds since 1970, if it was told.
    pub(super) fn unix(&self, now: Duration) -> Option<u64> {
        self.set.map(|(at, unix)| unix + now.saturating_sub(at).as_secs())
    }

    /// When on the monotonic clock it will be this time.
    pub(super) fn mono_of(&self, unix: u64) -> Option<Duration> {
        self.set.map(|(at, set)| at + Duration::from_secs(unix.saturating_sub(set)))
    }

    /// An answer said what time it is. Firmware reads 32 bits of seconds; milliseconds do not fit (cloud.md 2.6).
    pub(super) fn set(&mut self, unix: u64, now: Duration) -> bool {
        let fits = u32::try_from(unix).is_ok();
        if fits {
            self.set = Some((now, unix));
        }
        fits
    }
}

/// Offsets from UTC as they are told at activation, by `dynamic.config.get` and by protocol 41.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Zone {
    /// Offset without daylight saving, `+01:00`.
    #[serde(default, rename = "stdTimeZone", deserialize_with = "json::named")]
    pub std: Option<String>,
    /// Offset at the time of telling.
    #[serde(default, rename = "timeZone", deserialize_with = "json::named")]
    pub now: Option<String>,
    /// Daylight saving: from and to, seconds since 1970.
    #[serde(default, rename = "dstIntervals")]
    pub dst: Vec<[u64; 2]>,
}

/// Most intervals that are kept: several years ahead.
const MAX_INTERVALS: usize = 64;

impl Zone {
    /// Takes over what a later telling says.
    pub(super) fn update(&mut self, told: Self) {
        if told.std.is_some() {
            self.std = told.std;
        }
        if told.now.is_some() {
            self.now = told.now;
        }
        if !told.dst.is_empty() {
            self.dst = told.dst;
            self.dst.truncate(MAX_INTERVALS);
        }
    }

    /// Seconds east of UTC at this time. With a standard offset the intervals decide; without one the offset told.
    fn offset(&self, unix: u64) -> i64 {
        let standard = self.std.as_deref().and_then(offset);
        let summer = self.dst.iter().any(|[from, to]| (*from..*to).contains(&unix));
        match standard {
            Some(standard) => standard + if summer { 3_600 } else { 0 },
            None => self.now.as_deref().and_then(offset).unwrap_or(0),
        }
    }

    /// The time on the wall.
    pub(super) fn local(&self, unix: u64) -> Local {
        let seconds = i64::try_from(unix).unwrap_or(i64::MAX / 2) + self.offset(unix);
        let days = seconds.div_euclid(86_400);
        let minute = seconds.rem_euclid(86_400) / 60;
        Local {
            date: date(days),
            minute: u16::try_from(minute).unwrap_or(0),
            // 1970 began on a Thursday.
            weekday: u8::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
        }
    }
}

/// A minute on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Local {
    /// `20260131`.
    pub(super) date: u32,
    /// Of the day.
    pub(super) minute: u16,
    /// Sunday is 0.
    pub(super) weekday: u8,
}

/// `+01:00`, `-3:30`, in seconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours <= 14 && minutes < 60).then(|| sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
}

/// The date of a day counted from 1970, Gregorian, as `20260131`.
fn date(days: i64) -> u32 {
    // Years from March on, in eras of 400.
    let z = days + 719_468;
    let (era, day) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    u32::try_from(year * 10_000 + month * 100 + day).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_from_power_on_until_it_is_told() {
        let at = Duration::from_secs;
        let mut clock = Clock::new(at(100));
        assert_eq!((clock.t(at(120)), clock.unix(at(120))), (20, None));
        assert!(!clock.set(1_700_000_000_000, at(120)), "milliseconds");
        assert!(clock.set(1_700_000_000, at(120)));
        assert_eq!(clock.t(at(130)), 1_700_000_010);
    }

    #[test]
    fn the_wall_shows_the_zone_and_its_summer() {
        let berlin = Zone {
            std: Some("+01:00".into()),
            now: Some("+02:00".into()),
            dst: vec![[1_774_746_000, 1_792_890_000]],
        };
        let local = |zone: &Zone, unix| {
            let l = zone.local(unix);
            (l.date, l.minute, l.weekday)
        };
        // 2026-03-29 00:59 UTC is 01:59 in Berlin; a minute later it is 03:00. A Sunday.
        assert_eq!(local(&berlin, 1_774_745_940), (20_260_329, 119, 0));
        assert_eq!(local(&berlin, 1_774_746_000), (20_260_329, 180, 0));
        assert_eq!(local(&Zone::default(), 0), (19_700_101, 0, 4));
        let told = Zone { now: Some("-03:30".into()), ..Zone::default() };
        assert_eq!(local(&told, 1_709_251_200), (20_240_229, 20 * 60 + 30, 4), "a leap day, a Thursday");
        let mut zone = berlin.clone();
        zone.update(Zone::default());
        assert_eq!(zone, berlin, "what is not told stays");
    }

    #[test]
    fn offsets_are_checked() {
        assert_eq!((offset("+05:45"), offset("-10:00")), (Some(20_700), Some(-36_000)));
        for bad in ["", "1:00", "+99:00", "+1", "+aa:bb", "+01:60", "ä"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }
}
