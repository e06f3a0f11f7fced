//! What the TLS tests share: keys, an authority, both ends of a connection in memory.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use landfall_link::tls::{Acceptor, Authority, Connector, Names, PskKeys, TlsError, TlsStream};
use landfall_proto::id::{AuthKey, PskKey};
use landfall_proto::psk::{DeviceHash, HINT, Identity, PREFIX_ESP8266, Psk, PskType};
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_openssl::SslStream;

pub(crate) const UUID: &str = "vt0a1b2c3d4e5f60";
pub(crate) const PSK_KEY: &str = "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr";
/// No handshake in memory takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Keys of type 2 by the hash of the uuid.
#[derive(Default)]
pub(crate) struct Keys(HashMap<DeviceHash, PskKey>);

impl Keys {
    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn with(uuid: &str, key: &str) -> Arc<Self> {
        let hash = DeviceHash::of(PskType::Two, uuid);
        Arc::new(Self([(hash, PskKey::new(key).expect("a psk key"))].into()))
    }
}

impl PskKeys for Keys {
    fn key(&self, identity: &Identity) -> Option<Psk> {
        self.0.get(&identity.device()).map(Psk::of_key)
    }
}

/// One authority for all tests: making one costs two RSA keys.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<(tempfile::TempDir, Authority)> = OnceLock::new();
    let (_, authority) = AUTHORITY.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let names = Names::new()
            .with_hosts(["*.tuyaeu.com", "*.iot-dns.com", "landfall.example", "192.0.2.7"])
            .expect("names");
        let authority = Authority::open_or_create(dir.path().join("ca"), &names).expect("an authority");
        (dir, authority)
    });
    authority
}

/// PSK with one known key, and the certificate, on one port.
pub(crate) fn both() -> Acceptor {
    Acceptor::new(Some(Keys::with(UUID, PSK_KEY)), Some(authority().server().clone()), HINT)
        .expect("an acceptor")
}

/// As on port 8886.
pub(crate) fn psk_only() -> Acceptor {
    Acceptor::new(Some(Keys::with(UUID, PSK_KEY)), None, HINT).expect("an acceptor")
}

pub(crate) fn type_1(uuid: &str) -> Identity {
    Identity::type_1(PREFIX_ESP8266, uuid, &AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").expect("a key"))
}

pub(crate) fn psk(key: &str) -> Psk {
    Psk::of_key(&PskKey::new(key).expect("a psk key"))
}

pub(crate) type End = Result<TlsStream<DuplexStream>, TlsError>;

/// Both sides of a handshake in memory: server, client.
pub(crate) async fn meet(acceptor: &Acceptor, connector: &Connector, host: &str) -> (End, End) {
    let (near, far) = tokio::io::duplex(4096);
    let both = async { tokio::join!(acceptor.accept(near), connector.connect(host, far)) };
    tokio::time::timeout(PATIENCE, both).await.expect("the handshake ends")
}

/// Bytes both ways, more than fits into one record, then a goodbye.
pub(crate) async fn talk<A, B>(server: &mut TlsStream<A>, client: &mut B)
where
    A: AsyncRead + AsyncWrite + Send + Unpin,
    B: AsyncRead + AsyncWrite + Send + Unpin,
{
    let question: Vec<u8> = (0..20_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    let whole = async {
        let serving = async {
            let mut heard = vec![0; question.len()];
            server.read_exact(&mut heard).await.expect("the question arrives");
            assert_eq!(heard, question);
            server.write_all(&answer).await.expect("the answer goes out");
            server.shutdown().await.expect("goodbye");
        };
        let asking = async {
            client.write_all(&question).await.expect("the question goes out");
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.expect("the answer arrives, and an end");
            assert_eq!(heard, answer);
        };
        tokio::join!(serving, asking);
    };
    tokio::time::timeout(PATIENCE, whole).await.expect("the talk ends");
}

/// A client that is OpenSSL and nothing of ours, with the given protocol settings.
pub(crate) async fn foreign(
    acceptor: &Acceptor,
    set: impl FnOnce(&mut SslContextBuilder),
) -> (End, Result<SslStream<DuplexStream>, openssl::ssl::Error>) {
    let (near, far) = tokio::io::duplex(4096);
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).expect("a context");
    // Old versions need level 0.
    builder.set_cipher_list("ALL:@SECLEVEL=0").expect("all suites");
    set(&mut builder);
    let ssl = Ssl::new(&builder.build()).expect("a connection");
    let mut client = SslStream::new(ssl, far).expect("a stream");
    let both = async {
        tokio::join!(acceptor.accept(near), async {
            let connected = Pin::new(&mut client).connect().await;
            connected.map(|()| client)
        })
    };
    tokio::time::timeout(PATIENCE, both).await.expect("the handshake ends")
}

/// The same with the suite of devices and raw bytes as identity and key.
pub(crate) async fn tls12_psk(
    acceptor: &Acceptor,
    identity: &[u8],
    psk: &[u8],
) -> (End, Result<ForeignPsk, openssl::ssl::Error>) {
    let (identity, psk) = (identity.to_vec(), psk.to_vec());
    let (server, client) = foreign(acceptor, |builder| {
        builder.set_max_proto_version(Some(SslVersion::TLS1_2)).expect("a version");
        builder.set_cipher_list("PSK-AES128-CBC-SHA256").expect("a suite");
        builder.set_psk_client_callback(move |_, _, name, key| {
            name[..identity.len()].copy_from_slice(&identity);
            name[identity.len()] = 0;
            key[..psk.len()].copy_from_slice(&psk);
            Ok(psk.len())
        });
    })
    .await;
    (server, client.map(ForeignPsk))
}

/// The foreign client's end.
#[derive(Debug)]
pub(crate) struct ForeignPsk(SslStream<DuplexStream>);

impl ForeignPsk {
    pub(crate) fn hint(&self) -> Option<&[u8]> {
        self.0.ssl().psk_identity_hint()
    }
}

impl AsyncRead for ForeignPsk {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ForeignPsk {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
