//! The operators' door: who asks is known and may ask, then the endpoint answers.
//!
//! `/healthz` says only that the process runs, `/readyz` that it can take calls; neither tells of calls and neither
//! wants a token. Everything else stands in [`table`], below `/api/v1`. What is read of callers and what is done is in
//! the audit log, and there before it is done.

mod about;
mod acts;
mod again;
mod audit;
mod calls;
mod config;
mod cost;
mod erasing;
mod events;
mod features;
mod health;
mod notifications;
mod openapi;
mod plugins;
mod problem;
mod range;
mod recordings;
mod role;
mod routes;
mod session;
mod table;
mod tools;
mod vitals;
mod webhooks;
mod who;

use std::sync::Arc;

use poem::http::{HeaderValue, Method, header};
use poem::{EndpointExt as _, IntoResponse as _, Request, Response, Route, RouteMethod, get};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BODY_WITHIN, Doors, Entrance, dashboard, door};
use crate::call::privacy::Sight;
use crate::ids::CallId;
use crate::store::{AuditEntry, StoreError};
use crate::text::chain;

pub use about::{About, HandoverAsked};
pub(in crate::http) use again::Again;
pub use audit::AuditPage;
pub use calls::{Page, detail};
pub use config::{ConfigChecked, ConfigChecker, ConfigEntry, ConfigOrigin, ConfigProblem, ConfigShown};
pub use erasing::ErasedCall;
pub use features::{ResetOpenAiSip, SetOpenAiSip, Value};
pub use notifications::{NotificationList, Resent};
pub use plugins::{ChangeView, GrantsView, LimitsView, OutOfOrderView, PluginList, PluginView};
pub(in crate::http) use problem::Problem;
pub use problem::Refusal;
pub use recordings::Recordings;
pub use role::{NotARole, Role, TokenSettings, digest_in, new_token};
pub use session::SignedIn;
pub use table::{ENDPOINTS, Endpoint};
pub(in crate::http) use who::{Keys, Who};

/// Where the API begins.
pub const API: &str = "/api/v1";
/// The longest body of a request by somebody who is known: a configuration of 1 MiB, written as JSON.
const BODY_BYTES_MAX: usize = 2 << 20;
/// The longest body of a request by anybody: a token.
const STRANGERS_BODY_BYTES_MAX: usize = 4 << 10;

/// What an endpoint gives.
pub(super) type Answered = Result<Response, Problem>;

/// What is said of something that is being done.
#[derive(Serialize, JsonSchema)]
pub(super) struct Accepted {}

/// A request, with who asks.
pub(super) struct Ask {
    pub doors: Arc<Doors>,
    /// Without its body.
    pub request: Request,
    pub body: Vec<u8>,
    pub who: Who,
}

/// The admin listener.
pub(super) fn listener(entrance: &Arc<Entrance>) -> impl poem::Endpoint<Output = Response> + use<> {
    let mut routes = Route::new()
        .at("/healthz", get(door(entrance, vitals::live)))
        .at("/readyz", get(door(entrance, vitals::ready)))
        .at("/metrics", get(door(entrance, metrics)))
        .at("/api", get(door(entrance, openapi::page)))
        .at("/api/", get(door(entrance, openapi::page)))
        .at("/api/page.js", get(door(entrance, openapi::script)))
        .at("/api/page.css", get(door(entrance, openapi::style)));
    for (at, endpoint) in ENDPOINTS.iter().enumerate() {
        let is_first = ENDPOINTS[..at].iter().all(|before| before.path != endpoint.path);
        if is_first {
            let of_path = ENDPOINTS.iter().filter(|other| other.path == endpoint.path);
            let methods = of_path.fold(RouteMethod::new(), |methods, endpoint| {
                methods.method(endpoint.method.clone(), opened(entrance, endpoint))
            });
            routes = routes.at(format!("{API}{}", endpoint.path), methods);
        }
    }
    dashboard::routes(routes)
        .catch_all_error(|error| async move { Problem::of_router(&error).into_response() })
}

fn opened(
    entrance: &Arc<Entrance>,
    endpoint: &'static Endpoint,
) -> impl poem::Endpoint<Output = Response> + use<> {
    door(entrance, move |doors, request| answer(doors, endpoint, request))
}

async fn answer(doors: Arc<Doors>, endpoint: &'static Endpoint, request: Request) -> Response {
    let answered = ask(doors, endpoint, request).await;
    let mut response = answered.unwrap_or_else(Problem::into_response);
    let headers = response.headers_mut();
    // What is told here is for whoever asked, and for now.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn ask(doors: Arc<Doors>, endpoint: &'static Endpoint, mut request: Request) -> Answered {
    let (who, bytes_max) = match endpoint.needs {
        None => (Who::nobody(), STRANGERS_BODY_BYTES_MAX),
        Some(role) => (known(&doors, &request, role)?, BODY_BYTES_MAX),
    };
    let body = body(&mut request, bytes_max).await?;
    let ask = Ask { doors, request, body, who };
    if endpoint.acts() && endpoint.method == Method::POST && ask.request.header(again::KEY).is_some() {
        return again::once(ask, endpoint).await;
    }
    (endpoint.answer)(ask).await
}

/// Who asks, where they may what this role may.
fn known(doors: &Doors, request: &Request, role: Role) -> Result<Who, Problem> {
    let who = doors.keys.who(request, doors.clock.now())?;
    if who.may(role) {
        return Ok(who);
    }
    Err(Problem::forbidden(format!("this is for the role `{role}`: ask with a token of that role")))
}

async fn body(request: &mut Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let read = request.take_body().into_bytes_limit(bytes_max);
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => Err(Problem::too_large(bytes_max)),
        Ok(Err(error)) => Err(Problem::bad(error.to_string())),
        Err(_) => Err(Problem::bad("the body did not come in time")),
    }
}

/// `GET /metrics`.
async fn metrics(doors: Arc<Doors>, request: Request) -> Response {
    match known(&doors, &request, Role::Viewer) {
        Ok(_) => vitals::metrics(&doors),
        Err(problem) => problem.into_response(),
    }
}

impl Ask {
    /// The query; what is not known in it is refused.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        self.request.params().map_err(|error| Problem::bad(error.to_string()))
    }

    /// The body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| Problem::bad(format!("the body: {error}")))
    }

    /// The call that the path names.
    pub fn call_id(&self) -> Result<CallId, Problem> {
        Ok(self.request.raw_path_param("id").unwrap_or_default().parse()?)
    }

    /// What of callers is shown, where whole numbers are asked for or not.
    pub fn sight(&self, unmasked: bool) -> Result<Sight, Problem> {
        let words = self.who.may(Role::Listener);
        if unmasked && !words {
            return Err(Problem::forbidden("`unmasked` is for the role `listener`"));
        }
        Ok(Sight { words, numbers: unmasked })
    }

    /// Has it in the audit log who does what, to which call; on disk when this returns.
    pub async fn audit(
        &self,
        what: &str,
        call: Option<CallId>,
        detail: Option<String>,
    ) -> Result<(), Problem> {
        let written = self.doors.audit.record(self.entry(what, call, detail)).await;
        written.map_err(|error| unlogged("nothing was changed", &error))
    }

    /// The same for something that is read: again and again within a minute is once.
    pub async fn audit_reading(
        &self,
        what: &str,
        call: Option<CallId>,
        detail: Option<String>,
    ) -> Result<(), Problem> {
        let written = self.doors.audit.record_reading(self.entry(what, call, detail)).await;
        written.map_err(|error| unlogged("it is not shown", &error))
    }

    fn entry(&self, what: &str, call: Option<CallId>, detail: Option<String>) -> AuditEntry {
        AuditEntry {
            n: 0,
            at: self.doors.clock.now(),
            who: self.who.name.clone(),
            role: self.who.role.map_or("none", Role::as_str).to_owned(),
            what: what.to_owned(),
            call,
            detail,
            from: self.request.remote_addr().as_socket_addr().map(|address| address.ip().to_string()),
        }
    }
}

/// What is not in the audit log is not done, and not shown.
fn unlogged(what: &str, error: &StoreError) -> Problem {
    tracing::error!(%error, "the audit log could not be written");
    Problem::unavailable(format!("{what}, as the audit log cannot be written: {}", chain(error)))
}
