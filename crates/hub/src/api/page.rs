//! The page: static files, embedded in the binary. They are the same for everybody and hold nothing of the home, so that
//! they need no token; what they show comes from the API, which does.
//!
//! A file answers under its own path and no other: nothing is decoded, joined or looked for. A debug build reads them from
//! the source tree, so that a browser shows an edit at once.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::answer::Answer;
use super::etag::Tag;

/// What a browser lets the page do: run and ask what comes from here, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "page/"]
struct Files;

/// Whether a request asks for a file of the page.
pub(super) fn asked(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && name(path).is_some_and(|name| find(name).is_some())
}

/// Answers with the file of this path. The guard has let it in already.
pub(super) async fn serve(request: Request) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match name(request.uri().path()).filter(|_| reads).and_then(find) {
        Some((file, kind)) => answer(request.headers(), file, kind),
        None => {
            Answer::asked(StatusCode::NOT_FOUND, "route.unknown", "there is nothing here").into_response()
        }
    }
}

/// The name in the folder of what a path asks for; `None` for what can't be a file's: nothing is decoded, so that there is
/// one way only to write it.
fn name(path: &str) -> Option<&str> {
    let name = match path.strip_prefix('/')? {
        "" => "index.html",
        name => name,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    // What is under `api/` is the API's, whatever lies in the folder.
    (name.split('/').all(part) && !name.starts_with("api/")).then_some(name)
}

/// A file and its content type; `None` when there is none, or none of a type that browsers need.
fn find(name: &str) -> Option<(EmbeddedFile, &'static str)> {
    let kind = kind(name)?;
    Some((Files::get(name)?, kind))
}

fn kind(name: &str) -> Option<&'static str> {
    let file = name.rsplit('/').next().unwrap_or(name);
    Some(match file.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json; charset=utf-8",
        Some("webmanifest") => "application/manifest+json; charset=utf-8",
        Some("svg") => "image/svg+xml; charset=utf-8",
        // For people who read the tree: types for its checker, where the vendored files are from.
        Some("txt" | "md" | "ts") => "text/plain; charset=utf-8",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        // Licences of what is vendored.
        None if file.starts_with("LICENSE") => "text/plain; charset=utf-8",
        _ => return None,
    })
}

fn answer(headers: &HeaderMap, file: EmbeddedFile, kind: &'static str) -> Response {
    let tag = Tag::of_digest(&file.metadata.sha256_hash());
    let mut response = match tag.known_to(headers) {
        Some(known) => known,
        None => {
            let body = match file.data {
                std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
            };
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            tag.put(&mut response);
            response
        }
    };
    let headers = response.headers_mut();
    // Kept, but asked for each time whether it is still the same: a new program shows its own page at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// The names of all files that lie in the folder, served or not.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    Files::iter().map(|name| name.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_files_name_or_nothing() {
        assert_eq!(name("/"), Some("index.html"));
        assert_eq!(name("/app/main.js"), Some("app/main.js"));
        for bad in [
            "",
            "*",
            "//",
            "/./index.html",
            "/../Cargo.toml",
            "/app/../index.html",
            "/app//main.js",
            "/app/",
            "/%69ndex.html",
            "/%2e%2e/Cargo.toml",
            "/..%2fCargo.toml",
            "/app\\main.js",
            "/.git",
            "/app/.hidden.js",
            "/api/v1/x.js",
            "/index.html\0",
            "/index.html/",
            "/caf\u{e9}.js",
        ] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_file_of_the_folder_can_be_served() {
        let all = all();
        assert!(all.contains(&"index.html".to_owned()), "{all:?}");
        for file in all {
            assert!(
                asked(&Method::GET, &format!("/{file}")),
                "{file} has no content type, or a name that no path has"
            );
        }
        assert!(!asked(&Method::POST, "/") && !asked(&Method::GET, "/missing.html"));
        assert!(find("../Cargo.toml").is_none() && find("../src/api/page.rs").is_none());
    }
}
