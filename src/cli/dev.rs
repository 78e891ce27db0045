//! `switchboard dev`: a whole gateway between simulated vendors, for as long as somebody tries things out.
//!
//! It follows its configuration and its plugins as they are saved, prints every exchange, and answers whoever calls:
//! `switchboard simulate call` in another terminal (a socket in the data directory), or a line typed here. Its calls are
//! kept apart from real ones, in a directory beside theirs.

use std::fs;
use std::io::{ErrorKind, IsTerminal as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};

use super::stage::{at_ease, load};
use super::{Failure, view};
use crate::call_control::CallControl;
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{self, Environment};
use crate::gateway::{ADMIN_TOKEN_FILE, Gateway};
use crate::http::{OPENAI_WEBHOOK, detail};
use crate::ids::CallSid;
use crate::phone::E164;
use crate::routing::{Action, Asked};
use crate::session::CallFacts;
use crate::sim::log::WorldLog;
use crate::sim::script::{CallerSpeech, ModelToolCall, ModelTurn, Script, Step};
use crate::sim::twilio::CallerSetup;
use crate::sim::world::{ConnectedWorld, Options, World};

/// The socket in the data directory at which it is told who calls.
const SOCKET: &str = "dev.sock";
/// The longest question there, in bytes: a script of many steps.
const QUESTION_BYTES_MAX: u64 = 256 << 10;
/// Callers at once; the next one waits.
const CALLERS_MAX: usize = 16;
/// Lines that were typed and not read yet.
const TYPED_MAX: usize = 16;
/// How long the gateway may take to close a call that the carrier has seen the end of.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How often is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Callers that are there at the end are simulated.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Who calls where nobody says who.
pub(super) const CALLER: &str = "+819012345678";
/// And whom.
pub(super) const CALLEE: &str = "+815012345678";

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the dashboard and the admin API are.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9797")]
    admin: String,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Keep calls here, in place of the directory beside that of real ones.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// A call to be made, as it is told at the socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ring {
    /// Who calls.
    pub from: String,
    /// Whom.
    pub to: String,
    /// What the caller says, one after the other.
    pub says: Vec<String>,
    /// The tools that the model calls when everything is said, each with its arguments as JSON text.
    pub tools: Vec<(String, String)>,
    /// What happens instead of all this: the steps of a scenario file.
    pub script: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rung {
    /// The call, in a few lines; or why there was none.
    pub told: String,
    /// There was one.
    pub ok: bool,
}

/// Where `dev` keeps its calls: beside the directory of real ones.
pub(super) fn data_of(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push("-dev");
    store.with_file_name(name)
}

/// Where the configuration of a simulated world would keep real calls.
pub(super) async fn store_of(path: &Path) -> Result<PathBuf, Failure> {
    let world =
        World::start(Options::new(Arc::new(SystemClock), WorldLog::quiet(Arc::new(SystemClock)), 1.0));
    let world = world.await.context("the simulated vendors cannot listen")?;
    kept_at(path, &world)
}

fn kept_at(path: &Path, world: &World) -> Result<PathBuf, Failure> {
    let environment: Environment = world.environment().into_iter().collect();
    match path.exists() {
        true => config::load(path, &environment).map(|config| config.store.path),
        // The binary's own keeps them where one keeps them that says nothing of it.
        false => Ok(PathBuf::from("data")),
    }
    .map_err(|problems| Failure::Config(Box::new(problems)))
}

/// Has somebody call in the world of the `dev` that keeps its calls there.
pub(super) async fn ring(data: &Path, ring: &Ring) -> Result<Rung, Failure> {
    let path = data.join(SOCKET);
    let connected = UnixStream::connect(&path).await;
    let mut socket = connected
        .with_context(|| {
            format!("nobody listens at {}: run `switchboard dev` with this configuration", path.display())
        })
        .map_err(Failure::Unavailable)?;
    socket.write_all(serde_json::to_string(ring)?.as_bytes()).await?;
    socket.shutdown().await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    serde_json::from_slice(&answer).context("`switchboard dev` ended meanwhile").map_err(Failure::Unavailable)
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let began = Instant::now();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log =
        WorldLog::passing(Arc::clone(&clock), Box::new(|line| println!("{}  {}", now(), without_time(line))));
    // The carrier's names of calls are new at each start: those of earlier ones are kept.
    let seed = u64::from_le_bytes(Entropy::System.bytes());
    let options = Options { seed, ..Options::new(Arc::clone(&clock), log, arguments.speed) };
    let world = World::start(options).await.context("the simulated vendors cannot listen")?;
    let data = match &arguments.data {
        Some(folder) => std::path::absolute(folder)?,
        None => std::path::absolute(data_of(&kept_at(path, &world)?))?,
    };
    let scratch = super::scratch::Scratch::new().context("a temporary folder cannot be made")?;
    let mut config = load(path, &world, scratch.path(), &data, &arguments.admin)?.watched();
    at_ease(&mut config);
    config.server.drain_timeout = DRAIN_TIMEOUT;
    super::logging::start(&config.telemetry);
    let (sessions, routes) = (config.sessions.len(), config.routes.iter().count());
    let (tools, plugins) = (config.tools.len(), config.plugins.len());
    let name = config.read_from.name.clone();
    let gateway = Gateway::start(config, clock, Entropy::System).await?;
    let world = world.connect(&format!("http://{}", gateway.public), OPENAI_WEBHOOK)?;
    let socket = Socket::open(&data)?;
    let version = env!("CARGO_PKG_VERSION");
    println!(
        "switchboard {version} · {name} · sessions: {sessions}, routes: {routes}, HTTP tools: {tools}, plugins: {plugins}"
    );
    println!("  dashboard  http://{}   token in {}", gateway.admin, data.join(ADMIN_TOKEN_FILE).display());
    println!(
        "  ready in {} ms: type what a caller says, or `switchboard simulate call --say \"…\"` elsewhere",
        began.elapsed().as_millis()
    );
    println!(
        "  the vendors are simulated: no account, no cost. Saved changes are followed. Ctrl-C ends it.\n"
    );
    let control = Arc::clone(gateway.control());
    let dev = Arc::new(Dev { control, admin: gateway.admin, world, callers: Semaphore::new(CALLERS_MAX) });
    let mut typed = typed();
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&dev).answer(stream))),
                Err(error) => tracing::warn!(%error, "the socket of `simulate`"),
            },
            Some(line) = typed.recv() => drop(tokio::spawn(Arc::clone(&dev).typed(line))),
        }
    }
    println!("{}  ending", now());
    gateway.stop().await;
    Ok(())
}

/// A gateway in its world.
struct Dev {
    control: Arc<CallControl>,
    /// Where the dashboard is.
    admin: SocketAddr,
    world: ConnectedWorld,
    callers: Semaphore,
}

impl Dev {
    /// Somebody typed something: a caller says it.
    async fn typed(self: Arc<Self>, line: String) {
        let (from, to) = (CALLER.to_owned(), CALLEE.to_owned());
        let rung = self.ring(Ring { from, to, says: vec![line], tools: Vec::new(), script: None }).await;
        if !rung.ok {
            println!("{}  {}", now(), rung.told);
        }
    }

    /// Answers one question at the socket.
    async fn answer(self: Arc<Self>, mut stream: UnixStream) {
        let mut question = Vec::new();
        let read = (&mut stream).take(QUESTION_BYTES_MAX).read_to_end(&mut question).await;
        let asked =
            read.map_err(anyhow::Error::from).and_then(|_| Ok(serde_json::from_slice::<Ring>(&question)?));
        let rung = match asked {
            Ok(ring) => self.ring(ring).await,
            Err(error) => refused(format!("the question cannot be read: {error}")),
        };
        if let Ok(answer) = serde_json::to_vec(&rung) {
            // Whoever asked may be gone.
            let _ = stream.write_all(&answer).await;
        }
    }

    async fn ring(&self, ring: Ring) -> Rung {
        let Ok(_place) = self.callers.acquire().await else { return refused("it is ending".to_owned()) };
        let script = match &ring.script {
            Some(text) => toml::from_str(text).map_err(|error| error.to_string()),
            None => Ok(self.conversation(&ring)),
        };
        let script: Script = match script {
            Ok(script) => script,
            Err(why) => return refused(format!("the script cannot be read: {why}")),
        };
        let played = self.world.play(CallerSetup::new(&ring.from, &ring.to, script)).await;
        for problem in &played.carrier.problems {
            println!("{}  the carrier would complain: {problem}", now());
        }
        match self.kept(&CallSid::from(played.carrier.call_sid.as_str())).await {
            Ok(Some(told)) => {
                let mut lines = told.lines().map(str::trim);
                let (id, how) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
                println!("{}  --- {how} · http://{}/calls/{id}\n", now(), self.admin);
                Rung { told, ok: true }
            }
            Ok(None) => refused("the gateway did not close the call".to_owned()),
            Err(error) => refused(format!("the call cannot be read: {error}")),
        }
    }

    /// What is said and done where nobody wrote a script.
    fn conversation(&self, ring: &Ring) -> Script {
        let turn = |says: String| Step::Model(ModelTurn { says: Some(says), ..ModelTurn::default() });
        let mut steps = Vec::new();
        if let Some(told) = self.greeting(ring) {
            steps.push(turn(format!("Hello, this is the simulated model. {told}").trim_end().to_owned()));
        }
        for (at, says) in ring.says.iter().enumerate() {
            steps.push(Step::Caller(CallerSpeech { says: says.clone(), ..CallerSpeech::default() }));
            let is_last = at + 1 == ring.says.len();
            if !is_last || ring.tools.is_empty() {
                steps.push(turn(format!("You said: {says}")));
                continue;
            }
            let call = |(name, arguments): &(String, String)| ModelToolCall {
                name: name.clone(),
                arguments: toml::Table::new(),
                raw_arguments: Some(arguments.clone()),
            };
            let calls = ring.tools.iter().map(call).collect();
            steps.push(Step::Model(ModelTurn { calls, ..ModelTurn::default() }));
            steps.push(turn("That is what I found.".to_owned()));
        }
        Script { steps }
    }

    /// How the model is told to greet such a caller; none: the caller speaks first.
    fn greeting(&self, ring: &Ring) -> Option<String> {
        let (rules, now) = (self.control.rules(), SystemClock.now());
        let country = rules.settings.default_country;
        let number = |text: &str| E164::parse(text, country).ok();
        let (from, to) = (number(&ring.from), number(&ring.to));
        let (from, to) = (from.as_ref(), to.as_ref());
        let asked = Asked { from: from.map(E164::as_str), to: to.map(E164::as_str), headers: &[], now };
        let Action::Answer { session, vars } = &rules.settings.routes.decide(&asked).action else {
            return None;
        };
        let session = rules.sessions.get(session)?;
        let masked = from.map(E164::masked);
        // A greeting that names the call's id says so of one that is not known yet.
        let facts = CallFacts {
            id: "call",
            from: asked.from,
            from_masked: masked.as_deref(),
            to: asked.to,
            path: "sip",
        };
        session.greeting_for(&facts, vars, now).ok().flatten()
    }

    /// The call as it is kept, in a few lines, once it is closed.
    async fn kept(&self, sid: &CallSid) -> anyhow::Result<Option<String>> {
        let until = Instant::now() + CLOSED_WITHIN;
        while Instant::now() < until {
            if let Some(id) = self.control.call_of_carrier(sid)? {
                let kept = detail(self.control.store(), id).await?;
                if let Some(kept) = kept.filter(|kept| kept.call.ended.is_some()) {
                    return Ok(Some(format!("{id}\n{}", view::in_short(&kept))));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(None)
    }
}

fn refused(told: String) -> Rung {
    Rung { told, ok: false }
}

/// The socket at which `simulate` says who calls.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// The store in the directory is ours, so a socket that is there already was left by a process that is gone.
    fn open(data: &Path) -> Result<Socket, Failure> {
        let path = data.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let listener = UnixListener::bind(&path);
        let listener = listener.with_context(|| {
            format!("cannot listen at {}: give a shorter folder with `--data`", path.display())
        });
        let listener = listener.map_err(Failure::Unavailable)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Socket { listener, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What is left is taken away by the next one.
        let _ = fs::remove_file(&self.path);
    }
}

/// What is typed here, line by line; nothing where there is nobody who types.
fn typed() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(TYPED_MAX);
    if !std::io::stdin().is_terminal() {
        // The channel stays open for whoever waits at it.
        std::mem::forget(sender);
        return receiver;
    }
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let line = line.trim().to_owned();
            if !line.is_empty() && sender.send(line).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    receiver
}

/// The time of day here.
fn now() -> String {
    view::time_of_day(SystemClock.now())
}

/// A line of the world's log without the time since the world began.
fn without_time(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(_, rest)| rest.trim_start())
}
