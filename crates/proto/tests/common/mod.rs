//! The vectors of `/vectors/lan.json` as typed values, and what the tests share: clocks, scripted dice, a two-party wire.
//!
//! Every test file compiles this module for itself and uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use landfall_proto::lan::Version;
use landfall_proto::{Entropy, Now};
use serde::{Deserialize, Deserializer};

pub mod wire;

/// How many cases of each kind `lan.json` held when the tests were written. It may grow, but not shrink unnoticed.
pub mod counts {
    pub const FRAMES: usize = 133;
    pub const SESSIONS: usize = 10;
    pub const NEGOTIATION_FAILURES: usize = 12;
    pub const DISCOVERY: usize = 17;
    pub const STREAMS: usize = 85;
    pub const JSON: usize = 13;
    pub const SESSION_KEYS: usize = 10;
    pub const SIGNATURES: usize = 2;
    pub const CRC32: usize = 2;
}

/// Every case of the file was run, and the file has lost none.
#[track_caller]
pub fn all(ran: usize, in_file: usize, at_least: usize) {
    assert_eq!(ran, in_file, "cases were skipped");
    assert!(in_file >= at_least, "the file has lost cases: {in_file}, not {at_least}");
}

/// Bytes that stand as hex digits in the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl std::ops::Deref for Hex {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Hex {
    /// The bytes as an array; panics when the length differs.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().expect("length of the hex text")
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        unhex(&text).map(Hex).ok_or_else(|| serde::de::Error::custom(format!("not hex: {text:?}")))
    }
}

/// Hex digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes of hex digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    ClientToDevice,
    DeviceToClient,
}

/// Which end of a stream reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Client,
    Device,
}

/// Which key protects a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyName {
    Local,
    Session,
}

#[derive(Debug, Deserialize)]
pub struct Vectors {
    pub fixtures: Fixtures,
    pub crypto: Crypto,
    pub limits: Limits,
    pub frames: Vec<Frame>,
    pub sessions: Vec<Conversation>,
    pub negotiation_failures: Vec<NegotiationFailure>,
    pub discovery: Vec<DatagramCase>,
    pub streams: Vec<Stream>,
    pub json: Vec<JsonCase>,
}

#[derive(Debug, Deserialize)]
pub struct Limits {
    pub max_length_field_assumed: u32,
}

#[derive(Debug, Deserialize)]
pub struct Fixtures {
    pub local_key_ascii: String,
    pub local_key_hex: Hex,
    pub wrong_key_ascii: String,
    pub dev_id: String,
    pub cid: String,
    pub product_key: String,
    pub t: u64,
    pub client_nonce_hex: Hex,
    pub device_nonce_hex: Hex,
    pub session_key_hex: BTreeMap<String, Hex>,
    pub udp_key_hex: Hex,
    pub ap_key_hex: Hex,
}

#[derive(Debug, Deserialize)]
pub struct Crypto {
    pub udp_key: SeedKey,
    pub ap_key: SeedKey,
    pub ecb_first_block: EcbBlock,
    pub sign_3_1: Vec<Signature>,
    pub session_keys: Vec<SessionKey>,
    pub crc32: Vec<Crc>,
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub struct SeedKey {
    pub seed_ascii: String,
    pub md5_hex: Hex,
}

#[derive(Debug, Deserialize)]
pub struct EcbBlock {
    pub plaintext_ascii: String,
    pub key_hex: Hex,
    pub ciphertext_hex: Hex,
}

#[derive(Debug, Deserialize)]
pub struct Signature {
    pub key_ascii: String,
    pub plaintext: String,
    pub ciphertext_base64: String,
    pub signed_text: String,
    pub md5_hex: Hex,
    pub slice_8_24: String,
    pub payload_ascii: String,
}

#[derive(Debug, Deserialize)]
pub struct SessionKey {
    pub version: Version,
    pub local_key_hex: Hex,
    pub client_nonce_hex: Hex,
    pub device_nonce_hex: Hex,
    pub xor_hex: Hex,
    pub session_key_hex: Hex,
    pub note: String,
}

#[derive(Debug, Deserialize)]
pub struct Crc {
    pub input_hex: Hex,
    pub crc32_hex: Hex,
}

#[derive(Debug, Deserialize)]
pub struct Retcode {
    pub value: u32,
    pub endian: String,
}

impl Retcode {
    /// The four bytes on the wire.
    pub fn wire(&self) -> [u8; 4] {
        if self.endian == "little" { self.value.to_le_bytes() } else { self.value.to_be_bytes() }
    }
}

#[derive(Debug, Deserialize)]
pub struct SourceHeader {
    pub hex: Hex,
    pub version: String,
    pub crc32: u32,
    pub seq: u32,
    pub source: u32,
    pub placement: String,
}

#[derive(Debug, Deserialize)]
pub struct Plaintext {
    pub kind: String,
    #[serde(default)]
    pub value: serde_json::Value,
}

#[derive(Debug, Deserialize)]
pub struct Frame {
    pub id: String,
    pub version: Version,
    pub direction: Direction,
    pub framing: String,
    pub cmd: u32,
    pub seq: u32,
    pub retcode: Option<Retcode>,
    pub key: KeyName,
    pub payload_form: String,
    pub source_header: Option<SourceHeader>,
    pub plaintext: Plaintext,
    pub plaintext_hex: Hex,
    pub iv_hex: Option<Hex>,
    pub wire_payload_hex: Hex,
    pub frame_hex: Hex,
    pub frame_len: usize,
    pub quirk: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Conversation {
    pub id: String,
    pub version: Version,
    pub local_key_hex: Hex,
    pub client_nonce_hex: Option<Hex>,
    pub device_nonce_hex: Option<Hex>,
    pub device_first_seq: Option<u32>,
    pub session_key_hex: Option<Hex>,
    pub hmac_of_client_nonce_hex: Option<Hex>,
    pub hmac_of_device_nonce_hex: Option<Hex>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    pub step: u32,
    pub direction: Direction,
    pub cmd: u32,
    pub seq: u32,
    pub retcode: Option<u32>,
    pub key: KeyName,
    pub source_header_hex: Option<Hex>,
    pub plaintext: Plaintext,
    pub frame_hex: Hex,
}

#[derive(Debug, Deserialize)]
pub struct NegotiationFailure {
    pub id: String,
    pub version: Version,
    pub situation: String,
    pub expect: BTreeMap<String, String>,
    pub frame_hex: Hex,
    pub key_used_hex: Option<Hex>,
}

#[derive(Debug, Deserialize)]
pub struct DatagramCase {
    pub id: String,
    pub version: Option<String>,
    pub udp_port: u16,
    pub cmd: Option<u32>,
    pub encryption: String,
    pub plaintext: Option<serde_json::Value>,
    pub datagram_hex: Hex,
    pub expect: String,
}

#[derive(Debug, Deserialize)]
pub struct Stream {
    pub id: String,
    pub version: Version,
    pub side: Side,
    pub situation: String,
    pub chunks_hex: Vec<Hex>,
    pub expect: Vec<Expected>,
    pub buffered_after_chunk: Vec<usize>,
    pub session_action: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "ev", rename_all = "lowercase")]
pub enum Expected {
    Frame {
        #[serde(rename = "ref")]
        reference: Option<String>,
        cmd: u32,
        seq: u32,
    },
    Garbage {
        len: usize,
    },
    Error {
        kind: String,
        layer: Option<String>,
        length: Option<u32>,
    },
}

#[derive(Debug, Deserialize)]
pub struct JsonCase {
    pub input: String,
    pub dps: Option<serde_json::Map<String, serde_json::Value>>,
    pub cid: Option<String>,
    pub t: Option<u64>,
}

/// The file, read once per test binary.
pub fn vectors() -> &'static Vectors {
    static FILE: OnceLock<Vectors> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/lan.json");
        let text = std::fs::read_to_string(path).expect("vectors/lan.json");
        serde_json::from_str(&text).expect("the form of vectors/lan.json")
    })
}

impl Vectors {
    /// The frame with this id.
    pub fn frame(&self, id: &str) -> &Frame {
        self.frames.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("no frame {id}"))
    }

    /// The key that a frame of this version is protected with.
    pub fn key(&self, version: Version, name: KeyName) -> [u8; 16] {
        match name {
            KeyName::Session if version.dialect().negotiates => {
                self.fixtures.session_key_hex[version.as_str()].array()
            }
            _ => self.fixtures.local_key_hex.array(),
        }
    }
}

/// A time on the virtual clock: milliseconds since its start. The wall clock stands at the vectors' `t` then.
pub fn at(ms: u64) -> Now {
    Now::new(Duration::from_millis(ms), 1_700_000_000 + ms / 1000)
}

/// Dice that fall as written, then go on with a seeded sequence.
#[derive(Debug, Default)]
pub struct Script {
    bytes: Vec<u8>,
    seed: u64,
}

impl Script {
    /// These bytes first.
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), seed: 1 }
    }
    /// A repeatable sequence.
    pub fn seeded(seed: u64) -> Self {
        Self { bytes: Vec::new(), seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }
    /// How many of the written bytes were not taken.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }
}

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) {
        let n = self.bytes.len().min(out.len());
        out[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes.drain(..n);
        for b in &mut out[n..] {
            // xorshift64
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            *b = (self.seed >> 32) as u8;
        }
    }
}
