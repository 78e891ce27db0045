//! `switchboard tools`: look at the tools that models can call, and try one outside of a call.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::check::{nothing_kept, toolbox};
use super::print;
use super::{Failure, view};
use crate::call::event::ToolCall;
use crate::call::record::ToolOutcomeKind;
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::Config;
use crate::ids::{CallId, ToolCallId};
use crate::session::Session;
use crate::store::{OpenError, Quota, Store};
use crate::tool::context::{CallContext, Wishes};
use crate::tool::{BUILT_IN, Origin, ToolView, Toolbox};

/// The longest output that is printed, in bytes: no session allows more.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tools, and which sessions offer them.
    Ls,
    /// Run a tool, for real, as if a model had asked for it.
    Call(CallArguments),
}

#[derive(Debug, Args)]
struct CallArguments {
    /// The tool.
    name: String,
    /// Its arguments, a JSON object.
    #[arg(default_value = "{}")]
    arguments: String,
    /// Who calls, as the tool is told (E.164).
    #[arg(long)]
    caller: Option<String>,
    /// The session it runs in: its variables and its language. Without it, the only session that offers
    /// the tool.
    #[arg(long)]
    session: Option<String>,
    /// A variable of the call, NAME=VALUE; may be given several times.
    #[arg(long = "var", value_parser = variable)]
    variables: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    match arguments.command {
        Command::Ls => {
            let tools: Vec<ToolView> = toolbox(&config, &nothing_kept, None).await?.0.tools().collect();
            if tools.is_empty() {
                eprintln!("there are no tools but the built-in ones ({})", BUILT_IN.join(", "));
                return Ok(());
            }
            print(&view::tools(&tools, |name| offering(&config, name)))
        }
        Command::Call(call) => {
            super::logging::start(&config.telemetry);
            run_tool(&config, call).await
        }
    }
}

/// The names of the sessions that offer a tool.
fn offering(config: &Config, tool: &str) -> Vec<String> {
    let offering = config.sessions.iter().filter(|(_, session)| session.offers(tool));
    offering.map(|(name, _)| name.clone()).collect()
}

async fn run_tool(config: &Config, arguments: CallArguments) -> Result<(), Failure> {
    let (looked_at, _) = toolbox(config, &nothing_kept, None).await?;
    let tool = looked_at.tools().find(|tool| tool.definition.name == arguments.name);
    let tool = tool.ok_or_else(|| unknown(&looked_at, &arguments.name))?;
    let session = session(config, &arguments)?;
    let (toolbox, store) = match kept_by(config, &tool.origin) {
        None => (looked_at, None),
        Some(_) => {
            let store = open(config, &tool).await?;
            let keeping = |namespace: &str, quota: Quota| Arc::new(store.kv(namespace).within(quota)) as _;
            (toolbox(config, &keeping, None).await?.0, Some(store))
        }
    };
    let call = ToolCall {
        id: ToolCallId("call_tools".to_owned()),
        name: arguments.name.clone(),
        arguments: arguments.arguments.clone(),
    };
    let finished = toolbox.run_any(&context(session, arguments), &call, OUTPUT_BYTES_MAX).await;
    if let Some(store) = store {
        store.close().await?;
    }
    if finished.kind == ToolOutcomeKind::Ok {
        return print(&(finished.output + "\n"));
    }
    let told: Value = serde_json::from_str(&finished.output)?;
    let message = told["message"].as_str().unwrap_or_default();
    Err(anyhow!("{}: {message}", finished.kind.as_str()).into())
}

fn unknown(toolbox: &Toolbox, name: &str) -> anyhow::Error {
    if BUILT_IN.contains(&name) {
        return anyhow!("`{name}` is built in and needs a call: try it with `switchboard demo`");
    }
    let names: Vec<String> = toolbox.tools().map(|tool| format!("`{}`", tool.definition.name)).collect();
    anyhow!(
        "there is no tool `{name}`; there is {}",
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )
}

fn session<'a>(config: &'a Config, arguments: &CallArguments) -> Result<Option<&'a Session>, Failure> {
    let Some(name) = &arguments.session else {
        let offering = offering(config, &arguments.name);
        let only = offering.first().filter(|_| offering.len() == 1);
        return Ok(only.and_then(|name| config.sessions.get(name)).map(Arc::as_ref));
    };
    let session = config.sessions.get(name).ok_or_else(|| anyhow!("there is no session `{name}`"))?;
    if !session.offers(&arguments.name) {
        return Err(anyhow!("session `{name}` does not offer the tool `{}`", arguments.name).into());
    }
    Ok(Some(session))
}

fn context(session: Option<&Session>, arguments: CallArguments) -> CallContext {
    let mut vars = session.map(|session| session.vars.clone()).unwrap_or_default();
    vars.extend(arguments.variables);
    CallContext {
        call_id: CallId::new(SystemClock.now(), Entropy::System.bytes()),
        caller: arguments.caller,
        callee: None,
        language: session.and_then(|session| session.language.clone()),
        route: None,
        session: session.map(|session| session.name.clone()),
        vars,
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

/// The namespace in which the tool's plugin keeps values; none where it keeps none.
fn kept_by<'a>(config: &'a Config, origin: &Origin) -> Option<&'a str> {
    let Origin::Plugin(name) = origin else { return None };
    let settings = config.plugins.iter().find(|settings| settings.name == *name)?;
    settings.grants.kv.as_deref()
}

/// The store, which a running gateway has to itself.
async fn open(config: &Config, tool: &ToolView) -> Result<Store, Failure> {
    let settings = config.store.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&settings, Arc::new(SystemClock))).await?;
    match opened {
        Ok((store, _)) => Ok(store),
        Err(OpenError::InUse { .. }) => Err(Failure::Unavailable(anyhow!(
            "{} keeps values, and a running gateway has {} to itself: stop it, or use another `store.path`; \
             tools of plugins without `allow.kv` can be tried meanwhile",
            tool.origin,
            config.store.path.display()
        ))),
        Err(error) => Err(Failure::Unavailable(error.into())),
    }
}
