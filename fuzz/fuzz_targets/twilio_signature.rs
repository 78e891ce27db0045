//! The carrier's signatures: nobody gets in without the token.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use switchboard::secret::Secret;
use switchboard::wire::form::Form;
use switchboard::wire::twilio_signature::{Content, Keys, Signed, verify};

#[derive(Arbitrary, Debug)]
struct Request<'a> {
    target: &'a str,
    body: &'a [u8],
    kind: u8,
    signature: Option<&'a str>,
    settings: Option<&'a str>,
}

fuzz_target!(|request: Request<'_>| {
    let form = Form::parse(request.body).ok();
    let content = match (request.kind % 4, &form) {
        (0, Some(form)) => Content::Form(form),
        (1, _) => Content::Json(request.body),
        (2, _) => Content::Upgrade,
        _ => Content::Nothing,
    };
    let signed = Signed {
        public_base_url: "https://voice.example.com",
        target: request.target,
        content,
        signature: request.signature,
        settings: request.settings,
    };
    let tokens = [Secret::new("12345"), Secret::new("67890")];
    let shared = [("SK1".to_owned(), Secret::new("shared"))];
    for require_shared_key in [false, true] {
        let keys = Keys { auth_tokens: &tokens, shared_keys: &shared, require_shared_key };
        assert!(verify(&signed, keys).is_err(), "a forged request is believed");
    }
});
