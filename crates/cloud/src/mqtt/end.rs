//! Why a session ended, in words, for those who watch and for MQTT 5.

use std::io;
use std::time::Duration;

use rmqtt_codec::error::{DecodeError, EncodeError};
use rmqtt_codec::v5::DisconnectReasonCode;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("it said goodbye")]
    Goodbye,
    #[error("it closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("silent for {} s, one and a half times its keepalive", .0.as_secs())]
    Silent(Duration),
    #[error("it read nothing for {} s", .0.as_secs())]
    Unread(Duration),
    #[error("a newer connection of it took over")]
    TakenOver,
    #[error("more than {0} messages a second, and it did not slow down")]
    TooMuch(u32),
    #[error("a malformed packet: {0}")]
    Malformed(#[from] DecodeError),
    #[error("{0}, which a client may not send")]
    OutOfPlace(&'static str),
    #[error("a message at QoS 2")]
    ExactlyOnce,
    #[error("it is not registered any more")]
    Removed,
    #[error("a packet of ours could not be written: {0}")]
    Unwritable(#[from] EncodeError),
}

impl End {
    /// The code of the refusal that it is, if it is one.
    pub(super) const fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Unread(_) => Some("mqtt.unread"),
            Self::TooMuch(_) => Some("mqtt.rate"),
            Self::Malformed(_) => Some("mqtt.malformed"),
            Self::OutOfPlace(_) => Some("mqtt.out_of_place"),
            Self::ExactlyOnce => Some("mqtt.qos"),
            Self::Removed => Some("mqtt.removed"),
            _ => None,
        }
    }

    /// What MQTT 5 clients are told.
    pub(super) const fn reason(&self) -> Option<DisconnectReasonCode> {
        Some(match self {
            Self::Goodbye | Self::Closed | Self::Broken(_) | Self::Unread(_) => return None,
            Self::Silent(_) => DisconnectReasonCode::KeepAliveTimeout,
            Self::TakenOver => DisconnectReasonCode::SessionTakenOver,
            Self::TooMuch(_) => DisconnectReasonCode::MessageRateTooHigh,
            Self::Malformed(DecodeError::MaxSizeExceeded { .. }) => DisconnectReasonCode::PacketTooLarge,
            Self::Malformed(_) => DisconnectReasonCode::MalformedPacket,
            Self::OutOfPlace(_) => DisconnectReasonCode::ProtocolError,
            Self::ExactlyOnce => DisconnectReasonCode::QosNotSupported,
            Self::Removed => DisconnectReasonCode::AdministrativeAction,
            Self::Unwritable(_) => DisconnectReasonCode::UnspecifiedError,
        })
    }
}
