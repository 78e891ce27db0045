//! Twilio's REST API, as far as a gateway uses it: recordings and live calls, strictly behind Basic auth.
//!
//! Facts: Twilio, "Recordings resource", "Call resource", "Error and Warning Dictionary".

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem::http::{StatusCode, header};
use poem::{EndpointExt as _, Request, Response, Route, Server};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::form::rfc_2822;
use crate::clock::Timestamp;
use crate::net::PromptAcceptor;
use crate::sim::log::{Party, WorldLog};
use crate::sim::twiml::Document;
use crate::wire::form::Form;

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest `Twiml` parameter (error 32018).
const TWIML_CHARS_MAX: usize = 4_000;
/// Orders that may wait for one call.
const ORDERS_MAX: usize = 8;

/// A request that was made of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Whether it showed the right credentials.
    pub is_authorized: bool,
    /// What was answered.
    pub status: u16,
}

/// An answer that the next request gets, whatever it wants.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// Only a request of this method gets it; none: whichever comes next.
    pub method: Option<&'static str>,
    /// The status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// `Location`, for a redirect.
    pub location: Option<String>,
}

/// A recording that was made.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    pub sid: String,
    pub call_sid: String,
    pub started: Timestamp,
    pub seconds: u64,
    pub channels: u16,
    pub is_absent: bool,
    pub is_garbled: bool,
    /// So many requests for the sound are answered 404 first.
    pub not_ready: u32,
    /// So many answers break off in the middle.
    pub cut: u32,
    pub wav: Vec<u8>,
}

/// What a live call shall do.
pub(super) enum Order {
    CarryOut(Document),
    HangUp,
}

/// The orders for one call. Without an API none ever comes.
pub(super) struct Orders {
    sid: String,
    orders: Option<mpsc::Receiver<Order>>,
    rest: Option<CarrierRest>,
}

/// A live call, or a leg of one, as the API knows it.
struct LiveCall {
    is_answered: bool,
    orders: mpsc::Sender<Order>,
}

/// The API of one account. It stops when the last handle is dropped.
#[derive(Clone)]
pub struct CarrierRest {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

struct Shared {
    log: WorldLog,
    address: SocketAddr,
    account_sid: String,
    credentials: String,
    tapes: Mutex<HashMap<String, Tape>>,
    calls: Mutex<HashMap<String, LiveCall>>,
    /// Calls that are over.
    over: Mutex<HashSet<String>>,
    /// What numbers were set to, by their SIDs.
    numbers: Mutex<HashMap<String, Vec<(String, String)>>>,
    requests: Mutex<Vec<RestRequest>>,
    refusals: Mutex<VecDeque<Refusal>>,
}

impl CarrierRest {
    /// Listens on a free loopback port, for this account and its auth token.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub async fn start(log: WorldLog, account_sid: &str, auth_token: &str) -> io::Result<CarrierRest> {
        let acceptor = PromptAcceptor::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let stopping = CancellationToken::new();
        let shared = Arc::new(Shared {
            log,
            address: acceptor.address(),
            account_sid: account_sid.to_owned(),
            credentials: format!("Basic {}", STANDARD.encode(format!("{account_sid}:{auth_token}"))),
            tapes: Mutex::default(),
            calls: Mutex::default(),
            over: Mutex::default(),
            numbers: Mutex::default(),
            requests: Mutex::default(),
            refusals: Mutex::default(),
        });
        tokio::spawn(serve(acceptor, Arc::clone(&shared), stopping.clone()));
        Ok(CarrierRest { shared, _stop: Arc::new(stopping.drop_guard()) })
    }

    /// Where it is, as `twilio.base_url` has it.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// What was asked of it so far.
    pub fn requests(&self) -> Vec<RestRequest> {
        lock(&self.shared.requests).clone()
    }

    /// The sound of a recording that is there.
    pub fn sound(&self, recording_sid: &str) -> Option<Vec<u8>> {
        lock(&self.shared.tapes).get(recording_sid).map(|tape| tape.wav.clone())
    }

    /// What a number was set to, field by field; nothing where it was left alone.
    pub fn number(&self, sid: &str) -> Vec<(String, String)> {
        lock(&self.shared.numbers).get(sid).cloned().unwrap_or_default()
    }

    /// The next requests with the right credentials are answered like this, one each.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        lock(&self.shared.refusals).extend(refusals);
    }

    pub(super) fn keep(&self, tape: Tape) {
        lock(&self.shared.tapes).insert(tape.sid.clone(), tape);
    }
}

impl Orders {
    pub fn of_call(rest: Option<&CarrierRest>, sid: &str) -> Orders {
        let Some(rest) = rest else { return Orders { sid: sid.to_owned(), orders: None, rest: None } };
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        lock(&rest.shared.calls).insert(sid.to_owned(), LiveCall { is_answered: false, orders });
        Orders { sid: sid.to_owned(), orders: Some(taken), rest: Some(rest.clone()) }
    }

    /// The next order. Safe to cancel; waits without end where none can come.
    pub async fn next(&mut self) -> Order {
        let order = match &mut self.orders {
            Some(orders) => orders.recv().await,
            None => None,
        };
        match order {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }

    pub fn call_is_answered(&self) {
        if let Some(rest) = &self.rest
            && let Some(call) = lock(&rest.shared.calls).get_mut(&self.sid)
        {
            call.is_answered = true;
        }
    }

    pub fn call_is_over(&self) {
        if let Some(rest) = &self.rest {
            lock(&rest.shared.calls).remove(&self.sid);
            lock(&rest.shared.over).insert(self.sid.clone());
        }
    }
}

async fn serve(acceptor: PromptAcceptor, shared: Arc<Shared>, stopping: CancellationToken) {
    let endpoint = poem::endpoint::make::<_, _, Response, poem::Result<Response>>(move |request| {
        let shared = Arc::clone(&shared);
        async move { poem::Result::Ok(shared.answer(request).await) }
    });
    let routes = Route::new().at("/*path", endpoint).map_to_response();
    let stopped = async move { stopping.cancelled().await };
    let served = Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(routes, stopped, Some(Duration::ZERO))
        .await;
    // A world whose API is gone fails its tests by itself.
    drop(served);
}

impl Shared {
    async fn answer(&self, mut request: Request) -> Response {
        let method = request.method().to_string();
        let target = request.original_uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let is_authorized = request.header("authorization") == Some(self.credentials.as_str());
        let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await.unwrap_or_default();
        let response = match is_authorized {
            false => error(401, 20_003, "Authenticate"),
            true => match self.refusal_of(&method) {
                Some(refusal) => refused(&refusal),
                None => self.decide(&method, &target, &body),
            },
        };
        let status = response.status().as_u16();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        self.log.say(Party::Gateway, Party::Twilio, || format!("{method} {path}"));
        self.log.answer(Party::Twilio, Party::Gateway, || status.to_string());
        lock(&self.requests).push(RestRequest { method, path: target, is_authorized, status });
        response
    }

    fn refusal_of(&self, method: &str) -> Option<Refusal> {
        let mut refusals = lock(&self.refusals);
        let at = refusals.iter().position(|refusal| refusal.method.is_none_or(|only| only == method))?;
        refusals.remove(at)
    }

    fn decide(&self, method: &str, target: &str, body: &[u8]) -> Response {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let below =
            path.strip_prefix("/2010-04-01/Accounts/").and_then(|rest| rest.strip_prefix(&*self.account_sid));
        let Some(below) = below else { return not_found() };
        let parts: Vec<&str> = below.split('/').skip(1).collect();
        match (method, parts.as_slice()) {
            ("GET", ["Recordings", file]) => match file.split_once('.') {
                Some((sid, "json")) => self.metadata(sid),
                Some((sid, "wav")) => self.sound(sid, query),
                None => self.sound(file, query),
                Some(_) => not_found(),
            },
            ("DELETE", ["Recordings", file]) => {
                let sid = file.trim_end_matches(".json");
                match lock(&self.tapes).remove(sid) {
                    Some(_) => Response::builder().status(StatusCode::NO_CONTENT).finish(),
                    None => not_found(),
                }
            }
            ("GET", ["Calls", file]) => self.call(file.trim_end_matches(".json")),
            ("POST", ["IncomingPhoneNumbers", file]) => self.number(file.trim_end_matches(".json"), body),
            ("POST", ["Calls", file]) => self.update(file.trim_end_matches(".json"), body),
            _ => not_found(),
        }
    }

    fn call(&self, sid: &str) -> Response {
        let status = match lock(&self.calls).get(sid) {
            Some(call) if call.is_answered => "in-progress",
            Some(_) => "ringing",
            None if lock(&self.over).contains(sid) => "completed",
            None => return not_found(),
        };
        let body = json!({ "sid": sid, "account_sid": self.account_sid, "status": status });
        Response::builder().content_type("application/json").body(body.to_string())
    }

    fn number(&self, sid: &str, body: &[u8]) -> Response {
        let Ok(form) = Form::parse(body) else { return error(400, 20_001, "Unreadable form") };
        let fields = form.as_slice().to_vec();
        lock(&self.numbers).insert(sid.to_owned(), fields);
        let body = json!({ "sid": sid, "account_sid": self.account_sid });
        Response::builder().content_type("application/json").body(body.to_string())
    }

    fn metadata(&self, sid: &str) -> Response {
        let tapes = lock(&self.tapes);
        let Some(tape) = tapes.get(sid) else { return not_found() };
        let status = if tape.is_absent { "absent" } else { "completed" };
        let body = json!({
            "sid": tape.sid, "account_sid": self.account_sid, "call_sid": tape.call_sid, "status": status,
            "duration": tape.seconds.to_string(), "channels": tape.channels, "source": "DialVerb",
            "start_time": rfc_2822(tape.started), "error_code": null, "encryption_details": null,
        });
        Response::builder().content_type("application/json").body(body.to_string())
    }

    fn sound(&self, sid: &str, query: &str) -> Response {
        let mut tapes = lock(&self.tapes);
        let Some(tape) = tapes.get_mut(sid).filter(|tape| !tape.is_absent) else { return not_found() };
        if tape.not_ready > 0 {
            tape.not_ready -= 1;
            return not_found();
        }
        if query == "RequestedChannels=2" && tape.channels < 2 {
            return error(400, 20_001, "Requested channels are not available");
        }
        let sound = Response::builder().content_type("audio/x-wav");
        if tape.is_garbled {
            return sound.body("<html>try again later</html>");
        }
        if tape.cut > 0 {
            tape.cut -= 1;
            let half = tape.wav[..tape.wav.len() / 2].to_vec();
            // The length is that of the whole, and then the connection ends.
            let pieces = futures_util::stream::iter([Ok(half), Err(io::Error::other("cut"))]);
            let whole = tape.wav.len();
            return sound.header(header::CONTENT_LENGTH, whole).body(poem::Body::from_bytes_stream(pieces));
        }
        sound.body(tape.wav.clone())
    }

    fn update(&self, sid: &str, body: &[u8]) -> Response {
        let Ok(form) = Form::parse(body) else { return error(400, 20_001, "Unreadable form") };
        let mut calls = lock(&self.calls);
        let Some(call) = calls.get_mut(sid) else { return not_found() };
        // A leg that rings can be ended, and nothing else.
        let is_end = matches!(form.first("Status"), Some("completed" | "canceled"));
        if !call.is_answered && !is_end {
            return error(400, 21_220, "Call is not in-progress. Cannot redirect.");
        }
        let order = match (form.first("Twiml"), form.first("Status")) {
            (Some(twiml), None) if twiml.chars().count() > TWIML_CHARS_MAX => {
                return error(400, 32_018, "Twiml is too long");
            }
            (Some(twiml), None) => match Document::read(Some("text/xml"), twiml.as_bytes()) {
                Ok(document) => Order::CarryOut(document),
                Err(problems) => {
                    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    return error(400, 12_100, &text.join("; "));
                }
            },
            (None, Some("completed")) => Order::HangUp,
            (None, Some("canceled")) if !call.is_answered => Order::HangUp,
            _ => return error(400, 21_205, "Neither Twiml nor a known Status"),
        };
        if call.orders.try_send(order).is_err() {
            return error(400, 21_220, "Call is not in-progress. Cannot redirect.");
        }
        let body = json!({ "sid": sid, "account_sid": self.account_sid, "status": "in-progress" });
        Response::builder().content_type("application/json").body(body.to_string())
    }
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = error(refusal.status, 20_429, "Refused by the simulation");
    let headers = response.headers_mut();
    if let Some(value) = refusal.retry_after_s.and_then(|seconds| seconds.to_string().parse().ok()) {
        headers.insert(header::RETRY_AFTER, value);
    }
    if let Some(value) = refusal.location.as_ref().and_then(|location| location.parse().ok()) {
        headers.insert(header::LOCATION, value);
    }
    response
}

fn not_found() -> Response {
    error(404, 20_404, "The requested resource was not found")
}

/// Twilio's error envelope.
fn error(status: u16, code: u32, message: &str) -> Response {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more_info, "status": status });
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .content_type("application/json")
        .body(body.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
