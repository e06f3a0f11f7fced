//! Facts about the products that are simulated, as data: point, code, type, range, first value.
//!
//! The tables stand in `tables.rs`; this file turns them into a [`Schema`] (what the firmware checks writes against)
//! and into the `mapping` of a tinytuya `devices.json`.

mod tables;

use std::sync::OnceLock;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::lan::Version;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use serde_json::{Map, Value, json};

use crate::kind::Kind;

/// A product.
#[derive(Debug)]
pub struct Product {
    /// What it is.
    pub kind: Kind,
    /// Product id, invented.
    pub id: &'static str,
    /// Product name, invented.
    pub name: &'static str,
    /// Tuya's category code (`cz` plug, `dj` light, ...).
    pub category: &'static str,
    /// Versions of the LAN protocol that such devices speak, the usual one first.
    pub versions: &'static [Version],
    /// Simultaneous clients that it serves (lan.md 5.1); a home file may say otherwise.
    pub clients: usize,
    /// Its points by rising number.
    pub points: &'static [Point],
}

/// A point of a product.
#[derive(Debug)]
pub struct Point {
    /// Number.
    pub id: u16,
    /// Tuya's name for it.
    pub code: &'static str,
    /// Type and range.
    pub shape: Shape,
    /// Who may read and write it.
    pub access: Access,
    /// Acts on each write.
    pub action: bool,
    /// What it says when the device leaves the box.
    pub first: First,
}

/// Type and range of a point.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// True or false.
    Bool,
    /// A whole number.
    Value {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// Step as the cloud model says it; the firmware does not insist on it.
        step: i64,
        /// Decimal places.
        scale: u8,
        /// Unit.
        unit: &'static str,
    },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Text of at most so many bytes.
    Text(usize),
    /// Colour as text: 14 hex digits `rrggbbhhhhssvv` (family A) or 12 `hhhhssssvvvv` (family B), lan.md 8.3.
    /// The number is the largest saturation and value.
    Colour(i64),
    /// Labelled bits.
    Bitmap(&'static [&'static str]),
}

/// The first value of a point.
#[derive(Clone, Copy, Debug)]
pub enum First {
    /// Never reported (write-only).
    Nothing,
    /// A boolean.
    Bool(bool),
    /// A number (or bits).
    Value(i64),
    /// A word of an enum.
    Word(&'static str),
    /// A text.
    Text(&'static str),
}

impl Product {
    /// The facts about a kind.
    pub const fn of(kind: Kind) -> &'static Self {
        match kind {
            Kind::PlugOld => &tables::PLUG_OLD,
            Kind::PlugOldUsb => &tables::PLUG_OLD_USB,
            Kind::Plug => &tables::PLUG,
            Kind::Switch22 => &tables::SWITCH22,
            Kind::BulbOld => &tables::BULB_OLD,
            Kind::Bulb => &tables::BULB,
            Kind::Cover => &tables::COVER,
            Kind::Thermostat => &tables::THERMOSTAT,
            Kind::Gateway => &tables::GATEWAY,
            Kind::BatterySensor => &tables::BATTERY_SENSOR,
            Kind::Feeder => &tables::FEEDER,
            Kind::Fan => &tables::FAN,
            Kind::Dimmer => &tables::DIMMER,
            Kind::Infrared => &tables::INFRARED,
        }
    }

    /// The version that such a device usually speaks.
    pub const fn usual_version(&self) -> Version {
        match self.versions {
            [first, ..] => *first,
            [] => Version::V3_3,
        }
    }

    /// The point with this number.
    pub fn point(&self, id: DpId) -> Option<&'static Point> {
        self.points.iter().find(|p| p.id == id.0)
    }

    /// The points as the firmware checks writes against them. Built once per kind and shared by all its devices.
    pub fn schema(&self) -> &'static Schema {
        static SCHEMAS: [OnceLock<Schema>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];
        SCHEMAS[self.kind as usize]
            .get_or_init(|| Schema(self.points.iter().map(|p| (DpId(p.id), p.spec())).collect()))
    }

    /// The values of a device that left the box, by rising number.
    pub fn first_values(&self) -> Dps {
        self.points.iter().filter_map(|p| Some((DpId(p.id), p.first_value()?))).collect()
    }

    /// The points in the form of tinytuya's `devices.json`:
    /// `{"1":{"code":"switch_1","type":"Boolean","values":{}},...}`.
    pub fn mapping(&self) -> Value {
        Value::Object(self.points.iter().map(|p| (p.id.to_string(), p.mapping())).collect::<Map<_, _>>())
    }
}

impl Point {
    fn spec(&self) -> DpSpec {
        let boxed = |words: &[&str]| words.iter().map(|w| Box::from(*w)).collect();
        let kind = match self.shape {
            Shape::Bool => DpKind::Bool,
            // The firmware checks the range, not the step.
            Shape::Value { min, max, scale, unit, .. } => {
                DpKind::Value { min, max, step: 1, scale, unit: unit.into() }
            }
            Shape::Enum(words) => DpKind::Enum(boxed(words)),
            Shape::Text(max) => DpKind::String(max),
            Shape::Colour(_) => DpKind::String(14),
            Shape::Bitmap(labels) => DpKind::Bitmap(boxed(labels)),
        };
        DpSpec { action: self.action, ..DpSpec::new(self.code, kind, self.access) }
    }

    fn first_value(&self) -> Option<DpValue> {
        Some(match (self.first, self.shape) {
            (First::Nothing, _) => return None,
            (First::Bool(b), _) => DpValue::Bool(b),
            (First::Value(n), Shape::Bitmap(_)) => DpValue::Bitmap(u32::try_from(n).unwrap_or(0)),
            (First::Value(n), _) => DpValue::Value(n),
            (First::Word(w), _) => DpValue::Enum(w.into()),
            (First::Text(t), _) => DpValue::text(t),
        })
    }

    fn mapping(&self) -> Value {
        let number = |max: i64| json!({"min": 0, "max": max, "scale": 0, "step": 1, "unit": ""});
        let (kind, values) = match self.shape {
            Shape::Bool => ("Boolean", json!({})),
            Shape::Value { min, max, step, scale, unit } => {
                ("Integer", json!({"unit": unit, "min": min, "max": max, "scale": scale, "step": step}))
            }
            Shape::Enum(words) => ("Enum", json!({"range": words})),
            Shape::Text(max) => ("String", json!({"maxlen": max})),
            Shape::Colour(max) => ("Json", json!({"h": number(360), "s": number(max), "v": number(max)})),
            Shape::Bitmap(labels) => ("Bitmap", json!({"label": labels, "maxlen": labels.len()})),
        };
        json!({"code": self.code, "type": kind, "values": values})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sound() {
        for kind in Kind::ALL {
            let product = Product::of(kind);
            assert_eq!(product.kind, kind);
            assert!(!product.versions.is_empty() && product.clients > 0);
            assert!(product.points.windows(2).all(|w| w[0].id < w[1].id), "{kind}: order");
            let schema = product.schema();
            for point in product.points {
                assert_eq!(
                    point.first_value().is_none(),
                    point.access == Access::Wr,
                    "{kind} {}",
                    point.code
                );
                // Every first value is one that the firmware itself would accept.
                if let Some(value) = point.first_value().filter(|_| point.access == Access::Rw) {
                    let checked = schema.check_write(DpId(point.id), value.clone());
                    assert_eq!(checked, Ok(value), "{kind} {}", point.code);
                }
            }
        }
    }

    #[test]
    fn mapping_has_tinytuyas_form() {
        let mapping = Product::of(Kind::Plug).mapping();
        assert_eq!(mapping["1"], json!({"code": "switch_1", "type": "Boolean", "values": {}}));
        assert_eq!(
            mapping["19"],
            json!({"code": "cur_power", "type": "Integer", "values": {"unit": "W", "min": 0, "max": 80000, "scale": 1, "step": 1}})
        );
        assert_eq!(mapping["38"]["values"]["range"], json!(["power_off", "power_on", "last"]));
        assert_eq!(mapping["26"]["type"], "Bitmap");
    }
}
