//! `set` and `get`: what a payload asks of a device. Values are absolute; the device shows what became of them.

use std::sync::Arc;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::DeviceId;
use landfall_proto::schema::{DpKind, MisfitError};
use serde_json::{Map, Value, json};

use crate::model::{By, CommandOptions, DeviceView, Home, Outcome, Problem};
use crate::profile::{Definition, WriteError};

/// Why something was not done, for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// Stable dotted code.
    pub(super) code: String,
    /// In words.
    pub(super) message: String,
    /// The next step.
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// As JSON, for the topic that it was said on.
    pub(super) fn told(&self, topic: &str) -> Value {
        json!({ "topic": topic, "code": self.code, "error": self.message, "hint": self.hint })
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { code: problem.code.into(), message: problem.message, hint: problem.hint }
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<MisfitError> for Refusal {
    fn from(error: MisfitError) -> Self {
        WriteError::Point(error).into()
    }
}

/// The points of `<name>/set`: a JSON object of attributes.
pub(super) fn attributes(view: &DeviceView, payload: &[u8]) -> Result<Dps, Refusal> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(attributes)) => write(view, attributes),
        _ => Err(Refusal::new("payload.not_an_object", format!("{} is not a JSON object", shown(payload)))
            .hint("publish {\"attribute\": value} to .../set, or a single value to .../set/<attribute>")),
    }
}

/// The points of `<name>/set/<attribute>`: JSON, or else text.
pub(super) fn attribute(view: &DeviceView, name: &str, payload: &[u8]) -> Result<Dps, Refusal> {
    write(view, Map::from_iter([(name.to_owned(), said(payload)?)]))
}

/// The point of `<name>/dp/<n>/set`: JSON, or else text. A point of text takes any text as it stands.
pub(super) fn point(view: &DeviceView, dp: DpId, payload: &[u8]) -> Result<Dps, Refusal> {
    let value = said(payload)?;
    let kind = view.definition.schema.spec(dp).map(|spec| &spec.kind);
    no_toggle(kind, &dp.to_string(), &value)?;
    let value = match (kind, &value) {
        (Some(DpKind::Enum(_) | DpKind::String(_) | DpKind::Raw(_)), Value::String(text)) => {
            DpValue::text(&**text)
        }
        (Some(DpKind::Enum(_) | DpKind::String(_) | DpKind::Raw(_)), _) => {
            DpValue::text(String::from_utf8_lossy(payload).trim())
        }
        _ => serde_json::from_value(switch(kind, value))
            .map_err(|e| Refusal::new("dp.wrong_type", format!("dp {dp}: {e}")))?,
    };
    let value = view.definition.schema.check_write(dp, value)?;
    Ok(Dps::from_iter([(dp, value)]))
}

/// The points that a `get` names; none: all.
pub(super) fn wanted(view: &DeviceView, payload: &[u8]) -> Vec<DpId> {
    let Ok(Value::Object(named)) = serde_json::from_slice(payload) else { return Vec::new() };
    let points = named.keys().map(|name| of_name(&view.definition, name));
    // An attribute of several points: all of them are asked for.
    points.collect::<Option<_>>().unwrap_or_default()
}

/// Sets points and waits for the outcome.
pub(super) async fn set(home: Arc<dyn Home>, device: DeviceId, dps: Dps) -> Result<(), Refusal> {
    let ended = home.set(&device, dps, CommandOptions::of(By::Mqtt)).await?;
    match &ended.outcome {
        Outcome::Confirmed | Outcome::Accepted => Ok(()),
        Outcome::Refused { .. } => Err(Refusal::new("command.refused", ended.outcome.to_string())),
        Outcome::Unconfirmed { .. } => Err(Refusal::new("command.unconfirmed", ended.outcome.to_string())),
    }
}

fn of_name(definition: &Definition, name: &str) -> Option<DpId> {
    definition.points.iter().find(|(_, point)| point.name == name).map(|(dp, _)| *dp)
}

fn write(view: &DeviceView, attributes: Map<String, Value>) -> Result<Dps, Refusal> {
    let mut meant = Map::new();
    for (name, value) in attributes {
        let dp = of_name(&view.definition, &name);
        let kind = dp.and_then(|dp| view.definition.points.get(&dp)).map(|point| &point.spec.kind);
        no_toggle(kind, &name, &value)?;
        meant.insert(name, switch(kind, value));
    }
    let dps = view.definition.write(&meant, &view.dps())?;
    if dps.is_empty() {
        return Err(Refusal::new("payload.empty", "nothing to set").hint("name at least one attribute"));
    }
    Ok(dps)
}

/// A toggle depends on what is there when it comes: sent twice, or late, it does the opposite. A point whose own list has
/// the word is meant by it.
fn no_toggle(kind: Option<&DpKind>, name: &str, value: &Value) -> Result<(), Refusal> {
    let Value::String(word) = value else { return Ok(()) };
    let listed = matches!(kind, Some(DpKind::Enum(words)) if words.iter().any(|w| **w == **word));
    if word.eq_ignore_ascii_case("toggle") && !listed {
        return Err(Refusal::new("command.toggle", format!("{name}: \"{word}\" is not an absolute value"))
            .hint("read the state and set true or false: a toggle that arrives twice does the opposite"));
    }
    Ok(())
}

/// `ON` and `OFF` for a switch, as Home Assistant and others say.
fn switch(kind: Option<&DpKind>, value: Value) -> Value {
    match (kind, value.as_str()) {
        (Some(DpKind::Bool), Some(word)) if word.eq_ignore_ascii_case("on") => Value::Bool(true),
        (Some(DpKind::Bool), Some(word)) if word.eq_ignore_ascii_case("off") => Value::Bool(false),
        _ => value,
    }
}

/// A scalar as it was said: JSON, or else text.
fn said(payload: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(payload).or_else(|_| match std::str::from_utf8(payload) {
        Ok(text) => Ok(Value::String(text.trim().to_owned())),
        Err(_) => Err(Refusal::new("payload.not_text", "the payload is neither JSON nor text")),
    })
}

/// The beginning of a payload, for an error.
fn shown(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let mut start: String = text.chars().take(60).collect();
    if start.len() < text.len() {
        start.push_str("...");
    }
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeHome, LIGHT, PLUG};

    fn view(id: &str) -> Arc<DeviceView> {
        FakeHome::new().device(id).unwrap()
    }

    fn dps(id: u16, value: DpValue) -> Dps {
        Dps::from_iter([(DpId(id), value)])
    }

    #[test]
    fn points_take_json_or_text_by_their_type() {
        let (plug, light) = (view(PLUG), view(LIGHT));
        for word in ["true", "ON", "on", "\"ON\"", " on\n"] {
            assert_eq!(point(&plug, DpId(1), word.as_bytes()), Ok(dps(1, DpValue::Bool(true))), "{word}");
        }
        assert_eq!(point(&plug, DpId(1), b"OFF"), Ok(dps(1, DpValue::Bool(false))));
        assert_eq!(point(&light, DpId(22), b"500"), Ok(dps(22, DpValue::Value(500))));
        for word in ["colour", "\"colour\""] {
            assert_eq!(point(&light, DpId(21), word.as_bytes()), Ok(dps(21, DpValue::Enum("colour".into()))));
        }
        for (dp, payload, code) in [
            (1, &b"1"[..], "dp.wrong_type"),
            (1, b"perhaps", "dp.wrong_type"),
            (1, b"null", "dp.wrong_type"),
            (1, b"\xff", "payload.not_text"),
            (18, b"1", "dp.read_only"),
            (99, b"1", "dp.unknown"),
            (1, b"toggle", "command.toggle"),
            (1, b"\"TOGGLE\"", "command.toggle"),
        ] {
            assert_eq!(point(&plug, DpId(dp), payload).unwrap_err().code, code, "dp {dp} {payload:?}");
        }
        assert_eq!(point(&light, DpId(22), b"5").unwrap_err().code, "dp.out_of_range");
    }

    #[test]
    fn a_toggle_is_refused_with_the_next_step_and_a_word_of_a_list_is_no_toggle() {
        let plug = view(PLUG);
        for refused in [
            attributes(&plug, br#"{"switch_1":"toggle"}"#),
            attribute(&plug, "switch_1", b"TOGGLE"),
            attribute(&plug, "unheard", b"toggle"),
        ] {
            let refusal = refused.unwrap_err();
            assert_eq!(refusal.code, "command.toggle");
            assert!(refusal.hint.unwrap().contains("true or false"));
        }
        let kinds = DpKind::Enum(["flip", "toggle"].map(Into::into).into());
        assert_eq!(no_toggle(Some(&kinds), "switch_type", &json!("toggle")), Ok(()));
    }

    #[test]
    fn set_takes_objects_only() {
        for payload in [&b"true"[..], b"[1]", b"on", b"{", b"\xff"] {
            let refusal = attributes(&view(PLUG), payload).unwrap_err();
            assert_eq!(refusal.code, "payload.not_an_object");
            assert!(refusal.hint.unwrap().contains("/set/<attribute>"));
        }
        assert_eq!(attributes(&view(PLUG), b"{}").unwrap_err().code, "payload.empty");
    }

    #[test]
    fn get_names_points_or_means_all() {
        let plug = view(PLUG);
        assert_eq!(wanted(&plug, br#"{"power":"","voltage":""}"#), [DpId(19), DpId(20)]);
        for all in [&b""[..], b"{}", br#"{"power":"","energy":""}"#, b"power"] {
            assert_eq!(wanted(&plug, all), [], "{all:?}");
        }
    }
}
