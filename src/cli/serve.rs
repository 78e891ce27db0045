//! `switchboard serve`: answer calls until told to stop.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::clock::{Entropy, SystemClock};
use crate::gateway::{Gateway, StartError};

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    super::logging::start(&config.telemetry);
    for warning in config.warnings.iter() {
        tracing::warn!(code = warning.code.id, "{}", warning.message);
    }
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    let gateway = Gateway::start(config, Arc::new(SystemClock), Entropy::System).await.map_err(explain)?;
    tracing::info!(public = %gateway.public, admin = %gateway.admin, "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
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
        StartError::Plugin { .. }
        | StartError::Toolbox(_)
        | StartError::Tools(_)
        | StartError::OpenAi(_)
        | StartError::Twilio(_) => Failure::Misfit(error.into()),
        other => Failure::Failed(other.into()),
    }
}
