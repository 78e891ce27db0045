//! OpenAI Realtime as a dialect of the neutral vocabulary: frames in, events out; commands in, frames
//! out (OpenAI, "Realtime API reference").

use std::time::Duration;

use serde::Deserialize;

use crate::call::event::{
    CommandId, ContextRole, ErrorClass, ProviderCommand, ProviderEvent, SpeechPadding, TextMode, ToolCall,
    TurnStatus,
};
use crate::call::record::Usage;
use crate::clock::Timestamp;
use crate::ids::{ItemId, ToolCallId, TurnId};
use crate::wire::realtime::{
    AudioPatch, Command, CommandBody, DtmfEvent, Envelope, ErrorBody, ErrorEvent, InputPatch, InputText,
    Item, ItemEvent, Metadata, NewItem, PlaybackEvent, Response, ResponseCreate, ResponseEvent,
    ResponseUsage, SessionEvent, SessionPatch, SpeechEvent, TranscriptionEvent, TranscriptionUsage,
    WordsEvent,
};

/// What our event ids begin with, so that an error that names one of ours is known.
const EVENT_ID_PREFIX: &str = "sb_";
/// The longest name of an unknown event that is kept.
const KIND_CHARS_MAX: usize = 80;

/// What a frame of the sideband means. Never fails: what cannot be read is [`ProviderEvent::Unknown`].
pub fn read(frame: &str) -> ProviderEvent {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(frame) else {
        return ProviderEvent::Unknown { kind: "not an event".to_owned() };
    };
    let kind = envelope.kind.as_ref();
    read_kind(kind, frame)
        .unwrap_or_else(|| ProviderEvent::Unknown { kind: kind.chars().take(KIND_CHARS_MAX).collect() })
}

/// None: not known, or not readable.
fn read_kind(kind: &str, frame: &str) -> Option<ProviderEvent> {
    match kind {
        "session.created" => body(frame).map(attached),
        "session.updated" => Some(ProviderEvent::Configured),
        "input_audio_buffer.speech_started" => {
            body(frame).map(|speech: SpeechEvent| ProviderEvent::CallerSpeechStarted {
                item: ItemId(speech.item_id),
                at_ms: millis(speech.audio_start_ms),
            })
        }
        "input_audio_buffer.speech_stopped" => {
            body(frame).map(|speech: SpeechEvent| ProviderEvent::CallerSpeechStopped {
                item: ItemId(speech.item_id),
                at_ms: millis(speech.audio_end_ms),
            })
        }
        "input_audio_buffer.dtmf_event_received" => body(frame).and_then(key),
        "conversation.item.input_audio_transcription.delta" => {
            body(frame).map(|event: TranscriptionEvent| caller_words(event, TextMode::Append))
        }
        "conversation.item.input_audio_transcription.completed" => {
            body(frame).map(|event: TranscriptionEvent| caller_words(event, TextMode::Final))
        }
        "conversation.item.input_audio_transcription.failed" => body(frame).map(caller_words_failed),
        "conversation.item.added" | "conversation.item.created" | "conversation.item.done" => {
            body(frame).map(item_added)
        }
        "response.created" => body(frame).map(turn_started),
        "response.done" => body(frame).map(turn_ended),
        "response.output_item.done" => body(frame).map(item_done),
        "response.output_audio_transcript.delta"
        | "response.audio_transcript.delta"
        | "response.output_text.delta"
        | "response.text.delta" => {
            body(frame).map(|event: WordsEvent| assistant_words(event, TextMode::Append))
        }
        "response.output_audio_transcript.done"
        | "response.audio_transcript.done"
        | "response.output_text.done"
        | "response.text.done" => {
            body(frame).map(|event: WordsEvent| assistant_words(event, TextMode::Final))
        }
        "output_audio_buffer.started" => playback(frame, |turn| ProviderEvent::PlaybackStarted { turn }),
        "output_audio_buffer.stopped" => playback(frame, |turn| ProviderEvent::PlaybackDrained { turn }),
        "output_audio_buffer.cleared" => playback(frame, |turn| ProviderEvent::PlaybackCleared { turn }),
        "error" => body(frame).map(|event: ErrorEvent| error(event.error)),
        kind if is_ignored(kind) => Some(ProviderEvent::Ignored),
        _ => None,
    }
}

/// Known events from which nothing follows: audio that is heard over SIP anyway, progress, limits.
fn is_ignored(kind: &str) -> bool {
    matches!(
        kind,
        "response.output_audio.delta"
            | "response.output_audio.done"
            | "response.audio.delta"
            | "response.audio.done"
            | "response.output_item.added"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.function_call_arguments.delta"
            | "response.function_call_arguments.done"
            | "conversation.created"
            | "conversation.item.truncated"
            | "conversation.item.deleted"
            | "conversation.item.retrieved"
            | "conversation.item.input_audio_transcription.segment"
            | "input_audio_buffer.committed"
            | "input_audio_buffer.cleared"
            | "input_audio_buffer.timeout_triggered"
            | "rate_limits.updated"
    ) || kind.starts_with("mcp_list_tools.")
        || kind.starts_with("response.mcp_call")
}

fn body<'a, T: Deserialize<'a>>(frame: &'a str) -> Option<T> {
    serde_json::from_str(frame).ok()
}

fn attached(event: SessionEvent) -> ProviderEvent {
    let detection = event.session.audio.and_then(|audio| audio.input).and_then(|input| input.turn_detection);
    // Only here do the times of speech reach beyond it by a known span.
    let detection = detection.filter(|detection| detection.kind.as_deref() == Some("server_vad"));
    let span = |ms: Option<f64>| Duration::from_millis(millis(ms).unwrap_or(0));
    let padding = detection.map_or(SpeechPadding::default(), |detection| SpeechPadding {
        before: span(detection.prefix_padding_ms),
        after: span(detection.silence_duration_ms),
    });
    let expires_at = event.session.expires_at.filter(|at| at.is_finite() && *at > 0.0);
    ProviderEvent::Attached { expires_at: expires_at.map(|at| Timestamp::from_secs(at as u64)), padding }
}

fn key(event: DtmfEvent) -> Option<ProviderEvent> {
    let digit = event.event.or(event.digit)?.chars().next()?;
    Some(ProviderEvent::Key { digit, model_knows: false })
}

fn caller_words(event: TranscriptionEvent, mode: TextMode) -> ProviderEvent {
    let text = if mode == TextMode::Final { event.transcript } else { event.delta };
    ProviderEvent::CallerTranscript {
        item: ItemId(event.item_id),
        text: text.unwrap_or_default(),
        mode,
        usage: event.usage.map(|usage| transcription_usage(&usage)),
    }
}

fn caller_words_failed(event: TranscriptionEvent) -> ProviderEvent {
    let reason = event.error.map(|error| describe(&error)).unwrap_or_default();
    ProviderEvent::CallerTranscriptFailed { item: ItemId(event.item_id), reason }
}

fn item_added(event: ItemEvent) -> ProviderEvent {
    match (event.item.kind.as_deref(), event.item.call_id) {
        (Some("function_call_output"), Some(call_id)) => {
            ProviderEvent::ToolResultAcknowledged { tool_call: ToolCallId(call_id) }
        }
        _ => ProviderEvent::Ignored,
    }
}

fn item_done(event: ItemEvent) -> ProviderEvent {
    match (tool_call(event.item), event.response_id) {
        (Some(call), Some(response_id)) => {
            ProviderEvent::ToolCallRequested { turn: TurnId(response_id), call }
        }
        _ => ProviderEvent::Ignored,
    }
}

/// The request in an item, where the item is one and is whole.
fn tool_call(item: Item) -> Option<ToolCall> {
    let is_call =
        item.kind.as_deref() == Some("function_call") && item.status.as_deref() == Some("completed");
    if !is_call {
        return None;
    }
    Some(ToolCall {
        id: ToolCallId(item.call_id?),
        name: item.name.unwrap_or_default(),
        arguments: item.arguments.unwrap_or_default(),
    })
}

fn turn_started(event: ResponseEvent) -> ProviderEvent {
    let response = event.response;
    match response.id.as_ref().filter(|_| !is_out_of_band(&response)) {
        Some(id) => ProviderEvent::TurnStarted { turn: TurnId(id.clone()), command: command_of(&response) },
        None => ProviderEvent::Ignored,
    }
}

fn turn_ended(event: ResponseEvent) -> ProviderEvent {
    let response = event.response;
    let Some(id) = response.id.clone().filter(|_| !is_out_of_band(&response)) else {
        return ProviderEvent::Ignored;
    };
    let status = match response.status.as_deref() {
        Some("cancelled") => TurnStatus::Cancelled,
        Some("incomplete") => TurnStatus::Incomplete,
        Some("failed") => TurnStatus::Failed,
        _ => TurnStatus::Completed,
    };
    let may_run = matches!(status, TurnStatus::Completed | TurnStatus::Incomplete);
    let items = response.output.unwrap_or_default();
    ProviderEvent::TurnEnded {
        turn: TurnId(id),
        status,
        reason: response
            .status_details
            .and_then(|details| details.error.map(|error| describe(&error)).or(details.reason)),
        usage: response.usage.map(|usage| response_usage(&usage)),
        tool_calls: items.into_iter().filter_map(tool_call).filter(|_| may_run).collect(),
    }
}

/// A response with `"conversation_id": null` belongs to no conversation. Serde drops a null, so the
/// default conversation's responses are told by our own rule: we ask for no others.
fn is_out_of_band(response: &Response) -> bool {
    response.conversation_id.as_ref().is_some_and(|id| id.get() == "null")
}

fn command_of(response: &Response) -> Option<CommandId> {
    response.metadata.as_ref()?.switchboard_command.as_ref()?.parse().ok().map(CommandId)
}

fn assistant_words(event: WordsEvent, mode: TextMode) -> ProviderEvent {
    let text = if mode == TextMode::Final { event.transcript.or(event.text) } else { event.delta };
    ProviderEvent::AssistantTranscript {
        turn: TurnId(event.response_id),
        item: ItemId(event.item_id),
        text: text.unwrap_or_default(),
        mode,
    }
}

fn playback(frame: &str, event: impl FnOnce(TurnId) -> ProviderEvent) -> Option<ProviderEvent> {
    body(frame).map(|playback: PlaybackEvent| event(TurnId(playback.response_id)))
}

fn error(body: ErrorBody) -> ProviderEvent {
    let class = match body.code.as_deref() {
        Some("conversation_already_has_active_response") => ErrorClass::TurnActive,
        Some(
            "response_cancel_not_active"
            | "input_audio_buffer_commit_empty"
            | "item_truncate_invalid_item_id",
        ) => ErrorClass::Benign,
        Some("session_expired") => ErrorClass::Expired,
        Some("rate_limit_exceeded" | "insufficient_quota" | "server_error") => ErrorClass::Capacity,
        Some(
            "missing_required_parameter"
            | "unknown_parameter"
            | "invalid_type"
            | "invalid_value"
            | "invalid_event",
        ) => ErrorClass::BadCommand,
        _ => ErrorClass::Other,
    };
    let command = body.event_id.as_deref().and_then(|id| id.strip_prefix(EVENT_ID_PREFIX)?.parse().ok());
    ProviderEvent::Error {
        class,
        code: body.code,
        message: body.message.unwrap_or_default(),
        command: command.map(CommandId),
    }
}

fn describe(error: &ErrorBody) -> String {
    let code = error.code.as_deref().or(error.kind.as_deref()).unwrap_or("error");
    format!("{code}: {}", error.message.as_deref().unwrap_or("no message"))
}

fn millis(ms: Option<f64>) -> Option<u64> {
    ms.filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| ms as u64)
}

fn response_usage(usage: &ResponseUsage) -> Usage {
    let input = usage.input_token_details.as_ref();
    let output = usage.output_token_details.as_ref();
    let (text_cached, audio_cached, image_cached) = input.map_or((0, 0, 0), |input| {
        match (&input.cached_tokens_details, input.cached_tokens) {
            (Some(cached), _) => (
                cached.text_tokens.unwrap_or(0),
                cached.audio_tokens.unwrap_or(0),
                cached.image_tokens.unwrap_or(0),
            ),
            // Without kinds the cheaper assumption for the provider: text first.
            (None, Some(all)) => {
                let text = all.min(input.text_tokens.unwrap_or(0));
                (text, all - text, 0)
            }
            (None, None) => (0, 0, 0),
        }
    });
    let audio_out = output.and_then(|output| output.audio_tokens).unwrap_or(0);
    let text_out = output.and_then(|output| output.text_tokens).unwrap_or(0);
    // What is neither text nor audio (reasoning) is billed as text.
    let rest = usage.output_tokens.unwrap_or(0).saturating_sub(text_out.saturating_add(audio_out));
    Usage {
        text_in: input.and_then(|input| input.text_tokens).unwrap_or(0),
        audio_in: input.and_then(|input| input.audio_tokens).unwrap_or(0),
        image_in: input.and_then(|input| input.image_tokens).unwrap_or(0),
        text_cached,
        audio_cached,
        image_cached,
        text_out: text_out.saturating_add(rest),
        audio_out,
        ..Usage::default()
    }
}

fn transcription_usage(usage: &TranscriptionUsage) -> Usage {
    let input = usage.input_token_details.as_ref();
    let audio_in = input.and_then(|input| input.audio_tokens);
    Usage {
        transcription_s: usage
            .seconds
            .filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
            .unwrap_or(0.0),
        transcription_in: usage.input_tokens.or(audio_in).unwrap_or(0),
        transcription_out: usage.output_tokens.unwrap_or(0),
        ..Usage::default()
    }
}

/// The frame of a command.
pub fn write(id: CommandId, command: &ProviderCommand) -> String {
    let body = match command {
        ProviderCommand::PromptTurn { instructions, may_call_tools } => CommandBody::ResponseCreate {
            response: ResponseCreate {
                instructions: instructions.as_deref(),
                tool_choice: (!may_call_tools).then_some("none"),
                metadata: Metadata { switchboard_command: Some(id.0.to_string()) },
            },
        },
        ProviderCommand::SubmitToolResult { tool_call, output } => CommandBody::ItemCreate {
            item: NewItem::FunctionCallOutput { call_id: tool_call.as_str(), output },
        },
        ProviderCommand::InjectContext { role, text } => CommandBody::ItemCreate {
            item: NewItem::Message {
                role: match role {
                    ContextRole::System => "system",
                    ContextRole::User => "user",
                },
                content: [InputText { text }],
            },
        },
        ProviderCommand::SetTurnDetection(turn_detection) => CommandBody::SessionUpdate {
            session: SessionPatch { audio: AudioPatch { input: InputPatch { turn_detection } } },
        },
    };
    let command = Command { event_id: format!("{EVENT_ID_PREFIX}{}", id.0), body };
    serde_json::to_string(&command).expect("texts and prepared JSON are JSON")
}
