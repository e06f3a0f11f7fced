use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::id::{DeviceId, LocalKey, ProductId, Uuid};
use landfall_proto::psk::DeviceHash;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::backend::{
    ActivationAsk, ActivationRefusal, Announcement, ApprovedImage, Backend, BackendError, FirstUse, Identity,
    Keys, PinOutcome, Registration, Timer, Timers,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::What;
use crate::handshake::{Mark, Step};
use crate::journal::Journal;
use crate::listen::Over;
use crate::people::People;
use crate::shared::Shared;

const KEY: &str = "0123456789abcdef";

/// One plug, and an owner who remembers what was asked.
#[derive(Default)]
struct House {
    windows: Mutex<Vec<Window>>,
    orders: Mutex<Vec<String>>,
}

fn plug() -> Arc<Registration> {
    Arc::new(Registration {
        id: DeviceId::new("bfplug").unwrap(),
        name: "Plug".to_owned(),
        uuid: Some(Uuid::new("uuid0123456789ab").unwrap()),
        auth_key: None,
        psk_key: None,
        keys: Some(Keys { local: LocalKey::new(KEY).unwrap(), sec: None }),
        pending: None,
        pinned: false,
        product_id: None,
        schema: Arc::default(),
        envelope: None,
        generation: None,
    })
}

#[async_trait]
impl Backend for House {
    fn by_id(&self, id: &DeviceId) -> Option<Arc<Registration>> {
        (id.as_str() == "bfplug").then(plug)
    }
    fn by_uuid(&self, _: &Uuid) -> Option<Arc<Registration>> {
        None
    }
    fn by_hash(&self, _: &DeviceHash) -> Option<Arc<Registration>> {
        None
    }
    fn devices(&self) -> Vec<Arc<Registration>> {
        vec![plug()]
    }
    fn window(&self, _: &Identity) -> Option<u64> {
        None
    }
    async fn activate(&self, _: ActivationAsk) -> Result<(Arc<Registration>, Activation), ActivationRefusal> {
        Err(ActivationRefusal::NoWindow)
    }
    async fn keys_used(&self, _: &DeviceId) -> Result<FirstUse, BackendError> {
        Ok(FirstUse::Expected)
    }
    async fn pin(&self, _: &DeviceId, _: &[u8]) -> Result<PinOutcome, BackendError> {
        Ok(PinOutcome::Pinned)
    }
    fn announce(&self, _: &DeviceId, _: Announcement) {}
    fn timers(&self, _: &DeviceId) -> Timers {
        Timers::Kept
    }
    fn image(&self, _: &DeviceId, _: u32) -> Option<Arc<ApprovedImage>> {
        None
    }
    fn image_by_token(&self, _: &str) -> Option<Arc<ApprovedImage>> {
        None
    }
    fn schema_of(&self, _: Option<&ProductId>, _: Option<&DeviceId>) -> (String, String) {
        Default::default()
    }
    fn person(&self, _: &str, _: &[u8]) -> bool {
        false
    }
}

#[async_trait]
impl Owner for House {
    fn windows(&self) -> Vec<Window> {
        self.windows.lock().unwrap().clone()
    }
    fn open_window(&self, window: Window) {
        self.windows.lock().unwrap().push(window);
    }
    fn close_windows(&self) {
        self.windows.lock().unwrap().clear();
    }
    async fn set_timers(&self, id: &DeviceId, timers: Option<Vec<Timer>>) -> Result<(), OwnerError> {
        self.orders.lock().unwrap().push(format!("timers {id} {:?}", timers.map(|t| t.len())));
        Ok(())
    }
    fn images(&self) -> Vec<ImageInfo> {
        Vec::new()
    }
    async fn approve(
        &self,
        device: &DeviceId,
        kind: u32,
        version: &str,
        _: &Path,
    ) -> Result<ImageInfo, OwnerError> {
        let version = version.to_owned();
        Ok(ImageInfo { device: device.clone(), name: "Plug".to_owned(), kind, version, size: Some(3) })
    }
    async fn withdraw(&self, _: &DeviceId, _: u32) -> Result<bool, OwnerError> {
        Ok(false)
    }
    fn people(&self) -> Vec<PersonInfo> {
        Vec::new()
    }
    async fn add_person(&self, name: &str) -> Result<String, OwnerError> {
        Err(OwnerError { code: "person.taken", what: format!("there is a user {name:?} already") })
    }
    async fn remove_person(&self, _: &str) -> Result<bool, OwnerError> {
        Ok(true)
    }
    async fn unpin(&self, _: &DeviceId) -> Result<bool, OwnerError> {
        Ok(true)
    }
    async fn reload(&self) -> Result<(), OwnerError> {
        Ok(())
    }
}

struct Running {
    dir: tempfile::TempDir,
    house: Arc<House>,
    shared: Arc<Shared>,
    control: Control,
}

fn start() -> Running {
    let dir = tempfile::tempdir().unwrap();
    start_in(dir, "data")
}

fn start_in(dir: tempfile::TempDir, name: &str) -> Running {
    let house = Arc::new(House::default());
    let data = dir.path().join(name);
    let journal = Journal::open(&data).unwrap();
    let clock = Clock::starting_at(1_700_000_000);
    let backend = Arc::clone(&house) as Arc<dyn Backend>;
    let shared = Shared::new(Config::new(&data), clock, backend, People::none(), journal, Vec::new());
    let control = Control::start(Arc::clone(&shared), Arc::clone(&house) as Arc<dyn Owner>).unwrap();
    Running { dir, house, shared, control }
}

impl Running {
    fn data(&self) -> &Path {
        &self.shared.config.data_dir
    }

    async fn client(&self) -> Client {
        Client::connect(self.data()).await.unwrap()
    }

    async fn ask(&self, order: Value) -> Result<Value, String> {
        let order: Order = serde_json::from_value(order).unwrap();
        self.client().await.ask(&order).await.map_err(|e| match e {
            ClientError::Refused(r) => format!("{}: {}", r.code, r.message),
            e => e.to_string(),
        })
    }
}

#[tokio::test]
async fn the_socket_is_the_owners_alone_and_goes_with_the_cloud() {
    let running = start();
    let path = socket_path(running.data());
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    drop(running.control);
    assert!(!path.exists());
    let gone = Client::connect(running.shared.config.data_dir.as_path()).await.unwrap_err();
    assert!(matches!(gone, ClientError::NotRunning { .. }), "{gone}");
    assert!(gone.to_string().starts_with("no cloud runs in "), "{gone}");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_another_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_path(&dir.path().join("data"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let stale = Client::connect(&dir.path().join("data")).await.unwrap_err();
    assert!(matches!(stale, ClientError::NotRunning { .. }), "{stale}");
    let running = start_in(dir, "data");
    running.ask(json!({"do": "status"})).await.unwrap();
    drop(running.control);
    std::fs::write(&path, "mine").unwrap();
    let error = Control::start(Arc::clone(&running.shared), Arc::clone(&running.house) as Arc<dyn Owner>);
    assert!(error.unwrap_err().to_string().contains("control.sock"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    drop(running.dir);
}

#[tokio::test]
async fn a_long_data_directory_has_a_socket_too() {
    let running = start_in(tempfile::tempdir().unwrap(), &"d".repeat(150));
    running.ask(json!({"do": "status"})).await.unwrap();
}

#[tokio::test]
async fn orders_reach_the_owner_and_come_back_with_an_answer() {
    let running = start();
    let mut client = running.client().await;
    let allow = Order::Allow(Window { who: None, until: 1_700_000_600 });
    assert_eq!(client.ask(&allow).await.unwrap(), json!({}));
    let told = client.ask(&Order::Status).await.unwrap();
    assert_eq!(told["running"]["windows"], json!([{"until": 1_700_000_600}]));
    assert_eq!(client.ask(&Order::Close).await.unwrap(), json!({}));
    assert_eq!(client.ask(&Order::Status).await.unwrap()["running"]["windows"], json!([]));
    let ask = async |order| running.ask(order).await;
    let timer = json!({"id": 1, "date": "00000000", "time": "07:00", "loops": 31, "dps": "{\"1\":true}"});
    assert_eq!(
        ask(json!({"do": "timers", "device": "bfplug", "timers": [timer]})).await,
        Ok(json!({"told": false}))
    );
    assert_eq!(
        ask(json!({"do": "timers", "device": "bfplug", "timers": null})).await,
        Ok(json!({"told": false}))
    );
    assert_eq!(*running.house.orders.lock().unwrap(), ["timers bfplug Some(1)", "timers bfplug None"]);
    let image = json!({"do": "approve", "device": "bfplug", "kind": 0, "version": "9.0", "file": "/x"});
    assert_eq!(ask(image).await.unwrap()["image"]["size"], json!(3));
    let out =
        ask(json!({"do": "set", "device": "bfplug", "dps": {"1": true}, "patience_ms": 10})).await.unwrap();
    assert_eq!((&out["outcome"], &out["offline"]), (&json!("failed"), &json!(true)));
    for (order, error) in [
        (
            json!({"do": "reset", "device": "bfplug", "wipe": false}),
            "device.offline: bfplug is not connected to the cloud",
        ),
        (json!({"do": "refresh", "device": "bfplug", "patience_ms": 10}), "device.offline: "),
        (
            json!({"do": "reset", "device": "bfother", "wipe": false}),
            "device.unknown: the cloud knows no device bfother",
        ),
        (
            json!({"do": "token", "uuid": "uuid0123456789ab", "token": "secret00", "region": "EU"}),
            "device.not_waiting: ",
        ),
        (json!({"do": "add_person", "name": "ann"}), "person.taken: "),
    ] {
        let told = ask(order.clone()).await.unwrap_err();
        assert!(told.starts_with(error), "{order}: {told}");
    }
}

#[tokio::test]
async fn the_status_tells_of_each_device_and_holds_no_key() {
    let running = start();
    let mark = |at| Mark { at, count: 1, over: Over::Psk1, peer: "192.168.1.7".parse().ok() };
    running.shared.handshakes.step("bfplug", Step::Token, mark(1_699_999_990));
    running.shared.handshakes.step("bfplug", Step::Firmware, mark(1_699_999_991));
    running.shared.handshakes.step("uuidofsomebody", Step::NameService, mark(5));
    running.shared.handshakes.step("192.168.1.7", Step::Dns, mark(3));
    running.shared.handshakes.step("192.168.1.9", Step::Dns, mark(4));
    let told = running.ask(json!({"do": "status"})).await.unwrap();
    assert!(!told.to_string().contains(KEY));
    let status: Status = serde_json::from_value(told).unwrap();
    let d = &status.devices[0];
    assert_eq!((d.name.as_str(), d.keys, d.firmware_questions), ("Plug", status::KeysKnown::LocalOnly, 1));
    assert_eq!((d.steps[0].step.as_str(), d.steps[0].over), ("token", Over::Psk1));
    assert!(d.lacks.as_ref().unwrap().what.contains("never came to MQTT"), "{d:?}");
    let strangers: Vec<_> = status.strangers.iter().map(|s| s.who.as_str()).collect();
    // What the plug's own address asked is the plug's.
    assert_eq!(strangers, ["uuidofsomebody", "192.168.1.9"]);
}

#[tokio::test]
async fn events_are_told_as_they_happen() {
    let running = start();
    let mut client = running.client().await;
    client.ask(&Order::Events).await.unwrap();
    for reports in 1..=3 {
        running.shared.tell(Some(&plug()), None, What::Lost { reports });
    }
    for reports in 1..=3 {
        let event = client.event().await.unwrap().unwrap();
        assert_eq!((&event["event"], &event["reports"]), (&json!("lost"), &json!(reports)));
        assert_eq!(event["name"], json!("Plug"));
    }
    drop(running.control);
    assert_eq!(client.event().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_order_is_answered_and_repeats_nothing() {
    let running = start();
    for (text, code) in [
        ("{\"do\":\"dance\",\"token\":\"secret00\"}\n", "order.malformed"),
        ("hello secret00\n", "order.malformed"),
        ("\n", "order.malformed"),
        ("{\"do\":\"set\",\"device\":\"\",\"dps\":{}}\n", "order.malformed"),
    ] {
        let mut stream = UnixStream::connect(socket_path(running.data())).await.unwrap();
        // A good order after a bad one is carried out.
        stream.write_all(format!("{text}{{\"do\":\"reload\"}}\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        let lines: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines[0]["error"]["code"], json!(code), "{text:?}: {said}");
        assert_eq!(lines[1], json!({"ok": {}}), "{text:?}: {said}");
        assert!(!said.contains("secret00"), "{said}");
    }
    let mut stream = UnixStream::connect(socket_path(running.data())).await.unwrap();
    let flood = vec![b'x'; MAX_ORDER + 10];
    // It may hang up before all is written.
    let _cut = stream.write_all(&flood).await;
    let mut said = Vec::new();
    let _reset = stream.read_to_end(&mut said).await;
    assert!(String::from_utf8_lossy(&said).contains("order.too_long"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_is_let_go() {
    let running = start();
    let mut stream = UnixStream::connect(socket_path(running.data())).await.unwrap();
    stream.write_all(b"{\"do\":").await.unwrap();
    let mut said = Vec::new();
    assert_eq!(stream.read_to_end(&mut said).await.unwrap(), 0);
}
