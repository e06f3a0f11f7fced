//! How devices log in (cloud.md 4.2): client ids, user names, passwords.
//!
//! The password depends on the key alone and never changes, so whoever read one can log in for good; over plain MQTT
//! it stands in clear.

use std::fmt;

use super::{Envelope, Topic};
use crate::crypto::{self, MacKey};
use crate::id::{AuthKey, DeviceId, IdError, SecKey, Uuid};

/// Before the uuid of a device that waits for its activation.
const ACTIVATION: &str = "acon_";
/// Before the id of a TuyaLink device.
const TUYALINK: &str = "tuyalink_";
/// Before the envelope that a device announces in its user name.
const ANNOUNCED: &str = "|pv=";
/// The settings in a TuyaLink login that never change.
const TUYALINK_MODE: &str = "secureMode=1,accessType=1";

/// Who a client says it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientId {
    /// An activated device; password from its sec key.
    Device(DeviceId),
    /// A device that waits for its activation; password from its auth key.
    Activation(Uuid),
    /// A device of the TuyaLink kind; password from its device secret.
    TuyaLink(DeviceId),
}

impl ClientId {
    /// Reads a client id.
    ///
    /// # Errors
    /// Empty, too long, or a character that no id holds.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if let Some(uuid) = text.strip_prefix(ACTIVATION) {
            return Uuid::new(uuid).map(Self::Activation);
        }
        // `_` is no part of real device ids.
        if let Some(id) = text.strip_prefix(TUYALINK) {
            return DeviceId::new(id).map(Self::TuyaLink);
        }
        DeviceId::new(text).map(Self::Device)
    }

    /// Whether a topic is this client's own. No client may use another's.
    pub fn owns(&self, topic: &Topic) -> bool {
        match self {
            Self::Device(id) => topic.device() == Some(id),
            Self::Activation(uuid) => topic.uuid() == Some(uuid),
            Self::TuyaLink(_) => false,
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => fmt::Display::fmt(id, f),
            Self::Activation(uuid) => write!(f, "{ACTIVATION}{uuid}"),
            Self::TuyaLink(id) => write!(f, "{TUYALINK}{id}"),
        }
    }
}

/// An MQTT password. Never printed.
#[derive(Clone)]
pub struct Password(Box<str>);

impl Password {
    /// Of an activated device: characters 8 to 23 of hex MD5(sec key).
    pub fn of_device(key: &SecKey) -> Self {
        Self::middle(key.expose())
    }

    /// Of a device that waits for its activation: the same of the auth key, all 32 characters.
    pub fn of_activation(key: &AuthKey) -> Self {
        Self::middle(key.expose())
    }

    /// Of a TuyaLink device.
    pub fn of_tuyalink(id: &DeviceId, device_secret: &[u8], timestamp: u64) -> Self {
        let text = format!("deviceId={id},timestamp={timestamp},{TUYALINK_MODE}");
        let code: [u8; 64] = crypto::hex(&MacKey::of_text(device_secret).code(text.as_bytes()));
        Self(String::from_utf8_lossy(&code).into())
    }

    fn middle(key: &[u8]) -> Self {
        Self(String::from_utf8_lossy(&crypto::md5_middle(&[key])).into())
    }

    /// Whether a client gave this password, in constant time.
    pub fn fits(&self, given: &[u8]) -> bool {
        crypto::same(self.0.as_bytes(), given)
    }

    /// The password, for the CONNECT of a virtual device.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What a device puts into its CONNECT, and the topics it then uses.
#[derive(Clone, Debug)]
pub struct Login {
    /// Client id.
    pub client_id: ClientId,
    /// User name. A server should not look at it (cloud.md 4.2), except for [`announced`].
    pub user_name: String,
    /// Password.
    pub password: Password,
    /// What it subscribes first.
    pub subscribe: Option<Topic>,
    /// Where it reports.
    pub publish: Option<Topic>,
}

impl Login {
    /// Of an activated device.
    pub fn device(id: &DeviceId, key: &SecKey) -> Self {
        Self {
            client_id: ClientId::Device(id.clone()),
            user_name: id.to_string(),
            password: Password::of_device(key),
            subscribe: Some(Topic::In(id.clone())),
            publish: Some(Topic::Out(id.clone())),
        }
    }

    /// Of a device that waits for its activation. Generation E announces its envelope, the others none.
    pub fn activation(uuid: &Uuid, key: &AuthKey, announce: Option<Envelope>) -> Self {
        let client_id = ClientId::Activation(uuid.clone());
        let user_name = match announce {
            Some(envelope) => format!("{client_id}{ANNOUNCED}{envelope}"),
            None => client_id.to_string(),
        };
        Self {
            client_id,
            user_name,
            password: Password::of_activation(key),
            subscribe: Some(Topic::Activation(uuid.clone())),
            publish: None,
        }
    }

    /// Of a TuyaLink device, whose topics are others. `timestamp`: seconds since 1970.
    pub fn tuyalink(id: &DeviceId, device_secret: &[u8], timestamp: u64) -> Self {
        Self {
            client_id: ClientId::TuyaLink(id.clone()),
            user_name: format!("{id}|signMethod=hmacSha256,timestamp={timestamp},{TUYALINK_MODE}"),
            password: Password::of_tuyalink(id, device_secret, timestamp),
            subscribe: None,
            publish: None,
        }
    }
}

/// The envelope that a user name announces (`|pv=2.3`).
pub fn announced(user_name: &str) -> Option<Envelope> {
    user_name.rsplit_once(ANNOUNCED).and_then(|(_, version)| Envelope::named(version))
}

/// The timestamp in the user name of a TuyaLink device, needed to check its password.
pub fn tuyalink_timestamp(user_name: &str) -> Option<u64> {
    let (_, settings) = user_name.split_once('|')?;
    settings.split(',').find_map(|s| s.strip_prefix("timestamp="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_read_back_and_own_their_topics_only() {
        let mine = DeviceId::new("bf00112233445566778899").unwrap();
        let uuid = Uuid::new("vt0a1b2c3d4e5f60").unwrap();
        for id in [
            ClientId::Device(mine.clone()),
            ClientId::Activation(uuid.clone()),
            ClientId::TuyaLink(mine.clone()),
        ] {
            assert_eq!(ClientId::parse(&id.to_string()), Ok(id.clone()));
        }
        let client = ClientId::Device(mine.clone());
        assert!(client.owns(&Topic::In(mine.clone())) && client.owns(&Topic::RpcRequest(mine)));
        assert!(!client.owns(&Topic::In(DeviceId::new("bf00112233445566778898").unwrap())));
        assert!(!client.owns(&Topic::Activation(uuid.clone())));
        // A device that takes the id of another's uuid gets no device topics by it.
        let waiting = ClientId::Activation(uuid);
        assert!(!waiting.owns(&Topic::In(DeviceId::new("vt0a1b2c3d4e5f60").unwrap())));
        assert!(
            ClientId::parse("").is_err()
                && ClientId::parse("acon_").is_err()
                && ClientId::parse("a/b").is_err()
        );
    }

    #[test]
    fn user_names_announce_an_envelope_or_not() {
        assert_eq!(announced("acon_vt0a|pv=2.3"), Some(Envelope::V2_3));
        assert_eq!(announced("acon_vt0a|pv=9"), None);
        assert_eq!(announced("acon_vt0a"), None);
        assert_eq!(tuyalink_timestamp("bf|signMethod=hmacSha256,timestamp=16,secureMode=1"), Some(16));
        assert_eq!(tuyalink_timestamp("bf|signMethod=hmacSha256"), None);
    }

    #[test]
    fn passwords_do_not_print() {
        let password = Password::of_device(&SecKey::new("5ec0123456789abc").unwrap());
        assert_eq!(format!("{password:?}"), "Password(..)");
        assert!(
            password.fits(b"a79450a06a9c39d5") && !password.fits(b"a79450a06a9c39d") && !password.fits(b"")
        );
    }
}
