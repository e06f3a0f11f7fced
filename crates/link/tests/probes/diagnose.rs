//! Diagnosis over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use landfall_link::diagnose::{DiagnoseOptions, Diagnosis, Patient, Progress, Verdict, diagnose};
use landfall_link::entropy::OsEntropy;
use landfall_link::scan::{Interface, Ports, ScanOptions};
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::{self, Beacon};
use tokio::net::UdpSocket;

use crate::fake::{Fake, Habit, device, id, key, other_key};

const NAME: &str = "bf0123456789abcdefdia1";

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 34, 1, last)
}

fn patient(address: Option<SocketAddr>, version: Option<Version>) -> Patient {
    Patient {
        id: id(NAME),
        name: Some("plug".to_owned()),
        cid: None,
        key: Some(key()),
        version,
        address,
        sleeps: false,
        device22: false,
    }
}

/// Announces a device by answering questions, so that nothing has to be timed.
struct Announcer {
    options: DiagnoseOptions,
    task: tokio::task::JoinHandle<()>,
}

impl Announcer {
    /// `announced: None`: asked, but the device does not answer.
    async fn start(
        from: Ipv4Addr,
        announced: Option<Version>,
        clients: Option<u32>,
        answer: Duration,
    ) -> Self {
        let socket = UdpSocket::bind((from, 0)).await.unwrap();
        let ask = socket.local_addr().unwrap().port();
        let ours = Ipv4Addr::new(127, 34, 2, from.octets()[3]);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok((_, asker)) = socket.recv_from(&mut buffer).await {
                let Some(version) = announced else { continue };
                let mut beacon = Beacon::new(id(NAME), version);
                beacon.clients = clients;
                let bytes = discovery::announce(&beacon, version, &mut OsEntropy::new());
                socket.send_to(&bytes, asker).await.unwrap();
            }
        });
        // Where somebody answers, listening ends with the answer; silence has to be waited for.
        let patience = if announced.is_some() { 20_000 } else { 100 };
        let scan = ScanOptions {
            duration: Some(Duration::from_millis(patience)),
            ports: Ports { clear: None, encrypted: None, answer: Some(0), ask, tcp: 6668 },
            interfaces: Some(vec![Interface {
                name: "test0".to_owned(),
                address: ours,
                broadcast: Some(from),
            }]),
            ..ScanOptions::default()
        };
        let connect = Duration::from_secs(10);
        let options = DiagnoseOptions { scan, connect, answer, pause: Duration::from_millis(1) };
        Self { options, task }
    }

    async fn diagnose(self, patient: &Patient) -> Diagnosis {
        let mut asked = 0;
        let diagnosis = diagnose(patient, self.options, |p| {
            if matches!(p, Progress::Asking { .. }) {
                asked += 1;
            }
        })
        .await;
        self.task.abort();
        assert!(asked <= 8);
        assert!(!diagnosis.evidence.is_empty() && !diagnosis.next_step.is_empty());
        diagnosis
    }
}

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn healthy_devices_of_every_version() {
    for (n, version) in Version::ALL.into_iter().enumerate() {
        let ip = ip(10 + n as u8);
        let fake = Fake::start(ip, device(NAME, version)).await;
        let announcer = Announcer::start(ip, Some(version), None, LONG).await;
        let diagnosis = announcer.diagnose(&patient(Some(fake.address), Some(version))).await;
        assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis:#?}");
        assert_eq!(fake.connections(), 1);
        assert!(diagnosis.evidence[0].starts_with("heard by answer on 7000 from"), "{diagnosis:#?}");
    }
}

#[tokio::test]
async fn a_wrong_key() {
    for (n, version) in [Version::V3_3, Version::V3_4, Version::V3_5].into_iter().enumerate() {
        let ip = ip(20 + n as u8);
        let fake = Fake::start(ip, device(NAME, version)).await;
        let announcer = Announcer::start(ip, Some(version), None, SHORT).await;
        let mut wrong = patient(Some(fake.address), Some(version));
        wrong.key = Some(other_key());
        let diagnosis = announcer.diagnose(&wrong).await;
        assert_eq!(diagnosis.verdict, Verdict::WrongKey, "{diagnosis:#?}");
        assert!(!format!("{diagnosis:?}").contains(other_key().expose_str()));
    }
}

#[tokio::test]
async fn a_wrong_version_with_the_right_one() {
    let right_ones = [
        (Version::V3_1, Version::V3_3, None),
        (Version::V3_3, Version::V3_1, None),
        (Version::V3_3, Version::V3_4, Some(Version::V3_4)),
        (Version::V3_4, Version::V3_5, None),
        (Version::V3_5, Version::V3_3, Some(Version::V3_3)),
    ];
    for (n, (book, right, announced)) in right_ones.into_iter().enumerate() {
        let ip = ip(30 + n as u8);
        let fake = Fake::start(ip, device(NAME, right)).await;
        let announcer = Announcer::start(ip, announced, None, Duration::from_secs(1)).await;
        let diagnosis = announcer.diagnose(&patient(Some(fake.address), Some(book))).await;
        assert_eq!(diagnosis.verdict, Verdict::WrongVersion { right: Some(right) }, "{diagnosis:#?}");
    }
}

#[tokio::test]
async fn nobody_free_to_serve_us() {
    for (n, (announced, clients, verdict)) in [
        (Some(Version::V3_4), Some(1), Verdict::AnotherClientHoldsTheSession),
        (None, None, Verdict::AnotherClientHoldsTheSession),
        (Some(Version::V3_4), None, Verdict::Wedged),
    ]
    .into_iter()
    .enumerate()
    {
        let ip = ip(40 + n as u8);
        let fake = Fake::start(ip, Habit::ClosesAtOnce).await;
        let announcer = Announcer::start(ip, announced, clients, LONG).await;
        let diagnosis = announcer.diagnose(&patient(Some(fake.address), Some(Version::V3_4))).await;
        assert_eq!(diagnosis.verdict, verdict, "{diagnosis:#?}");
        assert_eq!(fake.connections(), 3);
    }
}

#[tokio::test]
async fn closed_ports_and_absent_devices() {
    // Nobody listens here any more.
    let closed = std::net::TcpListener::bind((ip(50), 0)).unwrap().local_addr().unwrap();
    let announcer = Announcer::start(ip(50), Some(Version::V3_3), None, LONG).await;
    let diagnosis = announcer.diagnose(&patient(Some(closed), Some(Version::V3_3))).await;
    assert_eq!(diagnosis.verdict, Verdict::WaitsForItsCloud, "{diagnosis:#?}");

    let announcer = Announcer::start(ip(51), None, None, LONG).await;
    let diagnosis = announcer.diagnose(&patient(Some(closed), Some(Version::V3_3))).await;
    assert_eq!(diagnosis.verdict, Verdict::PortClosed, "{diagnosis:#?}");

    let announcer = Announcer::start(ip(52), None, None, LONG).await;
    let diagnosis = announcer.diagnose(&patient(None, Some(Version::V3_3))).await;
    assert_eq!(diagnosis.verdict, Verdict::NotOnThisNetwork, "{diagnosis:#?}");

    let announcer = Announcer::start(ip(53), None, None, LONG).await;
    let mut sleeper = patient(None, Some(Version::V3_3));
    sleeper.sleeps = true;
    let diagnosis = announcer.diagnose(&sleeper).await;
    assert_eq!(diagnosis.verdict, Verdict::Asleep, "{diagnosis:#?}");
}

#[tokio::test]
async fn the_address_it_speaks_from_is_used() {
    let ip = ip(60);
    let fake = Fake::start(ip, device(NAME, Version::V3_3)).await;
    let mut announcer = Announcer::start(ip, Some(Version::V3_3), None, LONG).await;
    // Datagrams don't tell the port.
    announcer.options.scan.ports.tcp = fake.address.port();
    let elsewhere = patient(Some("127.34.9.9:6668".parse().unwrap()), Some(Version::V3_3));
    let diagnosis = announcer.diagnose(&elsewhere).await;
    assert_eq!(diagnosis.verdict, Verdict::Healthy, "{diagnosis:#?}");
    assert!(diagnosis.evidence.iter().any(|l| l == "the book has it at 127.34.9.9:6668"), "{diagnosis:#?}");
}
