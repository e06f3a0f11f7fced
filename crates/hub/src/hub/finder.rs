//! Beacons, scans, examinations.
//!
//! Beacons are listened to all the time. Devices that speak only when asked are asked in short scans: while a socket holds
//! port 7000 of an interface, other programs of this machine miss the answers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_book::Device;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::control::DeviceStatus;
use landfall_link::diagnose::{self, DiagnoseOptions, Patient, diagnose};
use landfall_link::scan::{Finding, Ports, ScanEvent, ScanOptions, ScanProblem, Summary, scan};
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::Beacon;
use tokio::sync::Semaphore;

use super::lan::Lan;
use super::start::Discovery;
use crate::model::{Found, Problem, ProblemKind, Verdict};

/// Devices that are remembered; who was heard longest ago makes room.
const MOST: usize = 1_024;
/// What was not heard for so long is gone.
const FRESH_MS: u64 = 2 * 60 * 1_000;
/// Listening begins anew after so long, with an empty catalogue: forged beacons shall not fill it for ever.
const ANEW: Duration = Duration::from_secs(3_600);
/// How long an examination listens at most.
const EXAMINE: Duration = Duration::from_secs(10);

/// What was heard of a device.
#[derive(Clone, Debug)]
struct Sighting {
    at_ms: u64,
    address: IpAddr,
    version: Option<Version>,
    product_id: Option<ProductId>,
}

/// Finds devices.
#[derive(Debug)]
pub(super) struct Finder {
    how: Option<Discovery>,
    lan: Arc<Lan>,
    book: Arc<BookBackend>,
    clock: Clock,
    seen: Mutex<HashMap<DeviceId, Sighting>>,
    /// One scan or examination at a time: they share port 7000 and devices' patience.
    turn: Semaphore,
}

/// Puts a connection back that an examination let go, however it ends.
struct Away<'a> {
    lan: &'a Lan,
    id: &'a DeviceId,
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.lan.take_up(self.id);
    }
}

impl Finder {
    pub(super) fn new(how: Option<Discovery>, lan: Arc<Lan>, book: Arc<BookBackend>, clock: Clock) -> Self {
        Self { how, lan, book, clock, seen: Mutex::default(), turn: Semaphore::new(1) }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<DeviceId, Sighting>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens, and asks while a device is missed.
    pub(super) async fn run(self: Arc<Self>) {
        if let Some(how) = &self.how {
            tokio::join!(self.listen(how), self.keep_asking(how));
        }
    }

    async fn listen(&self, how: &Discovery) {
        let mut told = false;
        loop {
            let ports = Ports { answer: None, ..how.ports };
            let options = ScanOptions { duration: Some(ANEW), ports, ..self.options(how) };
            let summary = scan(options, std::future::pending(), |event| self.see(event)).await;
            if !std::mem::replace(&mut told, true) {
                complain(&summary);
            }
        }
    }

    async fn keep_asking(&self, how: &Discovery) {
        let mut turns = tokio::time::interval(how.every.max(Duration::from_secs(1)));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if !self.lan.misses_any() {
                continue;
            }
            // Whoever scans at present asks too.
            if let Ok(_turn) = self.turn.try_acquire() {
                self.ask(how, how.question).await;
            }
        }
    }

    /// Asks once on every interface, and listens for so long.
    async fn ask(&self, how: &Discovery, time: Duration) -> Summary {
        let ports = Ports { clear: None, encrypted: None, ..how.ports };
        let options = ScanOptions { duration: Some(time), ports, ..self.options(how) };
        scan(options, std::future::pending(), |event| self.see(event)).await
    }

    fn options(&self, how: &Discovery) -> ScanOptions {
        ScanOptions {
            ports: how.ports,
            listen: how.listen,
            interfaces: how.interfaces.clone(),
            try_keys: false,
            ..ScanOptions::default()
        }
    }

    /// Takes in what a scan saw: remembers it, and tells the line of the device.
    fn see(&self, event: &ScanEvent) {
        let (id, address, finding) = match event {
            ScanEvent::Found(f) | ScanEvent::Changed(f) => {
                let (Some(id), Some(address)) = (&f.id, f.address) else { return };
                (id, address.ip(), Some(f))
            }
            ScanEvent::Heard { id, address } => (id, address.ip(), None),
            ScanEvent::Listening { .. } => return,
        };
        let version = finding.and_then(|f| f.version);
        self.remember(id, address, finding);
        let beacon = Beacon { version, ..Beacon::new(id.clone(), Version::V3_5) };
        self.lan.heard(&beacon, address);
    }

    fn remember(&self, id: &DeviceId, address: IpAddr, finding: Option<&Finding>) {
        let at_ms = self.clock.unix_ms();
        let mut seen = self.seen();
        if !seen.contains_key(id)
            && seen.len() >= MOST
            && let Some(oldest) = seen.iter().min_by_key(|(_, s)| s.at_ms).map(|(id, _)| id.clone())
        {
            seen.remove(&oldest);
        }
        let sighting =
            seen.entry(id.clone()).or_insert(Sighting { at_ms, address, version: None, product_id: None });
        sighting.at_ms = at_ms;
        sighting.address = address;
        if let Some(finding) = finding {
            sighting.version = finding.version.or(sighting.version);
            sighting.product_id = finding.product_id.clone().or(sighting.product_id.take());
        }
    }

    /// What was heard lately, with what is missing before it can be used.
    pub(super) fn found(&self) -> Vec<Found> {
        let now = self.clock.unix_ms();
        let fresh: Vec<(DeviceId, Sighting)> = {
            let mut seen = self.seen();
            seen.retain(|_, s| s.at_ms.saturating_add(FRESH_MS) >= now);
            seen.iter().map(|(id, s)| (id.clone(), s.clone())).collect()
        };
        let mut found: Vec<Found> = self.book.read(|book| {
            let one = |(id, s): (DeviceId, Sighting)| {
                let known = book.by_id(&id);
                let missing = match known {
                    None => Some("it is not in the book, and its local key is not known".to_owned()),
                    Some(d) if d.key.is_none() => Some("its local key is not known".to_owned()),
                    Some(_) => None,
                };
                let name = known.map(|d| d.name.clone());
                let product_id = s.product_id.map(|p| p.to_string());
                Found { id, address: s.address, version: s.version, product_id, name, missing }
            };
            fresh.into_iter().map(one).collect()
        });
        found.sort_by(|a, b| (a.name.is_none(), &a.name, &a.id).cmp(&(b.name.is_none(), &b.name, &b.id)));
        found
    }

    /// Who was heard lately and is not in the book, and when.
    pub(super) fn strangers(&self) -> Vec<(Found, u64)> {
        let mut found = self.found();
        found.retain(|f| f.name.is_none());
        let seen = self.seen();
        let heard = |f: Found| seen.get(&f.id).map(|s| s.at_ms).map(|at_ms| (f, at_ms));
        found.into_iter().filter_map(heard).collect()
    }

    /// Listens and asks for a while.
    ///
    /// # Errors
    /// Another scan or examination is running; there is no interface.
    pub(super) async fn scan(&self) -> Result<Vec<Found>, Problem> {
        let _turn = self.turn.try_acquire().map_err(|_| running())?;
        let summary = match &self.how {
            Some(how) => self.ask(how, how.scan).await,
            // Nobody listens all the time.
            None => {
                let how = Discovery::default();
                let options = ScanOptions { duration: Some(how.scan), ..self.options(&how) };
                scan(options, std::future::pending(), |event| self.see(event)).await
            }
        };
        let found = self.found();
        let nowhere = |p: &&ScanProblem| matches!(p, ScanProblem::Interfaces(_) | ScanProblem::NoInterface);
        match summary.problems.iter().find(nowhere) {
            Some(problem) if found.is_empty() => {
                Err(Problem::new(ProblemKind::Ours, "scan.no_interface", problem.to_string())
                    .hint(problem.next_step()))
            }
            _ => {
                complain(&summary);
                Ok(found)
            }
        }
    }

    /// Examines a device. `line`: the device that listens, itself or its gateway. `cloud`: how it stands with the cloud.
    /// `offline`: why it is said to be offline, if it is.
    ///
    /// # Errors
    /// Another scan or examination is running.
    pub(super) async fn examine(
        &self,
        device: &Device,
        line: &Device,
        cloud: Option<&DeviceStatus>,
        offline: Option<String>,
    ) -> Result<Verdict, Problem> {
        if let Some((version, address)) = self.lan.standing(&line.id) {
            let mut verdict = well(version, address);
            if let Some(cid) = device.cid.as_ref().filter(|_| device.is_sub_device()) {
                behind(&mut verdict, self.lan.reaches(&line.id, cid).await, offline, device.sleeper);
            }
            return Ok(with_cloud(verdict, cloud));
        }
        let _turn = self.turn.try_acquire().map_err(|_| running())?;
        self.lan.let_go(&line.id).await;
        let _away = Away { lan: &self.lan, id: &line.id };
        let patient = Patient {
            id: line.id.clone(),
            name: Some(device.name.clone()),
            cid: device.cid.clone(),
            key: line.key.clone(),
            version: line.version,
            address: self.seen().get(&line.id).map_or(line.socket_address(), |s| {
                Some(SocketAddr::new(s.address, line.port.unwrap_or(landfall_proto::lan::TCP_PORT)))
            }),
            sleeps: line.sleeper || device.sleeper,
            device22: line.device22,
        };
        let mut options = DiagnoseOptions::default();
        options.scan = match &self.how {
            Some(how) => ScanOptions { duration: Some(how.scan.min(EXAMINE)), ..self.options(how) },
            None => {
                let ports = Ports { clear: None, encrypted: None, answer: None, ..Ports::default() };
                ScanOptions { ports, ..ScanOptions::default() }
            }
        };
        let found = diagnose(&patient, options, |_| {}).await;
        Ok(with_cloud(of(found), cloud))
    }
}

fn running() -> Problem {
    Problem::new(ProblemKind::Busy, "scan.running", "a scan or an examination is running")
        .hint("it takes some seconds; try again then")
}

/// What did not work goes into the log, with the next step.
fn complain(summary: &Summary) {
    for problem in &summary.problems {
        tracing::warn!("{problem}; {}", problem.next_step());
    }
}

fn of(found: diagnose::Diagnosis) -> Verdict {
    Verdict {
        code: found.verdict.code().to_owned(),
        text: found.sentence,
        evidence: found.evidence,
        next: found.next_step,
    }
}

/// A connection that stands is the best evidence there is.
fn well(version: Option<Version>, address: Option<SocketAddr>) -> Verdict {
    let mut evidence = vec!["the hub is connected to it, and its key fits".to_owned()];
    evidence.extend(address.map(|a| format!("it is at {a}")));
    evidence.extend(version.map(|v| format!("it speaks {v}")));
    Verdict {
        code: diagnose::Verdict::Healthy.code().to_owned(),
        text: "It answers on the LAN.".to_owned(),
        evidence,
        next: String::new(),
    }
}

/// What was found of a gateway, as what it means for a sub-device. `reaches`: the gateway's word of now; `offline`: what was
/// known before.
fn behind(verdict: &mut Verdict, reaches: Option<bool>, offline: Option<String>, sleeper: bool) {
    verdict.evidence.insert(0, "it is behind a gateway".to_owned());
    let said = match (reaches, offline) {
        (Some(true), _) => {
            verdict.evidence.push("the gateway says that the sub-device is online".to_owned());
            "Its gateway answers on the LAN, and reaches it.".clone_into(&mut verdict.text);
            return;
        }
        (None, None) => {
            verdict.evidence.push("the gateway does not say whether it reaches the sub-device".to_owned());
            "Its gateway answers on the LAN.".clone_into(&mut verdict.text);
            return;
        }
        (Some(false), _) => "the gateway says that the sub-device is offline".to_owned(),
        (None, Some(why)) => why,
    };
    verdict.evidence.push(said);
    let is = if sleeper { diagnose::Verdict::Asleep } else { diagnose::Verdict::CutOff };
    is.code().clone_into(&mut verdict.code);
    "Its gateway answers on the LAN, but does not reach it.".clone_into(&mut verdict.text);
    diagnose::WAKE_IT.clone_into(&mut verdict.next);
}

/// Adds how a device stands with the cloud.
fn with_cloud(mut verdict: Verdict, cloud: Option<&DeviceStatus>) -> Verdict {
    let Some(cloud) = cloud else { return verdict };
    let mut told = if cloud.connected {
        "cloud: it is logged in".to_owned()
    } else {
        "cloud: it is not logged in".to_owned()
    };
    if cloud.reports > 0 {
        told.push_str(&format!(", {} reports so far", cloud.reports));
    }
    verdict.evidence.push(told);
    if let Some(lack) = &cloud.lacks {
        verdict.evidence.push(format!("cloud: {}", lack.what));
        if !verdict.next.is_empty() {
            verdict.next.push_str("; ");
        }
        verdict.next.push_str(&format!("for the cloud: {}", lack.next));
    }
    verdict
}
