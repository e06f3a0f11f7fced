//! When an address was last tried with a key, so that devices are not worn out (lan.md 6.5).

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_proto::id::DeviceId;
use tokio::time::Instant;

/// Shortest time between two tries of the same address: failed ones occupy the device's slots (lan.md 6.5).
pub const TRY_EVERY: Duration = Duration::from_secs(60);
/// A key that did not open a device is tried again after this long: the device may have been busy (lan.md 5.2).
const FORGET: Duration = Duration::from_secs(15 * 60);
/// Most addresses remembered.
const ROOM: usize = 4096;

/// Which keys were tried on which address, and when. Clones are the same memory: share one between the scans of a
/// process.
#[derive(Clone, Debug, Default)]
pub struct ProbeMemory(Arc<Mutex<HashMap<SocketAddr, Tried>>>);

#[derive(Debug)]
struct Tried {
    last: Instant,
    /// Owners of the keys that did not open it.
    keys: HashSet<DeviceId>,
}

/// Leave to try a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Go on; the try is remembered already.
    Now,
    /// Not before this time.
    At(Instant),
    /// This key was tried a short while ago.
    Tried,
}

impl ProbeMemory {
    /// Asks for leave to try the key of `owner` on an address.
    pub(crate) fn claim(&self, address: SocketAddr, owner: &DeviceId, now: Instant) -> Leave {
        let mut all = self.lock();
        all.retain(|_, t| now.saturating_duration_since(t.last) < FORGET);
        if let Some(tried) = all.get_mut(&address) {
            if tried.keys.contains(owner) {
                return Leave::Tried;
            }
            let free = tried.last + TRY_EVERY;
            if free > now {
                return Leave::At(free);
            }
            tried.last = now;
            tried.keys.insert(owner.clone());
            return Leave::Now;
        }
        if all.len() >= ROOM {
            // Forgetting the oldest only means that it may be tried once more.
            if let Some(oldest) = all.iter().min_by_key(|(_, t)| t.last).map(|(a, _)| *a) {
                all.remove(&oldest);
            }
        }
        all.insert(address, Tried { last: now, keys: HashSet::from([owner.clone()]) });
        Leave::Now
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Tried>> {
        // A panic elsewhere leaves the table whole: every change is one insertion.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> DeviceId {
        DeviceId::new(format!("device{n}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_try_per_address_and_minute_and_each_key_once() {
        let memory = ProbeMemory::default();
        let here: SocketAddr = "192.168.1.5:6668".parse().unwrap();
        let there: SocketAddr = "192.168.1.6:6668".parse().unwrap();
        let start = Instant::now();
        assert_eq!(memory.claim(here, &id(1), start), Leave::Now);
        assert_eq!(memory.claim(there, &id(1), start), Leave::Now);
        // Clones are the same memory.
        assert_eq!(memory.clone().claim(here, &id(2), start), Leave::At(start + TRY_EVERY));
        assert_eq!(memory.claim(here, &id(2), start + TRY_EVERY), Leave::Now);
        assert_eq!(memory.claim(here, &id(1), start + 3 * TRY_EVERY), Leave::Tried);
        assert_eq!(memory.claim(here, &id(1), start + TRY_EVERY + FORGET), Leave::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded() {
        let memory = ProbeMemory::default();
        let now = Instant::now();
        for n in 0..ROOM + 10 {
            let address = SocketAddr::from(([10, 0, (n / 256) as u8, (n % 256) as u8], 6668));
            let _ = memory.claim(address, &id(1), now + Duration::from_millis(n as u64 % 50_000));
        }
        assert!(memory.lock().len() <= ROOM);
    }
}
