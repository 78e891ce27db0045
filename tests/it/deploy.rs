//! What operators copy from `deploy/`: it names metrics that exist, and what the page about it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

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
