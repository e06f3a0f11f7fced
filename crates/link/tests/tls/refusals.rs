//! Handshakes that must fail, and what is said of each.

use std::sync::Arc;
use std::time::Duration;

use landfall_link::tls::{
    Acceptor, Authority, Certificate, Connector, Moment, Names, TlsError, UnknownIdentity, Version,
};
use landfall_proto::psk::{DeviceHash, HINT, Identity, IdentityError, PskType};
use openssl::ssl::SslVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::{
    Keys, PATIENCE, PSK_KEY, UUID, authority, both, foreign, meet, psk, psk_only, tls12_psk,
};

/// What the acceptor makes of these bytes and a closed connection, and what it says back.
async fn shout(acceptor: &Acceptor, bytes: &[u8]) -> (TlsError, Vec<u8>) {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    let e = timeout(PATIENCE, acceptor.accept(near)).await.expect("the handshake ends").unwrap_err();
    let mut heard = Vec::new();
    timeout(PATIENCE, far.read_to_end(&mut heard)).await.expect("the connection ends").unwrap();
    (e, heard)
}

#[tokio::test]
async fn a_device_whose_key_nobody_knows_is_told_so() {
    let identity = Identity::type_2(&[7; 16], "another0uuid0000");
    let connector = Connector::psk(identity, Some(psk(PSK_KEY))).unwrap();
    let (server, client) = meet(&both(), &connector, "").await;
    let e = server.unwrap_err();
    let device = DeviceHash::of(PskType::Two, "another0uuid0000");
    assert!(matches!(e, TlsError::UnknownIdentity(UnknownIdentity::NoKey(d)) if d == device), "{e:?}");
    assert_eq!((e.device(), e.code()), (Some(device), "tls.psk_identity"));
    assert_eq!(client.unwrap_err().to_string(), "the peer refused the handshake: unknown_psk_identity");
}

#[tokio::test]
async fn what_is_no_identity_gets_no_key() {
    let parsed = |bytes: &[u8]| Identity::parse(bytes).unwrap_err();
    for bytes in [&b"Client_identity"[..], &[3; 50], &[1; 49], &[1; 51], &[2; 50], &[2; 48], &[9; 120]] {
        let (server, client) = tls12_psk(&both(), bytes, &[1; 32]).await;
        let e = server.unwrap_err();
        let TlsError::UnknownIdentity(UnknownIdentity::Malformed(why)) = &e else { panic!("{e:?}") };
        assert_eq!(*why, parsed(bytes));
        assert!(client.is_err());
    }
    // Cut at its first zero by OpenSSL, as C strings are.
    let mut zero = [1; 50];
    zero[30] = 0;
    let (server, _) = tls12_psk(&both(), &zero, &[1; 32]).await;
    let e = server.unwrap_err();
    let cut = IdentityError::Length { kind: 1, want: 50, len: 30 };
    assert!(matches!(&e, TlsError::UnknownIdentity(UnknownIdentity::Malformed(why)) if *why == cut), "{e:?}");
}

#[tokio::test]
async fn a_wrong_key_names_type_and_device_and_no_secret() {
    let wrong = PSK_KEY.replace('Q', "q");
    for (identity, key) in [
        (Identity::type_2(&[7; 16], UUID).as_bytes().to_vec(), wrong.as_bytes().to_vec()),
        (crate::common::type_1(UUID).as_bytes().to_vec(), vec![1; 32]),
    ] {
        let (server, _) = tls12_psk(&psk_only(), &identity, &key).await;
        let e = server.unwrap_err();
        let device = Identity::parse(&identity).unwrap().device();
        assert_eq!((e.device(), e.code()), (Some(device), "tls.psk_key"), "{e:?}");
        let text = format!("{e} {e:?}");
        assert!(text.contains("bad record MAC") && text.contains(&format!("{device:?}")), "{text}");
        assert!(text.contains(&format!("type {}", identity[0])), "{text}");
        assert!(!text.contains(PSK_KEY) && !text.contains(&wrong), "{text}");
    }
}

#[tokio::test]
async fn other_versions_are_refused_and_named() {
    let versions = [(SslVersion::TLS1, 0x0301), (SslVersion::TLS1_1, 0x0302), (SslVersion::TLS1_3, 0x0304)];
    for (version, number) in versions {
        for acceptor in [both(), psk_only()] {
            let (server, client) = foreign(&acceptor, |builder| {
                builder.set_min_proto_version(Some(version)).unwrap();
                builder.set_max_proto_version(Some(version)).unwrap();
            })
            .await;
            let e = server.unwrap_err();
            let TlsError::Version { offer } = &e else { panic!("{e:?}") };
            assert_eq!(offer.versions, [Version(number)], "{e}");
            assert!(!offer.suites.is_empty(), "{e}");
            assert!(client.is_err());
        }
    }
}

#[tokio::test]
async fn without_a_common_suite_the_offer_is_named() {
    let cases = [
        (both(), "AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384"),
        (both(), "PSK-AES256-CBC-SHA384"),
        // A certificate device at the PSK port.
        (psk_only(), "ECDHE-RSA-AES128-GCM-SHA256"),
        // A PSK device where no keys are.
        (Acceptor::new(None, Some(authority().server().clone()), HINT).unwrap(), "PSK-AES128-CBC-SHA256"),
    ];
    for (acceptor, suites) in cases {
        let (server, client) = foreign(&acceptor, |builder| {
            builder.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
            builder.set_cipher_list(suites).unwrap();
            builder.set_psk_client_callback(|_, _, _, _| Ok(0));
        })
        .await;
        let e = server.unwrap_err();
        assert_eq!(e.code(), "tls.suite", "{e:?}");
        for suite in suites.split(':') {
            assert!(e.to_string().contains(suite), "{e}");
        }
        assert!(client.is_err());
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let stranger = Authority::open_or_create(dir.path(), &Names::new()).unwrap();
    let connector = Connector::certificate(stranger.pem().as_bytes()).unwrap();
    let (server, client) = meet(&both(), &connector, "a2.tuyaeu.com").await;
    let (e, client) = (server.unwrap_err(), client.unwrap_err());
    assert_eq!(e.code(), "tls.certificate");
    assert!(e.to_string().contains("(unknown_ca)"), "{e}");
    assert!(matches!(client, TlsError::Untrusted { .. }), "{client:?}");

    let connector = Connector::certificate(authority().pem().as_bytes()).unwrap();
    // The wildcard stands for one label, and for this domain.
    for host in ["a2.tuyaus.com", "tuyaeu.com", "a.gw.tuyaeu.com", "192.0.2.8"] {
        let (server, client) = meet(&both(), &connector, host).await;
        let (e, client) = (server.unwrap_err(), client.unwrap_err());
        assert_eq!(e.code(), "tls.certificate", "{host}: {e:?}");
        assert!(client.to_string().contains("mismatch"), "{host}: {client}");
    }
}

#[tokio::test]
async fn what_is_not_tls_is_called_so() {
    for acceptor in [both(), psk_only()] {
        let (e, _) = shout(&acceptor, b"POST /d.json?a=tuya.device.active HTTP/1.1\r\n\r\n").await;
        assert!(matches!(e, TlsError::NotTls { http: true }), "{e:?}");
        for bytes in
            [&b"\x10\x4a\x00\x04MQTT\x04\xc2\x00\x78\x00\x15"[..], b"SSH-2.0-OpenSSH_9.6\r\n", &[0xFF; 400]]
        {
            let (e, _) = shout(&acceptor, bytes).await;
            assert!(matches!(e, TlsError::NotTls { http: false }), "{e:?} for {bytes:?}");
        }
        let (e, heard) = shout(&acceptor, b"").await;
        assert!(matches!(e, TlsError::Closed { when: Moment::BeforeHello, .. }), "{e:?}");
        assert!(heard.is_empty());
    }
}

#[tokio::test]
async fn an_alert_in_the_place_of_a_hello_breaks_the_protocol() {
    let (e, _) = shout(&both(), &[21, 3, 3, 0, 2, 2, 40]).await;
    assert_eq!(e.to_string(), "the peer broke the TLS protocol: unexpected message");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_peer_costs_no_more_than_the_callers_patience() {
    let hello = std::fs::read(crate::hellos::path("001-https-clienthello.bin")).unwrap();
    for sent in [0, 1, 5, 6, 60, hello.len()] {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(&hello[..sent]).await.unwrap();
        let waited = timeout(Duration::from_secs(15), both().accept(near)).await;
        assert!(waited.is_err(), "after {sent} bytes: {waited:?}");
        // Dropping the handshake has closed the connection.
        let mut heard = Vec::new();
        timeout(PATIENCE, far.read_to_end(&mut heard)).await.expect("the connection ends").unwrap();
        assert_eq!(heard.is_empty(), sent < hello.len());
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_after_our_hello_may_not_trust_us() {
    let hello = std::fs::read(crate::hellos::path("001-https-clienthello.bin")).unwrap();
    let (e, heard) = shout(&both(), &hello).await;
    assert!(matches!(e, TlsError::Closed { when: Moment::AfterHello, certificate: true }), "{e:?}");
    assert!(e.to_string().contains("trust"), "{e}");
    assert_eq!(heard[0], 22, "our hello was sent");
}

#[test]
fn an_acceptor_needs_something_to_accept_by() {
    let refused = |keys, certificate, hint| Acceptor::new(keys, certificate, hint).unwrap_err().to_string();
    assert_eq!(refused(None, None, HINT), "an acceptor needs psk keys or a certificate");
    for hint in ["", "fifteen bytes..", "0123456789\0abcdefgh", &"x".repeat(400)] {
        let keys: Arc<dyn landfall_link::tls::PskKeys> = Keys::none();
        assert!(refused(Some(keys), None, hint).contains("psk hint"), "{hint:?}");
    }
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    let refused = |chain: &[u8], key: &[u8]| Certificate::from_pem(chain, key).unwrap_err().to_string();
    let read = |name| std::fs::read(authority().dir().join(name)).unwrap();
    let (chain, key) = (read("server.pem"), read("server.key"));
    assert!(format!("{:?}", Certificate::from_pem(&chain, &key).unwrap()).contains("Landfall"));
    assert_eq!(refused(&chain, &read("ca.key")), "the private key belongs to another certificate");
    assert_eq!(refused(b"", &key), "there is no certificate in the text");
    assert!(refused(&chain, b"").starts_with("the private key can't be read"));
    assert!(refused(&chain[..200], &key).contains("certificate"));
}
