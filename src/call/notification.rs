//! Notifications: what other systems are told of calls, when a try is repeated, and when that is given up.
//!
//! A [`Notification`] is one event for one endpoint, and the stored form of it. What it tells is put down when it
//! happens, as far as the endpoint may see; only the words of a transcript are read when it is sent, so that they are
//! kept in one place and go when their call is erased.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::privacy::{ShownCall, Sight};
use super::record::{CallRecord, FORMAT, Line};
use super::recording::RecordingRecord;
use crate::clock::Timestamp;
use crate::ids::{CallId, NotificationId};

/// The pauses before each further try (Standard Webhooks, "Deliverability and reliability"): ten tries in three days.
pub const RETRIES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// A receiver may ask for a longer pause, up to this one.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);
/// A pause is up to this many percent shorter or longer, so that what failed together is not tried again together.
const JITTER_PERCENT: u32 = 10;
/// What is put down of a call takes at most so many bytes: it goes into one commit with the call, once for each endpoint.
/// A call with more has its variables and SIP headers left out.
const CALL_BYTES_MAX: usize = 32 << 10;
/// The lines of a transcript that are sent, in bytes: hours of talk. The rest is left out, and said to be.
const LINES_BYTES_MAX: usize = 512 << 10;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A call came in.
    #[serde(rename = "call.started")]
    CallStarted,
    /// It is over.
    #[serde(rename = "call.ended")]
    CallEnded,
    /// Its transcript is whole; there is none where nothing was said.
    #[serde(rename = "transcript.ready")]
    TranscriptReady,
    /// A recording of it is on disk.
    #[serde(rename = "recording.ready")]
    RecordingReady,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] =
        [Kind::CallStarted, Kind::CallEnded, Kind::TranscriptReady, Kind::RecordingReady];

    /// The name as it stands in the configuration and in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::CallStarted => "call.started",
            Kind::CallEnded => "call.ended",
            Kind::TranscriptReady => "transcript.ready",
            Kind::RecordingReady => "recording.ready",
        }
    }
}

/// How far a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// It is yet to be taken.
    Waiting,
    /// Nobody took it, and it is not tried any more: a dead letter.
    Dead,
}

impl NotificationState {
    /// The name as it stands in records and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            NotificationState::Waiting => "waiting",
            NotificationState::Dead => "dead",
        }
    }
}

/// One event for one endpoint. There is none any more once it was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Format number, see [`FORMAT`].
    pub v: u8,
    /// Its id, which the event has for every endpoint and on every try.
    pub id: NotificationId,
    /// The endpoint, `[notifications.NAME]`.
    pub endpoint: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// The call.
    pub call: CallId,
    /// How far it is.
    pub state: NotificationState,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next; none once it is dead.
    pub next: Option<Timestamp>,
    /// Why the last try failed, for a person.
    pub problem: Option<String>,
    /// Words and whole numbers are told.
    pub content: bool,
    /// What is told, but for the lines of a transcript.
    pub data: Map<String, Value>,
}

/// A notification as operators see it: without what it tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedNotification {
    /// Its id, the header `webhook-id` of every try.
    pub id: NotificationId,
    /// The endpoint.
    pub endpoint: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it happened.
    pub at: Timestamp,
    /// The call.
    pub call: CallId,
    /// How far it is.
    pub state: NotificationState,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next; none once it is dead.
    pub next: Option<Timestamp>,
    /// Why the last try failed.
    pub problem: Option<String>,
}

impl From<Notification> for ListedNotification {
    fn from(notification: Notification) -> ListedNotification {
        let Notification { id, endpoint, kind, at, call, state, tries, next, problem, .. } = notification;
        ListedNotification { id, endpoint, kind, at, call, state, tries, next, problem }
    }
}

/// Something that happened in a call, before it is known who is told.
#[derive(Clone, Debug)]
pub struct Happened<'a> {
    /// What.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// The call, as it was then.
    pub call: &'a CallRecord,
    /// The recording, where it is about one.
    pub recording: Option<&'a RecordingRecord>,
}

impl Happened<'_> {
    /// The notification of it for an endpoint, due at once.
    pub fn notification(&self, id: NotificationId, endpoint: &str, content: bool) -> Notification {
        let sight = sight(content);
        let mut call = json!(ShownCall::of(self.call.clone(), sight));
        if call.to_string().len() > CALL_BYTES_MAX {
            let mut short = self.call.clone();
            short.vars.clear();
            short.provider.iter_mut().for_each(|provider| provider.sip_headers.clear());
            call = json!(ShownCall::of(short, sight));
        }
        let recording = self.recording.map(|recording| ("recording".to_owned(), json!(recording)));
        Notification {
            v: FORMAT,
            id,
            endpoint: endpoint.to_owned(),
            kind: self.kind,
            at: self.at,
            call: self.call.id,
            state: NotificationState::Waiting,
            tries: 0,
            next: Some(self.at),
            problem: None,
            content,
            data: [("call".to_owned(), call)].into_iter().chain(recording).collect(),
        }
    }
}

impl Notification {
    /// Claims that the lines of the call's transcript go with it.
    pub fn wants_lines(&self) -> bool {
        self.kind == Kind::TranscriptReady
    }

    /// The body as it is sent: what happened, when, and what is told of it. `lines` are those of the transcript, where
    /// they are wanted; they lose their words where the endpoint may not have them.
    pub fn body(&self, lines: Vec<Line>, may_have_words: bool) -> String {
        let mut data = self.data.clone();
        if self.wants_lines() {
            let sight = sight(self.content && may_have_words);
            let (mut shown, mut bytes) = (Vec::new(), 0);
            let count = lines.len();
            for mut line in lines {
                sight.of_line(&mut line);
                let line = json!(line);
                bytes += line.to_string().len();
                if bytes > LINES_BYTES_MAX {
                    break;
                }
                shown.push(line);
            }
            data.insert("lines_left_out".to_owned(), json!(count - shown.len()));
            data.insert("lines".to_owned(), Value::Array(shown));
        }
        json!({ "type": self.kind, "timestamp": self.at.to_string(), "data": data }).to_string()
    }

    /// A try failed `now`: it waits for the next one, or is given up. `chance` decides how much earlier or later than
    /// the schedule says; `wanted` is the pause that the receiver asked for.
    pub fn fail(&mut self, problem: String, chance: u8, wanted: Option<Duration>, now: Timestamp) {
        self.tries += 1;
        self.problem = Some(problem);
        match pause_after(self.tries, chance, wanted) {
            Some(pause) => self.next = Some(now + pause),
            None => self.bury(),
        }
    }

    /// It is not tried any more.
    pub fn bury(&mut self) {
        self.state = NotificationState::Dead;
        self.next = None;
    }

    /// It is tried again from `now` on as if it were new, with the id that it had.
    pub fn revive(&mut self, now: Timestamp) {
        self.state = NotificationState::Waiting;
        self.tries = 0;
        self.next = Some(now);
    }
}

/// The pause after so many failed tries; none: that was the last one.
fn pause_after(tries: u32, chance: u8, wanted: Option<Duration>) -> Option<Duration> {
    let pause = RETRIES.get(usize::try_from(tries).ok()?.checked_sub(1)?)?;
    // From 100 - JITTER_PERCENT to 100 + JITTER_PERCENT percent.
    let percent = 100 - JITTER_PERCENT + u32::from(chance) * 2 * JITTER_PERCENT / u32::from(u8::MAX);
    let pause = *pause * percent / 100;
    Some(pause.max(wanted.unwrap_or_default().min(RETRY_AFTER_MAX)))
}

fn sight(content: bool) -> Sight {
    Sight { words: content, numbers: content }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_the_schedule_and_what_the_receiver_asks_for() {
        let pause = |tries, chance, wanted: Option<u64>| {
            pause_after(tries, chance, wanted.map(Duration::from_secs)).map(|pause| pause.as_millis())
        };
        assert_eq!(pause(1, 0, None), Some(4_500));
        assert_eq!(pause(1, 255, None), Some(5_500));
        assert_eq!(pause(9, 255, None), Some(95_040_000));
        assert_eq!(pause(10, 0, None), None);
        assert_eq!(pause(1, 0, Some(60)), Some(60_000));
        assert_eq!(pause(2, 0, Some(1)), Some(270_000), "never earlier than it would be");
        assert_eq!(pause(1, 0, Some(u64::MAX)), Some(86_400_000), "and a day at most");
        assert_eq!(pause(10, 0, Some(60)), None);
    }

    #[test]
    fn every_kind_has_its_name() {
        for kind in Kind::ALL {
            assert_eq!(json!(kind), json!(kind.as_str()));
        }
    }
}
