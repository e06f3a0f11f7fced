//! The door between a stream and hyper: escapes request targets that hyper would refuse ([`super::target`]), and cuts
//! peers that are slow, silent or half open. Time is tokio's, so that tests move it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::target;
use crate::config::Limits;
use crate::listen::Stream;

/// Longest request line and longest header line that are waited for. Devices make 255 bytes of URL at most.
const MAX_LINE: usize = 8 * 1024;
/// Bytes read from the stream at a time.
const READ: usize = 4 * 1024;
/// A connection may idle between two requests for so many times the patience for one: devices that keep it open ask
/// again soon, the rest is half open.
const IDLE_FACTOR: u32 = 4;

/// Where in the conversation the bytes from the peer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before or in a request line.
    Line,
    /// In the headers; the length of the body as they said so far.
    Headers { body: u64 },
    /// In a body of which so much is to come.
    Body { left: u64 },
    /// In something that only hyper understands (chunks, garbage): passed on unseen, and no longer waited for than for
    /// one request. Devices send none of it.
    Through,
}

/// A stream for hyper.
pub(super) struct Door<S> {
    stream: S,
    place: Place,
    /// Bytes of a line that is not complete.
    line: Vec<u8>,
    /// Bytes for hyper, taken up to `given`.
    ready: Vec<u8>,
    given: usize,
    patience: Duration,
    write_patience: Duration,
    /// When the head or body that is arriving must be there, or the next request must have begun.
    read_by: Pin<Box<Sleep>>,
    /// When what we write must have moved; `None`: nothing waits.
    write_by: Option<Pin<Box<Sleep>>>,
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: Stream> Door<S> {
    /// A door that opens: the first request is awaited from now on.
    pub(super) fn new(stream: S, limits: &Limits) -> Self {
        Self {
            stream,
            place: Place::Line,
            line: Vec::new(),
            ready: Vec::new(),
            given: 0,
            patience: limits.patience,
            write_patience: limits.write_patience,
            read_by: Box::pin(tokio::time::sleep(limits.patience)),
            write_by: None,
        }
    }

    fn read_within(&mut self, time: Duration) {
        self.read_by.as_mut().reset(Instant::now() + time);
    }

    /// Takes bytes from the peer and makes of them what hyper is given.
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Through => {
                    self.ready.extend_from_slice(bytes);
                    &[]
                }
                Place::Body { left } => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (body, rest) = bytes.split_at(n);
                    self.ready.extend_from_slice(body);
                    self.enter(match left - n as u64 {
                        0 => Place::Line,
                        left => Place::Body { left },
                    });
                    rest
                }
                Place::Line | Place::Headers { .. } => self.take_line(bytes),
            };
        }
    }

    /// Takes bytes up to the end of a line, and returns the rest.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begins = self.place == Place::Line && self.line.is_empty();
        if begins && !matches!(bytes.first(), Some(b'\r' | b'\n')) {
            // Its head has the whole patience from here.
            self.read_within(self.patience);
        }
        let n = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
        let (part, rest) = bytes.split_at(n);
        self.line.extend_from_slice(part);
        if self.line.last() == Some(&b'\n') {
            let line = std::mem::take(&mut self.line);
            self.line_ended(&line);
        } else if self.line.len() > MAX_LINE {
            self.ready.append(&mut self.line);
            self.place = Place::Through;
        }
        rest
    }

    fn line_ended(&mut self, line: &[u8]) {
        let empty = line.iter().all(|b| matches!(b, b'\r' | b'\n'));
        let next = match self.place {
            // Some senders end a body with an empty line.
            Place::Line if empty => Place::Line,
            Place::Line => {
                self.ready.extend_from_slice(&target::escape(line));
                self.place = Place::Headers { body: 0 };
                return;
            }
            Place::Headers { body: 0 } if empty => Place::Line,
            Place::Headers { body } if empty => Place::Body { left: body },
            Place::Headers { body } => header(line, body),
            other => other,
        };
        self.ready.extend_from_slice(line);
        if next == self.place || matches!(next, Place::Headers { .. }) {
            self.place = next;
        } else {
            self.enter(next);
        }
    }

    /// Goes on to another part of the conversation, which has its own time.
    fn enter(&mut self, place: Place) {
        let starts = !matches!((self.place, place), (Place::Body { .. }, Place::Body { .. }));
        self.place = place;
        if starts {
            self.read_within(if place == Place::Line { self.patience * IDLE_FACTOR } else { self.patience });
        }
    }

    /// What a write came to. While something waits to be written the peer has to take some of it in time.
    fn written<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.write_by = None;
            return done;
        }
        let patience = self.write_patience;
        let by = self.write_by.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match by.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the peer does not take what we send"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What a header line says of the body to come.
fn header(line: &[u8], body: u64) -> Place {
    let Some(colon) = line.iter().position(|b| *b == b':') else { return Place::Headers { body } };
    let (name, value) = line.split_at(colon);
    if name.eq_ignore_ascii_case(b"transfer-encoding") {
        return Place::Through;
    }
    if !name.eq_ignore_ascii_case(b"content-length") {
        return Place::Headers { body };
    }
    let value = value.get(1..).map_or("", |v| std::str::from_utf8(v).unwrap_or("")).trim();
    // Hyper refuses numbers that are none, and two that differ.
    value.parse().map_or(Place::Through, |body| Place::Headers { body })
}

impl<S: Stream> AsyncRead for Door<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let door = &mut *self;
        loop {
            if let Some(ready) = door.ready.get(door.given..).filter(|r| !r.is_empty()) {
                let n = ready.len().min(buf.remaining());
                if let Some(part) = ready.get(..n) {
                    buf.put_slice(part);
                }
                door.given += n;
                return Poll::Ready(Ok(()));
            }
            door.ready.clear();
            door.given = 0;
            let mut space = [0; READ];
            let mut read = ReadBuf::new(&mut space);
            match Pin::new(&mut door.stream).poll_read(cx, &mut read) {
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    // The end: what is left of a line is hyper's to refuse.
                    if door.line.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    door.ready = std::mem::take(&mut door.line);
                }
                Poll::Ready(Ok(())) => door.take(read.filled()),
                Poll::Pending => {
                    if door.write_by.is_some() {
                        // We wait for the peer to take an answer, not for a request.
                        return Poll::Pending;
                    }
                    return match door.read_by.as_mut().poll(cx) {
                        Poll::Ready(()) => Poll::Ready(Err(timed_out("the request did not come in time"))),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl<S: Stream> AsyncWrite for Door<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(done, Poll::Ready(Ok(1..))) && self.place == Place::Line && self.line.is_empty() {
            // It takes our answer and is alive: its next request may take its time.
            let idle = self.patience * IDLE_FACTOR;
            self.read_within(idle);
        }
        self.written(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, done)
    }
}
