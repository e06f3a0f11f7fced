//! Changes as they happen. A client that was away says the number that it saw last, and goes on from there; when too much
//! was missed it is told so (`gap`), and reads the devices anew.

pub(super) mod console;
mod message;

pub(super) mod sse;
pub(super) mod ws;

pub use message::change_json;
use std::sync::Arc;

use axum::http::StatusCode;
use landfall_proto::id::DeviceId;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Answer, Answered};
use super::tokens::Caller;
use crate::model::{Change, Seq};

/// What of the changes, and from where on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// Changes of this device only: device id, former id or name.
    device: Option<String>,
    /// Go on after the change of this number; from now on when missing.
    after: Option<u64>,
}

impl Ask {
    /// The device's id, if one is asked for.
    fn device(&self, shared: &Shared) -> Answered<Option<DeviceId>> {
        Ok(match &self.device {
            Some(asked) => Some(shared.home.device(asked)?.id().clone()),
            None => None,
        })
    }
}

/// Whether a change is one of those asked for.
fn asked_for(change: &Change, device: Option<&DeviceId>) -> bool {
    device.is_none_or(|asked| change.device.as_deref() == Some(asked))
}

/// A place for a stream.
fn place(shared: &Shared) -> Answered<OwnedSemaphorePermit> {
    Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        Answer::asked(
            StatusCode::TOO_MANY_REQUESTS,
            "stream.too_many",
            "there are too many live streams already",
        )
    })
}

/// Waits for the end of the hub, or of the caller's token or session.
async fn over(shared: &Shared, caller: &Caller) -> Over {
    tokio::select! {
        () = shared.end.cancelled() => Over::Hub,
        () = shared.tokens.ended(caller, || shared.now_s()) => Over::Token,
        () = shared.sessions.over(caller, || shared.now_s()) => Over::Token,
    }
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// The hub ends.
    Hub,
    /// The token was revoked or has expired, or its browser has signed out.
    Token,
}

/// A number as the bus counts.
fn seq(after: Option<u64>) -> Option<Seq> {
    after.map(Seq)
}
