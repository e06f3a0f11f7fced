//! ClientHellos that a device of the vendor's Connect Kit sent (`vectors/sdk-connect-kit`), as they were and distorted.

use std::path::PathBuf;
use std::time::Duration;

use landfall_link::tls::{Acceptor, TlsError};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{PATIENCE, both, psk_only};

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/sdk-connect-kit")).join(name)
}

fn recorded() -> [Vec<u8>; 2] {
    ["001-https-clienthello.bin", "002-mqtts-clienthello.bin"].map(|name| std::fs::read(path(name)).unwrap())
}

/// A PSK device's hello: the recorded one with 0x00AE alone.
fn psk_hello() -> Vec<u8> {
    let [hello, _] = recorded();
    let suites = hello.windows(2).position(|w| w == [0x00, 0x0A]).unwrap();
    let mut hello = [&hello[..suites], &[0, 2, 0, 0xAE], &hello[suites + 12..]].concat();
    fix_lengths(&mut hello);
    hello
}

/// The recorded hello with one more extension, its content of one byte.
fn with_extension(kind: u8, content: u8) -> Vec<u8> {
    let [mut hello, _] = recorded();
    hello.extend([0, kind, 0, 1, content]);
    let extensions = 5 + 4 + 2 + 32 + 1 + 2 + 10 + 2;
    let len = u16::try_from(hello.len() - extensions - 2).unwrap();
    hello[extensions..extensions + 2].copy_from_slice(&len.to_be_bytes());
    fix_lengths(&mut hello);
    hello
}

fn fix_lengths(hello: &mut [u8]) {
    let len = u16::try_from(hello.len()).unwrap();
    hello[3..5].copy_from_slice(&(len - 5).to_be_bytes());
    hello[7..9].copy_from_slice(&(len - 9).to_be_bytes());
}

/// What the acceptor sends before it waits for the client's second flight: contents of its handshake records.
async fn answer(acceptor: &Acceptor, hello: &[u8]) -> Vec<Vec<u8>> {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(hello).await.unwrap();
    far.shutdown().await.unwrap();
    let e = tokio::time::timeout(PATIENCE, acceptor.accept(near)).await.expect("it ends").unwrap_err();
    assert!(matches!(e, TlsError::Closed { .. }), "{e:?}");
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    let mut records = Vec::new();
    let mut rest = heard.as_slice();
    while let [kind, 3, 3, high, low, after @ ..] = rest {
        let (record, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        if *kind == 22 {
            records.push(record.to_vec());
        }
        rest = after;
    }
    assert!(rest.is_empty());
    records
}

/// Suite and extensions (numbers) of the ServerHello.
fn server_hello(records: &[Vec<u8>]) -> (u16, Vec<u16>) {
    let hello = &records[0];
    assert_eq!((hello[0], &hello[4..6]), (2, &[3, 3][..]), "a ServerHello of TLS 1.2");
    let session = usize::from(hello[38]);
    assert_eq!(session, 0, "no session to come back to");
    let number = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    let suite = number(39);
    let mut found = Vec::new();
    let mut at = 44;
    let end = at + usize::from(number(42));
    while at < end {
        found.push(number(at));
        at += 4 + usize::from(number(at + 2));
    }
    (suite, found)
}

#[tokio::test]
async fn the_hellos_of_a_real_sdk_are_answered_as_it_prefers() {
    for hello in recorded() {
        let records = answer(&both(), &hello).await;
        let (suite, extensions) = server_hello(&records);
        assert_eq!(suite, 0xCCA8, "ECDHE-RSA-CHACHA20-POLY1305");
        assert!(!extensions.contains(&35), "no session ticket");
        // The key exchange: named curve P-256, signed with RSA PKCS1 and SHA-256.
        let exchange = records.iter().find(|r| r[0] == 12).expect("a ServerKeyExchange");
        assert_eq!(exchange[4..7], [3, 0, 23]);
        let after_point = 8 + usize::from(exchange[7]);
        assert_eq!(exchange[after_point..after_point + 2], [4, 1]);
    }
}

#[tokio::test]
async fn the_hint_is_in_the_key_exchange() {
    for acceptor in [both(), psk_only()] {
        let records = answer(&acceptor, &psk_hello()).await;
        assert_eq!(server_hello(&records).0, 0x00AE);
        let exchange = records.iter().find(|r| r[0] == 12).expect("a ServerKeyExchange");
        let hint = landfall_proto::psk::HINT.as_bytes();
        assert_eq!(exchange[4..6], [0, 37]);
        assert_eq!(&exchange[6..6 + 37], hint);
    }
}

#[tokio::test]
async fn a_device_with_small_buffers_gets_small_records() {
    // RFC 6066 4: 1 is 512 bytes, 2 is 1024, 3 is 2048, 4 is 4096.
    for (code, most) in [(1, 512), (2, 1024), (3, 2048), (4, 4096)] {
        let records = answer(&both(), &with_extension(1, code)).await;
        assert!(server_hello(&records).1.contains(&1), "the extension is confirmed");
        assert!(records.iter().all(|r| r.len() <= most), "{most}");
    }
    let small = answer(&both(), &with_extension(1, 1)).await;
    assert!(
        small.iter().any(|r| r.len() == 512),
        "the certificate does not fit into one record of 512 bytes"
    );
}

#[tokio::test]
async fn a_hello_cut_anywhere_ends_as_a_closed_connection() {
    for hello in [recorded()[0].clone(), psk_hello()] {
        for len in 0..hello.len() {
            let (near, mut far) = tokio::io::duplex(4096);
            far.write_all(&hello[..len]).await.unwrap();
            drop(far);
            let ended = tokio::time::timeout(PATIENCE, both().accept(near)).await.expect("it ends");
            assert!(matches!(ended, Err(TlsError::Closed { .. })), "{len}: {ended:?}");
        }
    }
}

/// One distortion of a hello.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
    FixLengths,
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0_usize..160;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, b)| Change::Set(at, b)),
        (at.clone(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at.clone(), proptest::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, b)| Change::Insert(at, b)),
        (at.clone(), 1_usize..20).prop_map(|(at, n)| Change::Remove(at, n)),
        (at.clone(), 1_usize..20).prop_map(|(at, n)| Change::Repeat(at, n)),
        at.prop_map(Change::Cut),
        Just(Change::FixLengths),
    ]
}

fn distorted(mut hello: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let len = hello.len();
        match change {
            Change::Set(at, byte) if *at < len => hello[*at] = *byte,
            Change::Flip(at, bit) if *at < len => hello[*at] ^= 1 << bit,
            Change::Insert(at, bytes) if *at <= len => {
                hello.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, n) if at + n <= len => {
                hello.drain(*at..at + n);
            }
            Change::Repeat(at, n) if at + n <= len => {
                let part = hello[*at..at + n].to_vec();
                hello.splice(at..at, part);
            }
            Change::Cut(at) => hello.truncate(*at),
            Change::FixLengths if len >= 9 => fix_lengths(&mut hello),
            _ => {}
        }
    }
    hello
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Nothing in the place of a hello panics, opens a connection or keeps the acceptor waiting once the peer is gone. The
    /// clock is paused: a handshake that waited for nothing would run into the time limit at once.
    #[test]
    fn distorted_hellos_end(
        which in 0_usize..3,
        psk_port in any::<bool>(),
        changes in proptest::collection::vec(change(), 1..6),
    ) {
        let hello = match which {
            2 => psk_hello(),
            n => recorded()[n].clone(),
        };
        let bytes = distorted(hello, &changes);
        thread_local! {
            static ENDS: (tokio::runtime::Runtime, [Acceptor; 2]) = (
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap(),
                [both(), psk_only()],
            );
        }
        let ended = ENDS.with(|(runtime, acceptors)| {
            let acceptor = &acceptors[usize::from(psk_port)];
            runtime.block_on(async {
                let (near, mut far) = tokio::io::duplex(64 * 1024);
                far.write_all(&bytes).await.unwrap();
                far.shutdown().await.unwrap();
                tokio::time::timeout(Duration::from_secs(60), acceptor.accept(near)).await
            })
        });
        prop_assert!(ended.is_ok(), "the handshake waits for a peer that is gone");
        let e = ended.unwrap();
        prop_assert!(e.is_err(), "a hello alone opens nothing");
        // Words for people, whatever it was.
        prop_assert!(!e.unwrap_err().to_string().is_empty());
    }
}
