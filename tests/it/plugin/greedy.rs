//! Guests that want everything, and components that are not what the sandbox has room for or speaks. Each is
//! stopped at its limit, the model reads something honest, and a plugin beside it answers.

use std::sync::Arc;
use std::time::Duration;

use switchboard::call::record::ToolOutcomeKind;
use switchboard::tool::outbound::Pattern;
use switchboard::tool::plugin::{Failure, Grants, Limits, Plugin, Settings};
use wasm_encoder::{
    BlockType, ComponentSection, InstanceSection, InstructionSink, MemArg, MemorySection, Module, ModuleArg,
    ModuleSection, RefType, TableSection, TableType, ValType,
};

use super::by_hand::{ANSWER, Body, ByHand, Import, LINE, LINE_BYTES, NOTHING, ONE_PAGE, RETURNED};
use super::toolbox::{message, run, session};
use super::{AMPLE, HOST, Sink, call, call_with, file, from, guests_asking, load, refusal, settings};
use crate::harness::{CONFIG, House, Plan};

// === WASI: nothing is granted, and all is bounded ===

/// What of WASI 0.2 is attacked, in its own words.
const WASI: &str = r"
package wasi:io@0.2.0 {
    interface poll { resource pollable { block: func(); } }
    interface error { resource error; }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource input-stream { blocking-read: func(len: u64) -> result<list<u8>, stream-error>; }
        resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
    }
}
package wasi:cli@0.2.0 {
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
        initial-cwd: func() -> option<string>;
    }
    interface stdin { use wasi:io/streams@0.2.0.{input-stream}; get-stdin: func() -> input-stream; }
    interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
    interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
}
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:random@0.2.0 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}
package wasi:filesystem@0.2.0 {
    interface types { resource descriptor; }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }
}
package wasi:sockets@0.2.0 {
    interface network {
        resource network;
        enum error-code {
            unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict,
            not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use,
            remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large,
            name-unresolvable, temporary-resolver-failure, permanent-resolver-failure,
        }
        enum ip-address-family { ipv4, ipv6 }
    }
    interface instance-network { use network.{network}; instance-network: func() -> network; }
    interface tcp { resource tcp-socket; }
    interface tcp-create-socket {
        use network.{error-code, ip-address-family};
        use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
    }
    interface udp { resource udp-socket; }
    interface udp-create-socket {
        use network.{error-code, ip-address-family};
        use udp.{udp-socket};
        create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
    }
    interface ip-name-lookup {
        use network.{network, error-code};
        resource resolve-address-stream;
        resolve-addresses: func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>;
    }
}
";

const IMPORTED: &str = "
import wasi:io/poll@0.2.0;
import wasi:io/streams@0.2.0;
import wasi:cli/environment@0.2.0;
import wasi:cli/stdin@0.2.0;
import wasi:cli/stdout@0.2.0;
import wasi:cli/stderr@0.2.0;
import wasi:clocks/monotonic-clock@0.2.0;
import wasi:random/random@0.2.0;
import wasi:filesystem/preopens@0.2.0;
import wasi:sockets/instance-network@0.2.0;
import wasi:sockets/tcp-create-socket@0.2.0;
import wasi:sockets/udp-create-socket@0.2.0;
import wasi:sockets/ip-name-lookup@0.2.0;
";

const I32: ValType = ValType::I32;
const I64: ValType = ValType::I64;

/// In the order of the constants below.
const IMPORTS: &[Import] = &[
    ("wasi:cli/environment@0.2.0", "get-environment", &[I32], &[]),
    ("wasi:cli/environment@0.2.0", "get-arguments", &[I32], &[]),
    ("wasi:cli/environment@0.2.0", "initial-cwd", &[I32], &[]),
    ("wasi:filesystem/preopens@0.2.0", "get-directories", &[I32], &[]),
    ("wasi:cli/stdin@0.2.0", "get-stdin", &[], &[I32]),
    ("wasi:io/streams@0.2.0", "[method]input-stream.blocking-read", &[I32, I64, I32], &[]),
    ("wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket", &[I32, I32], &[]),
    ("wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket", &[I32, I32], &[]),
    ("wasi:sockets/instance-network@0.2.0", "instance-network", &[], &[I32]),
    ("wasi:sockets/ip-name-lookup@0.2.0", "resolve-addresses", &[I32, I32, I32, I32], &[]),
    ("wasi:cli/stdout@0.2.0", "get-stdout", &[], &[I32]),
    ("wasi:cli/stderr@0.2.0", "get-stderr", &[], &[I32]),
    ("wasi:io/streams@0.2.0", "[method]output-stream.blocking-write-and-flush", &[I32; 4], &[]),
    ("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration", &[I64], &[I32]),
    ("wasi:io/poll@0.2.0", "[method]pollable.block", &[I32], &[]),
    ("wasi:random/random@0.2.0", "get-random-bytes", &[I64, I32], &[]),
];
const ENVIRONMENT: u32 = 0;
const ARGUMENTS: u32 = 1;
const DIRECTORY: u32 = 2;
const DIRECTORIES: u32 = 3;
const STDIN: u32 = 4;
const READ: u32 = 5;
const TCP: u32 = 6;
const UDP: u32 = 7;
const NETWORK: u32 = 8;
const RESOLVE: u32 = 9;
pub(super) const STDOUT: u32 = 10;
const STDERR: u32 = 11;
const WRITE: u32 = 12;
const SUBSCRIBE: u32 = 13;
const BLOCK: u32 = 14;
const RANDOM: u32 = 15;

/// A guest that does this when it is called.
pub(super) const fn wasi(call: Body, answer: &'static str) -> ByHand {
    ByHand { packages: WASI, imported: IMPORTED, imports: IMPORTS, call, answer, ..NOTHING }
}

fn at(offset: u64) -> MemArg {
    MemArg { offset, align: 0, memory_index: 0 }
}

/// Puts a digit for the byte that was returned there into the answer.
fn digit(instructions: &mut InstructionSink<'_>, place: i32, returned: u64) {
    instructions.i32_const(ANSWER + place).i32_const(RETURNED).i32_load8_u(at(returned));
    instructions.i32_const(i32::from(b'0')).i32_add().i32_store8(at(0));
}

/// How many variables, arguments, working directories and files there are, and whether input, TCP, UDP and a
/// lookup fail (1).
fn ask_for_everything(instructions: &mut InstructionSink<'_>) {
    let asks: [(i32, u32, u64); 4] =
        [(1, ENVIRONMENT, 4), (3, ARGUMENTS, 4), (5, DIRECTORY, 0), (7, DIRECTORIES, 4)];
    for (place, function, returned) in asks {
        instructions.i32_const(RETURNED).call(function);
        digit(instructions, place, returned);
    }
    instructions.call(STDIN).i64_const(100).i32_const(RETURNED).call(READ);
    digit(instructions, 9, 0);
    for (place, function) in [(11, TCP), (13, UDP)] {
        instructions.i32_const(0).i32_const(RETURNED).call(function);
        digit(instructions, place, 0);
    }
    // A name of 100 letters, taken from the line.
    instructions.call(NETWORK).i32_const(LINE).i32_const(100).i32_const(RETURNED).call(RESOLVE);
    digit(instructions, 15, 0);
}

/// Over and over.
fn for_ever(instructions: &mut InstructionSink<'_>, body: impl FnOnce(&mut InstructionSink<'_>)) {
    instructions.loop_(BlockType::Empty);
    body(instructions);
    instructions.br(0).end();
}

/// Writes 1,000 lines to an output.
pub(super) fn flood(instructions: &mut InstructionSink<'_>, output: u32) {
    // The first local beyond the parameters, and the one after it: a call has one parameter.
    let (stream, count) = (1, 2);
    instructions.call(output).local_set(stream);
    instructions.loop_(BlockType::Empty);
    instructions.local_get(stream).i32_const(LINE).i32_const(LINE_BYTES).i32_const(RETURNED).call(WRITE);
    instructions.local_get(count).i32_const(1).i32_add().local_tee(count);
    instructions.i32_const(1_000).i32_lt_u().br_if(0).end();
}

/// A plugin of these bytes.
fn settings_of(dir: &tempfile::TempDir, component: &[u8]) -> Settings {
    let settings = settings("test-guests");
    let grants = Grants::default();
    Settings { name: "by-hand".to_owned(), path: file(dir, component), grants, ..settings }
}

pub(super) async fn load_by_hand(guest: ByHand, limits: Limits) -> Plugin {
    let dir = tempfile::tempdir().expect("a directory");
    load(&Settings { limits, ..settings_of(&dir, &guest.component()) }).await
}

/// What the model reads when it calls the attacker, and then its neighbour.
async fn read_by_the_model(attacker: &Plugin) -> (ToolOutcomeKind, String) {
    let neighbour = load(&settings("test-guests")).await;
    let toolbox = switchboard::tool::Toolbox::new([attacker.clone(), neighbour]).expect("a toolbox");
    let session = session(&["*"]);
    let read = run(&toolbox, &session, "attack", "{}").await;
    let beside = run(&toolbox, &session, "echo", "{\"a\":1}").await;
    assert_eq!(beside, (ToolOutcomeKind::Ok, "{\"a\":1}".to_owned()), "the next call of a neighbour");
    read
}

fn ample() -> Limits {
    Limits { time: AMPLE, ..Limits::default() }
}

#[tokio::test]
async fn a_guest_that_asks_wasi_for_everything_is_given_nothing() {
    let greedy = load_by_hand(wasi(ask_for_everything, "[_,_,_,_,_,_,_,_]"), ample()).await;
    let (kind, output) = read_by_the_model(&greedy).await;
    assert_eq!((kind, output.as_str()), (ToolOutcomeKind::Ok, "[0,0,0,0,1,1,1,1]"));
}

#[tokio::test]
async fn handles_and_chance_without_end_cost_the_call_and_nothing_else() {
    let attacks: [(&str, Body); 4] = [
        ("pollables", |all| {
            for_ever(all, |one| {
                one.i64_const(1 << 40).call(SUBSCRIBE).drop();
            })
        }),
        ("streams", |all| {
            for_ever(all, |one| {
                one.call(STDOUT).drop();
            })
        }),
        ("networks", |all| {
            for_ever(all, |one| {
                one.call(NETWORK).drop();
            })
        }),
        ("chance", |all| {
            all.i64_const(1 << 40).i32_const(RETURNED).call(RANDOM);
        }),
    ];
    for (name, attack) in attacks {
        let plugin = load_by_hand(wasi(attack, "true"), ample()).await;
        let (sink, _logging) = Sink::listen();
        let (kind, output) = read_by_the_model(&plugin).await;
        assert_eq!(kind, ToolOutcomeKind::Failed, "{name}: {output}");
        assert_eq!(message(&output), ("failed".to_owned(), "it failed inside".to_owned(), false), "{name}");
        let logged = sink.take();
        assert!(logged.contains("a tool call failed") && logged.contains("it trapped: "), "{name}: {logged}");
    }
}

#[tokio::test]
async fn a_guest_that_waits_on_a_pollable_for_ever_is_stopped() {
    let waiter: Body = |all| {
        all.i64_const(i64::MAX).call(SUBSCRIBE).call(BLOCK);
    };
    let limits = Limits { time: Duration::from_millis(100), ..Limits::default() };
    let plugin = load_by_hand(wasi(waiter, "true"), limits).await;
    let (kind, output) = read_by_the_model(&plugin).await;
    assert_eq!(kind, ToolOutcomeKind::Timeout);
    assert_eq!(message(&output), ("timeout".to_owned(), "it took too long".to_owned(), true));
}

#[tokio::test]
async fn a_flood_to_the_outputs_is_dropped_said_once_and_the_call_goes_on() {
    let floods: [(Body, &str); 2] =
        [(|all| flood(all, STDOUT), " INFO "), (|all| flood(all, STDERR), " WARN ")];
    for (attack, level) in floods {
        let plugin = load_by_hand(wasi(attack, "true"), ample()).await;
        let (sink, _logging) = Sink::listen();
        assert_eq!(read_by_the_model(&plugin).await, (ToolOutcomeKind::Ok, "true".to_owned()));
        let logged = sink.take();
        let kept = (16 << 10) / (4_000 + 64);
        let lines = logged.lines().filter(|line| line.contains(level) && line.contains("yyyy")).count();
        assert_eq!(lines, kept, "{level}");
        let warnings: Vec<&str> = logged.lines().filter(|line| line.contains("`limits.log`")).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(&format!("dropped={}", 1_000 - kept)), "{warnings:?}");
    }
}

// === describing itself ===

#[tokio::test]
async fn a_guest_that_never_says_what_it_is_is_refused_in_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let spinner = ByHand { describe: |all| for_ever(all, |_| {}), ..NOTHING };
    let told = refusal(&settings_of(&dir, &spinner.component())).await;
    insta::assert_snapshot!(told.rsplit('/').next().unwrap_or_default(), @"plugin.wasm takes longer than 5 s to say what its tools and needs are; have its `describe` answer at once, and build it again");
    let neighbour = load(&settings("test-guests")).await;
    assert_eq!(call(&neighbour, "echo").await.as_deref(), Ok("{}"));
}

#[tokio::test]
async fn what_a_guest_said_before_it_failed_is_shown_as_far_as_a_line_goes() {
    // In a line of its own to an output, without an end, and to the log.
    let dir = tempfile::tempdir().expect("a directory");
    let talker = ByHand {
        describe: |all| {
            all.call(STDERR).i32_const(LINE).i32_const(4_000).i32_const(RETURNED).call(WRITE).unreachable();
        },
        ..wasi(|_| {}, "true")
    };
    let told = refusal(&settings_of(&dir, &talker.component())).await;
    let words = format!("it cannot describe itself (its last words: \"{}\"): it trapped: ", "y".repeat(500));
    assert!(told.starts_with(&words), "{told}");
    let booking = Settings { grants: Grants::default(), ..settings("appointment-booking") };
    let told = refusal(&booking).await;
    let words = "it cannot describe itself (its last words: \"`base_url` is missing in its config: write where the \
                 booking service is / ";
    assert!(told.starts_with(words), "{told}");
}

// === what the sandbox has no room for ===

/// A component that is a good plugin, and has so many more instances of this module.
fn with_more(module: &Module, instances: u32) -> Vec<u8> {
    let mut component = NOTHING.component();
    ModuleSection(module).append_to_component(&mut component);
    let mut section = InstanceSection::new();
    for _ in 0..instances {
        // The plugin itself is module 0.
        section.instantiate(1, std::iter::empty::<(&str, ModuleArg)>());
    }
    section.append_to_component(&mut component);
    component
}

fn of_a_memory() -> Module {
    let mut memories = MemorySection::new();
    memories.memory(ONE_PAGE);
    let mut module = Module::new();
    module.section(&memories);
    module
}

fn of_a_table() -> Module {
    let mut tables = TableSection::new();
    let element_type = RefType::FUNCREF;
    tables.table(TableType { element_type, table64: false, minimum: 1, maximum: None, shared: false });
    let mut module = Module::new();
    module.section(&tables);
    module
}

#[tokio::test]
async fn a_component_of_too_many_parts_is_refused_with_what_there_is_room_for() {
    let mut told = Vec::new();
    for (module, instances) in
        [(Module::new(), 40), (Module::new(), 70), (of_a_memory(), 4), (of_a_table(), 17)]
    {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = settings_of(&dir, &with_more(&module, instances));
        let words = refusal(&settings).await;
        told.push(words.replace(&settings.path.display().to_string(), "FILE"));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    it cannot describe itself: it consists of more than the 32 core instances that `limits.instances` allows; raise `plugins.by-hand.limits.instances`, or have the plugin built to need less
    FILE does not fit the sandbox: The component transitively contains 71 core module instances, which exceeds the configured maximum of 64 in the pooling allocator; build it smaller: a plugin has room for 64 core instances, 4 memories, 16 tables and 1 GiB
    FILE does not fit the sandbox: The component transitively contains 5 Wasm linear memories, which exceeds the configured maximum of 4 in the pooling allocator; build it smaller: a plugin has room for 64 core instances, 4 memories, 16 tables and 1 GiB
    FILE does not fit the sandbox: The component transitively contains 17 tables, which exceeds the configured maximum of 16 in the pooling allocator; build it smaller: a plugin has room for 64 core instances, 4 memories, 16 tables and 1 GiB
    ");
    let dir = tempfile::tempdir().expect("a directory");
    let limits = Limits { instances: 64, ..ample() };
    let allowed = Settings { limits, ..settings_of(&dir, &with_more(&Module::new(), 40)) };
    assert_eq!(read_by_the_model(&load(&allowed).await).await, (ToolOutcomeKind::Ok, "true".to_owned()));
}

// === what nobody speaks here ===

#[tokio::test]
async fn a_component_for_another_world_is_refused_with_what_there_is_here() {
    let of_acme = ByHand {
        packages: "package acme:gadget@1.0.0 { interface spin { faster: func(); } }",
        imported: "import acme:gadget/spin@1.0.0;",
        imports: &[("acme:gadget/spin@1.0.0", "faster", &[], &[])],
        ..NOTHING
    };
    let of_another_version = ByHand {
        imported: "import switchboard:plugin/clock@0.9.0;",
        imports: &[("switchboard:plugin/clock@0.9.0", "now-ms", &[], &[I64])],
        version: "0.9.0",
        ..NOTHING
    };
    let of_http = ByHand {
        packages: "package wasi:http@0.2.0 { interface types { now: func(); } }",
        imported: "import wasi:http/types@0.2.0;",
        imports: &[("wasi:http/types@0.2.0", "now", &[], &[])],
        ..NOTHING
    };
    // It exports the tools of a version that is spoken, and imports another.
    let of_two_versions = ByHand {
        packages: "package switchboard:plugin@0.9.0 { interface clock { now-ms: func() -> u64; } }",
        version: "0.2.0",
        ..of_another_version
    };
    let mut told = Vec::new();
    for guest in [of_acme, of_another_version, of_http, of_two_versions] {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = settings_of(&dir, &guest.component());
        told.push(refusal(&settings).await.replace(&settings.path.display().to_string(), "FILE"));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    FILE imports `acme:gadget/spin@1.0.0`, which does not exist here; a plugin can import only what docs/plugins/reference.md lists, of switchboard:plugin 0.1.0 or 0.2.0
    FILE speaks `switchboard:plugin@0.9.0`; this gateway speaks 0.1.0 and 0.2.0; build the plugin for one of these, or update the gateway
    FILE imports `wasi:http/types@0.2.0`, which does not exist here; requests go through `switchboard:plugin/http`; have the build leave `wasi:http` out
    FILE imports `switchboard:plugin/clock@0.9.0`, which does not exist here; all of its interfaces must be of one version, that of its `switchboard:plugin/tools`: 0.1.0 or 0.2.0
    ");
}

// === our own doors ===

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_listeners_are_out_of_reach_unless_granted_by_name() {
    let house = House::open().await;
    for (door, path) in
        [(house.gateway.public, "/api/openai/webhook/call-incoming"), (house.gateway.admin, "/healthz")]
    {
        let url = format!("http://{door}{path}");
        let reaching = |private: &[&str]| {
            let http = vec![Pattern::parse(&url).expect("a pattern")];
            let private_hosts = private.iter().map(|host| (*host).to_owned()).collect();
            guests_asking(&format!("http {url}"), Grants { http, private_hosts, ..Grants::default() })
        };
        let ask = format!("\"HEAD {url}\"");
        let stranger = load(&reaching(&[])).await;
        let refused = stranger.call(&from(None), "fetch", &ask, AMPLE).await;
        let Err(Failure::Unavailable(words)) = refused else { panic!("{refused:?}") };
        assert!(words.starts_with("Error::Denied(") && words.contains("`private_hosts`"), "{words}");
        assert_eq!(call(&stranger, "echo").await.as_deref(), Ok("{}"));
        let friend = load(&reaching(&["127.0.0.1"])).await;
        let answered = friend.call(&from(None), "fetch", &ask, AMPLE).await.expect("an answer");
        assert!(
            ["\"200 ", "\"404 ", "\"405 "].iter().any(|status| answered.starts_with(status)),
            "{answered}"
        );
    }
}

// === one figure for the whole machine ===

#[tokio::test]
async fn a_smaller_stack_ends_a_recursion_earlier_and_harms_nobody_else() {
    use switchboard::tool::plugin::{Host, HostSettings, NothingKept};
    let host = Host::new(&HostSettings { instances_max: 2, stack_bytes: 64 << 10 }).expect("a machine");
    let small = host.load(&settings("test-guests"), Some(Arc::new(NothingKept))).await.expect("a plugin");
    assert_eq!(
        (small.stack_bytes(), load(&settings("test-guests")).await.stack_bytes()),
        (64 << 10, 512 << 10)
    );
    let recursed = call(&small, "recurse").await;
    assert_eq!(recursed, Err(Failure::OutOfStack(64 << 10)));
    assert!(call(&small, "echo").await.is_ok() && HOST.inspect(&settings("test-guests")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_says_of_the_sandbox_holds_in_the_gateway() {
    let path = settings("test-guests").path;
    let config = format!(
        "{}\n[sandbox]\nstack = \"64KiB\"\ninstances = 3\n[plugins.guests]\npath = \"{}\"\n\
         allow = {{ kv = \"guests\" }}\nlimits = {{ kv_bytes = \"1KiB\" }}\n",
        CONFIG.split("[plugins").next().unwrap_or_default(),
        path.display()
    );
    let house = House::with(Plan { config, ..Plan::default() }).await;
    let toolbox = house.gateway.control().tools().current();
    let plugin = toolbox.plugins().first().expect("the guests");
    assert_eq!(plugin.stack_bytes(), 64 << 10);
    let long = format!("\"{}\"", "x".repeat(1_024));
    let refused = call_with(plugin, "kv_put", &long).await;
    assert_eq!(refused, Err(Failure::Unavailable("Error::Quota".to_owned())));
    assert!(call_with(plugin, "kv_put", "1").await.is_ok());
}
