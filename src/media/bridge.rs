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
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use super::history::History;
use super::phone::Phone;
use super::playback::{Playback, Told};
use super::provider::{Known, Provider, Ring, next_item};
use super::reception::NORMAL;
use super::recorder::{Made, Recorder, Tape};
use crate::call::event::{CommandId, Event, ProviderCommand, ProviderEvent, StreamEvent};
use crate::call::record::Speaker;
use crate::clock::Clock;
use crate::ids::TurnId;
use crate::openai::sideband::Connector;
use crate::wire::media::StreamSid;

mod carrier;
mod check;
mod conversation;
mod session;

use check::Check;

/// How many events may wait for the call before the provider is not read any more.
const PENDING_MAX: usize = 256;
/// How many events are on their way to the call at once.
const EVENTS_PLACES: usize = 64;
/// How many commands may wait for this task, which takes them within a moment.
const COMMANDS_PLACES: usize = 256;
/// How long what is left to tell may take once the call is over.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// What a bridge is made of.
pub struct Parts {
    /// The carrier's end, let in by the reception.
    pub phone: Phone,
    /// The stream's id.
    pub stream: StreamSid,
    /// What was said before, on another path.
    pub said: Vec<(Speaker, String)>,
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
    /// Rings when something is due, or before.
    alarm: Pin<Box<Sleep>>,
}

/// Whether the bridge goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    GoOn,
    Over,
}

impl Task {
    fn new(parts: Parts, events: mpsc::Sender<Event>, commands: mpsc::Receiver<Command>) -> Task {
        let Parts { phone, stream, said, connector, model, session, recording, clock } = parts;
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
            history: History::of(said),
            running: None,
            caller_speaks: false,
            ring: Ring::default(),
            sent: 0,
            last_chunk: 0,
            check: Check::default(),
            noted: Vec::new(),
            alarm: Box::pin(sleep_until(Instant::now())),
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
        self.set_alarm(now);
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
            () = self.alarm.as_mut() => self.on_time(Instant::now()),
        }
        Flow::GoOn
    }

    /// What is due moves on with every frame, and the alarm does not: it may ring early, and is set anew then.
    fn set_alarm(&mut self, now: Instant) {
        let wake = self.wake_at(now);
        if self.alarm.is_elapsed() || wake < self.alarm.deadline() {
            self.alarm.as_mut().reset(wake);
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let far = now + Duration::from_secs(3_600);
        let playback = self.playback.wake_at(now).filter(|_| self.phone.has_room());
        [playback, self.check.wake_at(), self.rotate_at(now)].into_iter().flatten().min().unwrap_or(far)
    }

    fn on_time(&mut self, now: Instant) {
        if self.playback.overdue(now) {
            self.note("stream.marks_missing", None);
            self.tell_playback();
        }
        if self.check.is_up(now) {
            self.tell_heard(true);
        }
        if self.rotate_at(now).is_some_and(|at| at <= now) {
            self.rotate();
        }
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
