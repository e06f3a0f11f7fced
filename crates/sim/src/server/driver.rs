//! One device on its sockets.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::task::{Context, Poll};
use std::time::Duration;

use landfall_proto::lan::discovery;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Addresses, CloudState, Command, Event, Identity, Shared, sockets};
use crate::cloud::driver::{LineEvent, Lines};
use crate::cloud::{CloudOutput, LineId};
use crate::device::{Admission, ConnectionId, Ending, Output, VirtualDevice};
use crate::news::News;

/// What a client may leave unread before it is cut off.
const MAX_UNREAD: usize = 64 * 1024;
/// Connections that ended in silence and are kept open so that the client does not notice.
const MAX_SILENCED: usize = 16;
/// Pause after a listener failed (out of descriptors, address taken by somebody else).
const LISTENER_PAUSE: Duration = Duration::from_millis(250);
/// Addresses tried by a device that moves.
const MOVES: usize = 16;

struct Client {
    id: ConnectionId,
    stream: TcpStream,
    /// What the socket did not take at once.
    unsent: Vec<u8>,
    /// The socket failed; it leaves with the next [`Output::End`].
    broken: bool,
}

/// Owns a device, its listener and its connections.
pub(super) struct Driver {
    device: VirtualDevice,
    shared: Shared,
    commands: mpsc::Receiver<Command>,
    address: watch::Sender<Option<SocketAddrV4>>,
    identity: watch::Sender<Identity>,
    at: Option<SocketAddrV4>,
    listener: Option<TcpListener>,
    /// No attempt to listen or accept before this time.
    listener_pause: Option<Instant>,
    clients: Vec<Client>,
    silenced: Vec<TcpStream>,
    /// Connections to the cloud; `None` where the cloud side is off.
    lines: Option<Lines>,
    name: std::sync::Arc<str>,
    buffer: Box<[u8]>,
}

/// What woke the task.
enum Wake {
    Accepted(io::Result<TcpStream>),
    /// Bytes in the buffer from a client; none when it closed.
    Heard(ConnectionId, io::Result<usize>),
    /// A socket took what was left.
    Sent,
    Cloud(LineId, LineEvent),
    Command(Option<Command>),
    Timer,
}

impl Driver {
    pub(super) fn new(
        mut device: VirtualDevice,
        listener: Option<(TcpListener, SocketAddrV4)>,
        shared: Shared,
        commands: mpsc::Receiver<Command>,
        (address, identity): (watch::Sender<Option<SocketAddrV4>>, watch::Sender<Identity>),
    ) -> Self {
        let at = listener.as_ref().map(|(_, at)| *at);
        if let Some(at) = at {
            device.set_address(*at.ip());
        }
        let name = device.spec().name.as_str().into();
        let lines = device.cloud().and(shared.dial.clone()).map(Lines::new);
        Self {
            device,
            shared,
            commands,
            address,
            identity,
            at,
            listener: listener.map(|(listener, _)| listener),
            listener_pause: None,
            clients: Vec::new(),
            silenced: Vec::new(),
            lines,
            name,
            buffer: vec![0; 4_096].into(),
        }
    }

    /// Runs until the simulation is dropped.
    pub(super) async fn run(mut self) {
        if let Some(at) = self.at {
            self.tell(News::Up { address: Some(at) });
        }
        loop {
            let deadline = self.drain();
            match self.wait(deadline).await {
                Wake::Command(None) => return,
                wake => self.take(wake),
            }
        }
    }

    /// Does everything that the device wants done; returns when it wants to be called again.
    fn drain(&mut self) -> Duration {
        loop {
            let now = self.shared.clock.now();
            match self.device.poll_output(now) {
                Output::Transmit { connection, frame } => self.transmit(connection, &frame),
                Output::End { connection, ending } => self.end(connection, ending),
                Output::Listen(true) => self.reopen(),
                Output::Listen(false) => self.listener = None,
                Output::Move => self.relocate(),
                Output::Announce(datagram) => self.announce(&datagram),
                Output::Answer { to, datagram } => {
                    if let Some(d) = self.shared.discovery {
                        self.say(SocketAddrV4::new(to, d.ask), &datagram);
                    }
                }
                Output::Cloud(output) => self.obey_cloud(output),
                Output::News(news) => self.tell(news),
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn obey_cloud(&mut self, output: CloudOutput) {
        let Some(lines) = self.lines.as_mut() else { return };
        match output {
            CloudOutput::Open { line, place } => lines.open(line, place, self.at.map(|at| *at.ip())),
            CloudOutput::Write { line, bytes } => lines.write(line, bytes),
            CloudOutput::Close { line } => lines.close(line),
            // The device keeps these to itself.
            CloudOutput::Effect(_) | CloudOutput::News(_) | CloudOutput::Wait(_) => {}
        }
    }

    fn tell(&self, mut news: News) {
        self.note_identity();
        if self.shared.events.receiver_count() == 0 {
            return;
        }
        if let News::Up { address } = &mut news {
            *address = self.at;
        }
        let at_ms = self.shared.clock.unix_ms();
        let event = Event { at_ms, device: self.device.spec().id.clone(), name: self.name.clone(), news };
        // The last watcher may have left in between.
        let _nobody = self.shared.events.send(event);
    }

    /// An activation gives a device another id and another key.
    fn note_identity(&self) {
        let spec = self.device.spec();
        self.identity.send_if_modified(|known| {
            let other = known.id != spec.id || known.key != spec.key;
            if other {
                *known = Identity { id: spec.id.clone(), key: spec.key.clone() };
            }
            other
        });
    }

    async fn wait(&mut self, deadline: Duration) -> Wake {
        let mut until = self.shared.clock.instant(deadline);
        if let Some(pause) = self.listener_pause {
            until = Some(until.map_or(pause, |u| u.min(pause)));
        }
        let timer = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let listener = self.listener.as_ref().filter(|_| self.listener_pause.is_none());
        let accept = async {
            match listener {
                Some(listener) => listener.accept().await.map(|(stream, _)| stream),
                None => std::future::pending().await,
            }
        };
        let (clients, buffer) = (&mut self.clients, &mut self.buffer);
        let heard = poll_fn(|cx| poll_clients(clients, buffer, cx));
        let lines = &mut self.lines;
        let cloud = async {
            match lines {
                Some(lines) => lines.event().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = self.commands.recv() => Wake::Command(command),
            wake = heard => wake,
            (line, event) = cloud => Wake::Cloud(line, event),
            stream = accept => Wake::Accepted(stream),
            () = timer => Wake::Timer,
        }
    }

    fn take(&mut self, wake: Wake) {
        let now = self.shared.clock.now();
        match wake {
            Wake::Accepted(Ok(stream)) => {
                sockets::tune(&stream);
                match self.device.handle_connect(now) {
                    Admission::Accepted(id) => {
                        self.clients.push(Client { id, stream, unsent: Vec::new(), broken: false });
                    }
                    // Accepted, then closed at once: dropping it does that.
                    Admission::TurnedAway => {}
                    Admission::Refused => sockets::reset(stream),
                }
            }
            Wake::Accepted(Err(error)) => {
                tracing::warn!(device = %self.name, %error, "a client could not be accepted");
                self.listener_pause = Some(Instant::now() + LISTENER_PAUSE);
            }
            Wake::Heard(id, Ok(0)) => self.device.handle_close(id, now),
            Wake::Heard(id, Ok(n)) => self.device.handle_input(id, &self.buffer[..n], now),
            Wake::Heard(id, Err(error)) => {
                tracing::debug!(device = %self.name, %error, "a connection failed");
                self.device.handle_close(id, now);
            }
            Wake::Cloud(line, LineEvent::Opened) => self.device.handle_cloud_opened(line, now),
            Wake::Cloud(line, LineEvent::Heard(bytes)) => self.device.handle_cloud_input(line, &bytes, now),
            Wake::Cloud(line, LineEvent::Closed) => self.device.handle_cloud_closed(line, now),
            Wake::Cloud(line, LineEvent::Failed(why)) => {
                tracing::debug!(device = %self.name, why, "no connection to the cloud");
                self.device.handle_cloud_failed(line, &why, now);
            }
            Wake::Sent | Wake::Command(None) => {}
            Wake::Command(Some(command)) => self.obey(command),
            Wake::Timer => {
                if self.listener_pause.is_some_and(|at| Instant::now() >= at) {
                    self.listener_pause = None;
                    if self.listener.is_none() && self.device.is_listening() {
                        self.reopen();
                    }
                }
            }
        }
        self.device.handle_timeout(self.shared.clock.now());
    }

    fn obey(&mut self, command: Command) {
        let now = self.shared.clock.now();
        // Whoever asked may have stopped waiting for the reply; that is no fault of ours.
        match command {
            Command::Press(cid, what, reply) => {
                let _gone = reply.send(self.device.press(cid.as_ref(), &what, now));
            }
            Command::Fault(fault, reply) => {
                self.device.fault(fault, now);
                self.drain();
                let _gone = reply.send(());
            }
            Command::Points(cid, reply) => {
                if self.device.is_up() {
                    self.device.catch_up(now);
                }
                let _gone = reply.send(self.device.queried(cid.as_ref()).unwrap_or_default());
            }
            Command::Flowed(cid, reply) => {
                if self.device.is_up() {
                    self.device.catch_up(now);
                }
                let _gone = reply.send(self.device.flowed(cid.as_ref()));
            }
            Command::Ask(to) => self.device.handle_ask(to, now),
            Command::Pair(pairing, reply) => {
                let _gone = reply.send(self.device.pair(pairing, now));
            }
            Command::Look(reply) => {
                let _gone = reply.send(CloudState::of(&self.device));
            }
        }
    }

    fn transmit(&mut self, id: ConnectionId, frame: &[u8]) {
        let Some(client) = self.clients.iter_mut().find(|c| c.id == id && !c.broken) else { return };
        if client.unsent.is_empty() {
            match client.stream.try_write(frame) {
                Ok(n) if n == frame.len() => return,
                Ok(n) => client.unsent.extend_from_slice(&frame[n..]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => client.unsent.extend_from_slice(frame),
                Err(_) => client.broken = true,
            }
        } else {
            client.unsent.extend_from_slice(frame);
        }
        if client.broken || client.unsent.len() > MAX_UNREAD {
            client.broken = true;
            self.device.handle_close(id, self.shared.clock.now());
        }
    }

    fn end(&mut self, id: ConnectionId, ending: Ending) {
        let Some(at) = self.clients.iter().position(|c| c.id == id) else { return };
        let client = self.clients.swap_remove(at);
        match ending {
            Ending::Close if !client.broken => {}
            Ending::Close | Ending::Reset => sockets::reset(client.stream),
            Ending::Silence => {
                if self.silenced.len() >= MAX_SILENCED {
                    sockets::reset(self.silenced.remove(0));
                }
                self.silenced.push(client.stream);
            }
        }
    }

    /// Listens again where it listened before.
    fn reopen(&mut self) {
        // After a reboot the other end of an old connection gets RST for whatever it sends.
        self.silenced.drain(..).for_each(sockets::reset);
        let Some(at) = self.at else { return };
        match sockets::listen(at) {
            Ok((listener, _)) => self.listener = Some(listener),
            Err(error) => {
                tracing::warn!(device = %self.name, address = %at, %error, "can't listen again; trying on");
                self.listener_pause = Some(Instant::now() + LISTENER_PAUSE);
            }
        }
    }

    /// Another address: another loopback address and the same port, or another port of the same address.
    fn relocate(&mut self) {
        let Some(old) = self.at else { return };
        for _ in 0..MOVES {
            let new = if self.shared.addresses == Addresses::Loopback && old.ip().is_loopback() {
                SocketAddrV4::new(self.shared.another_address(), old.port())
            } else {
                SocketAddrV4::new(*old.ip(), 0)
            };
            if let Ok((listener, at)) = sockets::listen(new) {
                self.listener = Some(listener);
                self.at = Some(at);
                self.device.set_address(*at.ip());
                self.address.send_replace(Some(at));
                self.tell(News::Up { address: Some(at) });
                return;
            }
        }
        tracing::warn!(device = %self.name, "found no other address and stays where it is");
    }

    fn announce(&self, datagram: &[u8]) {
        let (Some(d), Some(at)) = (self.shared.discovery, self.at) else { return };
        let port = if discovery::port_of(self.device.spec().version) == discovery::PORT_CLEAR {
            d.clear
        } else {
            d.encrypted
        };
        let target = d.target.unwrap_or_else(|| sockets::broadcast_of(*at.ip()));
        self.say(SocketAddrV4::new(target, port), datagram);
    }

    fn say(&self, to: SocketAddrV4, datagram: &[u8]) {
        if let Some(at) = self.at
            && let Err(error) = sockets::say(*at.ip(), to, datagram)
        {
            tracing::debug!(device = %self.name, %to, %error, "a datagram was not sent");
        }
    }
}

/// The first client that has something for us, or whose socket takes what is left for it.
fn poll_clients(clients: &mut [Client], buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<Wake> {
    for client in clients.iter_mut().filter(|c| !c.broken) {
        while !client.unsent.is_empty() {
            match client.stream.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => return Poll::Ready(Wake::Heard(client.id, Err(e))),
                Poll::Ready(Ok(())) => match client.stream.try_write(&client.unsent) {
                    Ok(n) => {
                        client.unsent.drain(..n);
                        if client.unsent.is_empty() {
                            return Poll::Ready(Wake::Sent);
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Poll::Ready(Wake::Heard(client.id, Err(e))),
                },
            }
        }
        loop {
            match client.stream.poll_read_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(e)) => return Poll::Ready(Wake::Heard(client.id, Err(e))),
                Poll::Ready(Ok(())) => match client.stream.try_read(buffer) {
                    // Readiness was stale; asking again arms the waker.
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(Wake::Heard(client.id, result)),
                },
            }
        }
    }
    Poll::Pending
}
