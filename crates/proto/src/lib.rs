//! Tuya's wire protocols: bytes to meaning and back.
//!
//! Nothing in this crate opens a socket, reads a clock, rolls dice or awaits. Time and randomness come in as
//! arguments ([`Now`], [`Entropy`]), so that golden vectors replay bit by bit and two parties can be run
//! against each other on a virtual clock. `crates/cli/tests/architecture` holds the crate to it.

pub mod crypto;
pub mod dp;
pub mod gateway;
pub mod id;
pub mod json;
pub mod lan;
pub mod mqtt;
pub mod psk;
pub mod schema;
pub mod schema_text;

use core::time::Duration;

/// The two clocks a state machine needs, read by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Monotonic time since an epoch of the caller's choice. Deadlines are expressed on this clock.
    pub mono: Duration,
    /// Seconds since 1970-01-01 UTC, written into the `t` field of messages.
    pub unix: u64,
}

impl Now {
    /// A pair of readings.
    pub const fn new(mono: Duration, unix: u64) -> Self {
        Self { mono, unix }
    }
}

/// A source of random bytes, given by the caller: the operating system in the drivers, a script in the tests.
pub trait Entropy {
    /// Fills `out` with bytes that an outsider can't foresee.
    fn fill(&mut self, out: &mut [u8]);

    /// Four random bytes as a number.
    fn u32(&mut self) -> u32 {
        let mut b = [0; 4];
        self.fill(&mut b);
        u32::from_be_bytes(b)
    }
}

/// Which end of a conversation sent something, or which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The app, a hub, Landfall.
    Client,
    /// The plug, bulb, gateway...
    Device,
}

impl Role {
    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Device,
            Self::Device => Self::Client,
        }
    }
}
