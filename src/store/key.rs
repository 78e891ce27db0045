//! Keys of the index, as text.
//!
//! | key | value |
//! |---|---|
//! | `c/<call id>` | the call's record |
//! | `s/<state>/<call id>` | `1`: calls by state |
//! | `n/<number>/<call id>` | `1`: calls by caller or callee |
//! | `l/` `x/` `u/` `e/` `<call id>/<n, 8 digits>` | a transcript line, tool call, usage record, event |
//! | `r/<call id>/<recording id>` | a recording |
//! | `rw/` `rk/` `<call id>/<recording id>` | its size: recordings with work to do, and those on disk |
//! | `o/` `od/` `<call id>/<notification id>/<endpoint>` | a notification that waits, and one that is dead |
//! | `a/<kind>/<vendor's id>` | the call id |
//! | `y/<call id>/<kind>/<vendor's id>` | `1`: the same by call |
//! | `w/<webhook id>` | when it was first seen |
//! | `k/<namespace>/<key>` | a plugin's value |
//! | `d/<call id>` | the proof that a call was erased |
//! | `z/<call id>` | by whom a call is to be erased that cannot be yet |
//! | `m/<name>` | a small value of our own |
//! | `t/<n, 16 hexadecimal digits>` | an entry of the audit log |
//!
//! A call id carries the time its call began and its text sorts by it, so every list of calls is in
//! time order without a time of its own in the key.
//!
//! What comes from outside is escaped byte by byte: letters, digits and `-_.:+@` stand as they are,
//! all else becomes `%XX`. A vendor's id of more than 200 bytes is replaced by `~` and its SHA-256, so
//! no id is too long to keep. Keys therefore need no escaping in JSON and no two ids share one.

use sha2::{Digest, Sha256};

use super::notifications::NotificationKey;
use super::tx::Alias;
use crate::call::record::State;
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId, WebhookId};

/// The longest vendor's id that is kept as it is, in bytes.
const ID_BYTES_MAX: usize = 200;
const CALL_ID_CHARS: usize = "call_".len() + 32;

/// The kinds of numbered parts a call has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Line,
    ToolCall,
    Usage,
    Event,
}

impl Part {
    fn letter(self) -> char {
        match self {
            Part::Line => 'l',
            Part::ToolCall => 'x',
            Part::Usage => 'u',
            Part::Event => 'e',
        }
    }
}

/// The lists of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordingList {
    /// Those with something left to do.
    Work,
    /// Those on disk.
    Kept,
}

pub(super) const RECORDINGS: &str = "r/";

/// The lists of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotificationList {
    /// Those that are yet to be taken.
    Waiting,
    /// Dead letters.
    Dead,
}

impl NotificationList {
    pub(super) const ALL: [NotificationList; 2] = [NotificationList::Waiting, NotificationList::Dead];
}

pub(super) fn notification_list(list: NotificationList) -> &'static str {
    match list {
        NotificationList::Waiting => "o/",
        NotificationList::Dead => "od/",
    }
}

pub(super) fn notifications_of(list: NotificationList, call: CallId) -> String {
    format!("{}{call}/", notification_list(list))
}

pub(super) fn notification_in(list: NotificationList, of: &NotificationKey) -> String {
    format!("{}{}/{}", notifications_of(list, of.call), vendor_id(of.id.as_str()), vendor_id(&of.endpoint))
}

/// The notification that a key of such a list is of.
pub(super) fn listed_notification(key: &str) -> Option<NotificationKey> {
    let mut parts = key.split('/').skip(1);
    let (call, id, endpoint) = (parts.next()?, parts.next()?, parts.next()?);
    Some(NotificationKey {
        id: unescape(id)?.into(),
        call: call.parse().ok()?,
        endpoint: unescape(endpoint)?,
    })
}

pub(super) fn recording(call: CallId, id: &RecordingId) -> String {
    format!("{RECORDINGS}{call}/{}", vendor_id(id.as_str()))
}

pub(super) fn recordings_of(call: CallId) -> String {
    format!("{RECORDINGS}{call}/")
}

pub(super) fn recording_list(list: RecordingList) -> &'static str {
    match list {
        RecordingList::Work => "rw/",
        RecordingList::Kept => "rk/",
    }
}

pub(super) fn recording_in(list: RecordingList, call: CallId, id: &RecordingId) -> String {
    format!("{}{call}/{}", recording_list(list), vendor_id(id.as_str()))
}

/// Whether the value under this key is sealed, where there is a key to seal with: what was said, by whom, what
/// tools and plugins made of it, and what others are told of it.
pub(super) fn is_sealed(key: &str) -> bool {
    ["c/", "l/", "x/", "e/", "k/", "o/", "od/"].iter().any(|kind| key.starts_with(kind))
}

pub(super) const CALLS: &str = "c/";

pub(super) fn call(id: CallId) -> String {
    format!("{CALLS}{id}")
}

pub(super) fn part(part: Part, id: CallId, n: u32) -> String {
    format!("{}/{id}/{n:08}", part.letter())
}

pub(super) fn parts(part: Part, id: CallId) -> String {
    format!("{}/{id}/", part.letter())
}

pub(super) fn by_state(state: State) -> String {
    let name = match state {
        State::Dialing => "dialing",
        State::Offered => "offered",
        State::Accepted => "accepted",
        State::Live => "live",
        State::Ended => "ended",
    };
    format!("s/{name}/")
}

pub(super) fn by_number(number: &str) -> String {
    format!("n/{}/", vendor_id(number))
}

/// The call id at the end of a key of a list.
pub(super) fn listed_call(key: &str) -> Option<CallId> {
    key.get(key.len().checked_sub(CALL_ID_CHARS)?..)?.parse().ok()
}

/// The smallest call id of a call that began at `at` or later.
pub(super) fn first_call_at(at: Timestamp) -> CallId {
    let millis = at.as_millis().min((1 << 48) - 1).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis[2..]);
    CallId::from_bytes(bytes)
}

pub(super) fn alias(alias: &Alias) -> String {
    format!("a/{}", kind_and_id(alias))
}

/// Where it stands under which names a call is known.
pub(super) fn alias_of(call: CallId, alias: &Alias) -> String {
    format!("{}{}", aliases_of(call), kind_and_id(alias))
}

pub(super) fn aliases_of(call: CallId) -> String {
    format!("y/{call}/")
}

/// The alias of which this is the key by call.
pub(super) fn alias_by_call(call: CallId, key: &str) -> Option<String> {
    Some(format!("a/{}", key.strip_prefix(&aliases_of(call))?))
}

fn kind_and_id(alias: &Alias) -> String {
    let (kind, id) = match alias {
        Alias::ProviderCall(id) => ("provider", id.as_str()),
        Alias::Carrier(id) => ("carrier", id.as_str()),
        Alias::CarrierLeg(id) => ("carrier-leg", id.as_str()),
        Alias::SipCallId(id) => ("sip", id.as_str()),
    };
    format!("{kind}/{}", vendor_id(id))
}

pub(super) const WEBHOOKS: &str = "w/";
pub(super) const ERASED: &str = "d/";
pub(super) const TO_ERASE: &str = "z/";

pub(super) const AUDIT: &str = "t/";

pub(super) fn audit(n: u64) -> String {
    format!("{AUDIT}{n:016x}")
}

pub(super) fn erased(call: CallId) -> String {
    format!("{ERASED}{call}")
}

pub(super) fn to_erase(call: CallId) -> String {
    format!("{TO_ERASE}{call}")
}

pub(super) fn webhook(id: &WebhookId) -> String {
    format!("{WEBHOOKS}{}", vendor_id(id.as_str()))
}

pub(super) fn meta(name: &str) -> String {
    format!("m/{}", vendor_id(name))
}

/// Where the keys of a plugin's namespace begin.
pub(super) fn namespace(namespace: &str) -> String {
    format!("k/{}/", vendor_id(namespace))
}

/// Text with everything but letters, digits and `-_.:+@` as `%XX`.
pub(super) fn escape(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:+@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(char::from(HEX[usize::from(byte >> 4)]));
            escaped.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    escaped
}

/// What [`escape`] was given; none when the text is not of its making.
pub(super) fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn vendor_id(id: &str) -> String {
    if id.len() <= ID_BYTES_MAX {
        return escape(id);
    }
    let mut hashed = String::from("~");
    for byte in Sha256::digest(id.as_bytes()) {
        hashed.push_str(&format!("{byte:02x}"));
    }
    hashed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CallSid, ProviderCallId, SipCallId};

    #[test]
    fn ids_from_outside_never_collide_or_leave_their_place() {
        let ids = ["a/b", "a%2Fb", "a", "a/", "é", "a\0b", "a\nb", "a\"b", "~x", "日本", ""];
        let mut keys: Vec<String> =
            ids.iter().map(|id| alias(&Alias::SipCallId(SipCallId::from(*id)))).collect();
        keys.push(alias(&Alias::Carrier(CallSid::from("a"))));
        keys.push(alias(&Alias::CarrierLeg(CallSid::from("a"))));
        keys.push(alias(&Alias::ProviderCall(ProviderCallId::from("a"))));
        for key in &keys {
            assert!(
                key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'),
                "{key}"
            );
            assert_eq!(key.matches('/').count(), 2, "{key}");
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn a_notification_is_known_by_its_key() {
        let call = CallId::new(Timestamp::from_secs(1), [1; 10]);
        let of = NotificationKey { id: "msg_1".into(), call, endpoint: "crm-2".to_owned() };
        for list in NotificationList::ALL {
            let key = notification_in(list, &of);
            assert_eq!(listed_notification(&key), Some(of.clone()), "{key}");
            assert!(is_sealed(&key), "{key}");
        }
        assert_eq!(listed_notification("o/"), None);
    }

    #[test]
    fn a_long_id_is_bounded_and_still_its_own() {
        let one = webhook(&WebhookId::from("x".repeat(100_000)));
        let other = webhook(&WebhookId::from(format!("{}y", "x".repeat(99_999))));
        assert_ne!(one, other);
        assert_eq!(one.len(), "w/~".len() + 64);
    }

    #[test]
    fn escaped_text_reads_back() {
        for text in ["", "a b/c%", "日本語", "\u{0}\u{7f}", "+81 90-1234-5678"] {
            assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        }
        for foreign in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(unescape(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_bound_in_time_lies_between_the_calls() {
        let before = CallId::new(Timestamp::from_millis(1_795_000_000_000), [255; 10]);
        let after = CallId::new(Timestamp::from_millis(1_795_000_000_001), [0; 10]);
        let bound = first_call_at(Timestamp::from_millis(1_795_000_000_001));
        assert!(before < bound && bound < after);
        assert_eq!(listed_call(&format!("{}{after}", by_state(State::Live))), Some(after));
        assert_eq!(listed_call("s/live/"), None);
    }
}
