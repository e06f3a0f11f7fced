//! Attributes that are more than one plain point: several points that only make sense together, or one with a code inside.

mod binary;
mod cover;
mod infrared;
mod light;
mod mapped;
mod phase;

use landfall_proto::dp::{DpId, DpValue, Dps};
use serde_json::{Map, Value};

use super::WriteError;

pub(crate) use binary::Binary;
pub(crate) use cover::{Cover, Dialect, Names as CoverNames};
pub(crate) use infrared::Infrared;
pub(crate) use light::{Encoding, Light, Names as LightNames, USUAL_MIRED, Warmth};
pub(crate) use mapped::{Mapped, Mask, Rule, Shape};
pub(crate) use phase::Phase;

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    /// Switch, mode, brightness, colour temperature and colour of one light.
    Light(Light),
    /// Command, position and state of one cover.
    Cover(Cover),
    /// Two states in words or numbers.
    Binary(Binary),
    /// Voltage, current and power packed into bytes.
    Phase(Phase),
    /// Sending and learning codes.
    Infrared(Infrared),
    /// One point by rules.
    Mapped(Mapped),
}

macro_rules! each {
    ($self:ident, $a:ident => $call:expr) => {
        match $self {
            Attribute::Light($a) => $call,
            Attribute::Cover($a) => $call,
            Attribute::Binary($a) => $call,
            Attribute::Phase($a) => $call,
            Attribute::Infrared($a) => $call,
            Attribute::Mapped($a) => $call,
        }
    };
}

impl Attribute {
    /// Whether the point is read and written here and nowhere else.
    pub(crate) fn claims(&self, id: DpId) -> bool {
        each!(self, a => a.points().contains(&id))
    }

    /// Whether both read the same point and one can't stand beside the other: rules for different bits of it can.
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        if matches!((self, other), (Self::Mapped(_), Self::Mapped(_))) {
            return false;
        }
        each!(self, a => a.points().iter().any(|id| other.claims(*id)))
    }

    /// Puts what these points say into a state.
    pub(crate) fn read(&self, dps: &Dps, out: &mut Map<String, Value>) {
        each!(self, a => a.read(dps, out));
    }

    /// Names that can be written.
    pub(crate) fn writes(&self) -> Vec<&str> {
        each!(self, a => a.writes())
    }

    /// Whether this name is to be written here.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.writes().contains(&name) || matches!(self, Self::Cover(c) if c.also_takes(name))
    }

    /// What to set so that these, all taken by this attribute, become so.
    pub(crate) fn write(
        &self,
        asked: &Map<String, Value>,
        now: &Dps,
        out: &mut Dps,
    ) -> Result<(), WriteError> {
        each!(self, a => a.write(asked, now, out))
    }

    /// As zigbee2mqtt's `exposes` has it.
    pub(crate) fn exposes(&self) -> Vec<Value> {
        each!(self, a => a.exposes())
    }
}

fn misfit(name: &str, reason: impl Into<String>) -> WriteError {
    WriteError::Misfit { name: name.to_owned(), reason: reason.into() }
}

/// The text of a value, if it is one.
fn word(value: &DpValue) -> Option<&str> {
    match value {
        DpValue::Enum(t) | DpValue::String(t) => Some(t),
        _ => None,
    }
}

fn number(value: Option<&DpValue>) -> Option<i64> {
    match value {
        Some(DpValue::Value(n)) => Some(*n),
        // Some firmware writes numbers as text.
        Some(other) => word(other)?.parse().ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests;
