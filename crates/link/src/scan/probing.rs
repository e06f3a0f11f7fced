//! TCP probes, and the book's keys tried on what they find: slowly, one after another per device (lan.md 5.7, 6.5).

use std::collections::{HashSet, VecDeque};
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use landfall_proto::id::DeviceId;
use landfall_proto::lan::Version;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::catalogue::Probed;
use super::finding::Kind;
use super::memory::{Leave, ProbeMemory};
use super::options::{Known, ScanOptions};
use crate::detect::wire::{self, Depth, Heard, opens_3_3};
use crate::detect::{Asked, Seen};
use crate::state::ConnectFailure;

/// Addresses on which keys are being tried at the same time.
const MOST_TRIALS: usize = 8;

/// The end of a probe.
#[derive(Debug)]
pub(super) enum Done {
    /// A target was tried.
    Probed {
        address: SocketAddr,
        /// `None`: somebody known is there, nothing was asked.
        heard: Result<Option<Heard>, ConnectFailure>,
    },
    /// A key was tried.
    Tried {
        address: SocketAddr,
        owner: DeviceId,
        /// The version under which it opens the device.
        version: Option<Version>,
    },
}

/// Targets still to be probed and keys still to be tried.
pub(super) struct Prober {
    /// Drawn one by one, so that a wide network takes no memory at once.
    targets: Box<dyn Iterator<Item = SocketAddrV4> + Send>,
    seen: HashSet<SocketAddrV4>,
    parallel: usize,
    connect: Duration,
    answer: Duration,
    pause: Duration,
    known: Vec<Known>,
    memory: ProbeMemory,
    trials: Vec<Trial>,
    jobs: JoinSet<Done>,
    probing: usize,
    trying: usize,
    /// Keys given up because the scan ended first.
    pub(super) left: u64,
}

/// One address and the keys to try on it.
#[derive(Debug)]
struct Trial {
    address: SocketAddr,
    /// Indices into `known`.
    rest: VecDeque<usize>,
    failed: usize,
    /// `None`: a try is running.
    due: Option<Instant>,
}

impl Prober {
    pub(super) fn new(options: &ScanOptions) -> Self {
        let port = options.ports.tcp;
        let known = options.known.iter().filter(|k| k.key.is_some() && options.try_keys).cloned().collect();
        Self {
            targets: Box::new(options.probe.clone().into_iter().flat_map(move |t| t.addresses(port))),
            seen: HashSet::new(),
            parallel: options.probe_parallel.max(1),
            connect: options.probe_timeout,
            answer: options.answer_timeout,
            pause: options.pause,
            known,
            memory: options.memory.clone(),
            trials: Vec::new(),
            jobs: JoinSet::new(),
            probing: 0,
            trying: 0,
            left: 0,
        }
    }

    /// Starts what may start now. `is_named` tells whether somebody known is at an address already, `has_seen` whether
    /// a device was found elsewhere.
    pub(super) fn start_due(
        &mut self,
        is_named: impl Fn(SocketAddr) -> bool,
        has_seen: impl Fn(&DeviceId) -> bool,
        mut refuse: impl FnMut(SocketAddr),
    ) {
        while self.probing < self.parallel {
            let Some(target) = self.targets.next() else { break };
            let address = SocketAddr::V4(target);
            if !super::target::is_local(*target.ip()) {
                refuse(address);
                continue;
            }
            if !self.seen.insert(target) {
                continue;
            }
            self.probing += 1;
            self.jobs.spawn(probe(self.target(address, None), is_named(address)));
        }
        let now = Instant::now();
        for at in 0..self.trials.len() {
            if self.trying >= MOST_TRIALS {
                break;
            }
            self.start_trial(at, now, &is_named, &has_seen);
        }
        self.trials.retain(|t| t.due.is_none() || !t.rest.is_empty());
    }

    fn start_trial(
        &mut self,
        at: usize,
        now: Instant,
        is_named: &impl Fn(SocketAddr) -> bool,
        has_seen: &impl Fn(&DeviceId) -> bool,
    ) {
        let trial = &mut self.trials[at];
        if trial.due.is_none_or(|due| due > now) {
            return;
        }
        let address = trial.address;
        if is_named(address) {
            trial.rest.clear();
            return;
        }
        while let Some(next) = trial.rest.front().copied() {
            let owner = &self.known[next];
            // A device that was heard elsewhere is not here.
            let leave =
                if has_seen(&owner.id) { Leave::Tried } else { self.memory.claim(address, &owner.id, now) };
            match leave {
                Leave::At(due) => {
                    trial.due = Some(due);
                    return;
                }
                Leave::Tried => {
                    trial.rest.pop_front();
                }
                Leave::Now => {
                    trial.rest.pop_front();
                    trial.due = None;
                    let owner = owner.clone();
                    let target = self.target(address, Some(&owner));
                    self.trying += 1;
                    self.jobs.spawn(try_key(target, owner, self.pause));
                    return;
                }
            }
        }
    }

    /// When the next key is due. `None`: something runs whose end comes first, or nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.trying >= MOST_TRIALS {
            return None;
        }
        self.trials.iter().filter_map(|t| t.due).min()
    }

    /// Whether nothing runs, waits or is left.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.trials.is_empty()
    }

    /// The scan's time is over: keys that would have to wait are given up.
    pub(super) fn give_up_waiting(&mut self) {
        let now = Instant::now();
        for trial in &mut self.trials {
            if trial.due.is_some_and(|due| due > now) {
                self.left += trial.rest.len() as u64;
                trial.rest.clear();
            }
        }
        self.trials.retain(|t| t.due.is_none() || !t.rest.is_empty());
    }

    /// The next end of a probe; waits forever when none runs.
    pub(super) async fn next_done(&mut self) -> Done {
        loop {
            match self.jobs.join_next().await {
                Some(Ok(done)) => {
                    match &done {
                        Done::Probed { .. } => self.probing -= 1,
                        Done::Tried { .. } => self.trying -= 1,
                    }
                    return done;
                }
                // Probes don't panic and nobody aborts them; a lost one must not block its place.
                Some(Err(e)) => {
                    tracing::error!(error = %e, "a probe was lost");
                    self.probing = self.probing.min(self.jobs.len());
                    self.trying = self.trying.min(self.jobs.len());
                }
                None => std::future::pending().await,
            }
        }
    }

    /// What an answer to a clear query means, and how many keys were tried on it in vain without a connection.
    pub(super) fn identify(&self, heard: &Heard) -> Option<(Probed, usize)> {
        let plain = |kind, version| Some((Probed { kind: Some(kind), id: None, version }, 0));
        match &heard.seen {
            Seen::Json { id } => {
                Some((Probed { kind: Some(Kind::Clear), id: id.clone(), version: Some(Version::V3_1) }, 0))
            }
            Seen::Cipher { .. } => {
                let frame = heard.frame.as_deref().unwrap_or(&[]);
                let opens =
                    self.known.iter().find(|k| k.key.as_ref().is_some_and(|key| opens_3_3(frame, key)));
                let id = opens.map(|k| k.id.clone());
                // Probing does not tell 3.2 from 3.3; the book may.
                let version =
                    opens.map(|k| k.version.filter(|v| *v == Version::V3_2).unwrap_or(Version::V3_3));
                let failed = if opens.is_none() { self.known.len() } else { 0 };
                Some((Probed { kind: Some(Kind::Old), id, version }, failed))
            }
            Seen::Text(_) | Seen::Empty => plain(Kind::Old, None),
            Seen::Frame34 => plain(Kind::New, Some(Version::V3_4)),
            Seen::Frame35 => plain(Kind::New, Some(Version::V3_5)),
            Seen::Foreign => None,
            _ => plain(Kind::New, None),
        }
    }

    /// Queues the book's keys for a nameless device of the new framing: first that of the device which the book has at
    /// this address, then the others that may speak 3.4 or 3.5.
    pub(super) fn queue_keys(&mut self, address: SocketAddr) {
        let may = |k: &Known| k.version.is_none_or(|v| v >= Version::V3_4);
        let mut rest: Vec<usize> = (0..self.known.len()).filter(|i| may(&self.known[*i])).collect();
        rest.sort_by_key(|i| self.known[*i].address != Some(address));
        if !rest.is_empty() {
            self.trials.push(Trial { address, rest: rest.into(), failed: 0, due: Some(Instant::now()) });
        }
    }

    /// Notes the end of a try. Returns how many keys failed so far on this address.
    pub(super) fn tried(&mut self, address: SocketAddr, opened: bool) -> usize {
        let Some(trial) = self.trials.iter_mut().find(|t| t.address == address) else { return 0 };
        // The memory says when the next one may go.
        trial.due = Some(Instant::now());
        if opened {
            trial.rest.clear();
        } else {
            trial.failed += 1;
        }
        let failed = trial.failed;
        self.trials.retain(|t| t.due.is_none() || !t.rest.is_empty());
        failed
    }

    fn target(&self, address: SocketAddr, owner: Option<&Known>) -> wire::Target {
        wire::Target {
            address,
            id: owner.map(|k| k.id.clone()),
            key: owner.and_then(|k| k.key.clone()),
            cid: None,
            connect: self.connect,
            answer: self.answer,
        }
    }
}

/// One connection to a target. Where somebody known is, it only shows that the port is open.
async fn probe(target: wire::Target, named: bool) -> Done {
    let address = target.address;
    let heard = if named {
        match wire::open(address, target.connect).await {
            Ok(stream) => {
                wire::close(stream).await;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    } else {
        match wire::ask(&target, Asked::Clear, Depth::Proof).await {
            Heard { seen: Seen::NoConnection(e), .. } => Err(e),
            heard => Ok(Some(heard)),
        }
    };
    Done::Probed { address, heard }
}

/// One try of one key: a session of the book's version, or of 3.5 and then of 3.4. A pause first, since the clear query
/// has just ended.
async fn try_key(target: wire::Target, owner: Known, pause: Duration) -> Done {
    let versions: &[Version] = match owner.version {
        Some(Version::V3_4) => &[Version::V3_4],
        Some(Version::V3_5) => &[Version::V3_5],
        _ => &[Version::V3_5, Version::V3_4],
    };
    let mut found = None;
    for version in versions {
        tokio::time::sleep(pause).await;
        let heard = wire::ask(&target, Asked::Session(*version), Depth::Proof).await;
        if heard.seen == Seen::Established {
            found = Some(*version);
            break;
        }
        if matches!(heard.seen, Seen::NoConnection(_)) {
            break;
        }
    }
    Done::Tried { address: target.address, owner: owner.id, version: found }
}
