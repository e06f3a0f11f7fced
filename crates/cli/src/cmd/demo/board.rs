//! What the demo knows of its home: a row a device.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use landfall_book::Book;
use landfall_link::{Device, DeviceNews, Link, News, State};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::lan::session::Origin;

use super::summary;
use crate::failure::Failure;
use crate::render::change::{Change, Memory};
use crate::render::{Style, Table, clean, device, points};
use crate::subject::{self, Subject};

/// How often metering plugs are told to measure.
const REFRESH: Duration = Duration::from_secs(2);

/// A device of the demo.
#[derive(Debug)]
pub(crate) struct Row {
    /// The device.
    pub(crate) subject: Subject,
    /// The connection that reaches it; `None` for what sleeps.
    pub(crate) handle: Option<Device>,
    memory: Memory,
    changed: Option<Instant>,
    /// What its gateway says, for a sub-device.
    reachable: Option<bool>,
    is_gateway: bool,
}

/// All devices, in the order of the book.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) rows: Vec<Row>,
    index: HashMap<(DeviceId, Option<Cid>), usize>,
}

impl Board {
    /// A handle for each device that listens; they start connecting at once.
    pub(crate) fn open(book: &Book, link: &Link) -> Result<Self, Failure> {
        let mut board = Self { rows: Vec::new(), index: HashMap::new() };
        let mut handles: HashMap<DeviceId, Device> = HashMap::new();
        for d in book.devices() {
            let subject = Subject::of(book, d)?;
            let handle = match handles.get(subject.line_id()) {
                Some(handle) => Some(handle.clone()),
                None if subject.line.sleeper => None,
                None => {
                    let mut config = subject.config()?;
                    config.schema = std::sync::Arc::new(subject.line.schema());
                    config.refresh = subject::metering(&config.schema, REFRESH);
                    let handle = link.device(config);
                    handles.insert(subject.line_id().clone(), handle.clone());
                    Some(handle)
                }
            };
            board.index.insert((subject.line_id().clone(), subject.cid()), board.rows.len());
            board.rows.push(Row {
                is_gateway: book.children(&d.id).next().is_some(),
                subject,
                handle,
                memory: Memory::default(),
                changed: None,
                reachable: None,
            });
        }
        Ok(board)
    }

    /// Takes a piece of news; returns what changed, and of which row.
    pub(crate) fn hear(&mut self, item: &DeviceNews) -> (Vec<Change>, Option<usize>) {
        match &item.news {
            News::State(State::Ready) => self.ask_children(&item.id),
            News::Report { report, origin } => {
                let key = ((*item.id).clone(), report.cid.clone());
                let Some(at) = self.index.get(&key).copied() else { return (Vec::new(), None) };
                let row = &mut self.rows[at];
                let first = row.memory.values().is_none();
                let repeats = *origin == Origin::Pushed && !report.unchanged;
                let changes = row.memory.take(row.subject.refined(report.dps.clone()), repeats);
                if first || !changes.is_empty() {
                    row.changed = Some(Instant::now());
                }
                return (changes, Some(at));
            }
            News::Subdevices(states) => {
                for (cids, reachable) in [(&states.online, true), (&states.offline, false)] {
                    for cid in cids {
                        let key = ((*item.id).clone(), Some(cid.clone()));
                        if let Some(at) = self.index.get(&key) {
                            self.rows[*at].reachable = Some(reachable);
                        }
                    }
                }
            }
            News::State(_) | News::Version(_) | News::Unasked { .. } => {}
        }
        (Vec::new(), None)
    }

    /// News were missed: everything is taken from the last reports.
    pub(crate) fn catch_up(&mut self) {
        for row in &mut self.rows {
            let Some(handle) = &row.handle else { continue };
            let dps = row.subject.refined(handle.points(row.subject.cid().as_ref()));
            if !dps.is_empty() && !row.memory.take(dps, false).is_empty() {
                row.changed = Some(Instant::now());
            }
        }
    }

    /// The driver queries a device when it connects; what is behind a gateway is asked here. Answers come as news.
    fn ask_children(&self, gateway: &DeviceId) {
        let mut cids = Vec::new();
        let mut handle = None;
        for row in self.rows.iter().filter(|r| r.subject.line_id() == gateway) {
            cids.extend(row.subject.cid());
            handle.clone_from(&row.handle);
        }
        let Some(handle) = handle.filter(|_| !cids.is_empty()) else { return };
        tokio::spawn(async move {
            if let Err(e) = handle.subdevices().await {
                tracing::debug!("{}: {e}", handle.id());
            }
            for cid in cids {
                if let Err(e) = handle.query(Some(cid.clone())).await {
                    tracing::debug!("{cid}: {e}");
                }
            }
        });
    }

    /// The names of those that have not reported, though they could.
    pub(crate) fn silent(&self) -> Vec<String> {
        self.rows.iter().filter(|r| !r.has_reported()).map(|r| r.subject.name()).collect()
    }

    /// The table: a line a device.
    pub(crate) fn table(&self) -> Table {
        // Colours are put on by the screen.
        let plain = Style { colour: false };
        let mut table = Table::new(plain, &["NAME", "KIND", "VERSION", "STATE", "POWER", "LAST CHANGE"]);
        for row in &self.rows {
            let kind = device::kind(&row.subject.device);
            let version = row.subject.device.version.or(row.subject.line.version);
            table.row([
                row.subject.device.name.as_str(),
                &kind,
                version.map_or("", |v| v.as_str()),
                &row.state(),
                &row.power(),
                &row.changed.map(|at| ago(at.elapsed())).unwrap_or_default(),
            ]);
        }
        table
    }

    /// All the power together, in words.
    pub(crate) fn total(&self) -> String {
        let sum: i64 = self
            .rows
            .iter()
            .filter_map(|r| summary::deciwatts(&r.subject.schema, r.memory.values()?))
            .fold(0, i64::saturating_add);
        format!("{} W", points::scaled(sum, 1))
    }

    /// How many are connected (or reached through a gateway), of how many that could be.
    pub(crate) fn connected(&self) -> (usize, usize) {
        let could = self.rows.iter().filter(|r| r.handle.is_some());
        let are = could.clone().filter(|r| r.is_connected() && r.reachable != Some(false)).count();
        (are, could.count())
    }
}

impl Row {
    /// The values it reported; `None` until it did.
    pub(crate) fn values(&self) -> Option<&landfall_proto::dp::Dps> {
        self.memory.values()
    }

    fn is_connected(&self) -> bool {
        self.handle.as_ref().is_some_and(|h| h.state() == State::Ready)
    }

    fn has_reported(&self) -> bool {
        self.handle.is_none()
            || self.memory.values().is_some_and(|v| !v.is_empty())
            || (self.is_connected() && (self.is_gateway || self.reachable == Some(false)))
    }

    fn state(&self) -> String {
        let Some(handle) = &self.handle else { return "asleep".to_owned() };
        match handle.state() {
            State::Ready => {}
            State::Waiting { failure, .. } => return format!("lost: {}", clean(&failure.to_string())),
            State::Stopped { failure, .. } => return format!("stopped: {}", clean(&failure.to_string())),
            _ => return "connecting".to_owned(),
        }
        if self.reachable == Some(false) {
            return "not reachable by its gateway".to_owned();
        }
        match self.memory.values() {
            Some(values) if !values.is_empty() => summary::state(&self.subject.schema, values),
            _ if self.is_gateway => "connected".to_owned(),
            _ => "connected, nothing reported yet".to_owned(),
        }
    }

    fn power(&self) -> String {
        let Some(values) = self.memory.values().filter(|_| self.is_connected()) else {
            return String::new();
        };
        summary::power(&self.subject.schema, values).unwrap_or_default()
    }
}

/// How long ago, in words.
fn ago(since: Duration) -> String {
    match since.as_secs() {
        0..=1 => "just now".to_owned(),
        s @ 2..=99 => format!("{s} s ago"),
        s @ 100..=5999 => format!("{} min ago", s / 60),
        s => format!("{} h ago", s / 3600),
    }
}
