//! Whether a call of a route is recorded, and what its caller is told of that.

use crate::call::consent::{Announcer, Consent};

/// What the carrier's voices speak where nothing else is said (Twilio, "TwiML Voice: Say").
const LANGUAGE: &str = "en-US";

/// That calls are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// What callers are told first; none: nothing.
    pub announcement: Option<Announcement>,
}

/// The words that tell a caller of the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The words.
    pub text: String,
    /// BCP 47, such as `ja-JP`.
    pub language: String,
    /// The carrier's voice name; none for its default.
    pub voice: Option<String>,
    /// Whose voice says them.
    pub by: Announcer,
}

impl Recording {
    /// What is kept of it with a call.
    pub fn consent(&self) -> Consent {
        let announcement = self.announcement.as_ref();
        Consent {
            announcement: announcement.map(|announcement| announcement.text.clone()),
            by: announcement.map(|announcement| announcement.by).unwrap_or_default(),
            language: announcement.map(|announcement| announcement.language.clone()),
            voice: announcement.and_then(|announcement| announcement.voice.clone()),
        }
    }

    /// How a call is recorded of which this was kept.
    pub fn of(consent: &Consent) -> Recording {
        let announcement = consent.announcement.as_ref().map(|text| Announcement {
            text: text.clone(),
            language: consent.language.clone().unwrap_or_else(|| LANGUAGE.to_owned()),
            voice: consent.voice.clone(),
            by: consent.by,
        });
        Recording { announcement }
    }
}
