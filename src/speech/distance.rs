//! The fewest edits between two rows of units, and which they are (Levenshtein 1966; Wagner and Fischer 1974).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::normalise::Unit;

/// The most units of either side that are compared: a minute of fast speech is a third of it. The table of both has
/// four million places of four bytes.
pub const UNITS_MAX: usize = 2_000;

/// What one edit costs. A substitution costs a little more than that, so that of several shortest ways the one with
/// most units right is taken; the little must never add up to one edit.
const EDIT: u32 = 1 << 16;

/// How many edits there are, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units of the reference.
    pub units: u64,
    /// Other units in their place.
    pub substitutions: u64,
    /// Units that are missing.
    pub deletions: u64,
    /// Units that nobody said.
    pub insertions: u64,
}

impl Counts {
    /// All edits.
    pub fn edits(self) -> u64 {
        self.substitutions + self.deletions + self.insertions
    }

    /// Edits by units: 0 is perfect, and with many insertions it is more than 1. Without units there is no rate.
    pub fn rate(self) -> Option<f64> {
        (self.units > 0).then(|| self.edits() as f64 / self.units as f64)
    }

    /// Both together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            units: self.units + other.units,
            substitutions: self.substitutions + other.substitutions,
            deletions: self.deletions + other.deletions,
            insertions: self.insertions + other.insertions,
        }
    }
}

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// It is there.
    Same(&'a str),
    /// Another one is there.
    Substituted(&'a str, &'a str),
    /// It is missing.
    Deleted(&'a str),
    /// Nobody said it.
    Inserted(&'a str),
}

/// How the hypothesis is made of the reference with the fewest edits; of several such ways the one with most units
/// right. What goes beyond [`UNITS_MAX`] on either side is all missing, or said by nobody.
pub fn align<'a>(reference: &'a [String], hypothesis: &'a [String]) -> Vec<Edit<'a>> {
    let (reference, reference_rest) = reference.split_at(reference.len().min(UNITS_MAX));
    let (hypothesis, hypothesis_rest) = hypothesis.split_at(hypothesis.len().min(UNITS_MAX));
    let mut edits = shortest(reference, hypothesis);
    edits.extend(reference_rest.iter().map(|unit| Edit::Deleted(unit)));
    edits.extend(hypothesis_rest.iter().map(|unit| Edit::Inserted(unit)));
    edits
}

fn shortest<'a>(reference: &'a [String], hypothesis: &'a [String]) -> Vec<Edit<'a>> {
    let width = hypothesis.len() + 1;
    // Place (i, j): what it costs to make the first j of the hypothesis of the first i of the reference.
    let mut costs = vec![0u32; (reference.len() + 1) * width];
    let step = |i: usize, j: usize| if reference[i] == hypothesis[j] { 0 } else { EDIT + 1 };
    for i in 0..=reference.len() {
        for j in 0..width {
            let diagonal = (i > 0 && j > 0).then(|| costs[(i - 1) * width + j - 1] + step(i - 1, j - 1));
            let deleted = (i > 0).then(|| costs[(i - 1) * width + j] + EDIT);
            let inserted = (j > 0).then(|| costs[i * width + j - 1] + EDIT);
            let least = [diagonal, deleted, inserted].into_iter().flatten().min();
            costs[i * width + j] = least.unwrap_or(0);
        }
    }
    let mut edits = Vec::with_capacity(reference.len().max(hypothesis.len()));
    let (mut i, mut j) = (reference.len(), hypothesis.len());
    while i > 0 || j > 0 {
        let here = costs[i * width + j];
        if i > 0 && j > 0 && here == costs[(i - 1) * width + j - 1] + step(i - 1, j - 1) {
            (i, j) = (i - 1, j - 1);
            edits.push(match reference[i] == hypothesis[j] {
                true => Edit::Same(&reference[i]),
                false => Edit::Substituted(&reference[i], &hypothesis[j]),
            });
        } else if i > 0 && here == costs[(i - 1) * width + j] + EDIT {
            i -= 1;
            edits.push(Edit::Deleted(&reference[i]));
        } else {
            j -= 1;
            edits.push(Edit::Inserted(&hypothesis[j]));
        }
    }
    edits.reverse();
    edits
}

/// The edits counted.
pub fn count(edits: &[Edit<'_>]) -> Counts {
    let mut counts = Counts::default();
    for edit in edits {
        match edit {
            Edit::Same(_) => counts.units += 1,
            Edit::Substituted(..) => {
                (counts.units, counts.substitutions) = (counts.units + 1, counts.substitutions + 1)
            }
            Edit::Deleted(_) => (counts.units, counts.deletions) = (counts.units + 1, counts.deletions + 1),
            Edit::Inserted(_) => counts.insertions += 1,
        }
    }
    counts
}

/// The edits as `wdiff` writes them: `[-missing-]`, `{+nobody said it+}`, both for another one. It needs no colour
/// and no two lines that a wide letter would push apart.
pub fn marked(edits: &[Edit<'_>], unit: Unit) -> String {
    let separator = unit.separator();
    let mut text = String::new();
    let (mut gone, mut come): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut push = |part: &str| {
        if !text.is_empty() {
            text.push_str(separator);
        }
        text.push_str(part);
    };
    for edit in edits.iter().map(Some).chain([None]) {
        match edit {
            Some(Edit::Deleted(unit)) => gone.push(unit),
            Some(Edit::Inserted(unit)) => come.push(unit),
            Some(Edit::Substituted(old, new)) => {
                gone.push(old);
                come.push(new);
            }
            Some(Edit::Same(_)) | None => {
                let mut part = String::new();
                if !gone.is_empty() {
                    let _ = write!(part, "[-{}-]", gone.join(separator));
                }
                if !come.is_empty() {
                    let _ = write!(part, "{{+{}+}}", come.join(separator));
                }
                if !part.is_empty() {
                    push(&part);
                }
                gone.clear();
                come.clear();
                if let Some(Edit::Same(unit)) = edit {
                    push(unit);
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
