//! `switchboard load`: many simulated calls at once against `serve`, in a process of its own.
//!
//! The simulated vendors live here, the gateway in a child process of the same binary, so that what is
//! measured is the gateway. A caller begins when another ends, `--concurrency` at a time. Times are
//! those of the gateway's own records (webhook → accept) and of the vendors (tool event → output).
//! With `--streams` calls are bridged instead, and what is measured is their audio ([`bridged`]).

mod bridged;
mod histogram;
pub(super) mod serve;
mod vendors;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use serve::Serve;

use super::{Failure, progress};
use crate::call::record::CallRecord;
use crate::clock::{Clock, SystemClock};
use crate::http::OPENAI_WEBHOOK;
use crate::sim::log::WorldLog;
use crate::sim::openai::CallReport;
use crate::sim::scenario::Scenario;
use crate::sim::world::{ConnectedWorld, Options, World};

const SCENARIO: &str = include_str!("../../examples/scenarios/japanese-customer-lookup.toml");
/// How fast simulated time may pass.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=300.0;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many calls.
    #[arg(long, default_value_t = 500)]
    calls: u32,
    /// How many at once.
    #[arg(long, default_value_t = 50)]
    concurrency: u32,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 200.0, value_parser = speed)]
    speed: f64,
    /// Instead, so many bridged calls at once (at most 10,000), with 50 frames of audio a second each way.
    #[arg(long, value_name = "CALLS", conflicts_with_all = ["calls", "concurrency", "speed"],
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    streams: Option<u32>,
    /// For how many seconds their audio is measured.
    #[arg(long, default_value_t = 20, requires = "streams", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Where the child keeps its calls; by default a folder of its own that is removed.
    #[arg(long)]
    data: Option<PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if SPEEDS.contains(&speed) {
        return Ok(speed);
    }
    let why = "beyond it the simulated carrier's timeouts are shorter than an answer takes";
    Err(format!("from {} to {}: {why}", SPEEDS.start(), SPEEDS.end()))
}

/// What came of all calls.
#[derive(Default)]
struct Tally {
    failures: Vec<String>,
    tool_latencies: Vec<Duration>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let scratch = std::env::temp_dir().join(format!("switchboard-load-{}", std::process::id()));
    let data = arguments.data.clone().unwrap_or_else(|| scratch.clone());
    let ran = match arguments.streams {
        Some(streams) => bridged::run(streams, Duration::from_secs(arguments.seconds), &data).await,
        None => run_scripted(&arguments, &data).await,
    };
    if arguments.data.is_none() {
        let _ = std::fs::remove_dir_all(&scratch);
    }
    ran
}

async fn run_scripted(arguments: &Arguments, data: &std::path::Path) -> Result<(), Failure> {
    let scenario = Scenario::parse(SCENARIO, "japanese-customer-lookup.toml")?;
    let world = world(arguments.speed).await?;
    let mut gateway = Serve::start(world.environment(), data).await?;
    let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
    // What the start costs (plugins are compiled then) is no cost of calls.
    let cpu_at_start = gateway.cpu_seconds();
    let began = Instant::now();
    play_all(Arc::new(world.clone()), &scenario, arguments).await;
    let took = began.elapsed();
    let tally = tally(&world.openai.calls(), arguments.calls);
    let records = gateway.records(arguments.calls).await?;
    let cpu = gateway.cpu_seconds().zip(cpu_at_start).map(|(now, then)| now - then);
    gateway.stop().await?;
    report(arguments, took, cpu, tally, &records)
}

/// Vendors without trouble, who write nothing down.
async fn world(speed: f64) -> std::io::Result<World> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = WorldLog::quiet(Arc::clone(&clock));
    World::start(Options::new(clock, log, speed)).await
}

async fn play_all(world: Arc<ConnectedWorld>, scenario: &Scenario, arguments: &Arguments) {
    let next = Arc::new(AtomicU32::new(0));
    let bar = progress::counting(u64::from(arguments.calls), "calls");
    let callers = (0..arguments.concurrency).map(|_| {
        let (world, next, bar) = (Arc::clone(&world), Arc::clone(&next), bar.clone());
        let (setup, calls) = (scenario.caller_setup(), arguments.calls);
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                world.play(setup.clone()).await;
                bar.inc(1);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        let _ = caller.await;
    }
    bar.finish_and_clear();
}

/// Every call must have been accepted once, every tool call answered once, no rule broken.
fn tally(reports: &[CallReport], calls: u32) -> Tally {
    let mut tally = Tally::default();
    if reports.len() != calls as usize {
        tally.failures.push(format!("{} of {calls} calls reached the provider", reports.len()));
    }
    for report in reports {
        let is_whole = report.accepted == 1
            && report.tool_outputs.len() == report.tool_calls as usize
            && report.protocol_errors.is_empty()
            && report.script_done;
        if !is_whole {
            tally.failures.push(format!(
                "{}: accepted {}, {} of {} tool calls answered, {:?}",
                report.call_id,
                report.accepted,
                report.tool_outputs.len(),
                report.tool_calls,
                report.protocol_errors
            ));
        }
        tally
            .tool_latencies
            .extend(report.tool_outputs.iter().map(|output| output.answered.since(output.asked)));
    }
    tally
}

fn report(
    arguments: &Arguments,
    took: Duration,
    cpu: Option<f64>,
    mut tally: Tally,
    records: &[CallRecord],
) -> Result<(), Failure> {
    for record in records.iter().filter(|record| record.ended.is_none() || record.counts.lines != 6) {
        let words = format!("{}: {} lines, ended {:?}", record.id, record.counts.lines, record.ended);
        tally.failures.push(words);
    }
    if records.len() != arguments.calls as usize {
        tally.failures.push(format!("{} of {} calls are kept", records.len(), arguments.calls));
    }
    let mut accepts: Vec<Duration> =
        records.iter().filter_map(|record| record.stages.webhook_to_accept()).collect();
    let rate = f64::from(arguments.calls) / took.as_secs_f64();
    println!(
        "calls      {} in {:.2} s, {} at once: {rate:.0} calls/s",
        arguments.calls,
        took.as_secs_f64(),
        arguments.concurrency
    );
    if let Some(cpu) = cpu {
        println!(
            "gateway    {cpu:.2} CPU-s, {:.2} per 1,000 calls",
            cpu * 1_000.0 / f64::from(arguments.calls)
        );
    }
    println!("                          p50        p99        max");
    println!("webhook → accept    {}", percentiles(&mut accepts));
    println!("tool event → output {}", percentiles(&mut tally.tool_latencies));
    if tally.failures.is_empty() {
        println!("all accepted once, every tool call answered, every transcript complete");
        return Ok(());
    }
    for failure in tally.failures.iter().take(10) {
        eprintln!("{failure}");
    }
    Err(anyhow!("{} failures", tally.failures.len()).into())
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    };
    format!("{:>7.3} ms {:>7.3} ms {:>7.3} ms", at(0.5), at(0.99), at(1.0))
}
