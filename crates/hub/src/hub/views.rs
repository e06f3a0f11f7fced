//! How devices look now, for readers who never wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use landfall_proto::id::DeviceId;

use crate::model::DeviceView;

/// How devices look now. Written by the brain's task alone.
#[derive(Debug, Default)]
pub(super) struct Views(RwLock<Shown>);

#[derive(Debug, Default)]
struct Shown {
    by_id: HashMap<DeviceId, Arc<DeviceView>>,
    /// Ids by name, as the owner writes it.
    names: HashMap<String, DeviceId>,
}

impl Views {
    fn shown(&self) -> RwLockReadGuard<'_, Shown> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows other views; `None`: the device is gone.
    pub(super) fn show(&self, views: impl IntoIterator<Item = (DeviceId, Option<Arc<DeviceView>>)>) {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Shown { by_id, names } = &mut *shown;
        for (id, view) in views {
            let old = by_id.get(&id).map(|v| Arc::clone(&v.facts));
            let renamed = old.filter(|old| view.as_ref().is_none_or(|new| new.facts.name != old.name));
            // Two devices may have swapped their names meanwhile.
            if let Some(old) = renamed
                && names.get(&old.name) == Some(&id)
            {
                names.remove(&old.name);
            }
            match view {
                Some(view) => {
                    if names.get(&view.facts.name) != Some(&id) {
                        names.insert(view.facts.name.clone(), id.clone());
                    }
                    by_id.insert(id, view);
                }
                None => {
                    by_id.remove(&id);
                }
            }
        }
    }

    /// All, by name.
    pub(super) fn all(&self) -> Vec<Arc<DeviceView>> {
        let mut all: Vec<_> = self.shown().by_id.values().cloned().collect();
        all.sort_by_cached_key(|v| (v.facts.name.to_lowercase(), v.facts.id.clone()));
        all
    }

    /// One.
    pub(super) fn by_id(&self, id: &DeviceId) -> Option<Arc<DeviceView>> {
        self.shown().by_id.get(id).cloned()
    }

    /// One by id or name, spelled exactly.
    pub(super) fn exactly(&self, asked: &str) -> Option<Arc<DeviceView>> {
        let shown = self.shown();
        let id = DeviceId::new(asked).ok().filter(|id| shown.by_id.contains_key(id));
        let id = id.or_else(|| shown.names.get(asked).cloned())?;
        shown.by_id.get(&id).cloned()
    }

    /// How many there are, and how many of them can be had.
    pub(super) fn count(&self) -> (usize, usize) {
        let shown = self.shown();
        (shown.by_id.len(), shown.by_id.values().filter(|v| v.presence.available()).count())
    }
}
