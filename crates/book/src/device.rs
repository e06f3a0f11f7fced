//! One device of the book.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use landfall_proto::id::{Cid, DeviceId, LocalKey, ProductId, SecKey, Uuid};
use landfall_proto::lan::{TCP_PORT, Version};
use landfall_proto::schema::Schema;
use landfall_proto::schema_text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cloud_side::CloudSide;
use crate::mapping::Mapping;
use crate::secret_text;

/// Longest name in bytes; the vendor's app stops far below.
pub const MAX_NAME: usize = 256;

/// Why a text can't be a device's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or spaces only.
    #[error("a name can't be empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("the name has {0} bytes, more than {MAX_NAME}")]
    TooLong(usize),
    /// A line break, an escape... would garble tables and logs.
    #[error("the name holds the control character {0:?}")]
    Control(char),
    /// Another device has it, as its name or its id.
    #[error("the name {name:?} belongs to {owner} already")]
    Taken {
        /// The name wanted.
        name: String,
        /// The id of the device that has it.
        owner: DeviceId,
    },
}

/// The name as it is kept: without spaces around it.
///
/// # Errors
/// Empty, too long, or with control characters.
pub fn checked_name(text: &str) -> Result<String, NameError> {
    let name = text.trim();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong(name.len()));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => Err(NameError::Control(c)),
        None => Ok(name.to_owned()),
    }
}

/// A key that a device had before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastKey {
    /// The key.
    #[serde(with = "secret_text")]
    pub key: LocalKey,
    /// The sec key that went with it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub sec: Option<SecKey>,
    /// When another took its place, in seconds since 1970-01-01 UTC.
    pub replaced: u64,
}

/// What we know of a device. `Debug` shows no key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its registration, the id it announces (`gwId`).
    pub id: DeviceId,
    /// The owner's name for it; unique in a book whatever the case of the letters.
    pub name: String,
    /// The name that an import brought, where it is not the one in use: an import that brings it again changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_name: Option<String>,
    /// Its local key. A sub-device talks under its gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub key: Option<LocalKey>,
    /// Keys it had before, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_history: Vec<PastKey>,
    /// Ids it had before; a new pairing gives a new id to the same hardware.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<DeviceId>,
    /// The hardware's id, which survives every pairing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<ProductId>,
    /// The product's name as the maker wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_name: Option<String>,
    /// The vendor's category: `cz` a plug, `dj` a light...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// LAN protocol version, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Where it was last. A hint: a device is known by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its TCP port, where it is not 6668 (virtual devices).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Hardware address. A hint, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Of a sub-device: its gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<DeviceId>,
    /// Of a sub-device: its node id behind the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    /// It runs on a battery and is hardly ever reachable: it dials out and sleeps.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sleeper: bool,
    /// The owner chose device22 queries for it (lan.md 5.5: some devices execute the nulls in them).
    #[serde(default, skip_serializing_if = "is_false")]
    pub device22: bool,
    /// What its data points are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// What the stand-in cloud keeps of it.
    #[serde(default, skip_serializing_if = "CloudSide::is_empty")]
    pub cloud: CloudSide,
    /// Fields of imported files that mean nothing to us, kept for the tools that wrote them (icon, model, biz_type...).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl Device {
    /// A device of which nothing is known but id and name.
    pub fn new(id: DeviceId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            imported_name: None,
            key: None,
            key_history: Vec::new(),
            aliases: Vec::new(),
            uuid: None,
            product_id: None,
            product_name: None,
            category: None,
            version: None,
            address: None,
            port: None,
            mac: None,
            parent: None,
            cid: None,
            sleeper: false,
            device22: false,
            mapping: None,
            cloud: CloudSide::default(),
            extra: Map::new(),
        }
    }

    /// Address and port, when the address is known.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        self.address.map(|ip| SocketAddr::new(ip, self.port.unwrap_or(TCP_PORT)))
    }

    /// True for a device behind a gateway.
    pub fn is_sub_device(&self) -> bool {
        self.cid.is_some()
    }

    /// Its id and its former ones.
    pub fn ids(&self) -> impl Iterator<Item = &DeviceId> {
        std::iter::once(&self.id).chain(&self.aliases)
    }

    /// What is known of its points: what the owner's files say, else what it was told at its activation; empty when
    /// nothing is.
    pub fn schema(&self) -> Schema {
        if let Some(mapping) = &self.mapping {
            return mapping.schema().clone();
        }
        let told = self.cloud.told.as_ref().filter(|t| !t.guess);
        told.and_then(|t| schema_text::parse(&t.text).ok()).map(|read| read.schema).unwrap_or_default()
    }

    /// Takes another local key, of which no sec key is known unless it is a former one; the keys in use go to the
    /// history. Returns whether anything changed.
    pub fn change_key(&mut self, key: LocalKey, now: u64) -> bool {
        self.change_keys(key, None, now)
    }

    /// Takes other keys; those in use go to the history. Returns whether anything changed.
    pub fn change_keys(&mut self, key: LocalKey, sec: Option<SecKey>, now: u64) -> bool {
        if self.key.as_ref() == Some(&key) {
            let new = sec.is_some() && self.cloud.sec_key != sec;
            if new {
                self.cloud.sec_key = sec;
                // The password follows from the sec key.
                self.cloud.pinned = None;
            }
            return new;
        }
        // A key that came back is no longer a past one.
        let back = self.key_history.iter().find(|p| p.key == key).and_then(|p| p.sec.clone());
        self.key_history.retain(|p| p.key != key);
        let old_sec = std::mem::replace(&mut self.cloud.sec_key, sec.or(back));
        if let Some(old) = self.key.replace(key) {
            self.key_history.push(PastKey { key: old, sec: old_sec, replaced: now });
        }
        // It belongs to the old keys.
        self.cloud.pinned = None;
        true
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(b: &bool) -> bool {
    !*b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_key_goes_to_the_history_once() {
        let key = |c: &str| LocalKey::new(c.repeat(16)).unwrap();
        let mut d = Device::new(DeviceId::new("bf01").unwrap(), "Plug");
        assert!(d.change_key(key("a"), 1));
        assert!(d.key_history.is_empty());
        assert!(!d.change_key(key("a"), 2));
        assert!(d.change_key(key("b"), 3));
        assert_eq!(d.key_history, [PastKey { key: key("a"), sec: None, replaced: 3 }]);
        assert!(d.change_key(key("a"), 4));
        assert_eq!(d.key_history, [PastKey { key: key("b"), sec: None, replaced: 4 }]);
        assert!(!format!("{d:?}").contains("aaaa"));
        assert!(!format!("{d:?}").contains("bbbb"));
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(checked_name("  Kitchen / left "), Ok("Kitchen / left".to_owned()));
        assert_eq!(checked_name(" \t"), Err(NameError::Empty));
        assert_eq!(checked_name("a\u{1b}[31mb"), Err(NameError::Control('\u{1b}')));
        assert_eq!(checked_name(&"x".repeat(257)), Err(NameError::TooLong(257)));
    }
}
