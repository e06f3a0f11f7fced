//! The rules themselves, as functions of a source text or of `cargo metadata`, so that each can be shown to bite.

use crate::source::{Token, tokens};
use serde_json::Value;

/// Crates that implement ciphers or hashes. `proto/src/crypto.rs` names those it uses, nobody else any.
pub(crate) const CIPHER_CRATES: &[&str] = &[
    "aead",
    "aes",
    "aes_gcm",
    "aws_lc_rs",
    "block_modes",
    "cbc",
    "chacha20poly1305",
    "cipher",
    "ctr",
    "digest",
    "ecb",
    "ghash",
    "hmac",
    "md5",
    "ring",
    "sha1",
    "sha2",
];

/// Crates that speak TLS, or give hold of OpenSSL.
pub(crate) const TLS_CRATES: &[&str] = &[
    "boring",
    "foreign_types",
    "native_tls",
    "openssl",
    "openssl_sys",
    "rustls",
    "tokio_openssl",
    "tokio_rustls",
];

/// Our crates that speak TLS.
const MAY_SPEAK_TLS: &[&str] = &["landfall-link", "landfall-sim"];

/// Crates that these files or folders alone may name, so that what they do can be replaced there.
pub(crate) const CONFINED: &[(&str, &[&str])] = &[
    ("rmqtt", &["crates/cloud/src/people/embedded/"]),
    ("rumqttc", &["crates/cloud/src/people/external.rs", "crates/hub/src/bridge/external.rs"]),
    ("axum", &["crates/hub/src/api/"]),
    ("utoipa", &["crates/hub/src/api/"]),
    ("utoipa_axum", &["crates/hub/src/api/"]),
    ("prometheus_client", &["crates/hub/src/api/"]),
    ("rust_embed", &["crates/hub/src/api/page.rs"]),
    ("cookie", &["crates/hub/src/api/sessions.rs", "crates/hub/src/api/routes/session.rs"]),
    ("sqlx", &["crates/hub/src/store/"]),
];

/// Words that bring in a clock, dice, a socket, a file, a thread or a runtime.
const IMPURE_WORDS: &[&str] = &[
    "Instant",
    "OsRng",
    "SystemRandom",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "ThreadRng",
    "ToSocketAddrs",
    "UdpSocket",
    "async",
    "async_std",
    "await",
    "fastrand",
    "futures",
    "getrandom",
    "jiff",
    "chrono",
    "mio",
    "rand",
    "rand_core",
    "smol",
    "socket2",
    "thread_rng",
    "tokio",
];

/// Modules of the standard library that a pure crate has no use for.
const IMPURE_STD: &[&str] = &["fs", "io", "os", "process", "thread"];

/// Which of our crates each of our crates may use (house rule: arrows point down, and never turn).
const LAYERS: &[(&str, &[&str])] = &[
    ("landfall-proto", &[]),
    ("landfall-flash", &["landfall-proto"]),
    ("landfall-sim", &["landfall-proto"]),
    ("landfall-link", &["landfall-proto"]),
    ("landfall-book", &["landfall-proto"]),
    ("landfall-cloud", &["landfall-proto", "landfall-link", "landfall-book"]),
    (
        "landfall-hub",
        &["landfall-proto", "landfall-flash", "landfall-link", "landfall-book", "landfall-cloud"],
    ),
    (
        "landfall",
        &[
            "landfall-proto",
            "landfall-flash",
            "landfall-sim",
            "landfall-link",
            "landfall-book",
            "landfall-cloud",
            "landfall-hub",
        ],
    ),
];

/// Lines on which a pure crate reaches for the outside world.
pub(crate) fn impurities(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        if IMPURE_WORDS.contains(&token.text.as_str()) {
            found.push(format!("line {}: `{}`", token.line, token.text));
        }
        if token.text == "std" && text(&tokens, i + 1) == "::" {
            for module in heads(&tokens, i + 2) {
                if IMPURE_STD.contains(&module.text.as_str()) {
                    found.push(format!("line {}: `std::{}`", module.line, module.text));
                }
            }
        }
    }
    found
}

/// Lines that name a cipher crate as the start of a path: `aes::Aes128`, `use sha2::...`, `use {ring::...}`.
pub(crate) fn cipher_names(source: &str) -> Vec<String> {
    crate_names(source, CIPHER_CRATES)
}

/// Lines that name a TLS crate as the start of a path.
pub(crate) fn tls_names(source: &str) -> Vec<String> {
    crate_names(source, TLS_CRATES)
}

/// Lines that name one of these crates as the start of a path.
pub(crate) fn crate_names(source: &str, crates: &[&str]) -> Vec<String> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let before = if i == 0 { "" } else { text(&tokens, i - 1) };
        let after = text(&tokens, i + 1);
        let rooted = before == "::" && (i < 2 || !names_a_module(text(&tokens, i - 2)));
        let starts_path = after == "::" && (before != "::" || rooted);
        let whole_import = matches!(before, "use" | "crate") && matches!(after, ";" | "as");
        if (starts_path || whole_import) && crates.contains(&token.text.as_str()) {
            found.push(format!("line {}: `{}`", token.line, token.text));
        }
    }
    found
}

/// Lines that write to standard output or standard error. A test that says what it lacks may; and `.stdout(...)` is said
/// of a child.
pub(crate) fn prints(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let lines: Vec<&str> = source.lines().collect();
    let skip = |line: usize| lines.get(line - 1).is_some_and(|l| l.contains("println!(\"skipped: NEED"));
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let after = text(&tokens, i + 1);
        let macro_call = matches!(token.text.as_str(), "print" | "println" | "eprint" | "eprintln" | "dbg");
        let stream = matches!(token.text.as_str(), "stdout" | "stderr");
        let of_child = i > 0 && text(&tokens, i - 1) == ".";
        if (macro_call && after == "!" && !skip(token.line)) || (stream && after == "(" && !of_child) {
            found.push(format!("line {}: `{}`", token.line, token.text));
        }
    }
    found
}

/// Lines with `unsafe`.
pub(crate) fn unsafe_code(source: &str) -> Vec<String> {
    tokens(source).into_iter().filter(|t| t.text == "unsafe").map(|t| format!("line {}", t.line)).collect()
}

/// Dependencies among our crates that the layers forbid. Dev-dependencies are exempt; a crate without a layer is a fault.
pub(crate) fn turned_arrows(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in array(metadata, "packages") {
        let name = string(package, "name");
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            found.push(format!("{name} has no layer: add it to LAYERS and to ARCHITECTURE.md"));
            continue;
        };
        for dependency in shipped_dependencies(package) {
            let target = string(dependency, "name");
            let ours = LAYERS.iter().any(|(layer, _)| *layer == target);
            if ours && !allowed.contains(&target) {
                found.push(format!("{name} -> {target}"));
            }
        }
    }
    found
}

/// Crates other than proto that depend on a cipher crate.
pub(crate) fn cipher_dependencies(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in array(metadata, "packages") {
        let name = string(package, "name");
        for dependency in shipped_dependencies(package) {
            let target = string(dependency, "name");
            let crate_name = if target == "md-5" { "md5".to_owned() } else { target.replace('-', "_") };
            if name != "landfall-proto" && CIPHER_CRATES.contains(&crate_name.as_str()) {
                found.push(format!("{name} -> {target}"));
            }
        }
    }
    found
}

/// Crates that depend on a TLS crate and are not among those that may.
pub(crate) fn tls_dependencies(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in array(metadata, "packages") {
        let name = string(package, "name");
        for dependency in shipped_dependencies(package) {
            let target = string(dependency, "name");
            if !MAY_SPEAK_TLS.contains(&name) && TLS_CRATES.contains(&target.replace('-', "_").as_str()) {
                found.push(format!("{name} -> {target}"));
            }
        }
    }
    found
}

/// Dependencies by which a pure crate would get a runtime, sockets or dice.
pub(crate) fn impure_dependencies(metadata: &Value, pure: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for package in array(metadata, "packages") {
        let name = string(package, "name");
        for dependency in shipped_dependencies(package) {
            let target = string(dependency, "name");
            if pure.contains(&name) && IMPURE_WORDS.contains(&target.replace('-', "_").as_str()) {
                found.push(format!("{name} -> {target}"));
            }
        }
    }
    found
}

fn shipped_dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    array(package, "dependencies").iter().filter(|d| d["kind"].as_str() != Some("dev"))
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_else(|| panic!("cargo metadata without {key:?}"))
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata without {key:?}"))
}

fn text(tokens: &[Token], i: usize) -> &str {
    tokens.get(i).map_or("", |t| t.text.as_str())
}

/// Whether the word before a `::` is a path segment, not a keyword that a rooted path (`use ::aes`) may follow.
fn names_a_module(text: &str) -> bool {
    let word = text.chars().all(|c| c == '_' || c.is_alphanumeric()) && !text.is_empty();
    word && !matches!(text, "use" | "return" | "in" | "as" | "else" | "match" | "if" | "dyn" | "impl" | "for")
}

/// The first segments at `start`: one word, or those of a `{...}` group.
fn heads(tokens: &[Token], start: usize) -> Vec<&Token> {
    if text(tokens, start) != "{" {
        return tokens.get(start).into_iter().collect();
    }
    let mut depth = 0;
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if depth == 1 && matches!(text(tokens, i - 1), "{" | ",") => found.push(token),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(n, k)| json!({ "name": n, "kind": k })).collect();
        json!({ "name": name, "dependencies": dependencies })
    }

    #[test]
    fn impurities_are_found_in_every_spelling() {
        for bad in [
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "let s = std::net::TcpStream::connect(a);",
            "use std::net::{Ipv4Addr, UdpSocket as U};",
            "fn f() { tokio::spawn(x); }",
            "let r = ring::rand::SystemRandom::new();",
            "getrandom::fill(&mut b)",
            "pub async fn f() {}",
            "f().await",
            "use std::{fmt, fs};",
            "use std::{collections::{HashMap, HashSet}, thread};",
            "std::process::exit(1)",
        ] {
            assert!(!impurities(bad).is_empty(), "{bad}");
        }
        for good in [
            "use std::net::{Ipv4Addr, SocketAddr};",
            "use core::time::Duration; // not Instant",
            "/// no async, no tokio, no `std::fs`\nfn f() {}",
            "use std::{fmt, collections::HashMap};",
        ] {
            assert_eq!(impurities(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn cipher_crates_are_found_as_path_starts() {
        for bad in [
            "use aes::Aes128;",
            "let m = hmac::Mac::new(k);",
            "use {ring::aead};",
            "use sha2;",
            "extern crate sha1 as o;",
            "use ::md5::Md5;",
        ] {
            assert!(!cipher_names(bad).is_empty(), "{bad}");
        }
        for good in ["let hmac = 1;", "self.aes.run()", "crate::crypto::hmac::run()", "crypto::aes(k)"] {
            assert_eq!(cipher_names(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn tls_crates_are_found_as_path_starts() {
        for bad in
            ["use openssl::ssl::Ssl;", "extern crate openssl as o;", "tokio_openssl::SslStream::new(a, b)"]
        {
            assert!(!tls_names(bad).is_empty(), "{bad}");
        }
        for good in ["use landfall_link::tls::Acceptor;", "// openssl::ssl", "let openssl = 1;"] {
            assert_eq!(tls_names(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn confined_crates_are_found_and_their_codecs_are_not_meant() {
        let found = |source| CONFINED.iter().any(|(name, _)| !crate_names(source, &[name]).is_empty());
        for bad in
            ["use rmqtt::hook::Handler;", "let c = rumqttc::AsyncClient::new(o, 1);", "use {rmqtt::types};"]
        {
            assert!(found(bad), "{bad}");
        }
        for good in ["use rmqtt_codec::v3;", "// rmqtt::server", "let kind = \"rmqtt::x\";"] {
            assert!(!found(good), "{good}");
        }
    }

    #[test]
    fn prints_are_found() {
        for bad in ["println!(\"x\")", "eprint!(\"x\")", "dbg!(x)", "std::io::stdout().lock()"] {
            assert!(!prints(bad).is_empty(), "{bad}");
        }
        assert!(prints("write!(f, \"println!\")").is_empty());
        assert!(prints("print(x)").is_empty());
        assert!(prints("command.stdout(Stdio::null())").is_empty());
        assert!(prints("eprintln!(\"skipped: NEED postgresql\")").is_empty());
    }

    #[test]
    fn unsafe_is_found_in_code_only() {
        assert_eq!(unsafe_code("fn f() {\n unsafe { g() } }"), ["line 2"]);
        assert!(unsafe_code("// unsafe\nlet s = \"unsafe\";").is_empty());
    }

    #[test]
    fn turned_arrows_are_found() {
        let bad = json!({ "packages": [
            package("landfall-sim", &[("landfall-proto", None), ("landfall-link", None)]),
            package("landfall-proto", &[("landfall-book", Some("build"))]),
        ]});
        assert_eq!(turned_arrows(&bad), ["landfall-sim -> landfall-link", "landfall-proto -> landfall-book"]);
        let stranger = json!({ "packages": [package("landfall-extra", &[])] });
        assert_eq!(turned_arrows(&stranger).len(), 1);
        let good = json!({ "packages": [
            package("landfall-link", &[("landfall-proto", None), ("landfall-sim", Some("dev")), ("tokio", None)]),
        ]});
        assert!(turned_arrows(&good).is_empty());
    }

    #[test]
    fn forbidden_dependencies_are_found() {
        let bad = json!({ "packages": [
            package("landfall-link", &[("aes-gcm", None), ("md-5", None), ("tokio", None)]),
            package("landfall-proto", &[("ring", None), ("tokio", None), ("rand", Some("dev"))]),
        ]});
        assert_eq!(cipher_dependencies(&bad), ["landfall-link -> aes-gcm", "landfall-link -> md-5"]);
        assert_eq!(impure_dependencies(&bad, &["landfall-proto"]), ["landfall-proto -> tokio"]);
        let bad = json!({ "packages": [
            package("landfall-link", &[("openssl", None), ("tokio-openssl", None)]),
            package("landfall-cloud", &[("openssl", None), ("tokio-openssl", Some("dev"))]),
            package("landfall-proto", &[("openssl-sys", None)]),
        ]});
        assert_eq!(tls_dependencies(&bad), ["landfall-cloud -> openssl", "landfall-proto -> openssl-sys"]);
    }
}
