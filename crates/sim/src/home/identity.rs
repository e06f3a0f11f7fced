//! Invented ids and keys that look like real ones.

use landfall_proto::id::{AuthKey, Cid, DeviceId, LocalKey, PskKey, SecKey, Uuid};
use landfall_proto::lan::Version;

use crate::dice::Dice;
use crate::kind::Kind;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";

/// Draws ids and keys from a seed: the same seed gives the same home.
#[derive(Debug)]
pub struct Identities {
    dice: Dice,
}

impl Identities {
    /// Starts a home.
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::labelled(seed, "identities") }
    }

    fn word(&mut self, prefix: &str, len: usize, from: &[u8]) -> String {
        let mut word = prefix.to_owned();
        while word.len() < len {
            word.push(self.pick(from));
        }
        word
    }

    fn pick(&mut self, from: &[u8]) -> char {
        let at = usize::try_from(self.dice.below(from.len() as u64)).unwrap_or(0);
        from.get(at).copied().unwrap_or(b'0') as char
    }

    /// 20 characters that end in a MAC address for old products, 22 for newer ones (lan.md 6.3).
    pub fn device_id(&mut self, kind: Kind) -> DeviceId {
        let text = match kind {
            Kind::PlugOld | Kind::PlugOldUsb | Kind::BulbOld => self.word("02200194dc4f22", 20, HEX),
            _ => self.word("bf", 22, LOWER),
        };
        DeviceId::new(text).expect("the alphabet is that of device ids")
    }

    /// 16 printable characters. Older pairings gave letters and digits, newer ones anything (lan.md 0.2).
    pub fn key(&mut self, version: Version) -> LocalKey {
        let mut bytes = [b'0'; 16];
        for b in &mut bytes {
            *b = if version >= Version::V3_4 {
                // 0x21 to 0x7e: all but the space.
                u8::try_from(0x21 + self.dice.below(0x5e)).unwrap_or(b'0')
            } else {
                self.pick(LOWER) as u8
            };
        }
        LocalKey::new(bytes).expect("16 printable bytes")
    }

    /// A Zigbee address.
    pub fn cid(&mut self) -> Cid {
        let text = self.word("a4c138", 16, HEX);
        Cid::new(text).expect("the alphabet is that of cids")
    }
}

/// What a device has from the factory for its cloud, and what an earlier activation gave it.
#[derive(Debug)]
pub(super) struct Factory {
    pub(super) uuid: Uuid,
    pub(super) auth_key: AuthKey,
    pub(super) psk_key: PskKey,
    pub(super) sec_key: SecKey,
}

impl Factory {
    /// Drawn from a sequence of its own, so that a cloud side changes no ids.
    pub(super) fn draw(seed: u64, name: &str) -> Self {
        let mut ids = Identities { dice: Dice::labelled(seed, &format!("factory of {name}")) };
        Self {
            uuid: Uuid::new(ids.word("", 16, LOWER)).expect("the alphabet is that of uuids"),
            auth_key: AuthKey::new(ids.word("", 32, LOWER)).expect("32 printable characters"),
            psk_key: PskKey::new(ids.word("", 37, LOWER)).expect("37 printable characters"),
            sec_key: SecKey::new(ids.word("", 16, LOWER)).expect("16 printable characters"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_like_real_ones() {
        let mut ids = Identities::new(7);
        for kind in Kind::ALL {
            let id = ids.device_id(kind);
            assert!(matches!(id.as_str().len(), 20 | 22), "{id}");
        }
        for version in Version::ALL {
            for _ in 0..200 {
                let key = ids.key(version);
                assert!(key.expose().iter().all(|b| (0x21..0x7f).contains(b)));
            }
        }
        assert_eq!(ids.cid().as_str().len(), 16);
        assert_eq!(Identities::new(7).key(Version::V3_5), Identities::new(7).key(Version::V3_5));
    }
}
