//! Samples from changes and roll-ups.

use landfall_proto::dp::{DpId, DpValue};

use super::super::fold::{Fold, WIDTHS, number, plan};
use super::super::{HistoryQuery, Sample, Series, StoreError};
use super::database::{Cell, Database, Rows, failed, signed};
use super::{Marks, Open, level, values};

/// Rows read at a time, so that memory is bounded however long the time.
const PORTION: usize = 10_000;

/// Changes in a time, oldest first.
pub(super) const CHANGES: &str =
    "SELECT at, kind, num, txt FROM points WHERE series = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $4";

/// Roll-ups that begin in a time, oldest first.
pub(super) const ROLLUPS: &str = "SELECT at, min, mean, max, last, count, known FROM rollups \
     WHERE level = $1 AND series = $2 AND at >= $3 AND at < $4 ORDER BY at LIMIT $5";

/// The last change before a time.
pub(super) const CHANGE_BEFORE: &str =
    "SELECT kind, num, txt FROM points WHERE series = $1 AND at < $2 ORDER BY at DESC LIMIT 1";

/// The last roll-up that begins at a time or before.
pub(super) const ROLLUP_BEFORE: &str =
    "SELECT last FROM rollups WHERE level = $1 AND series = $2 AND at <= $3 ORDER BY at DESC LIMIT 1";

/// A time and value of a row of [`CHANGES`].
pub(super) fn change(row: Vec<Cell>) -> Option<(u64, DpValue)> {
    let mut row = row.into_iter();
    let (at, kind, num) = (row.next()?, row.next()?, row.next()?);
    Some((at.ms(), values::value(&kind, &num, row.next()?)?))
}

/// The number that a row of [`CHANGE_BEFORE`] stands for.
pub(super) fn number_before(row: Option<Vec<Cell>>) -> Option<f64> {
    let mut row = row?.into_iter();
    let (kind, num) = (row.next()?, row.next()?);
    number(&values::value(&kind, &num, row.next()?)?)
}

fn args(limit: usize, of: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
    of.into_iter().chain([Cell::Int(signed(limit as u64))]).collect()
}

/// Reads one series.
struct Reader<'a> {
    database: &'a dyn Database,
    series: i64,
    dp: DpId,
    marks: Marks,
    query: &'a HistoryQuery,
}

impl Open {
    pub(super) async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError> {
        self.read_history(query).await.map_err(failed("can't read history"))
    }

    async fn read_history(&self, query: &HistoryQuery) -> Result<Vec<Series>, sqlx::Error> {
        let marks = self.marks();
        let sql = "SELECT s.id, s.dp FROM series s JOIN devices d ON d.id = s.device WHERE d.name = $1 ORDER BY s.dp";
        let mut all = Vec::new();
        for row in self.database.rows(sql, &[query.device.as_str().into()]).await? {
            let Ok(dp) = u16::try_from(row[1].int()).map(DpId) else { continue };
            if query.dps.is_empty() || query.dps.contains(&dp) {
                let database = &*self.database;
                let reader = Reader { database, series: row[0].int(), dp, marks, query };
                all.extend(reader.read().await?);
            }
        }
        Ok(all)
    }
}

impl Reader<'_> {
    async fn read(&self) -> Result<Option<Series>, sqlx::Error> {
        match self.query.step_ms {
            Some(step) => match self.steps(step).await? {
                Some(series) => Ok(Some(series)),
                // Text has no roll-ups.
                None => self.changes().await,
            },
            None => self.changes().await,
        }
    }

    /// Every change; roll-ups where changes were forgotten.
    async fn changes(&self) -> Result<Option<Series>, sqlx::Error> {
        let HistoryQuery { from_ms: from, to_ms: to, limit, .. } = *self.query;
        let floor = self.marks.floors[0];
        let (mut samples, mut step_ms) = (Vec::new(), None);
        if let Some(l) = self.finest(from, to).await? {
            for row in self.rollups(l, from, to.min(floor), limit.saturating_add(1)).await? {
                samples.push(Sample::from(values::bucket(&row)));
                step_ms = Some(WIDTHS[l]);
            }
        }
        let room = limit.saturating_add(1) - samples.len();
        if room > 0 {
            let from = from.max(floor);
            let rows = self.portion(from, to, room).await?;
            samples.extend(
                rows.into_iter().filter_map(change).map(|(at_ms, value)| Sample::Value { at_ms, value }),
            );
        }
        let cut = samples.len() > limit;
        samples.truncate(limit);
        Ok((!samples.is_empty()).then_some(Series { dp: self.dp, samples, cut, step_ms }))
    }

    /// Steps of numbers; `None` when there are none in this time.
    async fn steps(&self, asked: u64) -> Result<Option<Series>, sqlx::Error> {
        let HistoryQuery { from_ms: from, to_ms: to, limit, .. } = *self.query;
        let finest = self.finest(from, to).await?;
        let (rolled_up, step) = plan(asked, finest);
        let start = from - from % step;
        // Only whole roll-ups are left there.
        let to = match finest {
            Some(finest) if to <= self.marks.floors[0] => to.next_multiple_of(WIDTHS[finest]),
            _ => to,
        };
        let mut fold = Fold::new(step, self.before(start).await?);
        let mut at = start;
        for l in rolled_up.map_or(0..0, |l| 0..l + 1).rev() {
            let width = WIDTHS[l];
            let end = to.min(self.marks.rolled);
            let end = end - end % width;
            while at < end && fold.len() <= limit {
                let rows = self.rollups(l, at, end, PORTION).await?;
                let more = rows.len() == PORTION;
                for bucket in rows.iter().map(|row| values::bucket(row)) {
                    fold.bucket(&bucket, width);
                    at = bucket.at_ms + width;
                }
                if !more {
                    at = end;
                }
            }
        }
        while at < to && fold.len() <= limit {
            let rows = self.portion(at, to, PORTION).await?;
            let more = rows.len() == PORTION;
            for (at_ms, value) in rows.into_iter().filter_map(change) {
                at = at_ms + 1;
                if let Some(value) = number(&value) {
                    fold.value(at_ms, value);
                }
            }
            if !more {
                at = to;
            }
        }
        let mut steps = fold.finish(to);
        let cut = steps.len() > limit;
        steps.truncate(limit);
        let samples: Vec<_> = steps.into_iter().map(Sample::from).collect();
        Ok((!samples.is_empty()).then_some(Series { dp: self.dp, samples, cut, step_ms: Some(step) }))
    }

    /// The finest roll-up that reaches back to a time; `None`: changes do.
    async fn finest(&self, from: u64, to: u64) -> Result<Option<usize>, sqlx::Error> {
        let floors = self.marks.floors;
        if from >= floors[0] {
            return Ok(None);
        }
        // Where history begins later, nothing was forgotten before.
        let sql = "SELECT MIN(at) FROM rollups WHERE level = $1 AND series = $2";
        let args = [Cell::Int(level(WIDTHS.len() - 1)), self.series.into()];
        let oldest = self.database.rows(sql, &args).await?;
        // Without a roll-up of a day nothing of it is older than a day.
        let Some(oldest) = oldest.first().filter(|row| !row[0].is_null()) else { return Ok(None) };
        let from = from.max(oldest[0].ms());
        if from >= floors[0] || to <= from {
            return Ok(None);
        }
        // Level 0 is forgotten before its floor, which is the second.
        Ok(Some((0..2).find(|l| from >= floors[l + 1]).unwrap_or(2)))
    }

    /// The number that the point was before a time.
    async fn before(&self, at: u64) -> Result<Option<f64>, sqlx::Error> {
        let args = [self.series.into(), at.into()];
        let row = self.database.rows(CHANGE_BEFORE, &args).await?.pop();
        if row.is_some() {
            return Ok(number_before(row));
        }
        for (l, width) in WIDTHS.iter().enumerate() {
            let Some(begins) = at.checked_sub(*width) else { break };
            let args = [level(l).into(), self.series.into(), begins.into()];
            if let Some(row) = self.database.rows(ROLLUP_BEFORE, &args).await?.first() {
                return Ok(Some(row[0].real()));
            }
        }
        Ok(None)
    }

    async fn rollups(&self, l: usize, from: u64, to: u64, limit: usize) -> Rows {
        let args = args(limit, [level(l).into(), self.series.into(), from.into(), to.into()]);
        self.database.rows(ROLLUPS, &args).await
    }

    async fn portion(&self, from: u64, to: u64, limit: usize) -> Rows {
        let args = args(limit, [self.series.into(), from.into(), to.into()]);
        self.database.rows(CHANGES, &args).await
    }
}
