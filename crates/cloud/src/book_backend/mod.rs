//! The devices of the cloud, kept in the book.
//!
//! | module | does |
//! |---|---|
//! | [`index`] | the book in memory, found by whatever a device shows of itself |
//! | [`writer`] | the one task that changes the file, and notices when another process did |
//! | [`windows`] | when activations are answered, and for whom |
//! | [`activation`] | which device asks, what it is given |
//! | [`lane`] | keys told from the book's reserve, and entered soon after |
//! | [`schemas`] | which points it is told |
//! | [`profiles`] | facts about products, from `profiles/` |
//! | [`fresh`] | keys, ids and passwords |
//! | [`firmware`] | approved images |
//! | [`owner`] | what the owner asks for |
//! | [`shelf`] | the book itself, for the hub: reading, changing, hearing of changes |

mod activation;
mod firmware;
mod fresh;
mod index;
mod lane;
mod owner;
pub mod profiles;
mod schemas;
mod shelf;
mod windows;
mod writer;

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use landfall_book::{BookStore as _, Digest, FileStore, StoreError, Version};
use landfall_link::entropy::OsEntropy;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{DeviceId, ProductId, Uuid};
use landfall_proto::mqtt::login::Password;
use landfall_proto::psk::DeviceHash;

use crate::backend::{
    ActivationAsk, ActivationRefusal, Announcement, ApprovedImage, Backend, BackendError, FirstUse, Identity,
    PinOutcome, Registration, Timers,
};
use crate::clock::Clock;
use firmware::Files;
use index::Index;
use lane::Lane;
use profiles::Profiles;
pub use shelf::ChangeError;
use windows::Windows;
use writer::Writer;

/// The devices of the cloud, kept in a book on disk. Other processes may change the book meanwhile: it is looked at every
/// second.
#[derive(Debug)]
pub struct BookBackend {
    inner: Arc<Inner>,
    writer: Writer,
}

/// What the task that writes shares with those who ask.
#[derive(Debug)]
struct Inner {
    store: FileStore,
    clock: Clock,
    profiles: &'static Profiles,
    files: Files,
    index: RwLock<Index>,
    /// The version of the book that is shown.
    shown: Mutex<Version>,
    /// Counts the versions of the index.
    version: tokio::sync::watch::Sender<u64>,
    /// What devices said of themselves, and is not stored yet.
    announced: Mutex<HashMap<DeviceId, Announcement>>,
    windows: Windows,
    /// What is told before it is entered. Taken before `index`.
    lane: Mutex<Lane>,
    /// Something of the lane is to be written.
    woken: tokio::sync::Notify,
    entropy: Mutex<OsEntropy>,
    /// The last trouble with the file, so that it is told once and not every second.
    trouble: Mutex<Option<String>>,
    /// Checked where there is no such person, so that names can't be found out by the clock.
    nobody: Digest,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store's error with its cause, in one line.
fn failed(e: &StoreError) -> BackendError {
    let cause = e.source().map(|c| format!(": {c}")).unwrap_or_default();
    BackendError { what: format!("{e}{cause}") }
}

impl Inner {
    /// What is shown. Not to be held twice at once: a writer that waits in between would wait for ever.
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another version of the book in the place of the one shown, with what was told and is not entered in it yet. Only
    /// the writer does.
    fn show(&self, lane: &mut Lane, version: Version) {
        let mut book = version.book().clone();
        lane.show_in(&mut book);
        let amendment = self.index().amendment_to(&book);
        // Built anew it may wait for a disk, which nobody who looks something up shall do.
        let anew = amendment.is_none().then(|| Index::of(book.clone(), self.profiles, &self.files));
        let mut index = self.index_mut();
        if let Some(anew) = anew {
            *index = anew;
        } else if let Some(amendment) = amendment {
            index.amend(book, &amendment, self.profiles, &self.files);
        }
        *locked(&self.shown) = version;
        *locked(&self.trouble) = None;
        // What is not in the book yet.
        for (id, what) in &*locked(&self.announced) {
            if let Some(slot) = index.by_id(id) {
                slot.heard(what);
            }
        }
        drop(index);
        self.version.send_modify(|version| *version += 1);
    }

    fn complain(&self, e: &StoreError) {
        let what = failed(e).what;
        let mut last = locked(&self.trouble);
        if last.as_ref() != Some(&what) {
            tracing::error!("going on with the devices known so far: {what}");
            *last = Some(what);
        }
    }

    fn has_announcements(&self) -> bool {
        !locked(&self.announced).is_empty()
    }

    fn take_announcements(&self) -> HashMap<DeviceId, Announcement> {
        std::mem::take(&mut locked(&self.announced))
    }

    /// Keeps what a device said until it is stored.
    fn keep_announcement(&self, id: DeviceId, what: Announcement) {
        let mut announced = locked(&self.announced);
        let said = announced.entry(id).or_default();
        *said = merged(std::mem::take(said), what);
    }

    /// Takes back what was not stored; what was said since is newer.
    fn keep_announcements(&self, old: HashMap<DeviceId, Announcement>) {
        let mut announced = locked(&self.announced);
        for (id, old) in old {
            let new = announced.entry(id).or_default();
            let newer = std::mem::take(new);
            *new = merged(old, newer);
        }
    }
}

fn merged(old: Announcement, new: Announcement) -> Announcement {
    Announcement {
        envelope: new.envelope.or(old.envelope),
        generation: new.generation.or(old.generation),
        software: new.software.or(old.software),
    }
}

impl BookBackend {
    /// The devices of this book. The store may be without a book yet. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The book can't be read.
    pub fn open(store: FileStore, clock: Clock) -> Result<Arc<Self>, StoreError> {
        let version = store.version()?;
        let mut entropy = OsEntropy::new();
        let nobody = Digest::new(fresh::salt(&mut entropy), fresh::secret(&mut entropy).as_bytes());
        let inner = Arc::new(Inner {
            files: Files::new(store.dir()),
            store,
            clock,
            profiles: profiles::built_in(),
            index: RwLock::default(),
            shown: Mutex::default(),
            version: tokio::sync::watch::Sender::new(0),
            announced: Mutex::default(),
            windows: Windows::default(),
            lane: Mutex::default(),
            woken: tokio::sync::Notify::new(),
            entropy: Mutex::new(entropy),
            trouble: Mutex::default(),
            nobody,
        });
        inner.show(&mut locked(&inner.lane), version);
        Ok(Arc::new(Self { writer: Writer::start(Arc::clone(&inner)), inner }))
    }

    /// Takes no more changes, and returns when those that were asked for are on disk, in one file without a log beside it.
    /// Whoever does not wait for this leaves the log to the next one, as a kill does: nothing is lost.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    /// Where the book is, for messages.
    pub fn place(&self) -> &std::path::Path {
        self.inner.store.place()
    }

    fn mono(&self) -> Duration {
        self.inner.clock.now().mono
    }
}

#[async_trait]
impl Backend for BookBackend {
    fn by_id(&self, id: &DeviceId) -> Option<Arc<Registration>> {
        let index = self.inner.index();
        // Told shortly before an end without a goodbye: whoever has these keys was told them.
        let unentered = || index.book.reserved(id).map(|set| Arc::new(lane::unentered(set)));
        index.by_id(id).map(index::Slot::registration).or_else(unentered)
    }

    fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<Registration>> {
        self.inner.index().by_uuid(uuid).map(index::Slot::registration)
    }

    fn by_hash(&self, hash: &DeviceHash) -> Option<Arc<Registration>> {
        self.inner.index().by_hash(hash).map(index::Slot::registration)
    }

    fn devices(&self) -> Vec<Arc<Registration>> {
        self.inner.index().devices()
    }

    fn window(&self, who: &Identity) -> Option<u64> {
        let left = self.inner.windows.left(&self.names(who), self.mono())?;
        Some(self.inner.clock.unix().saturating_add(left.as_secs()))
    }

    async fn activate(
        &self,
        ask: ActivationAsk,
    ) -> Result<(Arc<Registration>, Activation), ActivationRefusal> {
        self.activate_now(ask).await
    }

    async fn keys_used(&self, id: &DeviceId) -> Result<FirstUse, BackendError> {
        // Every message under these keys says so; only the first changes anything.
        if self.by_id(id).is_some_and(|d| d.pending.is_none()) {
            return Ok(FirstUse::Expected);
        }
        let (who, now) = (id.clone(), self.inner.clock.unix());
        let back = self
            .writer
            .change_book(move |book| Ok(!book.keys_used(&who, now) && book.take_in(&who, now)?))
            .await?;
        if !back {
            return Ok(FirstUse::Expected);
        }
        tracing::warn!(device = %id, "was given keys shortly before this program was ended; it is taken in with them");
        Ok(FirstUse::Unentered)
    }

    async fn pin(&self, id: &DeviceId, password: &[u8]) -> Result<PinOutcome, BackendError> {
        let known = |fits| if fits { PinOutcome::Fits } else { PinOutcome::Differs };
        let none = |what: &str| BackendError { what: format!("{what} of {id} is known") };
        let (registration, pinned) = {
            let index = self.inner.index();
            let slot = index.by_id(id).ok_or_else(|| none("nothing"))?;
            (slot.registration(), slot.pinned.clone())
        };
        let keys = registration.keys.as_ref().ok_or_else(|| none("no local key"))?;
        if let Some(sec) = &keys.sec {
            return Ok(known(Password::of_device(sec).fits(password)));
        }
        if let Some(pinned) = pinned {
            return Ok(known(pinned.fits(password)));
        }
        let digest = Digest::new(fresh::salt(&mut locked(&self.inner.entropy)), password);
        let (id, given) = (registration.id.clone(), password.to_vec());
        self.writer
            .change_book(move |book| {
                let Some(device) = book.by_id_mut(&id) else { return Ok(PinOutcome::Differs) };
                // Two connections may come at once: the one that is stored first is the first.
                if let Some(pinned) = &device.cloud.pinned {
                    return Ok(known(pinned.fits(&given)));
                }
                device.cloud.pinned = Some(digest);
                Ok(PinOutcome::Pinned)
            })
            .await
    }

    fn announce(&self, id: &DeviceId, what: Announcement) {
        let index = self.inner.index();
        let Some(slot) = index.by_id(id) else { return };
        if !slot.heard(&what) {
            return;
        }
        let id = slot.registration().id.clone();
        // While the index is held, nobody shows another that lacks it.
        self.inner.keep_announcement(id, what);
    }

    async fn flush(&self) -> Result<(), BackendError> {
        let kept = {
            let mut lane = locked(&self.inner.lane);
            lane.end();
            lane.kept()
        };
        if !kept && !self.inner.has_announcements() {
            return Ok(());
        }
        self.writer.change_book(|_| Ok(())).await
    }

    fn timers(&self, id: &DeviceId) -> Timers {
        let index = self.inner.index();
        match index.by_id(id).and_then(|slot| slot.timers.as_ref()) {
            Some(timers) => Timers::Set { timers: timers.list.clone(), changed: timers.changed },
            None => Timers::Kept,
        }
    }

    fn image(&self, id: &DeviceId, kind: u32) -> Option<Arc<ApprovedImage>> {
        self.inner.index().by_id(id)?.images.iter().find(|i| i.kind == kind).cloned()
    }

    fn image_by_token(&self, token: &str) -> Option<Arc<ApprovedImage>> {
        let same =
            |i: &&Arc<ApprovedImage>| landfall_proto::crypto::same(i.token.as_bytes(), token.as_bytes());
        self.inner.index().images().find(same).cloned()
    }

    fn schema_of(&self, product: Option<&ProductId>, device: Option<&DeviceId>) -> (String, String) {
        self.told(product, device)
    }

    fn person(&self, user: &str, password: &[u8]) -> bool {
        let index = self.inner.index();
        let known = index.people.get(user);
        known.unwrap_or(&self.inner.nobody).fits(password) && known.is_some()
    }
}

#[cfg(test)]
mod tests;
