//! Guests that misbehave, each in its own way, for the tests of the sandbox: when a tool is called, or
//! when they are asked for their tools and the config's `describe` says how.
#![cfg(target_family = "wasm")]

use core::sync::atomic::{AtomicU32, Ordering};

wit_bindgen::generate!({ path: "../wit/v0.1.0", world: "tool-plugin" });

use exports::switchboard::plugin::tools::{CallContext, Guest, PluginInfo, ToolError};
use switchboard::plugin::types::Tool;
use switchboard::plugin::{clock, config, kv, log};

struct TestGuests;

export!(TestGuests);

/// Each tool is named for what it does.
const TOOLS: [&str; 19] = [
    "echo",
    "context",
    "spin",
    "spin_in_host",
    "eat_memory",
    "recurse",
    "trap",
    "huge_answer",
    "not_json",
    "flood_log",
    "fail_inside",
    "say_not_found",
    "say_too_much",
    "log_nothing",
    "kv_put",
    "kv_put_new",
    "kv_get",
    "kv_list",
    "leave_a_trace",
];

/// A schema that has something to say.
const STRICT: &str = r#"{"type":"object","properties":{"party":{"type":"integer","minimum":1}},"required":["party"],"additionalProperties":false}"#;

static TRACE: AtomicU32 = AtomicU32::new(0);

impl Guest for TestGuests {
    fn describe() -> PluginInfo {
        let tool = |name: &str| Tool {
            name: name.to_owned(),
            description: format!("Does what its name says: {name}."),
            parameters: r#"{"type":"object"}"#.to_owned(),
            read_only: !name.starts_with("kv_put"),
            timeout_ms: None,
        };
        let mut tools: Vec<Tool> = TOOLS.iter().map(|name| tool(name)).collect();
        match config::get("describe").as_deref() {
            Some("trap") => panic!("a bug"),
            Some("twice") => tools.push(tool("echo")),
            Some("bad_name") => tools[0].name = "say hello".to_owned(),
            Some("built_in") => tools[0].name = "hangup".to_owned(),
            Some("no_schema") => tools[0].parameters = r#"{"type":"string"}"#.to_owned(),
            Some("long") => tools[0].description = "z".repeat(5 << 10),
            Some("huge") => tools[0].description = "z".repeat(5 << 20),
            Some("many") => tools.extend((0..64).map(|number| tool(&format!("echo{number}")))),
            Some("strict") => tools[0].parameters = STRICT.to_owned(),
            Some("only_echo") => tools.truncate(1),
            _ => {}
        }
        PluginInfo { name: "test-guests".to_owned(), version: "0.1.0".to_owned(), tools }
    }

    fn call(context: CallContext, name: String, arguments: String) -> Result<String, ToolError> {
        match name.as_str() {
            "echo" => Ok(arguments),
            "context" => Ok(quote(&format!(
                "{:?} {:?} {:?} {}",
                context.caller,
                context.language,
                config::get("greeting"),
                context.variables.len()
            ))),
            "spin" => loop {
                core::hint::black_box(0);
            },
            "spin_in_host" => loop {
                core::hint::black_box(clock::now_ms());
            },
            "eat_memory" => {
                let mut eaten: Vec<Vec<u8>> = Vec::new();
                loop {
                    eaten.push(vec![1; 1 << 20]);
                }
            }
            "recurse" => Ok(recurse(core::hint::black_box(1)).to_string()),
            "trap" => panic!("a bug"),
            "huge_answer" => Ok(quote(&"x".repeat(30 << 20))),
            "not_json" => Ok("{not json".to_owned()),
            "flood_log" => {
                for _ in 0..10_000 {
                    log::write(log::Level::Info, &"y".repeat(1_000));
                }
                Ok("true".to_owned())
            }
            "fail_inside" => Err(ToolError::Internal("the password is 1234".to_owned())),
            "say_not_found" => Err(ToolError::NotFound("no such order".to_owned())),
            "say_too_much" => Err(ToolError::NotFound("z".repeat(1 << 20))),
            "log_nothing" => {
                for _ in 0..10_000 {
                    log::write(log::Level::Info, "");
                }
                Ok("true".to_owned())
            }
            "kv_put" => put(&arguments, None),
            "kv_put_new" => put(&arguments, Some(0)),
            "kv_get" => match kv::get("key") {
                Ok(Some(entry)) => Ok(String::from_utf8_lossy(&entry.value).into_owned()),
                Ok(None) => Ok("null".to_owned()),
                Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
            },
            "kv_list" => match kv::list_keys("", None, 100) {
                Ok(page) => Ok(page.keys.len().to_string()),
                Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
            },
            // What one call leaves behind must not be there for the next.
            "leave_a_trace" => Ok((TRACE.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
            _ => Err(ToolError::UnknownTool(name)),
        }
    }
}

fn put(value: &str, if_revision: Option<u64>) -> Result<String, ToolError> {
    match kv::put("key", value.as_bytes(), None, if_revision) {
        Ok(revision) => Ok(revision.to_string()),
        Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
    }
}

fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { core::hint::black_box(recurse(depth + 1)) + 1 }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
