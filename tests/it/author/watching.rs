//! `plugin watch`: what is saved is built and tested, as often as it is saved, and only as far as needed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::{Bench, command, example, good, toolchains};

/// How long a line may take: on a busy machine, a first build takes minutes.
const WITHIN: Duration = Duration::from_secs(400);
/// What it says when it has done everything.
const WAITING: &str = "waiting for a change (Ctrl-C ends)";

/// A running `plugin watch`, which is ended when this is dropped.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watch {
    fn start(command: &mut Command) -> Watch {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let (sender, lines) = channel();
        read(child.stdout.take().expect("its output"), sender.clone());
        read(child.stderr.take().expect("its messages"), sender);
        Watch { child, lines }
    }

    /// What it says until it waits for a change.
    fn round(&self) -> Vec<String> {
        let until = Instant::now() + WITHIN;
        let mut said: Vec<String> = Vec::new();
        // The results come by another pipe than the rest, and may come behind it.
        let is_done = |said: &[String]| {
            let of_tests = |line: &String| line.ends_with(" failed") || line.starts_with("error: ");
            said.iter().any(|line| line == WAITING) && said.iter().any(of_tests)
        };
        while !is_done(&said) {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => said.push(line),
                Err(error) => panic!("{error}: it said\n{}", said.join("\n")),
            }
        }
        said
    }
}

fn read(stream: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// Saves a file in one piece, as editors do: half of it is no change of its own.
fn save(path: &Path, content: &str) {
    let unsaved = path.with_file_name(".unsaved");
    fs::write(&unsaved, content).expect("a file");
    fs::rename(unsaved, path).expect("the file is in its place");
}

fn says(said: &[String], words: &str) -> bool {
    said.iter().any(|line| line.contains(words))
}

/// A plugin whose build is a script: it writes down that it ran, and takes a component from `parts`.
fn scripted(folder: &Path) -> (PathBuf, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;

    let plugin = example("customer-lookup", folder);
    let manifest = fs::read_to_string(plugin.join("plugin.toml")).expect("a file");
    fs::write(plugin.join("plugin.toml"), manifest.replace("\"rust\"", "\"ts\"")).expect("a file");
    fs::rename(plugin.join("customer-lookup.wasm"), folder.join("part.wasm")).expect("it moves");
    for made in ["node_modules", "src"] {
        fs::create_dir(plugin.join(made)).expect("a folder");
    }
    fs::write(plugin.join("src/plugin.ts"), "good").expect("a file");
    let programs = folder.join("programs");
    fs::create_dir(&programs).expect("a folder");
    let npm = "#!/bin/sh\nset -eu\ncat src/plugin.ts >> ../built\necho >> ../built\n\
               grep -q good src/plugin.ts || { echo 'src/plugin.ts: a type error' >&2; exit 2; }\n\
               mkdir -p dist\ncp ../part.wasm dist/plugin.wasm\n";
    for (name, script) in [("npm", npm), ("node", "#!/bin/sh\n")] {
        let path = programs.join(name);
        fs::write(&path, script).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }
    (plugin, programs)
}

/// The command, with `programs` before the machine's own.
fn watch(folder: &Path, programs: &Path) -> Command {
    let path = std::env::var("PATH").expect("a path");
    let mut command = command(&["plugin", "watch", "customer-lookup"], folder);
    command.env("PATH", format!("{}:{path}", programs.display()));
    command
}

#[test]
fn a_changed_source_is_built_and_changed_tests_are_only_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plugin, programs) = scripted(folder.path());
    let builds = || fs::read_to_string(folder.path().join("built")).unwrap_or_default();
    let watch = Watch::start(&mut watch(folder.path(), &programs));
    let said = watch.round();
    assert!(says(&said, "npm run build") && says(&said, " passed, 0 failed"), "{said:#?}");
    assert_eq!(builds(), "good\n");

    let tests = fs::read_to_string(plugin.join("tests.toml")).expect("tests");
    let wrong = "\n[[tests]]\nname = 'wrong'\ntool = 'lookup_customer'\nexpect = { ok = 'x' }\n";
    save(&plugin.join("tests.toml"), &format!("{tests}{wrong}"));
    let said = watch.round();
    assert!(says(&said, "FAIL  wrong") && says(&said, ", 1 failed"), "{said:#?}");
    assert_eq!(builds(), "good\n", "tests need no build");

    save(&plugin.join("src/plugin.ts"), "poor");
    let said = watch.round();
    assert!(says(&said, "a type error") && says(&said, "`npm run build` failed"), "{said:#?}");
    assert!(!says(&said, "passed"), "what cannot be built is not tested: {said:#?}");

    save(&plugin.join("src/new.ts"), "");
    watch.round();
    save(&plugin.join("tests.toml"), &tests);
    let said = watch.round();
    assert!(says(&said, " passed, 0 failed"), "what was built last is tested: {said:#?}");
    assert_eq!(builds(), "good\npoor\npoor\n", "a new file is a change of the source");

    save(&plugin.join("src/plugin.ts"), "good again");
    let said = watch.round();
    assert!(says(&said, " passed, 0 failed"), "{said:#?}");
    assert_eq!(builds(), "good\npoor\npoor\ngood again\n");
}

#[test]
fn what_is_wrong_with_a_file_is_told_and_the_next_change_awaited() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plugin, programs) = scripted(folder.path());
    let watch = Watch::start(&mut watch(folder.path(), &programs));
    watch.round();
    for (file, content, place) in [
        ("tests.toml", "[[tests]]\nname = 'x'\ntool = 't'\nexpects = 1\n", "tests.toml:4:1"),
        ("plugin.toml", "name = 'customer-lookup'\nlang = 'cobol'\n", "plugin.toml:2:8"),
    ] {
        let before = fs::read_to_string(plugin.join(file)).expect("a file");
        save(&plugin.join(file), content);
        let said = watch.round();
        assert!(says(&said, place), "{said:#?}");
        save(&plugin.join(file), &before);
        let said = watch.round();
        assert!(says(&said, " passed, 0 failed"), "{file} is mended: {said:#?}");
    }
}

#[test]
fn ctrl_c_ends_it_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, programs) = scripted(folder.path());
    let mut watch = Watch::start(&mut watch(folder.path(), &programs));
    watch.round();
    let pid = watch.child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().expect("the signal is sent");
    assert!(sent.success());
    // Its ends of the pipes are closed when it is gone.
    while watch.lines.recv_timeout(WITHIN).is_ok() {}
    assert_eq!(watch.child.wait().expect("it ended").code(), Some(0));
}

#[test]
fn a_plugin_in_rust_is_built_again_and_does_what_was_written() {
    if !toolchains::is_here("rust", "`plugin watch` over a plugin in Rust") {
        return;
    }
    let bench = Bench::empty("rust");
    good(&["plugin", "new", "my-tools", "--lang", "rust"], bench.path());
    // The first build writes a lock file, which is a change too.
    good(&["plugin", "build", "my-tools"], bench.path());
    let watch = Watch::start(&mut command(&["plugin", "watch", "my-tools"], bench.path()));
    let said = watch.round();
    assert!(says(&said, "2 passed, 0 failed"), "{said:#?}");
    let source = bench.path().join("my-tools/src/lib.rs");
    let text = fs::read_to_string(&source).expect("a source");
    save(&source, &text.replace("Hello NAME", "Welcome NAME"));
    let said = watch.round();
    assert!(says(&said, "1 passed, 1 failed"), "{said:#?}");
    assert!(says(&said, "+ \"Welcome Ada, thank you for calling.\""), "{said:#?}");
}
