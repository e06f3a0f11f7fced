use std::sync::Arc;
use std::time::Duration;

use landfall_proto::mqtt::Envelope;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::Packet;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kit::{ID, NOW, World, connect, id, json, link, new_keys, new_password, password};
use crate::event::What;

async fn why(world: &mut World) -> String {
    world.event(|w| if let What::Disconnect { why } = w { Some(why.clone()) } else { None }).await
}

#[tokio::test(start_paused = true)]
async fn silence_is_cut_after_one_and_a_half_keepalives() {
    let mut world = World::new();
    for (keep_alive, least, most) in [(60, 90, 91), (2, 3, 4), (0, 3_600, 3_601)] {
        let start = Instant::now();
        let mut client = world.connect(link(1));
        let mut hello = connect(ID, &password());
        hello.keep_alive = keep_alive;
        client.send(hello).await;
        client.welcome().await;
        assert!(client.closed().await);
        let lived = start.elapsed();
        assert!(lived >= Duration::from_secs(least) && lived <= Duration::from_secs(most), "{lived:?}");
        assert!(why(&mut world).await.starts_with("silent"));
    }
    assert!(!world.shared.devices.is_connected(&id(ID)));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_pings_lives_for_days() {
    let world = World::with(|c| c.queries.passive = Duration::from_secs(900_000));
    let mut client = world.device().await;
    for _ in 0..3_000 {
        tokio::time::sleep(Duration::from_secs(89)).await;
        client.send(Packet::PingRequest).await;
        assert_eq!(client.recv().await, Some(Packet::PingResponse));
    }
    assert!(!client.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn half_a_packet_is_no_sign_of_life() {
    let mut world = World::new();
    let mut client = world.connect(link(1));
    client.login(ID, &password()).await;
    let start = Instant::now();
    client.stream.write_all(b"\x30\xff\x01\0\x04").await.unwrap();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            if client.stream.write_all(b"x").await.is_err() {
                break;
            }
        }
    };
    drip.await;
    assert!(start.elapsed() <= Duration::from_secs(101), "{:?}", start.elapsed());
    assert!(why(&mut world).await.starts_with("silent"));
}

#[tokio::test(start_paused = true)]
async fn who_sends_too_much_is_slowed_down_and_then_cut() {
    let mut world = World::with(|c| c.limits.messages_per_second = 10);
    let mut client = world.device().await;
    let start = Instant::now();
    let mut n = 0;
    loop {
        n += 1;
        let text = json(NOW, r#"{"1":true}"#);
        let payload = super::kit::sealed(&super::kit::codec(), Envelope::V2_2, n, &text);
        let mut out = bytes::BytesMut::new();
        let publish = Publish {
            dup: false,
            retain: false,
            qos: QoS::AtMostOnce,
            topic: format!("smart/device/out/{ID}").into(),
            packet_id: None,
            payload: payload.into(),
            properties: None,
        };
        let packet = Packet::from(publish);
        tokio_util::codec::Encoder::encode(&mut rmqtt_codec::v3::Codec::new(0), packet, &mut out).unwrap();
        if client.stream.write_all(&out).await.is_err() {
            break;
        }
        assert!(n < 100_000);
    }
    assert_eq!(world.shared.handshakes.devices()[&id(ID)].refusals["mqtt.rate"].count, 1);
    let lived = start.elapsed();
    assert!(lived >= Duration::from_secs(10), "it was slowed down first: {lived:?}");
    // 100 at once, 10 s of 10, and what a read brought along.
    let heard = world.shared.devices.counts().messages;
    assert!((190..=260).contains(&heard), "{heard}");
    assert!(world.so_far().iter().any(|w| matches!(w, What::Disconnect { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_burst_within_the_average_is_heard_at_once() {
    let mut world = World::with(|c| c.limits.messages_per_second = 10);
    let mut client = world.device().await;
    let start = Instant::now();
    for n in 1..=90 {
        client.report(Envelope::V2_2, n, &json(NOW, r#"{"1":true}"#)).await;
    }
    for _ in 1..=90 {
        world.report().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn malformed_packets_qos_2_and_oversized_ones_end_the_session() {
    let mut world = World::with(|c| c.limits.mqtt_packet = 1_024);
    for (bytes, code) in [
        (&b"\x30\xff\xff\xff\x7f"[..], "mqtt.malformed"),
        (b"\x30\x80\x09", "mqtt.malformed"),
        (b"\x30\x02\x00\x09", "mqtt.malformed"),
        (b"\x82\x02\x00\x01", "mqtt.malformed"),
        (b"\x00\x00", "mqtt.malformed"),
        (b"\xd0\x00", "mqtt.out_of_place"),
        (b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", "mqtt.out_of_place"),
        (b"\x34\x06\0\x01a\0\x01x", "mqtt.qos"),
    ] {
        let mut client = world.connect(link(1));
        client.login(ID, &password()).await;
        client.stream.write_all(bytes).await.unwrap();
        assert!(client.closed().await, "{bytes:?}");
        assert_eq!(world.refusal().await, code, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_after_some_patience() {
    let mut world = World::with(|c| c.limits.messages_per_second = 100_000);
    let mut client = world.device().await;
    let start = Instant::now();
    // Answers pile up: the pipe holds 256 KiB, then nothing is read any more.
    let pings = b"\xc0\x00".repeat(4_096);
    while client.stream.write_all(&pings).await.is_ok() {}
    assert!(why(&mut world).await.starts_with("it read nothing"));
    let limits = &world.shared.config.limits;
    assert!(start.elapsed() >= limits.write_patience, "{:?}", start.elapsed());
    assert!(start.elapsed() <= limits.write_patience * 2, "{:?}", start.elapsed());
    assert!(!world.shared.devices.is_connected(&id(ID)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_costs_no_ping_and_no_connection() {
    let mut world = World::new();
    let slow = Arc::new(Notify::new());
    *world.book.slow.lock().unwrap() = Some(Arc::clone(&slow));
    world.book.change(ID, |d| d.pending = Some(new_keys()));
    let mut client = world.connect(link(1));
    client.login(ID, &new_password()).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        client.send(Packet::PingRequest).await;
        assert_eq!(client.recv().await, Some(Packet::PingResponse));
    }
    assert_eq!(*world.book.used.lock().unwrap(), 0);
    slow.notify_one();
    world.event(|w| matches!(w, What::KeysUsed).then_some(())).await;
    // A pin that never returns ends the login, and nothing else.
    world.book.change(ID, |d| d.keys.as_mut().unwrap().sec = None);
    let mut client = world.connect(link(1));
    client.send(connect(ID, "first")).await;
    assert!(client.closed().await);
    assert_eq!(world.refusal().await, "mqtt.backend");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_small() {
    let world = World::new();
    let (_ours, theirs) = tokio::io::duplex(64);
    let future = super::super::serve(Arc::clone(&world.shared), theirs, link(1));
    let size = std::mem::size_of_val(&future);
    assert!(size < 4_096, "{size}");
    let session = std::mem::size_of::<super::super::session::Session<tokio::net::TcpStream>>();
    assert!(session < 1_024, "{session}");
}
