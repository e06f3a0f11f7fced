//! The PSK vectors of `vectors/cloud.json`, each as a real handshake: the client has nothing but the bytes of the vector.

use landfall_link::tls::{Acceptor, TlsPeer};
use landfall_proto::psk::{HINT, Identity};
use serde_json::Value;

use crate::common::{Keys, talk, tls12_psk};

fn vectors(kind: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/cloud.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["vectors"].as_array().unwrap().iter().filter(|v| v["kind"] == kind).cloned().collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

async fn gets_in(acceptor: &Acceptor, name: &str, identity: &[u8], psk: &[u8]) {
    let (server, client) = tls12_psk(acceptor, identity, psk).await;
    let mut server = server.unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut client = client.unwrap_or_else(|e| panic!("{name}: {e}"));
    let TlsPeer::Psk { identity: seen } = server.peer() else { panic!("{name}: {:?}", server.peer()) };
    assert_eq!(seen, &Identity::parse(identity).unwrap(), "{name}");
    assert_eq!(server.suite(), "PSK-AES128-CBC-SHA256", "{name}");
    assert_eq!(client.hint(), Some(HINT.as_bytes()), "{name}");
    talk(&mut server, &mut client).await;
}

#[tokio::test]
async fn type_1_identities_of_real_devices_get_in() {
    let vectors = vectors("psk_v1");
    assert_eq!(vectors.len(), 5);
    for v in vectors {
        let name = v["name"].as_str().unwrap();
        let hint = v["inputs"]["hint"].as_str().unwrap();
        let acceptor = Acceptor::new(Some(Keys::none()), None, hint).unwrap();
        let identity = bytes(&v["inputs"]["identity_hex"]);
        gets_in(&acceptor, name, &identity, &bytes(&v["expected"]["psk_hex"])).await;
    }
}

#[tokio::test]
async fn type_2_identities_get_in_with_the_key_of_their_uuid() {
    let vectors = vectors("psk_v2");
    assert_eq!(vectors.len(), 1);
    for v in vectors {
        let name = v["name"].as_str().unwrap();
        let text = |key: &str| v["inputs"][key].as_str().unwrap();
        let keys = Keys::with(text("uuid"), text("pskKey"));
        let acceptor = Acceptor::new(Some(keys), None, text("hint")).unwrap();
        let (identity, psk) = (bytes(&v["expected"]["identity_hex"]), bytes(&v["expected"]["psk_hex"]));
        gets_in(&acceptor, name, &identity, &psk).await;
    }
}

#[tokio::test]
async fn the_hash_of_a_published_uuid_finds_its_key() {
    let vectors = vectors("psk_v2_uuid_hash");
    assert_eq!(vectors.len(), 1);
    for v in vectors {
        let uuid = v["inputs"]["uuid"].as_str().unwrap();
        let key = "0123456789abcdefghijklmnopqrstuvwxyzA";
        let acceptor = Acceptor::new(Some(Keys::with(uuid, key)), None, HINT).unwrap();
        let hash = bytes(&v["expected"]["sha256_hex"]);
        let identity = [&[2; 17], hash.as_slice()].concat();
        gets_in(&acceptor, uuid, &identity, key.as_bytes()).await;
    }
}
