//! One bridge on a base: a rival is found before anything is published, and what an earlier run left behind is known.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::topics::{Heard, Topics};
use super::transport::{Lost, Message, Qos, Transport};

/// How long what is retained may take to come. Our own question comes back after it, so this is for brokers that lose it.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a bridge says of itself, as far as another one reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Info {
    /// Which program.
    #[serde(default)]
    pub(super) program: String,
    /// Which installation.
    #[serde(default)]
    pub(super) instance: String,
    /// Which start of it.
    #[serde(default)]
    pub(super) run: String,
    /// When it started, milliseconds since 1970.
    #[serde(default)]
    pub(super) started: u64,
}

/// Reads what a bridge says of itself. `None`: taken back, or not of a kind that we know.
pub(super) fn info(payload: &[u8]) -> Option<Info> {
    serde_json::from_slice(payload).ok()
}

/// Whether `bridge/state` says that a bridge is there.
pub(super) fn is_online(payload: &[u8]) -> bool {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(state)) => state.get("state").and_then(Value::as_str) == Some("online"),
        // As zigbee2mqtt said it before version 2.
        _ => payload == b"online",
    }
}

/// What was found on the base.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody is there. What an earlier run of ours left is told.
    Free(Leftovers),
    /// Another bridge answers.
    Rival {
        /// Which, in words.
        who: String,
    },
}

/// What an earlier run left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// Names of its devices in topics.
    pub(super) names: HashSet<String>,
    /// Pages of its list of devices.
    pub(super) pages: usize,
}

/// Looks at what is retained on the base, and asks whoever seems to be there.
pub(super) async fn look(
    topics: &Topics,
    run: &str,
    transport: &dyn Transport,
    incoming: &mut BoxStream<'static, Message>,
) -> Result<Found, Lost> {
    let message = |topic, payload: Value| Message {
        topic,
        payload: payload.to_string().into(),
        qos: Qos::AtLeastOnce,
        retain: false,
    };
    transport.subscribe([topics.rivals(), topics.leftovers()].concat()).await?;
    transport.publish(message(topics.probe(run), json!({}))).await?;

    let mut online = false;
    let mut other: Option<Info> = None;
    let mut lists: Vec<(String, Message)> = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while let Ok(Some(heard)) = timeout_at(deadline, incoming.next()).await {
        match topics.parse(&heard.topic) {
            Some(Heard::Probe(token)) if token == run => break,
            Some(Heard::State) => online = is_online(&heard.payload),
            Some(Heard::Info) => other = info(&heard.payload),
            Some(Heard::Devices) if lists.len() < 1_000 => lists.push((heard.topic.clone(), heard)),
            _ => {}
        }
    }
    transport.unsubscribe(topics.leftovers()).await?;

    if online && other.as_ref().is_none_or(|info| info.run != run) {
        // It may be long dead, where a broker lost its last will.
        let question = message(topics.request("health_check"), json!({ "transaction": run }));
        transport.publish(question).await?;
        let deadline = Instant::now() + PATIENCE;
        while let Ok(Some(heard)) = timeout_at(deadline, incoming.next()).await {
            match topics.parse(&heard.topic) {
                Some(Heard::Response("health_check")) if answers(&heard.payload, run) => {
                    return Ok(Found::Rival { who: who(other.as_ref()) });
                }
                // It left meanwhile.
                Some(Heard::State) if !is_online(&heard.payload) => break,
                _ => {}
            }
        }
    }
    let ours = other.is_some_and(|info| info.program == PROGRAM);
    Ok(Found::Free(if ours { leftovers(&lists) } else { Leftovers::default() }))
}

/// The name by which our bridges know each other. What other programs left on a base is theirs.
pub(super) const PROGRAM: &str = "landfall";

fn answers(payload: &[u8], run: &str) -> bool {
    let answer: Value = serde_json::from_slice(payload).unwrap_or_default();
    answer.get("transaction").and_then(Value::as_str) == Some(run)
}

fn who(other: Option<&Info>) -> String {
    match other {
        Some(info) if info.program == PROGRAM => format!("another landfall (instance {})", info.instance),
        _ => "another bridge".to_owned(),
    }
}

fn leftovers(lists: &[(String, Message)]) -> Leftovers {
    #[derive(Deserialize)]
    struct Entry {
        friendly_name: String,
    }
    let mut found = Leftovers::default();
    for (topic, list) in lists {
        let page = topic.rsplit('/').next().and_then(|page| page.parse().ok()).unwrap_or(1_usize);
        // A topic of somebody else's making must not have us clear pages without end.
        found.pages = found.pages.max(page.min(1_000));
        let entries: Vec<Entry> = serde_json::from_slice(&list.payload).unwrap_or_default();
        found.names.extend(entries.into_iter().map(|entry| entry.friendly_name));
    }
    found.names.retain(|name| super::topics::sanitised(name).as_ref() == Some(name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_in_both_dialects() {
        for online in [&br#"{"state":"online"}"#[..], b"online"] {
            assert!(is_online(online));
        }
        for not in [&br#"{"state":"offline"}"#[..], b"offline", b"", b"{", b"[]"] {
            assert!(!is_online(not));
        }
    }

    #[test]
    fn only_names_that_we_could_have_published_are_cleared() {
        let list = |topic: &str, payload: &str| {
            let payload = payload.to_owned().into();
            (
                topic.to_owned(),
                Message { topic: topic.to_owned(), payload, qos: Qos::AtLeastOnce, retain: true },
            )
        };
        let found = leftovers(&[
            list(
                "b/bridge/devices",
                r#"[{"friendly_name":"lamp","id":"x"},{"friendly_name":"bridge/info"}]"#,
            ),
            list("b/bridge/devices/3", r##"[{"friendly_name":"a/b"},{"friendly_name":"#"}]"##),
            list("b/bridge/devices/2", "no list"),
            list("b/bridge/devices/99999999", "[]"),
        ]);
        assert_eq!(found.names, HashSet::from(["lamp".to_owned(), "a/b".to_owned()]));
        assert_eq!(found.pages, 1_000);
    }
}
