//! A recogniser that mishears by the number: so many substitutions, deletions and insertions, no more and no fewer.
//!
//! What it puts in stands nowhere in the reference, so it can be nothing that was said; what it changes stands apart.
//! That the fewest edits are as many as were made is looked at with another implementation ([`strsim`]) than the one
//! that measures; where it is not so, other places are tried. With n units of the reference, S, D and I edits and no
//! new unit right, at most n - S - D units are right; so of several shortest ways the one with most units right has
//! exactly these S, D and I.

use std::str::FromStr;

use crate::clock::Entropy;
use crate::speech::bootstrap::below;
use crate::speech::distance::Counts;
use crate::speech::normalise::{Rules, Unit};

/// The most errors of each kind in one utterance.
const EACH_MAX: u32 = 20;
/// How often places are tried; a short reference may have none.
const TRIES: usize = 50;
/// Units that nobody says on the telephone.
const FRESH_CHARACTERS: [&str; 8] = ["龘", "鱻", "麤", "驫", "齾", "靐", "龗", "爨"];
const FRESH_WORDS: [&str; 8] = ["xyzzy", "plugh", "frobnitz", "quux", "grault", "garply", "fnord", "zyzzyva"];

/// How many errors there are at most in an utterance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// Other units.
    pub substitutions: u32,
    /// Missing units.
    pub deletions: u32,
    /// Units that nobody said.
    pub insertions: u32,
}

impl FromStr for Errors {
    type Err = String;

    /// Reads `1,2,0`: substitutions, deletions, insertions.
    fn from_str(text: &str) -> Result<Errors, String> {
        let numbers: Option<Vec<u32>> = text
            .split(',')
            .map(|number| number.trim().parse().ok().filter(|number| *number <= EACH_MAX))
            .collect();
        match numbers.as_deref() {
            Some([substitutions, deletions, insertions]) => {
                Ok(Errors { substitutions: *substitutions, deletions: *deletions, insertions: *insertions })
            }
            _ => Err(format!(
                "write substitutions, deletions and insertions of an utterance, 0 to {EACH_MAX} each: `1,1,0`"
            )),
        }
    }
}

/// What was written down, and how it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misheard {
    /// The words.
    pub text: String,
    /// The errors in them.
    pub errors: Counts,
}

/// Mishears the reference with up to so many errors of each kind.
pub fn mishear(reference: &str, rules: Rules, errors: Errors, chance: &Entropy) -> Misheard {
    let units = rules.units(reference);
    for _ in 0..TRIES {
        if let Some(misheard) = attempt(&units, rules, errors, chance) {
            return misheard;
        }
    }
    let errors = Counts { units: units.len() as u64, ..Counts::default() };
    Misheard { text: reference.to_owned(), errors }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Substitute,
    Delete,
    Insert,
}

fn attempt(units: &[String], rules: Rules, errors: Errors, chance: &Entropy) -> Option<Misheard> {
    let Errors { substitutions, deletions, insertions } = errors;
    let kinds = [(Kind::Substitute, substitutions), (Kind::Delete, deletions), (Kind::Insert, insertions)];
    let drawn: Vec<Kind> = kinds
        .into_iter()
        .flat_map(|(kind, most)| std::iter::repeat_n(kind, below(most as usize + 1, chance)))
        .collect();
    // Every other place, so that two edits do not stand side by side.
    let mut places: Vec<usize> = (below(2, chance)..units.len()).step_by(2).collect();
    for at in (1..places.len()).rev() {
        places.swap(at, below(at + 1, chance));
    }
    let edits: Vec<(usize, Kind)> = places.into_iter().zip(drawn).collect();
    let count = |kind: Kind| edits.iter().filter(|(_, one)| *one == kind).count() as u64;
    let errors = Counts {
        units: units.len() as u64,
        substitutions: count(Kind::Substitute),
        deletions: count(Kind::Delete),
        insertions: count(Kind::Insert),
    };
    let mut heard: Vec<String> = Vec::with_capacity(units.len());
    for (at, unit) in units.iter().enumerate() {
        match edits.iter().find(|(place, _)| *place == at).map(|(_, kind)| *kind) {
            Some(Kind::Substitute) => heard.push(fresh(units, rules.unit, chance)?),
            Some(Kind::Delete) => {}
            Some(Kind::Insert) => heard.extend([fresh(units, rules.unit, chance)?, unit.clone()]),
            None => heard.push(unit.clone()),
        }
    }
    // With a stop, as recognisers write it.
    let stop = if rules.unit == Unit::Characters { "。" } else { "." };
    let text = heard.join(rules.unit.separator()) + stop;
    let is_exact = distance(units, &heard) as u64 == errors.edits() && rules.units(&text) == heard;
    is_exact.then_some(Misheard { text, errors })
}

/// A unit that the reference does not have.
fn fresh(units: &[String], unit: Unit, chance: &Entropy) -> Option<String> {
    let all = if unit == Unit::Characters { FRESH_CHARACTERS } else { FRESH_WORDS };
    let free: Vec<&str> = all.into_iter().filter(|one| units.iter().all(|unit| unit != one)).collect();
    free.get(below(free.len(), chance)).map(|one| (*one).to_owned())
}

fn distance(reference: &[String], hypothesis: &[String]) -> usize {
    let (reference, hypothesis) = (reference.to_vec(), hypothesis.to_vec());
    strsim::generic_levenshtein::<Vec<String>, Vec<String>, &String, &String>(&reference, &hypothesis)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::speech::distance::{align, count};

    #[test]
    fn errors_are_read() {
        let expected = Errors { substitutions: 1, deletions: 2, insertions: 0 };
        assert_eq!("1, 2,0".parse(), Ok(expected));
        for text in ["", "1,2", "1,2,3,4", "a,b,c", "-1,0,0", "21,0,0"] {
            assert!(text.parse::<Errors>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_misheard_where_nothing_shall_be() {
        let rules = Rules { unit: Unit::Characters, folds_kana: true };
        let misheard = mishear("はい、そうです。", rules, Errors::default(), &Entropy::seeded(1));
        assert_eq!((misheard.text.as_str(), misheard.errors.edits()), ("はいそうです。", 0));
    }

    proptest! {
        /// By kind, with the alignment that measures.
        #[test]
        fn what_is_measured_is_what_was_made(
            japanese in "[あいうえおはいそうです二十三千円時A-C0-9。、]{0,40}",
            english in "([a-d]{1,3} ){0,20}",
            seed in any::<u64>(),
            most in 0..5u32,
        ) {
            let errors = Errors { substitutions: most, deletions: most, insertions: most };
            for (text, unit) in [(&japanese, Unit::Characters), (&english, Unit::Words)] {
                let rules = Rules { unit, folds_kana: true };
                let misheard = mishear(text, rules, errors, &Entropy::seeded(seed));
                let (said, heard) = (rules.units(text), rules.units(&misheard.text));
                prop_assert_eq!(count(&align(&said, &heard)), misheard.errors, "{} {}", text, misheard.text);
            }
        }
    }
}
