//! A plugin that was built for interface 0.1.0 works as it always did.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::clock::SystemClock;
use switchboard::store::{self, Store};
use switchboard::tool::plugin::{Grants, Need, Settings};

use super::{AMPLE, HOST, from, load_over, root, settings};

/// The customer lookup as it was released with 0.1.0.
fn released() -> Settings {
    Settings {
        path: root().join("tests/fixtures/plugins/customer-lookup-0.1.0.wasm"),
        ..settings("customer-lookup")
    }
}

#[tokio::test]
async fn it_describes_itself_and_asks_for_what_it_imports() {
    let (about, loaded) =
        HOST.inspect(&Settings { grants: Grants::default(), ..released() }).await.expect("a plugin");
    assert_eq!((about.interface, about.name.as_str(), about.has_hooks), ("0.1.0", "customer-lookup", false));
    assert_eq!(about.needs, [Need::Kv]);
    let [tool] = &about.tools[..] else { panic!("{:?}", about.tools) };
    assert_eq!((tool.name.as_str(), tool.may_repeat, tool.interruptible), ("lookup_customer", true, true));
    assert_eq!(tool.say_first, None);
    assert!(loaded.bytes > 10_000);
}

#[tokio::test]
async fn without_the_grant_it_is_refused_with_the_fix() {
    let ungranted = Settings { grants: Grants::default(), ..released() };
    let refused = HOST.load(&ungranted, None).await.expect_err("it is refused");
    insta::assert_snapshot!(refused.told(), @r#"it asks for `kv`, which is not granted; write `kv = "customer-lookup"` in `[plugins.customer-lookup.allow]`, if that is meant"#);
}

#[tokio::test]
async fn it_answers_from_its_config_and_from_what_it_keeps() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings_of_store = store::Settings { free_bytes_min: 0, ..store::Settings::at(dir.path()) };
    let (store, _) = Store::open(&settings_of_store, Arc::new(SystemClock)).expect("the store opens");
    let kv = store.kv("customers");
    let jiro = json!({ "name": "高橋 次郎", "orders": [] }).to_string();
    kv.put("customer/+818011112222", jiro.as_bytes(), None, None).await.expect("kept");
    let customers = r#"[{"name":"佐藤 花子","phone":"090-1234-5678"}]"#;
    let config = [("customers".to_owned(), customers.to_owned())].into();
    let plugin = load_over(&Settings { config, ..released() }, Arc::new(kv)).await;
    for (caller, name) in [("+819012345678", "佐藤 花子"), ("+818011112222", "高橋 次郎")] {
        let answer =
            plugin.call(&from(Some(caller)), "lookup_customer", "{}", AMPLE).await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["name"], name);
    }
    assert!(plugin.hooks().is_empty() && plugin.unused_grants().is_empty());
}

/// A released interface is never changed again: plugins out there were built for it. A new one is a folder of its own.
#[test]
fn what_was_released_stays_as_it_is() {
    use sha2::{Digest as _, Sha256};
    let released = [("v0.1.0", "f041791d55d4869849812f19212754e9d31c81d86664369c92e722c12579d5da")];
    for (version, digest) in released {
        let path = root().join("plugins/wit").join(version).join("plugin.wit");
        let text = std::fs::read(&path).expect("a released interface");
        let found: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "{} was released: make a new version instead", path.display());
    }
}
