//! Which devices there are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use landfall_proto::id::{Cid, DeviceId};

use super::device::Device;
use super::out::Ctx;
use super::{Core, Effect, Known, Moment};
use crate::model::{Line, What};

impl Core {
    /// These are the devices now.
    pub(super) fn devices(&mut self, list: Vec<Known>, now: Moment, effects: &mut Vec<Effect>) {
        let first = !std::mem::replace(&mut self.started, true);
        let listed: HashSet<DeviceId> = list.iter().map(|k| k.facts.id.clone()).collect();
        self.aliases.clear();
        for known in &list {
            let id = Arc::new(known.facts.id.clone());
            for alias in known.facts.aliases.iter().filter(|alias| !listed.contains(alias)) {
                self.aliases.insert(alias.clone(), Arc::clone(&id));
            }
        }
        let former: Vec<Arc<DeviceId>> =
            self.devices.keys().filter(|id| !listed.contains(&***id)).cloned().collect();
        let mut moved = HashMap::new();
        for id in former {
            match self.aliases.get(&*id).cloned() {
                Some(to) => {
                    if let Some(device) = self.take(&id, effects) {
                        self.commands.rename(&id, &to);
                        moved.insert(to, device);
                    }
                }
                None => self.remove(&id, now, effects),
            }
        }
        self.children = children(&list, &self.aliases);
        for known in list {
            let former = moved.remove(&known.facts.id);
            self.keep(known, former, first, now, effects);
        }
        let children = &self.children;
        self.strangers.retain(|(gateway, cid)| !children.get(gateway).is_some_and(|c| c.contains_key(cid)));
        let gateways: Vec<DeviceId> = self.children.keys().cloned().collect();
        for gateway in gateways {
            self.lead(&gateway, now, effects);
        }
        for (id, text) in std::mem::take(&mut self.early) {
            self.restore(&id, &text, false, now, effects);
        }
    }

    /// Takes a device out, without a word.
    fn take(&mut self, id: &Arc<DeviceId>, effects: &mut Vec<Effect>) -> Option<Device> {
        let mut device = self.devices.remove(id)?;
        self.wake.forget(id, &mut device.wake_at);
        effects.push(Effect::View { device: DeviceId::clone(id), view: None });
        Some(device)
    }

    fn remove(&mut self, id: &Arc<DeviceId>, now: Moment, effects: &mut Vec<Effect>) {
        self.abandon(id, now, effects);
        if let Some(device) = self.take(id, effects) {
            let name = device.known.facts.name.clone();
            self.out.change(now, Some(Arc::clone(id)), What::Removed { name });
        }
    }

    /// Takes over one entry of the list; `former` is the device that had one of its former ids.
    fn keep(
        &mut self,
        known: Known,
        former: Option<Device>,
        first: bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let id = known.facts.id.clone();
        let gateway = gateway(&known, &self.aliases);
        let Self { devices, settings, calendar, out, .. } = self;
        let ctx = Ctx { now, settings, calendar, out };
        let mut news = Vec::new();
        match (devices.get_mut(&id), former) {
            (Some(device), former) => {
                news = differences(&device.known, &known);
                if let Some(former) = former {
                    device.busy += former.busy;
                    device.adopt(former);
                    news.push(What::Edited);
                }
                if news.is_empty() && device.gateway == gateway {
                    return;
                }
                device.redefine(known, &ctx);
            }
            (None, Some(mut device)) => {
                news = differences(&device.known, &known);
                device.redefine(known, &ctx);
                device.keep_under_new_id();
                devices.insert(Arc::clone(&device.id), device);
            }
            (None, None) => {
                let device = Device::new(known, now, &ctx);
                if !first {
                    news.push(What::Added);
                }
                devices.insert(Arc::clone(&device.id), device);
            }
        }
        self.with(&id, now, effects, |device, ctx| {
            device.gateway = gateway;
            for what in news {
                device.tell(ctx, what);
            }
        });
    }

    /// Sub-devices take over the lines of their gateway.
    pub(super) fn lead(&mut self, gateway: &DeviceId, now: Moment, effects: &mut Vec<Effect>) {
        let Some(children) = self.children.get(gateway) else { return };
        let children: Vec<Arc<DeviceId>> = children.values().cloned().collect();
        let (lan, cloud) = match self.devices.get(gateway) {
            Some(gateway) => {
                (Arc::clone(gateway.lane(Line::Lan).view()), Arc::clone(gateway.lane(Line::Cloud).view()))
            }
            // The gateway is not in the book (any more): there is no way to them.
            None => (Arc::default(), Arc::default()),
        };
        for child in children {
            self.with(&child, now, effects, |device, ctx| device.follow(&lan, &cloud, ctx));
        }
    }
}

fn differences(before: &Known, now: &Known) -> Vec<What> {
    let mut news = Vec::new();
    let (from, to) = (&before.facts.name, &now.facts.name);
    if from != to {
        news.push(What::Renamed { from: from.clone(), to: to.clone() });
    }
    let mut unnamed = crate::model::Facts::clone(&now.facts);
    unnamed.name.clone_from(from);
    if unnamed != *before.facts || before.definition != now.definition {
        news.push(What::Edited);
    }
    news
}

type Children = HashMap<DeviceId, BTreeMap<Cid, Arc<DeviceId>>>;

/// The gateway of a sub-device, by its id as it is now.
fn gateway(known: &Known, aliases: &HashMap<DeviceId, Arc<DeviceId>>) -> Option<(DeviceId, Cid)> {
    let (parent, cid) = known.facts.parent.as_ref().zip(known.facts.cid.as_ref())?;
    let parent = aliases.get(parent).map_or_else(|| parent.clone(), |id| DeviceId::clone(id));
    Some((parent, cid.clone()))
}

fn children(list: &[Known], aliases: &HashMap<DeviceId, Arc<DeviceId>>) -> Children {
    let mut children = Children::new();
    for known in list {
        if let Some((parent, cid)) = gateway(known, aliases) {
            children.entry(parent).or_default().insert(cid, Arc::new(known.facts.id.clone()));
        }
    }
    children
}
