//! Transactions: what to write, and what must hold for it to be written.
//!
//! Values become JSON here, on the thread of whoever submits them; the committer only moves text.

use std::fmt;

use serde::Serialize;

use super::audit::AuditEntry;
use super::erasure::ErasedBy;
use super::error::StoreError;
use super::key::{self, NotificationList, Part, RecordingList};
use super::notifications::NotificationKey;
use super::placement::Placement;
use super::recordings::ListedRecording;
use crate::call::notification::{Notification, NotificationState};
use crate::call::record::{CallRecord, EventRecord, Line, ToolCallRecord, UsageRecord};
use crate::call::recording::RecordingRecord;
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, ProviderCallId, SipCallId, WebhookId};

/// The most a transaction may hold, in bytes of keys and JSON.
pub(super) const TX_BYTES_MAX: usize = 2 << 20;
/// The record of most calls has fewer.
const CALL_BYTES: usize = 2 << 10;

/// Writes that are applied all together or not at all, and only if every expectation holds.
#[derive(Clone, Debug, Default)]
pub struct Tx {
    /// What must hold at the moment of writing.
    pub expect: Vec<Expect>,
    /// What is written.
    pub writes: Vec<Write>,
}

/// Something that must hold for a transaction to be written; else it fails with
/// [`StoreError::Conflict`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This webhook delivery was never recorded.
    WebhookUnseen(WebhookId),
    /// No call is known under this alias.
    AliasFree(Alias),
    /// There is no record of this call.
    NoSuchCall(CallId),
    /// Nothing is kept under this name.
    MetaAbsent(String),
    /// This call was not erased.
    NotErased(CallId),
}

/// One thing to write. Writing the same thing twice leaves the later one.
#[derive(Clone, Debug)]
pub enum Write {
    /// A call's record, and its places in the lists by time, number and state.
    Call(Box<CallRecord>),
    /// A transcript line, under its number.
    Line(CallId, Line),
    /// A tool call, under its number.
    ToolCall(CallId, ToolCallRecord),
    /// A usage record, under its number.
    Usage(CallId, UsageRecord),
    /// An event, under its number.
    Event(CallId, EventRecord),
    /// A recording, under its call and its id, and its places in the lists of what is to be done and of what
    /// is on disk.
    Recording(Box<RecordingRecord>),
    /// A notification, in the list that its state says.
    Notification(Box<Notification>),
    /// A notification was taken: nothing of it is kept.
    NotificationTaken(NotificationKey),
    /// Another name for a call.
    Alias(Alias, CallId),
    /// A webhook delivery that needs no second answer.
    Webhook {
        /// The delivery.
        id: WebhookId,
        /// When it first came.
        seen: Timestamp,
    },
    /// Everything that is kept of a call, its other names and its places in the lists included, is deleted; a
    /// proof of it, an [`Erasure`](super::Erasure), stays. The call must be over, and no recording of it may have a file
    /// or something left to do, else the transaction fails with [`StoreError::Conflict`].
    Erase {
        /// The call.
        id: CallId,
        /// Who wants it.
        by: ErasedBy,
        /// When.
        at: Timestamp,
    },
    /// A call is to be erased as soon as it can be.
    ToErase(CallId, ErasedBy),
    /// A webhook delivery, the proof of an erasure or an entry of the audit log that has had its time is forgotten.
    Forget(Outdated),
    /// An entry of the audit log, under its number.
    Audit(Box<AuditEntry>),
    /// A small value of our own, such as a signing key.
    Meta {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Something that is kept for a while only and has had its time, as [`Store::outdated`](super::Store::outdated) gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated(pub(super) String);

/// A name that somebody else has for a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Alias {
    /// The provider's id of the phone call.
    ProviderCall(ProviderCallId),
    /// The carrier's id of the caller's leg.
    Carrier(CallSid),
    /// The carrier's id of the leg towards the provider.
    CarrierLeg(CallSid),
    /// `Call-ID` of the INVITE towards the provider.
    SipCallId(SipCallId),
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alias::ProviderCall(id) => write!(f, "provider call {id}"),
            Alias::Carrier(id) => write!(f, "carrier call {id}"),
            Alias::CarrierLeg(id) => write!(f, "carrier leg {id}"),
            Alias::SipCallId(id) => write!(f, "SIP Call-ID {id}"),
        }
    }
}

impl Expect {
    /// The key that must be absent.
    pub(super) fn key(&self) -> String {
        match self {
            Expect::WebhookUnseen(id) => key::webhook(id),
            Expect::AliasFree(alias) => key::alias(alias),
            Expect::NoSuchCall(id) => key::call(*id),
            Expect::MetaAbsent(name) => key::meta(name),
            Expect::NotErased(id) => key::erased(*id),
        }
    }

    pub(super) fn conflict(&self) -> StoreError {
        let what = match self {
            Expect::WebhookUnseen(id) => format!("the webhook {id} was seen before"),
            Expect::AliasFree(alias) => format!("the {alias} belongs to a call already"),
            Expect::NoSuchCall(id) => format!("there is a record of {id} already"),
            Expect::MetaAbsent(name) => format!("a value `{name}` is kept already"),
            Expect::NotErased(id) => format!("the call `{id}` was erased"),
        };
        StoreError::Conflict { what }
    }
}

/// One change of one key: a JSON value, or none to delete it. Absolute, so that repeating it is harmless.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Op {
    pub(super) key: String,
    pub(super) value: Option<String>,
}

impl Op {
    pub(super) fn put(key: String, value: String) -> Op {
        Op { key, value: Some(value) }
    }

    pub(super) fn delete(key: String) -> Op {
        Op { key, value: None }
    }
}

/// A transaction as the committer wants it.
pub(super) struct Prepared {
    pub(super) absent: Vec<(String, Expect)>,
    pub(super) steps: Vec<Step>,
}

pub(super) enum Step {
    Put(Op),
    Call { id: CallId, put: Op, placement: Placement },
    Erase { id: CallId, by: ErasedBy, at: Timestamp },
}

impl Prepared {
    /// Turns records into text; `record`: a call's, written after the rest.
    pub(super) fn from_tx(tx: &Tx, record: Option<&CallRecord>) -> Result<Prepared, StoreError> {
        let absent = tx.expect.iter().map(|expect| (expect.key(), expect.clone())).collect();
        let mut all = Vec::with_capacity(tx.writes.len() + 4);
        tx.writes.iter().for_each(|write| steps(write, &mut all));
        all.extend(record.map(call));
        let steps = all;
        let bytes = steps.iter().map(Step::bytes).sum();
        if bytes > TX_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "a transaction", bytes, bytes_max: TX_BYTES_MAX });
        }
        Ok(Prepared { absent, steps })
    }
}

impl Step {
    fn bytes(&self) -> usize {
        match self {
            Step::Put(op) | Step::Call { put: op, .. } => {
                op.key.len() + op.value.as_ref().map_or(0, String::len)
            }
            Step::Erase { .. } => 0,
        }
    }
}

/// A call's record and its place.
fn call(record: &CallRecord) -> Step {
    let put = Op::put(key::call(record.id), json_of_about(record, CALL_BYTES));
    Step::Call { id: record.id, put, placement: Placement::of(record) }
}

fn steps(write: &Write, all: &mut Vec<Step>) {
    let (key, value) = match write {
        Write::Call(record) => return all.push(call(record)),
        Write::Recording(record) => return all.extend(recording(record)),
        Write::Notification(record) => return all.extend(notification(record)),
        Write::NotificationTaken(of) => {
            let key = key::notification_in(NotificationList::Waiting, of);
            return all.push(Step::Put(Op::delete(key)));
        }
        Write::Erase { id, by, at } => return all.push(Step::Erase { id: *id, by: *by, at: *at }),
        Write::Forget(Outdated(key)) => return all.push(Step::Put(Op::delete(key.clone()))),
        Write::Alias(alias, id) => {
            let by_call = Op::put(key::alias_of(*id, alias), "1".to_owned());
            return all.extend([Step::Put(Op::put(key::alias(alias), json(id))), Step::Put(by_call)]);
        }
        Write::ToErase(id, by) => (key::to_erase(*id), json(by)),
        Write::Line(id, line) => (key::part(Part::Line, *id, line.n), json(line)),
        Write::ToolCall(id, tool_call) => (key::part(Part::ToolCall, *id, tool_call.n), json(tool_call)),
        Write::Usage(id, usage) => (key::part(Part::Usage, *id, usage.n), json(usage)),
        Write::Event(id, event) => (key::part(Part::Event, *id, event.n), json(event)),
        Write::Webhook { id, seen } => (key::webhook(id), json(seen)),
        Write::Audit(entry) => (key::audit(entry.n), json(entry)),
        Write::Meta { name, value } => (key::meta(name), json(value)),
    };
    all.push(Step::Put(Op::put(key, value)));
}

/// A recording and its places: a list has the key or has it not, whatever it had before.
fn recording(record: &RecordingRecord) -> [Step; 3] {
    let (call, id) = (record.call, &record.id);
    let place = |list, is_in: bool, value: String| {
        let key = key::recording_in(list, call, id);
        Step::Put(if is_in { Op::put(key, value) } else { Op::delete(key) })
    };
    let listed = ListedRecording { call, id: id.clone(), bytes: record.bytes.unwrap_or(0) };
    [
        Step::Put(Op::put(key::recording(call, id), json(record))),
        place(RecordingList::Work, record.has_work(), json(&listed)),
        place(RecordingList::Kept, record.is_kept(), json(&listed)),
    ]
}

/// A notification stands in one list.
fn notification(record: &Notification) -> [Step; 2] {
    let of = NotificationKey::of(record);
    let [waiting, dead] = NotificationList::ALL.map(|list| key::notification_in(list, &of));
    let (list, other) = match record.state {
        NotificationState::Waiting => (waiting, dead),
        NotificationState::Dead => (dead, waiting),
    };
    [Step::Put(Op::put(list, json(record))), Step::Put(Op::delete(other))]
}

/// JSON on one line, for the journal keeps one commit per line.
///
/// Only raw JSON from outside can bring line breaks, and only between its tokens: inside a string JSON
/// forbids them. A space there means the same.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    json_of_about(value, 128)
}

/// The same, of a value whose text has about so many bytes: it is written without moving what was written before.
fn json_of_about<T: Serialize>(value: &T, bytes: usize) -> String {
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, value).expect("records have text keys and no failing serializers");
    let text = String::from_utf8(text).expect("JSON is text");
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn raw_json_with_line_breaks_becomes_one_line() {
        let raw = RawValue::from_string("{\n  \"a\":\r\n \"x\\ny\"\n}".to_owned()).unwrap();
        let event =
            EventRecord { v: 1, n: 0, at: Timestamp::default(), kind: "k".to_owned(), data: Some(raw) };
        let text = json(&event);
        assert!(!text.contains(['\n', '\r']), "{text}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["data"]["a"], "x\ny");
    }

    #[test]
    fn a_transaction_is_bounded() {
        let write = Write::Meta { name: "big".to_owned(), value: "x".repeat(TX_BYTES_MAX) };
        let refused = Prepared::from_tx(&Tx { expect: vec![], writes: vec![write] }, None);
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    }
}
