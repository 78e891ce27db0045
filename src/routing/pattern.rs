//! Patterns an operator writes: numbers with a `*` at the end, texts with a `*` anywhere.

use std::fmt;

/// A text in which every `*` stands for any run of characters, also an empty one.
///
/// Letters are compared with their case. Matching takes time proportional to pattern times text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildcard(String);

impl Wildcard {
    /// Keeps the pattern; every text is one.
    pub fn new(pattern: impl Into<String>) -> Wildcard {
        Wildcard(pattern.into())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Claims that `text` is what the pattern describes.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut from) = (0, 0);
        // Where to go on when the present try fails: behind the last star, one byte further on.
        let mut retry = None;
        while from < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    retry = Some((at + 1, from));
                    at += 1;
                }
                Some(byte) if *byte == text[from] => {
                    at += 1;
                    from += 1;
                }
                _ => {
                    let Some((behind_star, start)) = retry else { return false };
                    retry = Some((behind_star, start + 1));
                    (at, from) = (behind_star, start + 1);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

/// A called number: exactly `+815012345678`, or a prefix `+8150*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPattern {
    digits: String,
    is_prefix: bool,
}

impl fmt::Display for NumberPattern {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.digits, if self.is_prefix { "*" } else { "" })
    }
}

/// A caller: a number or prefix, or nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerPattern {
    /// A caller whose number is known and like this.
    Number(NumberPattern),
    /// A caller whose number is withheld.
    Anonymous,
}

/// Why a text is not a number pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// It does not begin with `+`.
    #[error("a number begins with `+` and the country code")]
    NoPlus,
    /// There is something other than digits and a final `*`.
    #[error("`{0}` cannot stand in a number: only digits, and one `*` at the end")]
    Character(char),
    /// There are no digits, or more than 15.
    #[error("a number has 1 to 15 digits")]
    Length,
}

impl NumberPattern {
    /// Reads `+815012345678` or `+8150*`.
    ///
    /// # Errors
    ///
    /// What is not E.164 with an optional `*` at the end is refused.
    pub fn parse(text: &str) -> Result<NumberPattern, BadPattern> {
        let (number, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        let digits = number.strip_prefix('+').ok_or(BadPattern::NoPlus)?;
        if let Some(other) = digits.chars().find(|c| !c.is_ascii_digit()) {
            return Err(BadPattern::Character(other));
        }
        if !(1..=15).contains(&digits.len()) {
            return Err(BadPattern::Length);
        }
        Ok(NumberPattern { digits: number.to_owned(), is_prefix })
    }

    /// Claims that the number is known and like this.
    pub fn matches(&self, number: Option<&str>) -> bool {
        let Some(number) = number else { return false };
        if self.is_prefix { number.starts_with(&self.digits) } else { number == self.digits }
    }
}

impl fmt::Display for CallerPattern {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallerPattern::Number(number) => fmt::Display::fmt(number, f),
            CallerPattern::Anonymous => f.write_str("anonymous"),
        }
    }
}

impl CallerPattern {
    /// Reads `anonymous`, or what [`NumberPattern::parse`] reads.
    ///
    /// # Errors
    ///
    /// As [`NumberPattern::parse`].
    pub fn parse(text: &str) -> Result<CallerPattern, BadPattern> {
        if text == "anonymous" {
            return Ok(CallerPattern::Anonymous);
        }
        NumberPattern::parse(text).map(CallerPattern::Number)
    }

    /// Claims that the caller (none: withheld) is like this.
    pub fn matches(&self, caller: Option<&str>) -> bool {
        match self {
            CallerPattern::Number(number) => number.matches(caller),
            CallerPattern::Anonymous => caller.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("spring*", "spring-2026", true),
            ("spring*", "spring", true),
            ("spring", "spring-2026", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*b", "aab", true),
            ("crm.*", "crm.find", true),
            ("crm.*", "crm", false),
            ("日*語", "日本語", true),
        ] {
            assert_eq!(Wildcard::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = Wildcard::new("*a".repeat(200));
        assert!(!pattern.matches(&"a".repeat(199)));
    }

    #[test]
    fn numbers_match_exactly_or_by_prefix() {
        let exact = NumberPattern::parse("+815012345678").unwrap();
        assert!(exact.matches(Some("+815012345678")));
        assert!(!exact.matches(Some("+8150123456789")));
        assert!(!exact.matches(None));
        let prefix = NumberPattern::parse("+8150*").unwrap();
        assert!(prefix.matches(Some("+815012345678")));
        assert!(!prefix.matches(Some("+819012345678")));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        assert_eq!(NumberPattern::parse("050-1234-5678"), Err(BadPattern::NoPlus));
        assert_eq!(NumberPattern::parse("+81-50"), Err(BadPattern::Character('-')));
        assert_eq!(NumberPattern::parse("+*"), Err(BadPattern::Length));
        assert_eq!(NumberPattern::parse("+1*2"), Err(BadPattern::Character('*')));
        assert_eq!(NumberPattern::parse("+1234567890123456"), Err(BadPattern::Length));
    }

    #[test]
    fn anonymous_means_withheld() {
        let pattern = CallerPattern::parse("anonymous").unwrap();
        assert!(pattern.matches(None));
        assert!(!pattern.matches(Some("+819012345678")));
    }
}
