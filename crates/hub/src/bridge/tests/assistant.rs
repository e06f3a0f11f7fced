//! Home Assistant at the other end of the bridge.

use super::*;

const BIRTH: &str = "homeassistant/status";

fn topic(id: &str) -> String {
    format!("homeassistant/device/landfall/{id}/config")
}

#[tokio::test(start_paused = true)]
async fn it_is_told_of_each_device_and_of_no_key() {
    let house = House::new().await;
    let plug = house.json(&topic(PLUG));
    assert_eq!(plug["device"]["name"], "Kitchen plug");
    assert_eq!(plug["device"]["via_device"], "landfall_bridge_this");
    assert_eq!(plug["components"]["switch_dp1"]["command_topic"], "landfall/Kitchen plug/set/switch_1");
    assert_eq!(plug["components"]["sensor_energy"]["state_class"], "total_increasing");
    let topics: Vec<&Value> = plug["availability"].as_array().unwrap().iter().map(|a| &a["topic"]).collect();
    assert_eq!(topics, ["landfall/bridge/state", "landfall/Kitchen plug/availability"]);
    assert_eq!(house.json(&topic(LIGHT))["device"]["suggested_area"], "Hall");
    let bridge = house.json(&topic("bridge_this"));
    assert_eq!(
        bridge["components"]["button_open_activation_window"]["command_topic"],
        "landfall/bridge/request/permit_join"
    );
    let kept = house.broker.all_kept();
    let told: Vec<&String> =
        kept.iter().filter(|(t, _)| t.starts_with("homeassistant/")).map(|(_, p)| p).collect();
    assert_eq!(told.len(), 4, "the bridge and three devices");
    assert!(!told.iter().any(|payload| payload.contains(KEY_START) || payload.contains("192.0.2.17")));
}

#[tokio::test(start_paused = true)]
async fn its_birth_has_everything_told_again() {
    let house = House::new().await;
    house.settle().await;
    house.broker.forget();
    for other in ["offline", "", "ONLINE"] {
        house.broker.say(BIRTH, other, false);
    }
    house.settle().await;
    assert_eq!(house.broker.said(&topic(PLUG)), []);
    house.broker.say(BIRTH, "online", false);
    house.broker.until("told again", |b| b.said(&topic(PLUG)).len() == 1).await;
    house.settle().await;
    for id in [PLUG, LIGHT, SENSOR, "bridge_this"] {
        let said = house.broker.said(&topic(id));
        assert!(said.len() == 1 && said[0].1, "{id}: {said:?}");
    }
    assert_eq!(house.broker.said("landfall/Kitchen plug"), [], "states are kept anyway");
}

#[tokio::test(start_paused = true)]
async fn renames_and_removals_reach_it_before_the_topics_are_cleared() {
    let house = House::new().await;
    let before = house.json(&topic(PLUG));
    house.broker.forget();
    let plug = DeviceId::new(PLUG).unwrap();
    house.home.edit(&plug, Edit { name: Some("oven".into()), ..Edit::default() }).await.unwrap();
    house
        .broker
        .until("the new name", |b| b.kept(&topic(PLUG)).unwrap().contains("landfall/oven/set/switch_1"))
        .await;
    house.settle().await;
    let after = house.json(&topic(PLUG));
    let ids = |told: &Value| -> Vec<Value> {
        told["components"].as_object().unwrap().values().map(|c| c["unique_id"].clone()).collect()
    };
    assert_eq!(ids(&before), ids(&after));

    house.home.remove(&plug, false).await.unwrap();
    house.broker.until("cleared", |b| b.kept("landfall/oven/availability").is_none()).await;
    assert_eq!(house.broker.kept(&topic(PLUG)), None);
    let order = house.broker.order();
    let last = |wanted: &str| order.iter().rposition(|topic| topic == wanted).unwrap();
    assert!(last(&topic(PLUG)) < last("landfall/oven/availability"));
    let listed = |b: &MemoryBroker| b.kept("landfall/bridge/devices").unwrap().contains(PLUG);
    house.broker.until("the list", |b| !listed(b)).await;
    let left: Vec<_> =
        house.broker.all_kept().into_iter().filter(|(_, payload)| payload.contains(PLUG)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_meaning_that_is_learnt_later_is_told() {
    let house = House::new().await;
    house.home.change(SENSOR, |view| {
        let mut definition = (*view.definition).clone();
        let point = crate::profile::Point::new(
            "va_temperature",
            landfall_proto::schema::DpSpec::new(
                "va_temperature",
                landfall_proto::schema::DpKind::Value {
                    min: 0,
                    max: 600,
                    step: 1,
                    scale: 1,
                    unit: "℃".into(),
                },
                landfall_proto::schema::Access::Ro,
            ),
            crate::profile::Source::Mapping,
        );
        definition.points.insert(DpId(3), point);
        view.definition = Arc::new(definition);
        What::Edited
    });
    let told = |b: &MemoryBroker| b.kept(&topic(SENSOR)).unwrap().contains("sensor_dp3");
    house.broker.until("the new entity", told).await;
    assert_eq!(house.json(&topic(SENSOR))["components"]["sensor_dp3"]["device_class"], "temperature");
}

#[tokio::test(start_paused = true)]
async fn what_it_was_told_is_remembered_and_cleared_by_a_later_run() {
    let dir = tempfile::tempdir().unwrap();
    let with = |form| {
        let mut config = config();
        config.discovery.form = form;
        config.discovery.file = Some(dir.path().join("mqtt-discovery.json"));
        config
    };
    let broker = MemoryBroker::new();
    let begin = |form| {
        let (_, connection) = broker.client(will(B).unwrap());
        Bridge::start(with(form), FakeHome::new() as Arc<dyn Home>, connection).unwrap()
    };
    let online = |b: &MemoryBroker| b.kept("landfall/bridge/state").as_deref() == Some(ONLINE);
    let ours =
        |b: &MemoryBroker| b.all_kept().into_keys().filter(|t| t.starts_with("homeassistant/")).count();
    let first = begin(Some(Form::Entity));
    broker.until("online", online).await;
    assert!(ours(&broker) > 4);
    first.shutdown().await;
    let second = begin(Some(Form::Device));
    broker.until("online", online).await;
    assert_eq!(ours(&broker), 4);
    second.shutdown().await;
    let third = begin(None);
    broker.until("online", online).await;
    assert_eq!(ours(&broker), 0);
    third.shutdown().await;
}
