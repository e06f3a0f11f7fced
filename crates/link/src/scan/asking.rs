//! The question "who is there", sent from every interface (lan.md 6.4).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use landfall_proto::lan::discovery;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::finding::{Probe, ScanEvent, ScanProblem};
use super::options::{Interface, Ports};
use super::sockets::{self, Arrival};
use crate::entropy::OsEntropy;

/// One socket per interface, bound to its address on port 7000: devices answer to that address and port, and a bound
/// source address makes the system send broadcasts out of that interface.
#[derive(Debug)]
pub(super) struct Asker {
    ports: Ports,
    /// `None`: those of the machine.
    given: Option<Vec<Interface>>,
    open: BTreeMap<Ipv4Addr, (Arc<UdpSocket>, AbortHandle)>,
    /// Interfaces whose trouble has been told.
    told: HashSet<(Ipv4Addr, bool)>,
    told_none: bool,
    pub(super) sent: u64,
}

impl Asker {
    pub(super) fn new(ports: Ports, given: Option<Vec<Interface>>) -> Self {
        let (open, told) = (BTreeMap::new(), HashSet::new());
        Self { ports, given, open, told, told_none: false, sent: 0 }
    }

    /// Opens sockets for new interfaces, drops those that are gone, and asks once on each.
    pub(super) async fn ask(
        &mut self,
        readers: &mut JoinSet<()>,
        to: &mpsc::Sender<Arrival>,
        on_event: &mut (dyn FnMut(&ScanEvent) + Send),
    ) -> Vec<ScanProblem> {
        let Some(port) = self.ports.answer else { return Vec::new() };
        let mut problems = Vec::new();
        let interfaces = match &self.given {
            Some(given) => given.clone(),
            None => match sockets::interfaces() {
                Ok(found) => found,
                Err(e) => {
                    if !std::mem::replace(&mut self.told_none, true) {
                        problems.push(ScanProblem::Interfaces(e));
                    }
                    return problems;
                }
            },
        };
        if interfaces.is_empty() && !std::mem::replace(&mut self.told_none, true) {
            problems.push(ScanProblem::NoInterface);
        }
        self.open.retain(|address, (_, reader)| {
            let stays = interfaces.iter().any(|i| i.address == *address);
            if !stays {
                reader.abort();
            }
            stays
        });
        for interface in &interfaces {
            let address = interface.address;
            if let Entry::Vacant(place) = self.open.entry(address) {
                // Bound before the question goes out, or the answer finds nobody.
                let bound = sockets::bind(SocketAddrV4::new(address, port))
                    .and_then(|s| s.local_addr().map(|a| (Arc::new(s), a)));
                match bound {
                    Ok((socket, local)) => {
                        on_event(&ScanEvent::Listening { probe: Probe::Answer7000, address: local });
                        let reading =
                            sockets::read(Arc::clone(&socket), local, Probe::Answer7000, to.clone());
                        place.insert((socket, readers.spawn(reading)));
                    }
                    Err(cause) => {
                        if self.told.insert((address, true)) {
                            let address = SocketAddr::from((address, port));
                            problems.push(ScanProblem::Listen { address, cause });
                        }
                        continue;
                    }
                }
            }
            if let Err(cause) = self.ask_on(interface).await
                && self.told.insert((address, false))
            {
                problems.push(ScanProblem::Ask { interface: interface.name.clone(), cause });
            }
        }
        problems
    }

    /// Asks by both broadcast addresses; fails when neither could be sent.
    async fn ask_on(&mut self, interface: &Interface) -> std::io::Result<()> {
        let Some((socket, _)) = self.open.get(&interface.address) else { return Ok(()) };
        let question = discovery::ask(interface.address, &mut OsEntropy::new());
        // 255.255.255.255 on the loopback interface would be a question to nobody at best.
        let everybody = (!interface.address.is_loopback()).then_some(Ipv4Addr::BROADCAST);
        let mut result = Ok(());
        let mut sent = false;
        for to in everybody.into_iter().chain(interface.broadcast) {
            match socket.send_to(&question, (to, self.ports.ask)).await {
                Ok(_) => {
                    self.sent += 1;
                    sent = true;
                }
                Err(e) => result = Err(e),
            }
        }
        if sent { Ok(()) } else { result }
    }
}
