//! What the network gives: names, the provider's clock and its view of our key and webhook, the carrier's of our
//! credentials, and whether our own public address leads to a gateway with this configuration.
//!
//! Only what the vendors document is asked, and nothing is changed there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::{StatusCode, Url, redirect};
use tokio::time::timeout;

use super::Finding;
use crate::cli::Failure;
use crate::cli::setup::CALL_EVENT;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::http::{OPENAI_WEBHOOK, TWILIO_STATUS, TWILIO_VOICE};
use crate::ids::CallSid;
use crate::openai::endpoints::{self, Endpoint, Found, NoList};
use crate::text::chain;
use crate::twilio::rest::{Client, Deadlines, RestError};
use crate::wire::webhook;

/// How long a name may take to be found.
const NAME_WITHIN: Duration = Duration::from_secs(5);
/// How long our own public address may take to answer.
const PUBLIC_WITHIN: Duration = Duration::from_secs(10);
/// The provider's clock is told in whole seconds and takes a moment to arrive; more than this is not that.
const SKEW_MAX: Duration = Duration::from_secs(5);
/// A call that no carrier knows.
const NO_CALL: &str = "CA00000000000000000000000000000000";

pub(super) async fn examine(config: &Config) -> Result<Vec<Finding>, Failure> {
    let asked_at = SystemClock.now();
    // Our clock is read at once: what else is asked may take longer.
    let asking = async { (endpoints::look_up(&config.openai).await, SystemClock.now()) };
    let (names, (found, answered_at), carrier, public) =
        tokio::join!(names(config), asking, carrier(config), public(config));
    let found = found?;
    let mut findings = vec![names];
    findings.push(clock(found.date, asked_at, answered_at, config.openai.tolerance));
    findings.extend(provider(config, &found));
    findings.extend(carrier?);
    findings.push(public?);
    Ok(findings)
}

async fn names(config: &Config) -> Finding {
    let mut hosts = BTreeSet::new();
    let twilio = config.twilio.as_ref().map(|twilio| twilio.base_url.as_str());
    let urls = [
        Some(&*config.openai.base_url),
        Some(&*config.openai.realtime_url),
        twilio,
        Some(&*config.server.public_url),
    ];
    for url in urls.into_iter().flatten() {
        hosts.extend(Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)));
    }
    hosts.insert(config.openai.sip_host.clone());
    let mut unknown = Vec::new();
    for host in &hosts {
        let bare = host.trim_matches(['[', ']']);
        let found = timeout(NAME_WITHIN, tokio::net::lookup_host((bare, 443))).await;
        match found.map(|found| found.map(|addresses| addresses.count())) {
            Ok(Ok(1..)) => {}
            Ok(Err(error)) => unknown.push(format!("{host} ({error})")),
            Ok(Ok(0)) | Err(_) => unknown.push(host.clone()),
        }
    }
    match unknown.is_empty() {
        true => Finding::well("names", hosts.into_iter().collect::<Vec<_>>().join(", ")),
        false => Finding::wrong(
            "names",
            format!("no address is known for {}", unknown.join(", ")),
            "look at the spelling in the configuration, at `/etc/resolv.conf`, and at the record of your own name",
        ),
    }
}

/// How far our clock is from the provider's, which told its time between these two moments of ours.
fn clock(theirs: Option<Timestamp>, asked: Timestamp, answered: Timestamp, tolerance: Duration) -> Finding {
    let Some(theirs) = theirs else {
        let fix = "see whether the time is set from the network (NTP): `timedatectl`";
        return Finding::unseen("clock", "the provider did not tell its time", fix);
    };
    let skew = if theirs < asked { asked.since(theirs) } else { theirs.since(answered) };
    if skew <= SKEW_MAX {
        return Finding::well("clock", "as the provider's");
    }
    let fix = format!(
        "have it set from the network (NTP): webhooks more than {} s away are refused",
        tolerance.as_secs()
    );
    Finding::wrong("clock", format!("{} s from the provider's", skew.as_secs()), fix)
}

/// What the provider says of our key, and of the way on which it tells us of calls.
fn provider(config: &Config, found: &Found) -> Vec<Finding> {
    let ours = format!("{}{OPENAI_WEBHOOK}", config.server.public_url);
    let add = format!(
        "`switchboard setup openai` adds it; or in the settings of the project: a webhook for {CALL_EVENT}, {ours}"
    );
    match &found.endpoints {
        Ok(list) => {
            let key = Finding::well("key", format!("is taken for {}", config.openai.project_id));
            let tells = |endpoint: &Endpoint| endpoint.event_types.iter().any(|event| event == CALL_EVENT);
            let is_ours = |endpoint: &&Endpoint| endpoint.url.trim_end_matches('/') == ours;
            let webhook = match list.iter().find(is_ours) {
                Some(endpoint) if tells(endpoint) => {
                    Finding::well("webhook", format!("{CALL_EVENT} is sent to {ours}"))
                }
                Some(_) => Finding::wrong("webhook", format!("{ours} is not told of {CALL_EVENT}"), add),
                None => {
                    Finding::wrong("webhook", format!("none of the project's {} leads here", list.len()), add)
                }
            };
            vec![key, webhook]
        }
        Err(NoList::Refused { status: 401, words }) => vec![Finding::wrong(
            "key",
            format!("is refused: {words}"),
            format!("put a standard key of the project {} into OPENAI_API_KEY", config.openai.project_id),
        )],
        Err(NoList::Refused { status, words }) => vec![Finding::unseen(
            "webhook",
            format!("the list of the project's webhooks is refused ({status}): {words}"),
            format!("the key may lack the right to it; look yourself: {add}"),
        )],
        Err(NoList::Unreached(why)) => vec![Finding::wrong(
            "key",
            format!("{} does not answer: {why}", config.openai.base_url),
            "look at the way out: firewall, proxy, and the system's certificates (`ca-certificates`)",
        )],
        Err(NoList::Unreadable(why)) => vec![Finding::unseen(
            "webhook",
            format!("the list of the project's webhooks cannot be read: {why}"),
            format!("look yourself: {add}"),
        )],
    }
}

/// Whether the carrier takes our credentials: it is asked about a call that does not exist (Twilio, "Call resource").
async fn carrier(config: &Config) -> Result<Vec<Finding>, Failure> {
    let Some(twilio) = &config.twilio else { return Ok(Vec::new()) };
    let client = Client::new(twilio, Deadlines::default())?;
    let nobody = CallSid(NO_CALL.to_owned());
    let credentials = match client.call_status(&nobody).await {
        Ok(_) | Err(RestError::NotFound) => {
            Finding::well("carrier", format!("the credentials of {} are taken", twilio.account_sid))
        }
        Err(error @ RestError::Denied(_)) => Finding::wrong(
            "carrier",
            error.to_string(),
            "put the SID and the primary auth token of one account into TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
        ),
        Err(error) => {
            Finding::wrong("carrier", error.to_string(), "look at the way out to the carrier, and try again")
        }
    };
    let url = &config.server.public_url;
    let number = Finding::unseen(
        "number",
        "what the number itself says is not asked",
        format!(
            "`switchboard setup twilio` sets it; or compare: voice (POST) {url}{TWILIO_VOICE}, status callback (POST) {url}{TWILIO_STATUS}"
        ),
    );
    Ok(vec![credentials, number])
}

/// Sends our own public address a webhook that is signed and means nothing: only a gateway with our secret takes it.
async fn public(config: &Config) -> Result<Finding, Failure> {
    let url = format!("{}{OPENAI_WEBHOOK}", config.server.public_url);
    let Some(secret) = config.openai.webhook_secrets.first() else {
        return Ok(Finding::unseen("public", "there is no secret to sign with", "set OPENAI_WEBHOOK_SECRET"));
    };
    let now = SystemClock.now();
    let (id, timestamp) = (format!("wh_doctor_{}", now.as_micros()), now.as_secs().to_string());
    let body = serde_json::json!({
        "object": "event", "id": "evt_doctor", "type": "switchboard.doctor", "created_at": now.as_secs(), "data": {},
    });
    let body = body.to_string();
    let signature = webhook::sign(secret, &id, &timestamp, body.as_bytes())?;
    let mut builder = reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(PUBLIC_WITHIN);
    if is_here(&url) {
        builder = builder.no_proxy();
    }
    let request = builder.build()?.post(&url).header("webhook-id", id).header("webhook-timestamp", timestamp);
    let request = request.header("webhook-signature", signature).header("content-type", "application/json");
    let wrong = |words: String, fix: &str| Finding::wrong("public", words, fix);
    Ok(match request.body(body).send().await {
        Ok(answer) if answer.status() == StatusCode::OK => Finding::well(
            "public",
            format!("{} leads to a gateway with this secret", config.server.public_url),
        ),
        Ok(answer) if answer.status() == StatusCode::BAD_REQUEST => wrong(
            format!("{url} refuses what is signed with our secret"),
            "the gateway there runs with another secret or clock, or a proxy on the way changes the body",
        ),
        Ok(answer) if answer.status().is_redirection() => wrong(
            format!("{url} sends elsewhere ({})", answer.status()),
            "`server.public_url` is the address that answers itself: vendors sign it as it is",
        ),
        Ok(answer) if answer.status().is_server_error() => wrong(
            format!("{url} answers {}", answer.status()),
            "is `switchboard serve` running, and does the proxy lead to `server.listen`?",
        ),
        Ok(answer) => wrong(
            format!("{url} answers {}: that is no gateway", answer.status()),
            "have the proxy lead all paths below `server.public_url` to `server.listen`",
        ),
        Err(error) => wrong(
            format!("{url} does not answer: {}", chain(&error.without_url())),
            "is `switchboard serve` running, and the proxy with its certificate? A router may also not lead back in what \
             comes from inside: try from another network",
        ),
    })
}

/// Claims that the address is on this machine, so that no proxy is asked.
fn is_here(url: &str) -> bool {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
