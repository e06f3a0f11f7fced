//! Keys against what Home Assistant documents: a word that is spelled wrong is ignored there, or has the whole device refused.
//!
//! The tables are of home-assistant.io's pages on the MQTT integration (2024.12 and newer); of each page the keys that we use, and
//! those that it says are required.

use super::*;

/// Keys that entities of all platforms take.
const COMMON: &[&str] = &[
    "availability",
    "availability_mode",
    "device",
    "enabled_by_default",
    "entity_category",
    "json_attributes_template",
    "json_attributes_topic",
    "name",
    "origin",
    "platform",
    "qos",
    "unique_id",
];

/// Platform, keys that it needs, keys that it takes.
const PLATFORMS: &[(&str, &[&str], &[&str])] = &[
    (
        "binary_sensor",
        &["state_topic"],
        &["device_class", "payload_off", "payload_on", "state_topic", "value_template"],
    ),
    ("button", &["command_topic"], &["command_topic", "payload_press"]),
    (
        "climate",
        &[],
        &[
            "action_template",
            "action_topic",
            "current_temperature_template",
            "current_temperature_topic",
            "max_temp",
            "min_temp",
            "mode_command_template",
            "mode_command_topic",
            "mode_state_template",
            "mode_state_topic",
            "modes",
            "precision",
            "preset_mode_command_template",
            "preset_mode_command_topic",
            "preset_mode_state_topic",
            "preset_mode_value_template",
            "preset_modes",
            "temp_step",
            "temperature_command_topic",
            "temperature_state_template",
            "temperature_state_topic",
            "temperature_unit",
        ],
    ),
    (
        "cover",
        &[],
        &[
            "command_topic",
            "device_class",
            "payload_close",
            "payload_open",
            "payload_stop",
            "position_template",
            "position_topic",
            "set_position_topic",
            "state_topic",
            "value_template",
        ],
    ),
    (
        "event",
        &["state_topic", "event_types"],
        &["device_class", "event_types", "state_topic", "value_template"],
    ),
    (
        "fan",
        &["command_topic"],
        &[
            "command_template",
            "command_topic",
            "direction_command_topic",
            "direction_state_topic",
            "direction_value_template",
            "oscillation_command_template",
            "oscillation_command_topic",
            "oscillation_state_topic",
            "oscillation_value_template",
            "payload_off",
            "payload_on",
            "payload_oscillation_off",
            "payload_oscillation_on",
            "percentage_command_template",
            "percentage_command_topic",
            "percentage_state_topic",
            "percentage_value_template",
            "preset_mode_command_template",
            "preset_mode_command_topic",
            "preset_mode_state_topic",
            "preset_mode_value_template",
            "preset_modes",
            "speed_range_max",
            "speed_range_min",
            "state_topic",
            "state_value_template",
        ],
    ),
    (
        // The template schema.
        "light",
        &["schema", "command_topic", "command_on_template", "command_off_template"],
        &[
            "blue_template",
            "brightness_template",
            "color_temp_template",
            "command_off_template",
            "command_on_template",
            "command_topic",
            "effect_list",
            "effect_template",
            "green_template",
            "max_mireds",
            "min_mireds",
            "red_template",
            "schema",
            "state_template",
            "state_topic",
        ],
    ),
    (
        "number",
        &["command_topic"],
        &[
            "command_topic",
            "device_class",
            "max",
            "min",
            "mode",
            "state_topic",
            "step",
            "unit_of_measurement",
            "value_template",
        ],
    ),
    (
        "select",
        &["command_topic", "options"],
        &["command_template", "command_topic", "options", "state_topic", "value_template"],
    ),
    (
        "sensor",
        &["state_topic"],
        &[
            "device_class",
            "state_class",
            "state_topic",
            "suggested_display_precision",
            "unit_of_measurement",
            "value_template",
        ],
    ),
    (
        "switch",
        &["command_topic"],
        &[
            "command_topic",
            "device_class",
            "payload_off",
            "payload_on",
            "state_off",
            "state_on",
            "state_topic",
            "value_template",
        ],
    ),
    (
        "text",
        &["command_topic"],
        &["command_template", "command_topic", "max", "state_topic", "value_template"],
    ),
];

/// Keys of the device block. The last one came with 2024.8.
const DEVICE: &[&str] = &[
    "identifiers",
    "name",
    "manufacturer",
    "model",
    "sw_version",
    "via_device",
    "suggested_area",
    "model_id",
];
/// Keys at the top of the device form; the device and where it comes from are required.
const TOP: &[&str] = &["device", "origin", "availability", "availability_mode", "components", "qos"];

/// Device classes of each platform that we use.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "binary_sensor",
        &[
            "battery",
            "battery_charging",
            "carbon_monoxide",
            "connectivity",
            "door",
            "gas",
            "moisture",
            "motion",
            "occupancy",
            "problem",
            "running",
            "smoke",
            "tamper",
            "vibration",
            "window",
        ],
    ),
    ("cover", &["curtain", "garage"]),
    ("event", &["button", "doorbell"]),
    ("number", &["temperature", "duration"]),
    ("switch", &["outlet", "switch"]),
];

/// Sensors: class, its units (empty: none), its state classes.
const SENSORS: &[(&str, &[&str], &[&str])] = &[
    ("apparent_power", &["VA"], &["measurement"]),
    ("battery", &["%"], &["measurement"]),
    ("current", &["A", "mA"], &["measurement"]),
    ("duration", &["d", "h", "min", "s"], &["measurement", "total", "total_increasing"]),
    ("energy", &["Wh", "kWh", "MWh"], &["total", "total_increasing"]),
    ("frequency", &["Hz"], &["measurement"]),
    ("humidity", &["%"], &["measurement"]),
    ("power", &["W", "kW"], &["measurement"]),
    ("power_factor", &["", "%"], &["measurement"]),
    ("temperature", &["°C", "°F"], &["measurement"]),
    ("voltage", &["V", "mV"], &["measurement"]),
];

fn check_device(block: &Value, form: Form) {
    let block = block.as_object().unwrap();
    assert!(!block["identifiers"].as_array().unwrap().is_empty());
    for (key, value) in block {
        assert!(DEVICE.contains(&key.as_str()), "{key} in the device block");
        assert!(key == "identifiers" || value.is_string(), "{key} is {value}");
    }
    assert!(form == Form::Device || !block.contains_key("model_id"), "older ones refuse it");
}

fn check_origin(origin: &Value) {
    assert_eq!(origin["name"], "Landfall");
    assert!(origin["support_url"].as_str().unwrap().starts_with("https://"));
    assert_eq!(origin.as_object().unwrap().len(), 3);
}

fn check_availability(availability: &Value) {
    for one in availability.as_array().unwrap() {
        let keys: Vec<&String> = one.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["topic", "value_template"]);
    }
}

fn check_entity(platform: &str, config: &Value) {
    let (_, needed, known) =
        PLATFORMS.iter().find(|(p, _, _)| *p == platform).unwrap_or_else(|| panic!("{platform}?"));
    let config = config.as_object().unwrap();
    for key in config.keys() {
        assert!(known.contains(&key.as_str()) || COMMON.contains(&key.as_str()), "{platform}: {key}");
    }
    for key in *needed {
        assert!(config.contains_key(*key), "{platform} without {key}");
    }
    assert!(config.contains_key("unique_id") && config.contains_key("name"), "{config:?}");
    for (key, value) in config {
        if key.ends_with("_template") {
            let text = value.as_str().unwrap();
            assert_eq!(text.matches("{%").count(), text.matches("%}").count(), "{key}: {text}");
        }
    }
    if let Some(category) = config.get("entity_category") {
        let settable = !matches!(platform, "sensor" | "binary_sensor" | "event");
        assert!(category == "diagnostic" || category == "config" && settable, "{platform}: {category}");
    }
    let class = config.get("device_class").map(|class| class.as_str().unwrap());
    if platform == "sensor" {
        let unit = config.get("unit_of_measurement").map_or("", |unit| unit.as_str().unwrap());
        let state = config.get("state_class").map(|state| state.as_str().unwrap());
        if let Some(class) = class {
            let (_, units, states) =
                SENSORS.iter().find(|(c, _, _)| *c == class).unwrap_or_else(|| panic!("{class}?"));
            assert!(units.contains(&unit), "{class} in {unit:?}");
            assert!(state.is_none_or(|state| states.contains(&state)), "{class} {state:?}");
        }
        assert!(state.is_none_or(|state| matches!(state, "measurement" | "total" | "total_increasing")));
    } else if let Some(class) = class {
        let known = CLASSES.iter().find(|(p, _)| *p == platform).map(|(_, known)| *known).unwrap_or_default();
        assert!(known.contains(&class), "{platform} of class {class}");
    }
}

#[test]
fn the_device_form_is_as_home_assistant_documents_it() {
    let mut platforms = BTreeSet::new();
    for model in MODELS {
        for (topic, payload) in told(Form::Device, &view(model), "x") {
            assert!(form::is_ours(&topic) && topic.starts_with("homeassistant/device/landfall/"), "{topic}");
            for key in payload.as_object().unwrap().keys() {
                assert!(TOP.contains(&key.as_str()), "{key}");
            }
            check_device(&payload["device"], Form::Device);
            check_origin(&payload["origin"]);
            check_availability(&payload["availability"]);
            assert_eq!(payload["availability_mode"], "all");
            for (id, config) in payload["components"].as_object().unwrap() {
                let platform = config["platform"].as_str().unwrap();
                assert!(id.starts_with(platform), "{id}");
                assert!(config.get("device").is_none() && config.get("origin").is_none(), "once is enough");
                check_entity(platform, config);
                platforms.insert(platform.to_owned());
            }
        }
    }
    let checked: BTreeSet<String> = PLATFORMS.iter().map(|(p, _, _)| (*p).to_owned()).collect();
    assert_eq!(platforms, checked, "each platform is met");
}

#[test]
fn the_entity_form_is_as_home_assistant_documents_it() {
    for model in MODELS {
        for (topic, payload) in told(Form::Entity, &view(model), "x") {
            let platform = topic.split('/').nth(1).unwrap();
            let object = topic.split('/').nth(3).unwrap();
            assert!(form::is_ours(&topic), "{topic}");
            assert!(object.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-'), "{object}");
            assert!(payload.get("platform").is_none(), "it stands in the topic");
            check_device(&payload["device"], Form::Entity);
            check_origin(&payload["origin"]);
            check_availability(&payload["availability"]);
            check_entity(platform, &payload);
        }
    }
}

#[test]
fn the_bridge_is_a_device_too() {
    let topics = Topics::new("landfall").unwrap();
    for component in device::bridge_components(&topics) {
        let platform = component.platform;
        let mut config = component.config;
        config.insert("unique_id".into(), "x".into());
        check_entity(platform, &Value::Object(config));
    }
    check_device(&Value::Object(device::bridge_block("00", "1")), Form::Entity);
}
