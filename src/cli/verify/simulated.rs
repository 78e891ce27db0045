//! The world that `verify` puts a gateway into, and what came of its callers there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use reqwest::Client;
use sha2::{Digest as _, Sha256};

use super::sheet::Check;
use crate::call::record::CallDetail;
use crate::cli::Failure;
use crate::cli::failures::{self, Outcome};
use crate::cli::scratch::Scratch;
use crate::cli::source::Source;
use crate::cli::stage::{ANY_PORT, at_ease, is_settled, places, put_plugin};
use crate::clock::{Clock, Entropy, SystemClock, Timestamp};
use crate::config::{self, Environment};
use crate::gateway::Gateway;
use crate::http::{OPENAI_WEBHOOK, TWILIO_VOICE};
use crate::sim::log::WorldLog;
use crate::sim::script::{Script, Step};
use crate::sim::twilio::CallerSetup;
use crate::sim::world::{Options, Played, World};

const CONFIG: &str = include_str!("gateway.toml");
const CALL: &str = include_str!("call.toml");
const CALLER: &str = "+819012345678";
const CALLEE: &str = "+815012345678";
/// What the model thinks longer for where its first word is to be late, in milliseconds.
const THINKS_LONGER_MS: u64 = 2_500;
/// How late speech is told where times are to be wrong, in milliseconds.
const TOLD_LATE_MS: u64 = 400;
/// How long the gateway may take to close all calls and keep their recordings, beyond the calls themselves.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// How many failures are played beside each other: each is a gateway and a world of its own.
const FAILURES_AT_ONCE: usize = 8;
/// How many callers begin within a second: what a carrier would send one box.
const CALLS_PER_SECOND: u32 = 50;

/// What came of the callers.
pub(super) struct Seen {
    /// Each call as the vendors saw it, and as it is kept.
    pub calls: Vec<(Played, Option<CallDetail>)>,
    /// What forged requests were answered.
    pub forged: Vec<Forged>,
    /// Files of recordings that are not what their records say.
    pub damaged: Vec<String>,
}

/// A request that nobody of the vendors sent, and what was answered.
pub(super) struct Forged {
    pub what: &'static str,
    /// The status; none where nobody answered.
    pub status: Result<u16, String>,
}

/// Plays so many calls at once against a gateway of its own; with `broken` the vendors or the configuration are such that
/// this check must fail.
pub(super) async fn play(calls: u32, speed: f64, broken: Option<Check>) -> anyhow::Result<Seen> {
    let scratch = Scratch::new().context("a temporary folder cannot be made")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut options = Options::new(Arc::clone(&clock), WorldLog::quiet(Arc::clone(&clock)), speed);
    // Simulated seconds of a world that runs faster are fewer of this machine's.
    options.pending_ttl = Duration::from_secs(30);
    let faults = &mut options.provider_faults;
    match broken {
        Some(Check::Webhook) => faults.webhook_forged = true,
        Some(Check::Accept) => faults.accept_status = Some(500),
        Some(Check::FirstWord) => faults.thinks_longer_ms = THINKS_LONGER_MS,
        Some(Check::TranscriptTimes) => faults.speech_told_late_ms = TOLD_LATE_MS,
        _ => {}
    }
    let world = World::start(options).await.context("the simulated provider cannot listen")?;
    let config = configuration(&world, scratch.path(), calls, broken)?;
    let files = config.store.path.join("recordings");
    let gateway = Gateway::start(config, clock, Entropy::System).await?;
    let base = format!("http://{}", gateway.public);
    let world = world.connect(&base, OPENAI_WEBHOOK)?;

    let caller = caller(broken)?;
    let playing = (0..calls).map(|n| {
        let (world, caller) = (world.clone(), caller.clone());
        async move {
            tokio::time::sleep(Duration::from_secs(1) * n / CALLS_PER_SECOND).await;
            world.play(caller).await
        }
    });
    let played = join_all(playing).await;
    let kept = settled(&gateway, calls as usize).await?;
    let forged = forge(&base).await?;
    let damaged = damaged(&files, &kept);
    gateway.stop().await;
    let mut kept: Vec<Option<CallDetail>> = kept.into_iter().map(Some).collect();
    let calls = played.into_iter().map(|played| {
        let its = kept.iter_mut().find(|kept| kept.as_ref().is_some_and(|kept| is_of(kept, &played)));
        (played, its.and_then(Option::take))
    });
    Ok(Seen { calls: calls.collect(), forged, damaged })
}

/// Claims that nothing more will come of a call.
fn is_over(kept: &CallDetail) -> bool {
    kept.call.ended.is_some() && is_settled(kept)
}

fn is_of(kept: &CallDetail, played: &Played) -> bool {
    kept.call.carrier.as_ref().is_some_and(|carrier| carrier.call_sid.as_str() == played.carrier.call_sid)
}

fn configuration(
    world: &World,
    scratch: &Path,
    calls: u32,
    broken: Option<Check>,
) -> anyhow::Result<config::Config> {
    put_plugin(scratch)?;
    let room = if broken == Some(Check::Concurrency) { (calls / 2).max(1) } else { calls };
    let room: Environment = [("SWITCHBOARD__SERVER__MAX_CALLS", room.to_string())].into_iter().collect();
    let of_world: Environment = world.environment().into_iter().collect();
    let environment = places(ANY_PORT, &scratch.join("data")).or(room).or(of_world);
    let mut config = config::parse("verify.toml", CONFIG.as_bytes(), scratch, &environment)
        .map_err(|problems| anyhow!(problems.render(false)))?;
    at_ease(&mut config);
    Ok(config)
}

fn caller(broken: Option<Check>) -> anyhow::Result<CallerSetup> {
    let mut script: Script = toml::from_str(CALL)?;
    if broken == Some(Check::Tools) {
        // A tool that nobody offers.
        for step in &mut script.steps {
            if let Step::Model(turn) = step {
                let looks_up = turn.calls.iter_mut().filter(|call| call.name != "hangup");
                looks_up.for_each(|call| call.name.push_str("_of_old"));
            }
        }
    }
    let mut caller = CallerSetup::new(CALLER, CALLEE, script);
    caller.faults.recording.absent = broken == Some(Check::Recordings);
    Ok(caller)
}

/// All calls as they are kept, once they are over and their recordings are kept or given up; what is not so in time is given
/// as it is.
async fn settled(gateway: &Gateway, calls: usize) -> anyhow::Result<Vec<CallDetail>> {
    let source = Source::Store(gateway.control().store().clone());
    let limit = tokio::time::Instant::now() + SETTLED_WITHIN;
    loop {
        let mut kept = Vec::with_capacity(calls);
        for call in source.since(Timestamp::from_millis(0)).await.map_err(Failure::into_error)? {
            kept.extend(source.detail(call.id).await.map_err(Failure::into_error)?);
        }
        let is_settled = kept.len() >= calls && kept.iter().all(is_over);
        if is_settled || tokio::time::Instant::now() >= limit {
            return Ok(kept);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends what somebody might who is none of the vendors: a call that never was.
pub(super) async fn forge(base: &str) -> anyhow::Result<Vec<Forged>> {
    let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
    let now = SystemClock.now().as_secs();
    let event = format!(
        r#"{{"object":"event","id":"evt_forged","type":"realtime.call.incoming","created_at":{now},"data":{{"call_id":"rtc_forged","sip_headers":[]}}}}"#
    );
    let webhook = client
        .post(format!("{base}{OPENAI_WEBHOOK}"))
        .header("content-type", "application/json")
        .header("webhook-id", "wh_forged")
        .header("webhook-timestamp", now.to_string())
        .header("webhook-signature", "v1,Zm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkZm8=")
        .body(event);
    let voice = client
        .post(format!("{base}{TWILIO_VOICE}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", "Zm9yZ2VkZm9yZ2VkZm9yZ2VkZm8=")
        .body("CallSid=CA00000000000000000000000000000bad&From=%2B819012345678&To=%2B815012345678");
    let mut forged = Vec::new();
    for (what, request) in [("a provider's webhook", webhook), ("a carrier's question", voice)] {
        let answer = request.send().await;
        let status = answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string());
        forged.push(Forged { what, status });
    }
    Ok(forged)
}

/// Reads the files of recordings again, and holds them against their records.
fn damaged(folder: &Path, kept: &[CallDetail]) -> Vec<String> {
    let mut damaged = Vec::new();
    let kept = kept.iter().flat_map(|call| &call.recordings).filter(|record| record.is_kept());
    for record in kept {
        let Some(file) = &record.file else { continue };
        let read = std::fs::read(folder.join(file));
        let is_whole = read.as_ref().is_ok_and(|bytes| {
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            Some(digest) == record.sha256 && Some(bytes.len() as u64) == record.bytes
        });
        if !is_whole {
            damaged.push(format!("{}: {file} is not what its record says", record.call));
        }
    }
    damaged
}

/// A failure, and what came of it.
pub(super) type PlayedFailure = (&'static failures::Failure, anyhow::Result<Outcome>);

/// Plays every failure of the way to the model.
pub(super) async fn play_failures(speed: f64, broken: bool) -> Vec<PlayedFailure> {
    let extra = if broken { "[features]\nfailover = false\n" } else { "" };
    let played = stream::iter(failures::ALL).map(async |failure| (failure, failure.play(speed, extra).await));
    played.buffered(FAILURES_AT_ONCE).collect().await
}
