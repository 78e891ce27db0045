//! What operators set at run time outlives the process too, however it ends: a rollback is not undone by the restart
//! that follows it.

use std::process::Command;
use std::sync::Arc;

use reqwest::Method;
use switchboard::call::record::Path;
use switchboard::clock::{Entropy, SystemClock};
use switchboard::gateway::Gateway;

use super::{Process, Town, caller, plain};
use crate::harness::{Operator, SHORT, configure};

const SET: &str = "/api/v1/features/openai-sip";

/// How a process ends, and the next one begins.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Stopped,
    HandedOver,
}

impl Town {
    async fn next_process(&mut self, end: End) {
        match end {
            End::Killed => self.kill().await,
            End::Stopped => {
                self.process.take().expect("a process").stop().await;
            }
            End::HandedOver => return self.hand_over().await,
        }
        self.start().await;
    }

    /// The next one listens on the sockets of this one.
    async fn hand_over(&mut self) {
        let (gateway, runtime) = self.process.take().expect("a process").parts();
        let (text, environment) = self.config.clone();
        let handing = tokio::task::spawn_blocking(move || {
            let next = runtime.block_on(async {
                let sockets = gateway.hand_over().await;
                let config = configure(&text, environment);
                Gateway::start_on(sockets, config, Arc::new(SystemClock), Entropy::System).await
            });
            Process { gateway: Some(next.expect("a gateway")), runtime: Some(runtime) }
        });
        self.process = Some(handing.await.expect("no panic"));
    }

    /// What `switchboard features` prints, typed by Hana.
    async fn features(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().envs(self.config.1.clone());
        command.env("SWITCHBOARD__ADMIN__LISTEN", self.gateway().admin.to_string()).env("USER", "hana");
        command.arg("features").args(words);
        let running = tokio::task::spawn_blocking(move || command.output());
        let output = running.await.expect("no panic").expect("the command runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn path_of_the_next_call(&self) -> Path {
        self.ring(caller(SHORT)).await.expect("played");
        self.calls().await[0].path
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_by_a_command_holds_until_it_is_taken_back() {
    let mut town = Town::open(plain()).await;
    let as_configured = town.features(&["show"]).await;
    assert!(as_configured.starts_with("openai_sip  true (as the configuration says)\n"), "{as_configured}");

    let set = town.features(&["openai-sip", "false"]).await;
    let first = set.lines().next().unwrap_or_default();
    assert!(first.starts_with("openai_sip  false (set by command at 20"), "{set}");
    assert!(first.ends_with("Z by hana; the configuration says true)"), "{set}");
    for end in [End::Killed, End::Stopped, End::HandedOver] {
        town.next_process(end).await;
        assert_eq!(town.features(&["show"]).await, set, "{end:?}");
    }
    assert_eq!(town.path_of_the_next_call().await, Path::MediaStreams);

    let one = town.features(&["openai-sip", "true", "--route", "all"]).await;
    assert!(one.contains("route `all`  true (set by command at 20"), "{one}");
    town.next_process(End::Killed).await;
    assert_eq!(town.features(&["show"]).await, one);
    assert_eq!(town.path_of_the_next_call().await, Path::Sip);

    assert_eq!(town.features(&["reset"]).await, as_configured);
    town.next_process(End::Killed).await;
    assert_eq!(town.features(&["show"]).await, as_configured);
    assert_eq!(town.path_of_the_next_call().await, Path::Sip);
    // Each change is written down, with whoever made it.
    let journal = std::fs::read_dir(town.data.path().join("journal")).expect("a folder").flat_map(|file| {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("a text");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let changes: Vec<String> = journal.filter(|line| line.contains("features.openai_sip")).collect();
    assert_eq!(changes.len(), 3, "{changes:#?}");
    assert!(changes.iter().all(|line| line.contains("hana")), "{changes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_does_not_hold() {
    let town = Town::open(plain()).await;
    let operator = Operator::at(town.data.path(), town.gateway().admin);
    let (_, before) = operator.get("/api/v1/features").await;
    town.gateway().control().store().clone().close().await.expect("closed");
    for (method, body) in [(Method::POST, r#"{"value": false}"#), (Method::DELETE, "")] {
        let (status, text) = operator.ask(method, SET, body).await;
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("nothing was changed"), "{text}");
    }
    assert_eq!(operator.get("/api/v1/features").await.1, before);
}
