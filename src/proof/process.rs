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
use crate::call_control::order;
use crate::call_control::pulse::Pulse;
use crate::clock::Timestamp;
use crate::ids::CallId;

/// A webhook event older than this is for a caller who is gone.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(60);
/// How long an accept may take where there is another way.
pub(super) const ACCEPT_WITHIN: Duration = Duration::from_millis(1_500);
/// How long running calls may take to end when the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Between two calls that are taken up.
const PACE: Duration = Duration::from_millis(1);

/// A running gateway.
pub(super) struct Process {
    pub keepers: BTreeMap<CallId, Keeper>,
    /// No new calls.
    pub is_closing: bool,
    /// Running calls are left to the next process.
    pub is_leaving: bool,
    /// What is being decided now, and who waits for that.
    pub claims: HashMap<String, Vec<Deed>>,
    /// Requests that have reached it.
    pub requests: BTreeSet<u64>,
    pub archive: Archive,
    pub admission: Admission,
}

impl Default for Process {
    fn default() -> Process {
        Process {
            keepers: BTreeMap::new(),
            is_closing: false,
            is_leaving: false,
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
            _ => self.disk.books.open(),
        };
        self.tell(0, || format!("the gateway starts, {} calls are not over", found.len()));
        self.process = Some(Process::default());
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
            let wait = PACE * u32::try_from(nth).unwrap_or(u32::MAX) + self.chance.millis(0, 50);
            self.after(wait, move |world| {
                if world.incarnation == incarnation {
                    world.take_up(id);
                }
            });
        }
    }

    /// Goes on with a call that an earlier process left, by the product's own means.
    fn take_up(&mut self, id: CallId) {
        let is_leaving = self.process.as_ref().is_none_or(|process| process.is_leaving);
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
        let record = kept.record;
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
        let terms = has_terms.then(|| terms_of(caller));
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
        self.lose_unsynced();
        self.law_places_gone();
        for request in process.requests {
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
        let incarnation = self.incarnation;
        self.after(DRAIN, move |world| {
            if world.incarnation == incarnation {
                world.leave_calls();
            }
        });
    }

    fn leave_calls(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.is_leaving = true;
        let left: Vec<CallId> = process.keepers.keys().copied().collect();
        self.tell(0, || format!("the gateway leaves {} calls to the next process", left.len()));
        for id in left {
            self.leave(id);
        }
        // Their streams are closed, and their sockets go with them.
        self.sockets_broke();
        self.exit_when_synced();
    }

    fn exit_when_synced(&mut self) {
        let incarnation = self.incarnation;
        let look = self.chance.millis(20, 200);
        self.after(look, move |world| {
            if world.incarnation != incarnation {
                return;
            }
            if !world.is_synced() {
                return world.exit_when_synced();
            }
            if let Some(process) = world.process.take() {
                world.gone(process);
                let away = world.chance.millis(100, 2_000);
                world.after(away, World::start);
            }
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
