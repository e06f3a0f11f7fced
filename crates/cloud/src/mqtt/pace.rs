//! How many messages a device may send: a token bucket as one point in time.

use std::time::Duration;

use tokio::time::Instant;

/// Time over which the rate is an average: so much of a burst is let through at once.
const AVERAGE: Duration = Duration::from_secs(10);

/// What a device does at its present pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nothing to object to.
    Fine,
    /// Too fast: read on at this time only.
    Wait(Instant),
    /// It has not slowed down for the time of one average although it was made to wait.
    TooMuch,
}

/// The bucket of one connection.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Time that one message takes.
    each: Duration,
    /// When all messages so far would have been sent at the allowed rate.
    spent: Instant,
    /// Since when it is made to wait again and again.
    waiting: Option<Instant>,
}

impl Bucket {
    /// A full bucket for this many messages a second.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { each: Duration::from_secs(1) / per_second.max(1), spent: now, waiting: None }
    }

    /// A message came.
    pub(super) fn take(&mut self, now: Instant) {
        self.spent = self.spent.max(now) + self.each;
    }

    /// Whether to read on.
    pub(super) fn judge(&mut self, now: Instant) -> Pace {
        let ahead = self.spent.saturating_duration_since(now);
        if ahead <= AVERAGE / 2 {
            self.waiting = None;
        }
        if ahead <= AVERAGE {
            return Pace::Fine;
        }
        let since = *self.waiting.get_or_insert(now);
        if now.saturating_duration_since(since) >= AVERAGE {
            return Pace::TooMuch;
        }
        Pace::Wait(now + (ahead - AVERAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_then_it_waits_then_it_is_too_much() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..100 {
            bucket.take(start);
            assert_eq!(bucket.judge(start), Pace::Fine);
        }
        bucket.take(start);
        assert_eq!(bucket.judge(start), Pace::Wait(start + Duration::from_millis(100)));
        // At the allowed rate it stays just so, and is cut after the time of an average.
        let mut now = start;
        let mut waited = 0;
        loop {
            now += Duration::from_millis(100);
            bucket.take(now);
            match bucket.judge(now) {
                Pace::Wait(_) => waited += 1,
                Pace::TooMuch => break,
                Pace::Fine => panic!("it is faster than allowed"),
            }
        }
        assert_eq!(waited, 99);
    }

    #[tokio::test(start_paused = true)]
    async fn who_slows_down_is_forgiven() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..101 {
            bucket.take(start);
        }
        assert!(matches!(bucket.judge(start), Pace::Wait(_)));
        let later = start + Duration::from_secs(6);
        assert_eq!((bucket.judge(later), bucket.waiting), (Pace::Fine, None));
        assert_eq!(Bucket::new(0, start).each, Duration::from_secs(1));
    }
}
