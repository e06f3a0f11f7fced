//! What the fuzzers run. `crates/proto/tests/fuzz_corpora.rs` runs the same functions over the committed corpora, so that
//! plain `cargo test` sees every input that ever mattered.
//!
//! Where a checksum, tag or key would reject nearly every input, the input is put *under* the protection: it becomes
//! the content of a sound frame.
#![allow(dead_code, unreachable_pub)]

use landfall_proto::lan::{Command, Version};
use landfall_proto::{Entropy, Role};

mod cloud;
mod parsers;
mod sessions;

pub use cloud::{gateway, mqtt};
pub use parsers::{body, codec, datagram, wifi_config};
pub use sessions::{client, device};

/// The key of every target.
const KEY: &[u8; 16] = b"Kx7$v9Qm2#Lp4&Rz";
/// The device of every target.
const DEVICE: &str = "bf0123456789abcdefvx01";

/// By name, for the replay.
pub fn by_name(name: &str) -> Option<fn(&[u8])> {
    Some(match name {
        "codec" => codec,
        "client" => client,
        "device" => device,
        "body" => body,
        "datagram" => datagram,
        "wifi_config" => wifi_config,
        "mqtt" => mqtt,
        "gateway" => gateway,
        _ => return None,
    })
}

/// All targets.
pub const NAMES: [&str; 8] =
    ["codec", "client", "device", "body", "datagram", "wifi_config", "mqtt", "gateway"];

/// Dice that always fall the same way.
struct Dice(u8);

impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_mul(5).wrapping_add(37);
            *b = self.0;
        }
    }
}

/// An input read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A length byte and so many bytes, or what is left.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let n = usize::from(self.byte()?).min(self.0.len());
        let (piece, rest) = self.0.split_at(n);
        self.0 = rest;
        Some(piece)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn version(byte: u8) -> Version {
    Version::ALL[usize::from(byte % 5)]
}

fn role(byte: u8) -> Role {
    if byte & 0x80 == 0 { Role::Device } else { Role::Client }
}

fn command(byte: u8) -> Command {
    Command(u32::from(byte))
}
