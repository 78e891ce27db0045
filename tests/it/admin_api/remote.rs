//! The command line as a client of a gateway elsewhere, and tokens made by it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::Value;
use switchboard::http::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Office, token_of};
use crate::cli::{switchboard, text};
use crate::harness::{CALLER, SHORT, configure, place};

/// Runs the command with a token of this role, from a folder without a configuration.
async fn run(office: &Office, role: Role, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), token_of(role)).expect("a file");
    let url = format!("http://{}", office.house.gateway.admin);
    let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    all.extend(["--remote", &url, "--token-file", "token"].map(str::to_owned));
    let command = move || {
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        switchboard(&words, folder.path())
    };
    tokio::task::spawn_blocking(command).await.expect("the command runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_read_and_erased_from_afar_as_far_as_the_role_goes() {
    let office = Office::open("").await;
    office.house.call(SHORT).await;
    let id = office.house.ended().await.call.id.to_string();
    let listed = run(&office, Role::Listener, &["calls", "ls", "--format", "json"]).await;
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let page: Value = serde_json::from_str(&text(&listed.stdout)).expect("JSON");
    assert_eq!((&page["calls"][0]["id"], &page["calls"][0]["caller"]), (&id.as_str().into(), &CALLER.into()));
    let masked = run(&office, Role::Viewer, &["calls", "ls"]).await;
    assert!(text(&masked.stdout).contains("+81•••••5678"), "{}", text(&masked.stdout));
    let shown = run(&office, Role::Listener, &["calls", "show", &id]).await;
    assert!(text(&shown.stdout).contains("はい。"), "{}", text(&shown.stdout));
    let exported = run(&office, Role::Viewer, &["calls", "export", "--format", "csv"]).await;
    assert!(text(&exported.stdout).contains(&id), "{}", text(&exported.stderr));

    let refused = run(&office, Role::Operator, &["calls", "delete", &id]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("for the role `admin`"), "{}", text(&refused.stderr));
    let over = run(&office, Role::Operator, &["calls", "transfer", &id, "desk"]).await;
    assert!(text(&over.stderr).contains("is over"), "{}", text(&over.stderr));
    let erased = run(&office, Role::Admin, &["calls", "delete", &id]).await;
    assert!(text(&erased.stdout).contains("is erased"), "{}", text(&erased.stderr));
    assert_eq!(office.ask(Role::Admin, Method::GET, &format!("/calls/{id}"), "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_compared_with_what_the_gateway_runs_with() {
    let office = Office::open("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let next = folder.path().join("next.toml");
    let text_of_next = r#"
[server]
public_url = "https://voice.example.com"
max_calls = 7

[openai]
api_key = "sk-next"
project_id = "proj_demo"
webhook_secrets = "whsec_c2VjcmV0"

[sessions.desk]
instructions = "Be kind."
"#;
    std::fs::write(&next, text_of_next).expect("a file");
    let next = next.display().to_string();
    let compared = run(&office, Role::Viewer, &["config", "diff", &next]).await;
    assert_eq!(compared.status.code(), Some(1), "{}", text(&compared.stderr));
    let said = text(&compared.stdout);
    assert!(said.contains("~ server.max_calls: 200 → 7\n"), "{said}");
    assert!(said.contains("+ sessions.desk.instructions: Be kind.\n"), "{said}");
    assert!(!said.contains("api_key") && !said.contains("project_id"), "{said}");
    assert!(text(&compared.stderr).contains("secrets are not compared"), "{}", text(&compared.stderr));
}

#[test]
fn a_token_does_not_go_where_it_could_be_read() {
    let words = ["calls", "ls", "--remote", "http://phones.example.com", "--token-file", "none"];
    let refused = switchboard(&words, Path::new("/"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("use https"), "{}", text(&refused.stderr));
}

#[test]
fn a_token_is_made_with_the_lines_to_paste() {
    let words = ["token", "new", "--name", "dashboard", "--role", "viewer"];
    let made = text(&switchboard(&words, Path::new("/")).stdout);
    let (head, lines) = made.split_once("[[admin.tokens]]").expect("the lines");
    let token = head.lines().map(str::trim).find(|line| line.starts_with("swb_")).expect("a token");
    assert!(!lines.contains(token), "the configuration has only the hash");
    let data = tempfile::tempdir().expect("a folder");
    let mut environment = place(data.path());
    let secrets = [
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("BASE_URL", "https://voice.example.com"),
    ];
    environment.extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let config = configure(
        &format!("[sessions.shop]\ninstructions = \"Be kind.\"\n[[admin.tokens]]{lines}"),
        environment,
    );
    let known = config.admin.tokens.first().expect("a token");
    let expected = switchboard::http::TokenSettings::of("dashboard", Role::Viewer, token);
    assert_eq!(known, &expected);
    for bad in [
        ["--name", "admin", "--role", "viewer"],
        ["--name", "a b", "--role", "viewer"],
        ["--name", "a", "--role", "root"],
    ] {
        let refused = switchboard(&[&["token", "new"][..], &bad[..]].concat(), Path::new("/"));
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
    }
}

// === calls tail ===

/// `calls tail` as a process of its own; killed when a test fails.
struct Tail {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tail {
    /// Begins to follow calls at this address, and waits until it does.
    async fn of(at: SocketAddr, role: Role, words: &[&str]) -> Tail {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), token_of(role)).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(["calls", "tail", "--token-file", "token", "--remote"]).arg(format!("http://{at}"));
        command.args(words).current_dir(folder.path()).env_clear().env("TZ", "UTC");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        let mut log = BufReader::new(child.stderr.take().expect("its words"));
        let said = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            log.read_line(&mut said).expect("a line");
            // What else it says must find somebody who reads.
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            said
        });
        let said = said.await.expect("it says something");
        assert!(said.starts_with("following "), "{said}");
        Tail { child, _folder: folder }
    }

    /// Everything up to the line with this in it, which is the last that is read.
    async fn until(mut self, last: &'static str) -> String {
        let out = self.child.stdout.take().expect("its output");
        let read = tokio::task::spawn_blocking(move || {
            let mut told = String::new();
            for line in BufReader::new(out).lines() {
                told.push_str(&format!("{}\n", line.expect("a line")));
                if told.lines().last().is_some_and(|line| line.contains(last)) {
                    return told;
                }
            }
            panic!("it ended without `{last}`:\n{told}")
        });
        read.await.expect("it goes on")
    }

    /// Everything, once it has ended well.
    async fn whole(mut self) -> String {
        let mut out = self.child.stdout.take().expect("its output");
        let read = tokio::task::spawn_blocking(move || {
            let mut told = String::new();
            out.read_to_string(&mut told).expect("UTF-8");
            (self.child.wait().expect("an end"), told)
        });
        let (status, told) = read.await.expect("it ends");
        assert!(status.success(), "{status}\n{told}");
        told
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        rustix::process::kill_process(id, signal).expect("a signal");
    }
}

/// A way to the gateway on which connections break after so many bytes of answers, so many times.
async fn frayed(to: SocketAddr, bytes: usize, times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let (left, broken) = (Arc::new(AtomicUsize::new(times)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&broken);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (left, broken) = (Arc::clone(&left), Arc::clone(&broken));
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.expect("a gateway");
                let ((mut asks, mut hears), (mut answers, mut asked)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut asks, &mut asked).await });
                let (mut piece, mut passed) = ([0; 256], 0);
                while let Ok(read @ 1..) = answers.read(&mut piece).await {
                    passed += read;
                    if hears.write_all(&piece[..read]).await.is_err() {
                        return;
                    }
                    let take = |left: usize| left.checked_sub(1);
                    let is_due = passed >= bytes;
                    if is_due && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                        broken.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
    (at, counted)
}

/// The model asks for something and hangs up.
const BUSY: &str = r#"steps = [
    { model = { says = "はい。" } }, { caller = { says = "こんにちは、元気ですか。" } },
    { model = { calls = [{ name = "nothing_like_it", arguments = { id = "A-1001" } }] } },
    { model = { says = "失礼します。" } }, { hang_up = "caller" },
]"#;

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_followed_over_a_bad_line_without_losing_or_repeating_anything() {
    let office = Office::open("").await;
    let admin = office.house.gateway.admin;
    let (bad, broken) = frayed(admin, 2_500, 6).await;
    let good = Tail::of(admin, Role::Listener, &[]).await;
    let frayed_text = Tail::of(bad, Role::Listener, &[]).await;
    let masked = Tail::of(admin, Role::Viewer, &[]).await;
    let json = Tail::of(admin, Role::Listener, &["--format", "json"]).await;
    office.house.call(BUSY).await;
    let id = office.house.ended().await.call.id.to_string();
    let told = good.until("  end  ").await;
    assert_eq!(frayed_text.until("  end  ").await, told);
    assert!(broken.load(Ordering::Relaxed) > 1, "the line broke");
    for part in [
        "begin      +819012345678 → +815012345678 · route all · sip · call_",
        "accept     after ",
        "assistant  はい。",
        "caller     こんにちは、元気ですか。",
        "tool       → nothing_like_it {\"id\":\"A-1001\"}",
        "tool       ← nothing_like_it unknown_tool in ",
        "end        caller_hangup · ",
    ] {
        assert_eq!(told.matches(part).count(), 1, "{part} is not once in\n{told}");
    }
    let masked = masked.until("  end  ").await;
    assert!(masked.contains("begin      +81•••••5678") && masked.contains("caller     •••"), "{masked}");
    assert!(
        !masked.contains("はい") && !masked.contains("9012345678") && !masked.contains("A-1001"),
        "{masked}"
    );

    // For programs, each event a line; the same over a bad line.
    let events = json.until("\"state\":\"ended\"").await;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(events[0]["event"], "hello");
    assert!(events.iter().any(|event| event["data"]["line"]["text"] == "はい。"), "{events:#?}");

    // One call that is over: what is kept of it, in its order, and that is all.
    let one = Tail::of(admin, Role::Listener, &[&id]).await.whole().await;
    let sorted = |text: &str| {
        let mut lines: Vec<String> =
            text.lines().map(|line| line.replace(&format!("  {}  ", &id[31..]), "  ")).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&one).len(), one.lines().count());
    for line in sorted(&told) {
        assert!(sorted(&one).contains(&line) || line.contains("(interrupted)"), "{line} is not in\n{one}");
    }
    let unknown =
        run(&office, Role::Viewer, &["calls", "tail", "call_00000000000000000000000000000000"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn following_ends_well_however_it_ends() {
    let office = Office::open("").await;
    let admin = office.house.gateway.admin;
    let interrupted = Tail::of(admin, Role::Viewer, &[]).await;
    interrupted.signal(rustix::process::Signal::INT);
    assert_eq!(interrupted.whole().await, "");

    let mut piped = Tail::of(admin, Role::Viewer, &[]).await;
    drop(piped.child.stdout.take());
    office.house.call(SHORT).await;
    let ended = tokio::task::spawn_blocking(move || piped.child.wait().expect("an end")).await;
    assert!(ended.expect("it ends").success(), "whoever read it has seen enough");

    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "swb_x").expect("a file");
    let url = format!("http://{nobody}");
    let words = ["calls", "tail", "--remote", &url, "--token-file", "token"];
    let refused = switchboard(&words, folder.path());
    assert_eq!(refused.status.code(), Some(69), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("nobody answers at"), "{}", text(&refused.stderr));
}
