//! The devices that are logged in, and sending to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use landfall_proto::id::{DeviceId, Uuid};
use landfall_proto::mqtt::content::Token;
use landfall_proto::mqtt::{Content, Stamp};
use landfall_proto::schema::MisfitError;

use super::outbox::{Load, Order, Ticket};
use super::seat::{Seat, Track};
use crate::shared::Shared;

/// Why nothing was sent to a device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SendError {
    /// It is not logged in.
    #[error("{0} is not connected to the cloud")]
    Offline(DeviceId),
    /// It does not take what we send fast enough.
    #[error("{0} does not take what is sent to it")]
    Congested(DeviceId),
    /// No hardware with this uuid waits for a token.
    #[error("no hardware with the uuid {0} waits for a token")]
    NotWaiting(Uuid),
    /// We have no local key to seal a message with.
    #[error("no local key of {0} is known")]
    NoKey(DeviceId),
    /// The product does not take such a value.
    #[error(transparent)]
    Misfit(#[from] MisfitError),
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of devices that verified.
    pub messages: u64,
    /// Messages with a protocol number that means nothing to us.
    pub unknown: u64,
    /// Publishes to topics that are not the client's: acknowledged and dropped.
    pub foreign_topics: u64,
    /// Payloads that did not verify, or were no message.
    pub refused: u64,
    /// Messages that were old.
    pub old: u64,
}

/// [`Counts`], while they change.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) messages: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) foreign_topics: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) old: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The devices that are logged in.
#[derive(Debug, Default)]
pub struct Devices {
    places: Mutex<Places>,
    tickets: AtomicU64,
    pub(super) counters: Counters,
}

/// Who sits where.
#[derive(Debug, Default)]
struct Places {
    /// Activated devices, by their id.
    devices: HashMap<DeviceId, Arc<Seat>>,
    /// Hardware that waits for its activation.
    waiting: HashMap<Uuid, Arc<Seat>>,
    /// What is remembered of devices; only those that proved themselves come in here.
    tracks: HashMap<DeviceId, Arc<Track>>,
}

/// Whose seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// An activated device, by the id it is registered under.
    Device(DeviceId),
    /// Hardware that waits for its activation.
    Waiting(Uuid),
}

impl Places {
    fn at(&self, name: &Name) -> Option<&Arc<Seat>> {
        match name {
            Name::Device(id) => self.devices.get(id),
            Name::Waiting(uuid) => self.waiting.get(uuid),
        }
    }

    fn put(&mut self, name: &Name, seat: Arc<Seat>) {
        match name {
            Name::Device(id) => self.devices.insert(id.clone(), seat),
            Name::Waiting(uuid) => self.waiting.insert(uuid.clone(), seat),
        };
    }

    fn clear(&mut self, name: &Name) {
        match name {
            Name::Device(id) => self.devices.remove(id),
            Name::Waiting(uuid) => self.waiting.remove(uuid),
        };
    }
}

impl Devices {
    /// Nobody is logged in.
    pub fn new() -> Self {
        Self::default()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a device is logged in.
    pub fn is_connected(&self, id: &DeviceId) -> bool {
        self.places().devices.contains_key(id)
    }

    /// The hardware that waits for a token, by uuid.
    pub fn waiting(&self) -> Vec<Uuid> {
        let mut waiting: Vec<_> = self.places().waiting.keys().cloned().collect();
        waiting.sort_unstable();
        waiting
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        Counts {
            messages: read(&c.messages),
            unknown: read(&c.unknown),
            foreign_topics: read(&c.foreign_topics),
            refused: read(&c.refused),
            old: read(&c.old),
        }
    }

    pub(super) fn seat(&self, id: &DeviceId) -> Option<Arc<Seat>> {
        self.places().devices.get(id).cloned()
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// What is remembered of a device; `last` is the number of its last message before we were started.
    pub(super) fn track(&self, id: &DeviceId, last: Option<Stamp>) -> Arc<Track> {
        Arc::clone(self.places().tracks.entry(id.clone()).or_insert_with(|| Arc::new(Track::new(last))))
    }

    /// Who sits there now.
    pub(super) fn sitting(&self, name: &Name) -> Option<Arc<Seat>> {
        self.places().at(name).cloned()
    }

    /// Takes a place that is free, or whose present holder is the one that was asked about. `false`: somebody else came
    /// first.
    pub(super) fn take(&self, name: &Name, seat: &Arc<Seat>, instead_of: Option<&Arc<Seat>>) -> bool {
        let mut places = self.places();
        match (places.at(name), instead_of) {
            (Some(there), Some(asked)) if !Arc::ptr_eq(there, asked) => return false,
            (Some(_), None) => return false,
            _ => {}
        }
        places.put(name, Arc::clone(seat));
        drop(places);
        if let Some(old) = instead_of {
            old.take_over();
        }
        true
    }

    /// Gives a place back, unless somebody else has it by now. `true`: it was ours.
    pub(super) fn leave(&self, name: &Name, seat: &Arc<Seat>) -> bool {
        let mut places = self.places();
        let ours = places.at(name).is_some_and(|there| Arc::ptr_eq(there, seat));
        if ours {
            places.clear(name);
        }
        drop(places);
        seat.leave();
        ours
    }

    /// Seals a message in the device's envelope and under its key, and sends it. Ids that its kind needs are filled in.
    ///
    /// # Errors
    /// It is not connected, has no key, or does not read.
    pub fn send(&self, shared: &Shared, id: &DeviceId, content: Content) -> Result<(), SendError> {
        let offline = || SendError::Offline(id.clone());
        let device = shared.backend.by_id(id).ok_or_else(offline)?;
        if device.keys.is_none() && device.pending.is_none() {
            return Err(SendError::NoKey(id.clone()));
        }
        let repeat = match &content {
            Content::Set(set) => !device.schema.acts_on_write(&set.dps),
            Content::Other { .. } => false,
            _ => true,
        };
        let content = named(content, &device.id);
        let seat = self.seat(&device.id).ok_or_else(offline)?;
        let order = Order { load: Load::Message(content), repeat, ticket: None };
        seat.order(order, None).map_err(|_| SendError::Congested(id.clone()))
    }

    /// Sends an envelope that a person's client sealed by itself, as it is.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_sealed(&self, id: &DeviceId, payload: Bytes) -> Result<(), SendError> {
        let seat = self.seat(id).ok_or_else(|| SendError::Offline(id.clone()))?;
        let order = Order { load: Load::Sealed(payload), repeat: false, ticket: None };
        seat.order(order, None).map_err(|_| SendError::Congested(id.clone()))
    }

    /// Sends an activation token (protocol 46) to hardware that waits for one (cloud.md 1.6).
    ///
    /// # Errors
    /// It does not wait, or does not read.
    pub fn send_token(
        &self,
        shared: &Shared,
        uuid: &Uuid,
        token: &str,
        region: &str,
    ) -> Result<(), SendError> {
        let not_waiting = || SendError::NotWaiting(uuid.clone());
        if shared.backend.by_uuid(uuid).is_none_or(|device| device.auth_key.is_none()) {
            return Err(not_waiting());
        }
        let seat = self.places().waiting.get(uuid).cloned().ok_or_else(not_waiting)?;
        let content = Content::Token(Token {
            token: token.to_owned(),
            region: Some(region.to_owned()),
            env: Some("pro".to_owned()),
            https_url: None,
        });
        let order = Order { load: Load::Message(content), repeat: true, ticket: None };
        seat.order(order, None).map_err(|_| not_waiting())
    }
}

/// Fills in the ids that devices want to see: without `gwId` in a reset some crash (cloud.md 4.7).
fn named(mut content: Content, id: &DeviceId) -> Content {
    let fill = |slot: &mut Option<DeviceId>| {
        slot.get_or_insert_with(|| id.clone());
    };
    match &mut content {
        Content::Set(set) => fill(&mut set.dev_id),
        Content::Reset(reset) => fill(&mut reset.gw_id),
        Content::TimersChanged(timers) => {
            fill(&mut timers.gw_id);
            fill(&mut timers.dev_id);
        }
        Content::CheckFirmware(check) => {
            fill(&mut check.gw_id);
            check.firmware_type.get_or_insert(0);
        }
        _ => {}
    }
    content
}
