//! The life of the provider's session under a bridge: opened, configured, lost and found again, exchanged
//! before it grows too old.

use std::time::Duration;

use tokio::time::Instant;

use super::Task;
use crate::call::event::{AcceptAnswer, AttachFailure, Event, ProviderEvent, StreamEvent};
use crate::ids::ProviderCallId;
use crate::media::history;
use crate::media::provider::{Confirming, Item, Known, Provider, append};
use crate::media::recorder::Recorder;
use crate::openai::dialect;
use crate::openai::sideband::Frame;
use crate::wire::realtime::{ClientEvent, ServerEvent};

/// How long a provider may take to confirm a session once its socket is open.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
/// How often a first session is tried to be opened: the caller hears silence meanwhile.
const FIRST_TRIES: u32 = 2;
/// A session is exchanged for a new one this long before the provider ends it, in a quiet moment.
const ROTATE_BEFORE: Duration = Duration::from_secs(300);
/// If no quiet moment comes, it is exchanged all the same this long before its end: before the call would
/// begin to end because of it.
const ROTATE_ANYWAY_BEFORE: Duration = Duration::from_secs(160);

impl Task {
    pub(super) fn open(&mut self) {
        self.tries += 1;
        let (connector, model) = (self.connector.clone(), self.model.clone());
        self.provider =
            Provider::Opening(Box::pin(async move { connector.open_session(&model).await.map(Box::new) }));
    }

    pub(super) fn on_item(&mut self, item: Item) {
        match item {
            Item::Look => self.open(),
            Item::Opened(Ok(sideband)) => {
                let until = Instant::now() + CONFIRM_WITHIN;
                self.provider = Provider::Confirming(sideband, Confirming::Created, until);
            }
            Item::Opened(Err(failure)) => self.not_opened(failure),
            Item::Late => {
                let why = "the session was not confirmed in time".to_owned();
                self.not_opened(AttachFailure::Passing(why));
            }
            Item::Frame(Frame::Lost(code)) => self.on_lost(code),
            Item::Frame(Frame::Binary) => self.tell(dialect::unknown("binary")),
            Item::Frame(Frame::Text(text)) => match self.provider {
                Provider::Confirming(..) => self.on_confirming(&text),
                _ => self.on_frame(&text),
            },
        }
    }

    /// Until the session is as it shall be, nothing else counts.
    fn on_confirming(&mut self, text: &str) {
        match ServerEvent::read(text) {
            ServerEvent::SessionCreated(session) => {
                self.known.learn(session);
                self.configure();
            }
            ServerEvent::SessionUpdated(session) => {
                self.known.learn(session);
                self.confirmed();
            }
            // What the session is told of the conversation may be refused; it is then told less.
            ServerEvent::Error(error) if error.event_id.as_deref().is_some_and(history::is_told_by) => {}
            ServerEvent::Error(error) => {
                let code = error.code.or(error.kind).unwrap_or_else(|| "error".to_owned());
                let why = format!("{code}: {}", error.message.unwrap_or_default());
                self.not_opened(AttachFailure::Passing(why));
            }
            _ => {}
        }
    }

    fn configure(&mut self) {
        let Provider::Confirming(sideband, stage, _) = &mut self.provider else { return };
        if std::mem::replace(stage, Confirming::Updated) == Confirming::Updated {
            return;
        }
        let update = ClientEvent::SessionSet { event_id: "session", session: &self.session };
        sideband.send(update.render());
        self.history.frames().into_iter().for_each(|frame| sideband.send(frame));
    }

    fn confirmed(&mut self) {
        match std::mem::replace(&mut self.provider, Provider::Down) {
            Provider::Confirming(sideband, Confirming::Updated, _) => {
                self.provider = Provider::Ready(sideband);
                if self.was_up {
                    return self.go_up();
                }
                let id = self.known.id.as_deref().map(ProviderCallId::from);
                self.pending.push_back(Event::AcceptAnswered(AcceptAnswer::Session(id)));
            }
            other => self.provider = other,
        }
    }

    /// From here on the session hears the caller, and the call hears the session.
    fn go_up(&mut self) {
        let Provider::Ready(sideband) = std::mem::replace(&mut self.provider, Provider::Down) else { return };
        self.provider = Provider::Up(sideband);
        self.was_up = true;
        let Known { expires_at, padding, .. } = self.known;
        let lives_for = expires_at.map_or(Duration::ZERO, |expires| expires.since(self.clock.now()));
        self.known.may_rotate = lives_for > ROTATE_BEFORE * 2;
        self.tell(ProviderEvent::Attached { expires_at, padding });
        if let Some(lost_at) = self.lost_at.take() {
            let (lasted, is_cut) = (lost_at.elapsed(), std::mem::take(&mut self.is_cut));
            self.pending.push_back(Event::Stream(StreamEvent::Gap { lasted, is_cut }));
        } else if !self.is_rotating {
            self.check.begin(Instant::now());
            let began = self.clock.now();
            self.recorder = self.recording.take().map(|tape| Recorder::start(tape, began, Instant::now()));
        }
        self.is_rotating = false;
        let Provider::Up(sideband) = &mut self.provider else { return };
        while let Some(audio) = self.ring.pop() {
            self.sent += 1;
            sideband.send(append(self.sent, &audio));
        }
        for (id, command) in std::mem::take(&mut self.held) {
            self.on_command(id, command);
        }
    }

    fn not_opened(&mut self, failure: AttachFailure) {
        self.provider = Provider::Down;
        if std::mem::take(&mut self.is_rotating) {
            return self.lost(None);
        }
        if self.was_up {
            return self.pending.push_back(Event::AttachFailed(failure));
        }
        match failure {
            AttachFailure::Passing(_) if self.tries < FIRST_TRIES => self.open(),
            AttachFailure::Passing(why) => self.refused(why),
            AttachFailure::NotFound => self.refused("the provider knows no such session (404)".to_owned()),
            AttachFailure::Denied(status) => {
                self.refused(format!("the provider denied a session ({status})"))
            }
        }
    }

    fn refused(&mut self, why: String) {
        self.pending.push_back(Event::AcceptAnswered(AcceptAnswer::Refused(why)));
    }

    fn on_lost(&mut self, code: Option<u16>) {
        match self.provider {
            Provider::Up(_) => self.lost(code),
            _ => {
                self.not_opened(AttachFailure::Passing("closed before the session was confirmed".to_owned()))
            }
        }
    }

    /// What is here is played to its end; what the model was saying beyond it is gone.
    fn lost(&mut self, code: Option<u16>) {
        self.provider = Provider::Down;
        self.lost_at = Some(Instant::now());
        self.is_cut = self.running.take().is_some();
        self.caller_speaks = false;
        self.playback.provider_lost();
        self.tell_playback();
        self.pending.push_back(Event::SidebandLost(code));
    }

    pub(super) fn on_attach(&mut self, after: Duration) {
        match self.provider {
            Provider::Ready(_) => self.go_up(),
            // It is on its way and says what comes of it: another one would only be a session more.
            Provider::Opening(_) | Provider::Confirming(..) | Provider::Up(_) => {}
            Provider::Down | Provider::Resting(_) => {
                self.provider = Provider::Resting(Instant::now() + after)
            }
        }
    }

    // === a session does not live for ever ===

    /// When the session is to be exchanged for a new one.
    pub(super) fn rotate_at(&self, now: Instant) -> Option<Instant> {
        let is_up = matches!(self.provider, Provider::Up(_)) && self.known.may_rotate;
        let expires = self.known.expires_at.filter(|_| is_up)?;
        let is_quiet = self.running.is_none() && !self.caller_speaks && !self.playback.is_audible();
        let before = if is_quiet { ROTATE_BEFORE } else { ROTATE_ANYWAY_BEFORE };
        let left = expires.since(self.clock.now());
        Some(now + left.saturating_sub(before))
    }

    /// A quiet moment passes unnoticed; in the middle of a turn it is a loss like any other.
    pub(super) fn rotate(&mut self) {
        self.note("stream.session_rotated", None);
        self.noted.retain(|noted| *noted != "stream.session_rotated");
        if self.running.is_some() || self.playback.is_audible() {
            return self.lost(None);
        }
        self.is_rotating = true;
        self.known.expires_at = None;
        self.open();
    }
}
