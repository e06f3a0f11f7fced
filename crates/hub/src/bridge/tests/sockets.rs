//! The bridge over sockets: the broker in this process with people's clients, and the owner's broker over TLS. The client is
//! [`external`], which is ours; Mosquitto's programs meet the bridge in `interop/`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use landfall_cloud::config::Limits;
use landfall_cloud::listen::{Link as From, Stream};
use landfall_cloud::people::embedded::Embedded;
use landfall_cloud::people::{Broker, inbox};
use landfall_link::tls::{Acceptor, Authority, Names};
use landfall_proto::dp::DpValue;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bridge::external::{self, Tls};
use crate::bridge::mqtt::{Bridge, will};
use crate::bridge::transport::{Connection, Link, Message, Qos};
use crate::bridge::{embedded, mqtt::Status};
use crate::model::Home;
use crate::testing::{FakeHome, PLUG};

use super::{B, OFFLINE, ONLINE, config};

const DEADLINE: Duration = Duration::from_secs(30);

/// A broker behind a listener, as in the cloud.
struct Front {
    address: SocketAddr,
    broker: Arc<Embedded>,
    _accepting: JoinSet<()>,
}

impl Front {
    async fn start(tls: Option<Acceptor>) -> Self {
        let (commands, _inbox) = inbox(8);
        let broker = Arc::new(Embedded::new(Limits::default(), commands));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        let (serving, tls) = (Arc::clone(&broker), Arc::new(tls));
        accepting.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                let (broker, tls) = (Arc::clone(&serving), Arc::clone(&tls));
                served.spawn(async move {
                    let link = From::plain(peer, address);
                    match &*tls {
                        None => serve(&broker, stream, link).await,
                        Some(tls) => {
                            // A client that does not trust us goes away.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(&broker, stream, link).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, broker, _accepting: accepting }
    }

    fn owner(&self) -> external::Broker {
        external::Broker {
            host: "127.0.0.1".into(),
            port: self.address.port(),
            login: Some(("ann".into(), "a password of hers".into())),
            tls: Tls::Off,
        }
    }

    async fn person(&self) -> Person {
        Person::new(external::connect(&self.owner(), &ignored_will()).unwrap()).await
    }
}

async fn serve(broker: &Embedded, mut stream: impl Stream, link: From) {
    let mut read = BytesMut::new();
    while !is_whole(&read) {
        if !matches!(stream.read_buf(&mut read).await, Ok(n) if n > 0) {
            return;
        }
    }
    broker.serve(Box::new(stream), link, Bytes::from(read)).await;
}

/// Whether a short MQTT packet stands there as a whole.
fn is_whole(read: &[u8]) -> bool {
    let mut length = 0;
    for (i, byte) in read.iter().skip(1).enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return read.len() >= 2 + i + length;
        }
    }
    false
}

fn ignored_will() -> Message {
    message("people/will", "gone")
}

fn message(topic: &str, payload: &str) -> Message {
    Message { topic: topic.into(), payload: payload.to_owned().into(), qos: Qos::AtLeastOnce, retain: false }
}

/// A person's client.
struct Person {
    connection: Connection,
}

impl Person {
    async fn new(connection: Connection) -> Self {
        let mut link = connection.transport.link();
        let up = timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Up(_)))).await;
        up.expect("a connection in time").unwrap();
        Self { connection }
    }

    async fn subscribe(&self, filter: &str) {
        self.connection.transport.subscribe(vec![filter.into()]).await.unwrap();
    }

    async fn say(&self, topic: &str, payload: &str) {
        self.connection.transport.publish(message(topic, payload)).await.unwrap();
    }

    /// The next message that is wanted.
    async fn hear(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        let heard = timeout(DEADLINE, async {
            while let Some(message) = self.connection.incoming.next().await {
                if wanted(&message) {
                    return message;
                }
            }
            panic!("the connection ended");
        });
        heard.await.expect("in time")
    }

    async fn hear_on(&mut self, topic: &str) -> String {
        let heard = self.hear(|m| m.topic == topic).await;
        String::from_utf8(heard.payload.to_vec()).unwrap()
    }
}

async fn until(bridge: &Bridge, wanted: impl Fn(&Status) -> bool) {
    let waited = timeout(DEADLINE, async {
        while !wanted(&bridge.status()) {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {:?}", bridge.status()));
}

#[tokio::test]
async fn people_meet_the_home_on_the_broker_in_this_process() {
    let front = Front::start(None).await;
    let home = FakeHome::new();
    let connection = embedded::connect(Arc::clone(&front.broker) as Arc<dyn Broker>, B, None).await.unwrap();
    let bridge = Bridge::start(config(), Arc::clone(&home) as Arc<dyn Home>, connection).unwrap();
    until(&bridge, |s| s.active && s.waiting == 0).await;
    let mut person = front.person().await;
    person.subscribe("landfall/#").await;
    let state = person.hear(|m| m.topic == "landfall/Kitchen plug").await;
    assert!(state.retain, "who comes later gets the state");

    person.say("landfall/Kitchen plug/dp/1/set", "OFF").await;
    assert_eq!(person.hear_on("landfall/Kitchen plug/dp/1").await, "false", "the device shows it");
    assert_eq!(home.take_sets().len(), 1);
    person.say("landfall/Kitchen plug/set/switch_1", "toggle").await;
    assert!(person.hear_on("landfall/Kitchen plug/error").await.contains("command.toggle"));
    person
        .say(
            "landfall/bridge/request/device/rename",
            r#"{"from":"Kitchen plug","to":"Oven","transaction":7}"#,
        )
        .await;
    assert!(person.hear_on("landfall/bridge/response/device/rename").await.contains("\"transaction\":7"));
    // Nobody but the hub says how the home is.
    person.say("landfall/Oven", "forged").await;
    home.report(PLUG, &[(1, DpValue::Bool(true))]);
    let next = person.hear(|m| m.topic == "landfall/Oven/dp/1" || m.payload == "forged").await;
    assert_eq!(next.payload, "true");

    let mut late = front.person().await;
    late.subscribe("landfall/#").await;
    let topic =
        late.hear(|m| m.topic == "landfall/Oven/availability" || m.topic.contains("Kitchen")).await.topic;
    assert_eq!(topic, "landfall/Oven/availability", "the old name left nothing");
    bridge.shutdown().await;
    assert_eq!(person.hear(|m| m.topic == "landfall/bridge/state" && !m.retain).await.payload, OFFLINE);
    front.broker.shutdown().await;
}

#[tokio::test]
async fn the_owners_broker_gets_the_home_over_tls_and_a_goodbye() {
    let dir = tempfile::tempdir().unwrap();
    let names = Names::new().with_ips(["127.0.0.1".parse().unwrap()]).unwrap();
    let authority = Authority::open_or_create(dir.path().join("ca"), &names).unwrap();
    let tls = Acceptor::new(None, Some(authority.server().clone()), "").unwrap();
    let front = Front::start(Some(tls)).await;
    let trusting = external::Broker { tls: Tls::Authority(authority.pem().into()), ..front.owner() };
    let home = FakeHome::new();
    let connection = external::connect(&trusting, &will(B).unwrap()).unwrap();
    let bridge = Bridge::start(config(), Arc::clone(&home) as Arc<dyn Home>, connection).unwrap();
    until(&bridge, |s| s.active && s.waiting == 0).await;
    let mut person = Person::new(external::connect(&trusting, &ignored_will()).unwrap()).await;
    person.subscribe("landfall/#").await;
    assert_eq!(person.hear_on("landfall/bridge/state").await, ONLINE);
    person.say("landfall/Kitchen plug/dp/1/set", "false").await;
    assert_eq!(person.hear_on("landfall/Kitchen plug/dp/1").await, "false");
    bridge.shutdown().await;
    let off = person.hear(|m| m.topic == "landfall/bridge/state" && m.payload == OFFLINE).await;
    assert!(!off.retain, "it is news");

    // Who does not trust the authority is told what to do.
    let doubting = external::Broker { tls: Tls::System, ..front.owner() };
    let connection = external::connect(&doubting, &will(B).unwrap()).unwrap();
    let bridge = Bridge::start(config(), home, connection).unwrap();
    until(&bridge, |s| s.error.is_some()).await;
    let error = bridge.status().error.unwrap();
    assert!(error.contains("ca_file") && error.contains("127.0.0.1"), "{error}");
    assert!(!error.contains("password of hers"));
    bridge.shutdown().await;
}

#[tokio::test]
async fn who_is_cut_off_leaves_a_last_will_and_comes_back() {
    let front = Front::start(None).await;
    let mut person = front.person().await;
    person.subscribe("landfall/#").await;
    let connection = external::connect(&front.owner(), &will(B).unwrap()).unwrap();
    let dying = Person::new(connection).await;
    dying.say("landfall/bridge/state", ONLINE).await;
    assert_eq!(person.hear_on("landfall/bridge/state").await, ONLINE);
    // Dropped without a goodbye, as a process that is killed.
    drop(dying);
    assert_eq!(person.hear_on("landfall/bridge/state").await, OFFLINE);
    let home = FakeHome::new();
    let connection = external::connect(&front.owner(), &will(B).unwrap()).unwrap();
    let bridge = Bridge::start(config(), home as Arc<dyn Home>, connection).unwrap();
    assert_eq!(person.hear_on("landfall/bridge/state").await, ONLINE);
    bridge.shutdown().await;
}
