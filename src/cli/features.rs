//! `switchboard features`: which path calls take, shown and changed in the running gateway.

use std::path::Path;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::source::Source;
use super::{Failure, print};
use crate::call_control::features::{By, Feature, Features};
use crate::http::{ResetOpenAiSip, SetOpenAiSip, Value};
use crate::routing::Rollout;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which path calls take, and how the paths fare.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have the next calls go over SIP: `true`, `false`, or a share of the callers such as `25%`.
    ///
    /// It holds until `features reset`, also after a restart; calls that run stay where they are.
    OpenaiSip {
        /// The value.
        value: Rollout,
        /// Only for calls of this route; without it for all routes.
        #[arg(long)]
        route: Option<String>,
    },
    /// Back to what the configuration says.
    Reset,
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let gateway = Source::of_gateway(&config)?;
    let features: Features = match arguments.command {
        Command::Show { json } => {
            let features = gateway.ask(Method::GET, "/features", None).await?;
            if json {
                return print(&(serde_json::to_string_pretty(&features)? + "\n"));
            }
            features
        }
        Command::OpenaiSip { value, route } => {
            let body = serde_json::to_string(&SetOpenAiSip {
                value: Value::Text(value.to_string()),
                route,
                by: who(),
            })?;
            gateway.ask(Method::POST, "/features/openai-sip", Some(body)).await?
        }
        Command::Reset => {
            let body = serde_json::to_string(&ResetOpenAiSip { by: who() })?;
            gateway.ask(Method::DELETE, "/features/openai-sip", Some(body)).await?
        }
    };
    print(&as_text(&features))
}

/// Who sits here, as far as the environment tells.
pub(super) fn who() -> Option<By> {
    // Behind `sudo` it is whoever called it.
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    names.filter_map(|name| By::try_from(name).ok()).next()
}

fn as_text(features: &Features) -> String {
    let mut text = format!("openai_sip  {}\n", with_origin(&features.openai_sip));
    for (route, feature) in &features.routes {
        text.push_str(&format!("  route `{route}`  {}\n", with_origin(feature)));
    }
    text.push_str(&format!("failover    {}\n", if features.failover { "on" } else { "off" }));
    for (path, state) in &features.breakers {
        let meaning =
            if state == "open" { ": it failed too often, new calls take the other path" } else { "" };
        text.push_str(&format!("  path {path}  breaker {state}{meaning}\n"));
    }
    text
}

/// The value, who set it, and what it would be otherwise.
fn with_origin(feature: &Feature) -> String {
    let Feature { value, configured, .. } = feature;
    let Some(set) = &feature.set else { return format!("{value} (as the configuration says)") };
    let by = set.by.as_ref().map(|by| format!(" by {}", by.as_str())).unwrap_or_default();
    format!("{value} (set by command at {}{by}; the configuration says {configured})", set.at)
}
