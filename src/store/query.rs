//! Lists: which calls, in which order, from where on.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;

use super::error::StoreError;
use super::index::{Index, with_prefix};
use super::key::Part;
use super::{key, parts, read};
use crate::call::record::{CallRecord, Line, Path, State, ToolCallRecord};
use crate::clock::Timestamp;
use crate::ids::{CallId, NotACallId};

/// The most calls on one page.
pub const PAGE_MAX: u16 = 200;
/// How many records are looked at for one page at most: some hundredths of a second.
const SCANNED_MAX: usize = 2_000;
/// How many calls' lines or tool calls are looked through for one page at most.
const READ_MAX: usize = 300;

/// Which calls to list, newest first. The time of a call is the one in its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// By what they are found.
    pub by: By,
    /// Only calls that began at this time or later.
    pub since: Option<Timestamp>,
    /// Only calls that began before this time.
    pub until: Option<Timestamp>,
}

/// By what calls are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// All of them.
    #[default]
    Time,
    /// Those whose caller or callee is this number, as it stands in their records.
    Number(String),
    /// Those in this state.
    State(State),
}

/// What is looked for that no list of the store is in the order of. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Calls in this state.
    pub state: Option<State>,
    /// Calls that this route took.
    pub route: Option<String>,
    /// Calls over this path.
    pub path: Option<Path>,
    /// Calls that ended for this reason, by its name.
    pub outcome: Option<String>,
    /// Calls in which this tool was called.
    pub tool: Option<String>,
    /// Calls in which this was said, in any case.
    pub text: Option<String>,
}

impl CallFilter {
    /// Claims that what is in the record speaks for the call.
    fn fits(&self, call: &CallRecord) -> bool {
        let outcome = call.ended.as_ref().map(|ended| ended.reason.as_str());
        self.state.is_none_or(|state| call.state == state)
            && (self.route.is_none() || call.route == self.route)
            && self.path.is_none_or(|path| call.path == path)
            && (self.outcome.is_none() || outcome == self.outcome.as_deref())
    }

    /// Claims that more than the record must be looked through.
    fn reads_parts(&self) -> bool {
        self.tool.is_some() || self.text.is_some()
    }

    /// Claims that what is kept beside the record speaks for the call.
    fn fits_parts(&self, index: &Index, id: CallId) -> Result<bool, StoreError> {
        if let Some(tool) = &self.tool {
            let called: Vec<ToolCallRecord> = parts(index, Part::ToolCall, id)?;
            if !called.iter().any(|call| call.name == *tool) {
                return Ok(false);
            }
        }
        let Some(text) = &self.text else { return Ok(true) };
        let wanted = text.to_lowercase();
        let lines: Vec<Line> = parts(index, Part::Line, id)?;
        Ok(lines.iter().any(|line| line.text.to_lowercase().contains(&wanted)))
    }
}

/// Where a list goes on. Its text may be handed out and taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(CallId);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Cursor {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Cursor, NotACallId> {
        text.parse().map(Cursor)
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on, as text for [`Cursor`]; none at the end.
    #[serde(serialize_with = "cursor_text")]
    pub next: Option<Cursor>,
}

fn cursor_text<S: serde::Serializer>(cursor: &Option<Cursor>, serializer: S) -> Result<S::Ok, S::Error> {
    cursor.map(|cursor| cursor.to_string()).serialize(serializer)
}

impl CallQuery {
    /// Reads one page.
    pub(super) fn run(
        &self,
        index: &Index,
        after: Option<Cursor>,
        limit: u16,
    ) -> Result<Page<CallRecord>, StoreError> {
        self.run_like(index, &CallFilter::default(), after, limit)
    }

    /// Reads one page of what passes the filter, which goes on where so many calls were looked at.
    pub(super) fn run_like(
        &self,
        index: &Index,
        filter: &CallFilter,
        after: Option<Cursor>,
        limit: u16,
    ) -> Result<Page<CallRecord>, StoreError> {
        let prefix = match &self.by {
            By::Time => key::CALLS.to_owned(),
            By::Number(number) => key::by_number(number),
            By::State(state) => key::by_state(*state),
        };
        let limit = usize::from(limit.clamp(1, PAGE_MAX));
        let mut items: Vec<CallRecord> = Vec::new();
        let (mut scanned, mut read_through, mut last) = (0, 0, None);
        for listed in index.keys_back(&self.range(&prefix, after)) {
            let listed = listed?;
            let Some(id) = key::listed_call(&listed) else { continue };
            if scanned == SCANNED_MAX || read_through == READ_MAX {
                return Ok(Page { items, next: last.map(Cursor) });
            }
            (scanned, last) = (scanned + 1, Some(id));
            // Lists are no snapshots: the call may have moved on since its place was read.
            let Some(record) = read::<CallRecord>(index, &key::call(id))?.filter(|record| self.fits(record))
            else {
                continue;
            };
            if !filter.fits(&record) {
                continue;
            }
            if filter.reads_parts() {
                read_through += 1;
                if !filter.fits_parts(index, id)? {
                    continue;
                }
            }
            if items.len() == limit {
                return Ok(Page { next: items.last().map(|last| Cursor(last.id)), items });
            }
            items.push(record);
        }
        Ok(Page { items, next: None })
    }

    /// Where the listed keys lie.
    fn range(&self, prefix: &str, after: Option<Cursor>) -> Range<String> {
        let Range { start, end } = with_prefix(prefix);
        let bound = |id: CallId| format!("{prefix}{id}");
        let start = self.since.map_or(start, |since| bound(key::first_call_at(since)));
        let end = self.until.map_or(end, |until| bound(key::first_call_at(until)));
        let end = after.map_or(end.clone(), |after| bound(after.0).min(end));
        // An empty range, rather than one that begins after its end.
        if start < end { start..end } else { end.clone()..end }
    }

    fn fits(&self, record: &CallRecord) -> bool {
        match &self.by {
            By::Time => true,
            By::Number(number) => [&record.caller, &record.callee].contains(&&Some(number.clone())),
            By::State(state) => record.state == *state,
        }
    }
}
