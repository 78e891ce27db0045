//! `[server]`, `[store]` and `[telemetry]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;

use crate::call_control::admission::Overflow;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::problem::Location;
use crate::config::raw;
use crate::config::units;
use crate::config::{AdmissionSettings, LogFormat, ServerSettings, TelemetrySettings};
use crate::routing::Rate;
use crate::secret::Secret;
use crate::store::{self, Vault};

use super::Checker;

impl Checker<'_> {
    pub(super) fn server(&mut self, raw: raw::Server, direct_sip: bool) -> Option<ServerSettings> {
        let place = Place::of(&["server"]);
        let public_url = self.required(
            raw.public_url,
            &place,
            "public_url",
            "set the environment variable `BASE_URL` to the address under which the world reaches this gateway",
        );
        let listen = self.address(raw.listen, &place.key("listen"));
        let public_url = public_url.and_then(|url| self.url(&url, &place.key("public_url"), &["https"]));
        let max_calls = self.count(raw.max_calls, &place.key("max_calls"), 1..=100_000);
        let max_connections = self.count(raw.max_connections, &place.key("max_connections"), 16..=100_000);
        let day = Duration::from_secs(86_400);
        let drain_timeout = self.span(raw.drain_timeout, &place.key("drain_timeout"), Duration::ZERO..=day);
        let body_max = self.size(raw.body_max, &place.key("body_max"), 4 << 10..=16 << 20);
        let headers = self.called_number_headers(raw.called_number_headers, &place);
        let default_country = self.country(raw.default_country, &place.key("default_country"));
        Some(ServerSettings {
            listen: listen?,
            public_url: public_url?,
            max_calls: usize::try_from(max_calls?).ok()?,
            max_connections: usize::try_from(max_connections?).ok()?,
            drain_timeout: drain_timeout?,
            body_bytes_max: usize::try_from(body_max?).ok()?,
            called_number_headers: headers?,
            default_country: default_country?,
            direct_sip: raw.direct_sip.map_or(direct_sip, |flag| flag.0),
        })
    }

    pub(super) fn admission(&mut self, raw: raw::Admission) -> Option<AdmissionSettings> {
        let place = Place::of(&["admission"]);
        let words = [("busy", Overflow::Busy), ("fallback", Overflow::Fallback)];
        let overflow = self.word(&raw.answer?, &place.key("answer"), &words);
        let per_caller = match raw.per_caller {
            Some(rate) => self.rate(&rate, &place.key("per_caller")).map(Some),
            None => Some(None),
        };
        let minute = Duration::from_secs(60);
        let max_lag = self.span(raw.max_lag, &place.key("max_lag"), Duration::from_millis(50)..=minute);
        Some(AdmissionSettings { overflow: overflow?, per_caller: per_caller?, max_lag: max_lag? })
    }

    /// So many calls within a span.
    pub(super) fn rate(&mut self, text: &str, place: &Place) -> Option<Rate> {
        let rate = Rate::parse(text, units::duration).ok();
        if rate.is_none() {
            self.report(&codes::RATE, place, format!("`{place}` is not a rate of calls"))
                .help("write a number of calls and a span of a second to a day, such as \"20/10m\"");
        }
        rate
    }

    pub(super) fn store(&mut self, raw: raw::Store) -> Option<store::Settings> {
        let cache = self.size(raw.cache, &Place::of(&["store", "cache"]), 1 << 20..=64 << 30);
        let path = self.path(&raw.path?);
        let keys = raw.encryption_keys.map_or_else(Vec::new, |keys| keys.0);
        let keys: Vec<Secret> = keys.iter().map(Secret::new).collect();
        let vault = Vault::new(&keys).ok();
        if vault.is_none() {
            let place = Place::of(&["store", "encryption_keys"]);
            self.report(&codes::CREDENTIAL, &place, "a key for encryption cannot be read")
                .help("it is 32 bytes in base64, as `openssl rand -base64 32` makes them");
        }
        Some(store::Settings { cache_bytes: cache?, vault: vault?, ..store::Settings::at(path) })
    }

    pub(super) fn telemetry(&mut self, raw: raw::Telemetry) -> Option<TelemetrySettings> {
        let otlp = self.otlp(raw.otlp.unwrap_or_default());
        let log = raw.log?;
        let place = Place::of(&["telemetry", "log"]);
        let level = self.log_level(log.level?, &place.key("level"));
        let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = self.word(&log.format?, &place.key("format"), &formats);
        Some(TelemetrySettings { log_level: level?, log_format: format?, otlp: otlp? })
    }

    /// A level, or directives per module such as `info,switchboard::openai=debug`.
    fn log_level(&mut self, level: String, place: &Place) -> Option<String> {
        if level.contains(['=', ',']) {
            return match tracing_subscriber::EnvFilter::try_new(&level) {
                Ok(_) => Some(level),
                Err(problem) => {
                    self.report(&codes::WORD, place, format!("`{place}` cannot be read as log directives"))
                        .label(problem.to_string());
                    None
                }
            };
        }
        let levels = ["error", "warn", "info", "debug", "trace", "off"].map(|level| (level, ()));
        self.word(&level, place, &levels)?;
        Some(level)
    }

    pub(super) fn address(&mut self, text: Option<String>, place: &Place) -> Option<SocketAddr> {
        let address = text?.parse().ok();
        if address.is_none() {
            self.report(&codes::ADDRESS, place, format!("`{place}` is not an address to listen on"))
                .help("write an IP address and a port, such as \"0.0.0.0:8080\"");
        }
        address
    }

    fn called_number_headers(&mut self, names: Option<Vec<String>>, place: &Place) -> Option<Vec<String>> {
        let place = place.key("called_number_headers");
        let names = names?;
        let mut are_fit = true;
        for (index, name) in names.iter().enumerate() {
            let location = self.document.locate(&place.index(index));
            are_fit &= self.header_name(name, location);
        }
        if names.is_empty() {
            are_fit = false;
            self.report(&codes::RANGE, &place, format!("`{place}` is empty"))
                .help("name at least one header, such as \"To\"");
        }
        are_fit.then_some(names)
    }

    pub(super) fn header_name(&mut self, name: &str, location: Location) -> bool {
        let is_fit = (1..=64).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
        if !is_fit {
            let message = format!("`{}` is not a header name", name.escape_debug());
            self.report_at(&codes::HEADER_NAME, location, message);
        }
        is_fit
    }

    fn country(&mut self, code: Option<String>, place: &Place) -> Option<Option<String>> {
        let Some(code) = code else { return Some(None) };
        let is_code = (1..=3).contains(&code.len()) && code.bytes().all(|c| c.is_ascii_digit());
        if is_code && !code.starts_with('0') {
            return Some(Some(code));
        }
        self.report(&codes::WORD, place, format!("`{place}` is not a country's calling code"))
            .help("write its digits, such as \"81\" for Japan");
        None
    }

    /// A URL of one of the schemes (the plain one of each only for this machine), without a slash at
    /// its end.
    pub(super) fn url(&mut self, text: &str, place: &Place, schemes: &[&str]) -> Option<String> {
        match url_fault(text, schemes) {
            None => Some(text.trim_end_matches('/').to_owned()),
            Some(fault) => {
                self.report(&codes::URL, place, format!("`{place}` is not a usable URL")).label(fault);
                None
            }
        }
    }
}

pub(super) fn url_fault(text: &str, schemes: &[&str]) -> Option<String> {
    let Ok(url) = Url::parse(text) else { return Some("not a URL".to_owned()) };
    let Some(host) = url.host_str() else { return Some("it has no host".to_owned()) };
    let is_local = matches!(host, "localhost" | "[::1]")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    let is_wanted = |scheme: &&str| {
        *scheme == url.scheme() || (is_local && scheme.strip_suffix('s') == Some(url.scheme()))
    };
    if !schemes.iter().any(is_wanted) {
        return Some(format!("it must begin with `{}://`", schemes[0]));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("it must not have a user or password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("it must not have a query or fragment".to_owned());
    }
    None
}
