//! The committed document is the one that is served.

use std::collections::BTreeSet;

use super::Door;
use crate::api::document;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let now = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("LANDFALL_RENEW").is_some() {
        std::fs::write(COMMITTED, now).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == now,
        "crates/hub/openapi.json is not what is served; renew it, and look at the difference:\n    \
         LANDFALL_RENEW=1 cargo test -p landfall-hub --lib api::tests::openapi"
    );
}

#[test]
fn the_document_is_whole() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    let mut references = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{name}: operationId twice"
            );
            assert!(operation["summary"].is_string(), "{name} has no summary");
            assert!(operation["security"].is_array(), "{name} says no scope");
            assert!(operation["responses"]["default"].is_object(), "{name} has no problem");
            assert!(operation["responses"].as_object().unwrap().len() > 1, "{name} says nothing of success");
            for part in path.split('{').skip(1).filter_map(|p| p.split('}').next()) {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(parameters.iter().any(|p| p["name"] == part && p["in"] == "path"), "{name}: {part}");
            }
        }
    }
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let at = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(at).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &serde_json::Value, into: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            into.extend(map.get("$ref").and_then(|r| r.as_str()).map(str::to_owned));
            map.values().for_each(|v| collect(v, into));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|v| collect(v, into)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_served_to_everybody() {
    let door = Door::open().await;
    let told = door.ask("GET", "/api/v1/openapi.json", "", None).await;
    assert_eq!((told.status.as_u16(), told.json()), (200, document()));
}
