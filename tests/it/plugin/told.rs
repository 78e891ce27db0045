//! What an operator is told of each attack: the lines of the log, as a file.
//!
//! `tests/fixtures/plugins/attacks.log` is what stands in the log, without times. After a wanted change
//! `BLESS=1 cargo test --test it plugin::told` writes it anew.

use std::time::Duration;

use switchboard::tool::Toolbox;
use switchboard::tool::plugin::{Limits, Plugin};

use super::greedy::{STDOUT, flood, load_by_hand, wasi};
use super::toolbox::{run, session};
use super::{AMPLE, Sink, differs, guests_within, load};

/// So much may be used up; a loop would go on for ever, so that the time can be short.
fn limits(time: Duration) -> Limits {
    Limits { time, memory_bytes: 8 << 20, ..Limits::default() }
}

/// The warnings and errors that a call of the tool leaves in the log, from the level on.
async fn logged(plugin: Plugin, tool: &str) -> String {
    let (toolbox, session) = (Toolbox::new([plugin]).expect("a toolbox"), session(&["*"]));
    let (sink, _listening) = Sink::listen();
    run(&toolbox, &session, tool, "{}").await;
    let lines = sink.take();
    let told =
        lines.lines().filter_map(|line| line.find(" WARN ").or(line.find("ERROR ")).map(|at| &line[at..]));
    told.map(|line| format!("{}\n", line.trim())).collect()
}

#[tokio::test]
async fn an_operator_reads_which_plugin_did_what_and_which_key_allows_more() {
    let short = load(&guests_within(limits(Duration::from_millis(100)))).await;
    let patient = load(&guests_within(limits(AMPLE))).await;
    let roomy = load(&guests_within(Limits { memory_bytes: 256 << 20, ..limits(AMPLE) })).await;
    let by_hand = load_by_hand(wasi(|all| flood(all, STDOUT), "true"), limits(AMPLE)).await;
    let mut told = String::new();
    for (plugin, tool, key) in [
        (&short, "spin", Some("plugins.test-guests.limits.time")),
        (&short, "spin_in_host", Some("plugins.test-guests.limits.time")),
        (&patient, "eat_memory", Some("plugins.test-guests.limits.memory")),
        (&patient, "recurse", Some("sandbox.stack")),
        (&patient, "trap", None),
        (&roomy, "huge_answer", Some("plugins.test-guests.limits.output")),
        (&patient, "not_json", None),
        (&patient, "fail_inside", None),
        (&patient, "flood_log", Some("plugins.test-guests.limits.log")),
        (&by_hand, "attack", Some("plugins.by-hand.limits.log")),
    ] {
        let lines = logged(plugin.clone(), tool).await;
        let named = format!("plugin=\"{}\"", plugin.name());
        assert!(lines.contains(&named) && lines.contains(&format!("\"{tool}\"")), "{tool}: {lines}");
        assert!(key.is_none_or(|key| lines.contains(&format!("key=\"{key}\""))), "{tool}: {lines}");
        told += &lines;
    }
    let held = differs("attacks.log", &told);
    assert!(held.is_none(), "{told}\nBLESS=1 accepts this");
}
