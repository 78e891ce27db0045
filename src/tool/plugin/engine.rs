//! The machine that plugins run on: one engine, its memory pool, and the clock that interrupts loops.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::{Cache, CacheError};
use crate::metrics::Metrics;

/// How often running guests are looked at: the grain of their deadlines.
pub(super) const TICK: Duration = Duration::from_millis(2);
/// Without a guest it goes on for so long: a thread that sleeps is dearer to wake than one that soon looks anyway.
const IDLE_TICKS_MAX: u32 = 50;
/// What host calls need below a guest's own stack.
const HOST_STACK_BYTES: usize = 512 << 10;
/// What the pool has room for, measured with the plugins of this repository: a Python component consists of 14 core
/// instances with 13,400 functions and a table of 5,700 elements, a JavaScript one of 8 with two memories, a Rust one
/// of 3. What is not used costs address space only.
pub(super) const CORE_INSTANCES_MAX: u32 = 64;
const CORE_INSTANCES_EACH: u32 = 16;
const MEMORIES_EACH: u32 = 2;
const TABLES_EACH: u32 = 4;
/// Memories and tables of one component.
pub(super) const COMPONENT_MEMORIES_MAX: u32 = 4;
pub(super) const COMPONENT_TABLES_MAX: u32 = 16;
const INSTANCE_BYTES_MAX: usize = 2 << 20;
/// The largest table that the pool can hold; `limits.table_elements` is at most this.
const TABLE_ELEMENTS_MAX: usize = 200_000;
/// The largest memory that the pool can hold for one instance; `limits.memory` is at most this.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// How much of a memory, and of a table, a slot may keep for the plugin that used it last: at most as often as the
/// pool has memories and tables. That much of the pages that were written is put back by hand, which asks nothing of
/// the system; the rest is given back, which stops everybody who changes the process's memory meanwhile.
const MEMORY_BYTES_KEPT: usize = 1 << 20;
const TABLE_BYTES_KEPT: usize = 64 << 10;

/// How large the machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Instances at once, of all plugins together. Each costs address space, not memory.
    pub instances_max: u32,
    /// The stack of each instance, in bytes; a recursion deeper than that traps.
    pub stack_bytes: usize,
}

impl Default for HostSettings {
    fn default() -> HostSettings {
        HostSettings { instances_max: 256, stack_bytes: 512 << 10 }
    }
}

/// Why plugins cannot be run here.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot be set up: {0}")]
pub struct HostError(String);

/// The machine that plugins run on. It may go away before the plugins that it loaded.
pub struct Host {
    pub(super) engine: Engine,
    pub(super) ticker: Arc<Ticker>,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: HostSettings,
}

/// Advances the epoch while guests run, until its last owner is gone: the host, or a plugin.
pub(super) struct Ticker {
    beat: Arc<Beat>,
    thread: Thread,
}

/// What the ticker's thread goes by.
#[derive(Default)]
struct Beat {
    running: AtomicUsize,
    is_asleep: AtomicBool,
    is_over: AtomicBool,
}

/// The epoch advances as long as this lives.
pub(super) struct Ticking(Arc<Beat>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Host {
    /// Sets the machine up.
    ///
    /// # Errors
    ///
    /// [`HostError`]: the system does not give the address space, or is of a kind that is not supported.
    pub fn new(settings: &HostSettings) -> Result<Host, HostError> {
        let engine = Engine::new(&config(settings)).map_err(|error| HostError(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| HostError(error.to_string()))?;
        Ok(Host {
            engine,
            ticker: Arc::new(ticker),
            cache: None,
            metrics: Arc::default(),
            settings: settings.clone(),
        })
    }

    /// Counts what its plugins do in these metrics.
    pub fn counting_in(self, metrics: Arc<Metrics>) -> Host {
        Host { metrics, ..self }
    }

    /// Keeps compiled plugins in this directory and takes them from there.
    ///
    /// # Errors
    ///
    /// [`CacheError`]: the directory may not be used, and nothing has changed.
    pub fn open_cache(&mut self, directory: &Path) -> Result<(), CacheError> {
        self.cache = Some(Arc::new(Cache::open(directory, &self.engine)?));
        Ok(())
    }

    /// Removes compiled plugins that are not in use, except the newest few.
    pub fn prune_cache(&self, in_use: &[[u8; 32]]) {
        if let Some(cache) = &self.cache {
            cache.prune(in_use);
        }
    }
}

fn config(settings: &HostSettings) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    let count = settings.instances_max;
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES_EACH))
        .total_memories(count.saturating_mul(MEMORIES_EACH))
        .total_tables(count.saturating_mul(TABLES_EACH))
        .total_stacks(count)
        .max_memory_size(MEMORY_BYTES_MAX)
        .linear_memory_keep_resident(MEMORY_BYTES_KEPT)
        .table_keep_resident(TABLE_BYTES_KEPT)
        .pagemap_scan(Enabled::Auto)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(COMPONENT_MEMORIES_MAX)
        .max_tables_per_component(COMPONENT_TABLES_MAX);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(settings.stack_bytes)
        .async_stack_size(settings.stack_bytes.saturating_add(HOST_STACK_BYTES))
        .memory_init_cow(true)
        .parallel_compilation(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Ticker> {
        let beat = Arc::<Beat>::default();
        let ticking = Arc::clone(&beat);
        let tick = move || {
            let mut idle_ticks = 0;
            while !ticking.is_over.load(Ordering::SeqCst) {
                thread::sleep(TICK);
                engine.increment_epoch();
                let is_idle = ticking.running.load(Ordering::SeqCst) == 0;
                idle_ticks = if is_idle { idle_ticks + 1 } else { 0 };
                if idle_ticks >= IDLE_TICKS_MAX {
                    ticking.sleep();
                    idle_ticks = 0;
                }
            }
        };
        let thread = thread::Builder::new().name("plugin-epoch".to_owned()).spawn(tick)?;
        Ok(Ticker { beat, thread: thread.thread().clone() })
    }

    /// A guest is about to run: from here on the epoch advances.
    pub fn wake(&self) -> Ticking {
        // First this, then the look; the thread does it the other way round, so that one of them sees the other.
        self.beat.running.fetch_add(1, Ordering::SeqCst);
        if self.beat.is_asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(Arc::clone(&self.beat))
    }
}

impl Beat {
    /// Sleeps until a guest runs, or it is over.
    fn sleep(&self) {
        self.is_asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.is_over.load(Ordering::SeqCst) {
            thread::park();
        }
        self.is_asleep.store(false, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.beat.is_over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}
