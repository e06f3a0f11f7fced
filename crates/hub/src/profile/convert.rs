//! Attributes by name from points, points from attributes, and what can be read and written.

use std::collections::BTreeMap;
use std::sync::Arc;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{Access, DpKind, Schema};
use serde_json::{Map, Value, json};

use super::attribute::Attribute;
use super::number::{decimal, whole};
use super::{Definition, Point, Source, WriteError, names};

impl Definition {
    /// A definition of plain points, each named after its code.
    pub fn plain(name: impl Into<String>, schema: &Schema, source: &Source) -> Self {
        let mut points = BTreeMap::new();
        for (id, spec) in &schema.0 {
            points.insert(*id, Point::new(names::of(&spec.code, *id), spec.clone(), source.clone()));
        }
        let mut made = Self { name: name.into(), points, ..Self::default() };
        made.settle();
        made
    }

    /// Makes names unique and the schema equal to the points. To be called when points were put in.
    pub(crate) fn settle(&mut self) {
        let mut taken: BTreeMap<String, DpId> = BTreeMap::new();
        for (id, point) in &mut self.points {
            if taken.contains_key(&point.name) {
                point.name = format!("{}_{id}", point.name);
            }
            taken.insert(point.name.clone(), *id);
        }
        self.schema = Arc::new(Schema(self.points.iter().map(|(id, p)| (*id, p.spec.clone())).collect()));
    }

    /// Whether every one of these points is known, so that nothing new can be learnt from them.
    pub fn knows(&self, dps: &Dps) -> bool {
        dps.ids().all(|id| self.points.contains_key(&id))
    }

    /// Points as people read them: attributes by name, scaled to their units.
    pub fn read(&self, dps: &Dps) -> Map<String, Value> {
        let mut out = Map::new();
        for (id, point) in &self.points {
            if self.claimed(*id) {
                continue;
            }
            if let Some(value) = dps.value(*id) {
                out.insert(point.name.clone(), point.show(value));
            }
        }
        for attribute in &self.attributes {
            attribute.read(dps, &mut out);
        }
        out
    }

    /// What to set so that these attributes become so, given the points as they are. Absolute values only.
    ///
    /// # Errors
    /// Unknown attribute, or a value that does not fit.
    pub fn write(&self, attributes: &Map<String, Value>, now: &Dps) -> Result<Dps, WriteError> {
        let mut left: Map<String, Value> = attributes.clone();
        let mut out = Dps::new();
        for attribute in &self.attributes {
            let mut own = Map::new();
            left.retain(|name, value| {
                let mine = attribute.takes(name);
                if mine {
                    own.insert(name.clone(), value.take());
                }
                !mine
            });
            if !own.is_empty() {
                attribute.write(&own, now, &mut out)?;
            }
        }
        for (name, value) in left {
            let Some((id, point)) = self.writable(&name) else {
                return Err(WriteError::Unknown { known: self.known(), name });
            };
            out.insert(id, point.take(&name, &value)?);
        }
        // Last, the limits of every point, whoever made the value.
        let mut checked = Dps::new();
        for (id, value) in out {
            checked.insert(id, self.schema.check_write(id, value)?);
        }
        Ok(checked)
    }

    /// A plain point by the name of its attribute, else by its code.
    fn writable(&self, name: &str) -> Option<(DpId, &Point)> {
        let plain = || self.points.iter().filter(|(id, _)| !self.claimed(**id)).map(|(id, p)| (*id, p));
        plain()
            .find(|(_, p)| p.name == name)
            .or_else(|| plain().find(|(id, p)| *p.spec.code == *name || names::of("", *id) == name))
    }

    fn known(&self) -> String {
        let mut known: Vec<&str> = self.attributes.iter().flat_map(Attribute::writes).collect();
        let plain = self
            .points
            .iter()
            .filter(|(id, p)| !self.claimed(**id) && p.spec.access != Access::Ro && !p.hidden);
        known.extend(plain.map(|(_, p)| p.name.as_str()));
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    }

    /// Whether a point is read and written by an attribute, and not plainly.
    pub(crate) fn claimed(&self, id: DpId) -> bool {
        self.attributes.iter().any(|a| a.claims(id))
    }

    /// What can be read and written, as zigbee2mqtt's `exposes` has it.
    pub fn exposes(&self) -> Value {
        let mut out = Vec::new();
        let mut grouped = Vec::new();
        for (id, point) in &self.points {
            if self.claimed(*id) || point.hidden {
                continue;
            }
            let leaf = point.expose();
            if self.class.groups(&point.name) { grouped.push(leaf) } else { out.push(leaf) }
        }
        let mut first: Vec<Value> = self.attributes.iter().flat_map(Attribute::exposes).collect();
        if !grouped.is_empty() {
            first.push(json!({"type": self.class.group(), "features": grouped}));
        }
        first.append(&mut out);
        Value::Array(first)
    }
}

impl super::Class {
    /// Plain points that zigbee2mqtt shows together under one head: climate and fan.
    fn groups(self, name: &str) -> bool {
        match self {
            Self::Thermostat => {
                matches!(name, "switch" | "target_temperature" | "temperature" | "mode" | "running")
            }
            Self::Fan => matches!(name, "switch" | "fan" | "fan_speed" | "fan_direction" | "mode" | "speed"),
            _ => false,
        }
    }

    fn group(self) -> &'static str {
        if self == Self::Fan { "fan" } else { "climate" }
    }
}

/// May be read from the state; may be set; may be asked for: zigbee2mqtt's bits.
pub(crate) const fn access_bits(access: Access) -> u8 {
    match access {
        Access::Ro => 0b101,
        Access::Rw => 0b111,
        Access::Wr => 0b010,
    }
}

impl Point {
    /// Decimal places of the number that people see.
    pub(crate) fn places(&self) -> i8 {
        match &self.spec.kind {
            DpKind::Value { scale, unit, .. } => {
                i8::try_from(*scale).unwrap_or(0).saturating_add(names::unit(unit).1)
            }
            _ => 0,
        }
    }

    /// The value as people read it.
    pub(crate) fn show(&self, value: &DpValue) -> Value {
        match (&self.spec.kind, value) {
            (DpKind::Value { .. }, DpValue::Value(n)) => decimal(*n, self.places()),
            (DpKind::Bitmap(labels), DpValue::Bitmap(_) | DpValue::Value(_)) => {
                let bits = match value {
                    DpValue::Bitmap(b) => *b,
                    DpValue::Value(n) => u32::try_from(*n).unwrap_or_default(),
                    _ => 0,
                };
                let named = |bit: usize| match labels.get(bit) {
                    Some(label) if !label.is_empty() => Value::from(&**label),
                    _ => Value::from(format!("bit_{bit}")),
                };
                Value::Array((0..32).filter(|bit| bits >> bit & 1 == 1).map(named).collect())
            }
            _ => bare(value),
        }
    }

    /// The point's value for what people write.
    pub(crate) fn take(&self, name: &str, value: &Value) -> Result<DpValue, WriteError> {
        let misfit = |reason: String| WriteError::Misfit { name: name.to_owned(), reason };
        match &self.spec.kind {
            DpKind::Bool => Ok(DpValue::Bool(boolean(name, value)?)),
            DpKind::Value { min, max, step, .. } => {
                let places = self.places();
                let n = whole(value, places).map_err(|e| misfit(format!("{value} {}", e.words(places))))?;
                let steps = i128::from(n) - i128::from(*min);
                if n < *min || n > *max || (*step > 1 && steps % i128::from(*step) != 0) {
                    let show = |n: i64| decimal(n, places);
                    let unit = self.unit();
                    let every = match step {
                        0 | 1 => String::new(),
                        step => format!(" in steps of {}", show(*step)),
                    };
                    let (min, max) = (show(*min), show(*max));
                    return Err(misfit(format!(
                        "takes {min} to {max}{}{unit}{every}, not {value}",
                        gap(unit)
                    )));
                }
                Ok(DpValue::Value(n))
            }
            DpKind::Enum(words) => {
                let word = text(value).ok_or_else(|| misfit(format!("takes a word, not {value}")))?;
                // As it is written, else whatever differs in case alone.
                let found = words.iter().find(|w| ***w == *word);
                let near = || words.iter().find(|w| w.eq_ignore_ascii_case(&word));
                match found.or_else(near) {
                    Some(w) => Ok(DpValue::Enum(w.clone())),
                    None if words.is_empty() => Ok(DpValue::Enum(word.into())),
                    None => Err(misfit(format!("takes one of {}, not {word}", words.join(", ")))),
                }
            }
            DpKind::String(_) => match value {
                Value::String(t) => Ok(DpValue::text(t.as_str())),
                Value::Null => Err(misfit("takes text, not null".to_owned())),
                // Many points hold JSON as text, and a scalar of MQTT has lost its quotation marks.
                other => Ok(DpValue::text(other.to_string())),
            },
            DpKind::Raw(_) => match value {
                Value::String(t) => Ok(DpValue::text(t.as_str())),
                other => Err(misfit(format!("takes bytes as base64 text, not {other}"))),
            },
            DpKind::Bitmap(labels) => bits(labels, value).map(DpValue::Bitmap).map_err(misfit),
        }
    }

    /// As one of [`Definition::exposes`].
    pub(crate) fn expose(&self) -> Value {
        let access = access_bits(self.spec.access);
        let name = &self.name;
        let mut leaf = match &self.spec.kind {
            DpKind::Bool => {
                json!({"type": "binary", "access": access, "value_on": true, "value_off": false})
            }
            DpKind::Value { min, max, step, .. } => {
                let mut leaf = json!({"type": "numeric", "access": access});
                let places = self.places();
                let unit = self.unit();
                if !unit.is_empty() {
                    leaf["unit"] = unit.into();
                }
                if *min > i64::MIN && *max < i64::MAX {
                    leaf["value_min"] = decimal(*min, places);
                    leaf["value_max"] = decimal(*max, places);
                }
                if *step > 1 || places > 0 {
                    leaf["value_step"] = decimal((*step).max(1), places);
                }
                leaf
            }
            DpKind::Enum(words) => json!({"type": "enum", "access": access, "values": words}),
            DpKind::String(_) | DpKind::Raw(_) => json!({"type": "text", "access": access}),
            DpKind::Bitmap(_) => {
                let item = json!({"type": "text", "name": "label", "access": access});
                json!({"type": "list", "access": access, "item_type": item})
            }
        };
        leaf["name"] = name.as_str().into();
        leaf["property"] = name.as_str().into();
        leaf["label"] = label(name).into();
        if let Some(category) = names::category(&self.spec.code) {
            leaf["category"] = category.into();
        }
        leaf
    }
}

fn gap(unit: &str) -> &'static str {
    if unit.is_empty() { "" } else { " " }
}

/// `target_temperature` as `Target temperature`.
pub(crate) fn label(name: &str) -> String {
    let mut text = name.replace('_', " ");
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A value without any definition: as JSON.
pub(crate) fn bare(value: &DpValue) -> Value {
    serde_json::to_value(value).unwrap_or_else(|_| Value::from(value.to_string()))
}

/// True or false; also as the words that switches know. Never "toggle": a command carries absolute values.
pub(crate) fn boolean(name: &str, value: &Value) -> Result<bool, WriteError> {
    let misfit = |reason: String| WriteError::Misfit { name: name.to_owned(), reason };
    match value {
        Value::Bool(b) => Ok(*b),
        Value::Number(n) if n.as_i64() == Some(1) => Ok(true),
        Value::Number(n) if n.as_i64() == Some(0) => Ok(false),
        Value::String(t) => match t.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "1" => Ok(true),
            "off" | "false" | "0" => Ok(false),
            "toggle" => Err(misfit(
                "takes true or false: toggle is no absolute value, it would not survive a repeat".to_owned(),
            )),
            _ => Err(misfit(format!("takes true or false, not {value}"))),
        },
        _ => Err(misfit(format!("takes true or false, not {value}"))),
    }
}

/// A word; numbers and truth values as the words that some devices have for them.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(t) => Some(t.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn bits(labels: &[Box<str>], value: &Value) -> Result<u32, String> {
    match value {
        Value::Number(n) => {
            n.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| format!("takes 32 bits, not {n}"))
        }
        Value::Array(list) => list.iter().try_fold(0, |bits, item| {
            let word = item.as_str().ok_or_else(|| format!("takes labels, not {item}"))?;
            let bit = labels
                .iter()
                .position(|l| **l == *word)
                .or_else(|| word.strip_prefix("bit_").and_then(|n| n.parse().ok()))
                .filter(|bit| *bit < 32)
                .ok_or_else(|| format!("has no label {word:?}"))?;
            Ok(bits | 1_u32 << bit)
        }),
        other => Err(format!("takes a list of labels, not {other}")),
    }
}
