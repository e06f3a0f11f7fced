//! The DNS server: what is answered to whom, over UDP.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Name;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::answer::{self, Question, Read};
use super::clients::{Clients, Limiter, Rates};
use super::forward::{Forwarder, Slot};
use super::local::{self, Place};
use super::names::Kind;
use super::tcp;
use crate::config::Advertise;
use crate::event::What;
use crate::handshake::{Mark, Step};
use crate::listen::Over;
use crate::shared::Shared;

/// How long the list of our own addresses is believed.
const PLACES_FRESH: Duration = Duration::from_secs(5);

/// How often the name that devices are told is looked up.
const NAME_FRESH: Duration = Duration::from_secs(60);

/// How long looking it up may take.
const NAME_PATIENCE: Duration = Duration::from_secs(10);

/// A client that asks too much is mentioned at most this often.
const MENTION: Duration = Duration::from_secs(60);

/// Clients that were mentioned, and are remembered as such.
const MENTIONED: usize = 512;

/// A running DNS server. Dropping it ends it at once.
#[derive(Debug)]
pub struct DnsServer {
    tasks: JoinSet<()>,
}

/// Answers on these two sockets, which are bound to the same address, until the handle is dropped. To be called inside
/// of a tokio runtime.
///
/// # Errors
/// The system refuses what the sockets need; other names would be forwarded to these very sockets.
pub fn start(shared: Arc<Shared>, udp: std::net::UdpSocket, tcp: TcpListener) -> io::Result<DnsServer> {
    let here = udp.local_addr()?;
    if let Some(to) = shared.config.dns.forward.filter(|to| is_here(*to, here)) {
        let why = format!("other names can't be forwarded to {to}: that is this server itself");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    start_server(Server::new(shared, Rates::default()), udp, tcp)
}

pub(super) fn start_server(
    server: Server,
    udp: std::net::UdpSocket,
    tcp: TcpListener,
) -> io::Result<DnsServer> {
    let state = UdpSocketState::new((&udp).into())?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let udp = UdpSocket::from_std(udp)?;
    let tcp = tokio::net::TcpListener::from_std(tcp)?;
    let server = Arc::new(server);
    let mut tasks = JoinSet::new();
    if let Advertise::Host(host) = &server.shared.config.advertise {
        tasks.spawn(follow_name(Arc::clone(&server), host.clone()));
    }
    tasks.spawn(serve_udp(Arc::clone(&server), Arc::new(Datagrams { socket: udp, state })));
    tasks.spawn(tcp::serve(server, tcp));
    Ok(DnsServer { tasks })
}

impl DnsServer {
    /// Stops answering; returns when no task runs any more.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Whether an address is that of our own socket.
fn is_here(to: SocketAddr, here: SocketAddr) -> bool {
    let (to_ip, here_ip) = (to.ip().to_canonical(), here.ip().to_canonical());
    let ours = |ip| local::places().is_ok_and(|places| places.iter().any(|place| place.address == ip));
    to.port() == here.port()
        && (to_ip == here_ip || (here_ip.is_unspecified() && (to_ip.is_loopback() || ours(to_ip))))
}

/// What becomes of a message.
pub(super) enum Decision {
    /// No answer.
    Silent,
    /// This one.
    Answer(Vec<u8>),
    /// Another server's.
    Forward(Box<Question>, Slot),
}

/// What UDP and TCP share.
pub(super) struct Server {
    shared: Arc<Shared>,
    clients: Clients,
    limiter: Mutex<Limiter>,
    forwarder: Option<Forwarder>,
    /// The name that devices are told as ours.
    own: Option<Name>,
    /// What it stands for.
    named: Mutex<Vec<IpAddr>>,
    /// Our addresses, and when they were looked up.
    places: Mutex<Option<(Duration, Arc<[Place]>)>>,
    /// Whom something was said about, and when.
    mentioned: Mutex<HashMap<(IpAddr, &'static str), Duration>>,
}

impl Server {
    /// A server that nobody asked yet.
    pub(super) fn new(shared: Arc<Shared>, rates: Rates) -> Self {
        let own = match &shared.config.advertise {
            Advertise::Host(host) => Name::from_str(host).ok().map(|mut name| {
                name.set_fqdn(true);
                name
            }),
            Advertise::Local | Advertise::Ip(_) => None,
        };
        Self {
            clients: Clients::new(&shared.config.dns.clients),
            limiter: Mutex::new(Limiter::new(rates)),
            forwarder: shared.config.dns.forward.map(Forwarder::new),
            own,
            named: Mutex::default(),
            places: Mutex::default(),
            mentioned: Mutex::default(),
            shared,
        }
    }

    /// Whether an address is a client's.
    pub(super) fn is_client(&self, address: IpAddr) -> bool {
        self.clients.contains(address)
    }

    /// Decides about a message from this peer that was sent to this address, and remembers what was asked.
    pub(super) fn decide(&self, bytes: &[u8], peer: SocketAddr, sent_to: Option<IpAddr>) -> Decision {
        let address = peer.ip().to_canonical();
        let now = self.shared.clock.now().mono;
        if !self.is_client(address) {
            if !lock(&self.limiter).stranger(address, now) {
                return Decision::Silent;
            }
            return match answer::read(bytes, None) {
                Read::Ignore => Decision::Silent,
                Read::Fault(answer) => Decision::Answer(answer),
                Read::Question(question) => Decision::Answer(question.fail(ResponseCode::Refused)),
            };
        }
        if !lock(&self.limiter).client(address, now) {
            if self.is_news(address, "rate", Some(MENTION), now) {
                tracing::warn!(client = %address, "asks DNS more than it may; some questions are dropped");
            }
            return Decision::Silent;
        }
        let question = match answer::read(bytes, self.own.as_ref()) {
            Read::Ignore => return Decision::Silent,
            Read::Fault(answer) => return Decision::Answer(answer),
            Read::Question(question) => question,
        };
        self.remember(address, &question);
        match question.kind {
            Kind::Vendor | Kind::Own => self.tell(&question, peer, sent_to, now),
            Kind::Like | Kind::Other => match &self.forwarder {
                None => Decision::Answer(question.fail(ResponseCode::Refused)),
                Some(forwarder) => match forwarder.slot() {
                    Some(slot) => Decision::Forward(question, slot),
                    None => Decision::Answer(question.fail(ResponseCode::ServFail)),
                },
            },
        }
    }

    /// Asks the other server. `whole`: over TCP too, if that is what it takes.
    pub(super) async fn forward(&self, question: &Question, whole: bool, slot: Slot) -> Vec<u8> {
        let Some(forwarder) = &self.forwarder else {
            return question.fail(ResponseCode::Refused);
        };
        forwarder.ask(question, whole, slot).await.unwrap_or_else(|error| {
            tracing::debug!(%error, name = question.name, "a question was forwarded in vain");
            question.fail(ResponseCode::ServFail)
        })
    }

    /// The answer to a question for a name that is ours to answer.
    fn tell(
        &self,
        question: &Question,
        peer: SocketAddr,
        sent_to: Option<IpAddr>,
        now: Duration,
    ) -> Decision {
        let client = peer.ip().to_canonical();
        let places = self.places(now);
        let local = local::address(sent_to, client, &places);
        let named = lock(&self.named).clone();
        match local::ours(&self.shared.config.advertise, local, &named, client, &places) {
            Ok(ours) => Decision::Answer(question.answer(&ours)),
            Err(error) => {
                if self.is_news(client, "address", None, now) {
                    tracing::error!(%client, %error, "names of the vendor are refused");
                    self.shared.tell(
                        None,
                        Some(peer),
                        What::Refusal { code: "dns.address", why: error.to_string() },
                    );
                }
                Decision::Answer(question.fail(ResponseCode::Refused))
            }
        }
    }

    fn remember(&self, address: IpAddr, question: &Question) {
        let at = self.shared.clock.unix();
        let first = self.shared.asked.note(address, &question.name, question.kind, at);
        match question.kind {
            Kind::Vendor => {
                let mark = Mark { at, count: 1, over: Over::Dns, peer: Some(address) };
                self.shared.handshakes.step(&address.to_string(), Step::Dns, mark);
            }
            Kind::Like if first => tracing::info!(
                client = %address,
                name = question.name,
                "asks for a name that looks like the vendor's and is in no zone that we answer; please report it"
            ),
            Kind::Like | Kind::Own | Kind::Other => {}
        }
    }

    /// Our own addresses.
    fn places(&self, now: Duration) -> Arc<[Place]> {
        let mut kept = lock(&self.places);
        if let Some((at, places)) = &*kept
            && now.saturating_sub(*at) < PLACES_FRESH
        {
            return Arc::clone(places);
        }
        let places: Arc<[Place]> = match local::places() {
            Ok(places) => places.into(),
            Err(error) => {
                tracing::warn!(%error, "this machine's addresses can't be listed");
                kept.as_ref().map_or_else(|| Vec::new().into(), |(_, places)| Arc::clone(places))
            }
        };
        *kept = Some((now, Arc::clone(&places)));
        places
    }

    /// Whether something is to be said of a client: once, or once in a while.
    fn is_news(&self, client: IpAddr, what: &'static str, every: Option<Duration>, now: Duration) -> bool {
        let mut mentioned = lock(&self.mentioned);
        let before = mentioned.get(&(client, what)).copied();
        let news = match (before, every) {
            (None, _) => mentioned.len() < MENTIONED,
            (Some(_), None) => false,
            (Some(at), Some(every)) => now.saturating_sub(at) >= every,
        };
        if news {
            mentioned.insert((client, what), now);
        }
        news
    }
}

/// Every change under these locks is whole at every point where it could panic.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks up the name that devices are told, again and again.
async fn follow_name(server: Arc<Server>, host: String) {
    loop {
        match tokio::time::timeout(NAME_PATIENCE, tokio::net::lookup_host((host.as_str(), 0))).await {
            Ok(Ok(found)) => {
                // This machine's name is often loopback to itself, which is of no use to devices.
                let found: Vec<IpAddr> = found.map(|at| at.ip()).filter(|ip| !ip.is_loopback()).collect();
                if !found.is_empty() {
                    *lock(&server.named) = found;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%host, %error, "the name that devices are told can't be resolved here")
            }
            Err(_) => tracing::warn!(%host, "the name that devices are told is not resolved in time"),
        }
        tokio::time::sleep(NAME_FRESH).await;
    }
}

/// A socket that knows to which address a datagram was sent, and answers from there.
struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Datagrams {
    /// Receives one datagram, or several of one size from one peer if the system put them together.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        self.socket
            .async_io(Interest::READABLE, || {
                let mut metas = [RecvMeta::default()];
                self.state.recv((&self.socket).into(), &mut [IoSliceMut::new(buffer)], &mut metas)?;
                let [meta] = metas;
                Ok(meta)
            })
            .await
    }

    /// Sends an answer. Failures are no more than a lost datagram.
    async fn send(&self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) {
        let transmit =
            Transmit { destination: to, ecn: None, contents: bytes, segment_size: None, src_ip: from };
        let sent = self
            .socket
            .async_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &transmit))
            .await;
        if let Err(error) = sent {
            tracing::debug!(%to, %error, "an answer could not be sent");
        }
    }
}

async fn serve_udp(server: Arc<Server>, datagrams: Arc<Datagrams>) {
    // The largest datagram there is.
    let mut buffer = vec![0; 1 << 16];
    let mut waiting = JoinSet::new();
    loop {
        let meta = tokio::select! {
            received = datagrams.receive(&mut buffer) => match received {
                Ok(meta) => meta,
                Err(error) => {
                    tracing::warn!(%error, "DNS can't receive");
                    // So that an error that stays does not take the whole processor.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = waiting.join_next() => continue,
        };
        let received = buffer.get(..meta.len).unwrap_or_default();
        for message in received.chunks(meta.stride.max(1)) {
            let from = answer_from(meta.dst_ip);
            match server.decide(message, meta.addr, meta.dst_ip) {
                Decision::Silent => {}
                Decision::Answer(answer) => datagrams.send(meta.addr, from, &answer).await,
                Decision::Forward(question, slot) => {
                    let (server, datagrams) = (Arc::clone(&server), Arc::clone(&datagrams));
                    // As many as there are slots.
                    waiting.spawn(async move {
                        let mut answer = server.forward(&question, false, slot).await;
                        if answer.len() > question.udp_limit() {
                            answer = question.truncated();
                        }
                        datagrams.send(meta.addr, from, &answer).await;
                    });
                }
            }
        }
    }
}

/// The address to answer from: the one that was asked, unless that is everybody's.
fn answer_from(sent_to: Option<IpAddr>) -> Option<IpAddr> {
    sent_to.filter(|to| match to.to_canonical() {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    })
}
