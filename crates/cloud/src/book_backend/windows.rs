//! Windows for activations, in the memory of the running cloud: a restart closes them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::{ActivationRefusal, Identity};

/// Whom a window is for: a uuid or an id, or everybody.
pub(super) type Who = Option<String>;

/// More windows than an owner opens by hand; the one that would close first makes room.
const MAX_OPEN: usize = 256;

/// The windows, and who was given keys in them. Times are those of the monotonic clock, so that setting the wall clock
/// opens and closes nothing.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: Vec<(Who, Duration)>,
    handed: HashMap<Identity, Handed>,
}

/// Keys that were handed out in a window which is open still.
#[derive(Debug)]
struct Handed {
    names: Vec<String>,
    until: Duration,
    times: u32,
    /// Where the first request came from, if it was not signed.
    unsigned_from: Option<IpAddr>,
}

/// The how-manieth request of a device in the same window this is, counted from 1.
pub(super) type Attempt = u32;

impl State {
    fn prune(&mut self, now: Duration) {
        self.open.retain(|(_, until)| *until > now);
        self.handed.retain(|_, handed| handed.until > now);
    }

    fn first(
        &mut self,
        identity: &Identity,
        names: Vec<String>,
        until: Duration,
        unsigned_from: Option<IpAddr>,
    ) {
        self.handed.insert(identity.clone(), Handed { names, until, times: 1, unsigned_from });
    }

    fn until(&self, names: &[String]) -> Option<Duration> {
        let fits = |who: &Who| who.as_ref().is_none_or(|who| names.contains(who));
        self.open.iter().filter(|(who, _)| fits(who)).map(|(_, until)| *until).max()
    }
}

impl Windows {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a window until then, or prolongs one. A longer one is not cut short by a shorter one; but one that ends at
    /// once closes it.
    pub(super) fn open(&self, who: Who, until: Duration, now: Duration) {
        let mut state = self.state();
        if until <= now {
            state.open.retain(|(w, _)| *w != who);
        }
        state.prune(now);
        match state.open.iter_mut().find(|(w, _)| *w == who) {
            Some((_, old)) => *old = until.max(*old),
            None if until <= now => {}
            None => {
                if state.open.len() >= MAX_OPEN
                    && let Some(first) = (0..state.open.len()).min_by_key(|i| state.open[*i].1)
                {
                    state.open.swap_remove(first);
                }
                state.open.push((who, until));
            }
        }
        // A device that was given keys is still in the same window.
        let mut handed = std::mem::take(&mut state.handed);
        for one in handed.values_mut() {
            one.until = state.until(&one.names).unwrap_or(now);
        }
        state.handed = handed;
        state.prune(now);
    }

    /// Closes all of them: from now on nobody is given keys, whoever has asked before.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.open.clear();
        state.handed.clear();
    }

    /// The windows that are open, with the time left.
    pub(super) fn list(&self, now: Duration) -> Vec<(Who, Duration)> {
        let mut state = self.state();
        state.prune(now);
        state.open.iter().map(|(who, until)| (who.clone(), until.saturating_sub(now))).collect()
    }

    /// How long the window of the device that has these names (uuid, ids) is open still.
    pub(super) fn left(&self, names: &[String], now: Duration) -> Option<Duration> {
        let mut state = self.state();
        state.prune(now);
        state.until(names).map(|until| until.saturating_sub(now))
    }

    /// A device asks for keys. `names`: what it calls itself, and the uuid and ids of the device that it is, if it is
    /// known: an owner opens a window for any of them.
    pub(super) fn ask(
        &self,
        identity: &Identity,
        names: Vec<String>,
        signed: bool,
        peer: Option<IpAddr>,
        now: Duration,
    ) -> Result<Attempt, ActivationRefusal> {
        let mut state = self.state();
        state.prune(now);
        let until = state.until(&names).ok_or(ActivationRefusal::NoWindow)?;
        let Some(handed) = state.handed.get_mut(identity) else {
            state.first(identity, names, until, peer.filter(|_| !signed));
            return Ok(1);
        };
        if !signed && handed.unsigned_from.is_some() && handed.unsigned_from != peer {
            return Err(ActivationRefusal::Elsewhere);
        }
        handed.times = handed.times.saturating_add(1);
        Ok(handed.times)
    }

    /// The same for a device that asks for the first time in its window; none for any other, and nothing is counted then.
    pub(super) fn ask_first(
        &self,
        identity: &Identity,
        names: Vec<String>,
        signed: bool,
        peer: Option<IpAddr>,
        now: Duration,
    ) -> Option<Result<(), ActivationRefusal>> {
        let mut state = self.state();
        state.prune(now);
        let Some(until) = state.until(&names) else { return Some(Err(ActivationRefusal::NoWindow)) };
        if state.handed.contains_key(identity) {
            return None;
        }
        state.first(identity, names, until, peer.filter(|_| !signed));
        Some(Ok(()))
    }

    /// Whether any is open.
    pub(super) fn any(&self, now: Duration) -> bool {
        let mut state = self.state();
        state.prune(now);
        !state.open.is_empty()
    }

    /// The device was given nothing after all.
    pub(super) fn not_handed(&self, identity: &Identity) {
        self.state().handed.remove(identity);
    }
}

#[cfg(test)]
mod tests {
    use landfall_proto::id::{DeviceId, Uuid};

    use super::*;

    fn uuid(text: &str) -> Identity {
        Identity::Uuid(Uuid::new(text).unwrap())
    }

    fn ask(
        w: &Windows,
        who: &Identity,
        signed: bool,
        peer: Option<IpAddr>,
        at: Duration,
    ) -> Result<Attempt, ActivationRefusal> {
        w.ask(who, vec![who.as_str().to_owned()], signed, peer, at)
    }

    const fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_window_is_for_whom_it_was_opened_and_ends() {
        let w = Windows::default();
        assert_eq!(ask(&w, &uuid("a"), false, None, s(0)), Err(ActivationRefusal::NoWindow));
        w.open(Some("a".into()), s(10), s(0));
        assert_eq!(ask(&w, &uuid("b"), false, None, s(1)), Err(ActivationRefusal::NoWindow));
        assert_eq!(ask(&w, &uuid("a"), false, None, s(1)), Ok(1));
        assert_eq!(ask(&w, &uuid("a"), false, None, s(9)), Ok(2));
        assert_eq!(ask(&w, &uuid("a"), false, None, s(10)), Err(ActivationRefusal::NoWindow));
        w.open(None, s(30), s(20));
        let factory = Identity::Device(DeviceId::new("02200194dc4f22135606").unwrap());
        assert_eq!(ask(&w, &factory, false, None, s(21)), Ok(1));
        assert_eq!(ask(&w, &uuid("a"), false, None, s(21)), Ok(1), "another window begins anew");
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        w.open(None, s(21), s(21));
        w.open(Some("bf01".into()), s(40), s(21));
        assert_eq!(w.ask(&uuid("a"), names(&["a", "bf01"]), false, None, s(22)), Ok(1), "known by its id");
        assert_eq!(
            w.ask(&uuid("c"), names(&["c", "bf02"]), false, None, s(22)),
            Err(ActivationRefusal::NoWindow)
        );
        w.open(Some("bf01".into()), s(0), s(22));
        assert_eq!(w.left(&[factory.to_string()], s(21)), None);
    }

    #[test]
    fn a_window_that_is_prolonged_is_the_same_window() {
        let w = Windows::default();
        w.open(None, s(10), s(0));
        assert_eq!(ask(&w, &uuid("a"), true, None, s(5)), Ok(1));
        w.open(None, s(20), s(8));
        w.open(None, s(12), s(9));
        assert_eq!(ask(&w, &uuid("a"), true, None, s(15)), Ok(2));
        assert_eq!(w.list(s(15)), [(None, s(5))], "not cut short");
    }

    #[test]
    fn a_first_request_is_the_first_of_its_window_only() {
        let w = Windows::default();
        let first = |at| w.ask_first(&uuid("a"), vec!["a".to_owned()], true, None, s(at));
        assert_eq!((first(0), w.any(s(0))), (Some(Err(ActivationRefusal::NoWindow)), false));
        w.open(Some("a".into()), s(10), s(0));
        assert_eq!((first(1), w.any(s(1))), (Some(Ok(())), true));
        assert_eq!(first(2), None);
        assert_eq!(ask(&w, &uuid("a"), true, None, s(3)), Ok(2), "only what was answered counts");
        w.not_handed(&uuid("a"));
        assert_eq!(first(4), Some(Ok(())));
        assert!(!w.any(s(10)));
    }

    #[test]
    fn closed_windows_let_nobody_in() {
        let w = Windows::default();
        w.open(None, s(100), s(0));
        w.open(Some("a".into()), s(200), s(0));
        assert_eq!(ask(&w, &uuid("a"), true, None, s(1)), Ok(1));
        w.close();
        assert_eq!(w.list(s(2)), []);
        assert_eq!(ask(&w, &uuid("a"), true, None, s(2)), Err(ActivationRefusal::NoWindow));
        w.open(None, s(100), s(3));
        assert_eq!(ask(&w, &uuid("a"), true, None, s(4)), Ok(1), "another window begins anew");
    }

    #[test]
    fn keys_of_an_unsigned_request_stay_with_its_address() {
        let (here, there) = (Some([192, 168, 1, 5].into()), Some([192, 168, 1, 6].into()));
        let w = Windows::default();
        w.open(None, s(10), s(0));
        assert_eq!(ask(&w, &uuid("a"), false, here, s(1)), Ok(1));
        assert_eq!(ask(&w, &uuid("a"), false, there, s(1)), Err(ActivationRefusal::Elsewhere));
        assert_eq!(ask(&w, &uuid("a"), false, here, s(1)), Ok(2));
        // A signature proves more than an address.
        assert_eq!(ask(&w, &uuid("a"), true, there, s(1)), Ok(3));
        assert_eq!(ask(&w, &uuid("b"), true, here, s(1)), Ok(1));
        assert_eq!(ask(&w, &uuid("b"), true, there, s(1)), Ok(2));
    }
}
