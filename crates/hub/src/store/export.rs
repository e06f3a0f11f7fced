//! History as CSV or JSON lines, streamed: memory is bounded however much there is.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use landfall_proto::dp::DpId;
use landfall_proto::id::DeviceId;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{HistoryQuery, Sample, Span, Store, StoreError};
use crate::model::{MilliWattHours, Seq};

/// Samples of one point read at a time.
const PORTION: usize = 2_000;

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180 with a head.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// What is exported. Times are written as RFC 3339 in UTC.
#[derive(Clone, Debug)]
pub enum Export {
    /// Values as the devices reported them, unscaled, device by device and point by point, oldest first. With a step, or
    /// where only roll-ups are left: `min`, `mean`, `max`, `last`, `count` of each step that had changes.
    Points {
        /// The devices.
        devices: Vec<DeviceId>,
        /// The points; all when empty.
        dps: Vec<DpId>,
        /// From, milliseconds since 1970, inclusive.
        from_ms: u64,
        /// To, exclusive.
        to_ms: u64,
        /// Width of steps; `None`: every change.
        step_ms: Option<u64>,
    },
    /// kWh by hours, days or months of a time zone.
    Energy {
        /// The devices.
        devices: Vec<DeviceId>,
        /// From, milliseconds since 1970.
        from_ms: u64,
        /// To.
        to_ms: u64,
        /// Width.
        span: Span,
        /// Time zone.
        zone: TimeZone,
    },
    /// What happened, newest first.
    Events {
        /// Of this device alone.
        device: Option<DeviceId>,
        /// From, milliseconds since 1970, inclusive.
        from_ms: u64,
        /// To, exclusive.
        to_ms: u64,
    },
}

/// Why an export ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// History can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It can't be written.
    #[error("can't write the export")]
    Write(#[from] io::Error),
}

/// A line of points. A field is empty or missing where it does not apply.
#[derive(Serialize)]
struct Point<'a> {
    device: &'a str,
    dp: u16,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a landfall_proto::dp::DpValue>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
}

#[derive(Serialize)]
struct Step {
    min: f64,
    mean: f64,
    max: f64,
    last: f64,
    count: u64,
}

#[derive(Serialize)]
struct Bar<'a> {
    device: &'a str,
    from: String,
    to: String,
    kwh: String,
}

#[derive(Serialize)]
struct Event<'a> {
    seq: u64,
    at: String,
    device: Option<&'a str>,
    code: &'a str,
    text: &'a str,
}

/// Writes an export; how many rows.
///
/// # Errors
/// Reading or writing fails. What was written until then stays.
pub async fn export<W: AsyncWrite + Unpin + Send>(
    store: &dyn Store,
    what: &Export,
    format: Format,
    out: &mut W,
) -> Result<u64, ExportError> {
    let mut lines = Lines { format, out, text: Vec::new(), rows: 0 };
    match what {
        Export::Points { devices, dps, from_ms, to_ms, step_ms } => {
            lines.head(&["device", "dp", "at", "value", "min", "mean", "max", "last", "count"])?;
            for device in devices {
                let query = HistoryQuery {
                    device: device.clone(),
                    dps: dps.clone(),
                    from_ms: *from_ms,
                    to_ms: *to_ms,
                    step_ms: *step_ms,
                    limit: PORTION,
                };
                points(store, query, &mut lines).await?;
            }
        }
        Export::Energy { devices, from_ms, to_ms, span, zone } => {
            lines.head(&["device", "from", "to", "kwh"])?;
            for device in devices {
                for bar in store.energy(device, *from_ms, *to_ms, *span, zone).await? {
                    let row = Bar {
                        device: device.as_str(),
                        from: time(bar.from_ms),
                        to: time(bar.to_ms),
                        kwh: kwh(bar.used),
                    };
                    lines.row(&row, || {
                        vec![row.device.to_owned(), row.from.clone(), row.to.clone(), row.kwh.clone()]
                    })?;
                }
                lines.send().await?;
            }
        }
        Export::Events { device, from_ms, to_ms } => {
            lines.head(&["seq", "at", "device", "code", "text"])?;
            events(store, device.as_ref(), *from_ms..*to_ms, &mut lines).await?;
        }
    }
    lines.send().await?;
    lines.out.flush().await?;
    Ok(lines.rows)
}

async fn points<W: AsyncWrite + Unpin + Send>(
    store: &dyn Store,
    query: HistoryQuery,
    lines: &mut Lines<'_, W>,
) -> Result<(), ExportError> {
    // The first portion of each point, then each one to its end.
    for mut series in store.history(&query).await? {
        loop {
            for sample in &series.samples {
                lines.sample(query.device.as_str(), series.dp, sample)?;
            }
            lines.send().await?;
            let next = match series.samples.last() {
                Some(Sample::Value { at_ms, .. }) => at_ms + 1,
                Some(Sample::Step { at_ms, .. }) => at_ms + series.step_ms.unwrap_or(1),
                None => break,
            };
            if !series.cut {
                break;
            }
            // Not beyond its own: the step that was used may be wider than asked.
            let step_ms = query.step_ms.and(series.step_ms);
            let rest = HistoryQuery { dps: vec![series.dp], from_ms: next, step_ms, ..query.clone() };
            match store.history(&rest).await?.pop() {
                Some(more) => series = more,
                None => break,
            }
        }
    }
    Ok(())
}

async fn events<W: AsyncWrite + Unpin + Send>(
    store: &dyn Store,
    device: Option<&DeviceId>,
    times: std::ops::Range<u64>,
    lines: &mut Lines<'_, W>,
) -> Result<(), ExportError> {
    let mut before: Option<Seq> = None;
    loop {
        let portion = store.events(device, before, PORTION).await?;
        for event in portion.iter().filter(|e| times.contains(&e.at_ms)) {
            let row = Event {
                seq: event.seq.0,
                at: time(event.at_ms),
                device: event.device.as_ref().map(|d| d.as_str()),
                code: &event.code,
                text: &event.text,
            };
            let device = || row.device.unwrap_or_default().to_owned();
            let cells = || {
                vec![row.seq.to_string(), row.at.clone(), device(), row.code.to_owned(), row.text.to_owned()]
            };
            lines.row(&row, cells)?;
        }
        lines.send().await?;
        match portion.last() {
            Some(last) if portion.len() == PORTION => before = Some(last.seq),
            _ => return Ok(()),
        }
    }
}

/// Lines on their way out.
struct Lines<'a, W> {
    format: Format,
    out: &'a mut W,
    text: Vec<u8>,
    rows: u64,
}

impl<W: AsyncWrite + Unpin + Send> Lines<'_, W> {
    fn head(&mut self, columns: &[&str]) -> io::Result<()> {
        if self.format == Format::Csv {
            self.csv(columns)?;
        }
        Ok(())
    }

    fn csv<T: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(&mut self.text);
        writer.write_record(cells).map_err(io::Error::other)?;
        writer.flush()
    }

    fn row(&mut self, row: &impl Serialize, cells: impl FnOnce() -> Vec<String>) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Csv => self.csv(cells()),
            Format::JsonLines => {
                serde_json::to_writer(&mut self.text, row)?;
                self.text.push(b'\n');
                Ok(())
            }
        }
    }

    fn sample(&mut self, device: &str, dp: DpId, sample: &Sample) -> io::Result<()> {
        let (at_ms, value, step) = match sample {
            Sample::Value { at_ms, value } => (*at_ms, Some(value), None),
            Sample::Step { at_ms, min, mean, max, last, count } => {
                let step = Step { min: *min, mean: *mean, max: *max, last: *last, count: *count };
                (*at_ms, None, Some(step))
            }
        };
        let row = Point { device, dp: dp.0, at: time(at_ms), value, step };
        self.row(&row, || {
            let mut cells = vec![device.to_owned(), dp.to_string(), row.at.clone()];
            cells.push(value.map(ToString::to_string).unwrap_or_default());
            match &row.step {
                None => cells.extend(std::iter::repeat_n(String::new(), 5)),
                Some(s) => {
                    cells.extend([s.min, s.mean, s.max, s.last].map(|n| n.to_string()));
                    cells.push(s.count.to_string());
                }
            }
            cells
        })
    }

    async fn send(&mut self) -> io::Result<()> {
        self.out.write_all(&self.text).await?;
        self.text.clear();
        Ok(())
    }
}

/// RFC 3339 with milliseconds.
fn time(ms: u64) -> String {
    let at = Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    format!("{at:.3}")
}

/// Exact: six places are thousandths of a watt hour.
fn kwh(energy: MilliWattHours) -> String {
    format!("{}.{:06}", energy.0 / 1_000_000, energy.0 % 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use landfall_proto::dp::DpValue;

    use super::super::{Batch, EnergyRow, EventRow, Memory, PointRow};
    use super::*;

    const T: u64 = 1_800_000_000_000;

    fn id() -> Arc<DeviceId> {
        Arc::new(DeviceId::new("bf01").unwrap())
    }

    async fn filled() -> Memory {
        let store = Memory::new();
        let point = |dp, n, value| PointRow { device: id(), dp: DpId(dp), at_ms: T + n, value };
        let event = |n| EventRow {
            seq: Seq(n),
            at_ms: T + n,
            device: (n % 2 == 0).then(id),
            code: "test".to_owned(),
            text: "said \"no\",\nthen yes".to_owned(),
        };
        let mut points: Vec<_> =
            (0..5_000).map(|n| point(19, n, DpValue::Value(i64::try_from(n).unwrap()))).collect();
        points.push(point(21, 0, DpValue::Enum("a,\"b\"".into())));
        points.push(point(22, 0, DpValue::Bool(true)));
        let batch = Batch {
            points,
            energy: vec![EnergyRow { device: id(), at_ms: T + 1, total: MilliWattHours(1_234_567) }],
            events: (1..=2_500).map(event).collect(),
            ..Batch::default()
        };
        store.append(&batch).await.unwrap();
        store
    }

    async fn text(what: Export, format: Format) -> (u64, String) {
        let mut out = Vec::new();
        let rows = export(&filled().await, &what, format, &mut out).await.unwrap();
        (rows, String::from_utf8(out).unwrap())
    }

    fn points(dps: &[u16], step_ms: Option<u64>) -> Export {
        let dps = dps.iter().map(|n| DpId(*n)).collect();
        Export::Points { devices: vec![(*id()).clone()], dps, from_ms: 0, to_ms: T * 2, step_ms }
    }

    #[tokio::test]
    async fn every_row_once_in_any_number_of_portions() {
        let (rows, csv) = text(points(&[], None), Format::Csv).await;
        assert_eq!(rows, 5_002);
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 5_002);
        let expected = (0..5_000).map(|n: i64| n.to_string());
        assert!(records.iter().take(5_000).map(|r| r[3].to_owned()).eq(expected));
        assert_eq!(
            &records[4_999],
            &["bf01", "19", "2027-01-15T08:00:04.999Z", "4999", "", "", "", "", ""][..]
        );
        assert_eq!(&records[5_000][3], "a,\"b\"");
        let (rows, lines) = text(points(&[], None), Format::JsonLines).await;
        assert_eq!((rows, lines.lines().count()), (5_002, 5_002));
        assert_eq!(
            lines.lines().next_back().unwrap(),
            r#"{"device":"bf01","dp":22,"at":"2027-01-15T08:00:00.000Z","value":true}"#
        );
    }

    #[tokio::test]
    async fn steps_go_through_portions_as_well() {
        let (rows, lines) = text(points(&[19], Some(2)), Format::JsonLines).await;
        assert_eq!(rows, 2_500);
        assert_eq!(
            lines.lines().next_back().unwrap(),
            r#"{"device":"bf01","dp":19,"at":"2027-01-15T08:00:04.998Z","min":4998.0,"mean":4998.5,"max":4999.0,"last":4999.0,"count":2}"#
        );
        let (_, csv) = text(points(&[19], Some(2)), Format::Csv).await;
        assert_eq!(csv.lines().nth(2).unwrap(), "bf01,19,2027-01-15T08:00:00.002Z,,2,2.5,3,3,2");
    }

    #[tokio::test]
    async fn energy_is_exact_and_events_are_whole() {
        let what = Export::Energy {
            devices: vec![(*id()).clone()],
            from_ms: T,
            to_ms: T + 1,
            span: Span::Month,
            zone: TimeZone::UTC,
        };
        let (_, csv) = text(what, Format::Csv).await;
        let bar = "bf01,2027-01-01T00:00:00.000Z,2027-02-01T00:00:00.000Z,1.234567";
        assert_eq!(csv, format!("device,from,to,kwh\n{bar}\n"));
        let events = |device| Export::Events { device, from_ms: T, to_ms: T + 2_500 };
        let (rows, csv) = text(events(None), Format::Csv).await;
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!((rows, records.len(), &records[0][0]), (2_499, 2_499, "2499"));
        assert_eq!((&records[0][2], &records[1][2], &records[1][4]), ("", "bf01", "said \"no\",\nthen yes"));
        assert_eq!(text(events(Some((*id()).clone())), Format::JsonLines).await.0, 1_249);
    }
}
