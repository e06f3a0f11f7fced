//! The external broker: what goes there, what comes from there, and what happens while it is away.

use std::time::Duration;

use bytes::Bytes;
use landfall_cloud::listen::Link;
use landfall_cloud::people::external::External;
use landfall_cloud::people::{Broker, PACKET, ToDevice, inbox};
use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Topic;
use rmqtt_codec::types::QoS;
use rmqtt_codec::v3::{ConnectAckReason, Packet, SubscribeReturnCode};
use tokio::io::{AsyncReadExt, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::DEADLINE;
use crate::fake_broker::FakeBroker;

fn topic_in() -> String {
    Topic::In(DeviceId::new("02200194dc4f22135606").unwrap()).to_string()
}

fn topic_out() -> String {
    Topic::Out(DeviceId::new("02200194dc4f22135606").unwrap()).to_string()
}

fn start(broker: &FakeBroker) -> (External, mpsc::Receiver<ToDevice>) {
    let (commands, inbox) = inbox(4);
    (External::start(&broker.settings(), commands), inbox)
}

/// Waits until its status is as wanted. There is nothing to be told by, so that it is looked at now and then.
async fn until(external: &External, wanted: impl Fn(&landfall_cloud::people::Status) -> bool) {
    let looking = async {
        while !wanted(&external.status()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("{:?}", external.status()));
}

#[tokio::test]
async fn reports_go_there_and_commands_come_from_there() {
    let broker = FakeBroker::start().await;
    let (external, mut inbox) = start(&broker);
    let (mut connected, filter) = broker.welcome().await;
    assert_eq!(filter, Topic::ALL_IN);
    until(&external, |s| s.connected && s.error.is_none()).await;

    external
        .publish(&Topic::RpcRequest(DeviceId::new("x").unwrap()).to_string(), Bytes::from_static(b"private"));
    external.publish(&topic_in(), Bytes::from_static(b"would come back as a command"));
    external.publish(&topic_out(), Bytes::from_static(b"2.1report"));
    assert_eq!(connected.publish().await, (topic_out(), Bytes::from_static(b"2.1report")));

    // Retained ones, what is too large, and topics that are no device's are left alone.
    connected.deliver(&topic_in(), Bytes::from_static(b"retained"), true).await;
    connected.deliver(&topic_in(), Bytes::from(vec![b'x'; PACKET as usize + 1]), false).await;
    connected.deliver(&topic_out(), Bytes::from_static(b"an echo"), false).await;
    connected.deliver(&topic_in(), Bytes::from_static(b"2.1command"), false).await;
    let ToDevice { device, payload } = timeout(DEADLINE, inbox.recv()).await.unwrap().unwrap();
    assert_eq!((device.as_str(), &payload[..]), ("02200194dc4f22135606", &b"2.1command"[..]));
    assert!(inbox.try_recv().is_err());

    for _ in 0..5 {
        connected.deliver(&topic_in(), Bytes::from_static(b"2.1command"), false).await;
    }
    until(&external, |s| s.commands_dropped == 1).await;
}

#[tokio::test]
async fn it_logs_in_with_its_own_name_and_says_goodbye() {
    let broker = FakeBroker::start().await;
    let (external, _inbox) = start(&broker);
    let (mut connected, connect) = broker.accept().await;
    assert!(
        connect.client_id.starts_with("landfall-") && connect.clean_session && connect.last_will.is_none()
    );
    assert_eq!(connect.username.as_deref(), Some("landfall"));
    assert_eq!(connect.password.as_deref(), Some(&b"the broker's password"[..]));
    connected.connack(ConnectAckReason::ConnectionAccepted).await;
    connected.subscription(SubscribeReturnCode::Success(QoS::AtMostOnce)).await;
    until(&external, |s| s.connected).await;
    let ending = tokio::spawn(async move {
        external.shutdown().await;
        external.status()
    });
    assert!(matches!(connected.next().await, Some(Packet::Disconnect)));
    assert!(connected.next().await.is_none());
    assert!(!timeout(DEADLINE, ending).await.unwrap().unwrap().connected);
}

#[tokio::test]
async fn it_comes_back_after_the_broker_did_and_counts_what_was_lost() {
    let broker = FakeBroker::start().await;
    let (external, _inbox) = start(&broker);
    let (connected, _) = broker.welcome().await;
    until(&external, |s| s.connected).await;
    drop(connected);
    until(&external, |s| !s.connected && s.error.is_some()).await;
    external.publish(&topic_out(), Bytes::from_static(b"nobody hears this"));
    assert_eq!(external.status().reports_dropped, 1);
    let (mut connected, filter) = broker.welcome().await;
    assert_eq!(filter, Topic::ALL_IN);
    until(&external, |s| s.connected && s.error.is_none()).await;
    external.publish(&topic_out(), Bytes::from_static(b"now"));
    assert_eq!(connected.publish().await.1, "now");
}

#[tokio::test]
async fn a_refusal_is_shown_without_the_password() {
    let broker = FakeBroker::start().await;
    let (external, _inbox) = start(&broker);
    let (mut connected, _) = broker.accept().await;
    connected.connack(ConnectAckReason::BadUserNameOrPassword).await;
    until(&external, |s| s.error.is_some()).await;
    let status = external.status();
    assert!(!status.connected);
    assert_eq!(status.error.as_deref(), Some("it refuses our user name or password"));

    let (mut connected, _) = broker.accept().await;
    connected.connack(ConnectAckReason::ConnectionAccepted).await;
    connected.subscription(SubscribeReturnCode::Failure).await;
    until(&external, |s| s.connected && s.error.as_deref().is_some_and(|e| e.contains(Topic::ALL_IN))).await;
    assert!(!format!("{:?} {:?}", external.status(), broker.settings()).contains("the broker's password"));
}

#[tokio::test]
async fn reports_that_it_does_not_take_are_counted_and_nobody_waits() {
    let broker = FakeBroker::start().await;
    let (external, _inbox) = start(&broker);
    let (mut connected, _) = broker.welcome().await;
    until(&external, |s| s.connected).await;
    // It acknowledges nothing: 100 are under way, 1,024 wait, the rest is left out.
    for _ in 0..3_000 {
        external.publish(&topic_out(), Bytes::from_static(b"2.1report"));
    }
    assert!((1_800..3_000).contains(&external.status().reports_dropped), "{:?}", external.status());
    assert_eq!(connected.publish().await.1, "2.1report");
}

#[tokio::test]
async fn a_persons_client_that_comes_here_is_closed() {
    let broker = FakeBroker::start().await;
    let (external, _inbox) = start(&broker);
    let (mut client, stream) = duplex(64);
    let at = "127.0.0.1:1".parse().unwrap();
    external.serve(Box::new(stream), Link::plain(at, at), Bytes::from_static(b"\x10")).await;
    let mut heard = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(heard.is_empty());
}
