//! The text by which a device learns its points at activation (cloud.md 1.4, 4.8) and back:
//! `[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"}]`.
//!
//! Codes, units and labels have no place in it; [`Schema::name_from`] adds them where another description knows them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::dp::DpId;
use crate::schema::{Access, DpKind, DpSpec, Schema};

/// Longest text that is read, in bytes; devices take at most 5 KiB.
pub const MAX_TEXT: usize = 64 * 1024;
/// More points than any device has.
pub const MAX_POINTS: usize = 512;
/// Told where a text may have any length: the usual limit (lan.md 8).
const USUAL_MAXLEN: usize = 255;
/// Told where the labels of a bitmap are unknown; a device's number has 32 bits with sign.
const USUAL_BITS: usize = 30;

/// Why a text is no activation schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaTextError {
    /// Longer than any device takes.
    #[error("the activation schema has {0} bytes, more than {MAX_TEXT}")]
    TooLong(usize),
    /// Not JSON.
    #[error("the activation schema is not JSON: line {line}, column {column}")]
    NotJson {
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
    },
    /// JSON, but no list.
    #[error("the activation schema is no list of points")]
    NotAList,
    /// More points than any device has.
    #[error("the activation schema lists {0} points, more than {MAX_POINTS}")]
    TooMany(usize),
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The points. Of points listed twice the last stands.
    pub schema: Schema,
    /// Entries that were not understood: without a number, or of a type that we don't know.
    pub skipped: usize,
}

/// Reads an activation schema. Single entries that make no sense are skipped and counted.
///
/// # Errors
/// Not a list in JSON, or beyond the limits.
pub fn parse(text: &str) -> Result<Read, SchemaTextError> {
    if text.len() > MAX_TEXT {
        return Err(SchemaTextError::TooLong(text.len()));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|e| SchemaTextError::NotJson { line: e.line(), column: e.column() })?;
    let Value::Array(list) = value else { return Err(SchemaTextError::NotAList) };
    if list.len() > MAX_POINTS {
        return Err(SchemaTextError::TooMany(list.len()));
    }
    let mut points = BTreeMap::new();
    let mut skipped = 0;
    for entry in &list {
        match entry.as_object().and_then(point) {
            Some((id, spec)) => drop(points.insert(id, spec)),
            None => skipped += 1,
        }
    }
    Ok(Read { schema: Schema(points), skipped })
}

fn point(entry: &Map<String, Value>) -> Option<(DpId, DpSpec)> {
    let id = DpId(u16::try_from(whole(entry.get("id")?)?).ok()?);
    let none = Map::new();
    let property = entry.get("property").and_then(Value::as_object).unwrap_or(&none);
    let word =
        |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = match word(property, "type").or_else(|| word(entry, "type"))?.as_str() {
        "bool" => DpKind::Bool,
        "value" => {
            let number = |name, otherwise| property.get(name).and_then(whole).unwrap_or(otherwise);
            let (min, max) = (number("min", i64::MIN), number("max", i64::MAX));
            let scale = u8::try_from(number("scale", 0)).ok().filter(|s| *s <= 12)?;
            if min > max {
                return None;
            }
            DpKind::Value { min, max, step: number("step", 1).max(1), scale, unit: Box::default() }
        }
        "enum" => {
            let words =
                property.get("range").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            DpKind::Enum(words.iter().filter_map(Value::as_str).map(Into::into).collect())
        }
        "string" => DpKind::String(length(property)),
        "raw" => DpKind::Raw(length(property)),
        "bitmap" => DpKind::Bitmap(vec![Box::default(); length(property).min(32)].into()),
        _ => return None,
    };
    let access = match entry.get("mode").and_then(Value::as_str) {
        Some("ro") => Access::Ro,
        Some("wr") => Access::Wr,
        _ => Access::Rw,
    };
    let passive = entry.get("passive").and_then(Value::as_bool).unwrap_or(false);
    let trigger = word(entry, "trigger").unwrap_or_default().into();
    Some((id, DpSpec { passive, trigger, ..DpSpec::new("", kind, access) }))
}

/// A whole number, as one or as text.
fn whole(v: &Value) -> Option<i64> {
    match v {
        Value::Number(n) => n.as_i64(),
        Value::String(t) => t.trim().parse().ok(),
        _ => None,
    }
}

fn length(property: &Map<String, Value>) -> usize {
    let n = property.get("maxlen").and_then(whole).filter(|n| *n > 0);
    n.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX)
}

#[derive(Serialize)]
struct Entry<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<Property<'a>>,
    id: u16,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_false")]
    passive: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    trigger: &'a str,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(b: &bool) -> bool {
    !*b
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Property<'a> {
    Bool,
    Value { min: i32, max: i32, scale: u8, step: i32 },
    Enum { range: &'a [Box<str>] },
    String { maxlen: usize },
    Bitmap { maxlen: usize },
}

/// Writes an activation schema of at most `max` bytes. Points that no longer fit are left out, those with the highest
/// numbers first; the second value says how many. A device does not handle points it was not told of.
///
/// # Errors
/// None that points could cause; what the JSON writer says is passed on.
pub fn write(schema: &Schema, max: usize) -> Result<(String, usize), serde_json::Error> {
    let mut text = String::from("[");
    let mut left_out = 0;
    for (id, spec) in &schema.0 {
        let entry = serde_json::to_string(&entry(*id, spec))?;
        let comma = usize::from(text.len() > 1);
        // The bracket at the end counts, too.
        if text.len() + comma + entry.len() + 1 > max {
            left_out += 1;
            continue;
        }
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&entry);
    }
    text.push(']');
    Ok((text, left_out))
}

fn entry(id: DpId, spec: &DpSpec) -> Entry<'_> {
    let property = match &spec.kind {
        DpKind::Bool => Some(Property::Bool),
        DpKind::Value { min, max, step, scale, .. } => {
            let (min, max, step) = (narrow(*min), narrow(*max), narrow(*step));
            Some(Property::Value { min, max, scale: *scale, step })
        }
        DpKind::Enum(words) => Some(Property::Enum { range: words }),
        DpKind::String(usize::MAX) => Some(Property::String { maxlen: USUAL_MAXLEN }),
        DpKind::String(n) => Some(Property::String { maxlen: *n }),
        DpKind::Raw(_) => None,
        DpKind::Bitmap(labels) if labels.is_empty() => Some(Property::Bitmap { maxlen: USUAL_BITS }),
        DpKind::Bitmap(labels) => Some(Property::Bitmap { maxlen: labels.len() }),
    };
    let mode = match spec.access {
        Access::Rw => "rw",
        Access::Ro => "ro",
        Access::Wr => "wr",
    };
    let kind = if property.is_some() { "obj" } else { "raw" };
    Entry { mode, property, id: id.0, kind, passive: spec.passive, trigger: &spec.trigger }
}

/// Devices keep these numbers in 32 bits.
fn narrow(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(if n < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of cloud.md 4.8 and one of each kind.
    const ALL: &str = concat!(
        r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"},"#,
        r#"{"mode":"ro","property":{"type":"value","min":0,"max":30000,"scale":0,"step":1},"id":4,"type":"obj","passive":true,"trigger":"pulse"},"#,
        r#"{"mode":"rw","property":{"type":"enum","range":["white","colour"]},"id":21,"type":"obj"},"#,
        r#"{"mode":"wr","property":{"type":"string","maxlen":14},"id":24,"type":"obj"},"#,
        r#"{"mode":"rw","id":25,"type":"raw"},"#,
        r#"{"mode":"ro","property":{"type":"bitmap","maxlen":2},"id":26,"type":"obj"}]"#,
    );

    #[test]
    fn every_kind_reads_and_writes_back() {
        let Read { schema, skipped } = parse(ALL).unwrap();
        assert_eq!((schema.0.len(), skipped), (6, 0));
        let spec = |n| schema.spec(DpId(n)).unwrap();
        assert!(spec(4).passive && &*spec(4).trigger == "pulse" && spec(4).access == Access::Ro);
        assert_eq!(spec(21).kind, DpKind::Enum(["white".into(), "colour".into()].into()));
        assert_eq!((&spec(24).kind, spec(24).access), (&DpKind::String(14), Access::Wr));
        assert_eq!(spec(25).kind, DpKind::Raw(usize::MAX));
        assert_eq!(spec(26).kind, DpKind::Bitmap(["".into(), "".into()].into()));
        assert_eq!(write(&schema, 5 * 1024).unwrap(), (ALL.to_owned(), 0));
    }

    /// The schema in `vectors/cloud.json` (http-reply of an activation), whose fields stand in another order.
    #[test]
    fn the_order_of_fields_is_free_and_single_entries_may_be_strange() {
        let vector = r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"},{"mode":"rw","property":{"min":0,"max":86400,"scale":0,"step":1,"type":"value"},"id":2,"type":"obj"}]"#;
        let read = parse(vector).unwrap();
        assert_eq!(read.skipped, 0);
        let kind = DpKind::Value { min: 0, max: 86_400, step: 1, scale: 0, unit: "".into() };
        assert_eq!(read.schema.spec(DpId(2)).unwrap().kind, kind);
        let strange = r#"[{"id":"7","type":"obj","property":{"type":"bool"}},{"type":"raw"},5,{"id":8},
            {"id":9,"type":"obj","property":{"type":"colour"}},{"id":70000,"type":"raw"},
            {"id":10,"type":"obj","property":{"type":"value","min":"5","max":1}},{"id":11,"type":"raw","mode":3}]"#;
        let read = parse(strange).unwrap();
        assert_eq!(read.schema.0.keys().copied().collect::<Vec<_>>(), [DpId(7), DpId(11)]);
        assert_eq!(read.skipped, 6);
    }

    #[test]
    fn what_is_no_schema_is_refused_and_sizes_are_bounded() {
        assert_eq!(parse("{}"), Err(SchemaTextError::NotAList));
        assert_eq!(parse("[1"), Err(SchemaTextError::NotJson { line: 1, column: 2 }));
        assert!(matches!(parse(&" ".repeat(MAX_TEXT + 1)), Err(SchemaTextError::TooLong(_))));
        let many = format!("[{}1]", "1,".repeat(MAX_POINTS));
        assert_eq!(parse(&many), Err(SchemaTextError::TooMany(MAX_POINTS + 1)));
        assert!(parse(&"[".repeat(5_000)).is_err());
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let schema = Schema((1..=60).map(|n| (DpId(n), DpSpec::new("", DpKind::Bool, Access::Rw))).collect());
        let (text, left_out) = write(&schema, 1_000).unwrap();
        assert!(text.len() <= 1_000 && left_out > 0);
        let kept = parse(&text).unwrap().schema;
        assert_eq!(kept.0.len() + left_out, 60);
        assert!(kept.spec(DpId(1)).is_some() && kept.spec(DpId(60)).is_none());
    }

    #[test]
    fn limits_that_devices_have_no_room_for_are_narrowed() {
        let value = DpKind::Value { min: i64::MIN, max: i64::MAX, step: 1, scale: 0, unit: "W".into() };
        let points = [
            (DpId(1), DpSpec::new("power", value, Access::Ro)),
            (DpId(2), DpSpec::new("text", DpKind::String(usize::MAX), Access::Rw)),
            (DpId(3), DpSpec::new("fault", DpKind::Bitmap(Box::default()), Access::Ro)),
        ];
        let (text, _) = write(&Schema(points.into()), 5 * 1024).unwrap();
        assert!(text.contains(r#""min":-2147483648,"max":2147483647"#), "{text}");
        assert!(text.contains(r#""maxlen":255"#) && text.contains(r#""maxlen":30"#), "{text}");
    }

    #[test]
    fn names_come_from_another_description() {
        let mut schema = parse(ALL).unwrap().schema;
        let mut known = schema.clone();
        let amps = DpKind::Value { min: 0, max: 1, step: 1, scale: 0, unit: "mA".into() };
        known.0.insert(DpId(1), DpSpec { action: true, ..DpSpec::new("switch_1", DpKind::Bool, Access::Rw) });
        known.0.insert(DpId(4), DpSpec::new("cur_current", amps, Access::Ro));
        known.0.insert(DpId(24), DpSpec::new("other", DpKind::Bool, Access::Rw));
        let labels = DpKind::Bitmap(["ov".into(), "oc".into(), "ot".into()].into());
        known.0.insert(DpId(26), DpSpec::new("fault", labels, Access::Ro));
        schema.name_from(&known);
        let spec = |n| schema.spec(DpId(n)).unwrap();
        assert!(&*spec(1).code == "switch_1" && spec(1).action);
        let told = DpKind::Value { min: 0, max: 30_000, step: 1, scale: 0, unit: "mA".into() };
        assert_eq!((&*spec(4).code, &spec(4).kind), ("cur_current", &told));
        assert!(spec(24).code.is_empty(), "another type is another point");
        assert_eq!(spec(26).kind, DpKind::Bitmap(["ov".into(), "oc".into()].into()));
    }
}
