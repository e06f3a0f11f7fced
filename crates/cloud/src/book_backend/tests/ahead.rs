//! Keys that are told before they are entered: power cuts at the worst moment, a disk that fails, other processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use landfall_book::registration::MAX_UNUSED;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::mqtt::login::Password;

use super::super::lane::RESERVE;
use super::*;
use crate::backend::{ActivationRefusal, FirstUse};

impl House {
    fn ready(&self) -> usize {
        locked(&self.backend.inner.lane).ready()
    }

    /// Opens a window, and waits until keys lie ready.
    async fn prepared(&self) {
        self.allow(None);
        until("keys lie ready", || self.ready() == RESERVE).await;
    }

    async fn told(&self, who: &str) -> Activation {
        self.backend.activate(by_uuid(who)).await.unwrap().1
    }

    /// The same, of a device that is told before anything is written.
    async fn told_quickly(&self, who: &str) -> Activation {
        let before = self.store().stamp().unwrap();
        let told = self.told(who).await;
        assert_eq!(self.store().stamp().unwrap(), before, "{who} was told, and nothing was written");
        assert!(self.waits());
        told
    }

    /// A device comes with what it was told, by its password.
    async fn comes(&self, told: &Activation) -> Option<FirstUse> {
        let id = told.dev_id.as_ref().unwrap();
        let known = self.backend.by_id(id)?;
        let held = known.pending.as_ref().or(known.keys.as_ref())?;
        let password = Password::of_device(held.sec.as_ref()?);
        assert!(password.fits(Password::of_device(&told.sec_key).expose().as_bytes()));
        assert_eq!(held.local, told.local_key);
        Some(self.backend.keys_used(id).await.unwrap())
    }

    fn is_known(&self, told: &Activation) -> bool {
        let keys = keys(&told.local_key, &told.sec_key);
        let known = self.backend.by_id(told.dev_id.as_ref().unwrap());
        known.is_some_and(|d| d.keys == Some(keys) && d.pending.is_none())
    }
}

#[tokio::test(start_paused = true)]
async fn keys_lie_ready_while_a_window_is_open_and_no_longer() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((house.ready(), house.book().reserve_len()), (0, 0));
    house.prepared().await;
    assert_eq!(house.book().reserve_len(), RESERVE);
    assert_eq!((house.backend.devices().len(), house.book().devices().len()), (1, 1), "they are no devices");
    house.backend.close_windows();
    until("they are gone", || house.book().reserve_len() == 0).await;
    assert_eq!(house.ready(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_device_is_told_at_once_and_entered_soon_with_the_others() {
    let house = House::of(|book| book.add_hardware(hardware("uuid0")).unwrap());
    house.prepared().await;
    let before = house.store().stamp().unwrap();
    let signed = ActivationAsk { signed: true, ..by_uuid("uuid0") };
    let (lamp, first) = house.backend.activate(signed.clone()).await.unwrap();
    assert_eq!(lamp.pending, Some(keys(&first.local_key, &first.sec_key)));
    assert!(lamp.auth_key.is_some(), "it has the keys of its hardware");
    let second = house.told_quickly("uuid1").await;
    assert_eq!(house.store().stamp().unwrap(), before);
    // It is found by all its names, and has its place in the list.
    assert_eq!(house.backend.by_uuid(&uuid("uuid1")).unwrap().id, second.dev_id.clone().unwrap());
    assert_eq!(house.backend.devices().len(), 2);
    // One who lost the answer gets the same again, and waits for the disk now.
    assert_eq!(house.backend.activate(signed).await.unwrap().1, first);
    until("both are entered", || !house.waits()).await;
    let book = house.book();
    for told in [&first, &second] {
        let id = told.dev_id.as_ref().unwrap();
        assert_eq!(book.by_id(id).unwrap().cloud.pending.as_ref().unwrap().local, told.local_key);
        assert!(book.reserved(id).is_none());
    }
    assert!(book.hardware().is_empty());
    assert_eq!(book, house.backend.read(Clone::clone), "memory and disk agree");
}

#[tokio::test(start_paused = true)]
async fn what_was_told_is_written_within_a_quarter_of_a_second() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let stamp = || house.store().stamp().unwrap();
    let before = stamp();
    let start = tokio::time::Instant::now();
    for n in 0..10 {
        house.told(&format!("uuid{n}")).await;
    }
    assert_eq!(stamp(), before);
    while house.waits() {
        assert!(start.elapsed() < Duration::from_millis(250));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(house.book().devices().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_between_answer_and_write_costs_no_device_its_keys() {
    let house = House::of(|book| book.add_hardware(hardware("uuid0")).unwrap());
    house.prepared().await;
    let signed = ActivationAsk { signed: true, ..by_uuid("uuid0") };
    let lamp = house.backend.activate(signed.clone()).await.unwrap().1;
    let plug = house.told_quickly("uuid1").await;
    let dark = house.after_power_cut();
    assert!(dark.book().devices().is_empty(), "nothing was entered");
    assert!(dark.backend.devices().iter().all(|d| d.keys.is_none() && d.pending.is_none()));
    for told in [&lamp, &plug] {
        assert_eq!(dark.comes(told).await, Some(FirstUse::Unentered));
        assert_eq!(dark.comes(told).await, Some(FirstUse::Expected));
    }
    let mut again = dark.after_power_cut();
    for house in [&dark, &again] {
        assert!(house.is_known(&lamp) && house.is_known(&plug));
        assert_eq!(house.book().reserve_len(), RESERVE - 2);
    }
    let id = lamp.dev_id.as_ref().unwrap();
    assert_eq!(again.backend.by_id(id).unwrap().name, id.as_str(), "by its id until it has a name");
    // Paired anew it is the same device, and its hardware.
    again.allow(None);
    let back = ActivationAsk { had_id: Some(id.clone()), ..signed };
    let (device, new) = again.backend.activate(back).await.unwrap();
    assert_eq!((device.uuid.clone(), again.book().devices().len()), (Some(uuid("uuid0")), 2));
    assert_ne!(new.local_key, lamp.local_key);
    again.restart();
    assert!(again.is_known(&lamp), "until it uses the new ones");
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_after_the_write_finds_the_device_entered() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let told = house.told_quickly("uuid1").await;
    until("it is entered", || !house.waits()).await;
    let dark = house.after_power_cut();
    assert_eq!(dark.backend.by_uuid(&uuid("uuid1")).unwrap().id, *told.dev_id.as_ref().unwrap());
    assert_eq!(dark.comes(&told).await, Some(FirstUse::Expected));
    assert!(dark.is_known(&told));
}

#[tokio::test(start_paused = true)]
async fn a_login_right_after_the_answer_is_entered_with_it() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let told = house.told_quickly("uuid1").await;
    assert_eq!(house.comes(&told).await, Some(FirstUse::Expected));
    assert!(!house.waits());
    let dark = house.after_power_cut();
    assert!(dark.is_known(&told));
    assert_eq!(dark.book().by_uuid(&uuid("uuid1")).unwrap().key, Some(told.local_key));
}

#[tokio::test(start_paused = true)]
async fn nobody_else_comes_in_by_the_reserve() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let told = house.told_quickly("uuid1").await;
    let dark = house.after_power_cut();
    let stranger = id("bfstranger0000000000ab");
    assert!(dark.backend.by_id(&stranger).is_none());
    assert_eq!(dark.backend.keys_used(&stranger).await, Ok(FirstUse::Expected));
    // A password that does not fit is pinned by nobody.
    let known = dark.backend.by_id(told.dev_id.as_ref().unwrap()).unwrap();
    assert!(known.keys.is_none(), "only the keys themselves count");
    assert!(dark.backend.pin(&known.id, b"guessed").await.is_err());
    assert!(dark.book().devices().is_empty());
    let shown = format!("{known:?} {:?} {:?}", dark.book(), dark.backend.devices());
    for secret in [told.sec_key.expose_str(), told.local_key.expose_str()] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(house.text().contains(secret), "it is on disk before it is told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_removed_does_not_come_back() {
    let house = House::with(Vec::new());
    house.prepared().await;
    // One that is not written yet, one that is.
    for (n, wait) in [(1, false), (2, true)] {
        let told = house.told_quickly(&format!("uuid{n}")).await;
        if wait {
            until("it is entered", || !house.waits()).await;
        }
        let gone = told.dev_id.clone().unwrap();
        house.backend.change(move |book| book.remove(gone.as_str())).await.unwrap();
        for house in [&house, &house.after_power_cut()] {
            assert!(house.comes(&told).await.is_none(), "device {n}");
            assert!(house.book().devices().is_empty());
        }
    }
    // Nor one that came by the reserve itself.
    let told = house.told_quickly("uuid3").await;
    let dark = house.after_power_cut();
    assert_eq!(dark.comes(&told).await, Some(FirstUse::Unentered));
    let gone = told.dev_id.clone().unwrap();
    dark.backend.change(move |book| book.remove(gone.as_str())).await.unwrap();
    assert!(dark.comes(&told).await.is_none());
    assert!(dark.after_power_cut().comes(&told).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn no_set_is_told_twice() {
    let mut house = House::with(Vec::new());
    let mut seen = std::collections::HashSet::new();
    let mut n = 0;
    for round in 0..4 {
        house.prepared().await;
        for _ in 0..3 * RESERVE / 2 {
            n += 1;
            let told = house.told(&format!("uuid{n}")).await;
            let new = seen.insert(told.local_key.expose_str().to_owned())
                & seen.insert(told.sec_key.expose_str().to_owned())
                & seen.insert(told.dev_id.unwrap().to_string());
            assert!(new, "{n}");
            if n % 7 == 0 {
                // Another process, which puts the log into the book.
                let name = format!("Imported {n}");
                let lamp = Device::new(id(&format!("bflamp{n}")), name);
                house.store().update(&mut |b| b.add(lamp.clone()).map(drop)).unwrap();
            }
        }
        house = if round % 2 == 0 { house.after_power_cut() } else { house };
        house.restart();
    }
    assert_eq!(seen.len(), n * 3);
    until("the last are entered", || !house.waits()).await;
}

#[tokio::test(start_paused = true)]
async fn another_process_changes_the_book_while_devices_wait() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    house.prepared().await;
    let told = house.told_quickly("uuid1").await;
    let lost = house.told_quickly("uuid2").await;
    // It knows of neither, and enters one of them itself.
    let mut lamp = Device::new(id("bf02"), "Lamp");
    lamp.uuid = Some(uuid("uuid2"));
    lamp.key = Some(local('c'));
    house.store().update(&mut |b| b.remove("bf01").and_then(|_| b.add(lamp.clone()).map(drop))).unwrap();
    assert_eq!(house.book().reserve_len(), RESERVE, "it leaves the reserve as it is");
    until("both are entered", || !house.waits()).await;
    let book = house.book();
    assert_eq!(book.devices().len(), 2, "the plug is gone, and nobody is twice there");
    assert_eq!(book.by_uuid(&uuid("uuid1")).unwrap().id, *told.dev_id.as_ref().unwrap());
    // What it was told counts all the same, once it is used.
    let lamp = house.backend.by_id(&id("bf02")).unwrap();
    assert_eq!(lamp.keys.as_ref().map(|k| &k.local), Some(&local('c')));
    assert_eq!(house.comes(&lost).await, Some(FirstUse::Expected));
    assert_eq!(house.backend.by_id(&id("bf02")).unwrap().id, lost.dev_id.unwrap());
    assert_eq!(house.book(), house.backend.read(Clone::clone));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_the_quick_way_and_loses_nothing() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let told = house.told_quickly("uuid1").await;
    // What can't be replaced by a file.
    let (book, aside) = (house.dir.path().join("book.json"), house.dir.path().join("aside"));
    fs::rename(&book, &aside).unwrap();
    fs::create_dir(&book).unwrap();
    until("the write has failed", || locked(&house.backend.inner.lane).is_failing()).await;
    assert!(house.waits() && house.ready() > 0);
    for who in ["uuid2", "uuid3"] {
        let refused = house.backend.activate(by_uuid(who)).await.unwrap_err();
        assert!(matches!(refused, ActivationRefusal::Backend(_)), "{refused}");
        assert!(house.backend.by_uuid(&uuid(who)).is_none());
    }
    assert!(house.backend.flush().await.is_err());
    assert!(house.backend.by_id(told.dev_id.as_ref().unwrap()).is_some(), "the first one is known still");
    fs::remove_dir(&book).unwrap();
    fs::rename(&aside, &book).unwrap();
    until("it is tried again", || !house.waits()).await;
    assert_eq!(house.book().by_uuid(&uuid("uuid1")).unwrap().id, told.dev_id.unwrap());
    house.prepared().await;
    house.told_quickly("uuid4").await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_enters_what_waits_and_leaves_no_reserve() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let told = house.told_quickly("uuid1").await;
    house.backend.flush().await.unwrap();
    assert!(!house.waits());
    assert_eq!((house.book().reserve_len(), house.book().devices().len()), (0, 1));
    // By its end alone, too.
    house.prepared().await;
    let other = house.told_quickly("uuid2").await;
    let (dir, log) = (house.dir, house.backend.inner.store.dir().join(LOG_NAME));
    drop(house.backend);
    until("there is one file", || !log.exists()).await;
    let book = FileStore::new(dir.path()).load().unwrap();
    for told in [told, other] {
        assert!(book.by_any_id(&told.dev_id.unwrap()).is_some());
    }
    assert_eq!(book.reserve_len(), 0);
    let text = fs::read_to_string(dir.path().join("book.json")).unwrap();
    assert!(text.contains("\"schema\": 2,"), "an older program can go on with it");
    assert_eq!(fs::metadata(dir.path().join("book.json")).unwrap().permissions().mode() & 0o077, 0);
}

#[tokio::test(start_paused = true)]
async fn the_limits_hold_on_the_quick_way() {
    let house = House::of(|book| book.add_hardware(hardware("uuid0")).unwrap());
    house.prepared().await;
    let unsigned = house.backend.activate(by_uuid("uuid0")).await;
    assert!(matches!(unsigned, Err(ActivationRefusal::Unsigned)));
    house.told_quickly("uuid1").await;
    let other = ActivationAsk { peer: Some([192, 168, 1, 66].into()), ..by_uuid("uuid1") };
    assert!(matches!(house.backend.activate(other).await, Err(ActivationRefusal::Elsewhere)));
    for n in 2..=MAX_UNUSED {
        house.told(&format!("uuid{n}")).await;
    }
    until("keys lie ready", || house.ready() == RESERVE).await;
    let refused = house.backend.activate(by_uuid("more")).await;
    assert!(matches!(refused, Err(ActivationRefusal::Crowded(MAX_UNUSED))));
    assert!(!house.waits() && house.ready() == RESERVE);
}

#[tokio::test(start_paused = true)]
async fn two_requests_of_one_device_get_the_same_keys_on_whichever_way() {
    let house = House::with(Vec::new());
    house.prepared().await;
    let mut asks = tokio::task::JoinSet::new();
    // More than lie ready: some of them find nothing and wait for the disk.
    for n in 0..4 * RESERVE {
        let backend = Arc::clone(&house.backend);
        asks.spawn(async move {
            let who = n / 2;
            (who, backend.activate(by_uuid(&format!("uuid{who}"))).await.unwrap().1)
        });
    }
    let mut told = std::collections::HashMap::new();
    while let Some(done) = asks.join_next().await {
        let (who, got) = done.unwrap();
        assert_eq!(*told.entry(who).or_insert_with(|| got.clone()), got, "device {who}");
    }
    until("all are entered", || !house.waits()).await;
    let book = house.book();
    assert_eq!(book.devices().len(), 2 * RESERVE);
    for got in told.into_values() {
        let device = book.by_any_id(&got.dev_id.unwrap()).unwrap();
        assert_eq!(device.cloud.pending.as_ref().unwrap().local, got.local_key);
    }
}
