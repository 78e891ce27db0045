//! What a caller is told of the recording, by whom, and how long that may take.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a letter takes when it is said slowly, in the language that has the longest ones (a kanji).
const SLOW_LETTER: Duration = Duration::from_millis(250);

/// What a caller is told of the recording, as configured when the call came in; kept, for it may be asked for much later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Consent {
    /// The announcement, word for word; none: nothing is said.
    pub announcement: Option<String>,
    /// Whose voice says it.
    pub by: Announcer,
    /// Its language (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The carrier's name of its voice; none: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
}

impl Consent {
    /// Claims that the model is to say it.
    pub fn is_said_by_the_model(&self) -> bool {
        self.announcement.is_some() && self.by == Announcer::Assistant
    }

    /// How long the carrier may take to say it before it does anything else; nothing where it says nothing.
    pub fn spoken_within(&self) -> Duration {
        let announcement = self.announcement.as_deref().filter(|_| self.by == Announcer::Carrier);
        let letters = announcement.map_or(0, |text| text.chars().count());
        SLOW_LETTER.saturating_mul(u32::try_from(letters).unwrap_or(u32::MAX))
    }
}

/// Whose voice tells a caller that the call is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Announcer {
    /// The carrier's, before anybody is dialled: it answers the call.
    #[default]
    Carrier,
    /// The model's, as its first words: they are a part of the recording.
    Assistant,
}

/// The greeting, with the announcement of the recording before it where the model is to say that.
pub fn announced(consent: Option<&Consent>, greeting: Option<String>) -> Option<String> {
    let ours = consent.filter(|consent| consent.is_said_by_the_model());
    let Some(text) = ours.and_then(|consent| consent.announcement.as_deref()) else {
        return greeting;
    };
    let then = match greeting.as_deref().map(str::trim) {
        None => "Then wait for the caller to speak.",
        Some("") => "Then open the call as your instructions say.",
        Some(greeting) => greeting,
    };
    Some(format!("Say this first, word for word: \"{text}\"\n{then}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_announces_first_and_then_does_as_told() {
        let consent = |by| Consent { announcement: Some("Recorded.".to_owned()), by, ..Consent::default() };
        let said = |by, greeting: Option<&str>| announced(Some(&consent(by)), greeting.map(str::to_owned));
        let words = "Say this first, word for word: \"Recorded.\"\n";
        for (greeting, then) in [
            (None, "Then wait for the caller to speak."),
            (Some(" "), "Then open the call as your instructions say."),
            (Some("Say hello."), "Say hello."),
        ] {
            assert_eq!(said(Announcer::Assistant, greeting), Some(format!("{words}{then}")));
            assert_eq!(said(Announcer::Carrier, greeting).as_deref(), greeting, "the carrier has said it");
        }
        let silent = Consent { by: Announcer::Assistant, ..Consent::default() };
        assert_eq!(announced(Some(&silent), None), None);
        assert_eq!(announced(None, Some("Say hello.".to_owned())).as_deref(), Some("Say hello."));
    }

    #[test]
    fn what_the_carrier_says_takes_its_time() {
        let text = "この通話は録音されます。".to_owned();
        let consent = |by| Consent { announcement: Some(text.clone()), by, ..Consent::default() };
        assert_eq!(consent(Announcer::Carrier).spoken_within(), Duration::from_secs(3));
        assert_eq!(consent(Announcer::Assistant).spoken_within(), Duration::ZERO);
        assert_eq!(Consent::default().spoken_within(), Duration::ZERO);
    }
}
