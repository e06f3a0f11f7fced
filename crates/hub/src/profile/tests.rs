use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::Facts;

fn facts(product: Option<&str>, category: Option<&str>) -> Facts {
    Facts {
        product_id: product.map(|p| ProductId::new(p).unwrap()),
        category: category.map(Into::into),
        has_key: true,
        ..Facts::new(DeviceId::new("bf0123456789abcdefghij").unwrap(), "Thing".into())
    }
}

fn dps(text: &str) -> Dps {
    serde_json::from_str(text).unwrap()
}

fn guessed(category: Option<&str>, heard: &str) -> Definition {
    let all = Definitions::built_in();
    (*all.of(&facts(None, category), &KnownSchemas::default(), &dps(heard))).clone()
}

fn write(definition: &Definition, asked: Value, now: &Dps) -> Result<Dps, WriteError> {
    let Value::Object(asked) = asked else { panic!("an object") };
    definition.write(&asked, now)
}

#[test]
fn every_built_in_profile_is_read() {
    for (name, text) in landfall_cloud::book_backend::profiles::FILES {
        let file = landfall_cloud::book_backend::profiles::parse(name, text).unwrap();
        layer::Layer::of_file(Source::Profile((*name).into()), &file)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        if file.meaning.pattern.is_some() {
            assert!(file.products.is_empty() && file.schema_id.is_none(), "{name} is for a class");
        }
    }
}

#[test]
fn old_and_new_plugs_are_known_by_their_points() {
    let heard = r#"{"1":true,"2":0,"4":435,"5":998,"6":2305}"#;
    let old = guessed(None, heard);
    assert_eq!(old.class, Class::Plug);
    assert_eq!(
        Value::Object(old.read(&dps(heard))).to_string(),
        r#"{"countdown_1":0,"current":0.435,"power":99.8,"switch_1":true,"voltage":230.5}"#
    );
    let metering = old.metering.clone().unwrap();
    assert_eq!(metering.power, Some((DpId(5), 100)), "tenths of a watt, in mW");
    assert_eq!(metering.voltage, Some((DpId(6), 100)), "tenths of a volt, in mV");
    assert_eq!(metering.current, Some((DpId(4), 1_000)), "mA, in µA");
    assert_eq!(metering.delta, None);
    assert_eq!(old.refresh.as_ref().unwrap().points, [DpId(4), DpId(5), DpId(6)]);
    assert!(old.stale_after.is_some());
    let Source::Guess(why) = &old.points[&DpId(5)].source else { panic!("{:?}", old.points[&DpId(5)]) };
    assert!(why.contains("class-plug-old.toml"), "{why}");

    let heard = r#"{"1":true,"9":0,"17":12,"18":435,"19":998,"20":2305,"22":638,"26":5,"38":"memory"}"#;
    let new = guessed(Some("cz"), heard);
    let state = new.read(&dps(heard));
    assert_eq!(state["add_ele"], json!(0.012));
    assert_eq!(state["fault"], json!(["ov_cr", "ov_pwr"]));
    assert_eq!(new.metering.clone().unwrap().delta, Some((DpId(17), 1_000)), "1 Wh in mWh");
    assert_eq!(new.refresh.as_ref().unwrap().points, [DpId(18), DpId(19), DpId(20)]);
    let shown = new.exposes().to_string();
    assert!(shown.contains(r#""property":"power""#) && !shown.contains("add_ele"), "{shown}");
    assert!(!shown.contains("voltage_coe"));
}

#[test]
fn writing_checks_and_converts() {
    let heard = r#"{"1":true,"2":210,"3":195,"4":"manual"}"#;
    let all = Definitions::built_in();
    let thermostat = all.of(&facts(Some("lfthermo00000001"), None), &KnownSchemas::default(), &dps(heard));
    assert_eq!(thermostat.read(&dps(heard))["target_temperature"], json!(21.0));
    let now = Dps::new();
    let set = write(&thermostat, json!({"target_temperature": 21.5, "mode": "Auto"}), &now).unwrap();
    assert_eq!(set.value(DpId(2)), Some(&DpValue::Value(215)));
    assert_eq!(set.value(DpId(4)), Some(&DpValue::Enum("auto".into())));
    let fault = |asked| write(&thermostat, asked, &now).unwrap_err();
    let e = fault(json!({"target_temperature": 21.3}));
    assert_eq!(e.to_string(), "target_temperature: takes 5.0 to 35.0 °C in steps of 0.5, not 21.3");
    assert_eq!(e.code(), "attribute.misfit");
    assert!(fault(json!({"target_temperature": 50})).to_string().contains("not 50"));
    assert!(fault(json!({"mode": "party"})).to_string().contains("manual, auto, holiday"));
    assert_eq!(fault(json!({"temperature": 20})).code(), "dp.read_only");
    let e = fault(json!({"brightness": 3}));
    assert_eq!(e.code(), "attribute.unknown");
    assert!(e.to_string().contains("switch, target_temperature"), "{e}");
    assert!(fault(json!({"switch": "toggle"})).to_string().contains("absolute"));
    let shown = thermostat.exposes().to_string();
    assert!(shown.contains(r#""type":"climate""#), "{shown}");
}

#[test]
fn a_thermostat_in_tenths_is_told_from_one_in_degrees() {
    for (heard, target) in
        [(r#"{"1":true,"2":21,"3":19}"#, json!(21)), (r#"{"1":true,"2":215,"3":190}"#, json!(21.5))]
    {
        let thermostat = guessed(Some("wk"), heard);
        assert_eq!(thermostat.class, Class::Thermostat);
        assert_eq!(thermostat.read(&dps(heard))["target_temperature"], target);
    }
}

#[test]
fn lights_are_known_by_their_points() {
    let heard = r#"{"20":true,"21":"white","22":1000,"23":0,"24":"000003e803e8"}"#;
    let new = guessed(None, heard);
    assert_eq!(new.class, Class::Light);
    assert_eq!(new.read(&dps(heard))["brightness"], 255);
    let set = write(&new, json!({"color": {"hue": 120, "saturation": 100}}), &dps(heard)).unwrap();
    assert_eq!(set.value(DpId(21)), Some(&DpValue::Enum("colour".into())));
    assert_eq!(set.value(DpId(24)), Some(&DpValue::text("007803e803e8")));
    let heard = r#"{"1":true,"2":"colour","3":25,"4":0,"5":"ff00000000ffff"}"#;
    let old = guessed(Some("dj"), heard);
    assert_eq!(old.read(&dps(heard))["color"], json!({"hue": 0, "saturation": 100.0}));
    let set = write(&old, json!({"color": "#0000ff"}), &dps(heard)).unwrap();
    assert_eq!(set.value(DpId(5)), Some(&DpValue::text("0000ff00f0ffff")));
}

#[test]
fn covers_of_all_dialects_are_known_by_category_and_word() {
    for (value, command) in [
        (r#""open""#, "open"),
        ("true", "open"),
        (r#""2""#, "close"),
        (r#""00""#, "stop"),
        (r#""fclose""#, "close"),
        (r#""off""#, "close"),
        (r#""up""#, "open"),
        (r#""STOP""#, "stop"),
    ] {
        let heard = format!(r#"{{"1":{value},"2":30,"3":30}}"#);
        let cover = guessed(Some("cl"), &heard);
        assert_eq!(cover.class, Class::Cover, "{value}");
        assert_eq!(cover.read(&dps(&heard))["control"], command, "{value}");
        // What it says can be said to it.
        let set = write(&cover, json!({"control": command}), &dps(&heard)).unwrap();
        assert!(dps(&heard).shows(&set), "{value}: {set:?}");
    }
}

#[test]
fn an_unknown_device_shows_what_it_says() {
    let heard = r#"{"101":true,"102":7,"103":"x"}"#;
    let made = guessed(None, heard);
    assert_eq!(Value::Object(made.read(&dps(heard))), json!({"dp_101": true, "dp_102": 7, "dp_103": "x"}));
    assert!(made.knows(&dps(heard)) && !made.knows(&dps(r#"{"104":1}"#)));
    let set = write(&made, json!({"dp_102": 8}), &dps(heard)).unwrap();
    assert_eq!(set.value(DpId(102)), Some(&DpValue::Value(8)));
    assert_eq!(made.points[&DpId(101)].source, Source::Guess("by its value".into()));
}

#[test]
fn facts_are_merged_and_say_where_they_came_from() {
    let spec = |kind| DpSpec::new("", kind, Access::Ro);
    let number = |max| DpKind::Value { min: 0, max, step: 1, scale: 0, unit: "".into() };
    let told = [(1, DpKind::Bool), (4, number(30_000)), (5, number(50_000)), (6, number(2_500))];
    let known = KnownSchemas {
        activation: Some(Schema(told.into_iter().map(|(id, kind)| (DpId(id), spec(kind))).collect())),
        own: Some("[[point]]\nid = 1\nname = \"Lamp\"\n".into()),
        ..KnownSchemas::default()
    };
    let heard = dps(r#"{"1":true,"2":0,"4":10,"5":20,"6":2305}"#);
    let made = Definitions::built_in().of(&facts(None, None), &known, &heard);
    let power = &made.points[&DpId(5)];
    assert_eq!((power.name.as_str(), &power.source), ("power", &Source::Activation));
    let from = |what: &str| power.also.iter().find(|(w, _)| *w == what).map(|(_, s)| s.word());
    assert_eq!((from("code"), from("unit"), from("scale")), (Some("guess"), Some("guess"), Some("guess")));
    assert_eq!(made.points[&DpId(1)].name, "lamp");
    assert!(made.points[&DpId(1)].also.contains(&("name", Source::Owner)));
    assert_eq!(made.read(&heard)["voltage"], json!(230.5));
}

#[test]
fn the_vendors_descriptions_are_read_in_all_forms() {
    let property =
        json!({"abilityId": 20, "accessMode": "rw", "code": "switch_led", "typeSpec": {"type": "bool"}});
    let value = json!({"abilityId": 22, "accessMode": "ro", "code": "bright_value_v2",
        "typeSpec": {"type": "value", "min": 10, "max": 1000, "scale": 0, "step": 1, "unit": ""}});
    let model = json!({"modelId": "x", "services": [{"properties": [property, value]}]});
    let answer = json!({"result": {"model": model.to_string()}, "success": true}).to_string();
    let spec = json!({"result": {
        "functions": [{"code": "switch_led", "dp_id": 20, "type": "Boolean", "values": "{}"}],
        "status": [{"code": "switch_led", "dp_id": 20, "type": "Boolean", "values": "{}"},
                   {"code": "bright_value_v2", "dp_id": 22, "type": "Integer", "values": "{\"min\":10,\"max\":1000}"}]}});
    let mapping = json!({"20": {"code": "switch_led", "type": "Boolean", "values": {}}});
    let schema = json!([{"id": 20, "mode": "rw", "type": "obj", "property": {"type": "bool"}}]);
    for (text, source) in [
        (answer, Source::ThingModel),
        (spec.to_string(), Source::ThingModel),
        (mapping.to_string(), Source::Mapping),
        (schema.to_string(), Source::Activation),
    ] {
        Definitions::check(&text).unwrap();
        let known = KnownSchemas { own: Some(text), ..KnownSchemas::default() };
        let made = Definitions::built_in().of(&facts(None, None), &known, &Dps::new());
        let point = &made.points[&DpId(20)];
        assert_eq!((&point.spec.kind, &point.source), (&DpKind::Bool, &source));
        if source == Source::ThingModel {
            assert_eq!(made.points[&DpId(22)].spec.access, Access::Ro);
        }
    }
}

#[test]
fn wrong_definitions_are_refused_with_line_and_field() {
    let fault = |text: &str| Definitions::check(text).unwrap_err().to_string();
    let e = fault("name = \"X\"\ncolour = 1\n");
    assert!(e.contains("line 2") && e.contains("colour"), "{e}");
    assert!(fault("[[point]]\nid = 7\ntype = \"enum\"\n").contains("line 2: point 7"), "by line and point");
    let e = fault("class = \"toaster\"\n");
    assert!(e.contains("toaster") && e.contains("thermostat"), "{e}");
    let e = fault("\n\n[[entity]]\nkind = \"light\"\nbrightnes = 3\n");
    assert!(e.contains("line 3") && e.contains("brightnes"), "{e}");
    assert!(fault("{\"a\":").contains("line 1"));
    assert!(fault("{\"a\": 1}").contains("thing model"));
    let e = fault(r#"{"functions":[{"code":"switch","type":"Boolean","values":"{}"}],"status":[]}"#);
    assert!(e.contains("dp_id"), "{e}");
    let e = fault(r#"{"services":[{"properties":[{"abilityId":1,"typeSpec":{"type":"colour"}}]}]}"#);
    assert!(e.contains("colour"), "{e}");
}

#[test]
fn the_owners_files_are_found_by_product() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put(
        "mine.toml",
        "name = \"Mine\"\nproducts = [\"prodone\"]\n[[point]]\nid = 5\ncode = \"x\"\ntype = \"bool\"\n",
    );
    put("prodtwo.json", r#"{"7": {"code": "y", "type": "Boolean"}}"#);
    put("notes.txt", "nothing");
    let all = Definitions::open(Some(dir.path())).unwrap();
    let of = |product| all.of(&facts(Some(product), None), &KnownSchemas::default(), &Dps::new());
    assert_eq!((of("prodone").name.as_str(), of("prodone").points.len()), ("Mine", 1));
    assert_eq!(of("prodtwo").points[&DpId(7)].name, "y");
    assert!(of("prodthree").points.is_empty());
    put("wrong.toml", "[[point]]\nid = 1\ntype = \"bool\"\n");
    let e = Definitions::open(Some(dir.path())).unwrap_err().to_string();
    assert!(e.contains("wrong.toml") && e.contains("products"), "{e}");
    assert!(Definitions::open(Some(&dir.path().join("missing"))).is_ok());
}

/// Definitions of every built-in class and product, with something heard.
fn samples() -> Vec<(Definition, Dps)> {
    [
        (None, r#"{"1":true,"2":0,"4":435,"5":998,"6":2305}"#),
        (Some("cz"), r#"{"1":true,"9":0,"17":1,"18":4,"19":9,"20":2305,"26":1,"38":"off"}"#),
        (Some("dj"), r#"{"20":true,"21":"white","22":500,"23":0,"24":"000003e803e8","25":"x"}"#),
        (Some("dj"), r#"{"1":true,"2":"colour","3":255,"4":0,"5":"ff00000000ffff"}"#),
        (Some("cl"), r#"{"1":"ZZ","2":30,"3":30,"7":"opening"}"#),
        (Some("wk"), r#"{"1":true,"2":215,"3":190,"4":"hot"}"#),
        (Some("fs"), r#"{"1":true,"2":"sleep","3":"2"}"#),
        (Some("wnykq"), r#"{"201":"{}","202":"abc"}"#),
        (Some("sj"), r#"{"1":"alarm","4":80}"#),
        (Some("dlq"), r#"{"1":100,"6":"CQEAEOEAA9s=","16":true}"#),
        (Some("cwwsq"), r#"{"4":"standby","15":1}"#),
        (Some("tgkg"), r#"{"1":true,"2":500,"3":10,"4":"LED"}"#),
    ]
    .into_iter()
    .map(|(category, heard)| (guessed(category, heard), dps(heard)))
    .collect()
}

#[test]
fn an_exported_definition_reads_back_as_the_same() {
    for (made, heard) in samples() {
        let text = made.to_toml();
        Definitions::check(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let known = KnownSchemas { own: Some(text.clone()), ..KnownSchemas::default() };
        let again = Definitions::built_in().of(&facts(None, None), &known, &heard);
        assert_eq!(again.class, made.class, "{text}");
        assert_eq!(again.schema, made.schema, "{text}");
        assert_eq!(again.metering, made.metering, "{text}");
        assert_eq!(again.refresh, made.refresh, "{text}");
        assert_eq!(again.read(&heard), made.read(&heard), "{text}");
        assert_eq!(again.exposes(), made.exposes(), "{text}");
    }
}

/// Values alike: what others divide may end in another digit.
fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9 * a.abs().max(1.0),
        _ => a == b,
    }
}

#[test]
fn a_device_file_of_tuya_local_reads_back_and_says_the_same() {
    let product = landfall_proto::id::ProductId::new("keyproduct").unwrap();
    for (made, heard) in samples() {
        let text = made.to_tuya_local(Some(&product));
        let file = import::tuya_local::read("written.yaml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(file.products, std::slice::from_ref(&product), "{text}");
        for entity in &file.entities {
            assert!(entity.made.is_ok(), "{}: {:?}\n{text}", entity.what, entity.made);
        }
        // Every point is there, and takes what it took.
        for (id, point) in &made.points {
            let read = file.layer.points.get(id).and_then(|p| p.spec.as_ref());
            let read = read.unwrap_or_else(|| panic!("{id} is missing\n{text}"));
            let writable = |spec: &DpSpec| spec.access != Access::Ro;
            assert_eq!(writable(read), writable(&point.spec), "{id}\n{text}");
        }
        // Read by it alone, it says the same under the same names.
        let alone = super::layer::build(vec![file.layer], &heard);
        let (ours, theirs) = (made.read(&heard), alone.read(&heard));
        let mut same = 0;
        for (name, value) in &ours {
            let Some(other) = theirs.get(name) else { continue };
            // Labels of bits, and what is packed into bytes, have no place there. Without a colour, brightness is a number as
            // on the wire.
            let packed = value.is_array() || value.is_object();
            let bare = name == "brightness" && !text.contains("rgbhsv");
            assert!(packed || bare || alike(value, other), "{name}: {value} and {other}\n{text}");
            same += 1;
        }
        // A light without colours and a cover have names of their own there; a phase and blasters stay bytes.
        let renamed = match made.class {
            Class::Light | Class::Dimmer => 1,
            Class::Cover => 2,
            Class::Infrared => ours.len(),
            _ => usize::from(ours.keys().any(|k| k.contains("phase"))) * 4,
        };
        assert!(same > 0 || renamed > 0, "{ours:?}\n{theirs:?}\n{text}");
        assert!(ours.len() <= same + renamed, "{ours:?}\n{theirs:?}\n{text}");
        // To readers of YAML 1.1, bare words like these are true and false.
        let bare = |line: &str| line.ends_with(": off") || line.ends_with(": on") || line.ends_with(": no");
        assert!(!text.lines().any(bare), "{text}");
    }
}

#[test]
fn every_class_is_recognised_by_its_points() {
    let classes: Vec<&str> = samples().iter().map(|(d, _)| d.class.word()).collect();
    let want = [
        "plug",
        "plug",
        "light",
        "light",
        "cover",
        "thermostat",
        "fan",
        "infrared",
        "sensor",
        "switch",
        "actor",
        "dimmer",
    ];
    assert_eq!(classes, want);
    let (feeder, heard) = &samples()[10];
    let set = write(feeder, json!({"feed": 2}), heard).unwrap();
    assert!(feeder.schema.acts_on_write(&set), "a meal is served once");
    let (leak, heard) = &samples()[8];
    assert_eq!(leak.read(heard)["water_leak"], true);
    let (dimmer, heard) = &samples()[11];
    assert_eq!(dimmer.read(heard)["switch"], true);
    assert!(dimmer.read(heard)["brightness"].as_i64().is_some_and(|b| (120..=130).contains(&b)));
}

proptest! {
    #[test]
    fn plain_points_survive_reading_and_writing(
        raw in -10_000_i64..=10_000, scale in 0_u8..=4, unit in prop::sample::select(vec!["", "mA", "kW", "°C"]), on in any::<bool>(),
    ) {
        let kind = DpKind::Value { min: -10_000, max: 10_000, step: 1, scale, unit: unit.into() };
        let schema = Schema([
            (DpId(1), DpSpec::new("switch", DpKind::Bool, Access::Rw)),
            (DpId(2), DpSpec::new("level", kind, Access::Rw)),
            (DpId(3), DpSpec::new("fault", DpKind::Bitmap(["a".into(), "".into()].into()), Access::Rw)),
        ].into_iter().collect());
        let made = Definition::plain("x", &schema, &Source::Owner);
        let now: Dps = [
            (DpId(1), DpValue::Bool(on)),
            (DpId(2), DpValue::Value(raw)),
            (DpId(3), DpValue::Bitmap(raw.unsigned_abs() as u32)),
        ].into_iter().collect();
        let set = made.write(&made.read(&now), &now).unwrap();
        prop_assert_eq!(set.len(), 3);
        prop_assert!(now.shows(&set), "{:?} {:?}", now, set);
    }

    #[test]
    fn no_definition_makes_it_panic(text in "\\PC{0,200}") {
        let _fault = Definitions::check(&text);
    }
}
