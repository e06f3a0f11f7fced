//! The bridge between a home and a broker in memory.

mod assistant;
mod broker;
mod sockets;

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;
use serde_json::{Value, json};

use self::broker::{MemoryBroker, MemoryTransport};
use super::discovery::{self, form::Form};
use super::mqtt::{Bridge, Config, will};
use crate::bus::Bus;
use crate::model::{By, Edit, Home, NewDevice, Origin, Outcome, Presence, Problem, ProblemKind, Seq, What};
use crate::testing::{FakeHome, KEY_START, LIGHT, PLUG, SENSOR};

const B: &str = "landfall";
const ONLINE: &str = r#"{"state":"online"}"#;
const OFFLINE: &str = r#"{"state":"offline"}"#;

fn config() -> Config {
    let discovery =
        discovery::Settings { form: Some(Form::Device), prefix: "homeassistant".into(), file: None };
    Config { base: B.into(), raw_points: true, instance: "this".into(), backups: None, discovery }
}

/// A home, a broker and a bridge between them that has published everything.
struct House {
    home: Arc<FakeHome>,
    broker: Arc<MemoryBroker>,
    transport: Arc<MemoryTransport>,
    bridge: Bridge,
}

impl House {
    async fn new() -> Self {
        Self::on(MemoryBroker::new(), FakeHome::new()).await
    }

    async fn on(broker: Arc<MemoryBroker>, home: Arc<FakeHome>) -> Self {
        let house = Self::begin(broker, home);
        house.broker.until("online", |b| b.kept("landfall/bridge/state").as_deref() == Some(ONLINE)).await;
        house
    }

    fn begin(broker: Arc<MemoryBroker>, home: Arc<FakeHome>) -> Self {
        let (transport, connection) = broker.client(will(B).unwrap());
        let bridge = Bridge::start(config(), Arc::clone(&home) as Arc<dyn Home>, connection).unwrap();
        Self { home, broker, transport, bridge }
    }

    /// Waits until all that was asked before is done.
    async fn settle(&self) {
        let before = self.broker.said("landfall/bridge/response/health_check").len();
        self.broker.say("landfall/bridge/request/health_check", "", false);
        let answered = |b: &MemoryBroker| b.said("landfall/bridge/response/health_check").len() > before;
        self.broker.until("an answer", answered).await;
    }

    fn json(&self, topic: &str) -> Value {
        serde_json::from_str(&self.broker.kept(topic).unwrap_or_else(|| panic!("nothing on {topic}")))
            .unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_home_is_retained_and_holds_no_keys() {
    let house = House::new().await;
    let kept = house.broker.all_kept();
    for name in ["Kitchen plug", "Hall light", "Garden door"] {
        assert_eq!(kept[&format!("{B}/{name}/availability")], ONLINE, "a sleeper is there too");
    }
    assert_eq!(house.json("landfall/Kitchen plug")["energy"], 12.345_678);
    let info = house.json("landfall/bridge/info");
    assert_eq!((&info["instance"], &info["config"]["base_topic"]), (&json!("this"), &json!(B)));
    assert_eq!(kept["landfall/bridge/groups"], "[]");
    let devices = house.json("landfall/bridge/devices");
    let names: Vec<_> =
        devices.as_array().unwrap().iter().map(|d| d["friendly_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Garden door", "Hall light", "Kitchen plug"]);
    assert!(devices[0]["definition"]["exposes"].is_array());
    assert!(!kept.values().any(|payload| payload.contains(KEY_START)));
    let status = house.bridge.status();
    assert_eq!((status.connected, status.active, status.error), (true, true, None));
}

#[tokio::test(start_paused = true)]
async fn state_follows_reports_and_is_published_when_it_differs() {
    let house = House::new().await;
    house.broker.forget();
    house.home.report(PLUG, &[(1, DpValue::Bool(false)), (19, DpValue::Value(998))]);
    house.settle().await;
    // Only what changed is shown as a point; state comes once.
    assert_eq!(house.broker.said("landfall/Kitchen plug/dp/1"), [("false".to_owned(), false)]);
    assert_eq!(house.broker.said("landfall/Kitchen plug/dp/19"), []);
    let states = house.broker.said("landfall/Kitchen plug").len();
    house.home.report(PLUG, &[(1, DpValue::Bool(false))]);
    house.settle().await;
    assert_eq!(house.broker.said("landfall/Kitchen plug").len(), states, "the same again is nothing new");
    house.home.presence(PLUG, Presence::Offline { since_ms: 1, why: "silent".into() });
    house.settle().await;
    assert_eq!(house.broker.said("landfall/Kitchen plug/availability"), [(OFFLINE.to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_command_is_echoed_by_the_device_and_by_nobody_else() {
    let house = House::new().await;
    house.broker.forget();
    house.home.script(Ok(Outcome::Unconfirmed { why: "no answer".into(), unsent: false }));
    house.broker.say("landfall/Kitchen plug/dp/1/set", "OFF", false);
    let failed = |b: &MemoryBroker| b.said("landfall/Kitchen plug/error").len() == 1;
    house.broker.until("an error", failed).await;
    let error: Value = serde_json::from_str(&house.broker.said("landfall/Kitchen plug/error")[0].0).unwrap();
    assert_eq!(error["code"], "command.unconfirmed");
    assert_eq!(error["topic"], "landfall/Kitchen plug/dp/1/set");
    assert_eq!(house.broker.said("landfall/bridge/logging").len(), 1);
    assert_eq!(house.broker.said("landfall/Kitchen plug"), [], "nothing was shown, so nothing is echoed");
    assert_eq!(house.broker.said("landfall/Kitchen plug/dp/1"), []);

    // Confirmed: the device's report is the echo.
    house.broker.say("landfall/Kitchen plug/dp/1/set", "OFF", false);
    let echoed = |b: &MemoryBroker| !b.said("landfall/Kitchen plug/dp/1").is_empty();
    house.broker.until("the echo", echoed).await;
    let sets = house.home.take_sets();
    assert_eq!(sets.len(), 2);
    let (device, dps, options) = &sets[1];
    assert_eq!((device.as_str(), dps.value(DpId(1))), (PLUG, Some(&DpValue::Bool(false))));
    assert_eq!((options.by, options.confirm), (By::Mqtt, true));
    let status = house.bridge.status();
    assert_eq!((status.asked, status.failed), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn commands_keep_their_order_and_find_devices_by_id_too() {
    let house = House::new().await;
    for n in 0..20 {
        house.broker.say(&format!("landfall/{LIGHT}/dp/22/set"), &(10 + n).to_string(), false);
    }
    house.settle().await;
    let values: Vec<_> =
        house.home.take_sets().into_iter().map(|(_, dps, _)| dps.value(DpId(22)).cloned().unwrap()).collect();
    assert_eq!(values, (0..20).map(|n| DpValue::Value(10 + n)).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_set_says_why_and_nothing_is_sent() {
    let house = House::new().await;
    house.broker.forget();
    for (topic, payload, code) in [
        ("Kitchen plug/set/switch_1", "toggle", "command.toggle"),
        ("Kitchen plug/set", r#"{"switch_1":"TOGGLE"}"#, "command.toggle"),
        ("Kitchen plug/set", "ON", "payload.not_an_object"),
        ("Kitchen plug/dp/18/set", "1", "dp.read_only"),
        ("Hall light/dp/22/set", "5", "dp.out_of_range"),
    ] {
        house.broker.forget();
        house.broker.say(&format!("{B}/{topic}"), payload, false);
        house.settle().await;
        let name = topic.split('/').next().unwrap();
        let said = house.broker.said(&format!("{B}/{name}/error"));
        assert_eq!(said.len(), 1, "{topic}");
        let error: Value = serde_json::from_str(&said[0].0).unwrap();
        assert_eq!(error["code"], code, "{topic} {payload}");
        assert!(!said[0].1, "an error is about now");
    }
    house.broker.forget();
    house.broker.say("landfall/Kichen plug/set", "{}", false);
    house.settle().await;
    assert!(house.broker.said("landfall/bridge/logging")[0].0.contains("Kichen plug"));
    assert_eq!(house.broker.said("landfall/Kichen plug/error"), [], "a stranger's words make no topics");
    house.home.script(Err(Problem::new(ProblemKind::Device, "device.offline", "no line").hint("power it")));
    house.broker.say("landfall/Kitchen plug/dp/1/set", "true", false);
    house.settle().await;
    let error = house.broker.said("landfall/Kitchen plug/error").remove(0).0;
    assert!(error.contains("device.offline") && error.contains("power it"), "{error}");
    assert_eq!(house.home.take_sets().len(), 1, "only the last was tried");
}

#[tokio::test(start_paused = true)]
async fn retained_commands_are_never_done() {
    let broker = MemoryBroker::new();
    broker.say("landfall/Kitchen plug/dp/1/set", "false", true);
    broker.say("landfall/bridge/request/device/remove", "Kitchen plug", true);
    let house = House::on(broker, FakeHome::new()).await;
    house.settle().await;
    house.transport.cut();
    house.transport.mend();
    house.broker.until("online again", |b| b.kept("landfall/bridge/state").as_deref() == Some(ONLINE)).await;
    house.settle().await;
    assert_eq!(house.home.take_did(), Vec::<String>::new());
    assert!(house.broker.kept("landfall/Kitchen plug/dp/1/set").is_some(), "it is not ours to take back");
    // Taking it back is no command either.
    house.broker.say("landfall/Kitchen plug/dp/1/set", "", true);
    house.settle().await;
    assert_eq!(house.home.take_did(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn get_has_the_device_measure_and_publishes_again() {
    let house = House::new().await;
    house.broker.forget();
    house.broker.say("landfall/Kitchen plug/get", r#"{"power":""}"#, false);
    let again = |b: &MemoryBroker| b.said("landfall/Kitchen plug").len() == 1;
    house.broker.until("the state again", again).await;
    assert_eq!(house.home.take_did(), [format!("refresh {PLUG} [19]")]);
}

#[tokio::test(start_paused = true)]
async fn renamed_and_removed_devices_leave_nothing_behind() {
    let house = House::new().await;
    let plug = DeviceId::new(PLUG).unwrap();
    let named = |name: &str| Edit { name: Some(name.into()), ..Edit::default() };
    house.home.edit(&plug, named("cellar/oven")).await.unwrap();
    house.broker.until("the new name", |b| b.kept("landfall/cellar/oven/availability").is_some()).await;
    assert_eq!(house.broker.kept("landfall/Kitchen plug"), None);
    assert_eq!(house.broker.kept("landfall/Kitchen plug/availability"), None);
    let listed = |b: &MemoryBroker| b.kept("landfall/bridge/devices").unwrap().contains("cellar/oven");
    house.broker.until("the list", listed).await;
    // Its topic goes to another device: it is not cleared after that one has it.
    let light = DeviceId::new(LIGHT).unwrap();
    house.home.edit(&plug, named("x")).await.unwrap();
    house.home.edit(&light, named("cellar/oven")).await.unwrap();
    house.settle().await;
    assert_eq!(house.broker.kept("landfall/cellar/oven/availability").as_deref(), Some(ONLINE));
    assert!(house.broker.kept("landfall/x").is_some());
    assert_eq!(house.broker.kept("landfall/Hall light"), None);

    house.home.remove(&plug, false).await.unwrap();
    house.broker.until("gone", |b| b.kept("landfall/x/availability").is_none()).await;
    assert_eq!(house.broker.kept("landfall/x"), None);
    let events: Vec<Value> = house
        .broker
        .said("landfall/bridge/event")
        .iter()
        .map(|e| serde_json::from_str(&e.0).unwrap())
        .collect();
    assert_eq!(events.last().unwrap()["type"], "device_leave");
    assert!(!house.broker.said("landfall/bridge/event").iter().any(|e| e.1));
    let added =
        NewDevice { id: "bfa0000000000000newone".into(), name: Some("New".into()), ..NewDevice::default() };
    house.home.add(added).await.unwrap();
    house.broker.until("the new one", |b| b.kept("landfall/New/availability").is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_is_cleared() {
    let broker = MemoryBroker::new();
    let first = House::on(Arc::clone(&broker), FakeHome::new()).await;
    first.bridge.shutdown().await;
    assert_eq!(broker.kept("landfall/bridge/state").as_deref(), Some(OFFLINE), "it said goodbye");
    broker.say("landfall/somebody/else", "kept", true);
    let home = FakeHome::new();
    home.edit(&DeviceId::new(PLUG).unwrap(), Edit { name: Some("Oven".into()), ..Edit::default() })
        .await
        .unwrap();
    home.remove(&DeviceId::new(SENSOR).unwrap(), false).await.unwrap();
    let second = House::on(Arc::clone(&broker), home).await;
    for gone in ["Kitchen plug", "Kitchen plug/availability", "Garden door", "Garden door/availability"] {
        assert_eq!(broker.kept(&format!("{B}/{gone}")), None, "{gone}");
    }
    assert!(broker.kept("landfall/Oven").is_some() && broker.kept("landfall/Hall light").is_some());
    assert!(broker.kept("landfall/somebody/else").is_some(), "what is not ours stays");
    second.bridge.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_comes_back_gets_everything_anew() {
    let house = House::new().await;
    house.transport.cut();
    assert_eq!(house.broker.kept("landfall/bridge/state").as_deref(), Some(OFFLINE), "the last will");
    house.home.report(PLUG, &[(1, DpValue::Bool(false))]);
    assert!(!house.bridge.status().connected);
    assert_eq!(house.bridge.status().error.as_deref(), Some("cut"));
    // As after a broker's restart without memory.
    for topic in house.broker.all_kept().into_keys() {
        house.broker.say(&topic, "", true);
    }
    house.broker.forget();
    house.transport.mend();
    house.broker.until("online", |b| b.kept("landfall/bridge/state").as_deref() == Some(ONLINE)).await;
    assert!(house.broker.kept("landfall/Kitchen plug").is_some());
    assert!(house.broker.kept("landfall/bridge/devices").is_some());
    // And commands are heard again.
    house.broker.say("landfall/Kitchen plug/dp/1/set", "true", false);
    house.settle().await;
    assert_eq!(house.home.take_sets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_bridge_on_the_base_waits_until_the_first_is_gone() {
    let broker = MemoryBroker::new();
    let first = House::on(Arc::clone(&broker), FakeHome::new()).await;
    broker.forget();
    let second = House::begin(Arc::clone(&broker), FakeHome::new());
    let mut asked = 0;
    while second.bridge.status().error.is_none() {
        asked += 1;
        assert!(asked < 10_000, "it never finds the first");
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let status = second.bridge.status();
    assert!(!status.active);
    assert!(status.error.unwrap().contains("[mqtt]"), "it names the setting");
    assert_eq!(broker.said("landfall/bridge/info"), [], "it published nothing");
    first.bridge.shutdown().await;
    broker.until("the second", |b| b.said("landfall/bridge/info").len() == 1).await;
    broker.until("online", |b| b.kept("landfall/bridge/state").as_deref() == Some(ONLINE)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_bridge_without_a_will_is_taken_over() {
    let broker = MemoryBroker::new();
    broker.say("landfall/bridge/state", ONLINE, true);
    broker.say(
        "landfall/bridge/info",
        r#"{"program":"landfall","instance":"dead","run":"1","started":1}"#,
        true,
    );
    let house = House::begin(Arc::clone(&broker), FakeHome::new());
    broker.until("ours", |b| b.kept("landfall/bridge/info").unwrap().contains("this")).await;
    house.settle().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_meet_on_a_base_the_older_stays() {
    let house = House::new().await;
    house.broker.forget();
    let other =
        |started: u64| json!({"program":"landfall","instance":"o","run":"o","started":started}).to_string();
    let later = house.home.now_ms() + 1;
    house.broker.say("landfall/bridge/info", &other(later), true);
    house.broker.until("our answer", |b| b.kept("landfall/bridge/info").unwrap().contains("this")).await;
    // A rival's last will does not make us offline.
    house.broker.say("landfall/bridge/state", OFFLINE, true);
    house.broker.until("online", |b| b.kept("landfall/bridge/state").as_deref() == Some(ONLINE)).await;
    assert!(house.bridge.status().active);
    house.broker.say("landfall/bridge/info", &other(1), true);
    let mut waited = 0;
    while house.bridge.status().active {
        waited += 1;
        assert!(waited < 10_000, "it does not yield");
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    house.transport.cut_silently();
}

#[tokio::test(start_paused = true)]
async fn buttons_are_events_and_no_state() {
    let home = FakeHome::new();
    home.change(SENSOR, |view| {
        let mut definition = (*view.definition).clone();
        definition.points.get_mut(&DpId(1)).unwrap().event = true;
        view.definition = Arc::new(definition);
        What::Edited
    });
    let house = House::on(MemoryBroker::new(), home).await;
    assert!(!house.broker.kept("landfall/Garden door").unwrap().contains("doorcontact_state"));
    house.broker.forget();
    house.home.report(SENSOR, &[(1, DpValue::Bool(true))]);
    let dps = Arc::new([(DpId(1), DpValue::Bool(true))].into_iter().collect());
    let line = crate::model::Line::Cloud;
    house.home.tell(Some(DeviceId::new(SENSOR).unwrap()), What::Event { line, dps: Arc::clone(&dps) });
    // Read by a question: nobody pressed anything.
    let polled = What::Points { line, origin: Origin::Polled, dps, changed: vec![DpId(1)], device_ms: None };
    house.home.tell(Some(DeviceId::new(SENSOR).unwrap()), polled);
    house.settle().await;
    let pressed = house.broker.said("landfall/Garden door/action");
    assert_eq!(pressed, vec![(r#"{"doorcontact_state":true}"#.to_owned(), false); 2]);
    assert_eq!(house.broker.said("landfall/Garden door"), [], "no state changed");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_fell_behind_publishes_what_differs() {
    let home = FakeHome::with_bus(Bus::with_capacity(Seq(0), 4));
    let house = House::on(MemoryBroker::new(), home).await;
    house.broker.forget();
    for n in 0..100 {
        house.home.report(PLUG, &[(19, DpValue::Value(n))]);
    }
    house.home.presence(LIGHT, Presence::Offline { since_ms: 1, why: "x".into() });
    house.settle().await;
    assert_eq!(house.broker.kept("landfall/Hall light/availability").as_deref(), Some(OFFLINE));
    let states = house.broker.said("landfall/Kitchen plug");
    assert!((1..5).contains(&states.len()), "the newest, not all of them: {}", states.len());
    assert_eq!(house.json("landfall/Kitchen plug")["power"], 9.9);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_devices_comes_in_pages() {
    let house = House::new().await;
    for n in 0..400 {
        let id = format!("bfa00000000000000a{n:04}");
        let name = format!("{} {n}", "a device with a rather long name".repeat(20));
        house.home.add(NewDevice { id, name: Some(name), ..NewDevice::default() }).await.unwrap();
    }
    house.broker.until("pages", |b| b.kept("landfall/bridge/devices/2").is_some()).await;
    house.settle().await;
    let pages =
        usize::try_from(house.json("landfall/bridge/info")["devices_pages"].as_u64().unwrap()).unwrap();
    assert!(pages > 2);
    let topic =
        |n: usize| if n == 1 { "landfall/bridge/devices".into() } else { format!("{B}/bridge/devices/{n}") };
    let all: usize = (1..=pages).map(|n| house.json(&topic(n)).as_array().unwrap().len()).sum();
    assert_eq!(all, 403);
    for n in 1..=pages {
        assert!(house.broker.kept(&topic(n)).unwrap().len() <= 130 * 1024);
    }
    for n in 0..400 {
        let id = DeviceId::new(format!("bfa00000000000000a{n:04}")).unwrap();
        house.home.remove(&id, false).await.unwrap();
    }
    house.broker.until("one page", |b| b.kept("landfall/bridge/devices/2").is_none()).await;
    assert_eq!(house.json("landfall/bridge/devices").as_array().unwrap().len(), 3);
    assert_eq!(house.broker.kept(&topic(pages)), None);
}

#[test]
fn the_instance_is_kept_in_a_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let id = super::mqtt::instance(dir.path()).unwrap();
    assert_eq!(super::mqtt::instance(dir.path()).unwrap(), id);
    let mode = dir.path().join("mqtt-instance").metadata().unwrap().permissions().mode();
    assert_eq!((id.len(), mode & 0o777), (16, 0o600));
}
