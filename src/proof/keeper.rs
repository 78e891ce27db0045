//! The one that looks after a call: the runner (`call_control/runner.rs`) without tasks and sockets.
//!
//! This mirrors the runner line by line where it owns things: what is cancelled when a path is let go or a call ends, what
//! waits for company before it is written, who waits for it. What it decides comes from [`order`]; what happens to the call from
//! [`Call::step`]. Whoever changes the runner changes this, and nothing else of the simulation.

mod bridged;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Broken;
use super::law::Owed;
use super::provider::session_of;
use super::world::World;
use crate::call::Call;
use crate::call::event::{
    AcceptAnswer, Action, AttachFailure, CommandId, Event, ProviderCommand, ProviderEvent, StreamEvent,
    ToolCall, ToolFinished,
};
use crate::call::record::{Path, ToolOutcomeKind};
use crate::call_control::admission::Place;
use crate::call_control::order::{self, Batch, Left, Outbox, ToolStart, Waited};
use crate::clock::Timestamp;
use crate::ids::{CallId, TurnId};
use crate::store::{Tx, Write};

/// How long a call that is over is kept at hand.
const LINGER: Duration = Duration::from_secs(1);
/// More deadlines than this at one moment would be a busy loop.
const DEADLINES_AT_ONCE_MAX: u32 = 8;

/// Told once what came of a message is on disk, or is not.
pub(super) type Done = Box<dyn FnOnce(&mut World, bool)>;

/// Something on its way to a call.
pub(super) struct Message {
    pub event: Event,
    pub writes: Vec<Write>,
    pub has_plan: bool,
    pub stream: Option<u32>,
    pub done: Option<Done>,
}

impl Message {
    pub fn new(event: Event) -> Message {
        Message { event, writes: Vec::new(), has_plan: false, stream: None, done: None }
    }
}

/// What waits until everything up to here is on disk.
type Waiting = order::Waiting<Done>;

/// What a process has of one call.
#[derive(Default)]
pub(super) struct Keeper {
    /// None: it was found at the start and has not been taken up yet.
    pub call: Option<Call>,
    pub waiting: Vec<Message>,
    pub caller: u32,
    pub has_plan: bool,
    is_leaving: bool,
    pub place: Option<Place>,
    /// The stream of a bridged caller who waits for the session.
    stream: Option<u32>,
    /// The socket to the provider, and the session at its other end.
    pub link: Option<(u64, u32)>,
    /// The session was confirmed over this socket.
    pub is_confirmed: bool,
    /// What is under way; answers to what was begun before belong to nobody.
    requests: u32,
    epoch: u64,
    attaching: u64,
    pub tools: u64,
    outbox: Outbox,
    /// What waits to be written, and what is owed once it is.
    batch: Batch,
    owed: Vec<Owed>,
    commits: u32,
    timer: u64,
    deadlines: (Timestamp, u32),
    /// What turns said, until it was heard.
    said: BTreeMap<TurnId, String>,
    steps: u64,
}

impl World {
    pub(super) fn keeper(&mut self, id: CallId) -> Option<&mut Keeper> {
        self.process.as_mut()?.keepers.get_mut(&id)
    }

    /// Begins to look after a new call.
    pub(super) fn look_after(&mut self, mut call: Call, caller: u32, place: Option<Place>) {
        let id = call.record.id;
        call.expect_offer_within(webhook_within(&call));
        self.keep(id, call, caller);
        if let Some(keeper) = self.keeper(id) {
            keeper.place = place;
        }
    }

    fn keep(&mut self, id: CallId, call: Call, caller: u32) {
        let keeper = Keeper { call: Some(call), ..Keeper::waiting(caller, self.number()) };
        if let Some(process) = &mut self.process {
            process.keepers.insert(id, keeper);
        }
        self.law_holds(id);
        self.set_timer(id);
    }

    /// Brings a message to a call, which is read back from the disk where nobody looks after it.
    pub(super) fn deliver(&mut self, id: CallId, mut message: Message) {
        if self.keeper(id).is_none() {
            let Some(record) = self.disk.record(id) else {
                if let Some(done) = message.done.take() {
                    done(self, false);
                }
                return;
            };
            let left = self.process.as_ref().map_or(Left::None, |process| process.left);
            let is_blind = self.broken == Some(Broken::LeftRevived) && left == Left::Bridged;
            if left.has(&record) && !is_blind {
                if let Some(done) = message.done.take() {
                    done(self, false);
                }
                return;
            }
            let caller = self.caller_of(id);
            self.keep(id, Call::from_record(record), caller);
        }
        let Some(keeper) = self.keeper(id) else { return };
        if keeper.call.is_none() {
            return keeper.waiting.push(message);
        }
        self.on_message(id, message);
    }

    pub(super) fn on_message(&mut self, id: CallId, message: Message) {
        let Some(keeper) = self.keeper(id) else { return };
        keeper.has_plan |= message.has_plan;
        keeper.stream = message.stream.or(keeper.stream);
        keeper.batch.add(message.writes);
        self.work(id, message.event, message.done);
    }

    pub(super) fn on_event(&mut self, id: CallId, event: Event) {
        self.work(id, event, None);
    }

    /// Lets `step` decide, carries out what it says, and sees to it that what is to be kept will be.
    fn work(&mut self, id: CallId, event: Event, done: Option<Done>) {
        let mut events = VecDeque::from([event]);
        let mut waiting = Waiting { done, ..Waiting::default() };
        let is_hasty = self.broken == Some(Broken::AnswerBeforeRecord);
        let Some(before) = self.keeper(id).and_then(|keeper| keeper.call.as_ref()) else { return };
        let was_over = before.is_over();
        let was = (before.record.state, before.record.path);
        while let Some(event) = events.pop_front() {
            if let Some(keeper) = self.keeper(id).filter(|_| !is_hasty) {
                waiting.releases += usize::from(keeper.outbox.waits_for(&event));
            }
            if self.broken == Some(Broken::UsageTwice)
                && let Event::Provider(twice @ ProviderEvent::TurnEnded { .. }) = &event
            {
                self.step(id, Event::Provider(twice.clone()), &mut events, &mut waiting);
            }
            self.step(id, event, &mut events, &mut waiting);
        }
        if let Some(keeper) = self.keeper(id)
            && let Some(call) = &keeper.call
        {
            keeper.batch.hurry_where_moved(was, call);
        }
        self.commit(id, waiting);
        let Some(call) = self.keeper(id).and_then(|keeper| keeper.call.as_ref()) else { return };
        if call.is_over() && !was_over {
            self.on_over(id);
        }
        self.set_timer(id);
        self.leave_if_bridged(id);
    }

    fn step(&mut self, id: CallId, event: Event, events: &mut VecDeque<Event>, waiting: &mut Waiting) {
        let now = self.gateway_now();
        let keeps_log = self.story.is_kept;
        let Some(keeper) = self.keeper(id) else { return };
        let caller = keeper.caller;
        let owed = keeper.owes(&event);
        keeper.owed.extend(owed);
        keeper.steps += 1;
        let is_sampled = keeper.steps.is_multiple_of(256);
        let Some(call) = &mut keeper.call else { return };
        let was_over = call.is_over();
        let title = keeps_log.then(|| crate::text::excerpt(&format!("{event:?}"), 300));
        let stepped = catch_unwind(AssertUnwindSafe(|| call.step(event, now)));
        let actions = stepped.unwrap_or_else(|_| {
            self.law.broken(self.now, caller, "step panicked".to_owned());
            Vec::new()
        });
        if let Some(title) = title {
            self.tell(caller, || format!("gateway < {title}"));
        }
        self.law_stepped(id, caller, was_over, &actions, is_sampled);
        for action in actions {
            if keeps_log {
                let shown = crate::text::excerpt(&format!("{action:?}"), 300);
                self.tell(caller, || format!("gateway >   {shown}"));
            }
            self.perform(id, action, events, waiting);
        }
    }

    fn perform(&mut self, id: CallId, action: Action, events: &mut VecDeque<Event>, waiting: &mut Waiting) {
        let Some(keeper) = self.keeper(id) else { return };
        keeper.batch.hurry_for(&action);
        let Some(call) = &keeper.call else { return };
        let path = call.record.path;
        let provider = call.record.provider.as_ref().and_then(|known| session_of(&known.call_id));
        match action {
            Action::Accept
            | Action::Reject { .. }
            | Action::Attach { .. }
            | Action::Refer { .. }
            | Action::HangUp
                if path == Path::MediaStreams =>
            {
                self.perform_bridged(id, action, events);
            }
            Action::Accept => {
                self.request(
                    id,
                    (60, 400),
                    move |world| match provider {
                        Some(session) => world.accept(session),
                        None => (AcceptAnswer::Gone, Duration::ZERO),
                    },
                    |answer| Some(Event::AcceptAnswered(answer)),
                );
                events.push_back(Event::AcceptSent);
            }
            Action::Reject { .. } => {
                if let Some(session) = provider {
                    self.request(
                        id,
                        (40, 200),
                        move |world| (world.reject(session), Duration::ZERO),
                        |()| None,
                    );
                }
            }
            Action::Attach { after } => self.attach(id, after, provider),
            Action::Refer { .. } => {
                let Some(session) = provider else { return };
                self.request(
                    id,
                    (60, 400),
                    move |world| (world.refer(session), Duration::ZERO),
                    |answer| Some(Event::ReferAnswered(answer)),
                );
            }
            Action::RedirectCarrier { .. } => {
                let caller = keeper.caller;
                self.request(
                    id,
                    (60, 400),
                    move |world| (world.redirect(caller), Duration::ZERO),
                    |answer| Some(Event::RedirectAnswered(answer)),
                );
            }
            Action::AskCarrier => {
                let caller = keeper.caller;
                self.request(
                    id,
                    (60, 400),
                    move |world| (world.status_of(caller), Duration::ZERO),
                    |status| status.map(Event::CarrierAnswered),
                );
            }
            Action::EndLeg { leg } => {
                let caller = keeper.caller;
                self.request(
                    id,
                    (60, 400),
                    move |world| (world.end_leg(caller, &leg), Duration::ZERO),
                    |answer| Some(Event::LegEnded(answer)),
                );
            }
            Action::HangUp => {
                if let Some(session) = provider {
                    self.law.asked_to_leave(id);
                    self.request(
                        id,
                        (40, 300),
                        move |world| (world.hang_up(session), Duration::ZERO),
                        |()| None,
                    );
                }
            }
            Action::Send(command, what) => {
                let ready = keeper.outbox.put(command, what);
                self.say_to_provider(id, ready);
            }
            Action::RunTool { call } => match self.tool_start(id, &call) {
                ToolStart::AtOnce => self.run_tool(id, call),
                ToolStart::OnceKept if self.is_finishing() => events.push_back(Event::ToolDeferred(call.id)),
                ToolStart::OnceKept => waiting.tools.push(call),
            },
            Action::LetGo { provider_call } => {
                self.let_go(id, provider_call.as_ref().and_then(session_of));
            }
            Action::TurnAway { path: Path::MediaStreams, .. } => self.turn_away(id),
            Action::TurnAway { provider_call, .. } => self.end_at_provider(session_of(&provider_call)),
            Action::Keep(keep) => keeper.batch.keep(id, keep),
        }
    }

    fn tool_start(&mut self, id: CallId, call: &ToolCall) -> ToolStart {
        if self.broken == Some(Broken::ToolBeforeRecord) {
            return ToolStart::AtOnce;
        }
        let has_plan = self.keeper(id).is_some_and(|keeper| keeper.has_plan);
        ToolStart::of(!has_plan || call.name == super::terms::LOOKUP)
    }

    fn is_finishing(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_finishing)
    }

    fn let_go(&mut self, id: CallId, provider: Option<u32>) {
        let Some(keeper) = self.keeper(id) else { return };
        keeper.requests = 0;
        keeper.epoch += 1;
        keeper.tools += 1;
        keeper.attaching += 1;
        self.drop_link(id);
        self.turn_away(id);
        if provider.is_some() {
            self.end_at_provider(provider);
        }
    }

    /// The socket goes with whoever held it; the stream of a bridge too.
    pub(super) fn drop_link(&mut self, id: CallId) {
        let Some((_, session)) = self.keeper(id).and_then(|keeper| {
            keeper.is_confirmed = false;
            keeper.said.clear();
            keeper.link.take()
        }) else {
            return;
        };
        self.socket_gone(session);
    }

    pub(super) fn turn_away(&mut self, id: CallId) {
        if let Some(stream) = self.keeper(id).and_then(|keeper| keeper.stream.take()) {
            self.stream_closed(stream);
        }
    }

    fn end_at_provider(&mut self, session: Option<u32>) {
        let Some(session) = session else { return };
        let takes = self.chance.millis(50, 400);
        self.after(takes, move |world| {
            world.reject(session);
            world.hang_up(session);
        });
    }

    /// A request to a vendor, and what its answer means; the answer to a request that was let go is nobody's.
    fn request<T: 'static>(
        &mut self,
        id: CallId,
        (least, most): (u64, u64),
        at_vendor: impl FnOnce(&mut World) -> (T, Duration) + 'static,
        answered: impl FnOnce(T) -> Option<Event> + 'static,
    ) {
        let incarnation = self.incarnation;
        let Some(keeper) = self.keeper(id) else { return };
        keeper.requests += 1;
        let epoch = keeper.epoch;
        let (there, back) =
            (self.chance.millis(least / 2, most / 2), self.chance.millis(least / 2, most / 2));
        self.after(there, move |world| {
            let (answer, late) = at_vendor(world);
            world.after(back + late, move |world| {
                if world.incarnation != incarnation {
                    return;
                }
                let Some(keeper) = world.keeper(id).filter(|keeper| keeper.epoch == epoch) else { return };
                keeper.requests = keeper.requests.saturating_sub(1);
                match answered(answer) {
                    Some(event) => world.on_event(id, event),
                    None => world.set_timer(id),
                }
            });
        });
    }

    fn attach(&mut self, id: CallId, after: Duration, provider: Option<u32>) {
        let incarnation = self.incarnation;
        let takes = after + self.chance.millis(30, 300);
        let Some(keeper) = self.keeper(id) else { return };
        keeper.attaching += 1;
        let mine = keeper.attaching;
        self.after(takes, move |world| {
            let is_wanted = |keeper: &Keeper| keeper.attaching == mine;
            if world.incarnation != incarnation || !world.keeper(id).is_some_and(|keeper| is_wanted(keeper)) {
                return;
            }
            match provider.map_or(Err(AttachFailure::NotFound), |session| world.open_socket(session, id)) {
                Err(failure) => world.on_event(id, Event::AttachFailed(failure)),
                Ok((socket, session)) => {
                    let Some(keeper) = world.keeper(id) else { return };
                    if keeper.call.as_ref().is_none_or(Call::is_over) {
                        return world.socket_gone(session);
                    }
                    keeper.outbox.clear();
                    keeper.link = Some((socket, session));
                    keeper.is_confirmed = false;
                    if !world.chance.permille(world.weather.not_confirmed) {
                        world.confirm(session);
                    }
                }
            }
        });
    }

    /// Writes what there is to write, or leaves it to wait for company where nobody waits for it.
    fn commit(&mut self, id: CallId, waiting: Waiting) {
        let now = self.gateway_now();
        let Some(keeper) = self.keeper(id) else { return };
        if !waiting.is_nobody() {
            keeper.batch.hurry();
        }
        if keeper.batch.is_due(now) {
            return self.write_batch(id, waiting);
        }
        // Nothing is to be written of it, and of nothing before it.
        if keeper.batch.is_empty() {
            let owed = std::mem::take(&mut keeper.owed);
            self.law.owes(id, owed);
        }
    }

    /// Writes what there is to write.
    fn write_batch(&mut self, id: CallId, waiting: Waiting) {
        let incarnation = self.incarnation;
        let Some(keeper) = self.keeper(id) else { return };
        let Some(call) = &keeper.call else { return };
        let tx = Tx { expect: Vec::new(), writes: keeper.batch.take(&call.record) };
        let owed = std::mem::take(&mut keeper.owed);
        keeper.commits += 1;
        self.submit(
            tx,
            Box::new(move |world, result| {
                let is_kept = result.is_ok();
                match is_kept {
                    true => world.law.owes(id, owed),
                    false => world.law.was_refused(id),
                }
                let Waiting { done, tools, releases } = waiting;
                if let Some(done) = done {
                    done(world, is_kept);
                }
                if world.incarnation == incarnation {
                    world.on_landed(id, tools, releases, is_kept);
                }
            }),
        );
    }

    /// Said over the socket that is there.
    fn say_to_provider(
        &mut self,
        id: CallId,
        commands: impl IntoIterator<Item = (CommandId, ProviderCommand)>,
    ) {
        let Some((socket, session)) = self.keeper(id).and_then(|keeper| keeper.link) else { return };
        for (command, what) in commands {
            self.send(socket, session, command, what);
        }
    }

    fn on_landed(&mut self, id: CallId, tools: Vec<ToolCall>, releases: usize, is_kept: bool) {
        let Some(keeper) = self.keeper(id) else { return };
        keeper.commits = keeper.commits.saturating_sub(1);
        if keeper.is_leaving {
            return self.leave(id);
        }
        for _ in 0..releases {
            let Some(ready) = self.keeper(id).map(|keeper| keeper.outbox.landed()) else { return };
            self.say_to_provider(id, ready);
        }
        for tool in tools {
            let Some(call) = self.keeper(id).and_then(|keeper| keeper.call.as_ref()) else { return };
            match Waited::for_commit(call, &tool.id, is_kept) {
                Waited::Run => {
                    if let Some(keeper) = self.keeper(id) {
                        keeper.outbox.runs_once(tool.id.clone());
                    }
                    self.run_tool(id, tool);
                }
                Waited::Refuse => self.on_event(id, Event::ToolFinished(unavailable(&tool))),
                Waited::Forget => {}
            }
        }
        self.set_timer(id);
    }

    /// The call is left to the next process. Whoever has something for it waits until everything is written, and then
    /// has it read back.
    pub(super) fn leave(&mut self, id: CallId) {
        self.law_leaves(id);
        let Some(keeper) = self.keeper(id) else { return };
        let was_never_taken_up = keeper.call.is_none() && !keeper.is_leaving;
        if !keeper.batch.is_empty() {
            self.write_batch(id, Waiting::default());
        }
        let Some(keeper) = self.keeper(id) else { return };
        keeper.is_leaving = true;
        keeper.call = None;
        if keeper.commits > 0 {
            return;
        }
        let waiting = std::mem::take(&mut keeper.waiting);
        if let Some(process) = &mut self.process {
            process.keepers.remove(&id);
        }
        for message in waiting {
            match message.done {
                Some(done) if was_never_taken_up => done(self, false),
                _ => self.deliver(id, message),
            }
        }
    }

    /// The call just ended: nothing of it goes on.
    fn on_over(&mut self, id: CallId) {
        let is_leaky = self.broken == Some(Broken::PlaceLeaked);
        if self.broken == Some(Broken::AliveAfterEnd)
            && let Some((socket, session)) = self.keeper(id).and_then(|keeper| keeper.link)
        {
            let what = ProviderCommand::PromptTurn { instructions: None, may_call_tools: true };
            self.send(socket, session, CommandId(u64::MAX), what);
        }
        let Some(keeper) = self.keeper(id) else { return };
        keeper.tools += 1;
        keeper.attaching += 1;
        let (caller, place) = (keeper.caller, keeper.place.take());
        if is_leaky {
            std::mem::forget(place);
        }
        let is_bridged = keeper.call.as_ref().is_some_and(|call| call.record.path == Path::MediaStreams);
        match keeper.link {
            Some((_, session)) if is_bridged => self.close_bridge(session),
            _ => self.drop_link(id),
        }
        self.turn_away(id);
        self.law_over(id, caller);
    }

    /// Wakes the call at its deadline, or takes it out when it is over and everything about it is on disk.
    pub(super) fn set_timer(&mut self, id: CallId) {
        let (incarnation, now) = (self.incarnation, self.gateway_now());
        let Some(keeper) = self.keeper(id) else { return };
        keeper.timer += 1;
        let mine = keeper.timer;
        let Some(call) = &keeper.call else { return };
        let is_settled =
            call.is_over() && keeper.link.is_none() && keeper.requests == 0 && keeper.commits == 0;
        let until = call.deadline().into_iter().chain(keeper.batch.due()).min();
        let pause = match until {
            Some(until) => until.since(now),
            None if is_settled => LINGER,
            None => return,
        };
        self.after(pause, move |world| {
            let is_mine = |keeper: &Keeper| keeper.timer == mine;
            if world.incarnation != incarnation || !world.keeper(id).is_some_and(|keeper| is_mine(keeper)) {
                return;
            }
            if is_settled {
                if let Some(process) = &mut world.process {
                    process.keepers.remove(&id);
                }
                return;
            }
            world.on_deadline(id);
        });
    }

    fn on_deadline(&mut self, id: CallId) {
        let (now, gateway_now) = (self.now, self.gateway_now());
        let Some(keeper) = self.keeper(id) else { return };
        if keeper.batch.is_due(gateway_now) {
            self.write_batch(id, Waiting::default());
            return self.set_timer(id);
        }
        let (at, times) = keeper.deadlines;
        keeper.deadlines = if at == now { (at, times + 1) } else { (now, 0) };
        if keeper.deadlines.1 > DEADLINES_AT_ONCE_MAX {
            let caller = keeper.caller;
            let until = keeper.call.as_ref().and_then(Call::deadline);
            return self.law.broken(
                now,
                caller,
                format!("a busy loop of deadlines: the next is at {until:?}"),
            );
        }
        self.on_event(id, Event::Deadline);
    }

    /// What the provider says over a socket, unless the call has another one by now.
    pub(super) fn heard(&mut self, id: CallId, socket: u64, event: Event, is_last: bool) {
        let Some(keeper) = self.keeper(id) else { return };
        if keeper.link.is_none_or(|(open, _)| open != socket) || keeper.call.is_none() {
            return;
        }
        if is_last {
            keeper.link = None;
            keeper.is_confirmed = false;
            keeper.said.clear();
        }
        if matches!(event, Event::Provider(ProviderEvent::Attached { .. })) {
            keeper.is_confirmed = true;
        }
        self.on_event(id, event);
    }

    /// The bridge has closed both sockets.
    pub(super) fn bridge_is_down(&mut self, id: CallId, socket: u64) {
        self.heard(id, socket, Event::Stream(StreamEvent::Ended), true);
    }
}

impl Keeper {
    /// A call that has not been taken up yet: what comes for it waits.
    /// What was under way for an earlier keeper of the same call has smaller numbers.
    pub fn waiting(caller: u32, number: u64) -> Keeper {
        let first = number << 20;
        Keeper { caller, epoch: first, attaching: first, tools: first, timer: first, ..Keeper::default() }
    }

    /// Claims that the next process can go on with it as it is.
    pub fn may_be_left(&self) -> bool {
        let may_repeat = |tool: &str| !self.has_plan || tool == super::terms::LOOKUP;
        self.call.as_ref().is_none_or(|call| order::may_be_left(call, &self.outbox, may_repeat))
    }

    /// What must stand in the transcript in the end, once what comes of this event is on disk.
    fn owes(&mut self, event: &Event) -> Option<Owed> {
        let Event::Provider(event) = event else { return None };
        if !self.is_confirmed || self.call.as_ref().is_none_or(Call::is_over) {
            return None;
        }
        use crate::call::event::TextMode::Final;
        match event {
            ProviderEvent::CallerTranscript { item, text, mode: Final, .. } => {
                Some(Owed::Caller { item: item.clone(), text: text.clone() })
            }
            ProviderEvent::AssistantTranscript { turn, text, mode: Final, .. } => {
                self.said.insert(turn.clone(), text.clone());
                None
            }
            ProviderEvent::PlaybackDrained { turn } => {
                let text = self.said.remove(turn)?;
                Some(Owed::Assistant { turn: turn.clone(), text })
            }
            ProviderEvent::TurnEnded { turn, usage: Some(_), .. } => Some(Owed::Usage { turn: turn.clone() }),
            _ => None,
        }
    }
}

/// How long the offer of a call is waited for that has another way.
pub(super) fn webhook_within(call: &Call) -> Option<Duration> {
    let has_way = call.record.path == Path::Sip && call.record.other_path.is_some();
    has_way.then_some(Duration::from_secs(3))
}

/// A tool whose record could not be kept.
fn unavailable(call: &ToolCall) -> ToolFinished {
    let output = r#"{"error":"unavailable"}"#.to_owned();
    ToolFinished { tool_call: call.id.clone(), kind: ToolOutcomeKind::Unavailable, output }
}
