//! One utterance, played into a session of its own as a bridge does it, and what is written down of it.
//!
//! The socket, the session and the frames are those of a bridged call: μ-law of 20 ms each at the pace of speech,
//! nothing before the session is confirmed, silence behind the sound until the provider is done. A pause inside an
//! utterance may make several turns of it; their words are put together in the order in which the turns began.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep_until, timeout};

use super::settings::Prepared;
use crate::call::event::{AttachFailure, ErrorClass, ProviderEvent, TextMode};
use crate::ids::ItemId;
use crate::openai::dialect;
use crate::openai::sideband::{Connector, Frame, Sideband};
use crate::text::excerpt;
use crate::wire::g711;
use crate::wire::realtime::{ClientEvent, ServerEvent};

/// Bytes of a frame: 20 ms, as Twilio's media streams have it.
const FRAME: usize = 160;
/// Milliseconds of a frame.
const FRAME_MS: u64 = 20;
/// How long a provider may take to confirm a session once its socket is open, as on a bridge.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
/// How often a session is tried to be opened.
const TRIES: u32 = 2;
/// So much audio behind the last words without another turn is the end. The pauses of speech are shorter.
const QUIET_MS: u64 = 1_000;
/// So long it must have been in any case: a simulated second is short.
const QUIET_AT_LEAST: Duration = Duration::from_millis(100);
/// So long behind the sound nobody was noticed to speak: nobody will be. A patient detector takes eight seconds to end
/// a turn, not to notice one.
const NOBODY_MS: u64 = 5_000;
const NOBODY_AT_LEAST: Duration = Duration::from_secs(3);
/// How long after the sound all words must be there.
const WORDS_WITHIN: Duration = Duration::from_secs(30);
/// The most that is kept of what a provider says is wrong, and of the words of an utterance.
const REASON_CHARS_MAX: usize = 200;
const WORDS_CHARS_MAX: usize = 20_000;
/// Turns of one utterance: a minute has no more pauses.
const TURNS_MAX: usize = 100;

/// What was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub words: String,
    /// What else there is to say of it.
    pub notes: Vec<String>,
}

/// Plays utterances.
pub(super) struct Player {
    pub connector: Connector,
    /// How much faster than speech.
    pub speed: f64,
}

impl Player {
    /// Plays a sound and gives what is written down of it.
    ///
    /// # Errors
    ///
    /// Why it could not be measured.
    pub async fn play(&self, prepared: &Prepared, sound: &[u8]) -> Result<Heard, String> {
        let mut sideband = self.open(&prepared.setting.model).await?;
        confirm(&mut sideband, prepared).await?;
        let commits = prepared.commits;
        let mut session =
            Session { turns: Vec::new(), notes: Vec::new(), last_event: Instant::now(), commits };
        let sending = Sending::new(sound, self.speed, prepared.commits);
        sending.run(&mut sideband, &mut session).await
    }

    async fn open(&self, model: &str) -> Result<Sideband, String> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.connector.open_session(model).await {
                Ok(sideband) => return Ok(sideband),
                Err(AttachFailure::Passing(_)) if tries < TRIES => {}
                Err(AttachFailure::Passing(why)) => return Err(format!("no session: {why}")),
                Err(AttachFailure::NotFound) => return Err(format!("no session: no model `{model}` (404)")),
                Err(AttachFailure::Denied(status)) => {
                    return Err(format!("no session: the key is not taken ({status})"));
                }
            }
        }
    }
}

/// Nothing is sent before the session is as it shall be.
async fn confirm(sideband: &mut Sideband, prepared: &Prepared) -> Result<(), String> {
    let confirming = async {
        loop {
            let text = match sideband.next_frame().await {
                Frame::Text(text) => text,
                Frame::Binary => continue,
                Frame::Lost(code) => return Err(lost(code)),
            };
            match ServerEvent::read(&text) {
                ServerEvent::SessionCreated(_) => {
                    let update = ClientEvent::SessionSet { event_id: "session", session: &prepared.body };
                    sideband.send(update.render());
                }
                ServerEvent::SessionUpdated(_) => return Ok(()),
                ServerEvent::Error(error) => {
                    let code = error.code.or(error.kind).unwrap_or_else(|| "error".to_owned());
                    return Err(refused(&code, &error.message.unwrap_or_default()));
                }
                _ => {}
            }
        }
    };
    let late = |_| "the session was not confirmed in time".to_owned();
    timeout(CONFIRM_WITHIN, confirming).await.map_err(late)?
}

fn lost(code: Option<u16>) -> String {
    let code = code.map_or("without a close frame".to_owned(), |code| format!("with code {code}"));
    format!("the provider closed the session {code}")
}

fn refused(code: &str, message: &str) -> String {
    excerpt(&format!("the provider refuses: {code}: {message}"), REASON_CHARS_MAX)
}

/// What is known of a session.
struct Session {
    turns: Vec<(ItemId, Turn)>,
    notes: Vec<String>,
    last_event: Instant,
    /// The end of the turn is said by us.
    commits: bool,
}

enum Turn {
    /// The caller speaks, or the words are not there yet.
    Open,
    Words(String),
    Failed,
}

impl Session {
    fn turn(&mut self, item: ItemId) -> Option<&mut Turn> {
        let known = self.turns.iter().position(|(known, _)| *known == item);
        if known.is_none() && self.turns.len() < TURNS_MAX {
            self.turns.push((item, Turn::Open));
        }
        let at = known.or(self.turns.len().checked_sub(1))?;
        self.turns.get_mut(at).map(|(_, turn)| turn)
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Takes what the provider says.
    fn take(&mut self, text: &str) -> Result<(), String> {
        let set = |turn: Option<&mut Turn>, now: Turn| {
            if let Some(turn) = turn {
                *turn = now;
            }
        };
        match dialect::read(text) {
            ProviderEvent::CallerSpeechStarted { item, .. } => {
                self.turn(item);
            }
            // Without turn detection nothing else tells of the turn; with it, the item may be the model's.
            ProviderEvent::ItemAdded { item, .. } if self.commits => {
                self.turn(item);
            }
            ProviderEvent::CallerTranscript { item, text, mode: TextMode::Final, .. } => {
                set(self.turn(item), Turn::Words(text.chars().take(WORDS_CHARS_MAX).collect()));
            }
            ProviderEvent::CallerTranscriptFailed { item, reason } => {
                set(self.turn(item), Turn::Failed);
                let reason = excerpt(&reason, REASON_CHARS_MAX);
                self.note(format!("the provider could not write it down: {reason}"));
            }
            ProviderEvent::TurnStarted { .. } => {
                self.note("the model answered, although the session says that it shall not".to_owned());
                return Ok(());
            }
            ProviderEvent::Error { class: ErrorClass::Benign, .. } => {}
            ProviderEvent::Error { code, message, .. } => {
                return Err(refused(code.as_deref().unwrap_or("error"), &message));
            }
            _ => return Ok(()),
        }
        self.last_event = Instant::now();
        Ok(())
    }

    fn is_settled(&self) -> bool {
        self.turns.iter().all(|(_, turn)| !matches!(turn, Turn::Open))
    }

    fn heard(&mut self) -> Heard {
        let words = self.turns.iter().filter_map(|(_, turn)| match turn {
            Turn::Words(words) => Some(words.as_str()),
            Turn::Open | Turn::Failed => None,
        });
        let words = words.collect::<Vec<_>>().join(" ").trim().to_owned();
        Heard { words, notes: std::mem::take(&mut self.notes) }
    }
}

/// A sound on its way.
struct Sending<'a> {
    sound: &'a [u8],
    began: Instant,
    frame_time: Duration,
    /// Frames that were sent.
    sent: u32,
    /// The turn has to be ended by us.
    commits: bool,
    /// When the sound was all sent.
    ended: Option<(Instant, u32)>,
}

impl<'a> Sending<'a> {
    fn new(sound: &'a [u8], speed: f64, commits: bool) -> Sending<'a> {
        let frame_time = Duration::from_secs_f64(FRAME_MS as f64 / 1_000.0 / speed);
        Sending { sound, began: Instant::now(), frame_time, sent: 0, commits, ended: None }
    }

    async fn run(mut self, sideband: &mut Sideband, session: &mut Session) -> Result<Heard, String> {
        loop {
            if let Some(heard) = self.verdict(session)? {
                return Ok(heard);
            }
            let next = self.began + self.frame_time * self.sent;
            tokio::select! {
                frame = sideband.next_frame() => match frame {
                    Frame::Text(text) => session.take(&text)?,
                    Frame::Binary => {}
                    Frame::Lost(code) => return Err(lost(code)),
                },
                () = sleep_until(next) => self.send(sideband),
            }
        }
    }

    fn send(&mut self, sideband: &mut Sideband) {
        let at = self.sent as usize * FRAME;
        let frame = self.sound.get(at..).filter(|rest| !rest.is_empty());
        let mut bytes = [g711::SILENCE; FRAME];
        if let Some(rest) = frame {
            let length = rest.len().min(FRAME);
            bytes[..length].copy_from_slice(&rest[..length]);
        } else if self.ended.is_none() {
            self.ended = Some((Instant::now(), self.sent));
            if self.commits {
                sideband.send(ClientEvent::AudioCommit { event_id: "commit" }.render());
            }
        }
        self.sent += 1;
        // Behind its own commit, silence would only begin the next turn.
        if self.ended.is_some() && self.commits {
            return;
        }
        let event_id = format!("in_{}", self.sent);
        let audio = STANDARD.encode(bytes);
        sideband.send(ClientEvent::AudioAppend { event_id: &event_id, audio: &audio }.render());
    }

    /// What was heard, once that is settled.
    fn verdict(&self, session: &mut Session) -> Result<Option<Heard>, String> {
        let Some((ended, sent_then)) = self.ended else { return Ok(None) };
        let silence_ms = u64::from(self.sent - sent_then) * FRAME_MS;
        let now = Instant::now();
        if session.turns.is_empty() {
            if silence_ms >= NOBODY_MS && now >= ended + NOBODY_AT_LEAST {
                session.note("the provider noticed nobody who speaks".to_owned());
                return Ok(Some(session.heard()));
            }
        } else if session.is_settled() {
            let is_quiet = self.commits
                || (silence_ms >= QUIET_MS && now >= session.last_event.max(ended) + QUIET_AT_LEAST);
            if is_quiet {
                return Ok(Some(session.heard()));
            }
        }
        match now >= ended + WORDS_WITHIN {
            true => Err(format!("the words were not there {} s after the sound", WORDS_WITHIN.as_secs())),
            false => Ok(None),
        }
    }
}
