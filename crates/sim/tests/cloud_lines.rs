//! The connections of a device: TLS-PSK against the project's own acceptor, and lines that fail, hang or pile up.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall_link::tls::{Acceptor, PskKeys, Suite, TlsPeer};
use landfall_proto::id::{AuthKey, PskKey};
use landfall_proto::psk::{HINT, Identity, PREFIX_ESP8266, Psk, PskType};
use landfall_sim::cloud::dial::{Dial, Dialled, Stream};
use landfall_sim::cloud::driver::{LineEvent, Lines};
use landfall_sim::cloud::{LineId, Names, Place, PskLogin, Sockets, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::time::timeout;

const LINE: LineId = LineId(1);
const PATIENCE: Duration = Duration::from_secs(60);
const PSK_KEY: &str = "Q7wErTy1UiOp2AsDf3GhJk4LzXc5VbNm6QwEr";

/// One pipe, once.
struct Pipe(Mutex<Option<DuplexStream>>);

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipe")
    }
}

impl Dial for Pipe {
    fn dial(&self, _host: &str, _port: u16, _from: Option<Ipv4Addr>) -> Dialled {
        let end = self.0.lock().unwrap().take();
        Box::pin(async move {
            match end {
                Some(end) => Ok(Box::new(end) as Box<dyn Stream>),
                // Nobody ever answers.
                None => std::future::pending().await,
            }
        })
    }
}

fn place(transport: Transport) -> Place {
    Place { host: "a3.tuyaus.com".into(), port: 443, transport }
}

fn open(transport: Transport, room: usize) -> (Lines, DuplexStream) {
    let (near, far) = tokio::io::duplex(room);
    let mut lines = Lines::new(Arc::new(Pipe(Mutex::new(Some(near)))));
    lines.open(LINE, place(transport), None);
    (lines, far)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it did not come")
}

async fn event(lines: &mut Lines) -> LineEvent {
    let (line, event) = within(lines.event()).await;
    assert_eq!(line, LINE);
    event
}

struct Key(Option<&'static str>);

impl PskKeys for Key {
    fn key(&self, identity: &Identity) -> Option<Psk> {
        assert_eq!(identity.kind() == PskType::Two, self.0.is_some());
        self.0.map(|text| Psk::of_key(&PskKey::new(text).unwrap()))
    }
}

fn type_1() -> Transport {
    let key = AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").unwrap();
    let identity = Identity::type_1(PREFIX_ESP8266, "02200194dc4f22135606", &key);
    Transport::Psk(PskLogin { identity, key: None })
}

fn type_2() -> Transport {
    let key = Some(Psk::of_key(&PskKey::new(PSK_KEY).unwrap()));
    Transport::Psk(PskLogin { identity: Identity::type_2(&[7; 16], "uuidtest0001abcd"), key })
}

/// A handshake; what the server saw, or why the device gave up.
async fn shake(
    transport: Transport,
    key: Option<&'static str>,
    hint: &str,
) -> Result<(TlsPeer, &'static str), String> {
    let (mut lines, far) = open(transport, 8_192);
    let acceptor = Acceptor::new(Some(Arc::new(Key(key))), None, hint).unwrap();
    let server = async {
        let mut stream = acceptor.accept(far).await.map_err(|e| e.to_string())?;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.map_err(|e| e.to_string())?;
        assert_eq!(&heard, b"hello");
        stream.write_all(b"welcome").await.map_err(|e| e.to_string())?;
        stream.flush().await.map_err(|e| e.to_string())?;
        let seen = (stream.peer().clone(), stream.suite());
        // Until the device has read it.
        let _ended = stream.read(&mut heard).await;
        Ok(seen)
    };
    let device = async {
        match event(&mut lines).await {
            LineEvent::Opened => {}
            LineEvent::Failed(why) => return Err(why),
            other => panic!("{other:?}"),
        }
        lines.write(LINE, b"hello".to_vec());
        match event(&mut lines).await {
            LineEvent::Heard(bytes) => assert_eq!(bytes, b"welcome"),
            other => panic!("{other:?}"),
        }
        lines.close(LINE);
        Ok(())
    };
    let (seen, device) = within(async { tokio::join!(server, device) }).await;
    device.and(seen)
}

#[tokio::test]
async fn type_1_speaks_the_one_suite_and_derives_its_key_from_the_hint() {
    let (peer, suite) = shake(type_1(), None, HINT).await.unwrap();
    let Transport::Psk(login) = type_1() else { panic!() };
    assert!(matches!(peer, TlsPeer::Psk { identity } if identity == login.identity));
    assert_eq!(Some(suite), Suite::PSK_AES128_CBC_SHA256.name().or(Some("PSK-AES128-CBC-SHA256")));
    // Both ends make the key from the hint, so that another one works too: the hint did go over the wire.
    assert!(shake(type_1(), None, "1dHRsc2NjbHltbGx3eWh51111111111111111").await.is_ok());
}

#[tokio::test]
async fn type_2_needs_its_own_key() {
    let (peer, _) = shake(type_2(), Some(PSK_KEY), HINT).await.unwrap();
    assert!(matches!(peer, TlsPeer::Psk { identity } if identity.kind() == PskType::Two));
    assert!(shake(type_2(), Some("another-key-of-37-characters-that-is-"), HINT).await.is_err());
}

#[tokio::test]
async fn what_is_no_tls_fails_the_line() {
    let (mut lines, mut far) = open(type_1(), 8_192);
    far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    assert!(matches!(event(&mut lines).await, LineEvent::Failed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_comes_and_a_handshake_that_never_ends_fail() {
    let mut lines = Lines::new(Arc::new(Pipe(Mutex::new(None))));
    lines.open(LINE, place(Transport::Plain), None);
    assert!(matches!(event(&mut lines).await, LineEvent::Failed(why) if why == "it took too long"));
    let (mut lines, _silent) = open(type_2(), 8_192);
    assert!(matches!(event(&mut lines).await, LineEvent::Failed(why) if why == "it took too long"));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_goes_out_before_the_line_is_closed() {
    let (mut lines, mut far) = open(Transport::Plain, 4);
    assert!(matches!(event(&mut lines).await, LineEvent::Opened));
    lines.write(LINE, b"a longer farewell than the pipe holds".to_vec());
    lines.close(LINE);
    let mut heard = String::new();
    within(far.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "a longer farewell than the pipe holds");
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_reads_nothing_is_cut_off() {
    let (mut lines, _far) = open(Transport::Plain, 16);
    assert!(matches!(event(&mut lines).await, LineEvent::Opened));
    for _ in 0..1_000 {
        lines.write(LINE, vec![7; 100]);
    }
    assert!(matches!(event(&mut lines).await, LineEvent::Closed), "the queue is bounded");
    let (mut lines, _far) = open(Transport::Plain, 16);
    assert!(matches!(event(&mut lines).await, LineEvent::Opened));
    lines.write(LINE, vec![7; 100]);
    assert!(matches!(event(&mut lines).await, LineEvent::Closed), "and so is the time");
}

#[tokio::test]
async fn the_other_end_closes() {
    let (mut lines, far) = open(Transport::Plain, 16);
    assert!(matches!(event(&mut lines).await, LineEvent::Opened));
    drop(far);
    assert!(matches!(event(&mut lines).await, LineEvent::Closed));
}

#[tokio::test]
async fn real_sockets_find_the_mapped_port_and_come_from_the_devices_address() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = Names::new().with("*", IpAddr::V4(Ipv4Addr::LOCALHOST), &[(443, port)]);
    let mut lines = Lines::new(Arc::new(Sockets::mapped(names)));
    let own = if cfg!(target_os = "linux") { Ipv4Addr::new(127, 66, 9, 9) } else { Ipv4Addr::LOCALHOST };
    lines.open(LINE, place(Transport::Plain), Some(own));
    let (_stream, peer) = within(listener.accept()).await.unwrap();
    assert_eq!(peer.ip(), IpAddr::V4(own));
    assert!(matches!(event(&mut lines).await, LineEvent::Opened));
    let mut nowhere = Lines::new(Arc::new(Sockets::mapped(Names::new())));
    nowhere.open(LINE, place(Transport::Plain), None);
    let LineEvent::Failed(why) = event(&mut nowhere).await else { panic!() };
    assert_eq!(why, "nothing is known of a3.tuyaus.com");
}
