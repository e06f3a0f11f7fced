//! Every route with every scope, by the OpenAPI document, so that none can be forgotten. The expected scopes stand here once
//! more: a change of one has to be meant.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Door;
use crate::api::{Scope, document};
use crate::testing::{KEY_START, LIGHT, PLUG};

/// What each route needs. `None`: nothing.
fn needs() -> BTreeMap<&'static str, Option<Scope>> {
    use Scope::{Admin, Control, Read};
    BTreeMap::from([
        ("GET /healthz", None),
        ("GET /readyz", None),
        ("GET /api/v1/openapi.json", None),
        ("GET /metrics", Some(Read)),
        ("GET /api/v1/devices", Some(Read)),
        ("POST /api/v1/devices", Some(Admin)),
        ("POST /api/v1/devices/import", Some(Admin)),
        ("GET /api/v1/devices/{device}", Some(Read)),
        ("PATCH /api/v1/devices/{device}", Some(Admin)),
        ("DELETE /api/v1/devices/{device}", Some(Admin)),
        ("GET /api/v1/devices/{device}/definition", Some(Read)),
        ("PATCH /api/v1/devices/{device}/definition/points/{dp}", Some(Admin)),
        ("DELETE /api/v1/devices/{device}/definition/points/{dp}", Some(Admin)),
        ("GET /api/v1/devices/{device}/key", Some(Admin)),
        ("GET /api/v1/devices/{device}/cloud", Some(Read)),
        ("PUT /api/v1/devices/{device}/timers", Some(Admin)),
        ("GET /api/v1/devices/{device}/state", Some(Read)),
        ("PATCH /api/v1/devices/{device}/state", Some(Control)),
        ("GET /api/v1/devices/{device}/dps", Some(Read)),
        ("GET /api/v1/devices/{device}/dps/{dp}", Some(Read)),
        ("PUT /api/v1/devices/{device}/dps/{dp}", Some(Control)),
        ("PATCH /api/v1/devices/{device}/dps/{dp}", Some(Control)),
        ("POST /api/v1/devices/{device}/commands", Some(Control)),
        ("POST /api/v1/devices/{device}/refresh", Some(Control)),
        ("POST /api/v1/devices/{device}/doctor", Some(Control)),
        ("POST /api/v1/scan", Some(Control)),
        ("GET /api/v1/strangers", Some(Read)),
        ("GET /api/v1/devices/{device}/history", Some(Read)),
        ("GET /api/v1/devices/{device}/energy", Some(Read)),
        ("GET /api/v1/energy", Some(Read)),
        ("GET /api/v1/devices/{device}/events", Some(Read)),
        ("GET /api/v1/events-log", Some(Read)),
        ("GET /api/v1/export.csv", Some(Read)),
        ("GET /api/v1/export.jsonl", Some(Read)),
        ("GET /api/v1/events", Some(Read)),
        ("GET /api/v1/console", Some(Admin)),
        ("GET /api/v1/ws", Some(Read)),
        ("GET /api/v1/status", Some(Read)),
        ("GET /api/v1/config", Some(Read)),
        ("GET /api/v1/windows", Some(Read)),
        ("POST /api/v1/windows", Some(Admin)),
        ("DELETE /api/v1/windows", Some(Admin)),
        ("GET /api/v1/tokens", Some(Admin)),
        ("POST /api/v1/tokens", Some(Admin)),
        ("DELETE /api/v1/tokens/{token}", Some(Admin)),
        ("POST /api/v1/backup", Some(Admin)),
        ("POST /api/v1/session", None),
        ("GET /api/v1/session", Some(Read)),
        ("DELETE /api/v1/session", Some(Read)),
    ])
}

/// A body with which the route does something.
fn body(route: &str) -> Option<Value> {
    Some(match route {
        "POST /api/v1/devices" => {
            json!({"id": "bfa00000000000000new04", "name": "New", "key": format!("{KEY_START}9999")})
        }
        "POST /api/v1/devices/import" => json!([{"id": "bfa0000000000imported5", "name": "Imported"}]),
        "PATCH /api/v1/devices/{device}" => json!({"room": "Kitchen", "key": format!("{KEY_START}8888")}),
        "PATCH /api/v1/devices/{device}/definition/points/{dp}" => json!({"name": "socket"}),
        "PUT /api/v1/devices/{device}/timers" => {
            json!({"timers": [{"id": 1, "time": "07:30", "loops": 62, "dps": {"1": true}}]})
        }
        "PATCH /api/v1/devices/{device}/state" => json!({"switch_1": false}),
        "PUT /api/v1/devices/{device}/dps/{dp}" | "PATCH /api/v1/devices/{device}/dps/{dp}" => {
            json!({"value": false})
        }
        "POST /api/v1/devices/{device}/commands" => json!({"dps": {"1": false}}),
        "POST /api/v1/windows" => json!({"seconds": 60}),
        "POST /api/v1/session" => json!({"token": "lf_wrong"}),
        "POST /api/v1/tokens" => json!({"name": "another", "scope": "read"}),
        _ => return None,
    })
}

fn routes() -> Vec<(String, String, String)> {
    let document = document();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase();
            let real = path.replace("{device}", PLUG).replace("{dp}", "1");
            all.push((format!("{method} {path}"), method, real));
        }
    }
    all
}

/// Streams have no end to wait for.
fn is_stream(route: &str) -> bool {
    route.ends_with("/events") && !route.contains("{device}")
        || route.ends_with("/ws")
        || route.ends_with("/console")
}

#[test]
fn every_route_has_the_scope_that_is_expected() {
    let expected: Vec<_> = needs().keys().map(ToString::to_string).collect();
    let mut have: Vec<_> = routes().into_iter().map(|r| r.0).collect();
    have.sort();
    let mut sorted = expected.clone();
    sorted.sort();
    assert_eq!(have, sorted, "a route is missing here or there");
}

#[tokio::test]
async fn a_stranger_gets_and_changes_nothing() {
    let door = Door::open().await;
    let seq = crate::model::Home::bus(&*door.home).last();
    let needs = needs();
    let wrong = format!("lf_{}_{}", "0".repeat(12), "0".repeat(64));
    for (route, method, path) in routes() {
        let needed = needs[route.as_str()];
        for token in ["", wrong.as_str(), "garbage"] {
            let told = door.ask(&method, &path, token, body(&route)).await;
            if route == "POST /api/v1/session" {
                // What opens it stands in the body.
                assert!(matches!(
                    told.problem(told.status.as_u16()).as_str(),
                    "token.wrong" | "token.too_many_wrong"
                ));
                assert!(told.header("set-cookie").is_empty());
                continue;
            }
            if needed.is_none() {
                assert!(told.status.is_success(), "{route}: {told:?}");
                assert!(!told.text.contains("Kitchen plug") && !told.text.contains(PLUG), "{route}");
                continue;
            }
            let code = told.json()["code"].as_str().unwrap_or_default().to_owned();
            assert!(
                matches!(
                    (told.status.as_u16(), code.as_str()),
                    (401, "token.missing" | "token.wrong") | (429, "token.too_many_wrong")
                ),
                "{route}: {told:?}"
            );
            assert!(token.is_empty() == (code == "token.missing"), "{route}: {code}");
            assert!(
                !told.text.contains("Kitchen plug") && !told.text.contains(PLUG),
                "{route}: {}",
                told.text
            );
        }
    }
    assert_eq!(door.home.take_did(), [""; 0]);
    assert_eq!(crate::model::Home::bus(&*door.home).last(), seq);
    assert!(!door.dir.path().join("backups").exists() && door.tokens.list().len() == 3);
}

#[tokio::test]
async fn each_scope_opens_its_routes_and_no_others() {
    for (scope, pick) in [(Scope::Read, 0), (Scope::Control, 1), (Scope::Admin, 2)] {
        for (route, method, path) in routes() {
            // Anew each time: a removed device would hide what comes after it.
            let door = Door::open().await;
            let token = [&door.read, &door.control, &door.admin][pick];
            let other = door.tokens.list()[1].id.clone();
            let path = path.replace("{token}", &other);
            let allowed = needs()[route.as_str()].is_none_or(|needed| scope >= needed);
            if allowed && is_stream(&route) {
                let request =
                    door.request(&method, &path, token).body(http_body_util::Full::default()).unwrap();
                let status = door.send(request).await.status().as_u16();
                assert!(matches!(status, 200 | 426), "{route} with {scope:?}: {status}");
                continue;
            }
            let body =
                if route == "POST /api/v1/session" { Some(json!({"token": token})) } else { body(&route) };
            let told = door.ask(&method, &path, token, body).await;
            if allowed {
                assert!(told.status.is_success(), "{route} with {scope:?}: {told:?}");
                continue;
            }
            assert_eq!(told.problem(403), "token.scope", "{route} with {scope:?}");
            assert_eq!(door.home.take_did(), [""; 0], "{route} with {scope:?}");
        }
    }
}

#[tokio::test]
async fn keys_are_seen_in_one_answer_only() {
    let door = Door::open().await;
    for (route, method, path) in routes() {
        if is_stream(&route) || route.starts_with("DELETE") {
            continue;
        }
        let told = door.ask(&method, &path, &door.admin, body(&route)).await;
        let shown = told.text.contains("s3cret");
        assert_eq!(shown, route == "GET /api/v1/devices/{device}/key", "{route}: {}", told.text);
    }
    let told = door.ask("GET", &format!("/api/v1/devices/{LIGHT}/key"), &door.admin, None).await;
    assert_eq!(told.json()["key"], format!("{KEY_START}0001"));
    assert_eq!(told.header("cache-control"), "no-store");
}

#[tokio::test]
async fn the_owner_needs_no_token_on_the_own_socket() {
    use std::os::unix::fs::PermissionsExt as _;
    let door = Door::open().await;
    let path = door.dir.path().join("hub.sock");
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(door.dir.path())), (0o600, 0o700));
    let mut client = crate::client::Client::connect(door.dir.path()).await.unwrap();
    let key = client.get(&format!("/api/v1/devices/{PLUG}/key")).await.unwrap();
    assert_eq!(key["key"], format!("{KEY_START}0000"));
    let path = format!("/api/v1/devices/{PLUG}/commands");
    client.ask(hyper::Method::POST, &path, Some(&json!({"dps": {"1": true}}))).await.unwrap();
    assert_eq!(door.home.take_sets()[0].2.by, crate::model::By::Cli);
    let socket = door.dir.path().join("hub.sock");
    door.api.shutdown().await;
    assert!(!socket.exists());
}
