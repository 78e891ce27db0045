//! What one instance may use up: memory, tables, instances, log.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::ResourceLimiter;

use super::hands::{LogLevel, LogSink};
use super::settings::Limits;

/// Memories and tables of one component: a core module has one of each, Python's guests some more.
const MEMORIES_MAX: usize = 8;
const TABLES_MAX: usize = 32;

/// Watches over the memory and tables of one instance.
#[derive(Debug)]
pub(super) struct Watch {
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements_max: usize,
    instances_max: usize,
    /// It was refused memory.
    pub is_out_of_memory: bool,
    /// It was refused room in a table.
    pub is_out_of_table: bool,
}

impl Watch {
    pub fn new(limits: &Limits) -> Watch {
        Watch {
            memory_bytes_max: limits.memory_bytes,
            memory_bytes: 0,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
            is_out_of_memory: false,
            is_out_of_table: false,
        }
    }
}

impl ResourceLimiter for Watch {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the instance together.
        let total = self.memory_bytes + desired.saturating_sub(current);
        if total > self.memory_bytes_max {
            self.is_out_of_memory = true;
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.table_elements_max;
        self.is_out_of_table |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        self.instances_max
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

/// What a message costs besides its own length, in bytes: even an empty one is a line.
const LINE_BYTES: usize = 64;

/// The log of one call, as long as there is room.
pub(super) struct Messages {
    plugin: Arc<str>,
    sink: Arc<dyn LogSink>,
    left: Mutex<Left>,
}

struct Left {
    bytes: usize,
    /// Messages that were dropped.
    dropped: u32,
}

impl Messages {
    pub fn new(plugin: Arc<str>, sink: Arc<dyn LogSink>, bytes: usize) -> Messages {
        Messages { plugin, sink, left: Mutex::new(Left { bytes, dropped: 0 }) }
    }

    /// Writes a message down, or counts it as dropped.
    pub fn write(&self, level: LogLevel, message: &str) {
        if self.left().take(message.len()) {
            self.sink.write(&self.plugin, level, message);
        }
    }

    /// How many messages were dropped.
    pub fn dropped(&self) -> u32 {
        self.left().dropped
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        // Numbers cannot be left half changed by a panic elsewhere.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    /// Takes a message's length from what is left; `false`: it is to be dropped.
    fn take(&mut self, bytes: usize) -> bool {
        match self.bytes.checked_sub(bytes.saturating_add(LINE_BYTES)) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => {
                self.dropped = self.dropped.saturating_add(1);
                false
            }
        }
    }
}
