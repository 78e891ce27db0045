//! The tools that a model can call: run by name, within time and size, with an honest outcome.
//!
//! A tool call always gets an answer that the model can speak about. What went wrong inside a tool is
//! for the operator's log, never for the caller's ear: a trap is not shown verbatim.

pub mod context;
pub mod generation;
pub mod hooks;
pub mod outbound;
pub mod plugin;
pub mod schema;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::event::{ToolCall, ToolFinished};
use crate::call::record::ToolOutcomeKind;
use crate::call::terms::ToolTerms;
use crate::call::{HANG_UP_TOOL, TRANSFER_TOOL};
use crate::session::{Session, ToolDefinition};
use context::CallContext;
use plugin::{Failure, Plugin};
use schema::Schema;

/// All tools of one configuration.
#[derive(Debug, Default)]
pub struct Toolbox {
    tools: BTreeMap<String, Tool>,
    plugins: Vec<Plugin>,
}

#[derive(Debug)]
struct Tool {
    definition: ToolDefinition,
    schema: Schema,
    may_repeat: bool,
    time_max: Duration,
    terms: ToolTerms,
    plugin: Plugin,
}

/// A tool that cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ToolboxError {
    /// Two tools have one name.
    #[error("tool `{tool}` is provided by plugin `{first}` and by plugin `{second}`: rename one of them")]
    Twice {
        /// The name.
        tool: String,
        /// Who had it first.
        first: String,
        /// Who has it too.
        second: String,
    },
    /// A plugin wants the name of a built-in tool.
    #[error("tool `{tool}` of plugin `{plugin}` has the name of a built-in tool: rename it")]
    BuiltIn {
        /// The name.
        tool: String,
        /// The plugin.
        plugin: String,
    },
    /// The schema of a tool's arguments is not one.
    #[error("tool `{tool}` of plugin `{plugin}`: its parameters are not a usable JSON Schema")]
    Schema {
        /// The tool.
        tool: String,
        /// The plugin.
        plugin: String,
        /// Why.
        source: schema::SchemaError,
    },
}

impl Toolbox {
    /// Puts the tools of all plugins together.
    ///
    /// # Errors
    ///
    /// [`ToolboxError`] where two tools have one name or a schema is none.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Result<Toolbox, ToolboxError> {
        let mut tools: BTreeMap<String, Tool> = BTreeMap::new();
        let plugins: Vec<Plugin> = plugins.into_iter().collect();
        for plugin in &plugins {
            for tool in plugin.tools() {
                let (tool_name, plugin_name) = (|| tool.name.clone(), || plugin.name().to_owned());
                if [HANG_UP_TOOL, TRANSFER_TOOL].contains(&tool.name.as_str()) {
                    return Err(ToolboxError::BuiltIn { tool: tool_name(), plugin: plugin_name() });
                }
                let schema = Schema::compile(&tool.parameters).map_err(|source| ToolboxError::Schema {
                    tool: tool_name(),
                    plugin: plugin_name(),
                    source,
                })?;
                let entry = Tool {
                    definition: ToolDefinition {
                        name: tool.name.clone(),
                        description: tool.description.clone(),
                        parameters: tool.parameters.clone(),
                    },
                    schema,
                    may_repeat: tool.may_repeat,
                    terms: ToolTerms { say_first: tool.say_first.clone(), interruptible: tool.interruptible },
                    time_max: tool
                        .timeout
                        .map_or(plugin.time_max(), |timeout| timeout.min(plugin.time_max())),
                    plugin: plugin.clone(),
                };
                if let Some(other) = tools.insert(tool.name.clone(), entry) {
                    let first = other.plugin.name().to_owned();
                    return Err(ToolboxError::Twice { tool: tool_name(), first, second: plugin_name() });
                }
            }
        }
        Ok(Toolbox { tools, plugins })
    }

    /// The plugins, in the order of the configuration.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The names of all tools, the built-in ones included.
    pub fn names(&self) -> Vec<String> {
        let built_in = [HANG_UP_TOOL, TRANSFER_TOOL].map(str::to_owned);
        self.tools.keys().cloned().chain(built_in).collect()
    }

    /// What the model of this session is told about its tools.
    pub fn offered_in(&self, session: &Session) -> Vec<ToolDefinition> {
        let mut offered: Vec<ToolDefinition> = self
            .tools
            .values()
            .filter(|tool| session.offers(&tool.definition.name))
            .map(|tool| tool.definition.clone())
            .collect();
        if session.offers(HANG_UP_TOOL) {
            offered.push(hang_up_definition());
        }
        if session.offers(TRANSFER_TOOL) && !session.transfer.is_empty() {
            offered.push(transfer_definition(session));
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
        let is_known = self.tools.contains_key(name) || [HANG_UP_TOOL, TRANSFER_TOOL].contains(&name);
        if is_known { name } else { "unknown" }
    }

    /// Runs a tool to its end, its deadline or its failure. `session` says which tools are offered.
    pub async fn run(&self, session: &Session, context: &CallContext, call: &ToolCall) -> ToolFinished {
        let outcome = match self.tools.get(&call.name).filter(|_| session.offers(&call.name)) {
            Some(tool) => tool.run(context, call, session.limits.tool_output_bytes).await,
            None => Err((ToolOutcomeKind::UnknownTool, format!("there is no tool `{}`", call.name))),
        };
        let (kind, output) = match outcome {
            Ok(output) => (ToolOutcomeKind::Ok, output),
            Err((kind, message)) => (kind, error_output(kind, &message)),
        };
        ToolFinished { tool_call: call.id.clone(), kind, output }
    }
}

impl Tool {
    async fn run(
        &self,
        context: &CallContext,
        call: &ToolCall,
        output_bytes_max: usize,
    ) -> Result<String, (ToolOutcomeKind, String)> {
        let invalid = |message| (ToolOutcomeKind::InvalidArguments, message);
        // Models write nothing at all where there are no arguments.
        let text = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        let arguments: Value =
            serde_json::from_str(text).map_err(|error| invalid(format!("not JSON: {error}")))?;
        self.schema.check(&arguments).map_err(invalid)?;
        let output = self
            .plugin
            .call(context, &self.definition.name, text, self.time_max)
            .await
            .map_err(|failure| self.explain(failure))?;
        if output.len() > output_bytes_max {
            let message = "the answer is too long to be spoken about; ask for less".to_owned();
            return Err((ToolOutcomeKind::BadOutput, message));
        }
        Ok(output)
    }

    /// What the model is told, and what the operator reads in the log.
    fn explain(&self, failure: Failure) -> (ToolOutcomeKind, String) {
        let (kind, message) = match &failure {
            Failure::UnknownTool(_) => (ToolOutcomeKind::UnknownTool, "there is no such tool".to_owned()),
            Failure::InvalidArguments(text) => (ToolOutcomeKind::InvalidArguments, text.clone()),
            Failure::NotFound(text) => (ToolOutcomeKind::NotFound, text.clone()),
            Failure::Denied(text) => (ToolOutcomeKind::Denied, text.clone()),
            Failure::Unavailable(text) => (ToolOutcomeKind::Unavailable, text.clone()),
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
                plugin = self.plugin.name(),
                outcome = kind.as_str(),
                failure = %failure,
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
