//! Virtual devices over real sockets, seen by a client session.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic.

mod common;

use std::time::Duration;

use common::{Client, PATIENCE, config};
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::{Cid, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::session::{Answer, CloseReason, Event, Request};
use landfall_sim::faults::Fault;
use landfall_sim::home::Home;
use landfall_sim::model::Physical;
use landfall_sim::news::News;
use landfall_sim::server::{DeviceInfo, Options, SimError, Simulation};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn start(text: &str) -> Simulation {
    Simulation::start(Home::parse(text, "test.toml").unwrap(), Options::quiet()).await.unwrap()
}

fn info(simulation: &Simulation, name: &str) -> DeviceInfo {
    simulation.devices().into_iter().find(|d| d.name == name).unwrap()
}

/// Waits for an event, however many others come before it.
async fn event(
    events: &mut tokio::sync::broadcast::Receiver<landfall_sim::server::Event>,
    is: impl Fn(&News) -> bool,
) {
    timeout(PATIENCE, async { while !is(&events.recv().await.unwrap().news) {} }).await.unwrap();
}

#[tokio::test]
async fn plugs_of_every_version_answer_and_push() {
    let mut text = String::new();
    for policy in ["echo", "counter"] {
        for version in Version::ALL {
            let device = "[[device]]\nkind = \"plug\"\nclients = 3\nload = \"lamp\"";
            text += &format!(
                "{device}\nname = \"{policy} {version}\"\nversion = \"{version}\"\nreply_sequence = \"{policy}\"\n"
            );
        }
    }
    let simulation = start(&text).await;
    for device in simulation.devices() {
        let mut settings = config(&device);
        settings.device22_points = [1, 9, 19, 38].map(DpId).into();
        let mut client = Client::connect_to(device.address.unwrap(), settings.clone()).await;
        let mut other = Client::connect_to(device.address.unwrap(), settings).await;
        // An answer proves that the device has the session key: before, pushes go out under the local key.
        other.query(None).await.unwrap();
        let first = client.query(None).await.unwrap();
        assert_eq!(first.value(DpId(1)), Some(&DpValue::Bool(true)), "{}", device.name);
        assert_eq!(first.value(DpId(38)), Some(&DpValue::text("last")), "{}", device.name);
        client.set(r#"{"1":false}"#).await.unwrap();
        client.report(r#"{"1":false}"#).await;
        // A push goes to every client.
        other.report(r#"{"1":false}"#).await;
        simulation.press(&device.name, Physical::Button(1)).await.unwrap();
        client.report(r#"{"1":true}"#).await;
        let writes = simulation.journal(&device.name).unwrap().drain();
        assert_eq!(writes.len(), 1, "{}: a button press is no write of a client", device.name);
        assert_eq!(
            (writes[0].dp, &writes[0].value, writes[0].changed),
            (DpId(1), &DpValue::Bool(false), true)
        );
    }
    simulation.shutdown().await;
}

#[tokio::test]
async fn misfits_and_repeats_change_nothing() {
    let simulation = start("[[device]]\nname = \"Plug\"\nkind = \"plug\"\nversion = \"3.3\"").await;
    let mut events = simulation.events();
    let mut client = Client::connect(&info(&simulation, "Plug")).await;
    assert_eq!(client.set(r#"{"1":"off","77":true,"9":-1}"#).await.unwrap(), Answer::Ack);
    event(&mut events, |n| matches!(n, News::Skipped { dp, .. } if dp.0 == 9)).await;
    client.set(r#"{"1":true}"#).await.unwrap();
    client.set(r#"{"40":"none"}"#).await.unwrap();
    client.report(r#"{"40":"none"}"#).await;
    let reports = client.seen.iter().filter(|e| matches!(e, Event::Report { .. })).count();
    assert_eq!(reports, 1, "only what changed was pushed: {:?}", client.seen);
    let writes = simulation.journal("Plug").unwrap().writes();
    let kept: Vec<_> = writes.iter().map(|w| (w.ordinal, w.dp.0, w.changed)).collect();
    assert_eq!(kept, [(1, 1, false), (2, 40, true)]);
}

#[tokio::test]
async fn one_client_too_many_is_closed_at_once_and_a_silent_one_later() {
    let simulation =
        start("[[device]]\nname = \"Plug\"\nkind = \"plug\"\nversion = \"3.3\"\nclients = 1\nidle_s = 1")
            .await;
    let device = info(&simulation, "Plug");
    let mut first = TcpStream::connect(device.address.unwrap()).await.unwrap();
    let mut second = TcpStream::connect(device.address.unwrap()).await.unwrap();
    let closed = |n: std::io::Result<usize>| matches!(n, Ok(0) | Err(_));
    assert!(closed(timeout(PATIENCE, second.read(&mut [0; 8])).await.unwrap()));
    assert!(closed(timeout(PATIENCE, first.read(&mut [0; 8])).await.unwrap()), "dropped after idle_s");
    // Its place is free again.
    let mut third = Client::connect(&device).await;
    third.query(None).await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_met_as_by_real_firmware() {
    let simulation = start(
        "[[device]]\nname = \"Old\"\nkind = \"plug\"\nversion = \"3.3\"\n[[device]]\nname = \"New\"\nkind = \"plug\"\nversion = \"3.5\"",
    )
    .await;
    for (name, want) in [("Old", CloseReason::WrongKey), ("New", CloseReason::ClosedEarly)] {
        let device = info(&simulation, name);
        let mut wrong = config(&device);
        wrong.key = LocalKey::new("0123456789abcdef").unwrap();
        let mut client = Client::connect_to(device.address.unwrap(), wrong).await;
        for _ in 0..3 {
            client.request(Request::Query { cid: None });
        }
        assert_eq!(client.closed().await, want, "{name}");
    }
}

#[tokio::test]
async fn a_gateway_speaks_for_its_children() {
    let simulation = start(
        r#"
        [[device]]
        name = "Gateway"
        kind = "gateway"
        version = "3.4"
        [[device.child]]
        name = "Plug"
        kind = "plug"
        cid = "a4c138aaaaaaaaaa"
        [[device.child]]
        name = "Gone"
        kind = "battery-sensor"
        cid = "a4c138bbbbbbbbbb"
        online = false
        "#,
    )
    .await;
    let cid = Cid::new("a4c138aaaaaaaaaa").unwrap();
    let mut client = Client::connect(&info(&simulation, "Gateway")).await;
    let refused = client.query(None).await.unwrap_err().to_string();
    assert!(refused.contains("json obj data unvalid"), "{refused}");
    let refused = client.query(Some(&Cid::new("nobody").unwrap())).await.unwrap_err().to_string();
    assert!(refused.contains("devid not found"), "{refused}");
    assert_eq!(client.query(Some(&cid)).await.unwrap().value(DpId(1)), Some(&DpValue::Bool(true)));
    let id = client.request(Request::Set {
        cid: Some(cid.clone()),
        dps: serde_json::from_str(r#"{"1":false}"#).unwrap(),
    });
    client.done(id).await.unwrap();
    let who = client
        .until(|e| match e {
            Event::Report { report, .. } if report.dps.value(DpId(1)) == Some(&DpValue::Bool(false)) => {
                Some(report.cid.clone())
            }
            _ => None,
        })
        .await;
    assert_eq!(who, Some(cid.clone()));
    let id = client.request(Request::Subdevices);
    let Ok(Answer::Subdevices(list)) = client.done(id).await else { panic!("{:?}", client.seen) };
    assert_eq!((list.online, list.offline), (vec![cid.clone()], vec![Cid::new("a4c138bbbbbbbbbb").unwrap()]));
    simulation.press("Plug", Physical::Button(1)).await.unwrap();
    client.report(r#"{"1":true}"#).await;
    let writes = simulation.journal("Plug").unwrap().writes();
    assert_eq!((writes.len(), &writes[0].cid), (1, &Some(cid)));
}

#[tokio::test]
async fn faults_by_hand() {
    let simulation = start("[[device]]\nname = \"Plug\"\nkind = \"plug\"\nversion = \"3.5\"").await;
    let mut events = simulation.events();
    let before = info(&simulation, "Plug");

    let mut client = Client::connect(&before).await;
    client.query(None).await.unwrap();
    simulation.fault("Plug", Fault::Reset).await.unwrap();
    assert_eq!(client.closed().await, CloseReason::Remote);

    simulation.fault("Plug", Fault::Reboot(Duration::from_millis(300))).await.unwrap();
    let refused = TcpStream::connect(before.address.unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    event(&mut events, |n| matches!(n, News::Down)).await;
    event(&mut events, |n| matches!(n, News::Up { .. })).await;
    Client::connect(&before).await.query(None).await.unwrap();

    // Nothing of what came before may be taken for what comes next.
    events = events.resubscribe();
    simulation.fault("Plug", Fault::Move).await.unwrap();
    let after = info(&simulation, "Plug");
    assert_ne!(after.address, before.address);
    assert!(TcpStream::connect(before.address.unwrap()).await.is_err());
    Client::connect(&after).await.query(None).await.unwrap();

    simulation.fault("Plug", Fault::Wedge).await.unwrap();
    let mut client = Client::connect(&after).await;
    assert_eq!(client.closed().await, CloseReason::ClosedEarly);
    simulation.press("Plug", Physical::PowerCycle).await.unwrap();
    event(&mut events, |n| matches!(n, News::Down)).await;
    event(&mut events, |n| matches!(n, News::Up { .. })).await;
    let mut client = Client::connect(&after).await;
    client.query(None).await.unwrap();

    simulation.fault("Plug", Fault::HalfOpen).await.unwrap();
    let id = client.request(Request::Query { cid: None });
    assert!(client.done(id).await.is_err(), "nobody answers, and nobody closes");
    assert!(!client.seen.iter().any(|e| matches!(e, Event::Closed(CloseReason::Remote))));
    simulation.shutdown().await;
}

#[tokio::test]
async fn busy_addresses_are_named() {
    let simulation = start("[[device]]\nname = \"First\"\nkind = \"plug\"").await;
    let at = info(&simulation, "First").address.unwrap();
    let text = format!("[[device]]\nname = \"Second\"\nkind = \"plug\"\naddress = \"{at}\"");
    let error = Simulation::start(Home::parse(&text, "t").unwrap(), Options::quiet()).await.unwrap_err();
    assert!(matches!(error, SimError::AddressBusy { .. }));
    assert_eq!(error.to_string(), format!("the address {at} of \"Second\" is in use"));
}

#[tokio::test]
async fn hundreds_of_devices_serve_at_once() {
    let simulation = Simulation::start(Home::of(300), Options::quiet()).await.unwrap();
    let clients = simulation.devices().into_iter().map(|device| {
        tokio::spawn(async move {
            let mut client = Client::connect_to(device.address.unwrap(), {
                let mut config = config(&device);
                config.device22_points = vec![DpId(1)];
                config
            })
            .await;
            client.query(None).await.map(|dps| dps.len())
        })
    });
    for (i, client) in clients.collect::<Vec<_>>().into_iter().enumerate() {
        assert!(client.await.unwrap().unwrap() > 0, "device {i}");
    }
    simulation.shutdown().await;
}

#[tokio::test]
async fn devices_json_leaves_out_what_is_nowhere() {
    let simulation = Simulation::start(Home::demo(), Options::quiet()).await.unwrap();
    let json = simulation.devices_json();
    let entry = |name: &str| json.as_array().unwrap().iter().find(|e| e["name"] == name).unwrap();
    assert!(entry("Fridge")["ip"] == "127.0.0.1" && entry("Fridge")["port"].is_u64());
    assert!(entry("Garden sensor").get("ip").is_none(), "a sleeper");
    assert!(entry("Cellar sensor").get("ip").is_none() && entry("Cellar sensor")["node_id"].is_string());
    assert_eq!(entry("Cellar sensor")["parent"], entry("Zigbee gateway")["id"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("devices.json");
    simulation.write_devices_json(&file).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(read, json);
}

#[tokio::test]
async fn unknown_names_are_told() {
    let simulation = start("[[device]]\nname = \"Plug\"\nkind = \"plug\"").await;
    assert_eq!(simulation.journal("Plgu").unwrap_err().to_string(), "no virtual device is called \"Plgu\"");
    let error = simulation.press("Plug", Physical::Button(9)).await.unwrap_err();
    assert_eq!(error.to_string(), "a plug has no button 9");
    let points = simulation.points("Plug").await.unwrap();
    assert_eq!(points.value(DpId(1)), Some(&DpValue::Bool(true)));
}

/// The usual arrangement on Linux: an own address each, the port that every program expects.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn devices_have_their_own_addresses_and_move_to_others() {
    use landfall_sim::server::Addresses;
    // A network of this process alone, so that homes of other tests are not in the way.
    let [_, _, a, b] = std::process::id().to_be_bytes();
    let text = format!(
        "network = \"127.{}.{}.254\"\n{}{}",
        100 + a % 100,
        b,
        "[[device]]\nname = \"One\"\nkind = \"plug\"\nversion = \"3.4\"\n",
        "[[device]]\nname = \"Two\"\nkind = \"plug\"\nversion = \"3.3\"\n",
    );
    let options = Options { addresses: Addresses::Loopback, ..Options::quiet() };
    let simulation = Simulation::start(Home::parse(&text, "t").unwrap(), options).await.unwrap();
    let mut at: Vec<_> = simulation.devices().iter().map(|d| d.address.unwrap()).collect();
    simulation.fault("One", Fault::Move).await.unwrap();
    at.push(info(&simulation, "One").address.unwrap());
    assert!(at.iter().all(|at| at.port() == landfall_proto::lan::TCP_PORT), "{at:?}");
    assert_eq!(at.iter().map(|at| at.ip()).collect::<std::collections::HashSet<_>>().len(), 3, "{at:?}");
    for device in simulation.devices() {
        Client::connect(&device).await.query(None).await.unwrap();
    }
    let json = simulation.devices_json();
    assert!(json[0]["ip"] == at[2].ip().to_string() && json[0].get("port").is_none());
    simulation.shutdown().await;
}
