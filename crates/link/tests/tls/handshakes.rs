//! Whole handshakes between our two ends: who gets in, and what is known of them.

use landfall_link::tls::{Connector, TlsError, TlsPeer};
use landfall_proto::psk::{DeviceHash, HINT, Identity, PskType};

use crate::common::{PSK_KEY, UUID, authority, both, meet, psk, psk_only, talk, type_1};

#[tokio::test]
async fn a_device_of_type_1_gets_in_with_nothing_known_of_it() {
    for acceptor in [both(), psk_only()] {
        // The MD5 of the second uuid has a zero in it, which the identity has replaced.
        for uuid in [UUID, "vt00000000000011"] {
            let connector = Connector::psk(type_1(uuid), None).unwrap();
            let (server, client) = meet(&acceptor, &connector, "a3.tuyaeu.com").await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            assert_eq!(server.peer(), &TlsPeer::Psk { identity: type_1(uuid) });
            assert_eq!(server.suite(), "PSK-AES128-CBC-SHA256");
            assert_eq!(client.hint(), Some(HINT.as_bytes()));
            talk(&mut server, &mut client).await;
        }
    }
}

#[tokio::test]
async fn a_device_of_type_2_needs_its_key() {
    let identity = Identity::type_2(b"0123456789abcdef", UUID);
    let device = DeviceHash::of(PskType::Two, UUID);
    for acceptor in [both(), psk_only()] {
        let connector = Connector::psk(identity.clone(), Some(psk(PSK_KEY))).unwrap();
        let (server, client) = meet(&acceptor, &connector, "").await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.peer(), &TlsPeer::Psk { identity: identity.clone() });
        talk(&mut server, &mut client).await;

        let connector = Connector::psk(identity.clone(), Some(psk(&PSK_KEY.replace('Q', "q")))).unwrap();
        let (server, client) = meet(&acceptor, &connector, "").await;
        let e = server.unwrap_err();
        assert!(matches!(e, TlsError::WrongKey { kind: PskType::Two, device: d } if d == device), "{e:?}");
        assert_eq!(e.device(), Some(device));
        assert_eq!(client.unwrap_err().to_string(), "the peer refused the handshake: bad_record_mac");
    }
}

#[tokio::test]
async fn a_certificate_is_checked_against_our_authority() {
    let connector = Connector::certificate(authority().pem().as_bytes()).unwrap();
    for host in ["a2.tuyaeu.com", "h2.iot-dns.com", "landfall.example", "192.0.2.7"] {
        let (server, client) = meet(&both(), &connector, host).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        let sni = host.parse::<std::net::IpAddr>().is_err().then(|| host.to_owned());
        assert_eq!(server.peer(), &TlsPeer::Certificate { sni });
        assert_eq!(server.suite(), "ECDHE-RSA-AES128-GCM-SHA256");
        talk(&mut server, &mut client).await;
    }
}
