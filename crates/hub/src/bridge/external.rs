//! The owner's broker (Mosquitto, EMQX...), by rumqttc. Nothing else in the hub names that crate.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing,
    Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode, TlsConfiguration,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::transport::{Connection, Link, Lost, Message, Qos, Transport};

/// Messages that wait in the client; behind it the outbox waits, which keeps the newest of each topic only.
const REQUESTS: usize = 16;
/// Messages under way to the broker without an acknowledgement.
const INFLIGHT: u16 = 100;
/// Messages of people that may wait for us. Above the number of retained ones that a base begins with.
const INBOX: usize = 4_096;
/// Largest packet in bytes, either way. The client's own default of 10 KiB would end the connection at the first list of
/// devices, and a retained one each time anew.
const PACKET: usize = 16 * 1024 * 1024;
/// Time between two signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// First and longest pause before a new try.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A connection that lasted this long starts with short pauses again.
const STEADY: Duration = Duration::from_secs(30);
/// How long the goodbye may take.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where the owner's broker is.
#[derive(Clone)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password, if it wants any.
    pub login: Option<(String, String)>,
    /// TLS.
    pub tls: Tls,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({}:{}, {:?})", self.host, self.port, self.tls)
    }
}

/// How the broker's certificate is checked.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Tls {
    /// No TLS.
    #[default]
    Off,
    /// By the authorities of the system.
    System,
    /// By this authority (one certificate, PEM) as well.
    Authority(Vec<u8>),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "clear",
            Self::System => "TLS by the system's authorities",
            Self::Authority(_) => "TLS by the owner's authority",
        })
    }
}

struct External {
    client: AsyncClient,
    link: watch::Sender<Link>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Calls the broker from now on, and again whenever the connection is lost. It publishes `will` when we are gone without
/// a word.
///
/// # Errors
/// No random bytes for the client's id.
pub fn connect(broker: &Broker, will: &Message) -> std::io::Result<Connection> {
    let mut tail = [0; 8];
    // Two clients with one id cut each other for ever, so it is a new one with each start.
    getrandom::fill(&mut tail).map_err(std::io::Error::other)?;
    let mut options =
        MqttOptions::new(format!("landfall-{:016x}", u64::from_be_bytes(tail)), &broker.host, broker.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_clean_session(true);
    options.set_max_packet_size(PACKET, PACKET);
    options.set_inflight(INFLIGHT);
    options.set_last_will(LastWill::new(&will.topic, will.payload.clone(), of(will.qos), will.retain));
    if let Some((user, password)) = &broker.login {
        options.set_credentials(user, password);
    }
    match &broker.tls {
        Tls::Off => {}
        Tls::System => {
            options.set_transport(rumqttc::Transport::tls_with_config(TlsConfiguration::Native));
        }
        Tls::Authority(ca) => {
            let trust = TlsConfiguration::SimpleNative { ca: ca.clone(), client_auth: None };
            options.set_transport(rumqttc::Transport::tls_with_config(trust));
        }
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    // A small message waits for no other one.
    let mut network = events.network_options();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let link = watch::Sender::new(Link::Down { why: None });
    let (inbox, heard) = mpsc::channel(INBOX);
    let (dropped, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let run = Run {
        address: format!("{}:{}", broker.host, broker.port),
        link: link.clone(),
        inbox,
        dropped: Arc::clone(&dropped),
        stop: stop.clone(),
    };
    let task = Mutex::new(Some(tokio::spawn(run.run(events))));
    let incoming = unfold(heard, |mut heard| async move { Some((heard.recv().await?, heard)) });
    let transport = Arc::new(External { client, link, dropped, stop, task });
    Ok(Connection { transport, incoming: incoming.boxed() })
}

impl External {
    /// Does something with the client unless the link is down or goes down.
    async fn while_up<T, E>(&self, doing: impl Future<Output = Result<T, E>>) -> Result<(), Lost> {
        let mut link = self.link.subscribe();
        if !matches!(*link.borrow_and_update(), Link::Up(_)) {
            return Err(Lost);
        }
        tokio::select! {
            biased;
            done = doing => done.map(drop).map_err(|_| Lost),
            // Any change: even if it is up again, what waited is lost.
            _ = link.changed() => Err(Lost),
        }
    }
}

#[async_trait]
impl Transport for External {
    fn kind(&self) -> &'static str {
        "external"
    }

    fn shared(&self) -> bool {
        true
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn publish(&self, message: Message) -> Result<(), Lost> {
        let Message { topic, payload, qos, retain } = message;
        self.while_up(self.client.publish_bytes(topic, of(qos), retain, payload)).await
    }

    async fn subscribe(&self, filters: Vec<String>) -> Result<(), Lost> {
        let filters = filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        self.while_up(self.client.subscribe_many(filters)).await
    }

    async fn unsubscribe(&self, filters: Vec<String>) -> Result<(), Lost> {
        for filter in filters {
            self.while_up(self.client.unsubscribe(filter)).await?;
        }
        Ok(())
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    async fn close(&self, farewell: Vec<Message>) {
        let words = async {
            for message in farewell {
                self.publish(message).await?;
            }
            // What was published before goes out before.
            self.while_up(self.client.disconnect()).await
        };
        let said = matches!(timeout(LAST_WORDS, words).await, Ok(Ok(())));
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task {
            // With a goodbye under way the task ends by itself.
            if !said || timeout(LAST_WORDS, &mut task).await.is_err() {
                self.stop.cancel();
            }
        }
        self.link.send_replace(Link::Down { why: None });
    }
}

impl Drop for External {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn of(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}

/// What keeps the connection.
struct Run {
    address: String,
    link: watch::Sender<Link>,
    inbox: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Run {
    async fn run(self, mut events: EventLoop) {
        let (shortest, longest) = PAUSES;
        let mut pause = shortest;
        let mut epoch = 0;
        let mut since = Instant::now();
        loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => return,
                event = events.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    since = Instant::now();
                    epoch += 1;
                    tracing::info!(broker = self.address, "connected to the owner's MQTT broker");
                    self.link.send_replace(Link::Up(epoch));
                }
                Ok(Event::Incoming(Packet::SubAck(ack))) => {
                    let refused =
                        ack.return_codes.iter().filter(|c| **c == SubscribeReasonCode::Failure).count();
                    if refused > 0 {
                        tracing::error!(
                            broker = self.address,
                            refused,
                            "the MQTT broker does not let us subscribe under our base: give our user the right to read it"
                        );
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => self.hear(publish),
                Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
                Ok(_) => {}
                Err(error) => {
                    // Everything is published anew with the next connection.
                    events.pending.clear();
                    if since.elapsed() >= STEADY && epoch > 0 {
                        pause = shortest;
                    }
                    let why = format!("no connection to the MQTT broker {}: {}", self.address, words(&error));
                    let wait = jittered(pause);
                    tracing::warn!(error = why, ?wait, "the MQTT bridge waits for its broker");
                    self.link.send_replace(Link::Down { why: Some(why) });
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = sleep(wait) => pause = (pause * 2).min(longest),
                    }
                }
            }
        }
    }

    fn hear(&self, publish: Publish) {
        let message = Message {
            topic: publish.topic,
            payload: publish.payload,
            qos: Qos::AtLeastOnce,
            retain: publish.retain,
        };
        if self.inbox.try_send(message).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(
                    dropped,
                    broker = self.address,
                    "MQTT commands come faster than they are read"
                );
            }
        }
    }
}

/// Half to one and a half of a pause, so that a house full of clients does not call all at once after a power cut.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without random bytes the pause is the plain one.
    let _plain = getrandom::fill(&mut byte).is_err();
    pause / 2 + pause * u32::from(byte[0]) / 255
}

/// An error in words, without what the library prints for programmers.
fn words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword) => {
            "it refuses our user name or password".to_owned()
        }
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => {
            "it does not let us in: user name and password are missing or wrong, or have no rights".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("it refuses us: {code:?}"),
        ConnectionError::NetworkTimeout => "it does not answer".to_owned(),
        ConnectionError::Tls(error) => {
            format!(
                "TLS: {error}; if its certificate is the owner's own, name its authority as `ca_file` under [mqtt]"
            )
        }
        other => other.to_string(),
    }
}
