use std::time::Duration;

use bytes::BytesMut;
use landfall_proto::mqtt::Envelope;
use proptest::prelude::*;
use rmqtt_codec::v3::{self, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::Encoder;

use super::super::desk::Desk;
use super::kit::{ID, NOW, World, codec, connect, id, json, link, password, registration, sealed};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Sends bytes in pieces, reads whatever comes, and waits until the server has ended by itself.
async fn survive(world: &World, bytes: &[u8], piece: usize) -> Vec<u8> {
    let client = world.connect(link(1));
    let (mut read, mut write) = tokio::io::split(client.stream);
    let sender = async {
        for chunk in bytes.chunks(piece.max(1)) {
            if write.write_all(chunk).await.is_err() {
                break;
            }
        }
    };
    let mut answer = Vec::new();
    let reader = async {
        let mut chunk = [0; 1_024];
        while let Ok(n @ 1..) = read.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..n]);
        }
    };
    tokio::join!(sender, reader);
    tokio::time::timeout(Duration::from_secs(10), client.task).await.unwrap().unwrap();
    answer
}

fn hello() -> Vec<u8> {
    let mut bytes = BytesMut::new();
    v3::Codec::new(0).encode(connect(ID, &password()).into(), &mut bytes).unwrap();
    bytes.to_vec()
}

fn life() -> Vec<u8> {
    let mut bytes = BytesMut::from(&hello()[..]);
    let mut codec = v3::Codec::new(0);
    let packet_id = 1.try_into().unwrap();
    let topic_filters = vec![(format!("smart/device/in/{ID}").into(), rmqtt_codec::types::QoS::AtLeastOnce)];
    codec.encode(Packet::Subscribe { packet_id, topic_filters }, &mut bytes).unwrap();
    let publish = rmqtt_codec::types::Publish {
        dup: false,
        retain: false,
        qos: rmqtt_codec::types::QoS::AtLeastOnce,
        topic: format!("smart/device/out/{ID}").into(),
        packet_id: Some(packet_id),
        payload: sealed(&super::kit::codec(), Envelope::V2_1, 1, &json(NOW, r#"{"1":true}"#)).into(),
        properties: None,
    };
    codec.encode(Packet::from(publish), &mut bytes).unwrap();
    codec.encode(Packet::PingRequest, &mut bytes).unwrap();
    codec.encode(Packet::Disconnect, &mut bytes).unwrap();
    bytes.to_vec()
}

#[test]
fn a_life_cut_anywhere_ends_in_time_and_in_pieces_of_any_size_it_is_the_same() {
    let life = life();
    runtime().block_on(async {
        let world = World::new();
        for end in 0..life.len() {
            survive(&world, &life[..end], 7).await;
        }
        let whole = survive(&world, &life, life.len()).await;
        assert!(whole.starts_with(b"\x20\x02\0\0\x90\x03\0\x01\x01"), "{whole:02x?}");
    });
    // Each in a world of its own, so that no number came before.
    for piece in [1, 2, 3, 100] {
        runtime().block_on(async {
            let world = World::new();
            survive(&world, &life, piece).await;
            assert_eq!(world.shared.devices.counts().messages, 1, "{piece}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn garbage_is_closed_and_never_told_code_5(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let answer = runtime().block_on(async { survive(&World::new(), &bytes, 64).await });
        prop_assert!(answer.is_empty(), "{answer:02x?}");
    }

    #[test]
    fn garbage_after_the_login_ends_the_session(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [hello(), bytes].concat();
        let answer = runtime().block_on(async { survive(&World::new(), &bytes, 64).await });
        prop_assert!(answer.starts_with(b"\x20\x02\0\0"));
    }

    #[test]
    fn a_damaged_life_ends_too(at in 0..400_usize, to in any::<u8>(), level in 3..=5_u8) {
        let mut life = life();
        life[8] = level;
        let at = at % life.len();
        life[at] = to;
        let answer = runtime().block_on(async { survive(&World::new(), &life, 64).await });
        // A CONNACK says accepted or, to a person, wrong password.
        prop_assert!(!(answer.first() == Some(&0x20) && answer.get(3) == Some(&5)), "{answer:02x?}");
    }

    #[test]
    fn the_desk_reads_any_payload(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        head in prop_oneof![Just("2.1"), Just("2.2"), Just("2.3"), Just("")],
    ) {
        let device = std::sync::Arc::new(registration(ID));
        let payload = [head.as_bytes(), &bytes].concat();
        prop_assert!(Desk::new().read(&device, &id(ID), &payload).is_err());
    }

    #[test]
    fn the_desk_reads_any_message(text in "\\PC{0,120}", protocol in 0..110_u32) {
        let device = std::sync::Arc::new(registration(ID));
        let json = format!(r#"{{"protocol":{protocol},"t":1,"data":{{"dps":{{"1":{text:?}}},"x":{text:?}}}}}"#);
        for envelope in Envelope::ALL {
            let mut desk = Desk::new();
            // Whatever it says of it, it comes back and can read on.
            let _said = desk.read(&device, &id(ID), &sealed(&codec(), envelope, 1, &json));
            let next = desk.read(&device, &id(ID), &sealed(&codec(), envelope, 2, &super::kit::json(1, r#"{"1":true}"#)));
            prop_assert!(next.is_ok());
        }
    }
}
