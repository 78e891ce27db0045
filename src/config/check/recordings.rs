//! `[recordings]`, `[retention]`, and what routes say of recording.

use std::time::Duration;

use crate::call::consent::Announcer;
use crate::call_control::recordings;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::raw;
use crate::routing::{Announcement, Recording};

use super::Checker;

/// The longest announcement, in characters: nobody listens longer before anybody answers.
const ANNOUNCEMENT_CHARS_MAX: usize = 500;

/// What holds for routes that say nothing of recording themselves.
pub(super) struct Recorded {
    /// Calls can be recorded at all.
    pub(super) is_on: bool,
    /// What callers are told.
    pub(super) announcement: Option<Announcement>,
}

impl Checker<'_> {
    pub(super) fn recordings(
        &mut self,
        raw: raw::Recordings,
        retention: raw::Retention,
    ) -> Option<recordings::Settings> {
        let place = Place::of(&["recordings"]);
        let file_max = self.size(raw.file_max, &place.key("file_max"), 1 << 20..=16 << 30);
        let keep_free = self.size(raw.keep_free, &place.key("keep_free"), 0..=1 << 50);
        let place = Place::of(&["retention"]);
        let age = self.kept_for(retention.recordings, "recordings");
        let has_total = retention.recordings_max.is_some();
        let total = self.size(retention.recordings_max, &place.key("recordings_max"), 1 << 20..=1 << 50);
        Some(recordings::Settings {
            delete_at_carrier: raw.delete_at_carrier.is_some_and(|flag| flag.0),
            file_bytes_max: file_max?,
            keep_free_bytes: keep_free?,
            age_max: age?,
            total_bytes_max: if has_total { Some(total?) } else { None },
        })
    }

    /// How long something is kept; the inner none: for ever.
    pub(super) fn kept_for(&mut self, text: Option<String>, key: &str) -> Option<Option<Duration>> {
        match text.as_deref() {
            None | Some("off") => Some(None),
            Some(_) => {
                let years = Duration::from_secs(100 * 365 * 86_400);
                let place = Place::of(&["retention", key]);
                self.duration(text, &place, Duration::from_secs(1)..=years)
            }
        }
    }

    /// How the calls of a route are recorded, by what it says and what holds for all.
    pub(super) fn route_recording(
        &mut self,
        raw: &raw::Route,
        name: &str,
        place: &Place,
        recorded: &Recorded,
    ) -> Option<Recording> {
        let is_answered = raw.session.is_some();
        let key = if raw.recording.is_some() { "recording" } else { "announcement" };
        let place_said = place.key(key);
        let said = raw.recording.map(|flag| flag.0);
        let wants = said == Some(true) || (said.is_none() && raw.announcement.is_some());
        let own = self.announcement(raw.announcement.clone(), &place.key("announcement"));
        if wants && !(recorded.is_on && is_answered) {
            let message = format!("route `{name}` wants its calls recorded, and they are not");
            let help = if is_answered {
                "set `recordings = true` in `[features]`, and Twilio's keys"
            } else {
                "only calls that a model answers are recorded"
            };
            self.report(&codes::NOT_RECORDED, &place_said, message).help(help);
        }
        if !is_answered {
            return None;
        }
        if own.is_none() && raw.announcement.is_some() {
            // What is wrong with it was told.
            return None;
        }
        let place = if raw.recording.is_some() { place_said } else { place.clone() };
        self.recording(said, own, &format!("route `{name}`"), &place, recorded)
    }

    /// The recording of answered calls; a warning where callers do not hear of it.
    pub(super) fn recording(
        &mut self,
        said: Option<bool>,
        own: Option<Announcement>,
        who: &str,
        place: &Place,
        recorded: &Recorded,
    ) -> Option<Recording> {
        if !recorded.is_on || said == Some(false) {
            return None;
        }
        let announcement = own.or_else(|| recorded.announcement.clone());
        if announcement.is_none() {
            let message = format!("{who} is recorded, and callers are not told");
            self.report(&codes::UNANNOUNCED, place, message).help(
                "add `announcement = { text = \"…\", language = \"ja-JP\" }` to it or to `[recordings]`",
            );
        }
        Some(Recording { announcement })
    }

    /// The words that tell callers of the recording, where there are any.
    pub(super) fn announcement(
        &mut self,
        raw: Option<raw::Announcement>,
        place: &Place,
    ) -> Option<Announcement> {
        let raw = raw?;
        let text = self.required(raw.text, place, "text", "write what callers are told");
        let language = self.required(
            raw.language,
            place,
            "language",
            "write the language of the text, such as \"ja-JP\"",
        );
        let speakers = [("carrier", Announcer::Carrier), ("assistant", Announcer::Assistant)];
        let by = match raw.by {
            Some(by) => self.word(&by, &place.key("by"), &speakers),
            None => Some(Announcer::Carrier),
        };
        let text = text?;
        if text.trim().is_empty() || text.chars().count() > ANNOUNCEMENT_CHARS_MAX {
            let message =
                format!("the announcement is empty or longer than {ANNOUNCEMENT_CHARS_MAX} characters");
            self.report(&codes::RANGE, &place.key("text"), message);
            return None;
        }
        Some(Announcement { text, language: language?, voice: raw.voice, by: by? })
    }
}
