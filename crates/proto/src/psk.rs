//! TLS-PSK of generations B and C: identities and keys of types 1 and 2 (cloud.md 3.1), both roles.
//!
//! A type 1 key hides nothing: whoever sees the identity, which travels in clear, derives it. It may give its holder no
//! more than its own device's topics. A type 2 key is a secret of the device.

use std::fmt;

use crate::crypto::{self, BLOCK, Ecb};
use crate::id::{AuthKey, PskKey};

/// The hint that servers send and without which devices derive another key.
pub const HINT: &str = "1dHRsc2NjbHltbGx3eWh50000000000000000";
/// What stands at the start of type 1 identities of ESP8266 devices.
pub const PREFIX_ESP8266: &[u8; 16] = b"BAohbmd6aG91IFR1";

/// Bytes of an identity of type 1.
pub const LEN_1: usize = 50;
/// Bytes of an identity of type 2.
pub const LEN_2: usize = 49;

/// The type byte and 16 bytes of prefix come before the hash of the id.
const HASH_AT: usize = 17;
/// Type 1 only: `_`, then the hash of the auth key.
const AUTH_AT: usize = 34;

/// The type of an identity, its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PskType {
    /// The key follows from the identity.
    One,
    /// The key is the device's [`PskKey`].
    Two,
}

/// Why some bytes are no identity that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing there.
    #[error("the psk identity is empty")]
    Empty,
    /// Another type: type 3 exists, nothing is known of it.
    #[error("psk identity of type {0}; types 1 and 2 are known")]
    UnknownType(u8),
    /// Another length than its type has.
    #[error("a psk identity of type {kind} has {want} bytes, this one has {len}")]
    Length {
        /// Its type.
        kind: u8,
        /// The type's length.
        want: usize,
        /// Its length.
        len: usize,
    },
    /// Devices replace every zero, and TLS libraries cut the identity there.
    #[error("byte {0} of the psk identity is zero")]
    ZeroByte(usize),
}

/// Why no key follows from an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// Type 2: the key must be known.
    #[error("the key of a psk identity of type 2 cannot be derived")]
    NotDerivable,
    /// The key is made of the hint's last 16 bytes.
    #[error("a psk hint has at least {BLOCK} bytes, this one has {0}")]
    ShortHint(usize),
}

/// What an identity says of its device, to find it by. Zeros are replaced in it as devices do, so it is made and
/// compared in this form only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceHash {
    /// Type 1: MD5 of the uuid, on ESP8266 of the device id.
    Md5([u8; 16]),
    /// Type 2: SHA-256 of the uuid.
    Sha256([u8; 32]),
}

impl DeviceHash {
    /// As an identity of this type has it for a uuid (or, on ESP8266, a device id).
    pub fn of(kind: PskType, id: &str) -> Self {
        match kind {
            PskType::One => Self::Md5(zeros_replaced(crypto::md5(&[id.as_bytes()]))),
            PskType::Two => Self::Sha256(zeros_replaced(crypto::sha256(&[id.as_bytes()]))),
        }
    }
}

impl fmt::Debug for DeviceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let (name, bytes): (_, &[u8]) = match self {
            Self::Md5(b) => ("Md5", b),
            Self::Sha256(b) => ("Sha256", b),
        };
        crypto::hex_upper(bytes, &mut text);
        write!(f, "{name}({text})")
    }
}

/// A key for the TLS library. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Psk(zeroize::Zeroizing<Vec<u8>>);

impl Psk {
    /// Of type 2: the characters of the device's psk key.
    pub fn of_key(key: &PskKey) -> Self {
        Self(zeroize::Zeroizing::new(key.expose().to_vec()))
    }

    /// The secret itself, for the TLS library.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

/// A PSK identity of type 1 or 2.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    kind: PskType,
    bytes: Box<[u8]>,
}

impl Identity {
    /// Understands an identity that a client sent.
    ///
    /// # Errors
    /// An unknown type, another length than the type has, or a zero byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let (kind, want) = match bytes.first() {
            None => return Err(IdentityError::Empty),
            Some(1) => (PskType::One, LEN_1),
            Some(2) => (PskType::Two, LEN_2),
            Some(other) => return Err(IdentityError::UnknownType(*other)),
        };
        if bytes.len() != want {
            return Err(IdentityError::Length { kind: bytes[0], want, len: bytes.len() });
        }
        match bytes.iter().position(|b| *b == 0) {
            Some(at) => Err(IdentityError::ZeroByte(at)),
            None => Ok(Self { kind, bytes: bytes.into() }),
        }
    }

    /// Of type 1 (device side). `prefix` is [`PREFIX_ESP8266`] there, random elsewhere; `id` the uuid, on ESP8266 the
    /// device id.
    pub fn type_1(prefix: &[u8; 16], id: &str, key: &AuthKey) -> Self {
        let mut bytes = [1; LEN_1];
        bytes[1..HASH_AT].copy_from_slice(prefix);
        bytes[HASH_AT..AUTH_AT - 1].copy_from_slice(&crypto::md5(&[id.as_bytes()]));
        bytes[AUTH_AT - 1] = b'_';
        bytes[AUTH_AT..].copy_from_slice(&crypto::md5(&[key.expose()]));
        Self { kind: PskType::One, bytes: Box::new(zeros_replaced(bytes)) }
    }

    /// Of type 2 (device side). `prefix` is random or constant.
    pub fn type_2(prefix: &[u8; 16], uuid: &str) -> Self {
        let mut bytes = [2; LEN_2];
        bytes[1..HASH_AT].copy_from_slice(prefix);
        bytes[HASH_AT..].copy_from_slice(&crypto::sha256(&[uuid.as_bytes()]));
        Self { kind: PskType::Two, bytes: Box::new(zeros_replaced(bytes)) }
    }

    /// Its type.
    pub const fn kind(&self) -> PskType {
        self.kind
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which device it claims to be.
    pub fn device(&self) -> DeviceHash {
        // `bytes` has the length of its type.
        match self.kind {
            PskType::One => {
                let mut hash = [0; 16];
                hash.copy_from_slice(&self.bytes[HASH_AT..HASH_AT + 16]);
                DeviceHash::Md5(hash)
            }
            PskType::Two => {
                let mut hash = [0; 32];
                hash.copy_from_slice(&self.bytes[HASH_AT..]);
                DeviceHash::Sha256(hash)
            }
        }
    }

    /// Whether a type 1 identity was made with this auth key; `None` for type 2, which says nothing of it. A "yes"
    /// proves nothing: identities can be replayed.
    pub fn fits_auth_key(&self, key: &AuthKey) -> Option<bool> {
        let hash = zeros_replaced(crypto::md5(&[key.expose()]));
        (self.kind == PskType::One).then(|| crypto::same(&self.bytes[AUTH_AT..], &hash))
    }

    /// The key of type 1, from the identity and the hint that the server sent.
    ///
    /// # Errors
    /// Type 2, or a hint shorter than 16 bytes.
    pub fn derive(&self, hint: &[u8]) -> Result<Psk, DeriveError> {
        if self.kind == PskType::Two {
            return Err(DeriveError::NotDerivable);
        }
        let Some(tail) = hint.last_chunk::<BLOCK>() else { return Err(DeriveError::ShortHint(hint.len())) };
        let iv = crypto::md5(&[&self.bytes[1..]]);
        let mut blocks = [[0; BLOCK]; 2];
        for (block, part) in blocks.iter_mut().zip(self.bytes[1..].chunks_exact(BLOCK)) {
            block.copy_from_slice(part);
        }
        Ecb::new(&crypto::md5(&[tail])).cbc_seal(&iv, &mut blocks);
        Ok(Psk(zeroize::Zeroizing::new(blocks.as_flattened().to_vec())))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hash of the auth key stays out of logs.
        write!(f, "Identity {{ kind: {:?}, device: {:?} }}", self.kind, self.device())
    }
}

/// Devices put `?` in the place of every zero: their TLS library handles the identity as a C string.
fn zeros_replaced<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    for b in &mut bytes {
        if *b == 0 {
            *b = b'?';
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth_key() -> AuthKey {
        AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").unwrap()
    }

    #[test]
    fn identities_say_whose_they_are() {
        // The MD5 of this uuid has a zero in it.
        for uuid in ["vt0a1b2c3d4e5f60", "vt00000000000011"] {
            let one = Identity::type_1(PREFIX_ESP8266, uuid, &auth_key());
            assert_eq!(Identity::parse(one.as_bytes()), Ok(one.clone()));
            assert_eq!(one.device(), DeviceHash::of(PskType::One, uuid));
            assert_eq!(one.fits_auth_key(&auth_key()), Some(true));
            assert_eq!(one.fits_auth_key(&AuthKey::new("x".repeat(32)).unwrap()), Some(false));
            let two = Identity::type_2(&[0; 16], uuid);
            assert_eq!(Identity::parse(two.as_bytes()), Ok(two.clone()));
            assert_eq!(two.device(), DeviceHash::of(PskType::Two, uuid));
            assert_eq!(two.fits_auth_key(&auth_key()), None);
            assert_eq!(two.derive(HINT.as_bytes()).unwrap_err(), DeriveError::NotDerivable);
            assert_ne!(one.device(), DeviceHash::of(PskType::One, "another"));
        }
    }

    #[test]
    fn what_is_no_identity_says_why() {
        let one = Identity::type_1(PREFIX_ESP8266, "vt0a1b2c3d4e5f60", &auth_key());
        for len in 1..LEN_1 {
            let e = IdentityError::Length { kind: 1, want: LEN_1, len };
            assert_eq!(Identity::parse(&one.as_bytes()[..len]), Err(e));
        }
        assert_eq!(Identity::parse(&[]), Err(IdentityError::Empty));
        assert_eq!(Identity::parse(&[3; 50]), Err(IdentityError::UnknownType(3)));
        assert_eq!(Identity::parse(b"Client_identity"), Err(IdentityError::UnknownType(b'C')));
        let mut zero = one.as_bytes().to_vec();
        zero[40] = 0;
        assert_eq!(Identity::parse(&zero), Err(IdentityError::ZeroByte(40)));
        assert_eq!(one.derive(b"short").unwrap_err(), DeriveError::ShortHint(5));
    }

    #[test]
    fn keys_do_not_print() {
        let one = Identity::type_1(PREFIX_ESP8266, "vt0a1b2c3d4e5f60", &auth_key());
        assert_eq!(format!("{:?}", one.derive(HINT.as_bytes()).unwrap()), "Psk(..)");
        let mut hash = String::new();
        crypto::hex_upper(&one.as_bytes()[AUTH_AT..], &mut hash);
        assert!(!format!("{one:?}").contains(&hash));
    }
}
