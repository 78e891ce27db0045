//! `switchboard init`: a few questions, and a folder with a small configuration that passes `check`.
//!
//! Nothing is asked where a flag says it already, or where `--yes` takes what is proposed. Nothing that is there is
//! written over without `--force`, and nothing is written at all unless all of it can be.

mod answers;
mod files;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{Failure, print};
use crate::config::schema;
use answers::{Answers, Asking};

pub(super) use files::{placeholders, placeholders_of};

/// The first scenario of one's own.
const SCENARIO: &str = "tests/first-call.toml";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the files are written; it is made.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// What callers know the business as.
    #[arg(long)]
    name: Option<String>,
    /// The language in which calls are opened, two letters such as `en`, `de` or `ja`.
    #[arg(long)]
    language: Option<String>,
    /// The first words that callers hear.
    #[arg(long)]
    greeting: Option<String>,
    /// The number that people call, such as `+4930123456`.
    #[arg(long)]
    number: Option<String>,
    /// Whom callers are sent to when no model can answer: a number, or an address such as `sip:desk@example.com`.
    #[arg(long)]
    forward: Option<String>,
    /// The address under which the world reaches the gateway: `https://…`.
    #[arg(long)]
    url: Option<String>,
    /// Ask nothing: take what is proposed where no flag says otherwise.
    #[arg(short, long)]
    yes: bool,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut asking = Asking::new(
        std::io::stdin().lock(),
        std::io::stderr(),
        !arguments.yes && std::io::stdin().is_terminal(),
    );
    if !arguments.yes && !asking.is_possible() {
        let message =
            "nobody can be asked here: give the answers as flags (`init --help`), and `--yes` for the rest";
        return Err(anyhow!(message).into());
    }
    let folder = &arguments.folder;
    let answers = Answers {
        name: arguments.name,
        language: arguments.language,
        greeting: arguments.greeting,
        number: arguments.number,
        forward: arguments.forward,
        url: arguments.url,
    };
    let answers = answers.complete(&mut asking).map_err(anyhow::Error::msg)?;
    let config = files::gateway_toml(&answers);
    // What is written passes `check`, or nothing is written.
    files::check(&config, folder).map_err(|problems| Failure::Config(Box::new(problems)))?;
    let schema = serde_json::to_string_pretty(&schema::schema())? + "\n";
    let written = [
        ("gateway.toml", config),
        (schema::FILE_NAME, schema),
        (".env.example", files::dotenv_example(&answers)),
        (SCENARIO, files::scenario()),
    ];
    let there: Vec<&str> =
        written.iter().map(|(name, _)| *name).filter(|name| folder.join(name).exists()).collect();
    if !there.is_empty() && !arguments.force {
        let names = there.join(", ");
        return Err(anyhow!("{names} in {}: already there (`--force` writes over)", folder.display()).into());
    }
    for (name, text) in &written {
        let path = folder.join(name);
        let around = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(around).with_context(|| format!("cannot make {}", around.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("written: {}", path.display());
    }
    ignore_secrets(folder)?;
    print(&next_steps(folder))
}

/// Keeps `.env`, where the secrets will be, and the data out of Git.
fn ignore_secrets(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(".gitignore");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(anyhow!(error).context(format!("cannot read {}", path.display())).into()),
    };
    let is_there = |wanted: &str| {
        text.lines().any(|line| line.trim().trim_start_matches('/').trim_end_matches('/') == wanted)
    };
    let missing: Vec<&str> =
        [".env", "data", "data-dev"].into_iter().filter(|wanted| !is_there(wanted)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut longer = text.clone();
    if !longer.is_empty() && !longer.ends_with('\n') {
        longer.push('\n');
    }
    missing.iter().for_each(|line| longer.push_str(&format!("/{line}\n")));
    std::fs::write(&path, longer).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written: {} ({})", path.display(), missing.join(", "));
    Ok(())
}

fn next_steps(folder: &Path) -> String {
    let go = match folder == Path::new(".") {
        true => String::new(),
        false => format!("  cd {}\n", folder.display()),
    };
    format!(
        "\nNext:\n\n{go}  \
         switchboard demo            # a simulated call through this configuration; needs no account\n  \
         switchboard test            # the same as a test, in tests/first-call.toml\n  \
         switchboard dev             # a gateway in a simulated world: change the file, ring it up again\n  \
         cp .env.example .env        # then fill it in: it says where each value is found\n  \
         switchboard check           # everything that is still wrong, at once\n  \
         switchboard serve           # answer calls\n  \
         switchboard doctor --online # meanwhile: what is still in the way of a real call\n"
    )
}
