//! Keys as text, in files that may hold them.

use std::fmt;

use landfall_proto::id::{AuthKey, LocalKey, PskKey, SecKey};
use serde::{Deserialize, Deserializer, Serializer};

/// A key that a file holds as text. The text is never part of an error.
pub(crate) trait Secret: Sized {
    /// The key's characters.
    fn text(&self) -> &str;
    /// Takes the characters.
    fn read(text: &str) -> Result<Self, impl fmt::Display>;
}

macro_rules! secret {
    ($($key:ident)*) => {$(
        impl Secret for $key {
            fn text(&self) -> &str {
                self.expose_str()
            }
            fn read(text: &str) -> Result<Self, impl fmt::Display> {
                Self::new(text)
            }
        }
    )*};
}

secret!(LocalKey SecKey AuthKey PskKey);

pub(crate) fn serialize<K: Secret, S: Serializer>(key: &K, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(key.text())
}

pub(crate) fn deserialize<'de, K: Secret, D: Deserializer<'de>>(d: D) -> Result<K, D::Error> {
    K::read(&String::deserialize(d)?).map_err(serde::de::Error::custom)
}

/// The same for a key that may be missing.
pub(crate) mod optional {
    use super::{Deserializer, Secret, Serializer};

    #[allow(clippy::ref_option)] // serde's signature
    pub(crate) fn serialize<K: Secret, S: Serializer>(key: &Option<K>, s: S) -> Result<S::Ok, S::Error> {
        match key {
            Some(key) => s.serialize_some(key.text()),
            None => s.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, K: Secret, D: Deserializer<'de>>(d: D) -> Result<Option<K>, D::Error> {
        super::deserialize(d).map(Some)
    }
}
