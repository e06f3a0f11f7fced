//! The bridge's task.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, FuturesUnordered};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::asked::Done;
use super::{Config, OFFLINE, ONLINE, Seen};
use crate::bridge::outbox::Outbox;
use crate::bridge::publisher::{Due, Publisher};
use crate::bridge::requests::Context;
use crate::bridge::takeover::{self, Found};
use crate::bridge::topics::{Heard, Topics};
use crate::bridge::transport::{Link, Message, Qos, Transport};
use crate::bus::Reader;
use crate::model::Home;

/// The list of devices is published at most this often.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// How often a base that a rival holds is looked at again, beside when it says that it is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

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
pub(super) struct Driver {
    pub(super) config: Config,
    pub(super) context: Context,
    pub(super) started: u64,
    pub(super) home: Arc<dyn Home>,
    pub(super) topics: Arc<Topics>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) incoming: BoxStream<'static, Message>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) publisher: Publisher,
    /// Where Home Assistant says that it has started.
    pub(super) birth: Option<String>,
    pub(super) seen: Arc<Seen>,
    pub(super) under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    pub(super) stop: CancellationToken,
}

impl Driver {
    pub(super) async fn run(mut self) {
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
    pub(super) fn info(&self) {
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
