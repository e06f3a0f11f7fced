//! Reading and writing without a buffer for each silent connection.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use crate::listen::Stream;

/// Read at a time; on the stack, so that a silent connection has no buffer.
const CHUNK: usize = 4 * 1024;

/// What a poll of the stream did.
pub(super) enum Io {
    Read(usize),
    Wrote,
}

/// Writes what waits, then reads what came. The buffer for reading is on the stack.
pub(super) fn poll_io<S: Stream>(
    stream: &mut S,
    input: &mut BytesMut,
    output: &mut BytesMut,
    reading: bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Io>> {
    if !output.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, output) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => {
                output.advance(n);
                if output.is_empty() {
                    // What is not flushed now is flushed by the next write.
                    let _later = Pin::new(&mut *stream).poll_flush(cx)?;
                }
                return Poll::Ready(Ok(Io::Wrote));
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Pending => {}
        }
    }
    if !reading {
        return Poll::Pending;
    }
    let mut chunk = [const { MaybeUninit::uninit() }; CHUNK];
    let mut buffer = ReadBuf::uninit(&mut chunk);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    input.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(Io::Read(buffer.filled().len())))
}
