//! The brain on real lines. What API and bridges call.
//!
//! | file | does |
//! |---|---|
//! | `start` | settings, starting, ending |
//! | `inbox` | what waits for the brain: bounded, and what does not fit is counted |
//! | `task` | the one task that owns the brain and carries out what it wants |
//! | `views` | how devices look now, for readers who never wait |
//! | `roster` | the book as the brain and the lines want it, followed while it changes |
//! | `lan` | the connections that we hold to devices |
//! | `cloud` | the connections that devices hold to our cloud |
//! | `finder` | beacons, scans, examinations |
//! | `secrets` | what the console hides |
//! | `strangers` | who was heard and is not in the book |
//! | `home` | [`Home`](crate::model::Home): what the doors call |
//! | `edit` | changes of the book that people ask for |
//!
//! ```text
//!   LAN news, cloud feed -> inbox -> Core::apply -> views, bus, store writer
//!   Home::set ------------> asks --^      |-------> send over LAN or cloud -> Done -> inbox
//! ```

mod cloud;
mod edit;
mod finder;
mod home;
mod inbox;
mod lan;
mod outcome;
mod roster;
mod secrets;
mod start;
mod strangers;
mod task;
mod views;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::console::Console;
use crate::store::{Store, Writer};
use cloud::CloudLine;
use finder::Finder;
use inbox::Inbox;
use lan::Lan;
use roster::Roster;
use views::Views;

pub use start::{Discovery, HubConfig, Refreshing, StartError};

/// The running hub. [`shutdown`](Self::shutdown) ends it in order; dropping it stops its tasks at once.
#[derive(Debug)]
pub struct Hub {
    clock: Clock,
    zone: jiff::tz::TimeZone,
    price_milli: Option<i64>,
    started_ms: u64,
    bus: Arc<Bus>,
    console: Console,
    store: Arc<dyn Store>,
    writer: Writer,
    book: Arc<BookBackend>,
    views: Arc<Views>,
    inbox: Inbox,
    roster: Arc<Roster>,
    lan: Arc<Lan>,
    cloud: Option<Arc<CloudLine>>,
    finder: Arc<Finder>,
    commands: AtomicU64,
    /// Ends what feeds the brain.
    lines: CancellationToken,
    /// Ends the brain.
    end: CancellationToken,
    tasks: TaskTracker,
    brain: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.lines.cancel();
        self.end.cancel();
    }
}
