//! What an official SDK sent to a recording cloud (Connect Kit, `vectors/sdk-connect-kit`), byte for byte.

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::{AuthKey, LocalKey, SecKey, Uuid};
use landfall_proto::mqtt::Envelope;
use rmqtt_codec::v3::Packet;
use tokio::io::AsyncWriteExt;

use super::kit::{World, id, link, points, registration};
use crate::backend::Keys;
use crate::event::What;

const DEVICE: &str = "bf0123456789abcdefghij";
const WAITING: &[u8] = include_bytes!("../../../../../vectors/sdk-connect-kit/002-mqtts-rx.bin");
const LIVING: &[u8] = include_bytes!("../../../../../vectors/sdk-connect-kit/006-mqtts-rx.bin");

fn world() -> World {
    let world = World::new();
    let mut device = registration(DEVICE);
    device.uuid = Uuid::new("uuidtest0001abcd").ok();
    device.auth_key = AuthKey::new("AuthKey89abcdef0123456789abcdefA").ok();
    device.keys = Some(Keys {
        local: LocalKey::new("localkey01234567").unwrap(),
        sec: SecKey::new("seckey0123456789").ok(),
    });
    world.book.put(device);
    world
}

#[tokio::test(start_paused = true)]
async fn the_recorded_device_reports_and_calls() {
    let mut world = world();
    let mut client = world.connect(link(1));
    client.stream.write_all(LIVING).await.unwrap();
    let first = world.report().await;
    assert_eq!(first, points([(1, DpValue::Bool(true))]));
    let second = world.report().await;
    assert_eq!(second, points([(1, DpValue::Bool(false)), (9, DpValue::Value(30))]));
    assert_eq!(second.value(DpId(9)), Some(&DpValue::Value(30)));
    client.welcome().await;
    let mut answers = 0;
    for _ in 0..3 {
        assert!(matches!(client.recv().await, Some(Packet::SubscribeAck { .. })));
    }
    while let Some(packet) = client.recv().await {
        let Packet::Publish(publish) = packet else { continue };
        answers += u32::from(publish.topic.starts_with("rpc/rsp/"));
        if answers == 2 {
            break;
        }
    }
    assert_eq!(world.book.announced.lock().unwrap()[0].envelope, Some(Envelope::V2_2));
    assert_eq!(world.shared.devices.counts().refused, 0);
    assert!(!world.so_far().iter().any(|w| matches!(w, What::Refusal { .. } | What::Lost { .. })));
    assert!(!world.shared.devices.is_connected(&id(super::kit::ID)));
}

#[tokio::test(start_paused = true)]
async fn the_recorded_hardware_waits_for_its_token() {
    let mut world = world();
    let mut client = world.connect(link(1));
    client.stream.write_all(WAITING).await.unwrap();
    client.welcome().await;
    assert!(matches!(client.recv().await, Some(Packet::SubscribeAck { .. })));
    // The recording ends with its UNSUBSCRIBE and DISCONNECT.
    assert!(matches!(client.recv().await, Some(Packet::UnsubscribeAck { .. })));
    assert!(client.closed().await);
    let why = world.event(|w| if let What::Disconnect { why } = w { Some(why.clone()) } else { None }).await;
    assert_eq!(why, "it said goodbye");
}
