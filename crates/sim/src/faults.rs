//! Faults that real devices and networks have, on demand or by seeded dice. Off unless asked for.
//!
//! The decisions are pure: time and dice come in. What a decision does to a connection is the device's affair.

use core::time::Duration;
use std::collections::VecDeque;

use crate::dice::Dice;

/// A fault that can be triggered by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next frame, in whichever direction, is swallowed.
    Drop,
    /// The next answer comes this much later.
    Delay(Duration),
    /// All connections end with RST.
    Reset,
    /// All connections stay open, but nothing is read or answered any more.
    HalfOpen,
    /// Everything closes, and nobody listens for so long.
    Reboot(Duration),
    /// The device turns up at another address; old connections stay half open.
    Move,
    /// From now on connections are accepted and closed at once, until power is cycled.
    Wedge,
}

/// How often faults happen by themselves. The default is never.
///
/// Chances are per frame in one direction (a request taken in, or a frame sent), apart from `wedge`, which is per
/// new connection. Times are means; the times between two faults are drawn from an exponential distribution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Chance that a frame is swallowed.
    pub drop: f64,
    /// Chance that a frame is delayed, and the range of delays.
    pub delay: Option<DelayPlan>,
    /// Chance that a frame is met by RST. Requests are hit half of the time before and half after being carried out.
    pub reset: f64,
    /// Chance that a connection goes half open at a frame.
    pub half_open: f64,
    /// Reboots.
    pub reboot: Option<RebootPlan>,
    /// Mean time between two moves to another address.
    pub moves: Option<Duration>,
    /// Chance that a new connection wedges the device.
    pub wedge: f64,
    /// Wedges when so many connections come so quickly, as firmware that is probed too hard does (lan.md 5.7).
    pub storm: Option<StormPlan>,
}

/// A firmware's limit of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StormPlan {
    /// This many connections...
    pub connections: usize,
    /// ...within this time wedge it.
    pub within: Duration,
}

/// Delays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DelayPlan {
    /// Chance per frame.
    pub chance: f64,
    /// Shortest delay.
    pub from: Duration,
    /// Longest delay.
    pub to: Duration,
}

/// Reboots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RebootPlan {
    /// Mean time between two reboots.
    pub every: Duration,
    /// How long nobody listens.
    pub down: Duration,
}

impl FaultPlan {
    /// Whether nothing ever happens.
    pub fn is_quiet(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Pass,
    /// It is swallowed.
    Drop,
    /// It waits.
    Delay(Duration),
    /// The connection ends with RST before the frame has any effect.
    Reset,
    /// The frame has its effect, but the connection ends with RST before anything is answered.
    ResetAfter,
    /// The connection goes half open.
    HalfOpen,
}

/// The dice of one device, with the plan that they follow.
#[derive(Clone, Debug)]
pub struct FaultDice {
    plan: FaultPlan,
    dice: Dice,
    reboot_at: Option<Duration>,
    move_at: Option<Duration>,
    forced: Option<Fate>,
    /// When the last connections came.
    connected: VecDeque<Duration>,
}

impl FaultDice {
    /// Dice that follow `plan` from `now` on; the same seed gives the same faults.
    pub fn new(plan: FaultPlan, seed: u64, now: Duration) -> Self {
        let dice = Dice::labelled(seed, "faults");
        let connected = VecDeque::new();
        let mut it = Self { plan, dice, reboot_at: None, move_at: None, forced: None, connected };
        it.reboot_at = it.plan.reboot.map(|r| now + it.dice_interval(r.every));
        it.move_at = it.plan.moves.map(|every| now + it.dice_interval(every));
        it
    }

    /// The plan.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    fn dice_interval(&mut self, mean: Duration) -> Duration {
        // Never at once, and never so late that it means never.
        let factor = (-(1.0 - self.dice.unit()).ln()).clamp(0.05, 10.0);
        mean.max(Duration::from_millis(100)).mul_f64(factor)
    }

    /// Makes the next frame meet this fate.
    pub fn force(&mut self, fate: Fate) {
        self.forced = Some(fate);
    }

    /// The fate of a request that came in.
    pub fn inbound(&mut self) -> Fate {
        match self.frame() {
            Fate::Reset if self.dice.chance(0.5) => Fate::ResetAfter,
            fate => fate,
        }
    }

    /// The fate of a frame that goes out.
    pub fn outbound(&mut self) -> Fate {
        self.frame()
    }

    fn frame(&mut self) -> Fate {
        if let Some(fate) = self.forced.take() {
            return fate;
        }
        if self.dice.chance(self.plan.drop) {
            return Fate::Drop;
        }
        if self.dice.chance(self.plan.reset) {
            return Fate::Reset;
        }
        if self.dice.chance(self.plan.half_open) {
            return Fate::HalfOpen;
        }
        if let Some(delay) = self.plan.delay
            && self.dice.chance(delay.chance)
        {
            let span = delay.to.saturating_sub(delay.from);
            return Fate::Delay(delay.from + span.mul_f64(self.dice.unit()));
        }
        Fate::Pass
    }

    /// Whether a new connection wedges the device.
    pub fn wedges(&mut self, now: Duration) -> bool {
        if let Some(storm) = self.plan.storm {
            self.connected.retain(|at| now < *at + storm.within);
            self.connected.push_back(now);
            if self.connected.len() >= storm.connections.max(1) {
                self.connected.clear();
                return true;
            }
        }
        self.dice.chance(self.plan.wedge)
    }

    /// When [`scheduled`](Self::scheduled) has something next.
    pub fn next_scheduled(&self) -> Option<Duration> {
        match (self.reboot_at, self.move_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// A reboot or a move that is due.
    pub fn scheduled(&mut self, now: Duration) -> Option<Fault> {
        if let (Some(at), Some(reboot)) = (self.reboot_at, self.plan.reboot)
            && now >= at
        {
            self.reboot_at = Some(now + reboot.down + self.dice_interval(reboot.every));
            return Some(Fault::Reboot(reboot.down));
        }
        if let (Some(at), Some(every)) = (self.move_at, self.plan.moves)
            && now >= at
        {
            self.move_at = Some(now + self.dice_interval(every));
            return Some(Fault::Move);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rough() -> FaultPlan {
        FaultPlan {
            drop: 0.1,
            delay: Some(DelayPlan {
                chance: 0.2,
                from: Duration::from_millis(50),
                to: Duration::from_millis(900),
            }),
            reset: 0.05,
            half_open: 0.02,
            reboot: Some(RebootPlan { every: Duration::from_secs(600), down: Duration::from_secs(8) }),
            moves: Some(Duration::from_secs(3_600)),
            wedge: 0.01,
            storm: None,
        }
    }

    #[test]
    fn nothing_happens_by_default() {
        let mut dice = FaultDice::new(FaultPlan::default(), 1, Duration::ZERO);
        assert!(dice.plan().is_quiet());
        assert!((0..1_000).all(|_| dice.inbound() == Fate::Pass
            && dice.outbound() == Fate::Pass
            && !dice.wedges(Duration::ZERO)));
        assert_eq!(dice.next_scheduled(), None);
        assert_eq!(dice.scheduled(Duration::from_secs(1_000_000)), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let story = |seed| {
            let mut dice = FaultDice::new(rough(), seed, Duration::ZERO);
            (0..500)
                .map(|i| (dice.inbound(), dice.scheduled(Duration::from_secs(i * 20))))
                .collect::<Vec<_>>()
        };
        assert_eq!(story(1), story(1));
        assert_ne!(story(1), story(2));
    }

    #[test]
    fn chances_and_ranges_are_kept() {
        let mut dice = FaultDice::new(rough(), 9, Duration::ZERO);
        let fates: Vec<Fate> = (0..20_000).map(|_| dice.inbound()).collect();
        let share = |f: &dyn Fn(&Fate) -> bool| fates.iter().filter(|x| f(x)).count() as f64 / 20_000.0;
        assert!((share(&|f| *f == Fate::Drop) - 0.1).abs() < 0.01);
        assert!((share(&|f| *f == Fate::Reset) - 0.0225).abs() < 0.006);
        assert!((share(&|f| *f == Fate::ResetAfter) - 0.0225).abs() < 0.006);
        for fate in fates {
            if let Fate::Delay(d) = fate {
                assert!((50..=900).contains(&d.as_millis()));
            }
        }
        assert!(
            (0..200).all(|_| dice.outbound() != Fate::ResetAfter),
            "nothing to carry out in that direction"
        );
    }

    #[test]
    fn reboots_come_about_as_often_as_planned() {
        let mut dice = FaultDice::new(rough(), 4, Duration::ZERO);
        let (mut reboots, mut moves) = (0, 0);
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(600 * 200) {
            now = dice.next_scheduled().unwrap();
            match dice.scheduled(now) {
                Some(Fault::Reboot(down)) => {
                    assert_eq!(down, Duration::from_secs(8));
                    reboots += 1;
                }
                Some(Fault::Move) => moves += 1,
                other => panic!("{other:?} at {now:?}"),
            }
        }
        assert!((150..250).contains(&reboots), "{reboots}");
        assert!((15..60).contains(&moves), "{moves}");
    }

    #[test]
    fn a_storm_of_connections_wedges() {
        let storm = StormPlan { connections: 3, within: Duration::from_secs(10) };
        let plan = FaultPlan { storm: Some(storm), ..FaultPlan::default() };
        let mut dice = FaultDice::new(plan, 1, Duration::ZERO);
        let at: Vec<bool> =
            [0, 6, 12, 18, 19].into_iter().map(|t| dice.wedges(Duration::from_secs(t))).collect();
        assert_eq!(at, [false, false, false, false, true]);
    }

    #[test]
    fn a_forced_fate_comes_once() {
        let mut dice = FaultDice::new(FaultPlan::default(), 1, Duration::ZERO);
        dice.force(Fate::Drop);
        assert_eq!((dice.outbound(), dice.outbound()), (Fate::Drop, Fate::Pass));
    }
}
