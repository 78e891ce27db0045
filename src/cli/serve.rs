//! `switchboard serve`: answer calls until told to stop, or to make place for the program that is now at its path.
//!
//! SIGHUP has the configuration read again and the plugins looked at, SIGUSR2 hands over: the process becomes the new program, with the same sockets
//! and the same id, and goes on with the calls. Before it lets go of anything, the new program has checked the
//! configuration and compiled the plugins.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;
use crate::clock::{Entropy, SystemClock};
use crate::gateway::{Gateway, Sockets, StartError};
use crate::http::HandoverAsked;

/// Where a program that takes another one's place finds its sockets: `PROCESS:PUBLIC,ADMIN`.
const SOCKETS: &str = "SWITCHBOARD_SOCKETS";
/// How long the new program may take to check the configuration: a plugin in Python is compiled in a minute.
const CHECKED_WITHIN: Duration = Duration::from_secs(600);
/// How much of what is wrong is told.
const WORDS_MAX: usize = 4_000;

/// Why the process does not go on as it is.
enum End {
    Stop,
    HandOver(HandoverAsked),
}

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Read the configuration again whenever its file, `.env` or a file it names has changed.
    #[arg(long, env = "SWITCHBOARD_WATCH")]
    watch: bool,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let began = Instant::now();
    let config = super::load_config(path)?;
    let config = if arguments.watch { config.watched() } else { config };
    super::logging::start(&config.telemetry);
    for warning in config.warnings.iter() {
        tracing::warn!(code = warning.code.id, "{}", warning.message);
    }
    let mut signals = Signals::new().context("signals cannot be received")?;
    let starting = match inherited() {
        Some(sockets) => Gateway::start_on(sockets, config, Arc::new(SystemClock), Entropy::System).await,
        None => Gateway::start(config, Arc::new(SystemClock), Entropy::System).await,
    };
    let mut gateway = starting.map_err(explain)?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(public = %gateway.public, admin = %gateway.admin, took_ms, "ready");
    loop {
        match signals.end(&mut gateway).await {
            End::Stop => return stop(gateway).await,
            End::HandOver(asked) => {
                let checked = tokio::select! {
                    checked = next_is_good(path) => checked,
                    () = signals.stop() => return stop(gateway).await,
                };
                match checked {
                    Ok(()) => {
                        // Who asked may be gone.
                        let _ = asked.send(Ok(()));
                        return hand_over(gateway).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, "nothing is handed over: the program at our path cannot go on");
                        let _ = asked.send(Err(error.to_string()));
                    }
                }
            }
        }
    }
}

/// What the operating system says to us.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    hand_over: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn end(&mut self, gateway: &mut Gateway) -> End {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return End::Stop,
                _ = self.interrupt.recv() => return End::Stop,
                _ = self.hang_up.recv() => gateway.reload(),
                _ = self.hand_over.recv() => return End::HandOver(oneshot::channel().0),
                asked = gateway.handover_asked() => return End::HandOver(asked),
            }
        }
    }
}

async fn stop(gateway: Gateway) -> Result<(), Failure> {
    tracing::info!(calls = gateway.control().active(), "stopping: no new calls, running ones may end");
    let left = gateway.stop().await;
    if left > 0 {
        tracing::warn!(calls = left, "stopped while calls were running; callers keep hearing the model");
    }
    Ok(())
}

/// The program that is at our path now.
fn next_program() -> anyhow::Result<OsString> {
    std::env::args_os().next().context("the name of this program is not known")
}

/// Has the next program check the configuration, and compile the plugins so that its start is short.
async fn next_is_good(path: &Path) -> anyhow::Result<()> {
    let mut check = tokio::process::Command::new(next_program()?);
    check.arg("--config").arg(path).args(["check", "--keep-compiled"]);
    check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let checked = tokio::time::timeout(CHECKED_WITHIN, check.output()).await;
    let checked = checked.context("the new program takes too long to check the configuration")??;
    if checked.status.success() {
        return Ok(());
    }
    let words: String = String::from_utf8_lossy(&checked.stderr).chars().take(WORDS_MAX).collect();
    Err(anyhow!("`check` of the new program fails ({}):\n{}", checked.status, words.trim_end()))
}

/// Becomes the next program. Comes back only when that fails.
async fn hand_over(gateway: Gateway) -> Result<(), Failure> {
    tracing::info!(calls = gateway.control().active(), "handing over to the program at our path");
    let sockets = gateway.hand_over().await;
    let mut told = format!("{}:", std::process::id());
    for (place, socket) in [&sockets.public, &sockets.admin].into_iter().enumerate() {
        fcntl_setfd(socket, FdFlags::empty()).context("a socket cannot be handed over")?;
        let _ = write!(told, "{}{}", if place == 0 { "" } else { "," }, socket.as_raw_fd());
    }
    let error = std::process::Command::new(next_program()?)
        .args(std::env::args_os().skip(1))
        .env(SOCKETS, told)
        .exec();
    Err(Failure::Unavailable(anyhow!(error).context("the program at our path cannot be run: start it again")))
}

/// The sockets that the program before this one left in this process; none: there was none.
fn inherited() -> Option<Sockets> {
    let told = std::env::var(SOCKETS).ok()?;
    let (process, sockets) = told.split_once(':')?;
    if process.parse() != Ok(std::process::id()) {
        // It was meant for a process that started this one.
        return None;
    }
    let (public, admin) = sockets.split_once(',')?;
    Some(Sockets { public: take(public.parse().ok()?)?.into(), admin: take(admin.parse().ok()?)?.into() })
}

/// Takes a file descriptor that this process has had since before this program.
#[expect(unsafe_code, reason = "a descriptor that survived exec is known by its number only")]
fn take(descriptor: RawFd) -> Option<OwnedFd> {
    if descriptor <= 2 {
        return None;
    }
    // SAFETY: the number was left, in this very process, by `hand_over`, which kept the descriptor open for us; nothing
    // else has been told of it, and this is asked once, before anything else opens or closes descriptors by number.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // Programs that we start shall not have it.
    fcntl_setfd(&socket, FdFlags::CLOEXEC).ok()?;
    Some(socket)
}

fn explain(error: StartError) -> Failure {
    match error {
        StartError::Open(_) | StartError::Listen { .. } | StartError::AdminToken { .. } => {
            Failure::Unavailable(error.into())
        }
        StartError::Tools(_) | StartError::OpenAi(_) | StartError::Twilio(_) => Failure::Misfit(error.into()),
        other => Failure::Failed(other.into()),
    }
}
