//! Sockets: accepting, limits, the first bytes, TLS; then the server that fits.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use landfall_link::tls::{Acceptor, PskKeys, TlsPeer, TlsStream};
use landfall_proto::psk::{DeviceHash, Identity, Psk, PskType};
use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, Registration};
use crate::event::What;
use crate::handshake::{Mark, Step};
use crate::limits::Peers;
use crate::shared::Shared;

/// Pause after a connection could not be accepted: out of descriptors, most likely, and that does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// The kernel asks a silent peer after this time whether it is still there. Not for the devices' sake, which have
/// keepalives of their own, but for HTTP connections that vanished.
const KEEPALIVE: Duration = Duration::from_secs(60);

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

    /// The same over PSK, with what the identity says of the device.
    const fn of_device(&self, hash: DeviceHash) -> Self {
        let over = match hash {
            DeviceHash::Md5(_) => Over::Psk1,
            DeviceHash::Sha256(_) => Over::Psk2,
        };
        Self { peer: self.peer, local: self.local, over, hash: Some(hash) }
    }

    /// The peer's address, an IPv4 one even when it came in on a socket for both.
    pub fn ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

/// A stream that a server can serve: a socket, a TLS session, a pipe in memory.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// The keys of devices with PSK identities of type 2, as the backend has them. Those of type 1 follow from the
/// identity.
pub struct DeviceKeys(pub Arc<dyn Backend>);

impl PskKeys for DeviceKeys {
    fn key(&self, identity: &Identity) -> Option<Psk> {
        match identity.kind() {
            PskType::One => None,
            PskType::Two => self.0.by_hash(&identity.device())?.psk_key.as_ref().map(Psk::of_key),
        }
    }
}

/// What a listener serves.
#[derive(Clone)]
pub(crate) enum Service {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS; in clear, too, for firmware that speaks so to this port (cloud.md 3.2).
    Https(Arc<Acceptor>),
    /// MQTT in clear.
    Mqtt,
    /// MQTT over TLS; in clear, too, as with HTTPS.
    Mqtts(Arc<Acceptor>),
}

/// One listener with all that its connections need.
pub(crate) struct Entrance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) service: Service,
    pub(crate) peers: Arc<Peers>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Entrance {
    /// Accepts until it is stopped.
    pub(crate) async fn run(self, listener: TcpListener) {
        let this = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = this.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => this.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::select! {
                        () = this.stop.cancelled() => return,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let place = match self.peers.enter(peer.ip(), self.shared.clock.now().mono) {
            Ok(place) => place,
            Err(crowded) => {
                tracing::debug!(%peer, %crowded, "a connection was closed at once");
                self.shared.tell(
                    None,
                    Some(peer),
                    What::Refusal { code: crowded.code(), why: crowded.to_string() },
                );
                return;
            }
        };
        let local = match tune(&stream) {
            Ok(local) => local,
            // It is gone already.
            Err(error) => return tracing::debug!(%peer, %error, "a connection was lost at once"),
        };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let _place = place;
            tokio::select! {
                () = this.stop.cancelled() => {}
                () = this.serve(stream, Link::plain(peer, local)) => {}
            }
        });
    }

    async fn serve(&self, stream: TcpStream, link: Link) {
        let shared = Arc::clone(&self.shared);
        match &self.service {
            Service::Http => crate::gateway::serve(shared, stream, link).await,
            Service::Mqtt => crate::mqtt::serve(shared, stream, link).await,
            Service::Https(acceptor) => match self.first_byte(&stream).await {
                Some(TLS_HANDSHAKE) => {
                    if let Some((stream, link)) = secure(&shared, acceptor, stream, link).await {
                        crate::gateway::serve(shared, stream, link).await;
                    }
                }
                Some(b'A'..=b'Z') => crate::gateway::serve(shared, stream, link).await,
                Some(other) => refuse_strange(&shared, &link, "HTTPS", other),
                None => {}
            },
            Service::Mqtts(acceptor) => match self.first_byte(&stream).await {
                Some(TLS_HANDSHAKE) => {
                    if let Some((stream, link)) = secure(&shared, acceptor, stream, link).await {
                        crate::mqtt::serve(shared, stream, link).await;
                    }
                }
                Some(MQTT_CONNECT) => crate::mqtt::serve(shared, stream, link).await,
                Some(other) => refuse_strange(&shared, &link, "MQTT over TLS", other),
                None => {}
            },
        }
    }

    /// The first byte that the peer sends, left where it is; `None` when it sends none in time.
    async fn first_byte(&self, stream: &TcpStream) -> Option<u8> {
        let mut first = [0];
        match tokio::time::timeout(self.shared.config.limits.patience, stream.peek(&mut first)).await {
            Ok(Ok(1)) => Some(first[0]),
            _ => None,
        }
    }
}

/// The type of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// The first byte of an MQTT CONNECT.
const MQTT_CONNECT: u8 = 0x10;

/// Makes a TLS session of a connection, in the time that is allowed. A failure is told and ends the connection; what is
/// known of the device by its PSK identity is recorded.
pub async fn secure<S: Stream>(
    shared: &Shared,
    acceptor: &Acceptor,
    stream: S,
    link: Link,
) -> Option<(TlsStream<S>, Link)> {
    let patience = shared.config.limits.patience;
    match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let link = match stream.peer() {
                TlsPeer::Psk { identity } => link.of_device(identity.device()),
                TlsPeer::Certificate { .. } => Link { over: Over::Certificate, ..link },
            };
            // Without an identity it is anybody: a person's MQTT client, a browser.
            if link.hash.is_some() {
                let (_, who) = caller(shared, &link);
                shared.handshakes.step(&who, Step::Tls, Mark::on(&link, shared.clock.unix()));
            }
            Some((stream, link))
        }
        Ok(Err(error)) => {
            let (code, why) = (error.code(), error.to_string());
            tracing::debug!(peer = %link.peer, code, %why, "a TLS handshake failed");
            let mut device = None;
            if let Some(hash) = error.device() {
                let link = link.of_device(hash);
                let (found, who) = caller(shared, &link);
                shared.handshakes.refused(&who, code, Mark::on(&link, shared.clock.unix()));
                device = found;
            }
            shared.tell(device.as_deref(), Some(link.peer), What::Refusal { code, why });
            None
        }
        Err(_) => {
            let why = format!("the TLS handshake was not finished within {} s", patience.as_secs());
            tracing::debug!(peer = %link.peer, %why, "a TLS handshake failed");
            shared.tell(None, Some(link.peer), What::Refusal { code: "tls.time", why });
            None
        }
    }
}

/// A first byte that nothing we speak on this port begins with.
fn refuse_strange(shared: &Shared, link: &Link, port: &str, first: u8) {
    let why = format!(
        "what begins with the byte 0x{first:02x} came to the port of {port}, and is neither that nor TLS"
    );
    tracing::debug!(peer = %link.peer, %why, "a connection was closed");
    shared.tell(None, Some(link.peer), What::Refusal { code: "tls.not_tls", why });
}

/// The owner's device that a PSK identity names, and what to call the peer in the records: its id, else its address.
fn caller(shared: &Shared, link: &Link) -> (Option<Arc<Registration>>, String) {
    let device = link.hash.and_then(|hash| shared.backend.by_hash(&hash));
    let who = device.as_ref().map_or_else(|| link.ip().to_string(), |d| d.id.as_str().to_owned());
    (device, who)
}

/// Small packets at once, vanished peers noticed. Returns our end's address.
fn tune(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    stream.local_addr()
}
