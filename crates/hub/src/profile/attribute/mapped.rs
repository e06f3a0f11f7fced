//! One point by rules: words for values, scales, ranges, masks. What tuya-local's device files say fits into it.

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::WriteError;
use super::super::convert::{bare, label};
use super::super::entity::Plain;
use super::{misfit, word};

/// What people see.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// True or false.
    Binary,
    /// A number.
    Number,
    /// A word or text.
    Text,
}

/// A value of the point and what it stands for.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The point's value; any other when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<Plain>,
    /// What people see; the value itself when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Plain>,
    /// Understood, but not offered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hidden: bool,
}

/// A number inside of bytes.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mask {
    /// The bytes are hex text; base64 otherwise.
    pub(crate) hex: bool,
    /// Which bits, as hex text with two digits a byte.
    pub(crate) bits: String,
    /// The first byte is the lowest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) little: bool,
    /// The highest bit is a sign.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) signed: bool,
}

/// One point by rules.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapped {
    /// Name of the attribute.
    pub(crate) name: String,
    /// The point.
    pub(crate) point: u16,
    /// What people see.
    pub(crate) shape: Shape,
    /// It can be written.
    #[serde(default)]
    pub(crate) writable: bool,
    /// The point holds bits, and a rule's value is one of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) bits: bool,
    /// Its numbers are text on the wire.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) text: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// Numbers are divided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) divide: Option<f64>,
    /// Smallest difference of the point's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<f64>,
    /// Range of the point's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<(f64, f64)>,
    /// The range onto which they are mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<(f64, f64)>,
    /// The range stands on its head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) invert: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mask: Option<Mask>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<Rule>,
}

/// Longest mask, in bytes: what a `u128` holds.
const MASK_BYTES: usize = 16;

impl Mask {
    /// Whether it can be used.
    pub(crate) fn is_sound(&self) -> bool {
        let n = self.bits.len();
        n > 0
            && n.is_multiple_of(2)
            && u128::from_str_radix(&self.bits, 16).is_ok_and(|m| m > 0)
            && self.bits.trim_start_matches('0').len() <= MASK_BYTES * 2
    }

    /// The bytes under the mask: a long mask counts from the end, where its zeros are cut.
    fn number(&self, text: &str) -> Option<i64> {
        let mut bytes = if self.hex {
            (0..text.len() / 2)
                .map(|i| u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok())
                .collect::<Option<Vec<u8>>>()?
        } else {
            base64_simd::STANDARD.decode_to_vec(text.as_bytes()).ok()?
        };
        let mask: Vec<u8> = (0..self.bits.len() / 2)
            .map(|i| u8::from_str_radix(self.bits.get(i * 2..i * 2 + 2)?, 16).ok())
            .collect::<Option<Vec<u8>>>()?;
        if self.little {
            bytes.reverse();
        }
        // Both end with the lowest byte.
        let width = mask.len().max(bytes.len());
        let at = |list: &[u8], i: usize| {
            (i + list.len()).checked_sub(width).and_then(|i| list.get(i)).copied().unwrap_or(0)
        };
        let first = (0..width).find(|i| at(&mask, *i) != 0)?;
        let (mut n, mut m) = (0_u128, 0_u128);
        for i in first..width {
            if i - first >= MASK_BYTES && at(&mask, i) != 0 {
                return None;
            }
            if i - first < MASK_BYTES {
                n = n << 8 | u128::from(at(&bytes, i) & at(&mask, i));
                m = m << 8 | u128::from(at(&mask, i));
            }
        }
        let (n, top) = (n >> m.trailing_zeros(), m >> m.trailing_zeros());
        let bits = u128::BITS - top.leading_zeros();
        let n = i128::try_from(n).ok()?;
        let negative = self.signed && bits > 0 && n >> (bits - 1) & 1 == 1;
        i64::try_from(if negative { n - (1_i128 << bits) } else { n }).ok()
    }
}

fn plain(value: &DpValue) -> Plain {
    match value {
        DpValue::Bool(b) => Plain::Bool(*b),
        DpValue::Value(n) => Plain::Number(*n),
        DpValue::Bitmap(n) => Plain::Number(i64::from(*n)),
        DpValue::Json(t) => t.parse().map_or_else(|_| Plain::Text(t.to_string()), Plain::Fraction),
        other => Plain::Text(word(other).map_or_else(|| other.to_string(), str::to_owned)),
    }
}

/// At most nine digits: enough for any sensor, and no noise of binary fractions.
fn tidy(f: f64) -> Value {
    if !f.is_finite() {
        return Value::Null;
    }
    let text = format!("{f:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    match short.parse::<i64>() {
        Ok(n) => Value::from(n),
        Err(_) => short.parse::<f64>().map_or(Value::Null, Value::from),
    }
}

impl Mapped {
    pub(super) fn points(&self) -> Vec<DpId> {
        vec![DpId(self.point)]
    }

    fn matches(&self, rule: &Plain, value: &Plain) -> bool {
        if let (true, Plain::Number(bit), Plain::Number(n)) = (self.bits, rule, value) {
            return if *bit == 0 { *n == 0 } else { n & bit != 0 };
        }
        rule == value || rule.to_string() == value.to_string()
    }

    fn divisor(&self) -> f64 {
        self.divide.filter(|d| *d != 0.0).unwrap_or(1.0)
    }

    fn shown(&self, value: &DpValue) -> Value {
        let raw = match &self.mask {
            Some(mask) => match mask.number(&value.to_string()) {
                Some(n) => Plain::Number(n),
                None => return Value::Null,
            },
            None => plain(value),
        };
        let own = self.rules.iter().find(|r| r.raw.as_ref().is_some_and(|m| self.matches(m, &raw)));
        let rule = own.or_else(|| self.rules.iter().find(|r| r.raw.is_none()));
        if let Some(said) = rule.and_then(|r| r.value.as_ref()) {
            return match said.number() {
                // A word's number is scaled like any other.
                Some(n) if self.shape == Shape::Number => tidy(n / self.divisor()),
                _ => json!(said),
            };
        }
        match (self.shape, raw.number()) {
            (Shape::Number, Some(n)) => {
                let mut n = n;
                if let (true, Some((min, max))) = (self.invert, self.range) {
                    n = min + max - n;
                }
                if let (Some((f0, f1)), Some((t0, t1))) = (self.range, self.target)
                    && f1 != f0
                {
                    n = t0 + (n - f0) * (t1 - t0) / (f1 - f0);
                }
                tidy(n / self.divisor())
            }
            (Shape::Binary, Some(n)) => (n != 0.0).into(),
            (_, _) if self.mask.is_some() => json!(raw),
            _ => bare(value),
        }
    }

    pub(super) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        if let Some(value) = dps.value(DpId(self.point)) {
            out.insert(self.name.clone(), self.shown(value));
        }
    }

    pub(super) fn writes(&self) -> Vec<&str> {
        if self.writable && self.mask.is_none() { vec![&self.name] } else { Vec::new() }
    }

    /// Values that it offers, beside numbers of a range.
    pub(crate) fn offered(&self) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for rule in self.rules.iter().filter(|r| !r.hidden && r.raw.is_some()) {
            let value = rule.value.as_ref().or(rule.raw.as_ref()).map(|v| match v.number() {
                Some(n) if self.shape == Shape::Number => tidy(n / self.divisor()),
                _ => json!(v),
            });
            if let Some(value) = value
                && !all.contains(&value)
            {
                all.push(value);
            }
        }
        all
    }

    pub(super) fn write(
        &self,
        asked: &Map<String, Value>,
        _now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        for (name, value) in asked {
            out.insert(DpId(self.point), self.raw_of(name, value)?);
        }
        Ok(())
    }

    fn raw_of(&self, name: &str, value: &Value) -> Result<DpValue, WriteError> {
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let value = match (self.shape, value) {
            (Shape::Binary, v) => Value::Bool(super::super::convert::boolean(name, v)?),
            (Shape::Number, Value::String(t)) => {
                let n: f64 =
                    t.trim().parse().map_err(|_| misfit(name, format!("takes a number, not {t:?}")))?;
                tidy(n)
            }
            (_, v) => v.clone(),
        };
        let usable = |r: &&Rule| !r.hidden && r.raw.is_some();
        for rule in self.rules.iter().filter(usable) {
            let (Some(raw), said) = (&rule.raw, rule.value.as_ref().or(rule.raw.as_ref())) else { continue };
            let shown = said.map(|v| match v.number() {
                Some(n) if self.shape == Shape::Number => tidy(n / self.divisor()),
                _ => json!(v),
            });
            if shown.is_some_and(|shown| text(&shown).eq_ignore_ascii_case(&text(&value))) {
                return Ok(raw.value());
            }
        }
        // Only where other values than the listed ones have a meaning.
        let open = self.rules.is_empty() || self.rules.iter().any(|r| r.raw.is_none() && r.value.is_none());
        match (self.shape, &value) {
            (Shape::Number, v) if open || self.range.is_some() => {
                let n = v.as_f64().ok_or_else(|| misfit(name, format!("takes a number, not {v}")))?;
                self.number_of(name, n)
            }
            (Shape::Binary, Value::Bool(b)) if open => Ok(DpValue::Bool(*b)),
            (Shape::Text, v) if open => Ok(DpValue::text(text(v))),
            (_, v) => {
                let known: Vec<String> = self.offered().iter().map(&text).collect();
                Err(misfit(name, format!("takes one of {}, not {v}", known.join(", "))))
            }
        }
    }

    fn number_of(&self, name: &str, asked: f64) -> Result<DpValue, WriteError> {
        let mut n = asked * self.divisor();
        if let (Some((f0, f1)), Some((t0, t1))) = (self.range, self.target)
            && t1 != t0
        {
            n = f0 + (n - t0) * (f1 - f0) / (t1 - t0);
        }
        if let (true, Some((min, max))) = (self.invert, self.range) {
            n = min + max - n;
        }
        if let Some(step) = self.step.filter(|s| *s > 0.0) {
            n = (n / step).round() * step;
        }
        let n = n.round();
        let (min, max) = self.range.unwrap_or((-9e15, 9e15));
        if !(min..=max).contains(&n) {
            let (a, b) = self.shown_range().unwrap_or((min, max));
            return Err(misfit(name, format!("takes {} to {}, not {}", tidy(a), tidy(b), tidy(asked))));
        }
        #[allow(clippy::cast_possible_truncation)] // within 9e15
        let whole = n as i64;
        Ok(if self.text { DpValue::text(whole.to_string()) } else { DpValue::Value(whole) })
    }

    /// The range that people see.
    pub(crate) fn shown_range(&self) -> Option<(f64, f64)> {
        let (min, max) = self.target.or(self.range)?;
        let (a, b) = (min / self.divisor(), max / self.divisor());
        Some((a.min(b), a.max(b)))
    }

    pub(super) fn exposes(&self) -> Vec<Value> {
        let access = if self.writes().is_empty() { 0b101 } else { 0b111 };
        let mut leaf =
            json!({"name": self.name, "property": self.name, "label": label(&self.name), "access": access});
        let offered = self.offered();
        match self.shape {
            Shape::Binary => {
                leaf["type"] = "binary".into();
                leaf["value_on"] = true.into();
                leaf["value_off"] = false.into();
            }
            Shape::Number => {
                leaf["type"] = "numeric".into();
                if let Some((min, max)) = self.shown_range() {
                    leaf["value_min"] = tidy(min);
                    leaf["value_max"] = tidy(max);
                }
                if let Some(unit) = &self.unit {
                    leaf["unit"] = unit.as_str().into();
                }
            }
            Shape::Text if offered.is_empty() => leaf["type"] = "text".into(),
            Shape::Text => {
                leaf["type"] = "enum".into();
                leaf["values"] = offered.into();
            }
        }
        vec![leaf]
    }
}
