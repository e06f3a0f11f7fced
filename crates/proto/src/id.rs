//! Names and keys of devices, as newtypes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing in it.
    #[error("{what} is empty")]
    Empty {
        /// Which identifier.
        what: &'static str,
    },
    /// Longer than any real one.
    #[error("{what} has {len} characters, more than {max}")]
    TooLong {
        /// Which identifier.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A character that no real one holds.
    #[error("{what} {text:?} holds the character {bad:?}; letters, digits and . : _ - are allowed")]
    BadCharacter {
        /// Which identifier.
        what: &'static str,
        /// The whole text.
        text: String,
        /// The first offending character.
        bad: char,
    },
}

/// Why a text is no local key. The text itself is never part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Local keys are 16 bytes.
    #[error("a local key has 16 bytes, this one has {0}")]
    Length(usize),
    /// Printable ASCII only (lan.md 0.2).
    #[error("a local key is printable ASCII; byte {0} of this one is not")]
    NotAscii(usize),
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and takes the text.
            ///
            /// # Errors
            /// Empty, too long, or a character outside `[A-Za-z0-9._:-]`.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                if text.is_empty() {
                    return Err(IdError::Empty { what: $what });
                }
                if text.len() > $max {
                    return Err(IdError::TooLong { what: $what, len: text.len(), max: $max });
                }
                if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._:-".contains(*c))) {
                    return Err(IdError::BadCharacter { what: $what, text: text.to_owned(), bad });
                }
                Ok(Self(text.into()))
            }

            /// The text as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                Self::new(s)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(s: String) -> Result<Self, IdError> {
                Self::new(s)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// A device id (`gwId`, `devId`): 20 or 22 characters on real devices (lan.md 6.3).
    DeviceId, "device id", 64
);
text_id!(
    /// The node id of a sub-device behind a gateway, a Zigbee address for instance (lan.md 3.9).
    Cid, "cid", 64
);
text_id!(
    /// A product id (`productKey`).
    ProductId, "product id", 64
);
text_id!(
    /// A hardware id, which survives every pairing.
    Uuid, "uuid", 64
);

/// The 16 bytes of text that a device got at its pairing. Printed as `LocalKey(..)`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct LocalKey([u8; 16]);

impl LocalKey {
    /// Takes the key as text. It is never URL- or HTML-decoded: since 2023 it may hold any printable ASCII (lan.md 0.2).
    ///
    /// # Errors
    /// Not 16 bytes, or not printable ASCII.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let text = text.as_ref();
        let bytes: [u8; 16] = text.try_into().map_err(|_| KeyError::Length(text.len()))?;
        match bytes.iter().position(|b| !(0x20..0x7f).contains(b)) {
            Some(at) => Err(KeyError::NotAscii(at)),
            None => Ok(Self(bytes)),
        }
    }

    /// The secret itself, for ciphers and for files that are allowed to hold it.
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// The secret as text, for files that are allowed to hold it.
    pub fn expose_str(&self) -> &str {
        // `new` admits ASCII only.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey(..)")
    }
}

impl Drop for LocalKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a text is no key of the cloud side. The text itself is never part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CloudKeyError {
    /// Another length than keys of this kind have (cloud.md 0.2).
    #[error("{what} has {takes} characters, this one has {len}")]
    Length {
        /// Which kind of key, with its article.
        what: &'static str,
        /// The lengths that exist.
        takes: &'static str,
        /// The length given.
        len: usize,
    },
    /// Printable ASCII only (cloud.md 0.2).
    #[error("{what} is printable ASCII; character {at} of this one is not")]
    NotAscii {
        /// Which kind of key, with its article.
        what: &'static str,
        /// Where the first other byte stands.
        at: usize,
    },
}

macro_rules! cloud_key {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min:literal..=$max:literal, $takes:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Box<[u8]>);

        impl $name {
            /// Checks and takes the characters. Nothing is ever decoded (cloud.md 0.2).
            ///
            /// # Errors
            /// Another length than these keys have, or not printable ASCII.
            pub fn new(text: impl AsRef<[u8]>) -> Result<Self, CloudKeyError> {
                let text = text.as_ref();
                if !($min..=$max).contains(&text.len()) {
                    return Err(CloudKeyError::Length { what: $what, takes: $takes, len: text.len() });
                }
                match text.iter().position(|b| !(0x20..0x7f).contains(b)) {
                    Some(at) => Err(CloudKeyError::NotAscii { what: $what, at }),
                    None => Ok(Self(text.into())),
                }
            }

            /// The secret itself, for ciphers and for files that are allowed to hold it.
            pub fn expose(&self) -> &[u8] {
                &self.0
            }

            /// The secret as text, for files and messages that are allowed to hold it.
            pub fn expose_str(&self) -> &str {
                // `new` admits ASCII only.
                std::str::from_utf8(&self.0).unwrap_or("")
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                crate::crypto::same(&self.0, &other.0)
            }
        }
        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }
    };
}

cloud_key!(
    /// The key that a device got at its activation for the HTTP gateway, its MQTT password and firmware checks
    /// (`secKey`). Printed as `SecKey(..)`, wiped when dropped.
    SecKey, "a sec key", 16..=16, "16"
);
cloud_key!(
    /// The key that a device left the factory with (`authKey`): it signs and enciphers what goes before the activation.
    /// 32 characters; tuya-cloudcutter writes 16 into devices that it cuts. Printed as `AuthKey(..)`, wiped when dropped.
    AuthKey, "an auth key", 16..=32, "16 to 32"
);
cloud_key!(
    /// The key of TLS-PSK type 2 (`pskKey`): 37 characters, on some hardware others. The words `NA` and nothing at all,
    /// which stand for "none" on the wire, are no keys. Printed as `PskKey(..)`, wiped when dropped.
    PskKey, "a psk key", 16..=64, "16 to 64"
);

impl SecKey {
    /// All its characters, as the cipher's key.
    pub fn cipher_key(&self) -> [u8; 16] {
        cipher_key(&self.0)
    }
}

impl AuthKey {
    /// Its first 16 characters, the cipher's key (cloud.md 0.2).
    pub fn cipher_key(&self) -> [u8; 16] {
        cipher_key(&self.0)
    }
}

fn cipher_key(text: &[u8]) -> [u8; 16] {
    // Both kinds have 16 characters at least.
    let mut key = [0; 16];
    key.copy_from_slice(&text[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_never_print() {
        let key = LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap();
        assert_eq!(format!("{key:?}"), "LocalKey(..)");
        assert_eq!(key.expose_str(), "Kx7$v9Qm2#Lp4&Rz");
    }

    #[test]
    fn keys_are_checked() {
        assert_eq!(LocalKey::new("short"), Err(KeyError::Length(5)));
        assert_eq!(LocalKey::new("0123456789abcde\n"), Err(KeyError::NotAscii(15)));
        assert!(!KeyError::Length(5).to_string().contains("short"));
    }

    #[test]
    fn ids_are_checked() {
        assert!(DeviceId::new("bf0123456789abcdefvx01").is_ok());
        assert!(matches!(DeviceId::new(""), Err(IdError::Empty { .. })));
        assert!(matches!(DeviceId::new("a b"), Err(IdError::BadCharacter { bad: ' ', .. })));
        assert!(matches!(DeviceId::new("x".repeat(65)), Err(IdError::TooLong { len: 65, .. })));
    }

    #[test]
    fn cloud_keys_are_checked_and_never_print() {
        let auth = AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").unwrap();
        let sec = SecKey::new("5ec0123456789abc").unwrap();
        let psk = PskKey::new("Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr").unwrap();
        assert_eq!(format!("{auth:?} {sec:?} {psk:?}"), "AuthKey(..) SecKey(..) PskKey(..)");
        assert_eq!(auth.cipher_key(), *b"Abcdefgh01234567");
        assert_eq!(sec.cipher_key(), *b"5ec0123456789abc");
        assert_eq!(
            SecKey::new("5ec").unwrap_err().to_string(),
            "a sec key has 16 characters, this one has 3"
        );
        assert_eq!(
            AuthKey::new("Abcdefgh01234567Ijklmnop89abcde\0"),
            Err(CloudKeyError::NotAscii { what: "an auth key", at: 31 })
        );
        assert!(
            PskKey::new("NA").is_err() && PskKey::new("").is_err() && PskKey::new("x".repeat(65)).is_err()
        );
        assert_ne!(sec, SecKey::new("5ec0123456789abd").unwrap());
    }
}
