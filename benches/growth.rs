//! Whether a call costs more the more calls there are: as fast as they go with ten to a thousand at once, held with a hundred to
//! ten thousand up, and with a thousand to a million in the store. `cargo bench --bench growth`; prints tables and draws
//! `docs/images/growth.svg`.
//!
//! Each figure is the median of [`ROUNDS`] runs of `switchboard load` without a carrier, and the runs of a round follow one another,
//! so that what the machine does besides touches all of them. `GROWTH_STORE=1000,100000`, `GROWTH_CALLS=10,100` and
//! `GROWTH_HELD=100,1000` say other sizes.

mod earlier;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use earlier::earlier;
use serde_json::Value;
use switchboard::call::record::CallDetail;
use switchboard::clock::SystemClock;
use switchboard::http::detail;
use switchboard::store::{CallQuery, Settings, Store, Tx, Write};

/// Runs of which the median counts.
const ROUNDS: usize = 3;
/// Calls of a run, at least: so many are twice as many as are up at once.
const CALLS_MIN: u64 = 2_000;
/// How many are up at once where the store grows.
const AT_ONCE: u64 = 50;
/// Whole calls in one commit, while a store is filled.
const CALLS_PER_COMMIT: u64 = 200;
/// A million calls began within so much time.
const APART: Duration = Duration::from_secs(20);

/// What is seen of one run.
#[derive(Clone, Copy)]
struct Seen {
    cpu_s_per_1000: f64,
    accept_p50_ms: f64,
    tool_p50_ms: f64,
    rss_mib: f64,
}

fn main() {
    // What `cargo bench` and `cargo test` add says how to run, not what: only a run for figures does anything.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let calls = sizes("GROWTH_CALLS", &[10, 100, 1_000]);
    let held = sizes("GROWTH_HELD", &[100, 1_000, 10_000]);
    let stores = sizes("GROWTH_STORE", &[1_000, 100_000, 1_000_000]);

    let rounds = |sizes: &[u64], one: fn(&Path, u64) -> Seen| {
        let mut by_size = vec![Vec::new(); sizes.len()];
        for _ in 0..ROUNDS {
            for (seen, size) in by_size.iter_mut().zip(sizes) {
                let data = tempfile::tempdir().expect("a folder");
                seen.push(one(data.path(), *size));
            }
        }
        by_size
    };
    let at_once = table("calls at once", &calls, &rounds(&calls, load));
    let up = table("calls held", &held, &rounds(&held, hold));
    let folders: Vec<tempfile::TempDir> =
        stores.iter().map(|_| tempfile::tempdir().expect("a folder")).collect();
    for (folder, calls) in folders.iter().zip(&stores) {
        fill(folder.path(), *calls);
    }
    // What was filled in is gigabytes, and the runs are not to wait behind it for the disk.
    assert!(Command::new("sync").status().is_ok_and(|status| status.success()));
    let mut by_store = vec![Vec::new(); stores.len()];
    for _ in 0..ROUNDS {
        for (seen, folder) in by_store.iter_mut().zip(&folders) {
            seen.push(load(folder.path(), AT_ONCE));
        }
    }
    let stored = table("calls in the store", &stores, &by_store);
    let mut curves = vec![
        ("calls at once", &calls, &at_once),
        ("calls held", &held, &up),
        ("calls in the store", &stores, &stored),
    ];
    curves.retain(|(_, sizes, _)| !sizes.is_empty());
    let svg = drawing(&curves);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images/growth.svg");
    std::fs::write(&path, svg).expect("a picture");
    println!("drawn to docs/images/growth.svg");
}

fn sizes(name: &str, usual: &[u64]) -> Vec<u64> {
    let Ok(text) = std::env::var(name) else { return usual.to_vec() };
    text.split(',')
        .filter(|size| !size.is_empty())
        .map(|size| size.trim().parse().expect("a number"))
        .collect()
}

/// One run against a gateway over this data directory, so many calls at once, as fast as they go.
fn load(data: &Path, at_once: u64) -> Seen {
    let calls = CALLS_MIN.max(at_once * 2).to_string();
    run(data, &["--hang-up", "caller", "--calls", &calls, "--concurrency", &at_once.to_string()])
}

/// One run in which so many calls are held up, one after another at a pace that the machine has time for.
fn hold(data: &Path, calls: u64) -> Seen {
    run(data, &["--concurrent", &calls.to_string(), "--ramp", "150/s", "--hold", "2s"])
}

fn run(data: &Path, how: &[&str]) -> Seen {
    let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["load", "--format", "json", "--no-carrier"])
        .args(how)
        .env("SWITCHBOARD__SERVER__DIRECT_SIP", "true")
        // What a call costs is asked for, not whether it is let in.
        .env("SWITCHBOARD__ADMISSION__MAX_LAG", "1m")
        .arg("--data")
        .arg(data)
        .stderr(Stdio::inherit())
        .output()
        .expect("the command runs");
    let page: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(page["calls"]["failed"], 0, "{page:#}");
    let figure = |pointer: &str| page.pointer(pointer).and_then(Value::as_f64).expect("a figure");
    Seen {
        cpu_s_per_1000: figure("/target/cpu_seconds_per_1000_calls"),
        accept_p50_ms: figure("/latency_ms/accept/p50"),
        tool_p50_ms: page.pointer("/latency_ms/tool/p50").and_then(Value::as_f64).unwrap_or(f64::NAN),
        rss_mib: figure("/target/rss_kib_peak") / 1_024.0,
    }
}

/// Puts so many whole calls into a store: one that was really made, again and again at other times.
fn fill(data: &Path, calls: u64) {
    let made = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["load", "--calls", "1", "--concurrency", "1", "--data"])
        .arg(data)
        .stdout(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "one call is made");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        let settings = Settings { free_bytes_min: 0, ..Settings::at(data) };
        let (store, _) = Store::open(&settings, Arc::new(SystemClock)).expect("it opens");
        let page = store.calls(CallQuery::default(), None, 1).await.expect("a page");
        let one = detail(&store, page.items[0].id).await.expect("it is read").expect("a call");
        for from in (1..calls).step_by(CALLS_PER_COMMIT as usize) {
            let some = from..calls.min(from + CALLS_PER_COMMIT);
            let writes = some.flat_map(|n| writes(&one, n)).collect();
            store.commit(Tx { writes, ..Tx::default() }).await.expect("a commit");
        }
        let filled = began.elapsed();
        // As it would be where these calls had come one after the other.
        let done = store.compact().await.expect("a compaction");
        store.close().await.expect("it closes");
        println!(
            "a store of {calls} calls: filled in {:.0} s, compacted in {:.0} s: {} keys, {} MiB",
            filled.as_secs_f64(),
            (began.elapsed() - filled).as_secs_f64(),
            done.keys,
            done.bytes >> 20
        );
    });
}

/// The n-th call before this one.
fn writes(one: &CallDetail, n: u64) -> Vec<Write> {
    let before = APART * u32::try_from(n).expect("not that many");
    let call = earlier(&one.call, before, n);
    let id = call.id;
    let mut writes = vec![Write::Call(Box::new(call))];
    writes.extend(one.lines.iter().map(|line| {
        let mut line = line.clone();
        line.started = line.started - before;
        line.ended = line.ended.map(|at| at - before);
        Write::Line(id, line)
    }));
    writes.extend(one.tool_calls.iter().map(|call| Write::ToolCall(id, call.clone())));
    writes.extend(one.events.iter().map(|event| Write::Event(id, event.clone())));
    writes
}

fn median(seen: &[Seen], figure: impl Fn(&Seen) -> f64) -> f64 {
    let mut values: Vec<f64> = seen.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Held calls call no tools.
fn millis(ms: f64) -> String {
    if ms.is_nan() { String::new() } else { format!("{ms:.2} ms") }
}

/// Prints a table, and gives the CPU of a thousand calls for each size.
fn table(name: &str, sizes: &[u64], seen: &[Vec<Seen>]) -> Vec<f64> {
    println!(
        "| {name} | CPU-s for 1,000 calls | beside the first | webhook → accept p50 | tool p50 | memory, at most |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let cpu: Vec<f64> = seen.iter().map(|seen| median(seen, |seen| seen.cpu_s_per_1000)).collect();
    for ((size, seen), own) in sizes.iter().zip(seen).zip(&cpu) {
        println!(
            "| {size} | {own:.3} | {:+.0} % | {} | {} | {:.0} MiB |",
            (own / cpu[0] - 1.0) * 100.0,
            millis(median(seen, |seen| seen.accept_p50_ms)),
            millis(median(seen, |seen| seen.tool_p50_ms)),
            median(seen, |seen| seen.rss_mib)
        );
    }
    println!();
    cpu
}

/// Both tables as curves, beside each other: the CPU of a thousand calls over the size, by powers of ten.
fn drawing(curves: &[(&str, &Vec<u64>, &Vec<f64>)]) -> String {
    const WIDTH: f64 = 400.0;
    const HEIGHT: f64 = 240.0;
    let (left, top, right, bottom) = (52.0, 34.0, 16.0, 44.0);
    let most = curves.iter().flat_map(|(_, _, cpu)| cpu.iter()).copied().fold(0.0, f64::max) * 1.25;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"#555\"><style>@media (prefers-color-scheme: dark) {{ svg {{ fill: #bbb }} }}</style>\n",
        WIDTH * curves.len() as f64
    );
    for (at, (name, sizes, cpu)) in curves.iter().enumerate() {
        let x0 = WIDTH * at as f64;
        let decades = |size: u64| (size as f64).log10();
        let (first, last) = (decades(sizes[0]), decades(sizes[sizes.len() - 1]));
        let x = |size: u64| {
            x0 + left + (decades(size) - first) / (last - first).max(1.0) * (WIDTH - left - right)
        };
        let y = |cpu: f64| HEIGHT - bottom - cpu / most * (HEIGHT - top - bottom);
        let points: Vec<String> = sizes
            .iter()
            .zip(cpu.iter())
            .map(|(size, cpu)| format!("{:.1},{:.1}", x(*size), y(*cpu)))
            .collect();
        // Within a fifth of the first: what is called flat.
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"18\" font-weight=\"bold\">CPU-s for 1,000 calls, by {name}</text>\n\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#0a7\" opacity=\"0.15\"/>\n\
             <line x1=\"{:.1}\" y1=\"{base:.1}\" x2=\"{:.1}\" y2=\"{base:.1}\" stroke=\"#888\"/>\n\
             <polyline points=\"{}\" fill=\"none\" stroke=\"#0a7\" stroke-width=\"2\"/>",
            x0 + left,
            x0 + left,
            y(cpu[0] * 1.2),
            WIDTH - left - right,
            y(cpu[0] * 0.8) - y(cpu[0] * 1.2),
            x0 + left,
            x0 + WIDTH - right,
            points.join(" "),
            base = HEIGHT - bottom,
        );
        for (size, cpu) in sizes.iter().zip(cpu.iter()) {
            let (x, y) = (x(*size), y(*cpu));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#0a7\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{cpu:.2}</text>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y - 10.0,
                HEIGHT - bottom + 18.0,
                thousands(*size)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn thousands(number: u64) -> String {
    match number {
        1_000_000.. if number.is_multiple_of(1_000_000) => format!("{} M", number / 1_000_000),
        10_000.. if number.is_multiple_of(1_000) => format!("{} k", number / 1_000),
        _ => number.to_string(),
    }
}
