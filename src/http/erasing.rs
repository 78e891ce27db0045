//! Erasing calls and compacting the journal, for operators. All of it wants the admin token.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};
use serde::{Deserialize, Serialize};

use super::admin::{authorize, call_id};
use super::{Doors, answer};
use crate::call_control::erasing::{EraseError, Erased};
use crate::store::{ErasedBy, Erasure};
use crate::text::chain;

/// What became of a wish to erase a call.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErasedCall {
    /// The proof; none: it goes as soon as it can.
    pub proof: Option<Erasure>,
}

/// What is asked of a compaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    /// The index is to be made anew at the next start, since its free space may hold what was erased.
    renew_index: bool,
}

/// `DELETE /api/v1/calls/ID`: 200 with the proof, 202 where a recording is still to be deleted at the carrier.
pub(super) async fn erase(doors: Arc<Doors>, request: Request) -> Response {
    let id = match authorize(&doors, &request).and_then(|()| call_id(&request)) {
        Ok(id) => id,
        Err(refused) => return refused,
    };
    match doors.control.erase_call(id, ErasedBy::Operator).await {
        Ok(Erased::Gone(proof)) => answer::json(&ErasedCall { proof: Some(proof) }),
        Ok(Erased::Later) => {
            let mut later = answer::json(&ErasedCall { proof: None });
            later.set_status(StatusCode::ACCEPTED);
            later
        }
        Err(error @ EraseError::NoSuchCall(_)) => answer::text(StatusCode::NOT_FOUND, format!("{error}\n")),
        Err(error @ EraseError::Running(_)) => answer::text(StatusCode::CONFLICT, format!("{error}\n")),
        Err(error) => {
            tracing::error!(call = %id, error = %chain(&error), "a call could not be erased");
            answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", chain(&error)))
        }
    }
}

/// `POST /api/v1/compact`: answers when it is done.
pub(super) async fn compact(doors: Arc<Doors>, request: Request) -> Response {
    let question: Question = match authorize(&doors, &request).map(|()| request.params()) {
        Ok(Ok(question)) => question,
        Ok(Err(error)) => return answer::text(StatusCode::BAD_REQUEST, error.to_string()),
        Err(refused) => return refused,
    };
    let compacted = async {
        if question.renew_index {
            doors.control.store().renew_index_at_next_start()?;
        }
        doors.control.compact().await
    };
    match compacted.await {
        Ok(compacted) => answer::json(&compacted),
        Err(error) => {
            tracing::error!(error = %chain(&error), "the journal could not be compacted");
            answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", chain(&error)))
        }
    }
}
