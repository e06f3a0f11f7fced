//! The schema that a device was given at its activation: it handles no other points (cloud.md 4.8, 6.2).

use std::collections::{BTreeMap, BTreeSet};

use landfall_proto::dp::DpId;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use serde::Deserialize;

/// Most points that a device takes.
const MAX_POINTS: usize = 256;

/// A schema as it was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Type, range and access of each point.
    pub schema: Schema,
    /// Points that are not reported on a change, only when somebody asks.
    pub passive: BTreeSet<DpId>,
}

#[derive(Deserialize)]
struct Wire {
    id: u16,
    #[serde(default)]
    mode: String,
    #[serde(default, rename = "type")]
    form: String,
    #[serde(default)]
    property: Property,
    #[serde(default)]
    passive: bool,
    #[serde(default)]
    code: String,
}

#[derive(Default, Deserialize)]
struct Property {
    #[serde(default, rename = "type")]
    kind: String,
    min: Option<i64>,
    max: Option<i64>,
    step: Option<i64>,
    #[serde(default)]
    scale: u8,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    range: Vec<String>,
    maxlen: Option<usize>,
}

impl Told {
    /// Reads the text of an activation: `[{"mode":"rw","type":"obj","id":1,"property":{"type":"bool"}}]`. `None` if it
    /// is no such list: the activation fails then.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let list: Vec<Wire> = serde_json::from_str(text).ok()?;
        if list.len() > MAX_POINTS {
            return None;
        }
        let passive = list.iter().filter(|w| w.passive).map(|w| DpId(w.id)).collect();
        let points: BTreeMap<DpId, DpSpec> = list.into_iter().map(|w| (DpId(w.id), w.spec())).collect();
        Some(Self { schema: Schema(points), passive })
    }

    /// Whether the device handles this point at all.
    pub fn handles(&self, dp: DpId) -> bool {
        self.schema.spec(dp).is_some()
    }
}

impl Wire {
    fn spec(self) -> DpSpec {
        let property = self.property;
        let kind = match property.kind.as_str() {
            _ if self.form == "raw" => DpKind::Raw(property.maxlen.unwrap_or(255)),
            "bool" => DpKind::Bool,
            "enum" => DpKind::Enum(property.range.into_iter().map(Into::into).collect()),
            "string" => DpKind::String(property.maxlen.unwrap_or(255)),
            "bitmap" => DpKind::Bitmap([].into()),
            _ => DpKind::Value {
                min: property.min.unwrap_or(i64::from(i32::MIN)),
                max: property.max.unwrap_or(i64::from(i32::MAX)),
                // The firmware checks the range, not the step.
                step: property.step.map_or(1, |_| 1),
                scale: property.scale,
                unit: property.unit.into(),
            },
        };
        let access = match self.mode.as_str() {
            "ro" => Access::Ro,
            "wr" => Access::Wr,
            _ => Access::Rw,
        };
        DpSpec::new(self.code, kind, access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::dp::DpValue;

    #[test]
    fn a_told_schema_is_what_writes_are_checked_by() {
        let told = Told::parse(
            r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"},
                {"mode":"ro","property":{"type":"value","min":0,"max":30000,"scale":0,"step":1},"id":4,"type":"obj","passive":true},
                {"mode":"rw","property":{"type":"enum","range":["a","b"]},"id":5,"type":"obj"},
                {"mode":"rw","id":6,"type":"raw"}]"#,
        )
        .unwrap();
        let check = |dp, value| told.schema.check_write(DpId(dp), value).is_ok();
        assert!(check(1, DpValue::Bool(true)) && !check(1, DpValue::Value(1)));
        assert!(!check(4, DpValue::Value(1)), "read only");
        assert!(check(5, DpValue::text("b")) && !check(5, DpValue::text("c")));
        assert!(check(6, DpValue::text("AQID")));
        assert!(!check(7, DpValue::Bool(true)) && !told.handles(DpId(7)));
        assert_eq!(told.passive, BTreeSet::from([DpId(4)]));
        for bad in ["", "{}", "[1]", r#"[{"mode":"rw"}]"#] {
            assert_eq!(Told::parse(bad), None, "{bad}");
        }
    }
}
