//! The architecture's rules as tests: each invariant of ARCHITECTURE.md that a program can check is checked here.
//!
//! `rules` holds the rules and proves on bad samples that each bites; this file applies them to the tree.

mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates without I/O, clock, randomness and async.
const PURE: &[(&str, &str)] = &[("landfall-proto", "proto"), ("landfall-flash", "flash")];

/// Files that may hold `unsafe`: what OpenSSL's binding lacks.
const MAY_BE_UNSAFE: &[&str] = &["crates/link/src/tls/ffi.rs"];

/// Files outside the command that may print: the test of a whole checkout says which of its entities don't work.
const MAY_PRINT: &[&str] = &["crates/hub/src/profile/import/tests.rs"];

/// Where TLS is named in link; sim has one file for it.
const TLS_FOLDER: &str = "crates/link/src/tls/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the workspace holds crates/cli")
        .to_owned()
}

/// Every Rust file below `folder`, as (path from the workspace's root, text).
fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push((name, text));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files in {}: the rule would check nothing", folder.display());
    found
}

/// The `src` folders of our crates, by folder name.
fn crates() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("crates"))
        .expect("crates/ exists")
        .map(|e| e.expect("a folder can be listed"))
        .filter(|e| e.path().join("Cargo.toml").is_file())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.contains(&"proto".to_owned()) && names.contains(&"cli".to_owned()), "{names:?}");
    names
}

/// Applies `rule` to files and fails with one line per breach.
fn check(what: &str, files: impl IntoIterator<Item = (String, String)>, rule: impl Fn(&str) -> Vec<String>) {
    let breaches: Vec<String> = files
        .into_iter()
        .flat_map(|(name, text)| rule(&text).into_iter().map(move |breach| format!("  {name}, {breach}")))
        .collect();
    assert!(breaches.is_empty(), "{what}:\n{}", breaches.join("\n"));
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn arrows_between_crates_never_turn() {
    let turned = rules::turned_arrows(&metadata());
    assert!(turned.is_empty(), "these dependencies break the layers of ARCHITECTURE.md: {turned:#?}");
}

#[test]
fn only_proto_depends_on_ciphers() {
    let found = rules::cipher_dependencies(&metadata());
    assert!(found.is_empty(), "ciphers belong into proto/src/crypto.rs: {found:#?}");
}

#[test]
fn pure_crates_depend_on_nothing_impure() {
    let pure: Vec<&str> = PURE.iter().map(|(package, _)| *package).collect();
    let found = rules::impure_dependencies(&metadata(), &pure);
    assert!(found.is_empty(), "pure crates have no runtime, no sockets, no dice: {found:#?}");
}

#[test]
fn pure_crates_have_no_clock_dice_sockets_or_async() {
    for (_, folder) in PURE {
        let src = root().join("crates").join(folder).join("src");
        if src.is_dir() {
            check("a pure crate reaches outside", rust_files(&src), rules::impurities);
        }
    }
}

#[test]
fn only_one_file_names_cipher_crates() {
    let files =
        crates().into_iter().flat_map(|name| rust_files(&root().join("crates").join(name).join("src")));
    let files = files.filter(|(name, _)| name != "crates/proto/src/crypto.rs");
    check("ciphers are named outside crates/proto/src/crypto.rs", files, rules::cipher_names);
}

#[test]
fn only_link_and_sim_depend_on_tls() {
    let found = rules::tls_dependencies(&metadata());
    assert!(found.is_empty(), "TLS is link's, and sim's for its devices: {found:#?}");
}

#[test]
fn tls_is_named_in_its_folder_of_link_and_in_one_file_of_sim() {
    let files =
        crates().into_iter().flat_map(|name| rust_files(&root().join("crates").join(name).join("src")));
    let (of_sim, files): (Vec<_>, Vec<_>) = files
        .filter(|(name, _)| !name.starts_with(TLS_FOLDER))
        .partition(|(name, _)| name.starts_with("crates/sim/"));
    check("TLS crates are named outside crates/link/src/tls", files, rules::tls_names);
    let of_sim: Vec<_> = of_sim
        .into_iter()
        .filter(|(_, text)| !rules::tls_names(text).is_empty())
        .map(|(name, _)| name)
        .collect();
    assert!(of_sim.len() <= 1, "more than one file of sim names TLS crates: {of_sim:?}");
}

#[test]
fn each_library_with_a_room_is_named_there_alone() {
    for (library, homes) in rules::CONFINED {
        for home in *homes {
            assert!(root().join(home).exists(), "{home} is gone: name the new home of {library} in the rule");
        }
        let files =
            crates().into_iter().flat_map(|name| rust_files(&root().join("crates").join(name).join("src")));
        let files = files.filter(|(name, _)| !homes.iter().any(|home| name.starts_with(home)));
        let what = format!("{library} is named outside {homes:?}");
        check(&what, files, |source| rules::crate_names(source, &[*library]));
    }
}

#[test]
fn only_the_cli_prints() {
    let names = crates().into_iter().filter(|name| name != "cli");
    let files = names.flat_map(|name| rust_files(&root().join("crates").join(name).join("src")));
    let files = files.filter(|(name, _)| !MAY_PRINT.contains(&name.as_str()));
    check("only crates/cli prints", files, rules::prints);
}

#[test]
fn nothing_is_unsafe_but_the_binding_of_openssl() {
    let files = rust_files(&root().join("crates"));
    let files = files.into_iter().filter(|(name, _)| !MAY_BE_UNSAFE.contains(&name.as_str()));
    check("unsafe code", files, rules::unsafe_code);
}

#[test]
fn every_crate_takes_the_common_lints() {
    for name in crates() {
        let path = root().join("crates").join(&name).join("Cargo.toml");
        let manifest = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not take the workspace's lints");
    }
}
