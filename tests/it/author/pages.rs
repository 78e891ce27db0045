//! The pages for authors are true: their commands are run as they stand there, one after the other, and what the
//! page shows of a command's output is what the command says.
//!
//! A page's commands stand in indented blocks: each line one, or, where lines begin with `$ `, each of these with
//! its output behind it. A fenced block whose first line names a file (`# gateway.toml`) is written there.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{Bench, command, example, good, root, switchboard, text, toolchains};

/// The pages whose commands are run, and the language whose toolchain they need.
const PAGES: [(&str, &str); 5] = [
    ("README.md", "rust"),
    ("commands.md", "rust"),
    ("rust.md", "rust"),
    ("typescript.md", "ts"),
    ("python.md", "python"),
];

/// Commands that are not run, by how they begin, and why.
const NOT_RUN: [(&str, &str); 6] = [
    ("rustup target add", "it changes the machine"),
    ("pip install", "it changes the machine"),
    ("cargo build", "`plugin build` runs it, and is run"),
    ("wasm-tools component new", "it is another tool's, for those without ours"),
    ("componentize-py", "`plugin build` runs it, and is run"),
    ("switchboard plugin watch", "it does not end by itself: watching.rs runs it"),
];

/// Blocks that are no commands, by how they begin, and why.
const NO_COMMANDS: [(&str, &str); 1] =
    [("FAIL  Ada is greeted", "what `plugin test` says of a failure: testing.rs sees it")];

/// What `check` wants in the environment, besides the file.
const KEYS: [(&str, &str); 4] = [
    ("OPENAI_API_KEY", "sk-check"),
    ("OPENAI_PROJECT_ID", "proj_check"),
    ("OPENAI_WEBHOOK_SECRET", "whsec_Y2hlY2s="),
    ("BASE_URL", "https://voice.example.com"),
];

/// What a page has its reader do.
#[derive(Debug, PartialEq)]
enum Step {
    /// Run this; it says these lines among others.
    Run { line: String, says: Vec<String> },
    /// Have this in a file.
    Write { file: String, content: String },
    /// Read this, a file of this kind.
    Example { kind: &'static str, content: String },
}

fn page(name: &str) -> String {
    let path = root().join("docs/plugins").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The steps of a page, in order. Panics at a block of which nobody knows what it is.
fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = text.lines().peekable();
    let mut is_after_blank = true;
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            steps.push(fenced(language, &content));
        } else if let Some(first) = line.strip_prefix("    ").filter(|_| is_after_blank) {
            let mut block = vec![first];
            // An empty line is in the block that goes on behind it.
            while let Some(next) = lines.next_if(|line| line.starts_with("    ") || line.is_empty()) {
                block.push(next.get(4..).unwrap_or_default());
            }
            block.truncate(block.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
            steps.extend(indented(&block));
        }
        is_after_blank = line.is_empty();
    }
    steps
}

fn fenced(language: &str, content: &[&str]) -> Step {
    let first = content.first().copied().unwrap_or_default();
    let content = content.join("\n") + "\n";
    let named = first.strip_prefix("# ").or_else(|| first.strip_prefix("// ")).map(str::trim);
    match (named, language) {
        (Some(file), _) if file.contains('.') && !file.contains(' ') => {
            Step::Write { file: file.to_owned(), content }
        }
        (_, "toml") if first == "[[tests]]" => Step::Example { kind: "tests.toml", content },
        (_, "toml") if first.starts_with("name = ") => Step::Example { kind: "plugin.toml", content },
        _ => panic!("say in its first line which file this is:\n{content}"),
    }
}

fn indented(block: &[&str]) -> Vec<Step> {
    if NO_COMMANDS.iter().any(|(begin, _)| block[0].starts_with(begin)) {
        return Vec::new();
    }
    let run = |line: &str| Step::Run { line: line.to_owned(), says: Vec::new() };
    if !block[0].starts_with("$ ") {
        return block.iter().filter(|line| !line.is_empty()).map(|line| run(line)).collect();
    }
    let mut steps = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(line), _) => steps.push(run(line)),
            (None, Some(Step::Run { says, .. })) => says.push((*line).to_owned()),
            (None, _) => panic!("output of nothing: {line}"),
        }
    }
    steps
}

/// The words of a command, as a shell reads them that knows no more than single quotes.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// A line without what differs from run to run: times, sizes and digests.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_amount = |at: usize| {
        let unit = words.get(at + 1).map(|next| next.trim_end_matches(')'));
        words[at].trim_start_matches('(').parse::<f64>().is_ok() && matches!(unit, Some("ms" | "KiB" | "MiB"))
    };
    let plain = words.iter().enumerate().map(|(at, word)| match *word {
        word if is_digest(word) => "DIGEST",
        word if is_amount(at) && word.starts_with('(') => "(N",
        _ if is_amount(at) => "N",
        word => word,
    });
    plain.collect::<Vec<_>>().join(" ")
}

/// A page's commands, one after the other, in one folder. What needs a build runs where it can be built.
fn page_is_true(name: &str, lang: &str) {
    let can_build = toolchains::is_here(lang, &format!("what is built on the page {name}"));
    let bench = Bench::empty(lang);
    let folder = bench.path();
    std::os::unix::fs::symlink(root().join("plugins"), folder.join("plugins")).expect("a link");
    let mut count = 0;
    for step in steps(&page(name)) {
        match step {
            Step::Write { file, content } => fs::write(folder.join(&file), content).expect(&file),
            Step::Example { kind, content } => is_read(kind, &content),
            Step::Run { line, says } => {
                if NOT_RUN.iter().all(|(begin, _)| !line.starts_with(begin)) {
                    follow(&line, &says, folder, can_build);
                    count += 1;
                }
            }
        }
    }
    assert!(count > 0, "{name} has no command");
}

/// Does what a line says.
fn follow(line: &str, says: &[String], folder: &Path, can_build: bool) {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["switchboard", words @ ..] = words.as_slice() else { panic!("`{line}`: run it, or say why not") };
    let is_of_nothing_built =
        matches!(words, ["plugin", "new", ..]) || words.iter().any(|word| word.starts_with("plugins/"));
    if let ["plugin", "new", plugin, ..] = words {
        // The page begins again.
        let _ = fs::remove_dir_all(folder.join(plugin));
    }
    if !can_build && !is_of_nothing_built {
        // The command exists all the same.
        let of: Vec<&str> =
            words.iter().copied().take_while(|word| word.starts_with(char::is_alphabetic)).collect();
        let command = if of[0] == "plugin" { &of[..2] } else { &of[..1] };
        good(&[command, &["--help"]].concat(), folder);
        return;
    }
    let output = command(words, folder).envs(KEYS).output().expect("the command runs");
    assert!(output.status.success(), "`{line}`\n{}\n{}", text(&output.stdout), text(&output.stderr));
    is_said(line, says, &output);
}

/// Each line that the page shows is one of the output, or how one begins.
fn is_said(line: &str, says: &[String], output: &Output) {
    let said = text(&output.stdout) + &text(&output.stderr);
    for shown in says {
        let begin = plain(shown.trim_end_matches('…'));
        let is_said = said.lines().any(|line| plain(line).starts_with(&begin));
        assert!(is_said, "`{line}` does not say\n{shown}\nbut\n{said}");
    }
}

/// An example of a file is one that can be read.
fn is_read(kind: &str, content: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = example("customer-lookup", folder.path());
    fs::copy(plugin.join("customer-lookup.wasm"), plugin.join("my-tools.wasm")).expect("a copy");
    fs::write(plugin.join(kind), content).expect("a file");
    let output = switchboard(&["plugin", "test", "--filter", "no test has this name"], &plugin);
    let told = text(&output.stderr);
    assert!(told.contains("none of its") && output.status.code() == Some(69), "{content}\n{told}");
}

#[test]
fn the_first_page_is_true() {
    page_is_true("README.md", "rust");
}

#[test]
fn the_page_of_commands_is_true() {
    page_is_true("commands.md", "rust");
}

#[test]
fn the_page_for_typescript_is_true() {
    page_is_true("typescript.md", "ts");
}

#[test]
fn the_page_for_python_is_true() {
    page_is_true("python.md", "python");
}

#[test]
fn the_page_for_rust_is_true() {
    page_is_true("rust.md", "rust");
}

#[test]
fn the_first_page_goes_all_the_way() {
    let steps = steps(&page("README.md"));
    let commands = steps.iter().filter_map(|step| match step {
        Step::Run { line, .. } => Some(words(line)[..].iter().take(3).cloned().collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    let way: Vec<String> = commands.collect();
    let expected = [
        "switchboard plugin new",
        "switchboard plugin build",
        "switchboard plugin test",
        "switchboard plugin inspect",
        "switchboard plugin run",
        "switchboard check",
        "switchboard plugin ls",
    ];
    assert_eq!(way, expected);
}

#[test]
fn what_is_not_run_is_on_a_page() {
    let pages: String = PAGES.iter().map(|(name, _)| page(name)).collect();
    for (begin, why) in NOT_RUN.iter().chain(&NO_COMMANDS) {
        let is_there = pages.lines().any(|line| line.trim_start_matches(['$', ' ']).starts_with(begin));
        assert!(is_there, "no page has `{begin}` any more ({why}): take it out of the list");
    }
    let listed: Vec<&str> = PAGES.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(root().join("docs/plugins")).expect("a folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let is_listed = listed.contains(&name.as_str()) || name == "reference.md";
        assert!(is_listed, "docs/plugins/{name} is a page whose commands nobody runs");
    }
}

#[test]
fn a_page_is_read_as_its_reader_reads_it() {
    let text = "Words.\n\n    a 'b c' d\n    e\n\n```toml\n# x.toml\nk = 1\n```\n\n    $ f\n    g 5.6 ms\n\n    i\n    $ h\n";
    let run = |line: &str, says: &[&str]| Step::Run {
        line: line.to_owned(),
        says: says.iter().map(|line| (*line).to_owned()).collect(),
    };
    let write = Step::Write { file: "x.toml".to_owned(), content: "# x.toml\nk = 1\n".to_owned() };
    assert_eq!(
        steps(text),
        [run("a 'b c' d", &[]), run("e", &[]), write, run("f", &["g 5.6 ms", "", "i"]), run("h", &[])]
    );
    assert_eq!(words("a 'b c' d"), ["a", "b c", "d"]);
    assert_eq!(plain("ok  x (5.6 ms)"), plain("ok  x (0.4 ms)"));
    assert_ne!(plain("2 passed, 0 failed"), plain("1 passed, 1 failed"));
}

#[test]
fn the_page_of_commands_names_every_command() {
    let help = good(&["plugin", "--help"], root());
    let listed = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let page = page("commands.md");
    let mut count = 0;
    for name in
        listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
    {
        assert!(page.contains(&format!("## {name}\n")), "docs/plugins/commands.md does not tell of `{name}`");
        count += 1;
    }
    assert_eq!(count, 7, "{help}");
}
