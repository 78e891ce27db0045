//! The plugin that everybody sees first: it finds a customer by phone number.

use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::clock::SystemClock;
use switchboard::store::{self, Store};
use switchboard::tool::plugin::{Failure, Plugin, Settings};

use super::{AMPLE, from, load, load_over, settings};

const CUSTOMERS: &str = r#"[
    {"name":"佐藤 花子","phone":"090-1234-5678","orders":[{"id":"A-1001","item":"桜の便箋","status":"発送済み"}]},
    {"name":"鈴木 一郎","phone":"０３（１２３４）５６７８"}
]"#;

fn with_customers(customers: &str) -> Settings {
    let config = [("customers".to_owned(), customers.to_owned())].into();
    Settings { config, ..settings("customer-lookup") }
}

async fn lookup(plugin: &Plugin, caller: Option<&str>, arguments: Value) -> Result<Value, Failure> {
    let answer = plugin.call(&from(caller), "lookup_customer", &arguments.to_string(), AMPLE).await?;
    Ok(serde_json::from_str(&answer).expect("JSON"))
}

#[tokio::test]
async fn any_notation_of_a_number_finds_its_customer() {
    let plugin = load(&with_customers(CUSTOMERS)).await;
    for phone in [
        "090-1234-5678",
        "09012345678",
        "+819012345678",
        "+81 90-1234-5678",
        "+81 (0)90 1234 5678",
        "０９０−１２３４−５６７８",
        "０９０ー１２３４ー５６７８",
        "＋８１　９０　１２３４　５６７８",
        "090 1234 5678",
        "(090) 1234.5678",
        "010819012345678",
        "18609012345678",
    ] {
        let found = lookup(&plugin, None, json!({ "phone": phone })).await.expect(phone);
        let order = json!({ "id": "A-1001", "item": "桜の便箋", "status": "発送済み" });
        let hanako =
            json!({ "found": true, "name": "佐藤 花子", "phone": "+819012345678", "orders": [order] });
        assert_eq!(found, hanako, "{phone}");
    }
    let ichiro = lookup(&plugin, None, json!({ "phone": "03-1234-5678" })).await.expect("an answer");
    assert_eq!(ichiro, json!({ "found": true, "name": "鈴木 一郎", "phone": "+81312345678", "orders": [] }));
}

#[tokio::test]
async fn without_a_number_the_callers_own_is_used() {
    let plugin = load(&with_customers(CUSTOMERS)).await;
    for arguments in [json!({}), json!({ "phone": "" }), json!({ "phone": null })] {
        let found = lookup(&plugin, Some("+819012345678"), arguments).await.expect("an answer");
        assert_eq!(found["name"], "佐藤 花子");
    }
    let named = lookup(&plugin, Some("+819012345678"), json!({ "phone": "0312345678" })).await;
    assert_eq!(named.expect("an answer")["name"], "鈴木 一郎", "a number that is said goes first");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_told_in_words_the_model_can_use() {
    let plugin = load(&with_customers(CUSTOMERS)).await;
    let withheld = lookup(&plugin, None, json!({})).await;
    let words = "the caller's number is withheld; ask for a phone number and pass it as `phone`";
    assert_eq!(withheld, Err(Failure::InvalidArguments(words.to_owned())));
    let nonsense = lookup(&plugin, None, json!({ "phone": "tomorrow" })).await;
    let words = "`tomorrow` is not a phone number; ask again";
    assert_eq!(nonsense, Err(Failure::InvalidArguments(words.to_owned())));
}

#[tokio::test]
async fn a_stranger_is_an_answer_and_no_error() {
    for customers in [CUSTOMERS, "[]"] {
        let plugin = load(&with_customers(customers)).await;
        let answer = lookup(&plugin, Some("+818099999999"), json!({})).await;
        assert_eq!(answer, Ok(json!({ "found": false, "phone": "+818099999999" })));
    }
    let answer =
        lookup(&load(&settings("customer-lookup")).await, None, json!({ "phone": "0120-123-456" })).await;
    assert_eq!(answer, Ok(json!({ "found": false, "phone": "+81120123456" })), "no config at all");
}

#[tokio::test]
async fn a_customer_of_the_key_value_store_is_found_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings_of_store = store::Settings { free_bytes_min: 0, ..store::Settings::at(dir.path()) };
    let (store, _) = Store::open(&settings_of_store, Arc::new(SystemClock)).expect("the store opens");
    let kv = store.kv("customers");
    let jiro = json!({ "name": "高橋 次郎", "orders": [{ "id": "B-7" }] }).to_string();
    kv.put("customer/+818011112222", jiro.as_bytes(), None, None).await.expect("kept");
    kv.put("customer/+818033334444", b"not JSON", None, None).await.expect("kept");
    let plugin = load_over(&with_customers(CUSTOMERS), Arc::new(kv)).await;

    let found = lookup(&plugin, Some("+818011112222"), json!({})).await.expect("an answer");
    let order = json!({ "id": "B-7", "item": "", "status": "" });
    let expected = json!({ "found": true, "name": "高橋 次郎", "phone": "+818011112222", "orders": [order] });
    assert_eq!(found, expected);
    let broken = lookup(&plugin, Some("+818033334444"), json!({})).await;
    assert!(matches!(&broken, Err(Failure::Internal(words)) if words.contains("customer/…")), "{broken:?}");
    let configured = lookup(&plugin, Some("+819012345678"), json!({})).await;
    assert_eq!(configured.expect("an answer")["name"], "佐藤 花子");
}

#[tokio::test]
async fn a_broken_config_is_a_failure_inside() {
    let plugin = load(&with_customers("{\"secret\":1}")).await;
    let broken = lookup(&plugin, Some("+819012345678"), json!({})).await;
    assert!(
        matches!(&broken, Err(Failure::Internal(words)) if words.starts_with("config `customers`: ")),
        "{broken:?}"
    );
}
