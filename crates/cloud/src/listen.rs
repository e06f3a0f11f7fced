//! Sockets: accepting, limits, the first bytes, TLS; then the server that fits.

use std::net::{IpAddr, SocketAddr};

use landfall_proto::psk::DeviceHash;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

/// Over what a device reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// TCP in clear.
    Plain,
    /// TLS, PSK identity type 1: anybody can compute such a key, so that it proves nothing.
    Psk1,
    /// TLS, PSK identity type 2.
    Psk2,
    /// TLS with our certificate.
    Certificate,
    /// DNS over UDP or TCP.
    Dns,
}

/// A connection, as the servers see it.
#[derive(Clone, Debug)]
pub struct Link {
    /// The other end.
    pub peer: SocketAddr,
    /// Our end: what [`Advertise::Local`](crate::config::Advertise::Local) tells.
    pub local: SocketAddr,
    /// Over what.
    pub over: Over,
    /// What the PSK identity says of the device.
    pub hash: Option<DeviceHash>,
}

impl Link {
    /// A connection in clear between these two.
    pub const fn plain(peer: SocketAddr, local: SocketAddr) -> Self {
        Self { peer, local, over: Over::Plain, hash: None }
    }

    /// The peer's address, an IPv4 one even when it came in on a socket for both.
    pub fn ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

/// A stream that a server can serve: a socket, a TLS session, a pipe in memory.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}
