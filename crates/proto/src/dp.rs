//! Data points: typed values, parsed once at the edge.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The number of a data point. 1 to 100 tend to be standard, 101 and up are the maker's (lan.md 8.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DpId(pub u16);

impl fmt::Display for DpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Debug for DpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dp {}", self.0)
    }
}
impl std::str::FromStr for DpId {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(DpId)
    }
}

/// A value of a data point (lan.md 8.1).
///
/// From the wire alone only `Bool`, `Value`, `String` and `Json` come; a [`Schema`](crate::schema::Schema) refines
/// `String` to `Enum` or `Raw` and `Value` to `Bitmap`.
#[derive(Clone, Debug, PartialEq)]
pub enum DpValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; the real quantity is n / 10^scale.
    Value(i64),
    /// One word of the point's list.
    Enum(Box<str>),
    /// Text.
    String(Box<str>),
    /// Bytes; base64 text on the wire.
    Raw(Box<[u8]>),
    /// Bits, usually faults: bit i is the i-th label.
    Bitmap(u32),
    /// Anything else that some device sends (a fraction, a list, an object), as compact JSON text; nothing is lost.
    Json(Box<str>),
}

impl DpValue {
    /// Text as a string value.
    pub fn text(s: impl Into<Box<str>>) -> Self {
        Self::String(s.into())
    }

    /// True when both stand for the same thing on the wire, whatever a schema made of either.
    pub fn same_on_wire(&self, other: &Self) -> bool {
        use DpValue::{Bitmap, Bool, Json, Raw, Value};
        match (self, other) {
            (Bool(a), Bool(b)) => a == b,
            (Value(a), Value(b)) => a == b,
            (Bitmap(a), Bitmap(b)) => a == b,
            (Bitmap(a), Value(b)) | (Value(b), Bitmap(a)) => i64::from(*a) == *b,
            (Raw(a), Raw(b)) => a == b,
            (Json(a), Json(b)) => a == b,
            (Raw(r), t) | (t, Raw(r)) => t.as_text().is_some_and(|t| {
                base64_simd::STANDARD.decode_to_vec(t.as_bytes()).is_ok_and(|bytes| *bytes == **r)
            }),
            (a, b) => match (a.as_text(), b.as_text()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        }
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Enum(t) | Self::String(t) => Some(t),
            _ => None,
        }
    }

    /// The value's kind in Tuya's words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Value(_) => "value",
            Self::Enum(_) => "enum",
            Self::String(_) => "string",
            Self::Raw(_) => "raw",
            Self::Bitmap(_) => "bitmap",
            Self::Json(_) => "json",
        }
    }
}

impl fmt::Display for DpValue {
    /// The value as compact JSON, except that text stands bare.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Value(n) => write!(f, "{n}"),
            Self::Bitmap(n) => write!(f, "{n}"),
            Self::Enum(t) | Self::String(t) | Self::Json(t) => f.write_str(t),
            Self::Raw(b) => f.write_str(&base64_simd::STANDARD.encode_to_string(&**b)),
        }
    }
}

impl Serialize for DpValue {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Value(n) => s.serialize_i64(*n),
            Self::Bitmap(n) => s.serialize_u32(*n),
            Self::Enum(t) | Self::String(t) => s.serialize_str(t),
            Self::Raw(b) => s.serialize_str(&base64_simd::STANDARD.encode_to_string(&**b)),
            Self::Json(t) => match serde_json::from_str::<serde_json::Value>(t) {
                Ok(v) => v.serialize(s),
                Err(e) => Err(serde::ser::Error::custom(format!("not JSON: {e}"))),
            },
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    /// `null` is no value (errata, lan.md 3.7).
    type Value = Option<DpValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a data point value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
        Ok(Some(DpValue::Bool(v)))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
        Ok(Some(DpValue::Value(v)))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(v).map_or_else(|_| DpValue::Json(v.to_string().into()), DpValue::Value)))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
        // Some firmware writes whole numbers as 23.0.
        if v.fract() == 0.0 && v.abs() < 9e15 {
            #[allow(clippy::cast_possible_truncation)]
            return Ok(Some(DpValue::Value(v as i64)));
        }
        Ok(Some(DpValue::Json(serde_json::Value::from(v).to_string().into())))
    }
    fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
        Ok(Some(DpValue::String(v.into())))
    }
    fn visit_string<E>(self, v: String) -> Result<Self::Value, E> {
        Ok(Some(DpValue::String(v.into())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let v = serde_json::Value::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
        Ok(Some(DpValue::Json(v.to_string().into())))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let v = serde_json::Value::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Some(DpValue::Json(v.to_string().into())))
    }
}

/// A value or `null`.
struct Slot(Option<DpValue>);

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ValueVisitor).map(Slot)
    }
}

impl<'de> Deserialize<'de> for DpValue {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ValueVisitor)?.ok_or_else(|| de::Error::custom("null is no value"))
    }
}

/// A `dps` object: data points with their values in the order of the message, each id once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dps {
    values: Vec<(DpId, DpValue)>,
    /// Ids that came with `null`: the question form of "device22" (lan.md 5.5).
    asked: Vec<DpId>,
}

impl Dps {
    /// No points.
    pub const fn new() -> Self {
        Self { values: Vec::new(), asked: Vec::new() }
    }
    /// The value of a point.
    pub fn value(&self, id: DpId) -> Option<&DpValue> {
        self.values.iter().find(|(i, _)| *i == id).map(|(_, v)| v)
    }
    /// Sets a point; a point that is there already keeps its place.
    pub fn insert(&mut self, id: DpId, value: DpValue) {
        match self.values.iter_mut().find(|(i, _)| *i == id) {
            Some(slot) => slot.1 = value,
            None => self.values.push((id, value)),
        }
    }
    /// Takes a point out.
    pub fn remove(&mut self, id: DpId) -> Option<DpValue> {
        let at = self.values.iter().position(|(i, _)| *i == id)?;
        Some(self.values.remove(at).1)
    }
    /// The points in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (DpId, &DpValue)> {
        self.values.iter().map(|(i, v)| (*i, v))
    }
    /// The points in order, to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (DpId, &mut DpValue)> {
        self.values.iter_mut().map(|(i, v)| (*i, v))
    }
    /// The ids in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = DpId> {
        self.values.iter().map(|(i, _)| *i)
    }
    /// How many points have a value.
    pub fn len(&self) -> usize {
        self.values.len()
    }
    /// No point has a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
    /// The points that came with `null`, that is, were asked for.
    pub fn asked(&self) -> &[DpId] {
        &self.asked
    }
    /// Adds a `null` (a device22 question).
    pub fn ask(&mut self, id: DpId) {
        if !self.asked.contains(&id) {
            self.asked.push(id);
        }
    }
    /// True when every point of `wanted` is here with the same value.
    pub fn shows(&self, wanted: &Dps) -> bool {
        wanted.iter().all(|(id, v)| self.value(id).is_some_and(|have| have.same_on_wire(v)))
    }
    /// Takes over every point of `newer`.
    pub fn merge(&mut self, newer: &Dps) {
        for (id, v) in newer.iter() {
            self.insert(id, v.clone());
        }
    }
}

impl FromIterator<(DpId, DpValue)> for Dps {
    fn from_iter<I: IntoIterator<Item = (DpId, DpValue)>>(iter: I) -> Self {
        let mut dps = Self::new();
        for (id, v) in iter {
            dps.insert(id, v);
        }
        dps
    }
}

impl IntoIterator for Dps {
    type Item = (DpId, DpValue);
    type IntoIter = std::vec::IntoIter<(DpId, DpValue)>;
    fn into_iter(self) -> Self::IntoIter {
        self.values.into_iter()
    }
}

/// Writes a small number without going through the formatting machinery.
struct IdText([u8; 5], usize);

impl IdText {
    fn new(mut n: u16) -> Self {
        let mut buf = [b'0'; 5];
        let mut at = 5;
        loop {
            at -= 1;
            buf[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return Self(buf, at);
            }
        }
    }
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[self.1..]).unwrap_or("0")
    }
}

impl Serialize for Dps {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(self.values.len() + self.asked.len()))?;
        for (id, v) in &self.values {
            map.serialize_entry(IdText::new(id.0).as_str(), v)?;
        }
        for id in &self.asked {
            map.serialize_entry(IdText::new(id.0).as_str(), &())?;
        }
        map.end()
    }
}

/// More points than any device has; a longer list is an attack or garbage.
const MAX_POINTS: usize = 512;

impl<'de> Deserialize<'de> for Dps {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Dps;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of data points")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dps, A::Error> {
                let mut dps = Dps { values: Vec::with_capacity(8), asked: Vec::new() };
                while let Some(Key(id)) = map.next_key()? {
                    let Slot(v) = map.next_value()?;
                    if dps.len() + dps.asked.len() >= MAX_POINTS {
                        return Err(de::Error::custom(format!("more than {MAX_POINTS} data points")));
                    }
                    match (id, v) {
                        (Some(id), Some(v)) => dps.insert(id, v),
                        (Some(id), None) => dps.ask(id),
                        // A key that is no number names no data point.
                        (None, _) => {}
                    }
                }
                Ok(dps)
            }
        }
        d.deserialize_map(V)
    }
}

struct Key(Option<DpId>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of a data point, as text")
            }
            fn visit_str<E>(self, s: &str) -> Result<Key, E> {
                // `parse` alone would take "+1" for point 1.
                let digits = s.bytes().all(|b| b.is_ascii_digit());
                Ok(Key(if digits { s.parse().ok() } else { None }))
            }
        }
        d.deserialize_str(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_typed() {
        let dps: Dps = serde_json::from_str(
            r#"{"1":true,"18":120,"21":"white","38":null,"50":1.5,"51":23.0,"52":[1, 2],"x":3,"+54":4,"53":-7}"#,
        )
        .unwrap();
        assert_eq!(dps.value(DpId(1)), Some(&DpValue::Bool(true)));
        assert_eq!(dps.value(DpId(18)), Some(&DpValue::Value(120)));
        assert_eq!(dps.value(DpId(21)), Some(&DpValue::text("white")));
        assert_eq!(dps.value(DpId(38)), None);
        assert_eq!(dps.asked(), [DpId(38)]);
        assert_eq!(dps.value(DpId(50)), Some(&DpValue::Json("1.5".into())));
        assert_eq!(dps.value(DpId(51)), Some(&DpValue::Value(23)));
        assert_eq!(dps.value(DpId(52)), Some(&DpValue::Json("[1,2]".into())));
        assert_eq!(dps.value(DpId(53)), Some(&DpValue::Value(-7)));
        assert_eq!(dps.len(), 7);
    }

    #[test]
    fn writes_compactly_and_in_order() {
        let mut dps = Dps::new();
        dps.insert(DpId(20), DpValue::Bool(true));
        dps.insert(DpId(101), DpValue::Raw([1, 2, 3].into()));
        dps.insert(DpId(6), DpValue::text("a b \"c\""));
        assert_eq!(serde_json::to_string(&dps).unwrap(), r#"{"20":true,"101":"AQID","6":"a b \"c\""}"#);
    }

    #[test]
    fn sameness_ignores_what_a_schema_added() {
        assert!(DpValue::Raw([1, 2, 3].into()).same_on_wire(&DpValue::text("AQID")));
        assert!(DpValue::Enum("on".into()).same_on_wire(&DpValue::text("on")));
        assert!(DpValue::Bitmap(4).same_on_wire(&DpValue::Value(4)));
        assert!(!DpValue::Bool(true).same_on_wire(&DpValue::Value(1)));
    }

    #[test]
    fn too_many_points_are_refused() {
        let text = format!("{{{}}}", (0..600).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(","));
        assert!(serde_json::from_str::<Dps>(&text).is_err());
    }
}
