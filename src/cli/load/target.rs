//! What is loaded: `serve` started for this in a process of its own, or a gateway that runs already.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::super::Failure;
use super::args::Arguments;
use super::process::Watched;
use super::serve::Serve;
use crate::sim::world::{ACCOUNT_SID, API_KEY, AUTH_TOKEN, PROJECT_ID, PUBLIC_URL, WEBHOOK_SECRET};

/// Where the vendors listen for a gateway that was started by somebody else.
const VENDORS_PORT: u16 = 9_400;
/// Between two tries whether it answers.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// How many files are open besides those of calls.
const FILES_BESIDES: u64 = 300;

/// A gateway under load.
pub(super) struct Target {
    /// Its address.
    pub url: String,
    /// Its processes, where they are known.
    pub watched: Option<Watched>,
    own: Option<Serve>,
}

impl Target {
    /// Starts `serve` in this environment, or waits for the gateway that was named.
    pub async fn reach(
        arguments: &Arguments,
        mut environment: Vec<(String, String)>,
        data: &Path,
    ) -> Result<Target, Failure> {
        let Some(url) = &arguments.gateway else {
            let config = arguments.config.display().to_string();
            environment.push(("SWITCHBOARD_CONFIG".to_owned(), config));
            let own = Serve::start(environment, data).await?;
            let watched = own.pid().map(|pid| Watched::new(vec![pid]));
            return Ok(Target { url: format!("http://{}", own.public), watched, own: Some(own) });
        };
        let watched = Watched::new(arguments.pid.clone());
        if !arguments.pid.is_empty() && watched.used().is_none() {
            return Err(Failure::Unavailable(anyhow!("none of the processes {:?} is there", arguments.pid)));
        }
        wait(url, arguments.wait).await?;
        Ok(Target {
            url: url.clone(),
            watched: Some(watched).filter(|_| !arguments.pid.is_empty()),
            own: None,
        })
    }

    /// The gateway that was started for this.
    pub fn own(&self) -> Option<&Serve> {
        self.own.as_ref()
    }

    /// Stops it, if it was started for this.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match &mut self.own {
            Some(own) => own.stop().await,
            None => Ok(()),
        }
    }
}

async fn wait(url: &str, within: Duration) -> Result<(), Failure> {
    let parsed = reqwest::Url::parse(url)?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = parsed.port_or_known_default().unwrap_or(80);
    let limit = Instant::now() + within;
    if within.is_zero() {
        return Ok(());
    }
    eprintln!("waiting for {url}, at most {} s", within.as_secs_f64());
    loop {
        match TcpStream::connect((host.as_str(), port)).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= limit => {
                return Err(Failure::Unavailable(
                    anyhow::Error::new(error).context(format!("{url} does not answer")),
                ));
            }
            Err(_) => sleep(TRY_AGAIN).await,
        }
    }
}

/// The port at which the vendors listen; 0: any that is free.
pub(super) fn vendors_port(arguments: &Arguments) -> u16 {
    let is_known_before = arguments.gateway.is_some() || arguments.print_env;
    arguments.vendors_port.unwrap_or(if is_known_before { VENDORS_PORT } else { 0 })
}

/// The port of the vendors, listened to.
pub(super) async fn listen(arguments: &Arguments) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, vendors_port(arguments)));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("the vendors cannot listen on {address}"));
    listener.map_err(Failure::Unavailable)
}

/// The environment of a gateway whose vendors listen at this port: the usual names, and Switchboard's own.
pub(super) fn environment(port: u16) -> Vec<(String, String)> {
    let base = format!("http://127.0.0.1:{port}");
    let realtime = format!("ws://127.0.0.1:{port}/v1/realtime");
    [
        ("OPENAI_BASE_URL", format!("{base}/v1")),
        ("OPENAI_REALTIME_URL", realtime.clone()),
        ("OPENAI_API_KEY", API_KEY.to_owned()),
        ("OPENAI_PROJECT_ID", PROJECT_ID.to_owned()),
        ("OPENAI_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("TWILIO_ACCOUNT_SID", ACCOUNT_SID.to_owned()),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
        ("BASE_URL", PUBLIC_URL.to_owned()),
        ("USE_OPENAI_SIP", "true".to_owned()),
        ("SWITCHBOARD__OPENAI__BASE_URL", format!("{base}/v1")),
        ("SWITCHBOARD__OPENAI__REALTIME_URL", realtime),
        ("SWITCHBOARD__OPENAI__SIP_HOST", "sip.api.openai.com".to_owned()),
        ("SWITCHBOARD__OPENAI__API_KEY", API_KEY.to_owned()),
        ("SWITCHBOARD__OPENAI__PROJECT_ID", PROJECT_ID.to_owned()),
        ("SWITCHBOARD__OPENAI__WEBHOOK_SECRETS", WEBHOOK_SECRET.to_owned()),
        ("SWITCHBOARD__TWILIO__ACCOUNT_SID", ACCOUNT_SID.to_owned()),
        ("SWITCHBOARD__TWILIO__AUTH_TOKENS", AUTH_TOKEN.to_owned()),
        ("SWITCHBOARD__TWILIO__BASE_URL", base.clone()),
        ("SWITCHBOARD__SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
        ("SWITCHBOARD__SERVER__DIRECT_SIP", "true".to_owned()),
        ("SWITCHBOARD__SERVER__MAX_CALLS", "100000".to_owned()),
        ("SWITCHBOARD__FEATURES__OPENAI_SIP", "true".to_owned()),
        ("BACKEND_URL", base),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Lets this process and those it starts open so many files for calls, as far as it may.
///
/// # Errors
///
/// It may not: which limit is to be raised, and how.
pub(super) fn allow_files(for_calls: u64) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (now, wanted) = (getrlimit(Resource::Nofile), for_calls + FILES_BESIDES);
    if now.maximum.is_some_and(|maximum| maximum < wanted) {
        return Err(Failure::Unavailable(anyhow!(
            "{wanted} open files are needed, and the hard limit is {}: raise it (as root `ulimit -Hn {wanted}` in this \
             shell, `LimitNOFILE={wanted}` in a unit, `nofile` in /etc/security/limits.conf), or ask for fewer calls",
            now.maximum.unwrap_or_default()
        )));
    }
    if now.current == now.maximum {
        return Ok(());
    }
    // As far as it goes: a gateway that hangs has more calls under way than any timetable tells.
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    setrlimit(Resource::Nofile, raised)
        .context("the limit of open files cannot be raised")
        .map_err(Failure::Unavailable)
}
