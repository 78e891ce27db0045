//! The support bundle: everything in it can be read, and nothing in it tells a secret, a number or what somebody said.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::Value;
use switchboard::http::OPENAI_WEBHOOK;

use crate::cli::{Served, switchboard, text};
use crate::harness::{CONFIG, House, Plan, eventually};

/// What must never leave, wherever it was put. Numbers are looked for by the digits that a masked one does not show.
const PLANTED: [&str; 12] = [
    "PLANTED",
    "9012345678",
    "5012345678",
    "312345678",
    "0901234",
    "0312345",
    "便箋",
    "届いて",
    "はい。",
    "花子",
    "c2VjcmV0",
    "swb_",
];

/// A caller who says something, and a model that asks for something.
const CALL: &str = r#"steps = [
    { model = { says = "はい。PLANTED-answer" } },
    { caller = { says = "便箋が届いていません。090-1234-5678 です。" } },
    { model = { calls = [{ name = "PLANTED_tool", arguments = { id = "PLANTED-argument", phone = "+819012345678" } }] } },
    { model = { says = "失礼します。" } }, { hang_up = "caller" },
]"#;

/// A configuration with something in every place that may hold what is nobody's business.
fn planted(data: &Path, admin: u16, notified: u16) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://voice.example.com"
[admin]
listen = "127.0.0.1:{admin}"
[store]
path = "{}"
[openai]
api_key = "sk-PLANTED"
project_id = "proj_check"
webhook_secrets = "whsec_c2VjcmV0"
base_url = "http://127.0.0.1:9/v1"
[telemetry.log]
format = "json"
[sessions.shop]
instructions = "Be kind. The desk is at 03-1234-5678."
tools = ["look"]
[sessions.shop.vars]
season = "PLANTED-variable"
[sessions.shop.transfer]
desk = "+81312345678"
[[routes]]
name = "desk"
match = {{ to = "+815012345678" }}
session = "shop"
[routes.vars]
shop = "PLANTED-route-variable"
[[routes]]
name = "all"
session = "shop"
[tools.look]
description = "Looks."
[tools.look.http]
url = "https://shop.example.com/orders?key=PLANTED-query"
query = {{ q = "PLANTED-query" }}
headers = {{ Authorization = "Bearer PLANTED" }}
[plugins.torn]
path = "torn.wasm"
[plugins.torn.config]
name = "佐藤 花子"
phone = "090-1234-5678"
[notifications.crm]
url = "http://127.0.0.1:{notified}/hook?token=PLANTED-hook"
secrets = "whsec_c3dpdGNoYm9hcmQtUExBTlRFRC1zaWduaW5nLWtleTE="
"#,
        data.display()
    )
}

/// The files of a bundle, by name.
fn unpacked(path: &Path) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).expect("a file")));
    let entries = archive.entries().expect("an archive");
    let read = entries.map(|entry| {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").file_name().expect("a file").to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text that can be read");
        (name, text)
    });
    read.collect()
}

/// Writes a bundle, and looks through every byte of it.
fn bundle(folder: &Path, name: &str) -> Vec<(String, String)> {
    let output = switchboard(&["support-bundle", name], folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Read it before you send it"), "{}", text(&output.stderr));
    let files = unpacked(&folder.join(name));
    let (told, readme) = (text(&output.stdout), file(&files, "README.txt").to_owned());
    for (name, content) in &files {
        assert!(
            told.contains(name) && readme.contains(name) || name == "README.txt",
            "{name} is not told of"
        );
        for planted in PLANTED {
            assert!(!content.contains(planted), "`{planted}` is in {name}:\n{content}");
        }
    }
    files
}

fn file<'a>(files: &'a [(String, String)], name: &str) -> &'a str {
    let found = files.iter().find(|(known, _)| known == name);
    &found
        .unwrap_or_else(|| {
            panic!("no {name} in {:?}", files.iter().map(|(name, _)| name).collect::<Vec<_>>())
        })
        .1
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

/// A data directory with a call of which somebody was not told, and a configuration over it.
async fn shop() -> (tempfile::TempDir, tempfile::TempDir, Value) {
    let notified = free_port();
    let shop = CONFIG.split("[plugins").next().unwrap_or_default();
    let config = format!(
        "{shop}vars = {{ shop = \"PLANTED-variable\" }}\n[notifications.crm]\nurl = \"http://127.0.0.1:{notified}/hook?token=PLANTED-hook\"\n\
         secrets = \"whsec_c3dpdGNoYm9hcmQtUExBTlRFRC1zaWduaW5nLWtleTE=\"\ncontent = true\n"
    );
    let house = House::with(Plan { config, ..Plan::default() }).await;
    house.call(CALL).await;
    let call = house.ended().await.call;
    let store = house.gateway.control().store();
    eventually("the notifications were tried", || async {
        let waiting = switchboard::call::notification::NotificationState::Waiting;
        let told = store.notifications(waiting, 10, |_| true).await.expect("a list");
        (!told.is_empty() && told.iter().all(|told| told.tries > 0)).then_some(())
    })
    .await;
    let data = house.close().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("torn.wasm"), b"\0asm").expect("a file");
    std::fs::write(folder.path().join("gateway.toml"), planted(data.path(), free_port(), notified))
        .expect("a file");
    (folder, data, serde_json::to_value(call).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_tells_what_helps_and_nothing_else() {
    let (folder, _data, call) = shop().await;
    tokio::task::block_in_place(|| {
        // Without a gateway.
        let files = bundle(folder.path(), "at-rest.tar.gz");
        let calls: Value = serde_json::from_str(file(&files, "calls.json")).expect("JSON");
        let kept = &calls["calls"][0];
        assert_eq!(kept["call"]["id"], call["id"]);
        assert_eq!(kept["call"]["stages"], call["stages"]);
        assert_eq!(kept["call"]["ended"], "caller_hangup");
        assert_eq!(kept["call"]["caller"], "+81•••••5678");
        assert_eq!(kept["tool_calls"][0]["outcome"], "unknown_tool");
        assert!(kept["lines"].as_array().is_some_and(|lines| lines.len() >= 3), "{kept:#}");
        assert!(file(&files, "notifications.json").contains("\"problem\": \""), "why they failed");
        assert!(file(&files, "doctor.txt").contains("✓ journal"), "{}", file(&files, "doctor.txt"));
        assert!(
            file(&files, "check.txt").contains("plugin `torn` cannot be loaded"),
            "{}",
            file(&files, "check.txt")
        );
        let config = file(&files, "config.txt");
        for line in [
            "openai.api_key = •••   # gateway.toml:",
            "plugins.torn.config.name = •••   # ",
            "sessions.shop.transfer.desk = +81•••••5678   # ",
            "telemetry.log.format = json   # ",
        ] {
            assert!(config.contains(line), "`{line}` is not in\n{config}");
        }
        assert!(file(&files, "README.txt").contains("journalctl"), "where the log is");

        // What is there is not written over.
        let again = switchboard(&["support-bundle", "at-rest.tar.gz"], folder.path());
        assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));

        // Beside a gateway, to which a stranger has said a lot.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.arg("serve").current_dir(folder.path()).env_clear().env("HOME", elsewhere.path());
        let mut served = Served::of(command, elsewhere);
        let ready = served.says("ready");
        let public = ready["public"].as_str().expect("an address").to_owned();
        let said = "webhook-id: PLANTED-id\r\nx-twilio-signature: PLANTED\r\nfrom: +819012345678\r\ncontent-length: 34\r\nconnection: close\r\n\r\nFrom=%2B819012345678&Word=PLANTED!";
        tokio::runtime::Handle::current().block_on(async {
            let request = format!("POST {OPENAI_WEBHOOK}?from=+819012345678 HTTP/1.1\r\nhost: x\r\n{said}");
            let refused = crate::harness::raw(public.parse().expect("an address"), request.as_bytes()).await;
            assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
        });
        let files = bundle(folder.path(), "running.tar.gz");
        let webhooks: Value = serde_json::from_str(file(&files, "webhooks.json")).expect("JSON");
        assert_eq!(
            (&webhooks["webhooks"][0]["source"], &webhooks["webhooks"][0]["path"]),
            (&"openai".into(), &OPENAI_WEBHOOK.into())
        );
        let health: Value = serde_json::from_str(file(&files, "health.json")).expect("JSON");
        assert!(
            health["checks"]
                .as_array()
                .is_some_and(|checks| checks.iter().any(|check| check["name"] == "plugin torn")),
            "{health:#}"
        );
        assert!(file(&files, "metrics.txt").contains("switchboard_"), "metrics");
        let routes: Value = serde_json::from_str(file(&files, "routes.json")).expect("JSON");
        assert!(
            routes["routes"][0]["match"].as_str().is_some_and(|when| when.contains("•••••5678")),
            "{routes:#}"
        );
        for name in [
            "features.json",
            "plugins.json",
            "tools.json",
            "config-running.txt",
            "calls.json",
            "notifications.json",
        ] {
            assert!(!file(&files, name).contains("could not be read"), "{name}: {}", file(&files, name));
        }
    });
}

#[test]
fn a_bundle_of_a_configuration_that_is_refused_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("gateway.toml"),
        "[openai]\napi_key = \"sk-PLANTED\"\nphone = \"+819012345678\"\n",
    )
    .expect("a file");
    let files = bundle(folder.path(), "refused.tar.gz");
    assert!(file(&files, "check.txt").contains("gateway.toml:3"), "{}", file(&files, "check.txt"));
    assert_eq!(files.len(), 3, "{files:?}");
}
