//! The log: text on a terminal, JSON else, unless the configuration says which.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, TelemetrySettings};

/// Starts the process' log on standard error.
pub(super) fn start(telemetry: &TelemetrySettings) {
    // The server library tells of its sockets what `ready` tells as well.
    let directives = format!("poem=warn,{}", telemetry.log_level);
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let is_json = match telemetry.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    // Only the first start of a process counts; a second one (a demo inside a test) changes nothing.
    let _ = if is_json { log.json().flatten_event(true).try_init() } else { log.try_init() };
}
