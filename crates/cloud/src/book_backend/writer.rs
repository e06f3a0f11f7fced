//! The one task that changes the book. Changes that wait are kept together, in one replacement of the file: a house that
//! comes back after a power cut does not write its book once for each device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall_book::{Book, BookError};
use landfall_proto::id::DeviceId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::lane::Refill;
use super::{Inner, locked};
use crate::backend::{Announcement, BackendError};

/// Changes that may wait; whoever has one more waits for a place.
const QUEUE: usize = 256;
/// Changes that are kept together.
const BATCH: usize = 64;
/// How long keys that were told may wait to be entered: with the write itself, less than 250 ms.
const ENTER: Duration = Duration::from_millis(200);
/// How often the file is looked at: another process may have changed it.
const LOOK: Duration = Duration::from_secs(1);
/// How long what a device said of itself may be in memory only.
const STORE_ANNOUNCEMENTS: Duration = Duration::from_secs(5);

/// Tells the one who asked, once the book is kept, or why it is not.
type Finish = Box<dyn FnOnce(Result<(), BackendError>) + Send>;
/// A change. It leaves the book as it was when it fails; without a book, which could not be read then, it does nothing.
type Job = Box<dyn FnOnce(Option<&mut Book>) -> Finish + Send>;

/// Where changes are handed in.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    end: CancellationToken,
    /// Taken by whoever waits for the end.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

/// What became of a change.
pub(super) enum Changed<T, E> {
    /// It is kept.
    Kept(T),
    /// It was not possible; nothing changed.
    Refused(E),
    /// It could not be kept.
    Failed(BackendError),
}

fn ended() -> BackendError {
    BackendError { what: "the book is not being written any more".to_owned() }
}

impl Writer {
    /// Starts the task. It ends by [`close`](Self::close), or when the writer is dropped.
    pub(super) fn start(inner: Arc<Inner>) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let end = CancellationToken::new();
        let task = tokio::spawn(run(inner, queue, end.clone()));
        Self { jobs, end, task: Mutex::new(Some(task)) }
    }

    /// Takes no more changes, and waits until those that were handed in are done and the book is one file.
    pub(super) async fn close(&self) {
        self.end.cancel();
        let task = locked(&self.task).take();
        if let Some(task) = task
            && let Err(e) = task.await
        {
            unfinished("the end of the book's writer", &e);
        }
    }

    /// Changes the book; on return it is on disk and in the index.
    pub(super) async fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, E> + Send + 'static,
    ) -> Changed<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |book| {
            let done = book.map(change);
            Box::new(move |kept| {
                let outcome = match (done, kept) {
                    (Some(Ok(value)), Ok(())) => Changed::Kept(value),
                    (Some(Err(e)), _) => Changed::Refused(e),
                    (_, Err(e)) => Changed::Failed(e),
                    (None, Ok(())) => Changed::Failed(ended()),
                };
                // Whoever asked may have gone.
                let _gone = tell.send(outcome);
            })
        });
        if self.jobs.send(job).await.is_err() {
            return Changed::Failed(ended());
        }
        told.await.unwrap_or_else(|_| Changed::Failed(ended()))
    }

    /// The same where the book itself is what refuses.
    pub(super) async fn change_book<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BackendError> {
        match self.change(change).await {
            Changed::Kept(value) => Ok(value),
            Changed::Refused(e) => Err(BackendError { what: e.to_string() }),
            Changed::Failed(e) => Err(e),
        }
    }
}

async fn run(inner: Arc<Inner>, mut queue: mpsc::Receiver<Job>, end: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut jobs = Vec::new();
    let mut stored = Instant::now();
    let mut wrote = false;
    let mut due: Option<Instant> = None;
    loop {
        let write_now = tokio::select! {
            got = queue.recv_many(&mut jobs, BATCH) => {
                if got == 0 {
                    break;
                }
                true
            }
            // What was handed in before is still received.
            () = end.cancelled(), if !queue.is_closed() => {
                queue.close();
                false
            }
            () = inner.woken.notified() => {
                if due.is_none() && locked(&inner.lane).waits() {
                    due = Some(Instant::now() + ENTER);
                }
                inner.reserve_due(false)
            }
            () = at(due) => true,
            _ = look.tick() => {
                let said = inner.has_announcements() && stored.elapsed() >= STORE_ANNOUNCEMENTS;
                let write_now = said || inner.reserve_due(true);
                if !write_now {
                    refresh(&inner).await;
                }
                write_now
            }
        };
        if write_now {
            write(&inner, std::mem::take(&mut jobs)).await;
            // What was told meanwhile has woken us already, and what failed is tried again when the file is looked at.
            (stored, wrote, due) = (Instant::now(), true, None);
        }
    }
    locked(&inner.lane).end();
    if inner.has_announcements() || locked(&inner.lane).kept() {
        write(&inner, Vec::new()).await;
        wrote = true;
    }
    // Who only looked leaves the log to whoever writes it.
    if wrote {
        fold(&inner).await;
    }
}

/// Work beside the runtime came to no end. A runtime that ends under it cancels it, which a kill could have done as well: the
/// log keeps what was written.
fn unfinished(what: &str, e: &JoinError) {
    if e.is_cancelled() {
        tracing::debug!("{what} was not waited for");
    } else {
        tracing::error!("{what}: {e}");
    }
}

/// Waits until then; for ever without.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Leaves one file behind, for programs that know no log, and for whoever copies it.
async fn fold(inner: &Arc<Inner>) {
    if !locked(&inner.shown).has_log() {
        return;
    }
    let inner = Arc::clone(inner);
    let folded = tokio::task::spawn_blocking(move || inner.store.fold()).await;
    match folded {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::warn!("changes stay in the log beside the book: {}", super::failed(&e)),
        Err(e) => unfinished("putting the log into the book", &e),
    }
}

/// Changes the file and the index. Errors go to those who asked.
async fn write(inner: &Arc<Inner>, jobs: Vec<Job>) {
    let inner = Arc::clone(inner);
    let done = tokio::task::spawn_blocking(move || write_now(&inner, jobs)).await;
    if let Err(e) = done {
        unfinished("a change of the book", &e);
    }
}

fn write_now(inner: &Inner, jobs: Vec<Job>) {
    let announced = inner.take_announcements();
    let announced_nothing = announced.is_empty();
    let mut finish = Vec::with_capacity(jobs.len());
    let mut jobs = Some(jobs);
    let mut left = HashMap::new();
    let known = locked(&inner.shown).clone();
    let refill = inner.refill().unwrap_or_else(|e| {
        tracing::error!("no keys are made ahead: {e}");
        Refill::default()
    });
    let kept = inner.store.update_from(&known, &mut |book| {
        // In this order: what was told counts for whoever changes something now.
        locked(&inner.lane).settle(book);
        refill.apply(book);
        left = announce(book, &announced);
        finish.extend(jobs.take().into_iter().flatten().map(|job| job(Some(&mut *book))));
        Ok(())
    });
    let kept = match kept {
        Ok(version) => {
            // What is left is shown again with the rest.
            inner.keep_announcements(left);
            let mut lane = locked(&inner.lane);
            lane.written(refill);
            inner.show(&mut lane, version);
            Ok(())
        }
        Err(e) => {
            inner.keep_announcements(announced);
            let e = super::failed(&e);
            locked(&inner.lane).not_written(&e);
            Err(e)
        }
    };
    if finish.is_empty()
        && !announced_nothing
        && let Err(e) = &kept
    {
        tracing::warn!("what devices said of themselves is not stored yet: {e}");
    }
    // The book could not even be read.
    finish.extend(jobs.into_iter().flatten().map(|job| job(None)));
    for finish in finish {
        finish(kept.clone());
    }
}

/// Stores what devices said. Returns what can't be stored yet: the device's new keys are not in use.
fn announce(book: &mut Book, announced: &HashMap<DeviceId, Announcement>) -> HashMap<DeviceId, Announcement> {
    let mut left = HashMap::new();
    for (id, what) in announced {
        let Some(device) = book.by_id_mut(id) else {
            if book.by_any_id(id).is_some() || book.reserved(id).is_some() {
                left.insert(id.clone(), what.clone());
            }
            continue;
        };
        let side = &mut device.cloud;
        side.envelope = what.envelope.or(side.envelope);
        side.generation = what.generation.or(side.generation);
        if what.software.is_some() {
            side.software.clone_from(&what.software);
        }
    }
    left
}

/// Reads the book anew if somebody else changed it.
async fn refresh(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    let looked = tokio::task::spawn_blocking(move || {
        let shown = locked(&inner.shown).clone();
        match inner.store.is_current(&shown) {
            Ok(true) => Ok(()),
            Ok(false) => inner.store.version().map(|v| inner.show(&mut locked(&inner.lane), v)),
            Err(e) => Err(e),
        }
        .map_err(|e| {
            locked(&inner.lane).suspect();
            inner.complain(&e);
        })
    });
    if let Err(e) = looked.await {
        unfinished("a look at the book", &e);
    }
}
