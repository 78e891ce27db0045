//! The tool calls of one phone call: each runs at most once, each is answered, then the model goes on.
//!
//! A turn may ask for several tools; they run at the same time and are answered one by one as they
//! finish. When all of a finished turn are answered, and no turn has begun that saw the answers, the
//! model is asked to go on exactly once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::event::{CommandId, ToolCall, ToolFinished};
use super::record::{FORMAT, ToolCallRecord, ToolOutcomeKind};
use super::terms::ToolTerms;
use crate::clock::Timestamp;
use crate::ids::{ToolCallId, TurnId};

/// How many tool calls may wait for their answer at once; more are refused, so that a model in a loop
/// cannot fill the machine.
const RUNNING_MAX: usize = 16;
/// How many tool calls are refused and answered once a phone call has used up its number; what comes
/// after them is not even remembered.
const REFUSED_MAX: u32 = 32;
/// How long a tool may take before the caller hears its phrase. People leave about a fifth of a second
/// between turns and wonder after about one; a phrase needs some 300 ms to begin to sound.
const SAY_FIRST_AFTER: Duration = Duration::from_millis(700);
/// The longest arguments of a tool call in bytes.
pub const ARGUMENTS_BYTES_MAX: usize = 64 << 10;

/// The tool calls of one phone call.
#[derive(Debug, Default)]
pub struct Tools {
    known: HashSet<ToolCallId>,
    pending: Vec<Pending>,
}

/// A tool call whose answer the model may not have seen.
#[derive(Debug)]
struct Pending {
    record: ToolCallRecord,
    delivery: Delivery,
    turn: TurnId,
    turn_is_over: bool,
    next_turn: NextTurn,
    /// What the caller hears when it takes a while; none once something was heard.
    phrase: Option<String>,
    /// What the caller says meanwhile starts no turn.
    is_undisturbed: bool,
}

/// Whether the provider has the answer, as far as that is known before it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// It was never sent.
    Unsent,
    /// It may have been sent before, on another sideband or by an earlier process.
    InDoubt,
    /// It was sent on the sideband that is there.
    Sent,
}

/// Whether the model gets to speak about the answer.
#[derive(Debug, PartialEq, Eq)]
enum NextTurn {
    /// It was not asked to yet.
    Due,
    /// This command asked it to.
    AskedBy(CommandId),
    /// There is nothing to say about it: the call is being ended.
    NotNeeded,
}

/// What is to be done about a request of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Run it.
    Run,
    /// Refuse it: too many run at once, or the phone call has used up its number.
    TooMany,
}

impl Tools {
    /// The tool calls of a phone call that an earlier process looked after. Those whose answer the provider is
    /// not known to have are waited for; `from` is the number of the first one of this session. (Not its time: clocks
    /// jump.)
    pub fn restored(
        records: &[ToolCallRecord],
        from: u32,
        terms: &BTreeMap<String, ToolTerms>,
        is_exit: impl Fn(&str) -> bool,
    ) -> Tools {
        let is_open = |record: &ToolCallRecord| {
            // What the session before was asked and did not answer was cancelled when it was left.
            let is_unanswered = record.finished.is_none();
            // Earlier versions did not keep what was acknowledged; theirs have no turn.
            let is_unsent = !record.acknowledged && record.turn.is_some() && record.output.is_some();
            is_unanswered || (record.n >= from && is_unsent)
        };
        let pending = |record: &ToolCallRecord| Pending {
            delivery: Delivery::InDoubt,
            turn: record.turn.clone().unwrap_or_else(|| TurnId(String::new())),
            turn_is_over: true,
            next_turn: match record.outcome {
                Some(ToolOutcomeKind::Ok) if is_exit(&record.name) => NextTurn::NotNeeded,
                _ => NextTurn::Due,
            },
            phrase: None,
            is_undisturbed: terms.get(&record.name).is_some_and(|terms| !terms.interruptible),
            record: record.clone(),
        };
        Tools {
            known: records.iter().map(|record| record.tool_call_id.clone()).collect(),
            pending: records.iter().filter(|record| is_open(record)).map(pending).collect(),
        }
    }

    /// The tool calls that have no answer.
    pub fn unanswered(&self) -> Vec<ToolCall> {
        let call = |pending: &Pending| ToolCall {
            id: pending.record.tool_call_id.clone(),
            name: pending.record.name.clone(),
            arguments: pending.record.arguments.clone(),
        };
        self.running().map(call).collect()
    }

    /// How many tool calls this phone call has made.
    pub fn count(&self) -> u32 {
        u32::try_from(self.known.len()).unwrap_or(u32::MAX)
    }

    /// Claims that a tool is running.
    pub fn is_any_running(&self) -> bool {
        self.running().next().is_some()
    }

    /// Claims that this tool call is running.
    pub fn is_running(&self, id: &ToolCallId) -> bool {
        self.running().any(|pending| pending.record.tool_call_id == *id)
    }

    /// The names of the tools that run, without those that are left to the next process.
    pub fn begun(&self) -> impl Iterator<Item = &str> {
        let begun = self.running().filter(|pending| !pending.record.deferred);
        begun.map(|pending| pending.record.name.as_str())
    }

    /// The tool is begun by the next process, or this is it. Gives the record to keep; none: that was known.
    pub fn defer(&mut self, id: &ToolCallId, deferred: bool) -> Option<&ToolCallRecord> {
        let is_news =
            |pending: &&mut Pending| pending.record.finished.is_none() && pending.record.deferred != deferred;
        let pending = self.find(id).filter(is_news)?;
        pending.record.deferred = deferred;
        Some(&pending.record)
    }

    /// Claims that a tool is running that is not to be spoken over.
    pub fn is_any_undisturbed(&self) -> bool {
        self.running().any(|pending| pending.is_undisturbed)
    }

    fn running(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().filter(|pending| pending.record.finished.is_none())
    }

    /// The model wants a tool. Gives what to do about it and the new record to keep; none when the
    /// request was known, or when far too many have come.
    pub fn request(
        &mut self,
        turn: TurnId,
        call: &ToolCall,
        terms: Option<&ToolTerms>,
        calls_max: u32,
        now: Timestamp,
    ) -> Option<(Admission, &ToolCallRecord)> {
        let n = self.count();
        if self.known.contains(&call.id) || n >= calls_max.saturating_add(REFUSED_MAX) {
            return None;
        }
        let running = self.running().count();
        let admission =
            if n >= calls_max || running >= RUNNING_MAX { Admission::TooMany } else { Admission::Run };
        let kept_bytes = call.arguments.floor_char_boundary(ARGUMENTS_BYTES_MAX);
        self.known.insert(call.id.clone());
        self.pending.push(Pending {
            record: ToolCallRecord {
                v: FORMAT,
                n,
                tool_call_id: call.id.clone(),
                name: call.name.clone(),
                arguments: call.arguments[..kept_bytes].to_owned(),
                requested: now,
                finished: None,
                outcome: None,
                output: None,
                turn: Some(turn.clone()),
                acknowledged: false,
                deferred: false,
            },
            delivery: Delivery::Unsent,
            turn,
            turn_is_over: false,
            next_turn: NextTurn::Due,
            phrase: terms.and_then(|terms| terms.say_first.clone()),
            is_undisturbed: terms.is_some_and(|terms| !terms.interruptible),
        });
        self.pending.last().map(|pending| (admission, &pending.record))
    }

    /// A tool has answered. Gives the record to keep; none when the answer came twice.
    pub fn finish(&mut self, finished: &ToolFinished, now: Timestamp) -> Option<&ToolCallRecord> {
        let pending = self.find(&finished.tool_call)?;
        if pending.record.finished.is_some() {
            return None;
        }
        pending.record.finished = Some(now);
        pending.record.outcome = Some(finished.kind);
        pending.record.output = Some(finished.output.clone());
        Some(&pending.record)
    }

    /// The model needs no turn of its own for the answer of this call: the call is being ended.
    pub fn needs_no_turn(&mut self, id: &ToolCallId) {
        if let Some(pending) = self.find(id) {
            pending.next_turn = NextTurn::NotNeeded;
        }
    }

    /// Claims that an answer to this tool call may be in the conversation although nobody has said so.
    pub fn may_be_there(&mut self, id: &ToolCallId) -> bool {
        self.find(id).is_some_and(|pending| pending.delivery != Delivery::Unsent)
    }

    /// The answer is sent.
    pub fn submitted(&mut self, id: &ToolCallId) {
        if let Some(pending) = self.find(id) {
            pending.delivery = Delivery::Sent;
        }
    }

    /// The provider is asked whether it has the answer.
    pub fn is_in_doubt(&mut self, id: &ToolCallId) {
        if let Some(pending) = self.find(id) {
            pending.delivery = Delivery::InDoubt;
        }
    }

    /// The provider has put the answer into the conversation. Gives the record to keep, the first time.
    pub fn acknowledge(&mut self, id: &ToolCallId) -> Option<&ToolCallRecord> {
        let pending = self.find(id).filter(|pending| pending.record.finished.is_some())?;
        let is_news = !std::mem::replace(&mut pending.record.acknowledged, true);
        is_news.then_some(&pending.record)
    }

    /// A turn began: it sees every answer that is in the conversation, unless it has words of its own.
    pub fn turn_started(&mut self, is_aside: bool) {
        // Somebody speaks: nobody has to be put off any more.
        self.pending.iter_mut().for_each(|pending| pending.phrase = None);
        let is_seen = |pending: &Pending| pending.record.acknowledged && pending.record.finished.is_some();
        self.pending.retain(|pending| is_aside || !is_seen(pending));
    }

    /// A turn ended: it asks for no more tools.
    pub fn turn_ended(&mut self, turn: &TurnId, said_something: bool) {
        for pending in self.pending.iter_mut().filter(|pending| pending.turn == *turn) {
            pending.turn_is_over = true;
            pending.phrase.take_if(|_| said_something);
        }
    }

    /// When the caller should hear a phrase, if nobody has said anything until then.
    pub fn phrase_at(&self) -> Option<Timestamp> {
        self.put_off().map(|pending| pending.record.requested + SAY_FIRST_AFTER).min()
    }

    /// The phrase that is due, of the first tool of its turn that has one; a turn has one phrase.
    pub fn take_phrase(&mut self, now: Timestamp) -> Option<String> {
        let due = self.put_off().find(|pending| pending.record.requested + SAY_FIRST_AFTER <= now)?;
        let (turn, phrase) = (due.turn.clone(), due.phrase.clone());
        self.pending.iter_mut().filter(|other| other.turn == turn).for_each(|other| other.phrase = None);
        phrase
    }

    /// Tools that still run, whose turn ended without a word, and that have a phrase.
    fn put_off(&self) -> impl Iterator<Item = &Pending> {
        self.running().filter(|pending| pending.turn_is_over && pending.phrase.is_some())
    }

    /// Claims that the model should be asked to go on: all tools of some finished turn are answered.
    pub fn continuation_is_due(&self) -> bool {
        self.pending.iter().any(|pending| {
            let turn = &pending.turn;
            let of_turn = || self.pending.iter().filter(move |other| other.turn == *turn);
            pending.turn_is_over && pending.next_turn == NextTurn::Due && of_turn().all(Pending::is_delivered)
        })
    }

    /// The model was asked to go on: with every answer sent so far.
    pub fn continued(&mut self, command: CommandId) {
        for pending in &mut self.pending {
            if pending.next_turn == NextTurn::Due && pending.is_delivered() {
                pending.next_turn = NextTurn::AskedBy(command);
            }
        }
    }

    /// What asked the model to go on was refused or lost: it is asked again, unless another turn begins
    /// that sees the answers.
    pub fn not_continued(&mut self, command: CommandId) {
        for pending in &mut self.pending {
            if pending.next_turn == NextTurn::AskedBy(command) {
                pending.next_turn = NextTurn::Due;
            }
        }
    }

    /// Answers of which the provider has not said that it has them.
    pub fn unacknowledged(&self) -> Vec<(ToolCallId, String)> {
        let waiting = self.pending.iter().filter(|pending| !pending.record.acknowledged);
        let answer =
            |pending: &Pending| Some((pending.record.tool_call_id.clone(), pending.record.output.clone()?));
        waiting.filter_map(answer).collect()
    }

    /// The phone call is over: what still runs is cancelled. Gives the records to keep.
    pub fn cancel_all(&mut self, now: Timestamp) -> Vec<ToolCallRecord> {
        let pending = std::mem::take(&mut self.pending);
        let running = pending.into_iter().filter(|pending| pending.record.finished.is_none());
        running
            .map(|mut pending| {
                pending.record.finished = Some(now);
                pending.record.outcome = Some(ToolOutcomeKind::Cancelled);
                pending.record
            })
            .collect()
    }

    fn find(&mut self, id: &ToolCallId) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| pending.record.tool_call_id == *id)
    }
}

impl Pending {
    /// Claims that the answer is in the conversation, or on its way there.
    fn is_delivered(&self) -> bool {
        self.record.acknowledged || (self.record.finished.is_some() && self.delivery == Delivery::Sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "lookup".into(), arguments: "{}".into() }
    }

    fn answer(id: &str) -> ToolFinished {
        ToolFinished { tool_call: id.into(), kind: ToolOutcomeKind::Ok, output: "{}".into() }
    }

    /// Finished and sent.
    fn finish(tools: &mut Tools, id: &str) {
        tools.finish(&answer(id), NOW);
        tools.submitted(&id.into());
    }

    fn request(tools: &mut Tools, turn: &str, id: &str) -> Option<Admission> {
        tools.request(turn.into(), &call(id), None, 100, NOW).map(|(admission, _)| admission)
    }

    #[test]
    fn a_request_runs_once_however_often_it_comes() {
        let mut tools = Tools::default();
        assert_eq!(request(&mut tools, "t1", "a"), Some(Admission::Run));
        assert_eq!(request(&mut tools, "t1", "a"), None);
        assert!(tools.finish(&answer("a"), NOW).is_some());
        assert!(tools.finish(&answer("a"), NOW).is_none());
        tools.acknowledge(&"a".into());
        tools.turn_started(false);
        assert_eq!(request(&mut tools, "t2", "a"), None);
    }

    #[test]
    fn the_model_goes_on_when_all_of_a_finished_turn_are_answered() {
        let mut tools = Tools::default();
        request(&mut tools, "t1", "a");
        request(&mut tools, "t1", "b");
        finish(&mut tools, "a");
        tools.turn_ended(&"t1".into(), false);
        assert!(!tools.continuation_is_due(), "b still runs");
        finish(&mut tools, "b");
        assert!(tools.continuation_is_due());
        tools.continued(CommandId(1));
        assert!(!tools.continuation_is_due(), "once is enough");
        tools.not_continued(CommandId(1));
        assert!(tools.continuation_is_due(), "it was refused");
    }

    #[test]
    fn an_answer_in_doubt_is_not_gone_on_with() {
        let mut tools = Tools::default();
        request(&mut tools, "t1", "a");
        finish(&mut tools, "a");
        tools.turn_ended(&"t1".into(), false);
        tools.is_in_doubt(&"a".into());
        assert!(!tools.continuation_is_due(), "the provider was asked whether it has it");
        tools.acknowledge(&"a".into());
        assert!(tools.continuation_is_due());
    }

    #[test]
    fn a_turn_that_saw_the_answers_needs_no_other() {
        let mut tools = Tools::default();
        request(&mut tools, "t1", "a");
        tools.turn_ended(&"t1".into(), false);
        finish(&mut tools, "a");
        tools.acknowledge(&"a".into());
        tools.turn_started(false);
        assert!(!tools.continuation_is_due());
    }

    #[test]
    fn a_turn_that_began_before_the_answer_did_not_see_it() {
        let mut tools = Tools::default();
        request(&mut tools, "t1", "a");
        tools.turn_ended(&"t1".into(), false);
        tools.turn_started(false);
        finish(&mut tools, "a");
        tools.acknowledge(&"a".into());
        assert!(tools.continuation_is_due());
    }

    #[test]
    fn a_model_in_a_loop_is_refused() {
        let mut tools = Tools::default();
        for n in 0..RUNNING_MAX {
            assert_eq!(request(&mut tools, "t1", &n.to_string()), Some(Admission::Run));
        }
        assert_eq!(request(&mut tools, "t1", "one more"), Some(Admission::TooMany));
    }

    #[test]
    fn what_runs_when_the_call_ends_is_cancelled() {
        let mut tools = Tools::default();
        request(&mut tools, "t1", "a");
        request(&mut tools, "t1", "b");
        finish(&mut tools, "a");
        let cancelled = tools.cancel_all(NOW);
        assert_eq!(cancelled.len(), 1);
        assert_eq!(cancelled[0].outcome, Some(ToolOutcomeKind::Cancelled));
    }

    fn request_with_phrase(tools: &mut Tools, turn: &str, id: &str, phrase: &str) {
        let terms = ToolTerms { say_first: Some(phrase.to_owned()), interruptible: true };
        tools.request(turn.into(), &call(id), Some(&terms), 100, NOW);
    }

    #[test]
    fn a_turn_has_one_phrase_and_it_is_that_of_its_first_tool_that_still_runs() {
        let mut tools = Tools::default();
        for (id, phrase) in [("a", "first"), ("b", "second"), ("c", "third")] {
            request_with_phrase(&mut tools, "t1", id, phrase);
        }
        finish(&mut tools, "a");
        let due = NOW + SAY_FIRST_AFTER;
        assert_eq!((tools.phrase_at(), tools.take_phrase(due)), (None, None), "the turn may still speak");
        tools.turn_ended(&"t1".into(), false);
        assert_eq!((tools.phrase_at(), tools.take_phrase(NOW)), (Some(due), None), "too early");
        assert_eq!(tools.take_phrase(due).as_deref(), Some("second"));
        assert_eq!((tools.phrase_at(), tools.take_phrase(due)), (None, None), "once is enough");
    }

    #[test]
    fn a_caller_who_hears_something_is_not_put_off() {
        let due = NOW + SAY_FIRST_AFTER;
        let said = |tools: &mut Tools| tools.turn_ended(&"t1".into(), true);
        let began = |tools: &mut Tools| {
            tools.turn_ended(&"t1".into(), false);
            tools.turn_started(true);
        };
        for hear in [said as fn(&mut Tools), began] {
            let mut tools = Tools::default();
            request_with_phrase(&mut tools, "t1", "a", "one moment");
            hear(&mut tools);
            assert_eq!(tools.take_phrase(due), None);
        }
    }

    #[test]
    fn a_turn_with_words_of_its_own_is_no_continuation() {
        let mut tools = Tools::default();
        request(&mut tools, "t1", "a");
        tools.turn_ended(&"t1".into(), false);
        finish(&mut tools, "a");
        tools.acknowledge(&"a".into());
        tools.turn_started(true);
        assert!(tools.continuation_is_due());
        tools.turn_started(false);
        assert!(!tools.continuation_is_due());
    }
}
