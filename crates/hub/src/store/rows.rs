//! Changes as rows.

use std::sync::Arc;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::DeviceId;

use super::{EnergyRow, EventRow, PointRow};
use crate::model::{Change, Presence, What};

/// A row of history.
#[derive(Debug)]
pub(super) enum Row {
    Point(PointRow),
    Energy(EnergyRow),
    Event(EventRow),
}

/// Gives the rows of a change.
pub(super) fn rows(change: &Change, mut take: impl FnMut(Row)) {
    let event = |code: String, text: String| {
        Row::Event(EventRow {
            seq: change.seq,
            at_ms: change.at_ms,
            device: change.device.clone(),
            code,
            text,
        })
    };
    match &change.what {
        What::Points { dps, changed, .. } => points(change, dps, changed.iter().copied(), &mut take),
        // A button that was pressed again has the value of before: the time is what counts.
        What::Event { dps, .. } => points(change, dps, dps.ids(), &mut take),
        What::Energy(view) => {
            if let Some(device) = &change.device {
                take(Row::Energy(EnergyRow {
                    device: Arc::clone(device),
                    at_ms: change.at_ms,
                    total: view.total,
                }));
            }
        }
        What::Presence(presence) => {
            let text = match presence {
                Presence::Offline { why, .. } => why.clone(),
                _ => presence.word().to_owned(),
            };
            take(event(format!("presence.{}", presence.word()), text));
        }
        What::EnergyNote { code, text } => take(event(format!("energy.{code}"), text.clone())),
        What::Command(ended) => {
            let line = ended.line.map_or("no line", crate::model::Line::word);
            let text = format!(
                "{} over {line}: {}, {} ms",
                points_in_words(&ended.dps),
                ended.outcome,
                ended.took_ms
            );
            take(event(format!("command.{}", ended.outcome.word()), text));
        }
        What::Added => take(event("device.added".to_owned(), "added".to_owned())),
        What::Removed { name } => take(event("device.removed".to_owned(), format!("{name} was removed"))),
        What::Renamed { from, to } => {
            take(event("device.renamed".to_owned(), format!("{from} is called {to} now")));
        }
        What::Hub { code, text } => take(event((*code).to_owned(), text.clone())),
        // Lines go up and down all day; readings tell by their own times that they are stale.
        What::Line { .. } | What::Stale { .. } | What::Edited => {}
    }
}

fn points(change: &Change, dps: &Dps, ids: impl Iterator<Item = DpId>, take: &mut impl FnMut(Row)) {
    let Some(device) = &change.device else { return };
    for dp in ids {
        if let Some(value) = dps.value(dp) {
            let device: Arc<DeviceId> = Arc::clone(device);
            take(Row::Point(PointRow { device, dp, at_ms: change.at_ms, value: value.clone() }));
        }
    }
}

/// `1 = true, 22 = 500`; long ones cut, since a scene of a light is of no use to a reader.
fn points_in_words(dps: &Dps) -> String {
    const MOST: usize = 200;
    let mut text = String::new();
    for (id, value) in dps.iter() {
        let value = value.to_string();
        let sign = if text.is_empty() { "" } else { ", " };
        if text.len() + value.len() > MOST {
            text.push_str(&format!("{sign}{id} = ({} bytes)", value.len()));
        } else {
            text.push_str(&format!("{sign}{id} = {value}"));
        }
        if text.len() > MOST {
            text.push_str(", ...");
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{By, CommandId, Ended, EnergyView, Line, MilliWattHours, Origin, Outcome, Seq};

    fn all(what: What) -> Vec<Row> {
        let device = Some(Arc::new(DeviceId::new("bf01").unwrap()));
        let mut all = Vec::new();
        rows(&Change { seq: Seq(7), at_ms: 1_000, device, what }, |row| all.push(row));
        all
    }

    fn dps(json: &str) -> Arc<Dps> {
        Arc::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn only_points_that_changed_become_rows() {
        let dps = dps(r#"{"1":true,"18":230,"19":5}"#);
        let what = |changed: &[u16]| What::Points {
            line: Line::Lan,
            origin: Origin::Pushed,
            dps: Arc::clone(&dps),
            changed: changed.iter().map(|n| DpId(*n)).collect(),
            device_ms: None,
        };
        let rows = all(what(&[19, 1]));
        let ids: Vec<_> = rows
            .iter()
            .map(|r| match r {
                Row::Point(p) => (p.dp.0, p.at_ms, p.value.to_string()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, [(19, 1_000, "5".to_owned()), (1, 1_000, "true".to_owned())]);
        assert!(all(what(&[])).is_empty());
        assert_eq!(all(What::Event { line: Line::Cloud, dps: Arc::clone(&dps) }).len(), 3);
    }

    #[test]
    fn what_happened_has_a_stable_code_and_words() {
        let ended = |outcome| {
            What::Command(Arc::new(Ended {
                id: CommandId(1),
                device: DeviceId::new("bf01").unwrap(),
                dps: (*dps(&format!(r#"{{"1":true,"25":"{}"}}"#, "0".repeat(900)))).clone(),
                line: Some(Line::Lan),
                by: By::Api,
                outcome,
                took_ms: 35,
            }))
        };
        let said = |what| match all(what).pop() {
            Some(Row::Event(e)) => (e.code, e.text),
            other => panic!("{other:?}"),
        };
        let is = |what, code: &str, text: &str| assert_eq!(said(what), (code.to_owned(), text.to_owned()));
        is(
            ended(Outcome::Confirmed),
            "command.confirmed",
            "1 = true, 25 = (900 bytes) over lan: confirmed, 35 ms",
        );
        is(
            ended(Outcome::Refused { why: "out of range".to_owned() }),
            "command.refused",
            "1 = true, 25 = (900 bytes) over lan: refused: out of range, 35 ms",
        );
        let offline = Presence::Offline { since_ms: 1, why: "no line for 30 s".to_owned() };
        is(What::Presence(offline), "presence.offline", "no line for 30 s");
        is(What::Presence(Presence::Online), "presence.online", "online");
        let note = What::EnergyNote { code: "handover", text: "lan to cloud".to_owned() };
        is(note, "energy.handover", "lan to cloud");
        is(What::Hub { code: "store.healed", text: "x".to_owned() }, "store.healed", "x");
        is(What::Added, "device.added", "added");
    }

    #[test]
    fn energy_is_its_total() {
        let rows = all(What::Energy(EnergyView { total: MilliWattHours(42), ..EnergyView::default() }));
        assert!(matches!(&rows[..], [Row::Energy(e)] if e.total == MilliWattHours(42) && e.at_ms == 1_000));
    }
}
