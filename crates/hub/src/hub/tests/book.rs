//! What people change in the book.

use landfall_book::{BookStore as _, Device, FileStore, OutcomeKind};
use landfall_link::diagnose;
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;

use super::world::*;
use crate::hub::HubConfig;
use crate::model::{By, CommandOptions, DefinitionEdit, Edit, Home as _, NewDevice, ProblemKind, What};

const KEY: &str = "s3cr3t-0f-a-plug";

fn new(id: &str, name: &str) -> NewDevice {
    NewDevice {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        key: Some(LocalKey::new(KEY).unwrap()),
        version: Some(Version::V3_3),
        ..NewDevice::default()
    }
}

/// No sockets.
fn quiet() -> HubConfig {
    HubConfig { lan: false, ..config() }
}

#[tokio::test]
async fn devices_are_added_renamed_and_removed() {
    let world = World::new();
    let hub = world.hub(quiet()).await;
    let mut reader = hub.bus().read(None);
    let view = hub.add(new("bf0000000000000000aa", "Kettle")).await.unwrap();
    assert_eq!((view.facts.name.as_str(), view.facts.has_key), ("Kettle", true));
    change(&mut reader, "added", |c| matches!(c.what, What::Added).then_some(())).await;
    hub.add(new("bf0000000000000000bb", "Lamp")).await.unwrap();

    let id = view.id().clone();
    let edit = Edit { name: Some("Tea".into()), room: Some(" Kitchen ".into()), ..Edit::default() };
    let view = hub.edit(&id, edit).await.unwrap();
    assert_eq!((view.facts.name.as_str(), view.facts.room.as_deref()), ("Tea", Some("Kitchen")));
    change(&mut reader, "renamed", |c| match &c.what {
        What::Renamed { from, to } => (from == "Kettle" && to == "Tea").then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(hub.device("tea").unwrap().id(), &id, "the case of letters does not matter");
    assert_eq!(hub.device("Kettle").unwrap_err().code, "device.unknown");
    let view = hub.edit(&id, Edit { room: Some(String::new()), ..Edit::default() }).await.unwrap();
    assert_eq!(view.facts.room, None);
    assert_eq!(hub.key(&id).unwrap().unwrap().expose_str(), KEY);

    hub.remove(&id, true).await.unwrap();
    change(&mut reader, "removed", |c| match &c.what {
        What::Removed { name } => (name == "Tea").then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(hub.devices().len(), 1);
    // What was changed is on disk.
    let book = world.book.read(|b| b.devices().iter().map(|d| d.name.clone()).collect::<Vec<_>>());
    assert_eq!(book, ["Lamp"]);
    hub.shutdown().await;
}

#[tokio::test]
async fn what_can_not_be_is_refused_with_a_code_and_changes_nothing() {
    let world = World::new();
    let hub = world.hub(quiet()).await;
    let kettle = hub.add(new("bf0000000000000000aa", "Kettle")).await.unwrap().id().clone();
    hub.add(new("bf0000000000000000bb", "Lamp")).await.unwrap();
    let nobody = DeviceId::new("bf00000000000000nobody").unwrap();

    let unknown = hub.device("Ketle").unwrap_err();
    assert_eq!((unknown.code, unknown.kind), ("device.unknown", ProblemKind::Unknown));
    assert!(unknown.hint.as_deref().is_some_and(|h| h.contains("Kettle")), "{unknown:?}");
    let code = |problem: crate::model::Problem| problem.code;
    assert_eq!(code(hub.add(new("bf0000000000000000cc", "kettle")).await.unwrap_err()), "name.taken");
    assert_eq!(code(hub.add(new("bf0000000000000000aa", "Other")).await.unwrap_err()), "device.exists");
    assert_eq!(code(hub.add(new("b/f", "Other")).await.unwrap_err()), "device.bad_id");
    let orphan = NewDevice { parent: Some(nobody.clone()), ..new("bf0000000000000000dd", "Orphan") };
    assert_eq!(code(hub.add(orphan).await.unwrap_err()), "gateway.unknown");
    let taken = Edit { name: Some("LAMP".into()), sleeper: Some(true), ..Edit::default() };
    assert_eq!(code(hub.edit(&kettle, taken).await.unwrap_err()), "name.taken");
    assert!(!hub.device("Kettle").unwrap().facts.sleeper, "nothing of a refused change is done");
    let wrong = Edit { definition: Some(DefinitionEdit::Whole("[[[".into())), ..Edit::default() };
    assert_eq!(code(hub.edit(&kettle, wrong).await.unwrap_err()), "definition.invalid");
    assert_eq!(code(hub.edit(&nobody, Edit::default()).await.unwrap_err()), "device.unknown");
    assert_eq!(code(hub.remove(&nobody, false).await.unwrap_err()), "device.unknown");
    assert_eq!(code(hub.doctor(&nobody).await.unwrap_err()), "device.unknown");
    let options = CommandOptions::of(By::Cli);
    assert_eq!(code(hub.set(&nobody, switch(true), options).await.unwrap_err()), "device.unknown");
    assert_eq!(code(hub.set(&kettle, switch(true), options).await.unwrap_err()), "device.offline");
    assert_eq!(code(hub.refresh(&kettle, Vec::new()).await.unwrap_err()), "device.offline");
    assert_eq!(code(hub.import("{", true).await.unwrap_err()), "import.invalid");
    assert_eq!(hub.devices().len(), 2);
    hub.shutdown().await;
    assert_eq!(code(hub.set(&kettle, switch(true), options).await.unwrap_err()), "hub.ending");
}

#[tokio::test]
async fn an_import_is_shown_before_it_is_done() {
    let file = format!(r#"[{{"id":"bf0000000000000000aa","name":"Kettle","key":"{KEY}"}}]"#);
    let world = World::new();
    let hub = world.hub(quiet()).await;
    let shown = hub.import(&file, false).await.unwrap();
    assert!(matches!(shown[0].kind, OutcomeKind::Added { .. }), "{shown:?}");
    assert!(hub.devices().is_empty());
    assert_eq!(hub.import(&file, true).await.unwrap(), shown);
    assert_eq!(hub.device("Kettle").unwrap().facts.name, "Kettle");
    assert!(!format!("{shown:?} {:?}", hub.devices()).contains(KEY));
    hub.shutdown().await;
}

#[tokio::test]
async fn another_program_may_change_the_book() {
    let world = World::new();
    let hub = world.hub(quiet()).await;
    let id = DeviceId::new("bf0000000000000000aa").unwrap();
    let other = FileStore::new(world.dir());
    other.update(&mut |book| book.add(Device::new(id.clone(), "Kettle")).map(|_| ())).unwrap();
    view(&hub, "Kettle", |v| !v.facts.has_key).await;
    hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_device_is_healthy_and_stays_connected() {
    let world = World::new();
    let sim = devices("[[device]]\nname = \"Plug\"\nkind = \"plug\"\nversion = \"3.4\"\n").await;
    world.adopt(sim.devices()).await;
    let hub = world.hub(config()).await;
    let plug = online(&hub, "Plug").await;
    let verdict = hub.doctor(plug.id()).await.unwrap();
    assert_eq!(verdict.code, diagnose::Verdict::Healthy.code(), "{verdict:?}");
    assert!(verdict.evidence.iter().any(|e| e.contains("3.4")), "{verdict:?}");

    // One that fails is examined, and its connection is opened again after it.
    let wrong = LocalKey::new("not the real key").unwrap();
    let right = hub.key(plug.id()).unwrap();
    hub.edit(plug.id(), Edit { key: Some(wrong), ..Edit::default() }).await.unwrap();
    view(&hub, "Plug", |v| v.lan.why.is_some()).await;
    let verdict = hub.doctor(plug.id()).await.unwrap();
    assert_eq!(verdict.code, diagnose::Verdict::WrongKey.code(), "{verdict:?}");
    assert!(!verdict.next.is_empty());
    hub.edit(plug.id(), Edit { key: right, ..Edit::default() }).await.unwrap();
    online(&hub, "Plug").await;
    world.end(&hub, sim).await;
}

#[tokio::test]
async fn a_back_up_holds_the_book_and_overwrites_nothing() {
    let world = World::new();
    let hub = world.hub(quiet()).await;
    hub.add(new("bf0000000000000000aa", "Kettle")).await.unwrap();
    hub.add(new("bf0000000000000000bb", "Lamp")).await.unwrap();
    let to = tempfile::tempdir().unwrap();
    std::fs::write(to.path().join("mine"), "").unwrap();
    assert_eq!(hub.back_up(to.path()).await.unwrap_err().code, "backup.not_empty");
    std::fs::remove_file(to.path().join("mine")).unwrap();
    let authority = world.dir().join("ca");
    std::fs::create_dir(&authority).unwrap();
    for file in ["ca.pem", landfall_link::tls::authority::LOCK] {
        std::fs::write(authority.join(file), "").unwrap();
    }
    // The store in memory can't be copied; the book is there all the same.
    let problem = hub.back_up(to.path()).await.unwrap_err();
    assert_eq!(problem.code, "backup.failed", "{problem:?}");
    assert!(to.path().join("ca/ca.pem").exists());
    assert!(!to.path().join("ca/lock").exists(), "a lock is nobody's memory");
    // What is in the log is in the copy, which needs none.
    assert!(world.dir().join("book.log").exists() && !to.path().join("book.log").exists());
    let copy = FileStore::new(to.path()).load().unwrap();
    assert_eq!(copy, FileStore::new(world.dir()).load().unwrap());
    assert_eq!(copy.devices().len(), 2);
    hub.shutdown().await;
}
