//! Every way in which the SIP leg can fail, played: what the caller heard, and how long it took until the
//! assistant spoke. `switchboard demo --failures` prints it as the table of `docs/failover.md`.
//!
//! Each failure has a gateway and a world of its own, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::call::record::{CallDetail, Path};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{self, Environment};
use crate::gateway::Gateway;
use crate::http::{OPENAI_WEBHOOK, detail};
use crate::sim::fault::ProviderFaults;
use crate::sim::log::WorldLog;
use crate::sim::script::Script;
use crate::sim::twilio::{CallerSetup, CarrierReport, DialStatus, Refusal};
use crate::sim::world::{Options, World};
use crate::store::CallQuery;

use super::scratch::Scratch;
use super::stage::{ANY_PORT, places};

/// How long one call may take altogether.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// How long the gateway may take to close a call that the carrier has seen the end of.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

const CONFIG: &str = r#"
[sessions.shop]
instructions = "You are the shop."
greeting = "Say hello."

[[routes]]
name = "all"
session = "shop"
"#;
/// The model greets, the caller says something and goes.
const SHORT: &str = r#"steps = [
    { model = { says = "Sakura Shop, good morning." } },
    { caller = { says = "I will call again." } },
    { hang_up = "caller" },
]"#;
/// The same, broken off in between.
const BROKEN: &str = r#"steps = [
    { model = { says = "Sakura Shop, good morning." } },
    { caller = { says = "Where is my order?" } },
    { model = { says = "One moment, please." } },
    { provider_drops_after_ms = 500 },
    { model = { says = "Sorry for the break. Your order is on its way." } },
    { hang_up = "caller" },
]"#;

/// One way to fail.
pub struct Failure {
    /// What happens, in a few words.
    pub name: &'static str,
    /// What the carrier sees as the final answer to its INVITE.
    pub sip: &'static str,
    /// Brings it about.
    faults: fn(&mut ProviderFaults),
    /// What is said.
    steps: &'static str,
    /// How long the provider waits for a decision about a call.
    pending_ttl: Duration,
    /// What the route says besides.
    fallback: &'static str,
    /// Whether the carrier does what its API is asked to do.
    has_api: bool,
    /// What the carrier calls it, where that is not what is most likely (`DialCallStatus`).
    pub dial_status: Option<DialStatus>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the caller heard of the carrier, in order.
    pub heard: Vec<String>,
    /// From the carrier's question to the moment the path was given up, in simulated seconds.
    pub given_up_after_s: Option<f64>,
    /// From there to the assistant's first sound, as the gateway knows it.
    pub spoke_after_s: Option<f64>,
    /// From dialling to the first sound of the model on the bridge, at the caller's ear.
    pub heard_after_s: Option<f64>,
    /// The path at the end.
    pub path: Path,
    /// The caller was brought to the model, or to what the route falls back on.
    pub is_saved: bool,
    /// Everything that is kept.
    pub kept: CallDetail,
    /// The carrier's side.
    pub carrier: CarrierReport,
    /// What the model was told of the conversation before.
    pub told_again: Vec<String>,
}

const fn failure(name: &'static str, sip: &'static str, faults: fn(&mut ProviderFaults)) -> Failure {
    let pending_ttl = Duration::from_secs(30);
    Failure { name, sip, faults, steps: SHORT, pending_ttl, fallback: "", has_api: true, dial_status: None }
}

const fn called(status: DialStatus, failure: Failure) -> Failure {
    Failure { dial_status: Some(status), ..failure }
}

/// All of them.
pub const ALL: &[Failure] = &[
    failure("the project is not allowed to use SIP", "403", |faults| faults.leg_status = Some(403)),
    failure("the project is not known", "404", |faults| faults.leg_status = Some(404)),
    failure("refused at once, with no webhook", "400", |faults| faults.leg_status = Some(400)),
    failure("a timeout on the way", "408", |faults| faults.leg_status = Some(408)),
    called(
        DialStatus::NoAnswer,
        failure("a timeout on the way, called `no-answer`", "408", |faults| faults.leg_status = Some(408)),
    ),
    failure("too busy", "486", |faults| faults.leg_status = Some(486)),
    called(
        DialStatus::Failed,
        failure("too busy, called `failed`", "486", |faults| faults.leg_status = Some(486)),
    ),
    failure("no common media encryption or codec", "488", |faults| faults.leg_status = Some(488)),
    failure("an internal error", "500", |faults| faults.leg_status = Some(500)),
    failure("a bad gateway", "502", |faults| faults.leg_status = Some(502)),
    failure("out of service", "503", |faults| faults.leg_status = Some(503)),
    failure("a timeout inside", "504", |faults| faults.leg_status = Some(504)),
    failure("declined", "603", |faults| faults.leg_status = Some(603)),
    called(
        DialStatus::Busy,
        failure("declined, called `busy`", "603", |faults| faults.leg_status = Some(603)),
    ),
    called(
        DialStatus::Failed,
        failure("declined, called `failed`", "603", |faults| faults.leg_status = Some(603)),
    ),
    called(
        DialStatus::Canceled,
        failure("declined, called `canceled`", "603", |faults| faults.leg_status = Some(603)),
    ),
    failure("no TCP, TLS or name", "none", |faults| faults.leg_unreachable = true),
    called(
        DialStatus::NoAnswer,
        failure("no TCP, TLS or name, called `no-answer`", "none", |faults| faults.leg_unreachable = true),
    ),
    failure("no webhook", "487", |faults| faults.webhook_never = true),
    Failure {
        has_api: false,
        pending_ttl: Duration::from_secs(5),
        ..failure("no webhook, no carrier's API, the provider gives up after 5 s", "400", |faults| {
            faults.webhook_never = true;
        })
    },
    Failure {
        has_api: false,
        ..failure("no webhook, no carrier's API, the carrier's timeout", "487", |faults| {
            faults.webhook_never = true;
        })
    },
    failure("the accept is refused (429)", "503", |faults| faults.accept_status = Some(429)),
    failure("the accept is refused (500)", "503", |faults| faults.accept_status = Some(500)),
    failure("the accept is not answered, but works", "200", |faults| faults.accept_silent = true),
    failure("the accept takes 5.3 s, then 404", "503", |faults| {
        faults.accept_status = Some(404);
        faults.accept_delay_ms = 5_300;
    }),
    failure("accepted, but the leg fails", "400", |faults| faults.leg_status_after_accept = Some(400)),
    failure("accepted, but there is no sideband", "200", |faults| faults.sideband_missing_times = u32::MAX),
    failure("ended in its first second, without a word", "200", |faults| {
        faults.leg_ends_after_ms = Some(100);
    }),
    Failure { steps: BROKEN, ..failure("ended in the middle of the conversation", "200", |_| {}) },
    called(
        DialStatus::Answered,
        Failure { steps: BROKEN, ..failure("ended in the middle, called `answered`", "200", |_| {}) },
    ),
    failure("both paths fail: the apology", "503", |faults| {
        faults.leg_status = Some(503);
        faults.session_refused_times = u32::MAX;
    }),
    Failure {
        fallback: "fallback = { forward = \"+81312345678\" }",
        ..failure("both paths fail: forward", "503", |faults| {
            faults.leg_status = Some(503);
            faults.session_refused_times = u32::MAX;
        })
    },
    Failure {
        fallback: "fallback = { voicemail = { text = \"Please leave a message.\" } }",
        ..failure("both paths fail: voicemail", "503", |faults| {
            faults.leg_status = Some(503);
            faults.session_refused_times = u32::MAX;
        })
    },
];

impl Failure {
    /// Plays a call into it; `speed` times faster than life, audio apart. `extra` comes before the configuration.
    ///
    /// # Errors
    ///
    /// The world or the gateway cannot be started, or the call does not end.
    pub async fn play(&self, speed: f64, extra: &str) -> anyhow::Result<Outcome> {
        let scratch = Scratch::new().context("a temporary folder cannot be made")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut provider_faults = ProviderFaults::default();
        (self.faults)(&mut provider_faults);
        let log = WorldLog::new(Arc::clone(&clock), None);
        let options = Options::new(Arc::clone(&clock), log, speed);
        let pending_ttl = self.pending_ttl.div_f64(speed);
        let world = World::start(Options { provider_faults, pending_ttl, ..options }).await?;
        let of_world: Environment = world.environment().into_iter().collect();
        let environment = places(ANY_PORT, &scratch.path().join("data")).or(of_world);
        let text = format!("{extra}{CONFIG}{}\n", self.fallback);
        let mut config = config::parse("failures.toml", text.as_bytes(), scratch.path(), &environment)
            .map_err(|problems| anyhow!(problems.render(false)))?;
        config.store.free_bytes_min = 0;
        config.failover.webhook_within = config.failover.webhook_within.div_f64(speed);
        let gateway = Gateway::start(config, clock, Entropy::System).await?;
        let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
        if !self.has_api {
            world.carrier_rest.refuse([Refusal { status: 503, ..Refusal::default() }]);
        }
        let script: Script = toml::from_str(self.steps)?;
        let mut caller = CallerSetup::new("+819012345678", "+815012345678", script);
        caller.faults.dial_status = self.dial_status;
        let playing = world.play(caller);
        let played = tokio::time::timeout(CALL_WITHIN, playing).await.context("the call does not end")?;
        let kept = closed_call(&gateway).await;
        gateway.stop().await;
        let told_again = world.openai.calls().into_iter().flat_map(|call| call.told_again).collect();
        Ok(outcome(played.carrier, kept?, told_again, speed))
    }
}

/// The one call as it is kept, once it is closed.
async fn closed_call(gateway: &Gateway) -> anyhow::Result<CallDetail> {
    let store = gateway.control().store();
    let closed = async {
        loop {
            let page = store.calls(CallQuery::default(), None, 1).await?;
            if let Some(call) = page.items.first().filter(|call| call.ended.is_some()) {
                return anyhow::Ok(detail(store, call.id).await?);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let closed = tokio::time::timeout(CLOSED_WITHIN, closed).await;
    closed.context("the gateway did not close the call")??.ok_or_else(|| anyhow!("the call was not kept"))
}

fn outcome(carrier: CarrierReport, kept: CallDetail, told_again: Vec<String>, speed: f64) -> Outcome {
    let call = &kept.call;
    let moved = call.moved.as_ref();
    let seconds = |span: Duration| span.as_secs_f64() * speed;
    let asked = call.stages.carrier_asked.unwrap_or_default();
    let first_heard = carrier.streams.iter().find_map(|stream| stream.first_heard);
    let heard: Vec<String> = carrier.heard.iter().map(ToString::to_string).collect();
    let spoke = moved.and_then(|moved| Some(moved.spoke_again?.since(moved.at)));
    // Words of the carrier, a person or a beep: somebody has taken care of the caller.
    let is_taken_care_of = heard.last().is_some_and(|last| last != "ringing" && last != "application error")
        && kept.events.iter().any(|event| event.kind == "fallback");
    Outcome {
        given_up_after_s: moved.map(|moved| seconds(moved.at.since(asked))),
        spoke_after_s: spoke.map(seconds),
        heard_after_s: first_heard.map(|at| seconds(at.duration_since(carrier.dialled))),
        path: call.path,
        is_saved: spoke.is_some() || is_taken_care_of,
        heard,
        carrier,
        told_again,
        kept,
    }
}

/// The head of the table.
pub const HEAD: &str = "\
| what happens to the SIP leg | SIP | the caller heard | given up after | the assistant spoke after another | lost |
| --- | --- | --- | --- | --- | --- |
";

/// One row of the table.
pub fn row(failure: &Failure, outcome: &Outcome) -> String {
    let seconds = |span: Option<f64>| span.map_or("–".to_owned(), |span| format!("{span:.1} s"));
    let heard: Vec<&str> = outcome.heard.iter().map(|heard| plainly(heard)).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        failure.name,
        failure.sip,
        heard.join(", "),
        seconds(outcome.given_up_after_s),
        seconds(outcome.spoke_after_s),
        if outcome.is_saved { "no" } else { "**yes**" },
    )
}

/// What was heard, without addresses.
fn plainly(heard: &str) -> &str {
    match heard {
        "connected to the media stream" => "the bridge",
        sip if sip.starts_with("connected to sip:") => "the SIP leg",
        _ => heard,
    }
}
