//! What the caller hears while a tool takes its time: the tool's phrase, and how far it is.
//!
//! Both are worth saying only into silence. A phrase is said when the turn that asked for the tool said
//! nothing itself; how far a tool is, when the caller was not told something of that kind a moment ago.
//! Nothing of it is said twice, and nothing after the tool has answered.

use std::time::Duration;

use super::event::Wished;
use super::step::Call;
use super::turns::{Prompt, PromptKind};
use crate::clock::Timestamp;
use crate::ids::ToolCallId;

/// Between two things the caller is told while waiting: more often it would be chatter.
const APART: Duration = Duration::from_secs(5);
/// How long after the caller paused nothing is said into the silence: the provider begins the turn that
/// answers the caller within it, and that turn is worth more.
const AFTER_CALLER: Duration = Duration::from_secs(1);

/// How far a tool is, and when the caller was last told something of the kind.
#[derive(Debug, Default)]
pub struct Fillers {
    progress: Option<(ToolCallId, String)>,
    said: Option<Timestamp>,
    caller_paused: Option<Timestamp>,
}

impl Fillers {
    /// This tool is that far. What was to be told before it is not told any more.
    pub fn progress(&mut self, tool_call: ToolCallId, words: String) {
        self.progress = Some((tool_call, words));
    }

    /// The tool has answered: how far it was is of no interest now.
    pub fn answered(&mut self, tool_call: &ToolCallId) {
        self.progress.take_if(|(of, _)| of == tool_call);
    }

    /// The caller stopped speaking.
    pub fn caller_paused(&mut self, now: Timestamp) {
        self.caller_paused = Some(now);
    }

    /// A turn began that is not about the waiting: the caller hears something else.
    pub fn turn_started(&mut self) {
        self.progress = None;
    }

    /// When the caller may be told how far a tool is; none when there is nothing to tell.
    fn progress_at(&self) -> Option<Timestamp> {
        self.progress.as_ref().map(|_| self.said.map_or(Timestamp::default(), |said| said + APART))
    }

    fn take_progress(&mut self, now: Timestamp) -> Option<String> {
        let is_due = self.progress_at().is_some_and(|at| at <= now);
        if is_due { self.progress.take().map(|(_, words)| words) } else { None }
    }
}

impl Call {
    pub(super) fn on_progress(&mut self, wished: &Wished, words: &str, now: Timestamp) {
        let tool_call = wished.tool_call.as_ref().filter(|id| self.tools.is_running(id));
        match tool_call.cloned() {
            Some(tool_call) => {
                self.note_wish("wish.progress", &wished.by, words, now);
                self.fillers.progress(tool_call, words.to_owned());
            }
            None => self.note_wish("wish.ignored", &wished.by, "progress of a tool that does not run", now),
        }
    }

    /// What to say into the silence while a tool runs, if it is time to.
    pub(super) fn take_filler(&mut self, now: Timestamp) -> Option<Prompt> {
        if self.filler_at().is_none_or(|at| at > now) {
            return None;
        }
        let phrase = self.tools.take_phrase(now).map(|phrase| say_exactly(&phrase));
        let words = phrase.or_else(|| self.fillers.take_progress(now).map(|words| say_progress(&words)))?;
        self.fillers.said = Some(now);
        Some(Prompt::new(PromptKind::Filler, Some(words)))
    }

    /// When there will be something to say into the silence, should it last.
    pub(super) fn filler_at(&self) -> Option<Timestamp> {
        let next = [self.tools.phrase_at(), self.fillers.progress_at()].into_iter().flatten().min();
        let next = next.filter(|_| self.is_nobody_speaking())?;
        Some(self.fillers.caller_paused.map_or(next, |paused| next.max(paused + AFTER_CALLER)))
    }

    /// Claims that nobody speaks, is about to, or wants to.
    fn is_nobody_speaking(&self) -> bool {
        self.is_up()
            && self.turns.is_free()
            && !self.leave.is_under_way()
            && !self.transcript.caller_is_speaking()
            && !self.transcript.assistant_is_audible()
    }
}

pub(super) fn say_exactly(words: &str) -> String {
    format!("Say exactly this to the caller, word for word, and nothing else: {words}")
}

fn say_progress(words: &str) -> String {
    format!(
        "The caller is waiting for you. Tell them in one short sentence, in the language of the conversation, \
         how far you are: {words}"
    )
}
