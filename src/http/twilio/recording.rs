//! Recordings as Twilio tells of them, and as it is asked for them.
//!
//! A report of a recording is answered when it is on disk. One for a call that is not known, or that names
//! another call than its address does, is answered as well: asking again would not help.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};

use super::{Refused, Verified, call_of, counted, not_kept, unreadable, verify};
use crate::call::consent::Announcer;
use crate::call::recording::{Report, ReportedStatus};
use crate::call_control::DeliverError;
use crate::call_control::recordings::RecordingError;
use crate::http::verdict::Verdict;
use crate::http::{Doors, TWILIO_RECORDING, answer};
use crate::ids::{CallId, CallSid};
use crate::routing::Recording;
use crate::wire::form::Form;
use crate::wire::twilio::{RecordingCallback, RecordingNamed, RecordingStatus};
use crate::wire::twiml::Say;

/// How Twilio shall deliver a report of a recording: by itself it would not try again where we were away for
/// a moment (Twilio, "Webhooks: Connection overrides"). A fragment is neither sent nor signed.
const DELIVERY: &str = "#rc=3&rp=ct,rt,5xx";

/// `POST /twilio/recording`: a recording goes on.
pub(in crate::http) async fn recording(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_recording(&doors, request).await;
    counted(&doors, answer)
}

async fn answer_recording(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = call_of(&request);
    let Verified { form, .. } = verify(doors, &mut request).await?;
    let call = call?;
    let callback = RecordingCallback::read(&form).map_err(unreadable)?;
    let report = Report {
        id: callback.recording,
        status: match callback.status {
            RecordingStatus::InProgress => ReportedStatus::InProgress,
            RecordingStatus::Completed => ReportedStatus::Completed,
            RecordingStatus::Absent => ReportedStatus::Absent,
        },
        duration_s: callback.duration_s.map(f64::from),
        channels: callback.channels,
        started: callback.started,
        error_code: callback.error_code,
    };
    tell(doors, call, Some(&callback.call_sid), &report).await?;
    Ok(answer::status(StatusCode::NO_CONTENT))
}

/// A recording that the end of a dial names: should its own report be lost, this finds it.
pub(in crate::http) async fn named(doors: &Arc<Doors>, call: CallId, form: &Form) -> Result<(), Refused> {
    let Some(named) = RecordingNamed::read(form).map_err(unreadable)? else { return Ok(()) };
    let report = Report {
        id: named.recording,
        status: ReportedStatus::Completed,
        duration_s: named.duration_s.map(f64::from),
        channels: None,
        started: None,
        error_code: None,
    };
    match tell(doors, call, None, &report).await {
        // What else the request tells is not lost because of it.
        Err((verdict, _)) if verdict != Verdict::NotKept => Ok(()),
        other => other,
    }
}

async fn tell(
    doors: &Arc<Doors>,
    call: CallId,
    call_sid: Option<&CallSid>,
    report: &Report,
) -> Result<(), Refused> {
    let taken = doors.control.recording_reported(call, call_sid, report).await;
    let noted = |verdict| Err((verdict, answer::status(StatusCode::NO_CONTENT)));
    match taken {
        Ok(()) => Ok(()),
        Err(RecordingError::Deliver(DeliverError::NoSuchCall(call))) => {
            tracing::warn!(%call, "the carrier reports a recording of a call that is not known");
            noted(Verdict::UnknownCall)
        }
        Err(error @ (RecordingError::OtherCall | RecordingError::TooMany)) => {
            tracing::warn!(%call, %error, "a report of a recording is not believed");
            noted(Verdict::OtherCall)
        }
        Err(error) => Err(not_kept(error)),
    }
}

/// Where the carrier shall tell of the recording of a call.
pub(super) fn callback_url(public_url: &str, call: CallId) -> String {
    format!("{public_url}{TWILIO_RECORDING}?call={call}{DELIVERY}")
}

/// What the carrier says before it dials, where it is the one to say it.
pub(in crate::http) fn announcement(recording: &Recording) -> Option<Say> {
    let announcement = recording.announcement.as_ref()?;
    (announcement.by == Announcer::Carrier).then(|| Say {
        text: announcement.text.clone(),
        language: announcement.language.clone(),
        voice: announcement.voice.clone(),
    })
}
