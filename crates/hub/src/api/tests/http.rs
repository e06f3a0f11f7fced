//! Hosts, origins, limits, encryption: what every request meets.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use landfall_link::tls::Connector;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Door, send_on, whole};
use crate::api::{Api, ApiConfig, ApiError, Tokens, tls};
use crate::testing::{FakeHome, PLUG, START_MS};

#[tokio::test]
async fn only_known_hosts_are_answered() {
    let door = Door::open_with(FakeHome::new(), |c| c.hosts = vec!["landfall.home".into()]).await;
    for (host, status) in [
        ("localhost:80", 200),
        ("landfall.home", 200),
        ("192.0.2.7:8099", 200),
        ("[::1]:8099", 200),
        ("evil.example", 421),
        ("landfall.home.evil.example", 421),
        ("", 400),
        ("a b", 400),
    ] {
        let request =
            Request::builder().uri("/healthz").header("host", host).body(Full::<Bytes>::default()).unwrap();
        let told = door.told(request).await;
        assert_eq!(told.status.as_u16(), status, "{host:?}: {}", told.text);
        if status == 421 {
            assert_eq!(told.problem(421), "host.refused");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let door = Door::open().await;
    let path = format!("/api/v1/devices/{PLUG}/dps/1");
    let ours = format!("http://{}", door.address());
    for (origin, status) in [
        (ours.as_str(), 200),
        ("http://evil.example", 403),
        ("http://127.0.0.1:1", 403),
        ("null", 403),
        ("file://", 403),
        ("http://", 403),
    ] {
        let request = door
            .request("PUT", &path, &door.control)
            .header("origin", origin)
            .header("content-type", "application/json")
            .body(Full::from(r#"{"value":true}"#))
            .unwrap();
        let told = door.told(request).await;
        assert_eq!(told.status.as_u16(), status, "{origin}: {}", told.text);
        let changed = !door.home.take_sets().is_empty();
        assert_eq!(changed, status == 200, "{origin}");
    }
    // Nobody else's page may read either: there is no CORS.
    let request = door.request("OPTIONS", &path, "").header("origin", "http://evil.example");
    let told = door.told(request.body(Full::default()).unwrap()).await;
    assert_eq!(told.problem(401), "token.missing");
    assert!(told.headers.keys().all(|k| !k.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn a_proxys_own_name_is_an_origin_of_ours() {
    let door = Door::open_with(FakeHome::new(), |c| {
        c.behind_proxy = true;
        c.hosts = vec!["landfall.home".into()];
    })
    .await;
    for (origin, status) in [("https://landfall.home", 202), ("https://evil.example", 403)] {
        let request = door.request("POST", &format!("/api/v1/devices/{PLUG}/refresh"), &door.control);
        let told = door.told(request.header("origin", origin).body(Full::default()).unwrap()).await;
        assert_eq!(told.status.as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn every_mistake_is_a_problem() {
    let door = Door::open().await;
    let plug = format!("/api/v1/devices/{PLUG}");
    for (method, path, body, status, code) in [
        ("GET", "/api/v1/nothing".to_owned(), None, 404, "route.unknown"),
        ("GET", "/nothing".to_owned(), None, 404, "route.unknown"),
        ("DELETE", "/api/v1/devices".to_owned(), None, 405, "route.method"),
        ("GET", "/api/v1/devices/nobody".to_owned(), None, 404, "device.unknown"),
        ("GET", "/api/v1/devices/%ff".to_owned(), None, 400, "request.path"),
        ("GET", format!("{plug}/dps/65536"), None, 400, "request.path"),
        ("GET", format!("{plug}/dps/99"), None, 404, "dp.unknown"),
        ("GET", "/api/v1/devices?limit=x".to_owned(), None, 400, "request.query"),
        ("GET", "/api/v1/devices?limit=0".to_owned(), None, 400, "query.limit"),
        ("GET", "/api/v1/devices?colour=red".to_owned(), None, 400, "request.query"),
        ("GET", format!("{plug}/history?from=soon"), None, 400, "query.time"),
        ("GET", format!("{plug}/history?from=now&to=-1h"), None, 400, "query.range"),
        ("GET", format!("{plug}/history?step=1ms"), None, 400, "query.step"),
        ("GET", format!("{plug}/energy?by=year"), None, 400, "query.by"),
        ("GET", format!("{plug}/energy?by=hour&from=0"), None, 400, "query.range"),
        ("POST", format!("{plug}/commands"), Some(json!({"dps": {}})), 422, "command.points"),
        ("POST", format!("{plug}/commands"), Some(json!({"dps": {"x": 1}})), 422, "dp.bad_number"),
        ("POST", format!("{plug}/commands"), Some(json!({"dps": {"1": null}})), 422, "dp.wrong_type"),
        (
            "POST",
            format!("{plug}/commands"),
            Some(json!({"dps": {"1": true}, "line": "usb"})),
            422,
            "command.line",
        ),
        (
            "POST",
            format!("{plug}/commands"),
            Some(json!({"dps": {"1": true}, "timeout_ms": 5})),
            400,
            "query.timeout",
        ),
        ("POST", format!("{plug}/commands"), Some(json!({"points": {}})), 422, "request.body"),
        ("POST", format!("{plug}/commands"), Some(json!([])), 422, "request.body"),
        ("POST", "/api/v1/devices".to_owned(), Some(json!({"id": "a b"})), 422, "device.bad_id"),
        (
            "POST",
            "/api/v1/devices".to_owned(),
            Some(json!({"id": "x", "version": "4.0"})),
            422,
            "device.bad_version",
        ),
        ("POST", "/api/v1/devices".to_owned(), Some(json!({"id": PLUG})), 409, "device.exists"),
        ("POST", "/api/v1/devices/import".to_owned(), Some(json!({"no": "list"})), 422, "import.format"),
        ("POST", "/api/v1/windows".to_owned(), Some(json!({"seconds": 1})), 422, "window.seconds"),
        (
            "POST",
            "/api/v1/tokens".to_owned(),
            Some(json!({"name": "", "scope": "read"})),
            422,
            "token.bad_name",
        ),
        ("DELETE", "/api/v1/tokens/nobody".to_owned(), None, 404, "token.unknown"),
    ] {
        let told = door.ask(method, &path, &door.admin, body).await;
        assert_eq!(told.problem(status), code, "{method} {path}");
    }
    assert_eq!(door.home.take_sets(), []);
}

#[tokio::test]
async fn bodies_have_a_type_a_form_and_a_size() {
    let door = Door::open().await;
    let path = format!("/api/v1/devices/{PLUG}/commands");
    let ask = |kind: &'static str, body: Vec<u8>| {
        let request = door.request("POST", &path, &door.control).header("content-type", kind);
        door.told(request.body(Full::from(body)).unwrap())
    };
    let good = br#"{"dps":{"1":true}}"#.to_vec();
    assert_eq!(ask("text/plain", good.clone()).await.problem(415), "request.media_type");
    assert_eq!(
        ask("application/x-www-form-urlencoded", good.clone()).await.problem(415),
        "request.media_type"
    );
    assert_eq!(ask("application/json", b"{".to_vec()).await.problem(400), "request.json");
    let told = ask("application/json", b"{".to_vec()).await;
    assert_eq!(told.json()["tuya_error"], 900);
    let large = format!("{{\"dps\":{{\"1\":\"{}\"}}}}", "x".repeat(300 << 10));
    assert_eq!(ask("application/json", large.into_bytes()).await.problem(413), "request.too_large");
    assert_eq!(ask("application/json; charset=utf-8", good).await.status, 200);
}

#[tokio::test]
async fn a_key_of_a_wrong_form_is_refused_without_repeating_it() {
    let door = Door::open().await;
    for key in [json!("s3cretK#y"), json!("s3cretK#y/&<0000\u{e9}"), json!(["s3cretK#y/&<0000"])] {
        let told = door
            .ask("PATCH", &format!("/api/v1/devices/{PLUG}"), &door.admin, Some(json!({"key": key})))
            .await;
        assert_eq!(told.problem(422), "request.body");
        assert!(!told.text.contains("s3cret"), "{}", told.text);
    }
}

#[tokio::test]
async fn a_query_never_holds_a_token_and_wrong_ones_are_slowed_down() {
    let door = Door::open().await;
    let told = door.ask("GET", &format!("/api/v1/status?access_token={}", door.admin), "", None).await;
    assert_eq!(told.problem(401), "token.missing");
    assert_eq!(told.header("www-authenticate"), "Bearer realm=\"landfall\"");
    for n in 0..12 {
        let told = door.ask("GET", "/api/v1/status", "lf_wrong", None).await;
        assert_eq!(told.status.as_u16(), if n < 10 { 401 } else { 429 }, "{n}");
    }
    assert_eq!(door.get("/api/v1/status").await.status, 200, "a right one is never held up");
}

#[tokio::test]
async fn answers_carry_what_keeps_browsers_safe() {
    let door = Door::open().await;
    for path in ["/api/v1/status", "/healthz", "/api/v1/nothing"] {
        let told = door.get(path).await;
        assert_eq!(told.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(told.header("x-frame-options"), "DENY");
        assert_eq!(told.header("referrer-policy"), "no-referrer");
        assert!(told.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(told.header("strict-transport-security").is_empty());
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_kept() {
    let door = Door::open().await;
    let mut stream = door.stream().await;
    let line = format!("x-filler: {}\r\n", "y".repeat(1_000));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    for _ in 0..100 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut text = Vec::new();
    // Cut with or without an answer, but cut.
    let read = stream.read_to_end(&mut text).await;
    assert!(read.is_err() || text.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn beyond_loopback_it_opens_only_encrypted() {
    let dir = tempfile::tempdir().unwrap();
    let (tokens, _) = Tokens::open(dir.path(), START_MS / 1_000).unwrap();
    let tokens = Arc::new(tokens);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let listen: SocketAddr = address.parse().unwrap();
        let config = ApiConfig { listen: Some(listen), ..ApiConfig::loopback(dir.path()) };
        let e = Api::start(config, FakeHome::new(), Arc::clone(&tokens)).await.unwrap_err();
        assert!(matches!(e, ApiError::Unencrypted(a) if a == listen), "{e}");
        assert!(e.to_string().contains("tls"), "{e}");
    }
    assert!(!dir.path().join("hub.sock").exists());
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (acceptor, authority, fingerprint) =
        tls::own(&dir.path().join("ca"), &["landfall.home".into()]).unwrap();
    assert_eq!(fingerprint.len(), 95);
    let door = Door::open_with(FakeHome::new(), |c| c.tls = Some(acceptor)).await;
    let connector = Connector::certificate(authority.as_bytes()).unwrap();
    for name in ["localhost", "127.0.0.1", "landfall.home"] {
        let stream = connector.connect(name, door.stream().await).await.unwrap();
        let request = door.request("GET", "/api/v1/status", &door.read).body(Full::default()).unwrap();
        let told = whole(send_on(stream, request).await).await;
        assert_eq!(told.status, 200, "{name}");
        assert!(told.header("strict-transport-security").starts_with("max-age="));
    }
    assert!(connector.connect("evil.example", door.stream().await).await.is_err());
    let mut plain = door.stream().await;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = Vec::new();
    let _cut_or_alert = plain.read_to_end(&mut text).await;
    assert!(!text.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&text));
}
