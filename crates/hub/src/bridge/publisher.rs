//! What of the home is published, and when.
//!
//! State is what devices reported: a command changes it when the device shows it and not before. It is published when it
//! differs from what was published last, once for a batch of changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::DeviceId;
use serde_json::{Value, json};

use super::discovery::{Discovery, Unsaved};
use super::names::Names;
use super::outbox::Outbox;
use super::topics::Topics;
use crate::model::{Change, DeviceView, Home, Origin, What};

/// Size of a page of `bridge/devices` in bytes. Brokers refuse large packets; ours takes 256 KiB.
const PAGE: usize = 128 * 1024;

/// Publishes a home.
pub(super) struct Publisher {
    home: Arc<dyn Home>,
    topics: Arc<Topics>,
    outbox: Arc<Outbox>,
    raw_points: bool,
    discovery: Discovery,
    names: Names,
    shown: HashMap<DeviceId, Shown>,
    pages: usize,
}

/// What was published of a device last.
struct Shown {
    name: Arc<str>,
    state: Option<Bytes>,
    available: bool,
}

/// What else is to be published after a batch of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The list of devices: it is long, so it is not published for each change of many.
    pub(super) devices: bool,
    /// What the bridge says of itself.
    pub(super) info: bool,
    /// What there is to be written down ([`Publisher::unsaved`]).
    pub(super) notes: bool,
}

impl Publisher {
    pub(super) fn new(
        home: Arc<dyn Home>,
        topics: Arc<Topics>,
        outbox: Arc<Outbox>,
        raw_points: bool,
        discovery: Discovery,
    ) -> Self {
        let (names, shown) = (Names::default(), HashMap::new());
        Self { home, topics, outbox, raw_points, discovery, names, shown, pages: 0 }
    }

    /// Names of devices in topics.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Pages of `bridge/devices` that were published.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// What is to be written down of what Home Assistant was told.
    pub(super) fn unsaved(&mut self) -> Option<Unsaved> {
        self.discovery.unsaved()
    }

    /// Tells Home Assistant everything again.
    pub(super) fn born(&self) {
        self.discovery.again();
    }

    /// Publishes everything anew: the broker may know nothing, or something old. `former`: names that an earlier run
    /// published, and how many pages it had.
    pub(super) fn all(&mut self, former: &HashSet<String>, former_pages: usize) {
        self.shown.clear();
        self.pages = self.pages.max(former_pages);
        let devices = self.home.devices();
        self.names = Names::of(&devices);
        self.discovery.all(&devices, &self.names);
        let mut gone: Vec<_> = former.iter().filter(|name| !self.names.has(name)).collect();
        gone.sort();
        for name in gone {
            tracing::info!(name, "topics of a device that is no more are cleared");
            self.clear(name);
        }
        for view in &devices {
            self.device(view);
        }
        self.outbox.keep(self.topics.bridge_groups(), Bytes::from_static(b"[]"));
        self.devices();
    }

    /// Publishes what changed.
    pub(super) fn changes(&mut self, changes: &[Arc<Change>]) -> Due {
        let mut due = Due::default();
        let mut touched: Vec<&DeviceId> = Vec::new();
        let mut seen: HashSet<&DeviceId> = HashSet::new();
        for change in changes {
            let device = change.device.as_deref();
            match (&change.what, device) {
                (What::Added | What::Removed { .. } | What::Renamed { .. } | What::Edited, _) => {
                    due.devices = true;
                    self.event(device, &change.what);
                }
                (What::Hub { code, text }, _) => {
                    due.info |= code.starts_with("window");
                    self.log(if code.ends_with("failed") { "error" } else { "info" }, text);
                }
                (What::EnergyNote { text, .. }, Some(id)) => {
                    let name = self.names.topic(id).map_or(id.as_str(), |name| name);
                    self.log("info", &format!("{name}: {text}"));
                }
                (
                    What::Points { .. }
                    | What::Event { .. }
                    | What::Presence(_)
                    | What::Stale { .. }
                    | What::Energy(_),
                    Some(id),
                ) if seen.insert(id) => touched.push(id),
                _ => {}
            }
        }
        if due.devices {
            self.sync();
        }
        // Live values come in the order of the reports; the state after them is the newest.
        let mut views: HashMap<&DeviceId, Arc<DeviceView>> = HashMap::new();
        for id in touched {
            // Removed in the same batch: its topics are cleared already.
            if let Ok(view) = self.home.device(id.as_str()) {
                views.insert(id, view);
            }
        }
        for change in changes {
            if let Some(id) = change.device.as_deref()
                && let Some(view) = views.get(id)
            {
                self.live(view, &change.what);
            }
        }
        for view in views.values() {
            self.device(view);
        }
        due.notes = self.discovery.has_unsaved();
        due
    }

    /// Publishes what differs after changes were missed.
    pub(super) fn catch_up(&mut self) {
        self.sync();
        for view in self.home.devices() {
            self.device(&view);
        }
    }

    /// Publishes a device's state even if it is the one that was published last.
    pub(super) fn again(&mut self, id: &DeviceId) {
        if let Some(shown) = self.shown.get_mut(id) {
            shown.state = None;
        }
        if let Ok(view) = self.home.device(id.as_str()) {
            self.device(&view);
        }
    }

    /// Finds new names: topics of former ones are cleared, and their devices published under the new ones.
    fn sync(&mut self) {
        let devices = self.home.devices();
        self.names = Names::of(&devices);
        let names = &self.names;
        // Before their topics are cleared: Home Assistant is to look at them no more by then.
        self.discovery.sync(&devices, names);
        let moved: Vec<_> = self
            .shown
            .iter()
            .filter(|(id, shown)| names.topic(id) != Some(&shown.name))
            .map(|(id, shown)| (id.clone(), Arc::clone(&shown.name)))
            .collect();
        for (id, name) in moved {
            self.shown.remove(&id);
            self.clear(&name);
        }
        // A name that went from one device to another was cleared just now, and is the other's from here on.
        for view in &devices {
            self.device(view);
        }
    }

    fn clear(&self, name: &str) {
        self.outbox.keep(self.topics.state(name), Bytes::new());
        self.outbox.keep(self.topics.availability(name), Bytes::new());
    }

    /// Publishes state and availability of a device where they differ from what was published.
    fn device(&mut self, view: &DeviceView) {
        // Not in the list of names yet: its `Added` is still to come.
        let Some(name) = self.names.topic(view.id()) else { return };
        let available = view.presence.available();
        let state = state(view);
        let shown = self.shown.get(view.id());
        if shown.is_none_or(|s| s.available != available) {
            let word: &[u8] = if available { br#"{"state":"online"}"# } else { br#"{"state":"offline"}"# };
            self.outbox.keep(self.topics.availability(name), Bytes::from_static(word));
        }
        if let Some(state) = &state
            && shown.is_none_or(|s| s.state.as_ref() != Some(state))
        {
            self.outbox.keep(self.topics.state(name), state.clone());
        }
        self.discovery.device(view, name);
        self.shown.insert(view.id().clone(), Shown { name: Arc::clone(name), state, available });
    }

    /// Publishes single points as they change, and buttons as they are pressed.
    fn live(&self, view: &DeviceView, what: &What) {
        let Some(name) = self.names.topic(view.id()) else { return };
        let is_event = |dp: &DpId| view.definition.points.get(dp).is_some_and(|p| p.event);
        let (shown, pressed): (Dps, Dps) = match what {
            What::Points { origin, dps, changed, .. } => {
                let of = |wanted: &dyn Fn(&DpId) -> bool| -> Dps {
                    let chosen = changed.iter().filter(|dp| wanted(dp));
                    chosen.filter_map(|dp| Some((*dp, dps.value(*dp)?.clone()))).collect()
                };
                // A value that was only asked for is no press.
                let pressed = if *origin == Origin::Pushed { of(&is_event) } else { Dps::new() };
                (of(&|_| true), pressed)
            }
            What::Event { dps, .. } => ((**dps).clone(), (**dps).clone()),
            _ => return,
        };
        if self.raw_points {
            for (dp, value) in shown.iter() {
                self.outbox.live(self.topics.point(name, dp), value.to_string().into());
            }
        }
        if !pressed.is_empty() {
            let attributes = view.definition.read(&pressed);
            self.outbox.say(self.topics.action(name), Value::Object(attributes).to_string().into());
        }
    }

    /// Publishes the list of devices, in pages that fit into a packet.
    pub(super) fn devices(&mut self) {
        let mut pages: Vec<Vec<u8>> = Vec::new();
        for (name, id) in self.names.iter() {
            let Ok(view) = self.home.device(id.as_str()) else { continue };
            let entry = described(&view, name).to_string();
            match pages.last_mut() {
                Some(page) if page.len() + entry.len() < PAGE => {
                    page.push(b',');
                    page.extend_from_slice(entry.as_bytes());
                }
                _ => pages.push([b"[", entry.as_bytes()].concat()),
            }
        }
        if pages.is_empty() {
            pages.push(b"[".to_vec());
        }
        let count = pages.len();
        for (i, mut page) in pages.into_iter().enumerate() {
            page.push(b']');
            self.outbox.keep(self.topics.bridge_devices(i + 1), page.into());
        }
        for left_over in count + 1..=self.pages {
            self.outbox.keep(self.topics.bridge_devices(left_over), Bytes::new());
        }
        self.pages = count;
    }

    /// Says something in words to people.
    pub(super) fn log(&self, level: &str, text: &str) {
        let line = json!({ "level": level, "message": text, "namespace": "landfall" });
        self.outbox.say(self.topics.bridge_logging(), line.to_string().into());
    }

    fn event(&self, device: Option<&DeviceId>, what: &What) {
        let known = device.and_then(|id| self.home.device(id.as_str()).ok());
        let now = known.as_ref().map(|view| view.facts.name.as_str());
        let id = device.map(DeviceId::as_str);
        let (kind, data) = match what {
            What::Added => ("device_joined", json!({ "friendly_name": now, "id": id })),
            What::Removed { name } => ("device_leave", json!({ "friendly_name": name, "id": id })),
            What::Renamed { from, to } => ("device_renamed", json!({ "from": from, "to": to, "id": id })),
            _ => return,
        };
        let event = json!({ "type": kind, "data": data });
        self.outbox.say(self.topics.bridge_event(), event.to_string().into());
    }
}

/// The state of a device as people read it. Buttons have none: their last press would look like a new one to whoever
/// subscribes. `None`: nothing is known yet.
fn state(view: &DeviceView) -> Option<Bytes> {
    let mut state = view.state();
    for point in view.definition.points.values().filter(|p| p.event) {
        state.remove(&point.name);
    }
    (!state.is_empty()).then(|| Value::Object(state).to_string().into())
}

/// A device in the list of devices. No secrets: keys are not in a view.
pub(super) fn described(view: &DeviceView, topic: &str) -> Value {
    let facts = &view.facts;
    json!({
        "friendly_name": topic,
        "name": facts.name,
        "id": facts.id.as_str(),
        "type": if facts.parent.is_some() { "SubDevice" } else { "Device" },
        "parent": facts.parent.as_ref().map(DeviceId::as_str),
        "product_id": facts.product_id.as_ref().map(ToString::to_string),
        "category": facts.category,
        "room": facts.room,
        "protocol_version": facts.version.map(|v| v.to_string()),
        "software_build_id": facts.software,
        "sleeper": facts.sleeper,
        "supported": !view.definition.points.is_empty(),
        "definition": {
            "model": facts.product_name.as_deref().unwrap_or(&view.definition.name),
            "vendor": "Tuya",
            "description": view.definition.name,
            "exposes": view.definition.exposes(),
        },
    })
}
