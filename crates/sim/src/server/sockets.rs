//! Opening sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use landfall_proto::lan::TCP_PORT;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::{Addresses, SimError};
use crate::home::HomeDevice;

/// Real devices have 5 (lan.md 5.1); here many clients may connect in the same instant.
const BACKLOG: i32 = 64;

/// Hands out loopback addresses one after another, leaving out those that end in 0 or 255.
#[derive(Debug)]
pub(super) struct AddressPool {
    next: u32,
}

impl AddressPool {
    pub(super) fn new(first: Ipv4Addr) -> Self {
        Self { next: first.to_bits() }
    }

    pub(super) fn take(&mut self) -> Ipv4Addr {
        let ip = loopback(self.next);
        self.next = ip.to_bits().wrapping_add(1);
        ip
    }

    pub(super) fn next_bits(&self) -> u32 {
        self.next
    }
}

/// The loopback address at or after `bits`, never one that looks like a network or broadcast address.
pub(super) fn loopback(bits: u32) -> Ipv4Addr {
    let bits = match bits & 0xff {
        0 => bits + 1,
        0xff => bits.wrapping_add(2),
        _ => bits,
    };
    Ipv4Addr::from_bits((bits & 0x00ff_ffff) | 0x7f00_0000)
}

/// The listener that a device starts with; `None` for a sleeper.
pub(super) fn first_listener(
    device: &HomeDevice,
    addresses: Addresses,
    pool: &mut AddressPool,
) -> Result<Option<(TcpListener, SocketAddrV4)>, SimError> {
    if !device.spec.listens() || addresses == Addresses::Nowhere {
        return Ok(None);
    }
    let address = match (device.address, addresses) {
        (Some(address), _) => address,
        (None, Addresses::Loopback) => SocketAddrV4::new(pool.take(), TCP_PORT),
        (None, Addresses::Ports | Addresses::Nowhere) => SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
    };
    listen(address).map(Some).map_err(|source| {
        let device = device.spec.name.clone();
        if source.kind() == io::ErrorKind::AddrInUse {
            SimError::AddressBusy { address, device, source }
        } else {
            SimError::Listen { address, device, source }
        }
    })
}

/// Listens, and says where (the port may have been left open).
pub(super) fn listen(address: SocketAddrV4) -> io::Result<(TcpListener, SocketAddrV4)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    // A device that comes back finds its old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let bound = socket.local_addr()?.as_socket_ipv4().unwrap_or(address);
    Ok((TcpListener::from_std(socket.into())?, bound))
}

/// One frame a write, at once.
pub(super) fn tune(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
}

/// Makes the end of this connection a RST.
pub(super) fn reset(stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "no SO_LINGER; the connection ends with FIN");
    }
}

/// A datagram from the device's own address.
pub(super) fn say(from: Ipv4Addr, to: SocketAddrV4, datagram: &[u8]) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddrV4::new(from, 0))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    socket.send_to(datagram, to)?;
    Ok(())
}

/// Where announcements from this address go.
pub(super) fn broadcast_of(from: Ipv4Addr) -> Ipv4Addr {
    if from.is_loopback() { Ipv4Addr::new(127, 255, 255, 255) } else { Ipv4Addr::BROADCAST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_leaves_out_what_looks_special() {
        let mut pool = AddressPool::new(Ipv4Addr::new(127, 66, 0, 254));
        let taken: Vec<String> = (0..3).map(|_| pool.take().to_string()).collect();
        assert_eq!(taken, ["127.66.0.254", "127.66.1.1", "127.66.1.2"]);
        assert_eq!(loopback(Ipv4Addr::new(127, 66, 0, 0).to_bits()), Ipv4Addr::new(127, 66, 0, 1));
        assert!(loopback(u32::MAX).is_loopback());
        assert!(AddressPool::new(Ipv4Addr::new(127, 255, 255, 254)).take().is_loopback());
    }

    #[tokio::test]
    async fn a_busy_address_is_busy() {
        let (_held, at) = listen(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_ne!(at.port(), 0);
        assert_eq!(listen(at).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
