//! Finds out which protocol version a device speaks (lan.md 5.7): the owner's setting, the device's own word, probing.

mod plan;
mod seen;
pub(crate) mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use tokio::time::Instant;

pub(crate) use plan::{Conclusion, Next, next};
pub use seen::{Asked, Seen, Step};

use crate::state::ConnectFailure;
use wire::Depth;

/// A device whose version is wanted.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its id.
    pub id: DeviceId,
    /// Where it is.
    pub address: SocketAddr,
    /// Its local key.
    pub key: LocalKey,
    /// The version its owner chose. Believed without asking.
    pub chosen: Option<Version>,
    /// The version of its last beacon: believed, except that it never lowers `proven`.
    pub beacon: Option<Version>,
    /// The newest version that ever worked with it.
    pub proven: Option<Version>,
}

/// Where a version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The owner's setting.
    Chosen,
    /// The device's own word.
    Beacon,
    /// It worked before.
    Proven,
    /// Probing.
    Probed,
}

/// A version found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The version.
    pub version: Version,
    /// Where it comes from.
    pub basis: Basis,
    /// The device refuses ordinary queries with "data unvalid" and may need the device22 form. A hint for the owner:
    /// it is never switched on by itself, because some devices execute null writes (lan.md 5.5).
    pub needs_device22: bool,
    /// What was seen, a line per step, for logs and the doctor.
    pub trail: Vec<String>,
}

/// Why no version was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// No connection.
    #[error("cannot connect to {address}: {cause}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: ConnectFailure,
    },
    /// The device answers under another key (lan.md 3.4).
    #[error("the local key of {id} is wrong: the device speaks {speaks} under another key")]
    WrongKey {
        /// Which device.
        id: DeviceId,
        /// The version or versions that its answer fits.
        speaks: &'static str,
    },
    /// It accepts connections and closes each at once, even when nothing was sent: another client holds its only
    /// session, or it hangs.
    #[error("{address} accepts connections and closes each at once: another client may hold its session")]
    Busy {
        /// Where.
        address: SocketAddr,
    },
    /// It accepts connections and answers nothing: 3.4 or 3.5 with another key, or busy. The protocol does not tell
    /// which (lan.md 4.5).
    #[error("{address} answers no probe of any version: wrong local key for 3.4 or 3.5, or busy")]
    Unclear {
        /// Where.
        address: SocketAddr,
    },
    /// The only version that answered is older than one that worked before; the owner has to choose (lan.md 7.2).
    #[error("{id} now answers as {seen} but spoke {proven} before; set the version by hand if that is right")]
    Downgrade {
        /// Which device.
        id: DeviceId,
        /// What answered now.
        seen: Version,
        /// What worked before.
        proven: Version,
    },
    /// What answers there does not speak Tuya's protocol.
    #[error("{address} does not speak Tuya's protocol")]
    NotTuya {
        /// Where.
        address: SocketAddr,
    },
}

/// Times of a detection.
#[derive(Clone, Copy, Debug)]
pub struct DetectOptions {
    /// Time for a connection to open.
    pub connect: Duration,
    /// Time for an answer.
    pub answer: Duration,
    /// Pause between two connections to the device.
    pub pause: Duration,
    /// A result, good or bad, is remembered this long and given to the next caller without a connection; that a device
    /// could not be reached is not.
    pub remember: Duration,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(3),
            pause: Duration::from_secs(1),
            remember: Duration::from_secs(60),
        }
    }
}

/// Most devices whose results are remembered.
const ROOM: usize = 1024;

/// Detects versions, one detection of a device at a time, with a memory. One per process; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    options: DetectOptions,
    devices: Arc<Mutex<HashMap<DeviceId, Turn>>>,
}

/// Held during a detection; then holds its result.
type Turn = Arc<tokio::sync::Mutex<Option<Remembered>>>;

#[derive(Debug)]
struct Remembered {
    at: Instant,
    address: SocketAddr,
    key: LocalKey,
    proven: Option<Version>,
    result: Result<Detection, DetectError>,
}

impl Detector {
    /// A detector with these times.
    pub fn new(options: DetectOptions) -> Self {
        Self { options, devices: Arc::default() }
    }

    /// Finds the version of a device. At most five connections, one after another, with pauses. A second call for the
    /// same device waits for the first and gets its result.
    ///
    /// # Errors
    /// See [`DetectError`].
    pub async fn detect(&self, subject: &Subject) -> Result<Detection, DetectError> {
        if let Some(known) = without_asking(subject) {
            return Ok(known);
        }
        let turn = self.turn(&subject.id);
        let mut memory = turn.lock().await;
        if let Some(m) = &*memory
            && m.at.elapsed() < self.options.remember
            && (m.address, &m.key, m.proven) == (subject.address, &subject.key, subject.proven)
        {
            return m.result.clone();
        }
        let result = self.probe(subject).await;
        // A device that could not be reached was not bothered either, and may be back in a second.
        let unreached = matches!(result, Err(DetectError::Unreachable { .. }));
        *memory = (!unreached).then(|| Remembered {
            at: Instant::now(),
            address: subject.address,
            key: subject.key.clone(),
            proven: subject.proven,
            result: result.clone(),
        });
        result
    }

    fn turn(&self, id: &DeviceId) -> Turn {
        // A panic elsewhere leaves the map whole: every change is one insertion or removal.
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if devices.len() >= ROOM && !devices.contains_key(id) {
            // Nobody waits for these and they are forgotten soon anyway.
            devices.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(devices.entry(id.clone()).or_default())
    }

    async fn probe(&self, subject: &Subject) -> Result<Detection, DetectError> {
        let target = wire::Target {
            address: subject.address,
            id: Some(subject.id.clone()),
            key: Some(subject.key.clone()),
            cid: None,
            connect: self.options.connect,
            answer: self.options.answer,
        };
        let mut steps: Vec<Step> = Vec::new();
        loop {
            match next(subject.proven, &steps) {
                Next::Ask(asked) => {
                    if !steps.is_empty() {
                        tokio::time::sleep(self.options.pause).await;
                    }
                    let seen = wire::ask(&target, asked, Depth::Proof).await.seen;
                    tracing::debug!(device = %subject.id, address = %subject.address, %asked, %seen, "version probe");
                    steps.push(Step { asked, seen });
                }
                Next::Conclude(conclusion) => return report(subject, conclusion, &steps),
            }
        }
    }
}

/// The owner's word and the device's own, before anything is asked.
fn without_asking(subject: &Subject) -> Option<Detection> {
    let found = |version, basis, line: String| {
        Some(Detection { version, basis, needs_device22: false, trail: vec![line] })
    };
    match (subject.chosen, subject.beacon, subject.proven) {
        (Some(chosen), ..) => found(chosen, Basis::Chosen, format!("{chosen} was set by the owner")),
        (None, Some(beacon), Some(proven)) if beacon < proven => {
            let line = format!("announces {beacon}, but {proven} worked before and a beacon can be forged");
            found(proven, Basis::Proven, line)
        }
        (None, Some(beacon), _) => found(beacon, Basis::Beacon, format!("announces {beacon}")),
        (None, None, _) => None,
    }
}

fn report(subject: &Subject, conclusion: Conclusion, steps: &[Step]) -> Result<Detection, DetectError> {
    let (id, address) = (subject.id.clone(), subject.address);
    Err(match conclusion {
        Conclusion::Version { version, needs_device22 } => {
            let trail = steps.iter().map(Step::to_string).collect();
            return Ok(Detection { version, basis: Basis::Probed, needs_device22, trail });
        }
        Conclusion::Unreachable(cause) => DetectError::Unreachable { address, cause },
        Conclusion::WrongKey(speaks) => DetectError::WrongKey { id, speaks },
        Conclusion::Busy => DetectError::Busy { address },
        Conclusion::Unclear => DetectError::Unclear { address },
        Conclusion::Downgrade { seen, proven } => DetectError::Downgrade { id, seen, proven },
        Conclusion::NotTuya => DetectError::NotTuya { address },
    })
}
