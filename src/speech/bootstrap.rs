//! How far a rate may be from that of all speech like it: the bootstrap over utterances (Efron 1979; for word error
//! rates Bisani and Ney 2004).
//!
//! As many utterances as there are, drawn with replacement, give a rate; a thousand of these give the interval that
//! holds 95 % of them. Two settings are compared on the same drawn utterances, which takes out how hard each is.

use serde::{Deserialize, Serialize};

use crate::clock::Entropy;

/// How often utterances are drawn.
pub const RESAMPLES: usize = 1_000;
/// The rates at both ends that are left out: 2.5 % each.
const LEFT_OUT: usize = RESAMPLES / 40;

/// One utterance, as far as a rate is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its edits.
    pub edits: u64,
    /// The units of its reference.
    pub units: u64,
}

/// From here to there, both included, in 95 % of the draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Claims that zero is not in it: what differs, differs clearly.
    pub fn excludes_zero(self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The interval of the rate of all edits by all units; none without units.
pub fn rate(samples: &[Sample], chance: &Entropy) -> Option<Interval> {
    let whole = micro(samples.iter())?;
    let drawn = draws(samples.len(), chance, |picked| micro(picked.iter().map(|at| &samples[*at])));
    Some(interval(drawn, whole))
}

/// The interval of the second rate minus the first, of the same utterances under two settings; none without units.
pub fn difference(pairs: &[(Sample, Sample)], chance: &Entropy) -> Option<Interval> {
    let of = |picked: &[usize]| {
        let first = micro(picked.iter().map(|at| &pairs[*at].0))?;
        Some(micro(picked.iter().map(|at| &pairs[*at].1))? - first)
    };
    let all: Vec<usize> = (0..pairs.len()).collect();
    let whole = of(&all)?;
    Some(interval(draws(pairs.len(), chance, of), whole))
}

fn micro<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<f64> {
    let (edits, units) =
        samples.fold((0, 0), |(edits, units), sample| (edits + sample.edits, units + sample.units));
    (units > 0).then(|| edits as f64 / units as f64)
}

fn draws(count: usize, chance: &Entropy, of: impl Fn(&[usize]) -> Option<f64>) -> Vec<f64> {
    let mut picked = vec![0; count];
    let mut drawn = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        picked.fill_with(|| below(count, chance));
        drawn.extend(of(&picked));
    }
    drawn
}

/// A number from 0 up to, without, `count`: the high half of a product, which is even to one in 2^64.
pub(crate) fn below(count: usize, chance: &Entropy) -> usize {
    let random = u128::from(u64::from_le_bytes(chance.bytes()));
    usize::try_from((random * count as u128) >> 64).unwrap_or(0)
}

fn interval(mut drawn: Vec<f64>, whole: f64) -> Interval {
    drawn.sort_by(f64::total_cmp);
    let left_out = LEFT_OUT.min(drawn.len() / 2);
    let at = |index: usize| drawn.get(index).copied().unwrap_or(whole);
    Interval { low: at(left_out), high: at((drawn.len().max(1) - 1).saturating_sub(left_out)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(edits: u64, units: u64) -> Sample {
        Sample { edits, units }
    }

    #[test]
    fn what_never_varies_has_no_width() {
        let same = [sample(1, 10); 20];
        assert_eq!(rate(&same, &Entropy::seeded(1)), Some(Interval { low: 0.1, high: 0.1 }));
        let pairs = [(sample(1, 10), sample(3, 10)); 20];
        let clear = difference(&pairs, &Entropy::seeded(1)).unwrap();
        assert!((clear.low - 0.2).abs() < 1e-12 && clear.excludes_zero(), "{clear:?}");
        assert_eq!(rate(&[], &Entropy::seeded(1)), None);
        assert_eq!(rate(&[sample(3, 0)], &Entropy::seeded(1)), None);
    }

    /// Of 100 utterances of one unit each 20 are wrong: the number of wrong ones drawn is binomial, n = 100, p = 0.2,
    /// whose 2.5 % and 97.5 % quantiles are 12 and 28 (P(X ≤ 12) = 0.0253, P(X ≤ 28) = 0.98). A thousand draws may miss
    /// either by one.
    #[test]
    fn the_interval_is_that_of_the_binomial_distribution() {
        let samples: Vec<Sample> = (0..100).map(|at| sample(u64::from(at < 20), 1)).collect();
        for seed in 1..=5 {
            let Interval { low, high } = rate(&samples, &Entropy::seeded(seed)).unwrap();
            assert!((0.115..=0.14).contains(&low) && (0.27..=0.295).contains(&high), "{low} to {high}");
        }
    }

    #[test]
    fn a_seed_repeats_itself_and_a_pair_is_compared_with_itself() {
        let samples: Vec<Sample> = (0..30).map(|at| sample(at % 4, 7)).collect();
        assert_eq!(rate(&samples, &Entropy::seeded(3)), rate(&samples, &Entropy::seeded(3)));
        let pairs: Vec<_> = samples.iter().map(|one| (*one, *one)).collect();
        let none = difference(&pairs, &Entropy::seeded(3)).unwrap();
        assert_eq!(none, Interval { low: 0.0, high: 0.0 });
        assert!(!none.excludes_zero());
    }

    #[test]
    fn what_is_drawn_is_in_bounds() {
        let chance = Entropy::seeded(9);
        let drawn: Vec<usize> = (0..1_000).map(|_| below(3, &chance)).collect();
        assert!((0..3).all(|number| drawn.iter().filter(|one| **one == number).count() > 250));
        assert_eq!(below(0, &chance), 0);
    }
}
