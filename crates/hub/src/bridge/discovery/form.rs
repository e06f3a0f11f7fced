//! The two forms in which Home Assistant takes devices: one message for each device, or one for each entity.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::component::Component;
use super::device::unique;

/// The level of our own below the prefix.
const NODE: &str = "landfall";

/// How devices are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One message for each device. Home Assistant takes it from 2024.12 on.
    Device,
    /// One message for each entity.
    Entity,
}

/// What all entities of a device have in common.
pub(super) struct Common {
    pub(super) identity: String,
    pub(super) device: Map<String, Value>,
    pub(super) origin: Value,
    /// `None`: each entity has its own.
    pub(super) availability: Option<Value>,
}

/// What is published of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// Payloads by topic.
    pub(super) topics: BTreeMap<String, Bytes>,
    /// Its entities: id and platform.
    pub(super) entities: BTreeMap<String, String>,
}

/// Letters, digits, `-` and `_` as they are, the rest as numbers: what a level of a discovery topic may hold. Two texts never become
/// one.
fn level(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
        } else {
            out.push_str(&format!("-{:x}-", u32::from(c)));
        }
    }
    out
}

fn device_topic(prefix: &str, identity: &str) -> String {
    format!("{prefix}/device/{NODE}/{}/config", level(identity))
}

/// Whether a topic is one of those that are made here, whatever the prefix was.
pub(super) fn is_ours(topic: &str) -> bool {
    let mut levels = topic.rsplit('/');
    let tail = (levels.next(), levels.next(), levels.next(), levels.next());
    let plain =
        |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let (Some("config"), Some(object), Some(NODE), Some(component)) = tail else { return false };
    let prefix: Vec<&str> = levels.collect();
    plain(object)
        && plain(component)
        && !prefix.is_empty()
        && prefix.iter().all(|l| !l.is_empty() && !l.contains(['+', '#', '\0']))
}

/// Whether a topic is of the form with one message for each device.
pub(super) fn is_device(topic: &str) -> bool {
    topic.rsplit('/').nth(3) == Some("device")
}

/// What is published of a device with these entities.
pub(super) fn told(form: Form, prefix: &str, common: &Common, components: Vec<Component>) -> Told {
    let entities = components.iter().map(|c| (c.id(), c.platform.to_owned())).collect();
    if components.is_empty() {
        return Told::default();
    }
    let topics = match form {
        Form::Device => {
            let parts =
                components.into_iter().map(|c| (c.id(), Value::Object(entity(common, c, true)))).collect();
            let payload = device_payload(common, parts);
            BTreeMap::from([(device_topic(prefix, &common.identity), payload)])
        }
        Form::Entity => components
            .into_iter()
            .map(|component| {
                let object = level(&format!("{}_{}", common.identity, component.key));
                let topic = format!("{prefix}/{}/{NODE}/{object}/config", component.platform);
                (topic, Value::Object(entity(common, component, false)).to_string().into())
            })
            .collect(),
    };
    Told { topics, entities }
}

/// The message of the device form that takes entities away which are no more: those are there with their platform alone, beside all
/// that stay.
pub(super) fn without(now: &Bytes, gone: &BTreeMap<&String, &String>) -> Option<Bytes> {
    let mut whole: Value = serde_json::from_slice(now).ok()?;
    let parts = whole.get_mut("components")?.as_object_mut()?;
    for (id, platform) in gone {
        parts.insert((*id).clone(), json!({ "platform": platform }));
    }
    Some(whole.to_string().into())
}

fn device_payload(common: &Common, components: Map<String, Value>) -> Bytes {
    let mut whole = Map::new();
    whole.insert("device".to_owned(), Value::Object(common.device.clone()));
    whole.insert("origin".to_owned(), common.origin.clone());
    if let Some(availability) = &common.availability {
        whole.insert("availability".to_owned(), availability.clone());
        whole.insert("availability_mode".to_owned(), "all".into());
    }
    whole.insert("components".to_owned(), Value::Object(components));
    whole.insert("qos".to_owned(), 1.into());
    Value::Object(whole).to_string().into()
}

fn entity(common: &Common, component: Component, in_device: bool) -> Map<String, Value> {
    let mut config = component.config;
    config.insert("unique_id".to_owned(), unique(&common.identity, &component.key).into());
    if in_device {
        config.insert("platform".to_owned(), component.platform.into());
        return config;
    }
    let mut device = common.device.clone();
    // Whoever needs this form is older than this key, and refuses what it does not know here.
    device.remove("model_id");
    config.insert("device".to_owned(), Value::Object(device));
    config.insert("origin".to_owned(), common.origin.clone());
    if let (Some(availability), false) = (&common.availability, config.contains_key("availability")) {
        config.insert("availability".to_owned(), availability.clone());
        config.insert("availability_mode".to_owned(), "all".into());
    }
    config.insert("qos".to_owned(), 1.into());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_hold_what_discovery_takes_and_two_never_meet() {
        assert_eq!(level("bf12_dp1"), "bf12_dp1");
        assert_eq!(level("a.b:c-d"), "a-2e-b-3a-c-2d-d");
        let takes = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!(level("ü/#+ \u{0}").chars().all(takes));
        assert_ne!(level("a.b"), level("a-2e-b"));
    }

    #[test]
    fn only_what_we_made_is_ours_to_clear() {
        for ours in [
            "homeassistant/device/landfall/bf12/config",
            "homeassistant/sensor/landfall/bf12_dp1/config",
            "a/b/switch/landfall/x-2e-y/config",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for other in [
            "homeassistant/device/zigbee2mqtt/bf12/config",
            "homeassistant/sensor/landfall/bf12/state",
            "sensor/landfall/bf12/config",
            "/sensor/landfall/bf12/config",
            "homeassistant/sensor/landfall//config",
            "homeassistant/+/landfall/x/config",
            "homeassistant/sensor/landfall/#/config",
            "",
        ] {
            assert!(!is_ours(other), "{other}");
        }
        assert!(is_device("h/device/landfall/x/config") && !is_device("h/sensor/landfall/x/config"));
    }
}
