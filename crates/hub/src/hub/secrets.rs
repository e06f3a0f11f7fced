//! The secrets of the book's devices, for the console to hide.

use std::sync::Arc;

use landfall_book::Device;
use landfall_cloud::book_backend::BookBackend;
use landfall_proto::id::{DeviceId, Uuid};

use crate::console::Keeper;

/// The book, asked for secrets.
pub(super) struct BookKeeper(pub(super) Arc<BookBackend>);

impl Keeper for BookKeeper {
    fn secrets(&self, who: &str) -> Vec<String> {
        self.0.read(|book| {
            let by_id = DeviceId::new(who).ok().and_then(|id| book.by_id(&id));
            let device = by_id.or_else(|| book.by_uuid(&Uuid::new(who).ok()?));
            device.map(of).unwrap_or_default()
        })
    }
}

/// All that a device has or had, or will have.
fn of(device: &Device) -> Vec<String> {
    let cloud = &device.cloud;
    let pending =
        cloud.pending.iter().flat_map(|p| [p.local.expose_str().to_owned(), p.sec.expose_str().to_owned()]);
    let past = device.key_history.iter().flat_map(|p| {
        let sec = p.sec.as_ref().map(|s| s.expose_str().to_owned());
        [Some(p.key.expose_str().to_owned()), sec].into_iter().flatten()
    });
    let own = [
        device.key.as_ref().map(|k| k.expose_str().to_owned()),
        cloud.sec_key.as_ref().map(|k| k.expose_str().to_owned()),
        cloud.auth_key.as_ref().map(|k| k.expose_str().to_owned()),
        cloud.psk_key.as_ref().map(|k| k.expose_str().to_owned()),
    ];
    own.into_iter().flatten().chain(pending).chain(past).collect()
}
