//! Calls: found, listed, shown; each as far as who asks may see.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask, Problem};
use crate::call::privacy::ShownCall;
use crate::call::record::{
    CallDetail, CallRecord, EventRecord, Line, Path, State, ToolCallRecord, UsageRecord,
};
use crate::call::recording::RecordingRecord;
use crate::clock::Timestamp;
use crate::http::answer;
use crate::ids::CallId;
use crate::store::{By, CallFilter, CallQuery, Cursor, Store, StoreError};

/// How many calls one page holds where the question does not say.
const PAGE: u16 = 50;

/// A page of calls, newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// The calls.
    pub calls: Vec<CallRecord>,
    /// Where the next page begins; none on the last one.
    pub next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ShownPage {
    calls: Vec<ShownCall>,
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ShownDetail {
    call: ShownCall,
    lines: Vec<Line>,
    tool_calls: Vec<ToolCallRecord>,
    usage: Vec<UsageRecord>,
    events: Vec<EventRecord>,
    recordings: Vec<RecordingRecord>,
    /// To whom the caller can be handed on, by name; nobody once the call is over.
    transfer_targets: Vec<String>,
}

/// What `GET /api/v1/calls` may be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    number: Option<String>,
    state: Option<State>,
    since: Option<String>,
    until: Option<String>,
    route: Option<String>,
    path: Option<Path>,
    outcome: Option<String>,
    tool: Option<String>,
    text: Option<String>,
    after: Option<String>,
    limit: Option<u16>,
    unmasked: bool,
}

/// Everything that is kept of a call; none when there is no such call.
///
/// # Errors
///
/// [`StoreError`] when the store cannot be read.
pub async fn detail(store: &Store, id: CallId) -> Result<Option<CallDetail>, StoreError> {
    store.detail(id).await
}

/// `GET /api/v1/calls`.
pub(super) async fn list(ask: Ask) -> Answered {
    let question: Question = ask.params()?;
    let sight = ask.sight(question.unmasked)?;
    if question.text.is_some() && !sight.words {
        return Err(Problem::forbidden("to look for `text` is for the role `listener`"));
    }
    let after = question.after.as_deref().map(str::parse::<Cursor>).transpose()?;
    let limit = question.limit.unwrap_or(PAGE);
    if sight.numbers || question.text.is_some() {
        ask.audit_reading("calls.list", None, Some(what_of(&question))).await?;
    }
    let (query, filter) = looked_for(question)?;
    let page = ask.doors.control.store().calls_like(query, filter, after, limit).await?;
    let next = page.next.map(|cursor| cursor.to_string());
    let calls = page.items.into_iter().map(|call| ShownCall::of(call, sight)).collect();
    Ok(answer::json(&ShownPage { calls, next }))
}

/// For the audit log: the kinds of what was asked, never the words or the number themselves.
fn what_of(question: &Question) -> String {
    let kinds = [
        ("unmasked", question.unmasked),
        ("text", question.text.is_some()),
        ("number", question.number.is_some()),
    ];
    let kinds: Vec<&str> = kinds.into_iter().filter(|(_, is_so)| *is_so).map(|(kind, _)| kind).collect();
    kinds.join(" ")
}

fn looked_for(question: Question) -> Result<(CallQuery, CallFilter), Problem> {
    let Question { number, state, since, until, route, path, outcome, tool, text, .. } = question;
    let filter = CallFilter { state, route, path, outcome, tool, text };
    let by = match (number, state) {
        (Some(number), _) => By::Number(number),
        (None, Some(state)) => By::State(state),
        (None, None) => By::Time,
    };
    let query = CallQuery { by, since: moment("since", since)?, until: moment("until", until)? };
    Ok((query, filter))
}

/// A moment as it may be written in a query.
pub(super) fn moment(name: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let read = text.map(|text| text.parse::<Timestamp>());
    read.transpose().map_err(|error| Problem::bad(format!("`{name}`: {error}")))
}

/// What else may be said of a call that is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Unmasked {
    unmasked: bool,
}

/// `GET /api/v1/calls/ID`.
pub(super) async fn show(ask: Ask) -> Answered {
    let (id, Unmasked { unmasked }) = (ask.call_id()?, ask.params()?);
    let sight = ask.sight(unmasked)?;
    let store = ask.doors.control.store();
    let detail = detail(store, id).await?.ok_or_else(|| no_call(id))?;
    if sight.words {
        let how = if unmasked { "unmasked" } else { "masked" };
        ask.audit_reading("call.read", Some(id), Some(how.to_owned())).await?;
    }
    let transfer_targets = ask.doors.control.transfer_targets(&detail.call);
    let CallDetail { call, mut lines, mut tool_calls, usage, mut events, recordings } = detail;
    lines.iter_mut().for_each(|line| sight.of_line(line));
    tool_calls.iter_mut().for_each(|tool_call| sight.of_tool_call(tool_call));
    events.iter_mut().for_each(|event| sight.of_event(event));
    let call = ShownCall::of(call, sight);
    let shown = ShownDetail { call, lines, tool_calls, usage, events, recordings, transfer_targets };
    Ok(answer::json(&shown))
}

pub(super) fn no_call(id: CallId) -> Problem {
    Problem::missing(format!("no call `{id}`"))
}
