//! From a device's report to a person's MQTT client, against the same broker alone.
//!
//! * `hub`: the home server, all of it. Devices publish sealed 2.1 reports to its cloud, as stock firmware does; the hub
//!   opens and types them, its brain takes them in, history is stored, and a person's client gets the new state as JSON.
//! * `broker`: rmqtt alone, the library that is embedded in the hub. The same number of connections publish the same JSON,
//!   as long as the hub's, straight to a subscriber.
//!
//! Server and clients are processes of their own, over real sockets; the rounds alternate, so that what else the machine
//! does meets both. Time is from before a report is written to the socket until its state was read by the subscriber; a
//! report whose state was overtaken by a later one of its device counts until that came. Afterwards every report must be in
//! the hub's history, and none dropped.
//!
//! `cargo bench -p landfall-hub --bench mqtt_out -- [RATE [SECONDS [ROUNDS]]]`, normally 1000, 10 and 5. Lines that begin with
//! `{` are JSON.

// A bench prints its figures.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../../cloud/benches/common/running.rs"]
mod running;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use landfall_book::digest::Digest;
use landfall_book::people::Person;
use landfall_book::{BookStore as _, Device, FileStore};
use landfall_cloud::clock::Clock;
use landfall_hub::Server;
use landfall_hub::server::Special;
use landfall_hub::settings::{Address, Settings};
use landfall_hub::store::HistoryQuery;
use landfall_proto::Entropy;
use landfall_proto::dp::DpId;
use landfall_proto::id::{DeviceId, LocalKey, SecKey};
use landfall_proto::mqtt::login::Password;
use landfall_proto::mqtt::{Codec, Envelope, Stamp};
use rmqtt_codec::types::{Publish, QoS};
use rmqtt_codec::v3::{self, Packet};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::codec::{Decoder, Encoder};

use running::Running;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const DEVICES: usize = 100;
const LOCAL_KEY: &str = "10ca1key01234567";
const SEC_KEY: &str = "5ec0123456789abc";
const PERSON: &str = "bench";
const PASSWORD: &str = "a password of the bench";
/// The point whose value numbers the reports of a device: current in mA, so that the state shows it as amperes.
const NUMBERED: DpId = DpId(18);
/// Reports before the measurement: connections, plans and pages are warm, each device has a state.
const WARM: usize = 10;

fn device_id(n: usize) -> String {
    format!("bf00000000000000{n:06}")
}

fn name(n: usize) -> String {
    format!("plug{n:03}")
}

struct None_;

impl Entropy for None_ {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

// ---- servers ----

/// A line from stdin, waited for on a thread of its own; false at its end.
async fn asked() -> Result<bool> {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(read > 0)
}

/// The home server. For each line on stdin it says how it is.
async fn hub() -> Result<()> {
    let dir = tempfile::tempdir()?;
    FileStore::new(dir.path()).update(&mut |book| {
        for n in 0..DEVICES {
            let id = DeviceId::new(device_id(n)).map_err(std::io::Error::other);
            let (Ok(id), Ok(key), Ok(sec)) = (id, LocalKey::new(LOCAL_KEY), SecKey::new(SEC_KEY)) else {
                unreachable!("constants of the bench")
            };
            let mut device = Device::new(id, name(n));
            device.key = Some(key);
            device.category = Some("cz".to_owned());
            device.cloud.sec_key = Some(sec);
            device.cloud.envelope = Some(Envelope::V2_1);
            book.add(device)?;
        }
        let password = Digest::new([7; 16], PASSWORD.as_bytes());
        book.add_person(Person { name: PERSON.to_owned(), password, since: 0 })
    })?;
    let mut settings = Settings::default();
    let free = Address::loopback(0);
    settings.page.listen = free;
    settings.lan.enabled = false;
    let cloud = &mut settings.cloud;
    (cloud.http, cloud.https, cloud.mqtt, cloud.mqtts, cloud.mqtt_psk, cloud.dns) =
        (free, free, free, free, free, free);
    let special = Special { discovery: Some(None), ..Special::default() };
    let server = Server::start(&settings, dir.path(), Clock::system(), special).await?;
    println!("{}", server.addresses().cloud.mqtt.ok_or("the cloud has no MQTT")?);
    let home = server.home();
    let most = Arc::new(AtomicU64::new(0));
    let (looking, seen) = (Arc::clone(&home), Arc::clone(&most));
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(5));
        loop {
            beat.tick().await;
            seen.fetch_max(looking.status().store.waiting, Ordering::Relaxed);
        }
    });
    while asked().await? {
        let most_waiting = most.swap(0, Ordering::Relaxed);
        // Before the rows are counted: when nothing waits now, all of them are there.
        let status = home.status();
        let mut stored = 0;
        for n in 0..DEVICES {
            let query = HistoryQuery {
                device: DeviceId::new(device_id(n))?,
                dps: vec![NUMBERED],
                from_ms: 0,
                to_ms: u64::MAX >> 1,
                step_ms: None,
                limit: 1_000_000,
            };
            stored += home.store().history(&query).await?.first().map_or(0, |s| s.samples.len());
        }
        println!(
            "{}",
            json!({"stored": stored, "dropped": status.store.dropped + status.inbox_dropped,
                "replaced": status.store.replaced,
                "waiting": status.store.waiting, "most_waiting": most_waiting, "ok": status.store.ok})
        );
    }
    server.shutdown().await;
    Ok(())
}

/// The broker's library alone, with room for what waits.
async fn broker() -> Result<()> {
    let context =
        rmqtt::context::ServerContext::new().busy_check_enable(false).mqtt_max_sessions(20_000).build().await;
    let listener = rmqtt::net::Builder::new()
        .name("bench")
        .laddr("127.0.0.1:0".parse()?)
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
    while asked().await? {}
    Ok(())
}

// ---- clients ----

/// A connection that is read packet by packet.
struct Reader {
    stream: OwnedReadHalf,
    codec: v3::Codec,
    input: BytesMut,
}

impl Reader {
    async fn next(&mut self) -> Result<Packet> {
        loop {
            if let Some((packet, _)) = self.codec.decode(&mut self.input)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
    }
}

fn encoded(packet: Packet) -> Result<Bytes> {
    let mut out = BytesMut::new();
    v3::Codec::new(0).encode(packet, &mut out)?;
    Ok(out.freeze())
}

type Open = (Reader, tokio::net::tcp::OwnedWriteHalf);

async fn connect(address: SocketAddr, id: String, user: String, password: String) -> Result<Open> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let hello = v3::Connect {
        clean_session: true,
        keep_alive: 600,
        username: Some(user.into()),
        password: Some(password.into()),
        ..v3::Connect::default()
    };
    write.write_all(&encoded(hello.client_id(id).into())?).await?;
    let mut reader = Reader { stream: read, codec: v3::Codec::new(0), input: BytesMut::new() };
    match reader.next().await? {
        Packet::ConnectAck(_) => Ok((reader, write)),
        other => Err(format!("no CONNACK but {other:?}").into()),
    }
}

/// The report `k` of device `n` as it leaves the device: to the hub sealed, to the broker the state that the hub makes of it.
fn report(to_hub: bool, n: usize, k: usize) -> Result<Bytes> {
    let (power, voltage) = (160 + k % 7, 2_301 + k % 30);
    let (topic, payload) = if to_hub {
        let id = device_id(n);
        let json = format!(
            r#"{{"protocol":4,"t":7614,"data":{{"devId":"{id}","dps":{{"1":true,"18":{k},"19":{power},"20":{voltage}}}}},"s":{k}}}"#
        );
        let mut sealed = Vec::new();
        let codec = Codec::new(LocalKey::new(LOCAL_KEY)?.expose());
        codec.seal(Envelope::V2_1, Stamp::default(), json.as_bytes(), &mut None_, &mut sealed)?;
        (format!("smart/device/out/{id}"), sealed)
    } else {
        let state = json!({"switch_1": true, "current": k as f64 / 1_000.0, "power": power as f64 / 10.0,
            "voltage": voltage as f64 / 10.0, "energy": 12.345});
        (format!("landfall/{}", name(n)), state.to_string().into_bytes())
    };
    let packet_id = u16::try_from(k % 60_000 + 1)?.try_into()?;
    encoded(Packet::from(Publish {
        dup: false,
        retain: false,
        qos: QoS::AtLeastOnce,
        topic: topic.into(),
        packet_id: Some(packet_id),
        payload: payload.into(),
        properties: None,
    }))
}

/// When each report was sent and read, nanoseconds since the start; 0: not yet.
struct Times {
    start: Instant,
    sent: Vec<AtomicU64>,
    read: Vec<AtomicU64>,
    each: usize,
    missing: AtomicU64,
}

impl Times {
    fn new(each: usize) -> Self {
        let all = || (0..DEVICES * each).map(|_| AtomicU64::new(0)).collect();
        Self {
            start: Instant::now(),
            sent: all(),
            read: all(),
            each,
            missing: AtomicU64::new((DEVICES * each) as u64),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// State `k` of device `n` was read, and with it all before.
    fn read(&self, n: usize, k: usize) {
        let now = self.now();
        for k in (1..=k.min(self.each)).rev() {
            if self.read[n * self.each + k - 1]
                .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
            {
                return;
            }
            self.missing.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Devices and a subscriber: `each` reports of each device, so many a second in all. Prints `ready`, then waits for a line.
async fn clients(address: SocketAddr, to_hub: bool, rate: usize, each: usize) -> Result<()> {
    let (user, password) = (PERSON.to_owned(), PASSWORD.to_owned());
    let (mut states, mut acknowledge) = connect(address, "subscriber".to_owned(), user, password).await?;
    let filters = vec![("landfall/+".into(), QoS::AtLeastOnce)];
    let subscribe = Packet::Subscribe { packet_id: 1.try_into()?, topic_filters: filters };
    acknowledge.write_all(&encoded(subscribe)?).await?;
    while !matches!(states.next().await?, Packet::SubscribeAck { .. }) {}
    let mut devices = Vec::with_capacity(DEVICES);
    for n in 0..DEVICES {
        let password = Password::of_device(&SecKey::new(SEC_KEY)?).expose().to_owned();
        let (mut reader, write) = connect(address, device_id(n), device_id(n), password).await?;
        // What the server asks and acknowledges is read and forgotten.
        tokio::spawn(async move { while reader.next().await.is_ok() {} });
        let packets = (1..=each).map(|k| report(to_hub, n, k)).collect::<Result<Vec<_>>>()?;
        devices.push((write, packets));
    }
    let times = Arc::new(Times::new(each));
    let reading = Arc::clone(&times);
    let reader = tokio::spawn(async move {
        while reading.missing.load(Ordering::Relaxed) > 0 {
            let Packet::Publish(publish) = states.next().await? else { continue };
            let number = publish.topic.strip_prefix("landfall/plug").and_then(|n| n.parse::<usize>().ok());
            let state: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap_or_default();
            if let (Some(n), Some(amperes)) = (number, state["current"].as_f64()) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a small number of ours
                reading.read(n, (amperes * 1_000.0).round() as usize);
            }
            if let Some(packet_id) = publish.packet_id {
                acknowledge.write_all(&encoded(Packet::PublishAck { packet_id })?).await?;
            }
        }
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    });
    println!("ready");
    asked().await?;
    let every = Duration::from_secs_f64(1.0 / rate as f64);
    let begin = tokio::time::Instant::now();
    let mut turn = 0_u32;
    for k in 0..each {
        for (n, (write, packets)) in devices.iter_mut().enumerate() {
            tokio::time::sleep_until(begin + every * turn).await;
            turn += 1;
            times.sent[n * each + k].store(times.now().max(1), Ordering::Relaxed);
            write.write_all(&packets[k]).await?;
        }
    }
    tokio::time::timeout(Duration::from_secs(30), reader).await.map_err(|_| {
        let missing = times.missing.load(Ordering::Relaxed);
        format!("{missing} states did not come within 30 s")
    })???;
    let warm = WARM.min(each / 2);
    let mut all: Vec<u64> = (0..DEVICES * each)
        .filter(|at| at % each >= warm)
        .map(|at| {
            times.read[at].load(Ordering::Relaxed).saturating_sub(times.sent[at].load(Ordering::Relaxed))
        })
        .collect();
    all.sort_unstable();
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an index
        let index = ((all.len() - 1) as f64 * share).round() as usize;
        all[index] as f64 / 1_000.0
    };
    println!(
        "{}",
        json!({"p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "max_us": at(1.0), "reports": DEVICES * each})
    );
    Ok(())
}

// ---- the one who measures ----

/// One run; the 99th percentile in microseconds.
fn measure(server: &str, rate: usize, each: usize) -> Result<f64> {
    let mut running = Running::start(&["server", server])?;
    let address = running.line()?;
    let mut clients = Running::start(&["clients", &address, server, &rate.to_string(), &each.to_string()])?;
    while clients.line()? != "ready" {}
    let times = clients.answer()?;
    let p99 = times["p99_us"].as_f64().ok_or("no p99")?;
    println!(
        "{server:<7} p50 {:7.0} us   p90 {:7.0} us   p99 {p99:7.0} us   worst {:7.0} us",
        times["p50_us"].as_f64().unwrap_or_default(),
        times["p90_us"].as_f64().unwrap_or_default(),
        times["max_us"].as_f64().unwrap_or_default()
    );
    println!("{}", json!({"bench": "mqtt_out", "server": server, "rate": rate, "times": times}));
    if server == "hub" {
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            let status = running.answer()?;
            if status["waiting"] == 0 || Instant::now() > deadline {
                break status;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        println!("{}", json!({"bench": "mqtt_out", "stored": status}));
        // Current differs with each report, so each is a row.
        let lost = status["stored"] != json!(DEVICES * each);
        if lost || status["ok"] != true || status["dropped"] != 0 {
            return Err(format!("of {} reports not all were stored: {status}", DEVICES * each).into());
        }
    }
    Ok(p99)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match words[..] {
        ["server", "hub"] => return runtime()?.block_on(hub()),
        ["server", "broker"] => return runtime()?.block_on(broker()),
        ["clients", address, server, rate, each] => {
            let clients = clients(address.parse()?, server == "hub", rate.parse()?, each.parse()?);
            return runtime()?.block_on(clients);
        }
        _ => {}
    }
    // As a test everything runs once and small; what it says of time means nothing.
    let once = words.contains(&"--test");
    let numbers: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
    let number = |at: usize, normal| numbers.get(at).copied().unwrap_or(normal);
    let (rate, seconds, rounds) =
        (number(0, 1_000), number(1, if once { 1 } else { 10 }), number(2, if once { 1 } else { 5 }));
    let each = (rate * seconds / DEVICES).clamp(1, 29_000);
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let broker = measure("broker", rate, each)?;
        let hub = measure("hub", rate, each)?;
        println!("report in to MQTT out: {:.2} times the broker alone", hub / broker);
        ratios.push(hub / broker);
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("p99 at {rate} reports a second: {median:.2} times the broker alone (at most 3 wanted)");
    println!("{}", json!({"bench": "mqtt_out", "rate": rate, "p99_to_broker": median}));
    Ok(())
}
