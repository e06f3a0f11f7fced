//! Roll-ups, and what is forgotten.
//!
//! Roll-ups are made from complete changes, and made anew where changes come late (the clock went back, the store was
//! away), so that they never count twice. Minutes are made of changes, quarters of minutes, hours of quarters, days of hours.

use std::collections::HashSet;

use super::super::fold::{Bucket, Fold, WIDTHS, number};
use super::super::{Retention, StoreError};
use super::database::{ROLLUPS as ROLLUP_TABLE, Transaction, failed};
use super::history::{CHANGE_BEFORE, CHANGES, ROLLUP_BEFORE, ROLLUPS, change, number_before};
use super::{Marks, Open, SET_META, level, values};

/// Changes that come this late are no surprise: the writer waits for a batch.
const GRACE_MS: u64 = 5_000;

/// Rows read at a time.
const PORTION: i64 = 10_000;

/// Series of one transaction: batches are written in between.
const AT_ONCE: usize = 64;

/// Forgetting is done so often.
const FORGET_MS: u64 = 3_600_000;

/// A clock that moves by so much since the last time has leapt.
const LEAP_MS: u64 = 7 * DAY_MS;

const DAY_MS: u64 = WIDTHS[3];

impl Open {
    pub(super) async fn tidy(&self, now_ms: u64, retention: &Retention) -> Result<(), StoreError> {
        let until = now_ms.saturating_sub(GRACE_MS);
        self.roll(until - until % WIDTHS[0], now_ms).await.map_err(failed("can't roll up history"))?;
        // Backwards too: a clock that was ahead once shall not stop it for years.
        if now_ms.abs_diff(self.marks().forgot) >= FORGET_MS && self.believes(now_ms) {
            self.forget_old(now_ms, retention).await.map_err(failed("can't forget old history"))?;
        }
        Ok(())
    }

    /// Whether the clock can be right. One that leapt by a week since the last time, because the hub was off or somebody
    /// set it wrong, has to say so for an hour before anything is deleted for it.
    fn believes(&self, now_ms: u64) -> bool {
        let marks = self.marks();
        let near = |then: u64| now_ms.abs_diff(then) < LEAP_MS;
        if marks.forgot == 0 || near(marks.forgot) {
            return true;
        }
        if marks.leapt == 0 || !near(marks.leapt) || now_ms < marks.leapt {
            self.set_marks(|m| m.leapt = now_ms);
            return false;
        }
        now_ms - marks.leapt >= FORGET_MS
    }

    /// Rolls up what is complete before a time, which is a whole minute.
    async fn roll(&self, until: u64, now_ms: u64) -> Result<(), sqlx::Error> {
        let rolled = self.marks().rolled;
        if until < rolled {
            // The clock was ahead. What was rolled up stays until its time comes again.
            return self.mark(&[("rolled", until)], |m| (m.rolled, m.rolling) = (until, 0)).await;
        }
        // From here on, what comes before `until` is late.
        self.set_marks(|m| m.rolling = until);
        for (l, width) in WIDTHS.into_iter().enumerate() {
            let (from, to) = (rolled - rolled % width, until - until % width);
            if from < to
                && let Err(error) = self.roll_active(l, from, to, now_ms).await
            {
                self.ids.lock().await.active.lost(l);
                return Err(error);
            }
        }
        self.mark(&[("rolled", until)], |m| m.rolled = until).await?;
        self.roll_late(until).await
    }

    /// Rolls up one width of all series that got changes.
    async fn roll_active(&self, l: usize, from: u64, to: u64, now_ms: u64) -> Result<(), sqlx::Error> {
        let active = self.ids.lock().await.active.take(l, from, to, now_ms);
        let series = match active {
            Some(series) => series,
            None => self.all_series().await?,
        };
        for some in series.chunks(AT_ONCE) {
            let _one_writes = self.ids.lock().await;
            let mut transaction = self.database.begin().await?;
            let mut rows = Vec::new();
            for series in some {
                let buckets = buckets(&mut *transaction, *series, l, from, to).await?;
                rows.extend(buckets.into_iter().map(|b| (l, *series, b)));
            }
            transaction.write(&ROLLUP_TABLE, values::rollups(&rows)).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    async fn all_series(&self) -> Result<Vec<i64>, sqlx::Error> {
        Ok(self.database.rows("SELECT id FROM series", &[]).await?.iter().map(|row| row[0].int()).collect())
    }

    /// Rolls up anew what got late changes, all widths of a series in one transaction.
    async fn roll_late(&self, until: u64) -> Result<(), sqlx::Error> {
        let late = self.database.rows("SELECT series FROM late", &[]).await?;
        let late: HashSet<i64> = late.iter().map(|row| row[0].int()).collect();
        for series in late {
            let _one_writes = self.ids.lock().await;
            let floors = self.marks().floors;
            let mut transaction = self.database.begin().await?;
            let gone =
                transaction.rows("DELETE FROM late WHERE series = $1 RETURNING at", &[series.into()]).await?;
            // What is older than the changes that are kept can't be made anew. Floors are whole days.
            let from = gone.first().map_or(until, |row| row[0].ms()).max(floors[0]);
            for (l, width) in WIDTHS.into_iter().enumerate() {
                let (from, to) = (from - from % width, until - until % width);
                if from < to {
                    let buckets = buckets(&mut *transaction, series, l, from, to).await?;
                    let rows: Vec<_> = buckets.into_iter().map(|b| (l, series, b)).collect();
                    transaction.write(&ROLLUP_TABLE, values::rollups(&rows)).await?;
                }
            }
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Forgets what is older than is kept, but never what is not rolled up yet.
    async fn forget_old(&self, now_ms: u64, retention: &Retention) -> Result<(), sqlx::Error> {
        let marks = self.marks();
        let floor = |kept, old: u64| {
            let floor = Retention::start(kept, now_ms).unwrap_or(0).min(marks.rolled);
            let floor = floor - floor % DAY_MS;
            // One of the future is of a clock that was ahead.
            if old > now_ms { floor } else { floor.max(old) }
        };
        let mut floors = [
            floor(retention.raw, marks.floors[0]),
            floor(retention.minutes, marks.floors[1]),
            floor(retention.quarters, marks.floors[2]),
        ];
        // What is coarser reaches back at least as far as what is finer.
        floors[1] = floors[1].min(floors[0]);
        floors[2] = floors[2].min(floors[1]);
        let names = [("floor_raw", floors[0]), ("floor_0", floors[1]), ("floor_1", floors[2])];
        // Told first: nobody shall look for what is being deleted.
        self.mark(&names, |m| m.floors = floors).await?;
        if floors != marks.floors {
            for some in self.all_series().await?.chunks(AT_ONCE) {
                let _one_writes = self.ids.lock().await;
                let mut transaction = self.database.begin().await?;
                for series in some {
                    let sql = "DELETE FROM points WHERE series = $1 AND at < $2";
                    transaction.rows(sql, &[(*series).into(), floors[0].into()]).await?;
                    for l in 0..2 {
                        let sql = "DELETE FROM rollups WHERE level = $1 AND series = $2 AND at < $3";
                        let args = [level(l).into(), (*series).into(), floors[l + 1].into()];
                        transaction.rows(sql, &args).await?;
                    }
                }
                transaction.commit().await?;
            }
        }
        self.thin_energy(floors[0], &marks).await?;
        if let Some(before) = Retention::start(retention.events, now_ms) {
            self.run("DELETE FROM events WHERE at < $1", &[before.into()]).await?;
        }
        self.mark(&[("forgot", now_ms)], |m| (m.forgot, m.leapt) = (now_ms, 0)).await
    }

    /// Keeps one total for each quarter of an hour, the last one, which bars of hours, days and months need: every zone
    /// in use is a whole number of quarters away from UTC. A total at the bound itself belongs to the quarter that
    /// begins there.
    async fn thin_energy(&self, until: u64, marks: &Marks) -> Result<(), sqlx::Error> {
        if until <= marks.thinned {
            return Ok(());
        }
        let devices = self.database.rows("SELECT id FROM devices", &[]).await?;
        for device in devices {
            let sql = "DELETE FROM energy WHERE device = $1 AND at >= $2 AND at < $3 AND EXISTS (SELECT 1 FROM energy e \
                       WHERE e.device = energy.device AND e.at > energy.at \
                       AND e.at < (energy.at / 900000 + 1) * 900000)";
            self.run(sql, &[device[0].clone(), marks.thinned.into(), until.into()]).await?;
        }
        self.mark(&[("thinned", until)], |m| m.thinned = until).await
    }

    async fn run(&self, sql: &'static str, args: &[super::Cell]) -> Result<(), sqlx::Error> {
        let _one_writes = self.ids.lock().await;
        let mut transaction = self.database.begin().await?;
        transaction.rows(sql, args).await?;
        transaction.commit().await
    }

    /// Writes marks down, and sets them once they are.
    async fn mark(
        &self,
        marks: &[(&'static str, u64)],
        change: impl FnOnce(&mut Marks),
    ) -> Result<(), sqlx::Error> {
        let _one_writes = self.ids.lock().await;
        let mut transaction = self.database.begin().await?;
        for (name, value) in marks {
            transaction.rows(SET_META, &[(*name).into(), (*value).into()]).await?;
        }
        transaction.commit().await?;
        self.set_marks(change);
        Ok(())
    }
}

/// Roll-ups of one width of a series, from whole width to whole width: made of changes, or of the next finer ones.
async fn buckets(
    transaction: &mut dyn Transaction,
    series: i64,
    l: usize,
    from: u64,
    to: u64,
) -> Result<Vec<Bucket>, sqlx::Error> {
    let mut fold = Fold::new(WIDTHS[l], None);
    let (mut at, mut begun) = (from, false);
    loop {
        let args = match l.checked_sub(1) {
            None => vec![series.into(), at.into(), to.into(), PORTION.into()],
            Some(finer) => vec![level(finer).into(), series.into(), at.into(), to.into(), PORTION.into()],
        };
        let rows = transaction.rows(if l == 0 { CHANGES } else { ROLLUPS }, &args).await?;
        let count = rows.len();
        if count > 0 && !begun {
            begun = true;
            fold = Fold::new(WIDTHS[l], before(transaction, series, l, from).await?);
        }
        for row in rows {
            if let Some(finer) = l.checked_sub(1) {
                let bucket = values::bucket(&row);
                at = bucket.at_ms + WIDTHS[finer];
                fold.bucket(&bucket, WIDTHS[finer]);
            } else if let Some((at_ms, value)) = change(row) {
                at = at_ms + 1;
                if let Some(value) = number(&value) {
                    fold.value(at_ms, value);
                }
            }
        }
        if i64::try_from(count).is_ok_and(|count| count < PORTION) {
            return Ok(fold.finish(to));
        }
    }
}

/// The number that a point was before a time.
async fn before(
    transaction: &mut dyn Transaction,
    series: i64,
    l: usize,
    at: u64,
) -> Result<Option<f64>, sqlx::Error> {
    let row = transaction.rows(CHANGE_BEFORE, &[series.into(), at.into()]).await?.pop();
    if row.is_some() {
        return Ok(number_before(row));
    }
    // Changes of then are forgotten: the roll-up before knows.
    for (l, width) in WIDTHS.iter().enumerate().skip(l.saturating_sub(1)) {
        let Some(begins) = at.checked_sub(*width) else { break };
        let args = [level(l).into(), series.into(), begins.into()];
        if let Some(row) = transaction.rows(ROLLUP_BEFORE, &args).await?.first() {
            return Ok(Some(row[0].real()));
        }
    }
    Ok(None)
}
