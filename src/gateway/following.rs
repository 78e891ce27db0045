//! What a configuration says, in the words of the rooms that follow it: at the start, and whenever it is read again.

use std::sync::Arc;
use std::time::Duration;

use super::{StartError, checking};
use crate::call::usage::{Price, Prices, TokenPrice};
use crate::call_control::{self, Rules, admission};
use crate::clock::Timestamp;
use crate::config::{self, Config};
use crate::http;
use crate::openai::{Deadlines, rest, sideband};
use crate::phone::CallingCode;
use crate::secret::Secret;
use crate::twilio;

/// A join token is good for as long as a carrier may take to dial (Twilio: 5 to 600 s and about 5 more).
const JOIN_GRACE: Duration = Duration::from_secs(60);
/// A call's webhook event older than this is for a caller who is gone.
const STALE_AFTER: Duration = Duration::from_secs(60);
/// What the running process does not follow, as another value would need another socket, store, engine or log: whole
/// keys, or the tables they are in.
const NEEDS_RESTART: [&str; 11] = [
    "server.listen",
    "server.max_connections",
    "server.drain_timeout",
    "admin.listen",
    "admission.max_lag",
    "recordings.file_max",
    "recordings.keep_free",
    "store",
    "sandbox",
    "telemetry",
    "version",
];

/// Claims that a change of this key is followed only by the next process.
pub(super) fn needs_restart(key: &str) -> bool {
    let is_in = |table: &&str| {
        key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    NEEDS_RESTART.iter().any(is_in)
}

/// For call control.
///
/// # Errors
///
/// A vendor cannot be reached with these settings.
pub(super) fn rules(config: &Config) -> Result<Rules, StartError> {
    let carrier = config.twilio.as_ref();
    let carrier = carrier.map(|twilio| twilio::rest::Client::new(twilio, twilio::rest::Deadlines::default()));
    Ok(Rules {
        settings: settings(config),
        sessions: config.sessions.clone(),
        prices: Arc::new(prices(&config.prices)),
        openai: rest::Client::new(&config.openai, Deadlines::default())?,
        sidebands: sideband::Connector::new(&config.openai, Deadlines::default())?,
        recordings: config.recordings.clone(),
        notifications: config.notifications.clone(),
        carrier: carrier.transpose()?,
    })
}

/// For the doors; it was read at `read_at`.
pub(super) fn doors(config: &Arc<Config>, admin_token: &Secret, read_at: Timestamp) -> http::Settings {
    http::Settings {
        public_url: config.server.public_url.clone(),
        default_country: country(config.server.default_country.as_deref()),
        body_bytes_max: config.server.body_bytes_max,
        openai: config.openai.clone(),
        twilio: config.twilio.clone(),
        admin_token: admin_token.clone(),
        tokens: config.admin.tokens.clone(),
        admin_hosts: config.admin.hosts.clone(),
        config: http::ConfigShown {
            path: config.read_from.name.clone(),
            read_at,
            entries: config.entries.clone(),
        },
        checker: checking::checker(config),
        priced_as_of: config.prices.iter().filter_map(|(_, price)| price.as_of.clone()).min(),
    }
}

fn settings(config: &Config) -> call_control::Settings {
    let dial_timeout_s = config.twilio.as_ref().map_or(0, |twilio| twilio.dial.timeout_s);
    call_control::Settings {
        routes: config.routes.clone(),
        admission: admission::Settings {
            calls_max: config.server.max_calls,
            overflow: config.admission.overflow,
            per_caller: config.admission.per_caller,
        },
        openai_sip: config.features.openai_sip,
        failover: config.features.failover.then(|| config.failover.clone()),
        direct_sip: config.server.direct_sip,
        called_number_headers: config.server.called_number_headers.clone(),
        default_country: country(config.server.default_country.as_deref()),
        join_within: Duration::from_secs(u64::from(dial_timeout_s)) + JOIN_GRACE,
        is_plain_taken: config.twilio.as_ref().is_some_and(|twilio| twilio.dial.is_plain_taken),
        leg_limit_s: config.twilio.as_ref().map(|twilio| twilio.dial.time_limit_s),
        stale_after: STALE_AFTER,
        calls_kept: config.calls_kept,
        audit_kept: config.audit_kept,
        redaction: config.redaction.clone(),
        handed_on_url: http::handed_on_url(&config.server.public_url),
    }
}

fn country(code: Option<&str>) -> CallingCode {
    // Without one, Japan's notation is read: the only national notation that is known.
    code.and_then(|code| code.parse().ok()).and_then(CallingCode::new).unwrap_or(CallingCode::JAPAN)
}

/// The price table in the words of calls.
pub(crate) fn prices(table: &[(String, config::Price)]) -> Prices {
    let tokens = |rates: &Option<config::Rates>| {
        let rates = rates.unwrap_or_default();
        TokenPrice { input: rates.input, cached: rates.cached, output: rates.output }
    };
    let priced = table.iter().map(|(model, price)| {
        let price = Price {
            text: tokens(&price.text),
            audio: tokens(&price.audio),
            image: tokens(&price.image),
            per_minute: price.per_minute.unwrap_or_default(),
        };
        (model.clone(), price)
    });
    Prices(priced.collect())
}

#[cfg(test)]
mod tests {
    use super::needs_restart;

    #[test]
    fn a_key_that_begins_like_another_one_is_another_one() {
        for key in ["server.listen", "store.path", "store.encryption_keys[0]", "telemetry.log.level"] {
            assert!(needs_restart(key), "{key}");
        }
        for key in ["server.listener", "server.max_calls", "routes[0].session", "stores", "admission.answer"]
        {
            assert!(!needs_restart(key), "{key}");
        }
    }
}
