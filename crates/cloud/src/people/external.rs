//! An external broker (Mosquitto, EMQX...) for people's clients, reached by rumqttc. Nothing else names that crate.
//!
//! It gets what devices report, and we take what is published to devices there. We never publish where we subscribe, so
//! that nothing of ours comes back as a command. Devices are never sent there: a broker's refusal makes them forget their
//! owner.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use landfall_proto::mqtt::Topic;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS,
    SubscribeReasonCode,
};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Broker, Commands, PACKET, Status, ToDevice, rights};
use crate::config::ExternalBroker;
use crate::listen::{Link, Stream};

/// Messages of devices that may wait for the broker.
const REPORTS: usize = 1_024;
/// Messages under way to the broker without an acknowledgement.
const INFLIGHT: u16 = 100;
/// Largest packet that we read, in bytes. Above what is used: one that is too large would end the connection, and a
/// retained one would end it each time anew.
const READ: usize = 16 * 1024 * 1024;
/// Seconds between two signs of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// First and longest pause before a new try.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A connection that lasted this long starts with short pauses again.
const STEADY: Duration = Duration::from_secs(30);
/// How long the goodbye may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Our side of an external broker.
pub struct External {
    client: AsyncClient,
    state: Arc<State>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    /// Host and port, for people.
    address: String,
    commands: Commands,
    reports_dropped: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Clone, Default)]
struct Now {
    connected: bool,
    error: Option<String>,
}

impl State {
    fn now(&self) -> Now {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, now: Now) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn drop_reports(&self, count: u64) {
        self.reports_dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// What somebody published to a device.
    fn take(&self, publish: &Publish) {
        let Some(Topic::In(device)) = Topic::parse(&publish.topic) else { return };
        if publish.retain {
            // It would reach the device with each new connection of ours, at times that nobody chose.
            tracing::warn!(%device, broker = %self.address, "a retained command is left alone; publish commands without retain");
            return;
        }
        if publish.payload.len() > PACKET as usize {
            tracing::warn!(%device, bytes = publish.payload.len(), "a command is too large for any device");
            return;
        }
        // Counted and logged there; MQTT 3.1.1 has no word for it.
        let _full = self.commands.send(ToDevice { device, payload: publish.payload.clone() });
    }
}

impl External {
    /// Calls the broker from now on, and again whenever the connection is lost.
    pub fn start(broker: &ExternalBroker, commands: Commands) -> Self {
        let mut tail = [0; 4];
        // Two clients with one id cut each other for ever. Without random bytes the time of start is different enough.
        let id = match getrandom::fill(&mut tail) {
            Ok(()) => format!("landfall-{:08x}", u32::from_be_bytes(tail)),
            Err(_) => format!("landfall-{}", std::process::id()),
        };
        let mut options = MqttOptions::new(id, &broker.host, broker.port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_clean_session(true);
        options.set_max_packet_size(READ, PACKET as usize);
        options.set_inflight(INFLIGHT);
        if let Some((user, password)) = &broker.login {
            options.set_credentials(user, password);
        }
        let (client, connection) = AsyncClient::new(options, REPORTS);
        let state = Arc::new(State {
            address: format!("{}:{}", broker.host, broker.port),
            commands,
            reports_dropped: AtomicU64::new(0),
            now: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(connection, client.clone(), state.clone(), stop.clone()));
        Self { client, state, stop, task: Mutex::new(Some(task)) }
    }
}

#[async_trait]
impl Broker for External {
    fn publish(&self, topic: &str, payload: Bytes) {
        if !rights::readable(topic) {
            return;
        }
        // While nobody listens there is nothing to keep for later: reports are about now.
        let sent = self.state.now().connected
            && self.client.try_publish(topic, QoS::AtLeastOnce, false, Vec::from(payload)).is_ok();
        if !sent {
            self.state.drop_reports(1);
        }
    }

    async fn serve(&self, mut stream: Box<dyn Stream>, link: Link, _read: Bytes) {
        tracing::info!(
            peer = %link.peer, broker = %self.state.address,
            "a person's client came here; people's clients belong to the external broker"
        );
        // It is closed either way.
        let _end = timeout(LAST_WORDS, stream.shutdown()).await;
    }

    fn status(&self) -> Status {
        let Now { connected, error } = self.state.now();
        Status {
            kind: "external",
            connected,
            error,
            clients: None,
            reports_dropped: self.state.reports_dropped.load(Ordering::Relaxed),
            commands_dropped: self.state.commands.dropped(),
        }
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && timeout(LAST_WORDS * 2, task).await.is_err()
        {
            tracing::debug!("the connection to the external broker does not end");
        }
    }
}

impl Drop for External {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Keeps the connection until told to stop.
async fn run(mut connection: EventLoop, client: AsyncClient, state: Arc<State>, stop: CancellationToken) {
    let (shortest, longest) = PAUSES;
    let mut pause = shortest;
    let mut since = Instant::now();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = connection.poll() => event,
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                since = Instant::now();
                tracing::info!(broker = %state.address, "connected to the external broker");
                state.set(Now { connected: true, error: None });
                if let Err(error) = client.try_subscribe(Topic::ALL_IN, QoS::AtLeastOnce) {
                    // Cannot be but by a full queue, and a new connection has an empty one.
                    tracing::warn!(%error, "no subscription to people's commands");
                }
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    let error = format!("the broker does not let us subscribe {}", Topic::ALL_IN);
                    tracing::warn!(broker = %state.address, error);
                    state.set(Now { connected: true, error: Some(error) });
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => state.take(&publish),
            Ok(_) => {}
            Err(error) => {
                let lost = connection.pending.len();
                connection.pending.clear();
                state.drop_reports(u64::try_from(lost).unwrap_or(u64::MAX));
                if state.now().connected && since.elapsed() >= STEADY {
                    pause = shortest;
                }
                let error = words(&error);
                tracing::warn!(broker = %state.address, error, ?pause, "no connection to the external broker");
                state.set(Now { connected: false, error: Some(error) });
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(pause) => pause = (pause * 2).min(longest),
                }
            }
        }
    }
    let goodbye = async {
        if state.now().connected && client.try_disconnect().is_ok() {
            while let Ok(event) = connection.poll().await {
                if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                    break;
                }
            }
        }
    };
    if timeout(LAST_WORDS, goodbye).await.is_err() {
        tracing::debug!("the external broker does not take our goodbye");
    }
    state.set(Now { connected: false, error: None });
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
        other => other.to_string(),
    }
}
