//! The door as a client sees it.

mod definition;
mod http;
mod live;
mod openapi;
mod page;
mod routes;
mod scopes;
mod session;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Api, ApiConfig, Scope, Tokens};
use crate::model::Home;
use crate::testing::{FakeHome, START_MS};

/// An open door to a fake home, and a token of each scope.
struct Door {
    api: Api,
    home: Arc<FakeHome>,
    tokens: Arc<Tokens>,
    read: String,
    control: String,
    admin: String,
    dir: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Told {
    status: StatusCode,
    headers: hyper::HeaderMap,
    text: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {:?}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Its code, after checking that it is a whole problem with this status.
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("urn:landfall:problem:{code}"));
        assert_eq!(body["status"], status);
        assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty());
        code
    }
}

impl Door {
    async fn open() -> Self {
        Self::open_with(FakeHome::new(), |_| {}).await
    }

    async fn open_with(home: Arc<FakeHome>, change: impl FnOnce(&mut ApiConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tokens, first) = Tokens::open(dir.path(), START_MS / 1_000).unwrap();
        let make = |name, scope| tokens.create(name, scope, None, START_MS / 1_000).unwrap().text;
        let (read, control) = (make("read", Scope::Read), make("control", Scope::Control));
        let tokens = Arc::new(tokens);
        let mut config = ApiConfig::loopback(dir.path());
        config.settings = serde_json::json!({"page": {"listen": "127.0.0.1:8099"}});
        config.settings_file = Some("/etc/landfall/landfall.toml".into());
        change(&mut config);
        let api = Api::start(config, Arc::clone(&home) as Arc<dyn Home>, Arc::clone(&tokens)).await.unwrap();
        Self { api, home, tokens, read, control, admin: first.unwrap().text, dir }
    }

    fn address(&self) -> std::net::SocketAddr {
        self.api.bound().unwrap()
    }

    async fn stream(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// Sends what was built, and takes the answer's head.
    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        send_on(self.stream().await, request).await
    }

    fn request(&self, method: &str, path: &str, token: &str) -> hyper::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", self.address().to_string());
        if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) }
    }

    async fn told(&self, request: Request<Full<Bytes>>) -> Told {
        whole(self.send(request).await).await
    }

    async fn get(&self, path: &str) -> Told {
        self.told(self.request("GET", path, &self.read).body(Full::default()).unwrap()).await
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Told {
        let mut request = self.request(method, path, token);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let bytes = body.map(|b| b.to_string()).unwrap_or_default();
        self.told(request.body(Full::from(bytes)).unwrap()).await
    }
}

async fn send_on<S>(stream: S, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

async fn whole(response: Response<Incoming>) -> Told {
    let (head, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
    Told { status: head.status, headers: head.headers, text }
}
