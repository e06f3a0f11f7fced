//! The hub's settings: one TOML file in which every field has a default.
//!
//! Precedence: `--set SECTION.KEY=VALUE`, the variable `LANDFALL_SECTION_KEY`, the file, the default. Secrets are never
//! part of it: a field that ends in `_file` names the file that holds one.

mod document;
mod read;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use landfall_cloud::config::{Advertise, Listen};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use document::DEFAULT;
pub use read::{SettingsError, read};

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The home.
    pub home: HomeSettings,
    /// The page and the API.
    pub page: PageSettings,
    /// The connections that the hub opens to devices.
    pub lan: LanSettings,
    /// The cloud that devices look for.
    pub cloud: CloudSettings,
    /// History.
    pub store: StoreSettings,
    /// MQTT for people.
    pub mqtt: MqttSettings,
}

/// `[home]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HomeSettings {
    /// Its name.
    pub name: String,
    /// Time zone (`Europe/Berlin`) that rules days, months, tariffs and timers; empty: this machine's.
    pub time_zone: String,
    /// Price of a kWh; 0: none.
    pub price: f64,
    /// Its currency, for people.
    pub currency: String,
    /// How long a device may be gone before it is called offline.
    pub grace: Span,
}

impl Default for HomeSettings {
    fn default() -> Self {
        Self {
            name: "Home".to_owned(),
            time_zone: String::new(),
            price: 0.0,
            currency: "EUR".to_owned(),
            grace: Span::seconds(20),
        }
    }
}

/// `[page]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PageSettings {
    /// Where page and API listen.
    pub listen: Address,
    /// Encryption: `off`, `own` (by Landfall's own authority) or `files`.
    pub tls: PageTls,
    /// With `files`: the certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// With `files`: its key, PEM.
    pub key_file: PathBuf,
    /// A proxy in front of it encrypts.
    pub behind_proxy: bool,
    /// Names by which browsers may call it, beside this machine's own.
    pub hosts: Vec<String>,
}

impl Default for PageSettings {
    fn default() -> Self {
        Self {
            listen: Address::loopback(8099),
            tls: PageTls::Off,
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            behind_proxy: false,
            hosts: Vec::new(),
        }
    }
}

/// How the page is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageTls {
    /// Not at all.
    #[default]
    Off,
    /// By a certificate of Landfall's own authority.
    Own,
    /// By the owner's certificate.
    Files,
}

/// `[lan]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanSettings {
    /// Whether the hub connects to devices.
    pub enabled: bool,
    /// Whether it listens for beacons, and asks.
    pub discovery: bool,
}

impl Default for LanSettings {
    fn default() -> Self {
        Self { enabled: true, discovery: true }
    }
}

/// `[cloud]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudSettings {
    /// Whether the hub is the cloud of its devices.
    pub enabled: bool,
    /// What devices are told as our address; empty: the address that each reached us by.
    pub advertise: String,
    /// HTTP.
    pub http: Address,
    /// HTTPS.
    pub https: Address,
    /// MQTT.
    pub mqtt: Address,
    /// MQTT over TLS.
    pub mqtts: Address,
    /// MQTT over TLS by pre-shared key.
    pub mqtt_psk: Address,
    /// DNS.
    pub dns: Address,
    /// Whom DNS answers; empty: private and link-local addresses.
    #[serde(with = "networks")]
    pub dns_clients: Vec<IpNet>,
    /// Who is asked for other names; empty: nobody.
    pub dns_forward: String,
}

impl Default for CloudSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            advertise: String::new(),
            http: Address::loopback(8080),
            https: Address::loopback(8443),
            mqtt: Address::loopback(1883),
            mqtts: Address::loopback(8883),
            mqtt_psk: Address::loopback(8886),
            dns: Address::loopback(5353),
            dns_clients: Vec::new(),
            dns_forward: String::new(),
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// `sqlite` or `postgresql`.
    pub kind: StoreKind,
    /// SQLite: the file; empty: `history.db` in the data directory.
    pub file: PathBuf,
    /// PostgreSQL: host name, address, or directory of its socket.
    pub host: String,
    /// PostgreSQL: port.
    pub port: u16,
    /// PostgreSQL: database.
    pub database: String,
    /// PostgreSQL: user.
    pub user: String,
    /// PostgreSQL: the file that holds the password; empty: none is needed.
    pub password_file: PathBuf,
    /// PostgreSQL: `require` (encrypted), `verify` (and its certificate checked) or `off`.
    pub tls: StoreTls,
    /// PostgreSQL, with `verify`: the authority that signs its certificate, PEM; empty: those that this system trusts.
    pub ca_file: PathBuf,
    /// Every change is kept so many days; hours and days are kept for ever.
    pub raw_days: u32,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            file: PathBuf::new(),
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: "landfall".to_owned(),
            user: "landfall".to_owned(),
            password_file: PathBuf::new(),
            tls: StoreTls::Verify,
            ca_file: PathBuf::new(),
            raw_days: 30,
        }
    }
}

/// Which database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// A file in the data directory.
    #[default]
    Sqlite,
    /// A server.
    Postgresql,
}

/// How PostgreSQL is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreTls {
    /// In clear.
    Off,
    /// Encrypted, with whomever.
    Require,
    /// Encrypted, with the server whose certificate and name are right. In clear to this very machine.
    #[default]
    Verify,
}

/// `[mqtt]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttSettings {
    /// Where people's topics are: `embedded` (on the cloud's MQTT ports), `external` or `off`.
    pub broker: MqttBroker,
    /// First level of all topics.
    pub base: String,
    /// External: host name or address.
    pub host: String,
    /// External: port.
    pub port: u16,
    /// External: user; empty: none.
    pub user: String,
    /// External: the file that holds the password.
    pub password_file: PathBuf,
    /// External: whether TLS is used.
    pub tls: bool,
    /// External: the authority of the broker's certificate, PEM; empty: those of the system.
    pub ca_file: PathBuf,
    /// Publish single points as `<base>/<name>/dp/<n>` too.
    pub raw_points: bool,
    /// How Home Assistant is told of devices: `device`, `entity` or `off`.
    pub discovery: MqttDiscovery,
    /// First level of the topics where Home Assistant looks for them.
    pub discovery_prefix: String,
}

impl Default for MqttSettings {
    fn default() -> Self {
        Self {
            broker: MqttBroker::Embedded,
            base: "landfall".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 1883,
            user: String::new(),
            password_file: PathBuf::new(),
            tls: false,
            ca_file: PathBuf::new(),
            raw_points: true,
            discovery: MqttDiscovery::Device,
            discovery_prefix: "homeassistant".to_owned(),
        }
    }
}

/// How Home Assistant is told of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MqttDiscovery {
    /// By one message for each device: Home Assistant 2024.12 and newer.
    #[default]
    Device,
    /// By one message for each entity: older ones, and other programs that read such messages.
    Entity,
    /// Not at all.
    Off,
}

/// Which broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MqttBroker {
    /// The one in this program.
    #[default]
    Embedded,
    /// The owner's.
    External,
    /// None.
    Off,
}

/// Where a file is that a setting names: as it is when absolute, a bare name among systemd's credentials where there is one,
/// else in the data directory.
pub fn place(file: &Path, data_dir: &Path) -> PathBuf {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    placed(file, data_dir, credentials.as_deref())
}

fn placed(file: &Path, data_dir: &Path, credentials: Option<&Path>) -> PathBuf {
    let bare = file.components().count() == 1;
    let credential = credentials.filter(|_| bare).map(|dir| dir.join(file)).filter(|path| path.is_file());
    credential.unwrap_or_else(|| data_dir.join(file))
}

/// A length of time, written `20s`, `5m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    /// So many seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let span = jiff::SignedDuration::try_from(self.0).map_err(serde::ser::Error::custom)?;
        s.collect_str(&format_args!("{span:#}"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is no length of time, such as 20s or 5m"));
        let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        Duration::try_from(span).map(Self).map_err(|_| wrong())
    }
}

/// Where something listens: `127.0.0.1:8080`, a port of 127.0.0.1 as a number or text, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub Listen);

impl Address {
    /// A port of 127.0.0.1.
    pub const fn loopback(port: u16) -> Self {
        Self(Listen::At(SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port))))
    }

    /// The address, unless off.
    pub const fn at(self) -> Option<SocketAddr> {
        match self.0 {
            Listen::Off => None,
            Listen::At(at) => Some(at),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Listen::Off => s.serialize_str("off"),
            Listen::At(at) => s.collect_str(&at),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Port(i64),
            Text(String),
        }
        let text = match Written::deserialize(d) {
            Ok(Written::Port(port)) => port.to_string(),
            Ok(Written::Text(text)) => text,
            Err(_) => {
                return Err(serde::de::Error::custom("an address is a text such as \"127.0.0.1:8080\""));
            }
        };
        if text == "off" {
            return Ok(Self(Listen::Off));
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::loopback(port));
        }
        text.parse().map(|at| Self(Listen::At(at))).map_err(|_| {
            serde::de::Error::custom(format!(
                "{text:?} is no address; ADDR:PORT, a port of 127.0.0.1 or \"off\" is one"
            ))
        })
    }
}

impl CloudSettings {
    /// What devices are told.
    pub fn advertise(&self) -> Advertise {
        match self.advertise.parse() {
            Ok(ip) => Advertise::Ip(ip),
            Err(_) if self.advertise.is_empty() => Advertise::Local,
            Err(_) => Advertise::Host(self.advertise.clone()),
        }
    }
}

/// Networks as texts.
mod networks {
    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(all: &[IpNet], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(all.iter().map(IpNet::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<IpNet>, D::Error> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|_| D::Error::custom(format!("{text:?} is no network; 192.168.1.0/24 is one")))
        };
        Vec::<String>::deserialize(d)?.iter().map(parse).collect()
    }
}
