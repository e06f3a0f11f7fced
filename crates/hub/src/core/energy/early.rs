//! Reports that come before it is known what the points of their device mean.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::Dps;

use super::Heard;
use crate::core::Moment;
use crate::model::{Line, Origin};

/// Far longer than it takes to learn what points mean from what the device shows. A meaning that an owner gives them later is for
/// what comes then.
const YOUNG: Duration = Duration::from_secs(10);
/// A device shows itself in a few messages.
const MOST: usize = 16;

/// The last few reports of a device that is not known to measure energy, for the account that may begin with them: an increment is
/// told once.
#[derive(Debug, Default)]
pub(in crate::core) struct Early(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    line: Line,
    origin: Origin,
    dps: Arc<Dps>,
    device_ms: Option<u64>,
    up: [bool; 2],
    now: Moment,
}

impl Early {
    /// Keeps a report; the oldest makes room.
    pub(in crate::core) fn keep(&mut self, heard: Heard<'_>, dps: &Arc<Dps>) {
        let Heard { line, origin, device_ms, up, now, .. } = heard;
        self.0.retain(|w| w.is_young(now.mono));
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Waiting { line, origin, dps: Arc::clone(dps), device_ms, up, now });
    }

    /// What was kept and is still young, in the order in which it came, and each at its time.
    pub(in crate::core) fn replay(&mut self, now: Moment, mut hear: impl FnMut(Heard<'_>)) {
        for w in self.0.drain(..).filter(|w| w.is_young(now.mono)) {
            let Waiting { line, origin, dps, device_ms, up, now } = w;
            hear(Heard { line, origin, dps: &dps, device_ms, up, now });
        }
    }
}

impl Waiting {
    fn is_young(&self, now: Duration) -> bool {
        now.saturating_sub(self.now.mono) <= YOUNG
    }
}
