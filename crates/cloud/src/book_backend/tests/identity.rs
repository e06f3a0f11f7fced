//! Who is given keys, which, and when they count.

use landfall_book::cloud_side::CloudSide;
use landfall_proto::psk::{DeviceHash, PskType};

use super::*;
use crate::backend::ActivationRefusal;

#[tokio::test(start_paused = true)]
async fn without_a_window_nothing_is_answered_and_nothing_changes() {
    let house = House::with(vec![Device::new(id("bf01"), "Plug")]);
    let before = house.text();
    for ask in [by_uuid("aaaa"), by_id("02200194dc4f22135606"), by_id("bf01")] {
        assert_eq!(house.backend.window(&ask.who), None);
        assert!(matches!(house.backend.activate(ask).await, Err(ActivationRefusal::NoWindow)));
    }
    house.allow(Some("bbbb"));
    assert!(matches!(house.backend.activate(by_uuid("aaaa")).await, Err(ActivationRefusal::NoWindow)));
    assert_eq!(house.text(), before);
    assert_eq!(house.backend.window(&by_uuid("bbbb").who), Some(NOW + 600));
    house.backend.activate(by_uuid("bbbb")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_window_ends_by_time_and_by_a_restart() {
    let mut house = House::with(Vec::new());
    house.allow(None);
    tokio::time::sleep(Duration::from_secs(599)).await;
    house.backend.activate(by_uuid("aaaa")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(house.backend.activate(by_uuid("aaaa")).await, Err(ActivationRefusal::NoWindow)));
    house.allow(None);
    house.restart();
    assert!(matches!(house.backend.activate(by_uuid("aaaa")).await, Err(ActivationRefusal::NoWindow)));
}

#[tokio::test(start_paused = true)]
async fn a_window_opened_for_a_device_by_its_id_holds_for_its_hardware() {
    let mut plug = Device::new(id("bf01"), "Plug");
    plug.uuid = Some(uuid("aaaa"));
    let house = House::with(vec![plug]);
    house.allow(Some("bf01"));
    assert!(house.backend.window(&by_uuid("aaaa").who).is_some());
    house.backend.activate(by_uuid("aaaa")).await.unwrap();
    assert!(matches!(house.backend.activate(by_uuid("bbbb")).await, Err(ActivationRefusal::NoWindow)));
}

#[tokio::test(start_paused = true)]
async fn hardware_whose_auth_key_is_known_must_sign() {
    let house = House::of(|book| book.add_hardware(hardware("aaaa")).unwrap());
    house.allow(None);
    let before = house.known();
    assert!(matches!(house.backend.activate(by_uuid("aaaa")).await, Err(ActivationRefusal::Unsigned)));
    // Nor by an id that is spelt like the uuid.
    assert!(matches!(house.backend.activate(by_id("aaaa")).await, Err(ActivationRefusal::Unsigned)));
    assert_eq!(house.known(), before);
    let signed = ActivationAsk { signed: true, ..by_uuid("aaaa") };
    let (device, _) = house.backend.activate(signed).await.unwrap();
    assert!(device.auth_key.is_some(), "the keys of the hardware are the device's now");
    house.entered().await;
    assert!(house.book().hardware().is_empty());
    assert!(matches!(house.backend.activate(by_uuid("aaaa")).await, Err(ActivationRefusal::Unsigned)));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_lost_the_answer_gets_the_same_again_in_the_same_window() {
    let mut house = House::with(Vec::new());
    house.allow(None);
    let (_, first) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    let (_, again) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    assert_eq!(again, first);
    // At the same time, too.
    let (one, two) =
        tokio::join!(house.backend.activate(by_uuid("bbbb")), house.backend.activate(by_uuid("bbbb")));
    assert_eq!(one.unwrap().1, two.unwrap().1);
    // In another window the keys that were told once are not told again.
    house.close(None);
    house.allow(None);
    let (_, other) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    assert!(other.local_key != first.local_key && other.sec_key != first.sec_key);
    // Nor after a restart.
    house.restart();
    house.allow(None);
    let (_, third) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    assert!(third.local_key != other.local_key);
}

#[tokio::test(start_paused = true)]
async fn keys_in_use_are_never_handed_out() {
    let house = House::with(Vec::new());
    house.allow(None);
    let (_, first) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    house.backend.keys_used(first.dev_id.as_ref().unwrap()).await.unwrap();
    let (_, second) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    assert!(second.local_key != first.local_key && second.sec_key != first.sec_key);
    assert_ne!(second.dev_id, first.dev_id);
}

#[tokio::test(start_paused = true)]
async fn new_keys_replace_old_ones_at_their_first_use_only() {
    let mut plug = Device::new(id("bf01"), "Kitchen plug");
    plug.uuid = Some(uuid("aaaa"));
    plug.key = Some(local('a'));
    plug.cloud.sec_key = Some(sec('b'));
    let mut house = House::with(vec![plug]);
    let old = keys(&local('a'), &sec('b'));
    house.allow(None);
    let (waiting, told) = house.backend.activate(by_uuid("aaaa")).await.unwrap();
    let new = told.dev_id.clone().unwrap();
    house.restart();
    // Both can log in, each with its own keys only.
    let before = house.backend.by_id(&id("bf01")).unwrap();
    assert_eq!((&before.keys, &before.pending), (&Some(old.clone()), &None));
    let view = house.backend.by_id(&new).unwrap();
    assert_eq!((&view.keys, &view.pending), (&None, &Some(keys(&told.local_key, &told.sec_key))));
    assert_eq!(view.id, waiting.id);
    assert!(view.is_same_device(&before), "a TLS identity fits both");
    assert_eq!(house.backend.devices().len(), 1);
    house.backend.keys_used(&new).await.unwrap();
    house.restart();
    let after = house.backend.by_id(&new).unwrap();
    assert_eq!((&after.keys, &after.pending), (&Some(keys(&told.local_key, &told.sec_key)), &None));
    assert_eq!(after.name, "Kitchen plug");
    assert_eq!(house.backend.by_id(&id("bf01")).unwrap().id, new, "the old id is an alias");
    let book = house.book();
    let device = &book.devices()[0];
    assert_eq!(device.aliases, [id("bf01")]);
    let past: Vec<_> = device.key_history.iter().map(|p| (&p.key, p.sec.as_ref())).collect();
    assert_eq!(past, [(&local('a'), Some(&sec('b')))]);
}

#[tokio::test(start_paused = true)]
async fn old_devices_keep_the_id_of_the_factory() {
    let house = House::with(Vec::new());
    house.allow(None);
    let factory = "02200194dc4f22135606";
    let (device, told) = house.backend.activate(by_id(factory)).await.unwrap();
    assert_eq!((device.id.as_str(), &told.dev_id), (factory, &None));
    house.backend.keys_used(&id(factory)).await.unwrap();
    let device = house.backend.by_id(&id(factory)).unwrap();
    assert_eq!(device.keys, Some(keys(&told.local_key, &told.sec_key)));
    assert_eq!(device.name, "Metering plug", "its product is known by the number in its id");
    // Activated anew it has two sets of keys under one id, until it uses the new ones.
    let (_, new) = house.backend.activate(by_id(factory)).await.unwrap();
    let device = house.backend.by_id(&id(factory)).unwrap();
    assert_eq!(device.keys, Some(keys(&told.local_key, &told.sec_key)));
    assert_eq!(device.pending, Some(keys(&new.local_key, &new.sec_key)));
    house.backend.keys_used(&id(factory)).await.unwrap();
    assert!(house.book().devices()[0].aliases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_known_id_counts_only_where_the_request_was_signed() {
    let imported = |name: &str, n: &str| {
        let mut device = Device::new(id(n), name);
        device.key = Some(local('a'));
        device
    };
    let mut house = House::of(|book| {
        book.add(imported("Lamp", "bf01")).unwrap();
        book.add_hardware(hardware("aaaa")).unwrap();
    });
    house.allow(None);
    let stranger = ActivationAsk { had_id: Some(id("bf01")), ..by_uuid("bbbb") };
    let (device, _) = house.backend.activate(stranger).await.unwrap();
    assert_eq!(device.name, "New device");
    let signed = ActivationAsk { had_id: Some(id("bf01")), signed: true, ..by_uuid("aaaa") };
    let (device, told) = house.backend.activate(signed).await.unwrap();
    assert_eq!(device.name, "Lamp");
    house.backend.keys_used(told.dev_id.as_ref().unwrap()).await.unwrap();
    house.restart();
    let lamp = house.backend.by_id(&id("bf01")).unwrap();
    assert_eq!((Some(&lamp.id), lamp.uuid.clone()), (told.dev_id.as_ref(), Some(uuid("aaaa"))));
}

#[tokio::test(start_paused = true)]
async fn two_addresses_are_not_given_the_keys_of_one_unsigned_device() {
    let house = House::with(Vec::new());
    house.allow(None);
    house.backend.activate(by_uuid("aaaa")).await.unwrap();
    let other = ActivationAsk { peer: Some([192, 168, 1, 66].into()), ..by_uuid("aaaa") };
    assert!(matches!(house.backend.activate(other).await, Err(ActivationRefusal::Elsewhere)));
}

#[tokio::test(start_paused = true)]
async fn whoever_plays_with_uuids_is_stopped() {
    let house = House::of(|book| {
        for n in 0..landfall_book::registration::MAX_UNUSED {
            let mut device = Device::new(id(&format!("bf{n}")), format!("New device {n}"));
            device.cloud.pending = Some(landfall_book::cloud_side::Pending {
                id: id(&format!("bf{n}")),
                local: local('a'),
                sec: sec('a'),
                since: 1,
                told: landfall_book::cloud_side::ToldSchema {
                    id: "0".into(),
                    text: "[]".into(),
                    guess: true,
                },
                envelope: None,
                generation: Generation::C,
            });
            book.add(device).unwrap();
        }
    });
    house.allow(None);
    let refused = house.backend.activate(by_uuid("aaaa")).await.unwrap_err();
    assert!(matches!(refused, ActivationRefusal::Crowded(256)), "{refused}");
    // One who is known can still come.
    house.backend.activate(by_id("bf7")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn devices_are_found_by_every_name_they_have() {
    let mut plug = Device::new(id("bf01"), "Plug");
    plug.uuid = Some(uuid("aaaa"));
    plug.aliases = vec![id("bf00")];
    let house = House::of(|book| {
        book.add(plug).unwrap();
        book.add_hardware(hardware("cccc")).unwrap();
    });
    let found = |kind, text| house.backend.by_hash(&DeviceHash::of(kind, text)).map(|d| d.name.clone());
    for (kind, text, name) in [
        (PskType::One, "aaaa", Some("Plug")),
        (PskType::Two, "aaaa", Some("Plug")),
        (PskType::One, "bf01", Some("Plug")),
        (PskType::One, "bf00", Some("Plug")),
        (PskType::Two, "cccc", Some("cccc")),
        (PskType::One, "dddd", None),
    ] {
        assert_eq!(found(kind, text).as_deref(), name, "{text}");
    }
    let never = house.backend.by_uuid(&uuid("cccc")).unwrap();
    assert!(never.auth_key.is_some() && never.keys.is_none() && never.id.as_str() == "cccc");
    assert!(house.backend.by_id(&id("cccc")).is_none(), "it cannot log in by it");
    assert_eq!(house.backend.by_id(&id("bf00")).unwrap().id, id("bf01"));
}

#[tokio::test(start_paused = true)]
async fn answers_fit_the_buffers_of_devices() {
    let house = House::with(Vec::new());
    house.allow(None);
    let mut asks: Vec<ActivationAsk> = landfall_sim::kind::Kind::ALL
        .iter()
        .enumerate()
        .map(|(n, kind)| ActivationAsk {
            product_id: Some(product(landfall_sim::product::Product::of(*kind).id)),
            ..by_uuid(&format!("uuid{n}"))
        })
        .collect();
    asks.push(by_uuid("unknown"));
    asks.push(by_id("02200194dc4f22135606"));
    for ask in asks {
        let (_, mut told) = house.backend.activate(ask).await.unwrap();
        told.std_time_zone = Some("+01:00".into());
        told.time_zone = Some("+02:00".into());
        told.dst_intervals = vec![[1_774_746_000, 1_792_890_000]; 5];
        let result = told.to_result().unwrap();
        assert!(told.schema_id.len() <= 16 && told.local_key.expose_str().len() == 16);
        // Encrypted and in base64, with the rest of the answer, within 8,192 bytes.
        assert!((result.as_str().len() + 64) * 4 / 3 + 300 < 8_192, "{}", result.as_str().len());
    }
}

#[tokio::test(start_paused = true)]
async fn no_key_shows() {
    let mut plug = Device::new(id("bf01"), "Plug");
    plug.key = Some(local('a'));
    plug.cloud = CloudSide { sec_key: Some(sec('b')), ..CloudSide::default() };
    let house = House::of(|book| {
        book.add(plug).unwrap();
        book.add_hardware(hardware("cccc")).unwrap();
    });
    house.allow(None);
    let (device, told) = house.backend.activate(by_uuid("dddd")).await.unwrap();
    let shown = format!("{device:?} {told:?} {:?} {:?}", house.backend.devices(), house.book());
    for secret in ["aaaaaaaa", "bbbbbbbb", "Abcdefgh", told.sec_key.expose_str(), told.local_key.expose_str()]
    {
        assert!(!shown.contains(secret), "{shown}");
    }
}
