//! What happens in calls as lines of a console: each thing once, in whatever order and however often it is told.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::call::record::{
    CallDetail, CallRecord, EventRecord, Line, LineStatus, Stages, State, ToolCallRecord,
};
use crate::cli::view::{lasted, millis, printable, seconds, short, speaker, time_of_day};
use crate::clock::Timestamp;
use crate::ids::CallId;

/// How many calls are remembered, so that nothing of them is told twice; the oldest go first.
const CALLS_MAX: usize = 2_048;
/// How many letters of a call's id tell calls apart where many are followed; the last ones are random.
const LABEL_LETTERS: usize = 6;

/// What was told so far.
pub(super) struct Console {
    /// The one that is followed; none: all, and each line says of which call it is.
    one: Option<CallId>,
    calls: BTreeMap<CallId, Told>,
}

/// What was told of a call.
#[derive(Default)]
struct Told {
    stages: BTreeSet<Stage>,
    lines: BTreeMap<u32, (String, LineStatus)>,
    asked: BTreeSet<u32>,
    answered: BTreeSet<u32>,
    events: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Begun,
    Moved,
    Accepted,
    Up,
    Heard,
    Ended,
}

/// One line: when it happened, of which call, and what.
struct Row(Timestamp, CallId, &'static str, String);

#[derive(Deserialize)]
struct OfLine {
    call: CallId,
    line: Line,
}

#[derive(Deserialize)]
struct OfTool {
    call: CallId,
    tool_call: ToolCallRecord,
}

#[derive(Deserialize)]
struct OfEvent {
    call: CallId,
    event: EventRecord,
}

#[derive(Deserialize)]
struct Gone {
    call: CallId,
}

impl Console {
    pub fn of(one: Option<CallId>) -> Console {
        Console { one, calls: BTreeMap::new() }
    }

    /// Calls of which no end was told.
    pub fn open_calls(&self) -> impl Iterator<Item = CallId> {
        self.calls.iter().filter(|(_, told)| !told.stages.contains(&Stage::Ended)).map(|(id, _)| *id)
    }

    pub fn knows_end_of(&self, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(|told| told.stages.contains(&Stage::Ended))
    }

    /// What an event of the stream adds; what nobody reads on a console adds nothing.
    ///
    /// # Errors
    ///
    /// It is not what this version knows under its name.
    pub fn event(&mut self, name: &str, data: &str, now: Timestamp) -> anyhow::Result<String> {
        let rows = match name {
            "call" => self.call(&read(name, data)?),
            "line" => {
                let OfLine { call, line } = read(name, data)?;
                self.told(call).line(call, line).into_iter().collect()
            }
            "tool" => {
                let OfTool { call, tool_call } = read(name, data)?;
                self.told(call).tool(call, &tool_call)
            }
            "happened" => {
                let OfEvent { call, event } = read(name, data)?;
                self.told(call).event(call, &event).into_iter().collect()
            }
            "gone" => {
                let Gone { call } = read(name, data)?;
                self.told(call).stages.insert(Stage::Ended);
                vec![Row(now, call, "erased", String::new())]
            }
            _ => Vec::new(),
        };
        Ok(self.written(rows))
    }

    /// What of everything that is kept of a call was not told yet.
    pub fn detail(&mut self, detail: &CallDetail) -> String {
        let id = detail.call.id;
        let mut rows = self.call(&detail.call);
        let told = self.told(id);
        rows.extend(detail.lines.iter().filter_map(|line| told.line(id, line.clone())));
        rows.extend(detail.tool_calls.iter().flat_map(|tool_call| told.tool(id, tool_call)));
        rows.extend(detail.events.iter().filter_map(|event| told.event(id, event)));
        rows.sort_by_key(|Row(at, ..)| *at);
        self.written(rows)
    }

    fn told(&mut self, call: CallId) -> &mut Told {
        if self.calls.len() >= CALLS_MAX && !self.calls.contains_key(&call) {
            self.calls.pop_first();
        }
        self.calls.entry(call).or_default()
    }

    fn call(&mut self, call: &CallRecord) -> Vec<Row> {
        self.told(call.id).call(call)
    }

    fn written(&self, rows: Vec<Row>) -> String {
        let row = |Row(at, call, what, more): Row| {
            let line = format!("{}{what:<9}  {more}", self.label(call));
            format!("{}  {}\n", time_of_day(at), line.trim_end())
        };
        rows.into_iter().map(row).collect()
    }

    fn label(&self, call: CallId) -> String {
        let id = call.to_string();
        self.one.map_or_else(|| format!("{}  ", &id[id.len() - LABEL_LETTERS..]), |_| String::new())
    }
}

fn read<T: DeserializeOwned>(name: &str, data: &str) -> anyhow::Result<T> {
    serde_json::from_str(data).map_err(|error| {
        anyhow::anyhow!("the gateway tells `{name}` in a way that this version does not know: {error}")
    })
}

impl Told {
    fn call(&mut self, call: &CallRecord) -> Vec<Row> {
        let (id, stages) = (call.id, &call.stages);
        let mut rows = Vec::new();
        if self.is_new(Stage::Begun) {
            let from = printable(call.caller.as_deref().unwrap_or("withheld"));
            let to = printable(call.callee.as_deref().unwrap_or("?"));
            let route = call.route.as_deref().map(|route| format!(" · route {}", printable(route)));
            let more = format!("{from} → {to}{} · {} · {id}", route.unwrap_or_default(), call.path.as_str());
            rows.push(Row(stages.began().unwrap_or(id.began()), id, "begin", more));
        }
        if let Some(moved) = &call.moved
            && self.is_new(Stage::Moved)
        {
            let more = format!("{} → {}: {}", moved.from.as_str(), call.path.as_str(), moved.reason.as_str());
            rows.push(Row(moved.at, id, "moved", more));
            // It begins again on the other path.
            self.stages.retain(|stage| !matches!(stage, Stage::Accepted | Stage::Up | Stage::Heard));
        }
        for (stage, at, what, more) in reached(stages) {
            if let Some(at) = at.filter(|_| self.is_new(stage)) {
                rows.push(Row(at, id, what, more));
            }
        }
        if let (State::Ended, Some(ended)) = (call.state, &call.ended)
            && self.is_new(Stage::Ended)
        {
            let lasted = lasted(stages).map(seconds).unwrap_or_else(|| "0 s".to_owned());
            let cost = call.cost_usd.map(|cost| format!(" · ${cost:.4}")).unwrap_or_default();
            let why = ended.detail.as_deref().map(|why| format!(" · {}", short(why))).unwrap_or_default();
            let more = format!("{} · {lasted}{cost}{why}", ended.reason.as_str());
            rows.push(Row(stages.ended.unwrap_or(id.began()), id, "end", more));
        }
        rows
    }

    fn is_new(&mut self, stage: Stage) -> bool {
        self.stages.insert(stage)
    }

    fn line(&mut self, call: CallId, line: Line) -> Option<Row> {
        let words = match line.status {
            LineStatus::Untranscribed => "(speech that was not written down)".to_owned(),
            _ if line.text.is_empty() => "•••".to_owned(),
            _ => printable(&line.text),
        };
        let mark = match line.status {
            LineStatus::Interrupted => " … (interrupted)",
            LineStatus::Partial => " …",
            LineStatus::Final | LineStatus::Untranscribed => "",
        };
        let now = (line.text, line.status);
        let (at, more) = match self.lines.insert(line.n, now.clone()) {
            None => (line.started, format!("{words}{mark}")),
            Some((text, status)) if text == now.0 => {
                // Its end was learnt: that says something only where the caller did not hear it.
                let is_cut = status != now.1 && now.1 == LineStatus::Interrupted;
                (line.ended.filter(|_| is_cut)?, "… (interrupted)".to_owned())
            }
            Some(_) => (line.started, format!("{words}{mark} (in place of what was told)")),
        };
        Some(Row(at, call, speaker(line.speaker), more))
    }

    fn tool(&mut self, call: CallId, tool: &ToolCallRecord) -> Vec<Row> {
        let mut rows = Vec::new();
        let name = printable(&tool.name);
        if self.asked.insert(tool.n) {
            rows.push(Row(tool.requested, call, "tool", format!("→ {name} {}", short(&tool.arguments))));
        }
        if let (Some(outcome), Some(finished)) = (tool.outcome, tool.finished)
            && self.answered.insert(tool.n)
        {
            let took = millis(finished.since(tool.requested));
            let output = tool.output.as_deref().map(short).unwrap_or_default();
            let more = format!("← {name} {} in {took}  {output}", outcome.as_str());
            rows.push(Row(finished, call, "tool", more));
        }
        rows
    }

    fn event(&mut self, call: CallId, event: &EventRecord) -> Option<Row> {
        if event.n < self.events {
            return None;
        }
        self.events = event.n + 1;
        let data = event.data.as_ref().map(|data| short(data.get())).unwrap_or_default();
        Some(Row(event.at, call, "event", format!("{} {data}", printable(&event.kind))))
    }
}

/// The stages that a call reaches on its way to the model, as they are told.
fn reached(stages: &Stages) -> [(Stage, Option<Timestamp>, &'static str, String); 3] {
    let after = |at: Option<Timestamp>, from: Option<Timestamp>| {
        let span = at.zip(from).map(|(at, from)| format!("after {}", millis(at.since(from))));
        span.unwrap_or_default()
    };
    let accepted = after(stages.accepted, stages.webhook_received);
    let up = after(stages.attached, stages.accepted);
    let heard = stages.first_word_after().map(millis).unwrap_or_default();
    [
        (Stage::Accepted, stages.accepted, "accept", accepted),
        (Stage::Up, stages.attached, "live", up),
        (Stage::Heard, stages.first_audio, "heard", format!("first word after {heard}")),
    ]
}
