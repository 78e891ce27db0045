//! Texts made comparable: what is written differently but said the same becomes the same units.
//!
//! The rules are a table in `docs/speech.md`; whoever changes one raises [`RULES_VERSION`], so that rates of before and
//! after are not compared. They are applied to reference and hypothesis alike.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::numerals;

/// Which rules these are.
pub const RULES_VERSION: u32 = 1;

/// Languages that write no spaces between words (ISO 639-1): their units are characters.
const WITHOUT_SPACES: [&str; 7] = ["ja", "zh", "th", "lo", "km", "my", "bo"];

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Characters: the rate is the CER.
    Characters,
    /// Words: the rate is the WER.
    Words,
}

impl Unit {
    /// The unit of a language, by its code: `ja`, `en-US`.
    pub fn of_language(code: &str) -> Unit {
        let primary = code.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        if WITHOUT_SPACES.contains(&primary.as_str()) { Unit::Characters } else { Unit::Words }
    }

    /// The unit of a text whose language nobody told: characters where kana or Chinese characters are in it.
    pub fn of_text(text: &str) -> Unit {
        let is_spaceless = |letter: char| {
            let is_kana = matches!(letter, '\u{3041}'..='\u{30FF}' | '\u{FF66}'..='\u{FF9D}');
            is_kana || matches!(letter, '\u{3400}'..='\u{9FFF}')
        };
        if text.chars().any(is_spaceless) { Unit::Characters } else { Unit::Words }
    }

    /// What the rate is called.
    pub fn rate_name(self) -> &'static str {
        match self {
            Unit::Characters => "CER",
            Unit::Words => "WER",
        }
    }

    /// What stands between two units.
    pub fn separator(self) -> &'static str {
        match self {
            Unit::Characters => "",
            Unit::Words => " ",
        }
    }
}

/// How texts are made comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What is counted.
    pub unit: Unit,
    /// Katakana counts as the same hiragana.
    pub folds_kana: bool,
}

impl Rules {
    /// The units of a text.
    pub fn units(self, text: &str) -> Vec<String> {
        match self.unit {
            Unit::Characters => characters(text, self.folds_kana),
            Unit::Words => words(text),
        }
    }
}

fn characters(text: &str, folds_kana: bool) -> Vec<String> {
    let arabic = numerals::to_arabic(&without_thousands(&canonical(text)));
    let is_said = |before: Option<char>, letter: char, after: Option<char>| {
        let is_between_digits = is_digit(before) && is_digit(after);
        match letter {
            '.' => is_between_digits,
            // The sound mark stands for a hyphen there.
            'ー' => !is_between_digits,
            _ => is_kept(letter),
        }
    };
    let fold = |letter: char| if folds_kana { hiragana(letter) } else { letter };
    with_neighbours(&arabic, is_said).map(|letter| fold(letter).to_string()).collect()
}

fn words(text: &str) -> Vec<String> {
    let text = without_thousands(&canonical(text));
    let text: String = text.chars().filter(|letter| !matches!(letter, '\'' | '’' | 'ʼ' | '`')).collect();
    let letters: Vec<char> = text.chars().collect();
    let mut spaced = String::with_capacity(text.len());
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let is_point = letter == '.' && is_digit(before) && is_digit(letters.get(at + 1).copied());
        spaced.push(if is_point || is_kept(letter) { letter } else { ' ' });
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// Compatibility forms made one (NFKC: full and half width, `㈱`, `①`), and case folded: by way of the capital, which is
/// what makes `ß` and `ss`, `ς` and `σ` one.
fn canonical(text: &str) -> String {
    text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
}

/// Letters, digits and marks upon them; everything else is punctuation or a sign, which nobody says in one way.
fn is_kept(letter: char) -> bool {
    letter.is_alphanumeric() || is_combining_mark(letter)
}

fn is_digit(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_ascii_digit())
}

/// The letters that count, each asked with the letter before and after it.
fn with_neighbours(
    text: &str,
    is_said: impl Fn(Option<char>, char, Option<char>) -> bool,
) -> impl Iterator<Item = char> {
    let letters: Vec<char> = text.chars().collect();
    let is_said = |at: usize| {
        is_said(at.checked_sub(1).map(|at| letters[at]), letters[at], letters.get(at + 1).copied())
    };
    let said: Vec<char> = (0..letters.len()).filter(|at| is_said(*at)).map(|at| letters[at]).collect();
    said.into_iter()
}

/// `1,500` is `1500`: a comma behind a digit and before exactly three.
fn without_thousands(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let is_digit_at = |at: usize| is_digit(letters.get(at).copied());
    let is_thousands = |at: usize| {
        letters[at] == ','
            && at.checked_sub(1).is_some_and(is_digit_at)
            && (1..=3).all(|ahead| is_digit_at(at + ahead))
            && !is_digit_at(at + 4)
    };
    (0..letters.len()).filter(|at| !is_thousands(*at)).map(|at| letters[at]).collect()
}

/// Katakana as hiragana; the sound mark `ー` is of both.
fn hiragana(letter: char) -> char {
    match letter {
        'ァ'..='ヶ' | 'ヽ' | 'ヾ' => char::from_u32(u32::from(letter) - 0x60).unwrap_or(letter),
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JA: Rules = Rules { unit: Unit::Characters, folds_kana: true };
    const EN: Rules = Rules { unit: Unit::Words, folds_kana: true };

    #[test]
    fn japanese_that_is_said_the_same_is_the_same() {
        for (written, expected) in [
            ("はい、お願いします。", "はいお願いします"),
            ("ＡＢＣ１２３", "abc123"),
            ("ｶﾞｷﾞｸﾞ", "がぎぐ"),
            ("サーバーのヴァージョン", "さーばーのゔぁーじょん"),
            ("ゼロ", "ぜろ"),
            ("㈱さくら　商店", "株さくら商店"),
            ("03-1234-5678", "0312345678"),
            ("03ー1234ー5678", "0312345678"),
            ("〇三 一二三四 五六七八", "0312345678"),
            ("一二三四-五六七八", "12345678"),
            ("千五百円", "1500円"),
            ("1,500円", "1500円"),
            ("二十三日", "23日"),
            ("3.5キロ", "3.5きろ"),
            ("はい.そうです", "はいそうです"),
            ("「A-1001」ですか？", "a1001ですか"),
            ("人々", "人々"),
        ] {
            assert_eq!(JA.units(written).concat(), expected, "{written}");
        }
        let kept = Rules { folds_kana: false, ..JA };
        assert_eq!(kept.units("カタカナと、ひらがな").concat(), "カタカナとひらがな");
    }

    #[test]
    fn words_that_are_said_the_same_are_the_same() {
        for (written, expected) in [
            ("Hello, World!", "hello world"),
            ("Don't — we can’t.", "dont we cant"),
            ("twenty-one", "twenty one"),
            ("$1,250.50 or 12,3", "1250.50 or 12 3"),
            ("Straße STRASSE", "strasse strasse"),
            ("ΣΑΣ σας", "σασ σασ"),
            ("Ｃａｆé cafe\u{301}", "café café"),
            ("  ", ""),
        ] {
            assert_eq!(EN.units(written).join(" "), expected, "{written}");
        }
    }

    #[test]
    fn the_unit_follows_from_the_language() {
        for (code, unit) in [("ja", Unit::Characters), ("zh-TW", Unit::Characters), ("en_US", Unit::Words)] {
            assert_eq!(Unit::of_language(code), unit, "{code}");
        }
        for (text, unit) in [("はい", Unit::Characters), ("東京", Unit::Characters), ("Yes", Unit::Words)]
        {
            assert_eq!(Unit::of_text(text), unit, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            for rules in [JA, EN] {
                prop_assert!(rules.units(&text).iter().all(|unit| !unit.is_empty()));
            }
        }

        /// A text without numerals that is comparable stays as it is.
        #[test]
        fn once_is_enough(text in "[ぁ-んァ-ヶーa-zA-Z。、 ]{0,40}") {
            let once = JA.units(&text).concat();
            prop_assert_eq!(JA.units(&once).concat(), once);
        }
    }
}
