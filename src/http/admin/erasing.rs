//! Erasing calls and compacting the journal, for operators.

use poem::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask, Problem};
use crate::call_control::erasing::{EraseError, Erased};
use crate::http::answer;
use crate::store::{ErasedBy, Erasure};

/// What became of a wish to erase a call.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedCall {
    /// The proof; none: it goes as soon as it can.
    pub proof: Option<Erasure>,
}

/// What is asked of a compaction.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    /// The index is to be made anew at the next start, since its free space may hold what was erased.
    renew_index: bool,
}

/// `DELETE /api/v1/calls/ID`: 200 with the proof, 202 where a recording is still to be deleted at the carrier.
pub(super) async fn erase(ask: Ask) -> Answered {
    let id = ask.call_id()?;
    ask.audit("call.erase", Some(id), None).await?;
    match ask.doors.control.erase_call(id, ErasedBy::Operator).await {
        Ok(Erased::Gone(proof)) => {
            ask.doors.deliveries.forget_where(|call| call == id);
            Ok(answer::json(&ErasedCall { proof: Some(proof) }))
        }
        Ok(Erased::Later) => Ok(answer::json_with(StatusCode::ACCEPTED, &ErasedCall { proof: None })),
        Err(error @ EraseError::NoSuchCall(_)) => Err(Problem::missing(error.to_string())),
        Err(error @ EraseError::Running(_)) => Err(Problem::conflict(error.to_string())),
        Err(error) => Err(Problem::failed("a call could not be erased", &error)),
    }
}

/// `POST /api/v1/compact`: answers when it is done.
pub(super) async fn compact(ask: Ask) -> Answered {
    let Question { renew_index } = ask.params()?;
    ask.audit("compact", None, None).await?;
    let control = &ask.doors.control;
    let compacted = async {
        if renew_index {
            control.store().renew_index_at_next_start()?;
        }
        control.compact().await
    };
    match compacted.await {
        Ok(compacted) => Ok(answer::json(&compacted)),
        Err(error) => Err(Problem::failed("the journal could not be compacted", &error)),
    }
}
