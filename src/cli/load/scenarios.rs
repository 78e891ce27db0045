//! Scenarios in turns, by weight, with the full simulators: they check every rule of the vendors, and cost more
//! than the gateway does. For figures of a gateway alone play lean calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Failure;
use super::args::{Arguments, Way};
use super::figures::{Book, Metric, Seen, Summary, What, Wrong, wrong};
use super::pace;
use super::target::Target;
use super::watch::Watch;
use crate::clock::{Clock, SystemClock};
use crate::http::OPENAI_WEBHOOK;
use crate::sim::log::WorldLog;
use crate::sim::openai::CallReport;
use crate::sim::scenario::Scenario;
use crate::sim::twilio::CallerSetup;
use crate::sim::world::{ConnectedWorld, Options, Played, World};

/// Vendors without trouble, who write nothing down.
pub(super) async fn world(speed: f64) -> std::io::Result<World> {
    World::start(options(speed)).await
}

fn options(speed: f64) -> Options {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log = WorldLog::quiet(Arc::clone(&clock));
    Options::new(clock, log, speed)
}

/// Plays them against a gateway of their own.
pub(super) async fn run(arguments: &Arguments, data: &Path) -> Result<Summary, Failure> {
    let mix = Mix::new(arguments.scenarios()?);
    let mut options = options(arguments.speed);
    options.backend = mix.scenarios.iter().flat_map(|scenario| scenario.backend.clone()).collect();
    if let [scenario] = mix.scenarios.as_slice() {
        options.provider_faults = scenario.provider_faults.clone();
    }
    let world = World::start(options).await?;
    let mut environment = world.environment();
    environment.push(("SWITCHBOARD__SERVER__MAX_CALLS".to_owned(), "100000".to_owned()));
    if arguments.path == Way::MediaStreams {
        environment.push(("SWITCHBOARD__FEATURES__OPENAI_SIP".to_owned(), "false".to_owned()));
    }
    let mut target = Target::reach(arguments, environment, data).await?;
    let world = world.connect(&target.url, OPENAI_WEBHOOK)?;
    let (book, model) = (Arc::new(Book::new()), arguments.model());
    let watch = Watch::start(&book, target.watched.clone(), !model.has_timetable());
    let (mix, noted) = (Arc::new(mix), Arc::clone(&book));
    pace::drive(model, &book, move |number, due| {
        let (world, book, setup) = (world.clone(), Arc::clone(&noted), mix.setup(number));
        async move { play(&world, &book, setup, due).await }
    })
    .await;
    let (took, used, generator) = watch.stop(&book, model.expected());
    target.stop().await?;
    let command = arguments.in_words();
    Ok(book.summary(What { command, took, target: used, generator, held: None, audio: None }))
}

/// Which scenario the call of a number plays.
struct Mix {
    scenarios: Vec<Scenario>,
    /// Which of them, over and over: as often as its weight says, evenly spread.
    turns: Vec<usize>,
}

impl Mix {
    fn new(weighted: Vec<(Scenario, u32)>) -> Mix {
        let weights: Vec<u32> = weighted.iter().map(|(_, weight)| *weight).collect();
        let scenarios = weighted.into_iter().map(|(scenario, _)| scenario).collect();
        Mix { scenarios, turns: turns(&weights) }
    }

    fn setup(&self, number: u64) -> CallerSetup {
        let turn = usize::try_from(number).unwrap_or_default() % self.turns.len();
        self.scenarios[self.turns[turn]].caller_setup()
    }
}

/// Smooth weighted round robin: whoever is furthest behind what is due to it is next.
fn turns(weights: &[u32]) -> Vec<usize> {
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let mut due = vec![0i64; weights.len()];
    (0..total)
        .map(|_| {
            due.iter_mut().zip(weights).for_each(|(due, weight)| *due += i64::from(*weight));
            let next = (0..due.len()).rev().max_by_key(|turn| due[*turn]).unwrap_or_default();
            due[next] -= total;
            next
        })
        .collect()
}

async fn play(world: &ConnectedWorld, book: &Book, setup: CallerSetup, due: Instant) {
    let (began, limit) = (Instant::now(), setup.time_limit);
    let played = Box::pin(world.play(setup)).await;
    let mut seen = Seen::default();
    seen.add(Metric::Call, began.elapsed());
    seen.add(Metric::CallScheduled, due.elapsed());
    if let Some(report) = &played.provider {
        note(report, began.saturating_duration_since(due), &played, &mut seen);
    }
    book.ends(&seen, judge(&played, limit));
}

/// Times as both vendors took them, of one clock.
fn note(report: &CallReport, lag: Duration, played: &Played, seen: &mut Seen) {
    if let Some((sent, received)) = report.webhook_sent.zip(report.accept_received) {
        seen.add(Metric::Accept, received.since(sent));
        seen.add(Metric::AcceptScheduled, received.since(played.carrier.began) + lag);
    }
    for output in &report.tool_outputs {
        seen.add(Metric::Tool, output.answered.since(output.asked));
    }
}

/// A call must have been accepted once, every tool call answered once, no rule broken.
fn judge(played: &Played, limit: Duration) -> Result<(), Wrong> {
    if let Some(problem) = played.carrier.problems.first() {
        return Err(wrong("carrier_problem", problem.clone()));
    }
    let Some(report) = &played.provider else {
        return Err(wrong("not_offered", format!("{}: no provider was asked", played.carrier.call_sid)));
    };
    let of = |words: String| format!("{}: {words}", report.call_id);
    if let Some(error) = report.protocol_errors.first() {
        return Err(wrong("protocol_error", of(error.clone())));
    }
    if report.attached == 0 || (report.accepted == 0 && report.webhook_sent.is_some()) {
        return Err(wrong("accept_timeout", of("it was not accepted".to_owned())));
    }
    if report.accepted > 1 {
        return Err(wrong("accepted_twice", of(format!("{} accepts", report.accepted))));
    }
    if report.tool_outputs.len() != report.tool_calls as usize {
        let words =
            format!("{} of {} tool calls were answered", report.tool_outputs.len(), report.tool_calls);
        return Err(wrong("no_tool_output", of(words)));
    }
    if !report.script_done {
        return Err(wrong(
            "not_finished",
            of(format!("the script was not over within {} s", limit.as_secs())),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_mixed_evenly_by_weight() {
        assert_eq!(turns(&[1]), [0]);
        assert_eq!(turns(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(turns(&[1, 1, 2]), [2, 0, 1, 2]);
        let many = turns(&[70, 20, 10]);
        let of = |which: usize| many.iter().filter(|turn| **turn == which).count();
        assert_eq!((many.len(), of(0), of(1), of(2)), (100, 70, 20, 10));
    }
}
