//! Our signatures against those of independent implementations.
//!
//! The vectors in `tests/fixtures/signatures/` come from the vendors' Python libraries and are made
//! anew by `tests/interop/verify_signatures.py`, which also shows `ours.json`, written here, to those
//! libraries.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use switchboard::clock::{Entropy, Timestamp};
use switchboard::secret::Secret;
use switchboard::wire::form::Form;
use switchboard::wire::twilio_signature::{self, Algorithm, Content, Keys, Signed};
use switchboard::wire::webhook::{self, Headers};

const TOLERANCE: Duration = Duration::from_secs(300);

/// A delivery of the voice provider.
#[derive(Deserialize, Serialize)]
struct Webhook {
    id: String,
    timestamp: String,
    body: String,
    secret: String,
    signature: String,
}

/// A request of Twilio.
#[derive(Deserialize, Serialize)]
struct Request {
    content: String,
    public_base_url: String,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
    secret: String,
    settings: Option<String>,
    signature: String,
}

/// What `ours.json` holds.
#[derive(Serialize)]
struct Ours {
    webhooks: Vec<Webhook>,
    requests: Vec<Request>,
}

impl Webhook {
    fn is_verified(&self, body: &str) -> bool {
        let headers = Headers {
            id: Some(&self.id),
            timestamp: Some(&self.timestamp),
            signature: Some(&self.signature),
        };
        let now = Timestamp::from_secs(self.timestamp.parse().expect("seconds"));
        let secrets = [Secret::new("whsec_b3RoZXI="), Secret::new(&self.secret)];
        webhook::verify(headers, body.as_bytes(), &secrets, TOLERANCE, now).is_ok()
    }
}

impl Request {
    fn form(&self) -> Form {
        self.fields.iter().cloned().collect()
    }

    fn is_verified(&self, target: &str) -> bool {
        let form = self.form();
        // As on the wire: what is verified has been encoded and decoded once.
        let form = Form::parse(form.encode().as_bytes()).expect("a form");
        let signed = Signed {
            public_base_url: &self.public_base_url,
            target,
            content: match self.content.as_str() {
                "form" => Content::Form(&form),
                "nothing" => Content::Nothing,
                "json" => Content::Json(self.body.as_bytes()),
                "upgrade" => Content::Upgrade,
                other => panic!("unknown content `{other}`"),
            },
            signature: Some(&self.signature),
            settings: self.settings.as_deref(),
        };
        let id = self.settings.as_deref().and_then(|text| text.split([',', '=']).nth(1)).unwrap_or("none");
        let keys = Keys {
            auth_tokens: &[Secret::new("another token"), Secret::new(&self.secret)],
            shared_keys: &[(id.to_owned(), Secret::new(&self.secret))],
            require_shared_key: self.settings.is_some(),
        };
        twilio_signature::verify(&signed, keys).is_ok()
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/signatures").join(name)
}

fn vectors<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(fixture(name)).expect("a readable fixture");
    serde_json::from_str(&text).expect("vectors")
}

#[test]
fn openais_library_and_we_agree() {
    let webhooks: Vec<Webhook> = vectors("openai.json");
    assert!(webhooks.len() >= 15);
    for webhook in webhooks {
        assert!(webhook.is_verified(&webhook.body), "{}", webhook.id);
        assert!(!webhook.is_verified(&format!("{} ", webhook.body)), "{}", webhook.id);
    }
}

#[test]
fn twilios_library_and_we_agree() {
    let requests: Vec<Request> = vectors("twilio.json");
    assert!(requests.len() >= 20);
    for request in requests {
        assert!(request.is_verified(&request.target), "{}", request.target);
        assert!(!request.is_verified(&format!("{}x", request.target)), "{}", request.target);
    }
}

#[test]
fn our_signatures_are_those_the_libraries_were_shown() {
    let chance = Entropy::seeded(7);
    let ours = Ours {
        webhooks: (0..15).map(|number| our_webhook(&chance, number)).collect(),
        requests: (0..15).map(|number| our_request(&chance, number)).collect(),
    };
    let text = serde_json::to_string_pretty(&ours).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(fixture("ours.json"), &text).expect("a writable fixture");
    }
    let shown = std::fs::read_to_string(fixture("ours.json")).unwrap_or_default();
    assert!(shown == text, "ours.json is out of date: see tests/interop/verify_signatures.py");
}

fn our_webhook(chance: &Entropy, number: u64) -> Webhook {
    let id = format!("wh_{:032x}", u128::from_be_bytes(chance.bytes()));
    let timestamp = (1_795_000_000 + number).to_string();
    let body = text(chance);
    let secret =
        if number.is_multiple_of(3) { format!("plain-{id}") } else { format!("whsec_{}AAA=", &id[3..]) };
    let signature = webhook::sign(&Secret::new(&secret), &id, &timestamp, body.as_bytes()).expect("a key");
    Webhook { id, timestamp, body, secret, signature }
}

fn our_request(chance: &Entropy, number: usize) -> Request {
    let algorithm = [Algorithm::HmacSha1, Algorithm::HmacSha256][number % 2];
    let base = ["https://gw.example.jp", "http://127.0.0.1:18080", "https://gw.example.jp:443"][number % 3];
    let mut request = Request {
        content: "form".to_owned(),
        public_base_url: base.to_owned(),
        target: format!("/twilio/leg?c=call_{number}&label=It's%20caf%C3%A9+ok"),
        fields: (0..number).map(|_| (format!("Name{}", text(chance)), text(chance))).collect(),
        body: String::new(),
        secret: format!("{:032x}", u128::from_be_bytes(chance.bytes())),
        settings: (algorithm == Algorithm::HmacSha256).then(|| "key=k,algorithm=HMAC_SHA256".to_owned()),
        signature: String::new(),
    };
    request.fields.extend(request.fields.clone().into_iter().take(2));
    let url = format!("{base}{}", request.target);
    request.signature =
        twilio_signature::sign(&url, &request.form(), &Secret::new(&request.secret), algorithm);
    request
}

/// Up to 15 characters from all over Unicode, often such as need care in forms and XML.
fn text(chance: &Entropy) -> String {
    let [length] = chance.bytes::<1>();
    let pick = |_| {
        let [kind, ascii, high, low] = chance.bytes::<4>();
        let wide = char::from_u32(u32::from_be_bytes([0, kind % 2, high, low])).unwrap_or('予');
        if kind % 3 == 0 { wide } else { char::from(ascii % 95 + b' ') }
    };
    (0..length % 16).map(pick).collect()
}
