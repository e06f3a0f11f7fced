//! How virtual devices reach their cloud: real sockets with the vendor's names mapped or resolved, or whatever a test
//! puts in between.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;

/// A connection: a socket, or one end of a pipe in memory.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// What a dial leads to.
pub type Dialled = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens connections without TLS; the driver puts TLS on top where the device wants it.
pub trait Dial: fmt::Debug + Send + Sync {
    /// Connects to `host`, a name as the device knows it or an address that it was told. `from` is the device's own
    /// address. The caller limits the time.
    fn dial(&self, host: &str, port: u16, from: Option<Ipv4Addr>) -> Dialled;
}

/// Where the vendor's names lead to: a map for a cloud on unprivileged ports of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `*` for all that have no entry of their own.
    name: String,
    ip: IpAddr,
    /// The vendor's port and the real one.
    ports: Vec<(u16, u16)>,
}

impl Names {
    /// No names; nothing can be reached.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a name, or `*` for all others. `ports` maps the vendor's ports (80, 443, 1883, 8883, 8886) to real ones;
    /// those that are not listed stay.
    #[must_use]
    pub fn with(mut self, name: &str, ip: IpAddr, ports: &[(u16, u16)]) -> Self {
        self.entries.push(Entry { name: name.to_ascii_lowercase(), ip, ports: ports.to_vec() });
        self
    }

    /// Where a name leads. An address stays the address it is, but its port is mapped as that of `*`: a cloud that
    /// listens on unprivileged ports tells devices its address, and old firmware adds the port by itself.
    pub fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let host = host.to_ascii_lowercase();
        let found = |name: &str| self.entries.iter().find(|e| e.name == name);
        let entry = found(&host).or_else(|| found("*"));
        let mapped = |e: &Entry| e.ports.iter().find(|(from, _)| *from == port).map_or(port, |(_, to)| *to);
        match host.parse::<IpAddr>() {
            Ok(ip) => Some(SocketAddr::new(ip, entry.map_or(port, mapped))),
            Err(_) => entry.map(|e| SocketAddr::new(e.ip, mapped(e))),
        }
    }
}

/// Real sockets.
#[derive(Clone, Debug)]
pub struct Sockets {
    names: Option<Names>,
}

impl Sockets {
    /// Names are looked up in this map and nowhere else.
    pub fn mapped(names: Names) -> Self {
        Self { names: Some(names) }
    }

    /// Names are asked of the system's resolver, and ports are the vendor's: a network whose DNS leads to the cloud.
    pub const fn system() -> Self {
        Self { names: None }
    }
}

impl Dial for Sockets {
    fn dial(&self, host: &str, port: u16, from: Option<Ipv4Addr>) -> Dialled {
        let mapped = self.names.as_ref().map(|names| names.resolve(host, port));
        let host = host.to_owned();
        Box::pin(async move {
            let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("nothing is known of {host}"));
            let to = match mapped {
                Some(found) => found.ok_or_else(unknown)?,
                None => tokio::net::lookup_host((host.as_str(), port)).await?.next().ok_or_else(unknown)?,
            };
            let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Devices of one machine keep addresses of their own, as on a real network. From a loopback address only
            // loopback can be reached.
            if let Some(from) =
                from.filter(|from| from.is_loopback() == to.ip().is_loopback() && to.is_ipv4())
            {
                socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
            }
            let stream = socket.connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_the_mapped_ports() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let there = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let names =
            Names::new().with("*", here, &[(80, 8080), (1883, 41_883)]).with("H3.iot-dns.com", there, &[]);
        let at = |host, port| names.resolve(host, port).map(|a| a.to_string());
        assert_eq!(at("a.gw.tuyaus.com", 80), Some("127.0.0.1:8080".into()));
        assert_eq!(at("h3.IOT-DNS.com", 443), Some("127.0.0.2:443".into()));
        assert_eq!(at("127.0.0.9", 1883), Some("127.0.0.9:41883".into()), "the port of an address is mapped");
        assert_eq!(at("127.0.0.9", 5000), Some("127.0.0.9:5000".into()));
        assert_eq!(Names::new().resolve("a.gw.tuyaus.com", 80), None);
    }
}
