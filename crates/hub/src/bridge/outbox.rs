//! What waits for the broker.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::transport::{Message, Qos};

/// Live values that may wait.
pub(super) const LIVE: usize = 4_096;
/// Answers, events and errors that may wait.
pub(super) const SAID: usize = 1_024;

/// Messages in the order of their first entry. Of each retained topic only the last one waits, so that a slow broker costs
/// as much memory as there are topics, and gets the newest state when it is fast again.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    order: VecDeque<Entry>,
    kept: HashMap<Arc<str>, Bytes>,
    passing: HashMap<Arc<str>, Bytes>,
    live: usize,
    said: usize,
    counts: Counts,
}

#[derive(Debug)]
enum Entry {
    /// Retained; its payload is in `kept`.
    Kept(Arc<str>),
    /// Seen once and not retained; its payload is in `passing`.
    Passing(Arc<str>),
    Live(String, Bytes),
    Said(String, Bytes),
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Live values.
    pub(super) live: u64,
    /// Answers, events and errors.
    pub(super) said: u64,
    /// Retained ones in whose place a newer one went. Nothing is lost by it.
    pub(super) overtaken: u64,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something to be kept by the broker; empty: to be kept no longer.
    pub(super) fn keep(&self, topic: String, payload: Bytes) {
        let mut inner = self.lock();
        if let Some(waiting) = inner.kept.get_mut(topic.as_str()) {
            *waiting = payload;
            inner.counts.overtaken += 1;
            return;
        }
        let topic: Arc<str> = topic.into();
        inner.kept.insert(Arc::clone(&topic), payload);
        inner.order.push_back(Entry::Kept(topic));
        drop(inner);
        self.ready.notify_one();
    }

    /// Something that is to be seen once on a topic whose retained message is another one. Of each topic only the last one waits.
    pub(super) fn pass(&self, topic: String, payload: Bytes) {
        let mut inner = self.lock();
        if let Some(waiting) = inner.passing.get_mut(topic.as_str()) {
            *waiting = payload;
            return;
        }
        let topic: Arc<str> = topic.into();
        inner.passing.insert(Arc::clone(&topic), payload);
        inner.order.push_back(Entry::Passing(topic));
        drop(inner);
        self.ready.notify_one();
    }

    /// A live value: about now or never.
    pub(super) fn live(&self, topic: String, payload: Bytes) {
        let mut inner = self.lock();
        if inner.live == LIVE {
            inner.counts.live += 1;
            let dropped = inner.counts.live;
            drop(inner);
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "the MQTT broker does not keep up; live values are left out");
            }
            return;
        }
        inner.live += 1;
        inner.order.push_back(Entry::Live(topic, payload));
        drop(inner);
        self.ready.notify_one();
    }

    /// An answer, an event, an error.
    pub(super) fn say(&self, topic: String, payload: Bytes) {
        let mut inner = self.lock();
        if inner.said == SAID {
            inner.counts.said += 1;
            let dropped = inner.counts.said;
            drop(inner);
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "the MQTT broker does not keep up; answers and events are left out");
            }
            return;
        }
        inner.said += 1;
        inner.order.push_back(Entry::Said(topic, payload));
        drop(inner);
        self.ready.notify_one();
    }

    fn take(&self) -> Option<Message> {
        let mut inner = self.lock();
        let message = |topic, payload, qos, retain| Message { topic, payload, qos, retain };
        Some(match inner.order.pop_front()? {
            Entry::Kept(topic) => {
                let payload = inner.kept.remove(&topic).unwrap_or_default();
                message(topic.to_string(), payload, Qos::AtLeastOnce, true)
            }
            Entry::Passing(topic) => {
                let payload = inner.passing.remove(&topic).unwrap_or_default();
                message(topic.to_string(), payload, Qos::AtLeastOnce, false)
            }
            Entry::Live(topic, payload) => {
                inner.live -= 1;
                message(topic, payload, Qos::AtMostOnce, false)
            }
            Entry::Said(topic, payload) => {
                inner.said -= 1;
                message(topic, payload, Qos::AtLeastOnce, false)
            }
        })
    }

    /// The next message; waits for it. For one reader. Cancel safe.
    pub(super) async fn next(&self) -> Message {
        loop {
            // A notification that comes before the wait is kept.
            if let Some(message) = self.take() {
                return message;
            }
            self.ready.notified().await;
        }
    }

    /// Forgets all that waits: the broker is gone, and gets everything anew when it is back.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.counts.live += inner.live as u64;
        inner.counts.said += inner.said as u64;
        (inner.live, inner.said) = (0, 0);
        inner.order.clear();
        inner.kept.clear();
        inner.passing.clear();
    }

    /// A message was handed over in vain.
    pub(super) fn lost(&self, message: &Message) {
        let mut inner = self.lock();
        match message.qos {
            // State comes anew with the next connection.
            _ if message.retain => {}
            Qos::AtMostOnce => inner.counts.live += 1,
            Qos::AtLeastOnce => inner.counts.said += 1,
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().order.len()
    }

    /// What was dropped so far.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &Message) -> (String, String, bool, Qos) {
        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
        (message.topic.clone(), payload, message.retain, message.qos)
    }

    #[tokio::test]
    async fn of_a_retained_topic_the_last_waits_at_the_place_of_the_first() {
        let outbox = Outbox::default();
        outbox.keep("a".into(), "1".into());
        outbox.live("a/dp/1".into(), "x".into());
        outbox.keep("b".into(), "1".into());
        for n in 2..=100_000 {
            outbox.keep("a".into(), n.to_string().into());
        }
        assert_eq!(outbox.waiting(), 3);
        assert_eq!(text(&outbox.next().await), ("a".into(), "100000".into(), true, Qos::AtLeastOnce));
        assert_eq!(text(&outbox.next().await), ("a/dp/1".into(), "x".into(), false, Qos::AtMostOnce));
        assert_eq!(text(&outbox.next().await), ("b".into(), "1".into(), true, Qos::AtLeastOnce));
        assert_eq!(outbox.counts(), Counts { overtaken: 99_999, ..Counts::default() });
        outbox.keep("a".into(), "again".into());
        assert_eq!(text(&outbox.next().await).1, "again");
    }

    #[tokio::test]
    async fn what_passes_is_seen_once_beside_what_is_kept() {
        let outbox = Outbox::default();
        outbox.pass("a".into(), "old".into());
        outbox.keep("b".into(), "1".into());
        outbox.keep("a".into(), "1".into());
        for _ in 0..100_000 {
            outbox.pass("a".into(), "passing".into());
        }
        assert_eq!(outbox.waiting(), 3);
        assert_eq!(text(&outbox.next().await), ("a".into(), "passing".into(), false, Qos::AtLeastOnce));
        assert_eq!(text(&outbox.next().await).0, "b");
        assert_eq!(text(&outbox.next().await), ("a".into(), "1".into(), true, Qos::AtLeastOnce));
    }

    #[tokio::test]
    async fn live_values_and_answers_are_bounded_apart_and_counted() {
        let outbox = Outbox::default();
        for n in 0..LIVE + 10 {
            outbox.live("t".into(), n.to_string().into());
        }
        for _ in 0..SAID + 3 {
            outbox.say("s".into(), "x".into());
        }
        assert_eq!(outbox.counts(), Counts { live: 10, said: 3, overtaken: 0 });
        assert_eq!(outbox.waiting(), LIVE + SAID);
        outbox.next().await;
        outbox.live("t".into(), "room again".into());
        assert_eq!(outbox.counts().live, 10);
        outbox.clear();
        assert_eq!((outbox.waiting(), outbox.counts().live), (0, 10 + LIVE as u64));
        outbox.say("s".into(), "after".into());
        assert_eq!(text(&outbox.next().await).1, "after");
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let outbox = Arc::new(Outbox::default());
        let reader = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.keep("a".into(), "1".into());
        assert_eq!(text(&reader.await.unwrap()).0, "a");
    }
}
