//! Requests on their way, and which frame answers which (lan.md 5.4).

use core::time::Duration;

use super::super::body::{self, Addressee, Report};
use super::super::command::Command;
use super::{Config, Request, RequestId};
use crate::dp::{DpId, Dps};
use crate::id::Cid;

/// What a request waits for.
#[derive(Debug, PartialEq)]
pub(super) enum Awaits {
    /// A reply with points; a STATUS too, once an empty reply came.
    Points { empty_reply: bool },
    /// A STATUS or reply that holds one of these points (device22).
    AnyOf(Vec<DpId>),
    /// An acknowledgement, or a STATUS that shows all of these.
    Ack(Dps),
    /// An acknowledgement, or a STATUS with one of these points, or nothing.
    Refresh(Vec<DpId>),
    /// A report of sub-devices, or nothing.
    Subdevices,
    /// Any frame of the command.
    Any,
}

/// A request that was handed to the connection.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    pub(super) command: Command,
    pub(super) sequence: u32,
    pub(super) cid: Option<Cid>,
    pub(super) awaits: Awaits,
    pub(super) deadline: Duration,
}

impl Flight {
    /// Devices need not answer these at all.
    pub(super) fn may_stay_silent(&self) -> bool {
        matches!(self.awaits, Awaits::Refresh(_) | Awaits::Subdevices)
    }

    /// Whether a STATUS of these points answers this request, and whether it was then asked for (polled).
    pub(super) fn answered_by_status(&self, report: &Report) -> Option<bool> {
        if self.cid != report.cid {
            return None;
        }
        let any = |points: &[DpId]| report.dps.ids().any(|id| points.contains(&id));
        match &self.awaits {
            Awaits::Points { empty_reply: true } => Some(true),
            Awaits::AnyOf(points) if any(points) => Some(true),
            Awaits::Ack(wanted) if report.dps.shows(wanted) => Some(false),
            Awaits::Refresh(points) if any(points) => Some(false),
            _ => None,
        }
    }
}

/// A request in the words of the wire.
pub(super) struct Wire {
    pub(super) command: Command,
    pub(super) body: Vec<u8>,
    pub(super) cid: Option<Cid>,
    pub(super) awaits: Awaits,
}

/// The command of a request and whom it is for: what must not be outstanding twice.
pub(super) fn lane<'a>(config: &Config, request: &'a Request) -> (Command, Option<&'a Cid>) {
    let dialect = config.version.dialect();
    match request {
        Request::Query { cid } if asks_with_nulls(config, cid.as_ref()) => (Command::CONTROL_NEW, None),
        Request::Query { cid } => (dialect.query, cid.as_ref()),
        Request::Set { cid, .. } => (dialect.set, cid.as_ref()),
        Request::Refresh { cid, .. } => (Command::UPDATEDPS, cid.as_ref()),
        Request::Subdevices => (Command::LAN_EXT_STREAM, None),
        Request::Raw { command, .. } => (*command, None),
    }
}

/// A gateway's sub-device is never asked with nulls (lan.md 3.9).
fn asks_with_nulls(config: &Config, cid: Option<&Cid>) -> bool {
    (config.device22 || config.version.dialect().device22) && cid.is_none()
}

/// Puts a request into words.
pub(super) fn wire(config: &Config, request: Request, unix: u64) -> Wire {
    let version = config.version;
    let command = lane(config, &request).0;
    let to = |cid| Addressee { device: &config.device_id, cid };
    let (body, cid, awaits) = match request {
        Request::Query { cid } if asks_with_nulls(config, cid.as_ref()) => {
            let points = if config.device22_points.is_empty() {
                vec![DpId(1)]
            } else {
                config.device22_points.clone()
            };
            let mut dps = Dps::new();
            points.iter().for_each(|p| dps.ask(*p));
            (device22_query(config, &dps, unix), cid, Awaits::AnyOf(points))
        }
        Request::Query { cid } => {
            (body::query(version, to(cid.as_ref()), unix), cid, Awaits::Points { empty_reply: false })
        }
        Request::Set { cid, dps } => {
            let body = body::set(version, to(cid.as_ref()), &dps, unix);
            (body, cid, Awaits::Ack(dps))
        }
        Request::Refresh { cid, points } => {
            (body::refresh(cid.as_ref(), &points), cid, Awaits::Refresh(points))
        }
        Request::Subdevices => (body::subdevices_query(), None, Awaits::Subdevices),
        Request::Raw { body, .. } => (body, None, Awaits::Any),
    };
    Wire { command, body, cid, awaits }
}

/// The query of nulls has the body of a set.
fn device22_query(config: &Config, dps: &Dps, unix: u64) -> Vec<u8> {
    body::set(config.version, Addressee { device: &config.device_id, cid: None }, dps, unix)
}
