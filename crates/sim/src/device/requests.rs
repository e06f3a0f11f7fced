//! What a device does with a request (lan.md 5.3, 7).

use landfall_proto::Now;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceError, DeviceEvent, DeviceSession, Ticket};
use serde::Deserialize;
use serde_json::json;

use super::{ConnectionId, VirtualDevice};
use crate::journal::{Line, Write};
use crate::kind::Kind;
use crate::model::{self, Applied, Cause};
use crate::news::News;

/// The one request of this family that is answered (lan.md 3.9).
const ONLINE_QUERY: &str = "subdev_online_stat_query";
const ONLINE_REPORT: &str = "subdev_online_stat_report";

/// `{"reqType":..,"data":{"cids":[..]}}`
#[derive(Deserialize)]
struct OnlineQuery {
    #[serde(default)]
    data: OnlineCids,
}

#[derive(Default, Deserialize)]
struct OnlineCids {
    #[serde(default)]
    cids: Vec<String>,
}

/// What became of a command.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) applied: Dps,
    /// Those of them that had the value already.
    pub(super) unchanged: Dps,
    pub(super) skipped: Vec<(DpId, DpValue, String)>,
}

impl VirtualDevice {
    pub(super) fn serve(&mut self, id: ConnectionId, request: DeviceEvent, now: Now) {
        match request {
            DeviceEvent::Query { ticket, cid } => self.serve_query(id, ticket, cid.as_ref(), now),
            DeviceEvent::Set { ticket, cid, dps } => self.serve_set(id, ticket, cid.as_ref(), &dps, now),
            DeviceEvent::Refresh { ticket, cids, points } => {
                self.serve_refresh(id, ticket, &cids, &points, now)
            }
            DeviceEvent::Extension { ticket, req_type, body } => {
                self.serve_extension(id, ticket, &req_type, &body)
            }
            DeviceEvent::Other { ticket, .. } => self.answer(id, |s| s.reply_unknown(ticket)),
            DeviceEvent::Ready | DeviceEvent::Closed(_) => {}
        }
    }

    fn answer(&mut self, id: ConnectionId, with: impl FnOnce(&mut DeviceSession)) {
        if let Some(c) = self.connections.iter_mut().find(|c| c.id == id) {
            with(&mut c.session);
        }
    }

    fn is_gateway(&self) -> bool {
        self.spec.kind == Kind::Gateway
    }

    /// Who is addressed. A plain device knows no sub-devices and takes everything for itself.
    fn addressed(&self, cid: Option<&Cid>) -> Result<usize, DeviceError> {
        if !self.is_gateway() {
            return Ok(0);
        }
        self.unit_at(cid).filter(|at| *at > 0).ok_or(DeviceError::DevIdNotFound)
    }

    fn serve_query(&mut self, id: ConnectionId, ticket: Ticket, cid: Option<&Cid>, now: Now) {
        self.catch_up(now);
        let answer = if self.spec.version.dialect().device22 || (self.is_gateway() && cid.is_none()) {
            // A gateway has nothing of its own to report (lan.md 3.9).
            Err(DeviceError::DataUnvalid)
        } else {
            self.addressed(cid)
        };
        match answer {
            Err(error) => self.answer(id, |s| s.reply_error(ticket, error)),
            // From the gateway's cache, whether the sub-device is online or not (lan.md 3.9).
            Ok(at) => {
                let values = self.shown(at);
                let cid = self.units[at].cid.clone();
                self.answer(id, |s| s.reply_points(ticket, cid.as_ref(), &values));
            }
        }
    }

    fn serve_set(&mut self, id: ConnectionId, ticket: Ticket, cid: Option<&Cid>, dps: &Dps, now: Now) {
        let at = match self.addressed(cid) {
            Ok(at) => at,
            Err(error) => return self.answer(id, |s| s.reply_error(ticket, error)),
        };
        if dps.is_empty() && !dps.asked().is_empty() {
            return self.serve_question(id, ticket, at, dps.asked(), now);
        }
        let cid = self.units[at].cid.clone();
        let Carried { applied, unchanged, skipped } = self.carry_out(at, dps, Line::Lan, now);
        for (dp, value, why) in skipped {
            self.tell(News::Skipped { connection: id, cid: cid.clone(), dp, value, why });
        }
        if !applied.is_empty() {
            self.tell(News::Applied { connection: id, cid: cid.clone(), dps: applied });
        }
        let repeat = self.spec.habits.repeat_unchanged && !unchanged.is_empty();
        if !self.spec.habits.push_first {
            self.answer(id, |s| s.ack(ticket));
        }
        self.report(at, Cause::Written, now);
        if repeat {
            self.answer(id, |s| s.push_unchanged(cid.as_ref(), &unchanged, now));
        }
        if self.spec.habits.push_first {
            self.answer(id, |s| s.ack(ticket));
        }
    }

    /// Does what the firmware does with a command, by whichever line it came, and writes it down.
    pub(super) fn carry_out(&mut self, at: usize, dps: &Dps, line: Line, now: Now) -> Carried {
        self.catch_up(now);
        let mut carried = Carried::default();
        if !self.units[at].online {
            return carried;
        }
        let mut handled = Dps::new();
        for (dp, value) in dps.iter() {
            match self.refusal(at, dp, value) {
                None => handled.insert(dp, value.clone()),
                Some(why) => carried.skipped.push((dp, value.clone(), why)),
            }
        }
        let cid = self.units[at].cid.clone();
        for (dp, value, outcome) in model::apply(&mut *self.units[at].model, &handled, now.mono) {
            match outcome {
                Applied::Done { changed } => {
                    let (device, cid) = (self.spec.id.clone(), cid.clone());
                    let (at, value_now) = (now.mono, value.clone());
                    self.journal.record(Write {
                        ordinal: 0,
                        at,
                        device,
                        cid,
                        dp,
                        value: value_now,
                        changed,
                        line,
                    });
                    if !changed {
                        carried.unchanged.insert(dp, value.clone());
                    }
                    carried.applied.insert(dp, value);
                }
                Applied::Skipped(why) => carried.skipped.push((dp, value, why.to_string())),
            }
        }
        carried
    }

    /// The "device22" form of a query: a CONTROL of nothing but nulls (lan.md 5.5).
    fn serve_question(&mut self, id: ConnectionId, ticket: Ticket, at: usize, asked: &[DpId], now: Now) {
        // The vendor's code skips nulls like any other wrong type, and acknowledges.
        if self.spec.habits.vendor_ack && self.spec.version == Version::V3_5 {
            return self.answer(id, |s| s.ack(ticket));
        }
        self.catch_up(now);
        let known = self.known(at, asked);
        let cid = self.units[at].cid.clone();
        self.answer(id, |s| {
            if known.is_empty() {
                s.reply_error(ticket, DeviceError::DataUnvalid);
            } else {
                s.push(cid.as_ref(), &known, now);
            }
        });
    }

    fn serve_refresh(&mut self, id: ConnectionId, ticket: Ticket, cids: &[Cid], points: &[DpId], now: Now) {
        if self.spec.habits.silent_refresh {
            return;
        }
        self.answer(id, |s| s.ack(ticket));
        self.catch_up(now);
        let own = if self.is_gateway() { None } else { Some(0) };
        let units: Vec<usize> = match cids {
            [] => own.into_iter().collect(),
            cids => cids.iter().filter_map(|cid| self.unit_at(Some(cid))).collect(),
        };
        for at in units {
            if self.units[at].online {
                self.units[at].model.measure(points, now.mono);
                self.report(at, Cause::Refreshed, now);
            }
        }
    }

    /// Plain devices ignore these; a gateway answers one of them and acknowledges the others (lan.md 3.9, 7).
    fn serve_extension(&mut self, id: ConnectionId, ticket: Ticket, req_type: &str, body: &[u8]) {
        if !self.is_gateway() {
            return;
        }
        self.answer(id, |s| s.ack(ticket));
        if req_type != ONLINE_QUERY {
            return;
        }
        let wanted =
            landfall_proto::json::parse::<OnlineQuery>(body).map(|q| q.data.cids).unwrap_or_default();
        let (mut online, mut offline) = (Vec::new(), Vec::new());
        for unit in &self.units {
            let Some(cid) = unit.cid.as_ref().map(Cid::as_str) else { continue };
            if wanted.is_empty() || wanted.iter().any(|w| w == cid) {
                if unit.online { &mut online } else { &mut offline }.push(cid);
            }
        }
        let report =
            json!({"reqType": ONLINE_REPORT, "data": {"online": online, "offline": offline}}).to_string();
        self.answer(id, |s| s.push_extension(report.as_bytes()));
    }
}
