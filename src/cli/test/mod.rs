//! `switchboard test`: scenarios as tests of a configuration and its plugins.
//!
//! Each is one call through a whole gateway of its own, with a data directory of its own ([`super::stage`]): what one
//! leaves behind no other can see, and all of them may run at once. The simulated people are as fast as they can be; the
//! gateway's own timers are not, so a test that fails in a way that time may have a part in is played once more, alone
//! and slowly, and that call counts.

mod find;
mod junit;
mod outcome;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::find::Found;
use self::outcome::{Came, Case, Outcome};
use self::watch::Watch;
use super::init::placeholders;
use super::live::Live;
use super::stage::{Show, Stage, Told, Way, beside};
use super::{Failure, print, report};
use crate::config::{self, Config, Environment, Problems, codes};
use crate::sim::scenario::Scenario;

/// Simulated seconds per second, where nobody says another: people speak a sentence in some fifty milliseconds.
const FAST: f64 = 50.0;
/// The same for a call that is played once more: a tool that takes ten milliseconds then takes forty of the call's.
const CAREFUL: f64 = 4.0;
/// Calls at once at most, whatever the machine has: each is a gateway with a store.
const JOBS_MAX: usize = 64;
/// Where nothing answers: for reading a configuration whose simulated business is not there yet.
const NOBODY: &str = "http://127.0.0.1:1";

#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Scenario files, and folders of them; without any, the `[[tests]]` of the configuration and every scenario under
    /// `tests` and `scenarios` beside it.
    #[arg(value_name = "FILE|FOLDER")]
    places: Vec<PathBuf>,
    /// Only tests with this in their name or their file's.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Begin no other test once one has failed.
    #[arg(long)]
    fail_fast: bool,
    /// Run again whenever a scenario, the configuration or a plugin changes.
    #[arg(long)]
    watch: bool,
    /// How the result is written to standard output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the result as JUnit XML, too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How many calls at once; as many as the machine has cores, where nothing is said.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=JOBS_MAX as i64))]
    jobs: Option<u16>,
    /// Simulated seconds per second, for all of them; a test that fails is then not played again.
    #[arg(long, value_parser = speed)]
    speed: Option<f64>,
    /// Play every call over this path, not over its own: what people hear and see of a conversation is the same on each.
    #[arg(long, conflicts_with = "live")]
    path: Option<Way>,
    /// Put the caller's words to the provider that the configuration names, with its key. It costs what it costs.
    #[arg(long)]
    live: bool,
    /// With `--live`: send recordings where scenarios name them, in place of the words.
    #[arg(long, requires = "live")]
    audio: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each test, then what failed.
    Text,
    /// One JSON object.
    Json,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.01..=10_000.0).contains(&speed) => Ok(speed),
        _ => Err("write a number from 0.01 to 10000".to_owned()),
    }
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    if !arguments.watch {
        return round(path, &arguments).await;
    }
    let mut watch = Watch::new()?;
    loop {
        let (files, folders) = depends_on(path, &arguments);
        // Before the run, so that what changes meanwhile is not missed.
        watch.follow(&files, &folders)?;
        if let Err(failure) = round(path, &arguments).await {
            let _ = report(failure);
        }
        eprintln!("\nwaiting for a change (Ctrl-C ends)");
        tokio::select! {
            () = watch.changed() => {}
            ended = tokio::signal::ctrl_c() => return Ok(ended?),
        }
    }
}

/// The files and folders whose change makes the result another one.
fn depends_on(path: &Path, arguments: &Arguments) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let named = !arguments.places.is_empty();
    let places = find::places(path, &arguments.places);
    let found = find::scenarios(&places, named).unwrap_or_default();
    let (mut folders, mut files): (Vec<_>, Vec<_>) = places.into_iter().partition(|place| place.is_dir());
    if !named {
        // They may come yet.
        let later = find::FOLDERS.iter().map(|folder| beside(Some(path), folder));
        folders.extend(later.filter(|folder| folder.is_dir()));
        files.extend(find::FOLDERS.iter().map(|folder| beside(Some(path), folder)));
    }
    let mut configs = vec![path.to_owned()];
    for Found { file, scenario } in &found {
        let Ok(scenario) = scenario else { continue };
        configs.extend(scenario.config.iter().map(|config| beside(Some(file), config)));
    }
    for config in configs {
        // One that is wrong is watched, for it will be corrected.
        if let Ok(read) = config::load(&config, &readable(&found)) {
            files.extend(read.read_from.files.iter().cloned());
            files.extend(read.plugins.iter().map(|plugin| plugin.path.clone()));
        }
        files.push(config);
    }
    (files, folders)
}

/// An environment in which a configuration can be read although nothing is simulated yet.
fn readable(found: &[Found]) -> Environment {
    let of_scenarios = found.iter().filter_map(|found| found.scenario.as_ref().ok());
    let own = of_scenarios.flat_map(|scenario| &scenario.environment);
    let own = own.map(|(name, text)| (name.clone(), text.replace("${BACKEND_URL}", NOBODY)));
    let nobody: Environment = [("BACKEND_URL", NOBODY)].into_iter().collect();
    Environment::of_process().or(own.collect()).or(nobody).or(placeholders())
}

/// Runs everything once.
async fn round(path: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let began = Instant::now();
    let is_named = !arguments.places.is_empty();
    let found = find::scenarios(&find::places(path, &arguments.places), is_named)?;
    let mut cases = Vec::new();
    // What the configuration itself claims is looked at where nobody names anything else.
    let mut is_refused = false;
    if !is_named {
        match proofs(path, &found, arguments.live) {
            Ok(proofs) => cases.extend(proofs),
            Err(problems) if only_tests_fail(&problems) => {
                cases.extend(failed_proofs(&problems));
                is_refused = true;
            }
            Err(problems) => return Err(Failure::Config(Box::new(problems))),
        }
    } else {
        check_there(path, &found)?;
    }
    let all = cases.len() + found.len();
    let is_wanted = |name: &str, file: &Path| {
        let filter = arguments.filter.as_deref();
        filter.is_none_or(|filter| name.contains(filter) || file.to_string_lossy().contains(filter))
    };
    cases.retain(|case: &Case| is_wanted(&case.name, &case.file));
    let found: Vec<Found> = found.into_iter().filter(|found| is_wanted(&found.name(), &found.file)).collect();
    if cases.is_empty() && found.is_empty() {
        return Err(Failure::Usage(nothing(path, arguments, all)));
    }
    let is_text = arguments.format == Format::Text;
    if is_text {
        cases.iter().try_for_each(|case| print(&case.line()))?;
    }
    let is_over = is_refused || (arguments.fail_fast && cases.iter().any(Case::is_bad));
    let runner = Runner::new(path, arguments, is_over);
    cases.extend(runner.run(found, is_text).await?);
    let outcome = Outcome { cases, took: began.elapsed() };
    match arguments.format {
        Format::Text => print(&outcome.told(arguments.live))?,
        Format::Json => print(&format!("{:#}\n", outcome.json()))?,
    }
    if let Some(file) = &arguments.junit {
        let xml = junit::xml(&outcome).context("the result cannot be written as XML")?;
        std::fs::write(file, xml).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if outcome.is_good() { Ok(()) } else { Err(Failure::Said) }
}

/// Why nothing is run.
fn nothing(path: &Path, arguments: &Arguments, all: usize) -> anyhow::Error {
    match &arguments.filter {
        Some(filter) if all > 0 => anyhow!("none of the {all} tests has `{filter}` in its name"),
        _ => anyhow!(
            "there is nothing to test: write a scenario into {} or {} (docs/testing.md), or `[[tests]]` into {}",
            beside(Some(path), find::FOLDERS[0]).display(),
            beside(Some(path), find::FOLDERS[1]).display(),
            path.display()
        ),
    }
}

/// The `[[tests]]` of the configuration, which pass or it is refused.
fn proofs(path: &Path, found: &[Found], is_live: bool) -> Result<Vec<Case>, Problems> {
    // A real model wants real keys.
    let environment = if is_live { Environment::of_process() } else { readable(found) };
    let config: Config = config::load(path, &environment)?;
    let case = |name: String| Case { came: Came::Passed, ..Case::not_run(name, path) };
    Ok(config.tests_passed.iter().cloned().map(case).collect())
}

fn only_tests_fail(problems: &Problems) -> bool {
    let errors = problems.iter().filter(|problem| problem.code.severity == codes::Severity::Error);
    let mut errors = errors.peekable();
    errors.peek().is_some() && errors.all(config::Problem::is_failed_test)
}

fn failed_proofs(problems: &Problems) -> Vec<Case> {
    let failed = problems.iter().filter(|problem| problem.is_failed_test());
    let case = |problem: &config::Problem| {
        let place = problem.position().map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let file = problem.file();
        let why = [problem.label.as_deref(), problem.help.as_deref()].into_iter().flatten();
        let why = why.map(|line| format!(": {line}")).collect::<String>();
        let message = format!("{file}{place}: {}{why}", problem.message);
        // "the test `…` fails"
        let name = problem.message.split('`').nth(1).unwrap_or(&problem.message).to_owned();
        Case { came: Came::Broken(message), ..Case::not_run(name, Path::new(&file)) }
    };
    failed.map(case).collect()
}

/// The demo has a configuration of its own; a test that fell back to that would test nothing.
fn check_there(path: &Path, found: &[Found]) -> Result<(), Failure> {
    let config_of = |found: &Found| match &found.scenario {
        Ok(scenario) => {
            let named = scenario.config.as_ref().map(|config| beside(Some(&found.file), config));
            Some(named.unwrap_or_else(|| path.to_owned()))
        }
        Err(_) => None,
    };
    match found.iter().filter_map(config_of).find(|config| !config.exists()) {
        None => Ok(()),
        Some(missing) => match config::load(&missing, &Environment::default()) {
            Ok(_) => Ok(()),
            Err(problems) => Err(Failure::Config(Box::new(problems))),
        },
    }
}

/// Runs tests beside each other.
struct Runner {
    stage: Stage,
    speed: Option<f64>,
    way: Option<Way>,
    is_live: bool,
    is_fail_fast: bool,
    /// A place for each call; one that is played once more takes them all.
    places: Semaphore,
    jobs: u32,
    /// No other test is begun.
    is_over: AtomicBool,
}

impl Runner {
    fn new(path: &Path, arguments: &Arguments, is_over: bool) -> Arc<Runner> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = arguments.jobs.map_or(cores, usize::from).clamp(1, JOBS_MAX);
        let stage = Stage {
            config: path.to_owned(),
            environment: Environment::of_process(),
            live: arguments.live.then_some(Live { audio: arguments.audio }),
        };
        Arc::new(Runner {
            stage,
            speed: arguments.speed,
            way: arguments.path,
            is_live: arguments.live,
            is_fail_fast: arguments.fail_fast,
            places: Semaphore::new(jobs),
            // At most `JOBS_MAX`.
            jobs: jobs as u32,
            is_over: AtomicBool::new(is_over),
        })
    }

    /// All of these; gives them in the order in which they came, and says each as it ends.
    async fn run(self: &Arc<Runner>, found: Vec<Found>, is_told: bool) -> Result<Vec<Case>, Failure> {
        let mut tasks = JoinSet::new();
        for (at, found) in found.into_iter().enumerate() {
            let runner = Arc::clone(self);
            tasks.spawn(async move { (at, Box::pin(runner.case(found)).await) });
        }
        let mut cases = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (at, case) = done.context("a test ended in a panic")?;
            let case = case?;
            if is_told {
                print(&case.line())?;
                case.notes.iter().for_each(|note| eprintln!("      {}: {note}", case.name));
            }
            cases.push((at, case));
        }
        cases.sort_by_key(|(at, _)| *at);
        Ok(cases.into_iter().map(|(_, case)| case).collect())
    }

    /// One test.
    ///
    /// # Errors
    ///
    /// What is in the way of every other test, too: a configuration that is wrong, a provider that cannot be reached.
    async fn case(&self, found: Found) -> Result<Case, Failure> {
        let name = found.name();
        let place = self.places.acquire().await.context("nothing is run any more")?;
        if self.is_over.load(Ordering::Relaxed) {
            return Ok(Case::not_run(name, &found.file));
        }
        let began = Instant::now();
        let mut is_second = false;
        let (came, told) = match found.scenario {
            Err(why) => (Came::Broken(why), None),
            Ok(scenario) => {
                let first = self.play(&scenario, &found.file, self.first_speed(&scenario)).await;
                drop(place);
                match first {
                    Ok(told) if self.is_worth_another(&scenario, &told) => {
                        is_second = true;
                        let _alone =
                            self.places.acquire_many(self.jobs).await.context("nothing is run any more")?;
                        judged(self.play(&scenario, &found.file, CAREFUL).await)?
                    }
                    other => judged(other)?,
                }
            }
        };
        let mut case = Case { came, took: began.elapsed(), ..Case::not_run(name, &found.file) };
        if let Some(told) = told {
            case.notes = told.notes;
            case.kept = Some(Box::new(told.kept));
        }
        if is_second && case.is_bad() {
            case.notes
                .push(format!("it failed at first, too; this call was {CAREFUL} times as fast as life"));
        }
        if self.is_fail_fast && case.is_bad() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        Ok(case)
    }

    async fn play(&self, scenario: &Scenario, file: &Path, speed: f64) -> Result<Told, Failure> {
        let (scenario, file) = (scenario.clone(), Some(file.to_owned()));
        let show = Show { scenario, file, speed, way: self.way, listener: None, keep: None };
        Box::pin(self.stage.play(show)).await
    }

    /// A real model speaks as fast as it does.
    fn first_speed(&self, scenario: &Scenario) -> f64 {
        let usual = if self.is_live { 1.0 } else { FAST };
        let own = scenario.speed.filter(|_| !self.is_live);
        self.speed.or(own).unwrap_or(usual)
    }

    /// Claims that the call might have gone as expected, had it been slower.
    fn is_worth_another(&self, scenario: &Scenario, told: &Told) -> bool {
        let is_free = self.speed.is_none() && scenario.speed.is_none() && !self.is_live;
        is_free && told.mismatches.iter().any(|mismatch| mismatch.is_of_time())
    }
}

/// What came of a call; what only that call had is no reason to end all others.
fn judged(played: Result<Told, Failure>) -> Result<(Came, Option<Told>), Failure> {
    match played {
        Ok(told) if told.mismatches.is_empty() => Ok((Came::Passed, Some(told))),
        Ok(mut told) => Ok((Came::Failed(std::mem::take(&mut told.mismatches)), Some(told))),
        Err(Failure::Failed(error)) => Ok((Came::Broken(crate::text::chain(error.as_ref())), None)),
        Err(other) => Err(other),
    }
}
