//! From a file to a plugin: read, compiled, linked, asked what it is, and held against what is granted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cache::Origin;
use super::compile::compile;
use super::engine::Host;
use super::failure::{Failure, LoadError};
use super::guest::{BadNeed, Described};
use super::hands::Hands;
use super::health::Health;
use super::kv::KeyValueStore;
use super::needs::Need;
use super::sandbox::Sandbox;
use super::settings::Settings;
use super::state::Powers;
use super::{Inner, Plugin, PluginTool};
use crate::text::hex;
use crate::tool::schema::Schema;

/// The longest file of a plugin: ten times what Python needs. A longer one is a mistake that would eat up memory.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// How many tools one plugin may have.
const TOOLS_MAX: usize = 64;
/// How many things one plugin may ask for.
const NEEDS_MAX: usize = 64;
/// The longest description and schema of a tool, in bytes: the model reads them on every turn.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
const SCHEMA_BYTES_MAX: usize = 32 << 10;
/// The longest words that are said while a tool runs, in characters: two sentences.
const SAY_FIRST_CHARS_MAX: usize = 300;
/// How much of what a plugin calls itself is kept, in characters.
const NAME_CHARS_MAX: usize = 64;

/// How a plugin was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// SHA-256 of its file.
    pub digest: [u8; 32],
    /// The length of its file.
    pub bytes: usize,
    /// Where its machine code came from.
    pub origin: Origin,
    /// How long it took to read, to compile and to describe itself.
    pub took: Duration,
}

/// What a plugin says of itself, whatever it is granted.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// What it calls itself.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The version of `switchboard:plugin` that it speaks.
    pub interface: &'static str,
    /// What it imports: the names of interfaces.
    pub imports: Vec<String>,
    /// Whether it exports the hooks.
    pub has_hooks: bool,
    /// Its tools.
    pub tools: Vec<PluginTool>,
    /// What it asks for.
    pub needs: Vec<Need>,
}

impl Host {
    /// Reads, checks and compiles a plugin, asks it what it is, and holds its needs against the grants.
    ///
    /// # Errors
    ///
    /// [`LoadError`], saying what to do.
    pub async fn load(
        &self,
        settings: &Settings,
        kv: Option<Arc<dyn KeyValueStore>>,
    ) -> Result<Plugin, LoadError> {
        self.load_with(settings, Hands::real(kv)).await
    }

    /// As [`Host::load`], with other hands than the real ones.
    ///
    /// # Errors
    ///
    /// As [`Host::load`].
    pub async fn load_with(&self, settings: &Settings, hands: Hands) -> Result<Plugin, LoadError> {
        let (sandbox, about, loaded) = self.look(settings, hands).await?;
        check_grants(settings, &about.needs)?;
        let powers = Powers::of(settings, &about.needs, &sandbox.shared.hands);
        let inner = Inner {
            places: Semaphore::new(settings.limits.concurrency),
            health: Health::new(&settings.name, settings.breaker, Arc::clone(&self.metrics)),
            settings: settings.clone(),
            sandbox: sandbox.with(powers),
            about,
            loaded,
            stack_bytes: self.settings.stack_bytes,
        };
        Ok(Plugin { inner: Arc::new(inner) })
    }

    /// What a plugin is and asks for, whether or not that is granted.
    ///
    /// # Errors
    ///
    /// As [`Host::load`], except [`LoadError::NotGranted`].
    pub async fn inspect(&self, settings: &Settings) -> Result<(About, Loaded), LoadError> {
        let (_, about, loaded) = self.look(settings, Hands::real(None)).await?;
        Ok((about, loaded))
    }

    async fn look(&self, settings: &Settings, hands: Hands) -> Result<(Sandbox, About, Loaded), LoadError> {
        let began = Instant::now();
        let (bytes, digest) = read(settings).await?;
        let length = bytes.len();
        let (component, origin) = compile(self, &settings.path, digest, bytes).await?;
        self.count(origin);
        let sandbox = Sandbox::new(self, &component, settings, hands)?;
        let described = sandbox.describe().await.map_err(|(failure, said)| match failure {
            Failure::TooLarge { bytes_max } => {
                LoadError::DescribesTooMuch { path: settings.path.clone(), bytes_max }
            }
            Failure::Timeout(within) => LoadError::DescribesTooLong { path: settings.path.clone(), within },
            source => LoadError::Describe { name: settings.name.clone(), said, source },
        })?;
        let about = about(described, &sandbox)?;
        let loaded = Loaded { digest, bytes: length, origin, took: began.elapsed() };
        Ok((sandbox, about, loaded))
    }

    fn count(&self, origin: Origin) {
        match origin {
            Origin::Cache => self.metrics.plugin_cached("hit"),
            Origin::Compiled => self.metrics.plugin_cached("miss"),
            Origin::Distrusted => self.metrics.plugin_cached("distrusted"),
            Origin::NoCache => {}
        }
    }
}

/// What a plugin says of itself, if it can be so.
fn about(described: Described, sandbox: &Sandbox) -> Result<About, LoadError> {
    let Described { name, version, tools, needs } = described;
    check_tools(&tools)?;
    let short = |text: &str| text.chars().take(NAME_CHARS_MAX).collect();
    let surface = &sandbox.surface;
    Ok(About {
        name: short(&name),
        version: short(&version),
        interface: surface.version,
        imports: surface.imports.clone(),
        has_hooks: surface.has_hooks,
        needs: check_needs(needs, surface.has_hooks)?,
        tools,
    })
}

/// What it asks for, each once.
fn check_needs(asked: Vec<Result<Need, BadNeed>>, has_hooks: bool) -> Result<Vec<Need>, LoadError> {
    let bad =
        |need: &str, problem: &str| LoadError::BadNeed { need: need.to_owned(), problem: problem.to_owned() };
    if asked.len() > NEEDS_MAX {
        return Err(bad("*", "a plugin asks for at most 64 things"));
    }
    let mut needs = Vec::new();
    for need in asked {
        let need = need.map_err(|wrong| LoadError::BadNeed { need: wrong.need, problem: wrong.problem })?;
        if matches!(need, Need::Hook(_)) && !has_hooks {
            return Err(bad(&need.to_string(), "the component does not export `switchboard:plugin/hooks`"));
        }
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    Ok(needs)
}

fn check_grants(settings: &Settings, needs: &[Need]) -> Result<(), LoadError> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !settings.grants.covers(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(LoadError::NotGranted {
        name: settings.name.clone(),
        asks: missing.iter().map(ToString::to_string).collect(),
        lines: settings.grants.lines_for(&settings.name, &missing),
    })
}

/// Opens a plugin's file, unless reading it would take for ever or more memory than any plugin is worth.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let known = std::fs::metadata(path)?;
    if !known.is_file() && !known.is_dir() {
        return Err(io::Error::other("it is not a plain file"));
    }
    if known.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    File::open(path)
}

/// A file's bytes and their digest, read off the async threads: a plugin may have many megabytes.
async fn read(settings: &Settings) -> Result<(Vec<u8>, [u8; 32]), LoadError> {
    let path = settings.path.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        open(&path)?.read_to_end(&mut bytes)?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        Ok((bytes, digest))
    });
    let unreadable = |source| LoadError::Unreadable { path: settings.path.clone(), source };
    let (bytes, found) = reading.await.map_err(io::Error::other).flatten().map_err(unreadable)?;
    match settings.sha256 {
        Some(pinned) if pinned != found => Err(LoadError::OtherDigest {
            path: settings.path.clone(),
            found: hex(&found),
            pinned: hex(&pinned),
        }),
        _ => Ok((bytes, found)),
    }
}

fn check_tools(tools: &[PluginTool]) -> Result<(), LoadError> {
    let wrong = |tool: &str, problem: &str| {
        let tool = tool.chars().take(80).collect();
        Err(LoadError::Tool { tool, problem: problem.to_owned() })
    };
    if tools.len() > TOOLS_MAX {
        return wrong("*", "a plugin has at most 64 tools");
    }
    for (at, tool) in tools.iter().enumerate() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if tool.name.is_empty() || tool.name.len() > 64 || !tool.name.bytes().all(is_plain) {
            return wrong(&tool.name, "a name has 1 to 64 letters, digits, `_` and `-`");
        }
        if tools[..at].iter().any(|other| other.name == tool.name) {
            return wrong(&tool.name, "the plugin has two tools of this name");
        }
        if tool.description.len() > DESCRIPTION_BYTES_MAX {
            return wrong(&tool.name, "its description has more than 4 KiB");
        }
        if tool.parameters.to_string().len() > SCHEMA_BYTES_MAX {
            return wrong(&tool.name, "its parameters have more than 32 KiB");
        }
        let words = tool.say_first.as_deref().unwrap_or_default();
        if words.chars().nth(SAY_FIRST_CHARS_MAX).is_some() {
            return wrong(&tool.name, "what is said first has more than 300 characters");
        }
        if let Err(error) = Schema::compile(&tool.parameters) {
            return wrong(&tool.name, &format!("its parameters are not a usable JSON Schema: {error}"));
        }
    }
    Ok(())
}
