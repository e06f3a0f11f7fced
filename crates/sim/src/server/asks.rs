//! Clients that ask on port 7000 who is there (lan.md 6.4).

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket as StdUdpSocket};

use landfall_proto::lan::discovery::{self, Datagram, MAX_DATAGRAM};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use super::Command;

/// A device that answers: its command queue and its address.
pub(super) type Askable = (mpsc::WeakSender<Command>, watch::Receiver<Option<SocketAddrV4>>);

/// Sockets that hear questions, and what could not be opened.
pub(super) struct Heard {
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) warnings: Vec<String>,
}

/// Listens on the broadcast addresses themselves rather than on all addresses: so questions reach us, but answers,
/// which go by unicast to the asker on this same host and port, reach the asker. Where the system does not bind to
/// broadcast addresses, all addresses have to do.
pub(super) fn listen(port: u16, devices: impl Iterator<Item = Ipv4Addr>) -> Heard {
    let mut heard = Heard { sockets: Vec::new(), warnings: Vec::new() };
    let mut last = None;
    let targets: BTreeSet<Ipv4Addr> = devices.map(neighbourhood).chain([Ipv4Addr::BROADCAST]).collect();
    for ip in targets {
        match open(SocketAddrV4::new(ip, port)) {
            Ok(socket) => heard.sockets.push(socket),
            Err(error) => last = Some((ip, error)),
        }
    }
    if heard.sockets.is_empty() {
        match open(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)) {
            Ok(socket) => heard.sockets.push(socket),
            Err(error) => last = Some((Ipv4Addr::UNSPECIFIED, error)),
        }
    }
    if let Some((ip, error)) = last {
        let loss = if heard.sockets.is_empty() {
            "devices of version 3.5 can't be found by asking"
        } else {
            "some questions are not heard"
        };
        heard.warnings.push(format!("can't listen on UDP {ip}:{port} ({error}): {loss}"));
    }
    heard
}

/// The broadcast address that a client near this device asks.
fn neighbourhood(device: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = device.octets();
    if device.is_loopback() { Ipv4Addr::new(127, 255, 255, 255) } else { Ipv4Addr::new(a, b, c, 255) }
}

fn open(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Other programs on this host use the port too (lan.md 6.4).
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Hands questions to the devices until they are gone.
pub(super) async fn serve(socket: UdpSocket, mut askable: Vec<Askable>) {
    let mut buffer = [0; MAX_DATAGRAM];
    // A device's address changes rarely; the watch of the first one also tells when the simulation ends.
    while !askable.is_empty() {
        let gone = askable.first().map(|(_, address)| address.clone());
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = ended(gone) => {
                askable.retain(|(commands, _)| commands.strong_count() > 0);
                continue;
            }
        };
        let n = match received {
            Ok((n, _)) => n,
            Err(error) => {
                tracing::debug!(%error, "a question was lost");
                continue;
            }
        };
        let Ok(Datagram::Ask { ip }) = discovery::parse(&buffer[..n]) else { continue };
        for (commands, address) in &askable {
            let Some(own) = *address.borrow() else { continue };
            if may_answer(*own.ip(), ip)
                && let Some(commands) = commands.upgrade()
            {
                // A device that has no time for questions misses one, as on a real network.
                let _full = commands.try_send(Command::Ask(ip));
            }
        }
    }
}

/// Resolves when the device behind this watch is gone.
async fn ended(address: Option<watch::Receiver<Option<SocketAddrV4>>>) {
    if let Some(mut address) = address {
        while address.changed().await.is_ok() {}
    }
}

/// The target of an answer is the asker's own word, so answers stay in the neighbourhood (lan.md 6.6): loopback
/// devices answer this host, others their own /24.
fn may_answer(own: Ipv4Addr, asker: Ipv4Addr) -> bool {
    if own.is_loopback() {
        return asker.is_loopback() || is_this_host(asker);
    }
    own.octets()[..3] == asker.octets()[..3]
}

/// Only an address of this host can be bound to.
fn is_this_host(ip: Ipv4Addr) -> bool {
    let usable = !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast());
    usable && StdUdpSocket::bind(SocketAddrV4::new(ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stay_in_the_neighbourhood() {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        assert!(may_answer(ip("127.66.0.1"), ip("127.0.0.1")));
        assert!(may_answer(ip("192.168.1.5"), ip("192.168.1.200")));
        assert!(!may_answer(ip("192.168.1.5"), ip("192.168.2.200")));
        for victim in ["203.0.113.7", "0.0.0.0", "255.255.255.255", "224.0.0.1"] {
            assert!(!may_answer(ip("127.66.0.1"), ip(victim)), "{victim}");
        }
    }
}
