//! What is kept of a device.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::backend::Generation;
use crate::listen::{Link, Over};

/// Most actions that are counted by name; the rest are counted together.
const ACTIONS: usize = 64;
/// Under this name.
const OTHERS: &str = "(others)";
/// Longest name of an action that is kept.
const ACTION_LEN: usize = 64;
/// Most codes of refusals; there are fewer, a file may be anything.
const CODES: usize = 32;

/// The steps of a device's life in the cloud, in the order in which they are usually taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It asked our DNS for a name of the vendor.
    Dns,
    /// It asked the name service.
    NameService,
    /// A TLS handshake was finished.
    Tls,
    /// It asked for the addresses of the servers (A, B).
    Token,
    /// It asked to be activated.
    ActivationAsked,
    /// It was given keys.
    Activated,
    /// It asked for its configuration: clock, time zone.
    Configured,
    /// It logged in on MQTT.
    Mqtt,
    /// It subscribed to its commands.
    Subscribed,
    /// It reported points in an envelope that verified.
    Reported,
    /// It asked about timers.
    Timers,
    /// It asked about firmware.
    Firmware,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Dns,
        Self::NameService,
        Self::Tls,
        Self::Token,
        Self::ActivationAsked,
        Self::Activated,
        Self::Configured,
        Self::Mqtt,
        Self::Subscribed,
        Self::Reported,
        Self::Timers,
        Self::Firmware,
    ];

    /// Its name in files and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::NameService => "name_service",
            Self::Tls => "tls",
            Self::Token => "token",
            Self::ActivationAsked => "activation_asked",
            Self::Activated => "activated",
            Self::Configured => "configured",
            Self::Mqtt => "mqtt",
            Self::Subscribed => "subscribed",
            Self::Reported => "reported",
            Self::Timers => "timers",
            Self::Firmware => "firmware",
        }
    }

    /// The step of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// In words, after "it": `asked our DNS`.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Dns => "asked our DNS",
            Self::NameService => "asked the name service",
            Self::Tls => "finished a TLS handshake",
            Self::Token => "asked for the servers' addresses",
            Self::ActivationAsked => "asked to be activated",
            Self::Activated => "was given keys",
            Self::Configured => "asked for its configuration",
            Self::Mqtt => "logged in on MQTT",
            Self::Subscribed => "subscribed to its commands",
            Self::Reported => "reported",
            Self::Timers => "asked about timers",
            Self::Firmware => "asked about firmware",
        }
    }
}

/// When a step was taken last, how often, over what and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Seconds since 1970-01-01 UTC.
    pub at: u64,
    /// How often so far; 1 when it is handed to [`Handshakes`](super::Handshakes), which adds up.
    pub count: u64,
    /// Over what.
    pub over: Over,
    /// From where.
    pub peer: Option<IpAddr>,
}

impl Mark {
    /// Once, at this time (seconds since 1970), on this connection.
    pub fn on(link: &Link, at: u64) -> Self {
        Self { at, count: 1, over: link.over, peer: Some(link.ip()) }
    }

    /// Takes a later mark of the same thing.
    fn add(&mut self, later: Self) {
        let count = self.count.saturating_add(later.count);
        *self = Self { count, ..if later.at >= self.at { later } else { *self } };
    }
}

/// The record of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Steps taken.
    pub steps: BTreeMap<Step, Mark>,
    /// Refusals by code: `mqtt.password`, `gateway.signature`, `envelope.key`...
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<String, Mark>,
    /// Calls by action.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub questions: BTreeMap<String, u64>,
    /// Generation seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Whether it is logged in now.
    #[serde(skip)]
    pub connected: bool,
    /// Reports that verified.
    pub reports: u64,
    /// Reports known to be missing.
    pub lost: u64,
}

/// The text up to this many bytes.
fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most { text } else { &text[..text.floor_char_boundary(most)] }
}

impl Record {
    fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.steps.values().chain(self.refusals.values())
    }

    /// When it was heard last, seconds since 1970.
    pub fn last(&self) -> Option<u64> {
        self.marks().map(|m| m.at).max()
    }

    /// From where it was heard last.
    pub fn peer(&self) -> Option<IpAddr> {
        self.marks().filter(|m| m.peer.is_some()).max_by_key(|m| m.at)?.peer
    }

    /// Its last refusal.
    pub fn refusal(&self) -> Option<(&str, Mark)> {
        self.refusals.iter().max_by_key(|(_, m)| m.at).map(|(code, m)| (code.as_str(), *m))
    }

    /// When a step was taken last, seconds since 1970.
    pub fn at(&self, step: Step) -> Option<u64> {
        self.steps.get(&step).map(|m| m.at)
    }

    pub(super) fn step(&mut self, step: Step, mark: Mark) {
        self.steps.entry(step).and_modify(|m| m.add(mark)).or_insert(mark);
        if step == Step::Reported {
            self.reports = self.reports.saturating_add(mark.count);
        }
    }

    pub(super) fn refused(&mut self, code: &str, mark: Mark) {
        if let Some(m) = self.refusals.get_mut(code) {
            m.add(mark);
        } else if self.refusals.len() < CODES {
            self.refusals.insert(code.to_owned(), mark);
        }
    }

    pub(super) fn question(&mut self, action: &str) {
        count(&mut self.questions, cut(action, ACTION_LEN), 1);
    }

    /// Takes in what is known of the same device under another name.
    pub(super) fn merge(&mut self, other: Self) {
        for (step, mark) in other.steps {
            self.steps.entry(step).and_modify(|m| m.add(mark)).or_insert(mark);
        }
        for (code, mark) in other.refusals {
            self.refused(&code, mark);
        }
        for (action, n) in other.questions {
            count(&mut self.questions, &action, n);
        }
        self.generation = self.generation.max(other.generation);
        self.connected |= other.connected;
        self.reports = self.reports.saturating_add(other.reports);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

/// Counts by name; names that don't fit in are counted together.
fn count(map: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    let name = if map.contains_key(name) || map.len() < ACTIONS { name } else { OTHERS };
    // Not by `entry`: it would want a new text each time.
    match map.get_mut(name) {
        Some(n) => *n = n.saturating_add(by),
        None => {
            map.insert(name.to_owned(), by);
        }
    }
}
