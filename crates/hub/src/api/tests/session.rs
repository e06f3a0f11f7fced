//! Browsers: a cookie in place of a token.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use super::live::Events;
use super::{Door, Told};
use crate::api::{Api, ApiConfig, Scope};
use crate::model::Home;
use crate::testing::{FakeHome, PLUG};

/// What a browser keeps of a sign-in.
struct Browser {
    cookie: String,
    csrf: String,
    told: Told,
}

impl Browser {
    async fn sign_in(door: &Door, token: &str) -> Self {
        let told = door.ask("POST", "/api/v1/session", "", Some(json!({"token": token}))).await;
        assert_eq!(told.status, 200, "{told:?}");
        let cookie = told.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { cookie, csrf: told.json()["csrf"].as_str().unwrap().to_owned(), told }
    }

    async fn ask(&self, door: &Door, method: &str, path: &str, csrf: &str, body: Option<Value>) -> Told {
        let mut request =
            door.request(method, path, "").header("cookie", format!("theme=dark; {}", self.cookie));
        if !csrf.is_empty() {
            request = request.header("x-landfall-csrf", csrf);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let bytes = body.map(|b| b.to_string()).unwrap_or_default();
        door.told(request.body(Full::from(bytes)).unwrap()).await
    }
}

#[tokio::test]
async fn a_cookie_counts_as_its_token() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.control).await;
    let cookie = browser.told.header("set-cookie");
    for part in ["landfall_session=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=2592000"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("Domain"), "{cookie}");
    assert!(!cookie.contains(door.control.rsplit('_').next().unwrap()), "the token itself stays with us");
    assert_eq!(browser.told.header("cache-control"), "no-store");
    let body = browser.told.json();
    assert_eq!((&body["scope"], &body["name"]), (&json!("control"), &json!("control")));
    assert_eq!(body["expires_ms"], json!(door.home.now_ms() + 30 * 86_400_000));
    let again = browser.ask(&door, "GET", "/api/v1/session", "", None).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, body));
    assert!(again.header("set-cookie").starts_with(&browser.cookie), "its time begins anew");
    assert_eq!(browser.ask(&door, "GET", "/api/v1/devices", "", None).await.status, 200);
    let path = format!("/api/v1/devices/{PLUG}/dps/1");
    let told = browser.ask(&door, "PUT", &path, &browser.csrf, Some(json!({"value": false}))).await;
    assert_eq!(told.status, 200);
    assert_eq!(door.home.take_sets()[0].2.by, crate::model::By::Api);
    // Its scope, and no more.
    let told = browser.ask(&door, "GET", "/api/v1/tokens", "", None).await;
    assert_eq!(told.problem(403), "token.scope");
}

#[tokio::test]
async fn who_has_no_session_is_told_so() {
    let door = Door::open().await;
    let told = door.ask("GET", "/api/v1/session", "", None).await;
    assert_eq!(told.problem(401), "token.missing");
    for body in [json!({"token": "lf_wrong"}), json!({"token": ""})] {
        let told = door.ask("POST", "/api/v1/session", "", Some(body)).await;
        assert_eq!(told.problem(401), "token.wrong");
        assert!(told.header("set-cookie").is_empty());
    }
    assert_eq!(door.ask("POST", "/api/v1/session", "", Some(json!({}))).await.problem(422), "request.body");
    let told = door.ask("GET", "/api/v1/session", &door.read, None).await;
    assert_eq!((&told.json()["scope"], &told.json()["csrf"]), (&json!("read"), &Value::Null));
    assert!(told.header("set-cookie").is_empty(), "who sends a token needs no cookie");
}

#[tokio::test]
async fn wrong_tokens_and_cookies_are_counted_like_others() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.read).await;
    let forged =
        Browser { cookie: format!("{}{}", &browser.cookie[..browser.cookie.len() - 4], "0000"), ..browser };
    for n in 0..12 {
        let (told, limit) = if n % 2 == 0 {
            (door.ask("POST", "/api/v1/session", "", Some(json!({"token": "lf_wrong"}))).await, 10)
        } else {
            (forged.ask(&door, "GET", "/api/v1/status", "", None).await, 10)
        };
        assert_eq!(told.status.as_u16(), if n < limit { 401 } else { 429 }, "{n}: {}", told.text);
    }
    Browser::sign_in(&door, &door.read).await;
}

#[tokio::test]
async fn a_change_needs_what_only_the_page_knows() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.admin).await;
    let other = Browser::sign_in(&door, &door.admin).await;
    assert_ne!(browser.csrf, other.csrf);
    let wrong = "0".repeat(browser.csrf.len());
    for (method, path) in [
        ("PUT", format!("/api/v1/devices/{PLUG}/dps/1")),
        ("POST", format!("/api/v1/devices/{PLUG}/refresh")),
        ("PATCH", format!("/api/v1/devices/{PLUG}")),
        ("DELETE", format!("/api/v1/devices/{PLUG}")),
        ("DELETE", "/api/v1/session".into()),
        ("POST", "/api/v1/backup".into()),
    ] {
        for csrf in ["", wrong.as_str(), &other.csrf, &browser.csrf[1..]] {
            let told = browser.ask(&door, method, &path, csrf, Some(json!({"value": true}))).await;
            assert_eq!(told.problem(403), "csrf.missing", "{method} {path} {csrf:?}");
        }
    }
    assert_eq!(door.home.take_did(), [""; 0]);
    // With its own, but from elsewhere: refused before anything is looked at.
    let request = door
        .request("POST", &format!("/api/v1/devices/{PLUG}/refresh"), "")
        .header("cookie", &browser.cookie)
        .header("x-landfall-csrf", &browser.csrf)
        .header("origin", "http://evil.example");
    assert_eq!(door.told(request.body(Full::default()).unwrap()).await.problem(403), "origin.refused");
    // A token in a header is sent by nobody's page by accident.
    let path = format!("/api/v1/devices/{PLUG}/refresh");
    let request = door.request("POST", &path, &door.control).header("cookie", &browser.cookie);
    assert_eq!(door.told(request.body(Full::default()).unwrap()).await.status, 202);
}

#[tokio::test]
async fn signing_out_ends_it_and_what_listens() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.read).await;
    let other = Browser::sign_in(&door, &door.read).await;
    let mut gone = Events::open_as(&door, "/api/v1/events", |r| r.header("cookie", &browser.cookie)).await;
    let mut stays = Events::open_as(&door, "/api/v1/events", |r| r.header("cookie", &other.cookie)).await;
    assert_eq!(gone.next().await.unwrap().kind, "hello");
    assert_eq!(stays.next().await.unwrap().kind, "hello");
    let told = browser.ask(&door, "DELETE", "/api/v1/session", &browser.csrf, None).await;
    assert_eq!(told.status, 204);
    assert!(told.header("set-cookie").contains("Max-Age=0"), "{}", told.header("set-cookie"));
    assert!(gone.next().await.is_none());
    let told = browser.ask(&door, "GET", "/api/v1/session", "", None).await;
    assert_eq!(told.problem(401), "session.over");
    // The token itself lives, and its other sessions.
    assert_eq!(door.get("/api/v1/status").await.status, 200);
    door.home.presence(PLUG, crate::model::Presence::Offline { since_ms: 1, why: "gone".into() });
    assert_eq!(stays.next().await.unwrap().kind, "presence");
    let id = door.tokens.list().into_iter().find(|t| t.name == "read").unwrap().id;
    door.tokens.revoke(&id).unwrap();
    assert!(stays.next().await.is_none());
    assert_eq!(other.ask(&door, "GET", "/api/v1/session", "", None).await.problem(401), "session.over");
}

#[tokio::test]
async fn signing_in_again_leaves_the_old_session() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.read).await;
    let told = browser.ask(&door, "POST", "/api/v1/session", "", Some(json!({"token": door.admin}))).await;
    assert_eq!((told.status.as_u16(), &told.json()["scope"]), (200, &json!("admin")));
    assert_eq!(browser.ask(&door, "GET", "/api/v1/session", "", None).await.problem(401), "session.over");
}

#[tokio::test]
async fn a_restart_signs_nobody_out_and_time_does() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.read).await;
    let short = door.tokens.create("short", Scope::Read, Some(door.home.now_ms() / 1_000 + 60), 0).unwrap();
    let brief = Browser::sign_in(&door, &short.text).await;
    let Door { api, home, tokens, read, control, admin, dir } = door;
    api.shutdown().await;
    let config = ApiConfig::loopback(dir.path());
    let api =
        Api::start(config, std::sync::Arc::clone(&home) as _, std::sync::Arc::clone(&tokens)).await.unwrap();
    let door = Door { api, home, tokens, read, control, admin, dir };
    assert_eq!(browser.ask(&door, "GET", "/api/v1/session", "", None).await.json()["csrf"], browser.csrf);
    assert_eq!(brief.ask(&door, "GET", "/api/v1/session", "", None).await.status, 200);
    door.home.advance(Duration::from_secs(60));
    assert_eq!(brief.ask(&door, "GET", "/api/v1/session", "", None).await.problem(401), "session.over");
    door.home.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(browser.ask(&door, "GET", "/api/v1/session", "", None).await.problem(401), "session.over");
}

#[tokio::test]
async fn behind_tls_or_a_proxy_the_cookie_is_secure() {
    let door = Door::open_with(FakeHome::new(), |c| c.behind_proxy = true).await;
    let browser = Browser::sign_in(&door, &door.read).await;
    assert!(browser.told.header("set-cookie").contains("; Secure"));
}

#[tokio::test]
async fn a_websocket_takes_the_cookie_of_our_own_page_only() {
    let door = Door::open().await;
    let browser = Browser::sign_in(&door, &door.read).await;
    let ours = format!("http://{}", door.address());
    for (origin, status, code) in [
        (Some(ours.as_str()), 101, ""),
        (Some("http://evil.example"), 403, "origin.refused"),
        (None, 403, "origin.missing"),
    ] {
        let mut request = Request::builder()
            .uri("/api/v1/ws")
            .header("host", door.address().to_string())
            .header("cookie", &browser.cookie)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let response = door.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), status, "{origin:?}");
        if status == 403 {
            assert_eq!(super::whole(response).await.problem(403), code);
        }
    }
}
