//! The same sheet of one's own gateway: what can be said of the calls that it has kept.

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::anyhow;

use super::Arguments;
use super::checks::{
    ACCEPT, ERRORS, FIRST_WORD_WITHIN, RECORDINGS, TOOLS, WEBHOOK, accept_notes, answered, first_word_claim,
    not_refused, peak,
};
use super::sheet::{Check, Row, brief, spread};
use super::simulated::forge;
use crate::call::record::{CallDetail, EndedReason, Path, Stages, ToolOutcomeKind};
use crate::cli::Failure;
use crate::cli::source::Source;
use crate::clock::{Clock as _, SystemClock};

/// How many calls are read, the newest; a sheet of more is a matter for `switchboard report`.
const CALLS_MAX: usize = 1_000;

/// Judges the kept calls of a while.
pub(super) async fn judge(path: &FilePath, arguments: &Arguments) -> Result<Vec<Row>, Failure> {
    let config = crate::cli::load_config(path)?;
    let source = Source::open(&config).await?;
    let since = SystemClock.now() - arguments.since;
    let mut calls = Vec::new();
    // A call that routes turned away or forwarded never was to reach a model.
    for call in source.since(since).await?.iter().filter(|call| call.session.is_some()).take(CALLS_MAX) {
        calls.extend(source.detail(call.id).await?);
    }
    calls.retain(|detail| detail.call.ended.is_some());
    if calls.is_empty() {
        let words =
            "no call that a session answered was kept in this time: call your number, hang up, and try again";
        return Err(anyhow!(words).into());
    }
    let mut rows = rows(&calls, arguments.calls);
    rows.push(webhook(&calls, &config.server.public_url).await?);
    rows.sort_by_key(|row| row.check);
    Ok(rows)
}

async fn webhook(calls: &[CallDetail], url: &str) -> Result<Row, Failure> {
    let silent = calls.iter().filter(|call| {
        let reason = call.call.ended.as_ref().map(|ended| ended.reason);
        let moved = call.call.moved.as_ref().map(|moved| moved.reason);
        [reason, moved].contains(&Some(EndedReason::ProviderSilent))
    });
    let mut wrong: Vec<String> = silent.map(|call| format!("{}: no webhook came", call.call.id)).collect();
    let received = calls.iter().filter(|call| call.call.provider.is_some()).count();
    let mut seen = format!("{received} of {}", calls.len());
    let forged = forge(url.trim_end_matches('/')).await?;
    wrong.extend(not_refused(&forged));
    let refused = forged.len() - not_refused(&forged).count();
    seen.push_str(&format!("; {refused} of {} forged refused at {url}", forged.len()));
    Ok(Row::new(Check::Webhook, WEBHOOK, seen, wrong))
}

fn rows(calls: &[CallDetail], at_once: Option<u32>) -> Vec<Row> {
    vec![
        accept(calls),
        first_word(calls),
        Row::not_judged(
            Check::Transcription,
            "Japanese is written down correctly",
            "what was said is not known here: `switchboard eval speech` plays a corpus",
        ),
        tools(calls),
        recordings(calls),
        Row::not_judged(
            Check::TranscriptTimes,
            "close to the truth",
            "the truth is known of simulated callers only",
        ),
        concurrency(calls, at_once),
        errors(calls),
    ]
}

fn accept(calls: &[CallDetail]) -> Row {
    let is_up = |call: &&CallDetail| call.call.stages.attached.is_some();
    let down = calls.iter().filter(|call| !is_up(call));
    let wrong: Vec<String> = down.map(|call| format!("{}: {}", call.call.id, why(call))).collect();
    let spans = |span: fn(&Stages) -> Option<Duration>| -> Vec<Duration> {
        calls.iter().filter_map(|call| span(&call.call.stages)).collect()
    };
    let mut to_accept = spans(Stages::webhook_to_accept);
    let mut to_session = spans(|stages| Some(stages.attached?.since(stages.webhook_received?)));
    let seen = format!("{} of {}", calls.len() - wrong.len(), calls.len());
    let notes = accept_notes(&mut to_accept, &mut to_session);
    Row { notes, ..Row::new(Check::Accept, ACCEPT, seen, wrong) }
}

fn why(call: &CallDetail) -> String {
    let Some(ended) = &call.call.ended else { return "it is not over".to_owned() };
    let detail = ended.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}", ended.reason.as_str())
}

fn first_word(calls: &[CallDetail]) -> Row {
    let mut words = Vec::new();
    let mut wrong = Vec::new();
    for call in calls.iter().filter(|call| call.call.path != Path::None) {
        let stages = &call.call.stages;
        match answered(stages).zip(stages.first_audio) {
            None => wrong.push(format!("{}: the caller heard nothing of the assistant", call.call.id)),
            Some((answered, spoke)) => {
                let took = spoke.since(answered);
                words.push(took);
                if took > FIRST_WORD_WITHIN {
                    wrong.push(format!("{}: {} after the answer", call.call.id, brief(took)));
                }
            }
        }
    }
    Row::new(Check::FirstWord, first_word_claim(), spread(&mut words), wrong)
}

fn tools(calls: &[CallDetail]) -> Row {
    let claim = TOOLS;
    let all = || calls.iter().flat_map(|call| call.tool_calls.iter().map(move |tool| (call.call.id, tool)));
    if all().next().is_none() {
        return Row::not_judged(Check::Tools, claim, "no model asked for a tool");
    }
    // That there is no such customer, and that the caller has gone, are answers.
    let is_well = |outcome: Option<ToolOutcomeKind>| {
        use ToolOutcomeKind::{Cancelled, NotFound, Ok};
        matches!(outcome, Some(Ok | NotFound | Cancelled))
    };
    let wrong: Vec<String> = all()
        .filter(|(_, tool)| !is_well(tool.outcome))
        .map(|(id, tool)| {
            format!("{id}: `{}`: {}", tool.name, tool.outcome.map_or("unanswered", ToolOutcomeKind::as_str))
        })
        .collect();
    let mut times: Vec<Duration> =
        all().filter_map(|(_, tool)| Some(tool.finished?.since(tool.requested))).collect();
    let count = all().count();
    let seen = format!("{} of {count} answered well, {}", count - wrong.len(), spread(&mut times));
    Row::new(Check::Tools, claim, seen, wrong)
}

fn recordings(calls: &[CallDetail]) -> Row {
    let claim = RECORDINGS;
    let recorded: Vec<&CallDetail> = calls
        .iter()
        .filter(|call| call.call.consent.is_some() && call.call.stages.attached.is_some())
        .collect();
    if recorded.is_empty() {
        return Row::not_judged(Check::Recordings, claim, "no call was to be recorded");
    }
    let lost = recorded.iter().filter(|call| {
        // One that was deleted was kept.
        !call.recordings.iter().any(|record| record.is_kept() || record.deleted.is_some())
    });
    let wrong: Vec<String> = lost
        .map(|call| {
            let problem = call.recordings.first().and_then(|record| record.problem.clone());
            format!("{}: {}", call.call.id, problem.unwrap_or_else(|| "no recording came".to_owned()))
        })
        .collect();
    let seen = format!("{} of {}", recorded.len() - wrong.len(), recorded.len());
    Row::new(Check::Recordings, claim, seen, wrong)
}

fn concurrency(calls: &[CallDetail], at_once: Option<u32>) -> Row {
    let peak = peak(calls.iter());
    let Some(wanted) = at_once else {
        let seen = format!("{peak} at once at most; say how many there must be with `--calls`");
        return Row::not_judged(Check::Concurrency, "so many at once", seen);
    };
    let wrong = match peak < wanted as usize {
        true => vec![format!("only {peak} of {wanted} calls were up at once")],
        false => Vec::new(),
    };
    let claim = format!("{wanted} at once");
    Row::new(Check::Concurrency, claim, format!("{peak} at once at most"), wrong)
}

fn errors(calls: &[CallDetail]) -> Row {
    use EndedReason::{AcceptFailed, AttachFailed, GatewayLost, LegFailed, ProviderDropped, ProviderSilent};
    let lost = calls.iter().filter(|call| {
        let reason = call.call.ended.as_ref().map(|ended| ended.reason);
        matches!(
            reason,
            Some(AcceptFailed | AttachFailed | GatewayLost | LegFailed | ProviderDropped | ProviderSilent)
        )
    });
    let wrong: Vec<String> = lost.map(|call| format!("{}: {}", call.call.id, why(call))).collect();
    let moved = calls.iter().filter(|call| call.call.moved.is_some()).count();
    let seen = format!(
        "{} of {} calls not lost, {moved} of them over the other path",
        calls.len() - wrong.len(),
        calls.len()
    );
    Row::new(Check::Errors, ERRORS, seen, wrong)
}
