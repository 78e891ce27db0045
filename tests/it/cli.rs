//! The command as a person runs it: what it prints, where, and with which exit code.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the command with these words; the environment is the one of a newcomer, but for what was compiled before.
pub fn switchboard(words: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(words).current_dir(directory).env_clear().env("HOME", directory);
    command.env("XDG_CACHE_HOME", root().join("target/tmp"));
    command.output().expect("the command runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_example_goes_as_it_says_over_either_path() {
    for path in ["sip", "media-streams"] {
        let output = switchboard(&["test", "examples/scenarios", "--path", path], root());
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn a_binary_without_a_repository_plays_the_demo_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = switchboard(&["demo", "--speed", "4"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let story = text(&output.stdout);
    for words in [
        "POST /twilio/voice",
        "realtime.call.incoming",
        "tool call lookup_customer",
        "first word after",
        "ended assistant_hangup over media-streams",
        "path       sip → media-streams: provider_dropped",
    ] {
        assert!(story.contains(words), "`{words}` is missing in\n{story}");
    }
    let left: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(left.is_empty(), "the demo leaves nothing behind: {left:?}");
}

#[test]
fn a_call_that_was_moved_is_shown_with_the_stages_of_each_path() {
    let words = ["demo", "--speed", "4", "--scenario", "examples/scenarios/failover.toml"];
    let output = switchboard(&words, root());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let story = text(&output.stdout);
    for words in ["before     webhook → accept sent", "stages     stream → accept sent"] {
        assert!(story.contains(words), "`{words}` is missing in\n{story}");
    }
}

#[test]
fn a_call_that_does_not_go_as_told_fails_the_demo() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario =
        std::fs::read_to_string(root().join("examples/scenarios/unknown-caller.toml")).expect("a file");
    let wrong = scenario.replace("ended = \"", "ended = \"not_");
    let path = folder.path().join("wrong.toml");
    std::fs::write(&path, wrong).expect("a written file");
    let path = path.display().to_string();
    let output = switchboard(&["demo", "--speed", "20", "--scenario", &path], root());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("not_"), "{}", text(&output.stderr));
}

#[test]
fn a_wrong_configuration_exits_78_and_says_all_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), "[server]\nlisten = 5\n[nonsense]\n").expect("a file");
    for command in ["check", "serve"] {
        let output = switchboard(&[command], folder.path());
        assert_eq!(output.status.code(), Some(78), "{command}");
        let said = text(&output.stderr);
        assert!(said.contains("gateway.toml:2:10") && said.contains("nonsense"), "{said}");
        assert!(output.stdout.is_empty(), "problems are no results");
    }
}

#[test]
fn calls_are_read_without_a_running_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.current_dir(root()).env_clear().env("SWITCHBOARD__STORE__PATH", data);
    for (name, value) in [
        ("OPENAI_API_KEY", "sk-x"),
        ("OPENAI_PROJECT_ID", "proj_x"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
        ("TWILIO_AUTH_TOKEN", "x"),
        ("BASE_URL", "https://voice.example.com"),
    ] {
        command.env(name, value);
    }
    let output = command.args(["calls", "ls", "--json"]).output().expect("the command runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(page["calls"], serde_json::json!([]));
}

#[test]
fn calls_are_exported_as_json_lines_and_csv() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["demo", "--json", "--speed", "20", "--path", "sip", "--keep", "kept"];
    let output = switchboard(&words, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!(page["call"]["lines"].as_array().map(Vec::len), Some(6), "{page:#}");
    std::fs::write(folder.path().join("gateway.toml"), format!("{SERVED}\n[store]\npath = \"kept\"\n"))
        .expect("a file");
    let jsonl = switchboard(&["calls", "export"], folder.path());
    let call: serde_json::Value = serde_json::from_slice(&jsonl.stdout).expect("one JSON object");
    assert_eq!(call["lines"].as_array().map(Vec::len), Some(6), "{call:#}");
    let csv = switchboard(&["calls", "export", "--format", "csv", "--since", "1h"], folder.path());
    let csv = text(&csv.stdout);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("call,began,ended,seconds,from,to,"), "{csv}");
    assert!(
        lines[1].starts_with("call_") && lines[1].contains(",+819012345678,+815012345678,everyone,"),
        "{csv}"
    );
    assert!(lines[1].contains(",assistant_hangup,,6,2,0.04") && lines.len() == 3, "{csv}");
}

#[test]
fn everything_acknowledged_outlives_kills_at_random_moments() {
    let output = switchboard(&["demo", "--pull-the-plug", "--rounds", "4", "--seed", "21"], root());
    let (told, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}\n{complaints}");
    assert!(told.contains("everything that was acknowledged is there"), "{told}");
}

// === a gateway that makes place for the next program ===

/// `serve` in a folder of its own; killed when a test fails.
pub struct Served {
    child: Child,
    folder: tempfile::TempDir,
    log: std::io::Lines<BufReader<ChildStderr>>,
}

pub const SERVED: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://voice.example.com"

[openai]
api_key = "sk-check"
project_id = "proj_check"
webhook_secrets = "whsec_Y2hlY2s="
base_url = "http://127.0.0.1:9/v1"

[telemetry.log]
format = "json"

[sessions.shop]
instructions = "Be kind."
"#;

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start() -> Served {
        let folder = tempfile::tempdir().expect("a folder");
        // A port that nobody else is likely to take: the command must know it before the gateway runs.
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let served = format!("{SERVED}\n[admin]\nlisten = \"127.0.0.1:{port}\"\n");
        std::fs::write(folder.path().join("gateway.toml"), served).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.arg("serve").current_dir(folder.path()).env_clear().env("HOME", folder.path());
        let mut served = Served::of(command, folder);
        served.says("ready");
        served
    }

    pub fn of(mut command: Command, folder: tempfile::TempDir) -> Served {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a process");
        let log = BufReader::new(child.stderr.take().expect("a log")).lines();
        Served { child, folder, log }
    }

    /// Has it become the program at its path, and waits until that is ready.
    pub fn hand_over(&mut self) {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        rustix::process::kill_process(id, rustix::process::Signal::USR2).expect("a signal");
        self.says("ready");
    }

    /// Reads the log up to a line with this message.
    pub fn says(&mut self, message: &str) -> serde_json::Value {
        serde_json::from_str(&self.line(message)).expect("JSON in the log")
    }

    /// The same line as it is written.
    pub fn line(&mut self, message: &str) -> String {
        for line in self.log.by_ref() {
            let line = line.expect("a line");
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON in the log");
            if read["message"] == message {
                return line;
            }
        }
        panic!("the log ended without `{message}`")
    }
}

#[test]
fn a_gateway_makes_place_for_the_program_at_its_path_and_keeps_its_sockets() {
    let mut served = Served::start();
    let handed = switchboard(&["handover"], served.folder.path());
    assert!(handed.status.success(), "{}", text(&handed.stderr));
    assert!(text(&handed.stdout).contains("handed over: "), "{}", text(&handed.stdout));
    assert!(text(&handed.stdout).contains(&format!("process {}", served.child.id())));
    let ready = served.says("ready");
    assert!(ready["public"].as_str().is_some_and(|public| !public.ends_with(":0")), "{ready}");

    // What the next program could not go on with is refused, and nothing changes.
    let config = served.folder.path().join("gateway.toml");
    let good = std::fs::read_to_string(&config).expect("a file");
    let plugin = "[plugins.torn]\npath = \"torn.wasm\"\n";
    std::fs::write(served.folder.path().join("torn.wasm"), b"\0asm").expect("a file");
    std::fs::write(&config, format!("{good}\n{plugin}")).expect("a file");
    let refused = switchboard(&["handover"], served.folder.path());
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("torn"), "{}", text(&refused.stderr));
    served.says("nothing is handed over: the program at our path cannot go on");
    std::fs::write(&config, good).expect("a file");
    let listed = switchboard(&["calls", "ls"], served.folder.path());
    assert!(listed.status.success(), "it serves as before: {}", text(&listed.stderr));

    served.hand_over();
    let id = rustix::process::Pid::from_raw(served.child.id().cast_signed()).expect("a process");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    assert!(served.child.wait().expect("an end").success());
}

#[test]
fn the_demo_of_a_handover_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = ["demo", "--pull-the-plug", "--handover", "--calls", "3"];
    let output = switchboard(&words, folder.path());
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("3 of 3 attached again"), "{}", text(&output.stdout));
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_tries_things_out_needs_no_account_and_sees_every_exchange() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("calls");
    let (words, data) =
        (["dev", "--admin", "127.0.0.1:0", "--speed", "20", "--data"], data.to_str().expect("a path"));
    let mut dev = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    dev.args(words).arg(data).current_dir(root()).env_clear().env("HOME", folder.path());
    dev.env("XDG_CACHE_HOME", root().join("target/tmp")).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut dev = Ended(dev.stderr(Stdio::null()).spawn().expect("it starts"));
    let mut lines = BufReader::new(dev.0.stdout.take().expect("its output")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("the vendors are simulated")), "it says so once it is ready");
    let simulate =
        |words: &[&str]| switchboard(&[&["simulate", "call", "--data", data], words].concat(), root());
    let called = simulate(&[
        "--say",
        "便箋はいつ届きますか。",
        "--tool",
        "lookup_customer",
        "--from",
        "+819012345678",
    ]);
    let told = text(&called.stdout);
    assert!(called.status.success(), "{told}{}", text(&called.stderr));
    for part in
        ["ended caller_hangup over sip", "caller     便箋はいつ届きますか。", "lookup_customer {} → ok"]
    {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    let id = told.lines().next().expect("its id").to_owned();
    let exchanges: Vec<String> = lines.by_ref().take_while(|line| !line.contains("---")).collect();
    for part in ["twilio → gateway  POST /twilio/voice", "openai → gateway  tool call lookup_customer"] {
        assert!(exchanges.iter().any(|line| line.contains(part)), "{part} is not in\n{exchanges:#?}");
    }
    let refused = simulate(&["--script", "Cargo.toml"]);
    assert_eq!(
        (refused.status.code(), text(&refused.stderr).contains("the script cannot be read")),
        (Some(1), true)
    );
    assert!(exchanges.iter().all(|line| !line.contains(&id)), "the line after them names it");
    drop(dev);
    let nobody = simulate(&["--say", "Hello?"]);
    assert_eq!(nobody.status.code(), Some(69), "{}", text(&nobody.stderr));
    assert!(text(&nobody.stderr).contains("run `switchboard dev`"));
}
