//! Settings of the cloud.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Not at all.
    Off,
    /// Here; port 0 takes a free one.
    At(SocketAddr),
}

/// What devices are told as our address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Advertise {
    /// The local address that the request came in on.
    #[default]
    Local,
    /// This address.
    Ip(IpAddr),
    /// This name; devices resolve it by themselves.
    Host(String),
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the local address of each connection"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Host(host) => f.write_str(host),
        }
    }
}

/// The addresses of all servers. The ports of the defaults need no privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Name service and gateway in clear.
    pub http: Listen,
    /// The same over TLS, by certificate or PSK on one port; clear HTTP is answered here as well (cloud.md 7.1).
    pub https: Listen,
    /// MQTT in clear, for devices and people.
    pub mqtt: Listen,
    /// MQTT over TLS, by certificate or PSK.
    pub mqtts: Listen,
    /// MQTT over TLS by PSK, where generation B looks for it (8886).
    pub mqtt_psk: Listen,
    /// DNS, UDP and TCP.
    pub dns: Listen,
}

impl Default for Listeners {
    fn default() -> Self {
        let at = |port| Listen::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        Self {
            http: at(8080),
            https: at(8443),
            mqtt: at(1883),
            mqtts: at(8883),
            mqtt_psk: at(8886),
            dns: at(5353),
        }
    }
}

impl Listeners {
    /// Free ports on loopback, and no DNS: what tests want.
    pub fn free() -> Self {
        let at = Listen::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        Self { http: at, https: at, mqtt: at, mqtts: at, mqtt_psk: at, dns: Listen::Off }
    }
}

/// What one peer (an IP address) may take, and how long it may take for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Simultaneous connections of one address.
    pub connections_per_peer: usize,
    /// Simultaneous connections of all.
    pub connections: usize,
    /// New connections of one address in ten seconds.
    pub connects_per_peer: u32,
    /// MQTT messages of one device in a second, on the average of ten seconds.
    pub messages_per_second: u32,
    /// Time for a TLS handshake, for the head of a request and for MQTT's CONNECT, each.
    pub patience: Duration,
    /// Time that a peer may leave what we send unread.
    pub write_patience: Duration,
    /// Largest MQTT packet in bytes.
    pub mqtt_packet: u32,
    /// Largest HTTP body in bytes.
    pub http_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Behind a NAT or a relay a whole house comes from one address.
            connections_per_peer: 256,
            connections: 20_000,
            connects_per_peer: 200,
            messages_per_second: 50,
            patience: Duration::from_secs(15),
            write_patience: Duration::from_secs(20),
            mqtt_packet: 64 * 1024,
            http_body: 128 * 1024,
        }
    }
}

/// How often devices are asked for their points over MQTT (protocol 31). Passive points, energy among them, are reported
/// only after such a question (cloud.md 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queries {
    /// Products with passive points.
    pub passive: Duration,
    /// All others.
    pub others: Duration,
}

impl Default for Queries {
    fn default() -> Self {
        Self { passive: Duration::from_secs(60), others: Duration::from_secs(15 * 60) }
    }
}

/// Settings of DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Clients that are answered. Empty: private (RFC 1918), link-local, unique local IPv6 and loopback addresses.
    pub clients: Vec<IpNet>,
    /// Where other names are asked for; `None` refuses them.
    pub forward: Option<SocketAddr>,
}

/// An external broker for people's clients.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalBroker {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name and password, if it wants any.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for ExternalBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalBroker({}:{})", self.host, self.port)
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory: book, certificate authority, journal, control socket.
    pub data_dir: PathBuf,
    /// Where we listen.
    pub listeners: Listeners,
    /// What devices are told as our address.
    pub advertise: Advertise,
    /// IANA name of the owner's time zone (`Europe/Berlin`); `None`: the system's.
    pub time_zone: Option<String>,
    /// Limits.
    pub limits: Limits,
    /// Questions for points over MQTT.
    pub queries: Queries,
    /// DNS.
    pub dns: Dns,
    /// Broker for people's clients; `None`: the embedded one.
    pub external_broker: Option<ExternalBroker>,
}

impl Config {
    /// The defaults, with this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listeners: Listeners::default(),
            advertise: Advertise::default(),
            time_zone: None,
            limits: Limits::default(),
            queries: Queries::default(),
            dns: Dns::default(),
            external_broker: None,
        }
    }
}
