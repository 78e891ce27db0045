//! The gateway's process: it starts, dies at any moment, or is asked to stop; and its clock may be wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::Broken;
use super::archive::Archive;
use super::doors::Answer;
use super::keeper::{Keeper, webhook_within};
use super::terms::{LOOKUP, PAY, terms_of};
use super::world::{Deed, World};
use crate::call::Call;
use crate::call::event::{Event, TakenUp};
use crate::call::record::{CallRecord, Path, State};
use crate::call::resume::Remembered;
use crate::call_control::admission::{Admission, Place};
use crate::call_control::order::{self, Left};
use crate::call_control::pulse::Pulse;
use crate::clock::Timestamp;
use crate::ids::CallId;

/// A webhook event older than this is for a caller who is gone.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(60);
/// How long an accept may take where there is another way.
pub(super) const ACCEPT_WITHIN: Duration = Duration::from_millis(1_500);
/// How long running calls may take to end when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long tools that may not run twice may take to answer before their calls are left.
const FINISHED_WITHIN: Duration = Duration::from_secs(5);
/// How long the carrier may take to ask about streams that were closed.
const ASKED_WITHIN: Duration = Duration::from_secs(3);
/// How long requests that were let in may take to be answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two calls that are taken up.
const PACE: Duration = Duration::from_millis(1);

/// A running gateway.
pub(super) struct Process {
    pub started: Timestamp,
    pub keepers: BTreeMap<CallId, Keeper>,
    /// No new calls.
    pub is_closing: bool,
    /// No tool begins any more that may not run twice.
    pub is_finishing: bool,
    /// Which running calls were left to the next process.
    pub left: Left,
    /// Callers whose stream was closed for that, and who were told to ask the next process.
    pub sent_on: usize,
    /// Who comes waits in the sockets.
    pub is_shut: bool,
    /// What is being decided now, and who waits for that.
    pub claims: HashMap<String, Vec<Deed>>,
    /// Requests that have reached it.
    pub requests: BTreeSet<u64>,
    pub archive: Archive,
    pub admission: Admission,
}

impl Process {
    fn new(started: Timestamp) -> Process {
        Process {
            started,
            keepers: BTreeMap::new(),
            is_closing: false,
            is_finishing: false,
            left: Left::None,
            sent_on: 0,
            is_shut: false,
            claims: HashMap::new(),
            requests: BTreeSet::new(),
            archive: Archive::default(),
            // Its machine is never late.
            admission: Admission::new(Pulse::new(Duration::MAX)),
        }
    }
}

impl World {
    /// What the gateway's clock shows.
    pub(super) fn gateway_now(&self) -> Timestamp {
        let off = Duration::from_micros(self.clock_off.unsigned_abs());
        if self.clock_off < 0 { self.now - off } else { self.now + off }
    }

    /// A process starts over what is on disk.
    pub(super) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.incarnation += 1;
        self.law.tally.starts += 1;
        let found = match self.broken {
            Some(Broken::CallsForgotten) => Vec::new(),
            Some(Broken::HandedToNobody) if self.is_handing_over => Vec::new(),
            _ => self.disk.books.open(),
        };
        self.tell(0, || format!("the gateway starts, {} calls are not over", found.len()));
        self.process = Some(Process::new(self.now));
        self.take_up_recordings();
        if !found.is_empty()
            && let Some(caller) = self.impatient.pop()
        {
            let soon = self.chance.millis(0, 40);
            self.after(soon, move |world| world.ring(caller));
        }
        let incarnation = self.incarnation;
        for (nth, id) in found.into_iter().enumerate() {
            let caller = self.caller_of(id);
            let (number, place) = (self.number(), self.readmit(id));
            if let Some(process) = &mut self.process {
                let mut keeper = Keeper::waiting(caller, number);
                keeper.place = place;
                process.keepers.insert(id, keeper);
            }
            self.law_holds(id);
            let wait = PACE * u32::try_from(nth).unwrap_or(u32::MAX) + self.chance.millis(0, 50);
            self.after(wait, move |world| {
                if world.incarnation == incarnation {
                    world.take_up(id);
                }
            });
        }
        self.is_handing_over = false;
        for (request, door) in std::mem::take(&mut self.backlog) {
            self.arrive(request, door);
        }
    }

    /// Goes on with a call that an earlier process left, by the product's own means.
    fn take_up(&mut self, id: CallId) {
        let is_leaving = self.process.as_ref().is_none_or(|process| process.left == Left::All);
        if is_leaving {
            return;
        }
        let kept = self.disk.books.calls.get(&id).filter(|kept| kept.record.state != State::Ended).cloned();
        let Some(kept) = kept else {
            if let Some(process) = &mut self.process {
                process.keepers.remove(&id);
            }
            return;
        };
        let (now, caller) = (self.gateway_now(), self.caller_of(id));
        let mut lines: Vec<_> = kept.lines.into_values().collect();
        lines.sort_by_key(|line| (line.started, line.n));
        let tool_calls = kept.tools.into_values().collect();
        if self.broken == Some(Broken::LinesForgotten) {
            lines.clear();
        }
        let mut record = kept.record;
        let has_terms = record.path == Path::Sip && record.state != State::Dialing;
        let mut how = TakenUp {
            is_fresh: is_fresh(&record, now),
            accept_within: accept_within(&record),
            repeatable: if has_terms { [LOOKUP.to_owned()].into() } else { Default::default() },
        };
        if self.broken == Some(Broken::ToolsAgain) {
            how.repeatable.insert(PAY.to_owned());
        }
        self.law.tally.taken_up += 1;
        self.law_taken_up(id);
        let terms = has_terms.then(|| terms_of(caller, record.consent.as_ref()));
        if self.broken == Some(Broken::GreetingForgotten) {
            record.stages.greeted = Some(now);
        }
        let mut call = Call::restore(Remembered { record, lines, tool_calls, terms, forward_to: None }, now);
        call.expect_offer_within(webhook_within(&call));
        let Some(keeper) = self.keeper(id) else { return };
        keeper.call = Some(call);
        keeper.has_plan = has_terms;
        let waiting = std::mem::take(&mut keeper.waiting);
        self.on_event(id, Event::TakenUp(how));
        for message in waiting {
            self.on_message(id, message);
        }
    }

    /// A call that an earlier process let in stays in.
    fn readmit(&self, id: CallId) -> Option<Place> {
        let process = self.process.as_ref().filter(|_| self.broken != Some(Broken::PlacesForgotten))?;
        let route = self.disk.record(id).and_then(|record| record.route);
        Some(process.admission.readmit(route.as_deref()))
    }

    /// The process is gone from one moment to the next.
    pub(super) fn crash(&mut self) {
        let Some(process) = self.process.take() else { return };
        self.law.tally.crashes += 1;
        self.tell(0, || format!("kill -9: {} calls were looked after", process.keepers.len()));
        self.law_left_by_force();
        self.gone(process);
        let away = match self.chance.below(20) {
            0 => self.chance.seconds(30, 180),
            1..=4 => self.chance.seconds(3, 30),
            _ => self.chance.millis(150, 3_000),
        };
        self.after(away, World::start);
    }

    /// A moment at which it would be worst to die: it is tried more often than others.
    pub(super) fn worst_moment(&mut self) {
        if self.chance.permille(self.weather.crash / 40) {
            self.while_up(Duration::ZERO, World::crash);
        }
    }

    fn gone(&mut self, process: Process) {
        self.incarnation += 1;
        if !(self.is_handing_over && self.broken == Some(Broken::LeavesUnsynced)) {
            self.lose_unsynced();
        }
        self.law_places_gone();
        let waiting = match self.is_handing_over {
            true => Vec::new(),
            false => std::mem::take(&mut self.backlog),
        };
        for request in process.requests.into_iter().chain(waiting.into_iter().map(|(request, _)| request)) {
            let soon = self.chance.millis(1, 20);
            self.after(soon, move |world| world.resolve(request, Answer::Lost));
        }
        self.sockets_broke();
    }

    /// SIGTERM: no new calls, time for those that run, and what is left goes to the next process.
    pub(super) fn stop(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.is_closing {
            return;
        }
        process.is_closing = true;
        self.law.tally.drains += 1;
        self.tell(0, || "the gateway is asked to stop".to_owned());
        self.while_up(DRAIN, |world| world.finish_tools(world.now + FINISHED_WITHIN, false));
    }

    /// The gateway makes place for the next program, which gets its sockets.
    pub(super) fn hand_over(&mut self) {
        let is_under_way = |process: &Process| process.is_closing || process.is_finishing;
        if self.process.as_ref().is_none_or(is_under_way) {
            return;
        }
        self.law.tally.handovers += 1;
        self.tell(0, || "the gateway hands over".to_owned());
        self.finish_tools(self.now + FINISHED_WITHIN, true);
    }

    /// Tools that may not run twice are waited for, for a while.
    fn finish_tools(&mut self, until: Timestamp, hands_over: bool) {
        let Some(process) = &mut self.process else { return };
        process.is_finishing = true;
        if self.now >= until || process.keepers.values().all(Keeper::may_be_left) {
            return self.leave_streams(hands_over);
        }
        self.while_up(LOOK_EVERY, move |world| world.finish_tools(until, hands_over));
    }

    /// Bridged calls are left first: the carrier must be told to ask later.
    fn leave_streams(&mut self, hands_over: bool) {
        let Some(process) = &mut self.process else { return };
        if process.left != Left::None {
            return;
        }
        process.left = Left::Bridged;
        let bridged: Vec<CallId> = process.keepers.keys().copied().collect();
        let before = self.sent_on();
        let closed = bridged.into_iter().filter(|id| self.leave_if_bridged(*id)).count();
        self.worst_moment();
        self.while_asked(before + closed, self.now + ASKED_WITHIN, hands_over);
    }

    fn sent_on(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.sent_on)
    }

    /// Leaves a call whose audio passes through a process that leaves such calls. Claims that it had a stream.
    pub(super) fn leave_if_bridged(&mut self, id: CallId) -> bool {
        let Some(process) = self.process.as_ref().filter(|process| process.left == Left::Bridged) else {
            return false;
        };
        let call = process.keepers.get(&id).and_then(|keeper| keeper.call.as_ref());
        if !call.is_some_and(|call| process.left.has(&call.record)) {
            return false;
        }
        let had_stream = self.keeper(id).is_some_and(|keeper| keeper.link.is_some());
        self.drop_link(id);
        self.turn_away(id);
        self.leave(id);
        had_stream
    }

    /// Waits until the carrier has asked about every stream that was closed, for a while; then nobody is let in any more.
    fn while_asked(&mut self, wanted: usize, until: Timestamp, hands_over: bool) {
        self.while_up(LOOK_EVERY, move |world| {
            if world.sent_on() < wanted && world.now < until {
                return world.while_asked(wanted, until, hands_over);
            }
            if let Some(process) = &mut world.process {
                process.is_shut = true;
            }
            world.while_answering(world.now + ANSWER_WITHIN, hands_over);
        });
    }

    /// Waits until those who were let in are answered.
    fn while_answering(&mut self, until: Timestamp, hands_over: bool) {
        self.while_up(LOOK_EVERY, move |world| {
            let is_busy = world.process.as_ref().is_some_and(|process| !process.requests.is_empty());
            match is_busy && world.now < until {
                true => world.while_answering(until, hands_over),
                false => world.leave_calls(hands_over),
            }
        });
    }

    fn leave_calls(&mut self, hands_over: bool) {
        let Some(process) = &mut self.process else { return };
        process.left = Left::All;
        let left: Vec<CallId> = process.keepers.keys().copied().collect();
        self.tell(0, || format!("the gateway leaves {} calls to the next process", left.len()));
        for id in left {
            self.leave(id);
        }
        // Their streams are closed, and their sockets go with them.
        self.sockets_broke();
        self.worst_moment();
        self.exit_when_synced(hands_over);
    }

    fn exit_when_synced(&mut self, hands_over: bool) {
        let is_hasty = hands_over && self.broken == Some(Broken::LeavesUnsynced);
        let look = if is_hasty { Duration::ZERO } else { self.chance.millis(20, 200) };
        self.while_up(look, move |world| {
            if !world.is_synced() && !is_hasty {
                return world.exit_when_synced(hands_over);
            }
            let Some(process) = world.process.take() else { return };
            // The next program may not be there: then somebody starts it.
            let is_lame = hands_over && world.chance.permille(world.weather.crash / 40);
            world.is_handing_over = hands_over && !is_lame;
            if is_lame {
                world.law_left_by_force();
            }
            world.gone(process);
            let away = match world.is_handing_over {
                true if is_hasty => Duration::ZERO,
                true => world.chance.millis(50, 800),
                false => world.chance.millis(100, 2_000),
            };
            world.after(away, World::start);
        });
    }
}

fn is_fresh(record: &CallRecord, now: Timestamp) -> bool {
    record.stages.webhook_created.is_some_and(|created| !order::is_stale(created, now, STALE_AFTER))
}

/// How long the accept may take, where the caller can be brought to the model another way.
pub(super) fn accept_within(record: &CallRecord) -> Option<Duration> {
    (record.path == Path::Sip && record.other_path.is_some()).then_some(ACCEPT_WITHIN)
}
