//! Renaming and forgetting a device.

use landfall_proto::id::DeviceId;

use super::super::StoreError;
use super::Open;
use super::database::{Cell, Transaction, failed};

async fn id_of(transaction: &mut dyn Transaction, device: &DeviceId) -> Result<Option<i64>, sqlx::Error> {
    let rows = transaction.rows("SELECT id FROM devices WHERE name = $1", &[device.as_str().into()]).await?;
    Ok(rows.first().map(|row| row[0].int()))
}

async fn run_all(
    transaction: &mut dyn Transaction,
    statements: &[&'static str],
    args: &[Cell],
) -> Result<(), sqlx::Error> {
    for sql in statements {
        transaction.rows(sql, args).await?;
    }
    Ok(())
}

/// Moves a series ($1) into another one ($2) that is there already. Where both have a row, the one that is there counts.
const MERGE_SERIES: &[&str] = &[
    "INSERT INTO points (series, at, kind, num, txt) SELECT $2, at, kind, num, txt FROM points WHERE series = $1 \
     ON CONFLICT DO NOTHING",
    "INSERT INTO late (series, at) SELECT $2, MIN(at) FROM points WHERE series = $1 HAVING MIN(at) IS NOT NULL \
     ON CONFLICT (series) DO UPDATE SET at = excluded.at WHERE excluded.at < late.at",
    "INSERT INTO rollups (level, series, at, min, mean, max, last, count, known) \
     SELECT level, $2, at, min, mean, max, last, count, known FROM rollups WHERE series = $1 ON CONFLICT DO NOTHING",
];

const FORGET_SERIES: &[&str] = &[
    "DELETE FROM points WHERE series = $1",
    "DELETE FROM rollups WHERE level = 0 AND series = $1",
    "DELETE FROM rollups WHERE level = 1 AND series = $1",
    "DELETE FROM rollups WHERE level = 2 AND series = $1",
    "DELETE FROM rollups WHERE level = 3 AND series = $1",
    "DELETE FROM late WHERE series = $1",
    "DELETE FROM series WHERE id = $1",
];

/// The same of a device ($1) and another ($2).
const MERGE_DEVICE: &[&str] = &[
    "INSERT INTO energy (device, at, total) SELECT $2, at, total FROM energy WHERE device = $1 ON CONFLICT DO NOTHING",
    "INSERT INTO saved (device, txt) SELECT $2, txt FROM saved WHERE device = $1 ON CONFLICT DO NOTHING",
    "UPDATE events SET device = $2 WHERE device = $1",
];

const FORGET_DEVICE: &[&str] = &[
    "DELETE FROM energy WHERE device = $1",
    "DELETE FROM events WHERE device = $1",
    "DELETE FROM saved WHERE device = $1",
    "DELETE FROM devices WHERE id = $1",
];

impl Open {
    pub(super) async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError> {
        if from == to {
            return Ok(());
        }
        let mut ids = self.ids.lock().await;
        let renamed = self.write_rename(from, to).await;
        ids.forget();
        renamed.map_err(failed(format!("can't move the history of {from} to {to}")))
    }

    async fn write_rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let writing = &mut *transaction;
        let Some(old) = id_of(writing, from).await? else { return Ok(()) };
        match id_of(writing, to).await? {
            None => {
                let sql = "UPDATE devices SET name = $1 WHERE id = $2";
                writing.rows(sql, &[to.as_str().into(), old.into()]).await?;
            }
            Some(new) => {
                for row in writing.rows("SELECT id, dp FROM series WHERE device = $1", &[old.into()]).await? {
                    let (series, dp) = (row[0].clone(), row[1].clone());
                    let sql = "SELECT id FROM series WHERE device = $1 AND dp = $2";
                    match writing.rows(sql, &[new.into(), dp]).await?.pop() {
                        None => {
                            let sql = "UPDATE series SET device = $1 WHERE id = $2";
                            writing.rows(sql, &[new.into(), series]).await?;
                        }
                        Some(mut there) => {
                            let args = [series.clone(), there.swap_remove(0)];
                            run_all(writing, MERGE_SERIES, &args).await?;
                            run_all(writing, FORGET_SERIES, &[series]).await?;
                        }
                    }
                }
                run_all(writing, MERGE_DEVICE, &[old.into(), new.into()]).await?;
                run_all(writing, FORGET_DEVICE, &[old.into()]).await?;
            }
        }
        transaction.commit().await
    }

    pub(super) async fn forget(&self, device: &DeviceId) -> Result<(), StoreError> {
        let mut ids = self.ids.lock().await;
        let forgotten = self.write_forget(device).await;
        ids.forget();
        forgotten.map_err(failed(format!("can't forget the history of {device}")))
    }

    async fn write_forget(&self, device: &DeviceId) -> Result<(), sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let writing = &mut *transaction;
        let Some(id) = id_of(writing, device).await? else { return Ok(()) };
        for row in writing.rows("SELECT id FROM series WHERE device = $1", &[id.into()]).await? {
            run_all(writing, FORGET_SERIES, &row).await?;
        }
        run_all(writing, FORGET_DEVICE, &[id.into()]).await?;
        transaction.commit().await
    }
}
