//! What a route does with a call: answer it, turn it away, or send it elsewhere.

use std::collections::BTreeMap;
use std::fmt;

/// What a route does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A model answers.
    Answer {
        /// The session's name.
        session: String,
        /// Variables for the session's templates; they go before the session's own.
        vars: BTreeMap<String, String>,
    },
    /// The call is turned away without being answered.
    Reject(RejectCode),
    /// The call is sent to somebody else, without a model.
    Forward(Target),
}

/// A SIP final response that refuses a call: 400 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectCode(u16);

/// What a carrier's `<Reject reason>` can say (Twilio, "TwiML Voice: Reject").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The caller hears a busy signal.
    Busy,
    /// The caller hears that the number is not in service.
    Rejected,
}

impl RejectCode {
    /// 404: there is nobody at this number.
    pub const NOT_FOUND: RejectCode = RejectCode(404);

    /// A code of 400 to 699; none for any other.
    pub fn new(code: u16) -> Option<RejectCode> {
        (400..=699).contains(&code).then_some(RejectCode(code))
    }

    /// The code as it goes into SIP.
    pub fn get(self) -> u16 {
        self.0
    }

    /// What a carrier that knows only two reasons is told: busy for 486 and 600, else rejected.
    pub fn reason(self) -> RejectReason {
        match self.0 {
            486 | 600 => RejectReason::Busy,
            _ => RejectReason::Rejected,
        }
    }
}

impl RejectReason {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::Busy => "busy",
            RejectReason::Rejected => "rejected",
        }
    }
}

/// Where a call is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A telephone number in E.164, with its `+`.
    Number(String),
    /// A SIP address, with its `sip:` or `sips:`.
    Sip(String),
}

/// The text is neither a number nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a number (`+81312345678`, `tel:+81312345678`) nor a SIP address (`sip:desk@example.com`)")]
pub struct BadTarget;

/// Twilio: "SIP URIs must be under 255 characters" (TwiML Voice: Sip).
const ADDRESS_LENGTH_MAX: usize = 254;

impl Target {
    /// Reads `+81312345678`, `tel:+81312345678`, `sip:user@host` or `sips:user@host`.
    ///
    /// # Errors
    ///
    /// Anything else, and addresses with blanks, quotes, angle brackets or control characters.
    pub fn parse(text: &str) -> Result<Target, BadTarget> {
        if let Some(address) = text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:")) {
            return if is_address(address) && text.len() <= ADDRESS_LENGTH_MAX {
                Ok(Target::Sip(text.to_owned()))
            } else {
                Err(BadTarget)
            };
        }
        let number = text.strip_prefix("tel:").unwrap_or(text);
        let digits = number.strip_prefix('+').ok_or(BadTarget)?;
        let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit());
        if is_number { Ok(Target::Number(number.to_owned())) } else { Err(BadTarget) }
    }
}

fn is_address(address: &str) -> bool {
    let host = address.split_once('@').map_or(address, |(_, host)| host);
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`');
    address.chars().all(is_plain) && host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

impl fmt::Display for Target {
    /// A URI, as SIP's `Refer-To` wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Number(number) => write!(f, "tel:{number}"),
            Target::Sip(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_numbers_or_addresses() {
        for (text, uri) in [
            ("+81312345678", "tel:+81312345678"),
            ("tel:+81312345678", "tel:+81312345678"),
            ("sip:desk@example.com;transport=tls", "sip:desk@example.com;transport=tls"),
            ("sips:example.com", "sips:example.com"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), uri);
        }
        for text in ["", "sales", "0312345678", "tel:03", "sip:", "sip:a@", "sip:a b@c", "sip:<a>@b", "+1"] {
            assert_eq!(Target::parse(text), Err(BadTarget), "{text}");
        }
    }

    #[test]
    fn only_busy_codes_are_busy_for_a_carrier() {
        let reason = |code| RejectCode::new(code).map(|code| code.reason().as_str());
        assert_eq!(reason(486), Some("busy"));
        assert_eq!(reason(600), Some("busy"));
        assert_eq!(reason(603), Some("rejected"));
        assert_eq!(reason(200), None);
        assert_eq!(reason(700), None);
    }
}
