//! tinytuya's devices.json out.

use landfall_proto::id::{AuthKey, DeviceId, PskKey, SecKey};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::book::Book;
use crate::device::Device;
use crate::import::OWN;

/// Whether keys go into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// As they are. The file must not be readable by others.
    With,
    /// The field stays, empty: tools want it there.
    Without,
}

/// An entry in the order in which tinytuya writes it.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    id: &'a DeviceId,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_name: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    #[serde(flatten)]
    extra: Map<String, Value>,
    sub: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    landfall: Option<Value>,
}

/// The text of a devices.json. Without keys it holds no other secret either: fields that look like one are left out.
///
/// # Errors
/// Never in practice; the serializer's word is passed on.
pub fn devices_json(book: &Book, keys: Keys) -> Result<String, serde_json::Error> {
    let entries: Vec<Entry<'_>> = book.devices().iter().map(|d| entry(d, keys)).collect();
    let mut text = serde_json::to_string_pretty(&entries)?;
    text.push('\n');
    Ok(text)
}

fn entry(d: &Device, keys: Keys) -> Entry<'_> {
    let with = keys == Keys::With;
    let mut extra = d.extra.clone();
    if !with {
        extra.retain(|name, _| !looks_secret(name));
    } else {
        let side = &d.cloud;
        for (name, key) in [
            ("auth_key", side.auth_key.as_ref().map(AuthKey::expose_str)),
            ("sec_key", side.sec_key.as_ref().map(SecKey::expose_str)),
            ("psk_key", side.psk_key.as_ref().map(PskKey::expose_str)),
        ] {
            if let Some(key) = key {
                extra.insert(name.to_owned(), json!(key));
            }
        }
    }
    Entry {
        name: &d.name,
        id: &d.id,
        key: d.key.as_ref().filter(|_| with).map_or("", |k| k.expose_str()),
        mac: d.mac.as_ref(),
        uuid: d.uuid.as_ref().map(AsRef::as_ref),
        category: d.category.as_ref(),
        product_name: d.product_name.as_ref(),
        product_id: d.product_id.as_ref().map(AsRef::as_ref),
        extra,
        sub: d.is_sub_device(),
        parent: d.parent.as_ref(),
        node_id: d.cid.as_ref().map(AsRef::as_ref),
        ip: d.address.map(|a| a.to_string()),
        port: d.port,
        version: d.version.map(landfall_proto::lan::Version::as_str),
        mapping: d.mapping.as_ref().map(crate::mapping::Mapping::raw),
        landfall: own(d, with),
    }
}

/// What devices.json has no field for, under a name that other tools ignore.
fn own(d: &Device, with_keys: bool) -> Option<Value> {
    let mut own = Map::new();
    if d.sleeper {
        own.insert("sleeper".to_owned(), json!(true));
    }
    if d.device22 {
        own.insert("device22".to_owned(), json!(true));
    }
    if !d.aliases.is_empty() {
        own.insert("aliases".to_owned(), json!(d.aliases));
    }
    if with_keys && !d.key_history.is_empty() {
        own.insert("key_history".to_owned(), json!(d.key_history));
    }
    debug_assert_eq!(OWN, "landfall");
    (!own.is_empty()).then_some(Value::Object(own))
}

/// `auth_key`, `secKey`, `token`, `password`, `psk`...
fn looks_secret(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    ["key", "secret", "token", "password", "passwd", "psk"].iter().any(|end| field.ends_with(end))
}
