//! What the docs promise of the program's codes: each stands in them.

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Texts in quotes that a predicate takes.
fn quoted(source: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    source.split('"').skip(1).step_by(2).filter(|t| wanted(t)).map(str::to_owned).collect()
}

fn word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn each_verdict_has_a_section_and_each_section_a_verdict() {
    let source = read("crates/link/src/diagnose/mod.rs");
    let codes = source.split("fn code(").nth(1).and_then(|s| s.split("\n    }\n").next()).unwrap();
    let codes = quoted(codes, word);
    assert!(codes.len() >= 10 && codes.contains("wedged"), "{codes:?}");
    let page = read("docs/troubleshooting.md");
    let of_doctor = page.split("\n---\n").next().unwrap();
    let sections: BTreeSet<String> =
        of_doctor.lines().filter_map(|l| l.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(sections, codes);
}

#[test]
fn each_finding_of_check_install_is_explained() {
    let source = read("crates/cli/src/cmd/check_install/judge.rs");
    let code = |t: &str| t.split_once('.').is_some_and(|(group, name)| word(group) && word(name));
    let groups = ["settings", "hub", "rights", "port", "data", "file", "names", "clock"];
    let codes = quoted(&source, |t| code(t) && groups.iter().any(|g| t.starts_with(&format!("{g}."))));
    assert!(codes.len() >= 30, "{codes:?}");
    let page = read("docs/troubleshooting.md");
    let missing: Vec<_> = codes.iter().filter(|c| !page.contains(&format!("`{c}`"))).collect();
    assert!(missing.is_empty(), "not in docs/troubleshooting.md: {missing:?}");
}
