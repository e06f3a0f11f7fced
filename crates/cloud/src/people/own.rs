//! A tree of topics that belongs to this process: people read all of it, and write where it listens. What they write there
//! reaches this process and no other client, and is never retained.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

/// What a person's client published to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Topic, with the base.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// It was to be retained. It isn't.
    pub retain: bool,
}

/// A message of this process to people's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Topic.
    pub topic: String,
    /// Payload. An empty one that is retained takes back what was retained before.
    pub payload: Bytes,
    /// Kept for those who subscribe later.
    pub retain: bool,
    /// At least once; else at most once. Subscribers get it with the lower one of this and their own.
    pub at_least_once: bool,
}

/// Where a topic lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not in the tree.
    Elsewhere,
    /// In it, where this process listens.
    Heard,
    /// In it, where only this process publishes.
    Closed,
}

/// The tree, and the way of what people write in it.
#[derive(Debug)]
pub struct Tree {
    base: String,
    listens: fn(&str) -> bool,
    overheard: Option<String>,
    inbox: mpsc::Sender<Said>,
    dropped: AtomicU64,
}

/// Why a tree is not given, or a message is not taken.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The broker is not in this process.
    #[error("the broker is not in this process")]
    Elsewhere,
    /// Only one tree is given, once.
    #[error("a tree of topics was given already")]
    Taken,
    /// Such topics are the devices' or the broker's own.
    #[error("{0:?} belongs to devices or to the broker")]
    Forbidden(String),
    /// It does not run.
    #[error("the broker does not run: {0}")]
    Down(String),
}

impl Tree {
    /// The tree below `base`, with room for `size` messages. `listens` gets the rest of a topic, without the slash after
    /// the base.
    pub fn new(
        base: impl Into<String>,
        listens: fn(&str) -> bool,
        size: usize,
    ) -> (Self, mpsc::Receiver<Said>) {
        let (inbox, said) = mpsc::channel(size);
        (Self { base: base.into(), listens, overheard: None, inbox, dropped: AtomicU64::new(0) }, said)
    }

    /// The tree, and one topic of people's own elsewhere: what they publish there goes its way and is heard here too.
    #[must_use]
    pub fn overhearing(self, topic: Option<String>) -> Self {
        Self { overheard: topic, ..self }
    }

    /// Whether what people publish under this topic of their own is heard here too.
    pub fn overhears(&self, topic: &str) -> bool {
        self.overheard.as_deref() == Some(topic)
    }

    /// Where this topic lies.
    pub fn place(&self, topic: &str) -> Place {
        match topic.strip_prefix(&self.base) {
            Some("") => Place::Closed,
            Some(rest) => match rest.strip_prefix('/') {
                Some(rest) if (self.listens)(rest) => Place::Heard,
                Some(_) => Place::Closed,
                None => Place::Elsewhere,
            },
            None => Place::Elsewhere,
        }
    }

    /// Hands on what a person said. Never waits. `false` when too much waits; it is counted.
    pub fn hear(&self, said: Said) -> bool {
        let taken = self.inbox.try_send(said).is_ok();
        if !taken {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, base = self.base, "people's messages come faster than they are read");
            }
        }
        taken
    }

    /// Messages of people that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_what_lies_below_its_base() {
        let (tree, mut said) = Tree::new("landfall", |rest| rest.ends_with("/set"), 1);
        for (topic, place) in [
            ("landfall/lamp/set", Place::Heard),
            ("landfall/lamp", Place::Closed),
            ("landfall", Place::Closed),
            ("landfall/", Place::Closed),
            ("landfalls/lamp/set", Place::Elsewhere),
            ("home/landfall/lamp/set", Place::Elsewhere),
        ] {
            assert_eq!(tree.place(topic), place, "{topic}");
        }
        let one = Said { topic: "landfall/lamp/set".into(), payload: Bytes::new(), retain: false };
        assert!(tree.hear(one.clone()) && !tree.hear(one.clone()));
        let tree = tree.overhearing(Some("homeassistant/status".into()));
        assert_eq!(tree.place("homeassistant/status"), Place::Elsewhere);
        assert!(tree.overhears("homeassistant/status") && !tree.overhears("homeassistant"));
        assert_eq!((tree.dropped(), said.try_recv().ok()), (1, Some(one)));
    }
}
