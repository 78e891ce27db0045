//! The carrier's signatures: nobody gets in without the token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::secret::Secret;
use switchboard::wire::form::Form;
use switchboard::wire::twilio_signature::{Content, Keys, Signed, verify};

/// Target, body, what kind of content, signature, settings.
type Request<'a> = (&'a str, &'a [u8], u8, Option<&'a str>, Option<&'a str>);

fuzz_target!(|request: Request<'_>| {
    let (target, body, kind, signature, settings) = request;
    let form = Form::parse(body).ok();
    let content = match (kind % 4, &form) {
        (0, Some(form)) => Content::Form(form),
        (1, _) => Content::Json(body),
        (2, _) => Content::Upgrade,
        _ => Content::Nothing,
    };
    let signed = Signed {
        public_base_url: "https://voice.example.com",
        target,
        content,
        signature,
        settings,
    };
    let tokens = [Secret::new("12345"), Secret::new("67890")];
    let shared = [("SK1".to_owned(), Secret::new("shared"))];
    for require_shared_key in [false, true] {
        let keys = Keys { auth_tokens: &tokens, shared_keys: &shared, require_shared_key };
        assert!(verify(&signed, keys).is_err(), "a forged request is believed");
    }
});
