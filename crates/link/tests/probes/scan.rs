//! The scanner over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use landfall_link::entropy::OsEntropy;
use landfall_link::scan::{
    Interface, Kind, Known, Missing, Note, Ports, Probe, ProbeMemory, ScanEvent, ScanOptions, ScanProblem,
    Summary, Target, scan,
};
use landfall_proto::id::LocalKey;
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::{self, Beacon, Datagram};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fake::{Fake, Habit, device, id, key, other_key};

const PATIENCE: Duration = Duration::from_secs(20);

/// A scan in the background.
struct Running {
    events: mpsc::Receiver<ScanEvent>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Summary>,
}

impl Running {
    fn start(options: ScanOptions) -> Self {
        let (to, events) = mpsc::channel(1024);
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let on_event = move |e: &ScanEvent| {
            // Dropped events would be a fault of the test; a test that is over hears nothing more.
            match to.try_send(e.clone()) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(e)) => panic!("nobody took {e:?}"),
            }
        };
        Self { events, stop, task: tokio::spawn(scan(options, stopped, on_event)) }
    }

    async fn event(&mut self) -> ScanEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("a running scan")
    }

    /// Where it listens for this.
    async fn listening(&mut self, wanted: Probe) -> SocketAddr {
        loop {
            if let ScanEvent::Listening { probe, address } = self.event().await
                && probe == wanted
            {
                return address;
            }
        }
    }

    async fn stop(self) -> Summary {
        let _ = self.stop.send(());
        timeout(PATIENCE, self.task).await.expect("a scan that ends").unwrap()
    }

    async fn end(self) -> Summary {
        timeout(PATIENCE, self.task).await.expect("a scan that ends").unwrap()
    }
}

fn silent_ports() -> Ports {
    Ports { clear: None, encrypted: None, answer: None, ask: 1, tcp: 1 }
}

fn known(name: &str, key: LocalKey) -> Known {
    Known { id: id(name), name: Some(name.to_uppercase()), key: Some(key), version: None, address: None }
}

fn probing(addresses: &[SocketAddr], known: Vec<Known>) -> ScanOptions {
    ScanOptions {
        duration: Some(Duration::ZERO),
        ports: silent_ports(),
        probe: addresses.iter().map(|a| a.to_string().parse::<Target>().unwrap()).collect(),
        probe_timeout: Duration::from_secs(10),
        answer_timeout: Duration::from_millis(300),
        pause: Duration::from_millis(1),
        known,
        ..ScanOptions::default()
    }
}

#[tokio::test]
async fn beacons_of_every_version_are_heard() {
    let listen = Ipv4Addr::new(127, 33, 1, 1);
    let mut running = Running::start(ScanOptions {
        duration: None,
        ports: Ports { clear: Some(0), encrypted: Some(0), ..silent_ports() },
        listen,
        known: vec![known("v3.5", key())],
        ..ScanOptions::default()
    });
    let clear = running.listening(Probe::Beacon6666).await;
    let encrypted = running.listening(Probe::Beacon6667).await;
    assert_eq!((clear.ip(), encrypted.ip()), (listen.into(), listen.into()));
    for (n, version) in Version::ALL.into_iter().enumerate() {
        let ip = Ipv4Addr::new(127, 33, 1, 10 + n as u8);
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        let name = format!("v{version}");
        let mut beacon = Beacon::new(id(&name), version);
        // A device behind another address: its source is believed.
        beacon.ip = Some(Ipv4Addr::new(192, 168, 7, 7));
        let bytes = discovery::announce(&beacon, version, &mut OsEntropy::new());
        let (to, probe) = match version {
            Version::V3_1 => (clear, Probe::Beacon6666),
            _ => (encrypted, Probe::Beacon6667),
        };
        socket.send_to(&bytes, to).await.unwrap();
        let ScanEvent::Found(f) = running.event().await else { panic!("{version}") };
        assert_eq!((f.id, f.version), (Some(id(&name)), Some(version)));
        assert_eq!(f.address, Some(SocketAddr::from((ip, 1))));
        assert_eq!(f.seen_by, [probe]);
        let is_mine = version == Version::V3_5;
        assert_eq!((f.known, f.missing.is_empty()), (is_mine, is_mine));
        assert!(matches!(f.notes[..], [Note::ClaimsOtherAddress { .. }]));
        // Again: nothing new.
        socket.send_to(&bytes, to).await.unwrap();
        assert!(matches!(running.event().await, ScanEvent::Heard { .. }));
    }
    // Noise and other clients' questions do not matter, but are counted.
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 33, 1, 20), 0)).await.unwrap();
    socket.send_to(b"hello", encrypted).await.unwrap();
    let whole =
        discovery::announce(&Beacon::new(id("x"), Version::V3_3), Version::V3_3, &mut OsEntropy::new());
    socket.send_to(&whole[..whole.len() - 9], encrypted).await.unwrap();
    let mut damaged = whole.clone();
    damaged[30] ^= 1;
    socket.send_to(&damaged, encrypted).await.unwrap();
    socket.send_to(&[0; 3000], encrypted).await.unwrap();
    let question = discovery::ask(Ipv4Addr::new(192, 168, 1, 9), &mut OsEntropy::new());
    socket.send_to(&question, encrypted).await.unwrap();
    // Datagrams of one socket stay in order here, so this one is the last to be seen.
    socket.send_to(&whole, encrypted).await.unwrap();
    assert!(matches!(running.event().await, ScanEvent::Found(_)));
    let summary = running.stop().await;
    assert_eq!(summary.asks_ignored, 1);
    let malformed: Vec<_> = summary.malformed.iter().map(|(cause, n)| (*cause, *n)).collect();
    assert_eq!(
        malformed,
        [("crc mismatch", 1), ("not a discovery datagram", 1), ("too long", 1), ("truncated", 1)]
    );
    assert_eq!(summary.findings.len(), 6);
    assert!(summary.problems.is_empty(), "{:?}", summary.problems);
}

#[tokio::test]
async fn the_question_names_the_interface_and_the_answer_finds_it() {
    let ours = Ipv4Addr::new(127, 33, 2, 1);
    let device = UdpSocket::bind((Ipv4Addr::new(127, 33, 2, 9), 0)).await.unwrap();
    let there = device.local_addr().unwrap();
    let mut running = Running::start(ScanOptions {
        duration: None,
        ports: Ports { answer: Some(0), ask: there.port(), ..silent_ports() },
        interfaces: Some(vec![Interface {
            name: "test0".to_owned(),
            address: ours,
            broadcast: Some(Ipv4Addr::new(127, 33, 2, 9)),
        }]),
        ask_every: Duration::from_millis(20),
        ..ScanOptions::default()
    });
    let mut buffer = [0; 1024];
    // The question is repeated.
    for _ in 0..3 {
        let (n, from) = timeout(PATIENCE, device.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(discovery::parse(&buffer[..n]), Ok(Datagram::Ask { ip: ours }));
        let mut beacon = Beacon::new(id("silent35"), Version::V3_5);
        beacon.ip = Some(Ipv4Addr::new(127, 33, 2, 9));
        let answer = discovery::announce(&beacon, Version::V3_5, &mut OsEntropy::new());
        device.send_to(&answer, (ours, from.port())).await.unwrap();
    }
    running.listening(Probe::Answer7000).await;
    let ScanEvent::Found(f) = running.event().await else { panic!("found") };
    assert_eq!(
        (f.id, f.seen_by, f.version),
        (Some(id("silent35")), vec![Probe::Answer7000], Some(Version::V3_5))
    );
    let summary = running.stop().await;
    assert!(summary.asks_sent >= 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_question_is_broadcast_on_loopback() {
    let broadcast = Ipv4Addr::new(127, 255, 255, 255);
    let device = UdpSocket::bind((broadcast, 0)).await.unwrap();
    let running = Running::start(ScanOptions {
        duration: None,
        ports: Ports { answer: Some(0), ask: device.local_addr().unwrap().port(), ..silent_ports() },
        interfaces: Some(vec![Interface {
            name: "lo".to_owned(),
            address: Ipv4Addr::new(127, 33, 3, 1),
            broadcast: Some(broadcast),
        }]),
        ..ScanOptions::default()
    });
    let mut buffer = [0; 1024];
    let (n, _) = timeout(PATIENCE, device.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(discovery::parse(&buffer[..n]), Ok(Datagram::Ask { ip: Ipv4Addr::new(127, 33, 3, 1) }));
    assert!(running.stop().await.problems.is_empty());
}

#[tokio::test]
async fn a_port_held_by_another_program_is_a_problem_and_the_scan_goes_on() {
    let listen = Ipv4Addr::new(127, 33, 4, 1);
    let held = std::net::UdpSocket::bind((listen, 0)).unwrap();
    let mut running = Running::start(ScanOptions {
        duration: None,
        ports: Ports { clear: Some(held.local_addr().unwrap().port()), encrypted: Some(0), ..silent_ports() },
        listen,
        ..ScanOptions::default()
    });
    let to = running.listening(Probe::Beacon6667).await;
    let bytes =
        discovery::announce(&Beacon::new(id("a"), Version::V3_4), Version::V3_4, &mut OsEntropy::new());
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 33, 4, 2), 0)).await.unwrap();
    socket.send_to(&bytes, to).await.unwrap();
    assert!(matches!(running.event().await, ScanEvent::Found(_)));
    let summary = running.stop().await;
    let [problem @ ScanProblem::Listen { .. }] = &summary.problems[..] else { panic!("{summary:?}") };
    assert!(problem.to_string().contains(&held.local_addr().unwrap().to_string()), "{problem}");
    assert!(problem.next_step().contains("another program"), "{}", problem.next_step());
}

#[tokio::test]
async fn another_program_may_hold_the_port_if_it_shares_it() {
    let listen = Ipv4Addr::new(127, 33, 5, 1);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((listen, 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let mut running = Running::start(ScanOptions {
        duration: None,
        ports: Ports { encrypted: Some(port), ..silent_ports() },
        listen,
        ..ScanOptions::default()
    });
    assert_eq!(running.listening(Probe::Beacon6667).await.port(), port);
    assert!(running.stop().await.problems.is_empty());
}

#[tokio::test]
async fn probes_tell_the_framing_without_keys() {
    let ip = |n| Ipv4Addr::new(127, 33, 6, n);
    let fakes = [
        (Fake::start(ip(1), device("v31", Version::V3_1)).await, Kind::Clear),
        (Fake::start(ip(3), device("v33", Version::V3_3)).await, Kind::Old),
        (Fake::start(ip(4), device("v34", Version::V3_4)).await, Kind::New),
        (Fake::start(ip(5), device("v35", Version::V3_5)).await, Kind::New),
        (Fake::start(ip(6), Habit::Silent).await, Kind::New),
    ];
    let http = Fake::start(ip(7), Habit::Http).await;
    let nobody = std::net::TcpListener::bind((ip(8), 0)).unwrap().local_addr().unwrap();
    let mut targets: Vec<SocketAddr> = fakes.iter().map(|(f, _)| f.address).collect();
    targets.extend([http.address, nobody, nobody]);
    let summary = Running::start(probing(&targets, vec![])).end().await;
    for (fake, kind) in &fakes {
        let f = summary.findings.iter().find(|f| f.address == Some(fake.address)).expect("a finding");
        assert_eq!((f.kind, &f.seen_by[..]), (Some(*kind), &[Probe::Tcp][..]));
        assert!(f.missing.contains(&Missing::Key));
        // One connection is all that a device without a key gets.
        assert_eq!(fake.connections(), 1);
    }
    // 3.1 says its name itself.
    let v31 = &summary.findings.iter().find(|f| f.kind == Some(Kind::Clear)).unwrap();
    assert_eq!((&v31.id, v31.version), (&Some(id("v31")), Some(Version::V3_1)));
    assert_eq!(summary.findings.len(), 5);
    assert_eq!(summary.not_tuya, [http.address]);
    // The same target twice is one target.
    assert_eq!((summary.probed, summary.probed_without_answer), (7, 1));
}

#[tokio::test]
async fn keys_of_the_book_name_silent_devices() {
    let ip = |n| Ipv4Addr::new(127, 33, 7, n);
    for (n, version) in [Version::V3_3, Version::V3_4, Version::V3_5].into_iter().enumerate() {
        let fake = Fake::start(ip(1 + n as u8), device("mine", version)).await;
        let mut options = probing(&[fake.address], vec![known("mine", key())]);
        // It answers at once; the time is for a busy machine.
        options.answer_timeout = Duration::from_secs(if version == Version::V3_3 { 10 } else { 1 });
        let summary = Running::start(options).end().await;
        let [f] = &summary.findings[..] else { panic!("{version}: {summary:?}") };
        assert_eq!((&f.id, f.version, f.known), (&Some(id("mine")), Some(version), true), "{summary:?}");
        assert_eq!((&f.missing[..], summary.key_tries_left), (&[][..], 0));
    }
}

#[tokio::test]
async fn a_device_is_tried_with_one_key_a_minute_only() {
    let fake = Fake::start(Ipv4Addr::new(127, 33, 8, 1), Habit::ClosesOnData).await;
    let book = vec![known("one", other_key()), known("two", key()), known("three", key())];
    let memory = ProbeMemory::default();
    let options = ScanOptions { memory: memory.clone(), ..probing(&[fake.address], book) };
    let summary = Running::start(options.clone()).end().await;
    // The clear query, and one key as 3.5 and as 3.4.
    assert_eq!(fake.connections(), 3);
    assert_eq!(summary.key_tries_left, 2);
    let nameless = summary.findings.iter().find(|f| f.id.is_none()).expect("a nameless finding");
    assert_eq!(nameless.notes, [Note::KeysTried(1)]);
    assert_eq!(nameless.missing, [Missing::Id, Missing::Key, Missing::Version]);
    // The next scan remembers.
    let summary = Running::start(options).end().await;
    assert_eq!((fake.connections(), summary.key_tries_left), (4, 2));
}

#[tokio::test]
async fn a_key_that_does_not_fit_an_old_device_costs_no_connection() {
    let fake = Fake::start(Ipv4Addr::new(127, 33, 9, 1), device("foreign", Version::V3_3)).await;
    let book = (0..40).map(|n| known(&format!("d{n}"), other_key())).collect();
    let mut options = probing(&[fake.address], book);
    options.answer_timeout = Duration::from_secs(10);
    let summary = Running::start(options).end().await;
    let nameless = summary.findings.iter().find(|f| f.id.is_none()).expect("a nameless finding");
    assert_eq!(nameless.notes, [Note::KeysTried(40)]);
    assert_eq!(fake.connections(), 1);
}
