//! A definition as a profile in TOML, for the owner to keep, to edit and to give to others. It says where each fact came
//! from, holds nothing of the owner, and reads back as the same definition.

use std::fmt::Write as _;

use landfall_proto::schema::{Access, DpKind};
use serde::Serialize;

use super::entity::Entity;
use super::{Definition, Point, names};

#[derive(Serialize)]
struct Head<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    class: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<Refresh>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metering: Option<Metering>,
}

#[derive(Serialize)]
struct Refresh {
    points: Vec<u16>,
    every: u64,
}

#[derive(Serialize)]
struct Metering {
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    power: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voltage: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<u16>,
}

#[derive(Default, Serialize)]
struct Row<'a> {
    id: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    code: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    access: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<&'a [Box<str>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a [Box<str>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maxlen: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    action: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    passive: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    trigger: &'a str,
    event: bool,
    history: bool,
    hidden: bool,
}

#[derive(Serialize)]
struct List {
    entity: [Entity; 1],
}

impl<'a> Row<'a> {
    fn of(id: u16, point: &'a Point) -> Self {
        let spec = &point.spec;
        let access = match spec.access {
            Access::Rw => "",
            Access::Ro => "ro",
            Access::Wr => "wr",
        };
        let own = names::of(&spec.code, landfall_proto::dp::DpId(id)) != point.name;
        let mut row = Self {
            id,
            code: &spec.code,
            kind: spec.kind.name(),
            access,
            name: own.then_some(&*point.name),
            action: spec.action,
            passive: spec.passive,
            trigger: &spec.trigger,
            event: point.event,
            history: point.history,
            hidden: point.hidden,
            ..Self::default()
        };
        match &spec.kind {
            DpKind::Value { min, max, step, scale, unit } => {
                (row.min, row.max, row.scale) = (Some(*min), Some(*max), Some(*scale));
                row.step = (*step > 1).then_some(*step);
                row.unit = (!unit.is_empty()).then_some(&**unit);
            }
            DpKind::Enum(words) => row.range = Some(words),
            DpKind::Bitmap(labels) => row.labels = Some(labels),
            DpKind::String(max) | DpKind::Raw(max) => row.maxlen = i64::try_from(*max).ok(),
            DpKind::Bool => {}
        }
        row
    }
}

impl Definition {
    /// The definition as a profile: the owner can edit it and give it back, or send it in. Comments say where each
    /// point's facts came from.
    pub fn to_toml(&self) -> String {
        let head = Head {
            name: &self.name,
            class: self.class.word(),
            stale_after: self.stale_after.map(|d| d.as_secs()),
            refresh: self.refresh.as_ref().map(|r| Refresh {
                points: r.points.iter().map(|id| id.0).collect(),
                every: r.every.as_secs(),
            }),
            metering: self.metering.as_ref().map(|m| Metering {
                delta: m.delta.map(|(id, _)| id.0),
                meter: m.meter.map(|(id, _)| id.0),
                power: m.power.map(|(id, _)| id.0),
                voltage: m.voltage.map(|(id, _)| id.0),
                current: m.current.map(|(id, _)| id.0),
            }),
        };
        let mut out = String::new();
        // What is serialised here has no form that TOML lacks; a fault would be a bug and is shown where it is read.
        let text = |part: Result<String, toml::ser::Error>| part.unwrap_or_else(|e| format!("# {e}\n"));
        out.push_str(&text(toml::to_string(&head)));
        for (id, point) in &self.points {
            let mut from = point.source.to_string();
            for (what, source) in &point.also {
                let _infallible = write!(from, "; {what}: {source}");
            }
            // A rule or file name is one line; a comment must be.
            let from = from.replace(['\n', '\r'], " ");
            let row = text(toml::to_string(&Row::of(id.0, point)));
            let _infallible = write!(out, "\n# {from}\n[[point]]\n{row}");
        }
        for entity in self.attributes.iter().filter_map(Entity::of) {
            // Inside of its list, so that tables in it get their whole names.
            let row = text(toml::to_string(&List { entity: [entity] }));
            let _infallible = write!(out, "\n{row}");
        }
        out
    }
}
