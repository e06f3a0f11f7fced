//! What the owner asks for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use landfall_book::cloud_side::{Image, TimerList, check_timers};
use landfall_book::people::PersonError;
use landfall_book::{Book, BookError, Device, Digest, Hardware, Person, Timer};
use landfall_proto::id::DeviceId;

use super::writer::Changed;
use super::{BookBackend, firmware, fresh, locked};
use crate::backend::BackendError;
use crate::control::{ImageInfo, Owner, OwnerError, PersonInfo, Window};

/// The longest window: an owner who forgets to close one shall not have opened the door for good.
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3_600);

fn unknown(id: &DeviceId) -> OwnerError {
    OwnerError { code: "device.unknown", what: format!("the book has no device {id}") }
}

fn device<'a>(book: &'a mut Book, id: &DeviceId) -> Result<&'a mut Device, OwnerError> {
    book.by_id_mut(id).ok_or_else(|| unknown(id))
}

fn not_stored(e: BackendError) -> OwnerError {
    OwnerError { code: "book.not_stored", what: e.what }
}

fn person(e: BookError) -> OwnerError {
    let code = match &e {
        BookError::Person(PersonError::Taken(_)) => "person.taken",
        BookError::Person(_) => "person.name",
        _ => "person.refused",
    };
    OwnerError { code, what: e.to_string() }
}

impl BookBackend {
    /// Takes in hardware that was never activated here, with what is known of its factory keys.
    ///
    /// # Errors
    /// The book can't be written, or several devices claim the uuid.
    pub async fn add_hardware(&self, hardware: Hardware) -> Result<(), BackendError> {
        self.writer.change_book(move |book| book.add_hardware(hardware)).await
    }

    async fn order<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, OwnerError> + Send + 'static,
    ) -> Result<T, OwnerError> {
        match self.writer.change(change).await {
            Changed::Kept(value) => Ok(value),
            Changed::Refused(e) => Err(e),
            Changed::Failed(e) => Err(not_stored(e)),
        }
    }
}

/// Runs what waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    let ended = |e: tokio::task::JoinError| BackendError { what: format!("not finished: {e}") };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

#[async_trait]
impl Owner for BookBackend {
    fn windows(&self) -> Vec<Window> {
        let now = self.inner.clock.now();
        let open = self.inner.windows.list(now.mono).into_iter();
        open.map(|(who, left)| Window { who, until: now.unix.saturating_add(left.as_secs()) }).collect()
    }

    fn open_window(&self, window: Window) {
        let now = self.inner.clock.now();
        let length = Duration::from_secs(window.until.saturating_sub(now.unix)).min(MAX_WINDOW);
        self.inner.windows.open(window.who, now.mono + length, now.mono);
        // Keys are made ahead while a window is open.
        locked(&self.inner.lane).opened();
        self.inner.woken.notify_one();
    }

    fn close_windows(&self) {
        self.inner.windows.close();
    }

    async fn set_timers(&self, id: &DeviceId, timers: Option<Vec<Timer>>) -> Result<(), OwnerError> {
        let wrong = |e| OwnerError { code: "timers.invalid", what: format!("{e}") };
        check_timers(timers.as_deref().unwrap_or_default()).map_err(wrong)?;
        let (id, now) = (id.clone(), self.inner.clock.unix());
        self.order(move |book| {
            let slot = &mut device(book, &id)?.cloud.timers;
            // A device that fetched the old ones in this very second must see a difference.
            let changed = slot.as_ref().map_or(now, |old| now.max(old.changed.saturating_add(1)));
            *slot = timers.map(|list| TimerList { list, changed });
            Ok(())
        })
        .await
    }

    fn images(&self) -> Vec<ImageInfo> {
        let index = self.inner.index();
        let mut all = Vec::new();
        for device in index.book.devices() {
            for image in &device.cloud.images {
                let held =
                    index.by_id(&device.id).and_then(|s| s.images.iter().find(|i| i.kind == image.kind));
                all.push(ImageInfo {
                    device: device.id.clone(),
                    name: device.name.clone(),
                    kind: image.kind,
                    version: image.version.clone(),
                    size: held.map(|i| i.bytes.len() as u64),
                });
            }
        }
        all
    }

    async fn approve(
        &self,
        id: &DeviceId,
        kind: u32,
        version: &str,
        file: &Path,
    ) -> Result<ImageInfo, OwnerError> {
        let wrong = |e: BackendError| OwnerError { code: "firmware.invalid", what: e.what };
        firmware::check_version(version).map_err(wrong)?;
        let file = file.to_owned();
        let bytes = blocking(move || firmware::read(&file)).await.map_err(wrong)?;
        let size = Some(bytes.len() as u64);
        let token = fresh::secret(&mut locked(&self.inner.entropy));
        let (id, version, inner) = (id.clone(), version.to_owned(), Arc::clone(&self.inner));
        self.order(move |book| {
            device(book, &id)?;
            // Under the book's lock, so that nobody takes the file for one that is not in use.
            let sha256 = inner.files.keep(&bytes).map_err(not_stored)?;
            let device = device(book, &id)?;
            let images = &mut device.cloud.images;
            let old: Vec<Image> = images.extract_if(.., |i| i.kind == kind).collect();
            images.push(Image { kind, version: version.clone(), sha256, token });
            let info =
                ImageInfo { device: device.id.clone(), name: device.name.clone(), kind, version, size };
            for old in old {
                inner.files.drop_unused(&old.sha256, in_use(book, &old.sha256));
            }
            Ok(info)
        })
        .await
    }

    async fn withdraw(&self, id: &DeviceId, kind: u32) -> Result<bool, OwnerError> {
        let (id, inner) = (id.clone(), Arc::clone(&self.inner));
        self.order(move |book| {
            let images = &mut device(book, &id)?.cloud.images;
            let old: Vec<Image> = images.extract_if(.., |i| i.kind == kind).collect();
            for old in &old {
                inner.files.drop_unused(&old.sha256, in_use(book, &old.sha256));
            }
            Ok(!old.is_empty())
        })
        .await
    }

    fn people(&self) -> Vec<PersonInfo> {
        let index = self.inner.index();
        let mut all: Vec<_> = index.book.people().iter().collect();
        all.sort_by_key(|p| &p.name);
        all.into_iter().map(|p| PersonInfo { name: p.name.clone(), since: p.since }).collect()
    }

    async fn add_person(&self, name: &str) -> Result<String, OwnerError> {
        let (password, salt) = {
            let mut entropy = locked(&self.inner.entropy);
            (fresh::secret(&mut entropy), fresh::salt(&mut entropy))
        };
        let digest = Digest::new(salt, password.as_bytes());
        let new = Person { name: name.to_owned(), password: digest, since: self.inner.clock.unix() };
        self.order(move |book| book.add_person(new).map_err(person)).await?;
        Ok(password)
    }

    async fn remove_person(&self, name: &str) -> Result<bool, OwnerError> {
        let name = name.to_owned();
        self.order(move |book| Ok(book.remove_person(&name))).await
    }

    async fn unpin(&self, id: &DeviceId) -> Result<bool, OwnerError> {
        let id = id.clone();
        self.order(move |book| Ok(device(book, &id)?.cloud.pinned.take().is_some())).await
    }

    async fn reload(&self) -> Result<(), OwnerError> {
        // A change that changes nothing reads the file and writes none.
        self.order(|_| Ok(())).await
    }
}

fn in_use(book: &Book, sha256: &str) -> bool {
    book.devices().iter().any(|d| d.cloud.images.iter().any(|i| i.sha256 == sha256))
}
