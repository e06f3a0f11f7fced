//! Datagram sockets that share their ports, and what arrives on them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use landfall_proto::lan::discovery::{self, Datagram, DatagramError, MAX_DATAGRAM};
use landfall_proto::lan::frame::FramingError;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::finding::{Probe, ScanProblem};
use super::options::Interface;

/// Failures in a row after which a socket is given up.
const MOST_FAILURES: u32 = 16;
/// Most interfaces asked from.
const MOST_INTERFACES: usize = 64;

/// A bound socket shared with other programs, and with the right to send broadcasts.
pub(super) fn bind(address: SocketAddrV4) -> io::Result<UdpSocket> {
    UdpSocket::from_std(shared(address)?.into())
}

/// Whether a scan could listen there now. The socket is closed at once, and nothing is sent.
///
/// # Errors
/// The system's reason why not: another program holds the port and does not share it, or this is not our address.
pub fn can_listen(address: SocketAddrV4) -> io::Result<()> {
    shared(address).map(drop)
}

fn shared(address: SocketAddrV4) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Programs share a port when all of them set the same option; most set the first, some this one too.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    if let Err(e) = socket.set_reuse_port(true) {
        tracing::debug!(%address, error = %e, "SO_REUSEPORT refused");
    }
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(address).into())?;
    Ok(socket)
}

/// What a socket brings.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A datagram of the discovery protocol, or the cause why it is none.
    Datagram {
        /// The socket's role.
        probe: Probe,
        /// Its sender.
        source: Ipv4Addr,
        /// Its content.
        content: Result<Box<Datagram>, &'static str>,
    },
    /// The socket is dead.
    Dead(ScanProblem),
}

/// Reads a socket until its reader is gone or it fails again and again.
pub(super) async fn read(
    socket: std::sync::Arc<UdpSocket>,
    address: SocketAddr,
    probe: Probe,
    to: mpsc::Sender<Arrival>,
) {
    let mut buffer = [0; MAX_DATAGRAM + 1];
    let mut failures = 0;
    loop {
        let arrival = match socket.recv_from(&mut buffer).await {
            Ok((n, SocketAddr::V4(source))) => {
                failures = 0;
                let content = discovery::parse(&buffer[..n]).map(Box::new).map_err(|e| cause(&e));
                Arrival::Datagram { probe, source: *source.ip(), content }
            }
            // The sockets are IPv4.
            Ok((_, SocketAddr::V6(_))) => continue,
            Err(e) => {
                failures += 1;
                if failures < MOST_FAILURES {
                    continue;
                }
                Arrival::Dead(ScanProblem::Receive { address, cause: e })
            }
        };
        let dead = matches!(arrival, Arrival::Dead(_));
        if to.send(arrival).await.is_err() || dead {
            return;
        }
    }
}

/// The cause of a malformed datagram, without its particulars, so that causes can be counted.
fn cause(e: &DatagramError) -> &'static str {
    match e {
        DatagramError::Foreign(_) => "not a discovery datagram",
        DatagramError::Truncated(_) => "truncated",
        DatagramError::TooLong(_) => "too long",
        DatagramError::Damaged(FramingError::CrcMismatch) => "crc mismatch",
        DatagramError::Damaged(FramingError::TagMismatch) => "tag mismatch",
        DatagramError::Damaged(_) => "impossible length or suffix",
        DatagramError::Undecryptable => "not under the discovery key",
        DatagramError::Content(_) => "unreadable content",
    }
}

/// The IPv4 interfaces of this machine with local addresses, loopback included: virtual devices live there.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::new();
    for i in if_addrs::get_if_addrs()? {
        let if_addrs::IfAddr::V4(v4) = &i.addr else { continue };
        if !super::target::is_local(v4.ip) || found.iter().any(|f| f.address == v4.ip) {
            continue;
        }
        // The loopback interface names no broadcast address, but has one.
        let computed = Ipv4Addr::from(u32::from(v4.ip) | !u32::from(v4.netmask));
        let broadcast = v4.broadcast.or_else(|| v4.ip.is_loopback().then_some(computed));
        found.push(Interface {
            name: i.name.clone(),
            address: v4.ip,
            broadcast: broadcast.filter(|b| *b != v4.ip),
        });
        if found.len() >= MOST_INTERFACES {
            tracing::warn!(
                kept = MOST_INTERFACES,
                "more network interfaces than are asked; the rest is left out"
            );
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_shared() {
        let first = bind(SocketAddrV4::new(Ipv4Addr::new(127, 31, 1, 1), 0)).unwrap();
        let SocketAddr::V4(address) = first.local_addr().unwrap() else { panic!("an IPv4 socket") };
        let second = bind(address).unwrap();
        assert_eq!(second.local_addr().unwrap(), SocketAddr::V4(address));
    }

    #[test]
    fn a_port_that_its_holder_does_not_share_can_not_be_listened_on() {
        let holder = std::net::UdpSocket::bind("127.31.1.2:0").unwrap();
        let SocketAddr::V4(address) = holder.local_addr().unwrap() else { panic!("an IPv4 socket") };
        assert_eq!(can_listen(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(holder);
        can_listen(address).unwrap();
    }

    #[test]
    fn the_loopback_interface_is_asked() {
        let all = interfaces().unwrap();
        let lo = all.iter().find(|i| i.address.is_loopback()).expect("a loopback interface");
        #[cfg(target_os = "linux")]
        assert_eq!(lo.broadcast, Some(Ipv4Addr::new(127, 255, 255, 255)));
        assert!(!lo.name.is_empty());
    }
}
