//! A finished handshake.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use landfall_proto::psk::Identity;
use openssl::ssl::{NameType, SslRef};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_openssl::SslStream;

/// How the two ends know each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPeer {
    /// By a pre-shared key: the client's identity.
    Psk {
        /// The identity. Of type 1 it proves nothing: everybody can compute the key.
        identity: Identity,
    },
    /// By the server's certificate.
    Certificate {
        /// The host name that the client asked for.
        sni: Option<String>,
    },
}

/// A TLS connection. Reading ends with 0 bytes whether or not the peer said goodbye.
pub struct TlsStream<S> {
    inner: SslStream<S>,
    peer: TlsPeer,
    suite: &'static str,
}

impl<S> TlsStream<S> {
    pub(super) fn new(inner: SslStream<S>, peer: TlsPeer) -> Self {
        let suite = inner.ssl().current_cipher().map_or("", |cipher| cipher.name());
        Self { inner, peer, suite }
    }

    /// How the two ends know each other.
    pub const fn peer(&self) -> &TlsPeer {
        &self.peer
    }

    /// The suite in OpenSSL's words: `PSK-AES128-CBC-SHA256`.
    pub const fn suite(&self) -> &'static str {
        self.suite
    }

    /// The hint that the server sent, on both sides of a PSK connection.
    pub fn hint(&self) -> Option<&[u8]> {
        self.inner.ssl().psk_identity_hint()
    }

    /// The stream below.
    pub fn transport(&self) -> &S {
        self.inner.get_ref()
    }
}

/// The name of the SNI extension if it could be a host name. It goes into logs, so nothing else passes.
pub(super) fn sni(ssl: &SslRef) -> Option<String> {
    let name = ssl.servername(NameType::HOST_NAME)?;
    let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!name.is_empty() && name.len() <= 253 && name.bytes().all(host)).then(|| name.to_owned())
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({:?}, {})", self.peer, self.suite)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
