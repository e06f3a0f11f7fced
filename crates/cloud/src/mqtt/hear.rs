//! What a device publishes: its topics, its reports, its calls.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use landfall_proto::dp::Dps;
use landfall_proto::id::Cid;
use landfall_proto::mqtt::Topic;
use tokio::time::Instant;

use super::desk::{Heard, Said};
use super::devices::Counters;
use super::end::End;
use super::owner::Owner;
use super::replay::Verdict;
use super::rpc::{self, Answer};
use super::session::Session;
use crate::backend::Announcement;
use crate::event::What;
use crate::handshake::Step;
use crate::journal::Entry;
use crate::listen::Stream;
use crate::tap::{Direction, Tapped};

/// Before the topics that devices publish logs to (cloud.md 4.2).
const LOGS: &str = "log/";

impl<S: Stream> Session<S> {
    /// A publish came; it is acknowledged already.
    pub(super) fn published(
        &mut self,
        topic: &ByteString,
        payload: &Bytes,
        dup: bool,
        now: Instant,
    ) -> Result<(), End> {
        let Owner::Device { client, device, .. } = &mut self.owner else {
            self.foreign_topic("published to", topic);
            return Ok(());
        };
        // Keys, name and schema may have changed, and the device may be gone.
        *device = self.shared.backend.by_id(client).ok_or(End::Removed)?;
        match Topic::parse(topic) {
            Some(Topic::Out(id)) if id == *client => self.out(topic, payload, dup, now),
            Some(Topic::RpcRequest(id)) if id == *client => return self.call(payload),
            None if topic.starts_with(LOGS) => {
                tracing::trace!(device = %device.id, bytes = payload.len(), "a log");
            }
            _ => self.foreign_topic("published to", topic),
        }
        Ok(())
    }

    /// A message in an envelope.
    fn out(&mut self, topic: &ByteString, payload: &Bytes, dup: bool, now: Instant) {
        let Owner::Device { client, device, desk, counting } = &mut self.owner else { return };
        let counters = &self.shared.devices.counters;
        let tapped = self.shared.is_tapped();
        let read = if tapped {
            desk.read_and_keep(device, client, payload)
        } else {
            desk.read(device, client, payload)
        };
        let heard = match read {
            Ok(heard) => heard,
            Err(e) => {
                Counters::add(&counters.refused);
                self.refuse(e.code(), e.to_string());
                return;
            }
        };
        if tapped {
            self.shared.tapped(|| {
                let body = desk.take_text().unwrap_or_default();
                Tapped {
                    who: device.id.to_string(),
                    direction: Direction::In,
                    what: super::seal::named(heard.envelope, &body),
                    sequence: heard.stamp.map(|s| s.sequence.into()),
                    bytes: payload.len(),
                    body,
                }
            });
        }
        let verdict = {
            let mut memory = self.seat.track.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            counting.judge(&mut memory, heard.stamp, heard.t, self.shared.clock.unix())
        };
        let missing = match verdict {
            Verdict::New { missing } => missing,
            // Sent again because our PUBACK was late or lost: it was heard.
            Verdict::OldNumber if dup => return,
            old => {
                Counters::add(&counters.old);
                let why = match old {
                    Verdict::OldDate => "a message that is older than others that came",
                    _ => "a message whose number came before",
                };
                self.refuse("envelope.old", why.to_owned());
                return;
            }
        };
        Counters::add(&counters.messages);
        if heard.pending {
            self.pending_used();
        }
        self.learn(&heard);
        if missing > 0 {
            self.shared.handshakes.lost(self.owner.who(), missing.into());
            self.tell(What::Lost { reports: missing.into() });
        }
        if let Some(broker) = &self.shared.people.broker {
            broker.publish(topic, payload.clone());
        }
        self.said(heard, now);
    }

    /// Keeps the envelope that the device uses.
    fn learn(&mut self, heard: &Heard) {
        let device = self.owner.device();
        if self.seen == Some(heard.envelope) {
            return;
        }
        if device.envelope != Some(heard.envelope) {
            let what = Announcement { envelope: Some(heard.envelope), ..Announcement::default() };
            self.shared.backend.announce(&device.id, what);
        }
        self.seen = Some(heard.envelope);
    }

    fn said(&mut self, heard: Heard, now: Instant) {
        let Heard { stamp, said, .. } = heard;
        let keep = |cid: Option<&Cid>, dps: Arc<Dps>| {
            self.shared.journal.record(Entry {
                at_ms: self.shared.clock.unix_ms(),
                device: self.owner.device().id.clone(),
                cid: cid.cloned(),
                stamp,
                dps,
            });
        };
        if stamp.is_some() && !matches!(said, Said::Report { .. }) {
            // It has a number among those of the reports.
            keep(None, Arc::default());
        }
        match said {
            Said::Report { cid, dps, times } => {
                let asked = self.seat.answered(cid.as_ref(), &dps, now);
                let dps = Arc::new(dps);
                keep(cid.as_ref(), Arc::clone(&dps));
                self.step(Step::Reported);
                self.tell(What::Report { cid: cid.clone(), dps: Arc::clone(&dps), times, asked });
                // Last: whoever is told that a set is confirmed finds the report told.
                self.seat.report(cid.as_ref(), &dps, now);
            }
            Said::Progress { percent } => self.tell(What::Progress { percent }),
            Said::Answer(answer) => {
                let signal = answer.signal();
                self.tell(What::Answer { question: answer.req_type, signal });
            }
            Said::Acknowledged { ack_id } => self.tell(What::Acknowledged { ack_id }),
            Said::LogUploaded => self.tell(What::LogUploaded),
            Said::Other(protocol) => {
                Counters::add(&self.shared.devices.counters.unknown);
                tracing::debug!(device = %self.owner.device().id, "{protocol} is not known");
            }
        }
    }

    /// A call of the gateway.
    fn call(&mut self, payload: &Bytes) -> Result<(), End> {
        let Owner::Device { client, device, .. } = &self.owner else { return Ok(()) };
        let (topic, payload) = match rpc::answer(&self.shared, &self.link, device, payload) {
            Ok(Answer::Response(json)) if self.hears_answers => (Topic::RpcResponse(client.clone()), json),
            Ok(Answer::Piece(piece)) if self.hears_files => (Topic::RpcFile(client.clone()), piece),
            // Nobody listens.
            Ok(_) => return Ok(()),
            Err(e) => {
                Counters::add(&self.shared.devices.counters.refused);
                self.refuse("rpc.malformed", e.to_string());
                return Ok(());
            }
        };
        // The call came at QoS 0, and whoever misses its answer calls again (cloud.md 2.9).
        let topic = ByteString::from(topic.to_string());
        if !self.wire.publish(topic, payload, None, false, &mut self.output)? {
            tracing::debug!(device = %self.owner.device().id, "an answer is larger than the client takes");
        }
        Ok(())
    }

    fn tell(&self, what: What) {
        self.shared.tell(Some(self.owner.device()), Some(self.link.peer), what);
    }
}
