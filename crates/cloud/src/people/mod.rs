//! The broker for people's MQTT clients: the embedded one, or an external one. Devices never meet it.

use bytes::Bytes;
use landfall_proto::id::DeviceId;
use tokio::sync::mpsc;

use crate::listen::{Link, Stream};

/// What a person's client published to a device: an envelope it sealed by itself.
#[derive(Clone, Debug)]
pub struct ToDevice {
    /// The device.
    pub device: DeviceId,
    /// The envelope.
    pub payload: Bytes,
}

/// A broker for people's clients, behind which the libraries stay out of sight.
#[async_trait::async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Publishes a device's message, as the device sealed it, under the topic it used. Never waits; what a slow broker
    /// does not take is counted.
    fn publish(&self, topic: &str, payload: Bytes);

    /// Takes over a client's connection that logged in as a person, with what was read of it so far (the whole CONNECT).
    /// An external broker is reached by its own address; such a client is closed with a word in the log.
    async fn serve(&self, stream: Box<dyn Stream>, link: Link, read: Bytes);
}

/// The broker in use.
pub struct People {
    /// Behind the trait.
    pub broker: Option<Box<dyn Broker>>,
    /// What people's clients publish to devices.
    pub inbox: std::sync::Mutex<Option<mpsc::Receiver<ToDevice>>>,
}

impl People {
    /// No broker at all.
    pub fn none() -> Self {
        Self { broker: None, inbox: std::sync::Mutex::new(None) }
    }
}
