//! When devices want a tick. Cheap for thousands: the earliest comes first, nothing is scanned.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::id::DeviceId;

/// Devices by the time of their next tick.
#[derive(Debug, Default)]
pub(super) struct Wake(BTreeSet<(Duration, Arc<DeviceId>)>);

impl Wake {
    /// Makes sure that the device is woken by `due`. `set` is what it was put down for: an earlier time stays, because a tick
    /// too many is cheaper than moving the entry with each report.
    pub(super) fn by(&mut self, device: &Arc<DeviceId>, set: &mut Option<Duration>, due: Option<Duration>) {
        let Some(due) = due else { return };
        match *set {
            Some(at) if at <= due => {}
            earlier => {
                if let Some(at) = earlier {
                    self.0.remove(&(at, Arc::clone(device)));
                }
                self.0.insert((due, Arc::clone(device)));
                *set = Some(due);
            }
        }
    }

    /// Takes a device out.
    pub(super) fn forget(&mut self, device: &Arc<DeviceId>, set: &mut Option<Duration>) {
        if let Some(at) = set.take() {
            self.0.remove(&(at, Arc::clone(device)));
        }
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the first device whose time has come. Its entry is gone; the device must be told.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Arc<DeviceId>> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, device)| device)
    }
}
