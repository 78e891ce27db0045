//! Lean calls: vendors made for load, against a gateway of their own or one that runs already.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::Failure;
use super::args::Arguments;
use super::call::{self, HangUp, Hold, Lean};
use super::carrier::Carrier;
use super::figures::{Book, Held, Summary, What, wrong};
use super::pace::{self, Model};
use super::process::Watched;
use super::provider::{self, Provider};
use super::target::{self, Target};
use super::watch::Watch;
use crate::clock::{Clock as _, SystemClock};
use crate::sim::world::WEBHOOK_SECRET;

/// How long all held calls may take to be up, beyond the ramp.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// From the last call that came up until memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);
/// So many of the newest records of a run are read back.
const RECORDS_MAX: u32 = 2_000;
/// Connections that are kept for the next request.
const IDLE_CONNECTIONS: usize = 256;

/// Makes the calls.
pub(super) async fn run(arguments: &Arguments, data: &Path) -> Result<Summary, Failure> {
    let model = arguments.model();
    let listener = target::listen(arguments).await?;
    let environment = target::environment(listener.local_addr()?.port());
    if arguments.gateway.is_some() {
        eprintln!("the gateway must have been started in this environment (`--print-env` prints it):");
        environment.iter().for_each(|(name, value)| eprintln!("  {name}={value}"));
    }
    let provider = Arc::new(Provider::default());
    let serving = tokio::spawn(provider::serve(Arc::clone(&provider), listener));
    let mut target = Target::reach(arguments, environment, data).await?;
    let book = Arc::new(Book::new());
    let hold = match model {
        Model::Held { ramp, .. } => {
            Some(Hold { up: Arc::new(AtomicU32::new(0)), over: CancellationToken::new(), gap: ramp.gap() })
        }
        _ => None,
    };
    let lean = Arc::new(lean(arguments, &target, &provider, &book, hold.clone())?);
    let watch = Watch::start(&book, target.watched.clone(), !model.has_timetable());
    let own_before = Watched::this().used_alone();
    let played = Arc::clone(&lean);
    let driven = pace::drive(model, &book, move |number, due| {
        let lean = Arc::clone(&played);
        async move { lean.play(number, due).await }
    });
    let held = async {
        match (model, &hold) {
            (Model::Held { calls, span, .. }, Some(hold)) => {
                Some(held(&watch, &book, hold, calls, span, own_before.map_or(0, |used| used.rss_kib)).await)
            }
            _ => None,
        }
    };
    let ((), held) = tokio::join!(driven, held);
    let (took, used, generator) = watch.stop(&book, model.expected());
    if hold.is_none() {
        kept(&target, &lean, &book, model.expected()).await?;
    }
    target.stop().await?;
    serving.abort();
    for what in provider.strange() {
        eprintln!("a request that belongs to no call: {what}");
    }
    let command = arguments.in_words();
    Ok(book.summary(What { command, took, target: used, generator, held, audio: None }))
}

fn lean(
    arguments: &Arguments,
    target: &Target,
    provider: &Arc<Provider>,
    book: &Arc<Book>,
    hold: Option<Hold>,
) -> Result<Lean, Failure> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let now = SystemClock.now().as_micros();
    let carrier = match arguments.no_carrier {
        true => None,
        false => Some(Carrier::new(&target.url, now)?),
    };
    Ok(Lean {
        provider: Arc::clone(provider),
        carrier,
        webhook_url: format!("{}{}", target.url, arguments.webhook_path),
        http,
        key: call::key(WEBHOOK_SECRET),
        script: arguments.script(),
        book: Arc::clone(book),
        run: format!("{now:x}"),
        hold,
    })
}

/// Waits until all are up, holds them, and lets them end. What each costs is what is more than before.
async fn held(watch: &Watch, book: &Book, hold: &Hold, calls: u32, span: Duration, own_kib: u64) -> Held {
    let began = Instant::now();
    let limit = began + hold.gap.mul_f64(f64::from(calls)) + UP_WITHIN;
    // A call that went wrong is not up, and is not waited for.
    let up = || hold.up.load(Ordering::Relaxed);
    while up() < calls && Instant::now() < limit {
        if book.live() == 0 && began.elapsed() > hold.gap.mul_f64(f64::from(calls)) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let ramp_seconds = began.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let (before, then) = (watch.target_before(), watch.target_now());
    sleep(span).await;
    let (now, up, own) = (watch.target_now(), book.live(), Watched::this().used_alone());
    let each = |kib: u64| kib as f64 / f64::from(up.max(1));
    let held = Held {
        calls: up,
        ramp_seconds,
        seconds: span.as_secs_f64(),
        rss_kib_per_call: before
            .zip(now)
            .map(|(before, now)| each(now.rss_kib.saturating_sub(before.rss_kib))),
        cores: then
            .zip(now)
            .map(|(then, now)| (now.cpu_seconds - then.cpu_seconds) / span.as_secs_f64().max(f64::EPSILON)),
        generator_rss_kib_per_call: own.map(|own| each(own.rss_kib.saturating_sub(own_kib))),
    };
    hold.over.cancel();
    held
}

/// Reads back what our own gateway kept: every call closed, with every line.
async fn kept(target: &Target, lean: &Lean, book: &Book, calls: u64) -> Result<(), Failure> {
    let Some(own) = target.own() else { return Ok(()) };
    let failed = book.failed();
    let count = u32::try_from(calls).unwrap_or(RECORDS_MAX).min(RECORDS_MAX);
    let records = match own.records(count).await {
        Ok(records) => records,
        Err(error) => {
            book.fails(wrong("not_closed", format!("{error:#}")));
            return Ok(());
        }
    };
    let said = match lean.script.hang_up {
        HangUp::Model => 2,
        HangUp::Caller => 0,
    };
    let lines = 1 + 2 * lean.script.turns + said;
    let incomplete: Vec<_> = records.iter().filter(|record| record.counts.lines != lines).collect();
    // Calls that went wrong are counted already.
    for record in incomplete.iter().skip(usize::try_from(failed).unwrap_or_default()) {
        let words = format!("{}: {} of {lines} lines are kept", record.id, record.counts.lines);
        book.fails(wrong("transcript_incomplete", words));
    }
    Ok(())
}
