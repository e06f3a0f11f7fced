//! The broker for people's MQTT clients: the embedded one, or an external one. Devices never meet it.
//!
//! | module | does |
//! |---|---|
//! | [`own`] | a tree of topics that belongs to this process |
//! | [`rights`] | what a person's client may publish and subscribe |
//! | [`login`] | CONNECT on its way into the embedded broker |
//! | [`hop`] | bytes between a client and the embedded broker |
//! | [`embedded`] | rmqtt inside this process; nothing else names that crate |
//! | [`external`] | rumqttc towards Mosquitto, EMQX and others; nothing else names that crate |

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use landfall_proto::id::DeviceId;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::listen::{Link, Stream};
use own::{OwnError, Telling, Tree};

pub mod embedded;
pub mod external;
pub mod hop;
pub mod login;
pub mod own;
pub mod rights;

/// Commands of people that may wait for their way to the devices. When as many wait, further ones are refused.
pub const INBOX: usize = 1_024;

/// Largest packet of people's clients, in bytes.
pub const PACKET: u32 = 256 * 1024;

/// What a person's client published to a device: an envelope it sealed by itself.
#[derive(Clone, Debug)]
pub struct ToDevice {
    /// The device.
    pub device: DeviceId,
    /// The envelope.
    pub payload: Bytes,
}

/// How a broker is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `embedded` or `external`.
    pub kind: &'static str,
    /// Embedded: it runs, which it does from the first login of a person on. External: we are connected to it.
    pub connected: bool,
    /// What went wrong last, in words and without secrets; `None` once all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// People's clients, where we can count them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<usize>,
    /// Messages of devices that the broker did not take in time.
    pub reports_dropped: u64,
    /// Commands of people that found the inbox full.
    pub commands_dropped: u64,
}

/// A broker for people's clients, behind which the libraries stay out of sight.
#[async_trait::async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes a device's message, as the device sealed it, under the topic it used. Topics that people may not read
    /// are left out. Never waits; what a slow broker does not take is counted.
    fn publish(&self, topic: &str, payload: Bytes);

    /// Takes over a client's connection that logged in as a person, with what was read of it so far: the whole CONNECT,
    /// and whatever came with it. The caller has checked name and password
    /// ([`Backend::person`](crate::backend::Backend::person)). Returns when the connection ends. An external broker is
    /// reached by its own address; such a client is closed with a word in the log.
    async fn serve(&self, stream: Box<dyn Stream>, link: Link, read: Bytes);

    /// Gives this process a tree of topics, once, and has the broker run from now on.
    ///
    /// # Errors
    /// The broker is not in this process; a tree was given already; the broker does not start.
    async fn own(&self, _tree: Arc<Tree>) -> Result<(), OwnError> {
        Err(OwnError::Elsewhere)
    }

    /// Publishes what this process has to say, in order, and returns when all sessions have it queued.
    ///
    /// # Errors
    /// The broker is not in this process or does not run; the topic is none of people's.
    async fn tell(&self, _telling: Telling) -> Result<(), OwnError> {
        Err(OwnError::Elsewhere)
    }

    /// How it is.
    fn status(&self) -> Status;

    /// Ends all connections, and the broker. Takes a few seconds at most.
    async fn shutdown(&self);
}

/// The broker in use.
pub struct People {
    /// Behind the trait.
    pub broker: Option<Arc<dyn Broker>>,
    /// What people's clients publish to devices.
    pub inbox: Mutex<Option<mpsc::Receiver<ToDevice>>>,
}

impl People {
    /// No broker at all.
    pub fn none() -> Self {
        Self { broker: None, inbox: Mutex::new(None) }
    }

    /// The broker that the settings ask for. The embedded one starts with the first login of a person, so that a
    /// cloud for devices alone pays nothing for it; the external one is called from now on, which needs a runtime.
    pub fn start(config: &Config) -> Self {
        let (commands, inbox) = inbox(INBOX);
        let broker: Arc<dyn Broker> = match &config.external_broker {
            Some(external) => Arc::new(external::External::start(external, commands)),
            None => Arc::new(embedded::Embedded::new(config.limits, commands)),
        };
        Self { broker: Some(broker), inbox: Mutex::new(Some(inbox)) }
    }
}

/// The way of commands from people's clients to the devices, with room for `size` of them.
pub fn inbox(size: usize) -> (Commands, mpsc::Receiver<ToDevice>) {
    let (sender, receiver) = mpsc::channel(size);
    (Commands { sender, dropped: AtomicU64::new(0) }, receiver)
}

/// The sending end of the inbox. Never waits.
#[derive(Debug)]
pub struct Commands {
    sender: mpsc::Sender<ToDevice>,
    dropped: AtomicU64,
}

/// The inbox is full, or nobody empties it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many commands wait for their devices")]
pub struct InboxFull;

impl Commands {
    /// Puts a command into the inbox.
    ///
    /// # Errors
    /// It is full. The command is counted as dropped.
    pub fn send(&self, command: ToDevice) -> Result<(), InboxFull> {
        self.sender.try_send(command).map_err(|e| {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // The first and then ever more rarely: a flood must not fill the log.
            if dropped.is_power_of_two() {
                let device = match &e {
                    mpsc::error::TrySendError::Full(c) | mpsc::error::TrySendError::Closed(c) => &c.device,
                };
                tracing::warn!(%device, dropped, "a person's command found the inbox full");
            }
            InboxFull
        })
    }

    /// Commands dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
