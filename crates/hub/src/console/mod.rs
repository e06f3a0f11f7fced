//! The protocol console: what devices and hub say to each other, out of its envelopes and without secrets.
//!
//! It costs an atomic load a frame while nobody looks. Who looks and is too slow misses some, and is told how many.

mod hide;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use landfall_cloud::tap::{Direction, Tapped};
use landfall_link::tap::{Frame as LanFrame, Going, Told};
use landfall_proto::id::DeviceId;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::model::Line;
use hide::Secrets;

/// Frames that wait for a reader.
const WAITING: usize = 512;

/// What has to be hidden wherever it stands: the secrets of a device, by what it calls itself.
pub trait Keeper: Send + Sync {
    /// All of them, as text.
    fn secrets(&self, who: &str) -> Vec<String>;
}

/// A frame or message, decoded, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Device id; else what it calls itself, or its address.
    pub device: String,
    /// `lan`, `cloud`.
    pub line: &'static str,
    /// `in` from the device, `out` to it.
    pub direction: &'static str,
    /// What: `CONTROL 7`, `MQTT 2.2 protocol 4`, `HTTP tuya.device.active`.
    pub what: String,
    /// Its number, where it has one.
    pub seq: Option<u64>,
    /// Bytes of what it says.
    pub bytes: usize,
    /// What it says: JSON, or text.
    pub body: Value,
}

/// Clones are the same console.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    readers: AtomicUsize,
    frames: broadcast::Sender<Arc<Frame>>,
    keeper: Box<dyn Keeper>,
    now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("readers", &self.0.readers).finish_non_exhaustive()
    }
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A frame.
    Frame(Arc<Frame>),
    /// So many were missed.
    Lost(u64),
}

/// Somebody who looks, until it is dropped.
#[derive(Debug)]
pub struct Reader {
    frames: broadcast::Receiver<Arc<Frame>>,
    console: Console,
}

impl Reader {
    /// The next frame; `None` when there will be none. Cancel safe.
    pub async fn next(&mut self) -> Option<Seen> {
        match self.frames.recv().await {
            Ok(frame) => Some(Seen::Frame(frame)),
            Err(broadcast::error::RecvError::Lagged(n)) => Some(Seen::Lost(n)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.console.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Console {
    /// Nobody looks yet. `now_ms`: the clock, milliseconds since 1970.
    pub fn new(keeper: impl Keeper + 'static, now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            readers: AtomicUsize::new(0),
            frames: broadcast::Sender::new(WAITING),
            keeper: Box::new(keeper),
            now_ms: Box::new(now_ms),
        }))
    }

    /// What is said from now on.
    pub fn read(&self) -> Reader {
        let reader = Reader { frames: self.0.frames.subscribe(), console: self.clone() };
        self.0.readers.fetch_add(1, Ordering::Relaxed);
        reader
    }

    fn is_read(&self) -> bool {
        self.0.readers.load(Ordering::Relaxed) > 0
    }

    /// Shows a frame to all who look.
    fn show(&self, mut frame: Frame, body: &[u8]) {
        frame.body = Secrets::new(self.0.keeper.secrets(&frame.device)).hide(body);
        // Whoever looked may have gone in this moment.
        let _nobody = self.0.frames.send(Arc::new(frame));
    }
}

impl landfall_link::Tap for Console {
    fn wanted(&self) -> bool {
        self.is_read()
    }

    fn frame(&self, device: &DeviceId, frame: &LanFrame<'_>) {
        let number = frame.command.0;
        let what =
            frame.command.name().map_or_else(|| format!("command {number}"), |n| format!("{n} {number}"));
        let direction = match frame.going {
            Going::In => "in",
            Going::Out => "out",
        };
        let mut shown = Frame {
            at_ms: (self.0.now_ms)(),
            device: device.to_string(),
            line: Line::Lan.word(),
            direction,
            what,
            seq: Some(frame.sequence.into()),
            bytes: frame.bytes,
            body: Value::Null,
        };
        if let Some(code) = frame.retcode.filter(|code| *code != 0) {
            shown
                .what
                .push_str(&format!(", return code {}", landfall_proto::lan::codec::readable_retcode(code)));
        }
        let said = match frame.told {
            Told::Body(body) => return self.show(shown, body),
            Told::Negotiation => "(hidden: keys are made of it)",
            Told::Unreadable => "(not under the local key)",
        };
        shown.body = Value::from(said);
        let _nobody = self.0.frames.send(Arc::new(shown));
    }
}

impl landfall_cloud::tap::Tap for Console {
    fn wanted(&self) -> bool {
        self.is_read()
    }

    fn said(&self, tapped: Tapped) {
        let Tapped { who, direction, what, sequence, bytes, body } = tapped;
        let direction = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let frame = Frame {
            at_ms: (self.0.now_ms)(),
            device: who,
            line: Line::Cloud.word(),
            direction,
            what,
            seq: sequence,
            bytes,
            body: Value::Null,
        };
        self.show(frame, &body);
    }
}

#[cfg(test)]
mod tests {
    use landfall_cloud::tap::Tap as _;

    use super::*;

    struct Nothing;

    impl Keeper for Nothing {
        fn secrets(&self, _: &str) -> Vec<String> {
            Vec::new()
        }
    }

    fn said(n: u64) -> Tapped {
        Tapped {
            who: "bf01".into(),
            direction: Direction::In,
            what: "MQTT 2.2 protocol 4".into(),
            sequence: Some(n),
            bytes: 9,
            body: b"{\"n\":1}".to_vec(),
        }
    }

    #[tokio::test]
    async fn it_is_wanted_only_while_somebody_looks() {
        let console = Console::new(Nothing, || 7);
        assert!(!landfall_cloud::tap::Tap::wanted(&console));
        let mut one = console.read();
        let two = console.read();
        drop(two);
        assert!(landfall_cloud::tap::Tap::wanted(&console));
        console.said(said(1));
        let Some(Seen::Frame(frame)) = one.next().await else { panic!("a frame") };
        assert_eq!((frame.at_ms, frame.seq, &frame.body), (7, Some(1), &serde_json::json!({"n": 1})));
        drop(one);
        assert!(!landfall_cloud::tap::Tap::wanted(&console));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_missed() {
        let console = Console::new(Nothing, || 7);
        let mut reader = console.read();
        for n in 0..WAITING as u64 + 10 {
            console.said(said(n));
        }
        assert_eq!(reader.next().await, Some(Seen::Lost(10)));
        let Some(Seen::Frame(frame)) = reader.next().await else { panic!("a frame") };
        assert_eq!(frame.seq, Some(10));
    }
}
