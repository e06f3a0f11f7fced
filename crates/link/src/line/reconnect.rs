//! When to try again (lan.md 5.2).

use std::time::Duration;

use landfall_proto::Entropy;
use landfall_proto::lan::session::CloseReason;

use crate::state::Failure;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);
/// A session this long proves that connecting works: the next failure starts again at [`FIRST`].
const STABLE: Duration = Duration::from_secs(60);
/// The device's slot is taken by another program.
const BUSY: Duration = Duration::from_secs(30);
/// A device that closes within this time of accepting did not look at what we sent: vendor code takes 1 to 2 s to give up
/// on a key (lan.md 4.5).
const AT_ONCE: Duration = Duration::from_millis(500);
/// Suspicious tries in a row before we stop.
const TRIES: u8 = 3;
/// How long we stop.
pub(super) const STOPPED: Duration = Duration::from_secs(15 * 60);
/// Beacons trigger at most one try in this time.
const BEACON_GAP: Duration = Duration::from_secs(5);
/// Zero session keys in a row that are answered by connecting again at once; chance gives three in 2^24.
const ZERO_KEYS: u8 = 3;
/// At most one detection of the version in this time.
pub(super) const DETECTION_GAP: Duration = Duration::from_secs(60);

/// What to do after a failure.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    AtOnce,
    After { delay: Duration, failure: Failure, busy: bool },
    Stop(Failure),
}

#[derive(Debug, Default)]
pub(super) struct Reconnect {
    attempt: u8,
    suspicious: u8,
    zero_keys: u8,
    /// Key and version were proven right by a session once.
    proven: bool,
    last_beacon_try: Option<Duration>,
}

impl Reconnect {
    /// The device's frames verified: key and version are right.
    pub(super) fn proven(&mut self) {
        self.proven = true;
        self.suspicious = 0;
        self.zero_keys = 0;
    }

    /// Key and version were proven right once.
    pub(super) fn was_proven(&self) -> bool {
        self.proven
    }

    /// The owner gave other data: everything starts anew.
    pub(super) fn forget(&mut self) {
        *self = Self { last_beacon_try: self.last_beacon_try, ..Self::default() };
    }

    /// Whether a beacon may trigger a try now; if so, it is counted.
    pub(super) fn beacon(&mut self, now: Duration) -> bool {
        let may = self.last_beacon_try.is_none_or(|last| now >= last + BEACON_GAP);
        if may {
            self.last_beacon_try = Some(now);
        }
        may
    }

    fn backoff(&mut self, entropy: &mut dyn Entropy) -> Duration {
        let most = FIRST.saturating_mul(1 << self.attempt.min(6)).min(LAST);
        self.attempt = self.attempt.saturating_add(1);
        jitter(most, entropy)
    }

    pub(super) fn failed(&mut self, failure: Failure, entropy: &mut dyn Entropy) -> Verdict {
        Verdict::After { delay: self.backoff(entropy), failure, busy: false }
    }

    /// A session ended after `lived`, of which it was ready for `ready`.
    pub(super) fn ended(
        &mut self,
        reason: CloseReason,
        lived: Duration,
        ready: Option<Duration>,
        entropy: &mut dyn Entropy,
    ) -> Verdict {
        if ready.is_some_and(|for_how_long| for_how_long >= STABLE) {
            self.attempt = 0;
        }
        match reason {
            CloseReason::ZeroKey if self.zero_keys < ZERO_KEYS => {
                self.zero_keys += 1;
                Verdict::AtOnce
            }
            CloseReason::ClosedEarly => {
                let at_once = lived < AT_ONCE;
                // A device that took our key before and closes at once is busy; one that never did may dislike the key.
                if (!at_once || !self.proven) && self.suspect() {
                    return self.stop(reason);
                }
                let failure = if at_once { Failure::Busy } else { Failure::Session(reason) };
                Verdict::After { delay: BUSY + jitter(BUSY / 2, entropy), failure, busy: true }
            }
            CloseReason::WrongKey
            | CloseReason::NegotiationSilent
            | CloseReason::Negotiation(_)
            | CloseReason::WrongVersion { .. } => {
                if self.suspect() {
                    return self.stop(reason);
                }
                self.failed(Failure::Session(reason), entropy)
            }
            reason => self.failed(Failure::Session(reason), entropy),
        }
    }

    fn suspect(&mut self) -> bool {
        self.suspicious = self.suspicious.saturating_add(1);
        self.suspicious >= TRIES
    }

    fn stop(&self, reason: CloseReason) -> Verdict {
        Verdict::Stop(match reason {
            reason @ CloseReason::WrongVersion { .. } => Failure::Session(reason),
            last => Failure::KeySuspected { tries: self.suspicious, last },
        })
    }
}

/// Evenly between nothing and `most`: many devices that lost their connection together must not come back together.
fn jitter(most: Duration, entropy: &mut dyn Entropy) -> Duration {
    let part = u64::from(entropy.u32());
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(nanos) * u128::from(part)) >> 32) as u64)
}
