//! People whose MQTT clients may log in, and hardware that has no registration yet.

use landfall_proto::id::{AuthKey, PskKey, Uuid};
use serde::{Deserialize, Serialize};

use crate::book::{Book, BookError};
use crate::digest::Digest;
use crate::secret_text;
use crate::shared::Shared;

/// Longest name of a person.
pub const MAX_PERSON: usize = 64;
/// More people, or pieces of hardware, than any home has.
pub const MAX_LISTED: usize = 10_000;

/// A person, or a program of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// MQTT user name.
    pub name: String,
    /// What is kept of the password.
    pub password: Digest,
    /// Since when, seconds since 1970-01-01 UTC.
    pub since: u64,
}

/// Why a text is no user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// Nothing in it, or too long.
    #[error("a user name has 1 to {MAX_PERSON} characters, this one has {0}")]
    Length(usize),
    /// A character that has a meaning elsewhere.
    #[error("the user name holds {0:?}; letters, digits and . _ - @ are allowed")]
    Character(char),
    /// Devices log in so.
    #[error("user names that start with {0:?} belong to devices")]
    Reserved(&'static str),
    /// A device has this id.
    #[error("{0:?} is the id of a device")]
    Device(String),
    /// There is one already.
    #[error("there is a user {0:?} already")]
    Taken(String),
}

/// Hardware that was never activated here, of which factory keys are known: from a flash dump, say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hardware {
    /// Its number, which survives every activation.
    pub uuid: Uuid,
    /// The owner's name for it, which it takes over when it is activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It signs what goes before the activation.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub auth_key: Option<AuthKey>,
    /// TLS-PSK type 2.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub psk_key: Option<PskKey>,
}

impl Book {
    /// The people.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// Adds a person.
    ///
    /// # Errors
    /// Not a name, or a name that somebody or some device has.
    pub fn add_person(&mut self, person: Person) -> Result<(), BookError> {
        let name = &person.name;
        let length = name.chars().count();
        if !(1..=MAX_PERSON).contains(&length) {
            return Err(PersonError::Length(length).into());
        }
        if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-@".contains(*c))) {
            return Err(PersonError::Character(bad).into());
        }
        // MQTT client ids and user names of devices (cloud.md 4.2).
        for prefix in ["acon_", "tuyalink_"] {
            if name.starts_with(prefix) {
                return Err(PersonError::Reserved(prefix).into());
            }
        }
        if self.devices().iter().any(|d| d.ids().any(|id| id.as_str() == name)) {
            return Err(PersonError::Device(name.clone()).into());
        }
        if self.people.iter().any(|p| p.name == *name) {
            return Err(PersonError::Taken(name.clone()).into());
        }
        if self.people.len() >= MAX_LISTED {
            return Err(BookError::Full(MAX_LISTED));
        }
        self.people.push(person);
        Ok(())
    }

    /// Takes a person out. Returns whether there was one of this name.
    pub fn remove_person(&mut self, name: &str) -> bool {
        let before = self.people.len();
        self.people.retain(|p| p.name != name);
        self.people.len() != before
    }

    /// Hardware without a registration.
    pub fn hardware(&self) -> &[Shared<Hardware>] {
        &self.hardware
    }

    /// Takes in hardware of which factory keys are known. Where a device of the book has this uuid already, the keys go
    /// to that device. What is not given stays as it was.
    ///
    /// # Errors
    /// More hardware than any home has, or a uuid that several devices claim.
    pub fn add_hardware(&mut self, new: Hardware) -> Result<(), BookError> {
        if let Some(device) = self.only_by_uuid_mut(&new.uuid)? {
            let side = &mut device.cloud;
            side.auth_key = new.auth_key.or(side.auth_key.take());
            side.psk_key = new.psk_key.or(side.psk_key.take());
            return Ok(());
        }
        if let Some(known) = self.hardware.own().iter_mut().find(|h| h.uuid == new.uuid) {
            let known = known.own();
            known.name = new.name.or(known.name.take());
            known.auth_key = new.auth_key.or(known.auth_key.take());
            known.psk_key = new.psk_key.or(known.psk_key.take());
            return Ok(());
        }
        if self.hardware.len() >= MAX_LISTED {
            return Err(BookError::Full(MAX_LISTED));
        }
        self.hardware.own().push(Shared::new(new));
        Ok(())
    }

    /// Hardware that has become a device of the book by an import gives its keys to that device.
    pub(crate) fn settle_hardware(&mut self) {
        for known in std::mem::take(self.hardware.own()) {
            if let Ok(Some(device)) = self.only_by_uuid_mut(&known.uuid) {
                let side = &mut device.cloud;
                side.auth_key = side.auth_key.take().or_else(|| known.auth_key.clone());
                side.psk_key = side.psk_key.take().or_else(|| known.psk_key.clone());
            } else {
                self.hardware.own().push(known);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::digest::SALT;
    use landfall_proto::id::DeviceId;

    fn person(name: &str) -> Person {
        Person { name: name.to_owned(), password: Digest::new([1; SALT], b"x"), since: 5 }
    }

    #[test]
    fn people_have_names_that_no_device_has() {
        let mut book = Book::new();
        book.add(Device::new(DeviceId::new("bf01").unwrap(), "Plug")).unwrap();
        book.add_person(person("nodered")).unwrap();
        let text = |book: &mut Book, name: &str| book.add_person(person(name)).unwrap_err().to_string();
        assert_eq!(text(&mut book, "nodered"), "there is a user \"nodered\" already");
        assert_eq!(text(&mut book, "bf01"), "\"bf01\" is the id of a device");
        assert_eq!(text(&mut book, "acon_x"), "user names that start with \"acon_\" belong to devices");
        assert_eq!(
            text(&mut book, "a/b"),
            "the user name holds '/'; letters, digits and . _ - @ are allowed"
        );
        assert_eq!(text(&mut book, ""), "a user name has 1 to 64 characters, this one has 0");
        assert!(book.remove_person("nodered") && !book.remove_person("nodered"));
    }

    #[test]
    fn keys_of_hardware_go_to_its_device_where_there_is_one() {
        let uuid = Uuid::new("vt0a1b2c3d4e5f60").unwrap();
        let auth_key = AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").ok();
        let hardware = Hardware { uuid: uuid.clone(), name: None, auth_key: auth_key.clone(), psk_key: None };
        let mut book = Book::new();
        book.add_hardware(hardware.clone()).unwrap();
        book.add_hardware(Hardware { name: Some("Lamp".into()), auth_key: None, ..hardware.clone() })
            .unwrap();
        assert_eq!(book.hardware(), [Hardware { name: Some("Lamp".into()), ..hardware.clone() }]);
        let mut home = Book::new();
        let mut plug = Device::new(DeviceId::new("bf01").unwrap(), "Plug");
        plug.uuid = Some(uuid);
        home.add(plug).unwrap();
        home.add_hardware(hardware).unwrap();
        assert!(home.hardware().is_empty());
        assert_eq!(home.devices()[0].cloud.auth_key, auth_key);
    }
}
