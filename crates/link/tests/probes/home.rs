//! Scanner, detection and diagnosis against the virtual devices of landfall-sim, on the loopback network as demo and
//! users run them (other ports, though: tests share a machine).
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::time::Duration;

use landfall_link::detect::{DetectOptions, Detector, Subject};
use landfall_link::diagnose::{DiagnoseOptions, Patient, Verdict, diagnose};
use landfall_link::scan::{Interface, Known, Ports, Probe, ScanEvent, ScanOptions, scan};
use landfall_proto::lan::Version;
use landfall_sim::faults::Fault;
use landfall_sim::server::{Addresses, DeviceInfo, Discovery};
use landfall_sim::{Home, Options, Simulation};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// A home whose devices have free ports on addresses of their own.
fn home(net: u8, devices: &[(&str, &str, &str)]) -> Home {
    let mut text = format!("name = \"test\"\nseed = {net}\n");
    for (n, (name, version, more)) in devices.iter().enumerate() {
        text.push_str(&format!(
            "[[device]]\nname = \"{name}\"\nkind = \"{}\"\nversion = \"{version}\"\naddress = \"127.35.{net}.{}:0\"\n{more}\n",
            if *version == "3.1" { "plug-old" } else { "plug" },
            n + 1,
        ));
    }
    Home::parse(&text, "test.toml").unwrap()
}

/// Ports for one test: devices announce to our own address, so that other tests hear nothing of it.
fn ports(ours: Ipv4Addr) -> (Ports, Discovery) {
    let free = |ip| StdUdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port();
    let ask = free(Ipv4Addr::new(127, 255, 255, 255));
    let (clear, encrypted) = (free(ours), free(ours));
    (
        Ports { clear: Some(clear), encrypted: Some(encrypted), answer: Some(ask), ask, tcp: 6668 },
        Discovery { target: Some(ours), clear, encrypted, ask },
    )
}

fn options(ours: Ipv4Addr, ports: Ports) -> ScanOptions {
    let broadcast = Some(Ipv4Addr::new(127, 255, 255, 255));
    ScanOptions {
        duration: Some(PATIENCE),
        ports,
        listen: ours,
        interfaces: Some(vec![Interface { name: "lo".to_owned(), address: ours, broadcast }]),
        ask_every: Duration::from_millis(1100),
        ..ScanOptions::default()
    }
}

async fn start(home: Home, discovery: Discovery) -> Simulation {
    let options = Options {
        addresses: Addresses::Loopback,
        discovery: Some(discovery),
        entropy_seed: Some(1),
        ..Options::default()
    };
    Simulation::start(home, options).await.unwrap()
}

fn known(d: &DeviceInfo) -> Known {
    Known {
        id: d.id.clone(),
        name: Some(d.name.clone()),
        key: Some(d.key.clone()),
        version: None,
        address: d.address.map(SocketAddr::V4),
    }
}

fn patient(d: &DeviceInfo) -> Patient {
    Patient {
        id: d.id.clone(),
        name: Some(d.name.clone()),
        cid: None,
        key: Some(d.key.clone()),
        version: Some(d.version),
        address: d.address.map(SocketAddr::V4),
        sleeps: false,
        device22: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_found_detected_and_healthy() {
    let ours = Ipv4Addr::new(127, 35, 1, 200);
    let (ports, discovery) = ports(ours);
    let silent = "[device.habits]\nsilent = true";
    let loud = "[device.habits]\nsilent = false";
    let sim = start(
        home(
            1,
            &[
                ("old", "3.1", ""),
                ("three", "3.3", ""),
                ("four", "3.4", ""),
                ("five", "3.5", loud),
                ("mute", "3.5", silent),
            ],
        ),
        discovery,
    )
    .await;
    assert!(sim.warnings().is_empty(), "{:?}", sim.warnings());
    let devices = sim.devices();
    let mut scan_options = options(ours, ports);
    scan_options.known = devices.iter().map(known).collect();
    let (all, wanted) = (Notify::new(), devices.len());
    let mut found = 0;
    let summary = scan(scan_options, all.notified(), |event| {
        if matches!(event, ScanEvent::Found(_)) {
            found += 1;
            if found == wanted {
                all.notify_one();
            }
        }
    })
    .await;
    assert!(summary.problems.is_empty(), "{:?}", summary.problems);
    for d in &devices {
        let f = summary.findings.iter().find(|f| f.id.as_ref() == Some(&d.id)).expect("found");
        assert_eq!((f.version, f.address), (Some(d.version), d.address.map(SocketAddr::V4)), "{}", d.name);
        assert!(f.missing.is_empty(), "{}: {:?}", d.name, f.missing);
        if d.name == "mute" {
            assert_eq!(f.seen_by, [Probe::Answer7000]);
        }
    }
    let detector = Detector::new(DetectOptions {
        connect: PATIENCE,
        answer: Duration::from_secs(2),
        pause: Duration::from_millis(1),
        remember: PATIENCE,
    });
    for d in &devices {
        let subject = Subject {
            id: d.id.clone(),
            address: SocketAddr::V4(d.address.unwrap()),
            key: d.key.clone(),
            chosen: None,
            beacon: None,
            proven: None,
        };
        let detection = timeout(PATIENCE, detector.detect(&subject)).await.expect("in time").unwrap();
        assert_eq!(detection.version, d.version, "{}: {:?}", d.name, detection.trail);
    }
    // The others are in the tests of the diagnosis; this one is heard only by asking.
    for d in devices.iter().filter(|d| d.name == "mute") {
        let examination = DiagnoseOptions {
            scan: options(ours, ports),
            pause: Duration::from_millis(1),
            ..DiagnoseOptions::default()
        };
        let diagnosis = diagnose(&patient(d), examination, |_| {}).await;
        assert_eq!(diagnosis.verdict, Verdict::Healthy, "{}: {diagnosis:#?}", d.name);
    }
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_device_and_one_held_by_another_client() {
    let ours = Ipv4Addr::new(127, 35, 2, 200);
    let (ports, discovery) = ports(ours);
    let one_client = "clients = 1\n[device.habits]\nquiet = \"any\"\nsilent = false";
    let sim = start(home(2, &[("wedged", "3.4", ""), ("held", "3.4", one_client)]), discovery).await;
    let devices = sim.devices();
    let named = |name: &str| devices.iter().find(|d| d.name == name).unwrap();
    let examine = |name: &str, listen: Duration| {
        let examination = DiagnoseOptions {
            scan: ScanOptions { duration: Some(listen), ..options(ours, ports) },
            pause: Duration::from_millis(1),
            ..DiagnoseOptions::default()
        };
        let patient = patient(named(name));
        async move { diagnose(&patient, examination, |_| {}).await }
    };
    sim.fault("wedged", Fault::Wedge).await.unwrap();
    let diagnosis = examine("wedged", PATIENCE).await;
    assert_eq!(diagnosis.verdict, Verdict::Wedged, "{diagnosis:#?}");

    let holder = TcpStream::connect(named("held").address.unwrap()).await.unwrap();
    let diagnosis = examine("held", Duration::from_millis(500)).await;
    assert_eq!(diagnosis.verdict, Verdict::AnotherClientHoldsTheSession, "{diagnosis:#?}");
    drop(holder);
    assert_eq!(named("held").version, Version::V3_4);
    sim.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_device_that_its_gateway_does_not_reach() {
    let text = r#"
[[device]]
name = "gateway"
kind = "gateway"
version = "3.4"
address = "127.35.3.1:0"
[[device.child]]
name = "there"
kind = "plug"
[[device.child]]
name = "away"
kind = "plug"
online = false
"#;
    let sim = Simulation::start(Home::parse(text, "test.toml").unwrap(), Options::quiet()).await.unwrap();
    let devices = sim.devices();
    let no_ports = Ports { clear: None, encrypted: None, answer: None, ..Ports::default() };
    let scan = ScanOptions { ports: no_ports, ..ScanOptions::default() };
    for (name, verdict) in [("there", Verdict::Healthy), ("away", Verdict::CutOff)] {
        let child = devices.iter().find(|d| d.name == name).unwrap();
        let (_, cid) = child.parent.clone().unwrap();
        let patient = Patient { name: Some(name.to_owned()), cid: Some(cid), ..patient(&devices[0]) };
        let options = DiagnoseOptions { scan: scan.clone(), ..DiagnoseOptions::default() };
        let diagnosis = diagnose(&patient, options, |_| {}).await;
        assert_eq!(diagnosis.verdict, verdict, "{diagnosis:#?}");
    }
    sim.shutdown().await;
}
