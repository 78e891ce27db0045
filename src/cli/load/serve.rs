//! `switchboard serve` in a process of its own, so that what is measured is the gateway and nothing else.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::call::record::CallRecord;
use crate::http::{About, Page};

/// How long the child may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// `switchboard serve` in a process of its own.
pub(in crate::cli) struct Serve {
    child: Child,
    /// Where its public listener is.
    pub public: String,
    admin: String,
    token: String,
}

impl Serve {
    /// Starts it with this environment, whose later names win, and waits until it is ready.
    pub async fn start(environment: Vec<(String, String)>, data: &Path) -> anyhow::Result<Serve> {
        let started = Serve::start_within(READY_WITHIN, environment, data).await?;
        started.context("`serve` is not ready")
    }

    /// The same, given up after a while: then it is killed, and gone when this returns.
    pub async fn start_within(
        within: Duration,
        environment: Vec<(String, String)>,
        data: &Path,
    ) -> anyhow::Result<Option<Serve>> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut command = Command::new(program);
        command.arg("serve").env("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:0").envs(environment);
        command.env("SWITCHBOARD__SERVER__MAX_CALLS", "100000");
        command.env("SWITCHBOARD__ADMIN__LISTEN", "127.0.0.1:0");
        command.env("SWITCHBOARD__STORE__PATH", data);
        command.env("SWITCHBOARD__TELEMETRY__LOG__LEVEL", "info");
        command.env("SWITCHBOARD__TELEMETRY__LOG__FORMAT", "json");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("`serve` cannot be started")?;
        let stderr = child.stderr.take().context("`serve` has no log")?;
        let mut lines = BufReader::new(stderr).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else {
                    eprintln!("{line}");
                    continue;
                };
                if line["message"] == "ready" {
                    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                    return Ok((text("public"), text("admin")));
                }
            }
            bail!("`serve` ended before it was ready")
        };
        let Ok(ready) = tokio::time::timeout(within, ready).await else {
            child.kill().await?;
            return Ok(None);
        };
        let (public, admin) = ready?;
        // The log must be read, or the child would wait for somebody to.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let token = std::fs::read_to_string(data.join(crate::gateway::ADMIN_TOKEN_FILE))?.trim().to_owned();
        Ok(Some(Serve { child, public, admin, token }))
    }

    /// The newest records, once that many are closed.
    pub async fn records(&self, count: u32) -> anyhow::Result<Vec<CallRecord>> {
        for _ in 0..100 {
            let records = self.newest(count).await?;
            if records.iter().all(|record| record.ended.is_some()) {
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("not all calls were closed")
    }

    /// The newest records as they are, at most that many.
    pub async fn newest(&self, count: u32) -> anyhow::Result<Vec<CallRecord>> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut records: Vec<CallRecord> = Vec::new();
        let mut after = String::new();
        while records.len() < count as usize {
            let url = format!("http://{}/api/v1/calls?limit=200{after}", self.admin);
            let page: Page =
                client.get(url).bearer_auth(&self.token).send().await?.error_for_status()?.json().await?;
            records.extend(page.calls);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        records.truncate(count as usize);
        Ok(records)
    }

    /// Has it make place for the same program, and waits until that answers.
    pub async fn hand_over(&mut self) -> anyhow::Result<()> {
        let before = self.about().await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/api/v1/handover", self.admin);
        let asked = client.post(url).bearer_auth(&self.token).send().await?;
        if !asked.status().is_success() {
            bail!("nothing is handed over: {}", asked.text().await?);
        }
        let answers = async {
            while !self.about().await.is_ok_and(|after| after.since != before.since) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, answers).await.context("the next program does not answer")
    }

    async fn about(&self) -> anyhow::Result<About> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/api/v1/about", self.admin);
        Ok(client.get(url).bearer_auth(&self.token).send().await?.error_for_status()?.json().await?)
    }

    /// Ends it at once, without a word.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("`serve` cannot be killed")
    }

    /// The process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && let Some(id) = rustix::process::Pid::from_raw(id)
        {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        tokio::time::timeout(Duration::from_secs(30), self.child.wait())
            .await
            .context("`serve` does not stop")??;
        Ok(())
    }
}
