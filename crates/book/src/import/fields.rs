//! Typed fields of a JSON object, with the spellings that tools use for them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use landfall_proto::id::{CloudKeyError, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::version::VersionError;
use serde_json::{Map, Value};

use super::Fault;
use crate::mapping::json_type;

/// A field that is wrong, and how.
pub(super) type FieldFault = (&'static str, Fault);

/// Takes the first of these spellings that has a content, and drops the others. Tools write `""` and `null` for
/// "not known".
pub(super) fn take(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Option<(&'static str, Value)> {
    let mut found = None;
    for name in spellings {
        let Some(v) = map.remove(*name) else { continue };
        let blank = v.is_null() || v.as_str().is_some_and(|t| t.trim().is_empty());
        if found.is_none() && !blank {
            found = Some((*name, v));
        }
    }
    found
}

/// Text.
pub(super) fn text(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<(&'static str, String)>, FieldFault> {
    match take(map, spellings) {
        None => Ok(None),
        Some((field, Value::String(t))) => Ok(Some((field, t))),
        Some((field, other)) => Err((field, Fault::Type { want: "text", have: json_type(&other) })),
    }
}

/// Text that a newtype checks.
pub(super) fn id<T: FromStr>(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<T>, FieldFault>
where
    Fault: From<T::Err>,
{
    match text(map, spellings)? {
        None => Ok(None),
        Some((field, t)) => t.trim().parse().map(Some).map_err(|e: T::Err| (field, e.into())),
    }
}

/// A local key: exactly as it stands, spaces included.
pub(super) fn key(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<LocalKey>, FieldFault> {
    match text(map, spellings)? {
        None => Ok(None),
        Some((field, t)) => LocalKey::new(&t).map(Some).map_err(|e| (field, e.into())),
    }
}

/// A key of the cloud side: exactly as it stands.
pub(super) fn secret<K>(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
    read: fn(String) -> Result<K, CloudKeyError>,
) -> Result<Option<K>, FieldFault> {
    match text(map, spellings)? {
        // A word on the wire for "no key", which some tools write down.
        Some((_, t)) if t == "NA" => Ok(None),
        None => Ok(None),
        Some((field, t)) => read(t).map(Some).map_err(|e| (field, e.into())),
    }
}

/// A version: `"3.3"`, `3.3`; 0 and `"0.0"` stand for "not known".
pub(super) fn version(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<Version>, FieldFault> {
    let Some((field, v)) = take(map, spellings) else { return Ok(None) };
    let t = match v {
        Value::String(t) => t.trim().to_owned(),
        Value::Number(n) => n.to_string(),
        other => {
            return Err((field, Fault::Type { want: "a version such as \"3.3\"", have: json_type(&other) }));
        }
    };
    if matches!(t.as_str(), "0" | "0.0" | "None" | "Auto" | "auto") {
        return Ok(None);
    }
    t.parse().map(Some).map_err(|e: VersionError| (field, e.into()))
}

/// An address, perhaps with a port behind it.
pub(super) fn address(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<(IpAddr, Option<u16>)>, FieldFault> {
    let Some((field, t)) = text(map, spellings)? else { return Ok(None) };
    let t = t.trim();
    if t.eq_ignore_ascii_case("auto") || t == "0.0.0.0" {
        return Ok(None);
    }
    if let Ok(ip) = t.parse() {
        return Ok(Some((ip, None)));
    }
    match t.parse::<SocketAddr>() {
        Ok(a) => Ok(Some((a.ip(), Some(a.port())))),
        Err(_) => Err((field, Fault::Address(t.chars().take(64).collect()))),
    }
}

/// A port, as a number or as text.
pub(super) fn port(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<u16>, FieldFault> {
    let Some((field, v)) = take(map, spellings) else { return Ok(None) };
    let t = match v {
        Value::Number(n) => n.to_string(),
        Value::String(t) => t.trim().chars().take(16).collect(),
        other => return Err((field, Fault::Type { want: "a port number", have: json_type(&other) })),
    };
    match t.parse::<u16>() {
        Ok(p) if p > 0 => Ok(Some(p)),
        _ => Err((field, Fault::Port(t))),
    }
}

/// True or false, where it is given.
pub(super) fn flag(
    map: &mut Map<String, Value>,
    spellings: &[&'static str],
) -> Result<Option<bool>, FieldFault> {
    match take(map, spellings) {
        None => Ok(None),
        Some((_, Value::Bool(b))) => Ok(Some(b)),
        Some((field, other)) => Err((field, Fault::Type { want: "true or false", have: json_type(&other) })),
    }
}
