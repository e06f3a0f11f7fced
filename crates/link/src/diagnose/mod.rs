//! Why a device does not work: evidence, a verdict, a next step.

mod decide;
mod evidence;
mod plan;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use decide::{WAKE_IT, decide};
pub use evidence::{Evidence, Listened};

use crate::detect::wire::{self, Depth};
use crate::detect::{Asked, Step};
use crate::scan::{Known, ScanEvent, ScanOptions, scan};

/// Listening time where the caller names none.
const LISTEN: Duration = Duration::from_secs(10);

/// A device to be examined, as the book knows it.
#[derive(Clone, Debug)]
pub struct Patient {
    /// Its id (of a sub-device: its gateway's).
    pub id: DeviceId,
    /// Its name, for the text.
    pub name: Option<String>,
    /// Its node id behind a gateway.
    pub cid: Option<Cid>,
    /// Its local key (of a sub-device: its gateway's).
    pub key: Option<LocalKey>,
    /// Its version, if the book has one.
    pub version: Option<Version>,
    /// Its address, if the book has one.
    pub address: Option<SocketAddr>,
    /// The book says that it sleeps (battery).
    pub sleeps: bool,
    /// Asked in the device22 form.
    pub device22: bool,
}

/// What is wrong with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it answers.
    Healthy,
    /// No beacon, no answer, no connection.
    NotOnThisNetwork,
    /// It is there (a beacon was heard or its address refuses) but its port is closed.
    PortClosed,
    /// It is there and announces itself but serves nobody until it has reached its cloud (localtuya#501).
    WaitsForItsCloud,
    /// Another program (the app, another hub) holds its only session.
    AnotherClientHoldsTheSession,
    /// The key of the book is not the device's.
    WrongKey,
    /// The version of the book is not the device's.
    WrongVersion {
        /// The right one, if known.
        right: Option<Version>,
    },
    /// A sub-device that its gateway does not reach.
    CutOff,
    /// A battery device that is asleep.
    Asleep,
    /// Accepts and closes at once, again and again, with no other client known: its firmware hangs.
    Wedged,
    /// The evidence does not tell.
    Unclear,
}

impl Verdict {
    /// A stable name for programs: `healthy`, `not_on_this_network`, `port_closed`, `waits_for_cloud`,
    /// `another_client`, `wrong_key`, `wrong_version`, `cut_off`, `asleep`, `wedged`, `unclear`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::NotOnThisNetwork => "not_on_this_network",
            Self::PortClosed => "port_closed",
            Self::WaitsForItsCloud => "waits_for_cloud",
            Self::AnotherClientHoldsTheSession => "another_client",
            Self::WrongKey => "wrong_key",
            Self::WrongVersion { .. } => "wrong_version",
            Self::CutOff => "cut_off",
            Self::Asleep => "asleep",
            Self::Wedged => "wedged",
            Self::Unclear => "unclear",
        }
    }
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in one sentence, for people.
    pub sentence: String,
    /// What was seen, a line each, in the order it was gathered.
    pub evidence: Vec<String>,
    /// What the owner can do next.
    pub next_step: String,
}

/// Times and ways of an examination.
#[derive(Clone, Debug)]
pub struct DiagnoseOptions {
    /// How beacons are looked for. `known` and `probe` are set by the examination; `duration` is how long it listens
    /// at most (it stops listening once the device was heard).
    pub scan: ScanOptions,
    /// Time for a connection to open.
    pub connect: Duration,
    /// Time for an answer.
    pub answer: Duration,
    /// Pause between two connections to the device.
    pub pause: Duration,
}

impl Default for DiagnoseOptions {
    fn default() -> Self {
        Self {
            scan: ScanOptions::default(),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            pause: Duration::from_secs(1),
        }
    }
}

/// What the examination is doing, for a progress line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Listening for the device, this long at most.
    Listening(Duration),
    /// Waiting before the next connection.
    Pausing(Duration),
    /// Connecting, for this.
    Asking {
        /// Where to.
        address: SocketAddr,
        /// What for.
        asked: Asked,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening(time) => write!(f, "listening for it, {:.0} s at most", time.as_secs_f64()),
            Self::Pausing(_) => f.write_str("waiting a moment"),
            Self::Asking { address, asked } => write!(f, "trying {asked} with {address}"),
        }
    }
}

/// Examines a device: listens for it, connects to it a few times with pauses, and decides.
///
/// It never writes to the device and never asks in the device22 form, which some devices execute as a write
/// (lan.md 5.5). Close other connections of this process to the device first: many serve one client only.
pub async fn diagnose(
    patient: &Patient,
    options: DiagnoseOptions,
    mut on_progress: impl FnMut(&Progress) + Send,
) -> Diagnosis {
    let evidence = gather(patient, options, &mut on_progress).await;
    decide(&evidence)
}

/// Gathers the evidence of [`diagnose`] without deciding.
pub async fn gather(
    patient: &Patient,
    options: DiagnoseOptions,
    on_progress: &mut (dyn FnMut(&Progress) + Send),
) -> Evidence {
    let time = options.scan.duration.unwrap_or(LISTEN);
    let ports = options.scan.ports;
    let listened = if [ports.clear, ports.encrypted, ports.answer].iter().any(Option::is_some) {
        on_progress(&Progress::Listening(time));
        Some(listen(patient, ScanOptions { duration: Some(time), ..options.scan }).await)
    } else {
        None
    };
    let heard_at = listened.as_ref().and_then(|l| l.heard.as_ref()).and_then(|f| f.address);
    let mut evidence = Evidence {
        patient: patient.clone(),
        // Its own word is newer than the book's.
        address: heard_at.or(patient.address),
        listened,
        steps: Vec::new(),
    };
    let Some(address) = evidence.address else { return evidence };
    let target = wire::Target {
        address,
        id: Some(patient.id.clone()),
        key: patient.key.clone(),
        cid: patient.cid.clone(),
        connect: options.connect,
        answer: options.answer,
    };
    while let Some(asked) = plan::next_question(&evidence) {
        if !evidence.steps.is_empty() {
            on_progress(&Progress::Pausing(options.pause));
            tokio::time::sleep(options.pause).await;
        }
        on_progress(&Progress::Asking { address, asked });
        let seen = wire::ask(&target, asked, Depth::Query).await.seen;
        evidence.steps.push(Step { asked, seen });
    }
    evidence
}

/// Listens until the device was heard or the time is over.
async fn listen(patient: &Patient, options: ScanOptions) -> Listened {
    // Without the book's version and key: only what it says itself counts here. Its address tells an unusual port.
    let known = Known {
        id: patient.id.clone(),
        name: patient.name.clone(),
        key: None,
        version: None,
        address: patient.address,
    };
    let options = ScanOptions { known: vec![known], probe: Vec::new(), ..options };
    let heard = Notify::new();
    let begun = Instant::now();
    let summary = scan(options, heard.notified(), |event| {
        if let ScanEvent::Found(f) | ScanEvent::Changed(f) = event
            && f.id.as_ref() == Some(&patient.id)
        {
            heard.notify_one();
        }
    })
    .await;
    let time = begun.elapsed();
    let deaf = summary.problems.iter().map(ToString::to_string).collect();
    let seen = summary.findings.into_iter().filter(|f| !f.seen_by.is_empty());
    let (mine, others): (Vec<_>, Vec<_>) = seen.partition(|f| f.id.as_ref() == Some(&patient.id));
    Listened { time, heard: mine.into_iter().next(), others: others.len(), deaf }
}
