//! Twilio, simulated: a peer that asks the gateway for TwiML over real sockets with real signatures,
//! and does what it says.
//!
//! It imitates voice requests, the TwiML of [`super::twiml`], parent and child legs, leg and status
//! callbacks and the outcomes of a `<Dial>`; SIP legs are handed to a [`SipPeer`]. It holds the
//! gateway to the letter: whatever Twilio's debugger would complain about stands in
//! [`CarrierReport::problems`]. Media streams carry real audio over real sockets. With [`CarrierRest`] it
//! records dials and serves, deletes and redirects as its REST API would. A fallback URL is
//! imitated where [`CarrierFaults`] say that the number has one. Not imitated: redirects of HTTP, cookies.
//!
//! Automatic mode is [`TwilioSim::call`], explicit mode [`TwilioSim::request`].

mod call;
mod courier;
mod dial;
mod far_end;
mod faults;
mod form;
mod leg;
mod pace;
mod recording;
mod report;
mod rest;
mod sign;
mod stream;
mod web;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Deserialize;

pub use faults::{CarrierFaults, DialStatus, RecordingFaults, Signing};
pub use form::Fields;
pub use report::{CarrierReport, Delivery, DialReport, Heard, RequestKind, StreamReport};
pub use rest::{CarrierRest, Refusal, RestRequest};
pub use web::Answer;

use super::line::BridgedCaller;
use super::log::WorldLog;
use super::script::Script;
use super::sip::{Invite, SipLeg};
use super::twiml::Method;
use crate::clock::{Clock, Entropy};
use crate::secret::Secret;
use pace::Pace;

/// The path a number's voice URL is configured to.
pub const VOICE_PATH: &str = "/twilio/voice";
/// The path a number's status callback is configured to.
pub const STATUS_PATH: &str = "/twilio/status";

/// How long a message is that a caller leaves who was not told otherwise.
pub const MESSAGE: Duration = Duration::from_secs(4);

/// Whoever answers the SIP legs: the simulated provider, or a test.
///
/// When the caller of an answered call puts the phone down (because the peer plays the script that
/// says so), the peer closes [`SipLeg::events`] without a `Bye`, and writes that into the world's log.
pub trait SipPeer: Send + Sync + 'static {
    /// Offers a call.
    fn invite(&self, invite: Invite) -> BoxFuture<'_, SipLeg>;

    /// A caller will be heard over a media stream of the gateway, or not at all.
    fn expect(&self, caller: BridgedCaller) {
        drop(caller);
    }
}

/// What a simulated Twilio needs.
#[derive(Clone)]
pub struct Options {
    /// Timestamps of reports and callbacks.
    pub clock: Arc<dyn Clock>,
    /// Ids and tokens.
    pub entropy: Arc<Entropy>,
    /// Where exchanges are written.
    pub log: WorldLog,
    /// The account (`AC…`).
    pub account_sid: String,
    /// The token that signs requests.
    pub auth_token: Secret,
    /// Where to connect, `http://127.0.0.1:8080`.
    pub gateway_url: String,
    /// The public address, which stands in TwiML and is signed; may equal `gateway_url`.
    pub public_url: String,
    /// Who answers SIP legs.
    pub peer: Arc<dyn SipPeer>,
    /// Simulated seconds per real second; network timeouts are never scaled.
    pub speed: f64,
}

/// A caller and what befalls the call.
#[derive(Clone, Debug)]
pub struct CallerSetup {
    /// The caller's number in E.164, or `anonymous`.
    pub from: String,
    /// The number dialled.
    pub to: String,
    /// What is said once a SIP leg is up.
    pub script: Script,
    /// Puts the phone down this long after dialling, whatever happens; none: only by the script.
    pub hangs_up_after: Option<Duration>,
    /// A call that lasts longer is a problem, and ends.
    pub time_limit: Duration,
    /// Whoever answers `<Number>`.
    pub human: Human,
    /// How long a message is that is left after a beep; none: nothing is said.
    pub message: Option<Duration>,
    /// Trouble.
    pub faults: CarrierFaults,
}

impl CallerSetup {
    /// An untroubled call of at most ten minutes.
    pub fn new(from: &str, to: &str, script: Script) -> CallerSetup {
        CallerSetup {
            from: from.to_owned(),
            to: to.to_owned(),
            script,
            hangs_up_after: None,
            time_limit: Duration::from_secs(600),
            human: Human::default(),
            message: Some(MESSAGE),
            faults: CarrierFaults::default(),
        }
    }
}

/// The person at a dialled number.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Human {
    /// What happens when it rings there.
    pub reaction: Reaction,
    /// How long it rings first, in milliseconds.
    pub after_ms: u64,
    /// How long the person talks before putting the phone down, in milliseconds.
    pub talks_for_ms: u64,
}

impl Default for Human {
    fn default() -> Human {
        Human { reaction: Reaction::Answers, after_ms: 2_000, talks_for_ms: 5_000 }
    }
}

/// What a person does when the phone rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Answers.
    Answers,
    /// Is on the phone.
    Busy,
    /// Is not there: it rings until the carrier gives up.
    Absent,
}

/// A request made by hand.
#[derive(Clone, Debug)]
pub struct ExplicitRequest {
    /// GET or POST.
    pub method: Method,
    /// Path and query, such as `/twilio/voice`.
    pub path: String,
    /// The form.
    pub fields: Fields,
    /// How it is signed.
    pub signing: Signing,
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
#[error("the gateway did not answer: {0}")]
pub struct Unanswered(String);

/// A simulated Twilio account with one number that points to the gateway.
#[derive(Clone)]
pub struct TwilioSim {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    web: web::Web,
    pace: Pace,
    rest: Option<CarrierRest>,
}

impl fmt::Debug for TwilioSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioSim").field("gateway_url", &self.shared.options.gateway_url).finish()
    }
}

impl TwilioSim {
    /// A carrier that asks the gateway of `options`; it connects when the first call comes.
    ///
    /// # Errors
    /// The HTTP client could not be made (no TLS backend).
    pub fn new(options: Options) -> Result<TwilioSim, reqwest::Error> {
        TwilioSim::made(options, None)
    }

    /// The same with a REST API, where recordings are found and calls redirected.
    ///
    /// # Errors
    /// As [`TwilioSim::new`].
    pub fn with_rest(options: Options, rest: CarrierRest) -> Result<TwilioSim, reqwest::Error> {
        TwilioSim::made(options, Some(rest))
    }

    fn made(options: Options, rest: Option<CarrierRest>) -> Result<TwilioSim, reqwest::Error> {
        let web = web::Web::new(&options.gateway_url, &options.public_url, options.auth_token.clone())?;
        let pace = Pace::new(options.speed);
        Ok(TwilioSim { shared: Arc::new(Shared { options, web, pace, rest }) })
    }

    /// Plays one call from dialling to the last callback. Calls may run at the same time.
    pub async fn call(&self, caller: CallerSetup) -> CarrierReport {
        Box::pin(call::run(Arc::clone(&self.shared), caller, None)).await
    }

    /// The same for a caller who, over a media stream, says this (μ-law) and then nothing: a voice as it is, which no
    /// simulated provider recognises by its sound.
    pub async fn call_saying(&self, caller: CallerSetup, voice: Vec<u8>) -> CarrierReport {
        Box::pin(call::run(Arc::clone(&self.shared), caller, Some(voice))).await
    }

    /// Sends one request by hand, tried again like any other.
    ///
    /// # Errors
    /// No answer came.
    pub async fn request(&self, request: ExplicitRequest) -> Result<Answer, Unanswered> {
        let url = self.shared.web.public(&request.path);
        let token = web::idempotency_token(&self.shared.options.entropy);
        let outgoing = web::Outgoing {
            method: request.method,
            url: &url,
            fields: &request.fields,
            signing: request.signing,
            idempotency_token: &token,
        };
        self.shared.web.send(&outgoing).await.1.map_err(Unanswered)
    }

    /// All fields Twilio usually sends about a caller's leg, for explicit requests.
    pub fn voice_fields(&self, call_sid: &str, from: &str, to: &str, status: &str) -> Fields {
        let account_sid = &self.shared.options.account_sid;
        form::ParentLeg { account_sid, call_sid, from, to, status }.fields()
    }

    /// A new call id (`CA…`).
    pub fn new_call_sid(&self) -> String {
        web::sid("CA", &self.shared.options.entropy)
    }
}

impl Shared {
    /// A source of its own for everything that runs beside something else: whichever draws first,
    /// each draws the same.
    fn own_entropy(&self) -> Entropy {
        Entropy::seeded(u64::from_be_bytes(self.options.entropy.bytes()))
    }

    /// Lets simulated time pass.
    async fn pass(&self, simulated: Duration) {
        tokio::time::sleep(self.pace.real(simulated)).await;
    }
}
