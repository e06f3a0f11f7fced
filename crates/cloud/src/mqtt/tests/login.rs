use std::time::Duration;

use bytes::BytesMut;
use landfall_proto::id::{AuthKey, Uuid};
use landfall_proto::mqtt::{Content, Envelope};
use landfall_proto::psk::{DeviceHash, PskType};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::{self, Packet};
use rmqtt_codec::v5;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::codec::{Decoder, Encoder};

use super::super::SendError;
use super::kit::{
    ID, OTHER, UUID, World, auth_codec, auth_password, codec, connect, connect_3_1, id, link, new_codec,
    new_keys, new_password, opened, password, registration,
};
use crate::event::What;
use crate::handshake::Step;
use crate::listen::Over;

#[tokio::test(start_paused = true)]
async fn the_right_password_is_welcome_in_every_version_and_the_user_name_does_not_matter() {
    let mut world = World::new();
    for user in [None, Some(ID), Some("what nobody knows"), Some("")] {
        let mut client = world.connect(link(1));
        match user {
            Some(user) => {
                let mut hello = connect(ID, &password());
                hello.username = Some(user.into());
                client.send(hello).await;
            }
            None => client.stream.write_all(&connect_3_1(ID, &password())).await.unwrap(),
        }
        client.welcome().await;
        let over = world.event(|w| if let What::Connect { over } = w { Some(*over) } else { None }).await;
        assert_eq!(over, Over::Plain);
        assert!(world.shared.devices.is_connected(&id(ID)));
    }
    let record = &world.shared.handshakes.devices()[&id(ID)];
    assert_eq!((record.steps[&Step::Mqtt].count, record.connected), (4, true));
}

async fn v5(world: &World, hello: v5::Connect) -> Option<v5::Packet> {
    let mut client = world.connect(link(1));
    let mut codec = v5::Codec::new(0, 0);
    let mut bytes = BytesMut::new();
    codec.encode(v5::Packet::from(hello), &mut bytes).unwrap();
    client.stream.write_all(&bytes).await.unwrap();
    bytes.clear();
    while client.stream.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
        if let Some((packet, _)) = codec.decode(&mut bytes).unwrap() {
            return Some(packet);
        }
    }
    None
}

fn v5_hello(client_id: &str, password: &str) -> v5::Connect {
    v5::Connect {
        clean_start: true,
        keep_alive: 60,
        username: Some("x".into()),
        password: Some(password.to_owned().into()),
        ..v5::Connect::default()
    }
    .client_id(client_id.to_owned())
}

#[tokio::test(start_paused = true)]
async fn mqtt_5_is_told_what_we_do_not_do() {
    let world = World::new();
    let Some(v5::Packet::ConnectAck(ack)) = v5(&world, v5_hello(ID, &password())).await else { panic!() };
    assert_eq!(ack.reason_code, v5::ConnectAckReason::Success);
    assert_eq!((ack.max_qos, ack.retain_available, ack.topic_alias_max), (QoS::AtLeastOnce, false, 0));
    assert_eq!(ack.session_expiry_interval_secs, Some(0));
    assert_eq!(v5(&world, v5_hello(ID, "wrong")).await, None);
    assert_eq!(v5(&world, v5_hello("bf0123456789abcdefghij", "x")).await, None);
    let Some(v5::Packet::ConnectAck(ack)) = v5(&world, v5_hello("mosq-1", "x")).await else { panic!() };
    assert_eq!(ack.reason_code, v5::ConnectAckReason::BadUserNameOrPassword);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_closed_without_a_byte_and_told() {
    let mut world = World::new();
    for wrong in ["", "0123456789abcdef", &new_password(), &auth_password(), &password()[1..]] {
        let mut client = world.connect(link(1));
        client.send(connect(ID, wrong)).await;
        assert!(client.closed().await, "{wrong}");
        assert_eq!(world.refusal().await, "mqtt.password");
    }
    assert!(!world.shared.devices.is_connected(&id(ID)));
    let record = &world.shared.handshakes.devices()[&id(ID)];
    assert_eq!(record.refusals["mqtt.password"].count, 5);
    assert!(!record.steps.contains_key(&Step::Mqtt));
}

#[tokio::test(start_paused = true)]
async fn hardware_without_keys_is_not_let_in() {
    let mut world = World::new();
    world.book.change(ID, |d| d.keys = None);
    let mut client = world.connect(link(1));
    client.send(connect(ID, &password())).await;
    assert!(client.closed().await);
    assert_eq!(world.refusal().await, "mqtt.password");
}

#[tokio::test(start_paused = true)]
async fn pending_keys_replace_the_old_ones_at_their_first_use() {
    let mut world = World::new();
    world.book.change(ID, |d| d.pending = Some(new_keys()));
    // The old ones still work.
    let mut client = world.connect(link(1));
    client.login(ID, &password()).await;
    assert_eq!(*world.book.used.lock().unwrap(), 0);
    let mut client = world.connect(link(1));
    client.login(ID, &new_password()).await;
    world.event(|w| matches!(w, What::KeysUsed).then_some(())).await;
    assert_eq!(*world.book.used.lock().unwrap(), 1);
    client.subscribe(&format!("smart/device/in/{ID}"), QoS::AtLeastOnce).await;
    assert!(matches!(client.message(&new_codec()).await.1.content, Content::Query(_)));
    let mut client = world.connect(link(1));
    client.send(connect(ID, &password())).await;
    assert!(client.closed().await, "the old keys are history");
}

#[tokio::test(start_paused = true)]
async fn the_first_password_of_an_adopted_device_is_pinned() {
    let mut world = World::new();
    world.book.change(ID, |d| d.keys.as_mut().unwrap().sec = None);
    let mut client = world.connect(link(1));
    client.send(connect(ID, "")).await;
    assert!(client.closed().await, "no password is none that could be pinned");
    for _ in 0..2 {
        let mut client = world.connect(link(1));
        client.login(ID, "the first").await;
    }
    let pinned = world.so_far().iter().filter(|w| matches!(w, What::PasswordPinned)).count();
    assert_eq!(pinned, 1);
    let mut client = world.connect(link(1));
    client.send(connect(ID, "another")).await;
    assert!(client.closed().await);
    assert_eq!(world.refusal().await, "mqtt.password");
}

#[tokio::test(start_paused = true)]
async fn strangers_that_could_be_devices_get_no_answer_and_people_get_one() {
    let mut world = World::new();
    for unknown in [OTHER, "bf0123456789abcdefghij", "2SbfJSzOvR7t", "acon_vt0000000000000", "tuyalink_x"] {
        let mut client = world.connect(link(1));
        client.send(connect(unknown, &password())).await;
        assert!(client.closed().await, "{unknown}");
        assert_eq!(world.refusal().await, "mqtt.unknown");
    }
    for person in ["", "mosq-AbCdEf", "anna@laptop", "my client with a long name"] {
        let mut client = world.connect(link(1));
        let mut hello = connect(person, "wrong");
        hello.username = Some("anna".into());
        client.send(hello).await;
        let refused = v3::ConnectAck {
            return_code: v3::ConnectAckReason::BadUserNameOrPassword,
            session_present: false,
        };
        assert_eq!(client.recv().await, Some(Packet::ConnectAck(refused)), "{person}");
        assert!(client.closed().await);
        assert_eq!(world.refusal().await, "mqtt.login");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_is_handed_on_with_every_byte_read() {
    let world = World::new();
    for client_id in ["", "mosq-AbCdEf", "bf0123456789abcdefghij"] {
        let mut client = world.connect(link(1));
        let mut hello = connect(client_id, "right");
        hello.username = Some("anna".into());
        let mut bytes = BytesMut::new();
        v3::Codec::new(0).encode(hello.into(), &mut bytes).unwrap();
        // Some clients do not wait for the answer.
        v3::Codec::new(0).encode(Packet::PingRequest, &mut bytes).unwrap();
        client.stream.write_all(&bytes).await.unwrap();
        assert!(client.closed().await);
        assert_eq!(world.people.served.lock().unwrap().pop().unwrap(), bytes);
    }
    // But not with the client id of a device, whatever his name.
    let mut client = world.connect(link(1));
    let mut hello = connect(ID, "right");
    hello.username = Some("anna".into());
    client.send(hello).await;
    assert!(client.closed().await && world.people.served.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_devices_tls_identity_is_refused_and_its_own_replaces_no_password() {
    let mut world = World::new();
    world.book.change(ID, |d| d.uuid = Uuid::new(UUID).ok());
    world.book.put(registration(OTHER));
    let over = |over, hash| {
        let mut link = link(1);
        (link.over, link.hash) = (over, Some(hash));
        link
    };
    for (kind, way) in [(PskType::One, Over::Psk1), (PskType::Two, Over::Psk2)] {
        for foreign in [OTHER, "nobody knows"] {
            let mut client = world.connect(over(way, DeviceHash::of(kind, foreign)));
            client.send(connect(ID, &password())).await;
            assert!(client.closed().await, "{foreign}");
            assert_eq!(world.refusal().await, "mqtt.identity");
        }
        for own in [ID, UUID] {
            let mut client = world.connect(over(way, DeviceHash::of(kind, own)));
            client.send(connect(ID, "wrong")).await;
            assert!(client.closed().await);
            assert_eq!(world.refusal().await, "mqtt.password");
            let mut client = world.connect(over(way, DeviceHash::of(kind, own)));
            client.login(ID, &password()).await;
        }
    }
    // Of an adopted device nobody knows the uuid.
    let mut client = world.connect(over(Over::Psk1, DeviceHash::of(PskType::One, "its uuid")));
    client.login(OTHER, &password()).await;
    // It may be that of hardware which the owner knows, and which was never given keys.
    world.book.change(ID, |d| d.keys = None);
    let mut client = world.connect(over(Over::Psk1, DeviceHash::of(PskType::One, UUID)));
    client.login(OTHER, &password()).await;
}

#[tokio::test(start_paused = true)]
async fn hardware_that_waits_gets_its_token_and_nothing_else() {
    let mut world = World::new();
    let uuid = Uuid::new(UUID).unwrap();
    world.book.change(ID, |d| {
        (d.uuid, d.auth_key) = (Some(uuid.clone()), AuthKey::new("authkey0authkey1authkey2authkey3").ok());
    });
    let name = format!("acon_{UUID}");
    assert_eq!(
        world.shared.devices.send_token(&world.shared, &uuid, "AbCdEfGh", "EU"),
        Err(SendError::NotWaiting(uuid.clone()))
    );
    for (user, envelope) in [(name.clone(), Envelope::V2_2), (format!("{name}|pv=2.3"), Envelope::V2_3)] {
        let mut client = world.connect(link(1));
        let mut hello = connect(&name, &auth_password());
        hello.username = Some(user.into());
        client.send(hello).await;
        client.welcome().await;
        assert_eq!(
            client.subscribe(&format!("d/ai/{UUID}"), QoS::AtLeastOnce).await,
            v3::SubscribeReturnCode::Success(QoS::AtLeastOnce)
        );
        assert_eq!(world.shared.devices.waiting(), std::slice::from_ref(&uuid));
        assert!(!world.shared.devices.is_connected(&id(ID)), "it is not the activated device");
        assert!(client.quiet(Duration::from_secs(30)).await, "it is asked nothing");
        world.shared.devices.send_token(&world.shared, &uuid, "AbCdEfGh", "EU").unwrap();
        let publish = client.received().await;
        assert_eq!(&*publish.topic, &format!("d/ai/{UUID}"));
        let (used, message, _) = opened(&auth_codec(), &publish.payload);
        assert_eq!(used, envelope);
        let Content::Token(token) = message.content else { panic!("{message:?}") };
        assert_eq!((&*token.token, token.region.as_deref()), ("AbCdEfGh", Some("EU")));
        // It may use neither the device's topics nor report.
        assert_eq!(
            client.subscribe(&format!("smart/device/in/{ID}"), QoS::AtLeastOnce).await,
            v3::SubscribeReturnCode::Failure
        );
        client.publish(&format!("smart/device/out/{ID}"), "2.1", Some(3)).await;
        assert!(matches!(client.recv().await, Some(Packet::PublishAck { .. })));
    }
    let mut client = world.connect(link(1));
    client.send(connect(&name, &password())).await;
    assert!(client.closed().await, "the password of the activated device is another");
    assert_eq!(world.shared.devices.counts().foreign_topics, 4);
    assert!(world.so_far().iter().any(|w| matches!(w, What::Refusal { code: "mqtt.password", .. })));
}

#[tokio::test(start_paused = true)]
async fn a_live_device_keeps_its_client_id_against_another_address() {
    let mut world = World::new();
    let mut old = world.device().await;
    let mut new = world.connect(link(2));
    new.send(connect(ID, &password())).await;
    // It is asked, and a PUBACK is enough of an answer.
    assert!(matches!(old.message(&codec()).await.1.content, Content::Query(_)));
    assert!(new.closed().await);
    assert_eq!(world.refusal().await, "mqtt.in_use");
    old.send(Packet::PingRequest).await;
    assert_eq!(old.recv().await, Some(Packet::PingResponse));
    // From its own address it is replaced at once.
    let start = Instant::now();
    let mut again = world.connect(link(1));
    again.login(ID, &password()).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(old.closed().await);
    assert!(world.shared.devices.is_connected(&id(ID)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_locks_a_device_out_for_seconds_only() {
    let world = World::new();
    for subscribed in [true, false] {
        let mut old = world.connect(link(1));
        old.login(ID, &password()).await;
        if subscribed {
            old.subscribe(&format!("smart/device/in/{ID}"), QoS::AtLeastOnce).await;
        }
        let start = Instant::now();
        let mut new = world.connect(link(2));
        new.login(ID, &password()).await;
        assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(start.elapsed() >= Duration::from_secs(3), "the old one had time to answer");
        new.send(Packet::Disconnect).await;
        assert!(new.closed().await);
    }
    assert!(!world.shared.devices.is_connected(&id(ID)));
}

#[tokio::test(start_paused = true)]
async fn half_open_oversized_and_foreign_connects_are_closed() {
    let mut world = World::new();
    for (bytes, code) in [
        (&b""[..], "mqtt.slow"),
        (b"\x10", "mqtt.slow"),
        (b"\x10\x20\0\x04MQTT\x04", "mqtt.slow"),
        (b"\x10\xff\xff\xff\x7f", "mqtt.malformed"),
        (b"\x10\xff\xff\xff\xff", "mqtt.malformed"),
        (b"\x10\x81\x80\x01", "mqtt.malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "mqtt.malformed"),
        (b"\x16\x03\x01\x00\x05", "mqtt.malformed"),
        (b"\x10\x0c\0\x04MQTT\x06\x02\0\x3c\0\0", "mqtt.malformed"),
        (b"\x30\x03\0\x01a", "mqtt.malformed"),
    ] {
        let start = Instant::now();
        let mut client = world.connect(link(1));
        client.stream.write_all(bytes).await.unwrap();
        assert!(client.closed().await, "{bytes:?}");
        assert_eq!(world.refusal().await, code, "{bytes:?}");
        assert!(start.elapsed() <= world.shared.config.limits.patience, "{bytes:?}");
    }
}
