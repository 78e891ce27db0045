//! Many bridged calls at once, each with fifty frames of audio a second each way: how late frames are
//! forwarded, whether any is lost, and what a call costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::super::Failure;
use super::serve::Serve;
use super::vendors::{self, End, Shared, Way};
use crate::http::OPENAI_WEBHOOK;

/// Between the beginnings of two calls: no more than a hundred a second.
const RAMP: Duration = Duration::from_millis(10);
/// How long all calls may take to be up, beyond the ramp.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// Between the last call that came up and the first frame that counts.
const SETTLE: Duration = Duration::from_secs(2);
/// How long frames may be on their way before they count as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// How long the end of all calls may take.
const OVER_WITHIN: Duration = Duration::from_secs(60);
/// What the budget allows 99 frames of a hundred.
const LATE: Duration = Duration::from_millis(20);

/// What the gateway used while frames counted.
struct Used {
    cpu: Option<f64>,
    resident_kib: Option<u64>,
}

/// What came of the calls.
struct Outcome {
    to_model: Way,
    to_caller: Way,
    failures: Vec<String>,
}

pub(super) async fn run(calls: u32, span: Duration, data: &Path) -> Result<(), Failure> {
    let world = super::world(1.0).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut environment = world.environment();
    let realtime = format!("ws://{}/v1/realtime", listener.local_addr()?);
    environment.push(("SWITCHBOARD__OPENAI__REALTIME_URL".to_owned(), realtime));
    environment.push(("SWITCHBOARD__FEATURES__OPENAI_SIP".to_owned(), "false".to_owned()));
    let mut gateway = Serve::start(environment, data).await?;
    let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
    let empty_kib = gateway.resident_kib();

    let shared = Arc::new(Shared::new());
    let (done, mut sessions) = mpsc::unbounded_channel();
    let provider = tokio::spawn(vendors::serve(Arc::clone(&shared), listener, done));
    let mut callers = JoinSet::new();
    for _ in 0..calls {
        callers.spawn(vendors::call(Arc::clone(&shared), world.twilio.clone(), gateway.public.clone()));
        sleep(RAMP).await;
    }
    await_all(&shared, &mut callers, calls).await?;
    sleep(SETTLE).await;
    let mut used = measure(&shared, &gateway, span).await;
    used.resident_kib = used.resident_kib.zip(empty_kib).map(|(now, then)| now.saturating_sub(then));
    shared.silent.cancel();
    sleep(LOST_AFTER).await;
    shared.over.cancel();
    let outcome = timeout(OVER_WITHIN, gather(&mut callers, &mut sessions, calls)).await;
    provider.abort();
    let mut outcome = outcome.context("the calls do not end")?;
    for record in gateway.records(calls).await? {
        if !(record.heard.caller && record.heard.assistant) {
            outcome.failures.push(format!("{}: not both sides were heard", record.id));
        }
    }
    gateway.stop().await?;
    report(calls, span, &used, outcome)
}

/// Waits until every call hears and is heard.
async fn await_all(
    shared: &Shared,
    callers: &mut JoinSet<anyhow::Result<End>>,
    calls: u32,
) -> anyhow::Result<()> {
    let limit = Instant::now() + UP_WITHIN;
    while shared.heard.load(Ordering::Relaxed) < calls * 2 {
        if let Some(ended) = callers.try_join_next() {
            ended??;
        }
        if Instant::now() >= limit {
            bail!("{} of {} directions are heard", shared.heard.load(Ordering::Relaxed), calls * 2);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn measure(shared: &Shared, gateway: &Serve, span: Duration) -> Used {
    shared.count_for(span);
    sleep(vendors::LEAD).await;
    let before = gateway.cpu_seconds();
    sleep(span).await;
    let cpu = gateway.cpu_seconds().zip(before).map(|(now, then)| now - then);
    Used { cpu, resident_kib: gateway.resident_kib() }
}

async fn gather(
    callers: &mut JoinSet<anyhow::Result<End>>,
    sessions: &mut mpsc::UnboundedReceiver<anyhow::Result<End>>,
    calls: u32,
) -> Outcome {
    let mut outcome = Outcome { to_model: Way::default(), to_caller: Way::default(), failures: Vec::new() };
    while let Some(ended) = callers.join_next().await {
        match ended.map_err(anyhow::Error::from).flatten() {
            Ok(end) => {
                outcome.to_model.sent += end.sent;
                outcome.to_caller.merge(&end.received);
            }
            Err(error) => outcome.failures.push(format!("a caller: {error:#}")),
        }
    }
    for _ in 0..calls {
        match sessions.recv().await {
            Some(Ok(end)) => {
                outcome.to_caller.sent += end.sent;
                outcome.to_model.merge(&end.received);
            }
            Some(Err(error)) => outcome.failures.push(format!("a session: {error:#}")),
            None => break,
        }
    }
    outcome
}

fn report(calls: u32, span: Duration, used: &Used, mut outcome: Outcome) -> Result<(), Failure> {
    let (seconds, count) = (span.as_secs_f64(), f64::from(calls));
    println!("calls      {calls} at once, 50 frames/s each way, measured for {seconds:.0} s");
    if let Some(cpu) = used.cpu {
        let share = cpu / seconds * 100.0;
        println!("gateway    {cpu:.2} CPU-s: {share:.1} % of a core, {:.3} % a call", share / count);
    }
    if let Some(kib) = used.resident_kib {
        println!("memory     {kib} KiB more than without calls, {:.1} KiB a call", kib as f64 / count);
    }
    println!(
        "                   frames     lost  disordered  > {} ms       p50        p99      p99.9        max",
        LATE.as_millis()
    );
    for (name, way) in [("caller → model", &outcome.to_model), ("model → caller", &outcome.to_caller)] {
        let (sent, received) = (way.sent, way.delays.count());
        let lost = sent.abs_diff(received);
        let at = |share: f64| format!("{:>7.2} ms", way.delays.quantile(share).as_secs_f64() * 1_000.0);
        println!(
            "{name}   {sent:>8} {lost:>8} {:>11} {:>8}{} {} {} {}",
            way.disordered,
            way.delays.beyond(LATE),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        if lost > 0 || way.disordered > 0 || sent == 0 {
            let words =
                format!("{name}: {sent} frames sent, {received} received, {} disordered", way.disordered);
            outcome.failures.push(words);
        }
    }
    if outcome.failures.is_empty() {
        println!("every frame arrived, in order; every call heard and was heard");
        return Ok(());
    }
    outcome.failures.iter().take(10).for_each(|failure| eprintln!("{failure}"));
    Err(anyhow!("{} failures", outcome.failures.len()).into())
}
