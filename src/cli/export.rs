//! `switchboard calls export`: everything that is kept of calls, for other programs.
//!
//! JSON Lines have each call whole, as `calls show --json` prints it. CSV (RFC 4180, with CRLF) has a line per call; what a
//! spreadsheet would take for a formula begins with an apostrophe there.

use std::io::{BufWriter, Write as _};

use clap::ValueEnum;

use super::Failure;
use super::source::Source;
use crate::call::record::CallRecord;
use crate::clock::Timestamp;

/// How calls are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object per line, with transcript, tool calls, usage, events and recordings.
    Jsonl,
    /// One line per call, without what was said.
    Csv,
}

/// The columns, which stay as they are; new ones come at the end.
const COLUMNS: [&str; 15] = [
    "call",
    "began",
    "ended",
    "seconds",
    "from",
    "to",
    "route",
    "session",
    "path",
    "state",
    "outcome",
    "detail",
    "lines",
    "tool_calls",
    "cost_usd",
];

/// Writes calls that began at `since` or later to standard output, newest first.
pub(super) async fn run(source: &Source, since: Timestamp, format: Format) -> Result<(), Failure> {
    let calls = source.since(since).await?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = match format {
        Format::Csv => write!(out, "{}\r\n", COLUMNS.join(","))
            .and_then(|()| calls.iter().try_for_each(|call| out.write_all(row(call).as_bytes()))),
        Format::Jsonl => {
            let mut written = Ok(());
            for call in calls {
                // One that was deleted meanwhile is no call any more.
                let Some(detail) = source.detail(call.id).await? else { continue };
                written = serde_json::to_writer(&mut out, &detail)
                    .map_err(std::io::Error::from)
                    .and_then(|()| out.write_all(b"\n"));
                if written.is_err() {
                    break;
                }
            }
            written
        }
    };
    match written.and_then(|()| out.flush()) {
        // A reader that has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn row(call: &CallRecord) -> String {
    let stages = &call.stages;
    let lasted = stages.ended.zip(stages.began()).map(|(ended, began)| ended.since(began).as_secs_f64());
    let state = format!("{:?}", call.state).to_lowercase();
    let ended = call.ended.as_ref();
    let cells: [String; COLUMNS.len()] = [
        call.id.to_string(),
        stages.began().map(|at| at.to_string()).unwrap_or_default(),
        stages.ended.map(|at| at.to_string()).unwrap_or_default(),
        lasted.map(|seconds| format!("{seconds:.3}")).unwrap_or_default(),
        number(call.caller.as_deref()),
        number(call.callee.as_deref()),
        text(call.route.as_deref()),
        text(call.session.as_deref()),
        text(Some(call.path.as_str())),
        state,
        text(ended.map(|ended| ended.reason.as_str())),
        text(ended.and_then(|ended| ended.detail.as_deref())),
        call.counts.lines.to_string(),
        call.counts.tool_calls.to_string(),
        call.cost_usd.map(|cost| format!("{cost:.6}")).unwrap_or_default(),
    ];
    cells.join(",") + "\r\n"
}

/// A number in E.164 is no formula, whatever it begins with.
fn number(value: Option<&str>) -> String {
    match value {
        Some(number)
            if number
                .strip_prefix('+')
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) =>
        {
            number.to_owned()
        }
        other => text(other),
    }
}

fn text(value: Option<&str>) -> String {
    let value = value.unwrap_or_default();
    let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !value.contains([',', '"', '\r', '\n']) {
        return value.to_owned();
    }
    format!("\"{guard}{}\"", value.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_no_formulas() {
        for (value, cell) in [
            ("plain", "plain"),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("@x", "\"'@x\""),
        ] {
            assert_eq!(text(Some(value)), cell);
        }
        assert_eq!(number(Some("+819012345678")), "+819012345678");
        assert_eq!(number(Some("+1+cmd|' /C calc'!A0")), "\"'+1+cmd|' /C calc'!A0\"");
        assert_eq!(number(None), "");
    }
}
