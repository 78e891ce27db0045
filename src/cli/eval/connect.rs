//! The provider that is measured: the real one, or the simulated one with a recogniser that mishears by the number.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context as _;
use serde_json::Value;

use super::settings::{Prepared, Setting, Wanted, prepare};
use crate::cli::Failure;
use crate::cli::init::{placeholders, placeholders_of};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Environment};
use crate::http::OPENAI_WEBHOOK;
use crate::openai::sideband::Connector;
use crate::openai::{self, Deadlines};
use crate::sim::fault::ProviderFaults;
use crate::sim::log::WorldLog;
use crate::sim::openai::Turn;
use crate::sim::sound::BLOCK;
use crate::sim::world::{ConnectedWorld, Options, World};
use crate::wire::g711;

/// What holds where there is no configuration: one session with all defaults.
pub(super) const NO_CONFIGURATION: &str = "[sessions.default]\ninstructions = \"Listen.\"\n";
const PROJECT_ID: &str = "OPENAI_PROJECT_ID";
/// What answering calls needs, and this does not: only the key is asked for.
const NOT_NEEDED: [&str; 6] = [
    PROJECT_ID,
    "OPENAI_WEBHOOK_SECRET",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "BASE_URL",
    "USE_OPENAI_SIP",
];

/// A provider, and what it is asked.
pub(super) struct Provider {
    pub connector: Connector,
    /// How it is spoken to.
    pub openai: openai::Settings,
    pub prepared: Vec<Prepared>,
    /// The world that it is in, if that is simulated.
    pub simulated: Option<Simulated>,
}

impl Provider {
    /// The real provider. Of the environment it needs the key and nothing else.
    pub async fn live(path: &Path, wanted: &Wanted) -> Result<Provider, Failure> {
        let known = config::with_dotenv(path, Environment::of_process());
        // Any value of its kind will do.
        let others = placeholders_of(&NOT_NEEDED);
        let mut config = load(path, &known.or(others.clone()))?;
        // Said by nobody, and wrong at the provider.
        if others.get(PROJECT_ID) == Some(config.openai.project_id.as_str()) {
            config.openai.project_id.clear();
        }
        Provider::of(&config, wanted, None)
    }

    /// A simulated provider at this speed. Nothing of the environment is needed.
    pub async fn simulated(
        path: &Path,
        wanted: &Wanted,
        speed: f64,
        provider_faults: ProviderFaults,
    ) -> Result<Provider, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = WorldLog::quiet(Arc::clone(&clock));
        let world = World::start(Options { provider_faults, ..Options::new(clock, log, speed) }).await;
        let world = world.context("the simulated provider cannot listen")?;
        let environment: Environment = world.environment().into_iter().collect();
        let config = load(path, &environment.or(placeholders()))?;
        let world = world.connect("http://127.0.0.1:9", OPENAI_WEBHOOK)?;
        let simulated = Simulated { known: Arc::default(), _world: world.clone() };
        let known = Arc::clone(&simulated.known);
        world.openai.listen_with(Arc::new(move |turn| {
            let known = lock(&known);
            let whole = known.iter().find_map(|known| known.words_of_whole(turn));
            whole.or_else(|| known.iter().find_map(|known| known.words_of_part(turn)))
        }));
        Provider::of(&config, wanted, Some(simulated))
    }

    fn of(config: &Config, wanted: &Wanted, simulated: Option<Simulated>) -> Result<Provider, Failure> {
        let connector = Connector::new(&config.openai, Deadlines::default())?;
        Ok(Provider {
            connector,
            openai: config.openai.clone(),
            prepared: prepare(config, wanted)?,
            simulated,
        })
    }
}

fn load(path: &Path, environment: &Environment) -> Result<Config, Failure> {
    let config = match path.exists() {
        true => config::load(path, environment),
        false => config::parse("gateway.toml", NO_CONFIGURATION.as_bytes(), Path::new("."), environment),
    };
    config.map_err(|problems| Failure::Config(Box::new(problems)))
}

/// The simulated world, and what is made there of each sound that is under way.
pub(super) struct Simulated {
    known: Arc<Mutex<Vec<Arc<Known>>>>,
    _world: ConnectedWorld,
}

/// A sound that will be heard under a setting.
struct Known {
    model: String,
    transcription_model: String,
    language: Option<String>,
    /// μ-law, in whole blocks, as it is sent.
    sound: Vec<u8>,
    words: String,
}

/// As long as this lives, a sound is known.
pub(super) struct Expected<'a>(&'a Simulated, Arc<Known>);

impl Simulated {
    /// The recogniser makes these words of this sound under this setting.
    pub fn expect(&self, setting: &Setting, sound: &[u8], words: String) -> Expected<'_> {
        let known = Arc::new(Known {
            model: setting.model.clone(),
            transcription_model: setting.transcription_model.clone(),
            language: setting.language.clone(),
            sound: sound.to_vec(),
            words,
        });
        lock(&self.known).push(Arc::clone(&known));
        Expected(self, known)
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        lock(&self.0.known).retain(|known| !Arc::ptr_eq(known, &self.1));
    }
}

/// Nothing panics while it holds this lock; were it so, what is known would still be right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Known {
    /// The words, where the turn is this sound, byte for byte.
    fn words_of_whole(&self, turn: Turn<'_>) -> Option<String> {
        let is_it = self.is_asked(turn) && self.voice() == turn.audio;
        is_it.then(|| self.words.clone())
    }

    /// Of a sound that a pause cuts in several turns, the first has all the words.
    fn words_of_part(&self, turn: Turn<'_>) -> Option<String> {
        let voice = self.voice();
        let mut starts = (0..voice.len() / BLOCK).map(|block| block * BLOCK);
        let is_it = |at: &usize| self.is_asked(turn) && voice[*at..].starts_with(turn.audio);
        let at = starts.find(is_it)?;
        Some(if at == 0 { self.words.clone() } else { String::new() })
    }

    fn is_asked(&self, turn: Turn<'_>) -> bool {
        let text = |field: &str| turn.transcription.get(field).and_then(Value::as_str);
        turn.model == self.model
            && text("model") == Some(&self.transcription_model)
            && text("language") == self.language.as_deref()
            && !turn.audio.is_empty()
    }

    /// From the first block that is not silent to the last.
    fn voice(&self) -> &[u8] {
        let is_loud = |block: &[u8]| !g711::is_silent(block);
        let first = self.sound.chunks(BLOCK).position(is_loud).unwrap_or(0);
        let last = self.sound.chunks(BLOCK).rposition(is_loud).map_or(0, |last| last + 1);
        self.sound.get(first * BLOCK..last * BLOCK).unwrap_or_default()
    }
}
