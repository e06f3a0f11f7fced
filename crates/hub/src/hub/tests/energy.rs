//! Energy over the LAN: whatever breaks in between, the hub's kWh are what flowed, which only the simulator knows.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use landfall_proto::dp::{DpId, DpValue};
use landfall_sim::Simulation;
use landfall_sim::faults::Fault;
use landfall_sim::model::Physical;

use super::world::*;
use crate::Hub;
use crate::bus::Reader;
use crate::model::{Home as _, LineState, Presence, What};
use crate::store::Span;

/// A plug tells what flowed once it is worth ten watt-hours.
const RESOLUTION: i64 = 10;

const PLUG: &str = r#"
[[device]]
name = "Plug"
kind = "plug"
version = "3.4"
load = "none"
"#;

/// A run of the hub, with all that it told since its start.
struct Run {
    hub: Arc<Hub>,
    told: Reader,
    /// The highest total that was told.
    highest: i64,
}

impl Run {
    /// Begins with what an earlier run had counted. The plug can't tell anything meanwhile: it has nothing to tell.
    async fn start(world: &World, counted: i64) -> Self {
        let hub = world.hub(config()).await;
        let told = hub.bus().read(None);
        until(&hub, "what was counted", || hub.device("Plug").ok().filter(|_| total(&hub) == counted)).await;
        Self { hub, told, highest: counted }
    }

    /// Energy flows, and the hub counts so much in all; nothing that it told meanwhile fell.
    async fn uses(&mut self, sim: &Simulation, watt_hours: u32, total_after: i64) {
        sim.press("Plug", Physical::Energy(watt_hours)).await.unwrap();
        until(&self.hub, "what flowed", || (total(&self.hub) == total_after).then_some(())).await;
        self.is_true(sim).await;
    }

    /// The total is what flowed, but for what the plug keeps to itself yet.
    async fn is_true(&mut self, sim: &Simulation) {
        #[allow(clippy::cast_possible_truncation)] // whole ones: nothing is plugged in
        let flowed = sim.flowed("Plug").await.unwrap().unwrap().round() as i64;
        let counted = total(&self.hub);
        assert!((0..RESOLUTION).contains(&(flowed - counted)), "{counted} Wh of {flowed}");
        // What is shown is told, maybe a moment later.
        while self.highest < counted {
            let changes = tokio::time::timeout(PATIENCE, self.told.next()).await.expect("it is told");
            for change in changes.expect("the bus lives").expect("nothing is missed") {
                if let What::Energy(view) = &change.what {
                    let now = view.total.0 / 1_000;
                    assert!(now >= self.highest, "it fell from {} to {now} Wh", self.highest);
                    assert!(now <= flowed, "{now} Wh were told of {flowed}");
                    self.highest = now;
                }
            }
        }
        assert_eq!(self.highest, counted, "more was told than is shown");
    }

    /// Does something that breaks the line, and waits until it is up again.
    async fn breaks(&mut self, what: impl Future<Output = ()>) {
        let mut reader = self.hub.bus().read(Some(self.hub.bus().last()));
        what.await;
        for wanted in [false, true] {
            change(&mut reader, "the line", |c| match &c.what {
                What::Line { view, .. } => ((view.state == LineState::Up) == wanted).then_some(()),
                _ => None,
            })
            .await;
        }
        view(&self.hub, "Plug", |v| v.presence == Presence::Online).await;
    }
}

fn total(hub: &Hub) -> i64 {
    hub.device("Plug").ok().and_then(|v| v.energy).map_or(0, |e| e.total.0 / 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flowed_is_counted_once_through_resets_restarts_and_lost_lines() {
    let (world, sim) = (World::new(), devices(PLUG).await);
    world.adopt(sim.devices()).await;
    let mut run = Run::start(&world, 0).await;
    // What its points mean is found out once they are there; only then is anything counted.
    view(&run.hub, "Plug", |v| v.presence == Presence::Online && v.energy.is_some()).await;
    run.uses(&sim, 12, 12).await;
    run.uses(&sim, 13, 25).await;
    // Not worth a report yet.
    run.uses(&sim, 4, 25).await;

    // The plug loses its power. What it shows when it is asked afterwards is its last increment, which is counted already;
    // what it had not told comes with the next one, which is equal to an earlier one and is added all the same. (Within one
    // second of the device's clock it would be a message that is sent again.)
    run.breaks(async { sim.press("Plug", Physical::PowerCycle).await.unwrap() }).await;
    run.uses(&sim, 8, 37).await;

    // Its point falls to zero, is an increment again, and falls once more.
    for shown in [0, 14, 0] {
        let what =
            if shown == 0 { Physical::Value(DpId(17), DpValue::Value(0)) } else { Physical::Energy(14) };
        sim.press("Plug", what).await.unwrap();
        let is = |v: &crate::model::DeviceView| {
            v.points.get(&DpId(17)).is_some_and(|p| p.value == DpValue::Value(shown))
        };
        view(&run.hub, "Plug", is).await;
    }
    run.uses(&sim, 3, 51).await;

    // The line breaks, and while it is down some energy flows.
    run.breaks(async {
        sim.fault("Plug", Fault::Reset).await.unwrap();
        sim.press("Plug", Physical::Energy(3)).await.unwrap();
    })
    .await;
    run.is_true(&sim).await;
    run.uses(&sim, 5, 62).await;
    run.breaks(async { sim.fault("Plug", Fault::Reboot(Duration::from_millis(400))).await.unwrap() }).await;
    run.uses(&sim, 6, 62).await;

    // The hub starts anew, and energy flows while it is away.
    run.hub.shutdown().await;
    sim.press("Plug", Physical::Energy(2)).await.unwrap();
    let mut run = Run::start(&world, 62).await;
    online(&run.hub, "Plug").await;
    run.is_true(&sim).await;
    run.uses(&sim, 20, 90).await;

    let id = id_of(&sim, "Plug");
    run.hub.shutdown().await;
    let now = world.clock.unix_ms();
    let (from, to) = (now - 7_200_000, now + 3_600_000);
    let bars = world.store.energy(&id, from, to, Span::Hour, &TimeZone::UTC).await.unwrap();
    assert!(bars.iter().all(|bar| bar.used.0 >= 0), "{bars:?}");
    assert_eq!(bars.iter().map(|bar| bar.used.0).sum::<i64>(), 90_000, "{bars:?}");
    sim.shutdown().await;
}
