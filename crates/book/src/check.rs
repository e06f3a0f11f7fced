//! What holds for every book: no two devices share an id or a name.

use landfall_proto::id::DeviceId;

use crate::book::{Book, BookError, fold, folds_to};
use crate::device::{Device, checked_name};

/// With more new devices than these, it is quicker to look at all.
const CHECKED_ONE_BY_ONE: usize = 8;

/// A device's ids, and the one that waits for its first use; that may be one that the device has or had.
fn claimed(d: &Device) -> impl Iterator<Item = &DeviceId> {
    let waiting = d.cloud.pending.as_ref().map(|p| &p.id).filter(|id| d.ids().all(|i| i != *id));
    d.ids().chain(waiting)
}

impl Book {
    /// Checks what [`Self::add`] and [`Self::rename`] keep true, for a book that was read from a file.
    ///
    /// # Errors
    /// Two devices with the same id or name.
    pub fn check(&self) -> Result<(), BookError> {
        let mut ids = std::collections::HashSet::new();
        let mut names = std::collections::HashSet::new();
        for d in self.devices() {
            checked_name(&d.name)?;
            for id in claimed(d) {
                if !ids.insert(id) {
                    return Err(BookError::Clash(format!("the id {id}")));
                }
            }
            if !names.insert(fold(&d.name)) {
                return Err(BookError::Clash(format!("the name {:?}", d.name)));
            }
        }
        Ok(())
    }

    /// [`Self::check`] for a book that was in order but for the devices at these places.
    pub(crate) fn check_some(&self, places: impl ExactSizeIterator<Item = usize>) -> Result<(), BookError> {
        if places.len() > CHECKED_ONE_BY_ONE {
            return self.check();
        }
        for (at, d) in places.filter_map(|at| Some((at, self.devices.get(at)?))) {
            checked_name(&d.name)?;
            let name = fold(&d.name);
            let ids: Vec<&DeviceId> = claimed(d).collect();
            let twice = |i: &usize| ids[..*i].contains(&ids[*i]);
            if let Some(i) = (0..ids.len()).find(twice) {
                return Err(BookError::Clash(format!("the id {}", ids[i])));
            }
            for (_, other) in self.devices.iter().enumerate().filter(|(i, _)| *i != at) {
                if let Some(id) = claimed(other).find(|id| ids.contains(id)) {
                    return Err(BookError::Clash(format!("the id {id}")));
                }
                if folds_to(&other.name, &name) {
                    return Err(BookError::Clash(format!("the name {:?}", d.name)));
                }
            }
        }
        Ok(())
    }
}
