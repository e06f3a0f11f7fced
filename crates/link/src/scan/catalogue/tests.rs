use landfall_proto::id::LocalKey;

use super::*;

const HERE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 5);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 6);

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn beacon(name: &str, version: Version) -> Beacon {
    Beacon { ip: Some(HERE), ..Beacon::new(id(name), version) }
}

fn known(name: &str) -> Known {
    Known {
        id: id(name),
        name: Some(format!("the {name}")),
        key: Some(LocalKey::new("0123456789abcdef").unwrap()),
        version: None,
        address: None,
    }
}

fn at(ip: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((ip, 6668))
}

fn found(event: Option<ScanEvent>) -> Finding {
    match event {
        Some(ScanEvent::Found(f) | ScanEvent::Changed(f)) => f,
        other => panic!("{other:?}"),
    }
}

const ANONYMOUS: Probed = Probed { kind: Some(Kind::New), id: None, version: None };

#[test]
fn probes_of_one_device_become_one_finding() {
    let mut c = Catalogue::new(vec![known("a")], 6668, 8);
    let f = found(c.heard(Probe::Answer7000, HERE, &beacon("a", Version::V3_5)));
    assert_eq!(
        (f.seen_by, f.missing, f.version, f.name),
        (vec![Probe::Answer7000], vec![], Some(Version::V3_5), Some("the a".to_owned()))
    );
    assert_eq!(
        c.heard(Probe::Answer7000, HERE, &beacon("a", Version::V3_5)),
        Some(ScanEvent::Heard { id: id("a"), address: at(HERE) })
    );
    let f = found(c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_5)));
    assert_eq!(f.seen_by, [Probe::Beacon6667, Probe::Answer7000]);
    let f = found(c.probed(at(HERE), &ANONYMOUS));
    assert_eq!((f.seen_by.len(), f.id), (3, Some(id("a"))));
    let (all, left_out) = c.finish();
    assert_eq!((all.len(), left_out), (1, 0));
}

#[test]
fn a_nameless_finding_is_taken_over_by_the_beacon_from_its_address() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    let f = found(c.probed(at(HERE), &ANONYMOUS));
    assert_eq!((f.id, f.missing), (None, vec![Missing::Id, Missing::Key, Missing::Version]));
    assert!(!c.is_named(at(HERE)));
    let f = found(c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_4)));
    assert_eq!((f.missing, f.seen_by), (vec![Missing::Key], vec![Probe::Beacon6667, Probe::Tcp]));
    assert!(c.is_named(at(HERE)));
    assert_eq!(c.finish().0.len(), 1);
}

#[test]
fn a_key_names_a_nameless_finding_and_joins_it_with_what_was_heard_elsewhere() {
    let mut c = Catalogue::new(vec![known("a")], 6668, 8);
    c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_5));
    c.probed(at(THERE), &ANONYMOUS);
    let f = found(c.probed(
        at(THERE),
        &Probed { kind: Some(Kind::New), id: Some(id("a")), version: Some(Version::V3_5) },
    ));
    assert_eq!(f.address, Some(at(THERE)));
    assert_eq!(f.notes, [Note::SeveralAddresses { first: at(HERE), then: at(THERE) }]);
    assert_eq!(c.finish().0.len(), 1);
}

#[test]
fn the_source_is_believed_and_differences_are_noted() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    let f = found(c.heard(Probe::Beacon6666, THERE, &beacon("a", Version::V3_1)));
    assert_eq!(f.address, Some(at(THERE)));
    assert_eq!(f.notes, [Note::ClaimsOtherAddress { claimed: HERE, source: THERE.into() }]);
}

#[test]
fn a_forged_beacon_does_not_lower_a_version() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_4));
    let f = found(c.heard(Probe::Beacon6666, HERE, &beacon("a", Version::V3_1)));
    assert_eq!(f.version, Some(Version::V3_4));
    assert_eq!(f.notes, [Note::SeveralVersions { kept: Version::V3_4, other: Version::V3_1 }]);
}

#[test]
fn the_book_is_compared() {
    let mut book = known("a");
    book.version = Some(Version::V3_3);
    book.address = Some(at(THERE));
    book.key = None;
    let mut c = Catalogue::new(vec![book], 6668, 8);
    let f = found(c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_4)));
    assert_eq!(f.missing, [Missing::Key]);
    assert_eq!(
        f.notes,
        [
            Note::BookVersion { book: Version::V3_3, announced: Version::V3_4 },
            Note::BookAddress { book: at(THERE), seen: at(HERE) }
        ]
    );
}

#[test]
fn devices_of_the_book_that_nothing_saw_come_last() {
    let mut sleeper = known("sleeper");
    sleeper.version = Some(Version::V3_3);
    let mut c = Catalogue::new(vec![sleeper, known("a")], 6668, 8);
    c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_3));
    assert!(c.has_seen(&id("a")) && !c.has_seen(&id("sleeper")));
    let (all, _) = c.finish();
    assert_eq!(all[1].id, Some(id("sleeper")));
    assert_eq!((&all[1].seen_by[..], &all[1].missing[..]), (&[][..], &[Missing::Address][..]));
}

#[test]
fn an_unusual_port_of_the_book_is_kept() {
    let mut book = known("a");
    book.address = Some("192.168.1.5:7001".parse().unwrap());
    let mut c = Catalogue::new(vec![book.clone()], 6668, 8);
    let f = found(c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_3)));
    assert_eq!((f.address, f.notes), (book.address, vec![]));
}

#[test]
fn a_port_proven_by_a_connection_survives_beacons() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_1));
    let port: SocketAddr = "192.168.1.5:7001".parse().unwrap();
    let named = Probed { kind: Some(Kind::Clear), id: Some(id("a")), version: Some(Version::V3_1) };
    assert_eq!(found(c.probed(port, &named)).address, Some(port));
    assert!(matches!(
        c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_1)),
        Some(ScanEvent::Heard { address, .. }) if address == port
    ));
}

#[test]
fn two_devices_at_one_address_stay_two() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_3));
    let f = found(c.heard(Probe::Beacon6667, HERE, &beacon("b", Version::V3_3)));
    assert_eq!(f.notes, [Note::SharedAddress { other: id("a") }]);
    assert_eq!(c.finish().0.len(), 2);
}

#[test]
fn strangers_are_bounded_and_the_book_always_has_room() {
    let mut c = Catalogue::new(vec![known("mine")], 6668, 2);
    for n in 0..10 {
        c.heard(Probe::Beacon6667, HERE, &beacon(&format!("x{n}"), Version::V3_3));
    }
    assert!(c.heard(Probe::Beacon6667, THERE, &beacon("mine", Version::V3_3)).is_some());
    let (all, left_out) = c.finish();
    assert_eq!((all.len(), left_out), (3, 8));
}

#[test]
fn pairing_mode_and_unknown_versions_are_noted() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    let mut b = beacon("a", Version::V3_5);
    (b.version, b.version_text, b.active) = (None, Some("4.0".to_owned()), Some(0));
    let f = found(c.heard(Probe::Beacon6667, HERE, &b));
    assert_eq!(f.notes, [Note::UnknownVersion("4.0".to_owned()), Note::NotPaired]);
    assert_eq!(f.missing, [Missing::Key, Missing::Version]);
}

#[test]
fn keys_tried_are_counted_on_nameless_findings_only() {
    let mut c = Catalogue::new(vec![], 6668, 8);
    c.probed(at(HERE), &ANONYMOUS);
    assert_eq!(found(c.keys_failed(at(HERE), 2)).notes, [Note::KeysTried(2)]);
    assert_eq!(found(c.keys_failed(at(HERE), 3)).notes, [Note::KeysTried(3)]);
    assert_eq!(c.keys_failed(at(HERE), 3), None);
    c.heard(Probe::Beacon6667, HERE, &beacon("a", Version::V3_3));
    assert_eq!(c.keys_failed(at(HERE), 4), None);
}
