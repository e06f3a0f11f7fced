//! A handle on one device: one connection, shared by all callers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::body::{Report, SubdevicesOnline};
use landfall_proto::lan::discovery::Beacon;
use landfall_proto::lan::session::Answer;
use landfall_proto::lan::{self, Version};

use crate::config::DeviceConfig;
use crate::driver::{Driver, Shared};
use crate::line::{Ask, Command, Completion, Line};
use crate::link::Link;
use crate::news::{News, Subscription};
use crate::outcome::{CommandError, Outcome, SetOptions};
use crate::state::State;
use crate::tap::OfDevice;

/// A handle on one device. Clones share the connection; when the last one is dropped, the connection is closed.
///
/// A command goes on when its future is dropped; nobody hears of its outcome then.
#[derive(Clone, Debug)]
pub struct Device {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.act(|inner, _| inner.line.close());
    }
}

impl Device {
    pub(crate) fn start(link: &Link, config: &DeviceConfig) -> Self {
        let mut line = Line::new(config, link.shared.now());
        let id = Arc::new(config.id.clone());
        if let Some(tap) = &link.shared.tap {
            line.set_tap(Arc::new(OfDevice { tap: Arc::clone(tap), id: Arc::clone(&id) }));
        }
        let shared = Arc::new(Shared::new(id, Arc::clone(&link.shared), line));
        tokio::spawn(Driver::new(Arc::clone(&shared)));
        Self { handle: Arc::new(Handle { shared }) }
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// The device's id.
    pub fn id(&self) -> &DeviceId {
        &self.shared().id
    }

    /// The version in use, once known.
    pub fn version(&self) -> Option<Version> {
        self.shared().lock().line.version()
    }

    /// The address of the next connection, once known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.shared().lock().line.address()
    }

    /// How the connection stands.
    pub fn state(&self) -> State {
        self.shared().lock().line.state()
    }

    /// The points last reported, of the device itself or a sub-device; empty when nothing was heard.
    pub fn points(&self, cid: Option<&Cid>) -> Dps {
        self.shared().lock().line.points(cid)
    }

    /// The sub-devices that reported anything.
    pub fn cids(&self) -> Vec<Cid> {
        self.shared().lock().line.cids()
    }

    /// How many TCP connections were opened so far (detections of the version apart).
    pub fn connects(&self) -> u64 {
        self.shared().lock().connects
    }

    /// News of this device from now on.
    pub fn subscribe(&self) -> Subscription<News> {
        Subscription::new(self.shared().lock().subscribe())
    }

    /// Waits until the connection is ready.
    ///
    /// # Errors
    /// The state it was in when the time was up, or at once when it is [`State::Stopped`] or [`State::Closed`].
    pub async fn ready(&self, within: Duration) -> Result<(), State> {
        let mut news = self.subscribe();
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match self.state() {
                State::Ready => return Ok(()),
                state @ (State::Stopped { .. } | State::Closed) => return Err(state),
                _ => {}
            }
            // Whatever was heard or missed, the state tells.
            if tokio::time::timeout_at(deadline, news.next()).await.is_err() {
                let state = self.state();
                return if state == State::Ready { Ok(()) } else { Err(state) };
            }
        }
    }

    async fn run(&self, command: Command) -> Result<Completion, CommandError> {
        let done = self.shared().act(|inner, now| {
            let id = inner.line.submit(command, now)?;
            Ok(inner.wait_for(id))
        })?;
        done.await.map_err(|_| CommandError::Closed)
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CommandError> {
        match self.run(Command::Ask(ask)).await? {
            Completion::Ask(result) => result,
            Completion::Set(_) => Err(CommandError::Closed),
        }
    }

    /// Asks for the points. Waits for the connection if there is none. The device may answer with a part of its points.
    ///
    /// # Errors
    /// See [`CommandError`]; the deadline is [`DeviceConfig::timeout`].
    pub async fn query(&self, cid: Option<Cid>) -> Result<Report, CommandError> {
        let command = Ask::Query { cid: cid.clone() };
        match self.ask(command).await? {
            Answer::Report(report) => Ok(report),
            // Answered without points.
            _ => Ok(Report { cid, ..Report::default() }),
        }
    }

    /// Sets points and waits for the outcome.
    ///
    /// # Errors
    /// Only when the set was not taken at all: nothing in it, queue full, handle closed. All else is an [`Outcome`].
    pub async fn set(
        &self,
        cid: Option<Cid>,
        dps: Dps,
        options: SetOptions,
    ) -> Result<Outcome, CommandError> {
        match self.run(Command::Set { cid, dps, options }).await? {
            Completion::Set(outcome) => Ok(outcome),
            Completion::Ask(_) => Err(CommandError::Closed),
        }
    }

    /// Has points measured and reported (UPDATEDPS). True when the device acknowledged or reported; false when it stayed
    /// silent, which many do (lan.md 5.4).
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn refresh(&self, cid: Option<Cid>, points: Vec<DpId>) -> Result<bool, CommandError> {
        let answer = self.ask(Ask::Refresh { cid, points }).await?;
        Ok(!matches!(answer, Answer::Silent))
    }

    /// Which sub-devices are online; `None` when the device stayed silent (plain devices do).
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn subdevices(&self) -> Result<Option<SubdevicesOnline>, CommandError> {
        match self.ask(Ask::Subdevices).await? {
            Answer::Subdevices(online) => Ok(Some(online)),
            _ => Ok(None),
        }
    }

    /// Sends any command with a body as it is and returns the body of the next frame of the same command. For tools.
    /// Sent at most once, with nothing else under way.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn raw(&self, command: lan::Command, body: Vec<u8>) -> Result<Vec<u8>, CommandError> {
        match self.ask(Ask::Raw { command, body }).await? {
            Answer::Body(body) => Ok(body),
            _ => Ok(Vec::new()),
        }
    }

    /// A beacon of this device was heard from this address: a waiting reconnect is tried at once (at most every 5 s), an
    /// unknown version is taken from it, a changed address is used for the next connection. The port stays as it was.
    /// Beacons of other devices are ignored.
    pub fn heard(&self, beacon: &Beacon, from: IpAddr) {
        if beacon.id != *self.shared().id {
            return;
        }
        self.shared().act(|inner, now| {
            let port = inner.line.address().map_or(lan::TCP_PORT, |a| a.port());
            inner.line.heard(SocketAddr::new(from, port), beacon.version, now);
        });
    }

    /// The device is at another address. Reconnects if it was connected elsewhere.
    pub fn set_address(&self, address: SocketAddr) {
        self.shared().act(|inner, now| inner.line.set_address(address, now));
    }

    /// The device has another local key (paired anew). Reconnects.
    pub fn set_key(&self, key: LocalKey) {
        self.shared().act(|inner, now| inner.line.set_key(key, now));
    }

    /// The owner chose a version. Reconnects.
    pub fn set_version(&self, version: Version) {
        self.shared().act(|inner, now| inner.line.set_version(version, now));
    }

    /// Closes the connection cleanly and ends all commands; returns when the socket is closed.
    pub async fn close(&self) {
        let ended = self.shared().act(|inner, _| {
            inner.line.close();
            inner.end_signal()
        });
        if let Some(ended) = ended {
            // An error means that the task is gone too.
            let _ = ended.await;
        }
    }
}
