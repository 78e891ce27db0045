//! The simulated provider: OpenAI Realtime over SIP, as a server on a loopback port.
//!
//! It sends signed webhooks and repeats them, answers the calls' REST, and plays the sideband: one
//! response at a time, events in the vendor's order, generation faster than speech, a playback buffer
//! at the speed of speech. What caller and model say comes from a [`Script`](super::script::Script).
//! Everything the gateway did is written down in a [`CallReport`], and so is every rule it broke.

mod bridged;
mod call;
mod listening;
mod model;
mod play;
mod report;
mod server;
mod session;
mod webhook;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fault::ProviderFaults;
use super::line::BridgedCaller;
use super::log::{Party, WorldLog};
use super::script::Script;
use super::sip::{Invite, SipEvent, SipLeg};
use crate::clock::{Clock, Entropy};
use crate::net::PromptAcceptor;
use crate::text::hex;

pub use listening::{Recogniser, Turn};
pub use report::{CallReport, ToolOutput, Truncated, Utterance};
pub use webhook::{Delivery, sign};

/// How the simulated provider is set up.
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance: ids.
    pub entropy: Entropy,
    /// Where exchanges are written.
    pub log: WorldLog,
    /// The project that may be called.
    pub project_id: String,
    /// The key that requests must show.
    pub api_key: String,
    /// What signs webhooks; several make several signatures.
    pub webhook_secrets: Vec<String>,
    /// How long a call waits for a decision.
    pub pending_ttl: Duration,
    /// Simulated time passes this much faster.
    pub speed: f64,
    /// What goes wrong.
    pub faults: ProviderFaults,
}

/// The simulated provider. It stops when the last handle is dropped.
#[derive(Clone)]
pub struct OpenAiSim {
    world: Arc<Provider>,
    _stop: Arc<DropGuard>,
}

/// What all calls of the provider share.
struct Provider {
    options: Options,
    address: SocketAddr,
    webhook_url: Mutex<String>,
    http: reqwest::Client,
    calls: Mutex<HashMap<String, Entry>>,
    /// Callers who will be heard on sockets of their own, by line.
    lines: Mutex<HashMap<u32, bridged::Line>>,
    /// The last session of each of them.
    sessions: Mutex<HashMap<u32, String>>,
    /// What the model says on sessions whose caller is not heard but writes; a script for each.
    written: Mutex<VecDeque<Script>>,
    session_tries: std::sync::atomic::AtomicU32,
    /// What went wrong from some moment on.
    faults_now: Mutex<Option<ProviderFaults>>,
    /// Who writes down what is said, where sessions hear speech as it is.
    recogniser: Mutex<Option<Arc<Recogniser>>>,
    stopping: CancellationToken,
}

/// One call, as its task and as what is known of it.
#[derive(Clone)]
struct Entry {
    /// Which call of the world it is.
    number: usize,
    task: mpsc::Sender<call::ToCall>,
    report: Arc<Mutex<CallReport>>,
}

impl OpenAiSim {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub async fn start(options: Options) -> io::Result<OpenAiSim> {
        let acceptor = PromptAcceptor::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let http =
            reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().map_err(io::Error::other)?;
        let stopping = CancellationToken::new();
        let world = Arc::new(Provider {
            options,
            address: acceptor.address(),
            webhook_url: Mutex::default(),
            http,
            calls: Mutex::default(),
            lines: Mutex::default(),
            sessions: Mutex::default(),
            written: Mutex::default(),
            session_tries: std::sync::atomic::AtomicU32::new(0),
            faults_now: Mutex::default(),
            recogniser: Mutex::default(),
            stopping: stopping.clone(),
        });
        tokio::spawn(server::serve(acceptor, Arc::clone(&world)));
        Ok(OpenAiSim { world, _stop: Arc::new(stopping.drop_guard()) })
    }

    /// The REST base, as `OPENAI_BASE_URL` has it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.world.address)
    }

    /// Where webhooks go.
    pub fn set_webhook_url(&self, url: impl Into<String>) {
        *lock(&self.world.webhook_url) = url.into();
    }

    /// From now on calls have these faults instead of those of the options; none: those again.
    pub fn set_faults(&self, faults: Option<ProviderFaults>) {
        *lock(&self.world.faults_now) = faults;
    }

    /// Sessions that are opened on sockets of their own hear speech as it is from now on, and this writes it down.
    pub fn listen_with(&self, recogniser: Arc<Recogniser>) {
        *lock(&self.world.recogniser) = Some(recogniser);
    }

    /// A carrier offers a call.
    pub async fn invite(&self, invite: Invite) -> SipLeg {
        let (events, received) = mpsc::channel(16);
        let (commands, leg) = mpsc::channel(4);
        let call_id = format!("rtc_u0_{}", hex(&self.world.options.entropy.bytes::<12>()));
        let user = invite.request_uri.strip_prefix("sip:").and_then(|rest| rest.split('@').next());
        if user != Some(self.world.options.project_id.as_str()) {
            // No webhook exists for a project that does not.
            let _ = events.send(SipEvent::Failed(404)).await;
            return SipLeg { call_id, events: received, commands };
        }
        let (task, inbox) = mpsc::channel(64);
        let report = Arc::new(Mutex::new(CallReport::new(&call_id)));
        let faults = {
            let mut calls = lock(&self.world.calls);
            let faults = self.world.faults_after(calls.len());
            let entry = Entry { number: calls.len(), task, report: Arc::clone(&report) };
            calls.insert(call_id.clone(), entry);
            faults
        };
        let is_refused = faults.srtp_refused && invite.request_uri.contains(";secure=true");
        let status = faults.leg_status.or(is_refused.then_some(488));
        if faults.leg_unreachable || status.is_some() {
            lock(&report).is_over = true;
            if let Some(status) = status {
                let _ = events.send(SipEvent::Failed(status)).await;
            }
            return SipLeg { call_id, events: received, commands };
        }
        let headers = invite.headers.clone();
        let world = Arc::clone(&self.world);
        let call = call::SimCall::new(Arc::clone(&world), call_id.clone(), invite, faults.clone(), report);
        tokio::spawn(call.run(inbox, leg, events));
        tokio::spawn(webhook::announce(world, call_id.clone(), headers, faults));
        SipLeg { call_id, events: received, commands }
    }

    /// What happened to a call.
    pub fn call(&self, call_id: &str) -> Option<CallReport> {
        let report = lock(&self.world.calls).get(call_id)?.report.clone();
        Some(lock(&report).clone())
    }

    /// A caller will be heard on a session that the gateway opens.
    pub fn expect(&self, caller: BridgedCaller) {
        lock(&self.world.lines).insert(caller.line, bridged::Line::new(caller));
    }

    /// A session will be opened on which nobody is heard: this is what the model says there, whenever it is asked to.
    pub fn expect_written(&self, script: Script) {
        lock(&self.world.written).push_back(script);
    }

    /// What happened to the call on this line.
    pub fn call_on_line(&self, line: u32) -> Option<CallReport> {
        let call_id = lock(&self.world.sessions).get(&line)?.clone();
        self.call(&call_id)
    }

    /// Of how many calls something is so.
    pub fn count(&self, is_so: impl Fn(&CallReport) -> bool) -> usize {
        lock(&self.world.calls).values().filter(|entry| is_so(&lock(&entry.report))).count()
    }

    /// What happened to all calls, in the order in which they began.
    pub fn calls(&self) -> Vec<CallReport> {
        let mut entries: Vec<_> = lock(&self.world.calls).values().cloned().collect();
        entries.sort_by_key(|entry| entry.number);
        entries.iter().map(|entry| lock(&entry.report).clone()).collect()
    }
}

impl Provider {
    fn entry(&self, call_id: &str) -> Option<Entry> {
        lock(&self.calls).get(call_id).cloned()
    }

    /// Opens a session on a socket of its own.
    fn open_session(self: &Arc<Provider>, model: &str) -> Entry {
        let id = format!("sess_{}", hex(&self.options.entropy.bytes::<12>()));
        let (task, inbox) = mpsc::channel(1_024);
        let report = Arc::new(Mutex::new(CallReport::new(&id)));
        let mut calls = lock(&self.calls);
        let entry = Entry { number: calls.len(), task, report: Arc::clone(&report) };
        calls.insert(id.clone(), entry.clone());
        drop(calls);
        tokio::spawn(call::SimCall::bridged(Arc::clone(self), id, model, report).run_bridged(inbox));
        entry
    }

    /// The status with which this try to open a session is refused, if it is.
    fn refuses_session(&self) -> Option<u16> {
        let tries = self.session_tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let faults = &self.options.faults;
        let is_refused =
            tries < faults.session_refused_times || (1..=faults.session_refused_again_times).contains(&tries);
        is_refused.then_some(503)
    }

    /// A session has found out on which line it is.
    fn remember(&self, call_id: &str, report: &Arc<Mutex<CallReport>>, line: u32) {
        if let Some(entry) = lock(&self.calls).get_mut(call_id) {
            entry.report = Arc::clone(report);
        }
        lock(&self.sessions).insert(line, call_id.to_owned());
    }

    /// What befalls the call that comes after this many.
    fn faults_after(&self, calls: usize) -> ProviderFaults {
        if let Some(faults) = lock(&self.faults_now).clone() {
            return faults;
        }
        let is_troubled = calls < usize::try_from(self.options.faults.calls).unwrap_or(usize::MAX);
        if is_troubled { self.options.faults.clone() } else { ProviderFaults::default() }
    }

    /// A simulated span in real time.
    fn real(&self, millis: u64) -> Duration {
        Duration::from_secs_f64(millis as f64 / 1_000.0 / self.options.speed)
    }

    fn log(&self, from: Party, to: Party, text: impl FnOnce() -> String) {
        self.options.log.say(from, to, text);
    }
}

/// Nothing panics while it holds these locks; were it so, a report would still be readable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
