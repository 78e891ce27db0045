//! What was measured before: a file of JSON Lines, one for each setting and condition of a run.
//!
//! Two runs are compared where everything is the same but the provider: the sounds and references, the session, the
//! condition and its seed, and the rules that make texts comparable.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use super::run::{Evaluation, Measured};
use super::settings::Setting;
use crate::clock::Timestamp;
use crate::speech::distance::Counts;
use crate::speech::measured::{self, Difference, Rate};
use crate::speech::normalise::Unit;

/// The form of a line; raised when a field changes its meaning.
const FORMAT: u32 = 1;
/// The largest history that is read: some ten thousand runs of a small corpus.
const BYTES_MAX: u64 = 64 << 20;

/// One setting under one condition, as it was measured then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    format: u32,
    /// When the run began.
    #[serde(with = "rfc_3339")]
    pub at: Timestamp,
    pub corpus: String,
    pub corpus_digest: String,
    pub seed: u64,
    pub simulated: bool,
    pub rules: u32,
    pub folds_kana: bool,
    pub setting: Setting,
    pub condition: String,
    pub rates: Vec<Rate>,
    pub utterances: Vec<Utterance>,
}

/// An utterance of it, without a word of what was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Utterance {
    pub name: String,
    pub unit: Unit,
    #[serde(flatten)]
    pub counts: Counts,
}

pub(super) mod rfc_3339 {
    //! Times as people and other programs read them.

    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::clock::Timestamp;

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How an entry differs from the one before it of the same kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    /// When that was.
    #[serde(with = "rfc_3339")]
    pub since: Timestamp,
    #[serde(flatten)]
    pub difference: Difference,
}

impl Change {
    /// Claims that it became worse, and not by chance.
    pub fn is_regression(&self) -> bool {
        self.difference.is_clear && self.difference.difference > 0.0
    }
}

impl Entry {
    fn of(evaluation: &Evaluation, measured: &Measured) -> Entry {
        let utterances = measured.outcomes.iter().map(|outcome| Utterance {
            name: outcome.name.clone(),
            unit: outcome.unit,
            counts: outcome.counts,
        });
        Entry {
            format: FORMAT,
            at: evaluation.at,
            corpus: evaluation.corpus.clone(),
            corpus_digest: evaluation.corpus_digest.clone(),
            seed: evaluation.seed,
            simulated: evaluation.simulated,
            rules: evaluation.rules,
            folds_kana: evaluation.folds_kana,
            setting: measured.setting.clone(),
            condition: measured.condition.clone(),
            rates: measured.rates.clone(),
            utterances: utterances.collect(),
        }
    }

    /// Claims that both can be compared.
    pub fn is_like(&self, other: &Entry) -> bool {
        self.corpus_digest == other.corpus_digest
            && self.setting == other.setting
            && self.condition == other.condition
            && (self.seed, self.simulated, self.rules, self.folds_kana)
                == (other.seed, other.simulated, other.rules, other.folds_kana)
    }

    fn counts(&self) -> impl Iterator<Item = (&str, Unit, Counts)> {
        self.utterances.iter().map(|one| (one.name.as_str(), one.unit, one.counts))
    }
}

/// The entries of a run. What was not measured whole is no entry: it could not be compared.
pub(super) fn entries(evaluation: &Evaluation) -> Vec<Entry> {
    let whole = evaluation.measured.iter().filter(|measured| measured.not_measured.is_empty());
    whole.map(|measured| Entry::of(evaluation, measured)).collect()
}

/// How the entry differs from the last one before it that can be compared, one for each unit.
pub(super) fn changes(before: &[Entry], entry: &Entry) -> Vec<Change> {
    let Some(last) = before.iter().rev().find(|one| one.is_like(entry)) else { return Vec::new() };
    let differences = measured::differences(last.counts(), entry.counts(), entry.seed);
    differences.into_iter().map(|difference| Change { since: last.at, difference }).collect()
}

/// The entries of a file, oldest first; none where there is no file.
///
/// # Errors
///
/// It cannot be read, or has a line that is no entry.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut text = String::new();
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => {
            let file = file.with_context(|| format!("{} cannot be read", path.display()))?;
            let read = file.take(BYTES_MAX + 1).read_to_string(&mut text);
            read.with_context(|| format!("{} cannot be read", path.display()))?;
        }
    }
    if text.len() as u64 > BYTES_MAX {
        return Err(anyhow!("{}: it is larger than {BYTES_MAX} bytes: begin a new one", path.display()));
    }
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let entry: Entry = serde_json::from_str(line)
                .with_context(|| format!("{}:{number}: it is no line of a history", path.display()))?;
            match entry.format {
                FORMAT => Ok(entry),
                other => Err(anyhow!(
                    "{}:{number}: it has form {other}, which a newer version wrote",
                    path.display()
                )),
            }
        })
        .collect()
}

/// Puts entries at the end of a file.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn append(path: &Path, entries: &[Entry]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for entry in entries {
        lines.push_str(&serde_json::to_string(entry)?);
        lines.push('\n');
    }
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(lines.as_bytes())).with_context(|| {
        format!("{} cannot be written: name another file with `--history FILE`", path.display())
    })
}
