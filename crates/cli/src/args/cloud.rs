//! `landfall cloud ...`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use landfall_cloud::config::{Advertise, Listen, Listeners};
use landfall_proto::id::{DeviceId, Uuid};

use super::Json;

/// Be the cloud that stock devices look for; nothing here ever talks to the vendor.
///
/// Without a subcommand it runs until Ctrl-C. The subcommands talk to the cloud that runs in the same data directory.
#[derive(Debug, Args)]
pub(crate) struct Cloud {
    #[command(subcommand)]
    pub(crate) command: Option<CloudCommand>,
    #[command(flatten)]
    pub(crate) run: CloudRun,
}

#[derive(Debug, Args, PartialEq, Eq)]
pub(crate) struct CloudRun {
    /// What devices are told as our address; without it the address that each of them reached us by
    #[arg(long, value_name = "HOST|IP", value_parser = advertise)]
    pub(crate) advertise: Option<Advertise>,
    /// HTTP: ADDR:PORT, a port of 127.0.0.1, or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) http: Option<Listen>,
    /// HTTPS, by certificate and by pre-shared key [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) https: Option<Listen>,
    /// MQTT in clear, for devices and people [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) mqtt: Option<Listen>,
    /// MQTT over TLS, by certificate and by pre-shared key [default: 127.0.0.1:8883]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) mqtts: Option<Listen>,
    /// MQTT over TLS by pre-shared key, where older firmware looks for it [default: 127.0.0.1:8886]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) mqtt_psk: Option<Listen>,
    /// DNS over UDP and TCP: the vendor's names lead here [default: 127.0.0.1:5353]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(crate) dns: Option<Listen>,
    /// Answer DNS for these clients only; may be repeated [default: private and link-local addresses]
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(crate) dns_clients: Vec<ipnet::IpNet>,
    /// Ask this server for names that are not the vendor's; without it they are refused
    #[arg(long, value_name = "IP[:PORT]", value_parser = resolver)]
    pub(crate) dns_forward: Option<SocketAddr>,
    /// The time zone that devices are told, such as Europe/Berlin [default: this machine's]
    #[arg(long, value_name = "NAME", value_parser = time_zone)]
    pub(crate) time_zone: Option<String>,
    /// Report to this MQTT broker, for people's clients, in place of the built-in one; devices never meet it
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) broker: Option<(String, u16)>,
    /// User name for that broker
    #[arg(long, value_name = "NAME", requires_all = ["broker", "broker_password_file"])]
    pub(crate) broker_user: Option<String>,
    /// Read the password for that broker from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "broker_user")]
    pub(crate) broker_password_file: Option<PathBuf>,
    /// Print the addresses as a line of JSON, then a line for each event
    #[arg(long)]
    pub(crate) json: bool,
}

impl CloudRun {
    /// Whether no option was given.
    pub(crate) fn is_bare(&self) -> bool {
        *self
            == Self {
                advertise: None,
                http: None,
                https: None,
                mqtt: None,
                mqtts: None,
                mqtt_psk: None,
                dns: None,
                dns_clients: Vec::new(),
                dns_forward: None,
                time_zone: None,
                broker: None,
                broker_user: None,
                broker_password_file: None,
                json: false,
            }
    }

    /// Where to listen.
    pub(crate) fn listeners(&self) -> Listeners {
        let usual = Listeners::default();
        Listeners {
            http: self.http.unwrap_or(usual.http),
            https: self.https.unwrap_or(usual.https),
            mqtt: self.mqtt.unwrap_or(usual.mqtt),
            mqtts: self.mqtts.unwrap_or(usual.mqtts),
            mqtt_psk: self.mqtt_psk.unwrap_or(usual.mqtt_psk),
            dns: self.dns.unwrap_or(usual.dns),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CloudCommand {
    /// Show how far each device has come, and what it still lacks
    Status(Json),
    /// Print what happens in the running cloud, until Ctrl-C
    Events(Json),
    /// Answer activations for a while: only then a device in pairing mode is given keys
    Allow(CloudAllow),
    /// Set data points over the cloud and see whether it worked
    Set(CloudSet),
    /// Have a device report its data points over the cloud
    Refresh(CloudRefresh),
    /// Have a device forget us: it must be paired again afterwards
    Reset(CloudReset),
    /// Show, set or clear the timers that a device runs by itself
    Timers(CloudTimers),
    /// Firmware images: none is offered to any device unless you approve one
    #[command(subcommand)]
    Firmware(CloudFirmware),
    /// People whose MQTT clients may log in
    #[command(subcommand)]
    User(CloudUser),
    /// Forget the pinned password of a device that was paired elsewhere: the next one is pinned
    Unpin(CloudDevice),
    /// Print the certificate of the cloud's own authority (PEM)
    Ca(CloudCa),
    /// Write the vendor's names for another DNS server
    Dns(CloudDns),
    /// Write firewall rules that keep devices off the internet and send their DNS here
    Firewall(CloudFirewall),
}

#[derive(Debug, Args)]
pub(crate) struct CloudAllow {
    /// For how long, such as 10m, 90s or 1h; at most 24h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, required_unless_present = "close")]
    pub(crate) length: Option<Duration>,
    /// Close all windows before their time
    #[arg(long, conflicts_with_all = ["length", "uuid", "device"])]
    pub(crate) close: bool,
    /// Only this hardware
    #[arg(long, value_name = "UUID", conflicts_with = "device")]
    pub(crate) uuid: Option<Uuid>,
    /// Only this device: a name or id of the book, or the id that a new device has from its factory
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CloudDevice {
    /// Name or id
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct CloudSet {
    /// Name or id
    pub(crate) device: String,
    /// What to set, as for `landfall set`
    #[arg(value_name = "DP=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "S", value_parser = crate::cmd::set::seconds)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct CloudRefresh {
    /// Name or id
    pub(crate) device: String,
    /// Numbers or codes of data points; all when left out
    #[arg(value_name = "DP")]
    pub(crate) points: Vec<String>,
    /// Give up after so many seconds
    #[arg(long, value_name = "S", value_parser = crate::cmd::set::seconds)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Args)]
pub(crate) struct CloudReset {
    /// Name or id
    pub(crate) device: String,
    /// Wipe everything that it knows, as by its button
    #[arg(long)]
    pub(crate) wipe: bool,
    /// Don't ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CloudTimers {
    /// Name or id
    pub(crate) device: String,
    /// Give it the timers of this file, a JSON list of {"id", "date", "time", "loops", "dps"}; "-" is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["clear", "keep"])]
    pub(crate) file: Option<PathBuf>,
    /// Take all its timers away
    #[arg(long, conflicts_with = "keep")]
    pub(crate) clear: bool,
    /// Leave it the timers that it has
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CloudFirmware {
    /// Offer this image to a device
    #[command(disable_version_flag = true)]
    Approve {
        /// Name or id
        device: String,
        /// The image
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The version that the device is told; it installs higher ones than its own only
        #[arg(long = "version", value_name = "V")]
        told: String,
        /// Channel: 0 main firmware, 9 the MCU beside it
        #[arg(long, value_name = "N", default_value_t = 0)]
        channel: u32,
    },
    /// Offer it no longer
    Withdraw {
        /// Name or id
        device: String,
        /// Channel
        #[arg(long, value_name = "N", default_value_t = 0)]
        channel: u32,
    },
    /// List what is offered, and how often each device asked
    List(Json),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CloudUser {
    /// Let a client in; its password is made now and printed this once
    Add {
        /// MQTT user name
        name: String,
    },
    /// Shut a client out
    Remove {
        /// MQTT user name
        name: String,
    },
    /// List the names
    List(Json),
}

#[derive(Debug, Args)]
pub(crate) struct CloudCa {
    /// Make a new authority in place of the old one; devices that trust the old one must be told anew
    #[arg(long)]
    pub(crate) renew: bool,
    /// Don't ask
    #[arg(long, requires = "renew")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CloudDns {
    /// dnsmasq, pihole, adguard, unbound or hosts
    #[arg(long)]
    pub(crate) format: landfall_cloud::dns::export::Format,
    /// The address of this machine in the devices' network [default: that of a running cloud]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct CloudFirewall {
    /// nftables, iptables or openwrt
    #[arg(long)]
    pub(crate) format: landfall_cloud::dns::firewall::Format,
    /// The address of this machine in the devices' network [default: that of a running cloud]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Vec<IpAddr>,
    /// Where devices' questions for names are sent: the port of the cloud's DNS
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) dns_port: Option<u16>,
    /// The devices: names or ids of the book, IP addresses, networks or MACs [default: all of the book]
    #[arg(id = "restricted", value_name = "DEVICE")]
    pub(crate) devices: Vec<String>,
}

/// Where virtual devices find their cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// At this address, on the ports of [`Ports`].
    Ip(IpAddr),
    /// Where the system's DNS leads, on the vendor's ports.
    Dns,
}

/// An address, or `dns`.
pub(crate) fn at(text: &str) -> Result<At, String> {
    match text {
        "dns" => Ok(At::Dns),
        _ => text.parse().map(At::Ip).map_err(|_| "give the cloud's IP address, or dns".to_owned()),
    }
}

/// The ports of a cloud, where they are not the usual ones of `landfall cloud`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Ports {
    /// The cloud's port for HTTP
    #[arg(
        long = "cloud-http",
        value_name = "PORT",
        default_value_t = 8080,
        requires = "cloud",
        hide_default_value = true
    )]
    pub(crate) http: u16,
    /// The cloud's port for HTTPS
    #[arg(
        long = "cloud-https",
        value_name = "PORT",
        default_value_t = 8443,
        requires = "cloud",
        hide_default_value = true
    )]
    pub(crate) https: u16,
    /// The cloud's port for MQTT
    #[arg(
        long = "cloud-mqtt",
        value_name = "PORT",
        default_value_t = 1883,
        requires = "cloud",
        hide_default_value = true
    )]
    pub(crate) mqtt: u16,
    /// The cloud's port for MQTT over TLS
    #[arg(
        long = "cloud-mqtts",
        value_name = "PORT",
        default_value_t = 8883,
        requires = "cloud",
        hide_default_value = true
    )]
    pub(crate) mqtts: u16,
    /// The cloud's port for MQTT over TLS-PSK
    #[arg(
        long = "cloud-mqtt-psk",
        value_name = "PORT",
        default_value_t = 8886,
        requires = "cloud",
        hide_default_value = true
    )]
    pub(crate) mqtt_psk: u16,
}

impl Ports {
    /// The vendor's ports, and where they lead.
    pub(crate) const fn mapped(self) -> [(u16, u16); 5] {
        [(80, self.http), (443, self.https), (1883, self.mqtt), (8883, self.mqtts), (8886, self.mqtt_psk)]
    }
}

/// `ADDR:PORT`, `PORT` or `off`.
fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok(Listen::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
    }
    text.parse().map(Listen::At).map_err(|_| {
        "give ADDR:PORT (0.0.0.0:1883, [::]:1883), a port of 127.0.0.1 (1883; 0 takes a free one), or off"
            .to_owned()
    })
}

/// An address or a host name.
fn advertise(text: &str) -> Result<Advertise, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(format!(
                "no device gets to {ip}: give this machine's address in the devices' network"
            ));
        }
        return Ok(Advertise::Ip(ip));
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if text.len() <= 253
        && text.split('.').all(label)
        && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    {
        return Ok(Advertise::Host(text.to_ascii_lowercase()));
    }
    Err("give an IP address or a host name, without port and without http://".to_owned())
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let one = || text.parse::<IpAddr>().map(ipnet::IpNet::from);
    text.parse::<ipnet::IpNet>()
        .or_else(|_| one())
        .map_err(|_| "give a network such as 192.168.1.0/24".to_owned())
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    text.parse().or_else(|_| bare()).map_err(|_| "give IP or IP:PORT, for instance 192.168.1.1".to_owned())
}

fn host_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || "give HOST:PORT, for instance 192.168.1.5:1883".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn time_zone(text: &str) -> Result<String, String> {
    match jiff::tz::TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("it is not in this machine's time zone database; names look like Europe/Berlin".to_owned())
        }
    }
}

/// `90s`, `10m`, `1h`, or seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time from 1s to 24h, such as 10m, 90s or 1h".to_owned();
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.chars().next_back().unwrap_or('s')),
        None => (text, 's'),
    };
    let factor = match unit {
        'm' => 60,
        'h' => 3_600,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wrong)?;
    if (1..=86_400).contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

/// Whom a window is for, when it is no device of the book.
pub(crate) fn factory_id(text: &str) -> Option<DeviceId> {
    DeviceId::new(text).ok().filter(|id| id.as_str().len() >= 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen() {
        let at = |text: &str| Ok(Listen::At(text.parse().unwrap()));
        assert_eq!(listen("off"), Ok(Listen::Off));
        assert_eq!(listen("0"), at("127.0.0.1:0"));
        assert_eq!(listen("1883"), at("127.0.0.1:1883"));
        assert_eq!(listen("0.0.0.0:80"), at("0.0.0.0:80"));
        assert_eq!(listen("[::]:80"), at("[::]:80"));
        for wrong in ["", "on", "70000", "1.2.3.4", "localhost:80", "1.2.3.4:", ":80"] {
            assert!(listen(wrong).unwrap_err().contains("ADDR:PORT"), "{wrong}");
        }
    }

    #[test]
    fn what_devices_may_be_told() {
        assert_eq!(advertise("192.168.1.2"), Ok(Advertise::Ip("192.168.1.2".parse().unwrap())));
        assert_eq!(advertise("Pi.local"), Ok(Advertise::Host("pi.local".to_owned())));
        for wrong in ["0.0.0.0", "", "http://pi", "pi:80", "-pi", "1.2.3", "p i", "224.0.0.1"] {
            assert!(advertise(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "m", "0s", "25h", "10 m", "-5m", "1d", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn brokers_and_resolvers() {
        assert_eq!(host_port("pi:1883"), Ok(("pi".to_owned(), 1883)));
        assert_eq!(host_port("[::1]:1883"), Ok(("::1".to_owned(), 1883)));
        for wrong in ["pi", ":1883", "pi:0", "mqtt://pi:1883", "pi:x"] {
            assert!(host_port(wrong).is_err(), "{wrong}");
        }
        assert_eq!(resolver("9.9.9.9"), Ok("9.9.9.9:53".parse().unwrap()));
        assert!(resolver("dns.example").is_err());
        assert!(network("192.168.1.7").is_ok() && network("192.168.1.0/40").is_err());
    }
}
