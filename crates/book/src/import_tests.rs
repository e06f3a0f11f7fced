use std::path::Path;

use landfall_proto::id::LocalKey;
use landfall_proto::lan::Version;
use serde_json::json;

use super::*;
use crate::book::Book;
use crate::export::{Keys, devices_json};
use crate::merge::{OutcomeKind, merge};

fn parsed(v: &Value) -> Vec<Entry> {
    parse(v.to_string().as_bytes(), Path::new("devices.json")).unwrap()
}

/// The error with its cause, in one line.
fn error(v: &Value) -> String {
    let e = parse(v.to_string().as_bytes(), Path::new("devices.json")).unwrap_err();
    match std::error::Error::source(&e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}

fn home() -> Value {
    json!([
        {"name": "Kitchen / plug", "id": "bf0123456789abcdefvx01", "key": "Kx7$v9Qm2#Lp4&Rz",
         "mac": "d8:1f:12:00:00:01", "uuid": "uuid01", "category": "cz", "product_name": "Smart plug",
         "product_id": "keym9qkuywghyrvs", "biz_type": 18, "model": "F1s", "sub": false,
         "icon": "https://images.example/plug.png", "ip": "192.168.1.20", "version": "3.3",
         "mapping": {"1": {"code": "switch_1", "type": "Boolean", "values": {}},
                     "19": {"code": "cur_power", "type": "Integer",
                            "values": {"unit": "W", "min": 0, "max": 50000, "scale": 1, "step": 1}}}},
        {"name": "Gateway", "id": "bfgateway0000000000001", "key": "ABCDEFGHabcdefgh", "ip": "192.168.1.21",
         "version": 3.4, "mapping": {}},
        {"name": "Door", "id": "bfchild000000000000001", "key": "ABCDEFGHabcdefgh", "sub": true,
         "node_id": "a4c138fffe000001", "version": "", "ip": ""},
        {"name": "Virtual", "id": "bfvirtual0000000000001", "key": "", "ip": "127.3.0.9", "port": 40001,
         "version": "3.5"}
    ])
}

#[test]
fn tinytuya_lists_in_both_forms() {
    for v in [home(), json!({"devices": home()})] {
        let e = parsed(&v);
        assert_eq!(e.len(), 4);
        let plug = &e[0].device;
        assert_eq!(plug.name, "Kitchen / plug");
        assert_eq!(plug.key, Some(LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap()));
        assert_eq!(plug.version, Some(Version::V3_3));
        assert_eq!(plug.extra.keys().collect::<Vec<_>>(), ["biz_type", "icon", "model"]);
        assert_eq!(plug.schema().by_code("cur_power"), Some(landfall_proto::dp::DpId(19)));
        let (gateway, door) = (&e[1].device, &e[2].device);
        assert_eq!(gateway.version, Some(Version::V3_4));
        assert_eq!(door.parent, Some(gateway.id.clone()), "same key, so it is its gateway");
        assert_eq!(door.cid.as_ref().map(|c| c.as_str()), Some("a4c138fffe000001"));
        assert_eq!((door.version, door.address), (None, None));
        assert_eq!(e[3].device.key, None);
        assert_eq!(e[3].device.socket_address().unwrap().to_string(), "127.3.0.9:40001");
    }
}

#[test]
fn snapshot() {
    let e = parsed(&json!({"timestamp": 1.5, "devices": [
        {"id": "bf01", "ip": "192.168.1.5", "ver": "3.4", "origin": "broadcast", "name": "Lamp",
         "key": "0123456789abcdef", "mac": "", "dps": {"dps": {"1": true}}},
        {"gwId": "bf02", "ip": "", "ver": "0.0", "name": "", "key": "", "mac": ""}
    ]}));
    assert_eq!(e[0].device.version, Some(Version::V3_4));
    assert!(e[0].device.extra.is_empty(), "state is not identity");
    assert_eq!(e[1].device.name, "bf02");
    assert_eq!(e[1].device.version, None);
}

#[test]
fn wizard_list() {
    let e = parsed(&json!([{"name": "Hub", "id": "bf01", "key": "0123456789abcdef", "subDevices": [
        {"name": "Leak", "id": "bf02", "cid": "0011"}]}]));
    assert_eq!(e.len(), 2);
    assert_eq!(e[1].device.parent, Some(DeviceId::new("bf01").unwrap()));
    assert_eq!(e[1].device.cid.as_ref().map(|c| c.as_str()), Some("0011"));
}

#[test]
fn values_in_odd_places() {
    let e = parsed(&json!([{"device_id": "bf01", "local_key": "0123456789abcdef", "host": "10.0.0.1:7000",
                            "protocol_version": 3.3, "port": "7000"}]));
    let d = &e[0].device;
    assert_eq!(d.key, Some(LocalKey::new("0123456789abcdef").unwrap()));
    assert_eq!(d.socket_address().unwrap().to_string(), "10.0.0.1:7000");
    assert_eq!(d.version, Some(Version::V3_3));
    let mixed =
        parsed(&json!([{"id": "bf01", "key": "a&b<c>d'e\"f0123!", "last_ip": "10.0.0.2", "ip": "8.8.8.8"}]));
    assert_eq!(mixed[0].device.address, Some("10.0.0.2".parse().unwrap()));
}

#[test]
fn errors_name_entry_and_field_but_no_key() {
    let with = |field: &str, v: Value| {
        let mut entry = json!({"name": "Plug", "id": "bf02", "key": "0123456789abcdef"});
        entry[field] = v;
        error(&json!([{"name": "fine", "id": "bf01"}, entry]))
    };
    let at = "devices.json: entry 2 (\"Plug\", id bf02), field ";
    assert_eq!(
        with("key", json!("SECRETSECRET")),
        format!("{at}\"key\": a local key has 16 bytes, this one has 12")
    );
    assert_eq!(with("key", json!(12_345_678)), format!("{at}\"key\": it is a number, not text"));
    assert_eq!(with("ip", json!("192.168.1.300")), format!("{at}\"ip\": \"192.168.1.300\" is no IP address"));
    assert_eq!(with("port", json!(70_000)), format!("{at}\"port\": 70000 is no port; 1 to 65535 are"));
    assert_eq!(
        with("version", json!("9.9")),
        format!("{at}\"version\": unknown LAN protocol version \"9.9\"; 3.1, 3.2, 3.3, 3.4 and 3.5 exist")
    );
    assert_eq!(
        with("mapping", json!({"1": {"code": "x", "type": "Colour"}})),
        format!(
            "{at}\"mapping\": point 1: unknown type \"Colour\"; \
             Boolean, Integer, Enum, String, Json, Bitmap and Raw exist"
        )
    );
    assert_eq!(
        with("name", json!("a\nb")),
        "devices.json: entry 2 (\"ab\", id bf02), field \"name\": the name holds the control character '\\n'"
    );
    assert_eq!(
        error(&json!([{"name": "Plug"}])),
        "devices.json: entry 1 (\"Plug\"), field \"id\": it is missing"
    );
    assert_eq!(error(&json!([5])), "devices.json: entry 1: it is a number, not an object");
    assert_eq!(
        error(&json!([{"id": "bf01"}, {"id": "bf01"}])),
        "devices.json: entry 2 (id bf01), field \"id\": the id stands in entry 1 already"
    );
    assert_eq!(
        error(&json!([{"id": "bf01", "subDevices": [{"id": "bf02", "name": "x"}]}])),
        "devices.json: entry 1, sub-device 1 (\"x\", id bf02), field \"cid\": it is missing"
    );
    assert_eq!(
        error(&json!({"a": 1})),
        "devices.json holds an object without \"devices\", not a list of devices"
    );
    assert_eq!(error(&json!("x")), "devices.json holds text, not a list of devices");
    let syntax = parse(b"[\n{\"id\": \"bf01\",}]", Path::new("d.json")).unwrap_err().to_string();
    assert_eq!(syntax, "d.json is not JSON: line 2, column 15");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let text = home().to_string();
    for end in 0..text.len() {
        assert!(parse(&text.as_bytes()[..end], Path::new("x")).is_err(), "cut at {end}");
    }
    assert_eq!(parse(text.as_bytes(), Path::new("x")).unwrap().len(), 4);
}

#[test]
fn any_field_may_hold_anything() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5e300),
        json!("\u{0}"),
        json!("x".repeat(5000)),
        json!([[]]),
        json!({"a": {}}),
    ];
    let first = home()[0].clone();
    let fields: Vec<String> = first.as_object().unwrap().keys().cloned().collect();
    let more = ["port", "parent", "node_id", "landfall", "subDevices", "last_ip", "dps"].map(String::from);
    for field in fields.iter().chain(&more) {
        for value in &odd {
            let mut entry = first.clone();
            entry[field] = value.clone();
            let text = json!([entry]).to_string();
            // Taken or refused; if refused, in a message of bounded length.
            if let Err(e) = parse(text.as_bytes(), Path::new("x")) {
                let told = format!("{e}: {}", std::error::Error::source(&e).unwrap());
                assert!(told.contains("entry 1") && told.len() < 600, "{field}: {told}");
            }
        }
    }
}

#[test]
fn importing_twice_changes_nothing_and_updates_say_what_changed() {
    let mut book = Book::new();
    let entries = parsed(&home());
    assert!(merge(&mut book, &entries, 1).iter().all(|o| matches!(o.kind, OutcomeKind::Added { .. })));
    let once = book.clone();
    assert!(merge(&mut book, &entries, 2).iter().all(|o| o.kind == OutcomeKind::Unchanged));
    assert_eq!(book, once);

    let mut v = home();
    v[0]["key"] = json!("zzzzzzzzzzzzzzzz");
    v[0]["ip"] = json!("192.168.1.99");
    v[0]["icon"] = json!("other");
    v[0]["version"] = json!("");
    let out = merge(&mut book, &parsed(&v), 77);
    let OutcomeKind::Updated(changes) = &out[0].kind else { panic!("{:?}", out[0]) };
    let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "key changed (the old one is in the key history)",
            "address 192.168.1.20 -> 192.168.1.99",
            "other fields (1)"
        ]
    );
    let plug = book.find("kitchen / plug").unwrap();
    assert_eq!(plug.key_history.len(), 1);
    assert_eq!(plug.key_history[0].replaced, 77);
    assert_eq!(plug.version, Some(Version::V3_3), "what a file doesn't say stays");
    assert!(out[1..].iter().all(|o| o.kind == OutcomeKind::Unchanged));
}

#[test]
fn the_owners_names_survive() {
    let mut book = Book::new();
    let entries = parsed(&home());
    merge(&mut book, &entries, 1);
    book.rename("Gateway", "Cellar").unwrap();
    assert!(merge(&mut book, &entries, 2).iter().all(|o| o.kind == OutcomeKind::Unchanged));
    assert!(book.find("Cellar").is_ok());
    // The name given in the vendor's app changed meanwhile: that is news.
    let mut v = home();
    v[1]["name"] = json!("Hub");
    let out = merge(&mut book, &parsed(&v), 3);
    assert!(matches!(&out[1].kind, OutcomeKind::Updated(c) if c[0].to_string() == "name Cellar -> Hub"));
    assert_eq!(merge(&mut book, &parsed(&v), 4)[1].kind, OutcomeKind::Unchanged);
}

#[test]
fn equal_names_get_a_number_once() {
    let v = json!([{"id": "bf01", "name": "Plug"}, {"id": "bf02", "name": "plug"}, {"id": "bf03", "name": "Plug"}]);
    let mut book = Book::new();
    let out = merge(&mut book, &parsed(&v), 1);
    assert_eq!(out.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["Plug", "plug 2", "Plug 3"]);
    assert!(matches!(&out[1].kind, OutcomeKind::Added { instead_of: Some(n) } if n == "plug"));
    assert!(merge(&mut book, &parsed(&v), 2).iter().all(|o| o.kind == OutcomeKind::Unchanged));
    book.check().unwrap();
}

#[test]
fn paired_again_is_the_same_device() {
    let mut book = Book::new();
    merge(&mut book, &parsed(&home()), 1);
    let again =
        json!([{"name": "Kitchen / plug", "id": "bfnew", "key": "nnnnnnnnnnnnnnnn", "uuid": "uuid01"}]);
    let out = merge(&mut book, &parsed(&again), 5);
    assert!(matches!(&out[0].kind, OutcomeKind::Updated(c)
        if c[0].to_string() == "id bf0123456789abcdefvx01 -> bfnew"));
    let plug = book.find("bf0123456789abcdefvx01").unwrap();
    assert_eq!(plug.id.as_str(), "bfnew");
    assert_eq!(plug.key_history.len(), 1);
    // The file from before is stale: nothing goes back.
    let before = book.clone();
    let out = merge(&mut book, &parsed(&home()), 6);
    assert_eq!(out[0].kind, OutcomeKind::Former);
    assert_eq!(book, before);
}

#[test]
fn exports_keep_what_others_care_about_and_hide_keys_unless_asked() {
    let mut v = home();
    v[0]["sec_key"] = json!("SECRETSECRETSECR");
    let mut book = Book::new();
    merge(&mut book, &parsed(&v), 1);
    let bare = devices_json(&book, Keys::Without).unwrap();
    for secret in ["Kx7$v9Qm2#Lp4&Rz", "ABCDEFGHabcdefgh", "SECRET"] {
        assert!(!bare.contains(secret));
    }
    let full: Value = serde_json::from_str(&devices_json(&book, Keys::With).unwrap()).unwrap();
    for field in [
        "name",
        "id",
        "key",
        "mac",
        "uuid",
        "category",
        "product_id",
        "product_name",
        "biz_type",
        "model",
        "icon",
        "ip",
        "version",
        "mapping",
        "sub",
        "sec_key",
    ] {
        assert_eq!(full[0][field], v[0][field], "{field}");
    }
    assert_eq!(full[2]["parent"], json!("bfgateway0000000000001"));
    assert_eq!(full[3]["port"], json!(40001));
}

mod round_trip {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Value> {
        let opt = |s: &'static str| proptest::option::of(proptest::string::string_regex(s).unwrap());
        (
            (opt("[ -~]{16}"), opt("[A-Za-z0-9äöü/ ]{1,20}"), opt("[a-z0-9]{8}"), opt("[a-z0-9]{16}")),
            (proptest::option::of(any::<[u8; 4]>()), proptest::option::of(1..=u16::MAX), 0..6_usize),
            (any::<bool>(), any::<bool>(), proptest::option::of(0..1000_i64), opt("[ -~]{0,12}")),
        )
            .prop_map(|((key, name, uuid, product), (ip, port, version), (sleeper, device22, max, icon))| {
                let mut m = json!({});
                let mut put = |k: &str, v: Option<Value>| {
                    if let Some(v) = v {
                        m[k] = v;
                    }
                };
                put("key", key.map(Value::from));
                put("name", name.map(Value::from));
                put("uuid", uuid.map(Value::from));
                put("product_id", product.map(Value::from));
                put("ip", ip.map(|b| Value::from(std::net::Ipv4Addr::from(b).to_string())));
                put("port", port.map(Value::from));
                put("version", Version::ALL.get(version).map(|v| Value::from(v.as_str())));
                put("mapping", max.map(|max| json!({"9": {"code": "c", "type": "Integer", "values": {"max": max, "min": 0}}})));
                put("icon", icon.map(Value::from));
                put("landfall", Some(json!({"sleeper": sleeper, "device22": device22})));
                m
            })
    }

    proptest! {
        #[test]
        fn import_export_import_is_lossless(entries in proptest::collection::vec(entry(), 0..8)) {
            let mut list = entries;
            for (i, e) in list.iter_mut().enumerate() {
                e["id"] = json!(format!("bf{i:04}"));
                if e["uuid"].is_string() {
                    e["uuid"] = json!(format!("uuid{i}"));
                }
            }
            let mut first = Book::new();
            merge(&mut first, &parsed(&Value::Array(list)), 1);
            let text = devices_json(&first, Keys::With).unwrap();
            let again = parse(text.as_bytes(), Path::new("x")).unwrap();
            let mut second = Book::new();
            merge(&mut second, &again, 2);
            prop_assert_eq!(devices_json(&second, Keys::With).unwrap(), text);
            // Into the same book it is no news.
            let before = first.clone();
            merge(&mut first, &again, 3);
            prop_assert_eq!(first, before);
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text, Path::new("x"));
        }
    }
}

fn device_id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// The fields of tuya-cloudcutter's file, whose uuid has 12 and whose auth key 16 characters (cloud.md 6.4).
#[test]
fn a_device_that_cloudcutter_cut_comes_with_all_its_keys() {
    let file = json!({
        "uuid": "Zz0123456789", "auth_key": "Auth0Auth1Auth2A", "local_key": "Local0Local1Loca",
        "sec_key": "Sec00Sec11Sec22S", "device_id": "Abcdefghij0123456789", "chip_family": "BK7231T",
        "profile_name": "1.1.71 / a", "device_slug": "some-plug"
    });
    let mut book = Book::new();
    merge(&mut book, &parsed(&file), 1);
    let device = book.by_id(&device_id("Abcdefghij0123456789")).unwrap();
    assert_eq!((device.name.as_str(), device.uuid.as_ref().unwrap().as_str()), ("some-plug", "Zz0123456789"));
    assert_eq!(device.key.as_ref().unwrap().expose_str(), "Local0Local1Loca");
    assert_eq!(device.cloud.sec_key.as_ref().unwrap().expose_str(), "Sec00Sec11Sec22S");
    assert_eq!(device.cloud.auth_key.as_ref().unwrap().expose_str(), "Auth0Auth1Auth2A");
    assert_eq!(device.extra["chip_family"], "BK7231T");
    assert!(!format!("{device:?}").contains("Auth0"));
    let before = book.clone();
    let again = merge(&mut book, &parsed(&file), 2);
    assert_eq!((&again[0].kind, &book), (&OutcomeKind::Unchanged, &before));
    // Out and in again nothing is lost; without keys nothing is told.
    let out: Value = serde_json::from_str(&devices_json(&book, Keys::With).unwrap()).unwrap();
    let mut copy = Book::new();
    merge(&mut copy, &parsed(&out), 3);
    assert_eq!(copy.devices()[0].cloud, book.devices()[0].cloud);
    let bare = devices_json(&book, Keys::Without).unwrap();
    assert!(["Auth0", "Local0", "Sec00"].iter().all(|secret| !bare.contains(secret)), "{bare}");
    let mut short = file;
    short["sec_key"] = json!("SECRETSECRET");
    let e = parse(short.to_string().as_bytes(), Path::new("x")).unwrap_err();
    let text = format!("{e}: {}", std::error::Error::source(&e).unwrap());
    assert!(text.contains("\"sec_key\": a sec key has 16 characters, this one has 12"), "{text}");
}

#[test]
fn another_local_key_from_a_file_takes_no_old_sec_key_along() {
    let entry = |key: &str| json!([{"id": "bf01", "name": "Plug", "key": key.repeat(16)}]);
    let mut book = Book::new();
    merge(&mut book, &parsed(&entry("a")), 1);
    let sec = landfall_proto::id::SecKey::new("s".repeat(16)).ok();
    book.by_id_mut(&device_id("bf01")).unwrap().cloud.sec_key.clone_from(&sec);
    merge(&mut book, &parsed(&entry("b")), 2);
    let device = &book.devices()[0];
    assert_eq!((&device.cloud.sec_key, &device.key_history[0].sec), (&None, &sec));
    // The old key comes back with what belongs to it.
    merge(&mut book, &parsed(&entry("a")), 3);
    assert_eq!(book.devices()[0].cloud.sec_key, sec);
}
