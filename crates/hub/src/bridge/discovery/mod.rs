//! Home Assistant finds the home by itself: MQTT discovery.
//!
//! | module | does |
//! |---|---|
//! | [`form`] | the two forms of messages, and their topics |
//! | `device` | the block of a device, its entities, and the bridge's own |
//! | `light`, `cover`, `climate`, `fan` | entities of several points |
//! | `plain` | entities of one point |
//! | `classes` | device and state classes by name and unit |
//! | `component` | one entity, and what templates are made of |
//! | `memory` | what was published, across restarts |
//!
//! Unique ids are made of device ids and numbers of points: renaming a device or giving its points better names changes no entity.
//! States, availability and commands are on the bridge's own topics.

mod classes;
mod climate;
mod component;
mod cover;
mod device;
mod fan;
pub mod form;
mod light;
mod memory;
mod plain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use landfall_proto::id::DeviceId;

use self::component::Component;
use self::form::{Common, Form, Told};
use self::memory::Memory;
pub(super) use self::memory::Unsaved;
use super::names::Names;
use super::outbox::Outbox;
use super::topics::Topics;
use crate::model::{DeviceView, Facts};
use crate::profile::Definition;

/// What an old message becomes before its entities come in the other form: Home Assistant keeps them and what people made of them.
const MIGRATE: &[u8] = br#"{"migrate_discovery":true}"#;

/// Settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In which form; `None`: not at all, and what was published before is cleared.
    pub form: Option<Form>,
    /// What Home Assistant's topics begin with.
    pub prefix: String,
    /// Where it is kept what was published; `None`: nowhere.
    pub file: Option<PathBuf>,
}

/// A prefix that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// No topic can begin so.
    #[error(
        "{prefix:?} can't be the discovery prefix: {why}; Home Assistant's is \"homeassistant\" unless it was changed there"
    )]
    Wrong {
        /// The prefix.
        prefix: String,
        /// Why, in words.
        why: &'static str,
    },
    /// Inside of the bridge's own topics, or around them.
    #[error(
        "the discovery prefix {prefix:?} and the base {base:?} lie one in the other; take \"homeassistant\" and \"landfall\""
    )]
    Overlap {
        /// The prefix.
        prefix: String,
        /// The base.
        base: String,
    },
}

/// Looks at a prefix.
///
/// # Errors
/// It can't be, or not beside this base.
pub fn check_prefix(prefix: &str, base: &str) -> Result<(), PrefixError> {
    Topics::new(prefix).map_err(|e| PrefixError::Wrong { prefix: prefix.to_owned(), why: e.why() })?;
    let inside = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    if inside(prefix, base) || inside(base, prefix) {
        return Err(PrefixError::Overlap { prefix: prefix.to_owned(), base: base.to_owned() });
    }
    Ok(())
}

/// Where Home Assistant says that it is there; `None`: under no such prefix.
pub fn birth_topic(prefix: &str, base: &str) -> Option<String> {
    check_prefix(prefix, base).ok().map(|()| format!("{prefix}/status"))
}

/// What Home Assistant says then.
pub(super) const BIRTH: &[u8] = b"online";

/// Topics cleared in this run of which Home Assistant is told again when it starts. More than that only a storm of changes makes.
const GONE: usize = 50_000;

/// Tells Home Assistant what there is.
pub(super) struct Discovery {
    form: Option<Form>,
    prefix: String,
    file: Option<PathBuf>,
    topics: Arc<Topics>,
    outbox: Arc<Outbox>,
    instance: String,
    version: String,
    memory: Memory,
    unsaved: bool,
    /// Cleared in this run. A broker without memory tells nobody who comes later that they are.
    gone: BTreeSet<String>,
    bridge: Told,
    shown: HashMap<DeviceId, Shown>,
}

/// What was published of a device, and from what it was made.
struct Shown {
    facts: Arc<Facts>,
    definition: Arc<Definition>,
    name: Arc<str>,
    counted: bool,
    via: String,
    told: Told,
}

impl Shown {
    fn is_of(&self, view: &DeviceView, name: &Arc<str>) -> bool {
        let facts = Arc::ptr_eq(&self.facts, &view.facts) || self.facts == view.facts;
        let definition =
            Arc::ptr_eq(&self.definition, &view.definition) || self.definition == view.definition;
        facts && definition && self.name == *name && self.counted == view.energy.is_some()
    }
}

impl Discovery {
    /// `instance`: which bridge it is; `version`: of the program.
    pub(super) fn new(
        settings: Settings,
        topics: Arc<Topics>,
        outbox: Arc<Outbox>,
        instance: String,
        version: String,
    ) -> Self {
        let memory = settings.file.as_deref().map(Memory::read).unwrap_or_default();
        Self {
            form: settings.form,
            prefix: settings.prefix,
            file: settings.file,
            topics,
            outbox,
            instance,
            version,
            memory,
            unsaved: false,
            gone: BTreeSet::new(),
            bridge: Told::default(),
            shown: HashMap::new(),
        }
    }

    /// Whether there is something to write down.
    pub(super) fn has_unsaved(&self) -> bool {
        self.unsaved && self.file.is_some()
    }

    /// What there is to write down since it was asked last.
    pub(super) fn unsaved(&mut self) -> Option<Unsaved> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let path = self.file.clone().filter(|_| unsaved)?;
        Some(Unsaved::new(path, self.memory.clone()))
    }

    /// Publishes everything anew, and clears what an earlier run or connection left that is no more.
    pub(super) fn all(&mut self, devices: &[Arc<DeviceView>], names: &Names) {
        self.shown.clear();
        let former: BTreeSet<String> = self.memory.topics.keys().cloned().collect();
        if let Some(form) = self.form {
            self.migrate(form, devices, names, &former);
            self.bridge = self.bridge_in(form);
            let told = self.bridge.clone();
            self.publish(&told, None);
            self.refresh_all(devices, names);
        }
        let now: BTreeSet<&String> =
            self.shown.values().flat_map(|s| s.told.topics.keys()).chain(self.bridge.topics.keys()).collect();
        let gone: Vec<String> = former.into_iter().filter(|topic| !now.contains(topic)).collect();
        for topic in gone {
            self.clear(&topic);
        }
        let known: BTreeSet<&str> = devices.iter().map(|view| view.id().as_str()).collect();
        let before = self.memory.devices.len();
        self.memory.devices.retain(|id, _| known.contains(id.as_str()));
        self.unsaved |= self.memory.devices.len() != before;
    }

    /// Devices came, went or changed.
    pub(super) fn sync(&mut self, devices: &[Arc<DeviceView>], names: &Names) {
        if self.form.is_none() {
            return;
        }
        let (_, gone): (Vec<_>, Vec<_>) =
            self.shown.keys().cloned().partition(|id| names.topic(id).is_some());
        let gone: Vec<_> = gone.into_iter().filter_map(|id| Some((self.shown.remove(&id)?, id))).collect();
        self.refresh_all(devices, names);
        // After the others: one that came back under another id has taken its topics over.
        for (shown, id) in gone {
            for topic in shown.told.topics.keys() {
                if !self.shown.values().any(|other| other.told.topics.contains_key(topic)) {
                    self.clear(topic);
                }
            }
            self.memory.devices.remove(id.as_str());
            self.unsaved = true;
        }
    }

    /// Home Assistant links a device to its gateway only if it knows the gateway, so gateways come first.
    fn refresh_all(&mut self, devices: &[Arc<DeviceView>], names: &Names) {
        for parents in [true, false] {
            for view in devices.iter().filter(|view| view.facts.parent.is_none() == parents) {
                if let Some(name) = names.topic(view.id()) {
                    self.refresh(view, name);
                }
            }
        }
    }

    /// A device may have changed. Quick when it hasn't: it is asked with each report.
    pub(super) fn device(&mut self, view: &DeviceView, name: &Arc<str>) {
        let same = self.shown.get(view.id()).is_some_and(|shown| shown.is_of(view, name));
        if self.form.is_some() && !same {
            self.refresh(view, name);
        }
    }

    /// Home Assistant has started, or is connected anew: it knows nothing, or something old.
    pub(super) fn again(&self) {
        // The bridge first, then gateways, then what is behind them.
        let gateways = self.shown.values().filter(|s| s.facts.parent.is_none());
        let children = self.shown.values().filter(|s| s.facts.parent.is_some());
        let told = [&self.bridge].into_iter().chain(gateways.chain(children).map(|shown| &shown.told));
        for (topic, payload) in told.flat_map(|told| &told.topics) {
            self.outbox.keep(topic.clone(), payload.clone());
        }
        for topic in &self.gone {
            self.outbox.keep(topic.clone(), Bytes::new());
        }
    }

    fn refresh(&mut self, view: &DeviceView, name: &Arc<str>) {
        let Some(form) = self.form else { return };
        let identity = self.identity(view);
        let via = self.via(view);
        let before = self.shown.get(view.id());
        if before.is_some_and(|shown| shown.via == via && shown.is_of(view, name)) {
            return;
        }
        let told = self.device_in(form, view, name, identity.clone(), &via);
        let before = self.shown.remove(view.id());
        for topic in before.iter().flat_map(|shown| shown.told.topics.keys()) {
            if !told.topics.contains_key(topic) {
                self.clear(topic);
            }
        }
        self.publish(&told, before.as_ref().map(|shown| &shown.told));
        let shown = Shown {
            facts: Arc::clone(&view.facts),
            definition: Arc::clone(&view.definition),
            name: Arc::clone(name),
            counted: view.energy.is_some(),
            via,
            told,
        };
        self.shown.insert(view.id().clone(), shown);
        if self.memory.devices.get(view.id().as_str()) != Some(&identity) {
            self.memory.devices.insert(view.id().to_string(), identity);
            self.unsaved = true;
        }
    }

    /// Publishes what differs from before.
    fn publish(&mut self, told: &Told, before: Option<&Told>) {
        for (topic, payload) in &told.topics {
            if before.is_some_and(|before| before.topics.get(topic) == Some(payload)) {
                continue;
            }
            let entities = if form::is_device(topic) { told.entities.clone() } else { BTreeMap::new() };
            if let Some(former) = self.memory.topics.get(topic) {
                let gone: BTreeMap<_, _> =
                    former.iter().filter(|(id, _)| !entities.contains_key(*id)).collect();
                if !gone.is_empty()
                    && let Some(without) = form::without(payload, &gone)
                {
                    self.outbox.pass(topic.clone(), without);
                }
            }
            self.outbox.keep(topic.clone(), payload.clone());
            self.gone.remove(topic);
            if self.memory.topics.get(topic) != Some(&entities) {
                self.memory.topics.insert(topic.clone(), entities);
                self.unsaved = true;
            }
        }
    }

    fn clear(&mut self, topic: &str) {
        self.outbox.keep(topic.to_owned(), Bytes::new());
        if self.gone.len() < GONE {
            self.gone.insert(topic.to_owned());
        }
        self.unsaved |= self.memory.topics.remove(topic).is_some();
    }

    /// Has Home Assistant keep entities that were told in the other form and come in this one.
    fn migrate(&self, form: Form, devices: &[Arc<DeviceView>], names: &Names, former: &BTreeSet<String>) {
        let other = if form == Form::Device { Form::Entity } else { Form::Device };
        if !former.iter().any(|topic| form::is_device(topic) == (other == Form::Device)) {
            return;
        }
        let told = devices.iter().filter_map(|view| {
            let name = names.topic(view.id())?;
            Some(self.device_in(other, view, name, self.identity(view), &self.via(view)))
        });
        for told in [self.bridge_in(other)].into_iter().chain(told) {
            for topic in told.topics.into_keys().filter(|topic| former.contains(topic)) {
                self.outbox.pass(topic, Bytes::from_static(MIGRATE));
            }
        }
    }

    fn bridge_in(&self, form: Form) -> Told {
        let common = Common {
            identity: device::bridge_identity(&self.instance),
            device: device::bridge_block(&self.instance, &self.version),
            origin: device::origin(&self.version),
            availability: None,
        };
        form::told(form, &self.prefix, &common, device::bridge_components(&self.topics))
    }

    fn device_in(&self, form: Form, view: &DeviceView, name: &str, identity: String, via: &str) -> Told {
        let components: Vec<Component> = device::components(view, &self.topics, name);
        let common = Common {
            device: device::block(view, &identity, via),
            origin: device::origin(&self.version),
            availability: Some(device::availability(&self.topics, Some(name))),
            identity,
        };
        form::told(form, &self.prefix, &common, components)
    }

    /// Its id, or the one that it had when it was first told: a device that was paired anew stays the same one.
    fn identity(&self, view: &DeviceView) -> String {
        let known = |id: &DeviceId| self.memory.devices.get(id.as_str()).cloned();
        known(view.id())
            .or_else(|| view.facts.aliases.iter().find_map(known))
            .unwrap_or_else(|| view.id().to_string())
    }

    /// The identity of the gateway, if it was told, else of the bridge.
    fn via(&self, view: &DeviceView) -> String {
        let gateway = view.facts.parent.as_ref().filter(|id| self.shown.contains_key(id));
        let known = gateway.and_then(|id| self.memory.devices.get(id.as_str()).cloned());
        known.unwrap_or_else(|| device::bridge_identity(&self.instance))
    }
}
