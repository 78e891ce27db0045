//! Chance from one seed, the same on every machine and in every version.

use std::time::Duration;

/// A generator (SplitMix64: Steele, Lea and Flood, 2014): small, well mixed, and for ever the same.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub fn seeded(seed: u64) -> Chance {
        Chance(seed ^ 0x5357_4954_4348_424f)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound`, without it.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// So often of a thousand times.
    pub fn permille(&mut self, rate: u32) -> bool {
        rate > 0 && self.below(1_000) < u64::from(rate)
    }

    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low * 1_000, high * 1_000))
    }

    pub fn seconds(&mut self, low: u64, high: u64) -> Duration {
        self.millis(low * 1_000, high * 1_000)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64) as usize;
        from[at]
    }
}
