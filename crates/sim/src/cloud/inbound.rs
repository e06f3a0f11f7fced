//! What a device does with messages of its cloud, and which ones it drops (cloud.md 4.5, 4.7).

use core::time::Duration;

use landfall_proto::id::DeviceId;
use landfall_proto::json::Raw;
use landfall_proto::mqtt::content::{Acknowledged, Answer, Question};
use landfall_proto::mqtt::envelope::Sealed;
use landfall_proto::mqtt::{Content, Message, Protocol};
use serde_json::json;

use super::calls::Ask;
use super::profile::Generation;
use super::zone::Zone;
use super::{CloudClient, CloudNews, Effect};
use crate::journal::{Life, Line};

/// The Wi-Fi signal, in dBm.
const SIGNAL: i32 = -57;

impl CloudClient {
    pub(super) fn drop_message(&mut self, why: String) {
        self.tell(CloudNews::Dropped { why });
    }

    pub(super) fn hear_payload(&mut self, payload: &[u8], now: Duration) {
        match self.open_payload(payload, now) {
            Ok(message) => self.obey(message, now),
            Err(why) => self.drop_message(why),
        }
    }

    /// The message, if it is sound, under our key, new and not too old.
    fn open_payload(&mut self, payload: &[u8], now: Duration) -> Result<Message, String> {
        let mut scratch = Vec::new();
        let sealed = Sealed::parse(payload, &mut scratch).map_err(|e| e.to_string())?;
        if sealed.envelope() != self.profile.envelope {
            return Err(format!("an envelope {}, not {}", sealed.envelope(), self.profile.envelope));
        }
        let codec = self.run.session.codec.as_ref().ok_or("no key yet")?;
        let opened = codec.open(sealed).map_err(|e| e.to_string())?;
        if let Some(stamp) = opened.stamp
            && !self.run.session.heard.accept(stamp)
        {
            return Err(format!("sequence {} of source {} is not new", stamp.sequence, stamp.source));
        }
        let message = Message::parse(opened.json).map_err(|e| e.to_string())?;
        // Over TLS the check is off; without a limit or a clock there is nothing to check by (cloud.md 4.5).
        if let (true, Some(limit), Some(unix)) =
            (self.run.session.plain, self.run.valid_time, self.run.clock.unix(now))
        {
            let t = message.t.ok_or("it has no t")?;
            if t.abs_diff(unix) > limit {
                return Err(format!("its t is {} s away from ours, more than {limit}", t.abs_diff(unix)));
            }
        }
        Ok(message)
    }

    fn obey(&mut self, message: Message, now: Duration) {
        if let Some(ack_id) = message.ack_id {
            self.publish(Content::Acknowledged(Acknowledged { ack_id }), true, now);
        }
        match message.content {
            Content::Set(set) => {
                // Only the SDKs do without the id (cloud.md 4.7).
                if self.is_me("devId", set.dev_id.as_ref(), true) {
                    self.effect(Effect::Set { cid: set.cid, dps: set.dps, by: Line::Cloud });
                }
            }
            Content::Reset(reset) => {
                if self.is_me("gwId", reset.gw_id.as_ref(), true) {
                    self.say_goodbye();
                    self.forget(reset.wipe, Life::Reset { by: Line::Cloud, wipe: reset.wipe }, now);
                }
            }
            Content::TimersChanged(whom) => {
                if self.is_me("gwId", whom.gw_id.as_ref(), false) {
                    self.ask(Ask::TimerCount);
                }
            }
            Content::CheckFirmware(check) => {
                // RTL refuses it without the type; ESP8266 knows one firmware only (cloud.md 4.7).
                let channel = match self.profile.generation {
                    Generation::C => check.firmware_type,
                    Generation::A | Generation::B => Some(check.firmware_type.unwrap_or(0)),
                };
                match channel {
                    None => self.drop_message("a check for firmware without firmwareType".to_owned()),
                    Some(channel) if self.is_me("gwId", check.gw_id.as_ref(), false) => {
                        if self.run.upgrade.is_none() {
                            self.run.channel = channel;
                        }
                        self.ask(Ask::Upgrade);
                    }
                    Some(_) => {}
                }
            }
            Content::Question(question) if question.req_type == Question::SIGNAL => {
                if let Ok(data) = Raw::of(&json!({"signal": SIGNAL})) {
                    self.publish(Content::Answer(Answer { req_type: question.req_type, data }), true, now);
                }
            }
            Content::Query(query) => self.effect(Effect::Show { points: query.points }),
            Content::DaylightSaving(table) => {
                self.flash.zone.update(Zone { dst: table.intervals, ..Zone::default() });
            }
            Content::Other { protocol: Protocol::CONFIG_CHANGED, .. } => self.ask(Ask::Config),
            // Unknown numbers are logged and ignored (cloud.md 4.7).
            other => self.drop_message(format!("nothing is done with {}", other.protocol())),
        }
    }

    /// Whether a message is meant for this device.
    fn is_me(&mut self, field: &str, id: Option<&DeviceId>, needed: bool) -> bool {
        match id {
            Some(id) if id == self.id() => true,
            Some(id) => {
                let why = format!("its {field} is {id}");
                self.drop_message(why);
                false
            }
            None if needed => {
                self.drop_message(format!("it has no {field}"));
                false
            }
            None => true,
        }
    }
}
