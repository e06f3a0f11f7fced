//! The schema that a device was given at its activation: it handles no other points (cloud.md 4.8, 6.2).

use landfall_proto::dp::DpId;
use landfall_proto::schema::{DpKind, Schema};
use landfall_proto::schema_text;

/// A schema as it was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Type, range and access of each point.
    pub schema: Schema,
}

impl Told {
    /// Reads the text of an activation. `None` if it is no list of points: the activation fails then.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut schema = schema_text::parse(text).ok()?.schema;
        for spec in schema.0.values_mut() {
            // The firmware checks the range, not the step.
            if let DpKind::Value { step, .. } = &mut spec.kind {
                *step = 1;
            }
        }
        Some(Self { schema })
    }

    /// Whether the device handles this point at all.
    pub fn handles(&self, dp: DpId) -> bool {
        self.schema.spec(dp).is_some()
    }

    /// Whether the point is not reported on a change, only when somebody asks.
    pub fn is_passive(&self, dp: DpId) -> bool {
        self.schema.spec(dp).is_some_and(|spec| spec.passive)
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
                {"mode":"rw","property":{"type":"value","min":0,"max":100,"scale":0,"step":10},"id":5,"type":"obj"}]"#,
        )
        .unwrap();
        let check = |dp, value| told.schema.check_write(DpId(dp), value).is_ok();
        assert!(check(1, DpValue::Bool(true)) && !check(1, DpValue::Value(1)));
        assert!(!check(4, DpValue::Value(1)), "read only");
        assert!(
            check(5, DpValue::Value(7)) && !check(5, DpValue::Value(101)),
            "the range counts, not the step"
        );
        assert!(!check(7, DpValue::Bool(true)) && !told.handles(DpId(7)));
        assert!(told.is_passive(DpId(4)) && !told.is_passive(DpId(1)));
        assert_eq!((Told::parse(""), Told::parse("{}")), (None, None));
    }
}
