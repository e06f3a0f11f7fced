//! The points last reported by a device and its sub-devices.

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;

/// More points or sub-devices than any device has; what a hostile one invents beyond is not kept.
const MAX_POINTS: usize = 512;
const MAX_SUBDEVICES: usize = 512;

#[derive(Debug)]
struct Known {
    id: DpId,
    /// The connection (counted, wrapped) that reported it last.
    heard_in: u16,
    value: DpValue,
}

type Subdevices = Vec<(Cid, Vec<Known>)>;

#[derive(Debug, Default)]
pub(super) struct Points {
    own: Vec<Known>,
    /// Boxed: most devices have no sub-devices.
    subdevices: Option<Box<Subdevices>>,
}

impl Points {
    fn list(&self, cid: Option<&Cid>) -> &[Known] {
        match cid {
            None => &self.own,
            Some(cid) => self
                .subdevices
                .as_deref()
                .and_then(|subs| subs.iter().find(|(c, _)| c == cid))
                .map_or(&[], |(_, list)| list),
        }
    }

    /// The value last reported over this connection. What an earlier connection reported proves nothing now: changes
    /// without a client are not pushed (lan.md 5.3).
    pub(super) fn heard(&self, cid: Option<&Cid>, id: DpId, connection: u16) -> Option<&DpValue> {
        self.list(cid).iter().find(|k| k.id == id && k.heard_in == connection).map(|k| &k.value)
    }

    /// Everything last reported.
    pub(super) fn all(&self, cid: Option<&Cid>) -> Dps {
        self.list(cid).iter().map(|k| (k.id, k.value.clone())).collect()
    }

    /// Sub-devices that reported anything.
    pub(super) fn cids(&self) -> impl Iterator<Item = &Cid> {
        self.subdevices.as_deref().into_iter().flatten().map(|(cid, _)| cid)
    }

    /// Takes over a report.
    pub(super) fn learn(&mut self, cid: Option<&Cid>, dps: &Dps, connection: u16) {
        let list = match cid {
            None => &mut self.own,
            Some(cid) => {
                let subs = self.subdevices.get_or_insert_default();
                let at = subs.iter().position(|(c, _)| c == cid);
                if at.is_none() && subs.len() >= MAX_SUBDEVICES {
                    return;
                }
                let at = at.unwrap_or_else(|| {
                    subs.push((cid.clone(), Vec::new()));
                    subs.len() - 1
                });
                &mut subs[at].1
            }
        };
        for (id, value) in dps.iter() {
            if let Some(known) = list.iter_mut().find(|k| k.id == id) {
                known.heard_in = connection;
                known.value.clone_from(value);
            } else if list.len() < MAX_POINTS {
                if list.len() == list.capacity() {
                    // Exactly: thousands of devices are held, and their lists stop growing after the first report.
                    list.reserve_exact(dps.len());
                }
                list.push(Known { id, heard_in: connection, value: value.clone() });
            }
        }
        if list.capacity() > list.len() {
            list.shrink_to_fit();
        }
    }
}
