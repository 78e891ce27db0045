//! `switchboard load`: many simulated calls at once against `serve`, in a process of its own.
//!
//! The simulated vendors live here, the gateway in a child process of the same binary, so that what is
//! measured is the gateway. A caller begins when another ends, `--concurrency` at a time. Times are
//! those of the gateway's own records (webhook → accept) and of the vendors (tool event → output).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::Failure;
use crate::call::record::CallRecord;
use crate::clock::{Clock, SystemClock};
use crate::http::{OPENAI_WEBHOOK, Page};
use crate::sim::log::WorldLog;
use crate::sim::openai::CallReport;
use crate::sim::scenario::Scenario;
use crate::sim::world::{ConnectedWorld, Options, World};

const SCENARIO: &str = include_str!("../../examples/scenarios/japanese-customer-lookup.toml");
/// How fast simulated time may pass.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0..=300.0;
/// How long the child may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

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
    let scenario = Scenario::parse(SCENARIO, "japanese-customer-lookup.toml")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = WorldLog::quiet(Arc::clone(&clock));
    let world = World::start(Options::new(clock, log, arguments.speed)).await?;
    let scratch = std::env::temp_dir().join(format!("switchboard-load-{}", std::process::id()));
    let data = arguments.data.clone().unwrap_or_else(|| scratch.clone());
    let mut gateway = Serve::start(&world, &data).await?;
    let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
    // What the start costs (plugins are compiled then) is no cost of calls.
    let cpu_at_start = gateway.cpu_seconds();
    let began = Instant::now();
    play_all(Arc::new(world.clone()), &scenario, &arguments).await;
    let took = began.elapsed();
    let tally = tally(&world.openai.calls(), arguments.calls);
    let records = gateway.records(arguments.calls).await?;
    let cpu = gateway.cpu_seconds().zip(cpu_at_start).map(|(now, then)| now - then);
    gateway.stop().await?;
    if arguments.data.is_none() {
        let _ = std::fs::remove_dir_all(&scratch);
    }
    report(&arguments, took, cpu, tally, &records)
}

async fn play_all(world: Arc<ConnectedWorld>, scenario: &Scenario, arguments: &Arguments) {
    let next = Arc::new(AtomicU32::new(0));
    let callers = (0..arguments.concurrency).map(|_| {
        let (world, next) = (Arc::clone(&world), Arc::clone(&next));
        let (setup, calls) = (scenario.caller_setup(), arguments.calls);
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                world.play(setup.clone()).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        let _ = caller.await;
    }
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

/// `switchboard serve` in a process of its own.
struct Serve {
    child: Child,
    public: String,
    admin: String,
    token: String,
}

impl Serve {
    async fn start(world: &World, data: &Path) -> anyhow::Result<Serve> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut command = Command::new(program);
        command.arg("serve").envs(world.environment());
        command.env("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:0");
        command.env("SWITCHBOARD__SERVER__MAX_CALLS", "100000");
        command.env("SWITCHBOARD__ADMIN__LISTEN", "127.0.0.1:0");
        command.env("SWITCHBOARD__STORE__PATH", data);
        command.env("SWITCHBOARD__TELEMETRY__LOG__LEVEL", "info");
        command.env("SWITCHBOARD__TELEMETRY__LOG__FORMAT", "json");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("`serve` cannot be started")?;
        let stderr = child.stderr.take().context("`serve` has no log")?;
        let mut lines = BufReader::new(stderr).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else {
                    eprintln!("{line}");
                    continue;
                };
                if line["message"] == "ready" {
                    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                    return Ok((text("public"), text("admin")));
                }
            }
            bail!("`serve` ended before it was ready")
        };
        let (public, admin) =
            tokio::time::timeout(READY_WITHIN, ready).await.context("`serve` is not ready")??;
        // The log must be read, or the child would wait for somebody to.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let token = std::fs::read_to_string(data.join(crate::gateway::ADMIN_TOKEN_FILE))?.trim().to_owned();
        Ok(Serve { child, public, admin, token })
    }

    /// The newest records, once that many are closed.
    async fn records(&self, count: u32) -> anyhow::Result<Vec<CallRecord>> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        for _ in 0..100 {
            let mut records: Vec<CallRecord> = Vec::new();
            let mut after = String::new();
            while records.len() < count as usize {
                let url = format!("http://{}/api/v1/calls?limit=200{after}", self.admin);
                let page: Page =
                    client.get(url).bearer_auth(&self.token).send().await?.error_for_status()?.json().await?;
                records.extend(page.calls);
                match page.next {
                    Some(next) => after = format!("&after={next}"),
                    None => break,
                }
            }
            records.truncate(count as usize);
            if records.iter().all(|record| record.ended.is_some()) {
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("not all calls were closed")
    }

    /// CPU time of the child so far, user and system (proc(5), fields 14 and 15 of `stat`).
    fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()?)).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        // Linux reports in hundredths of a second to every program.
        Some(ticks / 100.0)
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && let Some(id) = rustix::process::Pid::from_raw(id)
        {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        tokio::time::timeout(Duration::from_secs(30), self.child.wait())
            .await
            .context("`serve` does not stop")??;
        Ok(())
    }
}
