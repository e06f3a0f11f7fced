//! Announcements and answers over real datagrams, on ports that are free at the time.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic.

mod common;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use common::PATIENCE;
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::{self, Beacon, Datagram};
use landfall_sim::dice::Dice;
use landfall_sim::home::Home;
use landfall_sim::server::{Discovery, Options, Simulation};
use tokio::net::UdpSocket;
use tokio::time::timeout;

async fn socket() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// The next device heard, and the address that it spoke from.
async fn hear(socket: &UdpSocket) -> (Beacon, Ipv4Addr) {
    let mut buffer = [0; 2048];
    let (n, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    let Ok(Datagram::Beacon(beacon)) = discovery::parse(&buffer[..n]) else { panic!("{:?}", &buffer[..n]) };
    let std::net::IpAddr::V4(from) = from.ip() else { panic!() };
    (beacon, from)
}

#[tokio::test]
async fn every_version_makes_itself_known_in_its_own_way() {
    let (clear, clear_port) = socket().await;
    let (encrypted, encrypted_port) = socket().await;
    let (ask, ask_port) = socket().await;
    let mut text = String::new();
    for version in Version::ALL {
        text += &format!("[[device]]\nname = \"{version}\"\nkind = \"plug\"\nversion = \"{version}\"\n");
    }
    let discovery = Discovery {
        target: Some(Ipv4Addr::LOCALHOST),
        clear: clear_port,
        encrypted: encrypted_port,
        ask: ask_port,
    };
    let options = Options { discovery: Some(discovery), ..Options::quiet() };
    let simulation = Simulation::start(Home::parse(&text, "t").unwrap(), options).await.unwrap();
    let ids: BTreeMap<_, _> = simulation.devices().into_iter().map(|d| (d.id, d.version)).collect();

    let (first, from) = hear(&clear).await;
    assert_eq!((first.version, ids[&first.id]), (Some(Version::V3_1), Version::V3_1));
    assert_eq!(first.ip, Some(from), "datagrams come from the device's own address");
    let mut heard = BTreeMap::new();
    while heard.len() < 3 {
        let (beacon, _) = hear(&encrypted).await;
        assert_eq!(beacon.version, Some(ids[&beacon.id]));
        heard.insert(beacon.version, beacon);
    }
    assert!(!heard.contains_key(&Some(Version::V3_5)), "3.5 is silent until asked");

    if !cfg!(target_os = "linux") {
        return; // Only there the loopback interface has a broadcast address.
    }
    assert_eq!(simulation.warnings(), [] as [String; 0]);
    ask.set_broadcast(true).unwrap();
    let question = discovery::ask(Ipv4Addr::LOCALHOST, &mut Dice::new(1));
    let stranger = discovery::ask(Ipv4Addr::new(203, 0, 113, 7), &mut Dice::new(2));
    let all = SocketAddrV4::new(Ipv4Addr::new(127, 255, 255, 255), ask_port);
    ask.send_to(&stranger, all).await.unwrap();
    ask.send_to(b"noise", all).await.unwrap();
    ask.send_to(&question, all).await.unwrap();
    let (answer, from) = hear(&ask).await;
    assert_eq!((answer.version, ids[&answer.id]), (Some(Version::V3_5), Version::V3_5));
    assert_eq!(answer.ip, Some(from));
    simulation.shutdown().await;
}

#[tokio::test]
async fn a_port_that_cannot_be_had_is_told_and_the_home_goes_on() {
    // All addresses, and without leave to share.
    let held = std::net::UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let ask = held.local_addr().unwrap().port();
    let discovery = Discovery { target: Some(Ipv4Addr::LOCALHOST), clear: ask, encrypted: ask, ask };
    let options = Options { discovery: Some(discovery), ..Options::quiet() };
    let home = Home::parse("[[device]]\nname = \"Plug\"\nkind = \"plug\"\nversion = \"3.5\"", "t").unwrap();
    let simulation = Simulation::start(home, options).await.unwrap();
    let warning = simulation.warnings().join("; ");
    assert!(
        warning.contains(&format!(":{ask} (")) && warning.contains("can't be found by asking"),
        "{warning}"
    );
    let device = &simulation.devices()[0];
    common::Client::connect(device).await.query(None).await.unwrap();
}
