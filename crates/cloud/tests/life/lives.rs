//! One turn of life at a time, for all three generations.

use std::time::Duration;

use landfall_cloud::backend::{Backend, Timer};
use landfall_cloud::control::Owner;
use landfall_cloud::event::What;
use landfall_cloud::handshake::Step;
use landfall_cloud::mqtt::Outcome;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Content;
use landfall_proto::mqtt::content::{FirmwareCheck, Identified, Reset};
use landfall_sim::journal::{Life, Line};

use crate::house::House;

/// 2026-11-23 06:00 in Berlin, a Monday.
pub(crate) const MORNING: u64 = 1_795_410_000;
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
/// One of each generation, without an owner.
pub(crate) const NEW: [&str; 3] = ["Old", "Middle", "New"];

pub(crate) const HOME: &str = r#"
[[device]]
name = "Old"
kind = "plug-old"
version = "3.1"
load = "lamp"
habits = { energy_needs_mqtt = true }
cloud = { generation = "A", activated = false }

[[device]]
name = "Middle"
kind = "plug"
version = "3.3"
load = "lamp"
cloud = { generation = "B", activated = false }

[[device]]
name = "New"
kind = "plug"
version = "3.4"
load = "lamp"
cloud = { generation = "C", activated = false }
"#;

pub(crate) fn switch(on: bool) -> Dps {
    [(DpId(1), DpValue::Bool(on))].into_iter().collect()
}

/// A house whose devices have come to life.
pub(crate) async fn settled() -> House {
    let mut house = House::new(MORNING, HOME).await;
    house.start();
    house.open_window(MINUTE * 10, None);
    for name in NEW {
        house.devices.pair(name, "EU", "AbCdEfGh").await.expect("it can be paired");
    }
    house.all_online(MINUTE * 5).await;
    house
}

/// What a device journalled of its life, without the times.
pub(crate) fn turns(house: &House, name: &str) -> Vec<Life> {
    house.devices.journal(name).expect("a device").turns().into_iter().map(|(_, life)| life).collect()
}

#[tokio::test(start_paused = true)]
async fn three_generations_are_activated_and_report() {
    let mut house = House::new(MORNING, HOME).await;
    let mut events = house.start();
    house.open_window(MINUTE * 10, None);
    for name in NEW {
        house.devices.pair(name, "EU", "AbCdEfGh").await.expect("it can be paired");
    }
    house.all_online(MINUTE * 5).await;
    let mut reported = std::collections::BTreeSet::new();
    while reported.len() < NEW.len() {
        let event = tokio::time::timeout(MINUTE * 5, events.recv())
            .await
            .expect("all report")
            .expect("no event is lost");
        // The relay is told with the whole state, after the login.
        if let What::Report { dps, .. } = &event.what
            && matches!(dps.value(DpId(1)), Some(DpValue::Bool(_)))
        {
            reported.extend(event.device);
        }
    }
    for name in NEW {
        let id = house.id_of(name);
        assert_eq!(turns(&house, name), [Life::Activated { id: id.clone() }], "{name}");
        let device = house.backend().by_id(&id).expect("it stands in the book");
        assert!(device.keys.is_some() && device.pending.is_none(), "{name}: its keys are in use");
        let record = &house.shared().handshakes.devices()[&id];
        for step in [Step::Activated, Step::Mqtt, Step::Subscribed, Step::Reported] {
            assert!(record.steps.contains_key(&step), "{name} has not taken the step {step:?}: {record:?}");
        }
    }
    // Each found us under the vendor's names.
    assert!(house.asked().iter().any(|(host, port)| host.contains("tuya") && *port == 80));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_activated_outside_a_window() {
    let mut house = House::new(MORNING, HOME).await;
    let mut events = house.start();
    for name in NEW {
        house.devices.pair(name, "EU", "AbCdEfGh").await.expect("it can be paired");
    }
    let mut refused = 0;
    while refused < NEW.len() {
        let event =
            tokio::time::timeout(HOUR, events.recv()).await.expect("all ask").expect("no event is lost");
        if let What::Refusal { code: "activation.no_window", why } = &event.what {
            assert!(why.contains("landfall cloud allow"), "{why}");
            refused += 1;
        }
    }
    house.pass(HOUR).await;
    assert!(house.backend().devices().is_empty(), "nobody came into the book");
    for name in NEW {
        assert_eq!(turns(&house, name), [], "{name}");
    }
    // Later the owner opens the door for one of them only.
    let one = house.factory_id("Old").to_string();
    house.open_window(MINUTE * 30, Some(one));
    house.online("Old", HOUR).await;
    house.pass(HOUR).await;
    assert_eq!(house.backend().devices().len(), 1);
    assert!(!house.devices.cloud("New").await.expect("it runs").activated);
}

#[tokio::test(start_paused = true)]
async fn commands_are_confirmed_by_what_devices_report() {
    let house = settled().await;
    for name in NEW {
        let id = house.id_of(name);
        for on in [true, false, true, true] {
            let shared = house.shared();
            let outcome = shared.devices.set(&shared, &id, None, switch(on), Duration::from_secs(10)).await;
            assert_eq!(outcome, Outcome::Confirmed, "{name} to {on}");
            let points = house.devices.points(name).await.expect("it runs");
            assert_eq!(points.value(DpId(1)), Some(&DpValue::Bool(on)), "{name}");
        }
        let writes = house.devices.journal(name).expect("it runs").writes();
        assert_eq!(writes.len(), 4, "{name}: each command was carried out once: {writes:?}");
        assert!(writes.iter().all(|w| w.line == Line::Cloud), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn timers_of_the_owner_run_in_the_device_even_without_the_cloud() {
    let mut house = settled().await;
    for name in NEW {
        let id = house.id_of(name);
        let timer = Timer {
            id: 7,
            date: "20261123".to_owned(),
            time: "09:30".to_owned(),
            loops: 0,
            dps: r#"{"1":true}"#.to_owned(),
        };
        house.backend().set_timers(&id, Some(vec![timer])).await.expect("they are kept");
        let shared = house.shared();
        shared
            .devices
            .send(&shared, &id, Content::TimersChanged(Identified::default()))
            .expect("it is online");
    }
    house
        .until("all have fetched their timer", MINUTE * 10, async |house| {
            for name in NEW {
                if house.devices.cloud(name).await.expect("it runs").timers != 1 {
                    return false;
                }
            }
            true
        })
        .await;
    let shared = house.shared();
    for name in NEW {
        let outcome = shared.devices.set(&shared, &house.id_of(name), None, switch(false), MINUTE).await;
        assert_eq!(outcome, Outcome::Confirmed);
    }
    drop(shared);
    house.kill().await;
    // 06:0x so far; 09:30 in Berlin is 08:30 UTC, which a device in another zone would take for 10:30.
    house.pass_until(MORNING + 3 * 3_600 + 29 * 60).await;
    for name in NEW {
        assert!(!turns(&house, name).iter().any(|t| matches!(t, Life::TimerRan { .. })), "{name}: too early");
    }
    house.pass_until(MORNING + 3 * 3_600 + 32 * 60).await;
    for name in NEW {
        assert!(
            turns(&house, name).contains(&Life::TimerRan { id: "7".to_owned() }),
            "{name}: {:?}",
            turns(&house, name)
        );
        let points = house.devices.points(name).await.expect("it runs");
        assert_eq!(points.value(DpId(1)), Some(&DpValue::Bool(true)), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_approved_image_is_installed_and_no_other() {
    let house = settled().await;
    // Nothing is offered by default, however often devices ask.
    let shared = house.shared();
    for name in NEW {
        let id = house.id_of(name);
        shared
            .devices
            .send(&shared, &id, Content::CheckFirmware(FirmwareCheck::default()))
            .expect("it is online");
    }
    house.pass(MINUTE * 30).await;
    let upgraded = |name: &str| {
        turns(&house, name)
            .into_iter()
            .find(|t| matches!(t, Life::Upgraded { .. } | Life::UpgradeFailed { .. }))
    };
    for name in NEW {
        assert_eq!(upgraded(name), None, "{name}");
        let asked = shared.handshakes.devices()[&house.id_of(name)].steps[&Step::Firmware].count;
        assert!(asked > 0, "{name}: the question is counted");
    }
    let image: Vec<u8> = (0..70_001_u32).map(|n| (n % 251) as u8).collect();
    let file = house.directory().join("image.bin");
    std::fs::write(&file, &image).expect("a file");
    for name in NEW {
        let id = house.id_of(name);
        house.backend().approve(&id, 0, "2.0.0", &file).await.expect("it is kept");
        shared
            .devices
            .send(&shared, &id, Content::CheckFirmware(FirmwareCheck::default()))
            .expect("it is online");
    }
    house
        .until("all have installed it", HOUR, async |_| NEW.iter().all(|name| upgraded(name).is_some()))
        .await;
    for name in NEW {
        let to = "2.0.0".to_owned();
        assert_eq!(upgraded(name), Some(Life::Upgraded { from: "1.0.0".to_owned(), to }), "{name}");
    }
    house.all_online(HOUR).await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_device_comes_back_under_its_name_and_only_with_a_window() {
    let house = settled().await;
    let shared = house.shared();
    for name in NEW {
        let id = house.id_of(name);
        let before = house.backend().by_id(&id).expect("it stands in the book");
        shared.devices.send(&shared, &id, Content::Reset(Reset::default())).expect("it is online");
        house
            .until("it forgets its owner", MINUTE * 5, async |house| {
                !house.devices.cloud(name).await.expect("it runs").activated
            })
            .await;
        // The windows of before are over.
        house.pass(MINUTE * 40).await;
        house.devices.pair(name, "EU", "ZyXwVuTs").await.expect("it has no owner");
        house.pass(MINUTE * 10).await;
        assert!(!house.devices.cloud(name).await.expect("it runs").activated, "{name}: no window is open");
        house.open_window(MINUTE * 30, None);
        let fresh = |house: &House| {
            let device = house.backend().by_id(&house.id_of(name)).expect("it stands in the book");
            (device.pending.is_none() && device.keys != before.keys).then_some(device)
        };
        house.until("it uses fresh keys", HOUR, async |house| fresh(house).is_some()).await;
        let after = fresh(&house).expect("it uses fresh keys");
        assert_eq!(after.name, before.name, "{name}");
        assert_eq!(
            house.backend().by_id(&id).map(|d| d.id.clone()),
            Some(after.id.clone()),
            "{name}: its old id leads to it"
        );
    }
    assert_eq!(house.backend().devices().len(), NEW.len());
}

#[tokio::test(start_paused = true)]
async fn lost_connections_and_a_killed_cloud_cost_nobody_an_owner() {
    let mut house = settled().await;
    let ids: Vec<DeviceId> = NEW.iter().map(|name| house.id_of(name)).collect();
    house.cut();
    house.until("somebody notices", MINUTE, async |house| !house.is_online("Old").await).await;
    house.all_online(MINUTE * 10).await;
    for outage in [Duration::from_secs(5), MINUTE * 3, HOUR * 5] {
        house.kill().await;
        house.pass(outage).await;
        house.start();
        // After a long outage devices wait longer between their attempts.
        house.all_online(HOUR).await;
        let shared = house.shared();
        for id in &ids {
            let outcome = shared.devices.set(&shared, id, None, switch(true), MINUTE).await;
            assert_eq!(outcome, Outcome::Confirmed, "{id} after {outage:?}");
        }
    }
    for (name, id) in NEW.iter().zip(ids) {
        assert_eq!(turns(&house, name), [Life::Activated { id }], "{name}: nothing else happened");
    }
}

#[tokio::test(start_paused = true)]
async fn energy_is_there_while_mqtt_is_up() {
    let mut house = settled().await;
    let id = house.id_of("Old");
    let shared = house.shared();
    assert_eq!(shared.devices.set(&shared, &id, None, switch(true), MINUTE).await, Outcome::Confirmed);
    let mut events = shared.events();
    drop(shared);
    let power = async {
        loop {
            let event = events.recv().await.expect("no event is lost");
            if let What::Report { dps, .. } = &event.what
                && event.device.as_ref() == Some(&id)
                && let Some(DpValue::Value(power)) = dps.value(DpId(5))
            {
                return *power;
            }
        }
    };
    let power = tokio::time::timeout(MINUTE * 10, power).await.expect("passive points are asked for");
    assert!(power > 0, "a lamp takes {power}");
    assert!(house.devices.points("Old").await.expect("it runs").value(DpId(5)).is_some());
    house.kill().await;
    house.until("it notices", MINUTE * 10, async |house| !house.is_online("Old").await).await;
    let points = house.devices.points("Old").await.expect("it runs");
    assert_eq!(points.value(DpId(5)), None, "as the seed's plug does without its cloud");
    house.start();
    house.online("Old", HOUR).await;
    assert!(house.devices.points("Old").await.expect("it runs").value(DpId(5)).is_some());
}
