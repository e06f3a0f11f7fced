//! The one task that owns the brain and carries out what it wants.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use landfall_cloud::clock::Clock;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cloud::CloudLine;
use super::inbox::{Ask, End, Message, Outbox};
use super::lan::Lan;
use super::views::Views;
use crate::bus::Bus;
use crate::core::{Action, Core, Effect, Moment};
use crate::model::{Change, CommandId, DeviceView, Line, MilliWattHours, Outcome};
use crate::store::{SavedRow, Writer};

/// Messages that are taken in together: their changes go out, and into the store's queue, in one go.
const BATCH: usize = 256;
/// Where nothing is due, the brain looks at the clock this often.
const IDLE: Duration = Duration::from_secs(60);

/// A command on its way to a line.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) id: CommandId,
    /// The device that holds the line.
    pub(super) device: DeviceId,
    pub(super) cid: Option<Cid>,
    pub(super) dps: Dps,
    pub(super) timeout: Duration,
    pub(super) confirm: bool,
    pub(super) once: bool,
}

/// The lines, as far as commands and questions go.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) lan: Arc<Lan>,
    pub(super) cloud: Option<Arc<CloudLine>>,
}

impl Lines {
    /// Sends a command. The outcome comes at once where nothing could be sent, else as [`Action::Done`].
    fn send(&self, line: Line, order: Order) -> Option<Outcome> {
        match (line, &self.cloud) {
            (Line::Lan, _) => self.lan.send(order),
            (Line::Cloud, Some(cloud)) => cloud.send(order),
            (Line::Cloud, None) => {
                Some(Outcome::Unconfirmed { why: "the cloud is off".into(), unsent: true })
            }
        }
    }

    /// Has points measured and reported; all when none are named. False when the line is not there.
    pub(super) fn refresh(
        &self,
        line: Line,
        device: &DeviceId,
        cid: Option<&Cid>,
        points: Vec<DpId>,
    ) -> bool {
        match (line, &self.cloud) {
            (Line::Lan, _) => self.lan.refresh(device, cid, points),
            (Line::Cloud, Some(cloud)) => cloud.refresh(device, points),
            (Line::Cloud, None) => false,
        }
    }
}

/// The brain with everything that it acts on.
#[derive(Debug)]
pub(super) struct Brain {
    pub(super) core: Core,
    pub(super) clock: Clock,
    pub(super) outbox: Outbox,
    pub(super) lines: Lines,
    pub(super) views: Arc<Views>,
    pub(super) bus: Arc<Bus>,
    pub(super) writer: Writer,
    /// Who waits for the end of a command.
    pub(super) waiting: HashMap<CommandId, oneshot::Sender<End>>,
    /// Told when a device shows points that its definition does not know.
    pub(super) unknown: Arc<Notify>,
}

/// What one turn wants done, in the order in which it is done.
#[derive(Debug, Default)]
struct Turn {
    effects: Vec<Effect>,
    views: Vec<(DeviceId, Option<Arc<DeviceView>>)>,
    changes: Vec<Arc<Change>>,
    saved: Vec<SavedRow>,
    ends: Vec<(CommandId, End)>,
    /// What follows at once from what was done.
    next: VecDeque<Action>,
}

/// The time by both clocks.
pub(super) fn moment(clock: Clock) -> Moment {
    Moment { mono: clock.now().mono, unix_ms: clock.unix_ms() }
}

impl Brain {
    /// Takes in what an earlier run left, and the devices. Before anything runs.
    pub(super) fn begin(&mut self, actions: impl IntoIterator<Item = Action>) {
        let mut turn = Turn::default();
        for action in actions {
            self.apply(action, &mut turn);
        }
        self.carry_out(&mut turn);
    }

    /// Lives until `end`, and then takes in what waits still.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let mut turn = Turn::default();
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            let now = self.clock.now().mono;
            let wait = self.core.next_wake().map_or(IDLE, |due| due.saturating_sub(now).min(IDLE));
            let tick = Instant::now() + wait;
            let mut reached = Vec::new();
            tokio::select! {
                biased;
                () = end.cancelled() => break,
                // Before reports: somebody waits for it. Commands are few, so that reports get their turn.
                Some(ask) = self.outbox.asks.recv() => self.ask(ask, &mut turn),
                got = self.outbox.messages.recv_many(&mut messages, BATCH) => {
                    if got == 0 {
                        break;
                    }
                    for message in messages.drain(..) {
                        self.take_in(message, &mut turn, &mut reached);
                    }
                }
                () = tokio::time::sleep_until(tick) => self.apply(Action::Tick, &mut turn),
            }
            self.carry_out(&mut turn);
            for reached in reached {
                // Whoever waited may have gone.
                let _gone = reached.send(());
            }
        }
        self.finish(turn);
    }

    /// The end: what waits is taken in, nothing new comes.
    fn finish(mut self, mut turn: Turn) {
        self.outbox.messages.close();
        self.outbox.asks.close();
        let mut reached = Vec::new();
        while let Ok(message) = self.outbox.messages.try_recv() {
            self.take_in(message, &mut turn, &mut reached);
        }
        self.carry_out(&mut turn);
        let saved = self.core.saved().into_iter().map(|(device, text)| SavedRow { device, text });
        self.writer.record(&[], &saved.collect::<Vec<_>>());
        // Those who wait for a command or a place are told by the end of their channels.
    }

    fn take_in(&mut self, message: Message, turn: &mut Turn, reached: &mut Vec<oneshot::Sender<()>>) {
        match message {
            Message::Act(Action::Recall { device, text }) => self.recall(device, text, turn),
            Message::Act(action) => self.apply(action, turn),
            Message::Reached(tell) => reached.push(tell),
        }
    }

    fn ask(&mut self, ask: Ask, turn: &mut Turn) {
        let Ask { id, device, dps, options, tell } = ask;
        self.waiting.insert(id, tell);
        self.apply(Action::Command { id, device, dps, options }, turn);
    }

    /// What an earlier run kept is read late. Totals that wait for the store were counted without it.
    fn recall(&mut self, device: DeviceId, text: String, turn: &mut Turn) {
        self.carry_out(turn);
        let total = |core: &Core| {
            let energy = core.view(&device).and_then(|view| view.energy);
            energy.map_or(0, |energy| energy.total.0)
        };
        let before = total(&self.core);
        self.core.apply(
            Action::Recall { device: device.clone(), text },
            moment(self.clock),
            &mut turn.effects,
        );
        self.writer.raise(&device, MilliWattHours(total(&self.core) - before));
    }

    fn apply(&mut self, action: Action, turn: &mut Turn) {
        self.core.apply(action, moment(self.clock), &mut turn.effects);
    }

    /// Does what the brain wants: views first, so that whoever hears of a change sees at least that state; the ends of
    /// commands last.
    fn carry_out(&mut self, turn: &mut Turn) {
        while !turn.effects.is_empty() {
            for effect in std::mem::take(&mut turn.effects) {
                self.sort(effect, turn);
            }
            // A line that took nothing says so at once.
            while let Some(action) = turn.next.pop_front() {
                self.apply(action, turn);
            }
        }
        if !turn.views.is_empty() {
            let news = |v: &Arc<DeviceView>| !v.points.keys().all(|id| v.definition.points.contains_key(id));
            let unknown = turn.views.iter().filter_map(|(_, v)| v.as_ref()).any(news);
            self.views.show(turn.views.drain(..));
            if unknown {
                self.unknown.notify_one();
            }
        }
        if !turn.changes.is_empty() || !turn.saved.is_empty() {
            self.bus.publish(turn.changes.iter().cloned());
            self.writer.record(&turn.changes, &turn.saved);
            turn.changes.clear();
            turn.saved.clear();
        }
        for (id, end) in turn.ends.drain(..) {
            if let Some(tell) = self.waiting.remove(&id) {
                // Whoever asked may have gone.
                let _gone = tell.send(end);
            }
        }
    }

    fn sort(&self, effect: Effect, turn: &mut Turn) {
        match effect {
            Effect::Publish(change) => turn.changes.push(change),
            Effect::View { device, view } => turn.views.push((device, view)),
            Effect::Save { device, text } => turn.saved.push(SavedRow { device, text }),
            Effect::Ended(ended) => turn.ends.push((ended.id, Ok(ended))),
            Effect::Rejected { id, problem } => turn.ends.push((id, Err(problem))),
            Effect::Send { id, device, cid, line, dps, timeout, confirm, once } => {
                let order = Order { id, device, cid, dps, timeout, confirm, once };
                if let Some(outcome) = self.lines.send(line, order) {
                    turn.next.push_back(Action::Done { id, outcome });
                }
            }
            Effect::Refresh { device, cid, line, points } => {
                if !self.lines.refresh(line, &device, cid.as_ref(), points) {
                    tracing::debug!(%device, line = line.word(), "no question for points: the line is not there");
                }
            }
        }
    }
}
