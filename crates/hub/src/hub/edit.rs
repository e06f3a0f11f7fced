//! Changes of the book that people ask for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use landfall_book::{Book, BookError, Device, LookupError, NameError, Outcome, import, merge};
use landfall_cloud::book_backend::ChangeError;
use landfall_link::tls::authority;
use landfall_proto::id::DeviceId;
use landfall_proto::lan::TCP_PORT;
use serde_json::Value;

use super::Hub;
use super::roster::{DEFINITION, ROOM};
use crate::model::{DeviceView, Edit, NewDevice, Problem, ProblemKind};
use crate::profile;

/// Longest word for a room in bytes.
const ROOM_BYTES: usize = 128;

/// Nothing was found.
pub(super) fn not_found(e: &LookupError) -> Problem {
    match e {
        LookupError::Unknown { near, known, .. } => {
            let hint = match (near.as_slice(), known) {
                ([], 0) => "the book is empty: add a device, or import tinytuya's devices.json".to_owned(),
                ([], _) => "the list of devices has all names and ids".to_owned(),
                (near, _) => format!("did you mean {}?", near.join(", ")),
            };
            Problem::new(ProblemKind::Unknown, "device.unknown", e.to_string()).hint(hint)
        }
        LookupError::Ambiguous { .. } => {
            Problem::new(ProblemKind::Conflict, "device.ambiguous", e.to_string()).hint("use an id")
        }
    }
}

fn refused(e: &BookError) -> Problem {
    let text = e.to_string();
    match e {
        BookError::Name(NameError::Taken { .. }) => {
            Problem::new(ProblemKind::Conflict, "name.taken", text).hint("choose another name")
        }
        BookError::Name(_) => Problem::new(ProblemKind::Asked, "name.invalid", text),
        BookError::Lookup(e) => not_found(e),
        BookError::Exists { .. } => {
            Problem::new(ProblemKind::Conflict, "device.exists", text).hint("change it instead of adding it")
        }
        BookError::HasChildren { .. } => {
            Problem::new(ProblemKind::Conflict, "device.has_children", text).hint("remove those first")
        }
        BookError::Clash(_) => Problem::new(ProblemKind::Conflict, "book.clash", text),
        BookError::Person(_) | BookError::Full(_) | BookError::Unused(_) => {
            Problem::new(ProblemKind::Conflict, "book.refused", text)
        }
    }
}

/// The book can't be kept.
pub(super) fn not_stored(what: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Ours, "book.not_stored", what)
        .hint("is the disk full, or the data directory not writable?")
}

fn asked(code: &'static str, text: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Asked, code, text)
}

fn room(room: &str) -> Result<Option<Value>, Problem> {
    let room = room.trim();
    if room.len() > ROOM_BYTES || room.chars().any(char::is_control) {
        return Err(asked(
            "room.invalid",
            format!("a room has at most {ROOM_BYTES} bytes, and no line breaks"),
        ));
    }
    Ok((!room.is_empty()).then(|| Value::from(room)))
}

impl Hub {
    /// Changes the book; on return the brain knows it.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = match self.book.change(change).await {
            Ok(done) => done,
            Err(ChangeError::Refused(problem)) => return Err(problem),
            Err(ChangeError::NotStored(e)) => return Err(not_stored(e.what)),
        };
        self.roster.reload().await;
        self.inbox.settle().await;
        Ok(done)
    }

    fn shown(&self, id: &DeviceId) -> Result<Arc<DeviceView>, Problem> {
        self.views.by_id(id).ok_or_else(super::inbox::ending)
    }

    /// Adds a device.
    pub(super) async fn add_device(&self, new: NewDevice) -> Result<Arc<DeviceView>, Problem> {
        let NewDevice { id, name, key, address, port, version, parent, cid } = new;
        let id = DeviceId::new(id.trim()).map_err(|e| asked("device.bad_id", e.to_string()))?;
        if port == Some(0) {
            return Err(asked("device.bad_port", "0 is no port"));
        }
        let added = id.clone();
        self.change(move |book| {
            if let Some(parent) = &parent
                && book.by_id(parent).is_none_or(Device::is_sub_device)
            {
                return Err(asked("gateway.unknown", format!("the book has no gateway {parent}"))
                    .hint("add the gateway first, with its key"));
            }
            if parent.is_some() != cid.is_some() {
                return Err(asked(
                    "gateway.missing",
                    "a sub-device has both a gateway and an id under it (cid)",
                ));
            }
            let mut device = Device::new(id.clone(), name.unwrap_or_else(|| id.to_string()));
            device.key = key;
            device.address = address;
            device.port = port.filter(|p| *p != TCP_PORT);
            device.version = version;
            device.parent = parent;
            device.cid = cid;
            book.add(device).map(|_| ()).map_err(|e| refused(&e))
        })
        .await?;
        self.shown(&added)
    }

    /// Changes what is known of a device.
    pub(super) async fn edit_device(&self, id: &DeviceId, edit: Edit) -> Result<Arc<DeviceView>, Problem> {
        let Edit { name, room: wanted, key, address, version, sleeper, definition } = edit;
        let room = wanted.as_deref().map(room).transpose()?;
        let (of, now) = (id.clone(), self.clock.unix());
        let id = self
            .change(move |book| {
                let device = book.find(of.as_str()).map_err(|e| not_found(&e))?;
                let known = device.id.clone();
                // What may be refused comes first.
                let own = super::roster::own_definition(device);
                let definition = definition.map(|edit| profile::edited(own, edit)).transpose()?;
                if let Some(name) = name {
                    book.rename(known.as_str(), &name).map_err(|e| refused(&e))?;
                }
                let Some(device) = book.by_id_mut(&known) else {
                    return Err(refused(&BookError::Clash(format!("the id {known}"))));
                };
                if let Some(room) = room {
                    put(device, ROOM, room);
                }
                if let Some(definition) = definition {
                    put(device, DEFINITION, definition.map(Value::from));
                }
                if let Some(key) = key {
                    device.change_key(key, now);
                }
                device.address = address.or(device.address);
                device.version = version.or(device.version);
                device.sleeper = sleeper.unwrap_or(device.sleeper);
                Ok(known)
            })
            .await?;
        self.shown(&id)
    }

    /// Removes a device.
    pub(super) async fn remove_device(&self, id: &DeviceId, forget: bool) -> Result<(), Problem> {
        let of = id.clone();
        let removed = self
            .change(move |book| {
                // By its id alone: a name that looks like one must not be meant.
                let known = book.by_id(&of).map(|d| d.id.clone());
                let known = known.ok_or_else(|| {
                    let (near, known) = (Vec::new(), book.devices().len());
                    not_found(&LookupError::Unknown { asked: of.to_string(), near, known })
                })?;
                book.remove(known.as_str()).map_err(|e| refused(&e))
            })
            .await?;
        if forget {
            self.store.forget(&removed.id).await.map_err(|e| {
                Problem::new(
                    ProblemKind::Ours,
                    "store.failed",
                    format!("{} is removed, but its history is not: {e}", removed.name),
                )
            })?;
        }
        Ok(())
    }

    /// Reads another tool's file.
    pub(super) async fn import_devices(&self, text: &str, apply: bool) -> Result<Vec<Outcome>, Problem> {
        // The path is for messages: nothing is read.
        let entries = import::parse(text.as_bytes(), Path::new("what was sent")).map_err(|e| {
            let mut text = e.to_string();
            let mut cause = std::error::Error::source(&e);
            while let Some(why) = cause {
                text.push_str(&format!(": {why}"));
                cause = why.source();
            }
            asked("import.invalid", text)
                .hint("tinytuya's devices.json or snapshot.json, tuya-cli's list, or a deviceconfig of tuya-cloudcutter")
        })?;
        let now = self.clock.unix();
        if !apply {
            let mut book = self.book.read(Book::clone);
            return Ok(merge::merge(&mut book, &entries, now));
        }
        let merged = self.change(move |book| Ok(merge::merge(book, &entries, now))).await?;
        Ok(merged)
    }

    /// Copies book, certificate authority and history into an empty directory.
    pub(super) async fn copy_everything(&self, dir: &Path) -> Result<Vec<PathBuf>, Problem> {
        let failed = |e: String| {
            Problem::new(ProblemKind::Ours, "backup.failed", e)
                .hint("is there room, and may the hub write there?")
        };
        let (place, to) = (self.book.place().to_owned(), dir.to_owned());
        let book = self.book.read(Book::clone);
        let copied = tokio::task::spawn_blocking(move || copy_files(&book, &place, &to)).await;
        let mut files = copied.map_err(|e| failed(e.to_string()))??;
        let history = dir.join("history.db");
        self.store.back_up(&history).await.map_err(|e| failed(e.to_string()))?;
        files.push(history);
        Ok(files)
    }
}

fn put(device: &mut Device, key: &str, value: Option<Value>) {
    match value {
        Some(value) => device.extra.insert(key.to_owned(), value),
        None => device.extra.remove(key),
    };
}

/// Copies the book and the authority that devices trust. Waits for the disk.
fn copy_files(book: &Book, place: &Path, to: &Path) -> Result<Vec<PathBuf>, Problem> {
    let failed = |what: &Path, e: &dyn std::fmt::Display| {
        Problem::new(ProblemKind::Ours, "backup.failed", format!("{}: {e}", what.display()))
    };
    let mut entries = std::fs::read_dir(to).map_err(|e| {
        asked("backup.no_directory", format!("{}: {e}", to.display())).hint("name an empty directory")
    })?;
    if entries.next().is_some() {
        return Err(asked("backup.not_empty", format!("{} is not empty", to.display()))
            .hint("name an empty directory: nothing is overwritten"));
    }
    let mut files = Vec::new();
    // There is no file before the first device. Its last changes are in a log beside it: the copy needs none.
    if place.exists() {
        let there = to.join(place.file_name().unwrap_or_default());
        landfall_book::store::write_copy(book, &there).map_err(|e| failed(&there, &e))?;
        files.push(there);
    }
    let mut copy = |from: &Path, to: PathBuf| -> Result<(), Problem> {
        match std::fs::read(from) {
            Ok(content) => {
                landfall_book::store::replace_file(&to, &content).map_err(|e| failed(&to, &e))?;
                files.push(to);
                Ok(())
            }
            // There is no book before the first device.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed(from, &e)),
        }
    };
    let trusted = place.with_file_name("ca");
    if trusted.is_dir() {
        let there = to.join("ca");
        make_private(&there).map_err(|e| failed(&there, &e))?;
        for entry in std::fs::read_dir(&trusted).map_err(|e| failed(&trusted, &e))? {
            let entry = entry.map_err(|e| failed(&trusted, &e))?;
            // The lock is of the running process, not of the authority.
            let is_lock = entry.file_name() == authority::LOCK;
            if entry.file_type().is_ok_and(|t| t.is_file()) && !is_lock {
                copy(&entry.path(), there.join(entry.file_name()))?;
            }
        }
    }
    Ok(files)
}

/// Makes a directory for secrets.
fn make_private(dir: &Path) -> std::io::Result<()> {
    let mut make = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(dir)
}
