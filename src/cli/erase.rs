//! `switchboard calls delete`, `calls forget` and `compact`: calls go for good, and what is left of them is looked for in
//! the files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::features::who;
use super::source::{Source, refusal, words_of};
use super::{Failure, print, progress};
use crate::call::record::CallRecord;
use crate::call_control::erasing::{Erased, erase_at_rest};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::http::ErasedCall;
use crate::ids::CallId;
use crate::store::{AuditEntry, AuditLog, Compacted, Erasure, Recordings, Searched, search};

/// What is to be erased.
pub(super) enum Wanted {
    /// These calls.
    Calls(Vec<CallId>),
    /// All calls from or to this number.
    Number(String),
}

/// What was done, for a person or a program.
#[derive(Serialize)]
struct Report {
    /// The proofs, newest call first.
    erased: Vec<Erasure>,
    /// Calls that go as soon as a recording is deleted at the carrier; the running gateway sees to that, or the next.
    later: Vec<CallId>,
    /// Calls that are not erased, and why.
    kept: Vec<Kept>,
    /// The journal, made anew.
    compacted: Compacted,
    /// What was looked through for what was erased, and where it still is.
    searched: Searched,
}

#[derive(Serialize)]
struct Kept {
    call: CallId,
    why: String,
}

pub(super) async fn run(config: &Config, source: Source, wanted: Wanted, json: bool) -> Result<(), Failure> {
    let mut needles = BTreeSet::new();
    let ids = match wanted {
        Wanted::Calls(ids) => ids,
        Wanted::Number(number) => {
            // Without its `+`, as it also stands where that is escaped.
            needles.insert(number.trim_start_matches('+').to_owned());
            source.calls_of(&number).await?.into_iter().map(|call| call.id).collect()
        }
    };
    let (mut erased, mut later, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        if let Some(detail) = source.detail(id).await? {
            needles.extend(names_of(&detail.call));
        }
        match erase(config, &source, id).await? {
            Ok(Some(proof)) => erased.push(proof),
            Ok(None) => later.push(id),
            Err(why) => kept.push(Kept { call: id, why }),
        }
    }
    let compacted = compact_all(config, source, !erased.is_empty()).await?;
    let (path, needles) = (config.store.path.clone(), needles.into_iter().collect::<Vec<_>>());
    let searched = tokio::task::spawn_blocking(move || search(&path, &needles)).await?;
    let searched =
        searched.with_context(|| format!("cannot look through {}", config.store.path.display()))?;
    let report = Report { erased, later, kept, compacted, searched };
    let text = if json { serde_json::to_string_pretty(&report)? + "\n" } else { words(&report) };
    print(&text)?;
    match report.kept.is_empty() {
        true => Ok(()),
        false => Err(Failure::Said),
    }
}

/// Erases calls in a gateway elsewhere: its files cannot be looked through from here, and it gives the proofs.
pub(super) async fn run_remote(source: &Source, ids: Vec<CallId>, json: bool) -> Result<(), Failure> {
    let (mut erased, mut later, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        match erase_over(source, id).await? {
            Ok(Some(proof)) => erased.push(proof),
            Ok(None) => later.push(id),
            Err(why) => kept.push(Kept { call: id, why }),
        }
    }
    let is_done = kept.is_empty();
    if json {
        let report = serde_json::json!({ "erased": erased, "later": later, "kept": kept });
        print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
    } else {
        let gone = erased.iter().map(|proof| format!("{} is erased\n", proof.call));
        let later =
            later.iter().map(|id| format!("{id} goes as soon as its recording is deleted at the carrier\n"));
        let kept = kept.iter().map(|kept| format!("{} stays: {}\n", kept.call, kept.why));
        print(&gone.chain(later).chain(kept).collect::<String>())?;
    }
    if is_done { Ok(()) } else { Err(Failure::Said) }
}

/// `switchboard compact`.
pub(super) async fn compact(path: &Path) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let source = Source::open(&config).await?;
    let compacted = compact_all(&config, source, false).await?;
    print(&(compacted_words(&compacted) + "\n"))
}

/// Erases one call; none: it goes later. The inner error says why it stays.
async fn erase(
    config: &Config,
    source: &Source,
    id: CallId,
) -> Result<Result<Option<Erasure>, String>, Failure> {
    let Source::Store(store) = source else { return erase_over(source, id).await };
    let files = Recordings::below(&config.store.path, u64::MAX, 0, &config.store.vault);
    AuditLog::open(store.clone()).await?.record(audited(id)).await?;
    Ok(match erase_at_rest(store, &files, id, SystemClock.now()).await {
        Ok(Erased::Gone(proof)) => Ok(Some(proof)),
        Ok(Erased::Later) => Ok(None),
        Err(error) => Err(crate::text::chain(&error)),
    })
}

/// Who sits here erases a call where no gateway runs; there are no roles then, only whoever may read the files.
fn audited(id: CallId) -> AuditEntry {
    AuditEntry {
        n: 0,
        at: SystemClock.now(),
        who: who().map(|by| by.as_str().to_owned()).unwrap_or_default(),
        role: "local".to_owned(),
        what: "call.erase".to_owned(),
        call: Some(id),
        detail: None,
        from: None,
    }
}

/// The same in a running gateway.
async fn erase_over(source: &Source, id: CallId) -> Result<Result<Option<Erasure>, String>, Failure> {
    let Source::Gateway { base, token, client, .. } = source else {
        return Err(Failure::Unavailable(anyhow!("no gateway runs here")));
    };
    let response = client.delete(format!("{base}/calls/{id}")).bearer_auth(token).send().await?;
    match response.status() {
        status if status.is_success() => Ok(Ok(response.json::<ErasedCall>().await?.proof)),
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(Err(words_of(response).await)),
        _ => Err(refusal(response).await),
    }
}

/// Compacts the journal. Where something was erased the index, whose free space may still hold it, is made anew: at once
/// where no gateway runs, else at its next start.
async fn compact_all(config: &Config, source: Source, renew_index: bool) -> Result<Compacted, Failure> {
    let bar = progress::working("making the journal anew");
    let compacted = compact_unseen(config, source, renew_index).await;
    bar.finish_and_clear();
    compacted
}

async fn compact_unseen(config: &Config, source: Source, renew_index: bool) -> Result<Compacted, Failure> {
    match source {
        Source::Gateway { .. } => {
            source.ask(Method::POST, &format!("/compact?renew_index={renew_index}"), None).await
        }
        Source::Store(store) => {
            let compacted = store.compact().await?;
            if renew_index {
                store.renew_index_at_next_start()?;
            }
            store.close().await?;
            if renew_index && let Source::Store(store) = Source::open(config).await? {
                store.close().await?;
            }
            Ok(compacted)
        }
    }
}

/// The names that others have for a call: what is looked for afterwards.
fn names_of(call: &CallRecord) -> Vec<String> {
    let carrier = call.carrier.iter().flat_map(|carrier| {
        let legs = [&carrier.leg_sid, &carrier.left_leg].into_iter().flatten();
        std::iter::once(&carrier.call_sid).chain(legs).map(|sid| sid.as_str().to_owned())
    });
    let provider = call.provider.iter().map(|provider| provider.call_id.as_str().to_owned());
    carrier.chain(provider).filter(|name| !name.is_empty()).collect()
}

fn words(report: &Report) -> String {
    let mut words = String::new();
    let sum = |part: fn(&Erasure) -> usize| report.erased.iter().map(part).sum::<usize>();
    let _ = writeln!(
        words,
        "erased {} calls: {} transcript lines, {} tool calls, {} events, {} recordings",
        report.erased.len(),
        sum(|proof| proof.lines),
        sum(|proof| proof.tool_calls),
        sum(|proof| proof.events),
        sum(|proof| proof.recordings.len()),
    );
    for id in &report.later {
        let _ = writeln!(words, "{id} goes as soon as its recording is deleted at the carrier");
    }
    for Kept { call, why } in &report.kept {
        let _ = writeln!(words, "{call} stays: {why}");
    }
    let _ = writeln!(words, "{}", compacted_words(&report.compacted));
    let Searched { files, bytes, found } = &report.searched;
    let _ = write!(words, "looked through {files} files, {bytes} bytes: ");
    if found.is_empty() {
        words.push_str("nothing of them is left\n");
        return words;
    }
    words.push_str("something is left\n");
    for found in found {
        let why = match found.path.components().next().and_then(|first| first.as_os_str().to_str()) {
            Some("index") => {
                "free space of the index, which the gateway makes anew when it starts next: `switchboard handover`"
            }
            Some("quarantine") => "set aside at an earlier start: look at it, and delete it yourself",
            Some("journal") => "another call, or what a plugin keeps, has it",
            _ => "look at it yourself",
        };
        let _ = writeln!(words, "  {}: {} times ({why})", found.path.display(), found.times);
    }
    words
}

fn compacted_words(compacted: &Compacted) -> String {
    let Compacted { seq, keys, bytes, removed_bytes, resealed } = compacted;
    let sealed = match resealed {
        0 => String::new(),
        count => format!(
            "; {count} values were sealed with the first of `store.encryption_keys`, and the next start makes the index anew"
        ),
    };
    format!(
        "the journal up to record {seq} is {keys} keys in {bytes} bytes now; {removed_bytes} bytes of older files are gone{sealed}"
    )
}
