//! What came of an evaluation: each utterance, and what they sum up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bootstrap::{self, Interval, Sample};
use super::corpus::Utterance;
use super::distance::{Counts, align, count, marked};
use super::normalise::{Rules, Unit};
use crate::clock::Entropy;

/// What became of one utterance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The utterance.
    pub name: String,
    /// What was said.
    pub reference: String,
    /// What was written down.
    pub hypothesis: String,
    /// What is counted.
    pub unit: Unit,
    /// Its tags.
    pub tags: Vec<String>,
    /// What came of it.
    #[serde(flatten)]
    pub counts: Counts,
    /// Reference and hypothesis in one, what differs marked.
    pub marked: String,
    /// What the recogniser or the session said of it besides words, such as that nobody was heard.
    pub notes: Vec<String>,
    /// The errors that the simulated recogniser made, which must be those that were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<Counts>,
}

impl Outcome {
    /// Compares what was said with what was written down.
    pub fn of(utterance: &Utterance, hypothesis: String, notes: Vec<String>, folds_kana: bool) -> Outcome {
        let rules = Rules { unit: utterance.unit, folds_kana };
        let (said, heard) = (rules.units(&utterance.reference), rules.units(&hypothesis));
        let edits = align(&said, &heard);
        Outcome {
            name: utterance.name.clone(),
            reference: utterance.reference.clone(),
            hypothesis,
            unit: utterance.unit,
            tags: utterance.tags.clone(),
            counts: count(&edits),
            marked: marked(&edits, utterance.unit),
            notes,
            injected: None,
        }
    }

    fn sample(&self) -> Sample {
        Sample { edits: self.counts.edits(), units: self.counts.units }
    }
}

/// The rate of all utterances of one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// `CER` or `WER`.
    pub metric: String,
    /// How many utterances.
    pub utterances: u64,
    /// All their edits and units.
    #[serde(flatten)]
    pub counts: Counts,
    /// All edits by all units (micro average).
    pub rate: f64,
    /// The mean of the utterances' rates (macro average): short ones count as much as long ones.
    pub mean: f64,
    /// In which 95 % of the draws of utterances have their micro average.
    pub interval: Interval,
}

/// How two settings differ on the same utterances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// `CER` or `WER`.
    pub metric: String,
    /// How many utterances both have.
    pub utterances: u64,
    /// The second rate minus the first: above zero the second is worse.
    pub difference: f64,
    /// In which 95 % of the draws of utterances have it.
    pub interval: Interval,
    /// Zero is outside of the interval.
    pub is_clear: bool,
}

/// The rates of these outcomes, one for each unit that is in them.
pub fn rates(outcomes: &[Outcome], seed: u64) -> Vec<Rate> {
    let mut by_unit: BTreeMap<Unit, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        by_unit.entry(outcome.unit).or_default().push(outcome);
    }
    by_unit.into_iter().filter_map(|(unit, outcomes)| rate(unit, &outcomes, seed)).collect()
}

fn rate(unit: Unit, outcomes: &[&Outcome], seed: u64) -> Option<Rate> {
    let samples: Vec<Sample> = outcomes.iter().map(|outcome| outcome.sample()).collect();
    let counts = outcomes.iter().map(|outcome| outcome.counts).fold(Counts::default(), Counts::plus);
    let rates: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.counts.rate()).collect();
    Some(Rate {
        metric: unit.rate_name().to_owned(),
        utterances: outcomes.len() as u64,
        counts,
        rate: counts.rate()?,
        mean: rates.iter().sum::<f64>() / rates.len() as f64,
        interval: bootstrap::rate(&samples, &Entropy::seeded(seed))?,
    })
}

/// The rates of the utterances with each tag, by tag.
pub fn by_tag(outcomes: &[Outcome], seed: u64) -> BTreeMap<String, Vec<Rate>> {
    let mut tags: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        for tag in &outcome.tags {
            tags.entry(tag.clone()).or_default().push(outcome.clone());
        }
    }
    tags.into_iter().map(|(tag, outcomes)| (tag, rates(&outcomes, seed))).collect()
}

/// How the second outcomes differ from the first, by name, one for each unit.
pub fn differences<'a>(
    first: impl Iterator<Item = (&'a str, Unit, Counts)>,
    second: impl Iterator<Item = (&'a str, Unit, Counts)>,
    seed: u64,
) -> Vec<Difference> {
    let first: BTreeMap<&str, (Unit, Counts)> =
        first.map(|(name, unit, counts)| (name, (unit, counts))).collect();
    let mut pairs: BTreeMap<Unit, Vec<(Sample, Sample)>> = BTreeMap::new();
    let sample = |counts: Counts| Sample { edits: counts.edits(), units: counts.units };
    for (name, unit, counts) in second {
        if let Some((_, before)) = first.get(name).filter(|(before, _)| *before == unit) {
            pairs.entry(unit).or_default().push((sample(*before), sample(counts)));
        }
    }
    pairs.into_iter().filter_map(|(unit, pairs)| difference(unit, &pairs, seed)).collect()
}

fn difference(unit: Unit, pairs: &[(Sample, Sample)], seed: u64) -> Option<Difference> {
    let rate = |of: fn(&(Sample, Sample)) -> Sample| {
        let sum = pairs.iter().map(of).fold((0, 0), |sum, one| (sum.0 + one.edits, sum.1 + one.units));
        sum.0 as f64 / sum.1.max(1) as f64
    };
    let interval = bootstrap::difference(pairs, &Entropy::seeded(seed))?;
    Some(Difference {
        metric: unit.rate_name().to_owned(),
        utterances: pairs.len() as u64,
        difference: rate(|pair| pair.1) - rate(|pair| pair.0),
        interval,
        is_clear: interval.excludes_zero(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, reference: &str, hypothesis: &str, tag: &str) -> Outcome {
        let unit = Unit::of_text(reference);
        let (reference, tags, name) = (reference.to_owned(), vec![tag.to_owned()], name.to_owned());
        let utterance = Utterance { name, reference, unit, tags, samples: Vec::new() };
        Outcome::of(&utterance, hypothesis.to_owned(), Vec::new(), true)
    }

    #[test]
    fn long_utterances_count_more_in_the_micro_average() {
        // 1 of 2 characters and 2 of 8: 3/10 of all; (1/2 + 2/8) / 2 = 3/8 in the mean. Words apart: 1/2.
        let outcomes = [
            outcome("a", "はい", "はえ", "yes"),
            outcome("b", "お願いいたします", "お願いいたしました", "polite"),
            outcome("c", "Yes please", "Yes", "yes"),
        ];
        let rates = rates(&outcomes, 1);
        let found: Vec<_> =
            rates.iter().map(|rate| (rate.metric.as_str(), rate.counts.edits(), rate.counts.units)).collect();
        assert_eq!(found, [("CER", 3, 10), ("WER", 1, 2)]);
        assert_eq!((rates[0].rate, rates[0].mean), (3.0 / 10.0, (1.0 / 2.0 + 2.0 / 8.0) / 2.0));
        assert!(rates[0].interval.low <= rates[0].rate && rates[0].rate <= rates[0].interval.high);
        let tags = by_tag(&outcomes, 1);
        assert_eq!((tags["yes"].len(), tags["polite"][0].counts.edits()), (2, 2));
    }

    #[test]
    fn what_both_have_is_compared() {
        let first = [outcome("a", "はい", "はい", "x"), outcome("b", "はい", "はい", "x")];
        let second = [outcome("b", "はい", "いえ", "x"), outcome("c", "はい", "", "x")];
        let of = |outcomes: &'static [Outcome]| {
            outcomes.iter().map(|one| (one.name.as_str(), one.unit, one.counts))
        };
        let (first, second) = (Box::leak(Box::new(first)), Box::leak(Box::new(second)));
        let found = differences(of(first), of(second), 1);
        assert_eq!(
            (found.len(), found[0].utterances, found[0].difference, found[0].is_clear),
            (1, 1, 1.0, true)
        );
    }
}
