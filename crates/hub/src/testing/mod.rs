//! A home in memory, for the tests of the doors: API and bridges.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use landfall_book::{Outcome as BookOutcome, OutcomeKind, Timer};
use landfall_cloud::control::Window;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey, ProductId};
use landfall_proto::lan::Version;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};

use crate::bus::Bus;
use crate::console::{Console, Keeper};
use crate::model::{
    Change, CommandId, CommandOptions, DeviceView, Edit, Ended, EnergyView, Facts, Found, HeardBy, Home,
    HubStatus, Line, LineState, LineView, MilliWattHours, Missing, NewDevice, Origin, Outcome, PointView,
    Presence, Problem, ProblemKind, Seq, Stranger, Verdict, What,
};
use crate::profile::{Class, Definition, Metering, Point, Source};
use crate::store::{Memory, Store, StoreStatus};

/// A metering plug, online over the LAN: 1 switch_1, 17 add_ele, 18 current (mA), 19 power (W/10), 20 voltage (V/10).
pub const PLUG: &str = "bfa0000000000000plug01";
/// A light, online over the cloud: 20 switch_led, 21 work_mode, 22 bright_value.
pub const LIGHT: &str = "bfa000000000000light02";
/// A contact sensor that sleeps: 1 doorcontact_state, 2 battery_percentage.
pub const SENSOR: &str = "bfa00000000000sensor03";
/// Heard, and not in the book.
pub const STRANGER: &str = "bfa000000000stranger99";
/// Each device's local key starts so. It must be seen nowhere.
pub const KEY_START: &str = "s3cretK#y/&<";
/// What a kWh costs, in thousandths of the currency.
pub const PRICE_MILLI: i64 = 320;
/// When a fake home begins: 2026-03-01 12:00 UTC.
pub const START_MS: u64 = 1_772_366_400_000;

/// A home in memory.
#[derive(Debug)]
pub struct FakeHome {
    state: Mutex<State>,
    bus: Arc<Bus>,
    console: Console,
    store: Arc<dyn Store>,
    memory: Arc<Memory>,
    now_ms: AtomicU64,
}

/// What the doors' tests put into the console holds none.
struct NoSecrets;

impl Keeper for NoSecrets {
    fn secrets(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Debug, Default)]
struct State {
    devices: BTreeMap<DeviceId, DeviceView>,
    keys: BTreeMap<DeviceId, LocalKey>,
    own: BTreeMap<DeviceId, String>,
    windows: Vec<Window>,
    script: VecDeque<Result<Outcome, Problem>>,
    sets: Vec<(DeviceId, Dps, CommandOptions)>,
    did: Vec<String>,
    commands: u64,
    store_fails: Option<String>,
}

impl FakeHome {
    /// A home with [`PLUG`], [`LIGHT`] and [`SENSOR`].
    pub fn new() -> Arc<Self> {
        Self::with_bus(Bus::new(Seq(0)))
    }

    /// The same with a bus of the test's own, a small one say.
    pub fn with_bus(bus: Bus) -> Arc<Self> {
        let memory = Arc::new(Memory::default());
        let mut state = State::default();
        for (number, view) in [plug(), light(), sensor()].into_iter().enumerate() {
            let key = LocalKey::new(format!("{KEY_START}{number:04}")).unwrap();
            state.keys.insert(view.id().clone(), key);
            state.devices.insert(view.id().clone(), view);
        }
        Arc::new(Self {
            state: Mutex::new(state),
            bus: Arc::new(bus),
            console: Console::new(NoSecrets, || START_MS),
            store: Arc::clone(&memory) as Arc<dyn Store>,
            memory,
            now_ms: AtomicU64::new(START_MS),
        })
    }

    /// The store, to put rows into it.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How the next [`Home::set`] ends; `Confirmed` (and reported) when nothing is scripted.
    pub fn script(&self, end: Result<Outcome, Problem>) {
        self.lock().script.push_back(end);
    }

    /// What [`Home::set`] was called with, and forgets it.
    pub fn take_sets(&self) -> Vec<(DeviceId, Dps, CommandOptions)> {
        std::mem::take(&mut self.lock().sets)
    }

    /// All that was changed or asked of devices through the trait, in words, and forgets it: `set`, `refresh`, `add`,
    /// `edit`, `remove`, `import`, `scan`, `doctor`, `window`, `close_windows`, `timers`, `backup`.
    pub fn take_did(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().did)
    }

    /// The store fails from now on, with these words.
    pub fn fail_store(&self, why: &str) {
        self.lock().store_fails = Some(why.to_owned());
    }

    /// Lets time go on.
    pub fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// A device pushes points: view and bus show it.
    pub fn report(&self, device: &str, dps: &[(u16, DpValue)]) {
        let dps: Dps = dps.iter().map(|(id, v)| (DpId(*id), v.clone())).collect();
        let now = self.now_ms();
        let mut changed = Vec::new();
        self.change(device, |view| {
            for (id, value) in dps.iter() {
                let old = view.points.get(&id);
                let same = old.is_some_and(|p| p.value == *value);
                let changed_ms = old.filter(|_| same).map_or(now, |p| p.changed_ms);
                if !same {
                    changed.push(id);
                }
                let line = view.route.unwrap_or(Line::Lan);
                let point = PointView { value: value.clone(), at_ms: now, changed_ms, line, stale: false };
                view.points.insert(id, point);
            }
            view.heard_ms = Some(now);
            let line = view.route.unwrap_or(Line::Lan);
            What::Points {
                line,
                origin: Origin::Pushed,
                dps: Arc::new(dps.clone()),
                changed,
                device_ms: None,
            }
        });
    }

    /// A device comes or goes.
    pub fn presence(&self, device: &str, presence: Presence) {
        self.change(device, |view| {
            view.presence = presence.clone();
            What::Presence(presence)
        });
    }

    /// Changes a view, and tells what changed.
    pub fn change(&self, device: &str, change: impl FnOnce(&mut DeviceView) -> What) {
        let id = DeviceId::new(device).unwrap();
        let mut state = self.lock();
        let view = state.devices.get_mut(&id).expect("a device of the fake home");
        let what = change(view);
        view.seq = Seq(self.bus.last().0 + 1);
        self.tell(Some(id), what);
    }

    /// Tells a change. The lock of the state need not be held: tests publish from one thread.
    pub fn tell(&self, device: Option<DeviceId>, what: What) {
        let seq = Seq(self.bus.last().0 + 1);
        let change = Change { seq, at_ms: self.now_ms(), device: device.map(Arc::new), what };
        self.bus.publish([Arc::new(change)]);
    }

    fn store_status(&self) -> StoreStatus {
        let error = self.lock().store_fails.clone();
        StoreStatus { kind: "memory", ok: error.is_none(), error, ..StoreStatus::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn did(&self, what: impl Into<String>) {
        self.lock().did.push(what.into());
    }

    fn known(&self, device: &DeviceId) -> Result<Arc<DeviceView>, Problem> {
        self.device(device.as_str())
    }
}

#[async_trait]
impl Home for FakeHome {
    fn devices(&self) -> Vec<Arc<DeviceView>> {
        let mut all: Vec<_> = self.lock().devices.values().cloned().map(Arc::new).collect();
        all.sort_by(|a, b| a.facts.name.cmp(&b.facts.name));
        all
    }

    fn device(&self, asked: &str) -> Result<Arc<DeviceView>, Problem> {
        let state = self.lock();
        let found = state.devices.values().find(|v| {
            v.id().as_str() == asked
                || v.facts.name == asked
                || v.facts.aliases.iter().any(|alias| alias.as_str() == asked)
        });
        found.cloned().map(Arc::new).ok_or_else(|| {
            Problem::new(ProblemKind::Unknown, "device.unknown", format!("there is no device {asked:?}"))
                .hint("`landfall list` shows all")
        })
    }

    fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    fn console(&self) -> &Console {
        &self.console
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn status(&self) -> HubStatus {
        let devices = self.devices();
        HubStatus {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: START_MS,
            devices: devices.len(),
            available: devices.iter().filter(|d| d.presence.available()).count(),
            store: self.store_status(),
            cloud_calls: vec![("tuya.device.timer.get".to_owned(), 3)],
            ..HubStatus::default()
        }
    }

    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn zone(&self) -> jiff::tz::TimeZone {
        jiff::tz::TimeZone::UTC
    }

    fn price_milli(&self) -> Option<i64> {
        Some(PRICE_MILLI)
    }

    async fn set(&self, device: &DeviceId, dps: Dps, options: CommandOptions) -> Result<Arc<Ended>, Problem> {
        let view = self.known(device)?;
        let (id, end) = {
            let mut state = self.lock();
            state.commands += 1;
            state.did.push(format!("set {device} {}", serde_json::to_string(&dps).unwrap()));
            state.sets.push((device.clone(), dps.clone(), options));
            (CommandId(state.commands), state.script.pop_front())
        };
        let outcome = end.unwrap_or(Ok(Outcome::Confirmed))?;
        if outcome == Outcome::Confirmed {
            let points: Vec<_> = dps.iter().map(|(id, v)| (id.0, v.clone())).collect();
            self.report(device.as_str(), &points);
        }
        let ended = Ended {
            id,
            device: device.clone(),
            dps,
            line: options.line.or(view.route),
            by: options.by,
            outcome,
            took_ms: 7,
        };
        let ended = Arc::new(ended);
        self.tell(Some(device.clone()), What::Command(Arc::clone(&ended)));
        Ok(ended)
    }

    async fn refresh(&self, device: &DeviceId, points: Vec<DpId>) -> Result<(), Problem> {
        self.known(device)?;
        let points: Vec<_> = points.iter().map(|p| p.0).collect();
        self.did(format!("refresh {device} {points:?}"));
        Ok(())
    }

    async fn add(&self, new: NewDevice) -> Result<Arc<DeviceView>, Problem> {
        let asked = |e: String| Problem::new(ProblemKind::Asked, "device.bad_id", e);
        let id = DeviceId::new(&new.id).map_err(|e| asked(e.to_string()))?;
        if self.known(&id).is_ok() {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "device.exists",
                format!("{id} is in the book already"),
            ));
        }
        self.did(format!("add {id}"));
        let facts = Facts {
            name: new.name.unwrap_or_else(|| new.id.clone()),
            version: new.version,
            parent: new.parent,
            cid: new.cid,
            has_key: new.key.is_some(),
            ..facts(&new.id, "")
        };
        let view = view(facts, Definition::default(), &[], None);
        {
            let mut state = self.lock();
            state.keys.extend(new.key.map(|key| (id.clone(), key)));
            state.devices.insert(id.clone(), view);
        }
        self.tell(Some(id.clone()), What::Added);
        self.known(&id)
    }

    async fn edit(&self, device: &DeviceId, edit: Edit) -> Result<Arc<DeviceView>, Problem> {
        let old = self.known(device)?;
        if let Some(edit) = edit.definition {
            let own = crate::profile::edited(self.own_definition(device).as_deref(), edit)?;
            let mut state = self.lock();
            state.own.remove(device);
            state.own.extend(own.map(|own| (device.clone(), own)));
        }
        self.did(format!("edit {device}"));
        if let Some(key) = edit.key {
            self.lock().keys.insert(device.clone(), key);
        }
        self.change(device.as_str(), |view| {
            let mut facts = (*view.facts).clone();
            facts.version = edit.version.or(facts.version);
            facts.sleeper = edit.sleeper.unwrap_or(facts.sleeper);
            if let Some(room) = edit.room {
                facts.room = Some(room).filter(|r| !r.is_empty());
            }
            let from = old.facts.name.clone();
            let what = match edit.name {
                Some(to) if to != from => {
                    facts.name.clone_from(&to);
                    What::Renamed { from, to }
                }
                _ => What::Edited,
            };
            view.facts = Arc::new(facts);
            what
        });
        self.known(device)
    }

    async fn remove(&self, device: &DeviceId, forget: bool) -> Result<(), Problem> {
        let name = self.known(device)?.facts.name.clone();
        self.did(format!("remove {device} forget={forget}"));
        {
            let mut state = self.lock();
            state.devices.remove(device);
            state.keys.remove(device);
        }
        self.tell(Some(device.clone()), What::Removed { name });
        Ok(())
    }

    async fn import(&self, text: &str, apply: bool) -> Result<Vec<BookOutcome>, Problem> {
        let bad = |e: serde_json::Error| {
            Problem::new(
                ProblemKind::Asked,
                "import.format",
                format!("not a file of devices: line {}", e.line()),
            )
        };
        let list: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(text).map_err(bad)?;
        self.did(format!("import apply={apply}"));
        let mut outcomes = Vec::new();
        for entry in &list {
            let id = entry.get("id").and_then(|v| v.as_str()).unwrap_or_default();
            let name = entry.get("name").and_then(|v| v.as_str()).unwrap_or(id);
            let kind = match self.device(id) {
                Ok(_) => OutcomeKind::Unchanged,
                Err(_) => OutcomeKind::Added { instead_of: None },
            };
            if apply && kind != OutcomeKind::Unchanged {
                self.add(NewDevice { id: id.into(), name: Some(name.into()), ..NewDevice::default() })
                    .await?;
            }
            outcomes.push(BookOutcome { id: DeviceId::new(id).unwrap(), name: name.into(), kind });
        }
        Ok(outcomes)
    }

    fn key(&self, device: &DeviceId) -> Result<Option<LocalKey>, Problem> {
        self.known(device)?;
        Ok(self.lock().keys.get(device).cloned())
    }

    fn own_definition(&self, device: &DeviceId) -> Option<String> {
        self.lock().own.get(device).cloned()
    }

    async fn scan(&self) -> Result<Vec<Found>, Problem> {
        self.did("scan");
        Ok(vec![Found {
            id: DeviceId::new(PLUG).unwrap(),
            address: [192, 0, 2, 17].into(),
            version: Some(Version::V3_3),
            product_id: Some("keyplug".into()),
            name: Some("Kitchen plug".into()),
            missing: None,
        }])
    }

    fn strangers(&self) -> Vec<Stranger> {
        vec![Stranger {
            id: STRANGER.into(),
            address: Some([192, 0, 2, 66].into()),
            version: Some(Version::V3_4),
            product_id: Some("keystranger".into()),
            seen_by: vec![HeardBy::Beacon],
            heard_ms: START_MS - 5_000,
            missing: Missing::LocalKey,
            hint: "import its local key".into(),
        }]
    }

    async fn doctor(&self, device: &DeviceId) -> Result<Verdict, Problem> {
        self.known(device)?;
        self.did(format!("doctor {device}"));
        Ok(Verdict {
            code: "fine".into(),
            text: "it answers".into(),
            evidence: vec!["session open".into()],
            next: "nothing to do".into(),
        })
    }

    fn windows(&self) -> Vec<Window> {
        self.lock().windows.clone()
    }

    fn open_window(&self, window: Window) -> Result<(), Problem> {
        self.did("window");
        self.lock().windows.push(window);
        Ok(())
    }

    fn close_windows(&self) {
        self.did("close_windows");
        self.lock().windows.clear();
    }

    fn cloud_side(&self, device: &DeviceId) -> Option<serde_json::Value> {
        (device.as_str() == LIGHT).then(|| serde_json::json!({"handshake": "done", "timers": []}))
    }

    async fn set_timers(&self, device: &DeviceId, timers: Option<Vec<Timer>>) -> Result<(), Problem> {
        self.known(device)?;
        self.did(format!("timers {device} {:?}", timers.map(|t| t.len())));
        Ok(())
    }

    fn person(&self, name: &str, password: &[u8]) -> bool {
        name == "anna" && password == b"right"
    }

    async fn back_up(&self, dir: &Path) -> Result<Vec<std::path::PathBuf>, Problem> {
        self.did("backup");
        let file = dir.join("history.db");
        std::fs::write(&file, "history")
            .map_err(|e| Problem::new(ProblemKind::Ours, "store.failed", e.to_string()))?;
        Ok(vec![file])
    }
}

fn facts(id: &str, name: &str) -> Facts {
    Facts {
        id: DeviceId::new(id).unwrap(),
        aliases: Vec::new(),
        name: name.into(),
        uuid: None,
        product_id: Some(ProductId::new("keyplug").unwrap()),
        product_name: None,
        category: None,
        version: Some(Version::V3_3),
        software: None,
        parent: None,
        cid: None,
        mac: None,
        sleeper: false,
        has_key: true,
        room: None,
    }
}

fn point(name: &str, kind: DpKind, access: Access) -> Point {
    let source = Source::Profile("test".into());
    Point { history: true, ..Point::new(name, DpSpec::new(name, kind, access), source) }
}

fn number(max: i64, scale: u8, unit: &str) -> DpKind {
    DpKind::Value { min: 0, max, step: 1, scale, unit: unit.into() }
}

/// A definition with these points.
pub fn definition(name: &str, class: Class, points: impl IntoIterator<Item = (u16, Point)>) -> Definition {
    let points: BTreeMap<_, _> = points.into_iter().map(|(id, p)| (DpId(id), p)).collect();
    let schema = Schema(points.iter().map(|(id, p)| (*id, p.spec.clone())).collect());
    Definition { name: name.into(), class, points, schema: Arc::new(schema), ..Definition::default() }
}

/// A view of a device that has these points and this line.
pub fn view(facts: Facts, definition: Definition, dps: &[(u16, DpValue)], line: Option<Line>) -> DeviceView {
    let up = |of| {
        let state = if line == Some(of) { LineState::Up } else { LineState::Unused };
        Arc::new(LineView { state, since_ms: START_MS, ..LineView::default() })
    };
    let point = |value: &DpValue| PointView {
        value: value.clone(),
        at_ms: START_MS,
        changed_ms: START_MS,
        line: line.unwrap_or(Line::Cloud),
        stale: false,
    };
    DeviceView {
        presence: if line.is_some() { Presence::Online } else { Presence::Unknown },
        lan: up(Line::Lan),
        cloud: up(Line::Cloud),
        route: line,
        points: dps.iter().map(|(id, v)| (DpId(*id), point(v))).collect(),
        energy: None,
        heard_ms: Some(START_MS),
        seq: Seq(0),
        facts: Arc::new(facts),
        definition: Arc::new(definition),
    }
}

fn plug() -> DeviceView {
    let mut meaning = definition(
        "Metering plug",
        Class::Plug,
        [
            (1, point("switch_1", DpKind::Bool, Access::Rw)),
            (17, point("add_ele", number(50_000, 3, "kWh"), Access::Ro)),
            (18, point("current", number(30_000, 3, "A"), Access::Ro)),
            (19, point("power", number(50_000, 1, "W"), Access::Ro)),
            (20, point("voltage", number(5_000, 1, "V"), Access::Ro)),
        ],
    );
    meaning.metering = Some(Metering {
        delta: Some((DpId(17), 1_000)),
        power: Some((DpId(19), 100)),
        voltage: Some((DpId(20), 100)),
        current: Some((DpId(18), 1_000)),
        ..Metering::default()
    });
    let dps = [
        (1, DpValue::Bool(true)),
        (18, DpValue::Value(435)),
        (19, DpValue::Value(998)),
        (20, DpValue::Value(2301)),
    ];
    let mut view = view(facts(PLUG, "Kitchen plug"), meaning, &dps, Some(Line::Lan));
    view.lan = Arc::new(LineView { address: Some(([192, 0, 2, 17], 6668).into()), ..(*view.lan).clone() });
    view.energy = Some(EnergyView {
        total: MilliWattHours(12_345_678),
        today: MilliWattHours(345_000),
        month: MilliWattHours(2_345_000),
        apparent_mva: Some(100_094),
        power_factor_milli: Some(997),
        ..EnergyView::default()
    });
    view
}

fn light() -> DeviceView {
    let modes = DpKind::Enum(["white", "colour"].map(Into::into).into());
    let meaning = definition(
        "Light",
        Class::Light,
        [
            (20, point("switch_led", DpKind::Bool, Access::Rw)),
            (21, point("work_mode", modes, Access::Rw)),
            (
                22,
                point(
                    "bright_value",
                    DpKind::Value { min: 10, max: 1000, step: 1, scale: 0, unit: "".into() },
                    Access::Rw,
                ),
            ),
        ],
    );
    let dps = [(20, DpValue::Bool(false)), (21, DpValue::Enum("white".into())), (22, DpValue::Value(1000))];
    view(Facts { room: Some("Hall".into()), ..facts(LIGHT, "Hall light") }, meaning, &dps, Some(Line::Cloud))
}

fn sensor() -> DeviceView {
    let meaning = definition(
        "Contact sensor",
        Class::Sensor,
        [
            (1, point("doorcontact_state", DpKind::Bool, Access::Ro)),
            (2, point("battery_percentage", number(100, 0, "%"), Access::Ro)),
        ],
    );
    let dps = [(1, DpValue::Bool(false)), (2, DpValue::Value(87))];
    let facts = Facts { sleeper: true, has_key: true, ..facts(SENSOR, "Garden door") };
    let mut view = view(facts, meaning, &dps, None);
    view.presence = Presence::Asleep { since_ms: START_MS };
    view
}
