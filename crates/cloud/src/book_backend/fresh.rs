//! What is made anew for a device or a person, from the operating system's random source.

use landfall_book::KeySet;
use landfall_book::digest::SALT;
use landfall_link::entropy::OsEntropy;
use landfall_proto::Entropy;
use landfall_proto::id::{DeviceId, LocalKey, SecKey};

use crate::backend::BackendError;

/// What keys are made of: no character of it means anything in JSON, a URL, a shell or a file.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// What ids are made of.
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Ids that the vendor gives start so.
const ID_START: &str = "bf";
/// Characters of an id that the vendor gives (cloud.md 0.2).
const ID_LENGTH: usize = 22;
/// Characters of a secret of 128 bits and a few, made of [`LETTERS`].
const SECRET_LENGTH: usize = 22;

/// Text of random characters, each as likely as any other.
fn text(entropy: &mut impl Entropy, alphabet: &[u8], length: usize) -> String {
    // Bytes beyond the last whole multiple would make the first characters likelier.
    let bound = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        let good = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < bound);
        text.extend(good.map(|b| char::from(alphabet[b % alphabet.len()])).take(length - text.len()));
    }
    text
}

/// A device id as the vendor gives them: `bf` and 20 characters.
fn device_id(entropy: &mut OsEntropy) -> Result<DeviceId, BackendError> {
    let rest = text(entropy, LOWER, ID_LENGTH - ID_START.len());
    DeviceId::new(format!("{ID_START}{rest}")).map_err(|e| BackendError { what: e.to_string() })
}

/// A local key and a sec key.
fn keys(entropy: &mut OsEntropy) -> Result<(LocalKey, SecKey), BackendError> {
    let local =
        LocalKey::new(text(entropy, LETTERS, 16)).map_err(|e| BackendError { what: e.to_string() })?;
    let sec = SecKey::new(text(entropy, LETTERS, 16)).map_err(|e| BackendError { what: e.to_string() })?;
    Ok((local, sec))
}

/// An id and the keys that go with it.
pub(super) fn set(entropy: &mut OsEntropy) -> Result<KeySet, BackendError> {
    let id = device_id(entropy)?;
    let (local, sec) = keys(entropy)?;
    Ok(KeySet { id, local, sec })
}

/// A password, or the secret part of a URL: 22 characters, 131 bits.
pub(super) fn secret(entropy: &mut OsEntropy) -> String {
    text(entropy, LETTERS, SECRET_LENGTH)
}

/// A salt.
pub(super) fn salt(entropy: &mut OsEntropy) -> [u8; SALT] {
    let mut salt = [0; SALT];
    entropy.fill(&mut salt);
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_ids_have_their_form_and_are_never_the_same() {
        let mut os = OsEntropy::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            let (local, sec) = keys(&mut os).unwrap();
            let id = device_id(&mut os).unwrap();
            assert!(id.as_str().len() == 22 && id.as_str().starts_with("bf"));
            for secret in [local.expose_str(), sec.expose_str(), &secret(&mut os)] {
                assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric()));
                assert!(seen.insert(secret.to_owned()));
            }
            assert!(seen.insert(id.to_string()));
        }
    }

    #[test]
    fn every_character_is_as_likely() {
        /// Every byte in turn.
        struct Turn(u8);
        impl Entropy for Turn {
            fn fill(&mut self, out: &mut [u8]) {
                for b in out {
                    *b = self.0;
                    self.0 = self.0.wrapping_add(1);
                }
            }
        }
        // 248 of 256 bytes are good for 62 characters: four rounds of each.
        let text = text(&mut Turn(0), LETTERS, 248);
        for letter in LETTERS {
            assert_eq!(text.bytes().filter(|b| b == letter).count(), 4);
        }
    }
}
