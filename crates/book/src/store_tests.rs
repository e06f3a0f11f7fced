use std::os::unix::fs::PermissionsExt;

use landfall_proto::id::{DeviceId, LocalKey};

use super::*;
use crate::device::Device;

fn plug() -> Device {
    let mut d = Device::new(DeviceId::new("bf01").unwrap(), "Kitchen / plug");
    d.key = Some(LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap());
    d
}

fn add(store: &FileStore, device: &Device) -> Result<Book, StoreError> {
    store.update(&mut |b| b.add(device.clone()).map(drop))
}

#[test]
fn a_change_is_kept_with_tight_permissions() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path().join("state/landfall"));
    assert_eq!(store.load().unwrap(), Book::new());
    assert!(!store.exists(), "reading makes nothing");
    add(&store, &plug()).unwrap();
    assert_eq!(store.load().unwrap().devices(), [plug()]);
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.place()), 0o600);
    assert_eq!(mode(store.place().parent().unwrap()), 0o700);
    let names: Vec<_> = fs::read_dir(store.place().parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "the book and its lock, nothing half-written: {names:?}");
}

#[test]
fn no_change_and_failed_changes_write_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    add(&store, &plug()).unwrap();
    // A file that is not rewritten keeps a mark that the writer would not make.
    let mut text = fs::read(store.place()).unwrap();
    text.push(b' ');
    fs::write(store.place(), &text).unwrap();
    store.update(&mut |_| Ok(())).unwrap();
    let refused = add(&store, &plug()).unwrap_err();
    assert!(matches!(refused, StoreError::Refused(BookError::Exists { .. })), "{refused}");
    assert_eq!(fs::read(store.place()).unwrap(), text);
}

#[test]
fn a_newer_book_is_refused_and_left_alone() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let text = r#"{"schema": 7, "devices": {"another": "form"}, "more": 1}"#;
    fs::write(store.place(), text).unwrap();
    for e in [store.load().unwrap_err(), add(&store, &plug()).unwrap_err()] {
        assert!(matches!(e, StoreError::Newer { found: 7, .. }), "{e}");
        assert!(e.to_string().contains("schema 7; this version of landfall knows schemas up to 4"));
    }
    assert_eq!(fs::read_to_string(store.place()).unwrap(), text);
}

#[test]
fn a_damaged_book_is_refused_and_its_text_not_repeated() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    for text in [
        r#"{"schema":1,"devices":[{"id":"bf01","name":"a","key":"SECRETSECRET"}]}"#,
        r#"{"schema":1,"devices":[{"id":"bf01","name":"a","port":"SECRETSECRET"}]}"#,
        r#"{"schema":1,"devices":[{"id":"SECRETSECRET","na"#,
        "SECRETSECRET",
    ] {
        fs::write(store.place(), text).unwrap();
        let e = add(&store, &plug()).unwrap_err();
        assert!(matches!(e, StoreError::Damaged { line: 1, .. }), "{e:?}");
        assert!(!format!("{e} {e:?}").contains("SECRET"));
        assert_eq!(fs::read_to_string(store.place()).unwrap(), text);
    }
    fs::write(store.place(), r#"{"schema":1,"devices":[{"id":"bf01","name":"a"},{"id":"bf01","name":"b"}]}"#)
        .unwrap();
    assert!(matches!(store.load().unwrap_err(), StoreError::Contradiction { .. }));
}

#[test]
fn a_held_lock_ends_in_an_error_that_says_so() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let held = store.lock().unwrap();
    let e = add(&store, &plug()).unwrap_err();
    assert!(matches!(e, StoreError::Locked { .. }), "{e}");
    assert!(!store.exists());
    drop(held);
    add(&store, &plug()).unwrap();
}

#[test]
fn concurrent_changes_all_arrive() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    std::thread::scope(|s| {
        for i in 0..8 {
            let store = &store;
            s.spawn(move || {
                let id = DeviceId::new(format!("bf{i}")).unwrap();
                add(store, &Device::new(id, format!("Plug {i}"))).unwrap();
            });
        }
    });
    assert_eq!(store.load().unwrap().devices().len(), 8);
}

#[test]
fn a_devices_file_is_for_reading() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("devices.json");
    let text = r#"[{"name":"Plug","id":"bf01","key":""},{"name":"Plug","id":"bf02"}]"#;
    fs::write(&path, text).unwrap();
    let store = DevicesFile::new(&path);
    let book = store.load().unwrap();
    assert_eq!(book.devices().len(), 2);
    assert!(book.find("plug").unwrap_err().to_string().contains("2 devices: bf01, bf02"));
    assert!(matches!(store.update(&mut |_| Ok(())), Err(StoreError::ReadOnly { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_book_written_and_read_is_the_same() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let mut d = plug();
    d.change_key(LocalKey::new("0123456789abcdef").unwrap(), 1_700_000_000);
    d.aliases.push(DeviceId::new("bf00").unwrap());
    d.version = Some(landfall_proto::lan::Version::V3_5);
    d.address = Some("192.168.1.7".parse().unwrap());
    d.port = Some(7001);
    d.sleeper = true;
    d.device22 = true;
    d.mapping =
        Some(crate::Mapping::new(serde_json::json!({"1":{"code":"switch_1","type":"Boolean"}})).unwrap());
    d.extra.insert("icon".to_owned(), serde_json::json!("https://example.org/x.png"));
    add(&store, &d).unwrap();
    assert_eq!(store.load().unwrap().devices(), [d]);
}

#[test]
fn an_older_program_can_go_on_until_it_would_lose_something() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let schema = || {
        let text = fs::read_to_string(store.place()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["schema"].clone()
    };
    add(&store, &plug()).unwrap();
    assert_eq!(schema(), 1);
    let sec = landfall_proto::id::SecKey::new("s".repeat(16)).ok();
    store
        .update(&mut |b| {
            b.by_id_mut(&plug().id).unwrap().cloud.sec_key.clone_from(&sec);
            Ok(())
        })
        .unwrap();
    assert_eq!(schema(), 2);
    assert_eq!(store.load().unwrap().devices()[0].cloud.sec_key, sec);
    // In the history, too.
    let key = LocalKey::new("n".repeat(16)).unwrap();
    store
        .update(&mut |b| {
            b.by_id_mut(&plug().id).unwrap().change_key(key.clone(), 5);
            Ok(())
        })
        .unwrap();
    assert_eq!(schema(), 2);
    assert_eq!(store.load().unwrap().devices()[0].key_history[0].sec, sec);
    // Who does not know the reserve would lose keys that devices were told.
    let set = crate::KeySet { id: DeviceId::new("bf09").unwrap(), local: key, sec: sec.unwrap() };
    store
        .update(&mut |b| {
            b.put_aside([set.clone()]);
            Ok(())
        })
        .unwrap();
    assert_eq!(schema(), 4);
    assert_eq!(store.load().unwrap().reserved(&set.id), Some(&set));
    store
        .update(&mut |b| {
            assert!(b.strike(&set.id));
            Ok(())
        })
        .unwrap();
    assert_eq!(schema(), 2);
}

#[test]
fn everything_of_the_cloud_reads_back() {
    use crate::cloud_side::{CloudSide, Image, Pending, TimerList, ToldSchema};
    use crate::digest::{Digest, SALT};
    use landfall_proto::gateway::Generation;
    use landfall_proto::id::{AuthKey, PskKey, SecKey, Uuid};
    use landfall_proto::mqtt::Envelope;

    let told = ToldSchema { id: "s".into(), text: "[]".into(), guess: true };
    let mut device = plug();
    device.cloud = CloudSide {
        auth_key: AuthKey::new("a".repeat(32)).ok(),
        psk_key: PskKey::new("p".repeat(37)).ok(),
        sec_key: SecKey::new("s".repeat(16)).ok(),
        pending: Some(Pending {
            id: DeviceId::new("bf02").unwrap(),
            local: LocalKey::new("l".repeat(16)).unwrap(),
            sec: SecKey::new("t".repeat(16)).unwrap(),
            since: 7,
            told: told.clone(),
            envelope: Some(Envelope::V2_3),
            generation: Generation::E,
        }),
        pinned: Some(Digest::new([1; SALT], b"x")),
        envelope: Some(Envelope::V2_2),
        generation: Some(Generation::B),
        told: Some(told),
        software: Some("1.0.1".into()),
        timers: Some(TimerList { list: Vec::new(), changed: 9 }),
        images: vec![Image { kind: 0, version: "2".into(), sha256: "AB".into(), token: "t".into() }],
    };
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let hardware = crate::people::Hardware {
        uuid: Uuid::new("u").unwrap(),
        name: Some("Lamp".into()),
        auth_key: AuthKey::new("a".repeat(16)).ok(),
        psk_key: None,
    };
    let person =
        crate::people::Person { name: "ha".into(), password: Digest::new([2; SALT], b"y"), since: 3 };
    let kept = store
        .update(&mut |b| {
            b.add(device.clone())?;
            b.add_hardware(hardware.clone())?;
            b.add_person(person.clone())
        })
        .unwrap();
    let read = store.load().unwrap();
    assert_eq!(read, kept);
    assert_eq!(read.devices(), [device]);
    assert_eq!(read.hardware(), [hardware]);
    assert_eq!(read.people(), [person]);
}
