//! What a server that runs for years must not do: keep sessions, keep memory, send what devices can't hold.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use landfall_link::tls::{Acceptor, Connector};
use landfall_proto::psk::{HINT, Identity};
use openssl::ssl::SslVersion;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use crate::common::{Keys, PSK_KEY, UUID, authority, both, foreign, meet, psk, type_1};

/// A stream that counts itself and notes the longest record that goes out.
struct Counted {
    inner: DuplexStream,
    alive: Arc<AtomicUsize>,
    longest: Arc<AtomicUsize>,
}

impl Counted {
    fn new(inner: DuplexStream, alive: &Arc<AtomicUsize>, longest: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self { inner, alive: alive.clone(), longest: longest.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        // After the handshake OpenSSL writes record by record.
        if let [23, 3, 3, high, low, ..] = buf {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            self.longest.fetch_max(len, Ordering::SeqCst);
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_thousand_handshakes_leave_nothing_behind() {
    let keys = Keys::with(UUID, PSK_KEY);
    let acceptor = Acceptor::new(Some(keys.clone()), Some(authority().server().clone()), HINT).unwrap();
    let (alive, longest) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let good = Connector::psk(Identity::type_2(&[7; 16], UUID), Some(psk(PSK_KEY))).unwrap();
    let derived = Connector::psk(type_1(UUID), None).unwrap();
    let wrong = Connector::psk(Identity::type_2(&[7; 16], UUID), Some(psk("another16letters"))).unwrap();
    let unknown =
        Connector::psk(Identity::type_2(&[7; 16], "nobody"), Some(psk("another16letters"))).unwrap();
    for n in 0..1000 {
        let (near, far) = tokio::io::duplex(4096);
        let (near, far) = (Counted::new(near, &alive, &longest), Counted::new(far, &alive, &longest));
        let (connector, gets_in) = match n % 5 {
            0 | 1 => (&good, true),
            2 => (&derived, true),
            3 => (&wrong, false),
            _ => (&unknown, false),
        };
        let (server, client) = tokio::join!(acceptor.accept(near), connector.connect("", far));
        assert_eq!((server.is_ok(), client.is_ok()), (gets_in, gets_in), "{n}");
    }
    assert_eq!(alive.load(Ordering::SeqCst), 0, "a stream is still open");
    // Each connection of OpenSSL holds the acceptor's context, and that holds the keys: with the acceptor gone, a
    // connection that was not freed is the only thing that could still hold them.
    assert!(Arc::strong_count(&keys) > 1);
    drop(acceptor);
    assert_eq!(Arc::strong_count(&keys), 1, "a connection was not freed");
}

#[tokio::test]
async fn records_stay_small_without_being_asked() {
    let (alive, longest) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    for connector in [
        Connector::psk(type_1(UUID), None).unwrap(),
        Connector::certificate(authority().pem().as_bytes()).unwrap(),
    ] {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let near = Counted::new(near, &alive, &longest);
        let acceptor = both();
        let (server, client) = tokio::join!(acceptor.accept(near), connector.connect("a2.tuyaeu.com", far));
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        server.write_all(&[7; 100_000]).await.unwrap();
        server.shutdown().await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, vec![7; 100_000]);
        let longest = longest.swap(0, Ordering::SeqCst);
        // A vector, a code and padding are at most 64 bytes more.
        assert!((4096..=4096 + 64).contains(&longest), "{longest}");
    }
}

#[tokio::test]
async fn nothing_is_kept_to_resume_a_session_by() {
    for acceptor in [both(), both()] {
        let (server, client) = foreign(&acceptor, |builder| {
            builder.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        })
        .await;
        let (_server, client) = (server.unwrap(), client.unwrap());
        let session = client.ssl().session().expect("a session");
        assert!(session.id().is_empty(), "a session id was given out");
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_without_a_word_is_an_end_and_no_error() {
    let connector = Connector::psk(type_1(UUID), None).unwrap();
    let (server, client) = meet(&both(), &connector, "").await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    client.write_all(b"last words").await.unwrap();
    drop(client);
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
}

#[tokio::test]
async fn one_acceptor_serves_many_at_once() {
    let acceptor = both();
    let mut ends = tokio::task::JoinSet::new();
    for n in 0..40 {
        let acceptor = acceptor.clone();
        ends.spawn(async move {
            let connector = match n % 2 {
                0 => Connector::psk(type_1(&format!("uuid{n}")), None).unwrap(),
                _ => Connector::certificate(authority().pem().as_bytes()).unwrap(),
            };
            let (server, client) = meet(&acceptor, &connector, "a2.tuyaeu.com").await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            crate::common::talk(&mut server, &mut client).await;
        });
    }
    let done = ends.join_all().await;
    assert_eq!(done.len(), 40);
}
