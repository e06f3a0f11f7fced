//! The doors of a running cloud, on sockets: who gets in over TLS, what is recorded of it, and how long the others may try.
#![allow(clippy::unwrap_used)] // helpers of tests stand outside of #[test] functions

#[path = "../common/mod.rs"]
mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_cloud::clock::Clock;
use landfall_cloud::config::{Config, Listeners};
use landfall_cloud::event::{Event, What};
use landfall_cloud::handshake::{Record, Step};
use landfall_cloud::listen::Over;
use landfall_cloud::{Backend, Cloud};
use landfall_link::tls::{Connector, TlsStream};
use landfall_proto::id::{AuthKey, PskKey};
use landfall_proto::psk::{Identity, PREFIX_ESP8266, Psk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use common::{Memory, device_id, registration, uuid};

/// Nothing here takes so long.
const DEADLINE: Duration = Duration::from_secs(30);
const ID: &str = "bf0123456789abcdefvx01";
const UUID: &str = "vt0a1b2c3d4e5f60";
const PSK_KEY: &str = "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr";

struct Running {
    cloud: Cloud,
    events: Receiver<Event>,
    directory: tempfile::TempDir,
}

impl Running {
    /// A cloud that knows one device, of identity type 2.
    async fn start(patience: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::new(directory.path());
        config.listeners = Listeners::free();
        config.limits.patience = patience;
        let backend = Memory::new();
        let mut device = registration(ID);
        device.uuid = Some(uuid(UUID));
        device.psk_key = Some(PskKey::new(PSK_KEY).unwrap());
        backend.add(device);
        let started = Cloud::start(config, Clock::system(), backend as Arc<dyn Backend>);
        let cloud = timeout(DEADLINE, started).await.unwrap().unwrap();
        let events = cloud.shared().events();
        Self { cloud, events, directory }
    }

    fn https(&self) -> SocketAddr {
        self.cloud.bound().https.unwrap()
    }

    /// The next refusal: of which device, its code and words.
    async fn refusal(&mut self) -> (Option<String>, &'static str, String) {
        let next = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if let What::Refusal { code, why } = event.what {
                    return (event.device.map(|d| d.as_str().to_owned()), code, why);
                }
            }
        };
        timeout(DEADLINE, next).await.expect("a refusal is told")
    }

    fn record(&self) -> Record {
        self.cloud.shared().handshakes.devices().remove(&device_id(ID)).unwrap_or_default()
    }

    fn of_address(&self) -> Record {
        self.cloud.shared().handshakes.address([127, 0, 0, 1].into()).unwrap_or_default()
    }

    async fn connect(&self, at: SocketAddr, by: &Connector, host: &str) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(at).await.unwrap();
        timeout(DEADLINE, by.connect(host, stream)).await.expect("the handshake ends").ok()
    }

    fn by_certificate(&self) -> Connector {
        Connector::certificate(&std::fs::read(self.directory.path().join("ca/ca.pem")).unwrap()).unwrap()
    }

    async fn stop(self) {
        timeout(DEADLINE, self.cloud.shutdown()).await.expect("the cloud stops");
    }
}

fn type_2(uuid: &str, key: &str) -> Connector {
    let key = Psk::of_key(&PskKey::new(key).unwrap());
    Connector::psk(Identity::type_2(&[7; 16], uuid), Some(key)).unwrap()
}

fn type_1(uuid: &str) -> Connector {
    let key = AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").unwrap();
    Connector::psk(Identity::type_1(PREFIX_ESP8266, uuid, &key), None).unwrap()
}

/// Whether HTTP is answered here.
async fn is_served(mut stream: TlsStream<TcpStream>) -> bool {
    let asked = async {
        stream
            .write_all(b"GET /nothing HTTP/1.1\r\nHost: a3.tuyaeu.com\r\nConnection: close\r\n\r\n")
            .await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        std::io::Result::Ok(heard)
    };
    let heard = timeout(DEADLINE, asked).await.expect("an answer, and an end").unwrap();
    heard.starts_with(b"HTTP/1.1 404")
}

#[tokio::test]
async fn devices_get_in_by_their_keys_and_it_is_recorded() {
    let running = Running::start(DEADLINE).await;
    let stream = running.connect(running.https(), &type_2(UUID, PSK_KEY), "").await.unwrap();
    assert!(is_served(stream).await);
    let mark = running.record().steps[&Step::Tls];
    assert_eq!((mark.over, mark.peer, mark.count), (Over::Psk2, Some([127, 0, 0, 1].into()), 1));

    // Type 1 of the same device: found by the MD5 of its uuid.
    let stream = running.connect(running.https(), &type_1(UUID), "").await.unwrap();
    assert!(is_served(stream).await);
    let mark = running.record().steps[&Step::Tls];
    assert_eq!((mark.over, mark.count), (Over::Psk1, 2));
    assert_eq!(running.of_address().at(Step::Tls), None);

    // And of one that nobody knows: known by its address.
    let stream = running.connect(running.https(), &type_1("another0uuid0000"), "").await.unwrap();
    assert!(is_served(stream).await);
    assert!(running.of_address().at(Step::Tls).is_some());
    running.stop().await;
}

#[tokio::test]
async fn the_certificate_is_for_the_vendors_names_and_for_our_address() {
    let running = Running::start(DEADLINE).await;
    let connector = running.by_certificate();
    for host in ["a2.tuyaeu.com", "h2.iot-dns.com", "m1.tuyacn.com", "127.0.0.1"] {
        let stream = running.connect(running.https(), &connector, host).await;
        assert!(is_served(stream.unwrap_or_else(|| panic!("{host}"))).await, "{host}");
    }
    let der = openssl_free_der(&std::fs::read(running.directory.path().join("ca/ca.pem")).unwrap());
    assert_eq!(der, running.cloud.shared().ca_der, "what devices are given is what signs");
    // A certificate names nobody.
    assert_eq!(running.of_address(), Record::default());
    running.stop().await;
}

/// PEM to DER without a library.
fn openssl_free_der(pem: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = std::str::from_utf8(pem).unwrap();
    let letters = text.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes);
    let mut bits = letters.filter(|b| *b != b'=').flat_map(|b| {
        let value = ALPHABET.iter().position(|a| *a == b).unwrap();
        (0..6).rev().map(move |bit| u8::from(value >> bit & 1 == 1))
    });
    let mut der = Vec::new();
    loop {
        let byte: Vec<u8> = bits.by_ref().take(8).collect();
        if byte.len() < 8 {
            return der;
        }
        der.push(byte.iter().fold(0, |sum, bit| sum << 1 | bit));
    }
}

#[tokio::test]
async fn a_refusal_names_its_reason_and_its_device() {
    let mut running = Running::start(DEADLINE).await;
    let wrong = type_2(UUID, "another16letters");
    assert!(running.connect(running.https(), &wrong, "").await.is_none());
    let (device, code, why) = running.refusal().await;
    assert_eq!((device.as_deref(), code), (Some(ID), "tls.psk_key"), "{why}");
    assert_eq!(
        running.record().refusal().map(|(code, mark)| (code, mark.over)),
        Some(("tls.psk_key", Over::Psk2))
    );

    let stranger = type_2("another0uuid0000", PSK_KEY);
    assert!(running.connect(running.https(), &stranger, "").await.is_none());
    let (device, code, _) = running.refusal().await;
    assert_eq!((device, code), (None, "tls.psk_identity"));
    assert_eq!(running.of_address().refusal().map(|(code, _)| code), Some("tls.psk_identity"));

    // Port 8886 is for PSK alone.
    let psk_only = running.cloud.bound().mqtt_psk.unwrap();
    assert!(running.connect(psk_only, &running.by_certificate(), "m2.tuyaeu.com").await.is_none());
    let (device, code, why) = running.refusal().await;
    assert_eq!((device, code), (None, "tls.suite"));
    assert!(why.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{why}");
    running.stop().await;
}

/// Sends this and waits for the end of the connection.
async fn hung_up(at: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    // A reset is an end, too: what was sent may not have been read.
    let ended = timeout(DEADLINE, stream.read_to_end(&mut heard)).await.expect("the connection ends");
    assert!(ended.is_err() || heard.is_empty() || heard[0] == 21, "{heard:?}");
}

#[tokio::test]
async fn what_nobody_speaks_here_is_told_and_hung_up_on() {
    let mut running = Running::start(DEADLINE).await;
    let bound = running.cloud.bound();
    for at in [bound.https, bound.mqtts, bound.mqtt_psk] {
        hung_up(at.unwrap(), &[0x80, 0x2e, 1, 0, 2]).await;
        let (device, code, why) = running.refusal().await;
        assert_eq!((device, code), (None, "tls.not_tls"));
        assert!(why.contains("0x80"), "{why}");
    }
    running.stop().await;
}

#[tokio::test]
async fn who_dawdles_is_hung_up_on() {
    let mut running = Running::start(Duration::from_millis(300)).await;
    let bound = running.cloud.bound();
    for at in [bound.https, bound.mqtts, bound.mqtt_psk] {
        hung_up(at.unwrap(), &[]).await;
        // The head of a TLS record, and not the rest.
        hung_up(at.unwrap(), &[0x16, 3, 3, 0, 100, 1]).await;
        let (_, code, why) = running.refusal().await;
        assert_eq!(code, "tls.time", "{why}");
    }
    running.stop().await;
}
