//! Values of points as columns, and back.

use landfall_proto::dp::DpValue;

use super::super::fold::Bucket;
use super::database::{Cell, Column};

/// Text as both databases hold it: PostgreSQL knows no NUL.
pub(super) fn text(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// kind, num, txt of a value. The kinds are named in the migrations.
pub(super) fn columns(value: &DpValue) -> (i64, Option<i64>, Option<String>) {
    match value {
        DpValue::Bool(on) => (0, Some(i64::from(*on)), None),
        DpValue::Value(n) => (1, Some(*n), None),
        DpValue::Bitmap(bits) => (2, Some(i64::from(*bits)), None),
        DpValue::Enum(t) => (3, None, Some(text(t))),
        DpValue::String(t) => (4, None, Some(text(t))),
        // Its text is base64.
        DpValue::Raw(_) => (5, None, Some(value.to_string())),
        DpValue::Json(t) => (6, None, Some(text(t))),
    }
}

/// Whether a row of kind, num, txt is what is written for this value.
pub(super) fn is_stored_as(of: &DpValue, row: Vec<Cell>) -> bool {
    let (kind, num, txt) = columns(of);
    let cell = |n: Option<i64>| n.map_or(Cell::Null, Cell::Int);
    row == [Cell::Int(kind), cell(num), txt.map_or(Cell::Null, Cell::Text)]
}

/// The value of kind, num, txt; `None` when it is none of ours.
pub(super) fn value(kind: &Cell, num: &Cell, txt: Cell) -> Option<DpValue> {
    Some(match kind.int() {
        0 => DpValue::Bool(num.int() != 0),
        1 => DpValue::Value(num.int()),
        2 => DpValue::Bitmap(u32::try_from(num.int()).ok()?),
        3 => DpValue::Enum(txt.into_text().into()),
        4 => DpValue::String(txt.into_text().into()),
        5 => DpValue::Raw(base64_simd::STANDARD.decode_to_vec(txt.into_text()).ok()?.into()),
        6 => DpValue::Json(txt.into_text().into()),
        _ => return None,
    })
}

/// A row of at, min, mean, max, last, count, known.
pub(super) fn bucket(row: &[Cell]) -> Bucket {
    Bucket {
        at_ms: row[0].ms(),
        min: row[1].real(),
        mean: row[2].real(),
        max: row[3].real(),
        last: row[4].real(),
        count: row[5].ms(),
        known_ms: row[6].ms(),
    }
}

/// Columns of roll-ups: level and series beside each bucket.
pub(super) fn rollups(rows: &[(usize, i64, Bucket)]) -> Vec<Column> {
    let reals = |of: fn(&Bucket) -> f64| Column::Reals(rows.iter().map(|(_, _, b)| of(b)).collect());
    let ints = |of: fn(&Bucket) -> u64| {
        Column::Ints(rows.iter().map(|(_, _, b)| super::database::signed(of(b))).collect())
    };
    vec![
        Column::Ints(rows.iter().map(|(level, _, _)| super::level(*level)).collect()),
        Column::Ints(rows.iter().map(|(_, series, _)| *series).collect()),
        ints(|b| b.at_ms),
        reals(|b| b.min),
        reals(|b| b.mean),
        reals(|b| b.max),
        reals(|b| b.last),
        ints(|b| b.count),
        ints(|b| b.known_ms),
    ]
}
