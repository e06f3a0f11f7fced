//! The other line: one device, one model, and a cloud that sees the same points as the LAN does.

use landfall_proto::Now;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;

use super::requests::Carried;
use super::{Ending, Output, VirtualDevice};
use crate::cloud::{CloudClient, CloudNews, CloudOutput, Effect, LineId, PairError, Pairing, Who};
use crate::faults::Fault;
use crate::journal::Line;
use crate::model::{Cause, PhysicalError};
use crate::news::News;

impl VirtualDevice {
    /// Switches the cloud side on, if the device has one; from now on it looks for its cloud. Chance on that side
    /// follows from `entropy_seed`.
    pub fn join_cloud(&mut self, entropy_seed: u64, now: Now) {
        let Some(spec) = self.spec.cloud.clone() else { return };
        let who = Who {
            id: self.spec.id.clone(),
            key: self.spec.key.clone(),
            product: self.spec.product(),
            sleeps: !self.spec.listens(),
        };
        let seed = crate::dice::Dice::labelled(entropy_seed, who.id.as_str()).bits();
        self.cloud = Some(Box::new(CloudClient::new(spec, who, self.journal.clone(), seed, now.mono)));
        self.relisten();
        self.with_cloud(now, |_| ());
    }

    /// The cloud side, if it is on.
    pub fn cloud(&self) -> Option<&CloudClient> {
        self.cloud.as_deref()
    }

    /// A connection that [`CloudOutput::Open`] wanted stands, with TLS if that was wanted.
    pub fn handle_cloud_opened(&mut self, line: LineId, now: Now) {
        self.with_cloud(now, |cloud| cloud.handle_opened(line, now.mono));
    }

    /// A connection could not be opened.
    pub fn handle_cloud_failed(&mut self, line: LineId, why: &str, now: Now) {
        self.with_cloud(now, |cloud| cloud.handle_failed(line, why, now.mono));
    }

    /// Bytes of the cloud.
    pub fn handle_cloud_input(&mut self, line: LineId, bytes: &[u8], now: Now) {
        self.with_cloud(now, |cloud| cloud.handle_input(line, bytes, now.mono));
    }

    /// The cloud closed a connection, or it broke.
    pub fn handle_cloud_closed(&mut self, line: LineId, now: Now) {
        self.with_cloud(now, |cloud| cloud.handle_closed(line, now.mono));
    }

    /// An app pairs the device.
    ///
    /// # Errors
    /// No cloud side, or it has an owner.
    pub fn pair(&mut self, pairing: Pairing, now: Now) -> Result<(), PairError> {
        let paired = self.cloud.as_mut().ok_or(PairError::NoCloud)?.pair(pairing, now.mono);
        self.with_cloud(now, |_| ());
        paired
    }

    pub(super) fn press_reset(&mut self, now: Now) -> Result<(), PhysicalError> {
        if self.cloud.is_none() {
            return Err(PhysicalError::NoCloud);
        }
        self.with_cloud(now, |cloud| cloud.press_reset(now.mono));
        Ok(())
    }

    /// Whether MQTT is up.
    pub fn is_online(&self) -> bool {
        self.cloud.as_ref().is_some_and(|c| c.is_online())
    }

    /// Does something with the cloud side, and then everything that it wants done.
    pub(super) fn with_cloud(&mut self, now: Now, with: impl FnOnce(&mut CloudClient)) {
        let Some(cloud) = self.cloud.as_mut() else { return };
        with(cloud);
        while let Some(cloud) = self.cloud.as_mut() {
            match cloud.poll_output(now.mono) {
                CloudOutput::Wait(until) => {
                    self.cloud_wait = until;
                    return;
                }
                CloudOutput::News(news) => self.tell(News::Cloud { news }),
                CloudOutput::Effect(effect) => self.undergo(effect, now),
                output => self.ready.push_back(Output::Cloud(output)),
            }
        }
    }

    fn undergo(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::Set { cid, dps, by } => self.set_by(cid.as_ref(), &dps, by, now),
            Effect::Show { points } => self.show(points.as_deref(), now),
            Effect::Online(true) => self.report_state(now),
            Effect::Online(false) => {}
            Effect::Answered => {
                self.answered = true;
                self.relisten();
            }
            Effect::Activated { id, key } => {
                self.end_all(Ending::Close, "another owner", now);
                self.spec.id = id.clone();
                self.spec.key = key.clone();
                self.config.device_id = id;
                self.config.key = key;
                self.relisten();
            }
            Effect::Forgot => {
                self.end_all(Ending::Close, "the owner was forgotten", now);
                self.relisten();
            }
            Effect::Reboot => self.fault(Fault::Reboot(super::BOOT), now),
        }
    }

    /// Begins or ends listening on the LAN, as things are.
    pub(super) fn relisten(&mut self) {
        let owned = self.cloud.as_ref().is_none_or(|c| c.is_activated());
        let waits = self.cloud.is_some() && self.spec.habits.lan_after_cloud && !self.answered;
        let listening = self.is_up() && owned && !waits;
        if listening != self.listening {
            self.listening = listening;
            self.ready.push_back(Output::Listen(listening));
        }
    }

    fn set_by(&mut self, cid: Option<&Cid>, dps: &Dps, by: Line, now: Now) {
        let Some(at) = self.unit_at(cid) else {
            let why = format!("there is no sub-device {}", cid.map(Cid::as_str).unwrap_or_default());
            return self.tell(News::Cloud { news: CloudNews::Dropped { why } });
        };
        let Carried { applied, skipped, .. } = self.carry_out(at, dps, by, now);
        for (dp, value, why) in skipped {
            self.tell(News::Cloud { news: CloudNews::Skipped { dp, value, why } });
        }
        if !applied.is_empty() {
            self.tell(News::Cloud { news: CloudNews::Applied { cid: cid.cloned(), dps: applied } });
        }
        self.report(at, Cause::Written, now);
    }

    /// Protocol 31: passive points too.
    fn show(&mut self, points: Option<&[DpId]>, now: Now) {
        self.catch_up(now);
        let asked: Vec<DpId> = match points {
            Some(points) => points.to_vec(),
            None => self.units[0].model.points().values().ids().collect(),
        };
        self.units[0].model.measure(&asked, now.mono);
        // The LAN hears what changed by it, the cloud what it asked for.
        let changed = self.units[0].model.points_mut().take_changes();
        let told = self.reportable(0, &changed, Cause::Refreshed);
        if !told.is_empty() {
            for c in self.connections.iter_mut().filter(|c| !c.is_closing()) {
                c.session.push(None, &told, now);
            }
            self.tell(News::Changed { cid: None, dps: changed, cause: Cause::Refreshed });
        }
        let values = self.known(0, &asked);
        if let Some(cloud) = self.cloud.as_mut() {
            cloud.report(None, &values, now.mono);
        }
    }

    /// After it connected a device sends its state (cloud.md 4.8), but for passive points.
    fn report_state(&mut self, now: Now) {
        self.catch_up(now);
        for at in 0..self.units.len() {
            let state = self.reportable(at, &self.shown(at), Cause::Time);
            let cid = self.units[at].cid.clone();
            if let Some(cloud) = self.cloud.as_mut().filter(|_| self.units[at].online) {
                cloud.report(cid.as_ref(), &state, now.mono);
            }
        }
    }

    pub(super) fn report_to_cloud(&mut self, cid: Option<&Cid>, dps: &Dps, cause: Cause, now: Now) {
        if let Some(cloud) = self.cloud.as_mut()
            // A sleeper does not get up for a sample that it took in its sleep.
            && (cause != Cause::Time || cloud.is_awake())
        {
            cloud.report(cid, dps, now.mono);
        }
    }

    /// Why the firmware does not take this value, by the schema that it was told (cloud.md 4.8).
    pub(super) fn refusal(&self, at: usize, dp: DpId, value: &DpValue) -> Option<String> {
        let told = self.cloud.as_ref().filter(|_| at == 0)?.told()?;
        if !told.handles(dp) {
            return Some(format!("{dp:?} is not in the schema that the device was told"));
        }
        told.schema.check_write(dp, value.clone()).err().map(|e| e.to_string())
    }

    /// Whether the device shows this point at present.
    fn is_shown(&self, at: usize, dp: DpId) -> bool {
        let handled =
            self.cloud.as_ref().filter(|_| at == 0).and_then(|c| c.told()).is_none_or(|t| t.handles(dp));
        let energy = || {
            let point = self.units[at].model.points().product().point(dp);
            point.is_some_and(|p| p.code.starts_with("cur_"))
        };
        let starved = self.cloud.is_some() && self.spec.habits.energy_needs_mqtt && !self.is_online();
        handled && !(starved && energy())
    }

    /// The points of the device or of a sub-device as a query shows them now; `None` for no such sub-device.
    pub fn queried(&self, cid: Option<&Cid>) -> Option<Dps> {
        self.unit_at(cid).map(|at| self.shown(at))
    }

    /// The points as a query shows them: what the told schema has, and energy only with MQTT where that is the habit.
    pub(super) fn shown(&self, at: usize) -> Dps {
        let values = self.units[at].model.points().values();
        values.iter().filter(|(dp, _)| self.is_shown(at, *dp)).map(|(dp, v)| (dp, v.clone())).collect()
    }

    /// Those of some changes that are reported: no hidden points, and passive ones only when somebody asked.
    pub(super) fn reportable(&self, at: usize, dps: &Dps, cause: Cause) -> Dps {
        let told =
            self.cloud.as_ref().filter(|_| at == 0 && cause != Cause::Refreshed).and_then(|c| c.told());
        let passive = |dp| told.is_some_and(|t| t.is_passive(dp));
        let kept = dps.iter().filter(|(dp, _)| self.is_shown(at, *dp) && !passive(*dp));
        kept.map(|(dp, v)| (dp, v.clone())).collect()
    }
}
