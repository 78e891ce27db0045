//! Vectors made with Twilio's own libraries (PyPI `twilio` 9.13.0, npm `twilio` 6.2.0), S0 to S14, and
//! what must not be accepted.

use proptest::prelude::*;

use super::*;

const TOKEN: &str = "gw_demo_auth_token_0123456789abc";
const SHARED_KEY: &str = "sk_demo_shared_key_secret_42";
const SHARED_SETTINGS: &str = "key=webhooks_sharedkey_demo,algorithm=HMAC_SHA256";
const BASE: &str = "https://gw.example.jp";
const JSON_TARGET: &str =
    "/twilio/json?tenant=acme&bodySHA256=eb771101993bf6a804971a4a832e48dc7665c00644b680906552bf2a55d09286";
const JSON_BODY: &str =
    r#"{"event":"voice.demo","call":"CA0123456789abcdef0123456789abcdef","note":"こんにちは"}"#;

const P1: [(&str, &str); 9] = [
    ("AccountSid", "AC00000000000000000000000000000abc"),
    ("ApiVersion", "2010-04-01"),
    ("CallSid", "CA0123456789abcdef0123456789abcdef"),
    ("CallStatus", "ringing"),
    ("Called", "+815012345678"),
    ("Caller", "+819012345678"),
    ("Direction", "inbound"),
    ("From", "+819012345678"),
    ("To", "+815012345678"),
];

const P2_MORE: [(&str, &str); 18] = [
    ("CallToken", r#"{"parentCallInfoToken":"eyJhbGciOiJFUzI1NiJ9.e30.AA"}"#),
    ("CalledCity", ""),
    ("CalledCountry", "JP"),
    ("CalledState", ""),
    ("CalledZip", ""),
    ("CallerCity", ""),
    ("CallerCountry", "JP"),
    ("CallerState", ""),
    ("CallerZip", ""),
    ("FromCity", ""),
    ("FromCountry", "JP"),
    ("FromState", ""),
    ("FromZip", ""),
    ("StirVerstat", "No-TN-Validation"),
    ("ToCity", ""),
    ("ToCountry", "JP"),
    ("ToState", ""),
    ("ToZip", ""),
];

fn p1() -> Form {
    P1.into_iter().collect()
}

fn p2() -> Form {
    P1.into_iter().chain(P2_MORE).collect()
}

/// Verifies against the demo token and the demo shared key.
fn verify_all(
    base: &str,
    target: &str,
    content: Content<'_>,
    signature: &str,
    settings: Option<&str>,
) -> Result<(), Refusal> {
    let keys = Keys {
        auth_tokens: &[Secret::new("an older token"), Secret::new(TOKEN)],
        shared_keys: &[("webhooks_sharedkey_demo".to_owned(), Secret::new(SHARED_KEY))],
        require_shared_key: false,
    };
    let signature = Some(signature);
    verify(&Signed { public_base_url: base, target, content, signature, settings }, keys)
}

fn check_form(target: &str, form: &Form, signature: &str) {
    assert_eq!(verify_all(BASE, target, Content::Form(form), signature, None), Ok(()), "{target}");
    let url = format!("{BASE}{target}");
    assert_eq!(sign(&url, form, &Secret::new(TOKEN), Algorithm::HmacSha1), signature, "{target}");
}

#[test]
fn s0_the_vendors_fixture() {
    let form: Form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]
    .into_iter()
    .collect();
    let request = Signed {
        public_base_url: "https://mycompany.com",
        target: "/myapp.php?foo=1&bar=2",
        content: Content::Form(&form),
        signature: Some("RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        settings: None,
    };
    let tokens = [Secret::new("12345")];
    let keys = Keys { auth_tokens: &tokens, shared_keys: &[], require_shared_key: false };
    assert_eq!(verify(&request, keys), Ok(()));
}

#[test]
fn s1_s2_a_voice_request() {
    check_form("/twilio/voice", &p1(), "AWKZq/mi/BLjUFjd9XHg6VBvfpQ=");
    check_form("/twilio/voice?tenant=acme&lang=ja-JP", &p2(), "4NkXZvTRm92dg2nMuTdgW80HDTk=");
}

#[test]
fn s3_s4_s5_ports() {
    for (base, signature) in [
        ("https://gw.example.jp:8443", "AWKZq/mi/BLjUFjd9XHg6VBvfpQ="),
        ("https://gw.example.jp", "+PrswkDfVAMPy//KyhRG3dTHS/s="),
        ("http://127.0.0.1:18080", "9p2KLIbcgJWUuTFWnF5AQTYzsFA="),
    ] {
        let verified = verify_all(base, "/twilio/voice", Content::Form(&p1()), signature, None);
        assert_eq!(verified, Ok(()), "{base}");
    }
}

#[test]
fn s6_a_get() {
    let target = "/twilio/voice?tenant=acme&AccountSid=AC00000000000000000000000000000abc\
        &ApiVersion=2010-04-01&CallSid=CA0123456789abcdef0123456789abcdef&CallStatus=ringing\
        &Called=%2B815012345678&Caller=%2B819012345678&Direction=inbound&From=%2B819012345678\
        &To=%2B815012345678";
    let signature = "70GUzQJiJULiD00Q5IS5BnX1a3E=";
    assert_eq!(verify_all(BASE, target, Content::Nothing, signature, None), Ok(()));
}

#[test]
fn s7_repeated_fields() {
    let form: Form = [
        ("CallSid", "CA0123456789abcdef0123456789abcdef"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "ringing"),
    ]
    .into_iter()
    .collect();
    check_form("/twilio/status", &form, "minpaXUhAaEYyquWyoh9+LflGns=");
}

#[test]
fn s8_a_json_body() {
    let check = |target: &str, body: &[u8]| {
        verify_all(BASE, target, Content::Json(body), "2f33T/VQvWqej7iNnrBVJqPyZ00=", None)
    };
    assert_eq!(check(JSON_TARGET, JSON_BODY.as_bytes()), Ok(()));
    for at in 0..JSON_BODY.len() {
        let mut changed = JSON_BODY.as_bytes().to_vec();
        changed[at] ^= 1;
        assert_eq!(check(JSON_TARGET, &changed), Err(Refusal::BodyHash));
    }
    assert_eq!(check("/twilio/json?tenant=acme", JSON_BODY.as_bytes()), Err(Refusal::BodyHash));
    assert_eq!(check(&format!("{JSON_TARGET}&x=1"), JSON_BODY.as_bytes()), Err(Refusal::NoMatch));
}

#[test]
fn s9_the_upgrade_to_a_websocket() {
    let check = |signature| verify_all(BASE, "/twilio/media", Content::Upgrade, signature, None);
    assert_eq!(check("ITzryVsP7rK0/u6/TVJQiNacvfI="), Ok(()));
    assert_eq!(check("uqaTf16U0biM8lSsC8q6zVojdYs="), Ok(()));
    assert_eq!(check("wrZWNUU0h5AmYQetJICfVqK0G6o="), Err(Refusal::NoMatch), "S9c was signed as https");
}

#[test]
fn s10_text_that_is_not_ascii() {
    let form: Form = [
        ("CallSid", "CA0123456789abcdef0123456789abcdef"),
        ("CallerName", "山田太郎"),
        ("From", "+819012345678"),
        ("SpeechResult", " 予約したいです "),
        ("To", "+815012345678"),
    ]
    .into_iter()
    .collect();
    check_form("/twilio/gather?step=1", &form, "sO4Tyjf8ATgWwgZSWC69ziavLrM=");
}

#[test]
fn s11_a_dial_action() {
    let with_status =
        P1.map(|(name, value)| (name, if name == "CallStatus" { "in-progress" } else { value }));
    let form: Form = with_status
        .into_iter()
        .chain([
            ("DialBridged", "false"),
            ("DialCallSid", "CAfedcba9876543210fedcba9876543210"),
            ("DialCallStatus", "failed"),
            ("DialSipCallId", "5f1c9e7a0b@0.0.0.0"),
            ("DialSipResponseCode", "503"),
        ])
        .collect();
    check_form("/twilio/dial-action?call=c_01&try=1", &form, "0YewKi/nD9D+qLxyJElca3A93I8=");
}

#[test]
fn s12_the_query_as_it_was_sent() {
    let target = "/twilio/voice?label=It's%20caf%C3%A9+ok&n=a%2Bb";
    check_form(target, &p1(), "FhJuqENsRz9m4zYh8BD3GQWVWV0=");
    for legacy in ["+NnXStuHSk4i/6Vg/guXFk4iG7c=", "zIk3Fc4m03HCRuddAxus78JMuyE="] {
        let verified = verify_all(BASE, target, Content::Form(&p1()), legacy, None);
        assert_eq!(verified, Err(Refusal::NoMatch), "an escaped form of the query");
    }
}

#[test]
fn s13_a_shared_key() {
    let signature = "mYd2Okg8EGkj9MZ7vagxSNLZQJW/siWKr0CTbovP2K4=";
    let check = |settings| verify_all(BASE, "/twilio/voice", Content::Form(&p1()), signature, settings);
    assert_eq!(check(Some(SHARED_SETTINGS)), Ok(()));
    assert_eq!(check(Some(" algorithm = HMAC_SHA256 , key = webhooks_sharedkey_demo ")), Ok(()));
    for (settings, expected) in [
        (None, Refusal::NoMatch),
        (Some(""), Refusal::NoMatch),
        (Some("key=webhooks_sharedkey_demo"), Refusal::NoMatch),
        (Some("key=webhooks_sharedkey_demo,algorithm=HMAC_SHA1"), Refusal::NoMatch),
        (Some("key=webhooks_sharedkey_demo,algorithm=HMAC_MD5"), Refusal::UnknownAlgorithm),
        (Some("key=another,algorithm=HMAC_SHA256"), Refusal::UnknownSharedKey),
        (Some("algorithm=HMAC_SHA256"), Refusal::UnknownSharedKey),
    ] {
        assert_eq!(check(settings), Err(expected), "{settings:?}");
    }
    let url = format!("{BASE}/twilio/voice");
    assert_eq!(sign(&url, &p1(), &Secret::new(SHARED_KEY), Algorithm::HmacSha256), signature);
}

#[test]
fn s14_a_recording() {
    let form: Form = [
        ("AccountSid", "AC00000000000000000000000000000abc"),
        ("CallSid", "CA0123456789abcdef0123456789abcdef"),
        ("ErrorCode", "0"),
        ("RecordingChannels", "2"),
        ("RecordingDuration", "42"),
        ("RecordingSid", "RE0123456789abcdef0123456789abcdef"),
        ("RecordingSource", "DialVerb"),
        ("RecordingStartTime", "Sun, 22 Nov 2026 03:04:05 +0000"),
        ("RecordingStatus", "completed"),
        ("RecordingTrack", "both"),
        (
            "RecordingUrl",
            "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000abc\
             /Recordings/RE0123456789abcdef0123456789abcdef",
        ),
    ]
    .into_iter()
    .collect();
    check_form("/twilio/recording", &form, "4WZAYDdrWxwCLDh5UtypxXF9WH8=");
}

#[test]
fn a_required_shared_key_cannot_be_left_out() {
    let keys = Keys {
        auth_tokens: &[Secret::new(TOKEN)],
        shared_keys: &[("webhooks_sharedkey_demo".to_owned(), Secret::new(SHARED_KEY))],
        require_shared_key: true,
    };
    let form = p1();
    let verify_with = |signature, settings| {
        let request = Signed {
            public_base_url: BASE,
            target: "/twilio/voice",
            content: Content::Form(&form),
            signature: Some(signature),
            settings,
        };
        verify(&request, keys)
    };
    assert_eq!(verify_with("AWKZq/mi/BLjUFjd9XHg6VBvfpQ=", None), Err(Refusal::SharedKeyRequired));
    let shared = "mYd2Okg8EGkj9MZ7vagxSNLZQJW/siWKr0CTbovP2K4=";
    assert_eq!(verify_with(shared, Some(SHARED_SETTINGS)), Ok(()));
}

#[test]
fn what_was_changed_is_refused() {
    let s1 = "AWKZq/mi/BLjUFjd9XHg6VBvfpQ=";
    for changed in 0..P1.len() {
        let form: Form = P1
            .iter()
            .enumerate()
            .map(|(at, (name, value))| {
                (*name, if at == changed { format!("{value}x") } else { (*value).into() })
            })
            .collect();
        let verified = verify_all(BASE, "/twilio/voice", Content::Form(&form), s1, None);
        assert_eq!(verified, Err(Refusal::NoMatch));
    }
    for (base, target) in [
        (BASE, "/twilio/status"),
        (BASE, "/twilio/voice/"),
        (BASE, "/twilio/voice?x=1"),
        (BASE, "/Twilio/voice"),
        ("http://gw.example.jp", "/twilio/voice"),
        ("https://gw.example.com", "/twilio/voice"),
    ] {
        let verified = verify_all(base, target, Content::Form(&p1()), s1, None);
        assert_eq!(verified, Err(Refusal::NoMatch), "{base}{target}");
    }
    let without_form = verify_all(BASE, "/twilio/voice", Content::Nothing, s1, None);
    assert_eq!(without_form, Err(Refusal::NoMatch));
}

#[test]
fn a_signature_over_fewer_fields_is_refused_and_named() {
    let without = |left_out: &[&str]| -> Form {
        p2().as_slice().iter().filter(|(name, _)| !left_out.contains(&name.as_str())).cloned().collect()
    };
    let target = "/twilio/voice?tenant=acme&lang=ja-JP";
    let whole = "4NkXZvTRm92dg2nMuTdgW80HDTk=";
    let verified = verify_all(BASE, target, Content::Form(&without(&["StirVerstat"])), whole, None);
    assert_eq!(verified, Err(Refusal::NoMatch));

    let signed = without(&["StirVerstat", "CallToken"]);
    let signature = sign(&format!("{BASE}{target}"), &signed, &Secret::new(TOKEN), Algorithm::HmacSha1);
    let verified = verify_all(BASE, target, Content::Form(&p2()), &signature, None);
    assert_eq!(verified, Err(Refusal::FieldsNotSigned));
}

#[test]
fn a_fragment_is_neither_sent_nor_signed() {
    // A signature over the fragment must not fit, whether the fragment is passed in or not.
    let url = format!("{BASE}/twilio/voice#rc=2&ct=1000");
    let signature = sign(&url, &p1(), &Secret::new(TOKEN), Algorithm::HmacSha1);
    for target in ["/twilio/voice", "/twilio/voice#rc=2&ct=1000"] {
        let verified = verify_all(BASE, target, Content::Form(&p1()), &signature, None);
        assert_eq!(verified, Err(Refusal::NoMatch), "{target}");
    }
}

#[test]
fn a_signature_must_be_there_and_whole() {
    let form = p1();
    let request = Signed {
        public_base_url: BASE,
        target: "/twilio/voice",
        content: Content::Form(&form),
        signature: None,
        settings: None,
    };
    let tokens = [Secret::new(TOKEN), Secret::new("")];
    let keys = Keys { auth_tokens: &tokens, shared_keys: &[], require_shared_key: false };
    assert_eq!(verify(&request, keys), Err(Refusal::MissingSignature));
    let with_nothing =
        sign("https://gw.example.jp/twilio/voice", &form, &Secret::new(""), Algorithm::HmacSha1);
    for (signature, expected) in [
        ("", Refusal::MissingSignature),
        ("AWKZq/mi/BLjUFjd9XHg6VBvfpQ", Refusal::NoMatch),
        ("AWKZq/mi/BLjUFjd9XHg6VBvfpR=", Refusal::NoMatch),
        ("AWKZq/mi/BLjUFjd9XHg6VBv", Refusal::NoMatch),
        ("AWKZ", Refusal::NoMatch),
        ("=", Refusal::NoMatch),
        (&with_nothing, Refusal::NoMatch),
    ] {
        let request = Signed { signature: Some(signature), ..request };
        assert_eq!(verify(&request, keys), Err(expected), "{signature}");
    }
}

proptest! {
    #[test]
    fn what_was_signed_verifies_and_one_changed_byte_does_not(
        fields in prop::collection::vec(("[a-zA-Z]{1,8}", "\\PC{1,8}"), 1..8),
        token in "[!-~]{1,32}",
        at: prop::sample::Index,
        bit in 0_u8..7,
        is_sha256: bool,
    ) {
        let secret = Secret::new(&token);
        let algorithm = if is_sha256 { Algorithm::HmacSha256 } else { Algorithm::HmacSha1 };
        let settings = if is_sha256 { "key=k,algorithm=HMAC_SHA256" } else { "key=k,algorithm=HMAC_SHA1" };
        let form: Form = fields.iter().cloned().collect();
        let signature = sign("https://gw.example.jp/v?a=1", &form, &secret, algorithm);
        let shared_keys = [("k".to_owned(), secret)];
        let check = |form: &Form, signature: &str, target: &str| {
            let request = Signed {
                public_base_url: BASE,
                target,
                content: Content::Form(form),
                signature: Some(signature),
                settings: Some(settings),
            };
            verify(&request, Keys { auth_tokens: &[], shared_keys: &shared_keys, require_shared_key: true })
        };
        prop_assert_eq!(check(&form, &signature, "/v?a=1"), Ok(()));

        let mut changed = signature.clone().into_bytes();
        changed[at.index(signature.len())] ^= 1 << bit;
        let changed = String::from_utf8(changed).expect("ASCII stays ASCII");
        prop_assert!(check(&form, &changed, "/v?a=1").is_err());

        let mut other = fields.clone();
        other[at.index(fields.len())].1.push('x');
        let other: Form = other.into_iter().collect();
        prop_assert!(check(&other, &signature, "/v?a=1").is_err());
        prop_assert!(check(&form, &signature, "/v?a=2").is_err());
    }

    #[test]
    fn verifying_never_panics(base: String, target: String, text: String, settings: String, body: Vec<u8>) {
        let form: Form = [(text.clone(), target.clone())].into_iter().collect();
        for content in [Content::Nothing, Content::Form(&form), Content::Json(&body), Content::Upgrade] {
            let _ = verify_all(&base, &target, content, &text, Some(&settings));
        }
    }
}
