//! Which path calls take, and what is done when a path fails: `features.openai_sip`, `[failover]`, and what a
//! route says of either.

use std::time::Duration;

use crate::call_control::paths::Failover;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::{Scalar, WordOr};
use crate::config::raw;
use crate::routing::{Fallback, Rollout, Voicemail, Words};

use super::Checker;

/// Failures of a path in a row count as a row within this time: on a quiet line two calls may be hours apart,
/// and what failed in the morning says nothing about the evening.
const WINDOW: Duration = Duration::from_secs(300);
/// The longest words that a caller is told before the line goes.
const WORDS_CHARS_MAX: usize = 1_000;

impl Checker<'_> {
    /// Which callers go over SIP.
    pub(super) fn rollout(&mut self, raw: Option<Scalar>, place: &Place) -> Option<Rollout> {
        let Scalar(text) = raw?;
        let rollout = text.parse().ok();
        if rollout.is_none() {
            self.report(&codes::ROLLOUT, place, format!("`{place}` is not a share of callers"))
                .help("write `true`, `false`, or a share such as \"25%\"");
        }
        rollout
    }

    pub(super) fn failover(&mut self, raw: raw::Failover) -> Option<Failover> {
        let place = Place::of(&["failover"]);
        let (least, most) = (Duration::from_millis(200), Duration::from_secs(10));
        let accept_within = self.span(raw.accept_within, &place.key("accept_within"), least..=most);
        let most = Duration::from_secs(60);
        let webhook_within = self.span(raw.webhook_within, &place.key("webhook_within"), least..=most);
        let (least, most) = (Duration::from_secs(5), Duration::from_secs(600));
        let dial_timeout = self.span(raw.dial_timeout, &place.key("dial_timeout"), least..=most);
        let breaker = self.breaker(raw.breaker, &place.key("breaker"));
        Some(Failover {
            accept_within: accept_within?,
            webhook_within: webhook_within?,
            dial_timeout_s: u32::try_from(dial_timeout?.as_secs()).ok()?,
            breaker: breaker?.map(|breaker| crate::breaker::Settings { window: Some(WINDOW), ..breaker }),
        })
    }

    /// What callers of a route get when all paths have failed.
    pub(super) fn fallback(&mut self, raw: Option<WordOr<raw::Fallback>>, place: &Place) -> Option<Fallback> {
        let table = match raw {
            None => return Some(Fallback::default()),
            Some(WordOr::Word(word)) => {
                return self.word(&word, place, &[("apology", ())]).map(|()| Fallback::default());
            }
            Some(WordOr::Table(table)) => table,
        };
        match (table.forward, table.voicemail, table.apology) {
            (Some(to), None, None) => self.target(&to, &place.key("forward")).map(Fallback::Forward),
            (None, Some(voicemail), None) => {
                self.voicemail(voicemail, &place.key("voicemail")).map(Fallback::Voicemail)
            }
            (None, None, Some(say)) => {
                let place = place.key("apology");
                self.spoken(say.text, say.language, say.voice, &place)
                    .map(|words| Fallback::Apology(Some(words)))
            }
            _ => {
                self.report(&codes::FALLBACK, place, format!("`{place}` does not do exactly one thing")).help(
                    "write \"apology\", { forward = \"+81…\" }, { voicemail = { text = \"…\" } } or { apology = { text = \"…\" } }",
                );
                None
            }
        }
    }

    fn voicemail(&mut self, raw: raw::Voicemail, place: &Place) -> Option<Voicemail> {
        let words = self.spoken(raw.text, raw.language, raw.voice, place);
        let length = raw.length.or_else(|| Some("2m".to_owned()));
        let range = Duration::from_secs(5)..=Duration::from_secs(3_600);
        let length = self.span(length, &place.key("length"), range);
        Some(Voicemail { words: words?, length: length? })
    }

    fn spoken(
        &mut self,
        text: Option<String>,
        language: Option<String>,
        voice: Option<String>,
        place: &Place,
    ) -> Option<Words> {
        let text = self.required(text, place, "text", "write what the caller hears")?;
        if text.trim().is_empty() || text.chars().count() > WORDS_CHARS_MAX {
            let place = place.key("text");
            self.report(&codes::RANGE, &place, format!("`{place}` is empty or longer than 1000 characters"));
            return None;
        }
        let language = language.unwrap_or_else(|| "en-US".to_owned());
        Some(Words { text, language, voice })
    }
}
