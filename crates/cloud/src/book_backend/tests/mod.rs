//! Tests of the whole backend, over a book on disk.

mod adoption;
mod ahead;
mod changes;
mod identity;
mod property;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use landfall_book::log::LOG_NAME;
use landfall_book::{Book, BookStore as _, Device, FileStore, Hardware, Shared};
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, ProductId, SecKey, Uuid};
use tempfile::TempDir;

use super::{BookBackend, locked};
use crate::backend::{ActivationAsk, Backend as _, Generation, Identity, Keys};
use crate::clock::Clock;
use crate::control::{Owner as _, Window};

pub(super) const NOW: u64 = 1_790_000_000;
pub(super) const AUTH: &str = "Abcdefgh01234567Ijklmnop89abcdef";

pub(super) fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

pub(super) fn uuid(text: &str) -> Uuid {
    Uuid::new(text).unwrap()
}

pub(super) fn local(c: char) -> LocalKey {
    LocalKey::new(c.to_string().repeat(16)).unwrap()
}

pub(super) fn sec(c: char) -> SecKey {
    SecKey::new(c.to_string().repeat(16)).unwrap()
}

/// A data directory and a running backend over it.
pub(super) struct House {
    pub(super) dir: TempDir,
    pub(super) backend: Arc<BookBackend>,
}

impl House {
    /// With these devices in its book.
    pub(super) fn with(devices: Vec<Device>) -> Self {
        Self::of(|book| {
            for device in devices {
                book.add(device).unwrap();
            }
        })
    }

    pub(super) fn of(fill: impl FnOnce(&mut Book)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        let mut fill = Some(fill);
        store
            .update(&mut |book| {
                fill.take().unwrap()(book);
                Ok(())
            })
            .unwrap();
        Self { backend: open(dir.path()), dir }
    }

    /// Stops and starts anew, from what is on disk.
    pub(super) fn restart(&mut self) {
        self.backend = open(self.dir.path());
    }

    /// What a power cut at this very moment leaves, and a cloud that starts from it.
    pub(super) fn after_power_cut(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.dir.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        Self { backend: open(dir.path()), dir }
    }

    /// Whether something was told that is not entered on disk yet.
    pub(super) fn waits(&self) -> bool {
        locked(&self.backend.inner.lane).waits()
    }

    /// Waits until everything that was told is entered on disk.
    pub(super) async fn entered(&self) {
        until("all is entered", || !self.waits()).await;
    }

    /// Everything that the cloud knows, but for keys that nobody was told.
    pub(super) fn known(&self) -> (Vec<Shared<Device>>, Vec<Shared<Hardware>>) {
        self.backend.read(|book| (book.devices().to_vec(), book.hardware().to_vec()))
    }

    pub(super) fn store(&self) -> FileStore {
        FileStore::new(self.dir.path())
    }

    pub(super) fn book(&self) -> Book {
        self.store().load().unwrap()
    }

    /// Everything that is on disk: the book, and the changes in its log.
    pub(super) fn text(&self) -> String {
        let book = std::fs::read_to_string(self.store().place()).unwrap_or_default();
        let log = std::fs::read_to_string(self.dir.path().join(LOG_NAME)).unwrap_or_default();
        book + log.trim_end_matches('\0')
    }

    pub(super) fn allow(&self, who: Option<&str>) {
        let until = self.backend.inner.clock.unix() + 600;
        self.backend.open_window(Window { who: who.map(ToOwned::to_owned), until });
    }

    pub(super) fn close(&self, who: Option<&str>) {
        self.backend.open_window(Window { who: who.map(ToOwned::to_owned), until: 0 });
    }
}

fn open(dir: &Path) -> Arc<BookBackend> {
    BookBackend::open(FileStore::new(dir), Clock::starting_at(NOW)).unwrap()
}

/// Hardware of generation C asks, unsigned.
pub(super) fn by_uuid(text: &str) -> ActivationAsk {
    ActivationAsk {
        who: Identity::Uuid(uuid(text)),
        signed: false,
        product_id: None,
        had_id: None,
        generation: Generation::C,
        envelope: None,
        peer: Some([192, 168, 1, 5].into()),
    }
}

/// A device of generation A with an id from the factory asks, unsigned.
pub(super) fn by_id(text: &str) -> ActivationAsk {
    ActivationAsk { who: Identity::Device(id(text)), generation: Generation::A, ..by_uuid("x") }
}

pub(super) fn hardware(text: &str) -> Hardware {
    Hardware { uuid: uuid(text), name: None, auth_key: AuthKey::new(AUTH).ok(), psk_key: None }
}

pub(super) fn product(text: &str) -> ProductId {
    ProductId::new(text).unwrap()
}

/// Waits on the paused clock until something holds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come true in 20 s");
}

pub(super) fn keys(local: &LocalKey, sec: &SecKey) -> Keys {
    Keys { local: local.clone(), sec: Some(sec.clone()) }
}
