//! Which device asks to be activated, and what it is given.

use std::sync::Arc;
use std::time::Duration;

use landfall_book::cloud_side::Pending;
use landfall_book::registration::{Applicant, HandOut};
use landfall_book::{Book, BookError, Device};
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{DeviceId, LocalKey, ProductId, SecKey};

use super::writer::Changed;
use super::{BookBackend, Inner, fresh, index, locked, schemas};
use crate::backend::{ActivationAsk, ActivationRefusal, Backend as _, BackendError, Identity, Registration};

/// What a device is called until its owner names it, where not even its product is known.
const NEW_DEVICE: &str = "New device";

/// A new id and new keys.
struct Fresh {
    id: DeviceId,
    local: LocalKey,
    sec: SecKey,
    at: u64,
    mono: Duration,
}

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
        let fresh = self.fresh()?;
        let keeps_id = matches!(ask.who, Identity::Device(_));
        let inner = Arc::clone(&self.inner);
        let given = match self.writer.change(move |book| give(&inner, book, &ask, fresh)).await {
            Changed::Kept(given) => given,
            Changed::Refused(e) => return Err(e),
            Changed::Failed(e) => return Err(e.into()),
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

    fn fresh(&self) -> Result<Fresh, BackendError> {
        let mut entropy = locked(&self.inner.entropy);
        let id = fresh::device_id(&mut entropy)?;
        let (local, sec) = fresh::keys(&mut entropy)?;
        let now = self.inner.clock.now();
        Ok(Fresh { id, local, sec, at: now.unix, mono: now.mono })
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

fn refused(e: BookError) -> ActivationRefusal {
    match e {
        BookError::Unused(n) => ActivationRefusal::Crowded(n),
        other => BackendError { what: other.to_string() }.into(),
    }
}

/// Gives keys to who asks, in the book as it stands now: of two requests of one device the second sees the first.
fn give(
    inner: &Inner,
    book: &mut Book,
    ask: &ActivationAsk,
    fresh: Fresh,
) -> Result<Pending, ActivationRefusal> {
    let (applicant, factory_id) = match &ask.who {
        Identity::Device(id) => (Applicant::Id(id.clone()), Some(id)),
        Identity::Uuid(uuid) => (Applicant::Hardware(uuid.clone()), None),
    };
    // Anybody can claim to have been anybody.
    let had = ask.had_id.clone().filter(|_| ask.signed);
    let known = book.applicant(&applicant, had.as_ref()).map_err(refused)?;
    let has_auth_key = known.is_some_and(|d| d.cloud.auth_key.is_some())
        || book.hardware().iter().any(|h| h.uuid.as_str() == ask.who.as_str() && h.auth_key.is_some());
    if has_auth_key && !ask.signed {
        return Err(ActivationRefusal::Unsigned);
    }
    let names = with(known.map(index::names).unwrap_or_default(), &ask.who);
    let attempt = inner.windows.ask(&ask.who, names, ask.signed, ask.peer, fresh.mono)?;
    let told = schemas::told(inner.profiles, known, ask.product_id.as_ref(), factory_id, attempt);
    let profile = inner.profiles.of(ask.product_id.as_ref(), factory_id);
    let pending = Pending {
        id: fresh.id,
        local: fresh.local,
        sec: fresh.sec,
        since: fresh.at,
        told: told.clone(),
        envelope: ask.envelope,
        generation: ask.generation,
    };
    let handed = book.hand_out(HandOut {
        applicant,
        had,
        product_id: ask.product_id.clone(),
        name: profile.map_or(NEW_DEVICE, |p| p.name.as_str()).to_owned(),
        fresh: pending,
        again: attempt > 1,
    });
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
