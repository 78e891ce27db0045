//! `[openai]`, `[twilio]` and `[pricing]`.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::OneOrMany;
use crate::config::raw;
use crate::config::{Price, Rates};
use crate::openai;
use crate::secret::Secret;
use crate::twilio;

use super::Checker;

/// Twilio's edges (Twilio, "TwiML Voice: Sip").
const EDGES: [&str; 8] =
    ["ashburn", "san-jose", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney"];

impl Checker<'_> {
    pub(super) fn openai(&mut self, raw: raw::OpenAi) -> Option<openai::Settings> {
        let place = Place::of(&["openai"]);
        let api_key = self.secret(raw.api_key, &place, "api_key", "OPENAI_API_KEY");
        let project_id = self.secret(raw.project_id, &place, "project_id", "OPENAI_PROJECT_ID");
        let project_id = project_id.and_then(|id| self.project_id(id, &place.key("project_id")));
        let secrets = self.secrets(raw.webhook_secrets, &place, "webhook_secrets", "OPENAI_WEBHOOK_SECRET");
        let secrets = secrets.and_then(|secrets| self.webhook_secrets(secrets, &place));
        let base_url = raw.base_url.and_then(|url| self.url(&url, &place.key("base_url"), &["https"]));
        let realtime_url = match raw.realtime_url {
            Some(url) => self.url(&url, &place.key("realtime_url"), &["wss"]),
            None => base_url.as_deref().map(realtime_url),
        };
        let sip_host = match raw.sip_host {
            Some(host) => self.sip_host(host, base_url.as_deref(), &place.key("sip_host")),
            None => base_url.as_deref().map(|url| sip_host_of(url).to_owned()),
        };
        let tolerance = Duration::from_secs(1)..=Duration::from_secs(3_600);
        let tolerance = self.span(raw.tolerance, &place.key("tolerance"), tolerance);
        Some(openai::Settings {
            api_key: Secret::new(api_key?),
            project_id: project_id?,
            organization: raw.organization,
            base_url: base_url?,
            realtime_url: realtime_url?,
            sip_host: sip_host?,
            webhook_secrets: secrets?,
            tolerance: tolerance?,
        })
    }

    pub(super) fn twilio(&mut self, raw: raw::Twilio) -> Option<twilio::Settings> {
        let place = Place::of(&["twilio"]);
        let account_sid = self.secret(raw.account_sid, &place, "account_sid", "TWILIO_ACCOUNT_SID");
        let account_sid = account_sid.and_then(|sid| self.account_sid(sid, &place.key("account_sid")));
        let auth_tokens = self.secrets(raw.auth_tokens, &place, "auth_tokens", "TWILIO_AUTH_TOKEN");
        let shared_keys = self.shared_keys(raw.shared_keys.unwrap_or_default(), &place.key("shared_keys"));
        let base_url = raw.base_url.and_then(|url| self.url(&url, &place.key("base_url"), &["https"]));
        let api_key = self.api_key(raw.api_key, &place.key("api_key"));
        let dial = raw.dial.and_then(|dial| self.dial(dial, &place.key("dial")));
        let apology = raw.apology.and_then(|say| self.apology(say, &place.key("apology")));
        Some(twilio::Settings {
            account_sid: account_sid?,
            auth_tokens: auth_tokens?,
            shared_keys: shared_keys?,
            require_shared_key: raw.require_shared_key?.0,
            base_url: base_url?,
            api_key: api_key?,
            dial: dial?,
            apology: apology?,
        })
    }

    /// The price table: defaults, and what the file puts in their place.
    pub(super) fn prices(&mut self, raw: BTreeMap<String, raw::Price>) -> Vec<(String, Price)> {
        let place = Place::of(&["pricing"]);
        raw.into_iter()
            .map(|(model, price)| {
                let price = self.price(price, &place.key(&model));
                (model, price)
            })
            .collect()
    }

    fn price(&mut self, raw: raw::Price, place: &Place) -> Price {
        Price {
            as_of: raw.as_of,
            text: raw.text.map(|rates| self.rates(rates, &place.key("text"))),
            audio: raw.audio.map(|rates| self.rates(rates, &place.key("audio"))),
            image: raw.image.map(|rates| self.rates(rates, &place.key("image"))),
            per_minute: raw.per_minute.map(|usd| self.usd(usd.0, &place.key("per_minute"))),
        }
    }

    fn rates(&mut self, raw: raw::Rates, place: &Place) -> Rates {
        let input = self.usd(raw.input.map_or(0.0, |usd| usd.0), &place.key("input"));
        Rates {
            input,
            // Where no price for cached tokens is given they cost what others do.
            cached: raw.cached.map_or(input, |usd| self.usd(usd.0, &place.key("cached"))),
            output: self.usd(raw.output.map_or(0.0, |usd| usd.0), &place.key("output")),
        }
    }

    fn usd(&mut self, usd: f64, place: &Place) -> f64 {
        if !(0.0..=1_000_000.0).contains(&usd) {
            self.report(&codes::PRICE, place, format!("`{place}` is not a price"))
                .label("US dollars, not negative");
        }
        usd
    }

    /// A text without which nothing works, and where to put it.
    fn secret(&mut self, value: Option<String>, place: &Place, key: &str, variable: &str) -> Option<String> {
        let value = value.filter(|text| !text.trim().is_empty());
        if value.is_none() && !self.document.is_tainted(place) {
            let message = format!("`{}` is missing", place.key(key));
            self.report(&codes::NO_SECRET, &place.key(key), message)
                .help(format!("set the environment variable `{variable}`, or write it into `.env`"));
        }
        value
    }

    /// One or more secrets; each text may hold several with commas between them.
    fn secrets(
        &mut self,
        value: Option<OneOrMany<String>>,
        place: &Place,
        key: &str,
        variable: &str,
    ) -> Option<Vec<Secret>> {
        let texts = value.map_or_else(Vec::new, |many| many.0);
        let parts = texts.iter().flat_map(|text| text.split(','));
        let secrets: Vec<Secret> = parts.map(Secret::new).filter(|secret| !secret.is_empty()).collect();
        let first = secrets.first().map(|secret| secret.expose().to_owned());
        self.secret(first, place, key, variable)?;
        Some(secrets)
    }

    fn project_id(&mut self, id: String, place: &Place) -> Option<String> {
        let is_fit = id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
        if !is_fit {
            self.report(&codes::CREDENTIAL, place, format!("`{place}` is not a project id"))
                .help("copy it from the project's settings; it looks like `proj_…`");
        }
        is_fit.then_some(id)
    }

    fn webhook_secrets(&mut self, secrets: Vec<Secret>, place: &Place) -> Option<Vec<Secret>> {
        let is_key = |secret: &Secret| match secret.expose().strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).is_ok_and(|key| !key.is_empty()),
            None => true,
        };
        let are_keys = secrets.iter().all(is_key);
        if !are_keys {
            let place = place.key("webhook_secrets");
            self.report(&codes::CREDENTIAL, &place, "a webhook secret cannot be decoded")
                .help("copy it whole from the webhook's settings; what follows `whsec_` is base64");
        }
        are_keys.then_some(secrets)
    }

    fn sip_host(&mut self, host: String, base_url: Option<&str>, place: &Place) -> Option<String> {
        if !is_host(&host) {
            self.report(&codes::URL, place, format!("`{place}` is not a host"))
                .help("write a host only, such as \"sip.api.openai.com\"");
            return None;
        }
        let expected = base_url.map(sip_host_of).unwrap_or_default();
        let are_openais = host.ends_with(".api.openai.com") && base_url.is_some_and(is_openais);
        if are_openais && host != expected {
            self.report(&codes::REGION, place, "the SIP host and `openai.base_url` are of different regions")
                .help(format!("with this `base_url` the SIP host is `{expected}`"));
        }
        Some(host)
    }

    fn account_sid(&mut self, sid: String, place: &Place) -> Option<String> {
        let is_fit =
            sid.starts_with("AC") && sid.len() <= 64 && sid.bytes().all(|c| c.is_ascii_alphanumeric());
        if !is_fit {
            self.report(&codes::CREDENTIAL, place, format!("`{place}` is not an account SID"))
                .help("copy it from Twilio's console: `AC` and 32 hexadecimal digits");
        }
        is_fit.then_some(sid)
    }

    fn shared_keys(&mut self, raw: Vec<raw::SharedKey>, place: &Place) -> Option<Vec<(String, Secret)>> {
        let keys: Vec<Option<(String, Secret)>> = raw
            .into_iter()
            .enumerate()
            .map(|(index, key)| {
                let place = place.index(index);
                let id = self.required(key.id, &place, "id", "write the shared key's id");
                let secret = self.required(key.secret, &place, "secret", "write the shared key's secret");
                Some((id?, Secret::new(secret?)))
            })
            .collect();
        keys.into_iter().collect()
    }

    /// A key of the REST API; `Some(None)` where there is none.
    fn api_key(&mut self, raw: Option<raw::ApiKey>, place: &Place) -> Option<Option<(String, Secret)>> {
        let Some(raw) = raw else { return Some(None) };
        let sid = self.required(raw.sid, place, "sid", "write the API key's SID, `SK…`");
        let secret = self.required(raw.secret, place, "secret", "write the API key's secret");
        let (sid, secret) = (sid?, secret?);
        if !sid.starts_with("SK") || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let place = place.key("sid");
            self.report(&codes::CREDENTIAL, &place, format!("`{place}` is not the SID of an API key"))
                .help("it begins with `SK`; the account's own SID begins with `AC`");
            return None;
        }
        Some(Some((sid, Secret::new(secret))))
    }

    fn dial(&mut self, raw: raw::Dial, place: &Place) -> Option<twilio::Dial> {
        let seconds = Duration::from_secs;
        let timeout = self.span(raw.timeout, &place.key("timeout"), seconds(5)..=seconds(600));
        let time_limit = self.span(raw.time_limit, &place.key("time_limit"), seconds(1)..=seconds(86_400));
        let ring_tone = self.ring_tone(raw.ring_tone, &place.key("ring_tone"));
        let edge = match raw.edge {
            Some(edge) => self.word(&edge, &place.key("edge"), &EDGES.map(|name| (name, name))).map(Some),
            None => Some(None),
        };
        let words = [("true", (true, false)), ("false", (false, false)), ("preferred", (true, true))];
        let secure = raw.secure_media.and_then(|how| self.word(&how.0, &place.key("secure_media"), &words));
        let (secure_media, is_plain_taken) = secure?;
        Some(twilio::Dial {
            timeout_s: u32::try_from(timeout?.as_secs()).ok()?,
            time_limit_s: u32::try_from(time_limit?.as_secs()).ok()?,
            ring_tone: ring_tone?,
            edge: edge?.map(str::to_owned),
            secure_media,
            is_plain_taken,
        })
    }

    fn ring_tone(&mut self, country: Option<String>, place: &Place) -> Option<Option<String>> {
        let is_country = |code: &String| code.len() == 2 && code.bytes().all(|c| c.is_ascii_lowercase());
        if country.as_ref().is_none_or(is_country) {
            return Some(country);
        }
        self.report(&codes::WORD, place, format!("`{place}` is not a country"))
            .help("write two lower-case letters, such as \"jp\"");
        None
    }

    fn apology(&mut self, raw: raw::Say, place: &Place) -> Option<twilio::Say> {
        let text = raw.text?;
        if text.trim().is_empty() || text.chars().count() > 1_000 {
            self.report(
                &codes::RANGE,
                &place.key("text"),
                "the apology is empty or longer than 1000 characters",
            );
            return None;
        }
        Some(twilio::Say { text, language: raw.language?, voice: raw.voice })
    }
}

/// The sideband's base: the API's, by WebSocket.
fn realtime_url(base_url: &str) -> String {
    let over_websocket = base_url.replacen("http", "ws", 1);
    format!("{over_websocket}/realtime")
}

/// Claims that the text is a host, with a port or without.
fn is_host(text: &str) -> bool {
    let is_plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:[]".contains(&c));
    is_plain && Url::parse(&format!("https://{text}/")).is_ok_and(|url| url.has_host())
}

fn is_openais(base_url: &str) -> bool {
    base_url.contains("//api.openai.com") || base_url.contains(".api.openai.com")
}

/// The SIP host that belongs to an API (OpenAI, "Realtime API with SIP").
fn sip_host_of(base_url: &str) -> &'static str {
    if base_url.contains("//eu.api.openai.com") {
        "sip-eu.api.openai.com"
    } else if base_url.contains("//in.api.openai.com") {
        "sip-in.api.openai.com"
    } else {
        "sip.api.openai.com"
    }
}
