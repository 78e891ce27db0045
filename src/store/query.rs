//! Lists: which calls, in which order, from where on.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;

use super::error::StoreError;
use super::index::{Index, with_prefix};
use super::{key, read};
use crate::call::record::{CallRecord, State};
use crate::clock::Timestamp;
use crate::ids::{CallId, NotACallId};

/// The most calls on one page.
pub const PAGE_MAX: u16 = 200;

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
        let prefix = match &self.by {
            By::Time => key::CALLS.to_owned(),
            By::Number(number) => key::by_number(number),
            By::State(state) => key::by_state(*state),
        };
        let limit = usize::from(limit.clamp(1, PAGE_MAX));
        let mut items: Vec<CallRecord> = Vec::new();
        for listed in index.keys_back(&self.range(&prefix, after)) {
            let listed = listed?;
            let Some(id) = key::listed_call(&listed) else { continue };
            // Lists are no snapshots: the call may have moved on since its place was read.
            let Some(record) = read::<CallRecord>(index, &key::call(id))?.filter(|record| self.fits(record))
            else {
                continue;
            };
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
