//! Takes each action to the device it is about.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::id::{Cid, DeviceId};

use super::command::Commands;
use super::device::{Device, Report};
use super::energy::Calendar;
use super::out::{Ctx, Out};
use super::saved::Saved;
use super::wake::Wake;
use super::{Action, Effect, Moment, Settings};
use crate::model::{DeviceView, What};

/// Unknown sub-devices that are remembered, of all gateways together.
const STRANGERS: usize = 1_024;

/// The brain: knows all devices, and does nothing by itself.
#[derive(Debug)]
pub struct Core {
    pub(super) settings: Settings,
    pub(super) calendar: Calendar,
    pub(super) devices: HashMap<Arc<DeviceId>, Device>,
    /// Former ids.
    pub(super) aliases: HashMap<DeviceId, Arc<DeviceId>>,
    /// Sub-devices of each gateway.
    pub(super) children: HashMap<DeviceId, BTreeMap<Cid, Arc<DeviceId>>>,
    /// Sub-devices that report, but are not in the book.
    pub(super) strangers: HashSet<(DeviceId, Cid)>,
    pub(super) commands: Commands,
    pub(super) wake: Wake,
    pub(super) out: Out,
    /// The list of devices is known.
    pub(super) started: bool,
    /// What was to be restored before that.
    pub(super) early: Vec<(DeviceId, String)>,
    midnight: Option<Duration>,
    unheard: u64,
}

impl Core {
    /// A brain that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            calendar: Calendar::new(settings.zone.clone()),
            devices: HashMap::new(),
            aliases: HashMap::new(),
            children: HashMap::new(),
            strangers: HashSet::new(),
            commands: Commands::default(),
            wake: Wake::default(),
            out: Out::new(settings.last),
            started: false,
            early: Vec::new(),
            midnight: None,
            unheard: 0,
            settings,
        }
    }

    /// Takes an action and adds what is to be done to `effects`.
    pub fn apply(&mut self, action: Action, now: Moment, effects: &mut Vec<Effect>) {
        self.look_at_clock(now, effects);
        match action {
            Action::Devices(list) => self.devices(list, now, effects),
            Action::Restore { device, text } if !self.started => self.early.push((device, text)),
            Action::Restore { device, text } => self.restore(&device, &text, false, now, effects),
            Action::Recall { device, text } => self.restore(&device, &text, true, now, effects),
            Action::Heard { device, cid, line, origin, dps, device_ms } => {
                let report = Report { line, origin, dps, device_ms };
                self.heard(&device, cid, report, now, effects);
            }
            Action::Alive { device, line: _ } => {
                if let Some(id) = self.resolve(&device) {
                    self.with(&id, now, effects, Device::alive);
                }
            }
            Action::Line { device, line, state, why, address } => {
                if let Some(id) = self.resolve(&device) {
                    self.with(&id, now, effects, |device, ctx| device.line(line, state, why, address, ctx));
                    self.lead(&id, now, effects);
                }
            }
            Action::SubDevices { gateway, online, offline } => {
                self.subdevices(&gateway, &online, &offline, now, effects);
            }
            Action::Command { id, device, dps, options } => {
                self.command(id, &device, dps, options, now, effects);
            }
            Action::Done { id, outcome } => self.done(id, outcome, now, effects),
            Action::Tell { code, text } => {
                self.out.change(now, None, What::Hub { code, text });
            }
            Action::Tick => self.tick(now, effects),
        }
        self.out.finish(effects);
    }

    /// When a [`Action::Tick`] is wanted next, by the monotonic clock.
    pub fn next_wake(&self) -> Option<Duration> {
        [self.wake.next(), self.commands.next(), self.midnight].into_iter().flatten().min()
    }

    /// A device, by its id or a former one.
    pub fn view(&self, id: &DeviceId) -> Option<Arc<DeviceView>> {
        self.devices.get(&self.resolve(id)?)?.view().cloned()
    }

    /// All devices, by id.
    pub fn views(&self) -> Vec<Arc<DeviceView>> {
        let mut views: Vec<_> = self.devices.values().filter_map(|d| d.view().cloned()).collect();
        views.sort_unstable_by(|a, b| a.facts.id.cmp(&b.facts.id));
        views
    }

    /// What is to be saved of all devices, for a graceful stop: JSON of [`Saved`].
    pub fn saved(&self) -> Vec<(Arc<DeviceId>, String)> {
        let heard = self.devices.values().filter(|d| d.view().is_some_and(|v| v.heard_ms.is_some()));
        // One that can't be written was told of when it was to be saved before.
        heard.filter_map(|d| Some((Arc::clone(&d.id), d.saved().ok()?))).collect()
    }

    /// Sub-devices that report over a gateway, but are not in the book.
    pub fn unknown_subdevices(&self) -> impl Iterator<Item = &(DeviceId, Cid)> {
        self.strangers.iter()
    }

    /// Reports of devices that are not in the book, which were dropped.
    pub fn unheard(&self) -> u64 {
        self.unheard
    }

    /// The id as it is now.
    pub(super) fn resolve(&self, id: &DeviceId) -> Option<Arc<DeviceId>> {
        self.devices.get_key_value(id).map(|(id, _)| id).or_else(|| self.aliases.get(id)).cloned()
    }

    /// Does something with a device, and what follows from it.
    pub(super) fn with<R>(
        &mut self,
        id: &DeviceId,
        now: Moment,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Device, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        let Self { devices, settings, calendar, out, wake, .. } = self;
        let device = devices.get_mut(id)?;
        let mut ctx = Ctx { now, settings, calendar, out };
        let result = act(device, &mut ctx);
        device.settle(&mut ctx, wake, effects);
        Some(result)
    }

    fn look_at_clock(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(by) = self.calendar.jumped(now) {
            #[allow(clippy::cast_precision_loss)] // for people
            let text = format!("the hub's clock was set by {:+.0} s", by as f64 / 1_000.0);
            self.out.change(now, None, What::Hub { code: "clock.jumped", text });
        }
        if self.calendar.see(now.unix_ms) {
            let measuring: Vec<_> =
                self.devices.values().filter(|d| d.has_energy()).map(|d| Arc::clone(&d.id)).collect();
            for id in measuring {
                self.with(&id, now, effects, |_, _| {});
            }
        }
        self.midnight = self.calendar.midnight(now);
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.give_up(now, effects);
        while let Some(id) = self.wake.pop(now.mono) {
            self.with(&id, now, effects, |device, _| device.wake_at = None);
        }
    }

    /// Takes over what was saved; `late`: what was counted since the start is not in it.
    pub(super) fn restore(
        &mut self,
        device: &DeviceId,
        text: &str,
        late: bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        // A device that left the book keeps its history; nothing is to be restored of it.
        let Some(id) = self.resolve(device) else { return };
        match Saved::read(text) {
            Ok(saved) => {
                self.with(&id, now, effects, |device, ctx| device.restore(saved, late, ctx));
            }
            Err(e) => {
                let text = format!("what was saved of {device} is not used: {e}");
                self.out.change(now, Some(id), What::Hub { code: "saved.refused", text });
            }
        }
    }

    fn heard(
        &mut self,
        device: &DeviceId,
        cid: Option<Cid>,
        report: Report,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = self.resolve(device) else {
            self.unheard += 1;
            return;
        };
        let Some(cid) = cid else {
            self.with(&id, now, effects, |device, ctx| device.hear(report, ctx));
            return;
        };
        // The gateway is alive too.
        self.with(&id, now, effects, Device::alive);
        let child = self.children.get(&*id).and_then(|c| c.get(&cid)).cloned();
        if let Some(child) = child {
            self.with(&child, now, effects, |device, ctx| device.hear(report, ctx));
            return;
        }
        self.unheard += 1;
        if self.strangers.len() < STRANGERS && self.strangers.insert((DeviceId::clone(&id), cid.clone())) {
            let text = format!("{id} reports for a sub-device {cid} that is not in the book");
            self.with(&id, now, effects, |device, ctx| {
                device.tell(ctx, What::Hub { code: "subdevice.unknown", text });
            });
        }
    }

    fn subdevices(
        &mut self,
        gateway: &DeviceId,
        online: &[Cid],
        offline: &[Cid],
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = self.resolve(gateway) else { return };
        self.with(&id, now, effects, Device::alive);
        for (cids, is) in [(offline, false), (online, true)] {
            for cid in cids {
                let child = self.children.get(&*id).and_then(|c| c.get(cid)).cloned();
                if let Some(child) = child {
                    self.with(&child, now, effects, |device, _| device.told_online(is));
                }
            }
        }
    }
}
