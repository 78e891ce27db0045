//! `[notifications.NAME]`: who is told of calls.

use std::collections::BTreeMap;

use crate::call::notification::Kind;
use crate::call_control::notifications::{Endpoint, Settings, pattern_of};
use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::OneOrMany;
use crate::config::raw;
use crate::config::suggest::{did_you_mean, list};
use crate::routing::Wildcard;
use crate::secret::Secret;
use crate::wire::webhook::check_standard_secret;

use super::Checker;
use super::server::url_fault;

/// Each event is put down once for each endpoint, in the commit of its call: there are few.
const ENDPOINTS_MAX: usize = 8;
/// Two while one is rotated; each signs every request.
const SECRETS_MAX: usize = 4;
const MAKE: &str = "`echo \"whsec_$(openssl rand -base64 32)\"` makes one; keep it in the environment and write `${NAME}` here";

impl Checker<'_> {
    pub(super) fn notifications(&mut self, raw: BTreeMap<String, raw::Notified>) -> Option<Settings> {
        let place = Place::of(&["notifications"]);
        if raw.len() > ENDPOINTS_MAX {
            self.report(&codes::RANGE, &place, format!("there are more than {ENDPOINTS_MAX} endpoints"))
                .help("have one of them pass on what the others want to know");
            return None;
        }
        let endpoints: Vec<Option<(String, Endpoint)>> = raw
            .into_iter()
            .map(|(name, endpoint)| {
                let place = place.key(&name);
                let is_fit = self.name(&name, &place);
                let endpoint = self.endpoint(endpoint, &place);
                is_fit.then_some(name).zip(endpoint)
            })
            .collect();
        Some(Settings { endpoints: endpoints.into_iter().collect::<Option<_>>()? })
    }

    fn endpoint(&mut self, raw: raw::Notified, place: &Place) -> Option<Endpoint> {
        let url = self.required(raw.url, place, "url", "write where notifications are sent");
        let url = url.and_then(|url| self.endpoint_url(url, &place.key("url")));
        let secrets = self.required(several(raw.secrets), place, "secrets", MAKE);
        let secrets = secrets.and_then(|secrets| self.signing_secrets(secrets, &place.key("secrets")));
        let events = self.events(raw.events, &place.key("events"));
        let content = raw.content.is_some_and(|flag| flag.0);
        Some(Endpoint { url: url?, secrets: secrets?, events: events?, content })
    }

    /// A URL that is used as it is written, query and all.
    fn endpoint_url(&mut self, url: String, place: &Place) -> Option<String> {
        let (plain, _) = url.split_once('?').unwrap_or((&url, ""));
        let fault = url_fault(plain, &["https"])
            .or_else(|| plain.contains('*').then(|| "it names one place: no `*`".to_owned()))
            .or_else(|| Some(pattern_of(&url).err()?.to_string()));
        if let Some(fault) = fault {
            self.report(&codes::URL, place, format!("`{place}` is not a usable URL")).label(fault);
            return None;
        }
        Some(url)
    }

    fn signing_secrets(&mut self, secrets: Vec<Secret>, place: &Place) -> Option<Vec<Secret>> {
        if secrets.len() > SECRETS_MAX {
            self.report(&codes::RANGE, place, format!("there are more than {SECRETS_MAX} secrets"))
                .help("take out those that no receiver verifies with any more");
            return None;
        }
        let are_fit = secrets.iter().all(|secret| check_standard_secret(secret).is_ok());
        if !are_fit {
            self.report(&codes::CREDENTIAL, place, "a secret is not `whsec_` and 24 to 64 bytes in base64")
                .help(MAKE);
        }
        are_fit.then_some(secrets)
    }

    fn events(&mut self, raw: Option<OneOrMany<String>>, place: &Place) -> Option<Vec<Wildcard>> {
        let Some(OneOrMany(names)) = raw else { return Some(vec![Wildcard::new("*")]) };
        let known = || Kind::ALL.iter().map(|kind| kind.as_str());
        let mut are_known = !names.is_empty();
        if names.is_empty() {
            self.report(&codes::EVENT, place, "an endpoint that is told of nothing")
                .help(format!("leave `events` out for all, or name {}", list(known())));
        }
        for (index, name) in names.iter().enumerate() {
            if known().any(|kind| Wildcard::new(name).matches(kind)) {
                continue;
            }
            are_known = false;
            let help = match did_you_mean(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is {}", list(known())),
            };
            self.report(&codes::EVENT, &place.index(index), format!("no event `{}`", name.escape_debug()))
                .help(help);
        }
        are_known.then(|| names.into_iter().map(Wildcard::new).collect())
    }
}

/// The secrets that stand there, each text one or several with commas between them; none: there is nothing.
fn several(texts: Option<OneOrMany<String>>) -> Option<Vec<Secret>> {
    let texts = texts?.0;
    let parts = texts.iter().flat_map(|text| text.split(','));
    let secrets: Vec<Secret> = parts.map(Secret::new).filter(|secret| !secret.is_empty()).collect();
    (!secrets.is_empty()).then_some(secrets)
}
