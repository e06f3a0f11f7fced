//! A broker in memory: retained messages, wills, several clients, a link that breaks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::sync::{Notify, mpsc, watch};

use crate::bridge::transport::{Connection, Link, Lost, Message, Qos, Transport};

/// The broker. It writes down all that is published.
#[derive(Default)]
pub(super) struct MemoryBroker {
    state: Mutex<State>,
    published: Notify,
}

#[derive(Default)]
struct State {
    retained: BTreeMap<String, Message>,
    log: Vec<Message>,
    clients: BTreeMap<u64, Client>,
    next: u64,
}

struct Client {
    filters: Vec<String>,
    inbox: mpsc::UnboundedSender<Message>,
    will: Message,
}

impl MemoryBroker {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody's message.
    pub(super) fn say(&self, topic: &str, payload: &str, retain: bool) {
        let message = Message {
            topic: topic.into(),
            payload: payload.to_owned().into(),
            qos: Qos::AtLeastOnce,
            retain,
        };
        self.take(message);
    }

    fn take(&self, message: Message) {
        let mut state = self.lock();
        if message.retain {
            if message.payload.is_empty() {
                state.retained.remove(&message.topic);
            } else {
                state.retained.insert(message.topic.clone(), message.clone());
            }
        }
        for client in state.clients.values() {
            if client.filters.iter().any(|filter| matches(filter, &message.topic)) {
                // The client may be gone.
                let _gone = client.inbox.send(Message { retain: false, ..message.clone() }).is_err();
            }
        }
        state.log.push(message);
        drop(state);
        self.published.notify_waiters();
    }

    /// What is kept on a topic.
    pub(super) fn kept(&self, topic: &str) -> Option<String> {
        self.lock().retained.get(topic).map(|m| String::from_utf8(m.payload.to_vec()).unwrap())
    }

    /// All that is kept.
    pub(super) fn all_kept(&self) -> BTreeMap<String, String> {
        let text = |m: &Message| String::from_utf8(m.payload.to_vec()).unwrap();
        self.lock().retained.iter().map(|(topic, m)| (topic.clone(), text(m))).collect()
    }

    /// All that was published on a topic, and whether it was to be kept.
    pub(super) fn said(&self, topic: &str) -> Vec<(String, bool)> {
        let text = |m: &Message| (String::from_utf8(m.payload.to_vec()).unwrap(), m.retain);
        self.lock().log.iter().filter(|m| m.topic == topic).map(text).collect()
    }

    /// The topics of all that was published, in order.
    pub(super) fn order(&self) -> Vec<String> {
        self.lock().log.iter().map(|m| m.topic.clone()).collect()
    }

    /// Forgets what was published, not what is kept.
    pub(super) fn forget(&self) {
        self.lock().log.clear();
    }

    /// Waits until it has come so far.
    pub(super) async fn until(&self, what: &str, so_far: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            loop {
                let more = self.published.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if so_far(self) {
                    return;
                }
                more.await;
            }
        });
        if waited.await.is_err() {
            panic!("never: {what}; there is {:#?}", self.lock().log);
        }
    }

    /// A client. `will` is published when [`MemoryTransport::cut`] breaks it off.
    pub(super) fn client(self: &Arc<Self>, will: Message) -> (Arc<MemoryTransport>, Connection) {
        let (inbox, heard) = mpsc::unbounded_channel();
        let id = {
            let mut state = self.lock();
            state.next += 1;
            let id = state.next;
            state.clients.insert(id, Client { filters: Vec::new(), inbox, will });
            id
        };
        let link = watch::Sender::new(Link::Up(1));
        let transport =
            Arc::new(MemoryTransport { broker: Arc::clone(self), id, link, epoch: AtomicU64::new(1) });
        let incoming = unfold(heard, |mut heard| async move { Some((heard.recv().await?, heard)) });
        (Arc::clone(&transport), Connection { transport, incoming: incoming.boxed() })
    }
}

/// A client of the broker.
pub(super) struct MemoryTransport {
    broker: Arc<MemoryBroker>,
    id: u64,
    link: watch::Sender<Link>,
    epoch: AtomicU64,
}

impl MemoryTransport {
    /// Breaks the connection: the broker publishes the will.
    pub(super) fn cut(&self) {
        self.link.send_replace(Link::Down { why: Some("cut".into()) });
        let will = {
            let mut state = self.broker.lock();
            let client = state.clients.get_mut(&self.id).unwrap();
            client.filters.clear();
            client.will.clone()
        };
        self.broker.take(will);
    }

    /// Breaks it as a broker's power cut does: without a will.
    pub(super) fn cut_silently(&self) {
        self.link.send_replace(Link::Down { why: Some("cut".into()) });
        self.broker.lock().clients.get_mut(&self.id).unwrap().filters.clear();
    }

    /// Connects again.
    pub(super) fn mend(&self) {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        self.link.send_replace(Link::Up(epoch));
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn shared(&self) -> bool {
        true
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn publish(&self, message: Message) -> Result<(), Lost> {
        if !matches!(*self.link.borrow(), Link::Up(_)) {
            return Err(Lost);
        }
        self.broker.take(message);
        Ok(())
    }

    async fn subscribe(&self, filters: Vec<String>) -> Result<(), Lost> {
        let mut state = self.broker.lock();
        for filter in filters {
            let kept: Vec<_> =
                state.retained.values().filter(|m| matches(&filter, &m.topic)).cloned().collect();
            let client = state.clients.get_mut(&self.id).unwrap();
            for message in kept {
                let _gone = client.inbox.send(message).is_err();
            }
            client.filters.push(filter);
        }
        Ok(())
    }

    async fn unsubscribe(&self, filters: Vec<String>) -> Result<(), Lost> {
        let mut state = self.broker.lock();
        let client = state.clients.get_mut(&self.id).unwrap();
        client.filters.retain(|filter| !filters.contains(filter));
        Ok(())
    }

    fn dropped(&self) -> u64 {
        0
    }

    async fn close(&self, farewell: Vec<Message>) {
        for message in farewell {
            self.broker.take(message);
        }
        self.broker.lock().clients.remove(&self.id);
        self.link.send_replace(Link::Down { why: None });
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut f, mut t) = (filter.split('/'), topic.split('/'));
    loop {
        match (f.next(), t.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}
