//! A plugin that fails again and again is left alone for a while, with an honest word at once; and every
//! call into it is counted.

use std::sync::Arc;
use std::time::Duration;

use switchboard::metrics::Metrics;
use switchboard::tool::breaker;
use switchboard::tool::plugin::{Failure, Host, HostSettings, NothingKept, Plugin, Settings};

use super::{call, settings};
use crate::harness::eventually;

/// A plugin on a machine with metrics of its own.
async fn plugin(breaker: Option<breaker::Settings>) -> (Plugin, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let host = Host::new(&HostSettings { instances_max: 4, ..HostSettings::default() }).expect("a machine");
    let host = host.counting_in(Arc::clone(&metrics));
    let settings = Settings { breaker, ..settings("test-guests") };
    let plugin = host.load(&settings, Some(Arc::new(NothingKept))).await.expect("a plugin");
    (plugin, metrics)
}

fn after(failures: u32, open_for: Duration) -> Option<breaker::Settings> {
    Some(breaker::Settings { failures, open_for })
}

/// The value of a line of the metrics; 0 when it is not there.
fn value(metrics: &Metrics, line: &str) -> f64 {
    let text = metrics.text();
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

const OPEN: &str = r#"switchboard_plugin_breaker_open{plugin="test-guests"}"#;

fn calls(metrics: &Metrics, outcome: &str) -> f64 {
    value(metrics, &format!(r#"switchboard_plugin_calls_total{{plugin="test-guests",outcome="{outcome}"}}"#))
}

#[tokio::test]
async fn a_plugin_that_fails_in_a_row_is_left_alone_and_then_tried_again() {
    let (plugin, metrics) = plugin(after(3, Duration::from_millis(300))).await;
    for tool in ["trap", "not_json"] {
        call(&plugin, tool).await.expect_err("it fails");
    }
    call(&plugin, "echo").await.expect("a success begins the row anew");
    for tool in ["trap", "fail_inside"] {
        call(&plugin, tool).await.expect_err("it fails");
    }
    assert!(!plugin.is_resting());
    call(&plugin, "not_json").await.expect_err("the third in a row");
    assert!(plugin.is_resting());
    assert_eq!(value(&metrics, OPEN), 1.0);
    let left_alone = call(&plugin, "echo").await;
    assert_eq!(left_alone, Err(Failure::Unavailable("it is out of order for the moment".to_owned())));
    assert_eq!(calls(&metrics, "breaker_open"), 1.0);

    eventually("it is tried again", || async { call(&plugin, "echo").await.ok() }).await;
    assert!(!plugin.is_resting());
    assert_eq!((value(&metrics, OPEN), calls(&metrics, "trapped"), calls(&metrics, "ok")), (0.0, 2.0, 2.0));
    let count = value(&metrics, r#"switchboard_plugin_call_seconds_count{plugin="test-guests"}"#);
    assert_eq!(count, 7.0 + calls(&metrics, "breaker_open"));
}

#[tokio::test]
async fn an_honest_no_is_no_failure() {
    let (plugin, metrics) = plugin(after(1, Duration::from_secs(60))).await;
    for tool in ["say_not_found", "no_such_tool", "say_not_found"] {
        call(&plugin, tool).await.expect_err("it says no");
    }
    call(&plugin, "echo").await.expect("it is called all the same");
    let counted = ["not_found", "unknown_tool", "ok"].map(|outcome| calls(&metrics, outcome));
    assert_eq!(counted, [2.0, 1.0, 1.0]);
    call(&plugin, "trap").await.expect_err("it fails");
    assert!(plugin.is_resting());
    drop(plugin);
    assert_eq!(value(&metrics, OPEN), 0.0, "a version that is gone is not counted as open");
}

#[tokio::test]
async fn a_breaker_that_is_off_never_opens() {
    let (plugin, metrics) = plugin(None).await;
    for _ in 0..20 {
        assert!(matches!(call(&plugin, "trap").await, Err(Failure::Trapped(_))));
    }
    assert!(!plugin.is_resting());
    assert_eq!((calls(&metrics, "trapped"), value(&metrics, OPEN)), (20.0, 0.0));
}
