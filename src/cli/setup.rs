//! `switchboard setup`: has the vendors send calls here. Without `--apply` it says what it would set, and sets nothing.

use std::path::Path;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::init::placeholders_of;
use super::{Failure, print};
use crate::config::{self, Config, Environment};
use crate::http::{OPENAI_WEBHOOK, TWILIO_STATUS, TWILIO_VOICE};
use crate::openai::endpoints;
use crate::twilio::rest::{Client, Deadlines};

/// The event by which a project's webhook tells of calls (OpenAI, guide "Realtime API with SIP").
pub(super) const CALL_EVENT: &str = "realtime.call.incoming";
/// What our webhook is called among those of the project.
const WEBHOOK_NAME: &str = "switchboard";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add the webhook that tells of calls to the project, where none leads here yet. Its signing secret is shown once:
    /// `switchboard setup openai --apply >> .env` keeps it.
    Openai {
        /// Do it.
        #[arg(long)]
        apply: bool,
    },
    /// Set a number's addresses: voice, fallback and status callback.
    Twilio {
        /// The SID of the number, as Twilio shows it.
        #[arg(long, value_name = "PN…", value_parser = number_sid)]
        number: String,
        /// Who is asked when the gateway does not answer; without it the gateway once more, so that a caller comes back
        /// after a restart.
        #[arg(long, value_name = "URL")]
        fallback_url: Option<String>,
        /// Do it.
        #[arg(long)]
        apply: bool,
    },
}

/// `PN` and 32 hexadecimal digits.
fn number_sid(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("PN").unwrap_or_default();
    match digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(text.to_owned()),
        false => Err("the SID of a number is PN and 32 hexadecimal digits".to_owned()),
    }
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Openai { apply } => openai(path, apply).await,
        Command::Twilio { number, fallback_url, apply } => twilio(path, &number, fallback_url, apply).await,
    }
}

/// The configuration; what this vendor does not need may be missing still.
fn load(path: &Path, unneeded: &[&str]) -> Result<Config, Failure> {
    let environment = Environment::of_process().or(placeholders_of(unneeded));
    let config = config::load(path, &environment).map_err(|problems| Failure::Config(Box::new(problems)))?;
    match config.server.public_url.starts_with("https://") {
        true => Ok(config),
        false => Err(anyhow!(
            "`{}` cannot be reached by vendors: `server.public_url` must begin with https://",
            config.server.public_url
        )
        .into()),
    }
}

async fn openai(path: &Path, apply: bool) -> Result<(), Failure> {
    let config = load(path, &["OPENAI_WEBHOOK_SECRET", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"])?;
    let url = format!("{}{OPENAI_WEBHOOK}", config.server.public_url);
    let found = endpoints::look_up(&config.openai).await?;
    let list = found.endpoints.map_err(|why| Failure::Unavailable(why.into()))?;
    if let Some(known) = list.iter().find(|endpoint| endpoint.url == url) {
        if known.event_types.iter().any(|event| event == CALL_EVENT) {
            eprintln!("nothing to do: {CALL_EVENT} is sent to {url} already");
            return Ok(());
        }
        let message = format!(
            "{url} is a webhook of the project, but not of {CALL_EVENT}: add the event to it at OpenAI"
        );
        return Err(anyhow!(message).into());
    }
    eprintln!("OpenAI, project {}", config.openai.project_id);
    eprintln!("  + webhook `{WEBHOOK_NAME}`: {CALL_EVENT} → {url}");
    if !apply {
        return untouched();
    }
    let added = endpoints::add(&config.openai, WEBHOOK_NAME, &url, CALL_EVENT).await?;
    let secret = added.map_err(|why| Failure::Unavailable(why.into()))?;
    eprintln!("added; its signing secret is shown this once:");
    print(&format!("OPENAI_WEBHOOK_SECRET={}\n", secret.expose()))
}

async fn twilio(path: &Path, number: &str, fallback: Option<String>, apply: bool) -> Result<(), Failure> {
    let config = load(path, &["OPENAI_API_KEY", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"])?;
    let twilio = config.twilio.as_ref();
    let twilio = twilio.ok_or_else(|| anyhow!("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN first"))?;
    let voice = format!("{}{TWILIO_VOICE}", config.server.public_url);
    let status = format!("{}{TWILIO_STATUS}", config.server.public_url);
    let fallback = fallback.unwrap_or_else(|| voice.clone());
    let fields = [
        ("VoiceUrl", voice.as_str()),
        ("VoiceMethod", "POST"),
        ("VoiceFallbackUrl", fallback.as_str()),
        ("VoiceFallbackMethod", "POST"),
        ("StatusCallback", status.as_str()),
        ("StatusCallbackMethod", "POST"),
    ];
    eprintln!("Twilio, account {}, number {number}", twilio.account_sid);
    fields.iter().for_each(|(name, value)| eprintln!("  {name} = {value}"));
    eprintln!("Twilio ignores these where the number belongs to a SIP trunk or to an application.");
    if !apply {
        return untouched();
    }
    let client = Client::new(twilio, Deadlines::default())?;
    client.set_number(number, &fields).await.map_err(|why| Failure::Unavailable(why.into()))?;
    print(&format!("{number} is set\n"))
}

fn untouched() -> Result<(), Failure> {
    eprintln!("nothing was changed: `--apply` does it");
    Ok(())
}
