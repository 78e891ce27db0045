//! A whole gateway inside a simulated world: real sockets, real signatures, its own data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use switchboard::call::record::{CallDetail, CallRecord};
use switchboard::clock::{Clock, Entropy, SystemClock};
use switchboard::config::{self, Config, Environment};
use switchboard::gateway::{ADMIN_TOKEN_FILE, Gateway};
use switchboard::http::{OPENAI_WEBHOOK, TWILIO_VOICE, detail};
use switchboard::ids::CallId;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::log::WorldLog;
use switchboard::sim::openai::{CallReport, OpenAiSim};
use switchboard::sim::script::Script;
use switchboard::sim::sip::{Invite, SipLeg};
use switchboard::sim::twilio::{Answer, CallerSetup, ExplicitRequest, Fields, Signing};
use switchboard::sim::twiml;
use switchboard::sim::world::{ConnectedWorld, Options, PROJECT_ID, Played, World};
use switchboard::store::CallQuery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How much faster than life the tests' callers speak.
pub const SPEED: f64 = 50.0;

/// The customer that the shop knows.
pub const CALLER: &str = "+819012345678";
/// The shop's number.
pub const CALLEE: &str = "+815012345678";
/// The model says a word, and the caller hangs up.
pub const SHORT: &str = r#"steps = [{ model = { says = "はい。" } }, { hang_up = "caller" }]"#;

/// An open sideband.
pub type Sideband = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A gateway and everything around it.
pub struct House {
    pub gateway: Gateway,
    pub world: ConnectedWorld,
    pub data: tempfile::TempDir,
}

/// How a house differs from the ordinary.
pub struct Plan {
    pub config: String,
    pub faults: ProviderFaults,
    pub speed: f64,
    pub environment: Vec<(&'static str, String)>,
    /// The time for the gateway and the world around it.
    pub clock: Arc<dyn Clock>,
    /// Decides every id that the vendors give.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            config: CONFIG.to_owned(),
            faults: ProviderFaults::default(),
            speed: SPEED,
            environment: Vec::new(),
            clock: Arc::new(SystemClock),
            seed: 1,
        }
    }
}

/// A small shop: one session with every tool, one route.
pub const CONFIG: &str = r#"
[sessions.shop]
model = "gpt-realtime-2.1"
voice = "marin"
instructions = "You are the shop. The caller is {{ call.from }}."
greeting = "Say hello."
tools = ["*"]
turn_detection = { type = "server_vad", silence_duration = "200ms" }

[sessions.shop.transfer]
desk = "+81312345678"

[[routes]]
name = "all"
session = "shop"

[plugins.customer-lookup]
path = "plugins/customer-lookup/customer-lookup.wasm"
allow = { kv = "customers" }

[[plugins.customer-lookup.config.customers]]
name = "佐藤 花子"
phone = "090-1234-5678"
orders = [{ id = "A-1001", item = "便箋", status = "発送済み" }]
"#;

impl House {
    /// The ordinary house.
    pub async fn open() -> House {
        House::with(Plan::default()).await
    }

    /// A house without plugins, which opens faster, with these faults of the provider.
    pub async fn without_plugins(faults: ProviderFaults) -> House {
        let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
        House::with(Plan { config, faults, ..Plan::default() }).await
    }

    pub async fn with(plan: Plan) -> House {
        let data = tempfile::tempdir().expect("a temporary directory");
        House::at(plan, data).await
    }

    /// A house over a data directory that may hold calls already.
    pub async fn at(plan: Plan, data: tempfile::TempDir) -> House {
        let clock = Arc::clone(&plan.clock);
        let (world, config) = prepare(plan, data.path()).await;
        House::around(world, config, clock, data).await
    }

    /// A house around a configuration that was changed after it was read.
    pub async fn of(world: World, config: Config, data: tempfile::TempDir) -> House {
        House::around(world, config, Arc::new(SystemClock), data).await
    }

    async fn around(world: World, config: Config, clock: Arc<dyn Clock>, data: tempfile::TempDir) -> House {
        let gateway = Gateway::start(config, clock, Entropy::seeded(7)).await.expect("a gateway");
        let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK).expect("a client");
        House { gateway, world, data }
    }

    /// Where the public listener is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.public)
    }

    /// Plays a call from the customer that the shop knows.
    pub async fn call(&self, steps: &str) -> Played {
        self.play(CallerSetup::new(CALLER, CALLEE, script(steps))).await
    }

    pub async fn play(&self, caller: CallerSetup) -> Played {
        let playing = self.world.play(caller);
        tokio::time::timeout(Duration::from_secs(60), playing)
            .await
            .unwrap_or_else(|_| panic!("the call does not end; the world's log:\n{}", self.world.log.text()))
    }

    /// All calls that are kept, newest first.
    pub async fn calls(&self) -> Vec<CallRecord> {
        let page = self.gateway.control().store().calls(CallQuery::default(), None, 200).await;
        page.expect("a readable store").items
    }

    /// Offers a call to the provider by hand, with these headers; see [`ring`].
    pub async fn invite(&self, headers: &[(&str, &str)], steps: &str) -> SipLeg {
        self.world.openai.invite(ring(headers, steps)).await
    }

    /// What the provider knows of a call, once it is so.
    pub async fn provider_call(&self, call_id: &str, is_so: impl Fn(&CallReport) -> bool) -> CallReport {
        eventually("the provider knows it", || async {
            self.world.openai.call(call_id).filter(|report| is_so(report))
        })
        .await
    }

    /// The call that the provider knows by this id, once it is over.
    pub async fn ended_at_provider(&self, call_id: &str) -> CallDetail {
        let is_it = |call: &CallRecord| {
            call.provider.as_ref().is_some_and(|provider| provider.call_id.as_str() == call_id)
        };
        let id = eventually("the provider's call is kept", || async {
            self.calls().await.iter().find(|call| is_it(call)).map(|call| call.id)
        })
        .await;
        self.ended_call(id).await
    }

    /// The carrier asks what to do with a caller.
    pub async fn ask(&self, call_sid: &str, from: &str) -> Answer {
        let fields = self.world.twilio.voice_fields(call_sid, from, CALLEE, "ringing");
        self.tell(TWILIO_VOICE, fields).await
    }

    /// A request of the carrier, rightly signed.
    pub async fn tell(&self, path: &str, fields: Fields) -> Answer {
        self.request(path, fields, Signing::Right).await
    }

    /// A request of the carrier.
    pub async fn request(&self, path: &str, fields: Fields, signing: Signing) -> Answer {
        let request = ExplicitRequest { method: twiml::Method::Post, path: path.to_owned(), fields, signing };
        self.world.twilio.request(request).await.expect("an answer")
    }

    /// The one call that is kept, once it is over.
    pub async fn ended(&self) -> CallDetail {
        let calls = self.calls().await;
        assert_eq!(calls.len(), 1, "calls: {calls:#?}");
        self.ended_call(calls[0].id).await
    }

    /// A call, once it is over.
    pub async fn ended_call(&self, id: CallId) -> CallDetail {
        let store = self.gateway.control().store();
        eventually("the call is over", || async move {
            let kept = detail(store, id).await.expect("a readable store").expect("a call");
            kept.call.ended.is_some().then_some(kept)
        })
        .await
    }

    /// The value of a metric's line, by its whole name with labels; 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.gateway.control().metrics().text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// Stops the gateway and gives its data directory back.
    pub async fn close(self) -> tempfile::TempDir {
        self.gateway.stop().await;
        self.data
    }
}

/// Somebody at the operators' door, with what stands in the token's file or something else.
pub struct Operator {
    pub token: String,
    client: Client,
    url: String,
}

impl Operator {
    pub fn of(house: &House) -> Operator {
        Operator::at(house.data.path(), house.gateway.admin)
    }

    /// Somebody at the door of the gateway over this data directory.
    pub fn at(data: &Path, admin: SocketAddr) -> Operator {
        let token = std::fs::read_to_string(data.join(ADMIN_TOKEN_FILE)).expect("a token");
        let client = Client::builder().no_proxy().build().expect("a client");
        Operator { token: token.trim().to_owned(), client, url: format!("http://{admin}") }
    }

    /// The same person with another token.
    pub fn showing(self, token: &str) -> Operator {
        Operator { token: token.to_owned(), ..self }
    }

    /// A request without any token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// The status and the body of an answer to a request with the token.
    pub async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        let request = self.request(method, path).bearer_auth(&self.token).body(body.to_owned());
        Operator::answer(request).await
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        self.ask(Method::GET, path, "").await
    }

    /// The same with another `Authorization`, or none.
    pub async fn ask_showing(
        &self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
    ) -> (u16, String) {
        let request = self.request(method, path);
        Operator::answer(match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        })
        .await
    }

    async fn answer(request: RequestBuilder) -> (u16, String) {
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }
}

/// A world, and the configuration of a gateway in it over this data directory.
pub async fn prepare(plan: Plan, data: &Path) -> (World, Config) {
    let log = WorldLog::new(Arc::clone(&plan.clock), None);
    let mut options = Options::new(plan.clock, log, plan.speed);
    options.provider_faults = plan.faults;
    options.seed = plan.seed;
    let world = World::start(options).await.expect("a world");
    let mut environment = world.environment();
    environment.extend(place(data));
    environment.extend(plan.environment.into_iter().map(|(name, value)| (name.to_owned(), value)));
    (world, configure(&plan.config, environment))
}

/// The configuration that a text makes in this environment.
pub fn configure(text: &str, environment: Vec<(String, String)>) -> Config {
    let environment: Environment = environment.into_iter().collect();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    config::parse("test.toml", text.as_bytes(), &root, &environment)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

/// Waits until something is so, and gives it; panics after half a minute.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    for _ in 0..6_000 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not so after half a minute: {what}");
}

/// Opens a sideband at the simulated provider, beside any that the gateway has.
pub async fn attach(provider: &OpenAiSim, call: &str, api_key: &str) -> Sideband {
    let url = format!("{}/realtime?call_id={call}", provider.base_url().replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("a request");
    let bearer = format!("Bearer {api_key}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    connect_async(request).await.expect("a sideband").0
}

/// An INVITE to the provider's project.
pub fn ring(headers: &[(&str, &str)], steps: &str) -> Invite {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request_uri = format!("sip:{PROJECT_ID}@sip.api.openai.com;transport=tls");
    Invite { request_uri, headers, script: script(steps) }
}

/// The whole answer to bytes that are sent as they are; afterwards nothing more is sent.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    socket.write_all(bytes).await.expect("written");
    socket.shutdown().await.expect("nothing more is sent");
    let mut answer = Vec::new();
    // A server that closes before it has read everything resets the connection: then there is no more.
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Two requests beyond the limit of a body: one says so at once, the other with its last byte. Neither
/// sends a byte more than must be read, so that no answer is lost to a reset connection.
pub fn oversized(path: &str) -> [Vec<u8>; 2] {
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let chunks = format!("400\r\n{}\r\n", "x".repeat(0x400)).repeat(256);
    [
        format!("{head}content-length: 262145\r\n\r\n").into_bytes(),
        format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}400\r\nx").into_bytes(),
    ]
}

/// The `[[steps]]` of a scenario.
pub fn script(steps: &str) -> Script {
    toml::from_str(steps).unwrap_or_else(|error| panic!("{error}"))
}

/// Listeners on any free port, and a data directory of its own. Most tests look at one path; whether a call
/// goes on over the other one is looked at in `failover.rs`.
pub fn place(data: &Path) -> Vec<(String, String)> {
    [
        ("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("SWITCHBOARD__ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("SWITCHBOARD__SERVER__DRAIN_TIMEOUT", "5s".to_owned()),
        ("SWITCHBOARD__STORE__PATH", data.display().to_string()),
        ("SWITCHBOARD__FEATURES__FAILOVER", "false".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
