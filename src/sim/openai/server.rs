//! The simulated provider's port: REST of calls, and the sideband.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use poem::http::StatusCode;
use poem::web::websocket::{CloseCode, Message, WebSocket, WebSocketStream};
use poem::{
    EndpointExt as _, FromRequest as _, IntoResponse as _, Request, Response, Route, Server, get, post,
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::Provider;
use super::call::{Answer, Out, ToCall};
use crate::net::PromptAcceptor;
use crate::sim::log::Party;

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;

pub(super) async fn serve(acceptor: PromptAcceptor, world: Arc<Provider>) -> io::Result<()> {
    let stopping = world.stopping.clone();
    let rest = {
        let world = Arc::clone(&world);
        poem::endpoint::make::<_, _, Response, poem::Result<Response>>(move |request| {
            let world = Arc::clone(&world);
            async move { poem::Result::Ok(answer_rest(&world, request).await) }
        })
    };
    let of_sideband = Arc::clone(&world);
    let sideband = poem::endpoint::make::<_, _, Response, poem::Result<Response>>(move |request| {
        let world = Arc::clone(&of_sideband);
        async move { poem::Result::Ok(answer_sideband(world, request).await) }
    });
    let endpoints = {
        let world = Arc::clone(&world);
        poem::endpoint::make::<_, _, Response, poem::Result<Response>>(move |request| {
            let world = Arc::clone(&world);
            async move { poem::Result::Ok(webhook_endpoints(&world, request).await) }
        })
    };
    let routes = Route::new()
        .at("/v1/realtime/calls/:call_id/:verb", post(rest))
        .at("/v1/realtime", get(sideband))
        .at("/v1/webhook_endpoints", endpoints)
        .map_to_response();
    let stopped = async move { stopping.cancelled().await };
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(routes, stopped, Some(Duration::ZERO))
        .await
}

async fn answer_rest(world: &Provider, mut request: Request) -> Response {
    if !is_authorized(world, &request) {
        return error(401, "invalid_api_key", "Incorrect API key provided.");
    }
    let call_id = request.raw_path_param("call_id").unwrap_or_default().to_owned();
    let verb = request.raw_path_param("verb").unwrap_or_default().to_owned();
    let Ok(body) = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await else {
        return error(413, "too_large", "The body is too large.");
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let Some(entry) = world.entry(&call_id) else { return not_found() };
    let (reply, answer) = oneshot::channel();
    let message = match verb.as_str() {
        "accept" => ToCall::Accept { body, reply },
        "reject" => ToCall::Reject { body, reply },
        "refer" => ToCall::Refer { body, reply },
        "hangup" => ToCall::HangUp { reply },
        _ => return error(404, "unknown_url", "Unknown request URL."),
    };
    world.log(Party::Gateway, Party::OpenAi, || format!("POST {verb} {call_id}"));
    if entry.task.send(message).await.is_err() {
        return not_found();
    }
    let answer = answer.await.unwrap_or(Answer::NotFound);
    let status = answer.status();
    world.options.log.answer(Party::OpenAi, Party::Gateway, || format!("{status} to {verb}"));
    response(answer).await
}

/// The one endpoint of the project: listed, or added where there is none (OpenAI's SDK, `webhook_endpoints`).
async fn webhook_endpoints(world: &Provider, mut request: Request) -> Response {
    if !is_authorized(world, &request) {
        return error(401, "invalid_api_key", "Incorrect API key provided.");
    }
    if request.method() != poem::http::Method::POST {
        let url = super::lock(&world.webhook_url).clone();
        let endpoint = json!({ "id": "we_1", "url": url, "event_types": ["realtime.call.incoming"] });
        let data: Vec<_> = if url.is_empty() { Vec::new() } else { vec![endpoint] };
        return json_response(200, json!({ "object": "list", "data": data, "has_more": false }).to_string());
    }
    let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await.unwrap_or_default();
    let wanted: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match wanted["url"].as_str() {
        Some(url) if url.starts_with("https://") && wanted["name"].is_string() => {
            *super::lock(&world.webhook_url) = url.to_owned();
        }
        _ => return error(400, "invalid_url", "The URL must be HTTPS."),
    }
    let secret = world.options.webhook_secrets.first();
    let (url, events) = (&wanted["url"], &wanted["event_types"]);
    let added = json!({ "id": "we_1", "url": url, "event_types": events, "signing_secret": secret });
    json_response(200, added.to_string())
}

async fn response(answer: Answer) -> Response {
    match answer {
        Answer::Ok => StatusCode::OK.into_response(),
        Answer::NotFound => not_found(),
        Answer::AlreadyDecided => error(409, "decision_already_made", "The call was decided before."),
        Answer::Wrong { code, param } => {
            let body = json!({ "error": { "message": format!("Invalid parameter: '{param}'."),
                "type": "invalid_request_error", "param": param, "code": code } });
            json_response(400, body.to_string())
        }
        Answer::Fault(429) => {
            let mut response = error(429, "rate_limit_exceeded", "Too many sessions.");
            response.headers_mut().insert("retry-after", poem::http::HeaderValue::from_static("7"));
            response
        }
        Answer::Fault(404) => not_found(),
        Answer::Fault(409) => error(409, "decision_already_made", "The call was decided before."),
        // Server errors are plain text at the vendor too.
        Answer::Fault(status) => Response::builder()
            .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            .content_type("text/plain")
            .body("upstream connect error or disconnect/reset before headers"),
        Answer::Silence => {
            std::future::pending::<()>().await;
            StatusCode::OK.into_response()
        }
    }
}

async fn answer_sideband(world: Arc<Provider>, request: Request) -> Response {
    if !is_authorized(&world, &request) {
        return error(401, "invalid_api_key", "Incorrect API key provided.");
    }
    let query = request.uri().query().unwrap_or_default();
    let call_id =
        query.split('&').find_map(|pair| pair.strip_prefix("call_id=")).unwrap_or_default().to_owned();
    let model = query.split('&').find_map(|pair| pair.strip_prefix("model=")).unwrap_or_default();
    let entry = match world.entry(&call_id) {
        Some(entry) => entry,
        None if call_id.is_empty() && !model.is_empty() => match world.refuses_session() {
            Some(status) => return error(status, "server_error", "The server had an error."),
            None => world.open_session(model),
        },
        None => return not_found(),
    };
    let socket = match WebSocket::from_request_without_body(&request).await {
        Ok(socket) => socket,
        Err(error) => return error.into_response(),
    };
    let (out, frames) = mpsc::channel(256);
    let (reply, admitted) = oneshot::channel();
    if entry.task.send(ToCall::Attach { out, reply }).await.is_err() || admitted.await != Ok(true) {
        return not_found();
    }
    let is_session = call_id.is_empty();
    world.options.log.answer(Party::OpenAi, Party::Gateway, || match is_session {
        true => "101 session of its own".to_owned(),
        false => format!("101 sideband of {call_id}"),
    });
    socket
        .on_upgrade(move |stream| async move {
            carry(stream, frames, entry.task.clone()).await;
            // Its task may have ended first.
            let _ = entry.task.send(if is_session { ToCall::Gone } else { ToCall::Detached }).await;
        })
        .into_response()
}

/// Carries frames both ways until one side is done.
async fn carry(stream: WebSocketStream, mut frames: mpsc::Receiver<Out>, task: mpsc::Sender<ToCall>) {
    let (mut sink, mut source) = stream.split();
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(Out::Frame(text)) => {
                    if sink.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
                Some(Out::Close(code)) => {
                    let _ = sink.send(Message::Close(Some((CloseCode::from(code), String::new())))).await;
                    return;
                }
                // The call is over: the vendor's socket ends without a close frame.
                Some(Out::Drop) | None => return,
            },
            message = source.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if task.send(ToCall::Client(text)).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

fn is_authorized(world: &Provider, request: &Request) -> bool {
    request.header("authorization").and_then(|value| value.strip_prefix("Bearer "))
        == Some(world.options.api_key.as_str())
}

fn not_found() -> Response {
    error(404, "call_id_not_found", "No session found for the provided call_id")
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } });
    json_response(status, body.to_string())
}

fn json_response(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Response::builder().status(status).content_type("application/json").body(body)
}
