//! The embedded broker: rmqtt inside this process (docs/adr/0008). Nothing else names that crate.
//!
//! rmqtt serves connections of its own listener only, so it has one on a free port of loopback, and clients reach it by a
//! hop ([`super::hop`]). What does not show the secret of this start there is refused. Who may log in was decided before;
//! here the rights of people are kept ([`super::rights`]).

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rmqtt::codec::types::Publish as Packet;
use rmqtt::codec::v5::{PublishAckReason, PublishProperties, SubscribeAckReason};
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::retain::{RetainStorage, RetainTree};
use rmqtt::server::MqttServer;
use rmqtt::session::SessionState;
use rmqtt::topic::Topic as Levels;
use rmqtt::types::{
    AuthResult, ClientId, ConnectInfo, From as Sender, FromType, Id, LastWill, Publish, PublishAclResult,
    PublishResult, QoS, Retain, SubscribeAclResult, TimedValue, TopicFilter, TopicName,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, RwLock, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::login::{Login, Secret};
use super::rights::{self, Publishing};
use super::{Broker, Commands, PACKET, Status, ToDevice, hop};
use crate::config::Limits;
use crate::listen::{Link, Stream};

/// Messages of devices that may wait for the broker.
const REPORTS: usize = 4_096;
/// Sessions, those of absent clients included.
const SESSIONS: isize = 1_000;
/// Messages that may wait for one client.
const QUEUE: usize = 1_000;
/// Messages under way to one client without an acknowledgement.
const INFLIGHT: NonZeroU16 = NonZeroU16::new(32).unwrap();
/// Subscriptions of one client.
const SUBSCRIPTIONS: usize = 1_000;
/// How long the session of an absent client is kept.
const SESSION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Retained messages of all.
const RETAINED: usize = 10_000;
/// Their payloads in bytes.
const RETAINED_BYTES: usize = 16 * 1024 * 1024;
/// Logins at a time.
const LOGINS: usize = 100;
/// How long the end of all sessions is waited for.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The embedded broker. It runs from the first login of a person on.
pub struct Embedded {
    limits: Limits,
    commands: Arc<Commands>,
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
        self.running.get_or_try_init(|| Running::start(&self.limits, self.commands.clone())).await
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
    async fn start(limits: &Limits, commands: Arc<Commands>) -> Result<Self, EmbeddedError> {
        let secret = Secret::random().map_err(EmbeddedError::Random)?;
        // Its measure of a busy machine is one of seconds past; logins are limited before.
        let context = ServerContext::new().busy_check_enable(false).mqtt_max_sessions(SESSIONS).build().await;
        *context.extends.retain_mut().await = Box::new(Retained::default());
        let rules = Rules { secret: secret.clone(), commands };
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
    let cloud = Id::new(context.node.id(), 0, None, None, ClientId::from_static("landfall"), None);
    while let Some((topic, payload)) = queue.recv().await {
        let packet = Packet {
            dup: false,
            retain: false,
            // Subscribers choose: they get it with the lower one of this and their own.
            qos: QoS::AtLeastOnce,
            topic,
            packet_id: None,
            payload,
            properties: Some(PublishProperties::default()),
        };
        let sender = Sender::from_system(cloud.clone());
        if let Err(error) = SessionState::forwards(&context, sender, Publish::from(packet), false, None).await
        {
            tracing::debug!(%error, "a device's message does not reach people's clients");
        }
    }
}

/// The rights of people, as hooks of the broker.
#[derive(Clone)]
struct Rules {
    secret: Secret,
    commands: Arc<Commands>,
}

#[async_trait]
impl Handler for Rules {
    async fn hook(&self, parameter: &Parameter, so_far: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(connect) => {
                (false, Some(HookResult::AuthResult(self.login(connect))))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => {
                match rights::subscribing(&subscribe.topic_filter) {
                    Ok(()) => (true, so_far),
                    Err(refusal) => {
                        let filter = &*subscribe.topic_filter;
                        tracing::info!(user = user(&session.id), filter, %refusal, "a subscription is refused");
                        let refused = SubscribeAclResult::new_failure(SubscribeAckReason::NotAuthorized);
                        (false, Some(HookResult::SubscribeAclResult(refused)))
                    }
                }
            }
            Parameter::MessagePublish(_, sender, publish) => match self.take(sender, publish) {
                Some(taken) => (false, Some(HookResult::Publish(taken))),
                None => (true, so_far),
            },
            Parameter::MessagePublishCheckAcl(session, publish) => match refusal(publish) {
                Some((reason, why)) => {
                    tracing::info!(
                        user = user(&session.id),
                        topic = &*publish.topic,
                        why,
                        "a message is refused"
                    );
                    let refused = PublishResult::reason_code(reason, Some(why.into()), false);
                    (false, Some(HookResult::PublishAclResult(PublishAclResult(refused))))
                }
                None => (false, Some(HookResult::PublishAclResult(PublishAclResult::allow()))),
            },
            _ => (true, so_far),
        }
    }
}

impl Rules {
    /// Only our own hops know the secret. A will is published without a further question, so it is looked at here.
    fn login(&self, connect: &ConnectInfo) -> AuthResult {
        let known = connect.password().is_some_and(|given| self.secret.is(given));
        if !known || connect.username().is_none() {
            tracing::warn!(from = ?connect.ipaddress(), "the embedded broker's own port refuses a stranger");
            return AuthResult::NotAuthorized;
        }
        let will = connect.last_will().map(|will| match will {
            LastWill::V3(will) => &will.topic,
            LastWill::V5(will) => &will.topic,
        });
        if let Some(Publishing::Refused(refusal)) = will.map(|topic| rights::publishing(topic)) {
            tracing::info!(user = user(connect.id()), %refusal, "a login with a will for a forbidden topic is refused");
            return AuthResult::NotAuthorized;
        }
        AuthResult::Allow(false, None)
    }

    /// Puts a command into the inbox, and returns it as a message that reaches nobody else. `None`: not a command, or
    /// the inbox is full, which [`refusal`] tells the client.
    fn take(&self, sender: &Sender, publish: &Publish) -> Option<Publish> {
        let last_will = matches!(sender.typ(), FromType::LastWill);
        let taken = match rights::publishing(&publish.topic) {
            Publishing::ToDevice(device) => {
                self.commands.send(ToDevice { device, payload: publish.payload.clone() }).is_ok()
            }
            Publishing::Refused(_) => false,
            Publishing::Free => return None,
        };
        // Nobody is asked again before a will is published: it must not get further, taken or not.
        (taken || last_will).then(|| {
            // No client has an empty id: the broker gives a name to those that bring none.
            let mut taken = publish.clone().target_clientid(ClientId::default());
            taken.retain = false;
            taken
        })
    }
}

/// Why a message is not published, after [`Rules::take`] has seen it.
fn refusal(publish: &Publish) -> Option<(PublishAckReason, &'static str)> {
    if publish.target_clientid.is_some() {
        return None;
    }
    match rights::publishing(&publish.topic) {
        Publishing::Free => None,
        Publishing::ToDevice(_) => {
            Some((PublishAckReason::QuotaExceeded, "too many commands wait for their devices"))
        }
        Publishing::Refused(_) => {
            Some((PublishAckReason::NotAuthorized, "people's clients may not publish there"))
        }
    }
}

fn user(id: &Id) -> &str {
    id.username.as_deref().unwrap_or("")
}

/// Retained messages in memory, bounded. (The storage that rmqtt brings keeps nothing.)
#[derive(Default)]
struct Retained {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    tree: RetainTree<TimedValue<Retain>>,
    count: usize,
    bytes: usize,
    refused: u64,
}

impl Kept {
    fn remove(&mut self, topic: &Levels) {
        if let Some(old) = self.tree.remove(topic) {
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(old.value().publish.payload.len());
        }
    }

    fn set(&mut self, topic: &Levels, retain: Retain, life: Option<Duration>) {
        self.remove(topic);
        let size = retain.publish.payload.len();
        if size == 0 {
            return;
        }
        if self.count >= RETAINED || self.bytes + size > RETAINED_BYTES {
            self.sweep();
        }
        if self.count >= RETAINED || self.bytes + size > RETAINED_BYTES {
            self.refused += 1;
            if self.refused.is_power_of_two() {
                let refused = self.refused;
                tracing::warn!(
                    refused,
                    "no room for more retained messages; they are passed on and not kept"
                );
            }
            return;
        }
        self.count += 1;
        self.bytes += size;
        self.tree.insert(topic, TimedValue::new(retain, life));
    }

    /// Forgets what has expired.
    fn sweep(&mut self) {
        let (mut count, mut bytes) = (0, 0);
        self.tree.retain(usize::MAX, |kept| {
            let keep = !kept.is_expired();
            if keep {
                count += 1;
                bytes += kept.value().publish.payload.len();
            }
            keep
        });
        (self.count, self.bytes) = (count, bytes);
    }
}

#[async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    async fn set(&self, topic: &TopicName, retain: Retain, life: Option<Duration>) -> rmqtt::Result<()> {
        let topic = Levels::from_str(topic)?;
        self.kept.write().await.set(&topic, retain, life.filter(|life| !life.is_zero()));
        Ok(())
    }

    async fn get(&self, filter: &TopicFilter) -> rmqtt::Result<Vec<(TopicName, Retain)>> {
        let filter = Levels::from_str(filter)?;
        let kept = self.kept.read().await;
        let found = kept.tree.matches(&filter).into_iter().filter(|(_, kept)| !kept.is_expired());
        Ok(found.map(|(topic, kept)| (TopicName::from(topic.to_string()), kept.into_value())).collect())
    }

    async fn count(&self) -> isize {
        isize::try_from(self.kept.read().await.count).unwrap_or(isize::MAX)
    }

    async fn max(&self) -> isize {
        isize::try_from(RETAINED).unwrap_or(isize::MAX)
    }
}
