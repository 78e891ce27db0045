//! `[telemetry.otlp]` and `[redact]`: what is told to a collector, and what to nobody.

use crate::call::redaction::Redaction;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::raw;
use crate::secret::Secret;
use crate::telemetry;

use super::Checker;

impl Checker<'_> {
    /// What is not kept of what is said.
    pub(super) fn redaction(&mut self, raw: raw::Redact) -> Option<Redaction> {
        let place = Place::of(&["redact", "patterns"]);
        match Redaction::new(&raw.patterns.unwrap_or_default()) {
            Ok(redaction) => Some(redaction),
            Err(problems) => {
                for (at, problem) in problems {
                    let place = place.index(at);
                    // Of several lines with a drawing the last one has the words.
                    let words = problem.lines().last().unwrap_or_default();
                    self.report(&codes::REDACT, &place, format!("`{place}` cannot be a pattern"))
                        .label(words.trim_start_matches("error: ").to_owned())
                        .help("a pattern is a regular expression, best in single quotes: '\\d(?:[ -]?\\d){12,18}'");
                }
                None
            }
        }
    }

    /// The collector of traces; none without an `endpoint`.
    pub(super) fn otlp(&mut self, raw: raw::Otlp) -> Option<Option<telemetry::Settings>> {
        let place = Place::of(&["telemetry", "otlp"]);
        let sample = self.number(raw.sample, &place.key("sample"), 0.0..=1.0);
        let headers = self.otlp_headers(raw.headers.unwrap_or_default(), &place.key("headers"));
        let endpoint = match raw.endpoint {
            None => None,
            // A collector is often a neighbour without a certificate.
            Some(url) => Some(self.url(&url, &place.key("endpoint"), &["https", "http"])?),
        };
        let (sample, headers) = (sample?, headers?);
        Some(endpoint.map(|endpoint| telemetry::Settings {
            url: telemetry::traces_url(&endpoint),
            headers,
            sample,
            content: raw.content.is_some_and(|content| content.0),
        }))
    }

    fn otlp_headers(
        &mut self,
        headers: impl IntoIterator<Item = (String, String)>,
        place: &Place,
    ) -> Option<Vec<(String, Secret)>> {
        let mut are_fit = true;
        let mut fit = Vec::new();
        for (name, value) in headers {
            let at = place.key(&name);
            let location = self.document.locate_key(&at);
            are_fit &= self.header_name(&name, location);
            if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                are_fit = false;
                self.report(&codes::HEADER_NAME, &at, format!("`{at}` cannot be the value of a header"))
                    .help("values of headers are letters, digits and signs of ASCII, on one line");
            }
            fit.push((name, Secret::new(value)));
        }
        are_fit.then_some(fit)
    }
}
