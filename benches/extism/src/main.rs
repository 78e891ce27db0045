//! What a call into an Extism plugin costs, for comparison with `cargo bench --bench plugins`: the guest
//! answers what it was asked, compiled before, once in a fresh instance for each call and once reused.

use std::time::{Duration, Instant};

use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};

/// Calls that are measured, after a tenth of them to get warm.
const CALLS: usize = 5_000;
const GUEST: &[u8] = include_bytes!("../guest/echo.wasm");
const ARGUMENTS: &str = r#"{"text":"hello"}"#;

fn main() -> Result<(), extism::Error> {
    let manifest = Manifest::new([Wasm::data(GUEST)]).with_timeout(Duration::from_secs(2));
    let compiled = CompiledPlugin::new(PluginBuilder::new(manifest).with_wasi(false))?;
    measure("fresh instance + call", || {
        let mut plugin = Plugin::new_from_compiled(&compiled)?;
        plugin.call::<&str, &str>("echo", ARGUMENTS).map(str::len)
    })?;
    let mut plugin = Plugin::new_from_compiled(&compiled)?;
    measure("reused instance, call", || plugin.call::<&str, &str>("echo", ARGUMENTS).map(str::len))
}

fn measure(what: &str, mut call: impl FnMut() -> Result<usize, extism::Error>) -> Result<(), extism::Error> {
    for _ in 0..CALLS / 10 {
        call()?;
    }
    let mut micros = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let length = call()?;
        micros.push(begun.elapsed().as_nanos() as f64 / 1_000.0);
        assert_eq!(length, ARGUMENTS.len(), "the guest answers what it was asked");
    }
    micros.sort_by(f64::total_cmp);
    println!("{what}: p50 {:.1} µs, p99 {:.1} µs", micros[CALLS / 2], micros[CALLS * 99 / 100]);
    Ok(())
}
