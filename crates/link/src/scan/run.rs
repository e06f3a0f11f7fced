//! A scan from its first socket to its summary: one loop that owns all state.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::pin::pin;
use std::sync::Arc;

use landfall_proto::lan::discovery::Datagram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::asking::Asker;
use super::catalogue::{Catalogue, Probed};
use super::finding::{Kind, Probe, ScanEvent, ScanProblem, Summary};
use super::options::ScanOptions;
use super::probing::{Done, Prober};
use super::sockets::{self, Arrival};
use super::target::is_local;
use crate::state::ConnectFailure;

/// Datagrams waiting to be looked at. When more come the sockets' own buffers fill, and then the system drops them.
const INBOX: usize = 256;
/// Most addresses listed as speaking something else.
const MOST_FOREIGN: usize = 256;

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
    let (inbox, mut arrivals) = mpsc::channel(INBOX);
    let mut readers = JoinSet::new();
    let mut run = Run::new(&options);
    for (probe, port) in
        [(Probe::Beacon6666, options.ports.clear), (Probe::Beacon6667, options.ports.encrypted)]
    {
        let Some(port) = port else { continue };
        let address = SocketAddrV4::new(options.listen, port);
        match sockets::bind(address).and_then(|s| s.local_addr().map(|a| (s, a))) {
            Ok((socket, address)) => {
                on_event(&ScanEvent::Listening { probe, address });
                readers.spawn(sockets::read(Arc::new(socket), address, probe, inbox.clone()));
            }
            Err(cause) => {
                run.summary.problems.push(ScanProblem::Listen { address: SocketAddr::V4(address), cause });
            }
        }
    }
    let mut asker = Asker::new(options.ports, options.interfaces.clone());
    let mut prober = Prober::new(&options);
    let begun = Instant::now();
    let end = options.duration.and_then(|d| begun.checked_add(d));
    let mut next_ask = begun;
    let mut over = false;
    let mut stop = pin!(stop);
    loop {
        run.start_probes(&mut prober);
        if over {
            prober.give_up_waiting();
            if prober.is_idle() {
                break;
            }
        }
        let due = prober.due();
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = at(end), if !over => over = true,
            () = sleep_until(next_ask), if !over && options.ports.answer.is_some() => {
                // Counted from the question before, so that a late wake-up does not bunch questions.
                next_ask = Instant::now() + options.ask_every;
                let problems = asker.ask(&mut readers, &inbox, &mut on_event).await;
                run.summary.problems.extend(problems);
            }
            done = prober.next_done() => {
                if let Some(event) = run.on_probe(&mut prober, done) {
                    on_event(&event);
                }
            }
            Some(arrival) = arrivals.recv() => {
                if let Some(event) = run.on_arrival(arrival) {
                    on_event(&event);
                }
            }
            () = at(due), if due.is_some() => {}
        }
    }
    readers.abort_all();
    arrivals.close();
    while let Some(arrival) = arrivals.recv().await {
        if let Some(event) = run.on_arrival(arrival) {
            on_event(&event);
        }
    }
    let mut summary = run.summary;
    (summary.findings, summary.left_out) = run.catalogue.finish();
    summary.asks_sent = asker.sent;
    summary.key_tries_left += prober.left;
    summary
}

/// Waits until a time; forever when there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

struct Run {
    catalogue: Catalogue,
    summary: Summary,
    /// Reasons on this machine for which connections could not be tried, each told once.
    told: BTreeSet<String>,
}

impl Run {
    fn new(options: &ScanOptions) -> Self {
        let catalogue = Catalogue::new(options.known.clone(), options.ports.tcp, options.max_findings);
        Self { catalogue, summary: Summary::default(), told: BTreeSet::new() }
    }

    fn start_probes(&mut self, prober: &mut Prober) {
        let Self { catalogue, summary, told } = self;
        prober.start_due(
            |address| catalogue.is_named(address),
            |id| catalogue.has_seen(id),
            |address| {
                if told.insert("not local".to_owned()) {
                    summary.problems.push(ScanProblem::NotLocal(address));
                }
            },
        );
    }

    fn on_arrival(&mut self, arrival: Arrival) -> Option<ScanEvent> {
        let (probe, source, content) = match arrival {
            Arrival::Datagram { probe, source, content } => (probe, source, content),
            Arrival::Dead(problem) => {
                self.summary.problems.push(problem);
                return None;
            }
        };
        if !is_local(source) {
            self.summary.foreign += 1;
            return None;
        }
        match content.map(|d| *d) {
            Ok(Datagram::Beacon(beacon)) => self.catalogue.heard(probe, source, &beacon),
            Ok(Datagram::Ask { .. }) => {
                self.summary.asks_ignored += 1;
                None
            }
            Err(cause) => {
                *self.summary.malformed.entry(cause).or_default() += 1;
                None
            }
        }
    }

    fn on_probe(&mut self, prober: &mut Prober, done: Done) -> Option<ScanEvent> {
        match done {
            Done::Probed { address, heard } => {
                self.summary.probed += 1;
                match heard {
                    Ok(None) => {
                        self.catalogue.probed(address, &Probed { kind: None, id: None, version: None })
                    }
                    Ok(Some(heard)) => match prober.identify(&heard) {
                        Some((probed, failed)) => {
                            let mut event = self.catalogue.probed(address, &probed);
                            if failed > 0
                                && let Some(noted) = self.catalogue.keys_failed(address, failed)
                            {
                                // The first sight of a device stays one.
                                event = match (event, noted) {
                                    (Some(ScanEvent::Found(_)), ScanEvent::Changed(f)) => {
                                        Some(ScanEvent::Found(f))
                                    }
                                    (_, noted) => Some(noted),
                                };
                            }
                            if probed.kind == Some(Kind::New) && !self.catalogue.is_named(address) {
                                prober.queue_keys(address);
                            }
                            event
                        }
                        None => {
                            if self.summary.not_tuya.len() < MOST_FOREIGN {
                                self.summary.not_tuya.push(address);
                            }
                            None
                        }
                    },
                    Err(cause) => {
                        self.summary.probed_without_answer += 1;
                        if let ConnectFailure::Other(kind) = cause
                            && self.told.insert(kind.to_string())
                        {
                            self.summary.problems.push(ScanProblem::Probe { address, cause });
                        }
                        None
                    }
                }
            }
            Done::Tried { address, owner, version } => {
                let failed = prober.tried(address, version.is_some());
                match version {
                    Some(_) => self
                        .catalogue
                        .probed(address, &Probed { kind: Some(Kind::New), id: Some(owner), version }),
                    None => self.catalogue.keys_failed(address, failed),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use landfall_proto::id::DeviceId;
    use landfall_proto::lan::Version;
    use landfall_proto::lan::discovery::Beacon;

    use super::*;

    #[test]
    fn only_local_sources_are_believed() {
        let beacon = Beacon::new(DeviceId::new("a").unwrap(), Version::V3_3);
        let mut run = Run::new(&ScanOptions::default());
        let mut from = |source: &str| {
            let content = Ok(Box::new(Datagram::Beacon(beacon.clone())));
            let source: Ipv4Addr = source.parse().unwrap();
            run.on_arrival(Arrival::Datagram { probe: Probe::Beacon6667, source, content }).is_some()
        };
        for source in ["8.8.8.8", "203.0.113.5", "172.32.0.1", "0.0.0.0", "224.0.0.1"] {
            assert!(!from(source), "{source}");
        }
        for source in ["192.168.1.5", "10.0.0.5", "172.31.0.1", "169.254.7.7", "127.0.0.1"] {
            assert!(from(source), "{source}");
        }
        assert_eq!(run.summary.foreign, 5);
    }

    #[test]
    fn causes_are_counted() {
        let mut run = Run::new(&ScanOptions::default());
        for cause in ["truncated", "truncated", "too long"] {
            let source = Ipv4Addr::LOCALHOST;
            run.on_arrival(Arrival::Datagram { probe: Probe::Beacon6667, source, content: Err(cause) });
        }
        let counted: Vec<_> = run.summary.malformed.into_iter().collect();
        assert_eq!(counted, [("too long", 1), ("truncated", 2)]);
    }
}
