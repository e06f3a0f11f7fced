//! What is kept of a password: enough to check it, not enough to use it.

use std::fmt;

use landfall_proto::crypto::{self, MacKey};
use serde::{Deserialize, Serialize};

/// Bytes of a salt.
pub const SALT: usize = 16;

/// The salted digest of a password: HMAC-SHA256 under a random salt. It is fast, and that is right: these passwords are
/// not chosen by people. Ours have 128 random bits, those of devices are the middle of a hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    salt: [u8; SALT],
    code: [u8; crypto::MAC],
}

impl Digest {
    /// Of a password, under a salt of random bytes.
    pub fn new(salt: [u8; SALT], password: &[u8]) -> Self {
        Self { code: MacKey::of_text(&salt).code(password), salt }
    }

    /// Whether this is the password, in constant time.
    pub fn fits(&self, password: &[u8]) -> bool {
        MacKey::of_text(&self.salt).verify(password, &self.code)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Not what [`Digest`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the digest of a password")]
pub struct DigestError;

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        let bytes = crypto::unhex(text.as_bytes()).ok_or(DigestError)?;
        let (salt, code) = bytes.split_at_checked(SALT).ok_or(DigestError)?;
        Ok(Self {
            salt: salt.try_into().map_err(|_| DigestError)?,
            code: code.try_into().map_err(|_| DigestError)?,
        })
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        let mut text = Self::new();
        crypto::hex_upper(&digest.salt, &mut text);
        crypto::hex_upper(&digest.code, &mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_its_password_and_nothing_else() {
        let digest = Digest::new([7; SALT], b"a79450a06a9c39d5");
        assert!(digest.fits(b"a79450a06a9c39d5"));
        assert!(!digest.fits(b"a79450a06a9c39d") && !digest.fits(b"") && !digest.fits(b"A79450a06a9c39d5"));
        assert_ne!(digest, Digest::new([8; SALT], b"a79450a06a9c39d5"));
        let text = serde_json::to_string(&digest).unwrap();
        assert!(!text.contains("a79450"));
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        assert_eq!(format!("{digest:?}"), "Digest(..)");
        for bad in ["\"\"", "\"07\"", "\"zz\"", &format!("{}00\"", &text[..text.len() - 1])] {
            assert!(serde_json::from_str::<Digest>(bad).is_err(), "{bad}");
        }
    }
}
