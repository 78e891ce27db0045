//! `switchboard eval speech`: a corpus played into sessions, and what is written down compared with what was said.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::connect::Provider;
use super::history::{self, Change};
use super::run::{self, Evaluation, Plan};
use super::settings::Wanted;
use super::{Format, folder, show};
use crate::cli::{Failure, print, progress};
use crate::clock::{Clock as _, SystemClock};
use crate::sim::fault::ProviderFaults;
use crate::sim::mishearing::Errors;
use crate::speech::condition::Condition;

/// How fast the simulated provider is played to.
const SIMULATED_SPEED: f64 = 50.0;
/// Beyond it a frame is shorter than a timer.
const SPEED_MAX: f64 = 200.0;
/// What the history of a corpus is called, beside it.
pub(super) const HISTORY: &str = "history.jsonl";
/// The most conditions of one run.
const CONDITIONS_MAX: usize = 16;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("provider").required(true).args(["simulate", "live"]))]
pub(super) struct Arguments {
    /// A folder with NAME.wav and NAME.txt for each utterance; with `--simulate`, sentences inside the program where
    /// none is given.
    #[arg(value_name = "CORPUS", required_unless_present = "simulate")]
    corpus: Option<PathBuf>,
    /// Play to a simulated provider, whose errors are made up: this shows that the measuring is right, and needs no
    /// account.
    #[arg(long)]
    simulate: bool,
    /// Play to the real provider, which costs money; of the environment it needs OPENAI_API_KEY.
    #[arg(long)]
    live: bool,
    /// A session of the configuration; several are compared. May be left out where there is only one.
    #[arg(long, value_name = "NAME")]
    session: Vec<String>,
    /// Another voice model than the session's; several are compared.
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// Another transcription model than the session's; several are compared.
    #[arg(long, value_name = "NAME")]
    transcription_model: Vec<String>,
    /// Another language than the session's transcription is told (ISO 639-1); several are compared.
    #[arg(long, value_name = "CODE")]
    language: Vec<String>,
    /// Which way the sound goes: into sessions of its own, or as calls of a simulated carrier through a whole
    /// gateway, whose transcripts are read from its store.
    #[arg(long, value_enum, default_value_t = Over::Session)]
    over: Over,
    /// What happens to the sound on the line: `clean`, `g711`, `noise:20db`, `packet-loss:2%`, several at once with
    /// `+`; several with commas are compared.
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', default_value = "clean")]
    condition: Vec<Condition>,
    /// Count katakana and hiragana as different.
    #[arg(long)]
    keep_kana: bool,
    /// What noise, lost packets, intervals and made-up errors come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many sessions are open at once.
    #[arg(long, value_name = "SESSIONS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// With `--simulate`: how much faster than speech, 1 to 200 (default 50).
    #[arg(long, conflicts_with = "live", value_parser = speed)]
    speed: Option<f64>,
    /// With `--simulate`: at most so many made-up substitutions, deletions and insertions in an utterance; given
    /// several times, each is of one setting.
    #[arg(long, conflicts_with = "live", value_name = "S,D,I", default_value = "1,1,1")]
    errors: Vec<Errors>,
    /// Exit with 99 where a character error rate is above this, such as `8%`.
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    max_cer: Option<f64>,
    /// Exit with 99 where a word error rate is above this.
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    max_wer: Option<f64>,
    /// Where runs are kept [default: history.jsonl in the corpus; with `--simulate` nowhere].
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    history: Option<PathBuf>,
    /// Keep nothing, and compare with nothing.
    #[arg(long)]
    no_history: bool,
    /// How the results are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Which way the sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Over {
    /// Into a session of its own.
    Session,
    /// Through a whole gateway's bridge.
    Bridge,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (1.0..=SPEED_MAX).contains(speed));
    speed.ok_or_else(|| format!("from 1 to {SPEED_MAX}"))
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let number = number.filter(|number| (0.0..=1_000.0).contains(number));
    number.map(|number| number / 100.0).ok_or_else(|| "write a percentage such as `8%`".to_owned())
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let plan = plan(&arguments)?;
    let wanted = Wanted {
        sessions: arguments.session.clone(),
        models: arguments.model.clone(),
        transcription_models: arguments.transcription_model.clone(),
        languages: arguments.language.clone(),
    };
    let provider = match arguments.live {
        true => Provider::live(path, &wanted).await?,
        false => Provider::simulated(path, &wanted, plan.speed, ProviderFaults::default()).await?,
    };
    let history = history(&arguments);
    // What cannot be read should not be found out after minutes that cost money.
    let before = history.as_deref().map(history::read).transpose()?.unwrap_or_default();
    let rounds = provider.prepared.len() * plan.conditions.len();
    let count = plan.corpus.utterances.len() * rounds;
    if arguments.live {
        let minutes = plan.corpus.duration().as_secs_f64() * rounds as f64 / 60.0;
        eprintln!(
            "{count} utterances are played, {minutes:.1} minutes of speech, at the price of transcription"
        );
    }
    let bar = progress::counting(count as u64, "utterances");
    let evaluation = Box::pin(run::run(&plan, provider, SystemClock.now(), &bar)).await;
    bar.finish_and_clear();
    let evaluation = evaluation?;
    let entries = history::entries(&evaluation);
    let changes = changes(&evaluation, &before, &entries);
    print(&match arguments.format {
        Format::Json => as_json(&evaluation, &changes)?,
        Format::Text => show::evaluation(&evaluation, &changes, colour()),
    })?;
    // Whatever becomes of the file, the results are told.
    if let Some(history) = history.filter(|_| !entries.is_empty()) {
        history::append(&history, &entries)?;
    }
    verdict(&evaluation, arguments.max_cer, arguments.max_wer)
}

/// The sentences inside the binary, clean, one setting, up to two errors of each kind in an utterance.
pub(super) async fn simulated(seed: u64, faults: ProviderFaults) -> Result<Evaluation, Failure> {
    let plan = Plan {
        corpus: folder::built_in(),
        name: "built-in".to_owned(),
        conditions: vec![Condition::default()],
        folds_kana: true,
        seed,
        speed: SIMULATED_SPEED,
        concurrency: 8,
        errors: vec![Errors { substitutions: 2, deletions: 2, insertions: 2 }],
        over_bridge: false,
    };
    // No file has this name: the session is one with all defaults.
    let provider = Provider::simulated(Path::new(""), &Wanted::default(), plan.speed, faults).await?;
    let unseen = indicatif::ProgressBar::hidden();
    Ok(Box::pin(run::run(&plan, provider, SystemClock.now(), &unseen)).await?)
}

fn plan(arguments: &Arguments) -> Result<Plan, Failure> {
    if arguments.condition.len() > CONDITIONS_MAX {
        return Err(anyhow!("at most {CONDITIONS_MAX} conditions are compared in one run").into());
    }
    if arguments.over == Over::Bridge && arguments.speed.is_some() {
        return Err(anyhow!("a carrier's stream is never faster than life: leave `--speed` out").into());
    }
    let corpus = match &arguments.corpus {
        Some(folder) => folder::read(folder)?,
        None if arguments.live => {
            return Err(anyhow!(
                "name a folder of recordings: what is inside the program are tones without words"
            )
            .into());
        }
        None => folder::built_in(),
    };
    let name = arguments.corpus.as_ref().map_or("built-in".to_owned(), |folder| folder.display().to_string());
    Ok(Plan {
        corpus,
        name,
        conditions: arguments.condition.clone(),
        folds_kana: !arguments.keep_kana,
        seed: arguments.seed,
        // A carrier's stream is never faster than life.
        speed: match arguments.live || arguments.over == Over::Bridge {
            true => 1.0,
            false => arguments.speed.unwrap_or(SIMULATED_SPEED),
        },
        over_bridge: arguments.over == Over::Bridge,
        concurrency: usize::from(arguments.concurrency),
        errors: arguments.errors.clone(),
    })
}

/// Beside the corpus; what is made up is kept only where somebody says so.
fn history(arguments: &Arguments) -> Option<PathBuf> {
    let beside = arguments.corpus.as_ref().filter(|_| arguments.live).map(|folder| folder.join(HISTORY));
    arguments.history.clone().or(beside).filter(|_| !arguments.no_history)
}

/// How each setting and condition differs from the last run.
fn changes(
    evaluation: &Evaluation,
    before: &[history::Entry],
    entries: &[history::Entry],
) -> Vec<Vec<Change>> {
    let of = |measured: &run::Measured| {
        let is_it = |entry: &&history::Entry| {
            entry.setting == measured.setting && entry.condition == measured.condition
        };
        entries.iter().find(is_it).map(|entry| history::changes(before, entry)).unwrap_or_default()
    };
    evaluation.measured.iter().map(of).collect()
}

fn colour() -> show::Colour {
    let wants = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wants { show::Colour::Ansi } else { show::Colour::Plain }
}

fn as_json(evaluation: &Evaluation, changes: &[Vec<Change>]) -> Result<String, Failure> {
    let mut page = serde_json::to_value(evaluation)?;
    if evaluation.simulated {
        page["is_exact"] = evaluation.is_exact().into();
    }
    for (at, changes) in changes.iter().enumerate() {
        page["measured"][at]["changes"] = json!(changes);
    }
    Ok(serde_json::to_string_pretty(&page)? + "\n")
}

/// What was not measured is a failure; what misses a threshold another.
fn verdict(evaluation: &Evaluation, max_cer: Option<f64>, max_wer: Option<f64>) -> Result<(), Failure> {
    let missing: usize = evaluation.measured.iter().map(|measured| measured.not_measured.len()).sum();
    if missing > 0 {
        let first = evaluation.measured.iter().find_map(|measured| measured.not_measured.first());
        let first = first.map(|one| format!("{}: {}", one.name, one.reason)).unwrap_or_default();
        return Err(anyhow!("{missing} utterances could not be measured, the first: {first}").into());
    }
    if !evaluation.is_exact() {
        return Err(
            anyhow!("what was measured is not what was made up: that is a mistake of this program").into()
        );
    }
    let mut missed = Vec::new();
    for measured in &evaluation.measured {
        for rate in &measured.rates {
            let limit = if rate.metric == "CER" { max_cer } else { max_wer };
            if let Some(limit) = limit.filter(|limit| rate.rate > *limit) {
                let (found, limit) = (show::percent(rate.rate), show::percent(limit));
                let label = format!("{} · {}", measured.setting.label(), measured.condition);
                missed.push(format!("{} {found} is above {limit}: {label}", rate.metric));
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(Failure::Threshold(anyhow!(missed.join("\n")))) }
}
