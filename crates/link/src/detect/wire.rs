//! One question on one fresh connection, and what came back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::body::{self, Addressee, Body, SubdevicesOnline};
use landfall_proto::lan::codec::{Codec, Form, OpenError, Outgoing};
use landfall_proto::lan::frame::{FrameReader, FramingError, Item, MAX_LENGTH_CLIENT, RawFrame};
use landfall_proto::lan::session::{
    Answer, CloseReason, Config, Event, Output, Request, RequestError, Session, Timing,
};
use landfall_proto::lan::version::Framing;
use landfall_proto::lan::{Command, Version};
use landfall_proto::{Now, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::seen::{Asked, Seen};
use crate::entropy::OsEntropy;
use crate::state::ConnectFailure;

/// A close within this time of the last thing we sent counts as "at once" (lan.md 4.5, 5.2).
const AT_ONCE: Duration = Duration::from_secs(1);
/// Most bytes read of an answer that never becomes a frame.
const MOST_BYTES: usize = 64 * 1024;
/// A device that sends frames without end but never the answer is left after so many.
const MOST_READS: usize = 256;

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// `None`: unknown; the clear query then names nobody.
    pub(crate) id: Option<DeviceId>,
    pub(crate) key: Option<LocalKey>,
    /// The sub-device to query; its gateway answers.
    pub(crate) cid: Option<Cid>,
    /// Time for the connection to open.
    pub(crate) connect: Duration,
    /// Time for an answer.
    pub(crate) answer: Duration,
}

/// What came back, with the frame itself where keys may be tried on it later.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) seen: Seen,
    pub(crate) frame: Option<Vec<u8>>,
}

impl From<Seen> for Heard {
    fn from(seen: Seen) -> Self {
        Self { seen, frame: None }
    }
}

/// How far a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// To the proof of key and version: enough for 3.4 and 3.5 by the negotiation alone.
    Proof,
    /// To the answer of a query.
    Query,
}

/// Opens a connection, asks, and closes it in an orderly way: a half-open one occupies a slot (lan.md 5.2).
pub(crate) async fn ask(target: &Target, asked: Asked, depth: Depth) -> Heard {
    let mut again = true;
    loop {
        let mut stream = match open(target.address, target.connect).await {
            Ok(stream) => stream,
            Err(e) => return Seen::NoConnection(e).into(),
        };
        let heard = match asked {
            Asked::Nothing => listen(&mut stream, target.answer).await,
            Asked::Clear => ask_clear(&mut stream, target).await,
            Asked::Session(version) => match session_config(target, version) {
                Some(config) => match run_session(&mut stream, config, target, depth).await {
                    Ok(seen) => seen.into(),
                    // The device's proof was right, so key and version are; only the query needs another connection.
                    Err(ZeroKey) if depth == Depth::Query && again => {
                        again = false;
                        close(stream).await;
                        continue;
                    }
                    Err(ZeroKey) => Seen::Established.into(),
                },
                // Without a key nothing can be said on it.
                None => listen(&mut stream, target.answer).await,
            },
        };
        close(stream).await;
        return heard;
    }
}

/// The session key begins with a zero byte, so this connection is of no use (lan.md 4.4).
struct ZeroKey;

/// Opens a connection without delay for small writes.
pub(crate) async fn open(address: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectFailure> {
    match timeout(limit, TcpStream::connect(address)).await {
        Err(_) => Err(ConnectFailure::TimedOut),
        Ok(Err(e)) => Err(ConnectFailure::from(&e)),
        Ok(Ok(stream)) => {
            // One frame per write, at once (lan.md 1.5). A socket that can't do it still works.
            if let Err(e) = stream.set_nodelay(true) {
                tracing::debug!(%address, error = %e, "TCP_NODELAY refused");
            }
            Ok(stream)
        }
    }
}

/// Ends a connection cleanly.
pub(crate) async fn close(mut stream: TcpStream) {
    // The peer may have closed already; then there is nothing left to end.
    if let Err(e) = stream.shutdown().await {
        tracing::trace!(error = %e, "shutdown of a probe connection");
    }
}

fn session_config(target: &Target, version: Version) -> Option<Arc<Config>> {
    let (Some(id), Some(key)) = (&target.id, &target.key) else { return None };
    let timing = Timing { negotiation: target.answer, request: target.answer, ..Timing::default() };
    Some(Arc::new(Config {
        device_id: id.clone(),
        key: key.clone(),
        version,
        // Never by itself: some devices execute null writes (lan.md 5.5). A refusal proves as much as an answer.
        device22: false,
        device22_points: Vec::new(),
        timing,
    }))
}

/// Both clocks, the monotonic one from when the connection opened.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> Now {
        Now::new(self.0.elapsed(), unix())
    }
}

fn unix() -> u64 {
    // A clock before 1970 is a clock that is not set; devices do not check it (lan.md 3.7).
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Reads once; `Ok(0)` and errors mean closed, `None` the deadline.
async fn read(stream: &mut TcpStream, buffer: &mut [u8], deadline: Instant) -> Option<usize> {
    match timeout_at(deadline, stream.read(buffer)).await {
        Err(_) => None,
        Ok(result) => Some(result.unwrap_or(0)),
    }
}

fn closed(since: Instant) -> Heard {
    Seen::Closed { at_once: since.elapsed() < AT_ONCE }.into()
}

/// Sends nothing and sees whether the device keeps the connection. It has as long as it has for an answer, but no more
/// than twice "at once": a healthy device has nothing to say.
async fn listen(stream: &mut TcpStream, limit: Duration) -> Heard {
    let since = Instant::now();
    let mut buffer = [0; 512];
    let deadline = since + limit.min(2 * AT_ONCE);
    for _ in 0..MOST_READS {
        match read(stream, &mut buffer, deadline).await {
            Some(0) => return closed(since),
            // Devices push to every open connection (lan.md 4.2); what they say does not matter here.
            Some(_) => {}
            None => break,
        }
    }
    Seen::Silent.into()
}

async fn ask_clear(stream: &mut TcpStream, target: &Target) -> Heard {
    let mut question = Vec::new();
    let text = match &target.id {
        Some(device) => body::query(Version::V3_1, Addressee { device, cid: target.cid.as_ref() }, unix()),
        None => b"{}".to_vec(),
    };
    // Clear bodies need no key.
    let codec = Codec::new(Version::V3_1, &[0; 16]);
    let message = Outgoing {
        sequence: 1,
        command: Command::DP_QUERY,
        retcode: None,
        header: None,
        form: Form::Clear,
        body: &text,
    };
    codec.seal(&message, &mut OsEntropy::new(), &mut question);
    let since = Instant::now();
    let deadline = since + target.answer;
    match timeout_at(deadline, stream.write_all(&question)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return closed(since),
        Err(_) => return Seen::Silent.into(),
    }
    let mut reader = FrameReader::new(Framing::AaCrc, MAX_LENGTH_CLIENT);
    let mut buffer = [0; 2048];
    let (mut garbage, mut empty, mut total) = (false, false, 0);
    while total < MOST_BYTES {
        match read(stream, &mut buffer, deadline).await {
            Some(0) if !(garbage || empty || reader.buffered() > 0) => return closed(since),
            Some(0) | None => break,
            Some(n) => {
                total += n;
                reader.push(&buffer[..n]);
            }
        }
        while let Some(item) = reader.next_item() {
            match item {
                Item::Frame(frame) => match classify(frame, target.key.as_ref()) {
                    // The data may follow an empty reply (lan.md 5.3).
                    Heard { seen: Seen::Empty, .. } => empty = true,
                    conclusive => return conclusive,
                },
                Item::Error(FramingError::UnexpectedFraming) => return Seen::Frame35.into(),
                Item::Error(_) => garbage = true,
            }
        }
    }
    match (empty, garbage || reader.buffered() > 0) {
        (true, _) => Seen::Empty.into(),
        (_, true) => Seen::Foreign.into(),
        _ => Seen::Silent.into(),
    }
}

/// What a 55AA frame says about the version of its sender, who was asked in clear (lan.md 5.7).
fn classify(frame: RawFrame<'_>, key: Option<&LocalKey>) -> Heard {
    let copy = frame.bytes.to_vec();
    let seen = match Codec::new(Version::V3_1, &[0; 16]).open(Role::Device, frame) {
        Err(OpenError::Integrity(_)) => Seen::Frame34,
        // A message signed in the way of 3.1; the zero key can't match its signature.
        Err(OpenError::Undecryptable { .. }) => Seen::Json { id: None },
        Ok(m) if m.body.is_empty() => Seen::Empty,
        Ok(m) if m.body.first() == Some(&b'{') => match Body::parse(m.body) {
            Ok(body) => Seen::Json { id: body.dev_id },
            Err(_) => Seen::Text(shown(m.body)),
        },
        // A ciphertext that happens to be printable is one in 10^6 at the shortest length.
        Ok(m) if is_text(m.body) => Seen::Text(shown(m.body)),
        Ok(_) => {
            let opens = key.map(|key| opens_3_3(&copy, key));
            return Heard { seen: Seen::Cipher { opens }, frame: Some(copy) };
        }
    };
    seen.into()
}

/// Whether a frame of 3.2 or 3.3 opens to a text under this key. Padding alone fits one wrong key in 256.
pub(crate) fn opens_3_3(frame: &[u8], key: &LocalKey) -> bool {
    let mut bytes = frame.to_vec();
    let frame = RawFrame { framing: Framing::AaCrc, bytes: &mut bytes };
    Codec::new(Version::V3_3, key.expose())
        .open(Role::Device, frame)
        .is_ok_and(|m| m.form == Form::Cipher && is_text(m.body))
}

/// Device texts may hold broken UTF-8 inside JSON, but none of them holds control characters.
fn is_text(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'{')
        || std::str::from_utf8(bytes)
            .is_ok_and(|t| !t.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(100).collect()
}

async fn run_session(
    stream: &mut TcpStream,
    config: Arc<Config>,
    target: &Target,
    depth: Depth,
) -> Result<Seen, ZeroKey> {
    let version = config.version;
    let clock = Clock(Instant::now());
    let mut entropy = OsEntropy::new();
    let negotiates = config.version.dialect().negotiates;
    let mut session = Session::new(config, clock.now(), &mut entropy);
    if depth == Depth::Query || !negotiates {
        session.request(Request::Query { cid: target.cid.clone() }, clock.now());
    }
    // Negotiation and query each have their own time inside the session; this is the end of all patience.
    let last = clock.0 + 3 * target.answer + AT_ONCE;
    let mut last_sent = clock.0;
    let mut ready = false;
    let mut proven = false;
    // A gateway answers for a sub-device that it does not reach as well, with what it remembers.
    let mut remembered: Option<Seen> = None;
    let mut buffer = [0; 2048];
    for _ in 0..MOST_READS * 8 {
        match session.poll_output(clock.now(), &mut entropy) {
            Output::Transmit(bytes) => {
                last_sent = Instant::now();
                match timeout_at(last, stream.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => session.handle_close(clock.now()),
                    Err(_) => return Ok(remembered.unwrap_or(Seen::Silent)),
                }
            }
            Output::Event(Event::Ready) => {
                ready = true;
                if negotiates && depth == Depth::Proof {
                    return Ok(Seen::Established);
                }
            }
            Output::Event(Event::Proven) => proven = true,
            Output::Event(Event::Done { result, .. }) => {
                if let Some(seen) = remembered {
                    let cut_off = |told: &SubdevicesOnline| {
                        target.cid.as_ref().is_some_and(|cid| told.offline.contains(cid))
                    };
                    return Ok(match result {
                        Ok(Answer::Subdevices(told)) if cut_off(&told) => Seen::CutOff,
                        _ => seen,
                    });
                }
                match answered(version, result, negotiates && ready, proven) {
                    Some(seen @ Seen::Answered { .. }) if target.cid.is_some() => {
                        session.request(Request::Subdevices, clock.now());
                        remembered = Some(seen);
                    }
                    Some(seen) => return Ok(seen),
                    None => {}
                }
            }
            Output::Event(Event::Closed(CloseReason::ZeroKey)) => return Err(ZeroKey),
            Output::Event(Event::Closed(reason)) => {
                if let Some(seen) = remembered {
                    return Ok(seen);
                }
                let at_once = last_sent.elapsed() < AT_ONCE;
                return Ok(ended(reason, at_once, negotiates && proven));
            }
            Output::Event(_) => {}
            Output::Wait(at) => {
                let deadline = clock.0.checked_add(at).map_or(last, |at| at.min(last));
                match read(stream, &mut buffer, deadline).await {
                    Some(0) => session.handle_close(clock.now()),
                    Some(n) => session.handle_input(&buffer[..n], clock.now()),
                    None if Instant::now() >= last => break,
                    None => session.handle_timeout(clock.now()),
                }
            }
        }
    }
    Ok(remembered.unwrap_or(if negotiates && ready { Seen::Established } else { Seen::Silent }))
}

/// What the end of the query means; `None` when the session's end says more.
fn answered(
    version: Version,
    result: Result<Answer, RequestError>,
    negotiated: bool,
    proven: bool,
) -> Option<Seen> {
    Some(match result {
        Ok(Answer::Report(report)) => Seen::Answered { points: report.dps.len() },
        Ok(_) => Seen::Answered { points: 0 },
        // To 3.1 everything is clear; to the others, one wrong key in 256 fits the padding and gives such a text.
        Err(RequestError::Refused { text, .. }) if !is_text(text.as_bytes()) || text.contains('\u{fffd}') => {
            if version == Version::V3_1 {
                Seen::WrongVersion("answers encrypted, as 3.2 and 3.3 do")
            } else {
                Seen::WrongKey
            }
        }
        Err(RequestError::Refused { text, .. }) => Seen::Refused(text),
        Err(RequestError::WrongKey { .. }) => Seen::WrongKey,
        Err(RequestError::Timeout { .. }) if negotiated || proven => Seen::Established,
        Err(RequestError::Timeout { .. }) => Seen::Silent,
        Err(RequestError::Closed { .. }) => return None,
        Err(e @ RequestError::TooMany(_)) => Seen::Broken(e.to_string()),
    })
}

fn ended(reason: CloseReason, at_once: bool, proven: bool) -> Seen {
    match reason {
        // FINISH has no answer: only a frame under the session key shows that it was taken.
        CloseReason::Remote | CloseReason::ClosedEarly if proven => Seen::Established,
        CloseReason::Remote | CloseReason::ClosedEarly | CloseReason::Local => Seen::Closed { at_once },
        CloseReason::NegotiationSilent | CloseReason::Silent => Seen::Silent,
        CloseReason::WrongKey => Seen::WrongKey,
        CloseReason::WrongVersion { evidence, .. } => Seen::WrongVersion(evidence),
        e @ (CloseReason::ZeroKey
        | CloseReason::Negotiation(_)
        | CloseReason::Integrity(_)
        | CloseReason::Protocol(_)) => Seen::Broken(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device's reply of this version under this key.
    fn reply(version: Version, key: &LocalKey, form: Form, retcode: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let command = Command::DP_QUERY;
        let message = Outgoing { sequence: 1, command, retcode: Some(retcode), header: None, form, body };
        Codec::new(version, key.expose()).seal(&message, &mut OsEntropy::new(), &mut out);
        out
    }

    fn seen(mut bytes: Vec<u8>, key: Option<&LocalKey>) -> Seen {
        classify(RawFrame { framing: Framing::AaCrc, bytes: &mut bytes }, key).seen
    }

    fn key(n: u32) -> LocalKey {
        LocalKey::new(format!("key{n:013}")).unwrap()
    }

    #[test]
    fn answers_to_a_clear_query_tell_the_version() {
        let (mine, other) = (key(1), key(2));
        let json = br#"{"devId":"abc","dps":{"1":true}}"#;
        let clear = |body: &[u8]| seen(reply(Version::V3_1, &mine, Form::Clear, 0, body), None);
        assert_eq!(clear(json), Seen::Json { id: DeviceId::new("abc").ok() });
        assert_eq!(clear(b"devid not found"), Seen::Text("devid not found".to_owned()));
        // Sixteen characters, the length of a cipher block (lan.md 3.4).
        assert_eq!(clear(b"parse data error"), Seen::Text("parse data error".to_owned()));
        assert_eq!(clear(b""), Seen::Empty);
        let signed = reply(Version::V3_1, &mine, Form::Cipher, 0, json);
        assert_eq!(seen(signed, None), Seen::Json { id: None });
        let cipher = reply(Version::V3_3, &mine, Form::Cipher, 1, b"data format error");
        assert_eq!(seen(cipher.clone(), None), Seen::Cipher { opens: None });
        assert_eq!(seen(cipher.clone(), Some(&mine)), Seen::Cipher { opens: Some(true) });
        assert_eq!(seen(cipher, Some(&other)), Seen::Cipher { opens: Some(false) });
        let newer = reply(Version::V3_4, &mine, Form::Cipher, 0, json);
        assert_eq!(seen(newer, None), Seen::Frame34);
    }

    #[test]
    fn a_padding_that_fits_by_chance_opens_nothing() {
        let frame = reply(Version::V3_3, &key(0), Form::Cipher, 1, b"data format error");
        let fits = |key: &LocalKey| {
            let mut bytes = frame.clone();
            let raw = RawFrame { framing: Framing::AaCrc, bytes: &mut bytes };
            Codec::new(Version::V3_3, key.expose()).open(Role::Device, raw).is_ok()
        };
        let chance: Vec<LocalKey> = (1..3000).map(key).filter(fits).collect();
        assert!(!chance.is_empty(), "about one key in 256 fits");
        assert!(chance.iter().all(|k| !opens_3_3(&frame, k)));
        assert!(opens_3_3(&frame, &key(0)));
    }

    #[test]
    fn ends_of_sessions_are_told_apart() {
        let command = Command::DP_QUERY;
        let text = |t: &str| Err(RequestError::Refused { command, text: t.to_owned() });
        let of = |version, result| answered(version, result, false, false);
        assert_eq!(of(Version::V3_3, text("no")), Some(Seen::Refused("no".to_owned())));
        assert_eq!(of(Version::V3_3, text("\u{fffd}\u{1}")), Some(Seen::WrongKey));
        assert!(matches!(of(Version::V3_1, text("\u{fffd}\u{1}")), Some(Seen::WrongVersion(_))));
        let late = || Err(RequestError::Timeout { command, after: AT_ONCE });
        assert_eq!(of(Version::V3_3, late()), Some(Seen::Silent));
        assert_eq!(answered(Version::V3_4, late(), true, false), Some(Seen::Established));
        assert_eq!(of(Version::V3_3, Err(RequestError::Closed { command, sent: true })), None);
        assert_eq!(ended(CloseReason::Remote, true, true), Seen::Established);
        assert_eq!(ended(CloseReason::ClosedEarly, true, false), Seen::Closed { at_once: true });
        assert_eq!(ended(CloseReason::NegotiationSilent, false, false), Seen::Silent);
    }
}
