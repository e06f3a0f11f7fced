//! From power-on to the steady state (cloud.md 1.3), what comes round again, and a sleeper's short days.

use core::time::Duration;

use super::calls::Ask;
use super::profile::{Generation, SILENT_UPGRADE_EVERY, Step, TIMER_COUNT_EVERY};
use super::{CloudClient, CloudNews, Effect, Power, Run};

/// A sleeper waits so long for commands after the last thing that happened.
const LINGER: Duration = Duration::from_secs(5);
/// A sleeper that reaches nobody gives up.
const AWAKE_AT_MOST: Duration = Duration::from_secs(60);
/// Failures in a row after which a device doubts the addresses it was told (cloud.md 6.4).
pub(super) const DOUBTS: u32 = 6;

/// How far a boot has come.
#[derive(Debug, Default)]
pub(super) struct Boot {
    at: usize,
    /// A call between two steps.
    detour: Option<Ask>,
    busy: bool,
    wait: Option<Duration>,
    tries: u32,
}

/// What follows from the answer to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next step.
    Next,
    /// This call first.
    Then(Ask),
    /// The same again: soon, then later and later.
    Again,
    /// The same again after so long.
    After(Duration),
    /// Nothing, until the device is paired again.
    Stop,
}

impl Boot {
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.wait.filter(|_| !self.busy)
    }
}

impl CloudClient {
    /// Takes the steps that can be taken now.
    pub(super) fn step(&mut self, now: Duration) {
        loop {
            let waits = self.run.boot.wait.is_some_and(|until| now < until);
            if self.run.boot.busy || waits || (!self.is_activated() && self.flash.pairing.is_none()) {
                return;
            }
            self.run.boot.wait = None;
            if let Some(ask) = self.run.boot.detour {
                self.run.boot.busy = true;
                return self.ask_in_boot(ask);
            }
            match self.profile.boot.get(self.run.boot.at).copied() {
                None => return self.settle(now),
                Some(Step::Mqtt) => {
                    self.want_mqtt(now);
                    if !self.run.session.is_up() {
                        return;
                    }
                    self.run.boot.at += 1;
                }
                Some(Step::Call(ask)) if self.skips(ask) => self.run.boot.at += 1,
                Some(Step::Call(ask)) => {
                    self.run.boot.busy = true;
                    return self.ask_in_boot(ask);
                }
            }
        }
    }

    /// What an activated device leaves out, and what has been done before.
    fn skips(&self, ask: Ask) -> bool {
        match ask {
            Ask::Token | Ask::Activate => self.is_activated(),
            Ask::PskKey => self.flash.psk_key.is_some(),
            Ask::Versions => self.flash.told_software.as_ref() == Some(&self.flash.software),
            _ => false,
        }
    }

    /// The steady state.
    fn settle(&mut self, now: Duration) {
        if self.run.next_count.is_none() {
            self.run.next_count = Some(now + TIMER_COUNT_EVERY);
            self.run.next_silent = Some(now + SILENT_UPGRADE_EVERY);
        }
    }

    /// A step was answered.
    pub(super) fn stepped(&mut self, verdict: Verdict, now: Duration) {
        let pause = match verdict {
            Verdict::Again => Some(self.back_off(self.run.boot.tries)),
            Verdict::After(pause) => Some(pause),
            _ => None,
        };
        let boot = &mut self.run.boot;
        boot.busy = false;
        match verdict {
            Verdict::Next => {
                // A detour stands before the step that comes next already.
                boot.at += usize::from(boot.detour.take().is_none());
                boot.tries = 0;
            }
            Verdict::Then(ask) => {
                boot.at += 1;
                boot.detour = Some(ask);
                boot.tries = 0;
            }
            Verdict::Again | Verdict::After(_) => {
                boot.tries += 1;
                boot.wait = pause.map(|p| now + p);
                if boot.tries.is_multiple_of(DOUBTS) && verdict == Verdict::Again {
                    self.doubt_endpoints();
                }
            }
            Verdict::Stop => *boot = Boot::default(),
        }
    }

    /// After long failures generation C asks the name service again, and the others try the vendor's names.
    pub(super) fn doubt_endpoints(&mut self) {
        if self.profile.generation != Generation::C && self.is_activated() {
            self.flash.endpoints = super::flash::Endpoints::default();
        } else {
            let Boot { wait, tries, .. } = self.run.boot;
            self.run.boot = Boot { wait, tries, ..Boot::default() };
        }
    }

    /// One second, two, four... up to a minute, and a bit of chance, so that a house does not come back in one breath.
    pub(super) fn back_off(&mut self, failures: u32) -> Duration {
        let base = Duration::from_secs(1 << failures.min(6)).min(Duration::from_secs(60));
        base + base.mul_f64(self.dice.unit() * 0.5)
    }

    /// What comes round again.
    pub(super) fn run_periodic(&mut self, now: Duration) {
        if self.run.next_count.is_some_and(|at| now >= at) {
            self.run.next_count = Some(now + TIMER_COUNT_EVERY);
            self.ask(Ask::TimerCount);
        }
        if self.run.next_silent.is_some_and(|at| now >= at) {
            self.run.next_silent = Some(now + SILENT_UPGRADE_EVERY);
            self.ask(Ask::SilentUpgrade);
        }
    }

    /// A sleeper that just woke stays awake until it has been heard, but not for ever.
    pub(super) fn start_lingering(&mut self, now: Duration) {
        if self.who.sleeps {
            let owned = self.is_activated() || self.flash.pairing.is_some();
            self.run.linger = Some(now + if owned { AWAKE_AT_MOST } else { Duration::ZERO });
        }
    }

    /// Something happened: a sleeper waits a little for more.
    pub(super) fn linger(&mut self, now: Duration) {
        if self.who.sleeps && self.run.session.is_up() {
            self.run.linger = Some(now + LINGER);
        }
    }

    /// Sends a sleeper to bed when nothing more comes.
    pub(super) fn doze(&mut self, now: Duration) {
        if self.run.linger.is_none_or(|until| now < until) {
            return;
        }
        let busy = self.run.upgrade.is_some() || !self.run.http.is_idle();
        if busy && self.run.session.is_up() {
            // It finishes what it began.
            self.run.linger = Some(now + LINGER);
        } else {
            self.sleep(now);
        }
    }

    pub(super) fn sleep(&mut self, now: Duration) {
        self.say_goodbye();
        self.hang_up_all();
        if self.run.session.is_up() {
            self.effect(Effect::Online(false));
        }
        // The clock goes on.
        let clock = self.run.clock;
        self.run = Run { clock, ..Run::new(now) };
        self.power = Power::Asleep(now + self.spec.wake_every);
        self.tell(CloudNews::Asleep);
    }

    /// Wakes a sleeper; nothing to others.
    pub(super) fn wake(&mut self, now: Duration) {
        if matches!(self.power, Power::Asleep(_)) {
            self.power = Power::On;
            self.tell(CloudNews::Awake);
        }
        self.start_lingering(now);
    }
}
