use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpValue, Dps};
use landfall_proto::mqtt::content::{
    DaylightSaving, FirmwareCheck, Identified, PointQuery, Question, Reset, SetPoints,
};
use landfall_proto::mqtt::{Content, Envelope, Stamp};
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::Packet;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::{Outcome, SendError};
use super::kit::{
    Client, ID, NOW, OTHER, World, codec, id, json, link, opened, password, points, registration,
};
use crate::backend::Generation;
use crate::people::ToDevice;

const MINUTE: Duration = Duration::from_secs(60);

fn set(world: &World, dps: Dps, patience: Duration) -> JoinHandle<Outcome> {
    let shared = Arc::clone(&world.shared);
    tokio::spawn(async move { shared.devices.set(&shared, &id(ID), None, dps, patience).await })
}

fn on() -> Dps {
    points([(1, DpValue::Bool(true))])
}

/// Reads a publish without acknowledging it.
async fn unacknowledged(client: &mut Client) -> Box<rmqtt_codec::types::Publish> {
    match client.recv().await {
        Some(Packet::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

async fn acknowledge(client: &mut Client, publish: &rmqtt_codec::types::Publish) {
    client.send(Packet::PublishAck { packet_id: publish.packet_id.unwrap() }).await;
}

#[tokio::test(start_paused = true)]
async fn every_command_goes_in_the_devices_envelope_with_rising_numbers() {
    let world = World::new();
    let commands = || {
        [
            Content::Set(SetPoints { dps: on(), ..SetPoints::default() }),
            Content::Reset(Reset { wipe: true, gw_id: None }),
            Content::TimersChanged(Identified::default()),
            Content::CheckFirmware(FirmwareCheck::default()),
            Content::Question(Question { req_type: Question::SIGNAL.to_owned() }),
            Content::Query(PointQuery::default()),
            Content::DaylightSaving(DaylightSaving { intervals: vec![[1, 2]] }),
        ]
    };
    let mut last = u32::try_from(NOW).unwrap() - 1;
    for (generation, expected) in [
        (Generation::A, Envelope::V2_1),
        (Generation::B, Envelope::V2_2),
        (Generation::C, Envelope::V2_2),
        (Generation::E, Envelope::V2_3),
    ] {
        world.book.change(ID, |d| d.generation = Some(generation));
        let mut client = world.connect(link(1));
        client.login(ID, &password()).await;
        client.subscribe(&format!("smart/device/in/{ID}"), QoS::AtLeastOnce).await;
        client.received().await;
        for content in commands() {
            let number = content.protocol();
            world.shared.devices.send(&world.shared, &id(ID), content).unwrap();
            let publish = client.received().await;
            assert_eq!(&*publish.topic, &format!("smart/device/in/{ID}"));
            assert_eq!((publish.qos, publish.retain, publish.dup), (QoS::AtLeastOnce, false, false));
            let (envelope, message, stamp) = opened(&codec(), &publish.payload);
            assert_eq!((envelope, message.protocol(), message.t), (expected, number, Some(NOW)));
            let sequence = match stamp {
                Some(stamp) => {
                    assert_eq!(stamp.source, Stamp::CLOUD);
                    stamp.sequence
                }
                None => u32::try_from(message.s.unwrap()).unwrap(),
            };
            assert!(sequence > last, "{sequence} after {last}");
            last = sequence;
            // Without these some devices crash (cloud.md 4.7).
            match message.content {
                Content::Reset(reset) => assert_eq!((reset.gw_id, reset.wipe), (Some(id(ID)), true)),
                Content::CheckFirmware(check) => {
                    assert_eq!((check.gw_id, check.firmware_type), (Some(id(ID)), Some(0)));
                }
                Content::Set(set) => assert_eq!(set.dev_id, Some(id(ID))),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_device_speaks_counts_more_than_what_we_guess() {
    let world = World::new();
    world.book.change(ID, |d| d.generation = Some(Generation::A));
    let mut client = world.device().await;
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#)).await;
    client.send(Packet::PingRequest).await;
    client.recv().await;
    world.shared.devices.send(&world.shared, &id(ID), Content::Query(PointQuery::default())).unwrap();
    assert_eq!(opened(&codec(), &client.received().await.payload).0, Envelope::V2_2);
}

#[tokio::test(start_paused = true)]
async fn absolute_values_are_repeated_with_dup_and_what_acts_on_each_write_never_is() {
    let world = World::new();
    let mut client = world.device().await;
    let command = |dps| Content::Set(SetPoints { dps, ..SetPoints::default() });
    world.shared.devices.send(&world.shared, &id(ID), command(on())).unwrap();
    world.shared.devices.send(&world.shared, &id(ID), command(points([(5, DpValue::Value(2))]))).unwrap();
    world.shared.devices.send(&world.shared, &id(ID), command(points([(6, DpValue::Bool(true))]))).unwrap();
    let first = unacknowledged(&mut client).await;
    let mut sent = vec![unacknowledged(&mut client).await, unacknowledged(&mut client).await];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(55) {
        client.send(Packet::PingRequest).await;
        loop {
            match client.recv().await {
                Some(Packet::PingResponse) => break,
                Some(Packet::Publish(publish)) => sent.push(publish),
                other => panic!("{other:?}"),
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
    let again: Vec<_> = sent.iter().filter(|p| p.dup).collect();
    assert_eq!(again.len(), 2, "three times in all");
    assert!(again.iter().all(|p| p.packet_id == first.packet_id && p.payload == first.payload));
    assert_eq!(sent.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_set_is_confirmed_by_a_report_after_the_puback() {
    let world = World::new();
    let mut client = world.device().await;
    let outcome = set(&world, on(), MINUTE);
    let publish = unacknowledged(&mut client).await;
    let Content::Set(command) = opened(&codec(), &publish.payload).1.content else { panic!() };
    assert_eq!(command.dps, on());
    acknowledge(&mut client, &publish).await;
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#)).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Confirmed);
    assert!(client.quiet(Duration::from_secs(20)).await, "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_under_way_proves_nothing_and_a_silent_device_is_asked() {
    let world = World::new();
    let mut client = world.device().await;
    let outcome = set(&world, on(), MINUTE);
    let publish = unacknowledged(&mut client).await;
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#)).await;
    acknowledge(&mut client, &publish).await;
    let (_, asked) = client.message(&codec()).await;
    let Content::Query(query) = asked.content else { panic!("{asked:?}") };
    assert_eq!(query.points.unwrap().len(), 1);
    assert!(!outcome.is_finished());
    client.report(Envelope::V2_2, 2, &json(NOW, r#"{"1":true,"4":7}"#)).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Confirmed);
}

#[tokio::test(start_paused = true)]
async fn another_value_is_unconfirmed_and_seen() {
    let world = World::new();
    let mut client = world.device().await;
    let outcome = set(&world, on(), Duration::from_secs(10));
    client.received().await;
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":false}"#)).await;
    while !outcome.is_finished() {
        if !client.quiet(Duration::from_secs(1)).await {
            continue;
        }
    }
    let seen = points([(1, DpValue::Bool(false))]);
    assert_eq!(outcome.await.unwrap(), Outcome::Unconfirmed { seen });
}

#[tokio::test(start_paused = true)]
async fn what_acts_on_each_write_is_sent_once_and_nobody_asks_in_between() {
    let world = World::new();
    let mut client = world.device().await;
    sleep(Duration::from_secs(10)).await;
    let feed = points([(5, DpValue::Value(2))]);
    let outcome = set(&world, feed.clone(), Duration::from_secs(80));
    let publish = client.received().await;
    assert!(matches!(opened(&codec(), &publish.payload).1.content, Content::Set(_)));
    assert!(client.quiet(Duration::from_secs(60)).await, "neither repeated nor asked about");
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"5":2}"#)).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Confirmed);
    // The answer to a question just before proves nothing.
    assert!(matches!(client.message(&codec()).await.1.content, Content::Query(_)), "it was put off");
    let outcome = set(&world, feed, Duration::from_secs(20));
    client.received().await;
    client.report(Envelope::V2_2, 2, &json(NOW, r#"{"5":2}"#)).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Unconfirmed { seen: Dps::new() });
}

#[tokio::test(start_paused = true)]
async fn a_write_only_point_is_accepted_with_the_puback() {
    let world = World::new();
    let mut client = world.device().await;
    let outcome = set(&world, points([(6, DpValue::Bool(true))]), MINUTE);
    let publish = unacknowledged(&mut client).await;
    assert!(client.quiet(Duration::from_secs(3)).await);
    assert!(!outcome.is_finished());
    acknowledge(&mut client, &publish).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Accepted);
    let outcome = set(&world, points([(6, DpValue::Bool(true))]), MINUTE);
    let _never_acknowledged = unacknowledged(&mut client).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Unconfirmed { seen: Dps::new() });
}

#[tokio::test(start_paused = true)]
async fn commands_at_qos_0_are_confirmed_too() {
    let world = World::new();
    let mut client = world.connect(link(1));
    client.login(ID, &password()).await;
    client.subscribe(&format!("smart/device/in/{ID}"), QoS::AtMostOnce).await;
    assert_eq!(client.received().await.qos, QoS::AtMostOnce);
    let outcome = set(&world, on(), MINUTE);
    assert_eq!(client.received().await.qos, QoS::AtMostOnce);
    assert!(matches!(client.message(&codec()).await.1.content, Content::Query(_)), "it is silent");
    client.report(Envelope::V2_2, 1, &json(NOW, r#"{"1":true}"#)).await;
    assert_eq!(outcome.await.unwrap(), Outcome::Confirmed);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_says_why() {
    let world = World::new();
    let failed = |outcome| match outcome {
        Outcome::Failed(e) => e,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(set(&world, on(), MINUTE).await.unwrap()), SendError::Offline(id(ID)));
    let mut client = world.device().await;
    for (dps, part) in [
        (points([(4, DpValue::Value(1))]), "read-only"),
        (points([(1, DpValue::Value(1))]), "takes a bool"),
        (points([(77, DpValue::Bool(true))]), "not a point"),
    ] {
        let e = failed(set(&world, dps, MINUTE).await.unwrap());
        assert!(matches!(e, SendError::Misfit(_)) && e.to_string().contains(part), "{e}");
    }
    assert!(client.quiet(Duration::from_secs(20)).await, "nothing of it was sent");
    // The connection ends before it is confirmed.
    let outcome = set(&world, on(), MINUTE);
    client.received().await;
    client.send(Packet::Disconnect).await;
    assert_eq!(failed(outcome.await.unwrap()), SendError::Offline(id(ID)));
    world.book.change(ID, |d| d.keys = None);
    assert_eq!(failed(set(&world, on(), MINUTE).await.unwrap()), SendError::NoKey(id(ID)));
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_a_set_that_nobody_waits_for_is_taken_back() {
    let world = World::new();
    let mut client = world.connect(link(1));
    client.login(ID, &password()).await;
    // Not subscribed yet: all waits.
    let abandoned = set(&world, points([(3, DpValue::text("low"))]), MINUTE);
    sleep(Duration::from_secs(1)).await;
    abandoned.abort();
    assert!(abandoned.await.is_err());
    let mut sent = 0;
    let full = loop {
        match world.shared.devices.send_sealed(&id(ID), format!("{sent}").into()) {
            Ok(()) => sent += 1,
            Err(e) => break e,
        }
        assert!(sent < 1_000);
    };
    assert_eq!((sent, full), (32, SendError::Congested(id(ID))));
    assert_eq!(set(&world, on(), MINUTE).await.unwrap(), Outcome::Failed(SendError::Congested(id(ID))));
    client.subscribe(&format!("smart/device/in/{ID}"), QoS::AtLeastOnce).await;
    for n in 0..32 {
        assert_eq!(client.received().await.payload, format!("{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_messages_are_under_way() {
    let world = World::new();
    let mut client = world.device().await;
    for n in 0..20 {
        world.shared.devices.send_sealed(&id(ID), format!("{n}").into()).unwrap();
    }
    let mut under_way = Vec::new();
    for _ in 0..8 {
        under_way.push(unacknowledged(&mut client).await);
    }
    assert!(client.quiet(Duration::from_secs(2)).await);
    acknowledge(&mut client, &under_way[3]).await;
    assert_eq!(unacknowledged(&mut client).await.payload, "8");
}

#[tokio::test(start_paused = true)]
async fn what_people_publish_goes_to_that_device_only() {
    let world = World::new();
    world.book.put(registration(OTHER));
    let mut client = world.device().await;
    let mut other = world.connect(link(2));
    other.login(OTHER, &password()).await;
    other.subscribe(&format!("smart/device/in/{OTHER}"), QoS::AtLeastOnce).await;
    other.received().await;
    tokio::spawn(super::super::carry_inbox(Arc::clone(&world.shared)));
    for device in [ID, "bf0123456789abcdefghij", OTHER] {
        let message = ToDevice { device: id(device), payload: device.to_owned().into() };
        world.to_devices.send(message).await.unwrap();
    }
    assert_eq!(client.received().await.payload, ID);
    assert_eq!(other.received().await.payload, OTHER);
    assert!(client.quiet(Duration::from_secs(5)).await && other.quiet(Duration::from_secs(5)).await);
}
