//! What one instance may use up: memory, tables, instances, log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::ResourceLimiter;

use super::engine::{COMPONENT_MEMORIES_MAX, COMPONENT_TABLES_MAX};
use super::failure::cut;
use super::hands::{LogLevel, LogSink};
use super::settings::Limits;

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

    /// What all its memories have together.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
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
        COMPONENT_MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        COMPONENT_TABLES_MAX as usize
    }
}

/// How many of the last messages are kept: a panic or a traceback ends with what it is about.
const LAST_MAX: usize = 3;
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
    /// The beginnings of the last messages, dropped or not.
    last: VecDeque<String>,
    /// Messages that were dropped.
    dropped: u32,
}

impl Messages {
    pub fn new(plugin: Arc<str>, sink: Arc<dyn LogSink>, bytes: usize) -> Messages {
        Messages { plugin, sink, left: Mutex::new(Left { bytes, last: VecDeque::new(), dropped: 0 }) }
    }

    /// Writes a message down, or counts it as dropped.
    pub fn write(&self, level: LogLevel, message: &str) {
        let mut left = self.left();
        left.keep(message.trim());
        let is_kept = left.take(message.len());
        // Never held while somebody else writes.
        drop(left);
        if is_kept {
            self.sink.write(&self.plugin, level, message);
        }
    }

    /// How many messages were dropped.
    pub fn dropped(&self) -> u32 {
        self.left().dropped
    }

    /// The last messages that say something, in one line; none where there was none.
    pub fn last(&self) -> Option<String> {
        let left = self.left();
        let words: Vec<&str> = left.last.iter().map(String::as_str).collect();
        (!words.is_empty()).then(|| cut(&words.join(" / ")))
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        // Numbers cannot be left half changed by a panic elsewhere.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    /// Keeps the beginning of a message among the last ones.
    fn keep(&mut self, message: &str) {
        // Rust's panics end with it; what they are about stands before.
        if message.is_empty() || message.starts_with("note: run with `RUST_BACKTRACE") {
            return;
        }
        if self.last.len() == LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(cut(message));
    }

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
