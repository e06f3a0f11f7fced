//! What a signature that is wrong or can't be checked leads to: nothing.

use landfall_cloud::backend::{Keys, Registration, Timers};
use landfall_proto::gateway::{Call, Encryption, Key, Path, Reader};
use serde_json::json;

use crate::client::{ask, call, made, post, refusals, told};
use crate::common::{NOON, World, auth_key, device_id, keys, local_key, registration, sec_key, uuid};

const ID: &str = "bf00112233445566778899";
const SEC: &str = "5ec0123456789abc";
const LOCAL: &str = "10ca1key01234567";
const AUTH: &str = "Abcdefgh01234567Ijklmnop89abcdef";

/// Every action that could do harm, and the constant that strangers hear.
fn constants() -> Vec<(&'static str, serde_json::Value)> {
    let config = json!({"validTime": 1800, "time": NOON, "config": {}});
    let mut both = config.clone();
    both["timezone"] = config;
    vec![
        ("s.gw.update", json!(null)),
        ("s.gw.reset", json!(null)),
        ("tuya.device.reset", json!(null)),
        ("s.gw.exist", json!(true)),
        ("tuya.device.info.sync", json!({"status": "enable"})),
        ("tuya.device.delete.status.get", json!({"status": 0})),
        ("tuya.device.uuid.pskkey.get", json!({"pskKey": ""})),
        ("tuya.device.upgrade.get", json!(null)),
        ("tuya.device.upgrade.silent.get", json!(null)),
        ("s.gw.upgrade", json!(null)),
        ("tuya.device.upgrade.status.update", json!(null)),
        ("tuya.device.timer.count", json!(null)),
        ("tuya.device.timer.get", json!(null)),
        ("tuya.device.dynamic.config.get", both),
        ("tuya.device.region.config.get", json!(null)),
        ("tuya.device.versions.update", json!(null)),
        ("tuya.device.meta.save", json!(true)),
        ("tuya.device.invented", json!(null)),
    ]
}

fn world() -> World {
    let world = World::new().bound();
    world.backend.add(Registration {
        uuid: Some(uuid("uuid0001")),
        auth_key: Some(auth_key(AUTH)),
        keys: Some(keys(LOCAL, SEC)),
        pending: Some(keys("newlocal00000001", "newsec0000000001")),
        ..registration(ID)
    });
    let adopted = Keys { local: local_key(LOCAL), sec: None };
    world.backend.add(Registration { keys: Some(adopted), ..registration("bfadopted") });
    for id in [ID, "bfadopted"] {
        world.backend.keep_timers(id, Timers::Set { timers: Vec::new(), changed: 1 });
        let image = landfall_cloud::backend::ApprovedImage {
            kind: 0,
            version: "9.0.0".into(),
            bytes: bytes::Bytes::from_static(b"image"),
            token: "t0ken".into(),
        };
        world.backend.approve(id, image);
    }
    world
}

#[tokio::test]
async fn strangers_hear_constants_and_change_nothing() {
    let world = world();
    let wrong: Key = sec_key("0000000000000000").into();
    for (action, expected) in constants() {
        for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
            let mut answers = Vec::new();
            // One whose key is another, one whose key nobody knows, and one that does not exist.
            for id in [ID, "bfadopted", "bfnobody"] {
                let call = Call { dev_id: Some(device_id(id)), ..call(Path::D, action, "4.4", encryption) };
                let mut events = world.shared.events();
                let answer = ask(&world, post(&call.target(&wrong), "")).await;
                assert_eq!(answer.status, 200);
                let fields = answer.json();
                assert_eq!(fields["e"], false);
                assert_eq!(fields["success"], true, "{action}: an error code might remove a device");
                assert_eq!(fields.get("result").cloned().unwrap_or_default(), expected, "{action}");
                let code = match id {
                    ID => "gateway.signature",
                    "bfadopted" => "gateway.key_unknown",
                    _ => "gateway.unknown_device",
                };
                assert_eq!(refusals(&told(&mut events)), [code]);
                answers.push(answer);
            }
            assert!(answers.windows(2).all(|w| w[0] == w[1]), "{action}: the answer tells who exists");
        }
    }
    assert_eq!(world.backend.changes(), [""; 0]);
}

#[tokio::test]
async fn a_missing_or_altered_signature_is_a_wrong_one() {
    let world = world();
    let key: Key = sec_key(SEC).into();
    let call =
        Call { dev_id: Some(device_id(ID)), ..call(Path::D, "tuya.device.reset", "4.0", Encryption::Ecb) };
    let target = call.target(&key);
    let (unsigned, _) = target.rsplit_once("&sign=").unwrap();
    let altered = [
        unsigned.to_owned(),
        format!("{unsigned}&sign="),
        format!("{unsigned}&sign=00000000000000000000000000000000"),
        target.replace("t=21", "t=22"),
        target.replace("&et=1", ""),
        target.replace("devId", "gwId"),
        format!("{target}&x=1"),
    ];
    for target in altered {
        let mut events = world.shared.events();
        assert_eq!(ask(&world, post(&target, "")).await.json()["e"], false, "{target}");
        let told = told(&mut events);
        assert_eq!(refusals(&told), ["gateway.signature"], "{target}");
        assert!(!told.iter().any(|e| e["event"] == "reset"));
    }
    assert_eq!(world.backend.changes(), [""; 0]);
}

#[tokio::test]
async fn no_key_appears_in_anything_that_leaves() {
    let world = world();
    let mut events = world.shared.events();
    let secrets = [SEC, LOCAL, AUTH, "newsec0000000001", "newlocal00000001", "t0ken"];
    let (right, wrong): (Key, Key) = (sec_key(SEC).into(), sec_key("0000000000000000").into());
    for (action, _) in constants() {
        for key in [&wrong, &right] {
            // Answers in clear to verified calls name the token of an approved image, as they must.
            let encryption = Encryption::Ecb;
            let call = Call { dev_id: Some(device_id(ID)), ..call(Path::D, action, "4.4", encryption) };
            let answer = ask(&world, post(&call.target(key), "")).await;
            for secret in secrets {
                assert!(!answer.text().contains(secret), "{action}: {}", answer.text());
            }
        }
    }
    let told = format!("{:?}", told(&mut events));
    assert!(told.contains("question"));
    for secret in secrets {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test]
async fn a_reset_is_told_and_forgets_nothing_however_often_it_is_sent() {
    let world = world();
    let key: Key = sec_key(SEC).into();
    for (path, action, version) in [(Path::Gw, "s.gw.reset", ""), (Path::D, "tuya.device.reset", "4.0")] {
        let mut call = call(path, action, version, Encryption::Ecb);
        match path {
            Path::Gw => call.gw_id = Some(device_id(ID)),
            Path::D => call.dev_id = Some(device_id(ID)),
        }
        for _ in 0..2 {
            let mut events = world.shared.events();
            made(&world, &call, &key, "", Reader::Stock).await;
            assert!(told(&mut events).iter().any(|e| e["event"] == "reset" && e["device"] == ID));
        }
    }
    let device = world.shared.backend.by_id(&device_id(ID)).expect("still there");
    assert_eq!(device.keys, Some(keys(LOCAL, SEC)));
    assert!(
        world.backend.changes().iter().all(|c| c.starts_with("announce")),
        "{:?}",
        world.backend.changes()
    );
}

#[tokio::test]
async fn the_other_key_is_tried() {
    let world = world();
    // By its uuid, but under the sec key; by its id, but under the auth key.
    let by_uuid = Call {
        uuid: Some(uuid("uuid0001")),
        ..call(Path::D, "tuya.device.uuid.pskkey.get", "1.0", Encryption::Ecb)
    };
    let by_id = Call { dev_id: Some(device_id(ID)), ..call(Path::D, "s.gw.exist", "1.0", Encryption::Ecb) };
    let mut events = world.shared.events();
    made(&world, &by_uuid, &sec_key(SEC).into(), "{}", Reader::Stock).await;
    made(&world, &by_id, &auth_key(AUTH).into(), "{}", Reader::Stock).await;
    made(&world, &by_uuid, &auth_key(AUTH).into(), "{}", Reader::Stock).await;
    assert_eq!(refusals(&told(&mut events)), [""; 0]);
}

#[tokio::test]
async fn a_body_under_the_other_key_is_read() {
    let world = world();
    let call = Call {
        dev_id: Some(device_id(ID)),
        ..call(Path::D, "tuya.device.timer.count", "4.0", Encryption::Ecb)
    };
    world.backend.keep_timers(ID, Timers::Kept);
    let body = call.form(
        &auth_key(AUTH).into(),
        br#"{"lastFetchTime":"12345"}"#,
        &mut landfall_link::entropy::OsEntropy::new(),
    );
    let key: Key = sec_key(SEC).into();
    let answer = ask(&world, post(&call.target(&key), &body)).await;
    let reply =
        landfall_proto::gateway::Reply::parse(&answer.body, Encryption::Ecb, &key, Reader::Stock).unwrap();
    let landfall_proto::gateway::Outcome::Success(Some(result)) = reply.outcome() else {
        panic!("{reply:?}")
    };
    assert_eq!(result.read::<serde_json::Value>().unwrap()["lastFetchTime"], 12_345);
}
