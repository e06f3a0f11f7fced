//! Devices that are not where the book says: beacons tell the driver, and what proved right is remembered.

use std::collections::HashMap;

use landfall_book::{BookStore as _, FileStore};
use landfall_link::scan::{ScanEvent, ScanOptions, scan};
use landfall_link::{Device, Failure as LinkFailure, State};
use landfall_proto::id::DeviceId;
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::Beacon;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::subject::Subject;

/// A search that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Search(JoinHandle<()>);

impl Drop for Search {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells the handles what is heard of their devices, for as long as the search is kept. The driver decides what to
/// believe: a beacon proves nothing, only the key does.
pub(crate) fn listen(handles: impl IntoIterator<Item = Device>) -> Search {
    let handles: HashMap<DeviceId, Device> = handles.into_iter().map(|d| (d.id().clone(), d)).collect();
    Search(tokio::spawn(async move {
        let options = ScanOptions { duration: None, ..ScanOptions::default() };
        let summary = scan(options, std::future::pending(), move |event| tell(&handles, event)).await;
        for problem in summary.problems {
            tracing::warn!("{problem}");
        }
    }))
}

fn tell(handles: &HashMap<DeviceId, Device>, event: &ScanEvent) {
    let (id, address, version) = match event {
        ScanEvent::Found(f) | ScanEvent::Changed(f) => (f.id.as_ref(), f.address, f.version),
        ScanEvent::Listening { .. } => return,
        ScanEvent::Heard { id, address } => (Some(id), Some(*address), None),
    };
    let (Some(id), Some(address)) = (id, address) else { return };
    let Some(handle) = handles.get(id) else { return };
    if handle.state() == State::NoAddress {
        handle.set_address(address);
    }
    handle.heard(&beacon(id.clone(), version), address.ip());
}

/// What the scanner understood of a beacon.
fn beacon(id: DeviceId, version: Option<Version>) -> Beacon {
    Beacon {
        id,
        ip: None,
        uuid: None,
        product_id: None,
        version,
        version_text: None,
        active: None,
        encrypt: None,
        clients: None,
        access_point: false,
    }
}

/// Listens for a device once it turns out that it is not where the book says, for as long as the search is kept.
pub(crate) fn follow(subject: &Subject, handle: &Device) -> Option<Search> {
    if !subject.may_move() {
        return None;
    }
    let handle = handle.clone();
    Some(Search(tokio::spawn(async move {
        let mut news = handle.subscribe();
        loop {
            match handle.state() {
                State::NoAddress | State::Waiting { failure: LinkFailure::Connect(_), .. } => break,
                _ => {}
            }
            if news.next().await.is_none() {
                return;
            }
        }
        tracing::info!("looking for {}", handle.id());
        let search = listen([handle]);
        // Held until the task is aborted.
        std::future::pending::<()>().await;
        drop(search);
    })))
}

/// Keeps what a working connection has proven: address and version. Only in a book of our own; a failure to write is
/// worth a word but no error, since the request itself succeeded.
pub(crate) fn remember(context: &Context, subject: &Subject, handle: &Device) {
    let (address, version) = (handle.address(), handle.version());
    let line = &subject.line;
    let known = line.socket_address() == address && line.version == version;
    let Some(dir) = context.own_book().filter(|_| !known) else { return };
    let store = FileStore::new(dir);
    let id = subject.line_id();
    let kept = store.update(&mut |book| {
        if let Some(d) = book.by_id_mut(id) {
            d.version = version.or(d.version);
            if let Some(a) = address {
                d.address = Some(a.ip());
                d.port = Some(a.port()).filter(|p| *p != landfall_proto::lan::TCP_PORT);
            }
        }
        Ok(())
    });
    if let Err(e) = kept {
        tracing::warn!("address and version of {id} are not remembered: {e}");
    }
}
