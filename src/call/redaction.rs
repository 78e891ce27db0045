//! Words that are not kept: what matches one of the operator's patterns becomes dots, where words enter the record.
//!
//! [`super::Call::step`] gives nothing to keep that has not passed through here, so that whoever comes later (the store,
//! the feed, the admin API, plugins, traces) cannot forget it. What goes to the model and to tools is not changed.
//!
//! **Words that are still growing** show a number only when it is whole, and then it is too late. So of a text that may go
//! on, nothing is shown from the first place on from which a match could still grow ([`Redaction::growing`]). Text that was
//! cut off is kept like that, with dots in place of its end ([`Redaction::cut`]). Each text is looked at by itself: what is
//! said in two breaths is two texts.

use std::ops::Range;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Capture, Hir, HirKind, Repetition};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::{Action, Keep};
use super::record::{Line, LineStatus, ToolCallRecord};
use super::transcript::Growing;

/// What stands for words that are not kept.
pub const MARK: &str = "•••";
/// How many patterns there may be: each is tried on every text.
pub const PATTERNS_MAX: usize = 32;
/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// What one pattern may take once it is compiled, in bytes; `\w{1,100}` takes about half of that.
const COMPILED_BYTES_MAX: usize = 4 << 20;
/// How many letters are followed in all to see whether a match could still grow: with an ordinary pattern each letter of
/// the longest text a few times. A pattern that needs more has the rest of the text held back.
const STEPS_MAX: usize = 1 << 20;

/// The patterns of what is not kept; none of them by default.
#[derive(Clone, Debug, Default)]
pub struct Redaction(Arc<[Pattern]>);

#[derive(Debug)]
struct Pattern {
    whole: Regex,
    /// The same without what it says of its surroundings, which may yet change: a text that leads it nowhere is no
    /// beginning of a match, whatever comes.
    beginning: DFA,
}

impl Redaction {
    /// Compiles the patterns.
    ///
    /// # Errors
    ///
    /// What is wrong with which of them (from 0), for a person.
    pub fn new(patterns: &[String]) -> Result<Redaction, Vec<(usize, String)>> {
        let mut problems = Vec::new();
        let mut compiled = Vec::new();
        for (at, pattern) in patterns.iter().enumerate() {
            match Pattern::new(pattern) {
                _ if at >= PATTERNS_MAX => {
                    problems.push((at, format!("there may be {PATTERNS_MAX} patterns")));
                    break;
                }
                Ok(pattern) => compiled.push(pattern),
                Err(problem) => problems.push((at, problem)),
            }
        }
        if problems.is_empty() { Ok(Redaction(compiled.into())) } else { Err(problems) }
    }

    /// Claims that everything is kept.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out of what `step` wants done what is not to be kept. What is sent to the model and to tools stays.
    pub(super) fn apply(&self, actions: &mut [Action]) {
        if self.is_none() {
            return;
        }
        for action in actions {
            match action {
                Action::Keep(Keep::Line(line)) => self.of_line(line),
                Action::Keep(Keep::ToolCall(call)) => self.of_tool_call(call),
                Action::Keep(Keep::Event(event)) => {
                    let data = event.data.as_ref().map(|data| self.json(data.get()));
                    event.data = data.and_then(|data| RawValue::from_string(data).ok());
                }
                _ => {}
            }
        }
    }

    /// The same for words that are shown while they are spoken; nothing where nothing of them can be shown.
    pub(super) fn of_growing(&self, growing: Growing) -> Option<Growing> {
        if self.is_none() {
            return Some(growing);
        }
        let text = self.growing(&growing.text);
        (!text.is_empty()).then_some(Growing { text, ..growing })
    }

    fn of_line(&self, line: &mut Line) {
        line.text = match line.status {
            LineStatus::Final | LineStatus::Untranscribed => self.text(&line.text),
            LineStatus::Partial | LineStatus::Interrupted => self.cut(&line.text),
        };
    }

    fn of_tool_call(&self, call: &mut ToolCallRecord) {
        call.arguments = self.json(&call.arguments);
        call.output = call.output.as_deref().map(|output| self.json(output));
    }

    /// A whole text without what is not kept.
    pub fn text(&self, text: &str) -> String {
        without(text, &self.matches(text))
    }

    /// What may be shown of a text that still grows.
    pub fn growing(&self, text: &str) -> String {
        let matches = self.matches(text);
        let end = self.certain_until(text, &matches);
        without(&text[..end], &before(&matches, end))
    }

    /// A text that broke off without what is not kept: its end could be the beginning of that.
    pub fn cut(&self, text: &str) -> String {
        let matches = self.matches(text);
        let end = self.certain_until(text, &matches);
        let mut kept = without(&text[..end], &before(&matches, end));
        if end < text.len() {
            kept.push_str(MARK);
        }
        kept
    }

    /// JSON without what is not kept in any of its texts and numbers; what is no JSON is taken as text. It is the same
    /// text where nothing was taken out.
    pub fn json(&self, text: &str) -> String {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return self.text(text) };
        if self.of_value(&mut value) { value.to_string() } else { text.to_owned() }
    }

    /// Claims that something was taken out.
    fn of_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let kept = self.text(text);
                let is_less = kept != *text;
                *text = kept;
                is_less
            }
            Value::Number(number) => {
                let is_less = !self.matches(&number.to_string()).is_empty();
                if is_less {
                    *value = Value::String(MARK.to_owned());
                }
                is_less
            }
            Value::Array(list) => {
                list.iter_mut().fold(false, |is_less, value| self.of_value(value) | is_less)
            }
            Value::Object(table) => {
                let mut is_less = false;
                let entries = std::mem::take(table).into_iter().map(|(name, mut value)| {
                    let kept = self.text(&name);
                    is_less |= self.of_value(&mut value) | (kept != name);
                    (kept, value)
                });
                *table = entries.collect();
                is_less
            }
            Value::Null | Value::Bool(_) => false,
        }
    }

    /// Where anything is that is not kept, in order and apart from each other.
    fn matches(&self, text: &str) -> Vec<Range<usize>> {
        let found =
            self.0.iter().flat_map(|pattern| pattern.whole.find_iter(text).map(|found| found.range()));
        let mut found: Vec<Range<usize>> = found.filter(|found| !found.is_empty()).collect();
        found.sort_by_key(|found| found.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for found in found {
            match apart.last_mut() {
                Some(last) if found.start <= last.end => last.end = last.end.max(found.end),
                _ => apart.push(found),
            }
        }
        apart
    }

    /// Up to where a text has nothing that could still become a match, whatever follows.
    fn certain_until(&self, text: &str, matches: &[Range<usize>]) -> usize {
        let mut steps = STEPS_MAX;
        let beginnings = self.0.iter().map(|pattern| pattern.begins_at(text, &mut steps));
        let end = beginnings.min().unwrap_or(text.len());
        // What another pattern has found around it is not shown in part.
        matches.iter().find(|found| found.contains(&end)).map_or(end, |found| found.start)
    }
}

impl Pattern {
    fn new(pattern: &str) -> Result<Pattern, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern has {PATTERN_BYTES_MAX} bytes at most"));
        }
        let hir = regex_syntax::parse(pattern).map_err(|error| error.to_string())?;
        if hir.properties().minimum_len().is_none_or(|least| least == 0) {
            return Err("it also matches where there is nothing, so nothing would be left".to_owned());
        }
        let too_large = || format!("it takes more than {} MiB once compiled", COMPILED_BYTES_MAX >> 20);
        let whole =
            RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build().map_err(|_| too_large())?;
        let config = thompson::Config::new()
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(COMPILED_BYTES_MAX));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&anywhere(hir));
        let nfa = nfa.map_err(|_| too_large())?;
        // Every way to a match is followed, also those that a search would not prefer.
        let config = DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true);
        let beginning = DFA::builder().configure(config).build_from_nfa(nfa);
        Ok(Pattern { whole, beginning: beginning.map_err(|_| too_large())? })
    }

    /// The first place from which the text could be the beginning of a match; its end, where there is none.
    fn begins_at(&self, text: &str, steps: &mut usize) -> usize {
        let mut cache = self.beginning.create_cache();
        let mut starts = text.char_indices().map(|(at, _)| at);
        starts.find(|at| self.could_grow(&text[*at..], &mut cache, steps)).unwrap_or(text.len())
    }

    fn could_grow(&self, text: &str, cache: &mut Cache, steps: &mut usize) -> bool {
        let anchored = start::Config::new().anchored(Anchored::Yes);
        let Ok(mut state) = self.beginning.start_state(cache, &anchored) else { return true };
        for byte in text.bytes() {
            if *steps == 0 {
                return true;
            }
            *steps -= 1;
            match self.beginning.next_state(cache, state, byte) {
                Ok(next) if next.is_dead() => return false,
                Ok(next) => state = next,
                // Its memory is full: not known.
                Err(_) => return true,
            }
        }
        true
    }
}

/// The pattern without what it says of its surroundings.
fn anywhere(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(anywhere(*repetition.sub));
            Hir::repetition(Repetition { sub, ..repetition })
        }
        HirKind::Capture(capture) => {
            let sub = Box::new(anywhere(*capture.sub));
            Hir::capture(Capture { sub, ..capture })
        }
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(anywhere).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(anywhere).collect()),
    }
}

fn before(matches: &[Range<usize>], end: usize) -> Vec<Range<usize>> {
    matches.iter().filter(|found| found.end <= end).cloned().collect()
}

fn without(text: &str, matches: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for found in matches {
        kept.push_str(&text[from..found.start]);
        kept.push_str(MARK);
        from = found.end;
    }
    kept.push_str(&text[from..]);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `docs/config.md` has it.
    const CARD: &str = r"\d(?:[ -]?\d){12,18}";

    fn redaction(patterns: &[&str]) -> Redaction {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Redaction::new(&patterns).expect("patterns")
    }

    #[test]
    fn what_matches_becomes_dots() {
        let card = redaction(&[CARD, r"(?i)pin \w+"]);
        for (text, kept) in [
            ("my card is 4111 1111 1111 1111, thanks", "my card is •••, thanks"),
            ("カードは4111-1111-1111-1111です", "カードは•••です"),
            ("カードは４１１１１１１１１１１１１１１１です", "カードは•••です"),
            ("4111111111111111 and 5500000000000004", "••• and •••"),
            ("the PIN kumquat, call 090-1234-5678", "the •••, call 090-1234-5678"),
            ("pin 4111111111111111", "•••"),
            ("", ""),
        ] {
            assert_eq!(card.text(text), kept, "{text}");
        }
        assert_eq!(Redaction::default().text("4111111111111111"), "4111111111111111");
    }

    #[test]
    fn json_stays_json() {
        let card = redaction(&[CARD]);
        for (text, kept) in [
            (r#"{"card": "4111 1111 1111 1111", "n": 2}"#, r#"{"card":"•••","n":2}"#),
            (r#"{"card":4111111111111111}"#, r#"{"card":"•••"}"#),
            (r#"{"cards":[{"4111111111111111":true}]}"#, r#"{"cards":[{"•••":true}]}"#),
            (r#"{"card":"\u0034111111111111111"}"#, r#"{"card":"•••"}"#),
            (r#"{"b": 1, "a": 2}"#, r#"{"b": 1, "a": 2}"#),
            (r#"{"card": "4111111111111111"#, r#"{"card": "•••"#),
        ] {
            assert_eq!(card.json(text), kept, "{text}");
        }
    }

    #[test]
    fn of_words_that_grow_nothing_is_shown_that_could_become_a_number() {
        let card = redaction(&[CARD]);
        for (text, shown, cut) in [
            ("my card is", "my card is", "my card is"),
            ("my card is 4", "my card is ", "my card is •••"),
            ("my card is 4111 1111 ", "my card is ", "my card is •••"),
            ("room 12, please", "room 12, please", "room 12, please"),
            ("4111111111111111 tha", "••• tha", "••• tha"),
            // One more digit would be of it as well.
            ("4111111111111111", "", "•••"),
            // The engine tells of an end one letter later.
            ("4111111111111111,", "", "•••"),
            ("4111111111111111, ", "•••, ", "•••, "),
        ] {
            assert_eq!((card.growing(text).as_str(), card.cut(text).as_str()), (shown, cut), "{text}");
        }
        // A border of a word is seen only when the next letter is there.
        let border = redaction(&[r"\bkumquat\b"]);
        assert_eq!(border.growing("a kumquat"), "a ");
        assert_eq!(border.growing("a kumquats "), "a kumquats ");
        assert_eq!(border.growing("a kumquat. "), "a •••. ");
        // What could be anything holds all of it back.
        assert_eq!(redaction(&["(?s).*secret"]).growing("nothing of it"), "");
        // A match of one pattern is not shown in part because another could begin within.
        assert_eq!(redaction(&["abc", "c+d"]).growing("abc"), "");
    }

    #[test]
    fn patterns_are_bounded_and_match_something() {
        let problem =
            |pattern: &str| Redaction::new(&[pattern.to_owned()]).expect_err("a problem")[0].1.clone();
        assert!(problem("(").contains("unclosed group"), "{}", problem("("));
        for nothing in ["", "a*", r"\b", "x?"] {
            assert!(problem(nothing).contains("where there is nothing"), "{nothing}");
        }
        assert!(problem(&"x".repeat(PATTERN_BYTES_MAX + 1)).contains("bytes at most"));
        assert!(problem(r"(?:\w{100}){100}").contains("once compiled"));
        assert!(Redaction::new(&vec!["x".to_owned(); PATTERNS_MAX]).is_ok());
        assert_eq!(
            Redaction::new(&vec!["x".to_owned(); PATTERNS_MAX + 1]).expect_err("too many")[0].0,
            PATTERNS_MAX
        );
    }

    #[test]
    fn a_text_that_costs_too_much_is_held_back() {
        let slow = redaction(&["a[^b]*b"]);
        assert_eq!(slow.growing(&format!("{}{}", "b".repeat(10), "a".repeat(10))), "b".repeat(10));
        // Each letter could be the beginning until the line ends: no time for the last of them.
        let long = format!("{}\n", "a".repeat(64 << 10));
        assert!(redaction(&[r"a[^\n]*b"]).growing(&long).len() < STEPS_MAX >> 10);
    }

    proptest! {
        /// However a text grows, what was shown of it is what is shown in the end, and nothing more.
        #[test]
        fn nothing_that_was_shown_is_taken_back(pieces in prop::collection::vec("[0-9 a\\-日]{0,6}", 0..10)) {
            let card = redaction(&[CARD, r"a\d{3}\b", "日{2,}"]);
            let whole = card.text(&pieces.concat());
            let mut text = String::new();
            for piece in &pieces {
                text.push_str(piece);
                let shown = card.growing(&text);
                prop_assert!(whole.starts_with(&shown), "{shown:?} of {text:?}, in the end {whole:?}");
            }
        }
    }
}
