//! The documentation tells the truth: links lead somewhere, lists are whole, commands exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::schema_for;
use switchboard::call::record::{EndedReason, ToolOutcomeKind};
use switchboard::cli::catalogue::{self, Kind};
use switchboard::http::{OPENAI_WEBHOOK, TWILIO_DIAL_RESULT, TWILIO_RECORDING, TWILIO_STATUS, TWILIO_VOICE};
use switchboard::metrics::Metrics;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Markdown files of the repository that are not built.
fn pages() -> Vec<PathBuf> {
    let mut pages =
        vec![root().join("README.md"), root().join("ARCHITECTURE.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "docs/plugins"] {
        for entry in std::fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a readable page");
        let folder = page.parent().expect("a folder");
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            assert!(target.exists(), "{}: `{link}` leads nowhere", page.display());
            let is_there = anchor.is_empty() || anchors(&target).contains(anchor);
            assert!(is_there, "{}: `{link}` leads to no heading", page.display());
        }
    }
}

/// The names of a page's headings, as mdBook and code forges make them: letters, digits, `-` and `_`, in small letters.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(page).expect("a readable page");
    let mut is_in_fence = false;
    let headings = text.lines().filter(|line| {
        is_in_fence ^= line.starts_with("```");
        !is_in_fence && line.starts_with('#')
    });
    let name = |heading: &str| {
        let letters = heading.trim_start_matches('#').trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter),
            _ => None,
        });
        letters.collect::<String>().to_lowercase()
    };
    headings.map(name).collect()
}

#[test]
fn what_alerts_lead_to_is_there() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let runbooks: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).collect();
    for runbook in &runbooks {
        let (file, anchor) = runbook.split_once('#').unwrap_or((runbook, ""));
        let is_there = anchor.is_empty() || anchors(&root().join(file)).contains(anchor);
        assert!(is_there, "alerts.yml: `{runbook}` leads to no heading");
    }
    assert!(!runbooks.is_empty());
}

#[test]
fn the_book_has_every_page_once() {
    let summary = read("docs/SUMMARY.md");
    let mut listed: Vec<PathBuf> = links(&summary).map(|link| root().join("docs").join(link)).collect();
    let mut written: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|page| page.starts_with(root().join("docs")) && !page.ends_with("SUMMARY.md"))
        .collect();
    listed.sort();
    written.sort();
    assert_eq!(listed, written, "docs/SUMMARY.md lists each page once");
}

#[test]
fn the_book_is_read_as_mdbook_reads_it() {
    let book: toml::Table = read("docs/book.toml").parse().expect("TOML");
    assert_eq!(book["book"]["src"].as_str(), Some("."), "the pages are where they are");
    let mut depth = 0;
    for line in read("docs/SUMMARY.md").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let chapter = line.trim_start();
        let now = line.len() - chapter.len();
        let is_list = chapter.starts_with("- [") || (now == 0 && chapter.starts_with('['));
        assert!(
            is_list && chapter.ends_with(".md)") && now % 2 == 0 && now <= depth + 2,
            "SUMMARY.md: {line}"
        );
        depth = now;
    }
}

/// Where the links of a page lead to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn the_map_names_files_that_exist() {
    let map = read("ARCHITECTURE.md");
    let table = map.split("## Where is").nth(1).expect("the table").split("\n## ").next().expect("its end");
    for name in table.split('`').skip(1).step_by(2).filter(|name| name.contains('/') || name.ends_with(".rs"))
    {
        let exists = root().join(name).exists() || root().join("src").join(name).exists();
        assert!(exists, "ARCHITECTURE.md names `{name}`, which does not exist");
    }
}

#[test]
fn every_metric_is_listed_and_every_listed_metric_exists() {
    let metrics = Metrics::new();
    metrics.webhook("openai", "taken");
    metrics.call_ended(Some("route"), "caller_hangup", None);
    metrics.tool_call("tool", "ok", std::time::Duration::ZERO);
    metrics.call_refused("max_calls");
    metrics.traces("sent", 1);
    metrics.transfer("answered");
    metrics.call_erased("operator");
    metrics.recording("kept");
    metrics.recording_delayed("full");
    metrics.notification("crm", "delivered");
    metrics.notifications_waiting("crm", 1, std::time::Duration::ZERO, false);
    metrics.plugin_call("plugin", "ok", std::time::Duration::ZERO);
    metrics.plugin_breaker("plugin", true);
    metrics.plugin_hook_late("plugin");
    metrics.plugin_reloaded("plugin", "loaded");
    metrics.config_reloaded(true);
    metrics.plugin_cached("hit");
    metrics.call_moved("sip", "media-streams", "accept_failed");
    metrics.path_breaker("sip", true);
    metrics.call_taken_up(switchboard::call::record::Path::Sip);
    metrics.plugin_hook_late("plugin");
    let text = metrics.text();
    let page = read("docs/operations.md");
    let existing: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in &existing {
        let listed = page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}_total`"));
        assert!(listed, "docs/operations.md does not list {name}");
    }
    for name in page.split("| `switchboard_").skip(1).filter_map(|rest| rest.split('`').next()) {
        let name = format!("switchboard_{}", name.trim_end_matches("_total"));
        assert!(existing.contains(&name.as_str()), "docs/operations.md lists {name}, which does not exist");
    }
}

#[test]
fn every_code_has_a_cause_and_a_remedy() {
    let all = catalogue::all();
    for (at, entry) in all.iter().enumerate() {
        for text in [entry.cause, entry.fix] {
            let is_sentence = text.len() > 3 && text.trim_end_matches('`').ends_with(['.', '?']);
            assert!(is_sentence, "{}: `{text}` says nothing", entry.code);
            let is_cell = entry.kind == Kind::Config || !text.contains('|');
            assert!(is_cell, "{}: `{text}` breaks its table", entry.code);
        }
        let is_new = all[..at].iter().all(|other| other != entry);
        assert!(is_new, "{} is there twice", entry.code);
    }
    for kind in Kind::ALL {
        assert!(all.iter().any(|entry| entry.kind == kind), "nothing of {kind:?} is explained");
    }
}

#[test]
fn every_word_of_the_records_is_explained() {
    let explained = |kind| -> BTreeSet<&str> {
        catalogue::all().into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.code).collect()
    };
    let (ended, tools) = (words_of(&schema_for!(EndedReason)), words_of(&schema_for!(ToolOutcomeKind)));
    assert_eq!(explained(Kind::Ended), ended.iter().map(String::as_str).collect());
    assert_eq!(explained(Kind::Tool), tools.iter().map(String::as_str).collect());
}

/// The words that a type without contents is written as.
fn words_of(schema: &schemars::Schema) -> BTreeSet<String> {
    let one_of = schema.get("oneOf").and_then(|list| list.as_array()).expect("one of several words");
    let words = one_of.iter().flat_map(|one| match one.get("enum").and_then(|list| list.as_array()) {
        Some(list) => list.clone(),
        None => vec![one["const"].clone()],
    });
    words.map(|word| word.as_str().expect("a word").to_owned()).collect()
}

#[test]
fn the_doors_stand_in_the_readme_and_the_runbook() {
    let (readme, runbook) = (read("README.md"), read("docs/operations.md"));
    for path in [OPENAI_WEBHOOK, TWILIO_VOICE, TWILIO_STATUS] {
        assert!(readme.contains(path), "README.md does not name {path}");
    }
    for path in [OPENAI_WEBHOOK, TWILIO_VOICE, TWILIO_STATUS, TWILIO_DIAL_RESULT, TWILIO_RECORDING] {
        assert!(runbook.contains(path), "docs/operations.md does not name {path}");
    }
}

#[test]
fn the_readme_is_one_screen_and_its_commands_are_what_ci_runs() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= 110, "the README has {} lines", readme.lines().count());
    let ci = read(".ci/run");
    for (command, in_ci) in [("cargo run -- demo", "cargo run --quiet -- demo"), ("cargo test", "cargo test")]
    {
        assert!(readme.contains(&format!("    {command}\n")), "README.md does not tell to run `{command}`");
        assert!(ci.contains(in_ci), ".ci/run does not run `{in_ci}`");
    }
    for secret in [
        "OPENAI_API_KEY",
        "OPENAI_PROJECT_ID",
        "OPENAI_WEBHOOK_SECRET",
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "BASE_URL",
        "USE_OPENAI_SIP",
    ] {
        assert!(readme.contains(secret), "README.md does not name {secret}");
    }
}

#[test]
fn every_test_that_is_said_to_show_a_fault_exists() {
    let page = read("docs/faults.md");
    let named = page.split('`').filter(|word| word.contains("::") && !word.contains(' '));
    let mut count = 0;
    for word in named {
        let (rooms, test) = word.rsplit_once("::").expect("a path");
        let file = format!("tests/it/{}.rs", rooms.replace("::", "/"));
        let text = read(&file);
        assert!(test.is_empty() || text.contains(&format!("fn {test}(")), "{file} has no test `{test}`");
        count += 1;
    }
    assert!(count > 30, "only {count} tests are named");
}
