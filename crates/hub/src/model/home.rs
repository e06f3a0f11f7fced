//! What API, bridges and the command ask of the hub.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use landfall_book::{Outcome as BookOutcome, Timer};
use landfall_cloud::control::Window;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;

use super::{CommandOptions, DeviceView, Ended, Problem};
use crate::bus::Bus;
use crate::console::Console;
use crate::store::Store;

/// A device to be added by hand.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// Device id.
    pub id: String,
    /// Name; the id where missing.
    pub name: Option<String>,
    /// Local key.
    pub key: Option<LocalKey>,
    /// Where it is.
    pub address: Option<IpAddr>,
    /// Port, if not 6668.
    pub port: Option<u16>,
    /// Protocol version.
    pub version: Option<Version>,
    /// Gateway, of a sub-device.
    pub parent: Option<DeviceId>,
    /// Id under the gateway.
    pub cid: Option<Cid>,
}

/// What to change of a device; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// New name.
    pub name: Option<String>,
    /// Room; an empty text takes it away.
    pub room: Option<String>,
    /// Local key; the old one goes into the history.
    pub key: Option<LocalKey>,
    /// Address.
    pub address: Option<IpAddr>,
    /// Protocol version.
    pub version: Option<Version>,
    /// Whether it sleeps.
    pub sleeper: Option<bool>,
    /// The owner's own definition.
    pub definition: Option<DefinitionEdit>,
}

/// What to change of the owner's own definition of a device.
#[derive(Clone, Debug)]
pub enum DefinitionEdit {
    /// All of it: TOML, or another form that is understood (see [`crate::profile`]); an empty text takes it away.
    Whole(String),
    /// One point; all else stays as the owner wrote it.
    Point {
        /// Its number.
        id: DpId,
        /// Fields of its `[[point]]`: `null` takes one back, what is missing stays. `None` takes back all of them.
        words: Option<serde_json::Map<String, serde_json::Value>>,
    },
}

/// Something found on the network, in the book or not.
#[derive(Clone, Debug)]
pub struct Found {
    /// Device id.
    pub id: DeviceId,
    /// Address.
    pub address: IpAddr,
    /// Protocol version, where told.
    pub version: Option<Version>,
    /// Product id, where told.
    pub product_id: Option<String>,
    /// Its name in the book, if it is there.
    pub name: Option<String>,
    /// What is missing before it can be used, in words; `None` when nothing is.
    pub missing: Option<String>,
}

/// Where somebody was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeardBy {
    /// On the LAN.
    Beacon,
    /// At the cloud.
    Cloud,
}

/// What a device lacks that is not in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Its local key.
    LocalKey,
    /// An activation window.
    Window,
    /// Its auth key.
    AuthKey,
    /// Its psk key.
    PskKey,
    /// That somebody puts it into pairing mode.
    Pairing,
}

/// Somebody who was heard lately and is not in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Device id, or the uuid of hardware that has none yet.
    pub id: String,
    /// Where it was heard last.
    pub address: Option<IpAddr>,
    /// LAN protocol version, where told.
    pub version: Option<Version>,
    /// Product id, where told.
    pub product_id: Option<String>,
    /// Where it was heard.
    pub seen_by: Vec<HeardBy>,
    /// When it was heard last, milliseconds since 1970.
    pub heard_ms: u64,
    /// What is missing before it can be used.
    pub missing: Missing,
    /// What to do, in words.
    pub hint: String,
}

/// What `doctor` says of a device.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Stable word.
    pub code: String,
    /// In words.
    pub text: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// The next step.
    pub next: String,
}

/// How the hub is.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct HubStatus {
    /// Program version.
    pub version: &'static str,
    /// Started, milliseconds since 1970.
    pub started_ms: u64,
    /// How many devices.
    pub devices: usize,
    /// How many of them can be had.
    pub available: usize,
    /// The store.
    pub store: crate::store::StoreStatus,
    /// Reports that were dropped because the inbox was full.
    pub inbox_dropped: u64,
    /// Where the cloud listens.
    pub cloud: Option<landfall_cloud::shared::Bound>,
    /// Calls of the cloud's gateway since the start, by action.
    #[serde(skip)]
    pub cloud_calls: Vec<(String, u64)>,
}

/// The hub as its doors see it. One real one, [`Hub`](crate::Hub), and one in memory for tests of the doors.
#[async_trait]
pub trait Home: Send + Sync + 'static {
    /// All devices, by name.
    fn devices(&self) -> Vec<Arc<DeviceView>>;

    /// One device, by id, former id or name.
    ///
    /// # Errors
    /// `device.unknown` with near names as the hint; `device.ambiguous`.
    fn device(&self, asked: &str) -> Result<Arc<DeviceView>, Problem>;

    /// Changes.
    fn bus(&self) -> &Arc<Bus>;

    /// What devices and hub say to each other.
    fn console(&self) -> &Console;

    /// The memory.
    fn store(&self) -> &Arc<dyn Store>;

    /// How the hub is.
    fn status(&self) -> HubStatus;

    /// Now, milliseconds since 1970 by the hub's clock.
    fn now_ms(&self) -> u64;

    /// The home's time zone.
    fn zone(&self) -> jiff::tz::TimeZone;

    /// The price of a kWh in thousandths of the currency, where one is set.
    fn price_milli(&self) -> Option<i64>;

    /// Sets points and waits for the outcome.
    ///
    /// # Errors
    /// It was not even tried: unknown device, a value that does not fit, no line at all, too many commands waiting.
    async fn set(&self, device: &DeviceId, dps: Dps, options: CommandOptions) -> Result<Arc<Ended>, Problem>;

    /// Has a device measure and report points; all when none are named.
    ///
    /// # Errors
    /// No line.
    async fn refresh(&self, device: &DeviceId, points: Vec<DpId>) -> Result<(), Problem>;

    /// Adds a device.
    ///
    /// # Errors
    /// Wrong id, taken name, the book can't be written.
    async fn add(&self, new: NewDevice) -> Result<Arc<DeviceView>, Problem>;

    /// Changes what is known of a device.
    ///
    /// # Errors
    /// Taken name, wrong definition or one of which no single point can be changed, the book can't be written.
    async fn edit(&self, device: &DeviceId, edit: Edit) -> Result<Arc<DeviceView>, Problem>;

    /// Removes a device. Its history stays until `forget`.
    ///
    /// # Errors
    /// Unknown, or the gateway of others; the book can't be written.
    async fn remove(&self, device: &DeviceId, forget: bool) -> Result<(), Problem>;

    /// Reads devices from another tool's file. `apply` false only says what would change.
    ///
    /// # Errors
    /// Not a format that is known; the book can't be written.
    async fn import(&self, text: &str, apply: bool) -> Result<Vec<BookOutcome>, Problem>;

    /// The local key, for an admin who asks for it.
    ///
    /// # Errors
    /// Unknown device.
    fn key(&self, device: &DeviceId) -> Result<Option<LocalKey>, Problem>;

    /// The owner's own definition of a device, as it was written, where there is one.
    fn own_definition(&self, device: &DeviceId) -> Option<String>;

    /// Listens and asks on the network for a while.
    ///
    /// # Errors
    /// Another scan is running; no interface.
    async fn scan(&self) -> Result<Vec<Found>, Problem>;

    /// Who was heard lately, by beacon or at the cloud, and is not in the book; who was heard last first.
    fn strangers(&self) -> Vec<Stranger>;

    /// Examines a device.
    ///
    /// # Errors
    /// Unknown device.
    async fn doctor(&self, device: &DeviceId) -> Result<Verdict, Problem>;

    /// Open activation windows.
    fn windows(&self) -> Vec<Window>;

    /// Answers activations for a while.
    ///
    /// # Errors
    /// The cloud is off.
    fn open_window(&self, window: Window) -> Result<(), Problem>;

    /// Answers no more activations.
    fn close_windows(&self);

    /// Timers kept in the device, and its firmware questions, handshake and the like: what the cloud knows, as JSON
    /// without secrets; `None` when it was never seen there.
    fn cloud_side(&self, device: &DeviceId) -> Option<serde_json::Value>;

    /// Gives a device timers; `None` leaves it its own.
    ///
    /// # Errors
    /// Wrong timers; the book can't be written.
    async fn set_timers(&self, device: &DeviceId, timers: Option<Vec<Timer>>) -> Result<(), Problem>;

    /// Whether a person's MQTT name and password are right, for doors that ask.
    fn person(&self, name: &str, password: &[u8]) -> bool;

    /// Writes copies of book and history into an empty directory, while running: all that a restore needs. The files are
    /// 0600. Tells what was written.
    ///
    /// # Errors
    /// The disk; a database that is backed up by its own tools.
    async fn back_up(&self, dir: &std::path::Path) -> Result<Vec<std::path::PathBuf>, Problem>;
}
