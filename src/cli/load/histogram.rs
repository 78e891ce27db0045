//! How often which time was seen, to within one part in 128: a histogram with a high dynamic range, in a
//! fixed few kilobytes whatever it is given.

use std::time::Duration;

/// Of each power of two so many buckets are made.
const FINE: usize = 128;
/// The powers of two above the fine ones: up to 2^32 µs, more than an hour.
const POWERS: usize = 24;

/// Times, counted.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u32>,
    count: u64,
    longest: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; FINE * (POWERS + 2)], count: 0, longest: 0 }
    }
}

impl Histogram {
    /// Counts one time.
    pub fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        let bits = (u64::BITS - micros.leading_zeros()) as usize;
        // The bits that are too fine to be told apart.
        let power = bits.saturating_sub(8);
        let bucket = power * FINE + (micros >> power) as usize;
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.count += 1;
        self.longest = self.longest.max(micros);
    }

    /// Counts all of another one.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// A time that this share of all is not longer than: the upper end of its bucket, never beyond the longest.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                let power = (bucket / FINE).saturating_sub(1);
                let end = (((bucket - power * FINE) as u64 + 1) << power) - 1;
                return Duration::from_micros(end.min(self.longest));
            }
        }
        Duration::from_micros(self.longest)
    }

    /// How many were longer than this, to the histogram's precision.
    pub fn beyond(&self, time: Duration) -> u64 {
        let mut shorter = Histogram::default();
        shorter.add(time);
        let bucket = shorter.counts.iter().position(|count| *count > 0).unwrap_or_default();
        self.counts.iter().skip(bucket + 1).map(|count| u64::from(*count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_one_part_in_128() {
        let mut histogram = Histogram::default();
        for micros in 1..=100_000 {
            histogram.add(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.0, 1u64), (0.001, 100), (0.5, 50_000), (0.99, 99_000), (1.0, 100_000)] {
            let found = histogram.quantile(share).as_micros() as u64;
            assert!((exact..=exact + exact / 128 + 1).contains(&found), "{share}: {found}");
        }
        let beyond = histogram.beyond(Duration::from_millis(20));
        assert!(beyond.abs_diff(80_000) <= 20_000 / 128, "{beyond}");
    }

    #[test]
    fn nothing_is_lost_at_the_ends_or_in_a_merge() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        assert_eq!(one.quantile(0.5), Duration::ZERO);
        one.add(Duration::ZERO);
        other.add(Duration::from_secs(1 << 40));
        one.merge(&other);
        assert_eq!((one.count(), one.quantile(0.5)), (2, Duration::ZERO));
        assert_eq!(one.quantile(1.0), Duration::from_micros(u64::from(u32::MAX)));
    }
}
