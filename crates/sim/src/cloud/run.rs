//! One boot of a device.

use core::time::Duration;
use std::collections::VecDeque;

use super::boot::Boot;
use super::exchange::Http;
use super::session::Session;
use super::timers::{Fetching, Ran};
use super::upgrade::Upgrade;
use super::zone::Clock;

/// What does not survive a power cut.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) clock: Clock,
    pub(super) boot: Boot,
    pub(super) answered: bool,
    pub(super) http: Http,
    pub(super) session: Session,
    /// Allowed age of commands in seconds, in clear connections (cloud.md 4.5).
    pub(super) valid_time: Option<u64>,
    /// What `dynamic.config.ack` shall name.
    pub(super) acks: Vec<(&'static str, String)>,
    pub(super) next_count: Option<Duration>,
    pub(super) next_silent: Option<Duration>,
    /// The minute since 1970 whose timers were run last.
    pub(super) minute: Option<u64>,
    pub(super) fetching: Option<Fetching>,
    pub(super) ran: VecDeque<Ran>,
    /// Which firmware is asked for (`type`).
    pub(super) channel: u32,
    pub(super) upgrade: Option<Upgrade>,
    /// A sleeper goes back to sleep then.
    pub(super) linger: Option<Duration>,
}

impl Run {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            clock: Clock::new(now),
            boot: Boot::default(),
            answered: false,
            http: Http::default(),
            session: Session::default(),
            valid_time: None,
            acks: Vec::new(),
            next_count: None,
            next_silent: None,
            minute: None,
            fetching: None,
            ran: VecDeque::new(),
            channel: 0,
            upgrade: None,
            linger: None,
        }
    }
}
