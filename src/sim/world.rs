//! Both vendors in one world: one seed, one clock, one log.
//!
//! A world is started before the gateway, because the gateway must know the vendors' addresses
//! ([`World::environment`]); the vendors learn the gateway's with [`World::connect`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::backend::{Backend, Reply};
use super::fault::ProviderFaults;
use super::line::BridgedCaller;
use super::log::WorldLog;
use super::openai::{self, CallReport, OpenAiSim};
use super::sip::{Invite, SipLeg};
use super::twilio::{self, CallerSetup, CarrierReport, CarrierRest, SipPeer, TwilioSim};
use crate::clock::{Clock, Entropy};
use crate::secret::Secret;

/// The address under which this world reaches the gateway: what Twilio signs. It is never resolved.
pub const PUBLIC_URL: &str = "https://voice.example.com";
/// What the provider asks of whoever calls its interface.
pub const API_KEY: &str = "sk-simulated";
/// The provider's project that is called.
pub const PROJECT_ID: &str = "proj_demo";
/// What signs the provider's webhooks: base64 of an ordinary text, in the form that the vendor gives out.
pub const WEBHOOK_SECRET: &str = "whsec_c2ltdWxhdGVkLXdlYmhvb2stc2VjcmV0LTMyYnl0ZXM=";
/// The carrier's account.
pub const ACCOUNT_SID: &str = "AC00000000000000000000000000000abc";
/// What signs the carrier's requests.
pub const AUTH_TOKEN: &str = "simulated_auth_token";

/// How a world is set up.
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Decides every id.
    pub seed: u64,
    /// Where exchanges are written.
    pub log: WorldLog,
    /// Simulated time passes this much faster.
    pub speed: f64,
    /// How long the provider waits for a decision about a call.
    pub pending_ttl: Duration,
    /// What goes wrong at the provider.
    pub provider_faults: ProviderFaults,
    /// What the business behind the tools answers.
    pub backend: Vec<Reply>,
}

impl Options {
    /// An untroubled world at this speed.
    pub fn new(clock: Arc<dyn Clock>, log: WorldLog, speed: f64) -> Options {
        let pending_ttl = Duration::from_secs(10);
        Options {
            clock,
            seed: 1,
            log,
            speed,
            pending_ttl,
            provider_faults: ProviderFaults::default(),
            backend: Vec::new(),
        }
    }
}

/// The outside world of one gateway.
pub struct World {
    openai: OpenAiSim,
    carrier_rest: CarrierRest,
    backend: Arc<Backend>,
    entropy: Arc<Entropy>,
    clock: Arc<dyn Clock>,
    log: WorldLog,
    speed: f64,
}

/// A world that knows where its gateway is.
#[derive(Clone)]
pub struct ConnectedWorld {
    /// The provider.
    pub openai: OpenAiSim,
    /// The carrier.
    pub twilio: TwilioSim,
    /// The carrier's REST API.
    pub carrier_rest: CarrierRest,
    /// What was exchanged.
    pub log: WorldLog,
    /// Kept for as long as the world.
    _backend: Arc<Backend>,
}

/// One call, as both vendors saw it.
#[derive(Clone, Debug)]
pub struct Played {
    /// The carrier's side.
    pub carrier: CarrierReport,
    /// The provider's side; none when the call never reached it.
    pub provider: Option<CallReport>,
}

impl World {
    /// Starts the provider and the business behind the tools; the carrier needs no address of its own.
    ///
    /// # Errors
    ///
    /// The operating system's, when no port can be had.
    pub async fn start(options: Options) -> io::Result<World> {
        let openai = OpenAiSim::start(openai::Options {
            clock: Arc::clone(&options.clock),
            entropy: Entropy::seeded(options.seed),
            log: options.log.clone(),
            project_id: PROJECT_ID.to_owned(),
            api_key: API_KEY.to_owned(),
            webhook_secrets: vec![WEBHOOK_SECRET.to_owned()],
            pending_ttl: options.pending_ttl,
            speed: options.speed,
            faults: options.provider_faults,
        })
        .await?;
        let carrier_rest = CarrierRest::start(options.log.clone(), ACCOUNT_SID, AUTH_TOKEN).await?;
        let backend = Backend::start(options.backend, options.log.clone(), options.speed).await?;
        let entropy = Arc::new(Entropy::seeded(options.seed.wrapping_add(1)));
        Ok(World {
            openai,
            carrier_rest,
            backend: Arc::new(backend),
            entropy,
            clock: options.clock,
            log: options.log,
            speed: options.speed,
        })
    }

    /// The environment that makes any configuration one of this world: vendors' addresses and secrets,
    /// whatever the file says of them.
    pub fn environment(&self) -> Vec<(String, String)> {
        let base_url = self.openai.base_url();
        let realtime_url = format!("{}/realtime", base_url.replacen("http", "ws", 1));
        [
            ("SWITCHBOARD__OPENAI__BASE_URL", base_url.as_str()),
            ("SWITCHBOARD__OPENAI__REALTIME_URL", realtime_url.as_str()),
            ("SWITCHBOARD__OPENAI__SIP_HOST", "sip.api.openai.com"),
            ("SWITCHBOARD__OPENAI__API_KEY", API_KEY),
            ("SWITCHBOARD__OPENAI__PROJECT_ID", PROJECT_ID),
            ("SWITCHBOARD__OPENAI__WEBHOOK_SECRETS", WEBHOOK_SECRET),
            ("SWITCHBOARD__TWILIO__ACCOUNT_SID", ACCOUNT_SID),
            ("SWITCHBOARD__TWILIO__AUTH_TOKENS", AUTH_TOKEN),
            ("SWITCHBOARD__TWILIO__BASE_URL", self.carrier_rest.base_url().as_str()),
            ("SWITCHBOARD__SERVER__PUBLIC_URL", PUBLIC_URL),
            ("SWITCHBOARD__FEATURES__OPENAI_SIP", "true"),
            ("BACKEND_URL", self.backend.url().as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Tells the vendors where the gateway listens (`http://127.0.0.1:8080`) and takes its webhooks.
    ///
    /// # Errors
    ///
    /// The HTTP library's, when it has no TLS.
    pub fn connect(self, gateway_url: &str, webhook_path: &str) -> reqwest::Result<ConnectedWorld> {
        let peer = Arc::new(self.openai.clone());
        self.connect_to(gateway_url, webhook_path, peer)
    }

    /// The same with somebody else who answers the carrier's legs in place of the simulated provider.
    ///
    /// # Errors
    ///
    /// As [`World::connect`].
    pub fn connect_to(
        self,
        gateway_url: &str,
        webhook_path: &str,
        peer: Arc<dyn SipPeer>,
    ) -> reqwest::Result<ConnectedWorld> {
        self.openai.set_webhook_url(format!("{gateway_url}{webhook_path}"));
        let options = twilio::Options {
            clock: self.clock,
            entropy: self.entropy,
            log: self.log.clone(),
            account_sid: ACCOUNT_SID.to_owned(),
            auth_token: Secret::new(AUTH_TOKEN),
            gateway_url: gateway_url.to_owned(),
            public_url: PUBLIC_URL.to_owned(),
            peer,
            speed: self.speed,
        };
        let twilio = TwilioSim::with_rest(options, self.carrier_rest.clone())?;
        Ok(ConnectedWorld {
            openai: self.openai,
            twilio,
            carrier_rest: self.carrier_rest,
            log: self.log,
            _backend: self.backend,
        })
    }
}

impl ConnectedWorld {
    /// Plays one call from dialling to the last callback.
    pub async fn play(&self, caller: CallerSetup) -> Played {
        let carrier = self.twilio.call(caller).await;
        let provider_call = carrier.dials.iter().find_map(|dial| dial.provider_call_id.clone());
        let on_line = || carrier.streams.iter().find_map(|stream| self.openai.call_on_line(stream.line));
        let provider = provider_call.and_then(|call_id| self.openai.call(&call_id)).or_else(on_line);
        Played { carrier, provider }
    }
}

impl SipPeer for OpenAiSim {
    fn invite(&self, invite: Invite) -> BoxFuture<'_, SipLeg> {
        Box::pin(OpenAiSim::invite(self, invite))
    }

    fn expect(&self, caller: BridgedCaller) {
        OpenAiSim::expect(self, caller);
    }
}
