//! The headers of an INVITE as a voice provider repeats them, and the numbers inside.
//!
//! Untrusted caller metadata: kept for the record and for routing, never a proof of anything. What is
//! kept is bounded in number and size, and no value can start a new line in a log or a new header in
//! SIP: see [`SipHeaders::new`].

use std::fmt;

use super::number::{CallingCode, E164, PartyNumber};
use super::percent;

/// How many headers are kept; a carrier's INVITE has 20 to 30.
const HEADERS_MAX: usize = 64;

/// Headers with a longer name (bytes) are dropped.
const NAME_BYTES_MAX: usize = 64;

/// Values are cut to this many characters.
const VALUE_CHARS_MAX: usize = 1024;

/// The headers of an INVITE: ordered, repetitions kept. `Debug` prints names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SipHeaders(Vec<(String, String)>);

impl SipHeaders {
    /// Takes over headers from outside, bounded and cleaned.
    ///
    /// The first 64 headers are kept. One whose name is no RFC 3261 token, or longer than 64 bytes, is
    /// dropped. In values every run of control characters (also line and paragraph separators and
    /// marks that change the direction of writing) becomes one space, space around the value goes,
    /// and what is longer than 1024 characters is cut off.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(headers: impl IntoIterator<Item = (N, V)>) -> SipHeaders {
        let kept = headers
            .into_iter()
            .filter(|(name, _)| is_header_name(name.as_ref()))
            .take(HEADERS_MAX)
            .map(|(name, value)| (name.as_ref().to_owned(), clean(value.as_ref(), VALUE_CHARS_MAX)));
        SipHeaders(kept.collect())
    }

    /// All headers in order.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }

    /// The first value of a header; see [`SipHeaders::all`] for how names are compared.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a header, in order.
    ///
    /// Names are compared without regard to case, and `f`, `t`, `i`, `m` are the same as `From`, `To`,
    /// `Call-ID`, `Contact` (RFC 3261 §7.3.3).
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let wanted = long_name(name).to_owned();
        self.0
            .iter()
            .filter(move |(name, _)| long_name(name).eq_ignore_ascii_case(&wanted))
            .map(|(_, value)| value.as_str())
    }

    /// Who calls, as `From` says; withheld where there is no such header. It can be forged.
    pub fn caller(&self, country: CallingCode) -> PartyNumber {
        PartyNumber::read(self.first("From").unwrap_or_default(), country)
    }

    /// The number that was dialled: the first of the named headers, tried in the order given, with a
    /// value that holds a number.
    ///
    /// `To` often holds the provider's project id instead; such values are skipped.
    pub fn called_number(&self, names: &[impl AsRef<str>], country: CallingCode) -> Option<E164> {
        let values = names.iter().flat_map(|name| self.all(name.as_ref()));
        values.filter_map(|value| E164::parse(value, country).ok()).next()
    }
}

impl fmt::Debug for SipHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The user part of the first `sip:`, `sips:` or `tel:` URI in a header's value (RFC 3261 §19.1,
/// RFC 3966), without its parameters and password, percent-decoded; none where no URI has one.
///
/// A URI inside a quoted display name does not count.
pub fn uri_user(value: &str) -> Option<String> {
    let (is_tel, rest) = first_uri(value)?;
    let end = rest.find(['>', '?', ',', ' ', '"', '<']).unwrap_or(rest.len());
    let user = match rest[..end].split_once('@') {
        Some((user, _)) => user,
        None if is_tel => &rest[..end],
        None => return None,
    };
    let user = user.split([';', ':']).next().unwrap_or_default();
    String::from_utf8(percent::decode(user.as_bytes())).ok()
}

/// Claims that `name` may be a header's name: a bounded RFC 3261 token.
pub(crate) fn is_header_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_token)
}

/// Text in one line: runs of control characters become one space, at most `chars_max` characters.
pub(crate) fn clean(text: &str, chars_max: usize) -> String {
    let mut cleaned = String::new();
    let mut after_control = false;
    for c in text.chars().take(chars_max) {
        if !is_control(c) {
            cleaned.push(c);
        } else if !after_control {
            cleaned.push(' ');
        }
        after_control = is_control(c);
    }
    cleaned.trim().to_owned()
}

fn is_control(c: char) -> bool {
    let turns_or_breaks =
        matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns_or_breaks
}

fn long_name(name: &str) -> &str {
    match name {
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "m" | "M" => "Contact",
        other => other,
    }
}

/// Where the first URI outside of quotes starts, after its scheme; `true` when that is `tel:`.
fn first_uri(value: &str) -> Option<(bool, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    let mut previous = ' ';
    for (at, c) in value.char_indices() {
        let rest = &value[at..];
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted || previous.is_alphanumeric() => {}
            _ => {
                for (scheme, is_tel) in [("sip:", false), ("sips:", false), ("tel:", true)] {
                    let starts =
                        rest.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
                    if starts {
                        return Some((is_tel, &rest[scheme.len()..]));
                    }
                }
            }
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> SipHeaders {
        SipHeaders::new([
            ("f", "\"Ada\" <sip:+14155550101@carrier.example>;tag=7f3"),
            ("To", "<sip:proj_abc123@sip.api.openai.com;transport=tls>"),
            ("CALL-ID", "a1b2c3@10.0.0.5"),
            ("Diversion", "<sip:support@carrier.example>"),
            ("Diversion", "<sip:+815012345678@twilio.com>;reason=unconditional, <sip:+81312345678@x>"),
            ("X-Dialled", "0120-123-456"),
        ])
    }

    #[test]
    fn names_are_found_in_any_case_and_in_compact_form() {
        let headers = headers();
        assert_eq!(headers.first("from"), headers.first("F"));
        assert_eq!(headers.first("i"), Some("a1b2c3@10.0.0.5"));
        assert_eq!(headers.all("diversion").count(), 2);
        assert_eq!(headers.first("X-Missing"), None);
        assert_eq!(headers.caller(CallingCode::JAPAN).as_str(), Some("+14155550101"));
    }

    #[test]
    fn the_called_number_comes_from_the_first_header_that_has_one() {
        let headers = headers();
        let called = |names: &[&str]| {
            headers.called_number(names, CallingCode::JAPAN).map(|number| number.as_str().to_owned())
        };
        assert_eq!(called(&["To", "Diversion"]).as_deref(), Some("+815012345678"));
        assert_eq!(called(&["X-Dialled", "Diversion"]).as_deref(), Some("+81120123456"));
        assert_eq!(called(&["To", "P-Called-Party-ID"]), None);
    }

    #[test]
    fn a_missing_or_anonymous_from_is_withheld() {
        for value in ["<sip:anonymous@anonymous.invalid>", "Anonymous", ""] {
            let headers = SipHeaders::new([("From", value)]);
            assert_eq!(headers.caller(CallingCode::JAPAN), PartyNumber::Withheld, "{value}");
        }
        assert_eq!(SipHeaders::default().caller(CallingCode::JAPAN), PartyNumber::Withheld);
    }

    #[test]
    fn the_user_part_of_the_first_uri_is_found() {
        for (value, expected) in [
            ("<sip:+819012345678@x>", Some("+819012345678")),
            ("SIPS:ada@x;tag=1", Some("ada")),
            ("tel:+81-90-1234-5678;phone-context=x", Some("+81-90-1234-5678")),
            ("sip:ada:secret@x", Some("ada")),
            ("\"sip:forged@x \\\" sip:forged@y\" <sip:ada@x>", Some("ada")),
            ("sip:carrier.example", None),
            ("<sip:carrier.example>, <sip:ada@x>", None),
            ("\"never closed <sip:ada@x>", None),
            ("gossip:ada@x", None),
            ("+819012345678", None),
            ("sip:%FF@x", None),
        ] {
            assert_eq!(uri_user(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn hostile_headers_are_bounded_and_kept_in_one_line() {
        let hostile = SipHeaders::new([
            ("X-A", "one\r\nVia: forged\u{0}\u{1b}[31m\u{202E}\u{2028}two\n"),
            ("X-B", &"ü".repeat(65_536)),
            ("X C", "no token"),
            ("", "no name"),
            (&"X".repeat(65), "long name"),
        ]);
        assert_eq!(hostile.as_slice().len(), 2);
        assert_eq!(hostile.first("x-a"), Some("one Via: forged [31m two"));
        assert_eq!(hostile.first("x-b").map(|value| value.chars().count()), Some(VALUE_CHARS_MAX));
        let many = SipHeaders::new((0..10_000).map(|n| (format!("X-{n}"), "v")));
        assert_eq!(many.as_slice().len(), HEADERS_MAX);
    }

    #[test]
    fn debug_shows_no_values() {
        assert_eq!(format!("{:?}", SipHeaders::new([("From", "sip:+14155550101@x")])), "[\"From\"]");
    }

    /// Any characters at all; `any::<String>()` makes no control characters.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn no_value_breaks_a_line(name in any_text(), value in any_text()) {
            for (name, value) in SipHeaders::new([(name, value.clone()), ("X-A".to_owned(), value)]).as_slice() {
                prop_assert!(!name.chars().chain(value.chars()).any(is_control));
                let _ = uri_user(value);
            }
        }

        #[test]
        fn uris_never_panic(value in "[sipteljé:@<>\"\\\\;?%0-9a-f ]{0,40}") {
            let _ = uri_user(&value);
        }
    }
}
