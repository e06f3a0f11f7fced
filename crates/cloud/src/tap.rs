//! A look at what devices and cloud say to each other, in clear: for a console.
//!
//! Nothing is made ready while nobody looks. What is told holds keys and tokens: whoever shows it to people hides them.

use std::fmt;

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device.
    In,
    /// To the device.
    Out,
}

/// Something that was said, out of its envelope. `Debug` shows no body.
#[derive(Clone, PartialEq, Eq)]
pub struct Tapped {
    /// Who: the device's id, else what it calls itself, else its address.
    pub who: String,
    /// Which way.
    pub direction: Direction,
    /// What: `MQTT 2.2 protocol 4`, `HTTP tuya.device.active`.
    pub what: String,
    /// Its number, where it has one.
    pub sequence: Option<u64>,
    /// Bytes on the wire, as far as they are of this.
    pub bytes: usize,
    /// What it says: JSON, or text; secrets are in it. Empty when it says nothing, or can't be read.
    pub body: Vec<u8>,
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tapped")
            .field("who", &self.who)
            .field("direction", &self.direction)
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

/// Whoever looks. Called from the servers' tasks: it must not wait.
pub trait Tap: Send + Sync {
    /// Whether anybody looks now.
    fn wanted(&self) -> bool;

    /// Takes something that was said.
    fn said(&self, tapped: Tapped);
}
