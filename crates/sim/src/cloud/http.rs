//! HTTP/1.1 as devices write and read it: no chunks, bounded, one answer after another.

use std::fmt::Write as _;

/// Longest head of an answer.
const MAX_HEAD: usize = 8 * 1024;
/// Longest body of an answer to a call.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Most header fields that are looked at.
const MAX_FIELDS: usize = 48;

/// Writes a request. Fields stand in the order given; nothing in the target is escaped (cloud.md 2.1).
pub(super) fn request(
    method: &str,
    target: &str,
    host: &str,
    fields: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in fields {
        // Writing to a text does not fail.
        let _ok = write!(head, "{name}: {value}\r\n");
    }
    if let Some(body) = body {
        let _ok = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("Connection: keep-alive\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Status.
    pub(super) status: u16,
    /// `Content-Range: bytes FROM-TO/TOTAL`.
    pub(super) range: Option<(u64, u64, u64)>,
    /// Whether the server closes the connection now.
    pub(super) closes: bool,
    /// Body.
    pub(super) body: Vec<u8>,
}

/// Why an answer was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the head of the answer is longer than {MAX_HEAD} bytes")]
    LongHead,
    #[error("a body of {len} bytes, more than {max}")]
    LongBody { len: usize, max: usize },
    #[error("no HTTP: {0}")]
    Malformed(String),
    #[error("the answer is in chunks, which devices do not read")]
    Chunked,
    #[error("the connection ended in the middle of the answer")]
    CutShort,
}

#[derive(Clone, Debug)]
struct Head {
    response: Response,
    /// `None`: all that comes until the connection ends.
    len: Option<usize>,
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Reading {
    buffer: Vec<u8>,
    head: Option<Head>,
    max: usize,
}

impl Reading {
    /// Nothing came yet; the body may have `max` bytes.
    pub(super) const fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), head: None, max }
    }

    /// Whether anything came.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.head.is_none()
    }

    /// Takes bytes; gives the answer once it is whole. What comes behind it is dropped: one question, one answer.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<Response>, HttpError> {
        self.buffer.extend_from_slice(bytes);
        if self.head.is_none() {
            let Some((head, used)) = head(&self.buffer)? else { return Ok(None) };
            if let Some(len) = head.len.filter(|len| *len > self.max) {
                return Err(HttpError::LongBody { len, max: self.max });
            }
            self.buffer.drain(..used);
            self.head = Some(head);
        }
        match self.head.as_ref().and_then(|h| h.len) {
            Some(len) if self.buffer.len() >= len => {
                self.buffer.truncate(len);
                Ok(self.take())
            }
            Some(_) => Ok(None),
            None if self.buffer.len() > self.max => {
                Err(HttpError::LongBody { len: self.buffer.len(), max: self.max })
            }
            None => Ok(None),
        }
    }

    /// The connection ended.
    pub(super) fn end(&mut self) -> Result<Response, HttpError> {
        match &self.head {
            Some(Head { len: None, .. }) => self.take().ok_or(HttpError::CutShort),
            _ => Err(HttpError::CutShort),
        }
    }

    fn take(&mut self) -> Option<Response> {
        let body = std::mem::take(&mut self.buffer);
        self.head.take().map(|head| Response { body, ..head.response })
    }
}

fn head(buffer: &[u8]) -> Result<Option<(Head, usize)>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let status = parsed.parse(buffer).map_err(|e| HttpError::Malformed(e.to_string()))?;
    let httparse::Status::Complete(used) = status else {
        return if buffer.len() > MAX_HEAD { Err(HttpError::LongHead) } else { Ok(None) };
    };
    let field = |name: &str| {
        let found = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
        found.and_then(|h| std::str::from_utf8(h.value).ok()).map(str::trim)
    };
    if field("transfer-encoding").is_some_and(|v| !v.eq_ignore_ascii_case("identity")) {
        return Err(HttpError::Chunked);
    }
    let status = parsed.code.unwrap_or(0);
    let len = match field("content-length") {
        Some(text) => Some(text.parse().map_err(|_| HttpError::Malformed(format!("a length of {text:?}")))?),
        None if status == 204 || status == 304 => Some(0),
        None => None,
    };
    let closes = len.is_none()
        || field("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
        || parsed.version == Some(0);
    let range = field("content-range").and_then(content_range);
    Ok(Some((Head { response: Response { status, range, closes, body: Vec::new() }, len }, used)))
}

fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    Some((from.trim().parse().ok()?, to.trim().parse().ok()?, total.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_are_not_escaped_and_fields_may_repeat() {
        let bytes = request("GET", r#"/gw.json?other={"a":"b"}"#, "h", &[("U", "1"), ("U", "1")], None);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "GET /gw.json?other={\"a\":\"b\"} HTTP/1.1\r\nHost: h\r\nU: 1\r\nU: 1\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn answers_are_read_in_any_pieces() {
        let text =
            b"HTTP/1.1 206 Partial Content\r\ncontent-length: 3\r\nContent-Range: bytes 0-2/9\r\n\r\nabc";
        let mut reading = Reading::new(MAX_BODY);
        let mut got = None;
        for byte in text {
            assert_eq!(got, None);
            got = reading.push(&[*byte]).unwrap();
        }
        let want = Response { status: 206, range: Some((0, 2, 9)), closes: false, body: b"abc".to_vec() };
        assert_eq!(got, Some(want));

        let mut reading = Reading::new(MAX_BODY);
        assert_eq!(reading.push(b"HTTP/1.1 200 OK\r\n\r\n{}"), Ok(None));
        assert_eq!(reading.end().map(|r| (r.status, r.body, r.closes)), Ok((200, b"{}".to_vec(), true)));
    }

    #[test]
    fn what_devices_do_not_read() {
        let read = |text: &[u8]| Reading::new(10).push(text);
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(HttpError::Chunked));
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"),
            Err(HttpError::LongBody { len: 11, max: 10 })
        );
        assert!(matches!(read(b"SSH-2.0-x\r\n"), Err(HttpError::Malformed(_))));
        let mut cut = Reading::new(10);
        assert_eq!(cut.push(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"), Ok(None));
        assert_eq!(cut.end(), Err(HttpError::CutShort));
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; MAX_HEAD]].concat();
        assert_eq!(read(&endless), Err(HttpError::LongHead));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut reading = Reading::new(100);
            let _ = reading.push(&bytes);
            let _ = reading.end();
        }
    }
}
