//! What spans and their attributes are called.
//!
//! Source: OpenTelemetry, "Semantic conventions for generative AI" (its own repository, `semantic-conventions-genai`, of
//! version 0.1.0; the pages "GenAI realtime (live) content generation spans" and "Execute tool span"). All of it has the status
//! *Development*: names may still change, and are nowhere but here. What the conventions have no name for begins with
//! `switchboard.`.

/// What a span is about: one of the operations below.
pub const OPERATION: &str = "gen_ai.operation.name";
/// The provider, as the conventions call it.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The conversation: our id of the call.
pub const CONVERSATION: &str = "gen_ai.conversation.id";
/// The session at the provider: its id of the call.
pub const REALTIME_SESSION: &str = "gen_ai.realtime_session.id";
/// The model that was asked.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// What the model was asked to make.
pub const OUTPUT_TYPE: &str = "gen_ai.output.type";
/// The provider's id of the turn.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why the model stopped, a list.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// All tokens read.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Of these: text.
pub const TEXT_INPUT_TOKENS: &str = "gen_ai.usage.text.input_tokens";
/// Of these: audio.
pub const AUDIO_INPUT_TOKENS: &str = "gen_ai.usage.audio.input_tokens";
/// Of these: images.
pub const IMAGE_INPUT_TOKENS: &str = "gen_ai.usage.image.input_tokens";
/// Of the tokens read: from the provider's cache.
pub const CACHED_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Of these: text.
pub const TEXT_CACHED_TOKENS: &str = "gen_ai.usage.text.cache_read.input_tokens";
/// Of these: audio.
pub const AUDIO_CACHED_TOKENS: &str = "gen_ai.usage.audio.cache_read.input_tokens";
/// Of these: images.
pub const IMAGE_CACHED_TOKENS: &str = "gen_ai.usage.image.cache_read.input_tokens";
/// All tokens written.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Of these: text.
pub const TEXT_OUTPUT_TOKENS: &str = "gen_ai.usage.text.output_tokens";
/// Of these: audio.
pub const AUDIO_OUTPUT_TOKENS: &str = "gen_ai.usage.audio.output_tokens";
/// What the model was told, a list of messages as JSON; only where content is wanted.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// What the model said, likewise.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// The tool's name.
pub const TOOL_NAME: &str = "gen_ai.tool.name";
/// The provider's id of the tool call.
pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
/// What kind of tool: `function`.
pub const TOOL_TYPE: &str = "gen_ai.tool.type";
/// What the tool was given; only where content is wanted.
pub const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
/// What it answered, likewise.
pub const TOOL_RESULT: &str = "gen_ai.tool.call.result";
/// How it failed (OpenTelemetry, "Error attributes", stable).
pub const ERROR_TYPE: &str = "error.type";
/// Who tells (OpenTelemetry, "Service resource attributes", stable).
pub const SERVICE_NAME: &str = "service.name";
/// In which version.
pub const SERVICE_VERSION: &str = "service.version";

/// The caller speaks.
pub const USER_SPEECH: &str = "user_speech";
/// The model makes one turn.
pub const REALTIME_INFERENCE: &str = "realtime_inference";
/// A tool runs.
pub const EXECUTE_TOOL: &str = "execute_tool";

/// The whole call; the conventions have no span for it.
pub const CALL: &str = "call";
/// The route that took the call.
pub const ROUTE: &str = "switchboard.route";
/// The session that it was answered with.
pub const SESSION: &str = "switchboard.session";
/// How audio reached the model.
pub const PATH: &str = "switchboard.path";
/// The path that failed before.
pub const MOVED_FROM: &str = "switchboard.moved_from";
/// Why the call ended.
pub const REASON: &str = "switchboard.reason";
/// The carrier's id of the caller's leg.
pub const CARRIER_CALL: &str = "switchboard.carrier_call";
/// What the call, or the turn, cost in US dollars.
pub const COST: &str = "switchboard.cost_usd";
/// How often the sideband was lost and found again.
pub const REATTACHED: &str = "switchboard.reattached";
/// How many spans were left out, because there were too many.
pub const LEFT_OUT: &str = "switchboard.spans_left_out";
/// What came of a tool call.
pub const TOOL_OUTCOME: &str = "switchboard.tool.outcome";
