//! One device, two lines, one model.

use landfall_proto::dp::DpId;
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_sim::cloud::Generation;
use landfall_sim::device::{Admission, VirtualDevice};
use landfall_sim::faults::Fault;
use landfall_sim::journal::Line;
use landfall_sim::kind::Kind;
use landfall_sim::load::Load;
use landfall_sim::model::Physical;
use landfall_sim::spec::DeviceSpec;

use crate::broker::Sent;
use crate::lan::LanClient;
use crate::world::{HOUR, S, World, activated, at, pairing, spec};

#[test]
fn a_set_by_either_line_is_seen_on_both() {
    let mut world = World::online(Generation::C);
    let mut lan = LanClient::connect(&mut world);
    let from = world.stand.heard.len();
    lan.set(&mut world, r#"{"1":false}"#);
    assert_eq!(world.reports(from), [r#"{"1":false}"#]);
    world.set(r#"{"1":true}"#);
    lan.settle(&mut world);
    assert!(lan.reports().contains(&r#"{"1":true}"#.to_owned()), "{:?}", lan.reports());
    world.device.press(None, &Physical::Button(1), at(world.now)).unwrap();
    world.settle();
    lan.settle(&mut world);
    assert_eq!(world.reports(from).last().unwrap(), r#"{"1":false}"#);
    assert_eq!(lan.reports().last().unwrap(), r#"{"1":false}"#);
    let lines: Vec<Line> = world.device.journal().writes().iter().map(|w| w.line).collect();
    assert_eq!(lines, [Line::Lan, Line::Cloud]);
}

#[test]
fn energy_needs_mqtt_on_the_seeds_plug() {
    let mut spec = activated(Generation::A);
    spec.habits.energy_needs_mqtt = true;
    spec.load = Load::Lamp;
    let mut world = World::with(spec.clone(), |stand| stand.deaf.push("mqtt".into()));
    world.run(S(60));
    let mut lan = LanClient::connect(&mut world);
    assert_eq!(lan.points(&mut world), ["1", "2"]);
    world.stand.deaf.clear();
    world.until(30, |w| w.device.is_online());
    lan = LanClient::reconnect(lan, &mut world);
    assert_eq!(lan.points(&mut world), ["1", "2", "4", "5", "6"]);
    world.stand.deaf.push("mqtt".into());
    world.hang_up_mqtt();
    lan = LanClient::reconnect(lan, &mut world);
    assert_eq!(lan.points(&mut world), ["1", "2"]);
    let before = lan.reports().len();
    world.run_for(20);
    lan.settle(&mut world);
    assert!(lan.reports()[before..].iter().all(|r| !r.contains("\"5\"")), "nor are they reported");

    // Without the cloud side the habit has nothing to hang on.
    let mut alone = VirtualDevice::new(spec, 1, at(S(0)));
    assert!(matches!(alone.handle_connect(at(S(0))), Admission::Accepted(_)));
}

#[test]
fn the_lan_opens_only_after_the_cloud_answered() {
    let mut spec = activated(Generation::C);
    spec.habits.lan_after_cloud = true;
    let mut world = World::with(spec, |stand| stand.deaf.push("http".into()));
    world.run(S(300));
    assert!(!world.device.is_listening());
    assert_eq!(world.device.handle_connect(at(world.now)), Admission::Refused);
    world.stand.deaf.clear();
    world.until(120, |w| w.device.is_listening());
    // The cloud may go; until the next power cut the door stays open.
    world.stand.deaf.extend(["http".to_owned(), "mqtt".to_owned()]);
    world.run_for(300);
    assert!(world.device.is_listening());
    world.device.press(None, &Physical::PowerCycle, at(world.now)).unwrap();
    world.run_for(60);
    assert!(!world.device.is_listening());
}

#[test]
fn an_activation_changes_who_the_device_is_on_the_lan() {
    let mut world = World::new(spec(Generation::C));
    assert_eq!(world.device.handle_connect(at(world.now)), Admission::Refused, "nobody owns it");
    world.device.pair(pairing(), at(world.now)).unwrap();
    world.run_for(5);
    assert_eq!(world.device.spec().id.as_str(), crate::stand::NEW_ID);
    let mut lan = LanClient::connect(&mut world);
    assert_eq!(lan.points(&mut world).len(), 5, "under the key that the cloud gave it");
    world.device.press(None, &Physical::Reset, at(world.now)).unwrap();
    world.settle();
    assert_eq!(world.device.clients(), 0, "clients of the old owner are out");
}

fn sensor() -> DeviceSpec {
    let mut spec = activated(Generation::C);
    let cloud = spec.cloud.take();
    let (id, key) = (DeviceId::new(spec.id.as_str()).unwrap(), LocalKey::new(spec.key.expose()).unwrap());
    let mut spec = DeviceSpec::new(id, key, Version::V3_3, Kind::BatterySensor);
    spec.cloud = cloud;
    spec
}

#[test]
fn a_battery_sensor_wakes_reports_waits_a_moment_and_sleeps() {
    let mut world = World::new(sensor());
    assert!(world.stand.connected.len() == 1 && world.reports(0).len() == 1);
    world.run(S(4));
    assert!(world.device.is_online(), "it waits for commands");
    world.run(S(6));
    assert!(!world.device.is_online() && !world.client().is_awake());
    assert!(matches!(world.stand.packets.last().unwrap().1, Sent::Disconnect), "and says goodbye");

    // Nothing happens for hours, though it takes samples in its sleep.
    world.run(S(3 * HOUR));
    assert_eq!(world.stand.connected.len(), 1);
    // Then something happens.
    world.device.press(None, &"1=300".parse().unwrap(), at(world.now)).unwrap();
    world.settle();
    assert_eq!(world.stand.connected.len(), 2);
    assert!(world.reports(0).last().unwrap().contains(r#""1":300"#));
    world.run_for(10);
    assert!(!world.client().is_awake());
    // And it wakes by itself.
    world.run_for(4 * HOUR);
    assert_eq!(world.stand.connected.len(), 3);
    assert_eq!(
        world.device.handle_connect(at(world.now)),
        Admission::Accepted(landfall_sim::device::ConnectionId(1))
    );
}

#[test]
fn a_command_while_it_is_awake_keeps_it_awake_a_little() {
    let mut world = World::new(sensor());
    world.run(S(4));
    world.send(31, &serde_json::json!({}));
    assert_eq!(world.reports(0).len(), 2);
    world.run(S(8));
    assert!(world.client().is_awake());
    world.run(S(10));
    assert!(!world.client().is_awake());
}

#[test]
fn a_sensor_that_reaches_nobody_gives_up_until_its_next_time() {
    let mut world = World::with(sensor(), |stand| stand.deaf.push("http".into()));
    world.run(S(70));
    assert!(!world.client().is_awake());
    let tries = world.stand.opened.len();
    world.run(S(4 * HOUR));
    assert_eq!(world.stand.opened.len(), tries);
    world.stand.deaf.clear();
    world.run_for(120);
    assert_eq!(world.reports(0).len(), 1);
}

#[test]
fn a_device_that_moves_connects_again_from_its_new_address() {
    let mut world = World::online(Generation::C);
    world.device.fault(Fault::Move, at(world.now));
    world.settle();
    assert!(!world.device.is_online());
    world.until(30, |w| w.device.is_online());
    assert_eq!((world.stand.connected.len(), world.stand.count("url_config")), (2, 1));
}

#[test]
fn energy_readings_keep_coming_on_mqtt() {
    let mut spec = activated(Generation::B);
    spec.load = Load::WashingMachine;
    let mut world = World::new(spec);
    world.run(S(600));
    let readings = world.reports(0).iter().filter(|r| r.contains("\"5\"")).count();
    assert!(readings >= 7, "though nobody is on the LAN: {readings}");
    assert!(world.points().value(DpId(5)).is_some());
}
