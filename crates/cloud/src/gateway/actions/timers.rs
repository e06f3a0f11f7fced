//! Timers run in the device; the cloud keeps a copy, which is fetched when count or `lastFetchTime` differ
//! (cloud.md 6.3).

use landfall_proto::gateway::Reply;
use landfall_proto::json::{self, Raw};
use serde::Serialize;
use serde_json::json;

use super::{Asked, done_or};
use crate::backend::{Timer, Timers};
use crate::shared::Shared;

/// Timers in one answer where the device names no number; devices ask for five.
const PAGE: u64 = 5;
/// Most of them whatever it names: an answer has to fit 1 KiB.
const MAX_PAGE: u64 = 10;

/// `timer.count`. Of a device whose timers we don't know the same `lastFetchTime` goes back that it sent: "nothing
/// changed". If it sent none there is nothing right to say, and it is told nothing: another value would erase its timers.
pub(super) fn count(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let id = &asked.device.id;
    let (count, fetched) = match shared.backend.timers(id) {
        Timers::Set { timers, changed } => (timers.len(), changed),
        Timers::Kept => match asked.number("lastFetchTime") {
            Some(fetched) => (0, fetched),
            None => return Reply::done(now),
        },
    };
    done_or(now, &json!({"devId": id, "count": count, "lastFetchTime": fetched}))
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(rename = "devId")]
    dev_id: &'a str,
    timers: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: String,
    date: &'a str,
    time: &'a str,
    loops: u8,
    dps: Raw,
}

/// `timer.get`: a page of the timers. A list of none would erase what the device has, so where we don't know its timers
/// it is given no list at all.
pub(super) fn list(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let Timers::Set { timers, .. } = shared.backend.timers(&asked.device.id) else { return Reply::done(now) };
    let offset = asked.number("offset").unwrap_or(0);
    let limit = asked.number("limit").unwrap_or(PAGE).min(MAX_PAGE);
    let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let timers = timers.iter().skip(place(offset)).take(place(limit)).filter_map(entry).collect();
    done_or(now, &Page { dev_id: asked.device.id.as_str(), timers })
}

fn entry(timer: &Timer) -> Option<Entry<'_>> {
    let dps = json::parse(timer.dps.as_bytes())
        .inspect_err(|e| tracing::error!(timer = timer.id, "what a timer sets is no JSON: {e}"))
        .ok()?;
    Some(Entry { id: timer.id.to_string(), date: &timer.date, time: &timer.time, loops: timer.loops, dps })
}
