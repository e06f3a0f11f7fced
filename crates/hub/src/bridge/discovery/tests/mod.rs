//! What Home Assistant is told, class by class, and what becomes of it when devices change.

mod changes;
mod documented;

use std::path::Path;
use std::sync::Arc;

use landfall_proto::dp::Dps;
use landfall_proto::id::{DeviceId, ProductId};
use serde_json::{Map, Value, json};

use super::form::{self, Common, Form};
use super::*;
use crate::model::{EnergyView, Line};
use crate::profile::{Definitions, KnownSchemas};
use crate::testing;

/// A device by what it is and shows. `own`: the owner's definition.
struct Model {
    word: &'static str,
    product: Option<&'static str>,
    category: Option<&'static str>,
    dps: &'static str,
    own: Option<&'static str>,
}

/// Each class of devices.
const MODELS: &[Model] = &[
    model(
        "plug",
        "lfplug0000000001",
        "cz",
        r#"{"1":true,"9":0,"17":1,"18":435,"19":998,"20":2305,"26":0,"38":"last"}"#,
    ),
    model("switch", "lfswitch22000001", "kg", r#"{"1":true,"2":false,"9":0,"10":0}"#),
    model(
        "light",
        "lfbulb0000000001",
        "dj",
        r#"{"20":true,"21":"white","22":1000,"23":500,"24":"00f003e803e8"}"#,
    ),
    model(
        "old_light",
        "lfbulbold0000001",
        "dj",
        r#"{"1":true,"2":"white","3":255,"4":255,"5":"00ff000078ffff"}"#,
    ),
    model("cover", "lfcover000000001", "cl", r#"{"1":"stop","2":50,"3":50,"7":"standby","12":0}"#),
    model(
        "thermostat",
        "lfthermo00000001",
        "wk",
        r#"{"1":true,"2":215,"3":201,"4":"manual","7":false,"36":"open"}"#,
    ),
    model("climate_sensor", "lfsensor00000001", "wsdcg", r#"{"1":215,"2":48,"4":87}"#),
    model("feeder", "lffeeder00000001", "cwwsq", r#"{"4":"standby","14":0,"15":0,"19":true}"#),
    model("gateway", "lfgateway0000001", "wg2", "{}"),
    guessed("door_sensor", "mcs", r#"{"1":false,"2":80,"4":false}"#),
    guessed("leak_sensor", "sj", r#"{"1":"normal","4":80}"#),
    guessed("meter", "zndb", r#"{"1":12345,"6":"CPwAAfQAAMg=","9":0,"16":true}"#),
    guessed("unknown", "", r#"{"1":true,"101":5,"102":"text"}"#),
    owned(
        "fan",
        "name = \"Fan\"\nclass = \"fan\"\n\
         [[point]]\nid = 1\ncode = \"switch\"\ntype = \"bool\"\n\
         [[point]]\nid = 2\ncode = \"mode\"\ntype = \"enum\"\nrange = [\"normal\", \"sleep\"]\n\
         [[point]]\nid = 3\ncode = \"fan_speed_enum\"\ntype = \"enum\"\nrange = [\"low\", \"middle\", \"high\"]\n\
         [[point]]\nid = 5\ncode = \"fan_horizontal\"\ntype = \"bool\"\n\
         [[point]]\nid = 8\ncode = \"fan_direction\"\ntype = \"enum\"\nrange = [\"forward\", \"reverse\"]\n",
        r#"{"1":true,"2":"sleep","3":"low","5":false,"8":"forward"}"#,
    ),
    owned(
        "air_conditioner",
        "name = \"Air conditioner\"\nclass = \"thermostat\"\n\
         [[point]]\nid = 1\ncode = \"switch\"\ntype = \"bool\"\n\
         [[point]]\nid = 2\ncode = \"temp_set\"\ntype = \"value\"\nmin = 16\nmax = 30\nunit = \"℃\"\n\
         [[point]]\nid = 3\ncode = \"temp_current\"\ntype = \"value\"\naccess = \"ro\"\nmin = -20\nmax = 99\nunit = \"℃\"\n\
         [[point]]\nid = 4\ncode = \"mode\"\ntype = \"enum\"\nrange = [\"cold\", \"hot\", \"wet\", \"wind\", \"auto\"]\n",
        r#"{"1":true,"2":21,"3":24,"4":"cold"}"#,
    ),
    owned(
        "buttons",
        "name = \"Wall buttons\"\nclass = \"switch\"\n\
         [[point]]\nid = 1\ncode = \"switch_mode1\"\ntype = \"enum\"\naccess = \"ro\"\nrange = [\"single_click\", \"double_click\"]\n\
         [[point]]\nid = 101\ncode = \"doorbell_call\"\ntype = \"raw\"\naccess = \"ro\"\nmaxlen = 64\n\
         [[point]]\nid = 102\ncode = \"open_gate\"\ntype = \"bool\"\naccess = \"wr\"\n",
        r#"{"1":"single_click"}"#,
    ),
];

const fn model(
    word: &'static str,
    product: &'static str,
    category: &'static str,
    dps: &'static str,
) -> Model {
    Model { word, product: Some(product), category: Some(category), dps, own: None }
}

const fn guessed(word: &'static str, category: &'static str, dps: &'static str) -> Model {
    Model { word, product: None, category: Some(category), dps, own: None }
}

const fn owned(word: &'static str, own: &'static str, dps: &'static str) -> Model {
    Model { word, product: None, category: None, dps, own: Some(own) }
}

/// The id of a model's device.
fn id_of(word: &str) -> String {
    format!("bf{word:0>18}").replace('_', "0")
}

fn view(model: &Model) -> DeviceView {
    let facts = Facts {
        id: DeviceId::new(id_of(model.word)).unwrap(),
        name: format!("My {}", model.word),
        product_id: model.product.map(|p| ProductId::new(p).unwrap()),
        category: model.category.filter(|c| !c.is_empty()).map(Into::into),
        software: Some("1.2.3".into()),
        room: Some("Kitchen".into()),
        ..(*testing::FakeHome::new().device(testing::PLUG).unwrap().facts).clone()
    };
    let heard: Dps = serde_json::from_str(model.dps).unwrap();
    let known = KnownSchemas { own: model.own.map(Into::into), ..KnownSchemas::default() };
    let definition = Definitions::built_in().of(&facts, &known, &heard);
    let measures = definition.metering.is_some();
    let dps: Vec<_> = heard.iter().map(|(id, value)| (id.0, value.clone())).collect();
    let mut view = testing::view(facts, (*definition).clone(), &dps, Some(Line::Lan));
    view.energy = measures.then(EnergyView::default);
    view
}

use crate::model::Home as _;

/// What is told of a view, by topic.
fn told(form: Form, view: &DeviceView, name: &str) -> BTreeMap<String, Value> {
    let topics = Topics::new("landfall").unwrap();
    let common = Common {
        identity: view.id().to_string(),
        device: device::block(view, view.id().as_str(), "bridge_0011223344556677"),
        origin: device::origin("1.2.3"),
        availability: Some(device::availability(&topics, Some(name))),
    };
    let told = form::told(form, "homeassistant", &common, device::components(view, &topics, name));
    told.topics.into_iter().map(|(t, payload)| (t, serde_json::from_slice(&payload).unwrap())).collect()
}

/// All unique ids of a device, whatever the form.
fn unique_ids(told: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let of = |config: &Value| config["unique_id"].as_str().unwrap().to_owned();
    let each = told.values().flat_map(|payload| match payload.get("components") {
        Some(Value::Object(parts)) => parts.values().map(of).collect::<Vec<_>>(),
        _ => vec![of(payload)],
    });
    each.collect()
}

#[test]
fn each_class_is_told_as_it_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bridge/discovery/tests/golden");
    let renew = std::env::var_os("LANDFALL_RENEW").is_some();
    let mut differ = Vec::new();
    for model in MODELS {
        let told = told(Form::Device, &view(model), &format!("My {}", model.word));
        let payload = told.into_values().next().unwrap_or_else(|| panic!("{} has no entities", model.word));
        let now = format!("{}\n", serde_json::to_string_pretty(&payload).unwrap());
        let file = folder.join(format!("{}.json", model.word));
        if renew {
            std::fs::write(&file, now).unwrap();
        } else if std::fs::read_to_string(&file).unwrap_or_default() != now {
            differ.push(model.word);
        }
    }
    assert!(
        differ.is_empty(),
        "other than in crates/hub/src/bridge/discovery/tests/golden: {differ:?}; renew, and look at the difference:\n    \
         LANDFALL_RENEW=1 cargo test -p landfall-hub --lib bridge::discovery"
    );
}

/// One entity of a model's device.
fn entity(word: &str, id: &str) -> Value {
    let model = MODELS.iter().find(|m| m.word == word).unwrap();
    let told = told(Form::Device, &view(model), "x");
    let payload = told.into_values().next().unwrap();
    let found = payload["components"].get(id).cloned();
    found.unwrap_or_else(|| {
        panic!("{word} has no {id}, but {:?}", payload["components"].as_object().unwrap().keys())
    })
}

fn says(config: &Value, wanted: Value) {
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key} in {config}");
    }
}

#[test]
fn a_plug_is_an_outlet_with_a_meter() {
    says(
        &entity("plug", "switch_dp1"),
        json!({"device_class": "outlet", "name": null, "command_topic": "landfall/x/set/switch_1", "payload_on": "true", "state_on": "True"}),
    );
    says(
        &entity("plug", "sensor_dp19"),
        json!({"device_class": "power", "state_class": "measurement", "unit_of_measurement": "W", "suggested_display_precision": 1, "entity_category": null}),
    );
    says(
        &entity("plug", "sensor_dp18"),
        json!({"device_class": "current", "unit_of_measurement": "A", "suggested_display_precision": 3, "entity_category": "diagnostic"}),
    );
    says(
        &entity("plug", "sensor_energy"),
        json!({"device_class": "energy", "state_class": "total_increasing", "unit_of_measurement": "kWh"}),
    );
    says(
        &entity("plug", "binary_sensor_dp26"),
        json!({"device_class": "problem", "entity_category": "diagnostic"}),
    );
    says(&entity("plug", "switch_dp41"), json!({"entity_category": "config", "device_class": null}));
    says(
        &entity("plug", "select_dp38"),
        json!({"entity_category": "config", "options": ["power_off", "power_on", "last"]}),
    );
    let all = told(Form::Device, &view(&MODELS[0]), "x");
    let text = Value::Array(all.into_values().collect()).to_string();
    assert!(!text.contains("dp17") && !text.contains("add_ele"), "the delta point is no meter");
}

#[test]
fn lights_offer_the_modes_that_they_have() {
    let light = entity("light", "light_light");
    says(
        &light,
        json!({"schema": "template", "name": null, "min_mireds": 153, "max_mireds": 370, "effect_list": ["off", "scene", "music"]}),
    );
    assert!(light["command_on_template"].as_str().unwrap().contains("'hue': hue"));
    let plain = crate::testing::FakeHome::new().device(testing::LIGHT).unwrap();
    let all = told(Form::Entity, &plain, "x");
    // Its definition is of plain points: nothing is made up.
    assert!(all.keys().all(|topic| !topic.contains("/light/")));
}

#[test]
fn covers_thermostats_and_fans_have_their_own_entities() {
    says(
        &entity("cover", "cover_cover"),
        json!({"device_class": "curtain", "payload_stop": "stop", "set_position_topic": "landfall/x/set/position"}),
    );
    says(
        &entity("thermostat", "climate_climate"),
        json!({"modes": ["off", "heat"], "preset_modes": ["manual", "auto", "holiday"], "min_temp": 5.0, "max_temp": 35.0, "temp_step": 0.5}),
    );
    says(
        &entity("air_conditioner", "climate_climate"),
        json!({"modes": ["off", "cool", "heat", "dry", "fan_only", "auto"]}),
    );
    says(
        &entity("fan", "fan_fan"),
        json!({"speed_range_min": 1, "speed_range_max": 3, "preset_modes": ["normal", "sleep"], "direction_command_topic": "landfall/x/set/fan_direction"}),
    );
}

#[test]
fn sensors_and_buttons_are_what_they_are() {
    says(&entity("door_sensor", "binary_sensor_dp1"), json!({"device_class": "door"}));
    says(
        &entity("door_sensor", "binary_sensor_dp4"),
        json!({"device_class": "tamper", "entity_category": "diagnostic"}),
    );
    says(&entity("leak_sensor", "binary_sensor_dp1"), json!({"device_class": "moisture"}));
    says(
        &entity("climate_sensor", "sensor_dp1"),
        json!({"device_class": "temperature", "unit_of_measurement": "°C", "suggested_display_precision": 1}),
    );
    says(
        &entity("climate_sensor", "sensor_dp4"),
        json!({"device_class": "battery", "entity_category": "diagnostic"}),
    );
    says(
        &entity("meter", "sensor_dp1"),
        json!({"device_class": "energy", "state_class": "total_increasing"}),
    );
    says(&entity("meter", "sensor_dp6_power"), json!({"device_class": "power", "unit_of_measurement": "W"}));
    says(
        &entity("buttons", "event_dp1"),
        json!({"device_class": "button", "event_types": ["single_click", "double_click"], "state_topic": "landfall/x/action"}),
    );
    says(&entity("buttons", "event_dp101"), json!({"device_class": "doorbell", "event_types": ["pressed"]}));
    says(
        &entity("buttons", "button_dp102"),
        json!({"command_topic": "landfall/x/set/open_gate", "payload_press": "true"}),
    );
    says(&entity("feeder", "number_dp3"), json!({"min": 1, "max": 12, "state_topic": null}));
    says(
        &entity("gateway", "binary_sensor_connection"),
        json!({"device_class": "connectivity", "state_topic": "landfall/x/availability"}),
    );
    // A number that nobody knows the range of is not written.
    says(&entity("unknown", "sensor_dp101"), json!({"enabled_by_default": false}));
}

#[test]
fn unique_ids_are_of_ids_and_points_alone() {
    let mut seen = BTreeSet::new();
    for model in MODELS {
        let before = view(model);
        let ids = unique_ids(&told(Form::Device, &before, "one name"));
        assert_eq!(ids, unique_ids(&told(Form::Entity, &before, "one name")), "both forms");
        let mut after = before.clone();
        let facts =
            Facts { name: "Other".into(), room: None, mac: Some("00:11".into()), ..(*after.facts).clone() };
        after.facts = Arc::new(facts);
        let mut named = (*after.definition).clone();
        if named.attributes.is_empty() && model.own.is_none() {
            for (dp, point) in &mut named.points {
                if !point.name.starts_with("switch") && point.name != "energy" {
                    point.name = format!("better_name_{dp}");
                }
            }
        }
        // Only where names do not decide what belongs together.
        if !matches!(named.class, crate::profile::Class::Thermostat | crate::profile::Class::Fan) {
            after.definition = Arc::new(named);
        }
        assert_eq!(ids, unique_ids(&told(Form::Device, &after, "another name")), "{}", model.word);
        for id in ids {
            assert!(id.starts_with(&format!("landfall_{}_", id_of(model.word))), "{id}");
            assert!(!id.contains("My") && !id.contains("name"), "{id}");
            assert!(seen.insert(id.clone()), "{id} twice");
        }
    }
}

#[test]
fn every_topic_is_one_that_the_bridge_has() {
    let topics = Topics::new("landfall").unwrap();
    for model in MODELS {
        for payload in told(Form::Entity, &view(model), "a/b").into_values() {
            for (key, value) in payload.as_object().unwrap().iter().filter(|(key, _)| key.ends_with("_topic"))
            {
                let topic = value.as_str().unwrap();
                let known = match topics.parse(topic) {
                    Some(
                        crate::bridge::topics::Heard::Set { name }
                        | crate::bridge::topics::Heard::SetAttribute { name, .. },
                    ) => key.ends_with("command_topic") || key == "set_position_topic" && name == "a/b",
                    _ => {
                        matches!(topic, "landfall/a/b" | "landfall/a/b/action" | "landfall/a/b/availability")
                            && !key.ends_with("command_topic")
                    }
                };
                assert!(known, "{}: {key} {topic}", model.word);
            }
        }
    }
}

#[test]
fn what_is_set_there_is_taken_here() {
    for model in MODELS {
        let view = view(model);
        for payload in told(Form::Entity, &view, "x").into_values() {
            let Some(topic) = payload.get("command_topic").and_then(Value::as_str) else { continue };
            let Some(attribute) = topic.strip_prefix("landfall/x/set/") else { continue };
            for key in ["payload_on", "payload_off", "payload_press", "payload_open", "payload_close"] {
                let Some(said) = payload.get(key).and_then(Value::as_str) else { continue };
                // A fan's word goes through a template that makes it small.
                let said = if payload.get("command_template").is_some() {
                    said.to_lowercase()
                } else {
                    said.to_owned()
                };
                let value = serde_json::from_str(&said).unwrap_or_else(|_| Value::from(said.as_str()));
                let asked = Map::from_iter([(attribute.to_owned(), value)]);
                let taken = view.definition.write(&asked, &view.dps());
                assert!(taken.is_ok(), "{} {attribute} {said}: {taken:?}", model.word);
            }
            for word in payload.get("options").and_then(Value::as_array).into_iter().flatten() {
                let asked = Map::from_iter([(attribute.to_owned(), word.clone())]);
                assert!(
                    view.definition.write(&asked, &view.dps()).is_ok(),
                    "{} {attribute} {word}",
                    model.word
                );
            }
        }
    }
}
