//! One connection of a device: packets in, packets out, deadlines. What a device says is judged in `hear`.

use std::future::poll_fn;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use landfall_proto::dp::DpId;
use landfall_proto::mqtt::content::PointQuery;
use landfall_proto::mqtt::{Content, Envelope};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::devices::{Counters, Name};
use super::end::End;
use super::io::{Io, poll_io};
use super::outbox::{Late, Load, Order, Outbox};
use super::owner::Owner;
use super::pace::{Bucket, Pace};
use super::packet::{Packet, Wire};
use super::seal;
use super::seat::{Question, Seat};
use crate::event::What;
use crate::handshake::{Mark, Step};
use crate::listen::{Link, Stream};
use crate::shared::Shared;

/// While so much waits to be written, nothing more is taken from the queue.
const UNWRITTEN: usize = 16 * 1024;
/// While so much waits to be written, nothing more is read.
const CLOGGED: usize = 64 * 1024;
/// A question for points that would disturb a set is put off by this.
const PUT_OFF: Duration = Duration::from_secs(5);
/// Saying goodbye may take this long.
const GOODBYE: Duration = Duration::from_secs(1);
/// Pending keys whose use could not be stored are tried again after this.
const STORE_AGAIN: Duration = Duration::from_secs(30);
/// No deadline is further away.
const FAR: Duration = Duration::from_secs(24 * 3_600);

/// One connection.
#[derive(Debug)]
pub(super) struct Session<S> {
    pub(super) shared: Arc<Shared>,
    stream: S,
    pub(super) link: Link,
    pub(super) wire: Wire,
    pub(super) owner: Owner,
    name: Name,
    pub(super) seat: Arc<Seat>,
    input: BytesMut,
    pub(super) output: BytesMut,
    /// When `output` was written to last, or began to fill.
    written_at: Option<Instant>,
    outbox: Outbox,
    pub(super) bucket: Bucket,
    /// Nothing is read before.
    read_at: Option<Instant>,
    heard_at: Instant,
    silence: Duration,
    pub(super) hears_answers: bool,
    pub(super) hears_files: bool,
    pub(super) ask_at: Option<Instant>,
    pub(super) ask_every: Duration,
    pub(super) passive: Vec<DpId>,
    /// The envelope seen in this connection.
    pub(super) seen: Option<Envelope>,
    store_again_at: Option<Instant>,
}

impl<S: Stream> Session<S> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: S,
        link: Link,
        wire: Wire,
        receive_max: Option<NonZeroU16>,
        owner: Owner,
        name: Name,
        seat: Arc<Seat>,
        input: BytesMut,
    ) -> Self {
        let now = Instant::now();
        let limits = &shared.config.limits;
        let silence = seat.state().silence;
        Self {
            bucket: Bucket::new(limits.messages_per_second, now),
            ask_every: shared.config.queries.others,
            stream,
            link,
            wire,
            owner,
            name,
            seat,
            input,
            output: BytesMut::new(),
            written_at: None,
            outbox: Outbox::new(receive_max),
            read_at: None,
            heard_at: now,
            silence,
            hears_answers: false,
            hears_files: false,
            ask_at: None,
            passive: Vec::new(),
            seen: None,
            store_again_at: None,
            shared,
        }
    }

    /// Lives until the end.
    pub(super) async fn run(mut self) {
        self.step(Step::Mqtt);
        self.shared.handshakes.connected(self.owner.who(), true);
        let what = What::Connect { over: self.link.over };
        self.shared.tell(Some(self.owner.device()), Some(self.link.peer), what);
        let _seated = Seated {
            shared: Arc::clone(&self.shared),
            name: self.name.clone(),
            seat: Arc::clone(&self.seat),
        };
        let end = match self.wire.welcome(self.shared.config.limits.mqtt_packet, &mut self.output) {
            Ok(()) => self.live().await,
            Err(e) => e.into(),
        };
        let (device, peer) = (Arc::clone(self.owner.device()), Some(self.link.peer));
        if let Some(code) = end.refusal() {
            self.refuse(code, end.to_string());
        }
        self.shared.tell(Some(&device), peer, What::Disconnect { why: end.to_string() });
        if matches!(end, End::Broken(_) | End::Unread(_)) {
            return;
        }
        if let Some(reason) = end.reason()
            && self.wire.goodbye(reason, &mut self.output).is_err()
        {
            // Without its reason, then.
            self.output.clear();
        }
        let Self { stream, output, .. } = &mut self;
        // The last answers; whoever is cut need not listen.
        let _unheard = timeout(GOODBYE, async {
            stream.write_all(output).await?;
            stream.shutdown().await
        })
        .await;
    }

    async fn live(&mut self) -> End {
        let sleep = sleep_until(Instant::now() + FAR);
        tokio::pin!(sleep);
        // What came together with the CONNECT.
        if let Err(end) = self.take_input(Instant::now()) {
            return end;
        }
        loop {
            let now = Instant::now();
            if let Err(end) = self.turn(now) {
                return end;
            }
            let deadline = self.deadline(now);
            // A deadline that moves away costs nothing: the timer fires early once and is set anew.
            if deadline < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(deadline);
            }
            let reading = self.read_at.is_none() && self.output.len() < CLOGGED;
            let Self { stream, input, output, seat, .. } = self;
            let io = poll_fn(|cx| poll_io(stream, input, output, reading, cx));
            tokio::select! {
                biased;
                () = seat.wake.notified() => {}
                io = io => {
                    let now = Instant::now();
                    match io {
                        Ok(Io::Wrote) => self.written_at = Some(now),
                        Ok(Io::Read(0)) => return End::Closed,
                        Ok(Io::Read(_)) => {
                            if let Err(end) = self.take_input(now) {
                                return end;
                            }
                        }
                        Err(e) => return End::Broken(e),
                    }
                }
                () = &mut sleep => {}
            }
        }
    }

    /// All that is due now.
    fn turn(&mut self, now: Instant) -> Result<(), End> {
        if self.output.is_empty() {
            self.written_at = None;
            self.output = BytesMut::new();
        }
        let limits = &self.shared.config.limits;
        if self.written_at.is_some_and(|at| now - at >= limits.write_patience) {
            return Err(End::Unread(limits.write_patience));
        }
        if self.read_at.is_some_and(|at| at <= now) {
            self.read_at = None;
            // While we did not read, it was not silent.
            self.heard_at = now;
        }
        if self.read_at.is_none() {
            match self.bucket.judge(now) {
                Pace::Fine => {}
                Pace::Wait(until) => self.read_at = Some(until),
                Pace::TooMuch => return Err(End::TooMuch(limits.messages_per_second)),
            }
        }
        let clogged = self.output.len() >= CLOGGED;
        if self.read_at.is_none() && !clogged && now - self.heard_at >= self.silence {
            return Err(End::Silent(self.silence));
        }
        while let Some(late) = self.outbox.late(now) {
            match late {
                Late::Again { id, topic, payload } => {
                    self.wire.publish(topic, payload, Some(id), true, &mut self.output)?;
                }
                Late::Lost => {
                    tracing::debug!(device = %self.owner.device().id, "a message was not acknowledged")
                }
            }
        }
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now);
        }
        self.take_orders(now)?;
        if !self.output.is_empty() && self.written_at.is_none() {
            self.written_at = Some(now);
        }
        Ok(())
    }

    fn deadline(&self, now: Instant) -> Instant {
        let silence = self.read_at.is_none().then(|| self.heard_at + self.silence);
        let unread = self.written_at.map(|at| at + self.shared.config.limits.write_patience);
        let due = [silence, unread, self.read_at, self.ask_at, self.outbox.due()];
        due.into_iter().flatten().min().unwrap_or(now + FAR).max(now)
    }

    /// Asks for the points, unless somebody waits for what only the device's own report can prove.
    fn ask(&mut self, now: Instant) {
        if self.seat.state().expectations.iter().any(super::set::Expectation::acts) {
            self.ask_at = Some(now + PUT_OFF);
            return;
        }
        self.ask_at = Some(now + self.ask_every);
        let points = (!self.passive.is_empty()).then(|| self.passive.clone());
        let content = Content::Query(PointQuery { points });
        // A device that does not read has enough in its queue.
        let _full = self.seat.order(Order { load: Load::Message(content), repeat: true, ticket: None }, None);
    }

    /// Sends what waits, as far as the device takes it.
    fn take_orders(&mut self, now: Instant) -> Result<(), End> {
        loop {
            let (order, acknowledges) = {
                let mut state = self.seat.state();
                if state.taken_over {
                    return Err(End::TakenOver);
                }
                let Some(acknowledges) = state.commands else { return Ok(()) };
                if !self.outbox.has_room() || self.output.len() >= UNWRITTEN {
                    return Ok(());
                }
                let Some(order) = state.queue.pop_front() else {
                    // A queue that was used once is not kept.
                    if state.queue.capacity() > 0 {
                        state.queue = std::collections::VecDeque::new();
                    }
                    return Ok(());
                };
                if let Load::Message(Content::Query(query)) = &order.load {
                    state.asked_at = Some(now);
                    state.question = Some(Question { since: now, points: query.points.clone() });
                }
                (order, acknowledges)
            };
            self.send(order, acknowledges, now)?;
        }
    }

    fn send(&mut self, order: Order, acknowledges: bool, now: Instant) -> Result<(), End> {
        let Order { load, repeat, ticket } = order;
        let payload = match load {
            Load::Sealed(payload) => payload,
            Load::Message(content) => {
                let sequence = self.seat.track.next_sequence(self.shared.clock.unix());
                let sealed =
                    seal::seal(&mut self.owner, content, self.seen, &self.link, sequence, &self.shared);
                match sealed {
                    Ok(payload) => payload,
                    Err(e) => {
                        tracing::warn!(device = %self.owner.device().id, "a message was not sealed: {e}");
                        return Ok(());
                    }
                }
            }
        };
        let topic = ByteString::from(self.owner.inbox().to_string());
        let id = acknowledges.then(|| {
            let again = (repeat && self.wire.repeats()).then(|| (topic.clone(), payload.clone()));
            self.outbox.send(now, ticket, again)
        });
        if !self.wire.publish(topic, payload, id, false, &mut self.output)? {
            tracing::debug!(device = %self.owner.device().id, "a message is larger than the client takes");
            return Ok(());
        }
        if let Some(ticket) = ticket {
            self.seat.progress(ticket, true, now);
        }
        Ok(())
    }

    /// Reads the packets that are complete.
    fn take_input(&mut self, now: Instant) -> Result<(), End> {
        let mut packets = 0;
        while let Some(packet) = self.wire.decode(&mut self.input)? {
            packets += 1;
            self.handle(packet, now)?;
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if packets > 0 {
            self.heard_at = now;
            self.seat.hear(packets, now);
        }
        Ok(())
    }

    fn handle(&mut self, packet: Packet, now: Instant) -> Result<(), End> {
        match packet {
            Packet::Publish { topic, payload, id, dup } => {
                // At once: stock firmware closes after three that are missing (cloud.md 4.1).
                if let Some(id) = id {
                    self.wire.acknowledge(id, &mut self.output)?;
                }
                self.bucket.take(now);
                self.published(&topic, &payload, dup, now)
            }
            Packet::Acknowledged(id) => {
                if let Some(ticket) = self.outbox.acknowledged(id) {
                    self.seat.progress(ticket, false, now);
                }
                Ok(())
            }
            Packet::Subscribe(id, filters) => {
                self.bucket.take(now);
                let grants: Vec<_> = filters.iter().map(|(f, qos)| self.subscribe(f, *qos, now)).collect();
                Ok(self.wire.granted(id, &grants, &mut self.output)?)
            }
            Packet::Unsubscribe(id, filters) => {
                self.bucket.take(now);
                for filter in &filters {
                    self.unsubscribe(filter);
                }
                Ok(self.wire.unsubscribed(id, filters.len(), &mut self.output)?)
            }
            Packet::Ping => Ok(self.wire.pong(&mut self.output)?),
            Packet::Disconnect => Err(End::Goodbye),
            Packet::ExactlyOnce => Err(End::ExactlyOnce),
            Packet::OutOfPlace(what) => Err(End::OutOfPlace(what)),
        }
    }

    /// Something to do with a topic that is not the client's: nothing comes of it, and it is told.
    pub(super) fn foreign_topic(&mut self, did: &str, topic: &str) {
        Counters::add(&self.shared.devices.counters.foreign_topics);
        let topic: String = topic.chars().take(128).collect();
        self.refuse("mqtt.topic", format!("it {did} {topic:?}, which is not its own"));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.shared.clock.unix(), count: 1, over: self.link.over, peer: Some(self.link.ip()) }
    }

    pub(super) fn step(&self, step: Step) {
        self.shared.handshakes.step(self.owner.who(), step, self.mark());
    }

    pub(super) fn refuse(&self, code: &'static str, why: String) {
        let device = self.owner.device();
        self.shared.handshakes.refused(self.owner.who(), code, self.mark());
        self.shared.tell(Some(device), Some(self.link.peer), What::Refusal { code, why });
    }

    /// The pending keys were used: that is stored beside the session, which a slow backend does not hold up.
    pub(super) fn pending_used(&mut self) {
        let now = Instant::now();
        if self.store_again_at.is_some_and(|at| now < at) {
            return;
        }
        self.store_again_at = Some(now + STORE_AGAIN);
        let (shared, device, peer) =
            (Arc::clone(&self.shared), Arc::clone(self.owner.device()), self.link.peer);
        tokio::spawn(async move {
            match shared.backend.keys_used(&device.id).await {
                Ok(first) => shared.tell(Some(&device), Some(peer), first.into()),
                Err(e) => tracing::warn!(device = %device.id, "the use of its new keys was not stored: {e}"),
            }
        });
    }
}

/// Gives the seat back however the session ends.
struct Seated {
    shared: Arc<Shared>,
    name: Name,
    seat: Arc<Seat>,
}

impl Drop for Seated {
    fn drop(&mut self) {
        if self.shared.devices.leave(&self.name, &self.seat) {
            let who = match &self.name {
                Name::Device(id) => id.as_str(),
                Name::Waiting(uuid) => uuid.as_str(),
            };
            self.shared.handshakes.connected(who, false);
        }
    }
}
