//! Why a device does not work: evidence, a verdict, a next step.

use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;

use crate::scan::ScanOptions;

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
    /// A battery device that is asleep.
    Asleep,
    /// Accepts and closes at once, again and again, with no other client known: its firmware hangs.
    Wedged,
    /// The evidence does not tell.
    Unclear,
}

impl Verdict {
    /// A stable name for programs: `healthy`, `not_on_this_network`, `port_closed`, `waits_for_cloud`,
    /// `another_client`, `wrong_key`, `wrong_version`, `asleep`, `wedged`, `unclear`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::NotOnThisNetwork => "not_on_this_network",
            Self::PortClosed => "port_closed",
            Self::WaitsForItsCloud => "waits_for_cloud",
            Self::AnotherClientHoldsTheSession => "another_client",
            Self::WrongKey => "wrong_key",
            Self::WrongVersion { .. } => "wrong_version",
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
    /// Listening for the device.
    Listening,
    /// Connecting to this address.
    Connecting(SocketAddr),
    /// Waiting before the next connection.
    Pausing(Duration),
    /// Asking the device as this version.
    Asking(Version),
}

/// Examines a device: listens for it, connects a few times with pauses, and decides.
pub async fn diagnose(
    patient: &Patient,
    options: DiagnoseOptions,
    mut on_progress: impl FnMut(&Progress) + Send,
) -> Diagnosis {
    let _ = (patient, options, &mut on_progress);
    todo!()
}
