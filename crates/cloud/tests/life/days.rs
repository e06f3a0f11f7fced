//! A whole day of a house, with everything in it, and a sleeper's.

use std::time::Duration;

use landfall_cloud::event::What;
use landfall_cloud::mqtt::Outcome;
use landfall_proto::dp::{DpId, DpValue};
use landfall_sim::journal::Line;
use landfall_sim::model::Physical;

use crate::house::House;
use crate::lives::{HOUR, MINUTE, MORNING, NEW, settled, switch};

#[tokio::test(start_paused = true)]
async fn a_day_of_reports_and_commands_with_an_outage_in_it() {
    let mut house = settled().await;
    let mut events = house.shared().events();
    let mut reports = [0_u64; 3];
    let mut commands = 0;
    for hour in 0..24_u32 {
        if hour == 13 {
            house.kill().await;
            house.pass(MINUTE * 20).await;
            events = house.start();
            house.all_online(HOUR).await;
        }
        if hour % 7 == 5 {
            house.cut();
            house.all_online(HOUR).await;
        }
        let shared = house.shared();
        for name in NEW {
            let outcome =
                shared.devices.set(&shared, &house.id_of(name), None, switch(hour % 2 == 0), MINUTE).await;
            assert_eq!(outcome, Outcome::Confirmed, "{name} at hour {hour}");
        }
        commands += 1;
        drop(shared);
        house.pass(MINUTE * 50).await;
        while let Ok(event) = events.try_recv() {
            if let (What::Report { .. }, Some(id)) = (&event.what, &event.device)
                && let Some(at) = NEW.iter().position(|name| house.id_of(name) == *id)
            {
                reports[at] += 1;
            }
            // What a device signs with a factory key that nobody told us can't be checked, and harms nobody.
            if let What::Refusal { code, .. } = event.what {
                assert_eq!(code, "gateway.key_unknown", "hour {hour}: {event:?}");
            }
        }
    }
    for (name, reports) in NEW.iter().zip(reports) {
        let journal = house.devices.journal(name).expect("it runs");
        assert_eq!(journal.disasters(), 0, "{name}");
        let by_cloud = journal.writes().iter().filter(|w| w.line == Line::Cloud).count();
        assert_eq!(by_cloud, commands, "{name}: each command once");
        assert!(reports >= 24, "{name} reported {reports} times in a day");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sleeper_is_heard_whenever_it_wakes() {
    let home = r#"
        [[device]]
        name = "Garden"
        kind = "battery-sensor"
        cloud = { generation = "C", activated = false, wake_every_s = 3600 }
    "#;
    let mut house = House::new(MORNING, home).await;
    let mut events = house.start();
    house.open_window(MINUTE * 10, None);
    house.devices.pair("Garden", "EU", "AbCdEfGh").await.expect("it can be paired");
    let mut heard = async |house: &House, within: Duration| {
        let report = async {
            loop {
                let event = events.recv().await.expect("no event is lost");
                if let What::Report { dps, .. } = &event.what {
                    return dps.clone();
                }
            }
        };
        let dps = tokio::time::timeout(within, report).await.expect("it reports");
        house.until("it sleeps", MINUTE * 5, async |house| !house.is_online("Garden").await).await;
        while events.try_recv().is_ok() {}
        dps
    };
    heard(&house, MINUTE * 5).await;
    // By itself, every hour.
    for _ in 0..3 {
        heard(&house, HOUR + MINUTE * 5).await;
    }
    // And at once when it gets warm.
    let warm = Physical::Value(DpId(1), DpValue::Value(301));
    house.devices.press("Garden", warm).await.expect("a thermometer");
    let dps = heard(&house, MINUTE).await;
    assert_eq!(dps.value(DpId(1)), Some(&DpValue::Value(301)));
    assert_eq!(house.devices.journal("Garden").expect("it runs").disasters(), 0);
}
