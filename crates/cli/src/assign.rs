//! `DP=VALUE` of the command line.

use anyhow::anyhow;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{DpKind, DpSpec, MisfitError, Schema};

use crate::failure::Failure;
use crate::hint::any_of;
use crate::render::clean;

/// What somebody wants to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignments {
    /// The points with their values.
    pub(crate) dps: Dps,
    /// Points of which nothing is known and whose value is the word `on` or `off`: a bool on most, a word on some.
    /// What the device reports decides.
    pub(crate) undecided: Vec<DpId>,
    /// Points that the product's list does not have; makers hide some, so they are sent all the same.
    pub(crate) unlisted: Vec<DpId>,
}

/// Finds a point by number or code.
///
/// # Errors
/// No number, and no point is called so.
pub(crate) fn point(schema: &Schema, asked: &str) -> Result<DpId, Failure> {
    if let Ok(id) = asked.parse::<DpId>() {
        return Ok(id);
    }
    if let Some(id) = schema.by_code(asked) {
        return Ok(id);
    }
    let error = anyhow!("no data point is called {:?}", clean(asked));
    if schema.0.is_empty() {
        return Err(Failure::with_hint(
            error,
            "nothing is known of this device's points: use numbers, or import a devices.json with a mapping",
        ));
    }
    let mut near: Vec<(f64, String)> = schema
        .0
        .values()
        .map(|s| (strsim::jaro_winkler(&asked.to_lowercase(), &s.code.to_lowercase()), s.code.to_string()))
        .filter(|(score, _)| *score >= 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<String> = near.into_iter().take(3).map(|(_, code)| code).collect();
    let hint = if near.is_empty() {
        let all: Vec<String> = schema.0.iter().map(|(id, s)| format!("{id} {}", s.code)).collect();
        format!("it has: {}", all.join(", "))
    } else {
        format!("did you mean {}?", any_of(&near))
    };
    Err(Failure::with_hint(error, hint))
}

/// Reads all assignments.
///
/// # Errors
/// Not of the form, no such point, or a value that the point does not take.
pub(crate) fn parse(schema: &Schema, texts: &[String]) -> Result<Assignments, Failure> {
    let mut all = Assignments { dps: Dps::new(), undecided: Vec::new(), unlisted: Vec::new() };
    for text in texts {
        let Some((dp, value)) = text.split_once('=').filter(|(dp, _)| !dp.is_empty()) else {
            return Err(Failure::misuse(
                anyhow!("{:?} is no assignment", clean(text)),
                "write DP=VALUE, for instance 1=on or switch_1=true",
            ));
        };
        let id = point(schema, dp.trim())?;
        if all.dps.value(id).is_some() {
            return Err(Failure::misuse(
                anyhow!("data point {id} is given twice"),
                "a command carries one value for a point",
            ));
        }
        let spec = schema.spec(id);
        let value = value_of(spec, id, value)?;
        let value = match schema.check_write(id, value.clone()) {
            Ok(checked) => checked,
            Err(MisfitError::UnknownPoint { .. }) => {
                all.unlisted.push(id);
                value
            }
            Err(e) => return Err(e.into()),
        };
        if spec.is_none() && matches!(&value, DpValue::String(w) if switch_word(w).is_some()) {
            all.undecided.push(id);
        }
        all.dps.insert(id, value);
    }
    Ok(all)
}

/// `on` and `off`.
pub(crate) fn switch_word(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// The text as a value: what the point takes decides, then JSON, then a plain word.
fn value_of(spec: Option<&DpSpec>, id: DpId, text: &str) -> Result<DpValue, Failure> {
    let json = serde_json::from_str::<DpValue>(text).ok();
    let Some(spec) = spec else {
        if text == "null" {
            return Err(Failure::misuse(
                anyhow!("null is no value"),
                "to write the word null, put it in quotes: '\"null\"'",
            ));
        }
        return Ok(json.unwrap_or_else(|| DpValue::text(text)));
    };
    Ok(match (&spec.kind, json) {
        (DpKind::Bool, Some(v)) => v,
        (DpKind::Bool, None) => switch_word(text).map_or_else(|| DpValue::text(text), DpValue::Bool),
        // Text that happens to be JSON is text all the same: an enum may have the words 1, true...
        (DpKind::Enum(_) | DpKind::String(_) | DpKind::Raw(_), Some(v @ DpValue::String(_))) => v,
        (DpKind::Enum(_) | DpKind::String(_) | DpKind::Raw(_), _) => DpValue::text(text),
        (DpKind::Value { scale, unit, .. }, Some(DpValue::Json(_))) if *scale > 0 => {
            return Err(fraction(id, &spec.code, *scale, unit, text));
        }
        (_, json) => json.unwrap_or_else(|| DpValue::text(text)),
    })
}

/// A fraction for a point that counts in tenths or the like.
fn fraction(id: DpId, code: &str, scale: u8, unit: &str, text: &str) -> Failure {
    let error = anyhow!("data point {id} ({code}) takes a whole number, not {}", clean(text));
    let whole = text.trim().parse::<f64>().ok().map(|f| f * 10_f64.powi(i32::from(scale)));
    let hint = match whole.filter(|w| (w - w.round()).abs() < 1e-6 && w.abs() < 9e15) {
        Some(w) => format!("it counts in steps of 10^-{scale} {unit}: write {w:.0}"),
        None => format!("it counts in steps of 10^-{scale} {unit}"),
    };
    Failure::with_hint(error, hint.replace(" :", ":").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use landfall_proto::schema::Access;

    use super::*;

    fn schema() -> Schema {
        let spec = |code: &str, kind| DpSpec::new(code, kind, Access::Rw);
        Schema(BTreeMap::from([
            (DpId(1), spec("switch_1", DpKind::Bool)),
            (
                DpId(2),
                spec("temp_set", DpKind::Value { min: 50, max: 350, step: 5, scale: 1, unit: "°C".into() }),
            ),
            (DpId(4), spec("mode", DpKind::Enum(["auto".into(), "1".into(), "true".into()].into()))),
            (DpId(5), spec("note", DpKind::String(8))),
        ]))
    }

    fn one(schema: &Schema, text: &str) -> Result<Dps, String> {
        parse(schema, &[text.to_owned()]).map(|a| a.dps).map_err(|f| match f {
            Failure::Request { error, hint } | Failure::Misuse { error, hint } => {
                let hint = hint.or_else(|| crate::hint::of(&error)).unwrap_or_default();
                format!("{error} | {hint}")
            }
            other => format!("{other:?}"),
        })
    }

    fn value(schema: &Schema, text: &str) -> DpValue {
        one(schema, text).unwrap().into_iter().next().unwrap().1
    }

    #[test]
    fn the_point_decides_what_a_word_means() {
        let s = schema();
        for on in ["switch_1=on", "1=ON", "1=true"] {
            assert_eq!(value(&s, on), DpValue::Bool(true), "{on}");
        }
        assert_eq!(value(&s, "temp_set=215"), DpValue::Value(215));
        assert_eq!(value(&s, "mode=1"), DpValue::Enum("1".into()));
        assert_eq!(value(&s, "mode=true"), DpValue::Enum("true".into()));
        assert_eq!(value(&s, "mode=\"auto\""), DpValue::Enum("auto".into()));
        assert_eq!(value(&s, "note=a=b"), DpValue::text("a=b"));
    }

    #[test]
    fn without_a_schema_json_then_words() {
        let none = Schema::default();
        assert_eq!(value(&none, "1=true"), DpValue::Bool(true));
        assert_eq!(value(&none, "2=-7"), DpValue::Value(-7));
        assert_eq!(value(&none, "3=white"), DpValue::text("white"));
        assert_eq!(value(&none, "4={\"a\": 1}"), DpValue::Json("{\"a\":1}".into()));
        let on = parse(&none, &["1=on".to_owned()]).unwrap();
        assert_eq!(on.undecided, [DpId(1)]);
    }

    #[test]
    fn misfits_are_explained() {
        let s = schema();
        let e = |text: &str| one(&s, text).unwrap_err();
        assert_eq!(
            e("1=maybe"),
            "dp 1 (switch_1) takes a bool, not the string maybe | give on or off (true, false)"
        );
        assert_eq!(e("temp_set=900"), "dp 2 (temp_set) takes 50 to 350, not 900 | nothing was sent");
        assert_eq!(
            e("temp_set=21.5"),
            "data point 2 (temp_set) takes a whole number, not 21.5 | it counts in steps of 10^-1 °C: write 215"
        );
        assert_eq!(e("mode=boost"), "dp 4 (mode) takes one of auto, 1, true, not boost | nothing was sent");
        assert_eq!(e("swich_1=on"), "no data point is called \"swich_1\" | did you mean \"switch_1\"?");
        assert_eq!(
            e("zzz=on"),
            "no data point is called \"zzz\" | it has: 1 switch_1, 2 temp_set, 4 mode, 5 note"
        );
        assert!(e("1").contains("is no assignment"));
        assert!(parse(&s, &["1=on".to_owned(), "switch_1=off".to_owned()]).is_err());
        assert_eq!(parse(&s, &["101=5".to_owned()]).unwrap().unlisted, [DpId(101)]);
    }
}
