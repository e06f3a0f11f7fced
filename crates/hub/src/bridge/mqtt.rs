//! The bridge: takes a base topic over, publishes the home, hears commands.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, FuturesUnordered};
use landfall_proto::id::DeviceId;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::commands::{self, Refusal};
use super::discovery::{self, Discovery};
use super::outbox::Outbox;
use super::publisher::{Due, Publisher};
use super::requests::{self, Context};
use super::takeover::{self, Found};
use super::topics::{BaseError, Heard, Topics};
use super::transport::{Connection, Link, Message, Qos, Transport};
use crate::bus::Reader;
use crate::model::{Home, Problem, ProblemKind};

/// Commands and requests that may be under way.
const UNDER_WAY: usize = 256;
/// The list of devices is published at most this often.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// How often a base that a rival holds is looked at again, beside when it says that it is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
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

/// Something that was asked by MQTT and has ended.
enum Done {
    Set { name: String, topic: String, end: Result<(), Refusal> },
    Got { name: String, topic: String, device: DeviceId, end: Result<(), Refusal> },
    Answered { verb: String, answer: Value },
}

/// Why publishing ended.
enum End {
    /// The broker is gone, or came back as a new one.
    Lost,
    /// An older bridge holds the base.
    Yield,
    /// We are to end.
    Stop,
}

/// What the bridge's task holds.
struct Driver {
    config: Config,
    context: Context,
    started: u64,
    home: Arc<dyn Home>,
    topics: Arc<Topics>,
    transport: Arc<dyn Transport>,
    incoming: BoxStream<'static, Message>,
    outbox: Arc<Outbox>,
    publisher: Publisher,
    /// Where Home Assistant says that it has started.
    birth: Option<String>,
    seen: Arc<Seen>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    stop: CancellationToken,
}

impl Driver {
    async fn run(mut self) {
        let pump = tokio::spawn(pump(Arc::clone(&self.outbox), Arc::clone(&self.transport)));
        let stop = self.stop.clone();
        let mut active = false;
        loop {
            let mut link = self.transport.link();
            let up = tokio::select! {
                () = stop.cancelled() => break,
                up = up(&mut link) => up,
            };
            let Some(epoch) = up else { break };
            let leftovers = if self.transport.shared() {
                let looked = tokio::select! {
                    () = stop.cancelled() => break,
                    () = gone(&mut link, epoch) => continue,
                    looked = takeover::look(&self.topics, &self.context.run, &*self.transport, &mut self.incoming) => looked,
                };
                match looked {
                    Ok(Found::Free(leftovers)) => leftovers,
                    Ok(Found::Rival { who }) => {
                        self.refuse(&who);
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = gone(&mut link, epoch) => {}
                            () = rival_left(&self.topics, &mut self.incoming) => {}
                        }
                        continue;
                    }
                    // The link says so too.
                    Err(takeover_lost) => {
                        tracing::debug!(%takeover_lost, "the base is looked at again with the next connection");
                        gone_or(&stop, &mut link, epoch).await;
                        continue;
                    }
                }
            } else {
                takeover::Leftovers::default()
            };
            let reader = self.home.bus().read(None);
            self.publisher.all(&leftovers.names, leftovers.pages);
            self.info();
            // Last: who waits for it finds the rest in place.
            self.outbox.keep(self.topics.bridge_state(), Bytes::from_static(ONLINE));
            active = true;
            self.seen.set(true, None);
            self.remember().await;
            let filters = self.topics.commands().into_iter().chain(self.birth.clone()).collect();
            let subscribed = self.transport.subscribe(filters).await;
            let end = match subscribed {
                Ok(()) => self.serve(reader, &mut link, epoch).await,
                Err(_) => End::Lost,
            };
            self.outbox.clear();
            match end {
                End::Stop => break,
                End::Lost => self.seen.set(false, None),
                End::Yield => {
                    active = false;
                    self.refuse("another landfall that was there before");
                }
            }
        }
        pump.abort();
        self.remember().await;
        let offline = will_of(&self.topics);
        self.transport.close(if active { vec![offline] } else { Vec::new() }).await;
        self.seen.set(false, None);
    }

    fn refuse(&self, who: &str) {
        let base = self.topics.base();
        let error = format!(
            "{who} publishes on the base {base:?}; stop it, or set another `base` under [mqtt]: two on one base overwrite \
             each other"
        );
        tracing::error!(base, error, "the MQTT bridge does not publish");
        self.seen.set(false, Some(error));
    }

    /// Publishes and obeys until something ends it.
    async fn serve(&mut self, mut changes: Reader, link: &mut watch::Receiver<Link>, epoch: u64) -> End {
        let stop = self.stop.clone();
        let mut list_due: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stop,
                () = gone(link, epoch) => return End::Lost,
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => self.done(done),
                () = at(list_due) => {
                    list_due = None;
                    self.publisher.devices();
                    self.info();
                    self.remember().await;
                }
                heard = self.incoming.next() => match heard {
                    Some(message) => if self.hear(message) { return End::Yield },
                    None => return End::Lost,
                },
                batch = changes.next() => {
                    let due = match batch {
                        None => return End::Stop,
                        Some(Ok(batch)) => self.publisher.changes(&batch),
                        Some(Err(gap)) => {
                            tracing::warn!(%gap, "the MQTT bridge fell behind and publishes what differs");
                            self.publisher.catch_up();
                            Due { devices: true, info: true, notes: true }
                        }
                    };
                    if due.devices || due.notes {
                        list_due.get_or_insert_with(|| Instant::now() + LIST_EVERY);
                    }
                    if due.info {
                        self.info();
                    }
                }
            }
        }
    }

    /// Writes down what Home Assistant was told, where that is another thing than before.
    async fn remember(&mut self) {
        let Some(unsaved) = self.publisher.unsaved() else { return };
        let written = tokio::task::spawn_blocking(move || unsaved.write()).await;
        if let Err(error) = written.map_err(std::io::Error::other).and_then(|written| written) {
            tracing::warn!(
                %error,
                "what Home Assistant was told can't be written down; after a restart, entities of devices that are gone may stay there"
            );
        }
    }

    /// Publishes what the bridge says of itself.
    fn info(&self) {
        let now = self.home.now_ms() / 1_000;
        let until = self.home.windows().iter().map(|w| w.until).filter(|until| *until > now).max();
        let info = json!({
            "program": takeover::PROGRAM,
            "version": self.home.status().version,
            "instance": self.config.instance,
            "run": self.context.run,
            "started": self.started,
            "config": {
                "base_topic": self.config.base,
                "raw_points": self.config.raw_points,
                "discovery": self.config.discovery.form.is_some(),
                "discovery_prefix": self.config.discovery.prefix,
            },
            "devices_pages": self.publisher.pages(),
            "permit_join": until.is_some(),
            "permit_join_end": until.map(|until| until * 1_000),
            "restart_required": false,
        });
        self.outbox.keep(self.topics.bridge_info(), info.to_string().into());
    }

    /// Takes a message of people, or of a rival. `true`: the rival is the older one.
    fn hear(&mut self, message: Message) -> bool {
        if self.birth.as_ref() == Some(&message.topic) {
            // A retained one is older than what we have just published.
            if !message.retain && message.payload == discovery::BIRTH {
                tracing::info!("Home Assistant has started and is told everything again");
                self.publisher.born();
            }
            return false;
        }
        let topics = Arc::clone(&self.topics);
        match topics.parse(&message.topic) {
            Some(Heard::State) => {
                // A rival's last will, or somebody's mistake: we are there.
                if !message.retain && !takeover::is_online(&message.payload) {
                    self.outbox.keep(self.topics.bridge_state(), Bytes::from_static(ONLINE));
                }
            }
            Some(Heard::Info) => {
                let other = takeover::info(&message.payload).filter(|other| other.run != self.context.run);
                if let Some(other) = other
                    && other.program == takeover::PROGRAM
                    && !message.retain
                {
                    if (other.started, &other.run) < (self.started, &self.context.run) {
                        return true;
                    }
                    // The other one sees it and yields.
                    self.info();
                    self.outbox.keep(self.topics.bridge_state(), Bytes::from_static(ONLINE));
                }
            }
            Some(Heard::Response(_) | Heard::Devices | Heard::Probe(_)) | None => {}
            Some(_) if message.retain => {
                // It would be done again with each start, long after anybody meant it. It is not taken back: it is not ours,
                // and only who left it knows whether others still read it.
                tracing::warn!(
                    topic = message.topic,
                    "a retained command is left alone; publish commands without retain, and take this one back with an \
                     empty retained message"
                );
            }
            Some(asked) => self.ask(asked, &message),
        }
        false
    }

    fn ask(&mut self, asked: Heard<'_>, message: &Message) {
        // How a retained message is taken back.
        if message.payload.is_empty() && !matches!(asked, Heard::Get { .. } | Heard::Request(_)) {
            return;
        }
        self.seen.asked.fetch_add(1, Ordering::Relaxed);
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        let full = self.under_way.len() >= UNDER_WAY;
        let too_many =
            || Refusal::new("command.busy", "too many commands are under way").hint("send fewer at a time");
        match asked {
            Heard::Request(verb) => {
                let verb = verb.to_owned();
                if full {
                    let answer = json!({ "status": "error", "data": {}, "error": too_many().message, "code": too_many().code });
                    self.done(Done::Answered { verb, answer });
                    return;
                }
                let answer = requests::answer(self.context.clone(), verb.clone(), payload.to_vec());
                self.under_way.push(Box::pin(async move { Done::Answered { verb, answer: answer.await } }));
            }
            Heard::Set { name }
            | Heard::SetAttribute { name, .. }
            | Heard::SetPoint { name, .. }
            | Heard::Get { name } => {
                let name = name.to_owned();
                let refused =
                    |end: Refusal| Done::Set { name: name.clone(), topic: topic.clone(), end: Err(end) };
                if full {
                    return self.done(refused(too_many()));
                }
                let known = self.publisher.names().device(&name).map_or(name.as_str(), |id| id.as_str());
                let view = match self.home.device(known) {
                    Ok(view) => view,
                    Err(problem) => return self.done(refused(problem.into())),
                };
                let (home, device) = (Arc::clone(&self.home), view.id().clone());
                // Asked by its id, it is still told under its name.
                let name = self.publisher.names().topic(&device).map_or(name.clone(), ToString::to_string);
                let refused =
                    |end: Refusal| Done::Set { name: name.clone(), topic: topic.clone(), end: Err(end) };
                let dps = match asked {
                    Heard::Set { .. } => commands::attributes(&view, &payload),
                    Heard::SetAttribute { attribute, .. } => commands::attribute(&view, attribute, &payload),
                    Heard::SetPoint { dp, .. } => commands::point(&view, dp, &payload),
                    _ => {
                        let points = commands::wanted(&view, &payload);
                        let topic = topic.clone();
                        let name = name.clone();
                        self.under_way.push(Box::pin(async move {
                            let end = home.refresh(&device, points).await.map_err(Refusal::from);
                            Done::Got { name, topic, device, end }
                        }));
                        return;
                    }
                };
                match dps {
                    Err(end) => self.done(refused(end)),
                    Ok(dps) => self.under_way.push(Box::pin(async move {
                        Done::Set { end: commands::set(home, device, dps).await, name, topic }
                    })),
                }
            }
            Heard::State | Heard::Info | Heard::Devices | Heard::Response(_) | Heard::Probe(_) => {}
        }
    }

    fn done(&mut self, done: Done) {
        let (name, topic, end) = match done {
            Done::Answered { verb, answer } => {
                // A topic is no longer than what it was asked under.
                self.outbox.say(self.topics.response(&verb), answer.to_string().into());
                return;
            }
            Done::Set { name, topic, end } => (name, topic, end),
            Done::Got { name, topic, device, end } => {
                if end.is_ok() {
                    self.publisher.again(&device);
                }
                (name, topic, end)
            }
        };
        let Err(refusal) = end else { return };
        self.seen.failed.fetch_add(1, Ordering::Relaxed);
        tracing::info!(topic, code = refusal.code, error = refusal.message, "a command by MQTT is not done");
        self.publisher.log("error", &format!("{topic}: {}", refusal.message));
        // Only under names of our own: a stranger's words make no topics.
        if self.publisher.names().has(&name) {
            self.outbox.say(self.topics.error(&name), refusal.told(&topic).to_string().into());
        }
    }
}

fn will_of(topics: &Topics) -> Message {
    let payload = Bytes::from_static(OFFLINE);
    Message { topic: topics.bridge_state(), payload, qos: Qos::AtLeastOnce, retain: true }
}

/// Hands messages over, one after another.
async fn pump(outbox: Arc<Outbox>, transport: Arc<dyn Transport>) {
    loop {
        let message = outbox.next().await;
        if transport.publish(message.clone()).await.is_err() {
            outbox.lost(&message);
        }
    }
}

/// Waits until the broker is there. `None`: it never will be.
async fn up(link: &mut watch::Receiver<Link>) -> Option<u64> {
    let up = link.wait_for(|link| matches!(link, Link::Up(_))).await.ok()?;
    match &*up {
        Link::Up(epoch) => Some(*epoch),
        Link::Down { .. } => None,
    }
}

/// Waits until this connection is no more.
async fn gone(link: &mut watch::Receiver<Link>, epoch: u64) {
    // The transport ended: that is gone too.
    let _ended = link.wait_for(|link| *link != Link::Up(epoch)).await.is_err();
}

async fn gone_or(stop: &CancellationToken, link: &mut watch::Receiver<Link>, epoch: u64) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = gone(link, epoch) => {}
    }
}

/// Waits until a rival says that it is gone, or for a while.
async fn rival_left(topics: &Topics, incoming: &mut BoxStream<'static, Message>) {
    let left = async {
        while let Some(message) = incoming.next().await {
            if topics.parse(&message.topic) == Some(Heard::State) && !takeover::is_online(&message.payload) {
                return;
            }
        }
        pending().await
    };
    if timeout(LOOK_AGAIN, left).await.is_err() {
        tracing::debug!("the base is looked at again");
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => pending().await,
    }
}
