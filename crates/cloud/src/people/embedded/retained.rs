//! What the broker keeps for those who subscribe later.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use rmqtt::retain::{RetainStorage, RetainTree};
use rmqtt::topic::Topic as Levels;
use rmqtt::types::{Retain, TimedValue, TopicFilter, TopicName};
use tokio::sync::RwLock;

/// Retained messages of all. A thousand devices are twenty thousand of them when Home Assistant is told of each entity.
const RETAINED: usize = 50_000;
/// Their payloads in bytes.
const RETAINED_BYTES: usize = 64 * 1024 * 1024;

/// Retained messages in memory, bounded. (The storage that rmqtt brings keeps nothing.)
#[derive(Default)]
pub(super) struct Retained {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    tree: RetainTree<TimedValue<Retain>>,
    count: usize,
    bytes: usize,
    refused: u64,
}

impl Kept {
    fn remove(&mut self, topic: &Levels) {
        if let Some(old) = self.tree.remove(topic) {
            self.count = self.count.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(old.value().publish.payload.len());
        }
    }

    fn set(&mut self, topic: &Levels, retain: Retain, life: Option<Duration>) {
        self.remove(topic);
        let size = retain.publish.payload.len();
        if size == 0 {
            return;
        }
        if self.count >= RETAINED || self.bytes + size > RETAINED_BYTES {
            self.sweep();
        }
        if self.count >= RETAINED || self.bytes + size > RETAINED_BYTES {
            self.refused += 1;
            if self.refused.is_power_of_two() {
                let refused = self.refused;
                tracing::warn!(
                    refused,
                    "no room for more retained messages; they are passed on and not kept"
                );
            }
            return;
        }
        self.count += 1;
        self.bytes += size;
        self.tree.insert(topic, TimedValue::new(retain, life));
    }

    /// Forgets what has expired.
    fn sweep(&mut self) {
        let (mut count, mut bytes) = (0, 0);
        self.tree.retain(usize::MAX, |kept| {
            let keep = !kept.is_expired();
            if keep {
                count += 1;
                bytes += kept.value().publish.payload.len();
            }
            keep
        });
        (self.count, self.bytes) = (count, bytes);
    }
}

#[async_trait]
impl RetainStorage for Retained {
    fn enable(&self) -> bool {
        true
    }

    async fn set(&self, topic: &TopicName, retain: Retain, life: Option<Duration>) -> rmqtt::Result<()> {
        let topic = Levels::from_str(topic)?;
        self.kept.write().await.set(&topic, retain, life.filter(|life| !life.is_zero()));
        Ok(())
    }

    async fn get(&self, filter: &TopicFilter) -> rmqtt::Result<Vec<(TopicName, Retain)>> {
        let filter = Levels::from_str(filter)?;
        let kept = self.kept.read().await;
        let found = kept.tree.matches(&filter).into_iter().filter(|(_, kept)| !kept.is_expired());
        Ok(found.map(|(topic, kept)| (TopicName::from(topic.to_string()), kept.into_value())).collect())
    }

    async fn count(&self) -> isize {
        isize::try_from(self.kept.read().await.count).unwrap_or(isize::MAX)
    }

    async fn max(&self) -> isize {
        isize::try_from(RETAINED).unwrap_or(isize::MAX)
    }
}
