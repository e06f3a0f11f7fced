//! What the TLS tests share: keys, an authority, both ends of a connection in memory.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use landfall_link::tls::{Acceptor, Authority, Connector, Names, PskKeys, TlsError, TlsStream};
use landfall_proto::id::{AuthKey, PskKey};
use landfall_proto::psk::{DeviceHash, HINT, Identity, PREFIX_ESP8266, Psk, PskType};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub(crate) const UUID: &str = "vt0a1b2c3d4e5f60";
pub(crate) const PSK_KEY: &str = "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr";
/// No handshake in memory takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Keys of type 2 by the hash of the uuid.
#[derive(Default)]
pub(crate) struct Keys(HashMap<DeviceHash, PskKey>);

impl Keys {
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
pub(crate) async fn talk<A, B>(server: &mut TlsStream<A>, client: &mut TlsStream<B>)
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
