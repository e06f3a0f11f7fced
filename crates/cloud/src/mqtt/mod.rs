//! The MQTT sessions of devices: login, reports, commands, calls (cloud.md 4).
//!
//! Devices meet this server and no broker: it never sends CONNACK 5, which makes a device forget its owner (cloud.md
//! 1.7), it acknowledges at once, and a device sees its own topics only. Clients of people, told apart by their login,
//! are handed on to [`crate::people`] with the bytes that were read.
//!
//! | module | does |
//! |---|---|
//! | `hello` | the CONNECT |
//! | `connect` | who it is: a device, hardware that waits for its activation, a person, a stranger |
//! | `session` | one connection: packets in, packets out, deadlines |
//! | `owner` | whose session it is |
//! | `subscribe` | what a client subscribes |
//! | `end` | why a session ends |
//! | `hear` | what a device publishes: reports, calls |
//! | `seal` | messages to devices |
//! | `packet` | packets of MQTT 3.1, 3.1.1 and 5 as one kind |
//! | [`desk`] | the payload of a publish to a typed message; no sockets, no clock |
//! | [`replay`] | the rule by which old messages are told |
//! | `outbox` | what waits to be sent, and what waits for its PUBACK |
//! | `seat` | the place of a device that is logged in; what its session and its callers share |
//! | `devices` | all seats; sending |
//! | `set` | setting points and waiting for the report that shows them |
//! | `rpc` | gateway calls over MQTT |
//! | `pace` | how many messages a device may send |
//!
//! A session costs little while nothing happens: no buffers, one task, one timer.

mod connect;
pub mod desk;
mod devices;
mod end;
mod hear;
mod hello;
mod io;
mod outbox;
mod owner;
mod pace;
mod packet;
pub mod replay;
mod rpc;
mod seal;
mod seat;
mod session;
mod set;
mod subscribe;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use devices::{Counts, Devices, SendError};
pub use set::Outcome;

use crate::listen::{Link, Stream};
use crate::shared::Shared;

/// Serves one MQTT connection until it ends.
pub async fn serve<S: Stream>(shared: Arc<Shared>, stream: S, link: Link) {
    connect::serve(shared, stream, link).await;
}

/// Carries what people's clients publish to devices, each to that device only, until the broker for people ends. Does
/// nothing when there is none, or when somebody carries already.
pub async fn carry_inbox(shared: Arc<Shared>) {
    let inbox = shared.people.inbox.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(mut inbox) = inbox else { return };
    while let Some(to) = inbox.recv().await {
        if let Err(e) = shared.devices.send_sealed(&to.device, to.payload) {
            tracing::debug!(device = %to.device, "a person's message was not sent: {e}");
        }
    }
}
