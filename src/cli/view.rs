//! Calls as a person reads them on a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use jiff::tz::TimeZone;

use crate::call::record::{
    CallDetail, CallRecord, Line, LineStatus, Path, Speaker, Stages, State, ToolCallRecord,
};
use crate::call::recording::RecordingRecord;
use crate::clock::Timestamp;
use crate::tool::{Origin, ToolView};

/// A list of calls as a table.
pub fn table(calls: &[CallRecord]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["CALL", "BEGAN", "FROM", "TO", "ROUTE", "STATE", "LASTED", "COST"]);
    for call in calls {
        table.add_row([
            call.id.to_string(),
            call.stages.began().map(|at| at.to_string()).unwrap_or_default(),
            call.caller.clone().unwrap_or_else(|| "withheld".to_owned()),
            call.callee.clone().unwrap_or_default(),
            call.route.clone().unwrap_or_default(),
            state(call),
            lasted(&call.stages).map(seconds).unwrap_or_default(),
            call.cost_usd.map(|cost| format!("${cost:.4}")).unwrap_or_default(),
        ]);
    }
    for at in [6, 7] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // The preset pads the last column; a pipe should not see that.
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A list of recordings as a table.
pub fn recordings(records: &[RecordingRecord]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["CALL", "RECORDING", "STATE", "BEGAN", "LASTED", "BYTES", "AT CARRIER", "PROBLEM"]);
    for record in records {
        table.add_row([
            record.call.to_string(),
            printable(record.id.as_str()),
            record.state.as_str().to_owned(),
            record.started.map(|at| at.to_string()).unwrap_or_default(),
            record.duration_s.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default(),
            record.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
            format!("{:?}", record.carrier_copy).to_lowercase(),
            trouble_with(record).unwrap_or_default(),
        ]);
    }
    for at in [4, 5] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The tools as a table; `sessions` names those that offer a tool.
pub fn tools(tools: &[ToolView], sessions: impl Fn(&str) -> Vec<String>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["TOOL", "KIND", "FROM", "TIMEOUT", "REPEATABLE", "SESSIONS"]);
    for tool in tools {
        let name = &tool.definition.name;
        let (kind, from) = match &tool.origin {
            Origin::Plugin(plugin) => ("plugin", format!("[plugins.{plugin}]")),
            Origin::Http(_) => ("http", format!("[tools.{name}]")),
            Origin::Embedded => ("embedded", String::new()),
        };
        let offering = sessions(name);
        table.add_row([
            name.clone(),
            kind.to_owned(),
            from,
            seconds(tool.time_max),
            if tool.may_repeat { "yes" } else { "no" }.to_owned(),
            if offering.is_empty() { "none".to_owned() } else { offering.join(", ") },
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// One call with everything that is kept of it.
pub fn detail(detail: &CallDetail) -> String {
    let call = &detail.call;
    let mut text = String::new();
    let lasted = lasted(&call.stages).map(seconds).unwrap_or_else(|| "0 s".to_owned());
    let _ = writeln!(text, "{} · {} · {lasted}", call.id, state(call));
    if let Some(why) = call.ended.as_ref().and_then(|ended| ended.detail.as_deref()) {
        let _ = writeln!(text, "  detail     {}", printable(why));
    }
    let from = call.caller.as_deref().unwrap_or("withheld");
    let _ = writeln!(
        text,
        "  caller     {} → {}",
        printable(from),
        printable(call.callee.as_deref().unwrap_or("?"))
    );
    let _ = writeln!(
        text,
        "  answered   route `{}`, session `{}`",
        call.route.as_deref().unwrap_or("none"),
        call.session.as_deref().unwrap_or("none")
    );
    write_sides(&mut text, call);
    write_path(&mut text, call);
    if let Some(moved) = &call.moved {
        write_stages(&mut text, "before", moved.from, &moved.stages);
    }
    write_stages(&mut text, "stages", call.path, &call.stages);
    if let Some(after) = call.stages.first_word_after() {
        let _ = writeln!(text, "  first word after {}", millis(after));
    }
    write_recordings(&mut text, detail);
    write_conversation(&mut text, detail);
    write_usage(&mut text, detail);
    text
}

/// The same in a few lines: how it went, and what was said.
pub fn in_short(detail: &CallDetail) -> String {
    let call = &detail.call;
    let mut text = String::new();
    let lasted = lasted(&call.stages).map(seconds).unwrap_or_else(|| "0 s".to_owned());
    let route = call.route.as_deref().map(|route| format!(" · route {route}")).unwrap_or_default();
    let _ = writeln!(text, "  {} over {} · {lasted}{route}", state(call), call.path.as_str());
    write_path(&mut text, call);
    write_stages(&mut text, "stages", call.path, &call.stages);
    write_conversation(&mut text, detail);
    text
}

fn state(call: &CallRecord) -> String {
    match (&call.state, &call.ended) {
        (State::Ended, Some(ended)) => format!("ended {}", ended.reason.as_str()),
        (state, _) => format!("{state:?}").to_lowercase(),
    }
}

fn write_sides(text: &mut String, call: &CallRecord) {
    if let Some(carrier) = &call.carrier {
        let leg = carrier.leg_status.as_deref().unwrap_or("none");
        let _ = writeln!(
            text,
            "  carrier    {} {} ({}), leg {leg}{}",
            carrier.name,
            carrier.call_sid,
            printable(&carrier.status),
            carrier.sip_code.map(|code| format!(", SIP {code}")).unwrap_or_default()
        );
    }
    if let Some(provider) = &call.provider {
        let joined = format!("{:?}", provider.joined_by).to_lowercase();
        let _ = writeln!(
            text,
            "  provider   {} {} · {} · joined by {joined}",
            provider.name,
            provider.call_id,
            provider.model.as_deref().unwrap_or("no model"),
        );
    }
    if let Some(to) = call.handed_to.as_deref() {
        let seen = match &call.handed {
            None => "not seen by the carrier".to_owned(),
            Some(handed) => match (handed.answered, handed.result.as_deref()) {
                (Some(true), _) => format!("by {}, answered", handed.by.as_str()),
                (_, Some(result)) => {
                    format!("by {}, not answered: {}", handed.by.as_str(), printable(result))
                }
                _ => format!("by {}", handed.by.as_str()),
            },
        };
        let _ = writeln!(text, "  handed on  to {} · {seen}", printable(to));
    }
}

/// The path of the call, where there is more to say of it than its name.
fn write_path(text: &mut String, call: &CallRecord) {
    if let Some(moved) = &call.moved {
        let why = moved.detail.as_deref().map(|why| format!(" ({})", printable(why))).unwrap_or_default();
        let spoke = moved.spoke_again.map(|at| millis(at.since(moved.at)));
        let spoke = spoke.map_or("the assistant never spoke again".to_owned(), |after| {
            format!("the assistant spoke {after} later")
        });
        let (from, to) = (moved.from.as_str(), call.path.as_str());
        let _ = writeln!(text, "  path       {from} → {to}: {}{why}, {spoke}", moved.reason.as_str());
    } else if let Some(avoided) = call.avoided {
        let (path, avoided) = (call.path.as_str(), avoided.as_str());
        let _ = writeln!(text, "  path       {path}, because {avoided} failed too often just before");
    }
}

/// The stages on one path; nothing where the model was not offered the call on it.
fn write_stages(text: &mut String, title: &str, path: Path, stages: &Stages) {
    let Some(received) = stages.webhook_received else { return };
    let offer = if path == Path::MediaStreams { "stream" } else { "webhook" };
    let named = [
        ("accept sent", stages.accept_sent),
        ("accepted", stages.accepted),
        ("sideband up", stages.attached),
        ("greeting", stages.greeted),
        ("first audio", stages.first_audio),
    ];
    let steps: Vec<String> = named
        .into_iter()
        .filter_map(|(name, at)| Some(format!("{name} {}", millis(at?.since(received)))))
        .collect();
    let _ = writeln!(text, "  {title:<10} {offer} → {}", steps.join(" → "));
}

/// Each recording, and where its first moment lies on the time line of the transcript.
fn write_recordings(text: &mut String, detail: &CallDetail) {
    let call = &detail.call;
    if let Some(told) = call.consent.as_ref().and_then(|consent| consent.announcement.as_deref()) {
        let _ = writeln!(text, "  announced  {}", short(told));
    }
    for record in &detail.recordings {
        let length = record.duration_s.map(|seconds| format!(", {seconds:.1} s")).unwrap_or_default();
        let bytes = record.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
        let offset = match (record.first_moment(call), call.stages.began()) {
            (Some(first), Some(zero)) if first >= zero => format!(", begins at {}", clock(zero, first)),
            (Some(first), Some(zero)) => format!(", begins {} before", millis(zero.since(first))),
            _ => String::new(),
        };
        let id = printable(record.id.as_str());
        let _ = writeln!(text, "  recording  {id} {}{length}{bytes}{offset}", record.state.as_str());
        if let Some(trouble) = trouble_with(record) {
            let _ = writeln!(text, "             {trouble}");
        }
    }
}

/// Why a recording is not kept, or not whole.
fn trouble_with(record: &RecordingRecord) -> Option<String> {
    let lost = record.lost_s.map(|seconds| format!("{seconds:.1} s could not be written"));
    record.problem.as_deref().map(short).or(lost)
}

/// Lines and tool calls, woven together in the order in which they happened.
fn write_conversation(text: &mut String, detail: &CallDetail) {
    enum Part<'a> {
        Line(&'a Line),
        Tool(&'a ToolCallRecord),
    }
    let Some(zero) = detail.call.stages.began() else { return };
    let lines = detail.lines.iter().map(|line| (line.started, Part::Line(line)));
    let tools = detail.tool_calls.iter().map(|tool| (tool.requested, Part::Tool(tool)));
    let mut parts: Vec<_> = lines.chain(tools).collect();
    parts.sort_by_key(|(at, _)| *at);
    if !parts.is_empty() {
        text.push('\n');
    }
    for (at, part) in parts {
        match part {
            Part::Line(line) => write_line(text, zero, line),
            Part::Tool(tool) => write_tool(text, zero, at, tool),
        }
    }
}

pub(super) fn speaker(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Caller => "caller",
        Speaker::Assistant => "assistant",
        Speaker::Keypad => "keypad",
    }
}

fn write_line(text: &mut String, zero: Timestamp, line: &Line) {
    let speaker = speaker(line.speaker);
    let mark = match line.status {
        LineStatus::Final => "",
        LineStatus::Partial => " … (the rest never came)",
        LineStatus::Interrupted => " … (interrupted)",
        LineStatus::Untranscribed => "(speech that was not written down)",
    };
    let ended = line.ended.map_or("     …   ".to_owned(), |ended| clock(zero, ended));
    let _ = writeln!(
        text,
        "  {} – {ended}  {speaker:<9}  {}{mark}",
        clock(zero, line.started),
        printable(&line.text)
    );
}

fn write_tool(text: &mut String, zero: Timestamp, at: Timestamp, tool: &ToolCallRecord) {
    let outcome = tool.outcome.map_or("running", |outcome| outcome.as_str());
    let took = tool.finished.map(|finished| millis(finished.since(tool.requested))).unwrap_or_default();
    let _ = writeln!(
        text,
        "  {}{:>12}  tool       {} {} → {outcome} in {took}",
        clock(zero, at),
        "",
        printable(&tool.name),
        short(&tool.arguments)
    );
    if let Some(output) = &tool.output {
        let _ = writeln!(text, "{:34}{}", "", short(output));
    }
}

fn write_usage(text: &mut String, detail: &CallDetail) {
    let usage = &detail.call.usage;
    if detail.usage.is_empty() {
        return;
    }
    let cost = detail.call.cost_usd.map_or("unknown price".to_owned(), |cost| format!("${cost:.6}"));
    let _ = writeln!(
        text,
        "\n  tokens     text {} in ({} cached), {} out · audio {} in ({} cached), {} out\n  cost       {cost}",
        usage.text_in, usage.text_cached, usage.text_out, usage.audio_in, usage.audio_cached, usage.audio_out,
    );
}

/// Minutes, seconds and milliseconds since the call began.
pub(super) fn clock(zero: Timestamp, at: Timestamp) -> String {
    let since = at.since(zero);
    format!("{:02}:{:02}.{:03}", since.as_secs() / 60, since.as_secs() % 60, since.subsec_millis())
}

/// The time of day here, with milliseconds.
pub(super) fn time_of_day(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    moment.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string()
}

pub(super) fn lasted(stages: &Stages) -> Option<Duration> {
    Some(stages.ended?.since(stages.began()?))
}

pub(super) fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

pub(super) fn millis(span: Duration) -> String {
    let millis = span.as_secs_f64() * 1_000.0;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

/// A vendor's or caller's text without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

pub(super) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    let mut short: String = printable(text).chars().take(CHARS_MAX).collect();
    if text.chars().count() > CHARS_MAX {
        short.push('…');
    }
    short
}
