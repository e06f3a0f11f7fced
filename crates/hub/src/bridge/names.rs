//! Names of devices as topics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use landfall_proto::id::DeviceId;

use super::topics::sanitised;
use crate::model::DeviceView;

/// Which device has which name in topics. Each name belongs to one device.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Names {
    of: HashMap<DeviceId, Arc<str>>,
    by: BTreeMap<Arc<str>, DeviceId>,
}

impl Names {
    /// Names for these devices. A name that can stand as it is stays; one that had to be changed and meets another gets the
    /// device's id at its end, whatever the order of the devices.
    pub(super) fn of(devices: &[Arc<DeviceView>]) -> Self {
        let mut names = Self::default();
        let mut altered = Vec::new();
        for view in devices {
            let name = view.facts.name.as_str();
            match sanitised(name) {
                Some(topic) if topic == name && !names.by.contains_key(name) => names.put(view.id(), topic),
                topic => altered.push((view.id(), topic)),
            }
        }
        altered.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        for (id, topic) in altered {
            let topic = topic.unwrap_or_else(|| id.to_string());
            if names.by.contains_key(topic.as_str()) {
                names.put(id, format!("{topic}_{id}"));
            } else {
                names.put(id, topic);
            }
        }
        names
    }

    fn put(&mut self, id: &DeviceId, topic: String) {
        let topic: Arc<str> = topic.into();
        self.of.insert(id.clone(), Arc::clone(&topic));
        self.by.insert(topic, id.clone());
    }

    /// A device's name in topics.
    pub(super) fn topic(&self, id: &DeviceId) -> Option<&Arc<str>> {
        self.of.get(id)
    }

    /// The device of a name in topics.
    pub(super) fn device(&self, name: &str) -> Option<&DeviceId> {
        self.by.get(name)
    }

    /// Whether a name is in use.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by.contains_key(name)
    }

    /// All, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &DeviceId)> {
        self.by.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Facts, Home};
    use crate::testing::{FakeHome, PLUG};

    fn named(id: &str, name: &str) -> Arc<DeviceView> {
        let mut view = (*FakeHome::new().device(PLUG).unwrap()).clone();
        let id = DeviceId::new(id).unwrap();
        view.facts = Arc::new(Facts { id, name: name.into(), ..(*view.facts).clone() });
        Arc::new(view)
    }

    #[test]
    fn each_device_has_a_name_of_its_own_whatever_their_order() {
        let mut devices = vec![
            named("bfa00000000000000001aa", "a+b"),
            named("bfa00000000000000002aa", "a_b"),
            named("bfa00000000000000003aa", "a#b"),
            named("bfa00000000000000004aa", "//"),
            named("bfa00000000000000005aa", "lamp"),
        ];
        let names = Names::of(&devices);
        let topic = |n: usize| names.topic(devices[n].id()).unwrap().to_string();
        assert_eq!(topic(1), "a_b", "who needs no change keeps the name");
        assert_eq!(topic(0), "a_b_bfa00000000000000001aa");
        assert_eq!(topic(2), "a_b_bfa00000000000000003aa");
        assert_eq!(topic(3), "bfa00000000000000004aa");
        assert_eq!(names.device("lamp"), Some(devices[4].id()));
        devices.reverse();
        assert_eq!(Names::of(&devices), names);
    }
}
