//! The book itself, for the hub in the same process: reading, changing, hearing of changes. The writer stays the only one
//! that touches the file.

use landfall_book::Book;
use tokio::sync::watch;

use super::BookBackend;
use super::writer::Changed;
use crate::backend::BackendError;

/// Why the book was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself was not possible.
    #[error("{0}")]
    Refused(E),
    /// It could not be kept.
    #[error("{0}")]
    NotStored(BackendError),
}

impl BookBackend {
    /// Reads the book as it is in memory. Immediate.
    pub fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        // A copy costs nothing, and whoever reads may look something up meanwhile.
        let book = self.inner.index().book.clone();
        read(&book)
    }

    /// The number of the book's version in memory: it grows with each change, whoever made it.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// Changes the book; on return it is on disk and in memory. A change that fails must leave the book as it was.
    ///
    /// # Errors
    /// It was refused by `change`, or could not be kept.
    pub async fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        match self.writer.change(change).await {
            Changed::Kept(value) => Ok(value),
            Changed::Refused(e) => Err(ChangeError::Refused(e)),
            Changed::Failed(e) => Err(ChangeError::NotStored(e)),
        }
    }
}
