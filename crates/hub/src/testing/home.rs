//! What the doors call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use landfall_book::{Outcome as BookOutcome, OutcomeKind, Timer};
use landfall_cloud::control::Window;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;

use super::devices::{facts, view};
use super::{FakeHome, LIGHT, PLUG, PRICE_MILLI, START_MS, STRANGER};
use crate::bus::Bus;
use crate::console::Console;
use crate::model::{
    CommandId, CommandOptions, DeviceView, Edit, Ended, Facts, Found, HeardBy, Home, HubStatus, Missing,
    NewDevice, Outcome, Problem, ProblemKind, Stranger, Verdict, What,
};
use crate::profile::Definition;
use crate::store::Store;

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
