//! The state of one instance, and what it can do, in words that no version of the interface owns.
//!
//! Every import ends here: a capability works only if the plugin asked for it and the operator granted it,
//! and only within what is left of its budget. While a plugin describes itself nothing is granted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::engine::Ticking;
use super::hands::{Fetch, Hands, LogLevel};
use super::kv::KeyValueStore;
use super::limits::{Messages, Watch};
use super::needs::{Need, Power};
use super::settings::{Grants, Limits, Settings};
use super::wasi::Wasi;
use crate::call::event::Wish;
use crate::secret::Secret;
use crate::tool::context::{CallContext, Refused, Said, Wishes};
use crate::tool::hooks::Hook;
use crate::tool::outbound::{FetchError, Pattern, Request, Response, Rules};

/// Actions and progress reports of one call: a person at the phone follows a few of each.
const ACTIONS_MAX: u32 = 16;
const REPORTS_MAX: u32 = 8;
/// The longest text that a model is told to say or to know, in characters.
const TEXT_CHARS_MAX: usize = 1_000;
/// The longest name and value of a variable: names are as in the configuration.
const NAME_BYTES_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 256;
/// How many bytes of chance are given at a time.
const RANDOM_BYTES_MAX: u32 = 1_024;
/// How many redirects of a request are followed.
const REDIRECTS_MAX: u8 = 5;

/// What a plugin asked for **and** was granted, ready to be used.
#[derive(Default)]
pub(super) struct Powers {
    kv: Option<Kv>,
    fetch: Option<Arc<dyn Fetch>>,
    secrets: BTreeMap<String, Secret>,
    reveal: BTreeSet<String>,
    history: bool,
    calls: BTreeSet<Power>,
    /// The moments of a call at which it is asked or told.
    pub hooks: Vec<Hook>,
}

/// A granted namespace, and what keeps it.
type Kv = Option<Arc<dyn KeyValueStore>>;

impl Powers {
    /// What is both asked for and granted.
    pub fn of(settings: &Settings, needs: &[Need], hands: &Hands) -> Powers {
        let mut powers = Powers::default();
        let mut allow: Vec<Pattern> = Vec::new();
        for need in needs.iter().filter(|need| settings.grants.covers(need)) {
            match need {
                Need::Kv => powers.kv = Some(hands.kv.clone()),
                Need::Http(pattern) => allow.push(pattern.clone()),
                Need::Secret(name) => powers.grant_secret(&settings.grants, name),
                Need::History => powers.history = true,
                Need::Call(power) => drop(powers.calls.insert(*power)),
                Need::Hook(hook) => powers.hooks.push(*hook),
            }
        }
        if !allow.is_empty() {
            powers.fetch = Some(hands.outbound.within(Rules {
                allow,
                private_hosts: settings.grants.private_hosts.clone(),
                response_bytes_max: settings.limits.http_response_bytes,
                redirects_max: REDIRECTS_MAX,
            }));
        }
        powers.hooks.sort();
        powers
    }

    fn grant_secret(&mut self, grants: &Grants, name: &str) {
        if let Some(secret) = grants.secrets.get(name) {
            self.secrets.insert(name.to_owned(), secret.clone());
            if grants.reveal.iter().any(|revealed| revealed == name) {
                self.reveal.insert(name.to_owned());
            }
        }
    }
}

/// What all instances of a plugin have in common.
pub(super) struct Shared {
    pub name: Arc<str>,
    pub config: BTreeMap<String, String>,
    pub limits: Limits,
    pub powers: Powers,
    pub hands: Hands,
    /// The most memory that one of its calls had.
    pub memory_peak_bytes: AtomicUsize,
    /// From when on growing time is counted.
    pub began: Instant,
}

/// The state of one instance.
pub(super) struct State {
    pub shared: Arc<Shared>,
    pub watch: Watch,
    pub messages: Arc<Messages>,
    pub overrun: Overrun,
    /// When the instance is stopped.
    deadline: Instant,
    wishes: Wishes,
    history: Vec<Said>,
    left: Left,
    wasi: Option<Box<Wasi>>,
    /// So that the deadline is seen.
    _ticking: Ticking,
}

/// What is left of the budget of one call, besides what [`Watch`] and [`Messages`] count.
struct Left {
    actions: u32,
    reports: u32,
    requests: u32,
    http_bytes: usize,
}

/// What was refused because there was too much of it: for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrun {
    pub actions: u32,
    pub reports: u32,
    pub requests: u32,
}

/// Why an action on the call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActError {
    Denied,
    NoCall,
    Quota,
}

/// An HTTP request in the words of the interface.
pub(super) struct Ask {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout: Option<Duration>,
    pub credential: Option<Credential>,
}

/// A secret to be put into a header.
pub(super) struct Credential {
    pub header: String,
    pub prefix: String,
    pub secret: String,
}

/// Why a request has no answer.
pub(super) enum AskError {
    /// More requests, or more bytes, than a call may have.
    Quota,
    /// As the client says.
    Fetch(FetchError),
}

impl State {
    /// The state of an instance that serves this call, or describes itself where there is none.
    pub fn new(
        shared: &Arc<Shared>,
        ticking: Ticking,
        context: Option<&CallContext>,
        time: Duration,
    ) -> State {
        let Limits { log_bytes, http_requests, http_bytes, .. } = shared.limits;
        let (name, sink) = (Arc::clone(&shared.name), Arc::clone(&shared.hands.log));
        State {
            watch: Watch::new(&shared.limits),
            messages: Arc::new(Messages::new(name, sink, log_bytes)),
            overrun: Overrun::default(),
            deadline: Instant::now() + time,
            wishes: context.map(|context| context.wishes.clone()).unwrap_or_default(),
            // Copied only for those who may read it.
            history: match context {
                Some(context) if shared.powers.history => context.history.clone(),
                _ => Vec::new(),
            },
            left: Left { actions: ACTIONS_MAX, reports: REPORTS_MAX, requests: http_requests, http_bytes },
            wasi: None,
            _ticking: ticking,
            shared: Arc::clone(shared),
        }
    }

    /// When the instance is stopped.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    // === what needs no grant ===

    pub fn log(&self, level: LogLevel, message: &str) {
        self.messages.write(level, message);
    }

    pub fn config(&self, key: &str) -> Option<String> {
        self.shared.config.get(key).cloned()
    }

    pub fn now_ms(&self) -> u64 {
        self.shared.hands.clock.now().as_millis()
    }

    pub fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.shared.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub fn random(&self, count: u32) -> Vec<u8> {
        let count = count.min(RANDOM_BYTES_MAX) as usize;
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let more: [u8; 32] = self.shared.hands.entropy.bytes();
            bytes.extend_from_slice(&more[..more.len().min(count - bytes.len())]);
        }
        bytes
    }

    /// Tells the caller how far a tool is; what is too much is dropped.
    pub fn report(&mut self, text: String) {
        let fits = text.chars().nth(TEXT_CHARS_MAX).is_none();
        if self.left.reports == 0 || !fits {
            self.overrun.reports = self.overrun.reports.saturating_add(1);
            return;
        }
        self.left.reports -= 1;
        // Nobody may listen any more; that is no concern of the plugin's.
        let _ = self.wishes.send(&self.shared.name, Wish::Progress(text));
    }

    // === what needs a grant ===

    /// The secret itself; none where it is not for the plugin's eyes.
    pub fn reveal(&self, name: &str) -> Option<String> {
        let powers = &self.shared.powers;
        let secret = powers.secrets.get(name).filter(|_| powers.reveal.contains(name));
        secret.map(|secret| secret.expose().to_owned())
    }

    /// The namespace; none where it is not granted. Inside: none where nothing is kept here.
    pub fn kv(&self) -> Option<Kv> {
        self.shared.powers.kv.clone()
    }

    /// The last lines of the call, oldest first; none where it is not granted.
    pub fn lines(&self, last: u32) -> Option<&[Said]> {
        let from = self.history.len().saturating_sub(last as usize);
        self.shared.powers.history.then(|| &self.history[from..])
    }

    /// Hands an action to the call.
    ///
    /// # Errors
    ///
    /// [`ActError`].
    pub fn act(&mut self, power: Power, wish: Wish) -> Result<(), ActError> {
        if !self.shared.powers.calls.contains(&power) {
            return Err(ActError::Denied);
        }
        if self.left.actions == 0 || !is_short(&wish) {
            self.overrun.actions = self.overrun.actions.saturating_add(1);
            return Err(ActError::Quota);
        }
        self.left.actions -= 1;
        self.wishes.send(&self.shared.name, wish).map_err(|refused| match refused {
            Refused::NoCall => ActError::NoCall,
            Refused::Full => ActError::Quota,
        })
    }

    /// Sends an HTTP request, as far as it is granted.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn fetch(&mut self, ask: Ask) -> Result<Response, AskError> {
        let denied = |words: String| AskError::Fetch(FetchError::Denied(words));
        let Some(fetch) = self.shared.powers.fetch.clone() else {
            return Err(denied("no request is granted".to_owned()));
        };
        let secret_headers = match ask.credential {
            None => Vec::new(),
            Some(Credential { header, prefix, secret }) => match self.shared.powers.secrets.get(&secret) {
                Some(found) => vec![(header, Secret::new(format!("{prefix}{}", found.expose())))],
                None => return Err(denied(format!("the secret `{}` is not granted", cut(&secret)))),
            },
        };
        let sent = ask.body.as_ref().map_or(0, Vec::len);
        if self.left.requests == 0 || self.left.http_bytes <= sent {
            self.overrun.requests = self.overrun.requests.saturating_add(1);
            return Err(AskError::Quota);
        }
        self.left.requests -= 1;
        self.left.http_bytes -= sent;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let time = ask.timeout.map_or(left, |timeout| timeout.min(left));
        let Ask { method, url, headers, body, .. } = ask;
        let request = Request { method: method.to_owned(), url, headers, secret_headers, body };
        let response = fetch.fetch(request, time).await.map_err(AskError::Fetch)?;
        match self.left.http_bytes.checked_sub(response.body.len()) {
            Some(rest) => self.left.http_bytes = rest,
            None => {
                self.left.http_bytes = 0;
                self.overrun.requests = self.overrun.requests.saturating_add(1);
                return Err(AskError::Quota);
            }
        }
        Ok(response)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Made when it is first asked for: most guests never do.
        let (messages, clock) = (&self.messages, &self.shared.hands.clock);
        self.wasi.get_or_insert_with(|| Box::new(Wasi::nothing_granted(messages, Arc::clone(clock)))).view()
    }
}

/// Claims that texts, names and values are no longer than they may be.
fn is_short(wish: &Wish) -> bool {
    let within = |text: &str, chars_max: usize| text.chars().nth(chars_max).is_none();
    match wish {
        Wish::Progress(text) | Wish::Say(text) | Wish::InjectContext(text) => within(text, TEXT_CHARS_MAX),
        Wish::Transfer(target) => is_name(target),
        Wish::HangUp => true,
        Wish::SetVariable { name, value } => is_name(name) && within(value, VALUE_CHARS_MAX),
    }
}

/// Claims that a text is a name as the configuration has them.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// A guest's text as far as it is repeated to it.
fn cut(text: &str) -> String {
    text.chars().take(NAME_BYTES_MAX).collect()
}
