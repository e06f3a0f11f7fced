//! The embedded broker: rmqtt inside this process (docs/adr/0008). Nothing else names that crate.
//!
//! rmqtt serves connections of its own listener only, so it has one on a free port of loopback, and clients reach it by a
//! hop ([`super::hop`]). What does not show the secret of this start there is refused. Who may log in was decided before;
//! here the rights of people are kept ([`super::rights`]).

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rmqtt::codec::types::Publish as Packet;
use rmqtt::codec::v5::PublishProperties;
use rmqtt::context::ServerContext;
use rmqtt::hook::Type;
use rmqtt::server::MqttServer;
use rmqtt::session::SessionState;
use rmqtt::types::{ClientId, From as Sender, Id, Publish, QoS, TopicName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::login::{Login, Secret};
use super::own::{OwnError, Telling, Tree};
use super::rights::{self, Publishing};
use super::{Broker, Commands, PACKET, Status, hop};
use crate::config::Limits;
use crate::listen::{Link, Stream};

mod retained;
mod rules;

use retained::Retained;
use rules::Rules;

/// Messages of devices that may wait for the broker.
const REPORTS: usize = 4_096;
/// Sessions, those of absent clients included.
const SESSIONS: isize = 1_000;
/// Messages that may wait for one client.
const QUEUE: usize = 10_000;
/// Messages under way to one client without an acknowledgement.
const INFLIGHT: NonZeroU16 = NonZeroU16::new(32).unwrap();
/// Subscriptions of one client.
const SUBSCRIPTIONS: usize = 10_000;
/// How long the session of an absent client is kept.
const SESSION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Logins at a time.
const LOGINS: usize = 100;
/// How long the end of all sessions is waited for.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The embedded broker. It runs from the first login of a person on, or from when a tree of topics is taken.
pub struct Embedded {
    limits: Limits,
    commands: Arc<Commands>,
    tree: Arc<OnceLock<Arc<Tree>>>,
    running: OnceCell<Running>,
    clients: AtomicIsize,
    reports_dropped: AtomicU64,
    stop: CancellationToken,
}

struct Running {
    address: SocketAddr,
    secret: Secret,
    reports: mpsc::Sender<(TopicName, Bytes)>,
    context: ServerContext,
    server: JoinHandle<()>,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No secret.
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// No port.
    #[error("the broker can't listen on loopback: {0}")]
    Listen(String),
    /// It was told to stop.
    #[error("the broker is shut down")]
    Stopped,
}

impl Embedded {
    /// Nothing runs yet. `limits`: patience towards clients.
    pub fn new(limits: Limits, commands: Commands) -> Self {
        Self {
            limits,
            commands: Arc::new(commands),
            tree: Arc::default(),
            running: OnceCell::new(),
            clients: AtomicIsize::new(0),
            reports_dropped: AtomicU64::new(0),
            stop: CancellationToken::new(),
        }
    }

    /// The broker's own port, once it runs. It takes no connections but ours.
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.get().map(|running| running.address)
    }

    async fn running(&self) -> Result<&Running, EmbeddedError> {
        if self.stop.is_cancelled() {
            return Err(EmbeddedError::Stopped);
        }
        let rules = || (self.commands.clone(), self.tree.clone());
        self.running.get_or_try_init(|| Running::start(&self.limits, rules())).await
    }

    /// Connects a client that logged in to the broker, until one of them ends.
    async fn join(&self, mut stream: Box<dyn Stream>, read: &[u8]) -> Result<(), JoinError> {
        let running = self.running().await?;
        let login = Login::rewrite(read, &running.secret)?;
        let connect = async {
            let mut broker = TcpStream::connect(running.address).await?;
            broker.set_nodelay(true)?;
            broker.write_all(&login.bytes).await?;
            Ok(broker)
        };
        let broker =
            timeout(self.limits.patience, connect).await.map_err(|_| std::io::ErrorKind::TimedOut.into());
        let mut broker = broker.and_then(|done| done).map_err(JoinError::Hop)?;
        tracing::debug!(user = %login.user, client_id = %login.client_id, "a person's client is handed to the broker");
        drop(login);
        tokio::select! {
            () = self.stop.cancelled() => {
                // The broker says goodbye by itself; what it says still reaches the client.
                let rest = timeout(LAST_WORDS, hop::copy(&mut *stream, &mut broker, LAST_WORDS)).await;
                rest.unwrap_or(Ok(())).map_err(JoinError::Connection)
            }
            end = hop::copy(&mut *stream, &mut broker, self.limits.write_patience) => end.map_err(JoinError::Connection),
        }
    }
}

/// Why a client was not served, or not to a good end.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error(transparent)]
    Broker(#[from] EmbeddedError),
    #[error(transparent)]
    Login(#[from] super::login::LoginError),
    #[error("the broker's own port can't be reached: {0}")]
    Hop(std::io::Error),
    #[error("the connection broke: {0}")]
    Connection(std::io::Error),
}

#[async_trait]
impl Broker for Embedded {
    fn publish(&self, topic: &str, payload: Bytes) {
        // Before the first login nobody can have subscribed.
        let Some(running) = self.running.get() else { return };
        if !rights::readable(topic) {
            return;
        }
        if running.reports.try_send((TopicName::from(topic), payload)).is_err() {
            let dropped = self.reports_dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(
                    dropped,
                    "the broker for people's clients does not keep up; messages of devices are left out"
                );
            }
        }
    }

    async fn serve(&self, stream: Box<dyn Stream>, link: Link, read: Bytes) {
        let _here = Counted::new(&self.clients);
        match self.join(stream, &read).await {
            Ok(()) => tracing::debug!(peer = %link.peer, "a person's client left"),
            Err(error @ JoinError::Connection(_)) => {
                tracing::debug!(peer = %link.peer, %error, "a person's client is gone")
            }
            Err(error) => tracing::warn!(peer = %link.peer, %error, "a person's client is not served"),
        }
    }

    async fn own(&self, tree: Arc<Tree>) -> Result<(), OwnError> {
        self.tree.set(tree).map_err(|_| OwnError::Taken)?;
        self.running().await.map_err(|e| OwnError::Down(e.to_string()))?;
        Ok(())
    }

    async fn tell(&self, telling: Telling) -> Result<(), OwnError> {
        if rights::publishing(&telling.topic) != Publishing::Free {
            return Err(OwnError::Forbidden(telling.topic));
        }
        let running = self.running.get().filter(|r| !r.server.is_finished());
        let running = running.ok_or_else(|| OwnError::Down("it was not started, or has ended".to_owned()))?;
        let qos = if telling.at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let packet = packet(TopicName::from(telling.topic), telling.payload, qos, telling.retain);
        running.forward(packet).await.map_err(|e| OwnError::Down(e.to_string()))
    }

    fn status(&self) -> Status {
        let running = self.running.get();
        let ended = running.is_some_and(|r| r.server.is_finished());
        Status {
            kind: "embedded",
            connected: running.is_some() && !ended,
            error: ended.then(|| "the embedded broker has ended".to_owned()),
            clients: Some(usize::try_from(self.clients.load(Ordering::Relaxed)).unwrap_or(0)),
            reports_dropped: self.reports_dropped.load(Ordering::Relaxed),
            commands_dropped: self.commands.dropped(),
        }
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        if let Some(running) = self.running.get() {
            running.stop().await;
        }
    }
}

/// Counts a client while it lives.
struct Counted<'a>(&'a AtomicIsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicIsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Running {
    async fn start(
        limits: &Limits,
        (commands, tree): (Arc<Commands>, Arc<OnceLock<Arc<Tree>>>),
    ) -> Result<Self, EmbeddedError> {
        let secret = Secret::random().map_err(EmbeddedError::Random)?;
        // Its measure of a busy machine is one of seconds past; logins are limited before.
        let context = ServerContext::new().busy_check_enable(false).mqtt_max_sessions(SESSIONS).build().await;
        *context.extends.retain_mut().await = Box::new(Retained::default());
        let rules = Rules { secret: secret.clone(), commands, tree };
        let register = context.extends.hook_mgr().register();
        for kind in [
            Type::ClientAuthenticate,
            Type::ClientSubscribeCheckAcl,
            Type::MessagePublish,
            Type::MessagePublishCheckAcl,
        ] {
            register.add(kind, Box::new(rules.clone())).await;
        }
        register.start().await;

        let listener = rmqtt::net::Builder::new()
            .name("people")
            .laddr((Ipv4Addr::LOCALHOST, 0).into())
            .nodelay(true)
            .allow_anonymous(false)
            .max_connections(usize::try_from(SESSIONS).unwrap_or(usize::MAX))
            .max_handshaking_limit(LOGINS)
            .max_packet_size(PACKET)
            .handshake_timeout(limits.patience)
            .send_timeout(limits.write_patience)
            .max_mqueue_len(QUEUE)
            .max_inflight(INFLIGHT)
            .max_clientid_len(256)
            .max_topic_levels(rights::LEVELS)
            .max_subscriptions(SUBSCRIPTIONS)
            .session_expiry_interval(SESSION_LIFE)
            .max_session_expiry_interval(SESSION_LIFE)
            // 0: what is retained stays, and what waits for a client waits as long as its session.
            .message_expiry_interval(Duration::ZERO)
            .bind()
            .and_then(rmqtt::net::Listener::tcp)
            .map_err(|e| EmbeddedError::Listen(format!("{e:#}")))?;
        let address = listener.local_addr().map_err(|e| EmbeddedError::Listen(format!("{e:#}")))?;
        let server = MqttServer::new(context.clone()).listener_by_id(listener, address.port()).build();
        let server = tokio::spawn(async move {
            // `start` would print and end the process.
            if let Err(error) = server.run().await {
                tracing::error!(%error, "the embedded broker ended");
            }
        });
        let (reports, queue) = mpsc::channel(REPORTS);
        tokio::spawn(hand_on(context.clone(), queue));
        tracing::info!(
            port = address.port(),
            "the embedded broker runs; its port takes no connections but our own"
        );
        Ok(Self { address, secret, reports, context, server })
    }

    async fn forward(&self, packet: Packet) -> rmqtt::Result<()> {
        forward(&self.context, ourselves(&self.context), packet).await
    }

    /// Ends all sessions with a word to their clients, then the listener.
    async fn stop(&self) {
        self.server.abort();
        let sessions: Vec<Id> = {
            let shared = self.context.extends.shared().await;
            shared.iter().filter_map(|entry| entry.session().map(|s| s.id.clone())).collect()
        };
        let kicks = sessions.into_iter().map(|id| async move {
            let mut entry = self.context.extends.shared().await.entry(id);
            if let Err(error) = entry.kick(true, true, true).await {
                tracing::debug!(%error, "a session does not end");
            }
        });
        if timeout(LAST_WORDS, futures_util::future::join_all(kicks)).await.is_err() {
            tracing::warn!("sessions of people's clients do not end; they are left behind");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Gives the messages of devices to the broker until there are no more.
async fn hand_on(context: ServerContext, mut queue: mpsc::Receiver<(TopicName, Bytes)>) {
    let cloud = ourselves(&context);
    while let Some((topic, payload)) = queue.recv().await {
        // Subscribers choose: they get it with the lower one of this and their own.
        let packet = packet(topic, payload, QoS::AtLeastOnce, false);
        if let Err(error) = forward(&context, cloud.clone(), packet).await {
            tracing::debug!(%error, "a device's message does not reach people's clients");
        }
    }
}

/// As whom this process publishes.
fn ourselves(context: &ServerContext) -> Id {
    Id::new(context.node.id(), 0, None, None, ClientId::from_static("landfall"), None)
}

fn packet(topic: TopicName, payload: Bytes, qos: QoS, retain: bool) -> Packet {
    let properties = Some(PublishProperties::default());
    Packet { dup: false, retain, qos, topic, packet_id: None, payload, properties }
}

async fn forward(context: &ServerContext, from: Id, packet: Packet) -> rmqtt::Result<()> {
    SessionState::forwards(context, Sender::from_system(from), Publish::from(packet), false, None).await
}
