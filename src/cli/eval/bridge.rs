//! `--over bridge`: a whole gateway answers a simulated carrier's calls, each of which is one utterance over a media
//! stream; what was written down is what the gateway keeps of the call.
//!
//! The gateway is the product's own, with the session that is measured and nothing else; the carrier is simulated also
//! where the provider is not. Calls are never faster than life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::{Instant, sleep, timeout};

use super::connect::NO_CONFIGURATION;
use super::play::Heard;
use super::settings::Prepared;
use crate::call::event::Command;
use crate::call::record::{CallDetail, CallRecord, Line, LineStatus, Speaker, State};
use crate::cli::scratch::Scratch;
use crate::cli::stage::{ANY_PORT, at_ease, places};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{self, Environment};
use crate::gateway::Gateway;
use crate::http::{OPENAI_WEBHOOK, detail};
use crate::openai;
use crate::routing::Rollout;
use crate::session::Session;
use crate::sim::log::WorldLog;
use crate::sim::script::Script;
use crate::sim::twilio::{CallerSetup, TwilioSim};
use crate::sim::world::{ConnectedWorld, Options, World};
use crate::store::{By, CallQuery};
use crate::text::chain;
use crate::wire::g711;

/// The session of [`NO_CONFIGURATION`], in whose place the measured one stands.
const SESSION: &str = "default";
/// The number that is called.
const CALLEE: &str = "+815012345678";
/// How often it is looked what is kept of a call.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// So long after the sound and the last word a call has no more to say.
const QUIET: Duration = Duration::from_millis(1_500);
/// So long after the sound nobody was noticed to speak: nobody will be.
const NOBODY: Duration = Duration::from_secs(10);
/// Beyond the sound, the longest that a call takes.
const CALL_WITHIN: Duration = Duration::from_secs(40);

/// A gateway and its carrier.
pub(super) struct Bridge {
    gateway: Gateway,
    world: ConnectedWorld,
    _scratch: Scratch,
    calls: AtomicU32,
}

impl Bridge {
    /// Starts a gateway for one setting.
    pub async fn start(provider: &openai::Settings, prepared: &Prepared) -> anyhow::Result<Bridge> {
        if prepared.commits {
            return Err(anyhow!(
                "session `{}` has no turn detection, and a gateway commits nothing: measure it without `--over bridge`",
                prepared.setting.session
            ));
        }
        let scratch = Scratch::new().context("a temporary folder cannot be made")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = WorldLog::quiet(Arc::clone(&clock));
        let world = World::start(Options::new(Arc::clone(&clock), log, 1.0)).await;
        let world = world.context("the simulated carrier cannot listen")?;
        let alone: Environment = [("SWITCHBOARD__FEATURES__FAILOVER", "false")].into_iter().collect();
        let of_world: Environment = world.environment().into_iter().collect();
        let environment = places(ANY_PORT, &scratch.path().join("data")).or(alone).or(of_world);
        let config = config::parse("gateway.toml", NO_CONFIGURATION.as_bytes(), scratch.path(), &environment);
        let mut config = config.map_err(|problems| anyhow!(problems.render(false)))?;
        config.features.openai_sip = Rollout::from(false);
        config.openai = provider.clone();
        let session = Session { name: SESSION.to_owned(), ..prepared.session.clone() };
        config.sessions.insert(SESSION.to_owned(), Arc::new(session));
        at_ease(&mut config);
        let gateway = Gateway::start(config, clock, Entropy::System).await?;
        let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
        Ok(Bridge { gateway, world, _scratch: scratch, calls: AtomicU32::new(0) })
    }

    /// Calls, says the sound, and gives what is kept of it.
    ///
    /// # Errors
    ///
    /// Why it could not be measured.
    pub async fn play(&self, sound: &[u8]) -> Result<Heard, String> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let from = format!("+8190{:08}", number % 100_000_000);
        let length = g711::duration(sound.len() as u64);
        let caller = CallerSetup {
            time_limit: length + CALL_WITHIN,
            ..CallerSetup::new(&from, CALLEE, Script::default())
        };
        let carrier: TwilioSim = self.world.twilio.clone();
        let voice = sound.to_vec();
        let calling = Box::pin(carrier.call_saying(caller, voice));
        let watching = timeout(length + CALL_WITHIN, self.until_said(&from, length));
        let (report, said) = tokio::join!(calling, watching);
        if let Some(problem) = report.problems.first() {
            return Err(format!("the carrier complains: {problem}"));
        }
        said.map_err(|_| "the words were not kept in time".to_owned())??;
        let kept = self.closed(&from).await?;
        Ok(heard(&kept))
    }

    pub async fn stop(self) {
        self.gateway.stop().await;
    }

    /// Waits until the words are kept, and hangs up.
    async fn until_said(&self, from: &str, length: Duration) -> Result<(), String> {
        let (mut attached, mut changed, mut known) = (None, Instant::now(), Vec::new());
        loop {
            sleep(LOOK_EVERY).await;
            let Some(call) = self.call(from).await? else { continue };
            if call.state == State::Ended {
                return Ok(());
            }
            let up = *match call.stages.attached {
                Some(_) => attached.get_or_insert_with(Instant::now),
                None => continue,
            };
            let lines = lines(&self.detail(&call).await?);
            if lines != known {
                (changed, known) = (Instant::now(), lines);
            }
            let since_sound = Instant::now().saturating_duration_since(up + length);
            let is_whole =
                known.iter().all(|(_, status)| *status != LineStatus::Partial) && !known.is_empty();
            if (is_whole && since_sound.min(changed.elapsed()) >= QUIET) || since_sound >= NOBODY {
                let hung_up = self.gateway.control().command(call.id, Command::HangUp).await;
                return hung_up.map_err(|error| chain(&error));
            }
        }
    }

    /// The call once it is over.
    async fn closed(&self, from: &str) -> Result<CallDetail, String> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(call) = self.call(from).await?
                && call.ended.is_some()
            {
                return self.detail(&call).await;
            }
            if Instant::now() >= until {
                return Err("the gateway did not close the call".to_owned());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn call(&self, from: &str) -> Result<Option<CallRecord>, String> {
        let query = CallQuery { by: By::Number(from.to_owned()), ..CallQuery::default() };
        let page = self.gateway.control().store().calls(query, None, 1).await;
        Ok(page.map_err(|error| chain(&error))?.items.into_iter().next())
    }

    async fn detail(&self, call: &CallRecord) -> Result<CallDetail, String> {
        let kept = detail(self.gateway.control().store(), call.id).await.map_err(|error| chain(&error))?;
        kept.ok_or_else(|| "the call was not kept".to_owned())
    }
}

fn caller_lines(kept: &CallDetail) -> impl Iterator<Item = &Line> {
    kept.lines.iter().filter(|line| line.speaker == Speaker::Caller)
}

fn lines(kept: &CallDetail) -> Vec<(String, LineStatus)> {
    caller_lines(kept).map(|line| (line.text.clone(), line.status)).collect()
}

fn heard(kept: &CallDetail) -> Heard {
    let words: Vec<&str> = caller_lines(kept).map(|line| line.text.as_str()).collect();
    let mut notes = Vec::new();
    if words.is_empty() {
        notes.push("the provider noticed nobody who speaks".to_owned());
    }
    for (status, note) in [
        (LineStatus::Untranscribed, "the provider could not write it down"),
        (LineStatus::Partial, "the rest of the words never came"),
    ] {
        if caller_lines(kept).any(|line| line.status == status) {
            notes.push(note.to_owned());
        }
    }
    if kept.lines.iter().any(|line| line.speaker == Speaker::Assistant) {
        notes.push("the model answered, although the session says that it shall not".to_owned());
    }
    Heard { words: words.join(" ").trim().to_owned(), notes }
}
