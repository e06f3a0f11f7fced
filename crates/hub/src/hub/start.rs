//! Starting and ending.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::shared::Shared;
use landfall_link::scan::{Interface, Ports};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Hub;
use super::cloud::{CloudLine, FEED};
use super::finder::Finder;
use super::inbox::Inbox;
use super::lan::Lan;
use super::roster::{Parts, Roster};
use super::secrets::BookKeeper;
use super::task::{Brain, Lines};
use super::views::Views;
use crate::bus::Bus;
use crate::console::Console;
use crate::core::{Action, Core, Settings};
use crate::model::Seq;
use crate::profile::{Definition, DefinitionError, Definitions};
use crate::store::writer::in_words;
use crate::store::{Health, Remembered, Store, StoreError, Writer};

/// Numbers of changes that are left out after a restart: those of changes that were told and not stored before a crash must
/// not come again.
const UNSTORED: u64 = 1_000;
/// How long the end may wait for connections to be closed.
const CLOSING: Duration = Duration::from_secs(5);

/// How devices that are not where the book has them are found.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Ports of beacons, questions and answers.
    pub ports: Ports,
    /// The address that sockets are bound to. 0.0.0.0 except in tests.
    pub listen: Ipv4Addr,
    /// Interfaces to ask from; `None`: all.
    pub interfaces: Option<Vec<Interface>>,
    /// How long a scan that a person asked for takes.
    pub scan: Duration,
    /// How long a question of our own holds the port of the answers. While it does, other programs of this machine miss them.
    pub question: Duration,
    /// Time between two questions of our own, which are asked only while a device is missed.
    pub every: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            ports: Ports::default(),
            listen: Ipv4Addr::UNSPECIFIED,
            interfaces: None,
            scan: Duration::from_secs(7),
            question: Duration::from_secs(2),
            every: Duration::from_secs(60),
        }
    }
}

/// How often devices are asked to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refreshing {
    /// As their definitions say.
    #[default]
    AsDefined,
    /// This often, where their definitions say anything.
    Every(Duration),
    /// Never.
    Off,
}

impl Refreshing {
    /// A definition with this in it.
    pub(super) fn apply(self, definition: Arc<Definition>) -> Arc<Definition> {
        let Some(recipe) = &definition.refresh else { return definition };
        let refresh = match self {
            Self::AsDefined => return definition,
            Self::Every(every) => Some(crate::profile::Recipe { every, ..recipe.clone() }),
            Self::Off => None,
        };
        Arc::new(Definition { refresh, ..Definition::clone(&definition) })
    }
}

/// How a hub is set up.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Whether connections to devices are opened.
    pub lan: bool,
    /// Whether and how devices are looked for.
    pub discovery: Option<Discovery>,
    /// No line for this long, and a device is called offline.
    pub grace: Duration,
    /// The home's time zone.
    pub zone: jiff::tz::TimeZone,
    /// Price of a kWh in thousandths of the currency, where known.
    pub price_milli: Option<i64>,
    /// How often devices are asked to measure.
    pub refresh: Refreshing,
    /// Folder of the owner's own definitions, where there is one; it may be missing.
    pub definitions: Option<PathBuf>,
}

impl HubConfig {
    /// The usual, for a home in this time zone: LAN and discovery on, a grace of 20 s, no price.
    pub fn new(zone: jiff::tz::TimeZone) -> Self {
        Self {
            lan: true,
            discovery: Some(Discovery::default()),
            grace: Duration::from_secs(20),
            zone,
            price_milli: None,
            refresh: Refreshing::default(),
            definitions: None,
        }
    }
}

/// Why a hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What an earlier run kept can't be read.
    #[error("what the hub kept can't be read")]
    Store(#[from] StoreError),
    /// A file of the owner's definitions makes no sense.
    #[error(transparent)]
    Definitions(#[from] DefinitionError),
}

impl Hub {
    /// Starts a hub: on return it knows its devices and what an earlier run kept, and its lines are being opened. `writer` is
    /// that of `store`; both are closed by [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// The store, or the owner's definitions, can't be read.
    pub async fn start(
        config: HubConfig,
        clock: Clock,
        store: Arc<dyn Store>,
        writer: Writer,
        book: Arc<BookBackend>,
        cloud: Option<Arc<Shared>>,
    ) -> Result<Arc<Self>, StartError> {
        let definitions = Definitions::open(config.definitions.as_deref())?;
        let remembered = remembered(&*store, &writer).await?;
        let last = match remembered.as_ref().map(|r| r.last) {
            Some(Seq(0)) => Seq(0),
            Some(Seq(last)) => Seq(last.saturating_add(UNSTORED)),
            // No home has told so many changes as there are milliseconds since 1970.
            None => Seq(clock.unix_ms()),
        };
        let late = remembered.is_none();
        let (lines_end, end, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let (inbox, outbox) = Inbox::new();
        let (bus, views) = (Arc::new(Bus::new(last)), Arc::new(Views::default()));
        let console = Console::new(BookKeeper(Arc::clone(&book)), move || clock.unix_ms());
        if let Some(cloud) = &cloud {
            cloud.set_tap(Arc::new(console.clone()));
        }
        let tap = Arc::new(console.clone());
        let lan = Arc::new(Lan::new(config.lan, tap, inbox.clone(), Arc::clone(&book), clock, tasks.clone()));
        let roster = Arc::new(Roster::new(Parts {
            book: Arc::clone(&book),
            inbox: inbox.clone(),
            lan: Arc::clone(&lan),
            views: Arc::clone(&views),
            store: Arc::clone(&store),
            writer: writer.clone(),
            definitions,
            refreshing: config.refresh,
        }));
        // Open before the devices are looked at, so that nothing is missed in between.
        let feed = cloud.as_ref().map(|shared| shared.feed(FEED));
        let cloud = cloud.map(|shared| Arc::new(CloudLine::new(shared, inbox.clone(), tasks.clone())));
        let finder =
            Arc::new(Finder::new(config.discovery.clone(), Arc::clone(&lan), Arc::clone(&book), clock));
        let unknown = Arc::new(Notify::new());
        let settings = Settings {
            grace: config.grace,
            zone: config.zone.clone(),
            price_milli: config.price_milli,
            last,
        };
        let mut brain = Brain {
            core: Core::new(settings),
            clock,
            outbox,
            lines: Lines { lan: Arc::clone(&lan), cloud: cloud.clone() },
            views: Arc::clone(&views),
            bus: Arc::clone(&bus),
            writer: writer.clone(),
            waiting: HashMap::new(),
            unknown: Arc::clone(&unknown),
        };
        let saved = remembered.map(|r| r.saved).unwrap_or_default().into_iter();
        let restore = saved.map(|s| Action::Restore { device: s.device.as_ref().clone(), text: s.text });
        brain.begin(restore.chain(std::iter::once(roster.first())));
        let brain = tokio::spawn(brain.run(end.clone()));

        let spawn = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let ended = lines_end.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = task => {}
                }
            });
        };
        spawn(Box::pin(Arc::clone(&lan).listen()));
        if let (Some(cloud), Some(feed)) = (&cloud, feed) {
            spawn(Box::pin(Arc::clone(cloud).listen(feed, Arc::clone(&roster))));
        }
        roster.open_lines().await;
        spawn(Box::pin(Arc::clone(&roster).follow(unknown)));
        spawn(Box::pin(Arc::clone(&finder).run()));
        spawn(Box::pin(tell_health(writer.clone(), inbox.clone())));
        if late {
            spawn(Box::pin(recall(Arc::clone(&store), writer.clone(), inbox.clone())));
        }
        Ok(Arc::new(Self {
            clock,
            zone: config.zone,
            price_milli: config.price_milli,
            started_ms: clock.unix_ms(),
            bus,
            console,
            store,
            writer,
            book,
            views,
            inbox,
            roster,
            lan,
            cloud,
            finder,
            commands: AtomicU64::new(1),
            lines: lines_end,
            end,
            tasks,
            brain: std::sync::Mutex::new(Some(brain)),
        }))
    }

    /// Ends it in order: lines, brain, store. Commands that are under way end as nobody knows.
    pub async fn shutdown(&self) {
        self.lines.cancel();
        if tokio::time::timeout(CLOSING, self.lan.end()).await.is_err() {
            tracing::warn!("connections to devices were not closed in time");
        }
        self.tasks.close();
        if tokio::time::timeout(CLOSING, self.tasks.wait()).await.is_err() {
            tracing::warn!("commands that were under way did not end in time");
        }
        self.end.cancel();
        let brain = self.brain.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(brain) = brain
            && let Err(error) = brain.await
        {
            tracing::error!(%error, "the hub's task failed");
        }
        if !self.writer.close().await {
            tracing::warn!("the store did not take the last changes");
        }
        self.store.close().await;
    }
}

/// Between two tries to reach a store that was away at the start: doubled each time, up to the longest.
const FIRST_TRY: Duration = Duration::from_millis(250);
const LONGEST_TRY: Duration = Duration::from_secs(30);

/// What an earlier run kept. `None`: the database is a server that is away, and control does not wait for it: nothing is
/// written until it has told. A file that can't be read is not away; somebody has to look at it.
async fn remembered(store: &dyn Store, writer: &Writer) -> Result<Option<Remembered>, StoreError> {
    match store.remembered().await {
        Ok(remembered) => Ok(Some(remembered)),
        Err(error @ StoreError::Database { .. }) if store.is_remote() => {
            let error = in_words(&error);
            tracing::error!(%error, "the history is away; the hub starts without it and goes on trying");
            writer.hold(format!("it was away at the start: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Waits for a store that was away at the start; then the brain is told what it remembers, and what waits is written.
async fn recall(store: Arc<dyn Store>, writer: Writer, inbox: Inbox) {
    let mut wait = FIRST_TRY;
    let remembered = loop {
        tokio::time::sleep(wait).await;
        match store.remembered().await {
            Ok(remembered) => break remembered,
            Err(error) => {
                tracing::debug!(%error, "the history is still away");
                wait = (wait * 2).min(LONGEST_TRY);
            }
        }
    };
    for row in remembered.saved {
        if !inbox.act(Action::Recall { device: row.device.as_ref().clone(), text: row.text }).await {
            return;
        }
    }
    // Not before all of it is taken in: what is written then knows of it.
    inbox.settle().await;
    writer.release();
}

/// Tells when the store fails and when it is well again.
async fn tell_health(writer: Writer, inbox: Inbox) {
    let mut health = writer.health();
    loop {
        let told = match &*health.borrow_and_update() {
            Health::Well { dropped: 0 } => None,
            Health::Well { dropped } => Some((
                "store.healed",
                format!("the store works again; {dropped} rows were dropped since the start"),
            )),
            Health::Failing { why } => Some(("store.failed", why.clone())),
        };
        if let Some((code, text)) = told
            && !inbox.act(Action::Tell { code, text }).await
        {
            return;
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}
