//! The whole of a run: every utterance under every condition and setting, and what follows from it.

use std::collections::BTreeMap;

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::bridge::Bridge;
use super::connect::{Provider, Simulated};
use super::play::{Heard, Player};
use super::settings::{Prepared, Setting};
use crate::clock::{Entropy, Timestamp};
use crate::sim::mishearing::{Errors, Misheard, mishear};
use crate::speech::condition::Condition;
use crate::speech::corpus::{Corpus, Utterance};
use crate::speech::distance::Counts;
use crate::speech::measured::{self, Difference, Outcome, Rate};
use crate::speech::normalise::{RULES_VERSION, Rules, Unit};
use crate::speech::wave::RATE_HZ;
use crate::wire::g711;

/// Silence of the line before and behind an utterance: it is part of what a condition is applied to.
const LEAD_MS: u64 = 300;
const TAIL_MS: u64 = 700;

/// What is measured, and how.
pub(super) struct Plan {
    pub corpus: Corpus,
    /// What the corpus is called.
    pub name: String,
    pub conditions: Vec<Condition>,
    pub folds_kana: bool,
    pub seed: u64,
    pub speed: f64,
    /// Sessions at once.
    pub concurrency: usize,
    /// What the simulated recogniser mishears, one for each setting, the last one for the rest.
    pub errors: Vec<Errors>,
    /// Over a whole gateway and a simulated carrier.
    pub over_bridge: bool,
}

/// What was measured in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// When it began.
    #[serde(with = "super::history::rfc_3339")]
    pub at: Timestamp,
    /// What the corpus is called.
    pub corpus: String,
    /// Changes with every sound and reference of it.
    pub corpus_digest: String,
    /// How many utterances it has.
    pub utterances: u64,
    /// How long they sound together, in seconds.
    pub seconds: f64,
    /// What conditions and intervals come from.
    pub seed: u64,
    /// The provider was simulated: the numbers say nothing of any recogniser.
    pub simulated: bool,
    /// Which rules made texts comparable.
    pub rules: u32,
    /// Katakana counted as hiragana.
    pub folds_kana: bool,
    /// Each setting under each condition.
    pub measured: Vec<Measured>,
    /// Each setting compared with the first one, under each condition.
    pub differences: Vec<SettingDifference>,
}

/// One setting under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The setting.
    pub setting: Setting,
    /// The condition.
    pub condition: String,
    /// The rates, one for each unit that is counted.
    pub rates: Vec<Rate>,
    /// The same by tag.
    pub by_tag: BTreeMap<String, Vec<Rate>>,
    /// Each utterance, in the order of the corpus.
    pub outcomes: Vec<Outcome>,
    /// What could not be measured; it is in no rate.
    pub not_measured: Vec<NotMeasured>,
}

/// An utterance that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMeasured {
    /// The utterance.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// How a setting differs from the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingDifference {
    /// The first.
    pub first: Setting,
    /// The other.
    pub second: Setting,
    /// Under which condition.
    pub condition: String,
    /// How.
    #[serde(flatten)]
    pub difference: Difference,
}

impl Evaluation {
    /// Claims that everything was measured, and where the recogniser was simulated exactly its errors were.
    pub fn is_exact(&self) -> bool {
        self.measured.iter().all(|measured| {
            let exact = |outcome: &Outcome| outcome.injected.is_none_or(|errors| errors == outcome.counts);
            measured.not_measured.is_empty() && measured.outcomes.iter().all(exact)
        })
    }
}

/// Plays everything.
///
/// # Errors
///
/// Where there is nothing to play.
pub(super) async fn run(
    plan: &Plan,
    provider: Provider,
    at: Timestamp,
    progress: &ProgressBar,
) -> anyhow::Result<Evaluation> {
    if plan.corpus.utterances.is_empty() || provider.prepared.is_empty() {
        return Err(anyhow!("there is nothing to play"));
    }
    let player = Player { connector: provider.connector.clone(), speed: plan.speed };
    let mut measured = Vec::new();
    // One setting after the other, so that a simulated recogniser knows which one it hears.
    for (number, prepared) in provider.prepared.iter().enumerate() {
        let errors = plan.errors.get(number).or(plan.errors.last()).copied().unwrap_or_default();
        let way = match plan.over_bridge {
            true => Way::Bridge(Box::new(Bridge::start(&provider.openai, prepared).await?)),
            false => Way::Session(&player),
        };
        let one = One { plan, way: &way, prepared, simulated: provider.simulated.as_ref(), errors };
        let mut part = empty(plan, prepared);
        let played = one.play(progress).await;
        if let Way::Bridge(bridge) = way {
            bridge.stop().await;
        }
        for (place, outcome) in played {
            match outcome {
                Ok(outcome) => part[place].outcomes.push(outcome),
                Err(not_measured) => part[place].not_measured.push(not_measured),
            }
        }
        measured.extend(part);
    }
    for measured in &mut measured {
        measured.rates = measured::rates(&measured.outcomes, plan.seed);
        measured.by_tag = measured::by_tag(&measured.outcomes, plan.seed);
    }
    Ok(Evaluation {
        at,
        corpus: plan.name.clone(),
        corpus_digest: plan.corpus.digest.clone(),
        utterances: plan.corpus.utterances.len() as u64,
        seconds: plan.corpus.duration().as_secs_f64(),
        seed: plan.seed,
        simulated: provider.simulated.is_some(),
        rules: RULES_VERSION,
        folds_kana: plan.folds_kana,
        differences: differences(&measured, plan.seed),
        measured,
    })
}

/// A setting under each condition, of which nothing is known yet.
fn empty(plan: &Plan, prepared: &Prepared) -> Vec<Measured> {
    let each = plan.conditions.iter().map(|condition| Measured {
        setting: prepared.setting.clone(),
        condition: condition.to_string(),
        rates: Vec::new(),
        by_tag: BTreeMap::new(),
        outcomes: Vec::new(),
        not_measured: Vec::new(),
    });
    each.collect()
}

/// Which way the sound goes.
enum Way<'a> {
    Session(&'a Player),
    Bridge(Box<Bridge>),
}

/// One setting, and all that is played to it.
struct One<'a> {
    plan: &'a Plan,
    way: &'a Way<'a>,
    prepared: &'a Prepared,
    simulated: Option<&'a Simulated>,
    errors: Errors,
}

impl One<'_> {
    /// What came of each utterance under each condition, in order, with the place of the condition.
    async fn play(&self, progress: &ProgressBar) -> Vec<(usize, Result<Outcome, NotMeasured>)> {
        let each = self.plan.conditions.iter().enumerate().flat_map(|(place, condition)| {
            self.plan.corpus.utterances.iter().map(move |utterance| (place, condition, utterance))
        });
        let playing = each.map(|(place, condition, utterance)| async move {
            let outcome = Box::pin(self.play_one(condition, utterance)).await;
            progress.inc(1);
            (place, outcome)
        });
        stream::iter(playing).buffered(self.plan.concurrency).collect().await
    }

    async fn play_one(&self, condition: &Condition, utterance: &Utterance) -> Result<Outcome, NotMeasured> {
        let sound = sound(utterance, condition, self.plan.seed);
        let misheard = self.simulated.map(|simulated| (simulated, self.misheard(utterance)));
        let (_expected, injected) = match misheard {
            Some((simulated, Misheard { text, errors })) => {
                (Some(simulated.expect(&self.prepared.setting, &sound, text)), Some(errors))
            }
            None => (None, None),
        };
        let heard = match self.way {
            Way::Session(player) => player.play(self.prepared, &sound).await,
            Way::Bridge(bridge) => bridge.play(&sound).await,
        };
        match heard {
            Ok(Heard { words, notes }) => {
                let outcome = Outcome::of(utterance, words, notes, self.plan.folds_kana);
                Ok(Outcome { injected, ..outcome })
            }
            Err(reason) => Err(NotMeasured { name: utterance.name.clone(), reason }),
        }
    }

    /// The same under every condition: a made-up recogniser does not mind noise.
    fn misheard(&self, utterance: &Utterance) -> Misheard {
        let rules = Rules { unit: utterance.unit, folds_kana: self.plan.folds_kana };
        let chance = seeded(self.plan.seed, &[&self.prepared.setting.digest, &utterance.name]);
        mishear(&utterance.reference, rules, self.errors, &chance)
    }
}

/// An utterance as the line carries it: with silence around it, under a condition, in whole frames of μ-law.
fn sound(utterance: &Utterance, condition: &Condition, seed: u64) -> Vec<u8> {
    let silence = |ms: u64| std::iter::repeat_n(0i16, (ms * u64::from(RATE_HZ) / 1_000) as usize);
    let voice = utterance.samples.iter().copied();
    let mut samples: Vec<i16> = silence(LEAD_MS).chain(voice).chain(silence(TAIL_MS)).collect();
    samples.resize(samples.len().next_multiple_of(160), 0);
    condition.apply(&mut samples, &seeded(seed, &[&condition.to_string(), &utterance.name]));
    samples.into_iter().map(g711::encode).collect()
}

/// Chance that is the same for the same seed and names, whatever else is in the run.
fn seeded(seed: u64, names: &[&str]) -> Entropy {
    let mut digest = Sha256::new_with_prefix(seed.to_le_bytes());
    for name in names {
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name);
    }
    let digest = digest.finalize();
    let first: [u8; 8] = std::array::from_fn(|at| digest[at]);
    Entropy::seeded(u64::from_le_bytes(first))
}

fn differences(measured: &[Measured], seed: u64) -> Vec<SettingDifference> {
    let mut differences = Vec::new();
    for second in measured {
        let is_first = |first: &&Measured| first.condition == second.condition;
        let Some(first) = measured.iter().find(is_first).filter(|first| first.setting != second.setting)
        else {
            continue;
        };
        let each = measured::differences(counts(&first.outcomes), counts(&second.outcomes), seed);
        differences.extend(each.into_iter().map(|difference| SettingDifference {
            first: first.setting.clone(),
            second: second.setting.clone(),
            condition: second.condition.clone(),
            difference,
        }));
    }
    differences
}

fn counts(outcomes: &[Outcome]) -> impl Iterator<Item = (&str, Unit, Counts)> {
    outcomes.iter().map(|outcome| (outcome.name.as_str(), outcome.unit, outcome.counts))
}
