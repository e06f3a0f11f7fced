use std::time::Duration;

use landfall_proto::dp::DpValue;
use landfall_proto::mqtt::Envelope;
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::{Packet, SubscribeReturnCode};

use super::kit::{
    ID, NOW, OTHER, World, codec, connect_3_1, json, link, password, points, registration, sealed,
};
use crate::event::What;
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn a_publish_elsewhere_is_acknowledged_dropped_and_told() {
    let mut world = World::new();
    world.book.put(registration(OTHER));
    let mut client = world.device().await;
    let report = sealed(&codec(), Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#));
    let foreign = [
        format!("smart/device/out/{OTHER}"),
        format!("smart/device/in/{OTHER}"),
        format!("smart/device/in/{ID}"),
        format!("rpc/rsp/{ID}"),
        format!("rpc/req/{OTHER}"),
        format!("rpc/file/{OTHER}"),
        "d/ai/vt0a1b2c3d4e5f60".to_owned(),
        "homeassistant/light/x/config".to_owned(),
        "$SYS/x".to_owned(),
    ];
    for (n, topic) in (1..).zip(&foreign) {
        client.publish(topic, report.clone(), Some(n)).await;
        let Some(Packet::PublishAck { packet_id }) = client.recv().await else { panic!("{topic}") };
        assert_eq!(packet_id.get(), n);
        assert_eq!(world.refusal().await, "mqtt.topic", "{topic}");
    }
    assert_eq!(world.shared.devices.counts().foreign_topics, 9);
    assert!(world.people.published.lock().unwrap().is_empty());
    // Nothing of it was a report, and the device lives on.
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#)).await;
    assert_eq!(world.report().await, points([(1, DpValue::Bool(true))]));
    assert_eq!(world.people.published.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn logs_are_taken_and_unknown_subscriptions_acknowledged() {
    let mut world = World::new();
    let mut client = world.device().await;
    client.publish("log/log_seq/2/1", "a log", Some(1)).await;
    assert!(matches!(client.recv().await, Some(Packet::PublishAck { .. })));
    for topic in ["log/log_seq/cfg", "smart/media/x", &format!("/av/d/{ID}"), &format!("rpc/rsp/{ID}")] {
        assert_eq!(
            client.subscribe(topic, QoS::ExactlyOnce).await,
            SubscribeReturnCode::Success(QoS::AtLeastOnce),
            "{topic}"
        );
        assert_eq!(
            client.subscribe(topic, QoS::AtMostOnce).await,
            SubscribeReturnCode::Success(QoS::AtMostOnce)
        );
    }
    assert!(!world.so_far().iter().any(|w| matches!(w, What::Refusal { .. })));
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_anothers_topics() {
    let mut world = World::new();
    world.book.put(registration(OTHER));
    let mut spy = world.connect(link(2));
    spy.login(OTHER, &password()).await;
    let wishes = [
        format!("smart/device/in/{ID}"),
        format!("smart/device/out/{ID}"),
        format!("rpc/rsp/{ID}"),
        "smart/device/in/+".to_owned(),
        "smart/device/#".to_owned(),
        "#".to_owned(),
        "$share/g/smart/device/in/+".to_owned(),
    ];
    for topic in &wishes {
        assert_eq!(spy.subscribe(topic, QoS::AtLeastOnce).await, SubscribeReturnCode::Failure, "{topic}");
        assert_eq!(world.refusal().await, "mqtt.topic");
    }
    let mut client = world.device().await;
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#)).await;
    world.report().await;
    world.shared.devices.send_sealed(&super::kit::id(ID), "to it alone".into()).unwrap();
    assert_eq!(client.received().await.payload, "to it alone");
    assert!(spy.quiet(Duration::from_secs(20)).await);
    // 3.1 knows no refused subscription; nothing comes all the same.
    let mut old = world.connect(link(2));
    old.stream.write_all(&connect_3_1(OTHER, &password())).await.unwrap();
    old.welcome().await;
    assert_eq!(
        old.subscribe(&wishes[0], QoS::AtLeastOnce).await,
        SubscribeReturnCode::Success(QoS::AtMostOnce)
    );
    world.shared.devices.send_sealed(&super::kit::id(ID), "again".into()).unwrap();
    assert_eq!(client.received().await.payload, "again");
    assert!(old.quiet(Duration::from_secs(20)).await);
}

#[tokio::test(start_paused = true)]
async fn who_unsubscribes_gets_nothing_more() {
    let world = World::new();
    let mut client = world.device().await;
    let packet_id = 4.try_into().unwrap();
    let topic_filters = vec![format!("smart/device/in/{ID}").into()];
    client.send(Packet::Unsubscribe { packet_id, topic_filters }).await;
    assert_eq!(client.recv().await, Some(Packet::UnsubscribeAck { packet_id }));
    world.shared.devices.send_sealed(&super::kit::id(ID), "x".into()).unwrap();
    assert!(client.quiet(Duration::from_secs(60)).await);
}
