//! The connections that devices hold to our cloud.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use landfall_cloud::event::{Event, What};
use landfall_cloud::feed::Feed;
use landfall_cloud::handshake::Step;
use landfall_cloud::mqtt;
use landfall_cloud::shared::Shared;
use landfall_proto::dp::DpId;
use landfall_proto::id::DeviceId;
use landfall_proto::lan::session::Origin;
use landfall_proto::mqtt::Content;
use landfall_proto::mqtt::content::PointQuery;
use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio_util::task::TaskTracker;

use super::inbox::Inbox;
use super::lan::believed;
use super::outcome::over_cloud;
use super::roster::Roster;
use super::task::Order;
use crate::core::Action;
use crate::model::{CommandId, Line, LineState, Outcome};

/// Events that may wait before some are dropped, counted and made good.
pub(super) const FEED: usize = 8_192;

/// Ends of commands that may wait; whoever has one more waits for a place.
const ENDS: usize = 256;

/// The end of a command.
type Ended = (CommandId, Outcome);

/// The cloud's lines.
pub(super) struct CloudLine {
    shared: Arc<Shared>,
    inbox: Inbox,
    tasks: TaskTracker,
    ends: mpsc::Sender<Ended>,
    got: Mutex<Option<mpsc::Receiver<Ended>>>,
    /// The connection that each device logged in by last: one that ends after it is an older one.
    logins: Mutex<HashMap<DeviceId, Option<SocketAddr>>>,
}

impl std::fmt::Debug for CloudLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CloudLine")
    }
}

impl CloudLine {
    pub(super) fn new(shared: Arc<Shared>, inbox: Inbox, tasks: TaskTracker) -> Self {
        let (ends, got) = mpsc::channel(ENDS);
        Self { shared, inbox, tasks, ends, got: Mutex::new(Some(got)), logins: Mutex::default() }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn logins(&self) -> MutexGuard<'_, HashMap<DeviceId, Option<SocketAddr>>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what devices do until the cloud ends.
    pub(super) async fn listen(self: Arc<Self>, mut feed: Feed, roster: Arc<Roster>) {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut ends) = got else { return };
        if !self.look(&roster).await {
            return;
        }
        // Those that came before we listened have told their state to nobody.
        self.ask(&roster);
        let mut dropped = 0;
        loop {
            let on = tokio::select! {
                biased;
                event = feed.next() => match event {
                    Some(event) => {
                        let lost = feed.dropped() - dropped;
                        dropped += lost;
                        (lost == 0 || self.make_good(lost, &roster).await) && self.take_in(event, &roster).await
                    }
                    None => return,
                },
                Some((id, outcome)) = ends.recv() => {
                    // The report that shows the outcome was told before it, and must be known before it.
                    let mut on = true;
                    while on && let Some(Some(event)) = unconstrained(feed.next()).now_or_never() {
                        on = self.take_in(event, &roster).await;
                    }
                    on && self.inbox.act(Action::Done { id, outcome }).await
                }
            };
            if !on {
                return;
            }
        }
    }

    /// Events were dropped: everything is looked at and asked anew. False when the hub is ending.
    async fn make_good(&self, lost: u64, roster: &Roster) -> bool {
        tracing::warn!(lost, "events of the cloud were dropped; all devices are looked at anew");
        self.inbox.lost(lost);
        let on = self.look(roster).await;
        self.ask(roster);
        on
    }

    /// Asks everybody who is there for all points.
    fn ask(&self, roster: &Roster) {
        for device in roster.own_ids() {
            // A device that is gone meanwhile needs no question.
            if self.shared.devices.is_connected(&device) && !self.refresh(&device, Vec::new()) {
                tracing::debug!(%device, "it was not asked for its points");
            }
        }
    }

    /// Tells who is logged in and who is not. False when the hub is ending.
    async fn look(&self, roster: &Roster) -> bool {
        let records = self.shared.handshakes.devices();
        for device in roster.own_ids() {
            let record = records.get(&device);
            let (state, why, address) = if self.shared.devices.is_connected(&device) {
                let address = self.logins().get(&device).copied().flatten();
                (LineState::Up, None, address)
            } else if record.is_some_and(|r| r.steps.contains_key(&Step::Mqtt)) {
                (LineState::Down, Some("it is not logged in".to_owned()), None)
            } else {
                continue;
            };
            if !self.tell(device, state, why, address).await {
                return false;
            }
        }
        true
    }

    async fn tell(
        &self,
        device: DeviceId,
        state: LineState,
        why: Option<String>,
        address: Option<SocketAddr>,
    ) -> bool {
        self.inbox.act(Action::Line { device, line: Line::Cloud, state, why, address }).await
    }

    /// Takes in one event. False when the hub is ending.
    async fn take_in(&self, event: Event, roster: &Roster) -> bool {
        let Event { at_ms, device, name, peer, what } = event;
        let what = match what {
            What::WindowOpened { who, until } => {
                let who = who.unwrap_or_else(|| "any device".to_owned());
                let (code, text) = match until.saturating_sub(at_ms / 1_000) {
                    0 => ("window.closed", format!("{who} is given no keys any more")),
                    left => ("window.opened", format!("for {left} s {who} that asks is given keys")),
                };
                return self.inbox.act(Action::Tell { code, text }).await;
            }
            What::WindowsClosed => {
                let text = "no device is given keys any more".to_owned();
                return self.inbox.act(Action::Tell { code: "window.closed", text }).await;
            }
            what => what,
        };
        let Some(id) = device else { return true };
        // A device that was activated a moment ago may have another id, or be new.
        let Some(device) = roster.current(&id).await else {
            tracing::debug!(%id, "the book does not know it");
            return true;
        };
        let line = Line::Cloud;
        match what {
            What::Report { cid, dps, times, asked } => {
                let device_ms = believed(times.iter().map(|(_, t)| *t).max(), at_ms);
                let origin = if asked { Origin::Polled } else { Origin::Pushed };
                self.inbox.act(Action::Heard { device, cid, line, origin, dps, device_ms }).await
            }
            What::Connect { .. } => {
                self.logins().insert(device.clone(), peer);
                self.tell(device, LineState::Up, None, peer).await
            }
            What::Disconnect { why } => {
                let ended = {
                    let mut logins = self.logins();
                    let present = logins.get(&device).is_none_or(|login| *login == peer);
                    if present {
                        logins.remove(&device);
                    }
                    present
                };
                !ended || self.tell(device, LineState::Down, Some(why), None).await
            }
            What::Lost { reports } => {
                let name = name.unwrap_or_else(|| device.to_string());
                let text = format!("{reports} reports of {name} to the cloud were lost");
                self.inbox.act(Action::Tell { code: "reports.lost", text }).await
            }
            What::Activation { .. } => {
                let name = name.unwrap_or_else(|| device.to_string());
                let text = format!("{name} was given new keys by the cloud");
                self.inbox.act(Action::Tell { code: "device.activated", text }).await
            }
            What::Question { .. }
            | What::FirmwareQuestion { .. }
            | What::Progress { .. }
            | What::Answer { .. }
            | What::Acknowledged { .. }
            | What::LogUploaded
            | What::FirmwareStatus { .. } => self.inbox.act(Action::Alive { device, line }).await,
            What::Reset => {
                let name = name.unwrap_or_else(|| device.to_string());
                let text = format!("{name} says that it was reset, or that its owner removed it");
                self.inbox.act(Action::Tell { code: "device.reset", text }).await
            }
            What::TakenIn => {
                let text = format!(
                    "{device} came with keys that it was given shortly before the hub was ended; \
                     it is in the book under its id, and waits for a name"
                );
                self.inbox.act(Action::Tell { code: "device.taken_in", text }).await
            }
            // The book changed with these, which its follower sees; refusals do not come in here, and windows are told above.
            What::KeysUsed
            | What::PasswordPinned
            | What::Refusal { .. }
            | What::WindowOpened { .. }
            | What::WindowsClosed => true,
        }
    }

    /// Sends a command, as [`Lan::send`](super::lan::Lan::send) does. The seat of the device bounds how many wait.
    pub(super) fn send(&self, order: Order) -> Option<Outcome> {
        // What proves a set is a report; there is no lesser end of it on this line, so `confirm` changes nothing.
        let Order { id, device, cid, dps, timeout, confirm: _, once: _ } = order;
        let shared = Arc::clone(&self.shared);
        let mut setting =
            Box::pin(async move { shared.devices.set(&shared, &device, cid.as_ref(), dps, timeout).await });
        let done = setting.as_mut().now_or_never();
        if let Some(failed @ mqtt::Outcome::Failed(_)) = done {
            return Some(over_cloud(failed, true));
        }
        let (ends, inbox) = (self.ends.clone(), self.inbox.clone());
        self.tasks.spawn(async move {
            let outcome = match done {
                Some(outcome) => outcome,
                None => setting.await,
            };
            let ended = (id, over_cloud(outcome, false));
            if let Err(mpsc::error::SendError((id, outcome))) = ends.send(ended).await {
                inbox.act(Action::Done { id, outcome }).await;
            }
        });
        None
    }

    /// Asks for points (protocol 31), passive ones too; all when none are named. False when it was not asked.
    pub(super) fn refresh(&self, device: &DeviceId, points: Vec<DpId>) -> bool {
        let points = (!points.is_empty()).then_some(points);
        let content = Content::Query(PointQuery { points });
        match self.shared.devices.send(&self.shared, device, content) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%device, %error, "it was not asked for points");
                false
            }
        }
    }
}
