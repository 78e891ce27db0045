//! The SIP URI that a `<Sip>` noun dials: address, parameters and custom headers in one text.
//!
//! What could leave its place in the URI is refused rather than repaired, see [`BadSipUri`]: parts of
//! the address hold a small alphabet, header values are percent-encoded and hold no control characters.
//!
//! Vendor documentation: Twilio, "TwiML Voice: `<Sip>`" ("SIP URI", "Custom headers").

use crate::phone::{is_header_name, percent};

/// Twilio: the URI without its headers is shorter than 255 characters.
const URI_CHARS_MAX: usize = 254;

/// Twilio: the headers are shorter than 1024 characters.
const HEADERS_CHARS_MAX: usize = 1023;

/// A checked `sip:` URI over TLS, headers included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri(String);

/// The parts of a [`SipUri`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SipUriParts<'a> {
    /// Who is called: the provider's project id, or a number.
    pub user: &'a str,
    /// Where: host name, with a port where it is not 5061.
    pub host: &'a str,
    /// `secure=true`: SRTP for the media.
    pub secure_media: bool,
    /// The Twilio edge the INVITE leaves from, such as `tokyo`.
    pub edge: Option<&'a str>,
    /// Custom headers of the INVITE. Names start with `X-`; Twilio passes no others on.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Why parts do not make a URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSipUri {
    /// A part of the address is empty or holds a character that has no place there.
    #[error("the SIP URI's {0} is empty or holds a character that is not allowed there")]
    BadPart(&'static str),
    /// A header's name does not start with `X-`, or is no bounded token.
    #[error("the SIP header `{0}` must have a name that starts with `X-` and is a token")]
    BadHeaderName(String),
    /// A header's value holds a control character, with which it could end the header.
    #[error("the value of the SIP header `{0}` holds a control character")]
    BadHeaderValue(String),
    /// The URI is longer than Twilio takes.
    #[error("the SIP URI has {0} characters, of which Twilio takes {URI_CHARS_MAX}")]
    UriTooLong(usize),
    /// The headers are longer than Twilio takes.
    #[error("the SIP URI's headers have {0} characters, of which Twilio takes {HEADERS_CHARS_MAX}")]
    HeadersTooLong(usize),
}

impl SipUri {
    /// Checks the parts and writes them as one URI.
    pub fn new(parts: SipUriParts<'_>) -> Result<SipUri, BadSipUri> {
        let mut uri = address(&parts)?;
        if uri.len() > URI_CHARS_MAX {
            return Err(BadSipUri::UriTooLong(uri.len()));
        }
        let headers = headers(parts.headers)?;
        if headers.len() > HEADERS_CHARS_MAX {
            return Err(BadSipUri::HeadersTooLong(headers.len()));
        }
        if !headers.is_empty() {
            uri.push('?');
            uri.push_str(&headers);
        }
        Ok(SipUri(uri))
    }

    /// Takes an operator's own URI (`sip:desk@example.com`) as it is.
    ///
    /// # Errors
    ///
    /// [`BadSipUri`] where it is too long or holds what could leave its place.
    pub fn verbatim(uri: &str) -> Result<SipUri, BadSipUri> {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`');
        if uri.is_empty() || !uri.chars().all(is_plain) {
            return Err(BadSipUri::BadPart("text"));
        }
        if uri.len() > URI_CHARS_MAX {
            return Err(BadSipUri::UriTooLong(uri.len()));
        }
        Ok(SipUri(uri.to_owned()))
    }

    /// The URI as SIP writes it; XML must still escape it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn address(parts: &SipUriParts<'_>) -> Result<String, BadSipUri> {
    check_part("user", parts.user, b"-_.+")?;
    check_part("host", parts.host, b"-.:[]")?;
    let mut uri = format!("sip:{}@{};transport=tls", parts.user, parts.host);
    if parts.secure_media {
        uri.push_str(";secure=true");
    }
    if let Some(edge) = parts.edge {
        check_part("edge", edge, b"-")?;
        uri.push_str(";edge=");
        uri.push_str(edge);
    }
    Ok(uri)
}

fn headers(headers: &[(&str, &str)]) -> Result<String, BadSipUri> {
    let mut text = String::new();
    for (name, value) in headers {
        let is_custom = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
        if !is_custom || !is_header_name(name) {
            return Err(BadSipUri::BadHeaderName(name.chars().take(64).collect()));
        }
        if value.chars().any(char::is_control) {
            return Err(BadSipUri::BadHeaderValue((*name).to_owned()));
        }
        if !text.is_empty() {
            text.push('&');
        }
        percent::encode_into(&mut text, name);
        text.push('=');
        percent::encode_into(&mut text, value);
    }
    Ok(text)
}

fn check_part(name: &'static str, text: &str, more: &[u8]) -> Result<(), BadSipUri> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    if !text.is_empty() && text.bytes().all(is_allowed) { Ok(()) } else { Err(BadSipUri::BadPart(name)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts() -> SipUriParts<'static> {
        SipUriParts { user: "proj_demo123", host: "sip.api.openai.com", ..SipUriParts::default() }
    }

    fn write(parts: SipUriParts<'_>) -> Result<String, BadSipUri> {
        SipUri::new(parts).map(|uri| uri.as_str().to_owned())
    }

    #[test]
    fn a_uri_has_the_parts_it_was_given() {
        assert_eq!(write(parts()).unwrap(), "sip:proj_demo123@sip.api.openai.com;transport=tls");
        let whole = SipUriParts {
            secure_media: true,
            edge: Some("tokyo"),
            headers: &[("X-Switchboard-Token", "9f2c-b1_"), ("x-note", "a=b;c, d&é?<")],
            ..parts()
        };
        assert_eq!(
            write(whole).unwrap(),
            "sip:proj_demo123@sip.api.openai.com;transport=tls;secure=true;edge=tokyo\
             ?X-Switchboard-Token=9f2c-b1_&x-note=a%3Db%3Bc%2C%20d%26%C3%A9%3F%3C"
        );
    }

    #[test]
    fn a_part_cannot_leave_its_place() {
        for user in ["", "a@b", "a;b", "a?X-A=1", "a b", "é", "a\r\n"] {
            assert_eq!(write(SipUriParts { user, ..parts() }), Err(BadSipUri::BadPart("user")), "{user}");
        }
        for host in ["", "a;b", "a/b", "a?b", "a b"] {
            assert_eq!(write(SipUriParts { host, ..parts() }), Err(BadSipUri::BadPart("host")), "{host}");
        }
        for edge in ["", "tokyo;secure=true", "tokyo?X-A=1"] {
            let refused = write(SipUriParts { edge: Some(edge), ..parts() });
            assert_eq!(refused, Err(BadSipUri::BadPart("edge")), "{edge}");
        }
    }

    #[test]
    fn only_clean_custom_headers_are_taken() {
        for name in ["From", "X", "", "X-a b", "X-a\r\n", "X-é", "é-", &format!("X-{}", "a".repeat(64))] {
            let refused = write(SipUriParts { headers: &[(name, "v")], ..parts() });
            assert!(matches!(refused, Err(BadSipUri::BadHeaderName(_))), "{name}");
        }
        let refused = write(SipUriParts { headers: &[("X-A", "v\r\nVia: forged")], ..parts() });
        assert_eq!(refused, Err(BadSipUri::BadHeaderValue("X-A".to_owned())));
    }

    #[test]
    fn twilios_lengths_are_kept() {
        let fixed = write(SipUriParts { user: "u", ..parts() }).unwrap().len() - 1;
        let with_user = |length: usize| write(SipUriParts { user: &"u".repeat(length), ..parts() });
        assert_eq!(with_user(254 - fixed).unwrap().len(), 254);
        assert_eq!(with_user(255 - fixed), Err(BadSipUri::UriTooLong(255)));

        let with_value = |length: usize| {
            let value = "v".repeat(length);
            SipUri::new(SipUriParts { headers: &[("X-A", &value)], ..parts() })
        };
        assert!(with_value(1023 - 4).is_ok());
        assert_eq!(with_value(1024 - 4), Err(BadSipUri::HeadersTooLong(1024)));
    }

    /// Any characters at all; `any::<String>()` makes no control characters.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn no_value_adds_a_header(value in "\\PC{0,60}") {
            let uri = write(SipUriParts { headers: &[("X-A", &value)], ..parts() }).unwrap();
            prop_assert_eq!(uri.matches('?').count(), 1);
            prop_assert_eq!(uri.matches('&').count(), 0);
            let encoded = uri.split_once("?X-A=").unwrap().1;
            prop_assert_eq!(percent::decode(encoded.as_bytes()), value.as_bytes());
        }

        #[test]
        fn writing_never_panics(user in any_text(), host in any_text(), name in any_text(), value in any_text()) {
            let headers = [(name.as_str(), value.as_str())];
            let hostile = SipUriParts {
                user: &user,
                host: &host,
                secure_media: true,
                edge: Some(&name),
                headers: &headers,
            };
            let _ = SipUri::new(hostile);
            let _ = SipUri::new(SipUriParts { headers: &headers, ..parts() });
        }
    }
}
