//! Version detection over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use landfall_link::detect::{Basis, DetectError, DetectOptions, Detector, Subject};
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceConfig, DeviceError};

use crate::fake::{Fake, Habit, device, id, key, other_key};

const NAME: &str = "bf0123456789abcdefdet1";

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 32, 1, last)
}

/// Generous where a device answers; `silent` where waiting for nothing is the point.
fn detector(answer: Duration) -> Detector {
    Detector::new(DetectOptions {
        connect: Duration::from_secs(10),
        answer,
        pause: Duration::from_millis(1),
        remember: Duration::from_secs(60),
    })
}

fn patient() -> Detector {
    detector(Duration::from_secs(10))
}

fn hasty() -> Detector {
    detector(Duration::from_millis(150))
}

fn subject(address: SocketAddr) -> Subject {
    Subject { id: id(NAME), address, key: key(), chosen: None, beacon: None, proven: None }
}

#[tokio::test]
async fn every_version_is_told() {
    for (n, version) in [Version::V3_1, Version::V3_3, Version::V3_4, Version::V3_5].into_iter().enumerate() {
        let fake = Fake::start(ip(10 + n as u8), device(NAME, version)).await;
        let found = patient().detect(&subject(fake.address)).await.unwrap();
        assert_eq!(
            (found.version, found.basis, found.needs_device22),
            (version, Basis::Probed, false),
            "{found:?}"
        );
        assert_eq!(found.trail.len(), fake.connections());
        assert!(fake.connections() <= 3, "{version}: {found:?}");
    }
}

#[tokio::test]
async fn firmware_that_writes_errors_in_clear_is_no_3_1() {
    let mut config = DeviceConfig::new(id(NAME), key(), Version::V3_3);
    config.clear_errors = true;
    let fake = Fake::start(ip(20), Habit::Device(config.clone())).await;
    assert_eq!(patient().detect(&subject(fake.address)).await.unwrap().version, Version::V3_3);
    let mut wrong = subject(fake.address);
    wrong.key = other_key();
    assert!(matches!(
        patient().detect(&wrong).await,
        Err(DetectError::WrongKey { speaks: "3.2 or 3.3", .. })
    ));
}

#[tokio::test]
async fn device22_is_a_hint() {
    for (n, version) in [Version::V3_2, Version::V3_3].into_iter().enumerate() {
        let config = DeviceConfig::new(id(NAME), key(), version);
        let habit = Habit::Refuses(config, DeviceError::DataUnvalid);
        let fake = Fake::start(ip(25 + n as u8), habit).await;
        let found = patient().detect(&subject(fake.address)).await.unwrap();
        assert_eq!((found.version, found.needs_device22), (Version::V3_3, true), "{found:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_named_where_the_protocol_allows() {
    let fake = Fake::start(ip(30), device(NAME, Version::V3_3)).await;
    let mut wrong = subject(fake.address);
    wrong.key = other_key();
    let error = patient().detect(&wrong).await.unwrap_err();
    assert_eq!(error, DetectError::WrongKey { id: id(NAME), speaks: "3.2 or 3.3" });
    assert!(!error.to_string().contains("0123456789abcdef\""));
    assert_eq!(fake.connections(), 1);

    // 3.4 and 3.5 only fall silent or close (lan.md 4.5).
    for (n, version) in [Version::V3_4, Version::V3_5].into_iter().enumerate() {
        let fake = Fake::start(ip(31 + n as u8), device(NAME, version)).await;
        wrong.address = fake.address;
        let error = hasty().detect(&wrong).await.unwrap_err();
        assert!(matches!(error, DetectError::Unclear { .. }), "{version}: {error}");
        assert!(fake.connections() <= 5);
    }
}

#[tokio::test]
async fn what_is_no_device_is_told() {
    let fake = Fake::start(ip(40), Habit::Http).await;
    let error = patient().detect(&subject(fake.address)).await.unwrap_err();
    assert_eq!(error, DetectError::NotTuya { address: fake.address });

    let closed = Fake::start(ip(41), Habit::ClosesAtOnce).await;
    let error = patient().detect(&subject(closed.address)).await.unwrap_err();
    assert_eq!(error, DetectError::Busy { address: closed.address });
    assert_eq!(closed.connections(), 5);

    let on_data = Fake::start(ip(42), Habit::ClosesOnData).await;
    let error = hasty().detect(&subject(on_data.address)).await.unwrap_err();
    assert_eq!(error, DetectError::Unclear { address: on_data.address });

    let silent = Fake::start(ip(43), Habit::Silent).await;
    let error = hasty().detect(&subject(silent.address)).await.unwrap_err();
    assert_eq!(error, DetectError::Unclear { address: silent.address });
    assert_eq!(silent.connections(), 4);

    // Nobody listens on this port any more.
    let free = std::net::TcpListener::bind((ip(44), 0)).unwrap().local_addr().unwrap();
    let error = patient().detect(&subject(free)).await.unwrap_err();
    assert!(matches!(error, DetectError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn an_older_answer_never_lowers_a_version() {
    let fake = Fake::start(ip(50), device(NAME, Version::V3_1)).await;
    let mut lowered = subject(fake.address);
    lowered.proven = Some(Version::V3_3);
    let error = patient().detect(&lowered).await.unwrap_err();
    assert!(
        matches!(error, DetectError::Downgrade { seen: Version::V3_1, proven: Version::V3_3, .. }),
        "{error}"
    );
    // A forged beacon does not either, and nobody is asked.
    lowered.beacon = Some(Version::V3_1);
    let connections = fake.connections();
    let found = patient().detect(&lowered).await.unwrap();
    assert_eq!((found.version, found.basis), (Version::V3_3, Basis::Proven));
    // The owner may.
    lowered.chosen = Some(Version::V3_1);
    let found = patient().detect(&lowered).await.unwrap();
    assert_eq!((found.version, found.basis), (Version::V3_1, Basis::Chosen));
    assert_eq!(fake.connections(), connections);
}

#[tokio::test]
async fn the_device_is_believed_before_it_is_probed() {
    let mut believed = subject("127.0.0.1:1".parse().unwrap());
    believed.beacon = Some(Version::V3_4);
    let found = patient().detect(&believed).await.unwrap();
    assert_eq!((found.version, found.basis), (Version::V3_4, Basis::Beacon));
}

#[tokio::test]
async fn callers_share_one_detection() {
    let fake = Fake::start(ip(60), device(NAME, Version::V3_5)).await;
    let detector = patient();
    let s = subject(fake.address);
    let (a, b, c) = tokio::join!(detector.detect(&s), detector.detect(&s), detector.detect(&s));
    assert_eq!(a.as_ref().unwrap().version, Version::V3_5);
    assert_eq!((&a, &b), (&b, &c));
    assert_eq!(fake.connections(), a.unwrap().trail.len());
    // Another key is another question.
    let before = fake.connections();
    let mut changed = s.clone();
    changed.key = other_key();
    let hasty = hasty();
    assert!(hasty.detect(&changed).await.is_err());
    assert!(fake.connections() > before);
}

#[tokio::test]
async fn a_device_that_comes_back_is_asked_again() {
    let address = std::net::TcpListener::bind((ip(70), 0)).unwrap().local_addr().unwrap();
    let detector = patient();
    let gone = detector.detect(&subject(address)).await.unwrap_err();
    assert!(matches!(gone, DetectError::Unreachable { .. }), "{gone}");
    let _fake = Fake::start_at(address, device(NAME, Version::V3_4)).await;
    assert_eq!(detector.detect(&subject(address)).await.unwrap().version, Version::V3_4);
}
