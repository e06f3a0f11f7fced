//! Devices whose local key is known, and whose sec key is not.

use landfall_proto::mqtt::login::Password;

use super::*;
use crate::backend::PinOutcome;

fn adopted() -> House {
    let mut plug = Device::new(id("bf01"), "Plug");
    plug.key = Some(local('a'));
    House::with(vec![plug, Device::new(id("bf02"), "Lamp")])
}

#[tokio::test(start_paused = true)]
async fn the_first_password_is_pinned_and_another_is_refused() {
    let mut house = adopted();
    let device = house.backend.by_id(&id("bf01")).unwrap();
    assert_eq!(device.keys, Some(Keys { local: local('a'), sec: None }));
    assert!(!device.pinned);
    assert_eq!(house.backend.pin(&id("bf01"), b"a79450a06a9c39d5").await, Ok(PinOutcome::Pinned));
    for _ in 0..2 {
        assert_eq!(house.backend.pin(&id("bf01"), b"a79450a06a9c39d5").await, Ok(PinOutcome::Fits));
        assert_eq!(house.backend.pin(&id("bf01"), b"a79450a06a9c39d6").await, Ok(PinOutcome::Differs));
        assert!(house.backend.by_id(&id("bf01")).unwrap().pinned);
        assert!(!house.text().contains("a79450a06a9c39d5"), "what is kept is a digest");
        house.restart();
    }
    assert_eq!(house.backend.unpin(&id("bf01")).await, Ok(true));
    assert_eq!(house.backend.pin(&id("bf01"), b"a79450a06a9c39d6").await, Ok(PinOutcome::Pinned));
}

#[tokio::test(start_paused = true)]
async fn of_two_first_passwords_one_wins() {
    let house = adopted();
    let bf01 = id("bf01");
    let (one, two) = tokio::join!(house.backend.pin(&bf01, b"one"), house.backend.pin(&bf01, b"two"));
    assert_eq!((one, two), (Ok(PinOutcome::Pinned), Ok(PinOutcome::Differs)));
    assert_eq!(house.backend.pin(&bf01, b"one").await, Ok(PinOutcome::Fits));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pinned_where_no_key_is_known_or_the_password_can_be_told() {
    let mut plug = Device::new(id("bf01"), "Plug");
    plug.key = Some(local('a'));
    plug.cloud.sec_key = Some(sec('b'));
    let house = House::with(vec![plug, Device::new(id("bf02"), "Lamp")]);
    let right = Password::of_device(&sec('b'));
    assert_eq!(house.backend.pin(&id("bf01"), b"other").await, Ok(PinOutcome::Differs));
    assert_eq!(house.backend.pin(&id("bf01"), right.expose().as_bytes()).await, Ok(PinOutcome::Fits));
    assert!(!house.backend.by_id(&id("bf01")).unwrap().pinned);
    let unknown = house.backend.pin(&id("bf02"), b"x").await.unwrap_err();
    assert_eq!(unknown.what, "no local key of bf02 is known");
    assert!(house.backend.pin(&id("bf03"), b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_adopted_device_that_is_activated_has_all_its_keys() {
    let house = adopted();
    assert_eq!(house.backend.pin(&id("bf01"), b"old").await, Ok(PinOutcome::Pinned));
    house.allow(Some("bf01"));
    let (_, told) = house.backend.activate(by_id("bf01")).await.unwrap();
    assert!(house.backend.by_id(&id("bf01")).unwrap().pinned, "until the new keys are used");
    house.backend.keys_used(&id("bf01")).await.unwrap();
    let device = house.backend.by_id(&id("bf01")).unwrap();
    assert!(!device.pinned && device.keys == Some(keys(&told.local_key, &told.sec_key)));
}
