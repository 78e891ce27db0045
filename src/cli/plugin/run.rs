//! `switchboard plugin run`: one tool call in the real sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::cases::Call;
use super::given::{Given, Mocks};
use super::target::Target;
use super::trial::{Came, Trial, World};
use super::{loading, places};
use crate::cli::Failure;

const MIB: f64 = 1_048_576.0;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The tool.
    tool: String,
    /// Its arguments as JSON.
    #[arg(default_value = "{}", value_parser = object)]
    arguments: Value,
    /// A plugin's folder, a component, or the name of a plugin in the configuration.
    #[arg(long, default_value = ".")]
    plugin: String,
    /// What the host's functions find: a file with the keys of a test in tests.toml.
    #[arg(long, value_name = "FILE")]
    mock: Option<PathBuf>,
    /// Send requests to the network, where the plugin is granted it; without it, mocks answer.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    context: ContextArguments,
}

/// The call that is served.
#[derive(Debug, Args)]
struct ContextArguments {
    /// Who calls, in E.164.
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// The number that was dialled, in E.164.
    #[arg(long, value_name = "NUMBER")]
    callee: Option<String>,
    /// The language that is spoken (ISO 639-1).
    #[arg(long)]
    language: Option<String>,
    /// The session that answers.
    #[arg(long)]
    session: Option<String>,
    /// The route that took the call.
    #[arg(long)]
    route: Option<String>,
    /// A variable of the call; may be given more than once.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err("arguments are a JSON object, such as '{\"order\": \"A-1001\"}'".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(config: &Path, arguments: Arguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.plugin, config)?;
    let mut given = match &arguments.mock {
        Some(path) => mocks(path)?,
        None => Given::default(),
    };
    arguments.context.put_over(&mut given);
    let settings = target.settings()?;
    let host = loading::host()?;
    let call = Call::Tool(arguments.tool, arguments.arguments);
    let called = World::new(settings, &given, arguments.live).call(&host, &call).await;
    let trial = called.map_err(|failure| match &target {
        Target::Folder(manifest) => manifest.in_own_words(failure),
        _ => failure,
    })?;
    tell(&trial);
    match trial.came {
        Came::Answer(answer) => crate::cli::print(&format!("{answer:#}\n")),
        Came::Failure { kind, message } => {
            crate::cli::print(&format!("{:#}\n", json!({ "error": kind, "message": message })))?;
            Err(Failure::Said)
        }
    }
}

impl ContextArguments {
    /// What the command line says holds, whatever the file says.
    fn put_over(self, given: &mut Given) {
        let context = &mut given.context;
        for (own, other) in [
            (self.caller, &mut context.caller),
            (self.callee, &mut context.callee),
            (self.language, &mut context.language),
            (self.session, &mut context.session),
            (self.route, &mut context.route),
        ] {
            if own.is_some() {
                *other = own;
            }
        }
        context.vars.extend(self.vars.into_iter().collect::<BTreeMap<_, _>>());
    }
}

fn mocks(path: &Path) -> Result<Given, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Unavailable(anyhow!("cannot read {}: {error}", path.display())))?;
    let mut mocks: Mocks =
        toml::from_str(&text).map_err(|error| Failure::Misfit(places::of_toml(path, &text, &error)))?;
    mocks.take_given().map_err(|misplaced| Failure::Misfit(places::error(path, &text, misplaced)))
}

/// What happened besides the answer, for whoever looks on.
fn tell(trial: &Trial) {
    for line in &trial.log {
        eprintln!("log    {line}");
    }
    for wish in &trial.wishes {
        eprintln!("call   {wish}");
    }
    for request in &trial.requests {
        let word = |key: &str| request[key].as_str().unwrap_or_default().to_owned();
        eprintln!("http   {} {}", word("method"), word("url"));
    }
    for request in &trial.unanswered {
        eprintln!("       no mock answers `{request}`: add it to a file for `--mock`, or use `--live`");
    }
    if let Some(kept) = trial.kept.as_object().filter(|kept| !kept.is_empty()) {
        for (key, value) in kept {
            eprintln!("kept   {key} = {value}");
        }
    }
    eprintln!("took   {:.1} ms of {} ms", trial.took.as_secs_f64() * 1e3, trial.time_max.as_millis());
    let (had, most) = (trial.memory_bytes as f64, trial.memory_bytes_max as f64);
    eprintln!("memory {:.2} MiB of {:.0} MiB", had / MIB, most / MIB);
}
