//! The broker in this process, as the bridge sees it. People's clients log in there with names and passwords of their own.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use landfall_cloud::people::Broker;
use landfall_cloud::people::own::{OwnError, Telling, Tree};
use tokio::sync::watch;

use super::topics;
use super::transport::{Connection, Link, Lost, Message, Qos, Transport};

/// Messages of people that may wait for us.
const INBOX: usize = 256;

struct Embedded {
    broker: Arc<dyn Broker>,
    tree: Arc<Tree>,
    link: watch::Sender<Link>,
}

/// Takes the tree of topics below `base` in the cloud's broker, which runs from now on. `overheard`: a topic of people's own that is
/// heard as well.
///
/// # Errors
/// The broker is not in this process, was taken before, or does not start.
pub async fn connect(
    broker: Arc<dyn Broker>,
    base: &str,
    overheard: Option<String>,
) -> Result<Connection, OwnError> {
    let (tree, said) = Tree::new(base, topics::listens, INBOX);
    let tree = Arc::new(tree.overhearing(overheard));
    broker.own(Arc::clone(&tree)).await?;
    let incoming = unfold(said, |mut said| async move {
        let heard = said.recv().await?;
        // It is not retained even if it was to be: it is about now.
        let message =
            Message { topic: heard.topic, payload: heard.payload, qos: Qos::AtLeastOnce, retain: false };
        Some((message, said))
    });
    let link = watch::Sender::new(Link::Up(1));
    Ok(Connection { transport: Arc::new(Embedded { broker, tree, link }), incoming: incoming.boxed() })
}

#[async_trait]
impl Transport for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn shared(&self) -> bool {
        // Nobody else publishes in our tree, and it begins empty with each start.
        false
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn publish(&self, message: Message) -> Result<(), Lost> {
        let Message { topic, payload, qos, retain } = message;
        let telling = Telling { topic, payload, retain, at_least_once: qos == Qos::AtLeastOnce };
        self.broker.tell(telling).await.map_err(|error| {
            tracing::debug!(%error, "a message does not reach people's clients");
            Lost
        })
    }

    async fn subscribe(&self, _filters: Vec<String>) -> Result<(), Lost> {
        // The tree hears all that people may write.
        Ok(())
    }

    async fn unsubscribe(&self, _filters: Vec<String>) -> Result<(), Lost> {
        Ok(())
    }

    fn dropped(&self) -> u64 {
        self.tree.dropped()
    }

    async fn close(&self, farewell: Vec<Message>) {
        for message in farewell {
            if self.publish(message).await.is_err() {
                break;
            }
        }
        self.link.send_replace(Link::Down { why: None });
    }
}
