//! The one task that owns both sockets of a bridged call.
//!
//! Audio goes from socket to socket in here, undecoded. Everything else that the provider says is read by
//! the same dialect as on a sideband and told to the call, and the call's commands are written to the
//! provider: the life of a call is the same on both paths. What only SIP's provider knows, this knows from
//! the carrier's marks: when a turn is heard, and how much of it.
//!
//! Nothing in here waits for anybody: not for the call (the provider is read only as fast as the call takes
//! its events), not for the carrier (audio waits in [`Playback`]), not for the provider (the caller's words
//! wait for a session in a ring of three seconds, whose oldest audio is dropped).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::history::{self, History};
use super::phone::{Phone, Said};
use super::playback::{Playback, Taken, Told};
use super::provider::{Confirming, Item, Known, Provider, Ring, append, next_item};
use super::reception::NORMAL;
use super::recorder::{Made, Recorder, Tape};
use crate::call::event::{
    AcceptAnswer, AttachFailure, CommandId, Event, ProviderCommand, ProviderEvent, StreamEvent,
};
use crate::clock::Clock;
use crate::ids::{ProviderCallId, TurnId};
use crate::openai::dialect;
use crate::openai::sideband::{Connector, Frame};
use crate::wire::g711;
use crate::wire::media::{Body, FromCarrier, Media, StreamSid, clear_message, mark_message, media_message};
use crate::wire::realtime::server::AudioDelta;
use crate::wire::realtime::{ClientEvent, ServerEvent};

/// How many events may wait for the call before the provider is not read any more.
const PENDING_MAX: usize = 256;
/// How many events are on their way to the call at once.
const EVENTS_PLACES: usize = 64;
/// How many commands may wait for this task, which takes them within a moment.
const COMMANDS_PLACES: usize = 256;
/// How long a provider may take to confirm a session once its socket is open.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
/// How often a first session is tried to be opened: the caller hears silence meanwhile.
const FIRST_TRIES: u32 = 2;
/// When both sides should have been heard.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// A session is exchanged for a new one this long before the provider ends it, in a quiet moment.
const ROTATE_BEFORE: Duration = Duration::from_secs(300);
/// If no quiet moment comes, it is exchanged all the same this long before its end: before the call would
/// begin to end because of it.
const ROTATE_ANYWAY_BEFORE: Duration = Duration::from_secs(160);
/// How many commands wait while a session is exchanged.
const HELD_MAX: usize = 64;
/// How long what is left to tell may take once the call is over.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// What a bridge is made of.
pub struct Parts {
    /// The carrier's end, let in by the reception.
    pub phone: Phone,
    /// The stream's id.
    pub stream: StreamSid,
    /// Opens the provider's end.
    pub connector: Connector,
    /// The model.
    pub model: String,
    /// The session, as JSON of a `session.update`.
    pub session: Box<RawValue>,
    /// Where what is heard is written down; none: nowhere.
    pub recording: Option<Tape>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The call's own end of its bridge. Dropping it ends both sockets.
pub struct Bridge {
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
}

enum Command {
    Send(CommandId, ProviderCommand),
    Attach { after: Duration },
    HangUp,
}

impl Bridge {
    /// A bridge, and the task that must run for it: it opens and configures the provider's session at once
    /// and says so with [`Event::AcceptAnswered`]. Nothing is heard until [`Bridge::attach`]. It gives what was
    /// recorded, when everything else is over.
    pub fn new(parts: Parts) -> (Bridge, impl Future<Output = Option<Made>> + Send + 'static) {
        let (events_in, events) = mpsc::channel(EVENTS_PLACES);
        let (commands, commands_out) = mpsc::channel(COMMANDS_PLACES);
        (Bridge { events, commands }, Box::pin(Task::new(parts, events_in, commands_out).run()))
    }

    /// What happens next; none when the bridge is down. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Hands a command for the provider over and does not wait.
    pub fn send(&self, id: CommandId, command: ProviderCommand) {
        self.hand_over(Command::Send(id, command));
    }

    /// Opens the way, or looks for a lost provider again, after this long.
    pub fn attach(&self, after: Duration) {
        self.hand_over(Command::Attach { after });
    }

    /// Closes both sockets; the carrier then asks what to do next.
    pub fn hang_up(&self) {
        self.hand_over(Command::HangUp);
    }

    fn hand_over(&self, command: Command) {
        // Full or closed, the task has ended or is about to: the call learns that from `next`.
        let _ = self.commands.try_send(command);
    }
}

struct Task {
    phone: Phone,
    stream: StreamSid,
    connector: Connector,
    model: String,
    session: Box<RawValue>,
    recording: Option<Tape>,
    recorder: Option<Recorder>,
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<Event>,
    commands: mpsc::Receiver<Command>,
    pending: VecDeque<Event>,
    provider: Provider,
    /// A session was up before.
    was_up: bool,
    tries: u32,
    /// The session is being exchanged, which the call need not know.
    is_rotating: bool,
    held: Vec<(CommandId, ProviderCommand)>,
    lost_at: Option<Instant>,
    /// A turn of the model was cut off with its session.
    is_cut: bool,
    known: Known,
    playback: Playback,
    history: History,
    /// The turn that the model is making.
    running: Option<TurnId>,
    caller_speaks: bool,
    ring: Ring,
    sent: u64,
    last_chunk: u64,
    check: Check,
    noted: Vec<&'static str>,
}

/// Whether both sides are heard.
#[derive(Default)]
struct Check {
    until: Option<Instant>,
    caller: bool,
    assistant: bool,
}

/// Whether the bridge goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    GoOn,
    Over,
}

impl Task {
    fn new(parts: Parts, events: mpsc::Sender<Event>, commands: mpsc::Receiver<Command>) -> Task {
        let Parts { phone, stream, connector, model, session, recording, clock } = parts;
        let mut task = Task {
            phone,
            stream,
            connector,
            model,
            session,
            recording,
            recorder: None,
            clock,
            events,
            commands,
            pending: VecDeque::new(),
            provider: Provider::Down,
            was_up: false,
            tries: 0,
            is_rotating: false,
            held: Vec::new(),
            lost_at: None,
            is_cut: false,
            known: Known::default(),
            playback: Playback::default(),
            history: History::default(),
            running: None,
            caller_speaks: false,
            ring: Ring::default(),
            sent: 0,
            last_chunk: 0,
            check: Check::default(),
            noted: Vec::new(),
        };
        task.open();
        task
    }

    async fn run(mut self) -> Option<Made> {
        while self.turn().await == Flow::GoOn {}
        self.finish().await
    }

    /// One thing happens, and what follows from it.
    async fn turn(&mut self) -> Flow {
        let now = Instant::now();
        self.send_due(now);
        let wake = self.wake_at(now);
        let (may_read, has_news) = (self.pending.len() < PENDING_MAX, !self.pending.is_empty());
        tokio::select! {
            said = self.phone.next() => return self.on_phone(said),
            item = next_item(&mut self.provider), if may_read => self.on_item(item),
            command = self.commands.recv() => match command {
                Some(Command::Send(id, command)) => self.on_command(id, command),
                Some(Command::Attach { after }) => self.on_attach(after),
                Some(Command::HangUp) | None => return Flow::Over,
            },
            is_told = tell_next(&self.events, &mut self.pending), if has_news => if !is_told {
                // Nobody looks after the call any more.
                return Flow::Over;
            },
            () = sleep_until(wake) => self.on_time(Instant::now()),
        }
        Flow::GoOn
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let far = now + Duration::from_secs(3_600);
        let playback = self.playback.wake_at(now).filter(|_| self.phone.has_room());
        [playback, self.check.until, self.rotate_at(now)].into_iter().flatten().min().unwrap_or(far)
    }

    fn on_time(&mut self, now: Instant) {
        if self.playback.overdue(now) {
            self.note("stream.marks_missing", None);
            self.tell_playback();
        }
        if self.check.until.is_some_and(|until| until <= now) {
            self.check.until = None;
            self.tell_heard(true);
        }
        if self.rotate_at(now).is_some_and(|at| at <= now) {
            self.rotate();
        }
    }

    // === the carrier's end ===

    fn on_phone(&mut self, said: Said) -> Flow {
        let text = match said {
            Said::Text(text) => text,
            Said::Binary => {
                self.note("stream.bad_message", Some("binary".to_owned()));
                return Flow::GoOn;
            }
            Said::Gone(gone) => {
                self.note("stream.closed", Some(gone.name().to_owned()));
                return Flow::Over;
            }
        };
        let message = match FromCarrier::read(&text) {
            Ok(message) => message,
            Err(bad) => {
                self.note_one(bad.name(), "stream.bad_message", Some(bad.to_string()));
                return Flow::GoOn;
            }
        };
        if message.stream_sid.is_some_and(|sid| sid != self.stream.as_str()) {
            self.note_one("other stream", "stream.bad_message", Some("of another stream".to_owned()));
            return Flow::GoOn;
        }
        match message.body {
            Body::Media(media) => self.on_caller_audio(&media),
            Body::Mark(name) => self.on_mark(&name),
            Body::Key(digit) if self.pending.len() < PENDING_MAX => {
                self.tell(ProviderEvent::Key { digit, model_knows: false });
            }
            Body::Key(_) | Body::Connected => {}
            Body::Start(_) => {
                self.note_one("start again", "stream.bad_message", Some("a second start".into()))
            }
            Body::Stop => return Flow::Over,
            Body::Unknown(kind) => self.note_one("unknown", "stream.unknown", Some(kind)),
        }
        Flow::GoOn
    }

    /// Audio goes on in the order in which it came: the socket keeps order, so a number that is not higher
    /// than the last one is a repetition, and is dropped.
    fn on_caller_audio(&mut self, media: &Media<'_>) {
        if let Some(chunk) = media.chunk {
            if chunk <= self.last_chunk {
                return self.note_one("order", "stream.out_of_order", Some(format!("chunk {chunk}")));
            }
            self.last_chunk = chunk;
        }
        self.listen(&media.payload);
        match &mut self.provider {
            Provider::Up(sideband) => {
                self.sent += 1;
                sideband.send(append(self.sent, &media.payload));
            }
            _ => {
                if self.ring.push(&media.payload, media.bytes) {
                    let why = "no session took it in time".to_owned();
                    self.note("stream.caller_audio_dropped", Some(why));
                }
            }
        }
    }

    /// The few who must know the samples: is there any sound, and the recorder.
    fn listen(&mut self, payload: &str) {
        let is_awaited = !self.check.caller && self.was_up;
        if !is_awaited && self.recorder.is_none() {
            return;
        }
        let Ok(audio) = STANDARD.decode(payload) else { return };
        if is_awaited && !g711::is_silent(&audio) {
            self.check.caller = true;
            self.tell_heard(false);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.caller(&audio);
        }
    }

    fn on_mark(&mut self, name: &str) {
        if self.playback.marked(name, Instant::now()) {
            if !self.check.assistant {
                self.check.assistant = true;
                self.tell_heard(false);
            }
            self.tell_playback();
        }
    }

    fn send_due(&mut self, now: Instant) {
        while self.phone.has_room() {
            let Some(due) = self.playback.due(now) else { break };
            if let (Some(recorder), Ok(audio)) = (&mut self.recorder, STANDARD.decode(&due.audio)) {
                recorder.played(&audio);
            }
            self.phone.send(media_message(&self.stream, &due.audio));
            self.phone.send(mark_message(&self.stream, &due.mark));
        }
        self.tell_playback();
    }

    // === the provider's end ===

    fn open(&mut self) {
        self.tries += 1;
        let (connector, model) = (self.connector.clone(), self.model.clone());
        self.provider =
            Provider::Opening(Box::pin(async move { connector.open_session(&model).await.map(Box::new) }));
    }

    fn on_item(&mut self, item: Item) {
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
            self.check.until = Some(Instant::now() + HEARD_WITHIN);
            let began = self.clock.now();
            self.recorder = self.recording.take().map(|tape| Recorder::start(tape, began));
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

    fn on_attach(&mut self, after: Duration) {
        match self.provider {
            Provider::Ready(_) => self.go_up(),
            Provider::Up(_) => {}
            _ => self.provider = Provider::Resting(Instant::now() + after),
        }
    }

    fn on_command(&mut self, id: CommandId, command: ProviderCommand) {
        match &mut self.provider {
            Provider::Up(sideband) => {
                self.history.told(&command);
                sideband.send(dialect::write(id, &command));
            }
            _ if self.is_rotating && self.held.len() < HELD_MAX => self.held.push((id, command)),
            // As on a sideband that is lost: the call says it again when it is found.
            _ => {}
        }
    }

    fn on_frame(&mut self, text: &str) {
        if let Some(delta) = AudioDelta::read(text) {
            return self.on_model_audio(delta);
        }
        let event = dialect::read(text);
        self.history.heard(&event);
        match &event {
            ProviderEvent::Ignored => {}
            // The carrier plays, so only its marks tell what is heard.
            ProviderEvent::PlaybackStarted { .. }
            | ProviderEvent::PlaybackDrained { .. }
            | ProviderEvent::PlaybackCleared { .. } => {}
            ProviderEvent::Configured { .. } => {
                if let ServerEvent::SessionUpdated(session) = ServerEvent::read(text) {
                    self.known.learn(session);
                }
                self.tell(event);
            }
            ProviderEvent::CallerSpeechStarted { .. } => {
                self.caller_speaks = true;
                self.tell(event);
                if self.known.interrupts {
                    self.interrupt();
                }
            }
            ProviderEvent::CallerSpeechStopped { .. } => {
                self.caller_speaks = false;
                self.tell(event);
            }
            ProviderEvent::TurnStarted { turn, .. } => {
                self.running = Some(turn.clone());
                self.tell(event);
            }
            ProviderEvent::TurnEnded { turn, .. } => {
                let turn = turn.clone();
                self.running.take_if(|running| *running == turn);
                self.tell(event);
                self.playback.complete(&turn);
                self.tell_playback();
            }
            _ => self.tell(event),
        }
    }

    fn on_model_audio(&mut self, delta: AudioDelta<'_>) {
        let AudioDelta { response_id, item_id, content_index, delta } = delta;
        match self.playback.push(response_id, item_id, content_index, &delta) {
            Taken::Queued | Taken::Late => {}
            Taken::Full => {
                self.note("stream.model_audio_dropped", Some("ten minutes wait already".to_owned()))
            }
            Taken::Senseless => self.note_one("delta", "provider.bad_audio", Some("not base64".to_owned())),
        }
    }

    /// The caller speaks over the assistant: it falls silent, and does not believe to have said more than
    /// was heard. The provider cancels a running response itself.
    fn interrupt(&mut self) {
        let Some(truncations) = self.playback.interrupt(self.running.as_ref(), Instant::now()) else {
            return;
        };
        self.phone.send(clear_message(&self.stream));
        if let Some(recorder) = &mut self.recorder {
            recorder.cleared();
        }
        if let Provider::Up(sideband) = &mut self.provider {
            for cut in truncations {
                self.sent += 1;
                let event_id = format!("cut_{}", self.sent);
                let truncate = ClientEvent::ItemTruncate {
                    event_id: &event_id,
                    item_id: cut.item.as_str(),
                    content_index: cut.content_index,
                    audio_end_ms: cut.heard_ms,
                };
                sideband.send(truncate.render());
            }
        }
        self.tell_playback();
    }

    // === a session does not live for ever ===

    /// When the session is to be exchanged for a new one.
    fn rotate_at(&self, now: Instant) -> Option<Instant> {
        let is_up = matches!(self.provider, Provider::Up(_)) && self.known.may_rotate;
        let expires = self.known.expires_at.filter(|_| is_up)?;
        let is_quiet = self.running.is_none() && !self.caller_speaks && !self.playback.is_audible();
        let before = if is_quiet { ROTATE_BEFORE } else { ROTATE_ANYWAY_BEFORE };
        let left = expires.since(self.clock.now());
        Some(now + left.saturating_sub(before))
    }

    /// A quiet moment passes unnoticed; in the middle of a turn it is a loss like any other.
    fn rotate(&mut self) {
        self.note("stream.session_rotated", None);
        self.noted.retain(|noted| *noted != "stream.session_rotated");
        if self.running.is_some() || self.playback.is_audible() {
            return self.lost(None);
        }
        self.is_rotating = true;
        self.known.expires_at = None;
        self.open();
    }

    // === telling the call ===

    fn tell(&mut self, event: ProviderEvent) {
        self.pending.push_back(Event::Provider(event));
    }

    fn tell_playback(&mut self) {
        while let Some(told) = self.playback.told() {
            self.tell(match told {
                Told::Started(turn) => ProviderEvent::PlaybackStarted { turn },
                Told::Drained(turn) => ProviderEvent::PlaybackDrained { turn },
                Told::Cleared(turn) => ProviderEvent::PlaybackCleared { turn },
            });
        }
    }

    fn tell_heard(&mut self, is_late: bool) {
        let Check { caller, assistant, .. } = self.check;
        self.pending.push_back(Event::Stream(StreamEvent::Heard { caller, assistant, is_late }));
    }

    fn note(&mut self, kind: &'static str, detail: Option<String>) {
        self.note_one(kind, kind, detail);
    }

    /// Each thing is noted once: what comes wrong comes fifty times a second.
    fn note_one(&mut self, what: &'static str, kind: &'static str, detail: Option<String>) {
        if self.noted.contains(&what) {
            return;
        }
        self.noted.push(what);
        self.pending.push_back(Event::Stream(StreamEvent::Noted { kind, detail }));
    }

    /// The call learns the end first, then both sockets are closed; it does not wait for the recording.
    async fn finish(mut self) -> Option<Made> {
        self.pending.push_back(Event::Stream(StreamEvent::Ended));
        let telling = async {
            for event in self.pending.drain(..) {
                if self.events.send(event).await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS_WITHIN, telling).await;
        self.phone.close(NORMAL).await;
        drop((self.events, self.provider));
        self.recorder?.finish().await
    }
}

/// Tells the call the next event, once it has room for one. Claims that there is somebody to tell.
/// Cancel-safe: nothing is taken before there is room.
async fn tell_next(events: &mpsc::Sender<Event>, pending: &mut VecDeque<Event>) -> bool {
    let Ok(permit) = events.reserve().await else { return false };
    if let Some(event) = pending.pop_front() {
        permit.send(event);
    }
    true
}
