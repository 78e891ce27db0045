//! Guests that misbehave, each in its own way, for the tests of the sandbox: when a tool is called, when a
//! hook is called and the config's `hook` says how, or when they are asked what they are and the config's
//! `describe` says how.
#![cfg(target_family = "wasm")]

mod tools;

wit_bindgen::generate!({ path: "../wit/v0.2.0", world: "call-plugin" });

use exports::switchboard::plugin::hooks::{
    self, CallEvent, Decision, IncomingAnswer, Instructions,
};
use exports::switchboard::plugin::tools::{CallContext, Guest, PluginInfo, ToolError};
use switchboard::plugin::types::{CallPower, Hook, Need, Tool};
use switchboard::plugin::{calls, clock, config, history, http, kv, log, secrets};

struct TestGuests;

export!(TestGuests);

/// A schema that has something to say.
const STRICT: &str = r#"{"type":"object","properties":{"party":{"type":"integer","minimum":1}},"required":["party"],"additionalProperties":false}"#;

impl Guest for TestGuests {
    fn describe() -> PluginInfo {
        let tool = |name: &str| Tool {
            name: name.to_owned(),
            description: format!("Does what its name says: {name}."),
            parameters: r#"{"type":"object"}"#.to_owned(),
            repeatable: !name.starts_with("kv_put"),
            timeout_ms: None,
            say_first: None,
            interruptible: true,
        };
        let mut tools: Vec<Tool> = tools::NAMES.iter().map(|name| tool(name)).collect();
        // Unless told otherwise they ask for a namespace, and for nothing else.
        let mut needs: Vec<Need> = match config::get("needs") {
            Some(text) => text.lines().map(need).collect(),
            None => vec![Need::Kv],
        };
        match config::get("describe").as_deref() {
            Some("trap") => panic!("a bug"),
            Some("spin") => spin(),
            Some("twice") => tools.push(tool("echo")),
            Some("bad_name") => tools[0].name = "say hello".to_owned(),
            Some("built_in") => tools[0].name = "hangup".to_owned(),
            Some("no_schema") => tools[0].parameters = r#"{"type":"string"}"#.to_owned(),
            Some("long") => tools[0].description = "z".repeat(5 << 10),
            Some("huge") => tools[0].description = "z".repeat(5 << 20),
            Some("many") => tools.extend((0..64).map(|number| tool(&format!("echo{number}")))),
            Some("strict") => tools[0].parameters = STRICT.to_owned(),
            Some("only_echo") => tools.truncate(1),
            Some("talkative") => tools[0].say_first = Some("z".repeat(301)),
            Some("patient") => {
                tools[0].say_first = Some("One moment, please.".to_owned());
                tools[0].interruptible = false;
                tools[0].timeout_ms = Some(700);
            }
            Some("needy") => needs = (0..65).map(|number| Need::Secret(format!("S{number}"))).collect(),
            Some("huge_need") => needs = vec![Need::Http("z".repeat(5 << 20))],
            Some("twice_needy") => needs = vec![Need::Kv, Need::Kv, Need::History],
            // What is tried here shows in the description.
            Some("try_everything") => tools[0].description = everything(),
            _ => {}
        }
        PluginInfo { name: "test-guests".to_owned(), version: "0.2.0".to_owned(), tools, needs }
    }

    fn call(context: CallContext, name: String, arguments: String) -> Result<String, ToolError> {
        tools::call(context, &name, arguments)
    }
}

/// Misbehaves in the hook as the config says: `WHERE HOW`.
fn misbehave(at: &str) {
    match config::get("hook").as_deref().and_then(|text| text.split_once(' ')) {
        Some((place, "trap")) if place == at => panic!("a bug"),
        Some((place, "spin")) if place == at => spin(),
        Some((place, "eat_memory")) if place == at => drop(tools::eat_memory()),
        _ => {}
    }
}

impl hooks::Guest for TestGuests {
    fn incoming(context: CallContext, headers: Vec<(String, String)>) -> IncomingAnswer {
        misbehave("incoming");
        let mut answer = IncomingAnswer {
            decision: Decision::Proceed,
            session: None,
            variables: vec![("headers".to_owned(), headers.len().to_string())],
            instructions: None,
        };
        match config::get("incoming").as_deref() {
            Some("reject") => answer.decision = Decision::Reject(486),
            Some("forward") => answer.decision = Decision::Forward("+81312345678".to_owned()),
            Some("session") => {
                answer.session = Some("vip".to_owned());
                answer.variables.push(("caller".to_owned(), context.caller.unwrap_or_default()));
                answer.instructions = Some(Instructions::Append("Be brief.".to_owned()));
            }
            Some("replace") => answer.instructions = Some(Instructions::Replace("Be kind.".to_owned())),
            Some("long") => answer.instructions = Some(Instructions::Append("z".repeat(200_000))),
            Some("huge") => answer.instructions = Some(Instructions::Append("z".repeat(5 << 20))),
            Some("many") => {
                answer.variables = (0..65).map(|number| (format!("v{number}"), String::new())).collect();
            }
            Some("bad_variable") => answer.variables.push(("a b".to_owned(), String::new())),
            Some("act") => {
                answer.variables.push(("act".to_owned(), format!("{:?}", calls::act(&calls::Action::HangUp))));
            }
            _ => {}
        }
        answer
    }

    fn event(_: CallContext, event: CallEvent) {
        misbehave("event");
        let told = match event {
            CallEvent::Line(line) => format!("{:?} said {} at {}", line.speaker, line.text, line.started_ms),
            CallEvent::Keys(keys) => format!("keys {keys}"),
            CallEvent::State(state) => format!("state {state}"),
        };
        log::write(log::Level::Info, &told);
    }

    fn ended(context: CallContext, call: String) {
        misbehave("ended");
        log::write(log::Level::Info, &format!("{} ended with {} bytes", context.call_id, call.len()));
    }
}

fn spin() -> ! {
    loop {
        core::hint::black_box(0);
    }
}

/// `kv`, `http PATTERN`, `secret NAME`, `history`, `call POWER`, `hook MOMENT`.
fn need(text: &str) -> Need {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (kind, rest) {
        ("kv", _) => Need::Kv,
        ("http", pattern) => Need::Http(pattern.to_owned()),
        ("secret", name) => Need::Secret(name.to_owned()),
        ("history", _) => Need::History,
        ("call", "say") => Need::Call(CallPower::Say),
        ("call", "inject-context") => Need::Call(CallPower::InjectContext),
        ("call", "transfer") => Need::Call(CallPower::Transfer),
        ("call", "hang-up") => Need::Call(CallPower::HangUp),
        ("call", "set-variable") => Need::Call(CallPower::SetVariable),
        ("hook", "incoming") => Need::Hook(Hook::Incoming),
        ("hook", "event") => Need::Hook(Hook::Event),
        ("hook", "ended") => Need::Hook(Hook::Ended),
        _ => panic!("no need: {text}"),
    }
}

/// Every power at once.
fn everything() -> String {
    let request = tools::request("GET", "https://api.example.com/");
    format!(
        "kv {:?}, http {:?}, secret {:?}, call {:?}, history {:?}, config {:?}, clock {}",
        kv::get("key").err(),
        http::fetch(&request).err(),
        secrets::reveal("TOKEN"),
        calls::act(&calls::Action::HangUp),
        history::lines(1).err(),
        config::get("describe"),
        clock::now_ms() > 0,
    )
}
