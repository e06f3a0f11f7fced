//! tinytuya's `mapping`: what the points of a device are, as the vendor's cloud described them.
//!
//! `{"1":{"code":"switch_1","type":"Boolean","values":{}}, "9":{"code":"countdown_1","type":"Integer",
//! "values":{"unit":"s","min":0,"max":86400,"scale":0,"step":1}}}` (field.md 4.7). `values` may be an object or JSON
//! text, and some files hold the limits beside `type`. What came is kept whole, so that an export gives it back.

use std::collections::BTreeMap;

use landfall_proto::dp::DpId;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// More points than any device has.
const MAX_POINTS: usize = 512;

/// The vendor's cloud does not tell tinytuya which points are written only. Of its standard codes these are: streams of
/// colours and music for lights (lan.md 8.3, point 28), and whatever acts on each write.
const WRITE_ONLY: [&str; 5] = ["control_data", "music_data", "manual_feed", "quick_feed", "ir_send"];
/// Standard codes of which each write makes something happen: food falls, a signal is sent. Never to be repeated.
const ACTIONS: [&str; 3] = ["manual_feed", "quick_feed", "ir_send"];

/// Why a mapping can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not an object.
    #[error("the mapping is {0}, not an object of data points")]
    NotAnObject(&'static str),
    /// A list of points that no device has.
    #[error("the mapping lists {0} data points, more than {MAX_POINTS}")]
    TooMany(usize),
    /// One point's description is wrong.
    #[error("point {point}: {fault}")]
    Point {
        /// The point as the file names it.
        point: String,
        /// What is wrong.
        fault: PointFault,
    },
}

/// What is wrong with the description of a point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointFault {
    /// Not an object.
    #[error("it is {0}, not an object")]
    NotAnObject(&'static str),
    /// No `type`.
    #[error("it has no \"type\"")]
    NoType,
    /// A type that we don't know.
    #[error("unknown type {0:?}; Boolean, Integer, Enum, String, Json, Bitmap and Raw exist")]
    UnknownType(String),
    /// A limit of the wrong JSON type.
    #[error("{field:?} is {have}, not {want}")]
    Limit {
        /// `min`, `range`...
        field: &'static str,
        /// What belongs there.
        want: &'static str,
        /// What is there.
        have: &'static str,
    },
    /// Limits that admit no value.
    #[error("min {min} is above max {max}")]
    Empty {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A decimal point where none can be.
    #[error("scale {0} is outside 0 to 12")]
    Scale(i64),
}

/// A mapping as it came, and what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Mapping {
    raw: Map<String, Value>,
    schema: Schema,
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// Not an object, or a point described wrongly.
    pub fn new(value: Value) -> Result<Self, MappingError> {
        match value {
            Value::Object(raw) => Self::try_from(raw),
            other => Err(MappingError::NotAnObject(json_type(&other))),
        }
    }

    /// The points.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The mapping as it came.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

impl TryFrom<Map<String, Value>> for Mapping {
    type Error = MappingError;

    fn try_from(raw: Map<String, Value>) -> Result<Self, MappingError> {
        if raw.len() > MAX_POINTS {
            return Err(MappingError::TooMany(raw.len()));
        }
        let mut points = BTreeMap::new();
        for (key, entry) in &raw {
            let fault = |fault| MappingError::Point { point: key.chars().take(32).collect(), fault };
            let Value::Object(entry) = entry else {
                return Err(fault(PointFault::NotAnObject(json_type(entry))));
            };
            let spec = spec(entry).map_err(fault)?;
            // Where the cloud gave no number, tinytuya files a point under its code: nothing to address on the LAN.
            if let Ok(id) = key.parse::<DpId>() {
                points.insert(id, spec);
            }
        }
        Ok(Self { raw, schema: Schema(points) })
    }
}

impl From<Mapping> for Map<String, Value> {
    fn from(m: Mapping) -> Self {
        m.raw
    }
}

/// The JSON type of a value in words, for messages that must not show the value.
pub(crate) const fn json_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn spec(entry: &Map<String, Value>) -> Result<DpSpec, PointFault> {
    let kind_text = match entry.get("type") {
        Some(Value::String(t)) if !t.is_empty() => t.as_str(),
        Some(Value::Null | Value::String(_)) | None => return Err(PointFault::NoType),
        Some(other) => {
            return Err(PointFault::Limit { field: "type", want: "text", have: json_type(other) });
        }
    };
    let lower = kind_text.to_ascii_lowercase();
    let parsed = match entry.get("values") {
        Some(Value::Object(o)) => o.clone(),
        Some(Value::Null) | None => Map::new(),
        Some(Value::String(t)) if t.trim().is_empty() => Map::new(),
        // The same as JSON text. For strings tinytuya leaves whatever text the cloud sent: it limits nothing then.
        Some(Value::String(t)) => match serde_json::from_str(t) {
            Ok(o) => o,
            Err(_) if matches!(lower.as_str(), "string" | "json" | "raw") => Map::new(),
            Err(_) => {
                let want = "an object, or one as JSON text";
                return Err(PointFault::Limit { field: "values", want, have: "other text" });
            }
        },
        Some(other) => {
            return Err(PointFault::Limit { field: "values", want: "an object", have: json_type(other) });
        }
    };
    let limits = Limits { values: &parsed, beside: entry };
    let kind = match lower.as_str() {
        "boolean" | "bool" => DpKind::Bool,
        "integer" | "value" | "int" => limits.value()?,
        "enum" => DpKind::Enum(limits.words("range")?),
        // The cloud's Json is text on the LAN: hex for most lights, JSON text for others.
        "string" | "json" => DpKind::String(limits.length()?),
        "raw" => DpKind::Raw(limits.length()?),
        "bitmap" | "fault" => DpKind::Bitmap(limits.words("label")?),
        _ => return Err(PointFault::UnknownType(kind_text.chars().take(32).collect())),
    };
    let code = entry.get("code").and_then(Value::as_str).unwrap_or_default();
    let access = match entry.get("mode").or_else(|| entry.get("accessMode")).and_then(Value::as_str) {
        Some("ro") => Access::Ro,
        Some("wr" | "wo") => Access::Wr,
        Some("rw") => Access::Rw,
        _ if WRITE_ONLY.contains(&code) => Access::Wr,
        _ => Access::Rw,
    };
    let action = match entry.get("action") {
        Some(Value::Bool(b)) => *b,
        _ => ACTIONS.contains(&code),
    };
    Ok(DpSpec { action, ..DpSpec::new(code, kind, access) })
}

/// Where limits are looked up: in `values`, else beside `type`.
struct Limits<'a> {
    values: &'a Map<String, Value>,
    beside: &'a Map<String, Value>,
}

impl Limits<'_> {
    fn find(&self, field: &str) -> Option<&Value> {
        self.values.get(field).or_else(|| self.beside.get(field)).filter(|v| !v.is_null())
    }

    fn number(&self, field: &'static str) -> Result<Option<i64>, PointFault> {
        let Some(v) = self.find(field) else { return Ok(None) };
        let n = match v {
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().and_then(whole)),
            // Some tools write numbers as text.
            Value::String(t) if t.is_empty() => return Ok(None),
            Value::String(t) => t.trim().parse().ok().or_else(|| t.trim().parse().ok().and_then(whole)),
            _ => None,
        };
        n.map(Some).ok_or(PointFault::Limit { field, want: "a whole number", have: json_type(v) })
    }

    fn value(&self) -> Result<DpKind, PointFault> {
        let min = self.number("min")?.unwrap_or(i64::MIN);
        let max = self.number("max")?.unwrap_or(i64::MAX);
        if min > max {
            return Err(PointFault::Empty { min, max });
        }
        let scale = self.number("scale")?.unwrap_or(0);
        let scale = u8::try_from(scale).ok().filter(|s| *s <= 12).ok_or(PointFault::Scale(scale))?;
        let unit = self.find("unit").and_then(Value::as_str).unwrap_or_default().into();
        Ok(DpKind::Value { min, max, step: self.number("step")?.unwrap_or(1).max(1), scale, unit })
    }

    fn length(&self) -> Result<usize, PointFault> {
        Ok(match self.number("maxlen")? {
            // 0 is written where the cloud knows no limit.
            Some(n) if n > 0 => usize::try_from(n).unwrap_or(usize::MAX),
            _ => usize::MAX,
        })
    }

    fn words(&self, field: &'static str) -> Result<Box<[Box<str>]>, PointFault> {
        let wrong = |v: &Value| PointFault::Limit { field, want: "a list of words", have: json_type(v) };
        match self.find(field) {
            None => Ok(Box::default()),
            Some(Value::Array(list)) => {
                list.iter().map(|w| w.as_str().map(Into::into).ok_or_else(|| wrong(w))).collect()
            }
            Some(Value::String(t)) => {
                serde_json::from_str(t).map_err(|_| wrong(&Value::String(String::new())))
            }
            Some(other) => Err(wrong(other)),
        }
    }
}

/// A fraction-free float as a whole number.
fn whole(f: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)]
    (f.fract() == 0.0 && f.abs() < 9e15).then_some(f as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_type_in_both_forms_of_values() {
        let m = Mapping::new(json!({
            "1": {"code": "switch_1", "type": "Boolean", "values": {}},
            "9": {"code": "countdown_1", "type": "Integer",
                  "values": "{\"unit\":\"s\",\"min\":0,\"max\":86400,\"scale\":0,\"step\":1}"},
            "18": {"code": "cur_current", "type": "Integer", "unit": "mA", "min": "0", "max": 30000.0},
            "21": {"code": "work_mode", "type": "Enum", "values": {"range": ["white", "colour"]}},
            "24": {"code": "colour", "type": "Json", "raw_values": "{\"h\":1}", "values": {"h": {"min": 0}}},
            "25": {"code": "scene", "type": "String", "values": "{\"maxlen\":255}"},
            "26": {"code": "fault", "type": "Bitmap", "values": {"label": ["ov", "oc"], "maxlen": 2}},
            "41": {"code": "remote", "type": "Raw", "values": {}},
            "42": {"code": "note", "type": "String", "values": "free words"},
            "43": {"code": "blank", "type": "Bitmap", "values": ""},
            "va_humidity": {"code": "va_humidity", "type": "Integer", "values": {}}
        }))
        .unwrap();
        let s = m.schema();
        let kind = |n| &s.spec(DpId(n)).unwrap().kind;
        assert_eq!(kind(1), &DpKind::Bool);
        assert_eq!(kind(9), &DpKind::Value { min: 0, max: 86400, step: 1, scale: 0, unit: "s".into() });
        assert_eq!(kind(18), &DpKind::Value { min: 0, max: 30000, step: 1, scale: 0, unit: "mA".into() });
        assert_eq!(kind(21), &DpKind::Enum(["white".into(), "colour".into()].into()));
        assert_eq!(kind(24), &DpKind::String(usize::MAX));
        assert_eq!(kind(25), &DpKind::String(255));
        assert_eq!(kind(26), &DpKind::Bitmap(["ov".into(), "oc".into()].into()));
        assert_eq!(kind(41), &DpKind::Raw(usize::MAX));
        assert_eq!(kind(42), &DpKind::String(usize::MAX));
        assert_eq!(s.0.len(), 10);
        assert!(m.raw().contains_key("va_humidity"));
    }

    #[test]
    fn what_acts_on_each_write_is_known_by_code_or_said() {
        let m = Mapping::new(json!({
            "3": {"code": "manual_feed", "type": "Integer", "values": {}},
            "28": {"code": "control_data", "type": "String", "values": ""},
            "19": {"code": "cur_power", "type": "Integer", "values": {}, "mode": "ro"},
            "101": {"code": "open_garage", "type": "Boolean", "values": {}, "action": true}
        }))
        .unwrap();
        let spec = |n| m.schema().spec(DpId(n)).unwrap();
        assert!(spec(3).action && spec(3).access == Access::Wr);
        assert!(!spec(28).action && spec(28).acts_on_write());
        assert_eq!(spec(19).access, Access::Ro);
        assert!(spec(101).acts_on_write() && spec(101).access == Access::Rw);
    }

    #[test]
    fn faults_name_the_point() {
        let text = |v| Mapping::new(v).unwrap_err().to_string();
        assert_eq!(text(json!([])), "the mapping is a list, not an object of data points");
        assert_eq!(text(json!({"1": 5})), "point 1: it is a number, not an object");
        assert_eq!(text(json!({"1": {"code": "x"}})), "point 1: it has no \"type\"");
        assert!(text(json!({"7": {"type": "Colour"}})).starts_with("point 7: unknown type \"Colour\""));
        assert_eq!(
            text(json!({"9": {"type": "Integer", "values": {"min": 5, "max": 1}}})),
            "point 9: min 5 is above max 1"
        );
        assert_eq!(
            text(json!({"9": {"type": "Integer", "values": {"max": [1]}}})),
            "point 9: \"max\" is a list, not a whole number"
        );
        assert_eq!(
            text(json!({"21": {"type": "Enum", "values": {"range": [1]}}})),
            "point 21: \"range\" is a number, not a list of words"
        );
        assert_eq!(
            text(json!({"9": {"type": "Integer", "values": "0 to 9"}})),
            "point 9: \"values\" is other text, not an object, or one as JSON text"
        );
        assert_eq!(
            text(json!({"9": {"type": "Integer", "values": {"scale": -1}}})),
            "point 9: scale -1 is outside 0 to 12"
        );
    }
}
