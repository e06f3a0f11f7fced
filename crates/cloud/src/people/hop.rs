//! Bytes between a person's client and the embedded broker, which takes connections from its own socket only.
//!
//! While nothing moves a connection holds no buffer: both ways share scratch space on the stack, and only what the other
//! side did not take at once is kept until it does.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Bytes moved at a time.
const SCRATCH: usize = 8 * 1024;

/// Copies both ways until one side ends and the other has been told everything.
///
/// A client that does not take what the broker has for it, or that has not caught up once for as long as `patience`, is
/// cut: what waits for it would otherwise pile up inside the broker. A side that ended leaves the other as much time to
/// end too.
///
/// # Errors
/// The sockets' errors; [`io::ErrorKind::TimedOut`] when patience ran out.
pub async fn copy<C, B>(client: &mut C, broker: &mut B, patience: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut up = Way::default();
    let mut down = Way::default();
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut deadline = None;
    poll_fn(move |cx| {
        let up_done = up.poll(cx, client, broker)?.is_ready();
        let down_done = down.poll(cx, broker, client)?.is_ready();
        if down_done {
            // The broker hung up, and the client has been told all it said.
            return Poll::Ready(Ok(()));
        }
        if up_done || down.behind {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
            timer.as_mut().reset(deadline);
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        deadline = None;
        Poll::Pending
    })
    .await
}

/// One way.
#[derive(Default)]
struct Way {
    /// What the writer has not taken yet, from `at` on.
    kept: Vec<u8>,
    at: usize,
    /// The reader ended.
    ended: bool,
    /// The writer was told so.
    closed: bool,
    /// The writer was slow at some time since the reader had nothing to say.
    behind: bool,
}

impl Way {
    /// Moves what can be moved; ready once the reader has ended and the writer been closed.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let mut scratch = [MaybeUninit::uninit(); SCRATCH];
        loop {
            while let Some(rest) = self.kept.get(self.at..).filter(|rest| !rest.is_empty()) {
                match Pin::new(&mut *writer).poll_write(cx, rest)? {
                    Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(taken) => self.at += taken,
                    Poll::Pending => {
                        self.behind = true;
                        return Poll::Pending;
                    }
                }
            }
            // The memory too: most connections are idle most of the time.
            self.kept = Vec::new();
            self.at = 0;
            if self.ended {
                if !self.closed {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                    self.closed = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::uninit(&mut scratch);
            if Pin::new(&mut *reader).poll_read(cx, &mut buffer)?.is_pending() {
                self.behind = Pin::new(writer).poll_flush(cx)?.is_pending();
                return Poll::Pending;
            }
            let filled = buffer.filled();
            if filled.is_empty() {
                self.ended = true;
                continue;
            }
            let taken = match Pin::new(&mut *writer).poll_write(cx, filled)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(taken) => taken,
                Poll::Pending => 0,
            };
            if let Some(rest) = filled.get(taken..).filter(|rest| !rest.is_empty()) {
                self.kept = rest.to_vec();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_and_an_end_is_passed_on() {
        let (mut person, mut client) = duplex(64);
        let (mut inside, mut broker) = duplex(64);
        let hop = tokio::spawn(async move { copy(&mut client, &mut inside, PATIENCE).await });
        let sent: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
        let (up, down) = (sent.clone(), sent.clone());
        let person = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(&mut person);
            let mut heard = vec![0; 50_000];
            let (w, r) = tokio::join!(write.write_all(&up), read.read_exact(&mut heard));
            w.unwrap();
            r.unwrap();
            drop((read, write));
            heard
        });
        let (mut read, mut write) = tokio::io::split(&mut broker);
        let mut heard = vec![0; 50_000];
        let (w, r) = tokio::join!(write.write_all(&down), read.read_exact(&mut heard));
        w.unwrap();
        r.unwrap();
        assert_eq!(heard, sent);
        assert_eq!(person.await.unwrap(), sent);
        // The person is gone: the broker reads the end, and hangs up.
        assert_eq!(read.read(&mut [0; 1]).await.unwrap(), 0);
        drop((read, write));
        drop(broker);
        assert!(hop.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn last_words_of_the_broker_reach_the_client() {
        let (mut person, mut client) = duplex(4);
        let (mut inside, mut broker) = duplex(64);
        let hop = tokio::spawn(async move { copy(&mut client, &mut inside, PATIENCE).await });
        broker.write_all(b"refused, and why").await.unwrap();
        drop(broker);
        let mut heard = Vec::new();
        person.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"refused, and why");
        assert!(hop.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_catches_up_is_cut() {
        let (mut person, mut client) = duplex(16);
        let (mut inside, mut broker) = duplex(1024);
        let begun = Instant::now();
        let hop = tokio::spawn(async move { copy(&mut client, &mut inside, PATIENCE).await });
        // It does read, a byte each second, and the broker always has more for it.
        let slow = tokio::spawn(async move {
            let mut byte = [0];
            while person.read(&mut byte).await.is_ok_and(|n| n > 0) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let busy = tokio::spawn(async move { while broker.write_all(&[7; 100]).await.is_ok() {} });
        assert_eq!(hop.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((PATIENCE..PATIENCE * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        slow.await.unwrap();
        busy.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_and_one_that_catches_up_stay() {
        let (mut person, mut client) = duplex(16);
        let (mut inside, mut broker) = duplex(1024);
        let hop = tokio::spawn(async move { copy(&mut client, &mut inside, PATIENCE).await });
        let mut heard = [0; 100];
        for _ in 0..5 {
            broker.write_all(&[7; 100]).await.unwrap();
            tokio::time::sleep(PATIENCE / 2).await;
            person.read_exact(&mut heard).await.unwrap();
            tokio::time::sleep(PATIENCE * 2).await;
        }
        assert!(!hop.is_finished());
        drop(broker);
        assert!(hop.await.unwrap().is_ok());
    }
}
