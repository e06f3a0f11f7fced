//! `landfall run`: all parts of the home server, started and ended in order.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use landfall_book::FileStore;
use landfall_cloud::backend::{Backend, BackendError};
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::config::{Config, Dns, Listeners};
use landfall_cloud::control::{Control, ControlError, Owner};
use landfall_cloud::shared::Bound;
use landfall_cloud::{Cloud, StartError as CloudError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::tls::PageTlsError;
use crate::api::tokens::{Fresh, TokensError};
use crate::api::{Api, ApiConfig, ApiError, Tokens};
use crate::bridge::mqtt::Bridge;
use crate::hub::{Hub, HubConfig};
use crate::model::{Home, HubStatus, Problem};
use crate::settings::{PageTls, Settings};
use crate::store::{Batch, SavedRow, StoreError, Writer};

/// How long the servers for devices may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why the home server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// One runs there already.
    #[error("a hub runs in {} already", .0.display())]
    Running(PathBuf),
    /// The data directory can't be used.
    #[error("can't use the directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The book can't be read.
    #[error(transparent)]
    Book(#[from] landfall_book::StoreError),
    /// The book is refused.
    #[error("the book can't be used")]
    Backend(#[from] BackendError),
    /// The cloud did not start.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The cloud's control socket can't be opened.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The history can't be opened.
    #[error("the history can't be opened")]
    Store(#[from] StoreError),
    /// The brain did not start.
    #[error(transparent)]
    Hub(#[from] crate::hub::StartError),
    /// The page's certificate can't be had.
    #[error(transparent)]
    Tls(#[from] PageTlsError),
    /// Tokens can't be read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The page does not open.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// People's MQTT does not start.
    #[error("MQTT for people can't be started")]
    Bridge(#[from] Problem),
    /// The time zone is none.
    #[error("{0:?} is no time zone")]
    Zone(String),
}

/// Where a running server is.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Addresses {
    /// Page and API.
    pub page: Option<SocketAddr>,
    /// Whether the page is encrypted.
    pub tls: bool,
    /// The cloud's servers.
    #[serde(flatten)]
    pub cloud: Bound,
}

/// What makes a server another than the usual one: for the demo and for tests.
#[derive(Debug, Default)]
pub struct Special {
    /// How devices are looked for, in place of the usual way; inside `Some`: `None` is not at all.
    pub discovery: Option<Option<crate::hub::Discovery>>,
    /// What the hub shall remember as if an earlier run had kept it.
    pub remember: Vec<SavedRow>,
    /// Where the owner's settings stand, or would, for people who want to change them.
    pub settings_file: Option<std::path::PathBuf>,
}

/// The running home server. End it with [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    book: Arc<BookBackend>,
    cloud: Option<Cloud>,
    control: Option<Control>,
    api: Api,
    bridge: Option<Bridge>,
    addresses: Addresses,
    fresh: Option<Fresh>,
    authority: Option<(PathBuf, String)>,
    stop: CancellationToken,
    tasks: TaskTracker,
    // Held while we live, so that there is one hub a directory.
    _lock: File,
}

impl Server {
    /// Starts everything. On return all addresses are bound, and the devices are being connected to.
    ///
    /// # Errors
    /// Another one runs there; an address that is busy; files or a database that can't be used.
    pub async fn start(
        settings: &Settings,
        data_dir: &Path,
        clock: Clock,
        special: Special,
    ) -> Result<Self, StartError> {
        let lock = lock(data_dir)?;
        let zone = zone(&settings.home.time_zone)?;
        let book = BookBackend::open(FileStore::new(data_dir), clock)?;
        let store = crate::store::configured(&settings.store, data_dir)?;
        if !special.remember.is_empty() {
            store.append(&Batch { saved: special.remember, ..Batch::default() }).await?;
        }
        let cloud = match cloud_config(settings, data_dir) {
            Some(config) => Some(Cloud::start(config, clock, Arc::clone(&book) as Arc<dyn Backend>).await?),
            None => None,
        };
        let control = match &cloud {
            Some(cloud) => {
                Some(Control::start(Arc::clone(cloud.shared()), Arc::clone(&book) as Arc<dyn Owner>)?)
            }
            None => None,
        };
        let writer = Writer::start(Arc::clone(&store), clock);
        let mut config = HubConfig::new(zone);
        config.lan = settings.lan.enabled;
        config.grace = settings.home.grace.0;
        config.price_milli = price(settings.home.price);
        if !settings.lan.discovery || !settings.lan.enabled {
            config.discovery = None;
        }
        if let Some(discovery) = special.discovery {
            config.discovery = discovery;
        }
        let shared = cloud.as_ref().map(|c| Arc::clone(c.shared()));
        let hub = Hub::start(config, clock, store, writer, Arc::clone(&book), shared.clone()).await?;
        let home = Arc::clone(&hub) as Arc<dyn Home>;
        let people = shared.and_then(|s| s.people.broker.clone());
        let bridge = crate::bridge::start(&settings.mqtt, data_dir, Arc::clone(&home), people).await?;
        let (tls, authority) = page_tls(settings, data_dir).await?;
        let (tokens, fresh) = open_tokens(data_dir, clock).await?;
        let encrypted = tls.is_some();
        let api = Api::start(
            ApiConfig {
                listen: settings.page.listen.at(),
                tls,
                behind_proxy: settings.page.behind_proxy,
                hosts: settings.page.hosts.clone(),
                data_dir: data_dir.to_owned(),
                settings: serde_json::to_value(settings).unwrap_or_default(),
                settings_file: special.settings_file,
            },
            home,
            Arc::new(tokens),
        )
        .await?;
        let addresses = Addresses {
            page: api.bound(),
            tls: encrypted,
            cloud: cloud.as_ref().map(Cloud::bound).unwrap_or_default(),
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(tell_service_manager(stop.clone()));
        Ok(Self {
            hub,
            book,
            cloud,
            control,
            api,
            bridge,
            addresses,
            fresh,
            authority,
            stop,
            tasks,
            _lock: lock,
        })
    }

    /// The home.
    pub fn home(&self) -> Arc<dyn Home> {
        Arc::clone(&self.hub) as Arc<dyn Home>
    }

    /// The book.
    pub fn book(&self) -> &Arc<BookBackend> {
        &self.book
    }

    /// The cloud's inside, if it runs.
    pub fn cloud(&self) -> Option<&Cloud> {
        self.cloud.as_ref()
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// How it is.
    pub fn status(&self) -> HubStatus {
        self.hub.status()
    }

    /// The admin token that was made at this start, to be shown on a terminal and nowhere else.
    pub fn fresh_token(&self) -> Option<&Fresh> {
        self.fresh.as_ref()
    }

    /// With a page of our own authority: its certificate's file and its fingerprint, for browsers to trust.
    pub fn authority(&self) -> Option<(&Path, &str)> {
        self.authority.as_ref().map(|(path, fingerprint)| (path.as_path(), fingerprint.as_str()))
    }

    /// Ends everything: listeners, lines, brain, store, and what is told last.
    pub async fn shutdown(self) {
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Stopping]) {
            tracing::debug!(%error, "the service manager was not told");
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.api.shutdown().await;
        // Its goodbye goes through the cloud's broker, so it comes before the cloud.
        if let Some(bridge) = self.bridge {
            bridge.shutdown().await;
        }
        drop(self.control);
        if let Some(cloud) = self.cloud
            && tokio::time::timeout(FAREWELL, cloud.shutdown()).await.is_err()
        {
            tracing::warn!("the servers for devices did not end in time");
        }
        self.hub.shutdown().await;
        if tokio::time::timeout(FAREWELL, self.book.close()).await.is_err() {
            tracing::warn!("the book was not put into one file in time; the next start does it");
        }
    }
}

/// One hub a directory.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let failed = |source| StartError::Directory { path: data_dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
    let path = data_dir.join("hub.lock");
    let file =
        File::options().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Running(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The home's time zone; this machine's for an empty name.
fn zone(name: &str) -> Result<jiff::tz::TimeZone, StartError> {
    if name.is_empty() {
        return Ok(jiff::tz::TimeZone::system());
    }
    jiff::tz::TimeZone::get(name).map_err(|_| StartError::Zone(name.to_owned()))
}

/// A price of 0 is none.
#[allow(clippy::cast_possible_truncation)] // the settings are checked to be far below
fn price(per_kwh: f64) -> Option<i64> {
    (per_kwh > 0.0).then(|| (per_kwh * 1_000.0).round() as i64)
}

fn cloud_config(settings: &Settings, data_dir: &Path) -> Option<Config> {
    let c = &settings.cloud;
    if !c.enabled {
        return None;
    }
    let mut config = Config::new(data_dir);
    config.listeners = Listeners {
        http: c.http.0,
        https: c.https.0,
        mqtt: c.mqtt.0,
        mqtts: c.mqtts.0,
        mqtt_psk: c.mqtt_psk.0,
        dns: c.dns.0,
    };
    config.advertise = c.advertise();
    config.time_zone = Some(settings.home.time_zone.clone()).filter(|z| !z.is_empty());
    config.dns = Dns { clients: c.dns_clients.clone(), forward: c.forward() };
    Some(config)
}

/// Runs what waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

type PageTlsAndAuthority = (Option<landfall_link::tls::Acceptor>, Option<(PathBuf, String)>);

async fn page_tls(settings: &Settings, data_dir: &Path) -> Result<PageTlsAndAuthority, StartError> {
    let page = settings.page.clone();
    match page.tls {
        PageTls::Off => Ok((None, None)),
        PageTls::Own => {
            let dir = data_dir.join("page-ca");
            let at = dir.clone();
            let (acceptor, _pem, fingerprint) =
                blocking(move || crate::api::tls::own(&at, &page.hosts)).await?;
            Ok((Some(acceptor), Some((dir.join("ca.pem"), fingerprint))))
        }
        PageTls::Files => {
            let acceptor =
                blocking(move || crate::api::tls::files(&page.certificate_file, &page.key_file)).await?;
            Ok((Some(acceptor), None))
        }
    }
}

async fn open_tokens(data_dir: &Path, clock: Clock) -> Result<(Tokens, Option<Fresh>), StartError> {
    let dir = data_dir.to_owned();
    Ok(blocking(move || Tokens::open(&dir, clock.unix())).await?)
}

/// Says that all is ready, and then that we live, as often as systemd wants it.
async fn tell_service_manager(stop: CancellationToken) {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "the service manager was not told");
    }
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(every / 2);
    while stop.run_until_cancelled(beat.tick()).await.is_some() {
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            tracing::warn!(%error, "the service manager was not told that we live");
        }
    }
}
