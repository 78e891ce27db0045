//! What one instance may use up: memory, tables, instances, log.

use wasmtime::ResourceLimiter;

/// Growth of tables beyond this is refused; a plugin's functions are some thousands.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Watches over the memory and tables of one instance.
#[derive(Debug)]
pub(super) struct Watch {
    memory_bytes_max: usize,
    memory_bytes: usize,
    /// It was refused memory.
    pub is_out_of_memory: bool,
}

impl Watch {
    pub fn new(memory_bytes_max: usize) -> Watch {
        Watch { memory_bytes_max, memory_bytes: 0, is_out_of_memory: false }
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
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }

    fn tables(&self) -> usize {
        16
    }
}

/// What a message costs besides its own length, in bytes: even an empty one is a line.
const LINE_BYTES: usize = 64;

/// How much of a log is left.
#[derive(Debug)]
pub(super) struct LogBudget {
    bytes: usize,
    /// Messages that were dropped.
    pub dropped: u32,
}

impl LogBudget {
    pub fn new(bytes: usize) -> LogBudget {
        LogBudget { bytes, dropped: 0 }
    }

    /// Takes a message's length from the budget; `false`: it is to be dropped.
    pub fn take(&mut self, bytes: usize) -> bool {
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
