//! Whose session it is, and which topics are its own.

use std::sync::Arc;

use landfall_proto::id::{DeviceId, Uuid};
use landfall_proto::mqtt::{Codec, Envelope, Topic};

use super::desk::Desk;
use super::replay::Counting;
use crate::backend::Registration;

/// Whose session it is.
#[derive(Debug)]
pub(super) enum Owner {
    /// An activated device.
    Device {
        /// The id that it logged in with: its own, or a former one.
        client: DeviceId,
        /// What is known of it.
        device: Arc<Registration>,
        /// Its desk.
        desk: Desk,
        /// Its numbers.
        counting: Counting,
    },
    /// Hardware that waits for its activation: it gets a token and may say nothing (cloud.md 1.6).
    Waiting {
        /// The hardware.
        uuid: Uuid,
        /// What is known of it.
        device: Arc<Registration>,
        /// Under its auth key.
        codec: Box<Codec>,
        /// What it announced.
        envelope: Envelope,
    },
}

impl Owner {
    /// What is known of it.
    pub(super) const fn device(&self) -> &Arc<Registration> {
        match self {
            Self::Device { device, .. } | Self::Waiting { device, .. } => device,
        }
    }

    /// What its record is kept under.
    pub(super) fn who(&self) -> &str {
        match self {
            Self::Device { device, .. } => device.id.as_str(),
            Self::Waiting { uuid, .. } => uuid.as_str(),
        }
    }

    /// Where commands go.
    pub(super) fn inbox(&self) -> Topic {
        match self {
            Self::Device { client, .. } => Topic::In(client.clone()),
            Self::Waiting { uuid, .. } => Topic::Activation(uuid.clone()),
        }
    }

    /// Whether a topic is its own.
    pub(super) fn owns(&self, topic: &Topic) -> bool {
        match self {
            Self::Device { client, .. } => topic.device() == Some(client),
            Self::Waiting { uuid, .. } => topic.uuid() == Some(uuid),
        }
    }
}
