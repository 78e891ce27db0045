//! The business behind the tools, simulated: an HTTP API that answers as a scenario's `[[backend]]` tells.
//!
//! A configuration reaches it as `${BACKEND_URL}`. What nobody told it to answer gets 404 and is noted
//! in the world's log like every other exchange.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::http::header::{AUTHORIZATION, CONTENT_TYPE};
use poem::{EndpointExt as _, Request, Response, Server};
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::log::{Party, WorldLog};
use crate::net::PromptAcceptor;

/// One thing the business answers: a `[[backend]]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The request's method, `GET` if left out.
    #[serde(default = "default_method")]
    pub method: String,
    /// Its path, such as `/slots`.
    pub path: String,
    /// Its query, where that matters, such as `date=2026-12-01`.
    pub query: Option<String>,
    /// What its `Authorization` must be; else the answer is 401.
    pub authorization: Option<String>,
    /// The answer's status.
    #[serde(default = "default_status")]
    pub status: u16,
    /// How long the answer takes, in simulated milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// The answer's body.
    pub json: Option<toml::Value>,
}

fn default_method() -> String {
    "GET".to_owned()
}

fn default_status() -> u16 {
    200
}

/// A running backend; it stops when this is dropped.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    _stop: DropGuard,
}

struct Inner {
    replies: Vec<Reply>,
    log: WorldLog,
    speed: f64,
}

impl Backend {
    /// Starts answering.
    ///
    /// # Errors
    ///
    /// The operating system's, when no port can be had.
    pub async fn start(replies: Vec<Reply>, log: WorldLog, speed: f64) -> io::Result<Backend> {
        let acceptor = PromptAcceptor::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = acceptor.address();
        let inner = Arc::new(Inner { replies, log, speed });
        let endpoint = poem::endpoint::make::<_, _, Response, poem::Result<Response>>(move |request| {
            let inner = Arc::clone(&inner);
            async move { poem::Result::Ok(inner.answer(&request).await) }
        });
        let stopping = CancellationToken::new();
        let stop = stopping.clone().drop_guard();
        let server = Server::new_with_acceptor(acceptor);
        tokio::spawn(async move {
            let stopped = async move { stopping.cancelled().await };
            server.run_with_graceful_shutdown(endpoint.map_to_response(), stopped, Some(Duration::ZERO)).await
        });
        Ok(Backend { address, _stop: stop })
    }

    /// Its address, as `BACKEND_URL` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Inner {
    async fn answer(&self, request: &Request) -> Response {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let asked = format!("{} {target}", request.method());
        self.log.say(Party::Gateway, Party::Backend, || asked.clone());
        let reply = self.replies.iter().find(|reply| reply.is_for(request));
        let (status, body) = match reply {
            None => (StatusCode::NOT_FOUND, String::new()),
            Some(reply) if !reply.is_authorized(request) => (StatusCode::UNAUTHORIZED, String::new()),
            Some(reply) => {
                tokio::time::sleep(Duration::from_secs_f64(reply.delay_ms as f64 / 1_000.0 / self.speed))
                    .await;
                let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, reply.body())
            }
        };
        self.log.answer(Party::Backend, Party::Gateway, || format!("{} to {asked}", status.as_u16()));
        Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(body)
    }
}

impl Reply {
    fn is_for(&self, request: &Request) -> bool {
        let is_query = self.query.as_deref().is_none_or(|query| request.uri().query() == Some(query));
        request.method().as_str() == self.method && request.uri().path() == self.path && is_query
    }

    fn is_authorized(&self, request: &Request) -> bool {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.authorization.as_deref().is_none_or(|wanted| shown == Some(wanted))
    }

    fn body(&self) -> String {
        let json = self.json.as_ref().and_then(|json| serde_json::to_string(json).ok());
        json.unwrap_or_default()
    }
}
