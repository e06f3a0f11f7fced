//! The tree of topics of this process in the embedded broker.

use std::sync::Arc;

use bytes::Bytes;
use landfall_cloud::people::Broker;
use landfall_cloud::people::own::{OwnError, Said, Telling, Tree};
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use rumqttc::{LastWill, QoS};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::{Client, Client5, DEADLINE, options, options5};
use crate::front::Front;

fn telling(topic: &str, payload: &'static str, retain: bool) -> Telling {
    Telling {
        topic: topic.into(),
        payload: Bytes::from_static(payload.as_bytes()),
        retain,
        at_least_once: true,
    }
}

async fn owned(front: &Front, size: usize) -> mpsc::Receiver<Said> {
    let (tree, said) = Tree::new("landfall", |rest| rest.ends_with("/set"), size);
    front.broker.own(Arc::new(tree)).await.unwrap();
    said
}

#[tokio::test]
async fn people_read_the_tree_and_get_what_is_retained_when_they_come() {
    let front = Front::start().await;
    let _said = owned(&front, 8).await;
    assert!(front.broker.status().connected, "it runs before anybody logs in");
    front.broker.tell(telling("landfall/lamp", "{\"on\":true}", true)).await.unwrap();
    front.broker.tell(telling("landfall/gone", "{}", true)).await.unwrap();
    front.broker.tell(telling("landfall/gone", "", true)).await.unwrap();
    front.broker.tell(telling("landfall/lamp/dp/1", "true", false)).await.unwrap();
    let mut person = Client::connect(options(front.address, "p")).await.unwrap();
    assert!(person.subscribe("landfall/#").await);
    assert_eq!(person.heard().await, ("landfall/lamp".into(), "{\"on\":true}".into(), true));
    front.broker.tell(telling("landfall/lamp/dp/1", "false", false)).await.unwrap();
    assert_eq!(person.heard().await, ("landfall/lamp/dp/1".into(), "false".into(), false));
    for topic in ["smart/device/out/02200194dc4f22135606", "$SYS/x", "landfall/+"] {
        let refused = front.broker.tell(telling(topic, "x", true)).await;
        assert!(matches!(refused, Err(OwnError::Forbidden(_))), "{topic}");
    }
    let (tree, _) = Tree::new("other", |_| true, 1);
    assert!(matches!(front.broker.own(Arc::new(tree)).await, Err(OwnError::Taken)));
}

#[tokio::test]
async fn a_topic_that_is_overheard_goes_its_way_too() {
    let front = Front::start().await;
    let (tree, mut said) = Tree::new("landfall", |_| false, 8);
    let tree = tree.overhearing(Some("homeassistant/status".into()));
    front.broker.own(Arc::new(tree)).await.unwrap();
    let mut other = Client::connect(options(front.address, "other")).await.unwrap();
    assert!(other.subscribe("homeassistant/#").await);
    let mut assistant = Client::connect(options(front.address, "assistant")).await.unwrap();
    assistant.publish("homeassistant/status", b"online", true).await;
    assert_eq!(other.heard().await.0, "homeassistant/status");
    let heard = timeout(DEADLINE, said.recv()).await.unwrap().unwrap();
    assert_eq!(
        (&*heard.topic, &*heard.payload, heard.retain),
        ("homeassistant/status", &b"online"[..], true)
    );
    // It stays people's own, and so does what others tell Home Assistant.
    assistant.publish("homeassistant/sensor/other/x/config", b"{}", true).await;
    assert_eq!(other.heard().await.0, "homeassistant/sensor/other/x/config");
    assert!(said.try_recv().is_err());
    let mut later = Client::connect(options(front.address, "later")).await.unwrap();
    assert!(later.subscribe("homeassistant/status").await);
    assert_eq!(later.heard().await, ("homeassistant/status".into(), "online".into(), true));
}

#[tokio::test]
async fn what_people_write_reaches_us_alone_and_is_kept_for_nobody() {
    let front = Front::start().await;
    let mut said = owned(&front, 8).await;
    let mut curious = Client::connect(options(front.address, "curious")).await.unwrap();
    assert!(curious.subscribe("#").await);
    let mut will = options(front.address, "flow");
    will.set_last_will(LastWill::new("landfall/lamp/set", "{\"on\":false}", QoS::AtLeastOnce, true));
    let mut flow = Client::connect(will).await.unwrap();
    flow.publish("landfall/lamp/set", b"{\"on\":true}", true).await;
    flow.publish("landfall/lamp", b"{\"on\":true}", true).await;
    flow.publish("landfall", b"x", false).await;
    flow.publish("landfalls/lamp", b"free", false).await;
    assert_eq!(curious.heard().await.0, "landfalls/lamp");
    let next = async |said: &mut mpsc::Receiver<Said>| timeout(DEADLINE, said.recv()).await.unwrap().unwrap();
    let heard = next(&mut said).await;
    assert_eq!(
        (&*heard.topic, &*heard.payload, heard.retain),
        ("landfall/lamp/set", &b"{\"on\":true}"[..], true)
    );
    // Its last will is a command like any other.
    drop(flow);
    assert_eq!(next(&mut said).await.payload, "{\"on\":false}");
    let mut later = Client::connect(options(front.address, "later")).await.unwrap();
    assert!(later.subscribe("#").await);
    curious.publish("the/end", b"", false).await;
    assert_eq!(later.heard().await.0, "the/end", "nothing was kept");
    assert!(said.try_recv().is_err());
}

#[tokio::test]
async fn a_will_for_a_closed_topic_is_refused_and_so_is_a_flood() {
    let front = Front::start().await;
    let _said = owned(&front, 1).await;
    let mut will = options(front.address, "forger");
    will.set_last_will(LastWill::new("landfall/bridge/state", "x", QoS::AtLeastOnce, true));
    assert!(Client::connect(will).await.is_err());
    let mut client = Client5::connect(options5(front.address, "c5")).await.unwrap();
    assert_eq!(client.publish("landfall/lamp", b"x").await, PubAckReason::NotAuthorized);
    assert_eq!(client.publish("landfall/lamp/set", b"1").await, PubAckReason::Success);
    assert_eq!(client.publish("landfall/lamp/set", b"2").await, PubAckReason::QuotaExceeded);
}
