//! How a plugin can fail: when it is called, and when it is loaded.

use std::path::PathBuf;
use std::time::Duration;

use super::engine::{COMPONENT_MEMORIES_MAX, COMPONENT_TABLES_MAX, CORE_INSTANCES_MAX};
use super::guest::VERSIONS;
use crate::text::chain;

/// How much of a plugin's own words about an error is taken, in characters.
const WORDS_CHARS_MAX: usize = 500;

/// A plugin's words as far as they are taken.
pub(super) fn cut(words: &str) -> String {
    words.chars().take(WORDS_CHARS_MAX).collect()
}

/// Why a tool call of a plugin failed. The words of the first five are the plugin's own, meant for the
/// model; the others are for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The plugin does not know the tool.
    #[error("unknown tool: {0}")]
    UnknownTool(String),
    /// The plugin does not accept the arguments.
    #[error("invalid arguments: {0}")]
    InvalidArguments(String),
    /// There is no such thing.
    #[error("not found: {0}")]
    NotFound(String),
    /// The plugin refuses, or was not granted what it needs.
    #[error("denied: {0}")]
    Denied(String),
    /// The plugin's backend is away.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It was not called: too many calls of it, or of all plugins, run.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// It took longer than it may.
    #[error("it took longer than the {} ms that `limits.time` or the tool itself allows", .0.as_millis())]
    Timeout(Duration),
    /// Its answer, or something it hands to the host, is longer than it may be.
    #[error("its answer is longer than `limits.output` allows ({bytes_max} bytes)")]
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// Its answer is not JSON.
    #[error("its answer is not JSON: {0}")]
    BadOutput(String),
    /// It wanted more memory than it may have, and trapped.
    #[error("it wanted more memory than `limits.memory` allows ({0} bytes)")]
    OutOfMemory(usize),
    /// It wanted more elements in a table than it may have, and trapped.
    #[error("it wanted more than the {0} table elements that `limits.table_elements` allows")]
    OutOfTable(usize),
    /// Its calls within itself went deeper than its stack, and it trapped.
    #[error("it wanted more stack than `stack` of `[sandbox]` allows ({0} bytes)")]
    OutOfStack(usize),
    /// It consists of more core instances than it may.
    #[error("it consists of more than the {0} core instances that `limits.instances` allows")]
    TooManyInstances(usize),
    /// It trapped: a bug.
    #[error("it trapped: {0}")]
    Trapped(String),
    /// It says of itself that it failed inside.
    #[error("it failed inside: {0}")]
    Internal(String),
}

impl Failure {
    /// Claims that the plugin does not work: it neither says no for a reason, nor waits for somebody else.
    pub fn is_fault(&self) -> bool {
        match self {
            Failure::UnknownTool(_)
            | Failure::InvalidArguments(_)
            | Failure::NotFound(_)
            | Failure::Denied(_)
            | Failure::Unavailable(_)
            | Failure::Busy(_) => false,
            Failure::Timeout(_)
            | Failure::TooLarge { .. }
            | Failure::BadOutput(_)
            | Failure::OutOfMemory(_)
            | Failure::OutOfTable(_)
            | Failure::OutOfStack(_)
            | Failure::TooManyInstances(_)
            | Failure::Trapped(_)
            | Failure::Internal(_) => true,
        }
    }

    /// The key of the configuration that allows a plugin of this name more, where that can help.
    pub fn key(&self, plugin: &str) -> Option<String> {
        let limit = |key: &str| Some(format!("plugins.{plugin}.limits.{key}"));
        match self {
            Failure::Timeout(_) => limit("time"),
            Failure::TooLarge { .. } => limit("output"),
            Failure::OutOfMemory(_) => limit("memory"),
            Failure::OutOfTable(_) => limit("table_elements"),
            Failure::TooManyInstances(_) => limit("instances"),
            Failure::OutOfStack(_) => Some("sandbox.stack".to_owned()),
            Failure::UnknownTool(_)
            | Failure::InvalidArguments(_)
            | Failure::NotFound(_)
            | Failure::Denied(_)
            | Failure::Unavailable(_)
            | Failure::Busy(_)
            | Failure::BadOutput(_)
            | Failure::Trapped(_)
            | Failure::Internal(_) => None,
        }
    }
}

/// Why a plugin cannot be loaded. What to do about it is in [`LoadError::help`], not in the message.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the one that was pinned.
    #[error("{} has the digest {found}, and `sha256` pins {pinned}", path.display())]
    OtherDigest {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What was pinned.
        pinned: String,
    },
    /// A core module.
    #[error("{} is a core WebAssembly module, not a component", path.display())]
    CoreModule {
        /// The file.
        path: PathBuf,
    },
    /// Not WebAssembly, or cut off.
    #[error("{} is not a WebAssembly component: {problem}", path.display())]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// What the compiler said.
        problem: String,
    },
    /// A component that the machine has no room for.
    #[error("{} does not fit the sandbox: {problem}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        problem: String,
    },
    /// A component that is no plugin.
    #[error("{} is a component, but no plugin: it does not export `switchboard:plugin/tools`", path.display())]
    NoTools {
        /// The file.
        path: PathBuf,
    },
    /// A plugin for another gateway.
    #[error(
        "{} speaks `switchboard:plugin@{found}`; this gateway speaks {}",
        path.display(), VERSIONS.join(" and ")
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version, or several.
        found: String,
    },
    /// It imports something that does not exist here.
    #[error("{} imports `{import}`, which does not exist here", path.display())]
    UnknownImport {
        /// The file.
        path: PathBuf,
        /// The import's name.
        import: String,
        /// What to do.
        help: &'static str,
    },
    /// It has the names of the interface, but not what should be behind them.
    #[error("{} does not fit `switchboard:plugin@{version}`: {problem}", path.display())]
    OtherInterface {
        /// The file.
        path: PathBuf,
        /// The version it says it speaks.
        version: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// It asks for something that nobody could grant.
    #[error("it asks for `{need}`, which cannot be granted: {problem}")]
    BadNeed {
        /// What it asks for.
        need: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It asks for what the operator does not grant.
    #[error("it asks for {}, which is not granted", quoted(asks, " and "))]
    NotGranted {
        /// The plugin.
        name: String,
        /// What it asks for in vain.
        asks: Vec<String>,
        /// The lines of `[plugins.NAME.allow]` that grant it.
        lines: Vec<String>,
    },
    /// It cannot describe itself.
    #[error("it cannot describe itself{}", last_words(said.as_deref()))]
    Describe {
        /// The plugin.
        name: String,
        /// What it logged, or wrote to its outputs, last.
        said: Option<String>,
        /// What happened.
        source: Failure,
    },
    /// It takes longer than anybody may to describe itself.
    #[error(
        "{} takes longer than {} s to say what its tools and needs are",
        path.display(), within.as_secs()
    )]
    DescribesTooLong {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        within: Duration,
    },
    /// It says more about itself than anybody may.
    #[error(
        "{} says more than {} MiB about itself when it is asked for its tools and needs",
        path.display(), bytes_max >> 20
    )]
    DescribesTooMuch {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        bytes_max: usize,
    },
    /// One of its tools cannot be offered to a model.
    #[error("its tool `{tool}` cannot be offered: {problem}")]
    Tool {
        /// The tool.
        tool: String,
        /// What is wrong.
        problem: String,
    },
}

impl LoadError {
    /// What to do about it, in words that can stand behind the message.
    pub fn help(&self) -> String {
        match self {
            LoadError::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "build the plugin, or correct its `path`".to_owned()
            }
            LoadError::Unreadable { .. } => {
                "have its `path` name a `.wasm` file that the gateway's user can read".to_owned()
            }
            LoadError::OtherDigest { .. } => {
                "pin the new one if you trust the file, or put the pinned file back".to_owned()
            }
            LoadError::CoreModule { .. } => "build it as docs/plugins/README.md tells".to_owned(),
            LoadError::NotAComponent { .. } => {
                "name the `.wasm` file that `switchboard plugin build` makes, or copy it again whole"
                    .to_owned()
            }
            LoadError::TooLarge { .. } => format!(
                "build it smaller: a plugin has room for {CORE_INSTANCES_MAX} core instances, \
                 {COMPONENT_MEMORIES_MAX} memories, {COMPONENT_TABLES_MAX} tables and 1 GiB"
            ),
            LoadError::NoTools { .. } => {
                "name a plugin's file, or build it as docs/plugins/README.md tells".to_owned()
            }
            LoadError::OtherVersion { .. } => {
                "build the plugin for one of these, or update the gateway".to_owned()
            }
            LoadError::UnknownImport { help, .. } => (*help).to_owned(),
            LoadError::OtherInterface { version, .. } => {
                format!("build it with plugins/wit/v{version} as it is there, unchanged")
            }
            LoadError::BadNeed { .. } => {
                "correct what its `describe` asks for, and build it again".to_owned()
            }
            LoadError::NotGranted { name, lines, .. } => grant_help(name, lines),
            LoadError::Describe { name, source, .. } => describe_help(name, source),
            LoadError::DescribesTooLong { .. } => {
                "have its `describe` answer at once, and build it again".to_owned()
            }
            LoadError::DescribesTooMuch { .. } => {
                "shorten their descriptions and schemas, and build it again".to_owned()
            }
            LoadError::Tool { .. } => {
                "correct this in the plugin's `describe`, and build it again".to_owned()
            }
        }
    }

    /// Claims that the same file may be loaded at another time: the machine was too busy for it.
    pub fn may_pass(&self) -> bool {
        match self {
            LoadError::DescribesTooLong { .. } => true,
            LoadError::Describe { source, .. } => {
                matches!(source, Failure::Busy(_) | Failure::Unavailable(_))
            }
            _ => false,
        }
    }

    /// The message, its causes and what to do, on one line.
    pub fn told(&self) -> String {
        format!("{}; {}", chain(self), self.help())
    }
}

/// What a plugin said before it failed; often what it needs to be told.
fn last_words(said: Option<&str>) -> String {
    said.map(|words| format!(" (its last words: \"{words}\")")).unwrap_or_default()
}

fn quoted(texts: &[String], between: &str) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(between)
}

/// What an operator writes to grant what is missing.
fn grant_help(name: &str, lines: &[String]) -> String {
    format!("write {} in `[plugins.{name}.allow]`, if that is meant", quoted(lines, " and "))
}

/// What helps a plugin that cannot say what it is: more room, or another version of it.
fn describe_help(name: &str, failure: &Failure) -> String {
    match failure.key(name) {
        Some(key) => format!("raise `{key}`, or have the plugin built to need less"),
        None => format!(
            "see whether its last words complain about `[plugins.{name}.config]`; else put a version back that works, \
             and tell its author"
        ),
    }
}
