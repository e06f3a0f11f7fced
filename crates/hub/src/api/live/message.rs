//! A change as JSON, the same for SSE and WebSocket.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::body::{EnergyNow, LineBody, OutcomeBody, PresenceBody};
use crate::bus::Gap;
use crate::model::{Change, Home, What};

/// What a client is told of a change.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    /// Its number.
    pub(super) seq: u64,
    /// Its word: `points`, `event`, `presence`...
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Message {
    /// Of a change.
    pub(super) fn of(change: &Change, home: &dyn Home) -> Self {
        let (kind, more) = details(change, home);
        let more = match more {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let device = change.device.as_ref().map(ToString::to_string);
        Self { seq: change.seq.0, kind, at_ms: change.at_ms, device, more }
    }
}

fn details(change: &Change, home: &dyn Home) -> (&'static str, Value) {
    // Attributes by the definition of now: a change is told within moments.
    let state = |dps: &landfall_proto::dp::Dps| {
        let view = change.device.as_ref().and_then(|d| home.device(d.as_str()).ok());
        view.map(|v| v.definition.read(dps)).unwrap_or_default()
    };
    match &change.what {
        What::Points { line, origin, dps, changed, device_ms } => {
            let changed: Vec<_> = changed.iter().map(|id| id.0).collect();
            let polled = *origin == crate::model::Origin::Polled;
            let more = json!({
                "line": line.word(), "polled": polled, "dps": **dps, "changed": changed, "state": state(dps),
                "device_ms": device_ms,
            });
            ("points", more)
        }
        What::Event { line, dps } => {
            ("event", json!({"line": line.word(), "dps": **dps, "state": state(dps)}))
        }
        What::Presence(presence) => ("presence", json!({"presence": PresenceBody::from(presence)})),
        What::Line { line, view } => ("line", json!({"line": line.word(), "view": LineBody::from(&**view)})),
        What::Stale { stale } => {
            let stale: Vec<_> = stale.iter().map(|id| id.0).collect();
            ("stale", json!({"stale": stale}))
        }
        What::Energy(energy) => ("energy", json!({"energy": EnergyNow::from(energy)})),
        What::EnergyNote { code, text } => ("energy_note", json!({"code": code, "text": text})),
        What::Command(ended) => ("command", json!({"outcome": OutcomeBody::from(&**ended)})),
        What::Added => ("added", json!({})),
        What::Removed { name } => ("removed", json!({"name": name})),
        What::Renamed { from, to } => ("renamed", json!({"from": from, "to": to})),
        What::Edited => ("edited", json!({})),
        What::Hub { code, text } => ("hub", json!({"code": code, "text": text})),
    }
}

/// A change as the live streams tell it, for the command line.
pub fn change_json(change: &Change, home: &dyn Home) -> Value {
    // Maps of names and numbers: there is nothing in it that can't be JSON.
    serde_json::to_value(Message::of(change, home)).unwrap_or_default()
}

/// Changes were missed.
pub(super) fn gap(gap: Gap) -> Value {
    json!({"type": "gap", "from": gap.from.0, "to": gap.to.0})
}

/// The first thing that a client is told: after which change the stream begins.
pub(super) fn hello(after: u64) -> Value {
    json!({"type": "hello", "seq": after})
}
