//! A hub whose database is away when it starts.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;
use landfall_sim::Simulation;
use landfall_sim::model::Physical;

use super::world::{World, config, devices, id_of, is_on, online, options, switch, until, view};
use crate::Hub;
use crate::model::{Home as _, MilliWattHours, Outcome, Seq};
use crate::settings::StoreTls;
use crate::store::suite::server::{PASSWORD, Server};
use crate::store::writer::Limits;
use crate::store::{
    Bar, Batch, EventRow, HistoryQuery, Memory, Password, Place, PostgresSettings, Remembered, Retention,
    Series, Span, Store, StoreError, Writer, open,
};

/// A server that can be away.
#[derive(Debug, Default)]
struct Away {
    memory: Memory,
    away: AtomicBool,
}

impl Away {
    fn there(&self) -> Result<&Memory, StoreError> {
        if !self.away.load(Ordering::SeqCst) {
            return Ok(&self.memory);
        }
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        Err(StoreError::Database { what: "can't open it".to_owned(), source })
    }
}

#[async_trait]
impl Store for Away {
    fn kind(&self) -> &'static str {
        "away"
    }
    fn is_remote(&self) -> bool {
        true
    }
    async fn remembered(&self) -> Result<Remembered, StoreError> {
        self.there()?.remembered().await
    }
    async fn append(&self, batch: &Batch) -> Result<u64, StoreError> {
        self.there()?.append(batch).await
    }
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError> {
        self.there()?.history(query).await
    }
    async fn energy(
        &self,
        device: &DeviceId,
        from_ms: u64,
        to_ms: u64,
        span: Span,
        zone: &TimeZone,
    ) -> Result<Vec<Bar>, StoreError> {
        self.there()?.energy(device, from_ms, to_ms, span, zone).await
    }
    async fn events(
        &self,
        device: Option<&DeviceId>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.there()?.events(device, before, limit).await
    }
    async fn tidy(&self, now_ms: u64) -> Result<(), StoreError> {
        self.there()?.tidy(now_ms).await
    }
    async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError> {
        self.there()?.rename(from, to).await
    }
    async fn forget(&self, device: &DeviceId) -> Result<(), StoreError> {
        self.there()?.forget(device).await
    }
    async fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        self.there()?.back_up(to).await
    }
    async fn bytes(&self) -> Option<u64> {
        None
    }
    async fn close(&self) {}
}

const PLUG: &str = r#"
[[device]]
name = "Plug"
kind = "plug"
version = "3.3"
load = "none"
"#;

/// What flows through the plug, told as its increments are. Two equal ones in a row would be one: the device's own.
async fn use_energy(hub: &Hub, sim: &Simulation, watt_hours: &[i64]) {
    for n in watt_hours {
        let before = energy(hub);
        sim.press("Plug", Physical::Value(DpId(17), DpValue::Value(*n))).await.unwrap();
        until(hub, "the increment", || (energy(hub) == before + n).then_some(())).await;
    }
}

/// Total in whole watt-hours.
fn energy(hub: &Hub) -> i64 {
    hub.device("Plug").unwrap().energy.map_or(0, |e| e.total.0 / 1_000)
}

async fn start(world: &World, store: &Arc<dyn Store>, most_rows: usize) -> Arc<Hub> {
    let limits = Limits { most_rows, ..Limits::default() };
    let writer = Writer::with_limits(Arc::clone(store), world.clock, limits);
    let (store, book) = (Arc::clone(store), Arc::clone(&world.book));
    Hub::start(config(), world.clock, store, writer, book, None).await.unwrap()
}

/// A run that keeps 12 Wh, then one that begins while the store is away. `store` makes one that is not open yet.
async fn lives_through(
    store: impl Fn() -> Arc<dyn Store>,
    leave: impl FnOnce(),
    come_back: impl FnOnce() -> Arc<dyn Store>,
) {
    let world = World::new();
    let sim = devices(PLUG).await;
    world.adopt(sim.devices()).await;
    let hub = start(&world, &store(), 100_000).await;
    online(&hub, "Plug").await;
    use_energy(&hub, &sim, &[7, 5]).await;
    let before = hub.bus().last();
    hub.shutdown().await;

    leave();
    let hub = start(&world, &store(), 12).await;
    // It controls, and counts.
    online(&hub, "Plug").await;
    let plug = id_of(&sim, "Plug");
    for on in [false, true] {
        let ended = hub.set(&plug, switch(on), options()).await.unwrap();
        assert_eq!(ended.outcome, Outcome::Confirmed);
        view(&hub, "Plug", |v| is_on(v) == Some(on)).await;
    }
    use_energy(&hub, &sim, &[3, 4, 2]).await;
    assert_eq!(energy(&hub), 9, "of what was before it knows nothing yet");
    let status = until(&hub, "the store fails", || Some(hub.status()).filter(|s| !s.store.ok)).await;
    assert!(status.store.error.unwrap().contains("away at the start"));
    assert!(hub.bus().last() > before, "no number comes twice");
    // Few rows may wait here: more were dropped, and are counted.
    let dropped =
        until(&hub, "rows are dropped", || Some(hub.status().store.dropped).filter(|n| *n > 0)).await;

    let store = come_back();
    until(&hub, "both are one", || (energy(&hub) == 21).then_some(())).await;
    until(&hub, "it is well", || Some(hub.status().store).filter(|s| s.ok && s.waiting == 0)).await;
    assert!(hub.status().store.dropped >= dropped);
    use_energy(&hub, &sim, &[6]).await;
    assert_eq!(hub.device("Plug").unwrap().energy.unwrap().today, MilliWattHours(27_000));
    let last = hub.bus().last();
    hub.shutdown().await;

    // What is kept is the whole, and never fell.
    let remembered = store.remembered().await.unwrap();
    assert!(remembered.last >= last);
    assert!(remembered.saved.iter().any(|s| *s.device == plug && s.text.contains("27000")));
    let (from, to) = (world.clock.unix_ms() - 7_200_000, world.clock.unix_ms() + 3_600_000);
    let bars = store.energy(&plug, from, to, Span::Hour, &TimeZone::UTC).await.unwrap();
    assert!(bars.iter().all(|b| b.used.0 >= 0), "{bars:?}");
    let told = store.events(None, None, 1_000).await.unwrap();
    assert!(told.iter().any(|e| e.code == "store.healed"), "{told:?}");
    store.close().await;
    sim.shutdown().await;
}

#[tokio::test]
async fn a_hub_starts_while_its_database_is_away_and_knows_all_once_it_is_back() {
    let store = Arc::new(Away::default());
    let set = |away| store.away.store(away, Ordering::SeqCst);
    let shared = || Arc::clone(&store) as Arc<dyn Store>;
    let back = || {
        set(false);
        shared()
    };
    tokio::time::timeout(Duration::from_secs(120), lives_through(shared, || set(true), back)).await.unwrap();
}

#[tokio::test]
#[ignore = "starts a PostgreSQL: .ci/full runs it"]
async fn the_same_with_a_postgresql_that_is_stopped() {
    let Some(server) = Server::start() else { return };
    server.by_hand("postgres", "CREATE DATABASE home").await;
    let settings = PostgresSettings {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        database: "home".to_owned(),
        user: "landfall".to_owned(),
        password: Some(Password::new(PASSWORD)),
        tls: StoreTls::Off,
        ca_file: None,
    };
    let store = || open(&Place::Postgres(settings.clone()), Retention::default());
    let server = std::sync::Mutex::new(server);
    let stop = || server.lock().unwrap().stop();
    let back = || {
        server.lock().unwrap().run();
        store()
    };
    lives_through(store, stop, back).await;
}

#[tokio::test]
async fn a_file_that_can_t_be_read_is_no_server_that_is_away() {
    let world = World::new();
    let file = world.dir().join("history.db");
    std::fs::create_dir(&file).unwrap();
    let store = open(&Place::Sqlite(file), Retention::default());
    let writer = Writer::start(Arc::clone(&store), world.clock);
    let book = Arc::clone(&world.book);
    assert!(Hub::start(config(), world.clock, store, writer, book, None).await.is_err());
}
