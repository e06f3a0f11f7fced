//! What becomes of it when devices change, go, come back, and when the settings change.

use bytes::Bytes;

use super::*;
use crate::bridge::transport::Message;

/// A broker's memory of one client's messages.
#[derive(Default)]
struct Kept {
    topics: BTreeMap<String, Bytes>,
    /// Every message, in order: topic, payload, retained.
    said: Vec<(String, String, bool)>,
}

/// Discovery with an outbox that is emptied into a broker's memory.
struct World {
    discovery: Discovery,
    outbox: Arc<Outbox>,
    kept: Kept,
}

const PREFIX: &str = "homeassistant";

impl World {
    fn new(form: Option<Form>, file: &Path) -> Self {
        let topics = Arc::new(Topics::new("landfall").unwrap());
        let outbox = Arc::new(Outbox::default());
        let settings = Settings { form, prefix: PREFIX.into(), file: Some(file.to_owned()) };
        let discovery =
            Discovery::new(settings, topics, Arc::clone(&outbox), "00aa".into(), "1.2.3".to_owned());
        Self { discovery, outbox, kept: Kept::default() }
    }

    /// The same broker and the same data directory, another start with other settings.
    async fn restarted(mut self, form: Option<Form>, file: &Path) -> Self {
        self.drain().await;
        self.save();
        let mut next = Self::new(form, file);
        next.kept.topics = std::mem::take(&mut self.kept.topics);
        next
    }

    fn save(&mut self) {
        if let Some(unsaved) = self.discovery.unsaved() {
            unsaved.write().unwrap();
        }
    }

    async fn drain(&mut self) {
        while self.outbox.waiting() > 0 {
            let Message { topic, payload, retain, .. } = self.outbox.next().await;
            self.kept.said.push((topic.clone(), String::from_utf8(payload.to_vec()).unwrap(), retain));
            match (retain, payload.is_empty()) {
                (true, true) => drop(self.kept.topics.remove(&topic)),
                (true, false) => drop(self.kept.topics.insert(topic, payload)),
                (false, _) => {}
            }
        }
    }

    async fn all(&mut self, devices: &[Arc<DeviceView>]) {
        self.discovery.all(devices, &Names::of(devices));
        self.drain().await;
    }

    async fn sync(&mut self, devices: &[Arc<DeviceView>]) {
        self.kept.said.clear();
        self.discovery.sync(devices, &Names::of(devices));
        self.drain().await;
    }

    fn topics(&self) -> BTreeSet<String> {
        self.kept.topics.keys().cloned().collect()
    }

    /// Topics that are about this device.
    fn about(&self, word: &str) -> Vec<(String, Value)> {
        let json = |payload: &Bytes| serde_json::from_slice(payload).unwrap();
        let of = |(topic, _): &(&String, &Bytes)| topic.contains(&id_of(word));
        self.kept.topics.iter().filter(of).map(|(t, payload)| (t.clone(), json(payload))).collect()
    }
}

fn device(word: &str) -> DeviceView {
    view(MODELS.iter().find(|m| m.word == word).unwrap())
}

fn facts(view: &DeviceView, change: impl FnOnce(&mut Facts)) -> Arc<DeviceView> {
    let mut view = view.clone();
    let mut facts = (*view.facts).clone();
    change(&mut facts);
    view.facts = Arc::new(facts);
    Arc::new(view)
}

fn named(word: &str, name: &str) -> Arc<DeviceView> {
    facts(&device(word), |facts| facts.name = name.into())
}

#[tokio::test]
async fn a_new_name_changes_topics_inside_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for form in [Form::Device, Form::Entity] {
        let mut world = World::new(Some(form), &dir.path().join(format!("{form:?}")));
        world.all(&[named("plug", "oven"), named("light", "lamp")]).await;
        let before = world.topics();
        let ids = unique_ids(&world.about("plug").into_iter().collect());
        world.sync(&[named("plug", "kitchen/oven"), named("light", "lamp")]).await;
        assert_eq!(world.topics(), before, "{form:?}");
        let after = world.about("plug");
        assert_eq!(unique_ids(&after.iter().cloned().collect()), ids);
        let text = Value::Array(after.into_iter().map(|(_, payload)| payload).collect()).to_string();
        assert!(
            text.contains("landfall/kitchen/oven/set/switch_1") && !text.contains("landfall/oven"),
            "{form:?}"
        );
        assert!(text.contains(r#""name":"kitchen/oven""#));
        // The other device was not told again.
        assert!(world.kept.said.iter().all(|(topic, ..)| topic.contains(&id_of("plug"))));
        world.sync(&[named("plug", "kitchen/oven"), named("light", "lamp")]).await;
        assert_eq!(world.kept.said, [], "nothing changed");
    }
}

#[tokio::test]
async fn what_is_removed_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for form in [Form::Device, Form::Entity] {
        let mut world = World::new(Some(form), &dir.path().join(format!("{form:?}")));
        world.all(&[named("plug", "oven"), named("light", "lamp")]).await;
        assert!(!world.about("plug").is_empty());
        world.sync(&[named("light", "lamp")]).await;
        assert_eq!(world.about("plug"), [], "{form:?}");
        assert!(!world.about("light").is_empty());
        world.sync(&[]).await;
        let left: Vec<_> = world.topics().into_iter().collect();
        assert!(left.iter().all(|topic| topic.contains("bridge_00aa")), "{left:?}");
    }
}

#[tokio::test]
async fn an_entity_that_vanishes_is_taken_away_in_words_that_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory");
    let whole = device("plug");
    let mut less = whole.clone();
    let mut definition = (*less.definition).clone();
    definition.points.remove(&landfall_proto::dp::DpId(19)).unwrap();
    less.definition = Arc::new(definition);
    let less = Arc::new(less);

    let mut world = World::new(Some(Form::Device), &file);
    world.all(&[Arc::new(whole.clone())]).await;
    world.sync(&[Arc::clone(&less)]).await;
    // Told with the platform alone, then without.
    let [taking, after] = &world.kept.said[..] else { panic!("{:?}", world.kept.said) };
    let parts = |said: &str| serde_json::from_str::<Value>(said).unwrap()["components"].clone();
    assert_eq!(parts(&taking.1)["sensor_dp19"], json!({"platform": "sensor"}));
    assert!(parts(&taking.1)["switch_dp1"]["unique_id"].is_string(), "what stays is whole");
    assert_eq!((taking.2, after.2), (false, true));
    assert!(parts(&after.1).get("sensor_dp19").is_none());

    // The same across a restart.
    world.sync(&[Arc::new(whole.clone())]).await;
    let mut world = world.restarted(Some(Form::Device), &file).await;
    world.all(&[Arc::clone(&less)]).await;
    let taken = world.kept.said.iter().any(|(_, said, retained)| {
        !retained && parts(said).get("sensor_dp19") == Some(&json!({"platform": "sensor"}))
    });
    assert!(taken, "{:?}", world.kept.said);

    let mut world = World::new(Some(Form::Entity), &dir.path().join("entity"));
    world.all(&[Arc::new(whole)]).await;
    let before = world.topics().len();
    world.sync(&[less]).await;
    assert_eq!(world.topics().len(), before - 1);
    assert_eq!(world.kept.said.len(), 1, "{:?}", world.kept.said);
}

#[tokio::test]
async fn a_point_that_becomes_another_kind_of_entity_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(Some(Form::Entity), &dir.path().join("m"));
    let before = device("unknown");
    let mut after = before.clone();
    let mut definition = (*after.definition).clone();
    definition.points.get_mut(&landfall_proto::dp::DpId(1)).unwrap().spec.access =
        landfall_proto::schema::Access::Ro;
    after.definition = Arc::new(definition);
    world.all(&[Arc::new(before)]).await;
    let has = |world: &World, platform: &str| {
        world
            .about("unknown")
            .iter()
            .any(|(t, _)| t.contains(&format!("/{platform}/")) && t.ends_with("_dp1/config"))
    };
    assert!(has(&world, "switch"));
    world.sync(&[Arc::new(after)]).await;
    assert!(has(&world, "binary_sensor") && !has(&world, "switch"));
}

#[tokio::test]
async fn another_form_takes_the_place_of_the_first_and_none_clears_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory");
    let devices = [named("plug", "oven"), named("light", "lamp")];
    let mut world = World::new(Some(Form::Entity), &file);
    world.all(&devices).await;
    let entity_topics = world.topics();
    assert!(entity_topics.iter().all(|topic| !form::is_device(topic)));

    let mut world = world.restarted(Some(Form::Device), &file).await;
    world.all(&devices).await;
    assert!(world.topics().iter().all(|topic| form::is_device(topic)), "{:?}", world.topics());
    assert_eq!(world.topics().len(), 3);
    // Entities are let go first, then come in the new form, and only then the old one is cleared.
    let at =
        |wanted: &dyn Fn(&(String, String, bool)) -> bool| world.kept.said.iter().position(wanted).unwrap();
    let old = entity_topics.iter().find(|t| t.contains(&id_of("plug"))).unwrap();
    let released = at(&|(topic, said, kept)| topic == old && said.contains("migrate_discovery") && !kept);
    let told =
        at(&|(topic, said, _)| topic.contains(&id_of("plug")) && form::is_device(topic) && !said.is_empty());
    let cleared = at(&|(topic, said, kept)| topic == old && said.is_empty() && *kept);
    assert!(released < told && told < cleared, "{released} {told} {cleared}");
    let let_go = world.kept.said.iter().filter(|(_, said, _)| said.contains("migrate_discovery")).count();
    assert_eq!(let_go, entity_topics.len());

    let mut world = world.restarted(Some(Form::Entity), &file).await;
    world.all(&devices).await;
    assert_eq!(world.topics(), entity_topics, "and back");

    let mut world = world.restarted(None, &file).await;
    world.all(&devices).await;
    assert_eq!(world.topics(), BTreeSet::new());
    world.sync(&devices).await;
    assert_eq!(world.kept.said, []);
    // A broker without memory: who comes later is told that all is gone.
    world.discovery.again();
    world.drain().await;
    let told: BTreeSet<String> = world.kept.said.iter().map(|(topic, ..)| topic.clone()).collect();
    assert_eq!(told, entity_topics);
    assert!(world.kept.said.iter().all(|(_, said, _)| said.is_empty()));
}

#[tokio::test]
async fn what_an_earlier_run_told_of_devices_that_are_gone_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory");
    let mut world = World::new(Some(Form::Entity), &file);
    world.all(&[named("plug", "oven"), named("light", "lamp")]).await;
    let mut world = world.restarted(Some(Form::Entity), &file).await;
    let somebodys = "homeassistant/sensor/somebody/x/config".to_owned();
    world.kept.topics.insert(somebodys.clone(), Bytes::from_static(b"{}"));
    world.all(&[named("light", "lamp")]).await;
    assert_eq!(world.about("plug"), []);
    assert!(world.topics().contains(&somebodys), "what is not ours stays");
    // Another prefix: what lies below the old one goes.
    let mut world = world.restarted(Some(Form::Entity), &file).await;
    world.discovery.prefix = "elsewhere".into();
    world.all(&[named("light", "lamp")]).await;
    let left: Vec<_> = world.topics().into_iter().filter(|t| t.starts_with(PREFIX)).collect();
    assert_eq!(left, [somebodys]);
}

#[tokio::test]
async fn a_memory_that_was_tampered_with_clears_nothing_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory");
    let text = r##"{"topics":{"homeassistant/sensor/other/x/config":{},"#":{},"a/b/landfall/c/config":{}},"devices":{}}"##;
    std::fs::write(&file, text).unwrap();
    let mut world = World::new(None, &file);
    world.all(&[]).await;
    assert_eq!(world.kept.said, [("a/b/landfall/c/config".to_owned(), String::new(), true)]);
    // Nonsense is no reason not to start.
    std::fs::write(&file, "nonsense").unwrap();
    let mut world = World::new(Some(Form::Device), &file);
    world.all(&[named("plug", "oven")]).await;
    assert_eq!(world.topics().len(), 2);
    world.save();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("oven"), "names are nobody's business");
}

#[tokio::test]
async fn a_device_that_was_paired_anew_stays_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("memory");
    let mut world = World::new(Some(Form::Device), &file);
    let old = named("plug", "oven");
    world.all(&[Arc::clone(&old)]).await;
    let (before, ids) = (world.topics(), unique_ids(&world.about("plug").into_iter().collect()));
    let paired = |id: &str, alias: &str| {
        facts(&old, |facts| {
            facts.id = DeviceId::new(id).unwrap();
            facts.aliases = vec![DeviceId::new(alias).unwrap()];
        })
    };
    let second = paired("bfsecond000000000000", old.id().as_str());
    world.sync(&[Arc::clone(&second)]).await;
    assert_eq!(world.topics(), before);
    assert_eq!(unique_ids(&world.about("plug").into_iter().collect()), ids);
    // Back to its first id, and across a restart.
    let back = paired(old.id().as_str(), "bfsecond000000000000");
    let mut world = world.restarted(Some(Form::Device), &file).await;
    world.all(&[second]).await;
    assert_eq!(world.topics(), before);
    world.sync(&[back]).await;
    assert_eq!(world.topics(), before);
}

#[tokio::test]
async fn what_is_behind_a_gateway_is_told_after_it_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(Some(Form::Device), &dir.path().join("m"));
    let gateway = named("switch", "z gateway");
    let child = facts(&device("climate_sensor"), |facts| facts.parent = Some(gateway.id().clone()));
    let mut devices = vec![child, gateway];
    world.all(&devices).await;
    let order: Vec<bool> =
        world.kept.said.iter().map(|(topic, ..)| topic.contains(&id_of("switch"))).collect();
    assert_eq!(order, [false, true, false], "the bridge, the gateway, the child");
    let via = |world: &World, word: &str| world.about(word)[0].1["device"]["via_device"].clone();
    assert_eq!(via(&world, "climate_sensor"), format!("landfall_{}", id_of("switch")));
    assert_eq!(via(&world, "switch"), "landfall_bridge_00aa");
    devices.pop();
    world.sync(&devices).await;
    assert_eq!(via(&world, "climate_sensor"), "landfall_bridge_00aa");
    world.kept.said.clear();
    world.discovery.again();
    world.drain().await;
    assert!(world.kept.said[0].0.contains("bridge_00aa"), "first of all the bridge");
}
