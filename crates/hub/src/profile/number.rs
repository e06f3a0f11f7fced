//! Whole numbers of points as decimals for people, and back. Exact: 2305 with one place is 230.5, never 230.50000000000003.

use serde_json::Value;

/// More places than this no point has.
pub(crate) const MAX_PLACES: i8 = 18;

/// `n / 10^places` as a JSON number. The decimal text is what is parsed, so that the nearest float prints as that text.
pub(crate) fn decimal(n: i64, places: i8) -> Value {
    if places <= 0 {
        let factor = 10_i64.checked_pow(u32::from(places.unsigned_abs()));
        return match factor.and_then(|f| n.checked_mul(f)) {
            Some(n) => Value::from(n),
            #[allow(clippy::cast_precision_loss)] // beyond 64 bits only the magnitude matters
            None => Value::from(n as f64 * 10_f64.powi(i32::from(-places))),
        };
    }
    let places = usize::from(places.min(MAX_PLACES).unsigned_abs());
    let digits = format!("{:0>width$}", n.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let text = format!("{}{whole}.{fraction}", if n < 0 { "-" } else { "" });
    text.parse::<f64>().map_or(Value::Null, Value::from)
}

/// Why a value is no number of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misread {
    /// Not a number.
    NotANumber,
    /// More decimal places than the point has.
    TooFine,
    /// Beyond what any point holds.
    TooLarge,
}

impl Misread {
    /// In words, after the value.
    pub(crate) fn words(self, places: i8) -> String {
        match self {
            Self::NotANumber => "is not a number".to_owned(),
            Self::TooFine if places <= 0 => "is finer than the point can hold".to_owned(),
            Self::TooFine => format!("has more than {places} decimal places"),
            Self::TooLarge => "is larger than any point can hold".to_owned(),
        }
    }
}

/// `value * 10^places` as a whole number; text that holds a number counts as one.
pub(crate) fn whole(value: &Value, places: i8) -> Result<i64, Misread> {
    let text = match value {
        Value::Number(n) => n.to_string(),
        Value::String(t) => t.trim().to_owned(),
        _ => return Err(Misread::NotANumber),
    };
    parse(&text, places)
}

fn parse(text: &str, places: i8) -> Result<i64, Misread> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().map_err(|_| Misread::NotANumber)?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let after = after.trim_end_matches('0');
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if before.is_empty() && after.is_empty() || !all_digits(before) || !all_digits(after) {
        return Err(Misread::NotANumber);
    }
    let digits = format!("{before}{after}");
    let mut n: i128 = 0;
    for b in digits.trim_start_matches('0').bytes() {
        n = n.checked_mul(10).and_then(|n| n.checked_add(i128::from(b - b'0'))).ok_or(Misread::TooLarge)?;
    }
    if n == 0 {
        return Ok(0);
    }
    let after = i32::try_from(after.len()).map_err(|_| Misread::TooFine)?;
    let mut shift = exponent
        .checked_sub(after)
        .and_then(|s| s.checked_add(i32::from(places)))
        .ok_or(Misread::TooLarge)?;
    while shift > 0 {
        n = n.checked_mul(10).ok_or(Misread::TooLarge)?;
        shift -= 1;
    }
    while shift < 0 {
        if n % 10 != 0 {
            return Err(Misread::TooFine);
        }
        n /= 10;
        shift += 1;
    }
    i64::try_from(if negative { -n } else { n }).map_err(|_| Misread::TooLarge)
}

/// Maps `n` from one range onto another, to the nearest whole number; beyond the ends it stays at the end. Where the
/// target has at least as many numbers as the source, going there and back gives the same number again.
pub(crate) fn scale_range(n: i64, from: (i64, i64), to: (i64, i64)) -> i64 {
    let wide = |(a, b): (i64, i64)| (i128::from(a), i128::from(b));
    let ((f0, f1), (t0, t1)) = (wide(from), wide(to));
    let span = (f1 - f0).abs();
    if span == 0 {
        return to.0;
    }
    let at = if f1 > f0 { i128::from(n) - f0 } else { f0 - i128::from(n) }.clamp(0, span);
    let width = (t1 - t0).abs();
    let off = (at * width * 2 + span) / (span * 2);
    let mapped = if t1 >= t0 { t0 + off } else { t0 - off };
    // Between two i64 always.
    i64::try_from(mapped).unwrap_or(to.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn decimals_have_no_noise() {
        assert_eq!(decimal(2305, 1).to_string(), "230.5");
        assert_eq!(decimal(-7, 3).to_string(), "-0.007");
        assert_eq!(decimal(5, 0).to_string(), "5");
        assert_eq!(decimal(5, -3).to_string(), "5000");
        assert_eq!(decimal(2300, 1).to_string(), "230.0");
        assert_eq!(decimal(1873, 1).to_string(), "187.3");
    }

    #[test]
    fn what_is_too_fine_is_refused_and_not_rounded() {
        assert_eq!(whole(&json!(21.5), 1), Ok(215));
        assert_eq!(whole(&json!("21.50"), 1), Ok(215));
        assert_eq!(whole(&json!(21.55), 1), Err(Misread::TooFine));
        assert_eq!(whole(&json!(5000), -3), Ok(5));
        assert_eq!(whole(&json!(5001), -3), Err(Misread::TooFine));
        assert_eq!(whole(&json!(2e3), 0), Ok(2000));
        assert_eq!(whole(&json!(1e-3), 3), Ok(1));
        assert_eq!(whole(&json!("12 apples"), 0), Err(Misread::NotANumber));
        assert_eq!(whole(&json!("."), 0), Err(Misread::NotANumber));
        assert_eq!(whole(&json!(null), 0), Err(Misread::NotANumber));
        assert_eq!(whole(&json!("1e99999"), 0), Err(Misread::TooLarge));
        assert_eq!(whole(&json!(1e300), 0), Err(Misread::TooLarge));
        assert_eq!(whole(&json!("0e999999999"), 0), Ok(0));
    }

    proptest! {
        #[test]
        fn there_and_back(n in -999_999_999_999_999_i64..=999_999_999_999_999, places in -3_i8..=9) {
            let shown = decimal(n, places);
            prop_assert_eq!(whole(&shown, places), Ok(n));
            // At most as many digits after the point as there are places.
            let text = shown.to_string();
            if !text.contains('e') {
                let after = text.split_once('.').map_or(0, |(_, f)| f.len());
                prop_assert!(after <= usize::from(places.max(1).unsigned_abs()), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", places in -18_i8..=18) {
            let _whatever = whole(&Value::String(text), places);
        }

        #[test]
        fn the_smaller_range_survives_the_larger(a in 0_i64..=254, up in any::<bool>()) {
            let to = if up { (10, 1000) } else { (1000, 10) };
            prop_assert_eq!(scale_range(scale_range(a + 1, (1, 255), to), to, (1, 255)), a + 1);
            let old = 25 + a % 231;
            prop_assert_eq!(scale_range(scale_range(old, (25, 255), (1, 255)), (1, 255), (25, 255)), old);
        }
    }
}
