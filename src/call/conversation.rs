//! What happens while a call is up: turns, words, tools, keys, errors, usage.

use serde_json::value::RawValue;

use super::event::{
    Action, CommandId, ContextRole, ErrorClass, Keep, ProviderCommand, ProviderEvent, TextMode, ToolCall,
    ToolFinished, TurnStatus,
};
use super::leave::Exit;
use super::record::{FORMAT, LineStatus, Path, ToolOutcomeKind, Usage, UsageRecord};
use super::step::{Call, Keys, Quiet};
use super::terms::Greeting;
use super::tools::{ARGUMENTS_BYTES_MAX, Admission};
use super::transcript::Heard;
use super::turns::{Prompt, PromptKind};
use crate::clock::Timestamp;
use crate::ids::{ItemId, ToolCallId, TurnId};

/// The built-in tool that ends the call.
pub const HANG_UP_TOOL: &str = "hangup";
/// The built-in tool that hands the caller to somebody else.
pub const TRANSFER_TOOL: &str = "transfer";

/// The longest row of keys.
const KEYS_MAX: usize = 32;
/// The longest audio that one transcription can be billed for, in seconds: a day.
const TRANSCRIPTION_S_MAX: f64 = 86_400.0;

const GOODBYE: &str =
    "Say a short goodbye to the caller in the language of the conversation. The call ends after it.";
const HAND_OVER: &str = "Tell the caller in one short sentence, in the language of the conversation, that they are put through now.";
const TIME_IS_OVER: &str =
    "The time of this call is over. Tell the caller so in one short sentence and say goodbye.";
const NOBODY_THERE: &str = "Nobody answers. Say that you will end the call now, and say goodbye.";
const TRANSFER_FAILED: &str =
    "The transfer did not work. Tell the caller so, apologise, and offer to help otherwise.";

impl Call {
    pub(super) fn on_provider(&mut self, event: ProviderEvent, now: Timestamp) {
        if !self.is_up() {
            return self.on_early_event(event, now);
        }
        self.look_for_turns(&event, now);
        match event {
            ProviderEvent::CallerSpeechStarted { item, at_ms } => {
                self.was_heard(true, false);
                self.transcript.caller_started(item, at_ms, now);
                self.quiet = Quiet::default();
                self.leave.caller_speaks();
            }
            ProviderEvent::CallerSpeechStopped { item, at_ms } => {
                self.transcript.caller_stopped(item, at_ms, now);
                self.fillers.caller_paused(now);
                self.quiet.since = Some(now);
            }
            ProviderEvent::CallerTranscript { item, text, mode, usage } => {
                self.on_caller_words(item, &text, mode, usage, now);
            }
            ProviderEvent::CallerTranscriptFailed { item, reason } => {
                self.transcript.caller_words_failed(&item);
                self.note("transcription.failed", Some(&reason), now);
            }
            ProviderEvent::TurnStarted { turn, command } => self.on_turn_started(turn, command, now),
            ProviderEvent::AssistantTranscript { turn, item, text, mode } => {
                // What comes at last only repeats earlier words.
                if mode == TextMode::Append {
                    self.turns.said_answer();
                }
                self.transcript.assistant_words(turn, item, &text, mode, now);
            }
            ProviderEvent::TurnEnded { turn, status, reason, usage, tool_calls } => {
                for call in tool_calls {
                    self.on_tool_request(turn.clone(), call, now);
                }
                self.on_turn_ended(turn, status, reason, usage, now);
            }
            ProviderEvent::ToolCallRequested { turn, call } => self.on_tool_request(turn, call, now),
            ProviderEvent::ToolResultAcknowledged { tool_call } => {
                self.on_tool_result_acknowledged(&tool_call, now);
            }
            ProviderEvent::ItemAdded { item, previous } => self.on_item_added(&item, previous),
            ProviderEvent::ReadBack { item, speaker, text } => {
                self.on_read_back(item, speaker, &text, now);
            }
            ProviderEvent::PlaybackStarted { turn } => self.on_playback_started(turn, now),
            ProviderEvent::PlaybackDrained { turn } => {
                self.on_playback_ended(&turn, LineStatus::Final, now);
            }
            ProviderEvent::PlaybackCleared { turn } => {
                self.on_playback_ended(&turn, LineStatus::Interrupted, now);
            }
            ProviderEvent::Key { digit, model_knows } => self.on_key(digit, model_knows, now),
            ProviderEvent::Error { class, code, message, command } => {
                self.on_error(class, code, &message, command, now);
            }
            ProviderEvent::RemoteToolsMissing => self.note("provider.mcp_tools_missing", None, now),
            ProviderEvent::RemoteToolEnded { is_ok } => {
                if !is_ok {
                    self.note("provider.mcp_call_failed", None, now);
                }
                self.remote_tools = self.remote_tools.saturating_add(1);
                self.turns.answered_remotely(now);
            }
            ProviderEvent::Unknown { kind } => self.note("provider.unknown", Some(&kind), now),
            ProviderEvent::Configured { padding } => {
                self.transcript.set_padding(padding);
                self.listening.confirmed();
            }
            ProviderEvent::Attached { .. } | ProviderEvent::Ignored => {}
        }
        self.go_on(now);
    }

    /// Before the session is confirmed nothing counts, but an error tells why it never will be.
    fn on_early_event(&mut self, event: ProviderEvent, now: Timestamp) {
        match event {
            ProviderEvent::Error { code, message, .. } => self.note_error(code.as_deref(), &message, now),
            _ if self.is_gone_at_provider() => self.on_last_event(event, now),
            _ => {}
        }
    }

    /// The leg is over, and nothing is wanted of this socket any more; but what was said was said, and is billed.
    fn on_last_event(&mut self, event: ProviderEvent, now: Timestamp) {
        match event {
            ProviderEvent::CallerTranscript { item, text, mode, usage } => {
                self.on_caller_words(item, &text, mode, usage, now);
            }
            ProviderEvent::AssistantTranscript { turn, item, text, mode } => {
                self.transcript.assistant_words(turn, item, &text, mode, now);
            }
            ProviderEvent::TurnEnded { turn, status, usage, .. } => {
                self.on_turn_usage(&turn, usage, now);
                self.transcript.turn_ended(&turn, status);
            }
            _ => {}
        }
    }

    fn on_caller_words(
        &mut self,
        item: ItemId,
        text: &str,
        mode: TextMode,
        usage: Option<Usage>,
        now: Timestamp,
    ) {
        self.transcript.caller_words(item, text, mode, now);
        if let Some(usage) = usage {
            self.on_transcription_usage(usage, now);
        }
    }

    // === turns ===

    pub(super) fn greet(&mut self, now: Timestamp) {
        let greeting = self.terms().map_or(Greeting::Wait, |terms| terms.greeting.clone());
        match greeting {
            Greeting::Wait => return self.set_turn_detection(),
            Greeting::ByInstructions => self.want_greeting(None),
            Greeting::Prompt(instructions) => self.want_greeting(Some(instructions)),
        }
        self.go_on(now);
    }

    pub(super) fn want_greeting(&mut self, instructions: Option<String>) {
        self.is_greeting = true;
        self.turns.want(Prompt::new(PromptKind::Greeting, instructions));
    }

    /// Asks for the next turn, if there is something to say and nobody is saying anything.
    pub(super) fn go_on(&mut self, now: Timestamp) {
        if !self.is_up() || self.leave.asked().is_some() {
            return;
        }
        self.adjust_listening();
        if !self.leave.wants_goodbye() {
            self.turns.withdraw(PromptKind::Goodbye);
        }
        if !self.leave.is_under_way() && self.tools.continuation_is_due() {
            self.turns.want_any(PromptKind::Continue);
        }
        let may_say = !self.leave.is_under_way() || self.leave.wants_goodbye();
        let Some(prompt) = self.turns.next(may_say).or_else(|| self.take_filler(now)) else { return };
        let is_needless = !self.tools.continuation_is_due() || self.leave.is_under_way();
        if prompt.kind == PromptKind::Continue && is_needless {
            return;
        }
        // A model that has used up its tool calls would ask for the next one in every turn.
        let may_call_tools = !matches!(prompt.kind, PromptKind::Greeting | PromptKind::Goodbye)
            && !prompt.kind.is_aside()
            && self.tools.count().saturating_add(self.remote_tools) <= self.tool_calls_max();
        let command = self
            .send(ProviderCommand::PromptTurn { instructions: prompt.instructions.clone(), may_call_tools });
        if !prompt.kind.is_aside() {
            self.tools.continued(command);
        }
        self.turns.requested(command, prompt, now);
    }

    pub(super) fn ask_for_goodbye(&mut self, now: Timestamp) {
        let words = match self.leave.exit() {
            Some(Exit::TimeOver) => TIME_IS_OVER,
            Some(Exit::Silence) => NOBODY_THERE,
            Some(Exit::Transfer(_)) => HAND_OVER,
            _ => GOODBYE,
        };
        self.turns.want(Prompt::new(PromptKind::Goodbye, Some(words.to_owned())));
        self.go_on(now);
    }

    fn on_turn_started(&mut self, turn: TurnId, command: Option<CommandId>, now: Timestamp) {
        let kind = self.turns.started(turn.clone(), command);
        self.tools.turn_started(kind.is_some_and(PromptKind::is_aside));
        match kind {
            Some(PromptKind::Goodbye) => self.leave.turn_started(&turn, true, now),
            Some(_) => self.leave.earlier_turn_started(now),
            None => self.leave.turn_started(&turn, false, now),
        }
        if kind != Some(PromptKind::Filler) {
            self.fillers.turn_started();
        }
        if kind == Some(PromptKind::Greeting) {
            self.record.stages.greeted = Some(now);
            self.record_has_changed();
        }
        self.quiet.since = None;
    }

    fn on_turn_ended(
        &mut self,
        turn: TurnId,
        status: TurnStatus,
        reason: Option<String>,
        usage: Option<Usage>,
        now: Timestamp,
    ) {
        self.on_turn_usage(&turn, usage, now);
        let heard = self.transcript.heard(&turn);
        self.transcript.turn_ended(&turn, status);
        self.tools.turn_ended(&turn, heard != Heard::Silent);
        let is_answered_later = self.tools.is_any_running() || self.leave.is_under_way();
        if status == TurnStatus::Failed && heard == Heard::Silent && !is_answered_later {
            self.turns.failed_silently(&turn, now);
        } else {
            if status == TurnStatus::Cancelled {
                self.turns.said_answer();
            }
            self.turns.ended(&turn, now);
        }
        if matches!(status, TurnStatus::Failed | TurnStatus::Incomplete) {
            self.note("turn.cut", reason.as_deref(), now);
        }
        let what = self.leave.turn_ended(&turn, status, heard, now);
        self.do_leave(what, now);
        if !self.transcript.assistant_is_audible() {
            self.quiet.since = Some(now);
            // A greeting that makes no sound protects nothing.
            if self.is_greeting && (status != TurnStatus::Completed || heard == Heard::Silent) {
                self.set_turn_detection();
            }
        }
    }

    fn on_turn_usage(&mut self, turn: &TurnId, usage: Option<Usage>, now: Timestamp) {
        if let (Some(usage), Some(model)) = (usage, self.terms().map(|terms| terms.model.clone())) {
            self.add_usage(model, Some(turn.clone()), usage, now);
        }
    }

    fn on_playback_started(&mut self, turn: TurnId, now: Timestamp) {
        if self.record.stages.first_audio.is_none() {
            self.record.stages.first_audio = Some(now);
            self.record_has_changed();
        }
        if let Some(moved) = self.record.moved.as_mut().filter(|moved| moved.spoke_again.is_none()) {
            moved.spoke_again = Some(now);
            self.record_has_changed();
        }
        // On the bridge the carrier's marks tell, not what it was sent.
        if self.record.path != Path::MediaStreams {
            self.was_heard(false, true);
        }
        self.leave.playback_started(&turn, now);
        self.transcript.playback_started(turn, now);
        self.quiet.since = None;
    }

    fn on_playback_ended(&mut self, turn: &TurnId, status: LineStatus, now: Timestamp) {
        self.transcript.playback_ended(turn, status, now);
        self.leave.playback_ended(turn, status == LineStatus::Interrupted, now);
        self.quiet.since = Some(now);
        self.set_turn_detection();
    }

    /// The greeting was heard: from now on the caller may take the word.
    pub(super) fn set_turn_detection(&mut self) {
        self.is_greeting = false;
        let defers = self.defers_turns();
        let terms = self.terms.as_ref().and_then(|terms| terms.turn_detection.as_ref());
        let change = terms.and_then(|terms| self.listening.greeting_over(terms, defers));
        self.tell_turn_detection(change);
    }

    /// The caller's words are a turn, or are not for as long as a tool runs that is not to be spoken over.
    pub(super) fn adjust_listening(&mut self) {
        let defers = self.defers_turns();
        let terms = self.terms.as_ref().and_then(|terms| terms.turn_detection.as_ref());
        let change = terms.and_then(|terms| self.listening.adjust(terms, defers));
        self.tell_turn_detection(change);
    }

    /// A caller who is taken leave of can always say something.
    fn defers_turns(&self) -> bool {
        self.tools.is_any_undisturbed() && !self.leave.is_under_way()
    }

    fn tell_turn_detection(&mut self, change: Option<Box<RawValue>>) {
        if let Some(turn_detection) = change {
            self.send(ProviderCommand::SetTurnDetection(turn_detection));
        }
    }

    // === tools ===

    fn on_tool_request(&mut self, turn: TurnId, call: ToolCall, now: Timestamp) {
        let calls_max = self.tool_calls_max();
        let terms = self.terms.as_ref().and_then(|terms| terms.tools.get(&call.name));
        let requested = self.tools.request(turn.clone(), &call, terms, calls_max, now);
        let Some((admission, record)) = requested.map(|(admission, record)| (admission, record.clone()))
        else {
            return;
        };
        self.act(Action::Keep(Keep::ToolCall(record)));
        self.record.counts.tool_calls = self.tools.count();
        self.record_has_changed();
        let is_built_in = matches!(call.name.as_str(), HANG_UP_TOOL | TRANSFER_TOOL);
        if admission == Admission::TooMany && !is_built_in {
            let text = "too many tool calls; go on without";
            return self.refuse_tool(&call.id, ToolOutcomeKind::Cancelled, text, now);
        }
        if call.arguments.len() > ARGUMENTS_BYTES_MAX {
            let text = "the arguments are too long";
            return self.refuse_tool(&call.id, ToolOutcomeKind::InvalidArguments, text, now);
        }
        match call.name.as_str() {
            HANG_UP_TOOL => self.on_hang_up_tool(turn, &call.id, now),
            TRANSFER_TOOL => self.on_transfer_tool(turn, &call, now),
            _ => self.act(Action::RunTool { call }),
        }
    }

    fn tool_calls_max(&self) -> u32 {
        self.terms().map_or(0, |terms| terms.tool_calls_max)
    }

    fn on_hang_up_tool(&mut self, turn: TurnId, id: &ToolCallId, now: Timestamp) {
        self.leave.want_after(turn, Exit::HangUp, now);
        self.tools.needs_no_turn(id);
        self.answer_tool(id, ToolOutcomeKind::Ok, r#"{"ok":true}"#.to_owned(), now);
    }

    fn on_transfer_tool(&mut self, turn: TurnId, call: &ToolCall, now: Timestamp) {
        match self.terms().and_then(|terms| terms.transfer_target(&call.arguments)) {
            Some(target) => {
                self.leave.want_after(turn, Exit::Transfer(target), now);
                self.tools.needs_no_turn(&call.id);
                self.answer_tool(&call.id, ToolOutcomeKind::Ok, r#"{"ok":true}"#.to_owned(), now);
            }
            None => {
                let targets = self.terms().map(|terms| &terms.transfer_targets);
                let names = targets.map(|targets| targets.keys().cloned().collect::<Vec<_>>().join(", "));
                let text = format!("`to` must be one of: {}", names.unwrap_or_default());
                self.refuse_tool(&call.id, ToolOutcomeKind::InvalidArguments, &text, now);
            }
        }
    }

    fn refuse_tool(&mut self, id: &ToolCallId, kind: ToolOutcomeKind, text: &str, now: Timestamp) {
        let output = serde_json::json!({ "error": kind.as_str(), "message": text }).to_string();
        self.answer_tool(id, kind, output, now);
    }

    fn answer_tool(&mut self, id: &ToolCallId, kind: ToolOutcomeKind, output: String, now: Timestamp) {
        self.on_tool_finished(&ToolFinished { tool_call: id.clone(), kind, output }, now);
    }

    pub(super) fn on_tool_finished(&mut self, finished: &ToolFinished, now: Timestamp) {
        let Some(record) = self.tools.finish(finished, now) else { return };
        let record = record.clone();
        self.fillers.answered(&finished.tool_call);
        if self.is_up() {
            self.deliver_answer(finished.tool_call.clone(), finished.output.clone(), now);
        }
        self.act(Action::Keep(Keep::ToolCall(record)));
        self.go_on(now);
    }

    pub(super) fn on_tool_deferred(&mut self, id: &ToolCallId, now: Timestamp) {
        let Some(record) = self.tools.defer(id, true).cloned() else { return };
        self.note("tool.deferred", Some(&record.name), now);
        self.act(Action::Keep(Keep::ToolCall(record)));
    }

    pub(super) fn submit(&mut self, tool_call: ToolCallId, output: String) {
        self.tools.submitted(&tool_call);
        self.send(ProviderCommand::SubmitToolResult { tool_call, output });
    }

    // === keys ===

    fn on_key(&mut self, digit: char, model_knows: bool, now: Timestamp) {
        let keys = self.keys.get_or_insert_with(|| Keys {
            digits: String::new(),
            started: now,
            last: now,
            model_knows,
        });
        keys.last = now;
        keys.model_knows &= model_knows;
        if keys.digits.len() < KEYS_MAX {
            keys.digits.push(digit);
        }
        self.quiet = Quiet { since: Some(now), asked: 0 };
        if digit == '#' {
            self.tell_keys(now);
        }
    }

    pub(super) fn tell_keys(&mut self, now: Timestamp) {
        let Some(keys) = self.keep_keys().filter(|keys| !keys.model_knows) else { return };
        let text = format!("The caller pressed these keys on the telephone: {}", keys.digits);
        self.send(ProviderCommand::InjectContext { role: ContextRole::User, text });
        self.turns.want(Prompt::new(PromptKind::Notice, None));
        self.go_on(now);
    }

    /// The row of keys is over: how many there were goes into the transcript.
    pub(super) fn keep_keys(&mut self) -> Option<Keys> {
        let keys = self.keys.take()?;
        self.transcript.keys(keys.digits.chars().count(), keys.started, keys.last);
        self.pressed = Some(keys.digits.clone());
        Some(keys)
    }

    // === errors and transfers ===

    fn on_error(
        &mut self,
        class: ErrorClass,
        code: Option<String>,
        message: &str,
        command: Option<CommandId>,
        now: Timestamp,
    ) {
        if command.is_some_and(|command| self.on_not_there(command)) {
            return;
        }
        match (class, command) {
            (ErrorClass::Benign, _) => return,
            (ErrorClass::TurnActive, Some(command)) => {
                if self.turns.refused(command, now) {
                    self.tools.not_continued(command);
                }
                return;
            }
            (ErrorClass::Expired, _) => {
                let what = self.leave.want_now(Exit::TimeOver, now);
                self.do_leave(what, now);
            }
            // What was asked for counts as lost in a moment, and is then asked for again.
            (ErrorClass::Capacity, _) => {}
            (_, Some(command)) => match self.turns.failed(command) {
                Some(PromptKind::Goodbye) => self.leave.goodbye_failed(now),
                Some(PromptKind::Greeting) => self.set_turn_detection(),
                _ => {}
            },
            (_, None) => {}
        }
        self.note_error(code.as_deref(), message, now);
    }

    fn note_error(&mut self, code: Option<&str>, message: &str, now: Timestamp) {
        let text = format!("{}: {message}", code.unwrap_or("error"));
        self.note("provider.error", Some(&text), now);
    }

    pub(super) fn transfer_failed(&mut self, why: &str, now: Timestamp) {
        self.note("transfer.failed", Some(why), now);
        // The model may try again, and each try may be brought to the carrier once.
        self.is_redirected = false;
        self.handover = None;
        self.record.handed_to = None;
        self.record.handed = None;
        self.turns.want(Prompt::new(PromptKind::Notice, Some(TRANSFER_FAILED.to_owned())));
        self.go_on(now);
    }

    // === usage ===

    fn on_transcription_usage(&mut self, usage: Usage, now: Timestamp) {
        if let Some(model) = self.terms().and_then(|terms| terms.transcription_model.clone()) {
            self.add_usage(model, None, usage, now);
        }
    }

    fn add_usage(&mut self, model: String, turn: Option<TurnId>, mut usage: Usage, now: Timestamp) {
        // The only number that could shrink the sum, or make the record unreadable.
        let seconds = usage.transcription_s;
        usage.transcription_s =
            if seconds.is_finite() { seconds.clamp(0.0, TRANSCRIPTION_S_MAX) } else { 0.0 };
        let cost_usd = self.terms().and_then(|terms| terms.prices.cost(&model, &usage));
        self.record.usage += &usage;
        if let Some(cost) = cost_usd {
            *self.record.cost_usd.get_or_insert(0.0) += cost;
        }
        let n = self.record.counts.usage;
        self.record.counts.usage += 1;
        self.record_has_changed();
        self.act(Action::Keep(Keep::Usage(UsageRecord {
            v: FORMAT,
            n,
            at: now,
            model,
            turn,
            usage,
            cost_usd,
        })));
    }
}
