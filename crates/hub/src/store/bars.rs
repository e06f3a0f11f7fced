//! Where hours, days and months of a home begin.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::{Bar, Span, StoreError};
use crate::model::MilliWattHours;

/// Most bars of one answer: more than a year of hours.
pub const MOST_BARS: usize = 10_000;

/// Bounds of the spans that touch a time: one more than there are spans.
///
/// # Errors
/// Times beyond the calendar, or more than [`MOST_BARS`].
pub(super) fn bounds(from_ms: u64, to_ms: u64, span: Span, zone: &TimeZone) -> Result<Vec<u64>, StoreError> {
    let wrong = |e: jiff::Error| StoreError::Asked(format!("from {from_ms} to {to_ms}: {e}"));
    let at = |ms: u64| Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)).map_err(wrong);
    at(to_ms)?;
    let mut start = first(&at(from_ms)?.to_zoned(zone.clone()), span).map_err(wrong)?;
    let mut bounds = vec![millis(&start)];
    while millis(&start) < to_ms {
        start = next(&start, span).map_err(wrong)?;
        bounds.push(millis(&start));
        if bounds.len() > MOST_BARS + 1 {
            return Err(StoreError::Asked(format!(
                "from {from_ms} to {to_ms} are more than {MOST_BARS} spans: ask for a shorter time or wider spans"
            )));
        }
    }
    Ok(bounds)
}

/// Bars between bounds, from the totals at them.
pub(super) fn bars(bounds: &[u64], totals: &[i64]) -> Vec<Bar> {
    bounds
        .windows(2)
        .zip(totals.windows(2))
        .map(|(bound, total)| Bar {
            from_ms: bound[0],
            to_ms: bound[1],
            used: MilliWattHours(total[1].saturating_sub(total[0]).max(0)),
        })
        .collect()
}

fn millis(at: &Zoned) -> u64 {
    u64::try_from(at.timestamp().as_millisecond()).unwrap_or(0)
}

fn first(at: &Zoned, span: Span) -> Result<Zoned, jiff::Error> {
    match span {
        Span::Hour => {
            let into = i64::from(at.minute()) * 60_000
                + i64::from(at.second()) * 1_000
                + i64::from(at.millisecond());
            at.checked_sub(into.milliseconds())
        }
        Span::Day => at.start_of_day(),
        Span::Month => at.first_of_month()?.start_of_day(),
    }
}

fn next(start: &Zoned, span: Span) -> Result<Zoned, jiff::Error> {
    match span {
        Span::Hour => {
            let end = start.checked_add(1.hour())?;
            let whole = first(&end, span)?;
            // Where clocks move by half an hour, the hour is what it is.
            Ok(if whole.offset() == end.offset() && whole > *start { whole } else { end })
        }
        Span::Day => start.tomorrow()?.start_of_day(),
        Span::Month => start.checked_add(1.month())?.first_of_month()?.start_of_day(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(zone: &str, from: &str, to: &str, span: Span) -> Vec<u64> {
        let zone = TimeZone::get(zone).unwrap();
        let at = |text: &str| {
            let civil: jiff::civil::DateTime = text.parse().unwrap();
            millis(&civil.to_zoned(zone.clone()).unwrap())
        };
        let bounds = bounds(at(from), at(to), span, &zone).unwrap();
        bounds.windows(2).map(|b| (b[1] - b[0]) / 60_000).collect()
    }

    #[test]
    fn days_have_23_and_25_hours() {
        assert_eq!(
            lengths("Europe/Berlin", "2026-03-28T12:00", "2026-03-30T12:00", Span::Day),
            [1440, 1380, 1440]
        );
        assert_eq!(lengths("Europe/Berlin", "2026-10-24T12:00", "2026-10-26T00:00", Span::Day), [1440, 1500]);
        let hours = lengths("Europe/Berlin", "2026-10-25T00:00", "2026-10-26T00:00", Span::Hour);
        assert_eq!((hours.len(), hours.iter().all(|h| *h == 60)), (25, true));
        assert_eq!(
            lengths("Europe/Berlin", "2026-03-05T00:00", "2026-04-05T00:00", Span::Month),
            [44_580, 43_200]
        );
    }

    #[test]
    fn hours_begin_where_the_home_s_clock_says() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        let bounds = bounds(1_800_000_000_000, 1_800_003_600_000, Span::Hour, &zone).unwrap();
        assert!(bounds.iter().all(|b| b % 3_600_000 == 1_800_000), "{bounds:?}");
        let hours = lengths("Australia/Lord_Howe", "2026-10-03T22:00", "2026-10-04T05:00", Span::Hour);
        assert_eq!(hours.iter().sum::<u64>(), 60 * 7 - 30);
    }

    #[test]
    fn too_many_bars_are_refused() {
        let error = bounds(0, 4_000_000_000_000, Span::Hour, &TimeZone::UTC).unwrap_err().to_string();
        assert!(error.contains("10000 spans"), "{error}");
        assert!(bounds(0, u64::MAX, Span::Month, &TimeZone::UTC).is_err());
    }
}
