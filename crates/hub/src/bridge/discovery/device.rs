//! What Home Assistant is told of a device, and of the bridge itself.

use std::collections::BTreeMap;

use landfall_proto::schema::{Access, DpKind};
use serde_json::{Map, Value, json};

use super::component::{Component, Subject, of, show, state_word};
use super::plain::{Leaf, energy, is_main};
use super::{climate, cover, fan, light};
use crate::bridge::topics::Topics;
use crate::model::DeviceView;
use crate::profile::{Attribute, Class, Point};

/// What our identifiers begin with.
const OURS: &str = "landfall";

/// Seconds for which the button opens an activation window.
const WINDOW: u64 = 254;

/// The unique id of an entity of a device.
pub(super) fn unique(identity: &str, key: &str) -> String {
    format!("{OURS}_{identity}_{key}")
}

/// The identifier of a device.
pub(super) fn identifier(identity: &str) -> String {
    format!("{OURS}_{identity}")
}

/// Who says all this.
pub(super) fn origin(version: &str) -> Value {
    json!({ "name": "Landfall", "sw_version": version, "support_url": env!("CARGO_PKG_REPOSITORY") })
}

/// When a device's entities can be had: both have to be there.
pub(super) fn availability(topics: &Topics, name: Option<&str>) -> Value {
    let own = name.map(|name| topics.availability(name));
    let all = [Some(topics.bridge_state()), own].into_iter().flatten();
    all.map(|topic| json!({ "topic": topic, "value_template": state_word() })).collect()
}

/// The block of a device. `via`: the identity of what it is reached through.
pub(super) fn block(view: &DeviceView, identity: &str, via: &str) -> Map<String, Value> {
    let facts = &view.facts;
    let model = facts.product_name.as_deref().unwrap_or(&view.definition.name);
    let told = [
        ("identifiers", Some(json!([identifier(identity)]))),
        ("name", Some(facts.name.as_str().into())),
        ("manufacturer", Some("Tuya".into())),
        ("model", Some(model).filter(|m| !m.is_empty()).map(Value::from)),
        ("model_id", facts.product_id.as_ref().map(|id| id.to_string().into())),
        ("sw_version", facts.software.as_deref().map(Value::from)),
        ("suggested_area", facts.room.as_deref().map(Value::from)),
        ("via_device", Some(identifier(via).into())),
    ];
    told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// The identity of the bridge itself. Two of them may meet in one Home Assistant.
pub(super) fn bridge_identity(instance: &str) -> String {
    format!("bridge_{instance}")
}

/// The block of the bridge.
pub(super) fn bridge_block(instance: &str, version: &str) -> Map<String, Value> {
    let told = [
        ("identifiers", json!([identifier(&bridge_identity(instance))])),
        ("name", "Landfall".into()),
        ("manufacturer", "Landfall".into()),
        ("model", "Home server".into()),
        ("sw_version", version.into()),
    ];
    told.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Whether something is there, as an entity. `topic`: what says so.
fn connection(topic: String) -> Component {
    Component::new("binary_sensor", "connection")
        .with("name", "Connection")
        .with("device_class", "connectivity")
        .with("entity_category", "diagnostic")
        .with("state_topic", topic)
        .with("value_template", state_word())
        .with("payload_on", "online")
        .with("payload_off", "offline")
}

/// The bridge's own entities.
pub(super) fn bridge_components(topics: &Topics) -> Vec<Component> {
    let connection = connection(topics.bridge_state());
    let there = |component: Component| component.with("availability", availability(topics, None));
    let version = there(
        Component::new("sensor", "version")
            .with("name", "Version")
            .with("entity_category", "diagnostic")
            .with("state_topic", topics.bridge_info())
            .with("value_template", show(&of("version"))),
    );
    let open = there(
        Component::new("binary_sensor", "activation_window")
            .with("name", "Activation window")
            .with("state_topic", topics.bridge_info())
            .with("value_template", show(&of("permit_join")))
            .with("payload_on", "True")
            .with("payload_off", "False"),
    );
    let button = there(
        Component::new("button", "open_activation_window")
            .with("name", "Open activation window")
            .with("command_topic", topics.request("permit_join"))
            .with("payload_press", json!({ "time": WINDOW }).to_string())
            .with("entity_category", "config"),
    );
    vec![connection, version, open, button]
}

/// The entities of a device.
pub(super) fn components(view: &DeviceView, topics: &Topics, name: &str) -> Vec<Component> {
    let definition = &view.definition;
    let subject = Subject { topics, name };
    let mut all = Vec::new();
    let mut main = 0;
    for attribute in &definition.attributes {
        let (found, is_main) = of_attribute(attribute, view, &subject);
        main += usize::from(is_main);
        all.extend(found);
    }

    let counted: &[&str] = match view.energy {
        Some(_) => &["energy", "energy_today", "energy_month", "apparent_power", "power_factor"],
        None => &[],
    };
    let shown = definition
        .points
        .iter()
        .filter(|(id, point)| !definition.claimed(**id) && !point.hidden && !counted.contains(&&*point.name));
    let plain: BTreeMap<&str, &Point> = shown.clone().map(|(_, point)| (&*point.name, point)).collect();
    let group = match definition.class {
        Class::Thermostat => climate::component(&plain, &subject),
        Class::Fan => fan::component(&plain, &subject),
        _ => None,
    };
    let used = group.as_ref().map(|(_, used)| used.clone()).unwrap_or_default();
    main += usize::from(group.is_some());
    all.extend(group.map(|(component, _)| component.with("name", Value::Null)));

    let left: Vec<_> = shown.filter(|(_, point)| !used.contains(&&*point.name)).collect();
    let switch = |point: &Point| {
        is_main(&point.name) && point.spec.kind == DpKind::Bool && point.spec.access == Access::Rw
    };
    let switches = left.iter().filter(|(_, point)| switch(point)).count();
    for (id, point) in left {
        let leaf = Leaf {
            key: format!("dp{id}"),
            exposed: point.expose(),
            code: &point.spec.code,
            places: Some(point.places()),
            longest: match point.spec.kind {
                DpKind::String(longest) => Some(longest),
                // Bytes are nothing to read.
                DpKind::Raw(_) => Some(0),
                _ => None,
            },
            event: point.event,
            acts: point.spec.acts_on_write(),
            sensor: definition.class == Class::Sensor,
            unknown: point.spec.code.is_empty(),
        };
        let Some(mut component) = leaf.component(&subject) else { continue };
        if component.platform == "switch" && is_main(&point.name) {
            let class = if definition.class == Class::Plug { "outlet" } else { "switch" };
            component = component.with("device_class", class);
            if switches == 1 && main == 0 {
                // The device's own name is enough.
                component = component.with("name", Value::Null);
            }
        }
        all.push(component);
    }
    if view.energy.is_some() {
        let metering = definition.metering.as_ref();
        let volt_amperes = metering.is_some_and(|m| m.voltage.is_some() && m.current.is_some());
        all.extend(energy(topics, name, volt_amperes));
    }
    if all.is_empty() || definition.class == Class::Gateway {
        // What is behind a gateway can say so only if the gateway is there.
        let own = connection(topics.availability(name));
        all.push(own.with("availability", availability(topics, None)));
    }
    all
}

/// The entities of an attribute, and whether the first of them is what the device is there for.
fn of_attribute(attribute: &Attribute, view: &DeviceView, subject: &Subject<'_>) -> (Vec<Component>, bool) {
    let named = |component: Component, word: &str, suffix: &str| {
        let name = match suffix.trim_start_matches('_') {
            "" => Value::Null,
            number => format!("{word} {number}").into(),
        };
        (vec![component.with("name", name)], true)
    };
    match attribute {
        Attribute::Light(light) => {
            let suffix = light.names.suffix();
            if let Some(component) = light::component(light, format!("light{suffix}"), subject) {
                return named(component, "Light", suffix);
            }
        }
        Attribute::Cover(cover) => {
            let suffix = cover.names.suffix();
            let category = view.facts.category.as_deref();
            return named(
                cover::component(cover, format!("cover{suffix}"), category, subject),
                "Cover",
                suffix,
            );
        }
        // A code is longer than anything that Home Assistant sends or keeps; the flow is Node-RED's, or a script's.
        Attribute::Infrared(_) => return (Vec::new(), false),
        Attribute::Binary(_) | Attribute::Mapped(_) | Attribute::Phase(_) => {}
    }
    let head = match attribute {
        Attribute::Binary(binary) => format!("dp{}", binary.dp),
        Attribute::Phase(phase) => return (phases(phase.dp.0, &phase.name, subject), false),
        Attribute::Mapped(mapped) => format!("dp{}", mapped.point),
        _ => "part".to_owned(),
    };
    let shared = matches!(attribute, Attribute::Mapped(_) | Attribute::Light(_));
    let sensor = view.definition.class == Class::Sensor;
    let leaf = |exposed: Value| {
        let property = exposed.get("property").and_then(Value::as_str).unwrap_or_default();
        // Several of them may read different bits of one point.
        let key = if shared { format!("{head}_{property}") } else { head.clone() };
        let code = match attribute {
            Attribute::Binary(binary) => view.definition.points.get(&binary.dp).map(|p| &*p.spec.code),
            _ => None,
        };
        let code = code.unwrap_or_default();
        let leaf = Leaf {
            key,
            code,
            places: None,
            longest: None,
            event: false,
            acts: false,
            sensor,
            unknown: false,
            exposed,
        };
        leaf.component(subject)
    };
    let features = attribute.exposes().into_iter().flat_map(|exposed| match exposed.get("features") {
        Some(Value::Array(features)) => features.clone(),
        _ => vec![exposed],
    });
    (features.filter_map(leaf).collect(), false)
}

/// Voltage, current and power of one phase.
fn phases(dp: u16, name: &str, subject: &Subject<'_>) -> Vec<Component> {
    let label = crate::profile::label(name);
    let part = |part: &str, unit: &str, places: u8, inner: bool| {
        let read = format!("({} or {{}})", of(name));
        Component::new("sensor", format!("dp{dp}_{part}"))
            .with("name", format!("{label} {part}"))
            .with("device_class", part)
            .with("state_class", "measurement")
            .with("unit_of_measurement", unit)
            .with("suggested_display_precision", places)
            .maybe("entity_category", inner.then_some("diagnostic"))
            .with("state_topic", subject.state())
            // What could not be read is shown as it came, as text.
            .with(
                "value_template",
                format!("{{% set p = {read} %}}{{{{ p.get('{part}') if p is mapping else none }}}}"),
            )
    };
    vec![part("voltage", "V", 1, true), part("current", "A", 3, true), part("power", "W", 0, false)]
}
