//! What operators do to a call while it runs: end it, hand the caller on, say something, tell the model something.
//!
//! All but the end go the way of plugins' wishes, so that the same rules hold: what is said waits for its turn, a
//! transfer goes to a target of the session and to nobody else, and the record tells who wanted it.

use poem::Response;
use poem::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::calls::no_call;
use super::{Accepted, Answered, Ask, Problem};
use crate::call::event::{Command, Wish};
use crate::call::record::{CallRecord, State};
use crate::http::answer;
use crate::ids::CallId;

/// The longest text that is said or told at once, in bytes: some sentences.
const TEXT_BYTES_MAX: usize = 2_000;

/// What `POST /calls/ID/transfer` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    to: String,
}

/// What `POST /calls/ID/say` and `/note` take.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    text: String,
}

/// `POST /api/v1/calls/ID/hangup`.
pub(super) async fn hang_up(ask: Ask) -> Answered {
    let id = known(&ask)?.id;
    ask.audit("call.hangup", Some(id), None).await?;
    ask.doors.control.command(id, Command::HangUp).await?;
    Ok(accepted())
}

/// `POST /api/v1/calls/ID/transfer`.
pub(super) async fn transfer(ask: Ask) -> Answered {
    let Transfer { to } = ask.json()?;
    let call = running(&ask)?;
    let targets = ask.doors.control.transfer_targets(&call);
    if !targets.contains(&to) {
        let known = if targets.is_empty() { "nobody".to_owned() } else { targets.join(", ") };
        return Err(Problem::bad(format!("`to` is no transfer target of this call: there is {known}")));
    }
    ask.audit("call.transfer", Some(call.id), Some(to.clone())).await?;
    wish(&ask, call.id, Wish::Transfer(to)).await
}

/// `POST /api/v1/calls/ID/say`.
pub(super) async fn say(ask: Ask) -> Answered {
    let text = text(&ask)?;
    let id = running(&ask)?.id;
    ask.audit("call.say", Some(id), Some(length_of(&text))).await?;
    wish(&ask, id, Wish::Say(text)).await
}

/// `POST /api/v1/calls/ID/note`.
pub(super) async fn note(ask: Ask) -> Answered {
    let text = text(&ask)?;
    let id = running(&ask)?.id;
    ask.audit("call.note", Some(id), Some(length_of(&text))).await?;
    wish(&ask, id, Wish::InjectContext(text)).await
}

async fn wish(ask: &Ask, id: CallId, wish: Wish) -> Answered {
    let by = format!("operator {}", ask.who.name);
    ask.doors.control.wish(id, by, wish).await?;
    Ok(accepted())
}

fn accepted() -> Response {
    answer::json_with(StatusCode::ACCEPTED, &Accepted {})
}

fn known(ask: &Ask) -> Result<CallRecord, Problem> {
    let id = ask.call_id()?;
    ask.doors.control.store().call(id)?.ok_or_else(|| no_call(id))
}

/// The call, which is not over as far as it is known.
fn running(ask: &Ask) -> Result<CallRecord, Problem> {
    let call = known(ask)?;
    match call.state {
        State::Ended => Err(Problem::conflict(format!("the call `{}` is over", call.id))),
        _ => Ok(call),
    }
}

fn text(ask: &Ask) -> Result<String, Problem> {
    let Words { text } = ask.json()?;
    let text = text.trim().to_owned();
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(Problem::bad(format!("`text` has 1 to {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The words themselves go with the call, and with the call they are erased.
fn length_of(text: &str) -> String {
    format!("{} characters", text.chars().count())
}
