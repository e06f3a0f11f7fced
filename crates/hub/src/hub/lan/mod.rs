//! The connections that we hold to devices: one for each that has a key and listens.

mod hear;
mod plan;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_link::{Device, DeviceNews, Link, LinkConfig, SetOptions, State, Subscription, Tap};
use landfall_proto::dp::DpId;
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::Beacon;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::inbox::Inbox;
use super::outcome::over_lan;
use super::task::Order;
use crate::core::Action;
use crate::model::{CommandId, Line, LineState, Outcome};

pub(super) use hear::believed;
pub(super) use plan::Plan;

/// News that may wait before some are dropped, counted and made good.
const NEWS: usize = 8_192;
/// Ends of commands that may wait; whoever has one more waits for a place.
const ENDS: usize = 256;
/// How long a question of ours to a device may take.
const QUESTION: Duration = Duration::from_secs(10);

/// The end of a command.
type Ended = (CommandId, Outcome);

/// What is listened to.
#[derive(Debug)]
struct Ears {
    news: Subscription<DeviceNews>,
    ends: mpsc::Receiver<Ended>,
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
    ends: mpsc::Sender<Ended>,
    ears: Mutex<Option<Ears>>,
}

impl Lan {
    pub(super) fn new(
        on: bool,
        tap: Arc<dyn Tap>,
        inbox: Inbox,
        book: Arc<BookBackend>,
        clock: Clock,
        tasks: TaskTracker,
    ) -> Self {
        let config = LinkConfig { news_capacity: NEWS, ..LinkConfig::default() };
        let link = on.then(|| Link::with_tap(config, tap));
        let (ends, got) = mpsc::channel(ENDS);
        // From the start, so that nothing is missed.
        let ears = link.as_ref().map(|link| Ears { news: link.subscribe(), ends: got });
        Self { link, inbox, book, clock, tasks, kept: Mutex::default(), ends, ears: Mutex::new(ears) }
    }

    /// What is to be listened to; once.
    fn ears(&self) -> Option<Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).take()
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
        let done = setting.as_mut().now_or_never();
        if let Some(Err(error)) = done {
            return Some(over_lan(Err(error)));
        }
        let (ends, inbox) = (self.ends.clone(), self.inbox.clone());
        self.tasks.spawn(async move {
            // A device of this machine may have answered while this thread had to wait for its turn.
            let result = match done {
                Some(result) => result,
                None => setting.await,
            };
            let ended = (id, over_lan(result));
            // After the news that show it; directly where nobody listens any more.
            if let Err(mpsc::error::SendError((id, outcome))) = ends.send(ended).await {
                inbox.act(Action::Done { id, outcome }).await;
            }
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

    /// Whether a gateway reaches a sub-device now, by its own word; `None`: it does not say.
    pub(super) async fn reaches(&self, gateway: &DeviceId, cid: &Cid) -> Option<bool> {
        let device = self.kept().held.get(gateway).map(|h| h.device.clone())?;
        let told = match tokio::time::timeout(QUESTION, device.subdevices()).await {
            Ok(Ok(told)) => told?,
            Ok(Err(error)) => {
                tracing::debug!(%gateway, %error, "it did not tell its sub-devices");
                return None;
            }
            Err(_) => return None,
        };
        if told.offline.contains(cid) { Some(false) } else { told.online.contains(cid).then_some(true) }
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
            let why = Some("it is being examined".to_owned());
            self.tell(device, LineState::Opening, why, held.device.address()).await;
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
