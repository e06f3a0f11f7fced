//! Activation, as far as it concerns the book: which device it is, and when new keys replace old ones.
//!
//! A device is its hardware, one uuid; a device id is a registration. Keys that are handed out wait beside the old ones
//! until the device uses them, so that a lost answer, a stranger's request or a crash at any moment leaves a device that
//! can still log in with what it has.

use landfall_proto::gateway::Generation;
use landfall_proto::id::{DeviceId, ProductId, Uuid};
use landfall_proto::mqtt::Envelope;

use crate::book::{Book, BookError};
use crate::cloud_side::Pending;
use crate::device::Device;
use crate::shared::Shared;

/// Devices that were given keys and never used any; more are a sign of somebody who plays.
pub const MAX_UNUSED: usize = 256;

/// Who asks for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applicant {
    /// A device that has an id from the factory and keeps it (generations A and B).
    Id(DeviceId),
    /// Hardware that is given an id.
    Hardware(Uuid),
}

/// Keys to be handed out.
#[derive(Clone, Debug)]
pub struct HandOut {
    /// Who asks.
    pub applicant: Applicant,
    /// The id that the device says it had. Only from a request that was signed with a known auth key.
    pub had: Option<DeviceId>,
    /// The product it names.
    pub product_id: Option<ProductId>,
    /// Its name, if it is new.
    pub name: String,
    /// The new keys; the id in them is for hardware that needs a new one.
    pub fresh: Pending,
    /// It has asked before and may have lost the answer: keys that still wait are told again.
    pub again: bool,
}

impl Book {
    /// The device that an applicant is, if it is known.
    ///
    /// # Errors
    /// Several devices claim the uuid.
    pub fn applicant(&self, who: &Applicant, had: Option<&DeviceId>) -> Result<Option<&Device>, BookError> {
        match who {
            Applicant::Id(id) => Ok(self.by_any_id(id)),
            Applicant::Hardware(uuid) => {
                if let Some(known) = self.only_by_uuid(uuid)? {
                    return Ok(Some(known));
                }
                // Of an imported device often nobody knew the uuid.
                Ok(had.and_then(|id| self.by_id(id)).filter(|d| d.uuid.is_none()))
            }
        }
    }

    /// The device with this id, former id, or id that waits for its first use.
    pub fn by_any_id(&self, id: &DeviceId) -> Option<&Device> {
        let waiting = || {
            self.devices()
                .iter()
                .map(|d| &**d)
                .find(|d| d.cloud.pending.as_ref().is_some_and(|p| p.id == *id))
        };
        self.by_id(id).or_else(waiting)
    }

    /// Hands out keys: they wait in the device's entry until [`Self::keys_used`]. Returns the device's id in the book
    /// and the keys to tell. Nothing that is in use changes.
    ///
    /// # Errors
    /// Several devices claim the uuid, the new id is somebody's, or too many devices never used their keys.
    pub fn hand_out(&mut self, ask: HandOut) -> Result<(DeviceId, Pending), BookError> {
        let HandOut { applicant, had, product_id, name, mut fresh, again } = ask;
        let known = self.applicant(&applicant, had.as_ref())?;
        if let Some(waiting) = known.filter(|_| again).and_then(|d| Some((&d.id, d.cloud.pending.as_ref()?)))
        {
            return Ok((waiting.0.clone(), waiting.1.clone()));
        }
        let never_used = known.is_none_or(|d| d.key.is_none());
        match (&applicant, known) {
            (Applicant::Id(id), _) => fresh.id = id.clone(),
            // Nobody has used this id under any key: no need for another.
            (Applicant::Hardware(_), Some(d)) if never_used => fresh.id = d.id.clone(),
            (Applicant::Hardware(_), _) if self.by_any_id(&fresh.id).is_some() => {
                return Err(BookError::Clash(format!("the id {}", fresh.id)));
            }
            (Applicant::Hardware(_), _) => {}
        }
        let id = match known {
            Some(d) => d.id.clone(),
            None => {
                self.has_room()?;
                self.newcomer(&applicant, &fresh.id, &name)?
            }
        };
        let Some(device) = self.by_id_mut(&id) else { return Err(BookError::Clash(format!("the id {id}"))) };
        if let Applicant::Hardware(uuid) = applicant {
            device.uuid.get_or_insert(uuid);
        }
        if device.product_id.is_none() {
            device.product_id = product_id;
        }
        device.cloud.pending = Some(fresh.clone());
        Ok((id, fresh))
    }

    /// Whoever plays with names is stopped.
    fn has_room(&self) -> Result<(), BookError> {
        let unused = self.devices().iter().filter(|d| d.key.is_none() && d.cloud.pending.is_some()).count();
        if unused >= MAX_UNUSED { Err(BookError::Unused(unused)) } else { Ok(()) }
    }

    /// A device that nobody knew, with what is known of its hardware.
    pub(crate) fn newcomer(
        &mut self,
        who: &Applicant,
        id: &DeviceId,
        name: &str,
    ) -> Result<DeviceId, BookError> {
        let mut device = Device::new(id.clone(), name);
        if let Applicant::Hardware(uuid) = who {
            let hardware = self.hardware.iter().find(|h| h.uuid == *uuid).cloned();
            if let Some(hardware) = hardware {
                device.cloud.auth_key.clone_from(&hardware.auth_key);
                device.cloud.psk_key.clone_from(&hardware.psk_key);
                device.name = hardware.name.clone().unwrap_or(device.name);
            }
        }
        device.name = self.free_name(&device.name, None);
        self.add(device)?;
        if let Applicant::Hardware(uuid) = who {
            self.hardware.own().retain(|h| h.uuid != *uuid);
        }
        Ok(id.clone())
    }

    /// The keys that wait under this id were used: they replace the old ones, which go into the history, and a new id
    /// makes the old one an alias. Returns whether any keys waited. `now`: seconds since 1970-01-01 UTC.
    pub fn keys_used(&mut self, id: &DeviceId, now: u64) -> bool {
        let waits = |d: &&Shared<Device>| d.cloud.pending.as_ref().is_some_and(|p| p.id == *id);
        let Some(old) = self.devices().iter().find(waits).map(|d| d.id.clone()) else { return false };
        if old != *id {
            self.re_register(&old, id);
        }
        let Some(device) = self.by_id_mut(id) else { return false };
        let Some(pending) = device.cloud.pending.take() else { return false };
        device.change_keys(pending.local, Some(pending.sec), now);
        let side = &mut device.cloud;
        side.told = Some(pending.told);
        side.generation = Some(pending.generation);
        side.envelope = pending.envelope.or_else(|| usual_envelope(pending.generation));
        if let Some(timers) = &mut side.timers {
            // A device that was activated anew has lost its own.
            timers.changed = now.max(timers.changed.saturating_add(1));
        }
        true
    }
}

/// The envelope of a generation (cloud.md 0.3).
pub const fn usual_envelope(generation: Generation) -> Option<Envelope> {
    match generation {
        Generation::A => Some(Envelope::V2_1),
        Generation::B | Generation::C | Generation::D => Some(Envelope::V2_2),
        Generation::E => Some(Envelope::V2_3),
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
