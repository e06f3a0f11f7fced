//! The bridge: takes a base topic over, publishes the home, hears commands.
//!
//! | module | does |
//! |---|---|
//! | `driver` | the task: waits for broker and base, publishes |
//! | `asked` | what people ask, and how it ended |

mod asked;
mod driver;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::driver::Driver;
use super::discovery::{self, Discovery};
use super::outbox::Outbox;
use super::publisher::Publisher;
use super::requests::Context;
use super::topics::{BaseError, Topics};
use super::transport::{Connection, Link, Message, Qos, Transport};
use crate::model::{Home, Problem, ProblemKind};

/// How long the end may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// `bridge/state` while it is there.
const ONLINE: &[u8] = br#"{"state":"online"}"#;
/// `bridge/state` once it is not; the last will.
const OFFLINE: &[u8] = br#"{"state":"offline"}"#;

/// Settings of a bridge.
#[derive(Clone, Debug)]
pub struct Config {
    /// What all topics begin with.
    pub base: String,
    /// Publish single points as `<base>/<name>/dp/<n>`.
    pub raw_points: bool,
    /// Which installation this is ([`instance`]).
    pub instance: String,
    /// Where `bridge/request/backup` puts its backups; `None`: nowhere.
    pub backups: Option<PathBuf>,
    /// How Home Assistant is told.
    pub discovery: discovery::Settings,
}

/// How a bridge is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `embedded` or `external`.
    pub kind: &'static str,
    /// The base of its topics.
    pub base: String,
    /// The broker is there.
    pub connected: bool,
    /// The home is published: the base is ours.
    pub active: bool,
    /// What is wrong, in words and without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Messages that wait for the broker.
    pub waiting: usize,
    /// Live values that were left out because the broker was slow or away.
    pub live_dropped: u64,
    /// Answers and events that were.
    pub said_dropped: u64,
    /// Messages of people that found no room.
    pub heard_dropped: u64,
    /// Commands and requests that were heard.
    pub asked: u64,
    /// Commands that were not done.
    pub failed: u64,
}

/// The last will of a bridge on this base: what a broker publishes when we are gone without a word.
///
/// # Errors
/// The base can't be.
pub fn will(base: &str) -> Result<Message, BaseError> {
    let topic = Topics::new(base)?.bridge_state();
    Ok(Message { topic, payload: Bytes::from_static(OFFLINE), qos: Qos::AtLeastOnce, retain: true })
}

/// The id of this installation: made at the first start, and kept in the data directory.
///
/// # Errors
/// The file can't be read or written, or there are no random bytes.
pub fn instance(data_dir: &Path) -> std::io::Result<String> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = data_dir.join("mqtt-instance");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let id = token()?;
    let mut file =
        std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    Ok(id)
}

fn token() -> std::io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    seen: Arc<Seen>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the status is made of.
struct Seen {
    base: String,
    transport: Arc<dyn Transport>,
    outbox: Arc<Outbox>,
    now: Mutex<Now>,
    asked: AtomicU64,
    failed: AtomicU64,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seen({} on {})", self.base, self.transport.kind())
    }
}

#[derive(Clone, Default)]
struct Now {
    active: bool,
    error: Option<String>,
}

impl Seen {
    fn set(&self, active: bool, error: Option<String>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Now { active, error };
    }
}

impl Bridge {
    /// Starts it. It publishes once the broker is there and no other bridge holds the base.
    ///
    /// # Errors
    /// The base can't be (`mqtt.base`); the system has no random bytes.
    pub fn start(config: Config, home: Arc<dyn Home>, connection: Connection) -> Result<Self, Problem> {
        let topics = Topics::new(&config.base)
            .map_err(|e| Problem::new(ProblemKind::Asked, "mqtt.base", e.to_string()))?;
        let run = token().map_err(|e| Problem::new(ProblemKind::Ours, "mqtt.random", e.to_string()))?;
        let (topics, outbox) = (Arc::new(topics), Arc::new(Outbox::default()));
        let finder = Discovery::new(
            config.discovery.clone(),
            Arc::clone(&topics),
            Arc::clone(&outbox),
            config.instance.clone(),
            home.status().version.to_owned(),
        );
        let Connection { transport, incoming } = connection;
        let seen = Arc::new(Seen {
            base: config.base.clone(),
            transport: Arc::clone(&transport),
            outbox: Arc::clone(&outbox),
            now: Mutex::default(),
            asked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let context = Context {
            home: Arc::clone(&home),
            instance: config.instance.clone(),
            run,
            backups: config.backups.clone(),
        };
        let driver = Driver {
            publisher: Publisher::new(
                Arc::clone(&home),
                Arc::clone(&topics),
                Arc::clone(&outbox),
                config.raw_points,
                finder,
            ),
            birth: discovery::birth_topic(&config.discovery.prefix, &config.base),
            started: home.now_ms(),
            config,
            context,
            home,
            topics,
            transport,
            incoming,
            outbox,
            seen: Arc::clone(&seen),
            under_way: FuturesUnordered::new(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(driver.run());
        Ok(Self { seen, stop, task: Mutex::new(Some(task)) })
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let seen = &self.seen;
        let Now { active, error } = seen.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let link = seen.transport.link().borrow().clone();
        let counts = seen.outbox.counts();
        let why = match &link {
            Link::Up(_) => None,
            Link::Down { why } => why.clone(),
        };
        Status {
            kind: seen.transport.kind(),
            base: seen.base.clone(),
            connected: matches!(link, Link::Up(_)),
            active,
            error: why.or(error),
            waiting: seen.outbox.waiting(),
            live_dropped: counts.live,
            said_dropped: counts.said,
            heard_dropped: seen.transport.dropped(),
            asked: seen.asked.load(Ordering::Relaxed),
            failed: seen.failed.load(Ordering::Relaxed),
        }
    }

    /// Says that it goes, and goes. Takes a few seconds at most. Before the broker and the hub end.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && timeout(LAST_WORDS, task).await.is_err()
        {
            tracing::warn!("the MQTT bridge does not end; it is left behind");
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
