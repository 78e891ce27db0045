//! Media streams at the door: the upgrade to a WebSocket.
//!
//! The upgrade's signature is checked before it is answered; who the stream is for is asked before
//! anything is opened for it. The WebSocket library of the server ends here: behind the door there are
//! [`Frame`]s.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt as _, StreamExt as _, future};
use poem::http::StatusCode;
use poem::web::websocket::{CloseCode, Message, WebSocket, WebSocketConfig, WebSocketStream};
use poem::{FromRequest as _, IntoResponse as _, Request, Response};

use super::twilio::{Refused, announcement, proven};
use super::verdict::Verdict;
use super::{Doors, TWILIO_AFTER_STREAM, TWILIO_MEDIA, answer};
use crate::call_control::{Stream, StreamRefusal};
use crate::ids::CallId;
use crate::media::phone::{Frame, MESSAGE_BYTES_MAX, Socket};
use crate::media::reception;
use crate::routing::Recording;
use crate::wire::join_token;
use crate::wire::twilio_signature::Content;
use crate::wire::twiml::{self, Verb};

const SOURCE: &str = "twilio_media";
/// How many streams may be asked at once who they are for: the upgrade's signature can be replayed.
const WAITING_MAX: usize = 256;
/// What is kept for a carrier that does not read, in bytes; beyond it the stream is lost.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// Messages are short; a longer one grows the buffer for its time. It counts for every call.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// How many streams wait to be let in.
#[derive(Default)]
pub(super) struct Waiting(AtomicUsize);

/// One of them; dropping it makes room.
struct Place(Arc<Doors>);

impl Place {
    fn take(doors: &Arc<Doors>) -> Option<Place> {
        let waiting = doors.waiting_streams.0.fetch_add(1, Ordering::Relaxed);
        // Made before it is known whether there is room: dropping it counts back either way.
        let place = Place(Arc::clone(doors));
        (waiting < WAITING_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting_streams.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `GET /twilio/media`: Twilio opens the media stream of a call.
pub(super) async fn media(doors: Arc<Doors>, request: Request) -> Response {
    match open(&doors, &request).await {
        Ok(response) => response,
        Err((verdict, response)) => {
            doors.control.metrics().webhook(SOURCE, verdict.name());
            response
        }
    }
}

async fn open(doors: &Arc<Doors>, request: &Request) -> Result<Response, Refused> {
    let settings = proven(doors, request, Content::Upgrade)?;
    let account_sid = settings.account_sid.clone();
    let place = Place::take(doors)
        .ok_or_else(|| (Verdict::TooMany, answer::status(StatusCode::SERVICE_UNAVAILABLE)))?;
    let socket = WebSocket::from_request_without_body(request)
        .await
        .map_err(|_| (Verdict::NoUpgrade, answer::status(StatusCode::BAD_REQUEST)))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(UNSENT_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let doors = Arc::clone(doors);
    let upgraded = socket.config(config).on_upgrade(move |stream| async move {
        let verdict = let_in(&doors, place, &account_sid, plain(stream)).await;
        doors.control.metrics().webhook(SOURCE, verdict.name());
    });
    Ok(upgraded.into_response())
}

/// Asks the stream who it is for, and lets it into that call.
async fn let_in(doors: &Doors, place: Place, account_sid: &str, socket: Socket) -> Verdict {
    let (start, phone) = match reception::welcome(socket).await {
        Ok(welcomed) => welcomed,
        Err(refusal) => {
            tracing::warn!(why = %refusal, "a media stream was refused");
            return Verdict::Start(refusal);
        }
    };
    drop(place);
    let token = start.parameters.get(join_token::PARAMETER).cloned().unwrap_or_default();
    if start.account_sid != account_sid {
        tracing::warn!("a media stream of another account was refused");
        phone.close(reception::POLICY).await;
        return Verdict::OtherAccount;
    }
    let stream = Stream { call_sid: start.call_sid, token, sid: start.stream_sid, phone };
    match doors.control.stream_started(stream).await {
        Ok(()) => Verdict::Taken,
        Err(refusal) => {
            tracing::warn!(why = %refusal, "a media stream was refused");
            match refusal {
                StreamRefusal::Token(refusal) => Verdict::Token(refusal),
                StreamRefusal::OtherCall => Verdict::OtherCall,
                StreamRefusal::NotAwaited => Verdict::NotAwaited,
                StreamRefusal::Kept(_) => Verdict::NotKept,
            }
        }
    }
}

/// The server's socket in plain frames.
fn plain(stream: WebSocketStream) -> Socket {
    let (sink, source) = stream.split();
    // A socket that fails has ended.
    let inbound = source.take_while(|message| future::ready(message.is_ok())).map(|message| match message {
        Ok(Message::Text(text)) => Frame::Text(text),
        Ok(Message::Binary(_)) => Frame::Binary,
        Ok(Message::Ping(_)) => Frame::Ping,
        Ok(Message::Close(frame)) => Frame::Close(frame.map_or(1005, |(code, _)| code.into())),
        Ok(Message::Pong(_)) | Err(_) => Frame::Other,
    });
    let outbound = sink.with(|frame| {
        future::ready(Ok::<_, io::Error>(match frame {
            Frame::Text(text) => Message::Text(text),
            Frame::Close(code) => Message::Close(Some((CloseCode::from(code), String::new()))),
            Frame::Binary => Message::Binary(Vec::new()),
            Frame::Ping | Frame::Other => Message::Ping(Vec::new()),
        }))
    });
    Socket { inbound: Box::pin(inbound), outbound: Box::pin(outbound) }
}

/// The TwiML that opens the stream of a call, and asks us when it is over. Where the carrier is to tell the
/// caller of the recording, it does that first; the recording itself is made here.
pub(super) fn connect(
    doors: &Doors,
    call: CallId,
    token: String,
    recording: Option<&Recording>,
) -> Vec<Verb> {
    let public_url = &doors.settings.public_url;
    let socket_url = match public_url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}{TWILIO_MEDIA}"),
        None => format!("{public_url}{TWILIO_MEDIA}"),
    };
    let stream = twiml::Stream {
        url: socket_url,
        parameters: vec![("call", call.to_string()), (join_token::PARAMETER, token)],
    };
    let after = format!("{public_url}{TWILIO_AFTER_STREAM}?call={call}");
    let announcement = recording.and_then(announcement).map(Verb::Say);
    announcement.into_iter().chain([Verb::Connect(stream), Verb::Redirect { url: after }]).collect()
}
