//! Twilio's requests: each is verified against the configured public URL, then understood.
//!
//! A request that does not verify gets 403 and an empty body. Reports are answered when they are on
//! disk; a report for a call that is not known is answered as well, since asking again would not help.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};

use super::verdict::Verdict;
use super::{Doors, TWILIO_DIAL_RESULT, TWILIO_REFER, TWILIO_STATUS, afterwards, answer, media};
use crate::call::event::CarrierEvent;
use crate::call_control::{Asked, DeliverError, DialPlan, Next};
use crate::ids::CallId;
use crate::phone::E164;
use crate::routing::{Recording, RejectReason, Target};
use crate::twilio::{self, Say, Settings};
use crate::wire::form::Form;
use crate::wire::join_token;
use crate::wire::sip_uri::{BadSipUri, SipUri, SipUriParts};
use crate::wire::twilio::{LegCallback, StatusCallback, VoiceRequest};
use crate::wire::twilio_signature::{self, Content, Signed};
use crate::wire::twiml::{self, Dial, Noun, Verb};

mod recording;
mod transfer;

pub(super) use recording::{announcement, named as recording_named, recording};
pub use transfer::handed_on_url;
pub(super) use transfer::{hand_on, handed_on, refer};

pub(super) const SOURCE: &str = "twilio";

/// The metric's label and the answer to a request that is not taken.
pub(super) type Refused = (Verdict, Response);

/// A request of Twilio that verified.
pub(super) struct Verified<'a> {
    pub settings: &'a Settings,
    pub form: Form,
}

/// `POST /twilio/voice`: what shall be done with this caller?
pub(super) async fn voice(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_voice(&doors, request).await;
    counted(&doors, answer)
}

/// `POST /twilio/status`: progress of the leg towards the provider, or the end of the caller's own.
pub(super) async fn status(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_status(&doors, request).await;
    counted(&doors, answer)
}

pub(super) fn counted(doors: &Doors, answer: Result<Response, Refused>) -> Response {
    let (verdict, mut response) = match answer {
        Ok(response) => (Verdict::Taken, response),
        Err(refused) => refused,
    };
    doors.control.metrics().webhook(SOURCE, verdict.name());
    response.extensions_mut().insert(verdict);
    response
}

async fn answer_voice(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let Verified { settings, form } = verify(doors, &mut request).await?;
    let voice = VoiceRequest::read(&form, doors.settings.default_country).map_err(unreadable)?;
    let status = voice.call_status.as_str();
    let back = doors.control.came_back(&voice.call_sid, status).await.map_err(not_kept)?;
    if let Some((call, next)) = back {
        return afterwards::answer(doors, settings, call, Ok(next));
    }
    let asked = Asked {
        carrier: SOURCE,
        call_sid: voice.call_sid,
        account_sid: voice.account_sid,
        from: voice.from,
        to: voice.to,
        status: status.to_owned(),
    };
    let plan = doors.control.carrier_asked(asked).await.map_err(|error| {
        tracing::error!(%error, "a call could not be kept");
        (Verdict::NotKept, answer::status(StatusCode::SERVICE_UNAVAILABLE))
    })?;
    twiml_for(doors, settings, plan)
}

async fn answer_status(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = query(&request, "call").map(|text| text.parse::<CallId>());
    let Verified { form, .. } = verify(doors, &mut request).await?;
    match call {
        Some(Ok(call)) => {
            let leg = LegCallback::read(&form).map_err(unreadable)?;
            let event = CarrierEvent::Leg {
                sid: leg.leg_sid,
                status: leg.status.as_str().to_owned(),
                sequence: leg.sequence,
                sip_code: leg.sip_code,
                sip_call_id: leg.sip_call_id,
                duration_s: leg.duration_s,
            };
            recording::named(doors, call, &form).await?;
            report(doors, call, event).await?;
        }
        Some(Err(error)) => {
            return Err((Verdict::Unreadable, answer::text(StatusCode::BAD_REQUEST, error.to_string())));
        }
        // The number's own status callback names only the caller's leg.
        None => {
            let status = StatusCallback::read(&form).map_err(unreadable)?;
            let known = doors.control.call_of_carrier(&status.call_sid).map_err(not_kept)?;
            if let Some(call) = known {
                report(doors, call, CarrierEvent::Caller { status: status.status.as_str().to_owned() })
                    .await?;
            }
        }
    }
    Ok(answer::status(StatusCode::NO_CONTENT))
}

async fn report(doors: &Arc<Doors>, call: CallId, event: CarrierEvent) -> Result<(), Refused> {
    doors.control.carrier_reported(call, event).await.map_err(not_taken)
}

fn not_taken(error: DeliverError) -> Refused {
    match error {
        DeliverError::NoSuchCall(call) => {
            tracing::warn!(%call, "the carrier reports on a call that is not known");
            (Verdict::UnknownCall, answer::status(StatusCode::NO_CONTENT))
        }
        error => not_kept(error),
    }
}

pub(super) fn not_kept(error: impl std::error::Error) -> Refused {
    tracing::error!(%error, "a report of the carrier could not be kept");
    (Verdict::NotKept, answer::status(StatusCode::SERVICE_UNAVAILABLE))
}

pub(super) fn unreadable(error: impl std::error::Error) -> Refused {
    tracing::warn!(%error, "a signed request of the carrier could not be read");
    (Verdict::Unreadable, answer::text(StatusCode::BAD_REQUEST, error.to_string()))
}

// === verifying ===

pub(super) async fn verify<'a>(doors: &'a Doors, request: &mut Request) -> Result<Verified<'a>, Refused> {
    let Some(settings) = &doors.settings.twilio else {
        return Err((Verdict::NoCarrier, answer::status(StatusCode::NOT_FOUND)));
    };
    let body = answer::body(doors, request).await.map_err(|unread| (unread.verdict, unread.response))?;
    let forbidden = |verdict| (verdict, answer::status(StatusCode::FORBIDDEN));
    let form = Form::parse(&body).map_err(|_| forbidden(Verdict::UnreadableForm))?;
    proven(doors, request, Content::Form(&form))?;
    if form.first("AccountSid") != Some(settings.account_sid.as_str()) {
        return Err(forbidden(Verdict::OtherAccount));
    }
    Ok(Verified { settings, form })
}

/// Claims that Twilio signed the request, with this content.
pub(super) fn proven<'a>(
    doors: &'a Doors,
    request: &Request,
    content: Content<'_>,
) -> Result<&'a Settings, Refused> {
    let Some(settings) = &doors.settings.twilio else {
        return Err((Verdict::NoCarrier, answer::status(StatusCode::NOT_FOUND)));
    };
    let target = request.original_uri().path_and_query().map_or("/", |target| target.as_str());
    let signed = Signed {
        public_base_url: &doors.settings.public_url,
        target,
        content,
        signature: request.header("x-twilio-signature"),
        settings: request.header("x-twilio-webhooks-signature-settings"),
    };
    let keys = twilio_signature::Keys {
        auth_tokens: &settings.auth_tokens,
        shared_keys: &settings.shared_keys,
        require_shared_key: settings.require_shared_key,
    };
    twilio_signature::verify(&signed, keys).map_err(|refusal| {
        tracing::warn!(verdict = refusal.name(), "a request of the carrier was refused");
        (Verdict::Signature(refusal), answer::status(StatusCode::FORBIDDEN))
    })?;
    Ok(settings)
}

pub(super) fn call_of(request: &Request) -> Result<CallId, Refused> {
    let refused =
        || (Verdict::Unreadable, answer::text(StatusCode::BAD_REQUEST, "`call` is missing in the query"));
    let text = query(request, "call").ok_or_else(refused)?;
    text.parse().map_err(|_| refused())
}

/// The value of a query parameter of ours: plain, never percent-encoded.
fn query<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let query = request.original_uri().query()?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

// === answering ===

pub(super) fn twiml_for(doors: &Doors, settings: &Settings, plan: DialPlan) -> Result<Response, Refused> {
    let verbs = match plan {
        DialPlan::Fallback { call, fallback } => {
            return afterwards::answer(doors, settings, call, Ok(Next::Fallback(fallback)));
        }
        DialPlan::Provider { call, token, caller, timeout_s, is_plain, recording } => {
            let how = How { timeout_s, is_plain, recording };
            dial_provider(doors, settings, call, &token, caller, how)
        }
        DialPlan::Bridge { call, token, recording } => {
            Ok(media::connect(doors, call, token, recording.as_ref()))
        }
        DialPlan::Forward { call, target } => {
            forward(doors, settings, &target, Some(dial_result_url(doors, call)))
        }
        DialPlan::Reject(RejectReason::Busy) => Ok(vec![Verb::Reject(twiml::RejectReason::Busy)]),
        DialPlan::Reject(RejectReason::Rejected) => Ok(vec![Verb::Reject(twiml::RejectReason::Rejected)]),
        DialPlan::Apology => Ok(apology(&settings.apology)),
    };
    dialled(settings, verbs)
}

/// The document, or an apology where nobody can be dialled.
fn dialled(settings: &Settings, verbs: Result<Vec<Verb>, BadSipUri>) -> Result<Response, Refused> {
    verbs.map(document).map_err(|error| {
        tracing::error!(%error, "a caller cannot be dialled on");
        (Verdict::Unanswerable, document(apology(&settings.apology)))
    })
}

/// How the provider is dialled for this call.
struct How {
    /// Seconds; none: as long as for any call.
    timeout_s: Option<u32>,
    is_plain: bool,
    recording: Option<Recording>,
}

fn dial_provider(
    doors: &Doors,
    settings: &Settings,
    call: CallId,
    token: &str,
    caller: Option<String>,
    how: How,
) -> Result<Vec<Verb>, BadSipUri> {
    let openai = &doors.settings.openai;
    let uri = SipUri::new(SipUriParts {
        user: &openai.project_id,
        host: &openai.sip_host,
        secure_media: settings.dial.secure_media && !how.is_plain,
        edge: settings.dial.edge.as_deref(),
        headers: &[(join_token::HEADER, token)],
    })?;
    let public_url = &doors.settings.public_url;
    let announcement = how.recording.as_ref().and_then(recording::announcement);
    let dial = Verb::Dial(Dial {
        timeout_s: how.timeout_s.map_or(settings.dial.timeout_s, |most| settings.dial.timeout_s.min(most)),
        // The announcement has answered the call already: then nothing rings any more.
        answer_on_bridge: announcement.is_none(),
        recording_callback: how.recording.map(|_| recording::callback_url(public_url, call)),
        caller_id: caller.and_then(|caller| E164::parse(&caller, doors.settings.default_country).ok()),
        action: Some(dial_result_url(doors, call)),
        refer_url: Some(format!("{public_url}{TWILIO_REFER}?call={call}")),
        status_callback: Some(format!("{public_url}{TWILIO_STATUS}?call={call}")),
        ..settings.dial.to(Noun::Sip(uri))
    });
    Ok(announcement.map(Verb::Say).into_iter().chain([dial]).collect())
}

/// Dials somebody else; `action` is asked afterwards, where something is to be told.
pub(super) fn forward(
    doors: &Doors,
    settings: &Settings,
    target: &Target,
    action: Option<String>,
) -> Result<Vec<Verb>, BadSipUri> {
    twilio::forward(&settings.dial, target, doors.settings.default_country, action)
}

fn dial_result_url(doors: &Doors, call: CallId) -> String {
    format!("{}{TWILIO_DIAL_RESULT}?call={call}", doors.settings.public_url)
}

pub(super) fn apology(say: &Say) -> Vec<Verb> {
    let say = twiml::Say { text: say.text.clone(), language: say.language.clone(), voice: say.voice.clone() };
    vec![Verb::Say(say), Verb::Hangup]
}

pub(super) fn document(verbs: Vec<Verb>) -> Response {
    let xml = twiml::Response::from(verbs).to_xml();
    Response::builder().content_type("text/xml; charset=utf-8").body(xml)
}
