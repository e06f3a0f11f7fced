//! Starting and stopping the cloud.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use landfall_link::tls::{Acceptor, Authority, AuthorityError, NameError, Names, PskKeys, TlsError};
use landfall_proto::psk;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Backend;
use crate::clock::Clock;
use crate::config::{Advertise, Config, Listen, Listeners};
use crate::dns::DnsServer;
use crate::dns::local::Place;
use crate::journal::{Journal, JournalError};
use crate::limits::Peers;
use crate::listen::{DeviceKeys, Entrance, Service};
use crate::people::People;
use crate::shared::{Bound, Shared};
use crate::timezone::ZoneError;

/// Connections that the kernel keeps for us while we are busy: a whole house that comes back after a power cut.
const BACKLOG: i32 = 1_024;
/// Attempts to find a port that is free for both UDP and TCP.
const DNS_PORTS: usize = 16;

/// A running cloud. Dropping it stops it; [`shutdown`](Self::shutdown) also waits, and writes what is to be written.
#[derive(Debug)]
pub struct Cloud {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
    dns: Option<DnsServer>,
}

/// Why the cloud did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is in use.
    #[error("the address {address} for {what} is in use")]
    Busy {
        /// The address.
        address: SocketAddr,
        /// Which server: `MQTT`, `HTTPS`...
        what: &'static str,
        /// The option that chooses another: `--mqtt`.
        option: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// Ports below 1024 need a privilege.
    #[error("may not listen on {address} for {what}")]
    Forbidden {
        /// The address.
        address: SocketAddr,
        /// Which server.
        what: &'static str,
        /// The option that chooses another.
        option: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// An address can't be listened on.
    #[error("can't listen on {address} for {what}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Which server.
        what: &'static str,
        /// The option that chooses another.
        option: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// The data directory can't be made.
    #[error("can't make the directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The certificate authority can't be read or made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The name that devices shall be told can't stand in a certificate.
    #[error("devices can't be told this name")]
    Name(#[from] NameError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The owner's time zone is none.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The program is ending.
    #[error("the program ended while the cloud was starting")]
    Ended(#[source] tokio::task::JoinError),
}

/// One server's name and option, for messages.
#[derive(Clone, Copy)]
struct Named {
    what: &'static str,
    option: &'static str,
}

const DNS: Named = Named { what: "DNS", option: "--dns" };

impl Cloud {
    /// Starts all servers. On return every address is bound.
    ///
    /// # Errors
    /// An address that is busy or not ours, files that can't be read or written.
    pub async fn start(config: Config, clock: Clock, backend: Arc<dyn Backend>) -> Result<Self, StartError> {
        // Devices will be told its rules; a wrong name shall not wait for the first of them.
        crate::timezone::zone(config.time_zone.as_deref())?;
        let l = config.listeners;
        // Sockets first: a second start by mistake shall fail before it touches any file of the first.
        let http = listen(l.http, Named { what: "HTTP", option: "--http" })?;
        let https = listen(l.https, Named { what: "HTTPS", option: "--https" })?;
        let mqtt = listen(l.mqtt, Named { what: "MQTT", option: "--mqtt" })?;
        let mqtts = listen(l.mqtts, Named { what: "MQTT over TLS", option: "--mqtts" })?;
        let mqtt_psk = listen(l.mqtt_psk, Named { what: "MQTT over TLS-PSK", option: "--mqtt-psk" })?;
        let dns = listen_dns(l.dns)?;
        let bound = Bound {
            http: http.as_ref().map(|(_, at)| *at),
            https: https.as_ref().map(|(_, at)| *at),
            mqtt: mqtt.as_ref().map(|(_, at)| *at),
            mqtts: mqtts.as_ref().map(|(_, at)| *at),
            mqtt_psk: mqtt_psk.as_ref().map(|(_, at)| *at),
            dns: dns.as_ref().map(|(.., at)| *at),
        };

        let secured = tokio::task::spawn_blocking({
            let (config, backend) = (config.clone(), Arc::clone(&backend));
            move || security(&config, &backend)
        });
        // It ends early only by a panic, which is passed on, or when the runtime ends.
        let (authority, both, psk_only) = secured.await.unwrap_or_else(|e| match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(e) => Err(StartError::Ended(e)),
        })?;
        let journal = Journal::open(&config.data_dir)?;
        let people = People::start(&config);
        let limits = config.limits;
        let shared = Shared::new(config, clock, backend, people, journal, authority.der().to_vec());
        // Nobody has set it before: `shared` was made three lines above.
        let _unset = shared.bound.set(bound);

        let (stop, tasks, peers) = (CancellationToken::new(), TaskTracker::new(), Peers::new(limits));
        let services = [
            (http, Service::Http),
            (https, Service::Https(Arc::clone(&both))),
            (mqtt, Service::Mqtt),
            (mqtts, Service::Mqtts(both)),
            (mqtt_psk, Service::Mqtts(psk_only)),
        ];
        for (listener, service) in services {
            let Some((listener, _)) = listener else { continue };
            let entrance = Entrance {
                shared: Arc::clone(&shared),
                service,
                peers: Arc::clone(&peers),
                stop: stop.clone(),
                tasks: tasks.clone(),
            };
            tasks.spawn(entrance.run(listener));
        }
        let dns = match dns {
            None => None,
            Some((udp, tcp, address)) => Some(
                crate::dns::server::start(Arc::clone(&shared), udp, tcp)
                    .map_err(|source| failed(address, DNS, source))?,
            ),
        };
        tasks.spawn(until(stop.clone(), crate::handshake::keep_saving(Arc::clone(&shared))));
        tasks.spawn(until(stop.clone(), crate::mqtt::carry_inbox(Arc::clone(&shared))));
        Ok(Self { shared, stop, tasks, dns })
    }

    /// Where it listens.
    pub fn bound(&self) -> Bound {
        self.shared.bound()
    }

    /// What the servers share: events, devices, handshakes.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops accepting, ends all connections, writes journal and records.
    pub async fn shutdown(mut self) {
        // First, while its goodbye to people's clients still has a connection to go over.
        if let Some(broker) = &self.shared.people.broker {
            broker.shutdown().await;
        }
        self.stop.cancel();
        if let Some(dns) = self.dns.take() {
            dns.shutdown().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.shared.backend.flush().await {
            tracing::warn!(%error, "what devices said of themselves was not stored");
        }
        if let Err(error) = self.shared.handshakes.save() {
            tracing::warn!(%error, "the handshake records were not written");
        }
        if !self.shared.journal.close().await {
            tracing::warn!("the journal could not be written to its end");
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Most addresses of ours that the certificate bears: with the vendor's names it must stay small for devices.
const ADDRESSES: usize = 24;

/// The names of the server's certificate: the vendor's, and the one that devices are told.
///
/// # Errors
/// A name that can't stand in a certificate.
pub fn certificate_names(advertise: &Advertise) -> Result<Names, NameError> {
    let names = Names::new().with_hosts(crate::dns::names::certificate_names())?;
    match advertise {
        Advertise::Local => Ok(names),
        Advertise::Ip(ip) => names.with_ips([*ip]),
        Advertise::Host(host) => names.with_hosts([host]),
    }
}

/// The addresses of our TLS servers; of all interfaces where one listens on all. IPv4 first: most devices speak nothing
/// else.
fn reachable_by(listeners: &Listeners, places: &[Place]) -> BTreeSet<IpAddr> {
    let useful = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let mut found = BTreeSet::new();
    for at in [listeners.https, listeners.mqtts] {
        match at {
            Listen::Off => {}
            Listen::At(at) if at.ip().is_unspecified() => {
                found.extend(places.iter().map(|p| p.address.to_canonical()).filter(useful));
            }
            Listen::At(at) => {
                found.insert(at.ip().to_canonical());
            }
        }
    }
    // IPv4 comes first in the order of addresses.
    found.into_iter().take(ADDRESSES).collect()
}

/// The authority, an acceptor for certificate and PSK on one port, and one for PSK alone. Waits for the disk, and at the
/// first start for two new keys.
fn security(
    config: &Config,
    backend: &Arc<dyn Backend>,
) -> Result<(Authority, Arc<Acceptor>, Arc<Acceptor>), StartError> {
    // Without `--advertise` each device is told the address that its question came in on, and looks for it in the
    // certificate.
    let places = crate::dns::local::places().unwrap_or_else(|error| {
        tracing::warn!(%error, "the system does not tell our addresses; the certificate is for names only");
        Vec::new()
    });
    let names = certificate_names(&config.advertise)?.with_ips(reachable_by(&config.listeners, &places))?;
    let authority = Authority::open_or_create(config.data_dir.join("ca"), &names)?;
    let keys: Arc<dyn PskKeys> = Arc::new(DeviceKeys(Arc::clone(backend)));
    let both = Acceptor::new(Some(Arc::clone(&keys)), Some(authority.server().clone()), psk::HINT)?;
    let psk_only = Acceptor::new(Some(keys), None, psk::HINT)?;
    Ok((authority, Arc::new(both), Arc::new(psk_only)))
}

/// Runs a service until it ends or the cloud stops.
async fn until(stop: CancellationToken, service: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = service => {}
    }
}

fn failed(address: SocketAddr, Named { what, option }: Named, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::Busy { address, what, option, source },
        io::ErrorKind::PermissionDenied => StartError::Forbidden { address, what, option, source },
        _ => StartError::Listen { address, what, option, source },
    }
}

/// A listener that takes an address over from a process that just ended, but never from one that lives.
fn bind_tcp(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On unix this is about addresses in TIME_WAIT only; two listeners at a time stay impossible.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = std::net::TcpListener::from(socket);
    let at = listener.local_addr()?;
    Ok((listener, at))
}

fn listen(at: Listen, named: Named) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    match at {
        Listen::Off => Ok(None),
        Listen::At(address) => bind_tcp(address)
            .and_then(|(listener, at)| Ok(Some((TcpListener::from_std(listener)?, at))))
            .map_err(|e| failed(address, named, e)),
    }
}

type DnsSockets = (std::net::UdpSocket, std::net::TcpListener, SocketAddr);

/// UDP and TCP on the same port.
fn listen_dns(at: Listen) -> Result<Option<DnsSockets>, StartError> {
    let Listen::At(address) = at else { return Ok(None) };
    let bind = || -> io::Result<DnsSockets> {
        let udp = std::net::UdpSocket::bind(address)?;
        udp.set_nonblocking(true)?;
        let (tcp, at) = bind_tcp(udp.local_addr()?)?;
        Ok((udp, tcp, at))
    };
    let mut last = None;
    // A free UDP port may be taken for TCP; with a chosen port there is nothing to try again.
    for _ in 0..if address.port() == 0 { DNS_PORTS } else { 1 } {
        match bind() {
            Ok(sockets) => return Ok(Some(sockets)),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrInUse));
    Err(failed(address, DNS, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Listen {
        Listen::At(address.parse().unwrap())
    }

    fn places() -> Vec<Place> {
        let all = ["fe80::5", "fd00::5", "192.168.1.5", "169.254.3.4", "127.0.0.1"];
        all.map(|a| Place { interface: "eth0".into(), address: a.parse().unwrap() }).into()
    }

    fn reached(https: Listen, mqtts: Listen, places: &[Place]) -> Vec<String> {
        let listeners = Listeners { https, mqtts, ..Listeners::free() };
        reachable_by(&listeners, places).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn the_certificate_bears_the_addresses_that_devices_are_told() {
        let all = ["127.0.0.1", "192.168.1.5", "fd00::5"];
        assert_eq!(reached(at("0.0.0.0:443"), Listen::Off, &places()), all);
        assert_eq!(reached(at("[::]:443"), at("192.168.1.5:8883"), &places()), all);
        assert_eq!(reached(at("192.168.1.9:443"), Listen::Off, &places()), ["192.168.1.9"]);
        assert!(reached(Listen::Off, Listen::Off, &places()).is_empty());
    }

    #[test]
    fn many_addresses_do_not_make_the_certificate_impossible() {
        let many: Vec<Place> = (0..200)
            .map(|n| Place { interface: format!("br{n}"), address: [10, 0, n, 1].into() })
            .chain(places())
            .collect();
        assert_eq!(reached(at("0.0.0.0:443"), at("0.0.0.0:8883"), &many).len(), ADDRESSES);
        let advertise = Advertise::Host("landfall.example".into());
        let listeners = Listeners { https: at("0.0.0.0:443"), ..Listeners::free() };
        certificate_names(&advertise).unwrap().with_ips(reachable_by(&listeners, &many)).unwrap();
        assert!(certificate_names(&Advertise::Host("no name".into())).is_err());
    }
}
