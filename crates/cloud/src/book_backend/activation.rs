//! Which device asks to be activated, and what it is given.

use std::sync::Arc;

use landfall_book::cloud_side::Pending;
use landfall_book::registration::{Applicant, HandOut};
use landfall_book::{Book, BookError, Device, KeySet};
use landfall_proto::Now;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{DeviceId, ProductId};

use super::writer::Changed;
use super::{BookBackend, Inner, fresh, index, locked, schemas};
use crate::backend::{ActivationAsk, ActivationRefusal, Backend as _, BackendError, Identity, Registration};

/// What a device is called until its owner names it, where not even its product is known.
const NEW_DEVICE: &str = "New device";

impl BookBackend {
    /// What the owner may have opened a window for: what the device calls itself, and the uuid and ids of the device
    /// that it is, if it is known.
    pub(super) fn names(&self, who: &Identity) -> Vec<String> {
        let index = self.inner.index();
        let slot = match who {
            Identity::Device(id) => index.by_id(id),
            Identity::Uuid(uuid) => index.by_uuid(uuid),
        };
        with(slot.map(|s| s.names.clone()).unwrap_or_default(), who)
    }

    /// See [`crate::Backend::activate`].
    pub(super) async fn activate_now(
        &self,
        ask: ActivationAsk,
    ) -> Result<(Arc<Registration>, Activation), ActivationRefusal> {
        // Without a window nothing is done, not even made.
        if self.inner.windows.left(&self.names(&ask.who), self.mono()).is_none() {
            return Err(ActivationRefusal::NoWindow);
        }
        let keeps_id = matches!(ask.who, Identity::Device(_));
        let given = match self.inner.quick(&ask)? {
            Some(given) => given,
            None => self.slow(ask).await?,
        };
        let lost = || BackendError { what: format!("{} is not in the book any more", given.id) };
        let registration = self.by_id(&given.id).ok_or_else(lost)?;
        let activation = Activation {
            dev_id: (!keeps_id).then_some(given.id),
            sec_key: given.sec,
            local_key: given.local,
            schema: given.told.text,
            schema_id: given.told.id,
            std_time_zone: None,
            time_zone: None,
            dst_intervals: Vec::new(),
        };
        Ok((registration, activation))
    }

    /// Writes new keys, then tells them.
    async fn slow(&self, ask: ActivationAsk) -> Result<Pending, ActivationRefusal> {
        let fresh = fresh::set(&mut locked(&self.inner.entropy))?;
        let (inner, now) = (Arc::clone(&self.inner), self.inner.clock.now());
        match self.writer.change(move |book| give(&inner, book, &ask, fresh, now)).await {
            Changed::Kept(given) => Ok(given),
            Changed::Refused(e) => Err(e),
            Changed::Failed(e) => Err(e.into()),
        }
    }

    /// See [`crate::Backend::schema_of`].
    pub(super) fn told(&self, product: Option<&ProductId>, device: Option<&DeviceId>) -> (String, String) {
        let index = self.inner.index();
        let known = device.and_then(|id| index.book.by_any_id(id));
        let told = schemas::told(self.inner.profiles, known, product, device, 1);
        (told.text, told.id)
    }
}

fn with(mut names: Vec<String>, who: &Identity) -> Vec<String> {
    if !names.iter().any(|n| n == who.as_str()) {
        names.push(who.as_str().to_owned());
    }
    names
}

pub(super) fn refused(e: BookError) -> ActivationRefusal {
    match e {
        BookError::Unused(n) => ActivationRefusal::Crowded(n),
        other => BackendError { what: other.to_string() }.into(),
    }
}

/// Whether who asks has to prove it by a signature.
pub(super) fn has_auth_key(book: &Book, known: Option<&Device>, who: &Identity) -> bool {
    known.is_some_and(|d| d.cloud.auth_key.is_some())
        || book.hardware().iter().any(|h| h.uuid.as_str() == who.as_str() && h.auth_key.is_some())
}

/// The id that who asks has from the factory.
const fn factory_id(ask: &ActivationAsk) -> Option<&DeviceId> {
    match &ask.who {
        Identity::Device(id) => Some(id),
        Identity::Uuid(_) => None,
    }
}

/// What who asks is to be given when it asks for the first time and nobody knows it: these keys, and the points of its
/// product.
pub(super) fn offer(inner: &Inner, ask: &ActivationAsk, keys: KeySet, since: u64) -> HandOut {
    let applicant = match &ask.who {
        Identity::Device(id) => Applicant::Id(id.clone()),
        Identity::Uuid(uuid) => Applicant::Hardware(uuid.clone()),
    };
    let factory_id = factory_id(ask);
    let KeySet { id, local, sec } = keys;
    let told = schemas::told(inner.profiles, None, ask.product_id.as_ref(), factory_id, 1);
    let (envelope, generation) = (ask.envelope, ask.generation);
    let profile = inner.profiles.of(ask.product_id.as_ref(), factory_id);
    HandOut {
        applicant,
        // Anybody can claim to have been anybody.
        had: ask.had_id.clone().filter(|_| ask.signed),
        product_id: ask.product_id.clone(),
        name: profile.map_or(NEW_DEVICE, |p| p.name.as_str()).to_owned(),
        fresh: Pending { id, local, sec, since, told, envelope, generation },
        again: false,
    }
}

/// Gives keys to who asks, in the book as it stands now: of two requests of one device the second sees the first.
fn give(
    inner: &Inner,
    book: &mut Book,
    ask: &ActivationAsk,
    keys: KeySet,
    now: Now,
) -> Result<Pending, ActivationRefusal> {
    // Nobody is given anything beside this, and what was is in the book.
    let mut lane = locked(&inner.lane);
    lane.settle(book);
    let mut offered = offer(inner, ask, keys, now.unix);
    let known = book.applicant(&offered.applicant, offered.had.as_ref()).map_err(refused)?;
    if !ask.signed && has_auth_key(book, known, &ask.who) {
        return Err(ActivationRefusal::Unsigned);
    }
    let names = with(known.map(index::names).unwrap_or_default(), &ask.who);
    let attempt = inner.windows.ask(&ask.who, names, ask.signed, ask.peer, now.mono)?;
    let told = schemas::told(inner.profiles, known, ask.product_id.as_ref(), factory_id(ask), attempt);
    offered.fresh.told.clone_from(&told);
    offered.again = attempt > 1;
    let handed = book.hand_out(offered);
    drop(lane);
    let (id, mut pending) = handed.map_err(|e| {
        if attempt == 1 {
            inner.windows.not_handed(&ask.who);
        }
        refused(e)
    })?;
    // The same keys again, but perhaps fewer guessed points.
    pending.told = told;
    if let Some(kept) = book.by_id_mut(&id).and_then(|d: &mut Device| d.cloud.pending.as_mut()) {
        kept.told.clone_from(&pending.told);
    }
    Ok(pending)
}
