//! `switchboard doctor`: looks at what a gateway stands on, changes nothing, and says what is wrong and what can be done.

mod machine;
mod online;

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::scratch::Scratch;
use super::{Failure, print};
use crate::config::Config;
use crate::store::{self, Thoroughness, examine};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Look at the data directory: journal, index and recordings, also beside a running gateway.
    #[arg(long, required_unless_present = "online")]
    store: bool,
    /// Read every recording whole, and compare its digest.
    #[arg(long, requires = "store")]
    digests: bool,
    /// Look at the machine and ask the vendors: limits, disk, names, clock, keys, webhook, and the way here from outside.
    #[arg(long)]
    online: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was found in one place.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    what: &'static str,
    /// Whether all is well there; none: that cannot be seen from here.
    is_well: Option<bool>,
    /// What was seen.
    words: String,
    /// What can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn well(what: &'static str, words: impl Into<String>) -> Finding {
        Finding { what, is_well: Some(true), words: words.into(), fix: None }
    }

    fn wrong(what: &'static str, words: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what, is_well: Some(false), words: words.into(), fix: Some(fix.into()) }
    }

    fn unseen(what: &'static str, words: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what, is_well: None, words: words.into(), fix: Some(fix.into()) }
    }
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let mut findings = Vec::new();
    if arguments.store {
        findings.extend(in_store(&config, arguments.digests).await?);
    }
    if arguments.online {
        findings.extend(machine::examine(&config));
        findings.extend(online::examine(&config).await?);
    }
    if arguments.json {
        print(&(serde_json::to_string_pretty(&findings)? + "\n"))?;
    } else {
        let title = if arguments.store { config.store.path.as_path() } else { path };
        print(&as_text(title, &findings))?;
    }
    let is_wrong = |finding: &Finding| finding.is_well == Some(false);
    if findings.iter().any(is_wrong) { Err(Failure::Said) } else { Ok(()) }
}

/// Looks at the data directory.
pub(super) async fn in_store(config: &Config, digests: bool) -> Result<Vec<Finding>, Failure> {
    let scratch = Scratch::new().context("a temporary folder cannot be made")?;
    let (dir, copy) = (config.store.path.clone(), scratch.path().to_owned());
    let how = Thoroughness { vault: config.store.vault.clone(), digests };
    let findings = tokio::task::spawn_blocking(move || examine(&dir, &copy, how)).await?;
    let told =
        |store::Finding { what, is_well, words }| Finding { what, is_well: Some(is_well), words, fix: None };
    Ok(findings.into_iter().map(told).collect())
}

/// What was found, below what it is about.
pub(super) fn as_text(title: &Path, findings: &[Finding]) -> String {
    format!("{}\n{}", title.display(), findings.iter().map(line).collect::<String>())
}

fn line(finding: &Finding) -> String {
    let mark = match finding.is_well {
        Some(true) => '✓',
        Some(false) => '✗',
        None => '?',
    };
    let fix = finding.fix.as_ref().map(|fix| format!("{:16}{fix}\n", "")).unwrap_or_default();
    format!("  {mark} {:<11} {}\n{fix}", finding.what, finding.words)
}
