//! The sheet of `switchboard verify`: each check holds where all is well, and fails where what it is about is broken.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::backend::Backend;
use crate::cli::text;
use crate::harness::{House, Plan};

const SHORT: &str = r#"steps = [
    { model = { says = "さくら商店でございます。", for_ms = 900 } },
    { caller = { says = "注文はいつ届きますか。" } },
    { model = { says = "お調べします。", calls = [{ name = "lookup_customer" }] } },
    { model = { says = "発送済みでございます。" } },
    { hang_up = "caller" },
]"#;

fn run(words: &[&str], environment: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("verify").args(words).env_clear();
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_MANIFEST_DIR"), "/target/tmp"));
    command.envs(environment.iter().map(|(name, value)| (*name, value))).output().expect("the command runs")
}

/// The rows of a sheet by the names of their checks, and whether the command ended well.
fn sheet(output: &Output) -> (Vec<(String, String)>, Value, bool) {
    let page: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", text(&output.stdout), text(&output.stderr)));
    let rows = page["checks"].as_array().expect("rows");
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = rows.iter().map(|row| (word(row, "check"), word(row, "verdict"))).collect();
    (rows, page, output.status.success())
}

/// Beside other work a machine may be late: what is claimed of times is for whoever runs the command alone.
const OF_TIMES: [&str; 2] = ["first-word", "transcript-times"];

#[test]
fn where_all_is_well_each_check_holds() {
    let calls = "webhook,accept,first-word,transcription,tools,recordings,transcript-times,concurrency";
    let (rows, page, _) = sheet(&run(&["--json", "--calls", "3", "--speed", "2", "--only", calls], &[]));
    assert_eq!(rows.iter().map(|(check, _)| check.as_str()).collect::<Vec<_>>().join(","), calls);
    for (check, verdict) in &rows {
        assert!(OF_TIMES.contains(&check.as_str()) || verdict == "passed", "{check}: {page:#}");
    }
    let seen = |check: &str| {
        let mut rows = page["checks"].as_array().into_iter().flatten();
        let row = rows.find(|row| row["check"] == check).expect("a row");
        row["seen"].as_str().expect("words").to_owned()
    };
    assert!(seen("webhook").starts_with("3 of 3; 2 of 2 forged refused"), "{page:#}");
    assert!(seen("tools").starts_with("3 of 3 calls, 6 outputs"), "{page:#}");
    assert!(seen("transcript-times").starts_with("18 lines"), "{page:#}");
    assert!(seen("concurrency").starts_with("3 at once, 3 of 3"), "{page:#}");
}

/// The check fails and says so; others may fail with it.
fn fails_when_broken(check: &str, because: &str) {
    let output = run(&["--json", "--calls", "2", "--speed", "2", "--only", check, "--break", check], &[]);
    let (rows, page, is_well) = sheet(&output);
    assert_eq!(rows, [(check.to_owned(), "failed".to_owned())], "{page:#}");
    assert!(!is_well);
    let wrong = page["checks"][0]["wrong"].to_string();
    assert!(wrong.contains(because), "{wrong}");
}

macro_rules! broken {
    ($($test:ident: $check:literal because $because:literal,)*) => {
        $(#[test]
        fn $test() {
            fails_when_broken($check, $because);
        })*

        #[test]
        fn each_check_is_seen_to_fail() {
            let known = [$($check),*];
            let help = text(&run(&["--help"], &[]).stdout);
            let words = help.split("--break <CHECK>").nth(1).expect("the option");
            let words = words.split("--speed").next().unwrap_or_default();
            let named = words.lines().filter_map(|line| line.trim().strip_prefix("- "));
            let named: Vec<&str> = named.filter_map(|line| line.split(':').next()).collect();
            assert_eq!(named, known);
        }
    };
}

broken! {
    a_forged_webhook_is_noticed: "webhook" because "no webhook of the provider was taken",
    a_refused_accept_is_noticed: "accept" because "accepted 0 times",
    a_late_first_word_is_noticed: "first-word" because "after the answer",
    a_word_too_many_is_noticed: "transcription" because "edits were made up and",
    a_tool_that_is_not_there_is_noticed: "tools" because "unknown_tool",
    a_recording_that_never_comes_is_noticed: "recordings" because "the carrier",
    times_that_are_wrong_are_noticed: "transcript-times" because "of the caller is off by",
    a_gateway_that_is_too_small_is_noticed: "concurrency" because "busy",
    a_caller_who_is_lost_is_noticed: "errors" because "the caller heard",
}

/// Any configuration, where calls are kept in this folder and the world reaches the gateway at this address.
fn own(data: &Path, public_url: &str) -> Vec<(&'static str, String)> {
    let data = data.display().to_string();
    [
        ("SWITCHBOARD__STORE__PATH", data.as_str()),
        ("SWITCHBOARD__SERVER__PUBLIC_URL", public_url),
        ("SWITCHBOARD_CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml")),
        ("OPENAI_API_KEY", "sk-verify"),
        ("OPENAI_PROJECT_ID", "proj_verify"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_dmVyaWZ5"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
        ("TWILIO_AUTH_TOKEN", "verify"),
        ("USE_OPENAI_SIP", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_calls_are_judged_by_what_is_kept() {
    let careful = Backend::answering(401, "").await;
    let careless = Backend::answering(200, "").await;
    let nothing = tempfile::tempdir().expect("a folder");
    let none = run(&["--live"], &own(nothing.path(), &careful.url("")));
    assert!(text(&none.stderr).contains("call your number"), "{}", text(&none.stderr));

    let house = House::with(Plan::default()).await;
    house.call(SHORT).await;
    house.ended_call(house.calls().await[0].id).await;
    let data = house.close().await;
    let words = ["--live", "--json", "--calls", "1"];
    let (rows, page, is_well) = sheet(&run(&words, &own(data.path(), &careful.url(""))));
    let verdicts = [
        ("webhook", "passed"),
        ("accept", "passed"),
        ("transcription", "not_judged"),
        ("tools", "passed"),
        ("recordings", "not_judged"),
        ("transcript-times", "not_judged"),
        ("concurrency", "passed"),
        ("errors", "passed"),
    ];
    let rows: Vec<(&str, &str)> = rows
        .iter()
        .filter(|(check, _)| check != "first-word")
        .map(|(check, verdict)| (check.as_str(), verdict.as_str()))
        .collect();
    assert_eq!(rows, verdicts, "{page:#}");
    assert!(is_well);

    // A gateway that takes what nobody signed, and one that never had two calls at once.
    let (rows, page, is_well) =
        sheet(&run(&["--live", "--json", "--calls", "2"], &own(data.path(), &careless.url(""))));
    let failed: Vec<&str> =
        rows.iter().filter(|(_, verdict)| verdict == "failed").map(|(check, _)| check.as_str()).collect();
    assert_eq!(failed, ["webhook", "concurrency"], "{page:#}");
    assert!(!is_well);
}
