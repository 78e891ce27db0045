//! Many bridged calls at once, each with fifty frames of audio a second each way: how late frames are
//! forwarded, whether any is lost, and what a call costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::super::{Failure, progress};
use super::args::Arguments;
use super::figures::{Audio, AudioWay, Book, Metric, Seen, Summary, What, Wrong, wrong};
use super::target::Target;
use super::vendors::{self, End, Mouths, Shared, Way};
use super::watch::Watch;
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

/// What came of the calls.
struct Outcome {
    to_model: Way,
    to_caller: Way,
    failures: Vec<Wrong>,
}

/// What the gateway used while frames counted.
struct Used {
    cpu: Option<f64>,
    resident_kib: Option<u64>,
}

pub(super) async fn run(arguments: &Arguments, calls: u32, data: &Path) -> Result<Summary, Failure> {
    let span = Duration::from_secs(arguments.seconds);
    let world = super::scenarios::world(1.0).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut environment = world.environment();
    let realtime = format!("ws://{}/v1/realtime", listener.local_addr()?);
    environment.push(("SWITCHBOARD__OPENAI__REALTIME_URL".to_owned(), realtime));
    environment.push(("SWITCHBOARD__FEATURES__OPENAI_SIP".to_owned(), "false".to_owned()));
    let mut target = Target::reach(arguments, environment, data).await?;
    let world = world.connect(&target.url, OPENAI_WEBHOOK)?;
    let book = Arc::new(Book::new());
    let watch = Watch::start(&book, target.watched.clone(), true);

    let shared = Arc::new(Shared::new());
    let (done, mut sessions) = mpsc::unbounded_channel();
    let mouths = Arc::new(Mouths::new(&shared));
    let provider = tokio::spawn(vendors::serve(Arc::clone(&shared), Arc::clone(&mouths), listener, done));
    let mut callers = JoinSet::new();
    let address = target.url.trim_start_matches("http://").to_owned();
    let bar = progress::counting(calls.into(), "calls");
    for _ in 0..calls {
        book.begins(None);
        let (shared, mouths) = (Arc::clone(&shared), Arc::clone(&mouths));
        callers.spawn(vendors::call(shared, mouths, world.twilio.clone(), address.clone()));
        bar.inc(1);
        sleep(RAMP).await;
    }
    bar.finish_and_clear();
    await_all(&shared, &mut callers, calls).await?;
    let working = progress::working("audio is measured");
    sleep(SETTLE).await;
    let used = measure(&shared, &watch, span).await;
    working.finish_and_clear();
    let (took, target_used, generator) = watch.stop(&book, calls.into());
    shared.silent.cancel();
    sleep(LOST_AFTER).await;
    shared.over.cancel();
    let outcome = timeout(OVER_WITHIN, gather(&mut callers, &provider, &mut sessions)).await;
    let mut outcome = outcome.context("the calls do not end")?;
    if let Some(own) = target.own() {
        for record in own.records(calls).await? {
            if !(record.heard.caller && record.heard.assistant) {
                let words = format!("{}: not both sides were heard", record.id);
                outcome.failures.push(wrong("one_way", words));
            }
        }
    }
    target.stop().await?;
    let audio = audio(calls, span, &used, &mut outcome, &book);
    let failed = outcome.failures.len().min(calls as usize);
    outcome.failures.truncate(failed);
    for failure in outcome.failures {
        book.ends(&Seen::default(), Err(failure));
    }
    (failed..calls as usize).for_each(|_| book.ends(&Seen::default(), Ok(())));
    let command = arguments.in_words();
    Ok(book.summary(What { command, took, target: target_used, generator, held: None, audio: Some(audio) }))
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

async fn measure(shared: &Shared, watch: &Watch, span: Duration) -> Used {
    shared.count_for(span);
    sleep(vendors::LEAD).await;
    let then = watch.target_now();
    sleep(span).await;
    let now = watch.target_now();
    let cpu = then.zip(now).map(|(then, now)| now.cpu_seconds - then.cpu_seconds);
    let more = watch.target_before().zip(now).map(|(then, now)| now.rss_kib.saturating_sub(then.rss_kib));
    Used { cpu, resident_kib: more }
}

async fn gather(
    callers: &mut JoinSet<anyhow::Result<End>>,
    provider: &JoinHandle<()>,
    sessions: &mut mpsc::UnboundedReceiver<anyhow::Result<End>>,
) -> Outcome {
    let mut outcome = Outcome { to_model: Way::default(), to_caller: Way::default(), failures: Vec::new() };
    while let Some(ended) = callers.join_next().await {
        match ended.map_err(anyhow::Error::from).flatten() {
            Ok(end) => {
                outcome.to_model.sent += end.sent;
                outcome.to_caller.merge(&end.received);
            }
            Err(error) => outcome.failures.push(wrong("caller", format!("{error:#}"))),
        }
    }
    // A gateway may open a second session for a call; all that there are, and no more.
    provider.abort();
    while let Some(ended) = sessions.recv().await {
        match ended {
            Ok(end) => {
                outcome.to_caller.sent += end.sent;
                outcome.to_model.merge(&end.received);
            }
            Err(error) => outcome.failures.push(wrong("session", format!("{error:#}"))),
        }
    }
    outcome
}

/// What is told of the audio; a direction that is not whole has failed.
fn audio(calls: u32, span: Duration, used: &Used, outcome: &mut Outcome, book: &Book) -> Audio {
    let mut ways = Vec::new();
    for (metric, way) in [(Metric::ToModel, &outcome.to_model), (Metric::ToCaller, &outcome.to_caller)] {
        let (sent, received) = (way.sent, way.delays.len());
        let lost = sent.abs_diff(received);
        if lost > 0 || way.disordered > 0 || sent == 0 {
            let words = format!(
                "{}: {sent} frames sent, {received} received, {} disordered",
                metric.meaning(),
                way.disordered
            );
            outcome.failures.push(wrong("audio", words));
        }
        let late = u64::try_from(LATE.as_micros()).unwrap_or(u64::MAX);
        let late = way.delays.count_between(late + 1, u64::MAX);
        ways.push(AudioWay { metric: metric.name(), sent, lost, disordered: way.disordered, late });
        book.add_all(metric, &way.delays);
    }
    let count = f64::from(calls);
    Audio {
        calls,
        seconds: span.as_secs_f64(),
        rss_kib_per_call: used.resident_kib.map(|kib| kib as f64 / count),
        core_percent_per_call: used.cpu.map(|cpu| 100.0 * cpu / span.as_secs_f64() / count),
        ways,
    }
}
