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

/// Bytes and the mask that lies over them, of the same length, and the part of it that counts.
struct Masked {
    bytes: Vec<u8>,
    mask: Vec<u8>,
    /// From the first byte of the mask that is not zero to the last one.
    window: std::ops::RangeInclusive<usize>,
}

impl Masked {
    fn number(&self, of: &[u8]) -> u128 {
        self.window.clone().fold(0, |n, i| n << 8 | u128::from(of[i] & self.mask[i]))
    }

    /// The mask as a number, and by how many bits it stands above the lowest.
    fn bits(&self) -> (u128, u32) {
        let mask = self.number(&self.mask);
        (mask, mask.trailing_zeros())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len().div_ceil(2)).map(|i| u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok()).collect()
}

impl Mask {
    /// Whether it can be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.over(Vec::new()).is_some()
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        if self.hex { unhex(text) } else { base64_simd::STANDARD.decode_to_vec(text.as_bytes()).ok() }
    }

    /// The mask over bytes; both end with the lowest one.
    fn over(&self, mut bytes: Vec<u8>) -> Option<Masked> {
        let mut mask = unhex(&self.bits)?;
        if self.little {
            bytes.reverse();
        }
        let width = mask.len().max(bytes.len());
        for list in [&mut mask, &mut bytes] {
            let missing = width - list.len();
            list.splice(0..0, std::iter::repeat_n(0, missing));
        }
        let first = mask.iter().position(|b| *b != 0)?;
        let last = mask.iter().rposition(|b| *b != 0)?;
        (last - first < MASK_BYTES).then_some(Masked { bytes, mask, window: first..=last })
    }

    fn number(&self, text: &str) -> Option<i64> {
        let masked = self.over(self.decode(text)?)?;
        let (mask, shift) = masked.bits();
        let n = i128::try_from(masked.number(&masked.bytes) >> shift).ok()?;
        let width = u128::BITS - (mask >> shift).leading_zeros();
        let negative = self.signed && n >> (width - 1) & 1 == 1;
        i64::try_from(if negative { n - (1_i128.checked_shl(width)?) } else { n }).ok()
    }

    /// The text with this number under the mask, the rest as it was.
    fn put(&self, text: &str, n: i64) -> Option<String> {
        let mut masked = self.over(self.decode(text)?)?;
        let (mask, shift) = masked.bits();
        let top = mask >> shift;
        let raw = if n < 0 && self.signed {
            (i128::from(n) & i128::try_from(top).ok()?).unsigned_abs()
        } else {
            u128::try_from(n).ok()?
        };
        if raw > top {
            return None;
        }
        let mut left = raw << shift;
        for i in masked.window.clone().rev() {
            let under = masked.mask[i];
            #[allow(clippy::cast_possible_truncation)] // the lowest byte
            let byte = left as u8 & under;
            masked.bytes[i] = (masked.bytes[i] & !under) | byte;
            left >>= 8;
        }
        if self.little {
            masked.bytes.reverse();
        }
        Some(if self.hex {
            masked.bytes.iter().map(|b| format!("{b:02x}")).collect()
        } else {
            base64_simd::STANDARD.encode_to_string(&masked.bytes)
        })
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
        if self.writable { vec![&self.name] } else { Vec::new() }
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
        now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        let dp = DpId(self.point);
        for (name, value) in asked {
            let raw = self.raw_of(name, value)?;
            let Some(mask) = &self.mask else {
                out.insert(dp, raw);
                continue;
            };
            // Other numbers in the same bytes stay as they are, or as the same command made them.
            let shown = out.value(dp).or_else(|| now.value(dp)).map(ToString::to_string);
            let shown =
                shown.ok_or_else(|| misfit(name, "can't be set before the device has shown its point"))?;
            let n = plain(&raw).number().unwrap_or_default();
            #[allow(clippy::cast_possible_truncation)] // a number of a point
            let text = mask.put(&shown, n as i64);
            let text =
                text.ok_or_else(|| misfit(name, format!("does not take {value}: it has no room for it")))?;
            out.insert(dp, DpValue::text(text));
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
        let access = if self.writable { 0b111 } else { 0b101 };
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
