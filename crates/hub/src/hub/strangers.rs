//! Who was heard and is not in the book: by beacons, and at the cloud.

use std::collections::BTreeMap;
use std::net::IpAddr;

use landfall_cloud::handshake::{Record, Step};

use crate::model::{HeardBy, Missing, Stranger};

/// Most that are told: those heard last.
const MOST: usize = 512;
/// Who came to the cloud and was not heard there for so long is forgotten here.
pub(super) const CLOUD_FRESH_S: u64 = 3_600;

/// Puts together who was heard where.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    all: BTreeMap<String, Stranger>,
    /// Whether devices can be given keys here.
    cloud: bool,
}

impl Strangers {
    /// Nobody yet. `cloud`: whether devices can be given keys here.
    pub(super) fn new(cloud: bool) -> Self {
        Self { cloud, ..Self::default() }
    }

    /// Someone whose beacon was heard.
    pub(super) fn beacon(&mut self, found: crate::model::Found, heard_ms: u64) {
        let stranger = Stranger {
            id: found.id.to_string(),
            address: Some(found.address),
            version: found.version,
            product_id: found.product_id,
            seen_by: vec![HeardBy::Beacon],
            heard_ms,
            missing: Missing::LocalKey,
            hint: no_key(self.cloud),
        };
        self.all.insert(stranger.id.clone(), stranger);
    }

    /// Someone who came to the cloud and calls itself so: a device id, or the uuid of hardware that has none yet.
    pub(super) fn came(&mut self, who: &str, record: &Record, now_s: u64) {
        let Some(last) = record.last().filter(|at| at.saturating_add(CLOUD_FRESH_S) >= now_s) else { return };
        let (missing, hint) = lacks(record);
        let heard_ms = last.saturating_mul(1_000);
        let address: Option<IpAddr> = record.peer();
        let stranger = self.all.entry(who.to_owned()).or_insert_with(|| Stranger {
            id: who.to_owned(),
            address,
            version: None,
            product_id: None,
            seen_by: Vec::new(),
            heard_ms,
            missing,
            hint: String::new(),
        });
        stranger.seen_by.push(HeardBy::Cloud);
        stranger.heard_ms = stranger.heard_ms.max(heard_ms);
        stranger.address = stranger.address.or(address);
        // What the cloud knows says more than that a beacon was heard.
        (stranger.missing, stranger.hint) = (missing, hint);
    }

    /// Who was heard last first.
    pub(super) fn list(self) -> Vec<Stranger> {
        let mut all: Vec<_> = self.all.into_values().collect();
        all.sort_by(|a, b| b.heard_ms.cmp(&a.heard_ms).then_with(|| a.id.cmp(&b.id)));
        all.truncate(MOST);
        all
    }
}

fn no_key(cloud: bool) -> String {
    let mut hint =
        "import its local key (tinytuya's devices.json or another tool's file), or enter it".to_owned();
    if cloud {
        hint.push_str("; or open an activation window, reset the device and pair it here");
    }
    hint
}

/// What somebody lacks who came to the cloud. The last refusal says it, unless more went well since.
fn lacks(record: &Record) -> (Missing, String) {
    let well = record.steps.iter().filter(|(step, _)| **step > Step::Tls).map(|(_, mark)| mark.at).max();
    let refused = record.refusal().filter(|(_, mark)| well <= Some(mark.at)).map(|(code, _)| code);
    let (missing, hint) = match refused {
        Some("activation.no_window") => (
            Missing::Window,
            "it asked to be activated while no window was open: open one, then switch the device off and on",
        ),
        Some("activation.unsigned" | "mqtt.auth_key") => (
            Missing::AuthKey,
            "it does not prove who it is by the auth key that we know: read its auth key from a dump of its flash",
        ),
        Some("tls.psk_identity" | "tls.psk_key") => (
            Missing::PskKey,
            "its TLS handshake needs its psk key: read it from a dump of its flash and import it",
        ),
        Some("mqtt.unknown" | "gateway.unknown_device") => (
            Missing::LocalKey,
            "it was paired elsewhere: import its keys; or open an activation window, reset the device and pair it here",
        ),
        Some(code) if code.starts_with("activation.") => (
            Missing::Window,
            "its activation was refused: open a window, then switch the device off and on; the hub's log says why",
        ),
        _ if record.at(Step::ActivationAsked).is_some() => {
            (Missing::Window, "it asked to be activated: open a window, then switch the device off and on")
        }
        _ => (
            Missing::Pairing,
            "it has come to the cloud and not asked to be activated: open a window, reset the device and pair it",
        ),
    };
    (missing, hint.to_owned())
}

#[cfg(test)]
mod tests {
    use landfall_cloud::handshake::{Handshakes, Mark};
    use landfall_cloud::listen::Over;
    use landfall_proto::id::DeviceId;

    use super::*;
    use crate::model::Found;

    const NOW: u64 = 1_772_366_400;

    fn record(does: impl FnOnce(&Handshakes)) -> Record {
        let dir = tempfile::tempdir().unwrap();
        let all = Handshakes::open(dir.path());
        does(&all);
        all.strangers().remove(0).1
    }

    fn mark(at: u64) -> Mark {
        Mark { at, count: 1, over: Over::Plain, peer: Some([192, 0, 2, 9].into()) }
    }

    #[test]
    fn one_who_is_heard_twice_is_told_once_with_what_is_missing() {
        let mut strangers = Strangers::new(true);
        let found = |id: &str| Found {
            id: DeviceId::new(id).unwrap(),
            address: [192, 0, 2, 7].into(),
            version: None,
            product_id: Some("key".into()),
            name: None,
            missing: None,
        };
        strangers.beacon(found("bf01"), NOW * 1_000);
        strangers.beacon(found("bf02"), NOW * 1_000 - 5);
        let refused = record(|r| {
            r.step("x", Step::ActivationAsked, mark(NOW - 60));
            r.refused("x", "activation.no_window", mark(NOW - 60));
        });
        strangers.came("bf01", &refused, NOW);
        strangers.came("uuid0001", &refused, NOW);
        strangers.came("uuid0002", &refused, NOW + CLOUD_FRESH_S);
        let all = strangers.list();
        let told: Vec<_> = all.iter().map(|s| (s.id.as_str(), s.seen_by.len(), s.missing)).collect();
        assert_eq!(
            told,
            [("bf01", 2, Missing::Window), ("bf02", 1, Missing::LocalKey), ("uuid0001", 1, Missing::Window)]
        );
        assert_eq!(all[2].address, Some([192, 0, 2, 9].into()));
        assert!(all[1].hint.contains("activation window") && !no_key(false).contains("window"));
    }

    #[test]
    fn the_last_refusal_says_what_is_missing_unless_more_went_well_since() {
        for (code, missing) in [
            ("activation.no_window", Missing::Window),
            ("activation.crowded", Missing::Window),
            ("activation.unsigned", Missing::AuthKey),
            ("tls.psk_identity", Missing::PskKey),
            ("mqtt.unknown", Missing::LocalKey),
            ("gateway.unknown_device", Missing::LocalKey),
        ] {
            assert_eq!(lacks(&record(|r| r.refused("x", code, mark(NOW)))).0, missing, "{code}");
        }
        let better = record(|r| {
            r.refused("x", "mqtt.unknown", mark(NOW));
            r.step("x", Step::Configured, mark(NOW + 1));
        });
        assert_eq!(lacks(&better).0, Missing::Pairing);
    }

    #[test]
    fn they_are_bounded() {
        let mut strangers = Strangers::default();
        let asked = record(|r| r.step("x", Step::NameService, mark(NOW)));
        for n in 0..MOST + 10 {
            strangers.came(&format!("uuid{n}"), &asked, NOW);
        }
        assert_eq!(strangers.list().len(), MOST);
    }
}
