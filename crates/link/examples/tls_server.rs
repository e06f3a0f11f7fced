//! A TLS server for the interop tests: accepts as the cloud does, echoes, and says on standard output what became of each
//! connection, one JSON object a line. Its first line of input configures it, so that no key stands in arguments:
//! `{"dir":"/tmp/x/ca","hosts":["*.tuyaeu.com"],"keys":{"UUID":"PSK KEY"}}`. The end of its input ends it.
#![allow(clippy::print_stdout)] // its output is its result

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use landfall_link::tls::{Acceptor, Authority, Names, PskKeys, TlsError, TlsPeer};
use landfall_proto::id::PskKey;
use landfall_proto::psk::{DeviceHash, HINT, Identity, Psk, PskType};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(15);

struct Keys(HashMap<DeviceHash, PskKey>);

impl PskKeys for Keys {
    fn key(&self, identity: &Identity) -> Option<Psk> {
        self.0.get(&identity.device()).map(Psk::of_key)
    }
}

fn say(message: &Value) {
    println!("{message}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let first = input.next_line().await?.ok_or("no configuration on standard input")?;
    let config: Value = serde_json::from_str(&first)?;
    let hosts = config["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let dir = config["dir"].as_str().ok_or("no `dir`")?;
    let authority = Authority::open_or_create(dir, &Names::new().with_hosts(hosts)?)?;
    let mut keys = HashMap::new();
    for (uuid, key) in config["keys"].as_object().into_iter().flatten() {
        let key = PskKey::new(key.as_str().ok_or("a psk key is a text")?)?;
        keys.insert(DeviceHash::of(PskType::Two, uuid), key);
    }
    let keys: Arc<dyn PskKeys> = Arc::new(Keys(keys));
    let both = Acceptor::new(Some(Arc::clone(&keys)), Some(authority.server().clone()), HINT)?;
    let psk_only = Acceptor::new(Some(keys), None, HINT)?;
    let listeners = [TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?];
    say(&json!({
        "event": "listening",
        "both": listeners[0].local_addr()?.port(),
        "psk_only": listeners[1].local_addr()?.port(),
        "ca": authority.dir().join("ca.pem"),
        "fingerprint": authority.fingerprint(),
    }));
    loop {
        let (accepted, acceptor) = tokio::select! {
            accepted = listeners[0].accept() => (accepted, &both),
            accepted = listeners[1].accept() => (accepted, &psk_only),
            line = input.next_line() => match line? {
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        tokio::spawn(serve(acceptor.clone(), accepted?.0));
    }
}

async fn serve(acceptor: Acceptor, stream: TcpStream) {
    let mut stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return say(&failed(&e)),
        Err(_) => return say(&json!({ "event": "failed", "code": "tls.time", "why": "no time left" })),
    };
    let (peer, device) = match stream.peer() {
        TlsPeer::Psk { identity } if identity.kind() == PskType::One => ("psk1", Some(identity.device())),
        TlsPeer::Psk { identity } => ("psk2", Some(identity.device())),
        TlsPeer::Certificate { .. } => ("certificate", None),
    };
    let sni = match stream.peer() {
        TlsPeer::Certificate { sni } => sni.clone(),
        TlsPeer::Psk { .. } => None,
    };
    say(&json!({
        "event": "connected",
        "peer": peer,
        "device": device.map(|d| format!("{d:?}")),
        "sni": sni,
        "suite": stream.suite(),
    }));
    let mut buffer = [0; 4096];
    let ended = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break None,
            Ok(n) => {
                if let Err(e) = stream.write_all(&buffer[..n]).await {
                    break Some(e);
                }
            }
            Err(e) => break Some(e),
        }
    };
    say(&json!({ "event": "ended", "why": ended.map(|e| e.to_string()) }));
}

fn failed(e: &TlsError) -> Value {
    json!({ "event": "failed", "code": e.code(), "why": e.to_string(), "device": e.device().map(|d| format!("{d:?}")) })
}
