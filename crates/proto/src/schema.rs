//! What the points of a product are: type, range, access. Data about a product, not about a protocol version.

use std::collections::BTreeMap;

use crate::dp::{DpId, DpValue, Dps};

/// The type of a point with its limits (lan.md 8.1).
#[derive(Clone, Debug, PartialEq)]
pub enum DpKind {
    /// True or false.
    Bool,
    /// A whole number within `min..=max`, in steps, standing for n / 10^scale of `unit`.
    Value {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Smallest difference.
        step: i64,
        /// Decimal places.
        scale: u8,
        /// Unit as the vendor writes it, may be empty.
        unit: Box<str>,
    },
    /// One of these words.
    Enum(Box<[Box<str>]>),
    /// Text of at most so many bytes.
    String(usize),
    /// At most so many bytes, base64 on the wire.
    Raw(usize),
    /// Bits with labels.
    Bitmap(Box<[Box<str>]>),
}

/// Who may read or write a point (`mode` of an activation schema).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Access {
    /// Readable and writable.
    #[default]
    Rw,
    /// Reported only.
    Ro,
    /// Written only: acts on each write, is never reported.
    Wr,
}

/// One point of a product.
#[derive(Clone, Debug, PartialEq)]
pub struct DpSpec {
    /// The vendor's name for it: `switch_1`, `cur_power`. May be empty.
    pub code: Box<str>,
    /// Type and limits.
    pub kind: DpKind,
    /// Access.
    pub access: Access,
    /// True when each write makes something happen (feeder, garage trigger, IR send): such a point is sent at most
    /// once per command, never retried and never merged. Every write-only point is treated so.
    pub action: bool,
    /// True when the device keeps changes of it to itself until cloud or app ask (`passive`, cloud.md 4.8, 6.2).
    pub passive: bool,
    /// `trigger` of an activation schema (`pulse`, `direct`), empty where there is none: passed on as it came.
    pub trigger: Box<str>,
}

impl DpSpec {
    /// A point that is reported when it changes and does not act on each write.
    pub fn new(code: impl Into<Box<str>>, kind: DpKind, access: Access) -> Self {
        Self { code: code.into(), kind, access, action: false, passive: false, trigger: Box::default() }
    }

    /// Whether a write must reach the device at most once.
    pub fn acts_on_write(&self) -> bool {
        self.action || self.access == Access::Wr
    }

    fn name_from(&mut self, known: &Self) {
        match (&mut self.kind, &known.kind) {
            (DpKind::Value { unit, .. }, DpKind::Value { unit: told, .. }) if unit.is_empty() => {
                unit.clone_from(told);
            }
            (DpKind::Bitmap(labels), DpKind::Bitmap(told)) => {
                for (label, told) in labels.iter_mut().zip(told) {
                    if label.is_empty() {
                        label.clone_from(told);
                    }
                }
            }
            (mine, theirs) if mine.name() != theirs.name() => return,
            _ => {}
        }
        if self.code.is_empty() {
            self.code.clone_from(&known.code);
        }
        self.action |= known.action;
    }
}

/// Why a value does not fit a point.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MisfitError {
    /// The product has no such point.
    #[error("{dp:?} is not a point of this product; it has {known}")]
    UnknownPoint {
        /// The point.
        dp: DpId,
        /// The points that exist, as a list of numbers.
        known: String,
    },
    /// Reported only.
    #[error("{dp:?} ({code}) is read-only")]
    ReadOnly {
        /// The point.
        dp: DpId,
        /// Its name.
        code: Box<str>,
    },
    /// Another JSON type.
    #[error("{dp:?} ({code}) takes a {want}, not the {have} {value}")]
    WrongType {
        /// The point.
        dp: DpId,
        /// Its name.
        code: Box<str>,
        /// Its type.
        want: &'static str,
        /// The type given.
        have: &'static str,
        /// The value given.
        value: String,
    },
    /// Outside the range, off the list, too long.
    #[error("{dp:?} ({code}) takes {range}, not {value}")]
    OutOfRange {
        /// The point.
        dp: DpId,
        /// Its name.
        code: Box<str>,
        /// What it takes, in words.
        range: String,
        /// The value given.
        value: String,
    },
}

/// The points of a product. An empty schema knows nothing and lets everything pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema(pub BTreeMap<DpId, DpSpec>);

impl Schema {
    /// The point's entry.
    pub fn spec(&self, id: DpId) -> Option<&DpSpec> {
        self.0.get(&id)
    }

    /// The point with this code (`switch_1`).
    pub fn by_code(&self, code: &str) -> Option<DpId> {
        self.0.iter().find(|(_, s)| !code.is_empty() && &*s.code == code).map(|(id, _)| *id)
    }

    /// Takes over what an activation schema can't say of its points and another description does: code, unit, labels
    /// of bits, whether it acts on each write. Points that are of another type there are left as they are.
    pub fn name_from(&mut self, known: &Self) {
        for (id, spec) in &mut self.0 {
            if let Some(known) = known.spec(*id) {
                spec.name_from(known);
            }
        }
    }

    /// Whether writing any of these points makes something happen each time.
    pub fn acts_on_write(&self, dps: &Dps) -> bool {
        dps.ids().any(|id| self.spec(id).is_some_and(DpSpec::acts_on_write))
    }

    /// Refines values heard from a device: text to enum or bytes, numbers to bits. What does not fit stays as it came.
    pub fn refine(&self, dps: &mut Dps) {
        if self.0.is_empty() {
            return;
        }
        for (id, v) in dps.iter_mut() {
            if let Some(better) = self.spec(id).and_then(|s| refined(&s.kind, v)) {
                *v = better;
            }
        }
    }

    /// Checks a value that somebody wants to write and returns it in the point's type.
    ///
    /// # Errors
    /// Unknown point (when the schema knows any), read-only, wrong type, out of range.
    pub fn check_write(&self, dp: DpId, value: DpValue) -> Result<DpValue, MisfitError> {
        if self.0.is_empty() {
            return Ok(value);
        }
        let Some(spec) = self.spec(dp) else {
            let known = self.0.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(MisfitError::UnknownPoint { dp, known });
        };
        let code = spec.code.clone();
        if spec.access == Access::Ro {
            return Err(MisfitError::ReadOnly { dp, code });
        }
        let value = refined(&spec.kind, &value).unwrap_or(value);
        let out = |range: String, value: &DpValue| {
            Err(MisfitError::OutOfRange { dp, code: code.clone(), range, value: value.to_string() })
        };
        match (&spec.kind, &value) {
            (DpKind::Bool, DpValue::Bool(_)) => Ok(value),
            (DpKind::Value { min, max, step, .. }, DpValue::Value(n)) => {
                let steps = i128::from(*n) - i128::from(*min);
                if n < min || n > max {
                    out(format!("{min} to {max}"), &value)
                } else if *step > 1 && steps % i128::from(*step) != 0 {
                    out(format!("{min} to {max} in steps of {step}"), &value)
                } else {
                    Ok(value)
                }
            }
            (DpKind::Enum(words), DpValue::Enum(w)) => {
                if words.is_empty() || words.contains(w) {
                    Ok(value)
                } else {
                    out(format!("one of {}", words.join(", ")), &value)
                }
            }
            (DpKind::String(max), DpValue::String(s)) => {
                if s.len() > *max {
                    out(format!("at most {max} bytes"), &value)
                } else {
                    Ok(value)
                }
            }
            (DpKind::Raw(max), DpValue::Raw(b)) => {
                if b.len() > *max {
                    out(format!("at most {max} bytes of base64"), &value)
                } else {
                    Ok(value)
                }
            }
            (DpKind::Bitmap(_), DpValue::Bitmap(_)) => Ok(value),
            (kind, _) => Err(MisfitError::WrongType {
                dp,
                code,
                want: kind.name(),
                have: value.kind(),
                value: value.to_string(),
            }),
        }
    }
}

impl DpKind {
    /// The type in Tuya's words.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Value { .. } => "value",
            Self::Enum(_) => "enum",
            Self::String(_) => "string",
            Self::Raw(_) => "raw",
            Self::Bitmap(_) => "bitmap",
        }
    }
}

fn refined(kind: &DpKind, value: &DpValue) -> Option<DpValue> {
    match (kind, value) {
        (DpKind::Enum(_), DpValue::String(t)) => Some(DpValue::Enum(t.clone())),
        (DpKind::Raw(_), DpValue::String(t)) => {
            base64_simd::STANDARD.decode_to_vec(t.as_bytes()).ok().map(|b| DpValue::Raw(b.into()))
        }
        (DpKind::Bitmap(_), DpValue::Value(n)) => u32::try_from(*n).ok().map(DpValue::Bitmap),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plug() -> Schema {
        let spec = |code: &str, kind| DpSpec::new(code, kind, Access::Rw);
        let mut map = BTreeMap::new();
        map.insert(DpId(1), spec("switch_1", DpKind::Bool));
        map.insert(
            DpId(9),
            spec("countdown_1", DpKind::Value { min: 0, max: 86400, step: 5, scale: 0, unit: "s".into() }),
        );
        map.insert(DpId(38), spec("relay_status", DpKind::Enum(["off".into(), "on".into()].into())));
        map.insert(DpId(19), DpSpec { access: Access::Ro, ..spec("cur_power", DpKind::Bool) });
        map.insert(DpId(26), spec("fault", DpKind::Bitmap(["ov".into()].into())));
        map.insert(DpId(41), spec("child", DpKind::Raw(4)));
        Schema(map)
    }

    #[test]
    fn writes_are_checked_with_reasons() {
        let s = plug();
        assert_eq!(s.check_write(DpId(1), DpValue::Bool(true)), Ok(DpValue::Bool(true)));
        let text = |dp, v| s.check_write(DpId(dp), v).unwrap_err().to_string();
        assert_eq!(text(1, DpValue::Value(1)), "dp 1 (switch_1) takes a bool, not the value 1");
        assert_eq!(text(9, DpValue::Value(90_000)), "dp 9 (countdown_1) takes 0 to 86400, not 90000");
        assert_eq!(text(9, DpValue::Value(7)), "dp 9 (countdown_1) takes 0 to 86400 in steps of 5, not 7");
        assert_eq!(text(38, DpValue::text("maybe")), "dp 38 (relay_status) takes one of off, on, not maybe");
        assert_eq!(text(19, DpValue::Bool(true)), "dp 19 (cur_power) is read-only");
        assert!(
            text(77, DpValue::Bool(true)).starts_with("dp 77 is not a point of this product; it has 1, 9")
        );
        assert!(text(41, DpValue::text("AQIDBAU=")).contains("at most 4 bytes"));
    }

    #[test]
    fn hearing_refines() {
        let mut dps: Dps = [
            (DpId(38), DpValue::text("on")),
            (DpId(26), DpValue::Value(1)),
            (DpId(41), DpValue::text("AQID")),
            (DpId(99), DpValue::text("as it came")),
        ]
        .into_iter()
        .collect();
        plug().refine(&mut dps);
        assert_eq!(dps.value(DpId(38)), Some(&DpValue::Enum("on".into())));
        assert_eq!(dps.value(DpId(26)), Some(&DpValue::Bitmap(1)));
        assert_eq!(dps.value(DpId(41)), Some(&DpValue::Raw([1, 2, 3].into())));
        assert_eq!(dps.value(DpId(99)), Some(&DpValue::text("as it came")));
    }
}
