//! The vendor's own descriptions in JSON, as its API and other tools give them (field.md 4.7).

use landfall_book::Mapping;
use landfall_proto::schema_text;
use serde_json::{Map, Value, json};

use super::super::Source;
use super::super::layer::Layer;

/// Deepest wrapping that is taken off: `{"result": {"model": "..."}}` and the like.
const WRAPPINGS: usize = 4;

/// Reads one of them.
pub(super) fn read(text: &str) -> Result<Layer, String> {
    let mut value: Value = serde_json::from_str(text)
        .map_err(|e| format!("not JSON: line {}, column {}", e.line(), e.column()))?;
    for _ in 0..WRAPPINGS {
        match unwrapped(&value)? {
            Some(inner) => value = inner,
            None => break,
        }
    }
    match &value {
        Value::Array(_) => {
            let read = schema_text::parse(&value.to_string()).map_err(|e| e.to_string())?;
            if read.schema.0.is_empty() {
                return Err("the list holds no point: an activation schema has id, mode and property".into());
            }
            Ok(Layer::of_schema(Source::Activation, &read.schema))
        }
        Value::Object(map) if map.contains_key("services") => thing_model(map),
        Value::Object(map) if map.contains_key("functions") || map.contains_key("status") => {
            specification(map)
        }
        Value::Object(map) if map.contains_key("properties") => {
            thing_model(&Map::from_iter([("services".to_owned(), json!([map]))]))
        }
        Value::Object(map) if map.keys().any(|k| k.parse::<u16>().is_ok()) => {
            points(map.clone(), Source::Mapping)
        }
        _ => Err("neither a thing model (services), nor specifications (functions, status), nor a mapping \
                  (points by number), nor an activation schema (a list)"
            .into()),
    }
}

/// What is inside of an answer of the API.
fn unwrapped(value: &Value) -> Result<Option<Value>, String> {
    for field in ["result", "model", "mapping"] {
        match value.get(field) {
            Some(Value::String(text)) => {
                let inner = serde_json::from_str(text).map_err(|e| {
                    format!("{field}: the text in it is not JSON: line {}, column {}", e.line(), e.column())
                })?;
                return Ok(Some(inner));
            }
            Some(inner @ (Value::Object(_) | Value::Array(_))) => return Ok(Some(inner.clone())),
            _ => {}
        }
    }
    Ok(None)
}

fn points(map: Map<String, Value>, source: Source) -> Result<Layer, String> {
    let mapping = Mapping::new(Value::Object(map)).map_err(|e| e.to_string())?;
    if mapping.schema().0.is_empty() {
        return Err("it describes no point by number".into());
    }
    Ok(Layer::of_schema(source, mapping.schema()))
}

/// `services[].properties[]` with `abilityId`, `accessMode`, `code`, `typeSpec`.
fn thing_model(map: &Map<String, Value>) -> Result<Layer, String> {
    let services = map.get("services").and_then(Value::as_array).ok_or("services: not a list")?;
    let mut all = Map::new();
    let properties =
        services.iter().filter_map(|s| s.get("properties")).filter_map(Value::as_array).flatten();
    for (n, property) in properties.enumerate() {
        let at = || format!("property {}", n + 1);
        let id = number(property, &["abilityId", "dpId"])
            .ok_or_else(|| format!("{}: abilityId: not the number of a point", at()))?;
        let spec = property.get("typeSpec").ok_or_else(|| format!("{}: typeSpec is missing", at()))?;
        let entry = json!({
            "code": property.get("code"), "type": spec.get("type"), "values": spec,
            "mode": property.get("accessMode"),
        });
        all.insert(id.to_string(), entry);
    }
    points(all, Source::ThingModel)
}

/// `functions[]` can be written, `status[]` is reported; `values` is JSON as text.
fn specification(map: &Map<String, Value>) -> Result<Layer, String> {
    let list = |field: &str| map.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let (functions, status) = (list("functions"), list("status"));
    let mut all = Map::new();
    let mut unnumbered = 0_usize;
    for (entries, mode) in [(&status, "ro"), (&functions, "wr")] {
        for entry in entries {
            let Some(id) = number(entry, &["dp_id", "dpId", "abilityId"]) else {
                unnumbered += 1;
                continue;
            };
            let reported = status.iter().any(|s| s.get("code") == entry.get("code"));
            let mode = if mode == "wr" && reported { "rw" } else { mode };
            let made = json!({
                "code": entry.get("code"), "type": entry.get("type"), "values": entry.get("values"), "mode": mode,
            });
            all.insert(id.to_string(), made);
        }
    }
    if all.is_empty() && unnumbered > 0 {
        return Err(
            "the specifications name codes without the numbers of their points (dp_id): ask the API \
                    for the thing model, or for specifications of version 1.1"
                .into(),
        );
    }
    points(all, Source::ThingModel)
}

fn number(value: &Value, fields: &[&str]) -> Option<u16> {
    fields.iter().find_map(|f| value.get(*f)).and_then(|v| match v {
        Value::Number(n) => n.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(t) => t.parse().ok(),
        _ => None,
    })
}
