//! A cloud in memory, a backend whose answers a test decides, and a client that speaks MQTT by hand.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, ProductId, SecKey, Uuid};
use landfall_proto::mqtt::login::Password;
use landfall_proto::mqtt::{Codec, Content, Envelope, Message, Sealed, Stamp};
use landfall_proto::psk::DeviceHash;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use rmqtt_codec::types::{Protocol, Publish, QoS};
use rmqtt_codec::v3::{self, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::{Decoder, Encoder};

use crate::backend::{
    ActivationAsk, ActivationRefusal, Announcement, ApprovedImage, Backend, BackendError, FirstUse, Identity,
    Keys, PinOutcome, Registration, Timers,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Event, What};
use crate::journal::Journal;
use crate::listen::Link;
use crate::people::{Broker, People};
use crate::shared::Shared;

pub(super) const ID: &str = "02200194dc4f22135606";
pub(super) const OTHER: &str = "02200194dc4f22135607";
pub(super) const UUID: &str = "vt0a1b2c3d4e5f60";
pub(super) const NOW: u64 = 1_795_000_000;
const LOCAL: &str = "10ca1key01234567";
const SEC: &str = "5ec0123456789abc";
const LOCAL_NEW: &str = "n3wl0ca1key45678";
const SEC_NEW: &str = "n3wsec0123456789";
const AUTH: &str = "authkey0authkey1authkey2authkey3";

pub(super) fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

pub(super) fn password() -> String {
    Password::of_device(&SecKey::new(SEC).unwrap()).expose().to_owned()
}

pub(super) fn new_password() -> String {
    Password::of_device(&SecKey::new(SEC_NEW).unwrap()).expose().to_owned()
}

pub(super) fn auth_password() -> String {
    Password::of_activation(&AuthKey::new(AUTH).unwrap()).expose().to_owned()
}

pub(super) fn auth_codec() -> Codec {
    Codec::new(&AuthKey::new(AUTH).unwrap().cipher_key())
}

pub(super) fn codec() -> Codec {
    Codec::new(LocalKey::new(LOCAL).unwrap().expose())
}

pub(super) fn new_codec() -> Codec {
    Codec::new(LocalKey::new(LOCAL_NEW).unwrap().expose())
}

pub(super) fn keys() -> Keys {
    Keys { local: LocalKey::new(LOCAL).unwrap(), sec: SecKey::new(SEC).ok() }
}

pub(super) fn new_keys() -> Keys {
    Keys { local: LocalKey::new(LOCAL_NEW).unwrap(), sec: SecKey::new(SEC_NEW).ok() }
}

/// A plug: switch 1, mode 3, passive current 4, feeder 5 (acts on each write), write-only 6.
pub(super) fn schema() -> Schema {
    let spec = |kind, access| DpSpec::new("", kind, access);
    let value = || DpKind::Value { min: 0, max: 30_000, step: 1, scale: 0, unit: "".into() };
    Schema(
        [
            (DpId(1), spec(DpKind::Bool, Access::Rw)),
            (DpId(3), spec(DpKind::Enum(["low".into(), "high".into()].into()), Access::Rw)),
            (DpId(4), DpSpec { passive: true, ..spec(value(), Access::Ro) }),
            (DpId(5), DpSpec { action: true, ..spec(value(), Access::Rw) }),
            (DpId(6), spec(DpKind::Bool, Access::Wr)),
        ]
        .into(),
    )
}

pub(super) fn registration(device: &str) -> Registration {
    Registration {
        id: id(device),
        name: "plug".to_owned(),
        uuid: None,
        auth_key: None,
        psk_key: None,
        keys: Some(keys()),
        pending: None,
        pinned: false,
        product_id: None,
        schema: Arc::new(schema()),
        envelope: None,
        generation: None,
    }
}

/// A backend whose answers a test decides.
#[derive(Default)]
pub(super) struct Book {
    devices: Mutex<HashMap<DeviceId, Arc<Registration>>>,
    pinned: Mutex<Option<Vec<u8>>>,
    pub(super) announced: Mutex<Vec<Announcement>>,
    pub(super) used: Mutex<u32>,
    /// While it is set, storing waits for a notification.
    pub(super) slow: Mutex<Option<Arc<Notify>>>,
    pub(super) images: Mutex<HashMap<String, Bytes>>,
}

impl Book {
    pub(super) fn put(&self, registration: Registration) {
        self.devices.lock().unwrap().insert(registration.id.clone(), Arc::new(registration));
    }

    pub(super) fn change(&self, device: &str, change: impl FnOnce(&mut Registration)) {
        let mut registration = Registration::clone(&self.by_id(&id(device)).unwrap());
        change(&mut registration);
        self.put(registration);
    }

    pub(super) fn remove(&self, device: &str) {
        self.devices.lock().unwrap().remove(&id(device));
    }

    async fn store(&self) {
        let slow = self.slow.lock().unwrap().clone();
        if let Some(slow) = slow {
            slow.notified().await;
        }
    }
}

#[async_trait]
impl Backend for Book {
    fn by_id(&self, id: &DeviceId) -> Option<Arc<Registration>> {
        self.devices.lock().unwrap().get(id).cloned()
    }
    fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<Registration>> {
        self.devices().into_iter().find(|d| d.uuid.as_ref() == Some(uuid))
    }
    fn by_hash(&self, hash: &DeviceHash) -> Option<Arc<Registration>> {
        use landfall_proto::psk::PskType;
        let kind = match hash {
            DeviceHash::Md5(_) => PskType::One,
            DeviceHash::Sha256(_) => PskType::Two,
        };
        let is = |text: &str| DeviceHash::of(kind, text) == *hash;
        self.devices()
            .into_iter()
            .find(|d| is(d.id.as_str()) || d.uuid.as_ref().is_some_and(|u| is(u.as_str())))
    }
    fn devices(&self) -> Vec<Arc<Registration>> {
        self.devices.lock().unwrap().values().cloned().collect()
    }
    fn window(&self, _who: &Identity) -> Option<u64> {
        None
    }
    async fn activate(
        &self,
        _ask: ActivationAsk,
    ) -> Result<(Arc<Registration>, Activation), ActivationRefusal> {
        Err(ActivationRefusal::NoWindow)
    }
    async fn keys_used(&self, device: &DeviceId) -> Result<FirstUse, BackendError> {
        self.store().await;
        *self.used.lock().unwrap() += 1;
        self.change(device.as_str(), |d| d.keys = d.pending.take().or(d.keys.take()));
        Ok(FirstUse::Expected)
    }
    async fn pin(&self, _id: &DeviceId, password: &[u8]) -> Result<PinOutcome, BackendError> {
        self.store().await;
        let mut pinned = self.pinned.lock().unwrap();
        Ok(match &*pinned {
            None => {
                *pinned = Some(password.to_vec());
                PinOutcome::Pinned
            }
            Some(known) if known == password => PinOutcome::Fits,
            Some(_) => PinOutcome::Differs,
        })
    }
    fn announce(&self, _id: &DeviceId, what: Announcement) {
        self.announced.lock().unwrap().push(what);
    }
    fn timers(&self, _id: &DeviceId) -> Timers {
        Timers::Kept
    }
    fn image(&self, id: &DeviceId, _kind: u32) -> Option<Arc<ApprovedImage>> {
        // Approved for one device alone.
        let token = self.images.lock().unwrap().keys().next().cloned()?;
        self.image_by_token(&token).filter(|_| id.as_str() == ID)
    }
    fn image_by_token(&self, token: &str) -> Option<Arc<ApprovedImage>> {
        let bytes = self.images.lock().unwrap().get(token).cloned()?;
        Some(Arc::new(ApprovedImage { kind: 0, version: "9.0.0".to_owned(), bytes, token: token.to_owned() }))
    }
    fn schema_of(&self, _product: Option<&ProductId>, _device: Option<&DeviceId>) -> (String, String) {
        ("[]".to_owned(), String::new())
    }
    fn person(&self, user: &str, password: &[u8]) -> bool {
        user == "anna" && password == b"right"
    }
}

/// A broker that keeps what it gets.
#[derive(Clone, Default)]
pub(super) struct Kept {
    pub(super) published: Arc<Mutex<Vec<(String, Bytes)>>>,
    pub(super) served: Arc<Mutex<Vec<Bytes>>>,
}

#[async_trait]
impl Broker for Kept {
    fn publish(&self, topic: &str, payload: Bytes) {
        self.published.lock().unwrap().push((topic.to_owned(), payload));
    }
    async fn serve(&self, _stream: Box<dyn crate::listen::Stream>, _link: Link, read: Bytes) {
        self.served.lock().unwrap().push(read);
    }
    fn status(&self) -> crate::people::Status {
        crate::people::Status::default()
    }
    async fn shutdown(&self) {}
}

/// A cloud in memory.
pub(super) struct World {
    pub(super) shared: Arc<Shared>,
    pub(super) book: Arc<Book>,
    pub(super) people: Kept,
    pub(super) events: broadcast::Receiver<Event>,
    pub(super) to_devices: tokio::sync::mpsc::Sender<crate::people::ToDevice>,
    _dir: tempfile::TempDir,
}

impl World {
    /// With one activated device, [`ID`].
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(settings: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        settings(&mut config);
        let book = Arc::new(Book::default());
        book.put(registration(ID));
        let people = Kept::default();
        let (to_devices, inbox) = tokio::sync::mpsc::channel(4);
        let shared = Shared::new(
            config,
            Clock::starting_at(NOW),
            Arc::clone(&book) as Arc<dyn Backend>,
            People { broker: Some(Arc::new(people.clone())), inbox: Mutex::new(Some(inbox)) },
            Journal::open(dir.path()).unwrap(),
            Vec::new(),
        );
        Self { events: shared.events(), shared, book, people, to_devices, _dir: dir }
    }

    pub(super) fn connect(&self, link: Link) -> Client {
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let task = tokio::spawn(super::super::serve(Arc::clone(&self.shared), theirs, link));
        Client { stream: ours, codec: v3::Codec::new(0), input: BytesMut::new(), task }
    }

    /// A device that is logged in and subscribed; the question for its points is answered with silence.
    pub(super) async fn device(&self) -> Client {
        let mut client = self.connect(link(1));
        client.login(ID, &password()).await;
        client.subscribe(&format!("smart/device/in/{ID}"), QoS::AtLeastOnce).await;
        let (_, first) = client.message(&codec()).await;
        assert!(matches!(first.content, Content::Query(_)), "{first:?}");
        client
    }

    /// The next event that is of interest.
    pub(super) async fn event<T>(&mut self, pick: impl Fn(&What) -> Option<T>) -> T {
        let next = async {
            loop {
                if let Some(picked) = pick(&self.events.recv().await.unwrap().what) {
                    return picked;
                }
            }
        };
        timeout(Duration::from_secs(3_600), next).await.expect("the event comes")
    }

    pub(super) async fn refusal(&mut self) -> &'static str {
        self.event(|what| match what {
            What::Refusal { code, .. } => Some(*code),
            _ => None,
        })
        .await
    }

    pub(super) async fn report(&mut self) -> Dps {
        self.event(|what| match what {
            What::Report { dps, .. } => Some(Dps::clone(dps)),
            _ => None,
        })
        .await
    }

    /// What happened so far.
    pub(super) fn so_far(&mut self) -> Vec<What> {
        std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| event.what).collect()
    }
}

pub(super) fn link(host: u8) -> Link {
    let at = |host: u8, port| SocketAddr::new(IpAddr::from([10, 0, 0, host]), port);
    Link::plain(at(host, 40_000), at(250, 1_883))
}

/// A client by hand.
pub(super) struct Client {
    pub(super) stream: DuplexStream,
    codec: v3::Codec,
    input: BytesMut,
    pub(super) task: JoinHandle<()>,
}

pub(super) fn connect(client_id: &str, password: &str) -> v3::Connect {
    v3::Connect {
        protocol: Protocol(4),
        clean_session: true,
        keep_alive: 60,
        username: Some(client_id.to_owned().into()),
        password: Some(Bytes::from(password.to_owned())),
        ..v3::Connect::default()
    }
    .client_id(client_id.to_owned())
}

/// A CONNECT of MQTT 3.1, which the codec does not write.
pub(super) fn connect_3_1(client_id: &str, password: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    // Name, level, flags (user name, password, clean), keepalive 60 s.
    let body =
        [text("MQIsdp"), vec![3, 0xc2, 0, 60], text(client_id), text(client_id), text(password)].concat();
    [vec![0x10, body.len() as u8], body].concat()
}

impl Client {
    pub(super) async fn send(&mut self, packet: impl Into<Packet>) {
        let mut out = BytesMut::new();
        self.codec.encode(packet.into(), &mut out).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    /// The next packet; `None` when the server closed.
    pub(super) async fn recv(&mut self) -> Option<Packet> {
        loop {
            if let Some((packet, _)) = self.codec.decode(&mut self.input).unwrap() {
                return Some(packet);
            }
            let read = timeout(Duration::from_secs(7_200), self.stream.read_buf(&mut self.input)).await;
            if !matches!(read.expect("something comes or it is closed"), Ok(1..)) {
                return None;
            }
        }
    }

    /// Whether nothing comes for so long.
    pub(super) async fn quiet(&mut self, time: Duration) -> bool {
        timeout(time, self.recv()).await.is_err()
    }

    pub(super) async fn login(&mut self, client_id: &str, password: &str) {
        self.send(connect(client_id, password)).await;
        self.welcome().await;
    }

    pub(super) async fn welcome(&mut self) {
        let accepted =
            v3::ConnectAck { return_code: v3::ConnectAckReason::ConnectionAccepted, session_present: false };
        assert_eq!(self.recv().await, Some(Packet::ConnectAck(accepted)));
    }

    /// Whether the server closed without any answer.
    pub(super) async fn closed(&mut self) -> bool {
        self.recv().await.is_none()
    }

    pub(super) async fn subscribe(&mut self, filter: &str, qos: QoS) -> v3::SubscribeReturnCode {
        let packet_id = NonZeroU16::new(9).unwrap();
        self.send(Packet::Subscribe { packet_id, topic_filters: vec![(filter.to_owned().into(), qos)] })
            .await;
        match self.recv().await {
            Some(Packet::SubscribeAck { packet_id: id, status }) if id == packet_id => status[0],
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>, packet: Option<u16>) {
        let packet_id = packet.and_then(NonZeroU16::new);
        let qos = if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let (topic, payload) = (topic.to_owned().into(), payload.into());
        let publish = Publish { dup: false, retain: false, qos, topic, packet_id, payload, properties: None };
        self.send(Packet::from(publish)).await;
    }

    pub(super) async fn report(&mut self, envelope: Envelope, stamp: u32, json: &str) {
        self.publish(&format!("smart/device/out/{ID}"), sealed(&codec(), envelope, stamp, json), None).await;
    }

    /// The next publish, acknowledged.
    pub(super) async fn received(&mut self) -> Publish {
        match self.recv().await {
            Some(Packet::Publish(publish)) => {
                if let Some(packet_id) = publish.packet_id {
                    self.send(Packet::PublishAck { packet_id }).await;
                }
                *publish
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next message of the cloud.
    pub(super) async fn message(&mut self, codec: &Codec) -> (Publish, Message) {
        let publish = self.received().await;
        let message = opened(codec, &publish.payload).1;
        (publish, message)
    }
}

/// Counts instead of random bytes.
struct Count(u8);

impl landfall_proto::Entropy for Count {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_add(1);
            *b = self.0;
        }
    }
}

pub(super) fn sealed(codec: &Codec, envelope: Envelope, stamp: u32, json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    codec.seal(envelope, Stamp::device(stamp), json.as_bytes(), &mut Count(0), &mut out).unwrap();
    out
}

pub(super) fn opened(codec: &Codec, payload: &[u8]) -> (Envelope, Message, Option<Stamp>) {
    let mut scratch = Vec::new();
    let opened = codec.open(Sealed::parse(payload, &mut scratch).unwrap()).unwrap();
    (opened.envelope, Message::parse(opened.json).unwrap(), opened.stamp)
}

pub(super) fn points<const N: usize>(points: [(u16, DpValue); N]) -> Dps {
    points.into_iter().map(|(id, value)| (DpId(id), value)).collect()
}

pub(super) fn json(t: u64, dps: &str) -> String {
    format!(r#"{{"protocol":4,"t":{t},"data":{{"devId":"{ID}","dps":{dps}}}}}"#)
}
