//! Two states that the device says in words or numbers: a leak, a door, smoke.

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde_json::{Map, Value, json};

use super::super::WriteError;
use super::super::convert::{access_bits, boolean, label};
use landfall_proto::schema::Access;

/// A point with two states.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binary {
    /// Name of the attribute.
    pub(crate) name: String,
    /// The point.
    pub(crate) dp: DpId,
    /// Values that mean true. The first is written.
    pub(crate) on: Vec<DpValue>,
    /// What is written for false; nothing can be written without it.
    pub(crate) off: Option<DpValue>,
    /// Who may write it.
    pub(crate) access: Access,
}

impl Binary {
    pub(super) fn points(&self) -> Vec<DpId> {
        vec![self.dp]
    }

    pub(super) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        if let Some(value) = dps.value(self.dp) {
            out.insert(self.name.clone(), self.on.iter().any(|on| on.same_on_wire(value)).into());
        }
    }

    pub(super) fn writes(&self) -> Vec<&str> {
        if self.access == Access::Ro || self.off.is_none() { Vec::new() } else { vec![&self.name] }
    }

    pub(super) fn write(
        &self,
        asked: &Map<String, Value>,
        _now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        for (name, value) in asked {
            let value = if boolean(name, value)? { self.on.first() } else { self.off.as_ref() };
            if let Some(value) = value {
                out.insert(self.dp, value.clone());
            }
        }
        Ok(())
    }

    pub(super) fn exposes(&self) -> Vec<Value> {
        let access = if self.off.is_none() { Access::Ro } else { self.access };
        vec![json!({
            "type": "binary", "name": self.name, "property": self.name, "label": label(&self.name),
            "access": access_bits(access), "value_on": true, "value_off": false,
        })]
    }
}
