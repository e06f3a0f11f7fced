//! What changed between two reports.

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::Schema;

use super::{Style, clean, points};

/// One change of a point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The point.
    pub(crate) id: DpId,
    /// What it was; `None` when it was not known.
    pub(crate) old: Option<DpValue>,
    /// What it is.
    pub(crate) new: DpValue,
}

/// What a device or sub-device reported last.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    last: Option<Dps>,
}

impl Memory {
    /// The values; `None` until something was reported.
    pub(crate) fn values(&self) -> Option<&Dps> {
        self.last.as_ref()
    }

    /// Takes a report and says what differs. The first report is what changes are measured by. A pushed repeat of a
    /// word is an event, a button pressed twice (`repeats`); repeats of numbers and switches say nothing.
    pub(crate) fn take(&mut self, dps: Dps, repeats: bool) -> Vec<Change> {
        let Some(last) = &mut self.last else {
            self.last = Some(dps);
            return Vec::new();
        };
        let mut changes = Vec::new();
        for (id, new) in dps.iter() {
            let old = last.value(id).cloned();
            let same = old.as_ref().is_some_and(|o| o.same_on_wire(new));
            let event = repeats && matches!(new, DpValue::Enum(_) | DpValue::String(_));
            if !same || event {
                changes.push(Change { id, old, new: new.clone() });
            }
        }
        last.merge(&dps);
        changes
    }
}

/// A change as a line for people: time, device, point, old -> new.
pub(crate) fn line(name: &str, schema: &Schema, change: &Change, style: Style) -> String {
    let spec = schema.spec(change.id);
    let time = jiff::Zoned::now().strftime("%H:%M:%S");
    let old = change.old.as_ref().map_or_else(|| "(unknown)".to_owned(), |o| points::reading(spec, o));
    format!(
        "{}  {}  {}  {} -> {}",
        style.dim(&time.to_string()),
        style.bold(&clean(name)),
        clean(&points::name(schema, change.id)),
        clean(&old),
        clean(&points::reading(spec, &change.new)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_of_words_are_events_when_pushed() {
        let word = |w: &str| [(DpId(1), DpValue::text(w))].into_iter().collect::<Dps>();
        let mut m = Memory::default();
        assert!(m.take(word("single"), true).is_empty(), "the first report is the measure");
        assert!(m.take(word("single"), false).is_empty(), "polled");
        assert_eq!(m.take(word("single"), true).len(), 1, "pressed again");
        let number = |n| [(DpId(2), DpValue::Value(n))].into_iter().collect::<Dps>();
        assert_eq!(m.take(number(5), true)[0].old, None);
        assert!(m.take(number(5), true).is_empty());
        assert_eq!(m.take(number(6), false)[0].old, Some(DpValue::Value(5)));
    }
}
