//! Whole simulations with the scripted cloud behind pipes in memory, on a paused clock.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::mqtt::Envelope;
use landfall_sim::cloud::dial::{Dial, Dialled, Stream};
use landfall_sim::cloud::{CloudNews, LineId, Place, Transport};
use landfall_sim::model::Physical;
use landfall_sim::news::News;
use landfall_sim::server::{Addresses, Event, Options, Simulation};
use landfall_sim::{Home, SimError};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::broadcast::Receiver;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::stand::{AUTH_KEY, LOCAL_KEY, NEW_ID, SEC_KEY, Stand};

/// A dial whose other end is the stand.
struct Pipes {
    shared: Arc<Mutex<Shared>>,
    start: Instant,
}

struct Shared {
    stand: Stand,
    last: u64,
    /// Writes to the MQTT line of the device.
    mqtt: Option<mpsc::Sender<Vec<u8>>>,
    from: Vec<Option<Ipv4Addr>>,
}

impl std::fmt::Debug for Pipes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pipes")
    }
}

impl Pipes {
    fn new(envelope: Envelope) -> Arc<Self> {
        let shared = Shared { stand: Stand::new(envelope), last: 0, mqtt: None, from: Vec::new() };
        Arc::new(Self { shared: Arc::new(Mutex::new(shared)), start: Instant::now() })
    }

    fn with<T>(&self, with: impl FnOnce(&mut Stand) -> T) -> T {
        with(&mut self.shared.lock().unwrap().stand)
    }

    async fn send(&self, protocol: u32, data: &serde_json::Value) {
        let t = crate::stand::EPOCH + self.start.elapsed().as_secs();
        let bytes = self.with(|s| s.message(&json!({"protocol": protocol, "t": t, "data": data})));
        let line = self.shared.lock().unwrap().mqtt.clone().expect("the device is connected");
        line.send(bytes).await.unwrap();
    }
}

impl Dial for Pipes {
    fn dial(&self, host: &str, port: u16, from: Option<Ipv4Addr>) -> Dialled {
        let place = Place { host: host.to_owned(), port, transport: Transport::Plain };
        let (near, mut far) = tokio::io::duplex(8_192);
        let (shared, start) = (self.shared.clone(), self.start);
        let (sender, mut extra) = mpsc::channel::<Vec<u8>>(8);
        let line = {
            let mut guard = shared.lock().unwrap();
            guard.last += 1;
            guard.from.push(from);
            let line = LineId(guard.last);
            if !guard.stand.open(line, place.clone(), start.elapsed()) {
                return Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) });
            }
            if crate::stand::is_mqtt(&place) {
                guard.mqtt = Some(sender.clone());
            }
            line
        };
        tokio::spawn(async move {
            let _kept = sender;
            let mut buffer = vec![0; 4_096];
            loop {
                let (bytes, closes) = tokio::select! {
                    read = far.read(&mut buffer) => match read {
                        Ok(n) if n > 0 => {
                            shared.lock().unwrap().stand.input(line, &buffer[..n], start.elapsed())
                        }
                        _ => break,
                    },
                    Some(bytes) = extra.recv() => (bytes, false),
                };
                if far.write_all(&bytes).await.is_err() || closes {
                    break;
                }
            }
            shared.lock().unwrap().stand.close(line);
        });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Stream>) })
    }
}

fn home(cloud: &str) -> Home {
    let text = format!(
        "[[device]]\nname = \"Plug\"\nkind = \"plug-old\"\nid = \"02200194dc4f22135606\"\nkey = \"{LOCAL_KEY}\"\n\
         cloud = {{ uuid = \"uuidtest0001abcd\", auth_key = \"{AUTH_KEY}\", {cloud} }}"
    );
    Home::parse(&text, "test.toml").unwrap()
}

async fn start(home: Home, pipes: &Arc<Pipes>) -> (Simulation, Receiver<Event>) {
    let options = Options { addresses: Addresses::Nowhere, ..Options::quiet() }.with_cloud(pipes.clone());
    let simulation = Simulation::start(home, options).await.unwrap();
    let events = simulation.events();
    (simulation, events)
}

/// The next news of the cloud side that says so.
async fn until(events: &mut Receiver<Event>, mut so: impl FnMut(&CloudNews) -> bool) {
    let found = async {
        loop {
            if let News::Cloud { news } = events.recv().await.unwrap().news
                && so(&news)
            {
                return;
            }
        }
    };
    timeout(Duration::from_secs(600), found).await.expect("it did not come");
}

#[tokio::test(start_paused = true)]
async fn a_device_is_paired_controlled_and_reset() {
    let pipes = Pipes::new(Envelope::V2_2);
    let (simulation, mut events) =
        start(home("generation = \"C\", psk = 0, activated = false"), &pipes).await;
    let state = simulation.cloud("Plug").await.unwrap();
    assert!(state.on && !state.activated && !state.online);
    simulation.pair("Plug", "EU", "AbCdEfGh").await.unwrap();
    until(&mut events, |n| *n == CloudNews::Online).await;
    let error = simulation.pair("Plug", "EU", "AbCdEfGh").await.unwrap_err();
    assert!(matches!(error, SimError::Pair(_)), "{error}");
    let info = &simulation.devices()[0];
    assert_eq!((info.id.as_str(), info.key.expose_str()), (NEW_ID, LOCAL_KEY));
    assert_eq!(info.cloud.as_ref().unwrap().uuid.as_str(), "uuidtest0001abcd");

    pipes.send(5, &json!({"devId": NEW_ID, "dps": {"1": false}})).await;
    until(&mut events, |n| matches!(n, CloudNews::Applied { .. })).await;
    // By its new id, its old one and its name.
    for name in [NEW_ID, "02200194dc4f22135606", "Plug"] {
        let points = simulation.points(name).await.unwrap();
        assert_eq!(points.value(DpId(1)), Some(&DpValue::Bool(false)));
    }
    assert_eq!(simulation.journal("Plug").unwrap().writes()[0].device.as_str(), NEW_ID);

    simulation.press("Plug", Physical::Reset).await.unwrap();
    until(&mut events, |n| matches!(n, CloudNews::Forgot { .. })).await;
    assert_eq!(pipes.with(|s| s.count("tuya.device.reset")), 1);
    assert!(!simulation.cloud("Plug").await.unwrap().activated);
    simulation.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_device_finds_its_cloud_again_after_it_was_away() {
    let pipes = Pipes::new(Envelope::V2_1);
    pipes.with(|s| s.deaf.extend(["http".to_owned(), "mqtt".to_owned()]));
    let sec_key = format!("generation = \"A\", sec_key = \"{SEC_KEY}\"");
    let (simulation, mut events) = start(home(&sec_key), &pipes).await;
    until(&mut events, |n| matches!(n, CloudNews::Offline { why } if why.contains("refused"))).await;
    pipes.with(|s| s.deaf.clear());
    until(&mut events, |n| *n == CloudNews::Online).await;
    // A restart of the cloud.
    let line = pipes.shared.lock().unwrap().mqtt.take().unwrap();
    let bytes = [0xf0, 0x00];
    line.send(bytes.to_vec()).await.unwrap();
    until(&mut events, |n| matches!(n, CloudNews::Offline { .. })).await;
    until(&mut events, |n| *n == CloudNews::Online).await;
    let journal = simulation.journal("Plug").unwrap();
    assert_eq!(journal.disasters(), 0);
    assert_eq!(pipes.with(|s| s.connected.len()), 2);
    simulation.shutdown().await;
}

#[tokio::test]
async fn without_a_cloud_the_cloud_side_is_off() {
    let home = home("generation = \"C\", activated = false");
    let simulation = Simulation::start(home, Options::quiet()).await.unwrap();
    assert!(!simulation.cloud("Plug").await.unwrap().on);
    let error = simulation.pair("Plug", "EU", "AbCdEfGh").await.unwrap_err();
    assert_eq!(error.to_string(), "the device has no cloud side, or it is off");
    assert!(simulation.press("Plug", Physical::Reset).await.is_err());
    assert!(simulation.pair("Plug", "Europe", "AbCdEfGh").await.is_err());
    simulation.shutdown().await;
}
