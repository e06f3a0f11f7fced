//! A client for tests: proto's client session over a socket, with deadlines.

#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses another part; helpers of tests may panic.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::Now;
use landfall_proto::dp::Dps;
use landfall_proto::id::Cid;
use landfall_proto::lan::session::{
    Answer, CloseReason, Config, Event, Output, Request, RequestError, RequestId, Session, Timing,
};
use landfall_sim::dice::Dice;
use landfall_sim::server::DeviceInfo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    session: Session,
    dice: Dice,
    start: Instant,
    pub(crate) seen: Vec<Event>,
}

pub(crate) fn config(info: &DeviceInfo) -> Config {
    Config {
        device_id: info.id.clone(),
        key: info.key.clone(),
        version: info.version,
        device22: false,
        device22_points: Vec::new(),
        timing: Timing { request: Duration::from_secs(2), ..Timing::default() },
    }
}

impl Client {
    pub(crate) async fn connect(info: &DeviceInfo) -> Self {
        Self::connect_to(info.address.unwrap(), config(info)).await
    }

    pub(crate) async fn connect_to(address: SocketAddrV4, config: Config) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.unwrap().unwrap();
        let mut dice = Dice::labelled(u64::from(stream.local_addr().unwrap().port()), "client");
        let start = Instant::now();
        let session = Session::new(Arc::new(config), Now::new(Duration::ZERO, 1_700_000_000), &mut dice);
        Self { stream, session, dice, start, seen: Vec::new() }
    }

    fn now(&self) -> Now {
        Now::new(self.start.elapsed(), 1_700_000_000)
    }

    /// Drives the session until `until` says something about an event.
    pub(crate) async fn until<T>(&mut self, mut until: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        loop {
            let wait = loop {
                let now = self.now();
                match self.session.poll_output(now, &mut self.dice) {
                    Output::Transmit(bytes) => {
                        // A write to a connection that the device reset fails; the read below tells the session.
                        let _ = self.stream.write_all(&bytes).await;
                    }
                    Output::Event(event) => {
                        let answer = until(&event);
                        self.seen.push(event);
                        if let Some(answer) = answer {
                            return answer;
                        }
                    }
                    Output::Wait(at) => break at,
                }
            };
            assert!(Instant::now() < deadline, "nothing of the kind came: {:?}", self.seen);
            let wait = self.start.checked_add(wait).unwrap_or(deadline).min(deadline);
            tokio::select! {
                read = self.stream.read(&mut buffer) => match read {
                    Ok(n) if n > 0 => self.session.handle_input(&buffer[..n], self.now()),
                    _ => self.session.handle_close(self.now()),
                },
                () = tokio::time::sleep_until(wait) => self.session.handle_timeout(self.now()),
            }
        }
    }

    pub(crate) fn request(&mut self, request: Request) -> RequestId {
        let now = self.now();
        self.session.request(request, now)
    }

    pub(crate) async fn done(&mut self, id: RequestId) -> Result<Answer, RequestError> {
        self.until(|e| match e {
            Event::Done { id: done, result } if *done == id => Some(result.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn query(&mut self, cid: Option<&Cid>) -> Result<Dps, RequestError> {
        let id = self.request(Request::Query { cid: cid.cloned() });
        match self.done(id).await? {
            Answer::Report(report) => Ok(report.dps),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn set(&mut self, dps: &str) -> Result<Answer, RequestError> {
        let id = self.request(Request::Set { cid: None, dps: serde_json::from_str(dps).unwrap() });
        self.done(id).await
    }

    /// The next report that shows all of these values.
    pub(crate) async fn report(&mut self, wanted: &str) -> Dps {
        let wanted: Dps = serde_json::from_str(wanted).unwrap();
        self.until(|e| match e {
            Event::Report { report, .. } if report.dps.shows(&wanted) => Some(report.dps.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn closed(&mut self) -> CloseReason {
        self.until(|e| match e {
            Event::Closed(reason) => Some(reason.clone()),
            _ => None,
        })
        .await
    }
}
