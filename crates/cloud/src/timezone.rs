//! The owner's time zone as devices understand it: a standard offset, the offset now, and the intervals in which an
//! hour is added (cloud.md 1.5, 6.3). Timers in devices go by it.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// How far ahead devices are told of daylight saving, years of 365.25 days. They ask again at every start, and some
/// start once in years.
const YEARS_AHEAD: i64 = 5;
/// Seconds of a year.
const YEAR: i64 = 31_557_600;
/// Most intervals that are told: answers have to stay below one KiB (sdk-observed.md 1).
const MAX_INTERVALS: usize = 6;
/// Devices count seconds in 32 bits with a sign.
const LAST_SECOND: i64 = i32::MAX as i64;

/// There is no such time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no time zone: {why}; names look like Europe/Berlin")]
pub struct ZoneError {
    /// The name given.
    pub name: String,
    /// What the time zone database says.
    pub why: String,
}

/// The time zone of this IANA name; without a name the system's, which is UTC where it has none.
///
/// # Errors
/// No such zone.
pub fn zone(name: Option<&str>) -> Result<TimeZone, ZoneError> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|e| ZoneError { name: name.to_owned(), why: e.to_string() })
}

/// An offset from UTC, written `+01:00` as devices read it: six characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(i32);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0.unsigned_abs() / 60;
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Serialize for Offset {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// What a device is told of a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Without daylight saving (`stdTimeZone`).
    pub standard: Offset,
    /// Now (`timeZone`).
    pub now: Offset,
    /// Daylight saving (`dstIntervals`): from and to, seconds since 1970-01-01 UTC, several years ahead. Empty where
    /// the clocks are never changed.
    pub dst: Vec<[u64; 2]>,
}

impl Rules {
    /// UTC.
    pub const UTC: Self = Self { standard: Offset(0), now: Offset(0), dst: Vec::new() };

    /// The rules of a zone at a time, seconds since 1970-01-01 UTC.
    ///
    /// Standard is the lesser offset of the years ahead, whatever the database calls it: Ireland's "standard" time is
    /// that of summer, and devices can only add.
    pub fn at(zone: &TimeZone, unix: u64) -> Self {
        let unix = i64::try_from(unix).unwrap_or(LAST_SECOND).min(LAST_SECOND);
        let Ok(now) = Timestamp::from_second(unix) else { return Self::UTC };
        let offset_now = zone.to_offset(now).seconds();
        // A period goes on until the next one starts; the first began at the last change before now.
        let began = zone.preceding(now).next().map_or(0, |t| t.timestamp().as_second());
        let mut periods = vec![(began, offset_now)];
        let horizon = unix + YEARS_AHEAD * YEAR;
        for change in zone.following(now) {
            let at = change.timestamp().as_second();
            periods.push((at, change.offset().seconds()));
            // One beyond the horizon ends the last interval.
            if at > horizon || periods.len() > 2 * MAX_INTERVALS + 1 {
                break;
            }
        }
        let standard = periods.iter().map(|(_, offset)| *offset).min().unwrap_or(offset_now);
        let mut dst = Vec::new();
        for (i, (from, offset)) in periods.iter().enumerate() {
            let to = periods.get(i + 1).map_or(LAST_SECOND, |(at, _)| *at);
            if *offset > standard && dst.len() < MAX_INTERVALS {
                let second = |s: i64| u64::try_from(s.clamp(0, LAST_SECOND)).unwrap_or(0);
                dst.push([second(*from), second(to)]);
            }
        }
        Self { standard: Offset(standard), now: Offset(offset_now), dst }
    }

    /// The rules of the configured zone. A name that the database lost since the start is UTC, and said so.
    pub(crate) fn of(name: Option<&str>, unix: u64) -> Self {
        match zone(name) {
            Ok(zone) => Self::at(&zone, unix),
            Err(e) => {
                tracing::warn!("{e}; devices are told UTC");
                Self::UTC
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-07-01 12:00 UTC.
    const JULY: u64 = 1_719_835_200;
    /// 2024-01-01 12:00 UTC.
    const JANUARY: u64 = 1_704_110_400;

    fn rules(name: &str, unix: u64) -> Rules {
        Rules::at(&zone(Some(name)).unwrap(), unix)
    }

    fn offsets(rules: &Rules) -> (String, String) {
        (rules.standard.to_string(), rules.now.to_string())
    }

    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_second().try_into().unwrap()
    }

    #[test]
    fn berlin_has_its_summers_of_several_years() {
        let summer = rules("Europe/Berlin", JULY);
        assert_eq!(offsets(&summer), ("+01:00".into(), "+02:00".into()));
        assert_eq!(summer.dst[0], [at("2024-03-31T01:00:00Z"), at("2024-10-27T01:00:00Z")]);
        assert_eq!(summer.dst[1], [at("2025-03-30T01:00:00Z"), at("2025-10-26T01:00:00Z")]);
        assert!((5..=MAX_INTERVALS).contains(&summer.dst.len()), "{summer:?}");
        let winter = rules("Europe/Berlin", JANUARY);
        assert_eq!(offsets(&winter), ("+01:00".into(), "+01:00".into()));
        assert_eq!(winter.dst[0], summer.dst[0]);
    }

    #[test]
    fn new_york_lies_west() {
        let winter = rules("America/New_York", JANUARY);
        assert_eq!(offsets(&winter), ("-05:00".into(), "-05:00".into()));
        assert_eq!(winter.dst[0], [at("2024-03-10T07:00:00Z"), at("2024-11-03T06:00:00Z")]);
        assert_eq!(offsets(&rules("America/New_York", JULY)), ("-05:00".into(), "-04:00".into()));
    }

    #[test]
    fn sydney_is_in_summer_when_berlin_is_not() {
        let summer = rules("Australia/Sydney", JANUARY);
        assert_eq!(offsets(&summer), ("+10:00".into(), "+11:00".into()));
        assert_eq!(summer.dst[0], [at("2023-09-30T16:00:00Z"), at("2024-04-06T16:00:00Z")]);
        let winter = rules("Australia/Sydney", JULY);
        assert_eq!(offsets(&winter), ("+10:00".into(), "+10:00".into()));
        assert_eq!(winter.dst[0][0], at("2024-10-05T16:00:00Z"));
    }

    #[test]
    fn zones_without_daylight_saving_have_no_intervals() {
        for (name, offset) in [("UTC", "+00:00"), ("Asia/Kolkata", "+05:30"), ("Asia/Shanghai", "+08:00")] {
            let rules = rules(name, JULY);
            assert_eq!(offsets(&rules), (offset.into(), offset.into()), "{name}");
            assert_eq!(rules.dst, Vec::<[u64; 2]>::new(), "{name}");
        }
    }

    #[test]
    fn ireland_adds_in_summer_though_the_database_subtracts_in_winter() {
        let summer = rules("Europe/Dublin", JULY);
        assert_eq!(offsets(&summer), ("+00:00".into(), "+01:00".into()));
        assert_eq!(summer.dst[0], [at("2024-03-31T01:00:00Z"), at("2024-10-27T01:00:00Z")]);
    }

    #[test]
    fn a_zone_whose_offset_was_changed_for_good_is_told_as_it_is_now() {
        // Kazakhstan went from six hours to five in March 2024.
        let rules = rules("Asia/Almaty", JULY);
        assert_eq!(offsets(&rules), ("+05:00".into(), "+05:00".into()));
        assert!(rules.dst.is_empty());
    }

    #[test]
    fn names_that_are_none_are_refused_and_any_second_has_rules() {
        let e = zone(Some("Europe/Bärlin")).unwrap_err().to_string();
        assert!(e.starts_with("\"Europe/Bärlin\" is no time zone"), "{e}");
        assert!(zone(None).is_ok());
        assert_eq!(Rules::of(Some("nowhere"), JULY), Rules::UTC);
        for unix in [0, 1, u64::MAX, i64::MAX as u64, LAST_SECOND as u64] {
            let rules = rules("Europe/Berlin", unix);
            assert!(rules.dst.iter().all(|[from, to]| from <= to), "{rules:?}");
        }
    }
}
