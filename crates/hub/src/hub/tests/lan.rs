//! Devices on the LAN.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use landfall_link::scan::{Interface, Ports};
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::LocalKey;
use landfall_proto::lan::Version;
use landfall_sim::faults::Fault;
use landfall_sim::model::Physical;
use landfall_sim::server::{Addresses, Discovery as SimDiscovery};
use landfall_sim::{Home as SimHome, Options, Simulation};

use super::world::*;
use crate::hub::{Discovery, HubConfig};
use crate::model::{
    DeviceView, Edit, HeardBy, Home as _, Line, LineState, MilliWattHours, Missing, Origin, Outcome,
    Presence, What,
};
use crate::store::{HistoryQuery, Sample};

const HOUSE: &str = r#"
[[device]]
name = "One"
kind = "plug-old"
version = "3.1"
[[device]]
name = "Two"
kind = "plug"
version = "3.2"
[[device]]
name = "Three"
kind = "plug"
version = "3.3"
[[device]]
name = "Four"
kind = "plug"
version = "3.4"
[[device]]
name = "Five"
kind = "plug"
version = "3.5"
"#;

const NAMES: [&str; 5] = ["One", "Two", "Three", "Four", "Five"];

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_all_versions_come_online_are_set_and_push() {
    let (world, sim) = (World::new(), devices(HOUSE).await);
    world.adopt(sim.devices()).await;
    let hub = world.hub(config()).await;
    for name in NAMES {
        let view = online(&hub, name).await;
        assert_eq!((view.lan.state, view.route), (LineState::Up, Some(Line::Lan)), "{name}");
        let wanted = is_on(&view) != Some(true);
        let ended = hub.set(view.id(), switch(wanted), options()).await.unwrap();
        assert_eq!((&ended.outcome, ended.line), (&Outcome::Confirmed, Some(Line::Lan)), "{name}");
        // Whoever is told that it is confirmed sees it.
        assert_eq!(is_on(&hub.device(name).unwrap()), Some(wanted), "{name}");
        assert_eq!(sim.points(name).await.unwrap().value(DpId(1)), Some(&DpValue::Bool(wanted)), "{name}");

        let mut reader = hub.bus().read(None);
        let id = view.id().clone();
        sim.press(name, Physical::Button(1)).await.unwrap();
        let (line, origin) = change(&mut reader, name, |c| match &c.what {
            What::Points { line, origin, changed, .. }
                if c.device.as_deref() == Some(&id) && changed.contains(&DpId(1)) =>
            {
                Some((*line, *origin))
            }
            _ => None,
        })
        .await;
        assert_eq!((line, origin), (Line::Lan, Origin::Pushed), "{name}");
        assert_eq!(is_on(&hub.device(name).unwrap()), Some(!wanted), "{name}");
    }
    let status = hub.status();
    assert_eq!((status.devices, status.available, status.inbox_dropped), (5, 5, 0));
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_gone_is_offline_after_the_grace_and_comes_back() {
    let (world, sim) = (World::new(), devices(HOUSE).await);
    world.adopt(sim.devices()).await;
    let hub = world.hub(config()).await;
    online(&hub, "Four").await;
    let mut reader = hub.bus().read(None);
    sim.fault("Four", Fault::Reboot(Duration::from_millis(1_500))).await.unwrap();
    let id = id_of(&sim, "Four");
    let why = change(&mut reader, "offline", |c| match &c.what {
        What::Presence(Presence::Offline { why, .. }) if c.device.as_deref() == Some(&id) => {
            Some(why.clone())
        }
        _ => None,
    })
    .await;
    assert!(!why.is_empty());
    change(&mut reader, "online again", |c| match &c.what {
        What::Presence(Presence::Online) if c.device.as_deref() == Some(&id) => Some(()),
        _ => None,
    })
    .await;
    let ended = hub.set(&id, switch(true), options()).await.unwrap();
    assert_eq!(ended.outcome, Outcome::Confirmed);
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_named_and_the_right_one_heals_it() {
    let (world, sim) = (World::new(), devices(HOUSE).await);
    let mut infos = sim.devices();
    for info in &mut infos {
        info.key = LocalKey::new("not the real key").unwrap();
    }
    // 3.1 reports in clear: its key shows at a write only.
    infos.retain(|d| d.version != Version::V3_1);
    world.adopt(infos.clone()).await;
    let hub = world.hub(config()).await;
    for info in &infos {
        // Before 3.4 the device's answers show it; later ones hang up, which others do as well.
        let words = match info.version {
            Version::V3_2 | Version::V3_3 => "key rejected: ",
            _ => "the device ",
        };
        let view = view(&hub, &info.name, |v| down_with(v, words)).await;
        assert!(view.lan.why.as_deref().unwrap().contains("local key"), "{view:?}");
        assert_ne!(view.presence, Presence::Online, "{}", info.name);
    }
    for right in sim.devices().into_iter().filter(|d| d.version != Version::V3_1) {
        hub.edit(&right.id, Edit { key: Some(right.key.clone()), ..Edit::default() }).await.unwrap();
        online(&hub, &right.name).await;
    }
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_a_key_says_so_until_it_is_given() {
    let (world, sim) = (World::new(), devices(HOUSE).await);
    world.adopt(sim.devices()).await;
    let id = id_of(&sim, "Five");
    let (of, key) = (id.clone(), sim.devices().into_iter().find(|d| d.id == id).unwrap().key);
    world
        .write(move |book| {
            book.by_id_mut(&of).unwrap().key = None;
            Ok(())
        })
        .await;
    let hub = world.hub(config()).await;
    let keyless = view(&hub, "Five", |v| v.lan.why.is_some()).await;
    assert_eq!(keyless.lan.why.as_deref(), Some("its local key is not known"));
    assert_eq!((keyless.lan.state, keyless.route), (LineState::Unused, None));
    let problem = hub.set(&id, switch(true), options()).await.unwrap_err();
    assert_eq!(problem.code, "device.offline", "{problem:?}");
    hub.edit(&id, Edit { key: Some(key), ..Edit::default() }).await.unwrap();
    online(&hub, "Five").await;
    assert_eq!(hub.set(&id, switch(true), options()).await.unwrap().outcome, Outcome::Confirmed);
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_devices_are_heard_and_set_through_their_gateway() {
    let house = r#"
[[device]]
name = "Gateway"
kind = "gateway"
version = "3.4"
[[device.child]]
name = "Socket"
kind = "plug"
[[device.child]]
name = "Away"
kind = "plug"
online = false
"#;
    let (world, sim) = (World::new(), devices(house).await);
    world.adopt(sim.devices()).await;
    let hub = world.hub(config()).await;
    let socket = online(&hub, "Socket").await;
    assert_eq!(socket.lan.state, LineState::Up);
    let ended = hub.set(socket.id(), switch(true), options()).await.unwrap();
    assert_eq!(ended.outcome, Outcome::Confirmed);
    assert_eq!(sim.points("Socket").await.unwrap().value(DpId(1)), Some(&DpValue::Bool(true)));
    // Until it told otherwise, a gateway reaches all of them.
    let away =
        view(&hub, "Away", |v| v.presence != Presence::Online && v.lan.state != LineState::Unused).await;
    assert!(away.points.is_empty(), "{away:?}");
    // The examination says what the gateway says, though that is well itself.
    let verdict = hub.doctor(socket.id()).await.unwrap();
    assert_eq!((verdict.code.as_str(), verdict.next.as_str()), ("healthy", ""), "{verdict:?}");
    let verdict = hub.doctor(away.id()).await.unwrap();
    assert_eq!(verdict.code, "cut_off", "{verdict:?}");
    assert!(verdict.text.contains("does not reach it") && verdict.next.contains("distance"), "{verdict:?}");
    assert!(verdict.evidence.iter().any(|e| e.contains("is offline")), "{verdict:?}");
    world.end(&hub, sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_brings_back_points_and_energy_and_goes_on_counting() {
    let (mut world, sim) = (World::new(), devices(HOUSE).await);
    world.keep_history_on_disk();
    let hub = world.hub(config()).await;
    hub.import(&sim.devices_json().to_string(), true).await.unwrap();
    for name in NAMES {
        online(&hub, name).await;
    }
    let id = id_of(&sim, "Three");
    hub.set(&id, switch(true), options()).await.unwrap();
    // Point 17 is what flowed since the last report, in Wh.
    for wh in [7, 5] {
        sim.press("Three", Physical::Value(DpId(17), DpValue::Value(wh))).await.unwrap();
        let shown = |v: &DeviceView| v.points.get(&DpId(17)).is_some_and(|p| p.value == DpValue::Value(wh));
        view(&hub, "Three", shown).await;
    }
    let (before, last) = (hub.device("Three").unwrap(), hub.bus().last());
    assert_eq!(before.energy.map(|e| e.total), Some(MilliWattHours(12_000)), "{before:?}");
    hub.shutdown().await;

    // Nothing can be heard: what is shown was kept.
    world.keep_history_on_disk();
    let hub = world.hub(HubConfig { lan: false, ..config() }).await;
    let after = hub.device("Three").unwrap();
    assert_eq!(after.dps(), before.dps());
    assert_eq!(after.points[&DpId(1)].at_ms, before.points[&DpId(1)].at_ms);
    assert_eq!(after.energy.map(|e| e.total), Some(MilliWattHours(12_000)));
    assert_ne!(after.presence, Presence::Online);
    assert!(hub.bus().last().0 > last.0, "numbers never come again: {:?} after {last:?}", hub.bus().last());
    let query = HistoryQuery {
        device: id,
        dps: vec![DpId(1)],
        from_ms: 0,
        to_ms: u64::MAX >> 1,
        step_ms: None,
        limit: 100,
    };
    let history = hub.store().history(&query).await.unwrap();
    let lit = |s: &Sample| matches!(s, Sample::Value { value: DpValue::Bool(true), .. });
    assert!(history[0].samples.iter().any(lit), "{history:?}");
    world.end(&hub, sim).await;
}

/// Ports for one test: devices announce to our own address, so that other tests hear nothing of it.
fn discovery(ours: Ipv4Addr) -> (Discovery, SimDiscovery) {
    let free = |ip| UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port();
    let all = Ipv4Addr::new(127, 255, 255, 255);
    let (ask, clear, encrypted) = (free(all), free(ours), free(ours));
    let ports = Ports { clear: Some(clear), encrypted: Some(encrypted), answer: Some(ask), ask, tcp: 6668 };
    let interfaces = Some(vec![Interface { name: "lo".to_owned(), address: ours, broadcast: Some(all) }]);
    let how = Discovery {
        ports,
        listen: ours,
        interfaces,
        scan: Duration::from_secs(2),
        question: Duration::from_secs(1),
        every: Duration::from_secs(2),
    };
    (how, SimDiscovery { target: Some(ours), clear, encrypted, ask })
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn devices_that_moved_are_found_and_the_book_learns_it() {
    let ours = Ipv4Addr::new(127, 41, 1, 200);
    let (how, announce) = discovery(ours);
    // The second announces nothing: it answers when asked. The third is nobody's.
    let house = r#"
[[device]]
name = "Loud"
kind = "plug"
version = "3.3"
address = "127.41.1.1:0"
[[device]]
name = "Mute"
kind = "plug"
version = "3.5"
address = "127.41.1.2:0"
[[device]]
name = "Stranger"
kind = "plug"
version = "3.4"
address = "127.41.1.3:0"
"#;
    let options = Options {
        addresses: Addresses::Loopback,
        discovery: Some(announce),
        entropy_seed: Some(1),
        ..Options::default()
    };
    let sim = Simulation::start(SimHome::parse(house, "test.toml").unwrap(), options).await.unwrap();
    let world = World::new();
    let infos = sim.devices();
    world.adopt(infos.iter().filter(|d| d.name != "Stranger").cloned().collect()).await;
    // The book has them where nobody is; ports do not travel in beacons, and stay.
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 41, 1, 99));
    world
        .write(move |book| {
            let ids: Vec<_> = book.devices().iter().map(|d| d.id.clone()).collect();
            for id in ids {
                book.by_id_mut(&id).unwrap().address = Some(elsewhere);
            }
            Ok(())
        })
        .await;
    let hub = world.hub(HubConfig { discovery: Some(how), ..config() }).await;
    for info in infos.iter().filter(|d| d.name != "Stranger") {
        let at = SocketAddr::V4(info.address.unwrap());
        let found = online(&hub, &info.name).await;
        assert_eq!(found.lan.address, Some(at), "{}", info.name);
        let (id, book) = (info.id.clone(), &world.book);
        until(&hub, "the book learns it", || {
            book.read(|b| b.by_id(&id).unwrap().socket_address() == Some(at)).then_some(())
        })
        .await;
    }
    let found = until(&hub, "the stranger is heard", || {
        let all = hub.finder.found();
        all.iter().any(|f| f.name.is_none()).then_some(all)
    })
    .await;
    let stranger = found.iter().find(|f| f.id == id_of(&sim, "Stranger")).expect("it is found");
    assert!(stranger.missing.as_deref().is_some_and(|m| m.contains("local key")), "{stranger:?}");
    let told: Vec<_> = hub.strangers().into_iter().map(|s| (s.id, s.seen_by, s.missing)).collect();
    assert_eq!(told, [(stranger.id.to_string(), vec![HeardBy::Beacon], Missing::LocalKey)]);
    let known = found.iter().find(|f| f.name.as_deref() == Some("Loud")).expect("it is found");
    assert_eq!(known.missing, None);
    world.end(&hub, sim).await;
}
