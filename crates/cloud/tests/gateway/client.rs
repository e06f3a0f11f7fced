//! A peer that writes bytes and reads HTTP.

use std::time::Duration;

use landfall_cloud::gateway;
use landfall_cloud::listen::{Link, Over};
use landfall_proto::gateway::{Action, Call, Encryption, Key, Path, Reader, Reply};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use crate::common::{World, link};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of the head.
    pub(crate) head: usize,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All that a device has to have room for.
    pub(crate) fn size(&self) -> usize {
        self.head + self.body.len()
    }
}

/// A connection to the gateway.
pub(crate) struct Peer {
    pub(crate) stream: DuplexStream,
    pub(crate) server: JoinHandle<()>,
    read: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(world: &World, link: Link) -> Self {
        Self::with_room(world, link, 64 * 1024)
    }

    /// With so many bytes between the two ends.
    pub(crate) fn with_room(world: &World, link: Link, room: usize) -> Self {
        let (stream, theirs) = tokio::io::duplex(room);
        let server = tokio::spawn(gateway::serve(world.shared.clone(), theirs, link));
        Self { stream, server, read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// The next answer; `None` when the connection ended without one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let head = loop {
            if let Some(at) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if self.more().await == 0 {
                assert!(self.read.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        };
        let text = String::from_utf8(self.read[..head].to_vec()).expect("a head of text");
        let mut lines = text.lines();
        let status =
            lines.next().and_then(|l| l.split(' ').nth(1)).expect("a status").parse().expect("digits");
        let headers: Vec<_> =
            lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let length =
            headers.iter().find(|(n, _)| n == "Content-Length").map(|(_, v)| v.parse().expect("digits"));
        let length: usize = length.unwrap_or_else(|| panic!("no exact length: {text}"));
        while self.read.len() < head + length {
            assert_ne!(self.more().await, 0, "the body ends early: {text}");
        }
        let body = self.read[head..head + length].to_vec();
        self.read.drain(..head + length);
        Some(Answer { status, headers, body, head })
    }

    async fn more(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let n = self.stream.read(&mut buffer).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..n]);
        n
    }

    /// The server ends the connection by itself.
    pub(crate) async fn closes(mut self) {
        assert_eq!(self.answer().await, None);
        tokio::time::timeout(Duration::from_secs(60), self.server)
            .await
            .expect("served to the end")
            .expect("no panic");
    }
}

/// Sends one request in clear and returns its answer.
pub(crate) async fn ask(world: &World, request: impl AsRef<[u8]>) -> Answer {
    ask_over(world, link(Over::Plain), request).await
}

/// Sends one request over this connection.
pub(crate) async fn ask_over(world: &World, link: Link, request: impl AsRef<[u8]>) -> Answer {
    let mut peer = Peer::new(world, link);
    peer.send(request.as_ref()).await;
    let answer = peer.answer().await.expect("an answer");
    drop(peer.stream);
    peer.server.await.expect("no panic");
    answer
}

/// A POST with a body.
pub(crate) fn post(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a.tuyaus.com\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A call of a device that names itself by this parameter.
pub(crate) fn call(path: Path, action: &str, version: &str, encryption: Encryption) -> Call {
    let action = Action::new(action).expect("an action");
    let version = (!version.is_empty()).then(|| version.to_owned());
    Call { version, ..Call::new(path, action, 21, encryption) }
}

/// Makes a call under a key, and reads the answer as this reader does.
pub(crate) async fn made(
    world: &World,
    call: &Call,
    key: &Key,
    body: &str,
    reader: Reader,
) -> (Answer, Reply) {
    let form = match body {
        "" => String::new(),
        body => call.form(key, body.as_bytes(), &mut landfall_link::entropy::OsEntropy::new()),
    };
    let answer = ask(world, post(&call.target(key), &form)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply = Reply::parse(&answer.body, call.encryption, key, reader)
        .unwrap_or_else(|e| panic!("{}: {e}: {}", call.action, answer.text()));
    (answer, reply)
}

/// What was told since the last look, as JSON.
pub(crate) fn told(events: &mut tokio::sync::broadcast::Receiver<landfall_cloud::Event>) -> Vec<Value> {
    std::iter::from_fn(|| events.try_recv().ok())
        .map(|e| serde_json::to_value(&e).expect("events are JSON"))
        .collect()
}

/// The codes of the refusals among them.
pub(crate) fn refusals(told: &[Value]) -> Vec<&str> {
    told.iter().filter_map(|e| e["code"].as_str()).collect()
}
