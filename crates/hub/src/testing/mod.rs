//! A home in memory, for the tests of the doors: API and bridges.

mod devices;
mod home;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_cloud::control::Window;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};

pub use self::devices::{definition, view};
use self::devices::{light, plug, sensor};
use crate::bus::Bus;
use crate::console::{Console, Keeper};
use crate::model::{
    Change, CommandOptions, DeviceView, Home, Line, Origin, Outcome, PointView, Presence, Problem, Seq, What,
};
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
