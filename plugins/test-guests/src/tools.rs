//! The tools, each named for what it does.
//!
//! Arguments that are a text are taken as they stand between the quotes: there is no JSON reader here.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::exports::switchboard::plugin::tools::{CallContext, ToolError};
use crate::switchboard::plugin::{calls, clock, config, history, http, kv, log, progress, random, secrets};

pub const NAMES: [&str; 36] = [
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
    "kv_get_key",
    "kv_list",
    "leave_a_trace",
    "fetch",
    "fetch_often",
    "fetch_with_secret",
    "fetch_with_header",
    "post",
    "reveal",
    "guess_secrets",
    "say",
    "say_at_length",
    "flood_actions",
    "every_action",
    "flood_progress",
    "report_at_length",
    "history",
    "clocks",
    "chance",
];

static TRACE: AtomicU32 = AtomicU32::new(0);

pub fn call(context: CallContext, name: &str, arguments: String) -> Result<String, ToolError> {
    let text = arguments.trim_matches('"');
    match name {
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
        "eat_memory" => Ok(eat_memory().to_string()),
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
        "kv_get" => get("key"),
        "kv_get_key" => get(text),
        "kv_list" => match kv::list_keys("", None, 100) {
            Ok(page) => Ok(page.keys.len().to_string()),
            Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
        },
        // What one call leaves behind must not be there for the next.
        "leave_a_trace" => Ok((TRACE.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
        "reveal" => Ok(quote(&format!("{:?}", secrets::reveal(text)))),
        "guess_secrets" => Ok(quote(&guess_secrets())),
        "history" => match history::lines(text.parse().unwrap_or(0)) {
            Ok(lines) => {
                let told: Vec<String> =
                    lines.iter().map(|line| format!("{:?}: {}", line.speaker, line.text)).collect();
                Ok(quote(&told.join(" / ")))
            }
            Err(error) => Err(ToolError::Denied(format!("{error:?}"))),
        },
        "clocks" => {
            let (first, second) = (clock::monotonic_ns(), clock::monotonic_ns());
            Ok(quote(&format!("{} {}", clock::now_ms(), second >= first)))
        }
        "chance" => {
            let (one, other) = (random::bytes(1_024), random::bytes(2_000));
            Ok(quote(&format!("{} {} {}", one.len(), other.len(), one != other)))
        }
        _ => of_the_world(name, text),
    }
}

/// The tools that reach beyond the plugin.
fn of_the_world(name: &str, text: &str) -> Result<String, ToolError> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match name {
        "fetch" => answer(http::fetch(&request(first, rest))),
        "fetch_often" => {
            let often = || (0..first.parse().unwrap_or(0)).map(|_| http::fetch(&request("GET", rest)));
            let refused: Vec<http::Error> = often().filter_map(Result::err).collect();
            Ok(quote(&format!("{} refused, the first {:?}", refused.len(), refused.first())))
        }
        "fetch_with_secret" => {
            let credential = http::Credential {
                header: "Authorization".to_owned(),
                prefix: "Bearer ".to_owned(),
                secret: first.to_owned(),
            };
            answer(http::fetch(&http::Request { credential: Some(credential), ..request("GET", rest) }))
        }
        "fetch_with_header" => {
            let headers = vec![("X-Test".to_owned(), first.to_owned())];
            answer(http::fetch(&http::Request { headers, ..request("GET", rest) }))
        }
        "post" => {
            let body = Some(vec![b'x'; first.parse().unwrap_or(0)]);
            answer(http::fetch(&http::Request { body, ..request("POST", rest) }))
        }
        "say" => Ok(quote(&format!("{:?}", calls::act(&calls::Action::Say(text.to_owned()))))),
        "say_at_length" => Ok(quote(&format!("{:?}", calls::act(&calls::Action::Say("z".repeat(1_001)))))),
        "flood_actions" => {
            let said = (0..10_000).map(|number| calls::act(&calls::Action::Say(format!("word {number}"))));
            Ok(said.filter(Result::is_ok).count().to_string())
        }
        "every_action" => Ok(quote(&every_action())),
        "flood_progress" => {
            (0..10_000).for_each(|number| progress::report(&format!("step {number}")));
            Ok("true".to_owned())
        }
        "report_at_length" => {
            progress::report(&"z".repeat(1_001));
            Ok("true".to_owned())
        }
        _ => Err(ToolError::UnknownTool(name.to_owned())),
    }
}

pub fn eat_memory() -> usize {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
        core::hint::black_box(eaten.len());
    }
}

pub fn request(method: &str, url: &str) -> http::Request {
    let method = match method {
        "HEAD" => http::Method::Head,
        "POST" => http::Method::Post,
        "PUT" => http::Method::Put,
        "PATCH" => http::Method::Patch,
        "DELETE" => http::Method::Delete,
        _ => http::Method::Get,
    };
    let (url, headers) = (url.to_owned(), Vec::new());
    http::Request { method, url, headers, body: None, timeout_ms: None, credential: None }
}

fn answer(answered: Result<http::Response, http::Error>) -> Result<String, ToolError> {
    match answered {
        Ok(response) => Ok(quote(&format!("{} {}", response.status, String::from_utf8_lossy(&response.body)))),
        Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
    }
}

fn every_action() -> String {
    let actions = [
        calls::Action::Say("hello".to_owned()),
        calls::Action::InjectContext("a regular".to_owned()),
        calls::Action::Transfer("desk".to_owned()),
        calls::Action::HangUp,
        calls::Action::SetVariable(("order".to_owned(), "A-1".to_owned())),
        calls::Action::SetVariable(("a b".to_owned(), "A-1".to_owned())),
        calls::Action::SetVariable(("order".to_owned(), "z".repeat(257))),
        calls::Action::Transfer("../desk".to_owned()),
    ];
    let done: Vec<String> = actions.iter().map(|action| format!("{:?}", calls::act(action))).collect();
    done.join(" ")
}

/// All names of up to three of these letters, and the likely ones.
fn guess_secrets() -> String {
    let letters = ["", "A", "C", "E", "K", "M", "N", "O", "R", "T", "_"];
    let mut guesses: Vec<String> = ["CRM_TOKEN", "OPENAI_API_KEY", "crm_token", "CRM_TOKEN\0", "*", ""]
        .map(str::to_owned)
        .into();
    for one in letters {
        for other in letters {
            guesses.extend(letters.iter().map(|third| format!("{one}{other}{third}")));
        }
    }
    let found = guesses.iter().filter(|name| secrets::reveal(name).is_ok()).count();
    format!("{found} of {}", guesses.len())
}

fn put(value: &str, if_revision: Option<u64>) -> Result<String, ToolError> {
    match kv::put("key", value.as_bytes(), None, if_revision) {
        Ok(revision) => Ok(revision.to_string()),
        Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
    }
}

fn get(key: &str) -> Result<String, ToolError> {
    match kv::get(key) {
        Ok(Some(entry)) => Ok(String::from_utf8_lossy(&entry.value).into_owned()),
        Ok(None) => Ok("null".to_owned()),
        Err(error) => Err(ToolError::Unavailable(format!("{error:?}"))),
    }
}

fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { core::hint::black_box(recurse(depth + 1)) + 1 }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
