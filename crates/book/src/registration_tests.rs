use landfall_proto::id::{LocalKey, SecKey};

use super::*;
use crate::cloud_side::{TimerList, ToldSchema};
use crate::people::Hardware;

fn id(s: &str) -> DeviceId {
    DeviceId::new(s).unwrap()
}

fn uuid(s: &str) -> Uuid {
    Uuid::new(s).unwrap()
}

fn pending(new: &str, key: &str) -> Pending {
    Pending {
        id: id(new),
        local: LocalKey::new(key.repeat(16)).unwrap(),
        sec: SecKey::new(key.repeat(16)).unwrap(),
        since: 5,
        told: ToldSchema { id: "s".into(), text: "[]".into(), guess: false },
        envelope: None,
        generation: Generation::C,
    }
}

fn ask(who: Applicant, fresh: Pending) -> HandOut {
    HandOut { applicant: who, had: None, product_id: None, name: "New device".into(), fresh, again: false }
}

fn hardware(text: &str) -> Applicant {
    Applicant::Hardware(uuid(text))
}

/// A book with a plug that has keys, a lamp behind it, and hardware.
fn home() -> Book {
    let mut book = Book::new();
    let mut plug = Device::new(id("bf01"), "Plug");
    plug.uuid = Some(uuid("aaaa"));
    plug.key = LocalKey::new("k".repeat(16)).ok();
    plug.cloud.timers = Some(TimerList { list: Vec::new(), changed: 100 });
    book.add(plug).unwrap();
    let mut lamp = Device::new(id("bf02"), "Lamp");
    lamp.parent = Some(id("bf01"));
    book.add(lamp).unwrap();
    let name = Some("Plug".to_owned());
    book.add_hardware(Hardware { uuid: uuid("cccc"), name, auth_key: None, psk_key: None }).unwrap();
    book
}

#[test]
fn hardware_that_is_known_is_one_device_whatever_its_ids() {
    let mut book = home();
    let (entry, told) = book.hand_out(ask(hardware("aaaa"), pending("bf09", "n"))).unwrap();
    assert_eq!((entry, told.id), (id("bf01"), id("bf09")));
    book.check().unwrap();
    assert_eq!(book.devices().len(), 2);
    assert_eq!(book.by_id(&id("bf01")).unwrap().key, LocalKey::new("k".repeat(16)).ok());
    assert!(book.by_id(&id("bf09")).is_none() && book.by_any_id(&id("bf09")).is_some());
    assert!(!book.keys_used(&id("bf01"), 50), "the old id has no keys that wait");
    assert!(book.keys_used(&id("bf09"), 50) && !book.keys_used(&id("bf09"), 51));
    book.check().unwrap();
    let plug = book.find("plug").unwrap();
    assert_eq!((plug.id.as_str(), plug.aliases.as_slice()), ("bf09", [id("bf01")].as_slice()));
    assert_eq!((plug.key_history.len(), plug.key_history[0].replaced), (1, 50));
    assert_eq!(plug.cloud.envelope, Some(Envelope::V2_2), "as its generation has it");
    assert_eq!(plug.cloud.timers.as_ref().unwrap().changed, 101, "it has to fetch them anew");
    assert_eq!(book.children(&id("bf09")).count(), 1);
}

#[test]
fn a_newcomer_takes_over_what_is_known_of_its_hardware_under_a_free_name() {
    let mut book = home();
    let (new, _) = book.hand_out(ask(hardware("cccc"), pending("bf03", "n"))).unwrap();
    assert_eq!((new, book.by_id(&id("bf03")).unwrap().name.as_str()), (id("bf03"), "Plug 2"));
    assert!(book.hardware().is_empty());
    // Never used: no need for another id.
    let (same, told) = book.hand_out(ask(hardware("cccc"), pending("bf04", "m"))).unwrap();
    assert_eq!((same, told.id), (id("bf03"), id("bf03")));
    assert_eq!(told.local, LocalKey::new("m".repeat(16)).unwrap());
    book.check().unwrap();
}

#[test]
fn keys_that_wait_are_told_again_only_when_asked_so() {
    let mut book = home();
    let first = book.hand_out(ask(hardware("dddd"), pending("bf05", "a"))).unwrap();
    let again = HandOut { again: true, ..ask(hardware("dddd"), pending("bf06", "b")) };
    assert_eq!(book.hand_out(again).unwrap(), first);
    book.keys_used(&id("bf05"), 9);
    // They are in use now, and nobody is told them again.
    let again = HandOut { again: true, ..ask(hardware("dddd"), pending("bf07", "c")) };
    let (_, told) = book.hand_out(again).unwrap();
    assert_eq!((told.id, told.local), (id("bf07"), LocalKey::new("c".repeat(16)).unwrap()));
}

#[test]
fn a_device_that_goes_back_to_a_former_id_takes_it_back() {
    let mut book = home();
    book.hand_out(ask(hardware("aaaa"), pending("bf09", "n"))).unwrap();
    book.keys_used(&id("bf09"), 50);
    book.hand_out(ask(Applicant::Id(id("bf01")), pending("x", "o"))).unwrap();
    book.check().unwrap();
    assert!(book.keys_used(&id("bf01"), 60));
    book.check().unwrap();
    let plug = book.find("plug").unwrap();
    assert_eq!((plug.id.as_str(), plug.aliases.as_slice()), ("bf01", [id("bf09")].as_slice()));
}

#[test]
fn what_would_make_two_devices_one_is_refused() {
    let mut book = home();
    let before = book.clone();
    let taken = book.hand_out(ask(hardware("dddd"), pending("bf02", "n"))).unwrap_err();
    assert_eq!(taken.to_string(), "two devices share the id bf02");
    assert_eq!(book, before);
    let mut twin = Device::new(id("bf07"), "Twin");
    twin.uuid = Some(uuid("aaaa"));
    book.add(twin).unwrap();
    let before = book.clone();
    let shared = book.hand_out(ask(hardware("aaaa"), pending("bf09", "n"))).unwrap_err();
    assert_eq!(shared.to_string(), "two devices share the uuid aaaa");
    assert_eq!(book, before);
}
