//! What is said in a session: the caller speaks, the model takes turns, wants tools, and is asked to go on.

use std::time::Duration;

use super::terms::{ANNOUNCEMENT, DEFERS, LOOKUP, PAY, terms_of};
use super::world::World;
use crate::call::event::{
    CommandId, ErrorClass, ProviderCommand, ProviderEvent, TextMode, ToolCall, TurnStatus,
};
use crate::call::record::{Speaker, Usage};
use crate::call::{HANG_UP_TOOL, TRANSFER_TOOL};
use crate::ids::{ItemId, TurnId};

/// Whether the model takes its turns by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listens {
    Yes,
    /// It hears, and waits to be asked.
    Defers,
    /// It does not hear yet.
    Off,
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Talk {
    listens: Listens,
    /// The turn that is being made.
    active: Option<TurnId>,
    /// The turn that is being played.
    playing: Option<TurnId>,
    count: u32,
}

impl Talk {
    pub fn of(caller: u32) -> Talk {
        let listens = match terms_of(caller, None).turn_detection {
            None => Listens::Defers,
            Some(detection) if detection.is_off_at_first => Listens::Off,
            Some(_) => Listens::Yes,
        };
        Talk { listens, active: None, playing: None, count: 0 }
    }
}

impl World {
    fn talk(&mut self, id: u32) -> Option<&mut Talk> {
        self.sessions.get_mut(&id).filter(|session| session.is_up()).map(|session| &mut session.talk)
    }

    pub(super) fn begin_talk(&mut self, id: u32) {
        let waits = self.chance.seconds(2, 8);
        self.after(waits, move |world| world.caller_speaks(id));
    }

    // === the caller ===

    fn caller_speaks(&mut self, id: u32) {
        let next = self.chance.seconds(4, 25);
        let Some(listens) = self.talk(id).map(|talk| talk.listens) else { return };
        self.after(next, move |world| world.caller_speaks(id));
        if listens == Listens::Off {
            return;
        }
        if self.chance.permille(60) {
            let digit = self.chance.pick(&['1', '5', '#']);
            return self.say(id, Duration::ZERO, ProviderEvent::Key { digit, model_knows: false });
        }
        let item = self.item(id);
        // What the detector heard before it was sure is a part of the speech.
        let at = self.audio_ms(id).map(|at| at.saturating_sub(300));
        let caller = self.sessions[&id].caller;
        self.law.spoke(caller, item.clone(), self.now);
        self.say(id, Duration::ZERO, ProviderEvent::CallerSpeechStarted { item: item.clone(), at_ms: at });
        if listens == Listens::Yes {
            self.barge_in(id);
        }
        let lasts = self.chance.millis(400, 3_500);
        self.after(lasts, move |world| world.caller_pauses(id, item));
    }

    fn caller_pauses(&mut self, id: u32, item: ItemId) {
        if self.talk(id).is_none() {
            return;
        }
        let at_ms = self.audio_ms(id);
        self.say(id, Duration::ZERO, ProviderEvent::CallerSpeechStopped { item: item.clone(), at_ms });
        self.put(id, &item);
        let writes = self.chance.millis(150, 1_500);
        let fails = self.chance.permille(self.weather.turn_fails);
        let usage = self.chance.permille(500).then(|| Usage { transcription_s: 1.5, ..Usage::default() });
        self.after(writes, move |world| {
            let text = format!("words of {item}");
            let event = match fails {
                true => ProviderEvent::CallerTranscriptFailed { item, reason: "unintelligible".to_owned() },
                false => ProviderEvent::CallerTranscript { item, text, mode: TextMode::Final, usage },
            };
            if let ProviderEvent::CallerTranscript { item, text, .. } = &event {
                world.remember(id, item, Speaker::Caller, text);
            }
            if world.talk(id).is_some() {
                world.say(id, Duration::ZERO, event);
            }
        });
        let thinks = self.chance.millis(100, 500);
        self.after(thinks, move |world| {
            let is_free = |talk: &mut Talk| talk.listens == Listens::Yes && talk.active.is_none();
            if world.talk(id).is_some_and(is_free) {
                world.turn(id, None, true);
            }
        });
    }

    fn barge_in(&mut self, id: u32) {
        let Some(talk) = self.talk(id) else { return };
        let (active, playing) = (talk.active.take(), talk.playing.take());
        if let Some(turn) = playing {
            self.say(id, Duration::ZERO, ProviderEvent::PlaybackCleared { turn });
        }
        if let Some(turn) = active {
            self.end_turn(id, turn, TurnStatus::Cancelled, Vec::new());
        }
    }

    // === the model ===

    fn turn(&mut self, id: u32, command: Option<CommandId>, may_call_tools: bool) {
        let Some(talk) = self.talk(id) else { return };
        talk.count += 1;
        let turn = TurnId(format!("t{id}.{}", talk.count));
        talk.active = Some(turn.clone());
        self.say(id, Duration::ZERO, ProviderEvent::TurnStarted { turn: turn.clone(), command });
        let speaks = self.chance.permille(850);
        let fails = self.chance.permille(self.weather.turn_fails);
        let wants = may_call_tools && self.chance.permille(350);
        let begins = self.chance.millis(80, 400);
        if speaks && !fails {
            let turn = turn.clone();
            self.after(begins, move |world| world.speak(id, turn));
        }
        let takes = begins + self.chance.millis(150, 2_500);
        self.after(takes, move |world| {
            if world.talk(id).is_none_or(|talk| talk.active.as_ref() != Some(&turn)) {
                return;
            }
            let calls = if wants { world.want_tools(id, &turn) } else { Vec::new() };
            if let Some(talk) = world.talk(id) {
                talk.active = None;
            }
            if fails {
                return world.end_turn(id, turn, TurnStatus::Failed, Vec::new());
            }
            if speaks {
                world.say_words(id, &turn, TextMode::Final);
            }
            world.end_turn(id, turn, TurnStatus::Completed, calls);
        });
    }

    fn speak(&mut self, id: u32, turn: TurnId) {
        let Some(talk) = self.talk(id).filter(|talk| talk.active.as_ref() == Some(&turn)) else { return };
        talk.playing = Some(turn.clone());
        self.put(id, &ItemId(format!("item-{turn}")));
        self.say(id, Duration::ZERO, ProviderEvent::PlaybackStarted { turn: turn.clone() });
        self.say_words(id, &turn, TextMode::Append);
        let plays = self.chance.seconds(3, 7);
        self.after(plays, move |world| {
            let heard = |talk: &mut Talk| talk.playing.take_if(|playing| *playing == turn).is_some();
            if world.talk(id).is_some_and(heard) {
                world.say(id, Duration::ZERO, ProviderEvent::PlaybackDrained { turn });
            }
        });
    }

    fn say_words(&mut self, id: u32, turn: &TurnId, mode: TextMode) {
        let item = ItemId(format!("item-{turn}"));
        let text = match mode {
            TextMode::Append => "words of".to_owned(),
            _ => format!("words of {turn}"),
        };
        if mode == TextMode::Final {
            self.remember(id, &item, Speaker::Assistant, &text);
        }
        let turn = turn.clone();
        self.say(id, Duration::ZERO, ProviderEvent::AssistantTranscript { turn, item, text, mode });
    }

    fn end_turn(&mut self, id: u32, turn: TurnId, status: TurnStatus, tool_calls: Vec<ToolCall>) {
        let usage = Usage {
            text_in: self.chance.between(100, 900),
            audio_in: self.chance.between(10, 400),
            text_cached: 64,
            audio_out: self.chance.between(20, 600),
            ..Usage::default()
        };
        self.law.billed(turn.clone(), usage);
        let usage = Some(usage);
        let event = ProviderEvent::TurnEnded { turn, status, reason: None, usage, tool_calls };
        self.say(id, Duration::ZERO, event);
    }

    /// The model asks for tools; what it asked for comes once more at the end of the turn.
    fn want_tools(&mut self, id: u32, turn: &TurnId) -> Vec<ToolCall> {
        let several = if self.chance.permille(200) { 3 } else { 1 };
        let mut calls = Vec::new();
        for _ in 0..several {
            let name = match self.chance.below(20) {
                0 => HANG_UP_TOOL,
                1 => TRANSFER_TOOL,
                2 => "unheard_of",
                3..=10 => LOOKUP,
                _ => PAY,
            };
            let tool = ToolCall {
                id: format!("f{id}.{}", self.number()).as_str().into(),
                name: name.to_owned(),
                arguments: if self.chance.permille(30) { "[" } else { "{}" }.to_owned(),
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.asked.insert(tool.id.clone(), name.to_owned());
            }
            self.law.tally.tools_asked += 1;
            let asked = ProviderEvent::ToolCallRequested { turn: turn.clone(), call: tool.clone() };
            self.say(id, Duration::ZERO, asked);
            let wanted = tool.id.clone();
            self.after(super::law::ANSWERED_WITHIN, move |world| world.law_is_answered(id, &wanted));
            calls.push(tool);
        }
        calls
    }

    // === commands ===

    /// The gateway sends a command over a socket; lost where the socket breaks on the way.
    pub(super) fn send(&mut self, socket: u64, id: u32, command: CommandId, what: ProviderCommand) {
        self.law_sends(id, socket);
        if announces(&what) {
            self.worst_moment();
        }
        let Some(at) = self.arrives(id, socket) else { return };
        self.at(at, move |world| {
            let is_open = world.sessions.get(&id).and_then(|session| session.socket);
            if is_open.is_some_and(|(open, _)| open == socket) && world.talk(id).is_some() {
                world.on_command(id, command, what);
            }
        });
    }

    fn on_command(&mut self, id: u32, command: CommandId, what: ProviderCommand) {
        let shortly = self.chance.millis(5, 80);
        let is_announced = announces(&what);
        match what {
            ProviderCommand::PromptTurn { may_call_tools, .. } => {
                let Some(talk) = self.talk(id) else { return };
                if talk.active.is_none() {
                    if is_announced && let Some(session) = self.sessions.get(&id) {
                        self.is_told(session.caller);
                    }
                    return self.turn(id, Some(command), may_call_tools);
                }
                let error = ProviderEvent::Error {
                    class: ErrorClass::TurnActive,
                    code: Some("conversation_already_has_active_response".to_owned()),
                    message: "a response is active".to_owned(),
                    command: Some(command),
                };
                self.say(id, shortly, error);
            }
            ProviderCommand::SubmitToolResult { tool_call, output } => {
                self.law_output(id, &tool_call, &output);
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.outputs.entry(tool_call.clone()).or_insert(output);
                }
                self.say(id, shortly, ProviderEvent::ToolResultAcknowledged { tool_call });
            }
            ProviderCommand::SetTurnDetection(json) => {
                let Some(talk) = self.talk(id) else { return };
                talk.listens = if json.get().contains(DEFERS) { Listens::Defers } else { Listens::Yes };
                self.say(id, shortly, ProviderEvent::Configured { padding: Default::default() });
            }
            ProviderCommand::InjectContext { .. } => {}
            ProviderCommand::ReadBackToolResult { tool_call } => {
                let session = self.sessions.get(&id);
                let is_there = session.is_some_and(|session| session.outputs.contains_key(&tool_call));
                self.law.tally.answers_sought += 1;
                self.law.tally.answers_found += u64::from(is_there);
                let answer = match is_there {
                    true => ProviderEvent::ToolResultAcknowledged { tool_call },
                    false => not_there(command),
                };
                self.say(id, shortly, answer);
            }
            ProviderCommand::ReadBack { item } => {
                let known = self.sessions.get(&id).and_then(|session| session.words.get(&item).cloned());
                let answer = match known {
                    Some((speaker, text)) => ProviderEvent::ReadBack { item, speaker, text },
                    None => not_there(command),
                };
                self.say(id, shortly, answer);
            }
        }
    }

    /// An item is put into the conversation.
    fn put(&mut self, id: u32, item: &ItemId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let previous = session.last_item.replace(item.clone());
        self.say(id, Duration::ZERO, ProviderEvent::ItemAdded { item: item.clone(), previous });
    }

    fn remember(&mut self, id: u32, item: &ItemId, speaker: Speaker, text: &str) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.words.insert(item.clone(), (speaker, text.to_owned()));
        }
    }

    fn item(&mut self, id: u32) -> ItemId {
        ItemId(format!("i{id}.{}", self.number()))
    }

    /// Where the provider's audio clock stands.
    fn audio_ms(&self, id: u32) -> Option<u64> {
        let since = self.sessions.get(&id)?.up_since();
        u64::try_from(self.now.since(since).as_millis()).ok()
    }
}

/// Claims that the model is to tell the caller of the recording.
fn announces(what: &ProviderCommand) -> bool {
    let ProviderCommand::PromptTurn { instructions, .. } = what else { return false };
    instructions.as_deref().is_some_and(|words| words.contains(ANNOUNCEMENT))
}

fn not_there(command: CommandId) -> ProviderEvent {
    ProviderEvent::Error {
        class: ErrorClass::BadCommand,
        code: Some("item_not_found".to_owned()),
        message: "there is no such item".to_owned(),
        command: Some(command),
    }
}
