//! Which process answers here, and how it is asked to make place for the next one.

use poem::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{Accepted, Answered, Ask, Problem};
use crate::clock::Timestamp;
use crate::http::answer;

/// What `GET /api/v1/about` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// The version of the program.
    pub version: String,
    /// The process, which stays the same when it becomes another program.
    pub pid: u32,
    /// Since when this program has answered.
    pub since: Timestamp,
    /// How many calls are looked after.
    pub calls: usize,
}

/// Who asked to hand over, and is told of a refusal before it is done.
pub type HandoverAsked = oneshot::Sender<Result<(), String>>;

/// `GET /api/v1/about`.
pub(super) async fn about(ask: Ask) -> Answered {
    Ok(answer::json(&About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        since: ask.doors.since,
        calls: ask.doors.control.active(),
    }))
}

/// `POST /api/v1/handover`: 202 when it is about to be done, 409 with the reason when it is not.
pub(super) async fn hand_over(ask: Ask) -> Answered {
    ask.audit("handover", None, None).await?;
    let (asked, answered) = oneshot::channel();
    let refusal = match ask.doors.handovers.try_send(asked) {
        Ok(()) => match answered.await {
            Ok(Ok(())) => return Ok(answer::json_with(StatusCode::ACCEPTED, &Accepted {})),
            Ok(Err(why)) => why,
            Err(_) => "the gateway is stopping".to_owned(),
        },
        Err(mpsc::error::TrySendError::Full(_)) => "it is being handed over already".to_owned(),
        Err(mpsc::error::TrySendError::Closed(_)) => "the gateway is stopping".to_owned(),
    };
    Err(Problem::conflict(refusal))
}
