//! `switchboard recordings`: list, export and delete the recordings that were kept.
//!
//! As for calls: a running gateway is asked over its admin listener; without one the store is opened
//! directly.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use sha2::{Digest as _, Sha256};

use super::source::{Source, refusal};
use super::{Failure, print, view};
use crate::call::recording::{RecordingRecord, RecordingState};
use crate::call_control::recordings::delete_at_rest;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::ids::{CallId, RecordingId};
use crate::store;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List recordings, newest call first.
    Ls {
        /// How many, at most 1000.
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the recording of a call into a file, and compare its digest.
    Export {
        /// The call's id.
        id: CallId,
        /// The WAV file to write; it must not exist yet.
        file: PathBuf,
        /// Which one, where the call has several.
        #[arg(long)]
        recording: Option<String>,
    },
    /// Delete the recordings of a call, here and at the carrier.
    Delete {
        /// The call's id.
        id: CallId,
        /// Only this one.
        #[arg(long)]
        recording: Option<String>,
    },
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let source = Source::open(&config).await?;
    match arguments.command {
        Command::Ls { limit, json } => {
            let recordings = list(&source, limit).await?;
            if json {
                return print(&(serde_json::to_string_pretty(&recordings)? + "\n"));
            }
            if recordings.is_empty() {
                eprintln!("no recordings are kept in {}", config.store.path.display());
                return Ok(());
            }
            print(&view::recordings(&recordings))
        }
        Command::Export { id, file, recording } => {
            let recording = recording.map(RecordingId::from);
            let record = the_kept(&source, id, recording.as_ref()).await?;
            let written = export(&source, &config, &record, &file).await;
            if written.is_err() {
                // Half a recording is worse than none.
                let _ = std::fs::remove_file(&file);
            }
            eprintln!("{} bytes, sha256 {}: as it was kept", written?, record.sha256.unwrap_or_default());
            Ok(())
        }
        Command::Delete { id, recording } => {
            let recording = recording.map(RecordingId::from);
            let deleted = delete(&source, &config, id, recording.as_ref()).await?;
            if deleted.is_empty() {
                return Err(anyhow!("the call `{id}` has no recording to delete").into());
            }
            for record in deleted {
                eprintln!("deleted {} of {id}", record.id);
            }
            Ok(())
        }
    }
}

async fn list(source: &Source, limit: usize) -> Result<Vec<RecordingRecord>, Failure> {
    let limit = limit.clamp(1, 1_000);
    match source {
        Source::Store(store) => Ok(store.recordings(limit).await?),
        Source::Gateway { .. } => {
            let page: Option<crate::http::Recordings> =
                source.get(&format!("/recordings?limit={limit}")).await?;
            Ok(page.ok_or_else(|| anyhow!("the gateway has no list of recordings"))?.recordings)
        }
    }
}

/// The one recording that is meant and can be had.
async fn the_kept(
    source: &Source,
    id: CallId,
    only: Option<&RecordingId>,
) -> Result<RecordingRecord, Failure> {
    let detail = source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
    let meant = detail.recordings.into_iter().filter(|record| only.is_none_or(|only| *only == record.id));
    let (kept, others): (Vec<_>, Vec<_>) = meant.partition(|record| record.state == RecordingState::Kept);
    match (kept.into_iter().next(), others.first()) {
        (Some(record), _) => Ok(record),
        (None, Some(other)) => {
            Err(anyhow!("the recording `{}` is {}", other.id, other.state.as_str()).into())
        }
        (None, None) => Err(anyhow!("the call `{id}` has no such recording").into()),
    }
}

async fn export(
    source: &Source,
    config: &Config,
    record: &RecordingRecord,
    file: &Path,
) -> anyhow::Result<u64> {
    let explain = || format!("cannot write {}", file.display());
    let mut target = OpenOptions::new().write(true).create_new(true).open(file).with_context(explain)?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut take = |piece: &[u8]| {
        hash.update(piece);
        bytes += piece.len() as u64;
        target.write_all(piece).with_context(explain)
    };
    match source {
        Source::Store(_) => read_file(open(config, record)?, &mut take)?,
        Source::Gateway { base, token, client, .. } => {
            let path = format!("{base}/calls/{}/recording?recording={}", record.call, record.id);
            let mut response = client.get(path).bearer_auth(token).send().await?.error_for_status()?;
            while let Some(piece) = response.chunk().await? {
                take(&piece)?;
            }
        }
    }
    target.sync_all().with_context(explain)?;
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if record.sha256.as_deref() != Some(digest.as_str()) {
        bail!(
            "the recording is damaged: its sha256 is {digest}, and was {:?} when it was kept",
            record.sha256
        );
    }
    Ok(bytes)
}

fn files(config: &Config) -> store::Recordings {
    let settings = &config.recordings;
    store::Recordings::below(&config.store.path, settings.file_bytes_max, settings.keep_free_bytes)
}

fn open(config: &Config, record: &RecordingRecord) -> anyhow::Result<File> {
    let name = record.file.as_deref().ok_or_else(|| anyhow!("its record names no file"))?;
    files(config).open(name).context("the recording's file cannot be opened")
}

fn read_file(mut file: File, take: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => take(&buffer[..read])?,
        }
    }
}

async fn delete(
    source: &Source,
    config: &Config,
    id: CallId,
    only: Option<&RecordingId>,
) -> Result<Vec<RecordingRecord>, Failure> {
    match source {
        Source::Store(store) => {
            let now = SystemClock.now();
            Ok(delete_at_rest(store, &files(config), id, only, now).await?)
        }
        Source::Gateway { base, token, client, .. } => {
            let only = only.map(|only| format!("?recording={only}")).unwrap_or_default();
            let path = format!("{base}/calls/{id}/recording{only}");
            let response = client.delete(path).bearer_auth(token).send().await?;
            match response.status() {
                reqwest::StatusCode::NOT_FOUND => Ok(Vec::new()),
                status if status.is_success() => {
                    Ok(response.json::<crate::http::Recordings>().await?.recordings)
                }
                _ => Err(refusal(response).await),
            }
        }
    }
}
