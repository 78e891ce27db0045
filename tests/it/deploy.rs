//! What operators copy from `deploy/`: it names metrics that exist, and what the page about it names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All names of metrics in a text, without what a histogram adds.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_name(letter)).filter(|word| word.starts_with("switchboard_"));
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

#[test]
fn alerts_are_about_metrics_that_exist() {
    // Another test holds this page against the program.
    let page = text("docs/operations.md");
    let known = metrics(&page);
    let (alerts, tests) = (text("deploy/prometheus/alerts.yml"), text("deploy/prometheus/alerts.test.yml"));
    let used = metrics(&alerts);
    assert!(used.len() >= 5, "{used:?}");
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
    assert_eq!(used, metrics(&tests), "each is in the test of the alerts, and no other");
    for page in alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")) {
        let (file, anchor) = page.split_once('#').unwrap_or((page, ""));
        let wanted = anchor.replace('-', " ");
        let headings = text(file)
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(str::to_lowercase)
            .collect::<Vec<_>>();
        let is_there = anchor.is_empty()
            || headings.iter().any(|heading| heading.trim_start_matches('#').trim() == wanted);
        assert!(is_there, "{page}");
    }
}

#[test]
fn the_alerts_fire_and_do_not() {
    let ran = Command::new("promtool")
        .args(["test", "rules", "alerts.test.yml"])
        .current_dir(root().join("deploy/prometheus"))
        .output();
    let Ok(output) = ran else {
        eprintln!("skipped: `promtool` is not here (Debian: apt-get install prometheus)");
        return;
    };
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_page_names_files_that_are_there() {
    let page = text("docs/deploy.md");
    let links: Vec<&str> = page.split("](../").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() >= 5, "{links:?}");
    for link in links {
        assert!(root().join(link).is_file(), "{link}");
    }
}

/// Every panel of the dashboard with what it asks Prometheus: its title, expressions and legends.
fn panels() -> Vec<(String, Vec<(String, String)>)> {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/switchboard.json")).expect("JSON");
    let panels =
        dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row");
    let said = |value: &Value| value.as_str().expect("a text").to_owned();
    panels
        .map(|panel| {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
            let targets = panel["targets"].as_array().expect("targets").iter();
            let targets = targets.map(|target| (said(&target["expr"]), said(&target["legendFormat"])));
            (said(&panel["title"]), targets.collect())
        })
        .collect()
}

#[test]
fn the_dashboard_is_about_metrics_and_labels_that_exist() {
    // Another test holds this page against the program.
    let page = text("docs/operations.md");
    let rows = page.lines().filter(|line| line.starts_with("| `switchboard_"));
    let labels: BTreeMap<&str, BTreeSet<&str>> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1);
            let name = cells.next().expect("a name").trim().trim_matches('`');
            (name, cells.next().expect("labels").split('`').skip(1).step_by(2).collect())
        })
        .collect();
    let panels = panels();
    assert!(panels.len() >= 20, "{}", panels.len());
    for (title, targets) in &panels {
        assert!(!targets.is_empty(), "{title}");
        for (expression, legend) in targets {
            let used = metrics(expression);
            assert!(!used.is_empty(), "{title}: {expression}");
            let shown = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            for metric in used {
                let known = labels.get(metric).unwrap_or_else(|| panic!("{title}: no metric {metric}"));
                let unknown: Vec<_> = shown.clone().filter(|label| !known.contains(label)).collect();
                assert!(unknown.is_empty(), "{title}: {metric} has no {unknown:?}");
            }
            for label in shown {
                assert!(expression.contains(" by ("), "{title}: `{label}` is summed away");
            }
        }
    }
    let shown: BTreeSet<&str> =
        panels.iter().flat_map(|(_, targets)| targets).flat_map(|(e, _)| metrics(e)).collect();
    // Nothing is out of order where a compiled plugin is not found.
    let left_out: Vec<_> = labels.keys().filter(|name| !shown.contains(*name)).collect();
    assert_eq!(left_out, [&"switchboard_plugin_cache_total"], "a new metric has its place in the dashboard");
}

#[test]
fn prometheus_can_read_what_the_dashboard_asks() {
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (n, (expression, _)) in panels().iter().flat_map(|(_, targets)| targets).enumerate() {
        // Grafana puts the span in.
        let expression = expression.replace("$__rate_interval", "5m");
        rules.push_str(&format!("  - record: dashboard:panel:n{n}\n    expr: {}\n", Value::from(expression)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    fs::write(&file, rules).expect("a file");
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(&file).output() else {
        eprintln!("skipped: `promtool` is not here (Debian: apt-get install prometheus)");
        return;
    };
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
