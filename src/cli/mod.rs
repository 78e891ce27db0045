//! The command line: a file for each command, errors to exit codes here and nowhere else.
//!
//! Results go to standard output, everything else to standard error. Exit codes: [`Exit`].

mod backup;
mod calls;
pub mod catalogue;
mod check;
mod configuration;
mod demo;
mod dev;
mod doctor;
mod erase;
pub mod eval;
mod explain;
mod export;
pub mod failures;
mod features;
mod handover;
mod init;
mod live;
mod load;
mod logging;
mod notifications;
pub mod plugin;
mod progress;
mod pull_the_plug;
mod replay;
mod report;
mod recordings;
mod reload;
mod scratch;
mod serve;
mod setup;
mod simulate;
mod source;
mod stage;
mod support;
mod tail;
mod test;
mod token;
mod tools;
mod torture;
mod verify;
mod view;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Config, Environment, Problems};

/// A self-hosted gateway that answers phone calls with a voice model.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version, about, max_term_width = 100)]
struct Cli {
    /// The configuration file.
    #[arg(short, long, global = true, default_value = "gateway.toml", env = "SWITCHBOARD_CONFIG")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a few questions, and write a small configuration that works.
    Init(init::Arguments),
    /// Answer calls until told to stop.
    Serve(serve::Arguments),
    /// Have the running gateway read its configuration again; what runs goes on as it began.
    Reload(reload::Arguments),
    /// Have the running gateway make place for the program that is at its path now, calls and all.
    Handover,
    /// Play a simulated call against a whole gateway; needs no account.
    Demo(demo::Arguments),
    /// Run a whole gateway in a simulated world, and watch its files; needs no account.
    Dev(dev::Arguments),
    /// Have something happen in the world of `switchboard dev`.
    Simulate(simulate::Arguments),
    /// Copy everything that is kept into a folder, also beside a running gateway, and read the copy whole.
    Backup(backup::BackupArguments),
    /// Put a backup where this configuration keeps its calls.
    Restore(backup::RestoreArguments),
    /// Make the journal as short as it can be, also in a running gateway.
    Compact,
    /// Look at what the gateway stands on, and say what is wrong there.
    Doctor(doctor::Arguments),
    /// Have the vendors send calls here: say what would be set there, and with `--apply` set it.
    Setup(setup::Arguments),
    /// Put what a stranger needs to help into one archive, without secrets, whole numbers and words of callers.
    SupportBundle(support::Arguments),
    /// Say everything that is wrong with the configuration.
    Check(check::Arguments),
    /// Play scenarios as tests of the configuration, against simulated vendors or a real model.
    Test(test::Arguments),
    /// Show what holds of the configuration, what a change would do, and its schema for editors.
    Config(configuration::Arguments),
    /// Say what a code means and what to do, or how a call went, in plain words.
    Explain(explain::Arguments),
    /// Read the calls that were kept, or erase them.
    Calls(calls::Arguments),
    /// List, export and delete the recordings that were kept.
    Recordings(recordings::Arguments),
    /// What other systems were not told of calls yet, and sending it again.
    Notifications(notifications::Arguments),
    /// Write, build and try out plugins.
    Plugin(plugin::Arguments),
    /// Sum up what was kept.
    Report(report::Arguments),
    /// Measure how well callers are understood.
    Eval(eval::Arguments),
    /// Look at which path calls take, and change it in the running gateway.
    Features(features::Arguments),
    /// Look at the tools that models can call, and try one.
    Tools(tools::Arguments),
    /// Make tokens for operators.
    Token(token::Arguments),
    /// Print what a shell needs to complete this command's words.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a folder.
    Man {
        /// The folder; it is made.
        folder: PathBuf,
    },
    /// Check what Switchboard promises, and fill in a sheet: in a simulated world, or with `--live` of your own calls.
    Verify(verify::Arguments),
    /// Play many simulated calls against a gateway, and say how long it took, what it used, and what went wrong.
    Load(load::Arguments),
}

/// How a command ends, for whoever runs it from a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Well.
    Well,
    /// It failed.
    Failed,
    /// It was not understood, or names what is not there.
    Usage,
    /// Something that is needed is not there: `EX_UNAVAILABLE` of sysexits.h.
    Unavailable,
    /// The configuration is wrong: `EX_CONFIG` of sysexits.h.
    Config,
    /// What was measured misses a threshold that was given, as k6 has it.
    Threshold,
}

impl Exit {
    /// The number, as text.
    const fn name(self) -> &'static str {
        match self {
            Exit::Well => "0",
            Exit::Failed => "1",
            Exit::Usage => "2",
            Exit::Unavailable => "69",
            Exit::Config => "78",
            Exit::Threshold => "99",
        }
    }

    /// What the process gives.
    fn code(self) -> ExitCode {
        ExitCode::from(self.name().parse::<u8>().unwrap_or(1))
    }
}

/// How a command ends when it does not end well.
#[derive(Debug)]
enum Failure {
    /// It failed; the reason is for a person.
    Failed(anyhow::Error),
    /// It failed, and has said so already.
    Said,
    /// What was typed names something that is not there.
    Usage(anyhow::Error),
    /// The configuration is wrong: all problems, ready to be read.
    Config(Box<Problems>),
    /// The configuration does not fit what it names: a plugin, a tool, a secret that is none.
    Misfit(anyhow::Error),
    /// Something that is needed is not there: an address, a directory, a running gateway.
    Unavailable(anyhow::Error),
    /// What was measured misses a threshold that was given.
    Threshold(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.into())
    }
}

impl Failure {
    /// The reason, for whoever tells it themselves.
    fn into_error(self) -> anyhow::Error {
        match self {
            Failure::Failed(error)
            | Failure::Usage(error)
            | Failure::Misfit(error)
            | Failure::Unavailable(error)
            | Failure::Threshold(error) => error,
            Failure::Config(problems) => anyhow::anyhow!(problems.render(false)),
            Failure::Said => anyhow::anyhow!("it failed, and has said why"),
        }
    }
}

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Failure::Failed(error.into())),
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Init(arguments) => init::run(arguments),
            Command::Serve(arguments) => serve::run(&cli.config, arguments).await,
            Command::Reload(arguments) => reload::run(&cli.config, arguments).await,
            Command::Handover => handover::run(&cli.config).await,
            Command::Demo(arguments) => demo::run(&cli.config, arguments).await,
            Command::Dev(arguments) => dev::run(&cli.config, arguments).await,
            Command::Simulate(arguments) => simulate::run(&cli.config, arguments).await,
            Command::Load(arguments) => load::run(&cli.config, arguments).await,
            Command::Backup(arguments) => backup::back_up(&cli.config, arguments).await,
            Command::Restore(arguments) => backup::restore(&cli.config, arguments).await,
            Command::Compact => erase::compact(&cli.config).await,
            Command::Doctor(arguments) => doctor::run(&cli.config, arguments).await,
            Command::Setup(arguments) => setup::run(&cli.config, arguments).await,
            Command::SupportBundle(arguments) => support::run(&cli.config, arguments).await,
            Command::Check(arguments) => check::run(&cli.config, arguments).await,
            Command::Test(arguments) => test::run(&cli.config, arguments).await,
            Command::Config(arguments) => configuration::run(&cli.config, arguments).await,
            Command::Explain(arguments) => explain::run(&cli.config, arguments).await,
            Command::Completions { shell } => completions(shell),
            Command::Man { folder } => man(&folder),
            Command::Plugin(arguments) => plugin::run(&cli.config, arguments).await,
            Command::Report(arguments) => report::run(&cli.config, arguments).await,
            Command::Eval(arguments) => eval::run(&cli.config, arguments).await,
            Command::Calls(arguments) => calls::run(&cli.config, arguments).await,
            Command::Features(arguments) => features::run(&cli.config, arguments).await,
            Command::Notifications(arguments) => notifications::run(&cli.config, arguments).await,
            Command::Recordings(arguments) => recordings::run(&cli.config, arguments).await,
            Command::Token(arguments) => token::run(arguments),
            Command::Verify(arguments) => verify::run(&cli.config, arguments).await,
            Command::Tools(arguments) => tools::run(&cli.config, arguments).await,
        }
    });
    match ended {
        Ok(()) => Exit::Well.code(),
        Err(failure) => report(failure),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "switchboard", &mut script);
    print(&String::from_utf8_lossy(&script))
}

fn man(folder: &std::path::Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder))?;
    eprintln!("written to {}: `man {}/switchboard.1`", folder.display(), folder.display());
    Ok(())
}

fn report(failure: Failure) -> ExitCode {
    let (exit, error) = match failure {
        Failure::Said => return Exit::Failed.code(),
        Failure::Config(problems) if problems.is_empty() => {
            eprintln!(
                "error: the configuration is refused, and nothing says why: that is a mistake of this program, please report it"
            );
            return Exit::Config.code();
        }
        Failure::Config(problems) => {
            eprint!("{}", problems.render(anstream_color()));
            return Exit::Config.code();
        }
        Failure::Failed(error) => (Exit::Failed, error),
        Failure::Usage(error) => (Exit::Usage, error),
        Failure::Unavailable(error) => (Exit::Unavailable, error),
        Failure::Misfit(error) => (Exit::Config, error),
        Failure::Threshold(error) => (Exit::Threshold, error),
    };
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  cause: {cause}");
    }
    exit.code()
}

/// Claims that standard error is a terminal that wants colours.
fn anstream_color() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Reads and checks a configuration with the process' environment.
fn load_config(path: &std::path::Path) -> Result<Config, Failure> {
    config::load(path, &Environment::of_process()).map_err(|problems| Failure::Config(Box::new(problems)))
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
