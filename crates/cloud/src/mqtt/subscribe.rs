//! What a client subscribes: its own topics, and others of which it never hears anything.

use landfall_proto::mqtt::content::PointQuery;
use landfall_proto::mqtt::{Content, Topic};
use rmqtt_codec::types::QoS;
use tokio::time::Instant;

use super::outbox::{Load, Order};
use super::packet::Grant;
use super::session::Session;
use crate::handshake::Step;
use crate::listen::Stream;

impl<S: Stream> Session<S> {
    /// One filter of a SUBSCRIBE.
    pub(super) fn subscribe(&mut self, filter: &str, qos: QoS, now: Instant) -> Grant {
        let acknowledges = qos != QoS::AtMostOnce;
        let Some(topic) = Topic::parse(filter) else {
            if filter.contains(['+', '#']) {
                self.foreign_topic("subscribed", filter);
                return Grant::Refused;
            }
            // Logs, media and what else there is: acknowledged, and nothing ever comes (cloud.md 4.2).
            return Grant::Granted(acknowledges);
        };
        if !self.owner.owns(&topic) {
            self.foreign_topic("subscribed", filter);
            return Grant::Refused;
        }
        match topic {
            Topic::In(_) => {
                self.seat.state().commands = Some(acknowledges);
                self.step(Step::Subscribed);
                self.plan_questions(now);
            }
            Topic::Activation(_) => {
                self.seat.state().commands = Some(acknowledges);
                self.step(Step::Subscribed);
            }
            Topic::RpcResponse(_) => self.hears_answers = true,
            Topic::RpcFile(_) => self.hears_files = true,
            Topic::Out(_) | Topic::RpcRequest(_) | Topic::Camera(_) => {}
        }
        Grant::Granted(acknowledges)
    }

    /// One filter of an UNSUBSCRIBE.
    pub(super) fn unsubscribe(&mut self, filter: &str) {
        match Topic::parse(filter).filter(|topic| self.owner.owns(topic)) {
            Some(Topic::In(_) | Topic::Activation(_)) => {
                self.seat.state().commands = None;
                self.ask_at = None;
            }
            Some(Topic::RpcResponse(_)) => self.hears_answers = false,
            Some(Topic::RpcFile(_)) => self.hears_files = false,
            _ => {}
        }
    }

    /// Points are asked for now, and every so often: passive ones are not reported otherwise (cloud.md 6.2).
    fn plan_questions(&mut self, now: Instant) {
        let device = self.owner.device();
        self.passive = device.schema.0.iter().filter(|(_, spec)| spec.passive).map(|(id, _)| *id).collect();
        let queries = &self.shared.config.queries;
        self.ask_every = if self.passive.is_empty() { queries.others } else { queries.passive };
        // All points first.
        let content = Content::Query(PointQuery::default());
        let _full = self.seat.order(Order { load: Load::Message(content), repeat: true, ticket: None }, None);
        self.ask_at = Some(now + self.ask_every);
    }
}
