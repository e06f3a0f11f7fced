//! The command line's way to a running hub: its API over a socket in the data directory.
//!
//! Only the user who runs the hub can connect, so no token is needed (see [`socket_path`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
pub use hyper::Method;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Largest answer that is taken, in bytes.
const MOST: usize = 64 << 20;
/// Largest event, in bytes.
const MOST_EVENT: usize = 4 << 20;
/// How long the hub may take to take the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the hub of a data directory listens for the command line.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("hub.sock")
}

/// Why the hub did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None runs there.
    #[error("no hub runs in {}", .data_dir.display())]
    NotRunning {
        /// The directory.
        data_dir: PathBuf,
    },
    /// It can't be reached although something is there.
    #[error("can't talk to the hub in {}", .data_dir.display())]
    Unreachable {
        /// The directory.
        data_dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection failed.
    #[error("the connection to the hub failed")]
    Connection(#[from] hyper::Error),
    /// It answered something else.
    #[error("the hub answered what this program does not understand: {0}")]
    Answer(String),
    /// It refused.
    #[error("{message}")]
    Refused {
        /// Stable dotted code.
        code: String,
        /// In words.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
}

/// A connection to a running hub.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to the hub of this data directory.
    ///
    /// # Errors
    /// None runs, or it can't be reached.
    pub async fn connect(data_dir: &Path) -> Result<Self, ClientError> {
        let not_running = || ClientError::NotRunning { data_dir: data_dir.to_owned() };
        let unreachable = |source| ClientError::Unreachable { data_dir: data_dir.to_owned(), source };
        let stream = match tokio::time::timeout(PATIENCE, UnixStream::connect(socket_path(data_dir))).await {
            Ok(Ok(stream)) => stream,
            // No socket, or one that a killed hub left behind.
            Ok(Err(e))
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::ConnectionRefused
                        | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(not_running());
            }
            Ok(Err(e)) => return Err(unreachable(e)),
            Err(_) => return Err(unreachable(std::io::ErrorKind::TimedOut.into())),
        };
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told by its own error.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the hub ended");
            }
        });
        Ok(Self { sender })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, ClientError> {
        let bytes = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(bytes)).map_err(|e| ClientError::Answer(e.to_string()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        Err(problem(status, &whole(response).await?))
    }

    /// Asks, and gives the answer's JSON; null for an empty one.
    ///
    /// # Errors
    /// The hub refused, or the connection failed.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let bytes = whole(self.send(method, path, body).await?).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|e| ClientError::Answer(e.to_string()))
    }

    /// GET.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn get(&mut self, path: &str) -> Result<Value, ClientError> {
        self.ask(Method::GET, path, None).await
    }

    /// Listens to events (SSE) of a path.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn events(mut self, path: &str) -> Result<Events, ClientError> {
        let response = self.send(Method::GET, path, None).await?;
        Ok(Events { body: response.into_body(), read: Vec::new(), _client: self })
    }
}

/// A path segment for what a person typed: names may hold anything.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), MOST).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|e| ClientError::Answer(e.to_string()))
}

/// RFC 9457, or whatever else came with that status.
fn problem(status: StatusCode, bytes: &[u8]) -> ClientError {
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match text("code") {
        Some(code) => ClientError::Refused {
            message: text("detail").or_else(|| text("title")).unwrap_or_else(|| code.clone()),
            hint: text("hint"),
            code,
        },
        None => ClientError::Answer(format!("status {status}")),
    }
}

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    read: Vec<u8>,
    // The connection lives as long as its sender.
    _client: Client,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its type; `message` where none is told.
    pub event: String,
    /// Its data.
    pub data: String,
}

impl Events {
    /// The next event; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// The connection failed, or an event is too large.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(event) = take(&mut self.read) {
                if event.data.is_empty() {
                    continue; // a comment that keeps the connection alive
                }
                return Ok(Some(event));
            }
            if self.read.len() > MOST_EVENT {
                return Err(ClientError::Answer("an event without end".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Some(data) = frame?.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

/// Takes one event off the front, if it is whole.
fn take(read: &mut Vec<u8>) -> Option<ServerEvent> {
    let end = read.windows(2).position(|w| w == b"\n\n")?;
    let block: Vec<u8> = read.drain(..end + 2).collect();
    let text = String::from_utf8_lossy(&block);
    let (mut event, mut data) = ("message".to_owned(), String::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event),
            "data" => {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
    }
    Some(ServerEvent { event, data })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    /// A hub that answers one request so.
    async fn answering(answer: &'static str) -> (tempfile::TempDir, tokio::task::JoinHandle<String>) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket_path(dir.path())).unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4_096];
            let n = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            String::from_utf8_lossy(&asked[..n]).into_owned()
        });
        (dir, task)
    }

    #[tokio::test]
    async fn a_directory_without_a_hub_is_told_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let e = Client::connect(dir.path()).await.unwrap_err();
        assert!(matches!(e, ClientError::NotRunning { .. }), "{e:?}");
        // What a killed hub leaves behind.
        drop(UnixListener::bind(socket_path(dir.path())).unwrap());
        let e = Client::connect(dir.path()).await.unwrap_err();
        assert!(matches!(e, ClientError::NotRunning { .. }), "{e:?}");
    }

    #[tokio::test]
    async fn problems_keep_code_words_and_hint() {
        let body = r#"{"title":"no","status":404,"detail":"no device is called \"x\"","code":"device.unknown","hint":"try y"}"#;
        let answer: &str = Box::leak(
            format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_boxed_str(),
        );
        let (dir, task) = answering(answer).await;
        let mut client = Client::connect(dir.path()).await.unwrap();
        let path = format!("/api/v1/devices/{}", segment("Hall / lamp"));
        match client.get(&path).await.unwrap_err() {
            ClientError::Refused { code, message, hint } => {
                assert_eq!(code, "device.unknown");
                assert_eq!(message, "no device is called \"x\"");
                assert_eq!(hint.as_deref(), Some("try y"));
            }
            other => panic!("{other:?}"),
        }
        assert!(task.await.unwrap().starts_with("GET /api/v1/devices/Hall%20%2F%20lamp HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn events_are_read_one_by_one() {
        let (dir, _task) = answering(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\nevent: change\nid: 4\ndata: {\"a\":1}\n\ndata: x\ndata: y\n\n",
        )
        .await;
        let mut events = Client::connect(dir.path()).await.unwrap().events("/api/v1/events").await.unwrap();
        let first = events.next().await.unwrap().unwrap();
        assert_eq!((first.event.as_str(), first.data.as_str()), ("change", "{\"a\":1}"));
        let second = events.next().await.unwrap().unwrap();
        assert_eq!((second.event.as_str(), second.data.as_str()), ("message", "x\ny"));
        assert_eq!(events.next().await.unwrap(), None);
    }
}
