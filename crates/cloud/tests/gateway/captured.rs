//! Requests as real devices sent them: those of `/vectors/cloud.json`, and those of the plugs that started it all.

use landfall_cloud::backend::Registration;
use landfall_proto::gateway::{Encryption, Key, Reader, Reply};
use landfall_proto::id::{AuthKey, SecKey};
use serde_json::{Value, json};

use crate::client::{ask, post, refusals, told};
use crate::common::{NOON, World, keys, registration, uuid};

fn vectors(kinds: &[&str]) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/cloud.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("JSON");
    let all = file["vectors"].as_array().expect("a list").clone();
    let found: Vec<_> =
        all.into_iter().filter(|v| kinds.contains(&v["kind"].as_str().unwrap_or(""))).collect();
    assert!(!found.is_empty());
    found
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A world with this key's device in it, which may be activated.
fn world(params: &Value, key: &str) -> (World, Key) {
    let world = World::new().bound();
    let named = ["gwId", "devId"].iter().find_map(|n| params[n].as_str());
    let hardware = params["uuid"].as_str();
    let mut device = registration(named.unwrap_or("bf0000000000000000test"));
    device.uuid = hardware.map(uuid);
    let key: Key = match key.len() {
        32 => {
            device.auth_key = AuthKey::new(key).ok();
            AuthKey::new(key).expect("an auth key").into()
        }
        _ => {
            device.keys = Some(keys("10ca1key01234567", key));
            SecKey::new(key).expect("a sec key").into()
        }
    };
    world.backend.add(device);
    world.backend.open(hardware.or(named).expect("somebody"), NOON + 600);
    (world, key)
}

#[tokio::test]
async fn every_signature_that_was_made_is_understood() {
    let mut seen = 0;
    for vector in vectors(&["http_sign"]) {
        let (inputs, query) = (&vector["inputs"], text(&vector["expected"], "query"));
        let (world, key) = world(&inputs["params"], text(inputs, "key"));
        for path in ["/gw.json", "/d.json"] {
            for get in [true, false] {
                let mut events = world.shared.events();
                let target = format!("{path}?{query}");
                let request = match get {
                    true => format!("GET {target} HTTP/1.1\r\nHost: a.tuyaus.com\r\n\r\n"),
                    false => post(&target, ""),
                };
                let answer = ask(&world, request).await;
                assert_eq!(answer.status, 200, "{target}");
                let encryption = match inputs["params"]["et"].as_str() {
                    Some("1") => Encryption::Ecb,
                    Some("3") => Encryption::Gcm,
                    _ => Encryption::AnswerClear,
                };
                let reply = Reply::parse(&answer.body, encryption, &key, Reader::Stock);
                assert_eq!(reply.map(|r| r.t), Ok(NOON), "{target}: {}", answer.text());
                assert_eq!(answer.json().get("e").is_some(), encryption == Encryption::AnswerClear);
                assert_eq!(refusals(&told(&mut events)), [""; 0], "{target}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 44, "{seen}");
}

#[tokio::test]
async fn every_body_is_read() {
    let query = "a=s.gw.update&et=1&gwId=08152440f4cfa201bf97&t=1597839750&v=2.0&sign=96be5199deb9ede5f78a12a50f172c08";
    let vector = vectors(&["http_body_ecb"]).into_iter().find(|v| v["name"] == "http-body-gw-update");
    let vector = vector.expect("the vector");
    let (world, _) = world(&json!({"gwId": "08152440f4cfa201bf97"}), text(&vector["inputs"], "key"));
    let body = text(&vector["expected"], "body");
    for body in [body.to_owned(), body.to_lowercase(), format!("{body}\r\n"), format!("{body}\0")] {
        let before = world.backend.changes().len();
        assert_eq!(ask(&world, post(&format!("/gw.json?{query}"), &body)).await.status, 200);
        let changes = world.backend.changes();
        let said = "announce 08152440f4cfa201bf97 Some(V2_2) None Some(\"1.0.5\")";
        assert_eq!(changes.last().map(String::as_str), Some(said), "{body}");
        assert!(changes.len() > before);
    }
}

#[tokio::test]
async fn what_a_device_was_answered_once_we_answer_too() {
    // The captured answer had an empty configuration; ours has the owner's time zone, in the same form.
    let vector =
        vectors(&["http_sign"]).into_iter().find(|v| v["name"] == "http-sign-public-dynamic-config-get");
    let vector = vector.expect("the vector");
    let (world, key) = world(&vector["inputs"]["params"], text(&vector["inputs"], "key"));
    let answer = ask(&world, post(&format!("/gw.json?{}", text(&vector["expected"], "query")), "")).await;
    let shape = |v: &Value| v.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
    let theirs: Value = vectors(&["http_reply_et1"])[0]["expected"]["body"]
        .as_str()
        .and_then(|b| serde_json::from_str(b).ok())
        .expect("a body");
    assert_eq!(shape(&answer.json()), shape(&theirs));
    let reply = Reply::parse(&answer.body, Encryption::Ecb, &key, Reader::Stock).expect("an answer");
    let landfall_proto::gateway::Outcome::Success(Some(result)) = reply.outcome() else {
        panic!("{reply:?}")
    };
    let result: Value = result.read().expect("JSON");
    assert_eq!((&result["validTime"], &result["time"]), (&json!(1800), &json!(NOON)));
    assert_eq!(result["config"]["stdTimeZone"], "+01:00");
}

#[tokio::test]
async fn the_first_plugs_are_answered_though_nobody_knows_their_keys() {
    let world = World::new().bound();
    // Adopted with its local key alone: nothing that it says over HTTP can be checked.
    let mut device = registration("0220xxxxxxxxxxxxxx606");
    device.keys = Some(landfall_cloud::backend::Keys {
        local: crate::common::local_key("cf39acf048ca0762"),
        sec: None,
    });
    world.backend.add(device);
    for (i, vector) in vectors(&["http_parse"]).iter().enumerate() {
        let params = vector["inputs"]["params"].as_object().expect("parameters");
        let query: Vec<_> = params.iter().map(|(n, v)| format!("{n}={}", v.as_str().unwrap_or(""))).collect();
        let body = format!("data={}", text(&vector["inputs"], "data_prefix"));
        let target = format!("{}?{}", text(&vector["inputs"], "path"), query.join("&"));
        // As the page shows it: parameters in the body as well as in the target.
        for request in [post(&target, &body), post("/gw.json", &format!("{}&{body}", query.join("&")))] {
            let answer = ask(&world, request).await;
            assert_eq!(answer.status, 200);
            let expected = [
                format!("{{\"t\":{NOON},\"e\":false,\"success\":true,\"result\":true}}"),
                // Timers that we can't know are not erased by a time of ours.
                format!("{{\"t\":{NOON},\"e\":false,\"success\":true}}"),
            ];
            assert_eq!(answer.text(), expected[i], "{target}");
            assert_eq!(answer.header("Content-Type"), Some("application/json;charset=UTF-8"));
        }
    }
    assert_eq!(world.backend.changes(), [""; 0]);
    let records = world.shared.handshakes.devices();
    let record = records.values().next().expect("a record");
    assert_eq!(record.questions["s.gw.dev.timer.count"], 2, "{record:?}");
    assert!(record.refusals.contains_key("gateway.key_unknown"), "{record:?}");
}

#[tokio::test]
async fn a_whole_boot_of_generation_a_goes_through() {
    let world = World::new().bound();
    let id = "0220019400000000abcd";
    world
        .backend
        .add(Registration { keys: Some(keys("10ca1key01234567", "5ec0123456789abc")), ..registration(id) });
    let mut events = world.shared.events();
    let sequence = [
        ("s.gw.update", "2.0", r#"{"verSw":"1.0.0","pv":"2.1","bv":"5.42"}"#, json!(null)),
        ("s.gw.dev.update", "2.0", "", json!(null)),
        ("atop.online.debug.log", "", r#"{"data":4}"#, json!(true)),
        ("tuya.device.upgrade.silent.get", "4.1", r#"{"subId":null}"#, json!(null)),
        ("s.gw.dev.timer.count", "", r#"{"gwId":"x"}"#, json!(null)),
    ];
    for (action, version, body, expected) in sequence {
        let mut call =
            crate::client::call(landfall_proto::gateway::Path::Gw, action, version, Encryption::AnswerClear);
        call.gw_id = Some(crate::common::device_id(id));
        let key = crate::common::sec_key("5ec0123456789abc").into();
        let (answer, _) = crate::client::made(&world, &call, &key, body, Reader::Stock).await;
        let fields = answer.json();
        assert_eq!((&fields["success"], &fields["e"]), (&json!(true), &json!(false)), "{action}");
        assert_eq!(fields.get("result").cloned().unwrap_or_default(), expected, "{action}");
    }
    let told = told(&mut events);
    assert_eq!(told.iter().filter(|e| e["event"] == "question" && e["known"] == true).count(), 5, "{told:?}");
}
