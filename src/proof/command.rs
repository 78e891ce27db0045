//! `switchboard-sim`: plays the days of one seed or of many, and prints what was broken and how to see it again.

use std::process::ExitCode;

use clap::Parser;
use indicatif::ProgressBar;

use super::{Broken, Options, Outcome, Tally, run};

/// Whole days of simulated traffic in seconds, from one seed: every rule of calls checked after every event.
#[derive(Debug, Parser)]
#[command(name = "switchboard-sim", version, about, max_term_width = 100)]
struct Arguments {
    /// Play this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Play these seeds, the last one not included.
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "0..10")]
    seeds: std::ops::Range<u64>,
    /// How many days of each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    days: u32,
    /// How many people call a day.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    callers: u32,
    /// Break this rule on purpose, to see that it is noticed.
    #[arg(long, value_enum)]
    broken: Option<Broken>,
    /// Print everything that happens.
    #[arg(long)]
    log: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("two numbers with `..` in between, such as 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("the second number must be larger".to_owned()) } else { Ok(range) }
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = arguments.seed.map_or(arguments.seeds.clone(), |seed| seed..seed + 1);
    let mut tally = Tally::default();
    // On a terminal only.
    let bar = ProgressBar::new(seeds.end - seeds.start).with_message("seeds");
    for seed in seeds.clone() {
        let options = Options {
            seed,
            days: arguments.days,
            callers: arguments.callers,
            broken: arguments.broken,
            keeps_log: arguments.log,
        };
        let outcome = run(&options);
        if arguments.log {
            print!("{}", outcome.log);
        }
        if outcome.violation.is_some() {
            eprint!("{}", explain(&options, outcome));
            return ExitCode::FAILURE;
        }
        tally.add(&outcome.tally);
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{}", describe(&tally, seeds.end - seeds.start));
    ExitCode::SUCCESS
}

/// What a person needs who wants to know what broke: the rule, the call's log, and how to see it again.
pub fn explain(options: &Options, outcome: Outcome) -> String {
    // The same again, with everything written down: the same seed plays the same days.
    let again =
        if options.keeps_log { outcome } else { run(&Options { keeps_log: true, ..options.clone() }) };
    let Some(violation) = again.violation else {
        return format!("seed {} breaks a rule only when nothing is written down\n", options.seed);
    };
    let broken = options.broken.map(|broken| format!(" --broken {}", name(broken))).unwrap_or_default();
    format!(
        "{}\nseed {}, day {}, caller {}: {}\nagain: switchboard-sim --seed {} --days {} --callers {}{broken}\n",
        violation.log,
        options.seed,
        violation.at,
        violation.caller,
        violation.what,
        options.seed,
        options.days,
        options.callers,
    )
}

fn name(broken: Broken) -> String {
    use clap::ValueEnum as _;
    broken.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What happened, in a few lines.
pub fn describe(tally: &Tally, seeds: u64) -> String {
    format!(
        "{} days over {seeds} seeds, {} deeds: no rule was broken\n\
         callers    {} rang, {} were one too many, {} were answered by the model, {} calls closed ({} because the gateway was away)\n\
         gateway    {} starts, {} crashes, {} orderly stops, {} handovers; {} calls taken up again\n\
         provider   {} webhooks acknowledged, {} sidebands lost, {} tools asked for, {} effects and no answer twice; {} answers sought after a break, {} of them there\n\
         transcript {} lines owed, all there once and in order\n\
         recordings {} callers told of it, {} kept, {} of those again; {} deleted, {} given up; {} of the carrier's copies deleted",
        tally.days,
        tally.deeds,
        tally.callers,
        tally.refused,
        tally.answered,
        tally.closed,
        tally.lost_by_us,
        tally.starts,
        tally.crashes,
        tally.drains,
        tally.handovers,
        tally.taken_up,
        tally.webhooks,
        tally.sockets_lost,
        tally.tools_asked,
        tally.effects,
        tally.answers_sought,
        tally.answers_found,
        tally.lines,
        tally.announced,
        tally.recordings_kept,
        tally.recordings_damaged,
        tally.recordings_deleted,
        tally.recordings_failed,
        tally.copies_deleted,
    )
}
