//! The power goes at the worst moment.

use landfall_book::{BookStore as _, FileStore, Hardware};
use landfall_cloud::backend::Backend;
use landfall_cloud::event::What;
use landfall_proto::id::{AuthKey, Uuid};

use crate::house::House;
use crate::lives::{MINUTE, MORNING};

const UUID: &str = "uuidtest0001abcd";
const AUTH_KEY: &str = "Abcdefgh01234567Ijklmnop89abcdef";

#[tokio::test(start_paused = true)]
async fn a_device_that_was_told_keys_right_before_a_power_cut_comes_back_with_them() {
    let home = format!(
        r#"
[[device]]
name = "New"
kind = "plug"
version = "3.4"
load = "lamp"
cloud = {{ generation = "C", activated = false, uuid = "{UUID}", auth_key = "{AUTH_KEY}" }}
"#
    );
    for listed in [false, true] {
        let mut house = House::new(MORNING, &home).await;
        let events = house.start();
        let book = |house: &House| FileStore::new(house.directory()).load().expect("a whole book");
        if listed {
            // The owner has read its flash: its uuid and its keys are known.
            let (uuid, auth_key) = (Uuid::new(UUID).expect("a uuid"), AuthKey::new(AUTH_KEY).ok());
            let hardware = Hardware { uuid, name: None, auth_key, psk_key: None };
            house.backend().add_hardware(hardware).await.expect("it is kept");
        }
        house.open_window(MINUTE * 10, None);
        while book(&house).reserve_len() == 0 {
            house.pass(MINUTE / 60).await;
        }
        let cut = house.left_at(events, |e| matches!(e.what, What::Activation { .. }));
        house.devices.pair("New", "EU", "AbCdEfGh").await.expect("it can be paired");
        let (left, event) = cut.await.expect("it is told keys");
        let told = event.device.expect("a device");
        house.power_cut(left).await;
        let left = book(&house);
        assert!(left.devices().is_empty() && left.reserved(&told).is_some(), "it was told, and not entered");
        let mut events = house.start();
        house.online("New", MINUTE * 5).await;
        assert_eq!(house.id_of("New"), told);
        let back = loop {
            let event = events.recv().await.expect("no event is lost");
            assert!(!matches!(event.what, What::Activation { .. } | What::Refusal { .. }), "{event:?}");
            if matches!(event.what, What::TakenIn) {
                break event.device;
            }
        };
        assert_eq!(back.as_ref(), Some(&told));
        let known = house.backend().by_id(&told).expect("it is in the book");
        assert!(known.keys.is_some() && known.pending.is_none());
        assert!(book(&house).reserved(&told).is_none());
        // And once more, as a device like all others.
        house.kill().await;
        house.start();
        house.online("New", MINUTE * 5).await;
    }
}
