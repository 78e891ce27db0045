//! `switchboard serve`: answer calls until told to stop; SIGHUP looks at the plugins again.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::clock::{Entropy, SystemClock};
use crate::gateway::{Gateway, StartError};

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    let config = super::load_config(path)?;
    super::logging::start(&config.telemetry);
    for warning in config.warnings.iter() {
        tracing::warn!(code = warning.code.id, "{}", warning.message);
    }
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    let mut hang_up = signal(SignalKind::hangup()).context("signals cannot be received")?;
    let gateway = Gateway::start(config, Arc::new(SystemClock), Entropy::System).await.map_err(explain)?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(public = %gateway.public, admin = %gateway.admin, took_ms, "ready");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => gateway.reload(),
        }
    }
    tracing::info!(calls = gateway.control().active(), "stopping: no new calls, running ones may end");
    let left = gateway.stop().await;
    if left > 0 {
        tracing::warn!(calls = left, "stopped while calls were running; callers keep hearing the model");
    }
    Ok(())
}

fn explain(error: StartError) -> Failure {
    match error {
        StartError::Open(_) | StartError::Listen { .. } | StartError::AdminToken { .. } => {
            Failure::Unavailable(error.into())
        }
        StartError::Plugin { .. } | StartError::Tools(_) | StartError::OpenAi(_) | StartError::Twilio(_) => {
            Failure::Misfit(error.into())
        }
        other => Failure::Failed(other.into()),
    }
}
