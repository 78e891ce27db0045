//! The tools that a model can call: run by name, within time and size, with an honest outcome.
//!
//! A tool call always gets an answer that the model can speak about. What went wrong inside a tool is
//! for the operator's log, never for the caller's ear: a trap is not shown verbatim.

pub mod context;
pub mod embedded;
pub mod generation;
pub mod hooks;
pub mod http;
pub mod outbound;
pub mod plugin;
pub mod schema;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::event::{ToolCall, ToolFinished};
use crate::call::record::ToolOutcomeKind;
use crate::call::terms::ToolTerms;
use crate::call::{HANG_UP_TOOL, TRANSFER_TOOL};
use crate::session::{Session, ToolDefinition};
use crate::text::hex;
use context::CallContext;
use embedded::Embedded;
use hooks::{Hook, Hooked, Hooks};
use http::HttpTool;
use plugin::{Failure, Need, Plugin};
use schema::Schema;

/// The built-in tools.
pub const BUILT_IN: [&str; 2] = [HANG_UP_TOOL, TRANSFER_TOOL];

/// All tools of one configuration.
#[derive(Debug, Default)]
pub struct Toolbox {
    tools: BTreeMap<String, Tool>,
    hooks: Hooks,
    plugins: Vec<Plugin>,
    /// Plugins of the configuration that are not among them, because they could not be taken.
    left_out: Vec<String>,
}

#[derive(Debug)]
struct Tool {
    definition: ToolDefinition,
    schema: Schema,
    may_repeat: bool,
    time_max: Duration,
    terms: ToolTerms,
    wants_history: bool,
    hand: Hand,
}

/// What carries a tool out.
#[derive(Debug)]
enum Hand {
    Plugin(Plugin),
    Http(HttpTool),
    Embedded(Embedded),
}

/// Where a tool comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A plugin, by its name in the configuration.
    Plugin(String),
    /// `[tools.NAME]`.
    Http(String),
    /// The program that embeds the gateway.
    Embedded,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Plugin(name) => write!(f, "plugin `{name}`"),
            Origin::Http(name) => write!(f, "`[tools.{name}]`"),
            Origin::Embedded => f.write_str("the embedding program"),
        }
    }
}

/// A tool as an operator looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolView {
    /// What the model reads.
    pub definition: ToolDefinition,
    /// Where it comes from.
    pub origin: Origin,
    /// The longest it takes.
    pub time_max: Duration,
    /// Whether running it twice does no harm.
    pub may_repeat: bool,
    /// What the assistant says before it runs.
    pub say_first: Option<String>,
    /// It failed too often, and is not called at the moment.
    pub is_resting: bool,
}

/// A tool that cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolboxError {
    /// Two tools have one name.
    #[error("tool `{tool}` is provided by {first} and by {second}: rename one of them")]
    Twice {
        /// The name.
        tool: String,
        /// Who had it first.
        first: Origin,
        /// Who has it too.
        second: Origin,
    },
    /// A tool has the name of a built-in one.
    #[error("tool `{tool}` of {origin} has the name of a built-in tool: rename it")]
    BuiltIn {
        /// The name.
        tool: String,
        /// Where it comes from.
        origin: Origin,
    },
    /// The schema of a tool's arguments is not one.
    #[error("tool `{tool}` of {origin}: its parameters are not a usable JSON Schema")]
    Schema {
        /// The tool.
        tool: String,
        /// Where it comes from.
        origin: Origin,
        /// Why.
        source: schema::SchemaError,
    },
}

impl ToolboxError {
    /// Whose tool cannot be offered.
    pub fn origin(&self) -> &Origin {
        match self {
            ToolboxError::Twice { second, .. } => second,
            ToolboxError::BuiltIn { origin, .. } | ToolboxError::Schema { origin, .. } => origin,
        }
    }
}

impl Toolbox {
    /// Puts the tools of all plugins together.
    ///
    /// # Errors
    ///
    /// [`ToolboxError`], the first one, where two tools have one name or a schema is none.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Result<Toolbox, ToolboxError> {
        Toolbox::of(plugins, []).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Puts the tools of all plugins and the HTTP tools together.
    ///
    /// # Errors
    ///
    /// Every tool that cannot be offered; at least one.
    pub fn of(
        plugins: impl IntoIterator<Item = Plugin>,
        http_tools: impl IntoIterator<Item = HttpTool>,
    ) -> Result<Toolbox, Vec<ToolboxError>> {
        let plugins: Vec<Plugin> = plugins.into_iter().collect();
        let (mut toolbox, mut errors) = (Toolbox::default(), Vec::new());
        let of_http = http_tools.into_iter().map(Tool::of_http);
        let of_plugins = plugins
            .iter()
            .flat_map(|plugin| plugin.tools().iter().map(move |tool| Tool::of_plugin(plugin, tool)));
        // What stands in the file itself comes first: a plugin that is added later is the one that is told.
        for tool in of_http.chain(of_plugins) {
            if let Err(error) = tool.and_then(|tool| toolbox.add(tool)) {
                errors.push(error);
            }
        }
        toolbox.hooks = Hooks::new(plugins.iter().map(|plugin| Arc::new(plugin.clone()) as Arc<dyn Hooked>));
        toolbox.plugins = plugins;
        if errors.is_empty() { Ok(toolbox) } else { Err(errors) }
    }

    fn add(&mut self, tool: Tool) -> Result<(), ToolboxError> {
        let (name, origin) = (tool.definition.name.clone(), tool.origin());
        if BUILT_IN.contains(&name.as_str()) {
            return Err(ToolboxError::BuiltIn { tool: name, origin });
        }
        if let Some(other) = self.tools.get(&name) {
            return Err(ToolboxError::Twice { tool: name, first: other.origin(), second: origin });
        }
        self.tools.insert(name, tool);
        Ok(())
    }

    /// All tools but the built-in ones, by name.
    pub fn tools(&self) -> impl Iterator<Item = ToolView> {
        self.tools.values().map(|tool| ToolView {
            definition: tool.definition.clone(),
            origin: tool.origin(),
            time_max: tool.time_max,
            may_repeat: tool.may_repeat,
            say_first: tool.terms.say_first.clone(),
            is_resting: tool.is_resting(),
        })
    }

    /// The same, with a tool of the embedding program; it takes the place of one with its name.
    ///
    /// # Errors
    ///
    /// [`ToolboxError::Schema`].
    pub fn with_embedded(mut self, tool: Embedded) -> Result<Toolbox, ToolboxError> {
        let name = tool.definition.name.clone();
        let schema = Schema::compile(&tool.definition.parameters).map_err(|source| ToolboxError::Schema {
            tool: name.clone(),
            origin: Origin::Embedded,
            source,
        })?;
        let entry = Tool {
            definition: tool.definition.clone(),
            schema,
            may_repeat: tool.may_repeat,
            time_max: tool.time_max,
            terms: tool.terms.clone(),
            wants_history: tool.wants_history,
            hand: Hand::Embedded(tool),
        };
        self.tools.insert(name, entry);
        Ok(self)
    }

    /// The same, with these who are asked or told at moments of a call instead of the plugins.
    pub fn with_hooks(mut self, hooks: Hooks) -> Toolbox {
        self.hooks = hooks;
        self
    }

    /// The same, knowing that the configuration has these plugins too, and that they are out of order.
    pub fn without(mut self, left_out: Vec<String>) -> Toolbox {
        self.left_out = left_out;
        self
    }

    /// The plugins of the configuration that are out of order, by name.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Who is asked or told at moments of a call.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Claims that the tool wants to know, and may know, what was said in a call so far.
    pub fn wants_history(&self, name: &str) -> bool {
        self.tools.get(name).is_some_and(|tool| tool.wants_history)
    }

    /// Claims that anything here wants to know what was said in a call so far.
    pub fn any_wants_history(&self) -> bool {
        self.tools.values().any(|tool| tool.wants_history)
            || self.hooks.at(Hook::Event).any(|hooked| hooked.wants_history())
    }

    /// The plugins, in the order of the configuration.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The plugins, each with the beginning of its file's digest, on one line; none: there are none.
    pub fn versions(&self) -> Option<String> {
        let version = |plugin: &Plugin| format!("{} {}", plugin.name(), hex(&plugin.loaded().digest[..6]));
        let versions: Vec<String> = self.plugins().iter().map(version).collect();
        (!versions.is_empty()).then(|| versions.join(", "))
    }

    /// The names of all tools, the built-in ones included.
    pub fn names(&self) -> Vec<String> {
        let built_in = BUILT_IN.map(str::to_owned);
        self.tools.keys().cloned().chain(built_in).collect()
    }

    /// What the model of this session is told about its tools.
    pub fn offered_in(&self, session: &Session) -> Vec<Cow<'_, ToolDefinition>> {
        let all = self.tools.values().map(|tool| &tool.definition);
        let offered = all.filter(|definition| session.offers(&definition.name));
        let mut offered: Vec<Cow<'_, ToolDefinition>> = offered.map(Cow::Borrowed).collect();
        if session.offers(HANG_UP_TOOL) {
            offered.push(Cow::Owned(hang_up_definition()));
        }
        if session.offers(TRANSFER_TOOL) && !session.transfer.is_empty() {
            offered.push(Cow::Owned(transfer_definition(session)));
        }
        offered
    }

    /// What the life of a call must know of the tools that this session offers; ordinary ones are left out.
    pub fn terms(&self, session: &Session) -> BTreeMap<String, ToolTerms> {
        let of_session = self.tools.iter().filter(|(name, _)| session.offers(name));
        let special =
            of_session.filter(|(_, tool)| tool.terms.say_first.is_some() || !tool.terms.interruptible);
        special.map(|(name, tool)| (name.clone(), tool.terms.clone())).collect()
    }

    /// Claims that running the tool twice does no harm, so that it need not be written down first.
    pub fn may_repeat(&self, name: &str) -> bool {
        self.tools.get(name).is_none_or(|tool| tool.may_repeat)
    }

    /// The name as a metric label: only names of the configuration, so that there are few.
    pub fn label<'a>(&self, name: &'a str) -> &'a str {
        let is_known = self.tools.contains_key(name) || BUILT_IN.contains(&name);
        if is_known { name } else { "unknown" }
    }

    /// Runs a tool to its end, its deadline or its failure. `session` says which tools are offered.
    pub async fn run(&self, session: &Session, context: &CallContext, call: &ToolCall) -> ToolFinished {
        if session.offers(&call.name) {
            return self.run_any(context, call, session.limits.tool_output_bytes).await;
        }
        finished(call, Err(unknown(&call.name)))
    }

    /// Runs a tool whether or not a session offers it. An output is no longer than `output_bytes_max`.
    pub async fn run_any(
        &self,
        context: &CallContext,
        call: &ToolCall,
        output_bytes_max: usize,
    ) -> ToolFinished {
        let outcome = match self.tools.get(&call.name) {
            Some(tool) => tool.run(context, call, output_bytes_max).await,
            // A model that learnt of its tools before a restart may ask for one of a plugin that is left out since.
            None if !self.left_out.is_empty() => Err(out_of_order(&call.name)),
            None => Err(unknown(&call.name)),
        };
        finished(call, outcome)
    }
}

/// What comes of a tool: its output, or how it failed and what the model is told.
type Outcome = Result<String, (ToolOutcomeKind, String)>;

fn finished(call: &ToolCall, outcome: Outcome) -> ToolFinished {
    let (kind, output) = match outcome {
        Ok(output) => (ToolOutcomeKind::Ok, output),
        Err((kind, message)) => (kind, error_output(kind, &message)),
    };
    ToolFinished { tool_call: call.id.clone(), kind, output }
}

fn unknown(name: &str) -> (ToolOutcomeKind, String) {
    (ToolOutcomeKind::UnknownTool, format!("there is no tool `{name}`"))
}

fn out_of_order(name: &str) -> (ToolOutcomeKind, String) {
    (ToolOutcomeKind::Unavailable, format!("`{name}` is out of order for the moment"))
}

impl Tool {
    fn of_plugin(plugin: &Plugin, tool: &plugin::PluginTool) -> Result<Tool, ToolboxError> {
        let schema = Schema::compile(&tool.parameters).map_err(|source| ToolboxError::Schema {
            tool: tool.name.clone(),
            origin: Origin::Plugin(plugin.name().to_owned()),
            source,
        })?;
        Ok(Tool {
            definition: ToolDefinition {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.parameters.clone(),
            },
            schema,
            may_repeat: tool.may_repeat,
            terms: ToolTerms { say_first: tool.say_first.clone(), interruptible: tool.interruptible },
            time_max: tool.timeout.map_or(plugin.time_max(), |timeout| timeout.min(plugin.time_max())),
            wants_history: plugin.about().needs.contains(&Need::History),
            hand: Hand::Plugin(plugin.clone()),
        })
    }

    fn of_http(tool: HttpTool) -> Result<Tool, ToolboxError> {
        let settings = tool.settings();
        let schema = Schema::compile(&settings.parameters).map_err(|source| ToolboxError::Schema {
            tool: settings.name.clone(),
            origin: Origin::Http(settings.name.clone()),
            source,
        })?;
        Ok(Tool {
            definition: ToolDefinition {
                name: settings.name.clone(),
                description: settings.description.clone(),
                parameters: settings.parameters.clone(),
            },
            schema,
            may_repeat: settings.may_repeat,
            terms: settings.terms.clone(),
            time_max: settings.time,
            wants_history: false,
            hand: Hand::Http(tool),
        })
    }

    fn is_resting(&self) -> bool {
        match &self.hand {
            Hand::Plugin(plugin) => plugin.is_resting(),
            Hand::Http(tool) => tool.is_resting(),
            Hand::Embedded(_) => false,
        }
    }

    fn origin(&self) -> Origin {
        match &self.hand {
            Hand::Plugin(plugin) => Origin::Plugin(plugin.name().to_owned()),
            Hand::Http(tool) => Origin::Http(tool.settings().name.clone()),
            Hand::Embedded(_) => Origin::Embedded,
        }
    }

    async fn run(&self, context: &CallContext, call: &ToolCall, output_bytes_max: usize) -> Outcome {
        let invalid = |message| (ToolOutcomeKind::InvalidArguments, message);
        // Models write nothing at all where there are no arguments.
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        let arguments: Value =
            serde_json::from_str(text).map_err(|error| invalid(format!("not JSON: {error}")))?;
        self.schema.check(&arguments).map_err(invalid)?;
        let output = match &self.hand {
            Hand::Plugin(plugin) => {
                let called = plugin.call(context, &self.definition.name, text, self.time_max).await;
                called.map_err(|failure| {
                    let key = failure.key(plugin.name());
                    self.explain(plugin.name(), failure, key)
                })?
            }
            Hand::Embedded(tool) => {
                let called = tool.call(context, text).await;
                called.map_err(|failure| self.explain("(embedded)", failure, None))?
            }
            Hand::Http(tool) => {
                // On the heap, so that the calls of plugins need no room for it.
                let called = Box::pin(tool.call(context, &arguments)).await;
                called.map_err(|trouble| (trouble.kind, trouble.message))?
            }
        };
        if output.len() > output_bytes_max {
            tracing::warn!(
                tool = self.definition.name,
                origin = %self.origin(),
                outcome = ToolOutcomeKind::BadOutput.as_str(),
                failure = format!("its answer is longer than `limits.tool_output` allows ({output_bytes_max} bytes)"),
                key = context.session.as_ref().map(|name| format!("sessions.{name}.limits.tool_output")),
                "a tool call failed"
            );
            let message = "the answer is too long to be spoken about; ask for less".to_owned();
            return Err((ToolOutcomeKind::BadOutput, message));
        }
        Ok(output)
    }

    /// What the model is told, and what the operator reads in the log, with the key that allows more.
    fn explain(&self, plugin: &str, failure: Failure, key: Option<String>) -> (ToolOutcomeKind, String) {
        let (kind, message) = match &failure {
            Failure::UnknownTool(_) => (ToolOutcomeKind::UnknownTool, "there is no such tool".to_owned()),
            Failure::InvalidArguments(text) => (ToolOutcomeKind::InvalidArguments, text.clone()),
            Failure::NotFound(text) => (ToolOutcomeKind::NotFound, text.clone()),
            Failure::Denied(text) => (ToolOutcomeKind::Denied, text.clone()),
            Failure::Unavailable(text) => (ToolOutcomeKind::Unavailable, text.clone()),
            Failure::Busy(text) => (ToolOutcomeKind::Unavailable, (*text).to_owned()),
            Failure::Timeout(_) => (ToolOutcomeKind::Timeout, "it took too long".to_owned()),
            Failure::TooLarge { .. } => (ToolOutcomeKind::BadOutput, "the answer was too long".to_owned()),
            Failure::BadOutput(_) => (ToolOutcomeKind::BadOutput, "the answer was not readable".to_owned()),
            _ => (ToolOutcomeKind::Failed, "it failed inside".to_owned()),
        };
        let is_ours =
            matches!(kind, ToolOutcomeKind::Timeout | ToolOutcomeKind::BadOutput | ToolOutcomeKind::Failed);
        if is_ours {
            tracing::warn!(
                tool = self.definition.name,
                plugin,
                outcome = kind.as_str(),
                failure = %failure,
                key,
                "a tool call failed"
            );
        }
        (kind, message)
    }
}

/// An error as the model reads it.
fn error_output(kind: ToolOutcomeKind, message: &str) -> String {
    let may_retry = matches!(kind, ToolOutcomeKind::Timeout | ToolOutcomeKind::Unavailable);
    json!({ "error": kind.as_str(), "message": message, "retryable": may_retry }).to_string()
}

fn hang_up_definition() -> ToolDefinition {
    ToolDefinition {
        name: HANG_UP_TOOL.to_owned(),
        description: "End the call. Say goodbye first: what you say in the same turn is heard to its end."
            .to_owned(),
        parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
    }
}

fn transfer_definition(session: &Session) -> ToolDefinition {
    let names: Vec<&String> = session.transfer.keys().collect();
    ToolDefinition {
        name: TRANSFER_TOOL.to_owned(),
        description:
            "Hand the caller to somebody else. Tell the caller first: what you say in the same turn \
                      is heard to its end."
                .to_owned(),
        parameters: json!({
            "type": "object",
            "properties": { "to": { "type": "string", "enum": names, "description": "Who shall take over." } },
            "required": ["to"],
            "additionalProperties": false
        }),
    }
}
