//! Finds out which protocol version a device speaks (lan.md 5.7): the owner's setting, the device's own word, probing.

use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;

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
        cause: String,
    },
    /// The device speaks an old version but under another key (lan.md 3.4).
    #[error("the local key of {id} is wrong: the device speaks 3.2 or 3.3 under another key")]
    WrongKey {
        /// Which device.
        id: DeviceId,
    },
    /// It accepts connections and closes each at once: another client holds its only session, or it hangs.
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
    /// A result is remembered this long and given to the next caller without a connection.
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

/// Detects versions, one detection of a device at a time, with a memory. One per process; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    options: DetectOptions,
}

impl Detector {
    /// A detector with these times.
    pub fn new(options: DetectOptions) -> Self {
        Self { options }
    }

    /// Finds the version of a device. At most five connections, one after another. A second call for the same device
    /// waits for the first and gets its result.
    ///
    /// # Errors
    /// See [`DetectError`].
    pub async fn detect(&self, subject: &Subject) -> Result<Detection, DetectError> {
        let _ = (subject, self.options);
        todo!()
    }
}
