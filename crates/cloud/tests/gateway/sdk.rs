//! The recorded life of Connect Kit (`/vectors/sdk-connect-kit`): our answers to its requests pass the checks that it
//! makes (sdk-observed.md 1).

use std::sync::Arc;

use landfall_cloud::backend::Registration;
use landfall_cloud::gateway::actions::{self, Asked};
use landfall_cloud::listen::Over;
use landfall_proto::gateway::{Encryption, Key, Outcome, Reader, Reply};
use landfall_proto::mqtt::rpc::{RpcRequest, RpcResponse};
use serde_json::{Value, json};

use crate::client::{Answer, ask_over};
use crate::common::{NOON, World, auth_key, keys, link, registration, sec_key, uuid};

const UUID: &str = "uuidtest0001abcd";
const AUTH: &str = "AuthKey89abcdef0123456789abcdefA";
const ID: &str = "bf0123456789abcdefghij";
const SEC: &str = "seckey0123456789";

fn recorded(name: &str) -> Vec<u8> {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/sdk-connect-kit").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

async fn asked(world: &World, name: &str) -> Answer {
    let answer = ask_over(world, link(Over::Certificate), recorded(name)).await;
    assert_eq!(answer.status, 200, "{name}");
    answer
}

fn result(answer: &Answer, key: &Key) -> Value {
    let reply = Reply::parse(&answer.body, Encryption::Ecb, key, Reader::Sdk).expect("an answer");
    assert!(i32::try_from(reply.t).is_ok(), "read into 32 bits");
    match reply.outcome() {
        Outcome::Success(Some(result)) => result.read().expect("JSON"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_name_service_says_what_it_reads_without_a_check() {
    let world = World::new().bound();
    for name in ["001-https-request.bin", "003-https-request.bin"] {
        let answer = asked(&world, name).await;
        assert!(answer.size() < 6144);
        let fields = answer.json();
        assert!(fields["caArr"][0].is_string(), "element 0 is read without a look");
        let https = fields["httpsSelfUrl"]["addr"]
            .as_str()
            .expect("an address")
            .strip_prefix("https://")
            .expect("https");
        let (host, path) = https.split_at(https.find('/').expect("a path"));
        assert!(host.len() <= 64 && path.len() <= 16 && !host.contains(':'), "{https}");
        let mqtts = fields["mqttsSelfUrl"]["addr"].as_str().expect("an address");
        assert!(mqtts.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()), "{mqtts}");
        assert_eq!(fields.as_object().map(serde_json::Map::len), Some(4), "what was asked for, no more");
    }
}

#[tokio::test]
async fn its_activation_has_every_field_and_fits_its_buffers() {
    let world = World::new().bound();
    world.backend.add(Registration {
        uuid: Some(uuid(UUID)),
        auth_key: Some(auth_key(AUTH)),
        ..registration(ID)
    });
    world.backend.open(UUID, NOON + 600);
    let answer = asked(&world, "004-https-request.bin").await;
    assert!(answer.size() < 8192);
    let mut result = result(&answer, &auth_key(AUTH).into());
    for (field, most) in
        [("devId", 25), ("secKey", 16), ("localKey", 16), ("schemaId", 16), ("stdTimeZone", 6)]
    {
        let text = result[field].as_str().unwrap_or_else(|| panic!("no {field}"));
        assert!(!text.is_empty() && text.len() <= most, "{field}: {text}");
    }
    assert_eq!(
        (result["secKey"].as_str().map(str::len), result["localKey"].as_str().map(str::len)),
        (Some(16), Some(16))
    );
    assert_eq!(result["resetFactory"], false);
    let schema = result["schema"].as_str().expect("a text");
    assert!(serde_json::from_str::<Value>(schema).expect("JSON in a text").is_array());
    // What it keeps is printed without the schema into 512 bytes.
    result.as_object_mut().expect("an object").remove("schema");
    assert!(result.to_string().len() < 512, "{}", result.to_string().len());
    assert_eq!(world.backend.changes()[0], format!("activate {UUID} signed=true D"));
    let device = world.shared.backend.by_uuid(&uuid(UUID)).expect("known");
    assert_eq!(device.product_id.as_ref().map(|p| p.as_str()), Some("keytest0pid00001"));
}

#[tokio::test]
async fn its_versions_are_taken() {
    let world = World::new().bound();
    world.backend.add(Registration { keys: Some(keys("localkey01234567", SEC)), ..registration(ID) });
    let answer = asked(&world, "005-https-request.bin").await;
    assert!(answer.size() < 1024, "{}", answer.size());
    assert_eq!(result(&answer, &sec_key(SEC).into()), json!(true));
    let said = format!("announce {ID} Some(V2_2) None Some(\"1.0.0\")");
    assert!(world.backend.changes().contains(&said), "{:?}", world.backend.changes());
}

/// Its calls over MQTT are answered by the same table.
#[tokio::test]
async fn its_calls_over_mqtt_hear_that_there_is_no_update() {
    let world = World::new().bound();
    let device: Arc<_> =
        world.backend.add(Registration { keys: Some(keys("localkey01234567", SEC)), ..registration(ID) });
    let link = link(Over::Certificate);
    let calls = [
        r#"{"id":1,"a":"tuya.device.upgrade.silent.get","t":1795358832,"data":{"subId":null,"t":1795358832},"v":"4.4"}"#,
        r#"{"id":2,"a":"tuya.device.upgrade.get","t":1795358835,"data":{"type":0,"t":1795358835},"v":"4.4"}"#,
    ];
    let stream = String::from_utf8_lossy(&recorded("006-mqtts-rx.bin")).into_owned();
    for text in calls {
        assert!(stream.contains(text), "as it was recorded");
        let call = RpcRequest::parse(text.as_bytes()).expect("a call");
        let body: Value = call.data.read().expect("JSON");
        let asked = Asked {
            device: &device,
            link: &link,
            action: &call.action,
            version: call.version.as_deref(),
            body: &body,
        };
        let reply = actions::answer(&world.shared, &asked);
        let answer = RpcResponse { id: call.id, reply }.to_json().expect("JSON");
        let fields: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(fields["id"], call.id);
        assert!(fields["data"]["t"].is_u64(), "read without a check");
        assert_eq!(fields["data"]["result"]["success"], true);
        assert!(fields["data"]["result"].get("result").is_none(), "an empty object crashed it");
    }
}
