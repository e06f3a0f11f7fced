//! A book in memory that knows which version of the files it is, so that it is read anew only when somebody else changed
//! it, and small changes of it are written as such.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::amendment::Amendment;
use crate::book::{Book, BookError};
use crate::log;
use crate::store::{BookStore as _, FileStamp, FileStore, StoreError};

/// How often a book that is replaced while it is read is read again before its lock is waited for.
const READS: usize = 20;

/// A book as it was read or kept.
#[derive(Clone, Debug, Default)]
pub struct Version {
    pub(crate) book: Book,
    pub(crate) stamp: FileStamp,
    pub(crate) log: Option<Log>,
    /// While it is open, no other file is given its number in the file system: equal stamps are the same file.
    pub(crate) _held: Option<Arc<File>>,
}

/// The log that a book names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    pub(crate) number: u64,
    /// It may be continued.
    pub(crate) whole: bool,
    /// Bytes in use.
    pub(crate) end: u64,
}

impl Version {
    /// The book.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Whether changes of it are, or may be, in a log.
    pub const fn has_log(&self) -> bool {
        self.log.is_some()
    }

    fn is_torn(&self) -> bool {
        self.log.is_some_and(|log| !log.whole)
    }
}

impl FileStore {
    /// The book as it stands, with the changes in its log.
    ///
    /// # Errors
    /// It can't be read or understood.
    pub fn version(&self) -> Result<Version, StoreError> {
        for _ in 0..READS {
            match self.read_once() {
                Ok(Some(version)) if version.is_torn() => break,
                Ok(Some(version)) => return Ok(version),
                // Replaced meanwhile: its log may belong to the next one.
                Ok(None) => {}
                // Two lines that are written while the log is read can look so.
                Err(StoreError::Damaged { path, .. }) if path == self.log_path() => break,
                Err(e) => return Err(e),
            }
        }
        // Either half a line was written to this moment, or it will stay half a line. A book on a medium that can only be
        // read has no lock, and no writer either.
        let lock = self.lock();
        let version = self.read_once()?;
        if let Err(e @ StoreError::Locked { .. }) = lock {
            return version.ok_or(e);
        }
        version
            .ok_or_else(|| StoreError::Locked { path: self.place().to_owned() })
            .inspect(|v| self.warn_of(v))
    }

    /// Under the lock: nobody replaces anything.
    pub(crate) fn locked_version(&self) -> Result<Version, StoreError> {
        let version = self.read_once()?;
        version
            .ok_or_else(|| StoreError::Locked { path: self.place().to_owned() })
            .inspect(|v| self.warn_of(v))
    }

    fn warn_of(&self, version: &Version) {
        if version.is_torn() {
            let log = self.log_path();
            if log.exists() {
                let log = log.display();
                tracing::warn!("{log} ends in half a change, or is another book's; that half is left out");
            } else {
                let (log, book) = (log.display(), self.place().display());
                tracing::warn!(
                    "{log} is missing; if {book} was copied without it, its last changes are lost"
                );
            }
        }
    }

    /// Changes the book as [`crate::BookStore::update`] does, with less work where `known` is the version that lies there
    /// still: nothing is read, and what is small is added to the log. Returns the version that is on disk now.
    ///
    /// # Errors
    /// As [`crate::BookStore::update`].
    pub fn update_from(
        &self,
        known: &Version,
        change: &mut dyn FnMut(&mut Book) -> Result<(), BookError>,
    ) -> Result<Version, StoreError> {
        let _lock = self.lock()?;
        let before = if self.is_current(known)? { known.clone() } else { self.locked_version()? };
        let mut book = before.book.clone();
        change(&mut book)?;
        let amendment = Amendment::between(&before.book, &book);
        if let Some(amendment) = &amendment {
            if amendment.is_empty() {
                return Ok(before);
            }
            book.check_some(amendment.devices())?;
            if let Some(log) = self.append(&before, amendment)? {
                return Ok(Version { book, log: Some(log), ..before });
            }
        } else {
            book.check()?;
        }
        // Never a number that a log had before: time goes on, and if it does not, we do.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or_default();
        let number = before.log.map_or(now, |log| now.max(log.number.saturating_add(1)));
        self.write(&book, Some(number))?;
        // The book is whole without it: that there is no log costs time and nothing else.
        let made = log::create(&self.log_path(), number);
        if let Err(e) = &made {
            tracing::warn!("no log of changes is kept: {}: {e}", self.log_path().display());
        }
        let log = Some(Log { number, whole: made.is_ok(), end: made.unwrap_or_default() });
        Ok(Version { book, stamp: self.book_stamp()?, log, _held: self.hold()? })
    }

    /// Whether the book is still this version.
    ///
    /// # Errors
    /// The files can't be looked at.
    pub fn is_current(&self, known: &Version) -> Result<bool, StoreError> {
        if self.book_stamp()? != known.stamp {
            return Ok(false);
        }
        let Some(log) = known.log else { return Ok(true) };
        let path = self.log_path();
        log::goes_on(&path, log.end).map(|more| !more).map_err(Self::io("read", &path))
    }

    /// Adds a change to the log, where it has one that can take it. Returns the log then.
    fn append(&self, before: &Version, amendment: &Amendment) -> Result<Option<Log>, StoreError> {
        let Some(log) = before.log.filter(|log| log.whole) else { return Ok(None) };
        let path = self.log_path();
        let line = log::line_of(amendment).map_err(|e| Self::io("write", &path)(e.into()))?;
        let end = log.end + line.len() as u64;
        if end > log::SIZE {
            return Ok(None);
        }
        log::append(&path, log.end, &line).map_err(Self::io("write", &path))?;
        Ok(Some(Log { end, ..log }))
    }

    /// Puts the changes of the log into the book, so that there is one file again, which programs that know no log can
    /// read.
    ///
    /// # Errors
    /// As [`crate::BookStore::update`].
    pub fn fold(&self) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        let version = self.locked_version()?;
        if version.log.is_some() {
            self.write(&version.book, None)?;
        }
        self.drop_log();
        Ok(())
    }

    /// A log that the book does not name says nothing: that it lies there is not worth an error.
    pub(crate) fn drop_log(&self) {
        if let Err(e) = log::remove(&self.log_path()) {
            tracing::warn!("can't remove {}: {e}", self.log_path().display());
        }
    }

    fn hold(&self) -> Result<Option<Arc<File>>, StoreError> {
        match File::open(self.place()) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Self::io("open", self.place())(e)),
        }
    }

    /// Reads the book and its log; none when the book was replaced in between.
    fn read_once(&self) -> Result<Option<Version>, StoreError> {
        let held = self.hold()?;
        let stamp = self.book_stamp()?;
        let (mut book, number) = self.read_book()?;
        let mut log = None;
        if let Some(number) = number {
            let (whole, end) = self.read_log(&mut book, number)?;
            log = Some(Log { number, whole, end });
        }
        // Whoever replaces the book does so before touching the log. What is held does not come back under another name.
        let meta = held.as_ref().map(|file| file.metadata()).transpose();
        let meta = meta.map_err(Self::io("look at", self.place()))?;
        let unmoved = stamp == FileStamp::of(meta.as_ref()) && self.book_stamp()? == stamp;
        Ok(unmoved.then_some(Version { book, stamp, log, _held: held }))
    }
}

#[cfg(test)]
#[path = "version_tests.rs"]
mod tests;
