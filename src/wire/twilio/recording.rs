//! What Twilio tells of recordings: its own callback, and two fields that come with the end of a dial.
//!
//! `RecordingUrl` is never read: whoever wants the recording builds the address from its id, so that no
//! request leads to a place that stood in a form.
//!
//! Vendor documentation: Twilio, "TwiML Voice: `<Dial>`" (`recordingStatusCallback`, action URL).

use super::{BadField, account_sid, call_sid, filled, is_sid, number, timestamp};
use crate::clock::Timestamp;
use crate::ids::{CallSid, RecordingId};
use crate::wire::form::Form;

/// A recording goes on at Twilio: the request to a `recordingStatusCallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingCallback {
    /// `CallSid`: the caller's leg.
    pub call_sid: CallSid,
    /// `AccountSid`: compare with the configured account.
    pub account_sid: String,
    /// `RecordingSid`.
    pub recording: RecordingId,
    /// `RecordingStatus`.
    pub status: RecordingStatus,
    /// `RecordingDuration`: whole seconds; only of a completed one.
    pub duration_s: Option<u32>,
    /// `RecordingChannels`.
    pub channels: Option<u8>,
    /// `RecordingStartTime`: whole seconds on Twilio's clock.
    pub started: Option<Timestamp>,
    /// `ErrorCode`: why there is nothing.
    pub error_code: Option<u32>,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingStatus {
    /// `in-progress`
    InProgress,
    /// `completed`
    Completed,
    /// `absent`: there is nothing in it.
    Absent,
}

impl RecordingCallback {
    /// Reads the callback.
    pub fn read(form: &Form) -> Result<RecordingCallback, BadField> {
        let name = "RecordingStatus";
        let status = match filled(form, name).ok_or(BadField::Missing(name))? {
            "in-progress" => RecordingStatus::InProgress,
            "completed" => RecordingStatus::Completed,
            "absent" => RecordingStatus::Absent,
            _ => {
                let expected = "`in-progress`, `completed` or `absent`";
                return Err(BadField::Malformed { name, expected });
            }
        };
        Ok(RecordingCallback {
            call_sid: call_sid(form, "CallSid")?,
            account_sid: account_sid(form)?,
            recording: recording_sid(form)?.ok_or(BadField::Missing("RecordingSid"))?,
            status,
            duration_s: number(form, "RecordingDuration")?,
            channels: number(form, "RecordingChannels")?,
            started: timestamp(form, "RecordingStartTime")?,
            error_code: number(form, "ErrorCode")?,
        })
    }
}

/// A recording that is named beside something else: by the end of a dial, or of its leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingNamed {
    /// `RecordingSid`.
    pub recording: RecordingId,
    /// `RecordingDuration`: whole seconds.
    pub duration_s: Option<u32>,
}

impl RecordingNamed {
    /// Reads the fields, where there are any.
    pub fn read(form: &Form) -> Result<Option<RecordingNamed>, BadField> {
        let Some(recording) = recording_sid(form)? else { return Ok(None) };
        Ok(Some(RecordingNamed { recording, duration_s: number(form, "RecordingDuration")? }))
    }
}

fn recording_sid(form: &Form) -> Result<Option<RecordingId>, BadField> {
    let name = "RecordingSid";
    let malformed = BadField::Malformed { name, expected: "`RE` and 32 hexadecimal digits" };
    let read = |value| if is_sid(value, "RE") { Ok(RecordingId::from(value)) } else { Err(malformed) };
    filled(form, name).map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: &str = "RE0123456789abcdef0123456789abcdef";

    fn form(changes: &[(&str, &str)]) -> Form {
        let common = [
            ("AccountSid", "AC00000000000000000000000000000abc"),
            ("CallSid", "CA0123456789abcdef0123456789abcdef"),
            ("RecordingSid", RECORDING),
            ("RecordingStatus", "completed"),
        ];
        let kept = common.into_iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
        kept.chain(changes.iter().copied()).collect()
    }

    #[test]
    fn a_callback_is_read() {
        let callback = RecordingCallback::read(&form(&[
            ("RecordingUrl", "https://evil.example/steal"),
            ("RecordingDuration", "61"),
            ("RecordingChannels", "2"),
            ("RecordingStartTime", "Sun, 22 Nov 2026 03:00:03 +0000"),
            ("RecordingSource", "DialVerb"),
        ]))
        .unwrap();
        assert_eq!((callback.recording.as_str(), callback.status), (RECORDING, RecordingStatus::Completed));
        assert_eq!((callback.duration_s, callback.channels), (Some(61), Some(2)));
        assert_eq!(callback.started, Some(Timestamp::from_secs(1_795_316_403)));
        assert!(!format!("{callback:?}").contains("evil"), "the address is not even read");
    }

    #[test]
    fn a_bad_field_is_named() {
        for (name, value) in [
            ("RecordingSid", ""),
            ("RecordingSid", "RE123"),
            ("RecordingSid", "../../Accounts/AC1/Recordings/RE0123456789abcdef"),
            ("RecordingSid", "CA0123456789abcdef0123456789abcdef"),
            ("RecordingStatus", "paused"),
            ("RecordingDuration", "-1"),
            ("RecordingChannels", "<2>"),
            ("RecordingStartTime", "soon"),
            ("CallSid", "x"),
        ] {
            let error = RecordingCallback::read(&form(&[(name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{name} {value}: {error}");
        }
    }

    #[test]
    fn a_dials_end_may_name_a_recording() {
        let none = form(&[("RecordingSid", "")]);
        assert_eq!(RecordingNamed::read(&none), Ok(None));
        let named = RecordingNamed::read(&form(&[("RecordingDuration", "9")])).unwrap().unwrap();
        assert_eq!((named.recording.as_str(), named.duration_s), (RECORDING, Some(9)));
        assert!(RecordingNamed::read(&form(&[("RecordingSid", "x")])).is_err());
    }
}
