//! The doors: every path a stranger can reach, on one page.
//!
//! The public listener serves the carrier's and the provider's webhooks and nothing else; each request
//! is bounded, read whole, verified, and only then understood. The admin listener serves operators and
//! wants a token for everything that tells of calls.

mod admin;
mod afterwards;
mod answer;
mod dashboard;
mod deliveries;
mod media;
mod openai;
mod reloads;
mod twilio;
mod verdict;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use poem::endpoint::make;
use poem::{EndpointExt, Request, Response, Route, get, post};
use tokio::sync::mpsc;

use crate::call_control::CallControl;
use crate::clock::{Clock, Timestamp};
use crate::net::Served;
use crate::phone::CallingCode;
use crate::secret::Secret;
use crate::store::AuditLog;

pub use admin::{
    API, About, AuditPage, ChangeView, ConfigChecked, ConfigChecker, ConfigEntry, ConfigOrigin,
    ConfigProblem, ConfigShown, ENDPOINTS, Endpoint, ErasedCall, GrantsView, HandoverAsked, LimitsView,
    NotARole, NotificationList, OutOfOrderView, Page, PluginList, PluginView, Recordings, Refusal, Resent,
    ResetOpenAiSip, Role, SetOpenAiSip, SignedIn, TokenSettings, Value, detail, digest_in, new_token,
};
pub use reloads::{ConfigChange, ReloadAsked, Reloaded, Reloads};
pub use twilio::handed_on_url;
pub use verdict::Verdict;

/// Where the provider's webhook arrives.
pub const OPENAI_WEBHOOK: &str = "/api/openai/webhook/call-incoming";
/// Where Twilio asks what to do with a caller.
pub const TWILIO_VOICE: &str = "/twilio/voice";
/// Where Twilio tells how the dial towards the provider ended.
pub const TWILIO_DIAL_RESULT: &str = "/twilio/dial-result";
/// Where Twilio asks what to do when the provider hands the caller on.
pub const TWILIO_REFER: &str = "/twilio/refer";
/// Where Twilio tells of the progress of legs.
pub const TWILIO_STATUS: &str = "/twilio/status";

/// Where Twilio tells how a recording goes.
pub const TWILIO_RECORDING: &str = "/twilio/recording";
/// Where Twilio tells how the dial to whom a caller was handed on went.
pub const TWILIO_HANDED_ON: &str = "/twilio/handed-on";
/// Where Twilio opens the media stream of a call.
pub const TWILIO_MEDIA: &str = "/twilio/media";
/// Where Twilio asks what to do when that stream is over.
pub const TWILIO_AFTER_STREAM: &str = "/twilio/after-stream";
/// Where Twilio asks what to do when a caller has left a message.
pub const TWILIO_AFTER_VOICEMAIL: &str = "/twilio/after-voicemail";

/// How long a request's body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What the doors need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL under which carrier and provider reach the public listener: what Twilio signs. Without a
    /// slash at the end.
    pub public_url: String,
    /// Whose national notation is meant by a number without a calling code.
    pub default_country: CallingCode,
    /// The longest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// What is needed to verify the provider's webhooks and to name its SIP address.
    pub openai: crate::openai::Settings,
    /// What is needed to verify Twilio's requests and to answer them; none: no such carrier.
    pub twilio: Option<crate::twilio::Settings>,
    /// What an operator must show who may do everything.
    pub admin_token: Secret,
    /// What others show, who may do less.
    pub tokens: Vec<TokenSettings>,
    /// Names by which browsers may know the admin listener, beside its addresses.
    pub admin_hosts: Vec<String>,
    /// The configuration, as operators are shown it.
    pub config: ConfigShown,
    /// What says whether another one would do.
    pub checker: ConfigChecker,
    /// The day of the oldest price that is gone by.
    pub priced_as_of: Option<String>,
}

/// What a request is answered with: what the configuration said when it came, and what all doors share.
pub struct Doors {
    settings: Settings,
    shared: Arc<Shared>,
}

/// What outlives a configuration.
pub struct Shared {
    control: Arc<CallControl>,
    clock: Arc<dyn Clock>,
    waiting_streams: media::Waiting,
    /// Since when they have been open.
    since: Timestamp,
    handovers: mpsc::Sender<HandoverAsked>,
    served: Served,
    keys: admin::Keys,
    again: admin::Again,
    deliveries: deliveries::Deliveries,
    audit: AuditLog,
    reloads: Arc<Reloads>,
}

impl Deref for Doors {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// Where requests come in: each gets the doors as they are then.
pub struct Entrance(ArcSwap<Doors>);

impl Entrance {
    /// Doors to this call control; `served` is of the public listener. Gives also where it arrives that somebody asks to hand over.
    pub fn new(
        settings: Settings,
        control: Arc<CallControl>,
        clock: Arc<dyn Clock>,
        served: Served,
        audit: AuditLog,
        reloads: Arc<Reloads>,
    ) -> (Arc<Entrance>, mpsc::Receiver<HandoverAsked>) {
        // One at a time.
        let (handovers, asked) = mpsc::channel(1);
        let shared = Shared {
            control,
            waiting_streams: media::Waiting::default(),
            since: clock.now(),
            clock,
            handovers,
            served,
            keys: admin::Keys::new(&settings.admin_token, &settings.tokens, &settings.admin_hosts),
            again: admin::Again::default(),
            deliveries: deliveries::Deliveries::default(),
            audit,
            reloads,
        };
        let doors = Doors { settings, shared: Arc::new(shared) };
        (Arc::new(Entrance(ArcSwap::from_pointee(doors))), asked)
    }

    /// Requests that come from now on are answered by these settings. Who signed in with a token that is gone is
    /// signed out.
    pub fn adopt(&self, settings: Settings) {
        let shared = Arc::clone(&self.0.load().shared);
        shared.keys.adopt(&settings.admin_token, &settings.tokens, &settings.admin_hosts);
        self.0.store(Arc::new(Doors { settings, shared }));
    }
}

/// The public listener.
pub fn public(entrance: &Arc<Entrance>) -> impl poem::Endpoint + use<> {
    Route::new()
        .at(OPENAI_WEBHOOK, post(watched(entrance, openai::SOURCE, openai::call_incoming)))
        .at(TWILIO_VOICE, post(watched(entrance, twilio::SOURCE, twilio::voice)))
        .at(TWILIO_DIAL_RESULT, post(watched(entrance, twilio::SOURCE, afterwards::dial_result)))
        .at(TWILIO_REFER, post(watched(entrance, twilio::SOURCE, twilio::refer)))
        .at(TWILIO_STATUS, post(watched(entrance, twilio::SOURCE, twilio::status)))
        .at(TWILIO_RECORDING, post(watched(entrance, twilio::SOURCE, twilio::recording)))
        .at(TWILIO_HANDED_ON, post(watched(entrance, twilio::SOURCE, twilio::handed_on)))
        .at(TWILIO_MEDIA, get(door(entrance, media::media)))
        .at(TWILIO_AFTER_STREAM, post(watched(entrance, twilio::SOURCE, afterwards::after_stream)))
        .at(TWILIO_AFTER_VOICEMAIL, post(watched(entrance, twilio::SOURCE, afterwards::after_voicemail)))
        .map_to_response()
}

/// The admin listener.
pub fn admin(entrance: &Arc<Entrance>) -> impl poem::Endpoint + use<> {
    admin::listener(entrance)
}

/// An endpoint at the doors.
fn door<F, A>(entrance: &Arc<Entrance>, answer: A) -> impl poem::Endpoint<Output = Response> + use<F, A>
where
    A: Fn(Arc<Doors>, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let entrance = Arc::clone(entrance);
    make::<_, _, Response, poem::Result<Response>>(move |request| {
        let answer = answer(entrance.0.load_full(), request);
        async move { Ok(answer.await) }
    })
}

/// The same for a vendor's requests, which are kept for a while.
fn watched<F>(
    entrance: &Arc<Entrance>,
    source: &'static str,
    answer: fn(Arc<Doors>, Request) -> F,
) -> impl poem::Endpoint<Output = Response> + use<F>
where
    F: Future<Output = Response> + Send + 'static,
{
    door(entrance, move |doors, request| deliveries::watched(doors, source, answer, request))
}
