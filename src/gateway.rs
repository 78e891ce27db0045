//! Wiring: a checked configuration becomes a running gateway, and comes to rest again.
//!
//! [`Gateway::start`] opens the store, loads the plugins, listens, and only then answers anybody.
//! [`Gateway::stop`] lets no new calls in, lets running ones end until the drain timeout, and closes
//! the store. On the SIP path a call that is still running then goes on between caller and provider:
//! its audio never passed through here. The next start takes it up again.

mod checking;
mod following;
mod plugins;
mod reload;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Server;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::call_control::pulse::Pulse;
use crate::call_control::{CallControl, Parts};
use crate::clock::{Clock, Entropy};
use crate::config::Config;
use crate::http::{self, Entrance, HandoverAsked, Reloads};
use crate::metrics::Metrics;
use crate::net::{self, Guards, PromptAcceptor};
use crate::openai;
use crate::secret::Secret;
use crate::store::{AuditLog, Expect, OpenError, Store, StoreError, Tx, Write};
use crate::telemetry;
use crate::tool::generation::Generations;
use crate::tool::plugin;
use crate::twilio;
use crate::wire::join_token::JoinKey;

pub(crate) use following::prices;
use plugins::Loader;
pub use plugins::http_tools;
use reload::{Around, Reloader, Stamp};

/// The file in the data directory that holds what an operator must show.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// Under which name the store keeps the key that signs join tokens.
const JOIN_KEY: &str = "join_key";
/// How long reports that came last may take to be kept.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection's first request may take until it is answered; a body alone has ten seconds.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(20);
/// The same for the next one: longer than the 60 s for which proxies keep connections open.
const NEXT_REQUEST_WITHIN: Duration = Duration::from_secs(90);
/// Operators, their dashboards and scrapers.
const ADMIN_CONNECTIONS_MAX: usize = 64;
/// How long requests that were being answered may take once the gateway stops.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running gateway.
pub struct Gateway {
    /// Where carrier and provider are served.
    pub public: SocketAddr,
    /// Where operators are served.
    pub admin: SocketAddr,
    control: Arc<CallControl>,
    stopping: CancellationToken,
    listeners: Vec<JoinHandle<io::Result<()>>>,
    archivist: JoinHandle<()>,
    archivist_stops: CancellationToken,
    notifier: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    reloads: Arc<Reloads>,
    reloader: JoinHandle<()>,
    exporter: Option<telemetry::Exporter>,
    drain_timeout: Duration,
    handovers: mpsc::Receiver<HandoverAsked>,
    sockets: Sockets,
}

/// What a gateway listens on, for the program that takes its place: connections wait in them meanwhile.
#[derive(Debug)]
pub struct Sockets {
    /// For carrier and provider.
    pub public: TcpListener,
    /// For operators.
    pub admin: TcpListener,
}

/// Why a gateway does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, right after it was opened.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The sandbox for plugins.
    #[error("plugins cannot be run on this machine")]
    Host(#[from] plugin::HostError),
    /// The HTTP tools do not go together, or the sessions name tools that nobody could provide.
    #[error("the tools do not fit the configuration:\n{0}")]
    Tools(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: set another `{key}`, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key in the configuration.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The admin token cannot be read or written.
    #[error("cannot use {}: make it readable and writable for the gateway's user", path.display())]
    AdminToken {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The provider's addresses or certificates cannot be used.
    #[error("the provider cannot be reached with these settings")]
    OpenAi(#[from] openai::SettingsError),
    /// Traces cannot be sent with these settings.
    #[error("traces cannot be told")]
    Telemetry(#[from] telemetry::SettingsError),
    /// The carrier's address or credentials cannot be used.
    #[error("the carrier cannot be reached with these settings")]
    Twilio(#[from] twilio::rest::SettingsError),
}

impl Gateway {
    /// Opens the store, loads the plugins and listens; answers from the moment this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
    ) -> Result<Gateway, StartError> {
        let sockets = Sockets {
            public: listen(config.server.listen, "server.listen")?,
            admin: listen(config.admin.listen, "admin.listen")?,
        };
        Gateway::start_on(sockets, config, clock, entropy).await
    }

    /// The same on sockets that are open already.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start_on(
        sockets: Sockets,
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
    ) -> Result<Gateway, StartError> {
        let public = acceptor(&sockets.public, config.server.listen, "server.listen")?;
        let public = public.guarded(guards(config.server.max_connections));
        let admin = acceptor(&sockets.admin, config.admin.listen, "admin.listen")?;
        let admin = admin.guarded(guards(ADMIN_CONNECTIONS_MAX));
        let config = Arc::new(config);
        let store = open_store(&config, &clock).await?;
        let metrics = Arc::new(Metrics::new());
        let loader = Loader::new(&config, &store, &metrics)?;
        let stamps: Vec<Stamp> = loader.settings().iter().map(|plugin| Stamp::of(&plugin.path)).collect();
        let mut plugins = loader.load_all().await;
        let tools = Arc::new(Generations::new(loader.first_toolbox(&mut plugins)?));
        let admin_token = admin_token(&config.store.path, &entropy)?;
        let join_key = join_key(&store, &entropy).await?;
        let rules = following::rules(&config)?;
        if let Err(why) = rules.openai.warm_up().await {
            tracing::warn!(why, "the provider cannot be reached at the moment");
        }
        let drain_timeout = config.server.drain_timeout;
        let pulse = Pulse::new(config.admission.max_lag);
        let telemetry = config.telemetry.otlp.clone();
        let telemetry = telemetry.map(|otlp| telemetry::start(otlp, &metrics)).transpose()?;
        let (traces, exporter) = telemetry.unzip();
        let control = CallControl::new(Parts {
            rules,
            store,
            tools: Arc::clone(&tools),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            entropy,
            join_key,
            pulse: Arc::clone(&pulse),
            traces,
        });
        control.recall_features()?;
        // Before anybody is let in: what arrives for such a call waits until it has been taken up.
        match control.take_up().await? {
            0 => {}
            calls => tracing::info!(calls, "calls of an earlier run are looked after again"),
        }
        let audit = AuditLog::open(control.store().clone()).await?;
        let (reloads, reloads_asked) = Reloads::new();
        let reloads = Arc::new(reloads);
        let (entrance, handovers) = Entrance::new(
            following::doors(&config, &admin_token, clock.now()),
            Arc::clone(&control),
            Arc::clone(&clock),
            public.served(),
            audit,
            Arc::clone(&reloads),
        );
        let reloader = Reloader::new(
            loader,
            plugins.into_iter().zip(stamps),
            Around {
                tools,
                metrics: Arc::clone(&metrics),
                clock,
                control: Arc::clone(&control),
                entrance: Arc::clone(&entrance),
                reloads: Arc::clone(&reloads),
                admin_token,
            },
        );
        let stopping = CancellationToken::new();
        tokio::spawn(pulse.feel(control.store().clone(), Arc::clone(&metrics), stopping.clone()));
        let archivist_stops = CancellationToken::new();
        let archivist = Arc::clone(&control).work_on_recordings(archivist_stops.clone());
        let archivist = tokio::spawn(archivist);
        let notifier = tokio::spawn(Arc::clone(&control).send_notifications(archivist_stops.clone()));
        let housekeeper = tokio::spawn(Arc::clone(&control).keep_house(stopping.clone()));
        let reloader = tokio::spawn(reloader.run(reloads_asked, stopping.clone()));
        let (public_address, admin_address) = (public.address(), admin.address());
        let listeners = vec![
            tokio::spawn(serve(public, http::public(&entrance), stopping.clone())),
            tokio::spawn(serve(admin, http::admin(&entrance), stopping.clone())),
        ];
        Ok(Gateway {
            public: public_address,
            admin: admin_address,
            control,
            stopping,
            listeners,
            archivist,
            archivist_stops,
            notifier,
            housekeeper,
            reloads,
            reloader,
            exporter,
            drain_timeout,
            handovers,
            sockets,
        })
    }

    /// The calls.
    pub fn control(&self) -> &Arc<CallControl> {
        &self.control
    }

    /// Reads the configuration again, and looks at every plugin's file, also at one that was refused before. What came
    /// of it is in the log, the metrics, [`Reloads::last`] and [`Generations::change_of`].
    pub fn reload(&self) {
        self.reloads.reload_soon();
        self.reloads.look_again();
    }

    /// The way to whoever reads the configuration, for those who want to be told what came of it.
    pub fn reloads(&self) -> &Arc<Reloads> {
        &self.reloads
    }

    /// Lets no new calls in, lets running ones end until the drain timeout, leaves the rest to the next process,
    /// and closes the store. Carrier and provider are answered until the last call is over or left. Gives how many
    /// calls were left.
    pub async fn stop(self) -> usize {
        self.control.refuse_calls();
        let is_drained = tokio::time::timeout(self.drain_timeout, self.control.drained()).await.is_ok();
        if !is_drained {
            self.control.finish_tools().await;
        }
        let left = if is_drained { 0 } else { self.control.active() };
        if left > 0 {
            self.control.leave_streams().await;
        }
        self.end().await;
        left
    }

    /// Waits until somebody asks to hand over; they want to be told.
    pub async fn handover_asked(&mut self) -> HandoverAsked {
        match self.handovers.recv().await {
            Some(asked) => asked,
            // The doors live as long as this does.
            None => std::future::pending().await,
        }
    }

    /// Leaves all calls to the program that takes this one's place, and closes the store. Tools that may not run twice are
    /// finished first, then bridged callers go, while they can be answered; whoever connects from then on waits in the sockets. A sideband is down from the moment in
    /// which nothing else is left to be done.
    pub async fn hand_over(self) -> Sockets {
        self.control.finish_tools().await;
        self.control.leave_streams().await;
        self.end().await
    }

    async fn end(self) -> Sockets {
        self.stopping.cancel();
        // Whoever watches would be waited for.
        self.control.feed().close();
        for listener in self.listeners {
            if let Ok(Err(error)) = listener.await {
                tracing::warn!(%error, "a listener did not end well");
            }
        }
        // Nothing is left by now, where the gateway is stopped; all that is live, where it is handed over.
        self.control.leave_calls().await;
        // Its last changes go through the calls' own tasks, which are waited for below.
        self.archivist_stops.cancel();
        if let Err(error) = self.archivist.await {
            tracing::error!(%error, "work on recordings did not end well");
        }
        if let Err(error) = self.notifier.await {
            tracing::error!(%error, "sending notifications did not end well");
        }
        // A compaction stops when the store is closed.
        self.housekeeper.abort();
        if let Err(error) = self.reloader.await {
            tracing::warn!(%error, "the watch over the plugins did not end well");
        }
        if tokio::time::timeout(LAST_WORDS_WITHIN, self.control.drained()).await.is_err() {
            tracing::warn!("the last reports on calls were not all taken in");
        }
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        if let Err(error) = self.control.store().clone().close().await {
            tracing::error!(%error, "the store was not closed in order; it repairs itself at the next start");
        }
        self.sockets
    }
}

fn guards(connections_max: usize) -> Guards {
    Guards { connections_max, first_within: FIRST_REQUEST_WITHIN, next_within: NEXT_REQUEST_WITHIN }
}

fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    net::listen(address).map_err(|source| StartError::Listen { address, key, source })
}

fn acceptor(
    socket: &TcpListener,
    address: SocketAddr,
    key: &'static str,
) -> Result<PromptAcceptor, StartError> {
    let acceptor = socket.try_clone().and_then(PromptAcceptor::on);
    acceptor.map_err(|source| StartError::Listen { address, key, source })
}

async fn serve(
    acceptor: PromptAcceptor,
    endpoint: impl poem::Endpoint + 'static,
    stopping: CancellationToken,
) -> io::Result<()> {
    let server = Server::new_with_acceptor(acceptor);
    let stopped = async move { stopping.cancelled().await };
    server.run_with_graceful_shutdown(endpoint, stopped, Some(ANSWER_WITHIN)).await
}

async fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> Result<Store, StartError> {
    let (settings, clock) = (config.store.clone(), Arc::clone(clock));
    let opened = tokio::task::spawn_blocking(move || Store::open(&settings, clock)).await;
    let (store, report) = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    tracing::info!(
        created = report.created,
        was_clean = report.was_clean,
        index_rebuilt = report.index_rebuilt,
        replayed = report.replayed,
        torn_bytes = report.torn_bytes,
        quarantined = ?report.quarantined,
        "the store is open"
    );
    Ok(store)
}

/// The key that signs join tokens: made once, kept with the calls.
async fn join_key(store: &Store, entropy: &Entropy) -> Result<JoinKey, StoreError> {
    if let Some(key) = store.meta(JOIN_KEY)?.and_then(|text| decode_key(&text)) {
        return Ok(JoinKey::new(key));
    }
    let key = entropy.bytes::<32>();
    let value = URL_SAFE_NO_PAD.encode(key);
    let writes = vec![Write::Meta { name: JOIN_KEY.to_owned(), value }];
    store.commit(Tx { expect: vec![Expect::MetaAbsent(JOIN_KEY.to_owned())], writes }).await?;
    Ok(JoinKey::new(key))
}

fn decode_key(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// What an operator must show: made once, readable by the gateway's user only.
fn admin_token(data: &Path, entropy: &Entropy) -> Result<Secret, StartError> {
    let path = data.join(ADMIN_TOKEN_FILE);
    let explain = |source| StartError::AdminToken { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
        _ => {}
    }
    let token = URL_SAFE_NO_PAD.encode(entropy.bytes::<24>());
    write_private(&path, &token).map_err(explain)?;
    Ok(Secret::new(token))
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
