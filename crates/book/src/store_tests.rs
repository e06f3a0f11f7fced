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
        assert!(e.to_string().contains("schema 7; this version of landfall knows schemas up to 2"));
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
