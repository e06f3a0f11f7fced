//! What all probes saw, put together by device id. Pure: no sockets, no clock.

use std::collections::HashMap;
use std::mem::discriminant;
use std::net::{Ipv4Addr, SocketAddr};

use landfall_proto::id::DeviceId;
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::Beacon;

use super::finding::{Finding, Kind, Missing, Note, Probe, ScanEvent};
use super::options::Known;

/// What a TCP probe (or a key tried by one) learnt about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// What it is. `None`: the connection opened and nothing was asked, since a beacon had said everything.
    pub(crate) kind: Option<Kind>,
    /// Its id, by its own word or because this device's key opens it.
    pub(crate) id: Option<DeviceId>,
    /// Its version, if the probe proved one.
    pub(crate) version: Option<Version>,
}

#[derive(Debug)]
struct Entry {
    finding: Finding,
    /// Newest version announced or proven, as opposed to the book's.
    seen_version: Option<Version>,
    /// Its port is an assumption, since datagrams don't tell it.
    port_assumed: bool,
}

/// Findings by device id, bounded.
#[derive(Debug)]
pub(crate) struct Catalogue {
    known: Vec<Known>,
    known_by_id: HashMap<DeviceId, usize>,
    /// `None`: absorbed by another entry.
    entries: Vec<Option<Entry>>,
    by_id: HashMap<DeviceId, usize>,
    by_address: HashMap<SocketAddr, usize>,
    tcp_port: u16,
    max: usize,
    strangers: usize,
    left_out: u64,
}

impl Catalogue {
    /// An empty catalogue that keeps at most `max` devices the book does not know; those of the book always have room.
    pub(crate) fn new(known: Vec<Known>, tcp_port: u16, max: usize) -> Self {
        let known_by_id = known.iter().enumerate().map(|(i, k)| (k.id.clone(), i)).collect();
        Self {
            known,
            known_by_id,
            entries: Vec::new(),
            by_id: HashMap::new(),
            by_address: HashMap::new(),
            tcp_port,
            max,
            strangers: 0,
            left_out: 0,
        }
    }

    /// A datagram of a device. `None` when there was no room.
    pub(crate) fn heard(&mut self, probe: Probe, source: Ipv4Addr, beacon: &Beacon) -> Option<ScanEvent> {
        let known = self.known_by_id.get(&beacon.id).map(|i| &self.known[*i]);
        // A datagram does not tell the TCP port; the book may know an unusual one.
        let port =
            known.and_then(|k| k.address).filter(|a| a.ip() == source).map_or(self.tcp_port, |a| a.port());
        let address = SocketAddr::from((source, port));
        let (at, before) = self.place(Some(&beacon.id), address)?;
        self.settle(at, address, true);
        let entry = self.entries[at].as_mut()?;
        entry.see(probe);
        if let Some(version) = beacon.version {
            entry.see_version(version);
        } else if let Some(text) = &beacon.version_text {
            entry.note(Note::UnknownVersion(text.clone()));
        }
        if let Some(claimed) = beacon.ip
            && claimed != source
        {
            entry.note(Note::ClaimsOtherAddress { claimed, source: source.into() });
        }
        let finding = &mut entry.finding;
        finding.product_id = beacon.product_id.clone().or(finding.product_id.take());
        finding.uuid = beacon.uuid.clone().or(finding.uuid.take());
        finding.active = beacon.active.or(finding.active);
        finding.clients = beacon.clients.or(finding.clients);
        if beacon.access_point || beacon.active.is_some_and(|a| a < 2) {
            entry.note(Note::NotPaired);
        }
        self.event(at, before)
    }

    /// A TCP probe reached a device. `None` when there was no room.
    pub(crate) fn probed(&mut self, address: SocketAddr, probed: &Probed) -> Option<ScanEvent> {
        let (at, before) = self.place(probed.id.as_ref(), address)?;
        self.settle(at, address, false);
        let entry = self.entries[at].as_mut()?;
        entry.see(Probe::Tcp);
        entry.finding.kind = probed.kind.or(entry.finding.kind);
        if let Some(version) = probed.version {
            entry.see_version(version);
        }
        self.event(at, before)
    }

    /// So many keys of the book do not open the device at this address.
    pub(crate) fn keys_failed(&mut self, address: SocketAddr, keys: usize) -> Option<ScanEvent> {
        let at = *self.by_address.get(&address)?;
        let entry = self.entries[at].as_mut()?;
        if entry.finding.id.is_some() || keys == 0 {
            return None;
        }
        let before = entry.finding.clone();
        entry.finding.notes.retain(|n| !matches!(n, Note::KeysTried(_)));
        entry.finding.notes.push(Note::KeysTried(keys));
        self.event(at, Some(before))
    }

    /// Whether datagrams or keys have already told who is at this address.
    pub(crate) fn is_named(&self, address: SocketAddr) -> bool {
        self.by_address
            .get(&address)
            .and_then(|at| self.entries[*at].as_ref())
            .is_some_and(|e| e.finding.id.is_some())
    }

    /// Whether this device was seen.
    pub(crate) fn has_seen(&self, id: &DeviceId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Everything seen in the order of first sight, then the book's devices that nothing saw; and how many sightings
    /// found no room.
    pub(crate) fn finish(self) -> (Vec<Finding>, u64) {
        let Self { known, entries, by_id, left_out, .. } = self;
        let mut findings: Vec<Finding> = entries.into_iter().flatten().map(|e| e.finding).collect();
        for k in known {
            if !by_id.contains_key(&k.id) {
                let mut finding = Finding {
                    id: Some(k.id.clone()),
                    address: k.address,
                    version: k.version,
                    ..Finding::default()
                };
                complete(&mut finding, Some(&k));
                findings.push(finding);
            }
        }
        (findings, left_out)
    }

    /// The entry of a device or address, made if there is room; with its finding as it was, `None` for a new one.
    fn place(&mut self, id: Option<&DeviceId>, address: SocketAddr) -> Option<(usize, Option<Finding>)> {
        let here = self.by_address.get(&address).copied();
        if let Some(at) = id.and_then(|id| self.by_id.get(id)).copied() {
            let before = self.entries[at].as_ref().map(|e| e.finding.clone());
            return Some((at, before));
        }
        if let Some(at) = here
            && let Some(entry) = &mut self.entries[at]
            && (id.is_none() || entry.finding.id.is_none())
        {
            let before = entry.finding.clone();
            if let Some(id) = id {
                entry.finding.id = Some(id.clone());
                self.by_id.insert(id.clone(), at);
                if self.known_by_id.contains_key(id) {
                    self.strangers = self.strangers.saturating_sub(1);
                }
            }
            return Some((at, Some(before)));
        }
        if !id.is_some_and(|id| self.known_by_id.contains_key(id)) {
            if self.strangers >= self.max {
                self.left_out += 1;
                return None;
            }
            self.strangers += 1;
        }
        let at = self.entries.len();
        let finding = Finding { id: id.cloned(), ..Finding::default() };
        self.entries.push(Some(Entry { finding, seen_version: None, port_assumed: true }));
        if let Some(id) = id {
            self.by_id.insert(id.clone(), at);
        }
        Some((at, None))
    }

    /// Gives an entry its address, notes conflicts, and takes over a nameless entry that stands there.
    fn settle(&mut self, at: usize, address: SocketAddr, port_assumed: bool) {
        let Some(entry) = self.entries[at].as_mut() else { return };
        let before = entry.finding.address;
        let address = match before {
            // A datagram can't contradict a port that a connection proved.
            Some(b) if b.ip() == address.ip() && port_assumed && !entry.port_assumed => b,
            _ => address,
        };
        if let Some(first) = before
            && first.ip() != address.ip()
        {
            entry.note(Note::SeveralAddresses { first, then: address });
        }
        if before != Some(address) {
            entry.port_assumed = port_assumed;
            entry.finding.address = Some(address);
            if let Some(b) = before
                && self.by_address.get(&b) == Some(&at)
            {
                self.by_address.remove(&b);
            }
        } else if !port_assumed {
            entry.port_assumed = false;
        }
        match self.by_address.get(&address).copied() {
            None => {
                self.by_address.insert(address, at);
            }
            Some(other) if other != at => match self.entries[other].take() {
                Some(there) if there.finding.id.is_none() => {
                    if let Some(entry) = self.entries[at].as_mut() {
                        entry.absorb(there);
                    }
                    self.strangers = self.strangers.saturating_sub(1);
                    self.by_address.insert(address, at);
                }
                there => {
                    let name = there.as_ref().and_then(|e| e.finding.id.clone());
                    self.entries[other] = there;
                    if let (Some(other), Some(entry)) = (name, self.entries[at].as_mut()) {
                        entry.note(Note::SharedAddress { other });
                    }
                }
            },
            Some(_) => {}
        }
    }

    /// Completes an entry from the book and says what changed.
    fn event(&mut self, at: usize, before: Option<Finding>) -> Option<ScanEvent> {
        let entry = self.entries[at].as_mut()?;
        let known =
            entry.finding.id.as_ref().and_then(|id| self.known_by_id.get(id)).map(|i| &self.known[*i]);
        if let Some(known) = known {
            if let (Some(book), Some(announced)) = (known.version, entry.seen_version)
                && book != announced
            {
                entry.note(Note::BookVersion { book, announced });
            }
            if let (Some(book), Some(seen)) = (known.address, entry.finding.address)
                && book != seen
            {
                entry.note(Note::BookAddress { book, seen });
            }
        }
        entry.finding.version = entry.seen_version.or(known.and_then(|k| k.version));
        complete(&mut entry.finding, known);
        let finding = &entry.finding;
        Some(match (before, &finding.id, finding.address) {
            (None, ..) => ScanEvent::Found(finding.clone()),
            (Some(before), Some(id), Some(address)) if before == *finding => {
                ScanEvent::Heard { id: id.clone(), address }
            }
            (Some(before), ..) if before == *finding => return None,
            _ => ScanEvent::Changed(finding.clone()),
        })
    }
}

fn complete(finding: &mut Finding, known: Option<&Known>) {
    finding.known = known.is_some();
    finding.name = known.and_then(|k| k.name.clone());
    finding.missing = [
        (finding.id.is_none(), Missing::Id),
        (known.is_none_or(|k| k.key.is_none()), Missing::Key),
        (finding.address.is_none(), Missing::Address),
        (finding.version.is_none(), Missing::Version),
    ]
    .into_iter()
    .filter_map(|(lacks, what)| lacks.then_some(what))
    .collect();
}

impl Entry {
    fn see(&mut self, probe: Probe) {
        if let Err(at) = self.finding.seen_by.binary_search(&probe) {
            self.finding.seen_by.insert(at, probe);
        }
    }

    /// A forged beacon must not lower a version (lan.md 7.2), so the newest one stays.
    fn see_version(&mut self, version: Version) {
        match self.seen_version {
            Some(seen) if seen != version => {
                let (kept, other) = (seen.max(version), seen.min(version));
                self.seen_version = Some(kept);
                self.note(Note::SeveralVersions { kept, other });
            }
            _ => self.seen_version = Some(version),
        }
    }

    /// Adds a note; of each kind the latest is kept, so that a flapping device can't fill memory.
    fn note(&mut self, note: Note) {
        let notes = &mut self.finding.notes;
        match notes.iter_mut().find(|n| discriminant(*n) == discriminant(&note)) {
            Some(old) => *old = note,
            None => notes.push(note),
        }
    }

    fn absorb(&mut self, other: Self) {
        for probe in other.finding.seen_by {
            self.see(probe);
        }
        self.finding.kind = self.finding.kind.or(other.finding.kind);
        if let Some(version) = other.seen_version {
            self.see_version(version);
        }
    }
}

#[cfg(test)]
mod tests;
