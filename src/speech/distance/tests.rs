//! Rates computed by hand: reference, hypothesis, what became of each unit, and the fraction that follows.

use proptest::prelude::*;

use super::*;
use crate::speech::normalise::Rules;

/// A case worked out on paper.
struct Case {
    reference: &'static str,
    hypothesis: &'static str,
    /// Substitutions, deletions, insertions; units of the reference.
    expected: (u64, u64, u64, u64),
}

const fn case(reference: &'static str, hypothesis: &'static str, expected: (u64, u64, u64, u64)) -> Case {
    Case { reference, hypothesis, expected }
}

/// Characters. The units of a reference are written out where the rules change it.
const CHARACTERS: [Case; 19] = [
    // は い: nothing changed. 0/2
    case("はい", "はい", (0, 0, 0, 2)),
    // は い: い is え. 1/2
    case("はい", "はえ", (1, 0, 0, 2)),
    // は い: い is missing. 1/2
    case("はい", "は", (0, 1, 0, 2)),
    // は い: one more は before. 1/2
    case("はい", "ははい", (0, 0, 1, 2)),
    // Nothing came: all 4 of も し も し are missing. 4/4
    case("もしもし", "", (0, 4, 0, 4)),
    // は い to い い え: は is い, い stays, え is new. 2/2. (い before, い to い, は gone would be 3.)
    case("はい", "いいえ", (1, 0, 1, 2)),
    // Said twice: も し も し and 4 new ones. 4/4
    case("もしもし", "もしもしもしもし", (0, 0, 4, 4)),
    // 山 本 様: 本 is 元. The stop and the space are nothing. 1/3
    case("山本様。", "山元 様", (1, 0, 0, 3)),
    // Katakana is hiragana: さ く ら. 0/3
    case("サクラ", "さくら", (0, 0, 0, 3)),
    // Half width is full width, and hiragana: が. 0/1
    case("ｶﾞ", "が", (0, 0, 0, 1)),
    // 三時 is 3 時. 0/2
    case("三時", "3時", (0, 0, 0, 2)),
    // 2 3 日 to 2 3 日; the reference has 3 units, not the 4 of 二十三日. 0/3
    case("二十三日", "２３日", (0, 0, 0, 3)),
    // 2 3 日 to 2 4 日: one digit is another. 1/3
    case("二十三日", "24日", (1, 0, 0, 3)),
    // 1 5 0 0 円 to 1 5 0 0 円. 0/5
    case("千五百円", "1,500円", (0, 0, 0, 5)),
    // 0 3 1 2 3 4 5 6 7 8 to 0 3 1 2 3 4 5 6 8: 7 is missing. 1/10
    case("03-1234-5678", "〇三 一二三四 五六八", (0, 1, 0, 10)),
    // a 1 0 0 1 to a 1 0 0 1. 0/5
    case("Ａ－１００１", "a1001", (0, 0, 0, 5)),
    // A single numeral that may be a word stays: 一 緒 to い っ し ょ: 2 others and 2 new. 4/2
    case("一緒", "いっしょ", (2, 0, 2, 2)),
    // 予 約 を お 願 い し ま す to 予 約 お 願 い し ま し た: を is gone, す is し, た is new. 3/9
    case("予約をお願いします", "予約お願いしました", (1, 1, 1, 9)),
    // き よ う to よ う き: き is gone in front and new at the end. 2/3 (place by place it would be 3).
    case("きよう", "ようき", (0, 1, 1, 3)),
];

/// Words.
const WORDS: [Case; 13] = [
    // yes: nothing changed. 0/1
    case("Yes.", "yes", (0, 0, 0, 1)),
    // where is my order: my is the. 1/4
    case("Where is my order?", "where is the order", (1, 0, 0, 4)),
    // where is my order: is is missing. 1/4
    case("Where is my order?", "Where my order", (0, 1, 0, 4)),
    // where is my order: new is new. 1/4
    case("Where is my order?", "Where is my new order?", (0, 0, 1, 4)),
    // Nothing came. 2/2
    case("Good morning", "...", (0, 2, 0, 2)),
    // dont to do not: dont is do, not is new. 2/1
    case("Don't", "do not", (1, 0, 1, 1)),
    // twenty one: the hyphen parts words. 0/2
    case("twenty-one", "Twenty One", (0, 0, 0, 2)),
    // 1250 to 1250: the comma is of thousands. 0/1
    case("1,250", "1250", (0, 0, 0, 1)),
    // 3.5 to 35: the point counts between digits. 1/1
    case("3.5", "35", (1, 0, 0, 1)),
    // a b c d to d a b c: d is new in front and gone at the end. 2/4
    case("a b c d", "d a b c", (0, 1, 1, 4)),
    // a b c to x y z w: all three are others, one is new. 4/3
    case("a b c", "x y z w", (3, 0, 1, 3)),
    // Two words heard as one: book is bookkeeper, keeper is gone. 2/2
    case("book keeper", "bookkeeper", (1, 1, 0, 2)),
    // strasse to strasse: folded. 0/1
    case("Straße", "STRASSE", (0, 0, 0, 1)),
];

fn rules(unit: Unit) -> Rules {
    Rules { unit, folds_kana: true }
}

fn compared(unit: Unit, reference: &str, hypothesis: &str) -> Counts {
    let (reference, hypothesis) = (rules(unit).units(reference), rules(unit).units(hypothesis));
    count(&align(&reference, &hypothesis))
}

#[test]
fn rates_are_those_computed_by_hand() {
    let characters = CHARACTERS.iter().map(|case| (Unit::Characters, case));
    for (unit, case) in characters.chain(WORDS.iter().map(|case| (Unit::Words, case))) {
        let counts = compared(unit, case.reference, case.hypothesis);
        let found = (counts.substitutions, counts.deletions, counts.insertions, counts.units);
        assert_eq!(found, case.expected, "{} → {}", case.reference, case.hypothesis);
    }
    const { assert!(CHARACTERS.len() + WORDS.len() >= 25) };
}

/// All character cases as one corpus.
#[test]
fn the_corpus_rate_is_all_edits_by_all_units() {
    let all = CHARACTERS.iter().map(|case| compared(Unit::Characters, case.reference, case.hypothesis));
    let sum = all.fold(Counts::default(), Counts::plus);
    // Edits, case by case:  0+1+1+1+4+2+4+1+0+0+0+0+1+0+1+0+4+3+2 = 25
    // Units, case by case:  2+2+2+2+4+2+4+3+3+1+2+3+3+5+10+5+2+9+3 = 67
    assert_eq!((sum.edits(), sum.units), (25, 67));
    assert_eq!(sum.rate(), Some(25.0 / 67.0));
    assert_eq!(Counts::default().rate(), None);
}

#[test]
fn edits_are_marked_without_colour() {
    for (unit, reference, hypothesis, expected) in [
        (Unit::Characters, "予約をお願いします", "予約お願いしました", "予約[-を-]お願いしま[-す-]{+した+}"),
        (Unit::Characters, "はい", "はい", "はい"),
        (Unit::Characters, "はい", "", "[-はい-]"),
        (
            Unit::Words,
            "Where is my order",
            "where my new order please",
            "where [-is-] my {+new+} order {+please+}",
        ),
        (Unit::Words, "a b c", "a x y c", "a [-b-]{+x y+} c"),
    ] {
        let (reference, hypothesis) = (rules(unit).units(reference), rules(unit).units(hypothesis));
        assert_eq!(marked(&align(&reference, &hypothesis), unit), expected);
    }
}

#[test]
fn beyond_the_bound_everything_is_wrong() {
    let unit = |text: &str| text.to_owned();
    let long = vec![unit("a"); UNITS_MAX + 3];
    let counts = count(&align(&long, &long));
    assert_eq!((counts.units, counts.deletions, counts.insertions), (UNITS_MAX as u64 + 3, 3, 3));
}

fn as_another_has_it(reference: &Vec<String>, hypothesis: &Vec<String>) -> usize {
    strsim::generic_levenshtein::<Vec<String>, Vec<String>, &String, &String>(reference, hypothesis)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// As another's implementation has it, which gives the distance alone; and the edits make one of the other.
    #[test]
    fn the_distance_is_the_shortest(
        reference in proptest::collection::vec("[abc]", 0..24),
        hypothesis in proptest::collection::vec("[abc]", 0..24),
    ) {
        let edits = align(&reference, &hypothesis);
        prop_assert_eq!(count(&edits).edits(), as_another_has_it(&reference, &hypothesis) as u64);
        let said: Vec<&str> = edits.iter().filter_map(|edit| match edit {
            Edit::Same(unit) | Edit::Substituted(unit, _) | Edit::Deleted(unit) => Some(*unit),
            Edit::Inserted(_) => None,
        }).collect();
        let heard: Vec<&str> = edits.iter().filter_map(|edit| match edit {
            Edit::Same(unit) | Edit::Substituted(_, unit) | Edit::Inserted(unit) => Some(*unit),
            Edit::Deleted(_) => None,
        }).collect();
        prop_assert_eq!(said, reference.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(heard, hypothesis.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
