//! The fields of Twilio's requests ("TwiML Voice: Twilio's request to your application") and how a
//! form is written on the wire.

use crate::clock::Timestamp;

/// Fields of a form, in order.
pub type Fields = Vec<(String, String)>;

/// The caller's leg, as every request about it tells it.
pub(super) struct ParentLeg<'a> {
    pub account_sid: &'a str,
    pub call_sid: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub status: &'a str,
}

impl ParentLeg<'_> {
    /// All fields that usually come with a call from a telephone.
    pub fn fields(&self) -> Fields {
        let mut fields = pairs(&[
            ("AccountSid", self.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", self.call_sid),
            ("CallStatus", self.status),
            ("CallToken", r#"{"parentCallInfoToken":"eyJhbGciOiJFUzI1NiJ9.e30.AA"}"#),
            ("Called", self.to),
            ("Caller", self.from),
            ("Direction", "inbound"),
            ("From", self.from),
            ("StirVerstat", "No-TN-Validation"),
            ("To", self.to),
        ]);
        for (role, number) in
            [("Called", self.to), ("Caller", self.from), ("From", self.from), ("To", self.to)]
        {
            fields.push((format!("{role}City"), String::new()));
            fields.push((format!("{role}Country"), country(number).to_owned()));
            fields.push((format!("{role}State"), String::new()));
            fields.push((format!("{role}Zip"), String::new()));
        }
        fields
    }
}

/// Fields from literals.
pub(super) fn pairs(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn country(number: &str) -> &'static str {
    match number {
        _ if number.starts_with("+81") => "JP",
        _ if number.starts_with("+1") => "US",
        _ => "",
    }
}

/// `application/x-www-form-urlencoded`: a space is `+`, a plus is `%2B`.
pub(super) fn encoded(fields: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        push_encoded(&mut text, name);
        text.push('=');
        push_encoded(&mut text, value);
    }
    text
}

fn push_encoded(text: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'*' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// `Sun, 22 Nov 2026 03:00:03 +0000`, as in `Timestamp`.
pub(super) fn rfc_2822(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(0);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::sign::signature;
    use super::*;

    /// Vector S2: the 27 fields Twilio sends, signed by the vendor's library.
    #[test]
    fn a_voice_request_has_all_usual_fields() {
        let leg = ParentLeg {
            account_sid: "AC00000000000000000000000000000abc",
            call_sid: "CA0123456789abcdef0123456789abcdef",
            from: "+819012345678",
            to: "+815012345678",
            status: "ringing",
        };
        let fields = leg.fields();
        assert_eq!(fields.len(), 27);
        let url = "https://gw.example.jp/twilio/voice?tenant=acme&lang=ja-JP";
        let signed = signature("gw_demo_auth_token_0123456789abc", url, &fields);
        assert_eq!(signed, "4NkXZvTRm92dg2nMuTdgW80HDTk=");
    }

    #[test]
    fn a_form_is_written_as_browsers_do() {
        let fields = pairs(&[("From", "+81 90"), ("Empty", ""), ("名", "a&b=c~")]);
        assert_eq!(encoded(&fields), "From=%2B81+90&Empty=&%E5%90%8D=a%26b%3Dc%7E");
    }

    #[test]
    fn timestamps_are_rfc_2822() {
        let at = Timestamp::from_secs(1_795_316_403);
        assert_eq!(rfc_2822(at), "Sun, 22 Nov 2026 03:00:03 +0000");
    }
}
