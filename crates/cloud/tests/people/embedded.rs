//! The embedded broker: what people may and what they may not, its own port, its end.

use bytes::Bytes;
use landfall_cloud::people::{Broker, ToDevice};
use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Topic;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, SubscribeReasonCode};
use rumqttc::{ConnectReturnCode, ConnectionError, Event, LastWill, Packet, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::{Client, Client5, DEADLINE, options, options5};
use crate::front::Front;

fn device() -> DeviceId {
    DeviceId::new("02200194dc4f22135606").unwrap()
}

fn topic_in() -> String {
    Topic::In(device()).to_string()
}

fn topic_out() -> String {
    Topic::Out(device()).to_string()
}

async fn next<T>(queue: &mut mpsc::Receiver<T>) -> T {
    timeout(DEADLINE, queue.recv()).await.expect("in time").expect("the sender lives")
}

fn refused(result: Result<Client, ConnectionError>) -> ConnectReturnCode {
    match result {
        Err(ConnectionError::ConnectionRefused(code)) => code,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("let in"),
    }
}

#[tokio::test]
async fn it_starts_with_the_first_person_and_not_before() {
    let front = Front::start().await;
    front.broker.publish(&topic_out(), Bytes::from_static(b"nobody hears this"));
    assert_eq!(front.broker.address(), None);
    assert!(!front.broker.status().connected);
    let client = Client::connect(options(front.address, "c1")).await.unwrap();
    assert!(front.broker.address().is_some());
    let status = front.broker.status();
    assert_eq!((status.connected, status.clients, status.reports_dropped), (true, Some(1), 0));
    drop(client);
}

#[tokio::test]
async fn the_flow_of_the_seed_hears_reports_and_commands_devices() {
    let mut front = Front::start().await;
    let mut flow = Client::connect(options(front.address, "flow")).await.unwrap();
    assert!(flow.subscribe(Topic::ALL_OUT).await);
    front.broker.publish(&topic_out(), Bytes::from_static(b"2.1f9d6aaa8c028751dtahaVgb6"));
    assert_eq!(flow.heard().await, (topic_out(), Bytes::from_static(b"2.1f9d6aaa8c028751dtahaVgb6"), false));
    flow.publish(&topic_in(), b"2.1468d26b81e3787aatahaVgb6", false).await;
    let ToDevice { device: to, payload } = next(&mut front.inbox).await;
    assert_eq!((to, &payload[..]), (device(), &b"2.1468d26b81e3787aatahaVgb6"[..]));
}

#[tokio::test]
async fn commands_and_private_topics_reach_no_other_client() {
    let mut front = Front::start().await;
    let mut curious = Client::connect(options(front.address, "curious")).await.unwrap();
    assert!(curious.subscribe("#").await && curious.subscribe("smart/device/+/+").await);
    let mut flow = Client::connect(options(front.address, "flow")).await.unwrap();
    flow.publish(&topic_in(), b"a command", true).await;
    // QoS 2 has a way of its own.
    flow.client.publish(topic_in(), QoS::ExactlyOnce, true, "another").await.unwrap();
    flow.until(|packet| matches!(packet, Packet::PubComp(_)).then_some(())).await;
    for forbidden in [topic_out().as_str(), "rpc/req/x", "d/ai/x", "$SYS/x", "$landfall"] {
        flow.publish(forbidden, b"forged", true).await;
    }
    front.broker.publish(&Topic::RpcRequest(device()).to_string(), Bytes::from_static(b"private"));
    front.broker.publish(&topic_in(), Bytes::from_static(b"a command of ours"));
    flow.publish("the/end", b"", false).await;
    assert_eq!(curious.heard().await.0, "the/end");
    assert_eq!(next(&mut front.inbox).await.payload, "a command");
    assert_eq!(next(&mut front.inbox).await.payload, "another");
    assert!(front.inbox.try_recv().is_err());

    // Nor was any of them kept for later.
    let mut later = Client::connect(options(front.address, "later")).await.unwrap();
    assert!(later.subscribe("#").await);
    flow.publish("the/end", b"", false).await;
    assert_eq!(later.heard().await.0, "the/end");
}

#[tokio::test]
async fn what_is_refused_is_told_in_version_5() {
    let front = Front::with_inbox(1).await;
    let mut client = Client5::connect(options5(front.address, "c5")).await.unwrap();
    for filter in ["smart/device/in/+", "rpc/#", "d/ai/#", "$share/g/smart/device/in/+"] {
        assert_eq!(client.subscribe(filter).await, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    assert!(matches!(client.subscribe("$SYS/#").await, SubscribeReasonCode::Success(_)));
    for topic in [topic_out().as_str(), "rpc/rsp/x", "d/ai/x", "smart/device/in/a/b"] {
        assert_eq!(client.publish(topic, b"x").await, PubAckReason::NotAuthorized, "{topic}");
    }
    assert_eq!(client.publish(&topic_in(), b"1").await, PubAckReason::Success);
    assert_eq!(client.publish(&topic_in(), b"2").await, PubAckReason::QuotaExceeded);
    assert_eq!(front.broker.status().commands_dropped, 1);
}

#[tokio::test]
async fn a_refused_filter_is_a_failure_in_version_3() {
    let front = Front::start().await;
    let mut client = Client::connect(options(front.address, "c1")).await.unwrap();
    assert!(!client.subscribe("smart/device/in/#").await);
    assert!(client.subscribe("home/#").await);
}

#[tokio::test]
async fn it_is_a_whole_broker_for_topics_of_people() {
    let front = Front::start().await;
    let mut one = Client::connect(options(front.address, "one")).await.unwrap();
    one.publish("home/lamp", b"on", true).await;
    one.publish("home/door", b"open", true).await;
    one.publish("home/door", b"", true).await;
    let mut other = Client::connect(options(front.address, "other")).await.unwrap();
    assert!(other.subscribe("home/+").await);
    assert_eq!(other.heard().await, ("home/lamp".into(), "on".into(), true));
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        one.client.publish("home/x", qos, false, format!("{qos:?}")).await.unwrap();
        // The request leaves with the next poll; its outcome depends on the level.
        while !matches!(
            one.poll().await.unwrap(),
            Event::Outgoing(rumqttc::Outgoing::Publish(_)) | Event::Incoming(Packet::PubComp(_))
        ) {}
        assert_eq!(other.heard().await, ("home/x".into(), format!("{qos:?}").into(), false));
    }
}

#[tokio::test]
async fn messages_wait_for_a_client_that_keeps_its_session() {
    let mut front = Front::start().await;
    let address = front.address;
    let keeping = || {
        let mut options = options(address, "keeper");
        options.set_clean_session(false);
        options
    };
    let mut keeper = Client::connect(keeping()).await.unwrap();
    assert!(keeper.subscribe(Topic::ALL_OUT).await);
    keeper.client.disconnect().await.unwrap();
    while !matches!(keeper.poll().await.unwrap(), Event::Outgoing(rumqttc::Outgoing::Disconnect)) {}
    // It closes its end too, and is away once its connection has been served.
    drop(keeper);
    next(&mut front.ended).await;
    front.broker.publish(&topic_out(), Bytes::from_static(b"while it was away"));
    let mut keeper = Client::connect(keeping()).await.unwrap();
    assert_eq!(keeper.heard().await.1, "while it was away");
}

#[tokio::test]
async fn wills_are_published_and_keep_to_the_rights() {
    let mut front = Front::start().await;
    let mut watcher = Client::connect(options(front.address, "watcher")).await.unwrap();
    assert!(watcher.subscribe("#").await);
    let address = front.address;
    let with_will = |id: &str, topic: &str| {
        let mut options = options(address, id);
        options.set_last_will(LastWill::new(topic, id, QoS::AtLeastOnce, true));
        options
    };
    // Dropped without a DISCONNECT.
    drop(Client::connect(with_will("commander", &topic_in())).await.unwrap());
    assert_eq!(next(&mut front.inbox).await.payload, "commander");
    drop(Client::connect(with_will("gone", "people/gone")).await.unwrap());
    assert_eq!(watcher.heard().await.0, "people/gone");
    for forbidden in [topic_out().as_str(), "rpc/req/x", "$SYS/x"] {
        let code = refused(Client::connect(with_will("forger", forbidden)).await);
        assert_eq!(code, ConnectReturnCode::NotAuthorized, "{forbidden}");
    }
}

#[tokio::test]
async fn its_own_port_refuses_strangers() {
    let front = Front::start().await;
    let person = Client::connect(options(front.address, "c1")).await.unwrap();
    let inner = front.broker.address().unwrap();
    assert!(inner.ip().is_loopback());
    let mut anonymous = options(inner, "stranger");
    anonymous.set_credentials("", "");
    for stranger in
        [options(inner, "c1"), anonymous, rumqttc::MqttOptions::new("s", "127.0.0.1", inner.port())]
    {
        assert_eq!(refused(Client::connect(stranger).await), ConnectReturnCode::NotAuthorized);
    }
    // Nor does it fall over what is no MQTT, and the person stays.
    for noise in [
        &b"PROXY TCP4 1.1.1.1 1.1.1.1 1 12\r"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\xff\x7f",
        b"\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(inner).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        // Closed politely or reset: either way it ends, and nothing was let in.
        let _end = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(!rest.starts_with(&[0x20, 2, 0, 0]), "{rest:?}");
    }
    let mut person = person;
    person.publish("still/here", b"", false).await;
}

#[tokio::test]
async fn version_3_1_is_spoken() {
    let mut front = Front::start().await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    // CONNECT of 3.1 and a PUBLISH to a device right behind it.
    stream.write_all(b"\x10\x19\0\x06MQIsdp\x03\xc2\0\x3c\0\x02c3\0\x03ann\0\x02pw").await.unwrap();
    let topic = topic_in();
    let mut publish = vec![0x30, (2 + topic.len() + 3) as u8, 0, topic.len() as u8];
    publish.extend_from_slice(topic.as_bytes());
    publish.extend_from_slice(b"2.1");
    stream.write_all(&publish).await.unwrap();
    let mut connack = [0; 4];
    timeout(DEADLINE, stream.read_exact(&mut connack)).await.unwrap().unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    assert_eq!(next(&mut front.inbox).await.payload, "2.1");
}

#[tokio::test]
async fn deep_topics_do_not_exhaust_it() {
    let front = Front::start().await;
    let deep = "/".repeat(30_000);
    let mut client = Client5::connect(options5(front.address, "deep")).await.unwrap();
    assert_eq!(client.publish(&deep, b"x").await, PubAckReason::NotAuthorized);
    assert!(!matches!(client.subscribe(&deep).await, SubscribeReasonCode::Success(_)));
    let mut options = options(front.address, "will");
    options.set_last_will(LastWill::new(deep, "x", QoS::AtLeastOnce, true));
    assert_eq!(refused(Client::connect(options).await), ConnectReturnCode::NotAuthorized);
    assert_eq!(client.publish("shallow", b"x").await, PubAckReason::Success);
}

#[tokio::test]
async fn its_end_ends_all_connections_and_lets_nobody_in() {
    let mut front = Front::start().await;
    let mut old = Client::connect(options(front.address, "old")).await.unwrap();
    let mut new = Client5::connect(options5(front.address, "new")).await.unwrap();
    let inner = front.broker.address().unwrap();
    let broker = front.broker.clone();
    let ending = tokio::spawn(async move { broker.shutdown().await });
    while old.poll().await.is_ok() {}
    while new.poll().await.is_ok() {}
    timeout(DEADLINE, ending).await.expect("in time").unwrap();
    next(&mut front.ended).await;
    next(&mut front.ended).await;
    assert!(TcpStream::connect(inner).await.is_err(), "the inner port is closed");
    assert!(Client::connect(options(front.address, "late")).await.is_err());
    next(&mut front.ended).await;
    assert_eq!(front.broker.status().clients, Some(0));
    assert!(!front.broker.status().connected);
}
