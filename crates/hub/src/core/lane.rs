//! One line of one device.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Lane as Choice, Moment};
use crate::model::{LineState, LineView, Outcome};

/// A line is avoided for so long after its last failure.
const AVOID: Duration = Duration::from_secs(60);
/// So many failures in a row, and it is avoided: one lost command is weather.
const FAILURES: u8 = 2;

/// One line of one device.
#[derive(Debug, Default)]
pub(super) struct LineOf {
    view: Arc<LineView>,
    /// What was told of it last.
    told: Option<Arc<LineView>>,
    failures: u8,
    avoid_until: Option<Duration>,
}

impl LineOf {
    pub(super) fn view(&self) -> &Arc<LineView> {
        &self.view
    }

    pub(super) fn state(&self) -> LineState {
        self.view.state
    }

    pub(super) fn is_up(&self) -> bool {
        self.view.state == LineState::Up
    }

    pub(super) fn why(&self) -> Option<&str> {
        self.view.why.as_deref()
    }

    pub(super) fn choice(&self) -> Choice {
        Choice { state: self.view.state, failing: self.avoid_until.is_some() }
    }

    /// Takes over how it is now. False when nothing is different.
    pub(super) fn set(
        &mut self,
        state: LineState,
        why: Option<String>,
        address: Option<SocketAddr>,
        now: Moment,
    ) -> bool {
        // A line keeps the address it was known by until it learns another.
        let address = address.or(self.view.address);
        let same = self.view.state == state;
        if same && self.view.why == why && self.view.address == address {
            return false;
        }
        let since_ms = if same { self.view.since_ms } else { now.unix_ms };
        self.view = Arc::new(LineView { state, why, since_ms, address });
        true
    }

    /// Takes over a gateway's line.
    pub(super) fn follow(&mut self, view: &Arc<LineView>) -> bool {
        let differs = self.view != *view;
        self.view = Arc::clone(view);
        differs
    }

    /// What there is to be told. A line that is tried again and again with the same result is told once.
    pub(super) fn news(&mut self) -> Option<Arc<LineView>> {
        let worth = match &self.told {
            None => self.view.state != LineState::Unused,
            Some(told) => {
                let retry = self.view.state == LineState::Opening && told.state == LineState::Down;
                let same = told.state == self.view.state
                    && told.why == self.view.why
                    && told.address == self.view.address;
                !retry && !same
            }
        };
        worth.then(|| {
            self.told = Some(Arc::clone(&self.view));
            Arc::clone(&self.view)
        })
    }

    /// A command over it ended so. True when the choice may be another now.
    pub(super) fn learn(&mut self, outcome: &Outcome, now: Duration) -> bool {
        let before = self.avoid_until.is_some();
        if matches!(outcome, Outcome::Unconfirmed { .. }) {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= FAILURES {
                self.avoid_until = Some(now + AVOID);
            }
        } else {
            // A refusal is an answer too.
            self.failures = 0;
            self.avoid_until = None;
        }
        before != self.avoid_until.is_some()
    }

    /// Gives a line that failed another chance, when its time has come.
    pub(super) fn forgive(&mut self, now: Duration) -> bool {
        if self.avoid_until.is_some_and(|until| until <= now) {
            self.avoid_until = None;
            self.failures = 0;
            return true;
        }
        false
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.avoid_until
    }
}
