//! Packets of MQTT 3.1, 3.1.1 and 5 as one kind: what a session has to know of them.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

/// Unacknowledged publishes that a client may have under way at a time (MQTT 5 is told so).
const RECEIVE_MAX: NonZeroU16 = NonZeroU16::new(64).unwrap();

/// What came in.
#[derive(Debug)]
pub(super) enum Packet {
    /// A publish at QoS 0, or at QoS 1 if it has a number.
    Publish {
        /// Topic.
        topic: ByteString,
        /// Payload.
        payload: Bytes,
        /// Its number, at QoS 1.
        id: Option<NonZeroU16>,
        /// Whether it says that it was sent before.
        dup: bool,
    },
    /// A publish at QoS 2, which no device sends (cloud.md 4.1).
    ExactlyOnce,
    /// PUBACK.
    Acknowledged(NonZeroU16),
    /// SUBSCRIBE, with what is wished at most.
    Subscribe(NonZeroU16, Vec<(ByteString, QoS)>),
    /// UNSUBSCRIBE.
    Unsubscribe(NonZeroU16, Vec<ByteString>),
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect,
    /// What a client may not send now.
    OutOfPlace(&'static str),
}

/// The answer to one filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Subscribed, at QoS 1 or 0.
    Granted(bool),
    /// Not this client's.
    Refused,
}

/// The dialect of one connection.
#[derive(Debug)]
pub(super) enum Wire {
    /// 3.1 and 3.1.1.
    V3 {
        /// Codec.
        codec: v3::Codec,
        /// Whether it is 3.1, which knows no refused subscription.
        first: bool,
    },
    /// 5. Boxed: almost nobody speaks it.
    V5 {
        /// Codec.
        codec: Box<v5::Codec>,
        /// Largest packet that the client takes.
        most: Option<u32>,
    },
}

impl Wire {
    /// 3.1 or 3.1.1, for packets of at most this size.
    pub(super) fn v3(first: bool, limit: u32) -> Self {
        Self::V3 { codec: v3::Codec::new(limit), first }
    }

    /// 5.
    pub(super) fn v5(limit: u32, most: Option<u32>) -> Self {
        Self::V5 { codec: Box::new(v5::Codec::new(limit, 0)), most }
    }

    /// Whether a publish may be repeated within a connection; MQTT 5 forbids it.
    pub(super) const fn repeats(&self) -> bool {
        matches!(self, Self::V3 { .. })
    }

    /// Takes one packet off the buffer, if it is complete.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        match self {
            Self::V3 { codec, .. } => Ok(codec.decode(buffer)?.map(|(p, _)| read_v3(p))),
            Self::V5 { codec, .. } => Ok(codec.decode(buffer)?.map(|(p, _)| read_v5(p))),
        }
    }

    fn put(
        &mut self,
        v3: v3::Packet,
        v5: impl FnOnce() -> v5::Packet,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match self {
            Self::V3 { codec, .. } => codec.encode(v3, out),
            Self::V5 { codec, .. } => codec.encode(v5(), out),
        }
    }

    /// CONNACK: accepted. `limit` is the largest packet that we take.
    pub(super) fn welcome(&mut self, limit: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
        let v3 = v3::Packet::ConnectAck(v3::ConnectAck {
            return_code: v3::ConnectAckReason::ConnectionAccepted,
            session_present: false,
        });
        let v5 = || {
            v5::Packet::from(v5::ConnectAck {
                session_expiry_interval_secs: Some(0),
                receive_max: RECEIVE_MAX,
                max_qos: QoS::AtLeastOnce,
                max_packet_size: Some(limit),
                retain_available: false,
                wildcard_subscription_available: false,
                subscription_identifiers_available: false,
                shared_subscription_available: false,
                ..v5::ConnectAck::default()
            })
        };
        self.put(v3, v5, out)
    }

    /// CONNACK to a person's client: wrong name or password. Never for what could be a device.
    pub(super) fn wrong_password(&mut self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let v3 = v3::Packet::ConnectAck(v3::ConnectAck {
            return_code: v3::ConnectAckReason::BadUserNameOrPassword,
            session_present: false,
        });
        let v5 = || {
            v5::Packet::from(v5::ConnectAck {
                reason_code: v5::ConnectAckReason::BadUserNameOrPassword,
                ..v5::ConnectAck::default()
            })
        };
        self.put(v3, v5, out)
    }

    /// PUBACK.
    pub(super) fn acknowledge(&mut self, id: NonZeroU16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let v3 = v3::Packet::PublishAck { packet_id: id };
        self.put(v3, || v5::PublishAck { packet_id: id, ..v5::PublishAck::default() }.into(), out)
    }

    /// SUBACK.
    pub(super) fn granted(
        &mut self,
        id: NonZeroU16,
        grants: &[Grant],
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let packet = match self {
            Self::V3 { first, .. } => {
                let status = |grant: &Grant| match grant {
                    Grant::Granted(true) => v3::SubscribeReturnCode::Success(QoS::AtLeastOnce),
                    Grant::Granted(false) => v3::SubscribeReturnCode::Success(QoS::AtMostOnce),
                    Grant::Refused if *first => v3::SubscribeReturnCode::Success(QoS::AtMostOnce),
                    Grant::Refused => v3::SubscribeReturnCode::Failure,
                };
                v3::Packet::SubscribeAck { packet_id: id, status: grants.iter().map(status).collect() }
            }
            Self::V5 { codec, .. } => {
                let status = |grant: &Grant| match grant {
                    Grant::Granted(true) => v5::SubscribeAckReason::GrantedQos1,
                    Grant::Granted(false) => v5::SubscribeAckReason::GrantedQos0,
                    Grant::Refused => v5::SubscribeAckReason::NotAuthorized,
                };
                let ack = v5::SubscribeAck {
                    packet_id: id,
                    properties: Vec::new(),
                    reason_string: None,
                    status: grants.iter().map(status).collect(),
                };
                return codec.encode(ack.into(), out);
            }
        };
        match self {
            Self::V3 { codec, .. } => codec.encode(packet, out),
            Self::V5 { .. } => Err(EncodeError::MalformedPacket),
        }
    }

    /// UNSUBACK for so many filters.
    pub(super) fn unsubscribed(
        &mut self,
        id: NonZeroU16,
        filters: usize,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let v5 = || {
            let ack = v5::UnsubscribeAck {
                packet_id: id,
                properties: Vec::new(),
                reason_string: None,
                status: vec![v5::UnsubscribeAckReason::Success; filters],
            };
            ack.into()
        };
        self.put(v3::Packet::UnsubscribeAck { packet_id: id }, v5, out)
    }

    /// PINGRESP.
    pub(super) fn pong(&mut self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.put(v3::Packet::PingResponse, || v5::Packet::PingResponse, out)
    }

    /// PUBLISH, never retained; at QoS 1 if it has a number. `false`: it is larger than the client takes.
    pub(super) fn publish(
        &mut self,
        topic: ByteString,
        payload: Bytes,
        id: Option<NonZeroU16>,
        dup: bool,
        out: &mut BytesMut,
    ) -> Result<bool, EncodeError> {
        /// Fixed header, length of the topic, number and properties.
        const AROUND: usize = 16;
        let qos = if id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let size = topic.len() + payload.len() + AROUND;
        let publish = Publish { dup, retain: false, qos, topic, packet_id: id, payload, properties: None };
        match self {
            Self::V3 { codec, .. } => codec.encode(publish.into(), out)?,
            Self::V5 { most: Some(most), .. } if size > *most as usize => return Ok(false),
            Self::V5 { codec, .. } => {
                let publish = Publish { properties: Some(v5::PublishProperties::default()), ..publish };
                codec.encode(publish.into(), out)?;
            }
        }
        Ok(true)
    }

    /// DISCONNECT with its reason, where there is such a thing.
    pub(super) fn goodbye(
        &mut self,
        reason: v5::DisconnectReasonCode,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        match self {
            Self::V3 { .. } => Ok(()),
            Self::V5 { codec, .. } => codec.encode(v5::Disconnect::new(reason).into(), out),
        }
    }
}

fn read_publish(publish: Publish) -> Packet {
    match publish.qos {
        QoS::ExactlyOnce => Packet::ExactlyOnce,
        // We told MQTT 5 clients to use no aliases.
        _ if publish.properties.as_ref().is_some_and(|p| p.topic_alias.is_some()) => {
            Packet::OutOfPlace("a topic alias")
        }
        _ => Packet::Publish {
            topic: publish.topic,
            payload: publish.payload,
            id: publish.packet_id,
            dup: publish.dup,
        },
    }
}

fn read_v3(packet: v3::Packet) -> Packet {
    match packet {
        v3::Packet::Publish(publish) => read_publish(*publish),
        v3::Packet::PublishAck { packet_id } => Packet::Acknowledged(packet_id),
        v3::Packet::Subscribe { packet_id, topic_filters } => Packet::Subscribe(packet_id, topic_filters),
        v3::Packet::Unsubscribe { packet_id, topic_filters } => Packet::Unsubscribe(packet_id, topic_filters),
        v3::Packet::PingRequest => Packet::Ping,
        v3::Packet::Disconnect => Packet::Disconnect,
        v3::Packet::Connect(_) => Packet::OutOfPlace("a second CONNECT"),
        v3::Packet::PublishReceived { .. }
        | v3::Packet::PublishRelease { .. }
        | v3::Packet::PublishComplete { .. } => Packet::OutOfPlace("a packet of QoS 2"),
        v3::Packet::ConnectAck(_)
        | v3::Packet::SubscribeAck { .. }
        | v3::Packet::UnsubscribeAck { .. }
        | v3::Packet::PingResponse => Packet::OutOfPlace("a packet of servers"),
    }
}

fn read_v5(packet: v5::Packet) -> Packet {
    match packet {
        v5::Packet::Publish(publish) => read_publish(*publish),
        v5::Packet::PublishAck(ack) => Packet::Acknowledged(ack.packet_id),
        v5::Packet::Subscribe(s) => {
            Packet::Subscribe(s.packet_id, s.topic_filters.into_iter().map(|(f, o)| (f, o.qos)).collect())
        }
        v5::Packet::Unsubscribe(u) => Packet::Unsubscribe(u.packet_id, u.topic_filters),
        v5::Packet::PingRequest => Packet::Ping,
        v5::Packet::Disconnect(_) => Packet::Disconnect,
        v5::Packet::Connect(_) => Packet::OutOfPlace("a second CONNECT"),
        v5::Packet::Auth(_) => Packet::OutOfPlace("an AUTH"),
        v5::Packet::PublishReceived(_) | v5::Packet::PublishRelease(_) | v5::Packet::PublishComplete(_) => {
            Packet::OutOfPlace("a packet of QoS 2")
        }
        v5::Packet::ConnectAck(_)
        | v5::Packet::SubscribeAck(_)
        | v5::Packet::UnsubscribeAck(_)
        | v5::Packet::PingResponse => Packet::OutOfPlace("a packet of servers"),
    }
}
