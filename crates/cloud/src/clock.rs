//! The clock of the cloud: monotonic and wall time from one place, which tokio's test clock moves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use landfall_proto::Now;
use tokio::time::Instant;

/// Both clocks, read together. Wall time follows the system's, so that a clock set by NTP after the start (a Raspberry
/// Pi has none of its own) is told to devices rightly; under a paused test clock it follows that one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// `None`: the system's clock. Otherwise: seconds since 1970 at `start`.
    fixed: Option<u64>,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self { start: Instant::now(), fixed: None }
    }

    /// A clock that shows `unix` now and goes on with tokio's clock, paused or not. For tests.
    pub fn starting_at(unix: u64) -> Self {
        Self { start: Instant::now(), fixed: Some(unix) }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now::new(self.start.elapsed(), self.unix())
    }

    /// Seconds since 1970-01-01 UTC.
    pub fn unix(&self) -> u64 {
        self.unix_ms() / 1_000
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn unix_ms(&self) -> u64 {
        let since = match self.fixed {
            Some(unix) => Duration::from_secs(unix).saturating_add(self.start.elapsed()),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
