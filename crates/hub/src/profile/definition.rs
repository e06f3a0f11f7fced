//! What the points of one device mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::DpId;
use landfall_proto::schema::{DpKind, DpSpec, MisfitError, Schema};

use super::attribute::Attribute;
use super::{Source, names};

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

impl Class {
    /// All classes with their words.
    pub const WORDS: [(Self, &'static str); 12] = [
        (Self::Plug, "plug"),
        (Self::Switch, "switch"),
        (Self::Light, "light"),
        (Self::Cover, "cover"),
        (Self::Fan, "fan"),
        (Self::Thermostat, "thermostat"),
        (Self::Dimmer, "dimmer"),
        (Self::Sensor, "sensor"),
        (Self::Gateway, "gateway"),
        (Self::Infrared, "infrared"),
        (Self::Actor, "actor"),
        (Self::Other, "other"),
    ];

    /// Its stable word, as profiles write it.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(c, _)| *c == self).map_or("other", |(_, w)| w)
    }

    /// The class with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, w)| *w == word).map(|(c, _)| *c)
    }
}

/// One point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Type, limits, access, whether it acts on each write.
    pub spec: DpSpec,
    /// Name of its attribute in states and commands: `switch_1`, `power`, `dp_101`. Unique in a definition.
    pub name: String,
    /// Where its type and limits came from.
    pub source: Source,
    /// Facts that came from elsewhere: `code`, `unit`, `range`, `scale`, `labels`, `access`, `action`, `name`.
    pub also: Vec<(&'static str, Source)>,
    /// A pushed repeat is an event (a button).
    pub event: bool,
    /// The last value is worth a line in the history.
    pub history: bool,
    /// Not offered to people: calibration, the delta point. It is read all the same.
    pub hidden: bool,
}

impl Point {
    /// A point with this name, and the rest as its code says.
    pub fn new(name: impl Into<String>, spec: DpSpec, source: Source) -> Self {
        let hidden = names::hidden(&spec.code);
        let history = !hidden && !matches!(spec.kind, DpKind::String(_) | DpKind::Raw(_));
        let event = names::event(&spec.code);
        Self { spec, name: name.into(), source, also: Vec::new(), event, history, hidden }
    }

    /// The unit that people see: amperes where the device counts milliamperes. Empty where there is none.
    pub fn unit(&self) -> &str {
        match &self.spec.kind {
            DpKind::Value { unit, .. } => names::unit(unit).0,
            _ => "",
        }
    }
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
    /// Where the facts that belong to no single point came from: `name`, `class`, `metering`, `refresh`.
    pub sources: Vec<(&'static str, Source)>,
    /// What several points say together, or one says in its own code: lights, covers... Their points are not read plainly.
    pub(crate) attributes: Vec<Attribute>,
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
