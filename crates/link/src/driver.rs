//! The task of one device: carries bytes between its socket and its line.
//!
//! The line and the socket stand behind one lock, so that a caller's set is written to the socket by the caller itself;
//! the task reads, keeps the timer and opens connections. There is no buffer per device: the task waits until the
//! socket is readable and reads into one that belongs to the thread.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use landfall_proto::Now;
use landfall_proto::id::DeviceId;
use landfall_proto::lan::Version;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot};
use tokio::time::{Sleep, sleep_until, timeout};

use crate::detect::{Basis, Subject};
use crate::entropy::OsEntropy;
use crate::line::{CommandId, Completion, Event, Line, Output};
use crate::link;
use crate::news::{DeviceNews, News};
use crate::state::ConnectFailure;

/// Bytes read at once. A frame of a device has some hundred (lan.md 1.6).
const READ: usize = 4096;
/// Reads in a row before other tasks get their turn.
const READS: usize = 16;
/// A device that leaves this much unread is not reading.
const MAX_UNSENT: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { entropy: OsEntropy::new(), buffer: [0; READ] }) };
}

struct Scratch {
    entropy: OsEntropy,
    buffer: [u8; READ],
}

#[derive(Clone, Copy, Debug)]
enum Want {
    Connect(SocketAddr),
    Detect(SocketAddr),
}

/// What handle and task of a device share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: Arc<DeviceId>,
    pub(crate) link: Arc<link::Shared>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) line: Line,
    pub(crate) connects: u64,
    socket: Option<TcpStream>,
    unsent: Vec<u8>,
    want: Option<Want>,
    /// The connection being opened is not wanted any more.
    give_up: bool,
    /// When the task's timer fires.
    armed: Duration,
    waker: Option<Waker>,
    callers: Vec<(CommandId, oneshot::Sender<Completion>)>,
    news: Option<broadcast::Sender<News>>,
    closing: Vec<oneshot::Sender<()>>,
    /// The task has ended.
    ended: bool,
}

impl Shared {
    pub(crate) fn new(id: Arc<DeviceId>, link: Arc<link::Shared>, line: Line) -> Self {
        let inner = Inner {
            line,
            connects: 0,
            socket: None,
            unsent: Vec::new(),
            want: None,
            give_up: false,
            armed: Duration::MAX,
            waker: None,
            callers: Vec::new(),
            news: None,
            closing: Vec::new(),
            ended: false,
        };
        Self { id, link, inner: Mutex::new(inner) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing leaves the state half changed: every change is one call into the line.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the line and at once what follows from it: writing to the socket, news, outcomes.
    pub(crate) fn act<T>(&self, f: impl FnOnce(&mut Inner, Now) -> T) -> T {
        let now = self.link.now();
        let mut inner = self.lock();
        let result = f(&mut inner, now);
        if inner.ended {
            inner.callers.clear();
            return result;
        }
        let due = inner.pump(self, now);
        // The task is needed for what a caller can't do: timers, opening connections, waiting for the socket.
        if (due < inner.armed
            || inner.want.is_some()
            || inner.give_up
            || !inner.unsent.is_empty()
            || inner.line.is_closed())
            && let Some(waker) = &inner.waker
        {
            waker.wake_by_ref();
        }
        result
    }
}

impl Inner {
    pub(crate) fn subscribe(&mut self) -> broadcast::Receiver<News> {
        if self.ended {
            // A sender that is dropped at once: the listener hears the end.
            return broadcast::Sender::new(1).subscribe();
        }
        self.news.get_or_insert_with(|| broadcast::Sender::new(NEWS)).subscribe()
    }

    pub(crate) fn wait_for(&mut self, id: CommandId) -> oneshot::Receiver<Completion> {
        let (tx, rx) = oneshot::channel();
        self.callers.push((id, tx));
        rx
    }

    /// A signal of the task's end; `None` when it has ended.
    pub(crate) fn end_signal(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.ended {
            return None;
        }
        let (tx, rx) = oneshot::channel();
        self.closing.push(tx);
        Some(rx)
    }

    /// Does what the line wants until it waits; returns its deadline.
    fn pump(&mut self, shared: &Shared, now: Now) -> Duration {
        loop {
            let output = SCRATCH.with_borrow_mut(|s| self.line.poll_output(now, &mut s.entropy));
            match output {
                Output::Transmit(bytes) => self.send(&bytes, now),
                Output::Done { id, completion } => {
                    if let Some(at) = self.callers.iter().position(|(i, _)| *i == id) {
                        let (_, caller) = self.callers.swap_remove(at);
                        // A caller that went away does not want to know.
                        let _ = caller.send(completion);
                    }
                }
                Output::Event(event) => self.tell(shared, event),
                Output::Connect(address) => self.want = Some(Want::Connect(address)),
                Output::Detect(address) => self.want = Some(Want::Detect(address)),
                Output::Disconnect => {
                    self.socket = None;
                    self.unsent = Vec::new();
                    self.want = None;
                    self.give_up = true;
                }
                Output::Wait(due) => return due,
            }
        }
    }

    fn send(&mut self, bytes: &[u8], now: Now) {
        let Some(socket) = &self.socket else { return };
        let mut rest = bytes;
        if self.unsent.is_empty() {
            match socket.try_write(bytes) {
                Ok(n) => rest = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.line.handle_close(now),
            }
        }
        if self.unsent.len() + rest.len() > MAX_UNSENT {
            return self.line.handle_close(now);
        }
        self.unsent.extend_from_slice(rest);
    }

    fn tell(&mut self, shared: &Shared, event: Event) {
        let news = match event {
            Event::State(state) => {
                tracing::debug!(device = %shared.id, %state, "connection");
                News::State(state)
            }
            Event::Report { report, origin } => {
                if !self.is_heard(shared) {
                    return;
                }
                News::Report { report: Arc::new(report), origin }
            }
            Event::Subdevices(online) => News::Subdevices(Arc::new(online)),
            Event::Version(version) => News::Version(version),
            Event::Unasked { command, body } => News::Unasked { command, body: body.into() },
        };
        if shared.link.news.receiver_count() > 0 {
            // Fails only when the last listener left in this moment.
            let _ = shared.link.news.send(DeviceNews { id: Arc::clone(&shared.id), news: news.clone() });
        }
        if let Some(own) = &self.news {
            if own.receiver_count() == 0 {
                self.news = None;
            } else {
                let _ = own.send(news);
            }
        }
    }

    fn is_heard(&self, shared: &Shared) -> bool {
        self.news.is_some() || shared.link.news.receiver_count() > 0
    }
}

/// News of one device kept for a slow listener.
const NEWS: usize = 32;

enum Opened {
    Stream(Result<TcpStream, ConnectFailure>, Option<OwnedSemaphorePermit>),
    Version(Result<Version, Box<str>>),
}

type Opening = Pin<Box<dyn Future<Output = Opened> + Send>>;

/// The task.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    opening: Option<Opening>,
    /// The turn among the simultaneous handshakes; given back when the session is ready.
    permit: Option<OwnedSemaphorePermit>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, opening: None, permit: None, sleep: None }
    }
}

async fn open(link: Arc<link::Shared>, address: SocketAddr) -> Opened {
    // Never closed, so this fails never; going on without a turn would be harmless.
    let permit = Arc::clone(&link.handshakes).acquire_owned().await.ok();
    let stream = match timeout(link.config.connect_timeout, TcpStream::connect(address)).await {
        Err(_) => Err(ConnectFailure::TimedOut),
        Ok(Err(e)) => Err(ConnectFailure::from(&e)),
        // Every frame is written in one call; waiting for more would only cost time.
        Ok(Ok(stream)) => stream.set_nodelay(true).map(|()| stream).map_err(|e| ConnectFailure::from(&e)),
    };
    Opened::Stream(stream, permit)
}

/// A device that serves a single client must have noticed that the detection's last connection is gone, or it turns the
/// next one away as if another program held it.
const AFTER_DETECTION: Duration = Duration::from_millis(500);

async fn detect(link: Arc<link::Shared>, subject: Subject) -> Opened {
    let _permit = Arc::clone(&link.handshakes).acquire_owned().await.ok();
    let found = link.detector.detect(&subject).await;
    if found.as_ref().is_ok_and(|d| d.basis == Basis::Probed) {
        tokio::time::sleep(AFTER_DETECTION).await;
    }
    Opened::Version(found.map(|d| d.version).map_err(|e| e.to_string().into()))
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shared = Arc::clone(&this.shared);
        let mut now = shared.link.now();
        let mut inner = shared.lock();
        if !inner.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
        if let Some(sleep) = &mut this.sleep
            && now.mono >= inner.armed
            && sleep.as_mut().poll(cx).is_ready()
        {
            inner.armed = Duration::MAX;
            now = shared.link.now();
            inner.line.handle_timeout(now);
        }
        let mut reads = 0;
        loop {
            let due = inner.pump(&shared, now);
            if inner.give_up {
                inner.give_up = false;
                this.opening = None;
                this.permit = None;
            }
            if inner.line.is_closed() {
                return Poll::Ready(());
            }
            if let Some(want) = inner.want.take() {
                let link = Arc::clone(&shared.link);
                this.opening = Some(match want {
                    Want::Connect(address) => Box::pin(open(link, address)),
                    Want::Detect(address) => Box::pin(detect(link, inner.line.subject(address))),
                });
            }
            if let Some(opening) = &mut this.opening {
                if let Poll::Ready(opened) = opening.as_mut().poll(cx) {
                    this.opening = None;
                    now = shared.link.now();
                    this.permit = inner.opened(opened, now);
                    continue;
                }
            } else if inner.line.is_ready() {
                this.permit = None;
            }
            if inner.flush(cx, now) || inner.read(cx, now) {
                reads += 1;
                if reads < READS {
                    continue;
                }
                cx.waker().wake_by_ref();
            }
            if due < inner.armed {
                this.arm(&mut inner, due, cx);
            }
            return Poll::Pending;
        }
    }
}

impl Driver {
    /// The timer is only ever moved forward: firing early costs one poll, moving it on every frame would cost more.
    fn arm(&mut self, inner: &mut Inner, due: Duration, cx: &mut Context<'_>) {
        let Some(at) = self.shared.link.instant(due) else { return };
        inner.armed = due;
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl Inner {
    fn opened(&mut self, opened: Opened, now: Now) -> Option<OwnedSemaphorePermit> {
        SCRATCH.with_borrow_mut(|s| match opened {
            Opened::Stream(Ok(stream), permit) => {
                self.socket = Some(stream);
                self.connects += 1;
                self.line.connected(now, &mut s.entropy);
                permit
            }
            Opened::Stream(Err(failure), _) => {
                self.line.connect_failed(failure, now, &mut s.entropy);
                None
            }
            Opened::Version(result) => {
                self.line.detected(result, now, &mut s.entropy);
                None
            }
        })
    }

    /// Writes what the socket did not take at once. True when something changed.
    fn flush(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        if self.unsent.is_empty() {
            return false;
        }
        let Some(socket) = &self.socket else { return false };
        match socket.poll_write_ready(cx) {
            Poll::Pending => false,
            Poll::Ready(Err(_)) => {
                self.line.handle_close(now);
                true
            }
            Poll::Ready(Ok(())) => {
                match socket.try_write(&self.unsent) {
                    Ok(n) => drop(self.unsent.drain(..n)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => self.line.handle_close(now),
                }
                if self.unsent.is_empty() {
                    self.unsent = Vec::new();
                }
                true
            }
        }
    }

    /// Reads once. True when something changed.
    fn read(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let Some(socket) = &mut self.socket else { return false };
        let line = &mut self.line;
        SCRATCH.with_borrow_mut(|s| {
            let mut buffer = ReadBuf::new(&mut s.buffer);
            match Pin::new(socket).poll_read(cx, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => line.handle_input(buffer.filled(), now),
                Poll::Ready(_) => line.handle_close(now),
            }
            true
        })
    }
}

impl Drop for Driver {
    /// However the task ends (closed, or its runtime shut down): nobody may wait for it in vain.
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.line.close();
        inner.pump(&self.shared, self.shared.link.now());
        inner.ended = true;
        inner.socket = None;
        inner.waker = None;
        inner.callers.clear();
        inner.news = None;
        for waiting in inner.closing.drain(..) {
            let _ = waiting.send(());
        }
    }
}
