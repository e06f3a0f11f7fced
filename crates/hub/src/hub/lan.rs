//! The connections that we hold to devices: one for each that has a key and listens.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use landfall_book::BookError;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_link::{Device, DeviceConfig, DeviceNews, Failure, Link, LinkConfig, News, SetOptions, State};
use landfall_proto::dp::DpId;
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::discovery::Beacon;
use landfall_proto::lan::session::{CloseReason, Origin};
use landfall_proto::lan::{TCP_PORT, Version};
use landfall_proto::schema::Schema;
use tokio_util::task::TaskTracker;

use super::inbox::Inbox;
use super::outcome::over_lan;
use super::task::Order;
use crate::core::Action;
use crate::model::{Line, LineState, Outcome};

/// News that may wait before some are dropped, counted and made good.
const NEWS: usize = 8_192;
/// Points that a device22 query lists when nothing is known of the device: the standard ones (lan.md 5.6).
const USUAL_POINTS: [u16; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// Devices before 3.4 prove their key by their first report. One that reports nothing is believed after this long: a
/// wrong key shows sooner.
const UNPROVEN: Duration = Duration::from_secs(5);
/// How long a command of ours to a device may take that nobody waits for.
const QUESTION: Duration = Duration::from_secs(10);

/// What the book says of a device, as far as its LAN line goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) id: DeviceId,
    pub(super) key: Option<LocalKey>,
    pub(super) address: Option<SocketAddr>,
    pub(super) version: Option<Version>,
    pub(super) schema: Arc<Schema>,
    pub(super) device22: bool,
    pub(super) sleeper: bool,
    /// Its sub-devices.
    pub(super) children: Vec<Cid>,
}

impl Plan {
    /// Why no connection is kept to it, if none is.
    fn idle(&self) -> Option<&'static str> {
        if self.sleeper {
            return Some("it sleeps, and reports to the cloud by itself");
        }
        self.key.is_none().then_some("its local key is not known")
    }

    fn config(&self, key: LocalKey) -> DeviceConfig {
        let mut config = DeviceConfig::new(self.id.clone(), key);
        config.address = self.address;
        config.version = self.version;
        config.schema = Arc::clone(&self.schema);
        config.device22 = self.device22;
        config.device22_points = match self.schema.0.is_empty() {
            true => USUAL_POINTS.map(DpId).to_vec(),
            false => self.schema.0.keys().copied().collect(),
        };
        // Measuring again and again is the brain's business: it knows both lines.
        config.refresh = None;
        config
    }
}

/// A connection that is kept.
#[derive(Debug)]
struct Held {
    device: Device,
    plan: Plan,
    /// Key and version proved right on the present connection.
    proven: bool,
    /// The address that was written into the book by us: no order to go there.
    remembered: Option<SocketAddr>,
    /// A question of ours is under way.
    asking: Arc<tokio::sync::Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    held: HashMap<DeviceId, Held>,
    /// Devices without a connection, and why.
    idle: HashMap<DeviceId, &'static str>,
    /// Devices whose connection is away for an examination.
    away: HashMap<DeviceId, Plan>,
}

/// All LAN lines.
#[derive(Debug)]
pub(super) struct Lan {
    /// `None`: the LAN is off.
    link: Option<Link>,
    inbox: Inbox,
    book: Arc<BookBackend>,
    clock: Clock,
    tasks: TaskTracker,
    kept: Mutex<Kept>,
}

/// The device's own clock in milliseconds, where it can be believed: set (a clock that never was shows the uptime, cloud.md
/// 6.1), and not far ahead.
pub(super) fn believed(seconds: Option<u64>, now_ms: u64) -> Option<u64> {
    const EARLIEST_S: u64 = 1_577_836_800; // 2020
    const AHEAD_MS: u64 = 10 * 60 * 1_000;
    let ms = seconds.filter(|s| *s >= EARLIEST_S)?.checked_mul(1_000)?;
    (ms <= now_ms.saturating_add(AHEAD_MS)).then_some(ms)
}

/// A state of a connection as one of a line, with the reason.
fn line_state(state: &State) -> Option<(LineState, Option<String>)> {
    Some(match state {
        State::NoAddress => (LineState::Unused, Some("its address is not known yet".to_owned())),
        State::Detecting => (LineState::Opening, Some("its version is being found out".to_owned())),
        State::Connecting { .. } | State::Negotiating => (LineState::Opening, None),
        State::Ready => (LineState::Up, None),
        State::Waiting { failure, .. } | State::Stopped { failure, .. } => {
            (LineState::Down, Some(why(failure)))
        }
        // We closed it, and say why ourselves.
        State::Closed => return None,
    })
}

/// A failure in words. Those of a wrong key all begin alike, so that people and programs find them.
fn why(failure: &Failure) -> String {
    match failure {
        Failure::KeySuspected { .. } | Failure::Session(CloseReason::WrongKey) => {
            format!("key rejected: {failure}")
        }
        _ => failure.to_string(),
    }
}

impl Lan {
    pub(super) fn new(
        on: bool,
        inbox: Inbox,
        book: Arc<BookBackend>,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        let link = on.then(|| Link::new(LinkConfig { news_capacity: NEWS, ..LinkConfig::default() }));
        Self { link, inbox, book, clock, tasks, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the book: opens, changes and closes connections.
    pub(super) async fn follow(&self, plans: Vec<Plan>) {
        let Some(link) = &self.link else { return };
        let told: Vec<(DeviceId, Option<&'static str>)> = {
            let mut kept = self.kept();
            let known: std::collections::HashSet<_> = plans.iter().map(|p| p.id.clone()).collect();
            kept.held.retain(|id, held| known.contains(id) || self.close(held.device.clone()));
            kept.idle.retain(|id, _| known.contains(id));
            kept.away.retain(|id, _| known.contains(id));
            plans.into_iter().filter_map(|plan| self.follow_one(link, &mut kept, plan)).collect()
        };
        for (device, why) in told {
            let why = why.map(ToOwned::to_owned);
            let (line, state) = (Line::Lan, LineState::Unused);
            self.inbox.act(Action::Line { device, line, state, why, address: None }).await;
        }
    }

    /// Follows one device; returns what is to be told of a line that is not kept.
    fn follow_one(
        &self,
        link: &Link,
        kept: &mut Kept,
        plan: Plan,
    ) -> Option<(DeviceId, Option<&'static str>)> {
        let id = plan.id.clone();
        if let Some(away) = kept.away.get_mut(&id) {
            *away = plan;
            return None;
        }
        let Some(key) = plan.key.clone().filter(|_| plan.idle().is_none()) else {
            if let Some(held) = kept.held.remove(&id) {
                self.close(held.device);
            }
            let why = plan.idle().unwrap_or_default();
            return (kept.idle.insert(id.clone(), why) != Some(why)).then_some((id, Some(why)));
        };
        kept.idle.remove(&id);
        let Some(held) = kept.held.get_mut(&id) else {
            kept.held.insert(id, hold(link, plan, key));
            return None;
        };
        let old = &held.plan;
        if old.schema != plan.schema
            || old.device22 != plan.device22
            || (old.version.is_some() && plan.version.is_none())
        {
            // Handles take these at their start only.
            self.close(std::mem::replace(held, hold(link, plan, key)).device);
            return None;
        }
        if old.key != plan.key {
            held.proven = false;
            held.device.set_key(key);
        }
        if let Some(address) = plan.address.filter(|_| old.address != plan.address)
            && held.remembered != Some(address)
        {
            held.device.set_address(address);
        }
        if let Some(version) = plan.version.filter(|_| old.version != plan.version) {
            held.device.set_version(version);
        }
        held.plan = plan;
        None
    }

    /// Closes a connection in the background. False, for `retain`.
    fn close(&self, device: Device) -> bool {
        self.tasks.spawn(async move { device.close().await });
        false
    }

    /// Reads the news of all connections until they are closed.
    pub(super) async fn listen(self: Arc<Self>) {
        let Some(link) = &self.link else { return };
        let mut news = link.subscribe();
        while let Some(item) = news.next().await {
            let heard = match item {
                Ok(DeviceNews { id, news }) => self.hear(&id, news).await,
                Err(lagged) => self.catch_up(lagged.0).await,
            };
            if !heard {
                return;
            }
        }
    }

    /// Takes in one piece of news. False when the hub is ending.
    async fn hear(self: &Arc<Self>, id: &DeviceId, news: News) -> bool {
        match news {
            News::State(State::Ready) => self.ready(id).await,
            News::State(state) => self.changed(id, &state).await,
            News::Report { report, origin } => {
                if !self.prove(id).await {
                    return false;
                }
                let device_ms = believed(report.t, self.clock.unix_ms());
                let (cid, dps) = (report.cid.clone(), Arc::new(report.dps.clone()));
                let device = id.clone();
                self.inbox.act(Action::Heard { device, cid, line: Line::Lan, origin, dps, device_ms }).await
            }
            News::Subdevices(told) => {
                let (online, offline) = (told.online.clone(), told.offline.clone());
                self.inbox.act(Action::SubDevices { gateway: id.clone(), online, offline }).await
            }
            // Written into the book once it proved right.
            News::Version(_) => true,
            News::Unasked { command, body } => {
                tracing::trace!(device = %id, %command, bytes = body.len(), "a frame that nobody asked for");
                true
            }
        }
    }

    /// Tells the state of a line.
    async fn tell(
        &self,
        id: &DeviceId,
        state: LineState,
        why: Option<String>,
        address: Option<SocketAddr>,
    ) -> bool {
        self.inbox.act(Action::Line { device: id.clone(), line: Line::Lan, state, why, address }).await
    }

    /// A connection changed, but is not ready.
    async fn changed(&self, id: &DeviceId, state: &State) -> bool {
        let Some((line, why)) = line_state(state) else { return true };
        let address = {
            let mut kept = self.kept();
            let Some(held) = kept.held.get_mut(id) else { return true };
            held.proven = false;
            held.device.address()
        };
        self.tell(id, line, why, address).await
    }

    /// A connection is ready: from 3.4 on its key is proven, before that the first report does so.
    async fn ready(self: &Arc<Self>, id: &DeviceId) -> bool {
        let (version, address) = {
            let kept = self.kept();
            let Some(held) = kept.held.get(id) else { return true };
            (held.device.version(), held.device.address())
        };
        if version.is_some_and(|v| v.dialect().negotiates) {
            return self.prove(id).await;
        }
        let (lan, device) = (Arc::clone(self), id.clone());
        self.tasks.spawn(async move {
            tokio::time::sleep(UNPROVEN).await;
            let ready = lan.kept().held.get(&device).is_some_and(|h| h.device.state() == State::Ready);
            if ready {
                // False: the hub is ending, and nobody wants to know.
                let _ending = lan.up(&device, false).await;
            }
        });
        let why = "connected; its first report will show whether the key is right";
        self.tell(id, LineState::Opening, Some(why.to_owned()), address).await
    }

    /// The key of a device is right: it sent what only its holder can send.
    async fn prove(self: &Arc<Self>, id: &DeviceId) -> bool {
        let first = {
            let mut kept = self.kept();
            kept.held.get_mut(id).is_some_and(|held| !std::mem::replace(&mut held.proven, true))
        };
        !first || self.up(id, true).await
    }

    /// Commands go out at once from now on. What was `proven` about the device goes into the book.
    async fn up(self: &Arc<Self>, id: &DeviceId, proven: bool) -> bool {
        let (device, children) = {
            let kept = self.kept();
            let Some(held) = kept.held.get(id) else { return true };
            (held.device.clone(), held.plan.children.clone())
        };
        if proven {
            self.remember(&device);
        }
        if !children.is_empty() {
            self.tasks.spawn(ask_children(device.clone(), children));
        }
        self.tell(id, LineState::Up, None, device.address()).await
    }

    /// Writes address and version of a device into the book, where they are other ones: they brought us to a device that
    /// has the key.
    fn remember(&self, device: &Device) {
        let (Some(address), Some(version)) = (device.address(), device.version()) else { return };
        let same = {
            let mut kept = self.kept();
            let Some(held) = kept.held.get_mut(device.id()) else { return };
            held.remembered = Some(address);
            held.plan.address == Some(address) && held.plan.version == Some(version)
        };
        if same {
            return;
        }
        let (book, id) = (Arc::clone(&self.book), device.id().clone());
        self.tasks.spawn(async move {
            let of = id.clone();
            let change = book.change(move |book| {
                if let Some(device) = book.by_id_mut(&of) {
                    device.address = Some(address.ip());
                    device.port = (address.port() != TCP_PORT).then_some(address.port());
                    device.version = Some(version);
                }
                Ok::<_, BookError>(())
            });
            if let Err(error) = change.await {
                tracing::warn!(device = %id, %error, "where it is was not remembered");
            }
        });
    }

    /// News were dropped: states and points are told anew, from what the connections know.
    async fn catch_up(self: &Arc<Self>, lost: u64) -> bool {
        tracing::warn!(lost, "news of LAN connections were dropped; all devices are looked at anew");
        self.inbox.lost(lost);
        let all: Vec<(DeviceId, Device)> =
            self.kept().held.iter().map(|(id, held)| (id.clone(), held.device.clone())).collect();
        for (id, device) in all {
            let state = device.state();
            let heard = match state {
                State::Ready => self.ready(&id).await,
                state => self.changed(&id, &state).await,
            };
            let parts = std::iter::once(None).chain(device.cids().into_iter().map(Some));
            for cid in parts {
                let dps = device.points(cid.as_ref());
                if !dps.is_empty() {
                    let (device, line, origin) = (id.clone(), Line::Lan, Origin::Polled);
                    let dps = Arc::new(dps);
                    self.inbox.act(Action::Heard { device, cid, line, origin, dps, device_ms: None }).await;
                }
            }
            if !heard {
                return false;
            }
        }
        true
    }

    /// Sends a command. It is in the device's queue on return, so that two keep their order; the outcome comes at once
    /// where it was not taken, else as [`Action::Done`]. The queue of the connection bounds how many wait.
    pub(super) fn send(&self, order: Order) -> Option<Outcome> {
        let Order { id, device, cid, dps, timeout, confirm, once } = order;
        let Some(device) = self.kept().held.get(&device).map(|h| h.device.clone()) else {
            let why = "no connection is kept to it".to_owned();
            return Some(Outcome::Unconfirmed { why, unsent: true });
        };
        let options = SetOptions { timeout: Some(timeout), confirm, once };
        let mut setting = Box::pin(async move { device.set(cid, dps, options).await });
        if let Some(result) = setting.as_mut().now_or_never() {
            return Some(over_lan(result));
        }
        let inbox = self.inbox.clone();
        self.tasks.spawn(async move {
            let outcome = over_lan(setting.await);
            inbox.act(Action::Done { id, outcome }).await
        });
        None
    }

    /// Has a device report: these points measured anew, or all as they are. One question of ours at a time and device; more
    /// are not needed. False when there is no connection.
    pub(super) fn refresh(&self, device: &DeviceId, cid: Option<&Cid>, points: Vec<DpId>) -> bool {
        let (device, asking) = {
            let kept = self.kept();
            let Some(held) = kept.held.get(device) else { return false };
            (held.device.clone(), Arc::clone(&held.asking))
        };
        let Ok(turn) = asking.try_acquire_owned() else { return true };
        let cid = cid.cloned();
        self.tasks.spawn(async move {
            let asked = async {
                if points.is_empty() {
                    device.query(cid).await.map(|_| ())
                } else {
                    device.refresh(cid, points).await.map(|_| ())
                }
            };
            match tokio::time::timeout(QUESTION, asked).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(device = %device.id(), %error, "it was not asked for points")
                }
                Err(_) => tracing::debug!(device = %device.id(), "no answer to a question for points"),
            }
            drop(turn);
        });
        true
    }

    /// A datagram of a device came from this address. It may be anybody's: it moves the next connection, which believes it
    /// only once the key fits.
    pub(super) fn heard(&self, beacon: &Beacon, from: std::net::IpAddr) {
        let device = self.kept().held.get(&beacon.id).map(|h| h.device.clone());
        if let Some(device) = device {
            device.heard(beacon, from);
        }
    }

    /// Whether any device that we could talk to is not connected: it may be one that speaks only when asked.
    pub(super) fn misses_any(&self) -> bool {
        self.kept().held.values().any(|h| h.device.state() != State::Ready)
    }

    /// Whether a connection stands, and where to.
    pub(super) fn standing(&self, device: &DeviceId) -> Option<(Option<Version>, Option<SocketAddr>)> {
        let kept = self.kept();
        let held = kept.held.get(device).filter(|h| h.proven && h.device.state() == State::Ready)?;
        Some((held.device.version(), held.device.address()))
    }

    /// Lets a connection go, for an examination: many devices serve one client only.
    pub(super) async fn let_go(&self, device: &DeviceId) {
        let held = {
            let mut kept = self.kept();
            let held = kept.held.remove(device);
            if let Some(held) = &held {
                kept.away.insert(device.clone(), held.plan.clone());
            }
            held
        };
        if let Some(held) = held {
            held.device.close().await;
        }
    }

    /// Takes it up again.
    pub(super) fn take_up(&self, device: &DeviceId) {
        let Some(link) = &self.link else { return };
        let mut kept = self.kept();
        if let Some(plan) = kept.away.remove(device)
            && let Some(key) = plan.key.clone().filter(|_| plan.idle().is_none())
        {
            kept.held.insert(device.clone(), hold(link, plan, key));
        }
    }

    /// Closes all connections cleanly.
    pub(super) async fn end(&self) {
        let all: Vec<Device> = {
            let mut kept = self.kept();
            kept.away.clear();
            kept.held.drain().map(|(_, held)| held.device).collect()
        };
        futures_util::future::join_all(all.iter().map(Device::close)).await;
    }
}

fn hold(link: &Link, plan: Plan, key: LocalKey) -> Held {
    let device = link.device(plan.config(key));
    let asking = Arc::new(tokio::sync::Semaphore::new(1));
    Held { device, plan, proven: false, remembered: None, asking }
}

/// Asks a gateway which of its sub-devices are there, and how they stand. The answers come as news.
async fn ask_children(gateway: Device, children: Vec<Cid>) {
    if let Err(error) = gateway.subdevices().await {
        tracing::debug!(gateway = %gateway.id(), %error, "it did not tell its sub-devices");
    }
    for cid in children {
        if let Err(error) = gateway.query(Some(cid)).await {
            tracing::debug!(gateway = %gateway.id(), %error, "a sub-device did not answer");
            if gateway.state() != State::Ready {
                return;
            }
        }
    }
}
