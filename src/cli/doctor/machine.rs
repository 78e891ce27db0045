//! What the machine gives: open files, and room on the disk.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::Config;
use crate::store::free_bytes;

/// Files that one call may hold open: the carrier's stream, the provider's socket, and a recording.
const FILES_PER_CALL: usize = 3;
/// Files that the gateway holds open without any call: listeners, journal, index, log.
const FILES_ALWAYS: usize = 64;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    vec![files(config), disk(config)]
}

fn files(config: &Config) -> Finding {
    let server = &config.server;
    let needed = FILES_ALWAYS + server.max_connections + FILES_PER_CALL * server.max_calls;
    // That of this shell; a service has its own.
    let limit = getrlimit(Resource::Nofile).current;
    match limit {
        Some(limit) if limit < needed as u64 => Finding::wrong(
            "files",
            format!("{limit} files may be open, and {} calls need up to {needed}", server.max_calls),
            format!(
                "raise it (`ulimit -n {needed}`; in a systemd unit `LimitNOFILE={needed}`), or lower `server.max_calls`"
            ),
        ),
        Some(limit) => Finding::well("files", format!("{limit} may be open; {needed} are needed at most")),
        None => Finding::well("files", "as many as are needed may be open"),
    }
}

fn disk(config: &Config) -> Finding {
    let store = &config.store;
    let recordings = if config.features.recordings { config.recordings.keep_free_bytes } else { 0 };
    let needed = store.free_bytes_min.max(recordings);
    // The data directory is made at the first start.
    let there = store.path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    match free_bytes(there) {
        Ok(free) if free < needed => Finding::wrong(
            "disk",
            format!("{} free at {}, and {} must stay free", gib(free), store.path.display(), gib(needed)),
            "make room, or move `store.path`: below that no calls are taken, or none are recorded",
        ),
        Ok(free) => Finding::well("disk", format!("{} free at {}", gib(free), store.path.display())),
        Err(error) => Finding::wrong(
            "disk",
            format!("{} cannot be looked at: {error}", store.path.display()),
            "`store.path` must be a folder that the gateway's user may write to",
        ),
    }
}
