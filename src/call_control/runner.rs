//! The one task that owns a call: what happened goes in, what to do comes out of
//! [`Call::step`], and this carries it out.
//!
//! The runner only carries; all rules are in `step`. It hands things over or spawns them and never
//! waits for a vendor's answer. What is to be kept goes to the store, in one commit with what just went before
//! it; the call does not wait for the disk, except before a tool that may not run twice.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::answering::UNAVAILABLE;
use super::following::{Followers, History, WishBox, context_now, state_event};
use super::link::{Link, LinkItem};
use super::order::{Batch, Outbox, ToolStart};
use super::paths::Trial;
use super::registry::{Caller, Mailbox, Message};
use super::{CallControl, Held, Place};
use crate::call::Call;
use crate::call::event::{Action, AttachFailure, Event, ProviderEvent, StreamEvent, ToolCall, ToolFinished};
use crate::call::finished::Gathered;
use crate::call::record::{EndedReason, Line, Path, State};
use crate::clock::{Clock as _, Steady, Timestamp};
use crate::ids::ProviderCallId;
use crate::openai::sideband::Sideband;
use crate::session::Session;
use crate::store::Write;
use crate::tool::Toolbox;
use crate::tool::context::CallContext;
use crate::tool::hooks::{CallEvent, Hook};

mod bridged;
mod finishing;
mod keeping;
mod resumed;
mod shown;
mod words;

use keeping::{Commit, Landed, Waiting};
pub(super) use resumed::Left;
use shown::Shown;
use words::failed;

/// How long a call that is over is kept at hand for the carrier's last reports.
const LINGER: Duration = Duration::from_secs(1);
/// A runner without a deadline looks again after this long; nothing depends on it.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// How an offered call is answered.
pub(super) struct Plan {
    /// The tools at that moment; a call keeps them to its end.
    pub toolbox: Arc<Toolbox>,
    /// The session that was chosen.
    pub session: Arc<Session>,
    /// The body of the accept; on the bridge, the session of the `session.update` in its place.
    pub body: String,
    /// What tools may know about the call.
    pub context: CallContext,
}

/// The task of one call.
pub(super) struct Runner {
    control: Arc<CallControl>,
    call: Call,
    mailbox: Mailbox,
    place: Option<Place>,
    trial: Option<Trial>,
    plan: Option<Arc<Plan>>,
    /// The body of its plan, until the call is accepted with it.
    body: Option<String>,
    link: Option<Link>,
    caller: Option<Box<Caller>>,
    requests: JoinSet<Answer>,
    /// The sideband that is being opened; a new try takes the place of the old one.
    attaching: Option<AbortHandle>,
    tools: JoinSet<ToolFinished>,
    outbox: Outbox,
    /// Held while the call cannot be left: a tool runs that may not run twice.
    unfinished: Option<TaskTrackerToken>,
    wishes: WishBox,
    /// Those who are told what happens; none before the call is answered.
    followers: Option<Followers>,
    /// The call is over, and they are being told the rest.
    last_events: Option<TaskTracker>,
    /// It ended in the hands of this task, and not before.
    ended_here: bool,
    history: History,
    gathered: Gathered,
    /// What waits to be written …
    batch: Batch,
    /// … and what is on its way to the disk.
    commits: FuturesUnordered<Commit>,
    /// The turn of a call that an earlier process left to open its sideband: others wait for theirs.
    turn: Option<OwnedSemaphorePermit>,
    /// The call's own time.
    time: Steady,
    /// Resolves when the gateway leaves its calls. Its own, so that calls do not wait for each other here.
    leaving: Pin<Box<WaitForCancellationFutureOwned>>,
    leaving_streams: Pin<Box<WaitForCancellationFutureOwned>>,
    shown: Shown,
}

/// What a request to the provider came to.
enum Answer {
    Event(Event),
    Attached(Result<Box<Sideband>, AttachFailure>),
    Done,
}

/// Something the runner has to do something about.
enum Happened {
    Message(Box<Message>),
    Event(Event),
    Attached(Result<Box<Sideband>, AttachFailure>),
    Landed(Landed),
    /// What waited for company has waited long enough.
    BatchDue,
    Nothing,
    /// Everybody who could still have something to say has had the time to say it.
    Lingered,
    /// The gateway stops, and the call goes on without it.
    LeftAlone,
}

/// What one happening leads to, carried out together.
#[derive(Default)]
struct Work {
    events: VecDeque<Event>,
    waiting: Waiting,
}

impl Runner {
    /// On the heap: the future of a task has room for what it is made of more than once.
    pub fn new(control: Arc<CallControl>, mut call: Call, mailbox: Mailbox, held: Held) -> Box<Runner> {
        call.redact(control.rules().settings.redaction.clone());
        control.metrics.call_began();
        Box::new(Runner {
            time: Steady::new(&control.clock),
            gathered: Gathered::of(&call.record),
            leaving: Box::pin(control.leaving.child_token().cancelled_owned()),
            leaving_streams: Box::pin(control.leaving_streams.child_token().cancelled_owned()),
            control,
            call,
            mailbox,
            place: held.place,
            trial: held.trial,
            plan: None,
            body: None,
            link: None,
            caller: None,
            requests: JoinSet::new(),
            attaching: None,
            tools: JoinSet::new(),
            outbox: Outbox::default(),
            unfinished: None,
            wishes: WishBox::default(),
            followers: None,
            last_events: None,
            ended_here: false,
            history: History::default(),
            batch: Batch::default(),
            commits: FuturesUnordered::new(),
            turn: None,
            shown: Shown::default(),
        })
    }

    /// Looks after the call until it is over and everything about it is on disk.
    pub async fn run(mut self: Box<Self>) {
        loop {
            match self.next().await {
                Happened::Message(message) => self.on_message(message).await,
                Happened::Event(event) => self.on_event(event).await,
                // A call that ended meanwhile drops it, and with it the connection.
                Happened::Attached(Ok(sideband)) if self.call.is_over() => drop(sideband),
                Happened::Attached(Ok(sideband)) => {
                    self.outbox.clear();
                    self.link = Some(Link::Sideband(sideband));
                }
                Happened::Attached(Err(failure)) => self.on_event(Event::AttachFailed(failure)).await,
                Happened::Landed(landed) => self.on_landed(landed).await,
                Happened::BatchDue => self.write(Waiting::default()).await,
                Happened::Nothing => {}
                Happened::Lingered | Happened::LeftAlone => break,
            }
            self.look_whether_finished();
        }
        self.leave().await;
    }

    async fn next(&mut self) -> Happened {
        let is_over = self.call.is_over();
        let is_bridged = self.call.record.path == Path::MediaStreams;
        let is_settled =
            is_over && self.link.is_none() && self.requests.is_empty() && self.commits.is_empty();
        let pause = self.pause(is_settled);
        tokio::select! {
            // What the provider says comes last but for the clock: it may never cease, and while it comes no timer is set.
            biased;
            Some(message) = self.mailbox.messages.recv() => Happened::Message(message),
            wished = self.wishes.next() => Happened::Event(Event::Wished(wished)),
            Some(finished) = self.tools.join_next() => match finished {
                Ok(finished) => Happened::Event(Event::ToolFinished(finished)),
                // Aborted with the call; a panic inside was already turned into an answer.
                Err(_) => Happened::Nothing,
            },
            Some(answer) = self.requests.join_next() => match answer {
                Ok(Answer::Event(event)) => Happened::Event(event),
                Ok(Answer::Attached(result)) => Happened::Attached(result),
                Ok(Answer::Done) => Happened::Nothing,
                // An older try to open the sideband.
                Err(error) if error.is_cancelled() => Happened::Nothing,
                Err(error) => {
                    tracing::error!(call = %self.call.record.id, %error, "a request to the provider was cut off");
                    Happened::Nothing
                }
            },
            Some(landed) = self.commits.next() => Happened::Landed(landed),
            // The doors are closed by then, so that nothing late can come for a call that is over.
            () = &mut self.leaving, if !is_over || is_settled => Happened::LeftAlone,
            () = &mut self.leaving_streams, if !is_over && is_bridged => Happened::LeftAlone,
            item = next_item(&mut self.link) => match item {
                LinkItem::Event(event) => Happened::Event(event),
                LinkItem::Last(event) => {
                    self.link = None;
                    Happened::Event(event)
                }
                // Whatever took the bridge down: a call that is not over is now.
                LinkItem::Down => {
                    self.link = None;
                    Happened::Event(Event::Stream(StreamEvent::Ended))
                }
            },
            () = tokio::time::sleep(pause) => match is_over {
                true if is_settled => Happened::Lingered,
                true => Happened::Nothing,
                false if self.is_batch_due() => Happened::BatchDue,
                false => Happened::Event(Event::Deadline),
            },
        }
    }

    /// How long to wait when nothing happens.
    fn pause(&self, is_settled: bool) -> Duration {
        if is_settled {
            return LINGER;
        }
        let until = self.call.deadline().into_iter().chain(self.batch.due()).min();
        until.map_or(LOOK_AGAIN, |until| until.since(self.time.now()))
    }

    async fn on_message(&mut self, message: Box<Message>) {
        let message = *message;
        if let Some(plan) = message.plan {
            self.go_by(plan);
        }
        if message.caller.is_some() {
            self.caller = message.caller;
        }
        if message.writes.iter().any(|write| matches!(write, Write::Recording(_))) {
            self.gathered.recorded();
        }
        self.batch.add(message.writes);
        self.work(message.event, Waiting { done: message.done, ..Waiting::default() }).await;
    }

    fn go_by(&mut self, mut plan: Box<Plan>) {
        if self.followers.is_none() && plan.toolbox.hooks().any_at(Hook::Event) {
            let (id, tasks) = (self.call.record.id, &self.control.runners);
            self.followers = Some(Followers::new(id, &plan.toolbox, tasks));
        }
        self.body = Some(std::mem::take(&mut plan.body));
        self.plan = Some(Arc::from(plan));
    }

    async fn on_event(&mut self, event: Event) {
        self.work(event, Waiting::default()).await;
    }

    /// Lets `step` decide, carries out what it says, and sees to it that what is to be kept will be.
    async fn work(&mut self, event: Event, waiting: Waiting) {
        let mut work = Work { waiting, ..Work::default() };
        let was_over = self.call.is_over();
        let (state, path) = (self.call.record.state, self.call.record.path);
        if matches!(event, Event::ToolFinished(_)) {
            // What a tool wanted while it ran comes before its answer.
            work.events.extend(std::iter::from_fn(|| self.wishes.waiting().map(Event::Wished)));
        }
        work.events.push_back(event);
        while let Some(event) = work.events.pop_front() {
            self.count(&event);
            work.waiting.releases += usize::from(self.outbox.waits_for(&event));
            let now = self.time.now();
            for action in self.call.step(event, now) {
                self.perform(action, &mut work, now);
            }
        }
        if let Some(keys) = self.call.take_pressed() {
            self.tell(&CallEvent::Keys(keys));
        }
        if self.call.record.state != state
            && let Some(event) = state_event(self.call.record.state)
        {
            self.tell(&event);
        }
        if self.call.is_over() && !was_over {
            self.batch.add(self.control.notify_ended(&self.call.record));
        }
        self.batch.hurry_where_moved((state, path), &self.call);
        self.commit(work.waiting).await;
        self.show();
        if self.call.record.path != path {
            self.on_moved();
        }
        if self.call.record.state == State::Live && state != State::Live {
            self.path_worked();
        }
        if self.call.is_over() && !was_over {
            self.on_over();
        }
    }

    fn perform(&mut self, action: Action, work: &mut Work, now: Timestamp) {
        self.batch.hurry_for(&action);
        match action {
            Action::Accept
            | Action::Reject { .. }
            | Action::Attach { .. }
            | Action::Refer { .. }
            | Action::HangUp
                if self.call.record.path == Path::MediaStreams =>
            {
                self.perform_bridged(action, work);
            }
            Action::Accept => {
                self.accept();
                work.events.push_back(Event::AcceptSent);
            }
            Action::Reject { sip_code } => {
                self.request(move |control, call| async move {
                    told(&call, "reject", control.rules().openai.reject(&call, sip_code).await)
                });
            }
            Action::Attach { after } => {
                self.body = None;
                let turn = self.turn.take();
                let attaching = self.request(move |control, call| async move {
                    tokio::time::sleep(after).await;
                    let attached = control.rules().sidebands.connect(&call).await.map(Box::new);
                    drop(turn);
                    Answer::Attached(attached)
                });
                if let Some(older) = std::mem::replace(&mut self.attaching, attaching) {
                    older.abort();
                }
            }
            Action::Refer { target } => {
                self.request(move |control, call| async move {
                    Answer::Event(Event::ReferAnswered(control.rules().openai.refer(&call, &target).await))
                });
            }
            Action::RedirectCarrier { target } => self.redirect_carrier(target),
            Action::AskCarrier => self.ask_carrier(),
            Action::EndLeg { leg } => self.end_leg(leg),
            Action::HangUp => {
                self.request(|control, call| async move {
                    told(&call, "hang up", control.rules().openai.hangup(&call).await)
                });
            }
            Action::Send(id, command) => {
                let ready = self.outbox.put(id, command);
                self.say(ready);
            }
            Action::RunTool { call } => match ToolStart::of(self.may_repeat(&call.name)) {
                ToolStart::AtOnce => self.run_tool(call),
                ToolStart::OnceKept => self.begin_once(call, work),
            },
            Action::LetGo { provider_call } => self.let_go(provider_call),
            Action::TurnAway { path: Path::MediaStreams, .. } => self.turn_away(),
            Action::TurnAway { provider_call, .. } => self.end_at_provider(provider_call),
            Action::Keep(keep) => self.keep(keep, now),
        }
    }

    /// Nothing of the old path goes on: what it was asked may still be on its way, and is not waited for.
    fn let_go(&mut self, provider_call: Option<ProviderCallId>) {
        self.link = None;
        self.turn_away();
        self.requests = JoinSet::new();
        self.tools.abort_all();
        if let Some(attaching) = self.attaching.take() {
            attaching.abort();
        }
        if let Some(call) = provider_call {
            self.end_at_provider(call);
        }
    }

    /// Ends what the provider has of a call that is not answered there any more.
    fn end_at_provider(&self, call: ProviderCallId) {
        let control = Arc::clone(&self.control);
        self.control.runners.spawn(async move {
            // The first where no accept has come to it, the second where one has.
            told(&call, "reject", control.rules().openai.reject(&call, UNAVAILABLE).await);
            told(&call, "hang up", control.rules().openai.hangup(&call).await);
        });
    }

    fn accept(&mut self) {
        let Some(body) = self.body.take() else { return };
        self.request(move |control, call| async move {
            let answer = control.rules().openai.accept(&call, body).await;
            Answer::Event(Event::AcceptAnswered(answer))
        });
    }

    /// Starts a request to the provider about this call.
    fn request<F>(
        &mut self,
        request: impl FnOnce(Arc<CallControl>, ProviderCallId) -> F,
    ) -> Option<AbortHandle>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let provider = self.call.record.provider.as_ref()?;
        Some(self.requests.spawn(request(Arc::clone(&self.control), provider.call_id.clone())))
    }

    fn run_tool(&mut self, call: ToolCall) {
        let plan = self.plan.clone().map(|plan| {
            let history = plan.toolbox.wants_history(&call.name).then_some(&self.history);
            let wishes = self.wishes.way().of_tool_call(call.id.clone());
            let context = context_now(&plan.context, &self.call.record.vars, history, wishes);
            (plan, context)
        });
        self.tools.spawn(async move {
            let Some((plan, context)) = plan else { return failed(&call) };
            let run = plan.toolbox.run(&plan.session, &context, &call);
            AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(tool = plan.toolbox.label(&call.name), "a tool panicked");
                failed(&call)
            })
        });
    }

    /// Tells those who follow the call what happened.
    fn tell(&mut self, event: &CallEvent) {
        let (Some(followers), Some(plan)) = (&mut self.followers, &self.plan) else { return };
        let history = plan.toolbox.any_wants_history().then_some(&self.history);
        let wishes = self.wishes.way().clone();
        followers.tell(&context_now(&plan.context, &self.call.record.vars, history, wishes), event);
    }

    /// A line is new or has changed.
    fn follow(&mut self, line: &Line) {
        let Some(plan) = &self.plan else { return };
        if plan.toolbox.any_wants_history() {
            self.history.put(line);
        }
        if let Some(event) = self.followers.as_mut().and_then(|followers| followers.complete(line)) {
            self.tell(&event);
        }
    }

    fn may_repeat(&self, tool: &str) -> bool {
        self.plan.as_ref().is_none_or(|plan| plan.toolbox.may_repeat(tool))
    }

    /// A tool's name as a metric label.
    fn label<'a>(&self, tool: &'a str) -> &'a str {
        self.plan.as_ref().map_or("unknown", |plan| plan.toolbox.label(tool))
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Provider(ProviderEvent::Unknown { .. }) => self.control.metrics.unknown_event(),
            // Confirmed again: so it was the sideband that was lost, and not the call.
            Event::Provider(ProviderEvent::Attached { .. }) if self.call.record.state == State::Live => {
                self.control.metrics.sideband_lost();
            }
            _ => {}
        }
    }

    /// The call goes on over the other path, which it will show to work or not.
    fn on_moved(&mut self) {
        let record = &self.call.record;
        let Some(moved) = &record.moved else { return };
        let (from, to, reason) = (moved.from.as_str(), record.path.as_str(), moved.reason.as_str());
        let detail = moved.detail.as_deref();
        tracing::warn!(call = %record.id, from, to, reason, detail, "a path failed: the call goes on over the other one");
        self.control.metrics.call_moved(from, to, reason);
        if let Some(trial) = self.trial.take() {
            self.control.paths.failed(moved.from, trial, Instant::now());
        }
        self.trial = self.control.paths.moved_to(record.path, Instant::now());
    }

    fn path_worked(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.control.paths.worked(self.call.record.path, trial);
        }
    }

    /// The call just ended: nothing of it goes on.
    fn on_over(&mut self) {
        self.tools.abort_all();
        while let Some(wished) = self.wishes.waiting() {
            let by = wished.by;
            tracing::info!(call = %self.call.record.id, plugin = by, "a wish came after the call's end");
        }
        self.wishes = WishBox::default();
        self.last_events = self.followers.take().map(Followers::close);
        match self.link.as_ref().and_then(Link::bridge) {
            // It has still to close both sockets, and to say what it leaves behind.
            Some(bridge) => bridge.hang_up(),
            None => self.link = None,
        }
        self.turn_away();
        self.place = None;
        let reason = self.call.record.ended.as_ref().map(|ended| ended.reason);
        // Whoever left before it could be seen says nothing about the path.
        if let Some(trial) = self.trial.take().filter(|_| reason.is_some_and(EndedReason::is_failure)) {
            self.control.paths.failed(self.call.record.path, trial, Instant::now());
        }
        if let Some(attaching) = self.attaching.take() {
            attaching.abort();
        }
        let record = &self.call.record;
        let outcome = record.ended.as_ref().map_or("unknown", |ended| ended.reason.as_str());
        self.control.metrics.call_ended(record.route.as_deref(), outcome, record.cost_usd);
        if record.ended.as_ref().is_some_and(|ended| ended.reason == EndedReason::ProviderDropped) {
            self.control.metrics.sideband_lost();
        }
        if let Some(took) = record.stages.webhook_to_accept() {
            self.control.metrics.accepted_after(took);
        }
        if let Some(took) = record.stages.first_word_after() {
            self.control.metrics.first_word_after(took);
        }
        self.ended_here = true;
    }

    /// Takes what was sent before anybody could know, waits for the disk, and goes.
    async fn leave(mut self: Box<Self>) {
        self.mailbox.messages.close();
        while let Some(message) = self.mailbox.messages.recv().await {
            self.on_message(message).await;
        }
        loop {
            if !self.batch.is_empty() {
                self.write(Waiting::default()).await;
            }
            let Some(landed) = self.commits.next().await else { break };
            self.on_landed(landed).await;
        }
        self.control.metrics.call_left();
        self.tell_the_end();
    }
}

/// A request whose failure changes nothing for the call, but should be known.
fn told(call: &ProviderCallId, verb: &str, answer: Result<(), String>) -> Answer {
    if let Err(why) = answer {
        tracing::warn!(provider_call = %call, verb, why, "the provider did not do what it was asked");
    }
    Answer::Done
}

async fn next_item(link: &mut Option<Link>) -> LinkItem {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}
