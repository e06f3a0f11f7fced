//! The page's files.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};

use super::Door;
use crate::api::page;

#[tokio::test]
async fn every_file_is_everybodys_and_nothing_else_is() {
    let door = Door::open().await;
    for file in page::all() {
        let request = door.request("GET", &format!("/{file}"), "").body(Full::default()).unwrap();
        let response = door.send(request).await;
        assert_eq!(response.status(), 200, "{file}");
        let headers = response.headers().clone();
        let kind = headers["content-type"].to_str().unwrap();
        assert!(kind.ends_with("; charset=utf-8") || kind.starts_with("image/") || kind.starts_with("font/"));
        assert_eq!(headers["cache-control"], "no-cache", "{file}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.ends_with("base-uri 'none'; frame-ancestors 'none'") && !policy.contains("unsafe"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let on_disk = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page").join(&file);
        assert!(body == std::fs::read(on_disk).unwrap(), "{file} is not what lies in the folder");
    }
    for path in [
        "/missing.html",
        "/index.htm",
        "/index.html/",
        "/app",
        "/page/index.html",
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%69ndex.html",
        "/.%2e/src/api/page.rs",
        "//index.html",
        "/api/v1/nothing",
        "/api/",
    ] {
        let told = door.ask("GET", path, "", None).await;
        assert_eq!(told.problem(401), "token.missing", "{path}");
        let told = door.ask("GET", path, &door.read, None).await;
        assert_eq!(told.problem(404), "route.unknown", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let told = door.ask(method, "/", "", None).await;
        assert_eq!(told.problem(401), "token.missing", "{method}");
        assert_eq!(door.ask(method, "/", &door.admin, None).await.problem(404), "route.unknown", "{method}");
    }
}

#[tokio::test]
async fn the_root_is_the_index_and_a_head_has_no_body() {
    let door = Door::open().await;
    let (root, index) =
        (door.ask("GET", "/", "", None).await, door.ask("GET", "/index.html", "", None).await);
    assert_eq!((root.status.as_u16(), &root.text), (200, &index.text));
    assert!(root.text.contains("<title>"));
    let head = door.ask("HEAD", "/", "", None).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    for name in ["etag", "content-type", "cache-control", "content-security-policy", "content-length"] {
        assert!(!root.header(name).is_empty(), "{name}");
        assert_eq!(head.header(name), root.header(name), "{name}");
    }
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again_in_either_encoding() {
    let door = Door::open().await;
    let ask = |path: &'static str, encoding: &'static str, tag: String| {
        let mut request = door.request("GET", path, "").header("accept-encoding", encoding);
        if !tag.is_empty() {
            request = request.header("if-none-match", tag);
        }
        door.send(request.body(Full::<Bytes>::default()).unwrap())
    };
    // Long enough to be worth compressing, whatever the page is made of.
    let path = "/api/v1/openapi.json";
    let (plain, gzip) = (ask(path, "identity", String::new()).await, ask(path, "gzip", String::new()).await);
    let tag = |r: &hyper::Response<_>| r.headers()["etag"].to_str().unwrap().to_owned();
    let (plain_tag, gzip_tag) = (tag(&plain), tag(&gzip));
    assert!(!plain.headers().contains_key("content-encoding"));
    assert_eq!(gzip.headers()["content-encoding"], "gzip");
    assert!(gzip.headers().get_all("vary").iter().any(|v| v.to_str().unwrap().contains("accept-encoding")));
    assert!(gzip.headers().get_all("vary").iter().any(|v| v.to_str().unwrap().contains("cookie")));
    assert!(
        plain_tag != gzip_tag && !gzip_tag.starts_with("W/"),
        "other bytes, another strong tag: {gzip_tag}"
    );
    let whole = plain.into_body().collect().await.unwrap().to_bytes();
    let small = gzip.into_body().collect().await.unwrap().to_bytes();
    assert!(small.len() * 4 < whole.len(), "{} of {}", small.len(), whole.len());
    assert_eq!(small[..2], [0x1f, 0x8b]);
    for (encoding, tag) in [("identity", &plain_tag), ("gzip", &gzip_tag), ("gzip", &plain_tag)] {
        let response = ask(path, encoding, tag.clone()).await;
        assert_eq!(response.status(), 304, "{encoding} {tag}");
        assert_eq!(response.headers()["etag"], tag);
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    let first = ask("/", "identity", String::new()).await;
    let response = ask("/", "identity", tag(&first)).await;
    assert_eq!(response.status(), 304);
    assert_eq!(response.headers()["cache-control"], "no-cache");
    assert_eq!(ask("/", "identity", "\"other\"".into()).await.status(), 200);
}

#[tokio::test]
async fn streams_and_secrets_are_not_compressed() {
    let door = Door::open().await;
    let key = format!("/api/v1/devices/{}/key", crate::testing::PLUG);
    for path in ["/api/v1/events", key.as_str()] {
        let request = door.request("GET", path, &door.admin).header("accept-encoding", "gzip");
        let response = door.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("content-encoding"), "{path}");
    }
}
