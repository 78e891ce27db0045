//! Words that must not be said, and how a text is searched for them.
//!
//! Both are compared after Unicode normalisation (NFKC: full-width letters and ligatures are those they stand for) and
//! without regard to case (`STRASSE` is `straße`). Spaces count as they stand.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;

/// Words that must not be said: `["…"]` by the assistant, or a list for each speaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forbidden {
    /// What the assistant must not say.
    pub assistant: Vec<String>,
    /// What the caller must not say: what a transcription must not make of it, for one.
    pub caller: Vec<String>,
    /// It is written as a list.
    is_list: bool,
}

impl Forbidden {
    /// The words of a speaker, each with the key by which the file has it.
    pub fn of(&self, speaker: &str) -> impl Iterator<Item = (String, &str)> {
        let (words, key) = match speaker {
            "assistant" if self.is_list => (&self.assistant[..], "never_says"),
            "assistant" => (&self.assistant[..], "never_says.assistant"),
            "caller" => (&self.caller[..], "never_says.caller"),
            _ => (&[][..], ""),
        };
        words.iter().enumerate().map(move |(at, words)| (format!("{key}[{at}]"), words.as_str()))
    }
}

/// Claims that the words stand in the text.
pub fn is_said(words: &str, text: &str) -> bool {
    folded(text).contains(&folded(words))
}

/// The text without what makes no difference. To upper case and back is what folds letters that have several forms in
/// one case (ß and ss, σ and ς).
fn folded(text: &str) -> String {
    let upper = text.nfkc().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).nfkc().collect()
}

impl<'de> Deserialize<'de> for Forbidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Forbidden, D::Error> {
        deserializer.deserialize_any(ListOrTable)
    }
}

struct ListOrTable;

impl<'de> Visitor<'de> for ListOrTable {
    type Value = Forbidden;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of words, or a table with lists for `assistant` and `caller`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Forbidden, A::Error> {
        let mut assistant = Vec::new();
        while let Some(words) = items.next_element()? {
            assistant.push(words);
        }
        Ok(Forbidden { assistant, caller: Vec::new(), is_list: true })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Forbidden, A::Error> {
        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Speakers {
            assistant: Vec<String>,
            caller: Vec<String>,
        }
        let Speakers { assistant, caller } = Speakers::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Forbidden { assistant, caller, is_list: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_mean_the_same_are_the_same() {
        for (words, text) in [
            ("guarantee", "We GUARANTEE it."),
            ("straße", "In der STRASSE"),
            ("ＡＢＣ", "abc"),
            ("ｶﾞﾗｽ", "ガラス"),
            ("ﬁne", "FINE"),
            ("ΣΟΦΟΣ", "σοφος"),
            ("é", "e\u{301}"),
        ] {
            assert!(is_said(words, text), "{words} in {text}");
        }
        for (words, text) in [("guarantees", "We guarantee it"), ("ガラス", "からす"), ("a b", "ab")] {
            assert!(!is_said(words, text), "{words} in {text}");
        }
    }
}
