use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use landfall_proto::id::{DeviceId, LocalKey};
use tempfile::TempDir;

use super::*;
use crate::device::Device;
use crate::log::LOG_NAME;

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn key(c: char) -> Option<LocalKey> {
    LocalKey::new(c.to_string().repeat(16)).ok()
}

/// A book of two plugs, of which one change lies in a log.
fn home() -> (TempDir, FileStore, Version) {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let mut version = store.version().unwrap();
    for name in ["bf01", "bf02"] {
        version = store.update_from(&version, &mut |b| b.add(Device::new(id(name), name)).map(drop)).unwrap();
    }
    version = give(&store, &version, "bf01", 'a');
    assert_eq!(log_lines(&store), 3, "the first change was written as a book, the others as changes");
    (tmp, store, version)
}

/// Gives a device a key.
fn give(store: &FileStore, version: &Version, who: &str, c: char) -> Version {
    store
        .update_from(version, &mut |b| {
            b.by_id_mut(&id(who)).unwrap().key = key(c);
            Ok(())
        })
        .unwrap()
}

fn keys(book: &Book) -> Vec<Option<LocalKey>> {
    book.devices().iter().map(|d| d.key.clone()).collect()
}

fn log_lines(store: &FileStore) -> usize {
    let text = fs::read(store.log_path()).unwrap_or_default();
    text.iter().filter(|b| **b == b'\n').count()
}

#[test]
fn a_small_change_leaves_the_book_alone_and_every_reader_sees_it() {
    let (_tmp, store, version) = home();
    let book = fs::read(store.place()).unwrap();
    let version = give(&store, &version, "bf02", 'b');
    assert_eq!(fs::read(store.place()).unwrap(), book);
    assert_eq!(keys(version.book()), [key('a'), key('b')]);
    assert_eq!(&store.load().unwrap(), version.book());
    assert_eq!(store.version().unwrap().book(), version.book());
    // The same again is no change.
    let stamp = store.stamp().unwrap();
    give(&store, &version, "bf02", 'b');
    assert_eq!((store.stamp().unwrap(), log_lines(&store)), (stamp, 4));
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&store.log_path()), mode(store.place())), (0o600, 0o600));
}

#[test]
fn what_another_process_changed_in_between_is_built_upon() {
    let (_tmp, store, version) = home();
    // A whole book, which takes the log in.
    store.update(&mut |b| b.rename("bf02", "Lamp").map(drop)).unwrap();
    assert!(!store.log_path().exists());
    let next = give(&store, &version, "bf02", 'b');
    assert_eq!(next.book().devices()[1].name, "Lamp");
    assert_eq!(keys(&store.load().unwrap()), [key('a'), key('b')]);
    assert!(!store.is_current(&version).unwrap() && store.is_current(&next).unwrap());
    // Another that logs.
    let other = give(&store, &store.version().unwrap(), "bf01", 'c');
    assert!(!store.is_current(&next).unwrap() && store.is_current(&other).unwrap());
    give(&store, &next, "bf02", 'd');
    assert_eq!(keys(&store.load().unwrap()), [key('c'), key('d')]);
}

#[test]
fn a_torn_line_is_ignored_and_never_continued() {
    for cut in 2..40 {
        let (_tmp, store, version) = home();
        give(&store, &version, "bf02", 'b');
        let mut text = fs::read(store.log_path()).unwrap();
        let used = log::trimmed(&text).len();
        text[used - cut..].fill(0);
        if cut % 2 == 0 {
            // The end of the line is there, and what is before it is not.
            text[used - 1] = b'\n';
        }
        fs::write(store.log_path(), &text).unwrap();
        let torn = store.version().unwrap();
        assert_eq!(keys(torn.book()), [key('a'), None], "{cut} bytes are missing");
        give(&store, &torn, "bf01", 'c');
        assert_eq!(keys(&store.load().unwrap()), [key('c'), None]);
        assert_eq!(log_lines(&store), 1, "the book was written anew, with an empty log");
    }
}

#[test]
fn a_crash_at_any_step_of_taking_in_the_log_loses_nothing() {
    let (_tmp, store, version) = home();
    give(&store, &version, "bf02", 'b');
    let both = [key('a'), key('b')];
    let old_log = fs::read(store.log_path()).unwrap();
    let book = store.load().unwrap();
    // The book is replaced; the log, which it holds now, lies there still.
    store.write(&book, None).unwrap();
    assert_eq!(keys(&store.load().unwrap()), both);
    store.update(&mut |b| b.rename("bf02", "Lamp").map(drop)).unwrap();
    assert!(!store.log_path().exists());
    assert_eq!(store.load().unwrap().find("Lamp").unwrap().key, key('b'));
    // The same, where the next log was to begin: what is there is another's, or nothing, or half a line.
    for log in [Some(&old_log[..]), None, Some(b"".as_slice()), Some(b"1234".as_slice())] {
        store.write(&book, Some(u64::MAX - 9)).unwrap();
        match log {
            Some(text) => fs::write(store.log_path(), text).unwrap(),
            None => log::remove(&store.log_path()).unwrap(),
        }
        let version = store.version().unwrap();
        assert_eq!(keys(version.book()), both);
        give(&store, &version, "bf02", 'c');
        assert_eq!(keys(&store.load().unwrap()), [key('a'), key('c')]);
    }
}

#[test]
fn a_log_of_another_book_changes_nothing() {
    let (_tmp, store, _) = home();
    let (_other, from, _) = home();
    give(&from, &from.version().unwrap(), "bf02", 'x');
    fs::copy(from.log_path(), store.log_path()).unwrap();
    let version = store.version().unwrap();
    assert_eq!(keys(version.book()), [None], "as the book was before its own log");
    give(&store, &version, "bf01", 'c');
    assert_eq!(keys(&store.load().unwrap()), [key('c')]);
}

#[test]
fn damage_inside_the_log_is_told_without_its_text_and_left_alone() {
    let (_tmp, store, version) = home();
    give(&store, &version, "bf02", 'b');
    let good = fs::read_to_string(store.log_path()).unwrap();
    let bad = good.replacen("aaaa", "SECR", 1);
    assert_eq!(bad.len() as u64, log::SIZE);
    assert_ne!(good, bad);
    fs::write(store.log_path(), &bad).unwrap();
    for e in [
        store.load().unwrap_err(),
        store.update(&mut |_| Ok(())).unwrap_err(),
        store.update_from(&version, &mut |_| Ok(())).unwrap_err(),
    ] {
        assert!(matches!(e, StoreError::Damaged { line: 3, .. }), "{e}");
        assert!(e.to_string().contains(LOG_NAME) && !format!("{e} {e:?}").contains("SECR"), "{e}");
    }
    assert_eq!(fs::read_to_string(store.log_path()).unwrap(), bad);
}

#[test]
fn folding_leaves_the_one_file_that_older_programs_read() {
    let (_tmp, store, version) = home();
    let schema = || {
        let text = fs::read_to_string(store.place()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["schema"].clone()
    };
    assert_eq!(schema(), 4, "who knows no log must not take the book for all");
    store.fold().unwrap();
    assert_eq!((schema(), store.log_path().exists()), (1.into(), false));
    assert_eq!(&store.load().unwrap(), version.book());
}

#[test]
fn a_log_does_not_grow_for_ever() {
    let (_tmp, store, mut version) = home();
    let mut numbers = std::collections::BTreeSet::new();
    for n in 0..1_500 {
        version = store
            .update_from(&version, &mut |b| {
                b.by_id_mut(&id("bf01")).unwrap().product_name = Some(format!("{n}").repeat(400));
                Ok(())
            })
            .unwrap();
        numbers.insert(version.log.unwrap().number);
        assert_eq!(fs::metadata(store.log_path()).unwrap().len(), log::SIZE);
    }
    assert!((3..10).contains(&numbers.len()), "{numbers:?}");
    assert_eq!(&store.load().unwrap(), version.book());
}

#[test]
fn a_change_that_contradicts_the_book_is_not_kept() {
    let (_tmp, store, version) = home();
    let before = store.stamp().unwrap();
    for change in [
        |b: &mut Book| b.by_id_mut(&id("bf01")).unwrap().name = "BF02".to_owned(),
        |b: &mut Book| b.by_id_mut(&id("bf01")).unwrap().aliases.push(id("bf02")),
        |b: &mut Book| b.by_id_mut(&id("bf01")).unwrap().aliases.push(id("bf01")),
        |b: &mut Book| b.by_id_mut(&id("bf01")).unwrap().name = " ".to_owned(),
    ] {
        let e = store.update_from(&version, &mut |b| {
            change(b);
            Ok(())
        });
        assert!(matches!(e, Err(StoreError::Refused(_))), "{e:?}");
    }
    assert_eq!(store.stamp().unwrap(), before);
}

#[test]
fn readers_without_the_lock_never_miss_what_was_kept() {
    let (_tmp, store, version) = home();
    let done = std::sync::atomic::AtomicU64::new(0);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut version = version.clone();
            for n in 1..=300_u64 {
                let set = &mut |b: &mut Book| {
                    b.by_id_mut(&id("bf02")).unwrap().category = Some(n.to_string());
                    Ok(())
                };
                // Now and then the book is replaced and its log goes.
                if n % 10 == 0 {
                    store.update(set).unwrap();
                } else {
                    version = store.update_from(&version, set).unwrap();
                }
                done.store(n, order);
            }
        });
        let mut seen = 0;
        while seen < 300 {
            let kept = done.load(order);
            let book = store.load().unwrap();
            let read = book.devices()[1].category.as_ref().map_or(0, |c| c.parse().unwrap());
            assert!(read >= kept.max(seen), "{read} was read after {kept} was kept");
            seen = read;
        }
    });
}

#[test]
fn a_log_that_looks_broken_while_it_is_written_is_read_again() {
    let (_tmp, store, version) = home();
    give(&store, &version, "bf02", 'b');
    let good = fs::read(store.log_path()).unwrap();
    let second = good.iter().position(|b| *b == b'\n').unwrap() + 1;
    let mut seen = good.clone();
    seen[second..second + 9].fill(0);
    let writer = store.lock().unwrap();
    fs::write(store.log_path(), &seen).unwrap();
    let reader = std::thread::spawn({
        let store = store.clone();
        move || store.version()
    });
    // It may look as often as it likes: what it sees becomes whole within a moment.
    let until = std::time::Instant::now() + std::time::Duration::from_millis(300);
    while !reader.is_finished() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    fs::write(store.log_path(), &good).unwrap();
    drop(writer);
    assert_eq!(keys(reader.join().unwrap().unwrap().book()), [key('a'), key('b')]);
}

#[test]
fn a_log_of_another_book_is_looked_at_once() {
    let (_tmp, store, _) = home();
    store.write(&store.load().unwrap(), Some(u64::MAX - 9)).unwrap();
    let version = store.version().unwrap();
    assert!(version.is_torn() && store.is_current(&version).unwrap());
    log::remove(&store.log_path()).unwrap();
    let version = store.version().unwrap();
    assert!(version.is_torn() && store.is_current(&version).unwrap());
}

#[test]
fn a_copy_is_complete_in_one_file() {
    let (_tmp, store, version) = home();
    let to = tempfile::tempdir().unwrap();
    let copy = FileStore::new(to.path());
    crate::store::write_copy(version.book(), copy.place()).unwrap();
    assert_eq!(keys(&copy.load().unwrap()), [key('a'), None]);
    assert!(fs::read_to_string(copy.place()).unwrap().contains("\"schema\": 1"));
    assert!(!copy.log_path().exists() && store.log_path().exists());
    assert_eq!(fs::metadata(copy.place()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_book_of_an_older_program_is_read_and_changed() {
    let tmp = tempfile::tempdir().unwrap();
    let store = FileStore::new(tmp.path());
    let old = r#"{"schema": 2, "devices": [{"id": "bf01", "name": "Plug"}], "hardware": [{"uuid": "u1"}]}"#;
    fs::write(store.place(), old).unwrap();
    // What lies beside a book that names no log says nothing.
    fs::write(store.log_path(), "garbage").unwrap();
    let version = store.version().unwrap();
    assert!(!version.has_log());
    assert_eq!(fs::read_to_string(store.place()).unwrap(), old, "reading changes nothing");
    let version = give(&store, &version, "bf01", 'a');
    let version = give(&store, &version, "bf01", 'b');
    assert_eq!((log_lines(&store), keys(&store.load().unwrap())), (2, vec![key('b')]));
    assert_eq!(version.book().hardware().len(), 1);
}

#[test]
fn no_garbage_in_a_log_makes_a_panic() {
    let (_tmp, store, version) = home();
    give(&store, &version, "bf02", 'b');
    let good = fs::read(store.log_path()).unwrap();
    let used = log::trimmed(&good).to_vec();
    let number = version.log.unwrap().number;
    // Numbers of a plain congruential generator: the same at each run.
    let mut seed = 7_u64;
    let mut dice = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    for _ in 0..20_000 {
        let mut text = used.clone();
        for _ in 0..=dice(4) {
            let (at, to) = (dice(text.len()), dice(text.len()));
            match dice(4) {
                0 => text[at] = dice(256) as u8,
                1 => text.truncate(at + 1),
                2 => text[at.min(to)..at.max(to)].fill(0),
                _ => text.extend_from_within(at.min(to)..at.max(to)),
            }
        }
        let mut book = version.book().clone();
        for amendment in log::read(&text, number).map(|c| c.amendments).unwrap_or_default() {
            let _refused = amendment.apply(&mut book);
        }
    }
}
