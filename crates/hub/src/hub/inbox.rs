//! What waits for the brain.
//!
//! Reports wait where they come from: the link's news and the cloud's feed are queues of their own, and whoever reads them
//! waits for a place here. So there is one place for each line at which reports are dropped, counted and made good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landfall_proto::dp::Dps;
use landfall_proto::id::DeviceId;
use tokio::sync::{mpsc, oneshot};

use crate::core::Action;
use crate::model::{CommandId, CommandOptions, Ended, Problem, ProblemKind};

/// Actions that may wait.
const ACTIONS: usize = 4_096;
/// Commands that may wait; more are refused.
const COMMANDS: usize = 256;

/// What the brain is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened.
    Act(Action),
    /// Everything before this was taken in: say so.
    Reached(oneshot::Sender<()>),
}

/// What becomes of a command.
pub(super) type End = Result<Arc<Ended>, Problem>;

/// A command with somebody who waits for its end.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) id: CommandId,
    pub(super) device: DeviceId,
    pub(super) dps: Dps,
    pub(super) options: CommandOptions,
    pub(super) tell: oneshot::Sender<End>,
}

/// Where the brain is told things. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    messages: mpsc::Sender<Message>,
    asks: mpsc::Sender<Ask>,
    dropped: Arc<AtomicU64>,
}

/// The brain's end.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) asks: mpsc::Receiver<Ask>,
}

impl Inbox {
    pub(super) fn new() -> (Self, Outbox) {
        let (messages, got_messages) = mpsc::channel(ACTIONS);
        let (asks, got_asks) = mpsc::channel(COMMANDS);
        let inbox = Self { messages, asks, dropped: Arc::default() };
        (inbox, Outbox { messages: got_messages, asks: got_asks })
    }

    /// Tells something, waiting for a place. False when the hub is ending.
    pub(super) async fn act(&self, action: Action) -> bool {
        self.messages.send(Message::Act(action)).await.is_ok()
    }

    /// Waits until everything that was told before was taken in.
    pub(super) async fn settle(&self) {
        let (tell, told) = oneshot::channel();
        if self.messages.send(Message::Reached(tell)).await.is_ok() {
            // An error means that the brain has ended: there is nothing to wait for.
            let _ended = told.await;
        }
    }

    /// Hands in a command.
    ///
    /// # Errors
    /// Too many wait, or the hub is ending.
    pub(super) fn ask(&self, ask: Ask) -> Result<(), Problem> {
        self.asks.try_send(ask).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Problem::new(
                ProblemKind::Busy,
                "hub.busy",
                format!("{COMMANDS} commands are waiting already"),
            )
            .hint("try again in a moment"),
            mpsc::error::TrySendError::Closed(_) => ending(),
        })
    }

    /// So many reports were dropped before they came here.
    pub(super) fn lost(&self, reports: u64) {
        self.dropped.fetch_add(reports, Ordering::Relaxed);
    }

    /// How many reports were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The hub is on its way out.
pub(super) fn ending() -> Problem {
    Problem::new(ProblemKind::Busy, "hub.ending", "the hub is ending").hint("try again once it runs again")
}
