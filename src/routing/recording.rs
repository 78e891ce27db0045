//! Whether a call of a route is recorded, and what its caller is told of that.

use crate::call::record::{Announcer, Consent};

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
        }
    }
}
