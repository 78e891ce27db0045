//! Recordings for operators: listed, streamed in parts, deleted.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use futures_util::stream;
use poem::http::{StatusCode, header};
use poem::{Body, IntoResponse as _, Request, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::{Wanted, wanted};
use super::{Answered, Ask, Problem};
use crate::call::recording::{DeletedBy, RecordingRecord};
use crate::call_control::DeliverError;
use crate::call_control::recordings::RecordingError;
use crate::http::{Doors, answer};
use crate::ids::{CallId, RecordingId};
use crate::store::FileError;

/// How many recordings are listed at most.
const LIST_MAX: usize = 1_000;
/// How many where the question does not say.
const LIST: usize = 50;
/// How much of a file is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// A list of recordings, newest call first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Recordings {
    /// The recordings.
    pub recordings: Vec<RecordingRecord>,
}

/// What a request for a recording may say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Which {
    /// One of the call's recordings; without it the first that is kept, or all for deletion.
    recording: Option<RecordingId>,
    limit: Option<usize>,
}

/// `GET /api/v1/recordings`.
pub(super) async fn list(ask: Ask) -> Answered {
    let limit = ask.params::<Which>()?.limit.unwrap_or(LIST).clamp(1, LIST_MAX);
    let recordings = ask.doors.control.store().recordings(limit).await?;
    Ok(answer::json(&Recordings { recordings }))
}

/// `GET /api/v1/calls/ID/recording`: the sound, whole or in part.
pub(super) async fn play(ask: Ask) -> Answered {
    let (call, which): (CallId, Which) = (ask.call_id()?, ask.params()?);
    let records = ask.doors.control.store().recordings_of(call).await?;
    let is_meant = |record: &&RecordingRecord| which.recording.as_ref().is_none_or(|id| *id == record.id);
    let mut meant = records.iter().filter(is_meant);
    match meant.clone().find(|record| record.is_kept()) {
        Some(record) => {
            ask.audit_reading("recording.play", Some(call), Some(record.id.to_string())).await?;
            Ok(stream_file(&ask.doors, &ask.request, record).await)
        }
        None => match meant.next() {
            Some(record) => {
                let words = format!("the recording `{}` is {}", record.id, record.state.as_str());
                Err(Problem::missing(words))
            }
            None => Err(Problem::missing(format!("the call `{call}` has no such recording"))),
        },
    }
}

/// `DELETE /api/v1/calls/ID/recording`: all of the call's, or one.
pub(super) async fn delete(ask: Ask) -> Answered {
    let (call, which): (CallId, Which) = (ask.call_id()?, ask.params()?);
    let detail = which.recording.as_ref().map(ToString::to_string);
    ask.audit("recording.delete", Some(call), detail).await?;
    let control = &ask.doors.control;
    match control.delete_recordings(call, which.recording.as_ref(), DeletedBy::Operator).await {
        Ok(recordings) if recordings.is_empty() => Err(nothing_to_delete(call)),
        Ok(recordings) => Ok(answer::json(&Recordings { recordings })),
        Err(RecordingError::Deliver(DeliverError::NoSuchCall(call))) => Err(nothing_to_delete(call)),
        Err(error) => Err(Problem::failed("a recording could not be deleted", &error)),
    }
}

fn nothing_to_delete(call: CallId) -> Problem {
    Problem::missing(format!("the call `{call}` has no recording to delete"))
}

async fn stream_file(doors: &Doors, request: &Request, record: &RecordingRecord) -> Response {
    let (Some(name), Some(size)) = (record.file.clone(), record.bytes) else {
        return Problem::missing("the recording has no file").into_response();
    };
    let etag = format!("\"{}\"", record.sha256.as_deref().unwrap_or_default());
    if request.header(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
        return Response::builder().status(StatusCode::NOT_MODIFIED).header(header::ETAG, etag).finish();
    }
    // A part of something else is of no use: then the whole is sent.
    let is_same = request.header(header::IF_RANGE).is_none_or(|known| known == etag);
    let range = request.header(header::RANGE).filter(|_| is_same);
    let (status, from, length) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part { from, length } => (StatusCode::PARTIAL_CONTENT, from, length),
        Wanted::Nothing => {
            return Response::builder()
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}"))
                .finish();
        }
    };
    let body = match body(doors, name, from, length).await {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(call = %record.call, %error, "a recording's file cannot be read");
            return Problem::broken("the recording cannot be read").into_response();
        }
    };
    let mut response = Response::builder()
        .status(status)
        .content_type("audio/wav")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, "private, no-store")
        .header(header::CONTENT_LENGTH, length)
        .header(header::ETAG, etag);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{size}", from + length - 1);
        response = response.header(header::CONTENT_RANGE, range);
    }
    response.body(body)
}

/// So many bytes of a file from `from` on, read as they are sent.
async fn body(doors: &Doors, name: String, from: u64, length: u64) -> Result<Body, FileError> {
    let files = doors.control.recording_files().clone();
    let file = blocking(move || files.open(&name)).await?;
    let pieces = stream::try_unfold((file, from, length), |(mut file, from, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let piece = blocking(move || {
            let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
            file.seek(SeekFrom::Start(from))?;
            file.read_exact(&mut piece)?;
            io::Result::Ok((piece, file))
        });
        let (piece, file) = piece.await?;
        let count = piece.len() as u64;
        io::Result::Ok(Some((piece, (file, from + count, left - count))))
    });
    Ok(Body::from_bytes_stream(pieces))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
