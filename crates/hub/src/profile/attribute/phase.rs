//! Voltage, current and power of one phase, packed into bytes by breakers and meters (lan.md 8.2).

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde_json::{Map, Value, json};

use super::super::WriteError;
use super::super::convert::{bare, label};
use super::super::number::decimal;
use super::{misfit, word};

/// One phase: u16 in 0.1 V, u24 in mA, u24 in W.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    /// Name of the attribute.
    pub(crate) name: String,
    /// The point.
    pub(crate) dp: DpId,
}

const BYTES: usize = 8;

impl Phase {
    pub(super) fn points(&self) -> Vec<DpId> {
        vec![self.dp]
    }

    pub(super) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        let Some(value) = dps.value(self.dp) else { return };
        let bytes: Option<Vec<u8>> = match value {
            DpValue::Raw(bytes) => Some(bytes.to_vec()),
            other => word(other).and_then(|t| base64_simd::STANDARD.decode_to_vec(t.as_bytes()).ok()),
        };
        let shown = match bytes.as_deref() {
            // More bytes follow on some products; what they mean is not known.
            Some(bytes) if bytes.len() >= BYTES => {
                let big = |from: usize, to: usize| {
                    bytes[from..to].iter().fold(0_i64, |n, b| n << 8 | i64::from(*b))
                };
                json!({
                    "voltage": decimal(big(0, 2), 1),
                    "current": decimal(big(2, 5), 3),
                    "power": big(5, 8),
                })
            }
            // Shown as it came: better than nothing, and nothing is made up.
            _ => bare(value),
        };
        out.insert(self.name.clone(), shown);
    }

    pub(super) fn writes(&self) -> Vec<&str> {
        Vec::new()
    }

    pub(super) fn write(
        &self,
        _asked: &Map<String, Value>,
        _now: &Dps,
        _out: &mut Dps,
    ) -> Result<(), WriteError> {
        Err(misfit(&self.name, "is a reading"))
    }

    pub(super) fn exposes(&self) -> Vec<Value> {
        let part = |name: &str, unit: &str| json!({"type": "numeric", "name": name, "property": name, "label": label(name), "access": 0b101, "unit": unit});
        vec![json!({
            "type": "composite", "name": self.name, "property": self.name, "label": label(&self.name), "access": 0b101,
            "features": [part("voltage", "V"), part("current", "A"), part("power", "W")],
        })]
    }
}
