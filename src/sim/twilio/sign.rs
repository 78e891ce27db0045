//! `X-Twilio-Signature` as Twilio makes it ("Webhooks: Security"), written here a second time so that
//! the gateway's verifier cannot agree with its own mistake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The signature over `url` and the form's fields; a GET or an upgrade signs no fields.
pub(super) fn signature(token: &str, url: &str, fields: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = fields.iter().collect();
    pairs.sort();
    pairs.dedup();
    let mut text = signed_url(url);
    for (name, value) in pairs {
        text.push_str(name);
        text.push_str(value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Fragments are never signed; voice requests over HTTPS are signed without the port.
fn signed_url(url: &str) -> String {
    let url = without_fragment(url);
    let Some(rest) = url.strip_prefix("https://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    format!("https://{host}{path}")
}

/// `url` up to its `#`, which is an instruction to Twilio and is not sent.
pub(super) fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "gw_demo_auth_token_0123456789abc";

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn p1() -> Vec<(String, String)> {
        fields(&[
            ("AccountSid", "AC00000000000000000000000000000abc"),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", "CA0123456789abcdef0123456789abcdef"),
            ("CallStatus", "ringing"),
            ("Called", "+815012345678"),
            ("Caller", "+819012345678"),
            ("Direction", "inbound"),
            ("From", "+819012345678"),
            ("To", "+815012345678"),
        ])
    }

    /// Values made by the vendor's own Python library.
    #[test]
    fn the_vendors_library_agrees() {
        let vendor = fields(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ]);
        let repeats = fields(&[
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "ringing"),
            ("CallSid", "CA0123456789abcdef0123456789abcdef"),
        ]);
        let utf8 = fields(&[
            ("CallSid", "CA0123456789abcdef0123456789abcdef"),
            ("CallerName", "山田太郎"),
            ("From", "+819012345678"),
            ("SpeechResult", " 予約したいです "),
            ("To", "+815012345678"),
        ]);
        let get = "https://gw.example.jp/twilio/voice?tenant=acme&AccountSid=AC00000000000000000000000000000abc&ApiVersion=2010-04-01&CallSid=CA0123456789abcdef0123456789abcdef&CallStatus=ringing&Called=%2B815012345678&Caller=%2B819012345678&Direction=inbound&From=%2B819012345678&To=%2B815012345678";
        for (token, url, fields, expected) in [
            ("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", vendor, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            (TOKEN, "https://gw.example.jp/twilio/voice", p1(), "AWKZq/mi/BLjUFjd9XHg6VBvfpQ="),
            (TOKEN, "https://gw.example.jp:8443/twilio/voice", p1(), "AWKZq/mi/BLjUFjd9XHg6VBvfpQ="),
            (TOKEN, "https://gw.example.jp/twilio/voice#rc=2&ct=1000", p1(), "AWKZq/mi/BLjUFjd9XHg6VBvfpQ="),
            (TOKEN, "http://127.0.0.1:18080/twilio/voice", p1(), "9p2KLIbcgJWUuTFWnF5AQTYzsFA="),
            (TOKEN, get, Vec::new(), "70GUzQJiJULiD00Q5IS5BnX1a3E="),
            (TOKEN, "https://gw.example.jp/twilio/status", repeats, "minpaXUhAaEYyquWyoh9+LflGns="),
            (TOKEN, "https://gw.example.jp/twilio/gather?step=1", utf8, "sO4Tyjf8ATgWwgZSWC69ziavLrM="),
        ] {
            assert_eq!(signature(token, url, &fields), expected, "{url}");
        }
    }

    #[test]
    fn an_ipv6_host_is_not_taken_for_a_port() {
        assert_eq!(signed_url("https://[2001:db8::1]/x"), "https://[2001:db8::1]/x");
        assert_eq!(signed_url("https://[2001:db8::1]:8443?x"), "https://[2001:db8::1]?x");
    }
}
