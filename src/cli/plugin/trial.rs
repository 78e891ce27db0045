//! One call of a plugin in the real sandbox, in a world that the author gives.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cases::{Call, CallEvent, CallState};
use super::given::{self, Given};
use super::loading;
use super::mocked::{Log, Memory, Network};
use crate::call::event::{Wish, Wished};
use crate::cli::Failure;
use crate::clock::{Clock, Entropy, ManualClock, SystemClock, Timestamp};
use crate::ids::CallId;
use crate::secret::Secret;
use crate::tool::context::{CallContext, Said, Wishes};
use crate::tool::hooks::{self, Decision, IncomingAnswer, Instructions};
use crate::tool::plugin::{self, Hands, Host, Outbound, Plugin, Settings};
use crate::tool::schema::Schema;

/// How many wishes wait in a trial: more than a call would take.
const WISHES_MAX: usize = 64;
/// How long the hook `incoming` has, as in a gateway.
const INCOMING_WITHIN: Duration = Duration::from_millis(500);

/// What came of a call.
pub(super) struct Trial {
    /// The answer, or the failure.
    pub came: Came,
    /// What was wanted of the call, in order.
    pub wishes: Vec<Value>,
    /// The log: `info looked up`.
    pub log: Vec<String>,
    /// The requests that were made.
    pub requests: Vec<Value>,
    /// Those that no mock answers.
    pub unanswered: Vec<String>,
    /// What is kept afterwards.
    pub kept: Value,
    /// How long it took.
    pub took: Duration,
    /// How long it may take.
    pub time_max: Duration,
    /// The memory that it had at its end, in bytes.
    pub memory_bytes: usize,
    /// The memory that it may have, in bytes.
    pub memory_bytes_max: usize,
}

/// An answer or a failure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Came {
    /// The answer; null where a hook gives none.
    Answer(Value),
    /// The failure's kind and words.
    Failure { kind: &'static str, message: String },
}

/// A world that a plugin can be tried out in.
pub(super) struct World {
    settings: Settings,
    hands: Hands,
    memory: Arc<Memory>,
    network: Arc<Network>,
    log: Arc<Log>,
    context: CallContext,
    wished: mpsc::Receiver<Wished>,
}

impl World {
    /// The world that is given, for a plugin with these settings. `live`: requests go to the network.
    pub fn new(mut settings: Settings, given: &Given, live: bool) -> World {
        for (key, value) in &given.config {
            settings.config.insert(key.clone(), given::text(value));
        }
        for (name, value) in &given.secrets {
            // A secret that is not granted stays so.
            if let Some(secret) = settings.grants.secrets.get_mut(name) {
                *secret = Secret::new(value);
            }
        }
        let clock: Arc<dyn Clock> = match given.now {
            Some(now) => Arc::new(ManualClock::at(now)),
            None => Arc::new(SystemClock),
        };
        let (memory, log) = (Arc::new(Memory::with(&given.kv)), Arc::new(Log::default()));
        let network = Arc::new(Network::with(given.http.clone()));
        let real = Hands::real(settings.grants.kv.as_ref().map(|_| Arc::clone(&memory) as _));
        let hands = Hands {
            outbound: if live { real.outbound } else { Outbound::Instead(Arc::clone(&network) as _) },
            clock: Arc::clone(&clock),
            // The same chance in every run, so that a test can expect what comes of it.
            entropy: if live { real.entropy } else { Arc::new(Entropy::seeded(1)) },
            log: Arc::clone(&log) as _,
            kv: real.kv,
        };
        let (sender, wished) = mpsc::channel(WISHES_MAX);
        let context = context(given, clock.now(), Wishes::to(sender));
        World { settings, hands, memory, network, log, context, wished }
    }

    /// Loads the plugin and calls it once.
    ///
    /// # Errors
    ///
    /// It cannot be loaded.
    pub async fn call(mut self, host: &Host, call: &Call) -> Result<Trial, Failure> {
        let plugin = loading::load(host, &self.settings, self.hands.clone()).await?;
        let began = Instant::now();
        let came = called(&plugin, &self.context, call).await;
        let took = began.elapsed();
        let mut wishes = Vec::new();
        while let Ok(wished) = self.wished.try_recv() {
            wishes.push(wish_json(&wished.wish));
        }
        Ok(Trial {
            came,
            wishes,
            log: self.log.lines(),
            requests: self.network.requests(),
            unanswered: self.network.unanswered(),
            kept: self.memory.values(),
            took,
            time_max: time_max(&plugin, call),
            memory_bytes: plugin.memory_peak_bytes(),
            memory_bytes_max: plugin.settings().limits.memory_bytes,
        })
    }
}

fn context(given: &Given, now: Timestamp, wishes: Wishes) -> CallContext {
    let context = given.context.clone();
    let said = |line: &given::Line| Said { speaker: line.speaker, text: line.text.clone(), started: now };
    CallContext {
        // The same in every run, so that a test can expect what comes of it.
        call_id: context.call_id.unwrap_or_else(|| CallId::from_bytes(1_u128.to_be_bytes())),
        caller: context.caller,
        callee: context.callee,
        language: context.language,
        route: context.route,
        session: context.session,
        vars: context.vars,
        history: given.history.iter().map(said).collect(),
        wishes,
    }
}

/// The longest a call may take.
fn time_max(plugin: &Plugin, call: &Call) -> Duration {
    match call {
        Call::Tool(name, _) => tool_time(plugin, name),
        Call::Incoming(_) => INCOMING_WITHIN,
        Call::Event(_) | Call::Ended(_) => plugin.time_max(),
    }
}

/// What the tool itself asks for, if that is less than the limit.
fn tool_time(plugin: &Plugin, name: &str) -> Duration {
    let tool = plugin.tools().iter().find(|tool| tool.name == name);
    let asked = tool.and_then(|tool| tool.timeout);
    asked.map_or(plugin.time_max(), |timeout| timeout.min(plugin.time_max()))
}

async fn called(plugin: &Plugin, context: &CallContext, call: &Call) -> Came {
    match call {
        Call::Tool(name, arguments) => tool(plugin, context, name, arguments).await,
        Call::Incoming(headers) => match plugin.incoming(context, headers, INCOMING_WITHIN).await {
            Ok(answer) => Came::Answer(incoming_json(&answer)),
            Err(failure) => failed(&failure),
        },
        Call::Event(event) => nothing(plugin.event(context, &event_of(event, context)).await),
        Call::Ended(record) => nothing(plugin.ended(context, &record.to_string()).await),
    }
}

fn nothing(told: Result<(), plugin::Failure>) -> Came {
    told.map_or_else(|failure| failed(&failure), |()| Came::Answer(Value::Null))
}

/// As the gateway calls it: what the schema does not take never reaches the plugin.
async fn tool(plugin: &Plugin, context: &CallContext, name: &str, arguments: &Value) -> Came {
    let Some(tool) = plugin.tools().iter().find(|tool| tool.name == name) else {
        let names: Vec<&str> = plugin.tools().iter().map(|tool| tool.name.as_str()).collect();
        let message = format!("the plugin has no tool `{name}`; it has {}", names.join(", "));
        return Came::Failure { kind: "unknown_tool", message };
    };
    let checked = Schema::compile(&tool.parameters).map_err(|error| error.to_string());
    if let Err(message) = checked.and_then(|schema| schema.check(arguments)) {
        return Came::Failure { kind: "invalid_arguments", message };
    }
    let time = tool_time(plugin, name);
    match plugin.call(context, name, &arguments.to_string(), time).await {
        Ok(answer) => match serde_json::from_str(&answer) {
            Ok(answer) => Came::Answer(answer),
            Err(error) => Came::Failure { kind: "bad_output", message: error.to_string() },
        },
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &plugin::Failure) -> Came {
    use plugin::Failure as Why;
    let (kind, words) = match failure {
        Why::UnknownTool(words) => ("unknown_tool", Some(words)),
        Why::InvalidArguments(words) => ("invalid_arguments", Some(words)),
        Why::NotFound(words) => ("not_found", Some(words)),
        Why::Denied(words) => ("denied", Some(words)),
        Why::Unavailable(words) => ("unavailable", Some(words)),
        Why::Busy(_) => ("busy", None),
        Why::Internal(words) => ("internal", Some(words)),
        Why::Timeout(_) => ("timeout", None),
        Why::TooLarge { .. } => ("too_large", None),
        Why::BadOutput(_) => ("bad_output", None),
        Why::OutOfMemory(_) | Why::OutOfTable(_) => ("out_of_memory", None),
        _ => ("trapped", None),
    };
    Came::Failure { kind, message: words.cloned().unwrap_or_else(|| failure.to_string()) }
}

fn event_of(event: &CallEvent, context: &CallContext) -> hooks::CallEvent {
    match event {
        CallEvent::Line(line) => hooks::CallEvent::Line(Said {
            speaker: line.speaker,
            text: line.text.clone(),
            started: context.history.last().map_or(Timestamp::default(), |said| said.started),
        }),
        CallEvent::Keys(keys) => hooks::CallEvent::Keys(keys.clone()),
        CallEvent::State(CallState::Live) => hooks::CallEvent::State("live"),
        CallEvent::State(CallState::Ended) => hooks::CallEvent::State("ended"),
    }
}

fn incoming_json(answer: &IncomingAnswer) -> Value {
    let mut page = json!({
        "decision": match &answer.decision {
            Decision::Proceed => json!("proceed"),
            Decision::Reject(code) => json!({ "reject": code }),
            Decision::Forward(to) => json!({ "forward": to }),
        },
    });
    if let Some(session) = &answer.session {
        page["session"] = session.as_str().into();
    }
    if !answer.vars.is_empty() {
        let vars = answer.vars.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        page["vars"] = Value::Object(vars.collect());
    }
    match &answer.instructions {
        Some(Instructions::Append(text)) => page["instructions"] = json!({ "append": text }),
        Some(Instructions::Replace(text)) => page["instructions"] = json!({ "replace": text }),
        None => {}
    }
    page
}

fn wish_json(wish: &Wish) -> Value {
    match wish {
        Wish::Progress(text) => json!({ "progress": text }),
        Wish::Say(text) => json!({ "say": text }),
        Wish::InjectContext(text) => json!({ "inject_context": text }),
        Wish::Transfer(to) => json!({ "transfer": to }),
        Wish::HangUp => json!({ "hang_up": true }),
        Wish::SetVariable { name, value } => json!({ "set_variable": { "name": name, "value": value } }),
    }
}
