//! `switchboard support-bundle`: what a stranger needs to help, in one archive that a person can read before sending it.
//!
//! No secret, no whole telephone number and no word of a caller is in it. So nothing is copied: of calls and requests only
//! figures, names of ours and the vendors' ids are taken ([`figures`]), and in everything else numbers are masked and
//! what operators filled in is hidden ([`clean`]). What cannot be read is told in its place; only the archive must be written.

mod clean;
mod figures;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::source::Source;
use super::{Failure, check, doctor, notifications, print};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{self, Config, Environment};

/// How long one answer of the gateway is waited for: it may be why help is needed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How many notifications are listed.
const NOTIFICATIONS: usize = 200;

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The archive to write (`.tar.gz`), which must not be there yet; without it one is named after the time.
    file: Option<PathBuf>,
    /// How many of the last calls, at most 200.
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(0..=200))]
    calls: u16,
}

/// A file of the bundle.
struct Part {
    name: &'static str,
    /// What is in it, for whoever reads the list.
    what: &'static str,
    text: String,
}

#[derive(Default)]
struct Bundle(Vec<Part>);

impl Bundle {
    /// Puts a file in, or why it cannot be made.
    fn put(&mut self, name: &'static str, what: &'static str, text: Result<String, Failure>) {
        let text = text.unwrap_or_else(|failure| {
            let error = failure.into_error();
            clean::text(&format!("this could not be read: {}\n", crate::text::chain(error.as_ref())))
        });
        self.0.push(Part { name, what, text });
    }
}

pub(super) async fn run(path: &Path, arguments: Arguments) -> Result<(), Failure> {
    let now = SystemClock.now();
    let file = arguments.file.unwrap_or_else(|| named_after(now));
    let mut bundle = Bundle::default();
    bundle.put("version.json", "this program and this machine", Ok(pretty(&version(now))));
    match config::load(path, &Environment::of_process()) {
        Ok(config) => collect(&mut bundle, path, &config, arguments.calls).await?,
        Err(problems) => {
            let what = "why the configuration is refused; without one nothing else could be looked at";
            bundle.put("check.txt", what, Ok(clean::text(&problems.render(false))));
        }
    }
    let readme = readme(&bundle.0);
    bundle.0.insert(0, Part { name: "README.txt", what: "what is in here, and what is not", text: readme });
    write(&file, &bundle.0, now).map_err(Failure::Failed)?;
    let lines =
        bundle.0.iter().map(|part| format!("  {:<18} {:>8}  {}\n", part.name, part.text.len(), part.what));
    print(&lines.collect::<String>())?;
    eprintln!(
        "written to {0}. Read it before you send it: `tar -xzf {0}` makes a folder of plain text files",
        file.display()
    );
    Ok(())
}

async fn collect(bundle: &mut Bundle, path: &Path, config: &Config, calls: u16) -> Result<(), Failure> {
    let toolbox = check::toolbox(config, &check::nothing_kept, None).await;
    let checked = match &toolbox {
        Ok((tools, unused)) => {
            let warnings = config.warnings.render(false) + &unused.render(false);
            clean::text(&format!("{warnings}{}\n", check::good(path, config, tools)))
        }
        Err(Failure::Config(problems)) => clean::text(&problems.render(false)),
        Err(_) => "the plugins could not be loaded\n".to_owned(),
    };
    bundle.put("check.txt", "what `check` says", Ok(checked));
    let entries = json!(config.entries);
    bundle.put(
        "config.txt",
        "the file's configuration, every value with where it came from",
        Ok(clean::config(&entries)),
    );
    if !config.store.path.exists() {
        let missing =
            Err(anyhow!("{} is not there: no gateway ever ran", config.store.path.display()).into());
        bundle.put("doctor.txt", "what `doctor` says of the data directory", missing);
        return Ok(());
    }
    let findings = doctor::in_store(config, false).await;
    let findings = findings.map(|findings| doctor::as_text(&config.store.path, &findings));
    bundle.put("doctor.txt", "what `doctor` says of the data directory", findings);
    let source = match Source::open(config).await {
        Ok(source) => source.masked(),
        Err(failure) => {
            bundle.put("calls.json", "the last calls", Err(failure));
            return Ok(());
        }
    };
    if let Source::Gateway { .. } = &source {
        of_gateway(bundle, &source).await;
    } else {
        let routes: Vec<Value> = config
            .routes
            .iter()
            .map(|route| json!({ "name": route.name, "match": route.when.to_string() }))
            .collect();
        bundle.put("routes.json", "routes in their order", Ok(pretty(&clean::json(json!(routes)))));
        if let Ok((tools, _)) = &toolbox {
            let tools: Vec<Value> = tools
                .tools()
                .map(|tool| json!({ "name": tool.definition.name, "from": tool.origin.to_string() }))
                .collect();
            bundle.put("tools.json", "tools", Ok(pretty(&clean::json(json!(tools)))));
        }
    }
    let kept =
        within(figures::of_calls(&source, calls)).await.map(|calls| pretty(&json!({ "calls": calls })));
    bundle.put("calls.json", "the last calls: figures, stages and reasons, no words", kept);
    let told = within(notifications::list(&source, Some(config), None, None, NOTIFICATIONS)).await;
    let told = told.and_then(|list| Ok(pretty(&clean::json(serde_json::to_value(list)?))));
    bundle.put("notifications.json", "what other systems were not told of calls", told);
    if let Source::Store(store) = source {
        store.close().await?;
    }
    Ok(())
}

/// What only the running process knows.
async fn of_gateway(bundle: &mut Bundle, gateway: &Source) {
    let ask = async |path: &str| within(gateway.ask::<Value>(Method::GET, path, None)).await;
    let running = ask("/config").await.map(|config| clean::config(&config["entries"]));
    bundle.put("config-running.txt", "the configuration that the running gateway follows", running);
    for (name, what, path) in [
        ("health.json", "how the gateway fares", "/health"),
        ("features.json", "which path calls take", "/features"),
        ("plugins.json", "plugins as new calls get them", "/plugins"),
        ("tools.json", "tools, and how they fare", "/tools"),
        ("routes.json", "routes in their order", "/routes"),
    ] {
        bundle.put(name, what, ask(path).await.map(|answer| pretty(&clean::json(answer))));
    }
    bundle.put("metrics.txt", "all metrics", within(gateway.metrics()).await);
    let webhooks = ask("/webhooks").await.map(|answer| pretty(&figures::of_webhooks(&answer)));
    bundle.put("webhooks.json", "what carrier and provider sent lately, without bodies", webhooks);
}

async fn within<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = || anyhow!("no answer came within {} s", ANSWER_WITHIN.as_secs());
    timeout(ANSWER_WITHIN, answer).await.unwrap_or_else(|_| Err(late().into()))
}

fn version(now: Timestamp) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "debug": cfg!(debug_assertions),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cores": std::thread::available_parallelism().map(usize::from).ok(),
        "written_at": now.to_string(),
    })
}

fn readme(parts: &[Part]) -> String {
    let parts: String = parts.iter().map(|part| format!("  {:<18}  {}\n", part.name, part.what)).collect();
    format!(
        "A support bundle of Switchboard {}.\n\n{parts}\n\
         Not in here: secrets, whole telephone numbers, and words of callers, of the assistant and of tools. Values that\n\
         operators name themselves (variables, headers, a plugin's config) are hidden whole. What could not be read says so in its file.\n\n\
         There is no log: the gateway writes it to its standard error and keeps no file. With systemd,\n\
         `journalctl -u switchboard -n 500` has the last lines; they hold no numbers and no words of callers.\n\n\
         Names of routes, sessions, tools and hosts are yours, and so are the instructions in config.txt: look whether you mind.\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn named_after(now: Timestamp) -> PathBuf {
    let name: String = now.to_string().chars().take_while(|letter| *letter != '.').collect();
    let name: String = name.chars().filter(|letter| !matches!(letter, ':' | '-' | 'Z')).collect();
    PathBuf::from(format!("switchboard-support-{name}.tar.gz"))
}

fn write(path: &Path, parts: &[Part], now: Timestamp) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(part.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now.as_millis() / 1_000);
        archive.append_data(
            &mut header,
            format!("switchboard-support/{}", part.name),
            part.text.as_bytes(),
        )?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    Ok(())
}

/// JSON for people.
fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
