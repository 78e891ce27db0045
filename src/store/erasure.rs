//! Erasing a call: everything that is kept of it goes in one commit, and a proof stays that says nothing of it.
//!
//! What was erased is out of every list and answer at once, and out of the journal's files with the next compaction.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::committer::View;
use super::error::StoreError;
use super::index::{Index, with_prefix};
use super::key::{self, NotificationList, Part, RecordingList};
use super::tx::{Op, Outdated, json};
use super::{Store, parse, placement, read};
use crate::call::record::State;
use crate::call::recording::{RecordingRecord, RecordingState};
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId};

/// Under which name it is kept when something was erased last.
const LAST_ERASED: &str = "last_erased";

/// Who wanted a call erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasedBy {
    /// It was older than `retention.calls`.
    Retention,
    /// An operator.
    Operator,
}

impl ErasedBy {
    /// The name as it stands in proofs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            ErasedBy::Retention => "retention",
            ErasedBy::Operator => "operator",
        }
    }
}

/// The proof that a call was erased: how much there was of it, and nothing of what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erasure {
    /// The call.
    pub call: CallId,
    /// When it was erased.
    pub at: Timestamp,
    /// Who wanted it.
    pub by: ErasedBy,
    /// How many lines of its transcript.
    pub lines: usize,
    /// How many tool calls.
    pub tool_calls: usize,
    /// How many records of usage.
    pub usage: usize,
    /// How many events.
    pub events: usize,
    /// Its recordings, whose files had gone before.
    pub recordings: Vec<ErasedRecording>,
}

/// What there was of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasedRecording {
    /// Its id.
    pub id: RecordingId,
    /// The size its file had, in bytes; none where there never was one.
    pub bytes: Option<u64>,
    /// The SHA-256 its file had.
    pub sha256: Option<String>,
}

/// What erases the call `id`, proof included; nothing when there is no such call.
pub(super) fn ops(id: CallId, by: ErasedBy, at: Timestamp, view: &View<'_>) -> Result<Vec<Op>, StoreError> {
    let Some(record) = view.get(&key::call(id))?.map(Cow::into_owned) else { return Ok(Vec::new()) };
    let places = placement::parse(id, &record)?;
    if places.state != State::Ended {
        return Err(StoreError::Conflict { what: format!("the call `{id}` is not over") });
    }
    let mut keys = places.keys(id);
    keys.extend([key::call(id), key::to_erase(id)]);
    let mut part = |part| {
        let found = view.values(&key::parts(part, id))?;
        let count = found.len();
        keys.extend(found.into_iter().map(|(key, _)| key));
        Ok::<usize, StoreError>(count)
    };
    let (lines, tool_calls) = (part(Part::Line)?, part(Part::ToolCall)?);
    let (usage, events) = (part(Part::Usage)?, part(Part::Event)?);
    let mut recordings = Vec::new();
    for (key, value) in view.values(&key::recordings_of(id))? {
        let record: RecordingRecord = parse(&key, &value)?;
        let has_file = matches!(record.state, RecordingState::Kept | RecordingState::Deleting);
        if has_file || record.has_work() {
            let what = format!("the recording `{}` of `{id}` is still to be deleted", record.id);
            return Err(StoreError::Conflict { what });
        }
        keys.extend(
            [RecordingList::Work, RecordingList::Kept].map(|list| key::recording_in(list, id, &record.id)),
        );
        keys.push(key);
        recordings.push(ErasedRecording { id: record.id, bytes: record.bytes, sha256: record.sha256 });
    }
    for (by_call, _) in view.values(&key::aliases_of(id))? {
        keys.extend(key::alias_by_call(id, &by_call));
        keys.push(by_call);
    }
    for list in NotificationList::ALL {
        let told = view.values(&key::notifications_of(list, id))?;
        keys.extend(told.into_iter().map(|(key, _)| key));
    }
    let proof = Erasure { call: id, at, by, lines, tool_calls, usage, events, recordings };
    let mut ops: Vec<Op> = keys.into_iter().map(Op::delete).collect();
    ops.push(Op::put(key::erased(id), json(&proof)));
    ops.push(Op::put(key::meta(LAST_ERASED), json(&at)));
    Ok(ops)
}

/// When something was erased last, as JSON.
pub(super) fn last_erased(index: &Index) -> Result<Option<Timestamp>, StoreError> {
    read(index, &key::meta(LAST_ERASED))
}

impl Store {
    /// The proof that a call was erased; none where it was not.
    pub fn erasure(&self, id: CallId) -> Result<Option<Erasure>, StoreError> {
        read(&self.0.shared.index, &key::erased(id))
    }

    /// Up to `limit` calls that are to be erased as soon as they can be.
    pub async fn to_erase(&self, limit: usize) -> Result<Vec<(CallId, ErasedBy)>, StoreError> {
        self.scan(move |index| {
            let keys = index.keys(&with_prefix(key::TO_ERASE)).take(limit);
            let wanted = keys.map(|key| {
                let key = key?;
                let by: Option<ErasedBy> = read(index, &key)?;
                Ok(key::listed_call(&key).zip(by))
            });
            wanted.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// Up to `limit` calls that are over, began before `before` and are not to be erased already, oldest first.
    pub async fn ended_before(&self, before: Timestamp, limit: usize) -> Result<Vec<CallId>, StoreError> {
        self.scan(move |index| {
            let all = with_prefix(&key::by_state(State::Ended));
            let bound = format!("{}{}", key::by_state(State::Ended), key::first_call_at(before));
            let calls = index.keys(&(all.start..bound)).filter_map(|key| match key {
                Ok(key) => key::listed_call(&key).map(Ok),
                Err(error) => Some(Err(error)),
            });
            let is_wanted = |id: &CallId| index.contains(&key::to_erase(*id));
            let fresh = calls.filter_map(|id| match id.and_then(|id| Ok((id, is_wanted(&id)?))) {
                Ok((id, is_wanted)) => (!is_wanted).then_some(Ok(id)),
                Err(error) => Some(Err(error)),
            });
            fresh.take(limit).collect()
        })
        .await
    }

    /// Up to `limit` webhook deliveries that came before `webhooks_before`, and proofs of erasures by retention from before
    /// `proofs_before`: what has had its time.
    pub async fn outdated(
        &self,
        webhooks_before: Timestamp,
        proofs_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<Outdated>, StoreError> {
        self.scan(move |index| {
            let mut outdated = old_webhooks(index, webhooks_before, limit)?;
            for key in index.keys(&with_prefix(key::ERASED)) {
                if outdated.len() >= limit {
                    break;
                }
                let key = key?;
                let proof: Option<Erasure> = read(index, &key)?;
                let is_old = |proof: Erasure| proof.by == ErasedBy::Retention && proof.at < proofs_before;
                outdated.extend(proof.is_some_and(is_old).then_some(Outdated(key)));
            }
            Ok(outdated)
        })
        .await
    }
}

fn old_webhooks(index: &Index, before: Timestamp, limit: usize) -> Result<Vec<Outdated>, StoreError> {
    let mut old = Vec::new();
    for key in index.keys(&with_prefix(key::WEBHOOKS)) {
        let key = key?;
        let seen: Option<Timestamp> = read(index, &key)?;
        if seen.is_some_and(|seen| seen < before) {
            old.push(Outdated(key));
        }
        if old.len() >= limit {
            break;
        }
    }
    Ok(old)
}
