//! Times and durations as people write them in queries.

use std::time::Duration;

use super::answer::Answer;

/// The end of the year 9999, which every database and calendar can hold.
const LATEST_MS: u64 = 253_402_300_799_999;

/// Milliseconds of a duration: `500ms`, `30s`, `15m`, `1h`, `7d`, `2w`; a bare number is seconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1.0,
        "" | "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        "w" => 604_800_000.0,
        _ => return None,
    };
    let ms = number.parse::<f64>().ok()? * unit_ms;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    (ms.is_finite() && ms <= LATEST_MS as f64).then(|| ms.round() as u64)
}

/// A moment: RFC 3339, milliseconds since 1970, `now`, or so long before now (`-1h`).
pub(super) fn moment(name: &str, text: &str, now_ms: u64) -> Result<u64, Answer> {
    let text = text.trim();
    let ms = if text == "now" {
        Some(now_ms)
    } else if let Some(ago) = text.strip_prefix('-') {
        duration_ms(ago).map(|ago| now_ms.saturating_sub(ago))
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        // A `+` in a query arrives as a space.
        let text = text.replace(' ', "+");
        text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok())
    };
    ms.filter(|ms| *ms <= LATEST_MS).ok_or_else(|| {
        Answer::bad("query.time", format!("{name}={text:?} is no moment"))
            .hint("write 2026-03-01T12:00:00Z, milliseconds since 1970, now, or -1h")
    })
}

/// A time to wait, within bounds.
pub(super) fn timeout(text: &str) -> Result<Duration, Answer> {
    duration_ms(text).ok_or_else(|| bad_timeout(text)).and_then(timeout_ms)
}

/// The same in milliseconds.
pub(super) fn timeout_ms(ms: u64) -> Result<Duration, Answer> {
    if (100..=60_000).contains(&ms) {
        Ok(Duration::from_millis(ms))
    } else {
        Err(bad_timeout(&format!("{ms} ms")))
    }
}

fn bad_timeout(text: &str) -> Answer {
    Answer::bad("query.timeout", format!("{text:?} is no time to wait")).hint("write 100ms to 60s")
}

/// A span of time, from before to.
pub(super) fn range(
    from: Option<&str>,
    to: Option<&str>,
    usual: &str,
    now_ms: u64,
) -> Result<(u64, u64), Answer> {
    let from_ms = moment("from", from.unwrap_or(usual), now_ms)?;
    let to_ms = moment("to", to.unwrap_or("now"), now_ms)?;
    if from_ms >= to_ms {
        let said = format!("from ({from_ms} ms) is not before to ({to_ms} ms)");
        return Err(Answer::bad("query.range", said));
    }
    Ok((from_ms, to_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_772_366_400_000;

    #[test]
    fn moments_are_read_in_all_their_forms() {
        for (text, ms) in [
            ("now", NOW),
            ("-1h", NOW - 3_600_000),
            ("-90", NOW - 90_000),
            ("-1.5d", NOW - 129_600_000),
            ("1772366400001", NOW + 1),
            ("2026-03-01T12:00:00Z", NOW),
            ("2026-03-01T13:00:00+01:00", NOW),
            ("2026-03-01T13:00:00 01:00", NOW),
            ("0", 0),
        ] {
            assert_eq!(moment("from", text, NOW).unwrap(), ms, "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "-",
            "-1y",
            "--1h",
            "1e9",
            "-1e400h",
            "99999999999999999999",
            "1960-01-01T00:00:00Z",
            "253402300800000",
        ] {
            assert!(moment("from", bad, NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_ranges_have_bounds() {
        assert_eq!(duration_ms("500ms"), Some(500));
        assert_eq!(duration_ms("2w"), Some(1_209_600_000));
        assert_eq!(timeout("5").unwrap(), Duration::from_secs(5));
        for bad in ["0", "61s", "99ms", "x", "-1s", "1..2s"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
        assert_eq!(range(None, None, "-24h", NOW).unwrap(), (NOW - 86_400_000, NOW));
        assert!(range(Some("now"), Some("now"), "-24h", NOW).is_err());
    }
}
