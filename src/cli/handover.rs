//! `switchboard handover`: have the running gateway make place for the program that is at its path now, without a call
//! noticing.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::source::Source;
use super::{Failure, print};
use crate::http::About;

/// How long the new program may take until it answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn run(path: &Path) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let gateway = Source::of_gateway(&config)?;
    let before: About = gateway.ask(Method::GET, "/about", None).await?;
    print("the new program checks the configuration and the plugins …\n")?;
    let _: Value = gateway.ask(Method::POST, "/handover", None).await?;
    let until = Instant::now() + ANSWERS_WITHIN;
    while Instant::now() < until {
        let after: Option<About> = gateway.get("/about").await.ok().flatten();
        if let Some(after) = after.filter(|after| after.since != before.since) {
            return print(&format!(
                "handed over: {} → {}, process {}, {} calls\n",
                before.version, after.version, after.pid, after.calls
            ));
        }
        sleep(ASK_EVERY).await;
    }
    Err(Failure::Unavailable(anyhow!("the new program does not answer: look at the gateway's log")))
}
