//! Where a book is kept.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::book::{Book, BookError};
use crate::import::{self, ImportError};
use crate::log::{self, LOG_NAME};

/// The greatest number of a form that we read. A file with a greater one was written by a newer Landfall.
pub const SCHEMA: u32 = 4;
/// The form that has a log beside it, which may speak of a reserve of keys: who does not read all of it must not read a part.
/// (3 was that of a log without a reserve.)
const WITH_LOG: u32 = 4;
/// The form with a reserve of keys in the one file: who lost it would lose keys that devices were told.
const WITH_RESERVE: u32 = 4;
/// The form with all of a stand-in cloud in the one file.
const ALONE: u32 = 2;
/// The form without a stand-in cloud. A book without keys and people of one is written in this form still, so that an
/// older Landfall can go on with it.
const WITHOUT_CLOUD: u32 = 1;
/// The file in the data directory.
pub const FILE_NAME: &str = "book.json";
/// The file that carries the advisory lock; `book.json` itself is replaced at each change.
pub const LOCK_NAME: &str = "book.lock";
/// A book of 10,000 devices with full mappings stays below this many bytes.
const MAX_FILE: u64 = 64 << 20;
/// How long a change waits for another process to finish its own.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Why a book could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system said no.
    #[error("can't {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Written by a newer program; it may hold what we would lose.
    #[error("{} has schema {found}; this version of landfall knows schemas up to {SCHEMA}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema number.
        found: u32,
    },
    /// Not a book. The text of the file is not repeated: it holds keys.
    #[error("{} is damaged at line {line}, column {column}: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
        /// In a few words.
        what: &'static str,
    },
    /// A book that contradicts itself.
    #[error("{} contradicts itself", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// How.
        source: BookError,
    },
    /// No book has this size.
    #[error("{} has {size} bytes, more than {MAX_FILE}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Another process holds the lock.
    #[error("another process is changing {}", .path.display())]
    Locked {
        /// The book.
        path: PathBuf,
    },
    /// A devices.json that is used in place of the book is not ours to change.
    #[error("{} is used as it is, for reading only", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A devices.json that is used in place of the book can't be understood.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The change itself was not possible; nothing was written.
    #[error(transparent)]
    Refused(#[from] BookError),
}

/// A place that keeps a book. A file today ([`FileStore`]); a fleet can keep it in a database.
pub trait BookStore {
    /// The book as it stands.
    ///
    /// # Errors
    /// It can't be read or understood.
    fn load(&self) -> Result<Book, StoreError>;

    /// Changes the book: reads it, lets `change` work on it, and keeps the result, all under one lock. When `change`
    /// fails, or leaves the book as it was, nothing is written.
    ///
    /// # Errors
    /// It can't be read, locked or written, or `change` failed.
    fn update(&self, change: &mut dyn FnMut(&mut Book) -> Result<(), BookError>) -> Result<Book, StoreError>;

    /// Where it is, for messages.
    fn place(&self) -> &Path;
}

/// Which version of the book it is: it changes whenever the book is replaced, and with each change in its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    book: FileStamp,
    /// Bytes of the log that are in use.
    log: usize,
}

/// Which version of a file it is; the default where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStamp {
    modified: Option<std::time::SystemTime>,
    size: u64,
    inode: u64,
}

impl FileStamp {
    /// That of a file of which this is known.
    pub(crate) fn of(meta: Option<&fs::Metadata>) -> Self {
        meta.map_or(Self::default(), |meta| Self {
            modified: meta.modified().ok(),
            size: meta.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(meta),
            #[cfg(not(unix))]
            inode: 0,
        })
    }
}

/// The form of the file.
#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<u64>,
    #[serde(flatten)]
    book: &'a Book,
}

/// Read first, alone: a newer file may have another form beside it.
#[derive(Deserialize)]
struct Header {
    schema: u32,
    /// The number of the log that belongs to it.
    #[serde(default)]
    log: Option<u64>,
}

/// `book.json` in a data directory.
#[derive(Debug, Clone)]
pub struct FileStore {
    dir: PathBuf,
    path: PathBuf,
}

impl FileStore {
    /// The book of this data directory. Nothing is read or made yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self { path: dir.join(FILE_NAME), dir }
    }

    /// Whether there is a book.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The directory of the book.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which version lies there now; the default when there is none.
    ///
    /// # Errors
    /// The files can't be looked at.
    pub fn stamp(&self) -> Result<Stamp, StoreError> {
        let path = self.log_path();
        let log = match read_bounded(&path, log::SIZE) {
            Ok(Ok(text)) => log::trimmed(&text).len(),
            Ok(Err(size)) => return Err(StoreError::TooLarge { path, size }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(Self::io("look at", &path)(e)),
        };
        Ok(Stamp { book: self.book_stamp()?, log })
    }

    /// That of the one file.
    pub(crate) fn book_stamp(&self) -> Result<FileStamp, StoreError> {
        match fs::metadata(&self.path) {
            Ok(meta) => Ok(FileStamp::of(Some(&meta))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(FileStamp::default()),
            Err(e) => Err(Self::io("look at", &self.path)(e)),
        }
    }

    /// Where the log of changes lies, if there is one.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.join(LOG_NAME)
    }

    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { doing, path, source }
    }

    /// Makes the directory (0700) when it is missing, and takes the lock.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        let mut make = DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        make.mode(0o700);
        make.create(&self.dir).map_err(Self::io("make the directory", &self.dir))?;
        let path = self.dir.join(LOCK_NAME);
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(false);
        #[cfg(unix)]
        open.mode(0o600);
        let file = open.open(&path).map_err(Self::io("open", &path))?;
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: self.path.clone() }),
                Err(TryLockError::Error(e)) => return Err(Self::io("lock", &path)(e)),
            }
        }
    }

    /// Writes beside the book, then puts it in the book's place: at any moment one of the two is whole.
    /// With the number of a log, changes may follow in a log of that number; the log that was before is of no use then.
    pub(crate) fn write(&self, book: &Book, log: Option<u64>) -> Result<(), StoreError> {
        write_file(&self.path, book, log)
    }
}

fn write_file(path: &Path, book: &Book, log: Option<u64>) -> Result<(), StoreError> {
    let schema = match log {
        Some(_) => WITH_LOG,
        None if book.reserve_len() > 0 => WITH_RESERVE,
        None if book.has_cloud_side() => ALONE,
        None => WITHOUT_CLOUD,
    };
    let mut text = serde_json::to_vec_pretty(&Written { schema, log, book })
        .map_err(|e| FileStore::io("write", path)(e.into()))?;
    text.push(b'\n');
    replace_file(path, &text)
}

/// Writes a copy of a book, complete in this one file: `book.json` alone may lack what is in its log.
///
/// # Errors
/// The directory can't be written.
pub fn write_copy(book: &Book, path: &Path) -> Result<(), StoreError> {
    write_file(path, book, None)
}

/// Replaces a file by one with this content and mode 0600, or leaves it untouched.
///
/// # Errors
/// The directory can't be written.
pub fn replace_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let io = FileStore::io;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    // Left by a process of the same number that died halfway; never follow what stands there.
    if let Err(e) = fs::remove_file(&new)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(io("remove", &new)(e));
    }
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    open.mode(0o600);
    let mut file = open.open(&new).map_err(io("create", &new))?;
    let written =
        file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if let Err(e) = written {
        // Keys must not lie around in a half-written file; the first error is the one to tell.
        drop(fs::remove_file(&new));
        return Err(io("write", path)(e));
    }
    // The rename itself must survive a power cut.
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(io("sync", dir))
}

/// Reads a file of bounded size.
pub(crate) fn read_bounded(path: &Path, max: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > max {
        return Ok(Err(size));
    }
    let mut text = Vec::new();
    // The size may be 0 for a pipe and may grow while we read.
    file.take(max + 1).read_to_end(&mut text)?;
    let read = text.len() as u64;
    Ok(if read > max { Err(read) } else { Ok(text) })
}

impl BookStore for FileStore {
    fn load(&self) -> Result<Book, StoreError> {
        self.version().map(|version| version.book)
    }

    fn update(&self, change: &mut dyn FnMut(&mut Book) -> Result<(), BookError>) -> Result<Book, StoreError> {
        let _lock = self.lock()?;
        let before = self.locked_version()?.book;
        let mut book = before.clone();
        change(&mut book)?;
        if book != before {
            book.check()?;
            self.write(&book, None)?;
            self.drop_log();
        }
        Ok(book)
    }

    fn place(&self) -> &Path {
        &self.path
    }
}

impl FileStore {
    /// Reads the file alone, and the number of the log that it names. A book that is missing is empty.
    pub(crate) fn read_book(&self) -> Result<(Book, Option<u64>), StoreError> {
        let path = &self.path;
        let text = match read_bounded(path, MAX_FILE) {
            Ok(Ok(text)) => text,
            Ok(Err(size)) => return Err(StoreError::TooLarge { path: path.clone(), size }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Book::new(), None)),
            Err(e) => return Err(Self::io("read", path)(e)),
        };
        let damaged = |e: &serde_json::Error| StoreError::Damaged {
            path: path.clone(),
            line: e.line(),
            column: e.column(),
            what: match e.classify() {
                serde_json::error::Category::Eof => "the file ends too early",
                serde_json::error::Category::Data => "a value that doesn't belong there",
                _ => "not JSON",
            },
        };
        let Header { schema, log } = serde_json::from_slice(&text).map_err(|e| damaged(&e))?;
        if schema > SCHEMA {
            return Err(StoreError::Newer { path: path.clone(), found: schema });
        }
        let book: Book = serde_json::from_slice(&text).map_err(|e| damaged(&e))?;
        book.check().map_err(|source| StoreError::Contradiction { path: path.clone(), source })?;
        Self::warn_if_readable_by_others(path);
        Ok((book, log))
    }

    /// Makes the changes of the log that has this number. Returns whether it can be continued (a log that is missing, or
    /// ends in half a line, cannot) and the bytes in use.
    pub(crate) fn read_log(&self, book: &mut Book, number: u64) -> Result<(bool, u64), StoreError> {
        let path = self.log_path();
        let text = match read_bounded(&path, log::SIZE) {
            Ok(Ok(text)) => text,
            Ok(Err(size)) => return Err(StoreError::TooLarge { path, size }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((false, 0)),
            Err(e) => return Err(Self::io("read", &path)(e)),
        };
        let damaged = |line, what| StoreError::Damaged { path: path.clone(), line, column: 1, what };
        let content =
            log::read(&text, number).map_err(|log::Broken { line }| damaged(line, "not a change"))?;
        for (at, amendment) in content.amendments.into_iter().enumerate() {
            // The first line has the number.
            amendment.apply(book).map_err(|_| damaged(at + 2, "a change that doesn't fit the book"))?;
        }
        book.check().map_err(|source| StoreError::Contradiction { path: path.clone(), source })?;
        Self::warn_if_readable_by_others(&path);
        Ok((content.whole, content.end))
    }

    /// The files are written 0600; if somebody opened them to others since, the owner should know.
    fn warn_if_readable_by_others(path: &Path) {
        #[cfg(unix)]
        if let Ok(meta) = fs::metadata(path)
            && meta.permissions().mode() & 0o077 != 0
        {
            tracing::warn!("{} holds keys and others can read it; chmod 600 it", path.display());
        }
    }
}

/// A devices.json used in place of the book, for reading only.
#[derive(Debug, Clone)]
pub struct DevicesFile {
    path: PathBuf,
}

impl DevicesFile {
    /// This file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl BookStore for DevicesFile {
    fn load(&self) -> Result<Book, StoreError> {
        let entries = import::read(&self.path)?;
        Ok(Book::as_read(entries.into_iter().map(import::Entry::into_device).collect()))
    }

    fn update(
        &self,
        _change: &mut dyn FnMut(&mut Book) -> Result<(), BookError>,
    ) -> Result<Book, StoreError> {
        Err(StoreError::ReadOnly { path: self.path.clone() })
    }

    fn place(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
