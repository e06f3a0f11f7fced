//! Somebody is at home in the demo: every few seconds a light, a curtain or a thermostat is set, as with
//! `landfall set`, so that commands and their outcomes can be seen.

use std::time::{Duration, Instant};

use landfall_link::{Device, Outcome, SetOptions};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::Schema;
use tokio::task::JoinHandle;

use super::board::{Board, Row};
use crate::render::points;

/// Time between two acts.
pub(crate) const EVERY: Duration = Duration::from_secs(4);

/// What is done, to be awaited.
#[derive(Debug)]
pub(crate) struct Act {
    what: String,
    work: JoinHandle<(Option<Outcome>, Duration)>,
}

impl Act {
    /// Waits for its end and tells about it in a line. Cancel safe.
    pub(crate) async fn told(&mut self) -> String {
        match (&mut self.work).await {
            Ok((Some(outcome), took)) => {
                format!("set {} -> {outcome} ({:.1} ms)", self.what, took.as_secs_f64() * 1000.0)
            }
            Ok((None, _)) | Err(_) => format!("set {} -> not taken", self.what),
        }
    }
}

/// Does the next thing; `turn` counts from 0.
pub(crate) fn next(board: &Board, turn: usize) -> Option<Act> {
    let able: Vec<(&Row, Device, DpId, DpValue)> = board
        .rows
        .iter()
        .filter_map(|row| {
            let (id, value) = choice(&row.subject.schema, row.values()?)?;
            Some((row, row.handle.clone()?, id, value))
        })
        .collect();
    let (row, handle, id, value) = able.get(turn % able.len().max(1))?.clone();
    let spec = row.subject.schema.spec(id);
    let name = points::name(&row.subject.schema, id);
    let what = format!("{} {name} = {}", row.subject.name(), points::reading(spec, &value));
    let cid = row.subject.cid();
    let dps: Dps = [(id, value)].into_iter().collect();
    let work = tokio::spawn(async move {
        let start = Instant::now();
        let outcome = handle.set(cid, dps, SetOptions::default()).await.ok();
        (outcome, start.elapsed())
    });
    Some(Act { what, work })
}

/// What a person would do with it: lights and wall switches are switched, curtains moved, rooms made warmer or cooler.
/// Plugs are left alone: nobody switches a fridge off for fun.
fn choice(schema: &Schema, now: &Dps) -> Option<(DpId, DpValue)> {
    let value = |code: &str| schema.by_code(code).and_then(|id| Some((id, now.value(id)?)));
    if let Some((id, DpValue::Bool(on))) = value("switch_led") {
        return Some((id, DpValue::Bool(!on)));
    }
    if let Some((_, DpValue::Value(at))) = value("percent_state") {
        let id = schema.by_code("percent_control")?;
        return Some((id, DpValue::Value(if *at < 50 { 80 } else { 20 })));
    }
    if let Some((id, DpValue::Value(wants))) = value("temp_set") {
        return Some((id, DpValue::Value(if *wants < 215 { 220 } else { 205 })));
    }
    match value("switch_2") {
        Some((id, DpValue::Bool(on))) => Some((id, DpValue::Bool(!on))),
        _ => None,
    }
}
