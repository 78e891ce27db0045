//! Phone numbers in one spelling: E.164.
//!
//! [`normalise`] knows how numbers are written in Japan (full-width digits, hyphens of all kinds, the
//! trunk `0`, the prefixes 184 and 186, `010` before an international number). Of other countries it
//! knows only what is the same everywhere: `+`, the calling code, the rest. What it cannot read is not
//! guessed at: it stays raw text, see [`PartyNumber::Other`].

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use super::sip::{clean, uri_user};

/// Text longer than this (bytes) is not looked at: a number has 15 digits, a URI around it little more.
const TEXT_BYTES_MAX: usize = 256;

/// How much of a text that is no number is kept, in characters.
const RAW_CHARS_MAX: usize = 64;

/// How many digits an E.164 number has, calling code included (ITU-T E.164; the shortest in use has 7).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A phone number as E.164 writes it: `+`, the calling code, the national number.
///
/// `Debug` prints it masked, so that it does not reach a log by accident.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(String);

impl E164 {
    /// Reads a number in any notation that [`normalise`] knows.
    pub fn parse(text: &str, country: CallingCode) -> Result<E164, NotANumber> {
        normalise(text, country).map(|normalised| normalised.number)
    }

    /// The number with its `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits of the country, without the `+`.
    pub fn calling_code(&self) -> &str {
        &self.0[1..1 + calling_code_len(&self.0[1..])]
    }

    /// The number for logs: calling code and the last two digits, `+81…78`.
    pub fn masked(&self) -> String {
        let digits = &self.0[1..];
        let code = &digits[..calling_code_len(digits)];
        format!("+{code}…{}", &digits[digits.len() - 2..])
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// The calling code of the country whose national notation is meant when a number has no `+`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallingCode(u16);

impl CallingCode {
    /// Japan, `+81`: the one country whose national notation is known.
    pub const JAPAN: CallingCode = CallingCode(81);

    /// The code `digits`, 1 to 999; none for anything else.
    pub fn new(digits: u16) -> Option<CallingCode> {
        (1..=999).contains(&digits).then_some(CallingCode(digits))
    }
}

/// A party of a call, as a carrier or a SIP header names it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum PartyNumber {
    /// A number that could be normalised.
    Number(E164),
    /// Not told: `anonymous` and its relatives, or nothing at all.
    Withheld,
    /// Anything else as received (`client:ada`, an extension, an emergency number), cleaned of control
    /// characters and cut to 64 characters.
    Other(String),
}

impl PartyNumber {
    /// Reads a `From`-like value: a number, a word, or a URI with either inside.
    pub fn read(text: &str, country: CallingCode) -> PartyNumber {
        match normalise(text, country) {
            Ok(normalised) => PartyNumber::Number(normalised.number),
            Err(NotANumber::Withheld) => PartyNumber::Withheld,
            Err(NotANumber::Service | NotANumber::Unreadable) => {
                PartyNumber::Other(clean(text, RAW_CHARS_MAX))
            }
        }
    }

    /// The number, where there is one.
    pub fn number(&self) -> Option<&E164> {
        match self {
            PartyNumber::Number(number) => Some(number),
            PartyNumber::Withheld | PartyNumber::Other(_) => None,
        }
    }

    /// What is kept in records: E.164, else the raw text; none when withheld.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            PartyNumber::Number(number) => Some(number.as_str()),
            PartyNumber::Withheld => None,
            PartyNumber::Other(text) => Some(text),
        }
    }

    /// What may stand in a log: a masked number, or that there is none. Raw text is not shown.
    pub fn masked(&self) -> String {
        match self {
            PartyNumber::Number(number) => number.masked(),
            PartyNumber::Withheld => "withheld".to_owned(),
            PartyNumber::Other(_) => "not a number".to_owned(),
        }
    }
}

impl fmt::Debug for PartyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// A number, and what stood before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised {
    /// The number.
    pub number: E164,
    /// What the caller had chosen for this one call.
    pub presentation: Presentation,
}

/// What a Japanese caller-id prefix asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// No prefix.
    Default,
    /// `184`: hide the caller's number.
    Hide,
    /// `186`: show the caller's number.
    Show,
}

/// Why a text is not an E.164 number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANumber {
    /// `anonymous` and its relatives.
    #[error("the number is withheld")]
    Withheld,
    /// An emergency or service number (110, 119, 117 …): never dialled, never normalised.
    #[error("an emergency or service number, which is never dialled")]
    Service,
    /// No notation that is known.
    #[error("not a phone number (expected `+`, the calling code and the number)")]
    Unreadable,
}

/// Reads a number in any common notation; `country` says whose national notation is meant.
///
/// The text may also be a SIP header's value with a `sip:`, `sips:` or `tel:` URI; then its user part
/// is read. `81…` without a plus stays unread: it may be another country's national number.
pub fn normalise(text: &str, country: CallingCode) -> Result<Normalised, NotANumber> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(NotANumber::Unreadable);
    }
    let bare = uri_user(text).unwrap_or_else(|| text.to_owned());
    let digits: String = bare.nfkc().filter(|c| !is_separator(*c)).collect();
    if is_withheld(&digits) {
        return Err(NotANumber::Withheld);
    }
    if country != CallingCode::JAPAN {
        let number = international(digits.strip_prefix('+').ok_or(NotANumber::Unreadable)?)?;
        return Ok(Normalised { number, presentation: Presentation::Default });
    }
    let (presentation, rest) = japanese_prefix(&digits);
    Ok(Normalised { number: japanese_notation(rest)?, presentation })
}

/// What stands between digits in print. NFKC has already made full-width signs narrow, but leaves
/// the hyphens, dashes and the long-vowel mark that Japanese keyboards give instead of `-`.
fn is_separator(c: char) -> bool {
    matches!(c, '-' | '.' | '(' | ')' | 'ー' | '\u{2010}'..='\u{2015}' | '−' | '─') || c.is_whitespace()
}

/// The words for "no number", and their spelling on a keypad that older carriers send instead.
fn is_withheld(text: &str) -> bool {
    const WORDS: [&str; 5] = ["anonymous", "unknown", "unavailable", "restricted", "blocked"];
    const KEYPAD: [&str; 5] = ["+266696687", "+8656696", "+86282452253", "+7378742833", "+2562533"];
    let word = text.split_once('@').map_or(text, |(user, _)| user);
    text.is_empty() || KEYPAD.contains(&word) || WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn japanese_prefix(digits: &str) -> (Presentation, &str) {
    for (prefix, presentation) in [("184", Presentation::Hide), ("186", Presentation::Show)] {
        match digits.strip_prefix(prefix) {
            Some(rest) if !rest.is_empty() => return (presentation, rest),
            _ => {}
        }
    }
    (Presentation::Default, digits)
}

/// A number as dialled in Japan. No national number starts with `00` or `010`, so these come first.
fn japanese_notation(digits: &str) -> Result<E164, NotANumber> {
    const SERVICES: [&str; 10] = ["110", "117", "118", "119", "171", "177", "184", "186", "188", "189"];
    if SERVICES.contains(&digits) {
        return Err(NotANumber::Service);
    }
    if let Some(rest) = digits.strip_prefix('+').or_else(|| digits.strip_prefix("010")) {
        return international(rest);
    }
    if let Some(rest) = digits.strip_prefix("0081") {
        return japan(rest);
    }
    japan(digits.strip_prefix('0').filter(|rest| !rest.starts_with('0')).ok_or(NotANumber::Unreadable)?)
}

/// What follows the `+`.
fn international(digits: &str) -> Result<E164, NotANumber> {
    if let Some(rest) = digits.strip_prefix("81") {
        return japan(rest);
    }
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits || digits.starts_with('0') || !DIGITS.contains(&digits.len()) {
        return Err(NotANumber::Unreadable);
    }
    let number = format!("+{digits}");
    // Also where it was not dialled with a plus.
    if is_withheld(&number) { Err(NotANumber::Withheld) } else { Ok(E164(number)) }
}

/// What follows `+81`. A trunk `0` left there by mistake is dropped.
///
/// Ten digits when the second is `0` (050, 070, 080, 090, 020, 0800), nine otherwise.
fn japan(digits: &str) -> Result<E164, NotANumber> {
    let national = digits.strip_prefix('0').unwrap_or(digits);
    let bytes = national.as_bytes();
    let length = if bytes.get(1) == Some(&b'0') { 10 } else { 9 };
    let all_digits = bytes.iter().all(u8::is_ascii_digit);
    if !all_digits || national.starts_with('0') || bytes.len() != length {
        return Err(NotANumber::Unreadable);
    }
    Ok(E164(format!("+81{national}")))
}

/// How many leading digits are the calling code (ITU-T E.164, list of assigned codes).
fn calling_code_len(digits: &str) -> usize {
    const TWO_DIGITS: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
        "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
        "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    if digits.starts_with('1') || digits.starts_with('7') {
        return 1;
    }
    if TWO_DIGITS.contains(&&digits[..2]) { 2 } else { 3 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        let got = E164::parse(text, CallingCode::JAPAN).map(|number| number.as_str().to_owned());
        assert_eq!(got.as_deref(), Ok(expected), "{text}");
    }

    fn check_refused(text: &str, expected: NotANumber) {
        assert_eq!(normalise(text, CallingCode::JAPAN), Err(expected), "{text}");
    }

    #[test]
    fn japanese_notations_are_one_number() {
        for text in [
            "090-1234-5678",
            "090 1234 5678",
            "０９０−１２３４−５６７８",
            "０９０ー１２３４ー５６７８",
            "０９０－１２３４－５６７８",
            "ｰ090‐1234–5678",
            "(090)1234.5678",
            "+81 90 1234 5678",
            "＋８１９０１２３４５６７８",
            "+8109012345678",
            "+81 (0)90-1234-5678",
            "010819012345678",
            "010 81 90-1234-5678",
            "00819012345678",
            "18609012345678",
            "184-090-1234-5678",
            "sip:+819012345678@x",
            "<tel:+81-90-1234-5678>",
            "\"Ada\" <sip:%2B819012345678;npdi@carrier.example:5060;user=phone>;tag=7f3",
        ] {
            check(text, "+819012345678");
        }
    }

    #[test]
    fn each_class_of_japanese_number_has_its_length() {
        for (text, expected) in [
            ("03(1234)5678", "+81312345678"),
            ("06-1234-5678", "+81612345678"),
            ("050-1234-5678", "+815012345678"),
            ("0120-123-456", "+81120123456"),
            ("0800-123-4567", "+818001234567"),
            ("0570-012-345", "+81570012345"),
            ("020-1234-5678", "+812012345678"),
            ("060-1234-5678", "+816012345678"),
        ] {
            check(text, expected);
        }
        for text in ["03-1234-56789", "090-1234-567", "0120-123-4567", "+8190123456789", "+81312"] {
            check_refused(text, NotANumber::Unreadable);
        }
    }

    #[test]
    fn other_countries_keep_their_number() {
        check("+1 415 555 0100", "+14155550100");
        check("010 1 415 555 0100", "+14155550100");
        check("+44 20 7946 0000", "+442079460000");
    }

    #[test]
    fn prefixes_are_noted() {
        let presentation = |text| normalise(text, CallingCode::JAPAN).unwrap().presentation;
        assert_eq!(presentation("18609012345678"), Presentation::Show);
        assert_eq!(presentation("18409012345678"), Presentation::Hide);
        assert_eq!(presentation("09012345678"), Presentation::Default);
    }

    #[test]
    fn what_is_no_number_says_why() {
        for text in ["110", "１１９", "118", "117", "171", "177", "188", "189", "184", "186", "184110"] {
            check_refused(text, NotANumber::Service);
        }
        for text in [
            "anonymous",
            "Anonymous",
            "unknown",
            "unavailable",
            "restricted",
            "anonymous@anonymous.invalid",
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
            "+266696687",
            "+7378742833",
            "+2562533",
            "+8656696",
            "+86282452253",
            "0107378742833",
            "",
            "  ",
        ] {
            check_refused(text, NotANumber::Withheld);
        }
        for text in [
            "0081819012345678",
            "00818181312345678",
            "819012345678",
            "client:ada",
            "proj_abc123",
            "sip:carrier.example",
            "+",
            "++819012345678",
            "0000000000",
            "+0123456789",
            "+1234567890123456",
            "+81००००००००००",
            "1000",
        ] {
            check_refused(text, NotANumber::Unreadable);
        }
    }

    #[test]
    fn without_japan_only_a_plus_is_understood() {
        let france = CallingCode::new(33).unwrap();
        assert_eq!(E164::parse("090-1234-5678", france), Err(NotANumber::Unreadable));
        assert_eq!(E164::parse("+81 090-1234-5678", france).unwrap().as_str(), "+819012345678");
        assert_eq!(E164::parse("anonymous", france), Err(NotANumber::Withheld));
        assert_eq!(CallingCode::new(0), None);
        assert_eq!(CallingCode::new(1000), None);
    }

    #[test]
    fn a_log_shows_only_a_mask() {
        let party = |text| PartyNumber::read(text, CallingCode::JAPAN);
        for (text, expected) in [
            ("+819012345678", "+81…78"),
            ("+14155550100", "+1…00"),
            ("+35312345678", "+353…78"),
            ("anonymous", "withheld"),
            ("client:ada", "not a number"),
        ] {
            assert_eq!(party(text).masked(), expected);
            assert_eq!(format!("{:?}", party(text)), expected);
        }
    }

    #[test]
    fn raw_text_is_cleaned_and_bounded() {
        let party = PartyNumber::read("ada\r\nINFO forged", CallingCode::JAPAN);
        assert_eq!(party.as_str(), Some("ada INFO forged"));
        let long = PartyNumber::read(&"é".repeat(10_000), CallingCode::JAPAN);
        assert_eq!(long.as_str().map(|text| text.chars().count()), Some(RAW_CHARS_MAX));
    }

    /// Any characters at all; `any::<String>()` makes no control characters.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in any_text(), code in 1_u16..1000) {
            let country = CallingCode::new(code).unwrap();
            let _ = PartyNumber::read(&text, country).masked();
        }

        #[test]
        fn what_looks_like_a_number_never_panics(text in "[+0-9０-９ー−() .@;:<>%a-z]{0,40}") {
            let _ = PartyNumber::read(&text, CallingCode::JAPAN).masked();
        }

        #[test]
        fn a_number_reads_back_as_itself(digits in "[1-9][0-9]{6,14}") {
            if let Ok(number) = E164::parse(&format!("+{digits}"), CallingCode::JAPAN) {
                prop_assert_eq!(E164::parse(number.as_str(), CallingCode::JAPAN), Ok(number));
            }
        }
    }
}
