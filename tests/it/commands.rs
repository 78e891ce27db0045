//! The pages for operators are true: their commands are run as they stand there, one after the other, in a folder with
//! the newcomer's configuration and a recorded call; and what a page shows of a command's output is what it says.
//!
//! A page's commands stand in indented blocks that begin with a program; where lines begin with `$ `, each of these has
//! its output behind it, `…` for whatever differs from run to run. A fenced block whose first line names a file is
//! written there. What cannot be run here is known by name, with the reason; it is at least understood.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use crate::author::pages::words;
use crate::cli::text;

/// What a line of commands begins with.
const PROGRAMS: [&str; 8] = ["switchboard", "cargo", "curl", "sudo", "cd", "cp", "sed", "export"];

/// Commands that are not run here, by how they begin, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo run -- demo", "CI runs it, and cli.rs its scenarios"),
    ("cargo test", "it is what runs this"),
    ("cargo run --release -- serve", "it does not end by itself: cli.rs runs `serve`"),
    ("cargo build --release", "CI builds"),
    ("benches/peers/run", "it installs other servers, and takes half an hour"),
    ("export ", "it is for a shell"),
    ("sudo ", "it changes the machine: deploy.rs reads the unit"),
    ("cd deploy/container", "it needs a container engine"),
    ("curl ", "the admin API's own tests ask for each of these"),
    ("switchboard serve", "it does not end by itself: cli.rs runs it"),
    ("switchboard handover", "it asks a running gateway: survive runs it"),
    ("switchboard features", "it asks a running gateway: cli.rs runs it"),
    ("switchboard calls ls --remote", "it asks a gateway elsewhere: admin_api runs it"),
    ("switchboard tools call check_table", "it asks somebody's system: cli_tools.rs runs it"),
    ("switchboard notifications resend", "it wants dead letters: notifications.rs has some"),
    ("switchboard doctor --online", "it asks the vendors: doctor.rs has simulated ones"),
    ("switchboard setup ", "it asks the vendors: setup.rs has simulated ones"),
    ("switchboard calls tail", "it asks a running gateway: admin_api runs it"),
    ("switchboard verify", "verify.rs runs it, with fewer calls"),
    ("switchboard init", "it writes nothing over: init.rs runs it"),
    ("switchboard demo", "CI runs it, and cli.rs its scenarios"),
    ("switchboard dev", "it does not end by itself: cli.rs runs it"),
    ("switchboard test --watch", "it does not end by itself: conversations.rs runs it"),
    (
        "switchboard test tests/order.toml --live",
        "it asks a real model: conversations.rs has a simulated one",
    ),
    ("switchboard eval speech --live", "it asks the provider: eval_speech.rs has a simulated one"),
    ("cp .env.example", "what it copies is written by `init`"),
    ("switchboard load --rate", "it takes a minute: load.rs runs a short one"),
    ("switchboard load --concurrent", "it takes minutes: load.rs holds a few calls"),
    ("switchboard load --streams", "it takes a minute: load.rs runs a short one"),
    ("switchboard load --scenario", "it takes a minute: load.rs plays a few"),
];

/// Blocks that are no commands, by how they begin, and why.
const NO_COMMANDS: &[(&str, &str)] = &[
    ("caller ──►", "a drawing"),
    ("00.286   twilio", "what `demo` prints"),
    ("data/ ", "the files of a data directory"),
    ("[store]", "lines of gateway.toml"),
    ("[notifications.crm]", "lines of gateway.toml"),
    ("[features]", "lines of gateway.toml"),
    ("[recordings]", "lines of gateway.toml"),
    ("POST /hooks/calls", "a request"),
    ("{\"type\": \"call.ended\"", "a body"),
    ("14:03:21.120  3fa9c1", "what `calls tail` prints"),
    ("plugins are loaded:", "a line of the log"),
    ("openai_sip  false", "what `features show` prints"),
];

/// What `check` wants in the environment, besides the file.
const KEYS: [(&str, &str); 7] = [
    ("OPENAI_API_KEY", "sk-check"),
    ("OPENAI_PROJECT_ID", "proj_check"),
    ("OPENAI_WEBHOOK_SECRET", "whsec_Y2hlY2s="),
    ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
    ("TWILIO_AUTH_TOKEN", "check"),
    ("BASE_URL", "https://voice.example.com"),
    ("USE_OPENAI_SIP", "true"),
];

/// What a page has its reader do.
#[derive(Debug)]
enum Step {
    Run { line: String, says: Vec<String> },
    Write { file: String, content: String },
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that are not those for authors of plugins, whose own test runs theirs.
fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).expect("a folder");
    let pages = entries.map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<PathBuf> =
        pages.filter(|page| page.extension().is_some_and(|kind| kind == "md")).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// The steps of a page, in order. Panics at an indented block of which nobody knows what it is.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines().peekable();
    let mut is_after_blank = true;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let content: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            let file = content.first().and_then(|first| first.strip_prefix("# "));
            if let Some(file) = file.filter(|file| file.ends_with(".toml")) {
                steps.push(Step::Write { file: file.to_owned(), content: content.join("\n") + "\n" });
            }
        } else if is_after_blank && line.starts_with("    ") {
            let mut block = vec![line.trim_start()];
            while let Some(next) = lines.next_if(|line| line.starts_with("    ")) {
                block.push(next.trim_start());
            }
            steps.extend(commands(&block));
        }
        is_after_blank = line.is_empty();
    }
    steps
}

fn commands(block: &[&str]) -> Vec<Step> {
    let begins_with = |program: &str| block[0].split(' ').next() == Some(program);
    if NO_COMMANDS.iter().any(|(begin, _)| block[0].starts_with(begin)) {
        return Vec::new();
    }
    let is_shown = begins_with("$");
    assert!(is_shown || PROGRAMS.into_iter().any(begins_with), "what is this? {block:#?}");
    let mut steps: Vec<Step> = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (None, Some(Step::Run { says, .. })) if is_shown => says.push((*line).to_owned()),
            (command, _) => {
                // What is behind a `#` is for the reader.
                let line = command.unwrap_or(line).split("  #").next().unwrap_or_default().trim_end();
                steps.push(Step::Run { line: line.to_owned(), says: Vec::new() });
            }
        }
    }
    steps
}

/// The reason why a line is not run.
fn why_not(line: &str) -> Option<&'static str> {
    NOT_RUN.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, why)| *why)
}

/// The command's words of a line, in whichever way it is run; none where another program is.
fn ours(line: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix("switchboard ").or_else(|| line.strip_prefix("cargo run -- "))?;
    // Where the output goes is the shell's business.
    let rest = rest.split(" > ").next().unwrap_or_default().split(" # ").next().unwrap_or_default();
    Some(words(rest).into_iter().filter(|word| word != "…").collect())
}

/// Where the commands of one page are run.
struct Bench {
    folder: tempfile::TempDir,
    dev: Option<Dev>,
}

impl Bench {
    /// The newcomer's folder, with a call that was kept.
    fn new(kept: &Path) -> Bench {
        let bench = Bench::without_calls();
        copy(kept, &bench.path().join("data"));
        bench
    }

    fn without_calls() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(root().join("gateway.toml"), folder.path().join("gateway.toml")).expect("a copy");
        for name in ["plugins", "examples"] {
            std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).expect("a link");
        }
        Bench { folder, dev: None }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(words).current_dir(self.path()).env_clear().env("HOME", self.path()).envs(KEYS);
        command.env("XDG_CACHE_HOME", root().join("target/tmp"));
        command
    }

    fn run(&self, words: &[String]) -> Output {
        self.command(words).output().expect("the command runs")
    }

    /// The newest call's id.
    fn call(&self) -> String {
        let output = self.run(&["calls", "ls", "--format", "json"].map(str::to_owned));
        let said = text(&output.stdout);
        let id = said.split('"').find(|word| word.starts_with("call_"));
        id.unwrap_or_else(|| panic!("no call in {said}{}", text(&output.stderr))).to_owned()
    }

    /// Does what a line says. Gives what it said.
    fn follow(&mut self, line: &str) -> String {
        if let Some(words) = line.strip_prefix("sed ") {
            let done = Command::new("sed").args(self::words(words)).current_dir(self.path()).status();
            assert!(done.expect("sed").success(), "{line}");
            self.dev.as_mut().expect("somebody who follows the file").reads_again();
            return String::new();
        }
        let mut words = ours(line).unwrap_or_else(|| panic!("`{line}`: run it, or say why not"));
        let is_dev = words[0] == "dev";
        if (is_dev || words[0] == "simulate") && self.dev.is_none() {
            self.dev = Some(Dev::start(self));
        }
        if is_dev {
            return String::new();
        }
        if words.iter().any(|word| word == "CALL_ID") {
            let call = self.call();
            words.iter_mut().filter(|word| *word == "CALL_ID").for_each(|word| word.clone_from(&call));
        }
        for word in words.iter_mut().filter(|word| word.starts_with("/backups/")) {
            *word = self.path().join("backup").display().to_string();
        }
        match words[0].as_str() {
            "demo" => words.extend(["--speed", "20"].map(str::to_owned)),
            // Into an empty directory, as the page says.
            "restore" => fs::remove_dir_all(self.path().join("data")).expect("the directory goes"),
            _ => {}
        }
        let output = self.run(&words);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "`{line}` fails:\n{said}");
        said
    }
}

/// `switchboard dev`, as long as this lives.
struct Dev {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Dev {
    fn start(bench: &Bench) -> Dev {
        let words = ["dev", "--admin", "127.0.0.1:0", "--speed", "20"].map(str::to_owned);
        let mut command = bench.command(&words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut told = BufReader::new(child.stdout.take().expect("its output"));
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let dev = Dev { child, log };
        let is_ready = told.by_ref().lines().map_while(Result::ok).any(|line| line.contains("are simulated"));
        assert!(is_ready, "`switchboard dev` says when it is ready");
        // Nobody reads on, and it must not wait for that.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        dev
    }

    /// Waits until it has followed the file.
    fn reads_again(&mut self) {
        let mut lines = self.log.by_ref().lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("the configuration was read again: it holds")), "it follows");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).expect("a copy")),
        }
    }
}

/// Claims that a line of the output is the one that the page shows.
fn is_shown(shown: &str, said: &str) -> bool {
    said.lines().any(|line| {
        let parts = shown.split('…').map(str::trim);
        let rest = parts.into_iter().try_fold(line, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
        rest.is_some()
    })
}

#[test]
fn every_command_of_the_pages_does_what_it_says() {
    let template = Bench::without_calls();
    let recorded =
        ["demo", "--scenario", "examples/scenarios/recorded.toml", "--keep", "data", "--speed", "20"];
    let output = template.run(&recorded.map(str::to_owned));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let kept = template.path().join("data");
    let mut count = 0;
    for page in pages() {
        let steps = steps(&fs::read_to_string(&page).expect("a readable page"));
        let mut bench = Bench::new(&kept);
        for step in steps {
            match step {
                Step::Write { file, content } => {
                    let path = bench.path().join(&file);
                    fs::create_dir_all(path.parent().expect("a folder")).expect(&file);
                    fs::write(path, content).expect(&file);
                }
                Step::Run { line, .. } if why_not(&line).is_some() => is_understood(&bench, &line),
                Step::Run { line, says } => {
                    let said = bench.follow(&line);
                    for shown in says {
                        let page = page.display();
                        assert!(
                            is_shown(&shown, &said),
                            "{page}: `{line}` does not say\n{shown}\nbut\n{said}"
                        );
                    }
                    count += 1;
                }
            }
        }
    }
    assert!(count > 25, "only {count} commands are run");
}

/// A command that is not run exists all the same, with these options.
fn is_understood(bench: &Bench, line: &str) {
    let Some(mut words) = ours(line) else { return };
    // What follows is the shell's.
    words.truncate(words.iter().position(|word| word.starts_with('>')).unwrap_or(words.len()));
    words.retain(|word| word != "CALL_ID");
    words.iter_mut().filter(|word| *word == "PN…").for_each(|word| *word = format!("PN{}", "0".repeat(32)));
    words.push("--help".to_owned());
    let output = bench.run(&words);
    assert!(output.status.success(), "`{line}`: {}", text(&output.stderr));
}

#[test]
fn what_is_not_run_is_on_a_page() {
    let all: String = pages().iter().map(|page| fs::read_to_string(page).expect("a readable page")).collect();
    for (begin, why) in NOT_RUN.iter().chain(NO_COMMANDS) {
        let is_there = all.lines().any(|line| {
            let is_block = line.starts_with("    ");
            is_block && line.trim_start_matches(['$', ' ']).starts_with(begin)
        });
        assert!(is_there, "no page has `{begin}` any more ({why}): take it out of the list");
    }
}

#[test]
fn a_page_is_read_as_its_reader_reads_it() {
    let page = "Words.\n\n    switchboard check   # all of it\n    switchboard calls ls > a.txt\n\n\
                ```toml\n# gateway.toml\nk = 1\n```\n\n    $ cargo run -- check\n      good: …\n";
    let steps = steps(page);
    let lines: Vec<&str> = steps
        .iter()
        .map(|step| match step {
            Step::Run { line, .. } => line.as_str(),
            Step::Write { file, .. } => file.as_str(),
        })
        .collect();
    let expected =
        ["switchboard check", "switchboard calls ls > a.txt", "gateway.toml", "cargo run -- check"];
    assert_eq!(lines, expected);
    assert_eq!(ours(lines[1]), Some(vec!["calls".to_owned(), "ls".to_owned()]));
    assert!(matches!(&steps[3], Step::Run { says, .. } if says == &["good: …"]), "{steps:?}");
    assert!(is_shown("good: … ms", "bad\n  good: 5 ms") && !is_shown("good: … ms", "good\n5 ms"));
}
