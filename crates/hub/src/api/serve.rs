//! Sockets: accepting, limits, TLS, and HTTP on what was accepted.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use landfall_link::tls::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::guard::Peer;

/// Connections at a time.
const CONNECTIONS: usize = 512;
/// Of them from one address, unless it is loopback or a proxy's.
const PER_PEER: usize = 64;
/// Connections at a time on the owner's socket.
const OWN_CONNECTIONS: usize = 64;
/// Time for a TLS handshake and for a request's head, each; an idle connection is closed after it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time that a client may leave unread what we send.
const UNREAD: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD: usize = 32 << 10;
/// Pause after the system could not accept.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves a TCP listener until the end.
///
/// `proxied`: all requests come from one address.
pub(super) async fn tcp(
    listener: TcpListener,
    tls: Option<Acceptor>,
    proxied: bool,
    router: Router,
    end: CancellationToken,
) {
    let per_peer = if proxied { CONNECTIONS } else { PER_PEER };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Arc::new(Peers::default());
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            Some(_) = served.join_next(), if !served.is_empty() => {}
            (permit, accepted) = async {
                // A place first: who finds none waits in the system's own short queue.
                let permit = Arc::clone(&places).acquire_owned().await;
                (permit, listener.accept().await)
            } => match (permit, accepted) {
                (Ok(permit), Ok((stream, from))) => {
                    let ip = from.ip().to_canonical();
                    let Some(place) = Peers::enter(&peers, ip, per_peer) else {
                        tracing::debug!("{ip} has {per_peer} connections already");
                        continue;
                    };
                    let (tls, router, end) = (tls.clone(), router.clone(), end.clone());
                    served.spawn(async move {
                        let _places: (OwnedSemaphorePermit, Place) = (permit, place);
                        connection(stream, ip, tls, router, end).await;
                    });
                }
                (_, Err(e)) => {
                    // Out of file descriptors, say; there will be some again.
                    tracing::warn!("the page can't accept: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
                // Never closed.
                (Err(_), _) => break,
            },
        }
    }
    drop(listener);
    while served.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    ip: IpAddr,
    tls: Option<Acceptor>,
    router: Router,
    end: CancellationToken,
) {
    if let Err(e) = prepare(&stream) {
        tracing::debug!("{ip}: a socket option can't be set: {e}");
    }
    let Some(acceptor) = tls else { return http(stream, Peer::Ip(ip), router, end).await };
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => http(stream, Peer::Ip(ip), router, end).await,
        Ok(Err(e)) => tracing::debug!("{ip}: no TLS: {e}"),
        Err(_) => tracing::debug!("{ip}: no TLS handshake within {} s", PATIENCE.as_secs()),
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(UNREAD))?;
    // The system gives up on a client that takes nothing: without it a stalled one would keep its place for long.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREAD))?;
    Ok(())
}

/// HTTP/1.1 on one connection.
async fn http<S>(stream: S, peer: Peer, router: Router, end: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a connection ended: {e}");
    }
}

/// Connections by peer.
#[derive(Debug, Default)]
struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// A place of a peer, given back when dropped.
#[derive(Debug)]
struct Place {
    peers: Arc<Peers>,
    ip: IpAddr,
}

impl Peers {
    fn enter(peers: &Arc<Self>, ip: IpAddr, most: usize) -> Option<Place> {
        let mut all = peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(ip).or_insert(0);
        // The owner's own programs come from loopback, and proxies.
        if *open >= most && !ip.is_loopback() {
            return None;
        }
        *open += 1;
        Some(Place { peers: Arc::clone(peers), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&self.ip) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.ip);
            }
        }
    }
}

/// The file of the owner's socket; removed when dropped.
#[derive(Debug)]
pub(super) struct OwnSocket {
    path: PathBuf,
    owner: u32,
}

impl OwnSocket {
    /// Binds it: 0600 in a directory that is 0700. A stale one is replaced; that no other hub runs here is what the lock
    /// of the data directory is for.
    pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        use std::os::fd::AsRawFd as _;
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else has this name"));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // A path in a socket's address has room for about a hundred bytes; a longer one goes by the directory's handle.
        let handle = std::fs::File::open(dir)?;
        let short = match path.file_name() {
            Some(name) if cfg!(target_os = "linux") && path.as_os_str().len() >= 100 => {
                PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd())).join(name)
            }
            _ => path.to_owned(),
        };
        let listener = UnixListener::bind(short)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(path)?.uid();
        Ok((listener, Self { path: path.to_owned(), owner }))
    }

    /// Whose it is, by user id.
    pub(super) const fn owner(&self) -> u32 {
        self.owner
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // Gone already, or the directory was removed: either way nobody connects to it.
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// Serves the owner's socket until the end.
pub(super) async fn unix(listener: UnixListener, owner: u32, router: Router, end: CancellationToken) {
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            Some(_) = served.join_next(), if !served.is_empty() => {}
            accepted = listener.accept(), if served.len() < OWN_CONNECTIONS => match accepted {
                Ok((stream, _)) if stream.peer_cred().is_ok_and(|c| c.uid() == owner || c.uid() == 0) => {
                    served.spawn(http(stream, Peer::Owner, router.clone(), end.clone()));
                }
                Ok(_) => tracing::warn!("another user tried the hub's socket"),
                Err(e) => {
                    tracing::warn!("the hub's socket can't be accepted on: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while served.join_next().await.is_some() {}
}
