//! What happens in the cloud, as lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use landfall_cloud::control::{Client, Order};
use landfall_cloud::listen::Over;
use landfall_proto::dp::Dps;
use landfall_proto::id::DeviceId;
use landfall_proto::schema::Schema;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::status::over;
use crate::args::Json;
use crate::context::Context;
use crate::failure::Outcome;
use crate::out;
use crate::render::{Style, clean, points};
use crate::stop;

/// How long quiet things are gathered before a line tells how many they were.
pub(super) const FOLD: Duration = Duration::from_secs(60);
/// Most subjects whose quiet things are gathered; more are a flood, and counted together.
const FOLDED: usize = 256;

/// Lines for people. What devices ask all the time, and refusals that repeat, are folded.
pub(super) struct Lines {
    style: Style,
    /// By name and kind: how many since they were told last.
    quiet: BTreeMap<(String, String), u64>,
}

impl Lines {
    pub(super) const fn new(style: Style) -> Self {
        Self { style, quiet: BTreeMap::new() }
    }

    fn line(&self, who: &str, what: &str) -> String {
        let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        format!("{}  {}  {}", self.style.dim(&time), self.style.bold(&clean(who)), clean(what))
    }

    /// Gathers something quiet; says whether it was the first of its kind.
    fn fold(&mut self, who: &str, kind: &str) -> bool {
        let key = (who.to_owned(), kind.to_owned());
        let full = self.quiet.len() >= FOLDED && !self.quiet.contains_key(&key);
        let key = if full { ("others".to_owned(), "events".to_owned()) } else { key };
        let n = self.quiet.entry(key).or_default();
        *n += 1;
        *n == 1
    }

    /// The lines for what was gathered. Refusals were told once already.
    pub(super) fn unfold(&mut self) -> Vec<String> {
        let quiet = std::mem::take(&mut self.quiet);
        quiet
            .into_iter()
            .filter_map(|((who, kind), n)| match kind.strip_prefix("refused ") {
                Some(_) if n == 1 => None,
                Some(code) => Some(self.line(&who, &format!("refused again, {} times ({code})", n - 1))),
                None => Some(self.line(&who, &format!("{n} {kind}"))),
            })
            .collect()
    }

    /// The line for an event, if it is worth one now.
    pub(super) fn of(
        &mut self,
        event: &Value,
        schema: &dyn Fn(&DeviceId) -> Option<Arc<Schema>>,
    ) -> Option<String> {
        let text = |field: &str| event[field].as_str().unwrap_or_default();
        let who = [text("name"), text("device"), text("peer")]
            .into_iter()
            .find(|w| !w.is_empty())
            .unwrap_or("cloud");
        let way = || {
            let way: Option<Over> = serde_json::from_value(event["over"].clone()).ok();
            let peer = text("peer");
            let from = if peer.is_empty() { String::new() } else { format!(", from {peer}") };
            format!("{}{from}", way.map_or("in clear", over))
        };
        let what = match text("event") {
            "connect" => format!("connected ({})", way()),
            "disconnect" => format!("disconnected: {}", text("why")),
            "activation" => format!("was given keys (generation {}, {})", text("generation"), way()),
            "keys_used" => "uses its new keys: it is paired here now".to_owned(),
            "taken_in" => {
                "came with keys that it was given shortly before the last end: it is in the book again, by its id"
                    .to_owned()
            }
            "password_pinned" => "its password is pinned: no other one is taken from now on".to_owned(),
            "report" => {
                let schema =
                    DeviceId::new(text("device")).ok().and_then(|id| schema(&id)).unwrap_or_default();
                report(event, &schema)
            }
            "question" if event["known"] == json!(true) => {
                self.fold(who, "routine questions");
                return None;
            }
            "question" => format!("asked something unknown, {}: please report it", text("action")),
            "firmware_question" if event["offered"] == json!(true) => {
                "asked about firmware: an image is offered".to_owned()
            }
            "firmware_question" => "asked about firmware: \"no update\"".to_owned(),
            "progress" if event["percent"].as_u64().is_some_and(|p| p % 10 != 0) => return None,
            "progress" => format!("loads firmware, {} %", event["percent"]),
            "reset" => "was reset, or unbound itself".to_owned(),
            "refusal" => {
                if !self.fold(who, &format!("refused {}", text("code"))) {
                    return None;
                }
                format!("refused ({}): {}", text("code"), text("why"))
            }
            "lost" => format!("{} reports are missing", event["reports"]),
            "missed" => format!("{} events came too fast to be told", event["events"]),
            other => other.to_owned(),
        };
        Some(self.line(who, &what))
    }
}

fn report(event: &Value, schema: &Schema) -> String {
    let Ok(mut dps) = serde_json::from_value::<Dps>(event["dps"].clone()) else {
        return "reported".to_owned();
    };
    schema.refine(&mut dps);
    let of = |(id, v)| format!("{} {}", points::name(schema, id), points::reading(schema.spec(id), v));
    let values: Vec<String> = dps.iter().map(of).collect();
    let cid = event["cid"].as_str().map(|c| format!("{c}: ")).unwrap_or_default();
    format!("{cid}{}", values.join(", "))
}

/// Follows a running cloud until it ends, or somebody ends this.
pub(super) async fn run(context: &Context, a: &Json) -> Outcome {
    let mut end = std::pin::pin!(stop::asked());
    let book = context.book()?;
    let mut client = Client::connect(&context.data_dir()?).await?;
    client.ask(&Order::Events).await?;
    context.say("following the cloud; Ctrl-C ends");
    let schema = |id: &DeviceId| book.by_id(id).map(|d| Arc::new(d.schema()));
    let mut lines = Lines::new(context.data_style());
    let mut folds = tokio::time::interval(FOLD);
    folds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // An event is only ever lost with the connection, which then ends too.
        let event = tokio::select! {
            () = &mut end => return Ok(()),
            event = client.event() => event?,
            _ = folds.tick() => {
                lines.unfold().iter().try_for_each(|l| out::line(l))?;
                continue;
            }
        };
        let Some(event) = event else {
            context.say("the cloud ended");
            return Ok(());
        };
        if a.json {
            out::json_line(&event)?;
        } else if let Some(line) = lines.of(&event, &schema) {
            out::line(&line)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: &[Value]) -> (Vec<String>, Vec<String>) {
        let mut lines = Lines::new(Style { colour: false });
        let of = |_: &DeviceId| None;
        let cut = |l: String| l.split_once("  ").unwrap().1.to_owned();
        let told = events.iter().filter_map(|e| lines.of(e, &of)).map(cut).collect();
        (told, lines.unfold().into_iter().map(cut).collect())
    }

    #[test]
    fn loud_things_have_a_line_each_and_quiet_ones_are_folded() {
        let refusal =
            json!({"peer": "10.0.0.7:99", "event": "refusal", "code": "mqtt.unknown", "why": "who?"});
        let question =
            json!({"name": "Plug", "event": "question", "action": "tuya.device.timer.count", "known": true});
        let (told, folded) = lines(&[
            json!({"name": "Plug", "peer": "10.0.0.5:99", "event": "connect", "over": "psk1"}),
            json!({"name": "Plug", "device": "bf01", "event": "report", "dps": {"1": true, "19": 5}}),
            question.clone(),
            question,
            refusal.clone(),
            refusal.clone(),
            refusal,
            json!({"event": "question", "device": "bf02", "action": "tuya.new", "known": false}),
            json!({"event": "lost", "name": "Plug", "reports": 4}),
        ]);
        assert_eq!(
            told,
            [
                "Plug  connected (TLS-PSK type 1, from 10.0.0.5:99)",
                "Plug  dp 1 on, dp 19 5",
                "10.0.0.7:99  refused (mqtt.unknown): who?",
                "bf02  asked something unknown, tuya.new: please report it",
                "Plug  4 reports are missing",
            ]
        );
        assert_eq!(
            folded,
            ["10.0.0.7:99  refused again, 2 times (mqtt.unknown)", "Plug  2 routine questions"]
        );
    }

    #[test]
    fn a_flood_is_bounded_and_controls_nothing() {
        let mut l = Lines::new(Style { colour: false });
        for n in 0..1_000 {
            let event = json!({"device": format!("d{n}\u{1b}[31m"), "event": "question", "known": true});
            assert_eq!(l.of(&event, &|_| None), None);
        }
        let folded = l.unfold();
        assert!(
            folded.len() <= FOLDED + 1 && folded.iter().all(|l| !l.contains('\u{1b}')),
            "{}",
            folded.len()
        );
        for odd in
            [json!(null), json!([]), json!({}), json!({"event": 5}), json!({"event": "report", "dps": 5})]
        {
            assert!(l.of(&odd, &|_| None).is_some());
        }
    }
}
