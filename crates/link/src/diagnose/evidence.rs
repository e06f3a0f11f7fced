//! What is known about a device that does not work.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::lan::Version;

use super::Patient;
use crate::detect::{Asked, Seen, Step};
use crate::scan::{Finding, Note};

/// What listening brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listened {
    /// How long.
    pub time: Duration,
    /// The device's own datagrams, if any came.
    pub heard: Option<Finding>,
    /// How many other devices were heard. Above zero, silence means something.
    pub others: usize,
    /// What could not be listened on or asked, a line each. When there is any, silence means little.
    pub deaf: Vec<String>,
}

/// Everything the verdict rests on.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the book says.
    pub patient: Patient,
    /// What listening brought; `None`: nobody listened.
    pub listened: Option<Listened>,
    /// Where connections went: where it was heard, else the book's address.
    pub address: Option<SocketAddr>,
    /// Connections and their results, in order.
    pub steps: Vec<Step>,
}

impl Evidence {
    /// The device's own word.
    pub(super) fn heard(&self) -> Option<&Finding> {
        self.listened.as_ref()?.heard.as_ref()
    }

    /// The version it announced.
    pub(super) fn announced(&self) -> Option<Version> {
        self.heard()?.version
    }

    /// Not heard although listening worked.
    pub(super) fn silent_on_air(&self) -> bool {
        self.listened.as_ref().is_some_and(|l| l.heard.is_none() && l.deaf.is_empty())
    }

    /// It says that LAN clients are connected to it.
    pub(super) fn has_clients(&self) -> bool {
        self.heard().and_then(|f| f.clients).is_some_and(|n| n > 0)
    }

    /// It announces itself in pairing mode.
    pub(super) fn is_unpaired(&self) -> bool {
        self.heard().is_some_and(|f| f.notes.contains(&Note::NotPaired))
    }

    pub(super) fn seen(&self, asked: Asked) -> impl Iterator<Item = &Seen> {
        self.steps.iter().filter(move |s| s.asked == asked).map(|s| &s.seen)
    }

    pub(super) fn count(&self, asked: Asked) -> usize {
        self.seen(asked).count()
    }

    /// Sessions and what came of them.
    pub(super) fn sessions(&self) -> impl Iterator<Item = (Version, &Seen)> {
        self.steps.iter().filter_map(|s| match s.asked {
            Asked::Session(version) => Some((version, &s.seen)),
            _ => None,
        })
    }

    /// Whether a connection ever opened.
    pub(super) fn connected(&self) -> bool {
        self.steps.iter().any(|s| !matches!(s.seen, Seen::NoConnection(_)))
    }

    /// The evidence in words, a line each, in the order it was gathered.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let patient = &self.patient;
        if patient.key.is_none() {
            lines.push("the book has no local key for it".to_owned());
        }
        if patient.sleeps {
            lines.push("the book says that it sleeps (battery)".to_owned());
        }
        if let Some(listened) = &self.listened {
            match &listened.heard {
                Some(finding) => lines.extend(heard_lines(finding, patient)),
                None => lines.push(format!(
                    "not heard in {:.0} s of listening and asking; other devices heard: {}",
                    listened.time.as_secs_f64(),
                    listened.others
                )),
            }
            lines.extend(listened.deaf.iter().cloned());
        }
        match (self.address, patient.address) {
            (None, _) => lines.push("no address is known".to_owned()),
            (Some(used), Some(book)) if used != book => lines.push(format!("the book has it at {book}")),
            _ => {}
        }
        if let Some(address) = self.address {
            lines.extend(self.steps.iter().map(|step| format!("{address}: {step}")));
        }
        lines
    }
}

fn heard_lines(finding: &Finding, patient: &Patient) -> Vec<String> {
    let probes: Vec<String> = finding.seen_by.iter().map(ToString::to_string).collect();
    let mut line = format!("heard by {}", probes.join(", "));
    // Writing to a string can't fail.
    if let Some(address) = finding.address {
        let _ = write!(line, " from {}", address.ip());
    }
    if let Some(version) = finding.version {
        let _ = write!(line, ", version {version}");
    }
    match finding.clients {
        Some(1) => line.push_str(", 1 client connected"),
        Some(n) => {
            let _ = write!(line, ", {n} clients connected");
        }
        None => {}
    }
    let mut lines = vec![line];
    if let (Some(book), Some(announced)) = (patient.version, finding.version)
        && book != announced
    {
        lines.push(format!("the book says {book}"));
    }
    // What the book says stands above already.
    lines.extend(
        finding
            .notes
            .iter()
            .filter(|n| !matches!(n, Note::BookVersion { .. } | Note::BookAddress { .. }))
            .map(|n| format!("it {n}")),
    );
    lines
}
