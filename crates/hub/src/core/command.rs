//! Commands: checked, sent over one line, ended exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::DeviceId;
use landfall_proto::schema::{MisfitError, Schema};

use super::device::Device;
use super::out::Ctx;
use super::{Core, Effect, Moment, NoWay};
use crate::model::{CommandId, CommandOptions, Ended, Line, Outcome, Problem, ProblemKind, What};

/// Commands under way for a device at a time.
pub(super) const MOST: usize = 32;
/// The longest time a command may take.
const LONGEST: Duration = Duration::from_mins(1);
/// A line answers by itself when the time is up; so long after, it is not waited for any more.
const MARGIN: Duration = Duration::from_secs(2);
/// Less time than this is not worth another line.
const WORTH: Duration = Duration::from_millis(200);

/// A command under way.
#[derive(Debug)]
struct Pending {
    device: Arc<DeviceId>,
    dps: Dps,
    options: CommandOptions,
    started: Duration,
    deadline: Duration,
    line: Line,
    /// It was given to the other line before.
    second: bool,
    once: bool,
}

/// Commands under way.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pending: BTreeMap<CommandId, Pending>,
    deadlines: BTreeSet<(Duration, CommandId)>,
}

impl Commands {
    /// When the first is given up.
    pub(super) fn next(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn take(&mut self, id: CommandId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.deadlines.remove(&(pending.deadline + MARGIN, id));
        Some(pending)
    }

    fn put(&mut self, id: CommandId, pending: Pending) {
        self.deadlines.insert((pending.deadline + MARGIN, id));
        self.pending.insert(id, pending);
    }

    /// Those of a device.
    pub(super) fn of(&self, device: &DeviceId) -> Vec<CommandId> {
        self.pending.iter().filter(|(_, p)| *p.device == *device).map(|(id, _)| *id).collect()
    }

    /// A device has another id now.
    pub(super) fn rename(&mut self, from: &DeviceId, to: &Arc<DeviceId>) {
        for pending in self.pending.values_mut().filter(|p| *p.device == *from) {
            pending.device = Arc::clone(to);
        }
    }
}

impl Core {
    pub(super) fn command(
        &mut self,
        id: CommandId,
        device: &DeviceId,
        dps: Dps,
        options: CommandOptions,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(problem) = self.start(id, device, dps, options, now, effects) {
            self.out.act(Effect::Rejected { id, problem });
        }
    }

    fn start(
        &mut self,
        id: CommandId,
        device: &DeviceId,
        dps: Dps,
        options: CommandOptions,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Problem> {
        if self.commands.pending.contains_key(&id) {
            let text = format!("command {} is under way already", id.0);
            return Err(Problem::new(ProblemKind::Ours, "command.duplicate", text));
        }
        let known = self.resolve(device).and_then(|id| self.devices.get(&id));
        let Some(device) = known else {
            let text = format!("{device} is not a device of this home");
            return Err(Problem::new(ProblemKind::Unknown, "device.unknown", text)
                .hint("list the devices to see their ids; one that is missing can be added or imported"));
        };
        let dps = checked(&device.known.definition.schema, dps)?;
        if device.busy >= MOST {
            let text = format!("{MOST} commands for {} are under way already", device.known.facts.name);
            return Err(Problem::new(ProblemKind::Busy, "device.busy", text)
                .hint("wait for the outcome of one before sending the next"));
        }
        let line = device.route(options.line).map_err(|no| refusal(device, no))?;
        let timeout = options.timeout.min(LONGEST);
        let pending = Pending {
            device: Arc::clone(&device.id),
            once: device.known.definition.schema.acts_on_write(&dps),
            dps,
            options,
            started: now.mono,
            deadline: now.mono + timeout,
            line,
            second: false,
        };
        self.send(id, pending, now, effects);
        Ok(())
    }

    /// Gives a command to its line.
    fn send(&mut self, id: CommandId, pending: Pending, now: Moment, effects: &mut Vec<Effect>) {
        let device = Arc::clone(&pending.device);
        self.with(&device, now, effects, |device, ctx| {
            device.busy += 1;
            let (holder, cid) = device.holder();
            ctx.out.act(Effect::Send {
                id,
                device: holder,
                cid,
                line: pending.line,
                dps: pending.dps.clone(),
                timeout: pending.deadline.saturating_sub(ctx.now.mono),
                confirm: pending.options.confirm,
                once: pending.once,
            });
        });
        self.commands.put(id, pending);
    }

    pub(super) fn done(&mut self, id: CommandId, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        // Answered too late, or twice: it has ended.
        let Some(mut pending) = self.commands.take(id) else { return };
        let other = match pending.line {
            Line::Lan => Line::Cloud,
            Line::Cloud => Line::Lan,
        };
        let line = pending.line;
        let open = self.with(&Arc::clone(&pending.device), now, effects, |device, ctx| {
            device.busy = device.busy.saturating_sub(1);
            device.learn(line, &outcome, ctx.now.mono);
            device.lane(other).is_up()
        });
        let unsent = matches!(outcome, Outcome::Unconfirmed { unsent: true, .. });
        let time = pending.deadline.saturating_sub(now.mono) >= WORTH;
        // It never reached the device, so even a point that acts on each write may go the other way.
        if unsent && open == Some(true) && time && pending.options.line.is_none() && !pending.second {
            pending.line = other;
            pending.second = true;
            self.send(id, pending, now, effects);
            return;
        }
        self.end(id, pending, outcome, now, effects);
    }

    fn end(
        &mut self,
        id: CommandId,
        pending: Pending,
        outcome: Outcome,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let took = now.mono.saturating_sub(pending.started).as_millis();
        let ended = Arc::new(Ended {
            id,
            device: DeviceId::clone(&pending.device),
            dps: pending.dps,
            line: Some(pending.line),
            by: pending.options.by,
            outcome,
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
        });
        let tell =
            |device: &mut Device, ctx: &mut Ctx<'_>| device.tell(ctx, What::Command(Arc::clone(&ended)));
        if self.with(&pending.device, now, effects, tell).is_none() {
            self.out.change(now, Some(pending.device), What::Command(Arc::clone(&ended)));
        }
        self.out.act(Effect::Ended(ended));
    }

    /// Ends commands whose line has not answered in time.
    pub(super) fn give_up(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while let Some((at, id)) = self.commands.deadlines.first().copied().filter(|(at, _)| *at <= now.mono)
        {
            self.commands.deadlines.remove(&(at, id));
            let Some(line) = self.commands.pending.get(&id).map(|p| p.line) else { continue };
            let why = format!("the {} line did not say how it ended", line.word());
            self.finish(id, Outcome::Unconfirmed { why, unsent: false }, now, effects);
        }
    }

    /// Ends all commands of a device that is gone.
    pub(super) fn abandon(&mut self, device: &DeviceId, now: Moment, effects: &mut Vec<Effect>) {
        for id in self.commands.of(device) {
            let why = "the device was removed".to_owned();
            self.finish(id, Outcome::Unconfirmed { why, unsent: false }, now, effects);
        }
    }

    /// Ends a command without another try.
    fn finish(&mut self, id: CommandId, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        let Some(pending) = self.commands.take(id) else { return };
        let line = pending.line;
        self.with(&Arc::clone(&pending.device), now, effects, |device, ctx| {
            device.busy = device.busy.saturating_sub(1);
            device.learn(line, &outcome, ctx.now.mono);
        });
        self.end(id, pending, outcome, now, effects);
    }
}

/// The points in their types.
fn checked(schema: &Schema, dps: Dps) -> Result<Dps, Problem> {
    if dps.is_empty() {
        return Err(Problem::new(ProblemKind::Asked, "command.empty", "no points to set were given")
            .hint("name at least one point and its value"));
    }
    dps.into_iter().map(|(id, value)| Ok((id, schema.check_write(id, value).map_err(misfit)?))).collect()
}

fn misfit(e: MisfitError) -> Problem {
    let (code, hint) = match &e {
        MisfitError::UnknownPoint { .. } => {
            ("dp.unknown", "set one of these, or teach the device's definition the point")
        }
        MisfitError::ReadOnly { .. } => (
            "dp.read_only",
            "it is only reported; if it can be set all the same, change its access in the definition",
        ),
        MisfitError::WrongType { .. } => ("dp.wrong_type", "give a value of the point's type"),
        MisfitError::OutOfRange { .. } => (
            "dp.out_of_range",
            "give a value within these limits; if the device takes more, change them in the definition",
        ),
    };
    Problem::new(ProblemKind::Asked, code, e.to_string()).hint(hint)
}

fn refusal(device: &Device, no: NoWay) -> Problem {
    let name = &device.known.facts.name;
    match no {
        NoWay::Asleep => Problem::new(ProblemKind::Device, "device.asleep", format!("{name} is asleep"))
            .hint("it listens only while it is awake: set it when it has reported, or press its button"),
        NoWay::Line(line) => {
            let why = device.lane(line).why().unwrap_or("it is not connected");
            let text = format!("the {} line of {name} is not up: {why}", line.word());
            Problem::new(ProblemKind::Device, "device.offline", text)
                .hint("leave the choice of the line to the hub")
        }
        NoWay::Offline => {
            let text = format!("{name} can't be reached: {}", device.cause());
            Problem::new(ProblemKind::Device, "device.offline", text)
                .hint("see whether it has power and Wi-Fi; `landfall doctor` examines it")
        }
    }
}
