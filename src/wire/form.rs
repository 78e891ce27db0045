//! `application/x-www-form-urlencoded` as an ordered multimap.
//!
//! Twilio's signature covers every decoded name and value, so nothing is trimmed, merged, reordered or
//! dropped here: spaces, empty values and repetitions stay.
//!
//! Vendor documentation: WHATWG, "URL Standard", §5.

use crate::phone::percent;

/// How many fields a form may have; Twilio sends about 30, with custom SIP headers some more.
const FIELDS_MAX: usize = 256;

/// Names and values, decoded, in the order they were sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// Why bytes are not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// More than 256 fields.
    #[error("the form has more than {FIELDS_MAX} fields")]
    TooManyFields,
    /// A name or value is not UTF-8 once decoded.
    #[error("a name or value in the form is not UTF-8")]
    NotUtf8,
}

impl Form {
    /// Decodes a body or a query string. A `%` without two hexadecimal digits stays as it is.
    pub fn parse(body: &[u8]) -> Result<Form, BadForm> {
        let mut fields = Vec::new();
        for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            if fields.len() == FIELDS_MAX {
                return Err(BadForm::TooManyFields);
            }
            let equals = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
            let value = field.get(equals + 1..).unwrap_or_default();
            fields.push((decode(&field[..equals])?, decode(value)?));
        }
        Ok(Form(fields))
    }

    /// Encodes the form: a space becomes `+`, everything but letters, digits and `-._~` becomes `%XX`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            if !text.is_empty() {
                text.push('&');
            }
            encode_into(&mut text, name);
            text.push('=');
            encode_into(&mut text, value);
        }
        text
    }

    /// Appends a field.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The first value of a name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All fields in order.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Form {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Form {
        Form(fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for Form {
    /// Names only: values hold callers' numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn decode(text: &[u8]) -> Result<String, BadForm> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent::decode(&spaced)).map_err(|_| BadForm::NotUtf8)
}

fn encode_into(out: &mut String, text: &str) {
    for (number, word) in text.split(' ').enumerate() {
        if number > 0 {
            out.push('+');
        }
        percent::encode_into(out, word);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(body: &str, expected: &[(&str, &str)]) {
        let expected: Form = expected.iter().copied().collect();
        assert!(Form::parse(body.as_bytes()) == Ok(expected), "{body}");
    }

    #[test]
    fn nothing_is_trimmed_merged_or_dropped() {
        check("From=%2B81901234&To=", &[("From", "+81901234"), ("To", "")]);
        check("a=1&b=2&a=1", &[("a", "1"), ("b", "2"), ("a", "1")]);
        check("a=+x+&b= y ", &[("a", " x "), ("b", " y ")]);
        check("a=b=c&d&=e&&", &[("a", "b=c"), ("d", ""), ("", "e")]);
        check("a=100%&b=%zz%E4%BA%88", &[("a", "100%"), ("b", "%zz予")]);
        check("", &[]);
    }

    #[test]
    fn what_is_no_form_says_why() {
        assert_eq!(Form::parse(b"a=%FF"), Err(BadForm::NotUtf8));
        assert_eq!(Form::parse("a=1&".repeat(FIELDS_MAX + 1).as_bytes()), Err(BadForm::TooManyFields));
        assert!(Form::parse("a=1&".repeat(FIELDS_MAX).as_bytes()).is_ok());
    }

    #[test]
    fn debug_shows_no_values() {
        let form: Form = [("From", "+81901234")].into_iter().collect();
        assert_eq!(format!("{form:?}"), "[\"From\"]");
        assert_eq!(form.first("From"), Some("+81901234"));
        assert_eq!(form.first("from"), None);
    }

    proptest! {
        #[test]
        fn what_was_encoded_reads_back(fields: Vec<(String, String)>) {
            let form: Form = fields.into_iter().collect();
            prop_assert_eq!(Form::parse(form.encode().as_bytes()), Ok(form));
        }

        #[test]
        fn parsing_never_panics(body: Vec<u8>) {
            let _ = Form::parse(&body);
        }
    }
}
