//! The API describes itself, wholly and truly; and a page shows that, with nothing from outside.

use reqwest::Method;
use serde_json::Value;
use switchboard::http::{API, ENDPOINTS, Role};

use super::Office;
use crate::harness::SHORT;

/// What refers to something in the document that is not there.
fn dangling(value: &Value, document: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|inner| dangling(inner, document, found)),
        Value::Object(table) => {
            if let Some(Value::String(reference)) = table.get("$ref") {
                let path = reference.trim_start_matches('#');
                if document.pointer(path).is_none() {
                    found.push(reference.clone());
                }
            }
            table.values().for_each(|inner| dangling(inner, document, found));
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_of_this_api_and_its_answers_are_what_it_says() {
    let office = Office::open("").await;
    let nobody = office.anybody(Role::Viewer);
    let (status, text) = nobody.ask_showing(Method::GET, &format!("{API}/openapi.json"), None).await;
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut missing = Vec::new();
    dangling(&document, &document, &mut missing);
    assert_eq!(missing, [""; 0]);
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace(":id", "{id}").replace(":name", "{name}");
        let operation = &document["paths"][format!("{API}{path}")][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["summary"], endpoint.summary, "{path}");
        assert_eq!(operation["x-role"].as_str(), endpoint.needs.map(Role::as_str), "{path}");
    }
    let list = &document["paths"][format!("{API}/calls")]["get"];
    let names: Vec<&str> = list["parameters"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert!(names.contains(&"unmasked") && names.contains(&"outcome"), "{names:?}");

    // What is given is what is described.
    office.house.call(SHORT).await;
    let id = office.house.ended().await.call.id.to_string();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.method == Method::GET) {
        let operation = &document["paths"][format!("{API}{}", endpoint.path.replace(":id", "{id}"))]["get"];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let mut whole = schema.clone();
        if schema.is_object() {
            whole["components"] = document["components"].clone();
        }
        let validator = jsonschema_of(&whole);
        let path = endpoint.path.replace(":id", &id);
        let answer = office.get(Role::Admin, &path).await;
        let problems: Vec<String> = validator
            .iter_errors(&answer)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(problems, [""; 0], "{path}");
    }

    for (path, kind) in
        [("/api/", "text/html"), ("/api/page.js", "text/javascript"), ("/api/page.css", "text/css")]
    {
        let answer = nobody.request(Method::GET, path).send().await.expect("an answer");
        let headers = answer.headers().clone();
        assert!(headers["content-type"].to_str().is_ok_and(|is| is.starts_with(kind)), "{path}");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = answer.text().await.expect("a text");
        assert!(!text.contains("://") && !text.contains("innerHTML"), "{path}");
    }
    assert_eq!(nobody.ask_showing(Method::GET, "/api/v1/nothing", None).await.0, 404);
}

fn jsonschema_of(schema: &Value) -> jsonschema::Validator {
    jsonschema::validator_for(schema).unwrap_or_else(|error| panic!("{error}"))
}
