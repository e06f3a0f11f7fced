//! What the cloud asks of whoever keeps the devices. The book does so here ([`crate::book_backend`]); the hub may bring
//! its own.
//!
//! Looking up is immediate and never waits for a disk or a network: a backend keeps an index in memory. What changes
//! something is asynchronous and has been stored when it returns.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
pub use landfall_book::Timer;
pub use landfall_proto::gateway::Generation;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::gateway::firmware::Offer;
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, ProductId, PskKey, SecKey, Uuid};
use landfall_proto::mqtt::Envelope;
use landfall_proto::psk::DeviceHash;
use landfall_proto::schema::Schema;

/// The keys of one activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Cipher of MQTT and of the LAN.
    pub local: LocalKey,
    /// Cipher and signature of the gateway, password of MQTT. Unknown for devices that were adopted.
    pub sec: Option<SecKey>,
}

/// What is known of a device: a snapshot. `Debug` shows no key.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Device id. Of hardware that was never activated: its uuid, as text.
    ///
    /// A device that was activated anew has two registrations until it uses its new keys: the old id with the old keys,
    /// and the new id with nothing but pending ones. [`Self::is_same_device`] tells that they are one device.
    pub id: DeviceId,
    /// The owner's name for it.
    pub name: String,
    /// The hardware.
    pub uuid: Option<Uuid>,
    /// Its factory key, where known.
    pub auth_key: Option<AuthKey>,
    /// Its key for TLS-PSK type 2, where known.
    pub psk_key: Option<PskKey>,
    /// The keys in use. `None`: known hardware that was never activated, or whose keys nobody told us.
    pub keys: Option<Keys>,
    /// Keys that were handed out and not used yet. They replace `keys` at their first use ([`Backend::keys_used`]).
    pub pending: Option<Keys>,
    /// Of an adopted device whose sec key is unknown: whether its first password is pinned.
    pub pinned: bool,
    /// Product.
    pub product_id: Option<ProductId>,
    /// Its points; empty when unknown.
    pub schema: Arc<Schema>,
    /// The envelope that it announced or was seen to use.
    pub envelope: Option<Envelope>,
    /// Its generation, once seen.
    pub generation: Option<Generation>,
}

impl Registration {
    /// Whether two registrations are one device: the same hardware, or the same id.
    pub fn is_same_device(&self, other: &Self) -> bool {
        match (&self.uuid, &other.uuid) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.id == other.id,
        }
    }
}

/// A device that wants to be activated.
#[derive(Clone, Debug)]
pub struct ActivationAsk {
    /// What it calls itself: the device id on `/gw.json` (A, B: factory given), the uuid on `/d.json`.
    pub who: Identity,
    /// Whether the signature was checked with a known auth key. A wrong signature never comes this far.
    pub signed: bool,
    /// The product, when the body could be read.
    pub product_id: Option<ProductId>,
    /// The device id that the device says it had, when the body could be read.
    pub had_id: Option<DeviceId>,
    /// Generation.
    pub generation: Generation,
    /// Envelope that it announced (`protocolVer`, `pv`).
    pub envelope: Option<Envelope>,
    /// Where it asks from. Keys that were handed to an unsigned request are not told again to another address.
    pub peer: Option<IpAddr>,
}

/// Who asks, before an activation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A factory-given device id (generations A and B).
    Device(DeviceId),
    /// The hardware's uuid.
    Uuid(Uuid),
}

impl Identity {
    /// Its text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Device(id) => id.as_str(),
            Self::Uuid(uuid) => uuid.as_str(),
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an activation is not answered. Nothing of it is told to the device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActivationRefusal {
    /// No window is open, or one for another device.
    #[error("no window for activations is open; `landfall cloud allow --for 10m` opens one")]
    NoWindow,
    /// The device's auth key is known and it did not sign with it, where proof is demanded.
    #[error("the request is not signed with the auth key that we know")]
    Unsigned,
    /// Another address asked for the same device in this window and was given keys, and neither signed.
    #[error("another address was given keys for this device in this window")]
    Elsewhere,
    /// Too many devices were given keys and never used them.
    #[error("{0} devices were given keys and never used them; remove them from the book first")]
    Crowded(usize),
    /// The backend failed.
    #[error("{0}")]
    Backend(#[from] BackendError),
}

/// A change could not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BackendError {
    /// What failed and why, for people; no secrets.
    pub what: String,
}

/// Whose keys were used for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstUse {
    /// Those of a device that was known to have been given them.
    Expected,
    /// Those of a device that was told them shortly before the program was ended: it is taken in by them, and nothing
    /// else is known of it.
    Unentered,
}

/// What becomes of a password of a device whose sec key is unknown (cloud.md 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinOutcome {
    /// The first one: it is pinned from now on.
    Pinned,
    /// The pinned one.
    Fits,
    /// Another one: to be refused by closing, never by code 5.
    Differs,
}

/// The timers of a device, and when they changed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timers {
    /// We know nothing of its timers: it is told that nothing changed since it fetched last, so that it keeps its own
    /// (cloud.md 6.3).
    Kept,
    /// These, since this time (seconds since 1970).
    Set {
        /// The timers.
        timers: Vec<Timer>,
        /// When they were set.
        changed: u64,
    },
}

/// An image that the owner approved for a device. `Debug` shows no token.
#[derive(Clone)]
pub struct ApprovedImage {
    /// Channel (`type`): 0 main.
    pub kind: u32,
    /// Version told; higher than the installed one, at most 10 characters.
    pub version: String,
    /// The file's bytes.
    pub bytes: bytes::Bytes,
    /// The secret part of its URL: without it nobody downloads the file.
    pub token: String,
}

impl std::fmt::Debug for ApprovedImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ApprovedImage {{ kind: {}, version: {:?}, {} bytes, .. }}",
            self.kind,
            self.version,
            self.bytes.len()
        )
    }
}

/// What a device said of itself; stored, and never believed where a key says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Envelope seen or announced.
    pub envelope: Option<Envelope>,
    /// Generation seen.
    pub generation: Option<Generation>,
    /// Firmware version of the main channel.
    pub software: Option<String>,
}

/// Who keeps the devices.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The device with this id or former id.
    fn by_id(&self, id: &DeviceId) -> Option<Arc<Registration>>;

    /// The hardware with this uuid.
    fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<Registration>>;

    /// The device whose uuid or id has this hash, for PSK identities.
    fn by_hash(&self, hash: &DeviceHash) -> Option<Arc<Registration>>;

    /// All devices, by name.
    fn devices(&self) -> Vec<Arc<Registration>>;

    /// Until when (seconds since 1970) activations are answered for this identity; `None`: not at all.
    fn window(&self, who: &Identity) -> Option<u64>;

    /// Answers an activation inside the window: takes keys that are on disk, from the operating system's random source,
    /// keeps them as pending, and says what the device is told but for the time zone, which the cloud fills in. A repeated ask by
    /// the same device inside the window gets the same pending keys again: a device that lost the answer asks again
    /// (cloud.md 1.5), and both answers must work.
    async fn activate(
        &self,
        ask: ActivationAsk,
    ) -> Result<(Arc<Registration>, Activation), ActivationRefusal>;

    /// The pending keys of a device were used for the first time: they replace the old ones, which go into history.
    async fn keys_used(&self, id: &DeviceId) -> Result<FirstUse, BackendError>;

    /// Checks the password of a device whose sec key is unknown, pinning the first one.
    async fn pin(&self, id: &DeviceId, password: &[u8]) -> Result<PinOutcome, BackendError>;

    /// Keeps what a device said of itself. Stored soon, not at once.
    fn announce(&self, id: &DeviceId, what: Announcement);

    /// Stores what [`Self::announce`] kept back. For the end of the program.
    async fn flush(&self) -> Result<(), BackendError> {
        Ok(())
    }

    /// The timers of a device.
    fn timers(&self, id: &DeviceId) -> Timers;

    /// The image approved for a device and channel.
    fn image(&self, id: &DeviceId, kind: u32) -> Option<Arc<ApprovedImage>>;

    /// The image with this URL token, for downloads.
    fn image_by_token(&self, token: &str) -> Option<Arc<ApprovedImage>>;

    /// The schema text told to a device of this product at activation, and its id (at most 16 characters).
    fn schema_of(&self, product: Option<&ProductId>, device: Option<&DeviceId>) -> (String, String);

    /// Whether a person's MQTT client may log in: name and password as `landfall cloud user add` made them.
    fn person(&self, user: &str, password: &[u8]) -> bool;
}

/// An [`Offer`] needs this; re-exported for implementers.
pub type FirmwareOffer = Offer;
