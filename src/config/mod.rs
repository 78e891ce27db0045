//! `gateway.toml`: read, filled in from the environment, and checked whole.
//!
//! [`load`] gives every room its settings or tells **all** that is wrong at once, each with its
//! place and a way out. The flow: parse (every syntax error at once) → fill in `${…}` → add what the
//! environment says → put the defaults under it → typed tables → meaning. Nothing here changes the
//! process's environment, opens a socket or writes a file.

use std::collections::BTreeMap;
use std::io::ErrorKind::NotFound;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::call::redaction::Redaction;
use crate::call_control::admission::Overflow;
use crate::call_control::notifications;
use crate::call_control::paths::Failover;
use crate::call_control::recordings;
use crate::http::{ConfigEntry, TokenSettings};
use crate::openai;
use crate::routing::{Rate, Rollout, Routes, Wildcard};
use crate::secret::Secret;
use crate::session::Session;
use crate::store;
use crate::telemetry;
use crate::text::chain;
use crate::tool::http as http_tool;
use crate::tool::plugin;
use crate::tool::{Origin, ToolboxError};
use crate::twilio;

pub mod alone;
mod check;
pub mod codes;
mod defaults;
pub mod difference;
mod document;
mod environment;
mod files;
mod forms;
mod interpolate;
mod problem;
mod raw;
mod read;
pub mod reference;
pub mod schema;
mod shape;
mod shown;
mod suggest;
mod units;

use defaults::Defaults;
use document::Document;

pub use environment::Environment;
pub use problem::{Location, Problem, Problems, Source};
pub use units::duration;

/// The directory for compiled plugins, in the data directory.
const PLUGIN_CACHE: &str = "plugin-cache";

/// A whole configuration: what every room needs to know.
#[derive(Debug)]
pub struct Config {
    /// The public listener and what calls may use up.
    pub server: ServerSettings,
    /// The operators' listener.
    pub admin: AdminSettings,
    /// `[admission]`.
    pub admission: AdmissionSettings,
    /// The voice provider.
    pub openai: openai::Settings,
    /// The carrier; none where calls come over a bare SIP trunk only.
    pub twilio: Option<twilio::Settings>,
    /// What is switched on.
    pub features: Features,
    /// When and how a path is given up for the other one.
    pub failover: Failover,
    /// The data directory.
    pub store: store::Settings,
    /// What becomes of recordings.
    pub recordings: recordings::Settings,
    /// Calls that began longer ago are erased; none: they are kept.
    pub calls_kept: Option<Duration>,
    /// Entries of the audit log that are older are forgotten; none: they are kept.
    pub audit_kept: Option<Duration>,
    /// Who is told of calls.
    pub notifications: notifications::Settings,
    /// What is not kept of what is said.
    pub redaction: Redaction,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// The plugins, by name.
    pub plugins: Vec<plugin::Settings>,
    /// Where compiled plugins are kept: a directory in that of the data.
    pub plugin_cache: PathBuf,
    /// The machine that they run on.
    pub sandbox: plugin::HostSettings,
    /// The HTTP tools.
    pub tools: Vec<http_tool::Settings>,
    /// What models cost, by name.
    pub prices: Vec<(String, Price)>,
    /// Which call gets which session.
    pub routes: Routes,
    /// The names of the `[[tests]]` that passed: all of them.
    pub tests_passed: Vec<String>,
    /// The sessions, by name.
    pub sessions: BTreeMap<String, Arc<Session>>,
    /// What is allowed but probably not meant.
    pub warnings: Problems,
    /// Every value that holds, as operators are shown it.
    pub entries: Vec<ConfigEntry>,
    /// What each of them is.
    values: Vec<Secret>,
    /// Where it was read.
    pub read_from: Arc<ReadFrom>,
    offered: Vec<Offered>,
    /// Where each plugin's file is named.
    plugin_places: BTreeMap<String, Location>,
    /// Where each HTTP tool's name stands.
    tool_places: BTreeMap<String, Location>,
    /// Where each grant stands, by the plugin and the place in its `allow`.
    grant_places: BTreeMap<(String, String), Location>,
}

/// Where a configuration was read, for who wants another one read there.
#[derive(Clone, Debug, Default)]
pub struct ReadFrom {
    /// The file, as messages name it.
    pub name: String,
    /// The directory that paths are relative to.
    pub directory: PathBuf,
    /// The environment, without the file `.env`.
    pub environment: Environment,
    /// The same with it, as it was then.
    pub known: Environment,
    /// The files of which it is made: itself, `.env` beside it where it may be, and those it names. Empty: it was no file.
    pub files: Vec<PathBuf>,
    /// Whoever runs it wants it read again when one of them changes.
    pub is_watched: bool,
}

/// `[server]`.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where webhooks and media are heard.
    pub listen: SocketAddr,
    /// The address under which the world reaches us, without a slash at its end.
    pub public_url: String,
    /// Calls at once; more are turned away as busy.
    pub max_calls: usize,
    /// Connections of the public listener at once; media streams do not count.
    pub max_connections: usize,
    /// How long running calls may finish when the process is asked to stop.
    pub drain_timeout: Duration,
    /// The longest request body, in bytes.
    pub body_bytes_max: usize,
    /// SIP headers that may tell the called number, most trusted first.
    pub called_number_headers: Vec<String>,
    /// Calling code for numbers without one (`81`); none: such numbers stay as they are.
    pub default_country: Option<String>,
    /// Whether calls are taken that come over a bare SIP trunk, without a token of ours.
    pub direct_sip: bool,
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Where operators are heard.
    pub listen: SocketAddr,
    /// Names by which browsers may know that listener, beside its addresses.
    pub hosts: Vec<String>,
    /// Tokens beside the one in the data directory.
    pub tokens: Vec<TokenSettings>,
}

/// `[admission]`.
#[derive(Clone, Debug)]
pub struct AdmissionSettings {
    /// What those get who are one too many.
    pub overflow: Overflow,
    /// How often one number may call; none: as often as it likes.
    pub per_caller: Option<Rate>,
    /// So late the machine may be before nobody is let in.
    pub max_lag: Duration,
}

/// `[features]`.
#[derive(Clone, Debug)]
pub struct Features {
    /// Which calls go to the provider over SIP; for the others the gateway bridges the carrier's media stream.
    pub openai_sip: Rollout,
    /// A call whose path fails goes on over the other one.
    pub failover: bool,
    /// Answered calls are recorded, where their route does not say otherwise.
    pub recordings: bool,
}

/// `[telemetry]`.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// A level, or directives per module as `tracing` reads them.
    pub log_level: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where traces go; none: nowhere.
    pub otlp: Option<telemetry::Settings>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// What a model costs, in US dollars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Price {
    /// The day on which the price was read.
    pub as_of: Option<String>,
    /// Per million text tokens.
    pub text: Option<Rates>,
    /// Per million audio tokens.
    pub audio: Option<Rates>,
    /// Per million image tokens.
    pub image: Option<Rates>,
    /// Per minute of audio.
    pub per_minute: Option<f64>,
}

/// US dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Read.
    pub input: f64,
    /// Read from the cache.
    pub cached: f64,
    /// Written.
    pub output: f64,
}

/// A tool that a session offers, by name or pattern.
#[derive(Debug)]
struct Offered {
    session: String,
    pattern: Wildcard,
    location: Location,
}

impl Offered {
    fn is_among(&self, tools: &[String]) -> bool {
        tools.iter().any(|tool| self.pattern.matches(tool))
    }
}

impl Config {
    /// The same, for whoever wants it read again when one of its files changes.
    pub fn watched(mut self) -> Config {
        Arc::make_mut(&mut self.read_from).is_watched = true;
        self
    }

    /// The problems of plugins that cannot be loaded: names of this configuration, each with the reason.
    pub fn unloadable(&self, plugins: &[(String, plugin::LoadError)]) -> Problems {
        let mut problems = Problems::default();
        for (name, error) in plugins {
            let Some(location) = self.plugin_places.get(name) else { continue };
            let code = match error {
                plugin::LoadError::Unreadable { source, .. } if source.kind() == NotFound => {
                    &codes::PLUGIN_FILE
                }
                plugin::LoadError::NotGranted { .. } => &codes::NOT_GRANTED,
                _ => &codes::PLUGIN,
            };
            let message = format!("plugin `{name}` cannot be loaded: {}", chain(error));
            let mut problem = Problem::new(code, location.clone(), message);
            problem.help(error.help());
            problems.push(problem);
        }
        problems.sort();
        problems
    }

    /// Warnings of grants that plugins do not ask for.
    pub fn unused_grants(&self, plugins: &[plugin::Plugin]) -> Problems {
        let mut problems = Problems::default();
        let unused = plugins.iter().flat_map(|plugin| {
            plugin.unused_grants().into_iter().map(|unused| (plugin.name(), unused.place))
        });
        for (plugin, place) in unused {
            let key = (plugin.to_owned(), place.clone());
            let Some(location) = self.grant_places.get(&key) else { continue };
            let message = format!("plugin `{plugin}` does not ask for what `allow.{place}` grants");
            let mut problem = Problem::new(&codes::UNUSED_GRANT, location.clone(), message);
            problem
                .help("take it out: what is not granted cannot be misused by a later version of the plugin");
            problems.push(problem);
        }
        problems.sort();
        problems
    }

    /// The problems of tools that cannot be offered beside each other.
    pub fn misfits(&self, errors: &[ToolboxError]) -> Problems {
        let mut problems = Problems::default();
        for error in errors {
            let (origin, code) = match error {
                ToolboxError::Twice { .. } | ToolboxError::BuiltIn { .. } => {
                    (error.origin(), &codes::TOOL_NAME)
                }
                ToolboxError::Schema { .. } => (error.origin(), &codes::TOOL_SCHEMA),
            };
            let place = match origin {
                Origin::Plugin(name) => self.plugin_places.get(name),
                Origin::Http(name) => self.tool_places.get(name),
                // It stands in no file.
                Origin::Embedded => None,
            };
            let Some(location) = place else { continue };
            let (message, help) = match error {
                ToolboxError::Twice { tool, first, .. } => (
                    format!("{origin} provides the tool `{tool}`, which {first} provides already"),
                    "give one of them another name, or remove it".to_owned(),
                ),
                ToolboxError::BuiltIn { tool, .. } => (
                    format!("{origin} provides a tool of the name `{tool}`, which is built in"),
                    "give it another name".to_owned(),
                ),
                ToolboxError::Schema { tool, source, .. } => (
                    format!("the parameters of the tool `{tool}` are no JSON Schema of an object"),
                    source.to_string(),
                ),
            };
            let mut problem = Problem::new(code, location.clone(), message);
            problem.help(help);
            problems.push(problem);
        }
        problems.sort();
        problems
    }

    /// Compares the tools that sessions offer with those that there are.
    pub fn check_tools(&self, available: &[String]) -> Problems {
        self.missing_tools(available, |_| true)
    }

    /// The same, but only of tools that there were before.
    pub fn lost_tools(&self, before: &[String], available: &[String]) -> Problems {
        self.missing_tools(available, |offered| offered.is_among(before))
    }

    fn missing_tools(&self, available: &[String], is_meant: impl Fn(&Offered) -> bool) -> Problems {
        let mut problems = Problems::default();
        for offered in &self.offered {
            if offered.is_among(available) || !is_meant(offered) {
                continue;
            }
            let pattern = offered.pattern.as_str();
            let message = format!("session `{}` offers a tool that does not exist", offered.session);
            let mut problem = Problem::new(&codes::UNKNOWN_TOOL, offered.location.clone(), message);
            let names = || available.iter().map(String::as_str);
            problem.label(format!("no tool `{pattern}`"));
            match suggest::did_you_mean(pattern, names()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("there is {}", suggest::list(names()))),
            };
            problems.push(problem);
        }
        problems.sort();
        problems
    }
}

/// Reads and checks a configuration, with `.env` beside it.
///
/// Paths inside are relative to the file's directory. Plugins' files are not looked into, and may be missing: see
/// [`Config::unloadable`].
///
/// # Errors
///
/// Everything that is wrong, warnings included.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    load_into(path, directory, environment)
}

/// The same as if the file stood in that directory.
///
/// # Errors
///
/// As [`load`].
pub fn load_into(path: &Path, directory: &Path, environment: &Environment) -> Result<Config, Problems> {
    let name = path.display().to_string();
    match files::read(path, files::CONFIG_BYTES_MAX) {
        Ok(bytes) => {
            let mut config = parse(&name, &bytes, directory, environment)?;
            Arc::make_mut(&mut config.read_from).files.insert(0, path.to_owned());
            Ok(config)
        }
        Err(why) => {
            let mut problems = Problems::default();
            let source = Arc::new(Source { name, text: None });
            let message = format!("the configuration cannot be read: {why}");
            let mut problem = Problem::new(&codes::FILE, Location::Whole(source), message);
            problem.help("give the path of `gateway.toml` with `--config`");
            problems.push(problem);
            Err(problems)
        }
    }
}

/// Reads and checks a configuration again, where it was read before.
///
/// # Errors
///
/// As [`load`]; one that came from no file cannot be read again.
pub fn load_again(read_from: &ReadFrom) -> Result<Config, Problems> {
    let config = load(Path::new(&read_from.name), &read_from.environment)?;
    Ok(if read_from.is_watched { config.watched() } else { config })
}

/// The environment with what the file `.env` beside a configuration adds; what is wrong with it [`load`] tells.
pub fn with_dotenv(path: &Path, environment: Environment) -> Environment {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    environment.or(read::dotenv(directory, &mut Problems::default()))
}

/// Checks a configuration whose text is at hand, as [`load`] does.
///
/// # Errors
///
/// As [`load`].
pub fn parse(
    name: &str,
    bytes: &[u8],
    directory: &Path,
    environment: &Environment,
) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let config = checked(name, bytes, directory, environment, &mut problems);
    problems.sort();
    match config {
        Some(config) if !problems.has_errors() => Ok(Config { warnings: problems, ..config }),
        _ => Err(problems),
    }
}

fn checked(
    name: &str,
    bytes: &[u8],
    directory: &Path,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Config> {
    let process = environment;
    let environment = process.clone().or(read::dotenv(directory, problems));
    let mut read_from = ReadFrom {
        name: name.to_owned(),
        directory: directory.to_owned(),
        environment: process.clone(),
        known: environment.clone(),
        files: Vec::new(),
        is_watched: false,
    };
    let mut document = read::parse(name, bytes, problems)?;
    let references = shown::references(&mut document);
    read_from.files = named_files(&mut document, directory);
    read::complete(&mut document, directory, &environment, problems);
    shape::fit(&mut document, problems);
    let defaults = Defaults::read();
    let whole = with_defaults(&document, &defaults);
    let (entries, values) = shown::entries(&whole, &document, &references);
    let raw = match shape::typed(whole) {
        Ok(raw) => raw,
        // What does not fit was taken out and told, unless there was no end of it.
        Err(_) => return None,
    };
    let config = check::check(&document, directory, &defaults, raw, problems)?;
    Some(Config { entries, values, read_from: Arc::new(read_from), ..config })
}

/// The files that a document names, before anything in it is filled in, and `.env`.
fn named_files(document: &mut Document<'_>, directory: &Path) -> Vec<PathBuf> {
    let mut files = vec![directory.join(".env")];
    document.for_each_text(&mut |place, value| {
        let Some(text) = value.get_ref().as_str() else { return };
        match place.pattern()[..] {
            [.., "instructions_file"] | ["tools", _, "parameters"] => {
                files.push(files::resolve(directory, text));
            }
            _ => files.extend(interpolate::files_in(text).map(|file| files::resolve(directory, file))),
        }
    });
    files
}

/// The document with everything put under it that holds by default.
fn with_defaults<'i>(document: &Document<'i>, defaults: &Defaults) -> DeTable<'i> {
    let mut table = document.table.clone();
    for (key, below) in defaults.table.iter() {
        match table.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut) {
            None => drop(table.insert(key.clone(), below.clone())),
            Some(DeValue::Table(own)) => {
                // A price is replaced whole: half of an old one is a wrong one.
                let depth = if key.get_ref() == "pricing" { 0 } else { 2 };
                if let DeValue::Table(below) = below.get_ref() {
                    document::underlay(own, below, depth);
                }
            }
            Some(_) => {}
        }
    }
    check::inherit(&mut table, document, &defaults.session);
    if let Some(DeValue::Table(plugins)) = table.get_mut("plugins").map(Spanned::get_mut) {
        for (_, plugin) in plugins.iter_mut() {
            if let DeValue::Table(plugin) = plugin.get_mut() {
                document::underlay(plugin, &defaults.plugin, 1);
            }
        }
    }
    if let Some(DeValue::Table(tools)) = table.get_mut("tools").map(Spanned::get_mut) {
        for (_, tool) in tools.iter_mut() {
            if let DeValue::Table(tool) = tool.get_mut() {
                document::underlay(tool, &defaults.tool, 2);
            }
        }
    }
    table
}

#[cfg(test)]
mod tests;
