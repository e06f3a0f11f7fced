//! Repeatable randomness: everything a virtual device does "by chance" follows from a seed.

use landfall_proto::Entropy;

/// A small generator (SplitMix64). Repeatable and cheap; of no use for secrets outside a test double.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Starts a sequence.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Starts a sequence of its own for `label`, so that devices of one home do not move in step.
    pub fn labelled(seed: u64, label: &str) -> Self {
        let mut state = seed ^ 0xcbf2_9ce4_8422_2325;
        for b in label.bytes() {
            state = (state ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self { state: mix(state) }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        unit_of(self.bits())
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of the remainder is beyond notice for the small `n` in use here.
        self.bits().checked_rem(n).unwrap_or(0)
    }

    /// True with probability `p` (values outside `0.0..=1.0` count as never and always).
    pub fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && self.unit() < p
    }
}

impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.bits().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// A number in `0.0..1.0` that depends on `seed` and `n` alone.
pub(crate) fn hashed_unit(seed: u64, n: u64) -> f64 {
    unit_of(mix(seed ^ mix(n.wrapping_add(0x9e37_79b9_7f4a_7c15))))
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[allow(clippy::cast_precision_loss)]
fn unit_of(bits: u64) -> f64 {
    // 53 bits are what a double holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_from_its_seed_and_differs_by_label() {
        let draw = |mut d: Dice| [d.bits(), d.bits(), d.bits()];
        assert_eq!(draw(Dice::labelled(7, "a")), draw(Dice::labelled(7, "a")));
        assert_ne!(draw(Dice::labelled(7, "a")), draw(Dice::labelled(7, "b")));
        assert_ne!(draw(Dice::labelled(7, "a")), draw(Dice::labelled(8, "a")));
    }

    #[test]
    fn chances_are_about_right() {
        let mut dice = Dice::new(1);
        let hits = (0..10_000).filter(|_| dice.chance(0.2)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!(!(0..100).any(|_| dice.chance(0.0)));
        assert!((0..100).all(|_| dice.chance(1.0)));
        assert_eq!(dice.below(0), 0);
    }
}
