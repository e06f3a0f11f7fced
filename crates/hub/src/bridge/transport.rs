//! What a broker must do for the bridge.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

/// How sure a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Sent once; lost when the connection breaks.
    AtMostOnce,
    /// Sent until it is acknowledged.
    AtLeastOnce,
}

/// A message, in or out.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Bytes,
    /// How sure its delivery is to be.
    pub qos: Qos,
    /// Out: the broker keeps it; an empty payload takes the kept one back. In: it was kept, and is not about now.
    pub retain: bool,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = if self.retain { ", retained" } else { "" };
        write!(f, "Message({} {:?}{kept})", self.topic, String::from_utf8_lossy(&self.payload))
    }
}

/// How the way to the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// No messages get through.
    Down {
        /// Why, in words and without secrets; `None` before the first try and after the end.
        why: Option<String>,
    },
    /// They do. The number is another one after each break: what we told and asked before may be lost.
    Up(u64),
}

/// The broker can't be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the MQTT broker can't be reached now")]
pub struct Lost;

/// A way to a broker.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// `embedded` or `external`.
    fn kind(&self) -> &'static str;

    /// Whether others may publish under our base too: then a rival may be there, and leftovers of an earlier run.
    fn shared(&self) -> bool;

    /// How the way is, from now on.
    fn link(&self) -> watch::Receiver<Link>;

    /// Hands a message over, in order. Waits while the broker is slow.
    ///
    /// # Errors
    /// The link is down, or went down: the message may be lost.
    async fn publish(&self, message: Message) -> Result<(), Lost>;

    /// Asks for messages, until the link breaks.
    ///
    /// # Errors
    /// The link is down.
    async fn subscribe(&self, filters: Vec<String>) -> Result<(), Lost>;

    /// Asks no longer.
    ///
    /// # Errors
    /// The link is down.
    async fn unsubscribe(&self, filters: Vec<String>) -> Result<(), Lost>;

    /// Messages of people that found no room.
    fn dropped(&self) -> u64;

    /// Says the last words and ends. Takes a few seconds at most.
    async fn close(&self, farewell: Vec<Message>);
}

/// A way to a broker with what comes from there.
pub struct Connection {
    /// The way.
    pub transport: Arc<dyn Transport>,
    /// What comes, bounded by the transport.
    pub incoming: BoxStream<'static, Message>,
}
