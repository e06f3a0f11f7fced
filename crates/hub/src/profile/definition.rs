//! What the points of one device mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::schema::{DpSpec, MisfitError, Schema};
use serde_json::{Map, Value};

use super::Source;

/// What a device is, for those who show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// A socket.
    Plug,
    /// A switch or strip.
    Switch,
    /// A light.
    Light,
    /// A cover: blind, curtain, garage door.
    Cover,
    /// A fan.
    Fan,
    /// A thermostat.
    Thermostat,
    /// A dimmer.
    Dimmer,
    /// A sensor.
    Sensor,
    /// A gateway.
    Gateway,
    /// An infrared blaster.
    Infrared,
    /// A feeder or another thing that acts on each write.
    Actor,
    /// Not known.
    #[default]
    Other,
}

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Type, limits, access, whether it acts on each write.
    pub spec: DpSpec,
    /// Name of its attribute in states and commands: `switch_1`, `power`, `dp_101`. Unique in a definition.
    pub name: String,
    /// Where it came from.
    pub source: Source,
    /// A pushed repeat is an event (a button).
    pub event: bool,
    /// The last value is worth a line in the history.
    pub history: bool,
}

/// How to have a device measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The points.
    pub points: Vec<DpId>,
    /// How often.
    pub every: Duration,
}

/// Which points measure energy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metering {
    /// The delta point (`add_ele`): energy used since its last report, in so many mWh a count.
    pub delta: Option<(DpId, i64)>,
    /// A meter that counts up for ever, in so many mWh a count.
    pub meter: Option<(DpId, i64)>,
    /// Power: milliwatts a count.
    pub power: Option<(DpId, i64)>,
    /// Voltage: millivolts a count.
    pub voltage: Option<(DpId, i64)>,
    /// Current: microamperes a count.
    pub current: Option<(DpId, i64)>,
}

/// What the points of one device mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// Name of the product for people.
    pub name: String,
    /// What it is.
    pub class: Class,
    /// The points.
    pub points: BTreeMap<DpId, Point>,
    /// The same as a schema, for the lines.
    pub schema: Arc<Schema>,
    /// How to have it measure, where it needs that.
    pub refresh: Option<Recipe>,
    /// Which points measure energy.
    pub metering: Option<Metering>,
    /// Readings that were not reported for so long are stale; `None`: never.
    pub stale_after: Option<Duration>,
}

/// Why attributes can't be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// No such attribute.
    #[error("{name:?} is not an attribute of this device; it takes {known}")]
    Unknown {
        /// What was named.
        name: String,
        /// What can be written, as a list.
        known: String,
    },
    /// A value does not fit.
    #[error("{name}: {reason}")]
    Misfit {
        /// The attribute.
        name: String,
        /// Why: value and what is taken.
        reason: String,
    },
    /// A point does not take it.
    #[error(transparent)]
    Point(#[from] MisfitError),
}

impl WriteError {
    /// Stable dotted code: `attribute.unknown`, `dp.out_of_range`...
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "attribute.unknown",
            Self::Misfit { .. } => "attribute.misfit",
            Self::Point(MisfitError::UnknownPoint { .. }) => "dp.unknown",
            Self::Point(MisfitError::ReadOnly { .. }) => "dp.read_only",
            Self::Point(MisfitError::WrongType { .. }) => "dp.wrong_type",
            Self::Point(_) => "dp.out_of_range",
        }
    }
}

impl Definition {
    /// Points as people read them: attributes by name, scaled to their units.
    pub fn read(&self, dps: &Dps) -> Map<String, Value> {
        let _ = dps;
        Map::new()
    }

    /// What to set so that these attributes become so, given the points as they are. Absolute values only.
    ///
    /// # Errors
    /// Unknown attribute, or a value that does not fit.
    pub fn write(&self, attributes: &Map<String, Value>, now: &Dps) -> Result<Dps, WriteError> {
        let _ = (attributes, now);
        Ok(Dps::default())
    }

    /// What can be read and written, as zigbee2mqtt's `exposes` has it.
    pub fn exposes(&self) -> Value {
        Value::Array(Vec::new())
    }
}
