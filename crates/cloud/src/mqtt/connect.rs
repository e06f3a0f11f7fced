//! The CONNECT, and whose it is.
//!
//! | who | what happens |
//! |---|---|
//! | a device we know, by its client id, with the right password | a session of ours |
//! | the same with another password, over the identity of another, from a second address | closed without an answer |
//! | a person, by name and password | handed on to the broker for people |
//! | something that looks like a device, and any garbage | closed without an answer |
//! | anybody else with a wrong name or password | CONNACK 4 (5: 0x86), so that a person's client says what is wrong |
//!
//! CONNACK 5 is never sent: devices forget their owner by it (cloud.md 1.7). The user name of devices is not looked at:
//! in clear some send one that nobody knows how to compute (cloud.md 4.2).

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use landfall_proto::mqtt::content::PointQuery;
use landfall_proto::mqtt::login::{self, ClientId, Password};
use landfall_proto::mqtt::{Codec, Content, Envelope};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::desk::Desk;
use super::devices::Name;
use super::hello::{Ask, Hello, HelloError, hello};
use super::outbox::{Load, Order};
use super::owner::Owner;
use super::packet::Wire;
use super::replay::Counting;
use super::seat::{Seat, Track};
use super::session::Session;
use crate::backend::{PinOutcome, Registration};
use crate::event::What;
use crate::handshake::Mark;
use crate::listen::{Link, Stream};
use crate::shared::Shared;

/// For so long the holder of a client id has to react when somebody else comes with it from another address.
const PROBE: Duration = Duration::from_secs(4);
/// For so long the backend may take over a password.
const BACKEND: Duration = Duration::from_secs(30);
/// A client that switches keepalive off is gone after this silence.
const LONGEST_SILENCE: Duration = Duration::from_secs(3_600);

/// Serves one connection until it ends.
pub(super) async fn serve<S: Stream>(shared: Arc<Shared>, stream: S, link: Link) {
    match admit(&shared, stream, link).await {
        Admitted::Device(session) => session.run().await,
        Admitted::Person(stream, link, read) => {
            if let Some(broker) = &shared.people.broker {
                broker.serve(Box::new(stream), link, read).await;
            }
        }
        Admitted::Nobody => {}
    }
}

/// What becomes of a connection.
enum Admitted<S> {
    Device(Box<Session<S>>),
    Person(S, Link, Bytes),
    Nobody,
}

/// A refused login.
struct Refused {
    code: &'static str,
    why: String,
}

impl Refused {
    fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

async fn admit<S: Stream>(shared: &Arc<Shared>, mut stream: S, link: Link) -> Admitted<S> {
    let mut read = BytesMut::new();
    let limits = &shared.config.limits;
    let hello = match timeout(limits.patience, hello(&mut stream, &mut read, limits.mqtt_packet)).await {
        Ok(Ok(hello)) => hello,
        // Who looks whether the port is open, and leaves, is not worth a word.
        Ok(Err(HelloError::Ended)) if read.is_empty() => return Admitted::Nobody,
        Ok(Err(e)) => return stranger(shared, &link, "mqtt.malformed", e.to_string()),
        Err(_) => return stranger(shared, &link, "mqtt.slow", "no CONNECT came in time".to_owned()),
    };
    let client = ClientId::parse(&hello.ask.client_id).ok();
    let known = match &client {
        Some(ClientId::Device(id)) => shared.backend.by_id(id),
        Some(ClientId::Activation(uuid)) => shared.backend.by_uuid(uuid),
        Some(ClientId::TuyaLink(_)) | None => None,
    };
    if let (Some(client), Some(device)) = (client, known) {
        let who = match &client {
            ClientId::Activation(uuid) => uuid.to_string(),
            _ => device.id.to_string(),
        };
        return match admit_device(shared, &link, &hello.ask, client, &device).await {
            Ok(entered) => {
                let Hello { wire, ask } = hello;
                let receive_max = ask.receive_max;
                Admitted::Device(Box::new(entered.session(shared, stream, link, wire, receive_max, read)))
            }
            Err(refused) => {
                let mark = Mark { at: shared.clock.unix(), count: 1, over: link.over, peer: Some(link.ip()) };
                shared.handshakes.refused(&who, refused.code, mark);
                let what = What::Refusal { code: refused.code, why: refused.why };
                shared.tell(Some(&device), Some(link.peer), what);
                Admitted::Nobody
            }
        };
    }
    admit_person(shared, stream, link, hello, read).await
}

async fn admit_person<S: Stream>(
    shared: &Arc<Shared>,
    mut stream: S,
    link: Link,
    mut hello: Hello,
    mut read: BytesMut,
) -> Admitted<S> {
    if let (Some(user), Some(password)) = (hello.ask.user.clone(), hello.ask.password.clone()) {
        let backend = Arc::clone(&shared.backend);
        // Whoever keeps passwords well takes his time to check one.
        let check = tokio::task::spawn_blocking(move || backend.person(&user, &password));
        if matches!(timeout(BACKEND, check).await, Ok(Ok(true))) {
            if shared.people.broker.is_none() {
                return stranger(shared, &link, "mqtt.no_broker", "there is no broker for people".to_owned());
            }
            return Admitted::Person(stream, link, read.split().freeze());
        }
    }
    if could_be_device(&hello.ask.client_id) {
        let mark = Mark { at: shared.clock.unix(), count: 1, over: link.over, peer: Some(link.ip()) };
        shared.handshakes.refused(&hello.ask.client_id, "mqtt.unknown", mark);
        let why = format!("no device with the client id {:?} is known", &*hello.ask.client_id);
        return stranger(shared, &link, "mqtt.unknown", why);
    }
    let mut out = BytesMut::new();
    if hello.wire.wrong_password(&mut out).is_ok() {
        // Whether the client reads it is its own affair.
        let _unread = timeout(shared.config.limits.patience, async {
            stream.write_all(&out).await?;
            stream.shutdown().await
        })
        .await;
    }
    stranger(shared, &link, "mqtt.login", "no such person, or a wrong password".to_owned())
}

/// Whether a client id looks like a device's: then nothing is answered to it. Real ones have 12 to 25 letters and digits
/// (cloud.md 0.2), or a prefix of their kind.
fn could_be_device(client_id: &str) -> bool {
    let letters = client_id.bytes().all(|b| b.is_ascii_alphanumeric());
    (letters && (12..=25).contains(&client_id.len()))
        || client_id.starts_with("acon_")
        || client_id.starts_with("tuyalink_")
}

fn stranger<S>(shared: &Shared, link: &Link, code: &'static str, why: String) -> Admitted<S> {
    tracing::debug!(peer = %link.peer, code, "{why}");
    shared.tell_of(None, Some(link.peer), What::Refusal { code, why });
    Admitted::Nobody
}

/// A login that was accepted, with a seat.
struct Entered {
    owner: Owner,
    name: Name,
    seat: Arc<Seat>,
    /// Length of the CONNECT.
    connect: usize,
    /// The pending keys were used.
    pending: bool,
}

impl Entered {
    fn session<S: Stream>(
        self,
        shared: &Arc<Shared>,
        stream: S,
        link: Link,
        wire: Wire,
        receive_max: Option<NonZeroU16>,
        mut read: BytesMut,
    ) -> Session<S> {
        // Some clients do not wait for the CONNACK.
        read.advance(self.connect.min(read.len()));
        let input = if read.is_empty() { BytesMut::new() } else { BytesMut::from(&read[..]) };
        let shared = Arc::clone(shared);
        let mut session =
            Session::new(shared, stream, link, wire, receive_max, self.owner, self.name, self.seat, input);
        if self.pending {
            session.pending_used();
        }
        session
    }
}

async fn admit_device(
    shared: &Arc<Shared>,
    link: &Link,
    ask: &Ask,
    client: ClientId,
    device: &Arc<Registration>,
) -> Result<Entered, Refused> {
    identity(shared, link, device)?;
    let password = ask.password.as_deref().unwrap_or_default();
    let mut pending = false;
    let (owner, name, track) = match client {
        ClientId::Device(client) => {
            pending = device_password(shared, link, device, password).await?;
            let mut desk = Desk::new();
            if pending {
                desk.expect_pending();
            }
            let track =
                shared.devices.track(&device.id, shared.journal.last_stamps().get(&device.id).copied());
            let name = Name::Device(device.id.clone());
            let device = Arc::clone(device);
            (Owner::Device { client, device, desk, counting: Counting::new() }, name, track)
        }
        ClientId::Activation(uuid) => {
            let Some(key) = &device.auth_key else {
                return Err(Refused::new(
                    "mqtt.auth_key",
                    "it waits for its activation, and its auth key is unknown",
                ));
            };
            if !Password::of_activation(key).fits(password) {
                return Err(wrong_password());
            }
            let said = ask.user.as_deref().and_then(login::announced);
            let envelope = said.or(device.envelope).unwrap_or(Envelope::V2_2);
            let codec = Box::new(Codec::new(&key.cipher_key()));
            let (name, device) = (Name::Waiting(uuid.clone()), Arc::clone(device));
            (Owner::Waiting { uuid, device, codec, envelope }, name, Arc::<Track>::default())
        }
        ClientId::TuyaLink(_) => return Err(Refused::new("mqtt.unknown", "TuyaLink devices are not served")),
    };
    let silence = match ask.keep_alive {
        0 => LONGEST_SILENCE,
        seconds => Duration::from_secs(u64::from(seconds)) * 3 / 2,
    };
    let seat = Seat::new(link.ip(), track, silence, Instant::now());
    sit_down(shared, &name, &seat).await?;
    Ok(Entered { owner, name, seat, connect: ask.len, pending })
}

/// Whether the identity of the TLS handshake belongs to the device of the client id.
fn identity(shared: &Shared, link: &Link, device: &Registration) -> Result<(), Refused> {
    let Some(hash) = &link.hash else { return Ok(()) };
    let fits = match shared.backend.by_hash(hash) {
        // Keys that were told prove more than the name of hardware that was never given any.
        Some(other) if device.uuid.is_none() && other.keys.is_none() && other.pending.is_none() => true,
        Some(other) => other.is_same_device(device),
        // Hardware whose uuid nobody told us has a hash that we can't know.
        None => device.uuid.is_none(),
    };
    if fits {
        Ok(())
    } else {
        Err(Refused::new("mqtt.identity", "the TLS identity of the connection is another device's"))
    }
}

fn wrong_password() -> Refused {
    Refused::new("mqtt.password", "the password is not made from a key that we know of this device")
}

/// `true`: it is that of the pending keys.
async fn device_password(
    shared: &Arc<Shared>,
    link: &Link,
    device: &Arc<Registration>,
    password: &[u8],
) -> Result<bool, Refused> {
    let fits = |keys: &Option<crate::backend::Keys>| {
        let sec = keys.as_ref().and_then(|keys| keys.sec.as_ref());
        sec.map(|sec| Password::of_device(sec).fits(password))
    };
    let (current, pending) = (fits(&device.keys), fits(&device.pending));
    if current == Some(true) {
        return Ok(false);
    }
    if pending == Some(true) {
        return Ok(true);
    }
    // Adopted: its local key is known, its sec key is not.
    if device.keys.is_none() || current.is_some() || password.is_empty() {
        return Err(wrong_password());
    }
    let (backend, id, given) = (Arc::clone(&shared.backend), device.id.clone(), password.to_vec());
    // In a task of its own: what is being stored is stored even when we stop waiting.
    let pinned = tokio::spawn(async move { backend.pin(&id, &given).await });
    match timeout(BACKEND, pinned).await {
        Ok(Ok(Ok(PinOutcome::Fits))) => Ok(false),
        Ok(Ok(Ok(PinOutcome::Pinned))) => {
            shared.tell(Some(device), Some(link.peer), What::PasswordPinned);
            Ok(false)
        }
        Ok(Ok(Ok(PinOutcome::Differs))) => Err(Refused::new(
            "mqtt.password",
            "another password than the first one that this device came with; `landfall cloud` pins the first",
        )),
        Ok(Ok(Err(e))) => Err(Refused::new("mqtt.backend", e.to_string())),
        Ok(Err(_)) | Err(_) => Err(Refused::new("mqtt.backend", "the password could not be pinned in time")),
    }
}

/// Takes the device's seat. One client id has one connection: a new one from the same address replaces the old one, a
/// new one from another address does so only when the old one is gone.
async fn sit_down(shared: &Shared, name: &Name, seat: &Arc<Seat>) -> Result<(), Refused> {
    let devices = &shared.devices;
    for _ in 0..3 {
        let taken = match devices.sitting(name) {
            None => devices.take(name, seat, None),
            Some(old) if old.ip == seat.ip || is_gone(name, &old).await => {
                devices.take(name, seat, Some(&old))
            }
            Some(old) => {
                let why = format!("the device is connected from {} and answers there", old.ip);
                return Err(Refused::new("mqtt.in_use", why));
            }
        };
        if taken {
            return Ok(());
        }
    }
    Err(Refused::new("mqtt.in_use", "several connections want this client id at once"))
}

/// Whether the holder of a seat is gone: silent for too long, or it does not react to a question. What waits for its
/// activation is asked nothing and judged by its silence alone.
async fn is_gone(name: &Name, old: &Seat) -> bool {
    let heard = old.heard.notified();
    tokio::pin!(heard);
    heard.as_mut().enable();
    let packets = {
        let state = old.state();
        if state.over || state.heard_at.elapsed() >= state.silence {
            return true;
        }
        state.packets
    };
    if matches!(name, Name::Waiting(_)) {
        return false;
    }
    let content = Content::Query(PointQuery::default());
    // A full queue is reason enough to wait for a sign of life.
    let _full = old.order(Order { load: Load::Message(content), repeat: false, ticket: None }, None);
    let alive = async {
        loop {
            heard.as_mut().await;
            let state = old.state();
            if state.over {
                return false;
            }
            if state.packets != packets {
                return true;
            }
            drop(state);
            heard.set(old.heard.notified());
        }
    };
    !matches!(timeout(PROBE, alive).await, Ok(true))
}
