//! Tools: what there is and how it fares, and one tried for real outside of a call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::{Answered, Ask, Problem};
use crate::call::event::ToolCall;
use crate::call::record::ToolOutcomeKind;
use crate::http::answer;
use crate::ids::{CallId, ToolCallId};
use crate::tool::context::{CallContext, Wishes};
use crate::tool::{BUILT_IN, Origin, ToolView};

/// The longest output that is given, in bytes.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// All tools but the built-in ones, by name.
#[derive(Serialize, JsonSchema)]
pub(super) struct ToolList {
    tools: Vec<Tool>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Tool {
    name: String,
    /// `plugin`, `http` or `embedded`.
    kind: &'static str,
    /// The plugin, or the table of the configuration.
    from: String,
    description: String,
    parameters: Value,
    timeout_ms: u64,
    may_repeat: bool,
    say_first: Option<String>,
    sessions: Vec<String>,
    calls: u64,
    failures: u64,
    p50_ms: Option<u64>,
    p99_ms: Option<u64>,
    /// `closed`, or `open`: it is not called at the moment.
    breaker: &'static str,
}

/// What a tool is tried with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Try {
    #[serde(default)]
    arguments: Option<Value>,
    #[serde(default)]
    caller: Option<String>,
    #[serde(default)]
    session: Option<String>,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tried {
    outcome: ToolOutcomeKind,
    /// JSON text, as the model would read it.
    output: String,
    took_ms: u64,
}

/// `GET /api/v1/tools`.
pub(super) async fn list(ask: Ask) -> Answered {
    let toolbox = ask.doors.control.tools().current();
    let tools = toolbox.tools().map(|tool| view(&ask, tool)).collect();
    Ok(answer::json(&ToolList { tools }))
}

fn view(ask: &Ask, tool: ToolView) -> Tool {
    let control = &ask.doors.control;
    let figures = control.metrics().tool_figures(&tool.definition.name);
    let definition = tool.definition;
    let (kind, from) = match tool.origin {
        Origin::Plugin(plugin) => ("plugin", plugin),
        Origin::Http(name) => ("http", format!("tools.{name}")),
        Origin::Embedded => ("embedded", String::new()),
    };
    let rules = control.rules();
    let sessions = rules.sessions.values().filter(|session| session.offers(&definition.name));
    Tool {
        kind,
        from,
        timeout_ms: u64::try_from(tool.time_max.as_millis()).unwrap_or(u64::MAX),
        may_repeat: tool.may_repeat,
        say_first: tool.say_first,
        sessions: sessions.map(|session| session.name.clone()).collect(),
        calls: figures.calls,
        failures: figures.failures,
        p50_ms: figures.p50_ms,
        p99_ms: figures.p99_ms,
        breaker: if tool.is_resting { "open" } else { "closed" },
        name: definition.name,
        description: definition.description,
        parameters: definition.parameters,
    }
}

/// `POST /api/v1/tools/NAME/call`: it really runs.
pub(super) async fn call(ask: Ask) -> Answered {
    let name = ask.request.raw_path_param("name").unwrap_or_default().to_owned();
    let Try { arguments, caller, session } = ask.json()?;
    let toolbox = ask.doors.control.tools().current();
    if BUILT_IN.contains(&name.as_str()) {
        return Err(Problem::bad(format!("`{name}` is built in and needs a call")));
    }
    if !toolbox.tools().any(|tool| tool.definition.name == name) {
        return Err(Problem::missing("there is no such tool: see `GET /tools`"));
    }
    let context = context(&ask, &name, caller, session)?;
    ask.audit("tool.call", None, Some(name.clone())).await?;
    let arguments = arguments.map(|arguments| arguments.to_string()).unwrap_or_default();
    let call = ToolCall { id: ToolCallId("call_api".to_owned()), name, arguments };
    let began = Instant::now();
    let finished = toolbox.run_any(&context, &call, OUTPUT_BYTES_MAX).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(answer::json(&Tried { outcome: finished.kind, output: finished.output, took_ms }))
}

/// What the tool is told of a call that there is not: of the session that is named, or of the only one that offers it.
fn context(
    ask: &Ask,
    tool: &str,
    caller: Option<String>,
    session: Option<String>,
) -> Result<CallContext, Problem> {
    let rules = ask.doors.control.rules();
    let sessions = &rules.sessions;
    let session = match session {
        Some(name) => {
            Some(sessions.get(&name).ok_or_else(|| Problem::bad(format!("there is no session `{name}`")))?)
        }
        None => {
            let mut offering = sessions.values().filter(|session| session.offers(tool));
            offering.next().filter(|_| offering.next().is_none())
        }
    };
    Ok(CallContext {
        call_id: CallId::new(ask.doors.clock.now(), ask.doors.control.draw()),
        caller,
        callee: None,
        language: session.and_then(|session| session.language.clone()),
        route: None,
        session: session.map(|session| session.name.clone()),
        vars: session.map(|session| session.vars.clone()).unwrap_or_default(),
        history: Vec::new(),
        wishes: Wishes::default(),
    })
}
