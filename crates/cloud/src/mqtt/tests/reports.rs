use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::Cid;
use landfall_proto::mqtt::{Content, Envelope};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::Packet;

use super::kit::{ID, NOW, World, codec, json, link, new_codec, new_keys, opened, password, points, sealed};
use crate::event::What;
use crate::handshake::Step;

fn dps(on: bool) -> String {
    json(NOW, &format!(r#"{{"1":{on},"3":"high","99":[1]}}"#))
}

#[tokio::test(start_paused = true)]
async fn reports_come_typed_from_every_envelope_and_are_passed_on_as_they_came() {
    let mut world = World::new();
    let expected = points([
        (1, DpValue::Bool(true)),
        (3, DpValue::Enum("high".into())),
        (99, DpValue::Json("[1]".into())),
    ]);
    for (n, envelope) in (7..).zip(Envelope::ALL) {
        world.book.change(ID, |d| d.envelope = None);
        let mut client = world.connect(link(1));
        client.login(ID, &password()).await;
        client.report(envelope, n, &dps(true)).await;
        assert_eq!(world.report().await, expected, "{envelope}");
        let announced = world.book.announced.lock().unwrap().pop().unwrap();
        assert_eq!(announced.envelope, Some(envelope));
        let (topic, payload) = world.people.published.lock().unwrap().pop().unwrap();
        assert_eq!(topic, format!("smart/device/out/{ID}"));
        assert_eq!(payload, sealed(&codec(), envelope, n, &dps(true)));
    }
    let record = &world.shared.handshakes.devices()[&super::kit::id(ID)];
    assert_eq!((record.steps[&Step::Reported].count, record.reports), (3, 3));
    world.shared.journal.written(3).await;
}

#[tokio::test(start_paused = true)]
async fn sub_devices_and_times_are_told() {
    let mut world = World::new();
    let mut client = world.device().await;
    let text = format!(
        r#"{{"protocol":4,"t":{NOW},"data":{{"cid":"a1","dps":{{"1":true}},"t":{{"1":1700000000}}}}}}"#
    );
    client.report(Envelope::V2_2, 1, &text).await;
    let (cid, times) = world
        .event(|what| match what {
            What::Report { cid, times, .. } => Some((cid.clone(), times.clone())),
            _ => None,
        })
        .await;
    assert_eq!((cid, times), (Cid::new("a1").ok(), vec![(DpId(1), 1_700_000_000)]));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_verify_does_not_count() {
    let mut world = World::new();
    let mut client = world.device().await;
    let topic = format!("smart/device/out/{ID}");
    let mut forged = sealed(&codec(), Envelope::V2_1, 1, &dps(true));
    forged[3..19].copy_from_slice(b"0123456789abcdef");
    let foreign = dps(true).replace(ID, super::kit::OTHER);
    for (payload, code) in [
        (sealed(&new_codec(), Envelope::V2_1, 1, &dps(true)), "envelope.key"),
        (sealed(&new_codec(), Envelope::V2_2, 1, &dps(true)), "envelope.key"),
        (sealed(&new_codec(), Envelope::V2_3, 1, &dps(true)), "envelope.key"),
        (forged, "envelope.signature"),
        (b"2.1".to_vec(), "envelope.malformed"),
        (b"".to_vec(), "envelope.malformed"),
        (dps(true).into_bytes(), "envelope.malformed"),
        (sealed(&codec(), Envelope::V2_2, 1, "{}"), "message.malformed"),
        (
            sealed(&codec(), Envelope::V2_2, 1, r#"{"protocol":4,"t":1,"data":{"dps":7}}"#),
            "message.malformed",
        ),
        (sealed(&codec(), Envelope::V2_2, 1, &foreign), "message.foreign"),
    ] {
        client.publish(&topic, payload, Some(1)).await;
        assert!(matches!(client.recv().await, Some(Packet::PublishAck { .. })), "{code}");
        assert_eq!(world.refusal().await, code);
    }
    assert_eq!(world.shared.devices.counts().refused, 10);
    assert!(world.people.published.lock().unwrap().is_empty());
    assert!(!world.shared.handshakes.devices()[&super::kit::id(ID)].steps.contains_key(&Step::Reported));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_proves_more_is_not_heard_in_the_envelope_that_proves_least() {
    let mut world = World::new();
    for known in [Envelope::V2_1, Envelope::V2_3] {
        world.book.change(ID, |d| d.envelope = Some(known));
        let mut client = world.device().await;
        client.report(Envelope::V2_2, 1, &dps(true)).await;
        assert_eq!(world.refusal().await, "envelope.weaker");
    }
    world.book.change(ID, |d| d.envelope = Some(Envelope::V2_2));
    let mut client = world.device().await;
    client.report(Envelope::V2_3, 1, &dps(true)).await;
    world.report().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_under_the_pending_key_makes_it_the_key() {
    let mut world = World::new();
    // Adopted, so that the password says nothing of keys.
    world.book.change(ID, |d| {
        d.keys.as_mut().unwrap().sec = None;
        let mut pending = new_keys();
        pending.sec = None;
        d.pending = Some(pending);
    });
    let mut client = world.connect(link(1));
    client.login(ID, "anything").await;
    client.report(Envelope::V2_2, 1, &dps(true)).await;
    world.report().await;
    assert_eq!(*world.book.used.lock().unwrap(), 0);
    let topic = format!("smart/device/out/{ID}");
    client.publish(&topic, sealed(&new_codec(), Envelope::V2_2, 2, &dps(false)), None).await;
    world.event(|w| matches!(w, What::KeysUsed).then_some(())).await;
    client.report(Envelope::V2_2, 3, &dps(true)).await;
    assert_eq!(world.refusal().await, "envelope.key");
}

#[tokio::test(start_paused = true)]
async fn an_old_message_is_refused_and_a_restarted_device_is_heard() {
    let mut world = World::new();
    let mut client = world.device().await;
    for n in [5, 6, 9] {
        client.report(Envelope::V2_2, n, &dps(true)).await;
        world.report().await;
    }
    assert!(world.so_far().is_empty());
    client.report(Envelope::V2_2, 6, &dps(true)).await;
    assert_eq!(world.refusal().await, "envelope.old");
    // On a new connection, by whoever has the password.
    let mut thief = world.connect(link(1));
    thief.login(ID, &password()).await;
    thief.report(Envelope::V2_2, 6, &dps(true)).await;
    assert_eq!(world.refusal().await, "envelope.old");
    // The device restarted: it counts anew, first by its uptime, then by what it was told.
    let mut client = world.device().await;
    for (n, t) in [(1, 4), (2, 5), (3, NOW + 60)] {
        client.report(Envelope::V2_2, n, &json(t, r#"{"1":true}"#)).await;
        world.report().await;
    }
    assert_eq!(world.shared.devices.counts().old, 2);
    assert_eq!(world.people.published.lock().unwrap().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn numbers_of_2_1_are_in_the_message() {
    let mut world = World::new();
    let mut client = world.device().await;
    let text =
        |s: u32| format!(r#"{{"protocol":4,"t":7614,"data":{{"devId":"{ID}","dps":{{"4":73}}}},"s":{s}}}"#);
    client.report(Envelope::V2_1, 0, &text(101)).await;
    assert_eq!(world.report().await, points([(4, DpValue::Value(73))]));
    client.report(Envelope::V2_1, 0, &text(104)).await;
    let lost = world.event(|w| if let What::Lost { reports } = w { Some(*reports) } else { None }).await;
    assert_eq!(lost, 2);
    client.report(Envelope::V2_1, 0, &text(101)).await;
    assert_eq!(world.refusal().await, "envelope.old");
    assert_eq!(world.shared.handshakes.devices()[&super::kit::id(ID)].lost, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_sent_again_because_its_puback_was_lost_is_no_attack() {
    let mut world = World::new();
    let mut client = world.device().await;
    client.report(Envelope::V2_2, 1, &dps(true)).await;
    world.report().await;
    let again = Publish {
        dup: true,
        retain: false,
        qos: QoS::AtLeastOnce,
        topic: format!("smart/device/out/{ID}").into(),
        packet_id: 5.try_into().ok(),
        payload: sealed(&codec(), Envelope::V2_2, 1, &dps(true)).into(),
        properties: None,
    };
    client.send(Packet::from(again)).await;
    assert!(matches!(client.recv().await, Some(Packet::PublishAck { .. })));
    assert!(world.so_far().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_other_messages_of_devices_are_events_and_unknown_ones_are_counted() {
    let mut world = World::new();
    let mut client = world.device().await;
    world.so_far();
    for (n, text) in (1..).zip([
        r#"{"protocol":16,"data":{"progress":"42","firmwareType":0}}"#,
        r#"{"protocol":23,"t":1,"data":{"reqType":"sigQry","data":{"signal":-60}}}"#,
        r#"{"protocol":26,"t":1,"data":{"ackId":"7"}}"#,
        r#"{"protocol":45,"t":1,"data":{}}"#,
        r#"{"protocol":777,"t":1,"data":{}}"#,
    ]) {
        client.report(Envelope::V2_2, n, text).await;
    }
    client.report(Envelope::V2_2, 6, &dps(true)).await;
    let told: Vec<String> = {
        let mut told = Vec::new();
        while !told.iter().any(|t: &String| t.contains("report")) {
            let what = world.event(|w| Some(w.clone())).await;
            told.push(serde_json::to_string(&what).unwrap());
        }
        told
    };
    assert_eq!(
        &told[..4],
        [
            r#"{"event":"progress","percent":42}"#,
            r#"{"event":"answer","question":"sigQry","signal":-60}"#,
            r#"{"event":"acknowledged","ack_id":"7"}"#,
            r#"{"event":"log_uploaded"}"#,
        ]
    );
    assert_eq!(told.len(), 5, "{told:?}");
    let counts = world.shared.devices.counts();
    assert_eq!((counts.unknown, counts.messages, counts.refused), (1, 6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_removed_is_cut_at_its_next_word() {
    let mut world = World::new();
    let mut client = world.device().await;
    world.book.remove(ID);
    client.report(Envelope::V2_2, 1, &dps(true)).await;
    assert!(client.closed().await);
    assert_eq!(world.refusal().await, "mqtt.removed");
}

#[tokio::test(start_paused = true)]
async fn points_are_asked_for_after_subscribing_and_again_while_some_are_passive() {
    let world = World::new();
    let mut client = world.device().await;
    for _ in 0..3 {
        assert!(client.quiet(Duration::from_secs(59)).await);
        client.send(Packet::PingRequest).await;
        assert_eq!(client.recv().await, Some(Packet::PingResponse));
        let (publish, message) = client.message(&codec()).await;
        assert_eq!(publish.qos, QoS::AtLeastOnce);
        let Content::Query(query) = message.content else { panic!("{message:?}") };
        assert_eq!(query.points, Some(vec![DpId(4)]), "the passive one alone");
    }
    // Others are asked rarely.
    world.book.change(ID, |d| d.schema = std::sync::Arc::default());
    let mut client = world.device().await;
    assert!(client.quiet(Duration::from_secs(80)).await);
    let (envelope, _, _) = {
        world
            .shared
            .devices
            .send(&world.shared, &super::kit::id(ID), Content::TimersChanged(Default::default()))
            .unwrap();
        opened(&codec(), &client.received().await.payload)
    };
    assert_eq!(envelope, Envelope::V2_1, "its id and its way are those of generation A");
}
