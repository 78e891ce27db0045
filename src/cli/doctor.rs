//! `switchboard doctor`: looks at what a gateway stands on, changes nothing, and says what is wrong and what can be done.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;

use super::scratch::Scratch;
use super::{Failure, print};
use crate::config::Config;
use crate::store::{Finding, Thoroughness, examine};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Look at the data directory: journal, index and recordings, also beside a running gateway.
    #[arg(long, required = true)]
    store: bool,
    /// Read every recording whole, and compare its digest.
    #[arg(long, requires = "store")]
    digests: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let findings = look(&config, arguments.digests).await?;
    if arguments.json {
        print(&(serde_json::to_string_pretty(&findings)? + "\n"))?;
    } else {
        print(&as_text(&config, &findings))?;
    }
    if findings.iter().all(|finding| finding.is_well) { Ok(()) } else { Err(Failure::Said) }
}

/// Looks at the data directory.
pub(super) async fn look(config: &Config, digests: bool) -> Result<Vec<Finding>, Failure> {
    let scratch = Scratch::new().context("a temporary folder cannot be made")?;
    let (dir, copy) = (config.store.path.clone(), scratch.path().to_owned());
    let how = Thoroughness { vault: config.store.vault.clone(), digests };
    Ok(tokio::task::spawn_blocking(move || examine(&dir, &copy, how)).await?)
}

pub(super) fn as_text(config: &Config, findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mark = if finding.is_well { "✓" } else { "✗" };
        format!("  {mark} {:<11} {}\n", finding.what, finding.words)
    };
    let lines: String = findings.iter().map(line).collect();
    format!("{}\n{lines}", config.store.path.display())
}
