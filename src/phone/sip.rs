//! SIP headers and addresses, as far as they tell who calls whom.

use super::percent;
use super::{CallingCode, PartyNumber};

/// How many headers are kept; an INVITE has about twenty.
const HEADERS_MAX: usize = 64;
/// How much of a name and of a value is kept, in characters.
const NAME_CHARS_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 1_024;

/// The headers of an INVITE in their order: cleaned and bounded, and still untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SipHeaders(Vec<(String, String)>);

impl SipHeaders {
    /// Keeps the first headers, cut and cleaned of control characters.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> SipHeaders {
        let kept = headers.into_iter().take(HEADERS_MAX);
        SipHeaders(
            kept.map(|(name, value)| (clean(&name, NAME_CHARS_MAX), clean(&value, VALUE_CHARS_MAX)))
                .collect(),
        )
    }

    /// The first value of a header, by its name in any case or its compact form.
    pub fn first(&self, name: &str) -> Option<&str> {
        let of_name = |(known, _): &&(String, String)| full(known).eq_ignore_ascii_case(full(name));
        self.0.iter().find(of_name).map(|(_, value)| value.as_str())
    }

    /// All values of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.0.iter().filter(move |(known, _)| full(known).eq_ignore_ascii_case(full(name)));
        of_name.map(|(_, value)| value.as_str())
    }

    /// The dialled number: the first of these headers whose address is a number.
    pub fn called_number(&self, names: &[String], country: CallingCode) -> Option<String> {
        let values = names.iter().flat_map(|name| self.all(name));
        values
            .map(|value| PartyNumber::read(value, country))
            .find_map(|party| party.number().map(|number| number.as_str().to_owned()))
    }

    /// The headers as pairs.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }

    /// The headers as pairs.
    pub fn into_vec(self) -> Vec<(String, String)> {
        self.0
    }
}

/// RFC 3261 §7.3.3: compact forms.
fn full(name: &str) -> &str {
    match name {
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "m" | "M" => "Contact",
        other => other,
    }
}

/// The user part of the first `sip:`, `sips:` or `tel:` address in a header's value.
pub fn uri_user(value: &str) -> Option<String> {
    let lower = value.to_ascii_lowercase();
    let (at, scheme) = ["sips:", "sip:", "tel:"]
        .into_iter()
        .filter_map(|scheme| Some((lower.find(scheme)?, scheme)))
        .min_by_key(|(at, scheme)| (*at, std::cmp::Reverse(scheme.len())))?;
    let rest = &value[at + scheme.len()..];
    let end = rest.find(['@', '>', ';', '?', ',', ' ']).unwrap_or(rest.len());
    let is_host_only = scheme != "tel:" && !rest[end..].starts_with('@') && !rest[..end].is_empty();
    if is_host_only && !rest.contains('@') {
        return None;
    }
    let user = rest[..end].split(':').next().unwrap_or_default();
    String::from_utf8(percent::decode(user.as_bytes())).ok()
}

/// Without control characters, and no longer than this.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}
