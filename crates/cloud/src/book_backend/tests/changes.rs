//! What devices say of themselves, other processes, timers, images, people.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use landfall_book::Timer;
use landfall_proto::mqtt::Envelope;

use super::*;
use crate::backend::{Announcement, Timers};

fn said(software: &str) -> Announcement {
    Announcement {
        envelope: Some(Envelope::V2_2),
        generation: Some(Generation::C),
        software: Some(software.to_owned()),
    }
}

fn stored(house: &House, n: usize) -> Option<String> {
    house.book().devices()[n].cloud.software.clone()
}

#[tokio::test(start_paused = true)]
async fn what_devices_say_is_seen_at_once_and_stored_together_soon() {
    let devices = (0..50).map(|n| Device::new(id(&format!("bf{n:02}")), format!("Plug {n:02}"))).collect();
    let house = House::with(devices);
    let before = house.store().stamp().unwrap();
    for n in 0..50 {
        house.backend.announce(&id(&format!("bf{n:02}")), said("1.0.1"));
    }
    assert_eq!(house.backend.by_id(&id("bf07")).unwrap().envelope, Some(Envelope::V2_2));
    assert_eq!(house.store().stamp().unwrap(), before, "no write for each");
    until("the announcements are stored", || stored(&house, 49).is_some()).await;
    let after = house.store().stamp().unwrap();
    assert_eq!(stored(&house, 0).as_deref(), Some("1.0.1"));
    // The same again is no news.
    house.backend.announce(&id("bf07"), said("1.0.1"));
    assert!(!house.backend.inner.has_announcements());
    house.backend.announce(&id("unknown"), said("1.0.1"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(house.store().stamp().unwrap(), after);
    assert_eq!(house.book().devices()[7].cloud.envelope, Some(Envelope::V2_2));
}

#[tokio::test(start_paused = true)]
async fn a_flush_and_a_change_store_what_devices_said() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    house.backend.announce(&id("bf01"), said("1.0.1"));
    house.backend.flush().await.unwrap();
    assert_eq!(stored(&house, 0).as_deref(), Some("1.0.1"));
    house.backend.announce(&id("bf01"), said("1.0.2"));
    house.backend.add_person("nodered").await.unwrap();
    assert_eq!(stored(&house, 0).as_deref(), Some("1.0.2"));
}

#[tokio::test(start_paused = true)]
async fn closing_ends_what_was_begun_and_leaves_one_file() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    let log = house.dir.path().join(LOG_NAME);
    house.backend.announce(&id("bf01"), said("1.0.1"));
    house.backend.add_person("nodered").await.unwrap();
    assert!(fs::metadata(&log).is_ok_and(|m| m.len() > 0), "a change goes into the log");
    // Handed in before the end, and not waited for.
    let backend = Arc::clone(&house.backend);
    let begun = tokio::spawn(async move { backend.add_person("ha").await });
    tokio::task::yield_now().await;
    house.backend.announce(&id("bf01"), said("1.0.2"));
    house.backend.close().await;
    begun.await.unwrap().unwrap();
    assert!(!log.exists(), "the log is in the book");
    assert_eq!(stored(&house, 0).as_deref(), Some("1.0.2"));
    assert_eq!(house.book().people().len(), 2);
    let refused = house.backend.add_person("late").await.unwrap_err().to_string();
    assert!(refused.contains("not being written any more"), "{refused}");
    // Once more is no fault.
    house.backend.close().await;
    assert_eq!(house.book().people().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_changes_is_noticed() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    house.backend.announce(&id("bf01"), said("1.0.1"));
    let mut lamp = Device::new(id("bf02"), "Lamp");
    lamp.key = Some(local('c'));
    house.store().update(&mut |b| b.add(lamp.clone()).map(drop)).unwrap();
    assert!(house.backend.by_id(&id("bf02")).is_none(), "looking up touches no disk");
    until("the lamp is known", || house.backend.by_id(&id("bf02")).is_some()).await;
    let plug = house.backend.by_id(&id("bf01")).unwrap();
    assert_eq!(plug.envelope, Some(Envelope::V2_2), "what is not stored yet is not forgotten");
    house.store().update(&mut |b| b.remove("bf02").map(drop)).unwrap();
    until("the lamp is gone", || house.backend.by_id(&id("bf02")).is_none()).await;
    house.store().update(&mut |b| b.rename("bf01", "Socket").map(drop)).unwrap();
    house.backend.reload().await.unwrap();
    assert_eq!(house.backend.by_id(&id("bf01")).unwrap().name, "Socket");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_book_is_left_alone_and_the_known_devices_stay() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    house.allow(None);
    let good = house.text();
    fs::write(house.store().place(), "{\"schema\":2,").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(house.backend.by_id(&id("bf01")).is_some());
    let e = house.backend.activate(by_uuid("aaaa")).await.unwrap_err().to_string();
    assert!(e.contains("is damaged at line 1"), "{e}");
    house.backend.announce(&id("bf01"), said("1.0.1"));
    assert!(house.backend.flush().await.is_err());
    assert_eq!(house.text(), "{\"schema\":2,");
    fs::write(house.store().place(), good).unwrap();
    house.backend.flush().await.unwrap();
    assert_eq!(stored(&house, 0).as_deref(), Some("1.0.1"), "kept until it could be stored");
    house.backend.activate(by_uuid("aaaa")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_kept_in_few_writes_and_the_file_is_whole_at_any_moment() {
    let house = House::with(Vec::new());
    house.allow(None);
    let reader = house.store();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let watch = std::thread::spawn(move || {
        let mut stamps = std::collections::HashSet::new();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            reader.load().unwrap();
            stamps.insert(format!("{:?}", reader.stamp().unwrap()));
        }
        stamps.len()
    });
    let mut asks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let backend = Arc::clone(&house.backend);
        asks.spawn(async move {
            let (_, told) = backend.activate(by_uuid(&format!("uuid{n}"))).await.unwrap();
            backend.keys_used(told.dev_id.as_ref().unwrap()).await.unwrap();
            told
        });
    }
    let told = asks.join_all().await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let versions = watch.join().unwrap();
    assert!(versions <= 40, "200 changes, {versions} versions of the file");
    let book = house.book();
    assert_eq!(book.devices().len(), 100);
    for told in told {
        assert_eq!(book.by_id(&told.dev_id.unwrap()).unwrap().key, Some(told.local_key));
    }
    let left: Vec<_> = fs::read_dir(house.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "the book, its log and its lock: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn timers_are_kept_by_the_device_until_the_owner_gives_it_some() {
    let mut house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    assert_eq!(house.backend.timers(&id("bf01")), Timers::Kept);
    let timer = Timer {
        id: 1,
        date: "00000000".into(),
        time: "18:02".into(),
        loops: 62,
        dps: r#"{"1":true}"#.into(),
    };
    house.backend.set_timers(&id("bf01"), Some(vec![timer.clone()])).await.unwrap();
    house.restart();
    let Timers::Set { timers, changed } = house.backend.timers(&id("bf01")) else { panic!("not set") };
    assert_eq!((timers, changed), (vec![timer.clone()], NOW));
    house.backend.set_timers(&id("bf01"), Some(Vec::new())).await.unwrap();
    let again = house.backend.timers(&id("bf01"));
    assert_eq!(again, Timers::Set { timers: Vec::new(), changed: NOW + 1 }, "in the same second, yet later");
    let wrong = Timer { time: "25:00".into(), ..timer };
    let e = house.backend.set_timers(&id("bf01"), Some(vec![wrong])).await.unwrap_err();
    assert_eq!((e.code, house.backend.timers(&id("bf01"))), ("timers.invalid", again));
    let e = house.backend.set_timers(&id("bf09"), None).await.unwrap_err();
    assert_eq!((e.code, e.what.as_str()), ("device.unknown", "the book has no device bf09"));
    house.backend.set_timers(&id("bf01"), None).await.unwrap();
    assert_eq!(house.backend.timers(&id("bf01")), Timers::Kept);
}

#[tokio::test(start_paused = true)]
async fn an_approved_image_is_kept_and_found_by_its_token() {
    let mut house = House::with(vec![Device::new(id("bf01"), "Plug"), Device::new(id("bf02"), "Lamp")]);
    let file = house.dir.path().join("new.bin");
    fs::write(&file, b"firmware").unwrap();
    for who in ["bf01", "bf02"] {
        let info = house.backend.approve(&id(who), 0, "1.2.3", &file).await.unwrap();
        assert_eq!((info.size, info.version.as_str()), (Some(8), "1.2.3"));
    }
    fs::remove_file(&file).unwrap();
    house.restart();
    let image = house.backend.image(&id("bf01"), 0).unwrap();
    assert_eq!(&image.bytes[..], b"firmware");
    assert!(house.backend.image(&id("bf01"), 9).is_none());
    assert!(image.token.len() >= 22 && !format!("{image:?} {:?}", house.book()).contains(&image.token));
    assert_eq!(house.backend.image_by_token(&image.token).unwrap().version, "1.2.3");
    assert!(house.backend.image_by_token(&image.token[1..]).is_none());
    assert!(house.backend.image_by_token("").is_none());
    let folder = house.dir.path().join("firmware");
    let files = || fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((files().len(), mode(&files()[0]), mode(&folder)), (1, 0o600, 0o700));
    // The other device uses the same file.
    assert_eq!(house.backend.withdraw(&id("bf01"), 0).await, Ok(true));
    assert_eq!(house.backend.withdraw(&id("bf01"), 0).await, Ok(false));
    assert!(house.backend.image_by_token(&image.token).is_none());
    assert_eq!(files().len(), 1);
    // A file that was changed is not offered.
    fs::write(&files()[0], b"something else").unwrap();
    house.restart();
    assert!(house.backend.image(&id("bf02"), 0).is_none());
    assert_eq!(house.backend.images()[0].size, None);
    assert_eq!(house.backend.withdraw(&id("bf02"), 0).await, Ok(true));
    assert!(files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn images_that_devices_would_choke_on_are_refused() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    let file = house.dir.path().join("new.bin");
    fs::write(&file, b"").unwrap();
    let missing = house.dir.path().join("missing.bin");
    for (who, version, file, code) in [
        ("bf01", "1.2.3", &file, "firmware.invalid"),
        ("bf01", "1.2.3", &missing, "firmware.invalid"),
        ("bf01", "12345678901", &file, "firmware.invalid"),
        ("bf01", "1/2", &file, "firmware.invalid"),
    ] {
        assert_eq!(house.backend.approve(&id(who), 0, version, file).await.unwrap_err().code, code);
    }
    fs::write(&file, b"firmware").unwrap();
    assert_eq!(house.backend.approve(&id("bf09"), 0, "1", &file).await.unwrap_err().code, "device.unknown");
    assert!(house.backend.images().is_empty() && !house.dir.path().join("firmware").exists());
}

#[tokio::test(start_paused = true)]
async fn people_log_in_by_the_password_that_was_made_for_them() {
    let mut house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    let password = house.backend.add_person("nodered").await.unwrap();
    assert!(password.len() >= 22);
    let other = house.backend.add_person("ha").await.unwrap();
    assert_ne!(password, other);
    for _ in 0..2 {
        assert!(house.backend.person("nodered", password.as_bytes()));
        assert!(!house.backend.person("nodered", other.as_bytes()));
        assert!(!house.backend.person("nodered", b"") && !house.backend.person("nobody", b""));
        house.restart();
    }
    assert!(!house.text().contains(&password));
    assert_eq!(house.backend.add_person("ha").await.unwrap_err().code, "person.taken");
    assert_eq!(house.backend.add_person("bf01").await.unwrap_err().code, "person.name");
    let names: Vec<_> = house.backend.people().into_iter().map(|p| (p.name, p.since)).collect();
    assert_eq!(names, [("ha".to_owned(), NOW), ("nodered".to_owned(), NOW)]);
    assert_eq!(house.backend.remove_person("nodered").await, Ok(true));
    assert!(!house.backend.person("nodered", password.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn an_activation_leaves_the_book_alone_and_a_stop_leaves_one_file() {
    let house = House::of(|book| {
        for n in 0..4 {
            book.add_hardware(hardware(&format!("uuid{n}"))).unwrap();
        }
    });
    house.allow(None);
    let asked = |n: usize| ActivationAsk { signed: true, ..by_uuid(&format!("uuid{n}")) };
    house.backend.activate(asked(0)).await.unwrap();
    let book = fs::read(house.store().place()).unwrap();
    let mut told = Vec::new();
    for n in 1..4 {
        let (registration, given) = house.backend.activate(asked(n)).await.unwrap();
        let new = given.dev_id.unwrap();
        // What is found in memory is what a start from disk finds, soon after.
        house.entered().await;
        let same = open(house.dir.path());
        for backend in [&house.backend, &same] {
            assert_eq!(backend.by_uuid(&uuid(&format!("uuid{n}"))).unwrap().id, new);
            assert_eq!(backend.by_id(&new).unwrap().pending, registration.pending);
            assert_eq!(backend.devices().len(), 4, "hardware became a device");
        }
        let shown = |backend: &BookBackend| format!("{:?}", backend.devices());
        assert_eq!(shown(&house.backend), shown(&same), "in the same order, too");
        told.push(new);
    }
    house.backend.keys_used(&told[0]).await.unwrap();
    assert!(house.backend.by_id(&told[0]).unwrap().pending.is_none());
    let same = fs::read(house.store().place()).unwrap() == book;
    assert!(same, "neither keys nor their first use wrote the book");
    let before = house.book();
    let (dir, log) = (house.dir, house.backend.inner.store.dir().join(landfall_book::log::LOG_NAME));
    drop(house.backend);
    until("the changes are in the book", || !log.exists()).await;
    let after = FileStore::new(dir.path()).load().unwrap();
    assert_eq!((after.devices(), after.hardware()), (before.devices(), before.hardware()));
    let text = fs::read_to_string(dir.path().join("book.json")).unwrap();
    assert!(text.contains("\"schema\": 2,") && text.contains(told[2].as_str()));
}
