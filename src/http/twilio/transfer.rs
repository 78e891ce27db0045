//! Callers who are handed on: Twilio asks whom to dial, and tells how that went.

use std::sync::Arc;

use poem::{Request, Response};

use super::{
    Refused, Verified, apology, call_of, counted, dialled, document, forward, not_kept, unreadable, verify,
};
use crate::call_control::DeliverError;
use crate::http::verdict::Verdict;
use crate::http::{Doors, TWILIO_HANDED_ON};
use crate::ids::CallId;
use crate::routing::Target;
use crate::twilio::Settings;
use crate::wire::twilio::{CallStatus, DialResult, ReferRequest};
use crate::wire::twiml::Verb;

/// `POST /twilio/refer`: the provider hands the caller on.
pub(in crate::http) async fn refer(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_refer(&doors, request).await;
    counted(&doors, answer)
}

/// `POST /twilio/handed-on`: the dial to whom a caller was handed on is over.
pub(in crate::http) async fn handed_on(doors: Arc<Doors>, request: Request) -> Response {
    let answer = answer_handed_on(&doors, request).await;
    counted(&doors, answer)
}

async fn answer_refer(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = call_of(&request);
    let Verified { settings, form } = verify(doors, &mut request).await?;
    let call = call?;
    ReferRequest::read(&form).map_err(unreadable)?;
    // Whom the request names is not asked: the record says who was meant.
    match doors.control.referred(call).await {
        Ok(Some(target)) => hand_on(doors, settings, call, &target),
        Ok(None) => {
            tracing::warn!(%call, "the provider hands on a caller whom nobody wants to be handed on");
            Err((Verdict::UnaskedRefer, document(apology(&settings.apology))))
        }
        Err(error) => Err(unknown(error)),
    }
}

async fn answer_handed_on(doors: &Arc<Doors>, mut request: Request) -> Result<Response, Refused> {
    let call = call_of(&request);
    let Verified { settings, form } = verify(doors, &mut request).await?;
    let call = call?;
    let result = DialResult::read(&form).map_err(unreadable)?;
    let answered = result.bridged.unwrap_or(result.dial_status == CallStatus::Completed);
    let (status, caller) = (result.dial_status.as_str().to_owned(), result.call_status.as_str().to_owned());
    doors.control.handed_on(call, status, answered, caller).await.map_err(unknown)?;
    // Whoever did not get through is told so, rather than hearing the line go.
    let is_waiting = !answered && !result.call_status.is_final();
    Ok(document(if is_waiting { apology(&settings.apology) } else { Vec::new() }))
}

/// The document that hands a caller on.
pub(in crate::http) fn hand_on(
    doors: &Doors,
    settings: &Settings,
    call: CallId,
    target: &Target,
) -> Result<Response, Refused> {
    let told = format!("{}{call}", handed_on_url(&doors.settings.public_url));
    dialled(settings, forward(doors, settings, target, Some(told)))
}

/// Where the carrier tells how it went; the call's id is appended.
pub fn handed_on_url(public_url: &str) -> String {
    format!("{public_url}{TWILIO_HANDED_ON}?call=")
}

fn unknown(error: DeliverError) -> Refused {
    match error {
        DeliverError::NoSuchCall(call) => {
            tracing::warn!(%call, "the carrier asks about a caller of a call that is not known");
            (Verdict::UnknownCall, document(vec![Verb::Hangup]))
        }
        error => not_kept(error),
    }
}
