//! What every store does: one suite, run on memory, on SQLite, and on a PostgreSQL that the test starts.

mod cases;
mod postgres;
pub(crate) mod server;
mod sqlite;

use std::sync::Arc;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;

use super::{Batch, HistoryQuery, Memory, PointRow, Sample, Series, Store};
use crate::model::Seq;

/// A Friday at noon, UTC.
const T: u64 = 1_799_971_200_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 86_400_000;

fn id(name: &str) -> Arc<DeviceId> {
    Arc::new(DeviceId::new(name).unwrap())
}

fn row(device: &str, dp: u16, at_ms: u64, value: DpValue) -> PointRow {
    PointRow { device: id(device), dp: DpId(dp), at_ms, value }
}

fn points(rows: impl IntoIterator<Item = PointRow>) -> Batch {
    Batch { points: rows.into_iter().collect(), ..Batch::default() }
}

fn last(n: u64) -> Batch {
    Batch { last: Seq(n), ..Batch::default() }
}

fn all(device: &str) -> HistoryQuery {
    HistoryQuery {
        device: (*id(device)).clone(),
        dps: vec![],
        from_ms: 0,
        to_ms: T * 2,
        step_ms: None,
        limit: 1_000_000,
    }
}

fn values(series: &Series) -> Vec<(u64, DpValue)> {
    let of = |s: &Sample| match s {
        Sample::Value { at_ms, value } => (*at_ms, value.clone()),
        Sample::Step { .. } => panic!("{s:?}"),
    };
    series.samples.iter().map(of).collect()
}

/// Numbers that jump about, one each few seconds.
fn noise(device: &str, dp: u16, from: u64, count: u64) -> Vec<PointRow> {
    let mut at = from;
    let mut state = u64::from(dp) * 7_919 + 11;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count)
        .map(|_| {
            at += 1 + next() % 40_000;
            row(device, dp, at, DpValue::Value(i64::try_from(next() % 1_000).unwrap() - 500))
        })
        .collect()
}

/// The same series but for the rounding of means.
fn same(ours: &[Series], theirs: &[Series]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!((ours.dp, ours.step_ms, ours.cut), (theirs.dp, theirs.step_ms, theirs.cut));
        assert_eq!(ours.samples.len(), theirs.samples.len());
        for (a, b) in ours.samples.iter().zip(&theirs.samples) {
            match (a, b) {
                (
                    Sample::Step { at_ms, min, mean, max, last, count },
                    Sample::Step { at_ms: at, min: low, mean: middle, max: high, last: end, count: changes },
                ) => {
                    assert_eq!((at_ms, min, max, last, count), (at, low, high, end, changes), "mean {mean}");
                    assert!((mean - middle).abs() < 1e-6, "{a:?} {b:?}");
                }
                _ => assert_eq!(a, b),
            }
        }
    }
}

/// Gives the names of all cases to a macro: one by one, or at once.
macro_rules! suite {
    ($of:ident $($at_once:ident)*) => {
        suite!(@ [$of $($at_once)*]
            every_kind_of_value_comes_back_as_it_was,
            a_time_and_points_are_chosen_and_a_limit_is_told,
            steps_are_the_same_from_changes_and_from_roll_ups,
            a_single_change_is_rolled_up_once_its_time_is_complete,
            changes_that_come_late_are_rolled_up_as_well,
            text_has_no_steps,
            a_batch_that_comes_twice_counts_once,
            what_another_value_takes_the_place_of_is_counted,
            what_the_core_tells_in_a_millisecond_is_all_kept,
            bars_of_energy_follow_the_home_s_clock,
            what_happened_is_read_from_the_newest,
            what_the_core_saved_comes_back,
            a_device_that_got_another_id_keeps_its_history,
            a_forgotten_device_leaves_nothing,
            old_changes_go_and_hours_stay
        );
    };
    (@ [$of:ident] $($case:ident),+) => { $($of!($case);)+ };
    (@ [$of:ident at once] $($case:ident),+) => { $of!($($case),+); };
}
use suite;

macro_rules! on_memory {
    ($case:ident) => {
        #[tokio::test]
        async fn $case() {
            cases::$case(Arc::new(Memory::new())).await;
        }
    };
}
suite!(on_memory);
