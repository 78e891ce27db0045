//! A plugin that computes long does so on a thread of its own, and everything else is as it was.

use std::time::Duration;

use switchboard::tool::plugin::{Failure, Limits, Settings};

use super::{AMPLE, Sink, call, call_with, from, guests_within, load};
use crate::harness::eventually;

/// The guests under a name that no other test uses: it is the name of their thread.
fn guests(name: &str) -> Settings {
    Settings { name: name.to_owned(), ..guests_within(Limits { time: AMPLE, ..Limits::default() }) }
}

/// How many threads of this process have this name.
fn threads(name: &str) -> usize {
    states(name).len()
}

/// What the threads of this name do: `R` computes, `S` sleeps (proc(5), `stat`).
fn states(name: &str) -> Vec<char> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let state_of = |task: std::io::Result<std::fs::DirEntry>| {
        // A thread may end while the list is read.
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let own = before.split_once(" (").is_some_and(|(_, comm)| comm == name);
        if own { after.chars().next() } else { None }
    };
    tasks.filter_map(state_of).collect()
}

#[tokio::test]
async fn calls_that_compute_long_share_one_thread_that_ends_with_the_plugin() {
    let plugin = load(&guests("long")).await;
    let context = from(None);
    let spin = || plugin.call(&context, "spin", "{}", Duration::from_millis(300));
    // On this test's only thread: each of them leaves it to the others.
    let (one, other, echo) = tokio::join!(spin(), spin(), call_with(&plugin, "echo", "[1]"));
    let late = Err(Failure::Timeout(Duration::from_millis(300)));
    assert_eq!((one, other, echo.as_deref()), (late.clone(), late, Ok("[1]")));
    assert_eq!(threads("plugin-long"), 1);
    drop(plugin);
    eventually("its thread ends", || async { (threads("plugin-long") == 0).then_some(()) }).await;
}

#[tokio::test]
async fn what_is_logged_elsewhere_belongs_to_the_call() {
    let plugin = load(&guests("elsewhere")).await;
    let (sink, _listening) = Sink::listen();
    let _ = plugin.call(&from(None), "spin", "{}", Duration::from_millis(100)).await;
    assert_eq!(threads("plugin-elsewher"), 1, "Linux keeps fifteen bytes of a name");
    // Its last call was long, so this one begins there.
    assert_eq!(call(&plugin, "flood_log").await.as_deref(), Ok("true"));
    assert!(sink.take().contains("a plugin logs more than `limits.log` allows"));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_stopped_elsewhere_too() {
    let plugin = load(&guests("given-up")).await;
    let context = from(None);
    let spin = plugin.call(&context, "spin", "{}", AMPLE);
    assert!(tokio::time::timeout(Duration::from_millis(200), spin).await.is_err(), "nobody waits any more");
    // The loop would go on for half a minute.
    eventually("its thread sleeps", || async { (states("plugin-given-up") == ['S']).then_some(()) }).await;
}
