//! An external broker in the test's hands: it says what the test wants, and the test sees what came.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use landfall_cloud::config::ExternalBroker;
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::{Codec, Connect, ConnectAck, ConnectAckReason, Packet, SubscribeReturnCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::codec::{Decoder, Encoder};

use crate::client::DEADLINE;

pub(crate) struct FakeBroker {
    listener: TcpListener,
    address: SocketAddr,
}

impl FakeBroker {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) fn settings(&self) -> ExternalBroker {
        ExternalBroker {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            login: Some(("landfall".into(), "the broker's password".into())),
        }
    }

    /// The next connection, with its CONNECT read.
    pub(crate) async fn accept(&self) -> (Connected, Connect) {
        let (stream, _) =
            timeout(DEADLINE, self.listener.accept()).await.expect("a connection in time").unwrap();
        let mut connected = Connected { stream, codec: Codec::new(0), read: BytesMut::new() };
        match connected.next().await {
            Some(Packet::Connect(connect)) => (connected, *connect),
            other => panic!("not a CONNECT: {other:?}"),
        }
    }

    /// The next connection, let in, with its one subscription granted.
    pub(crate) async fn welcome(&self) -> (Connected, String) {
        let (mut connected, _) = self.accept().await;
        connected.connack(ConnectAckReason::ConnectionAccepted).await;
        let filter = connected.subscription(SubscribeReturnCode::Success(QoS::AtLeastOnce)).await;
        (connected, filter)
    }
}

pub(crate) struct Connected {
    stream: TcpStream,
    codec: Codec,
    read: BytesMut,
}

impl Connected {
    /// The next packet; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, _)) = self.codec.decode(&mut self.read).unwrap() {
                return Some(packet);
            }
            let read = self.stream.read_buf(&mut self.read);
            if timeout(DEADLINE, read).await.expect("a packet in time").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut out = BytesMut::new();
        self.codec.encode(packet, &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn connack(&mut self, return_code: ConnectAckReason) {
        self.send(Packet::ConnectAck(ConnectAck { return_code, session_present: false })).await;
    }

    /// Answers the next SUBSCRIBE, and returns its filter.
    pub(crate) async fn subscription(&mut self, code: SubscribeReturnCode) -> String {
        match self.next().await {
            Some(Packet::Subscribe { packet_id, topic_filters }) => {
                self.send(Packet::SubscribeAck { packet_id, status: vec![code] }).await;
                topic_filters.first().map(|(filter, _)| filter.to_string()).unwrap()
            }
            other => panic!("not a SUBSCRIBE: {other:?}"),
        }
    }

    /// The next PUBLISH, acknowledged.
    pub(crate) async fn publish(&mut self) -> (String, Bytes) {
        loop {
            match self.next().await {
                Some(Packet::Publish(publish)) => {
                    if let Some(packet_id) = publish.packet_id {
                        self.send(Packet::PublishAck { packet_id }).await;
                    }
                    return (publish.topic.to_string(), publish.payload);
                }
                Some(Packet::PingRequest | Packet::PublishAck { .. }) => {}
                other => panic!("not a PUBLISH: {other:?}"),
            }
        }
    }

    /// Sends a message as a broker does.
    pub(crate) async fn deliver(&mut self, topic: &str, payload: Bytes, retain: bool) {
        let publish = Publish {
            dup: false,
            retain,
            qos: QoS::AtLeastOnce,
            topic: topic.into(),
            packet_id: NonZeroU16::new(7),
            payload,
            properties: None,
        };
        self.send(Packet::Publish(Box::new(publish))).await;
    }
}
