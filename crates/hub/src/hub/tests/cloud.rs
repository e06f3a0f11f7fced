//! Devices in our cloud.

use std::sync::Arc;
use std::time::Duration;

use landfall_cloud::control::{Client, Control, Order, Window};
use landfall_proto::dp::{DpId, DpValue};
use landfall_sim::faults::Fault;
use landfall_sim::model::Physical;

use super::world::*;
use crate::hub::HubConfig;
use crate::model::{
    CommandOptions, HeardBy, Home as _, Line, LineState, Missing, Origin, Outcome, Stranger, What,
};

const HOUSE: &str = r#"
[[device]]
name = "Old"
kind = "plug-old"
version = "3.1"
cloud = { generation = "A" }
[[device]]
name = "Middle"
kind = "plug"
version = "3.3"
cloud = { generation = "B" }
[[device]]
name = "New"
kind = "plug"
version = "3.4"
cloud = { generation = "C" }
"#;

const NAMES: [&str; 3] = ["Old", "Middle", "New"];

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_three_generations_live_over_the_cloud_alone() {
    let mut world = World::new();
    let dial = world.start_cloud().await;
    let sim = devices_with_cloud(HOUSE, dial).await;
    world.adopt(sim.devices()).await;
    let hub = world.hub(HubConfig { lan: false, ..config() }).await;
    for name in NAMES {
        let view = online(&hub, name).await;
        assert_eq!((view.cloud.state, view.route), (LineState::Up, Some(Line::Cloud)), "{name}");
        assert_eq!(view.lan.state, LineState::Unused, "{name}");
        let wanted = is_on(&view) != Some(true);
        let ended = hub.set(view.id(), switch(wanted), options()).await.unwrap();
        assert_eq!((&ended.outcome, ended.line), (&Outcome::Confirmed, Some(Line::Cloud)), "{name}");
        assert_eq!(sim.points(name).await.unwrap().value(DpId(1)), Some(&DpValue::Bool(wanted)), "{name}");

        let mut reader = hub.bus().read(None);
        let id = view.id().clone();
        sim.press(name, Physical::Button(1)).await.unwrap();
        let line = change(&mut reader, name, |c| match &c.what {
            What::Points { line, origin: Origin::Pushed, changed, .. }
                if c.device.as_deref() == Some(&id) && changed.contains(&DpId(1)) =>
            {
                Some(*line)
            }
            _ => None,
        })
        .await;
        assert_eq!(line, Line::Cloud, "{name}");
        let side = hub.cloud_side(&id).expect("it was seen there");
        assert_eq!(side["connected"], true, "{name}: {side}");
    }
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_both_lines_the_lan_is_the_way_and_the_cloud_can_be_chosen() {
    let mut world = World::new();
    let dial = world.start_cloud().await;
    let sim = devices_with_cloud(HOUSE, dial).await;
    world.adopt(sim.devices()).await;
    let hub = world.hub(config()).await;
    let both = |v: &crate::model::DeviceView| {
        v.lan.state == LineState::Up && v.cloud.state == LineState::Up && !v.points.is_empty()
    };
    for name in NAMES {
        let found = view(&hub, name, both).await;
        assert_eq!(found.route, Some(Line::Lan), "{name}");
        for (line, wanted) in [(Line::Cloud, true), (Line::Lan, false), (Line::Cloud, true)] {
            let options = CommandOptions { line: Some(line), ..options() };
            let ended = hub.set(found.id(), switch(wanted), options).await.unwrap();
            assert_eq!((&ended.outcome, ended.line), (&Outcome::Confirmed, Some(line)), "{name} {line:?}");
        }
    }
    // Without power both are gone, and both come back.
    sim.fault("New", Fault::Reboot(Duration::from_millis(1_500))).await.unwrap();
    let gone = view(&hub, "New", |v| v.lan.state != LineState::Up && v.cloud.state != LineState::Up).await;
    assert_eq!(gone.route.filter(|_| gone.lan.state == LineState::Down), None);
    view(&hub, "New", both).await;
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_paired_comes_into_the_home() {
    let house = r#"
[[device]]
name = "Newcomer"
kind = "plug"
version = "3.4"
cloud = { generation = "C", region = "EU", token = "test0001" }
"#;
    let mut world = World::new();
    let dial = world.start_cloud().await;
    let hub = world.hub(config()).await;
    assert!(hub.devices().is_empty());
    hub.open_window(Window { who: None, until: world.clock.unix() + 600 }).unwrap();
    assert_eq!(hub.windows().len(), 1);
    let sim = devices_with_cloud(house, dial).await;
    let found = until(&hub, "it comes", || {
        hub.devices().into_iter().find(|v| v.cloud.state == LineState::Up && !v.points.is_empty())
    })
    .await;
    let ended = hub.set(found.id(), switch(true), options()).await.unwrap();
    assert_eq!((&ended.outcome, ended.line), (&Outcome::Confirmed, Some(Line::Cloud)));
    assert!(hub.key(found.id()).unwrap().is_some());
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_in_vain_is_a_stranger_until_a_window_lets_it_in() {
    let house = r#"
[[device]]
name = "Newcomer"
kind = "plug"
version = "3.4"
cloud = { generation = "C", region = "EU", token = "test0001" }
"#;
    let mut world = World::new();
    let dial = world.start_cloud().await;
    let hub = world.hub(config()).await;
    let sim = devices_with_cloud(house, dial).await;
    let lacks_window = |s: &Stranger| s.missing == Missing::Window && s.seen_by == [HeardBy::Cloud];
    let stranger = until(&hub, "it asks", || hub.strangers().into_iter().find(|s| lacks_window(s))).await;
    assert!(stranger.address.is_some() && stranger.hint.contains("open"), "{stranger:?}");
    let mut reader = hub.bus().read(None);
    hub.open_window(Window { who: None, until: world.clock.unix() + 600 }).unwrap();
    let told = |code: &'static str| {
        move |c: &crate::model::Change| match &c.what {
            What::Hub { code: told, .. } if *told == code => Some(()),
            _ => None,
        }
    };
    change(&mut reader, "the window", told("window.opened")).await;
    sim.fault("Newcomer", Fault::Reboot(Duration::from_millis(100))).await.unwrap();
    until(&hub, "it comes", || hub.devices().into_iter().find(|v| v.cloud.state == LineState::Up)).await;
    assert_eq!(hub.strangers(), []);
    hub.close_windows();
    assert_eq!(hub.windows(), []);
    change(&mut reader, "the end of it", told("window.closed")).await;
    // The same when the command does it, by the cloud's own socket.
    let (shared, owner) = (world.cloud.as_ref().unwrap().shared(), Arc::clone(&world.book));
    let control = Control::start(Arc::clone(shared), owner).unwrap();
    let mut command = Client::connect(world.dir()).await.unwrap();
    command.ask(&Order::Allow(Window { who: None, until: world.clock.unix() + 600 })).await.unwrap();
    change(&mut reader, "the window of the command", told("window.opened")).await;
    assert_eq!(hub.windows().len(), 1);
    command.ask(&Order::Close).await.unwrap();
    change(&mut reader, "the end of that", told("window.closed")).await;
    drop(control);
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cloud_no_window_opens() {
    let world = World::new();
    let hub = world.hub(config()).await;
    let problem = hub.open_window(Window { who: None, until: u64::MAX }).unwrap_err();
    assert_eq!(problem.code, "cloud.off");
    assert!(problem.hint.is_some());
    hub.shutdown().await;
}
