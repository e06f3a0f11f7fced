//! rumqttc as a person's client, in both its versions, and one of 3.1 made by hand.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5;
use rumqttc::{AsyncClient, ConnectionError, Event, MqttOptions, Packet, QoS};
use tokio::time::timeout;

/// For everything that is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A 3.1.1 client.
pub(crate) struct Client {
    pub(crate) client: AsyncClient,
    pub(crate) events: rumqttc::EventLoop,
}

/// What a client heard: topic, payload, whether it was retained.
pub(crate) type Heard = (String, Bytes, bool);

pub(crate) fn options(address: SocketAddr, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_max_packet_size(64 * 1024, 64 * 1024);
    options.set_credentials("ann", "a password of hers");
    options
}

impl Client {
    pub(crate) async fn connect(options: MqttOptions) -> Result<Self, ConnectionError> {
        let (client, events) = AsyncClient::new(options, 16);
        let mut this = Self { client, events };
        match this.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => Ok(this),
            other => panic!("not a CONNACK: {other:?}"),
        }
    }

    pub(crate) async fn poll(&mut self) -> Result<Event, ConnectionError> {
        timeout(DEADLINE, self.events.poll()).await.expect("an event in time")
    }

    /// The next event that `wanted` makes something of.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
        loop {
            if let Event::Incoming(packet) = self.poll().await.unwrap()
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    }

    /// Whether a filter is granted.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> bool {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        let codes =
            self.until(|packet| if let Packet::SubAck(ack) = packet { Some(ack.return_codes) } else { None });
        !codes.await.contains(&rumqttc::SubscribeReasonCode::Failure)
    }

    /// Publishes with QoS 1 and waits for the acknowledgement.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await.unwrap();
        self.until(|packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    }

    pub(crate) async fn heard(&mut self) -> Heard {
        self.until(|packet| match packet {
            Packet::Publish(p) => Some((p.topic, p.payload, p.retain)),
            _ => None,
        })
        .await
    }
}

/// A client of version 5.
pub(crate) struct Client5 {
    pub(crate) client: v5::AsyncClient,
    pub(crate) events: v5::EventLoop,
}

pub(crate) fn options5(address: SocketAddr, id: &str) -> v5::MqttOptions {
    let mut options = v5::MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_credentials("ann", "a password of hers");
    options
}

impl Client5 {
    pub(crate) async fn connect(options: v5::MqttOptions) -> Result<Self, v5::ConnectionError> {
        let (client, events) = v5::AsyncClient::new(options, 16);
        let mut this = Self { client, events };
        match this.poll().await? {
            v5::Event::Incoming(v5::Incoming::ConnAck(_)) => Ok(this),
            other => panic!("not a CONNACK: {other:?}"),
        }
    }

    pub(crate) async fn poll(&mut self) -> Result<v5::Event, v5::ConnectionError> {
        timeout(DEADLINE, self.events.poll()).await.expect("an event in time")
    }

    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(v5::Incoming) -> Option<T>) -> T {
        loop {
            if let v5::Event::Incoming(packet) = self.poll().await.unwrap()
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    }

    /// The reason code of a filter.
    pub(crate) async fn subscribe(&mut self, filter: &str) -> v5::mqttbytes::v5::SubscribeReasonCode {
        self.client.subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
        self.until(|packet| match packet {
            v5::Incoming::SubAck(ack) => ack.return_codes.first().copied(),
            _ => None,
        })
        .await
    }

    /// Publishes with QoS 1 and returns the reason code of the acknowledgement.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8]) -> v5::mqttbytes::v5::PubAckReason {
        let payload = Bytes::copy_from_slice(payload);
        self.client.publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload).await.unwrap();
        self.until(|packet| match packet {
            v5::Incoming::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }
}
