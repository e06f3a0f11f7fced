//! Finds devices: listens on 6666 and 6667, asks on 7000, probes given addresses by TCP (lan.md 6).

mod finding;
mod memory;
mod options;
mod target;

pub use finding::{Finding, Kind, Missing, Note, Probe, ScanEvent, ScanProblem, Summary};
pub use memory::ProbeMemory;
pub use options::{Interface, Known, Ports, ScanOptions};
pub use target::{Target, TargetError, WIDEST};

/// Runs a scan until its time is over or `stop` completes, telling `on_event` of each sighting at once.
///
/// Nothing here fails as a whole: a port that cannot be bound stands in the summary's problems and the scan goes on
/// with the rest. Pass `std::future::pending()` as `stop` when there is no reason to stop early. Dropping the future
/// ends everything too.
pub async fn scan(
    options: ScanOptions,
    stop: impl Future<Output = ()> + Send,
    mut on_event: impl FnMut(&ScanEvent) + Send,
) -> Summary {
    let _ = (options, stop, &mut on_event);
    todo!()
}
