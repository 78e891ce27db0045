//! What Twilio asks when something is over: a dial, a stream, a message. The answer is the other way to a
//! model, the route's fallback, or the end.

use std::sync::Arc;

use poem::{Request, Response};

use super::twilio::{
    Refused, apology, call_of, counted, document, forward, hand_on, not_kept, recording_named, twiml_for,
    unreadable, verify,
};
use super::verdict::Verdict;
use super::{Doors, TWILIO_AFTER_STREAM, TWILIO_AFTER_VOICEMAIL};
use crate::call::event::CarrierEvent;
use crate::call_control::{DeliverError, Next};
use crate::ids::CallId;
use crate::routing::{Fallback, Target, Voicemail, Words};
use crate::twilio::{Say, Settings};
use crate::wire::twilio::{DialResult, MessageLeft, StatusCallback};
use crate::wire::twiml::{self, Verb};

/// How long a caller waits for the next process, in seconds; it is there within one. A carrier that finds nobody
/// tries again by itself.
const LATER_S: u32 = 2;
/// How long a silence ends a message, in seconds.
const SILENCE_S: u32 = 5;

/// `POST /twilio/dial-result`: the dial towards the provider is over.
pub(super) async fn dial_result(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_dial_result(&doors, request).await;
    counted(&doors, answer)
}

/// `POST /twilio/after-stream`: a stream is over, and Twilio asks what comes next.
pub(super) async fn after_stream(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_after_stream(&doors, request).await;
    counted(&doors, answer)
}

/// `POST /twilio/after-voicemail`: a caller has left a message.
pub(super) async fn after_voicemail(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_after_voicemail(&doors, request).await;
    counted(&doors, answer)
}

async fn answer_dial_result(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = call_of(&request);
    let verified = verify(doors, &mut request).await?;
    let call = call?;
    let result = DialResult::read(&verified.form).map_err(unreadable)?;
    recording_named(doors, call, &verified.form).await?;
    let event = CarrierEvent::DialEnded {
        status: result.dial_status.as_str().to_owned(),
        bridged: result.bridged,
        leg_sid: result.leg_sid,
        sip_code: result.sip_code,
        sip_call_id: result.sip_call_id,
        duration_s: result.leg_duration_s,
        caller_status: result.call_status.as_str().to_owned(),
    };
    answer(doors, verified.settings, call, doors.control.dial_ended(call, event).await)
}

async fn answer_after_stream(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = call_of(&request);
    let verified = verify(doors, &mut request).await?;
    let call = call?;
    let status = StatusCallback::read(&verified.form).map_err(unreadable)?;
    let next = doors.control.stream_ended(call, status.status.as_str().to_owned()).await;
    answer(doors, verified.settings, call, next)
}

async fn answer_after_voicemail(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = call_of(&request);
    let verified = verify(doors, &mut request).await?;
    let call = call?;
    let message = MessageLeft::read(&verified.form).map_err(unreadable)?;
    // It is fetched and kept like any recording of the call.
    recording_named(doors, call, &verified.form).await?;
    match doors.control.message_left(call, message.duration_s).await {
        Ok(()) => Ok(document(vec![Verb::Hangup])),
        Err(DeliverError::NoSuchCall(_)) => Err((Verdict::UnknownCall, document(vec![Verb::Hangup]))),
        Err(error) => Err(not_kept(error)),
    }
}

pub(super) fn answer(
    doors: &Doors,
    settings: &Settings,
    call: CallId,
    next: Result<Next, DeliverError>,
) -> Result<Response, Refused> {
    match next {
        Ok(Next::HangUp) => Ok(document(vec![Verb::Hangup])),
        Ok(Next::AskLater) => {
            let url = format!("{}{TWILIO_AFTER_STREAM}?call={call}", doors.settings.public_url);
            Ok(document(vec![Verb::Pause { length_s: LATER_S }, Verb::Redirect { url }]))
        }
        Ok(Next::GoOn(plan)) => twiml_for(doors, settings, plan),
        Ok(Next::Forward(target)) => hand_on(doors, settings, call, &target),
        Ok(Next::Fallback(Fallback::Forward(target))) => {
            Ok(document(dial_or_apologise(doors, settings, &target)))
        }
        Ok(Next::Fallback(Fallback::Apology(words))) => {
            Ok(document(apology(&words.as_ref().map_or_else(|| settings.apology.clone(), say))))
        }
        Ok(Next::Fallback(Fallback::Voicemail(voicemail))) => {
            Ok(document(take_message(doors, call, &voicemail)))
        }
        Err(DeliverError::NoSuchCall(call)) => {
            tracing::warn!(%call, "the carrier asks what comes next in a call that is not known");
            Err((Verdict::UnknownCall, document(vec![Verb::Hangup])))
        }
        Err(error) => Err(not_kept(error)),
    }
}

fn dial_or_apologise(doors: &Doors, settings: &Settings, target: &Target) -> Vec<Verb> {
    forward(doors, settings, target, None).unwrap_or_else(|error| {
        tracing::error!(%error, "a caller cannot be dialled on");
        apology(&settings.apology)
    })
}

fn say(words: &Words) -> Say {
    Say { text: words.text.clone(), language: words.language.clone(), voice: words.voice.clone() }
}

/// The words, the beep, the message. Whoever says nothing falls through to the end.
fn take_message(doors: &Doors, call: CallId, voicemail: &Voicemail) -> Vec<Verb> {
    let Words { text, language, voice } = voicemail.words.clone();
    let action = format!("{}{TWILIO_AFTER_VOICEMAIL}?call={call}", doors.settings.public_url);
    let length_s = u32::try_from(voicemail.length.as_secs()).unwrap_or(u32::MAX);
    vec![
        Verb::Say(twiml::Say { text, language, voice }),
        Verb::Record(twiml::Record { action, length_s, silence_s: SILENCE_S }),
        Verb::Hangup,
    ]
}
