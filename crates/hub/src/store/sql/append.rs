//! A batch in one transaction.

use std::collections::HashMap;

use super::super::{Batch, StoreError};
use super::database::{Column, ENERGY, EVENTS, POINTS, SAVED, Transaction, failed, signed};
use super::ids::Fresh;
use super::{Open, values};

/// Rows of points by key. PostgreSQL refuses a key that comes twice in a statement: the later row counts.
type Points<'a> = HashMap<(i64, i64), &'a landfall_proto::dp::DpValue>;

/// What a batch that is kept did.
struct Written {
    /// The series that got changes, with the newest of each.
    series: Vec<(i64, u64)>,
    /// Values that others took the place of.
    replaced: u64,
}

impl Open {
    pub(super) async fn append(&self, batch: &Batch) -> Result<u64, StoreError> {
        // Held over the transaction: there is one writer.
        let mut ids = self.ids.lock().await;
        let mut fresh = Fresh::new(&ids);
        let written = self.write(batch, &mut fresh).await.map_err(failed("can't write history"))?;
        let given = fresh.given();
        ids.know(given);
        for (series, at_ms) in written.series {
            ids.wrote(series, at_ms);
        }
        Ok(written.replaced)
    }

    async fn write(&self, batch: &Batch, ids: &mut Fresh<'_>) -> Result<Written, sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let writing = &mut *transaction;
        // Changes before this are rolled up already, or are being.
        let marks = self.marks();
        let late_before = marks.rolled.max(marks.rolling);
        let mut late: HashMap<i64, i64> = HashMap::new();
        let mut points = Points::with_capacity(batch.points.len());
        let mut replaced = 0;
        for row in &batch.points {
            let series = ids.series(writing, &row.device, row.dp).await?;
            let before = points.insert((series, signed(row.at_ms)), &row.value);
            replaced += u64::from(before.is_some_and(|value| *value != row.value));
            if row.at_ms < late_before {
                let oldest = late.entry(series).or_insert(i64::MAX);
                *oldest = (*oldest).min(signed(row.at_ms));
            }
        }
        // In the order of the key, neighbours share pages.
        let mut points: Vec<_> = points.into_iter().collect();
        points.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in points.iter().filter(|(key, _)| ids.may_have(key.0, key.1)) {
            replaced += u64::from(replaces(writing, *key, value).await?);
        }
        let columns: Vec<_> = points.iter().map(|(_, value)| values::columns(value)).collect();
        let (mut kinds, mut nums, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, num, text) in columns {
            kinds.push(kind);
            nums.push(num);
            texts.push(text);
        }
        let keys = |of: fn(&(i64, i64)) -> i64| Column::Ints(points.iter().map(|(key, _)| of(key)).collect());
        let columns = vec![
            keys(|k| k.0),
            keys(|k| k.1),
            Column::Ints(kinds),
            Column::MaybeInts(nums),
            Column::Texts(texts),
        ];
        writing.write(&POINTS, columns).await?;
        for (series, at) in late {
            let sql = "INSERT INTO late (series, at) VALUES ($1, $2) ON CONFLICT (series) \
                       DO UPDATE SET at = excluded.at WHERE excluded.at < late.at";
            writing.rows(sql, &[series.into(), at.into()]).await?;
        }

        let mut energy = HashMap::with_capacity(batch.energy.len());
        for row in &batch.energy {
            let device = ids.device(writing, &row.device).await?;
            energy.insert((device, signed(row.at_ms)), row.total.0);
        }
        let columns = vec![
            Column::Ints(energy.keys().map(|k| k.0).collect()),
            Column::Ints(energy.keys().map(|k| k.1).collect()),
            Column::Ints(energy.values().copied().collect()),
        ];
        writing.write(&ENERGY, columns).await?;

        let mut events = HashMap::with_capacity(batch.events.len());
        for row in &batch.events {
            let device = match &row.device {
                Some(device) => Some(ids.device(writing, device).await?),
                None => None,
            };
            events.insert(signed(row.seq.0), (row, device));
        }
        let (seqs, events): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        let columns = vec![
            Column::Ints(seqs),
            Column::Ints(events.iter().map(|(row, _)| signed(row.at_ms)).collect()),
            Column::MaybeInts(events.iter().map(|(_, device)| *device).collect()),
            Column::Texts(events.iter().map(|(row, _)| Some(values::text(&row.code))).collect()),
            Column::Texts(events.iter().map(|(row, _)| Some(values::text(&row.text))).collect()),
        ];
        writing.write(&EVENTS, columns).await?;

        let mut saved = HashMap::with_capacity(batch.saved.len());
        for row in &batch.saved {
            saved.insert(ids.device(writing, &row.device).await?, values::text(&row.text));
        }
        let (devices, texts): (Vec<_>, Vec<_>) = saved.into_iter().map(|(d, t)| (d, Some(t))).unzip();
        writing.write(&SAVED, vec![Column::Ints(devices), Column::Texts(texts)]).await?;

        let sql = "INSERT INTO meta (name, value) VALUES ('last', $1) ON CONFLICT (name) \
                   DO UPDATE SET value = excluded.value WHERE excluded.value > meta.value";
        writing.rows(sql, &[batch.last.0.into()]).await?;
        transaction.commit().await?;
        // Sorted, so the last of a series is its newest.
        let runs = points.chunk_by(|(a, _), (b, _)| a.0 == b.0).filter_map(<[_]>::last);
        let series = runs.map(|((series, at), _)| (*series, u64::try_from(*at).unwrap_or(0))).collect();
        Ok(Written { series, replaced })
    }
}

/// Whether a series has another value at this time. The same one is a batch that is written again.
async fn replaces(
    writing: &mut dyn Transaction,
    (series, at): (i64, i64),
    value: &landfall_proto::dp::DpValue,
) -> Result<bool, sqlx::Error> {
    let sql = "SELECT kind, num, txt FROM points WHERE series = $1 AND at = $2";
    let Some(there) = writing.rows(sql, &[series.into(), at.into()]).await?.pop() else { return Ok(false) };
    Ok(!values::is_stored_as(value, there))
}
