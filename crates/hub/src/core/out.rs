//! What one call of the brain gives out.

use std::sync::Arc;

use landfall_proto::id::DeviceId;

use super::energy::Calendar;
use super::{Effect, Moment, Settings};
use crate::model::{Change, Seq, What};

/// Changes and other effects on their way out; the counter of changes.
#[derive(Debug)]
pub(super) struct Out {
    last: Seq,
    changes: Vec<Arc<Change>>,
    acts: Vec<Effect>,
}

impl Out {
    pub(super) fn new(last: Seq) -> Self {
        Self { last, changes: Vec::new(), acts: Vec::new() }
    }

    /// Something to be done after the changes were told.
    pub(super) fn act(&mut self, effect: Effect) {
        self.acts.push(effect);
    }

    /// Gives the changes out.
    pub(super) fn tell(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.changes.drain(..).map(Effect::Publish));
    }

    /// Gives out what is to be done.
    pub(super) fn finish(&mut self, effects: &mut Vec<Effect>) {
        self.tell(effects);
        effects.append(&mut self.acts);
    }

    /// Numbers a change.
    pub(super) fn change(&mut self, now: Moment, device: Option<Arc<DeviceId>>, what: What) -> Seq {
        self.last = Seq(self.last.0 + 1);
        self.changes.push(Arc::new(Change { seq: self.last, at_ms: now.unix_ms, device, what }));
        self.last
    }
}

/// What a device is given along with what happened.
pub(super) struct Ctx<'a> {
    pub(super) now: Moment,
    pub(super) settings: &'a Settings,
    pub(super) calendar: &'a Calendar,
    pub(super) out: &'a mut Out,
}
