//! What devices do, for one reader who must know when it missed anything: the hub.
//!
//! Watchers share a channel in which a slow one loses what it did not read ([`Shared::events`](crate::shared::Shared)).
//! The feed has a queue of its own, holds nobody up, and counts what did not fit. What strangers do never comes in; what the owner does with
//! windows for activations does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::event::{Event, What};

/// The reader's end.
#[derive(Debug)]
pub struct Feed {
    events: mpsc::Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl Feed {
    /// The next event; `None` once another reader has taken this one's place, or the cloud is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How many events did not fit so far. An event that was dropped shows here before the next event is read.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }
}

/// The cloud's end.
#[derive(Debug, Default)]
pub(crate) struct Feeder(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    events: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Feeder {
    fn open_one(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A feed, in place of the one before.
    pub(crate) fn open(&self, capacity: usize) -> Feed {
        let (sender, events) = mpsc::channel(capacity.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        *self.open_one() = Some(Open { events: sender, dropped: Arc::clone(&dropped) });
        Feed { events, dropped }
    }

    /// Whether anybody reads.
    pub(crate) fn is_open(&self) -> bool {
        self.open_one().is_some()
    }

    /// Never waits.
    pub(crate) fn give(&self, event: &Event) {
        let of_owner = matches!(event.what, What::WindowOpened { .. } | What::WindowsClosed);
        if (event.device.is_none() && !of_owner) || matches!(event.what, What::Refusal { .. }) {
            return;
        }
        let mut open = self.open_one();
        let Some(Open { events, dropped }) = &*open else { return };
        match events.try_send(event.clone()) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                dropped.fetch_add(1, Ordering::Release);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => *open = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::id::DeviceId;

    use super::*;

    fn event(reports: u64) -> Event {
        let device = Some(DeviceId::new("bf01").unwrap());
        Event { at_ms: reports, device, name: None, peer: None, what: What::Lost { reports } }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_nobody_waits() {
        let feeder = Feeder::default();
        feeder.give(&event(0));
        let mut feed = feeder.open(2);
        for n in 1..=5 {
            feeder.give(&event(n));
        }
        assert_eq!(feed.next().await.unwrap().at_ms, 1);
        assert_eq!(feed.dropped(), 3);
        feeder.give(&event(6));
        assert_eq!(feed.next().await.unwrap().at_ms, 2);
        assert_eq!(feed.next().await.unwrap().at_ms, 6);
    }

    #[tokio::test]
    async fn strangers_and_refusals_do_not_come_in() {
        let feeder = Feeder::default();
        let mut feed = feeder.open(8);
        feeder.give(&Event { device: None, ..event(1) });
        let refused = What::Refusal { code: "mqtt.rate", why: "too much".to_owned() };
        feeder.give(&Event { what: refused, ..event(2) });
        feeder.give(&event(3));
        assert_eq!(feed.next().await.unwrap().at_ms, 3);
    }

    #[tokio::test]
    async fn another_reader_takes_the_place() {
        let feeder = Feeder::default();
        let mut first = feeder.open(8);
        let mut second = feeder.open(8);
        feeder.give(&event(1));
        assert!(first.next().await.is_none());
        assert_eq!(second.next().await.unwrap().at_ms, 1);
        drop(second);
        feeder.give(&event(2));
        assert!(!feeder.is_open());
    }
}
