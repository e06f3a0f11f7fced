//! What connections tell.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;
use landfall_book::BookError;
use landfall_link::{Device, DeviceNews, Failure, Lagged, News, State};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::lan::TCP_PORT;
use landfall_proto::lan::session::{CloseReason, Origin};
use tokio::task::unconstrained;

use super::Lan;
use crate::core::Action;
use crate::model::{Line, LineState};

/// The device's own clock in milliseconds, where it can be believed: set (a clock that never was shows the uptime, cloud.md
/// 6.1), and not far ahead.
pub(in crate::hub) fn believed(seconds: Option<u64>, now_ms: u64) -> Option<u64> {
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
        Failure::Session(
            CloseReason::ClosedEarly | CloseReason::NegotiationSilent | CloseReason::Negotiation(_),
        ) => format!("{failure}; its local key may be wrong, or another program is connected"),
        _ => failure.to_string(),
    }
}

impl Lan {
    /// Reads the news of all connections until they are closed.
    pub(in crate::hub) async fn listen(self: Arc<Self>) {
        let Some(mut ears) = self.ears() else { return };
        loop {
            let on = tokio::select! {
                biased;
                item = ears.news.next() => match item {
                    Some(item) => self.take_in(item).await,
                    None => return,
                },
                Some((id, outcome)) = ears.ends.recv() => {
                    // What shows the outcome was told before it, and must be known before it.
                    let mut on = true;
                    while on && let Some(Some(item)) = unconstrained(ears.news.next()).now_or_never() {
                        on = self.take_in(item).await;
                    }
                    on && self.inbox.act(Action::Done { id, outcome }).await
                }
            };
            if !on {
                return;
            }
        }
    }

    async fn take_in(self: &Arc<Self>, item: Result<DeviceNews, Lagged>) -> bool {
        match item {
            Ok(DeviceNews { id, news }) => self.hear(&id, news).await,
            Err(lagged) => self.catch_up(lagged.0).await,
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
                self.prove(id).await
                    && self.inbox.act(Action::SubDevices { gateway: id.clone(), online, offline }).await
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
    pub(super) async fn tell(
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

    /// A connection is ready: from 3.4 on its key is proven, before that the first report does so. A device that reports
    /// nothing stays as it is; commands go out to it all the same.
    async fn ready(self: &Arc<Self>, id: &DeviceId) -> bool {
        let (device, children, proven) = {
            let kept = self.kept();
            let Some(held) = kept.held.get(id) else { return true };
            (held.device.clone(), held.plan.children.clone(), held.proven)
        };
        if !children.is_empty() {
            self.tasks.spawn(ask_children(device.clone(), children));
        }
        if proven || device.version().is_some_and(|v| v.dialect().negotiates) {
            return self.up(device).await;
        }
        let why = "connected; its first report will show whether the local key is right";
        self.tell(id, LineState::Opening, Some(why.to_owned()), device.address()).await
    }

    /// The device sent what only the holder of its key can send.
    async fn prove(self: &Arc<Self>, id: &DeviceId) -> bool {
        let device = {
            let kept = self.kept();
            kept.held.get(id).filter(|held| !held.proven).map(|held| held.device.clone())
        };
        match device {
            Some(device) => self.up(device).await,
            None => true,
        }
    }

    /// Key, version and address are right: commands go out at once from now on.
    async fn up(&self, device: Device) -> bool {
        if let Some(held) = self.kept().held.get_mut(device.id()) {
            held.proven = true;
        }
        self.remember(&device);
        self.tell(device.id(), LineState::Up, None, device.address()).await
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
}

/// Asks a gateway which of its sub-devices are there, and how they stand. The answers come as news.
async fn ask_children(gateway: Device, children: Vec<Cid>) {
    let away = match gateway.subdevices().await {
        Ok(told) => told.map(|told| told.offline).unwrap_or_default(),
        Err(error) => {
            tracing::debug!(gateway = %gateway.id(), %error, "it did not tell its sub-devices");
            Vec::new()
        }
    };
    // For those that it does not reach it answers with what it remembers, which is no sign of life.
    for cid in children.into_iter().filter(|cid| !away.contains(cid)) {
        if let Err(error) = gateway.query(Some(cid)).await {
            tracing::debug!(gateway = %gateway.id(), %error, "a sub-device did not answer");
            if gateway.state() != State::Ready {
                return;
            }
        }
    }
}
