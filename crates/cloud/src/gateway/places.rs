//! Our addresses, as they are told to devices: the host of `--advertise`, by default the local address that the request
//! came in on, and the ports that are really bound.

use std::net::{IpAddr, SocketAddr};

use landfall_proto::gateway::name_service::{Endpoint, Service, Transport};

use crate::config::Advertise;
use crate::listen::Link;
use crate::shared::Shared;

/// Why a device is told no address. Each names what the owner has to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// A device elsewhere would call itself.
    #[error(
        "{told} would be told to {peer}, which cannot reach it: it leads to that device itself; \
         `--advertise ADDRESS` says what devices reach us by"
    )]
    Loopback {
        /// The address or name.
        told: String,
        /// The device's.
        peer: IpAddr,
    },
    /// A server that the device is sent to listens on loopback only.
    #[error(
        "{what} listens on {address}, where {peer} cannot reach it; `{option} ADDRESS:PORT` chooses another address"
    )]
    Unreachable {
        /// Which server.
        what: &'static str,
        /// Where it listens.
        address: SocketAddr,
        /// The option that chooses another.
        option: &'static str,
        /// The device's.
        peer: IpAddr,
    },
    /// A server that the device needs is switched off.
    #[error("{what} is off, and {peer} asks for it; `{option} ADDRESS:PORT` switches it on")]
    Off {
        /// Which server.
        what: &'static str,
        /// The option that switches it on.
        option: &'static str,
        /// The device's.
        peer: IpAddr,
    },
}

impl PlaceError {
    /// Stable dotted code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Loopback { .. } => "advertise.loopback",
            Self::Unreachable { .. } => "advertise.unreachable",
            Self::Off { .. } => "advertise.off",
        }
    }
}

/// Our addresses for one connection.
#[derive(Debug)]
pub struct Places<'a> {
    shared: &'a Shared,
    peer: IpAddr,
    host: String,
    ip: Option<IpAddr>,
}

impl<'a> Places<'a> {
    /// What we are called for this device.
    ///
    /// # Errors
    /// [`PlaceError::Loopback`]: the address would lead a device that is elsewhere to itself.
    pub fn of(shared: &'a Shared, link: &Link) -> Result<Self, PlaceError> {
        let (peer, local) = (link.ip(), link.local.ip().to_canonical());
        let useless = |ip: IpAddr| ip.is_unspecified() || (ip.is_loopback() && !peer.is_loopback());
        let (host, ip) = match &shared.config.advertise {
            Advertise::Local => (in_url(local), Some(local)),
            Advertise::Ip(ip) => (in_url(*ip), Some(*ip)),
            // The device has just reached us by the local address, so that it may be told beside the name.
            Advertise::Host(name) => (name.clone(), Some(local).filter(|ip| !useless(*ip))),
        };
        let named_loopback = host.eq_ignore_ascii_case("localhost") && !peer.is_loopback();
        if named_loopback || ip.is_some_and(useless) {
            return Err(PlaceError::Loopback { told: host, peer });
        }
        Ok(Self { shared, peer, host, ip })
    }

    /// Our name or address; of IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Our addresses of IPv4.
    pub fn ips(&self) -> Vec<String> {
        self.ip.filter(IpAddr::is_ipv4).map(|ip| ip.to_string()).into_iter().collect()
    }

    /// Our addresses of IPv6.
    pub fn ip6s(&self) -> Vec<String> {
        self.ip.filter(IpAddr::is_ipv6).map(|ip| ip.to_string()).into_iter().collect()
    }

    /// The port of a service in a transport; `None` when it is off.
    ///
    /// # Errors
    /// [`PlaceError::Unreachable`]: it listens on loopback, and the device is elsewhere.
    pub fn port(&self, service: Service, transport: Transport) -> Result<Option<u16>, PlaceError> {
        let bound = self.shared.bound();
        let (what, option, address) = match (service, transport) {
            // The HTTPS port answers clear HTTP too.
            (Service::Http, Transport::Plain) if bound.http.is_some() => ("HTTP", "--http", bound.http),
            (Service::Http, _) => ("HTTPS", "--https", bound.https),
            (_, Transport::Plain) => ("MQTT", "--mqtt", bound.mqtt),
            // The port for certificates takes PSK too.
            (_, Transport::Psk) if bound.mqtt_psk.is_some() => {
                ("MQTT over TLS-PSK", "--mqtt-psk", bound.mqtt_psk)
            }
            (_, _) => ("MQTT over TLS", "--mqtts", bound.mqtts),
        };
        match address {
            Some(address) if address.ip().to_canonical().is_loopback() && !self.peer.is_loopback() => {
                Err(PlaceError::Unreachable { what, address, option, peer: self.peer })
            }
            address => Ok(address.map(|a| a.port())),
        }
    }

    /// The address of a service in a transport, for HTTP with this path. With `fixed_port` a URL names no port: SDKs
    /// always take 443 and would read one as part of the name (cloud.md 1.2).
    ///
    /// # Errors
    /// The service is off, or can't be reached by this device.
    pub fn endpoint(
        &self,
        service: Service,
        transport: Transport,
        path: &str,
        fixed_port: bool,
    ) -> Result<Endpoint, PlaceError> {
        let port = self.port(service, transport)?;
        let port = port.ok_or_else(|| {
            let (what, option) = match (service, transport) {
                (Service::Http, Transport::Plain) => ("HTTP", "--http"),
                (Service::Http, _) => ("HTTPS", "--https"),
                (_, Transport::Plain) => ("MQTT", "--mqtt"),
                (_, Transport::Psk) => ("MQTT over TLS-PSK", "--mqtt-psk"),
                (_, Transport::Certificate) => ("MQTT over TLS", "--mqtts"),
            };
            PlaceError::Off { what, option, peer: self.peer }
        })?;
        let endpoint = match service {
            Service::Http => Endpoint::http(&self.host, if fixed_port { 443 } else { port }, transport, path),
            Service::Mqtt | Service::MediaMqtt => Endpoint::mqtt(&self.host, port),
        };
        Ok(Endpoint { ips: self.ips(), ..endpoint })
    }

    /// A URL of ours: in this transport, else in the one that is on.
    ///
    /// # Errors
    /// HTTP and HTTPS are both off, or out of the device's reach.
    pub fn url(&self, transport: Transport, path: &str) -> Result<String, PlaceError> {
        let asked = self.endpoint(Service::Http, transport, path, false);
        let other = if transport == Transport::Plain { Transport::Certificate } else { Transport::Plain };
        match asked {
            Ok(endpoint) => Ok(endpoint.addr),
            Err(e) => self.endpoint(Service::Http, other, path, false).map(|e| e.addr).map_err(|_| e),
        }
    }
}

fn in_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
