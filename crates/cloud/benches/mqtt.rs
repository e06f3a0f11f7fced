//! The MQTT server for devices: what a report costs, and what a connection keeps.
//!
//! * Reports: many devices publish 2.1 reports over loopback; the server checks signatures, decrypts, types, journals and
//!   hands on to a watcher. Beside it the embedded broker alone takes the very same packets, into one hook and to no
//!   subscriber: the floor for anything that is behind a broker.
//! * Idle connections: devices that are logged in, subscribed and have acknowledged the first question; resident memory
//!   of each, in clear and over TLS-PSK.
//!
//! Each server and each crowd of clients is a process of its own, so that a figure is the server's alone, and no
//! measurement lives on memory that another one freed.
//!
//! `cargo bench -p landfall-cloud --bench mqtt -- [DEVICES [EACH [IDLE]]]`, normally 500, 200 and 5000. The last needs
//! some 6,000 file descriptors for each process (`ulimit -n 20000`). Lines that begin with `{` are JSON.
//!
//! For measurements of others: `mqtt clients ADDRESS DEVICES EACH QOS` logs in, prints `ready`, waits for a line on stdin, and
//! then publishes as the devices do (keys and passwords are those below); `mqtt server landfall|rmqtt DEVICES`
//! prints its address, and for each line on stdin what it has used and counted so far.

// A bench prints its figures.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "common/running.rs"]
mod running;

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use landfall_cloud::backend::{
    ActivationAsk, ActivationRefusal, Announcement, ApprovedImage, Backend, BackendError, FirstUse, Identity,
    Keys, PinOutcome, Registration, Timers,
};
use landfall_cloud::clock::Clock;
use landfall_cloud::config::Config;
use landfall_cloud::event::What;
use landfall_cloud::journal::Journal;
use landfall_cloud::listen::{Link, Over, Stream};
use landfall_cloud::people::People;
use landfall_cloud::shared::Shared;
use landfall_link::tls::{Acceptor, Connector, PskKeys, TlsPeer};
use landfall_proto::Entropy;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, ProductId, SecKey, Uuid};
use landfall_proto::mqtt::login::Password;
use landfall_proto::mqtt::{Codec, Envelope, Stamp};
use landfall_proto::psk::{DeviceHash, HINT, Identity as PskIdentity, PREFIX_ESP8266, Psk, PskType};
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::{self, Packet};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::codec::{Decoder, Encoder};

use running::Running;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LOCAL_KEY: &str = "10ca1key01234567";
const SEC_KEY: &str = "5ec0123456789abc";
const AUTH_KEY: &str = "Abcdefgh01234567Ijklmnop89abcdef";
/// The clock that the messages show: seconds since power-on, as the seed's plug does.
const UPTIME: u64 = 7_614;

fn device_id(n: usize) -> String {
    format!("02200194{n:012x}")
}

struct None_;

impl Entropy for None_ {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// CPU time that all threads of this process have used.
fn cpu() -> Result<Duration> {
    let mut ns = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        ns += text.split(' ').next().ok_or("schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(ns))
}

/// Resident memory of this process in bytes.
fn resident() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    Ok(text.split(' ').nth(1).ok_or("statm")?.parse::<u64>()? * 4_096)
}

// ---- servers ----

/// Devices that all have the same keys.
struct Crowd {
    by_id: HashMap<DeviceId, Arc<Registration>>,
    by_hash: HashMap<DeviceHash, Arc<Registration>>,
}

impl Crowd {
    fn new(count: usize) -> Result<Self> {
        let value = || DpKind::Value { min: 0, max: 30_000, step: 1, scale: 0, unit: "".into() };
        let schema = Schema(
            [
                (1, DpSpec::new("switch", DpKind::Bool, Access::Rw)),
                (4, DpSpec::new("current", value(), Access::Ro)),
                (5, DpSpec::new("power", value(), Access::Ro)),
                (6, DpSpec::new("voltage", value(), Access::Ro)),
            ]
            .map(|(id, spec)| (landfall_proto::dp::DpId(id), spec))
            .into(),
        );
        let schema = Arc::new(schema);
        let (mut by_id, mut by_hash) = (HashMap::new(), HashMap::new());
        for n in 0..count {
            let registration = Arc::new(Registration {
                id: DeviceId::new(device_id(n))?,
                name: "plug".to_owned(),
                uuid: None,
                auth_key: None,
                psk_key: None,
                keys: Some(Keys { local: LocalKey::new(LOCAL_KEY)?, sec: Some(SecKey::new(SEC_KEY)?) }),
                pending: None,
                pinned: false,
                product_id: None,
                schema: Arc::clone(&schema),
                envelope: Some(Envelope::V2_1),
                generation: None,
            });
            by_hash.insert(DeviceHash::of(PskType::One, registration.id.as_str()), Arc::clone(&registration));
            by_id.insert(registration.id.clone(), registration);
        }
        Ok(Self { by_id, by_hash })
    }
}

#[async_trait]
impl Backend for Crowd {
    fn by_id(&self, id: &DeviceId) -> Option<Arc<Registration>> {
        self.by_id.get(id).cloned()
    }
    fn by_uuid(&self, _uuid: &Uuid) -> Option<Arc<Registration>> {
        None
    }
    fn by_hash(&self, hash: &DeviceHash) -> Option<Arc<Registration>> {
        self.by_hash.get(hash).cloned()
    }
    fn devices(&self) -> Vec<Arc<Registration>> {
        self.by_id.values().cloned().collect()
    }
    fn window(&self, _who: &Identity) -> Option<u64> {
        None
    }
    async fn activate(
        &self,
        _ask: ActivationAsk,
    ) -> std::result::Result<(Arc<Registration>, Activation), ActivationRefusal> {
        Err(ActivationRefusal::NoWindow)
    }
    async fn keys_used(&self, _id: &DeviceId) -> std::result::Result<FirstUse, BackendError> {
        Ok(FirstUse::Expected)
    }
    async fn pin(&self, _id: &DeviceId, _password: &[u8]) -> std::result::Result<PinOutcome, BackendError> {
        Ok(PinOutcome::Differs)
    }
    fn announce(&self, _id: &DeviceId, _what: Announcement) {}
    fn timers(&self, _id: &DeviceId) -> Timers {
        Timers::Kept
    }
    fn image(&self, _id: &DeviceId, _kind: u32) -> Option<Arc<ApprovedImage>> {
        None
    }
    fn image_by_token(&self, _token: &str) -> Option<Arc<ApprovedImage>> {
        None
    }
    fn schema_of(&self, _product: Option<&ProductId>, _device: Option<&DeviceId>) -> (String, String) {
        ("[]".to_owned(), String::new())
    }
    fn person(&self, _user: &str, _password: &[u8]) -> bool {
        false
    }
}

/// Type 1 alone, whose key is derived.
struct Derived;

impl PskKeys for Derived {
    fn key(&self, _identity: &PskIdentity) -> Option<Psk> {
        None
    }
}

/// What a server has done with the messages so far.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Taken from devices.
    messages: u64,
    /// Seen by the watcher.
    watched: u64,
    /// Told to the watcher as missed, because it was too slow.
    missed: u64,
    /// On disk.
    journalled: u64,
    /// Left out by the journal, because the disk was too slow.
    dropped: u64,
}

/// Answers each line on stdin with what was used so far, until stdin ends.
async fn tell(progress: impl Fn() -> Progress) -> Result<()> {
    let mut lines = BufReader::new(std::io::stdin());
    loop {
        // Waiting on a thread of its own: the server goes on.
        let (back, line) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let read = lines.read_line(&mut line).map(|n| (n, line));
            (lines, read)
        })
        .await?;
        lines = back;
        if line?.0 == 0 {
            return Ok(());
        }
        let Progress { messages, watched, missed, journalled, dropped } = progress();
        let cpu_ns = u64::try_from(cpu()?.as_nanos())?;
        println!(
            "{}",
            json!({"cpu_ns": cpu_ns, "rss": resident()?, "messages": messages, "watched": watched,
                "missed": missed, "journalled": journalled, "dropped": dropped})
        );
    }
}

async fn listener() -> Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    Ok(socket.listen(8_192)?)
}

fn serve<S: Stream>(shared: &Arc<Shared>, stream: S, link: Link) {
    tokio::spawn(landfall_cloud::mqtt::serve(Arc::clone(shared), stream, link));
}

/// Our server. `tls`: behind TLS-PSK.
async fn landfall(devices: usize, tls: bool) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::new(dir.path());
    config.limits.messages_per_second = 1_000_000;
    let shared = Shared::new(
        config,
        Clock::system(),
        Arc::new(Crowd::new(devices)?),
        People::none(),
        Journal::open(dir.path())?,
        Vec::new(),
    );
    let watcher = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let mut events = shared.events();
    let count = Arc::clone(&watcher);
    tokio::spawn(async move {
        let [watched, missed] = &*count;
        loop {
            match events.recv().await {
                Ok(event) if matches!(event.what, What::Report { .. }) => {
                    watched.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => {}
                // A machine that is busy with other things starves it: that is told, and must not end the bench.
                Err(RecvError::Lagged(n)) => {
                    missed.fetch_add(n, Ordering::Relaxed);
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
    let listener = listener().await?;
    println!("{}", listener.local_addr()?);
    let keys: Arc<dyn PskKeys> = Arc::new(Derived);
    let acceptor = Acceptor::new(Some(keys), None, HINT)?;
    let accepting = Arc::clone(&shared);
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else { continue };
            let mut link = Link::plain(peer, local);
            let (shared, acceptor) = (Arc::clone(&accepting), acceptor.clone());
            if tls {
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    link.over = Over::Psk1;
                    if let TlsPeer::Psk { identity } = stream.peer() {
                        link.hash = Some(identity.device());
                    }
                    landfall_cloud::mqtt::serve(shared, stream, link).await;
                });
            } else {
                serve(&shared, stream, link);
            }
        }
    });
    tell(|| {
        let journal = shared.journal.health();
        Progress {
            messages: shared.devices.counts().messages,
            watched: watcher[0].load(Ordering::Relaxed),
            missed: watcher[1].load(Ordering::Relaxed),
            journalled: journal.written,
            dropped: journal.dropped,
        }
    })
    .await
}

/// The embedded broker's library alone, with one hook.
struct Hook(Arc<AtomicU64>);

#[async_trait]
impl rmqtt::hook::Handler for Hook {
    async fn hook(
        &self,
        parameter: &rmqtt::hook::Parameter,
        so_far: Option<rmqtt::hook::HookResult>,
    ) -> rmqtt::hook::ReturnType {
        if matches!(parameter, rmqtt::hook::Parameter::MessagePublish(..)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        (true, so_far)
    }
}

async fn broker() -> Result<()> {
    let context =
        rmqtt::context::ServerContext::new().busy_check_enable(false).mqtt_max_sessions(20_000).build().await;
    let count = Arc::new(AtomicU64::new(0));
    let register = context.extends.hook_mgr().register();
    register.add(rmqtt::hook::Type::MessagePublish, Box::new(Hook(Arc::clone(&count)))).await;
    register.start().await;
    let listener = rmqtt::net::Builder::new()
        .name("bench")
        .laddr("127.0.0.1:0".parse()?)
        .backlog(8_192)
        .nodelay(true)
        .allow_anonymous(true)
        .max_connections(20_000)
        .max_handshaking_limit(20_000)
        .bind()?
        .tcp()?;
    let address = listener.local_addr()?;
    let server = rmqtt::server::MqttServer::new(context).listener_by_id(listener, address.port()).build();
    tokio::spawn(async move {
        if let Err(e) = server.run().await {
            eprintln!("the broker ended: {e}");
        }
    });
    println!("{address}");
    tell(|| Progress { messages: count.load(Ordering::Relaxed), ..Progress::default() }).await
}

// ---- clients ----

fn connect(n: usize) -> Result<Packet> {
    let id = device_id(n);
    let password = Password::of_device(&SecKey::new(SEC_KEY)?).expose().to_owned();
    let hello = v3::Connect {
        clean_session: true,
        keep_alive: 600,
        username: Some(id.clone().into()),
        password: Some(password.into()),
        ..v3::Connect::default()
    };
    Ok(hello.client_id(id).into())
}

/// All packets of a device's reports, sealed before anything is measured.
fn reports(n: usize, each: usize, qos: QoS) -> Result<Vec<BytesMut>> {
    let id = device_id(n);
    let codec = Codec::new(LocalKey::new(LOCAL_KEY)?.expose());
    let mut all = Vec::with_capacity(each);
    for s in 1..=each {
        let json = format!(
            r#"{{"protocol":4,"t":{UPTIME},"data":{{"devId":"{id}","dps":{{"4":{},"5":{},"6":{}}}}},"s":{s}}}"#,
            73 + s % 10,
            160 + s % 7,
            2_301 + s % 30
        );
        let mut payload = Vec::new();
        codec.seal(Envelope::V2_1, Stamp::default(), json.as_bytes(), &mut None_, &mut payload)?;
        let packet_id = (qos == QoS::AtLeastOnce).then(|| u16::try_from(s % 60_000 + 1)).transpose()?;
        let publish = Publish {
            dup: false,
            retain: false,
            qos,
            topic: format!("smart/device/out/{id}").into(),
            packet_id: packet_id.and_then(std::num::NonZeroU16::new),
            payload: payload.into(),
            properties: None,
        };
        let mut out = BytesMut::new();
        v3::Codec::new(0).encode(Packet::from(publish), &mut out)?;
        all.push(out);
    }
    Ok(all)
}

async fn send<S: Stream>(stream: &mut S, packet: Packet) -> Result<()> {
    let mut out = BytesMut::new();
    v3::Codec::new(0).encode(packet, &mut out)?;
    Ok(stream.write_all(&out).await?)
}

/// Logs in and subscribes; acknowledges what comes for it.
async fn log_in<S: Stream>(stream: &mut S, n: usize) -> Result<()> {
    send(stream, connect(n)?).await?;
    let packet_id = 1.try_into()?;
    let topic_filters = vec![(format!("smart/device/in/{}", device_id(n)).into(), QoS::AtLeastOnce)];
    send(stream, Packet::Subscribe { packet_id, topic_filters }).await?;
    let mut codec = v3::Codec::new(0);
    let mut input = BytesMut::new();
    let (mut accepted, mut subscribed) = (false, false);
    while !(accepted && subscribed) {
        if stream.read_buf(&mut input).await? == 0 {
            return Err(format!("device {n} was closed").into());
        }
        while let Some((packet, _)) = codec.decode(&mut input)? {
            match packet {
                Packet::ConnectAck(_) => accepted = true,
                Packet::SubscribeAck { .. } => subscribed = true,
                Packet::Publish(p) => {
                    if let Some(packet_id) = p.packet_id {
                        send(stream, Packet::PublishAck { packet_id }).await?;
                    }
                }
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
    Ok(())
}

/// Reads and forgets; acknowledges questions, so that the connection is as it is with a device.
async fn drain<S: tokio::io::AsyncRead + Unpin>(mut stream: S) {
    let mut chunk = vec![0; 16 * 1024];
    while stream.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
}

async fn go() -> Result<()> {
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn publishers(address: SocketAddr, devices: usize, each: usize, qos: QoS) -> Result<()> {
    let mut crowd = Vec::with_capacity(devices);
    for n in 0..devices {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        log_in(&mut stream, n).await?;
        crowd.push((stream, reports(n, each, qos)?));
    }
    go().await?;
    let mut open = Vec::with_capacity(devices);
    for (stream, packets) in crowd {
        let (read, write) = stream.into_split();
        open.push((write, packets.into_iter(), tokio::spawn(drain(read))));
    }
    // A report of each device at a time, and not faster than a server on one core takes: a flood measures queues.
    let mut beat = tokio::time::interval(Duration::from_micros(devices as u64 * 40));
    for _ in 0..each {
        beat.tick().await;
        for (write, packets, _) in &mut open {
            if let Some(packet) = packets.next() {
                write.write_all(&packet).await?;
            }
        }
    }
    println!("sent");
    go().await
}

async fn idlers(address: SocketAddr, devices: usize, tls: bool) -> Result<()> {
    let auth_key = AuthKey::new(AUTH_KEY)?;
    for n in 0..devices {
        let stream = TcpStream::connect(address).await?;
        if tls {
            let identity = PskIdentity::type_1(PREFIX_ESP8266, &device_id(n), &auth_key);
            let mut stream = Connector::psk(identity, None)?.connect("m2.tuyaeu.com", stream).await?;
            log_in(&mut stream, n).await?;
            tokio::spawn(hold(stream));
        } else {
            let mut stream = stream;
            log_in(&mut stream, n).await?;
            tokio::spawn(hold(stream));
        }
    }
    go().await
}

/// Acknowledges what comes, for ever.
async fn hold<S: Stream>(mut stream: S) {
    let mut codec = v3::Codec::new(0);
    let mut input = BytesMut::new();
    while stream.read_buf(&mut input).await.is_ok_and(|n| n > 0) {
        while let Ok(Some((packet, _))) = codec.decode(&mut input) {
            if let Packet::Publish(p) = packet
                && let Some(packet_id) = p.packet_id
                && send(&mut stream, Packet::PublishAck { packet_id }).await.is_err()
            {
                return;
            }
        }
    }
}

// ---- the one who measures ----

fn number(value: &serde_json::Value, name: &str) -> Result<f64> {
    value[name].as_f64().ok_or_else(|| format!("no {name}").into())
}

fn args(words: &[&dyn ToString]) -> Vec<String> {
    words.iter().map(|w| w.to_string()).collect()
}

/// Whoever makes no progress for so long has stopped.
const STANDSTILL: Duration = Duration::from_secs(60);

/// CPU microseconds per message.
fn measure_reports(server: &str, devices: usize, each: usize, qos: u8) -> Result<f64> {
    let mut running = Running::start(&args(&[&"server", &server, &devices]))?;
    let address = running.line()?;
    let mut clients = Running::start(&args(&[&"clients", &address, &devices, &each, &qos]))?;
    while clients.line()? != "ready" {}
    let before = running.answer()?;
    let cpu = number(&before, "cpu_ns")?;
    // What the login left behind is none of them.
    let come = |now: &serde_json::Value, names: &[&str]| {
        names.iter().try_fold(0.0, |sum, name| {
            Ok::<_, Box<dyn Error + Send + Sync>>(sum + number(now, name)? - number(&before, name)?)
        })
    };
    let start = Instant::now();
    clients.poke()?;
    let all = (devices * each) as f64;
    let (mut so_far, mut moved) = (0.0, Instant::now());
    let after = loop {
        let now = running.answer()?;
        let mut stations = vec![come(&now, &["messages"])?];
        if server == "landfall" {
            // All the way: to the watcher, and to the disk.
            stations.extend([come(&now, &["watched", "missed"])?, come(&now, &["journalled", "dropped"])?]);
        }
        if stations.iter().all(|done| *done >= all) {
            break now;
        }
        let sum = stations.iter().sum();
        if sum > so_far {
            (so_far, moved) = (sum, Instant::now());
        } else if moved.elapsed() > STANDSTILL {
            return Err(format!("{server}: {now}, of {all}, and nothing came for {STANDSTILL:?}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let (missed, dropped) = (come(&after, &["missed"])?, come(&after, &["dropped"])?);
    if missed + dropped > 0.0 {
        println!(
            "{server}: the watcher missed {missed}, the journal left out {dropped}: the machine is too busy"
        );
    }
    let seconds = start.elapsed().as_secs_f64();
    let each_us = (number(&after, "cpu_ns")? - cpu) / all / 1_000.0;
    let per_cpu_second = 1e6 / each_us;
    println!(
        "{server:<10} QoS {qos}   {each_us:8.2} us CPU   {per_cpu_second:9.0} per CPU-second   {seconds:6.2} s"
    );
    println!(
        "{}",
        json!({"bench": "mqtt", "case": "reports", "server": server, "qos": qos, "devices": devices,
            "messages": all, "cpu_us_per_message": each_us, "messages_per_cpu_second": per_cpu_second,
            "seconds": seconds, "missed": missed, "dropped": dropped})
    );
    Ok(each_us)
}

fn measure_idle(over: &str, devices: usize) -> Result<()> {
    /// Connections before the first reading, so that what is made once is not counted.
    const WARM: usize = 100;
    let server = if over == "tls-psk" { "landfall-tls" } else { "landfall" };
    let mut running = Running::start(&args(&[&"server", &server, &(devices + WARM)]))?;
    let address = running.line()?;
    let mut warm = Running::start(&args(&[&"idle", &address, &WARM, &over]))?;
    while warm.line()? != "ready" {}
    let before = number(&running.answer()?, "rss")?;
    // The warm ones stay; the others take their places, from the same address, and then their own.
    let mut clients = Running::start(&args(&[&"idle", &address, &(devices + WARM), &over]))?;
    while clients.line()? != "ready" {}
    // What was allocated for the logins settles.
    std::thread::sleep(Duration::from_secs(2));
    let after = number(&running.answer()?, "rss")?;
    let kib = (after - before) / devices as f64 / 1_024.0;
    println!("idle {over:<10} {devices} connections   {kib:7.2} KiB each");
    println!(
        "{}",
        json!({"bench": "mqtt", "case": "idle", "over": over, "connections": devices, "kib_per_connection": kib})
    );
    Ok(())
}

fn measure(devices: usize, each: usize, idle: usize) -> Result<()> {
    for qos in [0, 1] {
        let floor = measure_reports("rmqtt", devices, each, qos)?;
        let ours = measure_reports("landfall", devices, each, qos)?;
        let ratio = ours / floor;
        println!("landfall costs {ratio:.2} times what the embedded broker alone does");
        println!("{}", json!({"bench": "mqtt", "case": "ratio", "qos": qos, "to_broker": ratio}));
    }
    measure_idle("plain", idle)?;
    measure_idle("tls-psk", idle)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.iter().any(|a| a == "--test") {
        return measure(3, 4, 5);
    }
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match words[..] {
        ["server", "rmqtt", _] => runtime()?.block_on(broker()),
        ["server", "landfall", devices] => runtime()?.block_on(landfall(devices.parse()?, false)),
        ["server", "landfall-tls", devices] => runtime()?.block_on(landfall(devices.parse()?, true)),
        ["clients", address, devices, each, qos] => {
            let qos = QoS::try_from(qos.parse::<u8>()?)?;
            runtime()?.block_on(publishers(address.parse()?, devices.parse()?, each.parse()?, qos))
        }
        ["idle", address, devices, over] => {
            runtime()?.block_on(idlers(address.parse()?, devices.parse()?, over == "tls-psk"))
        }
        _ => {
            let number = |at: usize, normal| words.get(at).map_or(Ok(normal), |text| text.parse());
            measure(number(0, 500)?, number(1, 200)?, number(2, 5_000)?)
        }
    }
}
