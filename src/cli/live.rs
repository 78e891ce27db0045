//! A scenario's caller in front of a real model: the whole gateway and its tools, a simulated carrier, and the provider
//! that the configuration names.
//!
//! The gateway bridges the call as it would any other ([`crate::media::bridge`]); between it and the provider stands a
//! relay ([`relay`]) that passes on every event as it is, and speaks for the caller: it puts the caller's words into the
//! conversation as text and asks for an answer, or sends a recording in place of the simulated microphone's silence. So
//! the session, its instructions, the tools and the record are those of a real call, and only the ears are not tried.
//! What a scenario has its model say and call counts for nothing here.

mod relay;
mod talk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Failure;
use super::stage::beside;
use crate::config::Config;
use crate::openai::Deadlines;
use crate::openai::sideband::Connector;
use crate::secret::Secret;
use crate::sim::scenario::Scenario;
use crate::sim::script::Step;
use crate::sim::twilio::SipPeer;
use crate::speech::wave;
use crate::wire::g711;

/// What the gateway shows the relay for a key: the real one stays with the relay.
const NO_KEY: &str = "sk-relayed";

/// How a real model is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    /// Recordings are sent where the scenario names them; else everything is written.
    pub audio: bool,
}

/// The way from one gateway to the provider.
pub(super) struct Line {
    relay: Arc<relay::Relay>,
    _stop: DropGuard,
}

/// What is known of a call that was relayed.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// What the model was told, with the call's facts in it.
    pub instructions: Option<String>,
    /// What whoever reads the result should know.
    pub notes: Vec<String>,
    /// Why no session could be opened.
    pub unreachable: Option<String>,
}

impl Line {
    /// Opens a way to the provider that the configuration names, and has the configuration take it.
    ///
    /// # Errors
    ///
    /// The provider's settings cannot be used; a recording that the scenario names cannot be read.
    pub async fn open(
        live: Live,
        config: &mut Config,
        scenario: &Scenario,
        file: Option<&Path>,
        speed: f64,
    ) -> Result<Line, Failure> {
        let connector = Connector::new(&config.openai, Deadlines::default())
            .map_err(|error| Failure::Misfit(error.into()))?;
        let sounds = if live.audio { sounds(scenario, file)? } else { BTreeMap::new() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the relay cannot listen")?;
        config.openai.realtime_url = format!("ws://{}/realtime", listener.local_addr()?);
        config.openai.api_key = Secret::new(NO_KEY);
        let relay = Arc::new(relay::Relay::new(connector, sounds, speed));
        let stopping = CancellationToken::new();
        tokio::spawn(relay::serve(Arc::clone(&relay), listener, stopping.clone()));
        Ok(Line { relay, _stop: stopping.drop_guard() })
    }

    /// Whoever the simulated carrier connects the caller with.
    pub fn peer(&self) -> Arc<dyn SipPeer> {
        Arc::clone(&self.relay) as Arc<dyn SipPeer>
    }

    /// What is known when the call is over.
    ///
    /// # Errors
    ///
    /// The provider could not be reached.
    pub fn report(&self) -> Result<Report, Failure> {
        let report = std::mem::take(&mut *lock(&self.relay.report));
        match report.unreachable {
            Some(why) => Err(Failure::Unavailable(anyhow!("the provider cannot be reached: {why}"))),
            None => Ok(report),
        }
    }
}

/// The recordings that a scenario names, by the name it gives them.
fn sounds(scenario: &Scenario, file: Option<&Path>) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let named = scenario.steps.iter().filter_map(|step| match step {
        Step::Caller(speech) => speech.audio.as_deref(),
        _ => None,
    });
    let mut sounds = BTreeMap::new();
    for name in named {
        let path: PathBuf = beside(file, name);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let samples = wave::read(&bytes).map_err(|why| anyhow!("{}: {why}", path.display()))?;
        if samples.is_empty() {
            return Err(anyhow!("{}: there is no sound in it", path.display()).into());
        }
        sounds.insert(name.to_owned(), samples.into_iter().map(g711::encode).collect());
    }
    Ok(sounds)
}

/// Nothing panics while it holds these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
