//! Changes as they happen.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::http::request::Builder;
use landfall_proto::dp::DpValue;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::Door;
use crate::bus::Bus;
use crate::model::{Outcome, Presence, Seq};
use crate::testing::{FakeHome, LIGHT, PLUG};

const PATIENCE: Duration = Duration::from_secs(10);

/// Server-sent events as a client reads them.
pub(super) struct Events {
    body: Incoming,
    text: String,
}

/// `id`, `event`, `data` of one event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) data: Value,
}

impl Events {
    async fn open(door: &Door, path: &str, last: Option<u64>) -> Self {
        Self::open_as(door, path, |request| {
            let request = request.header("authorization", format!("Bearer {}", door.read));
            if let Some(last) = last { request.header("last-event-id", last) } else { request }
        })
        .await
    }

    /// Of whom these headers show.
    pub(super) async fn open_as(door: &Door, path: &str, dress: impl FnOnce(Builder) -> Builder) -> Self {
        let request = dress(door.request("GET", path, ""));
        let response = door.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an event, or the end")
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|l| l.strip_prefix(name));
                    line.map(|v| v.trim_start_matches(':').trim().to_owned()).unwrap_or_default()
                };
                let event = Event {
                    id: field("id"),
                    kind: field("event"),
                    data: serde_json::from_str(&field("data")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                if !event.kind.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn events_are_numbered_and_go_on_where_a_client_was() {
    let door = Door::open().await;
    let mut events = Events::open(&door, "/api/v1/events", None).await;
    let hello = events.next().await.unwrap();
    assert_eq!((hello.kind.as_str(), &hello.data["seq"]), ("hello", &json!(0)));
    door.home.report(PLUG, &[(19, DpValue::Value(1_234))]);
    door.home.presence(LIGHT, Presence::Asleep { since_ms: 5 });
    let first = events.next().await.unwrap();
    assert_eq!((first.id.as_str(), first.kind.as_str()), ("1", "points"));
    assert_eq!(first.data["dps"], json!({"19": 1_234}));
    assert_eq!(
        (&first.data["device"], &first.data["line"], &first.data["changed"]),
        (&json!(PLUG), &json!("lan"), &json!([19]))
    );
    let second = events.next().await.unwrap();
    assert_eq!((second.id.as_str(), second.kind.as_str()), ("2", "presence"));
    assert_eq!(second.data["presence"], json!({"state": "asleep", "since_ms": 5}));
    drop(events);
    for n in 0..3 {
        door.home.report(PLUG, &[(19, DpValue::Value(n))]);
    }
    for (path, last) in
        [("/api/v1/events", Some(2)), ("/api/v1/events?after=2", None), ("/api/v1/events?after=0", Some(2))]
    {
        let mut events = Events::open(&door, path, last).await;
        assert_eq!(events.next().await.unwrap().data["seq"], 2);
        for id in ["3", "4", "5"] {
            assert_eq!(events.next().await.unwrap().id, id, "{path}");
        }
    }
    let mut one = Events::open(&door, &format!("/api/v1/events?after=0&device={LIGHT}"), None).await;
    one.next().await.unwrap();
    assert_eq!(one.next().await.unwrap().id, "2");
}

#[tokio::test]
async fn the_console_shows_frames_of_one_device_or_of_all_to_admins() {
    use landfall_cloud::tap::{Direction, Tap as _, Tapped};
    let door = Door::open().await;
    let path = format!("/api/v1/console?device={PLUG}");
    assert_eq!(door.get(&path).await.problem(403), "token.scope");
    let told = door.ask("GET", "/api/v1/console?device=nobody", &door.admin, None).await;
    assert_eq!(told.problem(404), "device.unknown");
    let console = crate::model::Home::console(&*door.home);
    assert!(!landfall_cloud::tap::Tap::wanted(console));
    let as_admin = |r: Builder| r.header("authorization", format!("Bearer {}", door.admin));
    let mut all = Events::open_as(&door, "/api/v1/console", as_admin).await;
    let mut one = Events::open_as(&door, &path, as_admin).await;
    for events in [&mut all, &mut one] {
        assert_eq!(events.next().await.unwrap().kind, "hello");
    }
    let said = |who: &str, n| Tapped {
        who: who.to_owned(),
        direction: Direction::Out,
        what: "HTTP tuya.device.active".into(),
        sequence: Some(n),
        bytes: 30,
        body: br#"{"result":{"localKey":"0123456789abcdef","devId":"x"}}"#.to_vec(),
    };
    console.said(said(LIGHT, 1));
    console.said(said(PLUG, 2));
    let first = all.next().await.unwrap();
    let wanted = json!({
        "at_ms": crate::testing::START_MS, "device": LIGHT, "line": "cloud", "direction": "out",
        "what": "HTTP tuya.device.active", "seq": 1, "bytes": 30,
        "body": {"result": {"localKey": "(hidden)", "devId": "x"}},
    });
    assert_eq!((first.kind.as_str(), first.data), ("frame", wanted));
    assert_eq!(all.next().await.unwrap().data["seq"], 2);
    assert_eq!(one.next().await.unwrap().data["seq"], 2, "the other one's is not for it");
    drop((all, one));
    let closed = async {
        while landfall_cloud::tap::Tap::wanted(console) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("it costs nothing once nobody looks");
}

#[tokio::test]
async fn a_gap_is_told_and_the_stream_goes_on() {
    let door = Door::open_with(FakeHome::with_bus(Bus::with_capacity(Seq(0), 4)), |_| {}).await;
    for n in 0..10 {
        door.home.report(PLUG, &[(19, DpValue::Value(n))]);
    }
    let mut events = Events::open(&door, "/api/v1/events", Some(2)).await;
    events.next().await.unwrap();
    let gap = events.next().await.unwrap();
    assert_eq!((gap.kind.as_str(), gap.id.as_str()), ("gap", "6"));
    assert_eq!((&gap.data["from"], &gap.data["to"]), (&json!(3), &json!(6)));
    assert_eq!(events.next().await.unwrap().id, "7");
}

#[tokio::test]
async fn streams_end_with_their_token_and_with_the_hub() {
    let door = Door::open().await;
    let mut events = Events::open(&door, "/api/v1/events", None).await;
    events.next().await.unwrap();
    let id = door.tokens.list().iter().find(|t| t.name == "read").unwrap().id.clone();
    door.tokens.revoke(&id).unwrap();
    assert!(events.next().await.is_none(), "revoked");
    let mut door = Door::open().await;
    let mut events = Events::open(&door, "/api/v1/events", None).await;
    events.next().await.unwrap();
    let mut ws = connect(&door, &door.control, "").await;
    assert_eq!(json_of(&mut ws).await["type"], "hello");
    let api = std::mem::replace(&mut door.api, Door::open().await.api);
    tokio::time::timeout(PATIENCE, api.shutdown()).await.expect("shutdown is bounded");
    assert!(events.next().await.is_none(), "the hub ends");
    assert_eq!(close_code(&mut ws).await, 1001);
}

type Ws = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn connect(door: &Door, token: &str, query: &str) -> Ws {
    let url = format!("ws://{}/api/v1/ws{query}", door.address());
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    tokio_tungstenite::client_async(request, door.stream().await).await.unwrap().0
}

async fn json_of(ws: &mut Ws) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, ws.next()).await.expect("a message").unwrap().unwrap();
        if let Message::Text(text) = message {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn close_code(ws: &mut Ws) -> u16 {
    loop {
        match tokio::time::timeout(PATIENCE, ws.next()).await.expect("the end") {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_websocket_tells_changes_and_takes_commands() {
    let door = Door::open().await;
    let mut ws = connect(&door, &door.control, "?after=0").await;
    assert_eq!(json_of(&mut ws).await, json!({"type": "hello", "seq": 0}));
    door.home.script(Ok(Outcome::Refused { why: "locked".into() }));
    let order =
        json!({"id": "a1", "set": {"device": "Kitchen plug", "dps": {"1": false}, "timeout_ms": 1_000}});
    ws.send(Message::text(order.to_string())).await.unwrap();
    let (mut outcome, mut command) = (Value::Null, Value::Null);
    for _ in 0..2 {
        let message = json_of(&mut ws).await;
        match message["type"].as_str().unwrap() {
            "outcome" => outcome = message,
            "command" => command = message,
            other => panic!("{other}"),
        }
    }
    assert_eq!(
        (&outcome["id"], &outcome["outcome"], &outcome["why"]),
        (&json!("a1"), &json!("refused"), &json!("locked"))
    );
    assert_eq!((&command["seq"], &command["outcome"]["outcome"]), (&json!(1), &json!("refused")));
    for (order, code) in [
        (json!({"id": 2, "set": {"device": "nobody", "dps": {"1": true}}}), "device.unknown"),
        (json!({"id": 2, "set": {"device": PLUG}}), "ws.set"),
        (json!({"id": 2, "get": {}}), "request.json"),
    ] {
        ws.send(Message::text(order.to_string())).await.unwrap();
        let told = json_of(&mut ws).await;
        assert_eq!(
            (&told["type"], &told["code"], &told["id"]),
            (&json!("problem"), &json!(code), &json!(2)),
            "{told}"
        );
    }
    ws.send(Message::text("{")).await.unwrap();
    assert_eq!(json_of(&mut ws).await["code"], "request.json");
    assert_eq!(door.home.take_sets().len(), 1);
}

#[tokio::test]
async fn a_websocket_with_read_scope_commands_nothing() {
    let door = Door::open().await;
    let mut ws = connect(&door, &door.read, "").await;
    json_of(&mut ws).await;
    let order = json!({"id": 1, "set": {"device": PLUG, "dps": {"1": false}}});
    ws.send(Message::text(order.to_string())).await.unwrap();
    assert_eq!(json_of(&mut ws).await["code"], "token.scope");
    assert_eq!(door.home.take_sets(), []);
    let id = door.tokens.list().iter().find(|t| t.name == "read").unwrap().id.clone();
    door.tokens.revoke(&id).unwrap();
    assert_eq!(close_code(&mut ws).await, 4001);
}

#[tokio::test]
async fn a_browsers_websocket_shows_its_token_as_a_protocol_and_its_origin() {
    let door = Door::open().await;
    let open = |protocols: String, origin: String| {
        let door = &door;
        async move {
            let mut request = format!("ws://{}/api/v1/ws", door.address()).into_client_request().unwrap();
            request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
            request.headers_mut().insert("origin", origin.parse().unwrap());
            tokio_tungstenite::client_async(request, door.stream().await).await
        }
    };
    let ours = format!("http://{}", door.address());
    let protocols = format!("landfall.v1, landfall.bearer.{}", door.read);
    let (mut ws, response) = open(protocols.clone(), ours.clone()).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "landfall.v1");
    assert_eq!(json_of(&mut ws).await["type"], "hello");
    assert!(open(protocols, "http://evil.example".into()).await.is_err());
    assert!(open("landfall.v1".into(), ours).await.is_err());
    // Elsewhere a protocol is no token.
    let request = door
        .request("GET", "/api/v1/status", "")
        .header("sec-websocket-protocol", format!("landfall.bearer.{}", door.admin));
    assert_eq!(door.told(request.body(Full::default()).unwrap()).await.problem(401), "token.missing");
}

#[tokio::test]
async fn a_websocket_takes_no_large_messages() {
    let door = Door::open().await;
    let mut ws = connect(&door, &door.control, "").await;
    json_of(&mut ws).await;
    ws.send(Message::text("x".repeat(100 << 10))).await.unwrap();
    let end = async { while let Some(Ok(_)) = ws.next().await {} };
    tokio::time::timeout(PATIENCE, end).await.expect("it is cut");
    assert_eq!(door.get("/api/v1/status").await.status, 200);
}
