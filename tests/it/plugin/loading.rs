//! What is no plugin, or not the one that was meant, is refused with words that say what to do.

use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};
use switchboard::tool::plugin::Settings;

use super::{HOST, Limits, file, guests_with, guests_within, load, refusal, settings};

/// How a component begins (Component Model, Binary.md): a magic number, version 13, layer 1.
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// How a core module begins.
pub(super) const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Why a file of these bytes is refused, with the file's name made short.
async fn refusal_of(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let path = file(&dir, bytes);
    refusal(&at(&path)).await.replace(&path.display().to_string(), "FILE")
}

fn at(path: &Path) -> Settings {
    Settings { path: path.to_owned(), ..settings("test-guests") }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let missing = at(&super::root().join("plugins/missing.wasm"));
    insta::assert_snapshot!(refusal(&missing).await, @"cannot read plugins/missing.wasm: No such file or directory (os error 2); build the plugin, or correct its `path`");
    insta::assert_snapshot!(refusal(&at(&super::root().join("plugins"))).await, @"cannot read plugins: Is a directory (os error 21); have its `path` name a `.wasm` file that the gateway's user can read");
}

#[tokio::test]
async fn what_is_no_component_is_told_apart() {
    insta::assert_snapshot!(refusal_of(EMPTY_MODULE).await, @"FILE is a core WebAssembly module, not a component; build it as docs/plugins/README.md tells");
    insta::assert_snapshot!(refusal_of(b"").await, @"FILE is not a WebAssembly component: it is empty; name the `.wasm` file that `switchboard plugin build` makes, or copy it again whole");
    insta::assert_snapshot!(refusal_of(b"(component)").await, @"FILE is not a WebAssembly component: it does not begin like WebAssembly; name the `.wasm` file that `switchboard plugin build` makes, or copy it again whole");
    let unknown = refusal_of(b"\0asm\x02\0\0\0").await;
    assert!(unknown.contains("unknown binary version"), "{unknown}");
    insta::assert_snapshot!(refusal_of(EMPTY_COMPONENT).await, @"FILE is a component, but no plugin: it does not export `switchboard:plugin/tools`; name a plugin's file, or build it as docs/plugins/README.md tells");
}

#[tokio::test]
async fn a_file_that_was_cut_off_or_spoilt_is_refused() {
    let whole = std::fs::read(settings("test-guests").path).expect("the guests");
    for cut in [9, 100, whole.len() / 2, whole.len() - 1] {
        let words = refusal_of(&whole[..cut]).await;
        assert!(words.starts_with("FILE is not a WebAssembly component: "), "cut at {cut}: {words}");
    }
    let mut spoilt = EMPTY_COMPONENT.to_vec();
    spoilt.extend((0..4_096_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]));
    let words = refusal_of(&spoilt).await;
    assert!(words.starts_with("FILE is not a WebAssembly component: "), "{words}");
}

#[tokio::test]
async fn a_pinned_file_is_taken_and_another_is_not() {
    let bytes = std::fs::read(settings("test-guests").path).expect("the guests");
    let pinned = Settings { sha256: Some(Sha256::digest(&bytes).into()), ..settings("test-guests") };
    assert!(load(&pinned).await.tools().len() > 10);
    let words = refusal(&Settings { sha256: Some([0xab; 32]), ..pinned }).await;
    assert!(words.starts_with("plugins/test-guests/test-guests.wasm has the digest "), "{words}");
    let tail = format!(
        "and `sha256` pins {}; pin the new one if you trust the file, or put the pinned file back",
        "ab".repeat(32)
    );
    assert!(words.ends_with(&tail), "{words}");
}

#[tokio::test]
async fn a_plugin_that_describes_itself_badly_is_refused() {
    let mut told = Vec::new();
    for way in ["trap", "huge", "twice", "bad_name", "no_schema", "long", "many"] {
        told.push(refusal(&guests_with("describe", way)).await);
    }
    let cramped = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    told.push(refusal(&guests_within(cramped)).await);
    insta::assert_snapshot!(told.join("\n"), @r#"
    it cannot describe itself: it trapped: wasm trap: wasm `unreachable` instruction executed; see whether its last words complain about `[plugins.test-guests.config]`; else put a version back that works, and tell its author
    plugins/test-guests/test-guests.wasm says more than 4 MiB about itself when it is asked for its tools and needs; shorten their descriptions and schemas, and build it again
    its tool `echo` cannot be offered: the plugin has two tools of this name; correct this in the plugin's `describe`, and build it again
    its tool `say hello` cannot be offered: a name has 1 to 64 letters, digits, `_` and `-`; correct this in the plugin's `describe`, and build it again
    its tool `echo` cannot be offered: its parameters are not a usable JSON Schema: it must describe an object: `"type": "object"`; correct this in the plugin's `describe`, and build it again
    its tool `echo` cannot be offered: its description has more than 4 KiB; correct this in the plugin's `describe`, and build it again
    its tool `*` cannot be offered: a plugin has at most 64 tools; correct this in the plugin's `describe`, and build it again
    it cannot describe itself: it wanted more memory than `limits.memory` allows (1048576 bytes); raise `plugins.test-guests.limits.memory`, or have the plugin built to need less
    "#);
}

/// What `switchboard check` says about a configuration with these plugins, and its exit code.
pub(super) fn check(dir: &tempfile::TempDir, plugins: &str) -> (String, Option<i32>) {
    let path = dir.path().join("gateway.toml");
    // For the compiled plugins, so that each is compiled once.
    std::fs::create_dir_all(dir.path().join("data")).expect("a directory");
    let text = format!("[sessions.shop]\ninstructions = \"Be kind.\"\n\n{plugins}");
    std::fs::write(&path, text).expect("a writable directory");
    let variables = [
        ("OPENAI_API_KEY", "sk-test-0123456789"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("BASE_URL", "https://voice.example.com"),
    ];
    let ran = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["check", "--config", "gateway.toml", "--keep-compiled"])
        .current_dir(dir.path())
        .env_clear()
        .envs(variables)
        .output()
        .expect("the binary");
    let told = String::from_utf8(ran.stderr).expect("text");
    (told.replace(&format!("{}/", super::root().display()), ""), ran.status.code())
}

#[test]
fn the_check_tells_of_every_plugin_that_cannot_be_loaded() {
    let dir = tempfile::tempdir().expect("a directory");
    file(&dir, EMPTY_MODULE);
    let lookup = settings("customer-lookup").path.display().to_string();
    let named =
        format!("[plugins.core]\npath = \"plugin.wasm\"\n\n[plugins.customer-lookup]\npath = \"{lookup}\"\n");
    let (told, code) = check(&dir, &named);
    assert_eq!(code, Some(78), "{told}");
    for words in [
        "error[E0503]: plugin `core` cannot be loaded: ./plugin.wasm is a core WebAssembly module, not a component\n",
        "help: build it as docs/plugins/README.md tells",
        "gateway.toml:5:8",
        "error[E0504]: plugin `customer-lookup` cannot be loaded: it asks for `kv`, which is not granted",
        "write `kv = \"customer-lookup\"` in `[plugins.customer-lookup.allow]`, if that is meant",
        "gateway.toml:8:8",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    let one = format!("[plugins.customer-lookup]\npath = \"{lookup}\"\nallow = {{ kv = \"customers\" }}\n");
    assert_eq!(check(&dir, &one), (String::new(), Some(0)));
    let more = format!("{one}\n[plugins.customer-lookup.allow.secrets]\nTOKEN = \"hunter2\"\n").replace(
        "allow = { kv = \"customers\" }\n",
        "allow.kv = \"customers\"\nallow.calls = [\"hang-up\"]\n",
    );
    let (told, code) =
        check(&dir, &more.replace("[plugins.customer-lookup.allow.secrets]\nTOKEN", "allow.secrets.TOKEN"));
    assert_eq!(code, Some(0), "{told}");
    for words in [
        "warning[W0505]: plugin `customer-lookup` does not ask for what `allow.calls[0]` grants",
        "warning[W0505]: plugin `customer-lookup` does not ask for what `allow.secrets.TOKEN` grants",
        "warning[W0404]: `plugins.customer-lookup.allow.secrets.TOKEN` is a secret that stands in the file",
        "write `${TOKEN}` here",
        "gateway.toml:7:",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn guests_of_every_language_fit_the_pool_and_the_limits_that_hold_by_default() {
    for name in ["customer-lookup", "appointment-booking", "opening-hours", "test-guests"] {
        let mut settings = Settings { limits: Limits::default(), ..settings(name) };
        let base_url = "https://booking.example.com/v1".to_owned();
        settings.config.insert("base_url".to_owned(), base_url);
        let (about, _) = HOST.inspect(&settings).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((about.interface, about.tools.is_empty()), ("0.2.0", false), "{name}");
    }
}
