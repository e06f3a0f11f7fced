//! REST, live events, tokens, metrics: the hub's door for programs and for the page.
//!
//! | module | does |
//! |---|---|
//! | [`tokens`] | who may come in |
//! | `sessions` | browsers that signed in with a token |
//! | `private` | random secrets, files for the owner alone |
//! | `guard` | what each request passes: host, origin, token, scope |
//! | `serve` | sockets, limits, TLS; the owner's own socket |
//! | [`tls`] | certificates for the page |
//! | `routes` | what is answered, by subject |
//! | [`body`] | how things look as JSON |
//! | `live` | changes as they happen: SSE and WebSocket |
//! | `metrics` | numbers for Prometheus |
//! | `page` | the page's files |
//! | `etag` | who has what already |
//! | [`answer`] | errors as RFC 9457 has them |
//!
//! The only place that names axum, utoipa and prometheus-client.

pub mod answer;
pub mod body;
mod etag;
mod extract;
mod guard;
mod live;
mod metrics;
mod page;
mod private;
mod routes;
mod serve;
mod sessions;
pub mod tls;
pub mod tokens;
mod when;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_link::tls::Acceptor;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::socket_path;
use crate::model::Home;
pub use live::change_json;
pub use routes::document;
pub use tokens::{Caller, Fresh, Scope, TokenInfo, Tokens};

/// Live streams at a time.
const STREAMS: usize = 256;
/// How long answers under way may take when the hub ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often is written when tokens were last used.
const FLUSH: Duration = Duration::from_secs(600);

/// How the door is set up.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Where it listens; port 0 takes a free one. `None`: on the owner's socket only.
    pub listen: Option<SocketAddr>,
    /// TLS, as [`tls`] makes it.
    pub tls: Option<Acceptor>,
    /// A proxy in front does TLS.
    pub behind_proxy: bool,
    /// Names by which browsers may call it, beside loopback's and this machine's.
    pub hosts: Vec<String>,
    /// The hub's data directory: the owner's socket and back-ups.
    pub data_dir: PathBuf,
    /// The settings without secrets, for `GET /api/v1/config`.
    pub settings: serde_json::Value,
    /// Where they stand, or would.
    pub settings_file: Option<PathBuf>,
}

impl ApiConfig {
    /// On a free port of loopback, without TLS.
    pub fn loopback(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: None,
            behind_proxy: false,
            hosts: Vec::new(),
            data_dir: data_dir.into(),
            settings: serde_json::json!({}),
            settings_file: None,
        }
    }
}

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Tokens would go over the network in clear text.
    #[error(
        "the page would listen on {0} without encryption, where others could read its tokens; set `tls` under [page] to \"own\" or \"files\", or `behind_proxy` when a proxy encrypts, or listen on 127.0.0.1"
    )]
    Unencrypted(SocketAddr),
    /// The address can't be had.
    #[error("can't listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Sessions can't be read.
    #[error(transparent)]
    Sessions(#[from] tokens::TokensError),
    /// The owner's socket can't be had.
    #[error("can't open the socket {}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What all requests share.
struct Shared {
    home: Arc<dyn Home>,
    tokens: Arc<Tokens>,
    sessions: sessions::Sessions,
    hosts: guard::Hosts,
    table: guard::Table,
    wrongs: guard::Wrongs,
    counts: metrics::Counts,
    streams: Arc<Semaphore>,
    backup: tokio::sync::Mutex<()>,
    behind_proxy: bool,
    tls: bool,
    data_dir: PathBuf,
    settings: serde_json::Value,
    settings_file: Option<PathBuf>,
    document: axum::body::Bytes,
    started: Instant,
    /// Fires when the hub ends: streams close.
    end: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Shared {
    /// Now, seconds since 1970, by the hub's clock.
    fn now_s(&self) -> u64 {
        self.home.now_ms() / 1_000
    }
}

/// The open door. Dropping it closes it at once; [`shutdown`](Self::shutdown) lets answers under way end.
#[derive(Debug)]
pub struct Api {
    bound: Option<SocketAddr>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    /// Removes the socket's file in the end.
    _socket: serve::OwnSocket,
}

impl Api {
    /// Opens the door.
    ///
    /// # Errors
    /// An address beyond loopback without encryption; an address, a socket or a file that can't be had.
    pub async fn start(
        config: ApiConfig,
        home: Arc<dyn Home>,
        tokens: Arc<Tokens>,
    ) -> Result<Self, ApiError> {
        let ApiConfig { listen, tls, behind_proxy, hosts, data_dir, settings, settings_file } = config;
        if let Some(address) = listen
            && !is_loopback(address.ip())
            && tls.is_none()
            && !behind_proxy
        {
            return Err(ApiError::Unencrypted(address));
        }
        let sessions = {
            let (dir, tokens) = (data_dir.clone(), Arc::clone(&tokens));
            let opened = tokio::task::spawn_blocking(move || sessions::Sessions::open(&dir, tokens)).await;
            opened.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?
        };
        let document = document();
        let shared = Arc::new(Shared {
            table: guard::Table::of(&document),
            document: document.to_string().into(),
            hosts: guard::Hosts::new(&hosts),
            wrongs: guard::Wrongs::default(),
            counts: metrics::Counts::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            backup: tokio::sync::Mutex::new(()),
            tls: tls.is_some(),
            started: Instant::now(),
            end: CancellationToken::new(),
            home,
            tokens,
            sessions,
            behind_proxy,
            data_dir,
            settings,
            settings_file,
        });
        let router = routes::router(Arc::clone(&shared));
        let path = socket_path(&shared.data_dir);
        let (unix, socket) = serve::OwnSocket::bind(&path)
            .map_err(|source| ApiError::Socket { path: path.clone(), source })?;
        let mut tasks = vec![
            tokio::spawn(serve::unix(unix, socket.owner(), router.clone(), shared.end.clone())),
            // From here on, not from when the task first runs.
            tokio::spawn(metrics::count(Arc::clone(&shared), shared.home.bus().read(None))),
            tokio::spawn(flush(Arc::clone(&shared))),
        ];
        let mut bound = None;
        if let Some(address) = listen {
            let failed = |source| ApiError::Listen { address, source };
            let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
            bound = Some(listener.local_addr().map_err(failed)?);
            tasks.push(tokio::spawn(serve::tcp(listener, tls, behind_proxy, router, shared.end.clone())));
        }
        Ok(Self { bound, shared, tasks, _socket: socket })
    }

    /// The address that is really listened on.
    pub const fn bound(&self) -> Option<SocketAddr> {
        self.bound
    }

    /// Takes no more requests, ends streams, and lets answers under way end, for some seconds at most.
    pub async fn shutdown(mut self) {
        self.shared.end.cancel();
        let cut_at = tokio::time::Instant::now() + FAREWELL;
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout_at(cut_at, &mut task).await.is_err() {
                tracing::warn!("some requests were cut at the end");
                task.abort();
            }
        }
        flush_now(&self.shared).await;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shared.end.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Writes now and then when tokens and sessions were last used.
async fn flush(shared: Arc<Shared>) {
    while shared.end.run_until_cancelled(tokio::time::sleep(FLUSH)).await.is_some() {
        flush_now(&shared).await;
    }
}

async fn flush_now(shared: &Arc<Shared>) {
    let flushing = Arc::clone(shared);
    let flushed = tokio::task::spawn_blocking(move || {
        flushing.tokens.flush().and(flushing.sessions.flush(flushing.now_s()))
    });
    match flushed.await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!("when tokens were last used is not kept: {e}"),
        Err(e) => tracing::warn!("when tokens were last used is not kept: {e}"),
    }
}
