//! `switchboard load` as a person runs it: what it prints, how it ends, and that it sees what goes wrong.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cli::text;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `switchboard load` with these words, in the newcomer's folder.
fn load(words: &[&str]) -> Output {
    let home = root().join("target/tmp");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("load").args(words).current_dir(root()).env_clear();
    command.env("HOME", &home).env("XDG_CACHE_HOME", &home);
    for (name, value) in [
        ("OPENAI_API_KEY", "sk-load"),
        ("OPENAI_PROJECT_ID", "proj_load"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_bG9hZA=="),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
        ("TWILIO_AUTH_TOKEN", "load"),
        ("BASE_URL", "https://voice.example.com"),
        ("USE_OPENAI_SIP", "true"),
    ] {
        command.env(name, value);
    }
    command.output().expect("the command runs")
}

/// The same with a result as JSON, which must be there.
fn page(words: &[&str], code: i32) -> Value {
    let output = load(&[&["--format", "json"], words].concat());
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A server that answers every request with this, over and over; gives its address.
fn answering(answer: &'static str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0; 16 << 10];
                while matches!(stream.read(&mut bytes), Ok(1..)) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn calls_on_a_timetable_are_made_measured_and_judged() {
    let report = tempfile::tempdir().expect("a folder");
    let file = report.path().join("load.html");
    let words =
        ["--rate", "20/s", "--for", "1s", "--threshold", "failed<0.1%", "--threshold", "call_max<30s"];
    let page = page(&[&words[..], &["--report", &file.display().to_string()]].concat(), 0);
    assert_eq!(
        (&page["calls"]["started"], &page["calls"]["completed"], &page["calls"]["failed"]),
        (&20.into(), &20.into(), &0.into()),
        "{page:#}"
    );
    for (metric, count) in [
        ("voice", 20),
        ("accept", 20),
        ("accept_scheduled", 20),
        ("webhook", 20),
        ("sideband", 20),
        ("first_word", 20),
        ("tool", 60),
        ("reply", 40),
        ("call", 20),
        ("call_scheduled", 20),
    ] {
        let latency = &page["latency_ms"][metric];
        assert_eq!(latency["count"], count, "{metric}: {page:#}");
        let at = |name: &str| latency[name].as_f64().expect(name);
        assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"), "{metric}: {latency}");
    }
    assert_eq!(page["generator"]["lag_ms"]["count"], 20);
    assert!(
        page["generator"]["is_limit"].is_boolean() && page["target"]["cpu_seconds"].is_number(),
        "{page:#}"
    );
    assert!(page["thresholds"].as_array().expect("thresholds").iter().all(|judged| judged["is_met"] == true));
    let html = std::fs::read_to_string(file).expect("a report");
    assert!(html.contains("<svg") && html.contains("20/s for 1 s") && !html.contains("http"), "{html}");
}

#[test]
fn a_missed_threshold_is_99_and_an_unknown_one_2() {
    let output =
        load(&["--calls", "2", "--concurrency", "1", "--threshold", "call_p50<1ms", "--threshold", "rate>0"]);
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(99), "{said}{told}");
    assert!(said.contains("✗ call_p50<1ms (") && said.contains("✓ rate>0 ("), "{said}");
    assert!(told.contains("error: missed: call_p50<1ms"), "{told}");

    let output = load(&["--threshold", "latency_p99<1s"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for known in
        ["`latency_p99` is no metric", "accept", "sideband", "tool", "reply", "failed", "rate", "_p99"]
    {
        assert!(told.contains(known), "`{known}` is missing in\n{told}");
    }
}

#[test]
fn calls_without_a_carrier_end_as_the_caller_wants_and_are_told_as_csv() {
    let words = ["--calls", "3", "--concurrency", "3", "--no-carrier", "--hang-up", "caller", "--turns", "1"];
    let output = load(&[&words[..], &["--format", "csv"]].concat());
    let (said, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("figure,value,unit"));
    for line in ["started,3,calls", "completed,3,calls", "failed,0,%", "tool_count,3,", "accept_count,3,"] {
        assert!(said.lines().any(|other| other == line), "`{line}` is missing in\n{said}");
    }
    assert!(!said.contains("voice_"), "nobody asked what to do with a caller:\n{said}");
}

#[test]
fn calls_are_held_and_what_each_costs_is_told() {
    let page = page(&["--concurrent", "5", "--hold", "500ms", "--ramp", "50/s"], 0);
    let held = &page["held"];
    assert_eq!((&held["calls"], &held["seconds"]), (&5.into(), &0.5.into()), "{page:#}");
    assert!(held["rss_kib_per_call"].is_number() && held["cores"].is_number(), "{held}");
    assert_eq!((&page["calls"]["completed"], &page["calls"]["peak"]), (&5.into(), &5.into()), "{page:#}");
}

#[test]
fn scenarios_are_played_in_turns_with_the_full_simulators() {
    let folder = "examples/scenarios";
    let lookup = format!("{folder}/japanese-customer-lookup.toml:2");
    let sudden = format!("{folder}/caller-hangs-up-mid-sentence.toml");
    let words =
        ["--calls", "3", "--concurrency", "3", "--speed", "20", "--scenario", &lookup, "--scenario", &sudden];
    let page = page(&words, 0);
    assert_eq!(page["calls"]["completed"], 3, "{page:#}");
    assert_eq!(page["latency_ms"]["accept"]["count"], 3, "{page:#}");
}

#[test]
fn a_scenario_goes_over_the_bridge_too() {
    let page = page(&["--calls", "2", "--concurrency", "2", "--speed", "20", "--path", "media-streams"], 0);
    assert_eq!((&page["calls"]["completed"], &page["calls"]["failed"]), (&2.into(), &0.into()), "{page:#}");
}

#[test]
fn bridged_calls_lose_no_frame() {
    let page = page(&["--streams", "2", "--seconds", "1"], 0);
    let ways = page["audio"]["ways"].as_array().expect("two ways");
    assert_eq!(ways.len(), 2, "{page:#}");
    for way in ways {
        assert!(way["sent"].as_u64().expect("a count") >= 80 && way["lost"] == 0, "{way}");
        assert!(page["latency_ms"][way["metric"].as_str().expect("a name")]["p50"].is_number(), "{page:#}");
    }
}

#[test]
fn what_is_wrong_with_a_target_is_counted_by_kind() {
    let none = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let dead = format!("http://{none}");
    let not_found = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let idle = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let closed = ["--calls", "3", "--concurrency", "3", "--vendors-port", "0", "--timeout", "300ms"];
    for (target, more, kind) in [
        (&dead, &["--wait", "0", "--no-carrier"][..], "webhook_unreachable"),
        (&dead, &["--wait", "0"], "voice_unreachable"),
        (&not_found, &["--no-carrier"], "webhook_status_404"),
        (&not_found, &[], "voice_status_404"),
        (&idle, &["--no-carrier"], "accept_timeout"),
        (&idle, &[], "voice_twiml"),
    ] {
        let page = page(&[&closed[..], &["--gateway", target], more].concat(), 1);
        assert_eq!(page["failures"], serde_json::json!({ kind: 3 }), "{page:#}");
        assert_eq!(page["calls"]["failed_percent"], 100.0);
    }
    let output = load(&["--gateway", &dead, "--vendors-port", "0", "--wait", "1ms"]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output.stderr));
}

#[test]
fn failures_that_a_threshold_allows_are_no_failure_of_the_command() {
    let target = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let words =
        ["--calls", "1", "--concurrency", "1", "--vendors-port", "0", "--no-carrier", "--gateway", &target];
    page(&[&words[..], &["--threshold", "failed<=100%"]].concat(), 0);
    page(&[&words[..], &["--threshold", "failed<1%"]].concat(), 99);
}

#[test]
fn the_environment_for_another_gateway_is_printed() {
    let output = load(&["--print-env", "--vendors-port", "9555"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in
        ["OPENAI_BASE_URL=http://127.0.0.1:9555/v1", "OPENAI_REALTIME_URL=ws://127.0.0.1:9555/v1/realtime"]
    {
        assert!(said.lines().any(|other| other == line), "{said}");
    }
    for name in
        ["OPENAI_API_KEY=", "OPENAI_WEBHOOK_SECRET=whsec_", "TWILIO_AUTH_TOKEN=", "TWILIO_ACCOUNT_SID="]
    {
        assert!(said.lines().any(|line| line.starts_with(name)), "`{name}` is missing in\n{said}");
    }
}

#[test]
fn words_that_do_not_belong_together_are_refused() {
    for words in [
        &["--rate", "20/s", "--calls", "5"][..],
        &["--rate", "0/s"],
        &["--for", "5s"],
        &["--concurrent", "5", "--rate", "1/s"],
        &["--pid", "1"],
        &["--streams", "5", "--gateway", "http://127.0.0.1:1"],
        &["--scenario", "a.toml", "--gateway", "http://127.0.0.1:1"],
        &["--path", "media-streams", "--gateway", "http://127.0.0.1:1"],
    ] {
        let output = load(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output.stderr));
    }
}

/// A process that is gone with this.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two ports that were free a moment ago.
fn ports() -> [u16; 2] {
    let bound = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (one, other) = (bound(), bound());
    [one, other].map(|listener| listener.local_addr().expect("an address").port())
}

#[test]
fn a_gateway_that_runs_already_is_loaded_in_the_printed_environment() {
    let (folder, [vendors, public]) = (tempfile::tempdir().expect("a folder"), ports());
    let vendors = vendors.to_string();
    let printed = text(&load(&["--print-env", "--vendors-port", &vendors]).stdout);
    let home = root().join("target/tmp");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("serve").current_dir(root()).env_clear().env("HOME", &home).env("XDG_CACHE_HOME", &home);
    command.envs(printed.lines().filter_map(|line| line.split_once('=')));
    command.env("SWITCHBOARD__SERVER__LISTEN", format!("127.0.0.1:{public}"));
    command.env("SWITCHBOARD__ADMIN__LISTEN", "127.0.0.1:0");
    command.env("SWITCHBOARD__STORE__PATH", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let serve = Killed(command.spawn().expect("`serve` starts"));
    let (url, pid) = (format!("http://127.0.0.1:{public}"), serve.0.id().to_string());
    let words =
        ["--gateway", &url, "--vendors-port", &vendors, "--pid", &pid, "--calls", "3", "--concurrency", "3"];
    for more in [&["--no-carrier"][..], &[]] {
        let page = page(&[&words[..], more].concat(), 0);
        assert_eq!(page["calls"]["completed"], 3, "{page:#}");
        assert_eq!(page["target"]["pids"], serde_json::json!([serve.0.id()]), "{page:#}");
        assert!(page["target"]["rss_kib_peak"].as_u64().is_some_and(|kib| kib > 1_000), "{page:#}");
    }
}
