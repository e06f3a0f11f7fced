//! The vectors of `/vectors/cloud.json`, and what the tests of the cloud's codecs share.
//!
//! Every test file compiles this module for itself and uses a part of it.
#![allow(dead_code)]

use landfall_proto::Entropy;
use landfall_proto::id::{AuthKey, SecKey};
use serde::Deserialize;
use serde_json::Value;

/// One vector.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) inputs: Value,
    pub(crate) expected: Value,
}

impl Case {
    /// An input that is text.
    pub(crate) fn input(&self, name: &str) -> &str {
        self.inputs[name].as_str().unwrap_or_else(|| panic!("{}: no input {name}", self.name))
    }

    /// An expectation that is text.
    pub(crate) fn wanted(&self, name: &str) -> &str {
        self.expected[name].as_str().unwrap_or_else(|| panic!("{}: no expectation {name}", self.name))
    }
}

/// All vectors.
pub(crate) fn all() -> Vec<Case> {
    #[derive(Deserialize)]
    struct File {
        schema: String,
        vectors: Vec<Case>,
    }
    let file: File = serde_json::from_slice(&read("cloud.json")).expect("the vectors");
    assert_eq!(file.schema, "tuya-cloud-vectors/1");
    file.vectors
}

/// The vectors of a kind.
pub(crate) fn cases(kind: &str) -> Vec<Case> {
    all().into_iter().filter(|c| c.kind == kind).collect()
}

/// A file below `/vectors`.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Bytes of hex digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "{text:?}");
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

/// Entropy that was written down; asking for more or less than there is fails.
pub(crate) struct Fixed(pub(crate) Vec<u8>);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&std::mem::replace(&mut self.0, rest));
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "entropy was left over");
        }
    }
}

pub(crate) fn sec_key(text: &str) -> SecKey {
    SecKey::new(text).expect("a sec key")
}

pub(crate) fn auth_key(text: &str) -> AuthKey {
    AuthKey::new(text).expect("an auth key")
}
