//! The admin API described by itself: `GET /api/v1/openapi.json` (OpenAPI 3.1), made of the table of endpoints and of
//! the types that they read and write; and `/api/`, a page that shows it.

use std::sync::{Arc, LazyLock};

use poem::http::header;
use poem::{Request, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::role::Role;
use super::table::{ENDPOINTS, Endpoint, Gives, SchemaOf};
use super::who::COOKIE;
use super::{API, Answered, Ask};
use crate::http::{Doors, answer};

/// Nothing but what this listener serves, and nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// `GET /api/v1/openapi.json`.
pub(super) async fn show(_: Ask) -> Answered {
    Ok(answer::json(&*DOCUMENT))
}

/// `GET /api/`: a page for people.
pub(super) async fn page(_: Arc<Doors>, _: Request) -> Response {
    own(include_str!("page/index.html"), "text/html; charset=utf-8")
}

/// What moves that page.
pub(super) async fn script(_: Arc<Doors>, _: Request) -> Response {
    own(include_str!("page/page.js"), "text/javascript; charset=utf-8")
}

/// How that page looks.
pub(super) async fn style(_: Arc<Doors>, _: Request) -> Response {
    own(include_str!("page/page.css"), "text/css; charset=utf-8")
}

fn own(text: &'static str, kind: &str) -> Response {
    Response::builder()
        .content_type(kind)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(text)
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    // What is read may leave out what is always written.
    let mut reading = settings.clone().for_deserialize().into_generator();
    let mut writing = settings.for_serialize().into_generator();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(path_of(endpoint)).or_insert_with(|| json!({}));
        let method = endpoint.method.as_str().to_ascii_lowercase();
        path[method] = operation(endpoint, &mut reading, &mut writing);
    }
    let mut schemas = reading.take_definitions(true);
    schemas.append(&mut writing.take_definitions(true));
    schemas.insert("Error".to_owned(), error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchboard admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Times are microseconds since 1970 (UTC). Each role includes those before it: \
                            viewer, listener, operator, admin.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": COOKIE },
            },
        },
    })
}

/// With `{id}` where the table has `:id`.
fn path_of(endpoint: &Endpoint) -> String {
    let parts = endpoint.path.split('/').map(|part| match part.strip_prefix(':') {
        Some(name) => format!("{{{name}}}"),
        None => part.to_owned(),
    });
    format!("{API}{}", parts.collect::<Vec<_>>().join("/"))
}

fn operation(endpoint: &Endpoint, reading: &mut SchemaGenerator, writing: &mut SchemaGenerator) -> Value {
    let (status, gives) = endpoint.gives;
    let mut well = json!({ "description": "Done" });
    let content = match gives {
        Gives::Json(schema) => Some(("application/json", schema(writing).to_value())),
        Gives::Sound => Some(("audio/wav", json!({ "type": "string", "format": "binary" }))),
        Gives::Events => Some(("text/event-stream", json!({ "type": "string" }))),
        Gives::Nothing => None,
    };
    if let Some((kind, schema)) = content {
        well["content"] = json!({ kind: { "schema": schema } });
    }
    let refused = json!({ "$ref": "#/components/schemas/Error" });
    let mut operation = json!({
        "summary": endpoint.summary,
        "operationId": id_of(endpoint),
        "x-role": endpoint.needs.map(Role::as_str),
        "security": match endpoint.needs {
            None => json!([]),
            Some(_) => json!([{ "token": [] }, { "session": [] }]),
        },
        "parameters": parameters(endpoint, reading),
        "responses": {
            status.to_string(): well,
            "default": {
                "description": "Refused",
                "content": { "application/json": { "schema": refused } },
            },
        },
    });
    if let Some(body) = endpoint.body {
        operation["requestBody"] =
            json!({ "content": { "application/json": { "schema": body(reading).to_value() } } });
    }
    operation
}

/// Such as `post_calls_id_say`.
fn id_of(endpoint: &Endpoint) -> String {
    let path = endpoint.path.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_").replace("__", "_");
    format!("{}{path}", endpoint.method.as_str().to_ascii_lowercase())
}

fn parameters(endpoint: &Endpoint, reading: &mut SchemaGenerator) -> Vec<Value> {
    let in_path =
        endpoint.path.split('/').filter_map(|part| part.strip_prefix(':')).map(
            |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
        );
    let mut parameters: Vec<Value> = in_path.collect();
    if let Some(query) = endpoint.query {
        parameters.extend(in_query(query, reading));
    }
    if endpoint.acts() && endpoint.method == poem::http::Method::POST {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key from the same token within ten minutes gets the first answer again.",
            "schema": { "type": "string", "maxLength": 200 },
        }));
    }
    parameters
}

fn in_query(query: SchemaOf, reading: &mut SchemaGenerator) -> Vec<Value> {
    // In a generator of its own: the question as a whole is in no body, only what its parts refer to is wanted.
    let mut apart = reading.clone();
    let question = query(&mut apart).to_value();
    let name = question["$ref"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let mut definitions = apart.take_definitions(true);
    let object = definitions.remove(name).unwrap_or_default();
    for (name, schema) in definitions {
        reading.definitions_mut().entry(name).or_insert(schema);
    }
    let properties = object["properties"].as_object().cloned().unwrap_or_default();
    properties
        .into_iter()
        .map(|(name, schema)| json!({ "name": name, "in": "query", "schema": schema }))
        .collect()
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": { "type": "string", "description": "For programs." },
                    "message": { "type": "string", "description": "What is wrong, and what to do." },
                },
            },
        },
    })
}
