//! What an operator reads about every kind of plugin that cannot be taken: the whole message, as a file.
//!
//! `tests/fixtures/plugins/refused/NAME.err` is what `switchboard check` says. After a wanted change
//! `BLESS=1 cargo test --test it plugin::refused` writes the files anew.

use super::by_hand::{ByHand, NOTHING};
use super::loading::{EMPTY_MODULE, check};
use super::{differs, file, settings};

/// The guests as a plugin of this name, with more in its table.
fn guests(name: &str, more: &str) -> String {
    format!("[plugins.{name}]\npath = \"guests.wasm\"\n{more}\n")
}

/// The guests, describing themselves in this way.
fn describing(way: &str) -> String {
    guests("crm", &format!("allow = {{ kv = \"crm\" }}\nconfig = {{ describe = \"{way}\" }}"))
}

#[test]
fn every_kind_of_bad_plugin_has_its_message_and_a_way_out() {
    let of_http = ByHand {
        packages: "package wasi:http@0.2.0 { interface types { now: func(); } }",
        imported: "import wasi:http/types@0.2.0;",
        imports: &[("wasi:http/types@0.2.0", "now", &[], &[])],
        ..NOTHING
    };
    let components: [(&str, Vec<u8>); 6] = [
        ("core-module", EMPTY_MODULE.to_vec()),
        ("javascript", b"export function call(context, name, args) { return args; }\n".to_vec()),
        ("empty", Vec::new()),
        ("newer-version", ByHand { version: "0.9.0", ..NOTHING }.component()),
        ("unknown-import", of_http.component()),
        ("no-tools", b"\0asm\x0d\0\x01\0".to_vec()),
    ];
    let allowed = "allow = { kv = \"crm\" }";
    let configured: [(&str, String); 9] = [
        ("missing", "[plugins.crm]\npath = \"missing.wasm\"\n".to_owned()),
        ("not-granted", guests("crm", "")),
        ("not-pinned", guests("crm", &format!("{allowed}\nsha256 = \"{}\"", "ab".repeat(32)))),
        ("describe-traps", describing("trap")),
        ("describe-needs-memory", guests("crm", &format!("{allowed}\nlimits = {{ memory = \"1MiB\" }}"))),
        ("bad-schema", describing("no_schema")),
        ("bad-tool-name", describing("bad_name")),
        ("built-in-name", describing("built_in")),
        ("one-name-twice", format!("{}\n{}", guests("crm", allowed), guests("orders", allowed))),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::copy(settings("test-guests").path, dir.path().join("guests.wasm")).expect("a copy");
    let of_components = components.into_iter().map(|(name, component)| {
        file(&dir, &component);
        (name, check(&dir, "[plugins.crm]\npath = \"plugin.wasm\"\n"))
    });
    let of_configured = configured.into_iter().map(|(name, plugins)| (name, check(&dir, &plugins)));
    let mut wrong = Vec::new();
    for (name, (told, code)) in of_components.chain(of_configured) {
        // The digest of the guests is another with every build of them.
        let told = told.lines().map(without_digest).collect::<String>();
        let has_way_out = told.contains("help: ") && told.contains("gateway.toml:");
        let is_as_told = differs(&format!("refused/{name}.err"), &told).is_none();
        if code != Some(78) || !has_way_out || !is_as_told {
            wrong.push(format!("{name} ({code:?}):\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nBLESS=1 accepts these", wrong.join("\n"));
}

/// A line whose found digest is not told.
fn without_digest(line: &str) -> String {
    match line.split_once(" has the digest ") {
        Some((before, after)) => {
            let rest = after.split_once(',').map_or(after, |(_, rest)| rest);
            format!("{before} has the digest DIGEST,{rest}\n")
        }
        None => format!("{line}\n"),
    }
}
