//! What people ask by MQTT, and what a rival says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use landfall_proto::id::DeviceId;
use serde_json::{Value, json};

use super::ONLINE;
use super::driver::Driver;
use crate::bridge::commands::{self, Refusal};
use crate::bridge::topics::Heard;
use crate::bridge::transport::Message;
use crate::bridge::{discovery, requests, takeover};

/// Commands and requests that may be under way.
const UNDER_WAY: usize = 256;

/// Something that was asked by MQTT and has ended.
pub(super) enum Done {
    Set { name: String, topic: String, end: Result<(), Refusal> },
    Got { name: String, topic: String, device: DeviceId, end: Result<(), Refusal> },
    Answered { verb: String, answer: Value },
}

impl Driver {
    /// Takes a message of people, or of a rival. `true`: the rival is the older one.
    pub(super) fn hear(&mut self, message: Message) -> bool {
        if self.birth.as_ref() == Some(&message.topic) {
            // A retained one is older than what we have just published.
            if !message.retain && message.payload == discovery::BIRTH {
                tracing::info!("Home Assistant has started and is told everything again");
                self.publisher.born();
            }
            return false;
        }
        let topics = Arc::clone(&self.topics);
        match topics.parse(&message.topic) {
            Some(Heard::State) => {
                // A rival's last will, or somebody's mistake: we are there.
                if !message.retain && !takeover::is_online(&message.payload) {
                    self.outbox.keep(self.topics.bridge_state(), Bytes::from_static(ONLINE));
                }
            }
            Some(Heard::Info) => {
                let other = takeover::info(&message.payload).filter(|other| other.run != self.context.run);
                if let Some(other) = other
                    && other.program == takeover::PROGRAM
                    && !message.retain
                {
                    if (other.started, &other.run) < (self.started, &self.context.run) {
                        return true;
                    }
                    // The other one sees it and yields.
                    self.info();
                    self.outbox.keep(self.topics.bridge_state(), Bytes::from_static(ONLINE));
                }
            }
            Some(Heard::Response(_) | Heard::Devices | Heard::Probe(_)) | None => {}
            Some(_) if message.retain => {
                // It would be done again with each start, long after anybody meant it. It is not taken back: it is not ours,
                // and only who left it knows whether others still read it.
                tracing::warn!(
                    topic = message.topic,
                    "a retained command is left alone; publish commands without retain, and take this one back with an \
                     empty retained message"
                );
            }
            Some(asked) => self.ask(asked, &message),
        }
        false
    }

    fn ask(&mut self, asked: Heard<'_>, message: &Message) {
        // How a retained message is taken back.
        if message.payload.is_empty() && !matches!(asked, Heard::Get { .. } | Heard::Request(_)) {
            return;
        }
        self.seen.asked.fetch_add(1, Ordering::Relaxed);
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        let full = self.under_way.len() >= UNDER_WAY;
        let too_many =
            || Refusal::new("command.busy", "too many commands are under way").hint("send fewer at a time");
        match asked {
            Heard::Request(verb) => {
                let verb = verb.to_owned();
                if full {
                    let answer = json!({ "status": "error", "data": {}, "error": too_many().message, "code": too_many().code });
                    self.done(Done::Answered { verb, answer });
                    return;
                }
                let answer = requests::answer(self.context.clone(), verb.clone(), payload.to_vec());
                self.under_way.push(Box::pin(async move { Done::Answered { verb, answer: answer.await } }));
            }
            Heard::Set { name }
            | Heard::SetAttribute { name, .. }
            | Heard::SetPoint { name, .. }
            | Heard::Get { name } => {
                let name = name.to_owned();
                let refused =
                    |end: Refusal| Done::Set { name: name.clone(), topic: topic.clone(), end: Err(end) };
                if full {
                    return self.done(refused(too_many()));
                }
                let known = self.publisher.names().device(&name).map_or(name.as_str(), |id| id.as_str());
                let view = match self.home.device(known) {
                    Ok(view) => view,
                    Err(problem) => return self.done(refused(problem.into())),
                };
                let (home, device) = (Arc::clone(&self.home), view.id().clone());
                // Asked by its id, it is still told under its name.
                let name = self.publisher.names().topic(&device).map_or(name.clone(), ToString::to_string);
                let refused =
                    |end: Refusal| Done::Set { name: name.clone(), topic: topic.clone(), end: Err(end) };
                let dps = match asked {
                    Heard::Set { .. } => commands::attributes(&view, &payload),
                    Heard::SetAttribute { attribute, .. } => commands::attribute(&view, attribute, &payload),
                    Heard::SetPoint { dp, .. } => commands::point(&view, dp, &payload),
                    _ => {
                        let points = commands::wanted(&view, &payload);
                        let topic = topic.clone();
                        let name = name.clone();
                        self.under_way.push(Box::pin(async move {
                            let end = home.refresh(&device, points).await.map_err(Refusal::from);
                            Done::Got { name, topic, device, end }
                        }));
                        return;
                    }
                };
                match dps {
                    Err(end) => self.done(refused(end)),
                    Ok(dps) => self.under_way.push(Box::pin(async move {
                        Done::Set { end: commands::set(home, device, dps).await, name, topic }
                    })),
                }
            }
            Heard::State | Heard::Info | Heard::Devices | Heard::Response(_) | Heard::Probe(_) => {}
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        let (name, topic, end) = match done {
            Done::Answered { verb, answer } => {
                // A topic is no longer than what it was asked under.
                self.outbox.say(self.topics.response(&verb), answer.to_string().into());
                return;
            }
            Done::Set { name, topic, end } => (name, topic, end),
            Done::Got { name, topic, device, end } => {
                if end.is_ok() {
                    self.publisher.again(&device);
                }
                (name, topic, end)
            }
        };
        let Err(refusal) = end else { return };
        self.seen.failed.fetch_add(1, Ordering::Relaxed);
        tracing::info!(topic, code = refusal.code, error = refusal.message, "a command by MQTT is not done");
        self.publisher.log("error", &format!("{topic}: {}", refusal.message));
        // Only under names of our own: a stranger's words make no topics.
        if self.publisher.names().has(&name) {
            self.outbox.say(self.topics.error(&name), refusal.told(&topic).to_string().into());
        }
    }
}
